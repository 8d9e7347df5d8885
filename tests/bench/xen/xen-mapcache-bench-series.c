/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The benchmark's adapter for the series' mapcache. */
#include "qemu/osdep.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-harness.h"
#include "xen-mapcache-bench.h"

uint8_t *bench_lookup(uint64_t addr)
{
    return xen_map_cache(addr, NULL, NULL);
}

uint8_t *bench_map(uint64_t addr, size_t len)
{
    hwaddr got = len;
    uint8_t *host = xen_map_cache_dma(harness_ram, addr, 0, &got, XEN_MAP_DMA,
                                      true, NULL, NULL);

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
