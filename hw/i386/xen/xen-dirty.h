/*
 * Which memory of an HVM guest was written
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Dirty pages are reported in two directions.  During a live migration QEMU
 * tells Xen what it writes to the guest's memory: any thread calls
 * xen_hvm_modified_memory(), declared in system/xen.h, after a write.  For its
 * displays QEMU asks Xen what the guest has written to video memory.  Xen
 * answers for one range only; xen-dirty.c chooses the range.
 *
 * All functions here are called with the BQL.
 */

#ifndef HW_I386_XEN_DIRTY_H
#define HW_I386_XEN_DIRTY_H

#include "exec/memory.h"

/* Turns the reports to Xen, for a live migration, on or off. */
void xen_dirty_log_writes(bool on);

/*
 * To be called when frames were relocated to guest addresses [@gaddr, @gaddr +
 * @size).  Reports them to Xen as modified, so that a live migration sends
 * them.  Does nothing if no migration is under way.
 */
void xen_dirty_frames_moved(hwaddr gaddr, uint64_t size);

/*
 * A display starts to follow the writes to @section; it stops, or @section
 * disappears, whether or not it is logged.
 */
void xen_dirty_vram_start(MemoryRegionSection *section);
void xen_dirty_vram_stop(MemoryRegionSection *section);

/*
 * Marks the pages of @section that the guest has written since the last call as
 * dirty; if Xen does not say which, all of them.  @section is logged for a
 * display.
 */
void xen_dirty_vram_sync(MemoryRegionSection *section);

#endif /* HW_I386_XEN_DIRTY_H */
