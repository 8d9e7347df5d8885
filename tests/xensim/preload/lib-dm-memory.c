/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libxensim.so: the calls of libxendevicemodel that are about memory.
 */
#include "xen-abi.h"

#include <errno.h>
#include <string.h>

#include <xenctrl.h>
#include <xendevicemodel.h>

#include "lib.h"
#include "lib-dm.h"

XSIM_EXPORT int xendevicemodel_relocate_memory(
    xendevicemodel_handle *dmod, domid_t domid, uint32_t size,
    uint64_t src_gfn, uint64_t dst_gfn)
{
    unsigned call = XSIM_CALL_xendevicemodel_relocate_memory;
    XsimGfnSet set = { NULL, src_gfn, size };
    int slot = xsim_dm_enter(dmod, call, domid, &set);
    XsimPunch punch = { 0, 0, 0 };
    int rc = slot < 0 ? slot : 0;
    uint32_t i;

    /* As Xen: one after the other, the first failure ends it. */
    for (i = 0; !rc && i < size; i++) {
        rc = xsim_p2m_move(xsim_lib(), slot, src_gfn + i, dst_gfn + i,
                           &punch);
    }
    if (slot >= 0) {
        xsim_punch_flush(xsim_lib(), &punch);
        xsim_log_add(xsim_dom(xsim_lib(), slot), XENSIM_LOG_RELOCATE, src_gfn,
                     dst_gfn, size, -rc);
    }
    xsim_dm_leave(slot);
    return xsim_lib_result(call, rc, "dom=%u 0x%llx -> 0x%llx pages=%u", domid,
                           (unsigned long long)src_gfn,
                           (unsigned long long)dst_gfn, size);
}

/*
 * As Xen: a range is known by both its ends, and does not overlap another.
 */
static int pin_range(XsimDom *d, uint64_t start, uint64_t end, uint32_t type)
{
    XsimPin *room = NULL;
    unsigned i;

    for (i = 0; i < XSIM_MAX_PINS; i++) {
        XsimPin *p = &d->pin[i];

        if (!p->in_use) {
            room = room ? room : p;
        } else if (p->start == start && p->end == end) {
            /* Xen has every CPU of the host write its caches back then. */
            d->cache_flushes += type != p->type;
            p->in_use = type != XEN_DOMCTL_DELETE_MEM_CACHEATTR;
            p->type = type;
            return 0;
        } else if (type != XEN_DOMCTL_DELETE_MEM_CACHEATTR &&
                   start <= p->end && end >= p->start) {
            return -EBUSY;
        }
    }
    if (type == XEN_DOMCTL_DELETE_MEM_CACHEATTR) {
        return -ENOENT;
    }
    if (!room) {
        return -ENOMEM;
    }
    *room = (XsimPin) { true, start, end, type };
    return 0;
}

static bool pin_type_known(uint32_t type)
{
    switch (type) {
    case XEN_DOMCTL_MEM_CACHEATTR_UC:
    case XEN_DOMCTL_MEM_CACHEATTR_WC:
    case XEN_DOMCTL_MEM_CACHEATTR_WT:
    case XEN_DOMCTL_MEM_CACHEATTR_WP:
    case XEN_DOMCTL_MEM_CACHEATTR_WB:
    case XEN_DOMCTL_MEM_CACHEATTR_UCM:
    case XEN_DOMCTL_DELETE_MEM_CACHEATTR:
        return true;
    default:
        return false;
    }
}

XSIM_EXPORT int xendevicemodel_pin_memory_cacheattr(
    xendevicemodel_handle *dmod, domid_t domid, uint64_t start, uint64_t end,
    uint32_t type)
{
    unsigned call = XSIM_CALL_xendevicemodel_pin_memory_cacheattr;
    XsimGfnSet set = { NULL, start, end - start + 1 };
    int slot = xsim_dm_enter(dmod, call, domid, &set);
    int rc = slot;

    if (slot >= 0) {
        rc = end < start || !pin_type_known(type) ? -EINVAL :
             pin_range(xsim_dom(xsim_lib(), slot), start, end, type);
        xsim_log_add(xsim_dom(xsim_lib(), slot), XENSIM_LOG_CACHEATTR, start,
                     end, type, -rc);
    }
    xsim_dm_leave(slot);
    return xsim_lib_result(call, rc, "dom=%u gfn=0x%llx-0x%llx type=%u", domid,
                           (unsigned long long)start,
                           (unsigned long long)end, type);
}

