/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the monitor tells of DMA mappings is what the devices hold, also in a
 * crowd and to odd questions.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "xen-test-common.h"
#include "drivers/virtio.h"

enum { SEED = 53, DISK_PAGES = 64, RING = 0x700000, BUFFER = 0x640000 };

static void boot(XenTest *t, const char *more)
{
    xen_test_start_disk(t, DISK_PAGES, SEED, more);
}
#define boot(...) XEN_AT(boot(__VA_ARGS__))

/* The mapping of @bytes at @gpa that is told, or NULL. */
static QDict *mapping(QDict *told, uint64_t gpa, uint64_t bytes)
{
    QList *list = qdict_get_qlist(told, "mappings");
    const QListEntry *e;

    QLIST_FOREACH_ENTRY(list, e) {
        QDict *m = qobject_to(QDict, qlist_entry_obj(e));

        if (qdict_get_int(m, "address") == gpa &&
            qdict_get_int(m, "size") == bytes) {
            return m;
        }
    }
    return NULL;
}

/* A transfer that lasts counts as held in the end, so that is not looked at. */
static bool is(QDict *m, const char *device, bool writes)
{
    return m && strstr(qdict_get_str(m, "device"), device) &&
           qdict_get_bool(m, "writes") == writes;
}

/*
 * As many are listed as are counted: held mappings, or transfers.  A ring that
 * was mapped anew is released after a grace period, which may end between the
 * two questions.
 */
static bool agrees(XenTest *t, bool held)
{
    for (unsigned i = 0; i < 500; i++) {
        QDict *rsp = qtest_qmp(t->qts, "{'execute': 'x-query-xen-mapcache-dma',"
                               " 'arguments': {'held': %i}}", held);
        uint64_t total = qdict_get_int(qdict_get_qdict(rsp, "return"), "total");

        qobject_unref(rsp);
        if (total == xen_test_stat(t, held ? "held" : "dma")) {
            return true;
        }
        g_usleep(10 * 1000);
    }
    return false;
}

/* Held mappings and transfers are told apart, however long they last. */
static const char *kinds(XenTest *t, uint64_t stalled)
{
    const char *all;

    for (unsigned held = 0; held < 2; held++) {
        QDict *rsp = qtest_qmp(t->qts, "{'execute': 'x-query-xen-mapcache-dma',"
                               " 'arguments': {'held': %i}}", (bool)held);
        QDict *told = qdict_get_qdict(rsp, "return");
        QDict *m = mapping(told, stalled, XEN_TEST_PAGE);

        XEN_REQUIRE(agrees(t, held), "lists other mappings than it counts");
        XEN_REQUIRE(held ? !m : m && !qdict_get_bool(m, "held"),
                    "takes a stalled transfer for something that is held");
        qobject_unref(rsp);
    }
    all = xen_test_hmp(t, "info xen-mapcache transfers");
    XEN_REQUIRE(g_str_has_prefix(all, "outstanding transfers: ") &&
                strstr(all, "(writes, transfer, ") && !strstr(all, ", held, "),
                "does not tell people of transfers: %s", all);
    return NULL;
}
#define kinds(...) XEN_AT(kinds(__VA_ARGS__))

