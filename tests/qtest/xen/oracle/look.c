/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is compared at a quiet point. */
#include "qemu/osdep.h"
#include "engine.h"

#define CHUNK       (256 * 1024u)

/* ---- what was told ---- */

char *oracle_compare_sights(OracleSide *a, OracleSide *b)
{
    unsigned i, n = MIN(a->sights->len, b->sights->len);

    for (i = 0; i < n; i++) {
        const OracleSight *x = &g_array_index(a->sights, OracleSight, i);
        const OracleSight *y = &g_array_index(b->sights, OracleSight, i);

        if (strcmp(x->what, y->what) || x->index != y->index) {
            return g_strdup_printf("%s: %s [0x%" PRIx64 "]; %s: %s [0x%"
                                   PRIx64 "]", a->name, x->what, x->index,
                                   b->name, y->what, y->index);
        }
        if (x->value != y->value) {
            return g_strdup_printf("%s [0x%" PRIx64 "] is 0x%" PRIx64
                                   " on %s, 0x%" PRIx64 " on %s", x->what,
                                   x->index, x->value, a->name, y->value,
                                   b->name);
        }
    }
    return a->sights->len == b->sights->len ? NULL :
           g_strdup_printf("%s saw %u things, %s %u", a->name, a->sights->len,
                           b->name, b->sights->len);
}

/* ---- guest memory ---- */

static char *first_difference(OracleSide *a, OracleSide *b, uint64_t gpa,
                              const uint8_t *x, const uint8_t *y, size_t len)
{
    size_t i = 0;

    while (i < len && x[i] == y[i]) {
        i++;
    }
    return g_strdup_printf("guest memory at 0x%" PRIx64 " (page 0x%" PRIx64
                           ") is %02x on %s, %02x on %s", gpa + i,
                           (gpa + i) / ORACLE_PAGE, x[i], a->name, y[i],
                           b->name);
}

static char *look_at_ram(OracleSide *a, OracleSide *b, uint64_t start,
                         uint64_t end)
{
    g_autofree uint8_t *x = g_malloc(CHUNK), *y = g_malloc(CHUNK);
    uint64_t gpa;

    for (gpa = start; gpa < end; gpa += CHUNK) {
        size_t len = MIN(end - gpa, CHUNK);

        if (guest_mem_read(a->pc, gpa, x, len) ||
            guest_mem_read(b->pc, gpa, y, len)) {
            return g_strdup_printf("guest memory at 0x%" PRIx64 " cannot be "
                                   "read", gpa);
        }
        if (memcmp(x, y, len)) {
            return first_difference(a, b, gpa, x, y, len);
        }
    }
    return NULL;
}

/* ---- PCI configuration ---- */

static void look_at_pci(OracleSide *side, unsigned devfn)
{
    unsigned reg;

    for (reg = 0; reg < 256; reg += 4) {
        uint32_t val;

        if (guest_pci_in(side->pc, devfn, reg, 4, &val)) {
            return;
        }
        oracle_saw_at(side, "PCI configuration", devfn << 8 | reg, val);
    }
}

/* ---- disks ---- */

static void look_at_disk(OracleSide *side, const OracleDevice *device)
{
    g_autofree char *path = oracle_shape_disk(device, side->dir);
    g_autofree char *data = NULL;
    gsize len;

    if (g_file_get_contents(path, &data, &len, NULL)) {
        oracle_saw_bytes(side, device->name, 0, data, len);
    }
}

/* ---- all ---- */

/* Lets block I/O end that an action left under way. */
static void settle(OracleSide *side)
{
    oracle_qmp(side, "stop", NULL);
    oracle_qmp(side, "cont", NULL);
}

static void look_at_side(OracleSide *side)
{
    unsigned i;

    settle(side);
    for (i = 0; oracle_devices[i]; i++) {
        const OracleDevice *device = oracle_devices[i];
        const OraclePlace *place = oracle_place(side, device);

        if (!place || side->lost) {
            continue;
        }
        if (device->args) {
            look_at_pci(side, place->devfn);
        }
        if (device->look) {
            device->look(side, device);
        }
        if (device->disk_bytes) {
            look_at_disk(side, device);
        }
    }
}

char *oracle_look(OracleSide *a, OracleSide *b)
{
    char *text;

    look_at_side(a);
    look_at_side(b);
    if (a->lost || b->lost) {
        return NULL;
    }
    text = oracle_compare_sights(a, b);
    if (!text) {
        /* In between are video memory and ROMs, which are no RAM on Xen. */
        text = look_at_ram(a, b, 0, 0xa0000);
    }
    return text ?: look_at_ram(a, b, 0x100000, oracle_ram_bytes(a));
}
