/*
 * Where device memory is in an HVM guest: what the monitor shows of it
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-xen-mapcache.h"
#include "exec/ramlist.h"
#include "monitor/hmp.h"
#include "monitor/hmp-target.h"
#include "monitor/monitor.h"
#include "qemu/rcu_queue.h"

#include "system/xen-mapcache.h"
#include "xen-physmap.h"
#include "xen-physmap-int.h"

/*
 * Finds out where the guest's memory map shows the memory at @m->initial.  If
 * it shows it at several addresses, chooses @m->address if that is one of them.
 * @m->size: in: bytes asked for; out: the number of bytes for which the answer
 * is right.
 */
static void find_shown(XenDeviceMemory *m)
{
    const XenPiece *s;

    FOR_EACH_SHOWN(s) {
        if (m->initial - s->ram < s->size) {
            hwaddr gaddr = s->gaddr + (m->initial - s->ram);

            m->size = MIN(m->size, s->ram + s->size - m->initial);
            if (!m->has_shown_at || gaddr == m->address) {
                m->has_shown_at = true;
                m->shown_at = gaddr;
            }
        } else if (s->ram > m->initial) {
            m->size = MIN(m->size, s->ram - m->initial);
        }
    }
}

/*
 * Describes the memory from @offset of @block on, as far as one description is
 * right for all of it.
 */
static XenDeviceMemory *describe(const RAMBlock *block, uint64_t offset)
{
    XenDeviceMemory *m = g_new0(XenDeviceMemory, 1);

    m->name = g_strdup(xen_physmap_name(block->offset));
    m->initial = block->offset + offset;
    m->size = block->max_length - offset;
    m->has_address = xen_physmap_is_mapped(block);
    if (m->has_address) {
        m->address = xen_physmap_translate(m->initial, &m->size);
        m->pinned = xen_frames_is_pinned(m->address, &m->size);
    }
    find_shown(m);
    return m;
}

/* Adds the pieces of @block to the list that ends with *@tail. */
static XenDeviceMemoryList **add_block(XenDeviceMemoryList **tail,
                                       const RAMBlock *block)
{
    uint64_t done;

    for (done = 0; done < block->max_length; ) {
        XenDeviceMemory *m = describe(block, done);

        done += m->size;
        QAPI_LIST_APPEND(tail, m);
    }
    return tail;
}

static gint by_initial(gconstpointer a, gconstpointer b)
{
    const RAMBlock *x = *(RAMBlock *const *)a, *y = *(RAMBlock *const *)b;

    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

XenDeviceMemoryList *qmp_x_query_xen_physmap(Error **errp)
{
    g_autoptr(GPtrArray) blocks = g_ptr_array_new();
    XenDeviceMemoryList *list = NULL, **tail = &list;
    RAMBlock *block;
    unsigned i;

    if (!xen_map_cache_ready()) {
        error_setg(errp, "this machine has no Xen mapcache");
        return NULL;
    }
    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH(block) {
        if (xen_physmap_has_frames(block)) {
            g_ptr_array_add(blocks, block);
        }
    }
    g_ptr_array_sort(blocks, by_initial);
    for (i = 0; i < blocks->len; i++) {
        tail = add_block(tail, blocks->pdata[i]);
    }
    return list;
}

static void print_range(Monitor *mon, uint64_t start, uint64_t size)
{
    monitor_printf(mon, "%016" PRIx64 "-%016" PRIx64, start, start + size - 1);
}

static void print_piece(Monitor *mon, const XenDeviceMemory *m)
{
    print_range(mon, m->initial, m->size);
    monitor_printf(mon, "  ");
    if (m->has_address) {
        print_range(mon, m->address, m->size);
    } else {
        monitor_printf(mon, "%-33s", "none, or not found yet");
    }
    if (!m->has_shown_at) {
        monitor_printf(mon, " (not shown");
    } else if (m->has_address && m->shown_at == m->address) {
        monitor_printf(mon, " (shown");
    } else {
        monitor_printf(mon, " (shown at %016" PRIx64, m->shown_at);
    }
    monitor_printf(mon, "%s): %s\n", m->pinned ? ", pinned" : "", m->name);
}

void hmp_info_xen_physmap(Monitor *mon, const QDict *qdict)
{
    Error *err = NULL;
    g_autoptr(XenDeviceMemoryList) list = qmp_x_query_xen_physmap(&err);
    const XenDeviceMemoryList *l;

    if (err) {
        hmp_handle_error(mon, err);
        return;
    }
    monitor_printf(mon, "%-33s  %s\n", "initial range", "frames");
    for (l = list; l; l = l->next) {
        print_piece(mon, l->value);
    }
}
