# SPDX-License-Identifier: GPL-2.0-or-later
"""The documents: what they name is there."""
import fnmatch
import os
import re
import shutil
import subprocess

import patches
import sources
from bench import Skip
from cases_check import load
from cases_lay import other_bases

LINK = re.compile(r'\]\(([^)\s]+)\)')
HEADING = re.compile(r'(?m)^#+ +(.*?) *$')
FENCED = re.compile(r'(?ms)^ *```.*?^ *```')
PATH = re.compile(r'`((?:docs|hw|include|qapi|system|tests|tools|\.ci)/'
                  r'[A-Za-z0-9_./-]*[A-Za-z0-9])`')
BULLET = re.compile(r'(?ms)^- (Contract|Code|Test): (.*?)(?=^- |^$|\Z)')
QUOTED = re.compile(r'`([^`]+)`')
PLACEHOLDER = re.compile(r'[A-Z]{4}')
SOURCE = re.compile(r'`([\w./*-]*[\w*]\.'
                    r'(?:c|h|py|list|dot|rst|pml|sh|build))`')
OF_XEN = {'docs/features/qemu-depriv'}


def documents(repo):
    """{path: text without code blocks} of the repository's Markdown files."""
    found = {}
    for top, dirs, files in os.walk(repo):
        dirs[:] = [d for d in dirs if not d.startswith(('.', 'build'))]
        for name in files:
            if name.endswith('.md'):
                path = os.path.join(top, name)
                with open(path, encoding='utf-8') as src:
                    found[os.path.relpath(path, repo)] = \
                        FENCED.sub('', src.read())
    return found


def anchors(text):
    """The names that a site gives to the headings of a document."""
    return {re.sub(r'[^\w -]', '', h.lower()).replace(' ', '-')
            for h in HEADING.findall(text)}


def broken_links(repo, docs):
    for name, text in docs.items():
        for link in LINK.findall(text):
            path, _, anchor = link.partition('#')
            if '://' in link or link.startswith('mailto:'):
                continue
            target = os.path.normpath(os.path.join(
                os.path.dirname(name), path)) if path else name
            if not os.path.exists(os.path.join(repo, target)):
                yield f'{name}: {link}: no such file'
            elif anchor and anchor not in anchors(docs.get(target, '')):
                yield f'{name}: {link}: no such heading'


def test_links_lead_somewhere(b):
    docs = documents(b.real_repo)
    assert len(docs) > 5, docs.keys()
    wrong = list(broken_links(b.real_repo, docs))
    assert not wrong, '\n'.join(wrong)


def test_links_that_lead_nowhere_are_found(b):
    b.write('repo/docs/a.md', '# Two words, and more\n\n'
                              '[x](b.md) [y](#two-words-and-more) [z](#no)\n'
                              '```\n[code](none.md)\n```\n')
    docs = documents(b.path('repo'))
    assert list(broken_links(b.path('repo'), docs)) == [
        'docs/a.md: b.md: no such file', 'docs/a.md: #no: no such heading']


def test_files_that_are_named_are_there(b):
    """A path in a document is one of the repository, of a build, or QEMU's."""
    tree = os.path.join(b.real_build, 'src', 'qemu')
    wrong = []
    for name, text in documents(b.real_repo).items():
        for path in PATH.findall(text):
            if PLACEHOLDER.search(path) or path in OF_XEN:
                continue
            if not any(os.path.exists(os.path.join(top, path))
                       for top in (b.real_repo, tree)):
                wrong.append(f'{name}: {path}')
    assert not wrong, '\n'.join(wrong)


def all_files(*tops):
    """The paths of all files below @tops, each without ".patch"."""
    for top in tops:
        for where, dirs, files in os.walk(top):
            dirs[:] = [d for d in dirs if not d.startswith(('.', 'build'))]
            for name in files:
                yield os.path.relpath(os.path.join(where, name),
                                      top).removesuffix('.patch')


