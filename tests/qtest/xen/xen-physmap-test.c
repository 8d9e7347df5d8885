/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Device memory follows its BARs, through saves and restores: for each
 * device the guest sees the device's frames behind the BAR and nowhere else,
 * QEMU sees the same frames, and no byte is lost.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "xen-test-devmem.h"

/* Boots, lets the BARs move, saves and restores at each step. */
static const char *follow(XenTest *t, const DevMem *d)
{
    g_autofree char *args = devmem_args(t, d->args);
    DevMemFrames f;
    uint64_t pages;

    xen_test_start(t, args);
    xen_test_ide(t);
    pages = devmem_frames(t).pages;

    /* Before the firmware has touched it; twice. */
    xen_test_save_restore(t, args);
    xen_test_save_restore(t, args);

    devmem_place(t, d, RANGE_A);
    devmem_stamp(t, d, RANGE_A, 10);
    XEN_TRY(devmem_in_place(t, d, RANGE_A, 10));
    f = devmem_frames(t);
    XEN_REQUIRE(f.pages == pages, "has 0x%" PRIx64 " frames of 0x%" PRIx64,
                f.pages, pages);

    for (unsigned i = 0; i < 2; i++) {
        xen_test_save_restore(t, args);
        XEN_TRY(devmem_in_place(t, d, RANGE_A, 10));
    }

    /* To another place and on, and back, without and with a restore. */
    devmem_place(t, d, RANGE_B);
    XEN_TRY(devmem_gone(t, d, RANGE_A));
    XEN_TRY(devmem_in_place(t, d, RANGE_B, 10));
    devmem_place(t, d, RANGE_B + 0x4000000);
    XEN_TRY(devmem_gone(t, d, RANGE_B));
    xen_test_save_restore(t, args);
    XEN_TRY(devmem_in_place(t, d, RANGE_B + 0x4000000, 10));
    devmem_place(t, d, RANGE_A);
    XEN_TRY(devmem_in_place(t, d, RANGE_A, 10));

    /* Switched off, which moves nothing, saved so, and on again. */
    devmem_decode(t, false);
    XEN_TRY(devmem_stamped(t, d, RANGE_A, 10));
    xen_test_save_restore(t, args);
    XEN_TRY(devmem_stamped(t, d, RANGE_A, 10));
    devmem_decode(t, true);
    XEN_TRY(devmem_in_place(t, d, RANGE_A, 10));
    f = devmem_frames(t);
    XEN_REQUIRE(f.pages == pages, "has 0x%" PRIx64 " frames of 0x%" PRIx64,
                f.pages, pages);
    return NULL;
}

static const char *follow_qxl(XenTest *t)
{
    g_autofree char *args = devmem_qxl_args(t, "");
    /* The upper half of BAR 0 has the device's rings, which it writes to. */
    DevMem d = { "qxl", args, { { 0, 8 * MiB }, { 1, 8 * MiB } } };

    return follow(t, &d);
}

static const char *qxl_two_bars(XenTest *t)
{
    g_autofree char *args = devmem_qxl_args(t, DEVMEM_QXL_LARGER_64BIT);
    DevMem half = { "qxl", args, { { 1, 8 * MiB } } };
    uint64_t pages, whole = RANGE_B;
    uint8_t page[XEN_TEST_PAGE];

    xen_test_start(t, args);
    pages = devmem_frames(t).pages;
    devmem_place(t, &half, RANGE_A);
    devmem_stamp(t, &half, RANGE_A, 20);
    XEN_TRY(devmem_shared(t, &half, RANGE_A));
    for (unsigned i = 0; i < 2; i++) {
        xen_test_save_restore(t, args);
        XEN_TRY(devmem_stamped(t, &half, RANGE_A, 20));
        XEN_TRY(devmem_shared(t, &half, RANGE_A));
    }

    /* The other BAR as well: served by QEMU, with the same bytes. */
    xen_test_ok(t, guest_pci_place_bar(t->pc, DEVMEM_DEVFN, 4, whole));
    xensim_mmio_write(t->dom, whole + 0x2018, 8, 0x1122334455667788);
    XEN_REQUIRE(xensim_mmio_read(t->dom, RANGE_A + 0x2018, 8) ==
                0x1122334455667788, "has two memories behind two BARs");
    devmem_stamp(t, &half, RANGE_A, 20);
    xen_test_save_restore(t, args);
    for (unsigned i = 0; i < 16; i++) {
        uint64_t at = RANGE_A + i * 0x80000, also = whole + i * 0x80000;

        XEN_REQUIRE(xensim_mmio_read(t->dom, at, 8) ==
                    xensim_mmio_read(t->dom, also, 8),
                    "lost the second BAR at 0x%" PRIx64, also);
        xensim_stamp_page(page, i * 0x80, 20);
        XEN_REQUIRE(xensim_mmio_read(t->dom, at, 8) == ldq_le_p(page),
                    "lost page 0x%x", i * 0x80);
    }
    XEN_REQUIRE(devmem_frames(t).pages == pages, "lost or made frames");
    return NULL;
}

