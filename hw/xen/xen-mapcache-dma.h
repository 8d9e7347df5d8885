/*
 * Xen mapcache: the registry of DMA mappings, and what is told of it
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_XEN_MAPCACHE_DMA_H
#define HW_XEN_MAPCACHE_DMA_H

#include "system/dma-owner.h"
#include "xen-mapcache-int.h"

/*
 * --- xen-mapcache-dma.c: takes the registry's locks ------------------------
 * With the mapcache's lock or without it, unless said otherwise.
 */

/*
 * The info of a DMA mapping is what its record has besides address and length:
 * flags, the owner's number, and the time at which it was made, in seconds.
 */
#define MCACHE_DMA_WRITE        1   /* the device writes */
#define MCACHE_DMA_HELD         2   /* a held mapping, from the start */
#define MCACHE_DMA_NAMED        4   /* a report has named it */
#define MCACHE_OWNER_SHIFT      8
#define MCACHE_OWNER_BITS       20
#define MCACHE_SECONDS_SHIFT    32

/*
 * A transfer whose record is older than this counts as held.  The transfer has
 * then lasted for two seconds at least, because the time in the record may be
 * one second too early.
 */
#define MCACHE_DMA_LONG_SECONDS 3

static inline uint64_t mcache_dma_info(uint64_t flags, uint32_t owner,
                                       uint32_t seconds)
{
    return flags | (uint64_t)owner << MCACHE_OWNER_SHIFT |
           (uint64_t)seconds << MCACHE_SECONDS_SHIFT;
}

static inline uint32_t mcache_dma_owner(uint64_t info)
{
    return extract64(info, MCACHE_OWNER_SHIFT, MCACHE_OWNER_BITS);
}

static inline uint32_t mcache_dma_seconds(uint64_t info)
{
    return info >> MCACHE_SECONDS_SHIFT;
}

/*
 * The seconds from @then to @now.  0 if @then is later: another thread may have
 * made a mapping after the caller got the time.
 */
static inline uint32_t mcache_seconds_since(uint32_t then, uint32_t now)
{
    int32_t seconds = now - then;

    return MAX(seconds, 0);
}

/* The age of a mapping, in seconds. */
static inline uint32_t mcache_dma_age(uint64_t info, uint32_t now)
{
    return mcache_seconds_since(mcache_dma_seconds(info), now);
}

/* True for a transfer that is not old enough to count as held. */
static inline bool mcache_dma_is_young(uint64_t info, uint32_t now)
{
    return !(info & MCACHE_DMA_HELD) &&
           mcache_dma_age(info, now) <= MCACHE_DMA_LONG_SECONDS;
}

/* @count outstanding mappings whose records are equal. */
typedef struct MapCacheDma {
    ram_addr_t addr;
    uint64_t size;      /* bytes of each */
    uint64_t count;
    uint64_t info;
} MapCacheDma;

/*
 * Calls @func for all outstanding mappings.  Mappings whose records are equal
 * may share one call.  @func is called with the mapcache's lock and, for a
 * record in the hash table, a lock of the registry; it must take no lock.
 * Mappings that begin or end meanwhile may be left out.  One that is just
 * beginning may have the info of the mapping that had its slot's record before.
 * Called without the lock.
 */
void mcache_dma_foreach(void (*func)(const MapCacheDma *dma, void *opaque),
                        void *opaque);

/*
 * Counts the outstanding mappings: transfers, and held mappings.  What this
 * takes does not grow with their number.  Without the lock.
 */
void mcache_dma_count(uint64_t *transfers, uint64_t *held);

void mcache_dma_init(void);

/*
 * Adds a record to the hash table, of @size bytes at @host.  False if there is
 * no memory for it.
 */
bool mcache_dma_add(uint8_t *host, uint64_t size, uint64_t info);

/* Removes one such record from the table; false if there is none. */
bool mcache_dma_remove(const uint8_t *host, uint64_t size);

/*
 * For a release whose length matches no record.  Finds the shortest record at
 * @host in the table.  If it is shorter than @limit, removes it and returns its
 * size.  Otherwise returns 0.
 */
