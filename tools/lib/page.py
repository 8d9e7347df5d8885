# SPDX-License-Identifier: GPL-2.0-or-later
"""build/report/index.html: what the last runs showed, in one file.

Each of make run, make check, make bench and make check-xen leaves its results
in the report folder and then writes the page again, from all that is there.
Pictures are in the page itself; it has no script and fetches nothing, and its
content security policy has the browser enforce that.
"""
import base64
import html
import json
import os
import time

import tap
from benchreport import GROWTH, number, points, shown, write_whole

STYLE = '''
body { font: 15px/1.5 sans-serif; max-width: 65em; margin: 2em auto;
       padding: 0 1em; color: #202020; background: #ffffff; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2em; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { padding: .2em .8em; border-bottom: 1px solid #d0d0d0;
         text-align: left; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
figure { display: inline-block; margin: 0 1em 1em 0; max-width: 48%; }
figure.wide { display: block; max-width: 100%; }
figure img { max-width: 100%; border: 1px solid #d0d0d0; }
figcaption, .when { color: #505050; font-size: 90%; }
.bad { color: #b02020; font-weight: bold; } .good { color: #207020; }
pre { background: #f4f4f4; padding: .6em; overflow-x: auto; font-size: 85%; }
'''
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
MIME = {'.png': 'image/png', '.svg': 'image/svg+xml'}
# what a run of make check leaves for the page
CHECK = 'check.json'
XEN = (('xen-e2e', "Debian 12's Xen 4.17"),
       ('xen-e2e-pvh', "Debian 12's Xen 4.17, a PVH dom0"),
       ('xen-e2e-trixie', "Debian 13's Xen 4.20"))
LINES = 40              # of a failure that the page shows


def text(words):
    return html.escape(str(words))


def when(path):
    made = time.strftime('%Y-%m-%d %H:%M', time.localtime(
        os.path.getmtime(path)))
    return f'<p class="when">Made {made}.</p>\n'


def picture(path, caption, wide=False):
    with open(path, 'rb') as src:
        data = base64.b64encode(src.read()).decode()
    mime = MIME[os.path.splitext(path)[1]]
    kind = ' class="wide"' if wide else ''
    return (f'<figure{kind}><img alt="{text(caption)}" '
            f'src="data:{mime};base64,{data}">'
            f'<figcaption>{text(caption)}</figcaption></figure>\n')


def plot(path, caption, figures):
    """A plot, unless it is older than the figures: of another run."""
    if not os.path.exists(path) or \
            os.path.getmtime(path) < os.path.getmtime(figures):
        return ''
    return picture(path, caption, wide=True)


def table(head, body, numbers=()):
    """Columns whose place is in `numbers` are aligned to the right."""
    def row(cells, tag):
        return '<tr>' + ''.join(
            f'<{tag}{" class=n" if at in numbers else ""}>{cell}</{tag}>'
            for at, cell in enumerate(cells)) + '</tr>\n'

    return ('<table>\n' + row(map(text, head), 'th') +
            ''.join(row(cells, 'td') for cells in body) + '</table>\n')


def sentence(passed, failed, skipped):
    """The result of a run of tests."""
    kind = 'bad' if failed or not passed else 'good'
    more = f', {skipped} skipped' if skipped else ''
    return (f'<p class="{kind}">{passed} passed, {failed} failed{more}.</p>\n')


def run_part(report):
    """The demo's two pictures."""
    paths = [os.path.join(report, 'run', f'{name}.png')
             for name in ('before', 'after')]
    if not all(map(os.path.exists, paths)):
        return None
    return (when(paths[1]) +
            '<p>The guest drew a picture, was saved, and was restored into '
            'other machine frames. QEMU showed this before and after:</p>\n' +
            picture(paths[0], 'before the save') +
            picture(paths[1], 'after the restore'))


def suite_rows(programs):
    suites = {}
    for program in programs:
        suites.setdefault(program['suite'], []).append(program)
    for name, members in sorted(suites.items()):
        sums = [sum(p['counts'][verdict] for p in members)
                for verdict in (tap.PASS, tap.FAIL, tap.SKIPPED)]
        yield [text(name), len(members), *sums,
               f'{sum(p["seconds"] for p in members):.0f}']


