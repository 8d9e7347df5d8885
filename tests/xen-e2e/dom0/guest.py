# SPDX-License-Identifier: GPL-2.0-or-later
"""The test guest, by its serial line; its commands are in guest/commands.c."""
import os
import re
import select
import time
import tty

from report import Failed

PAIR = re.compile(r'(\w+)=(\S+)')


class Guest:
    def __init__(self):
        self.fd = -1
        self.buffer = b''
        self.serial = 0

    def connect(self, path):
        """The terminal that the device model made; a new device model makes
        a new one."""
        self.close()
        try:
            self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as err:
            raise Failed(f'{path}: {err.strerror}') from err
        tty.setraw(self.fd)
        self.buffer = b''

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _line(self, until):
        while b'\n' not in self.buffer:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                return None
            try:
                data = os.read(self.fd, 4096)
            except OSError as err:
                raise Failed('the device model closed the serial line '
                             f'({err.strerror})') from err
            self.buffer += data
        line, self.buffer = self.buffer.split(b'\n', 1)
        text = line.decode('ascii', 'replace').strip()
        if text.startswith('panic'):
            raise Failed(f'the guest said: {text}')
        return text

    def _send(self, text):
        data = text.encode()
        until = time.monotonic() + 60
        while data:
            try:
                data = data[os.write(self.fd, data):]
            except BlockingIOError:
                if time.monotonic() > until:
                    raise Failed('the guest reads nothing') from None
                time.sleep(0.05)
            except OSError as err:
                raise Failed('the device model closed the serial line '
                             f'({err.strerror})') from err

    def meet(self, timeout=120):
        """Wait until it answers; drop what it answered before."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            self.serial += 1
            mark = f'ok echo={self.serial}'
            self._send(f'\necho {self.serial}\n')
            wait = time.monotonic() + 3
            while True:
                line = self._line(min(wait, until))
                if line is None:
                    break
                if line == mark:
                    return
        raise Failed(f'the guest did not answer in {timeout} s')

    def ask(self, command, *numbers, timeout=60):
        """The answer's whole text, "ok ..." or "bad ..."."""
        text = ' '.join([command, *(str(n) for n in numbers)])
        self._send(text + '\n')
        line = self._line(time.monotonic() + timeout)
        if line is None:
            raise Failed(f'no answer to "{text}" in {timeout} s')
        return line

    def do(self, command, *numbers, timeout=60):
        """The answer's pairs; anything but "ok" is a failure."""
        line = self.ask(command, *numbers, timeout=timeout)
        if line.split(' ', 1)[0] != 'ok':
            raise Failed(f'"{command} {" ".join(map(str, numbers))}" '
                         f'was answered "{line}"')
        return {k: int(v, 0) for k, v in PAIR.findall(line)}
