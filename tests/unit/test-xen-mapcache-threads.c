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
#include "qemu/thread.h"
#include "exec/memory.h"
#include "exec/ram_addr.h"
#include "hw/xen/xen_native.h"
#include "xen-mapcache-harness.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-twin.h"

#define PAGE        XENSIM_PAGE_SIZE
#define RAM_BYTES   (64 * TWIN_BUCKET)  /* more than a tight arena holds */
#define PAGES       (RAM_BYTES / PAGE)
#define MAX_SPAN    (3 * MCACHE_BUCKET_PAGES + 1)
#define THREADS     3
#ifndef STRESS_OPS
#define STRESS_OPS  10000   /* of each thread */
#endif
#define MAX_HELD    12      /* pointers in one section */
#define MAX_DMA     6       /* outstanding in one thread */
#define HAND_OVER   4
#define SCRATCH_GFN 0xc0000 /* where a frame is stamped before it comes */
#define BLOCK_AT    (1ull << 32)
#define BLOCK_PAGES 40
#define SMALL_RAM   (32u << 20)

/* The hole that every HVM guest has. */
#define VGA_HOLE_FIRST  0xa0
#define VGA_HOLE_LAST   0xbf

/* --- failing ----------------------------------------------------- */

/* Every difference ends the process with this in front. */
#define COMPLAINT   "mapcache stress: "

static void G_GNUC_PRINTF(1, 2) complain(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    fputs(COMPLAINT, stderr);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    _exit(EXIT_FAILURE);
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
    static const char text[] =
        COMPLAINT "a pointer that is still good faulted\n";

    if (write(STDERR_FILENO, text, sizeof(text) - 1)) {
        _exit(EXIT_FAILURE);
    }
    _exit(EXIT_FAILURE);
}

/* --- threads and chance ------------------------------------------ */

typedef struct Dma {
    uint8_t *host;
    uint64_t addr, len;
    uint32_t serial[MAX_SPAN];
} Dma;

typedef struct Worker {
    uint64_t random;
    uint64_t ops, lookups, dmas, reverses, bytes, nulls;
    Dma *dma[MAX_DMA];
    unsigned nr_dma;
    uint64_t sections;      /* atomic: RCU sections that have ended */
    AddressSpace as;        /* its name is the owner in reports */
    QemuThread thread;
} Worker;

static Worker workers[THREADS + 1]; /* the last is the main thread */
static __thread Worker *self;
static Dma *handed_over[HAND_OVER]; /* atomic */
static unsigned running;            /* atomic */

static uint32_t chance(uint32_t bound)
{
    uint64_t x = self->random;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    self->random = x;
    return (x >> 20) % bound;
}

/* Gives the others a chance to come in between, here of all places. */
static void pause_sometimes(uint32_t often)
{
    uint32_t n;

    if (!self || chance(often)) {
        return;
    }
    n = chance(64);
    if (n < 4) {
        g_usleep(n * 30);
    } else if (n < 16) {
        sched_yield();
    } else {
        for (n = chance(2000); n; n--) {
            barrier();
        }
    }
}

/* --- mistakes, from outside -------------------------------------- */

typedef enum Mistake {
    MISTAKE_NONE,
    MISTAKE_NO_GRACE,       /* slots are unmapped without a grace period */
    MISTAKE_NO_STEP,        /* every other invalidate keeps the generation */
    MISTAKE_SHORT_RELEASE,  /* a release unlocks the first bucket only */
    MISTAKE_LONG_RELEASE,   /* … or one too many */
} Mistake;

static Mistake mistake;

void __real_synchronize_rcu(void);
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
        qatomic_load_acquire(&workers[i].sections);
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
    pause_sometimes(8);
    return __real_bql_locked();
}

/* Slots are emptied by this, after it was seen that nobody is in them. */
void *__wrap_mmap64(void *addr, size_t len, int prot, int flags, int fd,
                    off_t offset)
{
    if (prot == PROT_NONE && flags & MAP_FIXED) {
        pause_sometimes(2);
    }
    return __real_mmap64(addr, len, prot, flags, fd, offset);
}

/* --- pages ------------------------------------------------------- */

