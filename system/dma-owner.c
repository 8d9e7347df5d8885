/*
 * Whom DMA mappings are for
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "system/dma-owner.h"

__thread Object *dma_owner;
uint32_t dma_owners_changed;

void dma_owner_changes(void)
{
    qatomic_inc(&dma_owners_changed);
}
