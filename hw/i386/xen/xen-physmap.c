/*
 * Where device memory sits in an HVM guest
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is placed
 *
 * Every section of the guest's memory map that shows device RAM: a region
 * with a RAM block whose frames were populated in the guest by QEMU, above
 * the legacy VGA window.  Whether a display owns it or another device does
 * not matter, nor whether it is logged.  Not placed, because the guest must
 * reach them through QEMU:
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
 * sizes.  So the unit is the *range*: the whole pages of one section.
 *
 * The states of a range
 *
 *                 region_add
 *                     |
 *                     v            frames moved or found there
 *      +---------- WAITING  ----------------------------------+
 *      |           shown, not placed; QEMU serves accesses     |
 *      |              ^                                        v
 *      |              | another range of the            ---> PLACED
 *      | region_del   | same memory went                |    shown, placed
 *      |              |                                 |      |
 *      v              |              the section        |      | region_del:
 *    (freed) <-----------------------comes back to it   |      | frames home
 *      ^                                                |      v
 *      +--------------------------------------------- STRAY
 *             frames brought home                not shown, placed: Xen
 *                                                would not move them, or
 *                                                saved so in xenstore
 *
 * The memory core announces what goes before what comes.  When all frames
 * are home after each region_del, a BAR can move to where another one was,
 * overlap its own old place, or go away for good, and nothing is
 * overwritten.  Leaving frames at a BAR that is switched off would save a
 * move (a guest sizes its BARs once) but the guest would find memory where
 * there is none, and after a save nobody could tell where to look.
 *
 * Memory that two sections show is placed for the first; the other WAITs and
 * takes over when that goes.  Accesses to it are slow and right: QEMU and
 * the guest have the same frames.
 *
 * Frames that are in the way
 *
 * Xen frees what is at the target of a move.  A guest's own frames there are
 * lost: it put them under a BAR, or on a device's memory, of which it can
 * know.  What QEMU needs is not overwritten: another range's frames, or
 * device RAM that is at home there (homes lie right above guest RAM, where a
 * guest may map a BAR).  The range then waits, with a report.  The home of a
 * ROM is given up: QEMU keeps its mapping, and reads the ROM from its file
 * when it starts anew.  After a restore the ROM is lost then, and reads as
 * zeros.
 *
 * When Xen fails to move frames, some may have gone.  Each piece that did
 * becomes a STRAY and is brought home at once, if Xen lets us; whatever
 * happens the records say where the frames are.
 *
 * Restore is a subject of its own: xen-physmap-restore.c.
 *
 * Locks
 *
 * The ranges belong to the BQL.  Look-ups by other threads read the view, a
 * sorted array of the ranges whose frames are not at home, which is never
 * changed but replaced (RCU).  It is replaced after Xen has moved the frames;
 * who needs more than that: a report of a write is repeated for all that was
 * moved (xen-dirty.c), and a block is mapped before its frames move for the
 * first time, so that no thread maps it while they do, and no mapping is
 * made of frames at several places.  No other lock is taken here; the
 * mapcache is called, and its locks are inside the BQL.
 *
 * Rejected: one tree with a reader lock (a look-up may come from any thread
 * in the middle of a write, and a move lasts milliseconds); a per-page table
 * (256 MiB of video memory would cost more than the view of all devices).
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "qemu/timer.h"
#include "hw/xen/xen_native.h"
#include "system/runstate.h"
#include "system/xen-mapcache.h"
#include "xen-dirty.h"
#include "xen-physmap.h"
#include "xen-physmap-int.h"

#define LEGACY_VGA_LAST 0xbffff
#define REPORT_MS       1000    /* from one report to the next */

void xen_complain(const char *fmt, ...)
{
    static int64_t last;
    static unsigned unsaid;
    int64_t now = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
    va_list ap;

    if (!runstate_check(RUN_STATE_INMIGRATE)) {
        if (last && now - last < REPORT_MS) {
            unsaid++;
            return;
        }
        last = now;
    }
    if (unsaid) {
        warn_report("%u reports of the kind that follows were left out",
                    unsaid);
        unsaid = 0;
    }
    va_start(ap, fmt);
    error_vreport(fmt, ap);
    va_end(ap);
}

/*
 * Ranges
 */

/* The frames of @r have come to its place, or been found there. */
static void range_settle(XenPhysmapRange *r)
{
    if (!r->pinned) {
        int ret = xen_frames_pin(xen_range_gaddr(r), xen_range_size(r), true);

        if (ret) {
            xen_complain("cannot pin the caching type of %s at 0x%"
                         HWADDR_PRIx " (%s): the guest's may be used instead",
                         xen_physmap_name(r->ram), xen_range_gaddr(r),
                         strerror(-ret));
        }
        r->pinned = !ret;
    }
    xen_dirty_frames_moved(xen_range_gaddr(r), xen_range_size(r));
    xen_physmap_compat_save(r);
}

