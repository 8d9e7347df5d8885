/*
 * Xen mapcache: calls to Xen and to the kernel
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * These calls take long and need no lock.  So mapcache.lock is not held during
 * them, except during a map call that is repeated because an invalidate has
 * overtaken it: mcache_call_unlock() says why.
 */

#include "qemu/osdep.h"

#include "hw/xen/xen_native.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-calls.h"
#include "trace.h"

/* Atomic. */
static uint64_t map_calls, map_pages, map_failures, unmap_calls;

void mcache_count_map(size_t pages, bool failed)
{
    qatomic_inc(&map_calls);
    qatomic_add(&map_pages, pages);
    if (failed) {
        qatomic_inc(&map_failures);
    }
}

void mcache_count_unmap(void)
{
    qatomic_inc(&unmap_calls);
}

void mcache_backend_stats(XenMapCacheStats *stats)
{
    stats->map_calls = qatomic_read(&map_calls);
    stats->map_pages = qatomic_read(&map_pages);
    stats->map_failures = qatomic_read(&map_failures);
    stats->unmap_calls = qatomic_read(&unmap_calls);
}

/*
 * True if a page with the error @err may be present: it could not be mapped for
 * lack of something.  The error of an absent page is EINVAL.  Some versions of
 * libxen give the errors as negative numbers.
 */
static bool is_unavailable(int err)
{
    err = abs(err);
    return err == ENOMEM || err == EAGAIN || err == EBUSY || err == EINTR;
}

void *mcache_map_frames(void *host, const xen_pfn_t *gfn, size_t pages,
                        int *err)
{
    void *p = xen_foreign_map(xen_fmem, xen_domid, host,
                              PROT_READ | PROT_WRITE, host ? MAP_FIXED : 0,
                              pages, gfn, err);

    mcache_count_map(pages, !p);
    trace_xen_remap_bucket((uint64_t)gfn[0] << XC_PAGE_SHIFT, pages, p);
    return p;
}

int mcache_unavailable(const int *err, size_t pages)
{
    size_t i;

    for (i = 0; i < pages; i++) {
        if (is_unavailable(err[i])) {
            return abs(err[i]);
        }
    }
    return 0;
}

void *mcache_map_range(void *host, uint64_t first_gfn, size_t pages, int *err)
{
    g_autofree xen_pfn_t *gfn = g_try_new(xen_pfn_t, pages);
    size_t i;

    if (!gfn) {
        errno = ENOMEM;
        return NULL;
    }
    for (i = 0; i < pages; i++) {
        gfn[i] = first_gfn + i;
    }
    return mcache_map_frames(host, gfn, pages, err);
}
