/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any PCI device, with no driver: its registers by BAR and offset, its
 * configuration, and where its BARs are.
 */
#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "act-pci.h"

#define ALL_DECODE  (GUEST_PCI_IO | GUEST_PCI_MEMORY)

/* A BAR that was moved, and where from. */
typedef struct Moved {
    unsigned devfn, bar;
    uint64_t from;
} Moved;

typedef struct ActPci {
    unsigned disturbances;
    Moved moved[16];
    unsigned n_moved;
} ActPci;

static ActPci *state(OracleSide *side)
{
    return oracle_state(side, &oracle_pci);
}

unsigned act_disturbances(OracleSide *side)
{
    /* A stream may be without these actions. */
    return state(side) ? state(side)->disturbances : 0;
}

void act_disturb(OracleSide *side)
{
    state(side)->disturbances++;
}

/* The IDE disk has no slot of its own: its controller is part of the board. */
#define IDE_DEVFN   (1 << 3 | 1)

uint64_t act_register(uint64_t val, unsigned len)
{
    return val == MAKE_64BIT_MASK(0, 8 * len) ? 0 : val;
}

/* A device of this machine; false: there is none. */
static bool draw_device(OracleSide *side, OracleBytes *bytes, unsigned *devfn)
{
    unsigned which = oracle_bits(bytes, 8), n = 0, i;
    unsigned found[32];

    for (i = 0; oracle_devices[i] && n < ARRAY_SIZE(found); i++) {
        if (oracle_devices[i]->args && oracle_place(side, oracle_devices[i])) {
            found[n++] = strstr(oracle_devices[i]->args, "@SLOT@") ?
                         oracle_place(side, oracle_devices[i])->devfn :
                         IDE_DEVFN;
        }
    }
    if (n) {
        *devfn = found[which % n];
    }
    return n;
}

/* What is written: an address as often as not. */
static uint64_t draw_value(OracleSide *side, OracleBytes *bytes)
{
    switch (oracle_bits(bytes, 2)) {
    case 0:
        return oracle_draw_count(bytes, UINT64_MAX) - 1;
    case 1:
        return oracle_bits(bytes, 64);
    default:
        return oracle_draw_gpa(side, bytes);
    }
}

/* ---- registers ---- */

/* Offsets of registers are small more often than not. */
static uint64_t draw_offset(OracleBytes *bytes, uint64_t size, unsigned len)
{
    uint64_t offset = oracle_draw_count(bytes, size) - 1;

    return ROUND_DOWN(offset, len);
}

/* Of the Xen platform device: it answers there, and unplugs disks. */
#define PLATFORM_PORTS      0x10u
#define PLATFORM_PORTS_END  0x20u

/*
 * Can a guest reach the @len bytes at @addr as ports, and are these the same on
 * both sides?  Ports end at 64 KiB, wherever a BAR says that it is.
 */
static bool is_port(uint64_t addr, unsigned len)
{
    return addr + len <= 0x10000 &&
           (addr + len <= PLATFORM_PORTS || addr >= PLATFORM_PORTS_END);
}

static void reach(OracleSide *side, bool io, bool read, uint64_t addr,
                  unsigned len, uint64_t val)
{
    GuestPc *pc = oracle_pc(side);
    uint32_t word = val;
    int rc;

    if (io) {
        len = MIN(len, 4);
        if (!is_port(addr, len)) {
            return;
        }
        rc = read ? guest_in(pc, addr, len, &word)
                  : guest_out(pc, addr, len, val);
        val = word;
    } else {
        rc = read ? guest_mmio_in(pc, addr, len, &val)
                  : guest_mmio_out(pc, addr, len, val);
    }
    oracle_saw(side, "register: returns", rc);
    if (read && !rc) {
        oracle_saw_at(side, "register", addr, act_register(val, len));
    }
}

static void registers(OracleSide *side, const OracleDevice *device,
                      OracleBytes *bytes)
{
    GuestPc *pc = oracle_pc(side);
    unsigned bar = oracle_range(bytes, 0, 5), n = oracle_range(bytes, 1, 8);
    unsigned devfn, i;
    uint64_t size, addr;
    uint32_t raw;

    if (!draw_device(side, bytes, &devfn) ||
        guest_pci_bar_size(pc, devfn, bar, &size) || !size ||
        guest_pci_bar_addr(pc, devfn, bar, &addr) || !addr ||
        guest_pci_in(pc, devfn, 0x10 + 4 * bar, 4, &raw)) {
        return;
    }
    guest_pci_command(pc, devfn, ALL_DECODE | GUEST_PCI_MASTER, 0);
    act_disturb(side);
    for (i = 0; i < n; i++) {
        unsigned len = 1u << oracle_range(bytes, 0, 3);
        bool read = oracle_once_in(bytes, 3);
        uint64_t at = addr + draw_offset(bytes, size, len);

        reach(side, raw & 1, read, at, len, draw_value(side, bytes));
    }
    act_cirrus_end_copy(side);
}

#define CAPABILITIES    0x34    /* where the first one is */
#define POWER           1
#define MSI             5
#define MSI_X           0x11

/*
 * Is the register one of a capability that streams leave alone?  MSI and MSI-X:
 * without a driver their addresses and data are zeros; on Xen these are no
 * writes to address 0 but interrupts that a PV driver has to know.  Power
 * management: a device that is asleep has no registers, and what is read where
 * nothing is are ones on Xen and zeros over qtest.
 */
