# SPDX-License-Identifier: GPL-2.0-or-later
"""From what the benchmarks print to rows of scenario, stock, ours, ratio."""

GIB = 2**30
# of whole QEMU: measure, unit, is it a count?
MEASURES = [('libxen-calls', 'per request', False),
            ('map-calls', 'per request', True),
            ('map-pages', 'per request', True),
            ('faults', 'per request', True),
            ('syscalls', 'per request', True),
            ('instructions', 'per request', False),
            ('cpu-ns', 'ns', False),
            ('time-ns', 'ns', False)]
# what the scenario of that name costs with a plain pointer
PLAIN = 'plain-'


# The figures to reach: scenario, beside what, at most so many times that (or,
# beside nothing, so much).  A pattern ends with "*" or begins with it.
GOALS = [('unlocked-hit', 'last', 0.65),
         ('unlocked-hit-2-threads-overlap', 'last', 0.65),
         ('unlocked-hit-instructions', 'last', 0.65),
         ('unlocked-hit-inside', 'noise', 1),
         ('access-8', 'plain', 2),
         ('dma-warm', 'last', 0.6),
         ('dma-warm-locked-operations', None, 2),
         ('invalidate-1024', 'plain', 1.1),
         ('longest-silence', None, 50),
         ('longest-silence-inside', None, 50),
         ('scatter-32m', None, 200),
         ('scatter-32m-wrong-bytes', None, 0),
         ('idle-mapped', None, 4096),
         ('bar-switches-relocated-pages', None, 4096),
         ('bar-switches-pins', None, 1),
         ('physmem-lines-added', None, 130),
         ('physmem-lines-that-name-xen', None, 10),
         ('adversarial-*', 'stock', 1),
         ('*-cpu', 'plain', 1.05)]
# of the adversarial ones only the time of all of it has a goal
WITHOUT_GOAL = ('-cpu', '-attach', '-reset', '-silent', '-held')


def goal_of(name):
    """(beside, at most) of a scenario, or None."""
    for pattern, beside, most in GOALS:
        if pattern == name:
            return beside, most
        if pattern == '*-cpu' and name.endswith('-cpu') and \
                not name.startswith(('adversarial-', 'scatter-', 'longest-')):
            return beside, most
        if pattern == 'adversarial-*' and name.startswith('adversarial-') \
                and not name.endswith(WITHOUT_GOAL):
            return beside, most
    return None


def set_goals(rows):
    """Each row that has a figure to reach gets "goal" and "reached"; None: it
    could not be measured, or there is nothing beside it."""
    for row in rows:
        goal = goal_of(row['scenario'])
        if not goal:
            continue
        beside, most = goal
        value = row['ours']
        if beside and value is not None:
            base = row.get(beside)
            value = value / base if base else None
        row['goal'] = {'most': most, 'times': beside}
        row['goal_value'] = None if value is None else round(value, 3)
        row['reached'] = None if value is None else value <= most


