/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory that cannot be mapped: a failure that passes is waited for; one
 * that lasts is an error that the guest sees.  In no case is a transfer
 * reported as done that was not, nor QEMU's own memory shown.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/cutils.h"
#include "qobject/qdict.h"
#include "drivers/ahci.h"
#include "drivers/virtio.h"
#include "xen-test-common.h"

enum { SEED = 81, DISK_PAGES = 256, PAGES = 16, IO = 0xc200,
       DRIVER_GPA = 0x100000, REGISTERS = 0xf6000000 };
#define MAP xen_test_call("xenforeignmemory_map2")

static const GuestSg buffer = { 0x1234000, PAGES * XEN_TEST_PAGE };

static void fail(XenTest *t, uint64_t count)
{
    XensimFault fault = {
        .call = MAP, .first = 1, .count = count, .error = ENOMEM,
    };

    g_assert_cmpint(xensim_fault_arm(t->sim, &fault), >=, 0);
}

/* Those calls fail that name pages of @sg. */
static void fail_at(XenTest *t, const GuestSg *sg, uint64_t first,
                    uint64_t count)
{
    XensimFault fault = {
        .call = MAP, .first = first, .count = count, .error = ENOMEM,
        .gfn = sg->gpa / XEN_TEST_PAGE,
        .pages = DIV_ROUND_UP(sg->len, XEN_TEST_PAGE),
    };

    g_assert_cmpint(xensim_fault_arm(t->sim, &fault), >=, 0);
}

static void boot(XenTest *t)
{
    xen_test_start(t, xen_test_disk(t, DISK_PAGES, SEED));
    xen_test_ide(t);
    /* The table of the PRDs shall not be what fails. */
    xensim_invalidate(t->dom);
}

static int ide_rw(XenTest *t, bool write, unsigned page)
{
    return guest_ide_dma(&t->ide, write, page * 8, PAGES * 8, &buffer, 1);
}

/* What is on the disk, from @page on, is @seed's. */
static const char *on_disk(XenTest *t, unsigned page, unsigned first,
                           uint64_t seed)
{
    g_autofree char *path = g_strconcat(t->dir, "/disk", NULL);
    g_autofree char *disk = NULL;
    gsize bytes;

    g_assert_true(g_file_get_contents(path, &disk, &bytes, NULL));
    g_assert_cmpuint(bytes, >=, (page + PAGES) * XEN_TEST_PAGE);
    for (unsigned i = 0; i < PAGES; i++) {
        XEN_REQUIRE(xensim_stamp_page_ok(disk + (page + i) * XEN_TEST_PAGE,
                                         first + i, seed),
                    "page %u of the disk has other bytes", page + i);
    }
    return NULL;
}

/* The @n calls that come first fail. */
static const char *passing(XenTest *t, bool write)
{
    const uint64_t gfn = buffer.gpa / XEN_TEST_PAGE;

    boot(t);
    for (unsigned n = 1; n <= 8; n++) {
        unsigned page = n * PAGES;
        uint64_t seed = 500 + n;

        xensim_stamp(t->dom, gfn, PAGES, seed);
        xensim_invalidate(t->dom);
        /* The table of what is to be transferred is there. */
        qtest_readl(t->qts, t->ide.prd_gpa);
        fail(t, n);
        xen_test_ok(t, ide_rw(t, write, page));
        xensim_fault_disarm_all(t->sim);
        if (write) {
            XEN_TRY(on_disk(t, page, gfn, seed));
        } else {
            XEN_TRY(xen_test_disk_at(t, buffer.gpa, page, PAGES, SEED,
                                     "read other bytes"));
        }
    }
    return NULL;
}

/* An access for the guest's CPU is tried again, too: a disk by its data port. */
static const char *passing_access(XenTest *t)
{
    boot(t);
    for (unsigned n = 1; n <= 6; n++) {
        xensim_invalidate(t->dom);
        fail(t, n);
        xen_test_ok(t, guest_ide_pio_string(&t->ide, false, n * 8, 8,
                                            buffer.gpa));
        xensim_fault_disarm_all(t->sim);
        XEN_TRY(xen_test_disk_at(t, buffer.gpa, n, 1, SEED,
                                 "read other bytes"));
    }
    return NULL;
}

static const char *passing_read(XenTest *t)
{
    return passing(t, false);
}

static const char *passing_write(XenTest *t)
{
    return passing(t, true);
}

/*
 * The calls succeed, but one page is not mapped, for lack of memory: it is not
 * absent.  @count: how often that happens.
 */
static const char *one_page(XenTest *t, uint64_t count)
{
    const uint64_t gfn = buffer.gpa / XEN_TEST_PAGE;
    XensimFault fault = {
        .call = MAP, .count = count, .error = ENOMEM, .per_page = true,
        .gfn = gfn + 3, .pages = 1,
    };

    boot(t);
    for (unsigned i = 0; i < 2; i++) {
        bool write = i;
        int err;

        xensim_stamp(t->dom, gfn, PAGES, 7);
        xensim_invalidate(t->dom);
        g_assert_cmpint(xensim_fault_arm(t->sim, &fault), >=, 0);
        err = ide_rw(t, write, PAGES);
        xensim_fault_disarm_all(t->sim);
        XEN_REQUIRE(err == (count ? 0 : -EIO), "a transfer ends with %d", err);
        if (err) {
            xen_test_ide(t);
        } else if (write) {
            XEN_TRY(on_disk(t, PAGES, gfn, 7));
        } else {
            XEN_TRY(xen_test_disk_at(t, buffer.gpa, PAGES, PAGES, SEED,
                                     "read other bytes"));
        }
    }
    return NULL;
}

