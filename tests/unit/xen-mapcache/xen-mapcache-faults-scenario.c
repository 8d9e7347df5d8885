/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mapcache while calls fail: the scenario.
 */
#include "qemu/osdep.h"
#include "qemu/rcu.h"
#include "qemu/thread.h"
#include "exec/ram_addr.h"
#include "xen-mapcache-faults.h"

#define BUCKET      MODEL_BUCKET
#define SMALL_RAM   (32u << 20)
#define SEED        11
#define BLOCK_AT    (1ull << 32)
#define DUMMY_AT    ((1ull << 32) + (64ull << 20))
#define REPLACE_AT  0xf1003000ull
#define BLOCK_PAGES 37
#define GRANTS_AT   (1ull << 33)

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
    host = CALL(xen_map_cache(addr, &len, NULL));
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
                                        true, NULL, NULL));
    }
    expect(m.len == len, what);
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
        g_assert_null(CALL(xen_map_cache(gfn * PAGE, NULL, NULL)));
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
    faults_shared->may_exit = true;
    host = CALL(xen_map_cache_block(BLOCK_AT, BLOCK_PAGES * PAGE));
    faults_shared->may_exit = false;
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
    faults_shared->may_exit = true;
    harness_incoming = true;
    host = CALL(xen_map_cache_block(DUMMY_AT, BLOCK_PAGES * PAGE));
    memset(host, 0x5a, BLOCK_PAGES * PAGE);
    now = CALL(xen_replace_cache_entry(DUMMY_AT, REPLACE_AT,
                                       BLOCK_PAGES * PAGE));
    harness_incoming = false;
    faults_shared->may_exit = false;
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
                                        &m.len, XEN_MAP_DMA, true, NULL, NULL));
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
    display = model_can_replace() ? replaced() : NULL;
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
    faults_in_mapcache = true;
    model_block_free(device);
    if (display) {
        model_block_free(display);
    }
    xen_invalidate_map_cache();
    faults_in_mapcache = false;
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
        /* Slots that the reaper has yet to look for are buckets till then. */
        if (!left && !s.buckets_pending && !s.buckets) {
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

void faults_run(void)
{
    harness_init(SMALL_RAM, 0);
    xensim_stamp(harness_dom, 0x100, 0x800, SEED);
    g_assert_cmpuint(xensim_populate(harness_dom, BLOCK_AT / PAGE,
                                     BLOCK_PAGES), ==, BLOCK_PAGES);
    xensim_stamp(harness_dom, BLOCK_AT / PAGE, BLOCK_PAGES, SEED);
    g_assert_cmpuint(xensim_populate(harness_dom, REPLACE_AT / PAGE,
                                     BLOCK_PAGES), ==, BLOCK_PAGES);
    xensim_stamp(harness_dom, REPLACE_AT / PAGE, BLOCK_PAGES, SEED);

    faults_arm();
    faults_shared->may_exit = true;
    CALL_VOID(xen_map_cache_init());
    faults_shared->may_exit = false;
    scenario();
    faults_disarm();

    all_must_work = true;
    check_quiet();
    scenario();
    check_quiet();
}
