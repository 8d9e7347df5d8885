/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Xen mapcache's benchmark: one implementation, all scenarios.
 *
 * Prints a line for each: name, unit, value, separated by tabs.  Values are
 * the least of several rounds where they are times, and exact where they are
 * counts.  tools/bench runs it for each implementation and prints ratios.
 *
 * Fair terms: frames are contiguous within a bucket, and what a simulated map
 * call costs is measured too ("map-call"), so that it can be taken off.
 */
#include "qemu/osdep.h"
#include "qemu/rcu.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "hw/xen/xen_native.h"
#include "xen-mapcache-harness.h"
#include "xen-mapcache-bench.h"

#define MIB         (1ull << 20)
#define PAGE        XENSIM_PAGE_SIZE
#define RAM         (4096 * MIB)
#define ROUNDS      5
#define BUCKETS     1024            /* of an invalidate */
#define HELD        1024
#define WARM        16              /* buckets that hits go to */
#define WARM_AT     (64 * MIB)

static void report(const char *scenario, const char *unit, double value)
{
    printf("%s\t%s\t%.3f\n", scenario, unit, value);
    fflush(stdout);
}

static int64_t now(void)
{
    return get_clock();
}

/* The least of the rounds: what is over it is the machine's, not ours. */
static double least(double (*round)(void *), void *opaque)
{
    double best = 0, t;
    unsigned i;

    for (i = 0; i < ROUNDS; i++) {
        t = round(opaque);
        best = i && best < t ? best : t;
    }
    return best;
}

static uint64_t map_calls(void)
{
    return xensim_count_maps(harness_sim).calls;
}

static uint64_t map_pages(void)
{
    return xensim_count_maps(harness_sim).pages;
}

/* --- hits ------------------------------------------------------------- */

/* Nanoseconds for a lookup among WARM buckets, in no order. */
static double lookups(void *opaque)
{
    const unsigned n = 1000000;
    uint32_t x = 1;
    int64_t start;
    unsigned i;

    RCU_READ_LOCK_GUARD();
    start = now();
    for (i = 0; i < n; i++) {
        x = x * 1664525 + 1013904223;
        if (!bench_lookup(WARM_AT + (uint64_t)(x >> 28) * MIB +
                          ((x >> 12) & 0xff) * PAGE)) {
            abort();
        }
    }
    return (double)(now() - start) / n;
}

static void warm_up(void)
{
    unsigned i;

    RCU_READ_LOCK_GUARD();
    for (i = 0; i < WARM; i++) {
        g_assert_nonnull(bench_lookup(WARM_AT + i * MIB));
    }
}

static int threads_go;

static void *lookup_thread(void *opaque)
{
    rcu_register_thread();
    while (!qatomic_load_acquire(&threads_go)) {
        ;
    }
    *(double *)opaque = lookups(NULL);
    rcu_unregister_thread();
    return NULL;
}

/* Nanoseconds a lookup, all threads together, without the BQL. */
static double lookups_threads(void *opaque)
{
    unsigned n = *(unsigned *)opaque, i;
    QemuThread thread[8];
    double ns[8], rate = 0;

    harness_bql(false);
    qatomic_set(&threads_go, 0);
    for (i = 0; i < n; i++) {
        qemu_thread_create(&thread[i], "lookup", lookup_thread, &ns[i],
                           QEMU_THREAD_JOINABLE);
    }
    qatomic_store_release(&threads_go, 1);
    for (i = 0; i < n; i++) {
        qemu_thread_join(&thread[i]);
        rate += 1 / ns[i];
    }
    harness_bql(true);
    return 1 / rate;
}

/* --- DMA --------------------------------------------------------------- */

/* Nanoseconds for map, reverse lookup and release of a page. */
static double dma(void *opaque)
{
    unsigned n = *(unsigned *)opaque, i;
    int64_t start = now();

    for (i = 0; i < n; i++) {
        uint64_t addr = WARM_AT + (i % WARM) * MIB + (i % 200) * PAGE;
        uint8_t *host = bench_map(addr, PAGE);

        if (bench_reverse(host) != addr) {
            abort();
        }
        bench_unmap(host, PAGE);
    }
    return (double)(now() - start) / n;
}

