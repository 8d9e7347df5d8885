/*
 * Xen mapcache: who holds what, for the monitor
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-xen-mapcache.h"

#include "hw/xen/xen_native.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-dma.h"

void mcache_told_stats(XenMapCacheStats *stats)
{
    xen_map_cache_get_stats(stats);
    mcache_dma_count(&stats->dma, &stats->held);
}

/* How many mappings are listed: by default, and at most. */
#define LIMIT       64
#define LIMIT_MAX   65536

typedef struct Holders {
    GArray *oldest;     /* MapCacheDma; up to twice @limit, then cut */
    uint32_t limit;
    bool transfers;     /* the caller wants transfers */
    bool held;          /* the caller wants held mappings */
    uint64_t total;     /* mappings that the caller wants, listed or not */
} Holders;

static gint by_age(gconstpointer a, gconstpointer b, gpointer opaque)
{
    const MapCacheDma *x = a, *y = b;
    uint32_t now = *(uint32_t *)opaque;
    uint32_t age_x = mcache_dma_age(x->info, now);
    uint32_t age_y = mcache_dma_age(y->info, now);

    if (age_x != age_y) {
        return age_x > age_y ? -1 : 1;
    }
    return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static void cut(Holders *h)
{
    uint32_t now = mcache_seconds();

    g_array_sort_with_data(h->oldest, by_age, &now);
    g_array_set_size(h->oldest, MIN(h->oldest->len, h->limit));
}

static void note(const MapCacheDma *m, void *opaque)
{
    Holders *h = opaque;

    if (!(m->info & MCACHE_DMA_HELD ? h->held : h->transfers)) {
        return;
    }
    h->total += m->count;
    g_array_append_vals(h->oldest, m, 1);
    if (h->oldest->len == 2 * h->limit) {
        cut(h);
    }
}

XenMapcacheDmaInfo *qmp_x_query_xen_mapcache_dma(bool has_limit,
                                                 uint32_t limit,
                                                 bool has_held, bool held,
                                                 Error **errp)
{
    XenMapcacheDmaInfo *info;
    Holders h = {
        .limit = has_limit ? limit : LIMIT,
        .transfers = !has_held || !held,
        .held = !has_held || held,
    };
    uint32_t now, i;

    if (!xen_map_cache_ready()) {
        error_setg(errp, "this machine has no Xen mapcache");
        return NULL;
    }
    if (!h.limit || h.limit > LIMIT_MAX) {
        error_setg(errp, "'limit' is %" PRIu32 "; it must be from 1 to %d",
                   h.limit, LIMIT_MAX);
        return NULL;
    }
    h.oldest = g_array_new(false, false, sizeof(MapCacheDma));
    mcache_dma_foreach(note, &h);
    cut(&h);
    now = mcache_seconds();
    info = g_new0(XenMapcacheDmaInfo, 1);
    info->total = h.total;
    for (i = h.oldest->len; i-- > 0;) {
        QAPI_LIST_PREPEND(info->mappings,
                          mcache_dma_describe(&g_array_index(h.oldest,
                                                             MapCacheDma, i),
                                              now));
    }
    g_array_unref(h.oldest);
    return info;
}
