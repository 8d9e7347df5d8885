# SPDX-License-Identifier: GPL-2.0-or-later
"""A device model's monitor: libxl leaves one free for programs like this."""
import json
import os
import socket

from report import Failed


class Qmp:
    def __init__(self, domid, timeout=60):
        path = f'/run/xen/qmp-libxenstat-{domid}'
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(timeout)
        self.buffer = b''
        try:
            self.sock.connect(path)
        except OSError as err:
            raise Failed(f'{path}: {err.strerror}') from err
        self._read()
        self.call('qmp_capabilities')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def _read(self):
        while b'\n' not in self.buffer:
            try:
                data = self.sock.recv(65536)
            except TimeoutError as err:
                raise Failed('the monitor does not answer') from err
            except OSError as err:
                raise Failed(f'the monitor: {err.strerror}') from err
            if not data:
                raise Failed('the device model closed its monitor')
            self.buffer += data
        line, self.buffer = self.buffer.split(b'\n', 1)
        return json.loads(line)

    def call(self, name, fd=None, **args):
        request = json.dumps({'execute': name, 'arguments': args}) + '\n'
        try:
            if fd is None:
                self.sock.sendall(request.encode())
            else:
                socket.send_fds(self.sock, [request.encode()], [fd])
        except OSError as err:
            raise Failed(f'the monitor: {err.strerror}') from err
        while True:
            answer = self._read()
            if 'error' in answer:
                raise Failed(f'{name}: {answer["error"]["desc"]}')
            if 'return' in answer:
                return answer['return']

    def screen(self):
        """The picture on the screen, as PPM.  The file goes by descriptor:
        a restricted device model can open none.  (It is opened for writing
        only: QEMU takes a descriptor that allows what it wants, no more.)"""
        path = '/tmp/screen.ppm'
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            number = self.call('add-fd', fd=fd)['fdset-id']
            self.call('screendump', filename=f'/dev/fdset/{number}')
            self.call('remove-fd', **{'fdset-id': number})
            with open(path, 'rb') as src:
                return src.read()
        finally:
            os.close(fd)
            os.unlink(path)