static bool is_left_alone(GuestPc *pc, unsigned devfn, unsigned reg)
{
    uint32_t at, word;
    unsigned n;

    if (guest_pci_in(pc, devfn, CAPABILITIES, 1, &at)) {
        return false;
    }
    for (n = 0; at && n < 48; n++) {
        unsigned len;

        if (guest_pci_in(pc, devfn, at & 0xfc, 4, &word)) {
            return false;
        }
        len = (word & 0xff) == MSI ? 24 : (word & 0xff) == MSI_X ? 12 :
              (word & 0xff) == POWER ? 8 : 0;
        if (reg - (at & 0xfc) < len) {
            return true;
        }
        at = word >> 8 & 0xff;
    }
    return false;
}

static void configuration(OracleSide *side, const OracleDevice *device,
                          OracleBytes *bytes)
{
    GuestPc *pc = oracle_pc(side);
    unsigned len = 1u << oracle_range(bytes, 0, 2);
    unsigned reg = ROUND_DOWN(oracle_bits(bytes, 8), len);
    unsigned devfn;

    if (draw_device(side, bytes, &devfn) && !is_left_alone(pc, devfn, reg)) {
        act_disturb(side);
        oracle_saw(side, "configuration: returns",
                   guest_pci_out(pc, devfn, reg, len,
                                 draw_value(side, bytes)));
    }
}

/* ---- BARs ---- */

/*
 * Where a BAR may go: its own place, another device's, the end of RAM, right
 * above that, where nothing is, above 4 GiB, or anywhere.
 */
static uint64_t draw_bar(OracleSide *side, OracleBytes *bytes, uint64_t size)
{
    uint64_t ram = oracle_ram_bytes(side), at;

    switch (oracle_range(bytes, 0, 7)) {
    case 0:
        at = ram - size;
        break;
    case 1:
        at = ram + oracle_bits(bytes, 26);
        break;
    case 2:
        at = ORACLE_NOWHERE + oracle_bits(bytes, 24);
        break;
    case 3:
        at = oracle_bits(bytes, 32);
        break;
    case 7:
        at = 0x100000000 + oracle_bits(bytes, 34);
        break;
    default:
        at = ORACLE_MMIO + oracle_bits(bytes, 27);
        break;
    }
    return ROUND_DOWN(at, size);
}

static void move(OracleSide *side, const OracleDevice *device,
                 OracleBytes *bytes)
{
    GuestPc *pc = oracle_pc(side);
    ActPci *pci = state(side);
    Moved *moved = &pci->moved[pci->n_moved];
    unsigned bar = oracle_range(bytes, 0, 5), devfn;
    uint64_t size = 0, at;
    uint32_t raw = 0;

    if (draw_device(side, bytes, &devfn) &&
        pci->n_moved < ARRAY_SIZE(pci->moved) &&
        !guest_pci_bar_size(pc, devfn, bar, &size) && size &&
        !guest_pci_bar_addr(pc, devfn, bar, &moved->from) &&
        !guest_pci_in(pc, devfn, 0x10 + 4 * bar, 4, &raw)) {
        at = raw & 1 ? ROUND_DOWN(0xc000 + oracle_bits(bytes, 13), size)
                     : draw_bar(side, bytes, size);
        moved->devfn = devfn;
        moved->bar = bar;
        pci->n_moved++;
        act_disturb(side);
        oracle_saw_at(side, "BAR moved", at,
                      guest_pci_place_bar(pc, devfn, bar, at));
    }
}

/* All BARs go back to where they were, the last first. */
static void home(OracleSide *side, const OracleDevice *device,
                 OracleBytes *bytes)
{
    ActPci *pci = state(side);

    while (pci->n_moved) {
        const Moved *moved = &pci->moved[--pci->n_moved];

        act_disturb(side);
        oracle_saw_at(side, "BAR moved back", moved->from,
                      guest_pci_place_bar(oracle_pc(side), moved->devfn,
                                          moved->bar, moved->from));
    }
}

/* Decoding off and on, as often as a kernel or a hostile guest does it. */
static void decode(OracleSide *side, const OracleDevice *device,
                   OracleBytes *bytes)
{
    GuestPc *pc = oracle_pc(side);
    unsigned times = oracle_draw_count(bytes, 32), devfn, i;
    bool stays_off = oracle_once_in(bytes, 4);
    uint16_t bits = oracle_once_in(bytes, 4) ? GUEST_PCI_MASTER : ALL_DECODE;

    if (!draw_device(side, bytes, &devfn)) {
        return;
    }
    act_disturb(side);
    for (i = 0; i < times; i++) {
        guest_pci_command(pc, devfn, 0, bits);
        if (i + 1 < times || !stays_off) {
            guest_pci_command(pc, devfn, bits, 0);
        }
    }
}

static const OracleAction actions[] = {
    { .name = "registers", .weight = 12, .bytes = 96, .wild = true,
      .run = registers },
    { .name = "configuration", .weight = 4, .bytes = 16, .wild = true,
      .run = configuration },
    { .name = "move", .weight = 6, .bytes = 16, .run = move },
    { .name = "home", .weight = 4, .run = home },
    { .name = "decode", .weight = 4, .bytes = 8, .run = decode },
};

const OracleDevice oracle_pci = {
    .name = "pci",
    .state_bytes = sizeof(ActPci),
    .actions = actions,
    .n_actions = ARRAY_SIZE(actions),
};
