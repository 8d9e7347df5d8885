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
 * What has @ptr, or NULL; it stays for as long as the RCU read section.  What
 * has just been entered, or is in the way of what has, may not be found: NULL
 * is to be asked again with the lock.
 */
Outside *mcache_outside_find_rcu(const void *ptr);

/* What has @ptr, or NULL.  This and what follows with the lock. */
Outside *mcache_outside_find_locked(const void *ptr);

/* Enters a mapping of @size bytes at @host, of guest address @addr. */
Outside *mcache_outside_add_locked(OutsideKind kind, void *host,
                                   ram_addr_t addr, hwaddr size);

/*
 * Takes it out; it is freed when no search can have it any more, which may be
 * at once: the caller has done with it.
 */
void mcache_outside_remove_locked(Outside *o);

#endif /* HW_XEN_MAPCACHE_OUTSIDE_H */
