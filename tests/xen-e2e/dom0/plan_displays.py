# SPDX-License-Identifier: GPL-2.0-or-later
"""The rounds of plan_rounds.py for the other displays, and for a device model
that has given up its rights."""
from plan_rounds import rounds


def run(report, told):
    count = max(1, int(told['rounds']) // 5)
    rounds(report, 'cirrus', count, name='cirrus', vga='cirrus', memory=16)
    rounds(report, 'restricted', 1, name='restricted', vga='stdvga',
           settings=['dm_restrict = 1', 'vkb_device = 0'])
    rounds(report, 'qxl', 1, name='qxl', vga='qxl', memory=136)
    rounds(report, 'stock', 1, name='stock', model='stock', vga='stdvga',
           known=True)
