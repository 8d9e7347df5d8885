# SPDX-License-Identifier: GPL-2.0-or-later
"""One boot of the real Xen, in an emulated machine, and what it reports."""
import contextlib
import os
import queue
import socket
import subprocess
import threading
import time

DOM0_MIB = 768
MACHINE_MIB = 1536
END = object()
# keys of Xen's console, after three of Ctrl-A: dom0's registers, every
# processor's, the run queue, the domains
XEN_ASKED = b'\x01\x01\x010drq'
_running = set()


def stop_all():
    for boot in list(_running):
        boot.stop()


def ask(folder, name, text, seconds):
    """What is said at the socket FOLDER/NAME in SECONDS after TEXT is sent."""
    fd = os.open(folder, os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            # a socket's whole path may be longer than an address can be
            sock.connect(f'/proc/self/fd/{fd}/{name}')
            sock.sendall(text)
            until, said = time.monotonic() + seconds, b''
            with contextlib.suppress(TimeoutError):
                while (left := until - time.monotonic()) > 0:
                    sock.settimeout(left)
                    data = sock.recv(65536)
                    if not data:
                        break
                    said += data
            return said.decode('utf-8', 'replace')
    finally:
        os.close(fd)


class Boot:
    """The machine runs as soon as the object is made.

    poll() yields what dom0 reports; the console goes to a file, for people.
    With PVH, dom0 is a PVH domain instead of a PV one.
    """

    def __init__(self, root, work, name, parameters, pvh=False):
        self.name = name
        self.work = work
        self.console = os.path.join(work, f'{name}.console')
        self.said = os.path.join(work, f'{name}.emulator')
        self.queue = queue.Queue()
        self.started = time.monotonic()
        xen = ('console=com1 com1=115200,8n1 loglvl=warning '
               f'dom0_mem={DOM0_MIB}M,max:{DOM0_MIB}M dom0_max_vcpus=1 '
               # under emulation, loading the FPU's registers lazily loses
               # them; the rest is work that only costs time here
               'spec-ctrl=no,eager-fpu=yes xpti=0 bootscrub=0 cpuidle=0'
               + (' dom0=pvh' if pvh else ''))
        linux = 'console=hvc0 mitigations=off panic=1 ' + ' '.join(
            f'e2e.{k}={v}' for k, v in parameters.items())
        argv = root.command('usr/bin/qemu-system-x86_64') + [
            '-L', root.top + '/usr/share/seabios',
            '-L', root.top + '/usr/share/qemu',
            '-machine', 'q35', '-accel', 'tcg,tb-size=512',
            '-cpu', 'qemu64,+svm,+npt', '-smp', '1', '-m', str(MACHINE_MIB),
            '-nodefaults', '-no-user-config', '-display', 'none',
            '-no-reboot',
            # names without a comma: they are relative to `work`
            '-monitor', f'unix:{name}.monitor,server=on,wait=off',
            '-chardev', f'socket,id=console,path={name}.socket,server=on,'
            f'wait=off,logfile={name}.console',
            '-serial', 'chardev:console',
            '-chardev', 'stdio,id=report,signal=off',
            '-serial', 'chardev:report',
            '-kernel', 'xen', '-append', xen,
            '-initrd', f'vmlinux {linux},dom0.cpio']
        if pvh:
            # Without an IOMMU, a PVH dom0 cannot read its ACPI tables.  The
            # machine's time goes by its instructions, 2 ns each: libxl waits
            # only 10 s for a device model's answer
            argv += ['-device', 'intel-iommu,intremap=off',
                     '-icount', 'shift=1,sleep=off']
        env = dict(os.environ, QEMU_MODULE_DIR=os.path.join(
            root.top, 'usr/lib/x86_64-linux-gnu/qemu'))
        with open(self.said, 'w', encoding='utf-8') as errors:
            self.child = subprocess.Popen(
                argv, cwd=work, env=env, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=errors,
                preexec_fn=lambda: os.nice(5))
        _running.add(self)
        threading.Thread(target=self._pump, daemon=True).start()

    def _pump(self):
        for line in self.child.stdout:
            self.queue.put(line.decode('utf-8', 'replace').strip())
        self.queue.put(END)

    def seconds(self):
        return time.monotonic() - self.started

    def poll(self, wait):
        """The next line, None if there was none for WAIT seconds, or END."""
        try:
            return self.queue.get(timeout=max(0, wait))
        except queue.Empty:
            return None

    def is_on(self):
        return self.child.poll() is None

    def stop(self):
        if self.is_on():
            self.child.kill()
        self.child.wait()
        _running.discard(self)

    def examine(self, seconds=10, most=200):
        """What a machine that hangs can still tell: Xen of itself and of its
        domains, the emulator of its processor, twice."""
        told = []
        for what, name, text in (
                ('Xen', f'{self.name}.socket', XEN_ASKED),
                ('the emulator', f'{self.name}.monitor',
                 b'info registers\ninfo registers\n')):
            try:
                lines = ask(self.work, name, text, seconds).splitlines()
            except OSError as err:
                lines = [f'(cannot be asked: {err.strerror})']
            # without the monitor's echo and the registers of floating point
            lines = [x.rstrip() for x in lines if x.strip() and
                     not x.startswith(('(qemu)', 'FPR', 'XMM', 'DR'))]
            told += [f'{what} says:', *(lines[:most] or ['(nothing)'])]
        return told

    def panic(self, words):
        """The console's line that has one of WORDS, or ''."""
        if not os.path.exists(self.console):
            return ''
        with open(self.console, encoding='utf-8', errors='replace') as src:
            return next((x.strip() for x in src
                         if any(w in x for w in words)), '')

    def tail(self, lines=25):
        """The end of the console, and what the emulator itself said."""
        told = []
        for path, count in ((self.said, 5), (self.console, lines)):
            if os.path.exists(path):
                with open(path, encoding='utf-8', errors='replace') as src:
                    told += [x.rstrip() for x in src][-count:]
        return told
