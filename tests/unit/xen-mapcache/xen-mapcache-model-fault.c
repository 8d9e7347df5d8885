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
        .first = 1 + model_take(2),
        .count = 1 + model_take(2),
        .error = model_take(2) ? ENOMEM : EINVAL,
    };
    int id = xensim_fault_arm(harness_sim, &fault);

    g_assert_cmpint(id, >=, 0);
    return id;
}

static void fault_lookup(uint64_t addr)
{
    hwaddr len = 1;
    uint8_t *host;
    int id = arm(MODEL_MAP_CALL);

    WITH_RCU_READ_LOCK_GUARD() {
        host = xen_map_cache(addr, &len, NULL);
        if (host) {
            model_check_pages(host, addr, len,
                              &model.serial[addr >> XENSIM_PAGE_SHIFT]);
        } else {
            g_assert_cmpuint(len, ==, 0);
        }
    }
    xensim_fault_disarm(harness_sim, id);
}

static void fault_map(uint64_t addr)
{
    uint64_t len = model_take_len(addr), want;
    XenMapUse use = model_take(2) ? XEN_MAP_DMA : XEN_MAP_HELD;
    uint64_t *serial = &model.serial[addr >> XENSIM_PAGE_SHIFT];
    bool unseen;
    hwaddr got = len;
    uint8_t *host;
    int id;

    if (model.nr_dma >= MAX_DMA - 1) {
        return;
    }
    want = model_present(addr, len, &unseen);
    id = arm(MODEL_MAP_CALL);
    host = xen_map_cache_dma(harness_ram, addr, 0, &got, use, true, NULL, NULL);
    xensim_fault_disarm(harness_sim, id);
    g_assert_true(!host == !got);
    g_assert_cmpuint(got, <=, want);
    if (host) {
        model_check_pages(host, addr, got, serial);
        model_add_dma(host, addr, got, MODEL_EITHER,
                      g_memdup2(serial, sizeof(uint64_t) *
                                DIV_ROUND_UP((addr & PAGE_MASK) + got,
                                             XENSIM_PAGE_SIZE)));
    }
}

static void fault_grant(void)
{
    uint64_t gfn = model_take(PAGES), addr;
    hwaddr len = XENSIM_PAGE_SIZE;
    int ref, id;

    if (!model.serial[gfn]) {
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

void model_op_fault(void)
{
    uint64_t addr = model_take_addr();

    model.n->faults++;
    switch (model_take(4)) {
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
