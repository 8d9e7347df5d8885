/*
 * Guest RAM on Xen: what stands in for a mapping that cannot be had
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A device cannot be told to wait for a mapping.  A transfer whose pages are
 * unavailable is made by copy; one of an absent page reads zeros, and what it
 * writes is dropped.
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/interval-tree.h"
#include "qemu/lockable.h"
#include "qemu/thread.h"
#include "qemu/units.h"
#include "xen-ram.h"
#include "trace.h"

/*
 * All copies of all devices.  It must not depend on their number: a guest
 * with many devices could make QEMU allocate without limit.  And it must be
 * generous: virtio breaks a device whose buffer cannot be had.
 */
#define COPIES_MAX      (64 * MiB)
/* One copy; callers ask again for the rest. */
#define COPY_MAX        (1 * MiB)

typedef struct RamCopy {
    IntervalTreeNode node;      /* the host addresses of @bytes */
    RAMBlock *block;
    ram_addr_t addr;
    hwaddr len;
    uint8_t bytes[] QEMU_ALIGNED(16);
} RamCopy;

static QemuMutex copies_lock;
static IntervalTreeRoot copies;     /* under the lock */
static size_t copies_size;          /* atomic; changed under the lock */

static void __attribute__((constructor)) copies_init(void)
{
    qemu_mutex_init(&copies_lock);
}

/* Within the budget, or NULL. */
static RamCopy *copy_new(RAMBlock *block, ram_addr_t addr, hwaddr len)
{
    RamCopy *c = NULL;

    QEMU_LOCK_GUARD(&copies_lock);
    if (copies_size + sizeof(*c) + len <= COPIES_MAX) {
        c = g_try_malloc(sizeof(*c) + len);
    }
    if (!c) {
        return NULL;
    }
    *c = (RamCopy) {
        .node.start = (uintptr_t)c->bytes,
        .node.last = (uintptr_t)c->bytes + len - 1,
        .block = block,
        .addr = addr,
        .len = len,
    };
    qatomic_set(&copies_size, copies_size + sizeof(*c) + len);
    interval_tree_insert(&c->node, &copies);
    return c;
}

static void copy_free(RamCopy *c)
{
    WITH_QEMU_LOCK_GUARD(&copies_lock) {
        interval_tree_remove(&c->node, &copies);
        qatomic_set(&copies_size, copies_size - sizeof(*c) - c->len);
    }
    g_free(c);
}

/* The copy that @host is in; its holder keeps it. */
static RamCopy *copy_of(const void *host)
{
    IntervalTreeNode *node;

    if (likely(!qatomic_read(&copies_size))) {
        return NULL;
    }
    QEMU_LOCK_GUARD(&copies_lock);
    node = interval_tree_iter_first(&copies, (uintptr_t)host,
                                    (uintptr_t)host);
    return node ? container_of(node, RamCopy, node) : NULL;
}

void *xen_ram_copy_map(RAMBlock *block, ram_addr_t addr, hwaddr *len,
                       bool is_write)
{
    RamCopy *c;

    *len = MIN(*len, COPY_MAX);
    c = copy_new(block, addr, *len);
    if (!c) {
        trace_xen_ram_copies_full(addr, *len);
        return NULL;
    }
    if (xen_ram_copy(block, addr, c->bytes, *len, false) & MEMTX_ERROR) {
        copy_free(c);
        return NULL;
    }
    return c->bytes;
}

bool xen_ram_copy_unmap(void *host, hwaddr written)
{
    RamCopy *c = copy_of(host);

    if (likely(!c)) {
        return false;
    }
    written = MIN(written, c->len);
    if (xen_ram_copy(c->block, c->addr, c->bytes, written, true) &
        MEMTX_ERROR) {
        /* The device has been told that its transfer is done. */
        error_report("xen: a page of the guest's cannot be mapped any more: "
                     "of 0x%" HWADDR_PRIx " bytes that a device wrote at 0x"
                     RAM_ADDR_FMT " some are lost", written, c->addr);
    }
    copy_free(c);
    return true;
}

bool xen_ram_copy_find(RAMBlock *block, const void *host, ram_addr_t *offset)
{
    RamCopy *c = copy_of(host);

    if (!c || c->block != block) {
        return false;
    }
    *offset = c->addr + ((uint8_t *)host - c->bytes);
    return true;
}

/* --- absent pages --------------------------------------------------------- */

typedef struct StandIn {
    uint8_t page[2][XC_PAGE_SIZE];      /* read, and written to */
} QEMU_ALIGNED(XC_PAGE_SIZE) StandIn;

static StandIn transfers_stand_in;
static StandIn held_stand_in;
static unsigned held_stand_ins;         /* mapped now; atomic */

#define HELD_STAND_INS_MAX  4096

void *xen_ram_stand_in(ram_addr_t addr, hwaddr *len, bool held, bool is_write)
{
    StandIn *s = held ? &held_stand_in : &transfers_stand_in;
    uint8_t *host = s->page[is_write] + (addr & (XC_PAGE_SIZE - 1));

    if (held && qatomic_fetch_inc(&held_stand_ins) >= HELD_STAND_INS_MAX) {
        qatomic_dec(&held_stand_ins);
        return NULL;
    }
    *len = MIN(*len, xen_page_rest(addr));
    /* There are devices that write to what they say they read. */
    return is_write ? host : memset(host, 0, *len);
}

static bool is_in(const StandIn *s, const void *host)
{
    return (uintptr_t)host - (uintptr_t)s < sizeof(*s);
}

bool xen_ram_stand_in_end(const void *host)
{
    if (is_in(&held_stand_in, host)) {
        qatomic_dec(&held_stand_ins);
        return true;
    }
    return is_in(&transfers_stand_in, host);
}

bool xen_ram_stand_in_find(const void *host, ram_addr_t *offset)
{
    *offset = 0;
    return is_in(&held_stand_in, host) || is_in(&transfers_stand_in, host);
}
