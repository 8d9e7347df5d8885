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
 * The section "xen-physmap" of the state, which is loaded before any device's,
 * says where all frames are.  If the state does not have it, probing is enough
 * to find them.  They are probed when a BAR has been loaded, because a device
 * may need its memory then, and again when everything is loaded:
 *
 *   at the BAR range   at the initial range   the memory is
 *   ----------------   --------------------   ---------------------------
 *   all                none or part           at the BAR range
 *   all                all                    at the BAR range (1)
 *   none               all                    at the initial range
 *   part               all                    at the initial range (2)
 *   none or part       none or part           (2, 3)
 *
 * (1) The device model that saved the state had relocated the memory.  The
 *     frames at the initial range are the guest's own, or a live migration sent
 *     them before the memory was relocated.  There is an exception: if the BAR
 *     range overlaps the initial range of other memory, the frames there may
 *     belong to that memory.  Then the decision waits until everything is
 *     loaded, and the memory is at its initial range.
 * (2) The decision waits until everything is loaded.
 * (3) Each page is probed at both ranges, and must be at one of them.
 *
 * A section of the memory map may show only a part of the memory.  Then the
 * rule is applied to that part, and waits until everything is loaded.  So the
 * order in which states are loaded does not matter.
 *
 * If a state cannot be loaded, QEMU may be told to load another one, and then
 * forgets what the first one said.  But the devices are not reset.  So if the
 * first one has placed any device memory, QEMU ends when the next load begins.
 *
 * If Xen does not answer, the restore fails, because frames that were not seen
 * may still be present.  It also fails if memory that is shown is not found,
 * because the guest would run with a display whose memory it does not share
 * with QEMU.  If memory that nothing shows is not found, its contents are lost:
 * it gets blank frames, so that the guest can be saved and restored again, or
 * stays a dummy if Xen gives none.  The same is done for memory that the
 * section does not have: its device was unplugged before the save, and the
 * toolstack has added it again.  A ROM that is not found reads as zeros; the
 * guest used it when it booted.
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

/*
 * What the section says, if it was loaded.  The memory in it is located, and
 * other memory is lost.  With an old libxen, all memory but ROMs counts as
 * located if a section was loaded.
 */
static const XenPieceList *known;

/* Memory has been located for the state that is loaded, or that failed. */
static bool any_located;

bool xen_physmap_is_restoring(void)
{
    return qatomic_read(&restoring);
}

static G_NORETURN void G_GNUC_PRINTF(1, 2) fail(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    error_vreport(fmt, ap);
    va_end(ap);
    error_report("restoring the guest failed: its device memory could not be "
                 "found or mapped");
    exit(EXIT_FAILURE);
}

static const XenPiece *known_piece(const RAMBlock *block)
{
    uint64_t len = 1;

    return xen_piece_of(known->p, known->n, block->offset, &len);
}

static bool is_known(const RAMBlock *block)
{
    if (!known) {
        return false;
    }
    return xen_foreign_map_has_fixed() ? known_piece(block) != NULL
                                       : xen_physmap_is_kept(block);
}

static bool is_located(const RAMBlock *block)
{
    return is_known(block) || xen_physmap_is_mapped(block);
}

/*
 * To be called when the pieces say where all of @block is.  Maps it there,
 * before it is relocated.
 */
static void set_located(RAMBlock *block)
{
    uint64_t size = block->max_length, len = size;

    any_located = true;
    if (xen_map_cache_is_dummy(block->offset) &&
        !xen_map_cache_adopt(block->offset)) {
        fail("cannot map the memory of %s (%" PRIu64 " KiB), which is at 0x%"
             HWADDR_PRIx, xen_physmap_name(block->offset), size / 1024,
             xen_physmap_translate(block->offset, &len));
    }
}

/*
 * What is shown
 */

const XenPiece *xen_physmap_shown(const RAMBlock *block, bool *whole)
{
    const XenPiece *s, *first = NULL;

    *whole = false;
    FOR_EACH_SHOWN(s) {
        if (xen_overlap(s->ram, s->size, block->offset, block->max_length)) {
            *whole = !first && s->size == block->max_length;
            first = first ?: s;
        }
    }
    return first;
}

