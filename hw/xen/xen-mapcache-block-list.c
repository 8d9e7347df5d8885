/*
 * Xen mapcache: the list of device memory
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * This file also calls the machine's functions for device memory (XenBlockOps),
 * and keeps note of the blocks of which RAM block notifiers have been told.
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/lockable.h"

#include "exec/ramlist.h"
#include "hw/xen/xen_native.h"
#include "system/runstate.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-outside.h"
#include "trace.h"

static QLIST_HEAD(, Outside) blocks; /* under the lock */
static const XenBlockOps *block_ops;

void xen_map_cache_set_block_ops(const XenBlockOps *ops)
{
    qatomic_set(&block_ops, ops);
}

XenBlockPlace mcache_block_place(ram_addr_t addr, ram_addr_t size)
{
    const XenBlockOps *ops = qatomic_read(&block_ops);

    if (ops) {
        return ops->place(addr, size);
    }
    return runstate_check(RUN_STATE_INMIGRATE) ? XEN_BLOCK_UNKNOWN
                                               : XEN_BLOCK_KNOWN;
}

void mcache_block_load_begins(void)
{
    const XenBlockOps *ops = qatomic_read(&block_ops);

    if (ops) {
        ops->load_begins();
    }
}

void mcache_block_loaded(void)
{
    const XenBlockOps *ops = qatomic_read(&block_ops);

    if (ops) {
        ops->loaded();
    }
}

xen_pfn_t *mcache_block_gfns(ram_addr_t addr, ram_addr_t size)
{
    const XenBlockOps *ops = qatomic_read(&block_ops);
    xen_pfn_t *gfn = mcache_gfns_from(addr, size);
    uint64_t done, len, i;
    hwaddr gaddr;

    RCU_READ_LOCK_GUARD();
    for (done = 0; ops && done < size; done += len) {
        len = size - done;
        gaddr = ops->gaddr(addr + done, &len);
        for (i = 0; i < len >> XC_PAGE_SHIFT; i++) {
            gfn[(done >> XC_PAGE_SHIFT) + i] = (gaddr >> XC_PAGE_SHIFT) + i;
        }
    }
    return gfn;
}

Outside *mcache_block_find_locked(ram_addr_t addr)
{
    Outside *o;

    QLIST_FOREACH(o, &blocks, next) {
        if (o->addr == addr) {
            return o;
        }
    }
    return NULL;
}

void mcache_block_list_add_locked(Outside *o)
{
    QLIST_INSERT_HEAD(&blocks, o, next);
}

/* A block of which RAM block notifiers have not been told yet, or NULL. */
static Outside *block_unannounced_locked(void)
{
    Outside *o;

    QLIST_FOREACH(o, &blocks, next) {
        if (o->kind == OUTSIDE_BLOCK && !o->announced) {
            return o;
        }
    }
    return NULL;
}

void mcache_block_announce(void)
{
    uint8_t *host = NULL;
    hwaddr size = 0;
    Outside *o;

    do {
        WITH_QEMU_LOCK_GUARD(&mapcache.lock) {
            o = block_unannounced_locked();
            if (o) {
                o->announced = true;
                host = outside_host(o);
                size = o->size;
            }
        }
        /* The block is not freed now: freeing needs the BQL, too. */
        if (o) {
            ram_block_notify_add(host, size, size);
        }
    } while (o);
}

bool xen_map_cache_claim_block(ram_addr_t addr, ram_addr_t size)
{
    const XenBlockOps *ops = qatomic_read(&block_ops);

    return ops ? ops->claim(addr, size)
               : xen_map_cache_probe(addr, size, NULL) == XEN_FRAMES_NONE;
}

void xen_map_cache_block_left(const char *name, hwaddr gaddr, uint64_t size)
{
    const XenBlockOps *ops = qatomic_read(&block_ops);

    warn_report("xen: Xen did not take back frames of the memory of '%s' (%"
                PRIu64 " KiB at 0x%" HWADDR_PRIx "): the guest keeps them",
                name, size / 1024, gaddr);
    if (ops) {
        ops->left(gaddr, size);
    }
}

bool xen_map_cache_block_is_announced(uint8_t *host)
{
    Outside *o;

    QEMU_LOCK_GUARD(&mapcache.lock);
    o = mcache_outside_find_locked(host);
    if (o && !o->announced) {
        trace_xen_map_cache_block_unannounced(o->addr, host);
        return false;
    }
    return true; /* if it is not ours, physmem.c announced it itself */
}

bool xen_map_cache_block_unannounce(uint8_t *host)
{
    const XenBlockOps *ops = qatomic_read(&block_ops);
    bool announced;
    Outside *o;

    WITH_QEMU_LOCK_GUARD(&mapcache.lock) {
        o = mcache_outside_find_locked(host);
    }
    if (!o) {
        return true; /* as above */
    }
    /* The record does not change meanwhile, because that takes the BQL. */
    if (ops) {
        ops->gone(o->addr, o->size);
    }
    QEMU_LOCK_GUARD(&mapcache.lock);
    announced = o->announced;
    o->announced = false;
    /* Another block may get its address before its readers are gone. */
    QLIST_SAFE_REMOVE(o, next);
    return announced;
}

bool xen_map_cache_is_dummy(ram_addr_t addr)
{
    Outside *o;

    QEMU_LOCK_GUARD(&mapcache.lock);
    o = mcache_block_find_locked(addr);
    return o && o->kind == OUTSIDE_DUMMY;
}

void mcache_block_stats_locked(XenMapCacheStats *stats)
{
    Outside *o;

    QLIST_FOREACH(o, &blocks, next) {
        stats->blocks++;
        stats->dummies += o->kind == OUTSIDE_DUMMY;
        stats->block_bytes += o->kind == OUTSIDE_BLOCK ? o->size : 0;
    }
}
