# SPDX-License-Identifier: GPL-2.0-or-later
"""No file calls one of a higher layer."""
import os
import subprocess

import layers
from bench import Skip


def compiled(b, sources):
    paths = []
    for name, text in sources.items():
        src = b.write(f'src/{name}.c', text)
        paths.append(os.path.join(b.scratch, f'folder_{name}.c.o'))
        subprocess.run(['cc', '-c', '-o', paths[-1], src], check=True)
    return paths


LOW = 'int low(void) { return 0; }\n'
HIGH = 'int low(void);\nint high(void) { return low(); }\n'


def test_calls_downwards_are_right(b):
    one, = layers.blocks('```layers\nobjects x\nhigh\nlow\n```\n')
    assert list(layers.wrong(one, compiled(b, {'low': LOW,
                                               'high': HIGH}))) == []


def test_calls_upwards_are_found(b):
    paths = compiled(b, {
        'low': 'int high(void);\nint low(void) { return high(); }\n',
        'high': HIGH, 'new': 'int fresh;\n'})
    one, = layers.blocks('```layers\nobjects x\nhigh\nlow\n```\n')
    assert list(layers.wrong(one, paths)) == [
        'folder_new: is in no layer', 'low calls high, which is not below it: high']
    one, = layers.blocks('```layers\nobjects x\nhigh low\nnew old\n'
                         '! low -> high\n! new -> low # why\n```\n')
    assert list(layers.wrong(one, paths)) == [
        'old: is in a layer, and there is no such object',
        'high calls low, which is not below it: low',
        'new -> low: is an exception, and there is no such call']
    one, = layers.blocks('```layers\nobjects x\nhigh\nlow new\n'
                         '! high -> low\n! low -> high\n```\n')
    assert list(layers.wrong(one, paths)) == [
        'high -> low: is an exception and need not be one']


def test_files_are_in_the_layers_that_design_says(b):
    obj = os.path.join(b.real_build, 'obj')
    with open(os.path.join(b.real_repo, 'docs', 'design.md'),
              encoding='utf-8') as src:
        lists = layers.blocks(src.read())
    assert lists
    for one in lists:
        paths = layers.objects_of(one, obj)
        if not paths:
            raise Skip(f'nothing is built in {obj}')
        found = list(layers.wrong(one, paths))
        assert not found, '\n'.join(found)
