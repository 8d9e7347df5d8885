/*
 * Xen mapcache: the arena and its slots
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Only the thread that made a slot FILLING or GOING changes what is mapped in
 * it.  It does so without mapcache.lock, except when it repeats a map call that
 * an invalidate has overtaken.  The addresses of a slot always have one of two
 * mappings: a PROT_NONE mapping of a file of our own, or a foreign mapping.
 * Neither mapping nor unmapping leaves the addresses free for another thread's
 * mmap().
 * The exception is a map call that fails: libxenforeignmemory may have unmapped
 * its target then, and mcache_slot_reserve_again() reserves the addresses
 * again, or the slot is LOST.
 *
 * In a build with XEN_COMPAT_PHYSMAP there is no arena.  Then only a slot that
 * is in use has a mapping, where the kernel put it.
 */

#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/memfd.h"
#include "qemu/rcu.h"
#include "qemu/units.h"
#include "qapi/error.h"

#include <sys/resource.h>

#include "hw/xen/xen_native.h"
#include "hw/xen/xen-report.h"
#include "system/runstate.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-calls.h"
#include "xen-mapcache-slots.h"
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

uint64_t mcache_default_size(const char *guest_type, uint64_t ram)
{
    if (!guest_type || !strcmp(guest_type, "PV")) {
        return ARENA_CAP_DEFAULT;
    }
    return MIN(ARENA_CAP_DEFAULT, ram / 8);
}

/* The same for the domain that this process is in. */
static uint64_t default_size(void)
{
    g_autofree char *type = NULL;

    if (!g_file_get_contents("/sys/hypervisor/guest_type", &type, NULL,
                             NULL)) {
        return mcache_default_size(NULL, 0);
    }
    return mcache_default_size(g_strstrip(type),
                               (uint64_t)sysconf(_SC_PHYS_PAGES) *
                               qemu_real_host_page_size());
}