typedef struct GuestPage {
    uint32_t changes;   /* atomic; odd: there, and was since it became so */
    uint32_t latest;    /* atomic: the last frame that it got */
    uint32_t floor;     /* atomic: the first that a lookup may show */
} GuestPage;

static GuestPage pages[PAGES];

static bool page_may_move(uint64_t page)
{
    return page < VGA_HOLE_FIRST || page > VGA_HOLE_LAST;
}

static void stamp(uint64_t gfn, uint64_t page, uint32_t serial)
{
    uint64_t v = (page + 1) << 32 | serial, at = gfn * PAGE;

    g_assert_cmpint(xensim_write(harness_dom, at, &v, sizeof(v)), ==, 0);
    g_assert_cmpint(xensim_write(harness_dom, at + PAGE - sizeof(v), &v,
                                 sizeof(v)), ==, 0);
}

/* A page comes with its stamp on it: nobody ever sees it blank. */
static void page_comes(uint64_t page)
{
    uint32_t serial = pages[page].latest + 1;

    g_assert_cmpuint(xensim_populate(harness_dom, SCRATCH_GFN, 1), ==, 1);
    stamp(SCRATCH_GFN, page, serial);
    qatomic_store_release(&pages[page].latest, serial);
    g_assert_cmpint(xensim_move(harness_dom, SCRATCH_GFN, page, 1), ==, 0);
    qatomic_store_release(&pages[page].changes, pages[page].changes + 1);
}

static void page_goes(uint64_t page)
{
    qatomic_store_release(&pages[page].changes, pages[page].changes + 1);
    smp_mb();
    g_assert_cmpuint(xensim_depopulate(harness_dom, page, 1), ==, 1);
}

static void invalidate(void)
{
    uint64_t page;

    xen_invalidate_map_cache();
    for (page = 0; page < PAGES; page++) {
        GuestPage *p = &pages[page];

        qatomic_store_release(&p->floor, p->latest + !(p->changes & 1));
    }
}

/* What a pointer was seen to show, and must go on to show. */
typedef struct Span {
    uint8_t *host;
    uint64_t addr, len;
    uint32_t *serial;   /* of each page */
} Span;

static unsigned span_pages(const Span *s)
{
    return DIV_ROUND_UP((s->addr & (PAGE - 1)) + s->len, PAGE);
}

static uint32_t span_look(const Span *s, unsigned i, const char *what)
{
    const uint8_t *p = s->host - (s->addr & (PAGE - 1)) + (uint64_t)i * PAGE;
    uint64_t page = (s->addr >> XENSIM_PAGE_SHIFT) + i, v, end;

    memcpy(&v, p, sizeof(v));
    memcpy(&end, p + PAGE - sizeof(end), sizeof(end));
    self->bytes += 16;
    if (v >> 32 != page + 1 || end != v) {
        complain("%s of page 0x%" PRIx64 " shows 0x%016" PRIx64 " … 0x%016"
                 PRIx64, what, page, v, end);
    }
    return v;
}

/* Before the call that makes a pointer: what it may show at least. */
static void span_before(Span *s)
{
    unsigned i;

    for (i = 0; i < span_pages(s); i++) {
        s->serial[i] = qatomic_load_acquire(
            &pages[(s->addr >> XENSIM_PAGE_SHIFT) + i].floor);
    }
}

/* The first look. */
static void span_after(Span *s, const char *what)
{
    unsigned i;

    for (i = 0; i < span_pages(s); i++) {
        GuestPage *p = &pages[(s->addr >> XENSIM_PAGE_SHIFT) + i];
        uint32_t serial = span_look(s, i, what);
        uint32_t latest = qatomic_load_acquire(&p->latest);

        if (serial < s->serial[i] || serial > latest) {
            complain("%s of page 0x%" PRIx64 " shows its frame %u; it may "
                     "be %u to %u", what,
                     (s->addr >> XENSIM_PAGE_SHIFT) + i, serial,
                     s->serial[i], latest);
        }
        s->serial[i] = serial;
    }
}

static void span_again(const Span *s, const char *what)
{
    unsigned i;

    for (i = 0; i < span_pages(s); i++) {
        uint32_t serial = span_look(s, i, what);

        if (serial != s->serial[i]) {
            complain("%s of page 0x%" PRIx64 " shows frame %u, showed %u",
                     what, (s->addr >> XENSIM_PAGE_SHIFT) + i, serial,
                     s->serial[i]);
        }
    }
}

