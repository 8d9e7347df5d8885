/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest is saved, and restored by another device model into other machine
 * frames: RAM and video memory are there, wherever the guest had put them,
 * and nobody asked xenstore where that was.
 */
#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "qemu/units.h"
#include "xen-test-common.h"

enum { SEED = 61, DISK_PAGES = 512, WIDTH = 640, HEIGHT = 480,
       VRAM_PAGES = XEN_TEST_VRAM_BYTES / XEN_TEST_PAGE,
       /* Where QEMU allocates the first device's memory. */
       UNMOVED_GFN = (XEN_TEST_RAM_MB << 20) / XEN_TEST_PAGE };
#define SECOND_LFB 0xf2000000u

static void count_physmap(const XensimXsLogEntry *entry, void *opaque)
{
    if (strstr(entry->path, "physmap")) {
        g_test_message("xenstore: %s %s", xensim_xs_op_name(entry->op),
                       entry->path);
        ++*(unsigned *)opaque;
    }
}

/* A number, in hex, that the device model keeps about its memory. */
static uint64_t physmap_key(XenTest *t, const char *ram, const char *key)
{
    g_autofree char *path =
        g_strdup_printf("/local/domain/0/device-model/%u/physmap/%s/%s",
                        xensim_domid(t->dom), ram, key);
    g_autofree char *value = xensim_xs_read(t->xs, path);

    return value ? g_ascii_strtoull(value, NULL, 16) : 0;
}

/*
 * Built for an old libxen: the keys are those that such device models have
 * always used, and were read.
 */
static const char *has_keys(XenTest *t, uint64_t lfb)
{
    g_autofree char *dir =
        g_strdup_printf("/local/domain/0/device-model/%u/physmap",
                        xensim_domid(t->dom));
    g_autofree char *ram =
        g_strdup_printf("%x", XEN_TEST_RAM_MB << 20);
    g_auto(GStrv) ranges = xensim_xs_directory(t->xs, dir);

    XEN_REQUIRE(ranges && ranges[0] && !ranges[1],
                "has %u ranges in xenstore", ranges ? g_strv_length(ranges)
                                                    : 0);
    XEN_REQUIRE(g_str_equal(ranges[0], ram), "keeps %s in xenstore",
                ranges[0]);
    XEN_REQUIRE(physmap_key(t, ram, "start_addr") == lfb &&
                physmap_key(t, ram, "size") == XEN_TEST_VRAM_BYTES,
                "keeps another place in xenstore");
    XEN_REQUIRE(xensim_xs_log(t->xs, XENSIM_XS_READ, dir, NULL, NULL) >= 2,
                "does not read its place in xenstore");
    return NULL;
}

/*
 * Nothing was asked of xenstore about the place of memory, nor told, unless
 * the device model is one that has no other way.
 */
static const char *keys(XenTest *t, uint64_t lfb)
{
    unsigned n = 0;

    if (xen_test_compat()) {
        return has_keys(t, lfb);
    }
    xensim_xs_log(t->xs, XENSIM_XS_ANY, NULL, count_physmap, &n);
    XEN_REQUIRE(n == 0, "went to xenstore for the place of memory");
    return NULL;
}
#define keys(...) XEN_AT(keys(__VA_ARGS__))

/* A picture, and bytes in what is not shown. */
static void draw(XenTest *t, uint64_t lfb, unsigned seed)
{
    xensim_stamp(t->dom, lfb / XEN_TEST_PAGE, VRAM_PAGES, seed);
}
#define draw(...) XEN_AT(draw(__VA_ARGS__))

static const char *drawn(XenTest *t, uint64_t lfb, unsigned seed)
{
    uint64_t first = lfb / XEN_TEST_PAGE, bad;

    XEN_REQUIRE((bad = xensim_stamp_check(t->dom, first, VRAM_PAGES, seed)) ==
                XENSIM_NO_GFN, "lost page 0x%" PRIx64 " of the video memory",
                bad - first);
    return NULL;
}
#define drawn(...) XEN_AT(drawn(__VA_ARGS__))

