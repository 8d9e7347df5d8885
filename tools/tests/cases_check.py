# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading test results and counting them."""
import ast
import glob
import importlib.machinery
import importlib.util
import json
import os
import re
import subprocess
import sys

import tap
from bench import Skip, has
from say import Failure


def load(b, name):
    """A tool without .py in its name, as a module; its main is not run."""
    path = os.path.join(b.tools, name)
    loader = importlib.machinery.SourceFileLoader(name.replace('-', '_'), path)
    spec = importlib.util.spec_from_loader(loader.name, loader)
    module = importlib.util.module_from_spec(spec)
    import say
    real, say.run_main = say.run_main, lambda main: None
    try:
        loader.exec_module(module)
    finally:
        say.run_main = real
    return module


def shell(b, script, timeout=20):
    path = b.write('program', script)
    return tap.run(['sh', path], b.scratch, dict(os.environ), timeout)[0]


def test_tap_of_a_good_program(b):
    results = shell(b, 'echo "TAP version 13"; echo "1..3"; echo "ok 1 - a"\n'
                       'echo "ok 2 /b # SKIP not here"; echo "ok 3"\n')
    assert results == {'a': (tap.PASS, ''), '/b': (tap.SKIPPED, 'not here'),
                       '3': (tap.PASS, '')}


def test_tap_failures_are_seen(b):
    cases = {
        'echo 1..1; echo "not ok 1 - a"; exit 1': ('a', ''),
        'echo 1..2; echo "ok 1 - a"': ('(program)', '1 of 2 subtests'),
        'echo 1..1; echo "ok 1 - a"; exit 3': ('(program)', 'exit status 3'),
        'echo 1..1; kill -9 $$': ('(program)', 'ended by signal 9'),
        'echo "ok 1 - a"': ('(program)', 'printed no plan'),
        'echo 1..1; sleep 30': ('(program)', 'took longer than 1 s'),
    }
    for script, (name, why) in cases.items():
        verdict, said = shell(b, script, timeout=1)[name]
        assert verdict == tap.FAIL, script
        has(said, why)


def test_judge_beside_stock(b):
    judge = load(b, 'qemu-tests').judge
    good, bad, skip = (tap.PASS, ''), (tap.FAIL, 'x'), (tap.SKIPPED, 'y')
    cases = [
        (good, good, tap.PASS), (good, bad, tap.PASS), (good, skip, tap.PASS),
        (bad, good, tap.FAIL), (skip, good, tap.FAIL), (None, good, tap.FAIL),
        (bad, bad, tap.SKIPPED), (bad, skip, tap.SKIPPED),
        (skip, skip, tap.PASS), (bad, None, tap.SKIPPED),
    ]
    for ours, stock, verdict in cases:
        a = {'other': good, **({'a': ours} if ours else {})}
        b_ = {'other': good, **({'a': stock} if stock else {})}
        assert judge(a, b_)[0] == verdict, (ours, stock)
    # without a stock run nothing excuses a failure
    assert judge({'a': bad}, None)[0] == tap.FAIL
    assert judge({'a': skip}, None)[0] == tap.SKIPPED


def test_counting(b):
    count = load(b, 'check').count
    passed, failed, skipped = tap.PASS, tap.FAIL, tap.SKIPPED

    def counted(result, out):
        c = count({'result': result, 'stdout': out})
        return c[passed], c[failed], c[skipped]

    both = 'TAP version 13\n1..3\nok 1 - a\nnot ok 2 - b\nok 3 - c # SKIP x\n'
    assert counted('FAIL', both) == (1, 1, 1)
    assert counted('ERROR', '1..2\nok 1 - a\n') == (1, 1, 0)
    assert counted('TIMEOUT', '1..1\nok 1 - a\n') == (1, 1, 0)
    assert counted('OK', 'no tap at all\n') == (1, 0, 0)
    assert counted('FAIL', '') == (0, 1, 0)
    assert counted('EXPECTEDFAIL', '1..1\nnot ok 1 - a\n') == (1, 0, 0)
    assert counted('UNEXPECTEDPASS', '1..1\nok 1 - a\n') == (1, 1, 0)
    assert counted('SKIP', '') == (0, 0, 1)
    assert counted('SKIP', '1..0 # SKIP no such thing\n') == (0, 0, 1)


