/*
 * Xen mapcache: what its files share
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * xen-mapcache.c          the essay, the public calls, hits
 * xen-mapcache-slots.c    the arena and its slots: reserve, empty, check
 * xen-mapcache-fill.c     slots: a bucket is mapped, and found
 * xen-mapcache-retire.c   slots: taken out of service, evicted
 * xen-mapcache-reaper.c   the thread that unmaps after a grace period
 * xen-mapcache-dma.c      reverse entries: who holds a DMA mapping
 * xen-mapcache-outside.c  what lies outside the arena: grants, single pages
 * xen-mapcache-block.c    device memory, and dummies for it
 * xen-mapcache-announce.c when RAM block notifiers are told of it
 */

#ifndef HW_XEN_MAPCACHE_INT_H
#define HW_XEN_MAPCACHE_INT_H

#if HOST_LONG_BITS < 64
#error "The Xen mapcache needs a 64-bit host: configure with --disable-xen"
#endif

#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/thread.h"
#include "exec/hwaddr.h"
#include "exec/ram_addr.h"
#include "system/xen-mapcache.h"

/*
 * Guest RAM is mapped a bucket at a time; a slot holds one bucket.  Tests
 * shrink these, to make collisions common.
 */
#ifndef MCACHE_BUCKET_SHIFT
#define MCACHE_BUCKET_SHIFT     20
#endif
#define MCACHE_BUCKET_SIZE      (1UL << MCACHE_BUCKET_SHIFT)
#define MCACHE_BUCKET_PAGES     (MCACHE_BUCKET_SIZE >> XC_PAGE_SHIFT)

/* The most that one DMA mapping spans: callers ask again for the rest. */
#define MCACHE_DMA_MAX          (16 * MCACHE_BUCKET_SIZE)

/* Two levels of forward table: 2^28 buckets, 256 TiB of ram_addr_t. */
#ifndef MCACHE_LEAF_SHIFT
#define MCACHE_LEAF_SHIFT       16
#endif
#define MCACHE_LEAF_BUCKETS     (1UL << MCACHE_LEAF_SHIFT)
#define MCACHE_ROOT_ENTRIES     4096

/*
 * Where a slot is in its life.  The diagram is in xen-mapcache.c.
 */
typedef enum MapCachePhase {
    MCACHE_FREE = 0,    /* PROT_NONE, in nobody's hands */
    MCACHE_FILLING,     /* allocated, not yet published; under the lock */
    MCACHE_LIVE,        /* published: lookups may find and lock it */
    MCACHE_STALE,       /* not found any more, held by DMA */
    MCACHE_RETIRED,     /* not found, not held; to be unmapped */
    MCACHE_LOST,        /* its addresses are gone: never used again */
} MapCachePhase;

/* The state word: the phase above, the number of DMA locks below. */
#define MCACHE_PHASE_SHIFT      32
#define MCACHE_STATE(phase, locks) \
    (((uint64_t)(phase) << MCACHE_PHASE_SHIFT) | (locks))

/*
 * One slot, one cache line.  A slot that was never used is not accessible.
 *
 * @state is changed by compare-and-swap only.  @bucket and @valid are written
 * while the slot is FILLING and constant until it is FREE again.  @gen is
 * what publishes them (store-release, load-acquire).
 */
typedef struct MapCacheSlot {
    uint64_t state;
    uint32_t gen;           /* generation it was filled in; 0: do not serve */
    uint32_t iothread_gen;  /* last generation a thread without BQL used it */
    uint32_t bucket;        /* ram_addr_t >> MCACHE_BUCKET_SHIFT */
    bool referenced;        /* used since the clock hand came by */
#ifdef XEN_COMPAT_PHYSMAP
    uint8_t *host;          /* where the kernel put it */
#endif
    DECLARE_BITMAP(valid, MCACHE_BUCKET_PAGES);
} QEMU_ALIGNED(64) MapCacheSlot;

/* The slot table comes into being in parts, as slots are used. */
#define MCACHE_PART_BYTES   65536
#define MCACHE_PART_SLOTS   (MCACHE_PART_BYTES / sizeof(MapCacheSlot))

