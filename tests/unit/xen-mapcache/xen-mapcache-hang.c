/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A call to Xen or to the kernel that hangs: see xen-mapcache-hang.h.
 */
#include "qemu/osdep.h"
#include "qemu/rcu.h"
#include "xen-mapcache-hang.h"
#include "xen-mapcache-stress.h"
#include "xen-mapcache-wrap.h"

#define PATIENCE_MS 5000
#define BUCKET      MODEL_BUCKET
#define SEED        5

/* Where the thread that hangs is, and where the others are. */
#define HUNG        (16 * BUCKET)
#define OTHERS      (20 * BUCKET)
#define WARM        (26 * BUCKET)
#define STALE       (28 * BUCKET)

/* A thread's, from when it is chosen to when it has hung. */
static __thread HangCall hang_next;

static QemuSemaphore hang_reached, hang_go_on;
static bool hang_expired;       /* atomic */

void hang_here(HangCall call)
{
    if (hang_next != call) {
        return;
    }
    hang_next = HANG_NOT;
    qemu_sem_post(&hang_reached);
    if (qemu_sem_timedwait(&hang_go_on, PATIENCE_MS) < 0) {
        qatomic_set(&hang_expired, true);
    }
}

WRAPPED(xenforeignmemory_map2);
WRAPPED(xenforeignmemory_map);
WRAPPED(munmap);

void *__wrap_xenforeignmemory_map2(xenforeignmemory_handle *fmem, uint32_t dom,
                                   void *addr, int prot, int flags,
                                   size_t pages, const xen_pfn_t arr[],
                                   int err[])
{
    void *p;

    hang_here(HANG_MAP);
    p = __real_xenforeignmemory_map2(fmem, dom, addr, prot, flags, pages, arr,
                                     err);
    hang_here(HANG_MAPPED);
    return p;
}

/* Of a libxen that has no other. */
void *__wrap_xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t dom,
                                  int prot, size_t pages,
                                  const xen_pfn_t arr[], int err[])
{
    void *p;

    hang_here(HANG_MAP);
    p = __real_xenforeignmemory_map(fmem, dom, prot, pages, arr, err);
    hang_here(HANG_MAPPED);
    return p;
}

int __wrap_munmap(void *addr, size_t len)
{
    hang_here(HANG_MUNMAP);
#ifdef MODEL_COMPAT
    hang_here(HANG_EMPTY);
#endif
    return __real_munmap(addr, len);
}

/* --- what threads do ----------------------------------------------- */

static uint8_t *map(uint64_t addr, hwaddr len, XenMapUse use)
{
    hwaddr got = len;
    uint8_t *host;

    RCU_READ_LOCK_GUARD();
    host = xen_map_cache_dma(harness_ram, addr, 0, &got, use, true, NULL,
                             NULL);
    g_assert_nonnull(host);
    g_assert_cmpuint(got, ==, len);
    return host;
}

static void look(uint64_t addr)
{
    const uint8_t *host;

    RCU_READ_LOCK_GUARD();
    host = xen_map_cache(addr, NULL, NULL);
    g_assert_nonnull(host);
    g_assert_true(xensim_stamp_page_ok(host, addr / PAGE, SEED));
}

static void copy(uint64_t addr)
{
    uint8_t buf[PAGE];
    hwaddr len = PAGE;

    g_assert_cmpint(xen_map_cache_copy(addr, buf, NULL, &len, false), ==,
                    XEN_MAP_OK);
    g_assert_true(xensim_stamp_page_ok(buf, addr / PAGE, SEED));
}

/* Held by DMA across an invalidate, and not found any more. */
static uint8_t *stale;

/* A hit, misses of all kinds, and what ends. */
static void *others(void *opaque)
{
    uint8_t *host;

    rcu_register_thread();
    look(WARM);
    look(OTHERS);
    copy(OTHERS + BUCKET);
    host = map(OTHERS + 2 * BUCKET, PAGE, XEN_MAP_DMA);
    xen_invalidate_map_cache_entry(host, PAGE);
    host = map(OTHERS + 3 * BUCKET, PAGE, XEN_MAP_HELD);
    xen_invalidate_map_cache_entry(host, PAGE);
    xen_invalidate_map_cache_entry(stale, PAGE);
    rcu_unregister_thread();
    return NULL;
}

typedef struct Hang {
    const char *name;
    HangCall call;
    void (*prepare)(void);
    void (*run)(void);      /* the call that hangs, without the BQL */
    void (*after)(void);
    bool with_bql;          /* … or with it */
} Hang;

