/*
 * Xen mapcache: the foreign mappings through which QEMU touches a guest
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The contract is in system/xen-mapcache.h.  This is how it is kept.
 *
 * Guest RAM is mapped a bucket (1 MiB) at a time into slots of one arena, an
 * address range that is reserved at start and never given up.  The forward
 * table, indexed by bucket, names the slot; the slot table, indexed by
 * (address - arena), names the bucket.  Both ways are array reads, so each
 * address has one owner and an interior address is as good as the first.
 * A bucket goes to the slot that its number says if that one is free: then
 * neighbours in the guest are neighbours here, and a DMA that spans buckets
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
 *     (LOST: its addresses went to somebody else after a failed map call.)
 *
 * The phase and the number of DMA locks are one atomic word, so that a lock
 * fails once a slot is no longer LIVE, and a slot that is locked cannot be
 * retired.  What is mapped in a slot never changes while it is LIVE: a bucket
 * that has to be mapped anew, because a page came that was a hole, gets a
 * fresh slot, and the old one is retired.
 *
 * An invalidate steps the generation.  A slot of an older generation is no
 * hit for anybody, from that store on; then the slots are retired one by one
 * and unmapped.  Who may still have a pointer into one?
 *
 *  - DMA: the slot is STALE until the last release.
 *  - a thread without the BQL, in its RCU section: it marks the slot with the
 *    generation before it looks whether that is still the current one, and
 *    the invalidate steps the generation before it looks at the mark.  So one
 *    of the two sees the other: the thread looks again, or the slot is left
 *    to the reaper, a thread that waits for a grace period and unmaps then.
 *  - a BQL holder: not at the time of an invalidate, which has the BQL and is
 *    in no RCU section.  So slots that only BQL holders have used are unmapped
 *    at once, neighbours by one system call, before the ioreq is answered.
 *
 * A slot that is retired at any other time (a hole that was filled, eviction)
 * goes to the reaper always: the pointer may be this very thread's.
 *
 * Lock order: BQL, mapcache.lock, rev_lock.  The lock is held over map calls,
 * which makes misses wait for each other; hits need it not.  Nobody waits for
 * a grace period with the BQL, since a reader may be waiting for the BQL.
 *
 * Tried and rejected:
 *  - mapping over part of a foreign mapping, to fill in a hole: Xen's kernel
 *    drivers refuse it;
 *  - mremap() of a foreign mapping: a PV dom0 may refuse it;
 *  - call_rcu() for unmapping: its thread runs callbacks with the BQL, and
 *    unmapping is what takes long;
 *  - one mapping for a DMA that spans buckets: it could only go as a whole,
 *    and neighbours in adjacent slots serve as well.
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"

#include "block/block.h"
#include "exec/memory.h"
#include "hw/xen/xen_native.h"
#include "system/runstate.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "trace.h"

MapCache mapcache;

/* --- statistics ------------------------------------------------------ */

/*
 * Hits are counted in each thread by itself; a counter that all threads
 * write would be what makes them wait for each other.
 */
typedef struct MapCacheCounts {
    uint64_t hits;              /* but for those counted here: */
    uint64_t dma_hits;          /* DMA mappings made by a hit, */
    uint64_t dma_made;          /* … made otherwise, */
    uint64_t dma_ended;         /* … and ended */
} MapCacheCounts;

typedef struct MapCacheThread {
    MapCacheCounts n;           /* written by its thread alone */
    Notifier exit;
    QLIST_ENTRY(MapCacheThread) next;
} MapCacheThread;

static __thread MapCacheThread *this_thread;
static QLIST_HEAD(, MapCacheThread) threads; /* under mapcache.lock */
static MapCacheCounts threads_gone;          /* under mapcache.lock */

static void thread_exit(Notifier *n, void *unused)
{
    MapCacheThread *t = container_of(n, MapCacheThread, exit);

    qemu_mutex_lock(&mapcache.lock);
    threads_gone.hits += t->n.hits;
    threads_gone.dma_hits += t->n.dma_hits;
    threads_gone.dma_made += t->n.dma_made;
    threads_gone.dma_ended += t->n.dma_ended;
    QLIST_REMOVE(t, next);
    qemu_mutex_unlock(&mapcache.lock);
    this_thread = NULL;
    g_free(t);
}

static void thread_enter(void)
{
    MapCacheThread *t = g_new0(MapCacheThread, 1);

    t->exit.notify = thread_exit;
    qemu_thread_atexit_add(&t->exit);
    qemu_mutex_lock(&mapcache.lock);
    QLIST_INSERT_HEAD(&threads, t, next);
    qemu_mutex_unlock(&mapcache.lock);
    this_thread = t;
}

