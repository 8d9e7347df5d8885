/*
 * Where device memory is in an HVM guest: locating it in a restore
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The toolstack restores the guest's frames, video memory among them, before
 * QEMU starts.  A device accesses its memory while its state is loaded.  Until
 * its frames are located, its memory is a dummy (xen-mapcache.h).
 *
 * A section of the state, which is loaded before any device's, says where the
 * frames are (xen-physmap-state.c).  If the state does not have the section,
 * probing is enough to find them.  They are probed when a BAR has been loaded,
 * because a device may need its memory then, and again when everything is
 * loaded:
 *
 *   at the BAR range   at the initial range   the memory is
 *   ----------------   --------------------   ---------------------------
 *   all                none or part           at the BAR range
 *   all                all                    at the BAR range (1)
 *   none               all                    at the initial range
 *   part               all                    at the initial range (2)
 *   none or part       none or part           (2, 3)
 *
 * (1) The device model that saved the state had the BAR mapped, and had
 * therefore
 *     relocated the memory.  The frames at the initial range are the guest's
 *     own, or a live migration sent them before the memory was relocated.
 *     There is an exception: if the BAR range overlaps the initial range of
 *     other memory, the frames there may belong to that memory.  Then the
 *     decision waits until everything is loaded, and the memory is at its
 *     initial range.
 * (2) The decision waits until everything is loaded.
 * (3) Each page is probed at both ranges, and must be at one of them.
 *
 * A section of the memory map may show only a part of the memory, because its
 * BAR is smaller, or another device's registers lie over it.  Then the rule is
 * applied to that part, and waits until everything is loaded.  So the order in
 * which states are loaded does not matter.
 *
 * If Xen does not answer, the restore fails, because frames that were not seen
 * may still be present.  The restore also fails if memory that is shown is not
 * found, because the guest would run with a display whose memory it does not
 * share with QEMU.  If memory that nothing shows is not found, its contents are
 * lost.  That is reported, and the memory gets blank frames, so that the guest
 * can be saved and restored again.  If Xen gives no frames, the memory stays a
 * dummy.  A ROM that is not found is reported and reads as zeros; the guest
 * used it when it booted.
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qemu/error-report.h"
#include "qemu/rcu.h"
#include "qemu/rcu_queue.h"
#include "exec/ramlist.h"
#include "hw/xen/xen_native.h"
#include "hw/xen/xen-reservation.h"
#include "system/runstate.h"
#include "system/xen-mapcache.h"
#include "xen-physmap.h"
#include "xen-physmap-int.h"
#include "trace.h"

/* Read by any thread. */
static bool restoring;

/* Blocks that have been located, or lost: ram_addr_t of their start. */
static GArray *located;

bool xen_physmap_is_restoring(void)
{
    return qatomic_read(&restoring);
}

static bool is_listed(const GArray *list, ram_addr_t addr)
{
    guint i;

    for (i = 0; i < list->len; i++) {
        if (g_array_index(list, ram_addr_t, i) == addr) {
            return true;
        }
    }
    return false;
}

bool xen_physmap_is_unlocated(ram_addr_t addr)
{
    return xen_physmap_is_restoring() &&
           !(bql_locked() && is_listed(located, addr));
}

void xen_physmap_fail(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    error_vreport(fmt, ap);
    va_end(ap);
    error_report("restoring the guest failed: its device memory could not be "
                 "found or mapped");
    exit(EXIT_FAILURE);
}

static XenFrames look(ram_addr_t ram, hwaddr gaddr, uint64_t size,
                      unsigned long *present)
{
    XenFrames frames = xen_map_cache_probe(gaddr, size, present);

    if (frames == XEN_FRAMES_UNKNOWN) {
        xen_physmap_fail("Xen does not say whether the memory of %s (%" PRIu64
                         " KiB) is at 0x%" HWADDR_PRIx, xen_physmap_name(ram),
                         size / 1024, gaddr);
    }
    return frames;
}

/* Maps @block if it has no mapping: to its frames, or as a dummy. */
static void touch(RAMBlock *block)
{
    RCU_READ_LOCK_GUARD();

    if (!block->host) {
        memory_region_get_ram_ptr(block->mr);
    }
}

/*
 * To be called when the pieces say where all of @block is.  Maps it there,
 * before it is relocated; replaces its dummy if it has one.
 */
