/*
 * Xen mapcache: the foreign mappings through which QEMU touches a guest
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A device model does not own the guest's memory.  To access a page it asks
 * Xen for a foreign mapping of the guest frames (gfn), and the mapcache keeps
 * these mappings.  There are three kinds of mapping.  Each has calls of its
 * own, so that the end of a DMA mapping cannot unmap device memory:
 *
 *  - a transient pointer to guest RAM, from xen_map_cache().  It is valid to
 *    the end of the caller's RCU read-side section, whatever other threads do.
 *  - a DMA mapping, from xen_map_cache_dma() until
 *    xen_invalidate_map_cache_entry().  Its holder can read and write it until
 *    then, also across an invalidate.
 *  - device memory (video memory, option ROMs), from xen_map_cache_block()
 *    until xen_unmap_cache_block().  An invalidate never affects it.
 *
 * Addresses: every address argument is a ram_addr_t, QEMU's own numbering of
 * RAM blocks, unless it is called a guest address.  For guest RAM (the region
 * xen_memory) the ram_addr_t equals the guest physical address.  A device's
 * block lies above guest RAM; the machine (hw/i386/xen) relocates its frames.
 * Sizes are in bytes.
 *
 * Threads: unless a function says otherwise, any thread may call it, with or
 * without the BQL, in or out of a coroutine.  No function yields.  They use
 * thread-local variables, so they must not be inlined into a coroutine: the
 * compiler might keep the address of such a variable across a yield of the
 * coroutine, which may then go on in another thread.
 *
 * Failure: with guest RAM and grants, an absent page, a failed map call and a
 * bad grant reference never end QEMU.  The result is NULL (or a shorter length)
 * and a XenMapStatus.  hw/xen/xen-ram.c treats an absent page as unassigned
 * memory.  It copies what is unavailable, and if the copy fails too, the guest
 * sees an error.  For device memory, see xen_map_cache_block().
 */

#ifndef XEN_MAPCACHE_H
#define XEN_MAPCACHE_H

#include "exec/cpu-common.h"
#include "system/xen.h"

/* What a pointer to guest RAM is for. */
typedef enum XenMapUse {
    XEN_MAP_UNLOCKED,   /* until the end of the RCU read-side section */
    XEN_MAP_DMA,        /* one transfer */
    XEN_MAP_HELD,       /* rings, lists, pictures: as long as a guest likes */
} XenMapUse;

/* The answer for a page that was asked for. */
typedef enum XenMapStatus {
    XEN_MAP_OK,
    XEN_MAP_ABSENT,         /* the gfn has no frame */
    XEN_MAP_UNAVAILABLE,    /* it cannot be mapped, or Xen does not say */
} XenMapStatus;

/*
 * How many misses took less than 1 ns, from 1 to 2 ns, from 2 to 4 ns, and so
 * on.  Those that took longer than the last step are counted in the last.
 */
#define XEN_MAPCACHE_LATENCIES 40

/* Events since the start of QEMU; exact while no thread uses the cache. */
typedef struct XenMapCacheStats {
    uint64_t hits;             /* lookups and DMA mappings without a call */
    uint64_t misses;           /* all others; nearly all made a map call */
    uint64_t map_calls;        /* calls to Xen that map, of any kind */
    uint64_t map_pages;        /* pages that these calls named */
    uint64_t map_failures;     /* map calls that failed as a whole */
    uint64_t failed_accesses;  /* accesses that found a page unavailable */
    uint64_t holes;            /* misses that found the page absent */
    uint64_t no_room;          /* misses that found no free slot */
    uint64_t unmap_calls;      /* system calls that unmap */
    uint64_t invalidates;      /* requests to drop all mappings */
    uint64_t unmatched;        /* releases that matched nothing */
    uint64_t idle;             /* buckets unmapped because nobody used them */
    uint64_t buckets;          /* buckets that are in use now */
    uint64_t buckets_pending;  /* buckets that wait for a reader or a release */
    uint64_t buckets_max;      /* the cap on @buckets.  Beyond it are at most
                                * 256 spare slots: for pending buckets, and for
                                * more buckets while all were used lately */
    uint64_t blocks;           /* device memory that is mapped now */
    uint64_t dummies;          /* how many of @blocks are dummies */
    uint64_t block_bytes;      /* bytes of @blocks that are no dummies */
    uint64_t grants;           /* grant mappings that exist now */
    uint64_t exact_bytes;      /* bytes of guest RAM in mappings of exact pages
                                * that exist now */
    uint64_t dma;              /* outstanding transfers, and held mappings that
                                * lock buckets; no grants */
    uint64_t held;             /* outstanding held mappings of exact pages */
    uint64_t miss_latency[XEN_MAPCACHE_LATENCIES]; /* numbers of misses */
} XenMapCacheStats;

