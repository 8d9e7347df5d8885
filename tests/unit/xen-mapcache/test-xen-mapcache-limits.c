/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mapcache with its real limits.  The test uses more buckets than may be
 * kept mapped: than the mapcache's own cap, the memory areas that the kernel
 * allows a process, or RLIMIT_AS allows, whichever is least.
 *
 * The guest is sparse: one page in each bucket is stamped and checked.
 */
#include "qemu/osdep.h"
#include <sys/resource.h>
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "qemu/thread.h"
#include "qemu/units.h"
#include "exec/ram_addr.h"
#include "hw/xen/xen_native.h"
#include "xen-mapcache-harness.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-wrap.h"

#define PAGE        XENSIM_PAGE_SIZE
#define BUCKET      MiB
#define RAM         (36 * GiB)
#define BUCKETS     (RAM / BUCKET)
#define SEED        77
/* Mapped or waiting to be unmapped beyond the cap: the spare slots. */
#define BOUND       256
#define HOT         4       /* each is looked at every 64 others */
#define DMAS        2048    /* as many as a virtio-scsi request may map */
#define DMA_PAGES   1

/* The hole under 4 GiB: no RAM is there. */
#define HOLE_FIRST  (0xf0000000ull / BUCKET)
#define HOLE_END    (4 * GiB / BUCKET)

static bool is_ram(uint64_t bucket)
{
    return bucket && (bucket < HOLE_FIRST || bucket >= HOLE_END);
}

/* The page of the bucket that is looked at: they are not all alike. */
static uint64_t gfn_of(uint64_t bucket)
{
    return bucket * (BUCKET / PAGE) + bucket * 7 % (BUCKET / PAGE);
}

static XenMapCacheStats stats(void)
{
    XenMapCacheStats s;

    xen_map_cache_get_stats(&s);
    return s;
}

/* Where a DMA mapping begins that has that page and is in the bucket. */
static uint64_t dma_gfn(uint64_t bucket)
{
    return MIN(gfn_of(bucket), (bucket + 1) * (BUCKET / PAGE) - DMA_PAGES);
}

/*
 * The page, by a pointer or, where there is no slot for its bucket, by a copy.
 */
static void look(uint64_t bucket)
{
    uint64_t gfn = gfn_of(bucket);
    XenMapStatus status = XEN_MAP_OK;
    uint8_t copy[PAGE], *host;
    hwaddr len = PAGE;

    RCU_READ_LOCK_GUARD();
    host = xen_map_cache(gfn * PAGE, NULL, &status);
    if (!host && status == XEN_MAP_UNAVAILABLE) {
        status = xen_map_cache_copy(gfn * PAGE, copy, NULL, &len, false);
        host = copy;
    }
    g_assert_cmpint(status, ==, XEN_MAP_OK);
    g_assert_cmpuint(len, ==, PAGE);
    if (!xensim_stamp_page_ok(host, gfn, SEED)) {
        g_error("bucket %" PRIu64 " of %" PRIu64 " shows other bytes", bucket,
                BUCKETS);
    }
}

static unsigned areas(void)
{
    g_autofree char *text = NULL;
    unsigned n = 0;
    const char *p;

    g_assert_true(g_file_get_contents("/proc/self/maps", &text, NULL, NULL));
    for (p = text; (p = strchr(p, '\n')); p++) {
        n++;
    }
    return n;
}

static void check_bound(uint64_t bucket)
{
    XenMapCacheStats s = stats();

    if (s.buckets + s.buckets_pending > s.buckets_max + BOUND) {
        g_error("bucket %" PRIu64 ": %" PRIu64 " are mapped and %" PRIu64
                " wait, the cap is %" PRIu64, bucket, s.buckets,
                s.buckets_pending, s.buckets_max);
    }
    g_assert_cmpuint(harness_mapped_pages(), <=,
                     (s.buckets_max + BOUND) * (BUCKET / PAGE));
}

/*
 * All unmapped but for what @held DMA mappings hold, of a bucket each or of a
 * page where there was no slot at the time; the reaper's in a while.
 */
