/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mapcache under threads.
 *
 * Threads without the BQL, like iothreads, look up guest pages, hold DMA
 * mappings, hand them to each other and make reverse lookups.  Meanwhile the
 * main thread, with the BQL, takes pages away and gives new ones, invalidates,
 * makes and frees device memory, and also does what the other threads do.
 *
 * Each page has a stamp in its first and last eight bytes.  The stamp contains
 * the page's number and a serial: the number of frames that the page had
 * before.  For each page the main thread keeps two serials: that of the page's
 * last frame, and the first that a lookup may still show since the last
 * invalidate.  The serial that a pointer shows must be between the two.  It
 * must not change while the pointer is valid: a transient pointer until the end
 * of the RCU section, a DMA pointer until its release.
 *
 * XEN_MAPCACHE_OPS is the number of operations of each thread,
 * XEN_MAPCACHE_SEED the seed.
 *
 * The tests named "seeded" run mutants in a process of their own.  The linker's
 * --wrap makes the mistake, and the test must find it.  Under a sanitizer the
 * mistakes show no wrong byte, and the sanitizer must report them.
 */
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/rcu.h"
#include "xen-mapcache-hang.h"
#include "xen-mapcache-stress.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-dma.h"
#include "xen-mapcache-outside.h"
#include "xen-mapcache-slots.h"
#include "xen-mapcache-wrap.h"

/* --- mistakes, from outside -------------------------------------- */

typedef enum Mistake {
    MISTAKE_NONE,
    MISTAKE_NO_GRACE,       /* slots are unmapped without a grace period */
    MISTAKE_NO_STEP,        /* every other invalidate keeps the generation */
    MISTAKE_SHORT_RELEASE,  /* a release unlocks the first bucket only */
    MISTAKE_LONG_RELEASE,   /* … or one too many */
    MISTAKE_WRITTEN_LIVE,   /* a slot that is found is written to */
    MISTAKE_FREED,          /* a record is freed, and found all the same */
    MISTAKE_SHIFT,          /* the pages of a release are the bits of an int */
} Mistake;

static Mistake mistake;

WRAPPED(mcache_flush_locked);
WRAPPED(mcache_dma_remove);
WRAPPED(mcache_slots_unlock);
WRAPPED(mcache_outside_remove_locked);
WRAPPED(bql_locked);
WRAPPED(mmap64);

void __wrap_synchronize_rcu(void)
{
    unsigned i;

    if (mistake == MISTAKE_NO_GRACE) {
        return;
    }
    __real_synchronize_rcu();
    /*
     * What the grace period orders, in words that a thread sanitizer knows:
     * it understands no fences.  Pairs with section_end().
     */
    for (i = 0; i <= THREADS; i++) {
        qatomic_load_acquire(&stress_workers[i].sections);
    }
}

/* With what is there already: so that nothing but the writing is wrong. */
static void write_live_slots(void)
{
    uint32_t nr;

    for (nr = 0; nr < mapcache.nr_slots; nr++) {
        MapCacheSlot *s = &mapcache.slot[nr];

        if (mcache_slot_known(nr) &&
            mcache_phase(qatomic_read(&s->state)) == MCACHE_LIVE) {
            *(volatile unsigned long *)s->valid = *s->valid;
        }
    }
}

void __wrap_mcache_flush_locked(void)
{
    static bool odd;

    if (mistake == MISTAKE_WRITTEN_LIVE) {
        write_live_slots();
    }
    if (mistake == MISTAKE_NO_STEP) {
        odd = !odd;
        if (odd) {
            qatomic_set(&mapcache.gen, mapcache.gen - 1);
        }
    }
    __real_mcache_flush_locked();
}

bool __wrap_mcache_dma_remove(const uint8_t *host, uint64_t size)
{
    static unsigned seen;

    if (mistake == MISTAKE_SHIFT) {
        qatomic_or(&seen, 1u << size / PAGE);
    }
    return __real_mcache_dma_remove(host, size);
}

void __wrap_mcache_slots_unlock(uint32_t nr, uint32_t n)
{
    if (mistake == MISTAKE_SHORT_RELEASE) {
        n = MIN(n, 1);
    } else if (mistake == MISTAKE_LONG_RELEASE) {
        n++;
    }
    __real_mcache_slots_unlock(nr, n);
}

void __wrap_mcache_outside_remove_locked(Outside *o)
{
    if (mistake == MISTAKE_FREED) {
        g_free(o);
        return;
    }
    __real_mcache_outside_remove_locked(o);
}

/* Called between finding a slot and marking it. */
bool __wrap_bql_locked(void)
{
    stress_pause(8);
    return __real_bql_locked();
}

#define PATIENCE_US (5 * G_USEC_PER_SEC)

