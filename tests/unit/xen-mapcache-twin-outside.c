/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The naive twin: operations on device memory and grants; faults.
 */
#include "qemu/osdep.h"
#include "qemu/rcu.h"
#include "exec/ramlist.h"
#include "xen-mapcache-twin-int.h"

bool twin_can_replace(void)
{
#ifdef TWIN_COMPAT
    return false;
#else
    return true;
#endif
}

void twin_block_free(uint8_t *host)
{
    if (xen_map_cache_block_unannounce(host)) {
        ram_block_notify_remove(host, 0, 0);
    }
    g_assert_false(xen_map_cache_block_unannounce(host));
    xen_unmap_cache_block(host);
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

    g_assert_cmpuint(twin_peek(g->host), ==, g->serial);
    xen_invalidate_map_cache_entry(g->host, XENSIM_PAGE_SIZE);
    g_assert_cmpint(xensim_grant_mappings(harness_dom, g->ref), ==, 0);
    xensim_grant_revoke(harness_dom, g->ref);
    *g = twin.grant[--twin.nr_grants];
}

void twin_op_grant(void)
{
    TwinGrant *g = &twin.grant[twin.nr_grants];
    hwaddr len = XENSIM_PAGE_SIZE;
    uint64_t gfn = twin_take(PAGES), addr;

    twin.n->grants++;
    if (twin.nr_grants == MAX_GRANTS || !twin.serial[gfn] ||
        twin_take(4) == 0) {
        if (twin.nr_grants) {
            twin_grant_release(twin_take(twin.nr_grants));
        }
        return;
    }
    g->gfn = gfn;
    g->ref = xensim_grant(harness_dom, 0, gfn, false);
    g_assert_cmpint(g->ref, >, 0);
    addr = BLOCK_AT + ((uint64_t)g->ref << XENSIM_PAGE_SHIFT);
    WITH_RCU_READ_LOCK_GUARD() {
        g->host = xen_map_cache_dma(harness_grants, addr, BLOCK_AT, &len,
                                    XEN_MAP_DMA, twin_take(2), NULL);
    }
    g_assert_nonnull(g->host);
    g_assert_cmpuint(len, ==, XENSIM_PAGE_SIZE);
    g->serial = twin.serial[g->gfn];
    g_assert_cmpuint(twin_peek(g->host), ==, g->serial);
    g_assert_cmphex(xen_ram_addr_from_mapcache(g->host + 5), ==, addr + 5);
    twin.nr_grants++;
}

/* One map call fails: what is asked for then is as if it were absent. */
void twin_op_fault(void)
{
    uint64_t addr = twin_take_addr();
    hwaddr len = 1;
    uint8_t *host;
    int id;
    XensimFault fault = {
        .call = TWIN_MAP_CALL,
        .count = 1,
        .error = twin_take(2) ? ENOMEM : EINVAL,
    };

    twin.n->faults++;
    id = xensim_fault_arm(harness_sim, &fault);
    WITH_RCU_READ_LOCK_GUARD() {
        host = xen_map_cache(addr, &len);
        if (host) {
            twin_check_pages(host, addr, len,
                        &twin.serial[addr >> XENSIM_PAGE_SHIFT]);
        } else {
            g_assert_cmpuint(len, ==, 0);
        }
    }
    xensim_fault_disarm(harness_sim, id);
}
