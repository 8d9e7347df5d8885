# SPDX-License-Identifier: GPL-2.0-or-later
"""Laying the series over a tree, and bringing edits back."""
import os
import re

import overlay
import patches
import sources
from bench import REPLACED, SERIES, TREE, Skip, has, listed
from say import Failure


def encoded(files):
    return {name: text.encode() for name, text in files.items()}


def test_paths_and_contents(b):
    b.prepared()
    has(b.on_build('lay'), '5 paths', '5 changed')
    tree = b.contents('build/src/qemu')
    assert tree['hw/xen/xen-mapcache.c'].decode() == \
        SERIES['hw/xen/xen-mapcache.c']
    # the older folder name lands in the newer one
    assert tree['include/system/xen-mapcache.h'].decode() == \
        SERIES['include/sysemu/xen-mapcache.h']
    assert 'include/sysemu/xen-mapcache.h' not in tree
    assert tree['tests/new/thing.c'] == b'int thing;\n'
    assert tree['system/physmem.c'].decode() == \
        TREE['system/physmem.c'].replace('stock', 'series').replace(
            'map()', 'map_more()')
    assert 'README.md' not in tree and 'tools/nothing' not in tree
    # pages for QEMU's manual are QEMU's, those about the project are not
    assert tree['docs/system/page.rst'] == b'of the series\n'
    assert 'docs/design.md' not in tree
    assert os.path.islink(b.path('build/src/qemu/hw/xen/xen-mapcache.c'))


def test_second_run_touches_nothing(b):
    b.prepared()
    b.on_build('lay')
    places = [b.path('build/src/qemu', p) for p in b.contents('build/src/qemu')]
    before = {p: os.stat(p).st_mtime_ns for p in places}
    has(b.on_build('lay'), '0 changed')
    assert before == {p: os.stat(p).st_mtime_ns for p in places}


def test_a_change_touches_only_its_file(b):
    b.prepared()
    b.on_build('lay')
    places = [b.path('build/src/qemu', p) for p in b.contents('build/src/qemu')]
    before = {p: os.stat(p).st_mtime_ns for p in places}
    patch = SERIES['system/physmem.c.patch'].replace('series %d', 'other %d')
    b.write('repo/system/physmem.c.patch', patch)
    has(b.on_build('lay'), '1 changed')
    after = {p: os.stat(p).st_mtime_ns for p in places}
    changed = [p for p in places if before[p] != after[p]]
    assert changed == [b.path('build/src/qemu/system/physmem.c')], changed


def test_what_is_laid_is_newer_than_what_was_built(b):
    """Sources older than stock's objects would not be compiled again."""
    b.prepared()
    old = 1_000_000_000
    for name in SERIES:
        os.utime(b.path('repo', name), (old, old))
    built = b.write('object', '')
    b.on_build('lay')
    for name in ('hw/xen/xen-mapcache.c', 'include/system/xen-mapcache.h',
                 'system/physmem.c'):
        place = b.path('build/src/qemu', name)
        assert os.stat(place).st_mtime_ns >= os.stat(built).st_mtime_ns, name


def test_stock_comes_back_whole(b):
    b.prepared()
    b.on_build('lay')
    b.on_build('lay', 'stock')
    assert b.contents('build/src/qemu') == encoded(TREE)
    assert not os.path.exists(b.path('build/src/qemu/tests'))


def test_status_names_what_is_laid_and_what_is_edited(b):
    b.prepared()
    assert not b.on_build('lay', 'status')
    b.on_build('lay')
    has(b.on_build('lay', 'status'),
        'link  hw/xen/xen-mapcache.c  <- hw/xen/xen-mapcache.c',
        'link  include/system/xen-mapcache.h  <- include/sysemu/xen-mapcache.h',
        'patch system/physmem.c  <- system/physmem.c.patch')
    b.write('build/src/qemu/system/physmem.c', 'edited\n')
    has(b.on_build('lay', 'status'), 'edited system/physmem.c')


