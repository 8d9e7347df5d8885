# SPDX-License-Identifier: GPL-2.0-or-later
"""The view of all guests' mapcaches."""
import contextlib
import csv
import itertools
import json
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import threading
import time

import mapcacheview as view
from bench import Skip, has
from guests import ASKED_AT_A_TIME
from simguests import (SLOW_DISK, FakeMonitor, Flood, distrusted, guests,
                       interruptible, meanwhile, until)

OURS = {'query-name': {'name': 'new'},
        'query-xen-mapcache': {
            'hits': 4000, 'misses': 10, 'map-calls': 20, 'buckets': 3,
            'bytes-mapped': 3 << 20, 'bytes-blocks': 17 << 20,
            'bytes-retained': 2 << 20, 'dma': 2, 'held': 7},
        'x-query-xen-mapcache-dma': {
            'total': 2, 'mappings': [{'device': 'ich9-ahci',
                                      'age': 12}]}}
OLDER = {'query-name': {'name': 'older'},
         'query-xen-mapcache': {'hits': 7, 'misses': 1, 'buckets': 3}}
STOCK = {'query-name': {'name': 'stock'}}


def top(b, *args, status=0, env=None, **how):
    """Run the view; returns (what it prints, what it complains of)."""
    res = subprocess.run(
        [os.path.join(b.tools, 'xen-mapcache-top'), '-i', '0.3', '--run-dir',
         b.path('run'), *args], capture_output=True, text=True, timeout=60,
        check=False, env={**os.environ, **(env or {})}, **how)
    assert res.returncode == status, res
    assert 'Traceback' not in res.stderr, res.stderr
    return res.stdout, res.stderr.splitlines()


def rows_of(text):
    """{name: {heading: text}} of the table."""
    lines = text.splitlines()
    names = lines[0].split()
    return {line.split()[1]: dict(zip(names, line.split(None, len(names) - 1)))
            for line in lines[1:]}


@contextlib.contextmanager
def fakes(b, **monitors):
    """FakeMonitors by domid (d1={...}), in the run directory."""
    made = {name: FakeMonitor(b.path('run', f'qmp-libxl-{name[1:]}'), answers)
            for name, answers in monitors.items()}
    try:
        yield made
    finally:
        for monitor in made.values():
            monitor.close()


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


def hang(b, *numbers):
    """QEMUs that take connections and tell nothing."""
    return [FakeMonitor(b.path('run', f'qmp-libxl-{n}'), {}, None)
            for n in numbers]


def view_of(b, *args):
    """The view as a program that is under way."""
    return subprocess.Popen(
        [os.path.join(b.tools, 'xen-mapcache-top'), '-i', '0.2', '--run-dir',
         b.path('run'), *args], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, preexec_fn=interruptible)


def test_top_of_a_guest_that_hangs(b):
    """It is not taken for one that is not there, and its name is known."""
    with fakes(b, d1=OURS) as made:
        with view_of(b, '--json', 'new', 'other') as process:
            first = json.loads(process.stdout.readline())
            assert [row['name'] for row in first['guests']] == ['new'], first
            made['d1'].greeting = None
            told = first
            for _ in range(20):
                if not told['guests']:
                    break
                told = json.loads(process.stdout.readline())
            why = {p['domain']: p['why'] for p in told['problems']}
            has(why['new'], 'no answer from', 'QEMU hangs')
            # once it answers again, the figures are those since then
            made['d1'].greeting = '{"QMP": {}}'
            for _ in range(20):
                told = json.loads(process.stdout.readline())
                if told['guests']:
                    break
            assert told['guests'][0]['misses-per-second'] == 0, told
            process.terminate()
    os.unlink(b.path('run', 'qmp-libxl-1'))
    hang(b, 3)
    _, said = top(b, '--once', 'new', status=1)
    assert len(said) == 1, said
    has(said[0], 'no such domain', '1 there did not tell their names')


def test_top_of_a_guest_that_hangs_for_long(b):
    """Its socket's queue becomes full of the view's own connections.  That is
    no other news."""
    os.makedirs(b.path('run'))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as hung:
        hung.bind(b.path('run', 'qmp-libxl-1'))
        hung.listen(1)
        with view_of(b, '--json') as process:
            told = [json.loads(process.stdout.readline())['problems']
                    for _ in range(4)]
            process.terminate()
            assert len(process.stderr.read().splitlines()) == 1
    assert told[0] == told[1] == told[2] == told[3], told
    has(told[0][0]['why'], 'no answer from', 'QEMU hangs')


