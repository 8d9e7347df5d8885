# SPDX-License-Identifier: GPL-2.0-or-later
"""The report that goes to a maintainer."""
import itertools
import os
import re
import resource
import signal
import stat
import subprocess
import threading

import bugreport
from bench import has
from guests import Guest
from simguests import (FakeMonitor, distrusted, guests, interruptible,
                       meanwhile, until)

SECRET = 'correct horse'


def report(b, *args, **how):
    """Run the tool; returns {title: text}."""
    path = b.path('report.txt')
    said = b.run('xen-mapcache-report', '--run-dir', b.path('run'), '-o',
                 path, *args, **how)
    assert said == f'{path}\n', said
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    text = b.read('report.txt')
    parts = re.split(r'^== (.*) ==$', text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def test_report_of_a_guest(b):
    """Every part is there, and the trace has what was done meanwhile."""
    args = ('-object', f'secret,id=s,data={SECRET}', '-trace', 'xen_ram_alloc')
    with guests(b, (3, 'guest', args)) as (guest,):
        with meanwhile(guest, (f'xp /4xb {n << 20}' for n in range(60))):
            parts = report(b, 'guest', '--seconds', '3')
        assert list(parts) == [
            'versions', 'libraries', 'arguments', 'limits', 'what QMP tells',
            'what the human monitor tells', 'end of the log',
            'trace of 3 seconds'], list(parts)
        for title, text in parts.items():
            assert 'not available' not in text, (title, text)
            assert '(refused: ' not in text, (title, text)
        has(parts['versions'], 'QEMU 10.', '/qemu-system-i386', 'Linux ')
        has(parts['arguments'], '-xen-domid\n3', 'data=(left out)')
        assert SECRET not in b.read('report.txt')
        has(parts['limits'], 'Max address space', 'VmRSS:',
            'areas of memory: ')
        has(parts['what QMP tells'], '"map-calls": ', '"bytes-max": ')
        has(parts['what the human monitor tells'], 'info xen-mapcache\nlookups',
            'vga.vram')
        has(parts['end of the log'], 'xensim: domain 3', 'xen_ram_alloc')
        has(parts['trace of 3 seconds'], 'misses +', 'map-calls +',
            'xen_remap_bucket guest 0x')
        # what was off is off again, what was on is on
        states = guest.human('info trace-events xen_*')
        assert re.search('^xen_ram_alloc : state 1', states, re.M), states
        assert states.count('state 1') == 1, states


def test_report_has_nothing_of_the_guest(b):
    """Trace events that show what is read and written are left out."""
    with guests(b, (1, 'guest')) as (guest,):
        guest.human('trace-event memory_region_ops_* on')
        guest.human('o /b 0x80 0xa7')
        until(lambda: 'value 0xa7' in b.read('guest.log'))
        with meanwhile(guest, ['o /b 0x80 0xb7'] * 60):
            parts = report(b, '1', '--seconds', '2')
        has(b.read('guest.log'), 'value 0xb7')
        has(parts['end of the log'], 'lines of other trace events left out')
        text = b.read('report.txt')
        assert 'memory_region_ops' not in text
        assert not re.search('value 0x[ab]7', text), text


def test_report_lines_that_are_left_out():
    names = {'xen_remap_bucket', 'xen_platform_log', 'ide_data_readl'}
    kept = [line for line in (
        'xen_remap_bucket guest 0x0', '7@12.000001:xen_remap_bucket guest 0x0',
        'ide_data_readl data 0x1', '7@12.000001:ide_data_readl data 0x1',
        'Booting...ide_data_readl data 0x1', 'login: ide_data_readl data 0x1',
        'xen_platform_log a', 'qemu-system-i386: no event', '')
        if bugreport.is_kept(line, names)]
    assert [line.split(':')[0] for line in kept] == [
        'xen_remap_bucket guest 0x0', '7@12.000001', 'qemu-system-i386', ''], \
        kept
    lines = [f'line {n}' for n in range(9)]
    assert bugreport.fit(lines, names, 2, True) == \
        '(7 more lines)\nline 7\nline 8'
    assert bugreport.fit(lines, names, 1, False) == '(8 more lines)\nline 0'


def test_report_secrets():
    for arg, told in (
            ('secret,id=a,data=x y,format=raw',
             'secret,id=a,data=(left out),format=raw'),
            ('port=1,password=x', 'port=1,password=(left out)'),
            (':1,password-secret=a', ':1,password-secret=a'),
            ('file=iscsi://me%it@host/a', 'file=iscsi://(left out)@host/a'),
            ('file=/a@b,metadata=off', 'file=/a@b,metadata=off'),
            ('{"qom-type": "secret", "id": "s", "data": "a\\"b", "x": 1}',
             '{"qom-type": "secret", "id": "s", "data": (left out), "x": 1}'),
            ('{"password":"x","password-secret":"y"}',
             '{"password":(left out),"password-secret":"y"}'),
            ('{"url":"https://me:it@host/a"}',
             '{"url":"https://(left out)@host/a"}'),
            # a comma in a value is doubled
            ('secret,id=a,data=x,,y,,,format=raw',
             'secret,id=a,data=(left out),format=raw'),
            ('if=none,file=iscsi://me%it,,x@host/a',
             'if=none,file=iscsi://(left out)@host/a'),
            ('driver=https,file.cookie=a=b; c=d,file.url=x',
             'driver=https,file.cookie=(left out),file.url=x'),
            ('{"file.cookie": "x", "cookie-secret": "y"}',
             '{"file.cookie": (left out), "cookie-secret": "y"}'),
            ('format=raw,file=rbd:pool/a:id=me:key=A\\:b==:auth=x,if=none',
             'format=raw,file=rbd:pool/a:id=me:key=(left out):auth=x,if=none'),
            ('file=/rbd:key=a,key-secret=b', 'file=/rbd:key=a,key-secret=b')):
        assert bugreport.without_secrets(arg) == told, arg


def test_report_without_what_it_needs(b):
    def error(*args):
        return b.run('xen-mapcache-report', '--run-dir', b.path('run'), *args,
                     fails=True)

    has(error('7'), '7: no such domain')
    has(error('/no/such/socket'), '/no/such/socket: no socket')
    stock = FakeMonitor(b.path('run', 'qmp-libxl-7'),
                        {'query-name': {'name': 'x'}})
    has(error('7'), '7: QEMU', 'without the series')
    stock.close()
    has(error('7'), '7: its device model has ended')


def test_report_of_a_device_model_that_lies(b):
    """Whatever it answers, the other parts are there, and the file has a
    name."""
    nested = ()
    for _ in range(60):
        nested = [nested]
    for answer in (5, 'x', None, [5], [{}], [{'name': [], 'state': 1}],
                   {'name': 'x'}, nested):
        monitor = FakeMonitor(b.path('run', 'qmp-libxl-7'), {
            'query-name': {'name': 'n' * 1000}, 'query-xen-mapcache': {},
            'trace-event-get-state': answer, 'query-status': answer,
            'human-monitor-command': answer} if answer is not None else {
            'query-name': {'name': 'n' * 1000}, 'query-xen-mapcache': {}})
        res = subprocess.run(
            [os.path.join(b.tools, 'xen-mapcache-report'), '--run-dir',
             b.path('run'), '--seconds', '0', '--log', '/dev/null', '7'],
            capture_output=True, text=True, cwd=b.scratch, check=False)
        monitor.remove()
        assert res.returncode == 0 and not res.stderr, (answer, res)
        text = b.read(res.stdout.strip())
        os.unlink(b.path(res.stdout.strip()))
        has(text, '\n== versions ==\n', '\n== trace of 0 seconds ==\n')
        # what is nested deeply could end what prints it
        assert ('is not a QMP socket' in text) == (answer is nested), text


def test_report_of_a_guest_that_ends(b):
    """What was collected before stays, and the rest says why it is not."""
    with guests(b, (1, 'guest')) as (guest,):
        path = b.path('report.txt')

        def end():
            until(lambda: os.path.exists(path) and
                  '== end of the log' in b.read('report.txt'))
            guest.end()

        ending = threading.Thread(target=end)
        ending.start()
        parts = report(b, '1', '--seconds', '3')
        ending.join()
        has(parts['what QMP tells'], '"map-calls": ')
        has(parts['trace of 3 seconds'], 'not available')


def test_report_knows_the_process_by_xenstore(b):
    """libxl may have opened the socket for QEMU, and is then its owner."""
    answers = {'query-name': {'name': 'x'}, 'query-xen-mapcache': {}}
    os.chmod(b.write('bin/xenstore-read', '#!/bin/sh\n[ "$1" = /local/domain/'
                     '7/image/device-model-pid ] && cat "$0.pid"\n'), 0o755)
    env = {'PATH': b.path('bin') + ':' + os.environ['PATH']}
    monitor = FakeMonitor(b.path('run', 'qmp-libxl-7'), answers)
    with subprocess.Popen(['sleep', '60']) as process:
        try:
            b.write('bin/xenstore-read.pid', f'{process.pid}\n')
            parts = report(b, '7', '--seconds', '0', env=env)
            assert parts['arguments'].split() == ['sleep', '60'], parts
            parts = report(b, '7', '--seconds', '0')
            has(parts['arguments'], 'the process is not known')
        finally:
            process.kill()
            monitor.close()


def test_report_has_no_log_of_another_guest(b):
    """It is xenstore that tells the guest's name, and not its QEMU."""
    os.chmod(b.write('bin/xenstore-read', '#!/bin/sh\n'
                     '[ "$1" = /local/domain/7/name ] && echo mine\n'), 0o755)
    for name in ('mine', 'victim'):
        b.write(f'logs/qemu-dm-{name}.log', f'log of {name}\n')
    monitor = FakeMonitor(b.path('run', 'qmp-libxl-7'), {
        'query-name': {'name': 'victim'}, 'query-xen-mapcache': {},
        'trace-event-get-state': []})
    before, path = bugreport.LOGS, os.environ['PATH']
    guest = Guest('7', 7, [monitor.path])
    try:
        bugreport.LOGS = b.path('logs')
        assert bugreport.Subject(guest).log is None
        os.environ['PATH'] = f'{b.path("bin")}:{path}'
        subject = bugreport.Subject(guest)
        assert bugreport.end_of_log(subject) == 'log of mine', subject.log
    finally:
        bugreport.LOGS, os.environ['PATH'] = before, path
        monitor.close()


def test_report_of_a_distrusted_device_model(b):
    """Each part, of one in a chroot, as another user, behind a filter of
    system calls, and restricted to its domain."""
    with guests(b, (3, 'guest', distrusted(b))) as (guest,):
        with meanwhile(guest, (f'xp /4xb {n << 20}' for n in range(60))):
            parts = report(b, 'guest', '--seconds', '2')
        for title, text in parts.items():
            assert 'not available' not in text, (title, text)
        has(parts['limits'], 'Uid:\t65534')
        has(parts['arguments'], '-xen-domid-restrict')
        has(parts['what the human monitor tells'], 'info xen-mapcache\nlookups',
            'outstanding DMA mappings: ', 'vga.vram')
        has(parts['trace of 2 seconds'], 'misses +', 'xen_remap_bucket guest 0x')


def test_report_of_a_log_that_is_emptied(b):
    """As logrotate does, while the trace is taken."""
    with guests(b, (1, 'guest')) as (guest,):
        def lines():
            for n in itertools.count():
                if 'miss at' in b.read('guest.log') and \
                        os.stat(guest.log).st_size >= 100000:
                    os.truncate(guest.log, 0)
                yield f'xp /4xb {n % 60 << 20}'

        os.truncate(guest.log, 100000)
        with meanwhile(guest, lines()):
            parts = report(b, '1', '--seconds', '3')
        assert os.stat(guest.log).st_size < 100000
        has(parts['trace of 3 seconds'], 'xen_map_cache miss at')


def test_report_of_a_process_with_small_files(b):
    """libxl gives a restricted device model such a limit: if the log reached
    it, the guest would end."""
    with guests(b, (1, 'guest')) as (guest,):
        most = os.stat(guest.log).st_size + 2000
        resource.prlimit(guest.pid(), resource.RLIMIT_FSIZE, (most, most))
        with meanwhile(guest, (f'xp /4xb {n << 20}' for n in range(60))):
            parts = report(b, '1', '--seconds', '3')
        assert guest.process.poll() is None, b.read('guest.log')
        has(parts['trace of 3 seconds'], 'not available: ',
            f'limit of {most} bytes')
        has(parts['limits'], f'Max file size             {most}')


def test_report_that_is_ended(b):
    """Trace events that it turned on are turned off, whatever ends it."""
    with guests(b, (1, 'guest')) as (guest,):
        def events_on():
            states = guest.human('info trace-events xen_*')
            return states.count('state 1')

        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            with subprocess.Popen(
                    [os.path.join(b.tools, 'xen-mapcache-report'), '--run-dir',
                     b.path('run'), '-o', b.path('out'), '--seconds', '60',
                     '1'], stderr=subprocess.DEVNULL,
                    preexec_fn=interruptible) as process:
                until(lambda: events_on() > 5)
                process.send_signal(number)
                assert process.wait(30) == 128 + number, number
            assert events_on() == 0, number


def test_report_that_cannot_be_written(b):
    answers = {'query-name': {'name': 'a/b \u00fc'}, 'query-xen-mapcache': {}}
    monitor = FakeMonitor(b.path('run', 'qmp-libxl-7'), answers)
    try:
        for path, why in (('/dev/full', 'No space left on device'),
                          (b.path('none', 'x'), 'No such file or directory'),
                          (b.scratch, 'Is a directory')):
            error = b.run('xen-mapcache-report', '--run-dir', b.path('run'),
                          '-o', path, '7', fails=True)
            assert error == f'xen-mapcache: error: {path}: {why}', error
        # one that others may read is theirs no more
        os.chmod(b.write('report.txt', 'old'), 0o644)
        parts = report(b, '7', '--seconds', '0')
        assert 'versions' in parts and 'old' not in b.read('report.txt')
        # a name for a file, whatever the guest's is
        res = subprocess.run(
            [os.path.join(b.tools, 'xen-mapcache-report'), '--run-dir',
             b.path('run'), '--seconds', '0', '7'], capture_output=True,
            text=True, cwd=b.scratch, check=True)
        assert re.fullmatch(r'xen-mapcache-report-a-b---\d{8}-\d{6}\.txt',
                            res.stdout.strip()), res
        assert b.read(res.stdout.strip()).startswith('xen-mapcache-report of '
                                                     'a/b ? (7)')
    finally:
        monitor.close()


def test_report_of_a_guest_that_hangs(b):
    with guests(b, (1, 'guest')) as (guest,):
        guest.signal(signal.SIGSTOP)
        try:
            error = b.run('xen-mapcache-report', '--run-dir', b.path('run'),
                          '1', fails=True)
        finally:
            guest.signal(signal.SIGCONT)
        has(error, '1: no answer from', 'QEMU hangs')
