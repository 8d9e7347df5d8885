/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PCI configuration, by the ports. */

#include "guest.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA 0xcfc

enum {
    REG_COMMAND = 0x04,
    REG_CLASS = 0x08,
    REG_BAR0 = 0x10,
};

static void address(unsigned devfn, unsigned reg)
{
    out32(CONFIG_ADDRESS, 0x80000000u | devfn << 8 | (reg & 0xfc));
}

uint32_t pci_in(unsigned devfn, unsigned reg)
{
    address(devfn, reg);
    return in32(CONFIG_DATA);
}

void pci_out(unsigned devfn, unsigned reg, uint32_t val)
{
    address(devfn, reg);
    out32(CONFIG_DATA, val);
}

int pci_find_class(unsigned class)
{
    unsigned devfn;

    for (devfn = 0; devfn < 256; devfn++) {
        if ((pci_in(devfn, 0) & 0xffff) != 0xffff &&
            pci_in(devfn, REG_CLASS) >> 16 == class) {
            return devfn;
        }
    }
    return -1;
}

void pci_command(unsigned devfn, uint16_t set, uint16_t clear)
{
    uint16_t now = pci_in(devfn, REG_COMMAND);

    /* the upper half is the status register, whose bits are cleared by ones */
    pci_out(devfn, REG_COMMAND, (uint16_t)((now & ~clear) | set));
}

uint32_t pci_bar_size(unsigned devfn, unsigned bar, bool decoded)
{
    unsigned reg = REG_BAR0 + 4 * bar;
    uint16_t on = decoded ? 0 : pci_in(devfn, REG_COMMAND) &
                                (PCI_IO | PCI_MEMORY);
    uint32_t was = pci_in(devfn, reg), mask;

    pci_command(devfn, 0, on);
    pci_out(devfn, reg, 0xffffffff);
    mask = pci_in(devfn, reg) & ~0xfu;
    pci_out(devfn, reg, was);
    pci_command(devfn, on, 0);
    return -mask;
}

void pci_bar_move(unsigned devfn, unsigned bar, uint32_t addr)
{
    uint16_t on = pci_in(devfn, REG_COMMAND) & (PCI_IO | PCI_MEMORY);

    pci_command(devfn, 0, on);
    pci_out(devfn, REG_BAR0 + 4 * bar, addr);
    pci_command(devfn, on, 0);
}

void pci_bar_move_64(unsigned devfn, unsigned bar, uint64_t addr)
{
    uint16_t on = pci_in(devfn, REG_COMMAND) & (PCI_IO | PCI_MEMORY);

    pci_command(devfn, 0, on);
    pci_out(devfn, REG_BAR0 + 4 * bar, addr);
    pci_out(devfn, REG_BAR0 + 4 * bar + 4, addr >> 32);
    pci_command(devfn, on, 0);
}
