/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks that an iothread serves: it looks guest memory up without the BQL
 * while the main loop answers Xen's invalidates.  Each case runs with
 * virtio-blk and with virtio-scsi; requests come by a ring in guest memory,
 * and what they leave there is compared byte by byte.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "xen-test-iodisk.h"

/* A page that a request names twice has what was written last, or first. */
static bool named_again(const IoRequest *r, unsigned i)
{
    for (unsigned k = 0; k < r->n; k++) {
        if (k != i && r->gfn[k] == r->gfn[i]) {
            return true;
        }
    }
    return false;
}

static const char *request_done(XenTest *t, const IoRequest *r)
{
    for (unsigned i = 0; i < r->n; i++) {
        if (!named_again(r, i)) {
            XEN_TRY(xen_test_disk_at(t, r->gfn[i] * XEN_TEST_PAGE,
                                     r->page + i, 1, IODISK_SEED,
                                     "read other bytes"));
        }
    }
    return NULL;
}
#define request_done(...) XEN_AT(request_done(__VA_ARGS__))

/* The pages get new frames; an old mapping of them still shows the old. */
static void renew(XenTest *t, const IoRequest *r)
{
    for (unsigned i = 0; i < r->n; i++) {
        xensim_depopulate(t->dom, r->gfn[i], 1);
        xensim_populate(t->dom, r->gfn[i], 1);
    }
}

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
static const char *in_thread(XenTest *t)
{
    g_autofree char *log = g_strdup_printf("%s/calls", t->dir);
    g_autofree char *text = NULL;
    g_autofree char *who = NULL;
    const GuestSg sg = { .gpa = 20 * XEN_TEST_BUCKET, .len = XEN_TEST_PAGE };
    const char *line;
    IoDisk d;

    iodisk_boot(&d, t, (uint64_t)XEN_TEST_RAM_MB << 20, XENSIM_DOM_SCATTERED,
                log);
    xen_test_ok(t, iodisk_rw(&d, false, 3, &sg, 1));
    XEN_TRY(xen_test_disk_at(t, sg.gpa, 3, 1, IODISK_SEED, "read other bytes"));

    who = g_strdup_printf("/%" PRId64 " xenforeignmemory_map", iothread_id(t));
    g_assert_true(g_file_get_contents(log, &text, NULL, NULL));
    line = strstr(text, who);
    XEN_REQUIRE(line, "did not map in the iothread");
    xen_test_ok(t, iodisk_reset(&d));
    return NULL;
}

