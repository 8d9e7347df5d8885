# SPDX-License-Identifier: GPL-2.0-or-later
"""What QEMU is configured with, in one place."""
import shutil

_COMMON = '''--python=/usr/bin/python3 --without-default-features
    --enable-system --enable-pixman --enable-vnc --enable-png
    --enable-linux-aio --disable-docs --disable-download
    --disable-install-blobs --enable-trace-backends=log
    --firmwarepath=/usr/share/qemu:/usr/share/seabios:/usr/lib/ipxe/qemu'''
_XEN = '''--target-list=i386-softmmu --enable-xen --enable-spice
    --enable-seccomp --disable-tcg'''
_NOXEN = '--target-list=i386-softmmu --disable-xen --enable-tcg'

XEN_BUILD = (_COMMON + ' ' + _XEN).split()
# with the sanitizers that find what is wrong in memory
ASAN_BUILD = XEN_BUILD + ['--enable-asan', '--enable-ubsan']
# … and in how threads meet
TSAN_BUILD = XEN_BUILD + ['--enable-tsan']
NOXEN_BUILD = (_COMMON + ' ' + _NOXEN).split()

# for Arm64, on another processor; the unit tests of the mapcache take the
# headers of the target i386, of which nothing else is built then
ARM64_BUILD = (_COMMON + ''' --target-list=aarch64-softmmu,i386-softmmu
    --enable-xen --disable-tcg --cross-prefix=aarch64-linux-gnu-''').split() + [
    '--cc=ccache aarch64-linux-gnu-gcc']


def compiler_flags():
    """ccache where it is installed; the user's own settings hold."""
    return ['--cc=ccache cc'] if shutil.which('ccache') else []
