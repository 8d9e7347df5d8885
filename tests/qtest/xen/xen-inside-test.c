/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the monitor tells of the mapcache is what the simulated Xen counts. */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "qobject/qnum.h"
#include "xen-test-common.h"
#include "drivers/virtio.h"

enum { SEED = 53, DISK_PAGES = 64, RING = 0x700000, BUFFER = 0x640000 };

static void boot(XenTest *t, const char *more)
{
    xen_test_start_disk(t, DISK_PAGES, SEED, more);
}
#define boot(...) XEN_AT(boot(__VA_ARGS__))

static uint64_t slots(XenTest *t, const char *state)
{
    QDict *rsp = qtest_qmp(t->qts, "{'execute': 'query-xen-mapcache'}");
    uint64_t n = qdict_get_int(qdict_get_qdict(qdict_get_qdict(rsp, "return"),
                                               "slots"), state);

    qobject_unref(rsp);
    return n;
}

/* The bytes of guest RAM that Xen counts as mapped. */
static uint64_t ram_bytes(XenTest *t)
{
    return xen_test_ram_mapped(t) * XEN_TEST_PAGE;
}

/* Bytes agree with what the simulated Xen counts; so do holes in a bucket. */
static const char *sizes(XenTest *t)
{
    uint64_t all;

    boot(t, XEN_TEST_VGA XEN_TEST_STATS);
    xensim_invalidate(t->dom);
    XEN_REQUIRE(xen_test_stat(t, "bytes-mapped") == 0 && ram_bytes(t) == 0,
                "counts bytes when nothing is mapped");
    XEN_REQUIRE(xen_test_stat(t, "bytes-blocks") >= XEN_TEST_VRAM_BYTES,
                "does not count the bytes of video memory");
    all = slots(t, "free");
    XEN_REQUIRE(xen_test_stat(t, "bytes-max") <= all * XEN_TEST_BUCKET,
                "has fewer slots than the cap needs");

    for (unsigned i = 1; i < 9; i++) {
        xen_test_dma_read(t, i, i * XEN_TEST_BUCKET, 1);
    }
    XEN_REQUIRE(xen_test_stat(t, "bucket-size") == XEN_TEST_BUCKET,
                "has buckets of another size");
    XEN_REQUIRE(xen_test_stat(t, "bytes-mapped") == ram_bytes(t) &&
                ram_bytes(t) > 8 * XEN_TEST_BUCKET,
                "counts %" PRIu64 " bytes of %" PRIu64,
                xen_test_stat(t, "bytes-mapped"), ram_bytes(t));
    XEN_REQUIRE(xen_test_stat(t, "bytes-retained") == ram_bytes(t),
                "counts bytes as held that nobody holds");
    XEN_REQUIRE(slots(t, "live") == xen_test_stat(t, "buckets") &&
                slots(t, "free") + slots(t, "live") == all,
                "does not count its slots");
    XEN_REQUIRE(strstr(xen_test_hmp(t, "info xen-mapcache"),
                       " live, 0 stale, "),
                "does not tell the slots' states to people");
    return NULL;
}

/* A bucket that a transfer holds is not retained, and stale in the end. */
static const char *held_bytes(XenTest *t)
{
    uint64_t held;

    boot(t, XEN_TEST_STATS);
    xensim_invalidate(t->dom);
    xen_test_stats_hold(t, RING, BUFFER, 1234);
    held = xen_test_stat(t, "bytes-mapped") - xen_test_stat(t,
                                                            "bytes-retained");
    XEN_REQUIRE(held >= XEN_TEST_BUCKET, "counts what is held as retained");
    xensim_invalidate(t->dom);
    XEN_REQUIRE(slots(t, "live") == 0 &&
                slots(t, "stale") * XEN_TEST_BUCKET == held,
                "has %" PRIu64 " stale slots for %" PRIu64 " bytes held",
                slots(t, "stale"), held);
    XEN_REQUIRE(xen_test_stat(t, "bytes-retained") == 0,
                "retains what an invalidate dropped");
    xen_test_stats_release(t);
    XEN_REQUIRE(xen_test_settles(t, "bytes-mapped", NULL),
                "keeps what was released");
    XEN_REQUIRE(slots(t, "stale") == 0, "has stale slots that nobody holds");
    return NULL;
}