/* The guest maps the BARs in another order than they are loaded in. */
static const char *qxl_order(XenTest *t)
{
    g_autofree char *args = devmem_qxl_args(t, DEVMEM_QXL_LARGER_64BIT);
    DevMem whole = { "qxl", args, { { 4, 16 * MiB } } };

    xen_test_start(t, args);
    devmem_place(t, &whole, RANGE_B);
    /* While the other is shown, which placing would switch off. */
    xensim_pci_write(t->dom, 0, DEVMEM_DEVFN, 0x14, 4, RANGE_A);
    devmem_stamp(t, &whole, RANGE_B, 30);
    for (unsigned i = 0; i < 2; i++) {
        xen_test_save_restore(t, args);
        /* Behind the one BAR or the other; QEMU serves what is not. */
        for (unsigned n = 0; n < devmem_pages(&whole, 0); n += 61) {
            uint8_t page[XEN_TEST_PAGE];
            uint64_t at = n * XEN_TEST_PAGE;

            xensim_stamp_page(page, n, 30);
            XEN_REQUIRE(xensim_mmio_read(t->dom, RANGE_B + at, 8) ==
                        ldq_le_p(page), "lost page %u of BAR 4", n);
            XEN_REQUIRE(at >= 8 * MiB ||
                        xensim_mmio_read(t->dom, RANGE_A + at, 8) ==
                        ldq_le_p(page), "lost page %u of BAR 1", n);
        }
    }
    return NULL;
}

/*
 * A state goes from stock to ours, to stock, and to ours again: all of it is
 * where each of them looks.
 */
static const char *interchange(XenTest *t, const DevMem *d)
{
    g_autofree char *args = devmem_args(t, d->args);

    t->stock = true;
    xen_test_start(t, args);
    devmem_place(t, d, RANGE_A);
    /* A Cirrus shows its memory in the BAR once a mode is set (GR 0x0b). */
    xensim_outw(t->dom, 0x3ce, 0x000b);
    devmem_stamp(t, d, RANGE_A, 80);
    for (unsigned i = 0; i < 3; i++) {
        t->stock = !t->stock;
        xen_test_save_restore(t, args);
        XEN_TRY(devmem_stamped(t, d, RANGE_A, 80));
        XEN_TRY(devmem_shared(t, d, RANGE_A));
    }
    xen_test_ide(t);
    return devmem_in_place(t, d, RANGE_A, 80);
}

/*
 * What stock cannot take back it can save: it leaves the memory of these
 * devices at home, or moves a part of it, and ours moves the rest.
 */
static const char *from_stock(XenTest *t, const DevMem *d)
{
    g_autofree char *args = devmem_args(t, d->args);
    enum { STEP = 0xf008 };

    t->stock = true;
    xen_test_start(t, args);
    devmem_place(t, d, RANGE_A);
    for (unsigned i = 0; i < DEVMEM_BARS; i++) {
        for (uint64_t n = 0; n < d->ram[i].bytes; n += STEP) {
            xensim_mmio_write(t->dom, devmem_addr(d, i, RANGE_A) + n, 8,
                              n * 77);
        }
    }
    t->stock = false;
    xen_test_save_restore(t, args);
    for (unsigned i = 0; i < DEVMEM_BARS; i++) {
        for (uint64_t n = 0; n < d->ram[i].bytes; n += STEP) {
            uint64_t at = devmem_addr(d, i, RANGE_A) + n;

            XEN_REQUIRE(xensim_mmio_read(t->dom, at, 8) == n * 77,
                        "lost what is at 0x%" PRIx64 " of BAR %u", n,
                        d->ram[i].bar);
        }
    }
    xen_test_ide(t);
    devmem_stamp(t, d, RANGE_A, 90);
    xen_test_save_restore(t, args);
    return devmem_in_place(t, d, RANGE_A, 90);
}