void xen_range_found(XenPhysmapRange *r)
{
    r->placed = true;
    xen_physmap_publish();
    range_settle(r);
}

/* Takes pin and keys away: @r is about to leave its place. */
static void range_unpin(XenPhysmapRange *r)
{
    if (r->pinned) {
        /* It is not missed: what comes there next pins it anew. */
        xen_frames_pin(xen_range_gaddr(r), xen_range_size(r), false);
        r->pinned = false;
    }
    xen_physmap_compat_forget(r);
}

/* Records what lies at @gaddr + @offset as a stray. */
static XenPhysmapRange *range_stray(ram_addr_t ram, hwaddr gaddr,
                                    uint64_t offset, uint64_t size)
{
    XenPhysmapRange *r = xen_range_new(ram + offset, gaddr + offset, size);

    r->placed = true;
    xen_physmap_compat_save(r);
    return r;
}

/*
 * Brings the frames of @r, which is not shown, home and frees it.  False,
 * with a report, if some of them stay: strays then say which.
 */
static bool range_go_home(XenPhysmapRange *r)
{
    hwaddr gaddr = xen_range_gaddr(r);
    uint64_t size = xen_range_size(r), stay = 0;
    ram_addr_t ram = r->ram;
    XenFramesMoved moved;
    unsigned i;
    int ret;

    if (xen_physmap_is_in_the_way(ram, r)) {
        xen_complain("%s (%" PRIu64 " KiB) stays at 0x%" HWADDR_PRIx
                     ": other device memory is at its home 0x"
                     RAM_ADDR_FMT, xen_physmap_name(ram), size / 1024,
                     gaddr, ram);
        return false;
    }
    range_unpin(r);
    ret = xen_frames_move(gaddr, ram, size, &moved);
    xen_range_free(r);
    if (ret) {
        xen_complain("cannot move %s (%" PRIu64 " KiB) from 0x%" HWADDR_PRIx
                     " to its home 0x" RAM_ADDR_FMT ": %s",
                     xen_physmap_name(ram), size / 1024, gaddr, ram,
                     strerror(-ret));
        /* All but the pieces that moved, which are in rising order. */
        for (i = 0; i < moved.n; i++) {
            if (moved.piece[i].offset > stay) {
                range_stray(ram, gaddr, stay, moved.piece[i].offset - stay);
            }
            stay = moved.piece[i].offset + moved.piece[i].size;
        }
        if (stay < size) {
            range_stray(ram, gaddr, stay, size - stay);
        }
    }
    xen_physmap_publish();
    xen_dirty_frames_moved(ram, size);
    return !ret;
}

/* Maps the memory of @r if it is not yet.  False, with a report, if not. */
static bool range_map(XenPhysmapRange *r)
{
    RAMBlock *block = xen_physmap_block(r->ram);

    if (xen_map_cache_is_dummy(block->offset)) {
        /* See xen-physmap-restore.c: nobody may replace it now. */
        xen_complain("the memory of %s (%" PRIu64 " KiB) is not the guest's: "
                     "it was lost, or could not be mapped; it is not moved "
                     "to 0x%" HWADDR_PRIx, xen_physmap_name(r->ram),
                     (uint64_t)block->max_length / 1024, xen_range_gaddr(r));
        return false;
    }
    if (!block->host) {
        XenFrames frames = xen_map_cache_probe(block->offset,
                                               block->max_length);

        if (frames != XEN_FRAMES_ALL) {
            xen_complain("the memory of %s (%" PRIu64 " KiB) %s at its home "
                         "0x" RAM_ADDR_FMT " in the guest: it is not moved "
                         "to 0x%" HWADDR_PRIx, xen_physmap_name(r->ram),
                         (uint64_t)block->max_length / 1024,
                         frames == XEN_FRAMES_UNKNOWN ? "cannot be looked for"
                                                      : "is not all",
                         block->offset, xen_range_gaddr(r));
            return false;
        }
        RCU_READ_LOCK_GUARD();
        memory_region_get_ram_ptr(block->mr);
    }
    return true;
}