/* The configuration is that of the command line, or the default. */
static const char *limits(XenTest *t)
{
    boot(t, "-machine mapcache-size=48M,mapcache-idle=7 ");
    /* An eighth is kept free for who cannot wait. */
    XEN_REQUIRE(xen_test_stat(t, "bytes-max") == 42u << 20 &&
                xen_test_stat(t, "idle-seconds") == 7,
                "tells the limits %" PRIu64 " bytes and %" PRIu64 " s",
                xen_test_stat(t, "bytes-max"),
                xen_test_stat(t, "idle-seconds"));
    XEN_REQUIRE(strstr(xen_test_hmp(t, "info xen-mapcache"),
                       "limits: 44040192 bytes of guest RAM; unused buckets "
                       "are unmapped after 7 s\r\n"),
                "does not tell its limits to people");
    xen_test_stop(t);
    xen_test_boot(t, "-machine mapcache-idle=0 ");
    XEN_REQUIRE(xen_test_stat(t, "idle-seconds") == 0 &&
                strstr(xen_test_hmp(t, "info xen-mapcache"),
                       "after 0 s (never)"),
                "tells a time after which it keeps buckets for ever");
    xen_test_stop(t);
    xen_test_boot(t, "");
    XEN_REQUIRE(xen_test_stat(t, "idle-seconds") == 60,
                "has another default");
    return NULL;
}

/* The element of @list whose member "name" is @name, or NULL. */
static QDict *named(QList *list, const char *name)
{
    const QListEntry *e;

    QLIST_FOREACH_ENTRY(list, e) {
        QDict *dict = qobject_to(QDict, qlist_entry_obj(e));

        if (g_str_equal(qdict_get_str(dict, "name"), name)) {
            return dict;
        }
    }
    return NULL;
}

/* The list "stats" of the only provider that a command's answer has. */
static QList *only_stats(QDict *rsp)
{
    QList *providers = qdict_get_qlist(rsp, "return");

    return providers && qlist_size(providers) == 1 ?
           qdict_get_qlist(qobject_to(QDict, qlist_peek(providers)), "stats") :
           NULL;
}

/* All misses are in the histogram of what they took. */
static const char *latencies(XenTest *t, QDict *value, QDict *kind)
{
    const QListEntry *e;
    uint64_t misses = 0, short_ones = 0;
    unsigned i = 0;

    XEN_REQUIRE(value && kind &&
                g_str_equal(qdict_get_str(kind, "type"), "log2-histogram") &&
                g_str_equal(qdict_get_str(kind, "unit"), "seconds") &&
                qdict_get_int(kind, "base") == 10 &&
                qdict_get_int(kind, "exponent") == -9,
                "has no histogram of what misses take, in nanoseconds");
    QLIST_FOREACH_ENTRY(qdict_get_qlist(value, "value"), e) {
        uint64_t n = qnum_get_uint(qobject_to(QNum, qlist_entry_obj(e)));

        misses += n;
        /* No system call that maps takes less than 256 ns. */
        short_ones += i++ <= 8 ? n : 0;
    }
    XEN_REQUIRE(misses && misses == xen_test_stat(t, "misses"),
                "has %" PRIu64 " misses in its histogram", misses);
    XEN_REQUIRE(!short_ones, "has misses that took no time");
    return NULL;
}
#define latencies(...) XEN_AT(latencies(__VA_ARGS__))

#define PROVIDER "'provider': 'xen-mapcache'"