#ifdef CONFIG_XEN_IS_POSSIBLE

/*
 * Adds two properties to the class of the Xen accelerator.  Both can be set
 * until xen_map_cache_init().
 *
 * "mapcache-size": the most guest memory, in bytes, that is kept mapped in
 * buckets; at least 32 MiB.  Device memory, grants and mappings of exact pages
 * do not count.  The default is 32 GiB, less where limits of the process leave
 * less.  If the domain in which QEMU runs is not PV, each mapped page costs a
 * frame of that domain; the default is then an eighth of that domain's memory,
 * if that is less.
 *
 * "mapcache-idle": a bucket that nobody has used for this many seconds, or a
 * quarter longer, is unmapped; 0: never.  The default is 60.
 */
void xen_map_cache_add_property(ObjectClass *oc);

/*
 * Sets the cache up.  Called once, with the BQL, after xen_fmem and
 * xen_domid are known and before a RAM block is allocated.  Opens the grant
 * device and reserves the arena, because a restricted device model can do
 * neither later.  Ends QEMU with a message if no arena can be reserved, or if
 * the kernel's pages are larger than Xen's.
 */
void xen_map_cache_init(void);

/*
 * Registers the cache's statistics with query-stats, as provider
 * "xen-mapcache".  Called once, after xen_map_cache_init().
 */
void xen_map_cache_add_stats(void);

/* True once xen_map_cache_init() has run. */
bool xen_map_cache_ready(void);

/*
 * Returns a transient pointer to guest RAM at @addr.  Maps the bucket if it is
 * not mapped.
 *
 * @plen: if not NULL, in: bytes wanted, > 0; out: how many bytes from @addr on
 *        the pointer may be used for: at most what was wanted, cut at the
 *        first absent page and at the end of the bucket.
 *        If NULL, the pointer may be used to the end of @addr's page.
 *
 * @status: if not NULL, set to the reason when NULL is returned.
 *
 * Returns NULL, with *plen 0, if the page is absent or unavailable.  The
 * caller must be in an RCU read-side section, and the pointer is valid until
 * that section ends.  If the caller has the BQL, the pointer is valid only
 * until the caller releases the BQL: an invalidate has the BQL, and does not
 * wait for readers that had it.  A hit takes no lock and makes no system call.
 */
uint8_t *xen_map_cache(ram_addr_t addr, hwaddr *plen, XenMapStatus *status);

/*
 * Copies *@plen bytes, > 0, between @buf and guest RAM at @addr.  Uses the
 * bucket if it is mapped, else a mapping that is made for this copy only.
 * Sets *@plen to the number of bytes copied.  A copy ends at the first absent
 * page, and may end before; the caller calls again for the rest.  If nothing
 * was copied, the status says why, and neither *@plen nor @buf is changed.
 * @old: as of xen_map_cache_move().
 */
XenMapStatus xen_map_cache_copy(ram_addr_t addr, void *buf, void *old,
                                hwaddr *plen, bool is_write);

/*
 * Copies @len bytes between @buf and mapped memory at @host.  With @old, a
 * write: only bytes that differ from those at @old are written, and are then at
 * @old, too.  Each is read once, so that a device may still change @buf.
 */
void xen_map_cache_move(void *host, void *buf, void *old, hwaddr len,
                        bool is_write);

/* Counts an access that failed; an event tells the user.  Any thread. */
void xen_map_cache_access_failed(void);