def test_removed_file_goes(b):
    b.prepared()
    b.on_build('lay')
    os.unlink(b.path('repo/hw/xen/xen-mapcache.c'))
    os.unlink(b.path('repo/tests/new/thing.c'))
    has(b.on_build('lay'), '3 paths', '2 changed')
    tree = b.contents('build/src/qemu')
    assert tree['hw/xen/xen-mapcache.c'].decode() == \
        TREE['hw/xen/xen-mapcache.c']
    assert 'tests/new/thing.c' not in tree


def test_broken_off_at_every_step(b):
    """Break the work off before step N for N = 0, 1, ...: the next run
    completes it, and stock comes back whole."""
    for where in ('_keep', '_lay', '_restore', 'record'):
        steps = 0
        while break_off(b, where, steps):
            steps += 1
        assert steps > 0, f'{where} was never reached'


def break_off(b, where, steps):
    for name in list(b.contents('build')):
        os.unlink(b.path('build', name))
    b.prepared()
    src = b.path('build/src')
    over = overlay.Overlay(b.path('repo'), src)
    left = [steps]
    real = getattr(over, where)

    def limited(*args):
        if left[0] == 0:
            raise InterruptedError
        left[0] -= 1
        return real(*args)

    broken = False
    for laying in (True, False):
        entries, contents = over.wanted()[:2] if laying else ({}, {})
        setattr(over, where, limited)
        try:
            over.apply(entries, contents)
        except InterruptedError:
            broken = True
            break
        setattr(over, where, real)
    over = overlay.Overlay(b.path('repo'), src)
    over.apply(*over.wanted()[:2])
    assert b'series %d' in b.contents('build/src/qemu')['system/physmem.c']
    over.apply({}, {})
    assert b.contents('build/src/qemu') == encoded(TREE)
    return broken


def test_hunk_that_does_not_match(b):
    b.prepared()
    bad = SERIES['system/physmem.c.patch'].replace('"stock', '"stuck')
    b.write('repo/system/physmem.c.patch', bad)
    error = b.on_build('lay', fails=True)
    has(error, 'system/physmem.c.patch', 'hunk 1 of 1',
        "QEMU 10.0.13's system/physmem.c", 'line 15 is', 'stuck')
    assert b.contents('build/src/qemu') == encoded(TREE)


def test_all_that_does_not_fit_is_told_at_once(b):
    """Two hunks of one file, another file, and a file that is not there."""
    b.prepared()
    b.write('build/src/qemu/hw/far.c', ''.join(f'{n}\n' for n in range(40)))
    b.write('repo/hw/far.c.patch',
            '--- a/hw/far.c\n+++ b/hw/far.c\n'
            '@@ -5 +5 @@\n-four\n+IV\n@@ -15 +15 @@\n-14\n+XIV\n'
            '@@ -25 +25 @@\n-twenty-four\n+XXIV\n')
    b.write('repo/hw/none.c.patch', '--- a/hw/none.c\n+++ b/hw/none.c\n'
                                    '@@ -1 +1 @@\n-a\n+b\n')
    b.write('repo/system/physmem.c.patch',
            SERIES['system/physmem.c.patch'].replace('"stock', '"stuck'))
    told = b.on_build('lay', fails=True, whole=True)
    has(told, '4 places of the series do not fit QEMU 10.0.13',
        'hw/far.c.patch: hunk 1 of 3', 'hw/far.c.patch: hunk 3 of 3',
        'QEMU 10.0.13 has no file hw/none.c',
        'system/physmem.c.patch: hunk 1 of 1')
    assert 'hunk 2 of 3' not in told, told
    assert b.contents('build/src/qemu')['hw/far.c'].startswith(b'0\n1\n')