static const char *one_page_passing(XenTest *t)
{
    return one_page(t, 3);
}

static const char *one_page_lasting(XenTest *t)
{
    return one_page(t, 0);
}

/* All calls fail: an error, after a while in which QEMU does not spin. */
static const char *lasting(XenTest *t, bool write)
{
    const uint64_t gfn = buffer.gpa / XEN_TEST_PAGE;
    uint64_t calls;
    int err;

    boot(t);
    xensim_stamp(t->dom, gfn, PAGES, 7);
    for (unsigned i = 0; i < 2; i++) {
        xen_test_ok(t, guest_ide_prd(&t->ide, &buffer, 1));
        /* The table alone is there. */
        qtest_readl(t->qts, t->ide.prd_gpa);
        calls = xen_test_map_calls(t);
        fail(t, 0);
        err = ide_rw(t, write, PAGES);
        XEN_REQUIRE(err == -EIO, "a transfer that could not be made ends "
                    "with %d", err);
        calls = xen_test_map_calls(t) - calls;
        g_test_message("%" PRIu64 " map calls", calls);
        XEN_REQUIRE(calls < 4000, "%" PRIu64 " map calls that failed", calls);
        xensim_fault_disarm_all(t->sim);
        XEN_TRY(on_disk(t, PAGES, PAGES, SEED));
        XEN_REQUIRE(xensim_stamp_check(t->dom, gfn, PAGES, 7) ==
                    XENSIM_NO_GFN, "wrote what it reports as an error");
        xen_test_ide(t);
        xensim_invalidate(t->dom);
    }
    xen_test_ok(t, ide_rw(t, write, PAGES));
    return write ? on_disk(t, PAGES, gfn, 7)
                 : xen_test_disk_at(t, buffer.gpa, PAGES, PAGES, SEED,
                                    "read other bytes after a failure");
}

static const char *lasting_read(XenTest *t)
{
    return lasting(t, false);
}

static const char *lasting_write(XenTest *t)
{
    return lasting(t, true);
}

/*
 * The same for a list of many pieces: at each try QEMU stops at the first of
 * them, since it holds the main loop meanwhile.
 */
static const char *lasting_scattered(XenTest *t)
{
    enum { PIECES = PAGES * 8, TRIES = 201, CALLS = 6 };
    GuestSg sg[PIECES];
    uint64_t calls;
    int err;

    for (unsigned i = 0; i < PIECES; i++) {
        sg[i] = (GuestSg) { buffer.gpa + i * XEN_TEST_PAGE, GUEST_SECTOR_SIZE };
    }
    boot(t);
    for (unsigned i = 0; i < 2; i++) {
        xen_test_ok(t, guest_ide_prd(&t->ide, sg, PIECES));
        /* The table alone is there. */
        qtest_readl(t->qts, t->ide.prd_gpa);
        calls = xen_test_map_calls(t);
        fail(t, 0);
        err = guest_ide_dma(&t->ide, i, PAGES * 8, PIECES, sg, PIECES);
        calls = xen_test_map_calls(t) - calls;
        g_test_message("%" PRIu64 " map calls", calls);
        XEN_REQUIRE(err == -EIO, "a transfer that could not be made ends "
                    "with %d", err);
        XEN_REQUIRE(calls < TRIES * CALLS, "%" PRIu64 " map calls that failed",
                    calls);
        xensim_fault_disarm_all(t->sim);
        XEN_TRY(on_disk(t, PAGES, PAGES, SEED));
        xen_test_ide(t);
        xensim_invalidate(t->dom);
    }
    return NULL;
}

/* The guest stops a transfer that waits for memory. */
static const char *stopped(XenTest *t)
{
    boot(t);
    for (unsigned i = 0; i < 2; i++) {
        xen_test_ok(t, guest_ide_prd(&t->ide, &buffer, 1));
        qtest_readl(t->qts, t->ide.prd_gpa);
        fail(t, 0);
        xen_test_ok(t, guest_ide_dma_start_raw(&t->ide, i, 0, PAGES * 8));
        g_usleep(50000);
        xen_test_ok(t, guest_out(t->pc, t->ide.bm, 1, 0));
        xen_test_alive(t);
        xensim_fault_disarm_all(t->sim);
        xen_test_ide(t);
        xensim_invalidate(t->dom);
    }
    xen_test_dma_read(t, 7, buffer.gpa, PAGES);
    return xen_test_disk_at(t, buffer.gpa, 7, PAGES, SEED,
                            "read other bytes after a stop");
}

/*
 * A disk is read into a copy, since the pages can be read but not mapped; then
 * they cannot be written either.  The guest must not see that as done.
 */
static void fail_at_end(XenTest *t)
{
    /* Its bucket and its pages; then the copy is made. */
    fail_at(t, &buffer, 1, 2);
    fail_at(t, &buffer, 4, 0);
}

static const char *lost_ide(XenTest *t)
{
    const uint64_t gfn = buffer.gpa / XEN_TEST_PAGE;
    const GuestSg sg = { buffer.gpa, buffer.len / 2 };  /* one PRD */
    int err;

    boot(t);
    xensim_stamp(t->dom, gfn, PAGES, 7);
    xen_test_ok(t, guest_ide_prd(&t->ide, &sg, 1));
    qtest_readl(t->qts, t->ide.prd_gpa);
    fail_at_end(t);
    err = guest_ide_dma(&t->ide, false, PAGES * 8, PAGES * 4, &sg, 1);
    xensim_fault_disarm_all(t->sim);
    XEN_REQUIRE(err == -EIO, "bytes are lost, and the transfer ends with %d",
                err);
    XEN_REQUIRE(xensim_stamp_check(t->dom, gfn, PAGES, 7) == XENSIM_NO_GFN,
                "the bytes are not lost");
    xen_test_ide(t);
    xen_test_ok(t, ide_rw(t, false, PAGES));
    return xen_test_disk_at(t, buffer.gpa, PAGES, PAGES, SEED,
                            "read other bytes after an error");
}

