/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio-scsi with a disk. */
#include "qemu/osdep.h"
#include "act-vdisk.h"

/* After a reset the disk answers its first request with a unit attention. */
static int attend(GuestVscsi *scsi, uint64_t gpa)
{
    const GuestSg sg = { gpa, GUEST_SECTOR_SIZE };
    int rc = guest_vscsi_rw(scsi, 0, false, 0, &sg, 1);

    return rc && rc != -EIO ? rc : guest_virtq_settle(&scsi->queue);
}

static int init(ActVdisk *disk, OracleSide *side, const OraclePlace *place)
{
    int rc = guest_vscsi_init_modern(oracle_pc(side), &disk->scsi, 0,
                                     place->mmio, place->mem);

    disk->queue = &disk->scsi.queue;
    disk->headers = disk->scsi.headers;
    return rc ?: attend(&disk->scsi, disk->tables);
}

static int start(ActVdisk *disk, bool write, uint64_t lba, const GuestSg *sg,
                 unsigned n, uint64_t table, uint16_t *tag)
{
    return guest_vscsi_start_indirect(&disk->scsi, 0, write, lba, sg, n,
                                      table, tag);
}

static int status(ActVdisk *disk, uint16_t tag, uint32_t *status)
{
    return guest_vscsi_status(&disk->scsi, tag, status);
}

static const ActVdiskOps ops = {
    .init = init,
    .start = start,
    .status = status,
    .header_max = 4 * ORACLE_PAGE,
};

static int setup(OracleSide *side, const OracleDevice *device)
{
    return act_vdisk_setup(side, device, &ops, GUEST_VSCSI_BYTES);
}

const OracleDevice oracle_vscsi = {
    .name = "virtio-scsi",
    .args = "-drive file=@DISK@,format=raw,if=none,id=vscsi,cache=writeback,"
            "file.locking=off "
            "-device virtio-scsi-pci,id=vscsi0,addr=@SLOT@@IOTHREAD@ "
            "-device scsi-hd,drive=vscsi,bus=vscsi0.0",
    .disk_bytes = ACT_VDISK_BYTES,
    .mem_bytes = GUEST_VSCSI_BYTES + ACT_VDISK_TABLES,
    .mmio_bytes = 0x4000,
    .state_bytes = sizeof(ActVdisk),
    .setup = setup,
    .actions = act_vdisk_actions,
    .n_actions = ACT_VDISK_N_ACTIONS,
};
