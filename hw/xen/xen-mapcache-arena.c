/*
 * Xen mapcache: the arena and its slots
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Every change of what is mapped in the arena is made here, and every one
 * under mapcache.lock.  The kernel's view of a slot is one of two: a PROT_NONE
 * mapping of a file of our own, or one whole foreign mapping.  Neither mapping nor
 * unmapping ever leaves the addresses free for another thread's mmap(),
 * but for a failing map call: libxenforeignmemory unmaps its target then, and
 * slot_reserve_again() closes the gap or gives the slot up.
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/memfd.h"
#include "qemu/rcu.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "qapi/error.h"

#include <sys/resource.h>

#include "hw/xen/xen_native.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "trace.h"

#ifndef ARENA_CAP_DEFAULT /* tests shrink it, to make collisions common */
#define ARENA_CAP_DEFAULT       (32 * GiB)
#endif
#define ARENA_MIN_SLOTS         32
/* Left to the rest of QEMU when address space or areas are limited. */
#define ARENA_KEEP_BYTES        (1 * GiB)
#define ARENA_KEEP_AREAS        4096
/* Slots beyond the cap, so that a fill need not wait for a grace period. */
#define ARENA_SPARE_MAX         256
/* One bite of the reaper: what one unmap may hold the mmap lock for. */
#define REAPER_BITE_SLOTS       64
/* The clock goes round twice before the spare slots can be used up. */
#define EVICT_SCAN              DIV_ROUND_UP(2 * mapcache.nr_slots, \
                                             mapcache.nr_slots - \
                                             mapcache.max_slots)
/* How long to wait before an unmap that failed is tried again. */
#define REAP_AGAIN_MS           100


static uint64_t max_map_count(void)
{
    g_autofree char *text = NULL;
    uint64_t n;

    if (!g_file_get_contents("/proc/sys/vm/max_map_count", &text, NULL,
                             NULL) ||
        qemu_strtou64(g_strstrip(text), NULL, 10, &n) < 0) {
        return 65530; /* Linux's default */
    }
    return n;
}

/* How many slots the limits of this process allow. */
static uint32_t slots_allowed(void)
{
    uint64_t wanted = (mapcache.size ? mapcache.size : ARENA_CAP_DEFAULT) >>
                      MCACHE_BUCKET_SHIFT;
    uint64_t n = wanted;
    uint64_t areas = max_map_count();
    struct rlimit as;

    /* A slot between two that are empty costs itself and one of those. */
    areas = areas > 2 * ARENA_KEEP_AREAS ? areas - ARENA_KEEP_AREAS
                                         : areas / 2;
    n = MIN(n, areas / 2);

    if (getrlimit(RLIMIT_AS, &as) == 0 && as.rlim_cur != RLIM_INFINITY) {
        uint64_t bytes = as.rlim_cur;

        bytes = bytes > 2 * ARENA_KEEP_BYTES ? bytes - ARENA_KEEP_BYTES
                                             : bytes / 2;
        n = MIN(n, bytes >> MCACHE_BUCKET_SHIFT);
    }
    n = MAX(n, ARENA_MIN_SLOTS);
    if (mapcache.size && n < wanted) {
        warn_report("xen mapcache: limits leave room for %" PRIu64 " MiB of "
                    "guest memory instead of the %" PRIu64 " MiB of "
                    "mapcache-size. Raise vm.max_map_count to %" PRIu64
                    ", and the limit on address space (ulimit -v).",
                    n << MCACHE_BUCKET_SHIFT >> 20,
                    wanted << MCACHE_BUCKET_SHIFT >> 20,
                    2 * wanted + ARENA_KEEP_AREAS);
    }
    return n;
}

/* Reserves addresses for @n slots, or for fewer; returns for how many. */
static uint32_t arena_reserve(uint32_t n)
{
#ifndef XEN_COMPAT_PHYSMAP
    Error *err = NULL;
    void *p;

    /*
     * A file of no size holds the place: of an address it can be told
     * whether it is still ours.
     */
    mapcache.memfd = qemu_memfd_create("xen-mapcache", 0, false, 0, 0, &err);
    if (mapcache.memfd < 0) {
        error_reportf_err(err, "xen mapcache: no place for guest memory: ");
        exit(EXIT_FAILURE);
    }
    for (;; n /= 2) {
        p = mmap(NULL, (size_t)n << MCACHE_BUCKET_SHIFT, PROT_NONE,
                 MAP_SHARED | MAP_NORESERVE, mapcache.memfd, 0);
        if (p != MAP_FAILED) {
            break;
        }
        if (n / 2 < ARENA_MIN_SLOTS) {
            error_report("xen mapcache: cannot reserve %u MiB of address "
                         "space for guest memory: %s. Raise the limit on "
                         "address space (ulimit -v).", n, strerror(errno));
            exit(EXIT_FAILURE);
        }
    }
    mapcache.arena = p;
#endif
    return n;
}

