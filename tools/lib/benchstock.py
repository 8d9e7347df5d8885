# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's own mapcache in the micro-benchmark's harness.

It is compiled as the series' benchmark is, by the same commands, but from
QEMU's own file, with QEMU's own header and trace points.
"""
import json
import os
import shlex
import shutil
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
    NAME = 'stock'
    # what is compiled with the headers of that mapcache; the harness has ours
    OWN_HEADERS = ('-bench-series.c', OWN)

    def __init__(self, build, env):
        self.tree = os.path.join(build, 'src', 'qemu')
        self.kept = os.path.join(build, 'src', 'pristine')
        self.obj = os.path.join(build, 'obj')
        self.out = os.path.join(build, 'bench')
        self.env = env

    def backends(self):
        """The trace backends that QEMU is built with: the same for all."""
        options = json.loads(run(
            ['meson', 'introspect', '--buildoptions', self.obj], self.obj,
            'asking meson', self.env))
        return next(o['value'] for o in options
                    if o['name'] == 'trace_backends')

    def trace_files(self):
        """The header and the source of QEMU's own trace points."""
        folder = os.path.join(self.out, 'trace')
        os.makedirs(folder, exist_ok=True)
        events = os.path.join(self.out, 'trace-events')
        self.trace_events(events)
        for kind in ('h', 'c'):
            run(['python3', os.path.join(self.tree, 'scripts',
                                         'tracetool.py'),
                 f'--backend={",".join(self.backends())}', '--group=hw_xen',
                 f'--format={kind}', events,
                 os.path.join(folder, f'trace-hw_xen.{kind}')],
                self.obj, 'writing the trace points of another mapcache',
                self.env)

    def trace_events(self, path):
        shutil.copyfile(os.path.join(self.kept, 'hw', 'xen', 'trace-events'),
                        path)

    def includes(self):
        return ['-iquote', self.out,
                '-iquote', os.path.join(self.out, 'include')]

    def header(self):
        """QEMU's own header of the mapcache, and no other of QEMU's."""
        name = os.path.join('include', 'system', 'xen-mapcache.h')
        target = os.path.join(self.out, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(os.path.join(self.kept, name), target)

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
        if like['file'].endswith(self.OWN_HEADERS):
            cmd[at:at] = self.includes()
        run(cmd + ['-o', target, '-c', source], self.obj,
            f'compiling {source}', self.env)

    def objects(self, commands):
        made = []
        for command in commands:
            name = os.path.basename(command['file'])
            if name.startswith('xen-mapcache-') and 'hw/xen' in command['file']:
                continue        # the parts of ours; QEMU's is one file
            source = os.path.join(self.tree, 'tests', 'bench', 'xen',
                                  'xen-mapcache-bench-stock.c') \
                if name == 'xen-mapcache-bench-series.c' else command['file']
            if command['file'].endswith(OWN):
                source = os.path.join(self.kept, OWN)
            target = os.path.join(self.out, os.path.basename(source) + '.o')
            self.compile(command, source, target)
            made.append(target)
        return made + [self.trace_object(next(
            c for c in commands if c['file'].endswith(OWN)))]

    def trace_object(self, like):
        target = os.path.join(self.out, 'trace-hw_xen.o')
        self.compile(like, os.path.join(self.out, 'trace', 'trace-hw_xen.c'),
                     target)
        return target

    def build(self):
        """Returns the program."""
        os.makedirs(self.out, exist_ok=True)
        self.header()
        self.trace_files()
        with open(os.path.join(self.obj, 'compile_commands.json'),
                  encoding='utf-8') as src:
            commands = [c for c in json.load(src)
                        if c['output'].startswith(BENCH + '.p/')]
        link = shlex.split(run(['ninja', '-t', 'commands', BENCH], self.obj,
                               'asking ninja', self.env).splitlines()[-1])
        theirs = {c['output'] for c in commands}
        binary = os.path.join(self.out, 'xen-mapcache-bench-' + self.NAME)
        words = [w for w in link if w not in theirs]
        at = words.index('-o') + 1
        words[at:at + 1] = [binary] + self.objects(commands)
        words = [w.replace('$ORIGIN/../xensim',
                           os.path.join(self.obj, 'tests', 'xensim'))
                 for w in words]
        run(words, self.obj, 'linking the benchmark of stock', self.env)
        return binary


class Last(Stock):
    """The mapcache of the series' last release, from the repository's past.

    A tree without one (a tarball, a shallow clone) has no last release to
    compare with: known() is false."""
    NAME = 'last'
    COMMIT = 'f22b355'
    PATHS = ('hw/xen', 'include/sysemu/xen-mapcache.h')
    # no part of the mapcache itself
    LEFT_OUT = ('xen-mapcache-monitor.c',)

    def __init__(self, build, env, repo):
        super().__init__(build, env)
        self.repo = repo
        self.out = os.path.join(build, 'bench-last')
        self.past = os.path.join(self.out, 'src')

    def known(self):
        return subprocess.run(['git', '-C', self.repo, 'cat-file', '-e',
                               self.COMMIT + '^{commit}'], check=False,
                              stderr=subprocess.DEVNULL).returncode == 0

    def fetch(self):
        shutil.rmtree(self.past, ignore_errors=True)
        os.makedirs(self.past)
        pack = subprocess.run(['git', '-C', self.repo, 'archive', self.COMMIT,
                               '--', *self.PATHS], check=True,
                              stdout=subprocess.PIPE)
        subprocess.run(['tar', 'x', '-C', self.past], input=pack.stdout,
                       check=True)
        os.rename(os.path.join(self.past, 'include', 'sysemu'),
                  os.path.join(self.past, 'include', 'system'))

    def header(self):
        """It is where fetch() has put it."""

    def trace_events(self, path):
        """QEMU's and those that the release's patch adds."""
        super().trace_events(path)
        patch = os.path.join(self.past, 'hw', 'xen', 'trace-events.patch')
        with open(path, encoding='utf-8') as src:
            text = src.read()
        with open(patch, encoding='utf-8') as src:
            lines = src.read().splitlines()
        gone = {line[1:] for line in lines
                if line.startswith('-') and not line.startswith('---')}
        added = [line[1:] for line in lines
                 if line.startswith('+') and not line.startswith('+++')]
        with open(path, 'w', encoding='utf-8') as out:
            out.write('\n'.join([line for line in text.splitlines()
                                 if line not in gone] + added) + '\n')

    def includes(self):
        return ['-DBENCH_LAST_RELEASE', '-iquote', self.out,
                '-iquote', os.path.join(self.past, 'include'),
                '-iquote', os.path.join(self.past, 'hw', 'xen')]

    def objects(self, commands):
        own = [c for c in commands if '/hw/xen/' in c['file']]
        like = next(c for c in own if c['file'].endswith(OWN))
        folder = os.path.join(self.past, 'hw', 'xen')
        made = [self.trace_object(like)]
        pairs = [(c, c['file']) for c in commands if c not in own]
        pairs += [(like, os.path.join(folder, name))
                  for name in sorted(os.listdir(folder))
                  if name.startswith('xen-mapcache') and name.endswith('.c')
                  and name not in self.LEFT_OUT]
        for command, source in pairs:
            target = os.path.join(self.out, os.path.basename(source) + '.o')
            self.compile(command, source, target)
            made.append(target)
        return made

    def build(self):
        os.makedirs(self.out, exist_ok=True)
        self.fetch()
        return super().build()


class Bare(Stock):
    """The series' mapcache without what looks inside a hit: its trace points
    are disabled, and it does not count hits.  Only for hits: an invalidate
    needs the counts of DMA mappings."""
    NAME = 'bare'
    COUNTS = {
        'qatomic_store_release(counter, *counter + 1);': '(void)counter;',
        '''    uint64_t hits = mcache_this_thread.n.hits + 1;

    qatomic_set(&mcache_this_thread.n.hits, hits);
    return (int64_t)hits >= 0;
''': '    return true;\n',
    }

    def __init__(self, build, env):
        super().__init__(build, env)
        self.out = os.path.join(build, 'bench-bare')
        self.own = os.path.join(self.out, 'hw-xen')

    def trace_events(self, path):
        with open(os.path.join(self.tree, 'hw', 'xen', 'trace-events'),
                  encoding='utf-8') as src:
            lines = src.read().splitlines()
        with open(path, 'w', encoding='utf-8') as out:
            out.writelines(f'disable {line}\n' for line in lines
                           if line and not line.startswith('#'))

    def header(self):
        """The sources, beside the header that has the counter."""
        folder = os.path.join(self.tree, 'hw', 'xen')
        shutil.rmtree(self.own, ignore_errors=True)
        os.makedirs(self.own)
        for name in os.listdir(folder):
            if name.startswith('xen-mapcache'):
                shutil.copyfile(os.path.join(folder, name),
                                os.path.join(self.own, name))
        path = os.path.join(self.own, 'xen-mapcache-stats.h')
        with open(path, encoding='utf-8') as src:
            text = src.read()
        for count, none in self.COUNTS.items():
            if text.count(count) != 1:
                raise Failure(f'{path}: hits are counted in another way')
            text = text.replace(count, none)
        with open(path, 'w', encoding='utf-8') as out:
            out.write(text)

    def objects(self, commands):
        like = next(c for c in commands if c['file'].endswith(OWN))
        made = [self.trace_object(like)]
        for command in commands:
            source = command['file']
            own = '/hw/xen/' in source
            if own:
                source = os.path.join(self.own, os.path.basename(source))
            target = os.path.join(self.out, os.path.basename(source) + '.o')
            self.compile(like if own else command, source, target)
            made.append(target)
        return made
