/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mapcache under threads.
 *
 * Threads of iothread kind (no BQL) look guest pages up, hold DMA mappings,
 * hand them to each other and ask for reverse addresses, while the main
 * thread, with the BQL, takes pages away and gives new ones, invalidates,
 * makes and frees device memory and does as the others do.
 *
 * Each page carries a stamp in its first and last eight bytes: which page it
 * is and how many frames the page had before.  The main thread keeps two
 * numbers for a page: the last frame that it got, and, since the last
 * invalidate, the first that a lookup may still show.  What a pointer shows
 * lies between the two, and stays what it is: an unlocked pointer to the end
 * of the RCU section, a DMA pointer to its release.
 *
 * XEN_MAPCACHE_OPS: how many operations each thread does; XEN_MAPCACHE_SEED.
 *
 * The tests named "seeded" run the stress in a process of its own with a
 * mistake built in from outside, by the linker's --wrap, and expect it found.
 */
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/rcu.h"
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/rcu.h"
#include "xen-mapcache-stress.h"

/* --- mistakes, from outside -------------------------------------- */

typedef enum Mistake {
    MISTAKE_NONE,
    MISTAKE_NO_GRACE,       /* slots are unmapped without a grace period */
    MISTAKE_NO_STEP,        /* every other invalidate keeps the generation */
    MISTAKE_SHORT_RELEASE,  /* a release unlocks the first bucket only */
    MISTAKE_LONG_RELEASE,   /* … or one too many */
} Mistake;

static Mistake mistake;

void __wrap_synchronize_rcu(void);
void __real_mcache_flush_locked(void);
void __wrap_mcache_flush_locked(void);
uint64_t __real_mcache_rev_remove(const uint8_t *host, uint64_t size,
                                  MapCacheRevKind kind);
uint64_t __wrap_mcache_rev_remove(const uint8_t *host, uint64_t size,
                                  MapCacheRevKind kind);
bool __real_bql_locked(void);
bool __wrap_bql_locked(void);
void *__real_mmap64(void *addr, size_t len, int prot, int flags, int fd,
                    off_t offset);
void *__wrap_mmap64(void *addr, size_t len, int prot, int flags, int fd,
                    off_t offset);

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

void __wrap_mcache_flush_locked(void)
{
    static bool odd;

    if (mistake == MISTAKE_NO_STEP) {
        odd = !odd;
        if (odd) {
            qatomic_set(&mapcache.gen, mapcache.gen - 1);
        }
    }
    __real_mcache_flush_locked();
}

uint64_t __wrap_mcache_rev_remove(const uint8_t *host, uint64_t size,
                                  MapCacheRevKind kind)
{
    uint64_t found = __real_mcache_rev_remove(host, size, kind);

    if (found && kind == MCACHE_REV_DMA) {
        if (mistake == MISTAKE_SHORT_RELEASE) {
            return 1;
        }
        if (mistake == MISTAKE_LONG_RELEASE) {
            return found + MCACHE_BUCKET_SIZE;
        }
    }
    return found;
}

/* Called between finding a slot and marking it. */
bool __wrap_bql_locked(void)
{
    stress_pause(8);
    return __real_bql_locked();
}

/* Slots are emptied by this, after it was seen that nobody is in them. */
void *__wrap_mmap64(void *addr, size_t len, int prot, int flags, int fd,
                    off_t offset)
{
    if (prot == PROT_NONE && flags & MAP_FIXED) {
        stress_pause(2);
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

static void stress(void)
{
    uint64_t seed = from_env("XEN_MAPCACHE_SEED", time(NULL));
    uint64_t ops = from_env("XEN_MAPCACHE_OPS", STRESS_OPS);
    uint64_t page, done = 0, main_ops = 0, bytes = 0;
    struct sigaction act = { .sa_sigaction = stress_on_fault,
                             .sa_flags = SA_SIGINFO };
    XenMapCacheStats s;
    unsigned i;

    g_test_message("seed %" PRIu64, seed);
    sigaction(SIGSEGV, &act, NULL);
    sigaction(SIGBUS, &act, NULL);
    for (page = 0; page < PAGES; page++) {
        GuestPage *p = &stress_pages[page];

        *p = (GuestPage) { .floor = 1 };
        if (stress_page_may_move(page)) {
            p->changes = 1;
            p->latest = 1;
            stress_stamp(page, page, 1);
        }
    }
    xen_map_cache_get_stats(&s);
    stress_running = 0;
    for (i = 0; i <= THREADS; i++) {
        Worker *w = &stress_workers[i];

        memset(w, 0, offsetof(Worker, thread));
        w->random = (seed + i + 1) * 0x9e3779b97f4a7c15ull | 1;
        w->as.name = g_strdup_printf("thread-%u", i);
    }
    for (i = 0; i < THREADS; i++) {
        qemu_thread_create(&stress_workers[i].thread, "worker", stress_worker,
                           &ops, QEMU_THREAD_JOINABLE);
        while (qatomic_read(&stress_running) != i + 1) {
            g_usleep(100); /* each takes its own place */
        }
    }
    stress_self = &stress_workers[THREADS];
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

/* --- seeded mistakes --------------------------------------------- */

#ifndef STRESS_ONLY /* which a sanitizer is for */

static void seeded(gconstpointer which)
{
    if (g_test_subprocess()) {
        mistake = GPOINTER_TO_INT(which);
        /* What shows at the end need not be waited for. */
        g_setenv("XEN_MAPCACHE_OPS",
                 mistake == MISTAKE_SHORT_RELEASE ? "1000" : "300000", true);
        harness_init(SMALL_RAM, 0);
        xen_map_cache_init();
        stress();
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_failed();
    /* By these checks, not by whatever else. */
    if (GPOINTER_TO_INT(which) == MISTAKE_LONG_RELEASE) {
        g_test_trap_assert_stderr("*mcache_locks(old)*");
    } else {
        g_test_trap_assert_stderr("*" COMPLAINT "*");
    }
}

static void add_seeded(const char *name, Mistake which)
{
    g_autofree char *path = g_strdup_printf("/xen-mapcache/threads/seeded/%s",
                                            name);

    g_test_add_data_func(path, GINT_TO_POINTER(which), seeded);
}

#endif

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/xen-mapcache/threads/stress", test_stress);
#ifndef STRESS_ONLY
    add_seeded("no-grace-period", MISTAKE_NO_GRACE);
    add_seeded("no-generation-step", MISTAKE_NO_STEP);
    add_seeded("short-release", MISTAKE_SHORT_RELEASE);
    add_seeded("long-release", MISTAKE_LONG_RELEASE);
#endif
    return g_test_run();
}
