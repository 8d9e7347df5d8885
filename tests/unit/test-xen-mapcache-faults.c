/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mapcache with everything failing that can fail.
 *
 * One scenario goes through all that the mapcache does.  It is run over and
 * over, each time in a process of its own, with the Nth call of one kind
 * failing, once or from then on, for N = 1, 2, … until there is no Nth call in
 * the scenario.  Whatever fails: no exit but where the header promises one, no wrong
 * byte, and once the fault is gone nothing is left mapped and all works.
 */
#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qemu/memfd.h"
#include "qemu/rcu.h"
#include "qemu/thread.h"
#include "exec/ram_addr.h"
#include "hw/xen/xen_native.h"
#include "xen-mapcache-harness.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-twin.h"

#define PAGE        XENSIM_PAGE_SIZE
#define BUCKET      TWIN_BUCKET
#define SMALL_RAM   (32u << 20)
#define SEED        11
#define BLOCK_AT    (1ull << 32)
#define DUMMY_AT    ((1ull << 32) + (64ull << 20))
#define REPLACE_AT  0xf1003000ull
#define BLOCK_PAGES 37
#define GRANTS_AT   (1ull << 33)
/* The most that a kind may fail in the scenario before it is endless. */
#define ENDLESS     400

/* --- what fails -------------------------------------------------- */

typedef enum Kind {
    KIND_XEN,           /* a call of libxen's, by name */
    KIND_MMAP,
    KIND_MUNMAP,
    KIND_MPROTECT,
    KIND_MEMFD,
    KIND_ALLOC,         /* g_try_*, which is what a guest can size */
} Kind;

typedef struct Plan {
    const char *name;
    Kind kind;
} Plan;

static const Plan plans[] = {
    { TWIN_MAP_CALL, KIND_XEN },
    { "xengnttab_map_domain_grant_refs", KIND_XEN },
    { "xengnttab_unmap", KIND_XEN },
    { "mmap", KIND_MMAP },
    { "munmap", KIND_MUNMAP },
    { "mprotect", KIND_MPROTECT },
    { "memfd_create", KIND_MEMFD },
    { "g_try_malloc", KIND_ALLOC },
};

/* Between the process that runs the scenario and the one that watches. */
typedef struct Shared {
    bool fired;         /* there was an Nth call */
    bool may_exit;      /* the header says that this may end QEMU */
} Shared;

static Shared *shared;
static struct {
    const Plan *plan;
    unsigned nth;
    bool for_ever;
    bool armed;         /* atomic */
    unsigned seen;      /* atomic: calls of the kind so far */
    int id;             /* of the simulated Xen's fault */
} fault;

static __thread bool in_mapcache;   /* the calls meant are the mapcache's */

static bool fails(Kind kind)
{
    unsigned n;

    if (!qatomic_read(&fault.armed) || fault.plan->kind != kind) {
        return false;
    }
    n = qatomic_fetch_inc(&fault.seen) + 1;
    if (n == fault.nth || (fault.for_ever && n > fault.nth)) {
        shared->fired = true;
        return true;
    }
    return false;
}

void *__real_mmap64(void *addr, size_t len, int prot, int flags, int fd,
                    off_t offset);
void *__wrap_mmap64(void *addr, size_t len, int prot, int flags, int fd,
                    off_t offset);
int __real_munmap(void *addr, size_t len);
int __wrap_munmap(void *addr, size_t len);
int __real_mprotect(void *addr, size_t len, int prot);
int __wrap_mprotect(void *addr, size_t len, int prot);
int __real_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags);
gpointer __real_g_try_malloc(gsize n);
gpointer __wrap_g_try_malloc(gsize n);
gpointer __real_g_try_malloc0(gsize n);
gpointer __wrap_g_try_malloc0(gsize n);
gpointer __real_g_try_malloc_n(gsize n, gsize size);
gpointer __wrap_g_try_malloc_n(gsize n, gsize size);
gpointer __real_g_try_malloc0_n(gsize n, gsize size);
gpointer __wrap_g_try_malloc0_n(gsize n, gsize size);

