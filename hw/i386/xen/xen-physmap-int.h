/*
 * Where device memory is in an HVM guest: the interface between the files
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Only xen-physmap*.c and xen-frames.c include this.  Every function is called
 * with the BQL, unless said otherwise.  The files are layers, and each calls
 * only those below it:
 *
 *   xen-physmap.c            the memory listener's calls
 *   xen-physmap-monitor.c    what the monitor shows of it
 *   xen-physmap-state.c      the section of the saved state
 *   xen-physmap-restore.c    locating memory in a restore
 *   xen-physmap-settle.c     relocating memory to where it is shown
 *   xen-physmap-compat.c     the pieces in xenstore
 *   xen-frames.c             the calls to Xen
 *   xen-physmap-pieces.c     the pieces: the record of where frames are
 */

#ifndef HW_I386_XEN_PHYSMAP_INT_H
#define HW_I386_XEN_PHYSMAP_INT_H

#include "exec/memory.h"
#include "exec/ramblock.h"
#include "qemu/rcu.h"
#include "qemu/units.h"

#define XEN_GUEST_PAGE_SIZE 4096ULL
#define XEN_GUEST_PAGE_MASK (~(XEN_GUEST_PAGE_SIZE - 1))

/*
 * More bytes than any device has.  A saved state or xenstore may name more, and
 * probing them all would take too long.
 */
#define XEN_DEVICE_MEMORY_MAX (16 * GiB)

static inline bool xen_overlap(uint64_t a, uint64_t a_size,
                               uint64_t b, uint64_t b_size)
{
    return a < b + b_size && b < a + a_size;
}

/*
 * xen-frames.c
 */

/*
 * Relocates @size bytes of guest frames, at most XEN_FRAMES_MOVE_MAX, from
 * @from to @to, all page-aligned; the two ranges do not overlap.  Frames that
 * were at @to go back to Xen.  Returns 0, or -errno.  After an error some
 * frames, from the start, may be at @to.
 */
#define XEN_FRAMES_MOVE_MAX (1ULL << 40)
int xen_frames_move(hwaddr from, hwaddr to, uint64_t size);

/*
 * Pins the caching type of a range to write-back, except where it is pinned
 * already.  A pin is never removed: Xen flushes the caches of every processor
 * of the host when a pin is removed, and a guest could cause that as often as
 * it likes.  There are at most XEN_PINS_MAX pins, because Xen searches them one
 * by one.  Returns 0 or -errno; -ENOSPC if that number is reached.  After an
 * error, a part of the range may be pinned.
 */
#define XEN_PINS_MAX 64
int xen_frames_pin(hwaddr gaddr, uint64_t size);

/*
 * To be called when frames were relocated to [@gaddr, @gaddr + @size), and the
 * pieces say so.  If a live migration is under way, it sends them.
 */
void xen_frames_modified(hwaddr gaddr, uint64_t size);

/*
 * True if the page at @gaddr has been pinned by this process.  @len: in: bytes
 * asked for, > 0; out: for how many of them the answer holds.
 */
bool xen_frames_is_pinned(hwaddr gaddr, uint64_t *len);

/*
 * error_report() for a failure that a guest can cause as often as it likes: at
 * most once a second, but without a limit during a restore.
 */
void G_GNUC_PRINTF(1, 2) xen_complain(const char *fmt, ...);

/*
 * xen-physmap-pieces.c
 */

/* Adjacent pages of device memory, at adjacent guest addresses. */
typedef struct XenPiece {
    ram_addr_t ram;     /* the memory; also its initial range */
    hwaddr gaddr;       /* where its frames are, or where it is shown */
    uint64_t size;      /* bytes; all three are multiples of a page */
} XenPiece;

typedef struct XenPieceList {
    int n;
    XenPiece *p;        /* g_free */
} XenPieceList;

/* Appends a piece to @list. */
void xen_piece_add(XenPieceList *list, const XenPiece *piece);

/*
 * Return the one of the @n pieces at @p that has the memory @ram, or that has
 * the guest address @gaddr; NULL if there is none.  @len: in: bytes asked for,
 * > 0; out: the number of bytes for which the answer is right.  Any thread.
 */
