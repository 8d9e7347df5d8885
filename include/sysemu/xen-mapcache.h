/*
 * Xen mapcache: the foreign mappings through which QEMU touches a guest
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A device model does not own the guest's memory.  To touch a page it asks
 * Xen for a foreign mapping of the guest frames (gfn), and the mapcache keeps
 * these mappings.  It knows three kinds of long-lived mapping, and each has
 * calls of its own, because freeing a device's memory and ending a DMA are
 * not the same thing:
 *
 *  - an unlocked pointer into guest RAM: xen_map_cache().  Valid to the end
 *    of the caller's RCU read-side section, whatever other threads do.
 *  - [b] a DMA mapping: xen_map_cache_dma() until
 *    xen_invalidate_map_cache_entry().  Readable and writable to its holder
 *    until then, also across an invalidate.
 *  - [a] device memory (video memory, option ROMs): xen_map_cache_block()
 *    until xen_unmap_cache_block().  Never affected by an invalidate.
 *
 * Addresses: every address argument is a ram_addr_t, QEMU's own numbering of
 * RAM blocks.  For guest RAM (the region xen_memory) it equals the guest
 * physical address; a device's block lies above guest RAM and is moved in
 * the guest by the machine (hw/i386/xen), not here.  Sizes are in bytes.
 *
 * Threads: unless a function says otherwise, any thread may call it, with or
 * without the BQL, in or out of a coroutine; none of them yields.  They use
 * thread-local variables, whose address a compiler may keep across a yield: so
 * they are not to be inlined into a caller.
 *
 * Failure: a page that is not there, a map call that fails and a bad grant
 * reference are the guest's doing or the host's trouble, never a reason to
 * end QEMU.  They yield NULL (or a shorter length) and a XenMapStatus:
 * hw/xen/xen-ram.c treats an absent page as unassigned memory, and copies what
 * is unavailable or makes it an error that the guest sees.
 */

#ifndef XEN_MAPCACHE_H
#define XEN_MAPCACHE_H

#include "exec/cpu-common.h"
#include "system/xen.h"

/* What a pointer into guest RAM is for. */
typedef enum XenMapUse {
    XEN_MAP_UNLOCKED,   /* until the end of the RCU read-side section */
    XEN_MAP_DMA,        /* one transfer */
    XEN_MAP_HELD,       /* rings, lists, pictures: as long as a guest likes */
} XenMapUse;

/* What became of a page that was asked for. */
typedef enum XenMapStatus {
    XEN_MAP_OK,
    XEN_MAP_ABSENT,         /* the guest has none: as unassigned memory */
    XEN_MAP_UNAVAILABLE,    /* it could not be mapped, or Xen does not say */
} XenMapStatus;

/*
 * Of how many misses each took less than 1 ns, from 1 to 2 ns, 2 to 4 ns, and
 * so on; those that took longer than the last are in that, too.
 */
#define XEN_MAPCACHE_LATENCIES 40

/* Counters since start; each is exact once the threads are quiet. */
typedef struct XenMapCacheStats {
    uint64_t hits;             /* lookups and DMA mappings served as they lie */
    uint64_t misses;           /* … that needed at least one map call */
    uint64_t map_calls;        /* calls to Xen that map, of any kind */
    uint64_t map_pages;        /* pages asked for in them */
    uint64_t map_failures;     /* calls that failed as a whole */
    uint64_t holes;            /* lookups that found no page */
    uint64_t no_room;          /* … that found no slot for theirs */
    uint64_t unmap_calls;      /* system calls that unmap */
    uint64_t invalidates;      /* requests to drop all mappings */
    uint64_t unmatched;        /* releases that matched nothing */
    uint64_t idle;             /* buckets unmapped since nobody used them */
    uint64_t buckets;          /* mapped now: buckets of guest RAM */
    uint64_t buckets_pending;  /* … that wait for a reader or a DMA */
    uint64_t buckets_max;      /* the cap on both */
    uint64_t blocks;           /* mapped now: device memory */
    uint64_t dummies;          /* … that are dummies */
    uint64_t block_bytes;      /* … of those that are not */
    uint64_t grants;           /* mapped now: grants */
    uint64_t dma;              /* outstanding: DMA mappings of transfers */
    uint64_t held;             /* … and long-held ones */
    uint64_t miss_latency[XEN_MAPCACHE_LATENCIES]; /* numbers of misses */
} XenMapCacheStats;