/*
 * Makes a DMA mapping of @addr in @mr, which is the guest's RAM or its grants.
 *
 * @block_offset: where @mr's block starts.  Needed for grants: the grant
 *        reference is the page number within the block.
 * @plen: in: bytes wanted, > 0; out: bytes mapped, contiguous from @addr, cut
 *        at the first absent page.  At most 16 MiB are mapped.  There is no
 *        such limit for guest RAM in a restore, for a caller with the BQL.
 * @use:  XEN_MAP_DMA for a transfer: uses the mapped buckets, or maps its own
 *        pages alone if there is no room for its buckets side by side.
 *        XEN_MAP_HELD for a mapping that a device keeps: maps its own pages
 *        alone, so that it keeps no other page mapped across an invalidate.
 *        It is reported once, and an invalidate does not wait for it.  If its
 *        pages cannot be mapped alone, it holds their buckets instead.
 * @is_write: true if the device will write to the memory.  A grant is mapped
 *        read-only otherwise; foreign mappings are always writable.
 * @as:   the address space that the device uses, or NULL; not kept.  A report
 *        names its device, unless dma_owner names one.
 * @status: if not NULL, set to the reason when NULL is returned.  A bad grant
 *        reference counts as an absent page.
 *
 * Returns NULL, with *plen 0, if nothing was mapped.  The mapping must be
 * released by xen_invalidate_map_cache_entry() with the pointer that was
 * returned; no RCU section is needed.  The usual hit takes no lock and makes no
 * system call: a transfer of up to 64 KiB in one bucket that no other DMA
 * mapping uses.  Any other hit may take a lock for a short time.  What a hit
 * costs depends neither on how many mappings there are nor on their addresses,
 * which a guest chooses.
 */
uint8_t *xen_map_cache_dma(MemoryRegion *mr, ram_addr_t addr,
                           ram_addr_t block_offset, hwaddr *plen,
                           XenMapUse use, bool is_write, AddressSpace *as,
                           XenMapStatus *status);

/*
 * Ends the DMA mapping of @len bytes that was returned as @buffer, and
 * nothing else.  If several such mappings exist, one of them ends.  If none at
 * that address has that length, the shortest one there ends.  NULL and an
 * address in device memory do nothing.  An address that matches nothing does
 * nothing and is counted as unmatched.
 *
 * A bucket stays mapped after its last release and is used again, within
 * "mapcache-size" and "mapcache-idle", unless an invalidate has come meanwhile.
 * A grant or a mapping of exact pages is unmapped.
 *
 * With the right length, what the release of a bucket costs depends neither on
 * how many mappings there are nor on their addresses.
 */
void xen_invalidate_map_cache_entry(uint8_t *buffer, hwaddr len);

/*
 * Returns the mapping of a device's own memory: the block of @size bytes (a
 * multiple of the page size) at @addr.  The first call makes the mapping;
 * later calls return the same address.
 *
 * During a restore the frames may not be located yet: then the result is a
 * dummy.  xen_replace_cache_entry() or xen_map_cache_adopt() replaces it at the
 * same address once they are located.  (With XEN_COMPAT_PHYSMAP a dummy cannot
 * be replaced: if the frames are not located beforehand, the device keeps the
 * dummy.)  If frames of other memory are at the initial range, the contents are
 * lost: a warning says so, and the device keeps a dummy.
 *
 * Never returns NULL.  If device memory cannot be mapped, a message says so.
 * While the machine is being created or restored, QEMU then ends, because the
 * device cannot work without its memory.  A device that is plugged into a
 * running guest gets a dummy instead, and keeps it until it is unplugged; the
 * guest's accesses to that memory are emulated.  If a dummy cannot be made,
 * QEMU ends in any case.  RAM block notifiers are told of a real mapping, never
 * of a dummy.  They are told later: from a bottom half of the main loop, when
 * no state is being loaded.
 */
uint8_t *xen_map_cache_block(ram_addr_t addr, ram_addr_t size);

