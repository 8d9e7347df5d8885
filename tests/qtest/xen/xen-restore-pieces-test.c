/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Restores where a look at the BAR and at the initial range does not tell
 * where device memory is: in pieces, displaced, over other memory's initial
 * range, or nowhere.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "xen-test-devmem.h"


static const DevMem vga_2m = {
    "vga-2m", "-device VGA,addr=8,vgamem_mb=2,romfile= ", { { 0, 2 * MiB } }
};

/* Another display; its driver follows the same rules. */
#define OTHER_DEVFN (9u << 3)
#define OTHER "-device secondary-vga,addr=9,vgamem_mb=2,romfile= "
#define LARGER_OTHER \
    "-device secondary-vga,addr=9,vgamem_mb=4,romfile= "
#define BOCHS "-device bochs-display,addr=9,vgamem=4M,romfile= "
enum { PAGES = 2 * MiB / XEN_TEST_PAGE };

static void place_other(XenTest *t, uint64_t at)
{
    xen_test_ok(t, guest_pci_place_bar(t->pc, OTHER_DEVFN, 0, at));
}

static void stamp_other(XenTest *t, uint64_t at, unsigned seed)
{
    uint8_t page[XEN_TEST_PAGE];

    for (unsigned i = 0; i < PAGES; i++) {
        xensim_stamp_page(page, i, seed);
        for (unsigned k = 0; k < sizeof(page); k += 1024) {
            xensim_mmio_write(t->dom, at + i * XEN_TEST_PAGE + k, 8,
                              ldq_le_p(page + k));
        }
    }
}

/* By loads, so that it does not matter who has them served. */
static const char *stamped_other(XenTest *t, uint64_t at, unsigned seed)
{
    uint8_t page[XEN_TEST_PAGE];

    for (unsigned i = 0; i < PAGES; i++) {
        xensim_stamp_page(page, i, seed);
        for (unsigned k = 0; k < sizeof(page); k += 1024) {
            XEN_REQUIRE(xensim_mmio_read(t->dom, at + i * XEN_TEST_PAGE + k,
                                         8) == ldq_le_p(page + k),
                        "lost page %u at 0x%" PRIx64, i, at);
        }
    }
    return NULL;
}

/* The state is one that release 0.1 could have written: it has no section. */
static const char *like_release(XenTest *t)
{
    g_autofree char *state = NULL;
    gsize len;

    g_assert_true(g_file_get_contents(xen_test_save(t), &state, &len, NULL));
    XEN_REQUIRE(!memmem(state, len, "xen-physmap", strlen("xen-physmap")),
                "says where the memory is, which release 0.1 did not");
    return NULL;
}
#define like_release(...) XEN_AT(like_release(__VA_ARGS__))

/* ---- pieces ---- */

/* Xen stopped in the middle of a move: a half is at each place. */
static const char *halves(XenTest *t)
{
    g_autofree char *args = devmem_args(t, vga_2m.args);

    xen_test_start(t, args);
    xen_test_ide(t);
    devmem_place(t, &vga_2m, RANGE_A);
    devmem_stamp(t, &vga_2m, RANGE_A, 10);
    /* Behind QEMU's back, which then says nothing about it. */
    g_assert_cmpint(xensim_move(t->dom, RANGE_A / XEN_TEST_PAGE,
                                DEVMEM_INITIAL_GFN, PAGES / 2), ==, 0);
    for (unsigned i = 0; i < 2; i++) {
        xen_test_save_restore(t, args);
        XEN_TRY(devmem_in_place(t, &vga_2m, RANGE_A, 10));
    }
    return NULL;
}

/*
 * States as release 0.1 wrote them, which had no section.  It put the memory
 * back to its initial range when the BAR was switched off, and left pages at
 * the BAR range that Xen did not move.
 */
typedef struct Release {
    const char *path;
    bool on;                /* the BAR */
    unsigned first, n;      /* pages that are at the initial range */
} Release;

static const Release releases[] = {
    { "off", false, 0, PAGES },
    { "on", true, 0, 0 },
    { "first-half", true, 0, PAGES / 2 },
    { "last-half", true, PAGES / 2, PAGES / 2 },
    { "middle", true, 1, PAGES - 2 },
    { "not-moved", true, 0, PAGES },
};

