# SPDX-License-Identifier: GPL-2.0-or-later
"""The view of all guests' mapcaches: figures, and the names of guests."""
import csv
import itertools
import json
import os
import pwd
import threading
import time

import mapcacheview as view
from bench import Skip, has
from simguests import SLOW_DISK, FakeMonitor, Flood, guests, meanwhile
from topview import OLDER, OURS, STOCK, Terminal, fakes, rows_of, top


def test_top_three_guests(b):
    """Figures of real device models, and of what was done meanwhile."""
    with guests(b, (1, 'one'), (4, 'four'), (12, 'twelve')) as (one, four, _):
        one.read(0x100000)
        # the monitor's own reads are what is counted
        with meanwhile(one, itertools.repeat('xp /4xb 0x100000')):
            out, said = top(b, '--once', '--json', '-i', '1.5')
        assert said == [], said
        rows = {row['name']: row for row in json.loads(out)['guests']}
        assert list(rows) == ['one', 'four', 'twelve']
        assert [row['domid'] for row in rows.values()] == [1, 4, 12]
        assert rows['one']['hit-percent'] == 100, rows
        assert rows['one']['misses-per-second'] == 0
        assert rows['one']['mapped-bytes'] >= 1 << 20
        # no lookup, no rate of hits
        assert rows['four']['hit-percent'] is None
        before = rows['four']['counters']
        four.read(0x200000)
        four.read(0x300000)
        out, _ = top(b, '--once', '--json', '4', 'one')
        rows = {row['name']: row for row in json.loads(out)['guests']}
        assert list(rows) == ['four', 'one']
        now = rows['four']['counters']
        assert now['misses'] == before['misses'] + 2, (before, now)
        # a path names a guest, too
        out, _ = top(b, '--once', one.socket)
        assert list(rows_of(out)) == ['one'], out
        assert rows_of(out)['one']['ID'] == '-', out


def test_top_figures_of_an_interval(b):
    """Rates are those of the interval, whatever was before."""
    sample = {'name': 'x', 'oldest': None,
              'counters': {'hits': 1997, 'misses': 5, 'map-calls': 8,
                           'buckets': 3}}
    guest = type('Guest', (), {'domid': 1})
    row = view.row_of(guest, sample, {'hits': 1000, 'misses': 2,
                                      'map-calls': 9}, 2)
    assert row['hit-percent'] == 99.7 and row['misses-per-second'] == 1.5
    # it went backwards: another process
    assert row['map-calls-per-second'] is None
    assert row['mapped-bytes'] == 3 << 20
    row = view.row_of(guest, sample, None, 1)
    assert row['hit-percent'] is None and row['misses-per-second'] is None
    # a single miss among a million hits shows
    assert view.percent(99.9999) == '99.9' and view.percent(100) == '100.0'


def test_top_holder(b):
    with fakes(b, d3=OURS) as made:
        row = rows_of(top(b, '--once')[0])['new']
        assert (row['MAPPED'], row['IDLE'], row['DMA'], row['HELD'],
                row['OLDEST']) == ('20.0M', '2.0M', '2', '7',
                                   '12s ich9-ahci'), row
        asked = [c for c in made['d3'].commands
                 if c['execute'] == 'x-query-xen-mapcache-dma']
        assert asked[0]['arguments'] == {'limit': 1, 'held': False}, asked
    none = {**OURS, 'x-query-xen-mapcache-dma': {'total': 0, 'mappings': []}}
    with fakes(b, d4=none):
        assert rows_of(top(b, '--once', '4')[0])['new']['OLDEST'] == 'none'


def test_top_names_a_device_as_its_user_does(b):
    for told, shown in (
            ('virtio-blk-device (/machine/peripheral/disk/virtio-backend)',
             'disk'),
            ('ich9-ahci (/machine/peripheral/ahci)', 'ahci'),
            ('piix3-ide (/machine/unattached/device[9])', 'piix3-ide'),
            ('ich9-ahci', 'ich9-ahci'), ('', '')):
        assert view.short_device(told) == shown, told


