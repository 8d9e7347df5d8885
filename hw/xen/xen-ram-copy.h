/*
 * Guest RAM on Xen: the list of copies, as its files share it
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_XEN_RAM_COPY_H
#define HW_XEN_RAM_COPY_H

#include "qemu/interval-tree.h"
#include "xen-ram.h"

typedef struct RamCopy {
    IntervalTreeNode node;      /* the host addresses of @bytes */
    IntervalTreeNode target;    /* the ram_addr_t of the bytes */
    bool shared;                /* in the tree @targets; under the lock */
    unsigned users;             /* how many mappings; under the lock */
    RAMBlock *block;
    ram_addr_t addr;
    hwaddr len;
    /*
     * What the guest has, as far as is known: NULL if a device reads the copy.
     * Only bytes that are different in @bytes are written back.  The guest, or
     * a transfer that has the page mapped, may have changed the others since.
     */
    uint8_t *guest;
    uint8_t bytes[] QEMU_ALIGNED(16);
} RamCopy;

/*
 * Makes a copy of @len bytes of @block at @addr, not filled yet, with one user.
 * NULL if the budget is used up, or if there is no memory.
 */
RamCopy *xen_ram_copy_new(RAMBlock *block, ram_addr_t addr, hwaddr len,
                          bool is_write);

/* Ends one use of @c; frees it after the last one. */
void xen_ram_copy_release(RamCopy *c);

/* The copy that @host is in; its holder keeps it.  NULL if it is in none. */
RamCopy *xen_ram_copy_of(const void *host);

/*
 * To be called when @c was filled.  Returns the address that its transfer is to
 * use.  If the transfer writes, and another one has published a copy of the
 * first byte meanwhile, that is an address in that copy.  Otherwise it is the
 * start of @c, which later transfers that write find from now on if this one
 * writes.  Cuts *@len to the bytes for which the address is right.
 */
void *xen_ram_copy_publish(RamCopy *c, hwaddr *len);

#endif /* HW_XEN_RAM_COPY_H */
