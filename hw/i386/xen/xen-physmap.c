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
 * memory there, and Xen has one guest address for a frame.  So frames are
 * relocated to the *BAR range*.  This goes for every section of the guest's
 * memory map that shows device RAM: a region with a RAM block whose frames QEMU
 * had populated, above the legacy VGA window.  Not for these, because the
 * guest must reach them through QEMU:
 *
 *  - ROMs (option ROMs, QXL's ROM BAR): frames in the p2m are writable;
 *  - the VGA window at 0xa0000: it shows memory that has its place in a BAR,
 *    at an offset that changes with the mode;
 *  - memory that QEMU or another process brought (RAM_PREALLOC, and "RAM
 *    devices" such as a doorbell page): it has no frames in the guest;
 *  - what does not fill whole pages, such as the TPM's command buffer.
 *
 * A section may show part of a region, and a region may have several
 * sections: its BAR is overlapped, or (QXL) it has two BARs of different
 * sizes.  So the unit is what one section shows, its whole pages.
 *
 * Two records
 *
 * The *pieces* say where frames are that are not at their initial range
 * (xen-physmap-pieces.c).  The *list of what is shown* is what the memory
 * listener has noted.  When the memory core has told all changes,
 * xen_physmap_settle() compares the two and relocates (xen-physmap-settle.c).
 *
 * Frames move for a BAR that shows them, and not when it goes: then they are
 * *displaced*.  They stay where they are until they are shown elsewhere, or
 * until the range is needed: other device memory is shown there, or anything
 * else.  Then they go to their initial range.  Guests switch BARs off and on
 * to find out their sizes, as often as they like, and that costs nothing.
 * A guest that looks finds memory at the range of a BAR that is off.
 *
 * Memory that two sections show is relocated for the first.  Accesses by the
 * other are slow and right: QEMU and the guest have the same frames.
 *
 * Nothing is overwritten: not other device memory, nor frames of the guest's
 * own, nor a range where the memory map shows another device, nor the
 * firmware's range below 4 GiB.  Memory that cannot get to its BAR range
 * stays where it is, accesses to the BAR are emulated, and it is tried again
 * when the memory map changes.  The exception is the initial range of a ROM:
 * QEMU keeps its mapping, and reads the ROM from its file when it starts
 * anew.  After a restore the ROM is lost then, and reads as zeros.
 *
 * A device that is unplugged gives its frames back to Xen, wherever they are;
 * one that is plugged in gets new ones at its initial range, or is refused if
 * the guest has something else there.
 *
 * When Xen fails to move frames, some may have moved.  The pieces say which,
 * and the next try goes on from there.
 *
 * Restores are a subject of their own: xen-physmap-restore.c.
 *
 * Locks
 *
 * Both records belong to the BQL.  Look-ups by other threads read the
 * pieces, a sorted array that is not changed but replaced (RCU).  It is
 * replaced after Xen has moved the frames; who needs more than that: a report
 * of a write is repeated for all that was moved (xen-dirty.c), and a block is
 * mapped before its frames move for the first time, so that no thread maps it
 * while they do.
 *
 * Rejected: to bring the frames to their initial range whenever a BAR goes,
 * so that a restore finds them there.  It costs two relocations and a pin for
 * each switch of a BAR, and frames that Xen does not move, or that lie where
 * the guest has put its own, are lost all the same.
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "hw/xen/xen_native.h"
#include "hw/xen/xen-reservation.h"
#include "system/xen-mapcache.h"
#include "xen-physmap.h"
#include "xen-physmap-int.h"

#define LEGACY_VGA_LAST 0xbffff

/*
 * The mapcache's side
 */

static XenBlockPlace block_place(ram_addr_t addr, ram_addr_t size)
{
    if (xen_physmap_is_unlocated(addr)) {
        if (xen_foreign_map_has_fixed()) {
            return XEN_BLOCK_UNKNOWN;
        }
        /* If xenstore knows of it, or of what is in its place, it is so. */
        if (!xen_pieces_are_at(addr, addr, size)) {
            return XEN_BLOCK_KNOWN;
        }
        return xen_pieces_cover(addr, size) ? XEN_BLOCK_LOST
                                            : XEN_BLOCK_UNKNOWN;
    }
    return xen_pieces_cover(addr, size) ? XEN_BLOCK_LOST : XEN_BLOCK_KNOWN;
}

/*
 * Frames of the memory [@addr, @addr + *@len) are at @gaddr, if they are not
 * other memory's: they go back to Xen.  @len is cut to what has one answer.
 */
static void give_back(ram_addr_t addr, hwaddr gaddr, uint64_t *len)
{
    ram_addr_t ram;
    int ret;

    if (xen_pieces_at(gaddr, len, &ram) == XEN_AT_UNKNOWN || ram != addr) {
        return;
    }
    ret = xen_reservation_give_back(gaddr, *len);
    if (ret) {
        xen_complain("%" PRIu64 " KiB of frames at 0x%" HWADDR_PRIx " of %s, "
                     "which has been unplugged, stay with the guest: %s",
                     *len / 1024, gaddr, xen_physmap_name(addr),
                     strerror(-ret));
        xen_pieces_abandon(gaddr, *len);
    }
}

/*
 * A block is freed.  Nothing shows it any more.  The next block may be
 * allocated at the same initial range.
 */
static void block_gone(ram_addr_t addr, ram_addr_t size)
{
    uint64_t done, len;

    for (done = 0; done < size; done += len) {
        hwaddr gaddr;

        len = size - done;
        WITH_RCU_READ_LOCK_GUARD() {
            gaddr = xen_physmap_translate(addr + done, &len);
        }
        give_back(addr + done, gaddr, &len);
    }
    xen_pieces_put(addr, addr, size);
    xen_physmap_compat_sync();
}

static const XenBlockOps block_ops = {
    .place = block_place,
    .gaddr = xen_physmap_translate,
    .claim = xen_physmap_claim,
    .gone = block_gone,
    .loaded = xen_physmap_restore_end,
};

/*
 * The memory listener's side
 */

/* The whole pages of @section, if they are such that are relocated. */
static bool section_shows(const MemoryRegionSection *section, XenShown *s)
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
    s->mr = mr;
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
    XenShown s;

    if (!section_shows(section, &s)) {
        return;
    }
    /* Not every machine with a physmap calls xen_physmap_init(). */
    xen_map_cache_set_block_ops(&block_ops);
    if (xen_shown.n == xen_shown.room) {
        xen_shown.room = 2 * xen_shown.room + 4;
        xen_shown.s = g_renew(XenShown, xen_shown.s, xen_shown.room);
    }
    xen_shown.s[xen_shown.n++] = s;
}

void xen_physmap_del(MemoryRegionSection *section)
{
    XenShown gone, *s;

    if (!section_shows(section, &gone)) {
        return;
    }
    FOR_EACH_SHOWN(s) {
        if (s->mr == gone.mr && s->ram == gone.ram &&
            s->gaddr == gone.gaddr && s->size == gone.size) {
            xen_shown.n--;
            memmove(s, s + 1, (xen_shown.s + xen_shown.n - s) * sizeof(*s));
            return;
        }
    }
}

void xen_physmap_commit(void)
{
    if (xen_physmap_is_restoring()) {
        xen_physmap_restore_look();
    } else if (xen_shown.n || xen_pieces()->n) {
        xen_physmap_settle();
    }
}

bool xen_physmap_is_placed(const MemoryRegionSection *section)
{
    XenShown s;

    return section_shows(section, &s) &&
           xen_pieces_are_at(s.ram, s.gaddr, s.size);
}

bool xen_physmap_has_frames_at(const MemoryRegionSection *section)
{
    uint64_t done, len;
    ram_addr_t ram;
    XenShown s;

    if (!section_shows(section, &s)) {
        return false;
    }
    for (done = 0; done < s.size; done += len) {
        len = s.size - done;
        if (xen_pieces_at(s.gaddr + done, &len, &ram) == XEN_AT_MEMORY) {
            return true;
        }
    }
    return false;
}

void xen_physmap_init(struct xs_handle *xs)
{
    xen_map_cache_set_block_ops(&block_ops);
    xen_physmap_compat_load(xs);
    xen_physmap_restore_init();
    xen_physmap_state_init();
}
