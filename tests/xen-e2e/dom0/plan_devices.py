# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest does with its devices and its memory, on the series' device
model and on stock QEMU's, one after the other on the same machine."""
import contextlib
import os
import re
import subprocess

import picture
from above import above
from domain import DATA_LBA, MIB
from plan_rounds import running
from report import Failed, Skipped

KIB = 1024
PAGE = 4096
MEMORY_MIB = 80             # 16 of them are video memory


class Bench:
    """A guest with its memory laid out for the cases below."""

    def __init__(self, dom):
        self.dom = dom
        self.there = dom.guest.do('hello')
        self.ram = self.there['ram']            # 2 MiB
        self.first = 4 * MIB                    # 16 MiB each
        self.second = 24 * MIB
        if self.second + 17 * MIB > self.there['ram_end']:
            raise Failed('the guest has not the memory it was given')

    def ask(self, *command, timeout=60):
        return self.dom.guest.do(*command, timeout=timeout)

    def to_disk(self, addr, length, seed, lba=DATA_LBA):
        """LENGTH bytes of the pattern SEED, by way of memory at ADDR."""
        self.ask('fill', addr, length, seed)
        self.ask('write', lba, 0, addr, length)


def dma_ram(bench):
    """Sizes from a sector to 16 MiB, at addresses that no page begins at;
    what lies on either side stays."""
    ask = bench.ask
    for length, shift in ((512, 0), (4 * KIB, 2), (64 * KIB, 0x206),
                          (MIB, 0xffe), (16 * MIB, 0x10)):
        bench.to_disk(bench.first, length, length)
        to = bench.second + PAGE + shift
        ask('fill', bench.second, PAGE, 5)
        # a dword is stamped by its place: whole ones after an odd end
        after = to + length + (-shift % 4)
        ask('fill', after, PAGE, 6)
        ask('fill', to + (-shift % 4), length - 4, 7)
        ask('read', DATA_LBA, 0, to, length)
        ask('check', to, length, length)
        ask('check', bench.second, PAGE, 5)
        ask('check', after, PAGE, 6)


def dma_pieces(bench):
    """Descriptors of 1536 bytes, many of them across a page's end, and a
    transfer that is scattered over distant places."""
    ask = bench.ask
    length = 480 * KIB          # QEMU reads one page of the table
    bench.to_disk(bench.first, length, 11)
    ask('fill', bench.second, length, 12)
    ask('read', DATA_LBA, 1536, bench.second, length)
    ask('check', bench.second, length, 11)
    step = MIB + 3 * PAGE
    places = [bench.second + (n * 5 % 12) * step for n in range(12)]
    pieces = [x for p in places for x in (p, 24 * KIB)]
    ask('read', DATA_LBA, 0, *pieces)
    for n, place in enumerate(places):
        ask('check', place, 24 * KIB, 11, n * 24 * KIB)


def dma_video(bench):
    """The disk reads into video memory and writes from it, at its start and
    inside; the device keeps showing it."""
    ask, there = bench.ask, bench.there
    shown = there['pitch'] * there['height']
    sectors = (shown + 511) // 512 * 512
    ask('draw', 21)
    ask('write', DATA_LBA, 0, there['lfb'], sectors)
    ask('draw', 22)
    ask('read', DATA_LBA, 0, there['lfb'], sectors)
    ask('pixels', 21)
    screen(bench, 21)
    inside = there['lfb'] + 5 * MIB + 0x1200
    bench.to_disk(bench.first, 2 * MIB, 23)
    ask('fill', inside, 2 * MIB, 24)
    ask('read', DATA_LBA, 0, inside, 2 * MIB)
    ask('check', inside, 2 * MIB, 23)
    # and out of it again
    ask('fill', inside, 2 * MIB, 25)
    ask('write', DATA_LBA, 0, inside, 2 * MIB)
    ask('read', DATA_LBA, 0, bench.second, 2 * MIB)
    ask('check', bench.second, 2 * MIB, 25)
    ask('pixels', 21)


def screen(bench, seed):
    now = bench.ask('hello')
    with bench.dom.qmp() as qmp:
        picture.compare(qmp.screen(), now['width'], now['height'], seed)


def modes(bench):
    ask = bench.ask
    if not bench.there['dispi']:
        raise Skipped('this display has no Bochs registers')
    for n, (width, height) in enumerate(((800, 600), (1024, 768),
                                         (640, 480))):
        ask('mode', width, height, 32)
        ask('draw', 31 + n)
        ask('pixels', 31 + n)
        screen(bench, 31 + n)


def moved_bar(bench):
    """The guest moves its video memory; what it holds goes with it."""
    ask, there = bench.ask, bench.there
    home, away = there['lfb'], 0xf8000000
    part = 8 * MIB
    ask('draw', 41)
    ask('fill', home + part, MIB, 42)
    bench.to_disk(bench.first, MIB, 43)
    for place in (away, home):
        ask('bar', place)
        ask('pixels', 41, timeout=30)
        ask('check', place + part, MIB, 42)
        screen(bench, 41)
        ask('fill', place + part, MIB, 44)
        ask('read', DATA_LBA, 0, place + part, MIB)
        ask('check', place + part, MIB, 43)
        ask('fill', place + part, MIB, 42)


