/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A disk on an AHCI controller: tables of pieces (PRDs), good and bad ones. */
#include "qemu/osdep.h"
#include "act-display.h"
#include "act-pci.h"
#include "drivers/ahci.h"

#define DISK_BYTES  (8u << 20)
#define SECTORS     (DISK_BYTES / GUEST_SECTOR_SIZE)
#define MAX_SECTORS 4096u
#define MAX_PIECES  1000u
#define SLOTS       32u
#define TABLE_BYTES 0x4000u

typedef struct ActAhci {
    GuestAhci ahci;
    bool lost, failed;
    unsigned seen;              /* act_disturbances() then */
} ActAhci;

enum { REGISTERS_BAR = 5, VERSION = 0x10, VERSION_1_0 = 0x10000 };

/*
 * Are its registers behind another device's BAR?  A driver would wait for the
 * port to stop until it gives up.
 */
static bool is_hidden(OracleSide *side, const OraclePlace *place)
{
    GuestPc *pc = oracle_pc(side);
    uint64_t val;

    guest_pci_place_bar(pc, place->devfn, REGISTERS_BAR, place->mmio);
    guest_pci_command(pc, place->devfn, GUEST_PCI_MEMORY, 0);
    return guest_mmio_in(pc, place->mmio + VERSION, 4, &val) ||
           val != VERSION_1_0;
}

static int setup(OracleSide *side, const OracleDevice *device)
{
    const OraclePlace *place = oracle_place(side, device);
    ActAhci *a = oracle_state(side, device);

    if (is_hidden(side, place)) {
        return -ENODEV;
    }
    return guest_ahci_init(oracle_pc(side), &a->ahci, 0, place->mmio,
                           place->mem);
}

static ActAhci *ready(OracleSide *side, const OracleDevice *device)
{
    ActAhci *a = oracle_state(side, device);
    unsigned now = act_disturbances(side);

    if ((a->lost && !a->failed) || a->seen != now) {
        int rc = setup(side, device);

        rc = rc ?: guest_ahci_reset_link(&a->ahci);
        oracle_saw(side, "ahci: set up again", rc);
        a->lost = a->failed = rc;
        a->seen = now;
    }
    return a->lost ? NULL : a;
}

static uint64_t table_at(OracleSide *side, const OracleDevice *device,
                         unsigned slot)
{
    return oracle_place(side, device)->mem + GUEST_AHCI_BYTES +
           slot * TABLE_BYTES;
}

static int prepare(OracleSide *side, const OracleDevice *device, ActAhci *a,
                   unsigned slot, bool write, uint64_t lba, unsigned sectors,
                   const GuestSg *sg, unsigned n)
{
    int rc = guest_ahci_prepare(&a->ahci, slot, write, lba, sectors,
                                table_at(side, device, slot), sg, n);

    oracle_saw_at(side, "ahci: prepared", slot, rc);
    return rc;
}

static void finish(OracleSide *side, ActAhci *a, uint32_t slots)
{
    uint32_t task = 0;
    int rc = guest_ahci_issue(&a->ahci, slots);

    rc = rc ?: guest_ahci_wait(&a->ahci, slots, &task);
    oracle_saw(side, "ahci: waited", rc);
    oracle_saw(side, "ahci: status", task);
    a->lost = rc;
}

/* Pieces of two bytes and more, or of sectors that are anywhere. */
static unsigned draw_list(OracleSide *side, OracleBytes *bytes, GuestSg *sg,
                          unsigned sectors)
{
    bool wild = oracle_bits(bytes, 1);

    return oracle_draw_sg(side, bytes, sg, MAX_PIECES,
                          wild ? GUEST_SECTOR_SIZE : 2,
                          sectors * GUEST_SECTOR_SIZE, wild);
}

/* One command, whose data are anywhere. */
static void request(OracleSide *side, const OracleDevice *device,
                    OracleBytes *bytes)
{
    g_autofree GuestSg *sg = g_new(GuestSg, MAX_PIECES);
    ActAhci *a = ready(side, device);
    bool write = oracle_bits(bytes, 1);
    unsigned slot = oracle_range(bytes, 0, SLOTS - 1);
    unsigned sectors = oracle_draw_count(bytes, MAX_SECTORS);
    uint64_t lba = oracle_range(bytes, 0, SECTORS - sectors);
    unsigned n = draw_list(side, bytes, sg, sectors);

    if (a && !prepare(side, device, a, slot, write, lba, sectors, sg, n)) {
        finish(side, a, 1u << slot);
    }
}

/* Commands in many slots with one write to the register that issues them. */
static void several(OracleSide *side, const OracleDevice *device,
                    OracleBytes *bytes)
{
    g_autofree GuestSg *sg = g_new(GuestSg, MAX_PIECES);
    ActAhci *a = ready(side, device);
    unsigned count = oracle_range(bytes, 2, SLOTS), slot;
    uint32_t slots = 0;

    for (slot = 0; a && slot < count; slot++) {
        unsigned sectors = oracle_draw_count(bytes, 256);
        unsigned n = draw_list(side, bytes, sg, sectors);

        if (!prepare(side, device, a, slot, oracle_bits(bytes, 1),
                     slot * 256, sectors, sg, n)) {
            slots |= 1u << slot;
        }
    }
    if (slots) {
        finish(side, a, slots);
    }
}

