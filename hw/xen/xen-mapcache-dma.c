/*
 * Xen mapcache: the registry of DMA mappings
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any thread may end a DMA mapping; it has only the host address and the
 * length.  An invalidate has to name each outstanding mapping.  So each DMA
 * mapping, except a grant, has a record.
 *
 * The first mapping of a bucket, if it is short enough, has its record in the
 * slot.  Offset and length are part of the slot's state word.  So one
 * compare-and-swap takes the lock and makes the record, and another one ends
 * both (xen-mapcache-dma-map.c).  All other records are here, in a hash table
 * by host address and length.  All mappings of the same address and length
 * share one cell, because a guest may list a page as often as it likes.  The
 * hash has a seed, so that a guest cannot choose addresses for one chain.  The
 * table grows and shrinks with its contents.  It has shards, each with a lock.
 * To make or end a mapping, a lock is held for a few steps along a chain, or
 * while the shard is resized.  Reports, the monitor, and a release with a wrong
 * length walk a whole shard under its lock.
 *
 * A release looks in the slot first, then in the table.  Equal records can take
 * each other's place, so a release may take any of them.  If the slot does not
 * have an equal record, all equal records are in the table, as many as there
 * are such mappings.  So the release of an existing mapping always finds one.
 *
 * Rejected: a list in each slot, because equal mappings make it arbitrarily
 * long; a table for each thread, because a release by another thread than the
 * maker searches all of them, and can miss a record that is ended and made
 * again during the search.
 */

#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "qemu/error-report.h"
#include "qemu/xxhash.h"

#include "hw/xen/xen_native.h"
#include "hw/xen/xen-report.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-dma.h"
#include "xen-mapcache-outside.h"
#include "trace.h"

#define SHARD_BITS          4
#define SHARDS              (1u << SHARD_BITS)
#define SHARD_CHAINS_MIN    64u

/* The most lines of one report. */
#define REPORT_LINES        16

/* @count mappings of one cell that have the same @info. */
typedef struct DmaRecord {
    uint64_t info;
    uint64_t count;
    struct DmaRecord *older;
} DmaRecord;

typedef struct DmaCell {
    uint8_t *host;
    uint64_t size;              /* bytes */
    DmaRecord newest;
    struct DmaCell *next;       /* in its chain */
    bool named;                 /* all mappings are held, and were named */
    QTAILQ_ENTRY(DmaCell) order;
} DmaCell;

typedef struct DmaShard {
    QemuMutex lock;             /* innermost; guards the rest */
    DmaCell **chain;
    uint32_t chains;            /* a power of two */
    uint32_t cells;
    uint64_t mappings;
    uint64_t transfers;         /* @mappings that are not held from the start */
    uint64_t named;             /* @mappings that a report has named */
    uint32_t last_transfer;     /* when the newest was made; seconds */
    QTAILQ_HEAD(, DmaCell) order; /* those that are named come last */
} DmaShard;

static DmaShard shards[SHARDS];
static uint64_t seed;           /* constant after init */

void mcache_dma_init(void)
{
    unsigned i;

    seed = (uint64_t)g_random_int() << 32 | g_random_int();
    for (i = 0; i < SHARDS; i++) {
        DmaShard *sh = &shards[i];

        qemu_mutex_init(&sh->lock);
        sh->chains = SHARD_CHAINS_MIN;
        sh->chain = g_new0(DmaCell *, sh->chains);
        QTAILQ_INIT(&sh->order);
    }
}

/* Depends only on the address, so that a release with a wrong length works. */
static DmaShard *shard_of(const uint8_t *host)
{
    return &shards[qemu_xxhash2((uintptr_t)host ^ seed) >> (32 - SHARD_BITS)];
}

static DmaCell **chain_of(DmaShard *sh, const uint8_t *host, uint64_t size)
{
    return &sh->chain[qemu_xxhash4((uintptr_t)host ^ seed, size) &
                      (sh->chains - 1)];
}

static DmaCell *cell_find_locked(DmaShard *sh, const uint8_t *host,
                                 uint64_t size)
{
    DmaCell *c = *chain_of(sh, host, size);

    while (c && (c->host != host || c->size != size)) {
        c = c->next;
    }
    return c;
}

/* Changes the number of chains; does nothing if there is no memory for it. */
static void shard_resize_locked(DmaShard *sh, uint32_t chains)
{
    DmaCell **old = sh->chain, **fresh = g_try_new0(DmaCell *, chains);
    uint32_t n = sh->chains, i;

    if (!fresh) {
        return;
    }
    sh->chain = fresh;
    sh->chains = chains;
    for (i = 0; i < n; i++) {
        DmaCell *c, *next;

        for (c = old[i]; c; c = next) {
            DmaCell **to = chain_of(sh, c->host, c->size);

            next = c->next;
            c->next = *to;
            *to = c;
        }
    }
    g_free(old);
}

