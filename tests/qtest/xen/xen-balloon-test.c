/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest gives pages away and takes pages back, into other machine frames:
 * what the device model reads and writes is always the page that is there
 * now.
 */
#include "qemu/osdep.h"
#include "xen-test-common.h"

enum { SEED = 21, DISK_PAGES = 256 };

static void boot(XenTest *t, const char *more)
{
    xen_test_start_disk(t, DISK_PAGES, SEED, more);
}
#define boot(...) XEN_AT(boot(__VA_ARGS__))

/*
 * Gives the page @gfn away and takes one back, with new bytes.  The device
 * model reads them, and writes where the guest sees it.
 */
static const char *swap(XenTest *t, uint64_t gfn, unsigned seed)
{
    uint64_t gpa = gfn * XEN_TEST_PAGE, old = xensim_gfn_to_mfn(t->dom, gfn);
    uint8_t page[XEN_TEST_PAGE];
    GuestSg sg = { .gpa = gpa, .len = XEN_TEST_PAGE };

    xensim_stamp(t->dom, gfn, 1, seed);
    qtest_memread(t->qts, gpa, page, sizeof(page));
    XEN_REQUIRE(xensim_stamp_page_ok(page, gfn, seed), "read other bytes");

    /* The old frame is held, so that the new one is another. */
    XEN_REQUIRE(xensim_balloon_out(t->dom, gfn, 1) == 1, "kept the page");
    XEN_REQUIRE(xensim_balloon_in(t->dom, gfn, 1) == 1, "got no page");
    if (xensim_gfn_to_mfn(t->dom, gfn) == old) {
        XEN_REQUIRE(xensim_mfn_mappings(t->sim, old) == 0,
                    "kept the frame mapped");
    }
    xensim_stamp(t->dom, gfn, 1, seed + 1);

    qtest_memread(t->qts, gpa, page, sizeof(page));
    XEN_REQUIRE(xensim_stamp_page_ok(page, gfn, seed + 1),
                "served a stale page");
    xen_test_ok(t, guest_ide_dma(&t->ide, true, 0, 8, &sg, 1));
    xen_test_dma_read(t, 0, 0x3800000, 1);
    xensim_read(t->dom, 0x3800000, page, sizeof(page));
    XEN_REQUIRE(xensim_stamp_page_ok(page, gfn, seed + 1),
                "served a stale page to DMA");
    xen_test_dma_read(t, 9, gpa, 1);
    XEN_TRY(xen_test_disk_at(t, gpa, 9, 1, SEED,
                             "wrote to a stale page by DMA"));
    xensim_stamp_page(page, gfn, seed + 2);
    qtest_memwrite(t->qts, gpa, page, sizeof(page));
    XEN_REQUIRE(xensim_stamp_check(t->dom, gfn, 1, seed + 2) == XENSIM_NO_GFN,
                "wrote to a stale page");
    return NULL;
}
#define swap(...) XEN_AT(swap(__VA_ARGS__))

static const char *plain(XenTest *t)
{
    boot(t, "");
    for (unsigned i = 0; i < 5; i++) {
        XEN_TRY(swap(t, 0x345, i * 10));
    }
    /* The page that a string instruction uses. */
    xensim_rep_outs(t->dom, 0x3c9, 0x345000, 1, 3, false);
    return swap(t, 0x345, 100);
}

/* Any page of a bucket, with neighbours that were used before. */
static const char *pages(XenTest *t)
{
    static const unsigned gfn[] = {
        0x200, 0x2ff, 0x300, 0x3ff, 0x2a7, 0x80, 0xc0, 0x3fff,
    };

    boot(t, "");
    for (unsigned i = 0; i < G_N_ELEMENTS(gfn); i++) {
        uint64_t bucket = gfn[i] * XEN_TEST_PAGE & -XEN_TEST_BUCKET;

        xen_test_dma_read(t, 1, bucket + 0x30000, 8);
        XEN_TRY(swap(t, gfn[i], i * 10));
    }
    return NULL;
}

/* A page of a bucket in which another page is locked. */
static const char *neighbour(XenTest *t)
{
    boot(t, XEN_TEST_AHCI);
    xensim_fill(t->dom, 0x600000, 0, 0x2000);
    xen_test_ahci_start(t, 0x600000, 0x601000);
    XEN_TRY(swap(t, 0x680, 0));
    XEN_TRY(swap(t, 0x602, 10));
    XEN_TRY(swap(t, 0x680, 20));
    xen_test_ahci_stop(t);
    return swap(t, 0x680, 30);
}

/* The same beside a mapping that a device took for one transfer only. */
static const char *neighbour_transfer(XenTest *t)
{
    boot(t, XEN_TEST_STATS);
    xen_test_stats_hold(t, 0x700000, 0x640000, 100);
    XEN_TRY(swap(t, 0x641, 0));
    XEN_TRY(swap(t, 0x63f, 10));
    xen_test_stats_release(t);
    return swap(t, 0x641, 20);
}

