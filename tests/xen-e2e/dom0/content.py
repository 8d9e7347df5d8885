# SPDX-License-Identifier: GPL-2.0-or-later
"""All that a guest holds, stamped, and looked at again byte by byte."""
import hashlib

import picture
from domain import DATA_LBA, MIB
from report import Failed

DISK_MIB = 4


class Content:
    """RAM but the lowest 2 MiB, video memory behind the screen, the screen,
    and a piece of the disk, each with a pattern of SEED."""

    def __init__(self, domain, seed):
        self.domain = domain
        self.seed = seed
        self.there = {}
        self.ticks = 0

    def _behind_screen(self):
        there = self.there
        start = there['pitch'] * there['height']
        # cirrus has registers in the upper part of this BAR, and draws its
        # cursor from the end of its memory; QXL keeps rings in the upper half
        limit = {'cirrus': 4 * MIB, 'qxl': there['vram'] // 4}.get(
            self.domain.vga, there['vram'])
        return there['lfb'] + start, limit - start

    def put(self):
        ask = self.domain.guest.do
        self.there = there = ask('hello')
        ram, end = there['ram'], there['ram_end']
        ask('fill', ram, end - ram, self.seed)
        ask('fill', *self._behind_screen(), self.seed + 1)
        ask('draw', self.seed)
        ask('write', DATA_LBA, 0, ram, DISK_MIB * MIB)
        self.screen = self.take_screen()
        picture.compare(self.screen_bytes, there['width'], there['height'],
                        self.seed)

    def take_screen(self):
        with self.domain.qmp() as qmp:
            self.screen_bytes = qmp.screen()
        return hashlib.sha256(self.screen_bytes).hexdigest()

    def check(self, continued=True):
        """Every byte is as it was put, seen by the guest's CPU and by the
        disk's DMA; the guest went on where it was."""
        ask = self.domain.guest.do
        there = ask('hello')
        for key in ('ram', 'ram_end', 'lfb', 'vram', 'width', 'height'):
            if there[key] != self.there[key]:
                raise Failed(f'{key} was {self.there[key]}, '
                             f'is {there[key]}')
        ram, end = there['ram'], there['ram_end']
        ask('check', ram, end - ram, self.seed)
        ask('check', *self._behind_screen(), self.seed + 1)
        ask('pixels', self.seed)
        self._check_disk(ram)
        now = self.take_screen()
        if now != self.screen:
            picture.compare(self.screen_bytes, there['width'],
                            there['height'], self.seed)
            raise Failed('the picture on the screen changed')
        ticks = ask('tick')['ticks']
        if continued and ticks < self.ticks:
            raise Failed(f'the counter went from {self.ticks} to {ticks}: '
                         'the guest began anew')
        self.ticks = ticks

    def _check_disk(self, ram):
        """Read the disk over memory that holds something else meanwhile."""
        ask = self.domain.guest.do
        length = DISK_MIB * MIB
        ask('fill', ram, length, self.seed + 2)
        ask('read', DATA_LBA, 0, ram, length)
        ask('check', ram, length, self.seed)
