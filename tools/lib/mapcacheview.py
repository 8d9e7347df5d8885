# SPDX-License-Identifier: GPL-2.0-or-later
"""What xen-mapcache-top shows: samples become rows, rows become text."""
import csv
import io
import json
import re
import time

from guests import BUCKET, together
from qmp import Lost

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
        self.before = {}        # {guest: (time, counters, name, label)}
        self.ended = {}         # {label: what is told of it}

    def nobody(self):
        """What to tell if there is no guest at all."""
        if self.finder.by_xl:
            return 'xl lists no guest: is this dom0?'
        return (f'no device model has a socket in {self.finder.run_dir}: is '
                'this dom0, and does an HVM guest run?')

    def sample(self):
        """(rows, {guest: why it has none}, {guest: that it has ended}).  A
        guest that ends is among the latter once; if it is asked for by name,
        it is among those without a row until it returns."""
        found, missing = self.finder.find()
        rows, problems, kept = [], {}, {}
        for guest, result in zip(found, together(self._row, found,
                                                 self.finder.at_a_time)):
            if isinstance(result, Lost):
                problems[guest.label] = str(result)
                if guest.key in self.before:
                    kept[guest.key] = self.before[guest.key]
            elif isinstance(result, Exception):
                raise result
            else:
                row, kept[guest.key] = result
                rows.append(row)
        ended = {}
        for key, (_, _, name, label) in self.before.items():
            if key in kept:
                continue
            if label in missing:
                self.ended[label] = f'{name} has ended'
            else:
                ended[label] = f'{name} has ended'
        self.ended = {label: why for label, why in self.ended.items()
                      if label in missing}
        problems.update({label: self.ended.get(label, why)
                         for label, why in missing.items()})
        self.before = kept
        return rows, problems, ended

    def _row(self, guest):
        sample = guest.sample()
        now = time.monotonic()
        then, counters, *_ = self.before.get(guest.key, (now - 1, None))
        row = row_of(guest, sample, counters, max(now - then, 1e-6))
        return row, (now, sample['counters'], sample['name'], guest.label)


# -- as a table

def number(value):
    if value is None:
        return '-'
    if value < 100000:
        return f'{value:.1f}' if 0 < value < 100 else f'{value:.0f}'
    for unit in ('K', 'M', 'G', 'T', 'P'):
        value /= 1000
        if value < 1000:
            break
    return f'{value:.1f}{unit}' if value < 100 else f'{value:.0f}{unit}'


def count(value):
    return str(value) if value is not None and value < 100000 \
        else number(value)


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
# aligned to the left.  80 columns have the age of the oldest transfer, and
# most of its device's name.
COLUMNS = (
    ('ID', 5, 'domid', plain),
    ('NAME', -13, 'name', plain),
    ('HIT%', 5, 'hit-percent', percent),
    ('MISS/s', 6, 'misses-per-second', number),
    ('MAP/s', 6, 'map-calls-per-second', number),
    ('MAPPED', 6, 'mapped-bytes', size),
    ('IDLE', 6, 'idle-bytes', size),
    ('DMA', 5, 'dma', count),
    ('HELD', 5, 'held', count),
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
