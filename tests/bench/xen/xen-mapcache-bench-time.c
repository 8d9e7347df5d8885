/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the scenarios share: the clock, the rounds, and what is printed. */
#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "hw/xen/xen_native.h"
#include "xen-mapcache-harness.h"
#include "xen-mapcache-bench.h"

#define ROUNDS      20              /* short ones: some are undisturbed */

int64_t bench_now(void)
{
    return get_clock();
}

void bench_report(const char *scenario, const char *unit, double value)
{
    printf("%s\t%s\t%.3f\n", scenario, unit, value);
    fflush(stdout);
}

/* Mappings that ended so far. */
static uint64_t unmaps(void)
{
    XensimCount maps = xensim_count_maps(harness_sim);
    XensimMemInfo info;

    xensim_mem_info(harness_dom, &info);
    return maps.calls - maps.failures - info.mappings;
}

static uint64_t map_calls(void)
{
    return xensim_count_maps(harness_sim).calls;
}

static uint64_t maps_before, ends_before;

int64_t bench_start(void)
{
    maps_before = map_calls();
    ends_before = unmaps();
    return bench_now();
}

void bench_time(const char *scenario, BenchRound *round, void *opaque,
                unsigned operations)
{
    uint64_t maps = 0, ends = 0;
    double best = 0, t;
    unsigned i;

    for (i = 0; i < ROUNDS; i++) {
        bench_start();
        t = round(opaque);
        maps = map_calls() - maps_before;
        ends = unmaps() - ends_before;
        best = i && best < t ? best : t;
    }
    printf("%s\tns\t%.3f\t%.4f\t%.4f\n", scenario, best,
           (double)maps / operations, (double)ends / operations);
    fflush(stdout);
}

uint64_t bench_data_kib(void)
{
    g_autofree char *text = NULL;
    const char *line;

    g_assert_true(g_file_get_contents("/proc/self/status", &text, NULL,
                                      NULL));
    line = strstr(text, "VmData:");
    g_assert_nonnull(line);
    return g_ascii_strtoull(line + strlen("VmData:"), NULL, 10);
}
