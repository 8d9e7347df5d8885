# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs in dom0: the plan that the kernel's command line names."""
import importlib
import sys

import domain
import watch
from report import Report


def parameters():
    """e2e.NAME=VALUE on the command line."""
    with open('/proc/cmdline', encoding='utf-8') as src:
        words = src.read().split()
    return dict(w[len('e2e.'):].split('=', 1) for w in words
                if w.startswith('e2e.') and '=' in w)


def main():
    report = Report('/dev/ttyS1')
    watch.start(report)
    told = parameters()
    report.say(f'dom0 is up, plan {told["plan"]}')
    if 'pvh' in told:
        with report.case(f'{told["plan"]}: dom0 is a PVH domain'):
            with open('/sys/hypervisor/guest_type', encoding='ascii') as src:
                kind = src.read().strip()
            if kind != 'PVH':
                raise domain.Failed(f'it is {kind}')
    plan = importlib.import_module('plan_' + told['plan'])
    plan.run(report, told)
    with report.case(f'{told["plan"]}: nothing is left behind'):
        left = domain.domains()
        if left:
            raise domain.Failed(f'guests are left: {" ".join(left)}')
        lines = [x for x in domain.xenstore().splitlines() if 'physmap' in x]
        if lines:
            raise domain.Failed('xenstore has ' + '; '.join(lines))
    report.end()


sys.exit(main())
