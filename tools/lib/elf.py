# SPDX-License-Identifier: GPL-2.0-or-later
"""Which functions an object, a program or a library has, and which it needs."""
import subprocess

from say import Failure


def _names(path, *options):
    """[(name, kind)] of all symbols, as nm tells them."""
    res = subprocess.run(['nm', '-P', *options, path], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True, check=False)
    if res.returncode:
        raise Failure(f'nm cannot read {path}: {res.stderr.strip()}')
    return [line.split()[:2] for line in res.stdout.splitlines()]


def defined(path):
    """Names of the global functions that it has."""
    return {name for name, kind in _names(path, '-g') if kind == 'T'}


def undefined(path):
    """Names that an object needs from other objects."""
    return {name for name, kind in _names(path) if kind == 'U'}


def wanted(path):
    """Names that a program or library wants of libraries, without versions."""
    return {name.partition('@')[0]
            for name, kind in _names(path, '-D') if kind in 'Uwv'}


def exported(path):
    """(name, version) of the functions that a library exports."""
    return [tuple(name.split('@@')) for name, kind in _names(path, '-D')
            if kind == 'T' and '@@' in name]
