/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The benchmark's adapter for the series' mapcache, and for that of its last
 * release, which answered by NULL alone (BENCH_LAST_RELEASE).
 */
#include "qemu/osdep.h"
#include "exec/memory.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-harness.h"
#include "xen-mapcache-bench.h"

uint8_t *bench_lookup(uint64_t addr)
{
#ifdef BENCH_LAST_RELEASE
    return xen_map_cache(addr, NULL);
#else
    return xen_map_cache(addr, NULL, NULL);
#endif
}

#ifdef BENCH_LAST_RELEASE
/* The harness of today calls it; there was nothing like it. */
void mcache_block_announce(void);

void mcache_block_announce(void)
{
}
#endif

/* As a device has one: a record of a DMA mapping says whose it is. */
static AddressSpace address_space = { .name = (char *)"bench" };

uint8_t *bench_map(uint64_t addr, size_t len)
{
    hwaddr got = len;
#ifdef BENCH_LAST_RELEASE
    uint8_t *host = xen_map_cache_dma(harness_ram, addr, 0, &got, XEN_MAP_DMA,
                                      true, &address_space);
#else
    uint8_t *host = xen_map_cache_dma(harness_ram, addr, 0, &got, XEN_MAP_DMA,
                                      true, &address_space, NULL);
#endif

    g_assert_true(!host || got == len);
    return host;
}

void bench_unmap(uint8_t *host, size_t len)
{
    xen_invalidate_map_cache_entry(host, len);
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
    xen_map_cache_init();
}

void bench_thread_init(void)
{
}
