/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's ends of event channels and grants.
 */
#include <errno.h>

#include "host-priv.h"

int xensim_evtchn_alloc(XensimDomain *dom, uint32_t remote)
{
    return xsim_port_alloc(&dom->sim->v, dom->slot, remote, false);
}

int xensim_evtchn_bind(XensimDomain *dom, uint32_t remote,
                       uint32_t remote_port)
{
    return remote ? -ESRCH : xsim_port_bind(&dom->sim->v, dom->slot,
                                            remote_port);
}

int xensim_evtchn_close(XensimDomain *dom, uint32_t port)
{
    return xsim_port_close(&dom->sim->v, dom->slot, port);
}

int xensim_evtchn_notify(XensimDomain *dom, uint32_t port)
{
    return xsim_port_notify(&dom->sim->v, dom->slot, port);
}

int xensim_evtchn_wait(XensimDomain *dom, uint32_t port, unsigned timeout_ms)
{
    uint64_t end = xsim_now_ms() + timeout_ms;
    XsimPort *p;

    if (!port || port >= XSIM_MAX_PORTS) {
        return -EINVAL;
    }
    p = &xsim_host_dom(dom)->port[port];
    for (;;) {
        uint32_t seq = atomic_load(&p->seq);
        uint64_t now;

        if (p->state == XSIM_PORT_FREE) {
            return -EINVAL;
        }
        if (atomic_exchange(&p->pending, 0)) {
            return 0;
        }
        now = xsim_now_ms();
        if (now >= end) {
            return -ETIMEDOUT;
        }
        xsim_futex_wait(&p->seq, seq, end - now);
    }
}

bool xensim_evtchn_bound(XensimDomain *dom, uint32_t port)
{
    return xsim_port_peer(&dom->sim->v, dom->slot, port) >= 0;
}

unsigned xensim_virq_raise(Xensim *sim, unsigned virq)
{
    return xsim_virq_raise(&sim->v, virq);
}

/* ---- grants ---- */

int xensim_grant(XensimDomain *dom, uint32_t to, uint64_t gfn, bool readonly)
{
    XsimDom *d = xsim_host_dom(dom);
    int ref = -ENOSPC;
    unsigned i;

    xsim_lock(&d->lock);
    for (i = XSIM_FIRST_GRANT; i < XSIM_MAX_GRANTS; i++) {
        XsimGrant *g = &d->grant[i];

        /* One that is revoked but still mapped is not taken again. */
        if (!g->in_use && !g->maps) {
            *g = (XsimGrant) {
                .in_use = true, .readonly = readonly, .to = to, .gfn = gfn,
            };
            ref = i;
            break;
        }
    }
    xsim_unlock(&d->lock);
    return ref;
}

int xensim_grant_revoke(XensimDomain *dom, uint32_t ref)
{
    XsimDom *d = xsim_host_dom(dom);
    int rc = -ENOENT;

    if (ref < XSIM_MAX_GRANTS) {
        xsim_lock(&d->lock);
        if (d->grant[ref].in_use) {
            d->grant[ref].in_use = false;
            rc = d->grant[ref].maps;
        }
        xsim_unlock(&d->lock);
    }
    return rc;
}

int xensim_grant_mappings(XensimDomain *dom, uint32_t ref)
{
    XsimDom *d = xsim_host_dom(dom);
    int rc = -ENOENT;

    xensim_reap(dom->sim);
    if (ref < XSIM_MAX_GRANTS) {
        xsim_lock(&d->lock);
        if (d->grant[ref].in_use || d->grant[ref].maps) {
            rc = d->grant[ref].maps;
        }
        xsim_unlock(&d->lock);
    }
    return rc;
}
