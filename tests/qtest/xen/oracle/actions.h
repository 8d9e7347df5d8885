/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The devices, each in its file act-NAME.c. */
#ifndef XEN_ORACLE_ACTIONS_H
#define XEN_ORACLE_ACTIONS_H

#include "oracle.h"

extern const OracleDevice oracle_xen;       /* no device: what Xen does */
extern const OracleDevice oracle_vga;
extern const OracleDevice oracle_ide;
extern const OracleDevice oracle_pci;       /* any device's registers, BARs */
extern const OracleDevice oracle_vblk;
extern const OracleDevice oracle_vscsi;
extern const OracleDevice oracle_ahci;
extern const OracleDevice oracle_nvme;
extern const OracleDevice oracle_net;       /* virtio-net and e1000 */
extern const OracleDevice oracle_balloon;
extern const OracleDevice oracle_rng;
extern const OracleDevice oracle_vgpu;
extern const OracleDevice oracle_cirrus;
extern const OracleDevice oracle_plug;      /* devices that come and go */

#define ORACLE_OTHERS   15
extern const OracleDevice oracle_others[ORACLE_OTHERS]; /* without driver */

extern const OracleDevice oracle_power;     /* reset and sleep */
extern const OracleDevice oracle_cpus;      /* several vCPUs at a time */

#endif