/* The driver has reset the device and set it up again. */
static const char *reads_after_reset(XenTest *t, GuestVblk *blk)
{
    xen_test_ok(t, guest_vblk_rw(blk, false, 8, &buffer, 1));
    XEN_TRY(xen_test_disk_at(t, buffer.gpa, 1, PAGES, SEED,
                             "read other bytes after a reset"));
    xen_test_ok(t, guest_virtio_reset(&blk->dev));
    return NULL;
}
#define reads_after_reset(...) XEN_AT(reads_after_reset(__VA_ARGS__))

static const char *lost_virtio(XenTest *t)
{
    const uint64_t gfn = buffer.gpa / XEN_TEST_PAGE;
    GuestVblk blk;
    int err;

    xen_test_disk(t, DISK_PAGES, SEED);
    xen_test_start(t, xen_test_keep(t, g_strdup_printf(
        "-drive file='%s/disk',format=raw,if=none,id=drive -device "
        "virtio-blk-pci,drive=drive,addr=7,disable-legacy=off,"
        "disable-modern=on", t->dir)));
    xen_test_ok(t, guest_vblk_init(t->pc, &blk, 0, IO, DRIVER_GPA));
    xensim_stamp(t->dom, gfn, PAGES, 7);
    xensim_invalidate(t->dom);
    qtest_readl(t->qts, DRIVER_GPA);
    guest_pc_set_timeout(t->pc, 500);
    fail_at_end(t);
    err = guest_vblk_rw(&blk, false, 8, &buffer, 1);
    xensim_fault_disarm_all(t->sim);
    XEN_REQUIRE(err, "bytes are lost, and the transfer is done");
    XEN_REQUIRE(xensim_stamp_check(t->dom, gfn, PAGES, 7) == XENSIM_NO_GFN,
                "the bytes are not lost");
    guest_pc_set_timeout(t->pc, 10000);
    xen_test_ok(t, guest_virtio_reset(&blk.dev));
    xen_test_ok(t, guest_vblk_init(t->pc, &blk, 0, IO, DRIVER_GPA));
    return reads_after_reset(t, &blk);
}

static const XensimDomainConfig empty_domain = {
    .ram_bytes = (uint64_t)XEN_TEST_RAM_MB << 20,
    .flags = XENSIM_DOM_EMPTY,
};

/*
 * The guest is saved while a transfer waits for memory.  After the restore the
 * transfer ends, done or with an error.
 */
static const char *saved_midway(XenTest *t)
{
    const char *args, *file;
    int err;

    args = xen_test_disk(t, DISK_PAGES, SEED);
    xen_test_start(t, args);
    xen_test_ide(t);
    xensim_invalidate(t->dom);
    xen_test_ok(t, guest_ide_prd(&t->ide, &buffer, 1));
    qtest_readl(t->qts, t->ide.prd_gpa);
    fail_at(t, &buffer, 1, 0);
    xen_test_ok(t, guest_ide_dma_start_raw(&t->ide, false, 0, PAGES * 8));
    g_usleep(50000);
    file = xen_test_save(t);
    xensim_fault_disarm_all(t->sim);
    xen_test_restore_as(t, args, file, &empty_domain);
    err = guest_ide_dma_wait(&t->ide);
    XEN_REQUIRE(!err || err == -EIO, "the transfer ends with %d", err);
    if (!err) {
        return xen_test_disk_at(t, buffer.gpa, 0, PAGES, SEED,
                                "read other bytes after a restore");
    }
    xen_test_ide(t);
    xen_test_dma_read(t, 7, buffer.gpa, PAGES);
    return xen_test_disk_at(t, buffer.gpa, 7, PAGES, SEED,
                            "read other bytes after an error");
}

/*
 * The same with virtio-scsi, which has the buffer mapped already.  It is mapped
 * once more for the disk, which asks nothing of Xen; so the transfer does not
 * wait, and is done.  @iothread: an option, or nothing.
 */
static const char *saved_midway_scsi(XenTest *t, const char *iothread)
{
    const char *args, *file;
    GuestVscsi scsi;
    uint16_t tag;
    int err;

    xen_test_disk(t, DISK_PAGES, SEED);
    args = xen_test_keep(t, g_strdup_printf(
        "-drive file='%s/disk',format=raw,if=none,id=drive "
        "-object iothread,id=io -device virtio-scsi-pci,id=scsi,addr=7,"
        "disable-legacy=off,disable-modern=on%s "
        "-device scsi-hd,drive=drive,bus=scsi.0", t->dir, iothread));
    xen_test_start(t, args);
    xen_test_ok(t, guest_vscsi_init(t->pc, &scsi, 0, IO, DRIVER_GPA));
    guest_vscsi_rw(&scsi, 0, false, 0, &buffer, 1);  /* a unit attention */
    xen_test_ok(t, guest_vscsi_rw(&scsi, 0, false, 0, &buffer, 1));
    xensim_invalidate(t->dom);
    /* The mapping of the bucket fails, then every call but that of the pages. */
    fail_at(t, &buffer, 1, 1);
    fail_at(t, &buffer, 3, 0);
    xen_test_ok(t, guest_vscsi_start(&scsi, 0, false, 8, &buffer, 1, &tag));
    xen_test_ok(t, guest_vscsi_kick(&scsi));
    g_usleep(50000);
    file = xen_test_save(t);
    xensim_fault_disarm_all(t->sim);
    xen_test_restore_as(t, args, file, &empty_domain);
    scsi.dev.pc = t->pc;
    err = guest_vscsi_wait(&scsi, &tag);
    XEN_REQUIRE(!err, "the transfer ends with %d", err);
    XEN_TRY(xen_test_disk_at(t, buffer.gpa, 1, PAGES, SEED,
                             "read other bytes after a restore"));
    xen_test_ok(t, guest_vscsi_rw(&scsi, 0, false, 16, &buffer, 1));
    XEN_TRY(xen_test_disk_at(t, buffer.gpa, 2, PAGES, SEED,
                             "read other bytes then"));
    xen_test_ok(t, guest_virtio_reset(&scsi.dev));
    return NULL;
}

