# SPDX-License-Identifier: GPL-2.0-or-later
"""How the tools speak: one clear line for an error, short lines for steps."""
import os
import shlex
import shutil
import subprocess
import sys
import time

PREFIX = 'xen-mapcache'


class Failure(Exception):
    """Something the user has to know; its text is the one line he is told."""


def note(text):
    print(f'{PREFIX}: {text}', flush=True)


def run_main(main):
    """Run main(); a Failure becomes one line on stderr and exit status 1."""
    try:
        sys.exit(main() or 0)
    except Failure as failure:
        sys.stdout.flush()
        print(f'{PREFIX}: error: {failure}', file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f'\n{PREFIX}: interrupted; run the same command again to go on',
              file=sys.stderr)
        sys.exit(130)
    except subprocess.CalledProcessError as err:
        # what it had to say it has said on standard error
        print(f'{PREFIX}: error: {shlex.join(map(str, err.cmd))}: exit status '
              f'{err.returncode}', file=sys.stderr)
        sys.exit(1)
    except OSError as err:
        name = f'{err.filename}: ' if err.filename else ''
        print(f'{PREFIX}: error: {name}{err.strerror or err}',
              file=sys.stderr)
        sys.exit(1)


def need_space(path, gib, what):
    """Fail unless the file system of path has gib GiB free."""
    probe = path
    while not os.path.exists(probe):
        probe = os.path.dirname(os.path.abspath(probe))
    free = shutil.disk_usage(probe).free / 2**30
    if free < gib:
        raise Failure(f'{what} needs {gib:.1f} GiB in {path}, '
                      f'{free:.1f} GiB are free: make room and run again')


class Progress:
    """A percentage: redrawn in place on a terminal, else a line at times."""

    def __init__(self, what, every=15):
        self.what = what
        self.every = every
        self.tty = sys.stdout.isatty()
        self.last = time.monotonic()
        self.drawn = False

    def show(self, done, total, name=''):
        now = time.monotonic()
        percent = 100 * done // total if total else 100
        line = f'{PREFIX}: {self.what}: {percent}% ({done}/{total})'
        if self.tty:
            if now - self.last >= 0.1 or done == total:
                width = shutil.get_terminal_size().columns - 1
                print('\r\033[K' + f'{line} {name}'[:width], end='',
                      flush=True)
                self.last = now
                self.drawn = True
        elif now - self.last >= self.every:
            print(line, flush=True)
            self.last = now

    def end(self):
        if self.drawn:
            print('\r\033[K', end='', flush=True)
