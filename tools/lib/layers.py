# SPDX-License-Identifier: GPL-2.0-or-later
"""Which file of the project calls which, and whether that is downwards.

The layers are in docs/design.md, docs/xensim.md and docs/testing.md, in blocks
that begin with "```layers": the folders whose objects they are of, then a line
for each layer, the highest first.  A file may call those of lower lines.  A line
"! a -> b" is an exception.  No exception allows a circle, in which files call
each other: only a line "!! a -> b" does, for one call of the circle.
"""
import glob
import os
import re

import elf

BLOCK = re.compile(r'(?ms)^```layers\n(.*?)^```$')


class Layers:
    """One block: patterns of objects, the layer of each file, exceptions."""

    def __init__(self, text):
        self.objects, self.layer = [], {}
        self.exceptions, self.circles = set(), set()
        lines = [line.split('#')[0].split() for line in text.splitlines()]
        names = []
        for words in lines:
            if words[:1] == ['objects']:
                self.objects += words[1:]
            elif words[:1] in (['!'], ['!!']):
                self.exceptions.add((words[1], words[3]))
                if words[0] == '!!':
                    self.circles.add((words[1], words[3]))
            elif words:
                names.append(words)
        for number, words in enumerate(reversed(names)):
            for name in words:
                self.layer[name] = number

    def name_of(self, path):
        """The file of an object: foo/bar.c may be foo_bar.c.o."""
        stem = os.path.basename(path)[:-len('.c.o')]
        known = [name for name in self.layer
                 if stem == name or stem.endswith('_' + name)]
        return max(known, key=len) if known else stem


def calls(layers, paths):
    """{(caller, called): functions} among the objects."""
    table = {layers.name_of(path): (elf.defined(path), elf.undefined(path))
             for path in paths}
    where = {f: name for name, (has, _) in table.items() for f in has}
    edges = {}
    for name, (_, needs) in table.items():
        for f in needs:
            if where.get(f, name) != name:
                edges.setdefault((name, where[f]), set()).add(f)
    return table, edges


def circles(edges):
    """A circle of calls, as a list of files, for each file that is in one."""
    after = {}
    for a, b in sorted(edges):
        after.setdefault(a, []).append(b)
    seen = set()
    for start in sorted(after):
        ways = [[start]]
        reached = set()
        while ways and start not in seen:
            way = ways.pop(0)           # the shortest comes first
            for b in after.get(way[-1], []):
                if b == start:
                    seen.update(way)
                    yield way + [start]
                    ways = []
                    break
                if b not in reached:
                    reached.add(b)
                    ways.append(way + [b])


def wrong(layers, paths):
    """What is not as the list says, in lines for a reader."""
    table, edges = calls(layers, paths)
    for name in sorted(set(table) - set(layers.layer)):
        yield f'{name}: is in no layer'
    for name in sorted(set(layers.layer) - set(table)):
        yield f'{name}: is in a layer, and there is no such object'
    for (a, b), functions in sorted(edges.items()):
        if a not in layers.layer or b not in layers.layer:
            continue
        up = layers.layer[a] <= layers.layer[b]
        if up and (a, b) not in layers.exceptions:
            yield f'{a} calls {b}, which is not below it: ' + \
                  ', '.join(sorted(functions))
        if not up and (a, b) in layers.exceptions:
            yield f'{a} -> {b}: is an exception and need not be one'
    for way in circles(set(edges) - layers.circles):
        yield 'a circle of calls: ' + ' -> '.join(way)
    for a, b in sorted(layers.exceptions - set(edges)):
        yield f'{a} -> {b}: is an exception, and there is no such call'


def blocks(text):
    return [Layers(block) for block in BLOCK.findall(text)]


def objects_of(layers, obj):
    """The objects in the build directory's obj folder."""
    return [path for pattern in layers.objects
            for path in glob.glob(os.path.join(obj, pattern))]
