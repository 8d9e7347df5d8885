# SPDX-License-Identifier: GPL-2.0-or-later
"""Instructions and locked operations of one operation of the mapcache.

Counted, not timed: callgrind executes the benchmark with N and with 2N
operations and tells how often each instruction ran.  The difference is that of
N operations; which instructions are locked, the disassembler says.
"""
import os
import re
import shutil
import subprocess
import tempfile

from benchrows import ratio
from say import note

N = 20000       # what happens once in a while must not show
OPERATIONS = {'hit': 'unlocked-hit', 'dma': 'dma-warm'}


def parse(path):
    """{(object, address): times} of a callgrind file made with --dump-instr."""
    times, obj, calls = {}, None, False
    with open(path, encoding='utf-8', errors='replace') as src:
        for line in src:
            if line.startswith('ob='):
                obj = line[3:].strip()
            elif line.startswith('calls='):
                calls = True        # the next line is the callee's cost
            elif line.startswith('0x'):
                if not calls:
                    parts = line.split()
                    key = (obj, int(parts[0], 16))
                    times[key] = times.get(key, 0) + int(parts[2])
                calls = False
    return times


def locked_addresses(obj, env):
    """Addresses of the instructions of an object file that lock the bus."""
    res = subprocess.run(['objdump', '-d', '--no-show-raw-insn', obj],
                         text=True, check=False, env=env,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    found = set()
    for line in res.stdout.splitlines():
        m = re.match(r'\s*([0-9a-f]+):\s+(lock\b|xchg\s.*\(|mfence)', line)
        if m:
            found.add(int(m.group(1), 16))
    return found


def execute(binary, operation, n, folder, env):
    out = os.path.join(folder, f'{operation}.{n}')
    res = subprocess.run(
        ['valgrind', '--tool=callgrind', '--dump-instr=yes',
         '--compress-strings=no', '--compress-pos=no',
         f'--callgrind-out-file={out}', binary, '--count', operation, str(n)],
        text=True, check=False, env=env, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)
    if res.returncode:
        raise OSError(f'counting {operation} of {os.path.basename(binary)}: '
                      + (res.stderr.strip().splitlines() or ['failed'])[-1])
    return parse(out)


def difference(few, many):
    """What N more operations did, each: {key: times}, rare things left out."""
    found = {}
    for key, times in many.items():
        more = (times - few.get(key, 0)) / N
        if more > 0.01:
            found[key] = more
    return found


def counts(binary, _, env):
    """{scenario: (instructions, locked operations)} without the loop's own;
    {} where there is no valgrind."""
    if not shutil.which('valgrind') or not shutil.which('objdump'):
        note('instructions are not counted: valgrind or objdump is missing')
        return {}
    result, total, locked = {}, {}, {}
    with tempfile.TemporaryDirectory(prefix='xen-bench-') as folder:
        for operation in ('loop', *OPERATIONS):
            note(f'counting {operation} of {os.path.basename(binary)}')
            more = difference(execute(binary, operation, N, folder, env),
                              execute(binary, operation, 2 * N, folder, env))
            bus = {obj: locked_addresses(obj, env)
                   for obj in {key[0] for key in more}
                   if obj and os.path.exists(obj)}
            total[operation] = sum(more.values())
            locked[operation] = sum(
                times for (obj, at), times in more.items()
                if at in bus.get(obj, ()))
    for operation, scenario in OPERATIONS.items():
        result[scenario] = (total[operation] - total['loop'],
                            locked[operation] - locked['loop'])
    return result


def count_rows(found):
    """FOUND: {implementation: counts() or None}."""
    table = []
    ours = found.get('series') or {}
    for scenario in ours:
        for at, what in enumerate(('instructions', 'locked-operations')):
            values = {name: round(values[scenario][at], 2)
                      for name, values in found.items() if values}
            row = {'scenario': f'{scenario}-{what}', 'unit': 'per operation',
                   'stock': values.get('stock'), 'ours': values['series'],
                   'ratio': ratio(values.get('stock'), values['series'])}
            row.update({name: values[name] for name in ('last', 'bare')
                        if name in values})
            table.append(row)
    return table
