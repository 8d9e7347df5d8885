# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest from the outside: xl, the device model's process, xenstore."""
import os
import re
import shutil
import struct
import subprocess
import tempfile
import time

import watch
from guest import Guest
from qmp import Qmp
from report import Failed

MIB = 1 << 20
VIDEO_MIB = {'stdvga': 16, 'cirrus': 8, 'qxl': 128}
DISK_BYTES = 48 * MIB
DATA_LBA = 2048             # the disk's first MiB is the guest's own
PRIVCMD_CALLS = {'hypercalls': 0, 'dm_ops': 5, 'resources': 7}
MAP_CALLS = (2, 3, 4)
RESOURCE = 7


def run(*argv, timeout=180, what=None):
    """A command's output; a failure tells its last lines.  One that takes too
    long is killed and not waited for: in a call to Xen it may stay."""
    what = what or ' '.join(argv)
    with tempfile.TemporaryFile('w+', errors='replace') as out:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=subprocess.STDOUT)
        try:
            status = child.wait(timeout)
        except subprocess.TimeoutExpired as err:
            out.seek(0)
            stays = '\n'.join([out.read()[-600:], *watch.processes()])
            child.kill()
            raise Failed(f'{what} took longer than {timeout} s:\n'
                         f'{stays}') from err
        out.seek(0)
        said = out.read()
    if status:
        raise Failed(f'{what}: exit status {status}:\n{said[-1200:]}')
    return said


def xenstore():
    """Every path and value."""
    return run('xenstore-ls', '-f')


def domains():
    """Names of all guests."""
    lines = run('xl', 'list').splitlines()[1:]
    return [line.split()[0] for line in lines if line.split()[1] != '0']


class Domain:
    boot_seconds = 120

    def __init__(self, name, model='ours', vga='stdvga', memory=24,
                 video=None, settings=()):
        self.name = name
        self.model = model          # None: the one that libxl takes itself
        self.vga = vga
        self.memory = memory        # MiB, with the VIDEO MiB of displays
        self.video = video or VIDEO_MIB[vga]
        self.settings = list(settings)
        self.disk = f'/tmp/{name}.img'
        self.guest = Guest()
        self.domid = None
        self.seconds = {}       # of the last xl command of each kind
        self.figures = {}       # for who runs the cases to fill

    # -- life

    def _config(self):
        path = f'/tmp/{self.name}.cfg'
        lines = [
            'type = "hvm"', f'name = "{self.name}"',
            f'memory = {self.memory}', f'maxmem = {self.memory}',
            'vcpus = 1', f'vga = "{self.vga}"',
            f'videoram = {self.video}', 'vnc = 0', 'sdl = 0',
            'serial = "pty"',
            f'disk = [ "format=raw,backendtype=qdisk,vdev=hda,access=rw,'
            f'target={self.disk}" ]', 'boot = "c"', 'usb = 0',
            'device_model_version = "qemu-xen"',
            'on_poweroff = "destroy"', 'on_reboot = "destroy"',
            'on_crash = "preserve"', *self.settings,
        ]
        if self.model:
            lines.append('device_model_override = '
                         f'"/dm/{self.model}/xl-device-model"')
        with open(path, 'w', encoding='utf-8') as out:
            out.write('\n'.join(lines) + '\n')
        return path

    def _xl(self, what, *args, timeout=180):
        started = time.monotonic()
        try:
            return run('xl', *args, timeout=timeout, what=f'xl {what}')
        finally:
            self.seconds[what] = round(time.monotonic() - started, 1)

    def create(self):
        shutil.copyfile('/tests/guest.img', self.disk)
        os.truncate(self.disk, DISK_BYTES)
        self._xl('create', 'create', '-e', self._config())
        self.found()
        self.guest.meet(self.boot_seconds)

    def found(self):
        """It is there, or there again: learn its number, take its line."""
        self.domid = int(run('xl', 'domid', self.name))
        with self.qmp() as qmp:
            lines = {c['label']: c['filename']
                     for c in qmp.call('query-chardev')}
        self.guest.connect(lines['serial0'].removeprefix('pty:'))

    def destroy(self):
        self.guest.close()
        if self.domid is not None:
            self._xl('destroy', 'destroy', self.name)
            self.domid = None
        for path in (self.disk, f'/tmp/{self.name}.save'):
            if os.path.exists(path):
                os.unlink(path)

    def checkpoint(self):
        path = f'/tmp/{self.name}.save'
        self._xl('save -c', 'save', '-c', self.name, path)
        os.unlink(path)
        self.guest.meet()

    def save(self):
        self.guest.close()
        self._xl('save', 'save', self.name, f'/tmp/{self.name}.save')

    def restore(self):
        path = f'/tmp/{self.name}.save'
        self._xl('restore', 'restore', '-e', path)
        os.unlink(path)
        self.found()
        self.guest.meet()

    def migrate(self):
        self.guest.close()
        # to this very host: the receiving end is started by a shell
        self._xl('migrate', 'migrate', '-e', '-s', '', self.name,
                 'xl migrate-receive -e')
        self.found()
        self.guest.meet()

    # -- the device model

    def pid(self):
        text = run('xenstore-read', f'/local/domain/{self.domid}/image/'
                                    'device-model-pid')
        return int(text)

    def process(self):
        """{rss in KiB, areas with a mapping of the guest, what these have in
        KiB} of the device model now."""
        pid = self.pid()
        with open(f'/proc/{pid}/status', encoding='utf-8') as src:
            rss = int(re.search(r'VmRSS:\s+(\d+)', src.read()).group(1))
        with open(f'/proc/{pid}/maps', encoding='utf-8') as src:
            areas = [[int(end, 16) for end in line.split()[0].split('-')]
                     for line in src if 'privcmd' in line]
        return {'rss_kib': rss, 'areas': len(areas),
                'mapped_kib': sum(end - start for start, end in areas) >> 10}

    def calls(self):
        """The device model's calls to Xen since its start, by kind."""
        with open(f'/run/dm/{self.pid()}.count', 'rb') as src:
            counts = struct.unpack('19Q', src.read())
        told = {name: counts[n] for name, n in PRIVCMD_CALLS.items()}
        told['maps'] = sum(counts[n] for n in MAP_CALLS)
        told['pages'], told['relocations'], told['pins'] = counts[16:]
        return told

    def qmp(self):
        return Qmp(self.domid)

    def log(self, lines=12):
        """The end of what the device model said."""
        path = f'/var/log/xen/qemu-dm-{self.name}.log'
        if not os.path.exists(path):
            return []
        with open(path, encoding='utf-8', errors='replace') as src:
            return [f'device model: {x.rstrip()}' for x in src][-lines:]
