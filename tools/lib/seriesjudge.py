# SPDX-License-Identifier: GPL-2.0-or-later
"""What is judged of each patch of the series beside whether it compiles."""
import glob
import os
import re
import subprocess
import tarfile

import overlay
from say import Failure, note

LARGEST = 1000
# tests are a series of their own, and may be as large as they are
SMALL_SERIES = ('',)
TOLD = re.compile(r'^(?P<patch>[^:]*):(?P<line>\d+): '
                  r'(?P<level>ERROR|WARNING): (?P<what>.*)$')


def changed_count(text):
    return sum(line[:1] in '+-' and not line.startswith(('+++ ', '--- '))
               for line in text.splitlines())


def check_size(part, path):
    with open(path, encoding='utf-8') as src:
        count = changed_count(src.read())
    if count > LARGEST and part.series in SMALL_SERIES and not part.why_large:
        raise Failure(f'{os.path.basename(path)} changes {count} lines, '
                      f'{LARGEST} at most: split "{part.subject}" in '
                      'tools/series.list, or say there why not ("! reason")')


def read_accepted(path):
    """[(file pattern, words of the message, reason)], from lines with two
    tabs."""
    accepted = []
    with open(path, encoding='utf-8') as src:
        for number, line in enumerate(src, 1):
            if not line.strip() or line.startswith('#'):
                continue
            fields = line.rstrip('\n').split('\t')
            if len(fields) != 3 or not all(fields):
                raise Failure(f'{path}:{number}: expected file, message and '
                              'reason, with tabs between')
            accepted.append((re.compile(fields[0]), fields[1], fields[2]))
    return accepted


def file_at(lines, number):
    """The file that line `number` (from 1) of a patch is about."""
    for line in reversed(lines[:number]):
        match = re.match(r'^(?:\+\+\+ b/|diff --git a/\S+ b/)(\S+)', line)
        if match:
            return match.group(1)
    return ''


def checkpatch(path, tree):
    """[(level, file, message)] of QEMU's checkpatch.pl."""
    res = subprocess.run(
        ['perl', 'scripts/checkpatch.pl', '--no-tree', '--terse',
         '--no-summary', path], cwd=tree, text=True, errors='replace',
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    with open(path, encoding='utf-8') as src:
        lines = src.read().splitlines()
    told = []
    for line in res.stdout.splitlines():
        match = TOLD.match(line)
        if not match:
            raise Failure(f'checkpatch.pl says of {os.path.basename(path)}: '
                          f'{line}')
        told.append((match['level'], file_at(lines, int(match['line'])),
                     match['what']))
    return told


def judge(every, over, tools):
    """The style of each (part, path of its patch)."""
    accepted = read_accepted(os.path.join(tools, 'series.checkpatch'))
    used, wrong, count = set(), [], 0
    for part, path in every:
        for level, name, what in checkpatch(path, over.tree):
            entry = next((e for e in accepted
                          if e[0].fullmatch(name) and e[1] in what), None)
            if entry:
                used.add(entry)
                count += 1
            else:
                wrong.append(f'{name}: {level}: {what}')
    if wrong:
        raise Failure(f'checkpatch.pl finds {len(wrong)} places for which '
                      'tools/series.checkpatch has no reason:\n    '
                      + '\n    '.join(wrong))
    note(f'checkpatch.pl finds {count} places; each has its reason in '
         'tools/series.checkpatch')
    for pattern, what, _ in accepted:
        if not any(e[0] is pattern for e in used):
            note(f'tools/series.checkpatch: checkpatch.pl does not say '
                 f'"{what}" of {pattern.pattern} any more')


def paths_in(every):
    """The paths that the patches touch."""
    found = set()
    for _, path in every:
        with open(path, encoding='utf-8') as src:
            found |= set(re.findall(r'^diff --git a/(\S+) b/', src.read(),
                                    re.M))
    return found


def onto_release(every, export, build):
    """git am onto QEMU as it was released, without Debian's patches."""
    found = glob.glob(os.path.join(build, 'src', 'dl', 'qemu_*.orig.tar.xz'))
    if len(found) != 1:
        note('QEMU as it was released is not there: not applied to it')
        return
    export.git('checkout', '-q', '--orphan', 'release')
    export.git('rm', '-r', '-q', '-f', '--cached', '.')
    wanted = paths_in(every)
    for path in wanted:
        place = os.path.join(export.work, path)
        if os.path.lexists(place):
            os.unlink(place)
    have = []
    with tarfile.open(found[0]) as archive:
        for member in archive:
            path = member.name.split('/', 1)[-1]
            if path in wanted and member.isfile():
                overlay.write(os.path.join(export.work, path),
                              archive.extractfile(member).read())
                have.append(path)
    export.git('add', '-f', '--', *have)
    export.git('commit', '-q', '-m', 'as released')
    export.git('am', '-q', *(path for _, path in every))
    export.git('checkout', '-q', '-f', 'series')
    note(f'git am applies them to {os.path.basename(found[0])}, too')