static void check_reverse(const Span *s)
{
    uint64_t at = chance(s->len);
    ram_addr_t got = xen_ram_addr_from_mapcache(s->host + at);

    self->reverses++;
    if (got != s->addr + at) {
        complain("reverse of 0x%" PRIx64 " is 0x%" PRIx64, s->addr + at,
                 (uint64_t)got);
    }
}

static uint64_t random_addr(void)
{
    uint64_t addr = (uint64_t)chance(PAGES) * PAGE;

    switch (chance(4)) {
    case 0: /* few pages that all want */
        addr = (addr & 3 * PAGE) + MCACHE_BUCKET_SIZE - 2 * PAGE;
        break;
    case 1:
        addr |= MCACHE_BUCKET_SIZE - PAGE;
        break;
    }
    return addr + (chance(2) ? chance(PAGE) : 0);
}

/*
 * No pointer: is the page not there?  If it was there all the time then there
 * was no slot for it, which the mapcache counts.
 */
static void no_pointer(uint64_t addr, uint32_t changes)
{
    smp_mb();
    if (changes & 1 && changes == qatomic_load_acquire(
            &pages[addr >> XENSIM_PAGE_SHIFT].changes)) {
        self->nulls++;
    }
}

static uint32_t changes_of(uint64_t addr)
{
    uint32_t n = qatomic_load_acquire(
        &pages[addr >> XENSIM_PAGE_SHIFT].changes);

    smp_mb();
    return n;
}

/* --- operations -------------------------------------------------- */

static uint8_t *block_host;     /* RCU: device memory that is there now */

/* A DMA that ended in device memory; the block lives as long as the section. */
static void look_at_block(void)
{
    uint8_t *host = qatomic_load_acquire(&block_host);
    uint64_t at = chance(BLOCK_PAGES * PAGE), v;

    if (!host) {
        return;
    }
    memcpy(&v, host + at / PAGE * PAGE, sizeof(v));
    if (v != BLOCK_AT + at / PAGE) {
        complain("device memory shows 0x%" PRIx64, v);
    }
    xen_invalidate_map_cache_entry(host + at, 512);
    if (xen_ram_addr_from_mapcache(host + at) != BLOCK_AT + at) {
        complain("reverse of device memory at 0x%" PRIx64, at);
    }
}

static void section_end(void)
{
    qatomic_store_release(&self->sections, self->sections + 1);
    rcu_read_unlock();
}

static void op_section(void)
{
    uint32_t serial[MAX_HELD][MCACHE_BUCKET_PAGES + 1];
    Span held[MAX_HELD];
    unsigned wanted = 1 + chance(chance(4) ? 3 : MAX_HELD), n = 0, i;

    rcu_read_lock();
    while (wanted--) {
        Span *s = &held[n];
        uint32_t changes;
        hwaddr len;

        s->addr = random_addr();
        s->serial = serial[n];
        len = MIN(1 + chance(chance(2) ? PAGE : MCACHE_BUCKET_SIZE),
                  MCACHE_BUCKET_SIZE - (s->addr & (MCACHE_BUCKET_SIZE - 1)));
        s->len = len;
        span_before(s);
        changes = changes_of(s->addr);
        s->host = xen_map_cache(s->addr, &len);
        self->lookups++;
        if (!s->host) {
            no_pointer(s->addr, changes);
            continue;
        }
        if (len == 0 || len > s->len) {
            complain("a length of 0x%" PRIx64, (uint64_t)len);
        }
        s->len = len;
        span_after(s, "an unlocked pointer");
        n++;
        pause_sometimes(16);
    }
    look_at_block();
    pause_sometimes(4);
    for (i = 0; i < n; i++) {
        span_again(&held[i], "an unlocked pointer");
        check_reverse(&held[i]);
    }
    section_end();
}

static Span dma_span(Dma *d)
{
    return (Span) { d->host, d->addr, d->len, d->serial };
}

