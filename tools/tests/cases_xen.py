# SPDX-License-Identifier: GPL-2.0-or-later
"""The run on the real Xen: what its reports are made into, and its archive."""
import contextlib
import io
import lzma
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
from unittest import mock

from bench import has
from cases_check import load
from say import Failure

HOST = os.path.join('tests', 'xen-e2e', 'host')


def modules(b):
    """The modules of the host's side, imported from the repository."""
    folder = os.path.join(os.path.dirname(b.tools), HOST)
    if folder not in sys.path:
        sys.path.append(folder)
    import emulator
    import image
    import plan
    return emulator, image, plan


class FakeBoot:
    """Says what it is told to, and then goes off, or hangs."""
    console = '/no/console'

    def __init__(self, lines, end=None, panic=''):
        self.lines = list(lines)
        self.end = end
        self.said = panic
        self.started = time.monotonic()
        self.stopped = False

    def seconds(self):
        return time.monotonic() - self.started

    def poll(self, wait):
        if self.lines:
            return self.lines.pop(0)
        if self.end is None:
            time.sleep(0.01)
        return self.end

    def panic(self, _words):
        return self.said

    def tail(self):
        return ['the last line of the console']

    def is_on(self):
        return self.end is None

    def examine(self):
        return ['Xen says:', 'dom0 is in a hypercall']

    def stop(self):
        self.stopped = True


def listen(b, lines, goes_off=True, panic='', again=()):
    """Returns the plan after a boot that says `lines`; a second one says
    `again` and goes off."""
    emulator, _, plan = modules(b)
    boots = [FakeBoot(lines, emulator.END if goes_off else None, panic),
             FakeBoot(again, emulator.END)]
    left = list(boots)
    told = plan.Plan('p', 100, {})
    told.silence = told.beat = 0.2
    with contextlib.redirect_stdout(io.StringIO()) as out:
        told.run(lambda: left.pop(0))
    told.said = out.getvalue()
    assert all(boot.stopped for boot in boots[:2 - len(left)])
    told.boots = 2 - len(left)
    return told


def last(told):
    case = told.cases[-1]
    return case.verdict, ' / '.join(case.notes)


def test_xen_reports_that_are_whole(b):
    told = listen(b, ['# hello', 'case a', '# note', 'ok a', 'case b',
                      'skip b | no such thing', 'case c', 'known c | it fell',
                      'figure some thing {"x": 3}', 'end 3'])
    verdicts = [(c.verdict, c.name) for c in told.cases]
    assert verdicts == [('ok', 'a'), ('skip', 'b | no such thing'),
                        ('known', 'c | it fell'),
                        ('ok', 'p: the run comes to its end')], verdicts
    assert told.cases[0].notes == ['note']
    assert told.figures['some thing'] == {'x': 3}
    taps = [c.tap(n)[-1] for n, c in enumerate(told.cases, 1)]
    assert taps[1] == 'ok 2 - b # SKIP no such thing', taps
    assert taps[2] == 'not ok 3 - c # TODO stock QEMU: it fell', taps


def test_xen_boots_that_break_off(b):
    start = ['case a', '# as far as this']
    cases = [
        (start, {}, 'went off before the end mark'),
        (['ok a', 'end 2'], {}, '2 cases ran, 1 were heard of'),
        (['end 0'], {'goes_off': False}, 'did not go off'),
        (start, {'goes_off': False}, 'went off before the end mark'),
        (start + ['waits process 1'], {'goes_off': False},
         'nothing was reported for'),
        (start, {'panic': 'Panic on CPU 0'}, 'panicked: Panic on CPU 0'),
        (start, {'goes_off': False, 'panic': 'Xen BUG at x'}, 'panicked'),
        (['figure x {broken'], {}, 'is no line of a report'),
    ]
    for lines, how, why in cases:
        verdict, notes = last(listen(b, lines, **how))
        assert verdict == 'not ok', (lines, how)
        has(notes, why)
    has(notes, 'the last line of the console')
    told = listen(b, ['broken module xenfs'])
    assert told.cases[0].verdict == 'not ok'
    has(' '.join(told.cases[0].notes), 'broken module xenfs')


def test_xen_machine_that_stops_is_started_once_more(b):
    """And why is told; but a silence in which dom0's watch spoke is dom0's."""
    good = ['case a', 'ok a', 'end 1']
    told = listen(b, ['case a', 'figure x {"n": 1}'], goes_off=False, again=good)
    assert [(c.verdict, c.name) for c in told.cases] == [
        ('ok', 'a'),
        ('skip', 'p: the first run | the machine stopped while in: a'),
        ('ok', 'p: the run comes to its end')], told.said
    assert list(told.figures) == ['seconds']
    has(told.said, 'nothing was reported for', 'dom0 is in a hypercall')
    told = listen(b, ['case a', 'waits process 1'], goes_off=False, again=good)
    assert told.boots == 1
    verdict, notes = last(told)
    assert verdict == 'not ok'
    has(notes, 'process 1 / while in: a', 'dom0 is in a hypercall')


