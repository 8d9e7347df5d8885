/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is compared at a quiet point. */
#include "qemu/osdep.h"
#include "engine.h"

#define CHUNK       (256 * 1024u)
#define SETTLE_MS   10000
#define INVALIDATES 5
#define HELD_RECORDS "65536"    /* the most that QEMU tells */

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

/* Pages that are compared: those that were written to on either side. */
typedef struct Pages {
    uint8_t *touched;           /* a byte for each */
    uint64_t n;
} Pages;

static void touch(void *opaque, uint64_t gfn, uint64_t mfn, uint64_t pages)
{
    Pages *p = opaque;

    if (gfn < p->n) {
        memset(p->touched + gfn, 1, MIN(pages, p->n - gfn));
    }
}

static void touch_all(OracleSide *side, Pages *p)
{
    if (side->plain) {
        plain_machine_data_foreach(side->plain, touch, p);
    } else if (xensim_data_foreach(ts_domain(side->guest), touch, p)) {
        memset(p->touched, 1, p->n);
    }
}

static char *compare_pages(OracleSide *a, OracleSide *b, uint64_t page,
                           uint64_t n)
{
    static uint8_t x[CHUNK], y[CHUNK];
    uint64_t gpa = page * ORACLE_PAGE;
    size_t len = n * ORACLE_PAGE;

    if (guest_mem_read(a->pc, gpa, x, len) ||
        guest_mem_read(b->pc, gpa, y, len)) {
        return g_strdup_printf("guest memory at 0x%" PRIx64 " cannot be read",
                               gpa);
    }
    return memcmp(x, y, len) ? first_difference(a, b, gpa, x, y, len) : NULL;
}

static char *look_at_ram(OracleSide *a, OracleSide *b)
{
    Pages p = { .n = oracle_ram_bytes(a) / ORACLE_PAGE };
    g_autofree uint8_t *touched = g_malloc0(p.n);
    uint64_t page, n;
    char *text = NULL;

    p.touched = touched;
    touch_all(a, &p);
    touch_all(b, &p);
    for (page = 0; !text && page < p.n; page += MAX(n, 1)) {
        for (n = 0; n < CHUNK / ORACLE_PAGE && page + n < p.n &&
             touched[page + n] && oracle_is_ram(page + n) &&
             !a->absent[page + n]; n++) {
            continue;
        }
        text = n ? compare_pages(a, b, page, n) : NULL;
    }
    return text;
}

/* ---- PCI configuration ---- */

/* Words of it: of the standard header, and all. */
#define HEADER_WORDS    16u
#define PCI_WORDS       64u

static int read_pci(OracleSide *side, unsigned devfn, uint32_t *words,
                    unsigned n)
{
    unsigned i;
    int rc = 0;

    if (side->plain) {
        rc = plain_machine_pci_config(side->plain, devfn, words, n);
        oracle_side_lost(side);
        return rc;
    }
    for (i = 0; i < n && !rc; i++) {
        rc = guest_pci_in(side->pc, devfn, 4 * i, 4, &words[i]);
    }
    return rc;
}

/* Reading takes longer than all else: the rest of it is @whole's alone. */
static void look_at_pci(OracleSide *side, unsigned devfn, bool whole)
{
    unsigned n = whole ? PCI_WORDS : HEADER_WORDS, i;
    uint32_t words[PCI_WORDS];

    if (read_pci(side, devfn, words, n)) {
        return;
    }
    for (i = 0; i < n; i++) {
        oracle_saw_at(side, "PCI configuration", devfn << 8 | i * 4,
                      words[i]);
    }
}

/* ---- interrupts ---- */

/* Lines of the ISA bus: those that a device can drive on both sides. */
static void look_at_isa(OracleSide *side)
{
    static const unsigned lines[] = { 3, 4, 5, 6, 7, 10, 11, 12, 14, 15 };
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(lines); i++) {
        oracle_saw_at(side, "ISA interrupt", lines[i], side->plain ?
                      plain_machine_line(side->plain, lines[i]) :
                      xensim_isa_irq(ts_domain(side->guest), lines[i]));
    }
}

