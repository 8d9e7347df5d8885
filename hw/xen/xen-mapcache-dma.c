/*
 * Xen mapcache: reverse entries
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A DMA mapping is ended by the host address that its holder has, and an
 * invalidate has to name each that is outstanding; so there is a record for
 * each.  Each thread has a hash table of the mappings that it made, by host
 * address, in which it alone adds: that takes no atomic operation but a store,
 * for a cell that is free stays so until its thread takes it.  Any thread may
 * end a mapping, and does so by one compare-and-swap on the cell's word.  It
 * looks in its own table first and in the others' then.
 *
 * A hash chain is a list of small chunks that only ever grows; a chain is as
 * long as the most mappings that were ever outstanding in it at a time.  The
 * cell's word, written last, publishes the rest of it.  The table of a thread
 * that ends goes, with what is in it, to the next thread that needs one.
 *
 * Rejected: a list under a mutex (what made a hit take one), a list in each
 * slot with lock-free removal (needs a grace period for each record), one
 * table for all threads (each cell has to be claimed by another
 * compare-and-swap, a fifth of what a warm DMA mapping costs).
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/memalign.h"
#include "qemu/timer.h"

#include "exec/memory.h"
#include "hw/xen/xen_native.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "trace.h"

#define REV_CHAIN_BITS      12
#define REV_CHAINS          (1u << REV_CHAIN_BITS)
#define REV_CHUNK_CELLS     5       /* with the link, two cache lines */

/*
 * A reverse entry: one for each long-lived mapping that lies where foreign
 * mappings do, found by the host address that its holder has.  All atomic.
 */
typedef struct MapCacheRev {
    uint64_t word;      /* REV_FREE; or the address, with the use above it */
    uint64_t info;
    uint64_t size;      /* bytes */
} MapCacheRev;

#define REV_FREE            0
#define REV_HOST_BITS       48

/* The info: flags, owner, coarse clock at the map, and the cell's uses. */
#define REV_DMA             1   /* [b] DMA, not [a] a device's own memory */
#define REV_HELD            2   /* long-held: not a transfer */
#define REV_KIND            (REV_DMA | REV_HELD)
#define REV_NAMED           4   /* … and named in a report already */
#define REV_WRITE           8   /* the device writes */
#define REV_OWNER_SHIFT     8
#define REV_SECONDS_SHIFT   16
#define REV_USE_SHIFT       48  /* as in the word */

typedef struct RevChunk {
    MapCacheRev cell[REV_CHUNK_CELLS];
    struct RevChunk *next;
} RevChunk;

QEMU_BUILD_BUG_ON(sizeof(RevChunk) != 128);

typedef struct RevTable {
    RevChunk *chain[REV_CHAINS];    /* atomic; set by its thread */
    struct RevTable *next;          /* constant */
    bool in_use;                    /* it has a thread; rev_lock */
    Notifier exit;
} RevTable;

/*
 * Guards the list of tables and the names, which are looked up without it but
 * added to with it.  Innermost: device memory is recorded with mapcache.lock.
 */
static QemuMutex rev_lock;
static RevTable *rev_tables;        /* atomic; grows, under rev_lock */
/* This thread's; NULL before its first mapping. */
static __thread RevTable *rev_own;

/* One burst of warnings a second, so many lines long. */
#define REPORT_INTERVAL_MS  1000
#define REPORT_LINES        16

/*
 * Who holds it: the names of the address spaces that DMA came through.  An
 * address space may go while its name is still wanted, and its address may
 * then be another's: so the name is copied once, and compared at each use.
 */
#define OWNERS              256     /* eight bits; 0 is nobody known */

typedef struct Owner {
    AddressSpace *as;       /* atomic, written last; NULL: free */
    char *name;
} Owner;

static Owner owners[OWNERS];
static const char owner_unknown[] = "unknown";

static inline uint8_t *rev_host(uint64_t word)
{
    return (uint8_t *)(uintptr_t)extract64(word, 0, REV_HOST_BITS);
}

