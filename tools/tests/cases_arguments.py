# SPDX-License-Identifier: GPL-2.0-or-later
"""What a user tells make, and what is wrong with it: one line, and nothing made."""
import json
import os
import re
import shutil
import subprocess

from bench import TREE, has


def start(b):
    """The Makefile and its tools, copied: what they would make is seen."""
    shutil.copytree(b.tools, b.path('repo/tools'),
                    ignore=shutil.ignore_patterns('__pycache__'))
    for name in ('Makefile', 'meson.build'):
        shutil.copy(os.path.join(b.real_repo, name), b.path('repo'))


def files(b):
    return sorted(os.path.join(top, name)
                  for top, dirs, names in os.walk(b.scratch)
                  for name in dirs + names)


def refused(b, *words, **env):
    """What make says; it must say it in one line, and leave nothing."""
    before = files(b)
    res = subprocess.run(
        ['make', *words], cwd=b.path('repo'), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={'PATH': os.environ['PATH'], 'LC_ALL': 'C.UTF-8', **env},
        timeout=120, check=False)
    assert res.returncode, f'make {words} went on:\n{res.stdout}'
    assert files(b) == before, set(files(b)) ^ set(before)
    said = [line for line in res.stdout.splitlines()
            if not line.startswith('make: *** ')]
    assert len(said) == 1, res.stdout
    has(said[0], 'xen-mapcache: error: ')
    return said[0]


def targets(b):
    """All that the Makefile makes."""
    with open(b.path('repo/Makefile'), encoding='utf-8') as src:
        phony = re.search(r'^\.PHONY:((?:.*\\\n)*.*)', src.read(), re.M)
    return phony.group(1).replace('\\\n', ' ').split()


def test_a_base_that_is_not_known(b):
    start(b)
    for target in targets(b):
        if target == 'help':
            continue
        has(refused(b, target, 'BASE=9.9', 'PACKAGES=ignore'), 'BASE=9.9',
            'QEMU 10.0 and 10.2')


def test_a_suite_that_is_not_known(b):
    start(b)
    for target, value, there in (
            ('check', 'qtests', 'qemu-qtest, qemu-unit'),
            ('check', 'qtest qtests', 'qemu-qtest, qemu-unit'),
            ('check-xen', 'sid', 'there are bookworm, trixie'),
            ('check-xen-linux', 'sid', 'there are bookworm, trixie'),
            ('check-bare', 'sid', 'there are bookworm, trixie'),
            ('check-xen', 'bookworm trixie', 'one release')):
        has(refused(b, target, f'SUITE={value}', 'PACKAGES=ignore'),
            value.split()[-1], there)


def test_all_suites_are_known(b):
    start(b)
    said = refused(b, 'check', 'SUITE=none', 'PACKAGES=ignore')
    listed = said.split('there are ')[1].split(', ')
    path = os.path.join(b.real_build, 'meson-info', 'intro-tests.json')
    with open(path, encoding='utf-8') as src:
        have = {suite.split(':')[-1] for test in json.load(src)
                for suite in test['suite']}
    assert listed == sorted(have), (listed, have)


def test_what_is_no_number(b):
    start(b)
    for target, name in (('build', 'JOBS'), ('check-xen', 'ROUNDS'),
                         ('check-xen-linux', 'ROUNDS'), ('fuzz', 'TIME'),
                         ('fuzz-qemu', 'TIME')):
        for value in ('0', 'x', '-1', '1.5', '2 3'):
            has(refused(b, target, f'{name}={value}', 'PACKAGES=ignore'),
                f'{name}={value}: must be a number, 1 or more')
    has(refused(b, 'build', 'PACKAGES=ignore', JOBS='x'), 'JOBS=x')


def test_what_is_no_source_tree(b):
    start(b)
    b.write('empty/file', '')
    tree = b.make_tree('old', dict(TREE, VERSION='9.2.0\n'))
    for value, why in (('nowhere', 'no such directory'),
                       (b.path('empty'), 'not a QEMU source tree'),
                       (tree, 'QEMU 9.2.0, the series is for 10.0')):
        has(refused(b, 'run', f'QEMU_SRC={value}', 'PACKAGES=ignore'), value,
            why)


def test_what_can_be_no_build_directory(b):
    start(b)
    b.write('file', '')
    for value, why in (('', 'names no directory'),
                       ('a b', 'a blank'), (b.path('my build'), 'a blank'),
                       ('a:b', 'a colon'), ("it's", 'a quote'),
                       ('say"', 'a quote'), (b.path('file'), 'not a directory'),
                       ('out', 'begins with "build"'),
                       ('build/../tools', 'begins with "build"'),
                       ('.', 'has other files'), ('..', 'has other files'),
                       (b.scratch, 'has other files')):
        for target in ('build', 'clean'):
            has(refused(b, target, f'BUILD={value}', 'PACKAGES=ignore'),
                f'BUILD={value}', why)


def test_packages_can_only_be_ignored(b):
    start(b)
    has(refused(b, 'build', 'PACKAGES=ignored'), 'PACKAGES=ignored', '"ignore"')


def test_what_is_no_choice_of_a_pvh_dom0(b):
    start(b)
    has(refused(b, 'check-xen', 'PVH=yes', 'PACKAGES=ignore'), 'PVH=yes',
        'must be 1')
    has(refused(b, 'check-xen-linux', 'PVH=1', 'PACKAGES=ignore'), 'PVH=1',
        'a PV dom0 only')


def test_good_ones(b):
    """Also those that another target would not take."""
    tree = b.make_tree('mine')
    good = {'BUILD': b.path('build')}
    for targets_, env in (
            ([], {}), (['run'], {'BASE': '10.2', 'JOBS': '12'}),
            (['run'], {'BASE': '10.0', 'QEMU_SRC': tree}),
            (['run'], {'PACKAGES': 'ignore', 'BUILD': 'build-of-mine'}),
            (['check'], {'SUITE': 'qtest tools'}),
            (['check-xen'], {'SUITE': 'trixie', 'ROUNDS': '100', 'PVH': '1'}),
            (['check-bare'], {'SUITE': 'bookworm'}),
            (['fuzz-qemu'], {'TIME': '28800'}),
            (['run'], {'TIME': '%E', 'ROUNDS': 'x', 'SUITE': 'x'})):
        assert b.run('arguments', *targets_, env={**good, **env}) == ''
    assert not os.path.exists(b.path('build'))
