/*
 * Where device memory sits in an HVM guest: the records
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The tree of ranges, the view that other threads look addresses up in, and
 * the questions about both.  Nothing here talks to Xen.  The essay is in
 * xen-physmap.c.
 */

#include "qemu/osdep.h"
#include "qemu/rcu.h"
#include "qemu/rcu_queue.h"
#include "exec/ramlist.h"
#include "system/xen.h"
#include "xen-physmap.h"
#include "xen-physmap-int.h"

/* All ranges, by guest address; with the BQL. */
IntervalTreeRoot xen_physmap_ranges;

typedef struct ViewEntry {
    ram_addr_t ram;
    uint64_t size;
    hwaddr gaddr;
} ViewEntry;

/* Sorted by ram, without overlaps; never changed once it is published. */
typedef struct View {
    struct rcu_head rcu;
    unsigned n;
    ViewEntry entry[];
} View;

/* NULL while everything is at home.  Read in RCU sections. */
static View *view;

/*
 * The view
 */

static int compare_entries(const void *a, const void *b)
{
    const ViewEntry *x = a, *y = b;

    return x->ram < y->ram ? -1 : x->ram > y->ram;
}

void xen_physmap_publish(void)
{
    View *old = view, *new = NULL;
    XenPhysmapRange *r;
    unsigned n = 0;

    FOR_EACH_RANGE(r) {
        n += r->placed && xen_range_gaddr(r) != r->ram;
    }
    if (n) {
        new = g_malloc(sizeof(*new) + n * sizeof(new->entry[0]));
        new->n = 0;
        FOR_EACH_RANGE(r) {
            if (r->placed && xen_range_gaddr(r) != r->ram) {
                new->entry[new->n++] = (ViewEntry) {
                    .ram = r->ram,
                    .size = xen_range_size(r),
                    .gaddr = xen_range_gaddr(r),
                };
            }
        }
        qsort(new->entry, n, sizeof(new->entry[0]), compare_entries);
    }
    qatomic_rcu_set(&view, new);
    if (old) {
        g_free_rcu(old, rcu);
    }
#ifdef XEN_PHYSMAP_CHECK
    xen_physmap_check();
#endif
}

hwaddr xen_physmap_translate(ram_addr_t addr, uint64_t *len)
{
    const View *v = qatomic_rcu_read(&view);
    unsigned low = 0, high;

    if (!v) {
        return addr;
    }
    /* The first entry that ends above addr. */
    high = v->n;
    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (v->entry[mid].ram + v->entry[mid].size <= addr) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    if (low == v->n) {
        return addr;
    }
    if (addr < v->entry[low].ram) {
        *len = MIN(*len, v->entry[low].ram - addr);
        return addr;
    }
    *len = MIN(*len, v->entry[low].ram + v->entry[low].size - addr);
    return v->entry[low].gaddr + (addr - v->entry[low].ram);
}

hwaddr xen_physmap_ram_to_gaddr(ram_addr_t addr)
{
    uint64_t len = 1;

    return xen_physmap_translate(addr, &len);
}

/*
 * RAM blocks
 */

bool xen_physmap_has_home(const RAMBlock *block)
{
    return !xen_mr_is_memory(block->mr) && !(block->flags & RAM_PREALLOC) &&
           !memory_region_is_ram_device(block->mr);
}

RAMBlock *xen_physmap_block(ram_addr_t addr)
{
    RAMBlock *block;

    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH(block) {
        if (addr - block->offset < block->max_length) {
            /* Not freed while the BQL is held. */
            return block;
        }
    }
    return NULL;
}

const char *xen_physmap_name(ram_addr_t addr)
{
    RAMBlock *block = xen_physmap_block(addr);

    if (!block) {
        return "(none)";
    }
    return block->idstr[0] ? block->idstr : memory_region_name(block->mr);
}

