/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where device memory is looked for at a restore, and what happens when Xen
 * does not move it.
 */
#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "xen-test-devmem.h"

static const DevMem vga_2m = {
    "vga-2m", "-device VGA,addr=8,vgamem_mb=2 ", { { 0, 2 * MiB } }
};

/* ---- where the frames are at a restore ---- */

/* A guest with a VGA of 2 MiB at RANGE_A. */
static char *small_vga(XenTest *t)
{
    const DevMem *d = &vga_2m;
    char *args = devmem_args(t, d->args);

    xen_test_start(t, args);
    xen_test_ide(t);
    devmem_place(t, d, RANGE_A);
    devmem_stamp(t, d, RANGE_A, 30);
    return args;
}
#define small_vga(...) XEN_AT(small_vga(__VA_ARGS__))

/*
 * The guest has put @n frames of its own at the memory's home, from page @at
 * on.  They are not taken for the memory, nor touched.
 */
static const char *own_frames_at_home(XenTest *t, unsigned at, unsigned n)
{
    const DevMem *d = &vga_2m;
    g_autofree char *args = small_vga(t);

    XEN_REQUIRE(!devmem_any_frame(t, DEVMEM_INITIAL, n),
                "allocates video memory elsewhere");
    g_assert_cmpint(xensim_populate(t->dom, DEVMEM_INITIAL_GFN + at, n), ==, n);
    xensim_stamp(t->dom, DEVMEM_INITIAL_GFN + at, n, 31);
    for (unsigned i = 0; i < 2; i++) {
        xen_test_save_restore(t, args);
        XEN_TRY(devmem_in_place(t, d, RANGE_A, 30));
        XEN_REQUIRE(xensim_stamp_check(t->dom, DEVMEM_INITIAL_GFN + at, n,
                                       31) == XENSIM_NO_GFN,
                    "wrote to the guest's own frames");
    }
    return NULL;
}
#define own_frames_at_home(...) XEN_AT(own_frames_at_home(__VA_ARGS__))

static const char *both_whole(XenTest *t)
{
    return own_frames_at_home(t, 0, 512);
}

static const char *both_part(XenTest *t)
{
    return own_frames_at_home(t, 100, 7);
}

/*
 * The BAR was mapped, but the memory had not been moved there, as a stock
 * QEMU leaves it: all of it is at home.
 */
static const char *at_home(XenTest *t)
{
    const DevMem *d = &vga_2m;
    g_autofree char *args = small_vga(t);

    /* Behind QEMU's back. */
    g_assert_cmpint(xensim_move(t->dom, RANGE_A / XEN_TEST_PAGE,
                                DEVMEM_INITIAL_GFN, 512), ==, 0);
    for (unsigned i = 0; i < 2; i++) {
        xen_test_save_restore(t, args);
        XEN_REQUIRE(!devmem_any_frame(t, DEVMEM_INITIAL, 512),
                    "left a frame at home");
        XEN_TRY(devmem_in_place(t, d, RANGE_A, 30));
    }
    return NULL;
}
#define unmoved_mapped(...) XEN_AT(unmoved_mapped(__VA_ARGS__))

/*
 * The same, and frames of the guest's own are at the BAR: they stay, and the
 * memory gets there when they have gone.
 */
static const char *at_home_bar_part(XenTest *t)
{
    const DevMem *d = &vga_2m;
    g_autofree char *args = small_vga(t);
    enum { OWN = RANGE_A / XEN_TEST_PAGE + 3, PAGES = 10 };

    g_assert_cmpint(xensim_move(t->dom, RANGE_A / XEN_TEST_PAGE,
                                DEVMEM_INITIAL_GFN, 512), ==, 0);
    g_assert_cmpint(xensim_populate(t->dom, OWN, PAGES), ==, PAGES);
    xensim_stamp(t->dom, OWN, PAGES, 32);
    for (unsigned i = 0; i < 2; i++) {
        xen_test_save_restore(t, args);
        XEN_REQUIRE(xensim_stamp_check(t->dom, OWN, PAGES, 32) ==
                    XENSIM_NO_GFN, "wrote to the guest's own frames");
    }
    xensim_depopulate(t->dom, OWN, PAGES);
    devmem_place(t, d, RANGE_B);
    return devmem_in_place(t, d, RANGE_B, 30);
}