/* Guest and device look at the same video memory. */
static const char *shared(XenTest *t, uint64_t lfb)
{
    xensim_mmio_write(t->dom, 0xa0010, 4, 0x13579bdf);
    XEN_REQUIRE(xensim_mmio_read(t->dom, lfb + 0x10, 4) == 0x13579bdf,
                "writes to other video memory than the guest's");
    xensim_mmio_write(t->dom, lfb + 0x10, 4, 0x2468ace0);
    XEN_REQUIRE(xensim_mmio_read(t->dom, 0xa0010, 4) == 0x2468ace0,
                "reads other video memory than the guest's");
    return NULL;
}
#define shared(...) XEN_AT(shared(__VA_ARGS__))

static char *machine(XenTest *t, const char *more)
{
    return g_strconcat(xen_test_disk(t, DISK_PAGES, SEED), more, NULL);
}
#define machine(...) XEN_AT(machine(__VA_ARGS__))

/* Boots, draws, saves and restores @times times; checks all that can be. */
static const char *rounds(XenTest *t, const char *more, unsigned times)
{
    g_autofree char *args = machine(t, more);
    g_autoptr(GBytes) before = NULL;

    xen_test_start(t, args);
    xen_test_ide(t);
    xen_test_vga(t);
    draw(t, XEN_TEST_LFB, 1);
    xensim_stamp(t->dom, 0x200, 0x1000, 2);
    before = xen_test_screendump(t);

    for (unsigned i = 0; i < times; i++) {
        g_autoptr(GBytes) after = NULL;
        uint64_t mfn = xensim_gfn_to_mfn(t->dom, XEN_TEST_LFB / XEN_TEST_PAGE);

        xensim_xs_log_clear(t->xs);
        xen_test_save_restore(t, args);
        XEN_TRY(keys(t, XEN_TEST_LFB));
        XEN_REQUIRE(xensim_gfn_to_mfn(t->dom, XEN_TEST_LFB / XEN_TEST_PAGE) !=
                    mfn, "runs in the old machine frames");
        XEN_TRY(drawn(t, XEN_TEST_LFB, 1));
        after = xen_test_screendump(t);
        XEN_REQUIRE(g_bytes_equal(before, after), "shows another picture");
        XEN_REQUIRE(xensim_stamp_check(t->dom, 0x200, 0x1000, 2) ==
                    XENSIM_NO_GFN, "lost RAM");
        XEN_REQUIRE(xen_test_stat(t, "dummies") == 0,
                    "still has a dummy mapping");

        /* It goes on as before: disk, video memory, screen. */
        XEN_TRY(shared(t, XEN_TEST_LFB));
        xensim_stamp(t->dom, XEN_TEST_LFB / XEN_TEST_PAGE, 1, 1);
        xen_test_dma_read(t, i, 0x800000, 16);
        XEN_TRY(xen_test_disk_at(t, 0x800000, i, 16, SEED,
                                 "read other bytes"));
        xensim_stamp(t->dom, 0x800, 16, 2);
    }
    return NULL;
}
#define rounds(...) XEN_AT(rounds(__VA_ARGS__))

static const char *plain(XenTest *t)
{
    return rounds(t, XEN_TEST_VGA, 1);
}

static const char *twice(XenTest *t)
{
    return rounds(t, XEN_TEST_VGA, 2);
}