def test_what_a_suite_needs(b):
    """A suite builds its own files, none what only another one needs."""
    check = load(b, 'check')
    tests = [{'suite': ['p:unit'], 'depends': ['a', 'b']},
             {'suite': ['p:qtest'], 'depends': ['b', 'c']},
             {'suite': ['p:qtest-asan'], 'depends': ['d']}]
    targets = [{'id': name, 'filename': [f'/{name}']} for name in 'abcde']

    def files(*suites):
        return ''.join(check.targets_of(tests, targets, suites))

    assert files('unit') == '/a/b'
    assert files('qtest', 'unit') == '/a/b/c'
    assert files('qtest-asan') == '/d'
    # all that is not on demand
    assert files() == '/a/b/c'
    try:
        files('unit', 'nosuch')
    except Failure as failure:
        has(str(failure), 'nosuch', 'qtest-asan')
    else:
        raise AssertionError('a suite that there is not passes')


def test_every_qtest_is_listed(b):
    folder = os.path.join(b.real_repo, 'tests', 'qtest', 'xen')
    have = {os.path.basename(p)[:-2]
            for p in glob.glob(os.path.join(folder, 'xen-*-test.c'))}
    with open(os.path.join(folder, 'xen-qtests.list'), encoding='utf-8') as src:
        listed = set(src.read().split())
    # these two make their cases by asking the binary, and have more parts
    have -= {'xen-every-device-test', 'xen-every-pair-test'}
    assert have == listed, f'xen-qtests.list: differs by {have ^ listed}'


def test_every_file_is_in_one_patch(b):
    """What "make series" writes has each file of the series, once."""
    import sources
    export = load(b, 'export-series')
    parts = export.read_list(os.path.join(b.tools, 'series.list'))
    files = sources.series_files(b.real_repo)
    export.assign(parts, files, 'series.list')
    assert sorted(name for part in parts for name in part.paths) == \
        sorted(files)


def series_of(b, *texts):
    """The parts of a series.list, as tools/export-series reads them."""
    export = load(b, 'export-series')
    return export, export.read_list(b.write('list', '\n'.join(texts)))


def refused(check, *args):
    try:
        check(*args)
    except Failure as failure:
        return str(failure)
    raise AssertionError(f'{check.__name__} takes it')


def test_series_tree_is_no_git_tree(b):
    """In one, meson makes an error of each of QEMU's own warnings."""
    export = load(b, 'export-series')
    b.prepared()
    made = export.Export(b.path('build'), b.path('repo'))
    made.base(full=True)
    assert not os.path.lexists(os.path.join(made.work, '.git'))
    assert made.git('log', '--format=%s').stdout == 'QEMU 10.0.13\n'
    assert made.git('status', '--porcelain').stdout == ''


def test_subjects_fit_a_line_and_have_a_body(b):
    export, parts = series_of(b, '* ' + 'x' * 72, '', '  Why.', 'hw/*')
    export.check_messages(parts, 'list')
    export, parts = series_of(b, '* ' + 'x' * 73, '', '  Why.', 'hw/*')
    has(refused(export.check_messages, parts, 'list'), ':1:', 'has 73 columns')
    export, parts = series_of(b, '* short', '', 'hw/*')
    has(refused(export.check_messages, parts, 'list'), '"short" has no body')


def test_whose_a_file_is(b):
    """A path in full, else the longest pattern; hunks go before the rest."""
    export, parts = series_of(
        b, '* hunks', '', '  Why.', 'hw/a.c.patch /lockless/',
        '* one', '', '  Why.', 'hw/xen-*', '* rest', '', '  Why.', 'hw/*',
        '> hw/b.c hw/old.c hw/meson.build', '< hw/old.c', '! moved',
        '== tests', '* tests', '', '  Why.', 'tests/*')
    assert [p.series for p in parts] == ['', '', '', 'tests']
    files = ['hw/a.c.patch', 'hw/a.c.patch-10.2', 'hw/xen-x.c', 'tests/t.c']
    export.assign(parts, files, 'list')
    assert [p.paths for p in parts] == \
        [[], ['hw/xen-x.c'], files[:2], ['tests/t.c']]
    assert parts[2].moves == [('hw/b.c', 'hw/old.c', 'hw/meson.build')]
    assert parts[2].drops == ['hw/old.c'] and parts[2].why_large == 'moved'
    export, parts = series_of(b, '* rest', '', '  Why.', 'hw/*', '* hunks', '',
                              '  Why.', 'hw/a.c.patch /lockless/')
    has(refused(export.assign, parts, files[:1], 'list'), 'no later part')
    has(refused(export.assign, parts, files, 'list'), 'tests/t.c belongs to '
        'no patch')


