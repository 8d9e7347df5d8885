/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guests on the simulated Xen: create, save, restore, migrate, destroy. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "toolstack-int.h"

Toolstack *ts_new(const char *run_dir, GError **err)
{
    Xensim *sim = xensim_new(run_dir);
    Toolstack *ts;

    if (!sim) {
        g_set_error(err, G_IO_ERROR, g_io_error_from_errno(errno),
                    "cannot make a simulated machine in %s: %s",
                    run_dir ? run_dir : g_get_tmp_dir(), g_strerror(errno));
        return NULL;
    }
    ts = g_new0(Toolstack, 1);
    ts->sim = sim;
    ts->xs = xensim_xenstore(sim);
    ts->timeout_ms = 30000;
    ts->guests = g_ptr_array_new();
    return ts;
}

void ts_free(Toolstack *ts)
{
    if (!ts) {
        return;
    }
    while (ts->guests->len) {
        ts_destroy(ts->guests->pdata[ts->guests->len - 1]);
    }
    g_ptr_array_unref(ts->guests);
    xensim_free(ts->sim);
    g_free(ts);
}

Xensim *ts_sim(Toolstack *ts)
{
    return ts->sim;
}

XensimXs *ts_xs(Toolstack *ts)
{
    return ts->xs;
}

void ts_set_timeout(Toolstack *ts, unsigned int ms)
{
    ts->timeout_ms = ms;
}

XensimDomain *ts_domain(TsGuest *guest)
{
    return guest->dom;
}

TsQmp *ts_qmp(TsGuest *guest)
{
    return guest->qmp;
}

pid_t ts_pid(TsGuest *guest)
{
    return guest->pid;
}

const TsConfig *ts_config(TsGuest *guest)
{
    return &guest->config;
}

void ts_set_plugged(TsGuest *guest, const char *device)
{
    XensimMemInfo info;

    g_free((char *)guest->config.plugged);
    guest->config.plugged = g_strdup(device);
    xensim_mem_info(guest->dom, &info);
    guest->config.max_pages = info.max_pages;
}

/* ---- making and unmaking ---- */

/* A guest with its domain and keys, without device model. */
static TsGuest *guest_new(Toolstack *ts, const TsConfig *config,
                          unsigned int more_flags, GError **err)
{
    TsGuest *guest = g_new0(TsGuest, 1);
    g_autofree char *name_key = NULL;
    XensimDomainConfig dc;

    guest->ts = ts;
    ts_config_copy(&guest->config, config);
    dc = (XensimDomainConfig) {
        .vcpus = guest->config.vcpus,
        .ram_bytes = guest->config.ram_bytes,
        .max_pages = guest->config.max_pages,
        .flags = guest->config.dom_flags | more_flags,
    };
    guest->dom = xensim_domain_create(ts->sim, &dc);
    if (!guest->dom) {
        g_set_error(err, G_IO_ERROR, g_io_error_from_errno(errno),
                    "cannot create a domain with %" PRIu64 " MiB and %u "
                    "vCPUs: %s", dc.ram_bytes >> 20, dc.vcpus,
                    g_strerror(errno));
        ts_config_clear(&guest->config);
        g_free(guest);
        return NULL;
    }
    guest->domid = xensim_domid(guest->dom);
    name_key = g_strdup_printf("/local/domain/%u/name", guest->domid);
    xensim_xs_writef(ts->xs, name_key, "%s", guest->config.name);
    g_ptr_array_add(ts->guests, guest);
    return guest;
}

void ts_destroy(TsGuest *guest)
{
    if (!guest) {
        return;
    }
    g_ptr_array_remove(guest->ts->guests, guest);
    ts_dm_stop(guest);
    xensim_domain_destroy(guest->dom);
    if (guest->log_path) {
        unlink(guest->log_path);
    }
    g_free(guest->qmp_path);
    g_free(guest->log_path);
    ts_config_clear(&guest->config);
    g_free(guest);
}

TsGuest *ts_create(Toolstack *ts, const TsConfig *config, GError **err)
{
    TsGuest *guest = guest_new(ts, config, 0, err);

    if (guest && !ts_dm_start(guest, -1, err)) {
        ts_destroy(guest);
        return NULL;
    }
    return guest;
}

/* ---- save and restore ---- */

