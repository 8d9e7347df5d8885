# SPDX-License-Identifier: GPL-2.0-or-later
"""A bare Debian in a folder, by mmdebstrap, and commands that run in it.

Takes root.  A command runs in a mount and process namespace of its own:
whatever happens, no mount and no process is left.
"""
import os
import shutil
import subprocess

from say import Failure, need_space, note

# mounts, then the command: $1 root, $2 "FROM:TO FROM:TO ..."
ENTER = '''set -e
mount --make-rprivate /
root=$1; binds=$2; shift 2
mount -t proc proc "$root/proc"
mkdir -p "$root/dev/shm"
mount -t tmpfs tmpfs "$root/dev/shm"
for bind in $binds; do
    mkdir -p "$root${bind#*:}"
    mount --bind "${bind%%:*}" "$root${bind#*:}"
done
status=0
# no exec: the first process of a namespace is not ended by its own abort()
chroot "$root" "$@" || status=$?
exit $status
'''
TOOLS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PATH = '/usr/sbin:/usr/bin:/sbin:/bin'


def need_root(what):
    """Fail, in one line, unless this is root and mmdebstrap is there."""
    if os.geteuid() != 0:
        raise Failure(f'{what} needs root here: run it with sudo')
    if not shutil.which('mmdebstrap'):
        raise Failure('mmdebstrap is not here: apt-get install mmdebstrap')


def apt_settings():
    """How this machine reaches its mirror; that holds for the root as well."""
    res = subprocess.run(['apt-config', 'dump'], stdout=subprocess.PIPE,
                         text=True, check=True)
    return ''.join(line + '\n' for line in res.stdout.splitlines()
                   if line.startswith('Acquire::')
                   and not line.startswith('Acquire::IndexTargets'))


def make(root, suite, mirror, packages, log, gib, architectures=()):
    """A root with these packages, whole or not at all."""
    need_space(os.path.dirname(root), gib, f'a bare {suite}')
    fresh = root + '.new'
    remove(fresh)
    note(f'making a bare {suite} in {root}')
    conf = root + '.apt.conf'
    os.makedirs(os.path.dirname(log), exist_ok=True)
    with open(conf, 'w', encoding='utf-8') as out:
        out.write(apt_settings())
    argv = ['mmdebstrap', '--mode=root', '--variant=minbase',
            '--aptopt=' + conf,
            # made anew if it is broken off: no file has to be on the disk
            # before the next one is written
            '--dpkgopt=force-unsafe-io']
    if packages:
        argv.append('--include=' + ','.join(packages))
    if architectures:
        argv.append('--architectures=' + ','.join(architectures))
    with open(log, 'wb') as out:
        res = subprocess.run(argv + [suite, fresh, mirror], check=False,
                             stdin=subprocess.DEVNULL, stdout=out,
                             stderr=subprocess.STDOUT)
    if res.returncode:
        with open(log, encoding='utf-8', errors='replace') as src:
            said = [line.strip() for line in src
                    if line.startswith('E:') or 'No space left' in line]
        remove(fresh)
        raise Failure(f'mmdebstrap failed ({said[0] if said else "see below"})'
                      f': the whole output is in {log}')
    shutil.copy(conf, os.path.join(fresh, 'etc/apt/apt.conf.d/90mirror'))
    if os.path.exists('/etc/resolv.conf'):
        shutil.copy('/etc/resolv.conf', os.path.join(fresh, 'etc/resolv.conf'))
    remove(root)
    os.rename(fresh, root)


def make_once(root, suite, mirror, packages, log, gib, architectures=()):
    """The same, unless the root is there and was made with these packages."""
    stamp = os.path.join(root, 'etc', 'xen-mapcache-root')
    key = ' '.join([suite, *architectures, *packages]) + '\n'
    if os.path.exists(stamp):
        with open(stamp, encoding='utf-8') as src:
            if src.read() == key:
                return
    make(root, suite, mirror, packages, log, gib, architectures)
    with open(stamp, 'w', encoding='utf-8') as out:
        out.write(key)


def mirror_of(build):
    """The mirror of Debian that this machine uses."""
    return subprocess.run(
        [os.path.join(TOOLS, 'apt-private'), build, '--mirror'],
        stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def remove(root):
    subprocess.run(['rm', '-rf', '--one-file-system', root], check=True)


def command(root, binds, argv):
    """The command line that runs argv in the root with these folders bound."""
    pairs = ' '.join(f'{here}:{there}' for here, there in binds)
    return ['unshare', '--mount', '--pid', '--fork', '--kill-child',
            'sh', '-c', ENTER, 'sh', root, pairs,
            'env', '-i', 'HOME=/root', 'TERM=dumb', 'LANG=C.UTF-8',
            'DEBIAN_FRONTEND=noninteractive', 'PATH=' + PATH, *argv]
