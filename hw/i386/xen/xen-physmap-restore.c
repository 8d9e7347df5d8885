/*
 * Where device memory sits in an HVM guest: finding it after a restore
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The toolstack restores the guest's frames, video memory among them, before
 * QEMU starts, and QEMU does not know where they are until it has loaded the
 * state of the PCI device whose BAR shows them.  A device touches its memory
 * earlier; what it gets is a dummy mapping (system/xen-mapcache.h).  When
 * the BAR is loaded a section appears, and this file decides by looking at
 * the guest's frames, not at anything that was saved.
 *
 * The rule, for the range of a section and the same range at home:
 *
 *   at the BAR   at home         the memory is
 *   ----------   ------------    -----------------------------------------
 *   all          none or part    at the BAR
 *   all          all             at the BAR
 *   part, none   all             at home, and is moved to the BAR
 *   part, none   part, none      waits for another section, or is lost
 *
 * Where Xen does not answer the restore fails too: frames that are not seen
 * are not taken for absent.
 *
 * Why the BAR wins when both places have frames: whoever saved the state had
 * the BAR mapped too, since it is in the state, and had therefore moved the
 * memory.  What is at home then is the guest's own, or was sent by a live
 * migration before the memory moved.  It is left alone.  Memory was not
 * moved before the save if an older QEMU had no reason to (it moves one
 * framebuffer, while that is logged); it is all at home then.  Frames of the
 * guest's own in a part of the BAR's range are freed when the memory is
 * moved there, as they would have been when it was running.  And it was not
 * moved if other device memory is at the BAR: then what is there is that.  Nor
 * is it at home if other memory has been found to have its place there.
 *
 * BARs are loaded one after the other, and not in the order in which the
 * guest mapped them: a section that finds nothing may be one that was served
 * by QEMU, or one that a BAR to come will cut.  So it waits, and is lost if
 * the guest starts and no other has found the memory.
 *
 * With the answer, for a section that shows the whole block:
 *
 *  - at the BAR: the mapping is replaced in place by the frames there.  If
 *    there is none yet it is made from them.
 *  - at home: a dummy is replaced by the frames at home; a mapping that is
 *    real stays.  Then the frames are moved as at any other time: a mapping
 *    holds frames, not addresses.
 *
 * A section that shows a part (its BAR is overlapped, or smaller) is brought
 * home and waits, until all of the block is there.  Then the whole is
 * replaced and all waiting sections are placed.  A mapping is thus never
 * made of scattered frames.
 *
 * Failures end QEMU with a message, so that the toolstack sees the restore
 * fail.  The guest would otherwise run with a display whose memory QEMU and
 * it do not share.  When the guest runs, nothing here is called.
 *
 * Dummies that no section has claimed when the guest starts are replaced by
 * the frames at home.  If there are none, they stay, with a warning unless
 * it is a ROM, whose work was done when the guest booted.  Later
 * they are not replaced: while a map call replaces one its addresses have
 * nothing behind them for a moment, and an iothread may touch them.
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/rcu.h"
#include "qemu/rcu_queue.h"
#include "exec/ramlist.h"
#include "hw/xen/xen_native.h"
#include "system/runstate.h"
#include "system/xen-mapcache.h"
#include "xen-physmap.h"
#include "xen-physmap-int.h"
#include "trace.h"

/* Blocks, by ram_addr_t, whose frames have been found in this restore. */
static GHashTable *settled;

static void set_settled(RAMBlock *block)
{
    if (!settled) {
        settled = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                        NULL);
    }
    g_hash_table_add(settled, g_memdup2(&(uint64_t) { block->offset },
                                        sizeof(uint64_t)));
}

static bool is_settled(RAMBlock *block)
{
    uint64_t key = block->offset;

    return settled && g_hash_table_contains(settled, &key);
}

bool xen_physmap_is_unsettled(RAMBlock *block)
{
    return block && runstate_check(RUN_STATE_INMIGRATE) && !is_settled(block);
}

/* Ends the restore. */
static G_NORETURN void G_GNUC_PRINTF(1, 2) fail(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    error_vreport(fmt, ap);
    va_end(ap);
    error_report("restoring the guest failed: its device memory is not "
                 "where its state says");
    exit(EXIT_FAILURE);
}

/*
 * Which of the frames of the memory at @ram are at @gaddr: none at home if
 * other memory has its place there.
 */
static XenFrames look(ram_addr_t ram, hwaddr gaddr, uint64_t size)
{
    XenFrames frames;

    if (gaddr == ram && xen_physmap_is_others(ram, size)) {
        return XEN_FRAMES_NONE;
    }
    frames = xen_map_cache_probe(gaddr, size);
    if (frames == XEN_FRAMES_UNKNOWN) {
        fail("cannot find out whether the memory of %s (%" PRIu64 " KiB) is "
             "at 0x%" HWADDR_PRIx, xen_physmap_name(ram), size / 1024, gaddr);
    }
    return frames;
}

/* Replaces the mapping that @block has by one of the frames at @gaddr. */
static void adopt_frames(RAMBlock *block, hwaddr gaddr)
{
    if (!xen_replace_cache_entry(block->offset, gaddr, block->max_length)) {
        fail("cannot map the memory of %s (%" PRIu64 " KiB) at 0x%"
             HWADDR_PRIx, xen_physmap_name(block->offset),
             (uint64_t)block->max_length / 1024, gaddr);
    }
}

