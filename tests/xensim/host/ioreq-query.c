/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions about ioreq servers: which ones exist, and whether one serves the
 * guest.
 */
#include <time.h>

#include "host-priv.h"

unsigned xensim_servers(XensimDomain *dom, XensimServerInfo *info,
                        unsigned max)
{
    XsimView *v = &dom->sim->v;
    XsimDom *d = xsim_host_dom(dom);
    unsigned id, n = 0;

    xsim_lock(&d->lock);
    for (id = 0; id < XSIM_MAX_SERVERS; id++) {
        const XsimServer *s = &d->server[id];
        int proc;

        if (s->state == XSIM_SERVER_FREE) {
            continue;
        }
        proc = xsim_port_peer(v, dom->slot, s->vcpu_port[0]);
        if (n < max) {
            info[n] = (XensimServerInfo) {
                .id = id,
                .enabled = s->state == XSIM_SERVER_ENABLED,
                .bufioreq = s->bufioreq,
                .ports = s->nr[XSIM_RANGE_PORT],
                .mmio = s->nr[XSIM_RANGE_MMIO],
                .pcidevs = s->nr[XSIM_RANGE_PCI],
                .pid = proc < 0 ? 0 : atomic_load(&v->h->proc[proc].pid),
            };
        }
        n++;
    }
    xsim_unlock(&d->lock);
    return n;
}

/*
 * Binding a channel makes it pending, so a device model that has come to its
 * main loop has read and unmasked it; one that is still starting up has not.
 */
static bool serves(XensimDomain *dom)
{
    XsimView *v = &dom->sim->v;
    XsimDom *d = xsim_host_dom(dom);
    unsigned id;
    bool ok = false;

    xsim_lock(&d->lock);
    for (id = 0; id < XSIM_MAX_SERVERS && !ok; id++) {
        const XsimServer *s = &d->server[id];
        const XsimPort *p;

        if (s->state != XSIM_SERVER_ENABLED) {
            continue;
        }
        p = &d->port[s->vcpu_port[0]];
        xsim_lock(&v->h->evtchn_lock);
        ok = p->state == XSIM_PORT_BOUND &&
             !v->h->local[p->remote_port].masked;
        xsim_unlock(&v->h->evtchn_lock);
    }
    xsim_unlock(&d->lock);
    return ok;
}

XensimStatus xensim_wait_ready(XensimDomain *dom, unsigned timeout_ms)
{
    uint64_t end = xsim_now_ms() + timeout_ms;

    while (!serves(dom)) {
        struct timespec ts = { 0, 5000000 };

        if (dom->pid && !xensim_pid_alive(dom->pid)) {
            return XENSIM_DM_DIED;
        }
        if (xsim_now_ms() >= end) {
            return XENSIM_TIMEOUT;
        }
        nanosleep(&ts, NULL);
    }
    return XENSIM_OK;
}