static const char *of_release(XenTest *t)
{
    const Release *r = t->data;
    g_autofree char *args = devmem_args(t, vga_2m.args);

    xen_test_start(t, args);
    xen_test_ide(t);
    devmem_place(t, &vga_2m, RANGE_A);
    devmem_stamp(t, &vga_2m, RANGE_A, 10);
    if (!r->on) {
        devmem_place(t, &vga_2m, DEVMEM_INITIAL);
        devmem_decode(t, false);
    } else if (r->n) {
        /* Behind QEMU's back, which then says nothing about it. */
        g_assert_cmpint(xensim_move(t->dom,
                                    RANGE_A / XEN_TEST_PAGE + r->first,
                                    DEVMEM_INITIAL_GFN + r->first, r->n),
                        ==, 0);
    }
    XEN_TRY(like_release(t));
    xen_test_save_restore(t, args);
    devmem_place(t, &vga_2m, RANGE_A);
    return devmem_in_place(t, &vga_2m, RANGE_A, 10);
}

/*
 * A guest shows another device's page over each second page of displaced video
 * memory, which would be in 4096 pieces if each such page went to the initial
 * range.  The guest can be saved, and loses nothing.
 */
static const char *many(XenTest *t)
{
    static const DevMem vga_16m = {
        "vga-16m", "-device VGA,addr=8 -device usb-ehci,addr=9 ",
        { { 0, 16 * MiB } }
    };
    g_autofree char *args = devmem_args(t, vga_16m.args);

    xen_test_start(t, args);
    xen_test_ide(t);
    devmem_place(t, &vga_16m, RANGE_A);
    devmem_stamp(t, &vga_16m, RANGE_A, 10);
    devmem_decode(t, false);
    for (unsigned i = 0; i < 16 * MiB; i += 2 * XEN_TEST_PAGE) {
        place_other(t, RANGE_A + i);
    }
    place_other(t, RANGE_B);
    for (unsigned i = 0; i < 2; i++) {
        xen_test_save_restore(t, args);
        devmem_place(t, &vga_16m, RANGE_A);
        XEN_TRY(devmem_in_place(t, &vga_16m, RANGE_A, 10));
    }
    return NULL;
}

/* The first of these, and QEMU knows. */
static const char *halves_known(XenTest *t)
{
    g_autofree char *args = devmem_args(t, vga_2m.args);
    XensimFault fault = {
        .call = "xendevicemodel_relocate_memory", .error = EBUSY,
    };
    int id;

    xen_test_start(t, args);
    xen_test_ide(t);
    xensim_stamp(t->dom, DEVMEM_INITIAL_GFN, PAGES, 11);
    xensim_depopulate(t->dom, DEVMEM_INITIAL_GFN + 300, 1);
    devmem_place(t, &vga_2m, RANGE_A);
    xensim_populate(t->dom, DEVMEM_INITIAL_GFN + 300, 1);
    id = xensim_fault_arm(t->sim, &fault);
    xen_test_save_restore(t, args);
    XEN_REQUIRE(xensim_gfn_to_mfn(t->dom, RANGE_A / XEN_TEST_PAGE + 299) !=
                XENSIM_NO_MFN, "did not move a part of the memory");
    for (unsigned i = 0; i < PAGES; i++) {
        uint8_t page[XEN_TEST_PAGE];

        xensim_stamp_page(page, DEVMEM_INITIAL_GFN + i, 11);
        XEN_REQUIRE(i == 300 ||
                    qtest_readq(t->qts, RANGE_A + i * XEN_TEST_PAGE) ==
                    ldq_le_p(page), "lost page %u", i);
    }
    xensim_fault_disarm(t->sim, id);
    devmem_place(t, &vga_2m, RANGE_B);
    devmem_stamp(t, &vga_2m, RANGE_B, 12);
    return devmem_in_place(t, &vga_2m, RANGE_B, 12);
}

