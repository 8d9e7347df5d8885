/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks that an iothread serves: it looks guest memory up without the BQL
 * while the main loop answers Xen's invalidates.  Each case runs with
 * virtio-blk and with virtio-scsi; requests come by a ring in guest memory,
 * and what they leave there is compared byte by byte.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/cutils.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "guest-virtio.h"
#include "xen-test-common.h"

enum {
    SEED = 61,
    DISK_PAGES = 1024,
    IO = 0xc200,
    DRIVER_GPA = 0x100000,      /* the driver's own memory, in bucket 1 */
    FIRST_GFN = 0x400,          /* data is from here on, */
    DATA_PAGES = 0x3000 - FIRST_GFN,    /* ... up to here; */
    OTHER_GFN = 0x3000,         /* and here is what the guest balloons */
    OTHER_PAGES = 64,
    MAX_PIECES = 16,
    MAX_REQUESTS = 6,
};

typedef struct Disk {
    XenTest *t;
    bool scsi;
    GuestVblk blk;
    GuestVscsi vscsi;
} Disk;

/* ---- the disk, whichever it is ---- */

static int disk_start(Disk *d, bool write, unsigned page, const GuestSg *sg,
                      unsigned n)
{
    uint16_t tag;

    return d->scsi ?
        guest_vscsi_start(&d->vscsi, 0, write, page * 8, sg, n, &tag) :
        guest_vblk_start(&d->blk, write, page * 8, sg, n, &tag);
}

static int disk_kick(Disk *d)
{
    return d->scsi ? guest_vscsi_kick(&d->vscsi) : guest_vblk_kick(&d->blk);
}

static int disk_wait(Disk *d)
{
    return d->scsi ? guest_vscsi_wait(&d->vscsi, NULL)
                   : guest_vblk_wait(&d->blk, NULL);
}

static int disk_rw(Disk *d, bool write, unsigned page, const GuestSg *sg,
                   unsigned n)
{
    int rc = disk_start(d, write, page, sg, n);

    if (!rc) {
        rc = disk_kick(d);
    }
    return rc ? rc : disk_wait(d);
}

static int disk_reset(Disk *d)
{
    return guest_virtio_reset(d->scsi ? &d->vscsi.dev : &d->blk.dev);
}

/* The guest's driver is loaded; the device may have been in use before. */
static void disk_init(Disk *d)
{
    XenTest *t = d->t;

    if (d->scsi) {
        const GuestSg sg = { .gpa = FIRST_GFN * XEN_TEST_PAGE, .len = 512 };
        int rc;

        xen_test_ok(t, guest_vscsi_init(t->pc, &d->vscsi, 0, IO,
                                        DRIVER_GPA));
        /* It tells that it was reset, and does as it is told after that. */
        rc = disk_rw(d, false, 0, &sg, 1);
        xen_test_ok(t, rc == -EIO ? 0 : rc);
    } else {
        xen_test_ok(t, guest_vblk_init(t->pc, &d->blk, 0, IO, DRIVER_GPA));
    }
}

/* Arguments for the disk behind an iothread (live as long as @t). */
static const char *disk_args(XenTest *t, bool scsi)
{
    xen_test_disk(t, DISK_PAGES, SEED);
    return xen_test_keep(t, g_strdup_printf(
        "-smp 2 -object iothread,id=io -drive file='%s/disk',format=raw,"
        "if=none,id=drive -device %s,iothread=io,addr=7,disable-legacy=off,"
        "disable-modern=on%s", t->dir,
        scsi ? "virtio-scsi-pci" : "virtio-blk-pci",
        scsi ? " -device scsi-hd,drive=drive" : ",drive=drive"));
}

static bool log_calls;          /* the next device model logs its calls */

/* A guest of @ram_bytes and two vCPUs, its disk in use. */
static void boot(Disk *d, XenTest *t, bool scsi, uint64_t ram_bytes,
                 unsigned flags)
{
    XensimDomainConfig cfg = {
        .ram_bytes = ram_bytes, .vcpus = 2, .flags = flags,
    };

    *d = (Disk) { .t = t, .scsi = scsi };
    t->dom = xensim_domain_create(t->sim, &cfg);
    g_assert_nonnull(t->dom);
    /* Whoever asked for a log may have been left before its end. */
    if (!log_calls) {
        unsetenv("XENSIM_LOG");
    }
    log_calls = false;
    xen_test_boot(t, disk_args(t, scsi));
    disk_init(d);
}

