# SPDX-License-Identifier: GPL-2.0-or-later
"""A libxenforeignmemory as it was before xenforeignmemory_map2(), to build with.

Header, library and pkg-config file are made from those of the machine.  The
library only serves to link with: whoever runs what was linked loads the
machine's own, and a name that the old one lacks was refused at the link.
"""
import os
import re
import shutil
import subprocess

import elf
from say import Failure

LIBRARY = 'xenforeignmemory'
LACKS = 'xenforeignmemory_map2'
DECLARED = re.compile(rf'^[a-z_ ]+\*?{LACKS}\([^;]*\);\n', re.MULTILINE)


def _output(*command):
    res = subprocess.run(command, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True, check=False)
    if res.returncode:
        raise Failure(f'{" ".join(command)}: {res.stderr.strip()}')
    return res.stdout


def old_header(text):
    """The header without the declaration."""
    text, found = DECLARED.subn('', text)
    if found != 1:
        raise Failure(f'{LIBRARY}.h: {LACKS}() is declared {found} times')
    return text


def old_exports(library):
    """{version: [names]} of what it exports, without what the old lacks."""
    versions = {}
    for name, version in elf.exported(library):
        if name != LACKS:
            versions.setdefault(version, []).append(name)
    return versions


def _write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as out:
        out.write(text)


def _library(lib, versions):
    """A library that exports these names, to link with."""
    code = os.path.join(lib, 'stub.c')
    script = os.path.join(lib, 'stub.map')
    names = [name for part in versions.values() for name in part]
    _write(code, ''.join(f'void {n}(void);\nvoid {n}(void) {{}}\n'
                         for n in names))
    _write(script, ''.join(f'{v} {{ global: {"; ".join(part)}; }};\n'
                           for v, part in versions.items()))
    _output('cc', '-shared', '-fPIC', '-nostdlib', code,
            f'-Wl,-soname,lib{LIBRARY}.so.1,--version-script={script}',
            '-o', os.path.join(lib, f'lib{LIBRARY}.so'))


def make(folder):
    """Make it in `folder`, anew.  Returns the folder for PKG_CONFIG_PATH."""
    include = _output('pkg-config', '--variable=includedir', LIBRARY).strip()
    machine_lib = _output('pkg-config', '--variable=libdir', LIBRARY).strip()
    new = folder + '.new'
    shutil.rmtree(new, ignore_errors=True)
    with open(os.path.join(include, LIBRARY + '.h'), encoding='utf-8') as src:
        _write(os.path.join(new, 'include', LIBRARY + '.h'),
               old_header(src.read()))
    _library(os.path.join(new, 'lib'), old_exports(
        os.path.join(machine_lib, f'lib{LIBRARY}.so')))
    _write(os.path.join(new, 'pkgconfig', LIBRARY + '.pc'),
           f'Name: {LIBRARY}\nDescription: as before {LACKS}()\n'
           f'Version: 1.1\nCflags: -I{folder}/include\n'
           f'Libs: -L{folder}/lib -l{LIBRARY}\n'
           'Requires.private: xentoollog,xentoolcore\n')
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(new, folder)
    return os.path.join(folder, 'pkgconfig')
