/*
 * Guest RAM on Xen: the list of copies, and substitute pages
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A device cannot be told to wait for a mapping.  If the pages of a transfer
 * are unavailable, it is made by copy (xen-ram-copy-map.c).  If a page is
 * absent, a transfer reads zeros, and what it writes is dropped.
 */

#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/thread.h"
#include "qemu/units.h"
#include "system/runstate.h"
#include "xen-ram-copy.h"

/*
 * The budget of all copies of all devices.  It does not depend on the number of
 * devices, because a guest with many devices could otherwise make QEMU allocate
 * without limit.  It is large, because virtio breaks a device whose buffer
 * cannot be mapped.
 */
#define COPIES_MAX      (64 * MiB)

static QemuMutex copies_lock;
static IntervalTreeRoot copies;     /* under the lock */
/*
 * The copies that a device writes, by ram_addr_t; under the lock.  They do not
 * overlap: a transfer that begins to write to RAM of which there is a copy
 * shares that copy.  This is common: virtio-scsi maps a buffer twice.
 */
static IntervalTreeRoot targets;
size_t xen_ram_copies_size;         /* changed under the lock */

static void __attribute__((constructor)) copies_init(void)
{
    qemu_mutex_init(&copies_lock);
}

static size_t copy_size(hwaddr len, bool is_write)
{
    return sizeof(RamCopy) + len + (is_write ? len : 0);
}

RamCopy *xen_ram_copy_new(RAMBlock *block, ram_addr_t addr, hwaddr len,
                          bool is_write)
{
    size_t size = copy_size(len, is_write);
    RamCopy *c = NULL;

    QEMU_LOCK_GUARD(&copies_lock);
    if (xen_ram_copies_size + size <= COPIES_MAX) {
        c = g_try_malloc(size);
    }
    if (!c) {
        return NULL;
    }
    *c = (RamCopy) {
        .node.start = (uintptr_t)c->bytes,
        .node.last = (uintptr_t)c->bytes + len - 1,
        .target.start = block->offset + addr,
        .users = 1,
        .block = block,
        .addr = addr,
        .guest = is_write ? c->bytes + len : NULL,
    };
    qatomic_set(&xen_ram_copies_size, xen_ram_copies_size + size);
    interval_tree_insert(&c->node, &copies);
    return c;
}

void xen_ram_copy_release(RamCopy *c)
{
    WITH_QEMU_LOCK_GUARD(&copies_lock) {
        if (--c->users) {
            return;
        }
        if (c->shared) {
            interval_tree_remove(&c->target, &targets);
        }
        interval_tree_remove(&c->node, &copies);
        qatomic_set(&xen_ram_copies_size, xen_ram_copies_size -
                    copy_size(c->node.last - c->node.start + 1, c->guest));
    }
    g_free(c);
}

RamCopy *xen_ram_copy_of(const void *host)
{
    IntervalTreeNode *node;

    if (likely(!qatomic_read(&xen_ram_copies_size))) {
        return NULL;
    }
    QEMU_LOCK_GUARD(&copies_lock);
    node = interval_tree_iter_first(&copies, (uintptr_t)host,
                                    (uintptr_t)host);
    return node ? container_of(node, RamCopy, node) : NULL;
}

/*
 * Finds the copy through which a device must write @addr, and adds a user to
 * it; NULL if there is none.  *@len is cut to the bytes for which that is
 * right.
 */
static void *share_locked(RAMBlock *block, ram_addr_t addr, hwaddr *len)
{
    uint64_t first = block->offset + addr;
    IntervalTreeNode *node = interval_tree_iter_first(&targets, first,
                                                      first + *len - 1);
    RamCopy *c;

    if (!node) {
        return NULL;
    }
    if (node->start > first) {
        *len = node->start - first;
        return NULL;
    }
    c = container_of(node, RamCopy, target);
    c->users++;
    *len = MIN(*len, node->last - first + 1);
    return c->bytes + (first - node->start);
}

void *xen_ram_copy_share(RAMBlock *block, ram_addr_t addr, hwaddr *len)
{
    if (likely(!qatomic_read(&xen_ram_copies_size))) {
        return NULL;
    }
    QEMU_LOCK_GUARD(&copies_lock);
    return share_locked(block, addr, len);
}

