/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages that the guest has given away: to the device model they are
 * unassigned memory.  Reads give 0, writes are dropped, the next access is
 * as good as ever.
 */
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "xen-test-common.h"

enum { SEED = 31, DISK_PAGES = 256, HOLE = 0x523, DAC_READ = 0x3c7,
       DAC_WRITE = 0x3c8, DAC_DATA = 0x3c9 };
#define HOLE_GPA ((uint64_t)HOLE * XEN_TEST_PAGE)

static void boot(XenTest *t, const char *more)
{
    xen_test_start_disk(t, DISK_PAGES, SEED, more);
    xensim_stamp(t->dom, 0x500, 0x100, SEED);
}
#define boot(...) XEN_AT(boot(__VA_ARGS__))

/* The neighbours are served as before, by every kind of access. */
static const char *neighbours(XenTest *t)
{
    uint8_t page[XEN_TEST_PAGE];

    for (uint64_t gfn = HOLE - 1; gfn <= HOLE + 1; gfn += 2) {
        qtest_memread(t->qts, gfn * XEN_TEST_PAGE, page, sizeof(page));
        XEN_REQUIRE(xensim_stamp_page_ok(page, gfn, SEED),
                    "read other bytes beside the hole");
    }
    xen_test_dma_read(t, 50, HOLE_GPA + 0x10000, 16);
    XEN_TRY(xen_test_disk_at(t, HOLE_GPA + 0x10000, 50, 16, SEED,
                             "read other bytes by DMA"));
    return NULL;
}
#define neighbours(...) XEN_AT(neighbours(__VA_ARGS__))

/* QEMU's own accesses, sized and in bulk, within and across the hole. */
static const char *accesses(XenTest *t)
{
    g_autofree char *look = g_strdup_printf("xp /4xb 0x%" PRIx64, HOLE_GPA);
    uint8_t bytes[3 * XEN_TEST_PAGE], page[XEN_TEST_PAGE];

    boot(t, "");
    for (unsigned warm = 0; warm < 2; warm++) {
        if (warm) {
            xensim_populate(t->dom, HOLE, 1);
            qtest_memset(t->qts, HOLE_GPA, 0xcc, XEN_TEST_PAGE);
        }
        xensim_balloon_out(t->dom, HOLE, 1);

        XEN_REQUIRE(qtest_readb(t->qts, HOLE_GPA) == 0 &&
                    qtest_readw(t->qts, HOLE_GPA + 2) == 0 &&
                    qtest_readl(t->qts, HOLE_GPA + 4) == 0 &&
                    qtest_readq(t->qts, HOLE_GPA + 8) == 0,
                    "reads a hole as something");
        qtest_writeb(t->qts, HOLE_GPA, 1);
        qtest_writew(t->qts, HOLE_GPA + 2, 1);
        qtest_writel(t->qts, HOLE_GPA + 4, 1);
        qtest_writeq(t->qts, HOLE_GPA + 8, 1);
        XEN_TRY(neighbours(t));

        /* The zeros are the result of a failure, as for unassigned memory. */
        XEN_REQUIRE(strstr(xen_test_hmp(t, look), "Cannot access memory"),
                    "reads a hole as memory");

        memset(bytes, 0xee, sizeof(bytes));
        qtest_memread(t->qts, HOLE_GPA - XEN_TEST_PAGE, bytes, sizeof(bytes));
        XEN_REQUIRE(xensim_stamp_page_ok(bytes, HOLE - 1, SEED) &&
                    xensim_stamp_page_ok(bytes + 2 * XEN_TEST_PAGE, HOLE + 1,
                                         SEED), "loses bytes around a hole");
        XEN_REQUIRE(buffer_is_zero(bytes + XEN_TEST_PAGE, XEN_TEST_PAGE),
                    "reads a hole as something");

        for (unsigned i = 0; i < 3; i++) {
            xensim_stamp_page(bytes + i * XEN_TEST_PAGE, HOLE - 1 + i, 77);
        }
        qtest_memwrite(t->qts, HOLE_GPA - XEN_TEST_PAGE, bytes,
                       sizeof(bytes));
        XEN_REQUIRE(xensim_stamp_check(t->dom, HOLE - 1, 1, 77) ==
                    XENSIM_NO_GFN &&
                    xensim_stamp_check(t->dom, HOLE + 1, 1, 77) ==
                    XENSIM_NO_GFN, "loses writes around a hole");
        XEN_REQUIRE(xensim_gfn_to_mfn(t->dom, HOLE) == XENSIM_NO_MFN,
                    "filled the hole");
        for (unsigned i = 0; i < 3; i += 2) {
            xensim_stamp_page(page, HOLE - 1 + i, SEED);
            xensim_write(t->dom, HOLE_GPA + i * XEN_TEST_PAGE - XEN_TEST_PAGE,
                         page, sizeof(page));
        }
    }
    return NULL;
}