static void dma_scenarios(void)
{
    static uint8_t *held[65536];
    unsigned n = 20000, i, outstanding;
    char name[64];

    report("dma-warm", "ns", least(dma, &n));
    for (outstanding = 1; outstanding <= ARRAY_SIZE(held);
         outstanding *= 8) {
        unsigned m = MAX(n * 64 / MAX(outstanding, 64), 1000);

        /* Four to a page, in buckets of their own. */
        for (i = 0; i < outstanding; i++) {
            held[i] = bench_map(1024 * MIB + (uint64_t)i * PAGE / 4, 512);
        }
        snprintf(name, sizeof(name), "dma-held-%u", outstanding);
        report(name, "ns", least(dma, &m));
        for (i = 0; i < outstanding; i++) {
            bench_unmap(held[i], 512);
        }
    }

    for (i = 0; i < HELD; i++) {
        held[i] = bench_map(1024 * MIB + (uint64_t)i * PAGE, PAGE);
    }
    report("dma-warm-1024-held", "ns", least(dma, &n));
    for (i = 0; i < HELD; i++) {
        bench_unmap(held[i], PAGE);
    }
}

/* --- invalidate --------------------------------------------------------- */

static double invalidate_empty(void *opaque)
{
    const unsigned n = 1000;
    int64_t start;
    unsigned i;

    bench_invalidate();
    start = now();
    for (i = 0; i < n; i++) {
        bench_invalidate();
    }
    return (double)(now() - start) / n;
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
    start = now();
    bench_invalidate();
    t = now() - start;
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
    before = map_calls();
    for (i = 0; i < 100; i++) {
        bench_unmap(bench_map(0x300000 + i * PAGE, PAGE), PAGE);
    }
    report("map-calls-warm-dma", "calls", map_calls() - before);

    xensim_depopulate(harness_dom, 0x410, 1);
    bench_invalidate();
    WITH_RCU_READ_LOCK_GUARD() {
        g_assert_nonnull(bench_lookup(0x400000));
        before = map_pages();
        for (i = 0; i < 100; i++) {
            g_assert_null(bench_lookup(0x410000));
        }
    }
    report("map-calls-hole", "pages", map_pages() - before);
    g_assert_cmpuint(xensim_populate(harness_dom, 0x410, 1), ==, 1);
}

/* Nanoseconds that one simulated map and unmap of a bucket costs. */
static double map_call(void *opaque)
{
    const unsigned n = 2000;
    xen_pfn_t gfn[256];
    int err[256];
    int64_t start;
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(gfn); i++) {
        gfn[i] = 0x1000 + i;
    }
    start = now();
    for (i = 0; i < n; i++) {
        void *p = xenforeignmemory_map2(xen_fmem, xen_domid, NULL,
                                        PROT_READ | PROT_WRITE, 0,
                                        ARRAY_SIZE(gfn), gfn, err);

        g_assert_nonnull(p);
        munmap(p, ARRAY_SIZE(gfn) * PAGE);
    }
    return (double)(now() - start) / n;
}

/* KiB of writable memory of this process, touched or not. */
static uint64_t data_kib(void)
{
    g_autofree char *text = NULL;
    const char *line;

    g_assert_true(g_file_get_contents("/proc/self/status", &text, NULL,
                                      NULL));
    line = strstr(text, "VmData:");
    g_assert_nonnull(line);
    return g_ascii_strtoull(line + strlen("VmData:"), NULL, 10);
}

int main(int argc, char **argv)
{
    unsigned threads = 2;
    uint64_t kib;

    harness_init(RAM, 0);
    /* RAM costs no host memory until it is written: so is all of this. */
    kib = data_kib();
    bench_init();
    report("bookkeeping", "KiB", data_kib() - kib);

    report("map-call", "ns", least(map_call, NULL));
    warm_up();
    report("unlocked-hit", "ns", least(lookups, NULL));
    report("unlocked-hit-2-threads", "ns", least(lookups_threads, &threads));
    bench_invalidate();
    dma_scenarios();
    report("invalidate-empty", "ns", least(invalidate_empty, NULL));
    report("invalidate-1024", "ns", least(invalidate_full, NULL));
    count_scenarios();
    return 0;
}
