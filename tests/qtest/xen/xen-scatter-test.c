/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests whose pieces are scattered over more of the guest than the mapcache
 * may keep, all of them mapped at a time: each byte moves.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "drivers/virtio.h"
#include "xen-test-common.h"

enum {
    SEED = 71,
    SECTOR = 512,
    REQUESTS = 8,
    PIECES_MAX = 1000,
    DISK_PAGES = REQUESTS * PIECES_MAX * SECTOR / XEN_TEST_PAGE,
    RAM_MB = 192,
    FIRST_BUCKET = 16,          /* data is from here on, */
    BUCKETS = 128,              /* ... in so many buckets, */
    DATA_AT = 0x43000,          /* ... from here on in each */
    IO = 0xc200,
    MEM = 0x100000,             /* the driver's own memory: the ring, */
    TABLES = 0x200000,          /* ... lists of pieces, 32 KiB each, */
    TABLE_BYTES = 0x8000,
    HEADERS = 0x300000,         /* ... headers and status bytes */
    HEADER_BYTES = 32,
    STATUS_AT = 16,
    MMIO = 0xf8000000u,         /* the registers of a disk, */
    GPU_MMIO = 0xf8000000u,     /* ... or of a GPU */
    GPU_MEM = 0x400000,
};

typedef struct Load {
    XenTest *t;
    GuestVirtio dev;
    GuestVirtq queue;
    unsigned pieces;            /* in each request */
    bool write;                 /* to the disk */
} Load;

static uint64_t piece_gpa(unsigned request, unsigned piece)
{
    unsigned n = request * PIECES_MAX + piece;

    return (FIRST_BUCKET + n % BUCKETS) * (uint64_t)XEN_TEST_BUCKET +
           DATA_AT + n / BUCKETS * SECTOR;
}

/* What is written from there to the disk. */
static void piece_fill(uint8_t *bytes, unsigned request, unsigned piece)
{
    for (unsigned i = 0; i < SECTOR; i += 4) {
        stl_le_p(bytes + i, request << 24 | piece << 10 | i);
    }
}

/* By a table of its own: a header, the pieces and a status byte. */
static void put_request(Load *l, unsigned request)
{
    XenTest *t = l->t;
    g_autofree GuestSg *sg = g_new(GuestSg, l->pieces + 2);
    uint64_t header_gpa = HEADERS + request * HEADER_BYTES;
    uint8_t header[16] = { l->write }, bytes[SECTOR];
    const unsigned out = l->write ? 1 + l->pieces : 1;
    uint16_t head;

    stq_le_p(header + 8, (uint64_t)request * l->pieces);
    xensim_write(t->dom, header_gpa, header, sizeof(header));
    xensim_fill(t->dom, header_gpa + STATUS_AT, 0xff, 1);
    sg[0] = (GuestSg) { header_gpa, sizeof(header) };
    for (unsigned i = 0; i < l->pieces; i++) {
        sg[1 + i] = (GuestSg) { piece_gpa(request, i), SECTOR };
        piece_fill(bytes, request, i);
        xensim_write(t->dom, sg[1 + i].gpa, bytes, SECTOR);
    }
    sg[1 + l->pieces] = (GuestSg) { header_gpa + STATUS_AT, 1 };
    xen_test_ok(t, guest_virtq_add_indirect(&l->queue,
                                            TABLES + request * TABLE_BYTES, sg,
                                            out, l->pieces + 2 - out, &head));
}
#define put_request(...) XEN_AT(put_request(__VA_ARGS__))

/* All requests at one kick, and how long they took. */
static const char *run(Load *l, gint64 *us)
{
    gint64 start = g_get_monotonic_time();

    xen_test_ok(l->t, guest_virtq_kick(&l->queue, true));
    for (unsigned r = 0; r < REQUESTS; r++) {
        uint16_t head;

        xen_test_ok(l->t, guest_virtq_wait(&l->queue, &head, NULL));
    }
    *us = g_get_monotonic_time() - start;
    for (unsigned r = 0; r < REQUESTS; r++) {
        uint8_t status;

        xensim_read(l->t->dom, HEADERS + r * HEADER_BYTES + STATUS_AT,
                    &status, 1);
        XEN_REQUIRE(status == 0, "request %u of %u pieces has status %u", r,
                    l->pieces, status);
    }
    return NULL;
}

/* The disk and the pieces have the same bytes: @disk's. */
static const char *moved(Load *l, const uint8_t *disk)
{
    unsigned bad = 0;

    for (unsigned r = 0; r < REQUESTS; r++) {
        for (unsigned i = 0; i < l->pieces; i++) {
            const uint8_t *sector = disk + (r * l->pieces + i) * SECTOR;
            uint8_t bytes[SECTOR];

            if (l->write) {
                piece_fill(bytes, r, i);
            } else {
                xensim_read(l->t->dom, piece_gpa(r, i), bytes, SECTOR);
            }
            bad += memcmp(bytes, sector, SECTOR) != 0;
        }
    }
    XEN_REQUIRE(bad == 0, "%u of %u pieces %s other bytes", bad,
                REQUESTS * l->pieces, l->write ? "wrote" : "read");
    return NULL;
}

