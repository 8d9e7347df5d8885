/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pictures: what a user sees of each display.
 *
 * QEMU does not save pictures.  One that was drawn before a migration may be
 * gone after it: in a mode that QEMU does not draw, the old picture stays, and
 * a new QEMU has none.  So if the Xen side was restored, it may show the plain
 * machine's picture, or that of a copy of the plain machine that was restored
 * from its state.
 */
#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "engine.h"

#define RESTORE_MS  10000

static GBytes *screendump(TsQmp *qmp, const char *dir, const char *id,
                          GError **err)
{
    g_autofree char *path = g_build_filename(dir, "screen", NULL);
    g_autofree char *args = g_strdup_printf("{\"filename\": \"%s\", "
                                            "\"device\": \"%s\"}", path, id);
    char *data;
    gsize len;
    bool ok;

    ok = ts_qmp_run(qmp, "screendump", args, err) &&
         g_file_get_contents(path, &data, &len, err);
    unlink(path);
    return ok ? g_bytes_new_take(data, len) : NULL;
}

void oracle_picture_take(OracleSide *side, unsigned device)
{
    TsQmp *qmp = oracle_side_qmp(side);
    GError *err = NULL;

    g_clear_pointer(&side->picture[device], g_bytes_unref);
    if (!qmp) {
        return;
    }
    side->picture[device] = screendump(qmp, side->dir,
                                       oracle_devices[device]->screen, &err);
    if (err && err->domain != TS_QMP_ERROR) {
        oracle_side_give_up(side, err);
    } else {
        g_clear_error(&err);
    }
}

/* ---- a copy of the plain machine, restored ---- */

static bool set_up(TsQmp *qmp, GError **err)
{
    return ts_qmp_run(qmp, "migrate-set-capabilities", "{\"capabilities\": "
                      "[{\"capability\": \"x-ignore-shared\", "
                      "\"state\": true}]}", err);
}

/* Until all of it is sent, or taken. */
static bool await_state(TsQmp *qmp, GError **err)
{
    unsigned ms;

    for (ms = 0; ms < RESTORE_MS; ms++) {
        g_autoptr(TsJson) told = ts_qmp_command(qmp, "query-migrate", NULL,
                                                err);
        const char *status = told ? ts_json_get_string(told, "status") : NULL;

        if (!told) {
            return false;
        }
        if (g_strcmp0(status, "completed") == 0) {
            return true;
        }
        if (g_strcmp0(status, "failed") == 0) {
            break;
        }
        g_usleep(1000);
    }
    g_set_error(err, G_IO_ERROR, G_IO_ERROR_FAILED,
                "the state of the plain machine does not arrive");
    return false;
}

static bool move_state(TsQmp *from, TsQmp *to, const char *dir, GError **err)
{
    g_autofree char *uri = g_strdup_printf("{\"uri\": \"file:%s/saved\"}",
                                           dir);

    return set_up(from, err) && set_up(to, err) &&
           ts_qmp_run(from, "migrate", uri, err) && await_state(from, err) &&
           ts_qmp_run(to, "migrate-incoming", uri, err) &&
           await_state(to, err);
}

typedef struct Copy {
    const uint8_t *from;
    uint8_t *to;
} Copy;

static void copy_run(void *opaque, uint64_t gfn, uint64_t mfn, uint64_t pages)
{
    const Copy *copy = opaque;

    memcpy(copy->to + gfn * ORACLE_PAGE, copy->from + gfn * ORACLE_PAGE,
           pages * ORACLE_PAGE);
}

/* RAM is no part of the state: it is copied. */
static void copy_ram(PlainMachine *from, PlainMachine *to)
{
    Copy copy = { plain_machine_ram(from), plain_machine_ram(to) };

    plain_machine_data_foreach(from, copy_run, &copy);
}

/* What display @id shows in a copy of @plain; the copy is in @dir. */
static GBytes *restored_picture(OracleSide *plain, const char *dir,
                                const char *id, GError **err)
{
    TsQmp *from = oracle_side_qmp(plain);
    PlainMachine *copy = from ? oracle_side_copy(plain, dir, err) : NULL;
    TsQmp *to = copy ? plain_machine_qmp(copy, err) : NULL;
    GBytes *picture = NULL;

    if (to && ts_qmp_run(from, "stop", NULL, err)) {
        copy_ram(plain->plain, copy);
        if (move_state(from, to, dir, err)) {
            picture = screendump(to, dir, id, err);
        }
    }
    plain_machine_stop(copy);
    /* Not before the copy has let the disks go. */
    oracle_qmp(plain, "cont", NULL);
    return picture;
}

static bool is_drawn_anew(OracleSide *plain, OracleSide *xen, unsigned device)
{
    g_autofree char *dir = g_build_filename(plain->dir, "copy", NULL);
    g_autoptr(GBytes) picture = NULL;
    g_autoptr(GError) err = NULL;

    if (!xen->restored || !plain->plain || oracle_side_lost(plain)) {
        return false;
    }
    g_mkdir(dir, 0700);
    picture = restored_picture(plain, dir, oracle_devices[device]->screen,
                               &err);
    oracle_remove_dir(dir);
    return picture && g_bytes_equal(picture, xen->picture[device]);
}

/* ---- what differs ---- */

static char *difference(OracleSide *a, OracleSide *b, unsigned device)
{
    const char *id = oracle_devices[device]->screen;
    size_t len_a = 0, len_b = 0, i = 0;
    const uint8_t *x = g_bytes_get_data(a->picture[device], &len_a);
    const uint8_t *y = g_bytes_get_data(b->picture[device], &len_b);

    if (len_a != len_b) {
        return g_strdup_printf("screen of %s has %zu bytes on %s, %zu on %s",
                               id, len_a, a->name, len_b, b->name);
    }
    while (x[i] == y[i]) {
        i++;
    }
    return g_strdup_printf("screen of %s [0x%zx] is %02x on %s, %02x on %s",
                           id, i, x[i], a->name, y[i], b->name);
}

char *oracle_pictures_compare(OracleSide *a, OracleSide *b)
{
    unsigned i;

    for (i = 0; oracle_devices[i]; i++) {
        GBytes *x = a->picture[i], *y = b->picture[i];

        if (!x != !y) {
            return g_strdup_printf("screen of %s is on one side only",
                                   oracle_devices[i]->screen);
        }
        if (x && !g_bytes_equal(x, y) && !is_drawn_anew(a, b, i)) {
            return difference(a, b, i);
        }
    }
    return NULL;
}
