/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's driver for an AHCI disk; see drivers/ahci.h. */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "ahci.h"
#include "pc-int.h"

/* Of the controller, and of a port from its own registers on. */
enum {
    REG_CONTROL = 0x04,
    REG_PORTS = 0x100,
    PORT_STRIDE = 0x80,

    PORT_LIST = 0x00,
    PORT_FIS = 0x08,
    PORT_IRQ = 0x10,
    PORT_COMMAND = 0x18,
    PORT_TASK = 0x20,
    PORT_LINK = 0x28,
    PORT_LINK_CONTROL = 0x2c,
    PORT_ERROR = 0x30,
    PORT_ISSUE = 0x38,
};

#define CONTROL_AHCI   0x80000000u
#define COMMAND_START  0x01u
#define COMMAND_FIS    0x10u
#define COMMAND_ACTIVE 0xc000u
#define IRQ_TASK_ERROR 0x40000000u
#define TASK_BAD       0x21u

/* In the driver's memory. */
enum {
    AT_LIST = 0,
    AT_FIS = 0x400,
    AT_ANSWER = AT_FIS + 0x40,  /* the disk's answer to a command */
    AT_TABLE = 0x1000,
    TABLE_PIECES = 0x80,
    MAX_PIECES = (GUEST_AHCI_BYTES - AT_TABLE - TABLE_PIECES) / 16,
};

enum {
    FIS_TO_DEVICE = 0x27,
    FIS_ANSWER = 0x34,
    CMD_READ_DMA_EXT = 0x25,
    CMD_WRITE_DMA_EXT = 0x35,
};

static int port_in(GuestAhci *ahci, unsigned reg, uint32_t *val)
{
    uint64_t wide = 0;
    int rc = guest_mmio_in(ahci->pc, ahci->port + reg, 4, &wide);

    *val = wide;
    return rc;
}

static int port_out(GuestAhci *ahci, unsigned reg, uint32_t val)
{
    return guest_mmio_out(ahci->pc, ahci->port + reg, 4, val);
}

static int is_stopped(void *opaque)
{
    uint32_t val;
    int rc = port_in(opaque, PORT_COMMAND, &val);

    return rc ? rc : !(val & COMMAND_ACTIVE);
}

int guest_ahci_stop(GuestAhci *ahci)
{
    int rc = port_out(ahci, PORT_COMMAND, 0);

    return rc ? rc : guest_pc_poll(ahci->pc, is_stopped, ahci,
                                   "stopping an AHCI port");
}

static int start_port(GuestAhci *ahci)
{
    const struct {
        unsigned reg;
        uint32_t val;
    } steps[] = {
        { PORT_LIST, ahci->mem + AT_LIST },
        { PORT_LIST + 4, 0 },
        { PORT_FIS, ahci->mem + AT_FIS },
        { PORT_FIS + 4, 0 },
        { PORT_ERROR, 0xffffffff },
        { PORT_IRQ, 0xffffffff },
        { PORT_COMMAND, COMMAND_FIS },
        { PORT_COMMAND, COMMAND_FIS | COMMAND_START },
    };
    unsigned i;
    int rc = 0;

    for (i = 0; !rc && i < sizeof(steps) / sizeof(steps[0]); i++) {
        rc = port_out(ahci, steps[i].reg, steps[i].val);
    }
    return rc;
}

