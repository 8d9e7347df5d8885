/*
 * Where device memory is in an HVM guest: relocating it
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * When the guest's memory map has changed, xen_physmap_settle()
 *
 *  1. chooses the *targets*: shown ranges whose memory and guest addresses
 *     belong to no earlier target;
 *  2. makes way: relocates displaced frames to their initial range if they are
 *     in a target, or where the memory map shows something else;
 *  3. relocates memory that is not at its target yet, where the target is free;
 *  4. pins the targets that have all their memory.
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "exec/address-spaces.h"
#include "qemu/error-report.h"
#include "qemu/rcu.h"
#include "qemu/units.h"
#include "hw/xen/xen_native.h"
#include "hw/xen/xen-reservation.h"
#include "system/xen-mapcache.h"
#include "xen-physmap.h"
#include "xen-physmap-int.h"

/* The firmware, hvmloader's pages and the local APICs: not for BARs. */
#define FIRMWARE_START  0xfc000000ULL

/* The range that one probe covers. */
#define PROBE_BYTES     (4 * MiB)

XenPieceList xen_shown;

bool xen_physmap_is_firmware(hwaddr gaddr, uint64_t size)
{
    return xen_overlap(gaddr, size, FIRMWARE_START, 4 * GiB - FIRMWARE_START);
}

static XenPieceList choose_targets(void)
{
    XenPieceList targets = { 0 };
    XenPiece *s;

    FOR_EACH_SHOWN(s) {
        if (xen_piece_clashes(targets.p, targets.n, s) ||
            xen_physmap_is_firmware(s->gaddr, s->size)) {
            continue;
        }
        if (xen_map_cache_is_dummy(xen_physmap_block(s->ram)->offset)) {
            xen_complain("the memory of %s (%" PRIu64 " KiB) has no frames in "
                         "the guest: it is not relocated to 0x%" HWADDR_PRIx,
                         xen_physmap_name(s->ram), s->size / 1024, s->gaddr);
        } else {
            xen_piece_add(&targets, s);
        }
    }
    return targets;
}

MemoryRegion *xen_physmap_region_at(hwaddr gaddr, uint64_t *len)
{
    MemoryRegionSection section =
        memory_region_find(get_system_memory(), gaddr, *len);
    hwaddr start = section.offset_within_address_space;

    if (!section.mr) {
        return NULL;
    }
    /* Not freed while the BQL is held. */
    memory_region_unref(section.mr);
    if (start > gaddr) {
        *len = start - gaddr;
        return NULL;
    }
    *len = start + int128_get64(section.size) - gaddr;
    return section.mr;
}

/*
 * True if the memory map shows something else than the block of @ram at @gaddr.
 * There may be no such block yet.  @gaddr and @len: whole pages.  @len: in:
 * bytes asked for; out: the number of bytes for which the answer is right.
 */
static bool is_shown_other(hwaddr gaddr, ram_addr_t ram, uint64_t *len)
{
    uint64_t asked = *len;
    MemoryRegion *mr = xen_physmap_region_at(gaddr, len);
    /* A region without a RAM block, such as registers, is something else. */
    bool other = mr && (!mr->ram_block ||
                        mr->ram_block != xen_physmap_block(ram));

    if (*len < asked) {
        /* A page counts as other if any part of it shows something else. */
        other |= *len < XEN_GUEST_PAGE_SIZE;
        *len = other ? ROUND_UP(*len, XEN_GUEST_PAGE_SIZE)
                     : ROUND_DOWN(*len, XEN_GUEST_PAGE_SIZE);
    }
    return other;
}

/*
 * Pages that kept memory from being relocated.  They are looked at first: a
 * guest can change the memory map as often as it likes, and must not have the
 * whole of a range probed each time.
 */
typedef struct Obstacle {
    hwaddr gaddr;       /* 0: none */
    enum {
        OBSTACLE_OWN,       /* frames of the guest's own are there */
        OBSTACLE_REFUSED,   /* Xen does not relocate a frame to there */
        OBSTACLE_UNSURE,    /* the same, but Xen did not say what it has done */
    } kind;
} Obstacle;

static Obstacle obstacles[64];

static void note_obstacle(hwaddr gaddr, int kind)
{
    static unsigned next;
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(obstacles); i++) {
        if (obstacles[i].gaddr == gaddr) {
            obstacles[i].kind = MAX(obstacles[i].kind, kind);
            return;
        }
    }
    obstacles[next++ % G_N_ELEMENTS(obstacles)] = (Obstacle) { gaddr, kind };
}

