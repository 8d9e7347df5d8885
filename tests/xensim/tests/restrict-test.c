/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process that gave up its rights has lost them.  Each call is tested before
 * and after, in a child process of its own, because the rights cannot be got
 * back.
 */
#include "common.h"

#include <sys/wait.h>
#include <xenctrl.h>
#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xengnttab.h>
#include <xenstore.h>
#include <xentoolcore.h>

#define RW (PROT_READ | PROT_WRITE)

typedef struct Domains {
    uint32_t mine, other;
    int port, port2, other_port, ref;
} Domains;

/* A handle of each library, opened before the restriction. */
typedef struct Handles {
    xc_interface *xc;
    xendevicemodel_handle *dmod;
    xenforeignmemory_handle *fmem;
    xenevtchn_handle *xce;
    xengnttab_handle *xgt;
    struct xs_handle *xs;
    char *grant, *mem;      /* mapped by then: a page of mine, of the other's */
    int port;               /* bound by then */
} Handles;

static xen_pfn_t gfn[2] = { 0x200, 0x90000 };

static void open_all(Handles *h)
{
    *h = (Handles) {
        .xc = xc_interface_open(NULL, NULL, 0),
        .dmod = xendevicemodel_open(NULL, 0),
        .fmem = xenforeignmemory_open(NULL, 0),
        .xce = xenevtchn_open(NULL, 0),
        .xgt = xengnttab_open(NULL, 0),
        .xs = xs_open(0),
    };
    g_assert(h->xc && h->dmod && h->fmem && h->xce && h->xgt && h->xs);
}

static void all_works(Handles *h, const Domains *d)
{
    unsigned long value;
    unsigned len;
    char *p;
    int err;

    g_assert_cmpint(xc_get_hvm_param(h->xc, d->mine, 1, &value), ==, 0);
    g_assert_cmphex(value, ==, 0xfeffc);
    g_assert_cmpint(xendevicemodel_set_isa_irq_level(h->dmod, d->other, 5, 1),
                    ==, 0);
    h->mem = xenforeignmemory_map(h->fmem, d->other, RW, 1, gfn, &err);
    g_assert(xensim_stamp_page_ok(h->mem, 0x200, d->other));
    h->grant = xengnttab_map_grant_ref(h->xgt, d->mine, d->ref, RW);
    g_assert_nonnull(h->grant);
    h->port = xenevtchn_bind_interdomain(h->xce, d->mine, d->port);
    g_assert_cmpint(h->port, >, 0);
    p = xs_read(h->xs, 0, "/local/domain/0/domid", &len);
    g_assert_cmpstr(p, ==, "0");
}

static void xenctrl_is_gone(Handles *h, const Domains *d)
{
    unsigned long value;

    g_assert_cmpint(xc_get_hvm_param(h->xc, d->mine, 1, &value), ==, -1);
    g_assert_cmpint(errno, ==, ENOTTY);
    g_assert_cmpint(xc_set_hvm_param(h->xc, d->mine, 14, 1), ==, -1);
    g_assert_cmpint(xc_domain_shutdown(h->xc, d->mine, 0), ==, -1);
    g_assert_cmpint(xc_domain_populate_physmap_exact(h->xc, d->mine, 1, 0, 0,
                                                     &gfn[1]), ==, -1);
    g_assert_null(xc_interface_open(NULL, NULL, 0));
    g_assert_cmpint(errno, ==, EACCES);
}

/* What is mapped stays, and cannot be unmapped. */
static void grants_are_gone(Handles *h, const Domains *d)
{
    g_assert_null(xengnttab_map_grant_ref(h->xgt, d->mine, d->ref, RW));
    g_assert_cmpint(xengnttab_unmap(h->xgt, h->grant, 1), ==, -1);
    g_assert(xensim_stamp_page_ok(h->grant, 0x201, d->mine));
    g_assert_null(xengnttab_open(NULL, 0));
}

