/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The model: operations on device memory and grants; faults.
 */
#include "qemu/osdep.h"
#include "qemu/rcu.h"
#include "exec/ramlist.h"
#include "xen-mapcache-model-int.h"

bool twin_can_replace(void)
{
#ifdef TWIN_COMPAT
    return false;
#else
    return true;
#endif
}

bool twin_is_copied(uint64_t addr, uint64_t len)
{
    return !twin_can_replace() && len <= 4 * XENSIM_PAGE_SIZE &&
           (addr & (TWIN_BUCKET - 1)) + len > TWIN_BUCKET;
}

void twin_block_free(uint8_t *host)
{
    if (xen_map_cache_block_unannounce(host)) {
        ram_block_notify_remove(host, 0, 0);
    }
    g_assert_false(xen_map_cache_block_unannounce(host));
    xen_unmap_cache_block(host);
}

/* A replacement that fails leaves the dummy as it was. */
static void replace_fails(uint64_t at, uint64_t to, uint64_t pages,
                          uint8_t *host)
{
    XensimFault fault = {
        .call = TWIN_MAP_CALL,
        .first = 1 + twin_take(2), /* the probe, the replacement */
        .count = 1,
        .error = ENOMEM,
    };
    uint64_t mark = twin.next_serial;
    int id = xensim_fault_arm(harness_sim, &fault);

    memcpy(host, &mark, sizeof(mark));
    g_assert_null(xen_replace_cache_entry(at, to,
                                          pages << XENSIM_PAGE_SHIFT));
    xensim_fault_disarm(harness_sim, id);
    g_assert_true(xen_map_cache_is_dummy(at));
    g_assert_cmpuint(twin_peek(host), ==, mark);
}

void twin_op_block(void)
{
    unsigned i = twin_take(MAX_BLOCKS);
    TwinBlock *b = &twin.block[i];
    uint64_t at = BLOCK_AT + i * BLOCK_STEP, gfn = at >> XENSIM_PAGE_SHIFT;

    twin.n->blocks++;
    if (b->host) {
        /* A DMA that ended in device memory holds nothing of it. */
        xen_invalidate_map_cache_entry(b->host + twin_take(XENSIM_PAGE_SIZE),
                                       512);
        g_assert_cmphex(twin_peek(b->host), ==, gfn);
        twin_check_reverse(b->host, at, b->pages << XENSIM_PAGE_SHIFT);
        if (twin_take(2)) {
            twin_block_free(b->host);
            b->host = NULL;
            xensim_depopulate(harness_dom, gfn, b->pages);
        }
        return;
    }
    b->pages = 1 + twin_take(700);
    g_assert_cmpuint(xensim_populate(harness_dom, gfn, b->pages), ==,
                     b->pages);
    xensim_write(harness_dom, at, &gfn, sizeof(gfn));
    if (twin_take(2) || !twin_can_replace()) {
        b->host = xen_map_cache_block(at, b->pages << XENSIM_PAGE_SHIFT);
        g_assert_false(xen_map_cache_is_dummy(at));
    } else {
        /* As at a restore: the frames are elsewhere, and found later. */
        uint64_t away = gfn + (BLOCK_STEP >> (XENSIM_PAGE_SHIFT + 1));
        uint8_t *host;

        g_assert_cmpint(xensim_move(harness_dom, gfn, away, b->pages), ==, 0);
        harness_incoming = true;
        host = xen_map_cache_block(at, b->pages << XENSIM_PAGE_SHIFT);
        g_assert_true(xen_map_cache_is_dummy(at));
        g_assert_cmphex(twin_peek(host), ==, 0);
        twin_check_reverse(host, at, b->pages << XENSIM_PAGE_SHIFT);
        if (twin_take(4) == 0) {
            replace_fails(at, away << XENSIM_PAGE_SHIFT, b->pages, host);
        }
        b->host = xen_replace_cache_entry(at, away << XENSIM_PAGE_SHIFT,
                                          b->pages << XENSIM_PAGE_SHIFT);
        harness_incoming = false;
        g_assert_true(b->host == host);
        g_assert_false(xen_map_cache_is_dummy(at));
        /* Back to where the next round looks; the mapping has the frames. */
        g_assert_cmpint(xensim_move(harness_dom, away, gfn, b->pages), ==, 0);
    }
    g_assert_cmphex(twin_peek(b->host), ==, gfn);
}

