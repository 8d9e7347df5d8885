# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run on the real Xen measured, as tables for docs/figures.md; and how the
device model grew over rounds, as a plot."""
from benchreport import gnuplot, md_table


def calls(figures, who, case):
    """'calls (pages)' that map, of a case; '-' if it was not counted."""
    told = figures.get(who, {}).get('calls', {}).get(case)
    return f'{told["maps"]:,} ({told["pages"]:,})' if told else '-'


def markdown(figures):
    """FIGURES: of the plan `devices`, by device model."""
    ours, stock = figures.get('ours', {}), figures.get('stock', {})
    parts = [
        'Mapping ioctls of the device model, and the pages that they name, in '
        'each case of the plan `devices` (if stock ends in a case, its '
        'figures are those up to then):\n',
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


# of a device model after each round: the axis, and what is one of it
SAMPLES = {'rss_kib': ('resident memory, MiB', 1024),
           'areas': ('foreign mappings', 1)}


def rounds(figures):
    """[(guest, {after what: samples})] of those that went through some."""
    return [(name.removesuffix(' process'), samples)
            for plan in figures.values() for name, samples in plan.items()
            if name.endswith(' process')
            and any(len(taken) > 1 for taken in samples.values())]


def plot_rounds(figures, report, name):
    """REPORT/NAME.svg and .png: a row for each guest, a column for each
    sample.  False if no guest went through rounds."""
    found = rounds(figures)
    if not found:
        return False
    script = (f'set multiplot layout {len(found)},{len(SAMPLES)}\n'
              'set grid\nset tics nomirror\nset key left bottom\n'
              'set xlabel "round"\n')
    for guest, samples in found:
        for sample, (axis, unit) in SAMPLES.items():
            data = ''.join(
                f'${what.replace(" ", "_")} << EOD\n' + ''.join(
                    f'{at} {one[sample] / unit}\n'
                    for at, one in enumerate(taken, 1)) + 'EOD\n'
                for what, taken in samples.items())
            lines = ', '.join(
                f'${what.replace(" ", "_")} with linespoints title "{what}"'
                for what in samples)
            script += (f'{data}set title "{guest}"\nset ylabel "{axis}"\n'
                       f'set yrange [0:*]\nplot {lines}\n')
    gnuplot(report, name, (1000, 300 * len(found)),
                        script + 'unset multiplot\n')
    return True
