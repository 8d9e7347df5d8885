/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log of dirty pages: while it is on, the device model has to tell Xen of
 * each page that it writes to, or a live migration would leave it behind.
 */
#include "qemu/osdep.h"
#include "engine.h"

/* What the simulated Xen keeps of what it was told. */
#define LOG_ENTRIES 65536u

struct OracleDirty {
    uint64_t pages;
    uint64_t *before;           /* what each held when the log was begun */
    uint8_t *known;             /* written by the guest itself, or told of */
};

static const uint8_t zeros[ORACLE_PAGE];

static bool command(OracleSide *side, bool enable)
{
    TsQmp *qmp = oracle_side_qmp(side);

    return qmp && ts_qmp_run(qmp, "xen-set-global-dirty-log", enable ?
                             "{\"enable\": true}" : "{\"enable\": false}",
                             NULL);
}

void oracle_dirty_drop(OracleSide *side)
{
    OracleDirty *d = g_steal_pointer(&side->dirty);

    if (d) {
        g_free(d->before);
        g_free(d->known);
        g_free(d);
    }
}

typedef struct Walk {
    OracleSide *side;
    uint64_t *now;
} Walk;

static void hash_pages(void *opaque, uint64_t gfn, uint64_t mfn,
                       uint64_t pages)
{
    Walk *walk = opaque;
    uint64_t end = MIN(gfn + pages, walk->side->dirty->pages);
    uint8_t page[ORACLE_PAGE];

    for (; gfn < end; gfn++) {
        if (!guest_mem_read(walk->side->pc, gfn * ORACLE_PAGE, page,
                            sizeof(page))) {
            walk->now[gfn] = oracle_hash(page, sizeof(page));
        }
    }
}

/* Of all pages; those that nobody wrote to hold zeros (g_free). */
static uint64_t *hash_ram(OracleSide *side)
{
    uint64_t zero = oracle_hash(zeros, sizeof(zeros)), i;
    Walk walk = { side, g_new(uint64_t, side->dirty->pages) };

    for (i = 0; i < side->dirty->pages; i++) {
        walk.now[i] = zero;
    }
    xensim_data_foreach(oracle_domain(side), hash_pages, &walk);
    return walk.now;
}

void oracle_dirty_start(OracleSide *side)
{
    oracle_dirty_drop(side);
    if (!command(side, true)) {
        return;
    }
    xensim_log_clear(oracle_domain(side), XENSIM_LOG_MODIFIED);
    side->dirty = g_new0(OracleDirty, 1);
    side->dirty->pages = oracle_ram_bytes(side) / ORACLE_PAGE;
    side->dirty->known = g_malloc0(side->dirty->pages);
    side->dirty->before = hash_ram(side);
}

void oracle_dirty_known(OracleSide *side, uint64_t gpa, uint64_t len)
{
    OracleDirty *d = side->dirty;
    uint64_t page = gpa / ORACLE_PAGE;

    for (; d && len && page <= (gpa + len - 1) / ORACLE_PAGE; page++) {
        if (page < d->pages) {
            d->known[page] = 1;
        }
    }
}

/* False if it told of so many that some are forgotten. */
static bool read_log(OracleSide *side)
{
    XensimDomain *dom = oracle_domain(side);
    uint64_t n = xensim_log_count(dom, XENSIM_LOG_MODIFIED), i;
    XensimLogEntry entry;

    for (i = 0; i < n && n <= LOG_ENTRIES; i++) {
        if (xensim_log_get(dom, XENSIM_LOG_MODIFIED, i, &entry)) {
            oracle_dirty_known(side, entry.a * ORACLE_PAGE,
                               entry.b * ORACLE_PAGE);
        }
    }
    return n <= LOG_ENTRIES;
}

char *oracle_dirty_end(OracleSide *side)
{
    OracleDirty *d = side->dirty;
    g_autofree uint64_t *now = NULL;
    char *text = NULL;
    uint64_t page;
    bool whole;

    if (!d || !command(side, false)) {
        return NULL;
    }
    now = hash_ram(side);
    whole = read_log(side);
    for (page = 0; whole && !text && page < d->pages; page++) {
        if (now[page] != d->before[page] && !d->known[page] &&
            oracle_is_ram(page)) {
            text = g_strdup_printf("page 0x%" PRIx64 " was written to, and "
                                   "Xen was not told that it is dirty", page);
        }
    }
    oracle_dirty_drop(side);
    return text;
}