static void boot_small(Disk *d, XenTest *t, bool scsi)
{
    boot(d, t, scsi, (uint64_t)XEN_TEST_RAM_MB << 20, XENSIM_DOM_SCATTERED);
}

/* ---- a load ---- */

typedef struct Request {
    bool write;
    unsigned page, n;           /* of the disk */
    uint64_t gfn[MAX_PIECES];   /* a page each */
} Request;

static void random_request(Request *r, unsigned serial)
{
    r->write = false;
    r->n = g_test_rand_int_range(1, MAX_PIECES + 1);
    r->page = g_test_rand_int_range(0, DISK_PAGES - MAX_PIECES);
    for (unsigned i = 0; i < r->n; i++) {
        /* Requests that are under way together do not share a page. */
        r->gfn[i] = FIRST_GFN + serial % MAX_REQUESTS +
                    g_test_rand_int_range(0, DATA_PAGES / MAX_REQUESTS) *
                    MAX_REQUESTS;
    }
}

static int put_request(Disk *d, const Request *r)
{
    GuestSg sg[MAX_PIECES];

    for (unsigned i = 0; i < r->n; i++) {
        sg[i] = (GuestSg) { r->gfn[i] * XEN_TEST_PAGE, XEN_TEST_PAGE };
    }
    return disk_start(d, r->write, r->page, sg, r->n);
}

/* A page that a request names twice has what was written last, or first. */
static bool named_again(const Request *r, unsigned i)
{
    for (unsigned k = 0; k < r->n; k++) {
        if (k != i && r->gfn[k] == r->gfn[i]) {
            return true;
        }
    }
    return false;
}

static const char *request_done(XenTest *t, const Request *r)
{
    for (unsigned i = 0; i < r->n; i++) {
        if (!named_again(r, i)) {
            XEN_TRY(xen_test_disk_at(t, r->gfn[i] * XEN_TEST_PAGE,
                                     r->page + i, 1, SEED,
                                     "read other bytes"));
        }
    }
    return NULL;
}

/* The pages get new frames; an old mapping of them still shows the old. */
static void renew(XenTest *t, const Request *r)
{
    for (unsigned i = 0; i < r->n; i++) {
        xensim_depopulate(t->dom, r->gfn[i], 1);
        xensim_populate(t->dom, r->gfn[i], 1);
    }
}

/* ---- cases ---- */

/* The thread id of the one iothread. */
static int64_t iothread_id(XenTest *t)
{
    QDict *rsp = qtest_qmp(t->qts, "{'execute': 'query-iothreads'}");
    const QListEntry *first = qlist_first(qdict_get_qlist(rsp, "return"));
    int64_t id = qdict_get_int(qobject_to(QDict, qlist_entry_obj(first)),
                               "thread-id");

    qobject_unref(rsp);
    return id;
}

/* That it is the iothread that maps: else the other cases show nothing. */
static const char *in_thread(XenTest *t, bool scsi)
{
    g_autofree char *log = g_strdup_printf("%s/calls", t->dir);
    g_autofree char *text = NULL;
    g_autofree char *who = NULL;
    const GuestSg sg = { .gpa = 20 * XEN_TEST_BUCKET, .len = XEN_TEST_PAGE };
    const char *line;
    Disk d;

    setenv("XENSIM_LOG", log, true);
    log_calls = true;
    boot_small(&d, t, scsi);
    xen_test_ok(t, disk_rw(&d, false, 3, &sg, 1));
    XEN_TRY(xen_test_disk_at(t, sg.gpa, 3, 1, SEED, "read other bytes"));

    who = g_strdup_printf("/%" PRId64 " xenforeignmemory_map", iothread_id(t));
    g_assert_true(g_file_get_contents(log, &text, NULL, NULL));
    line = strstr(text, who);
    XEN_REQUIRE(line, "did not map in the iothread");
    xen_test_ok(t, disk_reset(&d));
    return NULL;
}