def test_top_waits_while_others_ask(b):
    """Who uses the socket meanwhile is soon done."""
    with fakes(b, d1=OURS) as made:
        others = []
        for _ in range(20):     # one is served; then the queue is full
            other = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            other.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                other.connect(made['d1'].path)
                others.append(other)
            time.sleep(0.01)
        assert len(others) < 20, 'the queue of a socket has no end'
        leave = threading.Timer(1, lambda: [other.close() for other in others])
        leave.start()
        out, said = top(b, '--once', '-i', '0.1')
        leave.join()
        assert list(rows_of(out)) == ['new'] and not said, (out, said)


def test_top_real_qemu_that_hangs(b):
    with guests(b, (1, 'one'), (2, 'two')) as (one, _):
        one.signal(signal.SIGSTOP)
        try:
            out, said = top(b, '--once')
        finally:
            one.signal(signal.SIGCONT)
        assert list(rows_of(out)) == ['two'] and len(said) == 1, (out, said)
        has(said[0], '1: no answer from', 'QEMU hangs')
        out, said = top(b, '--once')
        assert list(rows_of(out)) == ['one', 'two'] and not said, (out, said)


def test_top_of_a_distrusted_device_model(b):
    """In a chroot, as another user, behind a filter of system calls, and
    restricted to its domain."""
    with guests(b, (1, 'one', (*SLOW_DISK, *distrusted(b)))) as (one,):
        one.read(0x100000)
        one.stall()
        row = rows_of(top(b, '--once')[0])['one']
        assert row['DMA'] == '1' and row['OLDEST'].endswith('piix3-ide'), row


def test_top_of_a_guest_that_comes_back(b):
    """With another number, as after a reboot."""
    guest = FakeMonitor(b.path('run', 'qmp-libxl-3'), OURS)
    with view_of(b, '--json', 'new') as process:
        def wait(condition):
            for line in process.stdout:
                told = json.loads(line)
                if condition(told):
                    return told
            raise AssertionError(process.stderr.read())

        wait(lambda told: told['guests'] and
             told['guests'][0]['misses-per-second'] == 0)
        guest.remove()
        wait(lambda told: told['problems'] == [{'domain': 'new',
                                                'why': 'new has ended'}])
        FakeMonitor(b.path('run', 'qmp-libxl-4'), OURS)
        told = wait(lambda told: told['guests'])
        assert told['guests'][0]['domid'] == 4 and not told['problems'], told
        assert told['guests'][0]['misses-per-second'] is None, told
        process.terminate()
        assert process.stderr.read().endswith(
            'xen-mapcache-top: new: new has ended\n')


def test_top_interrupted(b):
    """It ends at once, though some guests were not asked yet."""
    many = ASKED_AT_A_TIME + 24
    hung = hang(b, *range(1, many + 1))
    with view_of(b, '--once') as process:
        until(lambda: sum(h.connections for h in hung) >= ASKED_AT_A_TIME)
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=60)
        assert process.returncode == 130 and not out and not said, \
            (process.returncode, out, said)
    asked = sum(h.connections for h in hung)
    assert asked < many, asked


def test_top_output_that_fails(b):
    """One line, and status 1; nobody is told of a reader who has left."""
    with fakes(b, d1=OURS):
        for args in (['--once'], ['--once', '--json'], ['--csv'], []):
            with open('/dev/full', 'w', encoding='utf-8') as full:
                res = subprocess.run(
                    [os.path.join(b.tools, 'xen-mapcache-top'), '-i', '0.2',
                     '--run-dir', b.path('run'), *args], stdout=full,
                    stderr=subprocess.PIPE, text=True, timeout=60, check=False)
            assert (res.returncode, res.stderr) == (
                1, 'xen-mapcache: error: standard output: No space left on '
                'device\n'), res
        for form in ('--json', '--csv'):
            res = subprocess.run(
                f"'{b.tools}/xen-mapcache-top' -i 0.2 --run-dir "
                f"'{b.path('run')}' {form} | head -1", shell=True, text=True,
                capture_output=True, timeout=60, check=False)
            assert len(res.stdout.splitlines()) == 1 and not res.stderr, res


