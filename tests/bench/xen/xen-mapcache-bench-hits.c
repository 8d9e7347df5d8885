/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Xen mapcache's benchmark: hits, in one thread and several, and with the
 * guest's size.
 */
#include "qemu/osdep.h"
#include <sys/mman.h>
#include "qemu/rcu.h"
#include "qemu/thread.h"
#include "xen-mapcache-harness.h"
#include "xen-mapcache-bench.h"

#define LOOKUPS         250000u
#define DMAS            2500u
#define MAX_THREADS     4u
#define PLAIN_BYTES     (WARM_AT + WARM * MIB)
#define MMIO_HOLE       0xf0000000ull
#define SIZE_BUCKETS    64u             /* of a guest of any size */
#define SIZE_STRIDE     40507ull        /* a prime */

static uint32_t next_random(uint32_t x)
{
    return x * 1664525 + 1013904223;
}

/* Somewhere in the warm buckets, a multiple of 8 within a page. */
static uint64_t warm_address(uint32_t x)
{
    return WARM_AT + (uint64_t)(x >> 28) * MIB + ((x >> 12) & 0xff) * PAGE;
}

/* ---- one thread ---- */

static double lookups(void *opaque)
{
    uint32_t x = 1;
    int64_t start;
    unsigned i;

    RCU_READ_LOCK_GUARD();
    start = bench_now();
    for (i = 0; i < LOOKUPS; i++) {
        x = next_random(x);
        if (!bench_lookup(warm_address(x))) {
            abort();
        }
    }
    return (double)(bench_now() - start) / LOOKUPS;
}

static void warm_up(void)
{
    unsigned i;

    RCU_READ_LOCK_GUARD();
    for (i = 0; i < WARM; i++) {
        g_assert_nonnull(bench_lookup(WARM_AT + i * MIB));
    }
}

/* Eight bytes of guest RAM, by a lookup. */
static double accesses(void *opaque)
{
    uint32_t x = 1;
    int64_t start;
    unsigned i;

    RCU_READ_LOCK_GUARD();
    start = bench_now();
    for (i = 0; i < LOOKUPS; i++) {
        x = next_random(x);
        (void)*(volatile uint64_t *)bench_lookup(warm_address(x));
    }
    return (double)(bench_now() - start) / LOOKUPS;
}

/* What a machine does whose RAM is mapped for good: a bound and a sum. */
static uint8_t *G_GNUC_NO_INLINE plain_lookup(uint8_t *ram, uint64_t addr)
{
    g_assert(addr < PLAIN_BYTES);
    return ram + addr;
}

static double plain_accesses(void *opaque)
{
    uint32_t x = 1;
    int64_t start;
    unsigned i;

    start = bench_now();
    for (i = 0; i < LOOKUPS; i++) {
        x = next_random(x);
        (void)*(volatile uint64_t *)plain_lookup(opaque, warm_address(x));
    }
    return (double)(bench_now() - start) / LOOKUPS;
}

/* ---- several ---- */

typedef struct Runner {
    QemuThread thread;
    BenchRound *round;
    unsigned number;
    double ns;
} Runner;

static int threads_go;

static void *run_thread(void *opaque)
{
    Runner *r = opaque;

    rcu_register_thread();
    bench_thread_init();
    while (!qatomic_load_acquire(&threads_go)) {
        ;
    }
    r->ns = r->round(&r->number);
    rcu_unregister_thread();
    return NULL;
}

typedef struct Crowd {
    BenchRound *round;
    unsigned threads;
} Crowd;

/* Nanoseconds for an operation, all threads together, without the BQL. */
static double run_threads(void *opaque)
{
    const Crowd *crowd = opaque;
    Runner runner[MAX_THREADS];
    double rate = 0;
    unsigned i;

    harness_bql(false);
    qatomic_set(&threads_go, 0);
    for (i = 0; i < crowd->threads; i++) {
        runner[i].round = crowd->round;
        runner[i].number = i;
        qemu_thread_create(&runner[i].thread, "bench", run_thread, &runner[i],
                           QEMU_THREAD_JOINABLE);
    }
    qatomic_store_release(&threads_go, 1);
    for (i = 0; i < crowd->threads; i++) {
        qemu_thread_join(&runner[i].thread);
        rate += 1 / runner[i].ns;
    }
    harness_bql(true);
    return 1 / rate;
}