static void check_invalidate(uint64_t held)
{
    XenMapCacheStats s;
    unsigned i;

    xen_invalidate_map_cache();
    for (i = 0; i < 500; i++) {
        s = stats();
        if (s.buckets_pending <= held) {
            break;
        }
        g_usleep(10000);
    }
    g_assert_cmpuint(s.buckets, ==, 0);
    g_assert_cmpuint(s.buckets_pending, <=, held);
    g_assert_cmpuint(s.dma + s.held, ==, held);
    g_assert_cmpuint(harness_mapped_pages(), <=, held * (BUCKET / PAGE));
}

static void stamp(uint64_t buckets)
{
    uint64_t bucket;

    for (bucket = 0; bucket < buckets; bucket++) {
        if (is_ram(bucket)) {
            xensim_stamp(harness_dom, gfn_of(bucket), 1, SEED);
        }
    }
}

/*
 * Goes through @buckets of them, more than fit.  Some few are hot, and must
 * not be evicted for the others' sake.
 */
static void cross(uint64_t buckets)
{
    gint64 start = g_get_monotonic_time();
    uint64_t bucket, hot_calls = 0, visited = 0;
    XenMapCacheStats s;

    for (bucket = 1; bucket < buckets; bucket++) {
        if (!is_ram(bucket)) {
            continue;
        }
        look(bucket);
        visited++;
        if (bucket % 16 == 0) {
            uint64_t calls = stats().map_calls;

            look(1 + bucket / 16 % HOT);
            hot_calls += stats().map_calls - calls;
        }
        if (bucket % 256 == 0) {
            check_bound(bucket);
        }
    }
    s = stats();
    g_test_message("%" PRIu64 " buckets in %.1f s; the cap is %" PRIu64
                   ", %" PRIu64 " mapped, %" PRIu64 " pending, %" PRIu64
                   " without room, %u areas, %" PRIu64 " of hot ones mapped "
                   "again", visited, (g_get_monotonic_time() - start) / 1e6,
                   s.buckets_max, s.buckets, s.buckets_pending, s.no_room,
                   areas(), hot_calls);
    /* Or nothing was crossed. */
    g_assert_cmpuint(visited, >, s.buckets_max + BOUND);
    /* Others were retired for the last ones. */
    g_assert_cmpuint(s.buckets, <=, s.buckets_max);
    g_assert_cmpuint(s.map_failures, ==, 0);
    /* When they came first; or where there was no slot for one. */
    g_assert_cmpuint(hot_calls, <=, HOT + s.no_room);
}

/* With so much mapped: DMA, a complete invalidate, and full service. */
static void serve(uint64_t buckets)
{
    uint8_t *host[DMAS];
    uint64_t step = buckets / DMAS, i, held = 0;
    hwaddr len;

    for (i = 0; i < DMAS; i++) {
        uint64_t at = dma_gfn(1 + i * step);

        host[i] = NULL;
        if (is_ram(1 + i * step)) {
            len = DMA_PAGES * PAGE;
            host[i] = xen_map_cache_dma(harness_ram, at * PAGE, 0, &len,
                                        XEN_MAP_DMA, true, NULL, NULL);
            g_assert_nonnull(host[i]);
            g_assert_cmpuint(len, ==, DMA_PAGES * PAGE);
            held++;
        }
    }
    check_invalidate(held);
    for (i = 0; i < DMAS; i++) {
        uint64_t gfn = gfn_of(1 + i * step), at = dma_gfn(1 + i * step);

        if (host[i]) {
            g_assert_true(xensim_stamp_page_ok(host[i] + (gfn - at) * PAGE,
                                               gfn, SEED));
            g_assert_cmphex(xen_ram_addr_from_mapcache(host[i] + 9), ==,
                            at * PAGE + 9);
            look(1 + i * step);
            xen_invalidate_map_cache_entry(host[i], DMA_PAGES * PAGE);
        }
    }
    check_invalidate(0);
    g_assert_cmpuint(stats().unmatched, ==, 0);
    g_assert_cmpuint(xensim_check(harness_sim), ==, 0);
}