void mcache_arena_init(void)
{
    uint32_t n = arena_reserve(slots_allowed());
    size_t table;
    void *p;

    mapcache.nr_slots = n;
    mapcache.max_slots = n - MIN(n / 8, ARENA_SPARE_MAX);
    mapcache.stats.buckets_max = mapcache.max_slots;

    /* Parts of the table come into being as slots are used. */
    QEMU_BUILD_BUG_ON(MCACHE_PART_BYTES % sizeof(MapCacheSlot));
    table = ROUND_UP(n * sizeof(MapCacheSlot), MCACHE_PART_BYTES);
    p = mmap(NULL, table, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        error_report("xen mapcache: cannot reserve %zu bytes for its slots: "
                     "%s", table, strerror(errno));
        exit(EXIT_FAILURE);
    }
    mapcache.slot = p;
    mapcache.table_map = bitmap_new(DIV_ROUND_UP(n, MCACHE_PART_SLOTS));
    mapcache.used_map = bitmap_new(n);
    mapcache.reap_map = bitmap_new(n);
    mapcache.grace_map = bitmap_new(n);
    qemu_cond_init(&mapcache.reap_cond);
    trace_xen_map_cache_init(n, table);
}

void mcache_report_failure(const char *what, hwaddr addr, size_t pages,
                           int err)
{
    static int64_t last;
    int64_t now = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
    int64_t before = qatomic_read(&last);

    trace_xen_map_cache_failure(what, addr, pages, err);
    if (before && now - before < 1000) {
        return;
    }
    if (qatomic_cmpxchg(&last, before, now ? now : 1) == before) {
        warn_report("xen mapcache: %s failed: 0x%" HWADDR_PRIx ", %zu pages: "
                    "%s", what, addr, pages, strerror(err));
    }
}

/* --- slots ----------------------------------------------------------- */

static void slot_set_state(MapCacheSlot *s, MapCachePhase phase)
{
    qatomic_set(&s->state, MCACHE_STATE(phase, 0));
}

/*
 * The slot's part of the table, which is inaccessible until it is first used.
 * False if there is no memory for it.
 */
static bool slot_exists(uint32_t nr)
{
    uint32_t part = nr / MCACHE_PART_SLOTS;

    if (mcache_slot_known(nr)) {
        return true;
    }
    if (mprotect(&mapcache.slot[part * MCACHE_PART_SLOTS], MCACHE_PART_BYTES,
                 PROT_READ | PROT_WRITE)) {
        return false;
    }
    set_bit_atomic(part, mapcache.table_map);
    return true;
}

static void slot_take(uint32_t nr)
{
    assert(mcache_phase(qatomic_read(&mapcache.slot[nr].state)) ==
           MCACHE_FREE);
    slot_set_state(&mapcache.slot[nr], MCACHE_FILLING);
    set_bit(nr, mapcache.used_map);
    mapcache.nr_used++;
}

static void slot_give_back(uint32_t nr)
{
    MapCacheSlot *s = &mapcache.slot[nr];

    qatomic_set(&s->gen, 0);
    slot_set_state(s, MCACHE_FREE);
    clear_bit(nr, mapcache.used_map);
    mapcache.nr_used--;
}

static void slot_lose(uint32_t nr)
{
    mcache_report_failure("keeping the addresses of a slot", 0,
                          MCACHE_BUCKET_PAGES, EEXIST);
    slot_set_state(&mapcache.slot[nr], MCACHE_LOST);
}

static void slot_reap_later(uint32_t nr);

/* It stays RETIRED, with the guest's frames in it, and is tried again. */
static void slot_unmap_failed(uint32_t nr, int err)
{
    mcache_report_failure("unmapping", (hwaddr)mapcache.slot[nr].bucket <<
                          MCACHE_BUCKET_SHIFT, MCACHE_BUCKET_PAGES, err);
    mapcache.nr_pending++;
    mapcache.reap_again = true;
    slot_reap_later(nr);
}

