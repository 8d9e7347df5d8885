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
 * xen-mapcache-outside.c  what lies outside the arena: grants, exact pages
 * xen-mapcache-block.c    device memory and its dummies
 * xen-mapcache-announce.c telling RAM block notifiers of device memory
 * xen-mapcache-events.c   QMP events
 * xen-mapcache-holders.c  which device holds what, for the monitor
 * xen-mapcache-monitor.c  the user's options; other commands of the monitor
 * xen-mapcache-provider.c the counters for query-stats
 * xen-mapcache-check.c    checking all of it, in a build for tests
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

/*
 * If there is no slot for a transfer, it is copied if it has at most this many
 * bytes: that is cheaper than a mapping of exact pages.
 */
#define MCACHE_COPY_BYTES       (4 * XC_PAGE_SIZE)

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
    union {
        struct {
            uint32_t gen;   /* generation it was filled in; 0: no hit */
            uint32_t iothread_gen; /* the mark: the last generation in which
                                    * a thread without the BQL used it */
        };
        uint64_t gens;      /* both, for one load */
    };
    uint32_t bucket;        /* ram_addr_t >> MCACHE_BUCKET_SHIFT */
    bool referenced;        /* used since the eviction's clock hand, or a round
                             * for idle buckets, passed */
    uint8_t idle;           /* the reaper's rounds since it was last used;
                             * under the lock */
#ifdef XEN_COMPAT_PHYSMAP
    uint8_t *host;          /* where the kernel put it */
#endif
    DECLARE_BITMAP(valid, MCACHE_BUCKET_PAGES); /* present pages */
    uint64_t info;          /* the rest of the record in @state; while the slot
                             * is FILLING: the call that fills it */
} QEMU_ALIGNED(64) MapCacheSlot;

QEMU_BUILD_BUG_ON(MCACHE_BUCKET_SHIFT > MCACHE_OFFSET_BITS);

/* The slot table is made writable in parts, when slots are first used. */
#define MCACHE_PART_BYTES   65536
#define MCACHE_PART_SLOTS   (MCACHE_PART_BYTES / sizeof(MapCacheSlot))