/* ---- restores that fail; by the toolstack, which sees how QEMU ends ---- */

static TsConfig saved_config(XenTest *t)
{
    static const char *const args[] = {
        "-device", "VGA,addr=8,vgamem_mb=2", NULL
    };

    return (TsConfig) {
        .qemu = getenv(t->stock ? "XENSIM_STOCK_QEMU" : "QTEST_QEMU_BINARY"),
        .ram_bytes = XEN_TEST_RAM_MB * MiB,
        .vga = "",
        .rom_dir = getenv("XEN_TEST_ROMS") ?: "/usr/share/seabios",
        .args = args,
    };
}
#define saved_config(...) XEN_AT(saved_config(__VA_ARGS__))

/*
 * Saves a guest with a VGA at RANGE_A, stamped with 60, into a new directory
 * (g_free), with @home and @bar pages at each place, from its start.
 */
static char *save_vga(XenTest *t, unsigned home, unsigned bar)
{
    TsConfig config = saved_config(t);
    g_autoptr(GError) err = NULL;
    char *dir = g_build_filename(t->dir, "saved", NULL);
    uint64_t gfn = RANGE_A / XEN_TEST_PAGE;
    TsGuest *guest;
    GuestPc *pc;
    GuestVga vga;

    g_assert_cmpint(g_mkdir(dir, 0700), ==, 0);
    guest = ts_create(t->ts, &config, &err);
    g_assert_no_error(err);
    pc = guest_pc_new(ts_domain(guest));
    g_assert_cmpint(guest_vga_init(pc, &vga, 0), ==, 0);
    g_assert_cmpint(guest_vga_place(&vga, RANGE_A, 0), ==, 0);
    g_assert_cmpint(guest_vga_mode(&vga, 640, 480, 32), ==, 0);
    guest_pc_free(pc);
    g_assert_cmpint(xensim_stamp(ts_domain(guest), gfn, 512, 60), ==, 0);
    xensim_depopulate(ts_domain(guest), gfn + bar, 512 - bar);
    xensim_populate(ts_domain(guest), DEVMEM_INITIAL_GFN, home);
    g_assert_true(ts_save(guest, dir, &err));
    ts_destroy(guest);
    return dir;
}
#define save_vga(...) XEN_AT(save_vga(__VA_ARGS__))

static void count_running(const XensimXsLogEntry *entry, void *opaque)
{
    *(unsigned *)opaque += g_str_has_suffix(entry->path, "/state");
}

/* What cannot be restored ends QEMU with a message and status 1. */
static const char *cannot_restore(XenTest *t, unsigned home, unsigned bar)
{
    TsConfig config = saved_config(t);
    g_autofree char *dir = save_vga(t, home, bar);
    g_autoptr(GError) err = NULL;
    unsigned running = 0;
    TsGuest *restored;

    xensim_xs_log_clear(t->xs);
    restored = ts_restore(t->ts, &config, dir, &err);
    ts_forget_saved(dir);
    xensim_xs_log(t->xs, XENSIM_XS_WRITE, "/local/domain/0/device-model",
                  count_running, &running);
    XEN_REQUIRE(!restored, "runs without its video memory");
    g_test_message("%s", err->message);
    XEN_REQUIRE(strstr(err->message, "status 1"), "does not end with 1");
    XEN_REQUIRE(!running, "says that it runs before it ends");
    XEN_REQUIRE(strstr(err->message, "neither at its BAR 0xe0000000"),
                "does not say what is missing where");
    return NULL;
}
#define cannot_restore(...) XEN_AT(cannot_restore(__VA_ARGS__))

static const char *lost_whole(XenTest *t)
{
    return cannot_restore(t, 0, 0);
}

static const char *lost_part(XenTest *t)
{
    return cannot_restore(t, 0, 511);
}

static const char *lost_both_part(XenTest *t)
{
    return cannot_restore(t, 511, 1);
}

/*
 * Each call to Xen that moves, maps or pins fails once, one after the other,
 * while the guest is restored.  It ends with status 1, or it is all right.
 * There are @home frames at home.
 */
