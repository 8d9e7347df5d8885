/*
 * Whom DMA mappings are for
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who keeps records of DMA mappings (Xen's mapcache) wants to say for which
 * device they are.  Mostly the address space tells; but virtio's is the
 * system's, unless there is an IOMMU.
 */

#ifndef SYSTEM_DMA_OWNER_H
#define SYSTEM_DMA_OWNER_H

#include "qom/object.h"

/*
 * The device that this thread makes mappings for at this moment, whatever
 * address space they come through; NULL: the address space's.  Set around the
 * calls that map, and put back to what it was.
 */
extern __thread Object *dma_owner;

/*
 * Another device, or address space, is about to be where one was in memory:
 * what is known by its address is to be forgotten.  Counted in
 * dma_owners_changed, atomic.  Called when one is made, with the BQL.
 */
void dma_owner_changes(void);
extern uint32_t dma_owners_changed;

#endif /* SYSTEM_DMA_OWNER_H */