/* All slots, each with a table that names one page as often as it can. */
static void one_page(OracleSide *side, const OracleDevice *device,
                     OracleBytes *bytes)
{
    g_autofree GuestSg *sg = g_new(GuestSg, MAX_PIECES);
    ActAhci *a = ready(side, device);
    uint64_t gpa = oracle_draw_ram(side, bytes, ORACLE_PAGE, 512);
    unsigned slot, i;
    uint32_t slots = 0;

    for (i = 0; i < MAX_PIECES; i++) {
        sg[i] = (GuestSg) { gpa, GUEST_SECTOR_SIZE };
    }
    for (slot = 0; a && slot < SLOTS; slot++) {
        if (!prepare(side, device, a, slot, true, slot * MAX_PIECES %
                     (SECTORS - MAX_PIECES), MAX_PIECES, sg, MAX_PIECES)) {
            slots |= 1u << slot;
        }
    }
    if (slots) {
        finish(side, a, slots);
    }
}

/*
 * Pieces that are the list of commands, the table itself, or where answers
 * go.  The disk reads from there, or writes to it in the middle of a command.
 */
static void itself(OracleSide *side, const OracleDevice *device,
                   OracleBytes *bytes)
{
    ActAhci *a = ready(side, device);
    const uint64_t own[] = {
        oracle_place(side, device)->mem, table_at(side, device, 0),
        oracle_place(side, device)->mem + 0x400,
    };
    GuestSg sg[8];
    unsigned n = oracle_range(bytes, 1, ARRAY_SIZE(sg)), i;

    for (i = 0; i < n; i++) {
        sg[i].gpa = oracle_once_in(bytes, 4) ?
                    oracle_draw_ram(side, bytes, 512, 2) :
                    own[oracle_range(bytes, 0, ARRAY_SIZE(own) - 1)];
        sg[i].len = GUEST_SECTOR_SIZE;
    }
    if (a && !prepare(side, device, a, 0, oracle_bits(bytes, 1),
                      oracle_bits(bytes, 10), n, sg, n)) {
        finish(side, a, 1);
        a->lost = true;
    }
}

/*
 * The guest gives up in the middle of a command: it stops the port or resets
 * the link.  The command may have been done or not; it is made again.
 */
static void cancel(OracleSide *side, const OracleDevice *device,
                   OracleBytes *bytes)
{
    g_autofree GuestSg *sg = g_new(GuestSg, MAX_PIECES);
    ActAhci *a = ready(side, device);
    bool write = oracle_bits(bytes, 1);
    bool stops = oracle_bits(bytes, 1);
    unsigned sectors = oracle_draw_count(bytes, MAX_SECTORS);
    unsigned n = draw_list(side, bytes, sg, sectors);

    if (!a || prepare(side, device, a, 0, write, 0, sectors, sg, n)) {
        return;
    }
    guest_ahci_issue(&a->ahci, 1);
    if (stops) {
        guest_ahci_stop(&a->ahci);
    }
    a->lost = true;
    a = ready(side, device);
    if (a && !prepare(side, device, a, 0, write, 0, sectors, sg, n)) {
        finish(side, a, 1);
    }
}

/* The list of commands, the table and where answers go are video memory. */
static void in_video_memory(OracleSide *side, const OracleDevice *device,
                            OracleBytes *bytes)
{
    g_autofree GuestSg *sg = g_new(GuestSg, MAX_PIECES);
    ActAhci *a = ready(side, device);
    uint64_t mem = act_display_memory(side, bytes,
                                      GUEST_AHCI_BYTES + TABLE_BYTES);
    bool write = oracle_bits(bytes, 1);
    unsigned sectors = oracle_draw_count(bytes, 256);
    unsigned n = draw_list(side, bytes, sg, sectors);
    int rc;

    if (!a || !mem) {
        return;
    }
    rc = guest_ahci_init(oracle_pc(side), &a->ahci, 0,
                         oracle_place(side, device)->mmio, mem);
    rc = rc ?: guest_ahci_prepare(&a->ahci, 0, write, 0, sectors,
                                  mem + GUEST_AHCI_BYTES, sg, n);
    oracle_saw(side, "ahci: in video memory", rc);
    if (!rc) {
        finish(side, a, 1);
    }
    a->lost = true;
}

static const OracleAction actions[] = {
    { .name = "request", .weight = 20, .bytes = 128, .run = request },
    { .name = "several", .weight = 5, .bytes = 600, .run = several },
    { .name = "one-page", .weight = 1, .bytes = 6, .run = one_page },
    { .name = "itself", .weight = 2, .bytes = 32, .run = itself },
    { .name = "cancel", .weight = 2, .bytes = 96, .run = cancel },
    { .name = "in-video-memory", .weight = 2, .bytes = 96,
      .run = in_video_memory },
};

const OracleDevice oracle_ahci = {
    .name = "ahci",
    .args = "-drive file=@DISK@,format=raw,if=none,id=ahci,cache=writeback,"
            "file.locking=off "
            "-device ich9-ahci,id=ahci0,addr=@SLOT@ "
            "-device ide-hd,drive=ahci,bus=ahci0.0",
    .disk_bytes = DISK_BYTES,
    .mem_bytes = GUEST_AHCI_BYTES + SLOTS * TABLE_BYTES,
    .mmio_bytes = 0x1000,
    .state_bytes = sizeof(ActAhci),
    .setup = setup,
    .actions = actions,
    .n_actions = ARRAY_SIZE(actions),
};
