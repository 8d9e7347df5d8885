# SPDX-License-Identifier: GPL-2.0-or-later
"""The rounds of plan_rounds.py on the device model of the package that replaces
the distribution's: libxl starts it for a guest that names none."""
import os

from plan_rounds import rounds
from report import Failed

PLACE = '/usr/libexec/xen-qemu-system-i386'


def is_the_packaged_one(dom):
    """libxl started the package's file, and this has the series."""
    runs = os.readlink(f'/proc/{dom.pid()}/exe')
    if runs != PLACE:
        raise Failed(f'{runs} runs, and not {PLACE}')
    with dom.qmp() as qmp:
        qmp.call('query-xen-mapcache')


def run(report, told):
    count = max(1, int(told['rounds']) // 5)
    rounds(report, 'packaged', count, name='packaged', model=None,
           vga='stdvga', look=is_the_packaged_one)
