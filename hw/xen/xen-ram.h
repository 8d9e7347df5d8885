/*
 * Guest RAM on Xen: what stands in for a mapping that cannot be had
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_XEN_RAM_H
#define HW_XEN_RAM_H

#include "exec/memattrs.h"
#include "exec/ramblock.h"
#include "hw/xen/xen_native.h"

/* Bytes from @addr to the end of its page. */
static inline hwaddr xen_page_rest(hwaddr addr)
{
    return XC_PAGE_SIZE - (addr & (XC_PAGE_SIZE - 1));
}

/*
 * Copies @len bytes between @buf and @block at @addr, without a mapping that
 * stays, as RAMForeignOps.rw does: the results of all pages, or-ed.
 */
MemTxResult xen_ram_copy(RAMBlock *block, ram_addr_t addr, void *buf,
                         hwaddr len, bool is_write);

/* --- transfers by copy: a page is unavailable ---------------------------- */

/*
 * A copy of up to *@len bytes of @block at @addr, for one transfer.  Absent
 * pages are zeros in it.  It also says, of a transfer that writes, whether its
 * pages can be reached.  NULL if they cannot be, or if too much is copied.
 */
void *xen_ram_copy_map(RAMBlock *block, ram_addr_t addr, hwaddr *len,
                       bool is_write);

/*
 * A transfer is to write up to *@len bytes of @block at @addr.  If another one
 * writes the first of them by way of a copy, this one does too: returns where
 * it is in the copy, to be ended as the copy is.  Else NULL; *@len is cut to
 * the bytes before the next copy.
 */
void *xen_ram_copy_share(RAMBlock *block, ram_addr_t addr, hwaddr *len);

/*
 * Ends the copy at @host, after its first @written bytes have been copied
 * back.  False if there is none.
 */
bool xen_ram_copy_unmap(void *host, hwaddr written);

/* Is @host in a copy of @block, and what does it stand for? */
bool xen_ram_copy_find(RAMBlock *block, const void *host, ram_addr_t *offset);

/* --- transfers of absent pages -------------------------------------------- */

/*
 * What stands in for the absent page of @addr: zeros, or, for a transfer that
 * writes, a page that nobody reads.  It costs nothing, so that transfers may
 * have any number; of @held ones, which a guest could list without end, some
 * thousands at most.
 */
void *xen_ram_stand_in(ram_addr_t addr, hwaddr *len, bool held, bool is_write);

/* Ends one.  False if @host is none. */
bool xen_ram_stand_in_end(const void *host);

/* Is @host in one?  It is no address of the guest's: *@offset is 0. */
bool xen_ram_stand_in_find(const void *host, ram_addr_t *offset);

#endif /* HW_XEN_RAM_H */