void *__wrap_mmap64(void *addr, size_t len, int prot, int flags, int fd,
                    off_t offset)
{
    /* In another thread it is the reaper that empties slots. */
    if ((in_mapcache || (prot == PROT_NONE && flags & MAP_FIXED)) &&
        fails(KIND_MMAP)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return __real_mmap64(addr, len, prot, flags, fd, offset);
}

int __wrap_munmap(void *addr, size_t len)
{
    if (in_mapcache && fails(KIND_MUNMAP)) {
        errno = ENOMEM;
        return -1;
    }
    return __real_munmap(addr, len);
}

int __wrap_mprotect(void *addr, size_t len, int prot)
{
    if (in_mapcache && fails(KIND_MPROTECT)) {
        errno = ENOMEM;
        return -1;
    }
    return __real_mprotect(addr, len, prot);
}

int __wrap_memfd_create(const char *name, unsigned flags)
{
    if (in_mapcache && fails(KIND_MEMFD)) {
        errno = EMFILE;
        return -1;
    }
    return __real_memfd_create(name, flags);
}

/* Mistakes from outside, to see that they are found. */
typedef enum Mistake {
    MISTAKE_NONE,
    MISTAKE_FORGET,     /* what could not be unmapped is forgotten */
    MISTAKE_EXIT,       /* a failure ends QEMU */
    MISTAKE_BYTES,      /* a page that is not there is taken for one */
} Mistake;

static Mistake mistake;

void __real_mcache_unmap_again_locked(void);
void __wrap_mcache_unmap_again_locked(void);
void __real_mcache_report_failure(const char *what, hwaddr addr,
                                  size_t pages, int err);
void __wrap_mcache_report_failure(const char *what, hwaddr addr,
                                  size_t pages, int err);
void *__real_mcache_map_call_locked(void *host, uint64_t first_gfn,
                                    size_t pages, int *err);
void *__wrap_mcache_map_call_locked(void *host, uint64_t first_gfn,
                                    size_t pages, int *err);

void __wrap_mcache_unmap_again_locked(void)
{
    if (mistake != MISTAKE_FORGET) {
        __real_mcache_unmap_again_locked();
    }
}

void __wrap_mcache_report_failure(const char *what, hwaddr addr,
                                  size_t pages, int err)
{
    if (mistake == MISTAKE_EXIT) {
        exit(EXIT_FAILURE);
    }
    __real_mcache_report_failure(what, addr, pages, err);
}

void *__wrap_mcache_map_call_locked(void *host, uint64_t first_gfn,
                                    size_t pages, int *err)
{
    void *p = __real_mcache_map_call_locked(host, first_gfn, pages, err);

    if (!p && !host && mistake == MISTAKE_BYTES) {
        p = __real_mmap64(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(err, 0, pages * sizeof(*err));
    }
    return p;
}

#define ALLOC(function, parameters, arguments)                      \
    gpointer __wrap_##function parameters                           \
    {                                                               \
        return in_mapcache && fails(KIND_ALLOC) ? NULL :            \
               __real_##function arguments;                         \
    }

ALLOC(g_try_malloc, (gsize n), (n))
ALLOC(g_try_malloc0, (gsize n), (n))
ALLOC(g_try_malloc_n, (gsize n, gsize size), (n, size))
ALLOC(g_try_malloc0_n, (gsize n, gsize size), (n, size))

static void arm(void)
{
    XensimFault f = {
        .call = fault.plan->name,
        .first = fault.nth,
        .count = fault.for_ever ? 0 : 1,
        .error = ENOMEM,
    };

    fault.id = -1;
    if (fault.plan->kind == KIND_XEN) {
        fault.id = xensim_fault_arm(harness_sim, &f);
        g_assert_cmpint(fault.id, >=, 0);
    }
    qatomic_set(&fault.armed, true);
}

static void disarm(void)
{
    qatomic_set(&fault.armed, false);
    if (fault.id >= 0) {
        if (xensim_fault_hits(harness_sim, fault.id) >= fault.nth) {
            shared->fired = true;
        }
        xensim_fault_disarm(harness_sim, fault.id);
    }
}

/* Runs a call of the mapcache's as the one that faults are meant for. */
#define CALL(call) ({           \
    in_mapcache = true;         \
    typeof(call) value = call;  \
    in_mapcache = false;        \
    value;                      \
})
#define CALL_VOID(call) do {    \
    in_mapcache = true;         \
    call;                       \
    in_mapcache = false;        \
} while (0)

/* --- the scenario ------------------------------------------------ */

static bool all_must_work;  /* no fault is armed any more */

static void expect(bool worked, const char *what)
{
    if (all_must_work && !worked) {
        g_error("after the fault is gone: %s", what);
    }
}

