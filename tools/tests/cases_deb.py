# SPDX-License-Identifier: GPL-2.0-or-later
"""Making the packages: their version, and what is said when it cannot be."""
import os
import shutil
import subprocess

import debroot
from bench import Skip, has
from cases_check import load


def is_newer(one, than):
    if not shutil.which('dpkg'):
        raise Skip('dpkg is not here')
    return not subprocess.run(['dpkg', '--compare-versions', one, 'gt', than],
                              check=False).returncode


def test_version_is_between_the_base_and_its_next(b):
    base = '1:10.0.13+ds-0+deb13u1'
    first = load(b, 'make-deb').changelog(base).splitlines()[0]
    ours = first[first.index('(') + 1:first.index(')')]
    assert ours.startswith(base + '+') and is_newer(ours, base)
    for later in ('1:10.0.13+ds-0+deb13u2', '1:10.0.14+ds-0+deb13u1'):
        assert is_newer(later, ours), f'{later} does not replace {ours}'


def test_packages_are_of_debians_source(b):
    b.write('build/src/origin', 'tree /home/me/qemu\n')
    has(b.run('make-deb', '--build', b.path('build'), fails=True),
        "Debian's source", 'without QEMU_SRC')
    b.write('build/src/origin', 'debian 1:10.0.13+ds-0+deb13u1\n')
    has(b.run('make-deb', '--build', b.path('build'), fails=True),
        'has no qemu_10.0.13+ds-0+deb13u1.dsc')


def test_no_room_for_the_packages(b):
    disk = b.small_disk('disk', '50m')
    b.write('disk/src/origin', 'debian 1:10.0.13+ds-0+deb13u1\n')
    b.write('disk/src/dl/qemu_10.0.13+ds-0+deb13u1.dsc', '')
    b.write('disk/deb/packages/old.deb', 'old')
    has(b.run('make-deb', '--build', disk, fails=True), 'needs 2.0 GiB',
        'make room')
    assert b.read('disk/deb/packages/old.deb') == 'old'


def test_nothing_to_test(b):
    os.makedirs(b.path('build'))
    has(b.run('check-deb', '--build', b.path('build'), fails=True),
        'has no qemu-system-xen', 'make deb')


def test_a_command_in_a_root_may_abort(b):
    """The first process of a namespace would not notice its own signal."""
    if os.geteuid() != 0:
        raise Skip('a root of its own needs root')
    argv = debroot.command('/', [], ['sh', '-c', 'kill -ABRT $$; echo lives'])
    if subprocess.run(['unshare', '--mount', '--pid', '--fork', 'true'],
                      check=False, capture_output=True).returncode:
        raise Skip('this root may not make a namespace')
    res = subprocess.run(argv, text=True, capture_output=True, timeout=60,
                         check=False)
    assert res.returncode == 128 + 6 and 'lives' not in res.stdout, res