/* The device model may do nothing but serve its domain. */
static const char *restricted(XenTest *t)
{
    g_autofree char *free_args = machine(t, XEN_TEST_VGA);
    g_autofree char *args = g_strconcat(free_args, " -xen-domid-restrict",
                                        NULL);
    uint32_t domid;

    xen_test_start(t, free_args);
    xen_test_ide(t);
    xen_test_vga(t);
    draw(t, XEN_TEST_LFB, 4);
    for (unsigned i = 0; i < 2; i++) {
        xensim_xs_refuse_changes(t->xs, "/");
        xensim_xs_log_clear(t->xs);
        xen_test_save_restore(t, args);
        XEN_REQUIRE(xensim_is_restricted(t->sim, t->pid, &domid) &&
                    domid == xensim_domid(t->dom), "is not restricted");
        XEN_TRY(keys(t, XEN_TEST_LFB));
        XEN_TRY(drawn(t, XEN_TEST_LFB, 4));
        XEN_TRY(shared(t, XEN_TEST_LFB));
        draw(t, XEN_TEST_LFB, 4);
    }
    xensim_balloon_out(t->dom, 0x900, 64);
    xensim_balloon_in(t->dom, 0x900, 64);
    xen_test_dma_read(t, 3, 0x900000, 16);
    return xen_test_disk_at(t, 0x900000, 3, 16, SEED, "read other bytes");
}

/* DMA into the video memory that was restored, at its start or inside. */
static const char *video_dma(XenTest *t, uint64_t offset)
{
    g_autofree char *args = machine(t, XEN_TEST_VGA);
    uint64_t gfn = XEN_TEST_LFB / XEN_TEST_PAGE;

    xen_test_start(t, args);
    xen_test_ide(t);
    xen_test_vga(t);
    draw(t, XEN_TEST_LFB, 5);
    xen_test_save_restore(t, args);
    for (unsigned i = 0; i < 3; i++) {
        g_autoptr(GBytes) shot = NULL;

        xen_test_dma_read(t, i, XEN_TEST_LFB + offset, 16);
        XEN_TRY(shared(t, XEN_TEST_LFB));
        shot = xen_test_screendump(t);
        xen_test_dma_read(t, i, XEN_TEST_LFB + offset, 16);
        XEN_TRY(xen_test_disk_at(t, XEN_TEST_LFB + offset, i, 16, SEED,
                                 "read other bytes"));
        XEN_REQUIRE(xensim_stamp_check(t->dom, gfn + 0x800, 0x800, 5) ==
                    XENSIM_NO_GFN, "wrote elsewhere, too");
    }
    return NULL;
}
#define video_dma(...) XEN_AT(video_dma(__VA_ARGS__))

static const char *video_dma_base(XenTest *t)
{
    return video_dma(t, 0);
}

static const char *video_dma_interior(XenTest *t)
{
    return video_dma(t, 0x123000);
}

/* The guest moves the BAR before the save, and again after the restore. */
static const char *moved(XenTest *t)
{
    g_autofree char *args = machine(t, XEN_TEST_VGA);

    xen_test_start(t, args);
    xen_test_vga(t);
    draw(t, XEN_TEST_LFB, 6);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t from = i % 2 ? SECOND_LFB : XEN_TEST_LFB;
        uint64_t to = i % 2 ? XEN_TEST_LFB : SECOND_LFB;
        uint64_t n = from / XEN_TEST_PAGE;
        uint8_t page[XEN_TEST_PAGE];

        xensim_xs_log_clear(t->xs);
        xen_test_save_restore(t, args);
        XEN_TRY(keys(t, from));
        xen_test_ok(t, guest_vga_place(&t->vga, to, 0));
        for (unsigned j = 0; j < VRAM_PAGES; j++) {
            XEN_REQUIRE(xensim_gfn_to_mfn(t->dom, n + j) == XENSIM_NO_MFN,
                        "left a frame behind");
            xensim_read(t->dom, to + j * XEN_TEST_PAGE, page, sizeof(page));
            XEN_REQUIRE(xensim_stamp_page_ok(page, n + j, 6),
                        "lost page %u of the video memory", j);
        }
        XEN_TRY(shared(t, to));
        draw(t, to, 6);
    }
    return NULL;
}