static const char *saved_midway_virtio(XenTest *t)
{
    return saved_midway_scsi(t, "");
}

static const char *saved_midway_iothread(XenTest *t)
{
    return saved_midway_scsi(t, ",iothread=io");
}

/* A virtio device has no other way to tell than to need a reset. */
static const char *virtio(XenTest *t)
{
    GuestVblk blk;

    xen_test_disk(t, DISK_PAGES, SEED);
    xen_test_start(t, xen_test_keep(t, g_strdup_printf(
        "-drive file='%s/disk',format=raw,if=none,id=drive -device "
        "virtio-blk-pci,drive=drive,addr=7,disable-legacy=off,"
        "disable-modern=on", t->dir)));
    for (unsigned i = 0; i < 2; i++) {
        bool write = i;

        xen_test_ok(t, guest_vblk_init(t->pc, &blk, 0, IO, DRIVER_GPA));
        xensim_invalidate(t->dom);
        /* So that the rings and the request itself are there. */
        qtest_readl(t->qts, DRIVER_GPA);
        guest_pc_set_timeout(t->pc, 500);
        fail(t, 0);
        XEN_REQUIRE(guest_vblk_rw(&blk, write, 8, &buffer, 1) != 0,
                    "reports a transfer that could not be made as done");
        xensim_fault_disarm_all(t->sim);
        guest_pc_set_timeout(t->pc, 10000);
        XEN_TRY(on_disk(t, 1, 1, SEED));
        xen_test_ok(t, guest_virtio_reset(&blk.dev));
        xen_test_ok(t, guest_vblk_init(t->pc, &blk, 0, IO, DRIVER_GPA));
        fail(t, 3);
        xen_test_ok(t, guest_vblk_rw(&blk, false, 8, &buffer, 1));
        xensim_fault_disarm_all(t->sim);
        XEN_TRY(xen_test_disk_at(t, buffer.gpa, 1, PAGES, SEED,
                                 "read other bytes after a reset"));
        xen_test_ok(t, guest_virtio_reset(&blk.dev));
    }
    return NULL;
}

/*
 * The rings are unavailable when the driver notifies the device, which cannot
 * see a request then.  The driver does not notify again, so it must be told.
 */
static const char *ring(XenTest *t)
{
    const GuestSg rings = { DRIVER_GPA, GUEST_VBLK_BYTES };
    GuestVblk blk;
    uint16_t tag;
    int err;

    xen_test_disk(t, DISK_PAGES, SEED);
    xen_test_start(t, xen_test_keep(t, g_strdup_printf(
        "-drive file='%s/disk',format=raw,if=none,id=drive -device "
        "virtio-blk-pci,drive=drive,addr=7", t->dir)));
    fail_at(t, &rings, 1, 0);
    xen_test_ok(t, guest_vblk_init_modern(t->pc, &blk, 0, REGISTERS,
                                          DRIVER_GPA));
    xen_test_ok(t, guest_vblk_start(&blk, false, 8, &buffer, 1, &tag));
    xen_test_ok(t, guest_vblk_kick(&blk));
    g_usleep(100000);
    xensim_fault_disarm_all(t->sim);
    guest_pc_set_timeout(t->pc, 500);
    err = guest_vblk_wait(&blk, NULL);
    XEN_REQUIRE(!err || guest_virtio_is_broken(&blk.dev) == 1, "a request "
                "whose ring could not be read ends with %d", err);
    guest_pc_set_timeout(t->pc, 10000);
    xen_test_ok(t, guest_virtio_reset(&blk.dev));
    xen_test_ok(t, guest_vblk_init_modern(t->pc, &blk, 0, REGISTERS,
                                          DRIVER_GPA));
    return reads_after_reset(t, &blk);
}

/*
 * The controller maps what it has been given, and the disk then writes there
 * by another access.  If the mapping is a copy, its end must not bring back
 * what was there before.
 */
