# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that uses more than its RAM and the ranges below 4 GiB: the 64-bit
BAR of a second display is above 4 GiB, and frames have been added above the
RAM, as when memory is plugged in.  It also has a virtio disk."""
import struct

from domain import MIB
from plan_rounds import no_physmap, running
from report import Failed

PAGE = 4096
RAM_MIB = 8
VIDEO_MIB = 24              # 4 for the VGA, 20 for the QXL
BAR = 4096 * MIB            # where the guest places the 64-bit BAR
BAR_SIZE = 4 * MIB
QXL_CLASS = 0x0380
QXL_BAR, QXL_BAR64 = 1, 4   # the first shows the start of the second
WINDOW = 0x80000000         # guest/guest.h; it shows what is at BAR
FREE = 0x160000             # RAM that the guest does not use
PAGES = 64                  # that are added at each of two places
LOW = RAM_MIB * MIB         # the initial range of the VGA's memory
HIGH = 32 * MIB             # above BAR

DEVICES = (
    '-device', 'VGA,vgamem_mb=4',
    '-device', 'qxl,vgamem_mb=8,ram_size_mb=16,vram_size_mb=1,'
               f'vram64_size_mb={BAR_SIZE // MIB},romfile=',
    # the BIOS may start the guest from either disk
    '-blockdev', 'driver=file,node-name=second,filename=/tmp/above.img,'
                 'read-only=on,locking=off',
    '-device', 'virtio-blk-pci,drive=second')


def stamp(seed, length):
    """The first bytes of a range that the guest filled (guest/pattern.c)."""
    return b''.join(struct.pack('<I', ((n + 1) * 0x9e3779b1 ^
                                       seed * 0x85ebca6b) & 0xffffffff)
                    for n in range(length // 4))


class Ranges:
    """The memory above, and some of each kind that is not, stamped."""

    def __init__(self, dom):
        self.dom = dom
        self.ask = dom.guest.do
        lfb = self.ask('hello')['lfb']
        self.ranges = ((WINDOW, BAR_SIZE), (WINDOW + HIGH, PAGES * PAGE),
                       (LOW, PAGES * PAGE), (lfb, MIB),
                       (RAM_MIB // 2 * MIB, MIB))

    def put(self):
        ask = self.ask
        qxl = ask('find', QXL_CLASS)['devfn']
        # memory that two BARs show is relocated for one of them
        ask('place', qxl, QXL_BAR, 0)
        ask('place', qxl, QXL_BAR64, BAR & 0xffffffff, BAR >> 32)
        ask('give', FREE // PAGE, 2 * PAGES)
        ask('take', LOW // PAGE, PAGES)
        ask('take', (BAR + HIGH) // PAGE, PAGES)
        ask('window', BAR // MIB)
        for seed, (addr, length) in enumerate(self.ranges):
            ask('fill', addr, length, seed)

    def check(self):
        """As the guest's CPU sees them, before and after it has sized the BAR
        of the VGA's memory, whose initial range has frames of the guest's."""
        for decoded in (None, 0, 1):
            if decoded is not None:
                self.ask('size', 20, decoded)
            for seed, (addr, length) in enumerate(self.ranges):
                self.ask('check', addr, length, seed)
        self.check_qemu()

    def check_qemu(self):
        """The guest and QEMU share the frames at the 64-bit BAR."""
        path, length = '/tmp/above.bar', 4 * PAGE
        with self.dom.qmp() as qmp:
            pieces = [(p.get('address'), p['size'], p['pinned'])
                      for p in qmp.call('x-query-xen-physmap')
                      if p.get('shown-at') == BAR]
            qmp.call('pmemsave', val=BAR, size=length, filename=path)
        if pieces != [(BAR, BAR_SIZE, True)]:
            raise Failed(f'the frames of the 64-bit BAR are at {pieces}')
        with open(path, 'rb') as src:
            if src.read() != stamp(0, length):
                raise Failed('QEMU has something else at the 64-bit BAR')


def above(report):
    label = 'above the RAM and 4 GiB'
    words = ', '.join(f'"{word}"' for word in DEVICES)
    with running(report, label, name='above', vga='none', video=VIDEO_MIB,
                 memory=RAM_MIB + VIDEO_MIB,
                 settings=[f'device_model_args_hvm = [ {words} ]']) as dom:
        if dom is None:
            return
        with report.case(f'{label}: placed and stamped') as state:
            ranges = Ranges(dom)
            ranges.put()
            ranges.check()
        for name, steps in (('save and restore', (dom.save, dom.restore)),
                            ('migrate', (dom.migrate,))):
            if not state.passed:
                return
            with report.case(f'{label}: {name}') as state:
                for step in steps:
                    step()
                ranges.check()
                no_physmap()
        report.figure(f'{label} seconds', dom.seconds)