/* Reads and writes, several at a time, cold and warm. */
static const char *transfers(XenTest *t, bool scsi)
{
    GuestSg sg[2] = { { 0x700200, 0x2e00 }, { 0x8ffe00, 0x1200 } };
    uint8_t page[XEN_TEST_PAGE];
    Request r[MAX_REQUESTS];
    Disk d;

    boot_small(&d, t, scsi);
    for (unsigned round = 0; round < 60; round++) {
        for (unsigned i = 0; i < MAX_REQUESTS; i++) {
            random_request(&r[i], i);
            xen_test_ok(t, put_request(&d, &r[i]));
        }
        xen_test_ok(t, disk_kick(&d));
        for (unsigned i = 0; i < MAX_REQUESTS; i++) {
            xen_test_ok(t, disk_wait(&d));
        }
        for (unsigned i = 0; i < MAX_REQUESTS; i++) {
            XEN_TRY(request_done(t, &r[i]));
        }
    }
    /* Pieces that begin and end within pages, to the disk and back. */
    for (unsigned i = 0; i < 4; i++) {
        xensim_stamp_page(page, i, 99);
        for (unsigned k = 0; k < XEN_TEST_PAGE; k += 512) {
            unsigned at = i * XEN_TEST_PAGE + k;
            bool second = at >= sg[0].len;

            xensim_write(t->dom, sg[second].gpa + at -
                         (second ? sg[0].len : 0), page + k, 512);
        }
    }
    xen_test_ok(t, disk_rw(&d, true, 800, sg, 2));
    sg[0] = (GuestSg) { 0x2000000, 6 * XEN_TEST_PAGE };
    xen_test_ok(t, disk_rw(&d, false, 799, sg, 1));
    XEN_TRY(xen_test_disk_at(t, 0x2001000, 0, 4, 99, "wrote other bytes"));
    XEN_TRY(xen_test_disk_at(t, 0x2000000, 799, 1, SEED,
                             "wrote to other sectors"));
    XEN_TRY(xen_test_disk_at(t, 0x2005000, 804, 1, SEED,
                             "wrote to other sectors"));
    xen_test_ok(t, disk_reset(&d));
    return NULL;
}

typedef struct Balloon {
    XensimDomain *dom;
    unsigned rounds;
    bool stop, failed;
} Balloon;

/* The second vCPU gives memory away and takes it back, again and again. */
static void *balloon(void *opaque)
{
    Balloon *b = opaque;

    xensim_vcpu_select(1);
    while (!qatomic_read(&b->stop)) {
        XensimIoreq req = { .type = XENSIM_IOREQ_INVALIDATE };

        if (b->rounds % 2) {
            xensim_populate(b->dom, OTHER_GFN, OTHER_PAGES);
        } else {
            xensim_depopulate(b->dom, OTHER_GFN, OTHER_PAGES);
        }
        if (xensim_ioreq(b->dom, &req) != XENSIM_OK) {
            qatomic_set(&b->failed, true);
            break;
        }
        b->rounds++;
        g_usleep(100);
    }
    return NULL;
}

/*
 * Requests are under way all the time while invalidates come.  Between them,
 * the pages that the next are for get new frames.
 */
static const char *invalidates(XenTest *t, bool scsi)
{
    Balloon b = { 0 };
    Request r[MAX_REQUESTS];
    const char *text = NULL;
    GThread *thread;
    Disk d;
    int rc = 0;

    boot_small(&d, t, scsi);
    b.dom = t->dom;
    thread = g_thread_new("balloon", balloon, &b);
    for (unsigned round = 0; round < 150 && !text && !rc; round++) {
        for (unsigned i = 0; i < MAX_REQUESTS && !rc; i++) {
            random_request(&r[i], i);
            renew(t, &r[i]);
        }
        /* From now on a lookup must show the new frames. */
        rc = xensim_ioreq(t->dom, &(XensimIoreq) {
                              .type = XENSIM_IOREQ_INVALIDATE });
        for (unsigned i = 0; i < MAX_REQUESTS && !rc; i++) {
            rc = put_request(&d, &r[i]);
            if (!rc && i % 2) {
                rc = disk_kick(&d);
            }
        }
        for (unsigned i = 0; i < MAX_REQUESTS && !rc; i++) {
            rc = disk_wait(&d);
        }
        for (unsigned i = 0; i < MAX_REQUESTS && !rc && !text; i++) {
            text = request_done(t, &r[i]);
        }
    }
    /* Nothing may leave before the thread has ended. */
    qatomic_set(&b.stop, true);
    g_thread_join(thread);
    xen_test_ok(t, rc);
    XEN_TRY(text);
    XEN_REQUIRE(!b.failed, "did not answer an invalidate");
    XEN_REQUIRE(b.rounds > 50, "answered %u invalidates only", b.rounds);
    g_test_message("%u invalidates meanwhile", b.rounds);
    if (b.rounds % 2) {
        xensim_populate(t->dom, OTHER_GFN, OTHER_PAGES);
    }
    xen_test_ok(t, disk_reset(&d));
    return NULL;
}