def unknown_files(texts, paths):
    """The source files that texts name by the ends of their paths, or by
    patterns, and that are not among @paths: "document: name"."""
    ends = {path.split('/', n)[-1] for path in paths
            for n in range(path.count('/') + 1)}
    for where, text in texts.items():
        for name in SOURCE.findall(text):
            if '*' in name:
                known = fnmatch.filter(ends, name)
            else:
                known = name in ends or (name.startswith('-') and
                                         any(e.endswith(name) for e in ends))
            if not known and not PLACEHOLDER.search(name):
                yield f'{where}: {name}'


def test_source_files_that_are_named_are_there(b):
    """Also those that are named without their folder, as in "-fill.c"."""
    paths = set(all_files(b.real_repo,
                          os.path.join(b.real_build, 'src', 'qemu')))
    texts = documents(b.real_repo)
    manual = 'docs/system/i386/xen-device-model.rst'
    with open(os.path.join(b.real_repo, manual), encoding='utf-8') as src:
        texts[manual] = src.read().replace('``', '`')
    wrong = list(unknown_files(texts, paths))
    assert not wrong, '\n'.join(wrong)


def test_source_files_that_are_nowhere_are_found():
    text = ('`a.c`, `x/a.c`, `y/a.c`, `-b.c`, `-c.c`, `x/*-b.c`, `y*.c`, '
            '`NAME.c`, `c.c`\n')
    assert list(unknown_files({'d': text}, {'x/a.c', 'x/a-b.c'})) == [
        'd: y/a.c', 'd: -c.c', 'd: y*.c', 'd: c.c']


def test_packagers_are_told_each_file_that_changes(b):
    """By its name or by that of its folder, so that a conflict is foreseen."""
    with open(os.path.join(b.real_repo, 'docs', 'packagers.md'),
              encoding='utf-8') as src:
        told = set(QUOTED.findall(src.read()))
    changed = [s.path for s in sources.of_base(b.real_repo, sources.MAIN)
               if s.kind == 'patch'
               and not s.path.startswith(('tests/', 'docs/'))]
    assert len(changed) > 40, changed
    missing = [path for path in changed
               if not told & {path, os.path.dirname(path) + '/'}]
    assert not missing, ', '.join(missing)


def test_trace_events_are_in_the_manual(b):
    with open(os.path.join(b.real_repo, 'docs', 'system', 'i386',
                           'xen-device-model.rst'), encoding='utf-8') as src:
        told = set(re.findall(r'``(\w+)``', src.read()))
    events = set()
    for folder in ('hw/xen', 'hw/i386/xen'):
        with open(os.path.join(b.real_repo, folder, 'trace-events.patch'),
                  encoding='utf-8') as src:
            events.update(re.findall(r'(?m)^\+(\w+)\(', src.read()))
    assert events and not events - told, sorted(events - told)


def test_targets_that_are_named_are_there(b):
    """Each "make TARGET" of the documents."""
    with open(os.path.join(b.real_repo, 'Makefile'), encoding='utf-8') as src:
        rules = re.findall(r'(?m)^([a-z0-9-]+(?: [a-z0-9-]+)*):(?!=)', src.read())
    known = {target for rule in rules for target in rule.split()}
    wrong = [f'{name}: make {target}'
             for name, text in documents(b.real_repo).items()
             for target in re.findall(r'`make ([a-z][a-z0-9-]*)', text)
             if target not in known]
    assert not wrong, '\n'.join(wrong)


PROMISE = re.compile(r'"([^"]+)"')


def plain(text):
    """A header, or a patch of one, without what begins a comment's lines."""
    return re.sub(r'\s+', ' ', re.sub(r'(?m)^\+?\s*\*(?!/)', '', text))


def not_promised(words, where):
    """The quotes that are in no contract of what the bullet names in WHERE."""
    names = [word.rstrip('()') for word in QUOTED.findall(words)]
    for promise in PROMISE.findall(words):
        promise = re.sub(r'\s+', ' ', promise)
        for text in where:
            _, found, rest = plain(text).partition(promise)
            declared = rest.partition('*/')[2].partition('/*')[0]
            if found and any(re.search(rf'\b{re.escape(name)}\b', declared)
                             for name in names):
                break
        else:
            yield f'"{promise}": no contract says so'


