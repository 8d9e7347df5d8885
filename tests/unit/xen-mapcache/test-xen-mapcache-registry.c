/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mapcache with its real sizes: the registry of DMA mappings, its cost when
 * a guest lists many pages, what a report says, what an invalidate waits for,
 * and unmapping of idle buckets.
 */
#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "qemu/module.h"
#include "qemu/rcu.h"
#include "exec/memory.h"
#include "hw/xen/xen_native.h"
#include "xen-mapcache-harness.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-dma.h"
#include "xen-mapcache-slots.h"

#define PAGE        XENSIM_PAGE_SIZE
#define RAM         (64u << 20)
#define FEW         2048u
#define MANY        65536u
#define AT          0x400000ull

static XenMapCacheStats stats(void)
{
    XenMapCacheStats s;

    xen_map_cache_get_stats(&s);
    return s;
}

static uint8_t *dma_map(uint64_t addr, hwaddr len, AddressSpace *as)
{
    hwaddr got = len;
    uint8_t *host;

    RCU_READ_LOCK_GUARD();
    host = xen_map_cache_dma(harness_ram, addr, 0, &got, XEN_MAP_DMA, true,
                             as, NULL);
    g_assert_nonnull(host);
    g_assert_cmpuint(got, ==, len);
    return host;
}

/* --- cost --------------------------------------------------------- */

/* Of this thread alone: how busy the machine is does not matter. */
static double cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return ts.tv_sec * 1e9 + ts.tv_nsec;
}

typedef struct Load {
    const char *name;
    unsigned step;          /* bytes from one mapping to the next */
    unsigned around;        /* … and after so many, from the start again */
    hwaddr len, longer;     /* bytes; each time so many more */
    bool newest_first;      /* ended in that order */
} Load;

static const Load loads[] = {
    { "same-page", 0, 1, PAGE, 0, false },
    { "same-page-newest-first", 0, 1, PAGE, 0, true },
    { "one-page-of-each-bucket", 1 << 20, 16, PAGE, 0, false },
    { "any-offset-of-a-page", 1, 4096, 512, 0, false },
    { "same-offset-in-each-page", PAGE, 4096, 512, 0, true },
    { "any-length", 0, 1, 1, 1, false },
    { "across-buckets", 1 << 20, 16, (1 << 20) + PAGE, 0, false },
};

static uint8_t *listed[MANY], *held_ones[FEW];

/* Nanoseconds for a mapping and its end, of @n that are outstanding at once. */
static double list(const Load *l, unsigned n)
{
    double start = cpu_ns();
    unsigned i;

    for (i = 0; i < n; i++) {
        listed[i] = dma_map(AT + (uint64_t)(i % l->around) * l->step,
                            l->len + i * l->longer, NULL);
    }
    for (i = 0; i < n; i++) {
        unsigned at = l->newest_first ? n - 1 - i : i;

        xen_invalidate_map_cache_entry(listed[at], l->len + at * l->longer);
    }
    return (cpu_ns() - start) / n;
}

/* Thirty-two times as many cost about as much, each. */
static void test_cost(gconstpointer opaque)
{
    const Load *l = opaque;
    uint64_t unmatched = stats().unmatched;
    double few, many;

    list(l, FEW);
    few = list(l, FEW);
    many = list(l, MANY);
    g_test_message("%.0f ns of %u, %.0f ns of %u", few, FEW, many, MANY);
    g_assert_cmpfloat(many, <, 10 * few + 500);
    g_assert_cmpuint(stats().unmatched, ==, unmatched);
    g_assert_cmpuint(stats().dma, ==, 0);
    xen_invalidate_map_cache();
    g_assert_cmpuint(harness_mapped_pages(), ==, 0);
}

