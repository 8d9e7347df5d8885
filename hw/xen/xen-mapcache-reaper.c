/*
 * Xen mapcache: the reaper
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A thread that waits for RCU grace periods without the BQL, and then unmaps
 * the slots that were retired before.  It also makes the rounds for idle
 * buckets, and keeps the time for the records of DMA mappings.
 */

#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "qemu/rcu.h"
#include "qemu/thread.h"

#include "hw/xen/xen_native.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-slots.h"
#include "xen-mapcache-stats.h"
#include "trace.h"

/* Slots unmapped by one system call, which holds the kernel's mmap lock. */
#define REAPER_BITE_SLOTS       8
/* The interval at which the time for records is updated. */
#define TICK_MS                 1000
/* The delay before an unmap that failed is tried again. */
#define REAP_AGAIN_MS           100

uint32_t mcache_clock(void)
{
    uint32_t seconds = qatomic_read(&mapcache.seconds);

    if (!seconds) {
        seconds = mcache_seconds();
        QEMU_LOCK_GUARD(&mapcache.lock);
        qatomic_set(&mapcache.seconds, seconds);
        qemu_cond_signal(&mapcache.reap_cond);
    }
    return seconds;
}

static int64_t idle_round_ms(void)
{
    return mapcache.idle * INT64_C(1000) / MCACHE_IDLE_ROUNDS;
}

/*
 * Updates the time for records.  If no DMA mapping was made since the last
 * tick, clears it instead: then mcache_clock() makes the reaper go on.
 */
static void clock_tick_locked(void)
{
    static uint64_t made_before;
    uint64_t made = mcache_dma_made_locked();

    qatomic_set(&mapcache.seconds, made != made_before ? mcache_seconds() : 0);
    made_before = made;
}

/* Makes a round for idle buckets, if it is time. */
static void idle_tick_locked(void)
{
    static gint64 last;
    gint64 now = g_get_monotonic_time() / 1000;

    if (mapcache.idle && now - last >= idle_round_ms()) {
        last = now;
        mcache_idle_round_locked();
    }
}

/* Waits for work, or until a tick is due, and makes the tick. */
static void wait_for_work_locked(void)
{
    int64_t ms = INT64_MAX;

    if (qatomic_read(&mapcache.seconds)) {
        ms = TICK_MS;
    }
    if (mapcache.idle && mapcache.nr_used) {
        ms = MIN(ms, idle_round_ms());
    }
    if (ms == INT64_MAX) {
        qemu_cond_wait(&mapcache.reap_cond, &mapcache.lock);
    } else if (!qemu_cond_timedwait(&mapcache.reap_cond, &mapcache.lock, ms)) {
        clock_tick_locked();
        idle_tick_locked();
    }
}

static void *reaper_thread(void *opaque)
{
    qemu_mutex_lock(&mapcache.lock);
    for (;;) {
        unsigned long *map;

        while (!mapcache.reap_wanted) {
            wait_for_work_locked();
        }
        mapcache.reap_wanted = false;
        map = mapcache.reap_map;
        mapcache.reap_map = mapcache.grace_map; /* empty */
        mapcache.grace_map = map;
        qemu_mutex_unlock(&mapcache.lock);

        /* Afterwards no thread can have a pointer into one of these slots. */
        synchronize_rcu();

        qemu_mutex_lock(&mapcache.lock);
        mcache_slots_unmap_all_locked(mapcache.grace_map, REAPER_BITE_SLOTS);
        if (mapcache.lost_came) {
            mcache_slots_find_lost_locked();
        }
        if (mapcache.reap_again) {
            mapcache.reap_again = false;
            qemu_mutex_unlock(&mapcache.lock);
            g_usleep(REAP_AGAIN_MS * 1000);
            qemu_mutex_lock(&mapcache.lock);
        }
    }
    return NULL;
}

void mcache_reaper_init(void)
{
    QemuThread thread;

    qemu_thread_create(&thread, "xen-mapcache", reaper_thread, NULL,
                       QEMU_THREAD_DETACHED);
}
