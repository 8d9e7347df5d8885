/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What Xen and the toolstack do, and the guest must not see; and ballooning,
 * which it sees as pages of zeros.
 */
#include "qemu/osdep.h"
#include "act-pci.h"

/* ---- events that the Xen side gets alone ---- */

static void send_invalidate(XensimDomain *dom)
{
    XensimIoreq req = { .type = XENSIM_IOREQ_INVALIDATE };

    xensim_ioreq(dom, &req);
}

static void invalidate(OracleSide *side, const OracleDevice *device,
                       OracleBytes *bytes)
{
    send_invalidate(oracle_domain(side));
}

/* The next few calls of one kind fail, and then succeed again. */
static void fault(OracleSide *side, const OracleDevice *device,
                  OracleBytes *bytes)
{
    static const char *const calls[] = {
        "xenforeignmemory_map2", "xenforeignmemory_map2",
        "xenforeignmemory_map2", "xendevicemodel_track_dirty_vram",
        "xendevicemodel_modified_memory",
    };
    static const int errors[] = { ENOMEM, EAGAIN, EINTR, EBUSY };
    const XensimFault one = {
        .call = calls[oracle_range(bytes, 0, ARRAY_SIZE(calls) - 1)],
        .error = errors[oracle_range(bytes, 0, ARRAY_SIZE(errors) - 1)],
        .first = oracle_draw_count(bytes, 8),
        .count = oracle_draw_count(bytes, 4),
    };
    Xensim *sim = xensim_domain_sim(oracle_domain(side));

    if (strcmp(one.call, "xendevicemodel_modified_memory") == 0) {
        /* What Xen could not be told is dirty all the same. */
        oracle_side_dirtied(side, 0, oracle_ram_bytes(side));
    }
    xensim_fault_disarm_all(sim);
    xensim_fault_arm(sim, &one);
    oracle_side_fault(side);
}

static void no_fault(OracleSide *side, const OracleDevice *device,
                     OracleBytes *bytes)
{
    xensim_fault_disarm_all(xensim_domain_sim(oracle_domain(side)));
}

bool act_can_be_saved(OracleSide *side)
{
    const OraclePlace *ahci = oracle_place(side, &oracle_ahci);
    uint32_t command;

    if (ahci && (guest_pci_in(oracle_pc(side), ahci->devfn, 4, 2, &command) ||
                 !(command & GUEST_PCI_MASTER))) {
        return false;
    }
    /* Of two BARs at one address another one may be seen after a restore. */
    return !oracle_side_bars_overlap(side);
}

static void restore(OracleSide *side, const OracleDevice *device,
                    OracleBytes *bytes)
{
    no_fault(side, device, bytes);
    if (act_can_be_saved(side)) {
        oracle_side_restore(side, false);
    }
}

static void migrate(OracleSide *side, const OracleDevice *device,
                    OracleBytes *bytes)
{
    no_fault(side, device, bytes);
    if (act_can_be_saved(side)) {
        oracle_side_restore(side, true);
    }
}

/*
 * As for a live migration, but the guest goes on and no new domain is made.  No
 * call is to fail meanwhile: what Xen could not be told is dirty all the same.
 */
static void log_dirty(OracleSide *side, const OracleDevice *device,
                      OracleBytes *bytes)
{
    no_fault(side, device, bytes);
    oracle_side_log_dirty(side);
}

/* ---- pages that are given away and come back, as zeros ---- */

/*
 * Does anybody hold a page of the range?  A mapping that a device holds goes
 * on to show what it showed, and the plain machine cannot play that.
 */
static bool is_held(XensimDomain *dom, uint64_t gfn, uint64_t pages)
{
    bool held = false;
    uint64_t i;

    send_invalidate(dom);
    for (i = 0; i < pages && !held; i++) {
        held = xensim_gfn_mappings(dom, gfn + i) != 0;
    }
    return held;
}

