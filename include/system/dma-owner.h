/*
 * The device for which a thread makes DMA mappings
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Xen's mapcache keeps records of DMA mappings, and reports the device of each.
 * Usually the address space identifies the device.  But a virtio device uses
 * the system's address space, unless there is an IOMMU.
 */

#ifndef SYSTEM_DMA_OWNER_H
#define SYSTEM_DMA_OWNER_H

#include "qom/object.h"

/*
 * The device for which this thread makes mappings at this moment; it takes
 * precedence over the address space.  NULL: the device of the address space.
 * Set it before the calls that map, and restore its value afterwards.
 */
extern __thread Object *dma_owner;

/*
 * To be called with the BQL when a device or an address space is created.  It
 * may have the address of one that was freed, so whatever is remembered by
 * address must be forgotten.  Each call steps dma_owners_changed, which is
 * atomic.
 */
void dma_owner_changes(void);
extern uint32_t dma_owners_changed;

#endif /* SYSTEM_DMA_OWNER_H */
