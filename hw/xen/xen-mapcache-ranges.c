/*
 * Xen mapcache: which guest address is at a host address
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Buckets are in the arena, where a slot says which one it has.  Outside the
 * arena are grants, mappings of exact pages (xen-mapcache-outside.c), and
 * device memory (xen-mapcache-block.c).  The kernel chooses the address of
 * each.  An interval tree finds them by host address.  The tree is first
 * searched without a lock.  Because a writer may hide an entry from such a
 * search, a search that finds nothing is repeated under the lock.
 */

#include "qemu/osdep.h"

#include "hw/xen/xen_native.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-outside.h"
#include "trace.h"

/*
 * Written under mapcache.lock; the tree is read in RCU sections too.  A search
 * reads the two pointers of the tree's root one after the other, so the tree
 * must not be empty, or become empty, during a search.  So the tree always has
 * one entry, at an address at which nothing is ever mapped.
 */
static IntervalTreeRoot outside_tree;
static Outside outside_sentinel = {
    .node = { .start = UINTPTR_MAX, .last = UINTPTR_MAX },
    .kind = OUTSIDE_SENTINEL,
};

void mcache_ranges_init(void)
{
    interval_tree_insert(&outside_sentinel.node, &outside_tree);
}

static Outside *outside_search(const void *ptr)
{
    IntervalTreeNode *node = interval_tree_iter_first(&outside_tree,
                                                      (uintptr_t)ptr,
                                                      (uintptr_t)ptr);

    return node && node != &outside_sentinel.node
           ? container_of(node, Outside, node) : NULL;
}

Outside *mcache_outside_find_rcu(const void *ptr)
{
    return outside_search(ptr);
}

Outside *mcache_outside_find_locked(const void *ptr)
{
    return outside_search(ptr);
}

/* Called within an RCU read-side section. */
static Outside *outside_find(const void *ptr)
{
    Outside *o = mcache_outside_find_rcu(ptr);

    if (!o) {
        qemu_mutex_lock(&mapcache.lock);
        o = mcache_outside_find_locked(ptr);
        qemu_mutex_unlock(&mapcache.lock);
    }
    return o;
}

/* The names in trace events. */
static const char *const kind_name[OUTSIDE_KINDS] = {
    [OUTSIDE_BLOCK] = "device memory",
    [OUTSIDE_DUMMY] = "dummy",
    [OUTSIDE_GRANT] = "grant",
    [OUTSIDE_TRANSFER] = "transfer",
    [OUTSIDE_HELD] = "held",
    [OUTSIDE_SLOT] = "bucket",
};

Outside *mcache_outside_add_locked(OutsideKind kind, void *host,
                                   ram_addr_t addr, hwaddr size)
{
    Outside *o = g_new0(Outside, 1);

    o->node.start = (uintptr_t)host;
    o->node.last = (uintptr_t)host + size - 1;
    o->kind = kind;
    o->addr = addr;
    o->size = size;
    o->memfd = -1;
    interval_tree_insert(&o->node, &outside_tree);
    trace_xen_map_cache_outside(kind_name[kind], addr, size, host);
    return o;
}

void mcache_outside_remove_locked(Outside *o)
{
    interval_tree_remove(&o->node, &outside_tree);
    trace_xen_map_cache_outside_end(kind_name[o->kind], o->addr, o->size,
                                    outside_host(o));
    g_free_rcu(o, rcu);
}

static ram_addr_t outside_ram_addr(const Outside *o, const void *ptr)
{
    return o ? o->addr + ((uintptr_t)ptr - o->node.start) : RAM_ADDR_INVALID;
}

ram_addr_t mcache_outside_ram_addr(const void *ptr)
{
    RCU_READ_LOCK_GUARD();
    return outside_ram_addr(outside_find(ptr), ptr);
}

ram_addr_t mcache_ram_addr_locked(const void *ptr)
{
    uint32_t nr;

    return mcache_slot_of(ptr, &nr)
           ? mcache_slot_ram_addr(nr, ptr)
           : outside_ram_addr(mcache_outside_find_locked(ptr), ptr);
}

/* --- buckets, where a mapping cannot be put into an arena -------------- */

#ifdef XEN_COMPAT_PHYSMAP
bool mcache_slot_of(const void *ptr, uint32_t *nr)
{
    Outside *o;

    RCU_READ_LOCK_GUARD();
    o = outside_find(ptr);
    if (!o || o->kind != OUTSIDE_SLOT) {
        return false;
    }
    *nr = o->slot;
    return true;
}

void mcache_slot_enter_locked(uint32_t nr)
{
    MapCacheSlot *s = &mapcache.slot[nr];
    Outside *o = mcache_outside_add_locked(OUTSIDE_SLOT, s->host,
                                           (ram_addr_t)s->bucket <<
                                           MCACHE_BUCKET_SHIFT,
                                           MCACHE_BUCKET_SIZE);

    o->slot = nr;
}

void mcache_slot_leave_locked(uint32_t nr)
{
    const void *host = mapcache.slot[nr].host;

    mcache_outside_remove_locked(mcache_outside_find_locked(host));
}
#endif