/*
 * More buckets than can be kept: each piece of each request is in another
 * one, and comes back after it was evicted.
 */
static const char *eviction(XenTest *t, bool scsi)
{
    enum { N = 126, ROUNDS = 270 };
    const uint64_t first = (4ull << 30) + XEN_TEST_BUCKET / 2;
    GuestSg sg[N];
    uint64_t kept;
    Disk d;

    boot(&d, t, scsi, 40ull << 30, 0);
    for (unsigned round = 0; round < ROUNDS + 20; round++) {
        uint8_t page[XEN_TEST_PAGE], bytes[512];

        for (unsigned i = 0; i < N; i++) {
            sg[i].gpa = first + (uint64_t)(round % ROUNDS * N + i) *
                                XEN_TEST_BUCKET;
            sg[i].len = 512;
        }
        xen_test_ok(t, disk_rw(&d, false, round, sg, N));
        for (unsigned i = 0; i < N; i++) {
            xensim_stamp_page(page, round + i / 8, SEED);
            xensim_read(t->dom, sg[i].gpa, bytes, sizeof(bytes));
            XEN_REQUIRE(!memcmp(bytes, page + i % 8 * 512, 512),
                        "read other bytes");
        }
    }
    kept = xen_test_stat(t, "buckets");
    XEN_REQUIRE(t->stock || kept <= xen_test_stat(t, "buckets-max"),
                "keeps %" PRIu64 " buckets", kept);
    XEN_REQUIRE(t->stock || kept < ROUNDS * N, "did not evict anything");
    xen_test_ok(t, disk_reset(&d));
    return NULL;
}

/* A page of the buffer is not there: it is lost, the others are not. */
static const char *hole(XenTest *t, bool scsi)
{
    const uint64_t gfn = 0x1234;
    GuestSg sg[4];
    Disk d;

    boot_small(&d, t, scsi);
    for (unsigned i = 0; i < 4; i++) {
        sg[i] = (GuestSg) { (gfn + i) * XEN_TEST_PAGE, XEN_TEST_PAGE };
    }
    for (unsigned warm = 0; warm < 2; warm++) {
        xensim_fill(t->dom, sg[0].gpa, 0xaa, 4 * XEN_TEST_PAGE);
        if (warm) {
            xen_test_ok(t, disk_rw(&d, false, 100, sg, 4));
        }
        xensim_balloon_out(t->dom, gfn + 2, 1);
        xen_test_ok(t, disk_rw(&d, false, 200, sg, 4));
        for (unsigned i = 0; i < 4; i++) {
            if (i != 2) {
                XEN_TRY(xen_test_disk_at(t, sg[i].gpa, 200 + i, 1, SEED,
                                         "read other bytes beside a hole"));
            }
        }
        XEN_REQUIRE(xensim_gfn_to_mfn(t->dom, gfn + 2) == XENSIM_NO_MFN,
                    "filled the hole");

        /* What it reads from the hole is zeros. */
        xen_test_ok(t, disk_rw(&d, true, 300 + warm * 4, sg, 4));
        xensim_balloon_in(t->dom, gfn + 2, 1);
        xensim_fill(t->dom, sg[0].gpa, 0xbb, 4 * XEN_TEST_PAGE);
        xen_test_ok(t, disk_rw(&d, false, 300 + warm * 4, sg, 4));
        for (unsigned i = 0; i < 4; i++) {
            uint8_t page[XEN_TEST_PAGE];

            xensim_read(t->dom, sg[i].gpa, page, sizeof(page));
            XEN_REQUIRE(i == 2 ? buffer_is_zero(page, sizeof(page)) :
                        xensim_stamp_page_ok(page, 200 + i, SEED),
                        "wrote other bytes from beside a hole");
        }
    }
    xen_test_ok(t, disk_reset(&d));
    return NULL;
}