static void check_bytes(const uint8_t *host, uint64_t gfn, uint64_t n,
                        const char *what)
{
    uint64_t i;

    for (i = 0; i < n; i++) {
        if (!xensim_stamp_page_ok(host + i * PAGE, gfn + i, SEED)) {
            g_error("%s: page %" PRIu64 " does not show gfn 0x%" PRIx64,
                    what, i, gfn + i);
        }
    }
}

static void look(uint64_t addr, const char *what)
{
    hwaddr len = 2 * PAGE;
    uint8_t *host;

    RCU_READ_LOCK_GUARD();
    host = CALL(xen_map_cache(addr, &len));
    expect(host, what);
    if (host) {
        check_bytes(host, addr / PAGE, len / PAGE, what);
        g_assert_cmphex(xen_ram_addr_from_mapcache(host + 1), ==, addr + 1);
    } else {
        g_assert_cmpuint(len, ==, 0);
    }
}

/* A thread without the BQL: its slots are the reaper's to unmap. */
static void *look_in_thread(void *opaque)
{
    unsigned i;

    rcu_register_thread();
    for (i = 0; i < 4; i++) {
        look(0x300000 + i * BUCKET, "a lookup in a thread");
    }
    rcu_unregister_thread();
    return NULL;
}

typedef struct Mapped {
    uint8_t *host;
    uint64_t addr;
    hwaddr len;
} Mapped;

static Mapped map(uint64_t addr, hwaddr len, XenMapUse use, const char *what)
{
    Mapped m = { .addr = addr, .len = len };

    WITH_RCU_READ_LOCK_GUARD() {
        m.host = CALL(xen_map_cache_dma(harness_ram, addr, 0, &m.len, use,
                                        true, NULL));
    }
    expect(m.host && m.len == len, what);
    g_assert_true(!m.host == !m.len);
    g_assert_cmpuint(m.len, <=, len);
    if (m.host) {
        check_bytes(m.host, addr / PAGE, m.len / PAGE, what);
    }
    return m;
}

static void unmap(Mapped m, const char *what)
{
    if (m.host) {
        check_bytes(m.host, m.addr / PAGE, m.len / PAGE, what);
        g_assert_cmphex(xen_ram_addr_from_mapcache(m.host), ==, m.addr);
        CALL_VOID(xen_invalidate_map_cache_entry(m.host, m.len));
    }
}

static void hole(void)
{
    const uint64_t gfn = 0x503;

    xensim_depopulate(harness_dom, gfn, 1);
    CALL_VOID(xen_invalidate_map_cache());
    look((gfn - 2) * PAGE, "beside a hole");
    WITH_RCU_READ_LOCK_GUARD() {
        g_assert_null(CALL(xen_map_cache(gfn * PAGE, NULL)));
    }
    g_assert_cmpuint(xensim_populate(harness_dom, gfn, 1), ==, 1);
    xensim_stamp(harness_dom, gfn, 1, SEED);
    look(gfn * PAGE, "a hole that was filled");
    look((gfn - 2) * PAGE, "beside a hole that was filled");
}

static uint8_t *block(void)
{
    uint8_t *host;

    /* All that is asked for is all of it, blank or not; else QEMU ends. */
    shared->may_exit = true;
    host = CALL(xen_map_cache_block(BLOCK_AT, BLOCK_PAGES * PAGE));
    shared->may_exit = false;
    if (!xen_map_cache_is_dummy(BLOCK_AT)) {
        check_bytes(host, BLOCK_AT / PAGE, BLOCK_PAGES, "device memory");
    } else {
        expect(false, "device memory");
        memset(host, 1, BLOCK_PAGES * PAGE);
    }
    g_assert_true(CALL(xen_map_cache_block(BLOCK_AT, BLOCK_PAGES * PAGE)) ==
                  host);
    return host;
}

static uint8_t *replaced(void)
{
    uint8_t *host, *now;

    /* A restore that cannot have its memory ends. */
    shared->may_exit = true;
    harness_incoming = true;
    host = CALL(xen_map_cache_block(DUMMY_AT, BLOCK_PAGES * PAGE));
    memset(host, 0x5a, BLOCK_PAGES * PAGE);
    now = CALL(xen_replace_cache_entry(DUMMY_AT, REPLACE_AT,
                                       BLOCK_PAGES * PAGE));
    harness_incoming = false;
    shared->may_exit = false;
    expect(now, "replacing a dummy");
    if (now) {
        g_assert_true(now == host);
        g_assert_false(xen_map_cache_is_dummy(DUMMY_AT));
        check_bytes(host, REPLACE_AT / PAGE, BLOCK_PAGES, "a replaced dummy");
    } else {
        g_assert_true(xen_map_cache_is_dummy(DUMMY_AT));
        g_assert_cmpint(host[0], ==, 0x5a);
        g_assert_cmpint(host[BLOCK_PAGES * PAGE - 1], ==, 0x5a);
    }
    return host;
}