static void balloon(OracleSide *side, const OracleDevice *device,
                    OracleBytes *bytes)
{
    XensimDomain *dom = oracle_domain(side);
    XensimDomain *asked = dom ?: oracle_domain(oracle_peer(side));
    uint64_t pages = oracle_draw_count(bytes, 512);
    uint64_t gpa = oracle_draw_ram(side, bytes, pages * ORACLE_PAGE,
                                   ORACLE_PAGE);
    g_autofree char *zeros = g_malloc0(pages * ORACLE_PAGE);

    if (asked && is_held(asked, gpa / ORACLE_PAGE, pages)) {
        return;
    }
    if (dom) {
        oracle_side_dirtied(side, gpa, pages * ORACLE_PAGE);
        xensim_balloon_out(dom, gpa / ORACLE_PAGE, pages);
        xensim_balloon_in(dom, gpa / ORACLE_PAGE, pages);
    } else {
        guest_mem_write(oracle_pc(side), gpa, zeros, pages * ORACLE_PAGE);
    }
}

/*
 * Pages of a range, each or each second one, that stay away: until a request
 * names them, or until all are taken again.
 */
static void absent(OracleSide *side, const OracleDevice *device,
                   OracleBytes *bytes)
{
    XensimDomain *asked = oracle_domain(side) ?:
                          oracle_domain(oracle_peer(side));
    uint64_t pages = oracle_draw_count(bytes, 512), i;
    uint64_t gpa = oracle_draw_ram(side, bytes, pages * ORACLE_PAGE,
                                   ORACLE_PAGE);
    bool each_second = oracle_bits(bytes, 1);

    if (asked && is_held(asked, gpa / ORACLE_PAGE, pages)) {
        return;
    }
    if (!each_second) {
        oracle_take_away(side, gpa, pages);
        return;
    }
    for (i = 0; i < MIN(pages, 64); i += 2) {
        oracle_take_away(side, gpa + i * ORACLE_PAGE, 1);
    }
}

static void populate(OracleSide *side, const OracleDevice *device,
                     OracleBytes *bytes)
{
    oracle_bring_back(side, 0, oracle_ram_bytes(side));
}

/* ---- time ---- */

#define PM_DEVFN    (1 << 3 | 3)
#define PM_BASE     0xb000
#define PM_TIMER    (PM_BASE + 8)

/* The timer of the PIIX4's power management counts virtual time. */
static int setup(OracleSide *side, const OracleDevice *device)
{
    GuestPc *pc = oracle_pc(side);
    int rc = guest_pci_out(pc, PM_DEVFN, 0x40, 4, PM_BASE | 1);

    return rc ?: guest_pci_out(pc, PM_DEVFN, 0x80, 1, 1);
}

static void time_passes(OracleSide *side, const OracleDevice *device,
                        OracleBytes *bytes)
{
    uint32_t ticks;

    oracle_pass_time(side, oracle_draw_count(bytes, 1000000000));
    oracle_saw(side, "power management timer returns",
               guest_in(oracle_pc(side), PM_TIMER, 4, &ticks));
    oracle_saw(side, "power management timer", ticks);
}

static const OracleAction actions[] = {
    { .name = "invalidate", .weight = 4, .xen_only = true,
      .run = invalidate },
    { .name = "fault", .weight = 4, .bytes = 8, .xen_only = true,
      .run = fault },
    { .name = "no-fault", .weight = 4, .xen_only = true, .run = no_fault },
    { .name = "restore", .weight = 1, .xen_only = true, .run = restore },
    { .name = "migrate", .weight = 1, .xen_only = true, .run = migrate },
    { .name = "log-dirty", .weight = 2, .xen_only = true, .run = log_dirty },
    { .name = "balloon", .weight = 4, .bytes = 16, .run = balloon },
    { .name = "absent", .weight = 6, .bytes = 17, .run = absent },
    { .name = "populate", .weight = 1, .run = populate },
    { .name = "time", .weight = 4, .bytes = 8, .run = time_passes },
};

const OracleDevice oracle_xen = {
    .name = "xen",
    .setup = setup,
    .actions = actions,
    .n_actions = ARRAY_SIZE(actions),
};