def test_top_what_a_qemu_lacks_is_a_dash(b):
    with fakes(b, d2=OLDER):
        row = rows_of(top(b, '--once')[0])['older']
        assert row == {'ID': '2', 'NAME': 'older', 'HIT%': '-',
                       'MISS/s': '0', 'MAP/s': '-', 'MAPPED': '3.0M',
                       'IDLE': '-', 'DMA': '-', 'HELD': '-',
                       'OLDEST': '-'}, row
        line = list(csv.DictReader(top(b, '--once', '--csv')[0].splitlines()))
        assert len(line) == 1 and line[0]['name'] == 'older', line
        assert line[0]['held'] == '-' and line[0]['mapped-bytes'] == '3145728'
        assert abs(float(line[0]['time']) - time.time()) < 60


def test_top_goes_on_with_the_others(b):
    """One line for each guest that cannot be asked."""
    answers = {'query-xen-mapcache': ValueError('this machine has none')}
    with fakes(b, d1=OLDER, d2=STOCK, d3=answers,
               d4={**OLDER, 'query-xen-mapcache': None},
               d5={**OLDER, 'query-xen-mapcache': 'nonsense'}):
        FakeMonitor(b.path('run', 'qmp-libxl-6'), {}, 'SSH-2.0')
        FakeMonitor(b.path('run', 'qmp-libxl-7'), {}).close()
        out, said = top(b, '--once')
        assert list(rows_of(out)) == ['older'], out
        lines = {line.split(': ')[1]: line for line in said}
        assert len(lines) == len(said) == 6, said
        has(lines['2'], 'without the series')
        has(lines['3'], 'this machine has none')
        has(lines['4'], 'no answer from', 'another client')
        has(lines['5'], 'cannot be understood')
        has(lines['6'], 'not a QMP socket')
        has(lines['7'], 'has ended')
        # whoever asks for it by name is told by the exit status
        out, said = top(b, '--once', '1', '2', '99', 'nobody', status=1)
        assert list(rows_of(out)) == ['older'], out
        assert len(said) == 3, said
        has(said[0] + said[1] + said[2], '99: no such domain',
            'nobody: no such domain', '2: QEMU')


def test_top_stock_qemu(b):
    with guests(b, (1, 'ours'), (2, 'stock', (), 'stock')):
        out, said = top(b, '--once')
        assert list(rows_of(out)) == ['ours'] and len(said) == 1, (out, said)
        has(said[0], '2: QEMU 10.', 'without the series')


def test_top_no_guest(b):
    error = b.run('xen-mapcache-top', '--once', '-i', '0.1', '--run-dir',
                  b.path('run'), fails=True)
    has(error, 'no device model has a socket in', b.path('run'))


def test_top_without_the_right_to(b):
    if os.geteuid() != 0:
        raise Skip('becoming somebody else needs root')
    if os.stat(b.tools).st_mode & 5 != 5:
        raise Skip(f'others may not read {b.tools}')
    nobody = pwd.getpwnam('nobody').pw_uid
    os.chmod(b.scratch, 0o755)
    with fakes(b, d1=OLDER, d2=OLDER):
        os.chmod(b.path('run', 'qmp-libxl-1'), 0o600)
        os.chmod(b.path('run', 'qmp-libxl-2'), 0o666)
        out, said = top(b, '--once', user=nobody)
        assert len(rows_of(out)) == 1 and len(said) == 1, (out, said)
        has(said[0], '1: no permission for', 'run as root')
        os.chmod(b.path('run'), 0o700)
        _, said = top(b, '--once', user=nobody, status=1)
        assert len(said) == 1, said
        has(said[0], 'error: no permission for', 'run as root')


def test_top_text_of_a_guest_is_harmless(b):
    """A device model that has been taken over does not reach the terminal."""
    evil = {**OLDER, 'query-name': {'name': 'a\033[2Jb\nc'},
            'query-xen-mapcache': ValueError('\033]0;x\007')}
    with fakes(b, d1={**evil, **{'query-xen-mapcache': {'hits': 'many'}}},
               d2=evil):
        out, said = top(b, '--once')
        has(out, 'a?[2Jb?c')
        assert len(said) == 1 and '\033' not in out + said[0], (out, said)