/*
 * The whole buffer is not there, of more pages than can be bounced.  What is
 * read is lost, what is written is zeros, and no request waits for ever.
 */
static const char *holes(XenTest *t, bool scsi)
{
    const uint64_t gfn = 0x2345;
    const GuestSg big = { gfn * XEN_TEST_PAGE, 16 * XEN_TEST_PAGE };
    const GuestSg good = { 0x800000, 16 * XEN_TEST_PAGE };
    Disk d;

    boot_small(&d, t, scsi);
    for (unsigned i = 0; i < 8; i++) {
        xensim_balloon_out(t->dom, gfn, 16);
        xen_test_ok(t, disk_rw(&d, i % 2, 16 * i, &big, 1));
        XEN_REQUIRE(xensim_gfn_to_mfn(t->dom, gfn) == XENSIM_NO_MFN,
                    "filled the hole");
        xensim_balloon_in(t->dom, gfn, 16);

        xensim_fill(t->dom, good.gpa, 0xcc, good.len);
        xen_test_ok(t, disk_rw(&d, false, 16 * i, &good, 1));
        if (i % 2) {
            uint8_t bytes[16 * XEN_TEST_PAGE];

            xensim_read(t->dom, good.gpa, bytes, sizeof(bytes));
            XEN_REQUIRE(buffer_is_zero(bytes, sizeof(bytes)),
                        "wrote something from a hole");
        } else {
            XEN_TRY(xen_test_disk_at(t, good.gpa, 16 * i, 16, SEED,
                                     "changed the disk"));
        }
        xen_test_ok(t, disk_reset(&d));
        disk_init(&d);
        xen_test_ok(t, disk_rw(&d, false, 500 + i, &good, 1));
        XEN_TRY(xen_test_disk_at(t, good.gpa, 500 + i, 16, SEED,
                                 "read other bytes after a hole"));
        xen_test_ok(t, disk_rw(&d, false, 600 + i, &big, 1));
        XEN_TRY(xen_test_disk_at(t, big.gpa, 600 + i, 16, SEED,
                                 "read other bytes where a hole was"));
    }
    xen_test_ok(t, disk_reset(&d));
    return NULL;
}

/* The guest gives away the ring itself, with a request in it. */
static const char *ring_gone(XenTest *t, bool scsi)
{
    const GuestSg good = { 0x900000, 16 * XEN_TEST_PAGE };
    Disk d;

    boot_small(&d, t, scsi);
    for (unsigned i = 0; i < 3; i++) {
        xen_test_ok(t, disk_start(&d, false, i, &good, 1));
        if (i < 2) {
            xen_test_ok(t, disk_kick(&d));
        }
        xensim_balloon_out(t->dom, DRIVER_GPA / XEN_TEST_PAGE, 32);
        guest_out(t->pc, IO + 16, 2, scsi ? 2 : 0); /* the kick's register */
        xen_test_alive(t);
        xen_test_ok(t, disk_reset(&d));
        xensim_balloon_in(t->dom, DRIVER_GPA / XEN_TEST_PAGE, 32);

        disk_init(&d);
        xen_test_ok(t, disk_rw(&d, false, 700 + i, &good, 1));
        XEN_TRY(xen_test_disk_at(t, good.gpa, 700 + i, 16, SEED,
                                 "read other bytes with a new ring"));
    }
    xen_test_ok(t, disk_reset(&d));
    return NULL;
}

