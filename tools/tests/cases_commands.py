# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands in the documents: each is run, or commands.list says who does,
or why nobody does."""
import os
import re
import shutil
import subprocess
import textwrap

from bench import Skip

LIST = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                    'commands.list')
COMMAND = re.compile(r'^(?:[A-Z_]+=\S+ +)*(make|tools/\S+|build/\S+|meson|ninja|'
                     r'gdb|man|\.ci/run|xl|xensim|xen-conformance|install|'
                     r'sysctl|export|rm|apt-get|tests/\S+|echo|info)( |$)')
# in a sentence: with an argument; a name alone is that of a file, or of a QMP
# command
IN_WORDS = re.compile(r'^(?:[A-Z_]+=\S+ +)*(?:(?:make|meson|ninja|man|strings|xl|'
                      r'xensim|xen-mapcache-\w+|git|info|'
                      r'(?:tools|tests|build)/\S+) [^…]+$|(?:x-)?query-[\w-]+$)')
QUOTED = re.compile(r'`([^`]+)`')
BY = re.compile(r'(\S+) \((.+)\)$')
# prose in a block: "make the mistake M"
WORDS = re.compile(r'\bmake (the|it)\b')


def commands(text):
    """The commands in the blocks and in the sentences of a document, each in
    one line."""
    found, words, fence, whole = [], '', False, ''
    for line in text.split('\n'):
        if line.strip().startswith('```'):
            fence = not fence
            continue
        if not (fence or line.startswith('    ')):
            words += line + ' '
            continue
        whole += line.strip()
        if whole.endswith('\\'):
            whole = whole[:-1].rstrip() + ' '
            continue
        whole = re.sub(r'\s+#.*', '', whole.removeprefix('$ ')
                       .removeprefix('(qemu) '))
        if COMMAND.match(whole) and not WORDS.search(whole):
            found.append(whole)
        whole = ''
    return found + [re.sub(r'\s+', ' ', quoted)
                    for quoted in QUOTED.findall(words)
                    if IN_WORDS.match(quoted)]


def as_markdown(name, text):
    """The blocks and quotes of a page of QEMU's manual or of a man page, as
    those of a document."""
    man, block, lines = name.endswith('.1'), False, []
    if name.endswith('.md'):
        return text
    for line in text.replace('\\-', '-').replace('\\e', '\\').split('\n'):
        if line in ('.nf', '.fi'):
            block = line == '.nf'
        elif not man and line.endswith('::'):
            block = True
        elif not man and line and not line.startswith(' '):
            block = False
        lines.append('    ' + line.strip() if block and not line.endswith('::')
                     else line.strip().replace('``', '`'))
    return '\n'.join(lines)


def in_documents(repo):
    found = set()
    for top, dirs, files in os.walk(repo):
        dirs[:] = [d for d in dirs if not d.startswith(('.', 'build'))]
        for name in files:
            if name.endswith(('.md', '.rst', '.1')):
                with open(os.path.join(top, name), encoding='utf-8') as src:
                    found |= set(commands(as_markdown(name, src.read())))
    return found


def listed(path):
    """{command: how it is tested}."""
    with open(path, encoding='utf-8') as src:
        lines = [line.rstrip('\n') for line in src
                 if line.strip() and not line.startswith('#')]
    return dict(line.rsplit(' => ', 1) for line in lines)


def test_commands_are_found_in_blocks():
    text = ('words\n\n    make build   # why\n    make it so in words\n\n'
            '```\n$ tools/x \\\n    -y\nother\n```\n'
            '`make\nrun`, `tools/x`, `a b`\n')
    assert commands(text) == ['make build', 'tools/x -y', 'make run'], \
        commands(text)


def test_commands_are_found_in_manuals():
    rst = ('``info stats`` shows::\n\n  (qemu) info vm\n  make of it\n\n'
           'words of ``info``, ``query-it``\n')
    assert commands(as_markdown('a.rst', rst)) == [
        'info vm', 'make of it', 'info stats', 'query-it']
    man = '.nf\necho x | xensim run \\-\\- \\e\n    y\n.fi\n.B xensim run\n'
    assert commands(as_markdown('a.1', man)) == ['echo x | xensim run -- y']


def test_every_command_of_the_documents_is_tested(b):
    have, want = listed(LIST), in_documents(b.real_repo)
    assert len(want) > 20, want
    differs = sorted(set(have) ^ want)
    assert not differs, 'commands.list differs by\n' + '\n'.join(differs)
    for command, how in have.items():
        kind, _, rest = how.partition(' ')
        assert kind in ('run', 'by', 'not:'), how
        if kind == 'by':
            by = BY.match(rest)
            assert by, f'{command}: {rest} is no "FILE (TEXT)"'
            path = os.path.join(b.real_repo, by[1])
            assert os.path.exists(path), f'{command}: no {by[1]}'
            with open(path, encoding='utf-8') as src:
                assert by[2] in src.read(), \
                    f'{command}: {by[1]} does not have {by[2]}'


def test_commands_that_are_quick_run(b):
    quick = [command for command, how in listed(LIST).items() if how == 'run']
    assert len(quick) > 2, quick
    for command in quick:
        there = re.sub(r'(?<![\w./-])build(?=[ /]|$)', b.real_build, command)
        res = subprocess.run(['sh', '-c', there], cwd=b.real_repo, text=True,
                             capture_output=True, timeout=120, check=False,
                             stdin=subprocess.DEVNULL)
        assert res.returncode == 0, f'{command}: {res.stdout}{res.stderr}'
        assert 'No tests' not in res.stdout and '1..0' not in res.stdout, \
            f'{command}: names no test'


def test_gdb_stops_a_qtest_as_the_page_says(b):
    """The page's lines, pasted; gdb has no terminal, and ends by itself."""
    if not shutil.which('gdb'):
        raise Skip('gdb is not installed')
    program = os.path.join(b.real_build,
                           'obj/tests/qtest/xen/xen-hole-test')
    if not os.path.exists(program):
        raise Skip('xen-hole-test is not built')
    with open(os.path.join(b.real_repo, 'CONTRIBUTING.md'),
              encoding='utf-8') as src:
        lines, = re.findall(r'(?m)(^    mkdir -p build/gdb\n(?:    .*\n)+)',
                            src.read())
    lines = textwrap.dedent(lines)
    lines = lines.replace('build/gdb', f'{b.scratch}/gdb')
    lines = lines.replace(f'$PWD/{b.scratch}', b.scratch).replace(
        '$PWD/build/', b.real_build + '/').replace(
            'run-test build ', f'run-test {b.real_build} ')
    lines = lines.replace('gdb -q', 'gdb -batch -nx').replace(
        '-ex run', "-ex run -ex bt -ex delete -ex 'handle SIGTERM nostop' "
        '-ex continue').replace('</dev/tty >/dev/tty', f'>{b.scratch}/gdb.log')
    res = subprocess.run(['bash', '-c', lines], cwd=b.real_repo,
                         capture_output=True, text=True, timeout=300,
                         check=False, stdin=subprocess.DEVNULL)
    out = res.stdout + res.stderr
    with open(f'{b.scratch}/gdb.log', encoding='utf-8') as src:
        seen = src.read()
    assert re.search(r'#0 .*xen_map_cache', seen), seen + out
    assert '\nok 1 /i386/xen/hole/filled\n' in out, out
    assert res.returncode == 0, out
