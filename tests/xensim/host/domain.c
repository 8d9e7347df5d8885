/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Domains: made as libxl makes an HVM guest, and destroyed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "xen-abi.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <xen/grant_table.h>

#include "host-priv.h"

#define MMIO_HOLE_START  0xf0000000ull
#define FOUR_GIB         (1ull << 32)
#define MAX_RAM_BYTES    (4ull << 40)
#define WARM_BYTES       (64ull << 30)
#define VGA_HOLE_GFN     0xa0u
#define VGA_HOLE_END     0xc0u

/*
 * The special pages end below 0xff000000; libxl's order, with eight gfns for
 * pages of ioreq servers in front of them.
 */
#define SPECIAL_GFN      0xfeff8u
#define SPECIAL_PAGES    8u
#define SPECIAL_BUFIOREQ (SPECIAL_GFN + 3)
#define SPECIAL_XENSTORE (SPECIAL_GFN + 4)
#define SPECIAL_IOREQ    (SPECIAL_GFN + 5)
#define SPECIAL_IDENT_PT (SPECIAL_GFN + 6)
#define SPECIAL_CONSOLE  (SPECIAL_GFN + 7)
#define SERVER_GFN       (SPECIAL_GFN - 8)
#define SERVER_PAGES     8u

/* What a toolstack grants beyond RAM. */
#define VIDEO_PAGES      ((64ull << 20) >> XENSIM_PAGE_SHIFT)
#define SLACK_PAGES      ((1ull << 20) >> XENSIM_PAGE_SHIFT)

/* A free slot and a domain id; dir_lock is held.  -errno. */
static int pick(XsimView *v, uint32_t *domid)
{
    static uint32_t last;
    unsigned i;
    int slot = -1;

    for (i = 0; i < XSIM_MAX_DOMS; i++) {
        if (atomic_load(&v->h->dom[i].state) == XSIM_DOM_FREE) {
            slot = i;
            break;
        }
    }
    if (slot < 0) {
        return -ENOSPC;
    }
    if (*domid) {
        return xsim_find_dom(v, *domid) >= 0 ? -EEXIST : slot;
    }
    /* As Xen: ids go up, so that a stale one is not taken for another. */
    do {
        last = last % 32751 + 1;
    } while (xsim_find_dom(v, last) >= 0);
    *domid = last;
    return slot;
}

/* Zeros, whatever a domain left in the slot. */
static void wipe(XsimView *v, unsigned slot)
{
    fallocate(v->shm_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
              (off_t)(XSIM_REGION_DOM + slot) << XSIM_SEG_SHIFT,
              XSIM_SEG_BYTES);
    fallocate(v->shm_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
              (off_t)(XSIM_REGION_P2M + slot * XSIM_P2M_SEGS) <<
              XSIM_SEG_SHIFT, (off_t)XSIM_P2M_SEGS << XSIM_SEG_SHIFT);
}

static bool populate(XsimView *v, unsigned slot, uint64_t start, uint64_t end)
{
    return start >= end ||
           xsim_p2m_populate(v, slot, start, end - start) == end - start;
}

static bool build_memory(XsimView *v, unsigned slot, uint64_t hole)
{
    XsimDom *d = xsim_dom(v, slot);
    uint64_t ram = d->ram_bytes;
    uint64_t low = (ram < hole ? ram : hole) >> XENSIM_PAGE_SHIFT;
    uint64_t high = ram > hole ? (ram - hole) >> XENSIM_PAGE_SHIFT : 0;
    uint64_t four = FOUR_GIB >> XENSIM_PAGE_SHIFT;

    return populate(v, slot, SPECIAL_GFN, SPECIAL_GFN + SPECIAL_PAGES) &&
           (d->flags & XENSIM_DOM_EMPTY ||
            (populate(v, slot, 0, low < VGA_HOLE_GFN ? low : VGA_HOLE_GFN) &&
             populate(v, slot, VGA_HOLE_END, low) &&
             populate(v, slot, four, four + high)));
}

/*
 * Have the frames' records in memory before anyone measures mapping them; for
 * a huge guest that would take more memory than it is worth.
 */
static void warm_run(void *opaque, uint64_t gfn, uint64_t mfn, uint64_t pages)
{
    uint64_t i;

    (void)gfn;
    for (i = 0; i < pages; i += XSIM_CHUNK_FRAMES) {
        volatile XsimFrame *f = xsim_frame_info(opaque, mfn + i);

        f->refs = f->refs;
    }
}

static void warm_up(XsimView *v, unsigned slot)
{
    if (xsim_dom(v, slot)->ram_bytes <= WARM_BYTES) {
        xsim_p2m_walk(v, slot, warm_run, v);
    }
}

static void set_params(XsimView *v, unsigned slot)
{
    uint64_t *p = xsim_dom(v, slot)->hvm_param;

    p[HVM_PARAM_STORE_PFN] = SPECIAL_XENSTORE;
    p[HVM_PARAM_STORE_EVTCHN] = xsim_port_alloc(v, slot, 0, false);
    p[HVM_PARAM_CONSOLE_PFN] = SPECIAL_CONSOLE;
    p[HVM_PARAM_CONSOLE_EVTCHN] = xsim_port_alloc(v, slot, 0, false);
    p[HVM_PARAM_IOREQ_PFN] = SPECIAL_IOREQ;
    p[HVM_PARAM_BUFIOREQ_PFN] = SPECIAL_BUFIOREQ;
    p[HVM_PARAM_IOREQ_SERVER_PFN] = SERVER_GFN;
    p[HVM_PARAM_NR_IOREQ_SERVER_PAGES] = SERVER_PAGES;
    p[HVM_PARAM_IDENT_PT] = (uint64_t)SPECIAL_IDENT_PT << XENSIM_PAGE_SHIFT;
    p[HVM_PARAM_ACPI_IOPORTS_LOCATION] = 1;
}