def test_file_of_the_base_that_was_mended(b):
    """A distribution's mend of a file that ours replaces is not dropped
    without a word, and its patch is named."""
    b.prepared()
    mended = TREE['hw/xen/xen-mapcache.c'] + '/* mended */\n'
    b.write('build/src/qemu/hw/xen/xen-mapcache.c', mended)
    b.write('build/src/qemu/debian/patches/CVE-1.patch',
            '--- qemu.orig/hw/xen/xen-mapcache.c\n'
            '+++ qemu/hw/xen/xen-mapcache.c\t2026\n@@ -2,0 +3 @@\n+/* mended */\n')
    b.write('build/src/qemu/debian/patches/other.patch',
            '--- a/system/physmem.c\n+++ b/system/physmem.c\n')
    told = b.on_build('lay', fails=True, whole=True)
    has(told, 'hw/xen/xen-mapcache.c: the base has another file',
        'changed by debian/patches/CVE-1.patch)', 'tools/lay --accept')
    assert b.read('build/src/qemu/hw/xen/xen-mapcache.c') == mended
    b.on_build('lay', '--accept')
    has(b.on_build('lay'), '0 changed')
    # the older file is still known
    b.on_build('lay', 'stock')
    b.make_tree('build/src/qemu')
    b.on_build('lay')


def test_file_that_the_base_has_now_or_has_no_more(b):
    b.prepared()
    b.write('build/src/qemu/tests/new/thing.c', 'int other;\n')
    os.unlink(b.path('build/src/qemu/include/system/xen-mapcache.h'))
    told = b.on_build('lay', fails=True, whole=True)
    has(told, '2 places of the series do not fit QEMU 10.0.13',
        'tests/new/thing.c: ours would replace a file that is not listed',
        'include/system/xen-mapcache.h: listed as replaced, and the base has '
        'no such file')
    b.on_build('lay', '--accept')
    assert 'xen-mapcache.h' not in b.read('repo', REPLACED)


def test_list_of_replaced_files_that_cannot_be_read(b):
    b.prepared()
    b.write(f'repo/{REPLACED}', '10.0  abc  hw/xen/xen-mapcache.c\n')
    has(b.on_build('lay', fails=True), f'{REPLACED}:1: not "base sha256 path"')


def test_hunk_with_two_places(b):
    b.prepared()
    lines = 'one\n' + 'same\nother\n' * 2
    b.write('build/src/qemu/system/two.c', lines)
    b.write('repo/system/two.c.patch',
            '--- a/system/two.c\n+++ b/system/two.c\n@@ -3,2 +3,2 @@\n'
            ' same\n-other\n+new\n')
    has(b.on_build('lay', fails=True), 'system/two.c.patch', 'hunk 1',
        'occurs 2 times')


def test_hunk_that_moved_is_told(b):
    b.prepared()
    moved = SERIES['system/physmem.c.patch'].replace('@@ -14,3 +14,3 @@',
                                                     '@@ -5,3 +5,3 @@')
    b.write('repo/system/physmem.c.patch', moved)
    has(b.on_build('lay'), 'hunk 1 applied at line 14, it was made at 5')
    error = b.on_build('refresh-patches', '--check', fails=True)
    has(error, '1 of 1 patches differ from what')


def test_patches_that_are_none(b):
    cases = {
        'hello\n': 'not a unified diff',
        '--- a/system/physmem.c\n+++ b/hw/other.c\n@@ -1 +1 @@\n-a\n+b\n':
            'changes b/hw/other.c',
        '--- a/system/physmem.c\n+++ b/system/physmem.c\n': 'no hunk',
        '--- a/system/physmem.c\n+++ b/system/physmem.c\n@@ -1,2 +1 @@\n-a\n':
            'promises -2 +1',
        '--- a/system/physmem.c\n+++ b/system/physmem.c\n@@ -1,0 +1 @@\n+a\n':
            'no line of context',
    }
    for text, words in cases.items():
        b.prepared()
        b.write('repo/system/physmem.c.patch', text)
        has(b.on_build('lay', fails=True), 'system/physmem.c.patch', words)


