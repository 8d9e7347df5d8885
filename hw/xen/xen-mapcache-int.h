/*
 * Xen mapcache: what its files share
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * xen-mapcache.c          an essay on the mapcache; hits, invalidate
 * xen-mapcache-dma-map.c  making and ending DMA mappings
 * xen-mapcache-slots.c    the arena and its slots: reserving, emptying
 * xen-mapcache-fill.c     filling slots after a miss
 * xen-mapcache-retire.c   retiring slots: invalidate, eviction, idle buckets
 * xen-mapcache-reaper.c   the thread that unmaps after a grace period
 * xen-mapcache-calls.c    the list of calls that are under way
 * xen-mapcache-backend.c  the calls that map, and their counters
 * xen-mapcache-dma.c      the registry of DMA mappings; reports
 * xen-mapcache-owner.c    the names of the devices in the registry
 * xen-mapcache-stats.c    counters
 * xen-mapcache-ranges.c   which guest address is at a host address
 * xen-mapcache-outside.c  grants, mappings of exact pages, copies
 * xen-mapcache-block.c    device memory and its dummies: mapping, replacing
 * xen-mapcache-block-list.c  the list of device memory
 * xen-mapcache-probe.c    asking Xen which frames are present
 * xen-mapcache-announce.c telling RAM block notifiers of device memory
 * xen-mapcache-events.c   QMP events
 * xen-mapcache-holders.c  which device holds what, for the monitor
 * xen-mapcache-monitor.c  the user's options; other commands of the monitor
 * xen-mapcache-provider.c the counters for query-stats
 * xen-mapcache-check.c    checking all of it, in a build for tests
 *
 * This header has the states of slots and the cache itself.  The other headers
 * have the interfaces of these files:
 *
 * xen-mapcache-calls.h    -backend.c, -calls.c
 * xen-mapcache-slots.h    -slots.c, -fill.c, -retire.c, -reaper.c
 * xen-mapcache-dma.h      -dma.c, -owner.c, -events.c, -holders.c
 * xen-mapcache-outside.h  -ranges.c, -outside.c, -probe.c, -block*.c,
 *                         -announce.c
 * xen-mapcache-stats.h    -stats.c
 */

#ifndef HW_XEN_MAPCACHE_INT_H
#define HW_XEN_MAPCACHE_INT_H

#if HOST_LONG_BITS < 64
#error "The Xen mapcache needs a 64-bit host: configure with --disable-xen"
#endif

#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/queue.h"
#include "qemu/thread.h"
#include "exec/hwaddr.h"
#include "exec/memory.h"
#include "exec/ram_addr.h"
#include "system/xen-mapcache.h"

/*
 * Guest RAM is mapped one bucket at a time, and a slot holds one bucket.  Tests
 * use smaller buckets, so that collisions are common.
 */
#ifndef MCACHE_BUCKET_SHIFT
#define MCACHE_BUCKET_SHIFT     20
#endif
#define MCACHE_BUCKET_SIZE      (1UL << MCACHE_BUCKET_SHIFT)
#define MCACHE_BUCKET_PAGES     (MCACHE_BUCKET_SIZE >> XC_PAGE_SHIFT)

/*
 * The most that one DMA mapping spans, except in a restore.  The caller asks
 * again for the rest.
 */
#define MCACHE_DMA_MAX          (16 * MCACHE_BUCKET_SIZE)

/* Two levels of forward table: 2^28 buckets, 256 TiB of ram_addr_t. */
#ifndef MCACHE_LEAF_SHIFT
#define MCACHE_LEAF_SHIFT       16
#endif
#define MCACHE_LEAF_BUCKETS     (1UL << MCACHE_LEAF_SHIFT)
#define MCACHE_ROOT_ENTRIES     4096

/*
 * The phase of a slot's state.  The diagram is in xen-mapcache.c.
 */
typedef enum MapCachePhase {
    MCACHE_FREE = 0,    /* nothing is mapped in it (PROT_NONE) */
    MCACHE_FILLING,     /* a call maps a bucket into it; not published yet */
    MCACHE_LIVE,        /* published: lookups may find and lock it */
    MCACHE_STALE,       /* lookups do not find it any more; DMA holds it */
    MCACHE_RETIRED,     /* not found, not held; to be unmapped */
    MCACHE_GOING,       /* not found, not held; a call is unmapping it */
    MCACHE_LOST,        /* other memory may be at its addresses: not used */
} MapCachePhase;