/* vm.max_map_count */
static uint64_t areas_allowed(void)
{
    g_autofree char *text = NULL;
    uint64_t n;

    g_assert_true(g_file_get_contents("/proc/sys/vm/max_map_count", &text, NULL,
                                      NULL));
    g_assert_cmpint(sscanf(text, "%" SCNu64, &n), ==, 1);
    return n;
}

static void test_shipped(void)
{
    harness_init(RAM, 0);
    xen_map_cache_init();
    g_assert_cmpuint(stats().buckets_max, >, 16384);
    /* A bucket may take two areas, and QEMU needs some for itself. */
    g_assert_cmpuint(2 * (stats().buckets_max + BOUND), <, areas_allowed());
    stamp(BUCKETS);
    cross(BUCKETS);
    serve(BUCKETS);
}

/* What this process has of address space already: the simulated Xen's. */
static uint64_t address_space(void)
{
    g_autofree char *text = NULL;
    uint64_t pages;

    g_assert_true(g_file_get_contents("/proc/self/statm", &text, NULL, NULL));
    g_assert_cmpint(sscanf(text, "%" SCNu64, &pages), ==, 1);
    return pages * PAGE;
}

/* 8 GiB of guest, and room for some 2,400 of its buckets. */
static void init_small(uint64_t buckets)
{
    struct rlimit as;

    harness_init(8 * GiB, 0);
    stamp(buckets);
    as.rlim_cur = as.rlim_max = address_space() + 3 * GiB;
    g_assert_cmpint(setrlimit(RLIMIT_AS, &as), ==, 0);
    xen_map_cache_init();
    g_assert_cmpuint(stats().buckets_max, <=, 3072);
    g_assert_cmpuint(stats().buckets_max, >, 1024);
}

/* No room for the whole arena: it is halved until there is. */
static void test_address_space(void)
{
    const uint64_t buckets = 4096;

    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDOUT);
        g_test_trap_assert_passed();
        return;
    }
    init_small(buckets);
    cross(buckets);
    serve(buckets);
}

/* --- map calls that fail before the library has touched the target -- */

#define AREAS           60000u  /* of the kernel's, of this process */
#define EARLY_FAILURES  8u
#define EARLY_NS        20e6    /* of processor time: a walk of all takes more */
#define PATIENCE_US     (30 * G_USEC_PER_SEC)

WRAPPED(xenforeignmemory_map2);

static bool fail_early;
static void (*at_map)(void);    /* called once, by the next map call */

void *__wrap_xenforeignmemory_map2(xenforeignmemory_handle *fmem, uint32_t dom,
                                   void *addr, int prot, int flags,
                                   size_t pages, const xen_pfn_t arr[],
                                   int err[])
{
    void (*hook)(void) = at_map;

    at_map = NULL;
    if (hook) {
        hook();
    }
    if (fail_early) {
        errno = EAGAIN;
        return NULL;
    }
    return __real_xenforeignmemory_map2(fmem, dom, addr, prot, flags, pages,
                                        arr, err);
}

WRAPPED(g_try_malloc0_n);

static unsigned no_memory;  /* so often, for the reaper; atomic */

gpointer __wrap_g_try_malloc0_n(gsize n, gsize size)
{
    if (!bql_locked() && qatomic_read(&no_memory)) {
        qatomic_dec(&no_memory);
        return NULL;
    }
    return __real_g_try_malloc0_n(n, size);
}

static void make_areas(void)
{
    uint8_t *p = mmap(NULL, (size_t)AREAS * PAGE, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned i;

    g_assert_true(p != MAP_FAILED);
    for (i = 0; i < AREAS; i += 2) {
        g_assert_cmpint(mprotect(p + i * PAGE, PAGE, PROT_READ), ==, 0);
    }
}

static unsigned slots_lost(void)
{
    unsigned n = 0;
    uint32_t nr;

    QEMU_LOCK_GUARD(&mapcache.lock);
    for (nr = 0; nr < mapcache.nr_slots; nr++) {
        n += mcache_phase(qatomic_read(&mapcache.slot[nr].state)) ==
             MCACHE_LOST;
    }
    return n;
}

static double cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return ts.tv_sec * 1e9 + ts.tv_nsec;
}

