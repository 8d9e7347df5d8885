# SPDX-License-Identifier: GPL-2.0-or-later
"""Building stock and the series in one tree, and what can come between."""
import json
import os
import signal
import subprocess
import time

import affected
import oldxen
from bench import SERIES, TREE, has
from say import Failure

NAME = 'qemu-system-i386'
SERIES_HEADER = SERIES['include/sysemu/xen-mapcache.h']


def start(b):
    """A tree of one's own that is prepared, and a series for it."""
    b.make_tree('mine')
    b.prepared()
    os.unlink(b.path('build/src/origin'))
    return {'QEMU_SRC': b.path('mine')}


def says(b, which):
    return subprocess.run([b.path('build', which, NAME)], text=True,
                          capture_output=True, check=True).stdout


def test_stock_and_series(b):
    env = start(b)
    out = b.on_build('build-qemu', 'series', env=env)
    has(out, 'building stock QEMU', 'building QEMU with the series')
    assert says(b, 'stock') == 'stock 1\n'
    assert says(b, 'qemu') == 'series 3\n'


def test_second_run_does_nothing(b):
    env = start(b)
    b.on_build('build-qemu', 'series', env=env)
    binaries = [b.path('build', d, NAME) for d in ('stock', 'qemu', 'obj')]
    before = [os.stat(p).st_mtime_ns for p in binaries]
    assert b.on_build('build-qemu', 'series', env=env) == ''
    assert before == [os.stat(p).st_mtime_ns for p in binaries]


def test_change_of_the_series_is_built(b):
    env = start(b)
    b.on_build('build-qemu', 'series', env=env)
    b.write('repo/hw/xen/xen-mapcache.c',
            '#include "system/xen-mapcache.h"\nint map(void) { return 2; }\n'
            'int map_more(void) { return 7; }\n')
    b.on_build('build-qemu', 'series', env=env)
    assert says(b, 'qemu') == 'series 7\n'
    assert says(b, 'stock') == 'stock 1\n'


def test_stock_is_built_without_the_series(b):
    """Also when the series lies on the tree and the stock binary is gone."""
    env = start(b)
    b.on_build('build-qemu', 'series', env=env)
    os.unlink(b.path('build/stock', NAME))
    b.on_build('build-qemu', 'series', env=env)
    assert says(b, 'stock') == 'stock 1\n'
    assert says(b, 'qemu') == 'series 3\n'


def test_binary_that_is_not_the_series(b):
    """Objects of the series that are not in the binary are an error."""
    env = start(b)
    b.on_build('build-qemu', 'stock', env=env)
    mixed = TREE['configure'].replace(
        'command = cc \\$in -o', 'command = cp ' + b.path('build/stock', NAME))
    assert mixed != TREE['configure']
    b.write('mine/configure', mixed)
    b.write('build/src/qemu/configure', mixed)
    os.utime(b.path('build/src/origin'))
    os.unlink(b.path('build/obj/.configured'))
    error = b.on_build('build-qemu', 'series', env=env, fails=True)
    has(error, 'lacks map_more()')
    assert not os.path.exists(b.path('build/qemu', NAME))


def test_interrupted_build_goes_on(b):
    env = start(b)
    b.write('mine/slow', 'sleep 5\n')
    with subprocess.Popen(
            [os.path.join(b.tools, 'build-qemu'), 'series', '--build',
             b.path('build'), '--repo', b.path('repo')],
            env=dict(os.environ, **env), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True) as child:
        deadline = time.monotonic() + 30
        while not os.path.exists(b.path('build/obj/.configured')):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.3)
        os.killpg(child.pid, signal.SIGINT)
        out = child.communicate(timeout=30)[0]
    assert child.returncode != 0, out
    assert 'Traceback' not in out, out
    assert not os.path.exists(b.path('build/stock', NAME))
    b.write('build/src/qemu/slow', 'exit 0\n')
    b.on_build('build-qemu', 'series', env=env)
    assert says(b, 'qemu') == 'series 3\n'


