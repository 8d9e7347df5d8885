/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One device model process: its start, its end, and what it said. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <glib/gstdio.h>

#include "toolstack-int.h"

/* How much of its output goes into an error message. */
#define TAIL_BYTES 600

char *ts_output(TsGuest *guest)
{
    char *text = NULL;

    if (!guest->log_path ||
        !g_file_get_contents(guest->log_path, &text, NULL, NULL)) {
        return g_strdup("");
    }
    return text;
}

/* The last lines of its output as one line (g_free). */
static char *output_tail(TsGuest *guest)
{
    g_autofree char *all = ts_output(guest);
    size_t len = strlen(all);
    const char *tail = len > TAIL_BYTES ? all + len - TAIL_BYTES : all;
    g_autofree char *copy = NULL;
    char *p;

    if (tail != all && strchr(tail, '\n')) {
        tail = strchr(tail, '\n') + 1;
    }
    copy = g_strdup(tail);
    g_strchomp(copy);
    for (p = copy; *p; p++) {
        if (*p == '\n') {
            *p = '|';
        }
    }
    return copy[0] ? g_strdup_printf("; its last words: %s", copy)
                   : g_strdup("; it wrote nothing");
}

/* Has it ended?  Reaps it then. */
static bool has_ended(TsGuest *guest)
{
    if (guest->pid &&
        xensim_wait_exit(guest->ts->sim, guest->pid, 0,
                         &guest->wstatus) == 0) {
        guest->pid = 0;
    }
    return guest->pid == 0;
}

gboolean ts_alive(TsGuest *guest, int *wstatus, GError **err)
{
    g_autofree char *tail = NULL;
    g_autofree char *how = NULL;

    if (!has_ended(guest)) {
        return TRUE;
    }
    if (wstatus) {
        *wstatus = guest->wstatus;
    }
    tail = output_tail(guest);
    if (WIFSIGNALED(guest->wstatus)) {
        how = g_strdup_printf("was ended by signal %d (%s)",
                              WTERMSIG(guest->wstatus),
                              g_strsignal(WTERMSIG(guest->wstatus)));
    } else {
        how = g_strdup_printf("exited with status %d",
                              WEXITSTATUS(guest->wstatus));
    }
    g_set_error(err, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED,
                "the device model of domain %u %s%s", guest->domid, how,
                tail);
    return FALSE;
}

static gboolean still_alive(gpointer opaque)
{
    return !has_ended(opaque);
}

/* If it has died, say that rather than what came of it. */
static void prefer_death(TsGuest *guest, GError **err)
{
    GError *death = NULL;

    /* The socket closes a moment before the process is gone. */
    if (guest->pid && err && *err &&
        g_error_matches(*err, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED)) {
        if (xensim_wait_exit(guest->ts->sim, guest->pid, 2000,
                             &guest->wstatus) == 0) {
            guest->pid = 0;
        }
    }
    if (!ts_alive(guest, NULL, &death) && err) {
        g_clear_error(err);
        g_propagate_error(err, death);
    } else {
        g_clear_error(&death);
    }
}

/* Restricted, it may not write xenstore: only QMP can tell. */
static bool runs_by_qmp(TsGuest *guest, GError **err)
{
    g_autoptr(TsJson) status = ts_qmp_command(guest->qmp, "query-status",
                                              NULL, err);

    return status && ts_json_get_int(status, "running", 0);
}

