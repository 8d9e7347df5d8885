# SPDX-License-Identifier: GPL-2.0-or-later
"""Run QEMU's configure and ninja: progress in a line, failures readable."""
import os
import re
import subprocess

from say import Failure, Progress, need_space

STEP = re.compile(r'^\[(\d+)/(\d+)\] (.*)')
FULL = 'No space left on device'


def clean_env(build):
    """The environment without what a Python virtual environment or a make
    above us put there; ccache shares objects between checkouts."""
    env = dict(os.environ)
    for name in ('VIRTUAL_ENV', 'PYTHONHOME', 'PYTHONPATH', 'MAKEFLAGS',
                 'MFLAGS', 'MAKELEVEL', 'NINJA_STATUS', 'DESTDIR'):
        env.pop(name, None)
    env['PATH'] = '/usr/bin:/bin:/usr/sbin:/sbin:' + env.get('PATH', '')
    env['LC_ALL'] = 'C.UTF-8'
    env.setdefault('CCACHE_BASEDIR', os.path.abspath(build))
    env.setdefault('CCACHE_NOHASHDIR', 'true')
    return env


def _first_errors(lines, limit=12):
    """The part of a failed build's output that says why."""
    for i, line in enumerate(lines):
        if line.startswith('FAILED:'):
            part = [x for x in lines[i:] if not STEP.match(x)]
            # the compiler's command line is long and is in the log
            told = [part[0]] + part[2:]
            first = next((n for n, x in enumerate(told) if 'error' in x), 1)
            return [told[0]] + told[max(first - 1, 1):first + limit]
    lines = [x for x in lines if not STEP.match(x)]
    said = [x for x in lines if re.search(r'error|ERROR|FAILED', x)]
    return (said or lines)[-limit:]


def explain(lines, what, log, build):
    """Raise the Failure for a command that failed with this output."""
    text = '\n'.join(lines)
    if FULL in text:
        raise Failure(f'{what}: the disk is full ({build}): '
                      'make room and run again')
    if any('interrupted by user' in line for line in lines[-3:]):
        raise Failure(f'{what} was interrupted; run again to go on')
    print('\n'.join('    ' + line for line in _first_errors(lines)),
          flush=True)
    raise Failure(f'{what} failed (above: the first errors); '
                  f'the whole output is in {log}')


def run(argv, cwd, log, what, build):
    """Run a command; its output goes to the log, its progress to the user."""
    os.makedirs(os.path.dirname(log), exist_ok=True)
    lines = []
    progress = Progress(what)
    with open(log, 'w', encoding='utf-8', errors='replace') as out, \
         subprocess.Popen(argv, cwd=cwd, env=clean_env(build),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True,
                          errors='replace') as child:
        for line in child.stdout:
            out.write(line)
            lines.append(line.rstrip('\n'))
            step = STEP.match(line)
            if step:
                progress.show(int(step.group(1)), int(step.group(2)),
                              step.group(3))
    progress.end()
    if child.returncode < 0:
        raise Failure(f'{what} was ended by signal {-child.returncode}; '
                      'run again to go on')
    if child.returncode:
        explain(lines, what, log, build)
    return lines


def ninja(objdir, targets, log, what, build):
    argv = ['ninja', '-C', objdir]
    if os.environ.get('JOBS'):
        argv.append('-j' + os.environ['JOBS'])
    return run(argv + targets, objdir, log, what, build)


def configure(tree, objdir, flags, log, build, gib):
    """Configure QEMU once for each set of flags; a broken-off configure or
    other flags mean a fresh start."""
    done = os.path.join(objdir, '.configured')
    key = '\n'.join([tree, *flags]) + '\n'
    if os.path.exists(done):
        with open(done, encoding='utf-8') as src:
            if src.read() == key:
                return False
    need_space(build, gib, 'building QEMU')
    subprocess.run(['rm', '-rf', objdir], check=True)
    os.makedirs(objdir)
    run([os.path.join(tree, 'configure'), *flags], objdir, log,
        'configuring QEMU', build)
    with open(done + '.new', 'w', encoding='utf-8') as out:
        out.write(key)
    os.replace(done + '.new', done)
    return True