/* Reads and writes, several at a time, cold and warm. */
static const char *transfers(XenTest *t)
{
    GuestSg sg[2] = { { 0x700200, 0x2e00 }, { 0x8ffe00, 0x1200 } };
    uint8_t page[XEN_TEST_PAGE];
    IoRequest r[IODISK_REQUESTS];
    IoDisk d;

    iodisk_boot_small(&d, t);
    for (unsigned round = 0; round < 60; round++) {
        for (unsigned i = 0; i < IODISK_REQUESTS; i++) {
            iodisk_random(&r[i], i);
            xen_test_ok(t, iodisk_put(&d, &r[i]));
        }
        xen_test_ok(t, iodisk_kick(&d));
        for (unsigned i = 0; i < IODISK_REQUESTS; i++) {
            xen_test_ok(t, iodisk_wait(&d));
        }
        for (unsigned i = 0; i < IODISK_REQUESTS; i++) {
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
    xen_test_ok(t, iodisk_rw(&d, true, 800, sg, 2));
    sg[0] = (GuestSg) { 0x2000000, 6 * XEN_TEST_PAGE };
    xen_test_ok(t, iodisk_rw(&d, false, 799, sg, 1));
    XEN_TRY(xen_test_disk_at(t, 0x2001000, 0, 4, 99, "wrote other bytes"));
    XEN_TRY(xen_test_disk_at(t, 0x2000000, 799, 1, IODISK_SEED,
                             "wrote to other sectors"));
    XEN_TRY(xen_test_disk_at(t, 0x2005000, 804, 1, IODISK_SEED,
                             "wrote to other sectors"));
    xen_test_ok(t, iodisk_reset(&d));
    return NULL;
}

enum { OTHER_PAGES = 64 };      /* what the guest balloons meanwhile */

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
            xensim_populate(b->dom, IODISK_OTHER_GFN, OTHER_PAGES);
        } else {
            xensim_depopulate(b->dom, IODISK_OTHER_GFN, OTHER_PAGES);
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
static const char *invalidates(XenTest *t)
{
    Balloon b = { 0 };
    IoRequest r[IODISK_REQUESTS];
    const char *text = NULL;
    GThread *thread;
    IoDisk d;
    int rc = 0;

    iodisk_boot_small(&d, t);
    b.dom = t->dom;
    thread = g_thread_new("balloon", balloon, &b);
    for (unsigned round = 0; round < 150 && !text && !rc; round++) {
        for (unsigned i = 0; i < IODISK_REQUESTS && !rc; i++) {
            iodisk_random(&r[i], i);
            renew(t, &r[i]);
        }
        /* From now on a lookup must show the new frames. */
        rc = xensim_ioreq(t->dom, &(XensimIoreq) {
                              .type = XENSIM_IOREQ_INVALIDATE });
        for (unsigned i = 0; i < IODISK_REQUESTS && !rc; i++) {
            rc = iodisk_put(&d, &r[i]);
            if (!rc && i % 2) {
                rc = iodisk_kick(&d);
            }
        }
        for (unsigned i = 0; i < IODISK_REQUESTS && !rc; i++) {
            rc = iodisk_wait(&d);
        }
        for (unsigned i = 0; i < IODISK_REQUESTS && !rc && !text; i++) {
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
        xensim_populate(t->dom, IODISK_OTHER_GFN, OTHER_PAGES);
    }
    xen_test_ok(t, iodisk_reset(&d));
    return NULL;
}

/*
 * More buckets than can be kept: each piece of each request is in another
 * one, and comes back after it was evicted.
 */
static const char *eviction(XenTest *t)
{
    enum { N = 126, ROUNDS = 270, SPARE = 256 };
    const uint64_t first = (4ull << 30) + XEN_TEST_BUCKET / 2;
    GuestSg sg[N];
    uint64_t kept;
    IoDisk d;

    iodisk_boot(&d, t, 40ull << 30, 0, NULL);
    for (unsigned round = 0; round < ROUNDS + 20; round++) {
        uint8_t page[XEN_TEST_PAGE], bytes[512];

        for (unsigned i = 0; i < N; i++) {
            sg[i].gpa = first + (uint64_t)(round % ROUNDS * N + i) *
                                XEN_TEST_BUCKET;
            sg[i].len = 512;
        }
        xen_test_ok(t, iodisk_rw(&d, false, round, sg, N));
        for (unsigned i = 0; i < N; i++) {
            xensim_stamp_page(page, round + i / 8, IODISK_SEED);
            xensim_read(t->dom, sg[i].gpa, bytes, sizeof(bytes));
            XEN_REQUIRE(xen_test_same(bytes, page + i % 8 * 512, 512,
                                      sg[i].gpa),
                        "read other bytes");
        }
    }
    kept = xen_test_stat(t, "buckets");
    XEN_REQUIRE(t->stock || kept <= xen_test_stat(t, "buckets-max") + SPARE,
                "keeps %" PRIu64 " buckets", kept);
    XEN_REQUIRE(t->stock || kept < ROUNDS * N, "did not evict anything");
    xen_test_ok(t, iodisk_reset(&d));
    return NULL;
}

/* The guest goes on elsewhere, in the middle of its work with the disk. */
static const char *restored(XenTest *t)
{
    const GuestSg sg = { 0xb00000, 16 * XEN_TEST_PAGE };
    const char *args, *file;
    XensimDomainConfig cfg = {
        .ram_bytes = (uint64_t)XEN_TEST_RAM_MB << 20, .vcpus = 2,
        .flags = XENSIM_DOM_SCATTERED | XENSIM_DOM_EMPTY,
    };
    XensimDomain *old;
    IoDisk d;

    iodisk_boot_small(&d, t);
    args = iodisk_args(t);
    xen_test_ok(t, iodisk_rw(&d, false, 10, &sg, 1));
    file = xen_test_save(t);
    old = t->dom;
    t->dom = xensim_domain_create(t->sim, &cfg);
    g_assert_cmpint(xensim_domain_copy_memory(t->dom, old), ==, 0);
    xen_test_stop(t);
    xensim_domain_destroy(old);
    xen_test_boot_incoming(t, args, file);

    XEN_TRY(xen_test_disk_at(t, sg.gpa, 10, 16, IODISK_SEED,
                             "lost guest memory"));
    d.blk.dev.pc = d.vscsi.dev.pc = t->pc;
    for (unsigned i = 0; i < 50; i++) {
        xen_test_ok(t, iodisk_rw(&d, false, 20 + i, &sg, 1));
        XEN_TRY(xen_test_disk_at(t, sg.gpa, 20 + i, 16, IODISK_SEED,
                                 "read other bytes after the restore"));
        xensim_balloon_out(t->dom, sg.gpa / XEN_TEST_PAGE, 16);
        xensim_balloon_in(t->dom, sg.gpa / XEN_TEST_PAGE, 16);
    }
    xen_test_ok(t, iodisk_reset(&d));
    return NULL;
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    /*
     * The stock device model cannot map in an iothread that serves virtio-blk:
     * it announces the mapping there, and the block layer asserts.
     */
    iodisk_add("in-thread", in_thread, "ended by SIGABRT", "ok");
    iodisk_add("transfers", transfers, NULL, NULL);
    iodisk_add("invalidates", invalidates, NULL, NULL);
    iodisk_add("eviction", eviction, NULL, NULL);
    iodisk_add("restore", restored, NULL, NULL);
    return g_test_run();
}
