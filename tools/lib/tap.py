# SPDX-License-Identifier: GPL-2.0-or-later
"""Run a test program and read the TAP that it prints."""
import contextlib
import os
import re
import signal
import subprocess
import time

LINE = re.compile(r'^(not )?ok\b(?:\s+(\d+))?\s*(?:-\s*)?(.*)')
SKIP = re.compile(r'#\s*skip\b\s*(.*)', re.IGNORECASE)
TODO = re.compile(r'#\s*todo\b', re.IGNORECASE)
PLAN = re.compile(r'^1\.\.(\d+)(?:\s*#\s*skip\s*(.*))?', re.IGNORECASE)

PASS, FAIL, SKIPPED = 'pass', 'fail', 'skip'
_running = set()        # process groups


def parse(text):
    """Return ({subtest: (verdict, why)}, plan or None)."""
    results, plan = {}, None
    for line in text.splitlines():
        found = PLAN.match(line)
        if found:
            plan = int(found.group(1))
            if plan == 0:
                results['(all)'] = (SKIPPED, found.group(2) or 'no reason given')
            continue
        found = LINE.match(line)
        if not found:
            continue
        name = found.group(3)
        skip = SKIP.search(name)
        verdict, why = (FAIL if found.group(1) else PASS), ''
        if skip:
            verdict, why = SKIPPED, skip.group(1) or 'no reason given'
        elif TODO.search(name):
            verdict, why = SKIPPED, 'known not to work'
        name = name.split(' # ')[0].split('#')[0].strip() \
            or found.group(2) or '?'
        while name in results:
            name += "'"
        results[name] = (verdict, why)
    return results, plan


def stop_all():
    """End what is run now: a session of its own hears no Ctrl-C."""
    for group in list(_running):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def run(argv, cwd, env, timeout, tap=True):
    """Run one test program; return (results, output, seconds).

    A program that ends badly, or before its plan is done, has one more
    subtest, failed, that says so.
    """
    started = time.monotonic()
    with subprocess.Popen(argv, cwd=cwd, env=env, text=True, errors='replace',
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT,
                          start_new_session=True) as child:
        _running.add(child.pid)
        try:
            output, _ = child.communicate(timeout=timeout)
            end = ''
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            output, _ = child.communicate()
            end = f'took longer than {timeout:.0f} s'
        finally:
            _running.discard(child.pid)
    seconds = time.monotonic() - started
    results, plan = parse(output) if tap else ({}, None)
    if not end and child.returncode < 0:
        end = f'ended by signal {-child.returncode}'
    elif not end and child.returncode == 77 and not tap:
        results['(all)'] = (SKIPPED, 'exit status 77')
    elif not end and child.returncode and \
            not any(v == FAIL for v, _ in results.values()):
        end = f'exit status {child.returncode}'
    elif not end and tap and plan is None:
        end = 'printed no plan'
    elif not end and tap and plan and len(results) < plan:
        end = f'{len(results)} of {plan} subtests were run'
    if end:
        results['(program)'] = (FAIL, end)
    elif not results:
        results['(program)'] = (PASS, '')
    return results, output, seconds
