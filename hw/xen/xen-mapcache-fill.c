/*
 * Xen mapcache: filling slots
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A lookup that misses comes here: finds a place for the bucket, maps it, and
 * publishes it.  All of it is under mapcache.lock.
 */

#include "qemu/osdep.h"

#include "hw/xen/xen_native.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "trace.h"

/* The forward cell of @bucket, made if need be; NULL if it cannot be. */
static uint32_t *mcache_forward_get(uint64_t bucket)
{
    uint64_t root = bucket >> MCACHE_LEAF_SHIFT;

    if (root < MCACHE_ROOT_ENTRIES && !mapcache.root[root]) {
        uint32_t *leaf = g_try_new0(uint32_t, MCACHE_LEAF_BUCKETS);

        /* Pairs with the acquire in mcache_forward(). */
        qatomic_store_release(&mapcache.root[root], leaf);
    }
    return mcache_forward(bucket);
}

static bool slots_free(uint64_t nr, uint32_t n)
{
    return nr + n <= mapcache.nr_slots &&
           (n == 1 || xen_foreign_map_has_fixed()) &&
           find_next_bit(mapcache.used_map, nr + n, nr) == nr + n;
}

/*
 * A run of @n free slots for buckets from @bucket on: where the bucket number
 * says, so that neighbours in the guest are neighbours here, or anywhere.
 * Returns nr_slots if there is none.
 */
static uint32_t slots_find(uint64_t bucket, uint32_t n)
{
    uint32_t nr = bucket % mapcache.nr_slots;

    if (slots_free(nr, n)) {
        return nr;
    }
    if (n > 1 && !xen_foreign_map_has_fixed()) {
        return mapcache.nr_slots;
    }
    nr = bitmap_find_next_zero_area(mapcache.used_map, mapcache.nr_slots, 0,
                                    n, 0);
    return MIN(nr, mapcache.nr_slots);
}

void *mcache_map_frames_locked(void *host, const xen_pfn_t *gfn, size_t pages,
                               int *err)
{
    void *p = xen_foreign_map(xen_fmem, xen_domid, host,
                              PROT_READ | PROT_WRITE, host ? MAP_FIXED : 0,
                              pages, gfn, err);

    mapcache.stats.map_calls++;
    mapcache.stats.map_pages += pages;
    trace_xen_remap_bucket((uint64_t)gfn[0] << XC_PAGE_SHIFT, pages, p);
    if (!p) {
        mapcache.stats.map_failures++;
    }
    return p;
}

void *mcache_map_call_locked(void *host, uint64_t first_gfn, size_t pages,
                             int *err)
{
    g_autofree xen_pfn_t *gfn = g_try_new(xen_pfn_t, pages);
    size_t i;

    if (!gfn) {
        errno = ENOMEM;
        return NULL;
    }
    for (i = 0; i < pages; i++) {
        gfn[i] = first_gfn + i;
    }
    return mcache_map_frames_locked(host, gfn, pages, err);
}

/*
 * Maps @bucket into the slot, which is FREE, and leaves it FILLING.  False if
 * the call failed; the slot is FREE again then, or LOST.
 */
static bool slot_fill(uint32_t nr, uint64_t bucket)
{
    MapCacheSlot *s = &mapcache.slot[nr];
    void *host = NULL;
    int err[MCACHE_BUCKET_PAGES];
    unsigned i;
    int saved_errno;

    if (!mcache_slot_make(nr)) {
        mcache_report_failure("allocating a slot", bucket << MCACHE_BUCKET_SHIFT,
                              MCACHE_BUCKET_PAGES, errno);
        return false;
    }
    mcache_slot_take(nr);
    if (xen_foreign_map_has_fixed()) {
        host = mcache_slot_host(nr);
    }
    host = mcache_map_call_locked(host, bucket * MCACHE_BUCKET_PAGES,
                                  MCACHE_BUCKET_PAGES, err);
    if (!host) {
        saved_errno = errno;
        if (mcache_slot_reserve_again(nr)) {
            mcache_slot_give_back(nr);
        } else {
            mcache_slot_lose(nr);
        }
        mcache_report_failure("mapping", bucket << MCACHE_BUCKET_SHIFT,
                              MCACHE_BUCKET_PAGES, saved_errno);
        if (saved_errno == ENOMEM) {
            mcache_evict_for_memory_locked();
        }
        return false;
    }
    qatomic_set(&s->bucket, bucket); /* a report may read it meanwhile */
    qatomic_set(&s->referenced, true); /* a late reader may look at it */
    mcache_mark_unused(s, qatomic_read(&mapcache.gen));
#ifdef XEN_COMPAT_PHYSMAP
    s->host = host;
    mcache_slot_enter_locked(nr);
#endif
    bitmap_zero(s->valid, MCACHE_BUCKET_PAGES);
    for (i = 0; i < MCACHE_BUCKET_PAGES; i++) {
        if (!err[i]) {
            set_bit(i, s->valid);
        }
    }
    return true;
}

