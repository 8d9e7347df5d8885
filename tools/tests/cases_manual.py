# SPDX-License-Identifier: GPL-2.0-or-later
"""The pages that the series adds to QEMU's manual."""
import os
import re
import shutil
import subprocess

from bench import Skip, has

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