static Mapped grant(int *ref)
{
    Mapped m = { .len = PAGE };

    *ref = xensim_grant(harness_dom, 0, 0x610, false);
    g_assert_cmpint(*ref, >, 0);
    m.addr = GRANTS_AT + (uint64_t)*ref * PAGE;
    WITH_RCU_READ_LOCK_GUARD() {
        m.host = CALL(xen_map_cache_dma(harness_grants, m.addr, GRANTS_AT,
                                        &m.len, XEN_MAP_DMA, true, NULL));
    }
    expect(m.host, "a grant");
    if (m.host) {
        check_bytes(m.host, 0x610, 1, "a grant");
    }
    return m;
}

static void scenario(void)
{
    Mapped dma, held, granted, again;
    uint8_t *device, *display;
    QemuThread thread;
    unsigned i;
    int ref;

    for (i = 0; i < 6; i++) {
        look(0x200000 + i * BUCKET, "a cold lookup");
    }
    qemu_thread_create(&thread, "looks", look_in_thread, NULL,
                       QEMU_THREAD_JOINABLE);
    qemu_thread_join(&thread);
    dma = map(0x400000 - 2 * PAGE, 2 * BUCKET + 4 * PAGE, XEN_MAP_DMA,
              "DMA across buckets");
    hole();
    held = map(0x700000 - PAGE, 3 * PAGE, XEN_MAP_HELD, "a ring");
    device = block();
    display = replaced();
    granted = grant(&ref);

    CALL_VOID(xen_invalidate_map_cache());
    again = map(0x400000 - 2 * PAGE, 4 * PAGE, XEN_MAP_DMA,
                "DMA after an invalidate");
    look(0x400000, "a lookup after an invalidate");
    if (dma.host) {
        check_bytes(dma.host, dma.addr / PAGE, dma.len / PAGE,
                    "DMA across an invalidate");
    }
    unmap(again, "DMA after an invalidate");
    unmap(dma, "DMA across buckets");
    unmap(held, "a ring");
    if (granted.host) {
        check_bytes(granted.host, 0x610, 1, "a grant");
        CALL_VOID(xen_invalidate_map_cache_entry(granted.host, PAGE));
    }
    in_mapcache = true;
    twin_block_free(device);
    twin_block_free(display);
    xen_invalidate_map_cache();
    in_mapcache = false;
    xensim_grant_revoke(harness_dom, ref);
}

/* Nothing may be left mapped once the mapcache had the time to try again. */
static void check_quiet(void)
{
    XenMapCacheStats s;
    uint64_t left;
    unsigned i;

    for (i = 0; i < 300; i++) {
        xen_invalidate_map_cache();
        xen_map_cache_get_stats(&s);
        left = harness_mapped_pages();
        if (!left && !s.buckets_pending) {
            break;
        }
        g_usleep(5000);
    }
    if (left || s.buckets_pending || s.buckets) {
        g_error("%" PRIu64 " pages, %" PRIu64 " buckets, %" PRIu64
                " pending are left mapped", left, s.buckets,
                s.buckets_pending);
    }
    g_assert_cmpuint(s.dma, ==, 0);
    g_assert_cmpuint(s.held, ==, 0);
    g_assert_cmpuint(s.blocks, ==, 0);
    g_assert_cmpuint(s.grants, ==, 0);
    g_assert_cmpuint(s.unmatched, ==, 0);
    g_assert_cmpint(harness_announced, ==, harness_withdrawn);
    g_assert_cmpuint(xensim_check(harness_sim), ==, 0);
}

