/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conformance: libxenevtchn.  To be able to send events at any time, the
 * program binds a channel from this domain to itself.
 */
#include "conformance.h"

#include <errno.h>
#include <poll.h>

#define BAD_PORT 1000     /* within every range, and unused */

static bool readable(unsigned ms)
{
    struct pollfd p = {
        .fd = xenevtchn_fd(ctx.evtchn), .events = POLLIN,
    };

    return poll(&p, 1, ms) == 1;
}

/* Both ends; what binding raised is read and unmasked. */
static bool loop_open(int *to, int *from)
{
    *to = xenevtchn_bind_unbound_port(ctx.evtchn, 0);
    if (*to == -1) {
        say("unbound %s", error_name(errno));
        return false;
    }
    *from = xenevtchn_bind_interdomain(ctx.evtchn, 0, *to);
    if (*from == -1) {
        say("interdomain %s", error_name(errno));
        xenevtchn_unbind(ctx.evtchn, *to);
        return false;
    }
    while (readable(100)) {
        xenevtchn_unmask(ctx.evtchn, xenevtchn_pending(ctx.evtchn));
    }
    return true;
}

static void loop_close(int to, int from)
{
    xenevtchn_unbind(ctx.evtchn, from);
    xenevtchn_unbind(ctx.evtchn, to);
}

static void say_event(int port)
{
    int got;

    if (!readable(250)) {
        say("no event");
        return;
    }
    got = xenevtchn_pending(ctx.evtchn);
    say(got == port ? "event" : "another's event");
}

static void ask_send(void)
{
    int to, from;

    if (!loop_open(&to, &from)) {
        return;
    }
    say_rc("sent", xenevtchn_notify(ctx.evtchn, from));
    say_event(to);
    say_rc("unmasked", xenevtchn_unmask(ctx.evtchn, to));
    say_event(to);
    loop_close(to, from);
}

static void ask_masked(void)
{
    int to, from;

    if (!loop_open(&to, &from)) {
        return;
    }
    xenevtchn_notify(ctx.evtchn, from);
    say_event(to);
    xenevtchn_notify(ctx.evtchn, from);
    xenevtchn_notify(ctx.evtchn, from);
    xenevtchn_notify(ctx.evtchn, from);
    say("masked");
    say_event(to);
    say_rc("unmasked", xenevtchn_unmask(ctx.evtchn, to));
    say_event(to);
    say_rc("unmasked", xenevtchn_unmask(ctx.evtchn, to));
    say_event(to);
    loop_close(to, from);
}

static void ask_unread(void)
{
    int to, from;

    if (!loop_open(&to, &from)) {
        return;
    }
    xenevtchn_notify(ctx.evtchn, from);
    xenevtchn_notify(ctx.evtchn, from);
    say_event(to);
    say_event(to);
    loop_close(to, from);
}

static void ask_bind_bad(void)
{
    say_rc("bound", xenevtchn_bind_interdomain(ctx.evtchn, ctx.domid,
                                               BAD_PORT));
    say_rc("bound", xenevtchn_bind_interdomain(ctx.evtchn, ctx.domid, 0));
    say_rc("bound", xenevtchn_bind_interdomain(ctx.evtchn, ctx.domid,
                                               1u << 30));
    say_rc("bound", xenevtchn_bind_interdomain(ctx.evtchn, ctx.nodom,
                                               BAD_PORT));
}

static void ask_bad_port(void)
{
    say_rc("notified", xenevtchn_notify(ctx.evtchn, BAD_PORT));
    say_rc("unbound", xenevtchn_unbind(ctx.evtchn, BAD_PORT));
    say_rc("unmasked", xenevtchn_unmask(ctx.evtchn, BAD_PORT));
}

static void ask_unbind(void)
{
    int port = xenevtchn_bind_unbound_port(ctx.evtchn, ctx.domid);

    say_rc("made", port);
    say_rc("notified", xenevtchn_notify(ctx.evtchn, port));
    say_rc("unbound", xenevtchn_unbind(ctx.evtchn, port));
    say_rc("again", xenevtchn_unbind(ctx.evtchn, port));
}

static void ask_unbound_nodom(void)
{
    int port = xenevtchn_bind_unbound_port(ctx.evtchn, ctx.nodom);

    say_rc("made", port);
    if (port != -1) {
        xenevtchn_unbind(ctx.evtchn, port);
    }
}

const Question evtchn_questions[] = {
    { "evtchn/send", ask_send, "sent, event, unmasked, no event", NULL,
      "one notification is one event" },
    { "evtchn/masked", ask_masked,
      "event, masked, no event, unmasked, event, unmasked, no event", NULL,
      "what comes while a port is masked is one event afterwards" },
    { "evtchn/unread", ask_unread, "event, no event", NULL,
      "a port waits to be read once" },
    { "evtchn/bind-bad", ask_bind_bad, "EINVAL, EINVAL, EINVAL, ESRCH", NULL,
      "failing to bind ends the start, with errno's text" },
    { "evtchn/bad-port", ask_bad_port, "ENOTCONN, ENOTCONN, unmasked", NULL,
      "a port that is not the handle's harms nothing" },
    { "evtchn/unbind", ask_unbind, "made, notified, unbound, ENOTCONN", NULL,
      "a port goes once" },
    { "evtchn/unbound-no-domain", ask_unbound_nodom, "made", NULL,
      "backends offer ports to guests, be they there or not" },
    { NULL },
};