/* All are counted, of each kind, and the monitor need not look at each. */
static void test_count(void)
{
    uint64_t transfers, held;
    double start;
    unsigned i;

    for (i = 0; i < MANY; i++) {
        listed[i] = dma_map(AT, 1 + i, NULL);
    }
    for (i = 0; i < FEW; i++) {
        hwaddr len = 8;
        uint8_t *host;

        WITH_RCU_READ_LOCK_GUARD() {
            host = xen_map_cache_dma(harness_ram, AT + i * PAGE, 0, &len,
                                     XEN_MAP_HELD, false, NULL, NULL);
        }
        g_assert_nonnull(host);
        held_ones[i] = host;
    }
    start = cpu_ns();
    mcache_dma_count(&transfers, &held);
    g_test_message("%.0f ns to count %u", cpu_ns() - start, MANY + FEW);
    g_assert_cmpuint(transfers, ==, MANY);
    g_assert_cmpuint(held, ==, FEW);
    for (i = 0; i < MANY; i++) {
        xen_invalidate_map_cache_entry(listed[i], 1 + i);
    }
    mcache_dma_count(&transfers, &held);
    g_assert_cmpuint(transfers, ==, 0);
    g_assert_cmpuint(held, ==, FEW);
    for (i = 0; i < FEW; i++) {
        xen_invalidate_map_cache_entry(held_ones[i], 8);
    }
    mcache_dma_count(&transfers, &held);
    g_assert_cmpuint(transfers + held, ==, 0);
    xen_invalidate_map_cache();
    g_assert_cmpuint(harness_mapped_pages(), ==, 0);
}

static void note_length(const MapCacheDma *m, void *opaque)
{
    for (uint64_t i = 0; i < m->count; i++) {
        g_array_append_val((GArray *)opaque, m->size);
    }
}

static gint by_length(gconstpointer a, gconstpointer b)
{
    uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;

    return first < second ? -1 : first > second;
}

/* The lengths of the outstanding mappings must be these, shortest first. */
static void check_lengths_at(int line, const char *expected)
{
    g_autoptr(GArray) lengths = g_array_new(false, false, sizeof(uint64_t));
    g_autoptr(GString) found = g_string_new("");

    mcache_dma_foreach(note_length, lengths);
    g_array_sort(lengths, by_length);
    for (guint i = 0; i < lengths->len; i++) {
        g_string_append_printf(found, "%s%" PRIu64, i ? " " : "",
                               g_array_index(lengths, uint64_t, i));
    }
    if (strcmp(found->str, expected)) {
        g_error("line %d: outstanding lengths: expected \"%s\", found \"%s\"",
                line, expected, found->str);
    }
}
#define check_lengths(expected) check_lengths_at(__LINE__, expected)

/*
 * A release that names no length that was mapped ends the shortest mapping,
 * whether the slot or the table has its record.
 */
static void test_other_length(void)
{
    static const hwaddr lens[] = { 300, 5000, 70000, 4000 };
    uint64_t unmatched = stats().unmatched;
    uint8_t *host = NULL;
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(lens); i++) {
        host = dma_map(AT, lens[i], NULL);
    }
    check_lengths("300 4000 5000 70000");
    xen_invalidate_map_cache_entry(host, 1);    /* the slot has 300 */
    check_lengths("4000 5000 70000");
    dma_map(AT, 6000, NULL);                    /* the slot has 6000 now */
    xen_invalidate_map_cache_entry(host, 2);
    check_lengths("5000 6000 70000");
    xen_invalidate_map_cache_entry(host, 5000);
    check_lengths("6000 70000");
    xen_invalidate_map_cache_entry(host, 3);
    check_lengths("70000");
    g_assert_cmpuint(stats().unmatched, ==, unmatched);
    xen_invalidate_map_cache_entry(host, 300);
    check_lengths("");
    g_assert_cmpuint(stats().dma, ==, 0);
    xen_invalidate_map_cache_entry(host, 300);
    g_assert_cmpuint(stats().unmatched, ==, unmatched + 1);
    xen_invalidate_map_cache();
    g_assert_cmpuint(harness_mapped_pages(), ==, 0);
}

/* --- reports --------------------------------------------------------- */