typedef enum ReaperStop {
    REAPER_RUNS,
    REAPER_TO_STOP,         /* at its next unmap */
    REAPER_STOPPED,
} ReaperStop;

static ReaperStop reaper_stop;  /* atomic */

/* In the reaper's unmap: until the main thread has got what it wants. */
static void reaper_may_stop(void)
{
    gint64 start = g_get_monotonic_time();

    if (bql_locked() ||
        qatomic_cmpxchg(&reaper_stop, REAPER_TO_STOP, REAPER_STOPPED) !=
        REAPER_TO_STOP) {
        return;
    }
    while (qatomic_read(&reaper_stop) == REAPER_STOPPED &&
           g_get_monotonic_time() - start < PATIENCE_US) {
        g_usleep(100);
    }
}

/* Slots are emptied by this, after it was seen that nobody is in them. */
void *__wrap_mmap64(void *addr, size_t len, int prot, int flags, int fd,
                    off_t offset)
{
    if (prot == PROT_NONE && flags & MAP_FIXED) {
        hang_here(HANG_EMPTY);
        if (qatomic_read(&reaper_stop) == REAPER_RUNS) {
            stress_pause(2);
        } else {
            reaper_may_stop();
        }
    }
    return __real_mmap64(addr, len, prot, flags, fd, offset);
}

/* All is over: nothing may be left mapped, or counted, or locked. */
static void check_quiet(uint64_t unmatched)
{
    uint64_t nulls = 0, page;
    XenMapCacheStats s;
    unsigned i;

    for (i = 0; i < HAND_OVER; i++) {
        Dma *d = qatomic_xchg(&stress_handed_over[i], NULL);

        if (d) {
            stress_dma_end(d);
        }
    }
    while (stress_self->nr_dma) {
        stress_dma_end(stress_self->dma[--stress_self->nr_dma]);
    }
    if (stress_block_host) {
        stress_op_block();
    }
    for (page = 0; page < PAGES; page++) {
        if (stress_page_may_move(page) && !(stress_pages[page].changes & 1)) {
            stress_page_comes(page);
        }
    }
    stress_invalidate();
    for (i = 0; i < 1000; i++) {
        xen_map_cache_get_stats(&s);
        if (!s.buckets_pending) {
            break;
        }
        g_usleep(10000); /* the reaper has its grace period */
    }
    for (i = 0; i <= THREADS; i++) {
        nulls += stress_workers[i].nulls;
    }
    if (s.buckets || s.buckets_pending || harness_mapped_pages()) {
        stress_complain("%" PRIu64 " buckets, %" PRIu64 " pending, %" PRIu64
                        " pages are mapped at the end", s.buckets,
                        s.buckets_pending, harness_mapped_pages());
    }
    if (s.dma || s.held || s.blocks || s.unmatched != unmatched) {
        stress_complain("%" PRIu64 " DMA, %" PRIu64 " held, %" PRIu64
                        " blocks, %" PRIu64 " unmatched at the end", s.dma,
                        s.held, s.blocks, s.unmatched - unmatched);
    }
    if (nulls > s.no_room) {
        stress_complain("%" PRIu64 " lookups of a page that is there failed, "
                        "and %" PRIu64 " for want of a slot", nulls,
                        s.no_room);
    }
    if (xensim_check(harness_sim)) {
        stress_complain("the simulated Xen's books do not balance");
    }
}

static uint64_t from_env(const char *name, uint64_t otherwise)
{
    const char *text = g_getenv(name);
    uint64_t v = otherwise;

    if (text && qemu_strtou64(text, NULL, 0, &v) < 0) {
        stress_complain("%s=%s is no number", name, text);
    }
    return v;
}

static void prepare_pages(void)
{
    for (uint64_t page = 0; page < PAGES; page++) {
        GuestPage *p = &stress_pages[page];

        *p = (GuestPage) { .floor = 1 };
        if (stress_page_may_move(page)) {
            p->changes = 1;
            p->latest = 1;
            stress_stamp(page, page, 1);
        }
    }
}

/* Starts the threads, each in a place of its own; the last is the caller's. */
static void start_workers(uint64_t seed, uint64_t *ops)
{
    unsigned i;

    stress_started = 0;
    stress_running = THREADS;
    for (i = 0; i <= THREADS; i++) {
        Worker *w = &stress_workers[i];

        memset(w, 0, offsetof(Worker, thread));
        w->random = (seed + i + 1) * 0x9e3779b97f4a7c15ull | 1;
        w->as.name = g_strdup_printf("thread-%u", i);
    }
    for (i = 0; i < THREADS; i++) {
        qemu_thread_create(&stress_workers[i].thread, "worker", stress_worker,
                           ops, QEMU_THREAD_JOINABLE);
    }
    stress_self = &stress_workers[THREADS];
}

