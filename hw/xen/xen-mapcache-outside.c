/*
 * Xen mapcache: mappings outside the arena
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Grants, long-held mappings, single pages, and device memory, whose own file
 * is xen-mapcache-block.c.  There are few of them and each lies where the
 * kernel put it; an interval tree by host address finds them.  It is searched
 * without a lock first.  A writer may hide an entry from such a search, so a
 * miss counts only if it is repeated under the lock.
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"

#include "hw/xen/xen_native.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-outside.h"
#include "trace.h"

#include <xengnttab.h>

/*
 * Written under mapcache.lock; the tree is read within RCU sections too.  Such
 * a search must not meet an empty tree, nor one that is about to become so: it
 * reads the root's two pointers one after the other.  So one entry, at an
 * address that nothing is ever mapped at, is in the tree from the start.
 */
static IntervalTreeRoot outside_tree;
static Outside outside_sentinel = {
    .node = { .start = UINTPTR_MAX, .last = UINTPTR_MAX },
    .kind = OUTSIDE_SENTINEL,
};
static QLIST_HEAD(, Outside) outside_pages;
static unsigned nr_pages;
static xengnttab_handle *outside_gnttab;
static uint64_t nr_grants;

static unsigned nr_exact;       /* entries OUTSIDE_HELD */

/* The most pages for one RCU section at a time. */
#define PAGES_MAX       256
/* The most mappings of exactly their pages: each takes an area or two. */
#define EXACT_MAX       1024

void mcache_outside_init(void)
{
    interval_tree_insert(&outside_sentinel.node, &outside_tree);
    outside_gnttab = xengnttab_open(NULL, 0);
    if (!outside_gnttab) {
        /* Only a guest that uses grants will miss it. */
        trace_xen_map_cache_failure("xengnttab_open", 0, 0, errno);
    }
}

Outside *mcache_outside_find_locked(const void *ptr)
{
    IntervalTreeNode *node = interval_tree_iter_first(&outside_tree,
                                                      (uintptr_t)ptr,
                                                      (uintptr_t)ptr);

    return node && node != &outside_sentinel.node
           ? container_of(node, Outside, node) : NULL;
}

/* Called within an RCU read-side section. */
static Outside *outside_find(const void *ptr)
{
    Outside *o = mcache_outside_find_locked(ptr);

    if (!o) {
        qemu_mutex_lock(&mapcache.lock);
        o = mcache_outside_find_locked(ptr);
        qemu_mutex_unlock(&mapcache.lock);
    }
    return o;
}

Outside *mcache_outside_add_locked(OutsideKind kind, void *host,
                                   ram_addr_t addr, hwaddr size)
{
    Outside *o = g_new0(Outside, 1);

    o->node.start = (uintptr_t)host;
    o->node.last = (uintptr_t)host + size - 1;
    o->kind = kind;
    o->addr = addr;
    o->size = size;
    o->memfd = -1;
    interval_tree_insert(&o->node, &outside_tree);
    return o;
}

void mcache_outside_remove_locked(Outside *o)
{
    interval_tree_remove(&o->node, &outside_tree);
    g_free_rcu(o, rcu);
}

static ram_addr_t outside_ram_addr(const Outside *o, const void *ptr)
{
    return o ? o->addr + ((uintptr_t)ptr - o->node.start) : RAM_ADDR_INVALID;
}

ram_addr_t mcache_outside_ram_addr(const void *ptr)
{
    RCU_READ_LOCK_GUARD();
    return outside_ram_addr(outside_find(ptr), ptr);
}

ram_addr_t mcache_outside_ram_addr_locked(const void *ptr)
{
    return outside_ram_addr(mcache_outside_find_locked(ptr), ptr);
}

/* --- buckets, where a mapping cannot be put into an arena -------------- */

#ifdef XEN_COMPAT_PHYSMAP
bool mcache_slot_of(const void *ptr, uint32_t *nr)
{
    Outside *o;

    RCU_READ_LOCK_GUARD();
    o = outside_find(ptr);
    if (!o || o->kind != OUTSIDE_SLOT) {
        return false;
    }
    *nr = o->slot;
    return true;
}

void mcache_slot_enter_locked(uint32_t nr)
{
    MapCacheSlot *s = &mapcache.slot[nr];
    Outside *o = mcache_outside_add_locked(OUTSIDE_SLOT, s->host,
                                           (ram_addr_t)s->bucket <<
                                           MCACHE_BUCKET_SHIFT,
                                           MCACHE_BUCKET_SIZE);

    o->slot = nr;
}

void mcache_slot_leave_locked(uint32_t nr)
{
    const void *host = mapcache.slot[nr].host;

    mcache_outside_remove_locked(mcache_outside_find_locked(host));
}
#endif

