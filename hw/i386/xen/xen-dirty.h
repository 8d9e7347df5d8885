/*
 * What an HVM guest has written to video memory
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * For its displays QEMU asks Xen what the guest has written.  Xen answers for
 * one range only; xen-dirty.c chooses the range.  With the BQL.
 */

#ifndef HW_I386_XEN_DIRTY_H
#define HW_I386_XEN_DIRTY_H

#include "exec/memory.h"

/*
 * The first is called when a display begins to follow the writes to @section.
 * The second is called when the display stops following them, and when @section
 * disappears, even if no display follows it.
 */
void xen_dirty_vram_start(MemoryRegionSection *section);
void xen_dirty_vram_stop(MemoryRegionSection *section);

/*
 * Marks the pages of @section that the guest has written since the last call as
 * dirty; if Xen does not say which, all of them.  To be called only for a
 * section whose writes a display follows.
 */
void xen_dirty_vram_sync(MemoryRegionSection *section);

#endif /* HW_I386_XEN_DIRTY_H */
