/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A standard VGA: modes, drawing, and where its memory is shown. */
#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "actions.h"

#define VRAM_BYTES  (16u << 20)
#define LOOK_BYTES  0x20000u

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

    oracle_saw(side, "vga.mode returns",
               guest_vga_mode(vga, width, height, bpp));
}

/* Draws into video memory, as the guest's CPU does. */
static void draw(OracleSide *side, const OracleDevice *device,
                 OracleBytes *bytes)
{
    GuestVga *vga = oracle_state(side, device);
    size_t len = oracle_draw_count(bytes, 0x10000);
    uint64_t at = oracle_range(bytes, 0, VRAM_BYTES - len);
    g_autofree uint8_t *data = g_malloc(len);

    oracle_pattern(data, len, oracle_bits(bytes, 32));
    oracle_saw(side, "vga.draw returns",
               guest_mem_write(oracle_pc(side), vga->vram + at, data, len));
}

static void look(OracleSide *side, const OracleDevice *device)
{
    GuestVga *vga = oracle_state(side, device);
    g_autofree uint8_t *data = g_malloc(LOOK_BYTES);
    uint64_t at;

    for (at = 0; at < 0x200000; at += LOOK_BYTES) {
        if (!guest_mem_read(oracle_pc(side), vga->vram + at, data,
                            LOOK_BYTES)) {
            oracle_saw_bytes(side, "video memory", at, data, LOOK_BYTES);
        }
    }
}

static const OracleAction actions[] = {
    { .name = "mode", .weight = 2, .bytes = 5, .run = mode },
    { .name = "draw", .weight = 8, .bytes = 12, .run = draw },
};

const OracleDevice oracle_vga = {
    .name = "vga",
    .args = "-device VGA,vgamem_mb=16,addr=@SLOT@",
    .mmio_bytes = VRAM_BYTES,
    .state_bytes = sizeof(GuestVga),
    .setup = setup,
    .look = look,
    .actions = actions,
    .n_actions = ARRAY_SIZE(actions),
};
