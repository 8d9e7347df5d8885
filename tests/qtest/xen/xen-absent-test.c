/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that lists a great many absent pages.  Xen is asked for each, which
 * takes microseconds, so the number of questions for one kick is limited.  A
 * request within the device's own limit is made.  Beyond that the guest sees an
 * error of the device, as with unassigned memory in ordinary RAM.
 */
#include "qemu/osdep.h"
#include "drivers/virtio.h"
#include "xen-test-common.h"

enum {
    SEED = 91,
    DISK_PAGES = 256,
    DISK_END = DISK_PAGES - 4,  /* four pages that no request writes */
    REGISTERS = 0xf6000000u,
    DRIVER_GPA = 0x100000,
    TABLES = 0x800000,          /* a table for each request, */
    TABLE_BYTES = 0x8000,       /* ... so far apart */
    BUFFER = 0x1800000,
    HOLES = 0x2000000,          /* the absent pages */
    PIECES = 1000,              /* of a request; one page each */
    PIECE = 512,
    REQUESTS = 64,
    /* Two requests whose buffers are mapped twice, and what is beside them. */
    CALLS_MAX = 4500,
    PICTURE_CALLS_MAX = 40,
    UNAVAILABLE_CALLS_MAX = 40,
};

static GuestSg holes[PIECES];

static void make_holes(XenTest *t)
{
    const uint64_t gfn = HOLES / XEN_TEST_PAGE;

    for (unsigned i = 0; i < PIECES; i++) {
        holes[i] = (GuestSg) { HOLES + i * XEN_TEST_PAGE, PIECE };
    }
    g_assert_cmpuint(xensim_depopulate(t->dom, gfn, PIECES), ==, PIECES);
    xensim_invalidate(t->dom);
}
#define make_holes(...) XEN_AT(make_holes(__VA_ARGS__))

static void boot(XenTest *t, const char *device)
{
    xen_test_disk(t, DISK_PAGES, SEED);
    xen_test_start(t, xen_test_keep(t, g_strdup_printf(
        "-drive file='%s/disk',format=raw,if=none,id=drive %s", t->dir,
        device)));
    make_holes(t);
}
#define boot(...) XEN_AT(boot(__VA_ARGS__))

static const char *few_calls(XenTest *t, uint64_t before, unsigned max)
{
    uint64_t calls = xen_test_map_calls(t) - before;

    g_test_message("%" PRIu64 " map calls", calls);
    XEN_REQUIRE(calls <= max, "%" PRIu64 " map calls for one kick", calls);
    return NULL;
}
#define few_calls(...) XEN_AT(few_calls(__VA_ARGS__))

/* --- virtio-blk ---------------------------------------------------------- */

static void blk_init(XenTest *t, GuestVblk *blk)
{
    xen_test_ok(t, guest_vblk_init_modern(t->pc, blk, 0, REGISTERS,
                                          DRIVER_GPA));
}
#define blk_init(...) XEN_AT(blk_init(__VA_ARGS__))

static void blk_boot(XenTest *t, GuestVblk *blk, const char *more)
{
    boot(t, xen_test_keep(t, g_strdup_printf(
        "%s,drive=drive,addr=7", more)));
    blk_init(t, blk);
}
#define blk_boot(...) XEN_AT(blk_boot(__VA_ARGS__))

static void blk_start(XenTest *t, GuestVblk *blk, bool write, unsigned i)
{
    uint16_t tag;

    xen_test_ok(t, guest_vblk_start_indirect(blk, write, 0, holes, PIECES,
                                             TABLES + i * TABLE_BYTES, &tag));
}
#define blk_start(...) XEN_AT(blk_start(__VA_ARGS__))

