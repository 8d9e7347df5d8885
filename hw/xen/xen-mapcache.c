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
#include "exec/memory.h"
#include "hw/xen/xen_native.h"
#include "system/runstate.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
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

static inline unsigned mcache_page_of(ram_addr_t addr)
{
    return (addr & (MCACHE_BUCKET_SIZE - 1)) >> XC_PAGE_SHIFT;
}

/*
 * The page of @addr is present.  Returns how many of the @len bytes from @addr
 * on are in present pages of the same bucket.
 */
static inline hwaddr mcache_present_bytes(const MapCacheSlot *s,
                                          ram_addr_t addr, hwaddr len)
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

/* The slot in which @bucket was found, or NULL. */
static __always_inline MapCacheSlot *mcache_find(uint64_t bucket)
{
    uint32_t *fwd = mcache_forward(bucket);
    uint32_t nr = fwd ? qatomic_load_acquire(fwd) : 0;

    return likely(nr) ? &mapcache.slot[nr - 1] : NULL;
}

/* The two halves of MapCacheSlot.gens. */
static __always_inline uint32_t gens_filled(uint64_t gens)
{
    return HOST_BIG_ENDIAN ? gens >> 32 : gens;
}

static __always_inline uint32_t gens_mark(uint64_t gens)
{
    return HOST_BIG_ENDIAN ? gens : gens >> 32;
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
    return mcache_slot_host(s - mapcache.slot) +
           (addr & (MCACHE_BUCKET_SIZE - 1));
}

/* Returns the pointer if it is a hit of any kind; NULL for a miss. */
static uint8_t *mcache_hit(ram_addr_t addr, hwaddr *plen)
{
    uint32_t gen = qatomic_read(&mapcache.gen);
    MapCacheSlot *s = mcache_find(addr >> MCACHE_BUCKET_SHIFT);
    uint64_t gens;

    if (!s) {
        return NULL;
    }
    if (!qatomic_read(&s->referenced)) {
        qatomic_set(&s->referenced, true);
    }
    /* The acquire pairs with the release in slot_publish_locked(). */
    gens = qatomic_load_acquire(&s->gens);
    if (gens_filled(gens) != gen) {
        return NULL;
    }
    if (gens_mark(gens) == gen) {
        mcache_mark_seen();
    } else if (!bql_locked()) {
        mcache_touch(s, gen);
    }
    /*
     * The generation is still that of the slot and of the mark.  So the next
     * invalidate sees the mark, or it waits for the BQL that this thread has.
     */
    if (qatomic_read(&mapcache.gen) != gen ||
        qatomic_load_acquire(&s->gen) != gen) {
        return NULL;
    }
    return mcache_slot_pointer(s, addr, plen);
}

static uint8_t *map_miss(ram_addr_t addr, hwaddr *plen, XenMapStatus *pstatus)
{
    int64_t start = get_clock();
    XenMapStatus status;
    uint8_t *p = NULL;

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
    uint8_t *p;

    trace_xen_map_cache(addr);
    p = mcache_hit(addr, plen);
    if (likely(p)) {
        mcache_count(&mcache_thread()->n.hits);
        return p;
    }
    return map_miss(addr, plen, status);
}

/*
 * The common case: the slot is a hit in this generation and stays mapped, a
 * page or a part of it is wanted, and the trace event is off.  Every other case
 * is a tail call, so that no register has to be saved here.
 */
static __always_inline uint8_t *map_from(MapCacheSlot *s, ram_addr_t addr,
                                         hwaddr *plen, XenMapStatus *status)
{
    MapCacheThread *t = mcache_this_thread;

    if (unlikely(s->bucket != addr >> MCACHE_BUCKET_SHIFT) ||
        unlikely(!test_bit(mcache_page_of(addr), s->valid)) || unlikely(!t) ||
        (plen && unlikely(*plen > XC_PAGE_SIZE - (addr & ~XC_PAGE_MASK)))) {
        return map_rest(addr, plen, status);
    }
    mcache_count(&t->n.hits);
    return mcache_slot_host(s - mapcache.slot) +
           (addr & (MCACHE_BUCKET_SIZE - 1));
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
    uint32_t gen = qatomic_read(&mapcache.gen);
    MapCacheSlot *s = mcache_find(addr >> MCACHE_BUCKET_SHIFT);
    uint64_t gens;

    if (unlikely(!s) || unlikely(!qatomic_read(&s->referenced)) ||
        unlikely(trace_event_get_state(TRACE_XEN_MAP_CACHE))) {
        return map_rest(addr, plen, status);
    }
    /* As in mcache_hit(), by one load. */
    gens = qatomic_load_acquire(&s->gens);
    if (unlikely(gens_filled(gens) != gen)) {
        return map_rest(addr, plen, status);
    }
    if (gens_mark(gens) != gen) {
        return map_unmarked(s, addr, plen, status);
    }
    mcache_mark_seen();
    if (unlikely(qatomic_read(&mapcache.gen) != gen)) {
        return map_rest(addr, plen, status);
    }
    return map_from(s, addr, plen, status);
}

