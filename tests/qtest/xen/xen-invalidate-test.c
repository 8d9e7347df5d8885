/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Xen asks for all mappings to be dropped.  What nobody holds is unmapped
 * before the answer; what a device holds stays its own and is reported.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "xen-test-common.h"

#define WARNING "xen mapcache: invalidate with DMA outstanding: "

enum { SEED = 41, DISK_PAGES = 256 };

static void boot(XenTest *t, const char *more)
{
    xen_test_start_disk(t, DISK_PAGES, SEED, more);
}
#define boot(...) XEN_AT(boot(__VA_ARGS__))

static unsigned warnings(XenTest *t)
{
    g_auto(GStrv) lines = xen_test_log_lines(t, WARNING);

    return g_strv_length(lines);
}
#define warnings(...) XEN_AT(warnings(__VA_ARGS__))

/* The device whose statistics buffer is held, as a report names it. */
#define HOLDER  "virtio-balloon-device"

/* How many warnings there are for just this mapping, its age apart. */
static unsigned warnings_of(XenTest *t, uint64_t gpa, unsigned bytes,
                            const char *verb, const char *owner)
{
    g_autofree char *want =
        g_strdup_printf("^" WARNING "guest address 0x%016" PRIx64 ", %u bytes, "
                        "device %s, held by %s( \\(/machine/.*\\))? for "
                        "[0-9]+s$", gpa, bytes, verb, owner);
    g_auto(GStrv) lines = xen_test_log_lines(t, WARNING);
    unsigned n = 0;

    for (char **line = lines; *line; line++) {
        n += g_regex_match_simple(want, *line, 0, 0);
    }
    if (!n) {
        g_test_message("no line matches %s", want);
    }
    return n;
}
#define warnings_of(...) XEN_AT(warnings_of(__VA_ARGS__))

/* The answer comes after the last mapping of RAM has gone. */
static const char *complete(XenTest *t)
{
    boot(t, XEN_TEST_VGA);
    xen_test_vga(t);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 1; i < 60; i++) {
            xen_test_dma_read(t, i, i * XEN_TEST_BUCKET - 0x4000, 8);
        }
        XEN_REQUIRE(xen_test_ram_mapped(t) >= (t->stock ? 0 : 60 * 256 / 2),
                    "keeps no mappings");
        xensim_invalidate(t->dom);
        XEN_REQUIRE(xen_test_ram_mapped(t) == 0,
                    "answered with %" PRIu64 " pages mapped",
                    xen_test_ram_mapped(t));
    }
    XEN_TRY(xen_test_disk_at(t, 7 * XEN_TEST_BUCKET - 0x4000, 7, 8, SEED,
                             "read other bytes"));
    return NULL;
}

/* No DMA, no warning: not for RAM, and never for video memory. */
static const char *silent(XenTest *t)
{
    XensimMemInfo info;

    boot(t, XEN_TEST_VGA);
    xen_test_vga(t);
    xen_test_dma_read(t, 0, 0x400000, 16);
    xen_test_dma_read(t, 0, XEN_TEST_LFB + 0x3000, 16);
    g_bytes_unref(xen_test_screendump(t));
    xensim_invalidate(t->dom);
    XEN_REQUIRE(warnings(t) == 0, "warned without DMA");

    /* The video memory is the device's for good. */
    xensim_mem_info(t->dom, &info);
    XEN_REQUIRE(info.mapped_pages >= XEN_TEST_VRAM_BYTES / XEN_TEST_PAGE,
                "let go of the video memory");
    XEN_REQUIRE(xen_test_stat(t, "blocks") >= 1, "counts no device memory");
    XEN_REQUIRE(xen_test_stat(t, "invalidates") == 1,
                "counts invalidates badly");
    XEN_REQUIRE(xen_test_stat(t, "buckets") == 0, "counts buckets badly");
    xensim_mmio_write(t->dom, 0xa0000, 4, 0x31415926);
    XEN_REQUIRE(xensim_mmio_read(t->dom, XEN_TEST_LFB, 4) == 0x31415926,
                "lost the video memory");
    return NULL;
}

