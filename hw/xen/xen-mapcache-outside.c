/*
 * Xen mapcache: mappings outside the arena
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Grants, mappings of exactly their pages, and device memory, whose own file
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
static xengnttab_handle *outside_gnttab;
static uint64_t nr_grants;

/*
 * Mappings of exactly their pages take an area of the kernel's, or two, each.
 * What devices hold leaves transfers theirs.
 */
#define EXACT_MAX       1024
static unsigned nr_exact[2];    /* transfers, held; under the lock */

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

/* What a failed call means: the library says EINVAL if Xen refuses one. */
static XenMapStatus grant_status(int err)
{
    return err == EINVAL || err == ENODEV ? XEN_MAP_ABSENT
                                          : XEN_MAP_UNAVAILABLE;
}

uint8_t *mcache_grant_map(ram_addr_t addr, ram_addr_t block_offset,
                          hwaddr *plen, bool is_write, XenMapStatus *status)
{
    hwaddr in_page = addr & (XC_PAGE_SIZE - 1);
    uint32_t first = (addr - block_offset) >> XC_PAGE_SHIFT;
    uint32_t pages = DIV_ROUND_UP(in_page + *plen, XC_PAGE_SIZE), i;
    g_autofree uint32_t *refs = g_try_new(uint32_t, pages);
    int prot = PROT_READ | (is_write ? PROT_WRITE : 0);
    void *host = NULL;
    Outside *o;

    errno = outside_gnttab ? ENOMEM : ENODEV;
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
        int err = errno;

        mcache_report_failure("mapping the grant", first, pages, err);
        *status = grant_status(err);
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

/*
 * Maps *@pages of @gfn's, cut at the first that is absent.  NULL and the
 * status if there is none.
 */
static void *exact_map_locked(uint64_t gfn, size_t *pages,
                              XenMapStatus *status)
{
    g_autofree int *err = g_try_new(int, *pages);
    size_t present;
    void *host;

    while (*pages) {
        host = err ? mcache_map_call_locked(NULL, gfn, *pages, err) : NULL;
        if (!host) {
            mcache_report_failure("mapping", gfn << XC_PAGE_SHIFT, *pages,
                                  err ? errno : ENOMEM);
            *status = XEN_MAP_UNAVAILABLE;
            return NULL;
        }
        for (present = 0; present < *pages && !err[present]; present++) {
            ;
        }
        if (present == *pages) {
            return host;
        }
        /* Once more, for just what is there. */
        mcache_unmap_locked(host, *pages);
        *pages = present;
    }
    *status = XEN_MAP_ABSENT;
    mapcache.stats.holes++;
    return NULL;
}

/*
 * Enters what was mapped, of which @len bytes from @held on are wanted, with
 * its record.  False if there is no memory for that.
 */
static bool exact_enter_locked(ram_addr_t addr, uint8_t *host, size_t pages,
                               uint8_t *held, hwaddr len, uint64_t info)
{
    Outside *o;

    if (!mcache_dma_add(held, len, info)) {
        return false;
    }
    o = mcache_outside_add_locked(OUTSIDE_HELD, host, addr,
                                  (hwaddr)pages << XC_PAGE_SHIFT);
    o->held = held;
    o->len = len;
    o->transfer = !(info & MCACHE_DMA_HELD);
    nr_exact[!o->transfer]++;
    mapcache.nr_held += !o->transfer;
    return true;
}

uint8_t *mcache_pages_map(ram_addr_t addr, hwaddr *plen, uint64_t info,
                          XenMapStatus *status)
{
    hwaddr in_page = addr & (XC_PAGE_SIZE - 1);
    size_t pages = DIV_ROUND_UP(in_page + *plen, XC_PAGE_SIZE);
    uint8_t *host = NULL;

    WITH_QEMU_LOCK_GUARD(&mapcache.lock) {
        if (nr_exact[!!(info & MCACHE_DMA_HELD)] == EXACT_MAX) {
            *status = XEN_MAP_UNAVAILABLE;
            return NULL;
        }
        mapcache.stats.misses++;
        host = exact_map_locked(addr >> XC_PAGE_SHIFT, &pages, status);
        if (host) {
            *plen = MIN(*plen, (pages << XC_PAGE_SHIFT) - in_page);
            if (!exact_enter_locked(addr - in_page, host, pages,
                                    host + in_page, *plen, info)) {
                mcache_unmap_locked(host, pages);
                *status = XEN_MAP_UNAVAILABLE;
                return NULL;
            }
            return host + in_page;
        }
    }
    if (*status == XEN_MAP_ABSENT) {
        mcache_report_hole(addr);
    }
    return NULL;
}

static void held_unmap_locked(Outside *o)
{
    void *host = outside_host(o);
    size_t pages = o->size >> XC_PAGE_SHIFT;

    mcache_dma_remove(o->held, o->len);
    mapcache.nr_held -= !o->transfer;
    nr_exact[!o->transfer]--;
    mcache_outside_remove_locked(o);
    mcache_unmap_locked(host, pages);
}

/* --- copies, where nothing can be kept ----------------------------------- */

/* The most pages that one copy maps: a few, for the lock is held. */
#define COPY_PAGES      64

static XenMapStatus copy_locked(ram_addr_t addr, void *buf, hwaddr *plen,
                                bool is_write)
{
    hwaddr in_page = addr & (XC_PAGE_SIZE - 1);
    size_t pages = MIN(DIV_ROUND_UP(in_page + *plen, XC_PAGE_SIZE),
                       COPY_PAGES);
    size_t present = 0;
    int err[COPY_PAGES];
    uint8_t *host = mcache_map_call_locked(NULL, addr >> XC_PAGE_SHIFT, pages,
                                           err);

    if (!host) {
        mcache_report_failure("mapping", addr, pages, errno);
        return XEN_MAP_UNAVAILABLE;
    }
    while (present < pages && !err[present]) {
        present++;
    }
    mapcache.stats.holes += !present;
    if (present) {
        *plen = MIN(*plen, (present << XC_PAGE_SHIFT) - in_page);
        memmove(is_write ? host + in_page : buf,
                is_write ? buf : host + in_page, *plen);
    }
    mcache_unmap_locked(host, pages);
    return present ? XEN_MAP_OK : XEN_MAP_ABSENT;
}

XenMapStatus mcache_pages_copy(ram_addr_t addr, void *buf, hwaddr *plen,
                               bool is_write)
{
    XenMapStatus status;

    WITH_QEMU_LOCK_GUARD(&mapcache.lock) {
        mapcache.stats.misses++;
        status = copy_locked(addr, buf, plen, is_write);
    }
    if (status == XEN_MAP_ABSENT) {
        mcache_report_hole(addr);
    }
    return status;
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