def not_there(repo, text):
    """What a page of guarantees names, and the repository does not have."""
    sources = {}
    for top, dirs, files in os.walk(repo):
        dirs[:] = [d for d in dirs if not d.startswith(('.', 'build'))]
        for name in files:
            if name.endswith(('.c', '.h', '.h.patch', '.py', '.build', '.pml')):
                path = os.path.join(top, name)
                with open(path, encoding='utf-8') as src:
                    sources[os.path.relpath(path, repo)] = src.read()
    meson = ''.join(s for path, s in sources.items()
                    if path.endswith('meson.build'))
    for kind, words in BULLET.findall(text):
        if kind == 'Contract':
            yield from not_promised(words, [
                sources[word] for word in QUOTED.findall(words)
                if word in sources])
        where = None
        for word in QUOTED.findall(words):
            name = word.rstrip('()')
            if '/' in word and '.' in word:
                where = sources.get(word)
                if where is None:
                    yield f'{word}: no such file'
            elif kind != 'Test':
                # a definition begins a line
                found = where and re.search(
                    rf'\b{name}\b' if kind == 'Contract' else
                    rf'(?m)^[A-Za-z].*\b{name}\(', where)
                if where is not None and not found:
                    yield f'{word}: not where it is said to be'
            elif '/' in word:
                if where is not None and f'"{word}"' not in where:
                    yield f'{word}: no such case'
            else:
                program = [s for path, s in sources.items()
                           if os.path.basename(path) == word + '.c']
                where = program[0] if program else None
                if not program and f"'{word}'" not in meson:
                    yield f'{word}: no such test'


def test_guarantees_are_where_they_are_said_to_be(b):
    with open(os.path.join(b.real_repo, 'docs', 'guarantees.md'),
              encoding='utf-8') as src:
        text = src.read()
    kinds = [kind for kind, words in BULLET.findall(text)]
    headings = re.findall(r'(?m)^## (G[0-9]+) ', text)
    assert headings == [f'G{n}' for n in range(1, 15)], headings
    assert kinds == ['Contract', 'Code', 'Test'] * 14, kinds
    silent = [words for kind, words in BULLET.findall(text)
              if kind == 'Contract' and not PROMISE.search(words)]
    assert not silent, silent
    wrong = list(not_there(b.real_repo, text))
    assert not wrong, '\n'.join(wrong)


def test_guarantees_that_nobody_keeps_are_found(b):
    b.write('repo/hw/a.c', 'int kept(void)\n{\n    lost();\n}\n')
    b.write('repo/tests/some-test.c', 'add("some/case", f);\n')
    text = ('- Contract: `hw/none.h`: `x()`\n'
            '- Code: `hw/a.c`: `kept()`,\n  `lost()`\n'
            '- Test: `some-test` `some/case`, `no/case`; `no-test`\n')
    assert list(not_there(b.path('repo'), text)) == [
        'hw/none.h: no such file', 'lost(): not where it is said to be',
        'no/case: no such case', 'no-test: no such test']


def test_promises_that_no_contract_makes_are_found(b):
    b.write('repo/hw/a.h', '/*\n * Stays\n * mapped.\n */\nint kept(void);\n'
            '/* Is lost. */\nint other(void);\n')
    for promise, wrong in (('Stays mapped', []), ('Stays', []),
                           ('Is lost', ['"Is lost": no contract says so']),
                           ('Is here', ['"Is here": no contract says so'])):
        text = f'- Contract: `hw/a.h`: `kept()`: "{promise}"\n'
        assert list(not_there(b.path('repo'), text)) == wrong, promise


def test_man_page_is_clean_and_names_every_option(b):
    page = os.path.join(b.real_repo, 'docs', 'xensim.1')
    if not shutil.which('man'):
        raise Skip('man-db is not installed')
    shown = subprocess.run(['man', '--warnings', '-E', 'UTF-8', '-l', page],
                           capture_output=True, text=True, check=False,
                           env={'PATH': '/usr/bin:/bin', 'LC_ALL': 'C.UTF-8'})
    assert shown.returncode == 0 and not shown.stderr, shown.stderr
    text = re.sub('.\b', '', shown.stdout)
    xensim = os.path.join(b.real_build, 'xensim', 'xensim')
    help_text = subprocess.run([xensim, '--help'], capture_output=True,
                               text=True, check=True).stdout
    options = re.findall(r'(?m)^ .*?(--[a-z0-9-]+)', help_text)
    assert len(options) > 5, help_text
    told = re.findall(r'(?m)^ +(?:-., )?(--[a-z0-9-]+)', text)
    assert set(options) <= set(told), set(options) - set(told)
    assert set(told) <= set(options), set(told) - set(options)


