/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device on the plain machine: ordinary RAM, no Xen.  It is the stock
 * binary if there is one, so that what ends alike is nobody's but QEMU's.
 */
#include "qemu/osdep.h"
#include "plain-machine.h"
#include "every-device.h"

enum { WAIT_MS = 30000 };

typedef struct Plain {
    PlainMachine *machine;
    TsQmp *qmp;
    XenEveryGuest guest;
} Plain;

/* What is wrong: how it has ended, if it has, or else @err (g_free). */
static char *why_not(Plain *p, GError *err)
{
    int wstatus;

    if (!p->machine || !plain_machine_ended(p->machine, 300, &wstatus)) {
        return g_strdup(err->message);
    }
    if (WIFSIGNALED(wstatus)) {
        return g_strdup_printf("ended by signal %d", WTERMSIG(wstatus));
    }
    return g_strdup_printf("ended with status %d", WEXITSTATUS(wstatus));
}

/* NULL, or why it does not run (g_free). */
static char *start(Plain *p, const char *args, const char *dir)
{
    const char *stock = getenv("XENSIM_STOCK_QEMU");
    g_autoptr(GError) err = NULL;
    g_auto(GStrv) argv = NULL;
    PlainConfig config = {
        .qemu = stock && *stock ? stock : getenv("QTEST_QEMU_BINARY"),
        .machine = "pc-i440fx-3.1",
        .ram_bytes = (uint64_t)XEN_TEST_RAM_MB << 20,
        .dir = dir,
        .rom_dir = getenv("XEN_TEST_ROMS") ?: "/usr/share/seabios",
    };

    g_assert_true(g_shell_parse_argv(args, NULL, &argv, NULL));
    config.args = (const char *const *)argv;
    p->machine = plain_machine_start(&config, &err);
    p->qmp = p->machine ? plain_machine_qmp(p->machine, &err) : NULL;
    return p->qmp ? NULL : why_not(p, err);
}

/* Waits until the member "status" of @command's answer is @want. */
static char *wait_status(Plain *p, const char *command, const char *want,
                         const char *failed)
{
    for (unsigned ms = 0; ms < WAIT_MS; ms += 5) {
        g_autoptr(GError) err = NULL;
        g_autoptr(TsJson) answer = ts_qmp_command(p->qmp, command, NULL,
                                                  &err);
        const char *status = answer ? ts_json_get_string(answer, "status")
                                    : NULL;

        if (!answer) {
            return why_not(p, err);
        }
        if (status && g_str_equal(status, want)) {
            return NULL;
        }
        if (status && g_str_equal(status, failed)) {
            return g_strdup("the migration failed");
        }
        g_usleep(5000);
    }
    return g_strdup("takes too long");
}

/* The guest's firmware; errors are seen later. */
static void prepare(Plain *p)
{
    GuestPc *pc = plain_machine_pc(p->machine);

    if (!xen_every_place(pc, &p->guest)) {
        xen_every_note(pc, &p->guest);
    }
}

static char *save(Plain *p, const char *uri)
{
    g_autofree char *arguments = g_strdup_printf("{\"uri\": \"%s\"}", uri);
    g_autoptr(GError) err = NULL;

    if (!ts_qmp_run(p->qmp, "migrate", arguments, &err)) {
        return why_not(p, err);
    }
    return wait_status(p, "query-migrate", "completed", "failed");
}

static char *restore(Plain *p, const char *uri)
{
    g_autofree char *arguments = g_strdup_printf("{\"uri\": \"%s\"}", uri);
    g_autoptr(GError) err = NULL;
    char *why;

    if (!ts_qmp_run(p->qmp, "migrate-incoming", arguments, &err)) {
        return why_not(p, err);
    }
    why = wait_status(p, "query-status", "running", "internal-error");
    return why ?: g_strdup(xen_every_same(plain_machine_pc(p->machine),
                                          &p->guest));
}

XenStage xen_every_plain(const char *args, const char *dir, char **why)
{
    g_autofree char *uri = g_strdup_printf("file:%s/plain-state", dir);
    g_autofree char *all = g_strdup_printf("%s -audio none", args);
    g_autofree char *incoming = g_strdup_printf("%s -incoming defer", all);
    XenStage stage = XEN_STAGE_START;
    Plain p = { NULL };

    *why = start(&p, all, dir);
    if (!*why) {
        stage = XEN_STAGE_SAVE;
        prepare(&p);
        *why = save(&p, uri);
    }
    plain_machine_stop(p.machine);
    if (!*why) {
        stage = XEN_STAGE_RESTORE;
        *why = start(&p, incoming, dir);
        *why = *why ?: restore(&p, uri);
        plain_machine_stop(p.machine);
    }
    return *why ? stage : XEN_STAGE_DONE;
}
