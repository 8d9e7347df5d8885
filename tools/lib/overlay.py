# SPDX-License-Identifier: GPL-2.0-or-later
"""The series over QEMU's tree: which files, in what state, and how they change.

A path is QEMU's path.  A whole file of the repository becomes a symbolic link
in the tree, a .patch file becomes a changed copy of QEMU's file.  What QEMU had
at such a path is kept under `pristine`.  The manifest lists every path that is
not QEMU's own at the moment; it is written before the tree is touched, so that
an interrupted run is completed by the next one.

Ninja goes by time stamps, so a path whose content changes gets the time of the
change: a patched file is written anew, a linked file is touched in the
repository.  Paths that do not change keep their times.
"""
import hashlib
import json
import os
import shutil

import patches
import replaced
import sources
from say import Failure


def digest(data):
    return hashlib.sha256(data).hexdigest()


def read(path):
    with open(path, 'rb') as src:
        return src.read()


def write(path, data):
    """Write a file whole or not at all."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temp = path + '.new'
    with open(temp, 'wb') as out:
        out.write(data)
    os.replace(temp, path)


ACCEPT = ('compare these files with ours, carry over what ours lack, then run '
          'tools/lay --accept')


def told_together(wrong, differing, base):
    """One message of everything in the series that does not fit a base:
    rejected hunks, and files of the base that ours would replace unseen."""
    lines = wrong + differing
    if len(lines) > 1:
        lines = [f'{len(lines)} places of the series do not fit {base}:', *lines]
    return '\n    '.join(lines + ([ACCEPT] if differing else []))


class Overlay:
    def __init__(self, repo, src):
        self.repo = os.path.abspath(repo)
        self.src = os.path.abspath(src)
        self.tree = os.path.join(self.src, 'qemu')
        self.pristine = os.path.join(self.src, 'pristine')
        self.manifest_path = os.path.join(self.src, 'laid.json')
        if not os.path.isfile(os.path.join(self.tree, 'VERSION')):
            raise Failure(f'{self.tree}: no QEMU tree here: '
                          'run tools/get-source first')
        version = read(os.path.join(self.tree, 'VERSION')).decode().strip()
        self.base = f'QEMU {version}'
        self.series = sources.base_of(version)
        self.manifest = {}
        if os.path.exists(self.manifest_path):
            self.manifest = json.loads(read(self.manifest_path))

    def in_tree(self, path):
        return os.path.join(self.tree, path)

    def relative(self, path):
        """A path of the tree, as the user names it, from the tree's top."""
        return os.path.relpath(path, self.tree) if os.path.isabs(path) else path

    def kept(self, path):
        return os.path.join(self.pristine, path)

    def original(self, path):
        """QEMU's own bytes at a tree path, or None if it has no such file."""
        if self.manifest.get(path, {}).get('new'):
            return None
        if os.path.exists(self.kept(path)):
            return read(self.kept(path))
        return read(self.in_tree(path)) if self._untouched(path) else None

    def _untouched(self, path):
        """Is the tree's file QEMU's own?  Of every other one a copy is kept,
        or it is a link of ours."""
        return (os.path.isfile(self.in_tree(path))
                and not os.path.islink(self.in_tree(path))
                and not os.path.exists(self.kept(path)))

    # -- what should be there

    def wanted(self):
        """Return ({tree path: entry}, {tree path: bytes}, notes); fail if any
        of it does not fit the base."""
        entries, contents, notes, wrong = self._collect()
        differing = self._replaced_differ(entries)
        if wrong or differing:
            raise Failure(told_together(wrong, differing, self.base))
        return entries, contents, notes

    def _collect(self):
        """What wanted() returns, and a line for each hunk that is rejected."""
        entries, contents, notes, wrong = {}, {}, [], []
        for source in sources.of_base(self.repo, self.series):
            path = source.path
            before = self.manifest.get(path, {})
            new = before.get('new', self.original(path) is None)
            entry = {'from': source.name, 'kind': source.kind, 'new': new}
            if source.kind == 'patch':
                try:
                    content, said = self._patched(source)
                except patches.Rejected as rejected:
                    wrong += rejected.rejects
                    continue
                if content is None:
                    continue
                contents[path] = content
                notes += said
                entry['sum'] = digest(content)
                entry['under'] = source.under
            entries[path] = entry
        return entries, contents, notes, wrong

    def _replaced(self, entries):
        """{tree path: sha256} of QEMU's files that whole files replace."""
        return {path: digest(self.original(path))
                for path, entry in entries.items() if not entry['new']
                and (entry['kind'] == 'link' or entry['under'])}

    def _replaced_differ(self, entries):
        """A line for each file of the base that whole files of ours would
        replace without anybody having compared them."""
        told = []
        known = replaced.read_list(self.repo).get(self.series, {})
        listed = {p: sums for p, sums in known.items() if p in entries}
        for path, why in replaced.differences(listed, self._replaced(entries)):
            by = replaced.patches_of(self.tree, path)
            told.append(f'{path}: {why}'
                        + (f' (changed by {", ".join(by)})' if by else ''))
        return told

    def accept(self):
        """List the base's files, as they are, as those that ours replace.
        Returns how many there are."""
        present = self._replaced(self._collect()[0])
        known = replaced.read_list(self.repo)
        listed = known.get(self.series, {})
        known[self.series] = {p: listed.get(p, set()) | {total}
                              for p, total in present.items()}
        write(replaced.list_path(self.repo), replaced.text_of(known).encode())
        return len(present)

    def below(self, path, under):
        """The bytes that a patch of a tree path changes: QEMU's, or those of
        our whole file `under`.  None if there are none."""
        if under:
            return read(os.path.join(self.repo, under))
        return self.original(path)

    def _patched(self, source):
        """(bytes, notes): the file that a patch makes; no bytes if the patch
        says in words alone that there is nothing to change on this base."""
        text = read(os.path.join(self.repo, source.name)).decode()
        if sources.APART.match(source.name) and not patches.has_diff(text):
            return None, []
        old = self.below(source.path, source.under)
        if old is None:
            raise patches.Rejected([f'{source.name}: {self.base} has no file '
                                    f'{source.path}'])
        whose = source.under or f"{self.base}'s {source.path}"
        new, notes = patches.Patch(source.name, text).apply(old.decode(), whose)
        return new.encode(), notes

    # -- what is there

    def opened(self):
        """Paths kept for an edit that has no patch yet."""
        found = []
        for top, _, files in os.walk(self.pristine):
            for name in files:
                path = os.path.relpath(os.path.join(top, name), self.pristine)
                if path not in self.manifest:
                    found.append(path)
        return sorted(found)

    def open(self, path):
        """Keep QEMU's file before it is edited, so that a patch can be made."""
        if path in self.manifest:
            return
        if not os.path.isfile(self.in_tree(path)):
            raise Failure(f'{self.base} has no file {path}')
        if self._untouched(path):
            self._keep(path)

    def write_apart(self, source, name, under):
        """Lay at a path what the common file makes of it, as far as that
        fits, as a file of its own that patch `name` is to make.  Returns the
        rejected hunks."""
        rejects = []
        try:
            content = (read(os.path.join(self.repo, under)) if under
                       else self._patched(source)[0])
        except patches.Rejected as rejected:
            rejects, content = rejected.rejects, rejected.partly.encode()
        path = source.path
        before = self.manifest.get(path, {})
        new = before.get('new', self.original(path) is None)
        if not new:
            self.open(path)
        entry = {'from': name, 'kind': 'patch', 'new': new, 'under': under,
                 'sum': digest(content)}
        self.record({**self.manifest, path: entry})
        if content:
            self._lay(path, entry, content)
        return rejects

    def _keep(self, path):
        write(self.kept(path), read(self.in_tree(path)))
        shutil.copymode(self.in_tree(path), self.kept(path))

    def edited(self):
        """Files of QEMU's that were changed in the tree and not in a patch."""
        changed = [p for p in self.opened()
                   if read(self.in_tree(p)) != read(self.kept(p))]
        for path, entry in self.manifest.items():
            place = self.in_tree(path)
            if os.path.islink(place) or not os.path.exists(place) or (
                    self._untouched(path) and not entry.get('new')):
                continue
            sums = {entry.get('sum'), *entry.get('was', [])}
            if not entry.get('new'):
                sums.add(digest(read(self.kept(path))))
            if digest(read(place)) not in sums:
                changed.append(path)
        return changed

    def _refuse(self, path):
        place = self.in_tree(path)
        entry = self.manifest.get(path, {})
        if entry.get('kind') == 'link':
            raise Failure(f'{place} is no longer a link: move its text to '
                          f'{entry["from"]}, then run tools/lay --discard')
        raise Failure(f'{place} has an edit that is not in its .patch yet: '
                      'run tools/refresh-patches to keep the edit, or '
                      'tools/lay --discard to drop it')

    def _is_laid(self, path, entry):
        place = self.in_tree(path)
        if entry['kind'] == 'link':
            return (os.path.islink(place) and os.readlink(place)
                    == os.path.join(self.repo, entry['from']))
        return (os.path.isfile(place) and not os.path.islink(place)
                and digest(read(place)) == entry['sum'])

    # -- making it so

    def apply(self, entries, contents, discard=False):
        """Bring the tree to `entries`; return how many paths changed."""
        edited = self.edited()
        edited = [p for p in edited
                  if read(self.in_tree(p)) != contents.get(p)]
        if edited and not discard:
            self._refuse(edited[0])
        stale = [p for p in self.manifest if p not in entries]
        stale += [p for p in self.opened() if p in edited]
        fresh = [p for p in entries if not self._is_laid(p, entries[p])]
        if not stale and not fresh and entries == self.manifest:
            return 0
        for path in fresh:
            if self._untouched(path) and not entries[path].get('new'):
                self._keep(path)
        self.record(self._both(entries))
        for path in stale:
            self._restore(path)
        for path in fresh:
            self._lay(path, entries[path], contents.get(path))
        self.record(entries)
        return len(stale) + len(fresh)

    def _both(self, entries):
        """Old and new entries: what a broken-off run may have left behind."""
        union = dict(self.manifest)
        for path, entry in entries.items():
            before = self.manifest.get(path, {})
            union[path] = dict(entry)
            if entry['kind'] == 'patch' and before.get('kind') == 'patch':
                union[path]['was'] = [before['sum'], *before.get('was', [])]
        return union

    def record(self, entries):
        """Make `entries` the manifest, whole or not at all."""
        text = json.dumps(entries, indent=1, sort_keys=True) + '\n'
        write(self.manifest_path, text.encode())
        self.manifest = dict(entries)

    def _restore(self, path):
        place = self.in_tree(path)
        kept = self.kept(path)
        if os.path.exists(kept):
            mode = os.stat(kept).st_mode
            write(place, read(kept))
            os.chmod(place, mode)
            os.unlink(kept)
        elif os.path.islink(place) or self.manifest[path].get('new'):
            os.unlink(place)
            self._prune(os.path.dirname(place))

    def _prune(self, folder):
        while folder != self.tree and not os.listdir(folder):
            os.rmdir(folder)
            folder = os.path.dirname(folder)

    def _lay(self, path, entry, content):
        place = self.in_tree(path)
        if entry['kind'] == 'patch':
            write(place, content)
            shutil.copymode(os.path.join(self.repo, entry['under'])
                            if entry['under'] else self.kept(path), place)
            return
        mine = os.path.join(self.repo, entry['from'])
        os.makedirs(os.path.dirname(place), exist_ok=True)
        temp = place + '.new'
        if os.path.lexists(temp):
            os.unlink(temp)
        os.symlink(mine, temp)
        os.replace(temp, place)
        try:
            os.utime(mine)
        except PermissionError as err:
            raise Failure(f'{mine}: cannot update its time stamp, so it would '
                          'not be rebuilt: clone the repository as this '
                          'user') from err

    def leftovers(self):
        """Links into the repository that the manifest does not know."""
        found = []
        for top, dirs, files in os.walk(self.tree):
            for name in files + dirs:
                place = os.path.join(top, name)
                if os.path.islink(place) and os.readlink(place).startswith(
                        self.repo + '/'):
                    path = os.path.relpath(place, self.tree)
                    if path not in self.manifest:
                        found.append(path)
        return found

    def series_sum(self):
        """A digest of everything that is laid over the tree."""
        total = hashlib.sha256()
        for path in sorted(self.manifest):
            total.update(path.encode() + b'\0')
            total.update(read(self.in_tree(path)) + b'\0')
        return total.hexdigest()