bool xen_physmap_is_over_initial(const XenPiece *s)
{
    RAMBlock *block;

    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH(block) {
        if (xen_physmap_is_kept(block) &&
            s->ram - block->offset >= block->max_length &&
            xen_overlap(s->gaddr, s->size, block->offset,
                        block->max_length)) {
            return true;
        }
    }
    return false;
}

/*
 * Probing: a bit for each page
 */

/* The present pages at @gaddr, except those of other memory (g_free). */
static unsigned long *look(ram_addr_t ram, hwaddr gaddr, uint64_t size)
{
    unsigned long *present = bitmap_new(size / XEN_GUEST_PAGE_SIZE);
    uint64_t done, len;
    ram_addr_t other;

    if (xen_map_cache_probe(gaddr, size, present) == XEN_FRAMES_UNKNOWN) {
        fail("Xen does not say whether the memory of %s (%" PRIu64 " KiB) is "
             "at 0x%" HWADDR_PRIx, xen_physmap_name(ram), size / 1024, gaddr);
    }
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

/*
 * Locates those pages that @s shows of the memory at @base.  Bits of @initial:
 * pages that are at the initial range; of @there: pages that were found at a
 * BAR range.  @final: everything is loaded.  False if the decision must wait
 * until then.
 */
static bool look_where_shown(const XenPiece *s, ram_addr_t base,
                             unsigned long *initial, unsigned long *there,
                             bool final)
{
    unsigned long pages = s->size / XEN_GUEST_PAGE_SIZE, i;
    unsigned long first = (s->ram - base) / XEN_GUEST_PAGE_SIZE;
    g_autofree unsigned long *present = NULL;
    bool all_initial = find_next_zero_bit(initial, first + pages, first) ==
                       first + pages;
    bool all;

    if (s->gaddr == s->ram) {
        return final || all_initial;
    }
    present = look(s->ram, s->gaddr, s->size);
    all = bitmap_full(present, pages);
    if (!final && !all && !(all_initial && bitmap_empty(present, pages))) {
        return false;
    }
    all &= !all_initial || !xen_physmap_is_over_initial(s);
    for (i = 0; i < pages; i++) {
        unsigned long at = first + i;

        if (test_bit(i, present) && !test_bit(at, there) &&
            (all || !test_bit(at, initial))) {
            set_bit(at, there);
            xen_pieces_put(s->ram + i * XEN_GUEST_PAGE_SIZE,
                           s->gaddr + i * XEN_GUEST_PAGE_SIZE,
                           XEN_GUEST_PAGE_SIZE);
        }
    }
    return true;
}

/*
 * To be called for a block that is not found.  @found: the pages of it that are
 * in the guest, if nothing shows the block; NULL if the section does not have
 * the block.  Reports that the contents are lost, and populates the block with
 * blank frames if that is possible.
 */
static void give_up(RAMBlock *block, const unsigned long *found)
{
    ram_addr_t ram = block->offset;
    uint64_t size = block->max_length;
    bool left = false;

    if (!found) {
        warn_report("the saved state does not have the memory of %s (%" PRIu64
                    " KiB): its contents are lost", xen_physmap_name(ram),
                    size / 1024);
    } else if (xen_foreign_map_has_fixed() || !xen_pieces_cover(ram, size)) {
        /* With an old libxen this was reported when the block was mapped. */
        warn_report("the memory of %s (%" PRIu64 " KiB) is absent from its "
                    "initial range 0x" RAM_ADDR_FMT ": its contents are lost",
                    xen_physmap_name(ram), size / 1024, ram);
    }
    if (found && memory_region_is_rom(block->mr)) {
        return;     /* It stays a dummy, which reads as zeros. */
    }
    if (xen_foreign_map_has_fixed() &&
        (found ? !xen_physmap_is_taken(ram, ram, size)
               : xen_physmap_claim(ram, size)) &&
        !xen_reservation_populate(ram, size, found, &left)) {
        set_located(block);
        return;
    }
    warn_report("the memory of %s gets no new frames: accesses to it are "
                "emulated, and its contents are blank", xen_physmap_name(ram));
    if (left && !found) {       /* otherwise some may be the guest's own */
        xen_map_cache_block_left(xen_physmap_name(ram), ram, size);
    }
}

/*
 * Applies the rule to @block.  @final: everything is loaded; then ends QEMU if
 * memory that is shown is not found.  Otherwise does nothing if the decision
 * must wait.
 */
static void locate(RAMBlock *block, bool final)
{
    unsigned long pages = block->max_length / XEN_GUEST_PAGE_SIZE;
    g_autofree unsigned long *there = bitmap_new(pages);
    g_autofree unsigned long *initial = NULL;
    const XenPiece *s, *shown;
    bool whole;

    shown = xen_physmap_shown(block, &whole);
    if (!final && (!whole || xen_physmap_is_over_initial(shown))) {
        return;
    }
    initial = look(block->offset, block->offset, block->max_length);
    FOR_EACH_SHOWN(s) {
        /* The pages in the firmware's range are never the memory's. */
        if (xen_overlap(s->ram, s->size, block->offset, block->max_length) &&
            !xen_physmap_is_firmware(s->gaddr, s->size) &&
            !look_where_shown(s, block->offset, initial, there, final)) {
            return;
        }
    }
    trace_xen_physmap_restore(xen_physmap_name(block->offset), block->offset,
                              shown ? shown->gaddr : block->offset, pages,
                              bitmap_count_one(initial, pages),
                              bitmap_count_one(there, pages));
    bitmap_or(there, there, initial, pages);
    if (bitmap_full(there, pages)) {
        set_located(block);
    } else if (!final) {
        /* Shown in the firmware's range: a section may still be loaded. */
        return;
    } else if (shown) {
        fail("the memory of %s (%" PRIu64 " KiB) is neither at its BAR 0x%"
             HWADDR_PRIx " nor at its initial range 0x" RAM_ADDR_FMT
             ": %lu pages are absent", xen_physmap_name(shown->ram),
             shown->size / 1024, shown->gaddr, shown->ram,
             pages - bitmap_count_one(there, pages));
    } else {
        give_up(block, there);
    }
}

/*
 * The restore's course
 */

/* Locates memory that is not located yet: all, or if @shown, what is shown. */
static void locate_all(bool final, bool shown)
{
    RAMBlock *block;
    bool whole;

    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH(block) {
        if (!xen_physmap_has_frames(block) || is_located(block) ||
            (shown && !xen_physmap_shown(block, &whole))) {
            continue;
        }
        if (known && xen_foreign_map_has_fixed()) {
            if (final && !shown) {
                give_up(block, NULL);
            }
        } else if (xen_pieces_are_initial(block->offset, block->max_length)) {
            locate(block, final);
        } else {
            /* From xenstore. */
            set_located(block);
        }
    }
}

void xen_physmap_restore_begin(void)
{
    static int first_shown = -1;
    const XenPieces *now;

    if (!restoring) {
        return;
    }
    if (first_shown < 0) {
        first_shown = xen_shown.n;
        any_located = false;
    } else if (any_located || xen_shown.n != first_shown) {
        error_report("the saved state is not loaded: device memory has been "
                     "placed by an earlier state, which could not be loaded; "
                     "start QEMU again to load this one");
        exit(EXIT_FAILURE);
    }
    /* What the section of another state says does not hold for this one. */
    known = NULL;
    for (now = xen_pieces(); now->all > now->n; now = xen_pieces()) {
        xen_pieces_abandon_end(now->p[now->n].gaddr, now->p[now->n].size);
    }
}

void xen_physmap_restore_look(void)
{
    locate_all(false, true);
}

void xen_physmap_restore_known(const XenPieceList *list)
{
    RAMBlock *block;

    if (!restoring) {
        return;
    }
    known = list;
    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH(block) {
        const XenPiece *p = known_piece(block);

        if (is_known(block) && !(p && p->gaddr == XEN_NO_FRAMES)) {
            set_located(block);
        }
    }
}

void xen_physmap_restore_end(void)
{
    if (!restoring) {
        return;
    }
    /*
     * First the memory that is shown: frames that belong to it are then not
     * taken for frames of memory that nothing shows.
     */
    locate_all(true, true);
    locate_all(true, false);
    qatomic_set(&restoring, false);
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
        restoring = true;
        /* Priority -1: before the handlers that tell the toolstack. */
        qemu_add_vm_change_state_handler_prio(state_changed, NULL, -1);
    }
}
