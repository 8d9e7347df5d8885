/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's drivers for the simulated Xen: PCI, the IDE disk, the display.
 *
 * They do what a guest's CPU would do, through the ioreqs of xensim.h, and
 * nothing behind the device model's back.  Further disks and a network card
 * have headers of their own: drivers/virtio.h, drivers/ahci.h, drivers/nvme.h,
 * drivers/e1000.h.
 *
 * Errors: every function that returns int gives 0 or -errno and never calls
 * the simulation's fail handler:
 *   -ENODEV     the device model did not answer, has died, or was not there
 *   -ENOENT     no such PCI device, or no such disk
 *   -ETIMEDOUT  the device did not finish in time (it may still do so)
 *   -EIO        the device reported an error
 *   -EFAULT     guest memory that the driver itself needs is not there
 *   -EINVAL     an argument that the hardware cannot express
 * guest_pc_error() tells it in one line.
 *
 * Threads: a GuestPc belongs to the thread, and so the vCPU, that calls it.
 * Two may be used at once for one domain from two threads on two vCPUs, as
 * long as they do not drive the same device.
 */

#ifndef XENSIM_GUEST_PC_H
#define XENSIM_GUEST_PC_H

#include "xensim.h"

typedef struct GuestPc GuestPc;

/* Drivers for DOM, which must outlive them.  Free with guest_pc_free(). */
GuestPc *guest_pc_new(XensimDomain *dom);
void guest_pc_free(GuestPc *pc);

/*
 * The same drivers on another machine: how its CPU reaches devices and memory.
 * Each function returns 0 or -errno; access() takes port I/O
 * (XENSIM_IOREQ_PIO), MMIO (XENSIM_IOREQ_COPY) and PCI configuration
 * (XENSIM_IOREQ_PCI_CONFIG), one item at a time, and reads as all-ones what
 * nobody claims.
 */
typedef struct GuestBus {
    int (*access)(void *opaque, XensimIoreq *req);
    int (*read)(void *opaque, uint64_t gpa, void *buf, size_t len);
    int (*write)(void *opaque, uint64_t gpa, const void *buf, size_t len);
    /*
     * Between two looks at a device that has not finished, for the ROUNDth
     * time (from 0): lets its time pass.  NULL: sleeps.
     */
    void (*pause)(void *opaque, unsigned round);
} GuestBus;

/* BUS must outlive them.  They have no domain. */
GuestPc *guest_pc_new_on(const GuestBus *bus, void *opaque);

/* NULL on another machine. */
XensimDomain *guest_pc_domain(const GuestPc *pc);

/* What the last function that failed ran into; valid until the next fails. */
const char *guest_pc_error(const GuestPc *pc);

/* How long to wait for a device's completion; default 10,000 ms. */
void guest_pc_set_timeout(GuestPc *pc, unsigned ms);

/* ---- ports and MMIO; SIZE is 1, 2 or 4 (MMIO: also 8) bytes ---- */

int guest_in(GuestPc *pc, uint16_t port, unsigned size, uint32_t *val);
int guest_out(GuestPc *pc, uint16_t port, unsigned size, uint32_t val);
int guest_mmio_in(GuestPc *pc, uint64_t gpa, unsigned size, uint64_t *val);
int guest_mmio_out(GuestPc *pc, uint64_t gpa, unsigned size, uint64_t val);

/* ---- memory, as the guest's CPU reaches it; -EFAULT: not there ---- */

int guest_mem_read(GuestPc *pc, uint64_t gpa, void *buf, size_t len);
int guest_mem_write(GuestPc *pc, uint64_t gpa, const void *buf, size_t len);

/* ---- PCI, bus 0; DEVFN is slot << 3 | function ---- */

/* The (INDEX + 1)th device with these ids, in the order of devfn. */
int guest_pci_find(GuestPc *pc, uint16_t vendor, uint16_t device,
                   unsigned index, unsigned *devfn);

int guest_pci_in(GuestPc *pc, unsigned devfn, unsigned reg, unsigned size,
                 uint32_t *val);
int guest_pci_out(GuestPc *pc, unsigned devfn, unsigned reg, unsigned size,
                  uint32_t val);

/* Bits of the command register. */
enum {
    GUEST_PCI_IO = 1,
    GUEST_PCI_MEMORY = 2,
    GUEST_PCI_MASTER = 4,
};

/* Set and clear bits of the command register. */
int guest_pci_command(GuestPc *pc, unsigned devfn, uint16_t set,
                      uint16_t clear);

/*
 * The size in bytes of BAR 0-5, 0 if it does not exist.  Decoding of the
 * device is off while it is measured; the BAR keeps its address.
 */
int guest_pci_bar_size(GuestPc *pc, unsigned devfn, unsigned bar,
                       uint64_t *bytes);

/*
 * Put BAR at ADDR, a multiple of its size (a port number for an I/O BAR), and
 * let the device decode it.  Decoding is off meanwhile.  A BAR that is there
 * already moves.
 */
int guest_pci_place_bar(GuestPc *pc, unsigned devfn, unsigned bar,
                        uint64_t addr);

/* Where BAR is now, 0 if nowhere. */
int guest_pci_bar_addr(GuestPc *pc, unsigned devfn, unsigned bar,
                       uint64_t *addr);

/* Where in the device's registers capability ID is; -ENOENT if nowhere. */
int guest_pci_capability(GuestPc *pc, unsigned devfn, uint8_t id,
                         unsigned *reg);