static void op_dma(void)
{
    Dma *d = g_new(Dma, 1);
    XenMapUse use = chance(8) ? XEN_MAP_DMA : XEN_MAP_HELD;
    uint32_t changes;
    hwaddr len;
    Span s;

    d->addr = random_addr();
    len = 1 + chance(chance(2) ? PAGE : 3 * MCACHE_BUCKET_SIZE);
    len = MIN(len, RAM_BYTES - d->addr);
    d->len = len;
    s = dma_span(d);
    span_before(&s);
    changes = changes_of(d->addr);
    d->host = xen_map_cache_dma(harness_ram, d->addr, 0, &len, use,
                                chance(2), &self->as);
    self->dmas++;
    if (!d->host) {
        if (use == XEN_MAP_DMA) {
            no_pointer(d->addr, changes);
        }
        g_free(d);
        return;
    }
    if (len == 0 || len > d->len) {
        complain("a length of 0x%" PRIx64, (uint64_t)len);
    }
    d->len = len;
    s = dma_span(d);
    span_after(&s, "a DMA pointer");
    self->dma[self->nr_dma++] = d;
}

static void dma_end(Dma *d)
{
    Span s = dma_span(d);

    span_again(&s, "a DMA pointer");
    check_reverse(&s);
    xen_invalidate_map_cache_entry(d->host, d->len);
    g_free(d);
}

static void op_dma_end(void)
{
    unsigned i = chance(self->nr_dma);
    Dma *d = self->dma[i];

    self->dma[i] = self->dma[--self->nr_dma];
    if (chance(4) == 0) {
        /* Another thread shall end it. */
        d = qatomic_xchg(&handed_over[chance(HAND_OVER)], d);
        if (!d) {
            return;
        }
    }
    dma_end(d);
}

static void work_once(void)
{
    unsigned n = chance(100);

    self->ops++;
    if (n < 50) {
        op_section();
    } else if (self->nr_dma < MAX_DMA && (n < 75 || !self->nr_dma)) {
        op_dma();
    } else {
        op_dma_end();
    }
}

static void *worker(void *opaque)
{
    uint64_t ops = *(uint64_t *)opaque;
    sigset_t set;

    /* QEMU blocks it in every thread that it makes; then it would kill. */
    sigemptyset(&set);
    sigaddset(&set, SIGBUS);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    rcu_register_thread();
    self = &workers[qatomic_fetch_inc(&running)];
    while (self->ops < ops) {
        work_once();
    }
    while (self->nr_dma) {
        dma_end(self->dma[--self->nr_dma]);
    }
    rcu_unregister_thread();
    qatomic_dec(&running);
    return NULL;
}

/* --- the main thread --------------------------------------------- */

static void op_balloon(void)
{
    uint64_t page = chance(PAGES), n = 1 + chance(chance(8) ? 8 : PAGES);
    bool out = chance(3) == 0;

    for (; n && page < PAGES; n--, page++) {
        if (page_may_move(page) && (pages[page].changes & 1) == out) {
            if (out) {
                page_goes(page);
            } else {
                page_comes(page);
            }
        }
    }
    if (out || chance(2)) {
        invalidate();
    }
}

static void op_block(void)
{
    uint64_t gfn = BLOCK_AT / PAGE, i;
    uint8_t *host = block_host;

    if (host) {
        qatomic_set(&block_host, NULL);
        __real_synchronize_rcu();
        twin_block_free(host);
        xensim_depopulate(harness_dom, gfn, BLOCK_PAGES);
        return;
    }
    g_assert_cmpuint(xensim_populate(harness_dom, gfn, BLOCK_PAGES), ==,
                     BLOCK_PAGES);
    for (i = 0; i < BLOCK_PAGES; i++) {
        uint64_t v = BLOCK_AT + i;

        xensim_write(harness_dom, BLOCK_AT + i * PAGE, &v, sizeof(v));
    }
    host = xen_map_cache_block(BLOCK_AT, BLOCK_PAGES * PAGE);
    qatomic_store_release(&block_host, host);
}

static void main_once(void)
{
    unsigned n = chance(100);

    if (n < 15) {
        op_balloon();
    } else if (n < 25) {
        invalidate();
    } else if (n < 28) {
        op_block();
    } else {
        work_once();
    }
}