typedef struct MapCache {
    /* Set at init, constant after. */
    bool ready;
    uint64_t size;          /* bytes that the user allows; 0: the default */
    uint8_t *arena;
    int memfd;              /* what the arena's empty slots map */
    uint32_t nr_slots;      /* slots in the arena */
    uint32_t max_slots;     /* … of which the cap allows; the rest is spare */
    MapCacheSlot *slot;

    /* Atomic; the generation is changed under the lock. */
    uint32_t gen;
    unsigned long *table_map; /* a bit for each part of the slot table */
    uint32_t *root[MCACHE_ROOT_ENTRIES];
    uint64_t unmatched;
    bool held_came;         /* long-held mappings that no report has named */

    /*
     * Guards everything below, slot phases but for LIVE's locks, and the
     * filling of the forward table.  Taken after the BQL, never before it;
     * never held while an RCU grace period is waited for.  A hit does not
     * need it.
     */
    QemuMutex lock;
    unsigned long *used_map;    /* a bit for each slot that is not FREE */
    uint32_t nr_used;
    uint32_t nr_pending;        /* STALE and RETIRED */
    uint32_t hand;              /* of the clock */
    uint64_t nr_held;           /* long-held mappings */
    unsigned long *reap_map;    /* RETIRED slots that the reaper shall take */
    unsigned long *grace_map;   /* … and those it is waiting for */
    bool reap_wanted;           /* there is something for the reaper */
    bool reaper_busy;           /* it has taken up what it is to unmap */
    uint64_t reap_rounds;       /* grace periods that it has been through */
    bool reap_again;            /* an unmap failed: later */
    QemuCond reap_cond;
    QemuCond room_cond;         /* the reaper has freed some slots */
    XenMapCacheStats stats;
} MapCache;

extern MapCache mapcache;

static inline MapCachePhase mcache_phase(uint64_t state)
{
    return state >> MCACHE_PHASE_SHIFT;
}

static inline uint32_t mcache_locks(uint64_t state)
{
    return (uint32_t)state;
}

#ifndef XEN_COMPAT_PHYSMAP
/* Where slot @nr is, and in which slot @ptr is, if in any. */
static inline uint8_t *mcache_slot_host(uint32_t nr)
{
    return mapcache.arena + ((size_t)nr << MCACHE_BUCKET_SHIFT);
}

static inline bool mcache_slot_of(const void *ptr, uint32_t *nr)
{
    uintptr_t offset = (uintptr_t)ptr - (uintptr_t)mapcache.arena;

    *nr = offset >> MCACHE_BUCKET_SHIFT;
    return offset < (uintptr_t)mapcache.nr_slots << MCACHE_BUCKET_SHIFT;
}
#else
/* Without an arena a bucket is where the kernel put it. */
static inline uint8_t *mcache_slot_host(uint32_t nr)
{
    return mapcache.slot[nr].host;
}

bool mcache_slot_of(const void *ptr, uint32_t *nr);

/* Enters the slot's mapping in the tree, and takes it out; with the lock. */
void mcache_slot_enter_locked(uint32_t nr);
void mcache_slot_leave_locked(uint32_t nr);
#endif

/* Was slot @nr ever used?  Only then is it accessible. */
static inline bool mcache_slot_known(uint32_t nr)
{
    return test_bit(nr / MCACHE_PART_SLOTS, mapcache.table_map);
}

/*
 * Marks the slot as used in generation @gen without the BQL.  A mark only ever
 * gets newer: a thread that was held up must not take away another's.
 */
static inline void mcache_mark(MapCacheSlot *s, uint32_t gen)
{
    uint32_t old = qatomic_read(&s->iothread_gen), seen;

    for (; (int32_t)(gen - old) > 0; old = seen) {
        seen = qatomic_cmpxchg(&s->iothread_gen, old, gen);
        if (seen == old) {
            return;
        }
    }
}

/*
 * Marks the slot as not used in generation @gen yet, unless a late reader of
 * its last life has just said otherwise.  Whatever else the mark says may be so
 * old that it looks new.  With the lock.
 */
static inline void mcache_mark_unused(MapCacheSlot *s, uint32_t gen)
{
    uint32_t old = qatomic_read(&s->iothread_gen), seen;

    for (; old != gen; old = seen) {
        seen = qatomic_cmpxchg(&s->iothread_gen, old, gen - 1);
        if (seen == old) {
            return;
        }
    }
}

/* The forward table's cell for @bucket, or NULL if it has none yet. */
static inline uint32_t *mcache_forward(uint64_t bucket)
{
    uint32_t *leaf;

    if (unlikely(bucket >> MCACHE_LEAF_SHIFT >= MCACHE_ROOT_ENTRIES)) {
        return NULL;
    }
    /* Pairs with the release in mcache_forward_get(). */
    leaf = qatomic_load_acquire(&mapcache.root[bucket >> MCACHE_LEAF_SHIFT]);
    return leaf ? &leaf[bucket & (MCACHE_LEAF_BUCKETS - 1)] : NULL;
}

