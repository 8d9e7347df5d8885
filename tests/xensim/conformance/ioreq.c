/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conformance: ioreq servers, and event channels through one.  The server has
 * no device that a guest would look for, and is enabled for a moment only.
 */
#include "conformance.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/ioreq.h>

/* A device that no guest has, and a port. */
#define DEVICE 31
#define PORT   0xff50

typedef struct Server {
    ioservid_t id;
    xenforeignmemory_resource_handle *pages;
    char *buf;                /* page 0 of the resource; 1 is the ioreqs' */
    evtchn_port_t buf_port;
} Server;

static void *resource(ioservid_t id, unsigned first, unsigned n,
                      xenforeignmemory_resource_handle **h)
{
    void *p = NULL;

    *h = xenforeignmemory_map_resource(ctx.fmem, ctx.domid,
                                       XENMEM_resource_ioreq_server, id,
                                       first, n, &p, RW, 0);
    return *h ? p : NULL;
}

/* errno tells what failed; nothing is left then. */
static bool server_new(Server *s)
{
    memset(s, 0, sizeof(*s));
    if (xendevicemodel_create_ioreq_server(ctx.dmod, ctx.domid,
                                           HVM_IOREQSRV_BUFIOREQ_ATOMIC,
                                           &s->id)) {
        say("create %s", error_name(errno));
        return false;
    }
    s->buf = resource(s->id, 0, 2, &s->pages);
    if (!s->buf) {
        say("resource %s", error_name(errno));
    } else if (xendevicemodel_get_ioreq_server_info(ctx.dmod, ctx.domid,
                                                    s->id, NULL, NULL,
                                                    &s->buf_port)) {
        say("info %s", error_name(errno));
    } else {
        return true;
    }
    xendevicemodel_destroy_ioreq_server(ctx.dmod, ctx.domid, s->id);
    return false;
}

static int server_end(Server *s)
{
    if (s->pages) {
        xenforeignmemory_unmap_resource(ctx.fmem, s->pages);
    }
    return xendevicemodel_destroy_ioreq_server(ctx.dmod, ctx.domid, s->id);
}

static evtchn_port_t port_shown(const Server *s)
{
    shared_iopage_t *page = (shared_iopage_t *)(s->buf + PAGE);

    return page->vcpu_ioreq[0].vp_eport;
}

static int enable(const Server *s, bool on)
{
    return xendevicemodel_set_ioreq_server_state(ctx.dmod, ctx.domid, s->id,
                                                 on);
}

/* Xen shows the port when the server is enabled, and leaves it there. */
static evtchn_port_t vcpu_port(const Server *s)
{
    enable(s, true);
    enable(s, false);
    return port_shown(s);
}

static void ask_server(void)
{
    buffered_iopage_t *buf;
    Server s;

    if (!server_new(&s)) {
        return;
    }
    buf = (buffered_iopage_t *)s.buf;
    say("buffered port %s", s.buf_port ? "some" : "none");
    say("pointers %u %u", buf->read_pointer, buf->write_pointer);
    say_rc("destroyed", server_end(&s));
    say_rc("again", xendevicemodel_destroy_ioreq_server(ctx.dmod, ctx.domid,
                                                        s.id));
}

static void ask_enable(void)
{
    Server s;

    if (!server_new(&s)) {
        return;
    }
    say("port %s", port_shown(&s) ? "some" : "none");
    say_rc("enabled", enable(&s, true));
    say_rc("disabled", enable(&s, false));
    say("port %s", port_shown(&s) && port_shown(&s) != s.buf_port ? "another"
                                                                 : "none");
    server_end(&s);
}

static void ask_server_bad(void)
{
    xenforeignmemory_resource_handle *h;
    ioservid_t id;
    Server s;

    say_rc("mode 3", xendevicemodel_create_ioreq_server(ctx.dmod, ctx.domid,
                                                        3, &id));
    say_rc("no domain", xendevicemodel_create_ioreq_server(ctx.dmod,
                                                           ctx.nodom, 2,
                                                           &id));
    if (!server_new(&s)) {
        return;
    }
    say("page 2 %s", resource(s.id, 2, 1, &h) ? "mapped" : error_name(errno));
    server_end(&s);
    say("gone %s", resource(s.id, 0, 2, &h) ? "mapped" : error_name(errno));
    say_rc("enabled", enable(&s, true));
}

static int range(const Server *s, bool add, uint64_t start, uint64_t end)
{
    return add ? xendevicemodel_map_io_range_to_ioreq_server(
                     ctx.dmod, ctx.domid, s->id, 0, start, end)
               : xendevicemodel_unmap_io_range_from_ioreq_server(
                     ctx.dmod, ctx.domid, s->id, 0, start, end);
}