def inside_row(series, bare):
    """What looks inside a hit: how much longer the series' hit takes than
    that of the same mapcache without counters and trace events.  Both are the
    least of many turns.  The noise is by how much the series' median turn is
    above its least.  Each argument: the times of the turns."""
    series, bare = sorted(series), sorted(bare)
    return {'scenario': 'unlocked-hit-inside', 'unit': 'ns', 'stock': None,
            'ours': round(series[0] - bare[0], 3), 'ratio': None,
            'series': series[0], 'bare': bare[0],
            'noise': round(series[len(series) // 2] - series[0], 3)}


def add_last(rows, last):
    """The last release's engine, of the same run, beside ours."""
    for row in rows:
        if row['scenario'] in last:
            row['last'] = last[row['scenario']][1]


def read_micro(text):
    """{scenario: (unit, value, simulated maps, simulated unmaps)}."""
    values = {}
    for line in text.splitlines():
        parts = line.split('\t')
        if len(parts) in (3, 5):
            more = [float(p) for p in parts[3:]] or [0.0, 0.0]
            values[parts[0]] = (parts[1], float(parts[2]), *more)
    return values


def least_micro(turns):
    """The least of the turns: what is above it is the machine's."""
    return {name: min((t[name] for t in turns if name in t),
                      key=lambda v: v[1])
            for name in turns[0]}


def ratio(stock, ours):
    """Stock over ours; None if there is none ("none at all" has no ratio)."""
    if stock is None or not ours or ours <= 0 or stock < 0:
        return None
    return round(stock / ours, 2)


SIMULATION = ('map-call', 'unmap-call', 'unmap-run')


def net(values, name, in_runs):
    """A time without what the simulated map calls in it cost.

    `in_runs`: many mappings end by one system call, which costs less.
    None if what is left is within the noise of what was taken off."""
    unit, value, maps, ends = values[name]
    if unit != 'ns' or name in SIMULATION:
        return None
    end = values['unmap-run' if in_runs and ends > 1 else 'unmap-call'][1]
    left = value - maps * values['map-call'][1] - ends * end
    return left if left > value / 20 else None


# Measured only where two threads were seen to run at the same time.
OVERLAP = ('unlocked-hit-2-threads-overlap', 'dma-2-threads-overlap')


def overlap_missing(stock, ours):
    """Rows without a figure, for what this machine did not let be measured."""
    return [{'scenario': name, 'unit': 'ns',
             **{who: seen[name][1] if name in seen else None
                for who, seen in (('stock', stock), ('ours', ours))},
             'ratio': None}
            for name in OVERLAP if name not in stock or name not in ours]


def micro_rows(stock, ours):
    rows = overlap_missing(stock, ours)
    for name, (unit, mine, *_) in ours.items():
        if name.startswith(PLAIN) or name not in stock:
            continue
        theirs = stock[name][1]
        row = {'scenario': name, 'unit': unit, 'stock': theirs, 'ours': mine,
               'ratio': ratio(theirs, mine)}
        if unit == 'ns' and name not in SIMULATION:
            row['ratio_without_simulation'] = ratio(
                net(stock, name, False), net(ours, name, True))
        if PLAIN + name in ours:
            row['plain'] = ours[PLAIN + name][1]
        rows.append(row)
    return rows


def read_qemu(text):
    """{load: {measure: value or None}}."""
    values = {}
    for line in text.splitlines():
        parts = line.split('\t')
        if len(parts) == 3:
            values.setdefault(parts[0], {})[parts[1]] = \
                None if parts[2] == '-' else float(parts[2])
    return values


def merge_qemu(turns, most):
    """Times: the least of the turns.  Counts: the most of them if `most`,
    so that no count of ours is made to look better than it was.  System calls:
    the most, because strace misses some now and then on a busy machine."""
    merged = {}
    for load in turns[0]:
        merged[load] = {}
        for measure in {m for t in turns for m in t[load]}:
            seen = [t[load][measure] for t in turns
                    if t[load].get(measure) is not None]
            is_count = measure in {m for m, _, c in MEASURES if c}
            pick = max if measure == 'syscalls' or (most and is_count) \
                else min
            merged[load][measure] = pick(seen) if seen else None
    return merged


def scaled(value, measure, size):
    """Times of a load that moves bytes are told by GiB, in ms."""
    if value is None or not measure.endswith('-ns') or not size:
        return value
    return value / 1e6 * GIB / size


def qemu_rows(stock, ours, plain):
    rows = []
    for load, mine in ours.items():
        size = mine['bytes']
        for measure, unit, _ in MEASURES:
            name = measure.replace('-ns', '')
            values = [scaled(v.get(load, {}).get(measure), measure, size)
                      for v in (stock, ours, plain)]
            rows.append({
                'scenario': f'{load}-{name}',
                'unit': 'ms/GiB' if measure.endswith('-ns') and size else unit,
                'stock': values[0], 'ours': values[1],
                'ratio': ratio(*values[:2]), 'plain': values[2]})
    return rows