/*
 * Unmaps the device memory that xen_map_cache_block() returned as @host.
 * The caller makes sure that nobody uses the block any more (it is an RCU
 * callback).  NULL does nothing.  Any other address does nothing and is counted
 * as unmatched.
 */
void xen_unmap_cache_block(uint8_t *host);

/*
 * Returns true if RAM block notifiers have been told of the device memory at
 * @host.  False for a dummy, so that a notifier added later, which walks the
 * existing blocks, is not told of it either.  True for memory that is not the
 * mapcache's.
 */
bool xen_map_cache_block_is_announced(uint8_t *host);

/*
 * To be called, with the BQL, when the block of the device memory at @host is
 * about to be freed.  Returns what xen_map_cache_block_is_announced() returns.
 * If that is true, the caller tells the notifiers that the memory is removed.
 *
 * If the memory is the mapcache's, the machine is told (XenBlockOps.gone), and
 * xen_map_cache_block_is_announced() is false from now on.  The ram_addr_t is
 * forgotten: another block may be allocated there before
 * xen_unmap_cache_block() is called for this one.
 */
bool xen_map_cache_block_unannounce(uint8_t *host);

/*
 * The accelerator calls xen_map_cache_load_begins() before an incoming state is
 * loaded, and xen_map_cache_load_ends() afterwards, whether or not the load
 * succeeded: with the BQL, once for each CPU or more often.
 * xen_map_cache_load_ends() does nothing if no load has begun.
 *
 * In between, migration calls xen_map_cache_load_is_good() if all of the state
 * was loaded.  If it does not, the restore goes on, and another state may
 * follow.  If no other state can be loaded any more, the next
 * xen_map_cache_load_begins() ends QEMU (XenBlockOps.load_begins).
 */
void xen_map_cache_load_begins(CPUState *cpu);
void xen_map_cache_load_is_good(void);
void xen_map_cache_load_ends(CPUState *cpu);

/* How many of the frames of a range are present. */
typedef enum XenFrames {
    XEN_FRAMES_NONE,
    XEN_FRAMES_PART,
    XEN_FRAMES_ALL,
    XEN_FRAMES_UNKNOWN,     /* Xen did not say: a map call failed */
} XenFrames;

/*
 * Asks Xen which frames are present at guest address @gaddr, @size bytes; both
 * are multiples of the page size.  @present: NULL, or a bitmap of zeros in
 * which the bit of each present frame is set.  Makes no second try: if a map
 * call fails, that is reported, and the answer is XEN_FRAMES_UNKNOWN.
 */
XenFrames xen_map_cache_probe(hwaddr gaddr, hwaddr size,
                              unsigned long *present);

/* Whether the machine knows where the frames of device memory are. */
typedef enum XenBlockPlace {
    XEN_BLOCK_KNOWN,
    XEN_BLOCK_UNKNOWN,      /* not until more of an incoming state is loaded */
    XEN_BLOCK_LOST,         /* other memory's frames are at its initial range */
} XenBlockPlace;

/*
 * What the machine (hw/i386/xen) knows of the device memory of @size bytes that
 * was allocated at @addr.  Unless said otherwise, a function is called without
 * the mapcache's lock.
 */
typedef struct XenBlockOps {
    /* Called before the memory is mapped, by any thread. */
    XenBlockPlace (*place)(ram_addr_t addr, ram_addr_t size);
    /*
     * Returns the guest address of the frame at @addr.  @len: in: bytes
     * wanted, > 0; out: how many of them are contiguous in the guest.  Called
     * in an RCU read-side section by any thread, also with the mapcache's lock.
     */
    hwaddr (*gaddr)(ram_addr_t addr, uint64_t *len);
    /*
     * Called before Xen populates the memory of a device that is plugged into a
     * running guest.  Relocates frames of other devices that are in the range,
     * and gives frames of unplugged devices back to Xen.  True if nothing is in
     * the range then.  With the BQL.
     */
    bool (*claim)(ram_addr_t addr, ram_addr_t size);
    /*
     * Called when frames that Xen has put at [@gaddr, @gaddr + @size) for
     * device memory are not used, and some of them stay there, because Xen has
     * not taken them back.  With the BQL.
     */
    void (*left)(hwaddr gaddr, uint64_t size);
    /*
     * Called when memory that was mapped is freed, with the BQL.  Gives the
     * frames of that memory back to Xen.
     */
    void (*gone)(ram_addr_t addr, ram_addr_t size);
    /*
     * Called before an incoming state is loaded, with the BQL.  If another one
     * could not be loaded before, this may end QEMU.
     */
    void (*load_begins)(void);
    /*
     * Called when an incoming state has been loaded successfully: in the main
     * loop, with the BQL, in no coroutine.  The guest may already run.
     */
    void (*loaded)(void);
} XenBlockOps;

