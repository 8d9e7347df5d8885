# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run on the real Xen measured, as tables for docs/figures.md."""
from benchreport import md_table


def calls(figures, who, case):
    """'calls (pages)' that map, of a case; '-' if it was not counted."""
    told = figures.get(who, {}).get('calls', {}).get(case)
    return f'{told["maps"]:,} ({told["pages"]:,})' if told else '-'


def markdown(figures):
    """FIGURES: of the plan `devices`, by device model."""
    ours, stock = figures.get('ours', {}), figures.get('stock', {})
    parts = [
        'Mapping ioctls of the device model, and the pages that they name, in '
        'each case of the plan `devices` (a case that stock does not survive '
        'ends early there):\n',
        md_table(['case', 'stock', 'series'],
                 [[case, calls(figures, 'stock', case),
                   calls(figures, 'ours', case)]
                  for case in ours.get('calls', {})]),
        'Reads of the disk by IDE DMA into the same memory again and again, '
        'as the guest measures them under emulation:\n']
    body = []
    for name in ours:
        if name.startswith('read '):
            mine, theirs = ours[name], stock.get(name)
            body.append([
                f'{name}, {mine["transfers"]} times',
                f'{theirs["MB/s"]} MB/s, {theirs["map calls"]} map calls'
                if theirs else '-',
                f'{mine["MB/s"]} MB/s, {mine["map calls"]} map calls'])
    parts.append(md_table(['', 'stock', 'series'], body))
    return '\n'.join(parts)
