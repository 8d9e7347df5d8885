/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The physmap that some device models keep in xenstore goes with the guest. */

#include <string.h>

#include "toolstack.h"

static char *physmap_path(uint32_t domid)
{
    return g_strdup_printf("/local/domain/0/device-model/%u/physmap", domid);
}

/* Append DIR's keys, named from NAME on, and all below. */
static void collect(XensimXs *xs, const char *dir, const char *name,
                    GByteArray *to)
{
    g_auto(GStrv) children = xensim_xs_directory(xs, dir);

    for (unsigned int i = 0; children && children[i]; i++) {
        g_autofree char *path = g_strdup_printf("%s/%s", dir, children[i]);
        g_autofree char *key = g_strdup_printf("%s/%s", name, children[i]);
        g_autofree char *value = xensim_xs_read(xs, path);

        if (value && value[0]) {
            g_byte_array_append(to, (guint8 *)key, strlen(key) + 1);
            g_byte_array_append(to, (guint8 *)value, strlen(value) + 1);
        }
        collect(xs, path, key, to);
    }
}

GBytes *ts_physmap_get(XensimXs *xs, uint32_t domid)
{
    g_autofree char *dir = physmap_path(domid);
    GByteArray *found = g_byte_array_new();

    collect(xs, dir, "", found);
    if (!found->len) {
        g_byte_array_unref(found);
        return NULL;
    }
    return g_byte_array_free_to_bytes(found);
}

void ts_physmap_put(XensimXs *xs, uint32_t domid, GBytes *physmap)
{
    g_autofree char *dir = physmap_path(domid);
    gsize len = 0;
    const char *at = physmap ? g_bytes_get_data(physmap, &len) : NULL;
    const char *end = at + len;

    /* What a file has after its last NUL is not a pair. */
    while (at < end && memchr(at, 0, end - at)) {
        const char *value = at + strlen(at) + 1;
        g_autofree char *path = g_strconcat(dir, at, NULL);

        if (value >= end || !memchr(value, 0, end - value)) {
            return;
        }
        xensim_xs_writef(xs, path, "%s", value);
        at = value + strlen(value) + 1;
    }
}
