/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's drivers for the simulated Xen: PCI, the IDE disk, the display.
 *
 * They access the device model only as a guest's CPU does, through the ioreqs
 * of xensim.h.  Other disks and a network card have headers of their own:
 * drivers/virtio.h, drivers/ahci.h, drivers/nvme.h, drivers/e1000.h.
 *
 * Errors: every function that returns int gives 0 or -errno and never calls
 * the simulation's fail handler:
 *   -ENODEV     the device model did not answer, has died, or was not started
 *   -ENOENT     no such PCI device, or no such disk
 *   -ETIMEDOUT  the device did not finish in time (it may still do so)
 *   -EIO        the device reported an error
 *   -EFAULT     guest memory that the driver itself needs is absent
 *   -EINVAL     the hardware cannot express an argument
 * guest_pc_error() describes the error in one line.
 *
 * Threads: one thread, and so one vCPU, uses a GuestPc.  Two threads on two
 * vCPUs may use two GuestPcs of one domain at the same time, if they do not
 * drive the same device.
 */

#ifndef XENSIM_GUEST_PC_H
#define XENSIM_GUEST_PC_H

#include "xensim.h"

typedef struct GuestPc GuestPc;

/* Drivers for DOM, which must outlive them.  Free with guest_pc_free(). */
GuestPc *guest_pc_new(XensimDomain *dom);
void guest_pc_free(GuestPc *pc);

/*
 * How the CPU of another machine accesses devices and memory, so that the same
 * drivers can be used there.  Each function returns 0 or -errno.  access()
 * makes one access by port I/O (XENSIM_IOREQ_PIO), MMIO (XENSIM_IOREQ_COPY) or
 * PCI configuration (XENSIM_IOREQ_PCI_CONFIG).  Addresses that no device claims
 * read as all-ones.
 */
typedef struct GuestBus {
    int (*access)(void *opaque, XensimIoreq *req);
    int (*read)(void *opaque, uint64_t gpa, void *buf, size_t len);
    int (*write)(void *opaque, uint64_t gpa, const void *buf, size_t len);
    /*
     * Called while a driver waits for a device, between two reads of its
     * status, for the ROUNDth time (from 0).  Lets the device's time pass.  If
     * NULL, the driver sleeps.
     */
    void (*pause)(void *opaque, unsigned round);
} GuestBus;

/* Drivers for the machine of BUS, which must outlive them; no domain. */
GuestPc *guest_pc_new_on(const GuestBus *bus, void *opaque);

/* The domain; NULL for a GuestPc of guest_pc_new_on(). */
XensimDomain *guest_pc_domain(const GuestPc *pc);

/* The error of the last function that failed; valid until the next fails. */
const char *guest_pc_error(const GuestPc *pc);

/* How long to wait for a device's completion; default 10,000 ms. */
void guest_pc_set_timeout(GuestPc *pc, unsigned ms);

/* ---- ports and MMIO; SIZE is 1, 2 or 4 (MMIO: also 8) bytes ---- */

int guest_in(GuestPc *pc, uint16_t port, unsigned size, uint32_t *val);
int guest_out(GuestPc *pc, uint16_t port, unsigned size, uint32_t val);
int guest_mmio_in(GuestPc *pc, uint64_t gpa, unsigned size, uint64_t *val);
int guest_mmio_out(GuestPc *pc, uint64_t gpa, unsigned size, uint64_t val);

/* ---- memory, as the guest's CPU accesses it; -EFAULT: absent ---- */

int guest_mem_read(GuestPc *pc, uint64_t gpa, void *buf, size_t len);
int guest_mem_write(GuestPc *pc, uint64_t gpa, const void *buf, size_t len);

/* ---- PCI, bus 0; DEVFN is slot << 3 | function ---- */

/*
 * For a machine whose devices are set up again and again: from now on the
 * drivers remember which devices there are and where, how large a BAR is, and
 * where the structures of a virtio device are, instead of asking the device
 * each time.
 */
void guest_pci_remember(GuestPc *pc);

/*
 * A device has come or gone in the slot of DEVFN.  Forgets what was remembered
 * of this slot, and where the devices after it were found.
 */
