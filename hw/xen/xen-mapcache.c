/*
 * Xen mapcache: the foreign mappings through which QEMU touches a guest
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The contract is in system/xen-mapcache.h.  This essay says how it is kept.
 *
 * Guest RAM is mapped one bucket (1 MiB) at a time into slots of one arena.
 * The arena is an address range that is reserved at the start and never given
 * up.  The forward table is indexed by bucket and names the slot.  The slot
 * table is indexed by (address - arena) and names the bucket.  Both look-ups
 * are array reads.  So each address belongs to one mapping, and the look-up
 * works for any address in a bucket, not only for the first.  A bucket goes to
 * the slot of its own number, modulo the number of slots, if that slot is free.
 * Then adjacent buckets are in adjacent slots, and a DMA that spans buckets
 * needs no mapping of its own.
 *
 * The life of a slot:
 *
 *            fill            publish
 *     FREE --------> FILLING --------> LIVE <---+ lock, release
 *      ^                |               |  |    |
 *      |    map failed  |      retire,  |  +----+
 *      +----------------+      unheld   |
 *      |                                |  retire, held by DMA
 *      |  unmap   RETIRED <-------------+----------> STALE
 *      +------------ ^                                 | last release
 *                    +---------------------------------+
 *
 *     (GOING: RETIRED, and a call is unmapping it.
 *     LOST: after a failed map call its addresses may be another mapping's.)
 *
 * The phase and the number of DMA locks are in one atomic word.  So locking
 * fails once the slot is no longer LIVE, and a locked slot becomes STALE, not
 * RETIRED.  While a slot is LIVE, what is mapped in it does not change.  If a
 * page appears where there was a hole, the bucket is mapped again in another
 * slot, and the old slot is retired.
 *
 * An invalidate steps the generation.  From that store on, a slot of an older
 * generation is not a hit for any thread.  Then the slots are retired one by
 * one, and unmapped.  There may still be pointers into such a slot:
 *
 *  - DMA may have one.  The slot is STALE until the last release.
 *  - A thread without the BQL may have one, in its RCU section.  The thread
 *    marks the slot with the generation, and then reads the generation again.
 *    The invalidate steps the generation, and then reads the mark.  So one of
 *    the two sees the other.  Either the thread looks the bucket up again, or
 *    the slot is left to the reaper, a thread that waits for a grace period and
 *    then unmaps.
 *  - No thread has one that it got with the BQL: such a pointer is not valid
 *    after the BQL was released, and now the invalidate has the BQL.  So slots
 *    that only threads with the BQL have used are unmapped at once, before the
 *    ioreq is answered; one system call unmaps adjacent slots.
 *
 * The common hit compares one word of the slot with the generation.
 * MapCacheSlot.used is set to the generation by a thread that has seen the mark
 * of that generation in the slot, and after that has seen the same generation.
 * So the next invalidate sees the mark, and a thread that finds the generation
 * in this word may use the slot without looking at the mark.  If only threads
 * with the BQL have used the slot, one bit of the word is inverted.  Then only
 * a thread with the BQL may use the slot without looking at the mark.  Eviction
 * and the rounds for idle buckets clear the word, to find out whether the slot
 * is used.  The next hit is then not the common one, and sets the word again.
 *
 * A slot that is retired at any other time (a filled hole, eviction) always
 * goes to the reaper, because the retiring thread itself may have a pointer
 * into it.
 *
 * No call that maps or unmaps is made with mapcache.lock, with one exception.
 * Each call that maps guest RAM is on a list (xen-mapcache-calls.c).  A thread
 * that misses the same bucket waits for the call, and so does an invalidate
 * that begins meanwhile.  If the generation has been stepped when a map call
 * returns, its thread unmaps what it has mapped before the invalidate ends, and
 * maps again.  This second map call is the exception: it is made with the lock,
 * so that invalidates without a pause cannot overtake it for ever.  A part of
 * its result that is of no use is unmapped with the lock, too.
 *
 * Lock order: BQL, mapcache.lock, the locks of the registry, of the owners and
 * of /proc/self/maps, of which a thread takes one at a time.  A hit of
 * xen_map_cache() needs none, nor does the common hit of xen_map_cache_dma().
 * No thread waits for a grace period with the BQL, because a reader may be
 * waiting for the BQL.  No thread waits for the BQL while it is in a call.
 *
 * Tried and rejected:
 *  - mapping over part of a foreign mapping, to fill a hole: Xen's kernel
 *    drivers refuse that;
 *  - mremap() of a foreign mapping: a PV dom0 may refuse that;
 *  - call_rcu() for unmapping: its thread runs callbacks with the BQL, and
 *    unmapping takes long;
 *  - one mapping for a DMA that spans buckets: it could only be unmapped as a
 *    whole, and adjacent slots do as well.
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "qemu/timer.h"
#include "qemu/units.h"

#include "block/block.h"
#include "hw/xen/xen_native.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-calls.h"
#include "xen-mapcache-dma.h"
#include "xen-mapcache-outside.h"
#include "xen-mapcache-slots.h"
#include "xen-mapcache-stats.h"
#include "trace.h"

#define IDLE_SECONDS_DEFAULT    60

MapCache mapcache = {
    .idle = IDLE_SECONDS_DEFAULT,
};

/* --- lookup ---------------------------------------------------------- */