def test_top_without_a_keyboard(b):
    """Nobody could leave the screen, so it is text that comes."""
    master, slave = os.openpty()
    with fakes(b, d1=OURS), view_of_terminal(b, slave) as process:
        os.close(slave)
        text, end = b'', time.monotonic() + 20
        while text.count(b'ich9-ahci') < 2 and time.monotonic() < end:
            if select.select([master], [], [], 1)[0]:
                text += os.read(master, 1000)
        process.terminate()
    os.close(master)
    assert b'\033' not in text, text
    assert text.startswith(b'   ID NAME'), text


def view_of_terminal(b, terminal):
    return subprocess.Popen(
        [os.path.join(b.tools, 'xen-mapcache-top'), '-i', '0.2', '--run-dir',
         b.path('run')], stdin=subprocess.DEVNULL, stdout=terminal,
        stderr=terminal, env={**os.environ, 'TERM': 'xterm'})


class Terminal:
    """A tmux of its own that shows a program."""
    NUMBERS = itertools.count()

    def __init__(self, b, *argv, columns=100, lines=24):
        if not shutil.which('tmux'):
            raise Skip('tmux is not installed')
        self.tmux = ['tmux', '-S', b.path(f'tmux{next(self.NUMBERS)}'),
                     '-f', '/dev/null']
        self.run('new-session', '-d', '-x', str(columns), '-y', str(lines),
                 *argv)

    def run(self, *args):
        res = subprocess.run([*self.tmux, *args], capture_output=True,
                             text=True, timeout=20, check=False)
        return res.stdout if res.returncode == 0 else None

    def screen(self):
        return self.run('capture-pane', '-p')

    def wait(self, *words, without=()):
        """Wait until the screen has these words; returns it."""
        end = time.monotonic() + 20
        while True:
            screen = self.screen() or ''
            if all(w in screen for w in words) and \
                    not any(w in screen for w in without):
                return screen
            assert time.monotonic() < end, \
                f'{words} without {without} is not on the screen:\n{screen}'
            time.sleep(0.1)

    def close(self):
        self.run('kill-server')


def order(screen, *names):
    """The names in the order of their rows."""
    rows = [line.split() for line in screen.splitlines()]
    return [row[1] for row in rows if row[1:2] and row[0].isdecimal()
            and row[1] in names]


def test_top_live_screen(b):
    names = ('first', 'second', 'third')
    with guests(b, (1, 'first'), (2, 'second'),
                (3, 'third', SLOW_DISK)) as started:
        terminal = Terminal(b, os.path.join(b.tools, 'xen-mapcache-top'),
                            '-i', '0.3', '--run-dir', b.path('run'))
        try:
            screen = terminal.wait('3 guests', 'OLDEST', 'by ID')
            assert order(screen, *names) == list(names), screen
            # the other way round; by name; by misses
            terminal.run('send-keys', 'r')
            until(lambda: order(terminal.screen(), *names) == [*names[::-1]])
            terminal.run('send-keys', '<', '>', '>')
            terminal.wait('by NAME')
            terminal.run('send-keys', '>', '>', '>', '>')
            started[1].read(0x100000)
            started[1].read(0x200000)
            terminal.wait('by MAPPED')
            until(lambda: order(terminal.screen(), *names)[:1] == ['second'])
            # a request that its disk does not end
            started[2].stall()
            screen = terminal.wait('s piix3-ide')
            assert next(line for line in screen.splitlines()
                        if 'third' in line).endswith('piix3-ide'), screen
            # a guest that ends is told of, and the others stay
            started[2].end()
            screen = terminal.wait('2 guests', 'third has ended')
            assert sorted(order(screen, *names)) == ['first', 'second'], screen
            # a smaller terminal has what there is room for
            terminal.run('resize-window', '-x', '50', '-y', '8')
            terminal.wait('2 guests', 'third has ended', without=['OLDEST'])
            terminal.run('send-keys', 'q')
            until(lambda: not terminal.screen())
        finally:
            terminal.close()


def test_top_many_guests_and_few_lines(b):
    answers = {f'd{n}': {**OLDER, 'query-name': {'name': f'g{n}'}}
               for n in range(1, 31)}
    with fakes(b, **answers):
        terminal = Terminal(b, os.path.join(b.tools, 'xen-mapcache-top'), '-i',
                            '0.3', '--run-dir', b.path('run'), lines=12)
        try:
            screen = terminal.wait('30 guests', 'g1 ')
            assert 'g30' not in screen, screen
            terminal.run('send-keys', *['Down'] * 40)
            screen = terminal.wait('g30', without=['g2 '])
            terminal.run('send-keys', *['Up'] * 40)
            terminal.wait('g1 ', 'g2 ', without=['g30'])
            # 12 lines have room for 8 guests
            terminal.run('send-keys', 'NPage')
            terminal.wait('g9 ', 'g16 ', without=['g8 ', 'g17 '])
            terminal.run('send-keys', 'NPage', 'NPage', 'NPage', 'PPage')
            terminal.wait('g15 ', 'g22 ', without=['g14 ', 'g23 '])
        finally:
            terminal.close()


