/*
 * Xen mapcache: what lies outside the arena, as its files share it
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_XEN_MAPCACHE_OUTSIDE_H
#define HW_XEN_MAPCACHE_OUTSIDE_H

#include "qemu/interval-tree.h"
#include "qemu/queue.h"
#include "qemu/rcu.h"
#include "xen-mapcache-int.h"

typedef enum OutsideKind {
    OUTSIDE_BLOCK,      /* device memory, the guest's frames */
    OUTSIDE_DUMMY,      /* device memory, anonymous until it is replaced */
    OUTSIDE_GRANT,
    OUTSIDE_TRANSFER,   /* pages of guest RAM, for a transfer */
    OUTSIDE_HELD,       /* pages of guest RAM that a device holds */
    OUTSIDE_SLOT,       /* a bucket, where there is no arena */
    OUTSIDE_SENTINEL,   /* nothing: keeps the tree from being empty */
    OUTSIDE_KINDS
} OutsideKind;

/* Constant while it is in the tree, but for what is named below. */
typedef struct Outside {
    struct rcu_head rcu;        /* first, as g_free_rcu() wants it */
    IntervalTreeNode node;      /* host addresses, whole pages */
    OutsideKind kind;           /* under the lock: a dummy becomes a block */
    ram_addr_t addr;            /* of the first byte of node.start */
    hwaddr size;                /* bytes */
    uint8_t *held;              /* grant, pages: what was handed out */
    hwaddr len;                 /* pages: bytes of it */
    int memfd;                  /* dummies: the memory behind it */
    uint32_t slot;              /* buckets without an arena: its number */
    bool announced;             /* under the lock: notifiers know of it */
    QLIST_ENTRY(Outside) next;  /* under the lock: device memory */
} Outside;

static inline uint8_t *outside_host(const Outside *o)
{
    return (uint8_t *)(uintptr_t)o->node.start;
}

/*
 * The mapping that @ptr points into, or NULL; it stays for as long as the RCU
 * read-side section.  A result other than NULL is right.  NULL says nothing:
 * ask again with the lock.
 */
Outside *mcache_outside_find_rcu(const void *ptr);

/* The mapping that @ptr points into, or NULL.  Called with the lock. */
Outside *mcache_outside_find_locked(const void *ptr);

/*
 * Adds a mapping of @size bytes at @host, whose first byte is @addr.  With the
 * lock.
 */
Outside *mcache_outside_add_locked(OutsideKind kind, void *host,
                                   ram_addr_t addr, hwaddr size);

/*
 * Removes @o from the tree, and frees it after a grace period.  The caller must
 * not use it any more.  With the lock.
 */
void mcache_outside_remove_locked(Outside *o);

#endif /* HW_XEN_MAPCACHE_OUTSIDE_H */