def test_patch_of_a_file_that_is_not_there(b):
    b.prepared()
    b.write('repo/hw/none.c.patch', '--- a/hw/none.c\n+++ b/hw/none.c\n'
                                    '@@ -1 +1 @@\n-a\n+b\n')
    has(b.on_build('lay', fails=True), 'hw/none.c.patch',
        'QEMU 10.0.13 has no file hw/none.c')


def test_file_and_patch_of_one_path(b):
    b.prepared()
    b.write('repo/system/physmem.c', 'int x;\n')
    has(b.on_build('lay', fails=True), 'system/physmem.c', 'already provides')


def test_edit_in_the_tree_is_not_lost(b):
    b.prepared()
    b.on_build('lay')
    place = 'build/src/qemu/system/physmem.c'
    b.write(place, b.read(place).replace('series', 'edited'))
    has(b.on_build('lay', fails=True), place, 'refresh-patches')
    has(b.read(place), 'edited')
    b.on_build('refresh-patches')
    has(b.read('repo/system/physmem.c.patch'), '+    printf("edited')
    b.on_build('refresh-patches', '--check')
    has(b.on_build('lay'), '0 changed')


def test_link_that_an_editor_replaced(b):
    """Some editors write a new file over the link."""
    for name in ('hw/xen/xen-mapcache.c', 'tests/new/thing.c'):
        b.prepared()
        b.on_build('lay')
        os.unlink(b.path('build/src/qemu', name))
        b.write(f'build/src/qemu/{name}', 'edited\n')
        has(b.on_build('lay', fails=True), name, 'no longer a link')
        has(b.on_build('lay', 'stock', fails=True), name, 'no longer a link')
        b.on_build('lay', '--discard')
        assert b.read('build/src/qemu', name) == SERIES[name]
        b.on_build('lay', 'stock')
        assert b.contents('build/src/qemu') == encoded(TREE)


def test_first_patch_of_a_file(b):
    b.prepared()
    b.write('build/src/qemu/hw/plain.c', 'one\ntwo\nthree\n')
    b.on_build('lay')
    b.on_build('refresh-patches', '--edit', 'hw/plain.c')
    b.write('build/src/qemu/hw/plain.c', 'one\n2\nthree\n')
    has(b.on_build('lay', fails=True), 'hw/plain.c has an edit')
    b.on_build('refresh-patches')
    b.on_build('lay')
    b.on_build('lay', 'stock')
    assert b.read('build/src/qemu/hw/plain.c') == 'one\ntwo\nthree\n'
    b.on_build('lay')
    assert b.read('build/src/qemu/hw/plain.c') == 'one\n2\nthree\n'


def prepared_for_10_2(b):
    """A tree of base 10.2, where physmem.c and a path are others."""
    tree = dict(TREE, VERSION='10.2.2\n')
    tree['system/physmem.c'] = tree['system/physmem.c'].replace('stock', 'own')
    b.make_tree('build/src/qemu', tree)
    b.make_tree('repo', SERIES)
    b.write(f'repo/{REPLACED}', SERIES[REPLACED]
            + listed(tree, 'hw/xen/xen-mapcache.c',
                     'include/system/xen-mapcache.h', base='10.2'))
    return tree


