/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "info xen-mapcache dma" names the device whose request stalls, or that holds
 * what the guest gave it, whichever thread mapped it.
 */
#include "qemu/osdep.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "drivers/ahci.h"
#include "drivers/e1000.h"
#include "drivers/virtio.h"
#include "xen-test-hotplug.h"

enum {
    IO = 0xc200,
    REGISTERS = 0xf6000000u,
    DRIVER = 0x100000,          /* the driver's own memory */
    TABLE = 0x600000,
    DATA = 0x800000,
};

/*
 * A disk that moves a byte in a second: what it read to guess its geometry
 * keeps it busy for minutes.
 */
#define SLOW_DISK \
    "-drive if=none,id=slow,format=raw,file.driver=null-co," \
    "file.size=1048576,file.read-zeroes=on,throttling.bps-total=1 "

/* From now on it is as fast as any. */
static void hurry(XenTest *t)
{
    qtest_qmp_assert_success(t->qts, "{'execute': 'block_set_io_throttle', "
        "'arguments': {'device': 'slow', 'bps': 0, 'bps_rd': 0, 'bps_wr': 0, "
        "'iops': 0, 'iops_rd': 0, 'iops_wr': 0}}");
}

/* A device that is plugged has QEMU look for the names of all others again. */
static void forget_owners(XenTest *t)
{
    qtest_qmp_assert_success(t->qts, "{'execute': 'device_add', 'arguments': "
        "{'driver': 'virtio-rng-pci', 'id': 'other', 'addr': '9'}}");
}

/*
 * NULL if people are told that the device @id, of the type @type, has @what of
 * @bytes at @gpa: "writes, transfer", say.
 */
static const char *told(XenTest *t, uint64_t gpa, uint64_t bytes,
                        const char *what, const char *type, const char *id)
{
    g_autofree char *want = g_strdup_printf(
        "^  %016" PRIx64 "-%016" PRIx64 " \\(%s, [0-9]+ s\\): %s "
        "\\(/machine/peripheral/%s(/virtio-backend)?\\)\r?$", gpa,
        gpa + bytes - 1, what, type, id);
    const char *all;

    /* The device may not have begun yet when the guest has told it. */
    for (unsigned i = 0; i < 500; i++) {
        all = xen_test_hmp(t, "info xen-mapcache dma");
        if (g_regex_match_simple(want, all, G_REGEX_MULTILINE, 0)) {
            return NULL;
        }
        g_usleep(10 * 1000);
    }
    XEN_REQUIRE(false, "does not tell of %s, but: %s", want, all);
}
#define told(...) XEN_AT(told(__VA_ARGS__))

/* A request of virtio-blk that its disk does not serve. */
static const char *stalled_blk(XenTest *t, const char *more)
{
    const GuestSg sg = { DATA, 2 * XEN_TEST_PAGE };
    g_autofree char *args = g_strdup_printf(
        SLOW_DISK "-device virtio-blk-pci,drive=slow,addr=7,id=stalled,"
        "disable-legacy=off,disable-modern=on%s ", more);
    GuestVblk blk;

    xen_test_start(t, args);
    xen_test_ok(t, guest_vblk_init(t->pc, &blk, 0, IO, DRIVER));
    forget_owners(t);
    xen_test_ok(t, guest_vblk_start(&blk, false, 0, &sg, 1, &(uint16_t) { 0 }));
    xen_test_ok(t, guest_vblk_kick(&blk));
    XEN_TRY(told(t, sg.gpa, sg.len, "writes, transfer", "virtio-blk-device",
                 "stalled"));
    XEN_TRY(told(t, blk.queue.desc, blk.queue.size * 16, "reads, held",
                 "virtio-blk-device", "stalled"));
    hurry(t);
    xen_test_ok(t, guest_vblk_wait(&blk, NULL));
    xen_test_ok(t, guest_virtio_reset(&blk.dev));
    return NULL;
}

static const char *blk(XenTest *t)
{
    return stalled_blk(t, "");
}

/* The iothread maps, and does not have the BQL. */
static const char *blk_iothread(XenTest *t)
{
    return stalled_blk(t, ",iothread=io -object iothread,id=io");
}