void guest_pci_forget(GuestPc *pc, unsigned devfn);

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
 * let the device decode it.  Decoding is off meanwhile.  A BAR that was placed
 * before may be placed elsewhere.
 */
int guest_pci_place_bar(GuestPc *pc, unsigned devfn, unsigned bar,
                        uint64_t addr);

/* The address of BAR; 0 if it is not placed. */
int guest_pci_bar_addr(GuestPc *pc, unsigned devfn, unsigned bar,
                       uint64_t *addr);

/* The register at which capability ID is; -ENOENT if there is none. */
int guest_pci_capability(GuestPc *pc, unsigned devfn, uint8_t id,
                         unsigned *reg);

/*
 * Finds the next capability ID after the one at *REG, or the first if *REG is
 * 0.  Sets *REG to it, or to 0 if there is none.
 */
int guest_pci_next_capability(GuestPc *pc, unsigned devfn, uint8_t id,
                              unsigned *reg);

/*
 * Message signalled interrupts.  The first lets the device write DATA to ADDR
 * by MSI.  The second places BAR, which begins with the table of MSI-X, at
 * TABLE, and enables MSI-X.  The third lets vector VECTOR write DATA to ADDR,
 * unless MASKED.  The device must be a bus master.
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
    uint16_t bm;                /* ports of its bus master */
    uint64_t prd_gpa;           /* the PRD table's guest address */
    uint8_t bm_status, status, error;   /* at the end of the last command */
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

/* Stop the bus master during a transfer; then call guest_ide_reset(). */
int guest_ide_dma_stop(GuestIde *ide);

/*
 * The first only writes the PRD table for SG.  The second starts a transfer
 * with whatever is at prd_gpa, for example to test an absent table.
 */
int guest_ide_prd(GuestIde *ide, const GuestSg *sg, unsigned n);
int guest_ide_dma_start_raw(GuestIde *ide, bool write, uint64_t lba,
                            unsigned sectors);

/*
 * Reads SECTORS of 2,048 bytes from LBA on from a CD-ROM into SG, by DMA.  For
 * a CD-ROM, guest_ide_init() fills IDE in, but ends with -ENOENT.
 */
int guest_ide_cd_read(GuestIde *ide, uint32_t lba, unsigned sectors,
                      const GuestSg *sg, unsigned n);

/* SECTORS (1-256) by programmed I/O, to and from BUF. */
int guest_ide_pio(GuestIde *ide, bool write, uint64_t lba, unsigned sectors,
                  void *buf);

/*
 * The same with string instructions: the device model itself reads or writes
 * guest memory at GPA, a multiple of 4, item by item.
 */
int guest_ide_pio_string(GuestIde *ide, bool write, uint64_t lba,
                         unsigned sectors, uint64_t gpa);

/* ---- displays with the Bochs "dispi" registers ---- */

typedef struct GuestVga {
    GuestPc *pc;
    unsigned devfn;
    bool ports;                 /* registers at 0x1ce and 0x3c0, else in BAR 2 */
    bool blanks;                /* a VGA, which is blank until it is told */
    uint64_t vram;              /* address of BAR 0; 0: not placed */
    uint64_t vram_bytes;
    uint64_t mmio;              /* address of BAR 2; 0: not placed */
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
 * 4096 (0: leave them; a bochs-display needs them).  Once the registers of a
 * VGA are at MMIO, they are accessed there, and not by the VGA ports, which may
 * belong to another card.
 */
int guest_vga_place(GuestVga *vga, uint64_t vram, uint64_t mmio);

/* Linear mode of WIDTH x HEIGHT at BPP 8, 15, 16, 24 or 32; memory is kept. */
int guest_vga_mode(GuestVga *vga, unsigned width, unsigned height,
                   unsigned bpp);

/* One dispi register (VBE_DISPI_INDEX_*, 0-10). */
int guest_dispi_in(GuestVga *vga, unsigned index, uint16_t *val);
int guest_dispi_out(GuestVga *vga, unsigned index, uint16_t val);

/* A register of an old VGA, by the number of its port (0x3c0 to 0x3df). */
int guest_vga_in(GuestVga *vga, uint16_t port, uint8_t *val);
int guest_vga_out(GuestVga *vga, uint16_t port, uint8_t val);

#endif