/* Is [@host, @host + @size) one mapping of the file @fd, or several? */
bool mcache_range_is_of(const void *host, size_t size, int fd)
{
    uintptr_t at = (uintptr_t)host, end = at + size;
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned long long inode;
    uintptr_t first, last;
    char line[512];
    struct stat st;

    if (!maps) {
        return false;
    }
    if (fstat(fd, &st) == 0) {
        while (at < end && fgets(line, sizeof(line), maps)) {
            if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %*s %*s %llu",
                       &first, &last, &inode) == 3 &&
                first <= at && at < last && inode == st.st_ino) {
                at = last;
            }
        }
    }
    fclose(maps);
    return at >= end;
}

#ifdef XEN_COMPAT_PHYSMAP
static bool slot_reserve_again(uint32_t nr)
{
    return true; /* there was nothing to lose */
}

static void slots_unmap(uint32_t nr, uint32_t n)
{
    for (; n; n--, nr++) {
        int err;

        if (!test_bit(nr, mapcache.used_map)) {
            continue;
        }
        err = munmap(mcache_slot_host(nr), MCACHE_BUCKET_SIZE) ? errno : 0;
        mapcache.stats.unmap_calls++;
        trace_xen_map_cache_unmap(nr, 1, err);
        if (err) {
            slot_unmap_failed(nr, err);
        } else {
            mcache_slot_leave_locked(nr);
            slot_give_back(nr);
        }
    }
}
#else
static void *slots_placeholder(uint32_t nr, uint32_t n, int how)
{
    return mmap(mcache_slot_host(nr), (size_t)n << MCACHE_BUCKET_SHIFT,
                PROT_NONE, MAP_SHARED | MAP_NORESERVE | how, mapcache.memfd,
                (off_t)nr << MCACHE_BUCKET_SHIFT);
}

/*
 * After a failed map call the slot's addresses may be free for the taking, or
 * as they were: that depends on where it failed.
 */
static bool slot_reserve_again(uint32_t nr)
{
    void *host = mcache_slot_host(nr);
    void *p = slots_placeholder(nr, 1, MAP_FIXED_NOREPLACE);

    if (p == host) {
        return true;
    }
    if (p != MAP_FAILED) {
        /* A kernel that does not know the flag put it elsewhere. */
        munmap(p, MCACHE_BUCKET_SIZE);
    }
    return mcache_range_is_of(host, MCACHE_BUCKET_SIZE, mapcache.memfd);
}

/*
 * Empties the slots [@nr, @nr + @n), all of them ours to empty, by one system
 * call, or one by one if that is refused.
 */
static void slots_unmap(uint32_t nr, uint32_t n)
{
    void *p = slots_placeholder(nr, n, MAP_FIXED);

    mapcache.stats.unmap_calls++;
    trace_xen_map_cache_unmap(nr, n, p == MAP_FAILED ? errno : 0);
    if (p != MAP_FAILED) {
        for (; n; n--, nr++) {
            if (test_bit(nr, mapcache.used_map)) {
                slot_give_back(nr);
            }
        }
    } else if (n > 1) {
        for (; n; n--, nr++) {
            if (test_bit(nr, mapcache.used_map)) {
                slots_unmap(nr, 1);
            }
        }
    } else {
        slot_unmap_failed(nr, errno);
    }
}
#endif

/* --- the forward table ------------------------------------------------ */

/* The forward cell of @bucket, made if need be; NULL if it cannot be. */
static uint32_t *mcache_forward_get(uint64_t bucket)
{
    uint64_t root = bucket >> MCACHE_LEAF_SHIFT;

    if (root < MCACHE_ROOT_ENTRIES && !mapcache.root[root]) {
        uint32_t *leaf = g_try_new0(uint32_t, MCACHE_LEAF_BUCKETS);

        /* Pairs with the acquire in mcache_forward(). */
        qatomic_store_release(&mapcache.root[root], leaf);
    }
    return mcache_forward(bucket);
}

/* Nobody finds the slot any more. */
static void slot_unpublish(uint32_t nr)
{
    uint32_t *fwd = mcache_forward(mapcache.slot[nr].bucket);

    if (fwd && *fwd == nr + 1) {
        qatomic_set(fwd, 0);
    }
}

/* --- retiring --------------------------------------------------------- */