/* One mapping, one line, with all that there is to tell. */
static const char *reported(XenTest *t)
{
    boot(t, XEN_TEST_STATS);
    xen_test_stats_hold(t, 0x700000, 0x640ff0, 1234);
    XEN_REQUIRE(xen_test_stat(t, "dma") >= 1, "counts DMA badly");
    xensim_invalidate(t->dom);
    XEN_REQUIRE(warnings_of(t, 0x640ff0, 1234, "reads", HOLDER) == 1,
                "did not report the mapping once");

    xen_test_stats_release(t);
    XEN_REQUIRE(xen_test_settles(t, "dma", "held"), "counts DMA badly");
    g_usleep(1100 * 1000);
    xensim_invalidate(t->dom);
    XEN_REQUIRE(warnings_of(t, 0x640ff0, 1234, "reads", HOLDER) == 1,
                "reported a mapping that was released");
    return NULL;
}

/* A mapping across two buckets is one, and its age is told. */
static const char *reported_span(XenTest *t)
{
    enum { SPAN = 20000 };      /* more than is copied, with an old libxen */
    gint64 start = g_get_monotonic_time();
    g_auto(GStrv) lines = NULL;
    unsigned age, elapsed;

    boot(t, XEN_TEST_STATS);
    xen_test_stats_hold(t, 0x700000, 9 * XEN_TEST_BUCKET - 100, SPAN);
    g_usleep(2100 * 1000);
    xensim_invalidate(t->dom);
    elapsed = (g_get_monotonic_time() - start) / G_TIME_SPAN_SECOND;
    XEN_REQUIRE(warnings_of(t, 9 * XEN_TEST_BUCKET - 100, SPAN, "reads",
                            HOLDER) == 1, "did not report the mapping once");
    lines = xen_test_log_lines(t, WARNING "guest address 0x00000000008fff9c");
    age = atoi(strstr(lines[0], " for ") + 5);
    XEN_REQUIRE(age >= 2 && age <= elapsed + 1, "says %u s for a mapping that "
                "is at most %u s old", age, elapsed);
    xen_test_stats_release(t);
    return NULL;
}

/* Lists that a device holds for long are named once, not at every step. */
static const char *reported_lists(XenTest *t)
{
    boot(t, XEN_TEST_AHCI);
    xen_test_ahci_start(t, 0x600400, 0x601100);
    XEN_REQUIRE(xen_test_stat(t, "held") == 2, "counts lists badly");
    for (unsigned i = 0; i < 3; i++) {
        xensim_invalidate(t->dom);
        XEN_REQUIRE(warnings_of(t, 0x600400, 1024, "writes",
                                "ich9-ahci") == 1 &&
                    warnings_of(t, 0x601100, 256, "writes",
                                "ich9-ahci") == 1 && warnings(t) == 2,
                    "did not report each list once");
        /* Nothing is mapped but the lists' own pages. */
        XEN_REQUIRE(xen_test_ram_mapped(t) == 2,
                    "holds %" PRIu64 " pages for two lists",
                    xen_test_ram_mapped(t));
        g_usleep(1100 * 1000);
    }

    /* Others that it takes later are others. */
    xen_test_ahci_stop(t);
    xen_test_ahci_start(t, 0x640000, 0x641000);
    xensim_invalidate(t->dom);
    XEN_REQUIRE(warnings_of(t, 0x640000, 1024, "writes", "ich9-ahci") == 1 &&
                warnings_of(t, 0x641000, 256, "writes", "ich9-ahci") == 1 &&
                warnings(t) == 4, "did not report each new list once");
    xen_test_ahci_stop(t);
    g_usleep(1100 * 1000);
    xensim_invalidate(t->dom);
    XEN_REQUIRE(warnings(t) == 4, "reported what was released");
    return NULL;
}