/* --- xen-mapcache-slots.c: with the lock, but for the first and the last - */

/* Reserves the arena and its tables, or ends QEMU with a message. */
void mcache_arena_init(void);

static inline void mcache_slot_set_phase(MapCacheSlot *s, MapCachePhase phase)
{
    qatomic_set(&s->state, MCACHE_STATE(phase, 0));
}

/*
 * Makes the slot's part of the table accessible.  False and errno if there is
 * no memory for it.
 */
bool mcache_slot_make(uint32_t nr);

/* From FREE to FILLING, back to FREE, and to LOST. */
void mcache_slot_take(uint32_t nr);
void mcache_slot_give_back(uint32_t nr);
void mcache_slot_lose(uint32_t nr);

/*
 * After a failed map call: sees to it that the slot's addresses are ours.
 * False if they are not any more.
 */
bool mcache_slot_reserve_again(uint32_t nr);

/*
 * Empties the slots [@nr, @nr + @n), which must all be RETIRED or FREE, and
 * frees them.  What cannot be unmapped is left to the reaper.
 */
void mcache_slots_unmap(uint32_t nr, uint32_t n);

/*
 * Is [@host, @host + @size) still mapped to the file @fd?  Asked of the kernel
 * after a map call that failed; false also if it cannot be told.
 */
bool mcache_range_is_of(const void *host, size_t size, int fd);

/* Walks everything and asserts it.  Called with the lock. */
void mcache_check_locked(void);

/*
 * Reports that something failed, rate-limited.  @what: a phrase as in
 * "mapping"; @addr: a guest address, or the number of a grant reference.
 */
void mcache_report_failure(const char *what, hwaddr addr, size_t pages,
                           int err);

/*
 * An access found no guest RAM at @addr.  A running guest may do that; in a
 * restore, where all RAM is there before QEMU starts, it is an error, reported
 * (rate-limited) if the BQL is held.  Called without the lock.
 */
void mcache_report_hole(hwaddr addr);

/* --- xen-mapcache-fill.c: with the lock --------------------------------- */

/*
 * Sees to it that the buckets [@first, @first + @n) are mapped, in adjacent
 * slots if @n > 1, with the page @page of the first one present.  Returns
 * the number of buckets for which that holds: 0 if the page is a hole, -1 if
 * nothing could be mapped, or Xen does not say.  Called with the lock.
 */
int mcache_fill_locked(uint64_t first, uint32_t n, unsigned page);

/*
 * One call that maps @pages frames from @first_gfn on, at @host, which they
 * replace, or anywhere if it is NULL; counted.  @err has a value for each
 * page, 0 if it is there.  NULL and errno if the call failed: what was at
 * @host may be there still, or there may be a gap in the address space.
 */
void *mcache_map_call_locked(void *host, uint64_t first_gfn, size_t pages,
                             int *err);

/* --- xen-mapcache-retire.c: with the lock, but for mcache_stale_unlocked() */

/*
 * Takes all buckets out of service and unmaps those that nobody can be
 * using.  Called with the lock and the BQL, not in an RCU section, the
 * generation stepped already.
 */
void mcache_flush_locked(void);

/*
 * The last lock on a stale slot is gone: unmaps it or leaves it to the
 * reaper.
 */
void mcache_stale_unlocked(uint32_t nr);

/* Retires a LIVE slot that unlocked pointers of this very thread may be in. */
void mcache_retire_later(uint32_t nr);

/*
 * Keeps the spare slots free, ahead of need: whoever comes next is in an RCU
 * section and cannot wait for one to end.  The slots [@keep, @keep + @n) are
 * what the caller is about to use.
 */
void mcache_evict_locked(uint32_t keep, uint32_t n);

/*
 * A map call failed for lack of memory, which the frames that are mapped may
 * cost too (a stub domain's, a PVH dom0's): retires some that were not used
 * lately, whatever the cap, so that a call that comes after may succeed.
 */
void mcache_evict_for_memory_locked(void);

/* --- xen-mapcache-reaper.c: with the lock ------------------------------- */

/* Leaves a RETIRED slot to the reaper; takes it back, to be unmapped now. */
void mcache_reap_later(uint32_t nr);
void mcache_reap_not(uint32_t nr);

/*
 * If few slots are free and the reaper is about to free some, gives it a
 * moment: misses that come faster than it could unmap would use up the spare
 * slots.  Lets go of the lock meanwhile.  The caller may be in an RCU section
 * that the reaper waits for, so the wait is a short one, whatever comes of it:
 * a millisecond for each miss, so that what is left lasts until a reaper that
 * did not get a processor has got one; and longer, once in a round of the
 * reaper's, for one that finds no slot at all.
 */