/* After a transfer that spanned two buckets. */
static const char *spanned(XenTest *t)
{
    boot(t, "");
    for (unsigned i = 0; i < 3; i++) {
        xen_test_dma_read(t, 0, 4 * XEN_TEST_BUCKET - 0x8000, 16);
        XEN_TRY(swap(t, 0x3ff, i * 10));
        xen_test_dma_read(t, 0, 4 * XEN_TEST_BUCKET - 0x8000, 16);
        XEN_TRY(swap(t, 0x400, i * 10 + 5));
    }
    return NULL;
}

/* The same bytes of the same span, which a cache might find again. */
static const char *spanned_again(XenTest *t)
{
    uint64_t gpa = 4 * XEN_TEST_BUCKET - 0x8000;
    GuestSg sg = { .gpa = gpa, .len = 0x10000 };

    boot(t, "");
    xen_test_dma_read(t, 0, gpa, 16);
    for (unsigned i = 1; i < 4; i++) {
        uint64_t gfn = gpa / XEN_TEST_PAGE;

        xensim_balloon_out(t->dom, gfn, 16);
        xensim_balloon_in(t->dom, gfn, 16);
        xen_test_dma_read(t, i, gpa, 16);
        XEN_TRY(xen_test_disk_at(t, gpa, i, 16, SEED,
                                 "wrote to a stale page by DMA"));
        xen_test_ok(t, guest_ide_dma(&t->ide, true, 100 * 8, 128, &sg, 1));
        xen_test_dma_read(t, 100, 0x2000000, 16);
        XEN_TRY(xen_test_disk_at(t, 0x2000000, i, 16, SEED,
                                 "served a stale page to DMA"));
    }
    return NULL;
}

/* While a lock spans two buckets. */
static const char *spanning_lock(XenTest *t)
{
    boot(t, XEN_TEST_STATS);
    xen_test_stats_hold(t, 0x900000, 8 * XEN_TEST_BUCKET - 0x800, 0x1000);
    XEN_TRY(swap(t, 0x7fe, 0));
    XEN_TRY(swap(t, 0x801, 10));
    /* The very pages: the device keeps its own, everybody else moves on. */
    XEN_TRY(swap(t, 0x7ff, 20));
    XEN_TRY(swap(t, 0x800, 30));
    xen_test_stats_release(t);
    XEN_TRY(swap(t, 0x7ff, 40));
    return swap(t, 0x800, 50);
}

/* After it, when pages were used while it lasted. */
static const char *after_spanning_lock(XenTest *t)
{
    boot(t, XEN_TEST_STATS);
    for (unsigned i = 0; i < 3; i++) {
        xen_test_stats_hold(t, 0x900000, 8 * XEN_TEST_BUCKET - 0x800, 0x1000);
        /* In this order: the last mapping used is served first. */
        qtest_readb(t->qts, 0x801000);
        qtest_readb(t->qts, 0x7fe000);
        xen_test_stats_release(t);
        XEN_TRY(swap(t, 0x7fe, i * 20));
        XEN_TRY(swap(t, 0x801, i * 20 + 10));
    }
    return NULL;
}

/* What a device holds stays its own, and is let go with the lock. */
static const char *holder(XenTest *t)
{
    uint64_t old;

    boot(t, XEN_TEST_STATS);
    old = xensim_gfn_to_mfn(t->dom, 0x640);
    xen_test_stats_hold(t, 0x700000, 0x640000, 100);
    xensim_balloon_out(t->dom, 0x640, 1);
    XEN_REQUIRE(xensim_mfn_mappings(t->sim, old) == 1,
                "took a frame from the device that holds it");
    xensim_balloon_in(t->dom, 0x640, 1);
    XEN_REQUIRE(xensim_gfn_to_mfn(t->dom, 0x640) != old, "got it back");
    XEN_TRY(swap(t, 0x640, 0));
    xen_test_stats_release(t);
    XEN_REQUIRE(xen_test_let_go(t, old), "kept a frame that nobody holds");
    return NULL;
}

/* The second page of a bucket mapped anew while the first is locked. */
static const char *filled_while_locked(XenTest *t)
{
    boot(t, XEN_TEST_AHCI);
    xensim_balloon_out(t->dom, 0x640, 16);
    xen_test_ahci_start(t, 0x600000, 0x601000);
    xensim_populate(t->dom, 0x640, 16);
    for (unsigned i = 0; i < 5; i++) {
        xen_test_dma_read(t, 3 + i, 0x640000, 16);
        XEN_TRY(xen_test_disk_at(t, 0x640000, 3 + i, 16, SEED,
                                 "read other bytes"));
    }
    xen_test_ahci_stop(t);
    xen_test_ahci_start(t, 0x600000, 0x601000);
    XEN_TRY(swap(t, 0x641, 0));
    xen_test_ahci_stop(t);
    xensim_invalidate(t->dom);
    XEN_REQUIRE(xen_test_ram_mapped(t) == 0, "kept what nobody holds mapped");
    return NULL;
}