/*
 * Unmaps what has been through a grace period, in bites: each lets those in
 * who wait for the lock, or for the kernel's mmap lock.
 */
static void reap_locked(void)
{
    unsigned long n = mapcache.nr_slots, nr = 0, end;

    for (;;) {
        nr = find_next_bit(mapcache.grace_map, n, nr);
        if (nr == n) {
            return;
        }
        end = find_next_zero_bit(mapcache.grace_map, n, nr);
        end = MIN(end, nr + REAPER_BITE_SLOTS);
        bitmap_clear(mapcache.grace_map, nr, end - nr);
        mapcache.nr_pending -= end - nr;
        slots_unmap(nr, end - nr);
        nr = end;
        qemu_mutex_unlock(&mapcache.lock);
        qemu_mutex_lock(&mapcache.lock);
    }
}

static void *reaper_thread(void *opaque)
{
    qemu_mutex_lock(&mapcache.lock);
    for (;;) {
        unsigned long *map;

        while (!mapcache.reap_wanted) {
            qemu_cond_wait(&mapcache.reap_cond, &mapcache.lock);
        }
        mapcache.reap_wanted = false;
        mcache_pages_grace_locked();
        map = mapcache.reap_map;
        mapcache.reap_map = mapcache.grace_map; /* empty */
        mapcache.grace_map = map;
        qemu_mutex_unlock(&mapcache.lock);

        /* Whoever could have found one of them is out of its section now. */
        synchronize_rcu();

        qemu_mutex_lock(&mapcache.lock);
        mcache_pages_reap_locked();
        reap_locked();
        if (mapcache.reap_again) {
            mapcache.reap_again = false;
            qemu_mutex_unlock(&mapcache.lock);
            g_usleep(REAP_AGAIN_MS * 1000);
            qemu_mutex_lock(&mapcache.lock);
        }
    }
    return NULL;
}

void mcache_reaper_wake_locked(void)
{
    mapcache.reap_wanted = true;
    if (!mapcache.reaper_running) {
        QemuThread thread;

        mapcache.reaper_running = true;
        qemu_thread_create(&thread, "xen-mapcache", reaper_thread, NULL,
                           QEMU_THREAD_DETACHED);
    }
    qemu_cond_signal(&mapcache.reap_cond);
}

/* Leaves a RETIRED slot to the reaper. */
static void slot_reap_later(uint32_t nr)
{
    set_bit(nr, mapcache.reap_map);
    mcache_reaper_wake_locked();
}

/* Takes a RETIRED slot back from the reaper: it goes now. */
static void slot_reap_not(uint32_t nr)
{
    clear_bit(nr, mapcache.reap_map);
    clear_bit(nr, mapcache.grace_map);
}

/*
 * Takes a LIVE slot out of service.  True if nobody holds it: it is RETIRED
 * and the caller's to unmap or to leave to the reaper.  False if DMA holds
 * it: it is STALE, and the last release sees to it.
 */
static bool slot_retire(uint32_t nr)
{
    MapCacheSlot *s = &mapcache.slot[nr];
    uint64_t old = qatomic_read(&s->state), seen;
    bool held;

    slot_unpublish(nr);
    mapcache.nr_pending++;
    for (;; old = seen) {
        assert(mcache_phase(old) == MCACHE_LIVE);
        held = mcache_locks(old) != 0;
        /*
         * A full barrier: a lock that succeeded before it is seen here, one
         * that comes after it fails for the phase.
         */
        seen = qatomic_cmpxchg(&s->state, old,
                               MCACHE_STATE(held ? MCACHE_STALE
                                                 : MCACHE_RETIRED,
                                            mcache_locks(old)));
        if (seen == old) {
            return !held;
        }
    }
}

/* Retires a slot that unlocked pointers of this very thread may be in. */
static void slot_retire_later(uint32_t nr)
{
    if (slot_retire(nr)) {
        slot_reap_later(nr);
    }
}

/*
 * Whether the slot can be unmapped at an invalidate without waiting for
 * anybody.  Read after the barriers of the generation step and of
 * slot_retire(); pairs with the one in mcache_touch().
 */
static bool slot_is_quiet(MapCacheSlot *s)
{
    /*
     * A newer mark may hide one of its own generation: of a thread that
     * found the slot just before it was unpublished, and did not use it.
     */
    return (int32_t)(qatomic_read(&s->iothread_gen) - s->gen) < 0;
}

