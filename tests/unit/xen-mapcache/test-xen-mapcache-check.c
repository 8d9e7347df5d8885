/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every other test relies on the walk in xen-mapcache-check.c.  Here each
 * condition that it checks is broken once, in a process of its own.  The walk
 * must name the condition and the slot.
 */
#include "qemu/osdep.h"
#include "qemu/rcu.h"
#include "hw/xen/xen_native.h"
#include "xen-mapcache-harness.h"
#include "xen-mapcache-int.h"

#define RAM     (32u << 20)
#define ADDR    0x345000u

/* Slot @nr is LIVE, and has the bucket of ADDR. */
typedef struct Fault {
    const char *name;
    void (*make)(uint32_t nr);
    const char *told;           /* the beginning of what is said, a pattern */
} Fault;

static void unused(uint32_t nr)
{
    clear_bit(nr, mapcache.used_map);
}

static void never_made(uint32_t nr)
{
    clear_bit(nr / MCACHE_PART_SLOTS, mapcache.table_map);
}

static void record(uint32_t nr)
{
    mapcache.slot[nr].state |= mcache_record(0, XC_PAGE_SIZE);
}

static void locked(uint32_t nr)
{
    mapcache.slot[nr].state = MCACHE_STATE(MCACHE_RETIRED, 1);
}

static void not_named(uint32_t nr)
{
    *mcache_forward(mapcache.slot[nr].bucket) = 0;
}

static void old(uint32_t nr)
{
    mapcache.slot[nr].gen--;
}

static void named(uint32_t nr)
{
    mapcache.slot[nr].state = MCACHE_STATE(MCACHE_STALE, 1);
}

static void other_bucket(uint32_t nr)
{
    *mcache_forward(mapcache.slot[nr].bucket ^ 1) = nr + 1;
}

static void queued(uint32_t nr)
{
    set_bit(nr, mapcache.reap_map);
}

static void used_count(uint32_t nr)
{
    mapcache.nr_used++;
}

static void pending_count(uint32_t nr)
{
    mapcache.nr_pending++;
}

static const Fault faults[] = {
    { "unused", unused, "slot *: used_map and the phase disagree" },
    { "never-made", never_made, "slot *: used, and its part of the table" },
    { "record", record, "slot *: has the record of a DMA mapping, but" },
    { "locked", locked, "slot *: is locked, in a phase" },
    { "not-named", not_named,
      "slot *: is LIVE, and the forward table does not" },
    { "old", old, "slot *: is LIVE, and of an older generation" },
    { "named", named, "slot *: is not LIVE, and the forward table names it" },
    { "other-bucket", other_bucket, "slot *: another bucket's cell" },
    { "queued", queued, "slot *: waits to be unmapped, and is not RETIRED" },
    { "used-count", used_count, "nr_used is not" },
    { "pending-count", pending_count, "nr_pending is not" },
};

static void check(void)
{
    qemu_mutex_lock(&mapcache.lock);
    mcache_check_locked();
    qemu_mutex_unlock(&mapcache.lock);
}

static void test_fault(const void *opaque)
{
    const Fault *fault = opaque;
    g_autofree char *told = NULL;
    uint32_t nr;

    if (g_test_subprocess()) {
        uint8_t *host;

        RCU_READ_LOCK_GUARD();
        host = xen_map_cache(ADDR, NULL, NULL);
        g_assert_nonnull(host);
        g_assert_true(mcache_slot_of(host, &nr));
        check();
        fault->make(nr);
        check();
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_failed();
    told = g_strdup_printf("xen-mapcache: check: %s*\n  generation *used*"
                           "\n  slot *", fault->told);
    g_test_trap_assert_stderr(told);
}

/* Nothing is said of what is right. */
static void test_right(void)
{
    if (g_test_subprocess()) {
        RCU_READ_LOCK_GUARD();
        g_assert_nonnull(xen_map_cache(ADDR, NULL, NULL));
        check();
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    g_test_trap_assert_stderr("");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    harness_init(RAM, 0);
    xen_map_cache_init();
    g_test_add_func("/xen-mapcache/check/right", test_right);
    for (unsigned i = 0; i < ARRAY_SIZE(faults); i++) {
        g_autofree char *path = g_strdup_printf("/xen-mapcache/check/%s",
                                                faults[i].name);

        g_test_add_data_func(path, &faults[i], test_fault);
    }
    return g_test_run();
}
