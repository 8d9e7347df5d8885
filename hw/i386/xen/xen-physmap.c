/*
 * Where device memory is in an HVM guest
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is relocated
 *
 * Xen populates the memory of a device at its *initial range*, where guest
 * physical addresses equal ram_addr_t.  The guest maps a BAR and expects the
 * memory there, but in Xen a frame has only one guest address.  So frames are
 * relocated to the *BAR range*.  This is done for every section of the guest's
 * memory map, above the legacy VGA window, that shows device RAM: a region with
 * a RAM block that has frames of its own.  It is not done for the following,
 * which the guest must access through QEMU:
 *
 *  - ROMs (option ROMs, QXL's ROM BAR), because frames in the p2m are writable;
 *  - the VGA window at 0xa0000, because it shows memory that also has a BAR, at
 *    an offset that changes with the mode;
 *  - memory of QEMU's own or of another process (backends, files, RAM_PREALLOC,
 *    "RAM devices" such as a doorbell page), because it has no frames in the
 *    guest;
 *  - memory that does not fill whole pages, such as the TPM's command buffer.
 *
 * A section may show only a part of a region.  A region may have several
 * sections, because something overlaps its BAR, or because (QXL) it has two
 * BARs of different sizes.  So the unit of relocation is the whole pages that
 * one section shows.
 *
 * Two records
 *
 * The *pieces* say where frames are that are not at their initial range.  The
 * memory listener makes the *list of what is shown*.  When the memory core has
 * reported all changes, xen_physmap_settle() compares the two and relocates.
 *
 * Frames are relocated to a BAR that shows them, but not when the BAR is
 * switched off: then they are *displaced*.  They stay where they are until they
 * are shown elsewhere, or until anything else is shown at that range.  In the
 * second case they are relocated to their initial range.  So it costs nothing
 * when a guest switches BARs off and on to find out their sizes.
 *
 * Memory that two sections show is relocated for the first section.  Accesses
 * through the other section are emulated.
 *
 * Nothing is overwritten: neither other device memory, nor the guest's own
 * frames, nor a range where the memory map shows another device, nor the
 * firmware's range below 4 GiB.  If memory cannot be relocated to its BAR
 * range, it stays where it is, accesses to the BAR are emulated, and the
 * relocation is tried again when the memory map changes.  There is one
 * exception: the initial range of a ROM may be overwritten.  QEMU keeps its
 * mapping of the old frames.  After a restore that mapping is gone, and the ROM
 * reads as zeros until the guest is started anew.
 *
 * In a restore a block may have another initial range than in the QEMU that was
 * saved, because devices were plugged in or unplugged there.  Its frames stay
 * where they are, and count as displaced.  A ROM's are relocated when its
 * initial range is free.
 *
 * When a device is unplugged, its frames go back to Xen, wherever they are.  A
 * device that is plugged in gets new frames at its initial range.  It is
 * refused if the guest has something else there.
 *
 * Locks
 *
 * Both records are guarded by the BQL.  Other threads look up the pieces, an
 * array that is replaced as a whole (RCU) after Xen has relocated frames.  So a
 * look-up may give the former address.  Two users need more than that.  Reports
 * of writes are repeated for all relocated frames (xen-frames.c).  A block is
 * mapped before its frames are relocated for the first time, so that no thread
 * maps it during a relocation.
 *
 * Rejected: relocating the frames to their initial range whenever a BAR is
 * switched off, so that a restore finds them there.  This costs two relocations
 * and a pin for each switch of a BAR.  Frames that Xen fails to relocate, or
 * whose initial range has the guest's own frames, are lost in spite of it.
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "hw/xen/xen_native.h"
#include "hw/xen/xen-reservation.h"
#include "system/xen-mapcache.h"
#include "xen-physmap.h"
#include "xen-physmap-int.h"

#define LEGACY_VGA_LAST 0xbffff

static XenBlockPlace block_place(ram_addr_t addr, ram_addr_t size)
{
    bool restoring = xen_physmap_is_restoring();

    if (restoring && xen_foreign_map_has_fixed()) {
        return XEN_BLOCK_UNKNOWN;
    }
    if (restoring && !xen_pieces_are_initial(addr, size)) {
        /* The entries in xenstore are right. */
        return XEN_BLOCK_KNOWN;
    }
    return xen_pieces_cover(addr, size) ? XEN_BLOCK_LOST :
           restoring ? XEN_BLOCK_UNKNOWN : XEN_BLOCK_KNOWN;
}

