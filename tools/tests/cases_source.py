# SPDX-License-Identifier: GPL-2.0-or-later
"""Getting the source and the packages, and what can be wrong with them."""
import os
import shutil
import subprocess

from bench import REPLACED, SERIES, TREE, Skip, has


def get(b, build='build', fails=False, **env):
    return b.run('get-source', b.path(build), fails=fails, env=env)


def test_own_tree_is_copied_and_left_alone(b):
    tree = b.make_tree('mine')
    b.write('mine/.git/config', 'x\n')
    has(get(b, QEMU_SRC=tree), 'copying', 'QEMU 10.0.13 is in')
    assert b.contents('build/src/qemu') == \
        {n: t.encode() for n, t in TREE.items()}
    b.make_tree('repo', {'hw/xen/xen-mapcache.c': 'ours\n',
                         REPLACED: SERIES[REPLACED]})
    b.on_build('lay')
    assert b.read('mine/hw/xen/xen-mapcache.c') == TREE['hw/xen/xen-mapcache.c']
    # again: nothing to do; and changed: copied anew
    assert get(b, QEMU_SRC=tree) == ''
    os.utime(b.write('mine/hw/new.c', 'new\n'))
    os.utime(b.path('build/src/origin'), (1, 1))
    has(get(b, QEMU_SRC=tree), 'is newer than the copy')
    assert b.read('build/src/qemu/hw/new.c') == 'new\n'


def test_trees_that_are_none(b):
    has(get(b, fails=True, QEMU_SRC=b.path('none')), 'no such directory')
    b.write('empty/file', '')
    has(get(b, fails=True, QEMU_SRC=b.path('empty')),
        'not a QEMU source tree')
    cases = {
        'VERSION': ('9.2.0\n', 'QEMU 9.2.0, the series is for 10.0'),
        'hw/xen/xen-mapcache.c': (None, 'has no hw/xen/xen-mapcache.c'),
        'include/system/xen-mapcache.h': (None, 'has no include/system'),
        'subprojects/keycodemapdb/meson.build': (None, 'meson subprojects'),
    }
    for number, (name, (text, words)) in enumerate(cases.items()):
        files = {n: t for n, t in TREE.items() if n != name}
        if text:
            files[name] = text
        tree = b.make_tree(f'tree{number}', files)
        has(get(b, fails=True, QEMU_SRC=tree), tree, words)
        assert not os.path.exists(b.path('build/src/qemu'))


def test_tree_with_the_series_on_it(b):
    b.prepared()
    b.on_build('lay')
    has(get(b, 'other', fails=True, QEMU_SRC=b.path('build/src/qemu')),
        'lies over this tree already')


def test_broken_off_copy_is_made_anew(b):
    tree = b.make_tree('mine')
    b.write('build/src/qemu.new/half', '')
    b.write('build/src/qemu/old', '')
    get(b, QEMU_SRC=tree)
    assert b.contents('build/src/qemu') == \
        {n: t.encode() for n, t in TREE.items()}
    assert not os.path.exists(b.path('build/src/qemu.new'))


def test_no_room(b):
    disk = b.small_disk('disk', '20m')
    tree = b.make_tree('mine')
    has(b.run('get-source', disk, fails=True, env={'QEMU_SRC': tree}),
        'needs 2 GiB', 'make room')


def need_apt():
    if not shutil.which('apt-get'):
        raise Skip('this is no Debian')


def test_no_network(b):
    need_apt()
    # a port of this machine that nobody listens at
    env = {'DEBIAN_MIRROR': 'http://127.0.0.1:9/debian', 'no_proxy': '*'}
    has(get(b, fails=True, **env), 'package lists', 'is the network there?')
    assert not os.path.exists(b.path('build/src/origin'))
    assert not os.path.exists(b.path('build/src/qemu'))


def test_proxy_that_is_not_there(b):
    need_apt()
    env = {'DEBIAN_MIRROR': 'http://192.0.2.1/debian',
           'http_proxy': 'http://127.0.0.1:9', 'no_proxy': ''}
    has(get(b, fails=True, **env), 'package lists', 'is the network there?')