static const char *answer(XenTest *t)
{
    const GuestSg sg = { 0x2345000, 64 };
    GuestVscsi scsi;
    uint8_t said[64];
    int err;

    xen_test_disk(t, DISK_PAGES, SEED);
    xen_test_start(t, xen_test_keep(t, g_strdup_printf(
        "-drive file='%s/disk',format=raw,if=none,id=drive -device "
        "virtio-scsi-pci,id=scsi,addr=7,disable-legacy=off,disable-modern=on "
        "-device scsi-hd,drive=drive,bus=scsi.0,vendor=Xensim", t->dir)));
    xen_test_ok(t, guest_vscsi_init(t->pc, &scsi, 0, IO, DRIVER_GPA));
    for (unsigned n = 0; n <= 3; n++) {
        xensim_stamp(t->dom, sg.gpa / XEN_TEST_PAGE, 1, 40 + n);
        xensim_invalidate(t->dom);
        if (n) {
            fail_at(t, &sg, 1, n);
        }
        xen_test_ok(t, guest_vscsi_inquiry(&scsi, 0, &sg));
        xensim_fault_disarm_all(t->sim);
        xensim_read(t->dom, sg.gpa, said, sizeof(said));
        XEN_REQUIRE(!memcmp(said + 8, "Xensim", 6), "after %u map calls that "
                    "failed, the disk's answer is not in memory", n);
    }
    /* The mapping is a copy; then nothing is mapped any more. */
    xensim_invalidate(t->dom);
    fail_at(t, &sg, 1, 1);
    fail_at(t, &sg, 3, 0);
    err = guest_vscsi_inquiry(&scsi, 0, &sg);
    xensim_fault_disarm_all(t->sim);
    XEN_REQUIRE(err == -EIO, "an answer that could not be written ends with "
                "%d", err);
    xen_test_ok(t, guest_virtio_reset(&scsi.dev));
    return NULL;
}

/* True if the first @n bytes of page @page of the disk are at @gpa. */
static bool has_read(XenTest *t, uint64_t gpa, unsigned page, size_t n)
{
    uint8_t is[XEN_TEST_PAGE], wanted[XEN_TEST_PAGE];

    g_assert_cmpint(xensim_read(t->dom, gpa, is, n), ==, 0);
    xensim_stamp_page(wanted, page, SEED);
    return !memcmp(is, wanted, n);
}

/*
 * @read reads the beginning of page 1 of the disk into @sg, in a way in which
 * the controller copies the bytes.  The second time they cannot be copied.
 */
static const char *copied(XenTest *t, const GuestSg *sg,
                          int (*read)(XenTest *t, const GuestSg *sg))
{
    for (unsigned i = 0; i < 3; i++) {
        int err;

        xensim_stamp(t->dom, sg->gpa / XEN_TEST_PAGE, 1, 7);
        xensim_invalidate(t->dom);
        if (i == 1) {
            fail_at(t, sg, 1, 0);
        }
        err = read(t, sg);
        xensim_fault_disarm_all(t->sim);
        if (i == 1) {
            XEN_REQUIRE(err == -EIO, "a transfer that could not be made ends "
                        "with %d", err);
            continue;
        }
        XEN_REQUIRE(!err && has_read(t, sg->gpa, 1, sg->len),
                    "transfer %u ends with %d, or read other bytes", i, err);
    }
    return NULL;
}

static int cd_read(XenTest *t, const GuestSg *sg)
{
    return guest_ide_cd_read(&t->ide, 2, 1, sg, 1);
}

static const char *cd(XenTest *t)
{
    const GuestSg sg = { buffer.gpa, 2048 };

    xen_test_disk(t, DISK_PAGES, SEED);
    xen_test_start(t, xen_test_keep(t, g_strdup_printf(
        "-drive file='%s/disk',format=raw,if=none,id=cd,readonly=on "
        "-device ide-cd,drive=cd,bus=ide.0", t->dir)));
    g_assert_cmpint(guest_ide_init(t->pc, &t->ide, 0, 0, XEN_TEST_PRD), ==,
                    -ENOENT);
    return copied(t, &sg, cd_read);
}

/* Commands of AHCI disks whose data the controller copies. */
enum { AHCI_MEM = 0x600000, AHCI_TABLE = 0x700000 };
static GuestAhci ahci;

static const char *ahci_copied(XenTest *t, const char *device,
                               const GuestSg *sg,
                               int (*read)(XenTest *t, const GuestSg *sg))
{
    const char *why;

    xen_test_disk(t, DISK_PAGES, SEED);
    xen_test_start(t, xen_test_keep(t, g_strdup_printf(
        XEN_TEST_AHCI "-drive file='%s/disk',format=raw,if=none,id=drive,"
        "readonly=%s -device %s,drive=drive,bus=ahci.0", t->dir,
        g_str_equal(device, "ide-cd") ? "on" : "off", device)));
    xen_test_ok(t, guest_ahci_init(t->pc, &ahci, 0, XEN_TEST_AHCI_BAR,
                                   AHCI_MEM));
    why = copied(t, sg, read);
    xen_test_ok(t, guest_ahci_stop(&ahci));
    return why;
}

/* Command 0 with @n other bytes in its table, another byte in its header. */
static int ahci_read(XenTest *t, const GuestSg *sg, uint8_t header,
                     const uint8_t *fis, size_t n)
{
    uint32_t task;
    int rc = guest_ahci_restart(&ahci);

    if (!rc) {
        rc = guest_ahci_prepare(&ahci, 0, false, 8,
                                sg->len / GUEST_SECTOR_SIZE, AHCI_TABLE, sg,
                                1);
    }
    if (!rc) {
        rc = xensim_write(t->dom, AHCI_MEM, &header, 1);
    }
    if (!rc) {
        rc = xensim_write(t->dom, AHCI_TABLE + 2, fis, n);
    }
    if (!rc) {
        rc = guest_ahci_issue(&ahci, 1);
    }
    return rc ? rc : guest_ahci_wait(&ahci, 1, &task);
}

static int pio_read(XenTest *t, const GuestSg *sg)
{
    const uint8_t read_sectors_ext = 0x24;

    return ahci_read(t, sg, 5, &read_sectors_ext, 1);
}

