/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio-gpu: pictures in the guest's memory, in pieces anywhere. */
#include "qemu/osdep.h"
#include "act-pci.h"
#include "drivers/virtio.h"

#define PICTURES    8u
#define MAX_PIECES  16384u      /* of a picture: what the device takes */
/*
 * The same on a machine with a small mapcache, where each piece of all pictures
 * has to be held by a mapping of its own.
 */
#define FEW_PIECES  100u
#define ENTRY_BYTES 16u

enum {
    CREATE = 0x101, UNREF, SET_SCANOUT, FLUSH, TRANSFER, ATTACH, DETACH,
};

typedef struct ActVgpu {
    GuestVgpu gpu;
    bool lost, failed;
    unsigned seen;              /* act_disturbances() then */
} ActVgpu;

/* A command's first words are its type and a context; here are the others. */
typedef struct Command {
    uint32_t type, flags, fence[2], context, ring;
    uint32_t word[12];
} Command;

static int setup(OracleSide *side, const OracleDevice *device)
{
    const OraclePlace *place = oracle_place(side, device);
    ActVgpu *v = oracle_state(side, device);

    return guest_vgpu_init(oracle_pc(side), &v->gpu, 0, place->mmio,
                           place->mem);
}

static ActVgpu *ready(OracleSide *side, const OracleDevice *device)
{
    ActVgpu *v = oracle_state(side, device);
    unsigned now = act_disturbances(side);

    if ((v->lost && !v->failed) || v->seen != now) {
        int rc = setup(side, device);

        oracle_saw(side, "virtio-gpu: set up again", rc);
        v->lost = v->failed = rc;
        v->seen = now;
    }
    return v->lost ? NULL : v;
}

static void command(OracleSide *side, const OracleDevice *device,
                    const Command *cmd, unsigned words, const GuestSg *more,
                    unsigned n)
{
    ActVgpu *v = ready(side, device);
    uint32_t answer = 0;
    int rc;

    if (!v) {
        return;
    }
    rc = guest_vgpu_command(&v->gpu, cmd, offsetof(Command, word) + 4 * words,
                            more, n, &answer);
    oracle_saw_at(side, "virtio-gpu: command", cmd->type, rc);
    oracle_saw_at(side, "virtio-gpu: answer", cmd->type, answer);
    v->lost = rc || guest_virtq_settle(&v->gpu.queue);
}

static uint32_t draw_id(OracleBytes *bytes)
{
    return oracle_range(bytes, 1, PICTURES);
}

/* ---- pictures ---- */

/* The list is read from the driver's memory, in up to 64 pieces. */
static void attach(OracleSide *side, const OracleDevice *device, uint32_t id,
                   const GuestSg *sg, unsigned n)
{
    const uint64_t list = oracle_place(side, device)->mem + GUEST_VGPU_BYTES;
    const Command cmd = { .type = ATTACH, .word = { id, n } };
    const GuestSg more = { list, n * ENTRY_BYTES };
    g_autofree struct {
        uint64_t gpa;
        uint32_t len, unused;
    } *entry = g_malloc0_n(n, ENTRY_BYTES);
    unsigned i;

    for (i = 0; i < n; i++) {
        entry[i].gpa = sg[i].gpa;
        entry[i].len = sg[i].len;
    }
    if (!guest_mem_write(oracle_pc(side), list, entry, n * ENTRY_BYTES)) {
        command(side, device, &cmd, 2, &more, 1);
    }
}

static void create(OracleSide *side, const OracleDevice *device, uint32_t id,
                   uint32_t width, uint32_t height)
{
    const Command cmd = {
        .type = CREATE,
        .word = { id, 2 /* blue, green, red, unused */, width, height },
    };

    command(side, device, &cmd, 4, NULL, 0);
}

static unsigned most_pieces(OracleSide *side)
{
    return oracle_is_tight(side) ? FEW_PIECES : MAX_PIECES;
}

