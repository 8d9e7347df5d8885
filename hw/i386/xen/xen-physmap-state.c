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
#include "exec/address-spaces.h"
#include "exec/ramlist.h"
#include "hw/xen/xen_native.h"
#include "migration/vmstate.h"
#include "system/xen-mapcache.h"
#include "xen-physmap.h"
#include "xen-physmap-int.h"

#define MAX_SAVED       4096
#define GADDR_LIMIT     (1ULL << 52)
#define NO_FRAMES       UINT64_MAX  /* in place of a guest address */

typedef struct Saved {
    int32_t n;
    XenPiece *piece;
    uint32_t sum;
} Saved;

static Saved saved;

/* The checksum of the pieces as they are in the stream. */
static uint32_t sum_of_pieces(void)
{
    uint32_t sum = UINT32_MAX;
    int i;

    for (i = 0; i < saved.n; i++) {
        const XenPiece *p = &saved.piece[i];
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
    uint64_t len = block->max_length;
    const XenPiece *s;
    hwaddr gaddr;

    if (xen_map_cache_is_dummy(block->offset)) {
        return false;
    }
    gaddr = xen_physmap_translate(block->offset, &len);
    if (len < block->max_length) {
        return false;
    }
    s = xen_physmap_shown_whole(block);
    if (gaddr != block->offset) {
        return s && s->gaddr == gaddr &&
               !xen_physmap_is_over_initial(block->offset, gaddr, len);
    }
    if (s) {
        return s->gaddr == gaddr;
    }
    FOR_EACH_SHOWN(s) {
        if (xen_overlap(s->ram, s->size, block->offset, len)) {
            return false;
        }
    }
    return true;
}

static bool state_needed(void *opaque)
{
    RAMBlock *block;

    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH(block) {
        if (xen_physmap_has_frames(block) &&
            !memory_region_is_rom(block->mr) && !is_plain(block)) {
            return true;
        }
    }
    return false;
}

static int state_pre_save(void *opaque)
{
    const XenPieces *now = xen_pieces();
    GArray *list = g_array_new(false, false, sizeof(XenPiece));
    RAMBlock *block;

    g_array_append_vals(list, now->p, now->n);
    WITH_RCU_READ_LOCK_GUARD() {
        RAMBLOCK_FOREACH(block) {
            if (xen_physmap_has_frames(block) &&
                !memory_region_is_rom(block->mr) &&
                xen_map_cache_is_dummy(block->offset)) {
                XenPiece lost = { block->offset, NO_FRAMES,
                                  block->max_length };

                g_array_append_val(list, lost);
            }
        }
    }
    g_free(saved.piece);
    saved.n = list->len;
    saved.piece = (XenPiece *)g_array_free(list, false);
    saved.sum = sum_of_pieces();
    return saved.n > MAX_SAVED ? -E2BIG : 0;
}

/*
 * Loading
 */

/* True if any of [@gaddr, @gaddr + @size) is the guest's RAM. */
static bool is_guest_ram(hwaddr gaddr, uint64_t size)
{
    hwaddr end = gaddr + size;
    bool ram = false;

    while (!ram && gaddr < end) {
        MemoryRegionSection section =
            memory_region_find(get_system_memory(), gaddr, end - gaddr);

        if (!section.mr) {
            break;
        }
        ram = xen_mr_is_memory(section.mr);
        gaddr = section.offset_within_address_space +
                int128_get64(section.size);
        memory_region_unref(section.mr);
    }
    return ram;
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
    if (p->gaddr == NO_FRAMES) {
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

/* True if two pieces have a page or a guest address in common. */
static bool is_clash(const XenPiece *a, const XenPiece *b)
{
    return xen_overlap(a->ram, a->size, b->ram, b->size) ||
           (a->gaddr != NO_FRAMES && b->gaddr != NO_FRAMES &&
            xen_overlap(a->gaddr, a->size, b->gaddr, b->size));
}

/* True if @p is at the initial range of other memory that is still there. */
static bool is_over_unmoved(const XenPiece *p)
{
    uint64_t done, len;
    RAMBlock *block;

    RCU_READ_LOCK_GUARD();
    for (done = 0; done < p->size; done += len) {
        hwaddr gaddr = p->gaddr + done;

        len = XEN_GUEST_PAGE_SIZE;
        block = xen_physmap_block(gaddr);
        if (block && xen_physmap_has_frames(block) &&
            !memory_region_is_rom(block->mr) &&
            xen_physmap_translate(gaddr, &len) == gaddr) {
            return true;
        }
    }
    return false;
}

static const char *what_is_wrong_with_all(void)
{
    const char *wrong = saved.sum == sum_of_pieces() ? NULL : "is damaged";
    int i, k;

    for (i = 0; i < saved.n && !wrong; i++) {
        wrong = what_is_wrong(&saved.piece[i]);
        for (k = 0; k < i && !wrong; k++) {
            if (is_clash(&saved.piece[i], &saved.piece[k])) {
                wrong = "overlaps another piece";
            }
        }
    }
    return wrong;
}

static int state_post_load(void *opaque, int version_id)
{
    g_autoptr(GArray) lost = g_array_new(false, false, sizeof(ram_addr_t));
    const char *wrong = what_is_wrong_with_all();
    int i;

    if (!wrong && !xen_physmap_is_restoring()) {
        wrong = "cannot be located: the guest has run in this QEMU already";
    }
    for (i = 0; i < saved.n && !wrong; i++) {
        const XenPiece *p = &saved.piece[i];

        if (p->gaddr == NO_FRAMES) {
            g_array_append_val(lost, p->ram);
        } else {
            xen_pieces_put(p->ram, p->gaddr, p->size);
        }
    }
    for (i = 0; i < saved.n && !wrong; i++) {
        if (saved.piece[i].gaddr != NO_FRAMES &&
            is_over_unmoved(&saved.piece[i])) {
            wrong = "is where other device memory is";
        }
    }
    if (wrong) {
        error_report("invalid section 'xen-physmap' in the saved state: a "
                     "piece of device memory %s", wrong);
        return -EINVAL;
    }
    xen_physmap_restore_known(lost);
    return 0;
}

static bool is_count_valid(void *opaque, int version_id)
{
    return saved.n >= 0 && saved.n <= MAX_SAVED;
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
        VMSTATE_INT32(n, Saved),
        VMSTATE_VALIDATE("number of pieces", is_count_valid),
        VMSTATE_STRUCT_VARRAY_ALLOC(piece, Saved, n, 1, vmstate_piece,
                                    XenPiece),
        VMSTATE_UINT32(sum, Saved),
        VMSTATE_END_OF_LIST()
    },
};

void xen_physmap_state_init(void)
{
    /* With an old libxen the pieces are in xenstore instead. */
    if (xen_foreign_map_has_fixed()) {
        vmstate_register(NULL, 0, &vmstate_physmap, &saved);
    }
}
