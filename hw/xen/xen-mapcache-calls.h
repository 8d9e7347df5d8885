/*
 * Xen mapcache: calls that map or unmap
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_XEN_MAPCACHE_CALLS_H
#define HW_XEN_MAPCACHE_CALLS_H

#include "xen-mapcache-int.h"

/* --- xen-mapcache-backend.c: needs no lock ------------------------------ */

/*
 * Makes one call that maps @pages frames, and counts it.  @host: the address;
 * the frames replace what is mapped there; NULL: any address.  @err gets a
 * value for each page: 0 if the page is present; any other value means that it
 * is absent or unavailable.  Returns NULL, with errno, if the call failed.  At
 * @host there is then either what was mapped before, or nothing.
 */
void *mcache_map_frames(void *host, const xen_pfn_t *gfn, size_t pages,
                        int *err);

/*
 * Does the same for @pages frames from @first_gfn on.  Also returns NULL, with
 * ENOMEM, if there is no memory for the list of the frames; then no call is
 * made.
 */
void *mcache_map_range(void *host, uint64_t first_gfn, size_t pages, int *err);

/*
 * @err: what a map call has said of @pages pages.  0 if each is present or
 * absent; or else the errno of a page that is unavailable, because it could not
 * be mapped for lack of memory or the like.
 */
int mcache_unavailable(const int *err, size_t pages);

/* Counts a call that maps @pages pages; counts a call that unmaps. */
void mcache_count_map(size_t pages, bool failed);
void mcache_count_unmap(void);

/* Sets the counts of calls in @stats. */
void mcache_backend_stats(XenMapCacheStats *stats);

/* --- xen-mapcache-calls.c: with the lock ---------------------------------- */

/* A call that maps or unmaps.  The thread that makes it has it on its stack. */
typedef struct MapCacheCall {
    uint32_t gen;           /* the generation in which it began */
    uint64_t bucket;        /* the first bucket that it maps */
    uint64_t n;             /* how many buckets it maps; 0: none */
    bool again;             /* it repeats a call that an invalidate has
                             * overtaken, and is made with the lock */
    QLIST_ENTRY(MapCacheCall) next;
} MapCacheCall;

void mcache_calls_init(void);

/*
 * Puts the call on the list.  The caller then releases the lock and maps the
 * buckets [@bucket, @bucket + @n).  If @n is 0, it maps something else, or
 * unmaps.
 */
void mcache_call_begin_locked(MapCacheCall *c, uint64_t bucket, uint64_t n);

/*
 * Release the lock for the call @c, and take it again.  If @c->again is true,
 * they do nothing, so the call is made with the lock.  No invalidate begins
 * while the lock is held.  So no call is overtaken twice, even if a guest sends
 * one invalidate after another.
 */
void mcache_call_unlock(const MapCacheCall *c);
void mcache_call_lock(const MapCacheCall *c);

/*
 * True if an invalidate has begun since the call began.  What the call mapped
 * may then show frames that the guest has given back.  The caller must unmap it
 * before it ends the call; the invalidate waits for that.
 */
bool mcache_call_is_old_locked(const MapCacheCall *c);

/* Takes the call off the list, and wakes the threads that wait for it. */
void mcache_call_end_locked(MapCacheCall *c);

/*
 * Waits until no call maps any of the buckets [@bucket, @bucket + @n).  The
 * lock is released meanwhile.  The caller must not be in a call itself.
 */
void mcache_calls_wait_locked(uint64_t bucket, uint64_t n);

/* Waits in the same way for all calls that began in an older generation. */
void mcache_calls_wait_old_locked(void);

#endif /* HW_XEN_MAPCACHE_CALLS_H */
