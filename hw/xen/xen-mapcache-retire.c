/*
 * Xen mapcache: taking slots out of service
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * By an invalidate, by eviction, or because a bucket was mapped anew; at once
 * where nobody can be in the slot, by the reaper thread where somebody may.
 * All of it is under mapcache.lock.
 */

#include "qemu/osdep.h"
#include "qemu/rcu.h"
#include "qemu/thread.h"

#include "hw/xen/xen_native.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "trace.h"

/* One bite of the reaper: what one unmap may hold the mmap lock for. */
#define REAPER_BITE_SLOTS       64
/* The clock goes round twice before the spare slots can be used up. */
#define EVICT_SCAN              DIV_ROUND_UP(2 * mapcache.nr_slots, \
                                             mapcache.nr_slots - \
                                             mapcache.max_slots)
/* How long to wait before an unmap that failed is tried again. */
#define REAP_AGAIN_MS           100
/* How long a miss waits for the reaper when slots are few, and when none is. */
#define ROOM_FEW_MS             1
#define ROOM_NONE_MS            20
/* How many slots a map call that fails for lack of memory gives up. */
#define EVICT_FOR_MEMORY        8

/* Nobody finds the slot any more. */
static void slot_unpublish(uint32_t nr)
{
    uint32_t *fwd = mcache_forward(mapcache.slot[nr].bucket);

    if (fwd && *fwd == nr + 1) {
        qatomic_set(fwd, 0);
    }
}

/*
 * Unmaps what has been through a grace period, in bites: each lets those in
 * who wait for the lock, or for the kernel's mmap lock.
 */
static void reap_locked(void)
{
    unsigned long n = mapcache.nr_slots, nr = 0, end;

    for (;;) {
        nr = find_next_bit(mapcache.grace_map, n, nr);
        if (nr == n) {
            return;
        }
        end = find_next_zero_bit(mapcache.grace_map, n, nr);
        end = MIN(end, nr + REAPER_BITE_SLOTS);
        bitmap_clear(mapcache.grace_map, nr, end - nr);
        mapcache.nr_pending -= end - nr;
        mcache_slots_unmap(nr, end - nr);
        nr = end;
        qemu_cond_broadcast(&mapcache.room_cond);
        qemu_mutex_unlock(&mapcache.lock);
        qemu_mutex_lock(&mapcache.lock);
    }
}

static void *reaper_thread(void *opaque)
{
    qemu_mutex_lock(&mapcache.lock);
    for (;;) {
        unsigned long *map;

        while (!mapcache.reap_wanted) {
            qemu_cond_wait(&mapcache.reap_cond, &mapcache.lock);
        }
        mapcache.reap_wanted = false;
        mapcache.reaper_busy = true;
        mcache_pages_grace_locked();
        map = mapcache.reap_map;
        mapcache.reap_map = mapcache.grace_map; /* empty */
        mapcache.grace_map = map;
        qemu_mutex_unlock(&mapcache.lock);

        /* Whoever could have found one of them is out of its section now. */
        synchronize_rcu();

        qemu_mutex_lock(&mapcache.lock);
        mcache_pages_reap_locked();
        reap_locked();
        mapcache.reaper_busy = false;
        mapcache.reap_rounds++;
        qemu_cond_broadcast(&mapcache.room_cond);
        if (mapcache.reap_again) {
            mapcache.reap_again = false;
            qemu_mutex_unlock(&mapcache.lock);
            g_usleep(REAP_AGAIN_MS * 1000);
            qemu_mutex_lock(&mapcache.lock);
        }
    }
    return NULL;
}

void mcache_room_wait_locked(void)
{
    /* The round after it, from 1 on. */
    static __thread uint64_t in_vain;
    uint32_t spare = mapcache.nr_slots - mapcache.max_slots;
    uint32_t left = mapcache.nr_slots - mapcache.nr_used;
    uint64_t round = mapcache.reap_rounds + 1;
    bool longer = !left && in_vain != round;

    if (left > spare / 4 || !(mapcache.reap_wanted || mapcache.reaper_busy)) {
        return;
    }
    if (!qemu_cond_timedwait(&mapcache.room_cond, &mapcache.lock,
                             longer ? ROOM_NONE_MS : ROOM_FEW_MS) && longer) {
        in_vain = round;
    }
}

void mcache_reaper_wake_locked(void)
{
    mapcache.reap_wanted = true;
    if (!mapcache.reaper_running) {
        QemuThread thread;

        mapcache.reaper_running = true;
        qemu_thread_create(&thread, "xen-mapcache", reaper_thread, NULL,
                           QEMU_THREAD_DETACHED);
    }
    qemu_cond_signal(&mapcache.reap_cond);
}

