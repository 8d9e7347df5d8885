/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Drawing into displays, and looking at them: see act-display.h. */
#include "qemu/osdep.h"
#include "act-display.h"

#define LOOK_BYTES  0x20000u
#define LOOKED_AT   0x400000u
#define WINDOW      0xa0000u

uint64_t act_display_at(OracleSide *side, unsigned devfn, uint64_t bytes)
{
    GuestPc *pc = oracle_pc(side);
    uint32_t command;
    uint64_t at;

    if (guest_pci_in(pc, devfn, 4, 2, &command) ||
        !(command & GUEST_PCI_MEMORY) ||
        guest_pci_bar_addr(pc, devfn, 0, &at) ||
        at < ORACLE_MMIO || at + bytes > ORACLE_NOWHERE) {
        return 0;
    }
    return at;
}

/*
 * Can the guest's CPU reach all of it without QEMU?  Where other things lie
 * over the video memory, there are no frames on Xen.
 */
static bool is_memory(OracleSide *side, uint64_t gpa, uint64_t len)
{
    XensimDomain *dom = oracle_domain(side) ?:
                        oracle_domain(oracle_peer(side));
    uint64_t page;

    for (page = gpa / ORACLE_PAGE;
         dom && page <= (gpa + len - 1) / ORACLE_PAGE; page++) {
        if (xensim_gfn_to_mfn(dom, page) == XENSIM_NO_MFN) {
            return false;
        }
    }
    return true;
}

void act_display_draw(OracleSide *side, OracleBytes *args, unsigned devfn,
                      uint64_t bytes)
{
    size_t len = oracle_draw_count(args, 0x10000);
    uint64_t offset = oracle_range(args, 0, bytes - len);
    uint64_t at = act_display_at(side, devfn, bytes);
    g_autofree uint8_t *data = g_malloc(len);

    oracle_pattern(data, len, oracle_bits(args, 32));
    if (at && is_memory(side, at + offset, len)) {
        oracle_saw(side, "display: drawn",
                   guest_mem_write(oracle_pc(side), at + offset, data, len));
    }
}

#define VGA_BYTES   (16u << 20)

uint64_t act_display_memory(OracleSide *side, OracleBytes *args, uint64_t len)
{
    const OraclePlace *place = oracle_place(side, &oracle_vga);
    uint64_t offset = ORACLE_PAGE * oracle_range(args, 0, 1023);
    uint64_t at = place ? act_display_at(side, place->devfn, VGA_BYTES) : 0;

    return at && is_memory(side, at + offset, len) ? at + offset : 0;
}

void act_display_look(OracleSide *side, unsigned devfn, uint64_t bytes)
{
    g_autofree uint8_t *data = g_malloc(LOOK_BYTES);
    uint64_t at = act_display_at(side, devfn, bytes), offset;
    bool any = !at || !oracle_domain(side) || oracle_side_faulted(side);

    for (offset = 0; at && offset < MIN(bytes, LOOKED_AT);
         offset += LOOK_BYTES) {
        if (is_memory(side, at + offset, LOOK_BYTES) &&
            !guest_mem_read(oracle_pc(side), at + offset, data, LOOK_BYTES)) {
            oracle_saw_bytes(side, "video memory", offset, data, LOOK_BYTES);
            any = true;
        }
    }
    /* Unless a call failed, only a part of it can be hidden by other things. */
    oracle_saw(side, "video memory has frames", any);
}

void act_display_old_window(OracleSide *side, const OracleDevice *device,
                            OracleBytes *bytes)
{
    /* Index and data ports of the sequencer, graphics, CRT controllers. */
    static const struct {
        uint16_t port;
        uint8_t registers;
    } sets[] = { { 0x3c4, 5 }, { 0x3ce, 9 }, { 0x3d4, 25 } };
    GuestPc *pc = oracle_pc(side);
    unsigned n = oracle_range(bytes, 1, 6), i;
    uint64_t val;

    for (i = 0; i < n; i++) {
        unsigned set = oracle_range(bytes, 0, ARRAY_SIZE(sets) - 1);

        guest_out(pc, sets[set].port, 1,
                  oracle_range(bytes, 0, sets[set].registers - 1));
        guest_out(pc, sets[set].port + 1, 1, oracle_bits(bytes, 8));
    }
    for (i = 0; i < n; i++) {
        unsigned len = 1u << oracle_range(bytes, 0, 2);
        uint64_t at = WINDOW + ROUND_DOWN(oracle_bits(bytes, 17), len);

        guest_mmio_out(pc, at, len, oracle_bits(bytes, 32));
        if (!guest_mmio_in(pc, at, len, &val)) {
            oracle_saw_at(side, "old window", at, val);
        }
    }
}
