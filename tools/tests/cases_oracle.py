# SPDX-License-Identifier: GPL-2.0-or-later
"""The oracle: what it says when it cannot do its work."""
import os
import subprocess

from bench import Skip

ORACLE = 'obj/tests/qtest/xen/oracle/xen-oracle'
STREAM = '''xen-oracle stream 1
devices xen vga
machine ram=64 cache=0 iothread=0 scattered=0
vga.draw 0102
xen.invalidate
end 2
'''


def environment(b):
    """The oracle's program, and its environment."""
    program = os.path.join(b.real_build, ORACLE)
    qemu = os.path.join(b.real_build, 'qemu', 'qemu-system-i386')
    if not os.path.exists(program) or not os.path.exists(qemu):
        raise Skip('the oracle or QEMU is not built')
    lib = os.path.join(b.real_build, 'xensim', 'libxensim.so')
    return program, {**os.environ, 'QTEST_QEMU_BINARY': qemu,
                     'XENSIM_LIB': lib}


def run(b, *options, env=None):
    """The exit status of the oracle, and what it printed."""
    program, usual = environment(b)
    res = subprocess.run(
        [program, '--timeless', *options], env={**usual, **(env or {})},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=300, check=False)
    return res.returncode, res.stdout


def one_line(output, *words):
    """The only line that is no sum at the end has all the words."""
    lines = [line for line in output.splitlines() if ': ' in line
             and ' streams, ' not in line and ' faults, ' not in line]
    assert len(lines) == 1, output
    assert all(word in lines[0] for word in words), output


def test_a_stream_from_a_file(b):
    path = b.write('good.stream', STREAM)
    status, output = run(b, '--file', path)
    assert status == 0 and 'good.stream: same: 2 actions' in output, output


def test_a_stream_that_is_cut_off(b):
    path = b.write('cut.stream', STREAM[:STREAM.index('end')])
    status, output = run(b, '--file', path)
    assert status == 1, output
    one_line(output, 'cut.stream', 'cut off')


def test_a_stream_with_an_action_less(b):
    path = b.write('less.stream', STREAM.replace('vga.draw 0102\n', ''))
    status, output = run(b, '--file', path)
    assert status == 1, output
    one_line(output, 'less.stream:5', 'end 2')


def test_an_action_that_nobody_knows(b):
    path = b.write('odd.stream', STREAM.replace('vga.draw', 'vga.sing'))
    status, output = run(b, '--file', path)
    assert status == 1, output
    one_line(output, 'odd.stream:4', 'vga.sing')


def test_no_simulated_xen(b):
    status, output = run(b, env={'XENSIM_LIB': '/nowhere/libxensim.so'})
    assert status == 1, output
    one_line(output, '/nowhere/libxensim.so', 'No such file')


def test_no_room(b):
    path = b.write('good.stream', STREAM)
    status, output = run(b, '--file', path, env={'XEN_ORACLE_DIR': '/proc'})
    assert status == 1, output
    one_line(output, '/proc has no room for', 'MiB')


def test_a_binary_without_xen(b):
    path = b.write('good.stream', STREAM)
    real = os.path.join(b.real_build, 'qemu', 'qemu-system-i386')
    fake = b.write('qemu', f'''#!/bin/sh
case "$*" in
*xenfv*)
    echo "qemu: -machine xenfv: unsupported machine type" >&2
    exit 1;;
esac
exec {real} "$@"
''')
    os.chmod(fake, 0o755)
    status, output = run(b, '--file', path,
                         env={'QTEST_QEMU_BINARY': fake})
    assert status == 1, output
    one_line(output, 'cannot run', 'unsupported machine type')


def test_no_binary(b):
    path = b.write('good.stream', STREAM)
    status, output = run(b, '--file', path,
                         env={'QTEST_QEMU_BINARY': '/nowhere/qemu'})
    assert status == 1, output
    one_line(output, '/nowhere/qemu', 'No such file')


def test_a_stream_from_bytes(b):
    path = b.write('some.bytes', 'bytes that a fuzzer might give' * 40)
    saved = b.path('saved.stream')
    status, output = run(b, '--bytes', path, '--save', saved, '--actions',
                         '4', '--without', 'xen.fault', '--without', 'ide',
                         # as in the short form
                         '--without', 'pci', '--without', 'cirrus')
    assert status == 0 and 'some.bytes: same: 4 actions' in output, output
    text = b.read('saved.stream')
    assert text.endswith('end 4\n') and 'ide' not in text, text


def test_a_changed_stream(b):
    path = b.write('good.stream', STREAM)
    saved = b.path('saved.stream')
    status, output = run(b, '--corpus', os.path.dirname(path), '--mutate',
                         '--save', saved)
    assert status == 0 and 'mutated-1: same: ' in output, output
    assert b.read('saved.stream') != STREAM


def test_nothing_to_change(b):
    status, output = run(b, '--mutate')
    assert status == 1, output
    one_line(output, '--mutate', '--corpus names no stream')


def test_a_device_that_nobody_knows(b):
    status, output = run(b, '--without', 'floppy')
    assert status == 1, output
    one_line(output, 'no device or action floppy')


def test_more_time_than_an_int_has_microseconds(b):
    program, env = environment(b)
    with subprocess.Popen(
            [program, '--time', '4000', '--actions', '1', '--without', 'pci'],
            env=env, stdout=subprocess.PIPE, text=True) as oracle:
        try:
            line = oracle.stdout.readline()
        finally:
            oracle.kill()
    assert line.startswith('# seed-1: same: 1 actions'), line


def test_a_processor_that_is_not_there(b):
    status, output = run(b, '--processor', '4095')
    assert status == 1, output
    one_line(output, 'no processor 4095')