#ifdef CONFIG_XEN_IS_POSSIBLE

/*
 * Adds the property "mapcache-size" to the class of the Xen accelerator: the
 * most guest memory, in bytes, that is kept mapped, device memory and grants
 * apart; at least 32 MiB.  Settable until xen_map_cache_init().  Without it
 * the most is 32 GiB, less where limits of the process leave less, and an
 * eighth of the memory of the domain that QEMU runs in if that is not a PV
 * domain: there each page that is mapped costs a frame of it.
 *
 * And "mapcache-idle": after so many seconds, and a quarter more at most, a
 * bucket that nobody used is unmapped; 0: never.  60 without it.
 */
void xen_map_cache_add_property(ObjectClass *oc);

/*
 * Sets the cache up.  Called once, with the BQL, after xen_fmem and
 * xen_domid are known and before a RAM block is allocated.  Opens the grant
 * device and reserves the arena here, because a restricted device model may
 * do neither later.  Ends QEMU with a message if no arena can be reserved, or
 * if the kernel's pages are larger than Xen's.
 */
void xen_map_cache_init(void);

/*
 * Has query-stats tell of the cache, as provider "xen-mapcache".  Called once,
 * after xen_map_cache_init().
 */
void xen_map_cache_add_stats(void);

/* True once xen_map_cache_init() has run. */
bool xen_map_cache_ready(void);

/*
 * An unlocked pointer to guest RAM at @addr, mapped if need be.
 *
 * @plen: if not NULL, in: bytes wanted, > 0; out: bytes, counted from @addr,
 *        that the returned pointer is good for: at most what was wanted, cut
 *        at the first absent page and at the end of the bucket.
 *        If NULL, the pointer is good to the end of @addr's page.
 *
 * @status: if not NULL, why, if NULL is returned.
 *
 * Returns NULL and *plen 0 if there is none.  The pointer lives until the end
 * of the RCU read-side section that the caller must be in; if the caller had
 * the BQL, only until it gives the BQL up, should that come first: an
 * invalidate has the BQL, and does not wait for readers that had it.  A hit
 * takes no lock and makes no system call.
 */
uint8_t *xen_map_cache(ram_addr_t addr, hwaddr *plen, XenMapStatus *status);

/*
 * Copies *@plen bytes, > 0, between @buf and guest RAM at @addr through
 * what is mapped, or through a mapping that is made for it and not kept.
 * *@plen is what was copied, cut at the first absent page.  If none was, the
 * status of the first page says why, and @buf is as it was.
 */
XenMapStatus xen_map_cache_copy(ram_addr_t addr, void *buf, hwaddr *plen,
                                bool is_write);

/*
 * [b] A DMA mapping of @addr in @mr, which is the guest's RAM or its grants.
 *
 * @block_offset: where @mr's block starts (needed for grants: the reference
 *        is the page number within the block).
 * @plen: in: bytes wanted, > 0; out: bytes mapped, contiguous from @addr, cut
 *        at the first absent page.
 * @use:  XEN_MAP_DMA for a transfer: served from the buckets that are mapped.
 *        XEN_MAP_HELD for what a device keeps for long: mapped by exactly its
 *        pages, so that across an invalidate it pins no others, named in a
 *        report once, and not waited for.
 * @is_write: the device will write to it.  Grants are mapped read-only
 *        otherwise; foreign mappings are always writable.
 * @as:   the address space that the device went through; its device is what a
 *        report names, unless the thread says dma_owner.  May be NULL.
 *        Not kept.
 * @status: if not NULL, why, if NULL is returned; a bad grant reference is
 *        an absent page.
 *
 * Returns NULL and *plen 0 if there is none.  The mapping must be released by
 * xen_invalidate_map_cache_entry() with the pointer that was returned; no RCU
 * section is needed.  A hit takes no lock and makes no system call.
 */
