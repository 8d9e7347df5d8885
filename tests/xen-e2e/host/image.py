# SPDX-License-Identifier: GPL-2.0-or-later
"""What boots: hypervisor, kernel, and the initramfs that is all of dom0."""
import gzip
import io
import lzma
import os
import re
import shutil
import stat
import struct
import subprocess
import sys

from fetch import unpack
from say import Failure

HERE = os.path.dirname(os.path.abspath(__file__))
E2E = os.path.dirname(HERE)
TOOLS = os.path.join(os.path.dirname(os.path.dirname(E2E)), 'tools')
MODULES = ('xen_privcmd', 'xen_evtchn', 'xen_gntdev', 'xen_gntalloc', 'xenfs')
XEN_PROGRAMS = ('xl', 'xenstored', 'xenconsoled', 'xen-init-dom0',
                'libxl-save-helper')
# what a device model's devices ask for
ROMS = ('vgabios-stdvga.bin', 'vgabios-cirrus.bin', 'vgabios-qxl.bin',
        'vgabios-bochs-display.bin', 'vgabios-virtio.bin',
        'vgabios-vmware.bin', 'linuxboot.bin', 'linuxboot_dma.bin',
        'multiboot.bin', 'multiboot_dma.bin', 'kvmvapic.bin', 'bios-256k.bin')
# where libxl looks for the device model of a guest that names none
XENS_MODEL = 'usr/libexec/xen-qemu-system-i386'
PYTHON_LEFT_OUT = re.compile(
    r'test|idlelib|tkinter|lib2to3|distutils|ensurepip|turtledemo|pydoc_data|'
    r'unittest|asyncio|dbm|curses|wsgiref|xml|email|html|http|sqlite3|venv|'
    r'config-|__pycache__|multiprocessing|concurrent|zoneinfo|tomllib')


class Archive:
    """An initramfs: cpio's "newc" form, every file root's."""

    def __init__(self):
        self.entries = {}

    def _parents(self, path):
        parent = os.path.dirname(path)
        if parent and parent not in self.entries:
            self._parents(parent)
            self.entries[parent] = (stat.S_IFDIR | 0o755, b'')

    def put(self, path, data, mode=0o644):
        path = path.lstrip('/')
        self._parents(path)
        self.entries[path] = (stat.S_IFREG | mode, data)

    def put_file(self, path, source):
        with open(source, 'rb') as src:
            data = src.read()
        self.put(path, data, 0o755 if os.access(source, os.X_OK) else 0o644)

    def put_dir(self, path):
        self._parents(path.lstrip('/') + '/.')

    def put_link(self, path, target):
        path = path.lstrip('/')
        self._parents(path)
        self.entries[path] = (stat.S_IFLNK | 0o777, target.encode())

    def put_device(self, path, kind, major, minor):
        path = path.lstrip('/')
        self._parents(path)
        self.entries[path] = (kind | 0o600, b'', major, minor)

    def write(self, out):
        for inode, path in enumerate(sorted(self.entries), 1):
            self._entry(out, inode, path, *self.entries[path])
        self._entry(out, 0, 'TRAILER!!!', 0, b'')

    @staticmethod
    def _entry(out, inode, path, mode, data, major=0, minor=0):
        name = path.encode() + b'\0'
        fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor,
                  len(name), 0)
        head = b'070701' + b''.join(b'%08x' % f for f in fields) + name
        out.write(head + bytes(-len(head) % 4))
        out.write(data + bytes(-len(data) % 4))