/*
 * What happened to the slot's addresses is not asked of the kernel, area by
 * area, by who misses; the reaper finds out, and the slots are used again.  It
 * tries again if there is no memory for that.
 */
static void early_failures(void)
{
    gint64 end = g_get_monotonic_time() + PATIENCE_US;
    double start;
    unsigned i;

    harness_init(256 * MiB, 0);
    xen_map_cache_init();
    stamp(EARLY_FAILURES + 1);
    make_areas();
    fail_early = true;
    qatomic_set(&no_memory, 3);
    start = cpu_ns();
    for (i = 1; i <= EARLY_FAILURES; i++) {
        RCU_READ_LOCK_GUARD();
        g_assert_null(xen_map_cache(gfn_of(i) * PAGE, NULL, NULL));
    }
    g_assert_cmpfloat(cpu_ns() - start, <, EARLY_NS);
    fail_early = false;
    while (slots_lost() && g_get_monotonic_time() < end) {
        g_usleep(1000);
    }
    g_assert_cmpuint(slots_lost(), ==, 0);
    g_assert_cmpuint(no_memory, ==, 0);
    for (i = 1; i <= EARLY_FAILURES; i++) {
        look(i);
    }
}

static void test_early_failures(void)
{
    if (g_test_subprocess()) {
        early_failures();
        return;
    }
    g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDOUT);
    g_test_trap_assert_passed();
}

/* --- a late reaper ------------------------------------------------ */

WRAPPED(synchronize_rcu);

static unsigned late_us;    /* so much longer lasts each grace period */

void __wrap_synchronize_rcu(void)
{
    g_usleep(late_us);
    __real_synchronize_rcu();
}

/*
 * The reaper does not get a processor for a while, and the spare slots are used
 * up meanwhile: no miss waits for it, and each page is had.
 */
static void test_late_reaper(void)
{
    const uint64_t buckets = 4096;

    if (g_test_subprocess()) {
        late_us = 60000;
        init_small(buckets);
        cross(buckets);
        g_assert_cmpuint(stats().no_room, >, 0);
        late_us = 0;
        serve(buckets);
        return;
    }
    g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDOUT);
    g_test_trap_assert_passed();
}

/* --- an unmap that fails with the lock ------------------------------ */

WRAPPED(munmap);

static unsigned failing_unmap_nr;   /* counts down: at 1, the call fails */
static QemuThread invalidating;

int __wrap_munmap(void *addr, size_t len)
{
    if (failing_unmap_nr && !--failing_unmap_nr) {
        errno = ENOMEM;
        return -1;
    }
    return __real_munmap(addr, len);
}

static void *invalidate_thread(void *opaque)
{
    harness_bql(true);
    xen_invalidate_map_cache();
    harness_bql(false);
    return NULL;
}

/* An invalidate begins while the map call is under way. */
static void invalidate_meanwhile(void)
{
    uint32_t gen = qatomic_read(&mapcache.gen);

    qemu_thread_create(&invalidating, "invalidate", invalidate_thread, NULL,
                       QEMU_THREAD_JOINABLE);
    while (qatomic_read(&mapcache.gen) == gen) {
        g_usleep(100);
    }
}

/*
 * A held mapping reaches into a hole.  The pages are mapped, unmapped, and
 * those before the hole are mapped.  An invalidate comes in between, so all is
 * done again with the lock, and there the unmapping fails.  The invalidate,
 * which has waited for that, unmaps these pages.
 */