/* Are the @pages of video memory drawn at @from now at @gpa? */
static const char *found(XenTest *t, uint64_t gpa, uint64_t from,
                         unsigned pages, unsigned seed)
{
    uint8_t page[XEN_TEST_PAGE];
    unsigned n = 0;

    for (unsigned i = 0; i < pages; i++) {
        if (!xensim_read(t->dom, gpa + i * XEN_TEST_PAGE, page,
                         sizeof(page))) {
            n += xensim_stamp_page_ok(page, from + i, seed);
        }
    }
    XEN_REQUIRE(n == pages, "has %u of %u pages of the video memory", n,
                pages);
    return NULL;
}
#define found(...) XEN_AT(found(__VA_ARGS__))

/* The guest had not placed the display when it was saved, and does so now. */
static const char *unplaced(XenTest *t, const char *display)
{
    g_autofree char *args = machine(t, display);
    unsigned pages = 4 * MiB / XEN_TEST_PAGE;

    xen_test_start(t, args);
    xensim_stamp(t->dom, UNMOVED_GFN, pages, 7);
    for (unsigned i = 0; i < 2; i++) {
        xen_test_save_restore(t, args);
        XEN_TRY(found(t, UNMOVED_GFN * XEN_TEST_PAGE, UNMOVED_GFN, pages, 7));
    }
    xen_test_ok(t, guest_pci_place_bar(t->pc, 4 << 3, 0, XEN_TEST_LFB));
    /* A cirrus moves it when a register of graphics is written. */
    xensim_outw(t->dom, 0x3ce, 0x0005);
    XEN_TRY(found(t, XEN_TEST_LFB, UNMOVED_GFN, pages, 7));
    xen_test_save_restore(t, args);
    return found(t, XEN_TEST_LFB, UNMOVED_GFN, pages, 7);
}
#define unplaced(...) XEN_AT(unplaced(__VA_ARGS__))

static const char *unplaced_cirrus(XenTest *t)
{
    return unplaced(t, "-device cirrus-vga,addr=4 ");
}

static const char *unplaced_vga(XenTest *t)
{
    return unplaced(t, XEN_TEST_VGA);
}

/* It had placed it, but the memory had not been moved there. */
static const char *unmoved_cirrus(XenTest *t)
{
    g_autofree char *args = machine(t, "-device cirrus-vga,addr=4 ");
    unsigned pages = 4 * MiB / XEN_TEST_PAGE;

    xen_test_start(t, args);
    xensim_stamp(t->dom, UNMOVED_GFN, pages, 7);
    xen_test_ok(t, guest_pci_place_bar(t->pc, 4 << 3, 0, XEN_TEST_LFB));
    XEN_TRY(found(t, UNMOVED_GFN * XEN_TEST_PAGE, UNMOVED_GFN, pages, 7));
    xen_test_save_restore(t, args);
    /* Wherever it is, the guest and the device find it at the BAR. */
    for (unsigned i = 0; i < pages; i++) {
        uint64_t at = XEN_TEST_LFB + i * XEN_TEST_PAGE, want;
        uint8_t page[XEN_TEST_PAGE];

        xensim_stamp_page(page, UNMOVED_GFN + i, 7);
        memcpy(&want, page + 16, 8);
        XEN_REQUIRE(xensim_mmio_read(t->dom, at + 16, 8) == want &&
                    qtest_readq(t->qts, at + 16) == want,
                    "lost page %u of the video memory", i);
    }
    xensim_outw(t->dom, 0x3ce, 0x0005);
    XEN_TRY(found(t, XEN_TEST_LFB, UNMOVED_GFN, pages, 7));
    xen_test_save_restore(t, args);
    return found(t, XEN_TEST_LFB, UNMOVED_GFN, pages, 7);
}

/*
 * Two displays, of which one has memory that does not start at a bucket's
 * boundary.  The second is drawn and seen by loads and stores, so that it does
 * not matter whether frames or the device model are behind its BAR.
 */