static void stress(void)
{
    uint64_t seed = from_env("XEN_MAPCACHE_SEED", time(NULL));
    uint64_t ops = from_env("XEN_MAPCACHE_OPS", STRESS_OPS);
    uint64_t done = 0, main_ops = 0, bytes = 0;
    struct sigaction act = { .sa_sigaction = stress_on_fault,
                             .sa_flags = SA_SIGINFO };
    XenMapCacheStats s;
    unsigned i;

    g_test_message("seed %" PRIu64, seed);
    sigaction(SIGSEGV, &act, NULL);
    sigaction(SIGBUS, &act, NULL);
    prepare_pages();
    xen_map_cache_get_stats(&s);
    start_workers(seed, &ops);
    while (qatomic_read(&stress_running)) {
        stress_main_once();
        main_ops++;
    }
    for (i = 0; i < THREADS; i++) {
        qemu_thread_join(&stress_workers[i].thread);
    }
    check_quiet(s.unmatched);
    xen_map_cache_get_stats(&s);
    for (i = 0; i <= THREADS; i++) {
        done += stress_workers[i].ops;
        bytes += stress_workers[i].bytes;
        g_free(stress_workers[i].as.name);
    }
    stress_self = NULL;
    g_test_message("%" PRIu64 " operations, %" PRIu64 " by the main thread; %"
                   PRIu64 " invalidates, %" PRIu64 " hits, %" PRIu64
                   " misses, %" PRIu64 " holes, %" PRIu64 " without room, %"
                   PRIu64 " bytes looked at", done, main_ops, s.invalidates,
                   s.hits, s.misses, s.holes, s.no_room, bytes);
    /* Or else it was no stress. */
    g_assert_cmpuint(s.invalidates, >, 10);
    g_assert_cmpuint(s.hits, >, ops / 20);
}

#ifdef TSAN_SUPPRESSIONS
const char *__tsan_default_options(void);

/* Wherever it is run from.  Called before anything is set up. */
__attribute__((no_sanitize("thread")))
const char *__tsan_default_options(void)
{
    return "halt_on_error=1 history_size=5 suppressions="
           TSAN_SUPPRESSIONS;
}
#endif

static void test_stress(void)
{
    harness_init(SMALL_RAM, 0);
    xen_map_cache_init();
    stress();
}

/*
 * What lies outside the arena comes and goes, to the last one, while another
 * thread looks there without a lock.
 */
#define COMES_AND_GOES  20000

static void *look_outside(void *opaque)
{
    const bool *stop = opaque;
    uint8_t elsewhere;

    rcu_register_thread();
    while (!qatomic_read(stop)) {
        if (xen_ram_addr_from_mapcache(&elsewhere) != RAM_ADDR_INVALID) {
            stress_complain("an address of no mapping's has a guest address");
        }
    }
    rcu_unregister_thread();
    return NULL;
}

static void test_outside(void)
{
    QemuThread thread;
    bool stop = false;
    unsigned i;

    qemu_thread_create(&thread, "look", look_outside, &stop,
                       QEMU_THREAD_JOINABLE);
    for (i = 0; i < COMES_AND_GOES; i++) {
        hwaddr len = PAGE;
        uint8_t *host = xen_map_cache_dma(harness_ram, 0x100000, 0, &len,
                                          XEN_MAP_HELD, true, NULL, NULL);

        g_assert_nonnull(host);
        xen_invalidate_map_cache_entry(host, len);
    }
    qatomic_set(&stop, true);
    qemu_thread_join(&thread);
}

/*
 * Mappings that are alike, made and ended by all threads, each of which ends
 * what another has made: every release finds one.
 */
#define ALIKE_OPS   20000
#define ALIKE_POOL  8

static uint8_t *alike_pool[ALIKE_POOL]; /* atomic */

static void *alike(void *opaque)
{
    unsigned i, n = 0;

    rcu_register_thread();
    for (i = 0; i < ALIKE_OPS; i++) {
        hwaddr len = 512;
        uint8_t *host;

        WITH_RCU_READ_LOCK_GUARD() {
            host = xen_map_cache_dma(harness_ram, 0x200000, 0, &len,
                                     XEN_MAP_DMA, true, NULL, NULL);
        }
        g_assert_nonnull(host);
        n = (n * 5 + i) % ALIKE_POOL;
        host = qatomic_xchg(&alike_pool[n], host);
        xen_invalidate_map_cache_entry(host, len);
    }
    rcu_unregister_thread();
    return NULL;
}