/* The next one after that at *REG, or, if that is 0, the first; 0: none. */
int guest_pci_next_capability(GuestPc *pc, unsigned devfn, uint8_t id,
                              unsigned *reg);

/*
 * Message signalled interrupts: let the device write DATA to ADDR, by MSI or
 * (after guest_msix_enable(), which puts the table in BAR at TABLE) by vector
 * VECTOR of MSI-X.  The device must be a bus master.
 */
int guest_msi_enable(GuestPc *pc, unsigned devfn, uint64_t addr,
                     uint16_t data);
int guest_msix_enable(GuestPc *pc, unsigned devfn, unsigned bar,
                      uint64_t table);
int guest_msix_vector(GuestPc *pc, uint64_t table, unsigned vector,
                      uint64_t addr, uint32_t data, bool masked);

/* ---- the IDE disk on the PIIX3 ---- */

#define GUEST_SECTOR_SIZE 512u

typedef struct GuestIde {
    GuestPc *pc;
    unsigned devfn;
    unsigned drive;             /* 0: master, 1: slave */
    uint16_t cmd, ctl;          /* ports of the channel */
    uint16_t bm;                /* of its bus master */
    uint64_t prd_gpa;           /* the table's place in guest memory */
    uint8_t bm_status, status, error;   /* of the last command's end */
} GuestIde;

/* A piece of guest memory, in bytes. */
typedef struct GuestSg {
    uint64_t gpa;
    uint32_t len;
} GuestSg;

/*
 * Set up DRIVE (0, 1) of CHANNEL (0, 1): place the bus master's ports (at
 * GUEST_IDE_BM_PORT), reset the channel, see that there is a disk.  IDE is
 * filled in.  The PRD table goes to PRD_GPA, a multiple of 4 below 4 GiB,
 * and may use memory up to the next multiple of 64 KiB.
 */
#define GUEST_IDE_BM_PORT 0xc000
int guest_ide_init(GuestPc *pc, GuestIde *ide, unsigned channel,
                   unsigned drive, uint64_t prd_gpa);

/* Reset the channel, whatever its two drives are doing. */
int guest_ide_reset(GuestIde *ide);

/* IDENTIFY DEVICE, by programmed I/O. */
int guest_ide_identify(GuestIde *ide, uint16_t words[256]);

/*
 * Move SECTORS (1-65536) between the disk at LBA and the N pieces of SG, whose
 * lengths make SECTORS * 512; to the disk if WRITE.  Pieces lie below 4 GiB
 * at even addresses with even lengths, in RAM, video memory or anywhere else;
 * those that cross a multiple of 64 KiB are cut there, as PRDs must be.
 * Returns when the device model has finished.
 */
int guest_ide_dma(GuestIde *ide, bool write, uint64_t lba, unsigned sectors,
                  const GuestSg *sg, unsigned n);

/*
 * The same in two steps: the first returns as soon as the transfer is under
 * way, the second waits for its end.
 */
int guest_ide_dma_start(GuestIde *ide, bool write, uint64_t lba,
                        unsigned sectors, const GuestSg *sg, unsigned n);
int guest_ide_dma_wait(GuestIde *ide);

/* Stop the bus master in the middle of it; guest_ide_reset() comes next. */
int guest_ide_dma_stop(GuestIde *ide);

/*
 * Write the PRD table for SG only, and start a transfer with whatever table
 * lies at prd_gpa; for tables that are not there, say.
 */
int guest_ide_prd(GuestIde *ide, const GuestSg *sg, unsigned n);
int guest_ide_dma_start_raw(GuestIde *ide, bool write, uint64_t lba,
                            unsigned sectors);

/* SECTORS (1-256) by programmed I/O, to and from BUF. */
int guest_ide_pio(GuestIde *ide, bool write, uint64_t lba, unsigned sectors,
                  void *buf);

/*
 * The same with string instructions: the device model itself reads or writes
 * guest memory at GPA, item by item.
 */
int guest_ide_pio_string(GuestIde *ide, bool write, uint64_t lba,
                         unsigned sectors, uint64_t gpa);

/* ---- displays with the Bochs "dispi" registers ---- */

typedef struct GuestVga {
    GuestPc *pc;
    unsigned devfn;
    bool ports;                 /* a VGA: registers at 0x1ce; else in BAR 2 */
    uint64_t vram;              /* where BAR 0 is; 0: not placed */
    uint64_t vram_bytes;
    uint64_t mmio;              /* where BAR 2 is; 0: not placed */
    unsigned width, height, bpp;
} GuestVga;

/*
 * The (INDEX + 1)th standard VGA or bochs-display (1234:1111).  Fills VGA in;
 * places nothing.
 */
int guest_vga_init(GuestPc *pc, GuestVga *vga, unsigned index);

/*
 * Put the video memory at VRAM, a multiple of vram_bytes in the MMIO hole
 * (0xf0000000 and above by default), and the registers at MMIO, a multiple of
 * 4096 (0: leave them; a bochs-display needs them).
 */
int guest_vga_place(GuestVga *vga, uint64_t vram, uint64_t mmio);

/* Linear mode of WIDTH x HEIGHT at BPP 8, 15, 16, 24 or 32; memory is kept. */
int guest_vga_mode(GuestVga *vga, unsigned width, unsigned height,
                   unsigned bpp);

/* One dispi register (VBE_DISPI_INDEX_*, 0-10). */
int guest_dispi_in(GuestVga *vga, unsigned index, uint16_t *val);
int guest_dispi_out(GuestVga *vga, unsigned index, uint16_t val);

#endif
