/*
 * Xen mapcache: reverse entries
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A DMA mapping is ended by the host address that its holder has, and an
 * invalidate has to name each that is outstanding; so there is a record for
 * each, in a hash table by host address.  Adding and removing take no lock:
 * a hash chain is a list of small chunks that only ever grows, each cell of a
 * chunk is claimed and given back by itself, and the cell's address, written
 * last, publishes the rest of it.  A chain is as long as the most mappings
 * that were ever outstanding in it at a time.
 *
 * Rejected: a list under a mutex (what made a hit take one), a list in each
 * slot with lock-free removal (needs a grace period for each record).
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/timer.h"

#include "exec/memory.h"
#include "hw/xen/xen_native.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "trace.h"

#define REV_CHAIN_BITS      12
#define REV_CHAINS          (1u << REV_CHAIN_BITS)
#define REV_CHUNK_CELLS     5       /* with the link, two cache lines */

/* What a cell's word says while there is no address in it. */
#define REV_FREE            0
#define REV_CLAIMED         1

/*
 * Otherwise it is a host address, of 48 bits, and above it a count of the
 * cell's uses.
 */
#define REV_HOST_BITS       48

typedef struct RevChunk {
    MapCacheRev cell[REV_CHUNK_CELLS];
    struct RevChunk *next;
} RevChunk;

static RevChunk *rev_chain[REV_CHAINS];

/* One burst of warnings a second, so many lines long. */
#define REPORT_INTERVAL_MS  1000
#define REPORT_LINES        16

/*
 * Who holds it: the names of the address spaces that DMA came through.  An
 * address space may go while its name is still wanted, and its address may
 * then be another's: so the name is copied once, and compared at each use.
 */
#define OWNERS              256     /* a power of two; 0 is nobody known */

typedef struct Owner {
    AddressSpace *as;       /* atomic, written last; NULL: free */
    char *name;
} Owner;

static Owner owners[OWNERS];
static const char owner_unknown[] = "unknown";

static uint64_t rev_word(const uint8_t *host, uint16_t use)
{
    assert((uintptr_t)host >> REV_HOST_BITS == 0);
    return (uintptr_t)host | (uint64_t)use << REV_HOST_BITS;
}

static uint8_t *rev_host(uint64_t word)
{
    return (uint8_t *)(uintptr_t)extract64(word, 0, REV_HOST_BITS);
}

static RevChunk **rev_chain_of(uintptr_t host)
{
    uint64_t hash = (uint64_t)(host >> 6) * 0x9e3779b97f4a7c15ull;

    return &rev_chain[hash >> (64 - REV_CHAIN_BITS)];
}

static unsigned owner_hash(const AddressSpace *as)
{
    return ((uintptr_t)as >> 6) * 2654435761u >> 8;
}

static uint16_t owner_of(AddressSpace *as)
{
    unsigned i, n, first = owner_hash(as);
    uint16_t owner = 0;

    if (!as) {
        return 0;
    }
    for (n = 0; n < OWNERS; n++) {
        i = (first + n) % OWNERS;
        if (i) {
            AddressSpace *seen = qatomic_load_acquire(&owners[i].as);

            if (!seen) {
                break;
            }
            if (seen == as && !strcmp(owners[i].name, as->name)) {
                return i;
            }
        }
    }

    if (n == OWNERS) {
        return 0; /* more devices than there are cells for names */
    }

    /* The first DMA of this device. */
    qemu_mutex_lock(&mapcache.lock);
    for (; n < OWNERS && !owner; n++) {
        i = (first + n) % OWNERS;
        if (i && owners[i].as == as && !strcmp(owners[i].name, as->name)) {
            owner = i;
        } else if (i && !owners[i].as) {
            owners[i].name = g_strdup(as->name);
            /* Pairs with the acquire above. */
            qatomic_store_release(&owners[i].as, as);
            owner = i;
        }
    }
    qemu_mutex_unlock(&mapcache.lock);
    return owner;
}

static const char *owner_name(uint16_t owner)
{
    return owner ? owners[owner].name : owner_unknown;
}

static uint32_t coarse_seconds(void)
{
    struct timespec ts;

#ifdef CLOCK_MONOTONIC_COARSE
    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
#else
    clock_gettime(CLOCK_MONOTONIC, &ts);
#endif
    return ts.tv_sec;
}

/* Claims a free cell of the chain, which grows if it has none. */
static MapCacheRev *rev_claim(RevChunk **link)
{
    for (;;) {
        RevChunk *chunk = qatomic_load_acquire(link);
        unsigned i;

        if (!chunk) {
            RevChunk *seen, *fresh = g_new0(RevChunk, 1);

            fresh->cell[0].host = REV_CLAIMED;
            seen = qatomic_cmpxchg(link, NULL, fresh);
            if (!seen) {
                return &fresh->cell[0];
            }
            g_free(fresh);
            chunk = seen;
        }
        for (i = 0; i < REV_CHUNK_CELLS; i++) {
            MapCacheRev *rev = &chunk->cell[i];

            if (qatomic_read(&rev->host) == REV_FREE &&
                qatomic_cmpxchg(&rev->host, REV_FREE,
                                REV_CLAIMED) == REV_FREE) {
                return rev;
            }
        }
        link = &chunk->next;
    }
}

