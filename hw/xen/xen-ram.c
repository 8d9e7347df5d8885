/*
 * Guest RAM on Xen, as QEMU's memory core sees it: foreign RAM
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Guest RAM (xen_memory) and grants (xen_grants) are RAM blocks without a host
 * address.  Loads and stores access them through MemoryRegionOps, transfers
 * through RAMForeignOps; exec/ramblock.h has the contract.  Device memory
 * belongs to the guest too.  But it is mapped as a whole when it is allocated,
 * and is ordinary RAM to the memory core from then on.
 *
 * The memory of backends is QEMU's own (xen-ram-own.c).
 *
 * A page is present, absent or unavailable.  An absent page is treated as
 * unassigned memory.  An unavailable page is copied through a mapping that is
 * made for the copy.  If that fails, it is tried again for a few milliseconds,
 * and then the access ends in an error.  No other memory is ever shown in place
 * of the page.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/units.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "hw/boards.h"
#include "hw/qdev-core.h"
#include "hw/xen/xen_native.h"
#include "hw/xen/xen-reservation.h"
#include "system/numa.h"
#include "system/runstate.h"
#include "system/xen.h"
#include "system/xen-mapcache.h"
#include "xen-ram.h"
#include "trace.h"

/* --- mappings ------------------------------------------------------------- */

static void *ram_map(RAMBlock *block, ram_addr_t addr, hwaddr *len,
                     unsigned flags, AddressSpace *as)
{
    bool is_write = flags & RAM_FOREIGN_WRITE;
    bool held = flags & RAM_FOREIGN_HELD;
    XenMapStatus status;
    unsigned tries = 0;
    hwaddr wanted;
    void *host = NULL;

    if (is_write && !(flags & (RAM_FOREIGN_HELD | RAM_FOREIGN_SHARED))) {
        host = xen_ram_copy_share(block, addr, len);
        if (unlikely(host)) {
            return host;
        }
    }
    wanted = *len;
    do {
        *len = wanted;
        status = XEN_MAP_OK;
        host = xen_map_cache_dma(block->mr, block->offset + addr,
                                 block->offset, len,
                                 held ? XEN_MAP_HELD : XEN_MAP_DMA, is_write,
                                 as, &status);
        /* A transfer can be copied; a held mapping cannot. */
    } while (unlikely(!host) && held && status == XEN_MAP_UNAVAILABLE &&
             xen_ram_wait_to_retry(&tries));
    if (likely(host)) {
        if (likely(*len == wanted || !(flags & RAM_FOREIGN_SHARED))) {
            return host;
        }
        xen_invalidate_map_cache_entry(host, *len);
    }
    *len = wanted;
    if (flags & RAM_FOREIGN_SHARED) {
        return NULL;
    }
    if (status == XEN_MAP_ABSENT) {
        return xen_ram_stand_in(addr, len, held, is_write);
    }
    return held ? NULL : xen_ram_copy_map(block, addr, len, is_write);
}

static void ram_unmap(RAMBlock *block, ram_addr_t addr, void *host, hwaddr len,
                      hwaddr written)
{
    if (xen_ram_copy_unmap(host, written) || xen_ram_stand_in_end(host)) {
        return;
    }
    if (written) {
        xen_hvm_modified_memory(block->offset + addr, written);
    }
    xen_invalidate_map_cache_entry(host, len);
}

static bool ram_from_host(RAMBlock *block, const void *host,
                          ram_addr_t *offset)
{
    ram_addr_t addr = xen_ram_addr_from_mapcache((void *)host);

    if (likely(addr != RAM_ADDR_INVALID)) {
        *offset = addr - block->offset;
        return *offset < block->max_length;
    }
    return xen_ram_copy_find(block, host, offset) ||
           xen_ram_stand_in_find(host, offset);
}

static const RAMForeignOps ram_ops = {
    .rw = xen_ram_rw,
    .map = ram_map,
    .unmap = ram_unmap,
    .from_host = ram_from_host,
};

/* --- device memory -------------------------------------------------------- */

static bool device_is_announced(RAMBlock *block)
{
    return xen_map_cache_block_is_announced(block->host);
}

static void device_unannounce(RAMBlock *block)
{
    if (block->host && xen_map_cache_block_unannounce(block->host)) {
        ram_block_notify_remove(block->host, block->used_length,
                                block->max_length);
    }
}

