/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A Cirrus card beside the VGA: its memory, and copies that it makes. */
#include "qemu/osdep.h"
#include "act-display.h"
#include "act-pci.h"

#define VRAM_BYTES  (4u << 20)
#define BAR_BYTES   (32u << 20)
#define LOOK_STEP   0x3ffcu

/* In BAR 1: the registers of the copying unit, and those that say what. */
enum {
    COPY_REGISTERS = 0x100,
    COPY_LAST = 0x1b,
    COPY_START = 0x40,
    START = 2,
    RESET = 4,
};

/* The graphics controller's registers; the one that starts a copy. */
enum { INDEX = 0x3ce, DATA = 0x3cf, COPY_CONTROL = 0x31 };

#define FED_WORDS   16u         /* to a copy that takes data from the CPU */

typedef struct ActCirrus {
    unsigned devfn;
    uint64_t registers;
} ActCirrus;

static int setup(OracleSide *side, const OracleDevice *device)
{
    const OraclePlace *place = oracle_place(side, device);
    ActCirrus *c = oracle_state(side, device);
    int rc;

    c->devfn = place->devfn;
    c->registers = place->mmio + BAR_BYTES + COPY_REGISTERS;
    rc = guest_pci_place_bar(oracle_pc(side), c->devfn, 0, place->mmio);
    return rc ?: guest_pci_place_bar(oracle_pc(side), c->devfn, 1,
                                     place->mmio + BAR_BYTES);
}

void act_cirrus_end_copy(OracleSide *side)
{
    GuestPc *pc = oracle_pc(side);
    uint32_t index;

    if (!oracle_place(side, &oracle_cirrus) ||
        guest_in(pc, INDEX, 1, &index)) {
        return;
    }
    guest_out(pc, INDEX, 1, COPY_CONTROL);
    guest_out(pc, DATA, 1, RESET);
    guest_out(pc, DATA, 1, 0);
    guest_out(pc, INDEX, 1, index);
}

/* By accesses of the CPU. */
static void draw(OracleSide *side, const OracleDevice *device,
                 OracleBytes *bytes)
{
    unsigned n = oracle_range(bytes, 1, 64), i;
    uint64_t offset = 4 * oracle_range(bytes, 0, VRAM_BYTES / 4 - n);
    ActCirrus *c = oracle_state(side, device);
    uint64_t at = act_display_at(side, c->devfn, BAR_BYTES);
    uint32_t data[64];

    oracle_pattern(data, sizeof(data), oracle_bits(bytes, 32));
    for (i = 0; at && i < n; i++) {
        oracle_saw_at(side, "cirrus: drawn", i,
                      guest_mmio_out(oracle_pc(side), at + offset + 4 * i, 4,
                                     data[i]));
    }
}

/*
 * The card copies within its memory, by whatever its registers say.  If the
 * copy takes data from the CPU, the card's memory is registers meanwhile; the
 * copy gets some data, and is ended.
 */
static void copy(OracleSide *side, const OracleDevice *device,
                 OracleBytes *bytes)
{
    ActCirrus *c = oracle_state(side, device);
    GuestPc *pc = oracle_pc(side);
    uint64_t at = act_display_at(side, c->devfn, BAR_BYTES), val;
    unsigned reg, i;

    for (reg = 0; reg <= COPY_LAST; reg++) {
        guest_mmio_out(pc, c->registers + reg, 1, oracle_bits(bytes, 8));
    }
    guest_mmio_out(pc, c->registers + COPY_START, 1, START);
    if (!guest_mmio_in(pc, c->registers + COPY_START, 1, &val)) {
        oracle_saw(side, "cirrus: copied", act_register(val, 1));
    }
    for (i = 0; at && i < FED_WORDS; i++) {
        guest_mmio_out(pc, at + 4 * i, 4, 0x01234567u * (i + 1));
    }
    act_cirrus_end_copy(side);
}

static void look(OracleSide *side, const OracleDevice *device)
{
    ActCirrus *c = oracle_state(side, device);
    uint64_t at = act_display_at(side, c->devfn, BAR_BYTES), offset, val;

    for (offset = 0; at && offset < VRAM_BYTES; offset += LOOK_STEP) {
        if (!guest_mmio_in(oracle_pc(side), at + offset, 4, &val)) {
            oracle_saw_at(side, "cirrus: video memory", offset,
                          act_register(val, 4));
        }
    }
}

static const OracleAction actions[] = {
    { .name = "draw", .weight = 6, .bytes = 12, .run = draw },
    { .name = "copy", .weight = 4, .bytes = 28, .run = copy },
};

const OracleDevice oracle_cirrus = {
    .name = "cirrus",
    .args = "-device cirrus-vga,id=cirrus0,addr=@SLOT@",
    .screen = "cirrus0",
    .mmio_bytes = 2 * BAR_BYTES,
    .state_bytes = sizeof(ActCirrus),
    .setup = setup,
    .look = look,
    .actions = actions,
    .n_actions = ARRAY_SIZE(actions),
};
