/*
 * Where device memory sits in an HVM guest: between the parts
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * For xen-physmap*.c and xen-frames.c alone.  Everything here is called with
 * the BQL.
 */

#ifndef HW_I386_XEN_PHYSMAP_INT_H
#define HW_I386_XEN_PHYSMAP_INT_H

#include "exec/memory.h"
#include "exec/ramblock.h"
#include "qemu/interval-tree.h"

#define XEN_GUEST_PAGE_SIZE 4096ULL
#define XEN_GUEST_PAGE_MASK (~(XEN_GUEST_PAGE_SIZE - 1))

/* A page-aligned piece of device memory and its place in the guest. */
typedef struct XenPhysmapRange {
    IntervalTreeNode node;  /* guest physical addresses, last inclusive */
    ram_addr_t ram;         /* first byte: home of the frames */
    const MemoryRegion *mr; /* the section's; identity only when !visible */
    bool visible;           /* the memory map shows it here */
    bool placed;            /* the frames are here */
    bool pinned;            /* ... with their caching type pinned */
} XenPhysmapRange;

static inline hwaddr xen_range_gaddr(const XenPhysmapRange *r)
{
    return r->node.start;
}

static inline uint64_t xen_range_size(const XenPhysmapRange *r)
{
    return r->node.last - r->node.start + 1;
}

static inline bool xen_overlap(uint64_t a, uint64_t a_size,
                               uint64_t b, uint64_t b_size)
{
    return a < b + b_size && b < a + a_size;
}

/*
 * xen-physmap-ranges.c: the records
 */

/* All ranges, by guest address; those of different states may overlap. */
extern IntervalTreeRoot xen_physmap_ranges;

static inline XenPhysmapRange *xen_range_first(hwaddr start, hwaddr last)
{
    IntervalTreeNode *node = interval_tree_iter_first(&xen_physmap_ranges,
                                                      start, last);

    return node ? container_of(node, XenPhysmapRange, node) : NULL;
}

static inline XenPhysmapRange *xen_range_next(XenPhysmapRange *r,
                                              hwaddr start, hwaddr last)
{
    IntervalTreeNode *node = interval_tree_iter_next(&r->node, start, last);

    return node ? container_of(node, XenPhysmapRange, node) : NULL;
}

/* No range may be made or freed inside the loop. */
#define FOR_EACH_RANGE_AT(r, gaddr, size)                               \
    for (r = xen_range_first(gaddr, (gaddr) + (size) - 1); r;           \
         r = xen_range_next(r, gaddr, (gaddr) + (size) - 1))

#define FOR_EACH_RANGE(r)                                               \
    for (r = xen_range_first(0, UINT64_MAX); r;                         \
         r = xen_range_next(r, 0, UINT64_MAX))

/* A range neither shown nor placed, to be made one of these. */
XenPhysmapRange *xen_range_new(ram_addr_t ram, hwaddr gaddr, uint64_t size);
void xen_range_free(XenPhysmapRange *r);

/* Makes the records visible to the look-ups of all threads. */
void xen_physmap_publish(void);

/*
 * True if the frames of @self cannot go to @gaddr, its place or its home,
 * without overwriting other device memory.
 */
bool xen_physmap_is_in_the_way(hwaddr gaddr, const XenPhysmapRange *self);

/*
 * True if frames of memory other than [@ram, @ram + @size) are at its home.
 * Any thread.
 */
bool xen_physmap_is_others(ram_addr_t ram, uint64_t size);

/*
 * Records frames found outside their home before anything shows them.
 * False if the range overlaps one that is known.
 */
bool xen_physmap_remember(ram_addr_t ram, hwaddr gaddr, uint64_t size);

/* The RAM block that @addr is in, or NULL. */
RAMBlock *xen_physmap_block(ram_addr_t addr);

/* A name for reports of the memory at @addr; valid while the BQL is held. */
const char *xen_physmap_name(ram_addr_t addr);

/*
 * True if @block is device memory that has frames of its own in the guest:
 * not guest RAM, not grants, not memory that QEMU brought.
 */
bool xen_physmap_has_home(const RAMBlock *block);

/*
 * xen-physmap.c: the policy
 */

/*
 * A report of what a guest can cause as often as it likes: error_report(),
 * at most once a second but for a restore, which goes by what was reported.
 */
void G_GNUC_PRINTF(1, 2) xen_complain(const char *fmt, ...);

/*
 * Moves the frames of @r, all of them at home, to its place.  False, with a
 * report, if that is not possible; what was moved already is then moved back
 * or, if that fails too, stays recorded where it is.
 */
bool xen_range_place(XenPhysmapRange *r);

/* The frames of @r are found at its place. */
void xen_range_found(XenPhysmapRange *r);

/* Tries to place each range of @block that is shown and not placed. */
void xen_physmap_place_waiting(RAMBlock *block);

/* A range of @block that is shown and not placed, or NULL. */
XenPhysmapRange *xen_physmap_waiting(RAMBlock *block);

/*
 * xen-physmap-restore.c
 */

/* To be called once: has the restore completed when the guest starts. */
void xen_physmap_restore_init(void);

/*
 * True in a restore while it is not known yet where the frames of @block are,
 * so that they must be looked for before they are moved.
 */
bool xen_physmap_is_unsettled(RAMBlock *block);

/* Finds out where the frames of @r are and sees to it that they get there. */
void xen_physmap_restore_range(RAMBlock *block, XenPhysmapRange *r);

/*
 * xen-frames.c
 */

/* What a move that failed has moved: pieces in bytes, from the start. */
typedef struct XenFramesMoved {
    unsigned n;
    struct {
        uint64_t offset;
        uint64_t size;
    } piece[2];
} XenFramesMoved;

/*
 * Moves @size bytes of guest frames from @from to @to, all page-aligned; the
 * two may overlap.  Frames that were at @to are given back to Xen.
 * Returns 0, or -errno with @moved saying what is at @to now; the rest is
 * where it was.
 */
int xen_frames_move(hwaddr from, hwaddr to, uint64_t size,
                    XenFramesMoved *moved);

/*
 * Pins the caching type of a range to write-back, or takes the pin away.
 * Returns 0 or -errno.
 */
int xen_frames_pin(hwaddr gaddr, uint64_t size, bool on);

/*
 * xen-physmap-compat.c: the physmap in xenstore
 */
#ifdef XEN_COMPAT_PHYSMAP

/* Reads what was saved and xen_physmap_remember()s it.  @xs is kept. */
void xen_physmap_compat_load(struct xs_handle *xs);

/* Writes, or removes, the keys of @r.  Reports what fails. */
void xen_physmap_compat_save(const XenPhysmapRange *r);
void xen_physmap_compat_forget(const XenPhysmapRange *r);

#else

static inline void xen_physmap_compat_load(struct xs_handle *xs)
{
}

static inline void xen_physmap_compat_save(const XenPhysmapRange *r)
{
}

static inline void xen_physmap_compat_forget(const XenPhysmapRange *r)
{
}

#endif /* XEN_COMPAT_PHYSMAP */

#endif /* HW_I386_XEN_PHYSMAP_INT_H */