static inline MapCacheCounts *counts(void)
{
    if (unlikely(!this_thread)) {
        thread_enter();
    }
    return &this_thread->n;
}

/* The release orders an ended mapping after what made it, in any thread. */
static inline void count(uint64_t *counter)
{
    qatomic_store_release(counter, *counter + 1);
}

/*
 * Outstanding DMA mappings: exact when the threads are quiet, and never too
 * few.  For what has ended is added up first: when it is seen, so is, later,
 * that it was made.
 */
static uint64_t dma_outstanding_locked(void)
{
    uint64_t ended = threads_gone.dma_ended;
    uint64_t made = threads_gone.dma_made + threads_gone.dma_hits;
    MapCacheThread *t;

    QLIST_FOREACH(t, &threads, next) {
        ended += qatomic_load_acquire(&t->n.dma_ended);
    }
    QLIST_FOREACH(t, &threads, next) {
        made += qatomic_load_acquire(&t->n.dma_made) +
                qatomic_load_acquire(&t->n.dma_hits);
    }
    return made - ended;
}

void xen_map_cache_get_stats(XenMapCacheStats *stats)
{
    MapCacheThread *t;

    qemu_mutex_lock(&mapcache.lock);
    *stats = mapcache.stats;
    stats->hits = threads_gone.hits + threads_gone.dma_hits;
    QLIST_FOREACH(t, &threads, next) {
        stats->hits += qatomic_load_acquire(&t->n.hits) +
                       qatomic_load_acquire(&t->n.dma_hits);
    }
    stats->buckets = mapcache.nr_used - mapcache.nr_pending;
    stats->buckets_pending = mapcache.nr_pending;
    stats->dma = dma_outstanding_locked();
    stats->held = mapcache.nr_held;
    stats->unmatched = qatomic_read(&mapcache.unmatched);
    mcache_check_locked();
    qemu_mutex_unlock(&mapcache.lock);
    mcache_outside_stats(stats);
}

/* --- lookup ---------------------------------------------------------- */

void xen_map_cache_init(void)
{
    qemu_mutex_init(&mapcache.lock);
    mapcache.gen = 1;
    mcache_arena_init();
    mcache_rev_init();
    mcache_outside_init();
    mcache_reaper_init();
    mapcache.ready = true;
}

bool xen_map_cache_ready(void)
{
    return mapcache.ready;
}

/*
 * Notes that this thread may have a pointer into the slot until its RCU
 * section ends.  True if the generation is still @gen: then the slot, if it
 * is of that generation, stays mapped until the section ends.
 */
static inline bool mcache_touch(MapCacheSlot *s, uint32_t gen)
{
    if (!qatomic_read(&s->referenced)) {
        qatomic_set(&s->referenced, true);
    }
    /*
     * If another thread's mark is seen, so is, by the order of this load and
     * the next, every generation step that this mark came after.
     */
    if (qatomic_load_acquire(&s->iothread_gen) != gen) {
        if (bql_locked()) {
            return true; /* an invalidate cannot come in between */
        }
        mcache_mark(s, gen);
        /*
         * The mark before the generation; pairs with the full barrier in
         * xen_invalidate_map_cache() and that in slot_retire().
         */
        smp_mb();
    }
    return qatomic_read(&mapcache.gen) == gen;
}

/* The slot in which @bucket may be used in generation @gen, or NULL. */
static inline MapCacheSlot *mcache_find(uint64_t bucket, uint32_t gen)
{
    uint32_t *fwd = mcache_forward(bucket);
    uint32_t nr = fwd ? qatomic_load_acquire(fwd) : 0;
    MapCacheSlot *s;

    if (unlikely(!nr)) {
        return NULL;
    }
    s = &mapcache.slot[nr - 1];
    /* The acquire pairs with the release in slot_publish(). */
    if (unlikely(!mcache_touch(s, gen) ||
                 qatomic_load_acquire(&s->gen) != gen ||
                 s->bucket != bucket)) {
        return NULL;
    }
    return s;
}

static inline unsigned page_of(ram_addr_t addr)
{
    return (addr & (MCACHE_BUCKET_SIZE - 1)) >> XC_PAGE_SHIFT;
}

/*
 * How many of @len bytes from @addr on, its page being present, lie in
 * present pages of its bucket.
 */
