/*
 * Xen mapcache: making and ending DMA mappings
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A DMA mapping of guest RAM locks its slots, so that they stay mapped until
 * its release, and has a record: in its slot, or in the registry
 * (xen-mapcache-dma.c).  The essay is in xen-mapcache.c.
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"

#include "exec/memory.h"
#include "hw/xen/xen_native.h"
#include "system/runstate.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-dma.h"
#include "xen-mapcache-outside.h"
#include "xen-mapcache-slots.h"
#include "xen-mapcache-stats.h"
#include "trace.h"

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
    MapCacheSlot *s = mcache_find(bucket);

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
    mcache_note_use(s, gen);
    return s;
}

/*
 * Locks the slots that have *@plen bytes from @addr on.  NULL if a bucket is
 * not mapped, or if the slots are not adjacent.  *@plen is cut at the first
 * absent page.  It is not cut at the end of a bucket: a device that is given a
 * list of pieces may have no room for one more piece than the guest listed.
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
 * The record of a mapping at @offset in its slot, in the form of the state
 * word; 0 if the mapping is too long for it, or in more than one bucket.
 */
static inline uint64_t slot_record(hwaddr offset, hwaddr len)
{
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
    record = slot_record(host - mcache_slot_host(nr), len);
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
    uint64_t record = slot_record(host - mcache_slot_host(nr), len);
    uint64_t state, other;
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

    trace_xen_map_cache(addr);
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

/* For a DMA mapping for which there are not enough free adjacent slots. */
static uint8_t *map_dma_exact(ram_addr_t addr, hwaddr *plen, uint64_t info,
                              XenMapStatus *status)
{
    uint8_t *p;

    if (info & MCACHE_DMA_HELD) {
        return mcache_pages_map(addr, plen, info, false, status);
    }

    mcache_count(&mcache_counts()->dma_made);
    p = mcache_pages_map(addr, plen, info, false, status);
    if (p) {
        mcache_event_low();
    } else {
        mcache_count(&mcache_counts()->dma_ended);
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
        mcache_count(&mcache_counts()->hits);
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
    mcache_count(&mcache_counts()->dma_made);
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
    return p;
}

/*
 * The common case: all pages are present in one bucket whose slot has no
 * record.
 */
G_NO_INLINE uint8_t *xen_map_cache_dma(MemoryRegion *mr, ram_addr_t addr,
                                       ram_addr_t block_offset, hwaddr *plen,
                                       XenMapUse use, bool is_write,
                                       AddressSpace *as, XenMapStatus *status)
{
    uint32_t gen = qatomic_read(&mapcache.gen);
    uint32_t seconds = qatomic_read(&mapcache.seconds), owner;
    MapCacheSlot *s = mcache_find(addr >> MCACHE_BUCKET_SHIFT);
    hwaddr offset = addr & (MCACHE_BUCKET_SIZE - 1);
    uint64_t state, record;
    uint8_t *host;

    if (unlikely(!mcache_thread_known()) || unlikely(!seconds) ||
        unlikely(use != XEN_MAP_DMA) || unlikely(xen_mr_is_grants(mr))) {
        goto rest;
    }
    owner = mcache_owner(as);
    record = slot_record(offset, *plen);
    state = qatomic_read(&s->state);
    if (unlikely(!owner) || unlikely(!record) ||
        unlikely(mcache_phase(state) != MCACHE_LIVE) ||
        unlikely(state & MCACHE_RECORD) ||
        unlikely(mcache_locks(state) == MCACHE_LOCKS_MAX) ||
        unlikely(qatomic_load_acquire(&s->gen) != gen) ||
        unlikely(!qatomic_read(&s->used))) {
        goto rest;
    }
    /* A full barrier; pairs with that in slot_retire_locked(). */
    if (unlikely(qatomic_cmpxchg(&s->state, state, (state | record) + 1) !=
                 state)) {
        goto rest;
    }
    /* The slot may have been reused before; from here on it is not reused. */
    host = mcache_host_of(s) + offset;
    if (unlikely(qatomic_read(&s->gen) != gen) ||
        unlikely(qatomic_read(&mapcache.gen) != gen) ||
        unlikely(s->bucket != addr >> MCACHE_BUCKET_SHIFT) ||
        unlikely(!test_bit(mcache_page_of(addr), s->valid)) ||
        unlikely(mcache_present_bytes(s, addr, *plen) != *plen)) {
        dma_end(s - mapcache.slot, host, *plen);
        goto rest;
    }
    qatomic_set(&s->info, mcache_dma_info(is_write ? MCACHE_DMA_WRITE : 0,
                                          owner, seconds));
    mcache_count(&mcache_this_thread.n.dma_hits);
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
            mcache_count(&mcache_counts()->dma_ended);
            return;
        }
    } else if (mcache_outside_release(buffer, &dma)) {
        if (dma) {
            mcache_count(&mcache_counts()->dma_ended);
        }
        return;
    }
    qatomic_inc(&mapcache.unmatched);
    trace_xen_map_cache_unmatched(buffer);
}

G_NO_INLINE void xen_invalidate_map_cache_entry(uint8_t *buffer, hwaddr len)
{
    uint32_t nr;

    if (likely(mcache_slot_of(buffer, &nr)) && likely(mcache_thread_known())) {
        MapCacheSlot *s = &mapcache.slot[nr];
        uint64_t record = slot_record(buffer - mcache_slot_host(nr), len);
        uint64_t state = qatomic_read(&s->state);

        if (likely(record) && likely((state & MCACHE_RECORD_MASK) == record) &&
            likely(qatomic_cmpxchg(&s->state, state, state - record - 1) ==
                   state)) {
            mcache_count(&mcache_this_thread.n.dma_ended);
            if (unlikely(state - record - 1 == MCACHE_STATE(MCACHE_STALE, 0))) {
                mcache_stale_unlocked(nr);
            }
            return;
        }
    }
    unmap_dma_rest(buffer, len);
}
