# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark's rows as a table, as Markdown and as pictures."""
import os
import re
import subprocess

from say import Failure

# what docs/design.md promises: scenario, in words, the ratio or bound to reach
PROMISED = [
    ('unlocked-hit', 'transient pointer, hit', '4×'),
    ('unlocked-hit-2-threads-overlap',
     'the same, 2 threads at the same time without the BQL', '8×'),
    ('dma-warm', '4 KiB DMA map, reverse lookup, unmap, warm', '200×'),
    ('dma-warm-1024-held', 'the same with 1,024 others outstanding', '200×'),
    ('invalidate-empty', 'invalidate, empty cache', '500×'),
    ('invalidate-1024', 'invalidate, 1,024 buckets, all unmapped on return',
     '20×'),
    ('map-calls-warm-dma', 'map calls for 100 DMAs to a warm bucket', '0'),
    ('map-calls-hole', 'pages asked for in 100 reads of a hole', '100'),
    ('bookkeeping', 'writable bookkeeping at start, no grants', '2048 KiB'),
    ('ide-read-64k-map-calls',
     'emulated IDE disk, 64 KiB read: map calls for each DMA', '0'),
    ('ide-read-64k-faults', 'the same: page faults for each DMA', '0'),
    ('map-call', 'one simulated map of a bucket', ''),
    ('unmap-call', 'its end', ''),
    ('unmap-run', 'the same of 1,024 neighbours by one call, each', ''),
]
GROWTH = [
    ('dma-held-', 'DMA mappings outstanding',
     'a DMA: map, reverse lookup, unmap', True),
    (r'size-(\d+)-hit', 'guest, MiB', 'a lookup', True),
    (r'size-(\d+)-dma', 'guest, MiB', 'a DMA', True),
    (r'size-(\d+)-invalidate', 'guest, MiB', 'an invalidate, 64 buckets',
     True),
]


def points(rows, pattern):
    """[(x, row)] of a growth."""
    if '(' not in pattern:
        pattern += r'(\d+)'
    found = [(re.fullmatch(pattern, row['scenario']), row) for row in rows]
    return sorted(((int(m.group(1)), row) for m, row in found if m),
                  key=lambda p: p[0])


def number(value):
    if value is None:
        return '-'
    if value == 0:
        return '0'
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    text = f'{value:,.{digits}f}'
    return text.rstrip('0').rstrip('.') if '.' in text else text


def duration(ns):
    for unit, size in (('ms', 1e6), ('µs', 1e3)):
        if ns is not None and ns >= size:
            return f'{number(ns / size)} {unit}'
    return number(ns) + ' ns'


def shown(value, unit):
    if unit == 'ns':
        return duration(value)
    if unit == 'KiB' and value >= 10240:
        return number(round(value / 1024)) + ' MiB'
    return number(value) + (f' {unit}' if unit in ('KiB', 'ms/GiB') else '')


def text_table(rows):
    lines = [f'{"scenario":30} {"unit":>11} {"stock":>12} {"ours":>12} '
             f'{"ratio":>8} {"w/o sim.":>8} {"plain":>10} {"noise":>8}']
    for row in rows:
        lines.append(
            f'{row["scenario"]:30} {row["unit"]:>11} '
            f'{number(row["stock"]):>12} {number(row["ours"]):>12} '
            f'{number(row["ratio"]):>8} '
            f'{number(row.get("ratio_without_simulation")):>8} '
            f'{number(row.get("plain")):>10} '
            f'{number(row.get("noise")):>8}')
    return '\n'.join(lines)


# ---- Markdown

def md_table(head, body):
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in
                     [head, ['---'] * len(head), *body]) + '\n'


def md_promised(by_name):
    body = []
    for name, words, bar in PROMISED:
        row = by_name.get(name)
        if row:
            body.append([words, shown(row['stock'], row['unit']),
                         shown(row['ours'], row['unit']),
                         number(row['ratio']),
                         number(row.get('ratio_without_simulation')), bar])
    return md_table(['operation', 'stock', 'series', 'ratio',
                     'without the simulated calls', 'to reach'], body)


