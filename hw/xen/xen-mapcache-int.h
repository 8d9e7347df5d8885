/*
 * Xen mapcache: what its files share
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * xen-mapcache.c          the essay, the public calls, hits
 * xen-mapcache-slots.c    the arena and its slots: reserve, empty
 * xen-mapcache-fill.c     slots: a bucket is mapped, and found
 * xen-mapcache-retire.c   slots: taken out of service, evicted
 * xen-mapcache-reaper.c   the thread that unmaps after a grace period
 * xen-mapcache-calls.c    calls to Xen and to the kernel that are under way
 * xen-mapcache-backend.c  these calls
 * xen-mapcache-dma.c      the registry of DMA mappings, reports
 * xen-mapcache-owner.c    the names of those who hold them
 * xen-mapcache-stats.c    counters
 * xen-mapcache-outside.c  what lies outside the arena: grants, exact pages
 * xen-mapcache-block.c    device memory, and dummies for it
 * xen-mapcache-announce.c when RAM block notifiers are told of it
 * xen-mapcache-events.c   events for who watches from outside
 * xen-mapcache-holders.c  who holds what, for the monitor
 * xen-mapcache-check.c    walks it all, in a build for tests
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
#include "system/dma-owner.h"
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

/*
 * A transfer that is no longer than this is copied if there is no slot for it:
 * that is cheaper than a mapping of its own.
 */
#define MCACHE_COPY_BYTES       (4 * XC_PAGE_SIZE)

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
    MCACHE_FILLING,     /* allocated, not yet published; a call's */
    MCACHE_LIVE,        /* published: lookups may find and lock it */
    MCACHE_STALE,       /* not found any more, held by DMA */
    MCACHE_RETIRED,     /* not found, not held; to be unmapped */
    MCACHE_GOING,       /* … by a call, at this moment */
    MCACHE_LOST,        /* its addresses may be another's: not used */
} MapCachePhase;

/*
 * The state word.  From the top: the phase; whether the record of one of the
 * DMA mappings in the slot is here; that record's offset in the bucket and its
 * length less 1; the number of DMA locks, one of which is that mapping's.
 */
#define MCACHE_PHASE_SHIFT      61
#define MCACHE_RECORD           (1ull << 60)
#define MCACHE_OFFSET_SHIFT     40
#define MCACHE_OFFSET_BITS      20
#define MCACHE_LEN_SHIFT        24
#define MCACHE_LEN_BITS         16
#define MCACHE_LOCKS_MAX        ((1u << MCACHE_LEN_SHIFT) - 1)

/* Longer mappings have their record elsewhere. */
#define MCACHE_RECORD_LEN_MAX   (1u << MCACHE_LEN_BITS)

#define MCACHE_STATE(phase, locks) \
    (((uint64_t)(phase) << MCACHE_PHASE_SHIFT) | (locks))

/*
 * One slot, one cache line.  A slot that was never used is not accessible.
 *
 * @state is changed by atomic operations only.  @bucket and @valid are written
 * while the slot is FILLING and constant until it is FREE again.  @gen is
 * what publishes them (store-release, load-acquire).
 */
typedef struct MapCacheSlot {
    uint64_t state;
    union {
        struct {
            uint32_t gen;   /* generation it was filled in; 0: do not serve */
            uint32_t iothread_gen; /* last that a thread without BQL used it */
        };
        uint64_t gens;      /* both, for one load */
    };
    uint32_t bucket;        /* ram_addr_t >> MCACHE_BUCKET_SHIFT */
    bool referenced;        /* used since the clock hand came by */
    uint8_t idle;           /* rounds of the reaper's since; under the lock */
#ifdef XEN_COMPAT_PHYSMAP
    uint8_t *host;          /* where the kernel put it */
#endif
    DECLARE_BITMAP(valid, MCACHE_BUCKET_PAGES);
    uint64_t info;          /* what else @state says; FILLING: which call */
} QEMU_ALIGNED(64) MapCacheSlot;