/* A guest at its limit gives memory away and can have as much back. */
static const char *limit(XenTest *t, const char *more)
{
    boot(t, more);
    if (*more) {
        xen_test_ahci_start(t, 0x600000, 0x601000);
    }
    xensim_set_max_pages(t->dom, xen_test_pages(t));
    for (unsigned i = 0; i < 4; i++) {
        uint64_t got;

        /* All of it is mapped, and more of the lists' bucket, too. */
        xen_test_dma_read(t, 0, 0x670000, 64);
        xen_test_dma_read(t, 0, 0x700000, 128);
        XEN_REQUIRE(xensim_balloon_out(t->dom, 0x680, 0x180) == 0x180,
                    "kept pages");
        got = xensim_balloon_in(t->dom, 0x680, 0x180);
        XEN_REQUIRE(got == 0x180, "let the guest have back %" PRIu64
                    " pages of 384", got);
        xen_test_dma_read(t, i, 0x680000, 192);
        XEN_TRY(xen_test_disk_at(t, 0x680000, i, 192, SEED,
                                 "read other bytes"));
    }
    if (*more) {
        xen_test_ahci_stop(t);
    }
    return NULL;
}
#define limit(...) XEN_AT(limit(__VA_ARGS__))

static const char *limit_plain(XenTest *t)
{
    return limit(t, "");
}

/* The same while a device holds lists in one of the buckets. */
static const char *limit_lists(XenTest *t)
{
    return limit(t, XEN_TEST_AHCI);
}

/* Rounds of everything, against a model of what is where. */
static const char *rounds(XenTest *t)
{
    enum { FIRST = 0x1000, PAGES = 0x800 };
    g_autofree unsigned *seed = g_new0(unsigned, PAGES);
    uint8_t page[XEN_TEST_PAGE];

    boot(t, XEN_TEST_STATS);
    for (unsigned i = 0; i < PAGES; i++) {
        xensim_stamp(t->dom, FIRST + i, 1, 0);
    }
    for (unsigned i = 1; i < 600; i++) {
        unsigned n = g_test_rand_int_range(0, PAGES - 16);
        uint64_t gfn = FIRST + n;

        switch (g_test_rand_int_range(0, 4)) {
        case 0:
            xensim_balloon_out(t->dom, gfn, 16);
            xensim_balloon_in(t->dom, gfn, 16);
            for (unsigned j = 0; j < 16; j++) {
                xensim_stamp(t->dom, gfn + j, 1, seed[n + j] = i);
            }
            break;
        case 1:
            xensim_stamp_page(page, gfn, seed[n] = i);
            qtest_memwrite(t->qts, gfn * XEN_TEST_PAGE, page, sizeof(page));
            break;
        case 2:
            if (i % 8 == 0) {
                xen_test_stats_hold(t, 0x700000, gfn * XEN_TEST_PAGE, 5000);
            }
            break;
        default:
            break;
        }
        n = g_test_rand_int_range(0, PAGES);
        qtest_memread(t->qts, (FIRST + n) * XEN_TEST_PAGE, page,
                      sizeof(page));
        XEN_REQUIRE(xensim_stamp_page_ok(page, FIRST + n, seed[n]),
                    "served a stale page in round %u", i);
        XEN_REQUIRE(xensim_stamp_check(t->dom, FIRST + n, 1, seed[n]) ==
                    XENSIM_NO_GFN, "wrote to a stale page in round %u", i);
    }
    xen_test_stats_release(t);
    return NULL;
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("balloon/plain", plain, NULL);
    xen_test_add("balloon/pages", pages, NULL);
    xen_test_add("balloon/neighbour-of-held", neighbour,
                 "served a stale page*");
    xen_test_add("balloon/neighbour-of-transfer", neighbour_transfer,
                 "served a stale page*");
    xen_test_add("balloon/spanned", spanned, NULL);
    xen_test_add("balloon/spanned-again", spanned_again, NULL);
    xen_test_add("balloon/spanning-lock", spanning_lock,
                 "served a stale page*");
    xen_test_add("balloon/after-spanning-lock", after_spanning_lock,
                 "served a stale page*");
    xen_test_add("balloon/holder", holder, "read other bytes");
    xen_test_add("balloon/filled-while-locked", filled_while_locked,
                 "served a stale page*|ended by SIGABRT");
    xen_test_add("balloon/limit", limit_plain, NULL);
    xen_test_add("balloon/limit-with-lists", limit_lists,
                 "let the guest have back * pages of 384");
    xen_test_add("balloon/rounds", rounds, NULL);
    return g_test_run();
}
