/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mapcache beside the model, on streams that libFuzzer makes.
 *
 * tools/fuzz builds and runs it, by the command lines of a unit test whose
 * place it takes: with FUZZ_STEPS on a Xen without system calls and with
 * threads in steps (test-xen-mapcache-steps), else on the simulated Xen
 * (test-xen-mapcache).  The decoder is the unit test's, so a stream that fails
 * here fails there: XEN_MAPCACHE_REPLAY=FILE.
 *
 * XEN_MAPCACHE_MISTAKE names a mistake to be made on purpose, for the steps.
 */
#include "qemu/osdep.h"
#include "exec/ram_addr.h"
#include "xen-mapcache-harness.h"
#include "xen-mapcache-model.h"
#ifdef FUZZ_STEPS
#include "xen-mapcache-scheduler.h"
#endif

#define RAM         (32u << 20)
#define WALK_EVERY  256

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ModelCounts counts;
static gint64 start;

/* A line that tools/fuzz adds up. */
static void tell(void)
{
    fprintf(stderr, "fuzz: %" PRIu64 " operations in %.1f s, %" PRIu64
            " by a thread (gave way %" PRIu64 " times), %" PRIu64
            " bytes looked at\n", counts.ops,
            (g_get_monotonic_time() - start) / 1e6, counts.thread_ops,
            counts.gave_way, counts.bytes_checked);
}

/* What glib ends a process with; libFuzzer knows the other. */
static void on_trap(int sig)
{
    abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    signal(SIGTRAP, on_trap);
    harness_init(RAM, 0);
#ifdef FUZZ_STEPS
    const char *mistake = g_getenv("XEN_MAPCACHE_MISTAKE");

    if (mistake && !sched_mistake_set(mistake)) {
        g_error("XEN_MAPCACHE_MISTAKE=%s is none that is known", mistake);
    }
    sched_init(model_give_way);
    sched_walk_every = WALK_EVERY;
    model_threads = (ModelThreads) {
        sched_run, sched_go_on, sched_reap, sched_reset,
    };
#endif
    xen_map_cache_init();
    start = g_get_monotonic_time();
    atexit(tell);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    model_run(data, size, &counts);
    return 0;
}
