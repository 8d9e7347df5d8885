/*
 * Xen mapcache: what the user sees of it: its size, and the monitor's commands
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-xen-mapcache.h"
#include "monitor/hmp.h"
#include "monitor/hmp-target.h"
#include "monitor/monitor.h"
#include "qobject/qdict.h"
#include "qapi/visitor.h"
#include "qemu/units.h"
#include "qom/object.h"

#include "hw/xen/xen_native.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-dma.h"

#define SIZE_MIN (32 * MiB)

static void size_get(Object *obj, Visitor *v, const char *name, void *opaque,
                     Error **errp)
{
    uint64_t size = mapcache.size;

    visit_type_size(v, name, &size, errp);
}

static void size_set(Object *obj, Visitor *v, const char *name, void *opaque,
                     Error **errp)
{
    uint64_t size;

    if (!visit_type_size(v, name, &size, errp)) {
        return;
    }
    if (xen_map_cache_ready()) {
        error_setg(errp, "'%s' cannot be changed after the start", name);
    } else if (size < SIZE_MIN) {
        error_setg(errp, "'%s' is %" PRIu64 " bytes; it must be 32M or more",
                   name, size);
    } else {
        mapcache.size = size;
    }
}

static void idle_get(Object *obj, Visitor *v, const char *name, void *opaque,
                     Error **errp)
{
    uint32_t idle = mapcache.idle;

    visit_type_uint32(v, name, &idle, errp);
}

static void idle_set(Object *obj, Visitor *v, const char *name, void *opaque,
                     Error **errp)
{
    uint32_t idle;

    if (!visit_type_uint32(v, name, &idle, errp)) {
        return;
    }
    if (xen_map_cache_ready()) {
        error_setg(errp, "'%s' cannot be changed after the start", name);
    } else {
        mapcache.idle = idle;
    }
}

void xen_map_cache_add_property(ObjectClass *oc)
{
    object_class_property_add(oc, "mapcache-size", "size", size_get, size_set,
                              NULL, NULL);
    object_class_property_set_description(oc, "mapcache-size",
        "Upper limit of the guest memory that is kept mapped, in bytes "
        "(default: 32G; less if limits of the process leave less, or if QEMU "
        "runs in a small domain that is not PV)");
    object_class_property_add(oc, "mapcache-idle", "uint32", idle_get,
                              idle_set, NULL, NULL);
    object_class_property_set_description(oc, "mapcache-idle",
        "Seconds for which unused guest memory is kept mapped "
        "(default: 60; 0: for ever)");
}

static bool check_ready(Error **errp)
{
    if (!xen_map_cache_ready()) {
        error_setg(errp, "this machine has no Xen mapcache");
        return false;
    }
    return true;
}

/*
 * How many slots are in each state, how many pages of the guest's they map,
 * and how many of these are kept only for later use.
 */
static XenMapcacheSlots *count_slots(uint64_t *mapped, uint64_t *retained)
{
    XenMapcacheSlots *slots = g_new0(XenMapcacheSlots, 1);
    uint64_t n[MCACHE_LOST + 1] = {};
    uint32_t nr;

    QEMU_LOCK_GUARD(&mapcache.lock);
    for (nr = find_first_bit(mapcache.used_map, mapcache.nr_slots);
         nr < mapcache.nr_slots;
         nr = find_next_bit(mapcache.used_map, mapcache.nr_slots, nr + 1)) {
        const MapCacheSlot *s = &mapcache.slot[nr];
        uint64_t state = qatomic_read(&s->state);
        MapCachePhase phase = mcache_phase(state);

        n[phase]++;
        if (phase != MCACHE_FILLING && phase != MCACHE_LOST) {
            uint64_t pages = bitmap_count_one(s->valid, MCACHE_BUCKET_PAGES);

            *mapped += pages;
            *retained += phase == MCACHE_LIVE && !mcache_locks(state) ? pages
                                                                      : 0;
        }
    }
    slots->free = mapcache.nr_slots - mapcache.nr_used;
    slots->filling = n[MCACHE_FILLING];
    slots->live = n[MCACHE_LIVE];
    slots->stale = n[MCACHE_STALE];
    slots->retired = n[MCACHE_RETIRED] + n[MCACHE_GOING];
    slots->lost = n[MCACHE_LOST];
    return slots;
}

/* The configuration, and what is mapped. */
static void fill_sizes(XenMapcacheInfo *info, const XenMapCacheStats *stats)
{
    uint64_t mapped = 0, retained = 0;

    info->slots = count_slots(&mapped, &retained);
    info->bucket_size = MCACHE_BUCKET_SIZE;
    info->bytes_max = stats->buckets_max * MCACHE_BUCKET_SIZE;
    info->idle_seconds = mapcache.idle;
    info->bytes_mapped = mapped << XC_PAGE_SHIFT;
    info->bytes_retained = retained << XC_PAGE_SHIFT;
    info->bytes_exact = stats->exact_bytes;
    info->bytes_blocks = stats->block_bytes;
}