/* Leaves a RETIRED slot to the reaper. */
void mcache_reap_later(uint32_t nr)
{
    set_bit(nr, mapcache.reap_map);
    mcache_reaper_wake_locked();
}

/* Takes a RETIRED slot back from the reaper: it goes now. */
static void slot_reap_not(uint32_t nr)
{
    clear_bit(nr, mapcache.reap_map);
    clear_bit(nr, mapcache.grace_map);
}

/*
 * Takes a LIVE slot out of service.  True if nobody holds it: it is RETIRED
 * and the caller's to unmap or to leave to the reaper.  False if DMA holds
 * it: it is STALE, and the last release sees to it.
 */
static bool slot_retire(uint32_t nr)
{
    MapCacheSlot *s = &mapcache.slot[nr];
    uint64_t old = qatomic_read(&s->state), seen;
    bool held;

    slot_unpublish(nr);
    mapcache.nr_pending++;
    for (;; old = seen) {
        assert(mcache_phase(old) == MCACHE_LIVE);
        held = mcache_locks(old) != 0;
        /*
         * A full barrier: a lock that succeeded before it is seen here, one
         * that comes after it fails for the phase.
         */
        seen = qatomic_cmpxchg(&s->state, old,
                               MCACHE_STATE(held ? MCACHE_STALE
                                                 : MCACHE_RETIRED,
                                            mcache_locks(old)));
        if (seen == old) {
            return !held;
        }
    }
}

/* Retires a slot that unlocked pointers of this very thread may be in. */
void mcache_retire_later(uint32_t nr)
{
    if (slot_retire(nr)) {
        mcache_reap_later(nr);
    }
}

/*
 * Whether the slot can be unmapped at an invalidate without waiting for
 * anybody.  Read after the barriers of the generation step and of
 * slot_retire(); pairs with the one in mcache_touch().
 */
static bool slot_is_quiet(MapCacheSlot *s)
{
    /*
     * A newer mark may hide one of its own generation: of a thread that
     * found the slot just before it was unpublished, and did not use it.
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
        /*
         * A slot goes stale by an invalidate or by being replaced within
         * its generation.  After an invalidate, pointers that a BQL holder
         * got before it are dead; so with the BQL, and if no other thread
         * ever used the slot, there is nobody to wait for.
         */
        if (bql_locked() && s->gen != qatomic_read(&mapcache.gen) &&
            slot_is_quiet(s)) {
            mapcache.nr_pending--;
            mcache_slots_unmap(nr, 1);
        } else {
            mcache_reap_later(nr);
        }
    }
    qemu_mutex_unlock(&mapcache.lock);
}

void mcache_flush_locked(void)
{
    unsigned long n = mapcache.nr_slots;
    unsigned long nr, start = n, end = 0;

    /*
     * Slots that go at once are gathered into one range as long as all that
     * lies between is either empty or going too: PROT_NONE over PROT_NONE
     * costs nothing.
     */
    for (nr = find_first_bit(mapcache.used_map, n); nr < n;
         nr = find_next_bit(mapcache.used_map, n, nr + 1)) {
        MapCacheSlot *s = &mapcache.slot[nr];
        MapCachePhase phase = mcache_phase(qatomic_read(&s->state));
        bool now = false;

        if (phase == MCACHE_LIVE && slot_retire(nr)) {
            now = slot_is_quiet(s);
            if (!now) {
                mcache_reap_later(nr);
            }
        } else if (phase == MCACHE_RETIRED && slot_is_quiet(s)) {
            /* Retired before; what kept it then was this very thread. */
            slot_reap_not(nr);
            now = true;
        }
        if (now) {
            mapcache.nr_pending--;
            start = MIN(start, nr);
            end = nr + 1;
        } else if (start < n) {
            mcache_slots_unmap(start, end - start);
            start = n;
        }
    }
    if (start < n) {
        mcache_slots_unmap(start, end - start);
    }
}

/* Retires @most slots not used lately, none of them of [@keep, @keep + @n). */
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
        if (qatomic_read(&s->referenced)) {
            qatomic_set(&s->referenced, false);
            continue;
        }
        trace_xen_map_cache_evict(s->bucket);
        mcache_retire_later(nr);
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

void mcache_evict_for_memory_locked(void)
{
    evict_locked(mapcache.nr_slots, 0, EVICT_FOR_MEMORY);
}
