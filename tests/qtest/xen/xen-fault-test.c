/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Map calls that fail, as a whole or for a page.  The transfer they belong
 * to suffers, as it would from unassigned memory; the device model and
 * whatever comes later do not.
 */
#include "qemu/osdep.h"
#include "xen-test-common.h"

enum { SEED = 51, DISK_PAGES = 256, DAC_READ = 0x3c7, DAC_WRITE = 0x3c8,
       DAC_DATA = 0x3c9 };
#define MAP xen_test_call("xenforeignmemory_map2")

static void boot(XenTest *t)
{
    xen_test_start_disk(t, DISK_PAGES, SEED, XEN_TEST_VGA);
}
#define boot(...) XEN_AT(boot(__VA_ARGS__))

static int arm(XenTest *t, uint64_t first, uint64_t count, int error)
{
    XensimFault fault = { .call = MAP, .first = first, .count = count,
                          .error = error };
    int id = xensim_fault_arm(t->sim, &fault);

    g_assert_cmpint(id, >=, 0);
    return id;
}
#define arm(...) XEN_AT(arm(__VA_ARGS__))

/* All that a guest may ask for, after the fault has gone. */
static const char *full_service(XenTest *t)
{
    uint64_t gpa = 30 * XEN_TEST_BUCKET - 0x8000;
    uint8_t bytes[48];

    xen_test_dma_read(t, 77, gpa, 16);
    XEN_TRY(xen_test_disk_at(t, gpa, 77, 16, SEED,
                             "read other bytes after a failure"));
    xensim_fill(t->dom, gpa, 0x3b, sizeof(bytes));
    XEN_REQUIRE(qtest_readl(t->qts, gpa) == 0x3b3b3b3b,
                "reads other bytes after a failure");
    xensim_outb(t->dom, DAC_WRITE, 0);
    xensim_rep_outs(t->dom, DAC_DATA, gpa, 1, sizeof(bytes), false);
    xensim_outb(t->dom, DAC_READ, 0);
    xensim_rep_ins(t->dom, DAC_DATA, gpa + 0x9000, 1, sizeof(bytes), false);
    xensim_read(t->dom, gpa + 0x9000, bytes, sizeof(bytes));
    for (unsigned i = 0; i < sizeof(bytes); i++) {
        XEN_REQUIRE(bytes[i] == 0x3b, "moves other bytes after a failure");
    }
    return NULL;
}
#define full_service(...) XEN_AT(full_service(__VA_ARGS__))

/* Every map call fails: accesses are those of unassigned memory. */
static const char *accesses(XenTest *t)
{
    uint8_t bytes[48];

    boot(t);
    xensim_fill(t->dom, 0x500000, 0x3c, 0x1000);
    arm(t, 1, 0, ENOMEM);
    XEN_REQUIRE(qtest_readl(t->qts, 0x500000) == 0,
                "reads what it could not map");
    qtest_writel(t->qts, 0x500000, 0x11111111);
    xensim_outb(t->dom, DAC_WRITE, 0);
    xensim_rep_outs(t->dom, DAC_DATA, 0x500100, 1, sizeof(bytes), false);
    xensim_outb(t->dom, DAC_READ, 0);
    xensim_rep_ins(t->dom, DAC_DATA, 0x500200, 1, sizeof(bytes), false);
    xen_test_alive(t);
    xensim_fault_disarm_all(t->sim);

    /* The palette has got zeros, the memory has got nothing. */
    xensim_outb(t->dom, DAC_READ, 0);
    xensim_rep_ins(t->dom, DAC_DATA, 0x600000, 1, sizeof(bytes), false);
    xensim_read(t->dom, 0x600000, bytes, sizeof(bytes));
    for (unsigned i = 0; i < sizeof(bytes); i++) {
        XEN_REQUIRE(bytes[i] == 0, "reads what it could not map");
    }
    xensim_read(t->dom, 0x500200, bytes, sizeof(bytes));
    for (unsigned i = 0; i < sizeof(bytes); i++) {
        XEN_REQUIRE(bytes[i] == 0x3c, "wrote what it could not map");
    }
    XEN_REQUIRE(qtest_readl(t->qts, 0x500000) == 0x3c3c3c3c,
                "reads other bytes after a failure");
    return full_service(t);
}

/* One call of a transfer fails: the first, the second, ... until none. */
static const char *sweep(XenTest *t, bool write)
{
    unsigned n;

    boot(t);
    for (n = 1; n < 50; n++) {
        uint64_t failures = xensim_count(t->sim, MAP).failures;
        GuestSg sg[4];
        int id, err;

        for (unsigned i = 0; i < 4; i++) {
            sg[i].gpa = (5 + i * 2) * XEN_TEST_BUCKET - 0x4000;
            sg[i].len = 0x8000;
        }
        xensim_invalidate(t->dom);
        id = arm(t, n, 1, n % 2 ? ENOMEM : EFAULT);
        err = guest_ide_dma(&t->ide, write, 0, 256, sg, 4);
        /* The disk may call it an error, but must come to an end. */
        xen_test_ok(t, err == -EIO ? 0 : err);
        xensim_fault_disarm(t->sim, id);
        if (xensim_count(t->sim, MAP).failures == failures) {
            break;
        }
        if (err) {
            xen_test_ide(t);
        }
        if (!write) {
            /* Whole pages are there or are not, and never elsewhere. */
            XEN_TRY(full_service(t));
        }
    }
    XEN_REQUIRE(n > 1 && n < 50, "made no map call, or no end of them");
    return full_service(t);
}
#define sweep(...) XEN_AT(sweep(__VA_ARGS__))

