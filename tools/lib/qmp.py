# SPDX-License-Identifier: GPL-2.0-or-later
"""One conversation with a device model's monitor, over a Unix socket.

QEMU's own package qemu.qmp is not used.  Neither Debian nor QEMU installs it
on a host, and a conversation is short: connect, ask, close.  It is closed each
time because such a socket serves one client at a time, and libxl waits until it
is free.

A restricted device model need not be trusted: what it sends is limited in size,
and printable() makes its texts fit for a terminal.
"""
import json
import os
import socket
import stat
import time

ANSWER_MAX = 4 << 20        # bytes, of all answers of a conversation together
NESTING_MAX = 50            # levels of lists and objects in an answer
TEXT_MAX = 200              # characters of a name
RETRY_SECONDS = 0.02        # a socket whose queue is full


class Lost(Exception):
    """The monitor cannot be asked; the text says why, in part of a line."""


class Refused(Exception):
    """The monitor's answer to a command is an error."""

    def __init__(self, error):
        error = error if isinstance(error, dict) else {}
        super().__init__(printable(error.get('desc', 'no reason given')))
        self.unknown = error.get('class') == 'CommandNotFound'


def printable(text):
    """A text from elsewhere: one line of ASCII, no control characters."""
    return ''.join(c if ' ' <= c <= '~' else '?' for c in str(text))


class Monitor:
    """An open connection, after the handshake; a context manager."""

    def __init__(self, path, timeout=2.0):
        self.path = path
        self.timeout = timeout
        self.deadline = time.monotonic() + timeout
        self.data = b''
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._connect()
            greeting = self._message().get('QMP')
            if not isinstance(greeting, dict):
                raise Lost(f'{path} is not a QMP socket')
            self.version = version_of(greeting)
            self.ask(('qmp_capabilities', {}))
        except BaseException:
            self.sock.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def _silent(self):
        return Lost(f'no answer from {self.path}: QEMU hangs, or another '
                    'client uses it')

    def _connect_in_time(self):
        """Others that wait for the socket are served soon, unless QEMU hangs.
        (Linux does not wait for room in the queue of a socket that has a
        timeout.)"""
        while True:
            try:
                self.sock.connect(self.path)
                return
            except (BlockingIOError, TimeoutError):
                if time.monotonic() >= self.deadline:
                    raise self._silent() from None
                time.sleep(RETRY_SECONDS)

    def _connect(self):
        self.sock.settimeout(self.timeout)
        try:
            self._connect_in_time()
        except FileNotFoundError:
            raise Lost(f'no socket {self.path}') from None
        except PermissionError:
            raise Lost(f'no permission for {self.path}: run as root') from None
        except ConnectionRefusedError:
            raise Lost('its device model has ended' if is_socket(self.path)
                       else f'{self.path} is not a QMP socket') from None
        except OSError as err:
            raise Lost(f'{self.path}: {err.strerror or err}') from None

    def _receive(self):
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise self._silent()
        self.sock.settimeout(left)
        try:
            return self.sock.recv(1 << 16)
        except TimeoutError:
            return self._receive()      # which says so
        except OSError:
            return b''

    def _message(self):
        while b'\n' not in self.data:
            more = self._receive()
            if not more:
                raise Lost('its device model has ended')
            self.data += more
            if len(self.data) > ANSWER_MAX:
                raise Lost(f'the answer from {self.path} is too long')
        line, self.data = self.data.split(b'\n', 1)
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            raise Lost(f'{self.path} is not a QMP socket')
        return message

    def ask(self, *commands):
        """Send all (command, arguments) together.  Returns, for each, what it
        returned or the Refused that says why it did not."""
        self.deadline = time.monotonic() + self.timeout
        text = ''.join(json.dumps({'execute': name, 'arguments': args}) + '\n'
                       for name, args in commands)
        try:
            self.sock.settimeout(self.timeout)
            self.sock.sendall(text.encode())
        except TimeoutError:
            raise self._silent() from None
        except OSError:
            raise Lost('its device model has ended') from None
        answers = []
        while len(answers) < len(commands):
            message = self._message()
            if 'return' in message:
                answers.append(message['return'])
            elif 'error' in message:
                answers.append(Refused(message['error']))
        return answers

    def must(self, command, /, **args):
        """Ask one thing; an error is raised."""
        answer, = self.ask((command, args))
        if isinstance(answer, Refused):
            raise answer
        return answer

    def human(self, line):
        """What the human monitor prints for a command."""
        text = self.must('human-monitor-command', **{'command-line': line})
        return str(text).replace('\r\n', '\n')


def is_socket(path):
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return True     # it may have been one


def version_of(greeting):
    """'10.0.13' of a greeting or of what query-version returns."""
    try:
        parts = greeting.get('version', greeting)
        qemu = parts['qemu']
        text = '.'.join(str(int(qemu[key]))
                        for key in ('major', 'minor', 'micro'))
        return text + printable(parts.get('package') or '')
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError):
        return '(version unknown)'