/* Lists in video memory are held there, and that is nothing to report. */
static const char *lists_in_video(XenTest *t)
{
    uint8_t zero[256] = { 0 }, fis[256];

    boot(t, XEN_TEST_VGA XEN_TEST_AHCI);
    xen_test_vga(t);
    xensim_fill(t->dom, XEN_TEST_LFB, 0, 0x10000);
    for (unsigned i = 0; i < 3; i++) {
        xen_test_ahci_start(t, XEN_TEST_LFB, XEN_TEST_LFB + 0x5100);
        xensim_invalidate(t->dom);
        XEN_REQUIRE(warnings(t) == 0, "warned of device memory");
        XEN_REQUIRE(xen_test_stat(t, "dma") + xen_test_stat(t, "held") == 0,
                    "counts DMA badly");
        xen_test_ahci_stop(t);
    }
    /* The device's first words are in its FIS area, where it was put. */
    xensim_read(t->dom, XEN_TEST_LFB + 0x5100, fis, sizeof(fis));
    XEN_REQUIRE(memcmp(fis, zero, sizeof(fis)), "wrote no FIS");
    xensim_mmio_write(t->dom, 0xa0000, 4, 0x27182818);
    XEN_REQUIRE(xensim_mmio_read(t->dom, XEN_TEST_LFB, 4) == 0x27182818,
                "lost the video memory");
    return NULL;
}

/* A guest that balloons step by step does not flood the log. */
static const char *bounded(XenTest *t)
{
    gint64 start;
    unsigned seconds;

    boot(t, XEN_TEST_STATS);
    xen_test_stats_hold(t, 0x700000, 0x640000, 100);
    start = g_get_monotonic_time();
    for (unsigned i = 0; i < 300; i++) {
        xensim_balloon_out(t->dom, 0x2000 + i, 1);
    }
    seconds = (g_get_monotonic_time() - start) / G_TIME_SPAN_SECOND;
    /* One in the second at either end, and one in each between. */
    XEN_REQUIRE(warnings_of(t, 0x640000, 100, "reads", HOLDER) <=
                seconds + 2, "warned more than once a second");
    XEN_REQUIRE(warnings(t) >= 1, "did not warn");
    xen_test_stats_release(t);
    return NULL;
}

/*
 * A device goes on with the frames it holds: its command list is read, and
 * its answer written, in frames that the guest gave away meanwhile.  It keeps
 * no other page of their bucket mapped.
 */