static const char *sweep_read(XenTest *t)
{
    return sweep(t, false);
}

static const char *sweep_write(XenTest *t)
{
    return sweep(t, true);
}

/* A failure that lasts for a whole transfer, and then is over. */
static const char *lasting(XenTest *t)
{
    GuestSg sg = { .gpa = 0x800000 - 0x8000, .len = 0x10000 };

    boot(t);
    for (unsigned i = 0; i < 10; i++) {
        int err;

        xensim_invalidate(t->dom);
        arm(t, i < 5 ? 1 : i - 3, 0, ENOMEM);
        err = guest_ide_dma(&t->ide, i % 2, 0, 128, &sg, 1);
        xen_test_ok(t, err == -EIO ? 0 : err);
        xensim_fault_disarm_all(t->sim);
        xen_test_ide(t);
        XEN_TRY(full_service(t));
    }
    XEN_REQUIRE(xen_test_stat(t, "map-failures") > 0,
                "does not count failures");
    return NULL;
}

/* One page of a call cannot be mapped, for reasons of Xen's own. */
static const char *one_page(XenTest *t)
{
    XensimFault fault = { .call = MAP, .gfn = 0x523, .pages = 1,
                          .error = EINVAL, .per_page = true };

    boot(t);
    xensim_stamp(t->dom, 0x500, 0x100, 9);
    g_assert_cmpint(xensim_fault_arm(t->sim, &fault), >=, 0);
    for (unsigned i = 0; i < 3; i++) {
        uint8_t page[XEN_TEST_PAGE];

        XEN_REQUIRE(qtest_readq(t->qts, 0x523008) == 0,
                    "reads what it could not map");
        qtest_memread(t->qts, 0x524000, page, sizeof(page));
        XEN_REQUIRE(xensim_stamp_page_ok(page, 0x524, 9),
                    "reads other bytes beside a failure");
        xen_test_dma_read(t, 10, 0x520000, 8);
        XEN_TRY(xen_test_disk_at(t, 0x520000, 10, 3, SEED,
                                 "read other bytes before a failure"));
        XEN_TRY(xen_test_disk_at(t, 0x524000, 14, 4, SEED,
                                 "read other bytes after a failure"));
        XEN_REQUIRE(xensim_stamp_check(t->dom, 0x523, 1, 9) == XENSIM_NO_GFN,
                    "wrote what it could not map");
        xensim_stamp(t->dom, 0x524, 1, 9);
        xensim_invalidate(t->dom);
    }
    xensim_fault_disarm_all(t->sim);
    xen_test_dma_read(t, 10, 0x520000, 8);
    XEN_TRY(xen_test_disk_at(t, 0x520000, 10, 8, SEED, "read other bytes"));
    return full_service(t);
}

/* The guest goes on ballooning meanwhile. */
static const char *balloon(XenTest *t)
{
    boot(t);
    for (unsigned i = 0; i < 20; i++) {
        uint64_t gfn = 0x500 + i;
        uint8_t page[XEN_TEST_PAGE];

        arm(t, 1, 0, ENOMEM);
        xensim_balloon_out(t->dom, gfn, 1);
        qtest_readq(t->qts, gfn * XEN_TEST_PAGE);
        xensim_balloon_in(t->dom, gfn, 1);
        qtest_readq(t->qts, gfn * XEN_TEST_PAGE);
        xensim_fault_disarm_all(t->sim);
        xensim_stamp(t->dom, gfn, 1, i);
        qtest_memread(t->qts, gfn * XEN_TEST_PAGE, page, sizeof(page));
        XEN_REQUIRE(xensim_stamp_page_ok(page, gfn, i),
                    "served a stale page");
    }
    return full_service(t);
}

/* Calls that take their time are no failures. */
static const char *slow(XenTest *t)
{
    XensimFault fault = { .call = MAP, .delay_us = 20000 };

    boot(t);
    g_assert_cmpint(xensim_fault_arm(t->sim, &fault), >=, 0);
    for (unsigned i = 0; i < 8; i++) {
        xen_test_dma_read(t, i, (3 + i) * XEN_TEST_BUCKET - 0x8000, 16);
        XEN_TRY(xen_test_disk_at(t, (3 + i) * XEN_TEST_BUCKET - 0x8000, i, 16,
                                 SEED, "read other bytes"));
    }
    return NULL;
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("fault/accesses", accesses, "ended with status 255");
    xen_test_add("fault/sweep-read", sweep_read, "ended with status 255");
    xen_test_add("fault/sweep-write", sweep_write, "ended with status 255");
    xen_test_add("fault/lasting", lasting, "ended with status 255");
    xen_test_add("fault/one-page", one_page, "ended by SIGSEGV");
    xen_test_add("fault/balloon", balloon, "ended with status 255");
    xen_test_add("fault/slow", slow, NULL);
    return g_test_run();
}
