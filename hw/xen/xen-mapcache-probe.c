/*
 * Xen mapcache: asking Xen which frames are present
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"

#include "hw/xen/xen_native.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-calls.h"
#include "xen-mapcache-outside.h"
#include "xen-mapcache-slots.h"

/* How many frames one probe asks for. */
#define PROBE_PAGES     1024

xen_pfn_t *mcache_gfns_from(hwaddr gaddr, hwaddr size)
{
    size_t pages = size >> XC_PAGE_SHIFT, i;
    xen_pfn_t *gfn = g_new(xen_pfn_t, pages);

    for (i = 0; i < pages; i++) {
        gfn[i] = (gaddr >> XC_PAGE_SHIFT) + i;
    }
    return gfn;
}

XenFrames mcache_probe(const xen_pfn_t *gfn, size_t pages,
                       unsigned long *present)
{
    size_t done, n, i, there = 0;
    g_autofree int *err = g_new(int, PROBE_PAGES);

    for (done = 0; done < pages; done += n) {
        void *p;

        n = MIN(pages - done, PROBE_PAGES);
        p = mcache_mapped_or_null(mcache_map_frames(NULL, gfn + done, n, err),
                                  n, err);
        if (!p) {
            mcache_report_failure("probing guest address",
                                  (hwaddr)gfn[done] << XC_PAGE_SHIFT, n,
                                  errno);
            return XEN_FRAMES_UNKNOWN;
        }
        for (i = 0; i < n; i++) {
            there += !err[i];
            if (present && !err[i]) {
                set_bit(done + i, present);
            }
        }
        mcache_unmap(p, n);
    }
    return there == pages ? XEN_FRAMES_ALL :
           there ? XEN_FRAMES_PART : XEN_FRAMES_NONE;
}

XenFrames xen_map_cache_probe(hwaddr gaddr, hwaddr size,
                              unsigned long *present)
{
    g_autofree xen_pfn_t *gfn = mcache_gfns_from(gaddr, size);

    return mcache_probe(gfn, size >> XC_PAGE_SHIFT, present);
}
