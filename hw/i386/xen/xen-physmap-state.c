/*
 * Where device memory is in an HVM guest: the section of the saved state
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The section "xen-physmap" says where all pieces are.  It has the highest
 * priority, so it is loaded before the sections of devices.  It is written only
 * if probing could not tell where the frames are (xen-physmap-restore.c),
 * because a device model that does not know the section refuses the state.
 * With an old libxen the pieces are in xenstore, and the section is written only
 * if memory has no frames.
 *
 * A section is accepted only if it is possible: its pages belong to device
 * memory, each page is at one guest address, and each guest address has one
 * page and is not the guest's RAM.  Whether the frames are present is found out
 * when they are mapped.  A damaged address could still be that of other frames,
 * and on Xen no mark follows a section, so the section has a checksum.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/crc32c.h"
#include "qemu/error-report.h"
#include "qemu/rcu.h"
#include "qemu/rcu_queue.h"
#include "exec/ramlist.h"
#include "hw/xen/xen_native.h"
#include "migration/vmstate.h"
#include "system/xen-mapcache.h"
#include "xen-physmap.h"
#include "xen-physmap-int.h"

#define MAX_SAVED       4096
#define GADDR_LIMIT     (1ULL << 52)

typedef struct Saved {
    XenPieceList list;
    uint32_t sum;
} Saved;

static Saved saved;

/* The checksum of the pieces as they are in the stream. */
static uint32_t sum_of_pieces(void)
{
    uint32_t sum = UINT32_MAX;
    int i;

    for (i = 0; i < saved.list.n; i++) {
        const XenPiece *p = &saved.list.p[i];
        const uint64_t field[] = { cpu_to_be64(p->ram), cpu_to_be64(p->gaddr),
                                   cpu_to_be64(p->size) };

        sum = crc32c(sum, (const uint8_t *)field, sizeof(field));
    }
    return sum;
}

/*
 * Saving
 */

/* True if probing would tell where the frames of @block are. */
static bool is_plain(RAMBlock *block)
{
    XenPiece all = { .ram = block->offset, .size = block->max_length };
    const XenPiece *s;
    bool whole;

    all.gaddr = xen_physmap_translate(block->offset, &all.size);
    s = xen_physmap_shown(block, &whole);
    if (xen_map_cache_is_dummy(block->offset)) {
        return false;
    }
    if (!xen_foreign_map_has_fixed()) {
        return true;
    }
    if (all.size < block->max_length) {
        return false;
    }
    return s ? whole && s->gaddr == all.gaddr &&
               !xen_physmap_is_over_initial(&all)
             : all.gaddr == all.ram;
}

static bool state_needed(void *opaque)
{
    RAMBlock *block;

    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH(block) {
        if (xen_physmap_is_kept(block) && !is_plain(block)) {
            return true;
        }
    }
    return false;
}

static int state_pre_save(void *opaque)
{
    const XenPieces *now = xen_pieces();
    RAMBlock *block;

    g_free(saved.list.p);
    saved.list.n = xen_foreign_map_has_fixed() ? now->n : 0;
    saved.list.p = g_memdup2(now->p, saved.list.n * sizeof(now->p[0]));
    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH(block) {
        if (xen_physmap_is_kept(block) &&
            xen_map_cache_is_dummy(block->offset)) {
            xen_piece_add(&saved.list,
                          &(XenPiece) { block->offset, XEN_NO_FRAMES,
                                        block->max_length });
        }
    }
    saved.sum = sum_of_pieces();
    return saved.list.n > MAX_SAVED ? -E2BIG : 0;
}

/*
 * Loading
 */

/* True if any of [@gaddr, @gaddr + @size) is the guest's RAM. */
static bool is_guest_ram(hwaddr gaddr, uint64_t size)
{
    uint64_t done, len;

    for (done = 0; done < size; done += len) {
        MemoryRegion *mr;

        len = size - done;
        mr = xen_physmap_region_at(gaddr + done, &len);
        if (mr && xen_mr_is_memory(mr)) {
            return true;
        }
    }
    return false;
}