/* Makes a FILLING slot LIVE and the one that lookups find. */
static void slot_publish(uint32_t nr)
{
    MapCacheSlot *s = &mapcache.slot[nr];
    uint32_t *fwd = mcache_forward(s->bucket);
    uint32_t old = *fwd;

    mcache_slot_set_phase(s, MCACHE_LIVE);
    /* Pairs with the acquire in mcache_find(). */
    qatomic_store_release(&s->gen, qatomic_read(&mapcache.gen));
    qatomic_store_release(fwd, nr + 1);
    if (old) {
        mcache_retire_later(old - 1);
    }
}

/* Is the page there now?  Asked of Xen, at the price of a single page. */
static XenMapStatus page_status(uint64_t gfn)
{
    int err = 0;
    void *p = mcache_map_call_locked(NULL, gfn, 1, &err);

    if (!p) {
        mcache_report_failure("mapping", gfn << XC_PAGE_SHIFT, 1, errno);
        return XEN_MAP_UNAVAILABLE;
    }
    mcache_unmap_locked(p, 1);
    return err ? XEN_MAP_ABSENT : XEN_MAP_OK;
}

/*
 * Whether a slot starting a run at @nr can serve bucket @bucket without a
 * map call: published for it.
 */
static bool slot_serves(uint32_t nr, uint64_t bucket)
{
    uint32_t *fwd = mcache_forward(bucket);

    return nr < mapcache.nr_slots && fwd && *fwd == nr + 1;
}

/*
 * Where the run of buckets [@first, @first + *@n) goes: around what is mapped
 * already if the slots behind it are free or serve it, else to fresh slots,
 * else cut to one bucket.  @fresh: what is mapped will not do.  Returns
 * nr_slots if there is no room.
 */
static uint32_t run_place(uint64_t first, uint32_t *n, uint32_t now,
                          bool fresh)
{
    uint32_t nr = now ? now - 1 : first % mapcache.nr_slots;
    uint32_t i = 0;

    if (!fresh) {
        while (i < *n && (slot_serves(nr + i, first + i) ||
                          slots_free(nr + i, 1))) {
            i++;
        }
    }
    if (i == *n) {
        return nr;
    }
    nr = slots_find(first, *n);
    if (nr == mapcache.nr_slots && *n > 1) {
        *n = 1;
        nr = now && !fresh ? now - 1 : slots_find(first, 1);
    }
    return nr;
}

XenMapStatus mcache_fill_locked(uint64_t first, uint32_t n, unsigned page)
{
    uint32_t *fwd = mcache_forward_get(first);
    XenMapStatus status = XEN_MAP_OK;
    uint32_t nr, i;
    bool fresh;

    if (!fwd) {
        return XEN_MAP_UNAVAILABLE;
    }

    /* A published slot without the page: a hole, unless it came since. */
    fresh = *fwd && !test_bit(page, mapcache.slot[*fwd - 1].valid);
    if (fresh) {
        status = page_status(first * MCACHE_BUCKET_PAGES + page);
    }
    if (status != XEN_MAP_OK) {
        return status;
    }

    n = MIN(n, mapcache.max_slots / 2);
    nr = run_place(first, &n, *fwd, fresh);
    if (nr == mapcache.nr_slots) {
        mapcache.stats.no_room++;
        mcache_evict_locked(nr, 0);
        return XEN_MAP_UNAVAILABLE;
    }

    for (i = 0; i < n; i++) {
        if (slot_serves(nr + i, first + i)) {
            continue;
        }
        if (!mcache_forward_get(first + i) ||
            !slot_fill(nr + i, first + i)) {
            break;
        }
        slot_publish(nr + i);
    }
    mcache_evict_locked(nr, i);
    if (!*fwd) {
        return XEN_MAP_UNAVAILABLE;
    }
    if (!test_bit(page, mapcache.slot[*fwd - 1].valid)) {
        /* It would be there if its bucket could have been mapped anew. */
        return fresh ? XEN_MAP_UNAVAILABLE : XEN_MAP_ABSENT;
    }
    return XEN_MAP_OK;
}