static void set_located(RAMBlock *block)
{
    g_array_append_val(located, block->offset);
    touch(block);
    if (xen_map_cache_is_dummy(block->offset) &&
               !xen_map_cache_adopt(block->offset)) {
        xen_physmap_fail("cannot map the memory of %s (%" PRIu64 " KiB), "
                         "which is at 0x%" HWADDR_PRIx,
                         xen_physmap_name(block->offset),
                         (uint64_t)block->max_length / 1024,
                         xen_physmap_ram_to_gaddr(block->offset));
    }
}

/* True if xenstore said where @block is, or it is mapped already. */
static bool is_known(RAMBlock *block)
{
    return !xen_pieces_are_at(block->offset, block->offset,
                              block->max_length) ||
           (block->host && !xen_map_cache_is_dummy(block->offset));
}

/* Calls @fn for each block that has frames and is not located yet. */
static void for_each_unlocated(void (*fn)(RAMBlock *block))
{
    RAMBlock *block;

    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH(block) {
        if (!xen_physmap_has_frames(block) ||
            is_listed(located, block->offset)) {
            continue;
        }
        if (is_known(block)) {
            set_located(block);
        } else {
            fn(block);
        }
    }
}

/*
 * One whole block
 */

const XenPiece *xen_physmap_shown_whole(RAMBlock *block)
{
    const XenPiece *s, *whole = NULL;

    FOR_EACH_SHOWN(s) {
        if (!xen_overlap(s->ram, s->size, block->offset, block->max_length)) {
            continue;
        }
        if (whole || s->size != block->max_length) {
            return NULL;
        }
        whole = s;
    }
    return whole;
}

bool xen_physmap_is_over_initial(ram_addr_t ram, hwaddr gaddr, uint64_t size)
{
    RAMBlock *block;

    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH(block) {
        if (xen_physmap_has_frames(block) &&
            !memory_region_is_rom(block->mr) &&
            ram - block->offset >= block->max_length &&
            xen_overlap(gaddr, size, block->offset, block->max_length)) {
            return true;
        }
    }
    return false;
}

/* Applies the rule to a whole block; does nothing if that must wait. */
static void look_for_whole(RAMBlock *block)
{
    const XenPiece *s = xen_physmap_shown_whole(block);
    XenFrames initial, there;

    if (!s || xen_physmap_is_over_initial(s->ram, s->gaddr, s->size)) {
        return;
    }
    initial = look(s->ram, s->ram, s->size, NULL);
    there = s->gaddr == s->ram ? initial
                               : look(s->ram, s->gaddr, s->size, NULL);
    trace_xen_physmap_restore(xen_physmap_name(s->ram), s->ram, s->gaddr,
                              s->size, initial, there);
    if (there == XEN_FRAMES_ALL) {
        xen_pieces_put(s->ram, s->gaddr, s->size);
        set_located(block);
    } else if (there == XEN_FRAMES_NONE && initial == XEN_FRAMES_ALL) {
        set_located(block);
    }
}

void xen_physmap_restore_look(void)
{
    for_each_unlocated(look_for_whole);
}

/*
 * By pages, when all is loaded
 */

/* The search for a block's pages: a bit for each page. */
typedef struct Search {
    ram_addr_t base;
    unsigned long *initial;     /* is at its initial range */
    unsigned long *there;       /* was found at a BAR range */
} Search;

/* The present pages at @gaddr, except those of other memory (g_free). */
static unsigned long *look_at_pages(ram_addr_t ram, hwaddr gaddr,
                                    uint64_t size)
{
    unsigned long *present = bitmap_new(size / XEN_GUEST_PAGE_SIZE);
    uint64_t done, len;
    ram_addr_t other;

    look(ram, gaddr, size, present);
    for (done = 0; done < size; done += len) {
        len = size - done;
        if (xen_pieces_at(gaddr + done, &len, &other) == XEN_AT_MEMORY &&
            other - ram >= size) {
            bitmap_clear(present, done / XEN_GUEST_PAGE_SIZE,
                         len / XEN_GUEST_PAGE_SIZE);
        }
    }
    return present;
}

/* Probes the pages of @search that @s shows. */
static void look_for_shown(Search *search, const XenPiece *s)
{
    unsigned long pages = s->size / XEN_GUEST_PAGE_SIZE, i;
    unsigned long first = (s->ram - search->base) / XEN_GUEST_PAGE_SIZE;
    g_autofree unsigned long *present = NULL;
    bool all, all_initial;

    if (s->gaddr == s->ram) {
        return;
    }
    present = look_at_pages(s->ram, s->gaddr, s->size);
    all = bitmap_full(present, pages);
    all_initial = find_next_zero_bit(search->initial, first + pages, first) ==
                  first + pages;
    if (all && all_initial) {
        all = !xen_physmap_is_over_initial(s->ram, s->gaddr, s->size);
    }
    for (i = 0; i < pages; i++) {
        unsigned long at = first + i;

        if (test_bit(i, present) && !test_bit(at, search->there) &&
            (all || !test_bit(at, search->initial))) {
            set_bit(at, search->there);
            xen_pieces_put(s->ram + i * XEN_GUEST_PAGE_SIZE,
                           s->gaddr + i * XEN_GUEST_PAGE_SIZE,
                           XEN_GUEST_PAGE_SIZE);
        }
    }
}

