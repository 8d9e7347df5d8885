/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The IDE disk of the PIIX3. */
#include "qemu/osdep.h"
#include "actions.h"

#define DISK_BYTES  (8u << 20)
#define SECTORS     (DISK_BYTES / GUEST_SECTOR_SIZE)
#define MAX_PIECES  512u

static int setup(OracleSide *side, const OracleDevice *device)
{
    return guest_ide_init(oracle_pc(side), oracle_state(side, device), 0, 0,
                          oracle_place(side, device)->mem);
}

static void saw_status(OracleSide *side, const GuestIde *ide, int rc)
{
    oracle_saw(side, "ide.dma returns", rc);
    oracle_saw(side, "ide status", ide->status);
    oracle_saw(side, "ide error", ide->error);
    oracle_saw(side, "ide bus master status", ide->bm_status);
}

/* A DMA transfer with a list of pieces anywhere. */
static void dma(OracleSide *side, const OracleDevice *device,
                OracleBytes *bytes)
{
    GuestIde *ide = oracle_state(side, device);
    g_autofree GuestSg *sg = g_new(GuestSg, MAX_PIECES);
    bool write = oracle_bits(bytes, 1);
    unsigned sectors = oracle_draw_count(bytes, 2048);
    uint64_t lba = oracle_range(bytes, 0, SECTORS - sectors);
    unsigned n = oracle_draw_sg(side, bytes, sg, MAX_PIECES, 2,
                                sectors * GUEST_SECTOR_SIZE, true);

    saw_status(side, ide, guest_ide_dma(ide, write, lba, sectors, sg, n));
}

/* Sectors by string instructions: the device model copies item by item. */
static void pio(OracleSide *side, const OracleDevice *device,
                OracleBytes *bytes)
{
    GuestIde *ide = oracle_state(side, device);
    unsigned sectors = oracle_range(bytes, 1, 8);
    uint64_t lba = oracle_range(bytes, 0, SECTORS - sectors);
    uint8_t data[8 * GUEST_SECTOR_SIZE];
    int rc;

    rc = guest_ide_pio(ide, false, lba, sectors, data);
    oracle_saw(side, "ide.pio returns", rc);
    if (!rc) {
        oracle_saw_bytes(side, "ide.pio data", 0, data,
                         sectors * GUEST_SECTOR_SIZE);
    }
}

static const OracleAction actions[] = {
    { .name = "dma", .weight = 20, .bytes = 48, .run = dma },
    { .name = "pio", .weight = 3, .bytes = 8, .run = pio },
};

const OracleDevice oracle_ide = {
    .name = "ide",
    .args = "-drive file=@DISK@,format=raw,if=ide,index=0,media=disk,"
            "cache=writeback,file.locking=off",
    .disk_bytes = DISK_BYTES,
    .mem_bytes = 0x10000,
    .state_bytes = sizeof(GuestIde),
    .setup = setup,
    .actions = actions,
    .n_actions = ARRAY_SIZE(actions),
};