static const char *from_stock_qxl(XenTest *t)
{
    g_autofree char *args = devmem_qxl_args(t, "");
    DevMem d = { "qxl", args, { { 0, 8 * MiB }, { 1, 8 * MiB } } };

    return from_stock(t, &d);
}

static unsigned passed_over(XenTest *t)
{
    g_auto(GStrv) lines = xen_test_log_lines(t, "is left out of a walk");

    return g_strv_length(lines);
}
#define passed_over(...) XEN_AT(passed_over(__VA_ARGS__))

/*
 * A disk that is made while the display's memory is a dummy looks through all
 * RAM blocks, to register them with its driver, and does so when it goes.  It
 * is told of no dummy, and of what took its place like everybody else.
 */
static const char *late_listener(XenTest *t)
{
    g_autofree char *args =
        devmem_args(t, "-device VGA,addr=8 -blockdev driver=null-co,"
                    "size=1048576,node-name=late "
                    "-device virtio-blk-pci,id=late,drive=late,addr=9 "
                    "-trace xen_map_cache_block_unannounced ");
    unsigned n;

    xen_test_start(t, args);
    XEN_REQUIRE(passed_over(t) == 0, "has memory that it does not announce");
    xen_test_save_restore(t, args);
    n = passed_over(t);
    XEN_REQUIRE(n > 0, "shows a dummy to a listener");
    XEN_REQUIRE(xen_test_stat(t, "dummies") == 0, "has a dummy left");

    qtest_qmp_assert_success(t->qts, "{'execute': 'device_del',"
                             " 'arguments': {'id': 'late'}}");
    xensim_outl(t->dom, 0xae08, 1 << 9);    /* the slot may be emptied */
    qtest_qmp_eventwait(t->qts, "DEVICE_DELETED");
    XEN_REQUIRE(passed_over(t) == n, "hides memory that it has announced");
    return NULL;
}

/* ---- what a failure shows ---- */

static XenTestFrames *frames(XensimDomain *dom)
{
    return xen_test_frames_get(dom, DEVMEM_INITIAL_GFN, 0xfeff8);
}

static const char *drawn(XenTest *t)
{
    XensimDomainConfig cfg = {
        .ram_bytes = XEN_TEST_RAM_MB * MiB, .flags = XENSIM_DOM_EMPTY,
    };
    XensimDomain *other = xensim_domain_create(t->sim, &cfg);
    XenTestFrames *before, *after;
    g_autofree char *moved = NULL, *restored = NULL;

    /* 2 MiB, at 0x4000 to begin with. */
    xen_test_start(t, "-device VGA,addr=8,vgamem_mb=2,romfile= ");
    before = frames(t->dom);
    g_assert_cmpint(xensim_move(t->dom, DEVMEM_INITIAL_GFN + 0x100, 0xe0000,
                                0x80), ==, 0);
    g_assert_cmpint(xensim_depopulate(t->dom, DEVMEM_INITIAL_GFN, 0x10), ==,
                    0x10);
    g_assert_cmpint(xensim_populate(t->dom, 0xe0080, 1), ==, 1);
    after = frames(t->dom);
    moved = xen_test_frames_diff(before, after);
    g_assert_cmpstr(moved, ==, "0x04010-0x040ff stay\n"
                               "0x04180-0x041ff stay\n"
                               "0x04100-0x0417f -> 0xe0000-0xe007f\n"
                               "0xe0080-0xe0080 new\n"
                               "0x04000-0x0400f gone\n");
    xen_test_frames_free(before);

    /* Elsewhere frames are known by their gfn. */
    g_assert_cmpint(xensim_populate(other, 0x40f0, 0x20), ==, 0x20);
    before = frames(other);
    restored = xen_test_frames_diff(after, before);
    g_assert_cmpstr(restored, ==, "0x040f0-0x040ff stay\n"
                                  "0x04100-0x0410f new\n"
                                  "0x04010-0x040ef gone\n"
                                  "0x04180-0x041ff gone\n"
                                  "0xe0000-0xe0080 gone\n");
    xen_test_frames_free(before);
    xen_test_frames_free(after);
    xensim_domain_destroy(other);
    return NULL;
}

