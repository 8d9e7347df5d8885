/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Xen side is saved and restored, or migrated. */
#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "engine.h"

/* A directory for the guest's state, empty. */
static char *state_dir(OracleSide *side)
{
    char *path = g_build_filename(side->dir, "state", NULL);

    oracle_remove_dir(path);
    g_mkdir(path, 0700);
    return path;
}

static TsGuest *save_and_restore(OracleSide *side, GError **err)
{
    g_autofree char *dir = state_dir(side);
    TsConfig config = { 0 };
    TsGuest *guest = NULL;
    GError *local = NULL;

    if (!ts_save(side->guest, dir, &local)) {
        /* A device that cannot be saved says so, and all goes on. */
        if (local->domain == TS_QMP_ERROR && ts_resume(side->guest, err)) {
            guest = side->guest;
            g_error_free(local);
        } else if (!*err) {
            g_propagate_error(err, local);
        } else {
            g_error_free(local);
        }
    } else {
        ts_config_copy(&config, ts_config(side->guest));
        ts_destroy(side->guest);
        side->guest = NULL;
        side->restored = true;
        oracle_counts_begin(side, true);
        guest = ts_restore(side->ts, &config, dir, err);
        ts_config_clear(&config);
    }
    oracle_remove_dir(dir);
    return guest;
}

/* ---- BARs ---- */

typedef struct Region {
    gint64 start, end;
    bool io;
} Region;

static void add_regions(GArray *all, const TsJson *device)
{
    const TsJson *list = ts_json_get(device, "regions");
    unsigned i;

    for (i = 0; list && i < list->items->len; i++) {
        const TsJson *one = list->items->pdata[i];
        gint64 start = ts_json_get_int(one, "address", -1);
        Region r = {
            start, start + ts_json_get_int(one, "size", 0),
            g_strcmp0(ts_json_get_string(one, "type"), "io") == 0,
        };

        /* -1: its device does not decode it. */
        if (start >= 0) {
            g_array_append_val(all, r);
        }
    }
}

static bool any_overlap(const GArray *all)
{
    unsigned i, j;

    for (i = 0; i < all->len; i++) {
        const Region *a = &g_array_index(all, Region, i);

        for (j = 0; j < i; j++) {
            const Region *b = &g_array_index(all, Region, j);

            if (a->io == b->io && a->start < b->end && b->start < a->end) {
                return true;
            }
        }
    }
    return false;
}

bool oracle_side_bars_overlap(OracleSide *side)
{
    TsQmp *qmp = oracle_side_qmp(side);
    g_autoptr(TsJson) buses = qmp ? ts_qmp_command(qmp, "query-pci", NULL, NULL)
                                  : NULL;
    const TsJson *list = buses && buses->items->len ?
                         ts_json_get(buses->items->pdata[0], "devices") : NULL;
    g_autoptr(GArray) all = g_array_new(false, false, sizeof(Region));
    unsigned i;

    for (i = 0; list && i < list->items->len; i++) {
        add_regions(all, list->items->pdata[i]);
    }
    return any_overlap(all);
}

void oracle_side_restore(OracleSide *side, bool live)
{
    GError *err = NULL;
    TsGuest *guest;

    if (oracle_side_lost(side)) {
        return;
    }
    oracle_dirty_drop(side);
    if (live) {
        guest = ts_migrate(side->guest, &err);
        side->restored |= guest != NULL;
    } else {
        guest = save_and_restore(side, &err);
    }
    if (!guest && live && err->domain == TS_QMP_ERROR) {
        /* The same for a migration, which has let it go on already. */
        g_clear_error(&err);
        guest = side->guest;
    }
    if (guest) {
        side->guest = guest;
        if (live) {
            oracle_counts_begin(side, false);
        }
    } else {
        oracle_side_give_up(side, err);
    }
}