static gboolean wait_running(TsGuest *guest, GError **err)
{
    gint64 end = g_get_monotonic_time() + guest->ts->timeout_ms * 1000LL;
    g_autofree char *key =
        g_strdup_printf("/local/domain/0/device-model/%u/state",
                        guest->domid);

    for (;;) {
        g_autoptr(GError) local = NULL;
        bool runs;

        if (guest->config.restricted) {
            runs = runs_by_qmp(guest, &local);
            if (local) {
                g_propagate_error(err, g_steal_pointer(&local));
                return FALSE;
            }
            if (!runs) {
                g_usleep(10000);
            }
        } else {
            runs = xensim_xs_wait(guest->ts->xs, key, "running", 50) == 0;
        }
        if (runs && xensim_wait_ready(guest->dom, 1000) == XENSIM_OK) {
            return TRUE;
        }
        if (!ts_alive(guest, NULL, err)) {
            return FALSE;
        }
        if (g_get_monotonic_time() > end) {
            g_autofree char *tail = output_tail(guest);

            g_set_error(err, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                        "the device model of domain %u did not get to run "
                        "within %u ms%s", guest->domid, guest->ts->timeout_ms,
                        tail);
            return FALSE;
        }
    }
}

static gboolean spawn(TsGuest *guest, int incoming_fd, GError **err)
{
    g_autofree char *incoming = incoming_fd >= 0
        ? g_strdup_printf("fd:%d", incoming_fd) : NULL;
    g_auto(GStrv) argv = ts_qemu_argv(&guest->config, guest->domid,
                                      guest->qmp_path, incoming);
    int log_fd = open(guest->log_path,
                      O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    pid_t pid;

    if (log_fd < 0) {
        g_set_error(err, G_IO_ERROR, g_io_error_from_errno(errno),
                    "%s: cannot write the device model's log: %s",
                    guest->log_path, g_strerror(errno));
        return FALSE;
    }
    pid = xensim_spawn(guest->dom, (const char *const *)argv,
                       guest->config.env, log_fd);
    close(log_fd);
    if (pid < 0) {
        g_set_error(err, G_IO_ERROR, g_io_error_from_errno(-pid),
                    "%s: cannot start it as device model: %s",
                    guest->config.qemu, g_strerror(-pid));
        return FALSE;
    }
    guest->pid = pid;
    return TRUE;
}

gboolean ts_dm_start(TsGuest *guest, int incoming_fd, GError **err)
{
    unsigned int serial = guest->ts->serial++;
    const char *dir = xensim_dir(guest->ts->sim);
    g_autofree char *pid_key =
        g_strdup_printf("/local/domain/%u/image/device-model-pid",
                        guest->domid);

    guest->qmp_path = g_strdup_printf("%s/qmp-%u.sock", dir, serial);
    guest->log_path = g_strdup_printf("%s/qemu-dm-%u.log", dir, serial);
    if (!spawn(guest, incoming_fd, err)) {
        return FALSE;
    }
    xensim_xs_writef(guest->ts->xs, pid_key, "%d", (int)guest->pid);
    guest->qmp = ts_qmp_open(guest->qmp_path, guest->ts->timeout_ms,
                             still_alive, guest, err);
    if (!guest->qmp || !wait_running(guest, err)) {
        prefer_death(guest, err);
        return FALSE;
    }
    return TRUE;
}

void ts_dm_stop(TsGuest *guest)
{
    if (!has_ended(guest)) {
        xensim_kill(guest->ts->sim, guest->pid);
        guest->pid = 0;
        guest->wstatus = SIGKILL;
    }
    ts_qmp_free(guest->qmp);
    guest->qmp = NULL;
    if (guest->qmp_path) {
        unlink(guest->qmp_path);
    }
}

gboolean ts_quit(TsGuest *guest, GError **err)
{
    g_autoptr(GError) local = NULL;

    if (!ts_alive(guest, NULL, err)) {
        return FALSE;
    }
    /* It may close the socket before its answer is out. */
    if (!ts_qmp_run(guest->qmp, "quit", NULL, &local) &&
        !g_error_matches(local, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED)) {
        g_propagate_error(err, g_steal_pointer(&local));
        return FALSE;
    }
    if (xensim_wait_exit(guest->ts->sim, guest->pid, guest->ts->timeout_ms,
                         &guest->wstatus) != 0) {
        g_set_error(err, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                    "the device model of domain %u does not quit",
                    guest->domid);
        return FALSE;
    }
    guest->pid = 0;
    return guest->wstatus == 0 ? TRUE : ts_alive(guest, NULL, err);
}