static inline hwaddr present_bytes(const MapCacheSlot *s, ram_addr_t addr,
                                   hwaddr len)
{
    ram_addr_t offset = addr & (MCACHE_BUCKET_SIZE - 1);
    unsigned page = offset >> XC_PAGE_SHIFT, end;

    len = MIN(len, MCACHE_BUCKET_SIZE - offset);
    if (likely(len <= XC_PAGE_SIZE - (offset & (XC_PAGE_SIZE - 1)))) {
        return len;
    }
    end = find_next_zero_bit(s->valid, MCACHE_BUCKET_PAGES, page);
    return MIN(len, ((hwaddr)end << XC_PAGE_SHIFT) - offset);
}

/* An unlocked hit, or NULL. */
static inline uint8_t *mcache_hit(ram_addr_t addr, hwaddr *plen)
{
    uint64_t bucket = addr >> MCACHE_BUCKET_SHIFT;
    MapCacheSlot *s = mcache_find(bucket, qatomic_read(&mapcache.gen));

    if (unlikely(!s) || unlikely(!test_bit(page_of(addr), s->valid))) {
        return NULL;
    }
    if (plen) {
        *plen = present_bytes(s, addr, *plen);
    }
    return mcache_slot_host(s - mapcache.slot) +
           (addr & (MCACHE_BUCKET_SIZE - 1));
}

uint8_t *xen_map_cache(ram_addr_t addr, hwaddr *plen)
{
    MapCacheNoPage why = MCACHE_NO_PAGE_HOLE;
    bool hole = false;
    uint8_t *p;
    int filled;

    trace_xen_map_cache(addr);
    p = mcache_hit(addr, plen);
    if (likely(p)) {
        count(&counts()->hits);
        return p;
    }

    qemu_mutex_lock(&mapcache.lock);
    mapcache.stats.misses++;
    filled = mcache_fill_locked(addr >> MCACHE_BUCKET_SHIFT, 1,
                                page_of(addr));
    if (filled > 0) {
        p = mcache_hit(addr, plen);
    } else {
        hwaddr rest = XC_PAGE_SIZE - (addr & (XC_PAGE_SIZE - 1));

        p = filled < 0 ? mcache_page_map_locked(addr, &why) : NULL;
        hole = !p && why == MCACHE_NO_PAGE_HOLE;
        mapcache.stats.holes += hole;
        if (plen) {
            *plen = p || why == MCACHE_NO_PAGE_FULL ? MIN(*plen, rest) : 0;
        }
    }
    mcache_check_locked();
    qemu_mutex_unlock(&mapcache.lock);
    if (hole) {
        mcache_report_hole(addr);
    }
    return p;
}

/* --- DMA ------------------------------------------------------------- */

/* Locks a slot for DMA if it is LIVE. */
static inline bool slot_lock(MapCacheSlot *s)
{
    uint64_t old = qatomic_read(&s->state), seen;

    for (;; old = seen) {
        if (mcache_phase(old) != MCACHE_LIVE) {
            return false;
        }
        /* A full barrier; pairs with that in slot_retire(). */
        seen = qatomic_cmpxchg(&s->state, old, old + 1);
        if (seen == old) {
            return true;
        }
    }
}

static inline void slot_unlock(MapCacheSlot *s)
{
    uint64_t old = qatomic_fetch_dec(&s->state);

    assert(mcache_locks(old));
    if (unlikely(old == MCACHE_STATE(MCACHE_STALE, 1))) {
        mcache_stale_unlocked(s - mapcache.slot);
    }
}

static void slots_unlock(uint32_t nr, uint32_t n)
{
    for (; n; n--, nr++) {
        slot_unlock(&mapcache.slot[nr]);
    }
}

static inline uint32_t buckets_spanned(ram_addr_t addr, hwaddr len)
{
    return ((addr + len - 1) >> MCACHE_BUCKET_SHIFT) -
           (addr >> MCACHE_BUCKET_SHIFT) + 1;
}

/*
 * Locks the slot in which @bucket may be used in generation @gen, or NULL.
 * The lock itself keeps the slot mapped, so there is no mark to make.
 */
static __always_inline MapCacheSlot *mcache_find_and_lock(uint64_t bucket,
                                                 uint32_t gen)
{
    uint32_t *fwd = mcache_forward(bucket);
    uint32_t nr = fwd ? qatomic_load_acquire(fwd) : 0;
    MapCacheSlot *s;

    if (unlikely(!nr)) {
        return NULL;
    }
    s = &mapcache.slot[nr - 1];
    if (unlikely(!slot_lock(s))) {
        return NULL;
    }
    /* What is locked is not reused; but had it been before? */
    if (unlikely(qatomic_load_acquire(&s->gen) != gen ||
                 qatomic_read(&mapcache.gen) != gen ||
                 s->bucket != bucket)) {
        slot_unlock(s);
        return NULL;
    }
    if (!qatomic_read(&s->referenced)) {
        qatomic_set(&s->referenced, true);
    }
    return s;
}

