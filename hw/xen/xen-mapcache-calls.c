/*
 * Xen mapcache: calls to Xen and to the kernel that are under way
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A call that maps or unmaps takes long.  It is made without mapcache.lock, so
 * that threads which need another bucket do not wait for it.  Meanwhile it is
 * on a list, for two reasons.  A thread that misses a bucket waits for the call
 * that maps this bucket.  An invalidate, which has stepped the generation,
 * waits for all calls that began before.  When such a map call returns, its
 * thread sees the new generation, unmaps what it has mapped, and maps again
 * with the lock.
 *
 * Not on the list are calls that map grants, that only probe, or that replace a
 * dummy, and calls that only try again to unmap: an invalidate does not have to
 * wait for them.
 */

#include "qemu/osdep.h"
#include "qemu/lockable.h"

#include "hw/xen/xen_native.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-calls.h"

static QLIST_HEAD(, MapCacheCall) calls;    /* under mapcache.lock, as below */
static QemuCond call_ended;

void mcache_calls_init(void)
{
    qemu_cond_init(&call_ended);
}

void mcache_call_begin_locked(MapCacheCall *c, uint64_t bucket, uint64_t n)
{
    c->gen = mapcache.gen;
    c->bucket = bucket;
    c->n = n;
    c->again = false;
    QLIST_INSERT_HEAD(&calls, c, next);
}

void mcache_call_unlock(const MapCacheCall *c)
{
    if (!c->again) {
        qemu_mutex_unlock(&mapcache.lock);
    }
}

void mcache_call_lock(const MapCacheCall *c)
{
    if (!c->again) {
        qemu_mutex_lock(&mapcache.lock);
    }
}

bool mcache_call_is_old_locked(const MapCacheCall *c)
{
    return c->gen != mapcache.gen;
}

void mcache_call_end_locked(MapCacheCall *c)
{
    QLIST_REMOVE(c, next);
    if (mapcache.calls_awaited) {
        qemu_cond_broadcast(&call_ended);
    }
}

static void wait_locked(void)
{
    qatomic_set(&mapcache.calls_awaited, mapcache.calls_awaited + 1);
    qemu_cond_wait(&call_ended, &mapcache.lock);
    qatomic_set(&mapcache.calls_awaited, mapcache.calls_awaited - 1);
}

static bool any_maps_locked(uint64_t bucket, uint64_t n)
{
    MapCacheCall *c;

    QLIST_FOREACH(c, &calls, next) {
        if (c->bucket < bucket + n && bucket < c->bucket + c->n) {
            return true;
        }
    }
    return false;
}

void mcache_calls_wait_locked(uint64_t bucket, uint64_t n)
{
    while (any_maps_locked(bucket, n)) {
        wait_locked();
    }
}

static bool any_is_old_locked(void)
{
    MapCacheCall *c;

    QLIST_FOREACH(c, &calls, next) {
        if (mcache_call_is_old_locked(c)) {
            return true;
        }
    }
    return false;
}

void mcache_calls_wait_old_locked(void)
{
    while (any_is_old_locked()) {
        wait_locked();
    }
}
