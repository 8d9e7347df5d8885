/*
 * Which memory of an HVM guest was written
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Two directions.  During a live migration Xen is told of what QEMU writes
 * to the guest's memory: xen_hvm_modified_memory(), declared in
 * system/xen.h, called by any thread after a write.  For its displays QEMU
 * asks Xen what the guest has written to video memory; Xen answers for one
 * range only, and which that is is decided in xen-dirty.c.
 *
 * All functions here are called with the BQL.
 */

#ifndef HW_I386_XEN_DIRTY_H
#define HW_I386_XEN_DIRTY_H

#include "exec/memory.h"

/* Turns the reports to Xen on for a live migration, and off. */
void xen_dirty_log_writes(bool on);

/*
 * The frames now at guest addresses [@gaddr, @gaddr + @size) were not there
 * before: a live migration has to send them.  Nothing if there is none.
 */
void xen_dirty_frames_moved(hwaddr gaddr, uint64_t size);

/* A display starts, or stops, to follow the writes to @section. */
void xen_dirty_vram_start(MemoryRegionSection *section);
void xen_dirty_vram_stop(MemoryRegionSection *section);

/* @section is no longer where it was, logged or not. */
void xen_dirty_vram_gone(MemoryRegionSection *section);

/*
 * Marks what the guest has written to @section since the last call, or all
 * of it where Xen cannot say.  @section is logged for a display.
 */
void xen_dirty_vram_sync(MemoryRegionSection *section);

#endif /* HW_I386_XEN_DIRTY_H */
