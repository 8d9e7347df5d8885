/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mapcache at the limits that it is shipped with, nothing shrunken: more
 * buckets than it may keep, by its own cap, by the areas that the kernel
 * allows a process, or by RLIMIT_AS, whichever is the least here.
 *
 * The guest is sparse: a page in each bucket is stamped and looked at.
 */
#include "qemu/osdep.h"
#include <sys/resource.h>
#include "qemu/rcu.h"
#include "qemu/units.h"
#include "exec/ram_addr.h"
#include "hw/xen/xen_native.h"
#include "xen-mapcache-harness.h"

#define PAGE        XENSIM_PAGE_SIZE
#define BUCKET      MiB
#define RAM         (36 * GiB)
#define BUCKETS     (RAM / BUCKET)
#define SEED        77
/* Mapped or waiting to be unmapped beyond the cap: the spare slots. */
#define BOUND       256
/* … and single pages, where these were used up. */
#define BOUND_PAGES 256
#define HOT         4       /* each is looked at every 64 others */
#define DMAS        1000

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

static void look(uint64_t bucket)
{
    uint64_t gfn = gfn_of(bucket);
    uint8_t *host;

    RCU_READ_LOCK_GUARD();
    host = xen_map_cache(gfn * PAGE, NULL);
    if (!host || !xensim_stamp_page_ok(host, gfn, SEED)) {
        g_error("bucket %" PRIu64 " of %" PRIu64 ": %s", bucket, BUCKETS,
                host ? "shows other bytes" : "has no pointer");
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
                     (s.buckets_max + BOUND) * (BUCKET / PAGE) + BOUND_PAGES);
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
        uint64_t gfn = gfn_of(1 + i * step);

        host[i] = NULL;
        if (is_ram(1 + i * step)) {
            len = PAGE;
            host[i] = xen_map_cache_dma(harness_ram, gfn * PAGE, 0, &len,
                                        XEN_MAP_DMA, true, NULL);
            g_assert_nonnull(host[i]);
            g_assert_cmpuint(len, ==, PAGE);
            held++;
        }
    }
    check_invalidate(held);
    for (i = 0; i < DMAS; i++) {
        uint64_t gfn = gfn_of(1 + i * step);

        if (host[i]) {
            g_assert_true(xensim_stamp_page_ok(host[i], gfn, SEED));
            g_assert_cmphex(xen_ram_addr_from_mapcache(host[i] + 9), ==,
                            gfn * PAGE + 9);
            look(1 + i * step);
            xen_invalidate_map_cache_entry(host[i], PAGE);
        }
    }
    check_invalidate(0);
    g_assert_cmpuint(stats().unmatched, ==, 0);
    g_assert_cmpuint(xensim_check(harness_sim), ==, 0);
}

static void test_shipped(void)
{
    harness_init(RAM, 0);
    xen_map_cache_init();
    g_assert_cmpuint(stats().buckets_max, >, 16384);
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

/* No room for the whole arena: it is halved until there is. */
static void test_address_space(void)
{
    const uint64_t buckets = 4096;
    struct rlimit as;

    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDOUT);
        g_test_trap_assert_passed();
        return;
    }
    harness_init(8 * GiB, 0);
    stamp(buckets);
    as.rlim_cur = as.rlim_max = address_space() + 3 * GiB;
    g_assert_cmpint(setrlimit(RLIMIT_AS, &as), ==, 0);
    xen_map_cache_init();
    g_assert_cmpuint(stats().buckets_max, <=, 3072);
    g_assert_cmpuint(stats().buckets_max, >, 1024);
    cross(buckets);
    serve(buckets);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/xen-mapcache/limits/address-space", test_address_space);
    g_test_add_func("/xen-mapcache/limits/shipped", test_shipped);
    return g_test_run();
}