def test_top_floods_do_not_hide_others(b):
    """Nor do they take the host's memory."""
    floods = [Flood(b.path('run', f'qmp-libxl-{n}'), {}) for n in range(1, 41)]
    long = {**OURS['query-xen-mapcache'], 'more': 'x' * 300000}
    with fakes(b, d41=OURS, d42={**OURS, 'query-xen-mapcache': long}):
        out, said = top(b, '--once')
        assert list(rows_of(out)) == ['new'], out
        assert len(said) == 41, said
        for line in said:
            has(line, 'the answer from ', ' is too long')
    assert all(flood.connections for flood in floods)


def test_top_long_texts_are_cut(b):
    """A line for a guest stays one that can be read."""
    long = 'n' * 10000
    dma = {'total': 1, 'mappings': [{'device': long, 'age': 1}]}
    greeting = ('{"QMP": {"version": {"qemu": {"major": 1, "minor": 0, '
                f'"micro": 0}}, "package": "{long}"}}}}')
    with fakes(b, d1={**OURS, 'query-name': {'name': long},
                      'x-query-xen-mapcache-dma': dma},
               d2={**OURS, 'query-name': {'name': [long]}},
               d3={'query-xen-mapcache': ValueError(long)}):
        FakeMonitor(b.path('run', 'qmp-libxl-4'), STOCK, greeting)
        out, said = top(b, '--once', '--json')
        row, odd = json.loads(out)['guests']
        assert row['name'] == row['oldest-device'] == 'n' * 199 + '+', row
        assert odd['name'] == '?', odd
        assert len(said) == 2 and max(map(len, said)) < 300, said


def test_top_several_say_that_a_name_is_theirs(b):
    """One that has been taken over is not shown in place of another."""
    with fakes(b, d3=OURS, d8=OURS, d9=OLDER):
        out, said = top(b, '--once', 'new', 'older', status=1)
        assert list(rows_of(out)) == ['older'], out
        assert said == ['xen-mapcache-top: new: the device models of domains '
                        '3, 8 all say that this is their name: give a number'
                        ], said
        assert list(rows_of(top(b, '--once', '3')[0])) == ['new']
        assert len(top(b, '--once', '--csv')[0].splitlines()) == 4


def test_top_what_is_no_socket(b):
    b.write('run/file', 'x')
    _, said = top(b, '--once', b.path('run', 'file'), status=1)
    assert len(said) == 1, said
    has(said[0], f'{b.path("run", "file")} is not a QMP socket')


def test_top_uses_the_socket_for_statistics(b):
    with fakes(b, d1=OLDER):
        other = FakeMonitor(b.path('run', 'qmp-libxenstat-1'),
                            {**OLDER, 'query-name': {'name': 'stat'}})
        assert list(rows_of(top(b, '--once')[0])) == ['stat']
        other.close()
        assert list(rows_of(top(b, '--once')[0])) == ['older']


XL = '''#!/bin/sh
case $1 in
list) echo "Name      ID   Mem VCPUs  State  Time(s)"
      echo "Domain-0   0  4096     2  r-----   100.0"
      echo "a name     5    64     1  -b----     1.0" ;;
domid) [ "$2" = one ] && echo 5 || { echo "$2: no such domain" >&2; exit 1; } ;;
domname) echo one ;;
qemu-monitor-command) [ "$2" = 5 ] || { echo "no QMP" >&2; exit 1; }
      cat "$0.$(echo "$3" | tr ' ' -)" ;;
esac
'''


