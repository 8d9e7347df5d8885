# SPDX-License-Identifier: GPL-2.0-or-later
"""The view of all guests' mapcaches: its screen, and how it ends."""
import os
import select
import signal
import subprocess
import time

from bench import has
from guests import ASKED_AT_A_TIME
from simguests import SLOW_DISK, FakeMonitor, guests, until
from topview import OLDER, OURS, STOCK, Terminal, fakes, hang, view_of


def test_top_interrupted(b):
    """It ends at once, though some guests were not asked yet."""
    many = ASKED_AT_A_TIME + 24
    hung = hang(b, *range(1, many + 1))
    with view_of(b, '--once') as process:
        until(lambda: sum(h.connections for h in hung) >= ASKED_AT_A_TIME)
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=60)
        assert process.returncode == 130 and not out and not said, \
            (process.returncode, out, said)
    asked = sum(h.connections for h in hung)
    assert asked < many, asked


def test_top_output_that_fails(b):
    """One line, and status 1; nobody is told of a reader who has left."""
    with fakes(b, d1=OURS):
        for args in (['--once'], ['--once', '--json'], ['--csv'], []):
            with open('/dev/full', 'w', encoding='utf-8') as full:
                res = subprocess.run(
                    [os.path.join(b.tools, 'xen-mapcache-top'), '-i', '0.2',
                     '--run-dir', b.path('run'), *args], stdout=full,
                    stderr=subprocess.PIPE, text=True, timeout=60, check=False)
            assert (res.returncode, res.stderr) == (
                1, 'xen-mapcache: error: standard output: No space left on '
                'device\n'), res
        for form in ('--json', '--csv'):
            res = subprocess.run(
                f"'{b.tools}/xen-mapcache-top' -i 0.2 --run-dir "
                f"'{b.path('run')}' {form} | head -1", shell=True, text=True,
                capture_output=True, timeout=60, check=False)
            assert len(res.stdout.splitlines()) == 1 and not res.stderr, res


def test_top_without_a_keyboard(b):
    """Nobody could leave the screen, so it is text that comes."""
    master, slave = os.openpty()
    with fakes(b, d1=OURS), view_of_terminal(b, slave) as process:
        os.close(slave)
        text, end = b'', time.monotonic() + 20
        while text.count(b'ich9-ahci') < 2 and time.monotonic() < end:
            if select.select([master], [], [], 1)[0]:
                text += os.read(master, 1000)
        process.terminate()
    os.close(master)
    assert b'\033' not in text, text
    assert text.startswith(b'   ID NAME'), text


def view_of_terminal(b, terminal):
    return subprocess.Popen(
        [os.path.join(b.tools, 'xen-mapcache-top'), '-i', '0.2', '--run-dir',
         b.path('run')], stdin=subprocess.DEVNULL, stdout=terminal,
        stderr=terminal, env={**os.environ, 'TERM': 'xterm'})


def order(screen, *names):
    """The names in the order of their rows."""
    rows = [line.split() for line in screen.splitlines()]
    return [row[1] for row in rows if row[1:2] and row[0].isdecimal()
            and row[1] in names]


def test_top_live_screen(b):
    names = ('first', 'second', 'third')
    with guests(b, (1, 'first'), (2, 'second'),
                (3, 'third', SLOW_DISK)) as started:
        terminal = Terminal(b, os.path.join(b.tools, 'xen-mapcache-top'),
                            '-i', '0.3', '--run-dir', b.path('run'))
        try:
            screen = terminal.wait('3 guests', 'OLDEST', 'by ID')
            assert order(screen, *names) == list(names), screen
            # the other way round; by name; by misses
            terminal.run('send-keys', 'r')
            until(lambda: order(terminal.screen(), *names) == [*names[::-1]])
            terminal.run('send-keys', '<', '>', '>')
            terminal.wait('by NAME')
            terminal.run('send-keys', '>', '>', '>', '>')
            started[1].read(0x100000)
            started[1].read(0x200000)
            terminal.wait('by MAPPED')
            until(lambda: order(terminal.screen(), *names)[:1] == ['second'])
            # a request that its disk does not end
            started[2].stall()
            screen = terminal.wait('s piix3-ide')
            assert next(line for line in screen.splitlines()
                        if 'third' in line).endswith('piix3-ide'), screen
            # a guest that ends is told of, and the others stay
            started[2].end()
            screen = terminal.wait('2 guests', 'third has ended')
            assert sorted(order(screen, *names)) == ['first', 'second'], screen
            # a smaller terminal has what there is room for
            terminal.run('resize-window', '-x', '50', '-y', '8')
            terminal.wait('2 guests', 'third has ended', without=['OLDEST'])
            terminal.run('send-keys', 'q')
            until(lambda: not terminal.screen())
        finally:
            terminal.close()


