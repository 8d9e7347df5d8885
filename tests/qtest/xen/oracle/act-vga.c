/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A standard VGA: modes, drawing by the CPU, the old window at 0xa0000. */
#include "qemu/osdep.h"
#include "act-display.h"

#define VRAM_BYTES  (16u << 20)

enum { VIRTUAL_WIDTH = 6, X_OFFSET = 8, Y_OFFSET = 9 };

static int setup(OracleSide *side, const OracleDevice *device)
{
    GuestVga *vga = oracle_state(side, device);
    int rc = guest_vga_init(oracle_pc(side), vga, 0);

    if (!rc) {
        rc = guest_vga_place(vga, oracle_place(side, device)->mmio, 0);
    }
    return rc ?: guest_vga_mode(vga, 640, 480, 32);
}

static void mode(OracleSide *side, const OracleDevice *device,
                 OracleBytes *bytes)
{
    static const unsigned depths[] = { 8, 15, 16, 24, 32 };
    GuestVga *vga = oracle_state(side, device);
    unsigned width = 8 * oracle_range(bytes, 8, 160);
    unsigned height = oracle_range(bytes, 64, 1024);
    unsigned bpp = depths[oracle_range(bytes, 0, ARRAY_SIZE(depths) - 1)];

    oracle_saw(side, "vga: mode", guest_vga_mode(vga, width, height, bpp));
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
        oracle_saw_at(side, "vga: register", regs[i], val);
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