static void xenstore_is_gone(Handles *h)
{
    unsigned len;

    g_assert_null(xs_read(h->xs, 0, "/local/domain/0/domid", &len));
    g_assert_null(xs_open(0));
}

/* Device model calls and memory: one domain's. */
static void one_domain_is_left(Handles *h, const Domains *d)
{
    char *p;
    int err;

    g_assert_cmpint(xendevicemodel_set_isa_irq_level(h->dmod, d->other, 5, 0),
                    ==, -1);
    g_assert_cmpint(errno, ==, EPERM);
    g_assert_cmpint(xendevicemodel_set_isa_irq_level(h->dmod, d->mine, 6, 1),
                    ==, 0);
    g_assert_null(xendevicemodel_open(NULL, 0));
    g_assert_null(xenforeignmemory_map(h->fmem, d->other, RW, 1, gfn, &err));
    g_assert_cmpint(errno, ==, EPERM);
    p = xenforeignmemory_map(h->fmem, d->mine, RW, 1, gfn, &err);
    g_assert(xensim_stamp_page_ok(p, 0x200, d->mine));
    g_assert(xensim_stamp_page_ok(h->mem, 0x200, d->other));
    g_assert_cmpint(munmap(h->mem, PAGE), ==, 0);
    g_assert_cmpint(munmap(p, PAGE), ==, 0);
    g_assert_null(xenforeignmemory_open(NULL, 0));
}

/* What is bound works, one domain's event channels can be bound. */
static void bound_channels_are_left(Handles *h, const Domains *d)
{
    g_assert_cmpint(xenevtchn_pending(h->xce), ==, h->port);
    g_assert_cmpint(xenevtchn_unmask(h->xce, h->port), ==, 0);
    g_assert_cmpint(xenevtchn_notify(h->xce, h->port), ==, 0);
    g_assert_cmpint(xenevtchn_bind_interdomain(h->xce, d->mine, d->port2), >,
                    0);
    g_assert_cmpint(xenevtchn_bind_interdomain(h->xce, d->other,
                                               d->other_port), ==, -1);
    g_assert_cmpint(errno, ==, EACCES);
    g_assert_cmpint(xenevtchn_bind_unbound_port(h->xce, d->mine), ==, -1);
    g_assert_cmpint(errno, ==, EACCES);
    g_assert_cmpint(xenevtchn_bind_virq(h->xce, 1), ==, -1);
    g_assert_null(xenevtchn_open(NULL, 0));
}

/* In the child g_assert() ends it with SIGABRT, which the parent sees. */
static void everything(void *opaque)
{
    const Domains *d = opaque;
    Handles h;

    open_all(&h);
    all_works(&h, d);
    g_assert_cmpint(xentoolcore_restrict_all(d->mine), ==, 0);
    /* Once is all. */
    g_assert_cmpint(xentoolcore_restrict_all(d->mine), ==, -1);
    g_assert_cmpint(errno, ==, EACCES);
    g_assert_cmpint(xentoolcore_restrict_all(d->other), ==, -1);
    g_assert_cmpint(errno, ==, EINVAL);

    xenctrl_is_gone(&h, d);
    grants_are_gone(&h, d);
    xenstore_is_gone(&h);
    one_domain_is_left(&h, d);
    bound_channels_are_left(&h, d);
}

static void test_all(void)
{
    XensimDomain *mine = new_domain(4, 0), *other = new_domain(4, 0);
    Domains d = {
        .mine = xensim_domid(mine), .other = xensim_domid(other),
        .port = xensim_evtchn_alloc(mine, 0),
        .port2 = xensim_evtchn_alloc(mine, 0),
        .other_port = xensim_evtchn_alloc(other, 0),
        .ref = xensim_grant(mine, 0, 0x201, false),
    };

    g_assert_cmpint(xensim_stamp(mine, 0x200, 2, d.mine), ==, 0);
    g_assert_cmpint(xensim_stamp(other, 0x200, 2, d.other), ==, 0);
    g_assert_cmpint(in_child(everything, &d), ==, 0);
    g_assert_cmpuint(xensim_isa_irq(other, 5), ==, 1);
    g_assert_cmpuint(xensim_isa_irq(mine, 6), ==, 1);
    g_assert_cmpint(xensim_evtchn_wait(mine, d.port, 0), ==, 0);
    g_assert_cmpuint(mem_info(mine).mappings, ==, 0);
    end_domain(mine);
    end_domain(other);
}