def test_pictures_are_drawn_from_their_sources(b):
    tool = os.path.join(b.real_repo, 'tools', 'pictures')
    res = subprocess.run([tool, '--check'], capture_output=True, text=True,
                         check=False)
    assert res.returncode == 0, res.stderr


def test_each_device_of_the_tests_is_on_the_page_of_restores(b):
    tool = os.path.join(b.real_repo, 'tools', 'restore-table')
    res = subprocess.run([tool, '--check', b.real_build], capture_output=True,
                         text=True, check=False)
    assert res.returncode == 0, res.stderr


def test_page_of_restores_is_made_from_lists(b):
    tool = load(b, 'restore-table')
    text = tool.page(['every-device/alone/VGA', 'every-device/vga/VGA',
                      'every-device/vga/ich9-ahci'],
                     ['physmap/vga-2m', 'restore/ahci-first', 'restore/hole'],
                     tool.known_patterns('    { "vga/ich*", why },\n'))
    assert text[len(tool.HEAD):] == (
        '| ich9-ahci |  |  | known | `restore/ahci-first` |\n'
        '| VGA | yes |  | yes | `physmap/vga-2m` |\n')
    assert tool.not_listed('`physmap/vga-*`, `physmap/no`, `other/no`',
                           ['physmap/vga-2m']) == ['physmap/no']


def too_long(text):
    """Lines of QAPI documentation that QEMU 10.2 and later refuse."""
    found, example = [], False
    for line in text.split('\n'):
        if not line.startswith('#') or line == '##':
            example = False
        elif re.fullmatch(r'#( \.\. +qmp-example)? *::', line.rstrip()):
            example = True
        elif len(line) > 70 and not example:
            found.append(line)
    return found


def next_release(base):
    """QEMU has three releases a year, x.0 to x.2."""
    major, minor = map(int, base.split('.'))
    return f'{major}.{minor + 1}' if minor < 2 else f'{major + 1}.0'


def qapi_text(b, source):
    """What the series adds to a file of qapi/."""
    text = open_text(b, source.name)
    if source.under:
        return patches.Patch(source.name, text).apply(
            open_text(b, source.under), source.under)[0]
    return text if source.kind == 'link' else '\n'.join(
        line[1:] for line in text.split('\n') if line.startswith('+'))


def open_text(b, name):
    with open(os.path.join(b.real_repo, name), encoding='utf-8') as src:
        return src.read()


def test_qapi_since_is_the_release_after_the_base(b):
    """No release has what the series adds; the next one could."""
    for base in sources.MAIN, *other_bases(b):
        number = 0
        for source in sources.of_base(b.real_repo, base):
            if source.path.startswith('qapi/'):
                found = re.findall(r'(?i)\bsince:? (\d+\.\d+)',
                                   qapi_text(b, source))
                number += len(found)
                assert set(found) <= {next_release(base)}, (source, found)
        assert number == 12, (base, number)


def test_qapi_documentation_has_short_lines(b):
    """The main base would take longer ones, so its build does not tell."""
    for name in ('xen-mapcache.json', 'stats.json.patch'):
        with open(os.path.join(b.real_repo, 'qapi', name),
                  encoding='utf-8') as src:
            text = src.read()
        if name.endswith('.patch'):
            text = '\n'.join(line[1:] for line in text.split('\n')
                             if line.startswith('+'))
        assert '#' in text, name
        assert not too_long(text), (name, too_long(text))


def test_qapi_documentation_with_long_lines_is_found():
    long = '# ' + 'x' * 69
    example = f'##\n# .. qmp-example::\n#\n{long}\n##\n'
    assert too_long(f'##\n{long}\n##\n{example}{long}') == [long, long]
    assert not too_long(example + long[:-1])
