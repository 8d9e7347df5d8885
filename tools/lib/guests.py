# SPDX-License-Identifier: GPL-2.0-or-later
"""The guests of this host, and what their mapcaches say.

libxl gives every device model two QMP sockets: qmp-libxl-DOMID for itself, and
qmp-libxenstat-DOMID for xentop and its like.  The second is used if there is
one, so that libxl need not wait.
"""
import os
import re
import subprocess
import threading

from qmp import ANSWER_MAX, Lost, Monitor, Refused, brief, printable
from say import Failure

RUN_DIR = '/var/run/xen'
SOCKET = re.compile(r'^qmp-(libxenstat|libxl)-(\d+)$')
BUCKET = 1 << 20            # of a QEMU that does not say
COUNTER_MAX = (1 << 64) - 1
SAMPLE_MAX = 64 << 10       # bytes that a QEMU may answer at a time
# guests that hang take seconds each; all those of a large host may hang at once
ASKED_AT_A_TIME = 256
ASKED_BY_XL_AT_A_TIME = 16  # each by a process


def together(function, items, most=ASKED_AT_A_TIME):
    """[function(item)] of all items, `most` at a time; an exception stands
    for its result.  The threads do not keep the program from ending: some
    guests may not answer for seconds."""
    items = list(items)
    results = [None] * len(items)
    left = iter(range(len(items)))
    lock = threading.Lock()

    def work():
        while True:
            with lock:
                at = next(left, None)
            if at is None:
                return
            try:
                results[at] = function(items[at])
            except Exception as err:        # noqa: BLE001
                results[at] = err

    threads = [threading.Thread(target=work, daemon=True)
               for _ in range(min(len(items), most))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def is_counter(value):
    """Whether a QEMU can have counted that: it need not be trusted."""
    return (isinstance(value, int) and not isinstance(value, bool)
            and 0 <= value <= COUNTER_MAX)


def counter_of(digits):
    """The number that a text has, or None if no counter can be so large."""
    value = int(digits) if len(digits) <= len(str(COUNTER_MAX)) else None
    return value if is_counter(value) else None

# Lines of "info xen-mapcache", for what only xl can be asked; N is a number.  A
# line that is not there, or reads otherwise, is a counter that this QEMU lacks.
# No pattern takes long for any text, because what QEMU prints need not be
# trusted.
HUMAN = {
    'hits': '^lookups: N hits',
    'misses': '^lookups: .*?N misses',
    'holes': '^lookups: .*?N holes',
    'map-calls': '^map calls: N',
    'map-pages': '^map calls: .*?of N pages',
    'map-failures': '^map calls: .*?N failed',
    'failed-accesses': '^accesses that failed: N',
    'unmap-calls': '^map calls: .*?unmap calls: N',
    'invalidates': '^invalidates: N',
    'unmatched': '^invalidates: .*?releases of nothing: N',
    'buckets': '^mapped: N buckets',
    'buckets-max': r'^mapped: .*?\(at most N\)',
    'buckets-pending': '^mapped: .*?N more waiting to be unmapped',
    'no-room': '^mapped: .*?no room: N times',
    'blocks': '^mapped: N blocks',
    'dummies': '^mapped: .*?N of them dummies',
    'grants': '^mapped: .*?N grants',
    'dma': '^outstanding DMA mappings: N of transfers',
    'held': '^outstanding DMA mappings: .*?N (?:long-)?held',
    'bytes-mapped': '^bytes: N mapped',
    'bytes-retained': '^bytes: .*?N of them retained',
    'bytes-blocks': '^bytes: .*?N of device memory',
    'bytes-exact': '^bytes: .*?N for single DMA mappings',
}
HUMAN = {key: re.compile(
    pattern.replace('N', r'(?<!\d)(\d{1,20})(?!\d)'), re.MULTILINE | re.ASCII)
         for key, pattern in HUMAN.items()}


def human_counters(text):
    """The counters in what "info xen-mapcache" prints."""
    found = {key: pattern.search(text) for key, pattern in HUMAN.items()}
    values = {key: counter_of(match[1]) for key, match in found.items()
              if match}
    return {key: value for key, value in values.items() if value is not None}


# A line of "info xen-mapcache transfers", which has the oldest first.
TRANSFER = re.compile(r'^ +[0-9a-f]+-[0-9a-f]+ \(\w+, transfer, (\d+) s\): '
                      r'(.+?)(?: \[\d+ times\])?\r?$', re.MULTILINE)


def human_oldest(text):
    """What oldest_of() returns, from what the human monitor prints."""
    if not text.startswith('outstanding transfers: '):
        return None
    match = TRANSFER.search(text)
    if not match:
        return {}
    seconds = counter_of(match[1])
    return None if seconds is None else {'device': brief(match[2]),
                                         'seconds': seconds}


class Guest:
    """A device model that can be asked.  `label` is what the user calls it: as
    it was written, which need not be fit for a terminal."""

    def __init__(self, label, domid=None, sockets=()):
        self.label = label
        self.domid = domid
        self.sockets = list(sockets)

    @property
    def key(self):
        return self.label if self.domid is None else self.domid

    def monitor(self, timeout=2.0, most=ANSWER_MAX):
        """Connect to the first socket that can be; raises Lost."""
        why = Lost('it has no QMP socket')
        for path in self.sockets:
            try:
                return Monitor(path, timeout, most)
            except Lost as lost:
                why = lost
        raise why

    def sample(self):
        """{'name', 'counters', 'oldest'}; raises Lost.  'oldest' is the oldest
        outstanding transfer, {} if there is none, or None if this QEMU does
        not tell."""
        with self.monitor(most=SAMPLE_MAX) as monitor:
            name, info, dma = monitor.ask(
                ('query-name', {}), ('query-xen-mapcache', {}),
                ('x-query-xen-mapcache-dma', {'limit': 1, 'held': False}))
            version = monitor.version
        if isinstance(info, Refused):
            raise Lost(f'QEMU {version} without the series' if info.unknown
                       else str(info))
        return {'name': name_of(name), 'counters': counters_of(info),
                'oldest': oldest_of(dma)}


class XlGuest(Guest):
    """A guest that is asked by "xl qemu-monitor-command"."""

    def sample(self):
        text = xl('qemu-monitor-command', str(self.domid), 'info xen-mapcache')
        counters = human_counters(text)
        if not counters:
            said = brief(text.strip().split('\n')[0])
            raise Lost('its QEMU is without the series'
                       if 'unknown command' in said else f'QEMU says: {said}')
        oldest = xl('qemu-monitor-command', str(self.domid),
                    'info xen-mapcache transfers')
        name = xl('domname', str(self.domid)).strip()
        return {'name': brief(name), 'counters': counters,
                'oldest': human_oldest(oldest)}


def xl(*args):
    """What xl prints; raises Lost with the reason that it gives."""
    try:
        res = subprocess.run(['xl', *args], capture_output=True, text=True,
                             errors='replace', timeout=10, check=False)
    except FileNotFoundError:
        raise Failure('xl is not installed here') from None
    except subprocess.TimeoutExpired:
        raise Lost('xl does not answer') from None
    if res.returncode:
        said = res.stderr.strip().split('\n')[-1]
        raise Lost('xl says: ' + (brief(said) or
                                  f'exit status {res.returncode}'))
    return res.stdout


def name_of(answer):
    if isinstance(answer, dict) and answer.get('name'):
        return brief(answer['name'])
    return '-'


def counters_of(answer):
    if not isinstance(answer, dict):
        raise Lost('its answer cannot be understood')
    return {key: value for key, value in answer.items() if is_counter(value)}


def oldest_of(answer):
    if not isinstance(answer, dict):
        return None
    try:
        first = answer['mappings'][:1]
        if not first:
            return {}
        age = first[0]['age']
        return {'device': brief(first[0]['device']),
                'seconds': age} if is_counter(age) else None
    except (KeyError, TypeError):
        return None


class Finder:
    """Finds the guests that were asked for: every one of them each time,
    because guests come and go."""

    def __init__(self, domains, run_dir=RUN_DIR, by_xl=False):
        self.domains = domains
        self.run_dir = run_dir
        self.by_xl = by_xl
        self.at_a_time = ASKED_BY_XL_AT_A_TIME if by_xl else ASKED_AT_A_TIME
        self.domid_of = {}      # names that were told at the last questions

    def find(self):
        """([Guest], {label: why it cannot be found})."""
        if self.by_xl:
            return self._find_by_xl()
        there = self._scan()
        if not self.domains:
            return list(there.values()), {}
        # names are UTF-8, whatever the user's locale is
        self.domains = [domain if '/' in domain else os.fsencode(domain).decode(
            errors='surrogateescape') for domain in self.domains]
        by_number = {str(domid): guest for domid, guest in there.items()}
        is_name = [domain for domain in self.domains
                   if '/' not in domain and not domain.isdecimal()]
        names, silent = self._names(there) if is_name else ({}, 0)
        found, missing = {}, {}
        for domain in self.domains:
            several = [str(guest.domid) for guest in names.get(domain, [])]
            guest = (Guest(domain, None, [domain]) if '/' in domain else
                     names.get(domain, [None])[0] if domain in is_name else
                     by_number.get(domain.lstrip('0')))
            if domain in is_name and len(several) > 1:
                missing[domain] = ('the device models of domains '
                                   f'{", ".join(several)} all say that this '
                                   'is their name: give a number')
            elif guest:
                guest.label = domain
                found[guest.key] = guest
            else:
                missing[domain] = (
                    f'no such domain with a device model ({self.run_dir})'
                    + (f'; {silent} there did not tell their names'
                       if silent and domain in is_name else ''))
        return list(found.values()), missing

    def _scan(self):
        """{domid: Guest} of the sockets in the run directory."""
        found = {}
        try:
            names = sorted(os.listdir(self.run_dir))
        except PermissionError:
            raise Failure(f'no permission for {self.run_dir}: run as root') from None
        except OSError:
            names = []      # no guest was ever started
        for name in names:
            match = SOCKET.match(name)
            if match:
                domid = int(match[2])
                guest = found.setdefault(domid, Guest(str(domid), domid))
                guest.sockets.append(os.path.join(self.run_dir, name))
        return dict(sorted(found.items()))

    def _names(self, there):
        """({name: [Guest]}, how many did not tell their name).  One that does
        not answer now is known by the name that it told before.  More than one
        may have a name: a device model need not tell the truth."""
        def ask(guest):
            with guest.monitor(most=SAMPLE_MAX) as monitor:
                answer, = monitor.ask(('query-name', {}))
            return answer.get('name') if isinstance(answer, dict) else None

        found, silent = {}, set()
        for guest, name in zip(there.values(), together(ask, there.values())):
            if isinstance(name, str):
                found.setdefault(name, []).append(guest)
            elif isinstance(name, Lost):
                silent.add(guest.domid)
            elif isinstance(name, Exception):
                raise name
        for name, domid in self.domid_of.items():
            if domid in silent:
                found.setdefault(name, [there[domid]])
        self.domid_of = {name: named[0].domid for name, named in found.items()
                         if len(named) == 1}
        return found, len(silent - set(self.domid_of.values()))

    def _find_by_xl(self):
        found, missing = [], {}
        for domain in self.domains or self._domids_by_xl():
            try:
                domid = int(domain if domain.isdecimal()
                            else xl('domid', domain))
                found.append(XlGuest(domain, domid))
            except Lost as lost:
                missing[domain] = str(lost)
            except ValueError:
                missing[domain] = 'xl does not tell its number'
        return found, missing

    @staticmethod
    def _domids_by_xl():
        """Of the guests with a device model of their own: those with a
        socket are known without asking each."""
        try:
            lines = xl('list').splitlines()[1:]
        except Lost as lost:
            raise Failure(str(lost)) from None
        ids = [line.rsplit(None, 5)[1] for line in lines
               if len(line.rsplit(None, 5)) == 6]
        return [domid for domid in ids if domid.isdecimal() and domid != '0']
