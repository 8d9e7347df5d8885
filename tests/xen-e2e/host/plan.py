# SPDX-License-Identifier: GPL-2.0-or-later
"""A plan's run: the lines that its boot reports, made into cases.

A boot that does not come to its end mark, for whatever reason, is a case that
failed; so no run passes by having said too little.
"""
import json
import threading
import time

from emulator import END
from say import note

VERDICTS = {'ok': 'passed', 'not ok': 'failed', 'skip': 'skipped',
            'known': 'skipped'}
PANICS = ('Panic on CPU', 'Kernel panic - not syncing', 'Xen BUG at')


class Case:
    def __init__(self, verdict, name, notes):
        self.verdict = verdict
        self.name = name
        self.notes = notes

    def tap(self, number):
        """The case's lines, its notes first: there tools look for why."""
        lines = [f'# {note}' for note in self.notes]
        name, _, why = self.name.replace('#', ' ').partition(' | ')
        word = {'ok': 'ok', 'skip': 'ok'}.get(self.verdict, 'not ok')
        line = f'{word} {number} - {name}'
        if self.verdict == 'skip':
            line += f' # SKIP {why}'
        elif self.verdict == 'known':
            line += f' # TODO stock QEMU: {why}'
        return lines + [line]


class Plan:
    """One boot, from its first line to its end mark."""

    speech = threading.Lock()
    poll_seconds = 5
    silence = 400               # without a word from dom0: it hangs;
                                # its watch says a word after 200 s
    beat = 60                   # a case that is longer is told of

    def __init__(self, name, limit, parameters, silence=silence):
        self.name = name
        self.limit = limit
        self.silence = silence
        self.parameters = parameters
        self.cases = []
        self.figures = {}
        self.notes = []
        self._begin()

    def _begin(self):
        self.running = 'the start'
        self.since = time.monotonic()
        self.told = None            # of the end mark
        self.waits = False          # dom0's watch spoke in this case
        self.stopped = False        # not a word was heard, not of the watch

    def run(self, start):
        """Listen to the boot that START() makes until it ends, and see that it
        does.  If the whole machine stops, it is started once more: it is
        emulated, and what it does on a processor is not what is tested."""
        name = f'{self.name}: the run comes to its end'
        notes = self._run(start())
        if notes and self.stopped:
            self._say('the machine stopped; it is started once more')
            with self.speech:
                self._show(notes)
            stopped = self.running, notes
            self.cases, self.figures = [], {}
            self._begin()
            notes = self._run(start())
            self._case('skip', f'{self.name}: the first run | the machine '
                       f'stopped while in: {stopped[0]}', stopped[1])
        if notes:
            self._case('not ok', name, notes)
        else:
            self._case('ok', name, [f'{self.figures["seconds"]} s'])

    def leave_out(self, why):
        """Have a case that is skipped, instead of a run."""
        self._case('skip', f'{self.name}: the plan | {why}', [])

    def _run(self, boot):
        """Returns what was wrong, and what the machine tells about it."""
        try:
            why = self._listen(boot)
            seen = boot.examine() if why and boot.is_on() else []
        finally:
            boot.stop()
        self.figures['seconds'] = round(boot.seconds())
        return why and [
            *self.notes, f'while in: {self.running}', why,
            f'the console, {boot.console}, ends with:', *boot.tail(), *seen]

    def _listen(self, boot):
        """Take lines until the end mark; return what was wrong, if it was."""
        heard = beat = time.monotonic()
        while True:
            line = boot.poll(self.poll_seconds)
            now = time.monotonic()
            if line is END:
                panic = boot.panic(PANICS)
                return f'the machine panicked: {panic}' if panic else \
                    'the machine went off before the end mark'
            if line is not None:
                heard = beat = now
                try:
                    if self._line(line):
                        return self._close(boot)
                except ValueError as err:
                    return f'"{line[:200]}" is no line of a report: {err}'
            elif boot.panic(PANICS):
                return f'the machine panicked: {boot.panic(PANICS)}'
            if now - heard > self.silence:
                self.stopped = not self.waits
                return f'nothing was reported for {self.silence} s'
            if boot.seconds() > self.limit:
                return f'it was not done in {self.limit} s'
            if now - beat > self.beat:
                beat = now
                self._say(f'still in {self.running} '
                          f'({now - self.since:.0f} s)')

    def _line(self, line):
        """One line of the report; True if it is the end mark."""
        word, _, rest = line.partition(' ')
        if word == 'case':
            self.running, self.since, self.notes = rest, time.monotonic(), []
            self.waits = False
        elif word in ('#', 'waits'):
            self.notes.append(rest)
            self.waits |= word == 'waits'
        elif word == 'figure':
            # the name may have spaces, the value is an object
            name, _, value = rest.partition(' {')
            self.figures[name] = json.loads('{' + value)
        elif word == 'not' and rest.startswith('ok '):
            self._case('not ok', rest[3:], self.notes)
        elif word in ('ok', 'skip', 'known'):
            self._case(word, rest, self.notes)
        elif word == 'end':
            self.told = int(rest)
            return True
        else:
            # "broken", or what is no line of the protocol at all
            self._case('not ok', f'{self.name}: reports in order',
                       [*self.notes, line])
        return False

    def _close(self, boot):
        if self.told != len(self.cases):
            return f'{self.told} cases ran, {len(self.cases)} were heard of'
        until = time.monotonic() + self.beat
        while time.monotonic() < until:
            if boot.poll(1) is END:
                return ''
        return 'the machine did not go off after the end mark'

    def _case(self, verdict, name, notes):
        self.cases.append(Case(verdict, name, list(notes)))
        self.notes = []
        # what is told is told whole, between other boots' words
        with self.speech:
            took = time.monotonic() - self.since
            print(f'{verdict:6} {name} ({took:.0f} s)', flush=True)
            if verdict == 'not ok':
                self._show(notes)

    def _show(self, notes):
        for line in notes:
            print(f'    {line}', flush=True)

    def _say(self, text):
        with self.speech:
            note(f'{self.name}: {text}')