void bench_hits(void)
{
    Crowd crowd = { lookups, 2 };
    char name[32];
    uint8_t *ram;

    warm_up();
    bench_time("unlocked-hit", lookups, NULL, LOOKUPS);
    bench_time("unlocked-hit-2-threads", run_threads, &crowd, 2 * LOOKUPS);
    for (crowd.threads = 1; crowd.threads <= MAX_THREADS; crowd.threads++) {
        snprintf(name, sizeof(name), "hit-threads-%u", crowd.threads);
        bench_time(name, run_threads, &crowd, crowd.threads * LOOKUPS);
    }
    bench_time("access-8", accesses, NULL, LOOKUPS);
    /* Memory of the same kind as the simulated machine's, and touched. */
    ram = mmap(NULL, PLAIN_BYTES, PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g_assert_true(ram != MAP_FAILED);
    memset(ram, 1, PLAIN_BYTES);
    bench_time("plain-access-8", plain_accesses, ram, LOOKUPS);
    munmap(ram, PLAIN_BYTES);
}

static double thread_dma(void *opaque)
{
    const unsigned own = *(unsigned *)opaque * WARM;
    int64_t start = bench_now();
    unsigned i;

    for (i = 0; i < DMAS; i++) {
        uint64_t addr = WARM_AT + (own + i % WARM) * MIB + (i % 200) * PAGE;
        uint8_t *host;

        WITH_RCU_READ_LOCK_GUARD() {
            host = bench_map(addr, PAGE);
        }
        bench_unmap(host, PAGE);
    }
    return (double)(bench_now() - start) / DMAS;
}

void bench_dma_threads(void)
{
    Crowd crowd = { thread_dma, 1 };
    char name[32];

    for (; crowd.threads <= MAX_THREADS; crowd.threads++) {
        snprintf(name, sizeof(name), "dma-threads-%u", crowd.threads);
        bench_time(name, run_threads, &crowd, crowd.threads * DMAS);
    }
}

/* ---- guests of any size ---- */

static uint64_t size_address[SIZE_BUCKETS];

static double size_lookups(void *opaque)
{
    uint32_t x = 1;
    int64_t start;
    unsigned i;

    RCU_READ_LOCK_GUARD();
    start = bench_now();
    for (i = 0; i < LOOKUPS; i++) {
        x = next_random(x);
        if (!bench_lookup(size_address[x >> 26] + ((x >> 12) & 0xff) *
                          PAGE)) {
            abort();
        }
    }
    return (double)(bench_now() - start) / LOOKUPS;
}

static double size_dma(void *opaque)
{
    int64_t start = bench_now();
    unsigned i;

    for (i = 0; i < DMAS; i++) {
        uint64_t addr = size_address[i % SIZE_BUCKETS] + i % 200 * PAGE;
        uint8_t *host = bench_map(addr, PAGE);

        if (bench_reverse(host) == UINT64_MAX) {
            abort();
        }
        bench_unmap(host, PAGE);
    }
    return (double)(bench_now() - start) / DMAS;
}

static double size_invalidate(void *opaque)
{
    int64_t start;
    unsigned i;

    WITH_RCU_READ_LOCK_GUARD() {
        for (i = 0; i < SIZE_BUCKETS; i++) {
            g_assert_nonnull(bench_lookup(size_address[i]));
        }
    }
    start = bench_start();
    bench_invalidate();
    return bench_now() - start;
}

static void size_time(BenchRound *round, unsigned operations, uint64_t mib,
                      const char *what)
{
    char name[64];

    snprintf(name, sizeof(name), "size-%" PRIu64 "-%s", mib, what);
    bench_time(name, round, NULL, operations);
}

void bench_guest_size(uint64_t ram_bytes)
{
    const uint64_t mib = ram_bytes / MIB;
    char name[64];
    uint64_t kib;
    unsigned i;

    harness_init(ram_bytes, XENSIM_DOM_EMPTY);
    for (i = 0; i < SIZE_BUCKETS; i++) {
        /* In no order: a table of buckets might not like powers of two. */
        uint64_t addr = (i * SIZE_STRIDE % (ram_bytes / MIB - 2) + 1) * MIB;

        /* RAM goes on at 4 GiB. */
        addr += addr >= MMIO_HOLE ? (1ull << 32) - MMIO_HOLE : 0;
        size_address[i] = addr;
        g_assert_cmpuint(xensim_populate(harness_dom, addr / PAGE,
                                         MIB / PAGE), ==, MIB / PAGE);
    }
    kib = bench_data_kib();
    bench_init();
    size_time(size_invalidate, 1, mib, "invalidate");
    size_time(size_lookups, LOOKUPS, mib, "hit");
    size_time(size_dma, DMAS, mib, "dma");
    snprintf(name, sizeof(name), "size-%" PRIu64 "-bookkeeping", mib);
    bench_report(name, "KiB", bench_data_kib() - kib);
}