void mcache_stale_unlocked(uint32_t nr)
{
    MapCacheSlot *s = &mapcache.slot[nr];
    uint64_t stale = MCACHE_STATE(MCACHE_STALE, 0);

    qemu_mutex_lock(&mapcache.lock);
    if (qatomic_cmpxchg(&s->state, stale,
                        MCACHE_STATE(MCACHE_RETIRED, 0)) == stale) {
        /*
         * A slot goes stale by an invalidate or by being replaced within
         * its generation.  After an invalidate, pointers that a BQL holder
         * got before it are dead; so with the BQL, and if no other thread
         * ever used the slot, there is nobody to wait for.
         */
        if (bql_locked() && s->gen != qatomic_read(&mapcache.gen) &&
            slot_is_quiet(s)) {
            mapcache.nr_pending--;
            slots_unmap(nr, 1);
        } else {
            slot_reap_later(nr);
        }
    }
    qemu_mutex_unlock(&mapcache.lock);
}

void mcache_flush_locked(void)
{
    unsigned long n = mapcache.nr_slots;
    unsigned long nr, start = n, end = 0;

    mcache_pages_flush_locked();
    /*
     * Slots that go at once are gathered into one range as long as all that
     * lies between is either empty or going too: PROT_NONE over PROT_NONE
     * costs nothing.
     */
    for (nr = find_first_bit(mapcache.used_map, n); nr < n;
         nr = find_next_bit(mapcache.used_map, n, nr + 1)) {
        MapCacheSlot *s = &mapcache.slot[nr];
        MapCachePhase phase = mcache_phase(qatomic_read(&s->state));
        bool now = false;

        if (phase == MCACHE_LIVE && slot_retire(nr)) {
            now = slot_is_quiet(s);
            if (!now) {
                slot_reap_later(nr);
            }
        } else if (phase == MCACHE_RETIRED && slot_is_quiet(s)) {
            /* Retired before; what kept it then was this very thread. */
            slot_reap_not(nr);
            now = true;
        }
        if (now) {
            mapcache.nr_pending--;
            start = MIN(start, nr);
            end = nr + 1;
        } else if (start < n) {
            slots_unmap(start, end - start);
            start = n;
        }
    }
    if (start < n) {
        slots_unmap(start, end - start);
    }
}

/* --- filling ---------------------------------------------------------- */

static bool slots_free(uint64_t nr, uint32_t n)
{
    return nr + n <= mapcache.nr_slots &&
           (n == 1 || xen_foreign_map_has_fixed()) &&
           find_next_bit(mapcache.used_map, nr + n, nr) == nr + n;
}

/*
 * Keeps the spare slots free, ahead of need: whoever comes next is in an RCU
 * section and cannot wait for one to end.  The slots [@keep, @keep + @n) are
 * what the caller is about to use.
 */
static void mcache_evict_locked(uint32_t keep, uint32_t n)
{
    uint32_t scanned;

    for (scanned = 0; scanned < EVICT_SCAN &&
         mapcache.nr_used - mapcache.nr_pending > mapcache.max_slots;
         scanned++) {
        uint32_t nr = mapcache.hand;
        MapCacheSlot *s = &mapcache.slot[nr];
        uint64_t state;

        mapcache.hand = (nr + 1) % mapcache.nr_slots;
        if (!test_bit(nr, mapcache.used_map) || nr - keep < n) {
            continue;
        }
        state = qatomic_read(&s->state);
        if (mcache_phase(state) != MCACHE_LIVE || mcache_locks(state)) {
            continue;
        }
        if (qatomic_read(&s->referenced)) {
            qatomic_set(&s->referenced, false);
            continue;
        }
        trace_xen_map_cache_evict(s->bucket);
        slot_retire_later(nr);
    }
}

/*
 * A run of @n free slots for buckets from @bucket on: where the bucket number
 * says, so that neighbours in the guest are neighbours here, or anywhere.
 * Returns nr_slots if there is none.
 */
static uint32_t slots_find(uint64_t bucket, uint32_t n)
{
    uint32_t nr = bucket % mapcache.nr_slots;

    if (slots_free(nr, n)) {
        return nr;
    }
    if (n > 1 && !xen_foreign_map_has_fixed()) {
        return mapcache.nr_slots;
    }
    nr = bitmap_find_next_zero_area(mapcache.used_map, mapcache.nr_slots, 0,
                                    n, 0);
    return MIN(nr, mapcache.nr_slots);
}