static const char *two_displays(XenTest *t)
{
    g_autofree char *args = machine(t, XEN_TEST_VGA
                                    "-device bochs-display,addr=7 ");
    GuestVga second;

    xen_test_start(t, args);
    xen_test_vga(t);
    xen_test_ok(t, guest_vga_init(t->pc, &second, 1));
    xen_test_ok(t, guest_vga_place(&second, SECOND_LFB, 0xf5000000));
    draw(t, XEN_TEST_LFB, 8);
    for (unsigned i = 0; i < second.vram_bytes; i += 0xf008) {
        xensim_mmio_write(t->dom, SECOND_LFB + i, 8, i * 31ull);
    }
    for (unsigned n = 0; n < 2; n++) {
        xen_test_save_restore(t, args);
        XEN_TRY(drawn(t, XEN_TEST_LFB, 8));
        for (unsigned i = 0; i < second.vram_bytes; i += 0xf008) {
            XEN_REQUIRE(xensim_mmio_read(t->dom, SECOND_LFB + i, 8) ==
                        i * 31ull, "lost bytes of the second display");
            XEN_REQUIRE(qtest_readq(t->qts, SECOND_LFB + i) == i * 31ull,
                        "sees other memory of the second display");
        }
    }
    return NULL;
}

/* A page of RAM that is not there while the state comes in is a hole. */
static const char *hole(XenTest *t)
{
    g_autofree char *args = machine(t, XEN_TEST_VGA);

    xen_test_start(t, args);
    xen_test_ide(t);
    xensim_balloon_out(t->dom, 0x523, 1);
    xen_test_save_restore(t, args);
    XEN_REQUIRE(qtest_readq(t->qts, 0x523000) == 0,
                "reads a hole as something");
    xensim_populate(t->dom, 0x523, 1);
    xensim_stamp(t->dom, 0x523, 1, 3);
    xen_test_dma_read(t, 9, 0x524000, 2);
    XEN_REQUIRE(qtest_readq(t->qts, 0x523000) != 0,
                "does not see that a hole was filled");
    return xen_test_disk_at(t, 0x524000, 9, 2, SEED, "read other bytes");
}

/* A device looks at a page that is not there while its state comes in. */
static const char *missing(XenTest *t)
{
    g_autofree char *args = machine(t, XEN_TEST_STATS);
    g_auto(GStrv) lines = NULL;

    xen_test_start(t, args);
    xensim_fill(t->dom, 0x600000, 0, 0x4000);
    xen_test_stats_hold(t, 0x600000, 0x640000, 100);
    xensim_balloon_out(t->dom, 0x600, 4);
    xen_test_save_restore(t, args);
    lines = xen_test_log_lines(t, "is absent while the guest is restored");
    XEN_REQUIRE(g_strv_length(lines) == 1, "says %u times what is absent",
                g_strv_length(lines));
    xen_test_stats_release(t);
    return NULL;
}

/* A page that Xen does not map while the state comes in may be there. */
static const char *not_told(XenTest *t)
{
    g_autofree char *args = machine(t, XEN_TEST_STATS);
    g_auto(GStrv) missing = NULL, failed = NULL;
    XensimFault fault = {
        .call = xen_test_call("xenforeignmemory_map2"),
        .gfn = 0x604, .pages = 1, .error = ENOMEM, /* what is available */
    };
    int id;

    xen_test_start(t, args);
    xensim_fill(t->dom, 0x600000, 0, 0x4000);
    xen_test_stats_hold(t, 0x600000, 0x640000, 100);
    id = xensim_fault_arm(t->sim, &fault);
    g_assert_cmpint(id, >=, 0);
    xen_test_save_restore(t, args);
    missing = xen_test_log_lines(t, "is absent while the guest is restored");
    failed = xen_test_log_lines(t, "xen mapcache: mapping guest address ");
    XEN_REQUIRE(g_strv_length(missing) == 0,
                "says that RAM is absent that Xen did not map");
    XEN_REQUIRE(g_strv_length(failed) >= 1, "does not say what failed");
    xensim_fault_disarm(t->sim, id);
    xen_test_stats_release(t);
    return NULL;
}