bool xen_range_place(XenPhysmapRange *r)
{
    hwaddr gaddr = xen_range_gaddr(r);
    uint64_t size = xen_range_size(r);
    XenFramesMoved moved;
    unsigned i;
    int ret;

    if (xen_physmap_is_in_the_way(gaddr, r)) {
        xen_complain("cannot move %s (%" PRIu64 " KiB) to 0x%" HWADDR_PRIx
                     ": other device memory is there; the guest will find it "
                     "slow or missing", xen_physmap_name(r->ram), size / 1024,
                     gaddr);
        return false;
    }
    if (!range_map(r)) {
        return false;
    }
    ret = xen_frames_move(r->ram, gaddr, size, &moved);
    if (ret) {
        XenPhysmapRange *stray[ARRAY_SIZE(moved.piece)];

        xen_complain("cannot move %s (%" PRIu64 " KiB) from its home 0x"
                     RAM_ADDR_FMT " to 0x%" HWADDR_PRIx ": %s",
                     xen_physmap_name(r->ram), size / 1024, r->ram, gaddr,
                     strerror(-ret));
        for (i = 0; i < moved.n; i++) {
            stray[i] = range_stray(r->ram, gaddr, moved.piece[i].offset,
                                   moved.piece[i].size);
        }
        xen_physmap_publish();
        for (i = 0; i < moved.n; i++) {
            /* A write may have been reported at its home, and it may stay. */
            xen_dirty_frames_moved(xen_range_gaddr(stray[i]),
                                   xen_range_size(stray[i]));
            range_go_home(stray[i]);
        }
        return false;
    }
    r->placed = true;
    xen_physmap_publish();
    range_settle(r);
    return true;
}

/*
 * The memory of @r may be placed elsewhere.  Strays are adopted, if they are
 * where @r is, or brought home.  True if all of it is home or adopted.
 */
static bool range_claim(XenPhysmapRange *r)
{
    RAMBlock *block = xen_physmap_block(r->ram);
    uint64_t size = xen_range_size(r);
    /* A mapping to come would be of frames at several places. */
    bool adopt = block->host || size == block->max_length;
    XenPhysmapRange *other;

again:
    FOR_EACH_RANGE(other) {
        if (other == r || !other->placed ||
            !xen_overlap(other->ram, xen_range_size(other), r->ram, size)) {
            continue;
        }
        if (other->visible) {
            return false;
        }
        if (adopt && other->ram == r->ram && xen_range_size(other) == size &&
            xen_range_gaddr(other) == xen_range_gaddr(r)) {
            r->placed = true;
            r->pinned = other->pinned;
            xen_range_free(other);
            if (!block->host) {
                /* Now, while it is known where it is: it may move again. */
                RCU_READ_LOCK_GUARD();
                memory_region_get_ram_ptr(block->mr);
            }
            range_settle(r);
            return true;
        }
        if (!range_go_home(other)) {
            return false;
        }
        goto again;     /* the tree has changed */
    }
    return true;
}

static void range_try(XenPhysmapRange *r)
{
    RAMBlock *block = xen_physmap_block(r->ram);

    if (!range_claim(r) || r->placed) {
        return;
    }
    if (xen_physmap_is_unsettled(block)) {
        xen_physmap_restore_range(block, r);
    } else {
        xen_range_place(r);
    }
}

static bool is_waiting_in(const XenPhysmapRange *r, ram_addr_t ram,
                          uint64_t size)
{
    return r->visible && !r->placed &&
           xen_overlap(r->ram, xen_range_size(r), ram, size);
}

/* Tries the waiting ranges of [ram, size) once each, by rising address. */
static void try_waiting(ram_addr_t ram, uint64_t size, bool place)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new();
    XenPhysmapRange *r;
    unsigned i;

    FOR_EACH_RANGE(r) {
        if (is_waiting_in(r, ram, size)) {
            g_ptr_array_add(list, r);
        }
    }
    /* A waiting range is freed by xen_physmap_del() alone. */
    for (i = 0; i < list->len; i++) {
        r = g_ptr_array_index(list, i);
        if (!place) {
            range_try(r);
        } else if (range_claim(r) && !r->placed) {
            xen_range_place(r);
        }
    }
}

void xen_physmap_place_waiting(RAMBlock *block)
{
    try_waiting(block->offset, block->max_length, true);
}

XenPhysmapRange *xen_physmap_waiting(RAMBlock *block)
{
    XenPhysmapRange *r;

    FOR_EACH_RANGE(r) {
        if (is_waiting_in(r, block->offset, block->max_length)) {
            return r;
        }
    }
    return NULL;
}

/*
 * The memory listener's side
 */

/*
 * The whole pages of @section, if it is one that is placed: first guest
 * address, first ram_addr_t and size.
 */