/* True if a page of device RAM in [gaddr, size), but for @self, is at home. */
static bool is_home_of_other(hwaddr gaddr, uint64_t size,
                             const XenPhysmapRange *self)
{
    uint64_t self_size = xen_range_size(self);
    RAMBlock *block;

    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH(block) {
        ram_addr_t addr = MAX(gaddr, block->offset);
        ram_addr_t end = MIN(gaddr + size, block->offset + block->max_length);

        if (addr >= end || !xen_physmap_has_home(block) ||
            memory_region_is_rom(block->mr)) {
            continue;
        }
        while (addr < end) {
            uint64_t len = end - addr;

            if (addr - self->ram < self_size) {
                addr = self->ram + self_size;
            } else if (xen_physmap_translate(addr, &len) == addr) {
                return true;
            } else {
                addr += len;
            }
        }
    }
    return false;
}

bool xen_physmap_is_in_the_way(hwaddr gaddr, const XenPhysmapRange *self)
{
    uint64_t size = xen_range_size(self);
    XenPhysmapRange *r;

    FOR_EACH_RANGE_AT(r, gaddr, size) {
        if (r != self && r->placed) {
            return true;
        }
    }
    return is_home_of_other(gaddr, size, self);
}

bool xen_physmap_is_others(ram_addr_t ram, uint64_t size)
{
    const View *v;
    unsigned i;

    RCU_READ_LOCK_GUARD();
    v = qatomic_rcu_read(&view);
    for (i = 0; v && i < v->n; i++) {
        const ViewEntry *e = &v->entry[i];

        if (xen_overlap(e->gaddr, e->size, ram, size) &&
            !xen_overlap(e->ram, e->size, ram, size)) {
            return true;
        }
    }
    return false;
}

XenPhysmapRange *xen_range_new(ram_addr_t ram, hwaddr gaddr,
                               uint64_t size)
{
    XenPhysmapRange *r = g_new0(XenPhysmapRange, 1);

    r->ram = ram;
    r->node.start = gaddr;
    r->node.last = gaddr + size - 1;
    interval_tree_insert(&r->node, &xen_physmap_ranges);
    return r;
}

void xen_range_free(XenPhysmapRange *r)
{
    interval_tree_remove(&r->node, &xen_physmap_ranges);
    g_free(r);
}

bool xen_physmap_remember(ram_addr_t ram, hwaddr gaddr, uint64_t size)
{
    XenPhysmapRange *r;

    FOR_EACH_RANGE(r) {
        if (xen_overlap(r->ram, xen_range_size(r), ram, size) ||
            xen_overlap(xen_range_gaddr(r), xen_range_size(r), gaddr, size)) {
            return false;
        }
    }
    xen_range_new(ram, gaddr, size)->placed = true;
    xen_physmap_publish();
    return true;
}

void xen_physmap_check(void)
{
    XenPhysmapRange *r, *s;
    const View *v = view;
    unsigned n = 0, i;

    FOR_EACH_RANGE(r) {
        assert(r->visible || r->placed);
        assert(!r->pinned || r->placed);
        assert(!r->visible == !r->mr);
        assert(QEMU_IS_ALIGNED(r->ram | r->node.start | (r->node.last + 1),
                               XEN_GUEST_PAGE_SIZE));
        if (!r->placed) {
            continue;
        }
        n += xen_range_gaddr(r) != r->ram;
        /* Frames are in one place, and a place has one frame. */
        FOR_EACH_RANGE(s) {
            assert(s == r || !s->placed ||
                   !xen_overlap(s->ram, xen_range_size(s), r->ram,
                            xen_range_size(r)));
            assert(s == r || !s->placed ||
                   !xen_overlap(xen_range_gaddr(s), xen_range_size(s),
                            xen_range_gaddr(r), xen_range_size(r)));
        }
    }
    assert(n == (v ? v->n : 0));
    for (i = 0; i < n; i++) {
        assert(v->entry[i].size);
        assert(!i || v->entry[i - 1].ram + v->entry[i - 1].size <=
                     v->entry[i].ram);
    }
}
