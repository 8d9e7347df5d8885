/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A disk's DMA into and out of guest RAM and video memory, byte by byte. */
#include "qemu/osdep.h"
#include "drivers/virtio.h"
#include "xen-test-common.h"

enum { SEED = 11, DISK_PAGES = 1024 };

static void boot(XenTest *t, const char *more)
{
    xen_test_start_disk(t, DISK_PAGES, SEED, more);
}
#define boot(...) XEN_AT(boot(__VA_ARGS__))

static const char *aligned(XenTest *t)
{
    boot(t, "");
    xensim_fill(t->dom, 0x1ff000, 0xaa, 18 * XEN_TEST_PAGE);
    xen_test_dma_read(t, 3, 0x200000, 16);
    XEN_TRY(xen_test_disk_at(t, 0x200000, 3, 16, SEED, "read other bytes"));
    for (unsigned i = 0; i < XEN_TEST_PAGE; i += 8) {
        uint64_t before, after;

        xensim_read(t->dom, 0x1ff000 + i, &before, 8);
        xensim_read(t->dom, 0x210000 + i, &after, 8);
        XEN_REQUIRE(before == 0xaaaaaaaaaaaaaaaa && after == before,
                    "wrote beyond the buffer");
    }
    return NULL;
}

static const char *interior(XenTest *t)
{
    static const unsigned offset[] = { 2, 512, 0x7fe, 0xffe };

    boot(t, "");
    for (unsigned i = 0; i < G_N_ELEMENTS(offset); i++) {
        uint64_t gpa = 0x234000 + i * 0x20000 + offset[i];

        xen_test_dma_read(t, i * 5, gpa, 5);
        XEN_TRY(xen_test_disk_at(t, gpa, i * 5, 5, SEED, "read other bytes"));
    }
    return NULL;
}

static const char *two_buckets(XenTest *t)
{
    static const unsigned before[] = { 2, 512, 4096, 0x7ffe, 0xf000 };

    boot(t, "");
    for (unsigned i = 0; i < G_N_ELEMENTS(before); i++) {
        uint64_t gpa = (3 + i) * XEN_TEST_BUCKET - before[i];

        /* Once cold and once warm. */
        xen_test_dma_read(t, i, gpa, 16);
        XEN_TRY(xen_test_disk_at(t, gpa, i, 16, SEED, "read other bytes"));
        xen_test_dma_read(t, i + 100, gpa, 16);
        XEN_TRY(xen_test_disk_at(t, gpa, i + 100, 16, SEED,
                                 "read other bytes the second time"));
    }
    return NULL;
}

static const char *scatter(XenTest *t)
{
    static const uint32_t len[] = {
        4096, 512, 8192, 3584, 65536, 2, 4094, 61440, 4096, 32768
    };
    GuestSg sg[G_N_ELEMENTS(len)];
    g_autofree uint8_t *all = NULL;
    unsigned bytes = 0;

    boot(t, "");
    for (unsigned i = 0; i < G_N_ELEMENTS(len); i++) {
        /* Buckets in no order; two pieces share one. */
        sg[i].gpa = ((i * 7 + 5) % 9 + 20) * XEN_TEST_BUCKET + i * 0x1202;
        sg[i].len = len[i];
        bytes += len[i];
    }
    xen_test_ok(t, guest_ide_dma(&t->ide, false, 40 * 8, bytes / 512, sg,
                                 G_N_ELEMENTS(len)));
    all = g_malloc(bytes);
    for (unsigned i = 0, at = 0; i < G_N_ELEMENTS(len); at += len[i++]) {
        xensim_read(t->dom, sg[i].gpa, all + at, len[i]);
    }
    for (unsigned i = 0; i < bytes / XEN_TEST_PAGE; i++) {
        XEN_REQUIRE(xensim_stamp_page_ok(all + i * XEN_TEST_PAGE, 40 + i,
                                         SEED), "scattered other bytes");
    }
    return NULL;
}

static const char *many(XenTest *t)
{
    boot(t, "");
    for (unsigned i = 0; i < 200; i++) {
        uint64_t gpa = 2 * XEN_TEST_BUCKET + (i % 48) * 0x13000;
        unsigned page = i * 37 % (DISK_PAGES - 16);

        xen_test_dma_read(t, page, gpa, 16);
        XEN_TRY(xen_test_disk_at(t, gpa, page, 16, SEED, "read other bytes"));
    }
    return NULL;
}

