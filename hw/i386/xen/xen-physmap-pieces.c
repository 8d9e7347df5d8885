/*
 * Where device memory is in an HVM guest: the pieces
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The only record of where the frames of device memory are, and the functions
 * that look it up.  None of them calls Xen.  The essay is in xen-physmap.c.
 */

#include "qemu/osdep.h"
#include "qemu/host-utils.h"
#include "qemu/rcu.h"
#include "qemu/rcu_queue.h"
#include "exec/ramlist.h"
#include "system/xen.h"
#include "system/xen-mapcache.h"
#include "xen-physmap.h"
#include "xen-physmap-int.h"

void xen_piece_add(XenPieceList *list, const XenPiece *piece)
{
    list->p = g_renew(XenPiece, list->p, list->n + 1);
    list->p[list->n++] = *piece;
}

static const XenPiece *find(const XenPiece *p, unsigned n, bool by_ram,
                            uint64_t addr, uint64_t *len)
{
    for (; n; n--, p++) {
        uint64_t start = by_ram ? p->ram : p->gaddr;

        if (addr - start < p->size) {
            *len = MIN(*len, start + p->size - addr);
            return p;
        }
        if (start > addr) {
            *len = MIN(*len, start - addr);
        }
    }
    return NULL;
}

const XenPiece *xen_piece_of(const XenPiece *p, unsigned n, ram_addr_t ram,
                             uint64_t *len)
{
    return find(p, n, true, ram, len);
}

const XenPiece *xen_piece_at(const XenPiece *p, unsigned n, hwaddr gaddr,
                             uint64_t *len)
{
    return find(p, n, false, gaddr, len);
}

bool xen_piece_clashes(const XenPiece *p, unsigned n, const XenPiece *piece)
{
    for (; n; n--, p++) {
        if (xen_overlap(p->ram, p->size, piece->ram, piece->size) ||
            xen_overlap(p->gaddr, p->size, piece->gaddr, piece->size)) {
            return true;
        }
    }
    return false;
}

static XenPieces none;

/* Replaced with the BQL, read in RCU sections; its contents never change. */
static XenPieces *pieces = &none;

const XenPieces *xen_pieces(void)
{
    return pieces;
}

/* Appends a piece; extends the last piece if the new one continues it. */
static void append(XenPieces *to, ram_addr_t ram, hwaddr gaddr, uint64_t size)
{
    XenPiece *last = to->all ? &to->p[to->all - 1] : NULL;

    if (!size || gaddr == ram) {
        return;
    }
    if (last && last->ram + last->size == ram &&
        last->gaddr + last->size == gaddr) {
        last->size += size;
    } else {
        to->p[to->all++] = (XenPiece) { ram, gaddr, size };
        to->n += ram < XEN_ABANDONED;
    }
}

void xen_pieces_put(ram_addr_t ram, hwaddr gaddr, uint64_t size)
{
    XenPieces *old = pieces, *new;
    bool done = false;
    unsigned i;

    assert(size && QEMU_IS_ALIGNED(ram | gaddr | size, XEN_GUEST_PAGE_SIZE));
    /* At most two more: the new piece, and one that is cut in the middle. */
    new = g_malloc(sizeof(*new) + (old->all + 2) * sizeof(new->p[0]));
    new->n = new->all = 0;
    for (i = 0; i < old->all; i++) {
        const XenPiece *p = &old->p[i];
        ram_addr_t end = p->ram + p->size;

        /* A guest address has one frame. */
        assert(gaddr == ram || xen_overlap(ram, size, p->ram, p->size) ||
               !xen_overlap(gaddr, size, p->gaddr, p->size));
        append(new, p->ram, p->gaddr, MIN(end, MAX(ram, p->ram)) - p->ram);
        if (!done && end > ram) {
            append(new, ram, gaddr, size);
            done = true;
        }
        if (end > ram + size) {
            ram_addr_t start = MAX(ram + size, p->ram);

            append(new, start, p->gaddr + (start - p->ram), end - start);
        }
    }
    if (!done) {
        append(new, ram, gaddr, size);
    }
    qatomic_rcu_set(&pieces, new);
    if (old != &none) {
        g_free_rcu(old, rcu);
    }
}

/*
 * Returns the index of the first piece that ends beyond @addr, or v->n.  A
 * guest can make a piece of each page of video memory, and a live migration
 * asks at each write of a device.  So this is a binary search.
 */
