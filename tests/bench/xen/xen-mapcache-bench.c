/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Xen mapcache's benchmark: one implementation, all scenarios.
 *
 * Prints a line for each scenario: name, unit and value, separated by tabs.  A
 * time is the least of several rounds; a count is exact.  After a time come the
 * numbers of simulated map calls and of unmapped mappings in one operation.
 * tools/bench runs the program for each implementation and prints ratios.
 *
 * Fair terms: frames are contiguous within a bucket.  The cost of a simulated
 * map call of a bucket ("map-call") and of its unmapping is measured too, so
 * that it can be subtracted: "unmap-call" is the cost of one, "unmap-run" that
 * of each of many adjacent ones that one system call unmaps.
 */
#include "qemu/osdep.h"
#include <sys/mman.h>
#include "qemu/rcu.h"
#include "hw/xen/xen_native.h"
#include "xen-mapcache-harness.h"
#include "xen-mapcache-bench.h"

#define RAM         (4096 * MIB)
#define BUCKETS     1024            /* of an invalidate */
#define EMPTY       1000u           /* invalidates of nothing */
#define MAP_CALLS   1024u
#define HELD        1024

/* --- DMA --------------------------------------------------------------- */

/* Nanoseconds for map, reverse lookup and release of a page. */
static double dma(void *opaque)
{
    unsigned n = *(unsigned *)opaque, i;
    int64_t start = bench_now();

    for (i = 0; i < n; i++) {
        uint64_t addr = WARM_AT + (i % WARM) * MIB + (i % 200) * PAGE;
        uint8_t *host = bench_map(addr, PAGE);

        if (bench_reverse(host) != addr) {
            abort();
        }
        bench_unmap(host, PAGE);
    }
    return (double)(bench_now() - start) / n;
}

static void dma_scenarios(void)
{
    static uint8_t *held[65536];
    unsigned n = 5000, i, outstanding;
    char name[64];

    bench_time("dma-warm", dma, &n, n);
    for (outstanding = 1; outstanding <= ARRAY_SIZE(held);
         outstanding *= 4) {
        unsigned m = MAX(n * 64 / MAX(outstanding, 64), 1000);

        /* Four to a page, in buckets of their own. */
        for (i = 0; i < outstanding; i++) {
            held[i] = bench_map(1024 * MIB + (uint64_t)i * PAGE / 4, 512);
        }
        snprintf(name, sizeof(name), "dma-held-%u", outstanding);
        bench_time(name, dma, &m, m);
        for (i = 0; i < outstanding; i++) {
            bench_unmap(held[i], 512);
        }
    }

    for (i = 0; i < HELD; i++) {
        held[i] = bench_map(1024 * MIB + (uint64_t)i * PAGE, PAGE);
    }
    bench_time("dma-warm-1024-held", dma, &n, n);
    for (i = 0; i < HELD; i++) {
        bench_unmap(held[i], PAGE);
    }
}

/* --- invalidate --------------------------------------------------------- */

static double invalidate_empty(void *opaque)
{
    const unsigned n = EMPTY;
    int64_t start;
    unsigned i;

    bench_invalidate();
    start = bench_now();
    for (i = 0; i < n; i++) {
        bench_invalidate();
    }
    return (double)(bench_now() - start) / n;
}

static double invalidate_full(void *opaque)
{
    XensimMemInfo info;
    int64_t start, t;
    unsigned i;

    WITH_RCU_READ_LOCK_GUARD() {
        for (i = 0; i < BUCKETS; i++) {
            g_assert_nonnull(bench_lookup(i * MIB));
        }
    }
    start = bench_start();
    bench_invalidate();
    t = bench_now() - start;
    xensim_mem_info(harness_dom, &info);
    g_assert_cmpuint(info.mapped_pages, ==, 0);
    return t;
}

/* --- what Xen is asked for ----------------------------------------------- */

static void count_scenarios(void)
{
    uint64_t before;
    unsigned i;

    bench_invalidate();
    bench_unmap(bench_map(0x300000, PAGE), PAGE);
    before = xensim_count_maps(harness_sim).calls;
    for (i = 0; i < 100; i++) {
        bench_unmap(bench_map(0x300000 + i * PAGE, PAGE), PAGE);
    }
    bench_report("map-calls-warm-dma", "calls",
                 xensim_count_maps(harness_sim).calls - before);

    xensim_depopulate(harness_dom, 0x410, 1);
    bench_invalidate();
    WITH_RCU_READ_LOCK_GUARD() {
        g_assert_nonnull(bench_lookup(0x400000));
        before = xensim_count_maps(harness_sim).pages;
        for (i = 0; i < 100; i++) {
            g_assert_null(bench_lookup(0x410000));
        }
    }
    bench_report("map-calls-hole", "pages",
                 xensim_count_maps(harness_sim).pages - before);
    g_assert_cmpuint(xensim_populate(harness_dom, 0x410, 1), ==, 1);
}

