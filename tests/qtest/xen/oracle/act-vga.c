/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A standard VGA: modes, by its registers in BAR 2, drawing by the CPU, and the
 * old window at 0xa0000.
 */
#include "qemu/osdep.h"
#include "act-display.h"
#include "act-pci.h"

#define VRAM_BYTES  (16u << 20)

enum { VIRTUAL_WIDTH = 6, X_OFFSET = 8, Y_OFFSET = 9 };

static int setup(OracleSide *side, const OracleDevice *device)
{
    GuestVga *vga = oracle_state(side, device);
    int rc = guest_vga_init(oracle_pc(side), vga, 0);

    if (!rc) {
        rc = guest_vga_place(vga, oracle_place(side, device)->mmio,
                             ORACLE_VGA_BAR2);
    }
    return rc ?: guest_vga_mode(vga, 640, 480, 32);
}

/*
 * Puts the registers back where the driver reaches them, if the guest has moved
 * or hidden them.  They are not reached by their ports, which are the Cirrus
 * card's where there is one.
 */
static int show_registers(GuestVga *vga)
{
    uint64_t at;
    int rc = guest_pci_bar_addr(vga->pc, vga->devfn, 2, &at);

    if (!rc && at != ORACLE_VGA_BAR2) {
        rc = guest_pci_place_bar(vga->pc, vga->devfn, 2, ORACLE_VGA_BAR2);
    }
    return rc ?: guest_pci_command(vga->pc, vga->devfn, GUEST_PCI_MEMORY, 0);
}

static void mode(OracleSide *side, const OracleDevice *device,
                 OracleBytes *bytes)
{
    static const unsigned depths[] = { 8, 15, 16, 24, 32 };
    GuestVga *vga = oracle_state(side, device);
    unsigned width = 8 * oracle_range(bytes, 8, 160);
    unsigned height = oracle_range(bytes, 64, 1024);
    unsigned bpp = depths[oracle_range(bytes, 0, ARRAY_SIZE(depths) - 1)];
    int rc;

    vga->ports = oracle_bits(bytes, 1);
    rc = vga->ports ? 0 : show_registers(vga);
    oracle_saw(side, "vga: mode",
               rc ?: guest_vga_mode(vga, width, height, bpp));
    vga->ports = false;
}

/* The picture is of another part of the video memory. */
static void pan(OracleSide *side, const OracleDevice *device,
                OracleBytes *bytes)
{
    GuestVga *vga = oracle_state(side, device);
    static const uint8_t regs[] = { VIRTUAL_WIDTH, X_OFFSET, Y_OFFSET };
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(regs); i++) {
        uint16_t val = oracle_draw_count(bytes, 4096) - 1;

        oracle_saw_at(side, "vga: pan", regs[i],
                      guest_dispi_out(vga, regs[i], val));
        guest_dispi_in(vga, regs[i], &val);
        oracle_saw_at(side, "vga: register", regs[i], act_register(val, 2));
    }
}

/*
 * Text modes, planes and all that an old VGA can show, by registers in BAR 2: a
 * set of them, and one of the set.
 */
static void registers(OracleSide *side, const OracleDevice *device,
                      OracleBytes *bytes)
{
    static const struct {
        uint16_t port;
        uint8_t registers;
    } sets[] = { { 0x3c4, 5 }, { 0x3ce, 9 }, { 0x3d4, 25 } };
    GuestVga *vga = oracle_state(side, device);
    unsigned n = oracle_range(bytes, 1, 8), i;
    uint8_t val = 0;

    oracle_saw(side, "vga: registers shown", show_registers(vga));
    for (i = 0; i < n; i++) {
        unsigned set = oracle_range(bytes, 0, ARRAY_SIZE(sets) - 1);

        guest_vga_out(vga, sets[set].port,
                      oracle_range(bytes, 0, sets[set].registers - 1));
        guest_vga_out(vga, sets[set].port + 1, oracle_bits(bytes, 8));
        guest_vga_in(vga, sets[set].port + 1, &val);
        oracle_saw_at(side, "vga: old register", set, act_register(val, 1));
    }
}

static void draw(OracleSide *side, const OracleDevice *device,
                 OracleBytes *bytes)
{
    GuestVga *vga = oracle_state(side, device);

    act_display_draw(side, bytes, vga->devfn, VRAM_BYTES);
}

static void look(OracleSide *side, const OracleDevice *device)
{
    GuestVga *vga = oracle_state(side, device);

    act_display_look(side, vga->devfn, VRAM_BYTES);
}

static const OracleAction actions[] = {
    { .name = "mode", .weight = 2, .bytes = 5, .run = mode },
    { .name = "registers", .weight = 2, .bytes = 25, .run = registers },
    { .name = "pan", .weight = 2, .bytes = 12, .run = pan },
    { .name = "draw", .weight = 8, .bytes = 12, .run = draw },
    { .name = "old-window", .weight = 4, .bytes = 64,
      .run = act_display_old_window },
};

const OracleDevice oracle_vga = {
    .name = "vga",
    .args = "-device VGA,id=vga0,vgamem_mb=16,addr=@SLOT@",
    .screen = "vga0",
    .mmio_bytes = VRAM_BYTES,
    .state_bytes = sizeof(GuestVga),
    .setup = setup,
    .look = look,
    .actions = actions,
    .n_actions = ARRAY_SIZE(actions),
};
