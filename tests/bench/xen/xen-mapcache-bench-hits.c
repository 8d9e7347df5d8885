/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Xen mapcache's benchmark: hits, in one thread and several, and with the
 * guest's size.
 */
#include "qemu/osdep.h"
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
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

/* ---- two at the same time, and seen to be ---- */

#define OVERLAP_LOOKUPS 20000u      /* of a round: well below a time slice */
#define OVERLAP_DMAS    2000u
#define OVERLAP_ROUNDS  1000u
#define OVERLAP_NS      3000000000ll    /* on a busy machine: fewer rounds */
#define OVERLAP_LEAST   20u         /* rounds that count; fewer say nothing */

typedef struct OverlapRound {
    int64_t start, end;             /* ns */
    int cpu[2];                     /* at its start and its end */
    bool pushed;                    /* off the processor, by another */
} OverlapRound;

/* What thread @number does in round @round, so many times. */
typedef void OverlapWork(unsigned number, unsigned round);

typedef struct OverlapThread {
    QemuThread thread;
    OverlapWork *work;
    unsigned number;
    OverlapRound round[OVERLAP_ROUNDS];
} OverlapThread;

static unsigned overlap_arrived;    /* atomic: two for each round */
static unsigned overlap_last;       /* how many rounds; atomic, by thread 0 */
static int64_t overlap_deadline;    /* ns */

static long pushed_off(void)
{
    struct rusage usage;

    g_assert_cmpint(getrusage(RUSAGE_THREAD, &usage), ==, 0);
    return usage.ru_nivcsw;
}

/* Until both threads are here for the @n'th time. */
static void overlap_barrier(unsigned n)
{
    qatomic_inc(&overlap_arrived);
    while (qatomic_load_acquire(&overlap_arrived) < 2 * n) {
        ;
    }
}

static void *overlap_thread(void *opaque)
{
    OverlapThread *t = opaque;
    unsigned i;

    rcu_register_thread();
    bench_thread_init();
    for (i = 0; i < OVERLAP_ROUNDS; i++) {
        OverlapRound *r = &t->round[i];
        long before;

        /* Before the barrier: so both see it behind the same one. */
        if (t->number == 0 && bench_now() > overlap_deadline) {
            qatomic_set(&overlap_last, i);
        }
        overlap_barrier(i + 1);
        if (i >= qatomic_read(&overlap_last)) {
            break;
        }
        before = pushed_off();
        r->cpu[0] = sched_getcpu();
        r->start = bench_now();
        t->work(t->number, i);
        r->end = bench_now();
        r->cpu[1] = sched_getcpu();
        r->pushed = pushed_off() != before;
    }
    rcu_unregister_thread();
    return NULL;
}

/*
 * Were both at work, on two processors, for nearly all of the round?  A thread
 * that waits for a lock is at work: it is what the other makes it do.
 */
static bool overlap_counts(const OverlapRound *a, const OverlapRound *b)
{
    int64_t both = MIN(a->end, b->end) - MAX(a->start, b->start);
    int64_t longer = MAX(a->end - a->start, b->end - b->start);

    return !a->pushed && !b->pushed && both * 10 >= longer * 9 &&
           a->cpu[0] == a->cpu[1] && b->cpu[0] == b->cpu[1] &&
           a->cpu[0] != b->cpu[0];
}

static int double_order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/*
 * Nanoseconds for one of the @operations of a round, both threads together:
 * the median of the rounds that count.  On one processor there are none, and
 * nothing is reported.
 */
static void bench_overlap(const char *scenario, OverlapWork *work,
                          unsigned operations)
{
    static OverlapThread thread[2];
    static double ns[OVERLAP_ROUNDS];
    unsigned i, n = 0;

    harness_bql(false);
    qatomic_set(&overlap_arrived, 0);
    qatomic_set(&overlap_last, OVERLAP_ROUNDS);
    overlap_deadline = bench_now() + OVERLAP_NS;
    for (i = 0; i < 2; i++) {
        thread[i].work = work;
        thread[i].number = i;
        qemu_thread_create(&thread[i].thread, "overlap", overlap_thread,
                           &thread[i], QEMU_THREAD_JOINABLE);
    }
    for (i = 0; i < 2; i++) {
        qemu_thread_join(&thread[i].thread);
    }
    harness_bql(true);
    for (i = 0; i < overlap_last; i++) {
        const OverlapRound *a = &thread[0].round[i], *b = &thread[1].round[i];

        if (overlap_counts(a, b)) {
            ns[n++] = (double)(a->end - a->start + b->end - b->start) / 4 /
                      operations;
        }
    }
    if (n >= OVERLAP_LEAST) {
        qsort(ns, n, sizeof(ns[0]), double_order);
        bench_report(scenario, "ns", ns[n / 2]);
    } else {
        fprintf(stderr, "%s cannot be measured: the two threads ran at the "
                "same time in %u of %u rounds\n", scenario, n, overlap_last);
    }
}

static void overlap_lookups(unsigned number, unsigned round)
{
    uint32_t x = 2 * round + number;
    unsigned i;

    RCU_READ_LOCK_GUARD();
    for (i = 0; i < OVERLAP_LOOKUPS; i++) {
        x = next_random(x);
        if (!bench_lookup(warm_address(x))) {
            abort();
        }
    }
}

/* Each thread in buckets of its own. */
static void overlap_dma(unsigned number, unsigned round)
{
    unsigned i;

    for (i = 0; i < OVERLAP_DMAS; i++) {
        uint64_t addr = WARM_AT + (number * WARM + i % WARM) * MIB +
                        i % 200 * PAGE;
        uint8_t *host;

        WITH_RCU_READ_LOCK_GUARD() {
            host = bench_map(addr, PAGE);
        }
        bench_unmap(host, PAGE);
    }
}

void bench_hit(void)
{
    warm_up();
    bench_time("unlocked-hit", lookups, NULL, LOOKUPS);
}

void bench_hits(void)
{
    uint8_t *ram;

    bench_hit();
    bench_overlap("unlocked-hit-2-threads-overlap", overlap_lookups,
                  OVERLAP_LOOKUPS);
    bench_time("access-8", accesses, NULL, LOOKUPS);
    /* Memory of the same kind as the simulated machine's, and touched. */
    ram = mmap(NULL, PLAIN_BYTES, PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g_assert_true(ram != MAP_FAILED);
    memset(ram, 1, PLAIN_BYTES);
    bench_time("plain-access-8", plain_accesses, ram, LOOKUPS);
    munmap(ram, PLAIN_BYTES);
}

/* ---- so many operations, for a program that counts instructions ---- */

bool bench_count(const char *operation, unsigned n)
{
    static volatile uint64_t sink;
    bool lookup = !strcmp(operation, "hit"), dma = !strcmp(operation, "dma");
    uint32_t x = 1;
    unsigned i;

    if (!lookup && !dma && strcmp(operation, "loop")) {
        return false;
    }
    warm_up();
    bench_unmap(bench_map(WARM_AT, PAGE), PAGE);
    RCU_READ_LOCK_GUARD();
    for (i = 0; i < n; i++) {
        uint64_t addr;

        x = next_random(x);
        addr = warm_address(x);
        if (lookup) {
            sink = (uintptr_t)bench_lookup(addr);
        } else if (dma) {
            uint8_t *host = bench_map(addr, PAGE);

            sink = bench_reverse(host);
            bench_unmap(host, PAGE);
        } else {
            sink = addr;
        }
    }
    (void)sink;
    return true;
}

void bench_dma_threads(void)
{
    bench_overlap("dma-2-threads-overlap", overlap_dma, OVERLAP_DMAS);
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