static bool block_claim(ram_addr_t addr, ram_addr_t size)
{
    xen_physmap_state_plugged();
    return xen_physmap_claim(addr, size);
}

/* The next block may get the same initial range. */
static void block_gone(ram_addr_t addr, ram_addr_t size)
{
    uint64_t done, len;

    xen_physmap_state_unplugged(addr);
    for (done = 0; done < size; done += len) {
        ram_addr_t ram = addr + done;
        hwaddr gaddr;

        len = size - done;
        gaddr = xen_pieces_frames(ram, &len);
        xen_pieces_put(ram, ram, len);
        if (gaddr != XEN_NO_FRAMES && xen_reservation_give_back(gaddr, len)) {
            xen_map_cache_block_left(xen_physmap_name(ram), gaddr, len);
        }
    }
    xen_physmap_compat_sync();
}

static const XenBlockOps block_ops = {
    .place = block_place,
    .gaddr = xen_physmap_translate,
    .claim = block_claim,
    .left = xen_pieces_abandon,
    .gone = block_gone,
    .load_begins = xen_physmap_restore_begin,
    .loaded = xen_physmap_restore_end,
};

/* True if @section is relocated; @s gets its whole pages. */
static bool section_shows(const MemoryRegionSection *section, XenPiece *s)
{
    MemoryRegion *mr = section->mr;
    hwaddr start = section->offset_within_address_space;
    hwaddr end = start + int128_get64(section->size);
    hwaddr cut;

    if (!memory_region_is_ram(mr) || memory_region_is_rom(mr) ||
        section->readonly || start <= LEGACY_VGA_LAST || !mr->ram_block ||
        !xen_physmap_has_frames(mr->ram_block)) {
        return false;
    }
    cut = ROUND_UP(start, XEN_GUEST_PAGE_SIZE) - start;
    s->gaddr = start + cut;
    s->ram = memory_region_get_ram_addr(mr) + section->offset_within_region +
             cut;
    end &= XEN_GUEST_PAGE_MASK;
    if (end <= s->gaddr || !QEMU_IS_ALIGNED(s->ram, XEN_GUEST_PAGE_SIZE)) {
        return false;
    }
    s->size = end - s->gaddr;
    return true;
}

void xen_physmap_add(MemoryRegionSection *section)
{
    XenPiece s;

    if (!section_shows(section, &s)) {
        return;
    }
    /* Not every machine with a physmap calls xen_physmap_init(). */
    xen_map_cache_set_block_ops(&block_ops);
    xen_piece_add(&xen_shown, &s);
}

void xen_physmap_del(MemoryRegionSection *section)
{
    XenPiece gone, *s;

    if (!section_shows(section, &gone)) {
        return;
    }
    FOR_EACH_SHOWN(s) {
        if (!memcmp(s, &gone, sizeof(gone))) {
            xen_shown.n--;
            memmove(s, s + 1, (xen_shown.p + xen_shown.n - s) * sizeof(*s));
            return;
        }
    }
}

void xen_physmap_commit(void)
{
    if (xen_physmap_is_restoring()) {
        xen_physmap_restore_look();
    } else if (xen_shown.n || xen_pieces()->all) {
        xen_physmap_settle();
    }
}

XenFrames xen_physmap_frames_at(const MemoryRegionSection *section)
{
    bool all = true, any = false;
    uint64_t done, len;
    ram_addr_t ram;
    XenPiece s;

    if (!section_shows(section, &s)) {
        return XEN_FRAMES_NONE;
    }
    for (done = 0; done < s.size; done += len) {
        bool memory;

        len = s.size - done;
        memory = xen_pieces_at(s.gaddr + done, &len, &ram) == XEN_AT_MEMORY;
        any |= memory;
        all &= memory && ram == s.ram + done;
    }
    return all ? XEN_FRAMES_ALL : any ? XEN_FRAMES_PART : XEN_FRAMES_NONE;
}

void xen_physmap_init(struct xs_handle *xs)
{
    xen_map_cache_set_block_ops(&block_ops);
    xen_physmap_compat_load(xs);
    xen_physmap_restore_init();
    xen_physmap_state_init();
}
