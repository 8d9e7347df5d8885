/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio-blk: what it has beside the actions of all virtio disks. */
#include "qemu/osdep.h"
#include "act-vdisk.h"

static int init(ActVdisk *disk, OracleSide *side, const OraclePlace *place)
{
    int rc = guest_vblk_init_modern(oracle_pc(side), &disk->blk, 0,
                                    place->mmio, place->mem);

    disk->queue = &disk->blk.queue;
    disk->headers = disk->blk.headers;
    return rc;
}

static int start(ActVdisk *disk, bool write, uint64_t lba, const GuestSg *sg,
                 unsigned n, uint64_t table, uint16_t *tag)
{
    return guest_vblk_start_indirect(&disk->blk, write, lba, sg, n, table,
                                     tag);
}

static int status(ActVdisk *disk, uint16_t tag, uint32_t *status)
{
    uint8_t byte = 0;
    int rc = guest_vblk_status(&disk->blk, tag, &byte);

    *status = byte;
    return rc;
}

static const ActVdiskOps ops = {
    .init = init,
    .start = start,
    .status = status,
    .can_bounce = true,
};

static int setup(OracleSide *side, const OracleDevice *device)
{
    return act_vdisk_setup(side, device, &ops, GUEST_VBLK_BYTES);
}

const OracleDevice oracle_vblk = {
    .name = "virtio-blk",
    .args = "-drive file=@DISK@,format=raw,if=none,id=vblk,cache=writeback,"
            "file.locking=off "
            "-device virtio-blk-pci,drive=vblk,addr=@SLOT@@IOTHREAD@",
    .disk_bytes = ACT_VDISK_BYTES,
    .mem_bytes = GUEST_VBLK_BYTES + ACT_VDISK_TABLES,
    .mmio_bytes = 0x4000,
    .state_bytes = sizeof(ActVdisk),
    .setup = setup,
    .actions = act_vdisk_actions,
    .n_actions = ACT_VDISK_N_ACTIONS,
};