static inline uint64_t rev_kind(MapCacheRevKind kind)
{
    switch (kind) {
    case MCACHE_REV_BLOCK:
        return 0;
    case MCACHE_REV_DMA:
        return REV_DMA;
    default:
        return REV_DMA | REV_HELD;
    }
}

static inline unsigned rev_hash(const uint8_t *host)
{
    uint64_t hash = (uint64_t)((uintptr_t)host >> 6) * 0x9e3779b97f4a7c15ull;

    return hash >> (64 - REV_CHAIN_BITS);
}

/* Does the cell's @word, read before, make it a record of @host? */
static inline bool rev_fits(const MapCacheRev *rev, uint64_t word,
                            const uint8_t *host, MapCacheRevKind kind)
{
    return rev_host(word) == host &&
           (qatomic_read(&rev->info) & REV_KIND) == rev_kind(kind);
}

/* This thread ends: its records stay, its table is another's to fill. */
static void rev_thread_exit(Notifier *n, void *unused)
{
    RevTable *t = container_of(n, RevTable, exit);

    qemu_mutex_lock(&rev_lock);
    t->in_use = false;
    qemu_mutex_unlock(&rev_lock);
    rev_own = NULL;
}

/* This thread's table: one that an ended thread left, or a new one. */
static G_NO_INLINE RevTable *rev_table_get(void)
{
    RevTable *t;

    qemu_mutex_lock(&rev_lock);
    for (t = rev_tables; t && t->in_use; t = t->next) {
        ;
    }
    if (!t) {
        t = g_new0(RevTable, 1);
        t->next = rev_tables;
        /* Pairs with the acquire in rev_next_table(). */
        qatomic_store_release(&rev_tables, t);
    }
    t->in_use = true;
    qemu_mutex_unlock(&rev_lock);
    t->exit.notify = rev_thread_exit;
    qemu_thread_atexit_add(&t->exit);
    rev_own = t;
    return t;
}

void mcache_rev_init(void)
{
    qemu_mutex_init(&rev_lock);
}

/* The table after @t, or the first. */
static RevTable *rev_next_table(RevTable *t)
{
    return t ? t->next : qatomic_load_acquire(&rev_tables);
}

static inline unsigned owner_hash(const AddressSpace *as)
{
    return ((uintptr_t)as >> 6) * 2654435761u >> 8;
}

/* The first DMA of a device, or its cell is not the first that it hashes to. */
static G_NO_INLINE unsigned owner_find(AddressSpace *as)
{
    unsigned i, n, first = owner_hash(as), owner = 0;

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

    qemu_mutex_lock(&rev_lock);
    for (; n < OWNERS && !owner; n++) {
        i = (first + n) % OWNERS;
        if (i && owners[i].as == as && !strcmp(owners[i].name, as->name)) {
            owner = i;
        } else if (i && !owners[i].as) {
            owners[i].name = g_strdup(as->name);
            /* Pairs with the acquires. */
            qatomic_store_release(&owners[i].as, as);
            owner = i;
        }
    }
    qemu_mutex_unlock(&rev_lock);
    return owner;
}

static inline unsigned owner_of(AddressSpace *as)
{
    unsigned i = owner_hash(as) % OWNERS;

    if (!as) {
        return 0;
    }
    if (likely(i) && likely(qatomic_load_acquire(&owners[i].as) == as) &&
        likely(!strcmp(owners[i].name, as->name))) {
        return i;
    }
    return owner_find(as);
}

static const char *owner_name(unsigned owner)
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

/*
 * A free cell of this thread's chain, which grows if it has none.  Nobody else
 * takes it.
 */
