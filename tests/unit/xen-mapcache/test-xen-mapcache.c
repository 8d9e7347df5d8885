/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mapcache: single cases, and random streams compared with the model.
 *
 * XEN_MAPCACHE_SEED and XEN_MAPCACHE_OPS set the seed of the random stream and
 * its length in bytes.  XEN_MAPCACHE_REPLAY names a file to run instead.
 * XEN_MAPCACHE_CORPUS names a folder of files that are run too.
 */
#include "qemu/osdep.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "qemu/rcu.h"
#include "exec/ram_addr.h"
#include "hw/xen/xen_native.h"
#include "xen-mapcache-harness.h"
#include "xen-mapcache-dma.h"
#include "xen-mapcache-streams.h"
#include "xen-mapcache-model.h"

#define PAGE    XENSIM_PAGE_SIZE
#define RAM     (32u << 20)
#define STREAM      800000  /* bytes */
#define STREAM_OPS  80000   /* that they are at the least */

static XenMapCacheStats stats(void)
{
    XenMapCacheStats s;

    xen_map_cache_get_stats(&s);
    return s;
}

/* All of it, or NULL. */
static uint8_t *dma_try(uint64_t addr, hwaddr len)
{
    hwaddr got = len;
    uint8_t *host;

    RCU_READ_LOCK_GUARD();
    host = xen_map_cache_dma(harness_ram, addr, 0, &got, XEN_MAP_DMA, true,
                             NULL, NULL);
    g_assert_cmpuint(got, ==, host ? len : 0);
    return host;
}

static uint8_t *dma_map(uint64_t addr, hwaddr len)
{
    uint8_t *host = dma_try(addr, len);

    g_assert_nonnull(host);
    return host;
}

/* The pages at @host must have the stamps of @n gfns from @gfn on. */
static void check_stamps_at(int line, const uint8_t *host, uint64_t gfn,
                            unsigned n, uint64_t seed)
{
    unsigned i;

    for (i = 0; i < n; i++) {
        if (!xensim_stamp_page_ok(host + i * PAGE, gfn + i, seed)) {
            g_error("line %d: page %u of the mapping shows other bytes than "
                    "gfn 0x%" PRIx64 ": %s", line, i, gfn + i,
                    xensim_stamp_why());
        }
    }
}
#define check_stamps(...) check_stamps_at(__LINE__, __VA_ARGS__)

/* Warm DMA asks Xen for nothing; the mapping outlives its last release. */
static void test_kept(void)
{
    XenMapCacheStats before, after;
    unsigned i;

    xensim_stamp(harness_dom, 0x200, 4, 1);
    xen_invalidate_map_cache_entry(dma_map(0x200000, 4 * PAGE), 4 * PAGE);
    before = stats();
    for (i = 0; i < 100; i++) {
        uint8_t *host = dma_map(0x200000, 4 * PAGE);

        check_stamps(host, 0x200, 4, 1);
        g_assert_cmphex(xen_ram_addr_from_mapcache(host + 5000), ==,
                        0x200000 + 5000);
        xen_invalidate_map_cache_entry(host, 4 * PAGE);
    }
    after = stats();
    g_assert_cmpuint(after.map_calls, ==, before.map_calls);
    g_assert_cmpuint(after.hits, ==, before.hits + 100);
    g_assert_cmpuint(after.unmatched, ==, before.unmatched);
}

/* Looks up page 0x220 @opaque times, without the BQL. */
static void *look_up(void *opaque)
{
    unsigned n = GPOINTER_TO_UINT(opaque);

    rcu_register_thread();
    while (n--) {
        RCU_READ_LOCK_GUARD();
        g_assert_nonnull(xen_map_cache(0x220000, NULL, NULL));
    }
    rcu_unregister_thread();
    return NULL;
}

/*
 * The hits of a thread that QEMU did not create, and whose first lookup is the
 * common hit, because another thread has left the mark.  They are counted when
 * it has ended, too.
 */