static int64_t map_buckets(void *place[MAP_CALLS])
{
    const int fixed = place[0] ? MAP_FIXED : 0;
    xen_pfn_t gfn[256];
    int err[256];
    int64_t start = bench_now();
    unsigned i, n;

    for (n = 0; n < MAP_CALLS; n++) {
        for (i = 0; i < ARRAY_SIZE(gfn); i++) {
            gfn[i] = 0x1000 + n * ARRAY_SIZE(gfn) + i;
        }
        place[n] = xenforeignmemory_map2(xen_fmem, xen_domid, place[n],
                                         PROT_READ | PROT_WRITE, fixed,
                                         ARRAY_SIZE(gfn), gfn, err);
        g_assert_nonnull(place[n]);
    }
    return bench_now() - start;
}

static int64_t unmap_buckets(void *const place[MAP_CALLS])
{
    int64_t start = bench_now();
    unsigned n;

    for (n = 0; n < MAP_CALLS; n++) {
        munmap(place[n], MIB);
    }
    return bench_now() - start;
}

/*
 * Nanoseconds that one simulated map of a bucket costs, and its end: of
 * buckets that were never touched, as those of an invalidate here are.
 */
static double map_call(void *opaque)
{
    void *place[MAP_CALLS] = { NULL };
    int64_t t = map_buckets(place);

    unmap_buckets(place);
    return (double)t / MAP_CALLS;
}

static double unmap_call(void *opaque)
{
    void *place[MAP_CALLS] = { NULL };

    map_buckets(place);
    return (double)unmap_buckets(place) / MAP_CALLS;
}

/* The same of neighbours, by one call. */
static double unmap_run(void *opaque)
{
    void *place[MAP_CALLS];
    void *area = mmap(NULL, MAP_CALLS * MIB, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int64_t start;
    unsigned n;
    double t;

    g_assert_true(area != MAP_FAILED);
    for (n = 0; n < MAP_CALLS; n++) {
        place[n] = area + n * MIB;
    }
    map_buckets(place);
    start = bench_now();
    g_assert_true(mmap(area, MAP_CALLS * MIB, PROT_NONE, MAP_FIXED |
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) ==
                  area);
    t = (double)(bench_now() - start) / MAP_CALLS;
    munmap(area, MAP_CALLS * MIB);
    return t;
}

/*
 * What an invalidate of BUCKETS cannot be faster than: the one mmap() that
 * ends as many neighbours, of the same kind as the mapcache's.
 */
static double invalidate_floor(void *opaque)
{
    return unmap_run(opaque) * BUCKETS;
}

int main(int argc, char **argv)
{
    uint64_t kib;

    if (argc == 3 && !strcmp(argv[1], "--guest-mib")) {
        bench_guest_size(g_ascii_strtoull(argv[2], NULL, 10) * MIB);
        return 0;
    } else if (argc == 2 && !strcmp(argv[1], "--hit")) {
        harness_init(RAM, 0);
        bench_init();
        bench_hit();
        return 0;
    } else if (argc > 1 && (argc != 4 || strcmp(argv[1], "--count"))) {
        fprintf(stderr, "usage: %s [--guest-mib SIZE | --hit | --count "
                "OPERATION NUMBER]\n", argv[0]);
        return 2;
    }
    harness_init(RAM, 0);
    if (argc > 1) {
        bench_init();
        return bench_count(argv[2], strtoul(argv[3], NULL, 10)) ? 0 : 2;
    }
    /* RAM costs no host memory until it is written: so is all of this. */
    kib = bench_data_kib();
    bench_init();
    bench_report("bookkeeping", "KiB", bench_data_kib() - kib);

    bench_time("map-call", map_call, NULL, MAP_CALLS);
    bench_time("unmap-call", unmap_call, NULL, MAP_CALLS);
    bench_time("unmap-run", unmap_run, NULL, MAP_CALLS);
    bench_hits();
    bench_invalidate();
    dma_scenarios();
    bench_dma_threads();
    bench_time("invalidate-empty", invalidate_empty, NULL, EMPTY);
    bench_time("invalidate-1024", invalidate_full, NULL, 1);
    bench_time("plain-invalidate-1024", invalidate_floor, NULL, 1);
    count_scenarios();
    return 0;
}