XenMapStatus xen_map_cache_copy(ram_addr_t addr, void *buf, hwaddr *plen,
                                bool is_write)
{
    XenMapStatus status;
    hwaddr len = *plen;
    uint8_t *p;

    WITH_RCU_READ_LOCK_GUARD() {
        p = mcache_hit(addr, &len);
        if (p) {
            mcache_count(&mcache_thread()->n.hits);
            memmove(is_write ? p : buf, is_write ? buf : p, len);
            *plen = len;
            return XEN_MAP_OK;
        }
    }
    status = mcache_pages_copy(addr, buf, plen, is_write);
    if (status == XEN_MAP_OK) {
        mcache_event_low();
    }
    return status;
}

/* --- DMA ------------------------------------------------------------- */

/* Locks a slot for DMA if it is LIVE. */
static inline bool slot_lock(MapCacheSlot *s)
{
    uint64_t old = qatomic_read(&s->state), seen;

    for (;; old = seen) {
        if (mcache_phase(old) != MCACHE_LIVE ||
            mcache_locks(old) == MCACHE_LOCKS_MAX) {
            return false;
        }
        /* A full barrier; pairs with that in slot_retire_locked(). */
        seen = qatomic_cmpxchg(&s->state, old, old + 1);
        if (seen == old) {
            return true;
        }
    }
}

static inline void slot_unlock(MapCacheSlot *s)
{
    mcache_slots_unlock(s - mapcache.slot, 1);
}

/* Ends the mapping whose record is in the slot, if it is @record. */
static inline bool slot_unlock_record(MapCacheSlot *s, uint64_t record)
{
    uint64_t old = qatomic_read(&s->state), seen;

    for (; (old & MCACHE_RECORD_MASK) == record; old = seen) {
        seen = qatomic_cmpxchg(&s->state, old, old - record - 1);
        if (seen == old) {
            if (old - record - 1 == MCACHE_STATE(MCACHE_STALE, 0)) {
                mcache_stale_unlocked(s - mapcache.slot);
            }
            return true;
        }
    }
    return false;
}

static inline uint32_t buckets_spanned(ram_addr_t addr, hwaddr len)
{
    return ((addr + len - 1) >> MCACHE_BUCKET_SHIFT) -
           (addr >> MCACHE_BUCKET_SHIFT) + 1;
}

/*
 * Locks the slot of @bucket if it is a hit in generation @gen; otherwise
 * returns NULL.  The lock keeps the slot mapped, so no mark is needed.
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
    /* A locked slot is not reused; but it may have been reused before. */
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
 * Locks the slots that have *@plen bytes from @addr on.  NULL if a bucket is
 * not mapped, or if the slots are not adjacent.  *@plen is cut at the first
 * absent page.  It is not cut at the end of a bucket: the guest lists a number
 * of pieces, and a device may have no room for more.
 */
static uint8_t *mcache_lock_run(ram_addr_t addr, hwaddr *plen)
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
    if (unlikely(!test_bit(mcache_page_of(addr), s->valid))) {
        slot_unlock(s);
        return NULL;
    }

    len = mcache_present_bytes(s, addr, *plen);
    for (n = 1; len < *plen; n++) {
        ram_addr_t next = addr + len;

        if (next & (MCACHE_BUCKET_SIZE - 1)) {
            break; /* an absent page within the bucket */
        }
        s = xen_foreign_map_has_fixed() ?
            mcache_find_and_lock(bucket + n, gen) : NULL;
        if (!s || s - mapcache.slot != nr + n) {
            if (s) {
                slot_unlock(s);
            }
            mcache_slots_unlock(nr, n);
            return NULL;
        }
        if (!test_bit(0, s->valid)) {
            slot_unlock(s);
            break;
        }
        part = mcache_present_bytes(s, next, *plen - len);
        len += part;
    }
    *plen = len;
    return mcache_slot_host(nr) + (addr & (MCACHE_BUCKET_SIZE - 1));
}