/* query-stats tells the same, each with a kind and a unit. */
static const char *statistics(XenTest *t)
{
    static const char *const names[] = {
        "hits", "misses", "map-calls", "map-pages", "buckets", "blocks",
        "bytes-blocks", "bytes-exact", "dma", "held", "invalidates", "idle",
    };
    QDict *stats, *schemas, *some;
    QList *values, *kinds;

    boot(t, XEN_TEST_VGA XEN_TEST_AHCI);
    xen_test_ahci_start(t, 0x600400, 0x601100);
    xen_test_dma_read(t, 0, 0x400000, 16);
    xensim_invalidate(t->dom);
    xen_test_dma_read(t, 0, 0x400000, 16);
    XEN_REQUIRE(xen_test_stat(t, "bytes-exact") == 2 * XEN_TEST_PAGE,
                "counts %" PRIu64 " bytes for a list and an area that are held",
                xen_test_stat(t, "bytes-exact"));
    stats = qtest_qmp(t->qts, "{'execute': 'query-stats', 'arguments': {"
                      "'target': 'vm', 'providers': [{" PROVIDER "}]}}");
    schemas = qtest_qmp(t->qts, "{'execute': 'query-stats-schemas', "
                        "'arguments': {" PROVIDER "}}");
    values = only_stats(stats);
    kinds = only_stats(schemas);
    XEN_REQUIRE(values && kinds, "has no such provider of statistics");
    XEN_REQUIRE(qlist_size(values) == qlist_size(kinds),
                "has values without a schema");
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        QDict *value = named(values, names[i]), *kind = named(kinds, names[i]);

        XEN_REQUIRE(value && kind, "does not tell %s", names[i]);
        XEN_REQUIRE(qdict_get_int(value, "value") ==
                    xen_test_stat(t, names[i]), "tells another number of %s",
                    names[i]);
    }
    XEN_TRY(latencies(t, named(values, "miss-latency"),
                      named(kinds, "miss-latency")));
    XEN_REQUIRE(qdict_get_int(named(values, "map-calls"), "value") ==
                xen_test_map_calls(t) - t->before.calls,
                "counts other map calls than Xen");
    XEN_REQUIRE(g_str_equal(qdict_get_str(named(kinds, "hits"), "type"),
                            "cumulative") &&
                g_str_equal(qdict_get_str(named(kinds, "held"), "type"),
                            "instant") &&
                g_str_equal(qdict_get_str(named(kinds, "bytes-blocks"),
                                          "unit"), "bytes"),
                "has another kind or unit");
    some = qtest_qmp(t->qts, "{'execute': 'query-stats', 'arguments': {"
                     "'target': 'vm', 'providers': [{" PROVIDER ", "
                     "'names': ['held']}]}}");
    XEN_REQUIRE(only_stats(some) && qlist_size(only_stats(some)) == 1 &&
                named(only_stats(some), "held"), "does not filter by name");
    XEN_REQUIRE(strstr(xen_test_hmp(t, "info stats vm"),
                       "provider: xen-mapcache"),
                "does not show its statistics to people");
    qobject_unref(stats);
    qobject_unref(schemas);
    qobject_unref(some);
    xen_test_ahci_stop(t);
    return NULL;
}

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