const XenPiece *xen_piece_of(const XenPiece *p, unsigned n, ram_addr_t ram,
                             uint64_t *len);
const XenPiece *xen_piece_at(const XenPiece *p, unsigned n, hwaddr gaddr,
                             uint64_t *len);

/* True if @piece shares memory or guest addresses with one of the @n at @p. */
bool xen_piece_clashes(const XenPiece *p, unsigned n, const XenPiece *piece);

/*
 * The pieces of device memory that are not at their initial range: sorted by
 * ram, without overlaps.  After them come the *abandoned* frames, which Xen did
 * not take back: their ram is the guest address plus XEN_ABANDONED.
 */
#define XEN_ABANDONED (1ULL << 60)
typedef struct XenPieces {
    struct rcu_head rcu;
    unsigned n;         /* of device memory */
    unsigned all;       /* with the abandoned ones */
    XenPiece p[];
} XenPieces;

/*
 * If there are so many pieces, no part of a piece is relocated to its initial
 * range.  Otherwise a guest could make each page a piece of its own, and a
 * saved state of so many pieces could not be restored.
 */
#define XEN_PIECES_MAX 1024

/* All pieces; valid until the next xen_pieces_put(). */
const XenPieces *xen_pieces(void);

/*
 * Records that the frames of the memory [@ram, @ram + @size) are at @gaddr;
 * @gaddr is @ram if they are at their initial range.
 */
void xen_pieces_put(ram_addr_t ram, hwaddr gaddr, uint64_t size);

/* True if all of [@ram, @ram + @size) is at its initial range.  Any thread. */
bool xen_pieces_are_initial(ram_addr_t ram, uint64_t size);

/*
 * True if frames of other memory are at the initial range of [@ram, @ram +
 * @size).  Any thread.
 */
bool xen_pieces_cover(ram_addr_t ram, uint64_t size);

/*
 * The first records the frames at [@gaddr, @gaddr + @size) as abandoned.  They
 * must belong to no piece of device memory.  The second ends that, when other
 * memory is there or the frames went back to Xen.
 */
void xen_pieces_abandon(hwaddr gaddr, uint64_t size);
void xen_pieces_abandon_end(hwaddr gaddr, uint64_t size);

/*
 * To be called when the memory map has changed: true if Xen should be asked to
 * take abandoned frames back.  That is so at the first, second, fourth, eighth
 * and so on call since frames were last abandoned, as a guest can cause many.
 */
bool xen_pieces_ask_again(void);

typedef enum XenAt {
    XEN_AT_UNKNOWN,     /* the guest's own frames, or none */
    XEN_AT_MEMORY,      /* frames of device memory */
    XEN_AT_NEEDLESS,    /* frames that may be overwritten: a ROM's at its */
                        /* initial range (QEMU keeps its mapping of them), */
                        /* and an unplugged device's */
} XenAt;

/*
 * Returns what is known about the frames at @gaddr.  @len: in: bytes asked for,
 * > 0; out: the number of bytes for which the answer is right.  @ram: out: the
 * memory whose frames are at @gaddr; without meaning for XEN_AT_UNKNOWN.
 */
XenAt xen_pieces_at(hwaddr gaddr, uint64_t *len, ram_addr_t *ram);

/*
 * Returns where the frames of the memory @ram are, or XEN_NO_FRAMES if it has
 * none: it is a dummy, or other memory's frames are there.  @len: as above.
 */
#define XEN_NO_FRAMES UINT64_MAX
hwaddr xen_pieces_frames(ram_addr_t ram, uint64_t *len);

/*
 * The RAM block that contains @addr, or NULL; valid while the BQL is held.  Any
 * thread may call this in an RCU read-side section; the result is then valid
 * until that ends.
 */
RAMBlock *xen_physmap_block(ram_addr_t addr);

/* The name of the memory at @addr, for reports; valid while the BQL is held. */
const char *xen_physmap_name(ram_addr_t addr);

/*
 * True if @block is device memory that has frames of its own in the guest.
 * False for guest RAM, grants, and memory that QEMU allocated itself.
 */
bool xen_physmap_has_frames(const RAMBlock *block);

/* True if @block is mapped, and is no dummy: the pieces say where it is. */
bool xen_physmap_is_mapped(const RAMBlock *block);

