# SPDX-License-Identifier: GPL-2.0-or-later
"""The rounds of plan_rounds.py for the other displays, and for a device model
that has given up its rights."""
import os

from plan_rounds import rounds
from report import Failed


def has_no_rights(dom):
    """Another user than root, and an empty root folder."""
    pid = dom.pid()
    with open(f'/proc/{pid}/status', encoding='utf-8') as src:
        uids = next(x for x in src if x.startswith('Uid:')).split()[1:]
    if '0' in uids:
        raise Failed(f'its user ids are {" ".join(uids)}')
    left = os.listdir(f'/proc/{pid}/root')
    if left:
        raise Failed(f'its root folder has {" ".join(left)}')


def run(report, told):
    count = max(1, int(told['rounds']) // 5)
    rounds(report, 'cirrus', count, name='cirrus', vga='cirrus', memory=16)
    rounds(report, 'restricted', count, name='restricted', vga='stdvga',
           settings=['dm_restrict = 1', 'vkb_device = 0'],
           look=has_no_rights)
    rounds(report, 'qxl', count, name='qxl', vga='qxl', memory=136)
    rounds(report, 'stock', 1, name='stock', model='stock', vga='stdvga',
           known=True)