static DmaCell *cell_new_locked(DmaShard *sh, uint8_t *host, uint64_t size)
{
    DmaCell *c = g_try_new0(DmaCell, 1), **chain;

    if (!c) {
        return NULL;
    }
    if (sh->cells >= sh->chains) {
        shard_resize_locked(sh, 2 * sh->chains);
    }
    chain = chain_of(sh, host, size);
    c->host = host;
    c->size = size;
    c->next = *chain;
    *chain = c;
    sh->cells++;
    QTAILQ_INSERT_HEAD(&sh->order, c, order);
    return c;
}

static void cell_free_locked(DmaShard *sh, DmaCell *c)
{
    DmaCell **link = chain_of(sh, c->host, c->size);

    while (*link != c) {
        link = &(*link)->next;
    }
    *link = c->next;
    sh->cells--;
    QTAILQ_REMOVE(&sh->order, c, order);
    g_free(c);
    if (sh->chains > SHARD_CHAINS_MIN && sh->cells < sh->chains / 8) {
        shard_resize_locked(sh, sh->chains / 2);
    }
}

/* Adds a mapping to the cell; false if there is no memory for it. */
static bool cell_push_locked(DmaCell *c, uint64_t info)
{
    if (c->newest.count && c->newest.info != info) {
        DmaRecord *older = g_try_new(DmaRecord, 1);

        if (!older) {
            return false;
        }
        *older = c->newest;
        c->newest = (DmaRecord) { .older = older };
    }
    c->newest.info = info;
    c->newest.count++;
    return true;
}

/* Removes the newest mapping from the cell, and returns its info. */
static uint64_t cell_pop_locked(DmaCell *c)
{
    uint64_t info = c->newest.info;
    DmaRecord *older = c->newest.older;

    if (--c->newest.count == 0 && older) {
        c->newest = *older;
        g_free(older);
    }
    return info;
}

bool mcache_dma_add(uint8_t *host, uint64_t size, uint64_t info)
{
    DmaShard *sh = shard_of(host);
    DmaCell *c;
    bool added;

    qemu_mutex_lock(&sh->lock);
    c = cell_find_locked(sh, host, size);
    if (!c) {
        c = cell_new_locked(sh, host, size);
    }
    added = c && cell_push_locked(c, info);
    if (added) {
        sh->mappings++;
        if (c->named) {
            c->named = false;
            QTAILQ_REMOVE(&sh->order, c, order);
            QTAILQ_INSERT_HEAD(&sh->order, c, order);
        }
        if (!(info & MCACHE_DMA_HELD)) {
            sh->transfers++;
            sh->last_transfer = mcache_dma_seconds(info);
        }
    }
    qemu_mutex_unlock(&sh->lock);
    if (added && info & MCACHE_DMA_HELD) {
        /* After the record was added; pairs with mcache_dma_report(). */
        smp_mb();
        qatomic_set(&mapcache.held_came, true);
    }
    return added;
}

/* The shortest mapping at @host, for a release with a wrong length. */
static DmaCell *cell_shortest_locked(DmaShard *sh, const uint8_t *host)
{
    DmaCell *c, *best = NULL;

    QTAILQ_FOREACH(c, &sh->order, order) {
        if (c->host == host && (!best || c->size < best->size)) {
            best = c;
        }
    }
    return best;
}

static uint64_t cell_take_locked(DmaShard *sh, DmaCell *c)
{
    uint64_t size = c->size, info = cell_pop_locked(c);

    sh->mappings--;
    sh->transfers -= !(info & MCACHE_DMA_HELD);
    sh->named -= !!(info & MCACHE_DMA_NAMED);
    if (!c->newest.count) {
        cell_free_locked(sh, c);
    }
    return size;
}

bool mcache_dma_remove(const uint8_t *host, uint64_t size)
{
    DmaShard *sh = shard_of(host);
    DmaCell *c;

    QEMU_LOCK_GUARD(&sh->lock);
    c = cell_find_locked(sh, host, size);
    if (c) {
        cell_take_locked(sh, c);
    }
    return c;
}

uint64_t mcache_dma_remove_shortest(const uint8_t *host, uint64_t limit)
{
    DmaShard *sh = shard_of(host);
    DmaCell *c;

    QEMU_LOCK_GUARD(&sh->lock);
    c = cell_shortest_locked(sh, host);
    return c && c->size < limit ? cell_take_locked(sh, c) : 0;
}

