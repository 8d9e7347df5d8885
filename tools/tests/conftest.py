# SPDX-License-Identifier: GPL-2.0-or-later
"""For pytest: what each case gets, and TAP for meson."""
import os
import shutil
import sys
import tempfile

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'lib'))

from bench import Bench     # noqa: E402


def pytest_addoption(parser):
    parser.addoption('--build', default=os.path.join(REPO, 'build'),
                     help='build directory, which is only read')
    parser.addoption('--word', action='append', default=[],
                     help='only cases whose name has it; again for more')


def name_of(item):
    """cases_lay.py, test_an_edit(): "lay: an edit"."""
    return (f'{item.module.__name__[6:]}: '
            f'{item.name.removeprefix("test_").replace("_", " ")}')


def pytest_collection_modifyitems(config, items):
    words = config.getoption('word')
    if words:
        items[:] = [item for item in items
                    if any(word in name_of(item) for word in words)]


@pytest.fixture
def b(request):
    """A scratch folder, and tools to run on it."""
    scratch = tempfile.mkdtemp(prefix='tools-test-')
    bench = Bench(REPO, os.path.abspath(request.config.getoption('build')),
                  scratch)
    yield bench
    bench.close()
    shutil.rmtree(scratch, ignore_errors=True)
