/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the monitor tells of the mapcache is what the simulated Xen counts. */
#include "qemu/osdep.h"
#include "qobject/qlist.h"
#include "qobject/qnum.h"
#include "xen-test-common.h"

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

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("inside/sizes", sizes, NULL);
    xen_test_add("inside/held-bytes", held_bytes, NULL);
    xen_test_add("inside/limits", limits, NULL);
    xen_test_add("inside/statistics", statistics, NULL);
    return g_test_run();
}
