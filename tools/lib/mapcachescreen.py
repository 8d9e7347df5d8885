# SPDX-License-Identifier: GPL-2.0-or-later
"""The live screen of xen-mapcache-top."""
import contextlib
import curses
import threading
import time

import mapcacheview as view
from qmp import printable
from say import Failure

KEYS = 'q quit   < > sort by   r reverse   up, down, page up, page down scroll'
ENDED_SECONDS = 60          # for so long it is told that a guest has ended


class Collector(threading.Thread):
    """Samples beside the screen, so that keys are answered meanwhile."""

    def __init__(self, sampler, interval):
        super().__init__(daemon=True)
        self.sampler = sampler
        self.interval = interval
        self.ended = threading.Event()
        self.latest = None      # what sample() returned, and when: as a whole
        self.failure = None

    def run(self):
        while not self.ended.is_set():
            started = time.monotonic()
            try:
                self.latest = (*self.sampler.sample(),
                               time.strftime('%H:%M:%S'))
            except Exception as failure:        # the screen's thread raises it
                self.failure = failure
                return
            self.ended.wait(max(0.1, self.interval
                                - (time.monotonic() - started)))


class Screen:
    def __init__(self, collector):
        self.collector = collector
        self.column = 0
        self.reverse = False
        self.top = 0
        self.room = 1           # rows that the screen has
        self.ended = {}         # {guest: (what is told of it, since when)}

    def key(self, key):
        """Returns whether to go on."""
        if key in (ord('q'), 27):
            return False
        if key in (ord('<'), ord('>'), curses.KEY_LEFT, curses.KEY_RIGHT):
            step = 1 if key in (ord('>'), curses.KEY_RIGHT) else -1
            self.column = (self.column + step) % len(view.COLUMNS)
            self.reverse = False
        elif key == ord('r'):
            self.reverse = not self.reverse
        else:
            self.top += {curses.KEY_DOWN: 1, curses.KEY_UP: -1,
                         curses.KEY_NPAGE: self.room,
                         curses.KEY_PPAGE: -self.room}.get(key, 0)
        return True

    def told(self, rows, problems, ended):
        """Lines about guests that have no row: those with a problem first."""
        now = time.monotonic()
        self.ended.update({label: (why, now) for label, why in ended.items()})
        there = {printable(told) for row in rows
                 for told in (row['domid'], row['name'])}
        there |= set(map(printable, problems))
        self.ended = {label: (why, since)
                      for label, (why, since) in self.ended.items()
                      if printable(label) not in there
                      and now - since < ENDED_SECONDS}
        lines = [f'{label}: {why}' for label, why in problems.items()] + \
            [f'{label}: {why}' for label, (why, _) in self.ended.items()]
        return lines if rows or lines else [self.collector.sampler.nobody()]

    def lines(self, height):
        """The screen's text, from the top, at most `height` lines."""
        if self.collector.latest is None:
            return ['xen-mapcache-top: asking', '', KEYS]
        rows, problems, ended, when = self.collector.latest
        told = self.told(rows, problems, ended)
        most = max(1, height // 4)
        if len(told) > most:
            told[most - 1:] = [f'{len(told) - most + 1} more without a row']
        self.room = max(1, height - 4 - len(told))
        rows = view.in_order(rows, self.column, self.reverse)
        self.top = max(0, min(self.top, len(rows) - self.room))
        sort = view.COLUMNS[self.column][0]
        head = (f'xen-mapcache-top {when}   {len(rows)} guests, every '
                f'{self.collector.interval:g} s, by {sort}')
        return [head, KEYS, view.heading(),
                *map(view.line_of, rows[self.top:self.top + self.room]),
                '', *told]

    def draw(self, window):
        height, width = window.getmaxyx()
        window.erase()
        for y, text in enumerate(self.lines(height)[:height]):
            attribute = curses.A_REVERSE if y == 2 else curses.A_NORMAL
            text = printable(text.ljust(width) if y == 2 else text)
            # the last cell of a window cannot be written to
            window.addnstr(y, 0, text, width - 1, attribute)
        window.refresh()

    def run(self, window):
        # a terminal without colours, or one that cannot hide its cursor
        for setting in (curses.use_default_colors,
                        lambda: curses.curs_set(0)):
            with contextlib.suppress(curses.error):
                setting()
        window.timeout(200)
        drawn, redraw = None, True
        while self.collector.failure is None:
            if redraw or drawn is not self.collector.latest:
                drawn = self.collector.latest
                self.draw(window)
            key = window.getch()
            redraw = key != -1
            if redraw and not self.key(key):
                return
        raise self.collector.failure


def show(sampler, interval):
    """Show the live screen until the user leaves it."""
    collector = Collector(sampler, interval)
    try:
        curses.setupterm()
        if not curses.tigetstr('cup'):
            raise curses.error('its cursor cannot be moved')
        collector.start()
        curses.wrapper(Screen(collector).run)
    except curses.error as err:
        raise Failure(f'the terminal cannot be used ({err}); try --once') \
            from None
    finally:
        collector.ended.set()