void *xen_ram_copy_publish(RamCopy *c, hwaddr *len)
{
    void *host;

    QEMU_LOCK_GUARD(&copies_lock);
    host = c->guest ? share_locked(c->block, c->addr, len) : NULL;
    if (host) {
        return host;
    }
    c->len = *len;
    if (c->guest) {
        memcpy(c->guest, c->bytes, *len);
        c->target.last = c->target.start + *len - 1;
        c->shared = true;
        interval_tree_insert(&c->target, &targets);
    }
    return c->bytes;
}

void xen_ram_copy_wrote(RAMBlock *block, ram_addr_t addr, const void *buf,
                        hwaddr len)
{
    uint64_t first = block->offset + addr, last = first + len - 1;
    IntervalTreeNode *node;

    QEMU_LOCK_GUARD(&copies_lock);
    for (node = interval_tree_iter_first(&targets, first, last); node;
         node = interval_tree_iter_next(node, first, last)) {
        uint64_t from = MAX(first, node->start), to = MIN(last, node->last);
        RamCopy *c = container_of(node, RamCopy, target);
        const uint8_t *new = (const uint8_t *)buf + (from - first);

        memmove(c->bytes + (from - node->start), new, to - from + 1);
        memmove(c->guest + (from - node->start), new, to - from + 1);
    }
}

bool xen_ram_copy_find(RAMBlock *block, const void *host, ram_addr_t *offset)
{
    RamCopy *c = xen_ram_copy_of(host);

    if (!c || c->block != block) {
        return false;
    }
    *offset = c->addr + ((uint8_t *)host - c->bytes);
    return true;
}

/* --- absent pages --------------------------------------------------------- */

/*
 * The limit for transfers is twice the longest list of virtio, because
 * virtio-scsi maps each buffer twice.  A guest that makes a device hold an
 * absent page has made a mistake, so a few are enough.  The limits also bound
 * how many absent pages QEMU asks Xen for at one kick.
 */
#define TRANSFERS_MAX   2048
#define HELD_MAX        16

typedef struct StandIn {
    uint8_t page[2][XC_PAGE_SIZE];      /* read, and written to */
    unsigned max;
    unsigned mapped;            /* how many count against @max; atomic */
    unsigned ended;             /* how many of them have ended; atomic */
} QEMU_ALIGNED(XC_PAGE_SIZE) StandIn;

static StandIn transfers_stand_in = { .max = TRANSFERS_MAX };
static StandIn held_stand_in = { .max = HELD_MAX };

static bool stand_in_take(StandIn *s)
{
    if (qatomic_fetch_inc(&s->mapped) < s->max ||
        runstate_check(RUN_STATE_INMIGRATE)) {
        return true;
    }
    qatomic_dec(&s->mapped);
    return false;
}

void *xen_ram_stand_in(ram_addr_t addr, hwaddr *len, bool held, bool is_write)
{
    StandIn *s = held ? &held_stand_in : &transfers_stand_in;
    uint8_t *host = s->page[is_write] + (addr & (XC_PAGE_SIZE - 1));

    if (!stand_in_take(s)) {
        return NULL;
    }
    *len = MIN(*len, xen_page_rest(addr));
    /* There are devices that write to what they say they read. */
    return is_write ? host : memset(host, 0, *len);
}

static void stand_ins_ended(void *opaque)
{
    StandIn *s = opaque;

    qatomic_sub(&s->mapped, qatomic_xchg(&s->ended, 0));
}

static bool is_in(const StandIn *s, const void *host)
{
    return (uintptr_t)host - (uintptr_t)s->page < sizeof(s->page);
}

/*
 * One that has ended counts until the main loop's next iteration: otherwise a
 * device that ends each request before it begins the next had no limit.
 */
static bool stand_in_end(StandIn *s, const void *host)
{
    if (!is_in(s, host)) {
        return false;
    }
    if (!qatomic_fetch_inc(&s->ended)) {
        aio_bh_schedule_oneshot(qemu_get_aio_context(), stand_ins_ended, s);
    }
    return true;
}

bool xen_ram_stand_in_end(const void *host)
{
    return stand_in_end(&transfers_stand_in, host) ||
           stand_in_end(&held_stand_in, host);
}

bool xen_ram_stand_in_find(const void *host, ram_addr_t *offset)
{
    *offset = 0;
    return is_in(&held_stand_in, host) || is_in(&transfers_stand_in, host);
}
