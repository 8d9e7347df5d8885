/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The devices of the oracle.  A new one goes to the end: its place in this
 * list decides the PCI slot and the addresses of those after it, and what a
 * seed means.
 */
#include "qemu/osdep.h"
#include "actions.h"

const OracleDevice *const oracle_devices[] = {
    &oracle_xen,
    &oracle_vga,
    &oracle_ide,
    &oracle_pci,
    &oracle_vblk,
    &oracle_vscsi,
    &oracle_ahci,
    &oracle_nvme,
    &oracle_net,
    &oracle_balloon,
    &oracle_rng,
    &oracle_vgpu,
    &oracle_cirrus,
    &oracle_plug,
    &oracle_others[0],
    &oracle_others[1],
    &oracle_others[2],
    &oracle_others[3],
    &oracle_others[4],
    &oracle_others[5],
    &oracle_others[6],
    &oracle_others[7],
    &oracle_others[8],
    &oracle_others[9],
    &oracle_others[10],
    &oracle_others[11],
    &oracle_others[12],
    &oracle_others[13],
    &oracle_others[14],
    &oracle_power,
    &oracle_cpus,
    NULL
};