static const char *faults_with(XenTest *t, unsigned home)
{
    const char *const calls[] = {
        "xendevicemodel_relocate_memory", "xendevicemodel_pin_memory_cacheattr",
        xen_test_call("xenforeignmemory_map2"),
    };
    TsConfig config = saved_config(t);
    g_autofree char *dir = save_vga(t, home, 512);
    unsigned ended = 0, good = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(calls); i++) {
        for (unsigned n = 1, hits = 1; hits && n < 40; n++) {
            XensimFault fault = { .call = calls[i], .first = n, .count = 1,
                                  .error = ENOMEM };
            int id = xensim_fault_arm(t->sim, &fault);
            g_autoptr(GError) err = NULL;
            TsGuest *guest = ts_restore(t->ts, &config, dir, &err);

            hits = xensim_fault_hits(t->sim, id) >= n;
            xensim_fault_disarm(t->sim, id);
            if (!guest) {
                ended++;
                XEN_REQUIRE(strstr(err->message, "status 1"),
                            "ends otherwise than with status 1 when call %u "
                            "of %s fails: %s", n, calls[i], err->message);
                continue;
            }
            good++;
            XEN_REQUIRE(xensim_stamp_check(ts_domain(guest), RANGE_A /
                                           XEN_TEST_PAGE, 512, 60) ==
                        XENSIM_NO_GFN, "lost video memory when call %u of %s "
                        "failed", n, calls[i]);
            xensim_mmio_write(ts_domain(guest), 0xa0010, 4, 0x600dcafe);
            XEN_REQUIRE(xensim_mmio_read(ts_domain(guest), RANGE_A + 0x10, 4) ==
                        0x600dcafe, "writes to other video memory when call "
                        "%u of %s failed", n, calls[i]);
            ts_destroy(guest);
        }
    }
    ts_forget_saved(dir);
    g_test_message("%u ended with a message, %u were restored", ended, good);
    XEN_REQUIRE(ended, "no fault met a restore");
    return NULL;
}
#define faults_with(...) XEN_AT(faults_with(__VA_ARGS__))

static const char *faults(XenTest *t)
{
    return faults_with(t, 0);
}

/* What is at home as well is not the memory, even if the BAR cannot be seen. */
static const char *faults_both(XenTest *t)
{
    return faults_with(t, 512);
}

/* ---- moves that fail ---- */

/* A frame is missing in the middle: Xen moves what is before it. */
static const char *move_fails(XenTest *t)
{
    const DevMem *d = &vga_2m;
    g_autofree char *args = devmem_args(t, d->args);
    uint64_t home = DEVMEM_INITIAL;

    xen_test_start(t, args);
    xensim_stamp(t->dom, DEVMEM_INITIAL_GFN, 512, 40);
    xensim_depopulate(t->dom, DEVMEM_INITIAL_GFN + 300, 1);
    devmem_place(t, d, RANGE_A);
    xen_test_alive(t);
    XEN_REQUIRE(xensim_stamp_check(t->dom, DEVMEM_INITIAL_GFN + 301, 211, 40) ==
                XENSIM_NO_GFN, "lost frames behind the hole");
    /* QEMU serves what it could not move. */
    xensim_mmio_write(t->dom, RANGE_A + 0x181008, 8, 0xabcdef);
    XEN_REQUIRE(xensim_mmio_read(t->dom, home + 0x181008, 8) == 0xabcdef,
                "does not serve memory that it could not move");
    for (unsigned i = 0; i < 300; i++) {
        uint8_t page[XEN_TEST_PAGE];

        xensim_stamp_page(page, DEVMEM_INITIAL_GFN + i, 40);
        XEN_REQUIRE(xensim_mmio_read(t->dom, RANGE_A + i * XEN_TEST_PAGE, 8) ==
                    ldq_le_p(page), "lost page %u before the hole", i);
    }

    /* With the frame there, the BAR can be placed. */
    xensim_populate(t->dom, DEVMEM_INITIAL_GFN + 300, 1);
    devmem_place(t, d, RANGE_B);
    XEN_REQUIRE(!devmem_any_frame(t, home, 512), "left frames at home");
    XEN_TRY(devmem_gone(t, d, RANGE_A));
    XEN_REQUIRE(xensim_mmio_read(t->dom, RANGE_B + 0x181008, 8) == 0xabcdef,
                "lost a write");
    return NULL;
}