/* After a reset the disk is as good as ever. */
static const char *blk_again(XenTest *t, GuestVblk *blk)
{
    const GuestSg sg = { BUFFER, 4 * XEN_TEST_PAGE };

    xen_test_ok(t, guest_virtio_reset(&blk->dev));
    blk_init(t, blk);
    xen_test_ok(t, guest_vblk_rw(blk, false, DISK_END * 8, &sg, 1));
    XEN_TRY(xen_test_disk_at(t, sg.gpa, DISK_END, 4, SEED, "read other bytes "
                             "after a reset"));
    blk_start(t, blk, false, 0);
    xen_test_ok(t, guest_vblk_kick(blk));
    xen_test_ok(t, guest_vblk_wait(blk, NULL));
    xen_test_ok(t, guest_virtio_reset(&blk->dev));
    return NULL;
}
#define blk_again(...) XEN_AT(blk_again(__VA_ARGS__))

/* One kick for many requests: the device stops, and no request is lost. */
static const char *blk_many(XenTest *t, const char *device)
{
    GuestVblk blk;
    uint64_t calls;
    unsigned done = 0;
    int err;

    blk_boot(t, &blk, device);
    for (unsigned i = 0; i < REQUESTS; i++) {
        blk_start(t, &blk, i % 2, i);
    }
    calls = xen_test_map_calls(t);
    xen_test_ok(t, guest_vblk_kick(&blk));
    do {
        err = guest_vblk_wait(&blk, NULL);
        done += !err;
    } while (!err && done < REQUESTS);
    XEN_REQUIRE(done == REQUESTS || guest_virtio_is_broken(&blk.dev) == 1,
                "%u requests of %u end, then there is error %d", done,
                REQUESTS, err);
    XEN_TRY(few_calls(t, calls, CALLS_MAX));
    return blk_again(t, &blk);
}

static const char *blk(XenTest *t)
{
    return blk_many(t, "-device virtio-blk-pci");
}

static const char *blk_iothread(XenTest *t)
{
    return blk_many(t, "-object iothread,id=io "
                    "-device virtio-blk-pci,iothread=io");
}

/* The same for pages that are there and cannot be mapped: the first is enough. */
static const char *blk_unavailable(XenTest *t)
{
    XensimFault fault = {
        .call = xen_test_call("xenforeignmemory_map2"), .first = 1,
        .error = ENOMEM, .gfn = HOLES / XEN_TEST_PAGE, .pages = PIECES,
    };
    GuestVblk blk;
    uint64_t calls;

    blk_boot(t, &blk, "-device virtio-blk-pci");
    g_assert_cmpuint(xensim_populate(t->dom, fault.gfn, PIECES), ==, PIECES);
    for (unsigned i = 0; i < REQUESTS; i++) {
        blk_start(t, &blk, i % 2, i);
    }
    calls = xen_test_map_calls(t);
    g_assert_cmpint(xensim_fault_arm(t->sim, &fault), >=, 0);
    xen_test_ok(t, guest_vblk_kick(&blk));
    XEN_REQUIRE(guest_vblk_wait(&blk, NULL) == -EIO &&
                guest_virtio_is_broken(&blk.dev) == 1, "a request that could "
                "not be made is done");
    xensim_fault_disarm_all(t->sim);
    XEN_TRY(few_calls(t, calls, UNAVAILABLE_CALLS_MAX));
    return blk_again(t, &blk);
}

/* A request as large as a device takes, as often as one likes. */
static const char *blk_one(XenTest *t)
{
    GuestVblk blk;

    blk_boot(t, &blk, "-device virtio-blk-pci");
    for (unsigned i = 0; i < 8; i++) {
        blk_start(t, &blk, i % 2, 0);
        xen_test_ok(t, guest_vblk_kick(&blk));
        xen_test_ok(t, guest_vblk_wait(&blk, NULL));
    }
    return blk_again(t, &blk);
}

/* --- virtio-scsi, which maps each buffer twice --------------------------- */

