/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QEMU's process, and its guest's CPU; see xen-qemu-bench.h. */
#include "qemu/osdep.h"
#include "plain-machine.h"
#include "xen-qemu-bench.h"

#define ROM_DIR "/usr/share/seabios"

typedef struct BenchMachinePriv {
    Toolstack *ts;
    TsGuest *guest;

    PlainMachine *plain;
} BenchMachinePriv;

/* ---- plain RAM ---- */

static bool plain_start(BenchMachine *m, const char *qemu,
                        const char *const *args, const char *dir,
                        GError **err)
{
    const PlainConfig config = {
        .qemu = qemu,
        .ram_bytes = BENCH_RAM_BYTES,
        .dir = dir,
        .rom_dir = ROM_DIR,
        .args = args,
    };

    m->priv->plain = plain_machine_start(&config, err);
    if (!m->priv->plain) {
        return false;
    }
    m->pid = plain_machine_pid(m->priv->plain);
    m->pc = plain_machine_pc(m->priv->plain);
    return true;
}

/* ---- on the simulated Xen ---- */

static bool xen_start(BenchMachine *m, const char *qemu,
                      const char *const *args, GError **err)
{
    BenchMachinePriv *priv = m->priv;
    const TsConfig config = {
        .qemu = qemu,
        .name = "bench",
        .ram_bytes = BENCH_RAM_BYTES,
        .vga = "",
        .args = args,
    };

    priv->ts = ts_new(NULL, err);
    if (!priv->ts) {
        return false;
    }
    m->sim = ts_sim(priv->ts);
    priv->guest = ts_create(priv->ts, &config, err);
    if (!priv->guest) {
        return false;
    }
    m->pid = ts_pid(priv->guest);
    m->pc = guest_pc_new(ts_domain(priv->guest));
    return true;
}

BenchMachine *bench_machine_start(const char *qemu, bool plain,
                                  const char *const *args, const char *dir,
                                  GError **err)
{
    BenchMachine *m = g_new0(BenchMachine, 1);

    m->priv = g_new0(BenchMachinePriv, 1);
    if (plain ? plain_start(m, qemu, args, dir, err)
              : xen_start(m, qemu, args, err)) {
        return m;
    }
    bench_machine_stop(m);
    return NULL;
}

bool bench_machine_pass_time(BenchMachine *m, unsigned ms)
{
    if (m->sim) {
        g_usleep(ms * 1000);
        return true;
    }
    return !plain_machine_pass_time(m->priv->plain, ms * 1000000ull);
}

void bench_machine_stop(BenchMachine *m)
{
    if (m->pc && !m->priv->plain) {
        guest_pc_free(m->pc);       /* a plain machine owns its CPU */
    }
    ts_destroy(m->priv->guest);
    if (m->priv->ts) {
        ts_free(m->priv->ts);
    }
    plain_machine_stop(m->priv->plain);
    g_free(m->priv);
    g_free(m);
}
