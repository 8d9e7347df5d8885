/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's driver for an IDE disk on the PIIX3; see drivers/pc.h. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pc-int.h"

/* Offsets from the channel's command ports. */
enum {
    REG_DATA = 0,
    REG_ERROR = 1,
    REG_FEATURES = 1,
    REG_COUNT = 2,
    REG_LBA0 = 3,
    REG_LBA1 = 4,
    REG_LBA2 = 5,
    REG_DRIVE = 6,
    REG_STATUS = 7,
    REG_COMMAND = 7,
};

enum {
    STATUS_ERR = 0x01,
    STATUS_DRQ = 0x08,
    STATUS_DF = 0x20,
    STATUS_READY = 0x40,
    STATUS_BUSY = 0x80,
};

/* Offsets from the bus master's ports, and their bits. */
enum {
    BM_COMMAND = 0,
    BM_STATUS = 2,
    BM_TABLE = 4,

    BM_START = 0x01,
    BM_TO_MEMORY = 0x08,
    BM_ACTIVE = 0x01,
    BM_ERROR = 0x02,
    BM_IRQ = 0x04,
};

enum {
    CMD_READ_PIO_EXT = 0x24,
    CMD_READ_DMA_EXT = 0x25,
    CMD_WRITE_PIO_EXT = 0x34,
    CMD_WRITE_DMA_EXT = 0x35,
    CMD_PACKET = 0xa0,
    CMD_IDENTIFY = 0xec,

    PACKET_BY_DMA = 1,
    SCSI_READ_10 = 0x28,
};

#define PRD_LAST 0x80000000u

static int reg_in(GuestIde *ide, unsigned reg, uint8_t *val)
{
    uint32_t v;
    int rc = guest_in(ide->pc, ide->cmd + reg, 1, &v);

    *val = v;
    return rc;
}

static int bm_in(GuestIde *ide, uint8_t *val)
{
    uint32_t v;
    int rc = guest_in(ide->pc, ide->bm + BM_STATUS, 1, &v);

    *val = v;
    return rc;
}

/* Wait until BUSY is clear and, if not 0, one of WANT or an error is set. */
static int wait_status(GuestIde *ide, uint8_t want)
{
    int64_t end = guest_pc_now_ms() + ide->pc->timeout_ms;
    unsigned round;
    int rc;

    for (round = 0;; round++) {
        rc = reg_in(ide, REG_STATUS, &ide->status);
        if (rc) {
            return rc;
        }
        if (!(ide->status & STATUS_BUSY)) {
            if (ide->status & (STATUS_ERR | STATUS_DF)) {
                reg_in(ide, REG_ERROR, &ide->error);
                return guest_pc_fail(ide->pc, EIO, "disk: status 0x%02x, "
                                     "error 0x%02x", ide->status, ide->error);
            }
            if (!want || (ide->status & want)) {
                return 0;
            }
        }
        if (guest_pc_now_ms() > end) {
            return guest_pc_fail(ide->pc, ETIMEDOUT, "disk: status 0x%02x "
                                 "for %u ms", ide->status,
                                 ide->pc->timeout_ms);
        }
        guest_pc_pause(ide->pc, round);
    }
}

static int select_drive(GuestIde *ide)
{
    return guest_out(ide->pc, ide->cmd + REG_DRIVE, 1,
                     0xe0 | ide->drive << 4);
}

/* Put LBA and count into the registers (48 bits: high halves first). */
static int set_address(GuestIde *ide, uint64_t lba, unsigned sectors)
{
    const struct {
        unsigned reg;
        uint8_t val;
    } steps[] = {
        { REG_COUNT, sectors >> 8 },
        { REG_LBA0, lba >> 24 },
        { REG_LBA1, lba >> 32 },
        { REG_LBA2, lba >> 40 },
        { REG_COUNT, sectors },
        { REG_LBA0, lba },
        { REG_LBA1, lba >> 8 },
        { REG_LBA2, lba >> 16 },
    };
    unsigned i;
    int rc = select_drive(ide);

    for (i = 0; !rc && i < sizeof(steps) / sizeof(steps[0]); i++) {
        rc = guest_out(ide->pc, ide->cmd + steps[i].reg, 1, steps[i].val);
    }
    return rc;
}

/* Words of the data port's transfer, 4 bytes at a time. */
static int data_in(GuestIde *ide, void *buf, unsigned bytes)
{
    uint8_t *p = buf;
    unsigned i;

    for (i = 0; i < bytes; i += 4) {
        uint32_t v;
        int rc = guest_in(ide->pc, ide->cmd + REG_DATA, 4, &v);

        if (rc) {
            return rc;
        }
        memcpy(p + i, &v, 4);
    }
    return 0;
}