/* String instructions whose data pointer is in a hole. */
static const char *string_io(XenTest *t)
{
    uint8_t bytes[768];

    boot(t, XEN_TEST_VGA);
    xensim_balloon_out(t->dom, HOLE, 1);

    /* The palette from 300 bytes of RAM and 468 of a hole. */
    xensim_fill(t->dom, HOLE_GPA - 300, 0x2a, 300);
    xensim_outb(t->dom, DAC_WRITE, 0);
    xensim_rep_outs(t->dom, DAC_DATA, HOLE_GPA - 300, 1, 768, false);
    xensim_outb(t->dom, DAC_READ, 0);
    xensim_rep_ins(t->dom, DAC_DATA, 0x30000, 1, 768, false);
    xensim_read(t->dom, 0x30000, bytes, 768);
    for (unsigned i = 0; i < 768; i++) {
        XEN_REQUIRE(bytes[i] == (i < 300 ? 0x2a : 0),
                    "reads a hole as something");
    }

    /* And back: what falls into the hole is gone, the rest is there. */
    xensim_fill(t->dom, 0x30000, 0x15, 768);
    xensim_outb(t->dom, DAC_WRITE, 0);
    xensim_rep_outs(t->dom, DAC_DATA, 0x30000, 1, 768, false);
    xensim_outb(t->dom, DAC_READ, 0);
    xensim_rep_ins(t->dom, DAC_DATA, HOLE_GPA + 0x1000 - 500, 1, 768, false);
    xensim_read(t->dom, HOLE_GPA + 0x1000, bytes, 268);
    for (unsigned i = 0; i < 268; i++) {
        XEN_REQUIRE(bytes[i] == 0x15, "loses bytes after a hole");
    }

    /* The disk's data port, straight into it. */
    xen_test_ok(t, guest_ide_pio_string(&t->ide, false, 0, 8, HOLE_GPA));
    xen_test_ok(t, guest_ide_pio_string(&t->ide, false, 0, 8, 0x40000));
    XEN_TRY(xen_test_disk_at(t, 0x40000, 0, 1, SEED, "reads other sectors"));

    /* Video memory to a hole and from it. */
    xen_test_vga(t);
    xensim_mmio_copy(t->dom, 0xa0000, HOLE_GPA + 64, 4, 16, true, false);
    xensim_mmio_write(t->dom, 0xa0040, 4, 0x12345678);
    xensim_mmio_copy(t->dom, 0xa0000, HOLE_GPA + 64, 4, 17, false, false);
    XEN_REQUIRE(xensim_mmio_read(t->dom, 0xa0040, 4) == 0,
                "copies a hole as something");
    return NULL;
}

