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
    OUTSIDE_BLOCK,      /* device memory, mapped to the guest's frames */
    OUTSIDE_DUMMY,      /* device memory that is a dummy */
    OUTSIDE_GRANT,
    OUTSIDE_TRANSFER,   /* exact pages of guest RAM, for a transfer */
    OUTSIDE_HELD,       /* exact pages of guest RAM that a device holds */
    OUTSIDE_SLOT,       /* a bucket, in a build without an arena */
    OUTSIDE_SENTINEL,   /* no mapping: keeps the tree from being empty */
    OUTSIDE_KINDS
} OutsideKind;

/*
 * A mapping outside the arena.  The fields marked (L) are changed under the
 * lock; the others are constant while the mapping is in the tree.
 */
typedef struct Outside {
    struct rcu_head rcu;        /* g_free_rcu() needs it to be first */
    IntervalTreeNode node;      /* host addresses, whole pages */
    OutsideKind kind;           /* (L) a dummy becomes a block */
    ram_addr_t addr;            /* of the byte at node.start */
    hwaddr size;                /* bytes */
    uint8_t *held;              /* grant, exact pages: the address handed out */
    hwaddr len;                 /* exact pages: the bytes handed out */
    int memfd;                  /* (L) dummy: the file of its memory */
    uint32_t slot;              /* bucket without an arena: the slot's number */
    bool announced;             /* (L) notifiers have been told of it */
    QLIST_ENTRY(Outside) next;  /* (L) list of device memory */
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
 * Adds a mapping of @size bytes at @host, whose first byte is @addr.  Returns
 * it; it belongs to the tree.  With the lock.
 */
Outside *mcache_outside_add_locked(OutsideKind kind, void *host,
                                   ram_addr_t addr, hwaddr size);

/*
 * Removes @o from the tree, and frees it after a grace period.  The caller must
 * not use it any more.  With the lock.
 */
void mcache_outside_remove_locked(Outside *o);

#endif /* HW_XEN_MAPCACHE_OUTSIDE_H */