/* Does a function say that it raises its line?  False if there is none. */
static bool raises_line(OracleSide *side, unsigned devfn)
{
    uint32_t val;

    return !guest_pci_in(side->pc, devfn, 4, 4, &val) &&
           (val >> 19 & 1) && !(val >> 10 & 1);
}

/* What two functions say, and, on Xen, what has been made of it. */
void oracle_look_at_line(OracleSide *side, unsigned devfn)
{
    if (!side->lost) {
        oracle_saw_at(side, "PCI interrupt", devfn >> 3, side->plain ?
                      raises_line(side, devfn) ||
                      raises_line(side, devfn | 1) :
                      xensim_pci_intx(ts_domain(side->guest), 0, devfn >> 3,
                                      0));
    }
}

/* ---- disks ---- */

static GMappedFile *map_disk(OracleSide *side, const OracleDevice *device)
{
    g_autofree char *path = oracle_shape_disk(device, side->dir);

    return g_mapped_file_new(path, FALSE, NULL);
}

static char *compare_disk(OracleSide *a, OracleSide *b,
                          const OracleDevice *device)
{
    g_autoptr(GMappedFile) disk_a = map_disk(a, device);
    g_autoptr(GMappedFile) disk_b = map_disk(b, device);
    const char *x = disk_a ? g_mapped_file_get_contents(disk_a) : NULL;
    const char *y = disk_b ? g_mapped_file_get_contents(disk_b) : NULL;
    uint64_t i = 0;

    if (!x || !y) {
        return g_strdup_printf("the disk of %s cannot be read", device->name);
    }
    if (memcmp(x, y, device->disk_bytes) == 0) {
        return NULL;
    }
    while (x[i] == y[i]) {
        i++;
    }
    return g_strdup_printf("the disk of %s at [0x%" PRIx64 "] (sector 0x%"
                           PRIx64 ") is %02x on %s, %02x on %s", device->name,
                           i, i / GUEST_SECTOR_SIZE, (uint8_t)x[i], a->name,
                           (uint8_t)y[i], b->name);
}

static char *look_at_disks(OracleSide *a, OracleSide *b)
{
    char *text = NULL;
    unsigned i;

    for (i = 0; oracle_devices[i] && !text; i++) {
        if (oracle_devices[i]->disk_bytes &&
            oracle_place(a, oracle_devices[i])) {
            text = compare_disk(a, b, oracle_devices[i]);
        }
    }
    return text;
}

/* ---- all ---- */

/* Lets block I/O end that an action left under way. */
static void settle(OracleSide *side)
{
    oracle_qmp(side, "stop", NULL);
    oracle_qmp(side, "cont", NULL);
}

static void look_at_side(OracleSide *side, bool whole)
{
    unsigned i;

    settle(side);
    if (!side->lost) {
        look_at_isa(side);
    }
    for (i = 0; oracle_devices[i]; i++) {
        const OracleDevice *device = oracle_devices[i];
        const OraclePlace *place = oracle_place(side, device);

        if (!place || side->lost) {
            continue;
        }
        if (device->args) {
            look_at_pci(side, place->devfn, whole);
            oracle_look_at_line(side, place->devfn);
        }
        if (device->look) {
            device->look(side, device);
        }
        if (device->screen) {
            oracle_picture_take(side, i);
        }
    }
}

/* ---- the mapcache and the simulated Xen ---- */

static int64_t counter(TsQmp *qmp, const char *name)
{
    g_autoptr(TsJson) info = ts_qmp_command(qmp, "query-xen-mapcache", NULL,
                                            NULL);

    return ts_json_get_int(info, name, 0);
}

/* Which ones they are (g_free). */
static char *outstanding(OracleSide *side)
{
    g_autofree char *told = oracle_monitor(side, "info xen-mapcache dma");

    return g_strdup_printf("the mapcache counts a transfer, and none is under "
                           "way: %s", told ?: "");
}

/* Ended transfers may be unmapped a little later. */
static bool settles(TsQmp *qmp, const char *name)
{
    unsigned ms;

    for (ms = 0; ms < SETTLE_MS && counter(qmp, name); ms++) {
        g_usleep(1000);
    }
    return ms < SETTLE_MS;
}

