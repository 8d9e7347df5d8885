/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The benchmark's adapter for QEMU's own mapcache. */
#include "qemu/osdep.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-harness.h"
#include "xen-mapcache-bench.h"

/* The harness calls it for the series; here is nothing like it. */
void mcache_block_announce(void);

void mcache_block_announce(void)
{
}

uint8_t *bench_lookup(uint64_t addr)
{
    return xen_map_cache(harness_ram, addr, 0, 0, 0, false, true);
}

uint8_t *bench_map(uint64_t addr, size_t len)
{
    return xen_map_cache(harness_ram, addr, len, 0, 1, true, true);
}

void bench_unmap(uint8_t *host, size_t len)
{
    xen_invalidate_map_cache_entry(host);
}

uint64_t bench_reverse(uint8_t *host)
{
    return xen_ram_addr_from_mapcache(host);
}

void bench_invalidate(void)
{
    xen_invalidate_map_cache();
}

void bench_init(void)
{
    xen_map_cache_init(NULL, NULL);
}

void bench_thread_init(void)
{
    /*
     * It tells the RAM block notifiers of each DMA mapping, from any thread;
     * the harness allows that only with the BQL.
     */
    harness_bql(true);
}