/* ---- the cases ---- */

static const char *follow_device(XenTest *t)
{
    return follow(t, t->data);
}

static const char *interchange_device(XenTest *t)
{
    return interchange(t, t->data);
}

static const char *from_stock_device(XenTest *t)
{
    return from_stock(t, t->data);
}

/*
 * How stock ends with a device whose BARs the guest moves, and what it makes
 * of a state of its own.
 */
#define ABORTS      "ended by SIGABRT"
#define LOSES_PAGES "left *page * without a frame"
typedef enum Stock {
    LOADS = 1,          /* its own states, and ours */
    SAVES,              /* ... which it cannot load */
} Stock;

static const struct {
    DevMem mem;
    const char *follow;
    Stock stock;        /* 0: no case */
} devices[] = {
    { { "vga", "-device VGA,addr=8 ", { { 0, 16 * MiB } } },
      ABORTS, LOADS },
    { { "vga-1m", "-device VGA,addr=8,vgamem_mb=1 ", { { 0, 1 * MiB } } },
      ABORTS },
    { { "vga-2m", "-device VGA,addr=8,vgamem_mb=2 ", { { 0, 2 * MiB } } },
      ABORTS },
    { { "vga-32m", "-device VGA,addr=8,vgamem_mb=32 ", { { 0, 32 * MiB } } },
      ABORTS },
    { { "secondary-vga", "-device secondary-vga,addr=8 ",
        { { 0, 16 * MiB } } }, ABORTS, SAVES },
    { { "cirrus", "-device cirrus-vga,addr=8 ", { { 0, 4 * MiB } } },
      ABORTS, LOADS },
    { { "bochs-display", "-device bochs-display,addr=8 ",
        { { 0, 16 * MiB } } }, LOSES_PAGES, SAVES },
    { { "virtio-vga", "-device virtio-vga,addr=8 ", { { 0, 8 * MiB } } },
      ABORTS, LOADS },
    { { "vmware-svga", "-device vmware-svga,addr=8 ",
        { { 1, 16 * MiB }, { 2, 64 * KiB } } }, LOSES_PAGES, SAVES },
};

/* A state of stock's with the device @d. */
static void add_stock(const DevMem *d, Stock stock)
{
    bool loads = stock == LOADS;
    g_autofree char *path = g_strdup_printf("physmap/%s-%s", loads ?
                                            "interchange" : "from-stock",
                                            d->name);

    xen_test_add_data(path, loads ? interchange_device : from_stock_device,
                      d, NULL);
}

static void add_device(const DevMem *d, const char *follow)
{
    g_autofree char *path = g_strdup_printf("physmap/%s", d->name);

    xen_test_add_data(path, follow_device, d, follow);
}

int main(int argc, char **argv)
{
    bool has_qxl, has_stock;

    xen_test_init(argc, argv);
    has_qxl = qtest_has_device("qxl-vga");
    /* Stock keeps no keys, which is what a build for an old libxen needs. */
    has_stock = *(getenv("XENSIM_STOCK_QEMU") ?: "") && !xen_test_compat();
    for (unsigned i = 0; i < G_N_ELEMENTS(devices); i++) {
        add_device(&devices[i].mem, devices[i].follow);
        if (has_stock && devices[i].stock) {
            add_stock(&devices[i].mem, devices[i].stock);
        }
    }
    xen_test_add("physmap/drawn", drawn, NULL);
    if (!xen_test_compat()) {
        /* Where the machine knows the place beforehand there is no dummy. */
        xen_test_add("physmap/late-listener", late_listener, NULL);
    }
    if (has_qxl) {
        xen_test_add("physmap/qxl", follow_qxl, LOSES_PAGES);
        xen_test_add("physmap/qxl-two-bars", qxl_two_bars,
                     "left a page of a BAR without a frame");
        xen_test_add("physmap/qxl-order", qxl_order, NULL);
    }
    if (has_qxl && has_stock) {
        xen_test_add("physmap/from-stock-qxl", from_stock_qxl, NULL);
    }
    return g_test_run();
}