static const char *ahci_pio(XenTest *t)
{
    const GuestSg sg = { buffer.gpa, GUEST_SECTOR_SIZE };

    return ahci_copied(t, "ide-hd", &sg, pio_read);
}

static int packet_read(XenTest *t, const GuestSg *sg)
{
    /* PACKET, by DMA; from byte 0x40 of the table on: READ(10), sector 2. */
    static const uint8_t fis[0x48] = {
        0xa0, 1, [0x3e] = 0x28, [0x43] = 2, [0x46] = 1,
    };

    return ahci_read(t, sg, 5 | 0x20, fis, sizeof(fis));
}

static const char *ahci_cd(XenTest *t)
{
    const GuestSg sg = { buffer.gpa, 2048 };

    return ahci_copied(t, "ide-cd", &sg, packet_read);
}

/*
 * An lsi53c895a runs a script: it selects the disk, sends IDENTIFY and the
 * command, and moves the data, the status and a message.
 */
enum { LSI_REGS = 0xf3000000, LSI_DSTAT = 0x0c, LSI_DSP = 0x2c, DSTAT_INT = 4,
       DSTAT_BUS_FAULT = 0x20, SCRIPT = 0x720000, COMMAND = SCRIPT + 0x100,
       STATUS = SCRIPT + 0x110, MESSAGE = SCRIPT + 0x111,
       IDENTIFY = SCRIPT + 0x112 };

/* The command's status; -EIO if the controller reports a bus fault. */
static int lsi_run(XenTest *t, const uint8_t *command, size_t bytes,
                   const GuestSg *sg)
{
    const uint32_t select[] = {
        0x41000000, SCRIPT, 0x0e000001, IDENTIFY, 0x0a000000 | bytes, COMMAND,
    };
    const uint32_t data[] = { 0x08000000 | sg->len, sg->gpa };
    const uint32_t end[] = {
        0x0b000001, STATUS, 0x0f000001, MESSAGE, 0x98080000, 0,
    };
    const uint8_t identify = 0x80;
    uint64_t at = SCRIPT, dstat = 0;
    uint8_t status = 0xff;

    xensim_write(t->dom, COMMAND, command, bytes);
    xensim_write(t->dom, STATUS, &status, 1);
    xensim_write(t->dom, IDENTIFY, &identify, 1);
    xensim_write(t->dom, at, select, sizeof(select));
    at += sizeof(select);
    if (sg->len) {
        xensim_write(t->dom, at, data, sizeof(data));
        at += sizeof(data);
    }
    xensim_write(t->dom, at, end, sizeof(end));
    xen_test_ok(t, guest_mmio_out(t->pc, LSI_REGS + LSI_DSP, 4, SCRIPT));
    for (unsigned i = 0; i < 5000; i++) {
        xen_test_ok(t, guest_mmio_in(t->pc, LSI_REGS + LSI_DSTAT, 1, &dstat));
        if (dstat & (DSTAT_INT | DSTAT_BUS_FAULT)) {
            break;
        }
        g_usleep(1000);
    }
    xensim_read(t->dom, STATUS, &status, 1);
    return dstat & DSTAT_BUS_FAULT ? -EIO :
           !(dstat & DSTAT_INT) ? -ETIMEDOUT : status;
}

static int lsi_write(XenTest *t, unsigned page, const GuestSg *sg)
{
    const uint8_t command[10] = {
        0x2a, [4] = page * 8 >> 8, [5] = page * 8 & 0xff,
        [8] = sg->len / GUEST_SECTOR_SIZE,
    };

    return lsi_run(t, command, sizeof(command), sg);
}

static const char *lsi(XenTest *t)
{
    enum { OTHER = 40, ISTAT = LSI_REGS + 0x14, RESET = 0x40 };
    static const uint8_t ready[6];      /* TEST UNIT READY */
    const GuestSg none = { 0, 0 };
    const uint64_t gfn = buffer.gpa / XEN_TEST_PAGE;
    unsigned devfn;

    xen_test_disk(t, DISK_PAGES, SEED);
    xen_test_start(t, xen_test_keep(t, g_strdup_printf(
        "-drive file='%s/disk',format=raw,if=none,id=drive "
        "-device lsi53c895a,id=scsi,romfile= "
        "-device scsi-hd,drive=drive,bus=scsi.0", t->dir)));
    xen_test_ok(t, guest_pci_find(t->pc, 0x1000, 0x0012, 0, &devfn));
    xen_test_ok(t, guest_pci_place_bar(t->pc, devfn, 1, LSI_REGS));
    xen_test_ok(t, guest_pci_command(t->pc, devfn, GUEST_PCI_MASTER, 0));
    xensim_stamp(t->dom, gfn, PAGES, 7);
    /* The first command of a disk ends with CHECK CONDITION. */
    XEN_REQUIRE(lsi_run(t, ready, sizeof(ready), &none) == 2 &&
                lsi_run(t, ready, sizeof(ready), &none) == 0,
                "the disk does not become ready");
    for (unsigned i = 0; i < 2; i++) {
        int err;

        xensim_invalidate(t->dom);
        if (i) {
            fail_at(t, &buffer, 1, 0);
        }
        err = lsi_write(t, OTHER, &buffer);
        xensim_fault_disarm_all(t->sim);
        XEN_REQUIRE(err == (i ? -EIO : 0), "a transfer that %s be made ends "
                    "with %d", i ? "could not" : "could", err);
        XEN_TRY(on_disk(t, OTHER, gfn, 7));
    }
    xen_test_ok(t, guest_mmio_out(t->pc, ISTAT, 1, RESET));
    xen_test_ok(t, guest_mmio_out(t->pc, ISTAT, 1, 0));
    return NULL;
}