def md_reached(by_name):
    """Which ratios are not what was promised, in sentences."""
    missed = []
    for name, _, bar in PROMISED:
        ratio = by_name.get(name, {}).get('ratio')
        if bar.endswith('×') and ratio is not None and ratio < int(bar[:-1]):
            missed.append(f'`{name}` ({number(ratio)} of {bar})')
    text = ('Not reached in this run: ' + '; '.join(missed) + '.\n'
            if missed else 'Each ratio is reached in this run.\n')
    row = by_name.get('invalidate-1024')
    if row and row.get('plain'):
        text += (
            f'\nOf the {duration(row["ours"])} that an invalidate of 1,024 '
            'buckets takes, the one mmap() that ends them takes '
            f'{duration(row["plain"])}: the kernel takes down 1,024 areas, and '
            'a bucket is an area on Xen. If an invalidate did nothing else, '
            'the ratio would be '
            f'{number(row["stock"] / row["plain"])}.\n')
    return text


COUNTED = [('unlocked-hit', 'a lookup that hits'),
           ('dma-warm', 'a DMA: map, reverse lookup, unmap')]


def md_counts(by_name):
    """Instructions, also of the mapcache without what looks inside."""
    body = []
    for name, words in COUNTED:
        row = by_name.get(f'{name}-instructions')
        if row and 'bare' in row:
            body.append([words, number(row['stock']), number(row['ours']),
                         number(row['bare'])])
    text = md_table(['instructions of', 'stock', 'series', 'series without '
                     'counts'], body) if body else ''
    row = by_name.get('unlocked-hit-inside')
    if row:
        text += (f'\nA hit takes {duration(row["series"])}, and '
                 f'{duration(row["bare"])} without counts: a difference of '
                 f'{row["ours"]:.2f} ns. In the same run the median turn of the '
                 f'series is {row["noise"]:.2f} ns above its least.\n')
    return text


BESIDE = {'plain': 'plain RAM', 'last': 'the last release', 'stock': 'stock',
          'noise': 'the noise'}


def in_ms(value, unit):
    """A value with its unit, for the table of goals."""
    if value is None:
        return '-'
    return duration(value) if unit == 'ns' else f'{number(value)} {unit}'


def md_goals(rows):
    """The figures to reach, and whether they are."""
    body = []
    for row in rows:
        goal = row.get('goal')
        if not goal:
            continue
        beside = goal['times']
        most = number(goal['most'])
        body.append([f'`{row["scenario"]}`',
                     in_ms(row['stock'], row['unit']),
                     in_ms(row['ours'], row['unit']),
                     in_ms(row[beside], row['unit'])
                     if row.get(beside) is not None else '-',
                     f'≤ {most} × {BESIDE[beside]}' if beside
                     else f'≤ {most}',
                     number(row['goal_value']),
                     {True: 'yes', False: 'no', None: '-'}[row['reached']]])
    return md_table(['scenario', 'stock', 'series', 'beside', 'to reach',
                     'is', 'reached'], body) if body else ''


def loads_of(rows):
    return [row['scenario'][:-len('-map-calls')] for row in rows
            if row['scenario'].endswith('-map-calls')]


COUNTS = [('map-calls', 'map calls'), ('map-pages', 'pages'),
          ('libxen-calls', 'all libxen calls'), ('faults', 'page faults'),
          ('syscalls', 'system calls'), ('instructions', 'instructions')]