/* How many slots the limits of this process allow. */
static uint32_t slots_allowed(void)
{
    uint64_t wanted = (mapcache.size ? mapcache.size : default_size()) >>
                      MCACHE_BUCKET_SHIFT;
    uint64_t n = wanted;
    uint64_t areas = max_map_count();
    struct rlimit as;

    /*
     * In the worst case, mapped and empty slots alternate.  Then each mapped
     * slot costs two areas: its own and that of an empty slot.
     */
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

/*
 * /proc/self/maps, this process's mappings.  It is kept open, because it cannot
 * be opened later in a chroot.
 */
static FILE *maps;
static QemuMutex maps_lock;     /* held while @maps is read; innermost */

/* Reserves addresses for @n slots, or for fewer; returns for how many. */
static uint32_t arena_reserve(uint32_t n)
{
#ifndef XEN_COMPAT_PHYSMAP
    Error *err = NULL;
    void *p;

    /*
     * The addresses are reserved by mapping an empty file.  So /proc/self/maps
     * tells whether an address is still ours.
     */
    mapcache.memfd = qemu_memfd_create("xen-mapcache", 0, false, 0, 0, &err);
    if (mapcache.memfd < 0) {
        error_reportf_err(err, "xen mapcache: cannot create the file that "
                          "reserves address space for guest memory: ");
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
    const size_t before = qemu_real_host_page_size(); /* no_slot */
    size_t table;
    void *p;

    maps = fopen("/proc/self/maps", "re");
    qemu_mutex_init(&maps_lock);
    mapcache.nr_slots = n;
    mapcache.max_slots = n - MIN(n / 8, ARENA_SPARE_MAX);
    mapcache.stats.buckets_max = mapcache.max_slots;

    /*
     * Parts of the table are made writable when slots are used.  A slot that
     * was never used reads as zeros, which means FREE.
     */
    QEMU_BUILD_BUG_ON(MCACHE_PART_BYTES % sizeof(MapCacheSlot));
    table = ROUND_UP(n * sizeof(MapCacheSlot), MCACHE_PART_BYTES);
    p = mmap(NULL, before + table, PROT_READ,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        error_report("xen mapcache: cannot reserve %zu bytes of address space "
                     "for the slot table: %s. Raise the limit on address "
                     "space (ulimit -v).", table, strerror(errno));
        exit(EXIT_FAILURE);
    }
    mapcache.slot = p + before;
    mapcache.no_slot = mapcache.slot - 1;
    mapcache.idle_rounds = g_new0(uint8_t, n);
    mapcache.table_map = bitmap_new(DIV_ROUND_UP(n, MCACHE_PART_SLOTS));
    mapcache.used_map = bitmap_new(n);
    mapcache.reap_map = bitmap_new(n);
    mapcache.grace_map = bitmap_new(n);
    qemu_cond_init(&mapcache.reap_cond);
    mapcache.flush_map = bitmap_new(n);
    trace_xen_map_cache_init(n, table);
}

void mcache_report_failure(const char *what, hwaddr addr, size_t pages,
                           int err)
{
    static XenReportLimit limit;

    trace_xen_map_cache_failure(what, addr, pages, err);
    if (!xen_report_is_due(&limit, NULL)) {
        return;
    }
    if (addr == HWADDR_MAX) {
        warn_report("xen mapcache: %s failed (pages: %zu): %s", what, pages,
                    strerror(err));
    } else {
        warn_report("xen mapcache: %s 0x%" HWADDR_PRIx " failed (pages: %zu): "
                    "%s", what, addr, pages, strerror(err));
    }
}

void mcache_report_hole(hwaddr addr)
{
    static XenReportLimit limit;

    trace_xen_map_cache_hole(addr);
    if (bql_locked() && runstate_check(RUN_STATE_INMIGRATE) &&
        xen_report_is_due(&limit, NULL)) {
        error_report("xen mapcache: guest RAM at 0x%" HWADDR_PRIx " is "
                     "absent while the guest is restored: a device reads "
                     "zeros there instead of what was saved", addr);
    }
}

/* --- what is left to the reaper ---------------------------------------- */

void mcache_reaper_wake_locked(void)
{
    mapcache.reap_wanted = true;
    qemu_cond_signal(&mapcache.reap_cond);
}

void mcache_reap_later_locked(uint32_t nr)
{
    set_bit(nr, mapcache.reap_map);
    mcache_reaper_wake_locked();
}

void mcache_reap_cancel_locked(uint32_t nr)
{
    clear_bit(nr, mapcache.reap_map);
    clear_bit(nr, mapcache.grace_map);
}

/* --- slots ----------------------------------------------------------- */

/* The slot's part of the table cannot be written until it is first used. */
bool mcache_slot_make_locked(uint32_t nr)
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

void mcache_slot_trace(uint32_t nr, uint64_t bucket, MapCachePhase phase)
{
    static const char *const name[] = {
        [MCACHE_FREE] = "free",
        [MCACHE_FILLING] = "filling",
        [MCACHE_LIVE] = "live",
        [MCACHE_STALE] = "stale",
        [MCACHE_RETIRED] = "retired",
        [MCACHE_GOING] = "going",
        [MCACHE_LOST] = "lost",
    };

    trace_xen_map_cache_slot(nr, bucket, name[phase]);
}

void mcache_slot_set_phase_locked(MapCacheSlot *s, MapCachePhase phase)
{
    qatomic_set(&s->state, MCACHE_STATE(phase, 0));
    mcache_slot_trace(s - mapcache.slot, s->bucket, phase);
}

void mcache_slot_take_locked(uint32_t nr, uint64_t bucket,
                             const MapCacheCall *by)
{
    assert(mcache_phase(qatomic_read(&mapcache.slot[nr].state)) ==
           MCACHE_FREE);
    /* @bucket of the slot is the previous one until the new one is mapped. */
    qatomic_set(&mapcache.slot[nr].state, MCACHE_STATE(MCACHE_FILLING, 0));
    mcache_slot_trace(nr, bucket, MCACHE_FILLING);
    set_bit(nr, mapcache.used_map);
    mapcache.idle_rounds[nr] = 0;
    qatomic_set(&mapcache.slot[nr].info, (uintptr_t)by);
    if (!mapcache.nr_used++) {
        qemu_cond_signal(&mapcache.reap_cond); /* it must now make rounds */
    }
}

void mcache_slot_give_back_locked(uint32_t nr)
{
    MapCacheSlot *s = &mapcache.slot[nr];

    qatomic_set(&s->gen, 0);
    qatomic_set(&s->used, 0);
    mcache_slot_set_phase_locked(s, MCACHE_FREE);
    clear_bit(nr, mapcache.used_map);
    mapcache.nr_used--;
}

void mcache_slot_lose_locked(uint32_t nr)
{
    mcache_report_failure("reserving the addresses of a slot again",
                          HWADDR_MAX, MCACHE_BUCKET_PAGES, EEXIST);
    mcache_slot_set_phase_locked(&mapcache.slot[nr], MCACHE_LOST);
    mapcache.lost_came = true;
    mcache_reaper_wake_locked();
}

/* The slot stays RETIRED, with the guest's frames; the reaper tries again. */
static void slot_unmap_failed_locked(uint32_t nr, int err)
{
    mcache_report_failure("unmapping guest address",
                          (hwaddr)mapcache.slot[nr].bucket <<
                          MCACHE_BUCKET_SHIFT, MCACHE_BUCKET_PAGES, err);
    mapcache.nr_pending++;
    mapcache.reap_again = true;
    mcache_reap_later_locked(nr);
}

/*
 * Calls @f for each area of this process that maps the file @fd, in order of
 * their addresses.
 */
static void maps_walk(int fd, void (*f)(uintptr_t first, uintptr_t last,
                                        void *opaque), void *opaque)
{
    unsigned long long inode;
    uintptr_t first, last;
    char line[512];
    struct stat st;

    if (!maps || fstat(fd, &st) < 0) {
        return;
    }
    QEMU_LOCK_GUARD(&maps_lock);
    rewind(maps);
    while (fgets(line, sizeof(line), maps)) {
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %*s %*s %llu",
                   &first, &last, &inode) == 3 && inode == st.st_ino) {
            f(first, last, opaque);
        }
    }
}