/* Who holds what: a controller's lists, a buffer, a request that is stalled. */
static const char *holders(XenTest *t)
{
    enum { IO = 0xc200, RINGS = 0x100000, LIST = 0x600400, FIS = 0x601100 };
    const GuestSg sg = { BUFFER + XEN_TEST_PAGE, XEN_TEST_PAGE };
    const char *all;
    QDict *rsp, *told;
    GuestVblk blk;

    boot(t, XEN_TEST_AHCI XEN_TEST_STATS
         "-drive if=none,id=slow,format=raw,file.driver=null-co,"
         "file.size=1048576,file.read-zeroes=on,throttling.bps-total=1 "
         "-device virtio-blk-pci,drive=slow,addr=7,id=stalled,"
         "disable-legacy=off,disable-modern=on ");
    xen_test_ahci_start(t, LIST, FIS);
    xen_test_stats_hold(t, RING, BUFFER, 1234);
    xen_test_ok(t, guest_vblk_init(t->pc, &blk, 0, IO, RINGS));
    xen_test_ok(t, guest_vblk_start(&blk, false, 0, &sg, 1, &(uint16_t) { 0 }));
    xen_test_ok(t, guest_vblk_kick(&blk));

    rsp = qtest_qmp(t->qts, "{'execute': 'x-query-xen-mapcache-dma'}");
    told = qdict_get_qdict(rsp, "return");
    XEN_REQUIRE(told, "does not tell who holds what");
    all = xen_test_hmp(t, "info xen-mapcache dma");
    XEN_REQUIRE(is(mapping(told, LIST, 1024), "(/machine/peripheral/ahci)",
                   true) && qdict_get_bool(mapping(told, LIST, 1024), "held"),
                "does not know the list of the AHCI: %s", all);
    XEN_REQUIRE(is(mapping(told, BUFFER, 1234), "virtio-balloon", false),
                "does not know the balloon's buffer: %s", all);
    XEN_REQUIRE(is(mapping(told, sg.gpa, sg.len),
                   "(/machine/peripheral/stalled", true),
                "does not know the stalled request: %s", all);
    XEN_REQUIRE(strstr(all, "0000000000641000-0000000000641fff (writes, "),
                "does not tell people: %s", all);
    qobject_unref(rsp);

    rsp = qtest_qmp(t->qts, "{'execute': 'x-query-xen-mapcache-dma', "
                    "'arguments': {'limit': 1}}");
    told = qdict_get_qdict(rsp, "return");
    XEN_REQUIRE(qlist_size(qdict_get_qlist(told, "mappings")) == 1 &&
                qdict_get_int(told, "total") > 2, "tells more than was wanted");
    XEN_REQUIRE(strstr(xen_test_hmp(t, "info xen-mapcache none"),
                       "unknown argument 'none'"),
                "does not say what is wrong");
    qobject_unref(rsp);
    XEN_TRY(kinds(t, sg.gpa));

    qobject_unref(qtest_qmp(t->qts, "{'execute': 'block_set_io_throttle', "
        "'arguments': {'device': 'slow', 'bps': 0, 'bps_rd': 0, 'bps_wr': 0, "
        "'iops': 0, 'iops_rd': 0, 'iops_wr': 0}}"));
    xen_test_ok(t, guest_vblk_wait(&blk, NULL));
    xen_test_ok(t, guest_virtio_reset(&blk.dev));
    xen_test_ahci_stop(t);
    xen_test_stats_release(t);
    return NULL;
}

/* What is wrong is said, and nothing else happens. */
static const char *odd_arguments(XenTest *t)
{
    static const struct {
        const char *command, *arguments, *said;
    } odd[] = {
        { "x-query-xen-mapcache-dma", "{'limit': 0}", "from 1 to 65536" },
        { "x-query-xen-mapcache-dma", "{'limit': 65537}", "from 1 to 65536" },
        { "x-query-xen-mapcache-dma", "{'limit': 4294967295}",
          "from 1 to 65536" },
        { "x-query-xen-mapcache-dma", "{'limit': 4294967296}", "limit" },
        { "x-query-xen-mapcache-dma", "{'limit': -1}", "limit" },
        { "x-query-xen-mapcache-dma", "{'limit': 1.5}", "limit" },
        { "x-query-xen-mapcache-dma", "{'limit': '1'}", "limit" },
        { "x-query-xen-mapcache-dma", "{'limit': null}", "limit" },
        { "x-query-xen-mapcache-dma", "{'held': 1}", "held" },
        { "x-query-xen-mapcache-dma", "{'other': 1}", "other" },
        { "x-query-xen-physmap", "{'other': 1}", "other" },
        { "query-xen-mapcache", "{'other': 1}", "other" },
    };
    static const char *const lines[] = {
        "info xen-mapcache %n%s%s", "info xen-mapcache dma transfers",
        "info xen-mapcache \"\"", "info xen-physmap vga",
    };

    boot(t, XEN_TEST_VGA);
    for (unsigned i = 0; i < ARRAY_SIZE(odd); i++) {
        QDict *rsp = qtest_qmp(t->qts, "{'execute': %s, 'arguments': %p}",
                               odd[i].command,
                               qobject_from_json(odd[i].arguments,
                                                 &error_abort));
        QDict *err = qdict_get_qdict(rsp, "error");

        XEN_REQUIRE(err && strstr(qdict_get_str(err, "desc"), odd[i].said),
                    "takes %s of %s: %s", odd[i].arguments, odd[i].command,
                    err ? qdict_get_str(err, "desc") : "answers");
        qobject_unref(rsp);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(lines); i++) {
        const char *said = xen_test_hmp(t, lines[i]);

        XEN_REQUIRE(*said && !strstr(said, "lookups") && !strstr(said, "vga."),
                    "takes \"%s\": %s", lines[i], said);
    }
    return NULL;
}