static unsigned first_beyond(const XenPieces *v, ram_addr_t addr)
{
    unsigned low = 0, high = v->n;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (v->p[mid].ram + v->p[mid].size > addr) {
            high = mid;
        } else {
            low = mid + 1;
        }
    }
    return low;
}

hwaddr xen_physmap_translate(ram_addr_t addr, uint64_t *len)
{
    const XenPieces *v = qatomic_rcu_read(&pieces);
    unsigned i = first_beyond(v, addr);
    const XenPiece *p = xen_piece_of(&v->p[i], MIN(v->n - i, 1), addr, len);

    return p ? p->gaddr + (addr - p->ram) : addr;
}

bool xen_pieces_are_initial(ram_addr_t ram, uint64_t size)
{
    uint64_t len = size;

    RCU_READ_LOCK_GUARD();
    return xen_physmap_translate(ram, &len) == ram && len == size;
}

bool xen_pieces_cover(ram_addr_t ram, uint64_t size)
{
    const XenPieces *v;
    unsigned i;

    RCU_READ_LOCK_GUARD();
    v = qatomic_rcu_read(&pieces);
    for (i = 0; i < v->n; i++) {
        if (xen_overlap(v->p[i].gaddr, v->p[i].size, ram, size) &&
            !xen_overlap(v->p[i].ram, v->p[i].size, ram, size)) {
            return true;
        }
    }
    return false;
}

static unsigned asked;

void xen_pieces_abandon(hwaddr gaddr, uint64_t size)
{
    xen_pieces_put(XEN_ABANDONED + gaddr, gaddr, size);
    asked = 0;
}

void xen_pieces_abandon_end(hwaddr gaddr, uint64_t size)
{
    xen_pieces_put(XEN_ABANDONED + gaddr, XEN_ABANDONED + gaddr, size);
}

bool xen_pieces_ask_again(void)
{
    return pieces->all > pieces->n && is_power_of_2(++asked);
}

/*
 * RAM blocks
 */

bool xen_physmap_has_frames(const RAMBlock *block)
{
    return block->foreign && !block->mr->foreign;
}

bool xen_physmap_is_mapped(const RAMBlock *block)
{
    return block->host && !xen_map_cache_is_dummy(block->offset);
}

bool xen_physmap_is_kept(const RAMBlock *block)
{
    return xen_physmap_has_frames(block) && !memory_region_is_rom(block->mr);
}

RAMBlock *xen_physmap_block(ram_addr_t addr)
{
    RAMBlock *block;

    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH(block) {
        if (addr - block->offset < block->max_length) {
            /* Not freed while the BQL is held. */
            return block;
        }
    }
    return NULL;
}

const char *xen_physmap_name(ram_addr_t addr)
{
    RAMBlock *block = xen_physmap_block(addr);

    if (!block) {
        return "(none)";
    }
    return block->idstr[0] ? block->idstr : memory_region_name(block->mr);
}

/* What is at @gaddr, which is in the initial range of @block. */
static XenAt initial_at(const RAMBlock *block, hwaddr gaddr, uint64_t *len)
{
    *len = MIN(*len, block->offset + block->max_length - gaddr);
    if (xen_map_cache_is_dummy(block->offset) ||
        xen_physmap_translate(gaddr, len) != gaddr) {
        return XEN_AT_UNKNOWN;
    }
    return memory_region_is_rom(block->mr) ? XEN_AT_NEEDLESS : XEN_AT_MEMORY;
}

XenAt xen_pieces_at(hwaddr gaddr, uint64_t *len, ram_addr_t *ram)
{
    const XenPiece *p = xen_piece_at(pieces->p, pieces->all, gaddr, len);
    const RAMBlock *block;

    if (p) {
        *ram = p->ram + (gaddr - p->gaddr);
        return p->ram < XEN_ABANDONED ? XEN_AT_MEMORY : XEN_AT_NEEDLESS;
    }
    *ram = gaddr;
    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH(block) {
        if (!xen_physmap_has_frames(block)) {
            continue;
        }
        if (gaddr - block->offset < block->max_length) {
            return initial_at(block, gaddr, len);
        }
        if (block->offset > gaddr) {
            *len = MIN(*len, block->offset - gaddr);
        }
    }
    return XEN_AT_UNKNOWN;
}

hwaddr xen_pieces_frames(ram_addr_t ram, uint64_t *len)
{
    hwaddr gaddr = xen_physmap_translate(ram, len);
    ram_addr_t other;

    return xen_pieces_at(gaddr, len, &other) == XEN_AT_UNKNOWN || other != ram
           ? XEN_NO_FRAMES : gaddr;
}