static const char *scsi_iothread(XenTest *t)
{
    const GuestSg sg = { DATA, XEN_TEST_PAGE };
    GuestVscsi scsi;
    uint16_t tag;

    xen_test_start(t, SLOW_DISK "-object iothread,id=io "
                   "-device virtio-scsi-pci,iothread=io,addr=7,id=hba,"
                   "disable-legacy=off,disable-modern=on "
                   "-device scsi-hd,drive=slow ");
    xen_test_ok(t, guest_vscsi_init(t->pc, &scsi, 0, IO, DRIVER));
    forget_owners(t);
    /* The first request is answered by "I was reset". */
    for (unsigned i = 0; i < 2; i++) {
        xen_test_ok(t, guest_vscsi_start(&scsi, 0, false, 0, &sg, 1, &tag));
        xen_test_ok(t, guest_vscsi_kick(&scsi));
        if (i == 0) {
            g_assert_cmpint(guest_vscsi_wait(&scsi, NULL), ==, -EIO);
        }
    }
    XEN_TRY(told(t, sg.gpa, sg.len, "writes, transfer", "virtio-scsi-device",
                 "hba"));
    hurry(t);
    xen_test_ok(t, guest_vscsi_wait(&scsi, NULL));
    xen_test_ok(t, guest_virtio_reset(&scsi.dev));
    return NULL;
}

static const char *ahci(XenTest *t)
{
    const GuestSg sg = { DATA, XEN_TEST_PAGE };
    GuestAhci ahci;
    uint32_t task;

    xen_test_start(t, XEN_TEST_AHCI SLOW_DISK
                   "-device ide-hd,drive=slow,bus=ahci.0 ");
    xen_test_ok(t, guest_ahci_init(t->pc, &ahci, 0, XEN_TEST_AHCI_BAR,
                                   DRIVER));
    xen_test_ok(t, guest_ahci_prepare(&ahci, 0, false, 0, 8, TABLE, &sg, 1));
    xen_test_ok(t, guest_ahci_issue(&ahci, 1));
    XEN_TRY(told(t, sg.gpa, sg.len, "writes, transfer", "ich9-ahci", "ahci"));
    hurry(t);
    xen_test_ok(t, guest_ahci_wait(&ahci, 1, &task));
    xen_test_ok(t, guest_ahci_stop(&ahci));
    return NULL;
}

/* What a display shows is held until the guest takes it away. */
static const char *gpu(XenTest *t)
{
    enum { ID = 3, WIDTH = 64, HEIGHT = 64 };
    const GuestSg sg[] = {
        { DATA, 3 * XEN_TEST_PAGE }, { DATA + 0x10000, XEN_TEST_PAGE },
    };
    GuestVgpu gpu;

    xen_test_start(t, "-device virtio-gpu-pci,addr=8,id=screen ");
    xen_test_ok(t, guest_vgpu_init(t->pc, &gpu, 0, REGISTERS, DRIVER));
    xen_test_ok(t, guest_vgpu_create(&gpu, ID, WIDTH, HEIGHT));
    xen_test_ok(t, guest_vgpu_attach(&gpu, ID, sg, ARRAY_SIZE(sg)));
    for (unsigned i = 0; i < ARRAY_SIZE(sg); i++) {
        XEN_TRY(told(t, sg[i].gpa, sg[i].len, "(reads|writes), held",
                     "virtio-gpu-device", "screen"));
    }
    xen_test_ok(t, guest_vgpu_detach(&gpu, ID));
    xen_test_ok(t, guest_virtio_reset(&gpu.dev));
    return NULL;
}

/*
 * A card that copies has nothing mapped, while it waits for packets or has just
 * sent one: nothing is told of it.
 */
static const char *e1000(XenTest *t)
{
    const GuestSg sg = { DATA, 1000 };
    GuestE1000 nic;
    const char *all;

    xen_test_start(t, "-netdev hubport,id=net,hubid=0 "
                   "-device e1000,netdev=net,addr=7,id=card,romfile= ");
    xen_test_ok(t, guest_e1000_init(t->pc, &nic, REGISTERS, DRIVER));
    xen_test_ok(t, guest_e1000_init_tx(&nic, TABLE));
    xen_test_ok(t, guest_e1000_send(&nic, &sg, 1));
    all = xen_test_hmp(t, "info xen-mapcache dma");
    XEN_REQUIRE(g_str_equal(all, "outstanding DMA mappings: 0\r\n"),
                "tells of a card that copies: %s", all);
    return NULL;
}

/* What x-query-xen-mapcache-dma tells of at most @limit mappings (unref). */
static QDict *query(XenTest *t, unsigned limit)
{
    return qtest_qmp_assert_success_ref(t->qts, "{'execute': "
        "'x-query-xen-mapcache-dma', 'arguments': {'limit': %u}}", limit);
}

