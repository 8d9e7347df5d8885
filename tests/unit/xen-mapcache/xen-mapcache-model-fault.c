/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The model: operations during which a call to Xen fails.
 *
 * Such an operation may get no memory, or less than it asked for.  But it must
 * not get wrong bytes, and later operations must work fully.
 */
#include "qemu/osdep.h"
#include "qemu/rcu.h"
#include "xen-mapcache-model-int.h"

static int arm(const char *name)
{
    XensimFault fault = {
        .call = name,
        .first = 1 + twin_take(2),
        .count = 1 + twin_take(2),
        .error = twin_take(2) ? ENOMEM : EINVAL,
    };
    int id = xensim_fault_arm(harness_sim, &fault);

    g_assert_cmpint(id, >=, 0);
    return id;
}

static void fault_lookup(uint64_t addr)
{
    hwaddr len = 1;
    uint8_t *host;
    int id = arm(TWIN_MAP_CALL);

    WITH_RCU_READ_LOCK_GUARD() {
        host = xen_map_cache(addr, &len, NULL);
        if (host) {
            twin_check_pages(host, addr, len,
                             &twin.serial[addr >> XENSIM_PAGE_SHIFT]);
        } else {
            g_assert_cmpuint(len, ==, 0);
        }
    }
    xensim_fault_disarm(harness_sim, id);
}

static void fault_map(uint64_t addr)
{
    uint64_t len = twin_take_len(addr), want;
    XenMapUse use = twin_take(2) ? XEN_MAP_DMA : XEN_MAP_HELD;
    uint64_t *serial = &twin.serial[addr >> XENSIM_PAGE_SHIFT];
    bool unseen;
    hwaddr got = len;
    uint8_t *host;
    int id;

    if (twin.nr_dma >= MAX_DMA - 1) {
        return;
    }
    want = twin_present(addr, len, &unseen);
    id = arm(TWIN_MAP_CALL);
    host = xen_map_cache_dma(harness_ram, addr, 0, &got, use, true, NULL, NULL);
    xensim_fault_disarm(harness_sim, id);
    g_assert_true(!host == !got);
    g_assert_cmpuint(got, <=, want);
    if (host) {
        twin_check_pages(host, addr, got, serial);
        twin_add_dma(host, addr, got, TWIN_EITHER,
                     g_memdup2(serial, sizeof(uint64_t) *
                               DIV_ROUND_UP((addr & PAGE_MASK) + got,
                                            XENSIM_PAGE_SIZE)));
    }
}

static void fault_grant(void)
{
    uint64_t gfn = twin_take(PAGES), addr;
    hwaddr len = XENSIM_PAGE_SIZE;
    int ref, id;

    if (!twin.serial[gfn]) {
        return;
    }
    ref = xensim_grant(harness_dom, 0, gfn, false);
    g_assert_cmpint(ref, >, 0);
    addr = BLOCK_AT + ((uint64_t)ref << XENSIM_PAGE_SHIFT);
    id = xensim_fault_arm(harness_sim, &(XensimFault) {
        .call = "xengnttab_map_domain_grant_refs", .error = ENOMEM,
    });
    g_assert_null(xen_map_cache_dma(harness_grants, addr, BLOCK_AT, &len,
                                    XEN_MAP_DMA, true, NULL, NULL));
    g_assert_cmpuint(len, ==, 0);
    xensim_fault_disarm(harness_sim, id);
    xensim_grant_revoke(harness_dom, ref);
}

void twin_op_fault(void)
{
    uint64_t addr = twin_take_addr();

    twin.n->faults++;
    switch (twin_take(4)) {
    case 0:
    case 1:
        fault_lookup(addr);
        break;
    case 2:
        fault_map(addr);
        break;
    default:
        fault_grant();
        break;
    }
}