static void test_hits_of_threads(void)
{
    uint64_t before;
    unsigned n;

    g_thread_join(g_thread_new("mark", look_up, GUINT_TO_POINTER(2)));
    for (n = 1; n < 300; n *= 4) {
        before = stats().hits;
        g_thread_join(g_thread_new("hits", look_up, GUINT_TO_POINTER(n)));
        g_assert_cmpuint(stats().hits, ==, before + n);
    }
}

/* Lookups, DMA mappings, releases and reverse lookups of a mapped page. */
static bool hits_are_right(uint64_t addr)
{
    for (unsigned i = 0; i < 100; i++) {
        uint8_t *host = xen_map_cache(addr, NULL, NULL), *dma;
        hwaddr len = PAGE;

        dma = xen_map_cache_dma(harness_ram, addr, 0, &len, XEN_MAP_DMA, true,
                                NULL, NULL);
        if (!host || dma != host || len != PAGE ||
            xen_ram_addr_from_mapcache(dma + i) != addr + i) {
            return false;
        }
        xen_invalidate_map_cache_entry(dma, PAGE);
    }
    return true;
}

/* The child of test_hit_alone(), which has the mapcache's lock. */
static G_NORETURN void hit_alone(uint64_t addr, bool bql)
{
    /* The kernel kills the process at any system call but exit_group(). */
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = { G_N_ELEMENTS(filter), filter };

    if (!bql) {
        harness_bql(false);
    }
    rcu_read_lock();
    /* As if the reaper had just updated it. */
    qatomic_set(&mapcache.seconds, mcache_seconds());
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
        _exit(2);
    }
    _exit(hits_are_right(addr) ? 0 : 1);
}

/*
 * A hit takes no lock and makes no system call, with the BQL and without it.
 * This is seen in a child process, because waiting for a lock that is taken is
 * a system call.
 */
static void test_hit_alone(void)
{
    for (unsigned bql = 0; bql < 2; bql++) {
        int wstatus;
        pid_t pid;

        /* Here the thread and the owner of its DMA become known. */
        xen_invalidate_map_cache_entry(dma_map(0x200000, PAGE), PAGE);
        qemu_mutex_lock(&mapcache.lock);
        pid = fork();
        if (pid == 0) {
            hit_alone(0x200000, bql);
        }
        qemu_mutex_unlock(&mapcache.lock);
        g_assert_cmpint(pid, >, 0);
        g_assert_cmpint(waitpid(pid, &wstatus, 0), ==, pid);
        if (WIFEXITED(wstatus) && WEXITSTATUS(wstatus) == 2) {
            g_test_skip("seccomp is not available");
            return;
        }
        if (WIFSIGNALED(wstatus) && WTERMSIG(wstatus) == SIGSYS) {
            g_error("%s the BQL, a hit makes a system call or waits for a lock",
                    bql ? "with" : "without");
        }
        g_assert_cmphex(wstatus, ==, 0);
    }
}

/* A hole costs one page for each access, and is seen when it fills. */
static void test_hole(void)
{
    XenMapCacheStats before;
    unsigned i;

    xen_invalidate_map_cache();
    xensim_depopulate(harness_dom, 0x303, 1);
    RCU_READ_LOCK_GUARD();
    g_assert_nonnull(xen_map_cache(0x300000, NULL, NULL));
    before = stats();
    for (i = 0; i < 100; i++) {
        g_assert_null(xen_map_cache(0x303000, NULL, NULL));
    }
    g_assert_cmpuint(stats().map_pages - before.map_pages, ==, 100);
    g_assert_cmpuint(xensim_populate(harness_dom, 0x303, 1), ==, 1);
    xensim_stamp(harness_dom, 0x303, 1, 2);
    check_stamps(xen_map_cache(0x303000, NULL, NULL), 0x303, 1, 2);
}