def sized_bar(bench):
    """The guest sizes the BAR of its video memory again and again, as Linux
    does, and while it is on: nothing is relocated, no caching type pinned."""
    ask, there = bench.ask, bench.there
    part = there['lfb'] + 8 * MIB
    ask('draw', 45)
    ask('fill', part, MIB, 46)
    before = bench.dom.calls()
    for times, decoded in ((200, 0), (50, 1)):
        ask('size', times, decoded, timeout=300)
    after = bench.dom.calls()
    ask('pixels', 45)
    ask('check', part, MIB, 46)
    screen(bench, 45)
    told = {what: after[what] - before[what]
            for what in ('relocations', 'pins', 'pages')}
    bench.dom.figures['BAR sized 250 times'] = told
    if told['relocations'] or told['pins']:
        raise Failed(f'sizing a BAR 250 times made {told}')
    return f'250 times: {told}'


def balloon_fresh(bench):
    """Memory that came back is what the disk sees: not the frames that were
    there before."""
    ask = bench.ask
    pages = 256
    addr, length = bench.first, 256 * PAGE
    bench.to_disk(addr, length, 51)
    for seed in range(52, 56):
        ask('give', addr // PAGE, pages)
        ask('take', addr // PAGE, pages)
        ask('fill', addr, length, seed)
        ask('write', DATA_LBA, 0, addr, length)
        ask('fill', bench.second, length, 50)
        ask('read', DATA_LBA, 0, bench.second, length)
        ask('check', bench.second, length, seed)


def dma_hole(bench):
    """DMA over pages that were given away: what is there is moved, a read
    from what is not gives zeros, and the device model goes on."""
    ask = bench.ask
    addr, length = bench.first, MIB
    hole, pages = addr + 64 * PAGE, 16
    behind = hole + pages * PAGE
    bench.to_disk(bench.second, length, 61)
    ask('fill', addr, length, 62)
    ask('give', hole // PAGE, pages)
    ask('read', DATA_LBA, 0, addr, length)
    ask('check', addr, hole - addr, 61)
    ask('check', behind, addr + length - behind, 61, behind - addr)
    # what is not there reads as zeros
    ask('write', DATA_LBA + 8192, 0, addr, length)
    ask('read', DATA_LBA + 8192, 0, bench.second, length)
    ask('check', bench.second, hole - addr, 61)
    for at in (0, pages * PAGE // 2, pages * PAGE - 4):
        got = ask('peek', bench.second + hole - addr + at)['value']
        if got:
            raise Failed(f'a page that is not there reads as {got:#x}')
    ask('take', hole // PAGE, pages)
    ask('read', DATA_LBA, 0, addr, length)
    ask('check', addr, length, 61)


@contextlib.contextmanager
def slow_disk(bench):
    """Its reads take a tenth of a second, but for the first: or each would
    have ended before the guest can do anything beside it."""
    none = dict.fromkeys(('bps', 'bps_wr', 'iops', 'iops_rd', 'iops_wr'), 0)
    with bench.dom.qmp() as qmp:
        disk = next(d['device'] for d in qmp.call('query-block')
                    if 'inserted' in d)
        qmp.call('block_set_io_throttle', device=disk, bps_rd=4 * MIB, **none)
    try:
        yield
    finally:
        with bench.dom.qmp() as qmp:
            qmp.call('block_set_io_throttle', device=disk, bps_rd=0, **none)


def dma_balloon(bench):
    """Pages go and come beside those that a transfer is under way to."""
    with slow_disk(bench):
        told = bench.ask('dmaballoon', bench.first, 128, 20, DATA_LBA, 0,
                         timeout=180)
    if not told['busy']:
        raise Failed('no transfer was under way when pages went')
    return f'{told["busy"]} of 20 transfers were seen under way'


def dma_balloon_under(bench):
    """Pages go from under a transfer as well."""
    bench.ask('dmaballoon', bench.first, 128, 10, DATA_LBA, 32)


def at_limit(bench):
    """16 MiB go and come at once, all of which DMA had mapped."""
    pages = 16 * MIB // PAGE
    told = bench.ask('hello')
    slack = told['max'] - told['pages']
    if slack >= pages:
        raise Failed(f'{slack} pages to spare: no limit is in the way')
    bench.ask('limit', bench.first, pages, 10, DATA_LBA, timeout=300)
    return f'{pages} pages with {slack} to spare, 10 times'


def invalidates(bench):
    """How many the device model has had: stock does not count them."""
    if bench.dom.model != 'ours':
        return 0
    with bench.dom.qmp() as qmp:
        return qmp.call('query-xen-mapcache')['invalidates']


def storm(bench):
    """Invalidates in a row, a thousand of them, with DMA between."""
    before = invalidates(bench)
    told = bench.ask('storm', bench.first, 500, DATA_LBA, timeout=300)
    seen = invalidates(bench) - before
    if bench.dom.model == 'ours' and seen < told['rounds']:
        raise Failed(f'{seen} invalidates came of {told["rounds"]} gives')
    bench.dom.figures['storm: us for each give and take'] = \
        round(told['us'] / told['rounds'])
    return f'500 gives and takes in {told["us"] / 1e6:.1f} s'


def throughput(bench):
    """The same transfers again and again: what each costs."""
    told = []
    for what, length, rounds in (('64 KiB', 64 * KIB, 64),
                                 ('1 MiB', MIB, 16)):
        bench.to_disk(bench.first, length, 71)
        bench.ask('bench', 0, DATA_LBA, bench.first, length, 2)
        before = bench.dom.calls()
        got = bench.ask('bench', 0, DATA_LBA, bench.first, length, rounds)
        after = bench.dom.calls()
        bench.ask('check', bench.first, length, 71)
        rate = got['bytes'] * rounds / got['us']
        maps = after['maps'] - before['maps']
        bench.dom.figures[f'read {what}'] = {
            'MB/s': round(rate, 2),
            'best MB/s': round(got['bytes'] / got['best'], 2),
            'transfers': rounds, 'map calls': maps,
            'pages mapped': after['pages'] - before['pages']}
        told.append(f'{what}: {rate:.1f} MB/s, {maps} map calls for '
                    f'{rounds} transfers')
    return '; '.join(told)


CASES = (
    ('DMA into RAM', dma_ram),
    ('DMA in pieces', dma_pieces),
    ('memory given and taken is fresh for DMA', balloon_fresh),
    ('throughput', throughput),
    ('balloon beside DMA', dma_balloon),
    ('at the memory limit', at_limit),
    ('invalidates in a row', storm),
    ('video modes', modes),
    ('DMA into video memory', dma_video),
    ('video memory moved', moved_bar),
    ('BAR of the video memory sized', sized_bar),
    ('balloon under DMA', dma_balloon_under),
    ('DMA over pages given away', dma_hole),
)


def alive(dom):
    return dom.domid is not None and os.path.exists(f'/proc/{dom.pid()}')


def go_on(report, dom):
    """A new guest, if this one or its device model did not outlive a case."""
    try:
        if alive(dom):
            dom.guest.meet(20)
            return
        report.say('the device model is gone')
    except Failed as why:
        report.say(why)
    with report.quiet():
        dom.destroy()
        dom.create()


def devices(report, label, known=False, **how):
    """All cases on one guest.  KNOWN: what does not hold is told and is
    no failure, as it is not our device model."""
    with running(report, label, memory=MEMORY_MIB, **how) as dom:
        if dom is None:
            return
        for name, case in CASES:
            with report.case(f'{label}: {name}', known=known):
                if not alive(dom):
                    raise Failed('there is no guest to ask')
                before = dom.calls()
                said = case(Bench(dom))
                if said:
                    report.say(said)
                calls = {k: v - before[k] for k, v in dom.calls().items()}
                dom.figures.setdefault('calls', {})[name] = calls
                report.say(f'calls to Xen: {calls}')
            go_on(report, dom)
        with report.case(f'{label}: the device model at the end'):
            dom.figures['process'] = dom.process()
            report.say(dom.figures['process'])
        report.figure(label, dom.figures)


RESULT = re.compile(r'^(not )?ok\b\s*\d*\s*(?:-\s*)?(.*)')


def programs(report):
    """What /programs/list names, each told of a guest that is there."""
    with open('/programs/list', encoding='utf-8') as src:
        lines = [line.split() for line in src if line.split()]
    for name, *args in lines:
        with running(report, name, name='programs',
                     memory=MEMORY_MIB) as dom:
            if dom is not None:
                program(report, name, args, dom)


def program(report, name, args, dom):
    argv = ['/dm/lib/ld.so', '--library-path', '/dm/lib',
            f'/programs/{name}', '--domain', str(dom.domid), *args]
    with report.case(f'{name}: runs to its end'):
        done = subprocess.run(argv, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True,
                              errors='replace', timeout=300, check=False)
        results = 0
        for line in done.stdout.splitlines():
            found = RESULT.match(line)
            if not found:
                report.say(line)
                continue
            results += 1
            what, _, directive = found.group(2).partition(' # ')
            if directive.upper().startswith('SKIP'):
                report.verdict('skip',
                               f'{name}: {what} | {directive[4:].strip()}')
            else:
                report.verdict('not ok' if found.group(1) else 'ok',
                               f'{name}: {what}')
        if done.returncode or not results:
            raise Failed(f'exit status {done.returncode}, '
                         f'{results} results')


def run(report, told):
    devices(report, 'ours', name='ours')
    above(report)
    programs(report)
    devices(report, 'stock', known=True, name='stock', model='stock')