def patch_of(b, name, lines):
    return b.write(name, f'--- a/{name}\n+++ b/{name}\n@@ -1 +1,{lines} @@\n'
                   ' x\n' + '+y\n' * lines)


def test_a_patch_above_a_thousand_lines_needs_a_reason(b):
    import seriesjudge
    _, parts = series_of(b, '* big', '', '  Why.', 'hw/*', '* told', '',
                         '  Why.', '! data', 'qapi/*', '== tests', '* tests',
                         '', '  Why.', 'tests/*')
    seriesjudge.check_size(parts[0], patch_of(b, 'small', 1000))
    large = patch_of(b, 'large', 1001)
    has(refused(seriesjudge.check_size, parts[0], large), '1001 lines', '"big"')
    seriesjudge.check_size(parts[1], large)
    seriesjudge.check_size(parts[2], large)


def lines_of(repo, name):
    """How many changed lines a file of the series brings to its patch."""
    import seriesjudge
    with open(os.path.join(repo, name), encoding='utf-8') as src:
        text = src.read()
    return seriesjudge.changed_count(text) if name.endswith('.patch') \
        else text.count('\n')


def test_no_patch_of_the_series_is_too_large(b):
    """As "make series" finds too, which makes them."""
    import seriesjudge
    import sources
    export = load(b, 'export-series')
    parts = export.read_list(os.path.join(b.tools, 'series.list'))
    export.assign(parts, sources.series_files(b.real_repo), 'series.list')
    for part in parts:
        count = sum(lines_of(b.real_repo, name) for name in part.paths
                    if not sources.APART.match(name))
        assert count <= seriesjudge.LARGEST or part.series \
            or part.why_large, f'"{part.subject}" has {count} lines'


def test_what_checkpatch_says_has_a_reason(b):
    import seriesjudge
    accepted = seriesjudge.read_accepted(
        os.path.join(b.tools, 'series.checkpatch'))
    assert accepted and all(reason for _, _, reason in accepted)
    path = b.write('list', 'hw/.*\tline over 80\n')
    has(refused(seriesjudge.read_accepted, path), ':1:', 'tabs')
    lines = ['--- a/hw/a.c', '+++ b/hw/a.c', '@@', '+x', '--- a/hw/b.c',
             '+++ b/hw/b.c', '+y']
    assert seriesjudge.file_at(lines, 4) == 'hw/a.c'
    assert seriesjudge.file_at(lines, 7) == 'hw/b.c'


def test_cover_letter_has_the_figures(b):
    export = load(b, 'export-series')
    text = export.cover_letter(b.real_repo)
    assert len(text.splitlines()[0]) <= 72 and text.splitlines()[1] == ''
    has(text, 'simulated Xen:\n\n', '\n| map calls')
    b.write('README.md', 'no figures\n')
    has(refused(export.cover_letter, b.scratch), 'no figures')


def test_warning_of_a_patch_is_told_from_qemus_own(b):
    """A warning is the same at another line, and another in another file."""
    export = load(b, 'export-series')
    own = export.warnings_in(['[1/9] Compiling C object a.o', '/t/hw/a.c:10:5: '
                              'warning: unused x', '../src/qemu/hw/b.c:1: '
                              'warning: y'], '/t')
    again = export.warnings_in(['../src/qemu/hw/a.c:12:5: warning: unused x',
                                '/t/hw/a.c:12:5: warning: unused z'], '/t')
    assert len(own) == 2 and len(again) == 2
    assert [again[w] for w in again if w not in own] == \
        ['/t/hw/a.c:12:5: warning: unused z']


def test_every_test_of_the_series_is_run(b):
    """What QEMU's build knows of the series' tests, the superproject runs."""
    lists = []
    for folder in (os.path.join(b.real_build, 'obj'), b.real_build):
        path = os.path.join(folder, 'meson-info', 'intro-tests.json')
        if not os.path.exists(path):
            raise Skip(f'{folder} is not built')
        with open(path, encoding='utf-8') as src:
            lists.append(json.load(src))
    of_series = load(b, 'qemu-tests').of_series
    have = {os.path.basename(t['cmd'][0]) for t in lists[0] if of_series(t)}
    missing = have - {t['name'] for t in lists[1]}
    assert have and not missing, f'not in meson.build: {missing}'


def tool_refuses(b, tool, *args):
    res = subprocess.run([os.path.join(b.real_repo, 'tools', tool), *args],
                         capture_output=True, text=True, check=False)
    assert res.returncode == 1, res
    return res.stderr


