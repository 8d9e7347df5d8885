/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The IDE disk, by bus-master DMA. */

#include "guest.h"

#define PORTS 0x1f0
#define CONTROL 0x3f6

enum {
    REG_COUNT = 2,
    REG_LBA = 3,
    REG_DRIVE = 6,
    REG_STATUS = 7,
    REG_COMMAND = 7,

    STATUS_ERROR = 0x01,
    STATUS_FAULT = 0x20,
    STATUS_READY = 0x40,
    STATUS_BUSY = 0x80,

    READ_DMA_EXT = 0x25,
    WRITE_DMA_EXT = 0x35,

    BM_COMMAND = 0,
    BM_STATUS = 2,
    BM_TABLE = 4,
    BM_START = 0x01,
    BM_TO_MEMORY = 0x08,
    BM_ACTIVE = 0x01,
    BM_ERROR = 0x02,
    BM_IRQ = 0x04,

    PCI_CLASS_IDE = 0x0101,
    PCI_BAR4 = 0x20,

    WAIT_SECONDS = 20,
};

typedef struct Prd {
    uint32_t addr;
    uint16_t len;           /* 0: 64 KiB */
    uint16_t flags;         /* 0x8000: the last */
} Prd;

uint8_t ide_status, ide_bm_status;

static uint16_t bm;
static uint32_t irqs_at_start, ticks_at_start;

static bool is_ready(void)
{
    uint32_t from = cpu_ticks;

    while (in8(PORTS + REG_STATUS) & STATUS_BUSY) {
        if (cpu_ticks - from > WAIT_SECONDS * TICK_HZ) {
            return false;
        }
    }
    return true;
}

bool ide_init(void)
{
    int devfn = pci_find_class(PCI_CLASS_IDE);

    if (devfn < 0) {
        return false;
    }
    pci_command(devfn, PCI_IO | PCI_MASTER, 0);
    bm = pci_in(devfn, PCI_BAR4) & ~3u;
    out8(CONTROL, 0);
    out8(PORTS + REG_DRIVE, 0xe0);
    return is_ready() && (in8(PORTS + REG_STATUS) & STATUS_READY);
}

/* Returns how many sectors the table moves, 0 if it has not enough room. */
static uint32_t write_table(const Piece *pieces, unsigned n,
                            uint32_t piece_max)
{
    Prd *table = (Prd *)PRD_TABLE;
    uint32_t total = 0, used = 0;
    unsigned i;

    for (i = 0; i < n; i++) {
        uint32_t addr = pieces[i].addr, left = pieces[i].len;

        while (left) {
            uint32_t len = 0x10000 - (addr & 0xffff);

            if (len > left) {
                len = left;
            }
            if (piece_max && len > piece_max) {
                len = piece_max;
            }
            if (used == PRD_MAX) {
                return 0;
            }
            table[used++] = (Prd) { addr, len & 0xffff, 0 };
            addr += len;
            left -= len;
            total += len;
        }
    }
    if (!used) {
        return 0;
    }
    table[used - 1].flags = 0x8000;
    return total / SECTOR_SIZE;
}

int ide_start(bool write, uint32_t lba, const Piece *pieces, unsigned n,
              uint32_t piece_max)
{
    uint32_t sectors = write_table(pieces, n, piece_max);
    unsigned i;

    if (!sectors || sectors > 65536) {
        return IDE_TOO_MANY;
    }
    if (!is_ready()) {
        return IDE_SILENT;
    }
    irqs_at_start = cpu_disk_irqs;
    ticks_at_start = cpu_ticks;
    out8(bm + BM_COMMAND, write ? 0 : BM_TO_MEMORY);
    out8(bm + BM_STATUS, BM_ERROR | BM_IRQ);
    out32(bm + BM_TABLE, PRD_TABLE);
    out8(PORTS + REG_DRIVE, 0xe0);
    /* 48 bits: the upper byte of each register first */
    out8(PORTS + REG_COUNT, sectors >> 8);
    out8(PORTS + REG_LBA, lba >> 24);
    out8(PORTS + REG_LBA + 1, 0);
    out8(PORTS + REG_LBA + 2, 0);
    out8(PORTS + REG_COUNT, sectors & 0xff);
    for (i = 0; i < 3; i++) {
        out8(PORTS + REG_LBA + i, lba >> (8 * i));
    }
    out8(PORTS + REG_COMMAND, write ? WRITE_DMA_EXT : READ_DMA_EXT);
    out8(bm + BM_COMMAND, (write ? 0 : BM_TO_MEMORY) | BM_START);
    return IDE_OK;
}

bool ide_busy(void)
{
    return !(in8(bm + BM_STATUS) & (BM_IRQ | BM_ERROR));
}

int ide_wait(void)
{
    int rc = IDE_OK;

    while (ide_busy()) {
        if (cpu_ticks - ticks_at_start > WAIT_SECONDS * TICK_HZ) {
            rc = IDE_SILENT;
            break;
        }
        cpu_sleep_while(&cpu_disk_irqs, irqs_at_start);
    }
    ide_bm_status = in8(bm + BM_STATUS);
    out8(bm + BM_COMMAND, 0);
    ide_status = in8(PORTS + REG_STATUS);
    out8(bm + BM_STATUS, BM_ERROR | BM_IRQ);
    if (rc == IDE_OK && ((ide_status & (STATUS_ERROR | STATUS_FAULT)) ||
                         (ide_bm_status & (BM_ERROR | BM_ACTIVE)))) {
        rc = IDE_ERROR;
    }
    return rc;
}
