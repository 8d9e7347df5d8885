/*
 * Where device memory sits in an HVM guest: kept in xenstore
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Only for a libxen that cannot put a mapping at an address of our choice
 * (XEN_COMPAT_PHYSMAP, include/hw/xen/xen_common.h): the place of each range
 * must then be known before a device touches its memory.  The toolstack
 * saves the keys with the guest and writes them again before QEMU starts.
 *
 * For the domain @domid, with all numbers in hex and no prefix:
 *
 *   /local/domain/0/device-model/@domid/physmap/RAM/start_addr
 *   /local/domain/0/device-model/@domid/physmap/RAM/size
 *   /local/domain/0/device-model/@domid/physmap/RAM/name
 *
 * RAM is the ram_addr_t of the range's first byte.  The name is for people.
 *
 * What is read is the guest's toolstack's word, and old: an entry is taken
 * only if all its frames are there.
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "hw/xen/xen_native.h"
#include "system/runstate.h"
#include "system/xen-mapcache.h"
#include "xen-physmap-int.h"

static struct xs_handle *xenstore;

static char *physmap_path(const char *entry, const char *key)
{
    return g_strdup_printf("/local/domain/0/device-model/%u/physmap%s%s%s%s",
                           xen_domid, entry ? "/" : "", entry ?: "",
                           key ? "/" : "", key ?: "");
}

static bool write_key(const char *entry, const char *key, const char *value)
{
    g_autofree char *path = physmap_path(entry, key);

    return xs_write(xenstore, XBT_NULL, path, value, strlen(value));
}

void xen_physmap_compat_save(const XenPhysmapRange *r)
{
    g_autofree char *entry = g_strdup_printf("%" PRIx64, (uint64_t)r->ram);
    g_autofree char *start = g_strdup_printf("%" PRIx64, xen_range_gaddr(r));
    g_autofree char *size = g_strdup_printf("%" PRIx64, xen_range_size(r));

    if (!xenstore) {
        return;
    }
    if (!write_key(entry, "start_addr", start) ||
        !write_key(entry, "size", size) ||
        !write_key(entry, "name", xen_physmap_name(r->ram))) {
        xen_complain("cannot write to xenstore where %s is (0x%" HWADDR_PRIx
                     "): %s; the guest cannot be restored from a save",
                     xen_physmap_name(r->ram), xen_range_gaddr(r),
                     strerror(errno));
    }
}

void xen_physmap_compat_forget(const XenPhysmapRange *r)
{
    g_autofree char *entry = g_strdup_printf("%" PRIx64, (uint64_t)r->ram);
    g_autofree char *path = physmap_path(entry, NULL);

    if (xenstore && !xs_rm(xenstore, XBT_NULL, path) && errno != ENOENT) {
        xen_complain("cannot remove %s from xenstore: %s; the guest may not "
                     "be restorable from a save", path, strerror(errno));
    }
}

/* A hexadecimal number that is all of @text. */
static bool parse_hex(const char *text, uint64_t *value)
{
    return text && g_ascii_isxdigit(text[0]) &&
           qemu_strtou64(text, NULL, 16, value) == 0;
}

static bool read_hex(const char *entry, const char *key, uint64_t *value)
{
    g_autofree char *path = physmap_path(entry, key);
    char *text = xs_read(xenstore, XBT_NULL, path, NULL);
    bool ok = parse_hex(text, value);

    free(text);
    return ok;
}

static void load_entry(const char *entry)
{
    uint64_t ram, start, size;
    XenFrames frames;

    if (!parse_hex(entry, &ram) || !read_hex(entry, "start_addr", &start) ||
        !read_hex(entry, "size", &size)) {
        warn_report("the physmap in xenstore has an entry '%s' that cannot "
                    "be read: ignored", entry);
        return;
    }
    if (!size || !QEMU_IS_ALIGNED(ram | start | size, XEN_GUEST_PAGE_SIZE) ||
        ram + size < ram || start + size < start) {
        warn_report("the physmap in xenstore says that 0x%" PRIx64 " has 0x%"
                    PRIx64 " bytes at 0x%" PRIx64 ", which cannot be: "
                    "ignored", ram, size, start);
        return;
    }
    frames = xen_map_cache_probe(start, size);
    if (frames == XEN_FRAMES_UNKNOWN) {
        error_report("cannot find out whether 0x%" PRIx64 " bytes of device "
                     "memory are at 0x%" PRIx64 ", as the physmap in xenstore "
                     "says: restoring the guest failed", size, start);
        exit(EXIT_FAILURE);
    }
    if (frames != XEN_FRAMES_ALL) {
        warn_report("the physmap in xenstore says that 0x%" PRIx64 " has 0x%"
                    PRIx64 " bytes at 0x%" PRIx64 ", where frames are "
                    "missing: ignored", ram, size, start);
        return;
    }
    if (!xen_physmap_remember(ram, start, size)) {
        warn_report("the physmap in xenstore has a second place for 0x%"
                    PRIx64 ": ignored", ram);
    }
}

void xen_physmap_compat_load(struct xs_handle *xs)
{
    g_autofree char *path = physmap_path(NULL, NULL);
    unsigned num = 0, i;
    char **entries;

    xenstore = xs;
    if (!xenstore || !runstate_check(RUN_STATE_INMIGRATE)) {
        return;
    }
    entries = xs_directory(xenstore, XBT_NULL, path, &num);
    for (i = 0; entries && i < num; i++) {
        load_entry(entries[i]);
    }
    free(entries);
}
