# SPDX-License-Identifier: GPL-2.0-or-later
"""A Linux guest, whose balloon driver and disk driver are Linux's own."""
import time

from domain import DATA_LBA, VIDEO_MIB, Domain, run as run_command
from plan_rounds import AREAS_SLACK, RSS_SLACK_KIB, flat, no_physmap, running
from report import Failed

MEMORY_MIB = 256
SMALL_MIB = 168
KEPT, OTHER, FRESH = range(3)       # regions of the guest program
DISK_MIB = 8


class LinuxDomain(Domain):
    """The guest of linux/init.c: kernel and initramfs from dom0's files."""

    boot_seconds = 400

    def _config(self):
        self.settings += [
            'kernel = "/linux/vmlinuz"', 'ramdisk = "/linux/initramfs"',
            # the disk stays the emulated one: it is the one that does DMA
            'cmdline = "console=hvc0 quiet mitigations=off panic=1 '
            'xen_emul_unplug=never"']
        return super()._config()


def stamped(dom):
    """Memory and disk, each with a pattern."""
    dom.guest.do('fill', KEPT, 32, 101, timeout=120)
    dom.guest.do('dwrite', DATA_LBA, DISK_MIB, 102, timeout=120)
    look(dom)


def look(dom):
    """All of it is as it was, and the disk reads into new memory."""
    ask = dom.guest.do
    ask('check', KEPT, 101, timeout=120)
    ask('fill', OTHER, DISK_MIB, 103, timeout=120)
    ask('dread', OTHER, DATA_LBA, timeout=120)
    ask('check', OTHER, 102, timeout=120)
    ask('drop', OTHER)


def mem_set(dom, mib):
    """By xl; wait until the guest has done it.

    xl leaves the video memory out of what it asks for.  Debian 13's Linux counts
    it as its own, and so gives that much more.
    """
    before = dom.guest.do('memory')['total']
    run_command('xl', 'mem-set', dom.name, f'{mib}m')
    until = time.monotonic() + 120
    while time.monotonic() < until:
        now = dom.guest.do('memory')['total']
        has = int(run_command('xl', 'list', dom.name)
                  .splitlines()[1].split()[2])
        done = any(abs(has + video - mib) <= 2
                   for video in (0, VIDEO_MIB[dom.vga]))
        if done and now != before:
            return now
        time.sleep(1)
    raise Failed(f'after "xl mem-set {mib}m" the guest has {has} MiB, and '
                 f'knows of {now} KiB')


def balloon(dom):
    """Down, up, and what came back is used."""
    least = mem_set(dom, SMALL_MIB)
    look(dom)
    most = mem_set(dom, MEMORY_MIB)
    if most - least < (MEMORY_MIB - SMALL_MIB) * 1024 * 3 // 4:
        raise Failed(f'the guest had {least} KiB, and then only {most}')
    dom.guest.do('fill', FRESH, 64, 104, timeout=120)
    dom.guest.do('check', FRESH, 104, timeout=120)
    look(dom)
    dom.guest.do('drop', FRESH)
    return f'{least} to {most} KiB'


def balloon_under_load(dom):
    """The same, while a process reads the disk and compares."""
    dom.guest.do('load', DATA_LBA, 2, 102)
    for _ in range(3):
        mem_set(dom, SMALL_MIB)
        mem_set(dom, MEMORY_MIB)
    told = dom.guest.do('unload')
    look(dom)
    return f'{told["rounds"]} reads meanwhile'


def run(report, told):
    count = max(1, int(told['rounds']) // 5)
    with running(report, 'linux', kind=LinuxDomain, name='linux',
                 memory=MEMORY_MIB) as dom:
        if dom is None:
            return
        with report.case('linux: memory and disk stamped') as state:
            stamped(dom)
        samples = []
        for number in range(1, count + 1):
            label = f'linux: round {number} of {count}'
            for name, step in (('mem-set', balloon),
                               ('mem-set under load', balloon_under_load)):
                with report.case(f'{label}: {name}'):
                    report.say(step(dom))
            if not state.passed:
                return
            with report.case(f'{label}: save and restore') as state:
                dom.save()
                dom.restore()
                look(dom)
                no_physmap()
            if not state.passed:
                return
            with report.case(f'{label}: migrate') as state:
                dom.migrate()
                look(dom)
                samples.append(dom.process())
            if not state.passed:
                return
        with report.case('linux: memory and mappings stay as few'):
            report.say(samples)
            flat(samples, 'rss_kib', RSS_SLACK_KIB)
            flat(samples, 'areas', AREAS_SLACK)