/* True if @block has frames, and is no ROM, whose frames may be overwritten. */
bool xen_physmap_is_kept(const RAMBlock *block);

/*
 * xen-physmap-compat.c: the pieces in xenstore
 */
#ifdef XEN_COMPAT_PHYSMAP

/*
 * Reads the keys of a restored guest into the pieces.  @xs is kept.  Invalid
 * entries are reported and ignored.  Ends QEMU if Xen does not say whether the
 * frames of an entry are present.
 */
void xen_physmap_compat_load(struct xs_handle *xs);

/* Writes the pieces to the keys, where they differ.  Reports failures. */
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

/*
 * What the guest's memory map shows: one piece for each section that has whole
 * pages of device memory, in the order in which the sections appeared.
 */
extern XenPieceList xen_shown;

#define FOR_EACH_SHOWN(s) \
    for (s = xen_shown.p; s < xen_shown.p + xen_shown.n; s++)

/*
 * Returns what the memory map shows at @gaddr, or NULL.  @len: in: bytes asked
 * for; out: the number of bytes for which the answer is right.  The result is
 * valid while the BQL is held.
 */
MemoryRegion *xen_physmap_region_at(hwaddr gaddr, uint64_t *len);

/* True if any of the range is the firmware's: no frames are relocated there. */
bool xen_physmap_is_firmware(hwaddr gaddr, uint64_t size);

/*
 * True if the frames of other memory than [@ram, @ram + @size) are in [@gaddr,
 * @gaddr + @size), or the memory map shows something else there.  Does not ask
 * Xen.
 */
bool xen_physmap_is_taken(hwaddr gaddr, ram_addr_t ram, uint64_t size);

/*
 * Relocates frames to where they are shown.  Reports what cannot be relocated;
 * the next call tries it again.
 */
void xen_physmap_settle(void);

/*
 * To be called before a block with the initial range [@ram, @ram + @size) is
 * made.  Relocates other devices' frames that are there, and gives abandoned
 * ones back to Xen.  False if something else is there.
 */
bool xen_physmap_claim(ram_addr_t ram, uint64_t size);

/*
 * xen-physmap-restore.c
 */

/*
 * Called once.  If the guest is being restored, xen_physmap_is_restoring() is
 * true from then on.
 */
void xen_physmap_restore_init(void);

/*
 * True in a restore, until everything is loaded.  Until then changes of the
 * memory map call the second, and nothing is relocated.  The first: any thread.
 */
bool xen_physmap_is_restoring(void);
void xen_physmap_restore_look(void);

/*
 * This and the next two do nothing outside a restore.  To be called before an
 * incoming state is loaded.  Forgets what the section of an earlier state said,
 * or ends QEMU if device memory has been placed as that section said.
 */
void xen_physmap_restore_begin(void);

/*
 * To be called when the section was loaded and the pieces are complete.  @list
 * is what the section says, and stays valid.  It has all of a block or none; a
 * block without frames is one piece with the guest address XEN_NO_FRAMES.  Maps
 * the frames; ends QEMU if some cannot be mapped.
 */
void xen_physmap_restore_known(const XenPieceList *list);

/* To be called when everything is loaded: locates the rest, or ends QEMU. */
void xen_physmap_restore_end(void);

/*
 * True if the range @s, where memory is shown, overlaps another block's initial
 * range.  Frames there may belong to either.  ROMs do not count.
 */
bool xen_physmap_is_over_initial(const XenPiece *s);

/*
 * Returns the first range at which a part of @block is shown, or NULL.  @whole:
 * out: true if it is the only one, and shows all of @block.
 */
const XenPiece *xen_physmap_shown(const RAMBlock *block, bool *whole);

/*
 * xen-physmap-state.c
 */

/* Registers the section, which is written when it is needed. */
void xen_physmap_state_init(void);

/*
 * To be called when device memory is plugged into a guest that runs, or when
 * the block at @ram is freed: others may have another ram_addr_t in a restore.
 */
void xen_physmap_state_plugged(void);
void xen_physmap_state_unplugged(ram_addr_t ram);

#endif /* HW_I386_XEN_PHYSMAP_INT_H */