/* All is over: nothing may be left mapped, or counted, or locked. */
static void check_quiet(uint64_t unmatched)
{
    uint64_t nulls = 0, page;
    XenMapCacheStats s;
    unsigned i;

    for (i = 0; i < HAND_OVER; i++) {
        Dma *d = qatomic_xchg(&handed_over[i], NULL);

        if (d) {
            dma_end(d);
        }
    }
    while (self->nr_dma) {
        dma_end(self->dma[--self->nr_dma]);
    }
    if (block_host) {
        op_block();
    }
    for (page = 0; page < PAGES; page++) {
        if (page_may_move(page) && !(pages[page].changes & 1)) {
            page_comes(page);
        }
    }
    invalidate();
    for (i = 0; i < 1000; i++) {
        xen_map_cache_get_stats(&s);
        if (!s.buckets_pending) {
            break;
        }
        g_usleep(10000); /* the reaper has its grace period */
    }
    for (i = 0; i <= THREADS; i++) {
        nulls += workers[i].nulls;
    }
    if (s.buckets || s.buckets_pending || harness_mapped_pages()) {
        complain("%" PRIu64 " buckets, %" PRIu64 " pending, %" PRIu64
                 " pages are mapped at the end", s.buckets,
                 s.buckets_pending, harness_mapped_pages());
    }
    if (s.dma || s.held || s.blocks || s.unmatched != unmatched) {
        complain("%" PRIu64 " DMA, %" PRIu64 " held, %" PRIu64 " blocks, %"
                 PRIu64 " unmatched at the end", s.dma, s.held, s.blocks,
                 s.unmatched - unmatched);
    }
    if (nulls > s.no_room) {
        complain("%" PRIu64 " lookups of a page that is there failed, and "
                 "%" PRIu64 " for want of a slot", nulls, s.no_room);
    }
    if (xensim_check(harness_sim)) {
        complain("the simulated Xen's books do not balance");
    }
}

static uint64_t from_env(const char *name, uint64_t otherwise)
{
    const char *text = g_getenv(name);
    uint64_t v = otherwise;

    if (text && qemu_strtou64(text, NULL, 0, &v) < 0) {
        complain("%s=%s is no number", name, text);
    }
    return v;
}

static void stress(void)
{
    uint64_t seed = from_env("XEN_MAPCACHE_SEED", time(NULL));
    uint64_t ops = from_env("XEN_MAPCACHE_OPS", STRESS_OPS);
    uint64_t page, done = 0, main_ops = 0, bytes = 0;
    struct sigaction act = { .sa_sigaction = on_fault,
                             .sa_flags = SA_SIGINFO };
    XenMapCacheStats s;
    unsigned i;

    g_test_message("seed %" PRIu64, seed);
    sigaction(SIGSEGV, &act, NULL);
    sigaction(SIGBUS, &act, NULL);
    for (page = 0; page < PAGES; page++) {
        GuestPage *p = &pages[page];

        *p = (GuestPage) { .floor = 1 };
        if (page_may_move(page)) {
            p->changes = 1;
            p->latest = 1;
            stamp(page, page, 1);
        }
    }
    xen_map_cache_get_stats(&s);
    running = 0;
    for (i = 0; i <= THREADS; i++) {
        Worker *w = &workers[i];

        memset(w, 0, offsetof(Worker, thread));
        w->random = (seed + i + 1) * 0x9e3779b97f4a7c15ull | 1;
        w->as.name = g_strdup_printf("thread-%u", i);
    }
    for (i = 0; i < THREADS; i++) {
        qemu_thread_create(&workers[i].thread, "worker", worker, &ops,
                           QEMU_THREAD_JOINABLE);
        while (qatomic_read(&running) != i + 1) {
            g_usleep(100); /* each takes its own place */
        }
    }
    self = &workers[THREADS];
    while (qatomic_read(&running)) {
        main_once();
        main_ops++;
    }
    for (i = 0; i < THREADS; i++) {
        qemu_thread_join(&workers[i].thread);
    }
    check_quiet(s.unmatched);
    xen_map_cache_get_stats(&s);
    for (i = 0; i <= THREADS; i++) {
        done += workers[i].ops;
        bytes += workers[i].bytes;
        g_free(workers[i].as.name);
    }
    self = NULL;
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