static void failing_unmap(void)
{
    const uint64_t gfn = 3 * BUCKET / PAGE, n = 8, hole = 5;
    uint64_t mapped;
    hwaddr len = n * PAGE;
    uint8_t *host;

    harness_init(256 * MiB, 0);
    xen_map_cache_init();
    xensim_depopulate(harness_dom, gfn + hole, 1);
    harness_bql(false);
    mapped = harness_mapped_pages();
    /* Two calls unmap what was mapped in vain, before and with the hole. */
    failing_unmap_nr = 3;
    at_map = invalidate_meanwhile;
    host = xen_map_cache_dma(harness_ram, gfn * PAGE, 0, &len, XEN_MAP_HELD,
                             true, NULL, NULL);
    qemu_thread_join(&invalidating);
    g_assert_nonnull(host);
    g_assert_cmpuint(len, ==, hole * PAGE);
    g_assert_cmpuint(failing_unmap_nr, ==, 0);
    g_assert_cmpuint(harness_mapped_pages() - mapped, ==, hole);
    harness_bql(true);
    xen_invalidate_map_cache_entry(host, len);
    g_assert_cmpuint(harness_mapped_pages(), ==, mapped);
}

static void test_failing_unmap(void)
{
    if (g_test_subprocess()) {
        failing_unmap();
        return;
    }
    g_test_trap_subprocess(NULL, PATIENCE_US, G_TEST_SUBPROCESS_INHERIT_STDOUT);
    g_test_trap_assert_passed();
}

/* --- an unmap that fails after a map call that left a page out --------- */

static int page_unavailable(uint64_t gfn, uint64_t first)
{
    XensimFault fault = {
        .call = "xenforeignmemory_map2", .first = first, .count = 1,
        .error = ENOMEM, .per_page = true, .gfn = gfn, .pages = 1,
    };
    int id = xensim_fault_arm(harness_sim, &fault);

    g_assert_cmpint(id, >=, 0);
    return id;
}

/* The bucket cannot be used; its slot can, and no frame stays mapped. */
static void in_part_bucket(void)
{
    uint64_t mapped = harness_mapped_pages();
    XenMapStatus status = XEN_MAP_OK;
    int id = page_unavailable(gfn_of(2) + 1, 1);

    failing_unmap_nr = 1;
    WITH_RCU_READ_LOCK_GUARD() {
        g_assert_null(xen_map_cache(gfn_of(2) * PAGE, NULL, &status));
    }
    failing_unmap_nr = 0;
    g_assert_cmpint(status, ==, XEN_MAP_UNAVAILABLE);
    g_assert_cmpint(xensim_fault_hits(harness_sim, id), >=, 1);
    xensim_fault_disarm(harness_sim, id);
    g_assert_cmpuint(slots_lost(), ==, 0);
    g_assert_cmpuint(stats().buckets + stats().buckets_pending, ==, 0);
    g_assert_cmpuint(harness_mapped_pages(), ==, mapped);
    look(2);
    check_invalidate(0);
}

/* Exact pages that could not be unmapped are unmapped at the invalidate. */
static void in_part_exact(void)
{
    uint64_t mapped = harness_mapped_pages();
    hwaddr len = 4 * PAGE;
    int id = page_unavailable(gfn_of(3) + 2, 1);
    uint8_t *host;

    failing_unmap_nr = 1;
    host = xen_map_cache_dma(harness_ram, gfn_of(3) * PAGE, 0, &len,
                             XEN_MAP_HELD, true, NULL, NULL);
    g_assert_cmpuint(failing_unmap_nr, ==, 0);
    g_assert_cmpint(xensim_fault_hits(harness_sim, id), >=, 1);
    xensim_fault_disarm(harness_sim, id);
    /* It holds the bucket instead. */
    g_assert_nonnull(host);
    xen_invalidate_map_cache_entry(host, len);
    check_invalidate(0);
    g_assert_cmpuint(harness_mapped_pages(), ==, mapped);
}

