# SPDX-License-Identifier: GPL-2.0-or-later
"""The view of all guests' mapcaches, run by tests on a screen or without."""
import contextlib
import itertools
import os
import shutil
import subprocess
import time

from bench import Skip
from simguests import FakeMonitor, interruptible

OURS = {'query-name': {'name': 'new'},
        'query-xen-mapcache': {
            'hits': 4000, 'misses': 10, 'map-calls': 20, 'buckets': 3,
            'bytes-mapped': 3 << 20, 'bytes-blocks': 17 << 20,
            'bytes-retained': 2 << 20, 'dma': 2, 'held': 7},
        'x-query-xen-mapcache-dma': {
            'total': 2, 'mappings': [{'device': 'ich9-ahci',
                                      'age': 12}]}}
OLDER = {'query-name': {'name': 'older'},
         'query-xen-mapcache': {'hits': 7, 'misses': 1, 'buckets': 3}}
STOCK = {'query-name': {'name': 'stock'}}


def top(b, *args, status=0, env=None, **how):
    """Run the view; returns (what it prints, what it complains of)."""
    res = subprocess.run(
        [os.path.join(b.tools, 'xen-mapcache-top'), '-i', '0.3', '--run-dir',
         b.path('run'), *args], capture_output=True, text=True, timeout=60,
        check=False, env={**os.environ, **(env or {})}, **how)
    assert res.returncode == status, res
    assert 'Traceback' not in res.stderr, res.stderr
    return res.stdout, res.stderr.splitlines()


def rows_of(text):
    """{name: {heading: text}} of the table."""
    lines = text.splitlines()
    names = lines[0].split()
    return {line.split()[1]: dict(zip(names, line.split(None, len(names) - 1)))
            for line in lines[1:]}


@contextlib.contextmanager
def fakes(b, **monitors):
    """FakeMonitors by domid (d1={...}), in the run directory."""
    made = {name: FakeMonitor(b.path('run', f'qmp-libxl-{name[1:]}'), answers)
            for name, answers in monitors.items()}
    try:
        yield made
    finally:
        for monitor in made.values():
            monitor.close()


def hang(b, *numbers):
    """QEMUs that take connections and tell nothing."""
    return [FakeMonitor(b.path('run', f'qmp-libxl-{n}'), {}, None)
            for n in numbers]


def view_of(b, *args):
    """The view as a program that is under way."""
    return subprocess.Popen(
        [os.path.join(b.tools, 'xen-mapcache-top'), '-i', '0.2', '--run-dir',
         b.path('run'), *args], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, preexec_fn=interruptible)


class Terminal:
    """A tmux of its own that shows a program."""
    NUMBERS = itertools.count()

    def __init__(self, b, *argv, columns=100, lines=24):
        if not shutil.which('tmux'):
            raise Skip('tmux is not installed')
        self.tmux = ['tmux', '-S', b.path(f'tmux{next(self.NUMBERS)}'),
                     '-f', '/dev/null']
        self.run('new-session', '-d', '-x', str(columns), '-y', str(lines),
                 *argv)

    def run(self, *args):
        res = subprocess.run([*self.tmux, *args], capture_output=True,
                             text=True, timeout=20, check=False)
        return res.stdout if res.returncode == 0 else None

    def screen(self):
        return self.run('capture-pane', '-p')

    def wait(self, *words, without=()):
        """Wait until the screen has these words; returns it."""
        end = time.monotonic() + 20
        while True:
            screen = self.screen() or ''
            if all(w in screen for w in words) and \
                    not any(w in screen for w in without):
                return screen
            assert time.monotonic() < end, \
                f'{words} without {without} is not on the screen:\n{screen}'
            time.sleep(0.1)

    def close(self):
        self.run('kill-server')