/* Runs @f in a process of its own, whose stderr the caller looks at. */
static bool in_subprocess(void (*f)(void))
{
    if (g_test_subprocess()) {
        f();
        return true;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    return false;
}

/* Devices come and go, more than there are at any time. */
static void many_devices(void)
{
    uint8_t *host = NULL;
    unsigned i;

    for (i = 0; i < 2000; i++) {
        g_autofree char *name = g_strdup_printf("device-%u", i);
        AddressSpace as = { .name = name };

        if (host) {
            xen_invalidate_map_cache_entry(host, PAGE);
        }
        dma_owner_changes();
        host = dma_map(AT, PAGE, &as);
    }
    xen_invalidate_map_cache();
}

static void test_many_devices(void)
{
    if (!in_subprocess(many_devices)) {
        g_test_trap_assert_stderr("*held by device-1999 for*");
        g_test_trap_assert_stderr_unmatched("*unknown*");
    }
}

static const TypeInfo disk_info = {
    .name = "disk",
    .parent = TYPE_OBJECT,
};

/* Virtio's address space is the system's, and says nothing of the device. */
static void owner_of_thread(void)
{
    AddressSpace as = { .name = (char *)"memory" };
    Object *disk = object_new("disk");

    dma_owner = disk;
    dma_map(AT, PAGE, &as);
    dma_owner = NULL;
    dma_map(AT + PAGE, PAGE, &as);
    xen_invalidate_map_cache();
}

static void test_owner_of_thread(void)
{
    if (!in_subprocess(owner_of_thread)) {
        g_test_trap_assert_stderr("*0x0000000000400000, 4096 bytes, device "
                                  "writes, held by disk for *");
        g_test_trap_assert_stderr("*0x0000000000401000, 4096 bytes, device "
                                  "writes, held by memory for *");
    }
}

/* The clock of the records was set back so far when the next one is made. */
static void set_back(unsigned seconds)
{
    qatomic_set(&mapcache.seconds, mcache_seconds() - seconds);
}

/*
 * What is young is waited for; what has lasted for long is not, and is named
 * once.  There are some in slots, and some
 * that no slot has room for.
 */
static void long_transfers(void)
{
    unsigned drains = harness_drains;
    uint8_t *host[4];
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(host); i++) {
        set_back(10);
        host[i] = dma_map(AT + i / 2 * (1 << 20), 1000, NULL);
    }
    for (i = 0; i < 2; i++) {
        xen_invalidate_map_cache();
        g_usleep(1100000); /* one burst of lines a second */
    }
    g_assert_cmpuint(harness_drains, ==, drains);
    set_back(0);
    dma_map(AT, 2000, NULL);
    xen_invalidate_map_cache();
    g_assert_cmpuint(harness_drains, ==, drains + 1);
    g_assert_cmpuint(stats().dma, ==, 5);
    /* Though not waited for, they are good to their ends. */
    for (i = 0; i < ARRAY_SIZE(host); i++) {
        xen_invalidate_map_cache_entry(host[i], 1000);
    }
    g_assert_cmpuint(stats().dma, ==, 1);
}

static unsigned lines_with(const char *text, const char *what)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    unsigned n = 0;

    for (char **line = lines; *line; line++) {
        n += strstr(*line, what) != NULL;
    }
    return n;
}

/* What another thread maps while mappings are listed is new, not old. */
static void test_newer_than_now(void)
{
    uint32_t now = mcache_seconds();
    uint64_t newer = mcache_dma_info(0, 1, now + 1);
    uint64_t older = mcache_dma_info(0, 1,
                                     now - MCACHE_DMA_LONG_SECONDS - 1);

    g_assert_true(mcache_dma_is_young(newer, now));
    g_assert_cmpuint(mcache_dma_age(newer, now), ==, 0);
    g_assert_false(mcache_dma_is_young(older, now));
    g_assert_cmpuint(mcache_dma_age(older, now), ==,
                     MCACHE_DMA_LONG_SECONDS + 1);
    /* The seconds are 32 bits, and wrap. */
    g_assert_cmpuint(mcache_dma_age(mcache_dma_info(0, 1, UINT32_MAX), 4), ==,
                     5);
}

static void test_long_transfers(void)
{
    g_autofree char *text = NULL, *err = NULL;
    const char *argv[] = { "/proc/self/exe", "--tap", "-p",
        "/xen-mapcache/registry/long-transfers/subprocess", NULL };
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    int status;

    argv[0] = self;
    g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL,
                               G_SPAWN_DEFAULT, NULL, NULL, &text, &err,
                               &status, NULL));
    g_assert_cmpint(status, ==, 0);
    g_assert_cmpuint(lines_with(err, "1000 bytes"), ==, 4);
    g_assert_cmpuint(lines_with(err, "2000 bytes"), ==, 1);
}