/*
 * Sets the operations; @ops must stay valid.  Without them device memory is
 * taken to be at its initial range, and in a restore to be not yet located.
 */
void xen_map_cache_set_block_ops(const XenBlockOps *ops);

/*
 * To be called, with the BQL, when a device with memory is plugged into a guest
 * that runs.  Returns true if Xen may populate [@addr, @addr + @size), that is,
 * if the guest has nothing there.
 */
bool xen_map_cache_claim_block(ram_addr_t addr, ram_addr_t size);

/*
 * Reports that Xen has not taken back frames of the memory @name, of which
 * @size bytes are at guest address @gaddr, and tells the machine
 * (XenBlockOps.left).  With the BQL.
 */
void xen_map_cache_block_left(const char *name, hwaddr gaddr, uint64_t size);

/*
 * True if the device memory at @addr is a dummy: its frames are not located
 * yet, or it keeps the dummy for good because they are lost or could not be
 * mapped.
 */
bool xen_map_cache_is_dummy(ram_addr_t addr);

/*
 * Returns the ram_addr_t of @ptr.  It is exact for any address in any mapping
 * of any kind, and RAM_ADDR_INVALID for an address in none.  The caller holds
 * the mapping, or is in the RCU section in which it got @ptr.
 */
ram_addr_t xen_ram_addr_from_mapcache(void *ptr);

/*
 * Xen's request to drop all mappings (IOREQ_TYPE_INVALIDATE).  On return no
 * lookup finds a mapping that was made before the call, except device memory.
 *
 * A bucket that no DMA holds and that only threads with the BQL have used since
 * it was mapped is unmapped on return.  A bucket that a thread without the BQL
 * has used is unmapped by the reaper after an RCU grace period.  A bucket that
 * DMA holds stays mapped as a whole until its last release.
 *
 * Outstanding DMA mappings are reported, at a limited rate; grants are not,
 * because they have no record.  If there are outstanding transfers that have
 * not lasted for long (some two seconds), block I/O is drained first.
 *
 * Called with the BQL, in the main loop, not in an RCU read-side section.
 */
void xen_invalidate_map_cache(void);

/*
 * Replaces the dummy of the device memory at @old_phys_addr (a ram_addr_t, the
 * start of the block) by the guest frames at guest address @new_phys_addr.  The
 * host address stays the same.  @size is that of the whole block.  All three
 * are multiples of the page size.
 *
 * Returns the host address.  Returns NULL, and reports why, if there is no such
 * dummy, if frames are absent, or if a map call fails; the dummy and its bytes
 * are then as before.  If a map call fails and another mapping has taken the
 * addresses of the dummy, QEMU ends with a message.  Called with the BQL.
 */
uint8_t *xen_replace_cache_entry(hwaddr old_phys_addr,
                                 hwaddr new_phys_addr,
                                 hwaddr size);

/*
 * The same, for the block at @addr, by the frames that XenBlockOps.gaddr()
 * names; these need not be contiguous in the guest.  If no block is mapped at
 * @addr, returns NULL without a report.
 */
uint8_t *xen_map_cache_adopt(ram_addr_t addr);

/*
 * Fills @stats.  The time that this takes grows with the number of threads that
 * have used the cache.
 */
void xen_map_cache_get_stats(XenMapCacheStats *stats);

#endif /* CONFIG_XEN_IS_POSSIBLE */

#endif /* XEN_MAPCACHE_H */
