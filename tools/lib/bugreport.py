# SPDX-License-Identifier: GPL-2.0-or-later
"""What xen-mapcache-report collects of a device model, part by part.

Nothing of the guest's memory: no part reads any.  The log may have some, in
trace events that somebody turned on (values that were read and written), so
lines of all trace events but the mapcache's own are left out.
"""
import json
import os
import platform
import re
import socket
import struct
import subprocess
import time

from guests import counters_of
from qmp import Lost, Refused, brief, printable

# events that are rare and have addresses only
EVENTS = re.compile(r'^xen_(map_cache\w*|remap_bucket|dma_\w+|'
                    r'invalidate_map_cache\w*|replace_cache_entry|'
                    r'(physmap|frames|dirty)_\w+|client_set_memory|ram_alloc)$')
# In a value of an option, ",," is a comma.
SECRET = '(?:password|passwd|data|cookie)'
SECRETS = (re.compile(rf'((?:^|[,.]){SECRET}=)(?:[^,]|,,)*'),
           # the same in JSON
           re.compile(rf'("(?:[\w.-]*\.)?{SECRET}" *: *)"(?:[^"\\]|\\.)*"'),
           re.compile(r'(://)(?:[^/@,]|,,)*(?=@)'),
           # of rbd: the file's name has the key
           re.compile(r'((?:^|[="])rbd:.*?:key=)(?:[^,:\\"]|,,|\\.)*'))
LOGS = '/var/log/xen'
LOG_LINES = 200
TRACE_LINES = 2000
HOLDERS = 64
# what the human monitor prints best
HUMAN = ('info xen-mapcache', 'info xen-mapcache dma', 'info xen-physmap',
         'info ramblock', 'info mtree -f', 'info pci')
LIBRARY = re.compile(r'/[^ ]*/(libxen[\w.+-]*\.so[\w.]*)$')


class Unavailable(Exception):
    """A part cannot be had; the text says why."""


def read(path):
    try:
        with open(path, encoding='utf-8', errors='replace') as src:
            return src.read()
    except OSError as err:
        raise Unavailable(f'{path}: {err.strerror}') from None


