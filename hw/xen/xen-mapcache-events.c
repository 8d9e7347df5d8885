/*
 * Xen mapcache: QMP events
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A guest can cause what these events report as often as it likes, in any
 * thread.  So each occurrence is only counted.  The main loop sends the event,
 * and collects what the event contains, at most once in EVENT_INTERVAL_MS for
 * each kind.  Occurrences during an interval are reported at its end.
 *
 * QEMU's own limit of events (monitor.c) is not enough: it drops all but the
 * last event of an interval, and with them their counts.  Also, it drops an
 * event only after it was made, and making one walks all transfers.
 */

#include "qemu/osdep.h"
#include "qapi/qapi-events-xen-mapcache.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"

#include "hw/xen/xen_native.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-dma.h"

#define EVENT_INTERVAL_MS   1000

typedef struct MapCacheEvent {
    /* Atomic. */
    uint64_t count;         /* occurrences that were not told */
    bool awaited;           /* event_due() will be called */
    /* The main loop's. */
    QEMUTimer *timer;
    void (*send)(uint64_t count);
} MapCacheEvent;

static void event_due(void *opaque);

static void event_begin(MapCacheEvent *e)
{
    if (!qatomic_xchg(&e->awaited, true)) {
        aio_bh_schedule_oneshot(qemu_get_aio_context(), event_due, e);
    }
}

/* Counts an occurrence of which @e tells.  Any thread. */
static void event_occurs(MapCacheEvent *e)
{
    /* A full barrier; pairs with that in event_due(). */
    qatomic_inc(&e->count);
    if (!qatomic_read(&e->awaited)) {
        event_begin(e);
    }
}

/*
 * Sends the event if there were occurrences.  Called when no interval is under
 * way: for the first occurrence, or at the end of an interval.
 */
static void event_due(void *opaque)
{
    MapCacheEvent *e = opaque;
    uint64_t count = qatomic_xchg(&e->count, 0);

    if (count) {
        e->send(count);
        timer_mod(e->timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                            EVENT_INTERVAL_MS);
        return;
    }
    /*
     * An occurrence that is counted before this is seen below.  One that is
     * counted later calls event_begin() itself.
     */
    qatomic_set_mb(&e->awaited, false);
    if (qatomic_read(&e->count)) {
        event_begin(e);
    }
}

XenMapcacheDma *mcache_dma_describe(const MapCacheDma *m, uint32_t now)
{
    XenMapcacheDma *dma = g_new0(XenMapcacheDma, 1);

    dma->address = m->addr;
    dma->size = m->size;
    dma->count = m->count;
    dma->device = g_strdup(mcache_owner_name(mcache_dma_owner(m->info)));
    dma->writes = m->info & MCACHE_DMA_WRITE;
    dma->held = m->info & MCACHE_DMA_HELD;
    dma->age = mcache_dma_age(m->info, now);
    return dma;
}

typedef struct Transfers {
    MapCacheDma oldest;     /* if there is one */
    uint64_t count;
    uint32_t now;           /* seconds */
} Transfers;

static void note_transfer(const MapCacheDma *m, void *opaque)
{
    Transfers *t = opaque;

    if (m->info & MCACHE_DMA_HELD) {
        return;
    }
    if (!t->count || mcache_dma_age(m->info, t->now) >
                     mcache_dma_age(t->oldest.info, t->now)) {
        t->oldest = *m;
    }
    t->count += m->count;
}

static void send_outstanding(uint64_t invalidates)
{
    Transfers t = { .now = mcache_seconds() };

    mcache_dma_foreach(note_transfer, &t);
    if (t.count) {
        g_autoptr(XenMapcacheDma) oldest = mcache_dma_describe(&t.oldest,
                                                               t.now);

        qapi_event_send_xen_mapcache_dma_outstanding(invalidates, t.count,
                                                     oldest);
    }
}

static MapCacheEvent outstanding = { .send = send_outstanding };
static MapCacheEvent failed = {
    .send = qapi_event_send_xen_mapcache_access_failed,
};
static MapCacheEvent low = { .send = qapi_event_send_xen_mapcache_low };

void mcache_events_init(void)
{
    outstanding.timer = timer_new_ms(QEMU_CLOCK_REALTIME, event_due,
                                     &outstanding);
    failed.timer = timer_new_ms(QEMU_CLOCK_REALTIME, event_due, &failed);
    low.timer = timer_new_ms(QEMU_CLOCK_REALTIME, event_due, &low);
}

void mcache_event_outstanding(void)
{
    event_occurs(&outstanding);
}

void mcache_event_low(void)
{
    event_occurs(&low);
}

void xen_map_cache_access_failed(void)
{
    qatomic_inc(&mapcache.failed_accesses);
    event_occurs(&failed);
}