uint8_t *xen_map_cache_dma(MemoryRegion *mr, ram_addr_t addr,
                           ram_addr_t block_offset, hwaddr *plen,
                           XenMapUse use, bool is_write, AddressSpace *as,
                           XenMapStatus *status);

/*
 * Ends the DMA mapping of @len bytes that was returned as @buffer, and
 * nothing else.  Of several at the same address one of that length ends; they
 * are alike.  (If none has that length, the shortest ends.)  NULL and an
 * address in device memory (a DMA that ended there holds nothing) are
 * accepted and do nothing; an address that matches nothing does nothing and
 * is counted as unmatched.
 */
void xen_invalidate_map_cache_entry(uint8_t *buffer, hwaddr len);

/*
 * [a] The mapping of a device's own memory: the block of @size bytes (a
 * multiple of the page size) at @addr.  Made at the first call, the same
 * address ever after.
 *
 * While the machine waits for an incoming state the frames may be anywhere:
 * the result is a dummy mapping then, anonymous memory that
 * xen_replace_cache_entry() replaces in place when the machine knows.  (With
 * XEN_COMPAT_PHYSMAP the machine must know beforehand; a dummy is what is made
 * if it does not, and stays.)
 *
 * Never returns NULL: device memory that cannot be mapped is reported and,
 * while the machine is being made or restored, ends QEMU, for its device cannot
 * run without.  A guest that runs is not ended for a device that is plugged in:
 * that has a dummy until it is unplugged, which the guest does not see.  RAM
 * block notifiers are told of a real mapping, never of a dummy, and later: from
 * a bottom half of the main loop, when no state is being loaded.
 */
uint8_t *xen_map_cache_block(ram_addr_t addr, ram_addr_t size);

/*
 * Unmaps the device memory that xen_map_cache_block() returned as @host.
 * The caller has seen to it that nobody uses the block any more (an RCU
 * callback).  NULL does nothing.
 */
void xen_unmap_cache_block(uint8_t *host);

/*
 * Were RAM block notifiers told of the device memory at @host?  They were not
 * of a dummy, so that who comes late, and walks the blocks that there are, is
 * not to be told of it either.  True of memory that is not the mapcache's.
 */
bool xen_map_cache_block_is_announced(uint8_t *host);

/*
 * The same, and from now on false: the caller tells them that it goes.  The
 * block is about to be freed, and is not found by its address any more: another
 * may be allocated there before xen_unmap_cache_block() comes.
 */
bool xen_map_cache_block_unannounce(uint8_t *host);

/*
 * For the accelerator: an incoming state is about to be loaded, or has been
 * loaded, well or not.  With the BQL, once for each CPU or more often; an end
 * without a beginning is nothing.
 */
void xen_map_cache_load_begins(CPUState *cpu);
void xen_map_cache_load_ends(CPUState *cpu);

/* How many of the frames of a range are there. */
typedef enum XenFrames {
    XEN_FRAMES_NONE,
    XEN_FRAMES_PART,
    XEN_FRAMES_ALL,
    XEN_FRAMES_UNKNOWN,     /* Xen did not say: a map call failed */
} XenFrames;

/*
 * Asks Xen which of the frames at guest address @gaddr, @size bytes, both
 * multiples of the page size, are there; @present gets a bit for each, or may
 * be NULL.  Asks once: a map call that fails is reported, and the answer is
 * XEN_FRAMES_UNKNOWN.
 */
XenFrames xen_map_cache_probe(hwaddr gaddr, hwaddr size,
                              unsigned long *present);

