/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's drivers for the simulated Xen: interrupts by message. */

#include <errno.h>

#include "pc-int.h"

#define PCI_STATUS      0x06
#define PCI_STATUS_CAPS 0x10
#define PCI_CAPS        0x34

#define CAP_MSI         0x05
#define MSI_64BIT       0x80        /* of the control word, at 2 */

#define CAP_MSIX        0x11
#define MSIX_ENABLE     0x8000      /* of the control word, at 2 */

int guest_pci_next_capability(GuestPc *pc, unsigned devfn, uint8_t id,
                              unsigned *reg)
{
    uint32_t status, at;
    int rc;

    if ((rc = guest_pci_in(pc, devfn, PCI_STATUS, 2, &status)) ||
        (rc = guest_pci_in(pc, devfn, *reg ? *reg + 1 : PCI_CAPS, 1, &at))) {
        return rc;
    }
    if (!(status & PCI_STATUS_CAPS)) {
        at = 0;
    }
    /* There is room for 48 of them; a list that goes on has a loop. */
    for (unsigned i = 0; at && i < 48; i++) {
        uint32_t head;

        rc = guest_pci_in(pc, devfn, at & ~3u, 2, &head);
        if (rc) {
            return rc;
        }
        if ((head & 0xff) == id) {
            *reg = at & ~3u;
            return 0;
        }
        at = head >> 8;
    }
    *reg = 0;
    return 0;
}

int guest_pci_capability(GuestPc *pc, unsigned devfn, uint8_t id,
                         unsigned *reg)
{
    int rc;

    *reg = 0;
    rc = guest_pci_next_capability(pc, devfn, id, reg);
    return rc || *reg ? rc : guest_pc_fail(
        pc, ENOENT, "PCI device %02x.%u has no capability 0x%02x", devfn >> 3,
        devfn & 7, id);
}

int guest_msi_enable(GuestPc *pc, unsigned devfn, uint64_t addr,
                     uint16_t data)
{
    unsigned cap;
    uint32_t control;
    int rc;

    if ((rc = guest_pci_capability(pc, devfn, CAP_MSI, &cap)) ||
        (rc = guest_pci_in(pc, devfn, cap + 2, 2, &control)) ||
        (rc = guest_pci_out(pc, devfn, cap + 4, 4, addr))) {
        return rc;
    }
    if (control & MSI_64BIT) {
        rc = guest_pci_out(pc, devfn, cap + 8, 4, addr >> 32);
    }
    if (rc || (rc = guest_pci_out(pc, devfn,
                                  cap + (control & MSI_64BIT ? 12 : 8), 2,
                                  data))) {
        return rc;
    }
    return guest_pci_out(pc, devfn, cap + 2, 2, control | 1);
}

int guest_msix_enable(GuestPc *pc, unsigned devfn, unsigned bar,
                      uint64_t table)
{
    unsigned cap;
    uint32_t control;
    int rc;

    if ((rc = guest_pci_capability(pc, devfn, CAP_MSIX, &cap)) ||
        (rc = guest_pci_place_bar(pc, devfn, bar, table)) ||
        (rc = guest_pci_in(pc, devfn, cap + 2, 2, &control))) {
        return rc;
    }
    return guest_pci_out(pc, devfn, cap + 2, 2, control | MSIX_ENABLE);
}

int guest_msix_vector(GuestPc *pc, uint64_t table, unsigned vector,
                      uint64_t addr, uint32_t data, bool masked)
{
    uint64_t entry = table + vector * 16;
    int rc;

    if ((rc = guest_mmio_out(pc, entry, 4, addr)) ||
        (rc = guest_mmio_out(pc, entry + 4, 4, addr >> 32)) ||
        (rc = guest_mmio_out(pc, entry + 8, 4, data))) {
        return rc;
    }
    return guest_mmio_out(pc, entry + 12, 4, masked);
}