static const char *to_disk(XenTest *t)
{
    GuestSg sg = { .gpa = 6 * XEN_TEST_BUCKET - 0x7200, .len = 0x10000 };
    uint8_t page[XEN_TEST_PAGE];

    boot(t, "");
    for (unsigned i = 0; i < 16; i++) {
        xensim_stamp_page(page, i, 99);
        xensim_write(t->dom, sg.gpa + i * XEN_TEST_PAGE, page, sizeof(page));
    }
    xen_test_ok(t, guest_ide_dma(&t->ide, true, 800, 128, &sg, 1));
    xen_test_dma_read(t, 100, 0x2000000, 16);
    XEN_TRY(xen_test_disk_at(t, 0x2000000, 0, 16, 99, "wrote other bytes"));
    /* The memory it came from is as it was. */
    XEN_TRY(xen_test_disk_at(t, sg.gpa, 0, 16, 99, "changed its source"));
    xen_test_dma_read(t, 99, 0x2000000, 1);
    XEN_TRY(xen_test_disk_at(t, 0x2000000, 99, 1, SEED,
                             "wrote to other sectors"));
    return NULL;
}

/*
 * A list that QEMU takes in two parts, the first of which ends within a
 * sector: the registers of the VGA are bounced, and there is room for a page
 * of that at a time.  What is cut off comes next, and nothing stays mapped.
 */
static const char *cut(XenTest *t)
{
    enum { REGISTERS = 0xf9000000 };
    const GuestSg sg[] = {
        { .gpa = REGISTERS, .len = 4096 },
        { .gpa = 5 * XEN_TEST_BUCKET + 0x100, .len = 256 },
        { .gpa = REGISTERS + 0x100, .len = 256 },
        { .gpa = 7 * XEN_TEST_BUCKET, .len = 4096 },
    };
    const unsigned sectors = (4096 + 256 + 256 + 4096) / 512;
    g_autofree uint8_t *got = g_malloc(sectors * 512);
    uint8_t page[XEN_TEST_PAGE];

    boot(t, XEN_TEST_VGA);
    xen_test_vga(t);
    xen_test_ok(t, guest_pci_place_bar(t->pc, t->vga.devfn, 2, REGISTERS));
    for (unsigned round = 0; round < 20; round++) {
        xensim_stamp(t->dom, sg[1].gpa / XEN_TEST_PAGE, 1, round);
        xensim_stamp(t->dom, sg[3].gpa / XEN_TEST_PAGE, 1, round);
        xen_test_ok(t, guest_ide_dma(&t->ide, true, 8, sectors, sg,
                                     G_N_ELEMENTS(sg)));
        xen_test_ok(t, guest_ide_dma(&t->ide, false, 8, sectors,
                                     &(GuestSg) { 0x900000, sectors * 512 },
                                     1));
        xensim_read(t->dom, 0x900000, got, sectors * 512);
        xensim_stamp_page(page, sg[1].gpa / XEN_TEST_PAGE, round);
        XEN_REQUIRE(xen_test_same(got + 4096, page + 0x100, 256, sg[1].gpa),
                    "wrote other bytes where it was cut");
        XEN_REQUIRE(xensim_stamp_page_ok(got + 4096 + 512,
                                         sg[3].gpa / XEN_TEST_PAGE, round),
                    "wrote other bytes behind the cut");
    }
    XEN_REQUIRE(xen_test_settles(t, "dma", NULL), "keeps a mapping");
    xensim_invalidate(t->dom);
    XEN_REQUIRE(xen_test_settles(t, "buckets-pending", NULL) &&
                xen_test_ram_mapped(t) == 0, "keeps memory mapped");
    return NULL;
}

/*
 * A list with more room than the blocks of the request, which is no whole
 * block: it is not touched, and no block behind them is.
 */
