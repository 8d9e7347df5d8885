# SPDX-License-Identifier: GPL-2.0-or-later
"""Building for Arm64: what is said when it cannot be."""
import os

from bench import Skip, has


def test_arm64_takes_root(b):
    if os.geteuid() == 0:
        raise Skip('this is root')
    has(b.run('check-arm64', '--build', b.path('build'), fails=True),
        'needs root', 'run it with sudo')


def test_arm64_without_mmdebstrap(b):
    if os.geteuid() != 0:
        raise Skip('only root gets as far')
    os.makedirs(b.path('bin'))
    os.symlink('/usr/bin/env', b.path('bin', 'env'))
    os.symlink('/usr/bin/python3', b.path('bin', 'python3'))
    has(b.run('check-arm64', '--build', b.path('build'), fails=True,
              env={'PATH': b.path('bin')}),
        'mmdebstrap is not here: apt-get install mmdebstrap')


def test_no_room_for_arm64(b):
    if os.geteuid() != 0:
        raise Skip('only root gets as far')
    disk = b.small_disk('disk', '50m')
    has(b.run('check-arm64', '--build', disk, fails=True),
        'a root and a build for Arm64', 'needs 4.0 GiB', 'make room')
    assert not os.listdir(b.path('disk')), 'something was left'
