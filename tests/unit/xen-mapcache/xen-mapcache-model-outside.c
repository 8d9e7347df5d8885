/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The model: operations on device memory and grants; faults.
 */
#include "qemu/osdep.h"
#include "qemu/rcu.h"
#include "exec/ramlist.h"
#include "xen-mapcache-model-int.h"

bool model_can_replace(void)
{
#ifdef MODEL_COMPAT
    return false;
#else
    return true;
#endif
}

void model_block_free(uint8_t *host)
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
        .call = MODEL_MAP_CALL,
        .first = 1 + model_take(2), /* the probe, the replacement */
        .count = 1,
        .error = ENOMEM,
    };
    uint64_t mark = model.next_serial;
    int id = xensim_fault_arm(harness_sim, &fault);

    memcpy(host, &mark, sizeof(mark));
    g_assert_null(xen_replace_cache_entry(at, to,
                                          pages << XENSIM_PAGE_SHIFT));
    xensim_fault_disarm(harness_sim, id);
    g_assert_true(xen_map_cache_is_dummy(at));
    g_assert_cmpuint(model_peek(host), ==, mark);
}

void model_op_block(void)
{
    unsigned i = model_take(MAX_BLOCKS);
    ModelBlock *b = &model.block[i];
    uint64_t at = BLOCK_AT + i * BLOCK_STEP, gfn = at >> XENSIM_PAGE_SHIFT;

    model.n->blocks++;
    if (b->host) {
        /* A DMA that ended in device memory holds nothing of it. */
        xen_invalidate_map_cache_entry(b->host + model_take(XENSIM_PAGE_SIZE),
                                       512);
        g_assert_cmphex(model_peek(b->host), ==, gfn);
        model_check_reverse(b->host, at, b->pages << XENSIM_PAGE_SHIFT);
        if (model_take(2)) {
            model_block_free(b->host);
            b->host = NULL;
            xensim_depopulate(harness_dom, gfn, b->pages);
        }
        return;
    }
    b->pages = 1 + model_take(700);
    g_assert_cmpuint(xensim_populate(harness_dom, gfn, b->pages), ==,
                     b->pages);
    xensim_write(harness_dom, at, &gfn, sizeof(gfn));
    if (model_take(2) || !model_can_replace()) {
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
        g_assert_cmphex(model_peek(host), ==, 0);
        model_check_reverse(host, at, b->pages << XENSIM_PAGE_SHIFT);
        if (model_take(4) == 0) {
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
    g_assert_cmphex(model_peek(b->host), ==, gfn);
}

void model_grant_release(unsigned i)
{
    ModelGrant *g = &model.grant[i];
    unsigned k;

    for (k = 0; k < g->pages; k++) {
        g_assert_cmpuint(model_peek(g->host + k * XENSIM_PAGE_SIZE), ==,
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
    model.nr_grant_pages -= g->pages;
    *g = model.grant[--model.nr_grants];
}

/* Looks at it, and may take it back under the mapping, which stays good. */
static void grant_revoke(ModelGrant *g)
{
    unsigned k;

    for (k = 0; k < g->pages; k++) {
        g_assert_cmpuint(model_peek(g->host + k * XENSIM_PAGE_SIZE), ==,
                         g->serial[k]);
        if (!g->revoked) {
            xensim_grant_revoke(harness_dom, g->ref + k);
        }
    }
    g->revoked = true;
}

/* References in a row to the pages from @gfn on, if they are there. */
static void grant_make(ModelGrant *g, uint64_t gfn, unsigned wanted)
{
    *g = (ModelGrant) { .pages = 0 };
    while (g->pages < wanted && gfn < PAGES && model.serial[gfn]) {
        int ref = xensim_grant(harness_dom, 0, gfn, false);

        g_assert_cmpint(ref, >, 0);
        if (g->pages && ref != g->ref + g->pages) {
            xensim_grant_revoke(harness_dom, ref);
            return;
        }
        g->ref = g->pages ? g->ref : ref;
        g->serial[g->pages++] = model.serial[gfn++];
    }
}

static bool grant_is_good(int ref)
{
    unsigned i;

    for (i = 0; i < model.nr_grants; i++) {
        ModelGrant *g = &model.grant[i];

        if (!g->revoked && ref >= g->ref && ref - g->ref < g->pages) {
            return true;
        }
    }
    return false;
}

void model_op_grant(void)
{
    ModelGrant *g = &model.grant[model.nr_grants];
    uint64_t gfn = model_take(PAGES), addr;
    unsigned beyond = model_take(4) == 0, k;
    hwaddr len;

    model.n->grants++;
    if (model.nr_grants == MAX_GRANTS || !model.serial[gfn] ||
        model_take(4) == 0) {
        if (model.nr_grants && model_take(4)) {
            model_grant_release(model_take(model.nr_grants));
        } else if (model.nr_grants) {
            grant_revoke(&model.grant[model_take(model.nr_grants)]);
        }
        return;
    }
    grant_make(g, gfn, 1 + model_take(GRANT_PAGES));
    beyond = beyond && !grant_is_good(g->ref + g->pages);
    addr = BLOCK_AT + ((uint64_t)g->ref << XENSIM_PAGE_SHIFT);
    /* A bad reference behind the good ones: then the first half is had. */
    len = (g->pages + beyond) * XENSIM_PAGE_SIZE;
    WITH_RCU_READ_LOCK_GUARD() {
        g->host = xen_map_cache_dma(harness_grants, addr, BLOCK_AT, &len,
                                    XEN_MAP_DMA, model_take(2), NULL, NULL);
    }
    g_assert_nonnull(g->host);
    for (k = beyond ? (g->pages + 1) / 2 : g->pages; k < g->pages;
         g->pages--) {
        xensim_grant_revoke(harness_dom, g->ref + g->pages - 1);
    }
    g_assert_cmpuint(len, ==, g->pages * XENSIM_PAGE_SIZE);
    for (k = 0; k < g->pages; k++) {
        const uint8_t *p = g->host + k * XENSIM_PAGE_SIZE;

        g_assert_cmpuint(model_peek(p), ==, g->serial[k]);
        g_assert_cmphex(xen_ram_addr_from_mapcache((void *)(p + 5)), ==,
                        addr + k * XENSIM_PAGE_SIZE + 5);
    }
    model.nr_grants++;
    model.nr_grant_pages += g->pages;
}
