# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark: its counts on whole QEMU, and how it reckons.  No times."""
import os
import re
import shutil
import subprocess
import tempfile

import benchcases
import benchcount
import benchreport
import benchrows
from bench import Skip, has
from cases_check import load

MICRO = '''map-call\tns\t1000.000\t1.0000\t1.0000
unmap-call\tns\t500.000\t1.0000\t1.0000
unmap-run\tns\t100.000\t1.0000\t1.0000
dma-warm\tns\t{dma}\t{maps}\t{maps}
invalidate-1024\tns\t{inv}\t0.0000\t1024.0000
access-8\tns\t12.000\t0.0000\t0.0000
plain-access-8\tns\t4.000\t0.0000\t0.0000
plain-invalidate-1024\tns\t102400.000\t0.0000\t0.0000
dma-held-1\tns\t{dma}\t0.0000\t0.0000
dma-held-64\tns\t{dma}\t0.0000\t0.0000
map-calls-warm-dma\tcalls\t{calls}
'''
QEMU = '''ide-read-64k\tbytes\t65536
ide-read-64k\tmap-calls\t{calls}
ide-read-64k\tmap-pages\t{calls}
ide-read-64k\tfaults\t{faults}
ide-read-64k\tcpu-ns\t{cpu}
ide-read-64k\ttime-ns\t{cpu}
ide-read-64k\tinstructions\t-
'''


def sample_rows():
    micro = [benchrows.read_micro(text) for text in (
        MICRO.format(dma='6500.000', maps='1.0000', inv='1512000.000',
                     calls='100.000'),
        MICRO.format(dma='50.000', maps='0.0000', inv='202400.000',
                     calls='0.000'))]
    qemu = [benchrows.read_qemu(text) for text in (
        QEMU.format(calls='1.000', faults='16.000', cpu='61035.15625'),
        QEMU.format(calls='0.000', faults='0.000', cpu='30517.578125'))]
    return benchrows.micro_rows(*micro) + \
        benchrows.qemu_rows(*qemu, {'ide-read-64k': {'cpu-ns': 15258.7890625}})


def test_rows():
    rows = {row['scenario']: row for row in sample_rows()}
    warm = rows['dma-warm']
    assert (warm['stock'], warm['ours'], warm['ratio']) == (6500, 50, 130)
    # one map call and its end are taken off
    assert warm['ratio_without_simulation'] == 100
    # 1,024 ends by 1,024 calls, and the same by one
    assert rows['invalidate-1024']['ratio_without_simulation'] == 10
    # none at all has no ratio
    assert rows['map-calls-warm-dma']['ratio'] is None
    assert rows['access-8']['plain'] == 4
    # two threads that never ran at the same time: null, neither 0 nor left out
    assert rows['unlocked-hit-2-threads-overlap']['ours'] is None
    assert 'plain-access-8' not in rows
    cpu = rows['ide-read-64k-cpu']
    assert cpu['unit'] == 'ms/GiB'
    assert (cpu['stock'], cpu['ours'], cpu['plain']) == (1000, 500, 250)
    # what the machine cannot count is null, not 0
    assert rows['ide-read-64k-instructions']['ours'] is None
    assert rows['ide-read-64k-faults']['stock'] == 16


