/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host: settings of a simulation, reports, faults and counts. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host-priv.h"

const char *xensim_dir(const Xensim *sim)
{
    return sim->v.dir;
}

void **xensim_xenstore_slot(Xensim *sim)
{
    return &sim->xenstore;
}

void xensim_set_fail_handler(Xensim *sim, XensimFailFn *fn, void *opaque)
{
    sim->fail = fn;
    sim->fail_opaque = opaque;
}

void xensim_set_timeout(Xensim *sim, unsigned ms)
{
    sim->timeout_ms = ms;
}

void xsim_host_fail(Xensim *sim, const char *fmt, ...)
{
    char msg[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(msg, sizeof(msg), fmt, ap);
    va_end(ap);
    if (sim->fail) {
        sim->fail(sim->fail_opaque, msg);
        return;
    }
    xsim_die("%s", msg);
}

/* ---- what the device models told Xen ---- */

unsigned xensim_isa_irq(XensimDomain *dom, unsigned irq)
{
    return irq < 16 ? xsim_host_dom(dom)->isa_level[irq] : 0;
}

unsigned xensim_isa_irq_edges(XensimDomain *dom, unsigned irq)
{
    return irq < 16 ? xsim_host_dom(dom)->isa_edges[irq] : 0;
}

unsigned xensim_pci_intx(XensimDomain *dom, unsigned bus, unsigned dev,
                         unsigned pin)
{
    return bus || dev > 31 || pin > 3 ? 0 :
           xsim_host_dom(dom)->intx_level[dev][pin];
}

unsigned xensim_pci_intx_edges(XensimDomain *dom, unsigned bus, unsigned dev,
                               unsigned pin)
{
    return bus || dev > 31 || pin > 3 ? 0 :
           xsim_host_dom(dom)->intx_edges[dev][pin];
}

unsigned xensim_irq_level(XensimDomain *dom, unsigned gsi)
{
    return gsi < 256 ? xsim_host_dom(dom)->gsi_level[gsi] : 0;
}

unsigned xensim_pci_link_route(XensimDomain *dom, unsigned link)
{
    return link < 4 ? xsim_host_dom(dom)->link_route[link] : 0;
}

int xensim_shutdown_reason(XensimDomain *dom)
{
    return xsim_host_dom(dom)->shutdown_reason;
}

void xensim_vram_tracking(XensimDomain *dom, uint64_t *gfn, uint64_t *pages)
{
    XsimDom *d = xsim_host_dom(dom);

    xsim_lock(&d->lock);
    *gfn = d->vram_gfn;
    *pages = d->vram_pages;
    xsim_unlock(&d->lock);
}

uint64_t xensim_log_count(XensimDomain *dom, XensimLogKind kind)
{
    XsimDom *d = xsim_host_dom(dom);
    uint64_t n;

    xsim_lock(&d->lock);
    n = d->log[kind].count;
    xsim_unlock(&d->lock);
    return n;
}

bool xensim_log_get(XensimDomain *dom, XensimLogKind kind, uint64_t index,
                    XensimLogEntry *entry)
{
    XsimDom *d = xsim_host_dom(dom);
    XsimLog *log = &d->log[kind];
    bool ok;

    xsim_lock(&d->lock);
    ok = index < log->count && index + XSIM_LOG_LEN >= log->count;
    if (ok) {
        *entry = log->entry[index % XSIM_LOG_LEN];
    }
    xsim_unlock(&d->lock);
    return ok;
}

void xensim_log_clear(XensimDomain *dom, XensimLogKind kind)
{
    XsimDom *d = xsim_host_dom(dom);

    xsim_lock(&d->lock);
    d->log[kind].count = 0;
    xsim_unlock(&d->lock);
}

/* ---- faults and record ---- */

int xensim_fault_arm(Xensim *sim, const XensimFault *fault)
{
    return xsim_fault_add(&sim->v, fault, XSIM_ANY_PROC);
}

int xensim_fault_arm_text(Xensim *sim, const char *text)
{
    char name[64];
    XensimFault f;
    int rc = xsim_fault_parse(text, &f, name, sizeof(name));

    return rc ? rc : xsim_fault_add(&sim->v, &f, XSIM_ANY_PROC);
}

int64_t xensim_fault_hits(Xensim *sim, int id)
{
    int64_t hits = -ENOENT;

    if (id >= 0 && id < (int)XSIM_MAX_FAULTS) {
        xsim_lock(&sim->v.h->fault_lock);
        if (sim->v.h->fault[id].in_use) {
            hits = sim->v.h->fault[id].hits;
        }
        xsim_unlock(&sim->v.h->fault_lock);
    }
    return hits;
}

void xensim_fault_disarm(Xensim *sim, int id)
{
    xsim_fault_remove(&sim->v, id);
}

void xensim_fault_disarm_all(Xensim *sim)
{
    int i;

    for (i = 0; i < (int)XSIM_MAX_FAULTS; i++) {
        xsim_fault_remove(&sim->v, i);
    }
}

XensimCount xensim_count(Xensim *sim, const char *call)
{
    int id = xsim_call_id(call);
    XensimCount n = { 0, 0, 0, 0 };
    XsimCounter *c;

    if (id < 0) {
        xsim_die("xensim_count: no simulated call is named \"%s\"", call);
    }
    c = &sim->v.h->counter[id];
    n.calls = atomic_load(&c->calls);
    n.failures = atomic_load(&c->failures);
    n.pages = atomic_load(&c->pages);
    n.mmaps = atomic_load(&c->mmaps);
    return n;
}

XensimCount xensim_count_maps(Xensim *sim)
{
    XensimCount a = xensim_count(sim, "xenforeignmemory_map");
    XensimCount b = xensim_count(sim, "xenforeignmemory_map2");

    a.calls += b.calls;
    a.failures += b.failures;
    a.pages += b.pages;
    a.mmaps += b.mmaps;
    return a;
}

uint64_t xensim_count_calls(Xensim *sim)
{
    uint64_t calls = 0;
    unsigned i;

    for (i = 0; i < XSIM_CALL_COUNT; i++) {
        calls += atomic_load(&sim->v.h->counter[i].calls);
    }
    return calls;
}

void xensim_count_reset(Xensim *sim)
{
    unsigned i;

    for (i = 0; i < XSIM_CALL_COUNT; i++) {
        XsimCounter *c = &sim->v.h->counter[i];

        atomic_store(&c->calls, 0);
        atomic_store(&c->failures, 0);
        atomic_store(&c->pages, 0);
        atomic_store(&c->mmaps, 0);
    }
}

void xensim_count_print(Xensim *sim, int fd)
{
    unsigned i;

    for (i = 0; i < XSIM_CALL_COUNT; i++) {
        XensimCount n = xensim_count(sim, xsim_call_name(i));

        if (n.calls) {
            dprintf(fd, "%-48s calls %8llu failed %6llu pages %10llu "
                    "mmaps %8llu\n", xsim_call_name(i),
                    (unsigned long long)n.calls,
                    (unsigned long long)n.failures,
                    (unsigned long long)n.pages,
                    (unsigned long long)n.mmaps);
        }
    }
}