/* A single handle may be restricted too. */
static void handles(void *opaque)
{
    Domains *d = opaque;
    xendevicemodel_handle *dmod = xendevicemodel_open(NULL, 0);
    xenforeignmemory_handle *fmem = xenforeignmemory_open(NULL, 0);
    xenforeignmemory_handle *free_one = xenforeignmemory_open(NULL, 0);
    xenevtchn_handle *xce = xenevtchn_open(NULL, 0);
    xen_pfn_t gfn = 0x200;
    int err;

    g_assert_cmpint(xenforeignmemory_restrict(fmem, d->mine), ==, 0);
    g_assert_cmpint(xenforeignmemory_restrict(fmem, d->other), ==, -1);
    g_assert_null(xenforeignmemory_map(fmem, d->other, RW, 1, &gfn, &err));
    g_assert_cmpint(errno, ==, EPERM);
    g_assert_nonnull(xenforeignmemory_map(fmem, d->mine, RW, 1, &gfn, &err));
    g_assert_nonnull(xenforeignmemory_map(free_one, d->other, RW, 1, &gfn,
                                          &err));
    g_assert_cmpint(xendevicemodel_restrict(dmod, d->mine), ==, 0);
    g_assert_cmpint(xendevicemodel_inject_msi(dmod, d->other, 1, 2), ==, -1);
    g_assert_cmpint(xendevicemodel_inject_msi(dmod, d->mine, 1, 2), ==, 0);
    g_assert_cmpint(xenevtchn_restrict(xce, d->mine), ==, 0);
    g_assert_cmpint(xenevtchn_bind_interdomain(xce, d->other, d->other_port),
                    ==, -1);
    g_assert_cmpint(xenevtchn_bind_interdomain(xce, d->mine, d->port), >, 0);
}

static void test_handles(void)
{
    XensimDomain *mine = new_domain(4, 0), *other = new_domain(4, 0);
    Domains d = {
        .mine = xensim_domid(mine), .other = xensim_domid(other),
        .port = xensim_evtchn_alloc(mine, 0),
        .other_port = xensim_evtchn_alloc(other, 0),
    };

    g_assert_cmpint(in_child(handles, &d), ==, 0);
    g_assert_cmpuint(xensim_log_count(mine, XENSIM_LOG_MSI), ==, 1);
    g_assert_cmpuint(xensim_log_count(other, XENSIM_LOG_MSI), ==, 0);
    end_domain(mine);
    end_domain(other);
}

static void restrict_and_wait(void *opaque)
{
    g_assert_cmpint(xentoolcore_restrict_all(*(uint32_t *)opaque), ==, 0);
    pause();
}

static void test_visible(void)
{
    XensimDomain *dom = new_domain(4, 0);
    uint32_t id = xensim_domid(dom), to = 0;
    pid_t pid = start_child(restrict_and_wait, &id);
    int i;

    for (i = 0; i < 2000 && !xensim_is_restricted(sim, pid, &to); i++) {
        g_usleep(5000);
    }
    g_assert_cmpuint(to, ==, id);
    g_assert(!xensim_is_restricted(sim, getpid(), NULL));
    xensim_kill(sim, pid);
    g_assert(!xensim_is_restricted(sim, pid, NULL));
    end_domain(dom);
}

int main(int argc, char **argv)
{
    test_init(&argc, &argv);
    g_test_add_func("/xensim/restrict/all", test_all);
    g_test_add_func("/xensim/restrict/handles", test_handles);
    g_test_add_func("/xensim/restrict/visible", test_visible);
    return test_run();
}