def test_goals():
    rows = sample_rows() + [
        {'scenario': name, 'unit': 'ms', 'stock': stock, 'ours': ours,
         'ratio': None} for name, stock, ours in (
             ('adversarial-ahci-same', 10., 11.), ('longest-silence', 9., 49.),
             ('adversarial-ahci-same-cpu', 1., 9.), ('scatter-32m', 1., None),
             ('scatter-32m-wrong-bytes', 0., 0.))]
    benchrows.add_last(rows, {'dma-warm': ('ns', 100., 0, 0)})
    benchrows.set_goals(rows)
    found = {row['scenario']: row for row in rows}
    # beside plain RAM: 2 × 102,400 for one mmap() of as much is too long
    assert found['invalidate-1024']['goal_value'] == 1.977
    assert found['invalidate-1024']['reached'] is False
    assert found['dma-warm']['goal'] == {'most': 0.6, 'times': 'last'}
    assert found['dma-warm']['reached'] is True
    # what has nothing beside it, or was not measured, is not reached
    assert found['access-8']['reached'] is False
    assert found['scatter-32m']['reached'] is None
    assert found['scatter-32m-wrong-bytes']['reached'] is True
    assert found['adversarial-ahci-same']['reached'] is False
    assert 'goal' not in found['adversarial-ahci-same-cpu']
    assert found['longest-silence']['reached'] is True
    assert found['ide-read-64k-cpu']['goal_value'] == 2
    has(benchreport.md_goals(rows), '`dma-warm` | 6.5 µs | 50 ns | 100 ns | '
        '≤ 0.6 × the last release | 0.5 | yes',
        '`scatter-32m` | 1 ms | - | - | ≤ 200 | - | -')


def test_cases():
    stock = benchcases.least([{'time-ms': 4., 'loop-held-ms': 3.},
                              {'time-ms': 2., 'loop-held-ms': None}])
    assert stock == {'time-ms': 2, 'loop-held-ms': 3}
    rows = benchcases.case_rows('adversarial-x', {'time-ms': None},
                                {'time-ms': 5., 'loop-held-ms': 40.}) + \
        benchcases.case_rows('adversarial-y', stock,
                             {'time-ms': 1., 'loop-held-ms': 60.})
    found = {row['scenario']: row for row in rows}
    # a device that stops has no time, and so no ratio
    assert found['adversarial-x']['stock'] is None
    assert found['adversarial-x']['ratio'] is None
    assert found['adversarial-y']['ratio'] == 2
    # plain RAM beside: what the device itself takes
    beside, = benchcases.case_rows('adversarial-z', {'time-ms': 9.},
                                   {'time-ms': 6.}, {'time-ms': 4.})
    assert beside['plain'] == 4
    benchrows.set_goals([beside])
    has(benchreport.md_adversarial([beside]),
        '| `adversarial-z` | 9 ms | 6 ms | 4 ms | 1.5 |')
    assert benchcases.variants_of('adversarial-z') == ['stock', 'series',
                                                       'plain']
    assert benchcases.variants_of('scatter-32m') == ['stock', 'series']
    longest, = benchcases.silence_rows(rows)
    assert (longest['scenario'], longest['ours'], longest['of']) == \
        ('longest-silence-inside', 60, 'adversarial-y')


CALLGRIND = '''ob=/bin/x
fn=f
0x10 1 {n}
0x14 1 {n}
calls=1 0x99 1
0x14 1 999999
ob=/bin/y
fn=g
0x10 2 7
'''


def test_instructions_are_counted(b):
    found = [benchcount.parse(b.write(f'cg.{n}', CALLGRIND.format(n=n)))
             for n in (30000, 50000)]
    # not what a call costs in all, not what does not grow
    assert benchcount.difference(*found) == {('/bin/x', 0x10): 1,
                                             ('/bin/x', 0x14): 1}
    table = benchcount.count_rows({
        'stock': {}, 'last': {'dma-warm': (90., 3.)},
        'series': {'dma-warm': (45., 2.)}, 'bare': {'dma-warm': (41., 2.)}})
    assert [(r['scenario'], r['stock'], r['ours'], r['last'], r['bare'])
            for r in table] == [
        ('dma-warm-instructions', None, 45, 90, 41),
        ('dma-warm-locked-operations', None, 2, 3, 2)]
    has(benchreport.md_counts({r['scenario']: r for r in table}),
        '| a DMA: map, reverse lookup, unmap | - | 45 | 41 |')


