/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For drivers: accesses to their devices' registers that others have made. */
#ifndef XEN_ORACLE_ACT_PCI_H
#define XEN_ORACLE_ACT_PCI_H

#include "actions.h"

/*
 * How often the guest reached registers, BARs or PCI configuration without its
 * drivers.  If the number has changed since a driver last asked, the
 * driver sets its device up again.  If that fails, the driver tries again only
 * when the number has changed again: a device whose BAR is behind another
 * device's takes seconds each time.
 */
unsigned act_disturbances(OracleSide *side);

/*
 * The value for oracle_saw() of a register of @len bytes that reads as @val.
 * Where a BAR has no register, a read gives zeros in QEMU and all ones in Xen,
 * so all ones become zeros.
 */
uint64_t act_register(uint64_t val, unsigned len);

/*
 * Adds 1 to act_disturbances().  To be called by each action that reaches
 * registers, BARs or PCI configuration without the drivers.
 */
void act_disturb(OracleSide *side);

/*
 * False if the AHCI controller may not use DMA.  It maps its lists again in a
 * restore, and QEMU then gives it a bounce buffer of zeros, on any machine.
 * The zeros are written to the guest's memory when the port is stopped.
 */
bool act_can_be_saved(OracleSide *side);

/*
 * If the Cirrus card is copying data that the CPU writes to it (a blit), ends
 * that: QEMU saves nothing of it, so a restore would lose it on any machine.
 */
void act_cirrus_end_copy(OracleSide *side);

#endif
