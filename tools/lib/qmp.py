# SPDX-License-Identifier: GPL-2.0-or-later
"""One conversation with a device model's monitor, over a Unix socket.

QEMU's own package qemu.qmp is not used.  Neither Debian nor QEMU installs it
on a host, and a conversation is short: connect, ask, close.  It is closed each
time because such a socket serves one client at a time, and libxl waits until it
is free.

A restricted device model need not be trusted: what it sends is limited in size,
and printable() makes its texts fit for a terminal.
"""
import collections
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
        super().__init__(brief(error.get('desc', 'no reason given')))
        self.unknown = error.get('class') == 'CommandNotFound'


def printable(text):
    """A text from elsewhere: one line of ASCII, no control characters."""
    return ''.join(c if ' ' <= c <= '~' else '?' for c in str(text))


def brief(text):
    """printable(), but at most TEXT_MAX characters; a + says that it was cut."""
    if not isinstance(text, str):
        return '?'
    return printable(text if len(text) <= TEXT_MAX
                     else text[:TEXT_MAX - 1] + '+')


def is_nested(value, levels=NESTING_MAX):
    """Whether lists and objects in it are more than `levels` deep.  What is
    deeper could end the functions that print it by a RecursionError."""
    if not isinstance(value, (dict, list)):
        return False
    parts = value.values() if isinstance(value, dict) else value
    return not levels or any(is_nested(part, levels - 1) for part in parts)


class Monitor:
    """An open connection, after the handshake; a context manager.  It ends with
    an answer by which all answers together have more than `most` bytes."""

    def __init__(self, path, timeout=2.0, most=ANSWER_MAX):
        self.path = path
        self.timeout = timeout
        self.left = most
        self.deadline = time.monotonic() + timeout
        self.lines = collections.deque()
        self.rest = b''         # of a line
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
            data = self.sock.recv(1 << 16)
        except TimeoutError:
            return self._receive()      # which says so
        except OSError:
            return b''
        self.left -= len(data)
        if self.left < 0:
            raise Lost(f'the answer from {self.path} is too long')
        return data

    def _message(self):
        while not self.lines:
            more = self._receive()
            if not more:
                raise Lost('its device model has ended')
            *lines, self.rest = (self.rest + more).split(b'\n')
            self.lines.extend(lines)
        try:
            message = json.loads(self.lines.popleft())
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict) or is_nested(message):
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
        return brief(text + (parts.get('package') or ''))
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError):
        return '(version unknown)'
