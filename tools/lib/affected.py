# SPDX-License-Identifier: GPL-2.0-or-later
"""The objects that a change of some files affects, in a build that was never made.

Ninja knows what an object includes only once it has compiled it.  Here the text
of the sources says so.  An #include counts whether or not an #if leaves it out, and
a name counts for each file that the include paths have for it: this finds a few
objects too many, and none too few.
"""
import json
import os
import re

INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.M)
FOLDER = re.compile(r' -(?:I|isystem |iquote )(\S+)')
# what QEMU generates, and from which files
GENERATED = (
    (re.compile(r'(?:^|/)qapi-(?:types|visit|commands|events|features)-([\w-]+)'
                r'\.[ch]$'), lambda m: f'qapi/{m[1]}.json'),
    (re.compile(r'(?:^|/)qapi-(?:introspect|init-commands|emit-events)\.[ch]$'),
     lambda m: 'qapi/qapi-schema.json'),
    (re.compile(r'(?:^|/)trace-(\w+)\.[ch]$'),
     lambda m: m[1].replace('_', '/') + '/trace-events'),
    (re.compile(r'(?:^|/)([\w-]+)\.h$'), lambda m: f'{m[1]}.hx'),
)


def made_from(name):
    """The tree paths that a generated file of this name would be made from."""
    return {source(m) for regex, source in GENERATED
            if (m := regex.search(name))}


class Reader:
    """What the files of a tree include, and which of them a change affects."""

    def __init__(self, tree, folders, changed):
        self.tree = tree
        self.folders = folders      # of the include paths, from the tree's top
        self.changed = set(changed)
        self.by_name = {}           # name: the files that it may be
        self.users = {}             # path: who includes it

    def is_generated(self, name):
        """Is it the name of a file that is made from one that is changed?"""
        return not self.changed.isdisjoint(made_from(name))

    def is_file(self, path):
        return os.path.isfile(os.path.join(self.tree, path))

    def files_of(self, path, how, name):
        """The files of the tree that `path` may include by that name."""
        beside = os.path.normpath(os.path.join(os.path.dirname(path), name))
        if how == b'"' and self.is_file(beside):
            return {beside}
        if name not in self.by_name:
            paths = [os.path.normpath(os.path.join(folder, name))
                     for folder in self.folders]
            self.by_name[name] = set(filter(self.is_file, paths))
        return self.by_name[name]

    def read(self, path):
        """(what it includes, whether a generated file of these has changed)."""
        with open(os.path.join(self.tree, path), 'rb') as src:
            names = INCLUDE.findall(src.read())
        included, generated = set(), False
        for how, name in names:
            paths = self.files_of(path, how, name.decode())
            included |= paths
            if not paths and self.is_generated(name.decode()):
                generated = True
        return included, generated

    def affected(self, sources):
        """All files that are changed, or include what is, of these sources and
        what they include."""
        seen, todo = set(), list(sources)
        reached = []
        while todo:
            path = todo.pop()
            if path in seen:
                continue
            seen.add(path)
            included, generated = self.read(path)
            if generated or path in self.changed:
                reached.append(path)
            for other in included:
                self.users.setdefault(other, []).append(path)
            todo += included
        found = set()
        while reached:
            path = reached.pop()
            if path not in found:
                found.add(path)
                reached += self.users.get(path, ())
        return found


def include_folders(commands, tree):
    """The folders of a tree that are in the compiler's include paths."""
    folders = {os.path.join(entry['directory'], folder) for entry in commands
               for folder in FOLDER.findall(entry['command'])}
    paths = {os.path.relpath(folder, tree) for folder in folders}
    return sorted(path for path in paths if not path.startswith('..'))


def objects(obj, tree, changed):
    """[(what ninja calls it, its source)] of each object of the build directory
    that the change of some tree paths affects.  A source is a path of the tree;
    what is generated has one outside of it."""
    with open(os.path.join(obj, 'compile_commands.json'),
              encoding='utf-8') as src:
        commands = json.load(src)
    reader = Reader(tree, include_folders(commands, tree), changed)
    made_of = {entry['output']: os.path.relpath(
                   os.path.join(entry['directory'], entry['file']), tree)
               for entry in commands}
    generated = {path for path in made_of.values() if path.startswith('..')}
    affected = reader.affected(set(made_of.values()) - generated)
    affected |= set(filter(reader.is_generated, generated))
    return [(name, path) for name, path in made_of.items() if path in affected]
