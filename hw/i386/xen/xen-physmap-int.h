/*
 * Where device memory is in an HVM guest: between the parts
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * For xen-physmap*.c and xen-frames.c alone.  Everything here is called with
 * the BQL, unless it says otherwise.  The files are layers, and each calls
 * only those below it:
 *
 *   xen-physmap.c            the memory listener's side
 *   xen-physmap-state.c      what is saved about it
 *   xen-physmap-restore.c    where memory is after a restore
 *   xen-physmap-settle.c     who is to be where, and making it so
 *   xen-physmap-compat.c     the same records in xenstore
 *   xen-physmap-pieces.c     the record of where frames are
 *   xen-frames.c             the calls to Xen
 */

#ifndef HW_I386_XEN_PHYSMAP_INT_H
#define HW_I386_XEN_PHYSMAP_INT_H

#include "exec/memory.h"
#include "exec/ramblock.h"
#include "qemu/rcu.h"

#define XEN_GUEST_PAGE_SIZE 4096ULL
#define XEN_GUEST_PAGE_MASK (~(XEN_GUEST_PAGE_SIZE - 1))

static inline bool xen_overlap(uint64_t a, uint64_t a_size,
                               uint64_t b, uint64_t b_size)
{
    return a < b + b_size && b < a + a_size;
}

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
 * Returns 0, or -errno.  @moved says what is at @to now; the rest is where it
 * was.
 */
int xen_frames_move(hwaddr from, hwaddr to, uint64_t size,
                    XenFramesMoved *moved);

/*
 * Pins the caching type of a range to write-back, as far as it is not pinned
 * yet, for good: Xen flushes the caches of every processor of the host when a
 * pin is taken away, and a guest could have that done as often as it likes.
 * Since Xen searches its pins one by one there are at most XEN_PINS_MAX.
 * Returns 0 or -errno.
 */
#define XEN_PINS_MAX 64
int xen_frames_pin(hwaddr gaddr, uint64_t size);

/*
 * A report of what a guest can cause as often as it likes: error_report(),
 * at most once a second but for a restore, which goes by what was reported.
 */
void G_GNUC_PRINTF(1, 2) xen_complain(const char *fmt, ...);

/*
 * xen-physmap-pieces.c
 */

/* Frames that are not at the initial range of the memory that they hold. */
typedef struct XenPiece {
    ram_addr_t ram;     /* the memory: where Xen populated it */
    hwaddr gaddr;       /* where its frames are */
    uint64_t size;      /* bytes; all three are multiples of a page */
} XenPiece;

/* By ram, without overlaps. */
typedef struct XenPieces {
    struct rcu_head rcu;
    unsigned n;
    XenPiece p[];
} XenPieces;

/* All pieces; valid until the next xen_pieces_put(). */
const XenPieces *xen_pieces(void);

/*
 * From now on the frames of the memory [@ram, @ram + @size) are at @gaddr,
 * which is @ram if they are at their initial range.
 */
void xen_pieces_put(ram_addr_t ram, hwaddr gaddr, uint64_t size);

/* True if all of the memory is at @gaddr. */
bool xen_pieces_are_at(ram_addr_t ram, hwaddr gaddr, uint64_t size);

/*
 * True if frames of other memory are at the initial range of [@ram, @ram +
 * @size).  Any thread.
 */
bool xen_pieces_cover(ram_addr_t ram, uint64_t size);

/*
 * The device whose frames are at [@gaddr, @gaddr + @size) has gone, and Xen did
 * not take them back: others may be put there.  The last XEN_PIECES_ABANDONED
 * are kept.  They are gone when others are there, or when they went back.
 */
#define XEN_PIECES_ABANDONED 16
void xen_pieces_abandon(hwaddr gaddr, uint64_t size);
void xen_pieces_abandon_end(hwaddr gaddr, uint64_t size);

typedef enum XenAt {
    XEN_AT_UNKNOWN,     /* the guest's own frames, or none */
    XEN_AT_MEMORY,      /* frames of device memory */
    XEN_AT_NEEDLESS,    /* frames of a ROM, of which QEMU keeps a mapping, */
                        /* ... or of a device that has gone */
} XenAt;

