/*
 * Frames that Xen gives the guest for the memory of its devices
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "hw/xen/xen_native.h"
#include "hw/xen/xen-reservation.h"
#include "system/xen.h"
#include "system/xen-mapcache.h"

/*
 * Lists the pages of the range whose bit in @bits is @value, or all if @bits is
 * NULL (g_free).  *@n is their number.
 */
static xen_pfn_t *gfns_with(hwaddr gaddr, uint64_t size,
                            const unsigned long *bits, bool value,
                            unsigned long *n)
{
    unsigned long pages = size >> XC_PAGE_SHIFT, i;
    xen_pfn_t *gfn = g_new(xen_pfn_t, pages);

    *n = 0;
    for (i = 0; i < pages; i++) {
        if (!bits || test_bit(i, bits) == value) {
            gfn[(*n)++] = (gaddr >> XC_PAGE_SHIFT) + i;
        }
    }
    return gfn;
}

int xen_reservation_depopulate(hwaddr gaddr, uint64_t size,
                               const unsigned long *present)
{
    unsigned long n;
    g_autofree xen_pfn_t *gfn = gfns_with(gaddr, size, present, true, &n);

    return n && xc_domain_decrease_reservation_exact(xen_xc, xen_domid, n, 0,
                                                     gfn) ? -errno : 0;
}

/* Gives back the frames of the present pages that have no bit in @before. */
static int give_back_new(hwaddr gaddr, uint64_t size,
                         const unsigned long *before)
{
    unsigned long pages = size >> XC_PAGE_SHIFT;
    g_autofree unsigned long *now = bitmap_new(pages);

    /* Xen stops at the first page that has no frame. */
    if (xen_map_cache_probe(gaddr, size, now) == XEN_FRAMES_UNKNOWN) {
        return -EIO;
    }
    if (before) {
        bitmap_andnot(now, now, before, pages);
    }
    return xen_reservation_depopulate(gaddr, size, now);
}

int xen_reservation_populate(hwaddr gaddr, uint64_t size,
                             const unsigned long *present, bool *left)
{
    unsigned long n;
    g_autofree xen_pfn_t *gfn = gfns_with(gaddr, size, present, false, &n);
    int ret = 0;

    *left = false;
    if (n && xc_domain_populate_physmap_exact(xen_xc, xen_domid, n, 0, 0,
                                              gfn)) {
        ret = -errno;
        /* Xen stops at the first page for which it has no frame. */
        *left = give_back_new(gaddr, size, present) != 0;
    }
    return ret;
}

int xen_reservation_give_back(hwaddr gaddr, uint64_t size)
{
    return give_back_new(gaddr, size, NULL);
}
