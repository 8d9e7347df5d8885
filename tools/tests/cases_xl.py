# SPDX-License-Identifier: GPL-2.0-or-later
"""The device model's start by xl."""
import os
import resource
import shutil
import subprocess

from bench import has

ECHO = '#!/bin/sh\nfor arg; do printf "<%s>" "$arg"; done\nulimit -f\n'


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
        ('-m', '48', '-chroot'): '<-m><48><-chroot>',
    }
    for args, said in cases.items():
        run = start(b, args)
        assert (run.returncode, run.stderr) == (0, ''), run
        assert run.stdout == said + 'unlimited\n', run.stdout


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
        has(run.stderr, 'cannot lift the limit on files')
        assert run.stdout == ''