static int data_out(GuestIde *ide, const void *buf, unsigned bytes)
{
    const uint8_t *p = buf;
    unsigned i;

    for (i = 0; i < bytes; i += 4) {
        uint32_t v;
        int rc;

        memcpy(&v, p + i, 4);
        rc = guest_out(ide->pc, ide->cmd + REG_DATA, 4, v);
        if (rc) {
            return rc;
        }
    }
    return 0;
}

int guest_ide_identify(GuestIde *ide, uint16_t words[256])
{
    int rc = select_drive(ide);

    if (!rc) {
        rc = guest_out(ide->pc, ide->cmd + REG_COMMAND, 1, CMD_IDENTIFY);
    }
    if (!rc) {
        rc = reg_in(ide, REG_STATUS, &ide->status);
    }
    if (rc) {
        return rc;
    }
    if (ide->status == 0 || ide->status == 0xff) {
        return guest_pc_fail(ide->pc, ENOENT, "no disk at port 0x%x, drive %u",
                             ide->cmd, ide->drive);
    }
    rc = wait_status(ide, STATUS_DRQ);
    return rc ? rc : data_in(ide, words, 512);
}

int guest_ide_reset(GuestIde *ide)
{
    int rc = guest_out(ide->pc, ide->ctl, 1, 0x04);

    if (!rc) {
        rc = guest_out(ide->pc, ide->ctl, 1, 0x00);
    }
    if (!rc) {
        rc = select_drive(ide);
    }
    /* An absent drive is never ready: only BUSY is waited for. */
    return rc ? rc : wait_status(ide, 0);
}

int guest_ide_init(GuestPc *pc, GuestIde *ide, unsigned channel,
                   unsigned drive, uint64_t prd_gpa)
{
    uint16_t words[256];
    int rc;

    memset(ide, 0, sizeof(*ide));
    ide->pc = pc;
    ide->drive = drive;
    ide->cmd = channel ? 0x170 : 0x1f0;
    ide->ctl = channel ? 0x376 : 0x3f6;
    ide->bm = GUEST_IDE_BM_PORT + (channel ? 8 : 0);
    ide->prd_gpa = prd_gpa;
    if (channel > 1 || drive > 1 || prd_gpa % 4 || prd_gpa >> 32) {
        return guest_pc_fail(pc, EINVAL, "IDE channel %u, drive %u, PRD "
                             "table at 0x%" PRIx64, channel, drive, prd_gpa);
    }
    rc = guest_pci_find(pc, 0x8086, 0x7010, 0, &ide->devfn);
    if (!rc) {
        rc = guest_pci_place_bar(pc, ide->devfn, 4, GUEST_IDE_BM_PORT);
    }
    if (!rc) {
        rc = guest_pci_command(pc, ide->devfn, GUEST_PCI_MASTER, 0);
    }
    if (!rc) {
        rc = guest_ide_reset(ide);
    }
    if (!rc) {
        rc = guest_ide_identify(ide, words);
        if (rc == -EIO) {
            rc = guest_pc_fail(pc, ENOENT, "channel %u, drive %u is not a "
                               "disk", channel, drive);
        }
    }
    return rc;
}

/* ---- DMA ---- */

int guest_ide_prd(GuestIde *ide, const GuestSg *sg, unsigned n)
{
    uint64_t place = ide->prd_gpa;
    uint64_t end = (place | 0xffff) + 1;
    uint32_t prd[2] = { 0, 0 };
    unsigned i;
    int rc = 0;

    for (i = 0; !rc && i < n; i++) {
        uint64_t gpa = sg[i].gpa;
        uint64_t left = sg[i].len;

        if (gpa % 2 || left % 2 || !left || (gpa + left) > (1ull << 32)) {
            return guest_pc_fail(ide->pc, EINVAL, "a PRD cannot name 0x%"
                                 PRIx64 " bytes at 0x%" PRIx64, left, gpa);
        }
        while (!rc && left) {
            uint32_t len = 0x10000 - gpa % 0x10000;

            len = len > left ? left : len;
            left -= len;
            if (place + 8 > end) {
                return guest_pc_fail(ide->pc, EINVAL, "the PRD table at 0x%"
                                     PRIx64 " has no room for %u pieces",
                                     ide->prd_gpa, n);
            }
            prd[0] = gpa;
            prd[1] = (len & 0xffff) |
                     (!left && i + 1 == n ? PRD_LAST : 0);
            rc = guest_mem_write(ide->pc, place, prd, sizeof(prd));
            place += sizeof(prd);
            gpa += len;
        }
    }
    return rc ? guest_pc_fail(ide->pc, -rc, "the PRD table at 0x%" PRIx64
                              " is not in guest memory", ide->prd_gpa) : 0;
}

