/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Event channels: masks, pending bits, both directions, who may bind.
 */
#include "common.h"

#include <poll.h>
#include <sys/wait.h>
#include <xenevtchn.h>

static xenevtchn_handle *xce;

static bool readable(xenevtchn_handle *h)
{
    struct pollfd pfd = { .fd = xenevtchn_fd(h), .events = POLLIN };

    return poll(&pfd, 1, 0) == 1;
}

/* Read and unmask what binding made pending. */
static void settle(xenevtchn_handle *h, int port)
{
    g_assert(readable(h));
    g_assert_cmpint(xenevtchn_pending(h), ==, port);
    g_assert_cmpint(xenevtchn_unmask(h, port), ==, 0);
    g_assert(!readable(h));
}

static void test_mask(void)
{
    XensimDomain *dom = new_domain(1, 0);
    int remote = xensim_evtchn_alloc(dom, 0);
    int port;

    g_assert_cmpint(remote, >, 0);
    g_assert_cmpint(xensim_evtchn_notify(dom, remote), ==, -ENOTCONN);
    g_assert(!xensim_evtchn_bound(dom, remote));
    port = xenevtchn_bind_interdomain(xce, xensim_domid(dom), remote);
    g_assert_cmpint(port, >, 0);
    g_assert(xensim_evtchn_bound(dom, remote));
    /* Xen marks a fresh binding: what came before is not lost. */
    settle(xce, port);

    g_assert_cmpint(xensim_evtchn_notify(dom, remote), ==, 0);
    g_assert(readable(xce));
    g_assert_cmpint(xenevtchn_pending(xce), ==, port);
    /* Masked now: events are kept, as one bit, and do not show. */
    g_assert(!readable(xce));
    g_assert_cmpint(xensim_evtchn_notify(dom, remote), ==, 0);
    g_assert_cmpint(xensim_evtchn_notify(dom, remote), ==, 0);
    g_assert(!readable(xce));
    g_assert_cmpint(xenevtchn_unmask(xce, port), ==, 0);
    g_assert(readable(xce));
    g_assert_cmpint(xenevtchn_pending(xce), ==, port);
    g_assert(!readable(xce));
    g_assert_cmpint(xenevtchn_unmask(xce, port), ==, 0);
    g_assert(!readable(xce));
    g_assert_cmpint(xenevtchn_unbind(xce, port), ==, 0);
    g_assert(!xensim_evtchn_bound(dom, remote));
    end_domain(dom);
}

static void test_to_guest(void)
{
    XensimDomain *dom = new_domain(1, 0);
    int remote = xensim_evtchn_alloc(dom, 0);
    int port = xenevtchn_bind_interdomain(xce, xensim_domid(dom), remote);

    settle(xce, port);
    g_assert_cmpint(xensim_evtchn_wait(dom, remote, 0), ==, -ETIMEDOUT);
    g_assert_cmpint(xenevtchn_notify(xce, port), ==, 0);
    g_assert_cmpint(xenevtchn_notify(xce, port), ==, 0);
    g_assert_cmpint(xensim_evtchn_wait(dom, remote, 1000), ==, 0);
    g_assert_cmpint(xensim_evtchn_wait(dom, remote, 20), ==, -ETIMEDOUT);
    g_assert_cmpint(xensim_evtchn_wait(dom, 999, 0), ==, -EINVAL);
    g_assert_cmpint(xenevtchn_notify(xce, port + 1), ==, -1);
    g_assert_cmpint(xenevtchn_unmask(xce, port + 1), ==, 0);
    g_assert_cmpint(xenevtchn_unbind(xce, port), ==, 0);
    g_assert_cmpint(xenevtchn_notify(xce, port), ==, -1);
    end_domain(dom);
}

static void test_bind(void)
{
    XensimDomain *dom = new_domain(1, 0);
    uint32_t id = xensim_domid(dom);
    int remote = xensim_evtchn_alloc(dom, 0);
    int other = xensim_evtchn_alloc(dom, 77);
    int port = xenevtchn_bind_interdomain(xce, id, remote);
    int port2;

    settle(xce, port);
    /* Once only; not another domain's; not what is not there. */
    g_assert_cmpint(xenevtchn_bind_interdomain(xce, id, remote), ==, -1);
    g_assert_cmpint(xenevtchn_bind_interdomain(xce, id, other), ==, -1);
    g_assert_cmpint(xenevtchn_bind_interdomain(xce, id, 999), ==, -1);
    g_assert_cmpint(errno, ==, EINVAL);
    g_assert_cmpint(xenevtchn_bind_interdomain(xce, id + 99, 1), ==, -1);
    g_assert_cmpint(errno, ==, ESRCH);
    /* Unbound again by unbinding. */
    g_assert_cmpint(xenevtchn_unbind(xce, port), ==, 0);
    port = xenevtchn_bind_interdomain(xce, id, remote);
    g_assert_cmpint(port, >, 0);
    settle(xce, port);
    /* The other way round: the guest binds what the device model offers. */
    port2 = xenevtchn_bind_unbound_port(xce, id);
    g_assert_cmpint(port2, >, 0);
    g_assert_cmpint(xenevtchn_notify(xce, port2), ==, 0);
    remote = xensim_evtchn_bind(dom, 0, port2);
    g_assert_cmpint(remote, >, 0);
    g_assert_cmpint(xensim_evtchn_bind(dom, 0, port2), ==, -EINVAL);
    g_assert_cmpint(xensim_evtchn_wait(dom, remote, 0), ==, 0);
    g_assert_cmpint(xensim_evtchn_notify(dom, remote), ==, 0);
    g_assert_cmpint(xenevtchn_pending(xce), ==, port2);
    xenevtchn_unbind(xce, port);
    xenevtchn_unbind(xce, port2);
    end_domain(dom);
}

