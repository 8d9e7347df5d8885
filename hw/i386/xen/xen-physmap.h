/*
 * Where device memory is in an HVM guest
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Relocates the frames of device memory to the range at which a BAR shows them,
 * and keeps the record of where they are.  The essay is in xen-physmap.c.
 *
 * All functions are called with the BQL, unless said otherwise.
 *
 * Addresses: ram_addr_t for QEMU's numbering, hwaddr for guest physical
 * addresses, both in bytes.
 */

#ifndef HW_I386_XEN_PHYSMAP_H
#define HW_I386_XEN_PHYSMAP_H

#include "exec/memory.h"
#include "system/xen-mapcache.h"

struct xs_handle;

/*
 * Called once by the HVM machine, after xen_map_cache_init() and before a
 * device has memory.  @xs may be NULL.  It is used, and kept, only if the
 * physmap is in xenstore (XEN_COMPAT_PHYSMAP).  xen_physmap_add() and the
 * look-ups also work if this was not called.
 */
void xen_physmap_init(struct xs_handle *xs);

/* Turns xen_hvm_modified_memory() on or off, for a live migration. */
void xen_physmap_log_writes(bool on);

/*
 * To be called when @section appears in the guest's memory map, and when one
 * that was added disappears.  Records the section if it shows device RAM that
 * is to be relocated (the rule is in xen-physmap.c).
 */
void xen_physmap_add(MemoryRegionSection *section);
void xen_physmap_del(MemoryRegionSection *section);

/*
 * To be called when the memory map has changed.  Relocates device memory to
 * where it is shown now.  Nothing is overwritten by that: neither the guest's
 * own frames, nor other device memory, nor the firmware's range below 4 GiB.
 * (The one exception is the initial range of a ROM, see xen-physmap.c.)  If
 * memory cannot be relocated, it is reported, and QEMU emulates it.  During a
 * restore this only locates memory; it is relocated when everything is loaded.
 * If memory that is shown has not been found by then, QEMU ends.
 */
void xen_physmap_commit(void);

/*
 * Which frames of device memory are at the guest address of @section; the guest
 * writes to these without an ioreq.  XEN_FRAMES_PART: only some of @section's
 * whole pages are there, or frames of other memory.
 */
XenFrames xen_physmap_frames_at(const MemoryRegionSection *section);

/*
 * Returns the guest physical address at which the page of @addr is now.  For
 * guest RAM, and for device memory at its initial range, this is @addr.  @len:
 * in: bytes wanted, > 0; out: how many of them, from @addr on, are contiguous
 * in the guest.  With the BQL, or by any thread in an RCU read-side section.
 */
hwaddr xen_physmap_translate(ram_addr_t addr, uint64_t *len);

#endif /* HW_I386_XEN_PHYSMAP_H */
