# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's own mapcache in the micro-benchmark's harness.

It is compiled as the series' benchmark is, by the same commands, but from
QEMU's own file, with QEMU's own header and trace points.
"""
import json
import os
import shlex
import subprocess

from say import Failure

BENCH = 'tests/bench/xen-mapcache-bench'
OWN = 'hw/xen/xen-mapcache.c'           # QEMU's own mapcache


def run(cmd, cwd, what, env):
    """Run a command; its output, or a Failure with the end of it."""
    res = subprocess.run(cmd, cwd=cwd, env=env, text=True, check=False,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if res.returncode:
        raise Failure(f'{what} failed:\n' + (res.stdout + res.stderr)[-2000:])
    return res.stdout


class Stock:
    def __init__(self, build, env):
        self.tree = os.path.join(build, 'src', 'qemu')
        self.kept = os.path.join(build, 'src', 'pristine')
        self.obj = os.path.join(build, 'obj')
        self.out = os.path.join(build, 'bench')
        self.env = env

    def trace_header(self):
        folder = os.path.join(self.out, 'trace')
        os.makedirs(folder, exist_ok=True)
        run(['python3', os.path.join(self.tree, 'scripts', 'tracetool.py'),
             '--backend=nop', '--group=hw_xen', '--format=h',
             os.path.join(self.kept, 'hw', 'xen', 'trace-events'),
             os.path.join(folder, 'trace-hw_xen.h')],
            self.obj, 'writing the trace header of QEMU\'s mapcache', self.env)

    def compile(self, like, source, target):
        """Compile `source` with the command that compiled `like`."""
        cmd, skip = [], False
        for word in shlex.split(like['command']):
            if skip:
                skip = False
            elif word in ('-o', '-MF', '-MQ', '-c'):
                skip = True
            elif word != '-MD':
                cmd.append(word)
        at = next(i for i, word in enumerate(cmd) if word.startswith('-I'))
        cmd[at:at] = ['-iquote', self.out,
                      '-iquote', os.path.join(self.kept, 'include')]
        run(cmd + ['-o', target, '-c', source], self.obj,
            f'compiling {source}', self.env)

    def objects(self, commands):
        made = []
        for command in commands:
            name = os.path.basename(command['file'])
            if name.startswith('xen-mapcache-') and 'hw/xen' in command['file']:
                continue        # the parts of ours; QEMU's is one file
            source = os.path.join(self.tree, 'tests', 'bench',
                                  'xen-mapcache-bench-stock.c') \
                if name == 'xen-mapcache-bench-series.c' else command['file']
            if command['file'].endswith(OWN):
                source = os.path.join(self.kept, OWN)
            target = os.path.join(self.out, os.path.basename(source) + '.o')
            self.compile(command, source, target)
            made.append(target)
        return made

    def build(self):
        """Returns the program."""
        os.makedirs(self.out, exist_ok=True)
        self.trace_header()
        with open(os.path.join(self.obj, 'compile_commands.json'),
                  encoding='utf-8') as src:
            commands = [c for c in json.load(src)
                        if c['output'].startswith(BENCH + '.p/')]
        link = shlex.split(run(['ninja', '-t', 'commands', BENCH], self.obj,
                               'asking ninja', self.env).splitlines()[-1])
        theirs = {c['output'] for c in commands}
        binary = os.path.join(self.out, 'xen-mapcache-bench-stock')
        words = [w for w in link if w not in theirs]
        at = words.index('-o') + 1
        words[at:at + 1] = [binary] + self.objects(commands)
        words = [w.replace('$ORIGIN/../xensim',
                           os.path.join(self.obj, 'tests', 'xensim'))
                 for w in words]
        run(words, self.obj, 'linking the benchmark of stock', self.env)
        return binary
