/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks that an iothread serves, when guest memory that they use is given away:
 * buffers, the ring itself, all of it at any moment.  Neither the device model
 * nor a request may wait for ever.
 */
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "xen-test-iodisk.h"

/* A page of the buffer is not there: it is lost, the others are not. */
static const char *hole(XenTest *t)
{
    const uint64_t gfn = 0x1234;
    GuestSg sg[4];
    IoDisk d;

    iodisk_boot_small(&d, t);
    for (unsigned i = 0; i < 4; i++) {
        sg[i] = (GuestSg) { (gfn + i) * XEN_TEST_PAGE, XEN_TEST_PAGE };
    }
    for (unsigned warm = 0; warm < 2; warm++) {
        xensim_fill(t->dom, sg[0].gpa, 0xaa, 4 * XEN_TEST_PAGE);
        if (warm) {
            xen_test_ok(t, iodisk_rw(&d, false, 100, sg, 4));
        }
        xensim_balloon_out(t->dom, gfn + 2, 1);
        xen_test_ok(t, iodisk_rw(&d, false, 200, sg, 4));
        for (unsigned i = 0; i < 4; i++) {
            if (i != 2) {
                XEN_TRY(xen_test_disk_at(t, sg[i].gpa, 200 + i, 1, IODISK_SEED,
                                         "read other bytes beside a hole"));
            }
        }
        XEN_REQUIRE(xensim_gfn_to_mfn(t->dom, gfn + 2) == XENSIM_NO_MFN,
                    "filled the hole");

        /* What it reads from the hole is zeros. */
        xen_test_ok(t, iodisk_rw(&d, true, 300 + warm * 4, sg, 4));
        xensim_balloon_in(t->dom, gfn + 2, 1);
        xensim_fill(t->dom, sg[0].gpa, 0xbb, 4 * XEN_TEST_PAGE);
        xen_test_ok(t, iodisk_rw(&d, false, 300 + warm * 4, sg, 4));
        for (unsigned i = 0; i < 4; i++) {
            uint8_t page[XEN_TEST_PAGE];

            xensim_read(t->dom, sg[i].gpa, page, sizeof(page));
            XEN_REQUIRE(i == 2 ? buffer_is_zero(page, sizeof(page)) :
                        xensim_stamp_page_ok(page, 200 + i, IODISK_SEED),
                        "wrote other bytes from beside a hole");
        }
    }
    xen_test_ok(t, iodisk_reset(&d));
    return NULL;
}

/*
 * The whole buffer is not there, of more pages than can be bounced.  What is
 * read is lost, what is written is zeros, and no request waits for ever.
 */
static const char *holes(XenTest *t)
{
    const uint64_t gfn = 0x2345;
    const GuestSg big = { gfn * XEN_TEST_PAGE, 16 * XEN_TEST_PAGE };
    const GuestSg good = { 0x800000, 16 * XEN_TEST_PAGE };
    IoDisk d;

    iodisk_boot_small(&d, t);
    for (unsigned i = 0; i < 8; i++) {
        xensim_balloon_out(t->dom, gfn, 16);
        xen_test_ok(t, iodisk_rw(&d, i % 2, 16 * i, &big, 1));
        XEN_REQUIRE(xensim_gfn_to_mfn(t->dom, gfn) == XENSIM_NO_MFN,
                    "filled the hole");
        xensim_balloon_in(t->dom, gfn, 16);

        xensim_fill(t->dom, good.gpa, 0xcc, good.len);
        xen_test_ok(t, iodisk_rw(&d, false, 16 * i, &good, 1));
        if (i % 2) {
            uint8_t bytes[16 * XEN_TEST_PAGE];

            xensim_read(t->dom, good.gpa, bytes, sizeof(bytes));
            XEN_REQUIRE(buffer_is_zero(bytes, sizeof(bytes)),
                        "wrote something from a hole");
        } else {
            XEN_TRY(xen_test_disk_at(t, good.gpa, 16 * i, 16, IODISK_SEED,
                                     "changed the disk"));
        }
        xen_test_ok(t, iodisk_reset(&d));
        iodisk_init(&d);
        xen_test_ok(t, iodisk_rw(&d, false, 500 + i, &good, 1));
        XEN_TRY(xen_test_disk_at(t, good.gpa, 500 + i, 16, IODISK_SEED,
                                 "read other bytes after a hole"));
        xen_test_ok(t, iodisk_rw(&d, false, 600 + i, &big, 1));
        XEN_TRY(xen_test_disk_at(t, big.gpa, 600 + i, 16, IODISK_SEED,
                                 "read other bytes where a hole was"));
    }
    xen_test_ok(t, iodisk_reset(&d));
    return NULL;
}

/* The guest gives away the ring itself, with a request in it. */
static const char *ring_gone(XenTest *t)
{
    const GuestSg good = { 0x900000, 16 * XEN_TEST_PAGE };
    IoDisk d;

    iodisk_boot_small(&d, t);
    for (unsigned i = 0; i < 3; i++) {
        xen_test_ok(t, iodisk_start(&d, false, i, &good, 1));
        if (i < 2) {
            xen_test_ok(t, iodisk_kick(&d));
        }
        xensim_balloon_out(t->dom, IODISK_DRIVER_GPA / XEN_TEST_PAGE, 32);
        /* The register that iodisk_kick() writes: the queue's number. */
        guest_out(t->pc, IODISK_IO + 16, 2, d.scsi ? 2 : 0);
        xen_test_alive(t);
        xen_test_ok(t, iodisk_reset(&d));
        xensim_balloon_in(t->dom, IODISK_DRIVER_GPA / XEN_TEST_PAGE, 32);

        iodisk_init(&d);
        xen_test_ok(t, iodisk_rw(&d, false, 700 + i, &good, 1));
        XEN_TRY(xen_test_disk_at(t, good.gpa, 700 + i, 16, IODISK_SEED,
                                 "read other bytes with a new ring"));
    }
    xen_test_ok(t, iodisk_reset(&d));
    return NULL;
}

/* The driver resets the device, and the guest gives memory away, midway. */
static const char *reset_midway(XenTest *t)
{
    const GuestSg good = { 0xa00000, 16 * XEN_TEST_PAGE };
    IoRequest r;
    IoDisk d;

    iodisk_boot_small(&d, t);
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < IODISK_REQUESTS; i++) {
            iodisk_random(&r, i);
            xen_test_ok(t, iodisk_put(&d, &r));
        }
        xen_test_ok(t, iodisk_kick(&d));
        xensim_invalidate(t->dom);
        xen_test_ok(t, iodisk_reset(&d));
        xensim_balloon_out(t->dom, IODISK_FIRST_GFN, 0x200);
        xensim_balloon_in(t->dom, IODISK_FIRST_GFN, 0x200);

        iodisk_init(&d);
        xen_test_ok(t, iodisk_rw(&d, false, 400 + round, &good, 1));
        XEN_TRY(xen_test_disk_at(t, good.gpa, 400 + round, 16, IODISK_SEED,
                                 "read other bytes after a reset"));
    }
    xen_test_ok(t, iodisk_reset(&d));
    return NULL;
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    /* With virtio-blk the stock device model asserts: xen-iothread-test. */
    iodisk_add("hole", hole, NULL, "did not answer: virtio queue: nothing*");
    iodisk_add("holes", holes, NULL, "did not answer: virtio queue: nothing*");
    iodisk_add("ring-gone", ring_gone, NULL,
               "did not answer: virtio queue: nothing*");
    iodisk_add("reset", reset_midway, NULL, NULL);
    return g_test_run();
}