XenMapcacheInfo *qmp_query_xen_mapcache(Error **errp)
{
    XenMapcacheInfo *info;
    XenMapCacheStats stats;

    if (!check_ready(errp)) {
        return NULL;
    }

    mcache_told_stats(&stats);
    info = g_new0(XenMapcacheInfo, 1);
    info->hits = stats.hits;
    info->misses = stats.misses;
    info->map_calls = stats.map_calls;
    info->map_pages = stats.map_pages;
    info->map_failures = stats.map_failures;
    info->failed_accesses = stats.failed_accesses;
    info->holes = stats.holes;
    info->no_room = stats.no_room;
    info->unmap_calls = stats.unmap_calls;
    info->invalidates = stats.invalidates;
    info->unmatched = stats.unmatched;
    info->idle = stats.idle;
    info->buckets = stats.buckets;
    info->buckets_pending = stats.buckets_pending;
    info->buckets_max = stats.buckets_max;
    info->blocks = stats.blocks;
    info->dummies = stats.dummies;
    info->grants = stats.grants;
    info->dma = stats.dma;
    info->held = stats.held;
    fill_sizes(info, &stats);
    return info;
}

/* Prints all DMA mappings, or only transfers. */
static void print_dma(Monitor *mon, bool transfers)
{
    Error *err = NULL;
    g_autoptr(XenMapcacheDmaInfo) info =
        qmp_x_query_xen_mapcache_dma(false, 0, transfers, false, &err);
    const XenMapcacheDmaList *l;
    uint64_t told = 0;

    if (!info) {
        hmp_handle_error(mon, err);
        return;
    }
    monitor_printf(mon, "outstanding %s: %" PRIu64 "\n",
                   transfers ? "transfers" : "DMA mappings", info->total);
    for (l = info->mappings; l; l = l->next) {
        const XenMapcacheDma *m = l->value;

        monitor_printf(mon, "  %016" PRIx64 "-%016" PRIx64 " (%s, %s, %" PRIu32
                       " s): %s", m->address, m->address + m->size - 1,
                       m->writes ? "writes" : "reads",
                       m->held ? "held" : "transfer", m->age, m->device);
        monitor_printf(mon, m->count > 1 ? " [%" PRIu64 " times]\n" : "\n",
                       m->count);
        told += m->count;
    }
    if (told < info->total) {
        monitor_printf(mon, "  ... and %" PRIu64 " younger ones\n",
                       info->total - told);
    }
}

void hmp_info_xen_mapcache(Monitor *mon, const QDict *qdict)
{
    const char *what = qdict_get_try_str(qdict, "what");
    Error *err = NULL;
    g_autoptr(XenMapcacheInfo) info = qmp_query_xen_mapcache(&err);
    const XenMapcacheSlots *slots;

    if (!info) {
        hmp_handle_error(mon, err);
        return;
    }
    if (what) {
        if (g_str_equal(what, "dma") || g_str_equal(what, "transfers")) {
            print_dma(mon, *what == 't');
        } else {
            monitor_printf(mon, "info xen-mapcache: unknown argument '%s'; "
                           "give none, 'dma' or 'transfers'\n", what);
        }
        return;
    }
    monitor_printf(mon, "lookups: %" PRIu64 " hits, %" PRIu64 " misses, %"
                   PRIu64 " holes\n", info->hits, info->misses, info->holes);
    monitor_printf(mon, "map calls: %" PRIu64 " of %" PRIu64 " pages, %"
                   PRIu64 " failed; unmap calls: %" PRIu64 "\n",
                   info->map_calls, info->map_pages, info->map_failures,
                   info->unmap_calls);
    monitor_printf(mon, "accesses that failed: %" PRIu64 "\n",
                   info->failed_accesses);
    monitor_printf(mon, "invalidates: %" PRIu64 "; releases of nothing: %"
                   PRIu64 "; unmapped because unused: %" PRIu64 "\n",
                   info->invalidates, info->unmatched, info->idle);
    monitor_printf(mon, "mapped: %" PRIu64 " buckets of 1 MiB (at most %"
                   PRIu64 "), %" PRIu64 " more waiting to be unmapped; no "
                   "room: %" PRIu64 " times\n", info->buckets,
                   info->buckets_max, info->buckets_pending, info->no_room);
    monitor_printf(mon, "mapped: %" PRIu64 " blocks of device memory, %"
                   PRIu64 " of them dummies; %" PRIu64 " grants\n",
                   info->blocks, info->dummies, info->grants);
    monitor_printf(mon, "bytes: %" PRIu64 " mapped of guest RAM, %" PRIu64
                   " of them retained; %" PRIu64 " of device memory; %" PRIu64
                   " for single DMA mappings\n", info->bytes_mapped,
                   info->bytes_retained, info->bytes_blocks, info->bytes_exact);
    monitor_printf(mon, "limits: %" PRIu64 " bytes of guest RAM; unused "
                   "buckets are unmapped after %" PRIu32 " s%s\n",
                   info->bytes_max, info->idle_seconds,
                   info->idle_seconds ? "" : " (never)");
    slots = info->slots;
    monitor_printf(mon, "slots: %" PRIu64 " free, %" PRIu64 " filling, %"
                   PRIu64 " live, %" PRIu64 " stale, %" PRIu64 " retired, %"
                   PRIu64 " lost\n", slots->free, slots->filling, slots->live,
                   slots->stale, slots->retired, slots->lost);
    monitor_printf(mon, "outstanding DMA mappings: %" PRIu64 " of transfers, %"
                   PRIu64 " held\n", info->dma, info->held);
}