def check_part(report):
    path = os.path.join(report, CHECK)
    if not os.path.exists(path):
        return None
    with open(path, encoding='utf-8') as src:
        programs = json.load(src)
    sums = [sum(p['counts'][verdict] for p in programs)
            for verdict in (tap.PASS, tap.FAIL, tap.SKIPPED)]
    out = when(path) + sentence(*sums)
    out += table(['suite', 'programs', 'passed', 'failed', 'skipped',
                  'seconds'], suite_rows(programs), range(1, 6))
    for program in programs:
        if program['counts'][tap.FAIL]:
            out += (f'<h3 class="bad">{text(program["name"])}: '
                    f'{text(program["result"])}</h3>\n<pre>'
                    + text('\n'.join(program['said'][:LINES])) + '</pre>\n')
    skipped = [[text(program['name']), text(name), text(why)]
               for program in programs
               for name, why in program['skipped']]
    if skipped:
        out += '<h3>Skipped</h3>\n' + table(['program', 'case', 'why'],
                                            skipped)
    return out


def value(row, which):
    """A figure with its unit; - if it could not be measured."""
    if row.get(which) is None:
        return '-'
    return text(shown(row[which], row['unit']))


def growth_table(rows):
    out = ''
    for pattern, axis, words, _ in GROWTH:
        found = points(rows, pattern)
        if found:
            out += f'<h3>{text(words)}</h3>\n' + table(
                [axis, 'stock', 'series', 'ratio'],
                [[f'{x:,}', value(row, 'stock'), value(row, 'ours'),
                  number(row['ratio'])] for x, row in found], range(4))
    return out


def bench_part(report):
    path = os.path.join(report, 'bench.json')
    if not os.path.exists(path):
        return None
    with open(path, encoding='utf-8') as src:
        rows = json.load(src)
    out = when(path)
    for name, words in (('bench-ratios', 'times as fast as stock QEMU'),
                        ('bench-growth', 'how time grows')):
        out += plot(os.path.join(report, f'{name}.svg'), words, path)
    out += growth_table(rows)
    return out + '<h3>All figures</h3>\n' + table(
        ['scenario', 'unit', 'stock', 'series', 'ratio', 'plain RAM'],
        [[text(row['scenario']), text(row['unit']), value(row, 'stock'),
          value(row, 'ours'), number(row['ratio']), value(row, 'plain')]
         for row in rows], range(2, 6))


def xen_part(report):
    out = ''
    for name, words in XEN:
        path = os.path.join(report, f'{name}.tap')
        if not os.path.exists(path):
            continue
        with open(path, encoding='utf-8') as src:
            results, _ = tap.parse(src.read())
        verdicts = [verdict for verdict, _ in results.values()]
        out += f'<h3>{text(words)}</h3>\n' + when(path)
        out += sentence(*(verdicts.count(v) for v in (tap.PASS, tap.FAIL,
                                                      tap.SKIPPED)))
        out += plot(os.path.join(report, f'{name}-rounds.svg'),
                    'QEMU over rounds of checkpoint, restore and migration',
                    path)
        out += table(['case', 'result'], [
            [text(case), '<span class="bad">failed</span>'
             if verdict == tap.FAIL else
             text(why or 'skipped') if verdict == tap.SKIPPED else 'passed']
            for case, (verdict, why) in results.items()])
    return out or None


PARTS = (('pictures', 'Pictures before and after', 'make run', run_part),
         ('tests', 'Tests on the simulated Xen', 'make check', check_part),
         ('xen', 'Tests on the real Xen', 'make check-xen', xen_part),
         ('figures', 'Figures', 'make bench', bench_part))


def page(report):
    links, body = '', ''
    for anchor, title, command, part in PARTS:
        made = part(report)
        links += f'<li><a href="#{anchor}">{text(title)}</a></li>\n'
        body += (f'<h2 id="{anchor}">{text(title)}</h2>\n' +
                 (made or f'<p>None yet: <code>{text(command)}</code> makes '
                  'them.</p>\n'))
    return ('<!DOCTYPE html>\n<html lang="en">\n<head>\n'
            '<meta charset="utf-8">\n'
            '<meta http-equiv="Content-Security-Policy" '
            f'content="{POLICY}">\n'
            '<title>Xen mapcache: report</title>\n'
            f'<style>{STYLE}</style>\n</head>\n<body>\n'
            '<h1>Xen mapcache: report</h1>\n'
            f'<ul>\n{links}</ul>\n{body}</body>\n</html>\n')


def write_page(report):
    """Write the page from what is in the folder; return its path."""
    path = os.path.join(report, 'index.html')
    os.makedirs(report, exist_ok=True)
    write_whole(path, page(report))
    return path
