/*
 * Xen mapcache: filling slots
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * These functions handle a miss: they find a slot for the bucket, map the
 * bucket into it, and publish the slot.  All of this is done under
 * mapcache.lock, except the map calls.  (A map call that is repeated is made
 * under the lock, too.)
 */

#include "qemu/osdep.h"

#include "hw/xen/xen_native.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-calls.h"
#include "xen-mapcache-outside.h"
#include "xen-mapcache-slots.h"
#include "trace.h"

/*
 * The forward table's entry for @bucket, which is made if there is none; NULL
 * if that fails.
 */
static uint32_t *mcache_forward_get_locked(uint64_t bucket)
{
    uint64_t root = bucket >> MCACHE_LEAF_SHIFT;

    if (root < MCACHE_ROOT_ENTRIES && !mapcache.root[root]) {
        uint32_t *leaf = g_try_new0(uint32_t, MCACHE_LEAF_BUCKETS);

        /* Pairs with the acquire in mcache_forward(). */
        qatomic_store_release(&mapcache.root[root], leaf);
    }
    return mcache_forward(bucket);
}

static bool slots_free_locked(uint64_t nr, uint32_t n)
{
    return nr + n <= mapcache.nr_slots &&
           find_next_bit(mapcache.used_map, nr + n, nr) == nr + n;
}

/*
 * Finds @n adjacent free slots for the buckets from @bucket on: the slots of
 * their own numbers, so that adjacent buckets are in adjacent slots, or any
 * others.  Returns nr_slots if there are none.
 */
static uint32_t slots_find_locked(uint64_t bucket, uint32_t n)
{
    uint32_t nr = bucket % mapcache.nr_slots;

    if (slots_free_locked(nr, n)) {
        return nr;
    }
    nr = bitmap_find_next_zero_area(mapcache.used_map, mapcache.nr_slots, 0,
                                    n, 0);
    return MIN(nr, mapcache.nr_slots);
}

/*
 * Maps @bucket into the slot, which this thread has made FILLING.  Without the
 * lock.  Returns an errno if the call failed, or if a page is unavailable;
 * *@in_part: then the rest of the bucket is mapped.
 */
static int slot_map(uint32_t nr, uint64_t bucket, bool *in_part)
{
    MapCacheSlot *s = &mapcache.slot[nr];
    int err[MCACHE_BUCKET_PAGES];
    void *host = NULL;
    unsigned i;

    if (xen_foreign_map_has_fixed()) {
        host = mcache_slot_host(nr);
    }
    host = mcache_map_range(host, bucket * MCACHE_BUCKET_PAGES,
                            MCACHE_BUCKET_PAGES, err);
    *in_part = host != NULL;
    if (!host) {
        return errno;
    }
#ifdef XEN_COMPAT_PHYSMAP
    s->host = host;
#endif
    bitmap_zero(s->valid, MCACHE_BUCKET_PAGES);
    for (i = 0; i < MCACHE_BUCKET_PAGES; i++) {
        if (!err[i]) {
            set_bit(i, s->valid);
        }
    }
    return mcache_unavailable(err, MCACHE_BUCKET_PAGES);
}

/* To be called when @bucket was mapped in the slot, which is still FILLING. */
static void slot_mapped_locked(uint32_t nr, uint64_t bucket)
{
    MapCacheSlot *s = &mapcache.slot[nr];

    qatomic_set(&s->bucket, bucket); /* a report may read it meanwhile */
    mcache_mark_unused_locked(s, qatomic_read(&mapcache.gen));
#ifdef XEN_COMPAT_PHYSMAP
    mcache_slot_enter_locked(nr);
#endif
}