int guest_ahci_init(GuestPc *pc, GuestAhci *ahci, unsigned port, uint64_t bar,
                    uint64_t mem)
{
    uint32_t link = 0;
    uint64_t at;
    int rc;

    memset(ahci, 0, sizeof(*ahci));
    ahci->pc = pc;
    ahci->port = bar + REG_PORTS + port * PORT_STRIDE;
    ahci->mem = mem;
    if (port > 5 || mem % XENSIM_PAGE_SIZE || mem >> 32) {
        return guest_pc_fail(pc, EINVAL, "AHCI port %u with lists at 0x%"
                             PRIx64, port, mem);
    }
    rc = guest_pci_find(pc, 0x8086, 0x2922, 0, &ahci->devfn);
    if (!rc) {
        rc = guest_pci_bar_addr(pc, ahci->devfn, 5, &at);
    }
    /* Another port's driver may be using it. */
    if (!rc && at != bar) {
        rc = guest_pci_place_bar(pc, ahci->devfn, 5, bar);
    }
    if (!rc) {
        rc = guest_pci_command(pc, ahci->devfn, GUEST_PCI_MASTER |
                               GUEST_PCI_MEMORY, 0);
    }
    if (!rc) {
        rc = guest_mmio_out(pc, bar + REG_CONTROL, 4, CONTROL_AHCI);
    }
    if (!rc) {
        rc = guest_ahci_stop(ahci);
    }
    if (!rc) {
        rc = port_in(ahci, PORT_LINK, &link);
    }
    if (rc) {
        return rc;
    }
    if ((link & 15) != 3) {
        return guest_pc_fail(pc, ENOENT, "AHCI port %u has no disk (link "
                             "0x%x)", port, link);
    }
    return start_port(ahci);
}

int guest_ahci_restart(GuestAhci *ahci)
{
    int rc = guest_ahci_stop(ahci);

    return rc ? rc : start_port(ahci);
}

int guest_ahci_reset_link(GuestAhci *ahci)
{
    int rc = port_out(ahci, PORT_LINK_CONTROL, 1);

    if (!rc) {
        rc = port_out(ahci, PORT_LINK_CONTROL, 0);
    }
    return rc ? rc : guest_ahci_restart(ahci);
}

/* The command's table: what to do, and where the pieces are. */
static int write_table(GuestAhci *ahci, bool write, uint64_t lba,
                       unsigned sectors, uint64_t table, const GuestSg *sg,
                       unsigned n)
{
    const uint8_t command[20] = {
        FIS_TO_DEVICE, 0x80, write ? CMD_WRITE_DMA_EXT : CMD_READ_DMA_EXT, 0,
        lba, lba >> 8, lba >> 16, 0x40,
        lba >> 24, lba >> 32, lba >> 40, 0,
        sectors, sectors >> 8,
    };
    uint64_t at = table + TABLE_PIECES;
    uint32_t pieces[MAX_PIECES][4];
    int rc = guest_mem_write(ahci->pc, table, command, sizeof(command));

    for (unsigned i = 0, k; !rc && i < n; i += k, at += k * 16) {
        for (k = 0; k < MAX_PIECES && i + k < n; k++) {
            pieces[k][0] = sg[i + k].gpa;
            pieces[k][1] = sg[i + k].gpa >> 32;
            pieces[k][2] = 0;
            pieces[k][3] = sg[i + k].len - 1;
        }
        rc = guest_mem_write(ahci->pc, at, pieces, k * sizeof(pieces[0]));
    }
    return rc;
}

/* Can N pieces of SG be named, and do they make SECTORS? */
static int check_pieces(GuestAhci *ahci, unsigned sectors, const GuestSg *sg,
                        unsigned n)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < n; i++) {
        if (sg[i].gpa % 2 || sg[i].len % 2 || !sg[i].len ||
            sg[i].len > 4 << 20) {
            return guest_pc_fail(ahci->pc, EINVAL, "AHCI cannot name 0x%x "
                                 "bytes at 0x%" PRIx64, sg[i].len, sg[i].gpa);
        }
        bytes += sg[i].len;
    }
    if (!n || n > UINT16_MAX || !sectors || sectors > 65536 ||
        bytes != (uint64_t)sectors * GUEST_SECTOR_SIZE) {
        return guest_pc_fail(ahci->pc, EINVAL, "%u sectors in %u pieces of 0x%"
                             PRIx64 " bytes", sectors, n, bytes);
    }
    return 0;
}

