/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's driver for a disk on an ICH9 AHCI controller.  Errors and threads
 * are as in drivers/pc.h.
 */

#ifndef XENSIM_GUEST_AHCI_H
#define XENSIM_GUEST_AHCI_H

#include "pc.h"

/* Guest memory that the driver needs for each port: lists and tables. */
#define GUEST_AHCI_BYTES 0x2000u

typedef struct GuestAhci {
    GuestPc *pc;
    unsigned devfn;
    uint64_t port;              /* gpa of the port's registers */
    uint64_t mem;
} GuestAhci;

/*
 * Set up the disk at PORT (0-5) of the first controller.  The controller's
 * registers are placed at BAR, a multiple of 4096 in the MMIO hole; use the
 * same BAR for all of its ports.  GUEST_AHCI_BYTES at MEM, a multiple of 4096
 * below 4 GiB, are the driver's.
 */
int guest_ahci_init(GuestPc *pc, GuestAhci *ahci, unsigned port, uint64_t bar,
                    uint64_t mem);

/*
 * Moves SECTORS (1-65536) between the disk at LBA and the N (1-248) pieces of
 * SG: to the disk if WRITE, otherwise from the disk.  Each piece has an even
 * length of up to 4 MiB; together they have SECTORS * 512 bytes.  Returns when
 * the disk has finished.
 */
int guest_ahci_dma(GuestAhci *ahci, bool write, uint64_t lba,
                   unsigned sectors, const GuestSg *sg, unsigned n);

/*
 * The same in steps, for several commands.  guest_ahci_prepare() writes command
 * SLOT (0-31) with N (up to 65535) pieces to TABLE, a multiple of 128 below 4
 * GiB, where it takes 128 + 16 * N bytes.  guest_ahci_issue() lets the disk
 * start the commands of SLOTS, a bit for each.  guest_ahci_wait() waits until
 * all of them have ended.  -EIO if the disk stopped at an error: it then
 * accepts no command before guest_ahci_restart().  *TASK has the status in its
 * lower bits, and the error above.
 */
int guest_ahci_prepare(GuestAhci *ahci, unsigned slot, bool write,
                       uint64_t lba, unsigned sectors, uint64_t table,
                       const GuestSg *sg, unsigned n);
int guest_ahci_issue(GuestAhci *ahci, uint32_t slots);
int guest_ahci_wait(GuestAhci *ahci, uint32_t slots, uint32_t *task);

/* Stops the port, which releases its lists. */
int guest_ahci_stop(GuestAhci *ahci);

/* Stops the port, also during commands, and starts it again. */
int guest_ahci_restart(GuestAhci *ahci);

/* Resets the link of the port, and restarts the port. */
int guest_ahci_reset_link(GuestAhci *ahci);

#endif