def test_what_looks_inside_a_hit(b):
    row = benchrows.inside_row([6.2, 6.9, 6.3], [6.15, 7.0, 6.4])
    assert (row['ours'], row['noise'], row['bare']) == (0.05, 0.1, 6.15), row
    found = [row, benchrows.inside_row([7.2, 7.3, 7.9], [6.2, 6.3, 6.3])]
    benchrows.set_goals(found)
    assert [r['reached'] for r in found] == [True, False], found
    has(benchreport.md_counts({row['scenario']: row}),
        'a difference of 0.05 ns', '0.10 ns above its least')
    has(benchreport.md_goals([row]), 'the noise')
    # as the benchmark measures it: by turns of its own
    program = b.write('program', '#!/bin/sh\n[ "$1" = --hit ] && echo x >> '
                      '"$0.turns" && printf "unlocked-hit\\tns\\t6.5\\n"\n')
    os.chmod(program, 0o755)
    tool = load(b, 'bench')
    row, = tool.measure_inside({'series': program, 'bare': program},
                               dict(os.environ), tool.Run(1))
    assert (row['series'], row['ours'], row['noise']) == (6.5, 0, 0), row
    assert len(b.read('program.turns').split()) == 2 * tool.INSIDE_TURNS


def test_noise_has_no_ratio():
    values = benchrows.read_micro(MICRO.format(
        dma='1510.000', maps='1.0000', inv='512000.000', calls='0'))
    assert benchrows.net(values, 'dma-warm', False) is None
    assert benchrows.net(values, 'invalidate-1024', False) is None


def test_turns_are_merged():
    turns = [benchrows.read_qemu(QEMU.format(calls=calls, faults='1.000',
                                             cpu=cpu))
             for calls, cpu in (('0.000', '300.000'), ('2.000', '200.000'))]
    # the least time; a count is made no better than it was
    ours = benchrows.merge_qemu(turns, True)['ide-read-64k']
    assert (ours['map-calls'], ours['cpu-ns']) == (2, 200)
    stock = benchrows.merge_qemu(turns, False)['ide-read-64k']
    assert (stock['map-calls'], stock['cpu-ns']) == (0, 200)
    assert ours['instructions'] is None


def test_markdown():
    text = benchreport.markdown(sample_rows(), 'Somewhere.')
    has(text, 'Somewhere.', '6.5 µs | 50 ns | 130 | 100 | 200×',
        '| ide-read-64k | 1 → 0 | 1 → 0 | 16 → 0 | '
        '1,000 | 500 | 250 | 2 | 2 |', '| 64 | 6.5 µs | 50 ns | 130 |',
        'Not reached in this run: `dma-warm` (130 of 200×)',
        'takes 102 µs: the kernel')


def test_stock_that_takes_less():
    rows = {name: {'stock': 5., 'ours': 8., 'plain': 9.} for name in (
        'ide-read-64k-cpu', 'ide-read-64k-libxen-calls', 'register-cpu',
        'register-libxen-calls', 'vblk-read-64k-cpu')}
    has(benchreport.md_explained(rows), 'Stock took 3 ms/GiB less in this run')
    rows['ide-read-64k-cpu']['stock'] = 12.
    has(benchreport.md_explained(rows), 'Stock takes 4 ms/GiB more, ')


MARK = benchreport.MARK.format('tools/bench')


def test_document(b):
    path = b.write('figures.md', f'kept\n{MARK}\n\nold\n')
    benchreport.document(path, 'new\n')
    assert b.read('figures.md') == f'kept\n{MARK}\n\nnew\n'
    with open(path, 'a', encoding='utf-8') as out:
        out.write(f'\n{benchreport.END}\n\nkept too\n')
    for _ in range(2):
        benchreport.document(path, 'newer\n')
        assert b.read('figures.md') == (
            f'kept\n{MARK}\n\nnewer\n\n{benchreport.END}\n\n'
            'kept too\n')
    has(benchreport.md_readme(sample_rows()),
        'unmap of a page, warm | 6.5 µs | 50 ns |')


def test_what_is_missing_is_told(b):
    os.makedirs(b.path('empty'))
    has(b.run('bench', '--build', b.path('empty'), fails=True),
        'obj/build.ninja is not built', 'make build')
    has(b.run('bench', '--build', b.path('empty'), '--turns', '0',
              fails=True), '--turns')