int guest_ahci_prepare(GuestAhci *ahci, unsigned slot, bool write,
                       uint64_t lba, unsigned sectors, uint64_t table,
                       const GuestSg *sg, unsigned n)
{
    /* The rest is reserved, and zeros. */
    const uint32_t header[8] = {
        5 | (write ? 0x40 : 0) | n << 16, 0, table, 0,
    };
    int rc = check_pieces(ahci, sectors, sg, n);

    if (!rc) {
        rc = write_table(ahci, write, lba, sectors, table, sg, n);
    }
    return rc ? rc : guest_mem_write(ahci->pc, ahci->mem + AT_LIST +
                                     slot * sizeof(header), header,
                                     sizeof(header));
}

int guest_ahci_issue(GuestAhci *ahci, uint32_t slots)
{
    const uint8_t none = 0;
    int rc = guest_mem_write(ahci->pc, ahci->mem + AT_ANSWER, &none, 1);

    if (!rc) {
        rc = port_out(ahci, PORT_IRQ, 0xffffffff);
    }
    return rc ? rc : port_out(ahci, PORT_ISSUE, slots);
}

/* The answer's arrival in memory costs the device model no access. */
static int has_answered(void *opaque)
{
    GuestAhci *ahci = opaque;
    uint8_t type;
    int rc = guest_mem_read(ahci->pc, ahci->mem + AT_ANSWER, &type, 1);

    return rc ? rc : type == FIS_ANSWER;
}

static int is_idle(void *opaque)
{
    uint32_t val;
    int rc = port_in(opaque, PORT_ISSUE, &val);

    return rc ? rc : !(val & 1);
}

static int ended_badly(GuestAhci *ahci, unsigned status, unsigned error)
{
    return guest_pc_fail(ahci->pc, EIO, "AHCI disk: status 0x%02x, error "
                         "0x%02x", status, error);
}

typedef struct Wait {
    GuestAhci *ahci;
    uint32_t slots, irq;
} Wait;

/* The task file still shows an error of before, a reset's for one. */
static int has_ended(void *opaque)
{
    Wait *w = opaque;
    uint32_t issued = 0;
    int rc = port_in(w->ahci, PORT_ISSUE, &issued);

    if (!rc) {
        rc = port_in(w->ahci, PORT_IRQ, &w->irq);
    }
    return rc ? rc : (w->irq & IRQ_TASK_ERROR) || !(issued & w->slots);
}

int guest_ahci_wait(GuestAhci *ahci, uint32_t slots, uint32_t *task)
{
    Wait w = { ahci, slots, 0 };
    int rc = guest_pc_poll(ahci->pc, has_ended, &w, "end of AHCI commands");

    if (!rc) {
        rc = port_in(ahci, PORT_TASK, task);
    }
    return rc || !(w.irq & IRQ_TASK_ERROR)
           ? rc : ended_badly(ahci, *task & 0xff, *task >> 8 & 0xff);
}

int guest_ahci_dma(GuestAhci *ahci, bool write, uint64_t lba,
                   unsigned sectors, const GuestSg *sg, unsigned n)
{
    GuestPc *pc = ahci->pc;
    uint8_t answer[4];
    int rc;

    if (n > MAX_PIECES) {
        return guest_pc_fail(pc, EINVAL, "%u pieces: a table of the driver's "
                             "takes %u", n, MAX_PIECES);
    }
    rc = guest_ahci_prepare(ahci, 0, write, lba, sectors,
                            ahci->mem + AT_TABLE, sg, n);
    if (!rc) {
        rc = guest_ahci_issue(ahci, 1);
    }
    if (!rc) {
        rc = guest_pc_poll(pc, has_answered, ahci, "AHCI command");
    }
    if (!rc) {
        rc = guest_pc_poll(pc, is_idle, ahci, "end of an AHCI command");
    }
    if (!rc) {
        rc = guest_mem_read(pc, ahci->mem + AT_ANSWER, answer,
                            sizeof(answer));
    }
    return rc || !(answer[2] & TASK_BAD)
           ? rc : ended_badly(ahci, answer[2], answer[3]);
}
