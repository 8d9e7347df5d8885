# SPDX-License-Identifier: GPL-2.0-or-later
"""The report page, as a browser shows it."""
import contextlib
import io
import json
import os
import re
import shutil
import struct
import subprocess
import zlib

import benchreport
import page
import tap
from bench import Skip, has
from cases_bench import sample_rows
from cases_check import load
from cases_xen import modules

BROWSERS = ('chromium-headless-shell', 'chromium')
# of the pictures before and after, and of the bars of a plot
BEFORE, AFTER, BAR = (250, 10, 200), (10, 250, 120), (89, 141, 192)
TAP = '''TAP version 13
1..3
ok 1 - devices: dma
not ok 2 - devices: <balloon> # TODO stock wrote to a stale page
not ok 3 - rounds: picture & memory
'''


def browser(b, *args):
    """Run Chromium on the page; return what it wrote to standard output."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not program:
        raise Skip('there is no Chromium to look at the page with: apt-get '
                   f'install {BROWSERS[0]}')
    # no sandbox: root has none, and the page is our own
    res = subprocess.run(
        [program, '--headless', '--no-sandbox', '--disable-gpu',
         '--disable-dev-shm-usage', f'--user-data-dir={b.path("profile")}',
         *args, 'file://' + b.path('build', 'report', 'index.html')],
        env=dict(os.environ, HOME=b.scratch), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120,
        check=True)
    return res.stdout.decode(), res.stderr.decode()


def write_png(path, colour, size=64):
    def chunk(kind, data):
        return (struct.pack('>I', len(data)) + kind + data +
                struct.pack('>I', zlib.crc32(kind + data)))

    rows = (b'\0' + bytes(colour) * size) * size
    with open(path, 'wb') as out:
        out.write(b'\x89PNG\r\n\x1a\n' +
                  chunk(b'IHDR', struct.pack('>IIBBBBB', size, size, 8, 2,
                                             0, 0, 0)) +
                  chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))


def colours(path):
    """How many pixels of a PNG of 8 bits for each channel have a colour."""
    with open(path, 'rb') as src:
        data = src.read()
    width, _, _, kind = struct.unpack('>IIBB', data[16:26])
    step = {2: 3, 6: 4}[kind]
    packed, at = b'', 8
    while at < len(data):
        length, name = struct.unpack('>I4s', data[at:at + 8])
        packed += data[at + 8:at + 8 + length] if name == b'IDAT' else b''
        at += length + 12
    raw, found = zlib.decompress(packed), {}
    above = bytearray(width * step)
    for start in range(0, len(raw), width * step + 1):
        row = bytearray(raw[start + 1:start + 1 + width * step])
        for i, byte in enumerate(row):
            a = row[i - step] if i >= step else 0
            c = above[i - step] if i >= step else 0
            row[i] = (byte + predicted(raw[start], a, above[i], c)) & 255
        for i in range(0, len(row), step):
            colour = tuple(row[i:i + 3])
            found[colour] = found.get(colour, 0) + 1
        above = row
    return found


def predicted(how, left, up, corner):
    """The filters of PNG: none, left, up, mean, Paeth's."""
    if how == 4:
        p = left + up - corner
        return min((left, up, corner), key=lambda value: abs(p - value))
    return (0, left, up, (left + up) // 2)[how]


def results(b):
    """Results of all four commands, in the scratch build's report folder."""
    report = b.path('build', 'report')
    os.makedirs(os.path.join(report, 'run'))
    write_png(os.path.join(report, 'run', 'before.png'), BEFORE)
    write_png(os.path.join(report, 'run', 'after.png'), AFTER)
    b.write('build/report/xen-e2e.tap', TAP)
    rows = sample_rows()
    b.write('build/report/bench.json', json.dumps(rows))
    if shutil.which('gnuplot'):
        benchreport.plots(rows, report)
    check = load(b, 'check')
    tests = [check.record(test) for test in (
        {'name': 'xen-mapcache:qtest / xen-hole-test', 'result': 'ERROR',
         'duration': 3.2, 'stdout': '1..2\nok 1 /hole\n# hole-test.c:9: <b>\n'
         'not ok 2 /hole/filled\n', 'stderr': ''},
        {'name': 'xen-mapcache:xensim / frames', 'result': 'OK',
         'duration': 1, 'stdout': '1..2\nok 1 /f\nok 2 /g # SKIP no root\n',
         'stderr': ''})]
    b.write('build/report/' + page.CHECK, json.dumps(tests))
    return report


def test_text_is_seen(b):
    results(b)
    b.run('report-page', '--build', b.path('build'))
    dom, errors = browser(b, '--dump-dom')
    assert 'Refused' not in errors and 'violates' not in errors, errors
    text = re.sub(r'src="data:[^"]*"', '', dom)
    has(text, '2 passed, 1 failed, 1 skipped.', '<td>qtest</td>',
        'hole-test.c:9: &lt;b&gt;', '<td>no root</td>', 'Xen 4.17',
        'devices: &lt;balloon&gt;', 'rounds: picture &amp; memory',
        'after the restore', 'a DMA: map, reverse lookup, unmap',
        '<td>dma-warm</td>')
    assert text.count('<h2') == len(page.PARTS)
    assert 'None yet' not in text
    # it needs nothing but itself
    assert not re.search(r'<script|<link|@import|https?:|src="(?!data:)',
                         text), text


def test_pictures_are_seen(b):
    report = results(b)
    if not shutil.which('gnuplot'):
        raise Skip('there is no gnuplot to draw with: apt-get install '
                   'gnuplot-nox')
    page.write_page(report)
    shot = b.path('shot.png')
    browser(b, f'--screenshot={shot}', '--window-size=700,2400')
    found = colours(shot)
    for colour in (BEFORE, AFTER, BAR):
        pixels = sum(n for other, n in found.items()
                     if all(abs(x - y) < 3 for x, y in zip(colour, other)))
        assert pixels > 2000, f'{colour}: {pixels} pixels'


def test_growth_on_the_real_xen_is_drawn(b):
    if not shutil.which('gnuplot'):
        raise Skip('there is no gnuplot to draw with: apt-get install '
                   'gnuplot-nox')
    modules(b)
    import figures
    report = b.path('build', 'report')
    samples = [{'rss_kib': 50000 + n, 'areas': 70} for n in range(3)]
    b.write('build/report/xen-e2e.tap', TAP)
    assert figures.plot_rounds({'rounds': {
        'stdvga process': {'after restore': samples}, 'seconds': 7}}, report,
        'xen-e2e-rounds')
    with open(os.path.join(report, 'xen-e2e-rounds.svg'),
              encoding='utf-8') as src:
        has(src.read(), 'stdvga', 'after restore', 'resident memory, MiB')
    has(page.page(report), 'over rounds of checkpoint', 'image/svg')
    # one round says nothing of growth
    assert not figures.plot_rounds({'rounds': {
        'stdvga process': {'after restore': samples[:1]}}}, report, 'none')


def test_a_page_of_nothing(b):
    page.write_page(b.path('build', 'report'))
    dom, _ = browser(b, '--dump-dom')
    assert dom.count('None yet') == len(page.PARTS)
    for _, title, command, _ in page.PARTS:
        has(dom, title, f'<code>{command}</code>')


def test_an_old_plot_is_left_out(b):
    report = b.path('build', 'report')
    b.write('build/report/bench-ratios.svg', '<svg/>')
    os.utime(b.path('build/report/bench-ratios.svg'), (1, 1))
    b.write('build/report/bench.json', json.dumps(sample_rows()))
    assert 'image/svg' not in page.page(report)


def test_check_leaves_its_part(b):
    check = load(b, 'check')
    tests = [check.record({
        'name': 'xen-mapcache:tools / tools', 'result': 'OK', 'duration': 1,
        'stdout': '1..1\nok 1 - a\n', 'stderr': ''})]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert check.tell(tests, b.path('build')) == 0
    has(said.getvalue(), 'report/index.html', '1 passed, 0 failed')
    assert json.loads(b.read('build', 'report', page.CHECK)) == [
        {'suite': 'tools', 'name': 'tools', 'result': 'OK', 'seconds': 1,
         'counts': {tap.PASS: 1, tap.FAIL: 0, tap.SKIPPED: 0},
         'skipped': [], 'said': []}]
    has(b.read('build', 'report', 'index.html'), '1 passed, 0 failed')
