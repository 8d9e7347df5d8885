# SPDX-License-Identifier: GPL-2.0-or-later
"""The pictures of the documents."""
import os
import shutil
import subprocess

from bench import Skip


def test_pictures_can_be_drawn(b):
    if not shutil.which('dot'):
        raise Skip('graphviz is not installed')
    folder = os.path.join(b.real_repo, 'docs', 'pictures')
    for name in sorted(os.listdir(folder)):
        if name.endswith('.dot'):
            res = subprocess.run(['dot', '-Tsvg', os.path.join(folder, name)],
                                 capture_output=True, text=True, check=False)
            assert res.returncode == 0 and not res.stderr, res.stderr
            assert '</svg>' in res.stdout, name
