/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mapcache beside its naive twin, on streams that libFuzzer thinks up.
 *
 * tools/fuzz builds and runs it.  The decoder is the unit test's, so a stream
 * that fails here fails there: XEN_MAPCACHE_REPLAY=FILE test-xen-mapcache.
 */
#include "qemu/osdep.h"
#include "exec/ram_addr.h"
#include "xen-mapcache-harness.h"
#include "xen-mapcache-twin.h"

#define RAM     (32u << 20)

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static TwinCounts counts;
static gint64 start;

/* A line that tools/fuzz adds up. */
static void tell(void)
{
    fprintf(stderr, "fuzz: %" PRIu64 " operations in %.1f s, %" PRIu64
            " bytes looked at\n", counts.ops,
            (g_get_monotonic_time() - start) / 1e6, counts.bytes_checked);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    harness_init(RAM, 0);
    xen_map_cache_init();
    start = g_get_monotonic_time();
    atexit(tell);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    twin_run(data, size, &counts);
    return 0;
}