def md_qemu(by_name, loads):
    def row(load, measure):
        return by_name[f'{load}-{measure}']

    counts = [(name, words) for name, words in COUNTS
              if any(row(load, name)['ours'] is not None for load in loads)]
    body = []
    for load in loads:
        cpu = row(load, 'cpu')
        unit = '' if cpu['unit'] == 'ms/GiB' else ' ns'
        body.append([load,
                     *(f'{number(row(load, name)["stock"])} → '
                       f'{number(row(load, name)["ours"])}'
                       for name, _ in counts),
                     *(number(cpu[who]) + unit
                       for who in ('stock', 'ours', 'plain')),
                     number(cpu['ratio']),
                     number(row(load, 'time')['ratio'])])
    return md_table(['load', *(words for _, words in counts),
                     'CPU, ms/GiB: stock', 'series', 'plain RAM', 'ratio',
                     'ratio of time'], body)


REQUESTS = 2**30 / 65536        # of 64 KiB, in a GiB


def md_explained(by_name):
    """Where the CPU time of an emulated disk's reads goes, in sentences."""
    needed = ['ide-read-64k-cpu', 'ide-read-64k-libxen-calls',
              'register-cpu', 'register-libxen-calls', 'vblk-read-64k-cpu']
    if any(by_name.get(name, {}).get('ours') is None for name in needed):
        return ''
    ide, calls, register, each, vblk = (by_name[name] for name in needed)
    accesses = calls['ours'] / each['ours']
    spent = accesses * register['ours'] / 1e6 * REQUESTS
    more = ide['stock'] - ide['ours']
    if more > 0:
        beside = (f'Stock takes {number(more)} ms/GiB more, '
                  f'{duration(more * 1e6 / REQUESTS)} for each request: the '
                  'map call, its end, and 16 page faults. ')
    else:
        beside = (f'Stock took {number(-more)} ms/GiB less in this run, with '
                  'a map call, its end, and 16 page faults for each request: '
                  'the cost of the accesses varies by more than that. ')
    return (
        f'A 64 KiB read of the IDE disk is {accesses:.0f} accesses to '
        f'registers ({number(calls["ours"])} libxen calls, '
        f'{number(each["ours"])} to an access), '
        f'{duration(register["ours"])} of CPU time each: {number(spent)} of '
        f'the series\' {number(ide["ours"])} ms/GiB. {beside}'
        'virtio-blk, which asks for 32 requests by one access, shows what is '
        'left without the registers: '
        f'{duration(vblk["ours"] * 1e6 / REQUESTS)} for each request in the '
        f'series, {duration(vblk["plain"] * 1e6 / REQUESTS)} with plain RAM, '
        f'{duration(vblk["stock"] * 1e6 / REQUESTS)} in stock.\n')


def md_growth(rows):
    parts = []
    for pattern, axis, words, _ in GROWTH:
        found = points(rows, pattern)
        if found:
            body = [[f'{x:,}', duration(row['stock']), duration(row['ours']),
                     number(row['ratio'])] for x, row in found]
            parts.append(f'{words[0].upper()}{words[1:]}:\n\n' +
                         md_table([axis, 'stock', 'series', 'ratio'], body))
    found = points(rows, r'size-(\d+)-bookkeeping')
    if found:
        body = [[f'{x:,}', number(row['stock']), number(row['ours'])]
                for x, row in found]
        parts.append('Writable bookkeeping in the end, KiB:\n\n' +
                     md_table(['guest, MiB', 'stock', 'series'], body))
    return '\n'.join(parts)


def md_adversarial(rows):
    """Each adversarial case beside plain RAM: what the device itself takes."""
    body = [[f'`{row["scenario"]}`'] +
            [in_ms(row[who], row['unit'])
             for who in ('stock', 'ours', 'plain')] +
            [number(row['ours'] / row['plain'])
             if row['ours'] is not None and row['plain'] else '-']
            for row in rows
            if row['scenario'].startswith('adversarial-') and 'plain' in row
            and (row.get('goal') or row['scenario'].endswith('-cpu'))]
    return md_table(['case', 'stock', 'series', 'plain RAM',
                     'series / plain RAM'], body) if body else ''