/* Gives @block a mapping if it has none, real or a dummy.  True if it had. */
static bool touch(RAMBlock *block)
{
    RCU_READ_LOCK_GUARD();

    if (block->host) {
        return true;
    }
    memory_region_get_ram_ptr(block->mr);
    return false;
}

/* All of @block was found at the BAR that @r is for. */
static void found_at_bar(RAMBlock *block, XenPhysmapRange *r)
{
    set_settled(block);
    xen_range_found(r);
    /* A mapping made just now knows the place, one made before does not. */
    if (touch(block) || xen_map_cache_is_dummy(block->offset)) {
        adopt_frames(block, xen_range_gaddr(r));
    }
}

/* Settles @block if all of it is at home, and places what shows it. */
static void gather(RAMBlock *block)
{
    if (look(block->offset, block->offset, block->max_length) !=
        XEN_FRAMES_ALL) {
        return;
    }
    touch(block);
    if (xen_map_cache_is_dummy(block->offset)) {
        adopt_frames(block, block->offset);
    }
    set_settled(block);
    xen_physmap_place_waiting(block);
}

/* Part of @block, found at the BAR, is brought home. */
static void bring_home(XenPhysmapRange *r, XenFrames home)
{
    hwaddr gaddr = xen_range_gaddr(r);
    XenFramesMoved moved;
    int ret;

    if (home != XEN_FRAMES_NONE || xen_physmap_is_in_the_way(r->ram, r)) {
        fail("a part of the memory of %s is at 0x%" HWADDR_PRIx ", and other "
             "frames are at its home 0x" RAM_ADDR_FMT,
             xen_physmap_name(r->ram), gaddr, r->ram);
    }
    ret = xen_frames_move(gaddr, r->ram, xen_range_size(r), &moved);
    if (ret) {
        fail("cannot move a part of the memory of %s from 0x%" HWADDR_PRIx
             " to its home 0x" RAM_ADDR_FMT ": %s", xen_physmap_name(r->ram),
             gaddr, r->ram, strerror(-ret));
    }
}

static G_NORETURN void lose(XenPhysmapRange *r)
{
    hwaddr gaddr = xen_range_gaddr(r);
    uint64_t size = xen_range_size(r);
    bool part = look(r->ram, gaddr, size) == XEN_FRAMES_PART ||
                look(r->ram, r->ram, size) == XEN_FRAMES_PART;

    fail("the memory of %s (%" PRIu64 " KiB) is in the guest neither at its "
         "BAR 0x%" HWADDR_PRIx " nor at its home 0x" RAM_ADDR_FMT "%s",
         xen_physmap_name(r->ram), size / 1024, gaddr, r->ram,
         part ? ": pages are missing" : "");
}

void xen_physmap_restore_range(RAMBlock *block, XenPhysmapRange *r)
{
    hwaddr gaddr = xen_range_gaddr(r);
    uint64_t size = xen_range_size(r);
    bool whole = r->ram == block->offset && size == block->max_length;
    XenFrames home = look(r->ram, r->ram, size);
    XenFrames there = gaddr == r->ram ? home : look(r->ram, gaddr, size);

    trace_xen_physmap_restore(xen_physmap_name(r->ram), r->ram, gaddr, size,
                              home, there);
    if (home == XEN_FRAMES_ALL &&
        (there != XEN_FRAMES_ALL || gaddr == r->ram ||
         xen_physmap_is_in_the_way(gaddr, r))) {
        gather(block);
    } else if (there == XEN_FRAMES_ALL && whole) {
        found_at_bar(block, r);
    } else if (there == XEN_FRAMES_ALL) {
        bring_home(r, home);
        gather(block);
    }
}

/* The guest starts: what nothing has shown until now is at home, or lost. */
static void settle_rest(RAMBlock *block)
{
    uint64_t len = block->max_length;
    hwaddr gaddr = xen_physmap_translate(block->offset, &len);
    XenPhysmapRange *waiting = xen_physmap_waiting(block);

    if (waiting && !is_settled(block)) {
        lose(waiting);
    }
    if (!xen_map_cache_is_dummy(block->offset)) {
        return;
    }
    if (len == block->max_length &&
        look(block->offset, gaddr, len) == XEN_FRAMES_ALL) {
        adopt_frames(block, gaddr);
    } else {
        warn_report("the memory of %s (%" PRIu64 " KiB) is not in the guest "
                    "at its home 0x" RAM_ADDR_FMT ", whose contents are lost",
                    xen_physmap_name(block->offset),
                    (uint64_t)block->max_length / 1024, block->offset);
    }
}

static void restore_complete(void *opaque, bool running, RunState state)
{
    static bool complete;
    RAMBlock *block;

    if (!running || complete) {
        return;
    }
    complete = true;
    WITH_RCU_READ_LOCK_GUARD() {
        RAMBLOCK_FOREACH(block) {
            if (xen_physmap_has_home(block)) {
                settle_rest(block);
            }
        }
    }
    if (settled) {
        g_hash_table_destroy(settled);
        settled = NULL;
    }
}

void xen_physmap_restore_init(void)
{
    if (runstate_check(RUN_STATE_INMIGRATE)) {
        /* Before those by which the toolstack learns that the guest runs. */
        qemu_add_vm_change_state_handler_prio(restore_complete, NULL, -1);
    }
}