/* The age of the first mapping; *@gpa is where it begins. */
static int64_t first(QDict *told, uint64_t *gpa)
{
    QDict *m = qobject_to(QDict, qlist_peek(qdict_get_qlist(told,
                                                            "mappings")));

    *gpa = qdict_get_int(m, "address");
    return qdict_get_int(m, "age");
}

/* The oldest come first, and they are those that a limit leaves. */
static const char *oldest_first(XenTest *t)
{
    enum { LIST = 0x600400, FIS = 0x601100 };
    int64_t age = 0, last = INT64_MAX;
    const QListEntry *e;
    uint64_t gpa = 0;
    QDict *rsp;

    xen_test_start(t, XEN_TEST_AHCI XEN_TEST_STATS);
    xen_test_ahci_start(t, LIST, FIS);
    /* Until the next mapping is younger, as ages are told. */
    for (unsigned i = 0; i < 500 && age < 3; i++) {
        g_usleep(20 * 1000);
        rsp = query(t, 1);
        age = first(rsp, &gpa);
        qobject_unref(rsp);
    }
    XEN_REQUIRE(age >= 3, "tells of no age");
    xen_test_stats_hold(t, 0x700000, 0x500000, 1234);
    rsp = query(t, 2);
    XEN_REQUIRE(qdict_get_int(rsp, "total") > 2, "tells of too few mappings");
    QLIST_FOREACH_ENTRY(qdict_get_qlist(rsp, "mappings"), e) {
        QDict *m = qobject_to(QDict, qlist_entry_obj(e));

        XEN_REQUIRE(qdict_get_int(m, "address") == LIST ||
                    qdict_get_int(m, "address") == FIS,
                    "tells of a younger mapping first");
    }
    qobject_unref(rsp);
    rsp = query(t, 64);
    QLIST_FOREACH_ENTRY(qdict_get_qlist(rsp, "mappings"), e) {
        age = qdict_get_int(qobject_to(QDict, qlist_entry_obj(e)), "age");
        XEN_REQUIRE(age <= last, "tells of an older mapping later");
        last = age;
    }
    XEN_REQUIRE(first(rsp, &gpa) > last, "has one age for all");
    qobject_unref(rsp);
    xen_test_stats_release(t);
    xen_test_ahci_stop(t);
    return NULL;
}

/* A device is gone, and with it, after a grace period, all that it held. */
static const char *holds_nothing(XenTest *t)
{
    XEN_REQUIRE(xen_test_settles(t, "dma", "held"), "tells of what a device "
                "that is gone held: %s", xen_test_hmp(t, "info xen-mapcache "
                                                      "dma"));
    XEN_REQUIRE(xen_test_stat(t, "unmatched") == 0,
                "has a device that releases what it has not");
    return NULL;
}
#define holds_nothing(...) XEN_AT(holds_nothing(__VA_ARGS__))

/* The device "dev" goes. */
static const char *gone(XenTest *t)
{
    hotplug_unplug(t);
    return holds_nothing(t);
}
#define gone(...) XEN_AT(gone(__VA_ARGS__))

/*
 * A device goes while it has a request that stalls, and another comes in its
 * place, under its name.
 */
static const char *unplugged(XenTest *t)
{
    const GuestSg sg = { DATA, 2 * XEN_TEST_PAGE };
    GuestVscsi scsi;
    GuestVblk blk;

    xen_test_start(t, SLOW_DISK "-object iothread,id=io ");
    for (unsigned round = 0; round < 3; round++) {
        qtest_qmp_assert_success(t->qts, "{'execute': 'device_add', "
            "'arguments': {'driver': 'virtio-scsi-pci', 'id': 'dev', "
            "'addr': '7', 'disable-legacy': 'off', 'disable-modern': true}}");
        xen_test_ok(t, guest_vscsi_init(t->pc, &scsi, 0, IO, DRIVER));
        XEN_TRY(told(t, scsi.queue.desc, scsi.queue.size * 16, "reads, held",
                     "virtio-scsi-device", "dev"));
        XEN_TRY(gone(t));
    }
    qtest_qmp_assert_success(t->qts, "{'execute': 'device_add', 'arguments': {"
        "'driver': 'virtio-blk-pci', 'id': 'dev', 'drive': 'slow', 'addr': "
        "'7', 'iothread': 'io', 'disable-legacy': 'off', "
        "'disable-modern': true}}");
    xen_test_ok(t, guest_vblk_init(t->pc, &blk, 0, IO, DRIVER));
    xen_test_ok(t, guest_vblk_start(&blk, false, 0, &sg, 1, &(uint16_t) { 0 }));
    xen_test_ok(t, guest_vblk_kick(&blk));
    XEN_TRY(told(t, sg.gpa, sg.len, "writes, transfer", "virtio-blk-device",
                 "dev"));
    return gone(t);
}