static const char *scsi_one(XenTest *t)
{
    const GuestSg sg = { BUFFER, 4 * XEN_TEST_PAGE };
    GuestVscsi scsi;
    uint16_t tag;

    boot(t, "-device virtio-scsi-pci,id=scsi,addr=7 "
         "-device scsi-hd,drive=drive,bus=scsi.0");
    xen_test_ok(t, guest_vscsi_init_modern(t->pc, &scsi, 0, REGISTERS,
                                           DRIVER_GPA));
    guest_vscsi_rw(&scsi, 0, false, 0, &sg, 1);     /* a unit attention */
    for (unsigned i = 0; i < 8; i++) {
        xen_test_ok(t, guest_vscsi_start_indirect(&scsi, 0, i % 2, 0, holes,
                                                  PIECES, TABLES, &tag));
        xen_test_ok(t, guest_vscsi_kick(&scsi));
        xen_test_ok(t, guest_vscsi_wait(&scsi, &tag));
        xen_test_ok(t, guest_vscsi_rw(&scsi, 0, false, DISK_END * 8, &sg, 1));
        XEN_TRY(xen_test_disk_at(t, sg.gpa, DISK_END, 4, SEED,
                                 "read other bytes"));
    }
    xen_test_ok(t, guest_virtio_reset(&scsi.dev));
    return NULL;
}

/* --- virtio-net, which ends each request before it begins the next -------- */

static const char *net(XenTest *t)
{
    GuestVdev nic;
    GuestVirtq *tx = &nic.queue[1];
    uint64_t calls;
    unsigned done = 0;
    uint16_t head;
    int err;

    boot(t, "-netdev hubport,id=n,hubid=0 "
         "-device virtio-net-pci,netdev=n,romfile=,addr=7");
    xen_test_ok(t, guest_vdev_init(t->pc, &nic, GUEST_VIRTIO_NET, 0,
                                   REGISTERS, DRIVER_GPA, 2,
                                   GUEST_VIRTIO_F_INDIRECT));
    xen_test_ok(t, guest_virtq_put_table(t->pc, TABLES, holes, PIECES, 0));
    for (unsigned i = 0; i < REQUESTS; i++) {
        xen_test_ok(t, guest_virtq_add_table(tx, TABLES, PIECES * 16, &head));
    }
    calls = xen_test_map_calls(t);
    xen_test_ok(t, guest_virtq_kick(tx, true));
    do {
        err = guest_virtq_wait(tx, &head, NULL);
        done += !err;
    } while (!err && done < REQUESTS);
    XEN_REQUIRE(done == REQUESTS || guest_virtio_is_broken(&nic.dev) == 1,
                "%u packets of %u are sent, then there is error %d", done,
                REQUESTS, err);
    XEN_TRY(few_calls(t, calls, CALLS_MAX));
    xen_test_ok(t, guest_virtio_reset(&nic.dev));
    return NULL;
}

/* --- virtio-gpu, which holds what it maps --------------------------------- */

static const char *gpu(XenTest *t)
{
    const GuestSg good = { BUFFER, 64 * 64 * 4 };
    GuestVgpu gpu;
    uint64_t calls;
    int err;

    boot(t, "-device virtio-gpu-pci,addr=8");
    xen_test_ok(t, guest_vgpu_init(t->pc, &gpu, 0, REGISTERS, DRIVER_GPA));
    for (unsigned id = 1; id <= 6; id++) {
        xen_test_ok(t, guest_vgpu_create(&gpu, id, 64, 64));
        calls = xen_test_map_calls(t);
        err = guest_vgpu_attach(&gpu, id, holes, GUEST_VGPU_PIECES);
        XEN_REQUIRE(err == -EIO, "a picture of absent pages ends with %d",
                    err);
        XEN_TRY(few_calls(t, calls, PICTURE_CALLS_MAX));
        xen_test_ok(t, guest_vgpu_attach(&gpu, id, &good, 1));
        xen_test_ok(t, guest_vgpu_update(&gpu, id, 64, 64));
    }
    xen_test_ok(t, guest_virtio_reset(&gpu.dev));
    return NULL;
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("absent/blk", blk, NULL);
    xen_test_add("absent/blk-iothread", blk_iothread, NULL);
    xen_test_add("absent/blk-unavailable", blk_unavailable, NULL);
    xen_test_add("absent/blk-one", blk_one, NULL);
    xen_test_add("absent/scsi-one", scsi_one, NULL);
    xen_test_add("absent/net", net, NULL);
    xen_test_add("absent/gpu", gpu, NULL);
    return g_test_run();
}