/* The info of the record in the slot, or 0 if there is none. */
static uint64_t slot_info(MapCacheSlot *s, uint64_t *state)
{
    uint64_t info;

    *state = qatomic_load_acquire(&s->state);
    if (!(*state & MCACHE_RECORD)) {
        return 0;
    }
    info = qatomic_read(&s->info);
    /* The info is right only if no other record was made meanwhile. */
    smp_rmb();
    return qatomic_read(&s->state) == *state ? info : 0;
}

/*
 * The first slot from @nr on that has a record, or nr_slots.  Sets *@dma to the
 * record.
 */
static uint32_t slot_with_record_locked(uint32_t nr, MapCacheDma *dma)
{
    for (nr = find_next_bit(mapcache.used_map, mapcache.nr_slots, nr);
         nr < mapcache.nr_slots;
         nr = find_next_bit(mapcache.used_map, mapcache.nr_slots, nr + 1)) {
        MapCacheSlot *s = &mapcache.slot[nr];
        uint64_t state, info = slot_info(s, &state);

        if (info) {
            *dma = (MapCacheDma) {
                .addr = ((ram_addr_t)s->bucket << MCACHE_BUCKET_SHIFT) +
                        mcache_record_offset(state),
                .size = mcache_record_len(state),
                .count = 1,
                .info = info,
            };
            return nr;
        }
    }
    return mapcache.nr_slots;
}

#define FOR_EACH_SLOT_WITH_RECORD_LOCKED(nr, dma)           \
    for (nr = slot_with_record_locked(0, dma);              \
         nr < mapcache.nr_slots;                            \
         nr = slot_with_record_locked(nr + 1, dma))

bool mcache_dma_any_young_locked(void)
{
    uint32_t now = mcache_seconds(), nr;
    MapCacheDma dma;
    unsigned i;

    for (i = 0; i < SHARDS; i++) {
        QEMU_LOCK_GUARD(&shards[i].lock);
        if (shards[i].transfers &&
            mcache_seconds_since(shards[i].last_transfer, now) <=
            MCACHE_DMA_LONG_SECONDS) {
            return true;
        }
    }
    FOR_EACH_SLOT_WITH_RECORD_LOCKED(nr, &dma) {
        if (mcache_dma_is_young(dma.info, now)) {
            return true;
        }
    }
    return false;
}

void mcache_dma_foreach(void (*func)(const MapCacheDma *dma, void *opaque),
                        void *opaque)
{
    uint32_t nr;

    WITH_QEMU_LOCK_GUARD(&mapcache.lock) {
        MapCacheDma dma;

        FOR_EACH_SLOT_WITH_RECORD_LOCKED(nr, &dma) {
            func(&dma, opaque);
        }
    }
    for (nr = 0; nr < SHARDS; nr++) {
        DmaCell *c;

        QEMU_LOCK_GUARD(&mapcache.lock);
        QEMU_LOCK_GUARD(&shards[nr].lock);
        QTAILQ_FOREACH(c, &shards[nr].order, order) {
            MapCacheDma dma = {
                .addr = mcache_ram_addr_locked(c->host),
                .size = c->size,
            };
            DmaRecord *d;

            for (d = &c->newest; d; d = d->older) {
                dma.count = d->count;
                dma.info = d->info;
                func(&dma, opaque);
            }
        }
    }
}

void mcache_dma_count(uint64_t *transfers, uint64_t *held)
{
    uint64_t n[2] = { 0, 0 };
    MapCacheDma dma;
    unsigned i;
    uint32_t nr;

    QEMU_LOCK_GUARD(&mapcache.lock);
    FOR_EACH_SLOT_WITH_RECORD_LOCKED(nr, &dma) {
        n[!!(dma.info & MCACHE_DMA_HELD)]++;
    }
    for (i = 0; i < SHARDS; i++) {
        QEMU_LOCK_GUARD(&shards[i].lock);
        n[0] += shards[i].transfers;
        n[1] += shards[i].mappings - shards[i].transfers;
    }
    *transfers = n[0];
    *held = n[1];
}

/* --- reports ------------------------------------------------------------ */

typedef struct DmaLine {
    ram_addr_t addr;
    uint64_t size;
    uint64_t info;
} DmaLine;

typedef struct DmaReport {
    uint32_t now;           /* seconds */
    unsigned wanted;        /* lines */
    unsigned lines;
    uint64_t more;          /* mappings without a line */
    DmaLine line[REPORT_LINES];
} DmaReport;