/* The dummy is as it was; this was the end of QEMU. */
static void in_part_dummy(void)
{
    const uint64_t at = 8 * GiB, to = 0xf1003000, n = 16;
    uint8_t *host;
    int id;

    harness_incoming = true;
    host = xen_map_cache_block(at, n * PAGE);
    memset(host, 0x5a, n * PAGE);
    g_assert_cmpuint(xensim_populate(harness_dom, to / PAGE, n), ==, n);
    xensim_stamp(harness_dom, to / PAGE, n, SEED);
    /* The first call only looks whether the frames are there. */
    id = page_unavailable(to / PAGE + 3, 2);
    failing_unmap_nr = 2;
    g_assert_null(xen_replace_cache_entry(at, to, n * PAGE));
    failing_unmap_nr = 0;
    g_assert_cmpint(xensim_fault_hits(harness_sim, id), >=, 1);
    xensim_fault_disarm(harness_sim, id);
    g_assert_true(xen_map_cache_is_dummy(at));
    g_assert_true(host[0] == 0x5a && host[n * PAGE - 1] == 0x5a);
    g_assert_true(xen_replace_cache_entry(at, to, n * PAGE) == host);
    harness_incoming = false;
    g_assert_true(xensim_stamp_page_ok(host, to / PAGE, SEED));
    xen_unmap_cache_block(host);
}

typedef struct InPart {
    const char *path;
    void (*run)(void);
} InPart;

static const InPart in_part[] = {
    { "/xen-mapcache/limits/in-part/bucket", in_part_bucket },
    { "/xen-mapcache/limits/in-part/exact", in_part_exact },
    { "/xen-mapcache/limits/in-part/dummy", in_part_dummy },
};

static void test_in_part(const void *opaque)
{
    const InPart *which = opaque;

    if (g_test_subprocess()) {
        harness_init(256 * MiB, 0);
        xen_map_cache_init();
        stamp(5);
        which->run();
        return;
    }
    g_test_trap_subprocess(NULL, PATIENCE_US, G_TEST_SUBPROCESS_INHERIT_STDOUT);
    g_test_trap_assert_passed();
}

/* --- memory areas -------------------------------------------------- */

WRAPPED(g_file_get_contents);

static unsigned areas_max;      /* by the kernel; 0: what it says */

gboolean __wrap_g_file_get_contents(const gchar *path, gchar **text,
                                    gsize *len, GError **err)
{
    if (areas_max && g_str_equal(path, "/proc/sys/vm/max_map_count")) {
        *text = g_strdup_printf("%u\n", areas_max);
        return true;
    }
    return __real_g_file_get_contents(path, text, len, err);
}

/* As in xen-mapcache-outside.c: mappings of exact pages. */
#define EXACT_SHORT     2048u
#define EXACT_LONG      1024u
#define EXACT_HELD      1024u
#define LONG_PAGES      5
#define SAME            10000u

/* The mappings of areas_full(), newest first. */
typedef struct Mapping {
    uint8_t *host;
    hwaddr len;
    struct Mapping *next;
} Mapping;

static Mapping *mappings;

/* Maps pages of as many buckets as it can, @max at most; returns how many. */
static unsigned map_many(unsigned max, unsigned pages, XenMapUse use)
{
    static uint64_t bucket;     /* each has another one, and all are used up */
    unsigned n = 0;

    while (n < max) {
        hwaddr len = pages * PAGE;
        uint8_t *host;
        Mapping *m;

        bucket = (bucket + 1) % (8 * GiB / BUCKET);
        if (!is_ram(bucket)) {
            continue;
        }
        host = xen_map_cache_dma(harness_ram, bucket * BUCKET, 0, &len, use,
                                 true, NULL, NULL);
        if (!host) {
            break;
        }
        g_assert_cmpuint(len, ==, pages * PAGE);
        m = g_new(Mapping, 1);
        *m = (Mapping) { host, len, mappings };
        mappings = m;
        n++;
    }
    return n;
}