/* A QMP command whose failure may be the device model's death. */
static gboolean command(TsGuest *guest, const char *name, const char *args,
                        GError **err)
{
    GError *local = NULL;

    if (!ts_alive(guest, NULL, err)) {
        return FALSE;
    }
    if (ts_qmp_run(guest->qmp, name, args, &local)) {
        return TRUE;
    }
    if (g_error_matches(local, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED)) {
        gint64 end = g_get_monotonic_time() + 2 * G_USEC_PER_SEC;
        GError *death = NULL;

        /* The socket closes a moment before the process is gone. */
        while (ts_alive(guest, NULL, &death) &&
               g_get_monotonic_time() < end) {
            g_usleep(2000);
        }
        if (death) {
            g_clear_error(&local);
            g_propagate_prefixed_error(err, death, "during %s ", name);
            return FALSE;
        }
    }
    g_propagate_error(err, local);
    return FALSE;
}

static gboolean save_devices(TsGuest *guest, const char *path, bool live,
                             GError **err)
{
    g_autofree char *quoted = ts_json_quote(path);
    g_autofree char *args = g_strdup_printf("{\"filename\": %s, \"live\": "
                                            "%s}", quoted,
                                            live ? "true" : "false");

    return command(guest, "stop", NULL, err) &&
           command(guest, "xen-save-devices-state", args, err);
}

/* Open PATH for the memory, or for what the device model saved. */
static int open_file(const char *path, int flags, GError **err)
{
    int fd = open(path, flags, 0644);

    if (fd < 0) {
        g_set_error(err, G_IO_ERROR, g_io_error_from_errno(errno),
                    "%s: cannot open it: %s", path, g_strerror(errno));
    }
    return fd;
}

/* Write GUEST's physmap to DIR, or see to it that none is there. */
static gboolean save_physmap(TsGuest *guest, const char *dir, GError **err)
{
    g_autofree char *path = g_build_filename(dir, "physmap", NULL);
    g_autoptr(GBytes) physmap = ts_physmap_get(guest->ts->xs, guest->domid);

    if (!physmap) {
        unlink(path);
        return TRUE;
    }
    return g_file_set_contents(path, g_bytes_get_data(physmap, NULL),
                               g_bytes_get_size(physmap), err);
}

static gboolean load_physmap(TsGuest *guest, const char *dir, GError **err)
{
    g_autofree char *path = g_build_filename(dir, "physmap", NULL);
    g_autoptr(GBytes) physmap = NULL;
    char *text;
    gsize len;

    if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
        return TRUE;
    }
    if (!g_file_get_contents(path, &text, &len, err)) {
        return FALSE;
    }
    physmap = g_bytes_new_take(text, len);
    ts_physmap_put(guest->ts->xs, guest->domid, physmap);
    return TRUE;
}

gboolean ts_save(TsGuest *guest, const char *dir, GError **err)
{
    g_autofree char *devices = g_build_filename(dir, "device-model", NULL);
    g_autofree char *memory = g_build_filename(dir, "memory", NULL);
    int fd, rc;

    if (!save_devices(guest, devices, false, err) ||
        !save_physmap(guest, dir, err)) {
        return FALSE;
    }
    fd = open_file(memory, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, err);
    if (fd < 0) {
        return FALSE;
    }
    rc = xensim_domain_save_memory(guest->dom, fd);
    if (close(fd) < 0 && !rc) {
        rc = -errno;
    }
    if (rc) {
        g_set_error(err, G_IO_ERROR, g_io_error_from_errno(-rc),
                    "%s: cannot write the guest's memory: %s", memory,
                    g_strerror(-rc));
        return FALSE;
    }
    return TRUE;
}

void ts_forget_saved(const char *dir)
{
    static const char *const files[] = { "device-model", "memory", "physmap" };

    for (unsigned i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(dir, files[i], NULL);

        g_unlink(path);
    }
    g_rmdir(dir);
}

gboolean ts_resume(TsGuest *guest, GError **err)
{
    return command(guest, "cont", NULL, err);
}

/* Start the device model of GUEST from the state in the file DEVICES. */
static gboolean start_incoming(TsGuest *guest, const char *devices,
                               GError **err)
{
    /* Inherited: no O_CLOEXEC. */
    int fd = open_file(devices, O_RDONLY, err);
    gboolean ok;

    if (fd < 0) {
        return FALSE;
    }
    ok = ts_dm_start(guest, fd, err);
    close(fd);
    return ok;
}

