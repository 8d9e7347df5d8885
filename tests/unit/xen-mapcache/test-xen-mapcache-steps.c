/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mapcache and its model, with many operations a second: on the fake Xen,
 * which makes no system calls, with threads run by the scheduler.
 *
 * XEN_MAPCACHE_SEED, XEN_MAPCACHE_OPS, XEN_MAPCACHE_REPLAY and
 * XEN_MAPCACHE_CORPUS are as in test-xen-mapcache.  XEN_MAPCACHE_MISTAKE names
 * a mutant.
 */
#include "qemu/osdep.h"
#include "exec/ram_addr.h"
#include "hw/xen/xen_native.h"
#include "xen-mapcache-harness.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-scheduler.h"
#include "xen-mapcache-streams.h"
#include "xen-mapcache-model.h"

#define RAM     (32u << 20)
#define STREAM      9000000 /* bytes */
#define STREAM_OPS  1000000 /* that they are at the least */
#define MISTAKE_STREAM  40000000 /* in which a mistake must have been found */
#define WRAP_STREAM 60000
#define WRAP_OPS    5000
#define WALK_EVERY  16

static void test_model(void)
{
    streams_random(STREAM, STREAM_OPS);
}

/*
 * The generation is a number of 32 bits, and marks are compared by their
 * difference: the stream goes over both places where that could go wrong.
 * Nothing is mapped between streams, so the generation may be set there.
 */
static void test_wrap(void)
{
    static const uint32_t starts[] = {
        0x7fffff00, 0xffffff00, 0x7fffff00, 0xffffff00,
    };
    XenMapCacheStats s;
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(starts); i++) {
        xen_map_cache_get_stats(&s);
        g_assert_cmpuint(s.buckets + s.buckets_pending, ==, 0);
        qatomic_set(&mapcache.gen, starts[i]);
        model_threads.reset = NULL;
        if (streams_random(WRAP_STREAM, WRAP_OPS)) {
            g_assert_cmphex(mapcache.gen - starts[i], >, 0x100);
        }
        model_threads.reset = sched_reset;
    }
}

/* Slots that were last used, by a thread, so long ago that it looks new. */
static void test_long_unused(void)
{
    static const uint32_t ages[] = { 0x7fffffff, 0x80000000, 0xc0000000 };
    unsigned i;
    uint32_t nr;

    for (i = 0; i < ARRAY_SIZE(ages); i++) {
        for (nr = 0; nr < mapcache.nr_slots; nr++) {
            if (mcache_slot_known(nr)) {
                mapcache.slot[nr].iothread_gen = mapcache.gen - ages[i];
            }
        }
        model_threads.reset = NULL;
        streams_random(WRAP_STREAM, WRAP_OPS);
        model_threads.reset = sched_reset;
    }
}

#ifndef MODEL_TIGHT
/* With a mistake in it, some stream must fail. */
static void seeded(gconstpointer name)
{
    if (g_test_subprocess()) {
        /* Whether it is found is to be no matter of luck. */
        g_setenv("XEN_MAPCACHE_SEED", "1", true);
        g_assert_true(sched_mistake_set(name));
        streams_random(MISTAKE_STREAM, 0);
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_failed();
    g_test_trap_assert_stderr("*op *");
}
#endif

int main(int argc, char **argv)
{
    const char *mistake = g_getenv("XEN_MAPCACHE_MISTAKE");

    g_test_init(&argc, &argv, NULL);
    if (mistake && !sched_mistake_set(mistake)) {
        g_error("XEN_MAPCACHE_MISTAKE=%s is none that is known", mistake);
    }
    harness_init(RAM, 0);
    sched_init(model_give_way);
    model_threads = (ModelThreads) {
        sched_run, sched_go_on, sched_reap, sched_reset,
    };
    sched_walk_every = WALK_EVERY;
    xen_map_cache_init();
    g_test_add_func("/xen-mapcache/steps/model", test_model);
    g_test_add_func("/xen-mapcache/steps/generation-wrap", test_wrap);
    g_test_add_func("/xen-mapcache/steps/long-unused", test_long_unused);
    g_test_add_func("/xen-mapcache/steps/replay", streams_replay);
#ifndef MODEL_TIGHT
    g_test_add_data_func("/xen-mapcache/steps/seeded/no-grace", "no-grace",
                         seeded);
    g_test_add_data_func("/xen-mapcache/steps/seeded/no-step", "no-step",
                         seeded);
    g_test_add_data_func("/xen-mapcache/steps/seeded/no-mark", "no-mark",
                         seeded);
    g_test_add_data_func("/xen-mapcache/steps/seeded/short-release",
                         "short-release", seeded);
#endif
    return g_test_run();
}
