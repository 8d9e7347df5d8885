# SPDX-License-Identifier: GPL-2.0-or-later
"""The view of all guests' mapcaches: guests that hang or come back."""
import contextlib
import json
import os
import signal
import socket
import threading
import time

from bench import has
from simguests import SLOW_DISK, FakeMonitor, distrusted, guests
from topview import OURS, fakes, hang, rows_of, top, view_of


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