/* A guest cannot fill the log with what fails: one report a second. */
static const char *report_rate(XenTest *t)
{
    const DevMem *d = &vga_2m;
    g_autofree char *args = devmem_args(t, d->args);
    gint64 began = g_get_monotonic_time();
    g_auto(GStrv) lines = NULL;
    unsigned said, allowed;

    xen_test_start(t, args);
    xensim_depopulate(t->dom, DEVMEM_INITIAL_GFN + 300, 1);
    devmem_place(t, d, RANGE_A);
    for (unsigned i = 0; i < 200; i++) {
        devmem_decode(t, false);
        devmem_decode(t, true);
    }
    allowed = (g_get_monotonic_time() - began) / G_USEC_PER_SEC + 2;
    lines = xen_test_log_lines(t, "(2048 KiB)");
    said = g_strv_length(lines);
    XEN_REQUIRE(said >= 1, "does not say that it cannot move memory");
    XEN_REQUIRE(said <= allowed, "says it %u times, and not %u", said,
                allowed);
    return NULL;
}

/* Xen refuses to move, and lets it the next time. */
static const char *xen_refuses(XenTest *t)
{
    const DevMem *d = &vga_2m;
    g_autofree char *args = devmem_args(t, d->args);
    XensimFault fault = { .call = "xendevicemodel_relocate_memory",
                          .count = 1, .error = EBUSY };
    int id;

    xen_test_start(t, args);
    xen_test_ide(t);
    id = xensim_fault_arm(t->sim, &fault);
    devmem_place(t, d, RANGE_A);
    XEN_REQUIRE(xensim_fault_hits(t->sim, id) > 0, "did not move the memory");
    XEN_REQUIRE(!devmem_any_frame(t, RANGE_A, 512), "moved what Xen refused");
    xensim_fault_disarm(t->sim, id);

    devmem_place(t, d, RANGE_B);
    devmem_stamp(t, d, RANGE_B, 41);
    XEN_TRY(devmem_in_place(t, d, RANGE_B, 41));
    id = xensim_fault_arm(t->sim, &fault);
    devmem_place(t, d, 0xd0000000);
    XEN_TRY(devmem_stamped(t, d, RANGE_B, 41));
    xensim_fault_disarm(t->sim, id);
    devmem_place(t, d, RANGE_A);
    XEN_TRY(devmem_gone(t, d, RANGE_B));
    XEN_TRY(devmem_in_place(t, d, RANGE_A, 41));
    return NULL;
}

/* ---- two displays ---- */

/* Without ROMs: the home of a ROM is given up, unlike that of RAM. */
#define TWO_DISPLAYS "-device VGA,addr=8,vgamem_mb=2,romfile= " \
                     "-device bochs-display,addr=9,romfile= "
enum { SECOND_GFN = DEVMEM_INITIAL_GFN + 512, SECOND_PAGES = 4096 };
static const DevMem second = { "bochs", "", { { 0, 16 * MiB } } };

/* Stamps the page's number into @n pages from @gfn on. */
static void stamp_home(XenTest *t, uint64_t gfn, unsigned n, unsigned seed)
{
    uint8_t page[XEN_TEST_PAGE];

    for (unsigned i = 0; i < n; i++) {
        xensim_stamp_page(page, i, seed);
        if (xensim_write(t->dom, (gfn + i) * XEN_TEST_PAGE, page,
                         sizeof(page))) {
            xen_test_leave(t, "has its memory's home elsewhere");
        }
    }
}
#define stamp_home(...) XEN_AT(stamp_home(__VA_ARGS__))

static void place_second(XenTest *t, uint64_t at)
{
    xen_test_ok(t, guest_pci_place_bar(t->pc, 9 << 3, 0, at));
}
#define place_second(...) XEN_AT(place_second(__VA_ARGS__))