/* A controller goes whose list and answers are mapped. */
static const char *ahci_unplugged(XenTest *t)
{
    enum { LIST_AT = 0x100, ANSWERS_AT = 0x108, COMMAND = 0x118, START = 0x11 };
    const uint64_t bar = XEN_TEST_AHCI_BAR;
    const unsigned devfn = 7 << 3;

    xen_test_start(t, "");
    for (unsigned round = 0; round < 3; round++) {
        qtest_qmp_assert_success(t->qts, "{'execute': 'device_add', "
            "'arguments': {'driver': 'ich9-ahci', 'id': 'dev', 'addr': '7'}}");
        xen_test_ok(t, guest_pci_place_bar(t->pc, devfn, 5, bar));
        xen_test_ok(t, guest_pci_command(t->pc, devfn, GUEST_PCI_MASTER, 0));
        xen_test_ok(t, guest_mmio_out(t->pc, bar + LIST_AT, 4, DRIVER));
        xen_test_ok(t, guest_mmio_out(t->pc, bar + ANSWERS_AT, 4,
                                      DRIVER + XEN_TEST_PAGE));
        xen_test_ok(t, guest_mmio_out(t->pc, bar + COMMAND, 4, START));
        XEN_REQUIRE(xen_test_stat(t, "held") == 2, "the controller holds other "
                    "than its list and its answers");
        XEN_TRY(gone(t));
    }
    return NULL;
}

/* A balloon goes that has the guest's buffer for statistics. */
static const char *balloon_unplugged(XenTest *t)
{
    enum { EJECT = 0xae08, SLOT = 6 };

    xen_test_start(t, "-device virtio-balloon-pci,id=dev,addr=6,"
                   "disable-legacy=off,disable-modern=on,ioeventfd=off");
    xen_test_stats_hold(t, DRIVER, DATA, 80);
    XEN_REQUIRE(xen_test_stat(t, "dma") + xen_test_stat(t, "held") == 4,
                "the balloon has other than its rings and the buffer");
    qtest_qmp_assert_success(t->qts, "{'execute': 'device_del', 'arguments': "
                             "{'id': 'dev'}}");
    xensim_outl(t->dom, EJECT, 1 << SLOT);
    qtest_qmp_eventwait(t->qts, "DEVICE_DELETED");
    return holds_nothing(t);
}

/*
 * QEMU maps the rings of all virtio devices anew when a BAR comes or goes.
 * That is no new mapping.
 */
static const char *layout(XenTest *t)
{
    const unsigned ahci = 5 << 3;
    uint64_t calls;
    GuestVblk blk;

    xen_test_start(t, SLOW_DISK "-device virtio-blk-pci,drive=slow,addr=7,"
                   "disable-legacy=off,disable-modern=on " XEN_TEST_AHCI);
    xen_test_ok(t, guest_vblk_init(t->pc, &blk, 0, IO, DRIVER));
    xen_test_ok(t, guest_pci_place_bar(t->pc, ahci, 5, XEN_TEST_AHCI_BAR));
    calls = xen_test_map_calls(t);
    for (unsigned i = 0; i < 400; i++) {
        xen_test_ok(t, guest_pci_command(
            t->pc, ahci, i % 2 ? 0 : GUEST_PCI_MEMORY,
            i % 2 ? GUEST_PCI_MEMORY : 0));
    }
    calls = xen_test_map_calls(t) - calls;
    XEN_REQUIRE(!calls, "%" PRIu64 " map calls for 400 changes of the layout",
                calls);
    xen_test_ok(t, guest_virtio_reset(&blk.dev));
    return NULL;
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("holders/oldest-first", oldest_first, NULL);
    xen_test_add("holders/virtio-blk", blk, NULL);
    xen_test_add("holders/virtio-blk-iothread", blk_iothread, NULL);
    xen_test_add("holders/virtio-scsi-iothread", scsi_iothread, NULL);
    xen_test_add("holders/ahci", ahci, NULL);
    xen_test_add("holders/virtio-gpu", gpu, NULL);
    xen_test_add("holders/e1000", e1000, NULL);
    xen_test_add("holders/unplugged", unplugged, NULL);
    xen_test_add("holders/ahci-unplugged", ahci_unplugged, NULL);
    xen_test_add("holders/balloon-unplugged", balloon_unplugged, NULL);
    xen_test_add("holders/layout", layout, NULL);
    return g_test_run();
}
