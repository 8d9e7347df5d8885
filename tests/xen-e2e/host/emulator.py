# SPDX-License-Identifier: GPL-2.0-or-later
"""One boot of the real Xen, in an emulated machine, and what it reports."""
import os
import queue
import subprocess
import threading
import time

DOM0_MIB = 768
MACHINE_MIB = 1536
END = object()
_running = set()


def stop_all():
    for boot in list(_running):
        boot.stop()


class Boot:
    """The machine runs as soon as the object is made.

    lines() yields what dom0 reports; the console goes to a file, for people.
    """

    def __init__(self, root, work, name, parameters):
        self.name = name
        self.console = os.path.join(work, f'{name}.console')
        self.said = os.path.join(work, f'{name}.emulator')
        self.queue = queue.Queue()
        self.started = time.monotonic()
        xen = ('console=com1 com1=115200,8n1 loglvl=warning '
               f'dom0_mem={DOM0_MIB}M,max:{DOM0_MIB}M dom0_max_vcpus=1 '
               # under emulation, loading the FPU's registers lazily loses
               # them; the rest is work that only costs time here
               'spec-ctrl=no,eager-fpu=yes xpti=0 bootscrub=0 cpuidle=0')
        linux = 'console=hvc0 mitigations=off panic=1 ' + ' '.join(
            f'e2e.{k}={v}' for k, v in parameters.items())
        argv = root.command('usr/bin/qemu-system-x86_64') + [
            '-L', root.top + '/usr/share/seabios',
            '-L', root.top + '/usr/share/qemu',
            '-machine', 'q35', '-accel', 'tcg,tb-size=512',
            '-cpu', 'qemu64,+svm,+npt', '-smp', '1', '-m', str(MACHINE_MIB),
            '-nodefaults', '-no-user-config', '-display', 'none',
            '-no-reboot', '-monitor', 'none',
            '-serial', f'file:{self.console}',
            '-chardev', 'stdio,id=report,signal=off',
            '-serial', 'chardev:report',
            # names without a comma: they are relative to `work`
            '-kernel', 'xen', '-append', xen,
            '-initrd', f'vmlinux {linux},dom0.cpio']
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

    def stop(self):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        _running.discard(self)

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