def test_top_by_xl(b):
    """What the real "info xen-mapcache" prints is understood, and is the same
    as what QMP says."""
    os.chmod(b.write('bin/xl', XL), 0o755)
    env = {'PATH': b.path('bin') + ':' + os.environ['PATH']}
    with guests(b, (5, 'one', SLOW_DISK)) as (one,):
        one.read(0x100000)
        one.stall()
        for line in ('info xen-mapcache', 'info xen-mapcache transfers'):
            b.write('bin/xl.' + line.replace(' ', '-'), one.human(line))
        by_xl = json.loads(top(b, '--once', '--json', '--xl', env=env)[0])
        by_qmp = json.loads(top(b, '--once', '--json')[0])
    by_xl, by_qmp = by_xl['guests'][0], by_qmp['guests'][0]
    assert by_xl['name'] == by_qmp['name'] == 'one'
    for key, value in by_xl['counters'].items():
        assert by_qmp['counters'][key] == value, key
    assert by_xl['oldest-device'] == by_qmp['oldest-device'], (by_xl, by_qmp)
    assert by_xl['oldest-device'].startswith('piix3-ide ('), by_xl
    assert by_xl['oldest-seconds'] <= by_qmp['oldest-seconds'], (by_xl, by_qmp)
    assert by_xl['counters']['dma'] == 1, by_xl
    assert {'hits', 'dma', 'held', 'buckets'} <= set(by_xl['counters'])
    # it has no transfer; it does not know
    for said, oldest in (('outstanding transfers: 0\r\n', 'none'),
                         ("info xen-mapcache knows nothing of it\r\n", '-')):
        b.write('bin/xl.info-xen-mapcache-transfers', said)
        row = rows_of(top(b, '--once', '--xl', env=env)[0])['one']
        assert row['OLDEST'] == oldest, row
    b.write('bin/xl.info-xen-mapcache',
            "unknown command: 'info xen-mapcache'\n")
    _, said = top(b, '--once', '--xl', 'one', 'two', '6', env=env, status=1)
    assert len(said) == 3, said
    has('\n'.join(said), 'one: its QEMU is without the series',
        'two: xl says: two: no such domain', '6: xl says: no QMP')


# of 40 guests; it notes how many of itself answer at a moment
MANY_XL = '''#!/bin/sh
case $1 in
list) echo "Name ID Mem VCPUs State Time(s)"
      for id in $(seq 40); do echo "g$id $id 64 1 -b---- 1.0"; done ;;
domname) echo "g$2" ;;
qemu-monitor-command)
      mkdir "$0.$$"; ls -d "$0".*[0-9] | wc -l >> "$0.counts"
      sleep 0.1; rmdir "$0.$$"; echo "lookups: 1 hits" ;;
esac
'''


def test_top_by_xl_of_many_guests(b):
    """Each question is a process of xl's: there are never many."""
    os.chmod(b.write('bin/xl', MANY_XL), 0o755)
    env = {'PATH': b.path('bin') + ':' + os.environ['PATH']}
    out, said = top(b, '--once', '--xl', env=env)
    assert len(rows_of(out)) == 40 and not said, (out, said)
    counts = [int(count) for count in b.read('bin/xl.counts').split()]
    assert len(counts) == 160 and 2 <= max(counts) <= 16, counts


def test_top_by_xl_of_a_distrusted_device_model(b):
    """Whatever it prints is looked at in a moment."""
    os.chmod(b.write('bin/xl', XL), 0o755)
    env = {'PATH': b.path('bin') + ':' + os.environ['PATH']}
    many = '7' * 400000
    b.write('bin/xl.info-xen-mapcache',
            f'lookups: {many}\nmap calls: {many} of 12 pages\n'
            f'mapped: 3 buckets{" (at most" * 50000}\n'
            f'outstanding DMA mappings: {many} held, 8 held\n')
    b.write('bin/xl.info-xen-mapcache-transfers',
            f'outstanding transfers: 1\n  {"f" * 400000}\n'
            f'  0-f (reads, transfer, {many} s): x\n'
            f'  0-f (reads, transfer, 7 s): {" [1" * 100000}\n')
    out, said = top(b, '--once', '--json', '--xl', env=env)
    row, = json.loads(out)['guests']
    assert row['counters'] == {'map-pages': 12, 'buckets': 3, 'held': 8}, row
    assert row['oldest-seconds'] is None and not said, (row, said)