/* Xen counts in pages of 4 KiB; a page of this kernel must be as large. */
static void check_host_page(void)
{
    if (qemu_real_host_page_size() != XC_PAGE_SIZE) {
        error_report("xen mapcache: this kernel has pages of %zu KiB; use one "
                     "with pages of 4 KiB, as Xen has",
                     (size_t)qemu_real_host_page_size() / KiB);
        exit(EXIT_FAILURE);
    }
}

void xen_map_cache_init(void)
{
    check_host_page();
    qemu_mutex_init(&mapcache.lock);
    mapcache.gen = 1;
    mcache_calls_init();
    mcache_arena_init();
    mcache_dma_init();
    mcache_events_init();
    mcache_owner_init();
    mcache_outside_init();
    mcache_reaper_init();
    mapcache.ready = true;
}

bool xen_map_cache_ready(void)
{
    return mapcache.ready;
}

/*
 * The barrier between loading another thread's mark and loading the generation.
 * On x86 and ARM, which are the processors that Xen runs on, a store that one
 * thread sees is seen by all threads; so ordering the loads is enough there.
 */
static inline void mcache_mark_seen(void)
{
#if defined(__x86_64__) || defined(__aarch64__)
    smp_rmb();  /* the mark, then the generation */
#else
    smp_mb();   /* elsewhere threads may see stores in different orders */
#endif
}

/*
 * Marks the slot: this thread, which does not have the BQL, may have a pointer
 * into the slot until its RCU section ends.
 */
static inline void mcache_touch(MapCacheSlot *s, uint32_t gen)
{
    mcache_mark(s, gen);
    /*
     * The mark before the generation; pairs with the full barrier in
     * xen_invalidate_map_cache() and that in slot_retire_locked().
     */
    smp_mb();
}

/*
 * Returns the pointer to @addr in a slot that stays mapped, or NULL if the slot
 * has another bucket or the page is absent.
 */
static __always_inline uint8_t *mcache_slot_pointer(MapCacheSlot *s,
                                                    ram_addr_t addr,
                                                    hwaddr *plen)
{
    if (unlikely(s->bucket != addr >> MCACHE_BUCKET_SHIFT) ||
        unlikely(!test_bit(mcache_page_of(addr), s->valid))) {
        return NULL;
    }
    if (plen) {
        *plen = mcache_present_bytes(s, addr, *plen);
    }
    return mcache_host_of(s) + (addr & (MCACHE_BUCKET_SIZE - 1));
}