/*
 * The record of a mapping in the form of the state word; 0 if the mapping is
 * too long for it, or in more than one bucket.
 */
static inline uint64_t slot_record(uint32_t nr, const uint8_t *host,
                                   hwaddr len)
{
    hwaddr offset = host - mcache_slot_host(nr);

    return len - 1 < MCACHE_RECORD_LEN_MAX && offset + len <= MCACHE_BUCKET_SIZE
           ? mcache_record(offset, len) : 0;
}

/*
 * Records a mapping whose slots are locked: in its slot if that has no record,
 * otherwise in the table.
 */
static bool dma_record(uint8_t *host, hwaddr len, uint64_t info)
{
    uint64_t record, old, seen;
    MapCacheSlot *s;
    uint32_t nr;

    mcache_slot_of(host, &nr);
    s = &mapcache.slot[nr];
    record = slot_record(nr, host, len);
    old = qatomic_read(&s->state);
    for (; record && !(old & MCACHE_RECORD); old = seen) {
        seen = qatomic_cmpxchg(&s->state, old, old | record);
        if (seen == old) {
            qatomic_set(&s->info, info);
            return true;
        }
    }
    return mcache_dma_add(host, len, info);
}

/* Unlocks the slots that a mapping of @len bytes at @host has locked. */
static void dma_unlock(const uint8_t *host, hwaddr len)
{
    uint32_t nr;

    mcache_slot_of(host, &nr);
    mcache_slots_unlock(nr, buckets_spanned(host - mcache_slot_host(nr), len));
}

/*
 * Ends the mapping of @len bytes at @host, or, if there is none of that
 * length, the shortest that begins there.  False if there is none at all.
 */
static bool dma_end(uint32_t nr, const uint8_t *host, hwaddr len)
{
    MapCacheSlot *s = &mapcache.slot[nr];
    uint64_t record = slot_record(nr, host, len), state, other;
    hwaddr limit, found;

    if (record && slot_unlock_record(s, record)) {
        return true;
    }
    if (mcache_dma_remove(host, len)) {
        dma_unlock(host, len);
        return true;
    }
    do {
        state = qatomic_read(&s->state);
        other = state & MCACHE_RECORD_MASK;
        if (!other || mcache_record_offset(state) !=
                      host - mcache_slot_host(nr)) {
            other = 0;
        }
        limit = other ? mcache_record_len(state) : UINT64_MAX;
        found = mcache_dma_remove_shortest(host, limit);
        if (found) {
            dma_unlock(host, found);
            return true;
        }
    } while (other && !slot_unlock_record(s, other));
    return other != 0;
}

/* Maps buckets for *@plen bytes at @addr, and locks those that are mapped. */
static uint8_t *mcache_fill_and_lock(ram_addr_t addr, hwaddr *plen,
                                     XenMapStatus *status)
{
    int64_t start = get_clock();
    uint8_t *p = NULL;

    qemu_mutex_lock(&mapcache.lock);
    *status = mcache_fill_locked(addr >> MCACHE_BUCKET_SHIFT,
                                 buckets_spanned(addr, *plen),
                                 mcache_page_of(addr));
    if (*status == XEN_MAP_OK) {
        p = mcache_lock_run(addr, plen);
        *status = p ? XEN_MAP_OK : XEN_MAP_UNAVAILABLE;
    }
    mapcache.stats.holes += *status == XEN_MAP_ABSENT;
    mcache_miss_ended_locked(start);
    mcache_check_locked();
    qemu_mutex_unlock(&mapcache.lock);

    if (*status == XEN_MAP_ABSENT) {
        mcache_report_hole(addr);
    }
    return p;
}

/*
 * For a DMA mapping for which there are not enough free adjacent slots.
 * Returns NULL for a short transfer, so that it is copied.
 */