/* Registers of another device, loaded before or after, over the memory. */
static const char *registers(XenTest *t, bool card_first)
{
    g_autofree char *args =
        devmem_args(t, card_first
                    ? "-device e1000,addr=9,romfile= "
                  "-device VGA,addr=8,romfile= "
                    : "-device VGA,addr=8,romfile= "
                  "-device e1000,addr=9,romfile= ");
    const DevMem vga = { "vga", "", { { 0, 16 * MiB } } };
    enum { STATUS = 8, CARD = 0x100000 };
    uint32_t status;

    xen_test_start(t, args);
    xen_test_ide(t);
    xen_test_ok(t, guest_pci_place_bar(t->pc, OTHER_DEVFN, 0, RANGE_B));
    status = xensim_mmio_read(t->dom, RANGE_B + STATUS, 4);
    devmem_place(t, &vga, RANGE_A);
    devmem_stamp(t, &vga, RANGE_A, 10);
    xen_test_ok(t, guest_pci_place_bar(t->pc, OTHER_DEVFN, 0, RANGE_A + CARD));
    for (unsigned i = 0; i < 2; i++) {
        xen_test_save_restore(t, args);
        /* Of two BARs at one place QEMU shows the one loaded last. */
        XEN_REQUIRE(card_first ||
                    xensim_mmio_read(t->dom, RANGE_A + CARD + STATUS, 4) ==
                    status, "does not reach the card");
        XEN_REQUIRE(devmem_any_frame(t, RANGE_A, 1),
                    "left the memory elsewhere");
    }
    xen_test_ok(t, guest_pci_place_bar(t->pc, OTHER_DEVFN, 0, RANGE_B));
    return devmem_in_place(t, &vga, RANGE_A, 10);
}

static const char *registers_first(XenTest *t)
{
    return registers(t, true);
}

static const char *registers_last(XenTest *t)
{
    return registers(t, false);
}

/* ---- two displays, each at the other's initial range ---- */

static const char *swapped(XenTest *t, bool vga_first, bool moved)
{
    static const char own[] = "-device VGA,addr=8,vgamem_mb=2,romfile= ";
    g_autofree char *both = g_strconcat(vga_first ? own : OTHER,
                                        vga_first ? OTHER : own, NULL);
    g_autofree char *args = devmem_args(t, both);
    uint64_t at = vga_first ? DEVMEM_INITIAL + 2 * MiB : DEVMEM_INITIAL;
    uint64_t other_at = vga_first ? DEVMEM_INITIAL : DEVMEM_INITIAL + 2 * MiB;

    xen_test_start(t, args);
    if (moved) {
        devmem_place(t, &vga_2m, RANGE_A);
        place_other(t, RANGE_B);
        devmem_decode(t, false);
    }
    place_other(t, other_at);
    devmem_place(t, &vga_2m, at);
    stamp_other(t, at, 10);
    stamp_other(t, other_at, 20);
    for (unsigned i = 0; i < 2; i++) {
        xen_test_save_restore(t, args);
        XEN_TRY(stamped_other(t, at, 10));
        XEN_TRY(stamped_other(t, other_at, 20));
    }
    devmem_place(t, &vga_2m, RANGE_A);
    place_other(t, RANGE_B);
    /* What did not move was written by the BAR of the other. */
    XEN_TRY(stamped_other(t, RANGE_A, moved ? 10 : 20));
    return stamped_other(t, RANGE_B, moved ? 20 : 10);
}

static const char *swapped_first(XenTest *t)
{
    return swapped(t, true, true);
}

static const char *swapped_last(XenTest *t)
{
    return swapped(t, false, true);
}

static const char *unswapped_first(XenTest *t)
{
    return swapped(t, true, false);
}

static const char *unswapped_last(XenTest *t)
{
    return swapped(t, false, false);
}

/* ---- memory that is lost ---- */

/* A display that the saved guest did not have, drawn to and saved again. */
static const char *added_with(XenTest *t, const char *more)
{
    g_autofree char *before = devmem_args(t, vga_2m.args);
    g_autofree char *after = g_strconcat(before, OTHER, more, NULL);

    xen_test_start(t, before);
    xen_test_ide(t);
    devmem_place(t, &vga_2m, RANGE_A);
    devmem_stamp(t, &vga_2m, RANGE_A, 10);
    xen_test_save_restore(t, after);
    place_other(t, RANGE_B);
    stamp_other(t, RANGE_B, 20);
    XEN_TRY(stamped_other(t, RANGE_B, 20));
    for (unsigned i = 0; i < 2; i++) {
        xen_test_save_restore(t, after);
        XEN_TRY(devmem_in_place(t, &vga_2m, RANGE_A, 10));
        if (!*more && !xen_test_compat()) {
            XEN_TRY(stamped_other(t, RANGE_B, 20));
            XEN_REQUIRE(devmem_any_frame(t, RANGE_B, PAGES),
                        "has no frames for a new display");
        }
    }
    return NULL;
}

static const char *added(XenTest *t)
{
    XEN_TRY(added_with(t, ""));
    if (xen_test_compat()) {
        /* A dummy that an old libxen cannot replace: it is blank each time. */
        xen_test_stop(t);
    }
    return NULL;
}

