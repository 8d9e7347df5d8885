/*
 * Xen mapcache: counters
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/thread.h"
#include "qemu/timer.h"

#include "hw/xen/xen_native.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-stats.h"

__thread MapCacheThread *mcache_this_thread;

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
    mcache_this_thread = NULL;
    g_free(t);
}

MapCacheThread *mcache_thread_enter(void)
{
    MapCacheThread *t = g_new0(MapCacheThread, 1);

    t->exit.notify = thread_exit;
    qemu_thread_atexit_add(&t->exit);
    qemu_mutex_lock(&mapcache.lock);
    QLIST_INSERT_HEAD(&threads, t, next);
    qemu_mutex_unlock(&mapcache.lock);
    mcache_this_thread = t;
    return t;
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
