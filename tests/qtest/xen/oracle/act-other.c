/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI devices that have no driver here.  Their BARs are placed; what reaches
 * their registers, BARs and configuration are the actions of act-pci.c.  No
 * device is here that QEMU does not save wholly, on any machine: sdhci-pci
 * forgets its PCI configuration, and e1000e negotiates its link anew.
 */
#include "qemu/osdep.h"
#include "actions.h"

#define MMIO_BYTES  0x100000u

/* Memory and ports for BARs of the size that they are aligned to. */
static int setup(OracleSide *side, const OracleDevice *device)
{
    const OraclePlace *place = oracle_place(side, device);
    GuestPc *pc = oracle_pc(side);
    uint64_t mmio = place->mmio, io = place->io, size;
    unsigned bar;
    int rc = 0;

    for (bar = 0; bar < 6 && !rc; bar++) {
        uint64_t *next;
        uint32_t raw;

        rc = guest_pci_in(pc, place->devfn, 0x10 + 4 * bar, 4, &raw);
        if (rc || guest_pci_bar_size(pc, place->devfn, bar, &size) || !size) {
            continue;
        }
        next = raw & 1 ? &io : &mmio;
        *next = ROUND_UP(*next, size);
        rc = guest_pci_place_bar(pc, place->devfn, bar, *next);
        *next += size;
        bar += (raw & 7) == 4;              /* one of 64 bits is two */
    }
    return rc;
}

#define OTHER(name_, args_, io_)                                \
    {                                                           \
        .name = name_,                                          \
        .args = args_ ",addr=@SLOT@",                           \
        .mmio_bytes = MMIO_BYTES,                               \
        .io_bytes = io_,                                        \
        .setup = setup,                                         \
    }

const OracleDevice oracle_others[ORACLE_OTHERS] = {
    OTHER("tulip", "-device tulip,romfile=", 0x100),
    OTHER("i82550", "-device i82550,romfile=", 0x100),
    OTHER("pcnet", "-device pcnet,romfile=", 0x100),
    OTHER("rtl8139", "-device rtl8139,romfile=", 0x100),
    OTHER("vmxnet3", "-device vmxnet3,romfile=", 0x100),
    OTHER("lsi", "-device lsi53c895a,romfile=", 0x100),
    OTHER("megasas", "-device megasas,romfile=", 0x100),
    OTHER("mptsas", "-device mptsas1068,romfile=", 0x100),
    OTHER("pvscsi", "-device pvscsi,romfile=", 0x100),
    OTHER("am53c974", "-device am53c974,romfile=", 0x100),
    OTHER("xhci", "-device qemu-xhci", 0x100),
    OTHER("ehci", "-device usb-ehci", 0x100),
    OTHER("ac97", "-audiodev none,id=sound -device AC97,audiodev=sound",
          0x800),
    OTHER("uhci", "-device piix3-usb-uhci", 0x100),
    OTHER("virtio-serial", "-device virtio-serial-pci", 0x100),
};