/* BARs over the homes of device memory: its own, and another device's. */
static const char *over_homes(XenTest *t)
{
    const DevMem *d = &vga_2m;
    g_autofree char *args = devmem_args(t, TWO_DISPLAYS);
    uint64_t home = DEVMEM_INITIAL;
    DevMemFrames f;
    uint64_t pages;

    xen_test_start(t, args);
    xen_test_ide(t);
    pages = devmem_frames(t).pages;

    /* BAR and home are one. */
    devmem_place(t, d, home);
    devmem_stamp(t, d, home, 50);
    XEN_TRY(devmem_in_place(t, d, home, 50));
    xen_test_save_restore(t, args);
    XEN_TRY(devmem_in_place(t, d, home, 50));
    devmem_place(t, d, RANGE_A);
    XEN_TRY(devmem_in_place(t, d, RANGE_A, 50));

    /* The second display's BAR over the first one's home, and its own. */
    place_second(t, home);
    xen_test_alive(t);
    XEN_TRY(devmem_in_place(t, d, RANGE_A, 50));
    f = devmem_frames(t);
    XEN_REQUIRE(f.pages == pages, "has 0x%" PRIx64 " frames of 0x%" PRIx64,
                f.pages, pages);
    devmem_place(t, d, RANGE_B);
    xen_test_alive(t);

    /* A BAR that overlaps the device's own home, from above. */
    xen_test_ok(t, guest_pci_command(t->pc, 9 << 3, 0, GUEST_PCI_MEMORY));
    stamp_home(t, home / XEN_TEST_PAGE, SECOND_PAGES, 51);
    place_second(t, 0x5000000);
    XEN_TRY(devmem_stamped(t, &second, 0x5000000, 51));
    XEN_TRY(devmem_shared(t, &second, 0x5000000));
    place_second(t, 0xd0000000);
    XEN_TRY(devmem_stamped(t, &second, 0xd0000000, 51));
    devmem_place(t, d, RANGE_A);
    XEN_TRY(devmem_in_place(t, d, RANGE_A, 50));
    f = devmem_frames(t);
    XEN_REQUIRE(f.pages == pages, "has 0x%" PRIx64 " frames of 0x%" PRIx64,
                f.pages, pages);
    return NULL;
}

/* The first bytes of the device's ROM, as the guest sees them. */
static uint16_t rom_word(XenTest *t)
{
    enum { ROM_REG = 0x30, ROM_BAR = 0xf7000000u };

    xen_test_ok(t, guest_pci_out(t->pc, DEVMEM_DEVFN, ROM_REG, 4, ROM_BAR | 1));
    return xensim_mmio_read(t->dom, ROM_BAR, 2);
}

/*
 * A BAR over the homes of ROMs: QEMU keeps what it has of them, and after a
 * restore does not take what is at the BAR for a ROM.
 */
static const char *over_roms(XenTest *t)
{
    const DevMem d = {
        "vga", "-device VGA,addr=8 ", { { 0, 16 * MiB } }
    };
    g_autofree char *args = devmem_args(t, d.args);
    const uint64_t bar = DEVMEM_INITIAL + 16 * MiB;

    xen_test_start(t, args);
    xen_test_ide(t);
    devmem_place(t, &d, bar);
    devmem_stamp(t, &d, bar, 53);
    XEN_REQUIRE(rom_word(t) == 0xaa55, "has lost its ROM");
    for (unsigned i = 0; i < 2; i++) {
        g_auto(GStrv) lines = NULL;

        xen_test_save_restore(t, args);
        XEN_TRY(devmem_in_place(t, &d, bar, 53));
        XEN_REQUIRE(rom_word(t) == 0, "takes video memory for its ROM");
        lines = xen_test_log_lines(t, "contents are lost");
        XEN_REQUIRE(g_strv_length(lines) == i + 1, "does not say what is lost");
        XEN_TRY(devmem_in_place(t, &d, bar, 53));
    }
    /* What it has in place of the ROM would be taken for left over. */
    xen_test_stop(t);
    return NULL;
}

/*
 * The second display's BAR is where the first one's memory is, which keeps it
 * at home.  After a restore too: what is at its BAR is not its memory.
 */