/* Adds a line for a mapping; false if there are no lines left. */
static bool report_line(DmaReport *r, ram_addr_t addr, uint64_t size,
                        uint64_t info)
{
    if (r->lines == r->wanted) {
        r->more++;
        return false;
    }
    r->line[r->lines++] = (DmaLine) { addr, size, info };
    return true;
}

/* True if the mapping is held and was named: it needs no second line. */
static bool is_named_for_good(const DmaReport *r, uint64_t info)
{
    return info & MCACHE_DMA_NAMED && !mcache_dma_is_young(info, r->now);
}

static void report_slots_locked(DmaReport *r)
{
    MapCacheDma dma;
    uint32_t nr;

    FOR_EACH_SLOT_WITH_RECORD_LOCKED(nr, &dma) {
        if (!is_named_for_good(r, dma.info) &&
            report_line(r, dma.addr, dma.size, dma.info) &&
            !mcache_dma_is_young(dma.info, r->now)) {
            /* Fails if another mapping has the record by now. */
            qatomic_cmpxchg(&mapcache.slot[nr].info, dma.info,
                            dma.info | MCACHE_DMA_NAMED);
        }
    }
}

/* The mappings of one cell; false when the lines are used up. */
static bool report_cell_locked(DmaReport *r, DmaShard *sh, DmaCell *c)
{
    ram_addr_t addr = mcache_ram_addr_locked(c->host);
    bool all_named = true;
    DmaRecord *d;
    uint64_t i;

    for (d = &c->newest; d; d = d->older) {
        if (is_named_for_good(r, d->info)) {
            continue;
        }
        for (i = 0; i < d->count; i++) {
            if (!report_line(r, addr, c->size, d->info)) {
                r->more--; /* it is counted with the rest of the shard */
                return false;
            }
        }
        if (mcache_dma_is_young(d->info, r->now)) {
            all_named = false;
        } else if (!(d->info & MCACHE_DMA_NAMED)) {
            d->info |= MCACHE_DMA_NAMED;
            sh->named += d->count;
        }
    }
    if (all_named) {
        c->named = true;
        QTAILQ_REMOVE(&sh->order, c, order);
        QTAILQ_INSERT_TAIL(&sh->order, c, order);
    }
    return true;
}

static void report_shard_locked(DmaReport *r, DmaShard *sh)
{
    unsigned before = r->lines;
    uint64_t named = sh->named;
    DmaCell *c, *next;

    QTAILQ_FOREACH_SAFE(c, &sh->order, order, next) {
        if (c->named || !report_cell_locked(r, sh, c)) {
            break;
        }
    }
    r->more += sh->mappings - named - (r->lines - before);
}

static void report_print(const DmaReport *r)
{
    unsigned i;

    for (i = 0; i < r->lines; i++) {
        const DmaLine *l = &r->line[i];
        const char *owner = mcache_owner_name(mcache_dma_owner(l->info));
        bool is_write = l->info & MCACHE_DMA_WRITE;
        uint32_t age = mcache_dma_age(l->info, r->now);

        trace_xen_invalidate_map_cache(l->addr, l->size, is_write, owner, age);
        warn_report("xen mapcache: invalidate with DMA outstanding: guest "
                    "address 0x%016" PRIx64 ", %" PRIu64 " bytes, device %s, "
                    "held by %s for %us", (uint64_t)l->addr, l->size,
                    is_write ? "writes" : "reads", owner, age);
    }
}

void mcache_dma_report(void)
{
    static XenReportLimit limit;
    static uint64_t unreported;
    bool due = xen_report_may(&limit);
    DmaReport r = {
        .now = mcache_seconds(),
        .wanted = due ? REPORT_LINES : 0,
    };
    unsigned i;

    qatomic_set(&mapcache.held_came, false);
    /* Cleared before the scan: what comes during it counts as not named. */
    smp_mb();
    WITH_QEMU_LOCK_GUARD(&mapcache.lock) {
        report_slots_locked(&r);
        for (i = 0; i < SHARDS; i++) {
            QEMU_LOCK_GUARD(&shards[i].lock);
            report_shard_locked(&r, &shards[i]);
        }
    }
    if (r.more) {
        qatomic_set(&mapcache.held_came, true);
    }
    unreported += r.more;
    report_print(&r);
    if (due && (r.lines || unreported)) {
        xen_report_written(&limit);
        if (unreported) {
            warn_report("xen mapcache: %" PRIu64 " more such mappings since "
                        "the last report", unreported);
        }
        unreported = 0;
    }
}