static G_NORETURN void lose(const XenPiece *s, unsigned long missing)
{
    xen_physmap_fail("the memory of %s (%" PRIu64 " KiB) is neither at its BAR "
                     "0x%" HWADDR_PRIx " nor at its initial range 0x"
                     RAM_ADDR_FMT ": %lu pages are absent",
                     xen_physmap_name(s->ram), s->size / 1024, s->gaddr,
                     s->ram, missing);
}

/* Nothing shows @block, and only the pages @found of it are in the guest. */
static void give_up(RAMBlock *block, const unsigned long *found)
{
    /* With an old libxen this was reported when the block was mapped. */
    if (xen_foreign_map_has_fixed() ||
        !xen_pieces_cover(block->offset, block->max_length)) {
        warn_report("the memory of %s (%" PRIu64 " KiB) is absent from its "
                    "initial range 0x" RAM_ADDR_FMT ": its contents are lost",
                    xen_physmap_name(block->offset),
                    (uint64_t)block->max_length / 1024, block->offset);
    }
    if (memory_region_is_rom(block->mr)) {
        /* A BAR was put over it; it reads as zeros. */
        g_array_append_val(located, block->offset);
        return;
    }
    touch(block);
    if (xen_foreign_map_has_fixed() &&
        !xen_pieces_cover(block->offset, block->max_length) &&
        xen_reservation_populate(block->offset, block->max_length,
                                 found) == 0) {
        set_located(block);
    } else {
        warn_report("Xen gives no new frames for the memory of %s: accesses "
                    "to it are emulated, and its contents are blank",
                    xen_physmap_name(block->offset));
        g_array_append_val(located, block->offset);
    }
}

/* Everything is loaded: locates @block, or fails. */
static void look_for_rest(RAMBlock *block)
{
    unsigned long pages = block->max_length / XEN_GUEST_PAGE_SIZE;
    g_autofree unsigned long *there = bitmap_new(pages);
    g_autofree unsigned long *initial =
        look_at_pages(block->offset, block->offset, block->max_length);
    Search search = { block->offset, initial, there };
    const XenPiece *s, *shown = NULL;

    FOR_EACH_SHOWN(s) {
        if (xen_overlap(s->ram, s->size, block->offset, block->max_length)) {
            look_for_shown(&search, s);
            shown = shown ?: s;
        }
    }
    bitmap_or(there, there, initial, pages);
    if (bitmap_full(there, pages)) {
        set_located(block);
    } else if (shown) {
        lose(shown, pages - bitmap_count_one(there, pages));
    } else {
        give_up(block, there);
    }
}

/*
 * The restore's course
 */

void xen_physmap_restore_known(const GArray *lost)
{
    RAMBlock *block;
    guint i;

    if (!restoring) {
        return;
    }
    RCU_READ_LOCK_GUARD();
    for (i = 0; i < lost->len; i++) {
        ram_addr_t addr = g_array_index(lost, ram_addr_t, i);

        touch(xen_physmap_block(addr));
        g_array_append_val(located, addr);
    }
    RAMBLOCK_FOREACH(block) {
        if (xen_physmap_has_frames(block) &&
            !memory_region_is_rom(block->mr) &&
            !is_listed(located, block->offset)) {
            set_located(block);
        }
    }
}

void xen_physmap_restore_end(void)
{
    if (!restoring) {
        return;
    }
    for_each_unlocated(look_for_rest);
    qatomic_set(&restoring, false);
    g_array_set_size(located, 0);
    xen_physmap_settle();
}

static void state_changed(void *opaque, bool running, RunState state)
{
    if (running) {
        xen_physmap_restore_end();
    }
}

void xen_physmap_restore_init(void)
{
    if (runstate_check(RUN_STATE_INMIGRATE)) {
        located = g_array_new(false, false, sizeof(ram_addr_t));
        restoring = true;
        /* Priority -1: before the handlers that tell the toolstack. */
        qemu_add_vm_change_state_handler_prio(state_changed, NULL, -1);
    }
}