/* Makes a FILLING slot LIVE and the one that lookups find. */
static void slot_publish_locked(uint32_t nr)
{
    MapCacheSlot *s = &mapcache.slot[nr];
    uint32_t *fwd = mcache_forward(s->bucket);
    uint32_t old = *fwd, gen = qatomic_read(&mapcache.gen);

    mcache_slot_set_phase_locked(s, MCACHE_LIVE);
    /* These pair with the acquires where the slot is looked up. */
    qatomic_store_release(&s->gen, gen);
    qatomic_store_release(&s->used, gen ^ MCACHE_UNMARKED);
    qatomic_store_release(fwd, nr + 1);
    if (old) {
        mcache_retire_later_locked(old - 1);
    }
}

/* Asks Xen whether the page is present now, by mapping it.  Needs no lock. */
static XenMapStatus page_status(uint64_t gfn)
{
    int err = 0;
    void *p = mcache_map_range(NULL, gfn, 1, &err);

    p = mcache_mapped_or_null(p, 1, &err);
    if (!p) {
        mcache_report_failure("mapping guest address", gfn << XC_PAGE_SHIFT, 1,
                              errno);
        return XEN_MAP_UNAVAILABLE;
    }
    mcache_unmap(p, 1);
    return err ? XEN_MAP_ABSENT : XEN_MAP_OK;
}

/* True if slot @nr is published for @bucket, so that no map call is needed. */
static bool slot_serves_locked(uint32_t nr, uint64_t bucket)
{
    uint32_t *fwd = mcache_forward(bucket);

    return nr < mapcache.nr_slots && fwd && *fwd == nr + 1;
}

/*
 * Finds adjacent slots for the buckets [@first, @first + @n).  @now: the
 * forward table's entry of the first.  A slot that is published for its bucket
 * is used as it is if all the others are free.  Otherwise, and always if
 * @fresh, all slots are free ones.  Returns the first, or nr_slots if there are
 * none.
 */
static uint32_t run_place_locked(uint64_t first, uint32_t n, uint32_t now,
                                 bool fresh)
{
    uint32_t nr = now ? now - 1 : first % mapcache.nr_slots;
    uint32_t i = 0;

    if (!fresh) {
        while (i < n && (slot_serves_locked(nr + i, first + i) ||
                         slots_free_locked(nr + i, 1))) {
            i++;
        }
    }
    return i == n ? nr : slots_find_locked(first, n);
}

/* A run of buckets that are mapped into adjacent slots. */
typedef struct Fill {
    MapCacheCall call;
    uint64_t first;         /* bucket */
    uint32_t n;             /* buckets */
    uint32_t nr;            /* the slot of the first */
    uint32_t mapped;        /* how many are mapped, by this call or before */
    int err;                /* why the next bucket is not mapped; 0: all are */
    bool in_part;           /* some of the next bucket is mapped */
    bool lost;              /* the next bucket's slot is to become LOST */
} Fill;

/* True if this call fills the slot of the run's bucket @i. */
static bool fill_owns(const Fill *f, uint32_t i)
{
    const MapCacheSlot *s = &mapcache.slot[f->nr + i];

    return mcache_phase(qatomic_read(&s->state)) == MCACHE_FILLING &&
           qatomic_read(&s->info) == (uintptr_t)&f->call;
}

/* Takes the slots that do not serve yet; fewer if one cannot be made. */
static void fill_take_locked(Fill *f)
{
    uint32_t i;

    for (i = 0; i < f->n; i++) {
        if (slot_serves_locked(f->nr + i, f->first + i)) {
            continue;
        }
        if (!mcache_forward_get_locked(f->first + i) ||
            !mcache_slot_make_locked(f->nr + i)) {
            f->err = ENOMEM;
            break;
        }
        mcache_slot_take_locked(f->nr + i, f->first + i, &f->call);
    }
    f->n = i;
}

/* The map calls, until one fails.  Needs no lock. */
static void fill_map(Fill *f)
{
    for (f->mapped = 0; f->mapped < f->n; f->mapped++) {
        uint32_t nr = f->nr + f->mapped;
        int err = fill_owns(f, f->mapped)
                  ? slot_map(nr, f->first + f->mapped, &f->in_part) : 0;

        if (err) {
            f->err = err;
            f->lost = !f->in_part && !mcache_slot_reserve_again(nr);
            break;
        }
    }
    if (f->err) {
        mcache_report_failure("mapping guest address",
                              (f->first + f->mapped) << MCACHE_BUCKET_SHIFT,
                              MCACHE_BUCKET_PAGES, f->err);
    }
}