static const char *held_frames(XenTest *t)
{
    enum { LIST = 0x600000, FIS = 0x601000, TABLE = 0x602000,
           DATA = 0x640000 };
    uint32_t header[4] = { 5 | 1 << 16, 0, TABLE, 0 };
    uint32_t table[36] = { 0 };
    uint64_t list_mfn, fis_mfn, beside_mfn, busy = 1;
    g_autofree char *args = NULL;
    uint8_t fis[256], zero[256] = { 0 };

    xen_test_disk(t, DISK_PAGES, SEED);
    args = g_strdup_printf(XEN_TEST_AHCI "-drive file='%s/disk',format=raw,"
                           "if=none,id=d -device ide-hd,drive=d,bus=ahci.0",
                           t->dir);
    xen_test_start(t, args);
    xensim_fill(t->dom, LIST, 0, 0x3000);
    list_mfn = xensim_gfn_to_mfn(t->dom, LIST / XEN_TEST_PAGE);
    fis_mfn = xensim_gfn_to_mfn(t->dom, FIS / XEN_TEST_PAGE);
    beside_mfn = xensim_gfn_to_mfn(t->dom, DATA / XEN_TEST_PAGE);
    xen_test_ahci_start(t, LIST, FIS);
    xensim_balloon_out(t->dom, LIST / XEN_TEST_PAGE, 2);
    xensim_balloon_in(t->dom, LIST / XEN_TEST_PAGE, 2);
    XEN_REQUIRE(xensim_mfn_mappings(t->sim, list_mfn) >= 1 &&
                xensim_mfn_mappings(t->sim, fis_mfn) >= 1,
                "took frames from the device that holds them");
    XEN_REQUIRE(xensim_mfn_mappings(t->sim, beside_mfn) == 0,
                "keeps a page mapped that the device does not hold");

    /* READ DMA EXT of sectors 16 to 23 into a page, in the old frames. */
    stl_le_p(&table[0], 0x27 | 0x80 << 8 | 0x25 << 16);
    stl_le_p(&table[1], 16 | 0x40u << 24);
    stl_le_p(&table[3], 8);
    stl_le_p(&table[32], DATA);
    stl_le_p(&table[35], XEN_TEST_PAGE - 1);
    xensim_write(t->dom, TABLE, table, sizeof(table));
    xensim_mfn_write(t->sim, list_mfn, 0, header, sizeof(header));
    xensim_mfn_write(t->sim, fis_mfn, 0, zero, sizeof(zero));
    xen_test_ok(t, guest_mmio_out(t->pc, XEN_TEST_AHCI_PORT + 0x38, 4, 1));
    for (unsigned i = 0; busy && i < 5000; i++) {
        xen_test_ok(t, guest_mmio_in(t->pc, XEN_TEST_AHCI_PORT + 0x38, 4,
                                     &busy));
        g_usleep(1000);
    }
    XEN_REQUIRE(!busy, "does not finish a command from frames it holds");
    XEN_TRY(xen_test_disk_at(t, DATA, 2, 1, SEED, "read other bytes"));
    xensim_mfn_read(t->sim, fis_mfn, 0, fis, sizeof(fis));
    XEN_REQUIRE(memcmp(fis, zero, sizeof(fis)),
                "does not answer in frames it holds");
    xensim_read(t->dom, FIS, fis, sizeof(fis));
    XEN_REQUIRE(xen_test_same(fis, zero, sizeof(fis), FIS),
                "answers in frames it does not hold");

    xen_test_ahci_stop(t);
    XEN_REQUIRE(xen_test_let_go(t, list_mfn) && xen_test_let_go(t, fis_mfn),
                "keeps frames that the device has let go");
    return NULL;
}

/* Requests without end, while the disk is at work. */
static const char *storm(XenTest *t)
{
    boot(t, XEN_TEST_VGA);
    xen_test_vga(t);
    for (unsigned i = 0; i < 60; i++) {
        uint64_t gpa = (2 + i % 50) * XEN_TEST_BUCKET - 0x8000;
        GuestSg sg = { .gpa = gpa, .len = 0x10000 };

        xen_test_ok(t, guest_ide_dma_start(&t->ide, false, i * 8, 128, &sg,
                                           1));
        for (unsigned j = 0; j < 5; j++) {
            xensim_invalidate(t->dom);
        }
        xen_test_ok(t, guest_ide_dma_wait(&t->ide));
        XEN_TRY(xen_test_disk_at(t, gpa, i, 16, SEED, "read other bytes"));
    }
    return NULL;
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("invalidate/complete", complete, NULL);
    xen_test_add("invalidate/silent", silent, NULL);
    xen_test_add("invalidate/reported", reported, NULL);
    xen_test_add("invalidate/reported-span", reported_span, NULL);
    xen_test_add("invalidate/reported-lists", reported_lists, NULL);
    xen_test_add("invalidate/lists-in-video", lists_in_video,
                 "ended by SIGSEGV");
    xen_test_add("invalidate/bounded", bounded, NULL);
    xen_test_add("invalidate/held-frames", held_frames, NULL);
    xen_test_add("invalidate/storm", storm, NULL);
    return g_test_run();
}
