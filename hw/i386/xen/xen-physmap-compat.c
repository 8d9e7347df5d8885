/*
 * Where device memory is in an HVM guest: the record in xenstore
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * This is only for a libxen with which the caller cannot choose the address of
 * a mapping (XEN_COMPAT_PHYSMAP, include/hw/xen/xen_common.h).  Then a dummy
 * cannot be replaced, so the location of each piece must be known before a
 * device accesses its memory.  The toolstack saves the keys with the guest, and
 * writes them again before QEMU starts.
 *
 * The keys of the domain @domid are these; all numbers are in hex without a
 * prefix:
 *
 *   /local/domain/0/device-model/@domid/physmap/RAM/start_addr
 *   /local/domain/0/device-model/@domid/physmap/RAM/size
 *   /local/domain/0/device-model/@domid/physmap/RAM/name
 *
 * RAM is the ram_addr_t of the piece's first byte.  The name is for people.
 *
 * The keys were written before the save and may be out of date.  So an entry is
 * used only if all its frames are present.
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "hw/xen/xen_native.h"
#include "system/runstate.h"
#include "system/xen-mapcache.h"
#include "xen-physmap-int.h"

static struct xs_handle *xenstore;

/* The pieces that have keys. */
static XenPieceList stored;

static char *physmap_path(const char *entry, const char *key)
{
    return g_strdup_printf("/local/domain/0/device-model/%u/physmap%s%s%s%s",
                           xen_domid, entry ? "/" : "", entry ?: "",
                           key ? "/" : "", key ?: "");
}

/*
 * Writing
 */

static bool write_key(const char *entry, const char *key, const char *value)
{
    g_autofree char *path = physmap_path(entry, key);

    return xs_write(xenstore, XBT_NULL, path, value, strlen(value));
}

static void write_entry(const XenPiece *p)
{
    g_autofree char *entry = g_strdup_printf("%" PRIx64, (uint64_t)p->ram);
    g_autofree char *start = g_strdup_printf("%" PRIx64, p->gaddr);
    g_autofree char *size = g_strdup_printf("%" PRIx64, p->size);

    if (!write_key(entry, "start_addr", start) ||
        !write_key(entry, "size", size) ||
        !write_key(entry, "name", xen_physmap_name(p->ram))) {
        xen_complain("cannot write the location of %s (0x%" HWADDR_PRIx ") to "
                     "xenstore: %s; if the guest is saved now, it cannot be "
                     "restored", xen_physmap_name(p->ram), p->gaddr,
                     strerror(errno));
    }
}

static void remove_entry(const XenPiece *p)
{
    g_autofree char *entry = g_strdup_printf("%" PRIx64, (uint64_t)p->ram);
    g_autofree char *path = physmap_path(entry, NULL);

    if (!xs_rm(xenstore, XBT_NULL, path) && errno != ENOENT) {
        xen_complain("cannot remove %s from xenstore: %s; if the guest is "
                     "saved now, it cannot always be restored", path,
                     strerror(errno));
    }
}

void xen_physmap_compat_sync(void)
{
    const XenPieces *now = xen_pieces();
    const XenPiece *p;
    uint64_t len = 1;
    int i;

    if (!xenstore) {
        return;
    }
    for (i = 0; i < stored.n; i++) {
        p = xen_piece_of(now->p, now->n, stored.p[i].ram, &len);
        if (!p || p->ram != stored.p[i].ram) {
            remove_entry(&stored.p[i]);
        }
    }
    for (i = 0; i < now->n; i++) {
        p = xen_piece_of(stored.p, stored.n, now->p[i].ram, &len);
        if (!p || memcmp(p, &now->p[i], sizeof(*p))) {
            write_entry(&now->p[i]);
        }
    }
    g_free(stored.p);
    stored.n = now->n;
    stored.p = g_memdup2(now->p, now->n * sizeof(now->p[0]));
}

/*
 * Reading
 */

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

/* Reads an entry.  Returns NULL, or what is wrong with the entry. */
static const char *load_entry(const char *entry, XenPiece *p)
{
    if (!parse_hex(entry, &p->ram) ||
        !read_hex(entry, "start_addr", &p->gaddr) ||
        !read_hex(entry, "size", &p->size)) {
        return "cannot be read";
    }
    if (!p->size || p->size > XEN_DEVICE_MEMORY_MAX ||
        p->ram >= XEN_ABANDONED || p->gaddr + p->size < p->gaddr ||
        !QEMU_IS_ALIGNED(p->ram | p->gaddr | p->size, XEN_GUEST_PAGE_SIZE) ||
        xen_piece_clashes(stored.p, stored.n, p)) {
        return "is not made of pages of device memory, or overlaps another "
               "entry";
    }
    switch (xen_map_cache_probe(p->gaddr, p->size, NULL)) {
    case XEN_FRAMES_ALL:
        return NULL;
    case XEN_FRAMES_UNKNOWN:
        error_report("restoring the guest failed: Xen does not say whether "
                     "0x%" PRIx64 " bytes of device memory are at 0x%" PRIx64
                     ", as the physmap in xenstore says", p->size, p->gaddr);
        exit(EXIT_FAILURE);
    default:
        return "names frames that are absent";
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
        XenPiece p;
        const char *wrong = load_entry(entries[i], &p);

        if (wrong) {
            warn_report("the physmap in xenstore has an invalid entry '%s', "
                        "which is ignored: it %s", entries[i], wrong);
            continue;
        }
        xen_pieces_put(p.ram, p.gaddr, p.size);
        xen_piece_add(&stored, &p);
    }
    free(entries);
}