/* Returns the pointer if it is a hit of any kind; NULL for a miss. */
static uint8_t *mcache_hit(ram_addr_t addr, hwaddr *plen)
{
    uint32_t gen = qatomic_read(&mapcache.gen);
    MapCacheSlot *s = mcache_find(addr >> MCACHE_BUCKET_SHIFT);
    bool marked = true;

    /* The acquire pairs with the release in slot_publish_locked(). */
    if (qatomic_load_acquire(&s->gen) != gen) {
        return NULL;
    }
    if (qatomic_read(&s->iothread_gen) == gen) {
        mcache_mark_seen();
    } else if (!bql_locked()) {
        mcache_touch(s, gen);
    } else {
        marked = false;
    }
    /*
     * The generation is still that of the slot and of the mark.  So the next
     * invalidate sees the mark, or it waits for the BQL that this thread has.
     */
    if (qatomic_read(&mapcache.gen) != gen ||
        qatomic_load_acquire(&s->gen) != gen) {
        return NULL;
    }
    if (!marked) {
        mcache_note_use(s, gen);
    } else if (qatomic_read(&s->used) != gen) {
        /*
         * The generation before it.  So the step to the next generation, and
         * the read of the mark that follows the step, are after the mark for
         * each thread that sees this.  Pairs with the acquire in
         * xen_map_cache().
         */
        qatomic_store_release(&s->used, gen);
    }
    return mcache_slot_pointer(s, addr, plen);
}

static uint8_t *map_miss(ram_addr_t addr, hwaddr *plen, XenMapStatus *pstatus)
{
    int64_t start = get_clock();
    XenMapStatus status;
    uint8_t *p = NULL;

    trace_xen_map_cache(addr);
    qemu_mutex_lock(&mapcache.lock);
    status = mcache_fill_locked(addr >> MCACHE_BUCKET_SHIFT, 1,
                                mcache_page_of(addr));
    if (status == XEN_MAP_OK) {
        p = mcache_hit(addr, plen);
        status = p ? XEN_MAP_OK : XEN_MAP_UNAVAILABLE;
    }
    mapcache.stats.holes += status == XEN_MAP_ABSENT;
    mcache_miss_ended_locked(start);
    mcache_check_locked();
    qemu_mutex_unlock(&mapcache.lock);
    if (status == XEN_MAP_ABSENT) {
        mcache_report_hole(addr);
    }
    if (!p && plen) {
        *plen = 0;
    }
    if (!p && pstatus) {
        *pstatus = status;
    }
    return p;
}

/* xen_map_cache() in all but the common case below. */
static G_NO_INLINE uint8_t *map_rest(ram_addr_t addr, hwaddr *plen,
                                     XenMapStatus *status)
{
    uint8_t *p = mcache_hit(addr, plen);

    if (likely(p)) {
        mcache_count(&mcache_counts()->hits);
        return p;
    }
    return map_miss(addr, plen, status);
}

/*
 * The common case: the slot is a hit in this generation and stays mapped, a
 * page or a part of it is wanted, and the thread's counters are known.  Every
 * other case is a tail call, so that no register has to be saved here.  A hit
 * has no trace event: asking whether that is on would cost each hit.
 */
static __always_inline uint8_t *map_from(MapCacheSlot *s, ram_addr_t addr,
                                         hwaddr *plen, XenMapStatus *status)
{
    if (unlikely(s->bucket != (uint32_t)(addr >> MCACHE_BUCKET_SHIFT)) ||
        unlikely(!test_bit(mcache_page_of(addr), s->valid)) ||
        (plen && unlikely(*plen > XC_PAGE_SIZE - (addr & ~XC_PAGE_MASK))) ||
        unlikely(!mcache_count_hit())) {
        return map_rest(addr, plen, status);
    }
    return mcache_host_of(s) + (addr & (MCACHE_BUCKET_SIZE - 1));
}

/* For a slot that no thread without the BQL has used in this generation. */
static G_NO_INLINE uint8_t *map_unmarked(MapCacheSlot *s, ram_addr_t addr,
                                         hwaddr *plen, XenMapStatus *status)
{
    return bql_locked() ? map_from(s, addr, plen, status)
                        : map_rest(addr, plen, status);
}