/* --- unmapping -------------------------------------------------------- */

/*
 * What could not be unmapped still has the guest's frames, though nobody uses
 * it: the next invalidate tries again.
 */
typedef struct Leftover {
    void *host;
    size_t pages;
    bool grant;
    QLIST_ENTRY(Leftover) next;
} Leftover;

static QLIST_HEAD(, Leftover) leftovers; /* under the lock */

static bool unmap_call_locked(void *host, size_t pages, bool grant)
{
    mapcache.stats.unmap_calls++;
    return (grant ? xengnttab_unmap(outside_gnttab, host, pages)
                  : munmap(host, pages << XC_PAGE_SHIFT)) == 0;
}

static void unmap_locked(void *host, size_t pages, bool grant)
{
    Leftover *l;

    if (!unmap_call_locked(host, pages, grant)) {
        mcache_report_failure("unmapping", 0, pages, errno);
        l = g_new(Leftover, 1);
        *l = (Leftover) { host, pages, grant };
        QLIST_INSERT_HEAD(&leftovers, l, next);
    }
}

void mcache_unmap_locked(void *host, size_t pages)
{
    if (pages) {
        unmap_locked(host, pages, false);
    }
}

void mcache_unmap_again_locked(void)
{
    Leftover *l, *next;

    QLIST_FOREACH_SAFE(l, &leftovers, next, next) {
        if (unmap_call_locked(l->host, l->pages, l->grant)) {
            QLIST_REMOVE(l, next);
            g_free(l);
        }
    }
}

/* --- grants ----------------------------------------------------------- */

uint8_t *mcache_grant_map(ram_addr_t addr, ram_addr_t block_offset,
                          hwaddr *plen, bool is_write)
{
    hwaddr in_page = addr & (XC_PAGE_SIZE - 1);
    uint32_t first = (addr - block_offset) >> XC_PAGE_SHIFT;
    uint32_t pages = DIV_ROUND_UP(in_page + *plen, XC_PAGE_SIZE), i;
    g_autofree uint32_t *refs = g_try_new(uint32_t, pages);
    int prot = PROT_READ | (is_write ? PROT_WRITE : 0);
    void *host = NULL;
    Outside *o;

    if (refs && outside_gnttab) {
        for (i = 0; i < pages; i++) {
            refs[i] = first + i;
        }
        host = xengnttab_map_domain_grant_refs(outside_gnttab, pages,
                                               xen_domid, refs, prot);
        if (!host && pages > 1) {
            /* One bad reference spoils them all: the first may be good. */
            pages = 1;
            host = xengnttab_map_domain_grant_refs(outside_gnttab, pages,
                                                   xen_domid, refs, prot);
        }
    }
    if (!host) {
        mcache_report_failure("mapping the grant", first, pages,
                              outside_gnttab ? errno : ENODEV);
        *plen = 0;
        return NULL;
    }

    QEMU_LOCK_GUARD(&mapcache.lock);
    mapcache.stats.map_calls++;
    mapcache.stats.map_pages += pages;
    nr_grants++;
    o = mcache_outside_add_locked(OUTSIDE_GRANT, host, addr - in_page,
                                  (hwaddr)pages << XC_PAGE_SHIFT);
    o->held = (uint8_t *)host + in_page;
    *plen = MIN(*plen, o->size - in_page);
    return o->held;
}

/* --- mappings of exactly their pages ------------------------------------ */

uint8_t *mcache_pages_map(ram_addr_t addr, hwaddr *plen, uint64_t info,
                          bool *failed)
{
    hwaddr in_page = addr & (XC_PAGE_SIZE - 1);
    uint64_t gfn = addr >> XC_PAGE_SHIFT;
    size_t pages = DIV_ROUND_UP(in_page + *plen, XC_PAGE_SIZE), present;
    g_autofree int *err = g_try_new(int, pages);
    uint8_t *host = NULL;
    Outside *o;

    qemu_mutex_lock(&mapcache.lock);
    *failed = nr_exact == EXACT_MAX;
    if (*failed) {
        qemu_mutex_unlock(&mapcache.lock);
        return NULL;
    }
    mapcache.stats.misses++;
    while (pages) {
        host = err ? mcache_map_call_locked(NULL, gfn, pages, err) : NULL;
        if (!host) {
            mcache_report_failure("mapping", addr, pages, err ? errno : ENOMEM);
            *failed = true;
            break;
        }
        for (present = 0; present < pages && !err[present]; present++) {
            ;
        }
        if (present == pages) {
            break;
        }
        /* Cut at the first absent page, and try for just what is there. */
        mcache_unmap_locked(host, pages);
        host = NULL;
        pages = present;
    }
    if (!host) {
        mapcache.stats.holes += !*failed;
        qemu_mutex_unlock(&mapcache.lock);
        if (!*failed) {
            mcache_report_hole(addr);
        }
        return NULL;
    }
    if (!mcache_dma_add(host + in_page, MIN(*plen, (pages << XC_PAGE_SHIFT) -
                                                   in_page), info)) {
        mcache_unmap_locked(host, pages);
        qemu_mutex_unlock(&mapcache.lock);
        *failed = true;
        return NULL;
    }
    o = mcache_outside_add_locked(OUTSIDE_HELD, host, addr - in_page,
                                  (hwaddr)pages << XC_PAGE_SHIFT);
    *plen = MIN(*plen, o->size - in_page);
    o->held = host + in_page;
    o->len = *plen;
    o->transfer = !(info & MCACHE_DMA_HELD);
    nr_exact++;
    mapcache.nr_held += !o->transfer;
    qemu_mutex_unlock(&mapcache.lock);
    return host + in_page;
}