static const char *tail(XenTest *t)
{
    enum { GPA = 0x600000, LONG = 700, DRIVER = 0x100000, LBA = 24 };
    const GuestSg lists[][2] = {
        { { GPA, LONG } }, { { GPA, 188 }, { GPA + 188, 512 } },
        { { GPA, 512 }, { GPA + 512, 188 } },
    };
    g_autofree char *file = g_build_filename(t->dir, "disk", NULL);
    g_autofree char *args = NULL, *disk = NULL;
    uint8_t got[XEN_TEST_PAGE], rest[XEN_TEST_PAGE - 512];
    GuestVscsi scsi;

    xen_test_disk(t, DISK_PAGES, SEED);
    g_assert_true(g_file_get_contents(file, &disk, NULL, NULL));
    args = g_strdup_printf("-device virtio-scsi-pci,addr=7,disable-legacy=off,"
                           "disable-modern=on -drive file='%s',format=raw,"
                           "if=none,id=drive -device scsi-hd,drive=drive ",
                           file);
    xen_test_start(t, args);
    xen_test_ok(t, guest_vscsi_init(t->pc, &scsi, 0, 0xc200, DRIVER));
    guest_vscsi_rw(&scsi, 0, false, 0, lists[0], 1);    /* it has appeared */
    memset(rest, 0xee, sizeof(rest));
    for (unsigned i = 0; i < G_N_ELEMENTS(lists); i++) {
        unsigned n = lists[i][1].len ? 2 : 1;

        xensim_fill(t->dom, GPA, 0xee, XEN_TEST_PAGE);
        xen_test_ok(t, guest_vscsi_rw(&scsi, 0, false, LBA, lists[i], n));
        xensim_read(t->dom, GPA, got, sizeof(got));
        XEN_REQUIRE(xen_test_same(got, disk + LBA * 512, 512, GPA),
                    "read other bytes");
        XEN_REQUIRE(xen_test_same(got + 512, rest, sizeof(rest), GPA + 512),
                    "read more than the request's block");

        xensim_fill(t->dom, GPA, i, XEN_TEST_PAGE);
        xen_test_ok(t, guest_vscsi_rw(&scsi, 0, true, LBA, lists[i], n));
        xen_test_ok(t, guest_vscsi_rw(&scsi, 0, false, LBA,
                                      &(GuestSg) { GPA, 1024 }, 1));
        xensim_read(t->dom, GPA, got, sizeof(got));
        memset(rest, i, sizeof(rest));
        XEN_REQUIRE(xen_test_same(got, rest, 512, GPA), "wrote other bytes");
        XEN_REQUIRE(xen_test_same(got + 512, disk + (LBA + 1) * 512, 512,
                                  GPA + 512),
                    "wrote more than the request's block");
        memset(rest, 0xee, sizeof(rest));
        memset(disk + LBA * 512, i, 512);
    }
    xen_test_ok(t, guest_virtio_reset(&scsi.dev));
    return NULL;
}

/* Once its bucket is mapped a transfer needs nothing more of Xen. */
static const char *warm(XenTest *t)
{
    uint64_t calls, hits;

    boot(t, "");
    xen_test_dma_read(t, 0, 0x500000, 16);
    hits = xen_test_stat(t, "hits");
    calls = xen_test_map_calls(t);
    for (unsigned i = 0; i < 100; i++) {
        xen_test_dma_read(t, i, 0x500000 + (i % 15) * 0x10000, 16);
    }
    calls = xen_test_map_calls(t) - calls;
    XEN_TRY(xen_test_disk_at(t, 0x500000 + 9 * 0x10000, 99, 1, SEED,
                             "read other bytes"));
    XEN_REQUIRE(calls == 0, "made %" PRIu64 " map calls for 100 transfers to "
                "memory that was mapped", calls);
    XEN_REQUIRE(xen_test_stat(t, "hits") >= hits + 100,
                "does not count hits");
    return NULL;
}

/* After a transfer to @offset of the video memory the device still has it. */
static const char *video(XenTest *t, uint64_t offset)
{
    g_autoptr(GBytes) first = NULL;
    g_autoptr(GBytes) second = NULL;
    uint8_t bytes[4];

    boot(t, XEN_TEST_VGA);
    xen_test_vga(t);
    for (unsigned i = 0; i < 2; i++) {
        xen_test_dma_read(t, 7 + i, XEN_TEST_LFB + offset, 16);
        /* The device reads its memory, for the guest and for the screen. */
        xensim_mmio_copy(t->dom, 0xa0000, 0x30000, 4, 1, true, false);
        xensim_read(t->dom, 0x30000, bytes, 4);
        first = xen_test_screendump(t);
        second = xen_test_screendump(t);
        XEN_REQUIRE(g_bytes_equal(first, second), "shows two pictures");
        g_clear_pointer(&first, g_bytes_unref);
        g_clear_pointer(&second, g_bytes_unref);
        XEN_TRY(xen_test_disk_at(t, XEN_TEST_LFB + offset, 7 + i, 16, SEED,
                                 "read other bytes"));
        xensim_mmio_write(t->dom, 0xa0000, 4, 0x55667788);
        XEN_REQUIRE(xensim_mmio_read(t->dom, XEN_TEST_LFB, 4) == 0x55667788,
                    "does not reach the video memory any more");
    }
    return NULL;
}
#define video(...) XEN_AT(video(__VA_ARGS__))