/* Xen gives no frames to one that is restricted: it is blank, and can go on. */
static const char *added_restricted(XenTest *t)
{
    XEN_TRY(added_with(t, "-xen-domid-restrict "));
    /* It has a dummy left. */
    xen_test_stop(t);
    return NULL;
}

/*
 * A display that the saved guest did not have, for which Xen gives only a part
 * of the frames: they go back, and nothing is in the way of a later device.
 */
static const char *added_at_limit(XenTest *t)
{
    g_autofree char *before = devmem_args(t, vga_2m.args);
    g_autofree char *after = g_strconcat(before, OTHER, NULL);
    XensimDomainConfig cfg = {
        .ram_bytes = (uint64_t)XEN_TEST_RAM_MB << 20,
        .flags = XENSIM_DOM_EMPTY | XENSIM_DOM_SCATTERED,
    };
    bool on;

    xen_test_start(t, before);
    xen_test_ide(t);
    devmem_place(t, &vga_2m, RANGE_A);
    devmem_stamp(t, &vga_2m, RANGE_A, 10);
    cfg.max_pages = xen_test_pages(t) + 100;
    for (on = false;; on = true) {
        devmem_decode(t, on);
        xen_test_save_restore_as(t, after, &cfg);
        XEN_REQUIRE(xen_test_pages(t) == cfg.max_pages - 100,
                    "keeps frames that are of no use");
        devmem_decode(t, true);
        XEN_TRY(devmem_in_place(t, &vga_2m, RANGE_A, 10));
        if (on) {
            break;
        }
    }
    /* It has a dummy left. */
    xen_test_stop(t);
    return NULL;
}

/*
 * A display that the saved guest did not have, and whose initial range is under
 * the BAR of the one that it had: the frames there are that one's.
 */
static const char *added_under(XenTest *t)
{
    g_autofree char *before = devmem_args(t, vga_2m.args);
    g_autofree char *after = g_strconcat(before, t->data, NULL);
    const uint64_t at = DEVMEM_INITIAL + 2 * MiB;

    xen_test_start(t, before);
    xen_test_ide(t);
    devmem_place(t, &vga_2m, at);
    devmem_stamp(t, &vga_2m, at, 10);
    for (unsigned i = 0; i < 3; i++) {
        xen_test_save_restore(t, after);
        XEN_TRY(devmem_in_place(t, &vga_2m, at, 10));
        place_other(t, RANGE_B);
        stamp_other(t, RANGE_B, 20);
        XEN_TRY(stamped_other(t, RANGE_B, 20));
    }
    /* The other has a dummy left. */
    xen_test_stop(t);
    return NULL;
}

/*
 * A display that the saved guest did not have, and whose initial range is under
 * the registers of another device: they are reached.
 */
static const char *added_registers(XenTest *t)
{
    enum { CARD = 10 << 3, STATUS = 8, AT = DEVMEM_INITIAL + 3 * MiB };
    g_autofree char *devices =
        g_strconcat(vga_2m.args, "-device e1000,addr=0xa,romfile= ", NULL);
    g_autofree char *before = devmem_args(t, devices);
    g_autofree char *after = g_strconcat(before, OTHER, NULL);
    uint32_t status;

    xen_test_start(t, before);
    xen_test_ide(t);
    devmem_place(t, &vga_2m, RANGE_A);
    devmem_stamp(t, &vga_2m, RANGE_A, 10);
    xen_test_ok(t, guest_pci_place_bar(t->pc, CARD, 0, AT));
    status = xensim_mmio_read(t->dom, AT + STATUS, 4);
    XEN_REQUIRE(status && status != UINT32_MAX, "has no network card");
    for (unsigned i = 0; i < 2; i++) {
        xen_test_save_restore(t, after);
        XEN_REQUIRE(xensim_mmio_read(t->dom, AT + STATUS, 4) == status,
                    "hides the registers of another device");
        XEN_TRY(devmem_in_place(t, &vga_2m, RANGE_A, 10));
    }
    place_other(t, RANGE_B);
    stamp_other(t, RANGE_B, 20);
    XEN_TRY(stamped_other(t, RANGE_B, 20));
    /* The other has a dummy left. */
    xen_test_stop(t);
    return NULL;
}

/*
 * With an old libxen, memory that is lost keeps a dummy.  It works, and is
 * blank after each restore with @args.
 */