/* Outstanding DMA in a state: the device takes its lists again. */
static const char *lists(XenTest *t)
{
    g_autofree char *args = machine(t, XEN_TEST_VGA XEN_TEST_AHCI);
    uint64_t mfn;

    xen_test_start(t, args);
    xensim_fill(t->dom, 0x600000, 0, 0x2000);
    xen_test_ahci_start(t, 0x600000, 0x601000);
    xen_test_save_restore(t, args);
    mfn = xensim_gfn_to_mfn(t->dom, 0x600);
    XEN_REQUIRE(xensim_mfn_mappings(t->sim, mfn) >= 1,
                "does not hold the list in its new frame");
    xen_test_ahci_stop(t);
    xensim_invalidate(t->dom);
    XEN_REQUIRE(xen_test_let_go(t, mfn), "keeps what nobody holds mapped");
    return NULL;
}

/* Built for an old libxen: by the toolstack, with the keys and without. */
static const char *by_keys(XenTest *t)
{
    static const char *const env[] = { "XENSIM_NO_MAP2=1", NULL };
    TsConfig config = {
        .qemu = getenv("QTEST_QEMU_BINARY"),
        .ram_bytes = XEN_TEST_RAM_MB * MiB,
        .rom_dir = getenv("XEN_TEST_ROMS") ?: "/usr/share/seabios",
        .env = env,
    };
    g_autofree char *keys_file = g_build_filename(t->dir, "physmap", NULL);
    g_autoptr(GError) err = NULL;
    TsGuest *guest = ts_create(t->ts, &config, &err);

    g_assert_no_error(err);
    t->dom = ts_domain(guest);
    t->pc = guest_pc_new(t->dom);
    xen_test_vga(t);
    g_clear_pointer(&t->pc, guest_pc_free);
    draw(t, XEN_TEST_LFB, 9);

    guest = ts_migrate(guest, &err);
    g_assert_no_error(err);
    t->dom = ts_domain(guest);
    XEN_TRY(drawn(t, XEN_TEST_LFB, 9));
    XEN_TRY(shared(t, XEN_TEST_LFB));
    draw(t, XEN_TEST_LFB, 9);
    ts_save(guest, t->dir, &err);
    g_assert_no_error(err);
    ts_destroy(guest);

    guest = ts_restore(t->ts, &config, t->dir, &err);
    g_assert_no_error(err);
    t->dom = ts_domain(guest);
    XEN_TRY(drawn(t, XEN_TEST_LFB, 9));
    XEN_TRY(shared(t, XEN_TEST_LFB));
    ts_destroy(guest);

    g_assert_cmpint(g_unlink(keys_file), ==, 0);
    guest = ts_restore(t->ts, &config, t->dir, &err);
    XEN_REQUIRE(!guest, "runs without knowing where its memory is");
    g_test_message("%s", err->message);
    XEN_REQUIRE(strstr(err->message, "status 1"), "does not end with 1");
    return NULL;
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("restore/plain", plain, NULL);
    xen_test_add("restore/twice", twice, NULL);
    if (xen_test_compat()) {
        xen_test_add("restore/by-keys", by_keys, NULL);
    } else {
        /* A place in xenstore cannot be kept by one that may not write. */
        xen_test_add("restore/restricted", restricted, NULL);
    }
    xen_test_add("restore/video-dma-base", video_dma_base,
                 "ended by SIGABRT|ended by SIGSEGV");
    xen_test_add("restore/video-dma-interior", video_dma_interior,
                 "ended by SIGABRT");
    xen_test_add("restore/moved", moved, "left a frame behind");
    xen_test_add("restore/unplaced-cirrus", unplaced_cirrus, NULL);
    xen_test_add("restore/unplaced-vga", unplaced_vga, NULL);
    xen_test_add("restore/unmoved-cirrus", unmoved_cirrus,
                 "ended by SIGABRT");
    xen_test_add("restore/two-displays", two_displays, NULL);
    xen_test_add("restore/hole", hole, "ended by SIGSEGV");
    xen_test_add("restore/missing", missing, NULL);
    xen_test_add("restore/not-told", not_told, NULL);
    xen_test_add("restore/lists", lists, NULL);
    return g_test_run();
}