static void *hang(void *opaque)
{
    const Hang *h = opaque;

    rcu_register_thread();
    harness_bql(h->with_bql);
    hang_next = h->call;
    h->run();
    g_assert_cmpint(hang_next, ==, HANG_NOT);
    harness_bql(false);
    rcu_unregister_thread();
    return NULL;
}

/* A guest, in which all pages are stamped; nobody hangs. */
static void set_up(void)
{
    if (!harness_dom) {
        harness_init(SMALL_RAM, 0);
        xen_map_cache_init();
    }
    xensim_stamp(harness_dom, HUNG / PAGE, (STALE - HUNG) / PAGE, SEED);
    qatomic_set(&hang_expired, false);
}

/* Nothing is mapped any more, when the reaper has done its work. */
static void tear_down(void)
{
    g_assert_false(hang_expired);
    xen_invalidate_map_cache();
    while (harness_mapped_pages()) {
        g_usleep(1000);
    }
}

static void test_hang(gconstpointer opaque)
{
    const Hang *h = opaque;
    QemuThread hung, other;

    set_up();
    stale = map(STALE, PAGE, XEN_MAP_DMA);
    xen_invalidate_map_cache();
    look(WARM);
    if (h->prepare) {
        h->prepare();
    }
    harness_bql(!h->with_bql);
    qemu_thread_create(&hung, "hung", hang, (void *)h, QEMU_THREAD_JOINABLE);
    qemu_sem_wait(&hang_reached);
    qemu_thread_create(&other, "other", others, NULL, QEMU_THREAD_JOINABLE);
    qemu_thread_join(&other);
    qemu_sem_post(&hang_go_on);
    qemu_thread_join(&hung);
    harness_bql(true);
    if (h->after) {
        h->after();
    }
    tear_down();
}

/* --- what hangs ------------------------------------------------------ */

static void run_miss(void)
{
    look(HUNG);
}

static void run_copy(void)
{
    copy(HUNG);
}

static uint8_t *held;

static void run_hold(void)
{
    held = map(HUNG, PAGE, XEN_MAP_HELD);
}

static void held_end(void)
{
    xen_invalidate_map_cache_entry(held, PAGE);
}

/* A bucket that is mapped, with a page that is absent. */
static void hole_prepare(void)
{
    xensim_depopulate(harness_dom, HUNG / PAGE + 3, 1);
    look(HUNG);
}

static void run_hole(void)
{
    RCU_READ_LOCK_GUARD();
    g_assert_null(xen_map_cache(HUNG + 3 * PAGE, NULL, NULL));
}

static void hole_after(void)
{
    g_assert_cmpuint(xensim_populate(harness_dom, HUNG / PAGE + 3, 1), ==, 1);
}

static void block_prepare(void)
{
    g_assert_cmpuint(xensim_populate(harness_dom, BLOCK_AT / PAGE,
                                     BLOCK_PAGES), ==, BLOCK_PAGES);
}

static uint8_t *block;

static void run_block(void)
{
    block = xen_map_cache_block(BLOCK_AT, BLOCK_PAGES * PAGE);
}

static void block_mapped(void)
{
    block_prepare();
    run_block();
}

static void run_block_end(void)
{
    model_block_free(block);
}

static void block_after(void)
{
    xensim_depopulate(harness_dom, BLOCK_AT / PAGE, BLOCK_PAGES);
}

static void block_free_after(void)
{
    run_block_end();
    block_after();
}

static void many_prepare(void)
{
    look(HUNG);
    look(HUNG + BUCKET);
}

/* The last release of a slot that was invalidated, by who has the BQL. */
static uint8_t *last;

static void last_prepare(void)
{
    last = map(HUNG, PAGE, XEN_MAP_DMA);
    xen_invalidate_map_cache();
    look(WARM);
}

static void run_last(void)
{
    xen_invalidate_map_cache_entry(last, PAGE);
}

static const Hang hangs[] = {
    { "miss", HANG_MAP, NULL, run_miss },
    { "copy", HANG_MAP, NULL, run_copy },
    { "copy-end", HANG_MUNMAP, NULL, run_copy },
    { "hold", HANG_MAP, NULL, run_hold, held_end },
    { "hold-end", HANG_MUNMAP, run_hold, held_end },
    { "hole", HANG_MAP, hole_prepare, run_hole, hole_after },
    { "block", HANG_MAP, block_prepare, run_block, block_free_after, true },
    { "block-end", HANG_MUNMAP, block_mapped, run_block_end, block_after,
      true },
    { "invalidate", HANG_EMPTY, many_prepare, xen_invalidate_map_cache, NULL,
      true },
    { "last-release", HANG_EMPTY, last_prepare, run_last, NULL, true },
};