static const char *move_all(Load *l, unsigned pieces, bool write)
{
    g_autofree char *path = g_strconcat(l->t->dir, "/disk", NULL);
    g_autofree char *before = NULL, *after = NULL;
    gint64 us = 0;

    l->pieces = pieces;
    l->write = write;
    g_assert_true(g_file_get_contents(path, &before, NULL, NULL));
    for (unsigned r = 0; r < REQUESTS; r++) {
        put_request(l, r);
    }
    XEN_TRY(run(l, &us));
    g_assert_true(g_file_get_contents(path, &after, NULL, NULL));
    XEN_TRY(moved(l, (uint8_t *)(write ? after : before)));
    g_test_message("%u x %u pieces %s in %.3f s", REQUESTS, pieces,
                   write ? "written" : "read", us / 1e6);
    /* 4,000 pieces take less than 0.2 s where nothing else runs. */
    XEN_REQUIRE(us < 3 * G_USEC_PER_SEC, "took %.1f s for %u pieces",
                us / 1e6, REQUESTS * pieces);
    return NULL;
}

/* A cache of 32 MiB, and a disk @drive for @devices. */
static void boot_machine(XenTest *t, const char *devices)
{
    XensimDomainConfig cfg = { .ram_bytes = (uint64_t)RAM_MB << 20 };
    g_autofree char *args = NULL;

    xen_test_disk(t, DISK_PAGES, SEED);
    args = g_strdup_printf("%s-drive file='%s/disk',format=raw,if=none,"
                           "id=drive %s",
                           t->stock ? "" : "-machine mapcache-size=32M ",
                           t->dir, devices);
    t->dom = xensim_domain_create(t->sim, &cfg);
    g_assert_nonnull(t->dom);
    xen_test_boot(t, args);
}

static void boot(Load *l, XenTest *t, const char *more)
{
    g_autofree char *devices = g_strconcat(
        "-device virtio-blk-pci,drive=drive,addr=7,disable-legacy=off,"
        "disable-modern=on ", more, NULL);

    *l = (Load) { .t = t };
    boot_machine(t, devices);
    xen_test_ok(t, guest_virtio_init(t->pc, &l->dev, GUEST_VIRTIO_BLK, 0, IO,
                                     GUEST_VIRTIO_F_INDIRECT));
    g_assert_cmphex(l->dev.features, ==, GUEST_VIRTIO_F_INDIRECT);
    xen_test_ok(t, guest_virtq_init(&l->dev, &l->queue, 0, MEM, false));
    xen_test_ok(t, guest_virtio_start(&l->dev));
}

static const char *scattered(XenTest *t, bool write)
{
    static const unsigned pieces[] = { 254, 500, PIECES_MAX };
    Load l;

    boot(&l, t, "");
    for (unsigned i = 0; i < ARRAY_SIZE(pieces); i++) {
        XEN_TRY(move_all(&l, pieces[i], write));
    }
    xen_test_ok(t, guest_virtio_reset(&l.dev));
    return NULL;
}

static const char *scattered_read(XenTest *t)
{
    return scattered(t, false);
}

static const char *scattered_write(XenTest *t)
{
    return scattered(t, true);
}

/* With what buckets hold, the limit of 16,384 is met before. */
#define PICTURES_MAX    128

/*
 * Pictures of 256 scattered pieces each, until the device may hold no more:
 * that is an error, and leaves what others transfer theirs.
 */
static const char *hold_pictures(XenTest *t, GuestVgpu *gpu)
{
    GuestSg sg[GUEST_VGPU_PIECES];
    unsigned k;
    int rc = 0;

    xen_test_ok(t, guest_vgpu_init(t->pc, gpu, 0, GPU_MMIO, GPU_MEM));
    for (k = 0; !rc; k++) {
        XEN_REQUIRE(k < PICTURES_MAX, "holds pictures without an end");
        for (unsigned i = 0; i < GUEST_VGPU_PIECES; i++) {
            unsigned bucket = FIRST_BUCKET + (k * 7 + i) % BUCKETS;

            sg[i].gpa = bucket * (uint64_t)XEN_TEST_BUCKET + 0x80000 +
                        (k * GUEST_VGPU_PIECES + i) / BUCKETS % 64 * 0x2000;
            /* No two pictures have the same piece. */
            sg[i].len = XEN_TEST_PAGE - 4 * k;
        }
        xen_test_ok(t, guest_vgpu_create(gpu, k + 1, 512, 512));
        rc = guest_vgpu_attach(gpu, k + 1, sg, GUEST_VGPU_PIECES);
    }
    XEN_REQUIRE(k > 60, "held %u pictures only", k - 1);
    return NULL;
}

