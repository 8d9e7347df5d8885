# SPDX-License-Identifier: GPL-2.0-or-later
"""The device model's start by xl."""
import os
import resource
import shutil
import subprocess

from bench import has

ECHO = '#!/bin/sh\nfor arg; do printf "<%s>" "$arg"; done\nulimit -f\n'
# Says what it is given, and how the descriptors among that are open.
SHOW = r'''#!/bin/bash
while [ $# -gt 0 ]; do
    if [ "$1" = -add-fd ]; then
        fd=${2#fd=}
        fd=${fd%%,*}
        read -r line <&"$fd"
        [ "$line" = "on it" ] || echo "fd $fd is not the disk"
        echo "${2#*,}"
        flags=$(grep ^flags "/proc/self/fdinfo/$fd")
        case ${flags: -1} in 0) echo r ;; 2) echo rw ;; *) echo "$flags" ;; esac
    else
        echo "$2"
    fi
    shift 2
done
'''


def start(b, args, with_qemu=True, preexec=None):
    os.makedirs(b.path('bin'), exist_ok=True)
    script = shutil.copy(os.path.join(b.tools, 'xl-device-model'),
                         b.path('bin'))
    if with_qemu:
        os.chmod(b.write('bin/qemu-system-i386', ECHO), 0o755)
    return subprocess.run([script, *args], capture_output=True, text=True,
                          check=False, preexec_fn=preexec)


def test_xl_arguments_are_translated(b):
    cases = {
        ('-chroot', '/a b', '-name', 'x', '-runas', '1:2'):
            '<-run-with><chroot=/a b><-name><x><-run-with><user=1:2>',
        ('-name', 'it is "so"', '-drive', 'a,,b', ''):
            '<-name><it is "so"><-drive><a,,b><>',
        # what libxl 4.20 says is QEMU's own option already
        ('-run-with', 'chroot=/a b', '-run-with', 'user=1:2'):
            '<-run-with><chroot=/a b><-run-with><user=1:2>',
        ('-m', '48', '-chroot'): '<-m><48><-chroot>',
        # not restricted: a disk stays a name
        ('-drive', 'file=/dev/null,if=ide'): '<-drive><file=/dev/null,if=ide>',
    }
    for args, said in cases.items():
        run = start(b, args)
        assert (run.returncode, run.stderr) == (0, ''), run
        assert run.stdout == said + 'unlimited\n', run.stdout


def test_xl_disks_of_a_restricted_guest(b):
    disk = b.write('disk.img', 'on it\n')
    os.chmod(b.write('bin/qemu-system-i386', SHOW), 0o755)
    run = start(b, ['-drive', f'file={disk},if=ide,format=raw',
                    '-drive', f'file={disk},readonly=on',
                    '-drive', f'file={disk},,x,if=ide',
                    '-drive', 'file=/no/such,if=ide',
                    '-drive', f'if=ide,file={disk}',
                    '-chroot', '/var/empty'], with_qemu=False)
    assert (run.returncode, run.stderr) == (0, ''), run
    assert run.stdout.split() == [
        'set=1', 'rw',
        'file=/dev/fdset/1,if=ide,format=raw,file.auto-read-only=off',
        'set=2', 'r', 'file=/dev/fdset/2,readonly=on',
        f'file={disk},,x,if=ide', 'file=/no/such,if=ide',
        f'if=ide,file={disk}', 'chroot=/var/empty'], run.stdout


def test_xl_disks_go_as_descriptors_if_the_root_changes(b):
    """Whichever option says so: libxl 4.17 has -chroot, 4.20 -run-with."""
    disk = b.write('disk.img', 'on it\n')
    drive = ['-drive', f'file={disk},if=ide']
    for option, changes in (
            (['-chroot', '/var/empty'], True),
            (['-run-with', 'chroot=/var/empty'], True),
            (['-run-with', 'user=1:2,chroot=/var/empty'], True),
            (['-run-with', 'user=1:2'], False),
            (['-name', 'chroot=/var/empty'], False),
            (['-name', '-run-with', '-m', '48'], False)):
        for args in (option + drive, drive + option):
            run = start(b, args)
            assert (run.returncode, run.stderr) == (0, ''), run
            by_set = '<-drive><file=/dev/fdset/1,if=ide' in run.stdout
            assert by_set == changes, (args, run.stdout)


def test_xl_without_qemu(b):
    run = start(b, ['-m', '48'], with_qemu=False)
    assert run.returncode == 1
    has(run.stderr, 'qemu-system-i386: no such program')


def test_xl_file_limit_is_lifted_or_named(b):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (262144, 262144))

    run = start(b, ['-m', '48'], preexec=limit)
    if run.returncode == 0:
        assert run.stdout == '<-m><48>unlimited\n', run.stdout
    else:
        # without the right to: not root, or root of a container
        has(run.stderr, 'cannot raise RLIMIT_FSIZE: run as root')
        assert run.stdout == ''