static void test_alike(void)
{
    QemuThread thread[THREADS];
    XenMapCacheStats before, after;
    unsigned i;

    xen_map_cache_get_stats(&before);
    for (i = 0; i < THREADS; i++) {
        qemu_thread_create(&thread[i], "alike", alike, NULL,
                           QEMU_THREAD_JOINABLE);
    }
    for (i = 0; i < THREADS; i++) {
        qemu_thread_join(&thread[i]);
    }
    for (i = 0; i < ALIKE_POOL; i++) {
        xen_invalidate_map_cache_entry(alike_pool[i], 512);
        alike_pool[i] = NULL;
    }
    xen_map_cache_get_stats(&after);
    g_assert_cmpuint(after.unmatched, ==, before.unmatched);
    g_assert_cmpuint(after.dma, ==, before.dma);
    xen_invalidate_map_cache();
    g_assert_cmpuint(harness_mapped_pages(), ==, 0);
}

/* --- the reaper and the lock ---------------------------------------- */

#ifndef MODEL_COMPAT
/* Nobody who misses waits for what the reaper unmaps. */
static void test_reaper_without_lock(void)
{
    uint64_t at = 3 * MODEL_BUCKET;

    xen_invalidate_map_cache();
    xensim_depopulate(harness_dom, at / PAGE + 3, 1);
    WITH_RCU_READ_LOCK_GUARD() {
        g_assert_nonnull(xen_map_cache(at, NULL, NULL));
        g_assert_cmpuint(xensim_populate(harness_dom, at / PAGE + 3, 1), ==,
                         1);
        qatomic_set(&reaper_stop, REAPER_TO_STOP);
        /* The bucket is mapped anew, its old slot left to the reaper. */
        g_assert_nonnull(xen_map_cache(at + 3 * PAGE, NULL, NULL));
    }
    while (qatomic_read(&reaper_stop) != REAPER_STOPPED) {
        g_usleep(100);
    }
    WITH_RCU_READ_LOCK_GUARD() {
        g_assert_nonnull(xen_map_cache(at + 4 * MODEL_BUCKET, NULL,
                                       NULL));
    }
    g_assert_cmpint(qatomic_xchg(&reaper_stop, REAPER_RUNS), ==,
                    REAPER_STOPPED);
    /* An invalidate is complete all the same. */
    xen_invalidate_map_cache();
    g_assert_cmpuint(harness_mapped_pages(), ==, 0);
}
#endif

/* --- seeded mistakes --------------------------------------------- */

typedef struct Seeded {
    const char *name;
    Mistake mistake;
    const char *ops;        /* what shows at the end need not be waited for */
    const char *report;     /* by this, and not by whatever else */
} Seeded;

static const Seeded seeds[] = {
#if defined(HARNESS_TSAN)
    { "written-live", MISTAKE_WRITTEN_LIVE, "300000",
      "*ThreadSanitizer: data race*write_live_slots*" },
#elif defined(HARNESS_ASAN)
    { "record-freed", MISTAKE_FREED, "300000",
      "*AddressSanitizer: heap-use-after-free*" },
    { "shift-too-far", MISTAKE_SHIFT, "300000",
      "*runtime error: shift exponent*" },
#elif !defined(STRESS_ONLY)
    { "no-grace-period", MISTAKE_NO_GRACE, "300000", "*" COMPLAINT "*" },
    { "no-generation-step", MISTAKE_NO_STEP, "300000", "*" COMPLAINT "*" },
    { "short-release", MISTAKE_SHORT_RELEASE, "1000", "*" COMPLAINT "*" },
    /* The last release asserts that there is a lock, and so does the check. */
    { "long-release", MISTAKE_LONG_RELEASE, "300000", "*mcache_locks(*" },
#endif
    { NULL }
};

static void seeded(gconstpointer opaque)
{
    const Seeded *s = opaque;

    if (g_test_subprocess()) {
        mistake = s->mistake;
        g_setenv("XEN_MAPCACHE_OPS", s->ops, true);
        harness_init(SMALL_RAM, 0);
        xen_map_cache_init();
        stress();
        return;
    }
    /* Between fork and exec is no place for a thread of RCU's. */
    rcu_disable_atfork();
    g_test_trap_subprocess(NULL, 0, 0);
    rcu_enable_atfork();
    g_test_trap_assert_failed();
    g_test_trap_assert_stderr(s->report);
}

int main(int argc, char **argv)
{
    const Seeded *s;

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/xen-mapcache/threads/stress", test_stress);
    g_test_add_func("/xen-mapcache/threads/outside", test_outside);
    g_test_add_func("/xen-mapcache/threads/alike", test_alike);
#ifndef MODEL_COMPAT
    g_test_add_func("/xen-mapcache/threads/reaper-without-lock",
                    test_reaper_without_lock);
#endif
    hang_add_tests();
    for (s = seeds; s->name; s++) {
        g_autofree char *path = g_strdup_printf(
            "/xen-mapcache/threads/seeded/%s", s->name);

        g_test_add_data_func(path, s, seeded);
    }
    return g_test_run();
}