class Answerer(threading.Thread):
    """Stands for the emulator's sockets: answers what it is asked."""

    def __init__(self, path, answer):
        super().__init__(daemon=True)
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(path)
        self.sock.listen()
        self.answer = answer
        self.asked = b''
        self.start()

    def run(self):
        client, _ = self.sock.accept()
        self.asked = client.recv(100)
        client.sendall(self.answer)
        client.close()


def test_xen_machine_that_hangs_is_asked(b):
    """Xen by its console, the emulator by its monitor; one that does not
    answer is no obstacle to the other."""
    emulator, _, _ = modules(b)
    boot = emulator.Boot.__new__(emulator.Boot)
    boot.name, boot.work = 'p', b.path('work')
    os.makedirs(boot.work)
    xen = Answerer(b.path('work/p.socket'), b'(XEN) RIP: 1\r\n\r\n(XEN) x\r\n')
    told = boot.examine()
    assert told[:3] == ['Xen says:', '(XEN) RIP: 1', '(XEN) x'], told
    assert told[3:] == ['the emulator says:',
                        '(cannot be asked: No such file or directory)'], told
    assert xen.asked == emulator.XEN_ASKED


def read_archive(data):
    """{name: (mode, bytes)} of a "newc" archive, as the kernel reads it."""
    found, at = {}, 0
    while True:
        assert data[at:at + 6] == b'070701', data[at:at + 6]
        fields = [int(data[at + 6 + 8 * n:at + 14 + 8 * n], 16)
                  for n in range(13)]
        start = at + 110
        name = data[start:start + fields[11] - 1].decode()
        assert data[start + fields[11] - 1] == 0
        body = (start + fields[11] + 3) // 4 * 4
        if name == 'TRAILER!!!':
            return found
        assert name not in found, name
        assert fields[2:4] == [0, 0], 'not root\'s'
        found[name] = (fields[1], data[body:body + fields[6]])
        at = (body + fields[6] + 3) // 4 * 4


def test_xen_archive_can_be_read(b):
    _, image, _ = modules(b)
    archive = image.Archive()
    archive.put('a/b/file', b'some bytes', 0o755)
    archive.put_link('/a/link', '/elsewhere')
    archive.put_dir('empty')
    archive.put_device('dev/console', stat.S_IFCHR, 5, 1)
    data = io.BytesIO()
    archive.write(data)
    folder = (stat.S_IFDIR | 0o755, b'')
    assert read_archive(data.getvalue()) == {
        'a': folder, 'a/b': folder, 'empty': folder, 'dev': folder,
        'a/b/file': (stat.S_IFREG | 0o755, b'some bytes'),
        'a/link': (stat.S_IFLNK | 0o777, b'/elsewhere'),
        'dev/console': (stat.S_IFCHR | 0o600, b'')}


def test_xen_release_is_found_in_the_root(b):
    """Folders of Xen and Python carry a version; two of them are an error."""
    _, image, _ = modules(b)
    for name in ('usr/lib/xen-4.20/bin/xl', 'usr/lib/python3.13/os.py',
                 'usr/lib/xen-common', 'lib64/ld-linux-x86-64.so.2'):
        b.write(f'root/{name}', '')
    root = image.Root(b.path('root'))
    assert (root.xen, root.python) == ('usr/lib/xen-4.20', 'usr/lib/python3.13')
    has(root.libs, '/usr/lib/xen-4.20/lib/x86_64-linux-gnu')
    b.write('root/usr/lib/xen-4.17/bin/xl', '')
    try:
        image.Root(b.path('root'))
    except Failure as failure:
        has(str(failure), '2 folders are called xen-')
    else:
        raise AssertionError('either of two releases is taken')


def test_xen_modules_are_unpacked_in_order(b):
    """Debian 13's are packed; each comes after what it needs."""
    _, image, _ = modules(b)
    top = 'root/lib/modules/6.12/kernel/drivers'

    def module(name, needs, pack=lambda data: data):
        text = b'ELF\0depends=' + needs + b'\0name=x\0'
        with open(b.write(f'{top}/{name}', ''), 'wb') as out:
            out.write(pack(text))
        return text

    last = module('xen/xen-gntdev.ko.xz', b'xen-privcmd,base', lzma.compress)
    module('xen/xen-privcmd.ko', b'')
    module('base.ko.xz', b'xen-privcmd', lzma.compress)
    module('modules.order', b'')
    archive = image.Archive()

    class Root:
        top = b.path('root')

    image.add_modules(archive, image.module_files(Root, '6.12'),
                      ('xen_gntdev',))
    put = archive.entries
    assert put['modules/list'][1] == b'xen_privcmd\nbase\nxen_gntdev\n'
    assert put['modules/xen_gntdev.ko'][1] == last