/* More is held than may be by mappings of single pages. */
static const char *beside_held(XenTest *t)
{
    GuestVgpu gpu;
    Load l;

    boot(&l, t, "-device virtio-gpu-pci,addr=8");
    XEN_TRY(hold_pictures(t, &gpu));
    XEN_TRY(move_all(&l, PIECES_MAX, true));
    XEN_TRY(move_all(&l, PIECES_MAX, false));
    xen_test_ok(t, guest_virtio_reset(&gpu.dev));
    xen_test_ok(t, guest_virtio_reset(&l.dev));
    return NULL;
}

/*
 * The longest list that the device takes.  Its pieces lie in pairs, and the
 * second of a pair begins in the middle of the first.  The device may be given
 * no piece in parts: its list has no room for one more.
 */
enum { PAIRED = GUEST_VIRTQ_MAX - 2 };

static uint64_t paired_gpa(unsigned piece)
{
    unsigned pair = piece / 2;

    return (FIRST_BUCKET + pair % BUCKETS) * (uint64_t)XEN_TEST_BUCKET +
           DATA_AT + pair / BUCKETS * 2 * SECTOR + piece % 2 * SECTOR / 2;
}

static GuestSg *paired_list(void)
{
    GuestSg *sg = g_new(GuestSg, PAIRED);

    for (unsigned i = 0; i < PAIRED; i++) {
        sg[i] = (GuestSg) { paired_gpa(i), SECTOR };
    }
    return sg;
}

/* The second of a pair was read after the first. */
static const char *paired_moved(XenTest *t)
{
    g_autofree char *path = g_strconcat(t->dir, "/disk", NULL);
    g_autofree char *disk = NULL;
    unsigned bad = 0;

    g_assert_true(g_file_get_contents(path, &disk, NULL, NULL));
    for (unsigned i = 0; i < PAIRED; i++) {
        const unsigned len = i % 2 ? SECTOR : SECTOR / 2;
        uint8_t bytes[SECTOR];

        xensim_read(t->dom, paired_gpa(i), bytes, len);
        bad += memcmp(bytes, disk + i * SECTOR, len) != 0;
    }
    XEN_REQUIRE(bad == 0, "%u of %u pieces have other bytes", bad, PAIRED);
    return NULL;
}

static const char *paired_blk(XenTest *t)
{
    g_autofree GuestSg *sg = paired_list();
    uint8_t status = 0xff;
    GuestVblk blk;
    uint16_t tag;

    boot_machine(t, "-device virtio-blk-pci,drive=drive,addr=7");
    xen_test_ok(t, guest_vblk_init_modern(t->pc, &blk, 0, MMIO, MEM));
    xen_test_ok(t, guest_vblk_start_indirect(&blk, false, 0, sg, PAIRED,
                                             TABLES, &tag));
    xen_test_ok(t, guest_vblk_kick(&blk));
    xen_test_ok(t, guest_vblk_wait(&blk, NULL));
    xen_test_ok(t, guest_vblk_status(&blk, tag, &status));
    XEN_REQUIRE(status == 0, "the request has status %u", status);
    XEN_TRY(paired_moved(t));
    xen_test_ok(t, guest_virtio_reset(&blk.dev));
    return NULL;
}

/* virtio-scsi maps each piece twice, and uses the second mapping. */
static const char *paired_scsi(XenTest *t)
{
    g_autofree GuestSg *sg = paired_list();
    const GuestSg first = { MEM + GUEST_VSCSI_BYTES, SECTOR };
    uint32_t status = 0xff;
    GuestVscsi scsi;
    uint16_t tag;

    boot_machine(t, "-device virtio-scsi-pci,id=scsi,addr=7 "
                    "-device scsi-hd,drive=drive,bus=scsi.0");
    xen_test_ok(t, guest_vscsi_init_modern(t->pc, &scsi, 0, MMIO, MEM));
    /* Its answer is a unit attention. */
    guest_vscsi_rw(&scsi, 0, false, 0, &first, 1);
    xen_test_ok(t, guest_vscsi_start_indirect(&scsi, 0, false, 0, sg, PAIRED,
                                              TABLES, &tag));
    xen_test_ok(t, guest_vscsi_kick(&scsi));
    xen_test_ok(t, guest_vscsi_wait(&scsi, NULL));
    xen_test_ok(t, guest_vscsi_status(&scsi, tag, &status));
    XEN_REQUIRE(status == 0, "the request has status 0x%x", status);
    XEN_TRY(paired_moved(t));
    xen_test_ok(t, guest_virtio_reset(&scsi.dev));
    return NULL;
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("scatter/read", scattered_read, NULL);
    xen_test_add("scatter/write", scattered_write, NULL);
    xen_test_add("scatter/beside-held", beside_held, NULL);
    xen_test_add("scatter/paired-blk", paired_blk, NULL);
    xen_test_add("scatter/paired-scsi", paired_scsi, NULL);
    return g_test_run();
}
