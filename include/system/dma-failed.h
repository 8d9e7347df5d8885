/*
 * Accesses to the guest's memory that failed, and that nobody reported
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Some functions have no result for an access that failed.  One is
 * address_space_unmap(): a mapping may be a copy of memory that was unavailable,
 * which is written back when the mapping ends.  Others are those by which virtio
 * accesses its rings.  A device that can report an error asks here.
 */

#ifndef SYSTEM_DMA_FAILED_H
#define SYSTEM_DMA_FAILED_H

/* To be called if the guest's memory is present but could not be accessed. */
void dma_note_failed(void);

/*
 * True if that has happened in this thread since the last call.  To be called
 * before the access, too, since not every device asks.
 */
bool dma_take_failed(void);

#endif /* SYSTEM_DMA_FAILED_H */
