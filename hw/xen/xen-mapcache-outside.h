/*
 * Xen mapcache: what lies outside the arena, as its files share it
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_XEN_MAPCACHE_OUTSIDE_H
#define HW_XEN_MAPCACHE_OUTSIDE_H

#include "qemu/interval-tree.h"
#include "qemu/queue.h"
#include "qemu/rcu.h"
#include "xen-mapcache-int.h"

typedef enum OutsideKind {
    OUTSIDE_BLOCK,      /* device memory, mapped to the guest's frames */
    OUTSIDE_DUMMY,      /* device memory that is a dummy */
    OUTSIDE_GRANT,
    OUTSIDE_TRANSFER,   /* exact pages of guest RAM, for a transfer */
    OUTSIDE_HELD,       /* exact pages of guest RAM that a device holds */
    OUTSIDE_SLOT,       /* a bucket, in a build without an arena */
    OUTSIDE_SENTINEL,   /* no mapping: keeps the tree from being empty */
    OUTSIDE_KINDS
} OutsideKind;

/*
 * A mapping outside the arena.  The fields marked (L) are changed under the
 * lock; the others are constant while the mapping is in the tree.
 */
typedef struct Outside {
    struct rcu_head rcu;        /* g_free_rcu() needs it to be first */
    IntervalTreeNode node;      /* host addresses, whole pages */
    OutsideKind kind;           /* (L) a dummy becomes a block */
    ram_addr_t addr;            /* of the byte at node.start */
    hwaddr size;                /* bytes */
    uint8_t *held;              /* grant, exact pages: the address handed out */
    hwaddr len;                 /* exact pages: the bytes handed out */
    unsigned users;             /* (L) exact pages: how often handed out */
    uint32_t gen;               /* exact pages: in which it was made */
    int memfd;                  /* (L) dummy: the file of its memory */
    uint32_t slot;              /* bucket without an arena: the slot's number */
    bool announced;             /* (L) notifiers have been told of it */
    QLIST_ENTRY(Outside) next;  /* (L) list of device memory */
} Outside;

static inline uint8_t *outside_host(const Outside *o)
{
    return (uint8_t *)(uintptr_t)o->node.start;
}

/* --- xen-mapcache-ranges.c ---------------------------------------------- */

void mcache_ranges_init(void);

/*
 * The mapping that @ptr points into, or NULL; it stays for as long as the RCU
 * read-side section.  A result other than NULL is right.  NULL says nothing:
 * ask again with the lock.
 */
Outside *mcache_outside_find_rcu(const void *ptr);

/* The mapping that @ptr points into, or NULL.  Called with the lock. */
Outside *mcache_outside_find_locked(const void *ptr);

/*
 * Adds a mapping of @size bytes at @host, whose first byte is @addr.  Returns
 * it; it belongs to the tree.  With the lock.
 */
Outside *mcache_outside_add_locked(OutsideKind kind, void *host,
                                   ram_addr_t addr, hwaddr size);

/*
 * Removes @o from the tree, and frees it after a grace period.  The caller must
 * not use it any more.  With the lock.
 */
void mcache_outside_remove_locked(Outside *o);

/*
 * The ram_addr_t of @ptr, which is not in the arena; or RAM_ADDR_INVALID.
 * Without the lock.
 */
ram_addr_t mcache_outside_ram_addr(const void *ptr);

/* Does what xen_ram_addr_from_mapcache() does; with the lock. */
ram_addr_t mcache_ram_addr_locked(const void *ptr);

/* --- xen-mapcache-outside.c: without the lock, unless said otherwise ---- */

void mcache_outside_init(void);

/*
 * Maps grants.  Arguments and result are those of xen_map_cache_dma(), but
 * @status must not be NULL, and *@plen is not changed if nothing is mapped.
 */
uint8_t *mcache_grant_map(ram_addr_t addr, ram_addr_t block_offset,
                          hwaddr *plen, bool is_write, XenMapStatus *status);

