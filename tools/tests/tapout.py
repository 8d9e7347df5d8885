# SPDX-License-Identifier: GPL-2.0-or-later
"""TAP in place of pytest's own output."""
import pytest

from conftest import name_of


class Tap:
    """A plugin; `failed` once something has."""

    def __init__(self):
        self.names, self.done, self.failed = {}, 0, False

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config):
        config.pluginmanager.unregister(name='terminalreporter')

    def pytest_collectreport(self, report):
        if report.failed:
            self.failed = True
            self.say(report.longreprtext)
            print(f'Bail out! {report.nodeid} cannot be read', flush=True)

    def pytest_collection_finish(self, session):
        self.names = {item.nodeid: name_of(item) for item in session.items}
        if not self.failed:
            print(f'1..{len(self.names)}', flush=True)

    def pytest_runtest_logreport(self, report):
        # a case is done when it was called, or if it did not come to that
        if report.when != 'call' and report.passed:
            return
        self.done += 1
        line = f'ok {self.done} - {self.names[report.nodeid]}'
        if report.skipped:
            why = report.longrepr[2].removeprefix('Skipped: ')
            line += f' # SKIP {why}'
        elif report.failed:
            self.failed = True
            self.say(report.longreprtext)
            for title, text in report.sections:
                self.say(f'{title}:\n{text}')
            line = 'not ' + line
        print(line, flush=True)

    @staticmethod
    def say(text):
        for line in text.splitlines():
            print(f'# {line}')
