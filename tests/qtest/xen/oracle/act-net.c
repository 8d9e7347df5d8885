/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two network cards on one hub, functions of one slot: what virtio-net sends,
 * the e1000 receives, and the other way round.
 */
#include "qemu/osdep.h"
#include "act-list.h"
#include "act-vdev.h"
#include "drivers/e1000.h"

#define MAX_PIECES   200u
#define HEADER_BYTES 12u        /* before a packet, in virtio's queues */
#define MAX_PACKET   16000u
#define SETTLE_NS    2000000000 /* until an e1000 takes packets */
#define E1000_MMIO   0x20000u

enum { RECEIVE, TRANSMIT };

typedef struct ActNet {
    ActVdev virtio;
    GuestE1000 e1000;
} ActNet;

static const ActVdevKind kind = {
    .device_id = GUEST_VIRTIO_NET,
    .queues = 2,
    .features = GUEST_VIRTIO_F_INDIRECT,
};

static uint64_t e1000_memory(OracleSide *side, const OracleDevice *device)
{
    return oracle_place(side, device)->mem + ACT_VDEV_BYTES;
}

static int setup_e1000(OracleSide *side, const OracleDevice *device)
{
    const OraclePlace *place = oracle_place(side, device);
    ActNet *net = oracle_state(side, device);
    uint64_t mem = e1000_memory(side, device);
    int rc = guest_e1000_init(oracle_pc(side), &net->e1000, place->mmio +
                              E1000_MMIO, mem);

    rc = rc ?: guest_e1000_init_tx(&net->e1000, mem + GUEST_E1000_BYTES);
    oracle_pass_time(side, SETTLE_NS);
    return rc;
}

static int setup(OracleSide *side, const OracleDevice *device)
{
    return act_vdev_setup(side, device, &kind) ?: setup_e1000(side, device);
}

static ActNet *ready(OracleSide *side, const OracleDevice *device)
{
    ActNet *net = oracle_state(side, device);
    bool again = net->virtio.lost ||
                 net->virtio.seen != act_disturbances(side);

    if (!act_vdev_ready(side, device, &kind)) {
        return NULL;
    }
    if (again) {
        net->virtio.lost = setup_e1000(side, device);
    }
    return net->virtio.lost ? NULL : net;
}

/* A packet to everybody: the cards that receive it look at no more. */
static void write_broadcast(OracleSide *side, uint64_t gpa)
{
    uint8_t address[12];

    memset(address, 0xff, sizeof(address));
    guest_mem_write(oracle_pc(side), gpa, address, sizeof(address));
}

/*
 * The pieces of a packet of @bytes, of which the first is in RAM and begins
 * with a broadcast address; the others are anywhere.
 */
static unsigned draw_packet(OracleSide *side, OracleBytes *bytes, GuestSg *sg,
                            unsigned max, uint64_t len)
{
    uint64_t gpa = oracle_draw_ram(side, bytes, 14, 2);

    write_broadcast(side, gpa);
    sg[0] = (GuestSg) { gpa, 14 };
    return len <= 14 ? 1 : 1 + act_draw_list(side, bytes, sg + 1, max - 1, 1,
                                             len - 14, true);
}

/* Does a piece lie in the @len bytes at @gpa? */
static bool is_in(const GuestSg *sg, unsigned n, uint64_t gpa, uint64_t len)
{
    unsigned i;

    for (i = 0; i < n; i++) {
        if (sg[i].gpa < gpa + len && gpa < sg[i].gpa + sg[i].len) {
            return true;
        }
    }
    return false;
}

/*
 * By virtio-net, into buffers of the e1000 that are anywhere.  If a piece of
 * the packet is there, it depends on when it is read what is received: a piece
 * that cannot be mapped is copied before.
 */
static void virtio_sends(OracleSide *side, const OracleDevice *device,
                         OracleBytes *bytes)
{
    ActNet *net = ready(side, device);
    GuestSg sg[MAX_PIECES + 1];
    uint64_t own = act_vdev_own(side, device);
    uint64_t len = oracle_range(bytes, 60, 1514);
    uint64_t to = oracle_draw_gpa(side, bytes);
    uint8_t header[HEADER_BYTES] = { 0 };
    unsigned n = draw_packet(side, bytes, sg + 1, MAX_PIECES, len), got = 0;

    sg[0] = (GuestSg) { own, HEADER_BYTES };
    if (net && !is_in(sg, n + 1, to, GUEST_E1000_BUFFER) &&
        !guest_mem_write(oracle_pc(side), own, header, sizeof(header)) &&
        !guest_e1000_set_buffer(&net->e1000, net->e1000.head, to) &&
        act_vdev_request(side, device, TRANSMIT, sg, n + 1, 0)) {
        int rc = guest_e1000_receive(&net->e1000, NULL, 0, &got);

        oracle_saw(side, "e1000: received", rc);
        oracle_saw(side, "e1000: bytes", got);
        rc = rc ?: guest_e1000_refill(&net->e1000);
        net->virtio.lost = rc;
    }
}