class Root:
    """The unpacked packages, as seen from within."""

    def __init__(self, top):
        self.top = top
        self.xen = self._only(r'xen-\d+\.\d+')
        self.python = self._only(r'python3\.\d+')
        self.loader = self.path('lib64/ld-linux-x86-64.so.2')
        self.libs = ':'.join(os.path.join(top, d) for d in (
            'lib/x86_64-linux-gnu', 'usr/lib/x86_64-linux-gnu',
            self.xen + '/lib/x86_64-linux-gnu'))

    def _only(self, pattern):
        """The folder of a release's Xen, or of its Python, in the root."""
        found = [n for n in os.listdir(os.path.join(self.top, 'usr/lib'))
                 if re.fullmatch(pattern, n)]
        if len(found) != 1:
            raise Failure(f'{self.top}/usr/lib: {len(found)} folders are '
                          f'called {pattern}: remove {self.top} and run again')
        return f'usr/lib/{found[0]}'

    def path(self, name):
        """The file itself, links followed inside the root."""
        for _ in range(20):
            full = os.path.join(self.top, name.lstrip('/'))
            if not os.path.islink(full):
                if not os.path.exists(full):
                    raise Failure(f'{full} is not there: remove {self.top} '
                                  'and run again')
                return full
            target = os.readlink(full)
            name = target if target.startswith('/') else os.path.join(
                os.path.dirname(name), target)
        raise Failure(f'{name}: too many links in {self.top}')

    def command(self, program):
        """argv to run one of the root's programs here."""
        return [self.loader, '--library-path', self.libs, self.path(program)]

    def libraries(self, program):
        """{name: path in the root} of what a program of it links to."""
        return self.libraries_of(self.path(program))

    def libraries_of(self, path):
        """The same, for a program elsewhere that was built for this root."""
        done = subprocess.run(
            [self.loader, '--library-path', self.libs, '--list', path],
            stdout=subprocess.PIPE, text=True, check=True)
        found = {}
        for name, place in re.findall(r'(\S+) => (\S+)', done.stdout):
            # one that the root lacks is looked for on this computer
            if not place.startswith(self.top + '/'):
                raise Failure(f'{path}: {self.top} has no {name}')
            found[os.path.basename(place)] = os.path.relpath(place, self.top)
        return found