void *mcache_map_call_locked(void *host, uint64_t first_gfn, size_t pages,
                             int *err)
{
    g_autofree xen_pfn_t *gfn = g_try_new(xen_pfn_t, pages);
    void *p;
    size_t i;

    if (!gfn) {
        errno = ENOMEM;
        return NULL;
    }
    for (i = 0; i < pages; i++) {
        gfn[i] = first_gfn + i;
    }
    p = xen_foreign_map(xen_fmem, xen_domid, host, PROT_READ | PROT_WRITE,
                        host ? MAP_FIXED : 0, pages, gfn, err);
    mapcache.stats.map_calls++;
    mapcache.stats.map_pages += pages;
    trace_xen_remap_bucket(first_gfn << XC_PAGE_SHIFT, pages, p);
    if (!p) {
        mapcache.stats.map_failures++;
    }
    return p;
}

/*
 * Maps @bucket into the slot, which is FREE, and leaves it FILLING.  False if
 * the call failed; the slot is FREE again then, or LOST.
 */
static bool slot_fill(uint32_t nr, uint64_t bucket)
{
    MapCacheSlot *s = &mapcache.slot[nr];
    void *host = NULL;
    int err[MCACHE_BUCKET_PAGES];
    unsigned i;
    int saved_errno;

    if (!slot_exists(nr)) {
        mcache_report_failure("making a slot", bucket << MCACHE_BUCKET_SHIFT,
                              MCACHE_BUCKET_PAGES, errno);
        return false;
    }
    slot_take(nr);
    if (xen_foreign_map_has_fixed()) {
        host = mcache_slot_host(nr);
    }
    host = mcache_map_call_locked(host, bucket * MCACHE_BUCKET_PAGES,
                                  MCACHE_BUCKET_PAGES, err);
    if (!host) {
        saved_errno = errno;
        if (slot_reserve_again(nr)) {
            slot_give_back(nr);
        } else {
            slot_lose(nr);
        }
        mcache_report_failure("mapping", bucket << MCACHE_BUCKET_SHIFT,
                              MCACHE_BUCKET_PAGES, saved_errno);
        return false;
    }
    qatomic_set(&s->bucket, bucket); /* a report may read it meanwhile */
    qatomic_set(&s->referenced, true); /* a late reader may look at it */
    mcache_mark_unused(s, qatomic_read(&mapcache.gen));
#ifdef XEN_COMPAT_PHYSMAP
    s->host = host;
    mcache_slot_enter_locked(nr);
#endif
    bitmap_zero(s->valid, MCACHE_BUCKET_PAGES);
    for (i = 0; i < MCACHE_BUCKET_PAGES; i++) {
        if (!err[i]) {
            set_bit(i, s->valid);
        }
    }
    return true;
}

/* Makes a FILLING slot LIVE and the one that lookups find. */
static void slot_publish(uint32_t nr)
{
    MapCacheSlot *s = &mapcache.slot[nr];
    uint32_t *fwd = mcache_forward(s->bucket);
    uint32_t old = *fwd;

    slot_set_state(s, MCACHE_LIVE);
    /* Pairs with the acquire in mcache_find(). */
    qatomic_store_release(&s->gen, qatomic_read(&mapcache.gen));
    qatomic_store_release(fwd, nr + 1);
    if (old) {
        slot_retire_later(old - 1);
    }
}

/* Is the page there now?  Asked of Xen, at the price of a single page. */
static bool page_present(uint64_t gfn)
{
    int err = 0;
    void *p = mcache_map_call_locked(NULL, gfn, 1, &err);

    if (!p) {
        mcache_report_failure("mapping", gfn << XC_PAGE_SHIFT, 1, errno);
        return false;
    }
    mcache_unmap_locked(p, 1);
    return err == 0;
}

/*
 * Whether a slot starting a run at @nr can serve bucket @bucket without a
 * map call: published for it.
 */
static bool slot_serves(uint32_t nr, uint64_t bucket)
{
    uint32_t *fwd = mcache_forward(bucket);

    return nr < mapcache.nr_slots && fwd && *fwd == nr + 1;
}

/*
 * Where the run of buckets [@first, @first + *@n) goes: around what is mapped
 * already if the slots behind it are free or serve it, else to fresh slots,
 * else cut to one bucket.  @fresh: what is mapped will not do.  Returns
 * nr_slots if there is no room.
 */
