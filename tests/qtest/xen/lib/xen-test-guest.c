/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest does in the Xen device model's qtests, and what can be seen of
 * the device model meanwhile: see xen-test-common.h.
 */
#include "qemu/osdep.h"
#define XEN_TEST_HELPERS
#include "xen-test-common.h"

/* ---- looking at it ---- */

uint64_t xen_test_stat(XenTest *t, const char *name)
{
    QDict *rsp, *ret;
    uint64_t value;

    xen_test_alive(t);
    if (t->stock) {
        return 0;
    }
    rsp = qtest_qmp(t->qts, "{'execute': 'query-xen-mapcache'}");
    ret = qdict_get_qdict(rsp, "return");
    if (!ret || !qdict_haskey(ret, name)) {
        xen_test_leave(t, "has no such counter in query-xen-mapcache");
    }
    value = qdict_get_int(ret, name);
    qobject_unref(rsp);
    return value;
}

const char *xen_test_hmp(XenTest *t, const char *line)
{
    xen_test_alive(t);
    return xen_test_keep(t, qtest_hmp(t->qts, "%s", line));
}

bool xen_test_settles(XenTest *t, const char *name, const char *other)
{
    for (unsigned i = 0; i < 500; i++) {
        if (!xen_test_stat(t, name) && (!other || !xen_test_stat(t, other))) {
            return true;
        }
        g_usleep(10000);
    }
    return false;
}

bool xen_test_let_go(XenTest *t, uint64_t mfn)
{
    for (unsigned i = 0; i < 500; i++) {
        if (!xensim_mfn_mappings(t->sim, mfn)) {
            return true;
        }
        g_usleep(10000);
    }
    return false;
}

uint64_t xen_test_map_calls(XenTest *t)
{
    return xensim_count_maps(t->sim).calls;
}

uint64_t xen_test_map_pages(XenTest *t)
{
    return xensim_count_maps(t->sim).pages;
}

enum { RAM_PAGES = (XEN_TEST_RAM_MB << 20) / XEN_TEST_PAGE };

static void add_ram_pages(void *opaque, const XensimMapRun *run)
{
    /* The special pages and device memory are above. */
    if (run->gfn < RAM_PAGES) {
        *(uint64_t *)opaque += run->pages;
    }
}

static void mark_ram_pages(void *opaque, const XensimMapRun *run)
{
    bool *shown = opaque;

    for (uint64_t i = 0; i < run->pages && run->gfn + i < RAM_PAGES; i++) {
        shown[run->gfn + i] = true;
    }
}

uint64_t xen_test_ram_mapped(XenTest *t)
{
    uint64_t pages = 0;

    xensim_mappings_foreach(t->dom, add_ram_pages, &pages);
    return pages;
}

uint64_t xen_test_ram_shown(XenTest *t)
{
    g_autofree bool *shown = g_new0(bool, RAM_PAGES);
    uint64_t pages = 0;

    xensim_mappings_foreach(t->dom, mark_ram_pages, shown);
    for (unsigned i = 0; i < RAM_PAGES; i++) {
        pages += shown[i];
    }
    return pages;
}

uint64_t xen_test_pages(XenTest *t)
{
    XensimMemInfo info;

    xensim_mem_info(t->dom, &info);
    return info.tot_pages;
}

typedef struct Range {
    uint64_t first, end;    /* gfns */
    uint64_t pages;         /* with a frame */
} Range;

static void add_pages(void *opaque, uint64_t gfn, uint64_t mfn, uint64_t pages)
{
    Range *r = opaque;
    uint64_t from = MAX(gfn, r->first);
    uint64_t to = MIN(gfn + pages, r->end);

    r->pages += from < to ? to - from : 0;
}

uint64_t xen_test_pages_at(XenTest *t, uint64_t gpa, uint64_t pages)
{
    Range r = { gpa / XEN_TEST_PAGE, gpa / XEN_TEST_PAGE + pages };

    xensim_p2m_foreach(t->dom, add_pages, &r);
    return r.pages;
}

