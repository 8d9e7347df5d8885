/*
 * Xen mapcache: the counters of each thread
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_XEN_MAPCACHE_STATS_H
#define HW_XEN_MAPCACHE_STATS_H

#include "xen-mapcache-int.h"

/* --- xen-mapcache-stats.c --------------------------------------------- */

/*
 * Each thread counts its own hits.  If all threads wrote one counter, they
 * would wait for each other.
 */
typedef struct MapCacheCounts {
    uint64_t hits;              /* hits, without those of @dma_hits */
    uint64_t dma_hits;          /* DMA mappings made by xen_map_cache_dma()'s
                                 * common case */
    uint64_t dma_made;          /* DMA mappings made otherwise */
    uint64_t dma_ended;         /* DMA mappings that have ended */
} MapCacheCounts;

typedef struct MapCacheThread {
    MapCacheCounts n;           /* written by its thread alone */
    QLIST_ENTRY(MapCacheThread) next;
} MapCacheThread;

/*
 * The counters of this thread.  @n.hits is negative until the thread is in the
 * list of those whose counters are added up.  So a hit finds that out by the
 * addition that counts it.  All of the mapcache is in QEMU's executable, where
 * the offset of a thread-local variable is constant.
 */
extern __thread MapCacheThread mcache_this_thread
    __attribute__((tls_model("local-exec")));

static inline bool mcache_thread_known(void)
{
    return (int64_t)mcache_this_thread.n.hits >= 0;
}

/*
 * Puts this thread into the list, with counters of 0.  It stays there until it
 * ends.  Takes the lock.
 */
void mcache_thread_enter(void);

/* Returns the counters of this thread, for mcache_count(); without the lock. */
static inline MapCacheCounts *mcache_counts(void)
{
    if (unlikely(!mcache_thread_known())) {
        mcache_thread_enter();
    }
    return &mcache_this_thread.n;
}

/*
 * Counts a hit.  False if the thread is not in the list; then the hit is not
 * counted, and the caller calls mcache_counts().
 */
static __always_inline bool mcache_count_hit(void)
{
    uint64_t hits = mcache_this_thread.n.hits + 1;

    qatomic_set(&mcache_this_thread.n.hits, hits);
    return (int64_t)hits >= 0;
}

/*
 * Increments a counter of this thread.  Whoever reads a counter of ends must
 * then also read each of these mappings in the counter of beginnings.  So this
 * is a store-release; it pairs with the loads in xen-mapcache-stats.c.
 */
static inline void mcache_count(uint64_t *counter)
{
    qatomic_store_release(counter, *counter + 1);
}

/*
 * Both are about the DMA mappings that MapCacheCounts counts.  The first
 * returns how many are outstanding.  The number is exact if none begins or ends
 * meanwhile; otherwise it may be too large, but not too small.  The second
 * returns how many were made since the start.
 */
uint64_t mcache_dma_outstanding_locked(void);
uint64_t mcache_dma_made_locked(void);

/* The number of hits since the start. */
uint64_t mcache_hits_locked(void);

/* Counts a miss that ends now.  It began when get_clock() returned @start. */
void mcache_miss_ended_locked(int64_t start);

#endif /* HW_XEN_MAPCACHE_STATS_H */