/* Whether the machine knows where the frames of device memory are. */
typedef enum XenBlockPlace {
    XEN_BLOCK_KNOWN,
    XEN_BLOCK_UNKNOWN,      /* not before more of an incoming state is loaded */
    XEN_BLOCK_LOST,         /* they are gone, and others are where they were */
} XenBlockPlace;

/*
 * What the machine (hw/i386/xen) knows of the device memory that was
 * allocated at @addr, @size bytes.  Called with no lock of the mapcache.
 */
typedef struct XenBlockOps {
    /* Asked before it is mapped.  Any thread. */
    XenBlockPlace (*place)(ram_addr_t addr, ram_addr_t size);
    /*
     * The guest address of the frame at @addr.  @len: in: bytes wanted, > 0;
     * out: how many of them are next to each other.  In an RCU read-side
     * section, any thread, also with the mapcache's lock.
     */
    hwaddr (*gaddr)(ram_addr_t addr, uint64_t *len);
    /*
     * It is about to get frames, in a guest that runs, and is not known yet:
     * makes way, and says whether nothing else is there.  With the BQL.
     */
    bool (*claim)(ram_addr_t addr, ram_addr_t size);
    /* It is about to be freed, and is mapped.  With the BQL. */
    void (*gone)(ram_addr_t addr, ram_addr_t size);
    /*
     * An incoming state has been loaded, well.  In the main loop, with the
     * BQL, in no coroutine; it may be that the guest runs by then.
     */
    void (*loaded)(void);
} XenBlockOps;

/*
 * Without @ops, which are kept, a block is where it was allocated, or, while
 * the machine waits for an incoming state, not known.
 */
void xen_map_cache_set_block_ops(const XenBlockOps *ops);

/*
 * A device with memory is plugged into a guest that runs: true if frames may
 * be put at [@addr, @addr + @size), that is, if the guest has nothing there.
 * With the BQL.
 */
bool xen_map_cache_claim_block(ram_addr_t addr, ram_addr_t size);

/* True if the device memory at @addr is a dummy that waits for its place. */
bool xen_map_cache_is_dummy(ram_addr_t addr);

/*
 * The ram_addr_t behind @ptr: exact for any address in any live mapping of
 * any kind, RAM_ADDR_INVALID for an address in none.  The caller holds the
 * mapping, by a lock on it or by the RCU section that it was got in.
 */
ram_addr_t xen_ram_addr_from_mapcache(void *ptr);

/*
 * Xen's request to drop all mappings (IOREQ_TYPE_INVALIDATE).  On return no
 * lookup yields a mapping made before the call, device memory excepted, and
 * each guest frame that no DMA and no concurrent reader holds is unmapped.
 * Outstanding DMA mappings are reported, rate-limited; block I/O is drained
 * first if there are transfers among them that have not lasted for long.
 * Called with the BQL, in the main loop, not in an RCU read-side section.
 */
void xen_invalidate_map_cache(void);

/*
 * Replaces the dummy mapping of the device memory at @old_phys_addr (a
 * ram_addr_t, the start of the block) by the guest frames at
 * @new_phys_addr, at the same host address, for @size bytes, which is the
 * whole block; all of them multiples of the page size.
 *
 * Returns the host address, or NULL with a message: no such dummy, frames
 * that are not there, or a map call that fails.  The dummy and its bytes
 * are then as they were.  Called with the BQL.
 */
uint8_t *xen_replace_cache_entry(hwaddr old_phys_addr,
                                 hwaddr new_phys_addr,
                                 hwaddr size);

/*
 * The same for the frames of the block at @addr where the machine says that
 * they are (XenBlockOps.gaddr), next to each other or not.
 */
uint8_t *xen_map_cache_adopt(ram_addr_t addr);

/* Fills @stats.  Walks nothing but the threads that have used the cache. */
void xen_map_cache_get_stats(XenMapCacheStats *stats);

#endif /* CONFIG_XEN_IS_POSSIBLE */

#endif /* XEN_MAPCACHE_H */
