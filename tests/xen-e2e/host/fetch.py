# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's packages, unpacked: a root that nothing was installed in.

apt finds out what the named packages need, with an empty list of installed
ones, downloads all of it and checks the signatures; dpkg-deb unpacks it.  No
script of a package is run and no root is needed.
"""
import concurrent.futures
import glob
import hashlib
import os
import shutil
import subprocess

from say import Failure, Progress, need_space, note

# Debian's releases whose Xen can be booted
SUITES = {'bookworm': 'Debian 12', 'trixie': 'Debian 13'}
KEYRINGS = ('/usr/share/keyrings/debian-archive-keyring.gpg',
            '/usr/share/keyrings/debian-archive-keyring.pgp')


def read_names(path):
    with open(path, encoding='utf-8') as src:
        lines = (line.split('#')[0].strip() for line in src)
        return [line for line in lines if line]


def _mirror(repo, build):
    done = subprocess.run([os.path.join(repo, 'tools', 'apt-private'), build,
                           '--mirror'], stdout=subprocess.PIPE, text=True,
                          check=False)
    if done.returncode or not done.stdout.strip():
        raise Failure('no Debian mirror is known: name one with '
                      'DEBIAN_MIRROR=URI')
    return done.stdout.strip()


def _write_conf(top, mirror, suite):
    """An apt of our own: nothing installed, lists and cache under `top`."""
    keyring = next((k for k in KEYRINGS if os.path.exists(k)), None)
    if keyring is None:
        raise Failure("Debian's archive keys are not here: "
                      'install debian-archive-keyring')
    for name in ('lists/partial', 'cache/archives/partial', 'parts', 'state'):
        os.makedirs(os.path.join(top, name), exist_ok=True)
    with open(os.path.join(top, 'status'), 'w', encoding='utf-8'):
        pass
    with open(os.path.join(top, 'sources.list'), 'w',
              encoding='utf-8') as out:
        out.write(f'deb [arch=amd64 signed-by={keyring}] '
                  f'{mirror} {suite} main\n')
    settings = {
        'APT::Architecture': 'amd64',
        'APT::Architectures': 'amd64',
        'APT::Install-Recommends': 'false',
        'APT::Sandbox::User': '',
        'APT::Get::AllowUnauthenticated': 'false',
        'Acquire::AllowInsecureRepositories': 'false',
        'Acquire::Languages': 'none',
        'Acquire::Retries': '2',
        'Debug::NoLocking': 'true',
        'Dir::State': f'{top}/state',
        'Dir::State::status': f'{top}/status',
        'Dir::State::Lists': f'{top}/lists',
        'Dir::Cache': f'{top}/cache',
        'Dir::Etc::SourceList': f'{top}/sources.list',
        'Dir::Etc::SourceParts': f'{top}/parts',
        'Dir::Etc::Preferences': '/dev/null',
        'Dir::Etc::PreferencesParts': f'{top}/parts',
    }
    conf = os.path.join(top, 'apt.conf')
    with open(conf, 'w', encoding='utf-8') as out:
        for key, value in settings.items():
            out.write(f'{key} "{value}";\n')
        # what the machine's own configuration runs after an update
        for hook in ('APT::Update::Pre-Invoke', 'APT::Update::Post-Invoke',
                     'APT::Update::Post-Invoke-Success', 'DPkg::Post-Invoke'):
            out.write(f'#clear {hook};\n')
    return conf


def _apt(conf, log, *args):
    if shutil.which('apt-get') is None:
        raise Failure('apt-get is not here: the packages of '
                      'tests/xen-e2e/packages.txt come by it')
    with open(log, 'a', encoding='utf-8') as out:
        done = subprocess.run(['apt-get', '-c', conf, '-q', *args],
                              stdin=subprocess.DEVNULL, stdout=out,
                              stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        with open(log, encoding='utf-8', errors='replace') as src:
            why = [x.strip() for x in src if x.startswith(('E:', 'Err:'))]
        raise Failure(f'apt-get {args[0]}: {(why or ["failed"])[0][:200]}; '
                      f'the whole output is in {log}')


def unpack(archive, root):
    """The files of one .deb."""
    done = subprocess.run(['dpkg-deb', '-x', archive, root],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    if done.returncode:
        raise Failure(f'{archive}: {done.stdout.strip()[-200:]}')


def fetch(repo, build, work, suite, names):
    """Have the packages of a suite unpacked in work/root; return that path.

    The root is made under another name and renamed when it is complete, so
    one that is there is whole.  It is made anew when the names change.
    """
    root = os.path.join(work, 'root')
    stamp = os.path.join(work, 'root.stamp')
    key = hashlib.sha256(' '.join([suite, *names]).encode()).hexdigest()
    if os.path.exists(stamp) and os.path.isdir(root):
        with open(stamp, encoding='utf-8') as src:
            if src.read().strip() == key:
                return root
    need_space(work, 2.0, 'unpacking Xen and its machine')
    top = os.path.join(work, 'apt')
    log = os.path.join(work, 'apt.log')
    # a cache of what is downloaded now, and nothing else
    subprocess.run(['rm', '-rf', f'{top}/cache', log], check=True)
    conf = _write_conf(top, _mirror(repo, build), suite)
    note(f'getting {len(names)} packages of {SUITES[suite]} and what they '
         'need')
    _apt(conf, log, 'update', '-o', 'APT::Update::Error-Mode=any')
    _apt(conf, log, 'install', '-y', '--download-only', *names)
    archives = sorted(glob.glob(f'{top}/cache/archives/*.deb'))
    fresh = root + '.new'
    for old in (stamp, fresh, root):
        subprocess.run(['rm', '-rf', old], check=True)
    os.makedirs(fresh)
    progress = Progress('unpacking')
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        todo = [pool.submit(unpack, a, fresh) for a in archives]
        for done, job in enumerate(
                concurrent.futures.as_completed(todo), 1):
            job.result()
            progress.show(done, len(todo))
    progress.end()
    os.rename(fresh, root)
    with open(stamp, 'w', encoding='utf-8') as out:
        out.write(key + '\n')
    # the archives are a sixth of what was unpacked, and not needed again
    subprocess.run(['rm', '-rf', f'{top}/cache'], check=True)
    return root