/* A neighbour of a page that is held shows its new frame after a balloon. */
static void test_stale_neighbour(void)
{
    uint8_t *held, *span;

    xensim_stamp(harness_dom, 0x4ff, 2, 3);
    held = dma_map(0x400000, PAGE);
    span = dma_map(0x4ff000, 2 * PAGE);
    check_stamps(span, 0x4ff, 2, 3);
    xensim_depopulate(harness_dom, 0x4ff, 2);
    xen_invalidate_map_cache();
    g_assert_cmpuint(stats().dma, ==, 2);
    g_assert_cmpuint(xensim_populate(harness_dom, 0x4ff, 2), ==, 2);
    xensim_stamp(harness_dom, 0x4ff, 2, 4);

    check_stamps(span, 0x4ff, 2, 3); /* its holder's to the end */
    WITH_RCU_READ_LOCK_GUARD() {
        check_stamps(xen_map_cache(0x4ff000, NULL, NULL), 0x4ff, 1, 4);
        check_stamps(xen_map_cache(0x500000, NULL, NULL), 0x500, 1, 4);
    }
    xen_invalidate_map_cache_entry(held, PAGE);
    xen_invalidate_map_cache_entry(span, 2 * PAGE);
    g_assert_cmpuint(stats().dma, ==, 0);
    xen_invalidate_map_cache();
    g_assert_cmpuint(harness_mapped_pages(), ==, 0);
}

/* Device memory stays through DMA, invalidates and releases. */
static void test_block(void)
{
    uint64_t at = 1ull << 32;
    uint8_t *host;

    g_assert_cmpuint(xensim_populate(harness_dom, at / PAGE, 64), ==, 64);
    xensim_stamp(harness_dom, at / PAGE, 64, 5);
    host = xen_map_cache_block(at, 64 * PAGE);
    g_assert_true(host == xen_map_cache_block(at, 64 * PAGE));
    check_stamps(host, at / PAGE, 64, 5);
    g_assert_cmpint(harness_announced, ==, harness_withdrawn + 1);
    g_assert_true(xen_map_cache_block_is_announced(host));

    xen_invalidate_map_cache();
    xen_invalidate_map_cache_entry(host, PAGE);
    xen_invalidate_map_cache_entry(host + 12345, 1);
    check_stamps(host, at / PAGE, 64, 5);
    g_assert_cmphex(xen_ram_addr_from_mapcache(host + 12345), ==, at + 12345);

    model_block_free(host);
    g_assert_cmpint(harness_announced, ==, harness_withdrawn);
    g_assert_cmphex(xen_ram_addr_from_mapcache(host), ==, RAM_ADDR_INVALID);
    xensim_depopulate(harness_dom, at / PAGE, 64);
}

/* A dummy keeps its address when it is replaced, and its bytes if not. */
static void test_replace(void)
{
    uint64_t at = (1ull << 32) + 0x5000, to = 0xf1003000;
    unsigned n = 300;
    XensimFault fault = {
        .call = MODEL_MAP_CALL, .count = 1, .error = ENOMEM,
    };
    uint8_t *host;
    unsigned i;
    int id;

    if (!model_can_replace()) {
        g_test_skip("no map call takes an address");
        return;
    }
    harness_incoming = true;
    host = xen_map_cache_block(at, n * PAGE);
    g_assert_true(xen_map_cache_is_dummy(at));
    memset(host, 0x5a, n * PAGE);
    g_assert_false(xen_map_cache_block_is_announced(host));

    /* No frames at the place. */
    g_assert_null(xen_replace_cache_entry(at, to, n * PAGE));
    g_assert_cmpuint(xensim_populate(harness_dom, to / PAGE, n), ==, n);
    xensim_stamp(harness_dom, to / PAGE, n, 6);
    /* The map call fails, when it probes and when it replaces. */
    for (i = 1; i <= 2; i++) {
        fault.first = i;
        id = xensim_fault_arm(harness_sim, &fault);
        g_assert_null(xen_replace_cache_entry(at, to, n * PAGE));
        g_assert_cmpint(xensim_fault_hits(harness_sim, id), ==, i);
        xensim_fault_disarm(harness_sim, id);
        g_assert_true(xen_map_cache_is_dummy(at));
        g_assert_true(host[0] == 0x5a && host[n * PAGE - 1] == 0x5a);
        g_assert_false(xen_map_cache_block_is_announced(host));
    }
    g_assert_cmpint(harness_announced, ==, harness_withdrawn);

    g_assert_true(xen_replace_cache_entry(at, to, n * PAGE) == host);
    g_assert_true(xen_map_cache_block_is_announced(host));
    harness_incoming = false;
    check_stamps(host, to / PAGE, n, 6);
    g_assert_cmphex(xen_ram_addr_from_mapcache(host + 777), ==, at + 777);
    g_assert_null(xen_replace_cache_entry(at, to, n * PAGE));
    model_block_free(host);
    xensim_depopulate(harness_dom, to / PAGE, n);
}