static uint32_t run_place(uint64_t first, uint32_t *n, uint32_t now,
                          bool fresh)
{
    uint32_t nr = now ? now - 1 : first % mapcache.nr_slots;
    uint32_t i = 0;

    if (!fresh) {
        while (i < *n && (slot_serves(nr + i, first + i) ||
                          slots_free(nr + i, 1))) {
            i++;
        }
    }
    if (i == *n) {
        return nr;
    }
    nr = slots_find(first, *n);
    if (nr == mapcache.nr_slots && *n > 1) {
        *n = 1;
        nr = now && !fresh ? now - 1 : slots_find(first, 1);
    }
    return nr;
}

int mcache_fill_locked(uint64_t first, uint32_t n, unsigned page)
{
    uint32_t *fwd = mcache_forward_get(first);
    uint32_t nr, i;
    bool fresh;

    if (!fwd) {
        return -1;
    }

    /* A published slot without the page: a hole, unless it came since. */
    fresh = *fwd && !test_bit(page, mapcache.slot[*fwd - 1].valid);
    if (fresh && !page_present(first * MCACHE_BUCKET_PAGES + page)) {
        return 0;
    }

    n = MIN(n, mapcache.max_slots / 2);
    nr = run_place(first, &n, *fwd, fresh);
    if (nr == mapcache.nr_slots) {
        mapcache.stats.no_room++;
        mcache_report_failure("finding a slot", first << MCACHE_BUCKET_SHIFT,
                              MCACHE_BUCKET_PAGES, ENOMEM);
        mcache_evict_locked(nr, 0);
        return -1;
    }

    for (i = 0; i < n; i++) {
        if (slot_serves(nr + i, first + i)) {
            continue;
        }
        if (!mcache_forward_get(first + i) ||
            !slot_fill(nr + i, first + i)) {
            break;
        }
        slot_publish(nr + i);
    }
    mcache_evict_locked(nr, i);
    if (!*fwd) {
        return -1;
    }
    if (!test_bit(page, mapcache.slot[*fwd - 1].valid)) {
        /* A hole; or it would be there if its bucket had been mapped anew. */
        return fresh ? -1 : 0;
    }
    /* What was there before still serves if a fresh run could not be made. */
    return MAX(i, 1);
}

/* --- checking --------------------------------------------------------- */

void mcache_check_locked(void)
{
#ifdef XEN_MAPCACHE_CHECK
    uint32_t nr, used = 0, pending = 0, queued = 0, published = 0;
    size_t root;
    uint32_t i;

    for (nr = 0; nr < mapcache.nr_slots; nr++) {
        MapCacheSlot *s = &mapcache.slot[nr];
        MapCachePhase phase;
        uint64_t state;
        uint32_t *fwd;

        if (!mcache_slot_known(nr)) {
            assert(!test_bit(nr, mapcache.used_map));
            continue;
        }
        state = qatomic_read(&s->state);
        phase = mcache_phase(state);
        assert(test_bit(nr, mapcache.used_map) == (phase != MCACHE_FREE));
        used += phase != MCACHE_FREE;
        pending += phase == MCACHE_STALE || phase == MCACHE_RETIRED;
        assert(phase == MCACHE_LIVE || phase == MCACHE_STALE ||
               mcache_locks(state) == 0);
        fwd = mcache_forward(s->bucket);
        if (phase == MCACHE_LIVE) {
            assert(fwd && *fwd == nr + 1);
            assert(s->gen == mapcache.gen);
        } else {
            assert(!fwd || *fwd != nr + 1);
        }
    }
    for (root = 0; root < MCACHE_ROOT_ENTRIES; root++) {
        for (i = 0; mapcache.root[root] && i < MCACHE_LEAF_BUCKETS; i++) {
            nr = mapcache.root[root][i];
            if (nr) {
                published++;
                assert(mapcache.slot[nr - 1].bucket ==
                       (root << MCACHE_LEAF_SHIFT) + i);
            }
        }
    }
    for (nr = 0; nr < mapcache.nr_slots; nr++) {
        if (test_bit(nr, mapcache.reap_map) ||
            test_bit(nr, mapcache.grace_map)) {
            assert(mcache_phase(qatomic_read(&mapcache.slot[nr].state)) ==
                   MCACHE_RETIRED);
            queued++;
        }
    }
    assert(used == mapcache.nr_used);
    assert(pending == mapcache.nr_pending);
    assert(queued <= pending);
    assert(published + pending <= used);
#endif
}