def markdown(rows, machine):
    by_name = {row['scenario']: row for row in rows}
    parts = [machine + '\n']
    if any(name in by_name for name, *_ in PROMISED):
        parts += ['## The mapcache\n', md_promised(by_name),
                  md_reached(by_name)]
    access = by_name.get('access-8')
    if access:
        parts.append(
            'Eight bytes of guest RAM by a lookup: '
            f'{duration(access["stock"])} stock, {duration(access["ours"])} '
            f'series; by a plain pointer: {duration(access["plain"])}.\n')
    counted = md_counts(by_name)
    if counted:
        parts.append(counted)
    loads = loads_of(rows)
    if loads:
        parts += ['## Whole QEMU\n', md_qemu(by_name, loads),
                  md_explained(by_name)]
    goals = md_goals(rows)
    if goals:
        parts += ['## Figures to reach\n', goals]
    adversarial = md_adversarial(rows)
    if adversarial:
        parts += ['## What the devices themselves take\n', adversarial]
    growth = md_growth(rows)
    if growth:
        parts += ['## Growth\n', growth]
    return '\n'.join(parts)


README_ROWS = [
    ('unlocked-hit', 'transient pointer, hit'),
    ('unlocked-hit-2-threads-overlap', 'the same, 2 threads at a time'),
    ('dma-warm', 'DMA map, reverse lookup and unmap of a page, warm'),
    ('invalidate-empty', 'invalidate, empty cache'),
    ('invalidate-1024', 'invalidate, 1,024 buckets'),
    ('map-calls-warm-dma', 'map calls for 100 DMAs to a warm bucket'),
    ('map-calls-hole', 'pages asked for in 100 reads of a hole'),
    ('bookkeeping', 'writable bookkeeping at start'),
    ('ide-read-64k-map-calls', 'QEMU, 64 KiB read of an IDE disk: map calls'),
    ('ide-read-64k-faults', 'the same: page faults'),
    ('vblk-read-64k-cpu', 'QEMU, reads of a virtio disk: CPU time')]


def md_readme(rows):
    """The few rows that the README has."""
    by_name = {row['scenario']: row for row in rows}
    return md_table(['', 'stock', 'series'],
                    [[words, shown(by_name[name]['stock'],
                                   by_name[name]['unit']),
                      shown(by_name[name]['ours'], by_name[name]['unit'])]
                     for name, words in README_ROWS if name in by_name])


MARK = '<!-- {} --document writes what follows -->'
END = '<!-- up to here -->'


def document(path, text, tool='tools/bench'):
    """Put TEXT behind TOOL's mark in a document, up to the next or its end."""
    mark = MARK.format(tool)
    with open(path, encoding='utf-8') as src:
        before, found, rest = src.read().partition(mark)
    if not found:
        raise Failure(f'{path}: there is no line "{mark}" in it')
    _, end, after = rest.partition(END)
    tail = f'\n{end}{after}' if end else ''
    write_whole(path, f'{before}{mark}\n\n{text}{tail}')


def write_whole(path, text):
    with open(path + '.new', 'w', encoding='utf-8') as out:
        out.write(text)
    os.replace(path + '.new', path)


# ---- pictures

TERMINALS = (('pngcairo size {},{} font "sans,11"', 'png'),
             ('svg size {},{} font "sans,11" background "white"', 'svg'))


def gnuplot(report, name, size, script):
    for terminal, suffix in TERMINALS:
        text = (f'set terminal {terminal.format(*size)}\n'
                f'set output "{report}/{name}.{suffix}"\n' + script)
        subprocess.run(['gnuplot'], text=True, check=True, input=text)


