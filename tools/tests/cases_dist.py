# SPDX-License-Identifier: GPL-2.0-or-later
"""What `make dist` packs."""
import os
import shutil
import subprocess

from bench import has


def project(b):
    """A project with a version, news of it, and patches."""
    b.write('repo/meson.build', "project('p', 'c',\n  version: '1.2',\n")
    b.write('repo/NEWS', 'Version 1.2, today\n')
    for name in ('tools/xensim-alone/meson.build', 'docs/xensim.md',
                 'tools/xensim-alone/README.md', 'COPYING',
                 'tests/xensim/a.c'):
        b.write('repo/' + name, name + '\n')
    b.write('build/series/0001-x.patch', 'x\n')
    b.write('build/series-tests/0001-y.patch', 'y\n')
    for command in (['init', '-q'], ['add', '.'],
                    ['-c', 'user.name=n', '-c', 'user.email=e', 'commit',
                     '-q', '-m', 'all']):
        subprocess.run(['git', '-C', b.path('repo'), *command], check=True)


def dist(b, repo=None):
    return subprocess.run(
        [os.path.join(b.real_repo, 'tools', 'dist'), '--build',
         b.path('build'), '--repo', repo or b.path('repo')],
        text=True, capture_output=True, check=False)


def sums(b):
    with open(b.path('build/dist/SHA256SUMS'), encoding='utf-8') as src:
        return src.read()


def test_two_runs_give_the_same_bytes(b):
    project(b)
    assert dist(b).returncode == 0
    first = sums(b)
    shutil.rmtree(b.path('build/dist'))
    os.utime(b.path('repo/tests/xensim/a.c'), (1, 1))
    assert dist(b).returncode == 0
    assert sums(b) == first and first.count('\n') == 3, first


def test_tests_are_apart(b):
    project(b)
    assert dist(b).returncode == 0
    for what, name in (('series', '0001-x.patch'), ('tests', '0001-y.patch')):
        full = f'xen-mapcache-1.2-{what}'
        listed = subprocess.run(
            ['tar', 'tf', b.path(f'build/dist/{full}.tar.xz')],
            text=True, capture_output=True, check=True).stdout
        assert listed == f'{full}/{name}\n', listed


def test_version_without_news(b):
    project(b)
    b.write('repo/NEWS', 'Version 1.1, long ago\n')
    res = dist(b)
    assert res.returncode == 1, res
    has(res.stderr, 'NEWS says nothing about version 1.2')


def test_no_patches(b):
    project(b)
    shutil.rmtree(b.path('build/series'))
    res = dist(b)
    assert res.returncode == 1, res
    has(res.stderr, 'run "make dist"')


def test_change_that_is_not_committed_is_told(b):
    project(b)
    b.write('repo/tests/xensim/a.c', 'changed\n')
    has(dist(b).stdout, 'not committed')


def test_simulated_xen_builds_alone(b):
    """Unpacked where there is no QEMU, built, and two of its tests run."""
    b.write('build/series/0001-x.patch', 'x\n')
    b.write('build/series-tests/0001-y.patch', 'y\n')
    made = dist(b, b.real_repo)
    assert made.returncode == 0, made.stderr
    name, = (line.split()[1] for line in sums(b).splitlines()
             if '  xensim-' in line)
    subprocess.run(['tar', 'xf', b.path('build/dist', name), '-C',
                    b.path('.')], check=True)
    top = b.path(name.removesuffix('.tar.xz'))
    log = ''
    for command in (['setup', 'build'], ['compile', '-C', 'build'],
                    ['test', '-C', 'build', 'xensim-frames', 'xensim-evtchn']):
        res = subprocess.run(['meson', *command], cwd=top, text=True,
                             capture_output=True, check=False)
        log = res.stdout + res.stderr
        assert res.returncode == 0, log
    has(log, 'Ok:', '2')