static const char *others_home(XenTest *t)
{
    g_autofree char *args = devmem_args(t, TWO_DISPLAYS);

    xen_test_start(t, args);
    xen_test_ide(t);
    stamp_home(t, DEVMEM_INITIAL_GFN, 512, 52);
    stamp_home(t, SECOND_GFN, SECOND_PAGES, 53);
    place_second(t, DEVMEM_INITIAL);
    for (unsigned i = 0; i < 2; i++) {
        xen_test_save_restore(t, args);
        XEN_REQUIRE(xensim_gfn_to_mfn(t->dom, SECOND_GFN + 4095) !=
                    XENSIM_NO_MFN, "moved over other device memory");
    }
    devmem_place(t, &vga_2m, RANGE_A);
    XEN_TRY(devmem_in_place(t, &vga_2m, RANGE_A, 52));
    place_second(t, RANGE_B);
    XEN_TRY(devmem_stamped(t, &second, RANGE_B, 53));
    XEN_TRY(devmem_shared(t, &second, RANGE_B));
    return NULL;
}

/* A move a little downwards that fails behind where it began to overwrite. */
static const char *move_down_fails(XenTest *t)
{
    enum { HOLE = 1000 };
    g_autofree char *args = devmem_args(t, TWO_DISPLAYS);
    uint64_t below = DEVMEM_INITIAL;
    XensimFault fault = { .call = "xendevicemodel_relocate_memory",
                          .error = EBUSY };
    uint8_t page[XEN_TEST_PAGE];
    uint64_t calls;
    int id;

    xen_test_start(t, args);
    devmem_place(t, &vga_2m, RANGE_A);
    /* This maps it, and does not move it. */
    id = xensim_fault_arm(t->sim, &fault);
    place_second(t, RANGE_B);
    xensim_fault_disarm(t->sim, id);
    stamp_home(t, SECOND_GFN, SECOND_PAGES, 54);
    xensim_depopulate(t->dom, SECOND_GFN + HOLE, 1);
    calls = xensim_count(t->sim, "xendevicemodel_relocate_memory").calls;
    place_second(t, below);
    XEN_REQUIRE(xensim_count(t->sim, "xendevicemodel_relocate_memory").calls >
                calls, "moved nothing");
    for (unsigned i = 0; i < SECOND_PAGES; i++) {
        xensim_stamp_page(page, i, 54);
        XEN_REQUIRE(i == HOLE ||
                    qtest_readq(t->qts, below + i * XEN_TEST_PAGE) ==
                    ldq_le_p(page), "mixed up page %u", i);
    }
    xensim_populate(t->dom, SECOND_GFN + HOLE, 1);
    place_second(t, RANGE_B);
    for (unsigned i = 0; i < SECOND_PAGES; i++) {
        XEN_REQUIRE(xensim_read(t->dom, RANGE_B + i * XEN_TEST_PAGE, page,
                                sizeof(page)) == 0, "lost frame %u", i);
        XEN_REQUIRE(i == HOLE || xensim_stamp_page_ok(page, i, 54),
                    "lost page %u", i);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("physmap/both-whole", both_whole, "ended by SIGABRT");
    xen_test_add("physmap/both-part", both_part, "ended by SIGABRT");
    xen_test_add("physmap/at-home", at_home, "ended by SIGABRT");
    xen_test_add("physmap/at-home-bar-part", at_home_bar_part,
                 "ended by SIGABRT");
    xen_test_add("physmap/lost-whole", lost_whole, "does not end with 1");
    xen_test_add("physmap/lost-part", lost_part, "does not end with 1");
    xen_test_add("physmap/lost-both-part", lost_both_part,
                 "does not end with 1");
    xen_test_add("physmap/faults", faults, NULL);
    xen_test_add("physmap/faults-both", faults_both, NULL);
    xen_test_add("physmap/move-fails", move_fails,
                 "left frames at home");
    xen_test_add("physmap/report-rate", report_rate, NULL);
    xen_test_add("physmap/xen-refuses", xen_refuses, "ended by SIGABRT");
    xen_test_add("physmap/over-homes", over_homes, "ended by SIGABRT");
    xen_test_add("physmap/over-roms", over_roms, NULL);
    xen_test_add("physmap/others-home", others_home, NULL);
    xen_test_add("physmap/move-down-fails", move_down_fails, NULL);
    return g_test_run();
}