static void held_unmap_locked(Outside *o)
{
    void *host = outside_host(o);
    size_t pages = o->size >> XC_PAGE_SHIFT;

    mcache_dma_remove(o->held, o->len);
    mapcache.nr_held -= !o->transfer;
    nr_exact--;
    mcache_outside_remove_locked(o);
    mcache_unmap_locked(host, pages);
}

/* --- single pages, when memory is short --------------------------------- */

uint8_t *mcache_page_map_locked(ram_addr_t addr, MapCacheNoPage *why)
{
    hwaddr in_page = addr & (XC_PAGE_SIZE - 1);
    int err = 0;
    void *host;
    Outside *o;

    if (nr_pages == PAGES_MAX) {
        *why = MCACHE_NO_PAGE_FULL;
        return NULL;
    }
    host = mcache_map_call_locked(NULL, addr >> XC_PAGE_SHIFT, 1, &err);
    if (!host) {
        mcache_report_failure("mapping", addr, 1, errno);
        *why = MCACHE_NO_PAGE_FAILED;
        return NULL;
    }
    if (err) {
        mcache_unmap_locked(host, 1);
        *why = MCACHE_NO_PAGE_HOLE;
        return NULL;
    }
    o = mcache_outside_add_locked(OUTSIDE_PAGE, host, addr - in_page,
                                  XC_PAGE_SIZE);
    o->bql = bql_locked();
    QLIST_INSERT_HEAD(&outside_pages, o, next);
    nr_pages++;
    mcache_reaper_wake_locked();
    return (uint8_t *)host + in_page;
}

static void page_unmap_locked(Outside *o)
{
    void *host = outside_host(o);

    QLIST_REMOVE(o, next);
    nr_pages--;
    mcache_outside_remove_locked(o);
    mcache_unmap_locked(host, 1);
}

void mcache_pages_grace_locked(void)
{
    Outside *o;

    QLIST_FOREACH(o, &outside_pages, next) {
        o->grace = true;
    }
}

void mcache_pages_reap_locked(void)
{
    Outside *o, *next;

    QLIST_FOREACH_SAFE(o, &outside_pages, next, next) {
        if (o->grace) {
            page_unmap_locked(o);
        }
    }
}

void mcache_pages_flush_locked(void)
{
    Outside *o, *next;

    QLIST_FOREACH_SAFE(o, &outside_pages, next, next) {
        if (o->bql) {
            page_unmap_locked(o);
        }
    }
}

/* --- release ------------------------------------------------------------ */

static void grant_unmap_locked(Outside *o)
{
    void *host = outside_host(o);
    size_t pages = o->size >> XC_PAGE_SHIFT;

    nr_grants--;
    mcache_outside_remove_locked(o);
    unmap_locked(host, pages, true);
}

bool mcache_outside_release(uint8_t *host, bool *dma)
{
    Outside *o;

    *dma = false;

    /* The common case, DMA that ended in device memory, needs no lock. */
    WITH_RCU_READ_LOCK_GUARD() {
        o = mcache_outside_find_locked(host);
        if (o && !o->held) {
            return true;
        }
    }
    QEMU_LOCK_GUARD(&mapcache.lock);
    o = mcache_outside_find_locked(host);
    if (!o) {
        return false;
    }
    if (o->held && o->held != host) {
        return false;
    }
    if (o->kind == OUTSIDE_GRANT) {
        grant_unmap_locked(o);
    } else if (o->kind == OUTSIDE_HELD) {
        *dma = o->transfer;
        held_unmap_locked(o);
    }
    return true;
}

void mcache_outside_stats(XenMapCacheStats *stats)
{
    QEMU_LOCK_GUARD(&mapcache.lock);
    mcache_block_stats_locked(stats);
    stats->grants = nr_grants;
}