/* A disk read into RAM with a hole at its @at-th page of 16. */
static const char *dma(XenTest *t, unsigned at, bool warm)
{
    uint64_t gpa = HOLE_GPA - at * XEN_TEST_PAGE;

    if (warm) {
        xen_test_dma_read(t, 0, gpa, 16);
    }
    xensim_balloon_out(t->dom, HOLE, 1);
    xen_test_dma_read(t, 20, gpa, 16);
    XEN_TRY(xen_test_disk_at(t, gpa, 20, at, SEED,
                             "loses bytes before a hole"));
    XEN_TRY(xen_test_disk_at(t, HOLE_GPA + XEN_TEST_PAGE, 20 + at + 1,
                             15 - at, SEED, "loses bytes after a hole"));
    XEN_REQUIRE(xensim_gfn_to_mfn(t->dom, HOLE) == XENSIM_NO_MFN,
                "filled the hole");

    /* A page is there again, and is used at once: no request comes. */
    XEN_REQUIRE(xensim_populate(t->dom, HOLE, 1) == 1, "got no page");
    xen_test_dma_read(t, 40, gpa, 16);
    return xen_test_disk_at(t, gpa, 40, 16, SEED,
                            "does not see that a hole was filled");
}

static const char *dma_read(XenTest *t)
{
    boot(t, "");
    for (unsigned i = 0; i < 32; i++) {
        XEN_TRY(dma(t, i / 2, i % 2));
    }
    return NULL;
}

static const char *dma_write(XenTest *t)
{
    GuestSg sg = { .gpa = HOLE_GPA - 2 * XEN_TEST_PAGE, .len = 0x4000 };
    uint8_t bytes[4 * XEN_TEST_PAGE];

    boot(t, "");
    xensim_balloon_out(t->dom, HOLE, 1);
    /* What a device writes to a hole must not be what another reads there. */
    xen_test_dma_read(t, 30, HOLE_GPA, 1);
    xen_test_ok(t, guest_ide_dma(&t->ide, true, 160, 32, &sg, 1));
    xen_test_dma_read(t, 20, 0x800000, 4);
    xensim_read(t->dom, 0x800000, bytes, sizeof(bytes));
    XEN_REQUIRE(xensim_stamp_page_ok(bytes, HOLE - 2, SEED) &&
                xensim_stamp_page_ok(bytes + 0x1000, HOLE - 1, SEED) &&
                xensim_stamp_page_ok(bytes + 0x3000, HOLE + 1, SEED),
                "loses bytes around a hole");
    XEN_REQUIRE(buffer_is_zero(bytes + 0x2000, XEN_TEST_PAGE),
                "reads a hole as something");
    return NULL;
}

/* Nothing but hole: a whole bucket, two of them, the transfer's table. */
static const char *dma_all_hole(XenTest *t)
{
    GuestSg sg = { .gpa = 0xa00000 - 0x8000, .len = 0x10000 };

    boot(t, "");
    xensim_balloon_out(t->dom, 0x900, 0x200);
    xen_test_dma_read(t, 0, 0x980000, 16);
    xen_test_dma_read(t, 0, 0xa00000 - 0x8000, 16);
    xen_test_ok(t, guest_ide_dma(&t->ide, true, 1024, 128, &sg, 1));
    xen_test_dma_read(t, 60, 0x800000, 16);
    XEN_TRY(xen_test_disk_at(t, 0x800000, 60, 16, SEED, "read other bytes"));

    /* Bytes at the end of RAM before a bucket that is all hole. */
    xen_test_dma_read(t, 1, 0x900000 - 0x8000, 16);
    XEN_TRY(xen_test_disk_at(t, 0x900000 - 0x8000, 1, 8, SEED,
                             "loses bytes before a hole"));

    /* A table of zeros is one of 64 KiB at address 0 without an end. */
    xensim_balloon_out(t->dom, XEN_TEST_PRD / XEN_TEST_PAGE, 1);
    guest_ide_dma_start_raw(&t->ide, false, 0, 8);
    guest_ide_dma_wait(&t->ide);
    xen_test_alive(t);
    xensim_populate(t->dom, XEN_TEST_PRD / XEN_TEST_PAGE, 1);
    xen_test_ide(t);
    xen_test_dma_read(t, 61, 0x800000, 16);
    return xen_test_disk_at(t, 0x800000, 61, 16, SEED, "read other bytes");
}