/*
 * The state word.  From the highest bit: the phase; a bit that says whether the
 * word has the record of a DMA mapping; that record's offset in the bucket, and
 * its length minus 1; the number of DMA locks, which includes the lock of that
 * mapping.
 */
#define MCACHE_PHASE_SHIFT      61
#define MCACHE_RECORD           (1ull << 60)
#define MCACHE_OFFSET_SHIFT     40
#define MCACHE_OFFSET_BITS      20
#define MCACHE_LEN_SHIFT        24
#define MCACHE_LEN_BITS         16
#define MCACHE_LOCKS_MAX        ((1u << MCACHE_LEN_SHIFT) - 1)

/* A longer mapping has its record in the hash table. */
#define MCACHE_RECORD_LEN_MAX   (1u << MCACHE_LEN_BITS)

#define MCACHE_STATE(phase, locks) \
    (((uint64_t)(phase) << MCACHE_PHASE_SHIFT) | (locks))

/*
 * A slot; it has one cache line, or two with XEN_COMPAT_PHYSMAP.  A slot that
 * was never used reads as zeros, which means FREE, and cannot be written to.
 *
 * @state is changed by atomic operations only.  @bucket and @valid are written
 * while the slot is FILLING, and are constant from then on until it is FREE
 * again.  @gen publishes them (store-release, load-acquire).
 */
typedef struct MapCacheSlot {
    uint64_t state;
    uint32_t gen;           /* generation it was filled in; 0: no hit */
    uint32_t iothread_gen;  /* the mark: the last generation in which a thread
                             * without the BQL used it */
    uint32_t used;          /* how it was used since the eviction's clock hand
                             * or a round for idle buckets last cleared this:
                             * below */
    uint32_t bucket;        /* ram_addr_t >> MCACHE_BUCKET_SHIFT */
#ifdef XEN_COMPAT_PHYSMAP
    uint8_t *host;          /* where the kernel put it */
#endif
    DECLARE_BITMAP(valid, MCACHE_BUCKET_PAGES); /* present pages */
    uint64_t info;          /* the rest of the record in @state; while the slot
                             * is FILLING: the call that fills it */
} QEMU_ALIGNED(64) MapCacheSlot;

QEMU_BUILD_BUG_ON(MCACHE_BUCKET_SHIFT > MCACHE_OFFSET_BITS);

/*
 * The values of @used are 0 (not used), the generation in which the slot was
 * filled, and that generation with this bit inverted.  The first says that the
 * slot has the mark of its generation, so that any thread may use the slot.
 * The second says that it was used, but may have no mark: then only threads
 * with the BQL may use it.
 */
#define MCACHE_UNMARKED     (1u << 31)

/* The slot table is made writable in parts, when slots are first used. */
#define MCACHE_PART_BYTES   65536
#define MCACHE_PART_SLOTS   (MCACHE_PART_BYTES / sizeof(MapCacheSlot))

typedef struct MapCache {
    uint32_t *root[MCACHE_ROOT_ENTRIES]; /* atomic */

    /* Set at init, constant after. */
    bool ready;
    uint64_t size;          /* the cap that the user set, in bytes; 0: none */
    uint32_t idle;          /* seconds for which an unused bucket is kept;
                             * 0: for ever */
    uint8_t *arena;
    int memfd;              /* the file that is mapped in empty slots */
    uint32_t nr_slots;      /* slots in the arena */
    uint32_t max_slots;     /* slots below the cap; the others are spare */
    MapCacheSlot *slot;
    MapCacheSlot *no_slot;  /* slot - 1; reads as zeros, never written to */

    /* Atomic; the generation is changed under the lock. */
    uint32_t gen;           /* neither 0 nor MCACHE_UNMARKED */
    unsigned long *table_map; /* the writable parts of the slot table */
    uint64_t unmatched;
    uint64_t failed_accesses;
    uint32_t seconds;       /* the time for records; 0: nobody updates it */
    bool held_came;         /* there may be mappings that no report named */

    /*
     * Guards everything below, changes of the forward table, and changes of a
     * slot's phase.  The DMA locks and the record in a slot's state are changed
     * without it.  Taken after the BQL, never before it.  Not held during a
     * call that maps or unmaps.  The exception is a map call that is repeated
     * because an invalidate has overtaken it, with the calls that unmap a part
     * of its result.  Never held while waiting for an RCU grace period.  A hit
     * does not need it.
     */
    QemuMutex lock;
    unsigned long *used_map;    /* a bit for each slot that is not FREE */
    uint8_t *idle_rounds;       /* of each slot: the reaper's rounds since the
                                 * slot was last used */
    uint32_t nr_used;
    uint32_t nr_pending;        /* STALE, RETIRED and GOING */
    uint32_t hand;              /* the clock hand of the eviction */
    uint64_t nr_held;           /* held mappings of exact pages */
    unsigned long *reap_map;    /* RETIRED slots for the reaper's next round */
    unsigned long *grace_map;   /* RETIRED slots of the reaper's round now */
    unsigned long *flush_map;   /* RETIRED slots that an invalidate unmaps */
    bool reap_wanted;           /* there is work for the reaper */
    bool reap_again;            /* an unmap failed: the reaper tries again */
    uint32_t calls_awaited;     /* threads that wait for the end of a call */
    bool lost_came;             /* the reaper must check the LOST slots */
    QemuCond reap_cond;
    XenMapCacheStats stats;
} MapCache;

