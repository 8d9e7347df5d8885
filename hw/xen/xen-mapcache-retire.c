/*
 * Xen mapcache: taking slots out of service
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A slot is retired by an invalidate, by eviction, because nobody uses its
 * bucket, or because its bucket was mapped again in another slot.  If nobody
 * can have a pointer into it, it is unmapped at once; otherwise the reaper
 * unmaps it.  All of this is done under mapcache.lock, except the unmapping.
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"

#include "hw/xen/xen_native.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-slots.h"
#include "trace.h"

/* The clock hand passes each slot twice before the spare slots are used up. */
#define EVICT_SCAN              DIV_ROUND_UP(2 * mapcache.nr_slots, \
                                             mapcache.nr_slots - \
                                             mapcache.max_slots)
/* Slots that an invalidate unmaps by one system call. */
#define FLUSH_BITE              64
/* Slots that a round for idle buckets checks before it releases the lock. */
#define IDLE_BITE               1024
/* Slots that are retired when a map call fails for lack of memory. */
#define EVICT_FOR_MEMORY        8

/* Makes sure that no lookup finds the slot any more. */
static void slot_unpublish_locked(uint32_t nr)
{
    uint32_t *fwd = mcache_forward(mapcache.slot[nr].bucket);

    if (fwd && *fwd == nr + 1) {
        qatomic_set(fwd, 0);
    }
}

/*
 * Retires a LIVE slot.  True if no DMA holds it: then it is RETIRED, and the
 * caller must unmap it or leave it to the reaper.  False if DMA holds it: then
 * it is STALE until the last release.
 */
static bool slot_retire_locked(uint32_t nr)
{
    MapCacheSlot *s = &mapcache.slot[nr];
    uint64_t old = qatomic_read(&s->state), seen;
    bool held;

    slot_unpublish_locked(nr);
    mapcache.nr_pending++;
    for (;; old = seen) {
        assert(mcache_phase(old) == MCACHE_LIVE);
        held = mcache_locks(old) != 0;
        /*
         * A full barrier: a DMA lock taken earlier is seen here, and a later
         * attempt fails because the phase has changed.
         */
        seen = qatomic_cmpxchg(&s->state, old,
                               mcache_in_phase(old, held ? MCACHE_STALE
                                                         : MCACHE_RETIRED));
        if (seen == old) {
            mcache_slot_trace(nr, s->bucket, held ? MCACHE_STALE
                                                  : MCACHE_RETIRED);
            return !held;
        }
    }
}

void mcache_retire_later_locked(uint32_t nr)
{
    if (slot_retire_locked(nr)) {
        mcache_reap_later_locked(nr);
    }
}

/*
 * True if the slot can be unmapped at an invalidate without a grace period.
 * The mark is read after the barriers of the generation's step and of
 * slot_retire_locked(), which pair with the barrier in mcache_touch().
 */
static bool slot_is_quiet_locked(MapCacheSlot *s)
{
    /*
     * A mark of a newer generation counts as used too, because it may have
     * replaced a mark of the slot's own generation.  Such a mark comes from a
     * thread that found the slot just before it was unpublished.
     */
    return (int32_t)(qatomic_read(&s->iothread_gen) - s->gen) < 0;
}

void mcache_stale_unlocked(uint32_t nr)
{
    MapCacheSlot *s = &mapcache.slot[nr];
    uint64_t stale = MCACHE_STATE(MCACHE_STALE, 0);

    qemu_mutex_lock(&mapcache.lock);
    if (qatomic_cmpxchg(&s->state, stale,
                        MCACHE_STATE(MCACHE_RETIRED, 0)) == stale) {
        mcache_slot_trace(nr, s->bucket, MCACHE_RETIRED);
        /*
         * A slot becomes STALE by an invalidate, or because it is replaced
         * within its generation.  After an invalidate, pointers that were got
         * with the BQL before it are not valid any more.  So if this thread has
         * the BQL, and only threads with the BQL have used the slot, there is
         * nobody to wait for.
         */
        if (bql_locked() && s->gen != qatomic_read(&mapcache.gen) &&
            slot_is_quiet_locked(s)) {
            mcache_slots_unmap_locked(nr, 1);
        } else {
            mcache_reap_later_locked(nr);
        }
    }
    qemu_mutex_unlock(&mapcache.lock);
}