static G_NO_INLINE MapCacheRev *rev_free_cell_slow(const uint8_t *host)
{
    RevTable *t = rev_own ? rev_own : rev_table_get();
    RevChunk **link = &t->chain[rev_hash(host)], *chunk;
    unsigned i;

    for (; (chunk = *link); link = &chunk->next) {
        for (i = 0; i < REV_CHUNK_CELLS; i++) {
            /* What the release read, it read before: pairs with its CAS. */
            if (qatomic_load_acquire(&chunk->cell[i].word) == REV_FREE) {
                return &chunk->cell[i];
            }
        }
    }
    chunk = qemu_memalign(sizeof(*chunk), sizeof(*chunk));
    memset(chunk, 0, sizeof(*chunk));
    /* Pairs with the acquire in rev_find_in() and mcache_rev_report(). */
    qatomic_store_release(link, chunk);
    return &chunk->cell[0];
}

static inline MapCacheRev *rev_free_cell(const uint8_t *host)
{
    RevChunk *chunk = likely(rev_own) ? rev_own->chain[rev_hash(host)] : NULL;

    /* Mostly it is the first cell.  The acquire is as above. */
    if (likely(chunk) &&
        likely(qatomic_load_acquire(&chunk->cell[0].word) == REV_FREE)) {
        return &chunk->cell[0];
    }
    return rev_free_cell_slow(host);
}

void mcache_rev_add(uint8_t *host, uint64_t size, MapCacheRevKind kind,
                    bool is_write, AddressSpace *as)
{
    uint64_t owner = owner_of(as);
    MapCacheRev *rev = rev_free_cell(host);
    uint64_t use = (qatomic_read(&rev->info) >> REV_USE_SHIFT) + 1;

    assert((uintptr_t)host >> REV_HOST_BITS == 0);
    /*
     * Whoever reads what is written now and has an older word in hand finds
     * that the word has changed; pairs with rev_report_one().
     */
    smp_wmb();
    qatomic_set(&rev->size, size);
    qatomic_set(&rev->info, use << REV_USE_SHIFT |
                (uint64_t)coarse_seconds() << REV_SECONDS_SHIFT |
                owner << REV_OWNER_SHIFT | (is_write ? REV_WRITE : 0) |
                rev_kind(kind));
    /* Pairs with the acquire in rev_find_in() and rev_report_one(). */
    qatomic_store_release(&rev->word,
                          (uintptr_t)host | use << REV_USE_SHIFT);
    if (kind == MCACHE_REV_HELD) {
        /* After it is there to be found; pairs with mcache_rev_report(). */
        smp_mb();
        qatomic_set(&mapcache.held_came, true);
    }
}

typedef struct RevFound {
    MapCacheRev *rev;
    uint64_t word;      /* which use of the cell it was */
    uint64_t size;
} RevFound;

/* Looks in one table for a better record than @best; true if none can be. */
static bool rev_find_in(RevTable *t, const uint8_t *host, uint64_t size,
                        MapCacheRevKind kind, RevFound *best)
{
    RevChunk *chunk = qatomic_load_acquire(&t->chain[rev_hash(host)]);

    for (; chunk; chunk = qatomic_load_acquire(&chunk->next)) {
        unsigned i;

        for (i = 0; i < REV_CHUNK_CELLS; i++) {
            MapCacheRev *rev = &chunk->cell[i];
            uint64_t word = qatomic_load_acquire(&rev->word), s;

            if (!rev_fits(rev, word, host, kind)) {
                continue;
            }
            s = qatomic_read(&rev->size);
            if (!best->rev || s == size || s < best->size) {
                *best = (RevFound) { .rev = rev, .word = word, .size = s };
            }
            if (s == size) {
                return true;
            }
        }
    }
    return false;
}

/*
 * The record that a release means: of the host address and the size that it
 * names.  A caller that does not know the size that was mapped gets the
 * smallest, which at worst keeps more locked than it must.
 */
static RevFound rev_find(const uint8_t *host, uint64_t size,
                         MapCacheRevKind kind)
{
    RevFound best = { };
    RevTable *t = NULL;

    if (likely(rev_own) &&
        likely(rev_find_in(rev_own, host, size, kind, &best))) {
        return best;
    }
    while ((t = rev_next_table(t))) {
        if (t != rev_own && rev_find_in(t, host, size, kind, &best)) {
            break;
        }
    }
    return best;
}

