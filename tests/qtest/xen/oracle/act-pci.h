/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the drivers of devices must know of raw accesses to their registers. */
#ifndef XEN_ORACLE_ACT_PCI_H
#define XEN_ORACLE_ACT_PCI_H

#include "actions.h"

/*
 * How often the guest reached registers, BARs or PCI configuration behind its
 * drivers' backs.  A driver that finds another number than it did last sets
 * its device up again.  If that fails, it waits for another number before it
 * tries again: a device behind another one's BAR takes seconds each time.
 */
unsigned act_disturbances(OracleSide *side);

/*
 * What was read of a register of @len bytes, for oracle_saw(): where a BAR has
 * none, QEMU reads as zeros, and Xen answers all ones itself.
 */
uint64_t act_register(uint64_t val, unsigned len);

/* Another action did so. */
void act_disturb(OracleSide *side);

#endif
