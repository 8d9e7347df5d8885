/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared by the files of the host library.
 */
#ifndef XENSIM_HOST_PRIV_H
#define XENSIM_HOST_PRIV_H

#include "mapping.h"

#define XENSIM_MAX_CHILDREN 64

struct XensimDomain {
    Xensim *sim;
    unsigned slot;
    uint32_t domid;
    pid_t pid;               /* the last child started for it; 0: none */
    /* as xensim_count_invalidates() counts */
    _Atomic uint64_t invalidates;
};

struct Xensim {
    XsimView v;
    bool creator;            /* made the shared memory */
    bool own_dir;            /* made the run directory */
    pthread_mutex_t lock;    /* guards what follows */
    XensimDomain *dom[XSIM_MAX_DOMS];
    pid_t child[XENSIM_MAX_CHILDREN];
    XensimFailFn *fail;
    void *fail_opaque;
    unsigned timeout_ms;
    void *xenstore;
    struct XsimClock *clock; /* NULL: time passes by itself */
};

/* The domain's state in shared memory. */
static inline XsimDom *xsim_host_dom(const XensimDomain *dom)
{
    return xsim_dom(&dom->sim->v, dom->slot);
}

/* Call the fail handler. */
void xsim_host_fail(Xensim *sim, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Returns the handle of the domain in @slot; makes it at the first call. */
XensimDomain *xsim_host_handle(Xensim *sim, unsigned slot);

/* Deallocate every domain of the simulation (for xensim_free()). */
void xsim_host_destroy_all(Xensim *sim);

/* Kill and reap all children (for xensim_free()). */
void xsim_host_kill_children(Xensim *sim);

/* Remove the clock that was frozen, if one was (for xensim_free()). */
void xsim_host_clock_end(Xensim *sim);

/* ---- the xenstore, in xenstore-sim.c ---- */

/* The address of the field that points to the store. */
void **xensim_xenstore_slot(Xensim *sim);

/* Called by the creator of the simulation.  0 or -errno. */
int xensim_xenstore_start(Xensim *sim);
void xensim_xenstore_stop(Xensim *sim);
/* Called after a domain was created, and before it is destroyed. */
void xensim_xenstore_domain_created(XensimDomain *dom);
void xensim_xenstore_domain_destroyed(XensimDomain *dom);

#endif