/* Two handles: each has its own ports, and reads its own events. */
static void test_handles(void)
{
    XensimDomain *dom = new_domain(1, 0);
    xenevtchn_handle *h2 = xenevtchn_open(NULL, 0);
    int r1 = xensim_evtchn_alloc(dom, 0), r2 = xensim_evtchn_alloc(dom, 0);
    int p1 = xenevtchn_bind_interdomain(xce, xensim_domid(dom), r1);
    int p2 = xenevtchn_bind_interdomain(h2, xensim_domid(dom), r2);

    settle(xce, p1);
    settle(h2, p2);
    g_assert_cmpint(xensim_evtchn_notify(dom, r2), ==, 0);
    g_assert(!readable(xce));
    g_assert(readable(h2));
    /* Done by nobody: it stays masked. */
    g_assert_cmpint(xenevtchn_unmask(xce, p2), ==, 0);
    g_assert_cmpint(xenevtchn_notify(xce, p2), ==, -1);
    g_assert_cmpint(xenevtchn_close(h2), ==, 0);
    g_assert(!xensim_evtchn_bound(dom, r2));
    g_assert(xensim_evtchn_bound(dom, r1));
    g_assert_cmpint(xensim_evtchn_notify(dom, r2), ==, -ENOTCONN);
    xenevtchn_unbind(xce, p1);
    end_domain(dom);
}

/* Both ends are the device models' own. */
static void test_local(void)
{
    xenevtchn_handle *h2 = xenevtchn_open(NULL, 0);
    int a = xenevtchn_bind_unbound_port(xce, 0);
    int b = xenevtchn_bind_interdomain(h2, 0, a);

    g_assert_cmpint(a, >, 0);
    g_assert_cmpint(b, >, 0);
    g_assert_cmpint(xenevtchn_bind_interdomain(h2, 0, a), ==, -1);
    g_assert_cmpint(errno, ==, EINVAL);
    settle(h2, b);
    g_assert_cmpint(xenevtchn_notify(xce, a), ==, 0);
    g_assert(!readable(xce));
    settle(h2, b);
    g_assert_cmpint(xenevtchn_notify(h2, b), ==, 0);
    settle(xce, a);
    /* What is left of a pair can be bound again. */
    g_assert_cmpint(xenevtchn_close(h2), ==, 0);
    g_assert_cmpint(xenevtchn_notify(xce, a), ==, 0);
    b = xenevtchn_bind_interdomain(xce, 0, a);
    g_assert_cmpint(b, >, 0);
    settle(xce, b);
    g_assert_cmpint(xenevtchn_unbind(xce, a), ==, 0);
    g_assert_cmpint(xenevtchn_unbind(xce, b), ==, 0);
}

static void test_virq(void)
{
    int port = xenevtchn_bind_virq(xce, 3);

    g_assert_cmpint(port, >, 0);
    g_assert_cmpuint(xensim_virq_raise(sim, 4), ==, 0);
    g_assert(!readable(xce));
    g_assert_cmpuint(xensim_virq_raise(sim, 3), ==, 1);
    g_assert_cmpint(xenevtchn_pending(xce), ==, port);
    g_assert_cmpint(xenevtchn_unbind(xce, port), ==, 0);
    g_assert_cmpuint(xensim_virq_raise(sim, 3), ==, 0);
}

typedef struct Echo {
    uint32_t id;
    int remote, rounds;
} Echo;

static void echo(void *opaque)
{
    Echo *e = opaque;
    xenevtchn_handle *h = xenevtchn_open(NULL, 0);
    int port = xenevtchn_bind_interdomain(h, e->id, e->remote);
    int i;

    for (i = 0; i <= e->rounds; i++) {
        /* Blocks until there is one. */
        if (xenevtchn_pending(h) != port || xenevtchn_unmask(h, port) ||
            xenevtchn_notify(h, port)) {
            _exit(1);
        }
    }
}

/* Another process: each event comes once, and comes back. */
static void test_process(void)
{
    XensimDomain *dom = new_domain(1, 0);
    Echo e = { xensim_domid(dom), xensim_evtchn_alloc(dom, 0), 300 };
    pid_t pid = start_child(echo, &e);
    int i, status = -1;

    /* The first answer is to the binding. */
    g_assert_cmpint(xensim_evtchn_wait(dom, e.remote, 20000), ==, 0);
    for (i = 0; i < e.rounds; i++) {
        g_assert_cmpint(xensim_evtchn_notify(dom, e.remote), ==, 0);
        g_assert_cmpint(xensim_evtchn_wait(dom, e.remote, 20000), ==, 0);
    }
    g_assert_cmpint(xensim_wait_exit(sim, pid, 20000, &status), ==, 0);
    g_assert_cmpint(status, ==, 0);
    /* It has gone, and its binding with it. */
    g_assert(!xensim_evtchn_bound(dom, e.remote));
    g_assert_cmpint(xensim_evtchn_notify(dom, e.remote), ==, -ENOTCONN);
    end_domain(dom);
}

int main(int argc, char **argv)
{
    test_init(&argc, &argv);
    xce = xenevtchn_open(NULL, 0);
    g_assert_nonnull(xce);
    g_test_add_func("/xensim/evtchn/mask", test_mask);
    g_test_add_func("/xensim/evtchn/to-guest", test_to_guest);
    g_test_add_func("/xensim/evtchn/bind", test_bind);
    g_test_add_func("/xensim/evtchn/handles", test_handles);
    g_test_add_func("/xensim/evtchn/local", test_local);
    g_test_add_func("/xensim/evtchn/virq", test_virq);
    g_test_add_func("/xensim/evtchn/process", test_process);
    return test_run();
}