const char *xen_test_ram_shared(XenTest *t, uint64_t from, uint64_t step)
{
    for (uint64_t gpa = from; gpa < XEN_TEST_RAM_MB << 20; gpa += step) {
        uint64_t put = gpa * 3, got = 0;

        xensim_write(t->dom, gpa, &put, sizeof(put));
        XEN_REQUIRE(qtest_readq(t->qts, gpa) == put,
                    "reads other RAM at 0x%" PRIx64, gpa);
        qtest_writeq(t->qts, gpa, ~put);
        xensim_read(t->dom, gpa, &got, sizeof(got));
        XEN_REQUIRE(got == ~put, "writes other RAM at 0x%" PRIx64, gpa);
    }
    return NULL;
}

GBytes *xen_test_screendump(XenTest *t)
{
    g_autofree char *file = g_strdup_printf("%s/screen.ppm", t->dir);
    char *bytes;
    gsize len;

    xen_test_alive(t);
    qtest_qmp_assert_success(t->qts, "{'execute': 'screendump',"
                             " 'arguments': {'filename': %s}}", file);
    g_assert_true(g_file_get_contents(file, &bytes, &len, NULL));
    return g_bytes_new_take(bytes, len);
}

/* ---- disk and display ---- */

void xen_test_ok(XenTest *t, int err)
{
    if (err) {
        xen_test_no_answer(t, guest_pc_error(t->pc));
    }
}

const char *xen_test_disk(XenTest *t, unsigned pages, uint64_t seed)
{
    g_autofree char *file = g_strdup_printf("%s/disk", t->dir);
    g_autofree uint8_t *bytes = g_malloc(pages * XEN_TEST_PAGE);

    for (unsigned i = 0; i < pages; i++) {
        xensim_stamp_page(bytes + i * XEN_TEST_PAGE, i, seed);
    }
    g_assert_true(g_file_set_contents(file, (char *)bytes,
                                      pages * XEN_TEST_PAGE, NULL));
    return xen_test_keep(t, g_strdup_printf("-drive file='%s',format=raw,"
                                            "if=ide,index=0,media=disk ",
                                            file));
}

void xen_test_ide(XenTest *t)
{
    xen_test_ok(t, guest_ide_init(t->pc, &t->ide, 0, 0, XEN_TEST_PRD));
}

void xen_test_start_disk(XenTest *t, unsigned pages, uint64_t seed,
                         const char *more)
{
    g_autofree char *args = g_strconcat(xen_test_disk(t, pages, seed), more,
                                        NULL);

    xen_test_start(t, args);
    xen_test_ide(t);
}

void xen_test_dma_read(XenTest *t, unsigned page, uint64_t gpa, unsigned n)
{
    GuestSg sg = { .gpa = gpa, .len = n * XEN_TEST_PAGE };

    xen_test_ok(t, guest_ide_dma(&t->ide, false, page * 8, n * 8, &sg, 1));
}

const char *xen_test_disk_at(XenTest *t, uint64_t gpa, unsigned page,
                             unsigned n, uint64_t seed, const char *what)
{
    uint8_t bytes[XEN_TEST_PAGE];

    for (unsigned i = 0; i < n; i++) {
        uint64_t at = gpa + i * XEN_TEST_PAGE;

        g_assert_cmpint(xensim_read(t->dom, at, bytes, sizeof(bytes)), ==, 0);
        xen_test_note_clear();
        if (!xensim_stamp_page_ok(bytes, page + i, seed)) {
            xen_test_note("guest address 0x%" PRIx64 " is to have page %u of "
                          "the disk", at, page + i);
            return xen_test_text(__FILE__, __LINE__, "%s", what);
        }
    }
    return NULL;
}