/* The bus master knows its table, and is not started yet. */
static int bm_prepare(GuestIde *ide, uint32_t direction)
{
    GuestPc *pc = ide->pc;
    int rc = guest_out(pc, ide->bm + BM_COMMAND, 1, 0);

    if (!rc) {
        rc = guest_out(pc, ide->bm + BM_TABLE, 4, ide->prd_gpa);
    }
    if (!rc) {
        rc = guest_out(pc, ide->bm + BM_STATUS, 1, BM_IRQ | BM_ERROR);
    }
    return rc ? rc : guest_out(pc, ide->bm + BM_COMMAND, 1, direction);
}

int guest_ide_dma_start_raw(GuestIde *ide, bool write, uint64_t lba,
                            unsigned sectors)
{
    GuestPc *pc = ide->pc;
    uint32_t direction = write ? 0 : BM_TO_MEMORY;
    int rc;

    if (!sectors || sectors > 65536) {
        return guest_pc_fail(pc, EINVAL, "%u sectors: 1 to 65536 can be "
                             "asked for", sectors);
    }
    rc = bm_prepare(ide, direction);
    if (!rc) {
        rc = set_address(ide, lba, sectors);
    }
    if (!rc) {
        rc = guest_out(pc, ide->cmd + REG_COMMAND, 1,
                       write ? CMD_WRITE_DMA_EXT : CMD_READ_DMA_EXT);
    }
    if (!rc) {
        rc = guest_out(pc, ide->bm + BM_COMMAND, 1, direction | BM_START);
    }
    return rc;
}

int guest_ide_dma_start(GuestIde *ide, bool write, uint64_t lba,
                        unsigned sectors, const GuestSg *sg, unsigned n)
{
    uint64_t bytes = 0;
    unsigned i;
    int rc;

    for (i = 0; i < n; i++) {
        bytes += sg[i].len;
    }
    if (bytes != (uint64_t)sectors * GUEST_SECTOR_SIZE) {
        return guest_pc_fail(ide->pc, EINVAL, "%u sectors do not fill 0x%"
                             PRIx64 " bytes", sectors, bytes);
    }
    rc = guest_ide_prd(ide, sg, n);
    return rc ? rc : guest_ide_dma_start_raw(ide, write, lba, sectors);
}

/* Note the end of a transfer and leave the controller ready for the next. */
static int dma_finish(GuestIde *ide)
{
    GuestPc *pc = ide->pc;
    int rc = guest_out(pc, ide->bm + BM_COMMAND, 1, 0);

    if (!rc) {
        rc = reg_in(ide, REG_STATUS, &ide->status);
    }
    if (!rc) {
        rc = reg_in(ide, REG_ERROR, &ide->error);
    }
    if (!rc) {
        rc = guest_out(pc, ide->bm + BM_STATUS, 1, BM_IRQ | BM_ERROR);
    }
    if (rc) {
        return rc;
    }
    if ((ide->bm_status & BM_ERROR) ||
        (ide->status & (STATUS_ERR | STATUS_DF | STATUS_BUSY))) {
        return guest_pc_fail(pc, EIO, "disk DMA: bus master status 0x%02x, "
                             "disk status 0x%02x, error 0x%02x",
                             ide->bm_status, ide->status, ide->error);
    }
    return 0;
}

int guest_ide_dma_stop(GuestIde *ide)
{
    int rc = guest_out(ide->pc, ide->bm + BM_COMMAND, 1, 0);

    return rc ? rc : guest_out(ide->pc, ide->bm + BM_STATUS, 1,
                               BM_IRQ | BM_ERROR);
}

int guest_ide_dma_wait(GuestIde *ide)
{
    int64_t end = guest_pc_now_ms() + ide->pc->timeout_ms;
    unsigned round;
    int rc;

    for (round = 0;; round++) {
        rc = bm_in(ide, &ide->bm_status);
        if (rc) {
            return rc;
        }
        /* Inactive, or a table that is longer than the transfer. */
        if (!(ide->bm_status & BM_ACTIVE) || (ide->bm_status & BM_IRQ)) {
            return dma_finish(ide);
        }
        if (guest_pc_now_ms() > end) {
            return guest_pc_fail(ide->pc, ETIMEDOUT, "disk DMA: bus master "
                                 "status 0x%02x for %u ms", ide->bm_status,
                                 ide->pc->timeout_ms);
        }
        guest_pc_pause(ide->pc, round);
    }
}