def test_top_on_odd_terminals(b):
    """Without colours, with a cursor that always shows, as serial consoles
    have it; what has no screen at all is told so."""
    with fakes(b, d1=OURS):
        for term in ('vt100', 'vt220', 'linux', 'ansi', 'xterm-mono', 'dumb',
                     'none'):
            terminal = Terminal(
                b, 'sh', '-c', f"TERM={term} '{b.tools}/xen-mapcache-top' "
                f"-i 0.3 --run-dir '{b.path('run')}'; echo ends $?; sleep 60")
            try:
                if term in ('dumb', 'none'):
                    screen = terminal.wait('ends 1')
                    has(screen, 'error: the terminal cannot be used',
                        'try --once')
                    assert 'Traceback' not in screen, screen
                else:
                    terminal.wait('1 guests', '12s ich9-ahci')
                    terminal.run('send-keys', 'q')
                    terminal.wait('ends 0')
            finally:
                terminal.close()


def test_top_small_screens(b):
    with fakes(b, d1=OURS, d2=STOCK):
        terminal = Terminal(b, os.path.join(b.tools, 'xen-mapcache-top'), '-i',
                            '0.3', '--run-dir', b.path('run'), columns=40,
                            lines=10)
        try:
            screen = terminal.wait('new', 'MAP/s', '2: QEMU')
            assert screen.splitlines()[3].split()[:2] == ['1', 'new'], screen
            for columns, lines in ((2, 1), (1, 2), (200, 3), (3, 50)):
                terminal.run('resize-window', '-x', str(columns), '-y',
                             str(lines))
                time.sleep(0.5)
            # what a terminal has that nobody has made larger
            terminal.run('resize-window', '-x', '80', '-y', '24')
            terminal.wait('1 guests', '12s ich9-ahci')
        finally:
            terminal.close()


def test_top_problems_that_have_ended_are_not_told(b):
    """A line about a guest that does not answer goes when the guest does."""
    hung = hang(b, 2)
    with fakes(b, d1=OURS):
        terminal = Terminal(b, os.path.join(b.tools, 'xen-mapcache-top'), '-i',
                            '0.3', '--run-dir', b.path('run'))
        try:
            terminal.wait('1 guests', '2: no answer from')
            hung[0].remove()
            terminal.wait('1 guests', without=['no answer'])
            # more than there is room for
            hang(b, *range(3, 15))
            terminal.wait('1 guests', '3: no answer', '7: no answer',
                          '7 more without a row')
        finally:
            terminal.close()


def test_top_of_a_guest_that_reboots_at_once(b):
    """Between two samples: a guest that has a row has not ended."""
    guest = FakeMonitor(b.path('run', 'qmp-libxl-3'), OURS)
    terminal = Terminal(b, os.path.join(b.tools, 'xen-mapcache-top'), '-i',
                        '1', '--run-dir', b.path('run'), 'new')
    try:
        terminal.wait('1 guests', '    3 new')
        guest.remove()
        FakeMonitor(b.path('run', 'qmp-libxl-4'), OURS)
        terminal.wait('1 guests', '    4 new', without=['has ended'])
    finally:
        terminal.close()


def test_top_no_guest_on_the_screen(b):
    terminal = Terminal(b, os.path.join(b.tools, 'xen-mapcache-top'), '-i',
                        '0.3', '--run-dir', b.path('run'))
    try:
        terminal.wait('0 guests', 'no device model has a socket in')
    finally:
        terminal.close()


def test_top_is_left_at_once(b):
    """Though some guests were not asked yet."""
    many = ASKED_AT_A_TIME + 24
    hung = hang(b, *range(1, many + 1))
    terminal = Terminal(b, os.path.join(b.tools, 'xen-mapcache-top'),
                        '--run-dir', b.path('run'))
    try:
        until(lambda: sum(h.connections for h in hung) >= ASKED_AT_A_TIME)
        terminal.run('send-keys', 'q')
        until(lambda: not terminal.screen())
    finally:
        terminal.close()
    asked = sum(h.connections for h in hung)
    assert asked < many, asked
