# SPDX-License-Identifier: GPL-2.0-or-later
"""The messages of QEMU with the series: docs/troubleshooting.md has them."""
import os
import re

import sources

# QEMU's functions that write a message, and those of the series
SAYS = re.compile(r'\b(?:error_report|warn_report|warn_report_once|error_setg|'
                  r'error_setg_errno|xen_complain|xen_physmap_fail|'
                  r'mcache_report_failure)\(')
TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|[(),;]')
FORMAT = re.compile(r'%[-+ #0]*\d*(?:\.\d+)?(?:hh|h|ll|l|z)?[a-zA-Z]?(?=\W|$)'
                    r'|0x%?')


def messages(text):
    """The first string in each call that writes a message."""
    for call in SAYS.finditer(text):
        depth, found, at = 1, '', call.end()
        while depth:
            token = TOKEN.search(text, at)
            if not token or token[0] == ';' or (token[0] == ',' and found
                                                and depth == 1):
                break
            at = token.end()
            depth += {'(': 1, ')': -1}.get(token[0], 0)
            if token[1] and depth == 1:
                found += token[1]
        if found:
            yield found


def is_told(message, table):
    """A table tells a message if it has the beginning of one of its parts:
    what is between two formats."""
    parts = [re.sub(r'^xen( mapcache)?: ', '', part.strip(' :,;.()')).split()
             for part in FORMAT.split(message)]
    longest = max(len(part) for part in parts)
    return longest < 2 or any(' '.join(part[:4]) in table for part in parts
                              if len(part) >= min(longest, 3))


def test_messages_are_in_the_table(b):
    with open(os.path.join(b.real_repo, 'docs', 'troubleshooting.md'),
              encoding='utf-8') as src:
        rows = src.read().split('## QEMU')[1].split('### ')[0]
    table = ' '.join(row.split('|')[1] for row in rows.splitlines()
                     if row.startswith('|'))
    number, missing = 0, []
    for source in sources.of_base(b.real_repo, sources.MAIN):
        if not source.name.endswith(('.c', '.c.patch')) or \
                source.path.startswith('tests/'):
            continue
        with open(os.path.join(b.real_repo, source.name),
                  encoding='utf-8') as src:
            text = src.read()
        if source.kind == 'patch':
            text = '\n'.join(line[1:] for line in text.splitlines()
                             if line.startswith('+'))
        for message in messages(text):
            number += 1
            if not is_told(message, table):
                missing.append(f'{source.name}: "{message}"')
    assert number > 50, number
    assert not missing, ('docs/troubleshooting.md has no row for\n' +
                         '\n'.join(missing))


def test_messages_that_no_table_tells_are_found():
    text = ('error_setg(errp, "xen: the %s is at 0x%" PRIx64 " of "\n'
            '           "%d", name(x, "y"), at);\n'
            'warn_report("%s; the guest goes on", why);\n')
    assert list(messages(text)) == ['xen: the %s is at 0x% of %d',
                                    '%s; the guest goes on']
    assert is_told('%s; the guest goes on', '`…; the guest goes on`')
    assert not is_told('%s; the guest goes on', '`the guest ends`')
    assert is_told('xen: the %s is at 0x% of %d', '`the X is at ADDRESS`')