static void run(void)
{
    harness_init(SMALL_RAM, 0);
    xensim_stamp(harness_dom, 0x100, 0x800, SEED);
    g_assert_cmpuint(xensim_populate(harness_dom, BLOCK_AT / PAGE,
                                     BLOCK_PAGES), ==, BLOCK_PAGES);
    xensim_stamp(harness_dom, BLOCK_AT / PAGE, BLOCK_PAGES, SEED);
    g_assert_cmpuint(xensim_populate(harness_dom, REPLACE_AT / PAGE,
                                     BLOCK_PAGES), ==, BLOCK_PAGES);
    xensim_stamp(harness_dom, REPLACE_AT / PAGE, BLOCK_PAGES, SEED);

    arm();
    shared->may_exit = true;
    CALL_VOID(xen_map_cache_init());
    shared->may_exit = false;
    scenario();
    disarm();

    all_must_work = true;
    check_quiet();
    scenario();
    check_quiet();
}

/* --- the sweep --------------------------------------------------- */

static void tell_output(int fd)
{
    char buf[4096];
    ssize_t n;

    lseek(fd, 0, SEEK_SET);
    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        if (write(STDERR_FILENO, buf, n) < 0) {
            break;
        }
    }
}

/* Runs it once; false if it was not as it must be. */
static bool run_apart(const Plan *plan, unsigned nth, bool for_ever)
{
    int output = memfd_create("output", MFD_CLOEXEC), status;
    bool good;
    pid_t pid;

    g_assert_cmpint(output, >=, 0);
    memset(shared, 0, sizeof(*shared));
    pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        dup2(output, STDERR_FILENO);
        dup2(output, STDOUT_FILENO);
        fault.plan = plan;
        fault.nth = nth;
        fault.for_ever = for_ever;
        alarm(300);
        run();
        exit(EXIT_SUCCESS);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    good = WIFEXITED(status) &&
           (WEXITSTATUS(status) == EXIT_SUCCESS ||
            (WEXITSTATUS(status) == EXIT_FAILURE && shared->may_exit &&
             shared->fired));
    if (!good && mistake == MISTAKE_NONE) {
        tell_output(output);
        g_test_message("%s: call %u fails %s: wait status 0x%x%s", plan->name,
                       nth, for_ever ? "for ever" : "once", status,
                       shared->fired ? "" : " (it did not come)");
        g_test_fail();
    }
    close(output);
    return good;
}

static void sweep(gconstpointer opaque)
{
    const Plan *plan = opaque;
    unsigned nth, runs = 0, for_ever;

    for (for_ever = 0; for_ever < 2; for_ever++) {
        for (nth = 1; nth < ENDLESS; nth++) {
            run_apart(plan, nth, for_ever);
            if (!shared->fired) {
                break;
            }
            runs++;
        }
        g_assert_cmpuint(nth, <, ENDLESS);
        /* A sweep of what the scenario never calls would say nothing. */
        g_assert_cmpuint(nth, >, 1);
    }
    g_test_message("%s: failed in %u runs", plan->name, runs);
}

/* With a mistake in it, the sweep's checks must fail at some call. */
static void seeded(gconstpointer opaque)
{
    static const Plan map = { TWIN_MAP_CALL, KIND_XEN };
    static const Plan unmap = { "munmap", KIND_MUNMAP };
    const Plan *plan;
    unsigned nth;
    bool found = false;

    mistake = GPOINTER_TO_INT(opaque);
    plan = mistake == MISTAKE_FORGET ? &unmap : &map;
    for (nth = 1; nth < ENDLESS && !found; nth++) {
        found = !run_apart(plan, nth, false);
        if (!shared->fired) {
            break;
        }
    }
    mistake = MISTAKE_NONE;
    g_assert_true(found);
}

int main(int argc, char **argv)
{
    unsigned i;

    g_test_init(&argc, &argv, NULL);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g_assert_true(shared != MAP_FAILED);
    for (i = 0; i < ARRAY_SIZE(plans); i++) {
        g_autofree char *path = g_strdup_printf("/xen-mapcache/faults/%s",
                                                plans[i].name);

        g_test_add_data_func(path, &plans[i], sweep);
    }
#ifndef SWEEP_ONLY
    g_test_add_data_func("/xen-mapcache/faults/seeded/forgotten",
                         GINT_TO_POINTER(MISTAKE_FORGET), seeded);
    g_test_add_data_func("/xen-mapcache/faults/seeded/exit",
                         GINT_TO_POINTER(MISTAKE_EXIT), seeded);
    g_test_add_data_func("/xen-mapcache/faults/seeded/wrong-bytes",
                         GINT_TO_POINTER(MISTAKE_BYTES), seeded);
#endif
    return g_test_run();
}