/* A picture with memory in pieces anywhere, which may not be enough. */
static void picture(OracleSide *side, const OracleDevice *device,
                    OracleBytes *bytes)
{
    g_autofree GuestSg *sg = g_new(GuestSg, MAX_PIECES);
    uint32_t id = draw_id(bytes);
    uint32_t width = oracle_draw_count(bytes, 1024);
    uint32_t height = oracle_draw_count(bytes, 1024);
    uint64_t total = 4 * width * height;
    unsigned n = oracle_draw_sg(side, bytes, sg, most_pieces(side), 4, total,
                                false);

    create(side, device, id, width, height);
    attach(side, device, id, sg, n - oracle_bits(bytes, 1) ?: 1);
}

/* Pictures whose memory is one page, named as often as the device allows. */
static void one_page(OracleSide *side, const OracleDevice *device,
                     OracleBytes *bytes)
{
    g_autofree GuestSg *sg = g_new(GuestSg, MAX_PIECES);
    unsigned pictures = oracle_range(bytes, 1, PICTURES);
    unsigned n = MIN(oracle_range(bytes, 1024, MAX_PIECES),
                     most_pieces(side)), i;
    uint64_t gpa = oracle_draw_ram(side, bytes, ORACLE_PAGE, ORACLE_PAGE);

    for (i = 0; i < n; i++) {
        sg[i] = (GuestSg) { gpa, 64 };
    }
    for (i = 1; i <= pictures; i++) {
        create(side, device, i, 16, n);
        attach(side, device, i, sg, n);
    }
}

static void remove_picture(OracleSide *side, const OracleDevice *device,
                           OracleBytes *bytes)
{
    const Command cmd = {
        .type = oracle_bits(bytes, 1) ? UNREF : DETACH,
        .word = { draw_id(bytes) },
    };

    command(side, device, &cmd, 2, NULL, 0);
}

/* The device takes pixels from the guest's memory and shows them. */
static void show(OracleSide *side, const OracleDevice *device,
                 OracleBytes *bytes)
{
    uint32_t id = draw_id(bytes);
    uint32_t x = oracle_draw_count(bytes, 256) - 1;
    uint32_t y = oracle_draw_count(bytes, 256) - 1;
    uint32_t width = oracle_draw_count(bytes, 1024);
    uint32_t height = oracle_draw_count(bytes, 1024);
    const Command transfer = {
        .type = TRANSFER,
        .word = { x, y, width, height, oracle_draw_count(bytes, 65536) - 1, 0,
                  id },
    };
    const Command scanout = {
        .type = SET_SCANOUT,
        .word = { x, y, width, height, 0, id },
    };
    const Command flush = {
        .type = FLUSH,
        .word = { x, y, width, height, id },
    };

    command(side, device, &transfer, 8, NULL, 0);
    if (oracle_bits(bytes, 1)) {
        command(side, device, &scanout, 6, NULL, 0);
    }
    command(side, device, &flush, 6, NULL, 0);
}

static void reset(OracleSide *side, const OracleDevice *device,
                  OracleBytes *bytes)
{
    ActVgpu *v = oracle_state(side, device);

    oracle_saw(side, "virtio-gpu: reset", guest_virtio_reset(&v->gpu.dev));
    v->lost = true;
}

static const OracleAction actions[] = {
    { .name = "picture", .weight = 10, .bytes = 96, .run = picture },
    { .name = "one-page", .weight = 1, .bytes = 8, .run = one_page },
    { .name = "remove", .weight = 3, .bytes = 2, .run = remove_picture },
    { .name = "show", .weight = 10, .bytes = 16, .run = show },
    { .name = "reset", .weight = 1, .run = reset },
};

const OracleDevice oracle_vgpu = {
    .name = "virtio-gpu",
    .args = "-device virtio-gpu-pci,id=vgpu0,addr=@SLOT@",
    .screen = "vgpu0",
    .mem_bytes = GUEST_VGPU_BYTES + MAX_PIECES * ENTRY_BYTES,
    .mmio_bytes = 0x4000,
    .state_bytes = sizeof(ActVgpu),
    .setup = setup,
    .actions = actions,
    .n_actions = ARRAY_SIZE(actions),
};