def test_archive_without_a_signature(b):
    need_apt()
    for suite in ('bookworm', 'bookworm-updates', 'bookworm-backports',
                  'trixie', 'trixie-updates'):
        b.write(f'mirror/dists/{suite}/Release',
                f'Suite: {suite}\nCodename: {suite}\nComponents: main\n')
        b.write(f'mirror/dists/{suite}/main/source/Sources', '')
    mirror = 'file://' + b.path('mirror')
    has(get(b, fails=True, DEBIAN_MIRROR=mirror), 'package lists')
    log = b.read('build/apt/update.log')
    has(log, 'is not signed')


def fake_apt(b, versions):
    """A copy of the tools in which apt-private is made up."""
    shutil.copytree(b.tools, b.path('tools'))
    script = '#!/bin/sh\ncase "$*" in\n*showsrc*)\n'
    script += ''.join(f'    echo "Version: {v}"\n' for v in versions)
    script += '    ;;\n*source*) echo "E: asked for $*"; exit 100 ;;\nesac\n'
    b.write('tools/apt-private', script)
    b.tools = b.path('tools')


def test_suite_without_the_version(b):
    need_apt()
    fake_apt(b, ['1:10.1.2+ds-1', '1:7.2+dfsg-7'])
    has(get(b, fails=True), 'has no QEMU 10.0 any more', 'QEMU_SRC=DIR')


def test_newest_point_release_is_taken(b):
    need_apt()
    fake_apt(b, ['1:10.0.2+ds-2', '1:10.0.13+ds-0+deb13u1', '1:10.0.9+ds-1',
                 '1:10.1.0+ds-1'])
    has(get(b, fails=True), 'the download failed',
        'qemu=1:10.0.13+ds-0+deb13u1')


def test_newest_suite_has_the_other_base(b):
    need_apt()
    fake_apt(b, ['1:10.0.13+ds-0+deb13u1', '1:10.2.1+ds-1', '1:10.2.2+ds-1',
                 '1:11.1.3+ds-1'])
    b.write('tools/apt-private', b.read('tools/apt-private').replace(
        '#!/bin/sh', '#!/bin/sh\necho "$SOURCE_SUITE" > "$1/suite"', 1))
    has(get(b, fails=True, BASE='10.2'), 'qemu=1:10.2.2+ds-1')
    get(b, fails=True)
    has(get(b, fails=True, BASE='11.1'), 'BASE=11.1',
        'the series is for QEMU 10.0 and 10.2')


def test_tree_of_another_base(b):
    """It is taken as it is unless a base is asked for."""
    need_apt()
    b.prepared()
    b.write('build/src/origin', 'debian 1:10.2.2+ds-1\n')
    assert get(b) == ''
    assert get(b, BASE='10.2') == ''
    fake_apt(b, ['1:10.0.13+ds-0+deb13u1'])
    has(get(b, fails=True, BASE='10.0'), 'qemu=1:10.0.13')


def test_package_that_is_missing(b):
    need_apt()
    names = b.write('list', '# base\ngcc\nno-such-package-1  # why\n'
                            'bookworm:no-such-package-2\n'
                            'trixie:no-such-package-2\n')
    error = b.run('packages', '--check', fails=True,
                  env={'PACKAGE_LIST': names})
    has(error, 'packages are missing; as root: apt-get install '
               'no-such-package-1 no-such-package-2')
    assert 'gcc' not in error


def test_no_package_missing(b):
    need_apt()
    names = b.write('list', 'dpkg\napt\n')
    assert b.run('packages', '--check', env={'PACKAGE_LIST': names}) == ''
    assert b.run('packages', b.path('build'),
                 env={'PACKAGE_LIST': names}) == ''
    assert not os.path.exists(b.path('build'))


def test_missing_package_without_root(b):
    need_apt()
    if os.geteuid() != 0:
        raise Skip('this case gives up root')
    names = b.write('list', 'no-such-package-1\n')
    os.chmod(b.scratch, 0o755)
    shutil.copytree(b.tools, b.path('tools'))
    res = subprocess.run(
        ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups',
         b.path('tools/packages'), b.path('build')],
        env=dict(os.environ, PACKAGE_LIST=names, HOME='/nonexistent'),
        text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, check=False)
    assert res.returncode != 0
    assert res.stdout.count('\n') == 1, res.stdout
    has(res.stdout, 'packages are missing; as root: apt-get install '
                    'no-such-package-1')