int guest_ide_dma(GuestIde *ide, bool write, uint64_t lba, unsigned sectors,
                  const GuestSg *sg, unsigned n)
{
    int rc = guest_ide_dma_start(ide, write, lba, sectors, sg, n);

    return rc ? rc : guest_ide_dma_wait(ide);
}

int guest_ide_cd_read(GuestIde *ide, uint32_t lba, unsigned sectors,
                      const GuestSg *sg, unsigned n)
{
    const uint8_t command[12] = {
        SCSI_READ_10, 0, lba >> 24, lba >> 16, lba >> 8, lba, 0,
        sectors >> 8, sectors,
    };
    int rc = guest_ide_prd(ide, sg, n);

    if (!rc) {
        rc = bm_prepare(ide, BM_TO_MEMORY);
    }
    if (!rc) {
        rc = select_drive(ide);
    }
    if (!rc) {
        rc = guest_out(ide->pc, ide->cmd + REG_FEATURES, 1, PACKET_BY_DMA);
    }
    if (!rc) {
        rc = guest_out(ide->pc, ide->cmd + REG_COMMAND, 1, CMD_PACKET);
    }
    if (!rc) {
        rc = wait_status(ide, STATUS_DRQ);
    }
    if (!rc) {
        rc = data_out(ide, command, sizeof(command));
    }
    if (!rc) {
        rc = guest_out(ide->pc, ide->bm + BM_COMMAND, 1,
                       BM_TO_MEMORY | BM_START);
    }
    return rc ? rc : guest_ide_dma_wait(ide);
}

/* ---- programmed I/O ---- */

static int pio_start(GuestIde *ide, bool write, uint64_t lba,
                     unsigned sectors)
{
    int rc;

    if (!sectors || sectors > 256) {
        return guest_pc_fail(ide->pc, EINVAL, "%u sectors: 1 to 256 can be "
                             "asked for", sectors);
    }
    rc = set_address(ide, lba, sectors);
    return rc ? rc : guest_out(ide->pc, ide->cmd + REG_COMMAND, 1,
                               write ? CMD_WRITE_PIO_EXT : CMD_READ_PIO_EXT);
}

/* After the last sector, the disk is ready, and waits for no more data. */
static int pio_end(GuestIde *ide)
{
    int rc = wait_status(ide, STATUS_READY);

    if (!rc && (ide->status & STATUS_DRQ)) {
        rc = guest_pc_fail(ide->pc, EIO, "disk: status 0x%02x after the last "
                           "sector", ide->status);
    }
    return rc;
}

int guest_ide_pio(GuestIde *ide, bool write, uint64_t lba, unsigned sectors,
                  void *buf)
{
    uint8_t *p = buf;
    unsigned i;
    int rc = pio_start(ide, write, lba, sectors);

    for (i = 0; !rc && i < sectors; i++, p += GUEST_SECTOR_SIZE) {
        rc = wait_status(ide, STATUS_DRQ);
        if (!rc) {
            rc = write ? data_out(ide, p, GUEST_SECTOR_SIZE)
                       : data_in(ide, p, GUEST_SECTOR_SIZE);
        }
    }
    return rc ? rc : pio_end(ide);
}

/* One sector by "rep ins"/"rep outs", cut at pages as Xen does. */
static int string_sector(GuestIde *ide, bool write, uint64_t gpa)
{
    uint64_t end = gpa + GUEST_SECTOR_SIZE;

    while (gpa < end) {
        uint64_t bytes = XENSIM_PAGE_SIZE - gpa % XENSIM_PAGE_SIZE;
        XensimIoreq req = {
            .type = XENSIM_IOREQ_PIO, .addr = ide->cmd + REG_DATA,
            .data = gpa, .size = 4, .read = !write, .data_is_ptr = true,
        };
        int rc;

        bytes = bytes > end - gpa ? end - gpa : bytes;
        req.count = bytes / 4;
        rc = guest_pc_ioreq(ide->pc, &req);
        if (rc) {
            return rc;
        }
        gpa += bytes;
    }
    return 0;
}

int guest_ide_pio_string(GuestIde *ide, bool write, uint64_t lba,
                         unsigned sectors, uint64_t gpa)
{
    unsigned i;
    int rc;

    if (gpa % 4) {
        return guest_pc_fail(ide->pc, EINVAL, "0x%" PRIx64 " is not a "
                             "multiple of 4", gpa);
    }
    rc = pio_start(ide, write, lba, sectors);
    for (i = 0; !rc && i < sectors; i++, gpa += GUEST_SECTOR_SIZE) {
        rc = wait_status(ide, STATUS_DRQ);
        if (!rc) {
            rc = string_sector(ide, write, gpa);
        }
    }
    return rc ? rc : pio_end(ide);
}