def test_base_with_files_of_its_own(b):
    """A patch of a base goes before the common one; it may change a whole
    file of ours; a whole file may be of one base only."""
    tree = prepared_for_10_2(b)
    patch = SERIES['system/physmem.c.patch']
    b.write('repo/system/physmem.c.patch-10.2', patch.replace('stock', 'own'))
    b.write('repo/hw/xen/xen-mapcache.c.patch-10.2',
            '--- a/hw/xen/xen-mapcache.c\n+++ b/hw/xen/xen-mapcache.c\n'
            '@@ -2,2 +2,2 @@\n int map(void) { return 2; }\n'
            '-int map_more(void) { return 3; }\n'
            '+int map_more(void) { return 4; }\n')
    b.write('repo/include/exec/old.h.only-10.2', '#include "new.h"\n')
    b.write('repo/hw/never.c.patch-10.1', 'of another base\n')
    has(b.on_build('lay'), 'QEMU 10.2.2: 6 paths', '6 changed')
    laid = b.contents('build/src/qemu')
    has(laid['system/physmem.c'].decode(), 'series %d')
    has(laid['hw/xen/xen-mapcache.c'].decode(), 'return 2', 'return 4')
    assert laid['include/exec/old.h'] == b'#include "new.h"\n'
    has(b.on_build('lay'), '0 changed')
    b.on_build('refresh-patches', '--check')
    # our own file changes, and with it what the patch makes of it
    b.write('repo/hw/xen/xen-mapcache.c',
            '/* more */' + SERIES['hw/xen/xen-mapcache.c'])
    has(b.on_build('lay'), '1 changed')
    has(b.read('build/src/qemu/hw/xen/xen-mapcache.c'), '/* more */#include',
        'return 4')
    b.on_build('lay', 'stock')
    assert b.contents('build/src/qemu') == encoded(tree)


def test_main_base_knows_nothing_of_the_others(b):
    b.prepared()
    b.write('repo/system/physmem.c.patch-10.2', 'not a diff\n')
    b.write('repo/include/exec/old.h.only-10.2', '#include "new.h"\n')
    has(b.on_build('lay'), '5 paths')
    has(b.on_build('refresh-patches', '--apart', 'system/physmem.c',
                   fails=True), 'QEMU 10.0.13 is the main base')


def test_patch_that_is_not_for_a_base(b):
    """Words in place of a diff: the path is left as the base has it."""
    tree = prepared_for_10_2(b)
    b.write('repo/system/physmem.c.patch-10.2', '10.2 prints it by itself.\n')
    has(b.on_build('lay'), '4 paths')
    assert b.read('build/src/qemu/system/physmem.c') == tree['system/physmem.c']


def test_first_patches_of_another_base(b):
    """--apart: what fits of the common patch is applied, a whole file of ours
    is copied; both are edited, and the edits are patches of that base."""
    tree = prepared_for_10_2(b)
    has(b.on_build('lay', fails=True), 'system/physmem.c.patch: hunk 1 of 1')
    has(b.on_build('refresh-patches', '--apart', 'system/physmem.c',
                   'tests/new/thing.c'),
        'system/physmem.c.patch: hunk 1 of 1', 'system/physmem.c.patch-10.2')
    for name, old, new in (('system/physmem.c', 'own', 'moved'),
                           ('tests/new/thing.c', 'thing', 'other')):
        place = f'build/src/qemu/{name}'
        b.write(place, b.read(place).replace(old, new))
    b.on_build('refresh-patches')
    has(b.read('repo/system/physmem.c.patch-10.2'), '-    printf("own',
        '+    printf("moved')
    has(b.read('repo/tests/new/thing.c.patch-10.2'), '+int other;')
    assert b.read('repo/tests/new/thing.c') == SERIES['tests/new/thing.c']
    has(b.on_build('lay'), '5 paths')
    has(b.read('build/src/qemu/tests/new/thing.c'), 'int other;')
    # a copy of a file of ours is none of QEMU's, so the series adds it
    over = overlay.Overlay(b.path('repo'), b.path('build/src'))
    assert over.original('tests/new/thing.c') is None
    b.on_build('lay', 'stock')
    assert b.contents('build/src/qemu') == encoded(tree)


def test_least_context_with_one_place():
    old = ''.join(f'{n % 4}\n' for n in range(20)) + 'end\n'
    lines = old.splitlines(keepends=True)
    lines[9] = 'new\n'
    text = patches.make('f.c.patch', old, ''.join(lines))
    patch = patches.Patch('f.c.patch', text)
    assert patch.apply(old, 'f.c') == (''.join(lines), [])
    # a period of four lines: no context is unique, so it takes the most
    assert text.count('\n ') == 6, text
    lines = old.splitlines(keepends=True)
    lines[19] = 'new\n'
    assert patches.make('f.c.patch', old, ''.join(lines)).count('\n ') == 2