void mcache_room_wait_locked(void);

/*
 * Starts the thread.  Before the machine runs: no thread may be to be had when
 * it is needed, and a running guest is not to be ended for that.
 */
void mcache_reaper_init(void);

/* Wakes the reaper. */
void mcache_reaper_wake_locked(void);

/* --- xen-mapcache-dma.c --------------------------------------------- */

typedef enum MapCacheRevKind {
    MCACHE_REV_BLOCK,   /* [a] */
    MCACHE_REV_DMA,     /* [b], a transfer */
    MCACHE_REV_HELD,    /* [b], long-held */
} MapCacheRevKind;

/*
 * Records a mapping of @size bytes at @host, held through @as (may be NULL).
 * Lock-free but for a thread's first; allocates when a chain must grow.
 */
void mcache_rev_add(uint8_t *host, uint64_t size, MapCacheRevKind kind,
                    bool is_write, AddressSpace *as);

/*
 * Takes one record of that kind of @host out, of @size bytes if there is one,
 * and returns its size; 0 if there is none of @host.  Lock-free.
 */
uint64_t mcache_rev_remove(const uint8_t *host, uint64_t size,
                           MapCacheRevKind kind);

void mcache_rev_init(void);

/* Warns of each outstanding DMA mapping, rate-limited.  With the BQL. */
void mcache_rev_report(void);

/* --- xen-mapcache-outside.c ----------------------------------------- */

void mcache_outside_init(void);

/* A grant mapping, as xen_map_cache_dma(). */
uint8_t *mcache_grant_map(ram_addr_t addr, ram_addr_t block_offset,
                          hwaddr *plen, bool is_write);

/*
 * A mapping of exactly the pages of *@plen bytes at @addr, long-held or, where
 * there is no slot for it, of a transfer.  NULL if the first is not there, or,
 * with @failed set, if the map call failed or there are too many of them.
 */
uint8_t *mcache_pages_map(ram_addr_t addr, hwaddr *plen, MapCacheRevKind kind,
                          bool is_write, AddressSpace *as, bool *failed);

/* Why an unlocked pointer cannot be had. */
typedef enum MapCacheNoPage {
    MCACHE_NO_PAGE_HOLE,    /* the page is not there */
    MCACHE_NO_PAGE_FAILED,  /* the map call failed, and was reported */
    MCACHE_NO_PAGE_FULL,    /* too many single pages wait to be unmapped */
} MapCacheNoPage;

/*
 * Where a bucket cannot be mapped for lack of memory: an unlocked pointer to
 * the page of @addr alone, gone after the RCU section.  NULL and *@why if that
 * cannot be had either.
 */
uint8_t *mcache_page_map_locked(ram_addr_t addr, MapCacheNoPage *why);

/*
 * For the reaper, around its grace period, and for an invalidate: unmaps such
 * pages, in the latter case those that only the BQL's holders got.
 */
void mcache_pages_grace_locked(void);
void mcache_pages_reap_locked(void);
void mcache_pages_flush_locked(void);

/*
 * Releases what @host is in: a grant and what mcache_pages_map() made are
 * unmapped, device memory stays.  False if it is in nothing.  @dma: it was of
 * a transfer.
 */
bool mcache_outside_release(uint8_t *host, bool *dma);

/*
 * Unmaps @pages foreign pages at @host, which lie outside the arena and which
 * nobody uses.  What cannot be unmapped now is kept in mind, and
 * mcache_unmap_again_locked(), which an invalidate calls, tries again.
 */
void mcache_unmap_locked(void *host, size_t pages);
void mcache_unmap_again_locked(void);

/* The ram_addr_t of @ptr, or RAM_ADDR_INVALID. */
ram_addr_t mcache_outside_ram_addr(const void *ptr);

/* Adds the outside's counts to @stats. */
void mcache_outside_stats(XenMapCacheStats *stats);

/* --- xen-mapcache-block.c -------------------------------------------- */

/* Adds device memory's counts to @stats.  With the lock. */
void mcache_block_stats_locked(XenMapCacheStats *stats);

/*
 * Tells RAM block notifiers of all device memory that they have not been told
 * of.  In the main loop, with the BQL and not the lock, in no coroutine.
 */
void mcache_block_announce(void);

/* --- xen-mapcache-announce.c ----------------------------------------- */

/* Has mcache_block_announce() called when it may be.  Any thread. */
void mcache_announce_later(void);

#endif /* HW_XEN_MAPCACHE_INT_H */