/*
 * Locks the mapping of @len bytes at @addr, the common case: all of it is
 * there, in one bucket.  NULL if it takes more.
 */
static inline uint8_t *mcache_lock_hit(ram_addr_t addr, hwaddr len)
{
    MapCacheSlot *s = mcache_find_and_lock(addr >> MCACHE_BUCKET_SHIFT,
                                           qatomic_read(&mapcache.gen));

    if (unlikely(!s)) {
        return NULL;
    }
    if (unlikely(!test_bit(page_of(addr), s->valid)) ||
        unlikely(present_bytes(s, addr, len) != len)) {
        slot_unlock(s);
        return NULL;
    }
    return mcache_slot_host(s - mapcache.slot) +
           (addr & (MCACHE_BUCKET_SIZE - 1));
}

/*
 * Locks the mapping of *@plen bytes at @addr as it lies.  NULL if that needs
 * filling first.  *@plen is cut at the first absent page, and, if
 * @cut_at_end, at the end of the adjacent slots.
 */
static uint8_t *mcache_lock_run(ram_addr_t addr, hwaddr *plen,
                                bool cut_at_end)
{
    uint32_t gen = qatomic_read(&mapcache.gen);
    uint64_t bucket = addr >> MCACHE_BUCKET_SHIFT;
    MapCacheSlot *s = mcache_find_and_lock(bucket, gen);
    hwaddr len, part;
    uint32_t nr, n;

    if (unlikely(!s)) {
        return NULL;
    }
    nr = s - mapcache.slot;
    if (unlikely(!test_bit(page_of(addr), s->valid))) {
        slot_unlock(s);
        return NULL;
    }

    len = present_bytes(s, addr, *plen);
    for (n = 1; len < *plen; n++) {
        ram_addr_t next = addr + len;

        if (next & (MCACHE_BUCKET_SIZE - 1) || !xen_foreign_map_has_fixed()) {
            break; /* an absent page within the bucket; or no neighbours */
        }
        s = mcache_find_and_lock(bucket + n, gen);
        if (!s || s - mapcache.slot != nr + n) {
            if (s) {
                slot_unlock(s);
            }
            if (cut_at_end) {
                break;
            }
            slots_unlock(nr, n);
            return NULL;
        }
        if (!test_bit(0, s->valid)) {
            slot_unlock(s);
            break;
        }
        part = present_bytes(s, next, *plen - len);
        len += part;
    }
    *plen = len;
    return mcache_slot_host(nr) + (addr & (MCACHE_BUCKET_SIZE - 1));
}

/* All that is not mcache_lock_hit(). */
static G_NO_INLINE uint8_t *map_dma_slow(MemoryRegion *mr, ram_addr_t addr,
                                         ram_addr_t block_offset,
                                         hwaddr *plen, XenMapUse use,
                                         bool is_write, AddressSpace *as)
{
    bool failed;
    uint8_t *p;
    int filled;

    if (unlikely(xen_mr_is_grants(mr))) {
        return mcache_grant_map(addr, block_offset, plen, is_write);
    }
    /*
     * So that one request does not keep all the others waiting.  But a device
     * that is being restored wants what it held.
     */
    if (likely(!bql_locked() || !runstate_check(RUN_STATE_INMIGRATE))) {
        *plen = MIN(*plen, MCACHE_DMA_MAX);
    }

    if (use == XEN_MAP_HELD) {
        p = mcache_pages_map(addr, plen, MCACHE_REV_HELD, is_write, as,
                             &failed);
        if (p || !failed) {
            *plen = p ? *plen : 0;
            return p;
        }
        /* No memory for it: a bucket that is mapped may do as well. */
    }

    p = mcache_lock_run(addr, plen, false);
    if (p) {
        count(&counts()->hits);
    } else {
        qemu_mutex_lock(&mapcache.lock);
        mapcache.stats.misses++;
        filled = mcache_fill_locked(addr >> MCACHE_BUCKET_SHIFT,
                                    buckets_spanned(addr, *plen),
                                    page_of(addr));
        if (filled > 0) {
            p = mcache_lock_run(addr, plen, true);
        }
        mapcache.stats.holes += filled == 0;
        mcache_check_locked();
        qemu_mutex_unlock(&mapcache.lock);

        if (filled == 0) {
            mcache_report_hole(addr);
        }
        if (filled < 0 && use != XEN_MAP_HELD) {
            /* Short of memory for a bucket: its page alone. */
            *plen = MIN(*plen, XC_PAGE_SIZE - (addr & (XC_PAGE_SIZE - 1)));
            count(&counts()->dma_made);
            p = mcache_pages_map(addr, plen, MCACHE_REV_DMA, is_write, as,
                                 &failed);
            if (!p) {
                count(&counts()->dma_ended);
                *plen = 0;
            }
            return p;
        }
    }
    if (p) {
        count(&counts()->dma_made);
        mcache_rev_add(p, *plen, MCACHE_REV_DMA, is_write, as);
    } else {
        *plen = 0;
    }
    return p;
}