static void ask_ranges(void)
{
    Server s;

    if (!server_new(&s)) {
        return;
    }
    say_rc("mapped", range(&s, true, PORT, PORT + 3));
    say_rc("again", range(&s, true, PORT, PORT + 3));
    say_rc("overlap", range(&s, true, PORT + 2, PORT + 5));
    say_rc("neighbour", range(&s, true, PORT + 4, PORT + 7));
    say_rc("both removed", range(&s, false, PORT, PORT + 7));
    say_rc("again", range(&s, false, PORT, PORT + 7));
    say_rc("upside down", range(&s, true, PORT + 1, PORT));
    server_end(&s);
}

static int pcidev(const Server *s, bool add)
{
    return add ? xendevicemodel_map_pcidev_to_ioreq_server(
                     ctx.dmod, ctx.domid, s->id, 0, 0, DEVICE, 7)
               : xendevicemodel_unmap_pcidev_from_ioreq_server(
                     ctx.dmod, ctx.domid, s->id, 0, 0, DEVICE, 7);
}

static void ask_pcidev(void)
{
    Server s;

    if (!server_new(&s)) {
        return;
    }
    say_rc("mapped", pcidev(&s, true));
    say_rc("again", pcidev(&s, true));
    say_rc("removed", pcidev(&s, false));
    say_rc("again", pcidev(&s, false));
    server_end(&s);
}

/* ---- its event channels ---- */

static bool readable(unsigned ms)
{
    struct pollfd p = {
        .fd = xenevtchn_fd(ctx.evtchn), .events = POLLIN,
    };

    return poll(&p, 1, ms) == 1;
}

static int bind(evtchn_port_t port)
{
    return xenevtchn_bind_interdomain(ctx.evtchn, ctx.domid, port);
}

static void ask_bind(void)
{
    int local, next;
    Server s;

    if (!server_new(&s)) {
        return;
    }
    local = bind(vcpu_port(&s));
    say_rc("bound", local);
    say("%s", readable(2000) ? "event" : "no event");
    if (readable(0)) {
        next = xenevtchn_pending(ctx.evtchn);
        say(next == local ? "of it" : "%d", next);
    }
    say("then %s", readable(0) ? "event" : "no event");
    say_rc("unmasked", xenevtchn_unmask(ctx.evtchn, local));
    say("then %s", readable(100) ? "event" : "no event");
    say_rc("unbound", xenevtchn_unbind(ctx.evtchn, local));
    server_end(&s);
}

static void ask_bind_taken(void)
{
    int local;
    Server s;

    if (!server_new(&s)) {
        return;
    }
    local = bind(s.buf_port);
    say_rc("bound", local);
    say_rc("again", bind(s.buf_port));
    xenevtchn_unbind(ctx.evtchn, local);
    server_end(&s);
}

static void ask_bind_gone(void)
{
    evtchn_port_t port;
    int local;
    Server s;

    if (!server_new(&s)) {
        return;
    }
    port = vcpu_port(&s);
    local = bind(port);
    say_rc("bound", local);
    say_rc("destroyed", server_end(&s));
    say_rc("notified", xenevtchn_notify(ctx.evtchn, local));
    say_rc("unbound", xenevtchn_unbind(ctx.evtchn, local));
    say_rc("bound", bind(port));
}

const Question ioreq_questions[] = {
    { "ioreq/server", ask_server,
      "buffered port some, pointers 0 0, destroyed, ENOENT", NULL,
      "how a device model registers" },
    { "ioreq/enable", ask_enable, "port none, enabled, disabled, port another",
      NULL, "the vCPUs' ports are to be read after enabling, not before" },
    { "ioreq/bad", ask_server_bad,
      "EINVAL, ESRCH, page 2 EINVAL, gone ENOENT, ENOENT", NULL,
      "failures end a device model's start with errno's text" },
    { "ioreq/ranges", ask_ranges,
      "mapped, EEXIST, EEXIST, neighbour, both removed, ENOENT, EINVAL", NULL,
      "the memory listener adds and removes ranges" },
    { "ioreq/pcidev", ask_pcidev, "mapped, EEXIST, removed, ENOENT", NULL,
      "devices come and go" },
    { "ioreq/bind", ask_bind,
      "bound, event, of it, then no event, unmasked, then no event, unbound",
      NULL, "binding raises an event; a port is masked from then to unmask" },
    { "ioreq/bind-taken", ask_bind_taken, "bound, EINVAL", NULL,
      "a port has one other end" },
    { "ioreq/bind-gone", ask_bind_gone,
      "bound, destroyed, notified, unbound, EINVAL", NULL,
      "the guest's end may close first" },
    { NULL },
};