def test_compiler_error_is_readable(b):
    env = start(b)
    b.write('repo/hw/xen/xen-mapcache.c', 'int map(void) { return nothing; }\n')
    error = b.on_build('build-qemu', 'series', env=env, fails=True)
    has(error, 'building QEMU with the series failed', 'build/log/series.log')
    has(b.read('build/log/series.log'), 'nothing')
    out = subprocess.run(
        [os.path.join(b.tools, 'build-qemu'), 'series', '--build',
         b.path('build'), '--repo', b.path('repo')],
        env=dict(os.environ, **env), capture_output=True, text=True,
        check=False).stdout
    has(out, "error: ‘nothing’ undeclared") if '‘' in out else \
        has(out, "error: 'nothing' undeclared")
    assert len(out.splitlines()) < 20, out
    assert not os.path.exists(b.path('build/qemu', NAME))


def test_objects_are_compiled_and_not_linked(b):
    env = start(b)
    has(b.on_build('build-qemu', 'objects', env=env),
        '2 objects compile on QEMU 10.0.13')
    made = os.listdir(b.path('build/obj/libcommon.a.p'))
    assert {'hw_xen_xen-mapcache.c.o', 'system_physmem.c.o'} <= set(made)
    assert not os.path.exists(b.path('build/obj', NAME))


def test_objects_of_the_unit_tests(b):
    """They are in no emulator, and may still not compile on another base."""
    env = start(b)
    unit = 'tests/unit/xen-mapcache/steps.c'
    last = 'entry system/physmem.c && echo '
    b.write('mine/configure', TREE['configure'].replace(
        'build all:', f'build libcommon.a.p/{unit.replace("/", "_")}.o: cc '
        f'$tree/{unit}\nbuild all:').replace(
        last + '"]"', f'{last}"," && entry {unit} && echo "]"'))
    b.write(f'repo/{unit}', 'int steps;\n')
    has(b.on_build('build-qemu', 'objects', env=env), '3 objects compile')
    b.write(f'repo/{unit}', 'int steps = nothing;\n')
    b.on_build('build-qemu', 'objects', env=env, fails=True)


def test_objects_without_a_warning_in_a_file_of_ours(b):
    env = start(b)
    b.write('repo/include/sysemu/xen-mapcache.h',
            '#warning "ours"\nint map(void);\nint map_more(void);\n')
    has(b.on_build('build-qemu', 'objects', env=env, fails=True),
        'include/system/xen-mapcache.h', '"ours"', '2 in', 'objects.log')
    b.write('repo/include/sysemu/xen-mapcache.h', SERIES_HEADER)
    b.write('build/src/qemu/include/qemu/osdep.h', '#warning "QEMU\'s"\n')
    b.write('repo/hw/xen/xen-mapcache.c',
            '#include "qemu/osdep.h"\nint map(void) { return 2; }\n')
    has(b.on_build('build-qemu', 'objects', env=env), '2 objects compile')


def test_affected_is_what_includes_a_change(b):
    files = {
        'include/hw/a.h': 'int a;\n', 'include/hw/b.h': '# include "hw/a.h"\n',
        'hw/x/near.h': '#include <hw/b.h>\n', 'hw/y/near.h': 'int y;\n',
        'hw/x/far.c': '#include "near.h"\n', 'hw/y/not.c': '#include "near.h"\n',
        'hw/x/if.c': '#ifdef NO\n  #include "hw/a.h"\n#endif\n',
        'hw/x/qapi.c': '#include "qapi/qapi-types-some-thing.h"\n',
        'hw/x/hmp.c': '#include "hmp-commands-info.h"\n',
        'hw/x/trace.c': '#include "trace/trace-hw_x.h"\n',
    }
    b.make_tree('t', files)
    commands = [{'directory': b.path('o'), 'file': name, 'output': output,
                 'command': 'cc -I. -iquote ../t/include -isystem /usr/include'}
                for name, output in
                [(f'../t/{name}', os.path.basename(name)) for name in files
                 if name.endswith('.c')] + [('qapi/qapi-visit-stats.c', 'made')]]
    b.write('o/compile_commands.json', json.dumps(commands))

    def of(*changed):
        return {name for name, _ in
                affected.objects(b.path('o'), b.path('t'), changed)}

    assert of('include/hw/a.h') == {'far.c', 'if.c'}
    assert of('hw/y/near.h', 'hw/y/not.c') == {'not.c'}
    assert of('qapi/some-thing.json') == {'qapi.c'}
    assert of('qapi/stats.json') == {'made'}
    assert of('hmp-commands-info.hx') == {'hmp.c'}
    assert of('hw/x/trace-events') == {'trace.c'}
    assert of('README') == set()