/* The two that a toolstack grants, for xenstored and xenconsoled. */
static void set_grants(XsimDom *d)
{
    d->grant[GNTTAB_RESERVED_CONSOLE] = (XsimGrant) {
        .in_use = true, .gfn = SPECIAL_CONSOLE,
    };
    d->grant[GNTTAB_RESERVED_XENSTORE] = (XsimGrant) {
        .in_use = true, .gfn = SPECIAL_XENSTORE,
    };
}

XensimDomain *xensim_domain_create(Xensim *sim, const XensimDomainConfig *cfg)
{
    XsimView *v = &sim->v;
    uint32_t domid = cfg->domid;
    uint64_t hole = cfg->mmio_hole_start ? cfg->mmio_hole_start
                                         : MMIO_HOLE_START;
    XensimDomain *dom;
    XsimDom *d;
    int slot;

    if (cfg->vcpus > XENSIM_MAX_VCPUS || hole > FOUR_GIB ||
        cfg->ram_bytes % XENSIM_PAGE_SIZE ||
        cfg->ram_bytes > MAX_RAM_BYTES) {
        errno = EINVAL;
        return NULL;
    }
    xensim_reap(sim);
    xsim_lock(&v->h->dir_lock);
    slot = pick(v, &domid);
    if (slot >= 0) {
        wipe(v, slot);
        d = xsim_dom(v, slot);
        xsim_mutex_init(&d->lock);
        d->domid = domid;
        d->vcpus = cfg->vcpus ? cfg->vcpus : 1;
        d->flags = cfg->flags;
        d->ram_bytes = cfg->ram_bytes;
        d->shutdown_reason = -1;
        d->max_pages = cfg->max_pages ? cfg->max_pages :
                       (cfg->ram_bytes >> XENSIM_PAGE_SHIFT) + VIDEO_PAGES +
                       SLACK_PAGES;
        atomic_store(&v->h->dom[slot].domid, domid);
        xsim_lock(&d->lock);
        if (!build_memory(v, slot, hole)) {
            xsim_p2m_depopulate(v, slot, 0, XENSIM_MAX_GFN);
            atomic_store(&v->h->dom[slot].state, XSIM_DOM_DYING);
            xsim_dom_maybe_gone(v, slot);
            xsim_unlock(&d->lock);
            slot = -ENOMEM;
        } else {
            set_params(v, slot);
            set_grants(d);
            warm_up(v, slot);
            xsim_unlock(&d->lock);
            /* Pairs with the acquire in xsim_find_dom(). */
            atomic_store_explicit(&v->h->dom[slot].state, XSIM_DOM_ALIVE,
                                  memory_order_release);
        }
    }
    xsim_unlock(&v->h->dir_lock);
    if (slot < 0) {
        errno = -slot;
        return NULL;
    }
    dom = xsim_host_handle(sim, slot);
    if (dom) {
        xensim_xenstore_domain_created(dom);
    }
    return dom;
}

/* Frames that a populate overwrote go with the domain. */
static void drop_lost(XsimView *v, unsigned slot, XsimPunch *punch)
{
    XsimDom *d = xsim_dom(v, slot);
    uint32_t i;
    unsigned k;

    for (i = XSIM_FIRST_CHUNK; d->lost_pages && i < v->h->chunk_end; i++) {
        XsimChunk *c = xsim_chunk(v, i);

        if (c->state != XSIM_CHUNK_SPLIT || c->owner != slot) {
            continue;
        }
        for (k = 0; k < XSIM_CHUNK_FRAMES; k++) {
            uint64_t mfn = ((uint64_t)i << XSIM_CHUNK_SHIFT) + k;

            if (xsim_frame_info(v, mfn)->m2p == XSIM_M2P_LOST) {
                d->lost_pages--;
                d->p2m_pages++;
                xsim_frame_release(v, slot, mfn, punch);
            }
        }
    }
}

static void destroy_slot(XsimView *v, unsigned slot)
{
    XsimDom *d = xsim_dom(v, slot);
    XsimPunch punch = { 0, 0, 0 };
    unsigned i;

    xsim_lock(&d->lock);
    atomic_store(&v->h->dom[slot].state, XSIM_DOM_DYING);
    for (i = 0; i < XSIM_MAX_SERVERS; i++) {
        if (d->server[i].state != XSIM_SERVER_FREE) {
            xsim_server_destroy(v, slot, i);
        }
    }
    for (i = 1; i < XSIM_MAX_PORTS; i++) {
        xsim_port_close(v, slot, i);
    }
    xsim_p2m_depopulate(v, slot, 0, XENSIM_MAX_GFN);
    d->pod_cache = 0;
    drop_lost(v, slot, &punch);
    xsim_punch_flush(v, &punch);
    xsim_dom_maybe_gone(v, slot);
    xsim_unlock(&d->lock);
}

void xensim_domain_destroy(XensimDomain *dom)
{
    Xensim *sim = dom->sim;
    unsigned slot = dom->slot;

    xensim_xenstore_domain_destroyed(dom);
    destroy_slot(&sim->v, slot);
    pthread_mutex_lock(&sim->lock);
    sim->dom[slot] = NULL;
    pthread_mutex_unlock(&sim->lock);
    free(dom);
}

void xsim_host_destroy_all(Xensim *sim)
{
    unsigned i;

    xensim_reap(sim);
    for (i = 0; i < XSIM_MAX_DOMS; i++) {
        if (atomic_load(&sim->v.h->dom[i].state) == XSIM_DOM_ALIVE) {
            xensim_domain_destroy(xsim_host_handle(sim, i));
        }
    }
}