void twin_grant_release(unsigned i)
{
    TwinGrant *g = &twin.grant[i];
    unsigned k;

    for (k = 0; k < g->pages; k++) {
        g_assert_cmpuint(twin_peek(g->host + k * XENSIM_PAGE_SIZE), ==,
                         g->serial[k]);
    }
    xen_invalidate_map_cache_entry(g->host, g->pages * XENSIM_PAGE_SIZE);
    for (k = 0; k < g->pages; k++) {
        if (!g->revoked) {
            g_assert_cmpint(xensim_grant_mappings(harness_dom, g->ref + k),
                            ==, 0);
            xensim_grant_revoke(harness_dom, g->ref + k);
        }
    }
    twin.nr_grant_pages -= g->pages;
    *g = twin.grant[--twin.nr_grants];
}

/* Looks at it, and may take it back under the mapping, which stays good. */
static void grant_revoke(TwinGrant *g)
{
    unsigned k;

    for (k = 0; k < g->pages; k++) {
        g_assert_cmpuint(twin_peek(g->host + k * XENSIM_PAGE_SIZE), ==,
                         g->serial[k]);
        if (!g->revoked) {
            xensim_grant_revoke(harness_dom, g->ref + k);
        }
    }
    g->revoked = true;
}

/* References in a row to the pages from @gfn on, if they are there. */
static void grant_make(TwinGrant *g, uint64_t gfn, unsigned wanted)
{
    *g = (TwinGrant) { .pages = 0 };
    while (g->pages < wanted && gfn < PAGES && twin.serial[gfn]) {
        int ref = xensim_grant(harness_dom, 0, gfn, false);

        g_assert_cmpint(ref, >, 0);
        if (g->pages && ref != g->ref + g->pages) {
            xensim_grant_revoke(harness_dom, ref);
            return;
        }
        g->ref = g->pages ? g->ref : ref;
        g->serial[g->pages++] = twin.serial[gfn++];
    }
}

static bool grant_is_good(int ref)
{
    unsigned i;

    for (i = 0; i < twin.nr_grants; i++) {
        TwinGrant *g = &twin.grant[i];

        if (!g->revoked && ref >= g->ref && ref - g->ref < g->pages) {
            return true;
        }
    }
    return false;
}

void twin_op_grant(void)
{
    TwinGrant *g = &twin.grant[twin.nr_grants];
    uint64_t gfn = twin_take(PAGES), addr;
    unsigned beyond = twin_take(4) == 0, k;
    hwaddr len;

    twin.n->grants++;
    if (twin.nr_grants == MAX_GRANTS || !twin.serial[gfn] ||
        twin_take(4) == 0) {
        if (twin.nr_grants && twin_take(4)) {
            twin_grant_release(twin_take(twin.nr_grants));
        } else if (twin.nr_grants) {
            grant_revoke(&twin.grant[twin_take(twin.nr_grants)]);
        }
        return;
    }
    grant_make(g, gfn, 1 + twin_take(GRANT_PAGES));
    beyond = beyond && !grant_is_good(g->ref + g->pages);
    addr = BLOCK_AT + ((uint64_t)g->ref << XENSIM_PAGE_SHIFT);
    /* A bad reference behind the good ones: then the first half is had. */
    len = (g->pages + beyond) * XENSIM_PAGE_SIZE;
    WITH_RCU_READ_LOCK_GUARD() {
        g->host = xen_map_cache_dma(harness_grants, addr, BLOCK_AT, &len,
                                    XEN_MAP_DMA, twin_take(2), NULL, NULL);
    }
    g_assert_nonnull(g->host);
    for (k = beyond ? (g->pages + 1) / 2 : g->pages; k < g->pages;
         g->pages--) {
        xensim_grant_revoke(harness_dom, g->ref + g->pages - 1);
    }
    g_assert_cmpuint(len, ==, g->pages * XENSIM_PAGE_SIZE);
    for (k = 0; k < g->pages; k++) {
        const uint8_t *p = g->host + k * XENSIM_PAGE_SIZE;

        g_assert_cmpuint(twin_peek(p), ==, g->serial[k]);
        g_assert_cmphex(xen_ram_addr_from_mapcache((void *)(p + 5)), ==,
                        addr + k * XENSIM_PAGE_SIZE + 5);
    }
    twin.nr_grants++;
    twin.nr_grant_pages += g->pages;
}
