/*
 * Where device memory sits in an HVM guest
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A device's RAM block has two addresses in the guest: its *home*, the guest
 * frames that were populated for it when it was allocated (guest physical
 * address = ram_addr_t), and its *place*, the BAR through which the guest
 * sees it.  Xen has one physical address for a frame, so the frames are
 * moved to the place while the BAR is mapped, and home when it is not.
 * This module moves them and knows where they are.
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
 * @section appears in the guest's memory map.  If it shows device RAM that
 * can be placed (the rule is in xen-physmap.c) the frames go there; what
 * fails is reported, and QEMU then serves the guest's accesses one by one.
 * During a restore a failure ends QEMU: a guest whose device memory is lost
 * must not run.
 */
void xen_physmap_add(MemoryRegionSection *section);

/* @section, as it was given to xen_physmap_add(), goes: frames go home. */
void xen_physmap_del(MemoryRegionSection *section);

/*
 * True if the whole pages of @section are at the guest address that it says,
 * that is, if the guest writes to them without QEMU's knowing.  With the BQL.
 */
bool xen_physmap_is_placed(const MemoryRegionSection *section);

/* True if some of them are, or other device memory is.  With the BQL. */
bool xen_physmap_has_frames_at(const MemoryRegionSection *section);

/*
 * The guest physical address where the page of @addr is now; @addr itself
 * for guest RAM and for device memory that is at home.  In an RCU read-side
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
