/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine is reset, or sleeps (S3) and is woken up, which resets it too.
 * Then the guest sets all devices up again.
 */
#include "qemu/osdep.h"
#include "act-pci.h"

#define WAIT_MS     10000

/* The PIIX4's power management, which oracle_xen sets up. */
#define PM_DEVFN    (1 << 3 | 3)
#define PM_ENABLE   0x80        /* set by the guest, not set after a reset */
#define PM_CONTROL  0xb004
#define PM_SLEEP    (1u << 13)
#define PM_S3       (1u << 10)

/* QEMU resets the machine a little after the command. */
static bool await_reset(OracleSide *side)
{
    uint32_t val = 1;
    unsigned ms;

    for (ms = 0; val & 1 && ms < WAIT_MS; ms++) {
        if (guest_pci_in(oracle_pc(side), PM_DEVFN, PM_ENABLE, 1, &val)) {
            return false;
        }
        g_usleep(1000);
    }
    return !(val & 1);
}

static void start_again(OracleSide *side)
{
    oracle_saw(side, "power: reset", await_reset(side));
    oracle_set_up(side);
    act_disturb(side);
}

static void reset(OracleSide *side, const OracleDevice *device,
                  OracleBytes *bytes)
{
    oracle_qmp(side, "system_reset", NULL);
    start_again(side);
}

static bool await_sleep(OracleSide *side)
{
    unsigned ms;

    for (ms = 0; ms < WAIT_MS; ms++) {
        g_autofree char *told = oracle_monitor(side, "info status");

        if (!told || strstr(told, "suspended")) {
            return told != NULL;
        }
        g_usleep(1000);
    }
    return false;
}

/* The Xen side may be saved and restored in between. */
static void sleep_state(OracleSide *side, const OracleDevice *device,
                        OracleBytes *bytes)
{
    bool restored = oracle_once_in(bytes, 4);

    oracle_saw(side, "power: sleeps",
               guest_out(oracle_pc(side), PM_CONTROL, 2, PM_SLEEP | PM_S3));
    oracle_saw(side, "power: asleep", await_sleep(side));
    if (restored && oracle_domain(side) && act_can_be_saved(side)) {
        xensim_fault_disarm_all(xensim_domain_sim(oracle_domain(side)));
        oracle_side_restore(side, false);
    }
    oracle_qmp(side, "system_wakeup", NULL);
    start_again(side);
}

static const OracleAction actions[] = {
    { .name = "reset", .weight = 1, .run = reset },
    { .name = "sleep", .weight = 1, .bytes = 1, .run = sleep_state },
};

const OracleDevice oracle_power = {
    .name = "power",
    .actions = actions,
    .n_actions = ARRAY_SIZE(actions),
};