typedef struct MapCache {
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

    /* Atomic; the generation is changed under the lock. */
    uint32_t gen;
    unsigned long *table_map; /* the writable parts of the slot table */
    uint32_t *root[MCACHE_ROOT_ENTRIES];
    uint64_t unmatched;
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

bool mcache_slot_of(const void *ptr, uint32_t *nr);

/*
 * The first adds the slot's mapping to the tree of the mappings outside the
 * arena (xen-mapcache-outside.c).  The second removes it.  With the lock.
 */
void mcache_slot_enter_locked(uint32_t nr);
void mcache_slot_leave_locked(uint32_t nr);
#endif

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

/* The slot in which @bucket was found, or NULL. */
static __always_inline MapCacheSlot *mcache_find(uint64_t bucket)
{
    uint32_t *fwd = mcache_forward(bucket);
    uint32_t nr = fwd ? qatomic_load_acquire(fwd) : 0;

    return likely(nr) ? &mapcache.slot[nr - 1] : NULL;
}

/* The seconds of a monotonic clock, plus 1: 0 means that no time is known. */
static inline uint32_t mcache_seconds(void)
{
    return g_get_monotonic_time() / G_USEC_PER_SEC + 1;
}

/* --- xen-mapcache-backend.c: needs no lock ------------------------------ */

/*
 * Makes one call that maps @pages frames, and counts it.  @host: the address;
 * the frames replace what is mapped there; NULL: any address.  @err gets a
 * value for each page, 0 if the page is present.  Returns NULL, with errno, if
 * the call failed; then either the memory at @host is still mapped, or there is
 * a gap in the address space.
 */
void *mcache_map_frames(void *host, const xen_pfn_t *gfn, size_t pages,
                        int *err);

/*
 * Does the same for @pages frames from @first_gfn on.  Also returns NULL, with
 * ENOMEM, if there is no memory for the list of the frames; then no call is
 * made.
 */
void *mcache_map_range(void *host, uint64_t first_gfn, size_t pages, int *err);

/* Counts a call that maps @pages pages; counts a call that unmaps. */
void mcache_count_map(size_t pages, bool failed);
void mcache_count_unmap(void);

/* Sets the counts of calls in @stats. */
void mcache_backend_stats(XenMapCacheStats *stats);

/* --- xen-mapcache-calls.c: with the lock ---------------------------------- */

/* A call that maps or unmaps.  The thread that makes it has it on its stack. */
typedef struct MapCacheCall {
    uint32_t gen;           /* the generation in which it began */
    uint64_t bucket;        /* the first bucket that it maps */
    uint64_t n;             /* how many buckets it maps; 0: none */
    bool again;             /* it repeats a call that an invalidate has
                             * overtaken, and is made with the lock */
    QLIST_ENTRY(MapCacheCall) next;
} MapCacheCall;

void mcache_calls_init(void);

/*
 * Puts the call on the list.  The caller then releases the lock and maps the
 * buckets [@bucket, @bucket + @n).  If @n is 0, it maps something else, or
 * unmaps.
 */
void mcache_call_begin_locked(MapCacheCall *c, uint64_t bucket, uint64_t n);

/*
 * Release the lock for the call @c, and take it again.  They do nothing if
 * @c->again: a guest may send invalidates so fast that one comes in each call,
 * but none comes while the lock is held.  So no call is overtaken twice.
 */
void mcache_call_unlock(const MapCacheCall *c);
void mcache_call_lock(const MapCacheCall *c);

/*
 * True if an invalidate has begun since the call began.  What the call mapped
 * may then show frames that the guest has given back.  The caller must unmap it
 * before it ends the call; the invalidate waits for that.
 */
bool mcache_call_is_old_locked(const MapCacheCall *c);

/* Takes the call off the list, and wakes the threads that wait for it. */
void mcache_call_end_locked(MapCacheCall *c);

/*
 * Waits until no call maps any of the buckets [@bucket, @bucket + @n).  The
 * lock is released meanwhile.  The caller must not be in a call itself.
 */
void mcache_calls_wait_locked(uint64_t bucket, uint64_t n);

/* Waits in the same way for all calls that began in an older generation. */
void mcache_calls_wait_old_locked(void);

/* --- xen-mapcache-slots.c: with the lock, unless said otherwise ---------- */

/*
 * The default of the cap, in bytes.  It is less where each mapped page costs a
 * frame of the domain that QEMU runs in: in every domain that is not PV.
 * @guest_type: what Linux calls that domain, or NULL; @ram: the domain's memory
 * in bytes.  Needs no lock.
 */
uint64_t mcache_default_size(const char *guest_type, uint64_t ram);

/*
 * Reserves the arena and its tables, or ends QEMU with a message.  Called at
 * init, without the lock.
 */
void mcache_arena_init(void);

/* Sets the phase of a slot that has no DMA lock, and traces that. */
void mcache_slot_set_phase(MapCacheSlot *s, MapCachePhase phase);

/* Traces that slot @nr, which has @bucket, is in @phase now. */
void mcache_slot_trace(uint32_t nr, uint64_t bucket, MapCachePhase phase);

/*
 * Makes the slot's part of the table writable.  False, with errno, if there is
 * no memory for it.
 */
bool mcache_slot_make_locked(uint32_t nr);

/*
 * Changes the slot's phase: from FREE to FILLING by the call @by, which maps
 * @bucket; back to FREE; from FILLING to LOST.
 */
void mcache_slot_take_locked(uint32_t nr, uint64_t bucket,
                             const MapCacheCall *by);
void mcache_slot_give_back_locked(uint32_t nr);
void mcache_slot_lose_locked(uint32_t nr);

/*
 * Reserves the slot's addresses again after a failed map call.  False if
 * another mapping may be there: then the caller makes the slot LOST, and the
 * reaper finds out whether there is one.  Needs no lock.
 */
bool mcache_slot_reserve_again(uint32_t nr);

/*
 * Unmaps and frees the slots [@nr, @nr + @n).  They are RETIRED, and in none of
 * the bitmaps for the reaper or the invalidate.  The lock is released
 * meanwhile.  Slots that cannot be unmapped are left to the reaper.
 */
void mcache_slots_unmap_locked(uint32_t nr, uint32_t n);

/*
 * Does the same for all slots in @map, and clears @map.  One system call unmaps
 * at most @bite slots: nobody else can map while it lasts.
 */
void mcache_slots_unmap_all_locked(unsigned long *map, uint32_t bite);

/*
 * The first leaves a RETIRED slot to the reaper.  The second takes it back, so
 * that the caller can unmap it.
 */
void mcache_reap_later_locked(uint32_t nr);
void mcache_reap_not_locked(uint32_t nr);

/* Wakes the reaper. */
void mcache_reaper_wake_locked(void);

/*
 * Finds out which of the slots that are LOST still have their addresses, and
 * frees these slots.  That takes long, so the lock is released meanwhile.
 */
void mcache_slots_find_lost_locked(void);

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
 * address, a grant reference, or HWADDR_MAX for none; @pages: how many pages
 * the call was for; @err: a positive errno.  Needs no lock.
 */
void mcache_report_failure(const char *what, hwaddr addr, size_t pages,
                           int err);

/*
 * To be called when an access found no guest RAM at @addr.  For a running guest
 * that is no error.  In a restore all RAM is present before QEMU starts, so it
 * is an error; it is reported, at a limited rate, if the BQL is held.  Called
 * without the lock.
 */
void mcache_report_hole(hwaddr addr);

/* --- xen-mapcache-fill.c: with the lock --------------------------------- */

/*
 * Maps the buckets [@first, @first + @n) as far as they are not mapped; into
 * adjacent slots if @n > 1.  Returns the status of the page @page in the first
 * bucket, or XEN_MAP_UNAVAILABLE if @n adjacent slots cannot be had.  Of the
 * other buckets some, or all, may be left unmapped.  The lock is released
 * meanwhile.
 */
XenMapStatus mcache_fill_locked(uint64_t first, uint32_t n, unsigned page);

/* --- xen-mapcache.c ------------------------------------------------------ */

/* Does what xen_ram_addr_from_mapcache() does; with the lock. */
ram_addr_t mcache_ram_addr_locked(const void *ptr);

/* --- xen-mapcache-retire.c: with the lock, unless said otherwise -------- */

/*
 * Retires all slots, and unmaps those that nobody can be using.  Called with
 * the lock and the BQL, not in an RCU section.  The caller has stepped the
 * generation under the same lock.  The lock is released for the unmapping, when
 * no lookup can find an old mapping any more.
 */
void mcache_flush_locked(void);

/*
 * To be called when the last DMA lock of a STALE slot was released.  Unmaps the
 * slot, or leaves it to the reaper.  Without the lock.
 */
void mcache_stale_unlocked(uint32_t nr);

/* Releases one DMA lock of each slot in [@nr, @nr + @n).  Without the lock. */
void mcache_slots_unlock(uint32_t nr, uint32_t n);

/*
 * Retires a LIVE slot, and leaves it to the reaper, because the calling thread
 * itself may have transient pointers into it.
 */
void mcache_retire_later_locked(uint32_t nr);

/*
 * If more slots are live than the cap allows, retires that many of the slots
 * that were not used lately.  The reaper frees them.  So a spare slot is free
 * when the next thread needs one: that thread is in an RCU section and cannot
 * wait for a grace period.  One call checks a part of the slots only.  The
 * slots [@keep, @keep + @n) are not retired: the caller is about to use them.
 */
void mcache_evict_locked(uint32_t keep, uint32_t n);

/*
 * Makes one round over the slots.  The reaper makes MCACHE_IDLE_ROUNDS rounds
 * in the time for which an unused bucket is kept.  A slot that no DMA holds is
 * retired when it was not used for MCACHE_IDLE_ROUNDS rounds.  The lock is
 * released now and then.
 */
#define MCACHE_IDLE_ROUNDS  4
void mcache_idle_round_locked(void);

/*
 * To be called when a map call failed for lack of memory.  In a stub domain or
 * a PVH dom0, mapped frames cost memory too.  Retires some slots that were not
 * used lately, even below the cap, so that a later call may succeed.
 */
void mcache_evict_for_memory_locked(void);

/* --- xen-mapcache-reaper.c: without the lock ---------------------------- */

/*
 * Starts the thread, before the machine runs.  Later it might be impossible to
 * create a thread, and that must not end a running guest.
 */
void mcache_reaper_init(void);

/*
 * The time for the record of a DMA mapping: a result of mcache_seconds() that
 * is at most about a second old.  It comes from mapcache.seconds, which the
 * reaper updates while there is DMA: to ask the kernel would take longer than
 * all else that makes a DMA mapping.  If nobody updates it, this makes the
 * reaper do so.
 */
uint32_t mcache_clock(void);

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
 * may share one call.  @func is called with the mapcache's lock and a lock of
 * the registry, and must take no lock.  Mappings that begin or end meanwhile
 * may be left out.  Without the lock.
 */
void mcache_dma_foreach(void (*func)(const MapCacheDma *dma, void *opaque),
                        void *opaque);

/*
 * Counts the outstanding mappings: transfers, and held mappings.  Without the
 * lock.
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

/* The upper bits of a cell.  Addresses are multiples of 8, and have 47 bits. */
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

/* --- xen-mapcache-stats.c --------------------------------------------- */

/*
 * Each thread counts its own hits.  If all threads wrote one counter, they
 * would wait for each other.
 */
typedef struct MapCacheCounts {
    uint64_t hits;              /* hits, without those of @dma_hits */
    uint64_t dma_hits;          /* DMA mappings made by xen_map_cache_dma()'s
                                 * common case */
    uint64_t dma_made;          /* DMA mappings made otherwise */
    uint64_t dma_ended;         /* DMA mappings that have ended */
} MapCacheCounts;

typedef struct MapCacheThread {
    MapCacheCounts n;           /* written by its thread alone */
    Notifier exit;
    QLIST_ENTRY(MapCacheThread) next;
} MapCacheThread;

/* NULL before the thread's first use of the cache. */
extern __thread MapCacheThread *mcache_this_thread;

/*
 * Returns the counters of this thread, which last until the thread ends.  The
 * first makes them, at a thread's first use of the cache; it takes the lock, so
 * both are called without it.
 */
MapCacheThread *mcache_thread_enter(void);

static inline MapCacheThread *mcache_thread(void)
{
    MapCacheThread *t = mcache_this_thread;

    return likely(t) ? t : mcache_thread_enter();
}

/*
 * Increments a counter of this thread.  A thread that sees the end of a mapping
 * counted must also see its beginning counted.  So this is a store-release; it
 * pairs with the loads in xen-mapcache-stats.c.
 */
static inline void mcache_count(uint64_t *counter)
{
    qatomic_store_release(counter, *counter + 1);
}

/*
 * Both are about the DMA mappings that MapCacheCounts counts.  The first
 * returns how many are outstanding.  The number is exact if none begins or ends
 * meanwhile; otherwise it may be too large, but not too small.  The second
 * returns how many were made since the start.
 */
uint64_t mcache_dma_outstanding_locked(void);
uint64_t mcache_dma_made_locked(void);

/* The number of hits since the start. */
uint64_t mcache_hits_locked(void);

/* Counts a miss that ends now.  It began when get_clock() returned @start. */
void mcache_miss_ended_locked(int64_t start);

/* --- xen-mapcache-outside.c: without the lock, unless said otherwise ---- */

void mcache_outside_init(void);

/*
 * Maps grants.  Arguments and result are those of xen_map_cache_dma(), but
 * @status must not be NULL, and *@plen is not changed if nothing is mapped.
 */
uint8_t *mcache_grant_map(ram_addr_t addr, ram_addr_t block_offset,
                          hwaddr *plen, bool is_write, XenMapStatus *status);

/*
 * Maps exactly the pages of *@plen bytes at @addr: for a held mapping, or for a
 * transfer that has no slot.  @info goes into its record.  The number of such
 * mappings is limited.  @first: true if the caller locks buckets instead when
 * this fails.  The limit for held mappings is then much lower (1024 and not
 * 16,384), which leaves the rest to callers without that choice.  Returns NULL,
 * and sets *@status, if nothing was mapped.
 */
uint8_t *mcache_pages_map(ram_addr_t addr, hwaddr *plen, uint64_t info,
                          bool first, XenMapStatus *status);

/* xen_map_cache_copy() of memory that is not mapped in the arena. */
XenMapStatus mcache_pages_copy(ram_addr_t addr, void *buf, hwaddr *plen,
                               bool is_write);

/*
 * Releases a mapping.  A grant, or a mapping by mcache_pages_map(), is unmapped
 * if @host is the address that was handed out.  Device memory stays; @host may
 * be anywhere in it.  False if @host is none of these.  *@dma: true if the
 * mapping was a transfer's.
 */
bool mcache_outside_release(uint8_t *host, bool *dma);

/*
 * The first unmaps @pages pages at @host, outside the arena, that nobody uses.
 * It is called without the lock, because it takes the lock if the pages cannot
 * be unmapped: then it notes them.  The second, which an invalidate calls,
 * unmaps the noted pages; it releases the lock meanwhile.
 */
void mcache_unmap(void *host, size_t pages);
void mcache_unmap_again_locked(void);

/* The ram_addr_t of @ptr, or RAM_ADDR_INVALID. */
ram_addr_t mcache_outside_ram_addr(const void *ptr);
ram_addr_t mcache_outside_ram_addr_locked(const void *ptr);

/*
 * The number of grant mappings that exist; the bytes that mcache_pages_map()
 * has mapped and that are mapped still.
 */
uint64_t mcache_grants_locked(void);
uint64_t mcache_exact_bytes_locked(void);

/* --- xen-mapcache-block.c -------------------------------------------- */

/* Adds device memory's counts to @stats.  With the lock. */
void mcache_block_stats_locked(XenMapCacheStats *stats);

/*
 * Tells RAM block notifiers of all device memory of which they have not been
 * told.  Called in the main loop, in no coroutine, with the BQL, without the
 * lock.
 */
void mcache_block_announce(void);

/* Tells the machine that an incoming state was loaded.  Called likewise. */
void mcache_block_loaded(void);

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

/* --- xen-mapcache-announce.c ----------------------------------------- */

/* Calls mcache_block_announce() later, when that is allowed.  Any thread. */
void mcache_announce_later(void);

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