extern MapCache mapcache;

static inline MapCachePhase mcache_phase(uint64_t state)
{
    return state >> MCACHE_PHASE_SHIFT;
}

static inline uint32_t mcache_locks(uint64_t state)
{
    return state & MCACHE_LOCKS_MAX;
}

/* Returns @state with its phase set to @phase. */
static inline uint64_t mcache_in_phase(uint64_t state, MapCachePhase phase)
{
    return deposit64(state, MCACHE_PHASE_SHIFT, 64 - MCACHE_PHASE_SHIFT,
                     phase);
}

/* The record of @len bytes at @offset, in the form that a state word has. */
static inline uint64_t mcache_record(uint64_t offset, uint64_t len)
{
    return MCACHE_RECORD | offset << MCACHE_OFFSET_SHIFT |
           (len - 1) << MCACHE_LEN_SHIFT;
}

#define MCACHE_RECORD_MASK  (2 * MCACHE_RECORD - (1ull << MCACHE_LEN_SHIFT))

static inline uint64_t mcache_record_offset(uint64_t state)
{
    return extract64(state, MCACHE_OFFSET_SHIFT, MCACHE_OFFSET_BITS);
}

static inline uint64_t mcache_record_len(uint64_t state)
{
    return extract64(state, MCACHE_LEN_SHIFT, MCACHE_LEN_BITS) + 1;
}

#ifndef XEN_COMPAT_PHYSMAP
/* The host address of slot @nr. */
static inline uint8_t *mcache_slot_host(uint32_t nr)
{
    return mapcache.arena + ((size_t)nr << MCACHE_BUCKET_SHIFT);
}

/* The host address of a slot. */
static inline uint8_t *mcache_host_of(const MapCacheSlot *s)
{
    return mapcache.arena + ((uintptr_t)s - (uintptr_t)mapcache.slot) *
                            (MCACHE_BUCKET_SIZE / sizeof(*s));
}

/* True if @ptr is in a slot; *@nr is the slot's number. */
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

static inline uint8_t *mcache_host_of(const MapCacheSlot *s)
{
    return s->host;
}

bool mcache_slot_of(const void *ptr, uint32_t *nr);

/*
 * The first adds the slot's mapping to the tree of the mappings outside the
 * arena (xen-mapcache-ranges.c).  The second removes it.  With the lock.
 */
void mcache_slot_enter_locked(uint32_t nr);
void mcache_slot_leave_locked(uint32_t nr);
#endif

/* The ram_addr_t of @ptr, which is in slot @nr, or RAM_ADDR_INVALID. */
static inline ram_addr_t mcache_slot_ram_addr(uint32_t nr, const void *ptr)
{
    MapCacheSlot *s = &mapcache.slot[nr];

    switch (mcache_phase(qatomic_read(&s->state))) {
    case MCACHE_LIVE:
    case MCACHE_STALE:
    case MCACHE_RETIRED:
        return ((ram_addr_t)qatomic_read(&s->bucket) << MCACHE_BUCKET_SHIFT) +
               ((const uint8_t *)ptr - mcache_slot_host(nr));
    default:
        return RAM_ADDR_INVALID;
    }
}

