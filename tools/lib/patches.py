# SPDX-License-Identifier: GPL-2.0-or-later
"""Unified diffs of one file: read, apply without guessing, make anew.

patch(1) accepts a hunk whose context is found elsewhere, and the first such
place wins.  Here a hunk that is not at its stated line is taken only where its
old lines occur exactly once; and what did not match is said in words.
"""
import os
import re
import subprocess
import tempfile

import sources
from say import Failure

HUNK = re.compile(r'^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@')


class Rejected(Failure):
    """A patch that does not apply: a line for each hunk that does not, and
    the text that the other hunks make."""

    def __init__(self, rejects, partly=''):
        self.rejects = rejects
        self.partly = partly
        super().__init__('\n'.join(rejects))


class Hunk:
    """One hunk: the line it was made at (0-based), old lines, new lines."""

    def __init__(self, start):
        self.start = start
        self.old = []
        self.new = []


class Patch:
    """A .patch file: free text before the diff, then the hunks."""

    def __init__(self, name, text):
        self.name = name
        self.hunks = []
        self.preamble = ''
        self._parse(text.splitlines(keepends=True))

    def _fail(self, number, why):
        raise Failure(f'{self.name}: line {number}: {why}')

    def _parse(self, lines):
        at = 0
        while at < len(lines) and not lines[at].startswith('--- '):
            at += 1
        if at + 1 >= len(lines) or not lines[at + 1].startswith('+++ '):
            raise Failure(f'{self.name}: no "---" and "+++" lines: '
                          'not a unified diff')
        self.preamble = ''.join(lines[:at])
        stated = lines[at + 1][4:].split('\t')[0].strip()
        target = sources.target_of(self.name)
        if stated.split('/', 1)[-1] != target:
            self._fail(at + 2, f'changes {stated}, and not {target} '
                               'as its own name says')
        at += 2
        while at < len(lines):
            match = HUNK.match(lines[at])
            if not match:
                if lines[at].strip():
                    self._fail(at + 1, 'expected "@@", found '
                                       f'"{lines[at].strip()}"')
                at += 1
                continue
            at = self._parse_hunk(lines, at, match)
        if not self.hunks:
            raise Failure(f'{self.name}: no hunk in it')

    def _parse_hunk(self, lines, at, match):
        old_count = int(match.group(2) or 1)
        new_count = int(match.group(4) or 1)
        head = at + 1
        hunk = Hunk(int(match.group(1)) - 1)
        at += 1
        last = ()
        while at < len(lines):
            mark, text = lines[at][:1], lines[at][1:]
            if mark == '\\':
                for side in last:
                    side[-1] = side[-1].rstrip('\n')
                at += 1
                continue
            if len(hunk.old) >= old_count and len(hunk.new) >= new_count:
                break
            if mark == '\n':    # a context line whose one blank was cut off
                mark, text = ' ', '\n'
            if mark == ' ':
                last = (hunk.old, hunk.new)
            elif mark == '-':
                last = (hunk.old,)
            elif mark == '+':
                last = (hunk.new,)
            else:
                break
            for side in last:
                side.append(text)
            at += 1
        if len(hunk.old) != old_count or len(hunk.new) != new_count:
            self._fail(head, 'the "@@" line promises '
                             f'-{old_count} +{new_count} lines, the hunk has '
                             f'-{len(hunk.old)} +{len(hunk.new)}')
        if not hunk.old:
            self._fail(head, 'the hunk has no line of context')
        self.hunks.append(hunk)
        return at

    def apply(self, text, base):
        """Return (new text, notes); base names the tree in messages."""
        lines = text.splitlines(keepends=True)
        out, notes, rejects = [], [], []
        done, drift = 0, 0
        for number, hunk in enumerate(self.hunks, 1):
            try:
                place = self._find(lines, hunk, done, drift, number, base)
            except Failure as failure:
                rejects.append(str(failure))
                continue
            moved = place - hunk.start
            if moved != drift:
                notes.append(f'{self.name}: hunk {number} applied at line '
                             f'{place + 1}, it was made at {hunk.start + 1}')
                drift = moved
            out += lines[done:place] + hunk.new
            done = place + len(hunk.old)
        made = ''.join(out + lines[done:])
        if rejects:
            raise Rejected(rejects, made)
        return made, notes

    def _find(self, lines, hunk, done, drift, number, base):
        size = len(hunk.old)
        want = hunk.start + drift
        if want >= done and lines[want:want + size] == hunk.old:
            return want
        found = [i for i in range(done, len(lines) - size + 1)
                 if lines[i:i + size] == hunk.old]
        if len(found) == 1:
            return found[0]
        head = (f'{self.name}: hunk {number} of {len(self.hunks)} '
                f'(line {hunk.start + 1}) does not apply to {base}: ')
        if found:
            raise Failure(head + f'its context is not at line {want + 1} and '
                          f'occurs {len(found)} times elsewhere')
        for i, line in enumerate(hunk.old):
            here = want + i
            have = lines[here].strip() if 0 <= here < len(lines) else None
            if have != line.strip() or lines[here] != line:
                told = f'"{have}"' if have is not None else 'past the end'
                raise Failure(head + f'line {here + 1} is {told}, '
                              f'the patch expects "{line.strip()}"')
        raise Failure(head + 'an earlier hunk already covers its lines')


def has_diff(text):
    """Is there a diff in the text of a .patch file, or only words?"""
    return any(line.startswith('--- ') for line in text.splitlines())


def _diff(old, new, target, context):
    """diff -U of two texts with the labels that git would give."""
    with tempfile.TemporaryDirectory() as scratch:
        paths = []
        for name, text in (('a', old), ('b', new)):
            paths.append(os.path.join(scratch, name))
            with open(paths[-1], 'w', encoding='utf-8') as out:
                out.write(text)
        res = subprocess.run(
            ['diff', f'-U{context}', '--label', f'a/{target}',
             '--label', f'b/{target}', *paths],
            stdout=subprocess.PIPE, text=True, check=False)
    if res.returncode > 1:
        raise Failure(f'diff failed on {target}')
    # the function name behind "@@" is QEMU's line, and nothing needs it
    return re.sub(r'(?m)^(@@ [^@]* @@).*$', r'\1', res.stdout)


def make(name, old, new, preamble=''):
    """The text of patch `name` that turns old into new, or '' if equal.

    Takes the fewest context lines (1 to 3) with which every hunk has one place
    only in the old text.
    """
    if old == new:
        return ''
    target = sources.target_of(name)
    for context in (1, 2, 3):
        text = preamble + _diff(old, new, target, context)
        try:
            hunks = Patch(name, text).hunks
        except Failure:
            continue
        lines = old.splitlines(keepends=True)
        if all(_occurrences(lines, h.old) == 1 for h in hunks):
            break
    return text


def _occurrences(lines, block):
    size = len(block)
    return sum(lines[i:i + size] == block
               for i in range(len(lines) - size + 1))
