# SPDX-License-Identifier: GPL-2.0-or-later
"""Tells what every process waits for when nothing was reported for long."""
import contextlib
import os
import threading
import time

SILENCE = 200           # seconds: longer than any command may take
STACK_LINES = 6


def read(pid, name):
    """A file of a process, or '': it may be gone."""
    with contextlib.suppress(OSError):
        with open(f'/proc/{pid}/{name}', encoding='utf-8',
                  errors='replace') as src:
            return src.read()
    return ''


def threads(pid):
    with contextlib.suppress(OSError):
        return sorted(os.listdir(f'/proc/{pid}/task'), key=int)
    return []


def processes():
    """Lines about each thread of each program: where it waits in the
    kernel."""
    lines = []
    for pid in sorted((x for x in os.listdir('/proc') if x.isdigit()),
                      key=int):
        command = read(pid, 'cmdline').replace('\0', ' ')[:80]
        if not command:         # the kernel's own
            continue
        lines.append(f'process {pid}: {command}')
        for tid in threads(pid):
            state = read(f'{pid}/task/{tid}', 'stat').rpartition(') ')[2][:1]
            stack = read(f'{pid}/task/{tid}', 'stack').splitlines()
            calls = ' < '.join(x.split()[-1] for x in stack[:STACK_LINES])
            lines.append(f'  {tid} {state} {calls}')
    return lines


def watch(report):
    told = None                 # the silence that was told of
    while True:
        time.sleep(5)
        since = report.spoke
        if since != told and time.monotonic() - since > SILENCE:
            report.say('\n'.join(processes()), 'waits')
            told = report.spoke


def start(report):
    threading.Thread(target=watch, args=(report,), daemon=True).start()