static const char *blank_each_time(XenTest *t, const char *args)
{
    for (unsigned i = 0; i < 3; i++) {
        xen_test_save_restore(t, args);
        devmem_place(t, &vga_2m, RANGE_A);
        XEN_REQUIRE(xensim_mmio_read(t->dom, RANGE_A + 0x1008, 8) == 0,
                    "shows something in lost memory");
        xensim_mmio_write(t->dom, RANGE_A + 0x1008, 8, 0x123456);
        XEN_REQUIRE(xensim_mmio_read(t->dom, RANGE_A + 0x1008, 8) == 0x123456,
                    "does not serve lost memory");
    }
    xen_test_stop(t);
    return NULL;
}
#define blank_each_time(...) XEN_AT(blank_each_time(__VA_ARGS__))

/* The restore ends with status 1, and says why. */
static const char *says_why(XenTest *t, const char *text)
{
    g_auto(GStrv) lines = xen_test_log_lines(t, t->data);

    XEN_REQUIRE(text && g_str_equal(text, "ended with status 1"), "%s",
                text ?: "has restored what it cannot locate");
    XEN_REQUIRE(g_strv_length(lines), "does not say \"%s\"",
                (const char *)t->data);
    return NULL;
}

/* Larger video memory than the guest was saved with. */
static const char *larger(XenTest *t)
{
    g_autofree char *before = devmem_args(t, vga_2m.args);
    g_autofree char *after =
        devmem_args(t, "-device VGA,addr=8,vgamem_mb=8,romfile= ");
    const DevMem vga = { "vga", "", { { 0, 8 * MiB } } };

    xen_test_start(t, before);
    xen_test_ide(t);
    XEN_TRY(like_release(t));
    if (xen_test_compat()) {
        return blank_each_time(t, after);
    }
    xen_test_save_restore(t, after);
    devmem_place(t, &vga, RANGE_A);
    devmem_stamp(t, &vga, RANGE_A, 10);
    for (unsigned i = 0; i < 2; i++) {
        xen_test_save_restore(t, after);
        XEN_TRY(devmem_in_place(t, &vga, RANGE_A, 10));
    }
    return NULL;
}

/* A network card with an option ROM of @pages, before the display. */
static char *machine_with_rom(XenTest *t, const char *name, unsigned pages)
{
    g_autofree char *file = g_strdup_printf("%s/%s", t->dir, name);
    g_autofree char *bytes = g_malloc0(pages * XEN_TEST_PAGE);
    g_autofree char *devices =
        g_strdup_printf("-device e1000,addr=9,romfile='%s' %s", file,
                        vga_2m.args);

    g_assert_true(g_file_set_contents(file, bytes, pages * XEN_TEST_PAGE,
                                      NULL));
    return devmem_args(t, devices);
}

/*
 * An option ROM that is larger than the one that the guest was saved with, and
 * larger than the 256 KiB in which initial ranges are counted: all that comes
 * after it has another initial range.
 */
static const char *rom_grew(XenTest *t, bool shown)
{
    g_autofree char *before = machine_with_rom(t, "small", 16);
    g_autofree char *after = machine_with_rom(t, "large", 128);

    xen_test_start(t, before);
    xen_test_ide(t);
    if (shown) {
        devmem_place(t, &vga_2m, RANGE_A);
        devmem_stamp(t, &vga_2m, RANGE_A, 10);
    }
    XEN_TRY(like_release(t));
    if (xen_test_compat() && !shown) {
        return blank_each_time(t, after);
    }
    xen_test_save_restore(t, after);
    if (shown) {
        XEN_TRY(devmem_in_place(t, &vga_2m, RANGE_A, 10));
    }
    devmem_place(t, &vga_2m, RANGE_B);
    devmem_stamp(t, &vga_2m, RANGE_B, 20);
    for (unsigned i = 0; i < 2; i++) {
        xen_test_save_restore(t, after);
        devmem_decode(t, true);
        XEN_TRY(devmem_in_place(t, &vga_2m, RANGE_B, 20));
        devmem_decode(t, false);
    }
    /* The ROM is lost, since a part of it is missing: a dummy is left. */
    xen_test_stop(t);
    return NULL;
}

static const char *rom_grew_shown(XenTest *t)
{
    return rom_grew(t, true);
}

static const char *rom_grew_hidden(XenTest *t)
{
    return rom_grew(t, false);
}

/* ---- a restored guest that does not run ---- */