def test_wrong_arguments_are_named(b):
    b.write('build/obj/build.ninja', 'build tests/unit/test-a: link a.o\n')
    build = b.path('build')
    has(tool_refuses(b, 'run-test', build), 'usage: ', ' NAME ',
        'qtest-compat')
    has(tool_refuses(b, 'run-test', b.path('no'), 'unit', 'test-a'),
        'error: ', 'no such build directory', 'make build')
    has(tool_refuses(b, 'run-test', build, 'units', 'test-a'),
        'error: no suite is called units: there are unit qtest ')
    has(tool_refuses(b, 'run-test', build, 'unit', 'test-b'),
        'error: suite unit has no test test-b', '--list')
    has(tool_refuses(b, 'run-test', build, 'unit', 'test-a'),
        'is not built: run ')
    has(tool_refuses(b, 'tests/run', b.real_build, 'no-such-word:'),
        'error: no case has no-such-word: in its name')
    has(tool_refuses(b, 'get-source', '--version'), 'error: --version: ',
        'usage: ')
    has(tool_refuses(b, 'pictures', '--draw'), 'error: --draw: ', 'usage: ')


def test_a_case_that_is_not_there_is_no_success(b):
    """The program lists and runs as one of glib's does."""
    b.write('build/obj/build.ninja', 'build tests/unit/test-a: link a.o\n')
    b.write('build/qemu/qemu-system-i386', '')
    b.write('build/stock/qemu-system-i386', '')
    b.write('build/xensim/libxensim.so', '')
    os.chmod(b.write('build/obj/tests/unit/test-a', '''#!/bin/sh
echo "# Start of a tests"
case "$* " in
*"-p /a/b "*-l*) echo /a/b ;;
*"-p /a/b "*) echo "ok 1 /a/b" ;;
*"-p /a/dies "*) echo "broken" >&2; exit 3 ;;
esac
echo 1..0
'''), 0o755)
    build = b.path('build')
    tool = os.path.join(b.real_repo, 'tools', 'run-test')
    has(tool_refuses(b, 'run-test', build, 'unit', 'test-a', '-p', '/a/x'),
        'error: test-a has no such case, so nothing was run: ',
        'unit test-a -l', 'ninja -C ')
    for case, status in ('/a/b', 0), ('/a/dies', 3):
        res = subprocess.run([tool, build, 'unit', 'test-a', '-p', case],
                             capture_output=True, text=True, check=False)
        assert res.returncode == status, res
        assert ('ok 1 /a/b' in res.stdout) == (status == 0), res


def test_virtual_environment_is_left_out(b):
    sys.path.insert(0, os.path.join(b.tools, 'lib'))
    import ninja
    os.environ['VIRTUAL_ENV'] = b.path('venv')
    os.environ['PYTHONPATH'] = b.path('modules')
    try:
        env = ninja.clean_env(b.scratch)
    finally:
        del os.environ['VIRTUAL_ENV'], os.environ['PYTHONPATH']
    assert 'VIRTUAL_ENV' not in env and 'PYTHONPATH' not in env
    assert env['PATH'].startswith('/usr/bin:')


MOST_LINES = 60


def functions(path):
    """(name, lines) of each function in a C or Python file."""
    with open(path, encoding='utf-8', errors='replace') as src:
        text = src.read()
    if path.endswith(('.c', '.h')):
        for found in re.finditer(r'(?ms)^(\w[^\n;{}]*?(\w+)\([^;{}]*?\)[^;{}]*?)'
                                 r'^\{\n.*?^\}$', text):
            body = found.group(0)[len(found.group(1)):]
            yield found.group(2), body.count('\n') + 1
    elif path.endswith('.py') or text.startswith('#!/usr/bin/python3'):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                yield node.name, node.end_lineno - node.lineno + 1


def too_long(repo, paths):
    return {(path, name) for path in paths
            for name, lines in functions(os.path.join(repo, path))
            if lines > MOST_LINES}


def test_no_function_is_longer_than_a_screen(b):
    b.write('repo/a.c', 'int f(int a,\n      int b)\n{\n' + '    a++;\n' * 59
            + '}\n\nint g(void)\n{\n' + '    g();\n' * 58 + '}\n')
    b.write('repo/a.py', 'def f():\n' + '    f()\n' * 60)
    assert too_long(b.path('repo'), ['a.c', 'a.py']) == {
        ('a.c', 'f'), ('a.py', 'f')}
    files = [os.path.relpath(os.path.join(top, name), b.real_repo)
             for folder in ('hw', 'include', 'system', 'tests', 'tools')
             for top, _, names in os.walk(os.path.join(b.real_repo, folder))
             for name in names if not name.endswith('.new')]
    found = too_long(b.real_repo, files)
    assert not found, sorted(found)