static G_NO_INLINE uint64_t rev_remove_slow(const uint8_t *host, uint64_t size,
                                            MapCacheRevKind kind)
{
    RevFound found;

    while ((found = rev_find(host, size, kind)).rev) {
        /*
         * The word says which use of the cell it was: if the record was
         * ended and the cell used again, it is another.  A full barrier: what
         * was read of the cell is read, and its thread may have it.
         */
        if (qatomic_cmpxchg(&found.rev->word, found.word, REV_FREE) ==
            found.word) {
            return found.size;
        }
    }
    return 0;
}

uint64_t mcache_rev_remove(const uint8_t *host, uint64_t size,
                           MapCacheRevKind kind)
{
    RevChunk *chunk = likely(rev_own) ? rev_own->chain[rev_hash(host)] : NULL;

    /* Mostly it is the first cell of this thread's. */
    if (likely(chunk)) {
        MapCacheRev *rev = &chunk->cell[0];
        uint64_t word = qatomic_load_acquire(&rev->word);

        if (likely(rev_fits(rev, word, host, kind)) &&
            likely(qatomic_read(&rev->size) == size) &&
            likely(qatomic_cmpxchg(&rev->word, word, REV_FREE) == word)) {
            return size;
        }
    }
    return rev_remove_slow(host, size, kind);
}

/*
 * Names one record, if it is one when it is looked at.  A long-held one is
 * named once in its life.
 */
static bool rev_report_one(MapCacheRev *rev, bool warn)
{
    uint64_t word = qatomic_load_acquire(&rev->word);
    uint64_t size = qatomic_read(&rev->size);
    uint64_t info = qatomic_read(&rev->info);
    uint32_t age = coarse_seconds() - (uint32_t)(info >> REV_SECONDS_SHIFT);
    bool is_write = info & REV_WRITE;
    const char *owner = owner_name(extract64(info, REV_OWNER_SHIFT, 8));
    ram_addr_t addr;

    if (word == REV_FREE || !(info & REV_DMA) || (info & REV_NAMED)) {
        return false;
    }
    addr = xen_ram_addr_from_mapcache(rev_host(word));
    /* Pairs with the barriers in mcache_rev_add(). */
    smp_rmb();
    if (qatomic_read(&rev->word) != word) {
        return false; /* ended meanwhile, in another thread */
    }
    trace_xen_invalidate_map_cache(addr, size, is_write, owner, age);
    if (warn) {
        if (info & REV_HELD) {
            /* Not if the cell has been used again since. */
            qatomic_cmpxchg(&rev->info, info, info | REV_NAMED);
        }
        warn_report("xen mapcache: invalidate with DMA outstanding: guest "
                    "address 0x%016" PRIx64 ", %" PRIu64 " bytes, device %s, "
                    "held by %s for %us", (uint64_t)addr, size,
                    is_write ? "writes" : "reads", owner, age);
    }
    return true;
}

/* Names what is in one table; returns how many records that is. */
static unsigned rev_report_table(RevTable *t, unsigned lines)
{
    unsigned i, c, found = 0;

    for (i = 0; i < REV_CHAINS; i++) {
        RevChunk *chunk = qatomic_load_acquire(&t->chain[i]);

        for (; chunk; chunk = qatomic_load_acquire(&chunk->next)) {
            for (c = 0; c < REV_CHUNK_CELLS; c++) {
                found += rev_report_one(&chunk->cell[c], found < lines);
            }
        }
    }
    return found;
}

void mcache_rev_report(void)
{
    static int64_t last;
    static uint64_t unreported;
    int64_t now = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
    unsigned lines = !last || now - last >= REPORT_INTERVAL_MS ?
                     REPORT_LINES : 0;
    unsigned found = 0;
    RevTable *t = NULL;

    /* Cleared before the scan: what comes during it counts as not named. */
    qatomic_set(&mapcache.held_came, false);
    smp_mb();
    while ((t = rev_next_table(t))) {
        found += rev_report_table(t, lines - MIN(found, lines));
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