/* -S: the picture is right as soon as the state is loaded. */
static const char *stopped(XenTest *t)
{
    g_autofree char *args = devmem_args(t, XEN_TEST_VGA);
    g_autofree char *stopped_args = g_strconcat(args, "-S ", NULL);
    g_autoptr(GBytes) before = NULL, after = NULL;

    xen_test_start(t, args);
    xen_test_vga(t);
    xensim_stamp(t->dom, XEN_TEST_LFB / XEN_TEST_PAGE, 0x1000, 5);
    xen_test_ok(t, guest_pci_command(t->pc, 4 << 3, 0, GUEST_PCI_MEMORY));
    before = xen_test_screendump(t);
    xen_test_save_restore(t, stopped_args);
    after = xen_test_screendump(t);
    XEN_REQUIRE(g_bytes_equal(before, after), "shows another picture");
    qtest_qmp_assert_success(t->qts, "{'execute': 'cont'}");
    XEN_REQUIRE(xensim_wait_ready(t->dom, 5000) == XENSIM_OK,
                "does not go on");
    return NULL;
}

static char *run_state(XenTest *t)
{
    QDict *r = qtest_qmp_assert_success_ref(t->qts,
                                            "{'execute': 'query-status'}");
    char *status = g_strdup(qdict_get_str(r, "status"));

    qobject_unref(r);
    return status;
}

/* A guest asleep in S3 is restored asleep, and wakes. */
static const char *asleep(XenTest *t)
{
    enum { PM_BASE = 0xb000, PM_CNT = PM_BASE + 4, SLEEP = 1 << 13 | 1 << 10,
           PIIX4_PM = 1 << 3 | 3 };
    g_autofree char *args = devmem_args(t, vga_2m.args);

    xen_test_start(t, args);
    xensim_pci_write(t->dom, 0, PIIX4_PM, 0x40, 4, PM_BASE | 1);
    xensim_pci_write(t->dom, 0, PIIX4_PM, 0x80, 1, 1);
    xensim_outw(t->dom, PM_CNT, SLEEP);
    qtest_qmp_eventwait(t->qts, "SUSPEND");
    for (unsigned i = 0; i < 2; i++) {
        g_autofree char *status = NULL;

        xen_test_save_restore(t, args);
        status = run_state(t);
        XEN_REQUIRE(g_str_equal(status, "suspended"),
                    "is %s after it was asleep", status);
    }
    qtest_qmp_assert_success(t->qts, "{'execute': 'system_wakeup'}");
    qtest_qmp_eventwait(t->qts, "WAKEUP");
    return NULL;
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("pieces/halves-known", halves_known, NULL);
    xen_test_add("pieces/many", many, NULL);
    xen_test_add("pieces/registers-first", registers_first, NULL);
    xen_test_add("pieces/registers-last", registers_last, NULL);
    xen_test_add("pieces/swapped-first", swapped_first, NULL);
    xen_test_add("pieces/swapped-last", swapped_last, NULL);
    xen_test_add("pieces/unswapped-first", unswapped_first, NULL);
    xen_test_add("pieces/unswapped-last", unswapped_last, NULL);
    xen_test_add("pieces/stopped", stopped, NULL);
    xen_test_add("pieces/asleep", asleep, NULL);
    xen_test_add("pieces/added", added, NULL);
    xen_test_add("pieces/added-registers", added_registers, NULL);
    xen_test_add_data("pieces/added-under", added_under, OTHER, NULL);
    xen_test_add_data("pieces/larger-added-under", added_under, LARGER_OTHER,
                      NULL);
    xen_test_add_data("pieces/bochs-added-under", added_under, BOCHS, NULL);
    xen_test_add("pieces/larger", larger, NULL);
    xen_test_add("pieces/rom-grew-hidden", rom_grew_hidden, NULL);
    if (xen_test_compat()) {
        /* Xenstore's entry names frames that are absent, or other memory. */
        xen_test_add_judged("pieces/halves-refused", halves, says_why,
                            "cannot map the memory of");
        xen_test_add_judged("pieces/rom-grew-refused", rom_grew_shown,
                            says_why, "cannot map device memory of");
    } else {
        /* With an old libxen nothing is looked for, nor a dummy replaced. */
        xen_test_add("pieces/halves", halves, NULL);
        for (unsigned i = 0; i < G_N_ELEMENTS(releases); i++) {
            g_autofree char *path = g_strdup_printf("pieces/release-0.1-%s",
                                                    releases[i].path);

            xen_test_add_data(path, of_release, &releases[i], NULL);
        }
        xen_test_add("pieces/rom-grew-shown", rom_grew_shown, NULL);
        xen_test_add("pieces/added-at-limit", added_at_limit, NULL);
        xen_test_add("pieces/added-restricted", added_restricted, NULL);
    }
    return g_test_run();
}