# what the mapcache has no part in
NOT_DRAWN = ('register',)
BARS = [('unlocked-hit', 'lookup, hit'),
        ('unlocked-hit-2-threads-overlap', 'lookup, hit, 2 threads'),
        ('dma-2-threads-overlap', 'DMA map and unmap, 2 threads'),
        ('access-8', 'lookup and read of 8 bytes'),
        ('dma-warm', 'DMA map, reverse, unmap'),
        ('dma-warm-1024-held', 'the same, 1,024 others outstanding'),
        ('invalidate-empty', 'invalidate, empty'),
        ('invalidate-1024', 'invalidate, 1,024 buckets')]


def bars(rows):
    """[(label, ratio)], from the bottom up."""
    by_name = {row['scenario']: row for row in rows}
    found = [(words, by_name[name]['ratio']) for name, words in BARS
             if name in by_name]
    found += [(f'CPU time, {load}', by_name[f'{load}-cpu']['ratio'])
              for load in loads_of(rows) if load not in NOT_DRAWN]
    return [bar for bar in reversed(found) if bar[1]]


def plot_ratios(rows, report):
    drawn = bars(rows)
    if not drawn:
        return
    data = os.path.join(report, 'bench-ratios.tsv')
    with open(data, 'w', encoding='utf-8') as out:
        for at, (label, value) in enumerate(drawn):
            out.write(f'{at}\t{value}\t"{label}"\t"{number(value)}"\n')
    top = max(value for _, value in drawn)
    gnuplot(report, 'bench-ratios', (900, 120 + 24 * len(drawn)), f'''
set title "How many times as fast as stock (time, or CPU time of QEMU)"
set logscale x
set xrange [0.5:{top * 4}]
set yrange [-0.7:{len(drawn) - 0.3}]
set xlabel "stock / series"
set grid xtics
set style fill solid 0.8
set tics nomirror
set arrow from 1,-0.7 to 1,{len(drawn) - 0.3} nohead lc rgb "#404040"
unset key
plot "{data}" using 2:0:(0.5):2:($0-0.35):($0+0.35):ytic(3) \\
       with boxxyerror lc rgb "#3070b0", \\
     "{data}" using 2:0:4 with labels left offset 0.5,0
''')


def plot_growth(rows, report):
    panels = [(pattern, axis, words, log)
              for pattern, axis, words, log in GROWTH
              if points(rows, pattern)]
    if not panels:
        return
    script = (f'set multiplot layout {(len(panels) + 1) // 2},2\n'
              'set logscale y\nset ylabel "ns"\nset grid\nset tics nomirror\n'
              'set key left top\nset format xy "10^{%L}"\n')
    for at, (pattern, axis, words, log) in enumerate(panels):
        data = os.path.join(report, f'bench-growth-{at}.tsv')
        found = points(rows, pattern)
        with open(data, 'w', encoding='utf-8') as out:
            for x, row in found:
                out.write(f'{x}\t{row["stock"]}\t{row["ours"]}\n')
        high = max(max(row['stock'], row['ours']) for _, row in found)
        low = min(min(row['stock'], row['ours']) for _, row in found)
        left, right = found[0][0], found[-1][0]
        script += (('set logscale x\n' if log else
                    'unset logscale x\nset xtics 1\nset format x "%g"\n') +
                   f'set xlabel "{axis}"\nset title "{words}"\n'
                   f'set yrange [{low / 4}:{high * 30}]\n'
                   + (f'set xrange [{left / 2}:{right * 2}]\n' if log else
                      f'set xrange [{left - 0.5}:{right + 0.5}]\n') +
                   f'plot "{data}" using 1:2 with linespoints pt 5 '
                   'lc rgb "#b04030" title "stock", '
                   f'"{data}" using 1:3 with linespoints pt 7 '
                   'lc rgb "#3070b0" title "series"\n'
                   + ('' if log else
                      'set xtics autofreq\nset format x "10^{%L}"\n'))
    gnuplot(report, 'bench-growth', (1000, 330 * ((len(panels) + 1) // 2)),
            script + 'unset multiplot\n')


def plots(rows, report):
    plot_ratios(rows, report)
    plot_growth(rows, report)
