/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's driver for displays with dispi registers; see drivers/pc.h. */

#include <errno.h>
#include <string.h>

#include "pc-int.h"

#define DISPI_INDEX_PORT 0x1ce
#define DISPI_DATA_PORT  0x1cf
#define DISPI_MMIO       0x500  /* in BAR 2: register n at + 2 * n */
#define VGA_PORTS        0x3c0
#define VGA_MMIO         0x400  /* in BAR 2: port 0x3c0 + n at + n */
#define ATTRIBUTES       0x3c0
#define ATTRIBUTES_RESET 0x3da  /* a read: the next write is an index */

enum {
    DISPI_ID = 0,
    DISPI_XRES = 1,
    DISPI_YRES = 2,
    DISPI_BPP = 3,
    DISPI_ENABLE = 4,
    DISPI_VIDEO_MEMORY_64K = 10,
};

#define DISPI_ON       0x01
#define DISPI_LINEAR   0x40
#define DISPI_NO_CLEAR 0x80

int guest_dispi_in(GuestVga *vga, unsigned index, uint16_t *val)
{
    uint32_t v = 0;
    uint64_t wide = 0;
    int rc;

    if (vga->ports) {
        rc = guest_out(vga->pc, DISPI_INDEX_PORT, 2, index);
        if (!rc) {
            rc = guest_in(vga->pc, DISPI_DATA_PORT, 2, &v);
        }
        *val = v;
    } else {
        rc = guest_mmio_in(vga->pc, vga->mmio + DISPI_MMIO + 2 * index, 2,
                           &wide);
        *val = wide;
    }
    return rc;
}

int guest_dispi_out(GuestVga *vga, unsigned index, uint16_t val)
{
    int rc;

    if (!vga->ports) {
        return guest_mmio_out(vga->pc, vga->mmio + DISPI_MMIO + 2 * index, 2,
                              val);
    }
    rc = guest_out(vga->pc, DISPI_INDEX_PORT, 2, index);
    return rc ? rc : guest_out(vga->pc, DISPI_DATA_PORT, 2, val);
}

int guest_vga_init(GuestPc *pc, GuestVga *vga, unsigned index)
{
    uint32_t class;
    uint64_t addr;
    int rc;

    memset(vga, 0, sizeof(*vga));
    vga->pc = pc;
    rc = guest_pci_find(pc, 0x1234, 0x1111, index, &vga->devfn);
    if (!rc) {
        rc = guest_pci_in(pc, vga->devfn, 0x0a, 2, &class);
    }
    if (rc) {
        return rc;
    }
    vga->blanks = vga->ports = class == 0x0300;
    rc = guest_pci_bar_size(pc, vga->devfn, 0, &vga->vram_bytes);
    if (!rc) {
        rc = guest_pci_bar_addr(pc, vga->devfn, 0, &addr);
    }
    /* All ones below the size is what an unplaced BAR may hold as well. */
    if (!rc && addr) {
        vga->vram = addr;
    }
    if (!rc) {
        rc = guest_pci_bar_addr(pc, vga->devfn, 2, &vga->mmio);
    }
    return rc;
}

int guest_vga_place(GuestVga *vga, uint64_t vram, uint64_t mmio)
{
    int rc = guest_pci_place_bar(vga->pc, vga->devfn, 0, vram);

    if (!rc) {
        vga->vram = vram;
        if (mmio) {
            rc = guest_pci_place_bar(vga->pc, vga->devfn, 2, mmio);
            vga->mmio = rc ? 0 : mmio;
            vga->ports &= !vga->mmio;
        }
    }
    return rc;
}

int guest_vga_in(GuestVga *vga, uint16_t port, uint8_t *val)
{
    uint64_t wide = 0;
    uint32_t v = 0;
    int rc = vga->ports ? guest_in(vga->pc, port, 1, &v)
                        : guest_mmio_in(vga->pc, vga->mmio + VGA_MMIO + port -
                                        VGA_PORTS, 1, &wide);

    *val = vga->ports ? v : wide;
    return rc;
}

int guest_vga_out(GuestVga *vga, uint16_t port, uint8_t val)
{
    return vga->ports ? guest_out(vga->pc, port, 1, val)
                      : guest_mmio_out(vga->pc, vga->mmio + VGA_MMIO + port -
                                       VGA_PORTS, 1, val);
}

/* The attribute controller blanks a VGA until bit 5 of its index is set. */
static int unblank(GuestVga *vga)
{
    uint8_t ignored;
    int rc = guest_vga_in(vga, ATTRIBUTES_RESET, &ignored);

    return rc ? rc : guest_vga_out(vga, ATTRIBUTES, 0x20);
}

int guest_vga_mode(GuestVga *vga, unsigned width, unsigned height,
                   unsigned bpp)
{
    const struct {
        unsigned index, value;
    } steps[] = {
        { DISPI_ENABLE, 0 },
        { DISPI_XRES, width },
        { DISPI_YRES, height },
        { DISPI_BPP, bpp },
        { DISPI_ENABLE, DISPI_ON | DISPI_LINEAR | DISPI_NO_CLEAR },
    };
    uint16_t got;
    unsigned i;
    int rc = 0;

    if (!vga->ports && !vga->mmio) {
        return guest_pc_fail(vga->pc, EINVAL, "this display's registers are "
                             "in its BAR 2; place that first");
    }
    for (i = 0; !rc && i < sizeof(steps) / sizeof(steps[0]); i++) {
        rc = guest_dispi_out(vga, steps[i].index, steps[i].value);
    }
    for (i = 1; !rc && i < 4; i++) {
        rc = guest_dispi_in(vga, steps[i].index, &got);
        if (!rc && got != steps[i].value) {
            return guest_pc_fail(vga->pc, EIO, "the display took %u for %u "
                                 "in mode %ux%ux%u (register %u)", got,
                                 steps[i].value, width, height, bpp,
                                 steps[i].index);
        }
    }
    if (!rc && vga->blanks) {
        rc = unblank(vga);
    }
    if (!rc) {
        vga->width = width;
        vga->height = height;
        vga->bpp = bpp;
    }
    return rc;
}
