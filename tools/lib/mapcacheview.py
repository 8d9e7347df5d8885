# SPDX-License-Identifier: GPL-2.0-or-later
"""What xen-mapcache-top shows: samples become rows, rows become text."""
import concurrent.futures
import csv
import io
import json
import re
import time

from guests import BUCKET
from qmp import Lost

ASKED_AT_A_TIME = 16

# A row has, beside these, 'counters': everything that the QEMU counted.
# None: this QEMU does not tell, or there is no earlier sample.
FIELDS = ('domid', 'name', 'hit-percent', 'misses-per-second',
          'map-calls-per-second', 'mapped-bytes', 'idle-bytes', 'dma', 'held',
          'oldest-device', 'oldest-seconds')


def row_of(guest, sample, before, seconds):
    """A row; `before` is the counters of the last sample, `seconds` ago."""
    now = sample['counters']

    def grown(key):
        if before is None or key not in now or key not in before:
            return None
        # less than before: another process answers
        return now[key] - before[key] if now[key] >= before[key] else None

    def rate(key):
        return None if grown(key) is None else grown(key) / seconds

    hits, misses = grown('hits'), grown('misses')
    percent = None
    if hits is not None and misses is not None and hits + misses:
        percent = 100 * hits / (hits + misses)
    mapped = now.get('bytes-mapped')
    if mapped is None and 'buckets' in now:
        mapped = now['buckets'] * BUCKET
    elif mapped is not None:
        mapped += now.get('bytes-blocks', 0) + now.get('bytes-exact', 0)
    oldest = sample['oldest']
    return {
        'domid': guest.domid, 'name': sample['name'], 'hit-percent': percent,
        'misses-per-second': rate('misses'),
        'map-calls-per-second': rate('map-calls'), 'mapped-bytes': mapped,
        'idle-bytes': now.get('bytes-retained'), 'dma': now.get('dma'),
        'held': now.get('held'),
        'oldest-device': None if oldest is None else oldest.get('device', ''),
        'oldest-seconds': (None if not oldest else oldest['seconds']),
        'counters': now,
    }


class Sampler:
    """Asks every guest that a Finder finds, several at a time."""

    def __init__(self, finder):
        self.finder = finder
        self.before = {}        # {guest: (time, counters, name)}
        self.ended = {}         # {guest: what is told of it}
        self.pool = concurrent.futures.ThreadPoolExecutor(ASKED_AT_A_TIME)

    def sample(self):
        """(rows, {guest: why it has none}).  A guest that ends is among the
        latter: as long as it is asked for by name, else once."""
        found, missing = self.finder.find()
        jobs = [(guest, self.pool.submit(self._row, guest)) for guest in found]
        rows, problems, kept = [], {}, {}
        for guest, job in jobs:
            try:
                row, kept[guest.key] = job.result()
                rows.append(row)
            except Lost as lost:
                problems[guest.label] = str(lost)
        for key, (_, _, name) in self.before.items():
            label = name if name in missing else str(key)
            if key not in kept and label not in problems:
                self.ended[label] = f'{name} has ended'
        problems.update({label: self.ended.get(label, why)
                         for label, why in missing.items()})
        ended = {label: why for label, why in self.ended.items()
                 if label not in problems}
        for label in ended:
            del self.ended[label]
        self.before = kept
        return rows, {**problems, **ended}

    def _row(self, guest):
        sample = guest.sample()
        now = time.monotonic()
        then, counters, _ = self.before.get(guest.key, (now - 1, None, ''))
        row = row_of(guest, sample, counters, max(now - then, 1e-6))
        return row, (now, sample['counters'], sample['name'])


# -- as a table

def number(value):
    if value is None:
        return '-'
    return f'{value:.1f}' if 0 < value < 100 else f'{value:.0f}'


def percent(value):
    # 100.0 means that there was no miss
    return '-' if value is None else f'{int(value * 10) / 10:.1f}'


def size(value):
    if value is None:
        return '-'
    for unit in ('', 'K', 'M', 'G'):
        if value < 1024:
            break
        value /= 1024
    else:
        unit = 'T'
    return f'{value:.1f}{unit}' if unit and value < 100 \
        else f'{value:.0f}{unit}'


def duration(seconds):
    for unit, length in (('d', 86400), ('h', 3600), ('m', 60)):
        if seconds >= 2 * length:
            return f'{seconds // length:.0f}{unit}'
    return f'{seconds:.0f}s'


def short_device(device):
    """A device as its user calls it: by its id if it has one, else by its
    type.  What QEMU tells is "TYPE (PLACE)"."""
    match = re.search(r'\(/machine/peripheral/([^/)]+)', device)
    return match[1] if match else device.split(' (')[0]


def oldest(row):
    if row['oldest-device'] is None:
        return '-'
    if row['oldest-seconds'] is None:
        return 'none'
    return (f'{duration(row["oldest-seconds"])} '
            f'{short_device(row["oldest-device"])}')


def plain(value):
    return '-' if value is None else str(value)


# (heading, width, what of the row, how it is written); a width below 0 is
# aligned to the left
COLUMNS = (
    ('ID', 5, 'domid', plain),
    ('NAME', -15, 'name', plain),
    ('HIT%', 6, 'hit-percent', percent),
    ('MISS/s', 8, 'misses-per-second', number),
    ('MAP/s', 7, 'map-calls-per-second', number),
    ('MAPPED', 7, 'mapped-bytes', size),
    ('IDLE', 7, 'idle-bytes', size),
    ('DMA', 5, 'dma', plain),
    ('HELD', 5, 'held', plain),
    ('OLDEST', -24, 'oldest-seconds', None),
)


def aligned(text, width):
    """A text cut to a column's width; a + says that it was cut."""
    room = abs(width)
    if len(text) > room:
        text = text[:room - 1] + '+'
    return text.ljust(room) if width < 0 else text.rjust(room)


def heading():
    return ' '.join(aligned(name, width)
                    for name, width, _, _ in COLUMNS).rstrip()


def line_of(row):
    return ' '.join(aligned(write(row[key]) if write else oldest(row), width)
                    for _, width, key, write in COLUMNS).rstrip()


def in_order(rows, column, reverse=False):
    """Rows by a column: names and numbers upwards, figures from the most."""
    key = COLUMNS[column][2]
    upwards = key in ('domid', 'name')
    told = [r for r in rows if r[key] is not None]
    told.sort(key=lambda r: r[key], reverse=reverse == upwards)
    return told + [r for r in rows if r[key] is None]


# -- for programs

def rounded(row):
    """A row whose figures have no digits that mean nothing."""
    return {key: round(value, 3) if isinstance(value, float) else value
            for key, value in row.items()}


def json_of(rows, problems):
    """A line of JSON."""
    return json.dumps({
        'time': round(time.time(), 3), 'guests': [rounded(r) for r in rows],
        'problems': [{'domain': label, 'why': why}
                     for label, why in problems.items()]})


def csv_line(values):
    out = io.StringIO()
    csv.writer(out, lineterminator='').writerow(values)
    return out.getvalue()


def csv_heading():
    return csv_line(('time', *FIELDS))


def csv_of(rows):
    """A line for each guest; what this QEMU lacks is "-"."""
    now = f'{time.time():.3f}'
    return [csv_line([now, *(plain(rounded(row)[key]) for key in FIELDS)])
            for row in rows]