/* pmemsave saves what is there, or says that it could not. */
static const char *saved(XenTest *t)
{
    g_autofree char *path = g_strconcat(t->dir, "/memory", NULL);
    g_autofree char *file = NULL;
    gsize len;

    boot(t);
    xensim_stamp(t->dom, buffer.gpa / XEN_TEST_PAGE, PAGES, 5);
    for (unsigned i = 0; i < 2; i++) {
        QDict *reply;
        bool failed;

        if (!i) {
            fail_at(t, &buffer, 1, 0);
        }
        reply = qtest_qmp(t->qts, "{'execute': 'pmemsave', 'arguments': "
                          "{'val': %" PRIu64 ", 'size': %u, 'filename': %s}}",
                          buffer.gpa, buffer.len, path);
        failed = qdict_haskey(reply, "error");
        qobject_unref(reply);
        xensim_fault_disarm_all(t->sim);
        XEN_REQUIRE(failed == !i, "memory that %s be read was %s",
                    i ? "can" : "cannot", failed ? "not saved" : "saved");
    }
    g_assert_true(g_file_get_contents(path, &file, &len, NULL));
    XEN_REQUIRE(len == buffer.len, "saved %zu bytes of %u", len, buffer.len);
    for (unsigned i = 0; i < PAGES; i++) {
        XEN_REQUIRE(xensim_stamp_page_ok(file + i * XEN_TEST_PAGE,
                                         buffer.gpa / XEN_TEST_PAGE + i, 5),
                    "saved other bytes of page %u", i);
    }
    return NULL;
}

/*
 * String instructions: the device model itself moves the data.  The disk gets
 * no sector whose data could not be read, and a sector that cannot be stored
 * stays in the disk: the guest sees that it is not done.
 */
static const char *string(XenTest *t, bool write)
{
    const uint64_t gfn = buffer.gpa / XEN_TEST_PAGE;
    enum { SECTORS = PAGES * 8, OTHER = 40 };

    boot(t);
    for (unsigned i = 0; i < 3; i++) {
        bool fails = i == 1;
        int err;

        xensim_stamp(t->dom, gfn, PAGES, 7);
        xensim_invalidate(t->dom);
        guest_pc_set_timeout(t->pc, fails ? 500 : 10000);
        if (fails) {
            fail_at(t, &buffer, 1, 0);
        }
        err = guest_ide_pio_string(&t->ide, write, OTHER * 8, SECTORS,
                                   buffer.gpa);
        xensim_fault_disarm_all(t->sim);
        XEN_REQUIRE(!err == !fails, "a transfer that %s ends with %d",
                    fails ? "could not be made" : "could be made", err);
        if (fails) {
            uint32_t status;

            xen_test_ok(t, guest_in(t->pc, t->ide.cmd + 7, 1, &status));
            XEN_REQUIRE(status & 8, "status 0x%x: the disk does not expect "
                        "any more data", status);
            XEN_REQUIRE(xensim_stamp_check(t->dom, gfn, PAGES, 7) ==
                        XENSIM_NO_GFN, "wrote to memory that is unavailable");
            xen_test_ide(t);
        }
        if (write) {
            XEN_TRY(on_disk(t, OTHER, gfn, 7));
        } else if (!fails) {
            XEN_TRY(xen_test_disk_at(t, buffer.gpa, OTHER, PAGES, SEED,
                                     "read other bytes"));
        }
    }
    return NULL;
}

static const char *string_read(XenTest *t)
{
    return string(t, false);
}

static const char *string_write(XenTest *t)
{
    return string(t, true);
}

/*
 * The same between memory and registers: the width and height of the display.
 * The registers keep what they had.
 */
static const char *string_mmio(XenTest *t)
{
    enum { MMIO = 0xf2000000, SIZES = MMIO + 0x502, OLD = 0x01e00280,
           NEW = 0x02580320 };
    uint32_t size = OLD;

    xen_test_start(t, XEN_TEST_VGA);
    xen_test_ok(t, guest_vga_init(t->pc, &t->vga, 0));
    xen_test_ok(t, guest_vga_place(&t->vga, XEN_TEST_LFB, MMIO));
    xensim_write(t->dom, buffer.gpa, &size, sizeof(size));
    xensim_mmio_copy(t->dom, SIZES, buffer.gpa, 2, 2, false, false);
    for (unsigned i = 0; i < 2; i++) {
        uint16_t width, height;

        size = NEW;
        xensim_write(t->dom, buffer.gpa, &size, sizeof(size));
        xensim_invalidate(t->dom);
        if (!i) {
            fail_at(t, &buffer, 1, 0);
        }
        xensim_mmio_copy(t->dom, SIZES, buffer.gpa, 2, 2, false, false);
        xensim_fault_disarm_all(t->sim);
        xen_test_ok(t, guest_dispi_in(&t->vga, 1, &width));
        xen_test_ok(t, guest_dispi_in(&t->vga, 2, &height));
        size = height << 16 | width;
        XEN_REQUIRE(size == (i ? NEW : OLD), "the display has %u x %u", width,
                    height);
    }
    /* The other way. */
    size = OLD;
    xensim_write(t->dom, buffer.gpa, &size, sizeof(size));
    xensim_invalidate(t->dom);
    fail_at(t, &buffer, 1, 0);
    xensim_mmio_copy(t->dom, SIZES, buffer.gpa, 2, 2, true, false);
    xensim_fault_disarm_all(t->sim);
    xensim_read(t->dom, buffer.gpa, &size, sizeof(size));
    XEN_REQUIRE(size == OLD, "wrote to memory that is unavailable");
    return NULL;
}