/* The first obstacle in [@to, @to + @size), or NULL. */
static Obstacle *find_obstacle(hwaddr from, hwaddr to, uint64_t size)
{
    Obstacle *o;

    for (o = obstacles; o < obstacles + G_N_ELEMENTS(obstacles); o++) {
        /* Not if the memory's own frames are there. */
        if (o->gaddr - to < size && o->gaddr - from >= size) {
            return o;
        }
    }
    return NULL;
}

bool xen_physmap_is_taken(hwaddr gaddr, ram_addr_t ram, uint64_t size)
{
    uint64_t done, len;
    ram_addr_t other;

    for (done = 0; done < size; done += len) {
        len = size - done;
        if (is_shown_other(gaddr + done, ram + done, &len)) {
            return true;
        }
        if (xen_pieces_at(gaddr + done, &len, &other) == XEN_AT_MEMORY) {
            if (other - ram >= size) {
                return true;
            }
            len = MIN(len, ram + size - other);
        }
    }
    return false;
}

/* True if frames may be put at @gaddr for the memory [@ram, @ram + @size). */
static bool is_free(hwaddr gaddr, ram_addr_t ram, uint64_t size)
{
    uint64_t done, len;
    ram_addr_t other;

    if (xen_physmap_is_taken(gaddr, ram, size)) {
        return false;
    }
    for (done = 0; done < size; done += len) {
        DECLARE_BITMAP(present, PROBE_BYTES / XEN_GUEST_PAGE_SIZE) = { 0 };
        XenFrames frames;

        len = MIN(size - done, PROBE_BYTES);
        if (xen_pieces_at(gaddr + done, &len, &other) != XEN_AT_UNKNOWN) {
            continue;
        }
        frames = xen_map_cache_probe(gaddr + done, len, present);
        if (frames == XEN_FRAMES_ALL || frames == XEN_FRAMES_PART) {
            note_obstacle(gaddr + done +
                          find_first_bit(present, len / XEN_GUEST_PAGE_SIZE) *
                          XEN_GUEST_PAGE_SIZE, OBSTACLE_OWN);
        }
        if (frames != XEN_FRAMES_NONE) {
            return false;
        }
    }
    return true;
}

/* Frames have been relocated to @gaddr. */
static void are_at(ram_addr_t ram, hwaddr gaddr, uint64_t size, bool *any)
{
    if (size) {
        xen_pieces_abandon_end(gaddr, size);
        xen_pieces_put(ram, gaddr, size);
        /* An earlier write may have been reported at the former address. */
        xen_frames_modified(gaddr, size);
        *any = true;
    }
}

static const char in_the_way[] = "other memory or another device is there";

/*
 * Xen relocates one frame after the other, in rising order.  It stops at the
 * first frame that fails, and does not say which.  So the frames are probed.
 * To be called when relocating [@from, @from + @size) failed.  *@moved: out: how
 * many bytes, from the start, are at @to now.  The last page of them is the last
 * one that is absent at @from and present at @to, before the first page that is
 * still present at @from.  False if Xen does not say; *@moved is 0 then.
 */
static bool frames_moved(hwaddr from, hwaddr to, uint64_t size,
                         uint64_t *moved)
{
    unsigned long pages = size / XEN_GUEST_PAGE_SIZE, absent, last;
    g_autofree unsigned long *left = bitmap_new(pages);
    g_autofree unsigned long *there = bitmap_new(pages);

    *moved = 0;
    if (xen_map_cache_probe(from, size, left) == XEN_FRAMES_UNKNOWN ||
        xen_map_cache_probe(to, size, there) == XEN_FRAMES_UNKNOWN) {
        return false;
    }
    absent = find_first_bit(left, pages);
    last = find_last_bit(there, absent);
    if (last < absent) {
        *moved = (last + 1) * XEN_GUEST_PAGE_SIZE;
    }
    return true;
}

/*
 * Relocates adjacent frames of one block, and publishes where they are.
 * Returns NULL, or what is wrong.
 *
 * If the target overlaps the source from above, Xen's rising order would
 * overwrite frames before they are relocated:
 *
 *   from  [0 1 2 3 4 5 6 7]
 *   to            [0 1 2 3 4 5 6 7]     4 pages up: first 4..7, then 0..3
 *
 * So a step is as long as the distance, and the last one is made first.  If the
 * target overlaps from below, the first one is made first.  One call would do
 * the same then; but after a failure, relocated frames could not be told from
 * the others.
 */