void xen_test_vga(XenTest *t)
{
    xen_test_ok(t, guest_vga_init(t->pc, &t->vga, 0));
    xen_test_ok(t, guest_vga_place(&t->vga, XEN_TEST_LFB, 0));
    xen_test_ok(t, guest_vga_mode(&t->vga, 640, 480, 32));
}

/* ---- holders of DMA mappings ---- */

enum { AHCI_GHC = 0x4, PX_CLB = 0, PX_FB = 8, PX_CMD = 0x18 };

static void ahci_out(XenTest *t, unsigned reg, uint32_t val)
{
    xen_test_ok(t, guest_mmio_out(t->pc, XEN_TEST_AHCI_BAR + reg, 4, val));
}

void xen_test_ahci_start(XenTest *t, uint64_t list, uint64_t fis)
{
    xen_test_ok(t, guest_pci_place_bar(t->pc, 5 << 3, 5, XEN_TEST_AHCI_BAR));
    xen_test_ok(t, guest_pci_command(t->pc, 5 << 3, GUEST_PCI_MEMORY |
                                     GUEST_PCI_MASTER, 0));
    ahci_out(t, AHCI_GHC, 1u << 31);
    ahci_out(t, 0x100 + PX_CLB, list);
    ahci_out(t, 0x100 + PX_CLB + 4, list >> 32);
    ahci_out(t, 0x100 + PX_FB, fis);
    ahci_out(t, 0x100 + PX_FB + 4, fis >> 32);
    /* FIS receive, then the list. */
    ahci_out(t, 0x100 + PX_CMD, 1u << 4);
    ahci_out(t, 0x100 + PX_CMD, 1u << 4 | 1u);
}

void xen_test_ahci_stop(XenTest *t)
{
    ahci_out(t, 0x100 + PX_CMD, 0);
}

enum { VIRTIO_PFN = 8, VIRTIO_QSIZE = 12, VIRTIO_QSEL = 14,
       VIRTIO_NOTIFY = 16, VIRTIO_STATUS = 18, STATS_QUEUE = 2 };

static void stats_out(XenTest *t, unsigned reg, unsigned size, uint32_t val)
{
    xen_test_ok(t, guest_out(t->pc, XEN_TEST_STATS_IO + reg, size, val));
}

void xen_test_stats_hold(XenTest *t, uint64_t ring, uint64_t gpa,
                         uint32_t bytes)
{
    struct {
        uint64_t addr;
        uint32_t len;
        uint16_t flags, next;
    } desc = { .addr = gpa, .len = bytes };
    uint16_t avail[3] = { 0, 1, 0 };    /* flags, index, head */
    uint32_t size;

    xen_test_ok(t, guest_pci_place_bar(t->pc, 6 << 3, 0, XEN_TEST_STATS_IO));
    xen_test_ok(t, guest_pci_command(t->pc, 6 << 3, GUEST_PCI_IO |
                                     GUEST_PCI_MASTER, 0));
    stats_out(t, VIRTIO_STATUS, 1, 0);
    stats_out(t, VIRTIO_STATUS, 1, 3);  /* seen, and driven */
    stats_out(t, 4, 4, 1 << 1);         /* the statistics feature */
    stats_out(t, VIRTIO_QSEL, 2, STATS_QUEUE);
    xen_test_ok(t, guest_in(t->pc, XEN_TEST_STATS_IO + VIRTIO_QSIZE, 2,
                            &size));
    xensim_fill(t->dom, ring, 0, 16384);
    xensim_write(t->dom, ring, &desc, sizeof(desc));
    xensim_write(t->dom, ring + size * 16, avail, sizeof(avail));
    stats_out(t, VIRTIO_PFN, 4, ring / XEN_TEST_PAGE);
    stats_out(t, VIRTIO_STATUS, 1, 7);  /* and ready */
    stats_out(t, VIRTIO_NOTIFY, 2, STATS_QUEUE);
}

void xen_test_stats_release(XenTest *t)
{
    stats_out(t, VIRTIO_STATUS, 1, 0);
}
