# SPDX-License-Identifier: GPL-2.0-or-later
"""tools/series.list: which paths make which patch of which series, and why."""
import fnmatch
import re

import sources
from say import Failure

SUBJECT_COLUMNS = 72
SELECTED = re.compile(r'^(?P<path>\S+\.patch)\s+/(?P<regex>.+)/$')


class Part:
    """One patch: subject, body, patterns of repository paths."""

    def __init__(self, subject, number, series):
        self.subject = subject
        self.number = number
        self.series = series        # '' for the first one
        self.body = []
        self.patterns = []
        self.hunks = {}             # path of a .patch: regex of its hunks
        self.moves = []             # (path of QEMU's, its new path, list)
        self.drops = []             # paths
        self.why_large = ''
        self.paths = []             # files that the part has in full

    def take(self, text):
        """A line that is neither subject nor body."""
        selected = SELECTED.match(text)
        if selected:
            self.hunks[selected['path']] = re.compile(selected['regex'])
        elif text.startswith('> '):
            self.moves.append(tuple(text[2:].split()))
        elif text.startswith('< '):
            self.drops.append(text[2:].strip())
        elif text.startswith('! '):
            self.why_large = text[2:].strip()
        else:
            self.patterns.append(text)

    def has_more(self):
        """Is there something to do but files in full?"""
        return bool(self.hunks or self.moves or self.drops)

    def begun(self):
        return bool(self.patterns or self.why_large or self.has_more())


def read_list(path):
    """The parts, in order."""
    parts = []
    series = ''
    with open(path, encoding='utf-8') as src:
        for number, line in enumerate(src, 1):
            text = line.strip()
            if line.startswith('#'):
                continue
            if line.startswith('== '):
                series = text[3:]
            elif line.startswith('* '):
                parts.append(Part(text[2:], number, series))
            elif text and not parts:
                raise Failure(f'{path}:{number}: "{text}" before the first '
                              '"* subject"')
            elif line.startswith('  ') or (not text and parts
                                           and not parts[-1].begun()):
                parts[-1].body.append(text)
            elif text:
                parts[-1].take(text)
    return parts


def assign(parts, files, where):
    """Give every file of the series to its part; fail if that is not one."""
    for name in files:
        common = sources.common_name(name)
        fits = [(common == pattern, len(pattern), part) for part in parts
                for pattern in part.patterns
                if fnmatch.fnmatch(common, pattern)]
        # a path in full, else the longest pattern
        best = max((f[:2] for f in fits), default=None)
        owners = [f[2] for f in fits if f[:2] == best]
        if len(owners) != 1:
            told = ' and '.join(f'"{p.subject}"' for p in owners) or 'no patch'
            raise Failure(f'{where}: {name} belongs to {told}')
        owners[0].paths.append(name)
    for number, part in enumerate(parts):
        if not part.paths and not part.has_more():
            raise Failure(f'{where}:{part.number}: "{part.subject}" has no '
                          'file')
        for path in part.hunks:
            if not any(path == sources.common_name(name)
                       for later in parts[number + 1:] for name in later.paths):
                raise Failure(f'{where}:{part.number}: no later part has the '
                              f'other hunks of {path}')


def check_messages(parts, where):
    """A subject that git and mail show whole, and a body that says why."""
    for part in parts:
        told = f'{where}:{part.number}: "{part.subject}"'
        if len(part.subject) > SUBJECT_COLUMNS:
            raise Failure(f'{told} has {len(part.subject)} columns, '
                          f'{SUBJECT_COLUMNS} at most')
        if not ''.join(part.body).strip():
            raise Failure(f'{told} has no body')
