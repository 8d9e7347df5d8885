/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host: a handle of a domain, and what can be asked of it. */
#include <stdlib.h>

#include "host-priv.h"

XensimDomain *xsim_host_handle(Xensim *sim, unsigned slot)
{
    uint32_t domid = atomic_load(&sim->v.h->dom[slot].domid);
    XensimDomain *dom;

    pthread_mutex_lock(&sim->lock);
    dom = sim->dom[slot];
    if (!dom) {
        dom = sim->dom[slot] = calloc(1, sizeof(*dom));
    }
    if (dom && dom->domid != domid) {
        dom->sim = sim;
        dom->slot = slot;
        dom->domid = domid;
        dom->pid = 0;
    }
    pthread_mutex_unlock(&sim->lock);
    return dom;
}

XensimDomain *xensim_domain_find(Xensim *sim, uint32_t domid)
{
    int slot = xsim_find_dom(&sim->v, domid);

    return slot < 0 ? NULL : xsim_host_handle(sim, slot);
}

uint32_t xensim_domid(const XensimDomain *dom)
{
    return dom->domid;
}

Xensim *xensim_domain_sim(const XensimDomain *dom)
{
    return dom->sim;
}

unsigned xensim_vcpus(const XensimDomain *dom)
{
    return xsim_host_dom(dom)->vcpus;
}

uint64_t xensim_ram_bytes(const XensimDomain *dom)
{
    return xsim_host_dom(dom)->ram_bytes;
}

uint64_t xensim_hvm_param_get(XensimDomain *dom, unsigned index)
{
    return index < XSIM_HVM_PARAMS ? xsim_host_dom(dom)->hvm_param[index] : 0;
}

void xensim_hvm_param_set(XensimDomain *dom, unsigned index, uint64_t value)
{
    if (index < XSIM_HVM_PARAMS) {
        xsim_host_dom(dom)->hvm_param[index] = value;
    }
}