void mcache_slots_unlock(uint32_t nr, uint32_t n)
{
    for (; n; n--, nr++) {
        uint64_t old = qatomic_fetch_dec(&mapcache.slot[nr].state);

        assert(mcache_locks(old));
        if (unlikely(old == MCACHE_STATE(MCACHE_STALE, 1))) {
            mcache_stale_unlocked(nr);
        }
    }
}

/* Retires all slots, and sets in flush_map those that are unmapped now. */
static void flush_retire_locked(void)
{
    unsigned long n = mapcache.nr_slots, nr;

    for (nr = find_first_bit(mapcache.used_map, n); nr < n;
         nr = find_next_bit(mapcache.used_map, n, nr + 1)) {
        MapCacheSlot *s = &mapcache.slot[nr];
        MapCachePhase phase = mcache_phase(qatomic_read(&s->state));

        if (phase == MCACHE_LIVE && slot_retire_locked(nr)) {
            if (slot_is_quiet_locked(s)) {
                set_bit(nr, mapcache.flush_map);
            } else {
                mcache_reap_later_locked(nr);
            }
        } else if (phase == MCACHE_RETIRED && slot_is_quiet_locked(s)) {
            /*
             * It was left to the reaper only because a thread with the BQL may
             * have had a pointer into it.  Now this thread has the BQL.
             */
            mcache_reap_cancel_locked(nr);
            set_bit(nr, mapcache.flush_map);
        }
    }
}

void mcache_flush_locked(void)
{
    flush_retire_locked();
    mcache_slots_unmap_all_locked(mapcache.flush_map, FLUSH_BITE);
}

/*
 * True if the slot was used since the last call.  The next hit in it is not the
 * common one, and notes the use again.
 */
static bool slot_take_use_locked(uint32_t nr)
{
    MapCacheSlot *s = &mapcache.slot[nr];

    if (!qatomic_read(&s->used)) {
        return false;
    }
    qatomic_set(&s->used, 0);
    mapcache.idle_rounds[nr] = 0;
    return true;
}

/*
 * Retires up to @most slots that were not used lately, except slots in [@keep,
 * @keep + @n).
 */
static void evict_locked(uint32_t keep, uint32_t n, uint32_t most)
{
    uint32_t scanned;

    for (scanned = 0; most && scanned < EVICT_SCAN; scanned++) {
        uint32_t nr = mapcache.hand;
        MapCacheSlot *s = &mapcache.slot[nr];
        uint64_t state;

        if (!test_bit(nr, mapcache.used_map)) {
            nr = find_next_bit(mapcache.used_map, mapcache.nr_slots, nr);
            mapcache.hand = nr % mapcache.nr_slots;
            continue;
        }
        mapcache.hand = (nr + 1) % mapcache.nr_slots;
        if (nr - keep < n) {
            continue;
        }
        state = qatomic_read(&s->state);
        if (mcache_phase(state) != MCACHE_LIVE || mcache_locks(state)) {
            continue;
        }
        if (slot_take_use_locked(nr)) {
            continue;
        }
        trace_xen_map_cache_evict(s->bucket);
        mcache_retire_later_locked(nr);
        most--;
    }
}

void mcache_evict_locked(uint32_t keep, uint32_t n)
{
    uint32_t live = mapcache.nr_used - mapcache.nr_pending;

    if (live > mapcache.max_slots) {
        evict_locked(keep, n, live - mapcache.max_slots);
    }
}

void mcache_idle_round_locked(void)
{
    uint32_t nr, seen = 0;

    for (nr = find_first_bit(mapcache.used_map, mapcache.nr_slots);
         nr < mapcache.nr_slots;
         nr = find_next_bit(mapcache.used_map, mapcache.nr_slots, nr + 1)) {
        MapCacheSlot *s = &mapcache.slot[nr];
        uint64_t state = qatomic_read(&s->state);

        if (mcache_phase(state) == MCACHE_LIVE && !mcache_locks(state)) {
            if (!slot_take_use_locked(nr) &&
                ++mapcache.idle_rounds[nr] == MCACHE_IDLE_ROUNDS) {
                trace_xen_map_cache_idle(s->bucket);
                mapcache.stats.idle++;
                mcache_retire_later_locked(nr);
            }
        } else {
            mapcache.idle_rounds[nr] = 0;
        }
        if (++seen % IDLE_BITE == 0) {
            qemu_mutex_unlock(&mapcache.lock);
            qemu_mutex_lock(&mapcache.lock);
        }
    }
}

void mcache_evict_for_memory_locked(void)
{
    evict_locked(mapcache.nr_slots, 0, EVICT_FOR_MEMORY);
}