#define FAULT_PAGES     5

/* Pages of which there is no mapping can be read and written all the same. */
static void check_copy(uint64_t gfn, unsigned n, bool available)
{
    g_autofree uint8_t *buf = g_malloc0(n * PAGE);
    hwaddr len = n * PAGE;
    XenMapStatus status = xen_map_cache_copy(gfn * PAGE, buf, NULL, &len,
                                             false);

    if (!available) {
        g_assert_cmpint(status, ==, XEN_MAP_UNAVAILABLE);
        return;
    }
    g_assert_cmpint(status, ==, XEN_MAP_OK);
    g_assert_cmpuint(len, ==, n * PAGE);
    check_stamps(buf, gfn, n, 7);
    status = xen_map_cache_copy(gfn * PAGE, buf, NULL, &len, true);
    g_assert_cmpint(status, ==, XEN_MAP_OK);
    g_assert_cmpuint(len, ==, n * PAGE);
}

/* If its bucket cannot be mapped, a transfer has just its pages. */
static void check_fault_dma(uint64_t page, unsigned n)
{
    XensimFault fault = {
        .call = MODEL_MAP_CALL, .count = 1, .error = ENOMEM,
    };
    uint64_t unmatched = stats().unmatched;
    uint8_t *host;
    int id;

    xen_invalidate_map_cache();
    g_assert_cmpuint(harness_mapped_pages(), ==, 0);
    id = xensim_fault_arm(harness_sim, &fault);
    host = dma_map(page * PAGE, n * PAGE);
    xensim_fault_disarm(harness_sim, id);
    xen_invalidate_map_cache();
    g_assert_cmpuint(harness_mapped_pages(), ==, n);
    check_stamps(host, page, n, 7);
    xen_invalidate_map_cache_entry(host, n * PAGE);
    g_assert_cmpuint(stats().unmatched, ==, unmatched);
    g_assert_cmpuint(harness_mapped_pages(), ==, 0);
}

/*
 * What cannot be mapped is unavailable, which is not the same as absent: its
 * bytes are copied, unless that fails too.
 */
