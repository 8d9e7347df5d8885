# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests to be looked at: QEMU on the simulated Xen, and monitors that answer
what a test wants."""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

from bench import Skip

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), 'lib'))

from qmp import Lost, Monitor       # noqa: E402


# A byte in a second: what was read of it at start keeps it busy for minutes.
SLOW_DISK = ('-drive', 'if=ide,format=raw,file.driver=null-co,'
             'file.size=1048576,file.read-zeroes=on,throttling.bps-total=1')


def interruptible():
    """In a new process: a shell's job in the background ignores SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def distrusted(b):
    """Arguments that libxl gives a device model that it does not trust."""
    if os.geteuid() != 0:
        raise Skip('changing the root directory needs root')
    os.makedirs(b.path('root'), exist_ok=True)
    os.chmod(b.scratch, 0o755)
    return ('-xen-domid-restrict', '-sandbox', 'on,obsolete=deny,'
            'elevateprivileges=allow,spawn=deny,resourcecontrol=deny',
            '-run-with', f'chroot={b.path("root")},user=65534:65534')


class Guest:
    """QEMU as the device model of a domain with this number."""

    def __init__(self, b, domid, name, args=(), which='qemu'):
        self.name = name
        self.socket = b.path('run', f'qmp-libxl-{domid}')
        self.log = b.path(f'{name}.log')
        os.makedirs(b.path('run'), exist_ok=True)
        programs = [os.path.join(b.real_build, 'xensim', 'xensim'),
                    os.path.join(b.real_build, which, 'qemu-system-i386')]
        for program in programs:
            if not os.path.exists(program):
                raise Skip(f'{program} is not built')
        with open(self.log, 'w', encoding='utf-8') as log:
            self.process = subprocess.Popen(
                [programs[0], 'run', '--memory', '64M', '--', programs[1],
                 '-nodefaults', '-name', name, '-xen-domid', str(domid),
                 '-device', 'VGA,romfile=', '-qmp',
                 f'unix:{self.socket},server=on,wait=off', *args],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def ready(self):
        """Wait until the monitor answers."""
        end = time.monotonic() + 60
        while True:
            try:
                with Monitor(self.socket) as monitor:
                    return monitor.must('query-status')
            except Lost:
                with open(self.log, encoding='utf-8') as log:
                    assert self.process.poll() is None, log.read()
                assert time.monotonic() < end, f'{self.name} does not start'
                time.sleep(0.1)

    def human(self, line):
        with Monitor(self.socket, 10) as monitor:
            return monitor.human(line)

    def read(self, address):
        """Have QEMU look at guest memory; the bytes are zeros."""
        text = self.human(f'xp /4xb {address}')
        assert re.search(': 0x00 0x00 0x00 0x00', text), text

    def stall(self):
        """Have its disk (SLOW_DISK) begin a read that does not end: as a guest
        does it by ports, with the page of zeros at 0 as list of pieces."""
        for width, port, value in (
                ('w', 0xcf8, 0x80000904), ('h', 0xcfc, 5),
                ('w', 0xcf8, 0x80000920), ('w', 0xcfc, 0xc001),
                ('b', 0x1f6, 0xe0), ('b', 0x1f2, 1), ('b', 0x1f3, 0),
                ('b', 0x1f4, 0), ('b', 0x1f5, 0), ('b', 0xc000, 8),
                ('b', 0x1f7, 0xc8), ('b', 0xc000, 9)):
            said = self.human(f'o /{width} {port:#x} {value:#x}')
            assert not said, said

    def pid(self):
        """Of QEMU itself, which the simulated Xen has started."""
        pid = self.process.pid
        with open(f'/proc/{pid}/task/{pid}/children', encoding='utf-8') as src:
            child, = src.read().split()
        return int(child)

    def signal(self, number):
        os.kill(self.pid(), number)

    def end(self):
        self.process.terminate()
        self.process.wait()


@contextlib.contextmanager
def guests(b, *wanted):
    """Start guests, (domid, name) or what else Guest takes, and end them."""
    started = []
    try:
        for args in wanted:
            started.append(Guest(b, *args))
        for guest in started:
            guest.ready()
        yield started
    finally:
        for guest in started:
            guest.end()


@contextlib.contextmanager
def meanwhile(guest, lines):
    """The monitor is told these lines, one after the other, until the end."""
    stop = threading.Event()

    def tell():
        for line in lines:
            if stop.wait(0.1):
                break
            guest.human(line)

    teller = threading.Thread(target=tell)
    teller.start()
    try:
        yield
    finally:
        stop.set()
        teller.join()


def until(condition):
    """Wait for it; fail if it does not come."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, 'does not come'
        time.sleep(0.1)


class FakeMonitor(threading.Thread):
    """A QMP socket that returns answers[command]: what is returned, or what a
    function returns, an Exception's text as an error, or, with None, nothing at
    all.  Commands that are not in answers are not known.  Without a greeting it
    is a QEMU that hangs."""

    def __init__(self, path, answers, greeting='{"QMP": {}}'):
        super().__init__(daemon=True)
        self.answers = {'qmp_capabilities': {}, **answers}
        self.greeting = greeting
        self.commands = []
        self.connections = 0
        self.path = path
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen(1)     # as QEMU does
        self.start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            with contextlib.suppress(OSError), connection, \
                    connection.makefile('r') as lines:
                self._serve(lines, connection)

    def _serve(self, lines, connection):
        if self.greeting:
            connection.sendall(self.greeting.encode() + b'\n')
        for line in lines:
            command = json.loads(line)
            self.commands.append(command)
            answer = self.answers.get(command['execute'], KeyError())
            answer = answer() if callable(answer) else answer
            if answer is None:
                continue
            if isinstance(answer, KeyError):
                reply = {'error': {'class': 'CommandNotFound', 'desc': 'no'}}
            elif isinstance(answer, Exception):
                reply = {'error': {'class': 'GenericError',
                                   'desc': str(answer)}}
            else:
                reply = {'return': answer}
            # an event may come at any time
            connection.sendall(b'{"event": "RTC_CHANGE", "data": {}}\n'
                               + json.dumps(reply).encode() + b'\n')

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def remove(self):
        """As a toolstack does when the guest has ended."""
        os.unlink(self.path)
        self.close()


class Flood(FakeMonitor):
    """A QEMU that has been taken over: it sends events without end."""

    def _serve(self, lines, connection):
        connection.sendall(b'{"QMP": {}}\n')
        while True:
            connection.sendall(b'{"event": "X"}\n' * 4096)