/*
 * What is known of the frames at @gaddr.  @len: in: bytes asked for, > 0;
 * out: for how many of them the answer holds.  @ram: the memory at @gaddr.
 */
XenAt xen_pieces_at(hwaddr gaddr, uint64_t *len, ram_addr_t *ram);

/* The RAM block that @addr is in, or NULL. */
RAMBlock *xen_physmap_block(ram_addr_t addr);

/* A name for reports of the memory at @addr; valid while the BQL is held. */
const char *xen_physmap_name(ram_addr_t addr);

/*
 * True if @block is device memory that has frames of its own in the guest:
 * not guest RAM, not grants, not memory that QEMU brought.
 */
bool xen_physmap_has_frames(const RAMBlock *block);

/*
 * xen-physmap-compat.c: the pieces in xenstore
 */
#ifdef XEN_COMPAT_PHYSMAP

/* Reads what was saved, into the pieces.  @xs is kept. */
void xen_physmap_compat_load(struct xs_handle *xs);

/* Makes the keys say what the pieces say.  Reports what fails. */
void xen_physmap_compat_sync(void);

#else

static inline void xen_physmap_compat_load(struct xs_handle *xs)
{
}

static inline void xen_physmap_compat_sync(void)
{
}

#endif /* XEN_COMPAT_PHYSMAP */

/*
 * xen-physmap-settle.c
 */

/* Whole pages of device memory that the guest's memory map shows. */
typedef struct XenShown {
    const MemoryRegion *mr;     /* of the section that shows them */
    ram_addr_t ram;
    hwaddr gaddr;
    uint64_t size;
} XenShown;

/* What is shown, in the order in which it appeared. */
typedef struct XenShownList {
    unsigned n, room;
    XenShown *s;
} XenShownList;

extern XenShownList xen_shown;

#define FOR_EACH_SHOWN(s) \
    for (s = xen_shown.s; s < xen_shown.s + xen_shown.n; s++)

/*
 * Brings frames to where they are shown, as far as that is possible.  What
 * is not is reported, and tried again at the next call.
 */
void xen_physmap_settle(void);

/*
 * A block that is about to be made is to have its initial range at [@ram, @ram
 * + @size): displaced frames of others leave, and what devices that have gone
 * left there goes back to Xen.  False if something else is there.
 */
bool xen_physmap_claim(ram_addr_t ram, uint64_t size);

/*
 * xen-physmap-restore.c
 */

/* To be called once. */
void xen_physmap_restore_init(void);

/*
 * True in a restore from the start until all is loaded: the listener's
 * changes are told to xen_physmap_restore_look(), and nothing is settled.
 */
bool xen_physmap_is_restoring(void);
void xen_physmap_restore_look(void);

/* True if it is not known yet where the memory of the block at @addr is. */
bool xen_physmap_is_unlocated(ram_addr_t addr);

/*
 * The pieces say where all memory is, but for what is listed in @lost, the
 * blocks that have no frames (ram_addr_t, of their start).
 */
void xen_physmap_restore_known(const GArray *lost);

/* All is loaded: finds the rest, or ends QEMU.  Nothing if it is known. */
void xen_physmap_restore_end(void);

/*
 * True if [@gaddr, @gaddr + @size), where memory of the block at @ram is,
 * overlaps the initial range of another block, so that looking at frames does
 * not tell whose they are.
 */
bool xen_physmap_is_over_initial(ram_addr_t ram, hwaddr gaddr, uint64_t size);

/* The only range that is shown of @block, if that is all of it, or NULL. */
const XenShown *xen_physmap_shown_whole(RAMBlock *block);

/* Ends the restore with a report. */
G_NORETURN void G_GNUC_PRINTF(1, 2) xen_physmap_fail(const char *fmt, ...);

/*
 * xen-physmap-state.c
 */

/* Has the section written when it is needed, and read. */
void xen_physmap_state_init(void);

#endif /* HW_I386_XEN_PHYSMAP_INT_H */