uint8_t *xen_map_cache_dma(MemoryRegion *mr, ram_addr_t addr,
                           ram_addr_t block_offset, hwaddr *plen,
                           XenMapUse use, bool is_write, AddressSpace *as)
{
    uint8_t *p = NULL;

    trace_xen_map_cache(addr);
    if (likely(use == XEN_MAP_DMA) && likely(!xen_mr_is_grants(mr))) {
        p = mcache_lock_hit(addr, *plen);
    }
    if (likely(p)) {
        count(&counts()->dma_hits);
        mcache_rev_add(p, *plen, MCACHE_REV_DMA, is_write, as);
    } else {
        p = map_dma_slow(mr, addr, block_offset, plen, use, is_write, as);
    }
    trace_xen_map_cache_return(p);
    return p;
}

void xen_invalidate_map_cache_entry(uint8_t *buffer, hwaddr len)
{
    uint32_t nr;
    bool dma;

    if (!buffer) {
        return;
    }
    if (mcache_slot_of(buffer, &nr)) {
        uint64_t size = mcache_rev_remove(buffer, len, MCACHE_REV_DMA);

        if (likely(size)) {
            hwaddr rest = mcache_slot_host(nr) + MCACHE_BUCKET_SIZE - buffer;

            count(&counts()->dma_ended);
            slot_unlock(&mapcache.slot[nr]);
            if (unlikely(size > rest)) {
                slots_unlock(nr + 1, buckets_spanned(0, size - rest));
            }
            return;
        }
    } else if (mcache_outside_release(buffer, &dma)) {
        if (dma) {
            count(&counts()->dma_ended);
        }
        return;
    }
    qatomic_inc(&mapcache.unmatched);
    trace_xen_map_cache_unmatched(buffer);
}

ram_addr_t xen_ram_addr_from_mapcache(void *ptr)
{
    uint32_t nr;

    if (likely(mcache_slot_of(ptr, &nr))) {
        MapCacheSlot *s = &mapcache.slot[nr];

        if (unlikely(!mcache_slot_known(nr))) {
            return RAM_ADDR_INVALID;
        }
        switch (mcache_phase(qatomic_read(&s->state))) {
        case MCACHE_LIVE:
        case MCACHE_STALE:
        case MCACHE_RETIRED:
            return ((ram_addr_t)qatomic_read(&s->bucket) <<
                    MCACHE_BUCKET_SHIFT) +
                   ((uint8_t *)ptr - mcache_slot_host(nr));
        default:
            return RAM_ADDR_INVALID;
        }
    }
    return mcache_outside_ram_addr(ptr);
}

/* --- invalidate ------------------------------------------------------ */

void xen_invalidate_map_cache(void)
{
    bool report;
    uint32_t gen;

    qemu_mutex_lock(&mapcache.lock);
    if (dma_outstanding_locked()) {
        /* Most of it is block I/O, which can be waited for. */
        qemu_mutex_unlock(&mapcache.lock);
        bdrv_drain_all();
        qemu_mutex_lock(&mapcache.lock);
    }
    mapcache.stats.invalidates++;
    gen = mapcache.gen + 1;
    qatomic_set(&mapcache.gen, gen ? gen : 1); /* 0 is no generation */
    /* The step before the marks; pairs with mcache_touch(). */
    smp_mb();
    mcache_pages_flush_locked();
    if (mapcache.nr_used) {
        mcache_flush_locked();
    }
    mcache_unmap_again_locked();
    report = dma_outstanding_locked() || qatomic_read(&mapcache.held_came);
    mcache_check_locked();
    qemu_mutex_unlock(&mapcache.lock);

    if (report) {
        mcache_rev_report();
    }
}