def output(*argv):
    """What a program prints, or None if it is not there or fails."""
    try:
        res = subprocess.run(argv, capture_output=True, text=True,
                             errors='replace', timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return res.stdout.strip() if res.returncode == 0 else None


def without_secrets(arg):
    for secret in SECRETS:
        arg = secret.sub(r'\1(left out)', arg)
    return arg


class Subject:
    """The device model of a guest."""

    def __init__(self, guest, log=None):
        self.guest = guest
        with guest.monitor() as monitor:
            self.version = monitor.version
            name, info = monitor.ask(('query-name', {}),
                                     ('query-xen-mapcache', {}))
            self.pid = self._pid(monitor.sock)
        if isinstance(info, Refused):
            raise Lost(f'QEMU {self.version} without the series'
                       if info.unknown else str(info))
        self.name = brief(name.get('name', '')) \
            if isinstance(name, dict) else ''
        self.log = log or self._log()

    def _pid(self, sock):
        """The process: what libxl noted, else who listens at the socket.  The
        latter is libxl where it opened the socket for QEMU."""
        noted = self._noted('image/device-model-pid')
        if noted and noted.isdecimal():
            return int(noted)
        data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid = struct.unpack('3i', data)[0]
        try:
            program = os.path.basename(os.readlink(f'/proc/{pid}/exe'))
        except OSError:
            return None
        return pid if 'qemu' in program else None

    def _noted(self, key):
        """What xenstore has of the domain; None if that cannot be read."""
        if self.guest.domid is None:
            return None
        return output('xenstore-read',
                      f'/local/domain/{self.guest.domid}/{key}')

    def _log(self):
        """Where QEMU's messages go, as a file that can be read.  The name that
        QEMU tells may be another guest's, so it is not asked."""
        path = f'/proc/{self.pid}/fd/2'
        if os.path.isfile(path):
            return path
        name = self._noted('name')
        path = os.path.join(LOGS, f'qemu-dm-{name}.log')
        return path if name and '/' not in name and os.path.isfile(path) \
            else None

    def proc(self, name):
        if self.pid is None:
            raise Unavailable('the process is not known')
        return read(f'/proc/{self.pid}/{name}')

    def ask(self, command, **args):
        with self.guest.monitor(10) as monitor:
            return monitor.must(command, **args)

    def human(self, line):
        with self.guest.monitor(10) as monitor:
            return monitor.human(line)


# -- the parts: each a function of the Subject that returns text

def versions(subject):
    lines = [f'QEMU {subject.version}']
    if subject.pid is not None:
        try:
            program = os.readlink(f'/proc/{subject.pid}/exe')
            lines.append(f'program {program}')
            lines.append(output('dpkg', '-S', program) or 'of no package')
        except OSError as err:
            lines.append(f'program: {err.strerror}')
    xen = '/sys/hypervisor/version'
    if os.path.isdir(xen):
        lines.append('Xen ' + read(f'{xen}/major').strip() + '.'
                     + read(f'{xen}/minor').strip()
                     + read(f'{xen}/extra').strip())
    else:
        lines.append('Xen: this kernel does not run on it')
    lines.append(f'Linux {platform.release()}, {platform.machine()}')
    for line in read('/etc/os-release').splitlines():
        if line.startswith('PRETTY_NAME='):
            lines.append(line[len('PRETTY_NAME='):].strip('"'))
    return '\n'.join(lines)


def libraries(subject):
    found = set()
    for line in subject.proc('maps').splitlines():
        match = LIBRARY.search(line)
        if match:
            found.add(match[0])
    return '\n'.join(sorted(found)) or 'none of libxen'


def arguments(subject):
    args = subject.proc('cmdline').rstrip('\0').split('\0')
    return '\n'.join(without_secrets(printable(arg)) for arg in args)


def limits(subject):
    lines = [line for line in subject.proc('limits').splitlines()
             if re.match(r'Limit|Max (address|locked|open files|file size)',
                         line)]
    lines += [line for line in subject.proc('status').splitlines()
              if re.match(r'(Vm(Size|RSS|Lck|Data)|Threads|Uid):', line)]
    areas = len(subject.proc('maps').splitlines())
    most = read('/proc/sys/vm/max_map_count').strip()
    return '\n'.join([*lines, f'areas of memory: {areas} of {most}'])


def queries(subject):
    lines = []
    for command, args in (
            ('query-status', {}), ('query-xen-mapcache', {}),
            ('x-query-xen-mapcache-dma', {'limit': HOLDERS}),
            ('query-iothreads', {})):
        told = f'{command} {json.dumps(args) if args else ""}'.rstrip()
        try:
            answer = json.dumps(subject.ask(command, **args), indent=2)
        except Refused as refused:
            answer = f'(refused: {refused})'
        lines += [told, answer]
    return '\n'.join(lines)


def human(subject):
    lines = []
    for command in HUMAN:
        try:
            text = subject.human(command)
        except Refused as refused:
            text = f'(refused: {refused})'
        lines += [command, *map(printable, text.strip().split('\n')), '']
    return '\n'.join(lines)


def events_of(monitor):
    """(the names of all trace events, those of ours that are off)."""
    every = monitor.must('trace-event-get-state', name='*')
    try:
        states = {str(event['name']): event['state'] for event in every}
    except (KeyError, TypeError):
        raise Lost('its answer cannot be understood') from None
    return set(states), [name for name, state in states.items()
                         if EVENTS.match(name) and state == 'disabled']


def set_events(monitor, names, enable):
    monitor.ask(*[('trace-event-set-state', {'name': name, 'enable': enable})
                  for name in names])


def is_kept(line, names):
    """Whether a line of the log is fit for a report: no trace event but the
    mapcache's.  An event's line may begin with process and time, or with a
    text without a line's end that came before it."""
    return all(EVENTS.match(name)
               for name in names.intersection(re.findall(r'\w+', line)))


def fit(lines, names, most, from_end):
    """At most so many lines that are fit, and how many were left out."""
    kept = [printable(line) for line in lines if is_kept(line, names)]
    shown = kept[-most:] if from_end else kept[:most]
    told = []
    if len(kept) < len(lines):
        told.append(f'({len(lines) - len(kept)} lines of other trace events '
                    'left out)')
    if len(shown) < len(kept):
        told.append(f'({len(kept) - len(shown)} more lines)')
    return '\n'.join(told + shown)


def tail(path, size=1 << 20):
    """The last lines of a file."""
    try:
        with open(path, 'rb') as src:
            end = src.seek(0, os.SEEK_END)
            src.seek(max(0, end - size))
            text = src.read().decode(errors='replace')
    except OSError as err:
        raise Unavailable(f'{path}: {err.strerror}') from None
    lines = text.splitlines()
    return lines[1:] if end > size else lines


def end_of_log(subject):
    if subject.log is None:
        raise Unavailable('no log was found; name it by --log')
    with subject.guest.monitor(10) as monitor:
        names, _ = events_of(monitor)
    return fit(tail(subject.log), names, LOG_LINES, True) or 'it is empty'


def turned_off(subject, names):
    """Turn trace events off again; the mapcache's counters."""
    try:
        with subject.guest.monitor(10) as monitor:
            set_events(monitor, names, False)
            return monitor.must('query-xen-mapcache')
    except Lost as lost:
        raise Unavailable(f'{lost}; its trace events may still be on') \
            from None


def file_size_limit(subject):
    """RLIMIT_FSIZE of the process, as /proc tells it."""
    limit = re.search(r'(?m)^Max file size +(\S+)', subject.proc('limits'))
    return limit[1] if limit else 'unlimited'


def trace(subject, seconds):
    """What the mapcache's trace events tell in this time."""
    if subject.log is None:
        raise Unavailable('traces go to the log, and none was found; name it '
                          'by --log')
    limit = file_size_limit(subject)
    if limit != 'unlimited':
        raise Unavailable('traces go to the log, which must not reach the '
                          f'limit of {limit} bytes: QEMU would be ended')
    with subject.guest.monitor(10) as monitor:
        names, ours = events_of(monitor)
        start = os.stat(subject.log).st_size
        before = monitor.must('query-xen-mapcache')
    try:
        with subject.guest.monitor(10) as monitor:
            set_events(monitor, ours, True)
        time.sleep(seconds)
    finally:
        after = turned_off(subject, ours)
    before, after = counters_of(before), counters_of(after)
    grown = {key: after[key] - before[key] for key in before
             if after.get(key, before[key]) != before[key]}
    with open(subject.log, 'rb') as src:
        # a log that was emptied meanwhile has only what came afterwards
        src.seek(start if start <= os.fstat(src.fileno()).st_size else 0)
        text = src.read(16 << 20).decode(errors='replace')
    lines = [line for line in text.splitlines() if is_kept(line, names)]
    told = ', '.join(f'{key} {value:+d}' for key, value in grown.items())
    return '\n'.join([f'counters that changed: {told or "none"}',
                      fit(lines, names, TRACE_LINES, False)
                      or 'no event in the log in this time'])