/* Publishes what was mapped, or unmaps it, and gives back the rest. */
static void fill_end_locked(Fill *f)
{
    bool old = mcache_call_is_old_locked(&f->call);
    uint32_t i;

    for (i = 0; i < f->n; i++) {
        uint32_t nr = f->nr + i;

        if (!fill_owns(f, i)) {
            continue;
        }
        if (i == f->mapped && f->lost) {
            mcache_slot_lose_locked(nr);
        } else if (i > f->mapped || (i == f->mapped && !f->in_part)) {
            mcache_slot_give_back_locked(nr);
        } else {
            slot_mapped_locked(nr, f->first + i);
            if (!old && i < f->mapped) {
                slot_publish_locked(nr);
            } else {
                mcache_slot_set_phase_locked(&mapcache.slot[nr],
                                             MCACHE_RETIRED);
                mapcache.nr_pending++;
                mcache_slots_unmap_locked(nr, 1);
            }
        }
    }
    if (f->err == ENOMEM) {
        mcache_evict_for_memory_locked();
    }
}

/*
 * Fills once.  True if the answer is *@status; false if an invalidate came, or
 * what had been mapped before was evicted meanwhile.
 */
static bool fill_once_locked(Fill *f, unsigned page, XenMapStatus *status)
{
    uint32_t *fwd = mcache_forward(f->first);
    bool fresh;

    /*
     * If the slot is published without the page, that is a hole, unless the
     * page has appeared since the slot was filled.
     */
    fresh = *fwd && !test_bit(page, mapcache.slot[*fwd - 1].valid);
    if (fresh) {
        mcache_call_unlock(&f->call);
        *status = page_status(f->first * MCACHE_BUCKET_PAGES + page);
        mcache_call_lock(&f->call);
        if (*status != XEN_MAP_OK) {
            return true;
        }
    }
    f->nr = run_place_locked(f->first, f->n, *fwd, fresh);
    *status = XEN_MAP_UNAVAILABLE;
    if (f->nr == mapcache.nr_slots) {
        mapcache.stats.no_room++;
        mcache_evict_locked(f->nr, 0);
        return true;
    }
    fill_take_locked(f);
    mcache_call_unlock(&f->call);
    fill_map(f);
    mcache_call_lock(&f->call);
    fill_end_locked(f);
    mcache_evict_locked(f->nr, f->mapped);

    if (mcache_call_is_old_locked(&f->call)) {
        return false;
    }
    if (!*fwd) {
        return f->err != 0;
    }
    *status = XEN_MAP_OK;
    if (!test_bit(page, mapcache.slot[*fwd - 1].valid)) {
        /*
         * @fresh: the page is present, but this call could not map its bucket
         * anew.
         */
        *status = fresh ? XEN_MAP_UNAVAILABLE : XEN_MAP_ABSENT;
    }
    return true;
}

XenMapStatus mcache_fill_locked(uint64_t first, uint32_t n, unsigned page)
{
    XenMapStatus status;
    bool done, again = false;

    if (n > mapcache.max_slots / 2) {
        mapcache.stats.no_room++;
        return XEN_MAP_UNAVAILABLE;
    }
    if ((n > 1 && !xen_foreign_map_has_fixed()) ||
        !mcache_forward_get_locked(first)) {
        return XEN_MAP_UNAVAILABLE;
    }
    do {
        Fill f = { .first = first, .n = n };

        mcache_calls_wait_locked(first, f.n);
        mcache_call_begin_locked(&f.call, first, f.n);
        f.call.again = again;
        done = fill_once_locked(&f, page, &status);
        mcache_call_end_locked(&f.call);
        again = true;
    } while (!done);
    return status;
}