typedef struct Mapped {
    uint64_t ram_pages, pages;
} Mapped;

static void add_mapped(void *opaque, const XensimMapRun *run)
{
    Mapped *mapped = opaque;

    if (!run->grant && !run->resource && run->gfn < mapped->ram_pages) {
        mapped->pages += run->pages;
    }
}

/* Beyond so many, what is held may be mapped by its buckets. */
#define HELD_EXACT  1000

/* Pages that devices hold; a page counts for each mapping that has it. */
static uint64_t held_pages(TsQmp *qmp)
{
    g_autoptr(TsJson) told = ts_qmp_command(qmp, "x-query-xen-mapcache-dma",
        "{\"limit\": " HELD_RECORDS "}", NULL);
    const TsJson *list = ts_json_get(told, "mappings");
    uint64_t pages = 0;
    unsigned i;

    for (i = 0; list && i < list->items->len; i++) {
        const TsJson *one = list->items->pdata[i];
        uint64_t start = ts_json_get_int(one, "address", 0);
        uint64_t end = start + ts_json_get_int(one, "size", 0);

        pages += (DIV_ROUND_UP(end, ORACLE_PAGE) - start / ORACLE_PAGE) *
                 ts_json_get_int(one, "count", 1);
    }
    return pages;
}

/* What the mapcache says of its buckets and of DMA (g_free). */
static char *report(OracleSide *side)
{
    g_autofree char *all = oracle_monitor(side, "info xen-mapcache");
    g_autofree char *dma = oracle_monitor(side, "info xen-mapcache dma");

    return g_strconcat(all ?: "", dma, NULL);
}

/*
 * NULL if no more of the guest's RAM is mapped, after an invalidate, than what
 * devices hold.  Otherwise what is wrong (g_free).  What is mapped again at
 * once is no fault, hence more than one try.
 */
static char *look_after_invalidate(OracleSide *side, TsQmp *qmp)
{
    XensimDomain *dom = oracle_domain(side);
    g_autofree char *told = NULL;
    unsigned tries;

    for (tries = 0; tries < INVALIDATES; tries++) {
        Mapped mapped = { .ram_pages = oracle_ram_bytes(side) / ORACLE_PAGE };

        xensim_invalidate(dom);
        if (!settles(qmp, "buckets-pending")) {
            told = report(side);
            return g_strdup_printf("an invalidate has retired buckets that "
                                   "stay mapped: %s", told);
        }
        xensim_mappings_foreach(dom, add_mapped, &mapped);
        if (mapped.pages <= held_pages(qmp)) {
            return NULL;
        }
    }
    told = report(side);
    return g_strdup_printf("after an invalidate, more of the guest's RAM is "
                           "mapped than devices hold: %s", told);
}

static char *look_at_xen(OracleSide *side)
{
    TsQmp *qmp = side->plain ? NULL : oracle_side_qmp(side);
    char *text;

    if (!qmp) {
        return NULL;
    }
    if (counter(qmp, "unmatched")) {
        return g_strdup("the mapcache counts a release that matches nothing");
    }
    if (!settles(qmp, "dma")) {
        return outstanding(side);
    }
    text = oracle_counts_compare(side, qmp);
    if (text) {
        return text;
    }
    /* A call that failed may have left a ring to be held by its bucket. */
    if (!counter(qmp, "map-failures") &&
        counter(qmp, "held") <= HELD_EXACT) {
        text = look_after_invalidate(side, qmp);
    }
    if (!text && xensim_check(ts_sim(side->ts))) {
        text = g_strdup("the simulated Xen's records contradict each other");
    }
    return text;
}

/* ---- all of it ---- */

char *oracle_look(OracleSide *a, OracleSide *b, bool whole)
{
    char *text;

    look_at_side(a, whole);
    look_at_side(b, whole);
    if (a->lost || b->lost) {
        return NULL;
    }
    text = oracle_compare_sights(a, b);
    text = text ?: oracle_pictures_compare(a, b);
    text = text ?: look_at_disks(a, b);
    text = text ?: look_at_ram(a, b);
    text = text ?: oracle_dirty_end(b);
    return text ?: look_at_xen(b);
}
