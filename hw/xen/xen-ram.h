/*
 * Guest RAM on Xen: copies and substitute pages where nothing can be mapped
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_XEN_RAM_H
#define HW_XEN_RAM_H

#include "exec/memattrs.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "hw/xen/xen_native.h"

/*
 * Below, an address @addr with a block is an offset in that block.  All of
 * these functions may be called by any thread, unless said otherwise.
 */

/* Bytes from @addr to the end of its page. */
static inline hwaddr xen_page_rest(hwaddr addr)
{
    return XC_PAGE_SIZE - (addr & (XC_PAGE_SIZE - 1));
}

/*
 * Copies @len bytes between @buf and @block at @addr, as RAMForeignOps.rw does,
 * and keeps no mapping.  Returns the results of all pages, or-ed.
 */
MemTxResult xen_ram_copy(RAMBlock *block, ram_addr_t addr, void *buf,
                         hwaddr len, bool is_write);

/*
 * Writes those of the @len bytes at @buf that differ from the bytes at @old,
 * and sets the bytes at @old to them.  Unlike xen_ram_copy(), does not write
 * them to the copies of these bytes.  Returns what xen_ram_copy() returns.
 */
MemTxResult xen_ram_copy_changes(RAMBlock *block, ram_addr_t addr, void *buf,
                                 void *old, hwaddr len);

/*
 * RAMForeignOps.rw of guest RAM and grants.  Called within an RCU read-side
 * section.
 */
MemTxResult xen_ram_rw(RAMBlock *block, ram_addr_t addr, void *buf,
                       hwaddr *len, bool is_write);

/* Loads and stores of guest RAM and grants; the opaque is the block. */
extern const MemoryRegionOps xen_ram_mem_ops;

/*
 * Waits a moment before a failed call is tried again.  *@tries is 0 at first.
 * False if it was tried 6 times; then nothing is tried again for 100 ms.
 */
bool xen_ram_wait_to_retry(unsigned *tries);

/* --- transfers by copy, for unavailable pages ----------------------------- */

/*
 * Makes a copy of up to *@len bytes of @block at @addr, at most 1 MiB, for one
 * transfer.  Sets *@len to the bytes in the copy, in which absent pages are
 * zeros.  The memory is also read for a transfer that writes, to find out
 * whether it can be accessed.  If @is_write, and another transfer has begun to
 * write the first of these bytes through a copy, returns the address in that
 * copy.  The result must be ended by xen_ram_copy_unmap().  Returns NULL if the
 * memory cannot be accessed, if the budget for copies is used up, or if there
 * is no memory.
 */
void *xen_ram_copy_map(RAMBlock *block, ram_addr_t addr, hwaddr *len,
                       bool is_write);

/*
 * To be called for a transfer that will write up to *@len bytes of @block at
 * @addr.  If another transfer writes the first of these bytes through a copy,
 * this transfer shares the copy: returns the address in the copy, which must be
 * ended by xen_ram_copy_unmap(), and cuts *@len to the end of the copy.
 * Otherwise returns NULL, and cuts *@len to the bytes before the next copy.
 */
void *xen_ram_copy_share(RAMBlock *block, ram_addr_t addr, hwaddr *len);

/*
 * To be called when @len bytes of @block at @addr were written from @buf, not
 * through a copy.  Writes them to the copies of these bytes too, so that the
 * end of such a transfer does not undo what was written after it.
 */
void xen_ram_copy_wrote(RAMBlock *block, ram_addr_t addr, const void *buf,
                        hwaddr len);

/* The bytes of all copies; 0 if there is none.  Atomic. */
extern size_t xen_ram_copies_size;

/*
 * Writes back to the guest what was changed in the first @written bytes at
 * @host, and ends this use of the copy that @host points into.  Other bytes are
 * left alone: the guest, or a transfer that has mapped them, may have changed
 * them meanwhile.  If the memory can no longer be accessed, the bytes are lost:
 * dma_note_failed() is called, and an error message says so.  False if @host is
 * in no copy.
 */
bool xen_ram_copy_unmap(void *host, hwaddr written);

/* True if @host is in a copy of @block; *@offset is the offset in @block. */
bool xen_ram_copy_find(RAMBlock *block, const void *host, ram_addr_t *offset);

/* --- substitute pages, for absent pages ----------------------------------- */

/*
 * Returns the substitute for the absent page of @addr: zeros, or, for a
 * transfer that writes, a page that is never read.  Cuts *@len to the end of
 * the page.  Returns NULL, and leaves *@len, if there are too many: 2048 of
 * transfers, or 16 of @held mappings.  One that has ended counts until the main
 * loop's next iteration.  So this is also a limit on how many absent pages a
 * guest can have mapped by one kick; QEMU asks Xen for each of them.  While a
 * state is loaded there is no limit, because devices map again what they had.
 */
void *xen_ram_stand_in(ram_addr_t addr, hwaddr *len, bool held, bool is_write);

/* Ends one use of a substitute page.  False if @host is in none. */
bool xen_ram_stand_in_end(const void *host);

/*
 * True if @host is in a substitute page.  Such a page has no guest address:
 * *@offset is 0.
 */
bool xen_ram_stand_in_find(const void *host, ram_addr_t *offset);

/* --- blocks of QEMU's own ------------------------------------------------- */

/* True if @mr is the memory of a memory backend. */
bool xen_ram_is_backend(MemoryRegion *mr);

/*
 * To be called for a block that is about to be added, with the ramlist lock.
 * Sets its offset, and allocates its memory if it has no host address yet.
 * Sets @errp if that fails.
 */
void xen_ram_own_init(RAMBlock *block, Error **errp);

/*
 * A block that has any of the @size bytes at @addr, or NULL.  With the ramlist
 * lock.
 */
RAMBlock *xen_ram_block_in(ram_addr_t addr, ram_addr_t size);

#endif /* HW_XEN_RAM_H */
