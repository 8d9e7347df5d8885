# SPDX-License-Identifier: GPL-2.0-or-later
"""No file calls one of a higher layer."""
import fnmatch
import os
import re
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
    circle = 'a circle of calls: high -> low -> high'
    assert list(layers.wrong(one, paths)) == [
        'folder_new: is in no layer', 'low calls high, which is not below it: high',
        circle]
    one, = layers.blocks('```layers\nobjects x\nhigh low\nnew old\n'
                         '! low -> high\n! new -> low # why\n```\n')
    assert list(layers.wrong(one, paths)) == [
        'old: is in a layer, and there is no such object',
        'high calls low, which is not below it: low', circle,
        'new -> low: is an exception, and there is no such call']
    one, = layers.blocks('```layers\nobjects x\nhigh\nlow new\n'
                         '! high -> low\n! low -> high\n```\n')
    assert list(layers.wrong(one, paths)) == [
        'high -> low: is an exception and need not be one', circle]


def test_circles_are_found(b):
    paths = compiled(b, {
        'top': 'int low(void);\nint top(void) { return low(); }\n',
        'low': 'int mid(void);\nint low(void) { return mid(); }\n',
        'mid': 'int top(void), last(void);\n'
               'int mid(void) { return top() + last(); }\n',
        'last': 'int last(void) { return 0; }\n'})
    text = '```layers\nobjects x\ntop\nlow\nmid\nlast\n! mid -> top\n```\n'
    one, = layers.blocks(text)
    assert list(layers.wrong(one, paths)) == [
        'a circle of calls: low -> mid -> top -> low']
    # only a line of its own allows it
    one, = layers.blocks(text.replace('! mid', '!! mid'))
    assert list(layers.wrong(one, paths)) == []


def test_a_circle_that_is_added_to_the_project_is_found(b):
    obj = os.path.join(b.real_build, 'obj')
    added = {'xen-ram-copy': 'xen_ram_wait_to_retry',
             'xen-mapcache-ranges': 'mcache_dma_report'}
    for one in listed(b, 'design.md'):
        paths = layers.objects_of(one, obj)
        if not paths:
            raise Skip(f'nothing is built in {obj}')
        for name, function in added.items():
            path, = [p for p in paths if one.name_of(p) == name]
            call = b.write('call.c', f'void {function}(void);\n'
                           f'void call(void);\nvoid call(void)\n'
                           f'{{\n    {function}();\n}}\n')
            both = b.path(os.path.basename(path))
            subprocess.run(['cc', '-c', '-o', b.path('call.o'), call],
                           check=True)
            subprocess.run(['ld', '-r', '-o', both, path, b.path('call.o')],
                           check=True)
            changed = [both if p == path else p for p in paths]
            found = list(layers.wrong(one, changed))
            assert any(line.startswith('a circle of calls: ') and
                       name in line.split() for line in found), found


def listed(b, name):
    with open(os.path.join(b.real_repo, 'docs', name),
              encoding='utf-8') as src:
        found = layers.blocks(src.read())
    assert found, name
    return found


def test_files_are_in_the_layers_that_the_documents_say(b):
    obj = os.path.join(b.real_build, 'obj')
    built = 0
    for one in (listed(b, 'design.md') + listed(b, 'xensim.md') +
                listed(b, 'testing.md')):
        paths = layers.objects_of(one, obj)
        built += bool(paths)
        found = list(layers.wrong(one, paths)) if paths else []
        assert not found, '\n'.join(found)
    if not built:
        raise Skip(f'nothing is built in {obj}')


NODE = re.compile(r'(?<!-> )\b(\w+) \[label="([^"]*)"')
ARROW = re.compile(r'(?=\b(\w+) -> (\w+))')
FILE = re.compile(r'(?:xen)?-[a-z*-]+\.c')


def files_of(label, names):
    """The files that a node of the picture stands for."""
    patterns = [word.removesuffix('.c') for word in FILE.findall(label)]
    patterns = ['xen-mapcache' + p if p.startswith('-') else p
                for p in patterns]
    return {n for n in names for p in patterns if fnmatch.fnmatch(n, p)}


def wrong_arrows(picture, names, edges):
    """Arrows between files that are no calls."""
    files = {node: files_of(label, names)
             for node, label in NODE.findall(picture)}
    for a, b in ARROW.findall(picture):
        have, want = files.get(a), files.get(b)
        if have and want and not any((x, y) in edges
                                     for x in have for y in want):
            yield f'{a} -> {b}: no such call'


def test_arrows_that_are_no_calls_are_found():
    picture = ('a [label="x\\nxen-one.c"]; b [label="-two.c, -three.c"];\n'
               'c [label="kernel"];\na -> b -> a [label="back"]; b -> c;\n')
    names = {'xen-one', 'xen-mapcache-two', 'xen-mapcache-three'}
    assert list(wrong_arrows(picture, names,
                             {('xen-one', 'xen-mapcache-three')})) == [
        'b -> a: no such call']


def test_arrows_of_the_picture_of_the_parts_are_calls(b):
    one, = listed(b, 'design.md')
    with open(os.path.join(b.real_repo, 'docs', 'pictures', 'parts.dot'),
              encoding='utf-8') as src:
        picture = src.read()
    paths = layers.objects_of(one, os.path.join(b.real_build, 'obj'))
    if not paths:
        raise Skip(f'nothing is built in {b.real_build}')
    table, edges = layers.calls(one, paths)
    wrong = list(wrong_arrows(picture, set(table), edges))
    assert not wrong, '\n'.join(wrong)