static bool section_range(const MemoryRegionSection *section, hwaddr *gaddr,
                          ram_addr_t *ram, uint64_t *size)
{
    MemoryRegion *mr = section->mr;
    hwaddr start = section->offset_within_address_space;
    hwaddr end = start + int128_get64(section->size);
    hwaddr cut;

    if (!memory_region_is_ram(mr) || memory_region_is_rom(mr) ||
        section->readonly || start <= LEGACY_VGA_LAST || !mr->ram_block ||
        !xen_physmap_has_home(mr->ram_block)) {
        return false;
    }
    cut = ROUND_UP(start, XEN_GUEST_PAGE_SIZE) - start;
    *gaddr = start + cut;
    *ram = memory_region_get_ram_addr(mr) + section->offset_within_region +
           cut;
    end &= XEN_GUEST_PAGE_MASK;
    if (end <= *gaddr || !QEMU_IS_ALIGNED(*ram, XEN_GUEST_PAGE_SIZE)) {
        return false;
    }
    *size = end - *gaddr;
    return true;
}

static XenPhysmapRange *section_find(const MemoryRegionSection *section)
{
    ram_addr_t ram;
    uint64_t size;
    hwaddr gaddr;
    XenPhysmapRange *r;

    if (!section_range(section, &gaddr, &ram, &size)) {
        return NULL;
    }
    FOR_EACH_RANGE_AT(r, gaddr, size) {
        if (r->visible && r->mr == section->mr && r->ram == ram &&
            xen_range_gaddr(r) == gaddr && xen_range_size(r) == size) {
            return r;
        }
    }
    return NULL;
}

/* Brings home what is at a place of old and not shown there yet. */
static void gather_strays(ram_addr_t addr, ram_addr_t size)
{
    XenPhysmapRange *r;

again:
    FOR_EACH_RANGE(r) {
        if (r->placed && !r->visible &&
            xen_overlap(r->ram, xen_range_size(r), addr, size)) {
            if (!range_go_home(r)) {
                return;
            }
            goto again;     /* the tree has changed */
        }
    }
}

/*
 * For the mapcache: where to map a block.  It is in one piece when it has no
 * mapping yet, see range_map(), but for one case: xenstore said, at a
 * restore, that a piece of it is elsewhere.  No thread but this one is there
 * yet then, and it has the BQL.
 */
static hwaddr block_place(ram_addr_t addr, ram_addr_t size)
{
    uint64_t len = size;
    hwaddr gaddr;

    RCU_READ_LOCK_GUARD();
    gaddr = xen_physmap_translate(addr, &len);
    if (len < size && runstate_check(RUN_STATE_INMIGRATE) && bql_locked()) {
        gather_strays(addr, size);
        gaddr = xen_physmap_ram_to_gaddr(addr);
    }
    return gaddr == addr && xen_physmap_is_others(addr, size)
           ? XEN_BLOCK_NOWHERE : gaddr;
}

/*
 * For the mapcache: a block is freed.  Nothing shows it any more, so what is
 * left of it are strays.  Their frames are the guest's now.
 */
static void block_gone(ram_addr_t addr, ram_addr_t size)
{
    XenPhysmapRange *r;

again:
    FOR_EACH_RANGE(r) {
        if (!r->visible && xen_overlap(r->ram, xen_range_size(r), addr, size)) {
            range_unpin(r);
            xen_range_free(r);
            xen_physmap_publish();
            goto again;     /* the tree has changed */
        }
    }
}

static const XenBlockOps block_ops = {
    .place = block_place,
    .gone = block_gone,
};

void xen_physmap_add(MemoryRegionSection *section)
{
    XenPhysmapRange *r;
    ram_addr_t ram;
    uint64_t size;
    hwaddr gaddr;

    if (!section_range(section, &gaddr, &ram, &size)) {
        return;
    }
    /* Not every machine with a physmap calls xen_physmap_init(). */
    xen_map_cache_set_block_ops(&block_ops);
    r = xen_range_new(ram, gaddr, size);
    r->mr = section->mr;
    r->visible = true;
    range_try(r);
}

void xen_physmap_del(MemoryRegionSection *section)
{
    XenPhysmapRange *r = section_find(section);
    ram_addr_t ram;
    uint64_t size;

    if (!r) {
        return;
    }
    ram = r->ram;
    size = xen_range_size(r);
    r->visible = false;
    r->mr = NULL;
    if (!r->placed) {
        xen_range_free(r);
        return;
    }
    range_go_home(r);
    try_waiting(ram, size, false);
}

bool xen_physmap_is_placed(const MemoryRegionSection *section)
{
    XenPhysmapRange *r = section_find(section);

    return r && r->placed;
}

bool xen_physmap_has_frames_at(const MemoryRegionSection *section)
{
    XenPhysmapRange *r = section_find(section), *other;

    if (r) {
        FOR_EACH_RANGE_AT(other, xen_range_gaddr(r), xen_range_size(r)) {
            if (other->placed) {
                return true;
            }
        }
    }
    return false;
}

void xen_physmap_init(struct xs_handle *xs)
{
    xen_map_cache_set_block_ops(&block_ops);
    xen_physmap_compat_load(xs);
    xen_physmap_restore_init();
}