static const char *move_all(ram_addr_t ram, hwaddr from, hwaddr to,
                            uint64_t size, bool *any)
{
    bool up = to > from, sure;
    uint64_t step = MIN(up ? to - from : from - to, XEN_FRAMES_MOVE_MAX);
    uint64_t done, len, moved;
    int ret = 0;

    if (!is_free(to, ram, size)) {
        return in_the_way;
    }
    for (done = 0; done < size && !ret; done += len) {
        uint64_t at;

        len = MIN(step, size - done);
        at = up ? size - done - len : done;
        moved = len;
        ret = xen_frames_move(from + at, to + at, len);
        sure = !ret || frames_moved(from + at, to + at, len, &moved);
        are_at(ram + at, to + at, moved, any);
        if (moved < len) {
            note_obstacle(to + at + moved,
                          sure ? OBSTACLE_REFUSED : OBSTACLE_UNSURE);
        }
    }
    return ret ? strerror(-ret) : NULL;
}

/*
 * Does what move_all() does, but first looks at a known obstacle in the target.
 *
 * If a frame of the guest's own is still there, relocates nothing: otherwise a
 * guest could cut memory into pieces by such frames.  If Xen has failed at a
 * page before, relocates that page first, and then the parts on both sides of
 * it, in the order that move_all() explains.  If Xen did not say at that time
 * how many frames it had relocated from that page on, asks it again, unless
 * other memory is there by now, whose frames would be taken for these.
 */
static const char *move(ram_addr_t ram, hwaddr from, hwaddr to, uint64_t size,
                        bool *any)
{
    Obstacle *o = find_obstacle(from, to, size);
    uint64_t at, len, moved = 0;
    const char *error = NULL;
    bool up = to > from;

    if (!o) {
        return size ? move_all(ram, from, to, size, any) : NULL;
    }
    at = o->gaddr - to;
    if (o->kind == OBSTACLE_OWN) {
        if (!is_free(o->gaddr, ram + at, XEN_GUEST_PAGE_SIZE)) {
            return in_the_way;
        }
        o->gaddr = 0;
        return move(ram, from, to, size, any);
    }
    len = MIN(size - at, up ? to - from : from - to);
    if (o->kind == OBSTACLE_UNSURE &&
        !xen_physmap_is_taken(to + at, ram + at, len) &&
        frames_moved(from + at, to + at, len, &moved)) {
        o->kind = OBSTACLE_REFUSED;
        are_at(ram + at, to + at, moved, any);
    }
    if (!moved) {
        moved = XEN_GUEST_PAGE_SIZE;
        error = move_all(ram + at, from + at, to + at, moved, any);
    }
    if (error) {
        return error;
    }
    o->gaddr = 0;
    len = at + moved;       /* the part above begins here */
    error = up ? move(ram + len, from + len, to + len, size - len, any)
               : move(ram, from, to, at, any);
    return error ?: up ? move(ram, from, to, at, any)
                       : move(ram + len, from + len, to + len, size - len, any);
}

/*
 * Relocates the frames of [@ram, @ram + @size) that are not at @gaddr.  Returns
 * NULL if all are there now, or else a report (g_free).  Sets *@moved if any
 * frame was relocated.
 */
static char *relocate(ram_addr_t ram, hwaddr gaddr, uint64_t size, bool *moved)
{
    uint64_t done, len;
    char *why = NULL;

    for (done = 0; done < size; done += len) {
        hwaddr to = gaddr + done, from;
        const char *error;

        len = size - done;
        from = xen_physmap_translate(ram + done, &len);
        error = from == to ? NULL : move(ram + done, from, to, len, moved);
        if (error) {
            g_free(why);
            why = g_strdup_printf("cannot relocate %s (%" PRIu64 " KiB) from "
                                  "0x%" HWADDR_PRIx " to 0x%" HWADDR_PRIx
                                  ": %s", xen_physmap_name(ram), len / 1024,
                                  from, to, error);
        }
    }
    return why;
}

/*
 * Relocates frames to their initial range, as far as nothing else is there.  If
 * other frames of the same piece are there, relocates the whole piece.  Only
 * this function cuts frames that are shown nowhere into more pieces.  If there
 * are XEN_PIECES_MAX pieces, it relocates no part of a piece.
 */