def test_top_numbers_that_no_qemu_can_count(b):
    """What a device model that has been taken over tells is not believed."""
    large = int('9' * 400)
    dma = {'total': 1, 'mappings': [{'device': 'x', 'age': large}]}
    greeting = ('{"QMP": {"version": {"qemu": {"major": 1e999, "minor": 0, '
                '"micro": 0}}}}')
    for number, counters, more in (
            (1, {'hits': large, 'misses': 1, 'map-calls': -1, 'dma': large}, {}),
            (2, OURS['query-xen-mapcache'], {'x-query-xen-mapcache-dma': dma}),
            (3, OURS['query-xen-mapcache'], {'x-query-xen-mapcache-dma': {
                'total': 1, 'mappings': [{'device': 'x',
                                          'age': float('inf')}]}})):
        FakeMonitor(b.path('run', f'qmp-libxl-{number}'), {
            'query-name': {'name': f'g{number}'},
            'query-xen-mapcache': counters, **more})
    FakeMonitor(b.path('run', 'qmp-libxl-4'), STOCK, greeting)
    out, said = top(b, '--once')
    rows = rows_of(out)
    assert list(rows) == ['g1', 'g2', 'g3'] and len(said) == 1, (out, said)
    has(said[0], '4: QEMU (version unknown) without the series')
    assert rows['g1']['DMA'] == '-' and rows['g1']['MAP/s'] == '-', rows
    assert rows['g2']['OLDEST'] == rows['g3']['OLDEST'] == '-', rows


def test_top_large_figures_have_units():
    """A figure that was cut would be taken for a smaller one."""
    sample = {'name': 'x', 'oldest': None, 'counters': {
        'hits': 0, 'misses': 10**9, 'map-calls': 123456, 'dma': 123456}}
    row = view.row_of(type('Guest', (), {'domid': 32751}), sample,
                      {'hits': 0, 'misses': 0, 'map-calls': 0}, 1)
    line = dict(zip(view.heading().split(), view.line_of(row).split()))
    assert (line['ID'], line['MISS/s'], line['MAP/s'], line['DMA']) == \
        ('32751', '1.0G', '123K', '123K'), line


def test_top_odd_names(b):
    """A guest is found by its name, whatever that is.  On the screen it is
    ASCII."""
    names = ('b\u00fcro', 'two words', '-x', '42x', '\u202ename')
    made = {f'd{n}': {**OLDER, 'query-name': {'name': name}}
            for n, name in enumerate(names, 1)}
    with fakes(b, **made):
        out, said = top(b, '--once', '--csv', '--', *names)
        assert said == [], said
        rows = list(csv.DictReader(out.splitlines()))
        assert [row['domid'] for row in rows] == ['1', '2', '3', '4', '5'], out
        assert rows[0]['name'] == 'b?ro' and rows[4]['name'] == '?name', out
        # twice is once
        out, _ = top(b, '--once', '1', names[0], '01')
        assert len(out.splitlines()) == 2, out
        # no character of it is lost, and none goes to the terminal
        _, said = top(b, '--once', '1', b'\xff\x1b[2J', status=1)
        assert len(said) == 1 and 'no such domain' in said[0], said
        terminal = Terminal(b, 'env', 'LC_ALL=C', 'PYTHONCOERCECLOCALE=0',
                            'PYTHONUTF8=0', b.tools + '/xen-mapcache-top', '-i',
                            '0.3', '--run-dir', b.path('run'), names[0],
                            'r\u00e9seau')
        try:
            terminal.wait('1 guests', 'b?ro', 'seau: no such domain')
        finally:
            terminal.close()


def test_top_names_are_asked_together(b):
    """Guests that hang do not make others wait: each answers only when all
    have been asked."""
    asked, everybody = set(), threading.Event()

    def name(number):
        def tell():
            asked.add(number)
            if len(asked) == 200:
                everybody.set()
            everybody.wait()
            return {'name': f'g{number}'}
        return tell

    with fakes(b, **{f'd{n}': {**OLDER, 'query-name': name(n)}
                     for n in range(1, 201)}):
        try:
            out, said = top(b, '--once', *(f'g{n}' for n in range(1, 201)))
        finally:
            everybody.set()
        assert said == [] and len(rows_of(out)) == 200, (out, said)
