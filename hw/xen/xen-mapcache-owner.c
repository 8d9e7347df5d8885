/*
 * Xen mapcache: the names of the devices that hold DMA mappings
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A record of a DMA mapping has room for a number, so each name has a number.
 * Both are kept for good, because a device may have been unplugged when its
 * name is needed.  A device that is plugged in again under the same name has
 * the same number.
 *
 * The number is looked up by the address of the device or of the address space,
 * in a table of cells.  Each cell has the last number that was looked up there.
 * Whenever a device or an address space is created, the table is emptied,
 * because the new one may have the address of an old one.
 */

#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"

#include "exec/memory.h"
#include "hw/qdev-core.h"
#include "hw/xen/xen_native.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-dma.h"

#define OWNERS_MAX  (1u << MCACHE_OWNER_BITS)

MapCacheOwners mcache_owners;

static const char owner_unknown[] = "unknown";

static QemuMutex owner_lock;        /* guards what follows; innermost */
static GHashTable *owner_numbers;   /* of each name */
static GPtrArray *owner_names;      /* of each number */

void mcache_owner_init(void)
{
    qemu_mutex_init(&owner_lock);
    owner_numbers = g_hash_table_new(g_str_hash, g_str_equal);
    owner_names = g_ptr_array_new();
    g_ptr_array_add(owner_names, (void *)owner_unknown);
}

/* The number of @name; takes ownership of @name.  0 if there are too many. */
static uint32_t owner_number(char *name)
{
    gpointer seen;
    uint32_t number;

    QEMU_LOCK_GUARD(&owner_lock);
    seen = g_hash_table_lookup(owner_numbers, name);
    if (seen || owner_names->len == OWNERS_MAX) {
        g_free(name);
        return GPOINTER_TO_UINT(seen);
    }
    number = owner_names->len;
    g_ptr_array_add(owner_names, name);
    g_hash_table_insert(owner_numbers, name, GUINT_TO_POINTER(number));
    return number;
}

/*
 * "NAME (PATH)".  PATH is the device's path among QEMU's objects, which
 * contains the id that a user gave it.  Only a thread with the BQL can look it
 * up; otherwise PATH is the id.
 */
static char *owner_describe(const char *name, Object *obj)
{
    DeviceState *dev = (DeviceState *)object_dynamic_cast(obj, TYPE_DEVICE);
    g_autofree char *path = NULL;

    if (dev && bql_locked()) {
        path = object_get_canonical_path(obj);
    } else if (dev) {
        path = g_strdup(dev->id);
    }
    return path ? g_strdup_printf("%s (%s)", name, path) : g_strdup(name);
}

uint32_t mcache_owner_find(AddressSpace *as)
{
    uint32_t changed = qatomic_read(&dma_owners_changed), number, i;
    const void *key = mcache_owner_key(as);
    Object *obj = dma_owner;

    if (!obj && as && as->root) {
        obj = memory_region_owner(as->root);
    }
    number = owner_number(owner_describe(dma_owner
                                         ? object_get_typename(dma_owner)
                                         : as ? as->name : owner_unknown,
                                         obj));

    QEMU_LOCK_GUARD(&owner_lock);
    if (mcache_owners.changed != changed) {
        for (i = 0; i < ARRAY_SIZE(mcache_owners.cell); i++) {
            qatomic_set(&mcache_owners.cell[i], 0);
        }
        /* The cells before it; pairs with the acquire in mcache_owner(). */
        qatomic_store_release(&mcache_owners.changed, changed);
    }
    qatomic_set(mcache_owner_cell(key), mcache_owner_tag(key) | number);
    return number;
}

const char *mcache_owner_name(uint32_t owner)
{
    QEMU_LOCK_GUARD(&owner_lock);
    return g_ptr_array_index(owner_names, owner);
}