/* By the e1000, into a list of virtio-net's that is anywhere. */
static void e1000_sends(OracleSide *side, const OracleDevice *device,
                        OracleBytes *bytes)
{
    ActNet *net = ready(side, device);
    GuestSg to[MAX_PIECES], sg[MAX_PIECES];
    GuestVirtq *q = net ? &net->virtio.vdev.queue[RECEIVE] : NULL;
    uint64_t len = oracle_range(bytes, 60, 1514);
    unsigned room = act_draw_list(side, bytes, to + 1, MAX_PIECES - 1, 1,
                                  1600, true);
    unsigned n = draw_packet(side, bytes, sg, MAX_PIECES, len);
    uint32_t used = 0;
    uint16_t head;
    int rc;

    to[0] = (GuestSg) { act_vdev_own(side, device), HEADER_BYTES };
    if (!net) {
        return;
    }
    rc = guest_virtq_add(q, to, 0, room + 1, &head);
    rc = rc ?: guest_virtq_kick(q, true);
    rc = rc ?: guest_e1000_send(&net->e1000, sg, n);
    rc = rc ?: guest_virtq_wait(q, &head, &used);
    rc = rc ?: guest_virtq_settle(q);
    oracle_saw(side, "virtio-net: received", rc);
    oracle_saw(side, "virtio-net: bytes", used);
    net->virtio.lost = rc;
}

/* As long as it can be, with nobody who waits for it. */
static void long_packet(OracleSide *side, const OracleDevice *device,
                        OracleBytes *bytes)
{
    ActNet *net = ready(side, device);
    GuestSg sg[MAX_PIECES];
    unsigned n = draw_packet(side, bytes, sg, MAX_PIECES,
                             oracle_draw_count(bytes, MAX_PACKET));

    if (net) {
        oracle_saw(side, "e1000: sent", guest_e1000_send(&net->e1000, sg, n));
        net->virtio.lost = true;
    }
}

/* Registers of the e1000. */
enum {
    CAUSES_READ = 0xc0, CAUSES_SET = 0xc8, MASK_SET = 0xd0, MASK_CLEAR = 0xd8,
};

#define LINK_CHANGED 4u         /* a cause */
#define MITIGATED_NS 20000000   /* the longest that it keeps one back */

/*
 * The e1000 raises its interrupt, by causes that the guest says itself.  The
 * link is none of them: after a restore QEMU says that it has changed.  It may
 * keep an interrupt back for some time, and does so after a restore.
 */
static void interrupt(OracleSide *side, const OracleDevice *device,
                      OracleBytes *bytes)
{
    const OraclePlace *place = oracle_place(side, device);
    ActNet *net = ready(side, device);
    uint64_t at = place->mmio + E1000_MMIO, causes = 0;
    uint32_t mask = oracle_bits(bytes, 32), set = oracle_bits(bytes, 32);
    GuestPc *pc = oracle_pc(side);

    if (!net) {
        return;
    }
    guest_mmio_out(pc, at + MASK_SET, 4, mask & ~LINK_CHANGED);
    guest_mmio_out(pc, at + CAUSES_SET, 4, set);
    oracle_pass_time(side, MITIGATED_NS);
    oracle_look_at_line(side, place->devfn);
    if (oracle_bits(bytes, 1)) {
        guest_mmio_out(pc, at + MASK_CLEAR, 4, UINT32_MAX);
        guest_mmio_in(pc, at + CAUSES_READ, 4, &causes);
        oracle_saw(side, "e1000: causes", causes & ~LINK_CHANGED);
        oracle_look_at_line(side, place->devfn);
    }
}

static const OracleAction actions[] = {
    { .name = "virtio-sends", .weight = 8, .bytes = 64, .run = virtio_sends },
    { .name = "e1000-sends", .weight = 8, .bytes = 96, .run = e1000_sends },
    { .name = "interrupt", .weight = 2, .bytes = 9, .run = interrupt },
    { .name = "long-packet", .weight = 1, .bytes = 64, .run = long_packet },
};

const OracleDevice oracle_net = {
    .name = "net",
    /* What is restored does not tell the network: the other card would hear. */
    .args = "-global migration.announce-rounds=0 "
            "-netdev hubport,id=net0,hubid=0 -netdev hubport,id=net1,hubid=0 "
            "-device virtio-net-pci,netdev=net0,romfile=,addr=@SLOT@.0,"
            "multifunction=on "
            "-device e1000,netdev=net1,romfile=,addr=@SLOT@.1",
    .mem_bytes = ACT_VDEV_BYTES + GUEST_E1000_BYTES + 0x1000,
    .mmio_bytes = 2 * E1000_MMIO,
    .state_bytes = sizeof(ActNet),
    .setup = setup,
    .actions = actions,
    .n_actions = ARRAY_SIZE(actions),
};