XSIM_EXPORT int xendevicemodel_set_mem_type(
    xendevicemodel_handle *dmod, domid_t domid, hvmmem_type_t mem_type,
    uint64_t first_pfn, uint32_t nr)
{
    unsigned call = XSIM_CALL_xendevicemodel_set_mem_type;
    XsimGfnSet set = { NULL, first_pfn, nr };
    int slot = xsim_dm_enter(dmod, call, domid, &set);
    int rc = slot < 0 ? slot : 0;
    uint32_t i;

    if (!rc && mem_type > HVMMEM_mmio_dm) {
        rc = -EINVAL;
    }
    for (i = 0; !rc && i < nr; i++) {
        /* An absent frame has no type to be set. */
        if (xsim_p2m_get(xsim_lib(), slot, first_pfn + i)) {
            rc = xsim_p2m_set_type(xsim_lib(), slot, first_pfn + i,
                                   mem_type);
        }
    }
    if (slot >= 0) {
        xsim_log_add(xsim_dom(xsim_lib(), slot), XENSIM_LOG_MEM_TYPE,
                     first_pfn, nr, mem_type, -rc);
    }
    xsim_dm_leave(slot);
    return xsim_lib_result(call, rc, "dom=%u gfn=0x%llx pages=%u type=%u",
                           domid, (unsigned long long)first_pfn, nr,
                           mem_type);
}

XSIM_EXPORT int xendevicemodel_modified_memory(
    xendevicemodel_handle *dmod, domid_t domid, uint64_t first_pfn,
    uint32_t nr)
{
    unsigned call = XSIM_CALL_xendevicemodel_modified_memory;
    XsimGfnSet set = { NULL, first_pfn, nr };
    int slot = xsim_dm_enter(dmod, call, domid, &set);

    if (slot >= 0) {
        xsim_log_add(xsim_dom(xsim_lib(), slot), XENSIM_LOG_MODIFIED,
                     first_pfn, nr, 0, 0);
    }
    xsim_dm_leave(slot);
    return xsim_lib_result(call, slot < 0 ? slot : 0,
                           "dom=%u gfn=0x%llx pages=%u", domid,
                           (unsigned long long)first_pfn, nr);
}

XSIM_EXPORT int xendevicemodel_modified_memory_bulk(
    xendevicemodel_handle *dmod, domid_t domid,
    struct xen_dm_op_modified_memory_extent extents[], uint32_t nr)
{
    unsigned call = XSIM_CALL_xendevicemodel_modified_memory_bulk;
    int slot = xsim_dm_enter(dmod, call, domid, NULL);
    uint32_t i;

    for (i = 0; slot >= 0 && i < nr; i++) {
        xsim_log_add(xsim_dom(xsim_lib(), slot), XENSIM_LOG_MODIFIED,
                     extents[i].first_pfn, extents[i].nr, 0, 0);
    }
    xsim_dm_leave(slot);
    return xsim_lib_result(call, slot < 0 ? slot : 0, "dom=%u extents=%u",
                           domid, nr);
}

/*
 * As Xen does with hardware-assisted paging: a new range starts to be tracked
 * and is all dirty; the same range again gives what the guest's CPUs wrote
 * since; none (nr 0) stops.  What a device model writes does not show.  Linux
 * takes no bitmap of more than a page.
 */
XSIM_EXPORT int xendevicemodel_track_dirty_vram(
    xendevicemodel_handle *dmod, domid_t domid, uint64_t first_pfn,
    uint32_t nr, unsigned long *dirty_bitmap)
{
    unsigned call = XSIM_CALL_xendevicemodel_track_dirty_vram;
    XsimGfnSet set = { NULL, first_pfn, nr };
    int slot = xsim_dm_enter(dmod, call, domid, &set);
    XsimDom *d = slot >= 0 ? xsim_dom(xsim_lib(), slot) : NULL;
    size_t bytes = (nr + 7) / 8;
    int rc = slot < 0 ? slot : nr > XSIM_MAX_VRAM_PAGES ? -E2BIG : 0;

    if (!rc && !nr) {
        d->vram_pages = 0;
    } else if (!rc && (d->vram_gfn != first_pfn || d->vram_pages != nr)) {
        d->vram_gfn = first_pfn;
        d->vram_pages = nr;
        memset(d->vram_dirty, 0, bytes);
        memset(dirty_bitmap, 0xff, bytes);
    } else if (!rc) {
        memcpy(dirty_bitmap, d->vram_dirty, bytes);
        memset(d->vram_dirty, 0, bytes);
    }
    xsim_dm_leave(slot);
    return xsim_lib_result(call, rc, "dom=%u gfn=0x%llx pages=%u", domid,
                           (unsigned long long)first_pfn, nr);
}