def make_root(b, image, *libraries):
    """A root whose programs can run here, with these libraries."""
    for name in ('usr/lib/xen-4.20/bin/xl', 'usr/lib/python3.13/os.py'):
        b.write(f'root/{name}', '')
    for source, name in (
            ('/lib64/ld-linux-x86-64.so.2', 'lib64/ld-linux-x86-64.so.2'),
            *((image.host_libraries('/bin/true')[name],
               f'usr/lib/x86_64-linux-gnu/{name}') for name in libraries)):
        shutil.copy(source, b.write(f'root/{name}', ''))
    return image.Root(b.path('root'))


def make_package(b, place):
    """A .deb that has /bin/true at PLACE."""
    b.write('deb/DEBIAN/control', 'Package: p\nVersion: 1\nArchitecture: amd64\n'
            'Maintainer: M <m@example.org>\nDescription: d\n')
    shutil.copy('/bin/true', b.write(f'deb/{place}', ''))
    subprocess.run(['dpkg-deb', '--root-owner-group', '-b', b.path('deb'),
                    b.path('p.deb')], stdout=subprocess.DEVNULL, check=True)
    return b.path('p.deb')


def test_xen_package_lies_where_libxl_looks(b):
    """With the libraries of the release that it was built for."""
    _, image, _ = modules(b)
    root = make_root(b, image, 'libc.so.6')
    b.write('root/usr/share/seabios/vgabios-stdvga.bin', 'ROM')
    package = make_package(b, image.XENS_MODEL)
    archive = image.Archive()
    image.add_package(archive, root, b.scratch, package)
    put = archive.entries
    with open('/bin/true', 'rb') as src:
        assert put['usr/libexec/xen-qemu-system-i386'] == (
            stat.S_IFREG | 0o755, src.read())
    assert put['usr/share/seabios/vgabios-stdvga.bin'][1] == b'ROM'
    assert 'usr/lib/x86_64-linux-gnu/libc.so.6' in put


def test_xen_package_that_cannot_start(b):
    """A library that only this computer has; a package of something else."""
    _, image, _ = modules(b)
    root = make_root(b, image)
    for place, why in ((image.XENS_MODEL, 'has no libc.so.6'),
                       ('usr/bin/else', f'has no /{image.XENS_MODEL}')):
        package = make_package(b, place)
        try:
            image.add_package(image.Archive(), root, b.scratch, package)
        except Failure as failure:
            has(str(failure), why)
        else:
            raise AssertionError(f'{place} is taken')
        shutil.rmtree(b.path('deb'))


def test_xen_plan_of_the_package(b):
    """It is one of Debian 13's; without a package it is left out, which is
    told; no other plan or release has a use for a package."""
    modules(b)
    check = load(b, 'check-xen')
    build = b.path('build')

    def plans(*words):
        with mock.patch.object(sys, 'argv', ['check-xen', '--build', build,
                                             *words]):
            return [[plan.name for plan in kind]
                    for kind in check.make_plans(check.parse_args()[0])]

    three = ['rounds', 'devices', 'displays']
    assert plans() == [three, []]
    assert plans('--suite', 'trixie') == [three, ['package']]
    b.write('build/deb/packages/qemu-system-xen-mapcache_1_amd64.deb', '')
    assert plans('--suite', 'trixie') == [three, ['package']]
    b.write('build/deb/packages/qemu-system-xen_1_amd64.deb', '')
    assert plans('--suite', 'trixie') == [three + ['package'], []]
    for words, why in ((['--plan', 'package'], 'only with --suite trixie'),
                       (['--package', 'x'], 'only the plan "package"')):
        has(b.run('check-xen', '--build', build, *words, fails=True), why)


def test_xen_pvh_dom0_has_an_iommu(b):
    """The emulator that is started here writes down what it is told."""
    emulator, _, _ = modules(b)

    class Root:
        top = b.scratch

        @staticmethod
        def command(_program):
            return ['sh', '-c', 'printf "%s\\n" "$@" > told', 'sh']

    for pvh in (False, True):
        boot = emulator.Boot(Root, b.scratch, 'p', {}, pvh)
        assert boot.poll(60) is emulator.END
        boot.stop()
        told = b.read('told').splitlines()
        xen = told[told.index('-append') + 1].split()
        assert ('dom0=pvh' in xen) == pvh, xen
        assert any('intel-iommu' in word for word in told) == pvh, told


def test_figures(b):
    modules(b)
    import figures
    ours = {'calls': {'DMA into RAM': {'maps': 3, 'pages': 700}},
            'read 64 KiB': {'MB/s': 9.5, 'transfers': 64, 'map calls': 0}}
    stock = {'calls': {'DMA into RAM': {'maps': 1200, 'pages': 300000}}}
    has(figures.markdown({'ours': ours, 'stock': stock}),
        '| DMA into RAM | 1,200 (300,000) | 3 (700) |',
        '| read 64 KiB, 64 times | - | 9.5 MB/s, 0 map calls |')


def test_programs_are_listed(b):
    path = os.path.join(os.path.dirname(b.tools), 'tests', 'xen-e2e',
                        'programs.list')
    with open(path, encoding='utf-8') as src:
        names = [line.split()[0] for line in src
                 if line.strip() and not line.startswith('#')]
    assert 'conformance' in names, names