/* The newest mapping is of exact pages; others of the same bytes are that. */
static void same_again(XenMapUse use)
{
    const ram_addr_t addr = xen_ram_addr_from_mapcache(mappings->host);
    const uint64_t calls = stats().map_calls;
    unsigned i;

    for (i = 0; i < SAME; i++) {
        hwaddr len = mappings->len;

        g_assert_true(xen_map_cache_dma(harness_ram, addr, 0, &len, use, true,
                                        NULL, NULL) == mappings->host);
        g_assert_cmpuint(len, ==, mappings->len);
    }
    while (i--) {
        xen_invalidate_map_cache_entry(mappings->host, mappings->len);
    }
    g_assert_cmpuint(stats().map_calls, ==, calls);
}

/*
 * All slots and all mappings of exact pages are in use: no more areas than the
 * kernel allows, and a quarter of them is left to the rest of QEMU.
 */
static void areas_full(void)
{
    unsigned own, used, exact = EXACT_SHORT + EXACT_LONG + EXACT_HELD;

    areas_max = 12 * 1024;
    harness_init(8 * GiB, 0);
    xen_map_cache_init();
    own = areas();
    g_assert_cmpuint(mapcache.nr_slots, >, 2048);
    g_assert_cmpuint(map_many(UINT_MAX, 1, XEN_MAP_DMA), ==,
                     mapcache.nr_slots + EXACT_SHORT);
    same_again(XEN_MAP_DMA);
    g_assert_cmpuint(map_many(UINT_MAX, LONG_PAGES, XEN_MAP_DMA), ==,
                     EXACT_LONG);
    g_assert_cmpuint(map_many(EXACT_HELD, 1, XEN_MAP_HELD), ==, EXACT_HELD);
    same_again(XEN_MAP_HELD);
    g_assert_cmpuint(stats().exact_bytes, ==, PAGE *
                     (EXACT_SHORT + EXACT_HELD + EXACT_LONG * LONG_PAGES));
    used = areas() - own;
    g_test_message("%u areas for %u slots and %u exact mappings; %u before",
                   used, mapcache.nr_slots, exact, own);
    g_assert_cmpuint(used, >=, exact);
    g_assert_cmpuint(used, <=, areas_max / 4 * 3);
    while (mappings) {
        Mapping *m = mappings;

        mappings = m->next;
        xen_invalidate_map_cache_entry(m->host, m->len);
        g_free(m);
    }
    check_invalidate(0);
    g_assert_cmpuint(stats().exact_bytes, ==, 0);
}

static void test_areas(void)
{
    if (g_test_subprocess()) {
        areas_full();
        return;
    }
    g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDOUT);
    g_test_trap_assert_passed();
}

/* --- a kernel with other pages than Xen's --------------------------- */

int __wrap_getpagesize(void);

static int host_page = PAGE;

int __wrap_getpagesize(void)
{
    return host_page;
}

/* One page of the kernel would be 16 of the guest's: refused, in one line. */
static void test_large_pages(void)
{
    if (g_test_subprocess()) {
        harness_init(256 * MiB, 0);
        host_page = 64 * KiB;
        xen_map_cache_init();
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_failed();
    g_test_trap_assert_stderr("*xen mapcache: this kernel has pages of 64 KiB; "
                              "use one with pages of 4 KiB, as Xen has\n");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    mapcache.idle = 0; /* on a slow machine a minute passes */
    g_test_add_func("/xen-mapcache/limits/address-space", test_address_space);
    g_test_add_func("/xen-mapcache/limits/areas", test_areas);
    g_test_add_func("/xen-mapcache/limits/early-failures",
                    test_early_failures);
    g_test_add_func("/xen-mapcache/limits/failing-unmap", test_failing_unmap);
    for (unsigned i = 0; i < ARRAY_SIZE(in_part); i++) {
        g_test_add_data_func(in_part[i].path, &in_part[i], test_in_part);
    }
    g_test_add_func("/xen-mapcache/limits/large-pages", test_large_pages);
    g_test_add_func("/xen-mapcache/limits/late-reaper", test_late_reaper);
    g_test_add_func("/xen-mapcache/limits/shipped", test_shipped);
    return g_test_run();
}
