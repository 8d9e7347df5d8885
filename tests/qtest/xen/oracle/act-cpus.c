/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Several vCPUs whose requests are with the device model at the same time. */
#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "actions.h"

#define PM_TIMER        0xb008  /* as oracle_xen sets it up */
#define WINDOW          0xa0000u
#define ITEM            4u
/* Of a string: each is a round trip to the plain machine. */
#define MAX_ITEMS       256u
#define FIRST_SLOT      4u      /* before it, the machines are not the same */
#define SLOTS           32u
#define INTERRUPT_LINE  0x3c    /* a byte that only the guest uses */

/* A word of any function's header below that byte. */
static XensimIoreq draw_config_read(OracleBytes *bytes)
{
    uint64_t devfn = oracle_range(bytes, FIRST_SLOT, SLOTS - 1) << 3;

    return (XensimIoreq) {
        .type = XENSIM_IOREQ_PCI_CONFIG,
        .addr = devfn << 32 |
                4 * oracle_range(bytes, 0, INTERRUPT_LINE / 4 - 1),
        .size = 4, .count = 1, .read = true,
    };
}

/* Each vCPU writes to slots of its own. */
static XensimIoreq draw_config_write(OracleBytes *bytes, unsigned vcpu)
{
    uint64_t slot = oracle_range(bytes, FIRST_SLOT, SLOTS - 1) /
                    ORACLE_VCPUS * ORACLE_VCPUS + vcpu;

    return (XensimIoreq) {
        .type = XENSIM_IOREQ_PCI_CONFIG,
        .addr = slot << 35 | INTERRUPT_LINE,
        .data = oracle_bits(bytes, 8), .size = 1, .count = 1,
    };
}

/*
 * A string instruction between RAM and the old VGA's window, which QEMU carries
 * out.  All vCPUs write, each to a page of its own.  Or all read the same
 * bytes: the latches of a VGA hold what was read last.
 */
static XensimIoreq draw_string(OracleSide *side, OracleBytes *bytes,
                               unsigned vcpu, bool read)
{
    uint64_t ram = oracle_draw_ram(side, bytes, ORACLE_PAGE, ORACLE_PAGE);
    uint64_t bucket = ROUND_DOWN(ram, ORACLE_BUCKET);

    /* The quarter of its bucket is this vCPU's. */
    ram = bucket + (ram - bucket) / ORACLE_VCPUS +
          vcpu * (ORACLE_BUCKET / ORACLE_VCPUS);
    ram = ROUND_DOWN(ram, ORACLE_PAGE);
    oracle_bring_back(side, ram, ORACLE_PAGE);
    return (XensimIoreq) {
        .type = XENSIM_IOREQ_COPY,
        .addr = WINDOW + (read ? 0 : vcpu * ORACLE_PAGE),
        .data = ram,
        .size = ITEM,
        .count = read ? MAX_ITEMS : oracle_draw_count(bytes, MAX_ITEMS),
        .read = read, .data_is_ptr = true,
    };
}

/*
 * Does QEMU answer in the old VGA's window?  If not, Xen itself does, and what
 * it answers is not what a plain machine does.
 */
static bool has_window(OracleSide *side)
{
    return oracle_place(side, &oracle_vga) ||
           oracle_place(side, &oracle_cirrus);
}

static XensimIoreq draw_access(OracleSide *side, OracleBytes *bytes,
                               unsigned vcpu, bool reads)
{
    switch (oracle_range(bytes, 0, has_window(side) ? 4 : 2)) {
    case 0:
        return draw_config_read(bytes);
    case 1:
        return draw_config_write(bytes, vcpu);
    case 2:
        return (XensimIoreq) {
            .type = XENSIM_IOREQ_PIO, .addr = PM_TIMER, .size = 4, .count = 1,
            .read = true,
        };
    default:
        return draw_string(side, bytes, vcpu, reads);
    }
}

static void at_once(OracleSide *side, const OracleDevice *device,
                    OracleBytes *bytes)
{
    unsigned n = oracle_range(bytes, 2, ORACLE_VCPUS), i;
    bool reads = oracle_bits(bytes, 1);
    XensimIoreq req[ORACLE_VCPUS];

    for (i = 0; i < n; i++) {
        req[i] = draw_access(side, bytes, i, reads);
    }
    oracle_at_once(side, req, n);
    for (i = 0; i < n; i++) {
        if (req[i].read && !req[i].data_is_ptr) {
            oracle_saw_at(side, "vcpu: read", req[i].addr,
                          req[i].data & MAKE_64BIT_MASK(0, 8 * req[i].size));
        }
    }
}

static const OracleAction actions[] = {
    { .name = "at-once", .weight = 6, .bytes = 64, .run = at_once },
};

const OracleDevice oracle_cpus = {
    .name = "cpus",
    .actions = actions,
    .n_actions = ARRAY_SIZE(actions),
};