static void test_fault(void)
{
    XensimFault fault = {
        .call = MODEL_MAP_CALL, .count = 1, .error = ENOMEM,
    };
    uint64_t page = 0x600;
    XenMapStatus status;
    hwaddr len;
    int id;

    xensim_stamp(harness_dom, page, FAULT_PAGES, 7);
    for (fault.count = 1; fault.count <= 2; fault.count++) {
        xen_invalidate_map_cache();
        id = xensim_fault_arm(harness_sim, &fault);
        WITH_RCU_READ_LOCK_GUARD() {
            len = 2 * PAGE;
            g_assert_null(xen_map_cache(page * PAGE, &len, &status));
            g_assert_cmpuint(len, ==, 0);
            g_assert_cmpint(status, ==, XEN_MAP_UNAVAILABLE);
            check_copy(page, 2, fault.count == 1);
            /* Full service at once. */
            len = 2 * PAGE;
            check_stamps(xen_map_cache(page * PAGE, &len, NULL), page, 2, 7);
            g_assert_cmpuint(len, ==, 2 * PAGE);
        }
        xensim_fault_disarm(harness_sim, id);
    }

    /* A transfer is mapped by its pages; it is left to be copied after that. */
    check_fault_dma(page, 1);
    check_fault_dma(page, FAULT_PAGES);
    fault.count = 2;
    id = xensim_fault_arm(harness_sim, &fault);
    len = 2 * PAGE;
    g_assert_null(xen_map_cache_dma(harness_ram, page * PAGE, 0, &len,
                                    XEN_MAP_DMA, true, NULL, &status));
    g_assert_cmpuint(len, ==, 0);
    g_assert_cmpint(status, ==, XEN_MAP_UNAVAILABLE);
    xensim_fault_disarm(harness_sim, id);
}

#define WHOLE_PAGES 2

static void check_whole(uint64_t first)
{
    hwaddr len = WHOLE_PAGES * PAGE;
    uint8_t *host = xen_map_cache_dma(harness_ram, first * PAGE, 0, &len,
                                      XEN_MAP_DMA, true, NULL, NULL);

    g_assert_cmpuint(len, ==, WHOLE_PAGES * PAGE);
    check_stamps(host, first, WHOLE_PAGES, 13);
    xen_invalidate_map_cache_entry(host, len);
}

/*
 * A transfer across a bucket's end is one piece, whatever the neighbour's fate:
 * a device has room for as many pieces as the guest gave it.
 */
static void test_whole(void)
{
    const uint64_t first = 2 * (MODEL_BUCKET / PAGE) - WHOLE_PAGES / 2;
    XensimFault fault = {
        .call = MODEL_MAP_CALL, .first = 2, .count = 1, .error = ENOMEM,
    };
    uint8_t *pin[RAM / MODEL_BUCKET];
    unsigned i, n = 0;
    int id;

    xen_invalidate_map_cache();
    xensim_stamp(harness_dom, first, WHOLE_PAGES, 13);
    id = xensim_fault_arm(harness_sim, &fault);
    check_whole(first);
    xensim_fault_disarm(harness_sim, id);

    /* Every second slot is another bucket's, if there are so few. */
    for (i = 8; i < ARRAY_SIZE(pin); i += 2) {
        pin[n] = dma_try((uint64_t)i * MODEL_BUCKET, PAGE);
        n += pin[n] != NULL;
    }
    g_assert_cmpuint(n, >, 16);
    xen_invalidate_map_cache();
    check_whole(first);
    while (n--) {
        xen_invalidate_map_cache_entry(pin[n], PAGE);
    }
    xen_invalidate_map_cache();
    g_assert_cmpuint(harness_mapped_pages(), ==, 0);
}

static uint8_t *hold(ram_addr_t addr, hwaddr len)
{
    hwaddr got = len;
    uint8_t *host = xen_map_cache_dma(harness_ram, addr, 0, &got, XEN_MAP_HELD,
                                      true, NULL, NULL);

    g_assert_nonnull(host);
    g_assert_cmpuint(got, ==, len);
    return host;
}

/*
 * The same bytes held twice are one mapping, until an invalidate comes.  A
 * virtio device maps its rings anew whenever the guest's memory layout changes,
 * and what it had is released some time after that.
 */