# what mapcache.lock guards: the fields of MapCache after the lock, a slot's
# phase, which is set by a plain store, and what a file's comment says
GUARDED = re.compile(r'(?ms)QemuMutex lock;(.*?)^} MapCache;')
TAKES = re.compile(r'qemu_mutex_(?:lock|init)\(|LOCK_GUARD\(&|'
                   r'mcache_call_lock\(')


OF_A_FILE = re.compile(r'(?m)^static .*?(\w+)(?:\[\w*\])?;\s*'
                       r'/\* (?:under (?:the |mapcache\.)lock|.*; likewise)')


def without_suffix(header, source):
    """Functions that need a lock, do not take it, and are not _locked."""
    own = OF_A_FILE.findall(source)
    plain = re.sub(r'(?s)/\*.*?\*/', '', source)
    fields = re.findall(r'\b(\w+);', re.sub(r'(?s)/\*.*?\*/', '',
                                           GUARDED.search(header)[1]))
    needs = re.compile(r'\bmapcache\.(?:' + '|'.join(fields) + r')\b|'
                       r'\b(?!bql_)\w+_locked\(|'
                       r'\bqatomic_set\(&\w+->(?:state|gen),|' +
                       '|'.join(rf'\b{name}\b' for name in own or ['(?!)']))
    for found in re.finditer(r'(?ms)^\w[^\n;{}]*?\b(\w+)\([^;{}]*?\)\n'
                             r'^\{\n(.*?)^\}$', plain):
        name, body = found.groups()
        if not name.endswith(('_locked', '_init')) and needs.search(body) \
                and not TAKES.search(body):
            yield name


def test_functions_that_need_the_lock_say_so(b):
    header = ('struct {\n    int free;\n    QemuMutex lock;\n'
              '    int n;  /* used; */\n    int *map;\n} MapCache;\n')
    source = ('int f(int a,\n      int b)\n{\n    return mapcache.n;\n}\n\n'
              'int g_locked(void)\n{\n    return mapcache.n;\n}\n\n'
              'int h(void)\n{\n    return g_locked();\n}\n\n'
              'int i(void)\n{\n    qemu_mutex_lock(&mapcache.lock);\n'
              '    return g_locked();\n}\n\n'
              'int j(void)\n{\n    /* g_locked() */\n'
              '    return mapcache.free + bql_locked();\n}\n\n'
              'static int mine[2];  /* under the lock */\n'
              'static int too;      /* of all; likewise */\n\n'
              'int k(void)\n{\n    return mine[0];\n}\n\n'
              'int l(void)\n{\n    return too;\n}\n\n'
              'void m(Slot *s)\n{\n    qatomic_set(&s->state, FREE);\n}\n')
    assert list(without_suffix(header, source)) == ['f', 'h', 'k', 'l', 'm']
    folder = os.path.join(b.real_repo, 'hw', 'xen')
    with open(os.path.join(folder, 'xen-mapcache-int.h'),
              encoding='utf-8') as src:
        header = src.read()
    wrong = []
    for path in sorted(glob.glob(os.path.join(folder, 'xen-mapcache*.c'))):
        with open(path, encoding='utf-8') as src:
            wrong += [f'{os.path.basename(path)}: {name}()'
                      for name in without_suffix(header, src.read())]
    assert not wrong, '\n'.join(wrong)


def calls_of(patch):
    """The functions of Xen's code that the lines added by a patch call."""
    return set(re.findall(r'^\+.*?\b(xen_\w+)\(', patch, re.M))


def test_patches_of_another_base_call_what_the_common_ones_do(b):
    number = 0
    for apart in glob.glob(os.path.join(b.real_repo, '**/*.patch-10.2'),
                           recursive=True):
        common = apart.removesuffix('-10.2')
        if not os.path.exists(common) or '/build' in apart:
            continue
        with open(apart, encoding='utf-8') as src:
            here = src.read()
        with open(common, encoding='utf-8') as src:
            lost = calls_of(src.read()) - calls_of(here)
        if '\n@@ ' in here:
            number += 1
            assert not lost, f'{apart} does not call {lost}'
    assert number > 5, number