typedef struct MapsRange {
    uintptr_t at, end;
} MapsRange;

/* If [@first, @last) contains the start of the range, cuts it off. */
static void range_cut(uintptr_t first, uintptr_t last, void *opaque)
{
    MapsRange *r = opaque;

    if (first <= r->at && r->at < last) {
        r->at = last;
    }
}

bool mcache_range_is_of(const void *host, size_t size, int fd)
{
    MapsRange r = { (uintptr_t)host, (uintptr_t)host + size };

    maps_walk(fd, range_cut, &r);
    return r.at >= r.end;
}

#ifdef XEN_COMPAT_PHYSMAP
bool mcache_slot_reserve_again(uint32_t nr)
{
    return true; /* a slot has no addresses of its own */
}

void mcache_slots_find_lost_locked(void)
{
    mapcache.lost_came = false; /* there is none */
}

static void slots_leave_locked(uint32_t nr, uint32_t n)
{
    for (; n; n--, nr++) {
        /* Before the unmapping: then the address may be used again. */
        mcache_slot_leave_locked(nr);
    }
}

static void slot_come_back_locked(uint32_t nr)
{
    mcache_slot_enter_locked(nr);
}

/* Unmaps one slot: without an arena, slots are not adjacent. */
static int slots_unmap_call(uint32_t nr, uint32_t n)
{
    return munmap(mcache_slot_host(nr), MCACHE_BUCKET_SIZE) ? errno : 0;
}

#define SLOTS_APART     true
#else
static void *slots_placeholder(uint32_t nr, uint32_t n, int how)
{
    return mmap(mcache_slot_host(nr), (size_t)n << MCACHE_BUCKET_SHIFT,
                PROT_NONE, MAP_SHARED | MAP_NORESERVE | how, mapcache.memfd,
                (off_t)nr << MCACHE_BUCKET_SHIFT);
}

/*
 * After a failed map call the slot's addresses may be unmapped, or unchanged,
 * depending on the step that failed.  Or another thread has mapped something
 * there.
 */
bool mcache_slot_reserve_again(uint32_t nr)
{
    void *p = slots_placeholder(nr, 1, MAP_FIXED_NOREPLACE);

    if (p != mcache_slot_host(nr) && p != MAP_FAILED) {
        /* A kernel that does not know the flag put it elsewhere. */
        munmap(p, MCACHE_BUCKET_SIZE);
    }
    return p == mcache_slot_host(nr);
}