uint64_t mcache_dma_remove_shortest(const uint8_t *host, uint64_t limit);

/* False only if there is no young transfer.  With mapcache.lock. */
bool mcache_dma_any_young_locked(void);

/*
 * Warns of outstanding DMA mappings, at a limited rate.  One report names up to
 * 16 mappings and counts the others.  A held mapping, or a transfer that counts
 * as held, is named only once.  With the BQL, without the lock.
 */
void mcache_dma_report(void);

/* --- xen-mapcache-owner.c --------------------------------------------- */

void mcache_owner_init(void);

/*
 * The owners that were looked up last.  A cell has an address in its upper bits
 * and the owner's number in its lower bits.  Atomic.
 */
#define MCACHE_OWNER_CELL_BITS  12

typedef struct MapCacheOwners {
    uint32_t changed;       /* dma_owners_changed when the cells were filled */
    uint64_t cell[1u << MCACHE_OWNER_CELL_BITS];
} MapCacheOwners;

extern MapCacheOwners mcache_owners;

/*
 * The address that identifies the owner of a mapping through @as; NULL if the
 * owner is not known.
 */
static inline const void *mcache_owner_key(AddressSpace *as)
{
    return dma_owner ? (const void *)dma_owner : as;
}

/*
 * The upper bits of a cell: bits 3 to 46 of the address, which is a multiple of
 * 8.  A higher bit, which a host other than x86 may use, is left out.
 */
static inline uint64_t mcache_owner_tag(const void *key)
{
    return (uint64_t)(uintptr_t)key >> 3 << MCACHE_OWNER_BITS;
}

static inline uint64_t *mcache_owner_cell(const void *key)
{
    uint64_t hash = (uintptr_t)key * 0x9e3779b97f4a7c15ull;

    return &mcache_owners.cell[hash >> (64 - MCACHE_OWNER_CELL_BITS)];
}

/*
 * Finds the number of a mapping's owner, and gives the owner a number if it has
 * none.  Returns 0 (no owner) if there are too many owners.
 */
uint32_t mcache_owner_find(AddressSpace *as);

/* Returns the number if it is in its cell, without a lock; otherwise 0. */
static inline uint32_t mcache_owner(AddressSpace *as)
{
    const void *key = mcache_owner_key(as);
    uint64_t cell;

    if (unlikely(qatomic_load_acquire(&mcache_owners.changed) !=
                 qatomic_read(&dma_owners_changed))) {
        return 0;
    }
    cell = qatomic_read(mcache_owner_cell(key));
    return (cell ^ mcache_owner_tag(key)) >> MCACHE_OWNER_BITS
           ? 0 : cell & ((1u << MCACHE_OWNER_BITS) - 1);
}

/* The name of the owner with that number, for reports; it is never freed. */
const char *mcache_owner_name(uint32_t owner);

/* --- xen-mapcache-events.c --------------------------------------------- */

/* With the BQL, before the machine runs. */
void mcache_events_init(void);

/*
 * The first is called when an invalidate found transfers outstanding.  The
 * second is called when a lookup or a DMA mapping was served by single pages or
 * a copy.  Any thread, without the lock.  The main loop sends the events, each
 * at most once a second.
 */
void mcache_event_outstanding(void);
void mcache_event_low(void);

/*
 * Describes @m for the monitor.  The mappings that @m counts have the same age.
 * @now is the result of mcache_seconds().  The caller frees the description.
 */
struct XenMapcacheDma *mcache_dma_describe(const MapCacheDma *m, uint32_t now);

/* --- xen-mapcache-holders.c ------------------------------------------ */

/*
 * xen_map_cache_get_stats() for the monitor and query-stats.  Transfers and
 * held mappings are counted from the registry.  So a held mapping also counts
 * as held if it locks buckets in place of a mapping of exact pages.
 */
void mcache_told_stats(XenMapCacheStats *stats);

#endif /* HW_XEN_MAPCACHE_DMA_H */