/* --- giving back ----------------------------------------------------- */

#define IDLE_PATIENCE_US    (30 * G_USEC_PER_SEC)

/*
 * Buckets that nobody uses are unmapped; one that is looked at now and then
 * stays, and one that DMA holds.
 */
static void test_idle(void)
{
    const unsigned buckets = 8;
    gint64 end = g_get_monotonic_time() + IDLE_PATIENCE_US;
    uint64_t idle = stats().idle;
    uint8_t *held;
    unsigned i;

    xen_invalidate_map_cache();
    WITH_QEMU_LOCK_GUARD(&mapcache.lock) {
        mapcache.idle = 1;
    }
    held = dma_map(AT, PAGE, NULL);
    WITH_RCU_READ_LOCK_GUARD() {
        for (i = 1; i < buckets; i++) {
            g_assert_nonnull(xen_map_cache(AT + i * (1 << 20), NULL, NULL));
        }
    }
    while (stats().buckets + stats().buckets_pending > 2 &&
           g_get_monotonic_time() < end) {
        WITH_RCU_READ_LOCK_GUARD() {
            g_assert_nonnull(xen_map_cache(AT + (1 << 20), NULL, NULL));
        }
        g_usleep(20000);
    }
    g_assert_cmpuint(stats().buckets, ==, 2);
    g_assert_cmpuint(stats().idle, ==, idle + buckets - 2);
    g_assert_cmpuint(harness_mapped_pages(), ==, 2 * MCACHE_BUCKET_PAGES);
    g_assert_cmphex(xen_ram_addr_from_mapcache(held), ==, AT);
    xen_invalidate_map_cache_entry(held, PAGE);
    /* What DMA has let go of goes, too. */
    while (stats().buckets + stats().buckets_pending &&
           g_get_monotonic_time() < end) {
        g_usleep(20000);
    }
    g_assert_cmpuint(harness_mapped_pages(), ==, 0);
    WITH_QEMU_LOCK_GUARD(&mapcache.lock) {
        mapcache.idle = 0;
    }
}

/* Where each mapped page costs a frame, less is kept mapped. */
static void test_default_size(void)
{
    const uint64_t gib = 1ull << 30;

    g_assert_cmpuint(mcache_default_size(NULL, 0), ==, 32 * gib);
    g_assert_cmpuint(mcache_default_size("PV", gib), ==, 32 * gib);
    g_assert_cmpuint(mcache_default_size("PVH", 4 * gib), ==, gib / 2);
    g_assert_cmpuint(mcache_default_size("HVM", 512 * gib), ==, 32 * gib);
}

int main(int argc, char **argv)
{
    unsigned i;

    g_test_init(&argc, &argv, NULL);
    module_call_init(MODULE_INIT_QOM);
    type_register_static(&disk_info);
    harness_init(RAM, 0);
    xen_map_cache_init();
    /* Some cases run in processes of their own, each with its own simulation. */
    xensim_unsetenv_for_dm(harness_sim);
    for (i = 0; i < ARRAY_SIZE(loads); i++) {
        g_autofree char *path = g_strdup_printf(
            "/xen-mapcache/registry/cost/%s", loads[i].name);

        g_test_add_data_func(path, &loads[i], test_cost);
    }
    g_test_add_func("/xen-mapcache/registry/count", test_count);
    g_test_add_func("/xen-mapcache/registry/other-length", test_other_length);
    g_test_add_func("/xen-mapcache/registry/idle", test_idle);
    g_test_add_func("/xen-mapcache/registry/default-size", test_default_size);
    g_test_add_func("/xen-mapcache/registry/many-devices", test_many_devices);
    g_test_add_func("/xen-mapcache/registry/owner-of-thread",
                    test_owner_of_thread);
    g_test_add_func("/xen-mapcache/registry/newer-than-now",
                    test_newer_than_now);
    g_test_add_func("/xen-mapcache/registry/long-transfers",
                    test_long_transfers);
    g_test_add_func("/xen-mapcache/registry/long-transfers/subprocess",
                    long_transfers);
    return g_test_run();
}
