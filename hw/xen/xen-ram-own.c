/*
 * RAM blocks of QEMU's own on Xen: memory backends and files
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Xen knows nothing of this memory.  The guest has no frames for it, and
 * reaches it through ioreqs; DMA into it is as on other accelerators.
 *
 * A ram_addr_t of guest RAM or device memory is a guest address, and where
 * device memory begins must not depend on when a backend was created.  So the
 * ram_addr_t of these blocks are far above.  QEMU's dirty bitmaps reach up to
 * there, mostly untouched: 2 MiB of resident memory, 100 MiB of address space.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/range.h"
#include "qemu/units.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "hw/boards.h"
#include "hw/xen/xen_native.h"
#include "system/hostmem.h"
#include "system/xen.h"
#include "xen-ram.h"

/* Above a guest's RAM; the RAM of a xenpvh guest may begin at 768 GiB. */
#define OWN_DISTANCE    TiB

bool xen_ram_is_backend(MemoryRegion *mr)
{
    return object_dynamic_cast(memory_region_owner(mr), TYPE_MEMORY_BACKEND);
}

RAMBlock *xen_ram_block_in(ram_addr_t addr, ram_addr_t size)
{
    RAMBlock *block;

    RAMBLOCK_FOREACH(block) {
        if (ranges_overlap(block->offset, block->max_length, addr, size)) {
            return block;
        }
    }
    return NULL;
}

void xen_ram_own_init(RAMBlock *block, Error **errp)
{
    const ram_addr_t align = (ram_addr_t)BITS_PER_LONG << XC_PAGE_SHIFT;
    ram_addr_t at = ROUND_UP(current_machine->ram_size, align) + OWN_DISTANCE;
    RAMBlock *other;

    while ((other = xen_ram_block_in(at, block->max_length))) {
        at = ROUND_UP(other->offset + other->max_length, align);
    }
    block->offset = at;
    if (block->host) {
        return;
    }
    block->host = qemu_anon_ram_alloc(block->max_length, &block->mr->align,
                                      qemu_ram_is_shared(block),
                                      qemu_ram_is_noreserve(block));
    if (!block->host) {
        error_setg_errno(errp, errno, "cannot allocate memory for '%s'",
                         memory_region_name(block->mr));
    }
}

/*
 * True if the contents of @block stay in a file, where the QEMU that restores
 * the guest finds them.
 */
static bool outlives_qemu(RAMBlock *block)
{
    return block->flags & RAM_NAMED_FILE && qemu_ram_is_shared(block);
}

bool xen_ram_can_be_saved(Error **errp)
{
    RAMBlock *block;

    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH(block) {
        Object *owner = memory_region_owner(block->mr);

        if (xen_ram_is_backend(block->mr) && !outlives_qemu(block) &&
            host_memory_backend_is_mapped(MEMORY_BACKEND(owner))) {
            error_setg(errp, "xen: the contents of memory backend '%s' would "
                       "not be saved: use a memory-backend-file with share=on",
                       object_get_canonical_path_component(owner));
            return false;
        }
    }
    return true;
}
