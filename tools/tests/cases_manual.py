# SPDX-License-Identifier: GPL-2.0-or-later
"""The pages that the series adds to QEMU's manual."""
import os
import re
import shutil
import subprocess

from bench import Skip, has
from qmp import Monitor
from simguests import SLOW_DISK, guests

PAGE = 'i386/xen-device-model'


def test_docs_page_in_the_manual(b):
    """QEMU's sphinx builds the manual's part with our page, says nothing of
    it, and it can be reached.  Other parts of the manual are left out, so
    warnings about links to them are no matter."""
    docs = os.path.join(b.real_build, 'src', 'qemu', 'docs')
    if not os.path.exists(os.path.join(docs, 'system', f'{PAGE}.rst')):
        raise Skip(f'{docs} is not laid')
    sphinx = shutil.which('sphinx-build', path='/usr/bin')
    if not sphinx:
        raise Skip('python3-sphinx is not installed')
    res = subprocess.run(
        [sphinx, '-q', '-c', docs, '-b', 'html', '-D', 'master_doc=index',
         '-d', b.path('trees'), os.path.join(docs, 'system'), b.path('html')],
        capture_output=True, text=True, timeout=300, check=False,
        env={'PATH': '/usr/bin:/bin', 'LC_ALL': 'C.UTF-8',
             'PYTHONDONTWRITEBYTECODE': '1'})
    assert res.returncode == 0, res.stderr
    said = [line for line in res.stderr.splitlines()
            if re.search('xen-device-model|target-i386', line)]
    assert not said, said
    has(b.read('html', 'target-i386.html'), f'href="{PAGE}.html"')
    page = b.read('html', f'{PAGE}.html')
    has(page, 'Device model of Xen HVM guests', 'mapcache-size',
        '<h2>Outstanding DMA')
    assert 'system-message' not in page


def page(b):
    with open(os.path.join(b.real_repo, 'docs', 'system', f'{PAGE}.rst'),
              encoding='utf-8') as src:
        return src.read()


def known_names(guest):
    """Everything that a device model has a name for, by kind."""
    def names(answer, key='name'):
        return {one[key] for one in answer}

    with Monitor(guest.socket, 20) as monitor:
        schema = monitor.must('query-qmp-schema')
        stats, = monitor.must('query-stats-schemas', provider='xen-mapcache')
        counters = monitor.must('query-xen-mapcache')
        return {
            'command': names(monitor.must('query-commands')),
            'event': {one['name'] for one in schema
                      if one['meta-type'] == 'event'},
            'trace event': names(monitor.must('trace-event-get-state',
                                              name='*')),
            'property': names(monitor.must('qom-list-properties',
                                           typename='xen-accel')),
            'statistic': names(stats['stats']) | {stats['provider']},
            # the reaper's state is not told: it lasts for one call
            'state': set(counters['slots']) | {'going'},
        }


def names_nothing(text, guest, options):
    """What a page names that this device model does not have."""
    known = known_names(guest)
    for name in sorted(set(re.findall('``([^`]+)``', text))):
        if name.startswith('info '):
            is_there = not re.match('unknown command|info .* unknown argument',
                                    guest.human(name))
        elif match := re.fullmatch('(?:-machine )?(mapcache-[a-z]+)(?:=[A-Z]+)?',
                                   name):
            is_there = match[1] in known['property']
        elif match := re.fullmatch(r'(-[a-z-]+)(?: (\w+).*)?', name):
            is_there = re.search(rf'(?m)^{match[1]}\b', options) and (
                not match[2] or match[2] in options)
        else:
            is_there = any(name in names for names in known.values())
        if not is_there:
            yield name


# of Linux, libc and Xen's toolstack
NOT_OF_QEMU = {'RLIMIT_AS', 'RLIMIT_FSIZE', 'vm.max_map_count',
               'XenMapcacheInfo', 'XenMapcacheSlots',
               "xl qemu-monitor-command GUEST 'info xen-mapcache'"}


def shape(line):
    """A line of the monitor without what differs from guest to guest."""
    line = re.sub(r'\b[0-9a-f]{16}\b', 'ADDRESS', line.strip())
    line = re.sub(r'\((writes|reads), (held|transfer), ', '(KIND, ', line)
    line = re.sub(r'\((not shown|shown)(, pinned)?\)', '(SHOWN)', line)
    line = re.sub(r'(\): ).*', r'\1DEVICE', line)
    return re.sub(r'\b\d+\b', 'N', line)


def samples(text, start, end):
    """[(command, [shape of a line])] of a document's samples."""
    for command, lines in re.findall(
            rf'(?ms){start}(info [a-z -]+)$\n(.*?){end}', text):
        yield command, [shape(line) for line in lines.splitlines()]


def test_docs_page_names_what_is_there(b):
    text = page(b)
    program = os.path.join(b.real_build, 'qemu', 'qemu-system-i386')
    options = ''.join(subprocess.run(
        [program, *args], capture_output=True, text=True, check=True).stdout
        for args in (['-help'], ['-machine', 'help']))
    with guests(b, (1, 'guest', SLOW_DISK)) as (guest,):
        guest.stall()
        wrong = set(names_nothing(text, guest, options)) - NOT_OF_QEMU
        assert not wrong, wrong
        # and each name that is not there is found
        odd = [f'``{name}``' for name in (
            'info xen-none', 'info xen-mapcache none', 'query-xen-none',
            '-machine mapcache-none=SIZE', '-none', '-machine none5',
            'XEN_MAPCACHE_NONE', 'xen_map_none', 'none')]
        assert len(list(names_nothing(' '.join(odd), guest, options))) == \
            len(odd)
        found = list(samples(text, r'\(qemu\) ', r'^\n'))
        assert [command for command, _ in found] == [
            'info xen-mapcache', 'info xen-mapcache dma',
            'info xen-physmap'], found
        for command, shapes in found:
            told = [shape(line) for line in guest.human(command).splitlines()]
            for line in shapes:
                assert line in told or (line.endswith('...') and any(
                    t.startswith(line[:-3]) for t in told)), (line, told)
    with open(os.path.join(b.real_repo, 'qapi', 'xen-mapcache.json'),
              encoding='utf-8') as src:
        ours = re.findall(r"'(?:command|event)': '([\w-]+)'", src.read())
    assert len(ours) == 6, ours
    missing = [name for name in ours if f'``{name}``' not in text]
    assert not missing, missing