/* What a command returns, whichever events come before it. */
static QDict *answer(XenTest *t)
{
    for (;;) {
        QDict *rsp = qtest_qmp_receive_dict(t->qts);

        if (!qdict_haskey(rsp, "event")) {
            return rsp;
        }
        qobject_unref(rsp);
    }
}

/* A mapping is no older than the test. */
static const char *is_plausible(QDict *told)
{
    const QListEntry *e;
    uint64_t n = 0;

    QLIST_FOREACH_ENTRY(qdict_get_qlist(told, "mappings"), e) {
        QDict *m = qobject_to(QDict, qlist_entry_obj(e));

        XEN_REQUIRE(qdict_get_int(m, "age") < 1000, "tells of a mapping that "
                    "is %" PRId64 " s old", qdict_get_int(m, "age"));
        n += qdict_get_int(m, "count");
    }
    XEN_REQUIRE(n == qdict_get_int(told, "total"), "tells of %" PRIu64
                " mappings, and of %" PRId64 " in all", n,
                qdict_get_int(told, "total"));
    return NULL;
}
#define is_plausible(...) XEN_AT(is_plausible(__VA_ARGS__))

/* Questions while iothreads map and Xen invalidates. */
static const char *crowd(XenTest *t)
{
    enum { DISKS = 3, IO = 0xc200, RINGS = 0x100000, ROUNDS = 300 };
    g_autoptr(GString) args = g_string_new(XEN_TEST_VGA);
    GuestVblk blk[DISKS];

    for (unsigned i = 0; i < DISKS; i++) {
        g_string_append_printf(args, "-object iothread,id=io%u "
            "-drive if=none,id=d%u,format=raw,file.driver=null-co,"
            "file.size=16777216,file.read-zeroes=on "
            "-device virtio-blk-pci,drive=d%u,iothread=io%u,addr=%u,"
            "disable-legacy=off,disable-modern=on ", i, i, i, i, 7 + i);
    }
    boot(t, args->str);
    for (unsigned i = 0; i < DISKS; i++) {
        xen_test_ok(t, guest_vblk_init(t->pc, &blk[i], i, IO + i * 0x100,
                                       RINGS + i * 0x40000));
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        QDict *rsp;

        for (unsigned i = 0; i < DISKS; i++) {
            const GuestSg sg = {
                (10 + (round * DISKS + i) % 40) * XEN_TEST_BUCKET, 65536
            };

            xen_test_ok(t, guest_vblk_start(&blk[i], false, 0, &sg, 1,
                                            &(uint16_t) { 0 }));
            xen_test_ok(t, guest_vblk_kick(&blk[i]));
        }
        qtest_qmp_send(t->qts, "{'execute': 'x-query-xen-mapcache-dma', "
                       "'arguments': {'limit': 65536}}");
        xensim_invalidate(t->dom);
        rsp = answer(t);
        XEN_REQUIRE(qdict_haskey(rsp, "return"), "does not answer");
        XEN_TRY(is_plausible(qdict_get_qdict(rsp, "return")));
        qobject_unref(rsp);
        for (unsigned i = 0; i < DISKS; i++) {
            xen_test_ok(t, guest_vblk_wait(&blk[i], NULL));
        }
    }
    for (unsigned i = 0; i < DISKS; i++) {
        xen_test_ok(t, guest_virtio_reset(&blk[i].dev));
    }
    XEN_REQUIRE(xen_test_settles(t, "dma", "held"), "keeps what has ended");
    return NULL;
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("inside/holders", holders, NULL);
    xen_test_add("inside/odd-arguments", odd_arguments, NULL);
    xen_test_add("inside/crowd", crowd, NULL);
    return g_test_run();
}
