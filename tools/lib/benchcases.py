# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole QEMU at what a guest may do to it: each case a process of its own."""
import os
import subprocess
import tempfile

from benchrows import ratio, read_qemu

CASES = 'tests/bench/xen-qemu-cases'
PROBE = 'tests/bench/libxen-loop-probe.so'
IDLE = 'idle-mapped'
VARIANTS = {'stock': [], 'series': ['--series']}
# the same binary as a machine with plain RAM: what the devices themselves take
PLAIN = 'plain'
OPTIONS = dict(VARIANTS, **{PLAIN: ['--plain']})
BINARY = {'stock': 'stock', 'series': 'qemu', PLAIN: 'qemu'}
# measure -> end of the scenario's name, unit
MEASURES = [('time-ms', '', 'ms'), ('cpu-ms', '-cpu', 'ms'),
            ('slowest-attach-ms', '-slowest-attach', 'ms'),
            ('reset-ms', '-reset', 'ms'),
            ('monitor-silent-ms', '-monitor-silent', 'ms'),
            ('loop-held-ms', '-loop-held', 'ms'),
            ('loop-held-cpu-ms', '-loop-held-cpu', 'ms'),
            ('wrong-bytes', '-wrong-bytes', 'bytes'),
            ('failed-requests', '-failed-requests', 'requests'),
            ('mapped-before-kib', '-before', 'KiB'),
            ('mapped-kib', '', 'KiB'),
            ('relocated-pages', '-relocated-pages', 'pages'),
            ('pins', '-pins', 'calls')]
SECONDS = 150           # for one case


def command(build, variant, case, scratch):
    obj = os.path.join(build, 'obj')
    cmd = [os.path.join(obj, CASES), '--dir', scratch, '--case', case,
           '--probe', os.path.join(obj, PROBE), *OPTIONS[variant], '--qemu',
           os.path.join(build, BINARY[variant], 'qemu-system-i386')]
    return cmd


def environment(build, env, scratch):
    return dict(env, TMPDIR=scratch, XENSIM_LIB=os.path.join(
        build, 'obj', 'tests', 'xensim', 'libxensim.so'))


class Running:
    """A case that runs; finish() waits for it."""
    def __init__(self, build, env, variant, case):
        self.name = f'{case}: {variant}'
        # a disk's image is to be memory; all that is left goes with it
        self.scratch = tempfile.TemporaryDirectory(prefix='xen-case-',
                                                   dir='/dev/shm')
        self.process = subprocess.Popen(
            command(build, variant, case, self.scratch.name), text=True,
            env=environment(build, env, self.scratch.name),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def finish(self):
        """({measure: value}, None), or (None, why not)."""
        try:
            out, err = self.process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate()
            return None, f'{self.name}: not done in {SECONDS} s'
        finally:
            self.scratch.cleanup()
        if self.process.returncode:
            why = err.strip().splitlines()[-1:] or ['no message']
            return None, f'{self.name}: {why[0]}'
        return next(iter(read_qemu(out).values()), {}), None


def list_cases(build):
    res = subprocess.run([os.path.join(build, 'obj', CASES), '--list'],
                         text=True, check=True, stdout=subprocess.PIPE)
    return res.stdout.split()


def least(turns):
    """The least of each measure: what is above it is the machine's."""
    merged = {}
    for turn in turns:
        for measure, value in turn.items():
            old = merged.get(measure)
            merged[measure] = value if old is None else \
                old if value is None else min(old, value)
    return merged


def variants_of(case):
    return [*VARIANTS, *([PLAIN] if case.startswith('adversarial-') else [])]


def case_rows(case, stock, ours, plain=None):
    rows = []
    for measure, suffix, unit in MEASURES:
        if measure in ours:
            theirs = stock.get(measure)
            rows.append({'scenario': case + suffix, 'unit': unit,
                         'stock': theirs, 'ours': ours[measure],
                         'ratio': ratio(theirs, ours[measure])})
            if plain and plain.get(measure) is not None:
                rows[-1]['plain'] = plain[measure]
    return rows


def silence_rows(rows):
    """The longest of all cases, as seen from outside and from inside."""
    found = []
    for suffix, name in (('-monitor-silent', 'longest-silence'),
                         ('-loop-held', 'longest-silence-inside'),
                         ('-loop-held-cpu', 'longest-silence-inside-cpu')):
        seen = [row for row in rows if row['scenario'].endswith(suffix)]
        if not seen:
            continue
        values = [max((row[who] for row in seen if row[who] is not None),
                      default=None) for who in ('stock', 'ours')]
        worst = max(seen, key=lambda row: row['ours'] or 0)['scenario']
        found.append({'scenario': name, 'unit': 'ms', 'stock': values[0],
                      'ours': values[1], 'ratio': ratio(*values),
                      'of': worst[:-len(suffix)]})
    return found


def patch_rows(repo):
    """How much of physmem.c differs from stock's: lines, by the patch."""
    path = os.path.join(repo, 'system', 'physmem.c.patch')
    with open(path, encoding='utf-8') as src:
        added = [line[1:] for line in src
                 if line.startswith('+') and not line.startswith('+++')]
    named = [line for line in added if 'xen' in line.lower()]
    return [{'scenario': name, 'unit': 'lines', 'stock': 0, 'ours': len(found),
             'ratio': None}
            for name, found in (('physmem-lines-added', added),
                                ('physmem-lines-that-name-xen', named))]