def counts(b, binary):
    """What some loads of a whole QEMU ask Xen for."""
    program = os.path.join(b.real_build, 'obj', 'tests', 'bench',
                           'xen-qemu-bench')
    library = os.path.join(b.real_build, 'xensim', 'libxensim.so')
    qemu = os.path.join(b.real_build, binary, 'qemu-system-i386')
    for path in (program, library, qemu):
        if not os.path.exists(path):
            raise Skip(f'{path} is not built')
    with tempfile.TemporaryDirectory(prefix='xen-bench-',
                                     dir='/dev/shm') as scratch:
        cmd = [program, '--qemu', qemu, '--dir', scratch, '--scale', '0.01']
        for device in ('ide', 'ahci', 'nvme', 'vblk'):
            cmd += ['--load', f'{device}-read-64k']
        res = subprocess.run(
            cmd + ['--load', 'e1000-receive'], check=False, text=True,
            env=dict(os.environ, XENSIM_LIB=library, TMPDIR=scratch),
            timeout=240, capture_output=True)
    assert res.returncode == 0, res.stderr
    return benchrows.read_qemu(res.stdout)


def wrong(values):
    """Loads for which a warm DMA is not free of map calls and faults."""
    return [f'{load}: {name} {value[name]}'
            for load, value in values.items()
            for name, most in (('map-calls', 0), ('map-pages', 0),
                               # the process may touch memory of its own
                               ('faults', 0.1))
            if value[name] > most]


def test_warm_dma_makes_no_map_call(b):
    values = counts(b, 'qemu')
    assert len(values) == 5, values
    assert not wrong(values), wrong(values)


def test_stock_is_caught(b):
    """The same on stock, which maps for each DMA: the check sees it."""
    values = counts(b, 'stock')
    assert values['ide-read-64k']['map-calls'] == 1, values
    assert values['ide-read-64k']['faults'] >= 16, values
    told = ' '.join(wrong(values))
    has(told, 'ide-read-64k: map-calls', 'ahci-read-64k: faults',
        'nvme-read-64k: map-pages', 'vblk-read-64k: map-calls')


# what makes an instruction wait, or leaves the function
SLOW = re.compile(r'call\b|lock\b|mfence|xchg .*\(')


def parts_of(program, function):
    """(symbols, slow instructions) of a function, by the disassembler."""
    res = subprocess.run(
        ['objdump', '-d', '--no-show-raw-insn', f'--disassemble={function}',
         program], capture_output=True, text=True, check=True)
    lines = re.findall(r'(?m)^ +[0-9a-f]+:\t(.*)$', res.stdout)
    assert lines, f'{program} has no function {function}'
    return (set(re.findall(r'<([\w.]+)(?:\+0x[0-9a-f]+)?>', '\n'.join(lines))),
            [line for line in lines if SLOW.match(line)])


def test_a_hit_asks_for_no_trace_event(b):
    """It reads and writes the mapcache and the thread's counters alone, calls
    nothing, and waits for no other processor, with trace events compiled in."""
    program = os.path.join(b.real_build, 'qemu', 'qemu-system-i386')
    if not shutil.which('objdump'):
        raise Skip('objdump is not installed')
    if not os.path.exists(program):
        raise Skip(f'{program} is not built')
    symbols, slow = parts_of(program, 'xen_map_cache')
    assert symbols == {'xen_map_cache', 'mapcache', 'map_rest',
                       'map_unmarked'}, symbols
    assert not slow, slow
    # what is slow, and a trace event, are seen where they are
    _, slow = parts_of(program, 'xen_invalidate_map_cache_entry')
    assert any(line.startswith('lock') for line in slow), slow
    symbols, slow = parts_of(program, 'mcache_dma_report')
    assert any(line.startswith('call') for line in slow), slow
    assert {'trace_events_enabled_count',
            '_TRACE_XEN_INVALIDATE_MAP_CACHE_DSTATE'} <= symbols, symbols
