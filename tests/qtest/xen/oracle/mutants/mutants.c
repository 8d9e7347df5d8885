/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mistakes, each of which the oracle has to find.
 *
 * "tools/build-qemu mutants" links QEMU with the series once more, with this
 * file: the linker's --wrap sends calls of the functions below to __wrap_NAME,
 * and __real_NAME is the series' own.  XEN_MUTANT names the one mistake that a
 * process makes; without it, it makes none.  NAME.stream beside this file is
 * what finds it (docs/oracle.md).  Functions are wrapped where another file
 * calls them.
 */
#include "qemu/osdep.h"
#include <xenstore.h>
#include "exec/memory.h"
#include "hw/i386/xen/xen-dirty.h"
#include "hw/i386/xen/xen-physmap-int.h"
#include "hw/xen/xen_native.h"
#include "hw/xen/xen-mapcache-int.h"
#include "hw/xen/xen-mapcache-slots.h"
#include "hw/xen/xen-ram.h"
#include "system/xen-mapcache.h"

/* The result of @name, and of both what is its own and what replaces it. */
#define WRAP(type, name, ...)               \
    type __real_##name(__VA_ARGS__);        \
    type __wrap_##name(__VA_ARGS__);        \
    type __wrap_##name(__VA_ARGS__)

static bool mutant(const char *name)
{
    return g_strcmp0(g_getenv("XEN_MUTANT"), name) == 0;
}

/* True each @n-th time. */
static bool now_and_then(unsigned n)
{
    static unsigned count;

    return qatomic_fetch_inc(&count) % n == n - 1;
}

/* A slot of before an invalidate goes on to be served. */
WRAP(void, xen_invalidate_map_cache, void)
{
    if (!mutant("stale-slot")) {
        __real_xen_invalidate_map_cache();
    }
}

WRAP(void, xen_invalidate_map_cache_entry, uint8_t *buffer, hwaddr size)
{
    if (mutant("release-dropped") && now_and_then(8)) {
        return;
    }
    if (mutant("released-twice") && now_and_then(8)) {
        __real_xen_invalidate_map_cache_entry(buffer, size);
    }
    __real_xen_invalidate_map_cache_entry(buffer, size);
}

/* The last page of several shows the one before it. */
WRAP(void *, xenforeignmemory_map2, xenforeignmemory_handle *fmem,
     uint32_t dom, void *addr, int prot, int flags, size_t pages,
     const xen_pfn_t arr[], int err[])
{
    g_autofree xen_pfn_t *other = NULL;

    if (mutant("page-short") && pages > 1) {
        other = g_memdup2(arr, pages * sizeof(arr[0]));
        other[pages - 1] = other[pages - 2];
    }
    return __real_xenforeignmemory_map2(fmem, dom, addr, prot, flags, pages,
                                        other ?: arr, err);
}

WRAP(uint8_t *, xen_map_cache_dma, MemoryRegion *mr, ram_addr_t addr,
     ram_addr_t block_offset, hwaddr *plen, XenMapUse use, bool is_write,
     AddressSpace *as, XenMapStatus *status)
{
    uint8_t *host = __real_xen_map_cache_dma(mr, addr, block_offset, plen, use,
                                             is_write, as, status);

    if (!host && status && *status == XEN_MAP_UNAVAILABLE) {
        if (mutant("absent-for-unavailable")) {
            *status = XEN_MAP_ABSENT;
        } else if (mutant("failure-aborts")) {
            abort();
        }
    }
    return host;
}

/* What is said to be copied is a byte more than was. */
WRAP(XenMapStatus, xen_map_cache_copy, ram_addr_t addr, void *buf, void *old,
     hwaddr *plen, bool is_write)
{
    hwaddr less = *plen > 1 && mutant("copied-short");
    XenMapStatus status;

    *plen -= less;
    status = __real_xen_map_cache_copy(addr, buf, old, plen, is_write);
    *plen += less;
    return status;
}

/* A transfer by copy does not reach the guest. */
WRAP(bool, xen_ram_copy_unmap, void *host, hwaddr written)
{
    return __real_xen_ram_copy_unmap(host, mutant("copy-not-written")
                                           ? 0 : written);
}

/* An address within a mapping stands for the start of its page. */
WRAP(ram_addr_t, xen_ram_addr_from_mapcache, void *ptr)
{
    ram_addr_t addr = __real_xen_ram_addr_from_mapcache(ptr);

    return addr != RAM_ADDR_INVALID && mutant("inexact-address")
           ? addr & XC_PAGE_MASK : addr;
}

/* A BAR shows other frames than the device's. */
WRAP(int, xen_frames_move, hwaddr from, hwaddr to, uint64_t size)
{
    return mutant("frames-not-moved") ? 0
                                      : __real_xen_frames_move(from, to, size);
}

/* After a restore the device draws into its dummy. */
WRAP(uint8_t *, xen_map_cache_adopt, ram_addr_t addr)
{
    /* Whoever asks looks for NULL only. */
    return mutant("dummy-kept") ? (uint8_t *)1
                                : __real_xen_map_cache_adopt(addr);
}

/* One page in all map calls is not counted. */
WRAP(void, xen_map_cache_get_stats, XenMapCacheStats *stats)
{
    __real_xen_map_cache_get_stats(stats);
    stats->map_pages -= stats->map_pages && mutant("miscounted");
}

/* A live migration leaves behind what a device wrote. */
WRAP(void, xen_hvm_modified_memory, ram_addr_t start, ram_addr_t length)
{
    if (!mutant("dirty-report-lost")) {
        __real_xen_hvm_modified_memory(start, length);
    }
}

/* What the guest's CPU draws does not reach the screen. */
WRAP(void, xen_dirty_vram_sync, MemoryRegionSection *section)
{
    if (!mutant("drawing-not-seen")) {
        __real_xen_dirty_vram_sync(section);
    }
}

/* A device's interrupt does not reach the guest. */
WRAP(void, xen_intx_set_irq, void *opaque, int irq_num, int level)
{
    if (!level || !mutant("interrupt-lost")) {
        __real_xen_intx_set_irq(opaque, irq_num, level);
    }
}

static bool mutant_is_slow(void)
{
    static int slow = -1;

    slow = slow < 0 ? mutant("slow-miss") : slow;
    return slow;
}

/* A miss takes long, and holds the main loop. */
WRAP(XenMapStatus, mcache_fill_locked, uint64_t first, uint32_t n,
     unsigned page)
{
    volatile unsigned i;

    /* The oracle stops the clock, and looks at the processor's time. */
    for (i = 0; i < 500000000 && mutant_is_slow(); i++) {
        continue;
    }
    return __real_mcache_fill_locked(first, n, page);
}
