/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is traced of slots, and of what is mapped outside of them. */
#include "qemu/osdep.h"
#include "xen-test-common.h"

enum { SEED = 53, DISK_PAGES = 64, RING = 0x700000, BUFFER = 0x640000 };

static void boot(XenTest *t, const char *more)
{
    xen_test_start_disk(t, DISK_PAGES, SEED, more);
}
#define boot(...) XEN_AT(boot(__VA_ARGS__))

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

/* Each miss is traced, and no hit is. */
static const char *traces_misses(XenTest *t)
{
    g_auto(GStrv) lines = NULL;
    uint64_t misses, hits;

    boot(t, "-trace xen_map_cache ");
    for (unsigned i = 0; i < 50; i++) {
        xen_test_dma_read(t, i % DISK_PAGES, (9 + i % 5) * XEN_TEST_BUCKET, 1);
    }
    misses = xen_test_stat(t, "misses");
    hits = xen_test_stat(t, "hits");
    lines = xen_test_log_lines(t, "xen_map_cache ");
    XEN_REQUIRE(misses >= 5 && hits > 10 * misses &&
                g_strv_length(lines) == misses, "traces %u of %" PRIu64
                " misses and %" PRIu64 " hits", g_strv_length(lines), misses,
                hits);
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

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("inside/traces-slots", traces_slots, NULL);
    xen_test_add("inside/traces-misses", traces_misses, NULL);
    xen_test_add("inside/traces-outside", traces_outside, NULL);
    return g_test_run();
}