def test_top_many_guests_and_few_lines(b):
    answers = {f'd{n}': {**OLDER, 'query-name': {'name': f'g{n}'}}
               for n in range(1, 31)}
    with fakes(b, **answers):
        terminal = Terminal(b, os.path.join(b.tools, 'xen-mapcache-top'), '-i',
                            '0.3', '--run-dir', b.path('run'), lines=12)
        try:
            screen = terminal.wait('30 guests', 'g1 ')
            assert 'g30' not in screen, screen
            terminal.run('send-keys', *['Down'] * 40)
            screen = terminal.wait('g30', without=['g2 '])
            terminal.run('send-keys', *['Up'] * 40)
            terminal.wait('g1 ', 'g2 ', without=['g30'])
            # 12 lines have room for 8 guests
            terminal.run('send-keys', 'NPage')
            terminal.wait('g9 ', 'g16 ', without=['g8 ', 'g17 '])
            terminal.run('send-keys', 'NPage', 'NPage', 'NPage', 'PPage')
            terminal.wait('g15 ', 'g22 ', without=['g14 ', 'g23 '])
        finally:
            terminal.close()


def test_top_on_odd_terminals(b):
    """Without colours, with a cursor that always shows, as serial consoles
    have it; what has no screen at all is told so."""
    with fakes(b, d1=OURS):
        for term in ('vt100', 'vt220', 'linux', 'ansi', 'xterm-mono', 'dumb',
                     'none'):
            terminal = Terminal(
                b, 'sh', '-c', f"TERM={term} '{b.tools}/xen-mapcache-top' "
                f"-i 0.3 --run-dir '{b.path('run')}'; echo ends $?; sleep 60")
            try:
                if term in ('dumb', 'none'):
                    screen = terminal.wait('ends 1')
                    has(screen, 'error: the terminal cannot be used',
                        'try --once')
                    assert 'Traceback' not in screen, screen
                else:
                    terminal.wait('1 guests', '12s ich9-ahci')
                    terminal.run('send-keys', 'q')
                    terminal.wait('ends 0')
            finally:
                terminal.close()


def test_top_small_screens(b):
    with fakes(b, d1=OURS, d2=STOCK):
        terminal = Terminal(b, os.path.join(b.tools, 'xen-mapcache-top'), '-i',
                            '0.3', '--run-dir', b.path('run'), columns=40,
                            lines=10)
        try:
            screen = terminal.wait('new', 'MAP/s', '2: QEMU')
            assert screen.splitlines()[3].split()[:2] == ['1', 'new'], screen
            for columns, lines in ((2, 1), (1, 2), (200, 3), (3, 50)):
                terminal.run('resize-window', '-x', str(columns), '-y',
                             str(lines))
                time.sleep(0.5)
            # what a terminal has that nobody has made larger
            terminal.run('resize-window', '-x', '80', '-y', '24')
            terminal.wait('1 guests', '12s ich9-ahci')
        finally:
            terminal.close()


def test_top_problems_that_have_ended_are_not_told(b):
    """A line about a guest that does not answer goes when the guest does."""
    hung = hang(b, 2)
    with fakes(b, d1=OURS):
        terminal = Terminal(b, os.path.join(b.tools, 'xen-mapcache-top'), '-i',
                            '0.3', '--run-dir', b.path('run'))
        try:
            terminal.wait('1 guests', '2: no answer from')
            hung[0].remove()
            terminal.wait('1 guests', without=['no answer'])
            # more than there is room for
            hang(b, *range(3, 15))
            terminal.wait('1 guests', '3: no answer', '7: no answer',
                          '7 more without a row')
        finally:
            terminal.close()


def test_top_of_a_guest_that_reboots_at_once(b):
    """Between two samples: a guest that has a row has not ended."""
    guest = FakeMonitor(b.path('run', 'qmp-libxl-3'), OURS)
    terminal = Terminal(b, os.path.join(b.tools, 'xen-mapcache-top'), '-i',
                        '1', '--run-dir', b.path('run'), 'new')
    try:
        terminal.wait('1 guests', '    3 new')
        guest.remove()
        FakeMonitor(b.path('run', 'qmp-libxl-4'), OURS)
        terminal.wait('1 guests', '    4 new', without=['has ended'])
    finally:
        terminal.close()


def test_top_no_guest_on_the_screen(b):
    terminal = Terminal(b, os.path.join(b.tools, 'xen-mapcache-top'), '-i',
                        '0.3', '--run-dir', b.path('run'))
    try:
        terminal.wait('0 guests', 'no device model has a socket in')
    finally:
        terminal.close()


def test_top_is_left_at_once(b):
    """Though some guests were not asked yet."""
    many = ASKED_AT_A_TIME + 24
    hung = hang(b, *range(1, many + 1))
    terminal = Terminal(b, os.path.join(b.tools, 'xen-mapcache-top'),
                        '--run-dir', b.path('run'))
    try:
        until(lambda: sum(h.connections for h in hung) >= ASKED_AT_A_TIME)
        terminal.run('send-keys', 'q')
        until(lambda: not terminal.screen())
    finally:
        terminal.close()
    asked = sum(h.connections for h in hung)
    assert asked < many, asked