def host_libraries(program):
    """{name: path} of what a program built here links to."""
    done = subprocess.run(['ldd', program], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    missing = re.findall(r'(\S+) => not found', done.stdout)
    if done.returncode or missing:
        raise Failure(f'{program}: cannot find '
                      f'{" ".join(missing) or done.stdout.strip()[:200]}')
    return dict(re.findall(r'(\S+) => (/\S+)', done.stdout))


def write_hypervisor(root, path):
    packed = root.path(f'boot/{os.path.basename(root.xen)}-amd64.gz')
    with gzip.open(packed) as src, open(path, 'wb') as out:
        shutil.copyfileobj(src, out)


def write_kernel(root, path):
    """vmlinux, cut out of vmlinuz: unpacking it here takes a second, in the
    emulator many.  Returns the kernel's version."""
    names = sorted(n for n in os.listdir(os.path.join(root.top, 'boot'))
                   if n.startswith('vmlinuz-'))
    with open(os.path.join(root.top, 'boot', names[-1]), 'rb') as src:
        image = src.read()
    sectors = image[0x1f1] or 4
    offset, length = struct.unpack_from('<II', image, 0x248)
    start = (sectors + 1) * 512 + offset
    payload = image[start:start + length]
    if payload[:6] == b'\xfd7zXZ\0':
        payload = lzma.LZMADecompressor().decompress(payload)
    elif payload[:2] == b'\x1f\x8b':
        payload = gzip.decompress(payload[:-4])
    elif payload[:4] == b'\x28\xb5\x2f\xfd':
        # four bytes behind it are the kernel's, and not zstd's
        payload = subprocess.run(
            root.command('usr/bin/zstd') + ['-d', '-c', '-q'], check=True,
            input=payload[:-4], stdout=subprocess.PIPE).stdout
    # anything else Xen unpacks itself, or says what it cannot
    with open(path, 'wb') as out:
        out.write(payload)
    return names[-1][len('vmlinuz-'):]


def compile_python(root, work):
    """The modules of the root's Python as this very version's byte code: in
    the emulator each import of a source file would take a second."""
    out = os.path.join(work, 'python')
    if os.path.exists(os.path.join(out, '.done')):
        return out
    shutil.rmtree(out, ignore_errors=True)
    lib = os.path.join(root.top, root.python)
    for top, dirs, files in os.walk(lib):
        rel = os.path.relpath(top, lib)
        dirs[:] = [d for d in dirs if not PYTHON_LEFT_OUT.search(d)]
        os.makedirs(os.path.join(out, rel), exist_ok=True)
        for name in files:
            if name.endswith(('.py', '.so')):
                # some are links to /etc, which is the root's
                shutil.copy(root.path(os.path.join(root.python, rel, name)),
                            os.path.join(out, rel, name))
    env = dict(os.environ, PYTHONHOME=os.path.join(root.top, 'usr'))
    program = root.python.replace('/lib/', '/bin/')
    subprocess.run(root.command(program) + [
        '-m', 'compileall', '-q', '-b', '--invalidation-mode',
        'unchecked-hash', out], env=env, check=True,
        stdout=subprocess.DEVNULL)
    for top, _, files in os.walk(out):
        for name in files:
            if name.endswith('.py') and name + 'c' in files:
                os.unlink(os.path.join(top, name))
    with open(os.path.join(out, '.done'), 'w', encoding='utf-8'):
        pass
    return out


def add_program(archive, root, program):
    """A program of the root and its libraries, at their places."""
    archive.put_file(program, root.path(program))
    for name, path in root.libraries(program).items():
        archive.put_file(f'usr/lib/x86_64-linux-gnu/{name}', root.path(path))
    archive.put_file('lib64/ld-linux-x86-64.so.2', root.loader)


def add_xen(archive, root, work, version):
    """dom0 without anything of ours."""
    for path in ('proc', 'sys', 'dev', 'tmp', 'run', 'root', 'bin', 'etc/xen',
                 'var/log/xen'):
        archive.put_dir(path)
    archive.put_link('lib', 'usr/lib')
    archive.put_link('var/run', '/run')
    archive.put_link('var/lock', '/run/lock')
    archive.put_device('dev/console', stat.S_IFCHR, 5, 1)
    archive.put_file('bin/busybox', root.path('bin/busybox'))
    for name in XEN_PROGRAMS:
        add_program(archive, root, f'{root.xen}/bin/{name}')
    for name in ('xenstore-ls', 'xenstore-read'):
        add_program(archive, root, f'usr/bin/{name}')
    python = root.python.replace('/lib/', '/bin/')
    add_program(archive, root, python)
    add_program(archive, root, 'bin/bash')
    # which the C library opens by itself, to end a thread
    archive.put_file('usr/lib/x86_64-linux-gnu/libgcc_s.so.1',
                     root.path('lib/x86_64-linux-gnu/libgcc_s.so.1'))
    archive.put_link('bin/python3', f'/{python}')
    modules = compile_python(root, work)
    for top, _, files in os.walk(modules):
        rel = os.path.relpath(top, modules)
        for name in files:
            archive.put_file(os.path.normpath(
                os.path.join(root.python, rel, name)),
                os.path.join(top, name))
            if name.endswith('.so'):
                rel_so = os.path.join(root.python, rel, name)
                for lib, path in root.libraries(rel_so).items():
                    archive.put_file(f'usr/lib/x86_64-linux-gnu/{lib}',
                                     root.path(path))
    archive.put_file(f'{root.xen}/boot/hvmloader',
                     root.path(f'{root.xen}/boot/hvmloader'))
    archive.put_file('usr/share/seabios/bios-256k.bin',
                     root.path('usr/share/seabios/bios-256k.bin'))
    archive.put_file('usr/share/seabios/bios.bin',
                     root.path('usr/share/seabios/bios.bin'))
    add_modules(archive, module_files(root, version), MODULES)
    archive.put('etc/group', b'root:x:0:\nguests:x:60000:\n')
    # the device models of domain N run as user 60000 + N, if restricted
    archive.put('etc/passwd',
                b'root:x:0:0:root:/root:/bin/sh\n'
                b'xen-qemuuser-range-base:x:60000:60000::/:/bin/false\n')
    archive.put('etc/xen/xl.conf', b'autoballoon="off"\n')


def add_device_models(archive, root, work, binaries):
    """{name: binary built here}, with the libraries and ROMs they start
    with, beside dom0's own and apart from them."""
    for name, binary in binaries.items():
        if not os.path.exists(binary):
            raise Failure(f'{binary} is not there: run make build')
        stripped = os.path.join(work, f'qemu-{name}')
        subprocess.run(['strip', '-o', stripped, binary], check=True)
        archive.put_file(f'dm/{name}/qemu', stripped)
        os.unlink(stripped)
        for lib, path in host_libraries(binary).items():
            archive.put_file(f'dm/lib/{lib}', path)
        for script in (os.path.join(E2E, 'dom0', 'qemu-system-i386'),
                       os.path.join(TOOLS, 'xl-device-model')):
            archive.put_file(f'dm/{name}/{os.path.basename(script)}', script)
    loader = '/lib64/ld-linux-x86-64.so.2'
    archive.put_file('dm/lib/ld.so', loader)
    for name in ROMS:
        for folder in ('/usr/share/seabios', '/usr/share/qemu'):
            if os.path.exists(os.path.join(folder, name)):
                archive.put_file(f'dm/roms/{name}',
                                 os.path.join(folder, name))
    keymaps = os.path.join(root.top, 'usr/share/qemu/keymaps')
    for name in ('en-us', 'common', 'modifiers'):
        if os.path.exists(os.path.join(keymaps, name)):
            archive.put_file(f'dm/roms/keymaps/{name}',
                             os.path.join(keymaps, name))


def add_package(archive, root, work, package):
    """The device model of a Debian package, at the place where libxl looks for
    one, with the root's libraries and ROMs."""
    top = os.path.join(work, 'package')
    shutil.rmtree(top, ignore_errors=True)
    os.makedirs(top)
    unpack(package, top)
    program = os.path.join(top, XENS_MODEL)
    if not os.path.exists(program):
        raise Failure(f'{package} has no /{XENS_MODEL}')
    archive.put_file(XENS_MODEL, program)
    for name, path in root.libraries_of(program).items():
        archive.put_file(f'usr/lib/x86_64-linux-gnu/{name}', root.path(path))
    wanted = [f'seabios/{name}' for name in ROMS] + [
        f'qemu/{name}' for name in (*ROMS, 'keymaps/en-us', 'keymaps/common',
                                    'keymaps/modifiers')]
    for name in wanted:
        if os.path.exists(os.path.join(root.top, 'usr/share', name)):
            archive.put_file(f'usr/share/{name}',
                             root.path(f'usr/share/{name}'))
    shutil.rmtree(top)


def _compile(argv, what):
    done = subprocess.run(argv, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        raise Failure(f'{what} cannot be compiled (above)')


def add_tests(archive, work):
    """Our own files: the tests, the guest, the counter."""
    dom0 = os.path.join(E2E, 'dom0')
    archive.put_file('init', os.path.join(dom0, 'init'))
    for name in sorted(os.listdir(dom0)):
        if name.endswith('.py'):
            archive.put_file(f'tests/{name}', os.path.join(dom0, name))
    counter = os.path.join(work, 'ioctl-count.so')
    _compile(['gcc', '-O2', '-Wall', '-Werror', '-shared', '-fPIC', '-o',
              counter, os.path.join(dom0, 'ioctl-count.c')],
             'the counter of calls')
    archive.put_file('dm/ioctl-count.so', counter)
    archive.put_file('tests/guest.img', build_guest(work))


def module_files(root, version):
    """{module: path in the root} of every module of the kernel."""
    top = os.path.join(root.top, 'lib/modules', version)
    found = {}
    for folder, _, files in os.walk(top):
        for name in files:
            stem, dot, _ = name.partition('.ko')
            if dot:
                found[stem.replace('-', '_')] = os.path.join(folder, name)
    return found


def read_module(path):
    """A module as the kernel takes it: Debian 13 packs the file."""
    with open(path, 'rb') as src:
        data = src.read()
    return lzma.decompress(data) if path.endswith('.xz') else data


def with_needed(files, names):
    """Modules and what they need, each after what it needs itself."""
    order = []

    def add(name):
        if name in order:
            return
        needs = re.search(rb'\0depends=([^\0]*)\0', read_module(files[name]))
        for need in filter(None, needs.group(1).decode().split(',')):
            add(need.replace('-', '_'))
        order.append(name)

    for name in names:
        add(name)
    return order


def add_modules(archive, files, names):
    """Modules with what they need, and modules/list, in the order in which
    they are to be loaded."""
    order = with_needed(files, names)
    for name in order:
        archive.put(f'modules/{name}.ko', read_module(files[name]))
    archive.put('modules/list', ('\n'.join(order) + '\n').encode())


def add_linux_guest(archive, root, work, version):
    """A kernel and an initramfs for a guest: Debian's kernel, our program."""
    program = os.path.join(work, 'linux-init')
    _compile(['gcc', '-O2', '-Wall', '-Wextra', '-Werror',
              '-Wno-unused-parameter', '-static', '-o', program,
              os.path.join(E2E, 'linux', 'init.c')],
             "the Linux guest's program")
    guest = Archive()
    for path in ('proc', 'sys', 'dev'):
        guest.put_dir(path)
    guest.put_device('dev/console', stat.S_IFCHR, 5, 1)
    guest.put_file('init', program)
    add_modules(guest, module_files(root, version), ('ata_piix', 'sd_mod'))
    data = io.BytesIO()
    guest.write(data)
    archive.put('linux/initramfs', data.getvalue())
    archive.put_file('linux/vmlinuz', os.path.join(
        root.top, 'boot', f'vmlinuz-{version}'))


def build_guest(work):
    """The test guest's disk image: a boot sector and what it loads."""
    folder = os.path.join(E2E, 'guest')
    elf, image = (os.path.join(work, n) for n in ('guest.elf', 'guest.img'))
    sources = sorted(os.path.join(folder, n) for n in os.listdir(folder)
                     if n.endswith(('.c', '.S')))
    _compile(['gcc', '-m32', '-march=i686', '-O2', '-ffreestanding',
              '-fno-pic', '-fno-pie', '-fno-stack-protector',
              '-fno-asynchronous-unwind-tables', '-mgeneral-regs-only',
              '-nostdlib', '-static', '-no-pie', '-Wall', '-Wextra',
              '-Wno-unused-parameter', '-Werror', '-DIMAGE_SECTORS=64',
              f'-Wl,-T,{folder}/guest.ld', '-Wl,--build-id=none', '-o', elf,
              *sources], 'the test guest')
    subprocess.run(['objcopy', '-O', 'binary', elf, image], check=True)
    return image


def add_programs(archive, listing, build):
    """Programs to run in dom0 beside our own tests: "NAME PATH [ARG...]" a
    line, PATH below the build directory.  A program is told "--domain N"
    and prints TAP."""
    with open(listing, encoding='utf-8') as src:
        lines = [line.split('#')[0].split() for line in src]
    told = []
    for name, path, *args in (line for line in lines if line):
        program = os.path.join(build, path)
        if not os.path.exists(program):
            raise Failure(f'{listing}: {program} is not there: '
                          'run make build')
        archive.put_file(f'programs/{name}', program)
        for lib, place in host_libraries(program).items():
            archive.put_file(f'dm/lib/{lib}', place)
        told.append(' '.join([name, *args]))
    archive.put('programs/list', ('\n'.join(told) + '\n').encode())
