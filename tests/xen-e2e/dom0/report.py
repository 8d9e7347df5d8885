# SPDX-License-Identifier: GPL-2.0-or-later
"""What is told to the host, a line each, over a port that nothing else uses:

    case NAME                   a case begins
    ok NAME | not ok NAME       how it ended
    skip NAME | WHY             it could not be run
    known NAME | WHY            it does not hold, and need not
    # TEXT                      about the case that runs
    waits TEXT                  the same, of a case that is silent for long
    figure NAME JSON            a measured value
    end N                       the last line: N cases were told of
"""
import contextlib
import json
import threading
import time
import traceback


class Failed(Exception):
    """The case does not hold; the text says why."""


class Skipped(Exception):
    """The case cannot be run here; the text says why."""


class Report:
    def __init__(self, path):
        self.out = open(path, 'w', buffering=1, encoding='utf-8')
        self.told = 0
        self.spoke = time.monotonic()
        self.lock = threading.Lock()
        self.on_failure = []        # functions that return lines to show

    def line(self, text):
        text = ''.join(c if c.isprintable() else '?' for c in text)
        with self.lock:
            self.spoke = time.monotonic()
            self.out.write(text + '\n')
            self.out.flush()

    def say(self, text, word='#'):
        for line in str(text).splitlines():
            self.line(f'{word} {line[:400]}')

    def figure(self, name, value):
        self.line(f'figure {name} {json.dumps(value)}')

    def verdict(self, word, name):
        self.told += 1
        self.line(f'{word} {name}')

    @contextlib.contextmanager
    def case(self, name, known=False):
        """Run the body as one case.  Whatever it raises is told and goes no
        further; the value that it is given has .passed afterwards.  KNOWN:
        that it does not hold is recorded, and is no failure."""
        state = State()
        self.line(f'case {name}')
        started = time.monotonic()
        try:
            yield state
        except Skipped as why:
            self.verdict('skip', f'{name} | {why}')
            return
        except Failed as why:
            self.say(why)
            if known:
                first = str(why).split('\n', 1)[0]
                self.verdict('known', f'{name} | {first}')
                return
        except Exception:   # a mistake in a case must not end the others
            self.say(traceback.format_exc())
        else:
            self.say(f'{time.monotonic() - started:.1f} s')
            self.verdict('ok', name)
            state.passed = True
            return
        for show in self.on_failure:
            with contextlib.suppress(Exception):
                self.say('\n'.join(show()))
        self.verdict('not ok', name)

    @contextlib.contextmanager
    def quiet(self):
        """Tidying up between cases: what fails here shows in the next."""
        try:
            yield
        except Failed as why:
            self.say(why)

    def end(self):
        self.line(f'end {self.told}')


class State:
    passed = False
