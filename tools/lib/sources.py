# SPDX-License-Identifier: GPL-2.0-or-later
"""Which files of the repository make which paths of QEMU's tree, on which base.

A path is QEMU's path.  `X` is a whole file, `X.patch` changes QEMU's file X.
They hold for every base, that is, for every series of releases such as 10.0.
What differs on base 10.2 stands beside what is common:

  X.patch-10.2  changes our whole file X if there is one; else it changes QEMU's
                X, in place of X.patch.  One that is text without a diff says
                why X.patch is not for this base
  X.only-10.2   is the whole file X, in place of X or of X.patch
"""
import os
import re
from dataclasses import dataclass

from say import Failure

# the base that the series is written on: what is common fits it
MAIN = '10.0'
# the folders that the repository has for itself
NOT_LAID = {'tools', 'build', 'docs/decisions', 'docs/pictures', 'tests/fuzz',
            'tests/spin', 'tests/xen-e2e'}
# here whole files are the repository's own: QEMU has its README and its docs/
# too.  Patches, and folders below, are QEMU's as everywhere.
OWN_FILES = {'', 'docs/'}
# older name in the repository: newer name in the tree
RENAMED = {'include/sysemu/': 'include/system/'}
SKIPPED_ENDS = ('~', '.orig', '.rej', '.pyc', '.swp')
APART = re.compile(r'^(?P<target>.*)\.(?P<how>patch|only)-(?P<base>\d+\.\d+)$')


@dataclass
class Source:
    """What makes one path of the tree."""
    path: str           # in the tree
    name: str           # in the repository
    kind: str           # 'link' or 'patch'
    under: str = ''     # our whole file that the patch changes; QEMU's if ''


def tree_path(path):
    for old, new in RENAMED.items():
        if path.startswith(old):
            return new + path[len(old):]
    return path


def base_of(version):
    """'10.0' for '10.0.13'."""
    return '.'.join(version.split('.')[:2])


def common_name(name):
    """The name in the repository without the base that it is for."""
    match = APART.match(name)
    if not match:
        return name
    return match['target'] + ('.patch' if match['how'] == 'patch' else '')


def target_of(name):
    """The path, as the repository writes it, that a file makes."""
    name = common_name(name)
    return name[:-len('.patch')] if name.endswith('.patch') else name


def series_files(repo):
    """Repository paths that belong to the series, of all bases, sorted."""
    found = []
    for top, dirs, files in os.walk(repo):
        rel = os.path.relpath(top, repo)
        rel = '' if rel == '.' else rel + '/'
        dirs[:] = [d for d in dirs
                   if not d.startswith('.') and d != '__pycache__'
                   and rel + d not in NOT_LAID
                   and not (rel == '' and d.startswith('build'))]
        for name in files:
            if name.startswith('.') or name.endswith(SKIPPED_ENDS):
                continue
            if rel in OWN_FILES and target_of(name) == name:
                continue
            found.append(rel + name)
    return sorted(found)


def of_base(repo, base):
    """The Sources of a base, by tree path."""
    names = series_files(repo)
    common = [n for n in names if not APART.match(n)]
    apart = [n for n in names if (APART.match(n) or {'base': ''})['base'] == base]
    found = {}
    for name in common:
        target = target_of(name)
        path = tree_path(target)
        if path in found:
            raise Failure(f'{name}: {found[path].name} already provides {path}')
        kind = 'link' if target == name else 'patch'
        found[path] = Source(path, name, kind)
    for name in apart:
        path = tree_path(target_of(name))
        before = found.get(path)
        if before and APART.match(before.name):
            raise Failure(f'{name}: {before.name} already provides {path}')
        if APART.match(name)['how'] == 'only':
            found[path] = Source(path, name, 'link')
        elif before and before.kind == 'link':
            found[path] = Source(path, name, 'patch', before.name)
        else:
            found[path] = Source(path, name, 'patch')
    return [found[path] for path in sorted(found)]
