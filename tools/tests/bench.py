# SPDX-License-Identifier: GPL-2.0-or-later
"""What the cases share: scratch trees that look like QEMU's, and running a
tool on them."""
import hashlib
import os
import subprocess

import pytest

# a tree that tools/get-source takes for QEMU, and that builds in a second:
# its configure writes a build.ninja of two object files and a link, and how they
# are compiled
CONFIGURE = r'''#!/bin/sh
tree=$(cd "$(dirname "$0")" && pwd)
if [ -e "$tree/broken-configure" ]; then
    echo "ERROR: the feature is not there"
    exit 1
fi
mkdir -p libcommon.a.p
cat > build.ninja <<EOF
rule cc
  command = sh $tree/slow && cc -MMD -MF \$out.d -I$tree/include -c \$in -o \$out
  depfile = \$out.d
  deps = gcc
  description = Compiling \$out
rule link
  command = cc \$in -o \$out
build libcommon.a.p/hw_xen_xen-mapcache.c.o: cc $tree/hw/xen/xen-mapcache.c
build libcommon.a.p/system_physmem.c.o: cc $tree/system/physmem.c
build qemu-system-i386: link libcommon.a.p/hw_xen_xen-mapcache.c.o $
  libcommon.a.p/system_physmem.c.o
build all: phony qemu-system-i386
EOF
entry() {   # SOURCE
    cat <<EOF
{"directory": "$PWD", "command": "cc -I$tree/include -c $tree/$1",
 "file": "$tree/$1", "output": "libcommon.a.p/$(echo "$1" | tr / _).o"}
EOF
}
{
    echo "[" && entry hw/xen/xen-mapcache.c && echo ","
    entry system/physmem.c && echo "]"
} > compile_commands.json
'''

TREE = {
    'VERSION': '10.0.13\n',
    'configure': CONFIGURE,
    'slow': 'exit 0\n',
    'include/qemu/osdep.h': '/* first */\n',
    'include/system/xen-mapcache.h': 'int map(void);\n',
    'subprojects/keycodemapdb/meson.build': 'none\n',
    'hw/xen/xen-mapcache.c':
        '#include "system/xen-mapcache.h"\nint map(void) { return 1; }\n',
    'system/physmem.c':
        '#include <stdio.h>\n#include "system/xen-mapcache.h"\n'
        + ''.join(f'/* line {n} */\n' for n in range(10))
        + 'int main(void)\n{\n    printf("stock %d\\n", map());\n'
          '    return 0;\n}\n',
}

SERIES = {
    'hw/xen/xen-mapcache.c':
        '#include "system/xen-mapcache.h"\nint map(void) { return 2; }\n'
        'int map_more(void) { return 3; }\n',
    'include/sysemu/xen-mapcache.h': 'int map(void);\nint map_more(void);\n',
    'tests/new/thing.c': 'int thing;\n',
    'system/physmem.c.patch':
        '--- a/system/physmem.c\n+++ b/system/physmem.c\n@@ -14,3 +14,3 @@\n'
        ' {\n-    printf("stock %d\\n", map());\n'
        '+    printf("series %d\\n", map_more());\n     return 0;\n',
    'README.md': 'not of the series\n',
    'docs/design.md': 'not of the series\n',
    'docs/system/page.rst': 'of the series\n',
    'tools/nothing': 'not of the series\n',
}


def listed(tree, *paths, base='10.0'):
    """A tools/replaced.list that knows these files of a tree."""
    return ''.join(f'{base}  {hashlib.sha256(tree[p].encode()).hexdigest()}  '
                   f'{p}\n' for p in paths)


REPLACED = 'tools/replaced.list'
SERIES[REPLACED] = listed(TREE, 'hw/xen/xen-mapcache.c',
                          'include/system/xen-mapcache.h')


# raised in a case that cannot be run here; says why
Skip = pytest.skip.Exception


class Bench:
    def __init__(self, repo, build, scratch):
        self.tools = os.path.join(repo, 'tools')
        self.real_repo = repo
        self.real_build = build
        self.scratch = scratch
        self.mounts = []

    def path(self, *parts):
        return os.path.join(self.scratch, *parts)

    def write(self, name, text):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w', encoding='utf-8') as out:
            out.write(text)
        if name.endswith('configure'):
            os.chmod(path, 0o755)
        return path

    def read(self, *parts):
        with open(self.path(*parts), encoding='utf-8') as src:
            return src.read()

    def make_tree(self, where, files=None):
        for name, text in (files or TREE).items():
            self.write(f'{where}/{name}', text)
        return self.path(where)

    def prepared(self):
        """A build directory with a tree in it, and a series to lay."""
        self.make_tree('build/src/qemu')
        self.write('build/src/origin', 'debian 1:10.0.13\n')
        self.make_tree('repo', SERIES)

    def contents(self, where):
        """{path: bytes} of all files below a scratch folder."""
        found = {}
        for top, _, files in os.walk(self.path(where)):
            for name in files:
                path = os.path.join(top, name)
                with open(path, 'rb') as src:
                    found[os.path.relpath(path, self.path(where))] = src.read()
        return found

    def run(self, *argv, fails=False, whole=False, env=None, timeout=120):
        """Run a tool; return its whole output.  With fails=True it must exit
        nonzero and say so in exactly one line of error, which is returned, or
        the whole output with whole=True."""
        res = subprocess.run(
            [os.path.join(self.tools, argv[0]), *argv[1:]],
            env=dict(os.environ, LC_ALL='C.UTF-8', **(env or {})),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False)
        told = f'{" ".join(argv)}: exit status {res.returncode}\n{res.stdout}'
        assert (res.returncode != 0) == fails, told
        errors = [line for line in res.stdout.splitlines()
                  if line.startswith('xen-mapcache: error: ')]
        assert len(errors) == (1 if fails else 0), told
        assert 'Traceback' not in res.stdout, told
        return errors[0] if fails and not whole else res.stdout

    def on_build(self, tool, *args, **how):
        """Run a tool with the scratch repository and build directory."""
        return self.run(tool, *args, '--build', self.path('build'), '--repo',
                        self.path('repo'), **how)

    def small_disk(self, name, size):
        if os.geteuid() != 0:
            raise Skip('mounting a small disk needs root')
        place = self.path(name)
        os.makedirs(place, exist_ok=True)
        res = subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={size}',
                              'tmpfs', place], capture_output=True,
                             check=False)
        if res.returncode:
            raise Skip('this root may not mount')
        self.mounts.append(place)
        return place

    def close(self):
        for place in self.mounts:
            subprocess.run(['umount', '-l', place], check=False)


def has(text, *words):
    """Assert that each of the words is in the text."""
    for word in words:
        assert word in text, f'"{word}" is not in: {text}'