/* Sets the bit of each slot that this area of the arena's file covers. */
static void note_slots(uintptr_t first, uintptr_t last, void *opaque)
{
    uintptr_t arena = (uintptr_t)mapcache.arena;
    unsigned long *ours = opaque;
    uint64_t nr, end;

    if (first < arena ||
        first - arena >= (uintptr_t)mapcache.nr_slots << MCACHE_BUCKET_SHIFT) {
        return;
    }
    nr = DIV_ROUND_UP(first - arena, MCACHE_BUCKET_SIZE);
    end = MIN((last - arena) >> MCACHE_BUCKET_SHIFT, mapcache.nr_slots);
    if (nr < end) {
        bitmap_set(ours, nr, end - nr);
    }
}

void mcache_slots_find_lost_locked(void)
{
    g_autofree unsigned long *ours = bitmap_try_new(mapcache.nr_slots);
    g_autofree unsigned long *lost = bitmap_try_new(mapcache.nr_slots);
    uint32_t nr;

    if (!ours || !lost) {
        mapcache.reap_again = true; /* there may be memory for it by then */
        mcache_reaper_wake_locked();
        return;
    }
    mapcache.lost_came = false;
    for (nr = find_first_bit(mapcache.used_map, mapcache.nr_slots);
         nr < mapcache.nr_slots;
         nr = find_next_bit(mapcache.used_map, mapcache.nr_slots, nr + 1)) {
        if (mcache_phase(qatomic_read(&mapcache.slot[nr].state)) ==
            MCACHE_LOST) {
            set_bit(nr, lost);
        }
    }
    qemu_mutex_unlock(&mapcache.lock);
    maps_walk(mapcache.memfd, note_slots, ours);
    qemu_mutex_lock(&mapcache.lock);
    for (nr = find_first_bit(lost, mapcache.nr_slots); nr < mapcache.nr_slots;
         nr = find_next_bit(lost, mapcache.nr_slots, nr + 1)) {
        if (test_bit(nr, ours)) {
            mcache_slot_give_back_locked(nr);
        }
    }
}

static void slots_leave_locked(uint32_t nr, uint32_t n)
{
}

static void slot_come_back_locked(uint32_t nr)
{
}

static int slots_unmap_call(uint32_t nr, uint32_t n)
{
    return slots_placeholder(nr, n, MAP_FIXED) == MAP_FAILED ? errno : 0;
}

#define SLOTS_APART     false
#endif

/* After the call that unmapped [@nr, @nr + @n), or that failed with @err. */
static void slots_unmapped_locked(uint32_t nr, uint32_t n, int err)
{
    mapcache.nr_pending -= n;
    for (; n; n--, nr++) {
        if (!err) {
            mcache_slot_give_back_locked(nr);
        } else {
            slot_come_back_locked(nr);
            mcache_slot_set_phase_locked(&mapcache.slot[nr], MCACHE_RETIRED);
            slot_unmap_failed_locked(nr, err);
        }
    }
}

/* One call unmaps the slots [@nr, @nr + @n); if it fails, one call for each. */
static void slots_empty_locked(uint32_t nr, uint32_t n)
{
    int err;

    slots_leave_locked(nr, n);
    qemu_mutex_unlock(&mapcache.lock);
    err = slots_unmap_call(nr, n);
    mcache_count_unmap();
    trace_xen_map_cache_unmap(nr, n, err);
    qemu_mutex_lock(&mapcache.lock);
    if (!err || n == 1) {
        slots_unmapped_locked(nr, n, err);
        return;
    }
    for (; n; n--, nr++) {
        slots_empty_locked(nr, 1);
    }
}

void mcache_slots_unmap_locked(uint32_t nr, uint32_t n)
{
    MapCacheCall call;
    uint32_t part, i;

    for (i = 0; i < n; i++) {
        mcache_slot_set_phase_locked(&mapcache.slot[nr + i], MCACHE_GOING);
    }
    mcache_call_begin_locked(&call, 0, 0);
    for (; n; n -= part, nr += part) {
        part = SLOTS_APART ? 1 : n;
        slots_empty_locked(nr, part);
    }
    mcache_call_end_locked(&call);
}

void mcache_slots_unmap_all_locked(unsigned long *map, uint32_t bite)
{
    unsigned long n = mapcache.nr_slots, nr = 0, end;

    for (;;) {
        nr = find_next_bit(map, n, nr);
        if (nr == n) {
            return;
        }
        end = find_next_zero_bit(map, n, nr);
        end = MIN(end, nr + bite);
        bitmap_clear(map, nr, end - nr);
        mcache_slots_unmap_locked(nr, end - nr);
        nr = end;
    }
}