/* Held mappings and transfers are told apart, however long they last. */
static const char *kinds(XenTest *t, uint64_t stalled)
{
    static const char *const stats[] = { "dma", "held" };
    const char *all;

    for (unsigned held = 0; held < 2; held++) {
        QDict *rsp = qtest_qmp(t->qts, "{'execute': 'x-query-xen-mapcache-dma',"
                               " 'arguments': {'held': %i}}", (bool)held);
        QDict *told = qdict_get_qdict(rsp, "return");
        QDict *m = mapping(told, stalled, XEN_TEST_PAGE);

        XEN_REQUIRE(qdict_get_int(told, "total") ==
                    xen_test_stat(t, stats[held]), "tells of %" PRId64 " %s",
                    qdict_get_int(told, "total"), stats[held]);
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
    XEN_REQUIRE(qdict_get_int(told, "total") ==
                xen_test_stat(t, "dma") + xen_test_stat(t, "held"),
                "tells of %" PRId64 " in all", qdict_get_int(told, "total"));
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

/* ---- traces ---- */

/* The lines that have @text end in these ways, one after the other. */
static const char *traced(XenTest *t, const char *event, const char *text,
                          const char *const *end)
{
    g_auto(GStrv) lines = xen_test_log_lines(t, event);
    unsigned n = 0;

    for (char **line = lines; *line; line++) {
        if (strstr(*line, text)) {
            XEN_REQUIRE(end[n] && g_str_has_suffix(*line, end[n]),
                        "traces \"%s\", not %s", *line, end[n] ?: "nothing");
            n++;
        }
    }
    XEN_REQUIRE(!end[n], "does not trace \"%s\" of %s", end[n], text);
    return NULL;
}
#define traced(...) XEN_AT(traced(__VA_ARGS__))

/* Each change of a slot's state is traced, once, and nothing at a hit. */
static const char *traces_slots(XenTest *t)
{
    static const char *const plain[] = {
        " filling", " live", " retired", " going", " free", NULL
    };
    static const char *const held[] = {
        " filling", " live", " stale", " retired", " going", " free", NULL
    };

    boot(t, XEN_TEST_STATS "-trace xen_map_cache_slot ");
    for (unsigned i = 0; i < 5; i++) {
        xen_test_dma_read(t, i, 9 * XEN_TEST_BUCKET, 1);
    }
    xen_test_stats_hold(t, RING, BUFFER, 1234);
    xensim_invalidate(t->dom);
    xen_test_stats_release(t);
    XEN_REQUIRE(xen_test_settles(t, "bytes-mapped", NULL),
                "keeps what was released");
    XEN_TRY(traced(t, "xen_map_cache_slot ", " bucket 0x9 ", plain));
    XEN_TRY(traced(t, "xen_map_cache_slot ", " bucket 0x6 ", held));
    return NULL;
}

/* So is what is mapped outside the slots, when it comes and when it goes. */
static const char *traces_outside(XenTest *t)
{
    enum { LIST = 0x600000 };
    static const char *const once[] = { "", NULL };

    boot(t, XEN_TEST_AHCI "-trace 'xen_map_cache_outside*' ");
    xen_test_ahci_start(t, LIST, 0x601000);
    XEN_TRY(traced(t, "xen_map_cache_outside ", "held 0x600000 size 0x1000 ",
                   once));
    XEN_TRY(traced(t, "xen_map_cache_outside_end ", "held 0x600000 ",
                   once + 1));
    xen_test_ahci_stop(t);
    XEN_TRY(traced(t, "xen_map_cache_outside ", "held 0x600000 size 0x1000 ",
                   once));
    XEN_TRY(traced(t, "xen_map_cache_outside_end ",
                   "held 0x600000 size 0x1000 ", once));
    return NULL;
}

/* ---- device memory ---- */

enum {
    VGA = 4 << 3, OTHER_LFB = 0xf2000000u,
    VRAM_PAGES = XEN_TEST_VRAM_BYTES / XEN_TEST_PAGE,
};
#define NOWHERE UINT64_MAX

/* All that x-query-xen-physmap has of @name, in one piece; or NULL. */
static QDict *whole_memory(QDict *rsp, const char *name, uint64_t bytes)
{
    const QListEntry *e;

    QLIST_FOREACH_ENTRY(qdict_get_qlist(rsp, "return"), e) {
        QDict *m = qobject_to(QDict, qlist_entry_obj(e));

        if (g_str_has_suffix(qdict_get_str(m, "name"), name) &&
            qdict_get_int(m, "size") == bytes) {
            return m;
        }
    }
    return NULL;
}

/* The video memory is at @gpa (0: its initial range), shown at @shown_at. */
static const char *memory_is(XenTest *t, uint64_t gpa, uint64_t shown_at,
                             bool pinned)
{
    QDict *rsp = qtest_qmp(t->qts, "{'execute': 'x-query-xen-physmap'}");
    QDict *m = whole_memory(rsp, "vga.vram", XEN_TEST_VRAM_BYTES);
    uint64_t initial, address;

    XEN_REQUIRE(m, "does not know the video memory");
    initial = qdict_get_int(m, "initial");
    XEN_REQUIRE(initial >= XEN_TEST_RAM_MB << 20, "says that Xen populated "
                "video memory at 0x%" PRIx64, initial);
    address = qdict_get_try_int(m, "address", 0);
    XEN_REQUIRE(address == (gpa ?: initial), "says that video memory is at 0x%"
                PRIx64, address);
    XEN_REQUIRE(qdict_haskey(m, "shown-at") == (shown_at != NOWHERE) &&
                qdict_get_try_int(m, "shown-at", NOWHERE) == shown_at,
                "says that video memory is shown at 0x%" PRIx64,
                qdict_get_try_int(m, "shown-at", 0));
    XEN_REQUIRE(qdict_get_bool(m, "pinned") == pinned,
                "says that video memory is%s pinned", pinned ? " not" : "");
    XEN_REQUIRE(xen_test_pages_at(t, address, VRAM_PAGES) == VRAM_PAGES &&
                (address == initial ||
                 !xen_test_pages_at(t, initial, VRAM_PAGES)),
                "has the frames somewhere else");
    qobject_unref(rsp);
    return NULL;
}
#define memory_is(...) XEN_AT(memory_is(__VA_ARGS__))

/* Where video memory is before the guest places it, and after each move. */
static const char *physmap(XenTest *t)
{
    boot(t, XEN_TEST_VGA);
    XEN_TRY(memory_is(t, 0, NOWHERE, false));
    XEN_REQUIRE(strstr(xen_test_hmp(t, "info xen-physmap"), " (not shown): "),
                "does not tell people that a BAR is off");
    xen_test_vga(t);
    XEN_TRY(memory_is(t, XEN_TEST_LFB, XEN_TEST_LFB, true));
    XEN_REQUIRE(strstr(xen_test_hmp(t, "info xen-physmap"),
                       "  00000000f0000000-00000000f0ffffff (shown, pinned): "),
                "does not tell people where video memory is");
    xen_test_ok(t, guest_pci_place_bar(t->pc, VGA, 0, OTHER_LFB));
    XEN_TRY(memory_is(t, OTHER_LFB, OTHER_LFB, true));
    /* Displaced: it stays until something else is to be there. */
    xen_test_ok(t, guest_pci_command(t->pc, VGA, 0, GUEST_PCI_MEMORY));
    XEN_TRY(memory_is(t, OTHER_LFB, NOWHERE, true));
    XEN_REQUIRE(strstr(xen_test_hmp(t, "info xen-physmap"),
                       "  00000000f2000000-00000000f2ffffff (not shown, "
                       "pinned): "),
                "does not tell people of displaced memory");
    return NULL;
}

/* The guest has a page where a BAR shows video memory, which stays. */
static const char *physmap_elsewhere(XenTest *t)
{
    enum { AT = 0xe0000000u };

    boot(t, XEN_TEST_VGA);
    xen_test_vga(t);
    g_assert_cmpint(xensim_populate(t->dom, AT / XEN_TEST_PAGE + 5, 1), ==, 1);
    xen_test_ok(t, guest_pci_place_bar(t->pc, VGA, 0, AT));
    XEN_TRY(memory_is(t, XEN_TEST_LFB, AT, true));
    XEN_REQUIRE(strstr(xen_test_hmp(t, "info xen-physmap"),
                       "  00000000f0000000-00000000f0ffffff (shown at "
                       "00000000e0000000, pinned): "),
                "does not tell people of slow memory");
    return NULL;
}

/* A restored device model tells the same as the one that was saved. */
static const char *physmap_restored(XenTest *t)
{
    boot(t, XEN_TEST_VGA);
    xen_test_vga(t);
    xen_test_save_restore(t, xen_test_keep(t, g_strconcat(
        xen_test_disk(t, DISK_PAGES, SEED), XEN_TEST_VGA, NULL)));
    return memory_is(t, XEN_TEST_LFB, XEN_TEST_LFB, true);
}

/* What another device's registers cover goes back; each piece is told. */
static const char *physmap_pieces(XenTest *t)
{
    enum { CARD = 9 << 3, HALF = XEN_TEST_VRAM_BYTES / 2 };
    static const char *const pieces[] = {
        "-00000000f07fffff (shown, pinned): ",
        "  0000000004800000-000000000481ffff (not shown): ",
        "  00000000f0820000-00000000f0ffffff (shown, pinned): ",
    };
    const char *all;

    boot(t, XEN_TEST_VGA "-device e1000,addr=9,romfile= ");
    xen_test_vga(t);
    xen_test_ok(t, guest_pci_place_bar(t->pc, CARD, 0, XEN_TEST_LFB + HALF));
    all = xen_test_hmp(t, "info xen-physmap");
    for (unsigned i = 0; i < ARRAY_SIZE(pieces); i++) {
        XEN_REQUIRE(strstr(all, pieces[i]), "does not tell \"%s\": %s",
                    pieces[i], all);
    }
    xen_test_ok(t, guest_pci_place_bar(t->pc, CARD, 0, 0xf8000000u));
    return memory_is(t, XEN_TEST_LFB, XEN_TEST_LFB, true);
}

/* ---- events ---- */

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

/* ---- odd questions ---- */

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
    xen_test_add("inside/sizes", sizes, NULL);
    xen_test_add("inside/held-bytes", held_bytes, NULL);
    xen_test_add("inside/limits", limits, NULL);
    xen_test_add("inside/statistics", statistics, NULL);
    xen_test_add("inside/holders", holders, NULL);
    xen_test_add("inside/traces-slots", traces_slots, NULL);
    xen_test_add("inside/traces-outside", traces_outside, NULL);
    xen_test_add("inside/physmap", physmap, NULL);
    xen_test_add("inside/physmap-restored", physmap_restored, NULL);
    xen_test_add("inside/physmap-elsewhere", physmap_elsewhere, NULL);
    xen_test_add("inside/physmap-pieces", physmap_pieces, NULL);
    xen_test_add("inside/event-outstanding", event_outstanding, NULL);
    xen_test_add("inside/event-low", event_low, NULL);
    xen_test_add("inside/odd-arguments", odd_arguments, NULL);
    xen_test_add("inside/crowd", crowd, NULL);
    return g_test_run();
}