/* True if slot @nr is writable, because its part of the table was used. */
static inline bool mcache_slot_known(uint32_t nr)
{
    return test_bit(nr / MCACHE_PART_SLOTS, mapcache.table_map);
}

/*
 * Marks the slot as used in generation @gen by a thread without the BQL.  A
 * mark is only replaced by a newer one: a slow thread must not overwrite the
 * newer mark of another thread.
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
 * Sets the mark to "not used in generation @gen yet", unless a late reader of
 * the slot's previous bucket has just marked the slot with @gen.  An older mark
 * is overwritten, because after a wrap-around it could look newer than @gen.
 * With the lock.
 */
static inline void mcache_mark_unused_locked(MapCacheSlot *s, uint32_t gen)
{
    uint32_t old = qatomic_read(&s->iothread_gen), seen;

    for (; old != gen; old = seen) {
        seen = qatomic_cmpxchg(&s->iothread_gen, old, gen - 1);
        if (seen == old) {
            return;
        }
    }
}

/* The forward table's entry for @bucket, or NULL if there is none yet. */
static inline uint32_t *mcache_forward(uint64_t bucket)
{
    uint32_t *leaf;

    if (unlikely(bucket >> MCACHE_LEAF_SHIFT >= MCACHE_ROOT_ENTRIES)) {
        return NULL;
    }
    /* Pairs with the release in mcache_forward_get_locked(). */
    leaf = qatomic_load_acquire(&mapcache.root[bucket >> MCACHE_LEAF_SHIFT]);
    return leaf ? &leaf[bucket & (MCACHE_LEAF_BUCKETS - 1)] : NULL;
}

/* The number of the page of @addr in its bucket. */
static inline unsigned mcache_page_of(ram_addr_t addr)
{
    return (addr & (MCACHE_BUCKET_SIZE - 1)) >> XC_PAGE_SHIFT;
}

/*
 * The page of @addr is present.  Returns how many of the @len bytes from @addr
 * on are in present pages of the same bucket.
 */
static inline hwaddr mcache_present_bytes(const MapCacheSlot *s,
                                          ram_addr_t addr, hwaddr len)
{
    ram_addr_t offset = addr & (MCACHE_BUCKET_SIZE - 1);
    unsigned page = offset >> XC_PAGE_SHIFT, end;

    len = MIN(len, MCACHE_BUCKET_SIZE - offset);
    if (likely(len <= XC_PAGE_SIZE - (offset & (XC_PAGE_SIZE - 1)))) {
        return len;
    }
    end = find_next_zero_bit(s->valid, MCACHE_BUCKET_PAGES, page);
    return MIN(len, ((hwaddr)end << XC_PAGE_SHIFT) - offset);
}

/*
 * The slot in which @bucket was found, or no_slot, which is FREE and is a hit
 * in no generation.
 */
static __always_inline MapCacheSlot *mcache_find(uint64_t bucket)
{
    uint32_t *fwd = mcache_forward(bucket);
    uint32_t next = likely(fwd) ? qatomic_load_acquire(fwd) : 0;

    return &mapcache.no_slot[next];
}

/*
 * Notes that the slot was used, by DMA or a thread with the BQL.  The caller
 * keeps the slot from being filled anew meanwhile.
 */
static inline void mcache_note_use(MapCacheSlot *s, uint32_t gen)
{
    if (!qatomic_read(&s->used)) {
        /* As the one in slot_publish_locked(), which this may replace. */
        qatomic_store_release(&s->used, gen ^ MCACHE_UNMARKED);
    }
}

/* The seconds of a monotonic clock, plus 1: 0 means that no time is known. */
static inline uint32_t mcache_seconds(void)
{
    return g_get_monotonic_time() / G_USEC_PER_SEC + 1;
}

/* --- xen-mapcache-check.c ---------------------------------------------- */

/*
 * Compares the slots, the forward table and the counts.  If they do not agree,
 * writes what differs and the slots to standard error, and ends the process.
 * Called with the lock.
 */
#ifdef XEN_MAPCACHE_CHECK
void mcache_check_locked(void);
#else
static inline void mcache_check_locked(void)
{
}
#endif

#endif /* HW_XEN_MAPCACHE_INT_H */
