# SPDX-License-Identifier: GPL-2.0-or-later
"""One guest through checkpoint, save, restore and migration, many times."""
import contextlib

from content import Content
from domain import Domain, xenstore
from report import Failed

RSS_SLACK_KIB = 4096
AREAS_SLACK = 8


def no_physmap():
    """The place of the video memory is in no key of xenstore."""
    lines = [x for x in xenstore().splitlines() if 'physmap' in x]
    if lines:
        raise Failed('xenstore has ' + '; '.join(lines))


@contextlib.contextmanager
def running(report, label, kind=Domain, **how):
    """A guest, created as a case and destroyed as a case; nothing between is
    run if there is none."""
    dom = kind(**how)
    report.on_failure.append(dom.log)
    try:
        with report.case(f'{label}: create') as state:
            dom.create()
            no_physmap()
        if state.passed:
            yield dom
        else:
            yield None
    finally:
        with report.case(f'{label}: destroy'):
            dom.destroy()
        report.on_failure.remove(dom.log)


def flat(samples, key, slack):
    """The last of the samples is no more than the first and SLACK."""
    values = [s[key] for s in samples]
    if values[-1] > values[0] + slack:
        raise Failed(f'{key} grew: {values}')


def sample(report, dom, taken):
    """Note what the device model uses now."""
    taken.append(dom.process())
    report.say(taken[-1])


def one_round(report, label, dom, content, samples, known=False):
    """Returns whether the guest is still there to go on with."""
    with report.case(f'{label}: checkpoint', known) as state:
        dom.checkpoint()
        content.check()
        sample(report, dom, samples['after checkpoint'])
    if not state.passed:
        return False
    with report.case(f'{label}: save and restore', known) as state:
        dom.save()
        dom.restore()
        content.check()
        no_physmap()
        sample(report, dom, samples['after restore'])
    if not state.passed:
        return False
    with report.case(f'{label}: migrate', known) as state:
        dom.migrate()
        content.check()
        no_physmap()
        sample(report, dom, samples['after migration'])
    return state.passed


def rounds(report, label, count, known=False, look=None, **how):
    """A guest through COUNT rounds; KNOWN as for Report.case().  LOOK is asked
    about it first and last."""
    samples = {'after checkpoint': [], 'after restore': [],
               'after migration': []}
    with running(report, label, **how) as dom:
        if dom is None:
            return
        with report.case(f'{label}: every byte stamped', known) as state:
            content = Content(dom, 1000)
            content.put()
            content.check()
            if look:
                look(dom)
        for number in range(1, count + 1):
            if not state.passed or not one_round(
                    report, f'{label}: round {number} of {count}', dom,
                    content, samples, known):
                return
        if look:
            with report.case(f'{label}: {look.__name__.replace("_", " ")}'):
                look(dom)
        if count > 1:
            with report.case(f'{label}: memory and mappings stay as few'):
                for what, taken in samples.items():
                    report.say(f'{what}: {taken}')
                    flat(taken, 'rss_kib', RSS_SLACK_KIB)
                    flat(taken, 'areas', AREAS_SLACK)
        report.figure(f'{label} process', samples)
        report.figure(f'{label} seconds', dom.seconds)


def run(report, told):
    rounds(report, 'stdvga', int(told['rounds']), name='stdvga',
           vga='stdvga')
