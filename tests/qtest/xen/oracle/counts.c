/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The oracle: does the mapcache count what the simulated Xen counts?
 */
#include "qemu/osdep.h"
#include "engine.h"

#define SETTLE_MS 5000

/*
 * Of one process of QEMU's, which has a domain of its own.  Xen sees neither
 * lookups nor what a mapping is for, so it has nothing to compare with the
 * other counters: docs/oracle.md lists them.
 */
typedef struct Counts {
    uint64_t calls, pages, failures;    /* of map calls, since it began */
    uint64_t invalidates;               /* since it began */
    uint64_t mapped;                    /* pages, without grants; now */
    uint64_t grants;                    /* mappings; now */
} Counts;

static void add_mapped(void *opaque, const XensimMapRun *run)
{
    Counts *counts = opaque;

    counts->mapped += run->grant || run->resource ? 0 : run->pages;
    counts->grants += run->grant && run->addr == run->map_addr;
}

static Counts counts_of_xen(OracleSide *side)
{
    XensimCount now = xensim_count_maps(ts_sim(side->ts));
    Counts counts = {
        .calls = now.calls - side->maps_before.calls,
        .pages = now.pages - side->maps_before.pages,
        .failures = now.failures - side->maps_before.failures,
        .invalidates = xensim_count_invalidates(oracle_domain(side)),
    };

    xensim_mappings_foreach(oracle_domain(side), add_mapped, &counts);
    return counts;
}

static Counts counts_of_qemu(TsQmp *qmp)
{
    g_autoptr(TsJson) info = ts_qmp_command(qmp, "query-xen-mapcache", NULL,
                                            NULL);

    return (Counts) {
        .calls = ts_json_get_int(info, "map-calls", 0),
        .pages = ts_json_get_int(info, "map-pages", 0),
        .failures = ts_json_get_int(info, "map-failures", 0),
        .invalidates = ts_json_get_int(info, "invalidates", 0),
        .grants = ts_json_get_int(info, "grants", 0),
        .mapped = (ts_json_get_int(info, "bytes-mapped", 0) +
                   ts_json_get_int(info, "bytes-exact", 0) +
                   ts_json_get_int(info, "bytes-blocks", 0)) / ORACLE_PAGE,
    };
}

void oracle_counts_begin(OracleSide *side, bool known)
{
    side->maps_before = xensim_count_maps(ts_sim(side->ts));
    side->maps_unknown = !known;
}

char *oracle_counts_compare(OracleSide *side, TsQmp *qmp)
{
    Counts xen, qemu;
    unsigned ms;

    if (side->maps_unknown) {
        XensimCount now = xensim_count_maps(ts_sim(side->ts));

        qemu = counts_of_qemu(qmp);
        side->maps_before.calls = now.calls - qemu.calls;
        side->maps_before.pages = now.pages - qemu.pages;
        side->maps_before.failures = now.failures - qemu.failures;
        side->maps_unknown = false;
    }
    /* The reaper may unmap between the one and the other. */
    for (ms = 0; ms < SETTLE_MS; ms++) {
        qemu = counts_of_qemu(qmp);
        xen = counts_of_xen(side);
        if (!memcmp(&xen, &qemu, sizeof(xen))) {
            return NULL;
        }
        g_usleep(1000);
    }
    return g_strdup_printf("the mapcache counts %" PRIu64 " map calls of %"
                           PRIu64 " pages, %" PRIu64 " failed, %" PRIu64
                           " invalidates, %" PRIu64 " pages and %" PRIu64
                           " grants mapped; Xen counts %" PRIu64 " of %" PRIu64
                           ", %" PRIu64 ", %" PRIu64 ", %" PRIu64 " and %"
                           PRIu64, qemu.calls, qemu.pages, qemu.failures,
                           qemu.invalidates, qemu.mapped, qemu.grants,
                           xen.calls, xen.pages, xen.failures, xen.invalidates,
                           xen.mapped, xen.grants);
}