static void test_held_twice(void)
{
    const ram_addr_t at = 0x702010;
    const hwaddr len = 2 * PAGE;
    XenMapCacheStats before = stats();
    uint8_t *first = hold(at, len), *old = first;

    for (unsigned i = 0; i < 5000; i++) {
        first = hold(at, len);
        g_assert_true(first == old);
        xen_invalidate_map_cache_entry(old, len);
    }
    g_assert_cmpuint(stats().map_calls, ==, before.map_calls + 1);
    g_assert_cmpuint(stats().held, ==, before.held + 1);
    g_assert_cmpuint(harness_mapped_pages(), ==, 3);
    g_assert_cmphex(xen_ram_addr_from_mapcache(first), ==, at);
    /* Not the same bytes. */
    old = hold(at + 1, len);
    g_assert_cmpuint(stats().map_calls, ==, before.map_calls + 2);
    xen_invalidate_map_cache_entry(old, len);

    xen_invalidate_map_cache();
    old = hold(at, len);
    g_assert_true(old != first);
    g_assert_cmpuint(stats().map_calls, ==, before.map_calls + 3);
    g_assert_cmpuint(harness_mapped_pages(), ==, 6);
    xen_invalidate_map_cache_entry(first, len);
    first = hold(at, len);
    g_assert_true(first == old);
    xen_invalidate_map_cache_entry(first, len);
    xen_invalidate_map_cache_entry(old, len);
    g_assert_cmpuint(stats().held, ==, before.held);
    g_assert_cmpuint(harness_mapped_pages(), ==, 0);
    g_assert_cmpuint(stats().unmatched, ==, before.unmatched);
}

/* A release where no mapping begins changes nothing, and is counted. */
static void test_release_nothing(void)
{
    XenMapCacheStats before = stats();
    uint8_t *host = dma_map(0x700000, 64), *held;
    hwaddr len = 2 * PAGE;
    uint8_t other;

    xen_invalidate_map_cache_entry(NULL, 1);
    g_assert_cmpuint(stats().unmatched, ==, before.unmatched);
    xen_invalidate_map_cache_entry(&other, 1);
    xen_invalidate_map_cache_entry(host + 1, 63);
    g_assert_cmpuint(stats().unmatched, ==, before.unmatched + 2);
    g_assert_cmpuint(stats().dma, ==, before.dma + 1);
    xen_invalidate_map_cache_entry(host, 64);
    g_assert_cmpuint(stats().dma, ==, before.dma);
    xen_invalidate_map_cache_entry(host, 64);
    g_assert_cmpuint(stats().unmatched, ==, before.unmatched + 3);

    /* In the middle of a mapping outside the arena, too. */
    held = xen_map_cache_dma(harness_ram, 0x701000, 0, &len, XEN_MAP_HELD,
                             true, NULL, NULL);
    g_assert_cmpuint(len, ==, 2 * PAGE);
    xen_invalidate_map_cache_entry(held + PAGE, PAGE);
    g_assert_cmpuint(stats().unmatched, ==, before.unmatched + 4);
    g_assert_cmpuint(stats().held, ==, before.held + 1);
    xen_invalidate_map_cache_entry(held, 2 * PAGE);
    g_assert_cmpuint(stats().held, ==, before.held);
    g_assert_cmpuint(stats().unmatched, ==, before.unmatched + 4);
}

/* A ring pins its own pages, is not waited for, and is named once. */
static void test_held(void)
{
    unsigned drains = harness_drains;
    hwaddr len = 3 * PAGE;
    uint8_t *host;

    xen_invalidate_map_cache();
    xensim_stamp(harness_dom, 0x9fe, 3, 9);
    host = xen_map_cache_dma(harness_ram, 0x9fe000, 0, &len, XEN_MAP_HELD,
                             true, NULL, NULL);
    g_assert_cmpuint(len, ==, 3 * PAGE);
    g_assert_cmphex(xen_ram_addr_from_mapcache(host + PAGE + 7), ==,
                    0x9ff007);
    xen_invalidate_map_cache();
    g_assert_cmpuint(harness_drains, ==, drains);
    g_assert_cmpuint(harness_mapped_pages(), ==, 3);
    check_stamps(host, 0x9fe, 3, 9);
    g_assert_cmpuint(stats().held, ==, 1);
    xen_invalidate_map_cache_entry(host, len);
    g_assert_cmpuint(stats().held, ==, 0);
    g_assert_cmpuint(harness_mapped_pages(), ==, 0);
}

