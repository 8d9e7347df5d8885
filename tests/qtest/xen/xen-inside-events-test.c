/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP events tell of transfers that an invalidate finds, and of lookups without
 * a slot, and do not flood who listens.
 */
#include "qemu/osdep.h"
#include "xen-test-common.h"
#include "drivers/virtio.h"

enum { SEED = 53, DISK_PAGES = 64, RING = 0x700000, BUFFER = 0x640000 };

static void boot(XenTest *t, const char *more)
{
    xen_test_start_disk(t, DISK_PAGES, SEED, more);
}
#define boot(...) XEN_AT(boot(__VA_ARGS__))

typedef struct Events {
    const char *name, *member;  /* which ones, and what of them is added up */
    unsigned n;
    uint64_t sum;
    QDict *last;                /* data of the newest, or NULL */
} Events;

/* Those that came since the last look, and since a command was answered. */
static void look_for_events(XenTest *t, Events *e)
{
    bool answered = false;

    qtest_qmp_send(t->qts, "{'execute': 'query-status'}");
    while (!answered) {
        QDict *rsp = qtest_qmp_receive_dict(t->qts);
        const char *name = qdict_get_try_str(rsp, "event");

        answered = !name;
        if (name && g_str_equal(name, e->name)) {
            qobject_unref(e->last);
            e->last = qobject_ref(qdict_get_qdict(rsp, "data"));
            e->sum += qdict_get_int(e->last, e->member);
            e->n++;
        }
        qobject_unref(rsp);
    }
}

/* Waits until @sum have been told of (5 s). */
static void wait_for_events(XenTest *t, Events *e, uint64_t sum)
{
    for (unsigned i = 0; i < 500 && e->sum < sum; i++) {
        look_for_events(t, e);
        g_usleep(10 * 1000);
    }
}

/* At most as many as seconds have begun since @start, and one at once. */
static bool few(const Events *e, gint64 start)
{
    return e->n <= (g_get_monotonic_time() - start) / G_TIME_SPAN_SECOND + 2;
}

/* A guest that invalidates in a loop does not flood who listens. */
static const char *event_outstanding(XenTest *t)
{
    enum { ROUNDS = 1000 };
    Events e = { .name = "XEN_MAPCACHE_DMA_OUTSTANDING",
                 .member = "invalidates" };
    QDict *oldest;
    gint64 start;

    boot(t, XEN_TEST_STATS);
    xensim_invalidate(t->dom);
    look_for_events(t, &e);
    XEN_REQUIRE(e.n == 0, "tells of transfers when there are none");
    xen_test_stats_hold(t, RING, BUFFER, 1234);
    start = g_get_monotonic_time();
    for (unsigned i = 0; i < ROUNDS; i++) {
        xensim_invalidate(t->dom);
    }
    wait_for_events(t, &e, ROUNDS);
    XEN_REQUIRE(e.n && few(&e, start), "sent %u events for %u invalidates",
                e.n, ROUNDS);
    XEN_REQUIRE(e.sum == ROUNDS, "told of %" PRIu64 " invalidates of %u", e.sum,
                ROUNDS);
    g_test_message("%u events for %u invalidates", e.n, ROUNDS);
    oldest = qdict_get_qdict(e.last, "oldest");
    XEN_REQUIRE(qdict_get_int(e.last, "count") == 1 &&
                qdict_get_int(oldest, "address") == BUFFER &&
                qdict_get_int(oldest, "size") == 1234 &&
                strstr(qdict_get_str(oldest, "device"), "virtio-balloon") &&
                !qdict_get_bool(oldest, "writes") &&
                !qdict_get_bool(oldest, "held"),
                "does not know the oldest transfer");

    /* Rings and lists that are held are nothing to tell of. */
    xen_test_stats_release(t);
    qobject_unref(e.last);
    e.last = NULL;
    e.n = 0;
    for (unsigned i = 0; i < 100; i++) {
        xensim_invalidate(t->dom);
    }
    look_for_events(t, &e);
    XEN_REQUIRE(e.n == 0, "tells of a transfer that has ended");
    return NULL;
}

/* Requests that have more pieces than the cache has slots. */
static const char *event_low(XenTest *t)
{
    enum { IO = 0xc200, RINGS = 0x100000, PIECES = 50, ROUNDS = 100 };
    Events e = { .name = "XEN_MAPCACHE_LOW", .member = "lookups" };
    uint32_t bytes[] = { 512, 6 * XEN_TEST_PAGE };
    GuestSg sg[PIECES];
    GuestVblk blk;

    boot(t, "-machine mapcache-size=32M "
         "-drive if=none,id=null,format=raw,file.driver=null-co,"
         "file.size=16777216,file.read-zeroes=on "
         "-device virtio-blk-pci,drive=null,addr=7,disable-legacy=off,"
         "disable-modern=on ");
    xen_test_ok(t, guest_vblk_init(t->pc, &blk, 0, IO, RINGS));
    look_for_events(t, &e);
    XEN_REQUIRE(e.n == 0, "tells that the cache is low when it is empty");
    /* What is short is copied; what is long is mapped by its pages. */
    for (unsigned k = 0; k < ARRAY_SIZE(bytes); k++) {
        gint64 start = g_get_monotonic_time();

        for (unsigned i = 0; i < PIECES; i++) {
            sg[i] = (GuestSg) { (10 + i) * XEN_TEST_BUCKET, bytes[k] };
        }
        e.n = e.sum = 0;
        for (unsigned i = 0; i < ROUNDS; i++) {
            xen_test_ok(t, guest_vblk_rw(&blk, false, 0, sg, PIECES));
        }
        wait_for_events(t, &e, ROUNDS);
        XEN_REQUIRE(e.sum >= ROUNDS, "told of %" PRIu64 " lookups for %u "
                    "requests that are too large", e.sum, ROUNDS);
        XEN_REQUIRE(few(&e, start), "sent %u events for %" PRIu64 " lookups",
                    e.n, e.sum);
        g_test_message("%u events for %" PRIu64 " lookups", e.n, e.sum);
    }
    qobject_unref(e.last);
    xen_test_ok(t, guest_virtio_reset(&blk.dev));
    return NULL;
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("inside/event-outstanding", event_outstanding, NULL);
    xen_test_add("inside/event-low", event_low, NULL);
    return g_test_run();
}