static uint8_t *map_dma_exact(ram_addr_t addr, hwaddr *plen, uint64_t info,
                              XenMapStatus *status)
{
    uint8_t *p;

    if (info & MCACHE_DMA_HELD) {
        return mcache_pages_map(addr, plen, info, false, status);
    }
    if (*plen <= MCACHE_COPY_BYTES) {
        return NULL;
    }
    mcache_count(&mcache_thread()->n.dma_made);
    p = mcache_pages_map(addr, plen, info, false, status);
    if (p) {
        mcache_event_low();
    } else {
        mcache_count(&mcache_thread()->n.dma_ended);
    }
    return p;
}

/* xen_map_cache_dma() for guest RAM: what is mapped already is used. */
static uint8_t *map_dma_ram(ram_addr_t addr, hwaddr *plen, XenMapUse use,
                            uint64_t info, XenMapStatus *status)
{
    uint8_t *p;

    /*
     * The length is limited, so that one request does not make all the others
     * wait.  But in a restore a device needs the whole range that it held.
     */
    if (likely(!bql_locked() || !runstate_check(RUN_STATE_INMIGRATE))) {
        *plen = MIN(*plen, MCACHE_DMA_MAX);
    }

    if (use == XEN_MAP_HELD) {
        info |= MCACHE_DMA_HELD;
        p = mcache_pages_map(addr, plen, info, true, status);
        if (p || *status == XEN_MAP_ABSENT) {
            return p;
        }
        /* Holding its buckets may still be possible. */
    }

    p = mcache_lock_run(addr, plen);
    if (p) {
        mcache_count(&mcache_thread()->n.hits);
    } else {
        p = mcache_fill_and_lock(addr, plen, status);
    }
    if (!p) {
        return *status == XEN_MAP_UNAVAILABLE ?
               map_dma_exact(addr, plen, info, status) : NULL;
    }
    if (!dma_record(p, *plen, info)) {
        dma_unlock(p, *plen);
        *status = XEN_MAP_UNAVAILABLE;
        return NULL;
    }
    mcache_count(&mcache_thread()->n.dma_made);
    return p;
}

/* xen_map_cache_dma() in all but the common case below. */
static G_NO_INLINE uint8_t *map_dma_rest(MemoryRegion *mr, ram_addr_t addr,
                                         ram_addr_t block_offset,
                                         hwaddr *plen, XenMapUse use,
                                         bool is_write, AddressSpace *as,
                                         XenMapStatus *pstatus)
{
    XenMapStatus status = XEN_MAP_OK;
    uint32_t owner;
    uint64_t info;
    uint8_t *p;

    trace_xen_map_cache(addr);
    if (xen_mr_is_grants(mr)) {
        p = mcache_grant_map(addr, block_offset, plen, is_write, &status);
    } else {
        owner = mcache_owner(as);
        if (!owner) {
            owner = mcache_owner_find(as);
        }
        info = mcache_dma_info(is_write ? MCACHE_DMA_WRITE : 0, owner,
                               mcache_clock());
        p = map_dma_ram(addr, plen, use, info, &status);
    }
    if (!p) {
        *plen = 0;
        if (pstatus) {
            *pstatus = status;
        }
    }
    trace_xen_map_cache_return(p);
    return p;
}

/*
 * The common case: all pages are present in one bucket whose slot has no
 * record, and the trace event is off.
 */