/*
 * Without Xen nothing has changed: registers whose read ends in an error are
 * saved as what was read.  Here those are a CXL window without a device.
 */
static void saved_without_xen(void)
{
    g_autofree char *dir = g_dir_make_tmp("pmemsave-XXXXXX", NULL);
    g_autofree char *path = g_strconcat(dir, "/memory", NULL);
    g_autofree char *tree = NULL, *file = NULL;
    QTestState *qts;
    const char *line;
    uint64_t at = 0;
    QDict *reply;
    gsize len;

    qts = qtest_initf("-M q35,cxl=on,cxl-fmw.0.targets.0=cxl.0,"
                      "cxl-fmw.0.size=4G -nodefaults -L '%s' "
                      "-device pxb-cxl,id=cxl.0,bus=pcie.0,bus_nr=52",
                      getenv("XEN_TEST_ROMS") ?: "/usr/share/seabios");
    tree = qtest_hmp(qts, "info mtree -f");
    line = strstr(tree, "cxl-fixed-memory-region");
    g_assert_nonnull(line);
    while (line > tree && line[-1] != '\n') {
        line--;
    }
    g_assert_cmpint(sscanf(line, "%" SCNx64, &at), ==, 1);
    reply = qtest_qmp(qts, "{'execute': 'pmemsave', 'arguments': {'val': %"
                      PRIu64 ", 'size': 5000, 'filename': %s}}", at, path);
    g_assert_false(qdict_haskey(reply, "error"));
    qobject_unref(reply);
    g_assert_true(g_file_get_contents(path, &file, &len, NULL));
    g_assert_cmpuint(len, ==, 5000);
    for (gsize i = 0; i < len; i++) {
        g_assert_cmphex(file[i], ==, 0);
    }
    qtest_quit(qts);
    unlink(path);
    rmdir(dir);
}

/* A balloon that is not Xen's takes nothing, and does no harm. */
static const char *balloon(XenTest *t)
{
    const uint64_t ring = 0x300000, list = 0x310000, gfn = 0x1000;
    GuestVirtio dev;
    GuestVirtq queue;
    uint8_t pfns[4 * PAGES];

    xen_test_start(t, XEN_TEST_STATS);
    xen_test_ok(t, guest_virtio_init(t->pc, &dev, GUEST_VIRTIO_BALLOON, 0,
                                     XEN_TEST_STATS_IO, 0));
    xensim_stamp(t->dom, gfn, PAGES, 9);
    for (unsigned i = 0; i < PAGES; i++) {
        stl_le_p(pfns + 4 * i, gfn + i);
    }
    xensim_write(t->dom, list, pfns, sizeof(pfns));
    for (unsigned i = 0; i < 2; i++) {
        const GuestSg sg = { list, sizeof(pfns) };
        uint16_t head;

        /* Inflate, deflate. */
        xen_test_ok(t, guest_virtq_init(&dev, &queue, i, ring + i * 0x8000,
                                        false));
        xen_test_ok(t, guest_virtio_start(&dev));
        xen_test_ok(t, guest_virtq_add(&queue, &sg, 1, 0, &head));
        xen_test_ok(t, guest_virtq_kick(&queue, true));
        xen_test_ok(t, guest_virtq_wait(&queue, &head, NULL));
        XEN_REQUIRE(xensim_stamp_check(t->dom, gfn, PAGES, 9) ==
                    XENSIM_NO_GFN, "a balloon changed the guest's memory");
    }
    xen_test_ok(t, guest_virtio_reset(&dev));
    return NULL;
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("unavailable/passing-read", passing_read, NULL);
    xen_test_add("unavailable/passing-write", passing_write, NULL);
    xen_test_add("unavailable/passing-access", passing_access, NULL);
    xen_test_add("unavailable/lasting-read", lasting_read, NULL);
    xen_test_add("unavailable/lasting-write", lasting_write, NULL);
    xen_test_add("unavailable/lasting-scattered", lasting_scattered, NULL);
    xen_test_add("unavailable/one-page-passing", one_page_passing, NULL);
    xen_test_add("unavailable/one-page-lasting", one_page_lasting, NULL);
    xen_test_add("unavailable/stopped", stopped, NULL);
    xen_test_add("unavailable/lost-ide", lost_ide, NULL);
    xen_test_add("unavailable/lost-virtio", lost_virtio, NULL);
    xen_test_add("unavailable/saved-midway", saved_midway, NULL);
    xen_test_add("unavailable/saved-midway-scsi", saved_midway_virtio, NULL);
    xen_test_add("unavailable/saved-midway-iothread", saved_midway_iothread,
                 NULL);
    xen_test_add("unavailable/virtio", virtio, NULL);
    xen_test_add("unavailable/ring", ring, NULL);
    xen_test_add("unavailable/answer", answer, NULL);
    xen_test_add("unavailable/cd", cd, NULL);
    xen_test_add("unavailable/ahci-pio", ahci_pio, NULL);
    xen_test_add("unavailable/ahci-cd", ahci_cd, NULL);
    xen_test_add("unavailable/lsi", lsi, NULL);
    xen_test_add("unavailable/string-read", string_read, NULL);
    xen_test_add("unavailable/string-write", string_write, NULL);
    xen_test_add("unavailable/string-mmio", string_mmio, NULL);
    xen_test_add("unavailable/saved", saved, NULL);
    qtest_add_func("xen/unavailable/saved-without-xen", saved_without_xen);
    xen_test_add("unavailable/balloon", balloon, NULL);
    return g_test_run();
}