static void device_reclaim(RAMBlock *block)
{
    xen_unmap_cache_block(block->host);
}

static const RAMForeignOps device_ops = {
    .is_announced = device_is_announced,
    .unannounce = device_unannounce,
    .reclaim = device_reclaim,
};

/* Gives the guest frames for a device's memory where it was allocated. */
static void device_populate(RAMBlock *block, Error **errp)
{
    hwaddr at = block->offset;
    uint64_t size = block->max_length;
    /* While the machine is being made, an error ends QEMU. */
    bool plugged = phase_check(PHASE_MACHINE_READY), left;
    int ret;

    trace_xen_ram_alloc(at, size);
    if (plugged && !xen_map_cache_claim_block(at, size)) {
        error_setg(errp, "xen: the memory of '%s' (%" PRIu64 " KiB) would be at "
                   "0x%" HWADDR_PRIx " in the guest, where other memory or "
                   "another device is", memory_region_name(block->mr),
                   size / KiB, at);
        return;
    }
    ret = xen_reservation_populate(at, size, NULL, &left);
    if (!ret) {
        return;
    }
    error_setg_errno(errp, -ret, "xen: cannot allocate %" PRIu64 " pages of "
                     "guest memory at 0x%" HWADDR_PRIx " for the memory of "
                     "'%s'", size >> XC_PAGE_SHIFT, at,
                     memory_region_name(block->mr));
    if (left) {
        xen_map_cache_block_left(memory_region_name(block->mr), at, size);
    }
}

/* --- allocation ----------------------------------------------------------- */

/*
 * Guest RAM begins at 0, since the ram_addr_t of each of its pages is the
 * page's guest address.
 */
static void guest_ram_init(RAMBlock *block, Error **errp)
{
    MemoryRegion *mr = block->mr;
    RAMBlock *other;

    if (current_machine->ram || !numa_uses_legacy_mem()) {
        error_setg(errp, "xen: a memory backend cannot be the guest's RAM, "
                   "which Xen provides: leave out memory-backend= and memdev=");
        return;
    }
    if (!xen_mr_is_grants(mr)) {
        block->offset = 0;
        other = xen_ram_block_in(0, block->max_length);
        if (other) {
            error_setg(errp, "xen: the guest's RAM ends at 0x%" PRIx64
                       ", beyond the beginning of memory '%s'",
                       (uint64_t)block->max_length,
                       memory_region_name(other->mr));
            return;
        }
    }
    block->foreign = &ram_ops;
    mr->foreign = true;
    mr->ops = &xen_ram_mem_ops;
    mr->opaque = block;
    memory_region_enable_lockless_io(mr);
    /* Only Xen takes pages of this RAM; nothing in QEMU may discard any. */
    ram_block_discard_disable(true);
}

void xen_ram_alloc(RAMBlock *block, Error **errp)
{
    if (xen_mr_is_memory(block->mr)) {
        guest_ram_init(block, errp);
        return;
    }
    if (block->flags & RAM_PREALLOC) {
        return;
    }
    if (block->host || xen_ram_is_backend(block->mr)) {
        xen_ram_own_init(block, errp);
        return;
    }
    if (!xen_map_cache_ready()) {
        /* It would take the addresses that belong to the guest's RAM. */
        error_setg(errp, "xen: machine '%s' does not run on Xen: use xenfv, "
                   "pc or xenpvh", MACHINE_GET_CLASS(current_machine)->name);
        return;
    }
    block->foreign = &device_ops;
    /* A guest that comes in brings the frames of its devices' memory along. */
    if (!runstate_check(RUN_STATE_INMIGRATE)) {
        device_populate(block, errp);
    }
}

void xen_ram_map_device(RAMBlock *block)
{
    hwaddr at = block->offset;

    if (block->foreign != &device_ops) {
        return;
    }
    block->host = xen_map_cache_block(at, block->max_length);
    /* A dummy has no use for the frames that Xen has populated. */
    if (!runstate_check(RUN_STATE_INMIGRATE) && xen_map_cache_is_dummy(at) &&
        xen_reservation_depopulate(at, block->max_length, NULL)) {
        xen_map_cache_block_left(memory_region_name(block->mr), at,
                                 block->max_length);
    }
}