/* --- the same bucket --------------------------------------------------- */

static void *miss(void *opaque)
{
    rcu_register_thread();
    hang_next = *(HangCall *)opaque;
    look(HUNG);
    rcu_unregister_thread();
    return NULL;
}

static void *miss_too(void *opaque)
{
    rcu_register_thread();
    look(HUNG);
    rcu_unregister_thread();
    return NULL;
}

/* Who misses a bucket that is being mapped waits for that, and maps nothing. */
static void test_same_bucket(void)
{
    HangCall call = HANG_MAP;
    QemuThread first, second;
    XenMapCacheStats s;
    uint64_t calls;

    set_up();
    xen_map_cache_get_stats(&s);
    calls = s.map_calls;
    qemu_thread_create(&first, "first", miss, &call, QEMU_THREAD_JOINABLE);
    qemu_sem_wait(&hang_reached);
    qemu_thread_create(&second, "second", miss_too, NULL,
                       QEMU_THREAD_JOINABLE);
    while (!qatomic_read(&mapcache.calls_awaited)) {
        g_usleep(1000);
    }
    qemu_sem_post(&hang_go_on);
    qemu_thread_join(&first);
    qemu_thread_join(&second);
    xen_map_cache_get_stats(&s);
    g_assert_cmpuint(s.map_calls, ==, calls + 1);
    tear_down();
}

/* --- an invalidate meanwhile ------------------------------------------- */

static void *miss_both(void *opaque)
{
    uint8_t buf[PAGE];

    rcu_register_thread();
    hang_next = HANG_MAPPED;
    if (opaque) {
        held = map(HUNG, PAGE, XEN_MAP_HELD);
        memcpy(buf, held, PAGE);
        xen_invalidate_map_cache_entry(held, PAGE);
    } else {
        RCU_READ_LOCK_GUARD();
        memcpy(buf, xen_map_cache(HUNG, NULL, NULL), PAGE);
    }
    g_assert_true(xensim_stamp_page_ok(buf, HUNG / PAGE, SEED + 1));
    rcu_unregister_thread();
    return NULL;
}

static void *go_on_after_step(void *opaque)
{
    uint32_t gen = GPOINTER_TO_UINT(opaque);

    while (qatomic_read(&mapcache.gen) == gen) {
        g_usleep(100);
    }
    qemu_sem_post(&hang_go_on);
    return NULL;
}

/*
 * Frames that were mapped before an invalidate, by a call that returns after
 * it has begun, are shown to nobody after it, and are unmapped when it ends.
 */
static void test_old_frames(gconstpointer opaque)
{
    QemuThread hung, release;

    set_up();
    qemu_thread_create(&hung, "hung", miss_both, (void *)opaque,
                       QEMU_THREAD_JOINABLE);
    qemu_sem_wait(&hang_reached);
    xensim_depopulate(harness_dom, HUNG / PAGE, 1);
    g_assert_cmpuint(xensim_populate(harness_dom, HUNG / PAGE, 1), ==, 1);
    xensim_stamp(harness_dom, HUNG / PAGE, 1, SEED + 1);
    qemu_thread_create(&release, "release", go_on_after_step,
                       GUINT_TO_POINTER(mapcache.gen), QEMU_THREAD_JOINABLE);
    xen_invalidate_map_cache();
    qemu_thread_join(&release);
    qemu_thread_join(&hung);
    tear_down();
}

void hang_add_tests(void)
{
    unsigned i;

    qemu_sem_init(&hang_reached, 0);
    qemu_sem_init(&hang_go_on, 0);
    for (i = 0; i < ARRAY_SIZE(hangs); i++) {
        g_autofree char *path = g_strdup_printf("/xen-mapcache/threads/hang/%s",
                                                hangs[i].name);

        g_test_add_data_func(path, &hangs[i], test_hang);
    }
    g_test_add_func("/xen-mapcache/threads/hang/same-bucket",
                    test_same_bucket);
    g_test_add_data_func("/xen-mapcache/threads/hang/old-frames", NULL,
                         test_old_frames);
    g_test_add_data_func("/xen-mapcache/threads/hang/old-frames-held",
                         "held", test_old_frames);
}