G_NO_INLINE uint8_t *xen_map_cache_dma(MemoryRegion *mr, ram_addr_t addr,
                                       ram_addr_t block_offset, hwaddr *plen,
                                       XenMapUse use, bool is_write,
                                       AddressSpace *as, XenMapStatus *status)
{
    uint32_t gen = qatomic_read(&mapcache.gen);
    uint32_t seconds = qatomic_read(&mapcache.seconds), owner, nr;
    MapCacheSlot *s = mcache_find(addr >> MCACHE_BUCKET_SHIFT);
    MapCacheThread *t = mcache_this_thread;
    uint64_t state, record;
    uint8_t *host;

    if (unlikely(!s) || unlikely(!t) || unlikely(!seconds) ||
        unlikely(use != XEN_MAP_DMA) || unlikely(xen_mr_is_grants(mr)) ||
        unlikely(trace_event_get_state(TRACE_XEN_MAP_CACHE))) {
        goto rest;
    }
    owner = mcache_owner(as);
    nr = s - mapcache.slot;
    host = mcache_slot_host(nr) + (addr & (MCACHE_BUCKET_SIZE - 1));
    record = slot_record(nr, host, *plen);
    state = qatomic_read(&s->state);
    if (unlikely(!owner) || unlikely(!record) ||
        unlikely(mcache_phase(state) != MCACHE_LIVE) ||
        unlikely(state & MCACHE_RECORD) ||
        unlikely(mcache_locks(state) == MCACHE_LOCKS_MAX) ||
        unlikely(qatomic_load_acquire(&s->gen) != gen) ||
        unlikely(!qatomic_read(&s->referenced))) {
        goto rest;
    }
    /* A full barrier; pairs with that in slot_retire_locked(). */
    if (unlikely(qatomic_cmpxchg(&s->state, state, (state | record) + 1) !=
                 state)) {
        goto rest;
    }
    /* The slot may have been reused before; from here on it is not reused. */
    if (unlikely(qatomic_read(&s->gen) != gen) ||
        unlikely(qatomic_read(&mapcache.gen) != gen) ||
        unlikely(s->bucket != addr >> MCACHE_BUCKET_SHIFT) ||
        unlikely(!test_bit(mcache_page_of(addr), s->valid)) ||
        unlikely(mcache_present_bytes(s, addr, *plen) != *plen)) {
        dma_end(nr, host, *plen);
        goto rest;
    }
    qatomic_set(&s->info, mcache_dma_info(is_write ? MCACHE_DMA_WRITE : 0,
                                          owner, seconds));
    mcache_count(&t->n.dma_hits);
    return host;

rest:
    return map_dma_rest(mr, addr, block_offset, plen, use, is_write, as,
                        status);
}

/* xen_invalidate_map_cache_entry() in all but the common case below. */
static G_NO_INLINE void unmap_dma_rest(uint8_t *buffer, hwaddr len)
{
    uint32_t nr;
    bool dma;

    if (!buffer) {
        return;
    }
    if (mcache_slot_of(buffer, &nr)) {
        if (dma_end(nr, buffer, len)) {
            mcache_count(&mcache_thread()->n.dma_ended);
            return;
        }
    } else if (mcache_outside_release(buffer, &dma)) {
        if (dma) {
            mcache_count(&mcache_thread()->n.dma_ended);
        }
        return;
    }
    qatomic_inc(&mapcache.unmatched);
    trace_xen_map_cache_unmatched(buffer);
}

G_NO_INLINE void xen_invalidate_map_cache_entry(uint8_t *buffer, hwaddr len)
{
    MapCacheThread *t = mcache_this_thread;
    uint32_t nr;

    if (likely(mcache_slot_of(buffer, &nr)) && likely(t)) {
        MapCacheSlot *s = &mapcache.slot[nr];
        uint64_t record = slot_record(nr, buffer, len);
        uint64_t state = qatomic_read(&s->state);

        if (likely(record) && likely((state & MCACHE_RECORD_MASK) == record) &&
            likely(qatomic_cmpxchg(&s->state, state, state - record - 1) ==
                   state)) {
            mcache_count(&t->n.dma_ended);
            if (unlikely(state - record - 1 == MCACHE_STATE(MCACHE_STALE, 0))) {
                mcache_stale_unlocked(nr);
            }
            return;
        }
    }
    unmap_dma_rest(buffer, len);
}

static inline ram_addr_t slot_ram_addr(uint32_t nr, const void *ptr)
{
    MapCacheSlot *s = &mapcache.slot[nr];

    switch (mcache_phase(qatomic_read(&s->state))) {
    case MCACHE_LIVE:
    case MCACHE_STALE:
    case MCACHE_RETIRED:
        return ((ram_addr_t)qatomic_read(&s->bucket) << MCACHE_BUCKET_SHIFT) +
               ((const uint8_t *)ptr - mcache_slot_host(nr));
    default:
        return RAM_ADDR_INVALID;
    }
}

ram_addr_t xen_ram_addr_from_mapcache(void *ptr)
{
    uint32_t nr;

    return likely(mcache_slot_of(ptr, &nr)) ? slot_ram_addr(nr, ptr)
                                            : mcache_outside_ram_addr(ptr);
}

ram_addr_t mcache_ram_addr_locked(const void *ptr)
{
    uint32_t nr;

    return mcache_slot_of(ptr, &nr) ? slot_ram_addr(nr, ptr)
                                    : mcache_outside_ram_addr_locked(ptr);
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
    qatomic_set(&mapcache.gen, gen ? gen : 1); /* 0 is no generation */
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
    mcache_check_locked();
}