void mcache_rev_add(uint8_t *host, uint64_t size, MapCacheRevKind kind,
                    bool is_write, AddressSpace *as)
{
    uint16_t owner = owner_of(as);
    MapCacheRev *rev = rev_claim(rev_chain_of((uintptr_t)host));

    qatomic_set(&rev->size, size);
    qatomic_set(&rev->seconds, coarse_seconds());
    qatomic_set(&rev->owner, owner);
    qatomic_set(&rev->dma, kind != MCACHE_REV_BLOCK);
    qatomic_set(&rev->held, kind == MCACHE_REV_HELD);
    qatomic_set(&rev->named, false);
    qatomic_set(&rev->is_write, is_write);
    rev->use++;
    /* Pairs with the acquire in rev_find() and rev_report_one(). */
    qatomic_store_release(&rev->host, rev_word(host, rev->use));
    if (kind == MCACHE_REV_HELD) {
        /* After it is there to be found; pairs with mcache_rev_report(). */
        smp_mb();
        qatomic_set(&mapcache.held_came, true);
    }
}

static bool rev_is(const MapCacheRev *rev, MapCacheRevKind kind)
{
    return qatomic_read(&rev->dma) == (kind != MCACHE_REV_BLOCK) &&
           qatomic_read(&rev->held) == (kind == MCACHE_REV_HELD);
}

/*
 * The record that a release means: of the host address and the size that it
 * names.  A caller that does not know the size that was mapped gets the
 * smallest, which at worst keeps more locked than it must.
 */
static MapCacheRev *rev_find(const uint8_t *host, uint64_t size,
                             MapCacheRevKind kind, uint64_t *word)
{
    RevChunk *chunk = qatomic_load_acquire(rev_chain_of((uintptr_t)host));
    MapCacheRev *best = NULL;
    uint64_t best_size = 0;

    for (; chunk; chunk = qatomic_load_acquire(&chunk->next)) {
        unsigned i;

        for (i = 0; i < REV_CHUNK_CELLS; i++) {
            MapCacheRev *rev = &chunk->cell[i];
            uint64_t w = qatomic_load_acquire(&rev->host), s;

            if (rev_host(w) != host || !rev_is(rev, kind)) {
                continue;
            }
            s = qatomic_read(&rev->size);
            if (!best || s == size || (s < best_size && best_size != size)) {
                best = rev;
                best_size = s;
                *word = w;
            }
            if (s == size) {
                return best;
            }
        }
    }
    return best;
}

uint64_t mcache_rev_remove(const uint8_t *host, uint64_t size,
                           MapCacheRevKind kind)
{
    MapCacheRev *rev;
    uint64_t word = 0;

    while ((rev = rev_find(host, size, kind, &word))) {
        /*
         * The word says which use of the cell it was: if the record was
         * ended and the cell used again, it is another.
         */
        if (qatomic_cmpxchg(&rev->host, word, REV_CLAIMED) == word) {
            uint64_t found = qatomic_read(&rev->size);

            qatomic_store_release(&rev->host, REV_FREE);
            return found;
        }
    }
    return 0;
}

/*
 * Names one record, if it is one when it is looked at.  A long-held one is
 * named once in its life.
 */
static bool rev_report_one(MapCacheRev *rev, bool warn)
{
    uint64_t word = qatomic_load_acquire(&rev->host);
    uint64_t size = qatomic_read(&rev->size);
    uint32_t age = coarse_seconds() - qatomic_read(&rev->seconds);
    bool is_write = qatomic_read(&rev->is_write);
    const char *owner = owner_name(qatomic_read(&rev->owner));
    ram_addr_t addr;

    if (word == REV_FREE || word == REV_CLAIMED ||
        !qatomic_read(&rev->dma) || qatomic_read(&rev->named)) {
        return false;
    }
    addr = xen_ram_addr_from_mapcache(rev_host(word));
    smp_rmb();
    if (qatomic_read(&rev->host) != word) {
        return false; /* ended meanwhile, in another thread */
    }
    trace_xen_invalidate_map_cache(addr, size, is_write, owner, age);
    if (warn) {
        qatomic_set(&rev->named, qatomic_read(&rev->held));
        warn_report("xen mapcache: invalidate with DMA outstanding: guest "
                    "address 0x%016" PRIx64 ", %" PRIu64 " bytes, device %s, "
                    "held by %s for %us", (uint64_t)addr, size,
                    is_write ? "writes" : "reads", owner, age);
    }
    return true;
}

void mcache_rev_report(void)
{
    static int64_t last;
    static uint64_t unreported;
    int64_t now = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
    unsigned lines = !last || now - last >= REPORT_INTERVAL_MS ?
                     REPORT_LINES : 0;
    unsigned i, c, found = 0;

    /* Cleared before the scan: what comes during it counts as not named. */
    qatomic_set(&mapcache.held_came, false);
    smp_mb();
    for (i = 0; i < REV_CHAINS; i++) {
        RevChunk *chunk = qatomic_load_acquire(&rev_chain[i]);

        for (; chunk; chunk = qatomic_load_acquire(&chunk->next)) {
            for (c = 0; c < REV_CHUNK_CELLS; c++) {
                found += rev_report_one(&chunk->cell[c], found < lines);
            }
        }
    }
    if (found > lines) {
        qatomic_set(&mapcache.held_came, true);
    }
    unreported += found - MIN(found, lines);
    if (lines && found) {
        if (unreported) {
            warn_report("xen mapcache: %" PRIu64 " more such mappings since "
                        "the last report", unreported);
        }
        last = now;
        unreported = 0;
    }
}