/* Two mappings at one address that differ in length stay apart. */
static void test_same_address(void)
{
    uint8_t *small, *large;

    xen_invalidate_map_cache();
    small = dma_map(0x87f000, PAGE);
    large = dma_map(0x87f000, 3 * PAGE);
    if (model_can_replace()) {
        g_assert_true(small == large);
    } else {
        g_test_message("buckets do not lie side by side here");
    }
    xensim_stamp(harness_dom, 0x87f, 3, 8);
    xen_invalidate_map_cache_entry(small, PAGE);
    xen_invalidate_map_cache();
    check_stamps(large, 0x87f, 3, 8);
    g_assert_cmphex(xen_ram_addr_from_mapcache(large + 2 * PAGE), ==,
                    0x881000);
    xen_invalidate_map_cache_entry(large, 3 * PAGE);
    g_assert_cmpuint(harness_mapped_pages(), ==, 0);
}

/* No thread has to be made once the guest runs. */
static unsigned threads_before, threads_after;

static unsigned count_threads(void)
{
    GDir *tasks = g_dir_open("/proc/self/task", 0, NULL);
    unsigned n = 0;

    g_assert_nonnull(tasks);
    while (g_dir_read_name(tasks)) {
        n++;
    }
    g_dir_close(tasks);
    return n;
}

static void test_reaper_is_there(void)
{
    g_assert_cmpuint(threads_after, ==, threads_before + 1);
    /* A bucket that is mapped anew leaves its slot to the reaper. */
    xensim_depopulate(harness_dom, 0x303, 1);
    xen_invalidate_map_cache();
    RCU_READ_LOCK_GUARD();
    g_assert_null(xen_map_cache(0x303000, NULL, NULL));
    g_assert_cmpuint(xensim_populate(harness_dom, 0x303, 1), ==, 1);
    g_assert_nonnull(xen_map_cache(0x303000, NULL, NULL));
    g_assert_cmpuint(count_threads(), ==, threads_after);
}

static void test_model(void)
{
    streams_random(STREAM, STREAM_OPS);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    QEMU_BUILD_BUG_ON(MODEL_RAM_BYTES > RAM);
    harness_init(RAM, 0);
    threads_before = count_threads();
    xen_map_cache_init();
    threads_after = count_threads();
    /* The model counts unmatched releases from 0. */
    g_test_add_func("/xen-mapcache/model", test_model);
    g_test_add_func("/xen-mapcache/replay", streams_replay);
    g_test_add_func("/xen-mapcache/reaper-is-there", test_reaper_is_there);
    g_test_add_func("/xen-mapcache/kept", test_kept);
    g_test_add_func("/xen-mapcache/hits-of-threads", test_hits_of_threads);
    g_test_add_func("/xen-mapcache/hit-alone", test_hit_alone);
    g_test_add_func("/xen-mapcache/hole", test_hole);
    g_test_add_func("/xen-mapcache/stale-neighbour", test_stale_neighbour);
    g_test_add_func("/xen-mapcache/replace", test_replace);
    g_test_add_func("/xen-mapcache/block", test_block);
    g_test_add_func("/xen-mapcache/fault", test_fault);
    g_test_add_func("/xen-mapcache/whole", test_whole);
    g_test_add_func("/xen-mapcache/held", test_held);
    g_test_add_func("/xen-mapcache/same-address", test_same_address);
    g_test_add_func("/xen-mapcache/held-twice", test_held_twice);
    g_test_add_func("/xen-mapcache/release-nothing", test_release_nothing);
    return g_test_run();
}
