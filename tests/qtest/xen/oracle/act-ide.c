/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The IDE disk of the PIIX3: lists of pieces (PRDs), good ones and others. */
#include "qemu/osdep.h"
#include "act-pci.h"

#define DISK_BYTES  (8u << 20)
#define SECTORS     (DISK_BYTES / GUEST_SECTOR_SIZE)
#define MAX_PIECES  1000u
#define MAX_SECTORS 4096u
#define PRD_BYTES   8u

typedef struct ActIde {
    GuestIde ide;
    bool lost, failed;
    unsigned seen;              /* act_disturbances() then */
} ActIde;

static int setup(OracleSide *side, const OracleDevice *device)
{
    ActIde *i = oracle_state(side, device);

    return guest_ide_init(oracle_pc(side), &i->ide, 0, 0,
                          oracle_place(side, device)->mem);
}

static GuestIde *ready(OracleSide *side, const OracleDevice *device)
{
    ActIde *i = oracle_state(side, device);
    unsigned now = act_disturbances(side);

    if ((i->lost && !i->failed) || i->seen != now) {
        int rc = setup(side, device);

        oracle_saw(side, "ide: set up again", rc);
        i->lost = i->failed = rc;
        i->seen = now;
    }
    return i->lost ? NULL : &i->ide;
}

static void finish(OracleSide *side, const OracleDevice *device, int rc)
{
    ActIde *i = oracle_state(side, device);

    oracle_saw(side, "ide: returns", rc);
    oracle_saw(side, "ide: status", i->ide.status);
    oracle_saw(side, "ide: error", i->ide.error);
    oracle_saw(side, "ide: bus master's status", i->ide.bm_status);
    i->lost = rc;
}

/* Pieces of two bytes and more, or of sectors that are anywhere. */
static unsigned draw_list(OracleSide *side, OracleBytes *bytes, GuestSg *sg,
                          unsigned sectors)
{
    bool wild = oracle_bits(bytes, 1);

    return oracle_draw_sg(side, bytes, sg, MAX_PIECES,
                          wild ? GUEST_SECTOR_SIZE : 2,
                          sectors * GUEST_SECTOR_SIZE, wild);
}

/* A transfer by DMA, with a list of pieces anywhere. */
static void dma(OracleSide *side, const OracleDevice *device,
                OracleBytes *bytes)
{
    g_autofree GuestSg *sg = g_new(GuestSg, MAX_PIECES);
    GuestIde *ide = ready(side, device);
    bool write = oracle_bits(bytes, 1);
    unsigned sectors = oracle_draw_count(bytes, MAX_SECTORS);
    uint64_t lba = oracle_range(bytes, 0, SECTORS - sectors);
    unsigned n = draw_list(side, bytes, sg, sectors);

    if (ide) {
        finish(side, device, guest_ide_dma(ide, write, lba, sectors, sg, n));
    }
}

/* The list is longer or shorter than the transfer. */
static void other_length(OracleSide *side, const OracleDevice *device,
                         OracleBytes *bytes)
{
    GuestSg sg[32];
    GuestIde *ide = ready(side, device);
    bool write = oracle_bits(bytes, 1);
    unsigned sectors = oracle_range(bytes, 1, 256);
    unsigned listed = oracle_range(bytes, 1, 256);
    unsigned n = oracle_draw_sg(side, bytes, sg, ARRAY_SIZE(sg), 2,
                                listed * GUEST_SECTOR_SIZE, true);
    int rc;

    if (ide) {
        rc = guest_ide_prd(ide, sg, n);
        rc = rc ?: guest_ide_dma_start_raw(ide, write, 0, sectors);
        finish(side, device, rc ?: guest_ide_dma_wait(ide));
        ((ActIde *)oracle_state(side, device))->lost = true;
    }
}

/*
 * The list is one of its own pieces.  Read from the disk, it changes while
 * the controller goes through it; but not before it was read.
 */
static void itself(OracleSide *side, const OracleDevice *device,
                   OracleBytes *bytes)
{
    GuestIde *ide = ready(side, device);
    unsigned n = oracle_range(bytes, 1, 8), i;
    GuestSg sg[8];

    /* What the disk has may become an entry of the list. */
    oracle_bring_back(side, 0, oracle_ram_bytes(side));
    for (i = 0; ide && i < n; i++) {
        sg[i].gpa = oracle_bits(bytes, 1) ?
                    ide->prd_gpa + PRD_BYTES * oracle_bits(bytes, 5) :
                    oracle_draw_ram(side, bytes, 512, 2);
        sg[i].len = GUEST_SECTOR_SIZE;
    }
    if (ide) {
        finish(side, device, guest_ide_dma(ide, oracle_bits(bytes, 1),
                                           oracle_bits(bytes, 10), n, sg, n));
    }
}

/*
 * The guest stops the bus master in the middle of a transfer, or resets the
 * channel.  The transfer may have been done or not; it is made again.
 */
static void cancel(OracleSide *side, const OracleDevice *device,
                   OracleBytes *bytes)
{
    g_autofree GuestSg *sg = g_new(GuestSg, MAX_PIECES);
    GuestIde *ide = ready(side, device);
    bool write = oracle_bits(bytes, 1), stops = oracle_bits(bytes, 1);
    unsigned sectors = oracle_draw_count(bytes, MAX_SECTORS);
    unsigned n = draw_list(side, bytes, sg, sectors);
    int rc;

    if (!ide) {
        return;
    }
    rc = guest_ide_dma_start(ide, write, 0, sectors, sg, n);
    oracle_saw(side, "ide: started", rc);
    if (stops) {
        guest_ide_dma_stop(ide);
    }
    oracle_saw(side, "ide: reset", guest_ide_reset(ide));
    ((ActIde *)oracle_state(side, device))->lost = true;
    ide = ready(side, device);
    if (ide) {
        finish(side, device, guest_ide_dma(ide, write, 0, sectors, sg, n));
    }
}

/* ---- programmed I/O ---- */

static void pio(OracleSide *side, const OracleDevice *device,
                OracleBytes *bytes)
{
    GuestIde *ide = ready(side, device);
    bool write = oracle_bits(bytes, 1);
    unsigned sectors = oracle_range(bytes, 1, 4);
    uint64_t lba = oracle_range(bytes, 0, SECTORS - sectors);
    uint8_t data[4 * GUEST_SECTOR_SIZE];
    int rc;

    if (!ide) {
        return;
    }
    oracle_pattern(data, sizeof(data), oracle_bits(bytes, 16));
    rc = guest_ide_pio(ide, write, lba, sectors, data);
    finish(side, device, rc);
    if (!rc) {
        oracle_saw_bytes(side, "ide: data", 0, data,
                         sectors * GUEST_SECTOR_SIZE);
    }
}

static const OracleAction actions[] = {
    { .name = "dma", .weight = 20, .bytes = 128, .run = dma },
    { .name = "other-length", .weight = 2, .bytes = 64, .run = other_length },
    { .name = "itself", .weight = 2, .bytes = 32, .run = itself },
    { .name = "cancel", .weight = 2, .bytes = 96, .run = cancel },
    { .name = "pio", .weight = 2, .bytes = 8, .run = pio },
};

const OracleDevice oracle_ide = {
    .name = "ide",
    .args = "-drive file=@DISK@,format=raw,if=ide,index=0,media=disk,"
            "cache=writeback,file.locking=off",
    .disk_bytes = DISK_BYTES,
    .mem_bytes = 0x10000,
    .state_bytes = sizeof(ActIde),
    .setup = setup,
    .actions = actions,
    .n_actions = ARRAY_SIZE(actions),
};