/*
 * Maps exactly the pages of *@plen bytes at @addr: for a held mapping, or for a
 * transfer that has no slot.  @info goes into its record.  The number of such
 * mappings is limited.  If the same bytes are mapped so already, for the same
 * use, and no invalidate came since, that mapping gets one more user.  @first:
 * true if the caller locks buckets instead when this fails.  The limit for held
 * mappings is then much lower (1024 and not 16,384), which leaves the rest to
 * callers without that choice.  Sets *@plen to the bytes that are mapped.
 * Returns NULL, sets *@status and leaves *@plen, if nothing was mapped.
 */
uint8_t *mcache_pages_map(ram_addr_t addr, hwaddr *plen, uint64_t info,
                          bool first, XenMapStatus *status);

/* Does what xen_map_cache_copy() does, by a mapping made for this copy only. */
XenMapStatus mcache_pages_copy(ram_addr_t addr, void *buf, void *old,
                               hwaddr *plen, bool is_write);

/*
 * Releases a mapping.  A grant, or a mapping by mcache_pages_map(), is unmapped
 * if @host is the address that was handed out.  Device memory stays; @host may
 * be anywhere in it.  False if @host is none of these.  *@dma: true if the
 * mapping was a transfer's.
 */
bool mcache_outside_release(uint8_t *host, bool *dma);

/*
 * The first unmaps @pages pages at @host, outside the arena, that nobody uses.
 * It notes them if they cannot be unmapped.  It is called with the lock or
 * without it; without is better, because an unmap call may take long.  The
 * second, which an invalidate calls, unmaps the noted pages; it releases the
 * lock meanwhile.
 */
void mcache_unmap(void *host, size_t pages);
void mcache_unmap_again_locked(void);

/*
 * Returns @host, where a map call has mapped @pages pages with the errors @err,
 * at an address that the kernel chose.  If one of them is unavailable, unmaps
 * all, and returns NULL, with errno.  Also returns NULL, and leaves errno, if
 * @host is NULL.
 */
void *mcache_mapped_or_null(void *host, size_t pages, const int *err);

/*
 * The first returns the number of grant mappings that exist now.  The second
 * returns how many bytes that mcache_pages_map() has mapped are mapped now.
 */
uint64_t mcache_grants_locked(void);
uint64_t mcache_exact_bytes_locked(void);

/* --- xen-mapcache-probe.c: without the lock ---------------------------- */

/* The gfns of @size bytes from @gaddr on.  The caller frees them (g_free). */
xen_pfn_t *mcache_gfns_from(hwaddr gaddr, hwaddr size);

/*
 * Asks Xen which of the @pages frames @gfn are present, and sets a bit in
 * @present for each of these; @present may be NULL.  XEN_FRAMES_UNKNOWN: a call
 * failed, and that was reported.
 */
XenFrames mcache_probe(const xen_pfn_t *gfn, size_t pages,
                       unsigned long *present);

/* --- xen-mapcache-block-list.c ----------------------------------------- */

/* What the machine says of the @size bytes of device memory at @addr. */
XenBlockPlace mcache_block_place(ram_addr_t addr, ram_addr_t size);

/* The gfns of a block's frames, as the machine names them (g_free). */
xen_pfn_t *mcache_block_gfns(ram_addr_t addr, ram_addr_t size);

/* The block or dummy that begins at @addr, or NULL.  With the lock. */
Outside *mcache_block_find_locked(ram_addr_t addr);

/*
 * Puts @o on the list.  xen_map_cache_block_unannounce() takes it off, and so
 * does xen_unmap_cache_block() if nobody has.  With the lock.
 */
void mcache_block_list_add_locked(Outside *o);

/* Adds device memory's counts to @stats.  With the lock. */
void mcache_block_stats_locked(XenMapCacheStats *stats);

/*
 * Tells RAM block notifiers of all device memory of which they have not been
 * told.  Called in the main loop, in no coroutine, with the BQL, without the
 * lock.
 */
void mcache_block_announce(void);

/*
 * Tells the machine that an incoming state is about to be loaded.  With the
 * BQL, without the lock.
 */
void mcache_block_load_begins(void);

/*
 * Tells the machine that an incoming state was loaded.  Called as
 * mcache_block_announce().
 */
void mcache_block_loaded(void);

/* --- xen-mapcache-announce.c ----------------------------------------- */

/* Calls mcache_block_announce() later, when that is allowed.  Any thread. */
void mcache_announce_later(void);

#endif /* HW_XEN_MAPCACHE_OUTSIDE_H */