static const char *video_base(XenTest *t)
{
    return video(t, 0);
}

static const char *video_interior(XenTest *t)
{
    return video(t, 0x12340);
}

static const char *video_end(XenTest *t)
{
    return video(t, XEN_TEST_VRAM_BYTES - 0x10000);
}

/* The transfer is what is on the screen. */
static const char *video_picture(XenTest *t)
{
    g_autofree uint8_t *want = g_malloc(75 * 16384);
    g_autoptr(GBytes) shown = NULL;
    const uint8_t *rgb;

    boot(t, XEN_TEST_VGA);
    xen_test_vga(t);
    for (unsigned i = 0; i < 300; i += 15) {
        xen_test_dma_read(t, i, XEN_TEST_LFB + i * XEN_TEST_PAGE, 15);
    }
    for (unsigned i = 0; i < 300; i++) {
        xensim_stamp_page(want + i * XEN_TEST_PAGE, i, SEED);
    }
    shown = xen_test_screendump(t);
    rgb = (const uint8_t *)g_bytes_get_data(shown, NULL) + 15;
    for (unsigned i = 0; i < 640 * 480; i++) {
        XEN_REQUIRE(rgb[i * 3] == want[i * 4 + 2] &&
                    rgb[i * 3 + 1] == want[i * 4 + 1] &&
                    rgb[i * 3 + 2] == want[i * 4],
                    "shows another colour in pixel %u", i);
    }
    return NULL;
}

static const char *video_to_disk(XenTest *t)
{
    GuestSg sg[2] = { { .gpa = XEN_TEST_LFB, .len = 8192 },
                      { .gpa = XEN_TEST_LFB + 0x55000, .len = 8192 } };

    boot(t, XEN_TEST_VGA);
    xen_test_vga(t);
    for (unsigned i = 0; i < 4; i++) {
        uint8_t page[XEN_TEST_PAGE];

        xensim_stamp_page(page, i, 5);
        xensim_write(t->dom, sg[i / 2].gpa + i % 2 * XEN_TEST_PAGE, page,
                     sizeof(page));
    }
    xen_test_ok(t, guest_ide_dma(&t->ide, true, 0, 32, sg, 2));
    xen_test_dma_read(t, 0, 0x700000, 4);
    return xen_test_disk_at(t, 0x700000, 0, 4, 5, "wrote other bytes");
}

/* One list with RAM, video memory and RAM again. */
static const char *video_and_ram(XenTest *t)
{
    GuestSg sg[3] = { { .gpa = 0x300000, .len = 8192 },
                      { .gpa = XEN_TEST_LFB + 0x1000, .len = 8192 },
                      { .gpa = 0x4ff000, .len = 8192 } };

    boot(t, XEN_TEST_VGA);
    xen_test_vga(t);
    xen_test_ok(t, guest_ide_dma(&t->ide, false, 0, 48, sg, 3));
    for (unsigned i = 0; i < 3; i++) {
        XEN_TRY(xen_test_disk_at(t, sg[i].gpa, i * 2, 2, SEED,
                                 "read other bytes"));
    }
    return NULL;
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("dma/aligned", aligned, NULL);
    xen_test_add("dma/interior", interior, NULL);
    xen_test_add("dma/two-buckets", two_buckets, NULL);
    xen_test_add("dma/scatter", scatter, NULL);
    xen_test_add("dma/many", many, NULL);
    xen_test_add("dma/to-disk", to_disk, NULL);
    xen_test_add("dma/tail", tail, NULL);
    xen_test_add("dma/cut", cut, "wrote other bytes*|keeps a mapping");
    xen_test_add("dma/warm", warm, "made * map calls for 100 transfers*");
    xen_test_add("dma/video-base", video_base, "ended by SIGSEGV");
    xen_test_add("dma/video-interior", video_interior, "ended by SIGABRT");
    xen_test_add("dma/video-end", video_end, "ended by SIGABRT");
    xen_test_add("dma/video-picture", video_picture, "ended by SIGSEGV");
    xen_test_add("dma/video-to-disk", video_to_disk, "ended by SIGSEGV");
    xen_test_add("dma/video-and-ram", video_and_ram, "ended by SIGABRT");
    return g_test_run();
}