/* Returns what is wrong with @p, or NULL. */
static const char *what_is_wrong(const XenPiece *p)
{
    RAMBlock *block = xen_physmap_block(p->ram);

    if (!p->size || !QEMU_IS_ALIGNED(p->ram | p->size, XEN_GUEST_PAGE_SIZE)) {
        return "does not consist of whole pages";
    }
    if (!block || !xen_physmap_has_frames(block)) {
        return "is not device memory";
    }
    if (p->size > block->offset + block->max_length - p->ram) {
        return "is larger than the device's memory";
    }
    if (p->gaddr == XEN_NO_FRAMES) {
        return p->ram == block->offset && p->size == block->max_length
               ? NULL : "is a part of a device's memory, and has no frames";
    }
    if (!QEMU_IS_ALIGNED(p->gaddr, XEN_GUEST_PAGE_SIZE) ||
        p->gaddr >= GADDR_LIMIT || p->size > GADDR_LIMIT - p->gaddr) {
        return "has an invalid guest address";
    }
    if (is_guest_ram(p->gaddr, p->size)) {
        return "is where the guest's RAM is";
    }
    return p->gaddr == p->ram ? "is at its initial range" : NULL;
}

/* True if a piece is at the initial range of memory that is still there. */
static bool is_over_unmoved(void)
{
    RAMBlock *block;

    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH(block) {
        ram_addr_t ram = block->offset, end = ram + block->max_length;
        uint64_t len = 1;
        const XenPiece *p = xen_piece_of(saved.list.p, saved.list.n, ram, &len);

        if (!xen_physmap_is_kept(block) ||
            (p && p->gaddr == XEN_NO_FRAMES)) {
            continue;
        }
        for (; ram < end; ram += len) {
            len = end - ram;
            if (xen_physmap_translate(ram, &len) == ram &&
                xen_pieces_cover(ram, len)) {
                return true;
            }
        }
    }
    return false;
}

/*
 * Returns what is wrong with the section, or NULL.  The pieces are then those
 * that it says.
 */
static const char *take_pieces(void)
{
    const char *wrong = NULL;
    int i;

    if (saved.sum != sum_of_pieces()) {
        return "is damaged";
    }
    for (i = 0; i < saved.list.n && !wrong; i++) {
        wrong = what_is_wrong(&saved.list.p[i]);
        if (!wrong && xen_piece_clashes(saved.list.p, i, &saved.list.p[i])) {
            wrong = "overlaps another piece";
        }
    }
    if (!wrong && !xen_physmap_is_restoring()) {
        wrong = "cannot be located: the guest has run in this QEMU already";
    }
    for (i = 0; i < saved.list.n && !wrong; i++) {
        const XenPiece *p = &saved.list.p[i];

        if (p->gaddr != XEN_NO_FRAMES) {
            xen_pieces_put(p->ram, p->gaddr, p->size);
        }
    }
    return wrong ?: is_over_unmoved() ? "is where other device memory is"
                                      : NULL;
}

static int state_post_load(void *opaque, int version_id)
{
    const char *wrong = take_pieces();

    if (wrong) {
        error_report("invalid section 'xen-physmap' in the saved state: a "
                     "piece of device memory %s", wrong);
        return -EINVAL;
    }
    xen_physmap_restore_known(&saved.list);
    return 0;
}

static bool is_count_valid(void *opaque, int version_id)
{
    return saved.list.n >= 0 && saved.list.n <= MAX_SAVED;
}

static const VMStateDescription vmstate_piece = {
    .name = "xen-physmap/piece",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT64(ram, XenPiece),
        VMSTATE_UINT64(gaddr, XenPiece),
        VMSTATE_UINT64(size, XenPiece),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_physmap = {
    .name = "xen-physmap",
    .version_id = 1,
    .minimum_version_id = 1,
    .priority = MIG_PRI_MAX,
    .needed = state_needed,
    .pre_save = state_pre_save,
    .post_load = state_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_INT32(list.n, Saved),
        VMSTATE_VALIDATE("number of pieces", is_count_valid),
        VMSTATE_STRUCT_VARRAY_ALLOC(list.p, Saved, list.n, 1, vmstate_piece,
                                    XenPiece),
        VMSTATE_UINT32(sum, Saved),
        VMSTATE_END_OF_LIST()
    },
};

void xen_physmap_state_init(void)
{
    vmstate_register(NULL, 0, &vmstate_physmap, &saved);
}
