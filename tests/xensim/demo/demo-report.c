/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The demo's table of calls. */

#include <inttypes.h>
#include <stdio.h>

#include "demo.h"

/* The device model's own figures, if it has the command; else NULL. */
static TsJson *own_figures(Demo *demo)
{
    return ts_qmp_command(ts_qmp(demo->guest), "query-xen-mapcache", NULL,
                          NULL);
}

/*
 * What went is what was there before and came since, less what is there now:
 * a mapping ends by many ways, by munmap() and by another one in its place.
 */
void demo_stage(Demo *demo, const char *name)
{
    Xensim *sim = ts_sim(demo->ts);
    DemoStage *s = &demo->stages[demo->n_stages++];
    XensimCount maps = xensim_count_maps(sim);
    XensimCount other = xensim_count(sim, "xenforeignmemory_map_resource");
    g_autoptr(TsJson) own = own_figures(demo);
    gint64 hits = ts_json_get_int(own, "hits", -1);
    XensimMemInfo info;

    g_assert(demo->n_stages <= DEMO_MAX_STAGES);
    xensim_mem_info(ts_domain(demo->guest), &info);
    s->name = name;
    s->maps = maps.calls;
    s->pages = maps.pages;
    s->unmaps = demo->live_maps + maps.calls - maps.failures + other.calls -
                other.failures - info.mappings;
    s->hits = hits < 0 ? -1 : hits - demo->hits;
    demo->live_maps = info.mappings;
    demo->hits = hits;
    xensim_count_reset(sim);
}

static void row(const DemoStage *s)
{
    printf("  %-40s %9" PRIu64 " %9" PRIu64 " %9" PRIu64, s->name, s->maps,
           s->pages, s->unmaps);
    if (s->hits < 0) {
        printf(" %9s\n", "-");
    } else {
        printf(" %9" PRId64 "\n", s->hits);
    }
}

/* Every number that OWN has, a few to a line. */
static void print_figures(const TsJson *own)
{
    unsigned int column = 0;
    guint i;

    printf("\n  What the device model counts itself, since the restore:\n");
    for (i = 0; i < own->items->len; i++) {
        const TsJson *item = own->items->pdata[i];

        if (item->type == TS_JSON_NUMBER) {
            printf("  %s%s %" PRId64, column % 5 ? " " : "  ", item->key,
                   item->number);
            column++;
            if (column % 5 == 0) {
                printf("\n");
            }
        }
    }
    if (column % 5) {
        printf("\n");
    }
}

void demo_report(Demo *demo)
{
    g_autoptr(TsJson) own = own_figures(demo);
    DemoStage all = { .name = "all", .hits = own ? 0 : -1 };
    unsigned int i;

    printf("\n  %-40s %9s %9s %9s %9s\n", "stage", "map calls", "of pages",
           "unmapped", "hits");
    for (i = 0; i < demo->n_stages; i++) {
        const DemoStage *s = &demo->stages[i];

        row(s);
        all.maps += s->maps;
        all.pages += s->pages;
        all.unmaps += s->unmaps;
        all.hits += own ? s->hits : 0;
    }
    row(&all);
    if (!own) {
        printf("  hits: not available in this QEMU\n");
    } else if (own->type == TS_JSON_OBJECT) {
        print_figures(own);
    }
    printf("\n");
    fflush(stdout);
}