/* A device's lists in a hole, which it may hold or not, and then in RAM. */
static const char *lists(XenTest *t)
{
    uint64_t cmd;

    boot(t, XEN_TEST_AHCI);
    xensim_balloon_out(t->dom, HOLE, 1);
    xen_test_ahci_start(t, HOLE_GPA, HOLE_GPA + 0x2000);
    xen_test_ahci_start(t, HOLE_GPA - 0x2000, HOLE_GPA);
    xensim_invalidate(t->dom);
    xen_test_ahci_stop(t);
    XEN_TRY(neighbours(t));

    xensim_populate(t->dom, HOLE, 1);
    xen_test_ahci_start(t, HOLE_GPA, HOLE_GPA + 0x2000);
    xen_test_ok(t, guest_mmio_in(t->pc, XEN_TEST_AHCI_PORT + 0x18, 4, &cmd));
    XEN_REQUIRE(cmd & 1u << 15, "does not run its list");
    XEN_REQUIRE(xensim_gfn_mappings(t->dom, HOLE) >= 1,
                "does not hold its list");
    xen_test_ahci_stop(t);
    return NULL;
}

/* A ring and a buffer in a hole. */
static const char *rings(XenTest *t)
{
    boot(t, XEN_TEST_STATS);
    xensim_balloon_out(t->dom, HOLE, 1);
    xen_test_stats_hold(t, 0x700000, HOLE_GPA, 64);
    xen_test_alive(t);
    xen_test_stats_release(t);
    xen_test_stats_hold(t, HOLE_GPA - 0x1000, 0x740000, 64);
    xen_test_alive(t);
    xen_test_stats_release(t);
    /* The ring took a page. */
    xensim_stamp(t->dom, HOLE - 1, 1, SEED);
    return neighbours(t);
}

/* An access to a hole asks Xen for that page and no more. */
static const char *cost(XenTest *t)
{
    uint64_t calls, pages, holes;

    boot(t, "");
    xensim_balloon_out(t->dom, HOLE, 1);
    qtest_readb(t->qts, HOLE_GPA - 1);
    qtest_readb(t->qts, HOLE_GPA);
    calls = xen_test_map_calls(t);
    pages = xen_test_map_pages(t);
    holes = xen_test_stat(t, "holes");
    for (unsigned i = 0; i < 100; i++) {
        qtest_readb(t->qts, HOLE_GPA + i);
    }
    calls = xen_test_map_calls(t) - calls;
    pages = xen_test_map_pages(t) - pages;
    XEN_REQUIRE(calls <= 100 && pages <= 100, "asked for %" PRIu64 " pages in "
                "%" PRIu64 " calls to read a hole 100 times", pages, calls);
    XEN_REQUIRE(xen_test_stat(t, "holes") >= holes + 100,
                "does not count holes");
    return neighbours(t);
}

/* A hole that is filled is seen at the next access, without a request. */
static const char *filled(XenTest *t)
{
    uint8_t page[XEN_TEST_PAGE];

    boot(t, "");
    for (unsigned i = 0; i < 10; i++) {
        xensim_balloon_out(t->dom, HOLE, 1);
        XEN_REQUIRE(qtest_readq(t->qts, HOLE_GPA) == 0,
                    "reads a hole as something");
        xensim_populate(t->dom, HOLE, 1);
        xensim_stamp(t->dom, HOLE, 1, 40 + i);
        qtest_memread(t->qts, HOLE_GPA, page, sizeof(page));
        XEN_REQUIRE(xensim_stamp_page_ok(page, HOLE, 40 + i),
                    "does not see that a hole was filled");
        XEN_TRY(neighbours(t));
    }
    return NULL;
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("hole/accesses", accesses, "ended by SIGSEGV");
    xen_test_add("hole/string-io", string_io, "ended by SIGSEGV");
    xen_test_add("hole/dma-read", dma_read, "did not answer: disk DMA*");
    xen_test_add("hole/dma-write", dma_write, "did not answer: disk DMA*");
    xen_test_add("hole/dma-all-hole", dma_all_hole,
                 "did not answer: disk DMA*");
    xen_test_add("hole/lists", lists, NULL);
    xen_test_add("hole/rings", rings, NULL);
    xen_test_add("hole/cost", cost, "ended by SIGSEGV");
    xen_test_add("hole/filled", filled, "ended by SIGSEGV");
    return g_test_run();
}