QEMU_BUILD_BUG_ON(MCACHE_BUCKET_SHIFT > MCACHE_OFFSET_BITS);

/* The slot table comes into being in parts, as slots are used. */
#define MCACHE_PART_BYTES   65536
#define MCACHE_PART_SLOTS   (MCACHE_PART_BYTES / sizeof(MapCacheSlot))

typedef struct MapCache {
    /* Set at init, constant after. */
    bool ready;
    uint64_t size;          /* bytes that the user allows; 0: the default */
    uint32_t idle;          /* seconds that an unused bucket is kept; 0: ever */
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
    uint32_t seconds;       /* a clock for records; 0: it stands still */
    bool held_came;         /* long-held mappings that no report has named */

    /*
     * Guards everything below, slot phases but for LIVE's locks, and the
     * forward table's changes.  Taken after the BQL, never before it; not
     * held over a call that maps or unmaps, but for a map call that an
     * invalidate has overtaken once; never while an RCU grace period is
     * waited for.  A hit does not need it.
     */
    QemuMutex lock;
    unsigned long *used_map;    /* a bit for each slot that is not FREE */
    uint32_t nr_used;
    uint32_t nr_pending;        /* STALE, RETIRED and GOING */
    uint32_t hand;              /* of the clock */
    uint64_t nr_held;           /* long-held mappings */
    unsigned long *reap_map;    /* RETIRED slots that the reaper shall take */
    unsigned long *grace_map;   /* … and those it is waiting for */
    unsigned long *flush_map;   /* RETIRED slots that an invalidate unmaps */
    bool reap_wanted;           /* there is something for the reaper */
    bool reap_again;            /* an unmap failed: later */
    uint32_t calls_awaited;     /* threads that wait for a call to end */
    bool lost_came;             /* slots LOST that the reaper has not looked at */
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

/* The same state in another phase. */
static inline uint64_t mcache_in_phase(uint64_t state, MapCachePhase phase)
{
    return deposit64(state, MCACHE_PHASE_SHIFT, 64 - MCACHE_PHASE_SHIFT,
                     phase);
}

/* The record of @len bytes at @offset, as a state has it. */
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

/* The seconds of a clock that only goes on; never 0, which says: none. */
static inline uint32_t mcache_seconds(void)
{
    return g_get_monotonic_time() / G_USEC_PER_SEC + 1;
}

/* --- xen-mapcache-backend.c: needs no lock ------------------------------ */

/*
 * One call that maps @pages frames at @host, which they replace, or anywhere if
 * it is NULL; counted.  @err has a value for each page, 0 if it is there.  NULL
 * and errno if the call failed: what was at @host may be there still, or there
 * may be a gap in the address space.
 */
void *mcache_map_frames(void *host, const xen_pfn_t *gfn, size_t pages,
                        int *err);

/* The same for @pages frames from @first_gfn on. */
void *mcache_map_range(void *host, uint64_t first_gfn, size_t pages, int *err);

/* Counts a call that maps @pages pages, or one that unmaps. */
void mcache_count_map(size_t pages, bool failed);
void mcache_count_unmap(void);

/* Sets the counts of calls in @stats. */
void mcache_backend_stats(XenMapCacheStats *stats);

/* --- xen-mapcache-calls.c: with the lock ---------------------------------- */

/* A call that maps or unmaps, of a thread that has it on its stack. */
typedef struct MapCacheCall {
    uint32_t gen;           /* the generation that it began in */
    uint64_t bucket;        /* the first that it maps */
    uint64_t n;             /* … and how many; 0: none that others look for */
    bool again;             /* an invalidate overtook the first: made locked */
    QLIST_ENTRY(MapCacheCall) next;
} MapCacheCall;

void mcache_calls_init(void);

/*
 * Notes that the caller is about to let go of the lock and to map the buckets
 * [@bucket, @bucket + @n), or something else if @n is 0, or to unmap.
 */
void mcache_call_begin_locked(MapCacheCall *c, uint64_t bucket, uint64_t n);

/*
 * Lets go of the lock, and takes it back.  Not if @c is made again: a guest may
 * send invalidates so fast that one comes in each call, but none comes while
 * the lock is held.  So nothing is overtaken twice.
 */
void mcache_call_unlock(const MapCacheCall *c);
void mcache_call_lock(const MapCacheCall *c);

/*
 * Has an invalidate begun since?  It waits for the call's end, and what was
 * mapped may show frames that are the guest's no more: it is to be unmapped
 * before.
 */
bool mcache_call_is_old_locked(const MapCacheCall *c);

void mcache_call_end_locked(MapCacheCall *c);

/*
 * Waits until nobody maps any of the buckets [@bucket, @bucket + @n); lets go
 * of the lock meanwhile.  The caller is in no call.
 */
void mcache_calls_wait_locked(uint64_t bucket, uint64_t n);

/* Waits for all calls that began in an older generation; likewise. */
void mcache_calls_wait_old_locked(void);

/* --- xen-mapcache-slots.c: with the lock, unless said otherwise ---------- */

/*
 * The default of the most that is kept mapped, in bytes.  It is less where each
 * mapped page costs a frame of the domain that QEMU runs in: in every domain
 * that is not PV.  @guest_type: what Linux calls that domain, or NULL; @ram:
 * the domain's memory in bytes.  Needs no lock.
 */
uint64_t mcache_default_size(const char *guest_type, uint64_t ram);

/*
 * Reserves the arena and its tables, or ends QEMU with a message.  Called at
 * init, without the lock.
 */
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

/* From FREE to FILLING by a call, back to FREE, and to LOST. */
void mcache_slot_take(uint32_t nr, const MapCacheCall *by);
void mcache_slot_give_back(uint32_t nr);
void mcache_slot_lose(uint32_t nr);

/*
 * After a failed map call: sees to it that the slot's addresses are ours.
 * False if they may not be: then the slot is to be LOST, and the reaper finds
 * out.  Needs no lock.
 */
bool mcache_slot_reserve_again(uint32_t nr);

/*
 * Empties the slots [@nr, @nr + @n), all of them RETIRED and on no map of
 * slots, and frees them.  Lets go of the lock meanwhile.  What cannot be
 * unmapped is left to the reaper.
 */
void mcache_slots_unmap_locked(uint32_t nr, uint32_t n);

/*
 * The same of all slots in @map, which is empty then, @bite of them by one
 * system call at most: while that lasts, nobody else can map.
 */
void mcache_slots_unmap_all_locked(unsigned long *map, uint32_t bite);

/* Leaves a RETIRED slot to the reaper; takes it back, to be unmapped now. */
void mcache_reap_later_locked(uint32_t nr);
void mcache_reap_not_locked(uint32_t nr);

/* Wakes the reaper. */
void mcache_reaper_wake_locked(void);

/*
 * Looks which of the slots that are LOST are ours all the same, and frees
 * these.  Lets go of the lock meanwhile, for that takes long.
 */
void mcache_slots_find_lost(void);

/*
 * True if all of [@host, @host + @size) is mapped to the file @fd, by one
 * mapping or several; false also if the kernel does not say.  To be asked after
 * a map call that failed.  Takes longer the more memory areas there are.  Needs
 * no lock.
 */
bool mcache_range_is_of(const void *host, size_t size, int fd);

/*
 * Reports that something failed, at a limited rate.  @what: a phrase that ends
 * in the name of @addr, such as "mapping guest address"; @addr: a guest
 * address, a grant reference, or HWADDR_MAX for none.  Needs no lock.
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
 * slots if @n > 1, with the page @page of the first one present.  The status
 * is that page's: of the other buckets some may be mapped, or none.
 * XEN_MAP_UNAVAILABLE if there are not as many adjacent slots.  Lets go of the
 * lock meanwhile.
 */
XenMapStatus mcache_fill_locked(uint64_t first, uint32_t n, unsigned page);

/* --- xen-mapcache.c ------------------------------------------------------ */

/* xen_ram_addr_from_mapcache() with the lock. */
ram_addr_t mcache_ram_addr_locked(const void *ptr);

/* --- xen-mapcache-retire.c: with the lock, unless said otherwise -------- */

/*
 * Takes all buckets out of service and unmaps those that nobody can be
 * using.  Called with the lock and the BQL, not in an RCU section, the
 * generation stepped already under the same lock.  Lets go of it when nothing
 * old can be found any more.
 */
void mcache_flush_locked(void);

/*
 * The last lock on a stale slot is gone: unmaps it or leaves it to the
 * reaper.
 */
void mcache_stale_unlocked(uint32_t nr);

/* Takes a DMA lock off each of the slots [@nr, @nr + @n).  Without the lock. */
void mcache_slots_unlock(uint32_t nr, uint32_t n);

/* Retires a LIVE slot that unlocked pointers of this very thread may be in. */
void mcache_retire_later(uint32_t nr);

/*
 * Keeps the spare slots free, ahead of need: whoever comes next is in an RCU
 * section and cannot wait for one to end.  The slots [@keep, @keep + @n) are
 * what the caller is about to use.
 */
void mcache_evict_locked(uint32_t keep, uint32_t n);

/*
 * One of MCACHE_IDLE_ROUNDS rounds in the time that an unused bucket is kept:
 * retires those that were not used in so many on end and that nobody holds.
 * Lets go of the lock now and then.
 */
#define MCACHE_IDLE_ROUNDS  4
void mcache_idle_round_locked(void);

/*
 * A map call failed for lack of memory, which the frames that are mapped may
 * cost too (a stub domain's, a PVH dom0's): retires some that were not used
 * lately, whatever the cap, so that a call that comes after may succeed.
 */
void mcache_evict_for_memory_locked(void);

/* --- xen-mapcache-reaper.c: with the lock ------------------------------- */

/*
 * Starts the thread.  Before the machine runs: no thread may be to be had when
 * it is needed, and a running guest is not to be ended for that.
 */
void mcache_reaper_init(void);

/*
 * Records of DMA mappings take the seconds of mcache_seconds() from
 * mapcache.seconds, which the reaper keeps while there is DMA, for asking the
 * kernel takes longer than all the rest of a mapping; mcache_clock() sets it
 * going if it stands still.
 */
uint32_t mcache_clock(void);

/* --- xen-mapcache-dma.c --------------------------------------------- */

/*
 * What a record of a DMA mapping says beside address and length: flags, the
 * owner's number, and when it was made, in seconds.
 */
#define MCACHE_DMA_WRITE        1   /* the device writes */
#define MCACHE_DMA_HELD         2   /* long-held from the start */
#define MCACHE_DMA_NAMED        4   /* a report has named it */
#define MCACHE_OWNER_SHIFT      8
#define MCACHE_OWNER_BITS       20
#define MCACHE_SECONDS_SHIFT    32

/*
 * A transfer that is older counts as long-held: older than two seconds, for
 * the clock of the records may be one behind.
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

/* True of a transfer that is not yet old enough to count as long-held. */
static inline bool mcache_dma_is_young(uint64_t info, uint32_t now)
{
    return !(info & MCACHE_DMA_HELD) &&
           now - mcache_dma_seconds(info) <= MCACHE_DMA_LONG_SECONDS;
}

/* @count outstanding mappings, alike in all that is known of them. */
typedef struct MapCacheDma {
    ram_addr_t addr;
    uint64_t size;      /* bytes of each */
    uint64_t count;
    uint64_t info;
} MapCacheDma;

/*
 * Calls @func for each outstanding mapping, with the mapcache's lock: @func
 * takes no lock.  What begins or ends meanwhile may or may not be among them.
 */
void mcache_dma_foreach(void (*func)(const MapCacheDma *dma, void *opaque),
                        void *opaque);

/* How many are outstanding: transfers, and what is held for long by nature. */
void mcache_dma_count(uint64_t *transfers, uint64_t *held);

void mcache_dma_init(void);

/*
 * Records a mapping of @size bytes at @host that has no record in a slot.
 * False if there is no memory for it.
 */
bool mcache_dma_add(uint8_t *host, uint64_t size, uint64_t info);

/* Takes one such record out; false if there is none. */
bool mcache_dma_remove(const uint8_t *host, uint64_t size);

/*
 * For a release that names no length that was mapped: takes out the shortest
 * record at @host, if it is shorter than @limit, and returns its size; else 0.
 */
uint64_t mcache_dma_remove_shortest(const uint8_t *host, uint64_t limit);

/* May there be a transfer that is not long-held?  With mapcache.lock. */
bool mcache_dma_any_young_locked(void);

/*
 * Warns of each outstanding DMA mapping, rate-limited; of one that is held
 * once.  With the BQL, without the lock.
 */
void mcache_dma_report(void);

/* --- xen-mapcache-owner.c --------------------------------------------- */

void mcache_owner_init(void);

/*
 * The numbers of those that were asked for last: the address above, the number
 * below.  Atomic.
 */
#define MCACHE_OWNER_CELL_BITS  12

typedef struct MapCacheOwners {
    uint32_t changed;       /* dma_owners_changed as of these */
    uint64_t cell[1u << MCACHE_OWNER_CELL_BITS];
} MapCacheOwners;

extern MapCacheOwners mcache_owners;

/* By what the owner of a mapping through @as is known; NULL: it is not. */
static inline const void *mcache_owner_key(AddressSpace *as)
{
    return dma_owner ? (const void *)dma_owner : as;
}

/* Addresses are multiples of 8, and have 47 bits. */
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
 * The number of a mapping's owner, for the first time; 0, which is nobody's,
 * if there were too many.
 */
uint32_t mcache_owner_find(AddressSpace *as);

/* The same if it is at hand, which takes no lock; 0 if it is not. */
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

/* What a report calls the owner of that number; never freed. */
const char *mcache_owner_name(uint32_t owner);

/* --- xen-mapcache-stats.c --------------------------------------------- */

/*
 * Hits are counted in each thread by itself; a counter that all threads
 * write would be what makes them wait for each other.
 */
typedef struct MapCacheCounts {
    uint64_t hits;              /* but for those counted here: */
    uint64_t dma_hits;          /* DMA mappings made by a hit, */
    uint64_t dma_made;          /* … made otherwise, */
    uint64_t dma_ended;         /* … and ended */
} MapCacheCounts;

typedef struct MapCacheThread {
    MapCacheCounts n;           /* written by its thread alone */
    Notifier exit;
    QLIST_ENTRY(MapCacheThread) next;
} MapCacheThread;

/* NULL before the thread's first use of the cache. */
extern __thread MapCacheThread *mcache_this_thread;

MapCacheThread *mcache_thread_enter(void);

static inline MapCacheThread *mcache_thread(void)
{
    MapCacheThread *t = mcache_this_thread;

    return likely(t) ? t : mcache_thread_enter();
}

/* The release orders an ended mapping after what made it, in any thread. */
static inline void mcache_count(uint64_t *counter)
{
    qatomic_store_release(counter, *counter + 1);
}

/*
 * DMA mappings of transfers.  Outstanding: exact when the threads are quiet,
 * and never too few.  Made: since the start.
 */
uint64_t mcache_dma_outstanding_locked(void);
uint64_t mcache_dma_made_locked(void);

/* Lookups and DMA mappings that were served as they lay. */
uint64_t mcache_hits_locked(void);

/* Counts a miss that began at @start, of get_clock(), and ends now. */
void mcache_miss_ended_locked(int64_t start);

/* --- xen-mapcache-outside.c ----------------------------------------- */

void mcache_outside_init(void);

/* A grant mapping, as xen_map_cache_dma(). */
uint8_t *mcache_grant_map(ram_addr_t addr, ram_addr_t block_offset,
                          hwaddr *plen, bool is_write, XenMapStatus *status);

/*
 * A mapping of exactly the pages of *@plen bytes at @addr, long-held or, where
 * there is no slot for it, of a transfer; @info is what its record says.
 * @first: if there is none, the buckets are asked, so that it need not be one
 * of the last.  NULL and *@status if there is none.
 */
uint8_t *mcache_pages_map(ram_addr_t addr, hwaddr *plen, uint64_t info,
                          bool first, XenMapStatus *status);

/* xen_map_cache_copy(), of what is not in the arena. */
XenMapStatus mcache_pages_copy(ram_addr_t addr, void *buf, hwaddr *plen,
                               bool is_write);

/*
 * Releases what @host is in: a grant and what mcache_pages_map() made are
 * unmapped, device memory stays.  False if it is in nothing.  @dma: it was of
 * a transfer.
 */
bool mcache_outside_release(uint8_t *host, bool *dma);

/*
 * Unmaps @pages foreign pages at @host, which lie outside the arena and which
 * nobody uses.  Without the lock.  What cannot be unmapped now is kept in mind,
 * and mcache_unmap_again_locked(), which an invalidate calls, tries again; it
 * lets go of the lock meanwhile.
 */
void mcache_unmap(void *host, size_t pages);
void mcache_unmap_again_locked(void);

/* The ram_addr_t of @ptr, or RAM_ADDR_INVALID. */
ram_addr_t mcache_outside_ram_addr(const void *ptr);
ram_addr_t mcache_outside_ram_addr_locked(const void *ptr);

/* How many grants are mapped. */
uint64_t mcache_grants_locked(void);

/* --- xen-mapcache-block.c -------------------------------------------- */

/* Adds device memory's counts to @stats.  With the lock. */
void mcache_block_stats_locked(XenMapCacheStats *stats);

/*
 * Tells RAM block notifiers of all device memory that they have not been told
 * of.  In the main loop, with the BQL and not the lock, in no coroutine.
 */
void mcache_block_announce(void);

/* Tells the machine that an incoming state has been loaded.  Likewise. */
void mcache_block_loaded(void);

/* --- xen-mapcache-events.c --------------------------------------------- */

/* With the BQL, before the machine runs. */
void mcache_events_init(void);

/*
 * An invalidate found transfers outstanding; a lookup or a DMA mapping was
 * served by single pages or a copy.  Any thread, without the lock.  The events
 * are sent by the main loop, each at most once a second.
 */
void mcache_event_outstanding(void);
void mcache_event_low(void);

/*
 * What the monitor tells of @m, of which one is as old as another; @now is of
 * mcache_seconds().  The caller's to free.
 */
struct XenMapcacheDma *mcache_dma_describe(const MapCacheDma *m, uint32_t now);

/* --- xen-mapcache-holders.c ------------------------------------------ */

/*
 * xen_map_cache_get_stats() for the monitor and query-stats: who holds what is
 * counted one by one, so that what is held by its bucket counts as held.
 */
void mcache_told_stats(XenMapCacheStats *stats);

/* --- xen-mapcache-announce.c ----------------------------------------- */

/* Has mcache_block_announce() called when it may be.  Any thread. */
void mcache_announce_later(void);

/* --- xen-mapcache-check.c ---------------------------------------------- */

/*
 * Walks the slots, the forward table and the counts.  What does not agree is
 * told on standard error, with the slots, and ends the process.  With the lock.
 */
#ifdef XEN_MAPCACHE_CHECK
void mcache_check_locked(void);
#else
static inline void mcache_check_locked(void)
{
}
#endif

#endif /* HW_XEN_MAPCACHE_INT_H */