G_NO_INLINE uint8_t *xen_map_cache(ram_addr_t addr, hwaddr *plen,
                                   XenMapStatus *status)
{
    MapCacheSlot *s = mcache_find(addr >> MCACHE_BUCKET_SHIFT);
    /*
     * The acquire pairs with the releases in mcache_hit() and
     * slot_publish_locked(), and it keeps the generation behind it.
     */
    uint32_t used = qatomic_load_acquire(&s->used);
    uint32_t gen = qatomic_read(&mapcache.gen);

    if (likely(used == gen)) {
        return map_from(s, addr, plen, status);
    }
    if (likely(used == (gen ^ MCACHE_UNMARKED))) {
        return map_unmarked(s, addr, plen, status);
    }
    return map_rest(addr, plen, status);
}

XenMapStatus xen_map_cache_copy(ram_addr_t addr, void *buf, void *old,
                                hwaddr *plen, bool is_write)
{
    XenMapStatus status;
    hwaddr len = *plen;
    uint8_t *p;

    WITH_RCU_READ_LOCK_GUARD() {
        p = mcache_hit(addr, &len);
        if (p) {
            mcache_count(&mcache_counts()->hits);
            xen_map_cache_move(p, buf, old, len, is_write);
            *plen = len;
            return XEN_MAP_OK;
        }
    }
    status = mcache_pages_copy(addr, buf, old, plen, is_write);
    if (status == XEN_MAP_OK) {
        mcache_event_low();
    }
    return status;
}

/* --- reverse lookup ---------------------------------------------------- */

ram_addr_t xen_ram_addr_from_mapcache(void *ptr)
{
    uint32_t nr;

    return likely(mcache_slot_of(ptr, &nr)) ? mcache_slot_ram_addr(nr, ptr)
                                            : mcache_outside_ram_addr(ptr);
}

/* --- invalidate ------------------------------------------------------ */

void xen_invalidate_map_cache(void)
{
    bool transfers, report;
    uint32_t gen;

    qemu_mutex_lock(&mapcache.lock);
    if (mcache_dma_outstanding_locked() && mcache_dma_any_young_locked()) {
        /*
         * Most young transfers are block I/O, which soon ends.  An old one may
         * stay outstanding for long, so nobody waits for it.
         */
        qemu_mutex_unlock(&mapcache.lock);
        bdrv_drain_all();
        qemu_mutex_lock(&mapcache.lock);
    }
    mapcache.stats.invalidates++;
    gen = mapcache.gen + 1;
    gen += !(gen & ~MCACHE_UNMARKED); /* these two are no generations */
    qatomic_set(&mapcache.gen, gen);
    /* The step before the marks; pairs with mcache_touch(). */
    smp_mb();
    if (mapcache.nr_used) {
        mcache_flush_locked();
    }
    mcache_calls_wait_old_locked();
    mcache_unmap_again_locked();
    transfers = mcache_dma_outstanding_locked() != 0;
    report = transfers || qatomic_read(&mapcache.held_came);
    mcache_check_locked();
    qemu_mutex_unlock(&mapcache.lock);

    if (transfers) {
        mcache_event_outstanding();
    }
    if (report) {
        mcache_dma_report();
    }
}

/* --- statistics ------------------------------------------------------ */

void xen_map_cache_get_stats(XenMapCacheStats *stats)
{
    QEMU_LOCK_GUARD(&mapcache.lock);
    *stats = mapcache.stats;
    mcache_backend_stats(stats);
    mcache_block_stats_locked(stats);
    stats->hits = mcache_hits_locked();
    stats->buckets = mapcache.nr_used - mapcache.nr_pending;
    stats->buckets_pending = mapcache.nr_pending;
    stats->grants = mcache_grants_locked();
    stats->exact_bytes = mcache_exact_bytes_locked();
    stats->dma = mcache_dma_outstanding_locked();
    stats->held = mapcache.nr_held;
    stats->unmatched = qatomic_read(&mapcache.unmatched);
    stats->failed_accesses = qatomic_read(&mapcache.failed_accesses);
    mcache_check_locked();
}
