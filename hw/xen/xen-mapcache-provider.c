/*
 * Xen mapcache: its statistics for query-stats
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The counters of query-xen-mapcache once more, with their kinds and units, for
 * tools that know QEMU's statistics and nothing of Xen.
 */

#include "qemu/osdep.h"
#include "qapi/util.h"
#include "system/stats.h"

#include "hw/xen/xen_native.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-dma.h"

typedef struct Statistic {
    const char *name;
    StatsType type;
    StatsUnit unit;         /* STATS_UNIT__MAX: a number */
    int16_t exponent;       /* of 10 */
    size_t offset;          /* in XenMapCacheStats */
} Statistic;

#define COUNTER(name_, member)                                          \
    { name_, STATS_TYPE_CUMULATIVE, STATS_UNIT__MAX, 0,                 \
      offsetof(XenMapCacheStats, member) }
#define GAUGE(name_, unit_, member)                                     \
    { name_, STATS_TYPE_INSTANT, unit_, 0, offsetof(XenMapCacheStats, member) }

static const Statistic statistics[] = {
    COUNTER("hits", hits),
    COUNTER("misses", misses),
    { "miss-latency", STATS_TYPE_LOG2_HISTOGRAM, STATS_UNIT_SECONDS, -9,
      offsetof(XenMapCacheStats, miss_latency) },
    COUNTER("map-calls", map_calls),
    COUNTER("map-pages", map_pages),
    COUNTER("map-failures", map_failures),
    COUNTER("failed-accesses", failed_accesses),
    COUNTER("holes", holes),
    COUNTER("no-room", no_room),
    COUNTER("unmap-calls", unmap_calls),
    COUNTER("invalidates", invalidates),
    COUNTER("unmatched", unmatched),
    COUNTER("idle", idle),
    GAUGE("buckets", STATS_UNIT__MAX, buckets),
    GAUGE("buckets-pending", STATS_UNIT__MAX, buckets_pending),
    GAUGE("blocks", STATS_UNIT__MAX, blocks),
    GAUGE("bytes-blocks", STATS_UNIT_BYTES, block_bytes),
    GAUGE("bytes-exact", STATS_UNIT_BYTES, exact_bytes),
    GAUGE("dummies", STATS_UNIT__MAX, dummies),
    GAUGE("grants", STATS_UNIT__MAX, grants),
    GAUGE("dma", STATS_UNIT__MAX, dma),
    GAUGE("held", STATS_UNIT__MAX, held),
};

static Stats *stats_of(const Statistic *s, const XenMapCacheStats *from)
{
    const uint64_t *value = (const void *)((const char *)from + s->offset);
    Stats *stats = g_new0(Stats, 1);
    int i;

    stats->name = g_strdup(s->name);
    stats->value = g_new0(StatsValue, 1);
    if (s->type == STATS_TYPE_LOG2_HISTOGRAM) {
        stats->value->type = QTYPE_QLIST;
        for (i = XEN_MAPCACHE_LATENCIES - 1; i >= 0; i--) {
            QAPI_LIST_PREPEND(stats->value->u.list, value[i]);
        }
    } else {
        stats->value->type = QTYPE_QNUM;
        stats->value->u.scalar = *value;
    }
    return stats;
}

/* Adds the statistics that @names names, or all if @names is empty. */
static void stats_retrieve(StatsResultList **result, StatsTarget target,
                           strList *names, strList *targets, Error **errp)
{
    StatsList *list = NULL;
    XenMapCacheStats stats;
    int i;

    if (target != STATS_TARGET_VM) {
        return;
    }
    mcache_told_stats(&stats);
    for (i = ARRAY_SIZE(statistics) - 1; i >= 0; i--) {
        if (apply_str_list_filter(statistics[i].name, names)) {
            QAPI_LIST_PREPEND(list, stats_of(&statistics[i], &stats));
        }
    }
    if (list) {
        add_stats_entry(result, STATS_PROVIDER_XEN_MAPCACHE, NULL, list);
    }
}

static void schemas_retrieve(StatsSchemaList **result, Error **errp)
{
    StatsSchemaValueList *list = NULL;
    int i;

    for (i = ARRAY_SIZE(statistics) - 1; i >= 0; i--) {
        StatsSchemaValue *schema = g_new0(StatsSchemaValue, 1);

        schema->name = g_strdup(statistics[i].name);
        schema->type = statistics[i].type;
        schema->has_unit = statistics[i].unit != STATS_UNIT__MAX;
        schema->unit = statistics[i].unit;
        schema->exponent = statistics[i].exponent;
        schema->has_base = schema->exponent != 0;
        schema->base = 10;
        QAPI_LIST_PREPEND(list, schema);
    }
    add_stats_schema(result, STATS_PROVIDER_XEN_MAPCACHE, STATS_TARGET_VM,
                     list);
}

void xen_map_cache_add_stats(void)
{
    add_stats_callbacks(STATS_PROVIDER_XEN_MAPCACHE, stats_retrieve,
                        schemas_retrieve);
}
