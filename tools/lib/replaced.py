# SPDX-License-Identifier: GPL-2.0-or-later
"""Which of QEMU's files a whole file of the series was written to replace.

A patch notices when the file below it is another: its lines do not match.  A
whole file does not, and what a distribution or a later release mended there
would be dropped without a word.  So tools/replaced.list has the checksum of
each file that is replaced, a line for each base that somebody compared:

    10.0  sha256  path in QEMU's tree

A path may have several lines for one base: each is a file that is known.
"""
import glob
import os

from say import Failure

HEAD = '''\
# The files of QEMU that whole files of the series replace: base, sha256, path.
# A file of the base that is not listed was not compared yet.  Compare it, carry
# over what ours lacks, and run: tools/lay --accept
'''


def list_path(repo):
    return os.path.join(repo, 'tools', 'replaced.list')


def read_list(repo):
    """{base: {path: set of sha256}}"""
    known = {}
    path = list_path(repo)
    if not os.path.exists(path):
        return known
    with open(path, encoding='utf-8') as src:
        for number, line in enumerate(src, 1):
            fields = line.split()
            if not fields or line.startswith('#'):
                continue
            if len(fields) != 3 or len(fields[1]) != 64:
                raise Failure(f'{path}:{number}: not "base sha256 path"')
            base, total, name = fields
            known.setdefault(base, {}).setdefault(name, set()).add(total)
    return known


def text_of(known):
    lines = [f'{base}  {total}  {path}\n'
             for base in sorted(known) for path in sorted(known[base])
             for total in sorted(known[base][path])]
    return HEAD + ''.join(lines)


def differences(listed, present):
    """(path, why) of what is not as listed.  `listed` is {path: sums} of one
    base, `present` {path: sum} of the files in the tree that ours replace."""
    for path, total in sorted(present.items()):
        if path not in listed:
            yield path, 'ours would replace a file that is not listed'
        elif total not in listed[path]:
            yield path, ('the base has another file than the one that ours '
                         'was written to replace')
    for path in sorted(set(listed) - set(present)):
        yield path, 'listed as replaced, and the base has no such file'


def patches_of(tree, path):
    """Debian's patches in a tree that change a path."""
    found = []
    for name in sorted(glob.glob(os.path.join(tree, 'debian', 'patches', '*'))):
        if not name.endswith(('.patch', '.diff')):
            continue
        with open(name, encoding='utf-8', errors='replace') as src:
            if any(line.startswith('+++ ')
                   and line[4:].split()[0].split('/', 1)[-1] == path
                   for line in src):
                found.append(os.path.relpath(name, tree))
    return found