TsGuest *ts_restore(Toolstack *ts, const TsConfig *config, const char *dir,
                    GError **err)
{
    g_autofree char *devices = g_build_filename(dir, "device-model", NULL);
    g_autofree char *memory = g_build_filename(dir, "memory", NULL);
    int fd = open_file(memory, O_RDONLY | O_CLOEXEC, err);
    TsGuest *guest;
    int rc;

    if (fd < 0) {
        return NULL;
    }
    guest = guest_new(ts, config, XENSIM_DOM_EMPTY, err);
    if (!guest) {
        close(fd);
        return NULL;
    }
    rc = xensim_domain_load_memory(guest->dom, fd);
    close(fd);
    if (rc) {
        g_set_error(err, G_IO_ERROR, g_io_error_from_errno(-rc),
                    "%s: cannot load the guest's memory from it: %s", memory,
                    g_strerror(-rc));
    }
    if (rc || !load_physmap(guest, dir, err) ||
        !start_incoming(guest, devices, err)) {
        ts_destroy(guest);
        return NULL;
    }
    return guest;
}

/* The receiving half of a migration; NULL leaves nothing behind. */
static TsGuest *receive(TsGuest *old, const char *devices, GError **err)
{
    TsGuest *guest = guest_new(old->ts, &old->config, XENSIM_DOM_EMPTY, err);
    g_autoptr(GBytes) physmap = ts_physmap_get(old->ts->xs, old->domid);
    int rc;

    if (!guest) {
        return NULL;
    }
    ts_physmap_put(guest->ts->xs, guest->domid, physmap);
    rc = xensim_domain_copy_memory(guest->dom, old->dom);
    if (rc) {
        g_set_error(err, G_IO_ERROR, g_io_error_from_errno(-rc),
                    "cannot copy the memory of domain %u to domain %u: %s",
                    old->domid, guest->domid, g_strerror(-rc));
    }
    if (rc || !start_incoming(guest, devices, err)) {
        ts_destroy(guest);
        return NULL;
    }
    return guest;
}

TsGuest *ts_migrate(TsGuest *old, GError **err)
{
    g_autofree char *devices =
        g_strdup_printf("%s/migrate-%u", xensim_dir(old->ts->sim),
                        old->ts->serial++);
    TsGuest *guest = NULL;

    if (!command(old, "xen-set-global-dirty-log", "{\"enable\": true}",
                 err)) {
        return NULL;
    }
    if (save_devices(old, devices, true, err)) {
        guest = receive(old, devices, err);
    }
    unlink(devices);
    if (guest) {
        ts_destroy(old);
        return guest;
    }
    /* Best effort: the first error is the one to report. */
    command(old, "xen-set-global-dirty-log", "{\"enable\": false}", NULL);
    command(old, "cont", NULL, NULL);
    return NULL;
}

/* ---- while it runs ---- */

static gboolean send_invalidate(TsGuest *guest, GError **err)
{
    XensimIoreq req = { .type = XENSIM_IOREQ_INVALIDATE, .size = 4,
                        .count = 1, .data = ~0ull };
    XensimStatus status = xensim_ioreq(guest->dom, &req);

    if (status == XENSIM_OK || !ts_alive(guest, NULL, err)) {
        return status == XENSIM_OK;
    }
    g_set_error(err, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                "domain %u: invalidate: %s", guest->domid,
                xensim_status_str(status));
    return FALSE;
}

static gboolean all_pages(TsGuest *guest, const char *what, uint64_t gfn,
                          uint64_t want, uint64_t got, GError **err)
{
    if (got != want) {
        g_set_error(err, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "domain %u: %s %" PRIu64 " pages from gfn 0x%" PRIx64
                    ": only %" PRIu64 " could be had", guest->domid, what,
                    want, gfn, got);
    }
    return got == want;
}

gboolean ts_balloon_out(TsGuest *guest, uint64_t gfn, uint64_t pages,
                        GError **err)
{
    uint64_t n = xensim_depopulate(guest->dom, gfn, pages);

    return send_invalidate(guest, err) &&
           all_pages(guest, "balloon out", gfn, pages, n, err);
}

gboolean ts_balloon_in(TsGuest *guest, uint64_t gfn, uint64_t pages,
                       GError **err)
{
    uint64_t n = xensim_populate(guest->dom, gfn, pages);

    return send_invalidate(guest, err) &&
           all_pages(guest, "balloon in", gfn, pages, n, err);
}

gboolean ts_screendump(TsGuest *guest, const char *path, const char *format,
                       GError **err)
{
    g_autofree char *quoted = ts_json_quote(path);
    /* "format" came with PNG; PPM is understood by all. */
    g_autofree char *args = strcmp(format, "ppm") == 0
        ? g_strdup_printf("{\"filename\": %s}", quoted)
        : g_strdup_printf("{\"filename\": %s, \"format\": \"%s\"}", quoted,
                          format);

    return command(guest, "screendump", args, err);
}