def test_file_without_a_last_newline():
    for old, new in (('a\nb', 'a\nc'), ('a\nb\n', 'a\nc'), ('a\nb', 'a\nb\nc\n')):
        patch = patches.Patch('f.patch', patches.make('f.patch', old, new))
        assert patch.apply(old, 'f') == (new, [])


def applies(b, build):
    """Every patch of the repository is what diff makes, at its own line.  On
    another base than the main one, that holds for the patches of that base."""
    over = overlay.Overlay(b.real_repo, os.path.join(build, 'src'))
    over.wanted()
    for source in sources.of_base(b.real_repo, over.series):
        name = source.name
        text = overlay.read(os.path.join(b.real_repo, name)).decode()
        if source.kind != 'patch' or not patches.has_diff(text):
            continue
        patch = patches.Patch(name, text)
        old = over.below(source.path, source.under).decode()
        new, notes = patch.apply(old, source.path)
        fresh = patches.make(name, old, new, patch.preamble)
        if over.series == sources.MAIN or sources.APART.match(name):
            assert fresh == text and not notes, \
                f'{name} differs: run tools/refresh-patches'


def test_the_series_applies_as_it_is(b):
    applies(b, b.real_build)


def other_bases(b):
    """The bases beside the main one that the repository has files for."""
    return sorted({match['base'] for match in
                   map(sources.APART.match, sources.series_files(b.real_repo))
                   if match})


def test_the_series_applies_to_the_other_bases(b):
    """... whose source is there (make series BASE=10.2 gets it)."""
    for base in other_bases(b):
        build = os.path.join(b.real_repo, 'build-' + base)
        if not os.path.exists(os.path.join(build, 'src', 'origin')):
            raise Skip(f'the source of QEMU {base} is not in {build}')
        applies(b, build)


def added(repo, name):
    with open(os.path.join(repo, name), encoding='utf-8') as src:
        return {line[1:].strip() for line in src
                if line.startswith('+') and not line.startswith('+++')}


def test_what_is_built_on_one_base_is_built_on_the_others(b):
    """A patch of a base that takes the place of a common one lists the same
    source files."""
    names = sources.series_files(b.real_repo)
    apart = [name for name in names if sources.APART.match(name)
             and sources.common_name(name) in names
             and name.rsplit('.patch-', 1)[0].endswith('meson.build')]
    assert apart
    for name in apart:
        missing = added(b.real_repo, sources.common_name(name)) \
            - added(b.real_repo, name)
        assert not missing, f'{name} lacks {sorted(missing)[0]}'


TEXT = re.compile(r'(?:"(?:[^"\\\n]|\\.)*"\s*)+')


def messages(repo, name):
    """The texts of several words that a file of the series brings."""
    with open(os.path.join(repo, name), encoding='utf-8') as src:
        text = src.read()
    if sources.target_of(name) != name:
        text = ''.join(line[1:] for line in text.splitlines(True)
                       if line.startswith('+'))
    joined = (re.sub(r'"\s*"', '', match.group().strip())
              for match in TEXT.finditer(text))
    return {message for message in joined if ' ' in message}


def test_messages_are_the_same_on_every_base(b):
    """What a base's own patch says is said on the main base in these words."""
    names = sources.series_files(b.real_repo)
    common = set().union(*(messages(b.real_repo, n) for n in names
                           if not sources.APART.match(n)
                           and n.endswith(('.c', '.c.patch'))))
    apart = [n for n in names if '.c.patch-' in n]
    assert len(common) > 100 and len(apart) > 5, (len(common), apart)
    for name in apart:
        other = messages(b.real_repo, name) - common
        assert not other, f'{name} says {min(other)}'