/* The driver resets the device, and the guest gives memory away, midway. */
static const char *reset_midway(XenTest *t, bool scsi)
{
    const GuestSg good = { 0xa00000, 16 * XEN_TEST_PAGE };
    Request r;
    Disk d;

    boot_small(&d, t, scsi);
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < MAX_REQUESTS; i++) {
            random_request(&r, i);
            xen_test_ok(t, put_request(&d, &r));
        }
        xen_test_ok(t, disk_kick(&d));
        xensim_invalidate(t->dom);
        xen_test_ok(t, disk_reset(&d));
        xensim_balloon_out(t->dom, FIRST_GFN, 0x200);
        xensim_balloon_in(t->dom, FIRST_GFN, 0x200);

        disk_init(&d);
        xen_test_ok(t, disk_rw(&d, false, 400 + round, &good, 1));
        XEN_TRY(xen_test_disk_at(t, good.gpa, 400 + round, 16, SEED,
                                 "read other bytes after a reset"));
    }
    xen_test_ok(t, disk_reset(&d));
    return NULL;
}

/* The guest goes on elsewhere, in the middle of its work with the disk. */
static const char *restored(XenTest *t, bool scsi)
{
    const GuestSg sg = { 0xb00000, 16 * XEN_TEST_PAGE };
    const char *args, *file;
    XensimDomainConfig cfg = {
        .ram_bytes = (uint64_t)XEN_TEST_RAM_MB << 20, .vcpus = 2,
        .flags = XENSIM_DOM_SCATTERED | XENSIM_DOM_EMPTY,
    };
    XensimDomain *old;
    Disk d;

    boot_small(&d, t, scsi);
    args = disk_args(t, scsi);
    xen_test_ok(t, disk_rw(&d, false, 10, &sg, 1));
    file = xen_test_save(t);
    old = t->dom;
    t->dom = xensim_domain_create(t->sim, &cfg);
    g_assert_cmpint(xensim_domain_copy_memory(t->dom, old), ==, 0);
    xen_test_stop(t);
    xensim_domain_destroy(old);
    xen_test_boot_incoming(t, args, file);

    XEN_TRY(xen_test_disk_at(t, sg.gpa, 10, 16, SEED, "lost guest memory"));
    d.blk.dev.pc = d.vscsi.dev.pc = t->pc;
    for (unsigned i = 0; i < 50; i++) {
        xen_test_ok(t, disk_rw(&d, false, 20 + i, &sg, 1));
        XEN_TRY(xen_test_disk_at(t, sg.gpa, 20 + i, 16, SEED,
                                 "read other bytes after the restore"));
        xensim_balloon_out(t->dom, sg.gpa / XEN_TEST_PAGE, 16);
        xensim_balloon_in(t->dom, sg.gpa / XEN_TEST_PAGE, 16);
    }
    xen_test_ok(t, disk_reset(&d));
    return NULL;
}

#define BOTH(name)                                  \
    static const char *name##_blk(XenTest *t)       \
    {                                               \
        return name(t, false);                      \
    }                                               \
    static const char *name##_scsi(XenTest *t)      \
    {                                               \
        return name(t, true);                       \
    }

BOTH(in_thread)
BOTH(transfers)
BOTH(invalidates)
BOTH(eviction)
BOTH(hole)
BOTH(holes)
BOTH(ring_gone)
BOTH(reset_midway)
BOTH(restored)

/*
 * The stock device model cannot map in an iothread that serves virtio-blk: it
 * announces the mapping there, and the block layer asserts.  Once is enough.
 */
#define ADD(name, scenario, stock_blk, stock_scsi)                          \
    do {                                                                    \
        xen_test_add("iothread/blk/" name, scenario##_blk, stock_blk);      \
        xen_test_add("iothread/scsi/" name, scenario##_scsi, stock_scsi);   \
    } while (0)

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    ADD("in-thread", in_thread, "ended by SIGABRT", "ok");
    ADD("transfers", transfers, NULL, NULL);
    ADD("invalidates", invalidates, NULL, NULL);
    ADD("eviction", eviction, NULL, NULL);
    ADD("hole", hole, NULL,
        "did not answer: virtio queue: nothing*");
    ADD("holes", holes, NULL,
        "did not answer: virtio queue: nothing*");
    ADD("ring-gone", ring_gone, NULL,
        "did not answer: virtio queue: nothing*");
    ADD("reset", reset_midway, NULL, NULL);
    ADD("restore", restored, NULL, NULL);
    return g_test_run();
}