static void go_initial(ram_addr_t ram, uint64_t size)
{
    const XenPieces *now = xen_pieces();
    uint64_t len = size;
    const XenPiece *p = xen_piece_of(now->p, now->n, ram, &len);
    g_autofree char *why = NULL;
    bool moved;

    if (p && xen_overlap(p->ram, p->size, p->gaddr, p->size)) {
        ram = p->ram;
        size = p->size;
    }
    if (p && p->size > size && now->all >= XEN_PIECES_MAX) {
        why = g_strdup_printf("cannot relocate %s (%" PRIu64 " KiB) to 0x"
                              RAM_ADDR_FMT ": device memory is in %u pieces "
                              "already", xen_physmap_name(ram), size / 1024,
                              ram, now->all);
    } else {
        why = relocate(ram, ram, size, &moved);
    }

    if (why) {
        xen_complain("%s", why);
    }
}

/* True if frames of [@ram, @ram + *@len) must not stay at @gaddr. */
static bool must_leave(const XenPieceList *targets, ram_addr_t ram,
                       hwaddr gaddr, uint64_t *len)
{
    const XenPiece *t = xen_piece_of(targets->p, targets->n, ram, len);

    if (t && t->gaddr + (ram - t->ram) == gaddr) {
        return false;
    }
    return xen_piece_at(targets->p, targets->n, gaddr, len) ||
           is_shown_other(gaddr, ram, len);
}

/*
 * A restore may find a ROM at the initial range that it had in another QEMU.
 * Nothing shows it to the guest, and another device may need that range.
 */
static bool is_stray_rom(ram_addr_t ram)
{
    const RAMBlock *block = xen_physmap_block(ram);

    return block && memory_region_is_rom(block->mr);
}

static void make_way(const XenPieceList *targets)
{
    const XenPieces *now = xen_pieces();
    unsigned n = now->n, all = now->all, i;
    /* A copy, because relocations change the pieces. */
    g_autofree XenPiece *p = g_memdup2(now->p, all * sizeof(now->p[0]));

    /* An access to abandoned frames does not reach what is shown there. */
    for (i = xen_pieces_ask_again() ? n : all; i < all; i++) {
        if (!xen_reservation_give_back(p[i].gaddr, p[i].size)) {
            xen_pieces_abandon_end(p[i].gaddr, p[i].size);
        }
    }
    for (i = 0; i < n; i++) {
        uint64_t done, len;

        for (done = 0; done < p[i].size; done += len) {
            len = p[i].size - done;
            if (is_stray_rom(p[i].ram)) {
                bool moved;

                /* If it cannot be relocated yet, the next call tries again. */
                g_free(relocate(p[i].ram, p[i].ram, len, &moved));
            } else if (must_leave(targets, p[i].ram + done, p[i].gaddr + done,
                           &len)) {
                go_initial(p[i].ram + done, len);
            }
        }
    }
}

bool xen_physmap_claim(ram_addr_t ram, uint64_t size)
{
    uint64_t done, len;
    ram_addr_t other;

    for (done = 0; done < size; done += len) {
        len = size - done;
        if (is_shown_other(ram + done, ram, &len)) {
            return false;
        }
        if (xen_pieces_at(ram + done, &len, &other) == XEN_AT_MEMORY) {
            go_initial(other, len);
        }
    }
    if (xen_physmap_is_firmware(ram, size) || !is_free(ram, ram, size) ||
        xen_reservation_give_back(ram, size)) {
        return false;
    }
    xen_pieces_abandon_end(ram, size);
    return true;
}

void xen_physmap_settle(void)
{
    XenPieceList targets = choose_targets();
    const XenPiece *t;
    bool moved;
    int ret;

    make_way(&targets);
    /* A target that is relocated may have been in the way of an earlier one. */
    do {
        moved = false;
        for (t = targets.p; t < targets.p + targets.n; t++) {
            g_autofree char *why = relocate(t->ram, t->gaddr, t->size,
                                            &moved);

            if (why) {
                xen_complain("%s; accesses to 0x%" HWADDR_PRIx " are emulated",
                             why, t->gaddr);
                continue;
            }
            ret = xen_frames_pin(t->gaddr, t->size);
            if (ret) {
                xen_complain("cannot pin the caching type of %s at 0x%"
                             HWADDR_PRIx " to write-back (%s): the guest's own "
                             "type applies", xen_physmap_name(t->ram),
                             t->gaddr, strerror(-ret));
            }
        }
    } while (moved && targets.n > 1);
    g_free(targets.p);
    xen_physmap_compat_sync();
}
