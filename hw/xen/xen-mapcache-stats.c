/*
 * Xen mapcache: counters
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "qemu/thread.h"
#include "qemu/timer.h"

#include "hw/xen/xen_native.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-stats.h"

#define NOT_KNOWN   INT64_MIN

__thread MapCacheThread mcache_this_thread = { .n.hits = NOT_KNOWN };

static QLIST_HEAD(, MapCacheThread) threads; /* under mapcache.lock */
static MapCacheCounts threads_gone;          /* under mapcache.lock */

static void thread_exit(void *opaque)
{
    MapCacheThread *t = opaque;

    QEMU_LOCK_GUARD(&mapcache.lock);
    threads_gone.hits += t->n.hits;
    threads_gone.dma_hits += t->n.dma_hits;
    threads_gone.dma_made += t->n.dma_made;
    threads_gone.dma_ended += t->n.dma_ended;
    QLIST_REMOVE(t, next);
    t->n = (MapCacheCounts) { .hits = NOT_KNOWN };
}

void mcache_thread_enter(void)
{
    /* Not qemu_thread_atexit_add(): a library may have made the thread. */
    static GPrivate at_exit = G_PRIVATE_INIT(thread_exit);
    MapCacheThread *t = &mcache_this_thread;

    g_private_set(&at_exit, t);
    QEMU_LOCK_GUARD(&mapcache.lock);
    t->n.hits = 0;
    QLIST_INSERT_HEAD(&threads, t, next);
}

uint64_t mcache_dma_made_locked(void)
{
    uint64_t made = threads_gone.dma_made + threads_gone.dma_hits;
    MapCacheThread *t;

    QLIST_FOREACH(t, &threads, next) {
        made += qatomic_load_acquire(&t->n.dma_made) +
                qatomic_load_acquire(&t->n.dma_hits);
    }
    return made;
}

/*
 * Adds up the ends before the beginnings.  A thread that sees the end of a
 * mapping also sees its beginning, so the difference is never too small.
 */
uint64_t mcache_dma_outstanding_locked(void)
{
    uint64_t ended = threads_gone.dma_ended;
    MapCacheThread *t;

    QLIST_FOREACH(t, &threads, next) {
        ended += qatomic_load_acquire(&t->n.dma_ended);
    }
    return mcache_dma_made_locked() - ended;
}

uint64_t mcache_hits_locked(void)
{
    uint64_t hits = threads_gone.hits + threads_gone.dma_hits;
    MapCacheThread *t;

    QLIST_FOREACH(t, &threads, next) {
        hits += qatomic_load_acquire(&t->n.hits) +
                qatomic_load_acquire(&t->n.dma_hits);
    }
    return hits;
}

void mcache_miss_ended_locked(int64_t start)
{
    uint64_t ns = MAX(get_clock() - start, 0);

    mapcache.stats.misses++;
    mapcache.stats.miss_latency[MIN(64 - clz64(ns),
                                    XEN_MAPCACHE_LATENCIES - 1)]++;
}
