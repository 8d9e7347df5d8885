/*
 * Where device memory sits in an HVM guest
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The frames of device memory are at the initial range, where Xen populated
 * them (guest physical address = ram_addr_t), or have been relocated to where
 * a BAR shows them.  This module relocates them and knows where they are.
 *
 * The calls that change something are made with the BQL, by the memory
 * listener of the machine.  The look-ups may be made by any thread in an RCU
 * read-side section.
 *
 * Addresses: ram_addr_t for QEMU's numbering, hwaddr for guest physical
 * addresses, both in bytes.
 */

#ifndef HW_I386_XEN_PHYSMAP_H
#define HW_I386_XEN_PHYSMAP_H

#include "exec/memory.h"

struct xs_handle;

/*
 * To be called once by the HVM machine, after xen_map_cache_init() and
 * before a device has memory.  @xs is used, and kept, only where libxen makes
 * us keep the physmap in xenstore (XEN_COMPAT_PHYSMAP); NULL is accepted.
 * xen_physmap_add() and the look-ups work without it.
 */
void xen_physmap_init(struct xs_handle *xs);

/*
 * @section appears in the guest's memory map, or one that was added goes.
 * That is noted, if it shows device RAM that is relocated (the rule is in
 * xen-physmap.c).
 */
void xen_physmap_add(MemoryRegionSection *section);
void xen_physmap_del(MemoryRegionSection *section);

/*
 * The memory map has changed: brings device memory to where it is shown now.
 * What fails is reported, and QEMU then serves the guest's accesses one by
 * one.  During a restore memory is only looked for; it is brought there when
 * all is loaded.  Memory that is shown and not found ends QEMU then: a guest
 * must not run that has lost it.
 */
void xen_physmap_commit(void);

/*
 * True if the whole pages of @section are at the guest address that it says,
 * that is, if the guest writes to them without QEMU's knowing.  With the BQL.
 */
bool xen_physmap_is_placed(const MemoryRegionSection *section);

/* True if some of them are, or other device memory is.  With the BQL. */
bool xen_physmap_has_frames_at(const MemoryRegionSection *section);

/*
 * The guest physical address where the page of @addr is now; @addr itself
 * for guest RAM and for device memory at its initial range.  In an RCU read-side
 * section, any thread.
 */
hwaddr xen_physmap_ram_to_gaddr(ram_addr_t addr);

/*
 * The same for a range.  @len: in: bytes wanted, > 0; out: at most that,
 * how many bytes from @addr are next to each other in the guest.
 */
hwaddr xen_physmap_translate(ram_addr_t addr, uint64_t *len);

/*
 * Walks everything and asserts that it hangs together: for tests, and for
 * builds with XEN_PHYSMAP_CHECK after every change.  With the BQL.
 */
void xen_physmap_check(void);

#endif /* HW_I386_XEN_PHYSMAP_H */