def test_configure_that_fails(b):
    env = start(b)
    b.write('mine/broken-configure', '')
    error = b.on_build('build-qemu', 'stock', env=env, fails=True)
    has(error, 'configuring QEMU failed', 'configure.log')
    has(b.read('build/log/configure.log'), 'the feature is not there')


def test_patch_that_fails_stops_the_build(b):
    env = start(b)
    b.write('repo/system/physmem.c.patch',
            '--- a/system/physmem.c\n+++ b/system/physmem.c\n@@ -1 +1 @@\n'
            '-nothing\n+something\n')
    has(b.on_build('build-qemu', 'series', env=env, fails=True),
        'system/physmem.c.patch', 'hunk 1 of 1')


def test_full_disk(b):
    """The disk fills up while the compiler writes."""
    env = start(b)
    b.on_build('build-qemu', 'stock', env=env)
    disk = b.small_disk('disk', '256k')
    b.write('build/src/qemu/slow',
            f'dd if=/dev/zero of={disk}/x bs=1M count=1\n')
    os.utime(b.path('build/src/qemu/system/physmem.c'))
    error = b.on_build('build-qemu', 'series', env=env, fails=True)
    has(error, 'the disk is full', 'make room')
    assert not os.path.exists(b.path('build/qemu', NAME))
    b.write('build/src/qemu/slow', 'exit 0\n')
    b.on_build('build-qemu', 'series', env=env)
    assert says(b, 'qemu') == 'series 3\n'


def test_no_room_to_begin(b):
    disk = b.small_disk('build', '30m')
    env = start(b)
    b.write('build/src/origin', f'tree {b.path("mine")}\n')
    has(b.on_build('build-qemu', 'stock', env=env, fails=True), disk,
        'building QEMU needs')


OLD_HEADER = """\
void *xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t dom);
/* Almost like the previous one */
void *xenforeignmemory_map2(xenforeignmemory_handle *fmem, uint32_t dom,
                            const xen_pfn_t arr[/*pages*/]);
int xenforeignmemory_unmap(void *addr);
"""


def test_old_libxen_lacks_the_call(b):
    header = oldxen.old_header(OLD_HEADER)
    assert 'map2' not in header, header
    has(header, 'xenforeignmemory_map(', 'xenforeignmemory_unmap(')
    for text in (header, OLD_HEADER * 2):
        try:
            oldxen.old_header(text)
        except Failure as failure:
            has(str(failure), 'xenforeignmemory_map2')
        else:
            raise AssertionError('no error')


def test_old_libxen_links_what_it_has(b):
    """With what is made of this machine's library."""
    where = os.path.dirname(oldxen.make(b.path('old')))
    b.write('calls.c', '#include <xenforeignmemory.h>\n'
                       'int main(void)\n{\n    return !NAME;\n}\n')
    for name, works in (('xenforeignmemory_map', True),
                        ('xenforeignmemory_map2', False)):
        res = subprocess.run(
            ['cc', '-DNAME=' + name, f'-I{where}/include', b.path('calls.c'),
             f'-L{where}/lib', '-lxenforeignmemory', '-o', b.path('calls')],
            capture_output=True, text=True, check=False)
        assert (res.returncode == 0) == works, res.stderr
