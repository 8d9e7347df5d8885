/*
 * Relocating the frames of device memory in an HVM guest
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The calls to Xen that xen-physmap-settle.c needs.  Xen relocates one frame
 * after the other, in rising order.  It stops at the first frame that fails,
 * and does not say which.  So after a failure the frames are probed.
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qemu/error-report.h"
#include "qemu/timer.h"
#include "hw/xen/xen_native.h"
#include "system/runstate.h"
#include "system/xen-mapcache.h"
#include "xen-physmap-int.h"
#include "trace.h"

#define REPORT_MS   1000    /* from one report to the next */

void xen_complain(const char *fmt, ...)
{
    static int64_t last;
    static unsigned unsaid;
    int64_t now = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
    va_list ap;

    if (!runstate_check(RUN_STATE_INMIGRATE)) {
        if (last && now - last < REPORT_MS) {
            unsaid++;
            return;
        }
        last = now;
    }
    if (unsaid) {
        warn_report("reports like the next one that were left out before it: "
                    "%u", unsaid);
        unsaid = 0;
    }
    va_start(ap, fmt);
    error_vreport(fmt, ap);
    va_end(ap);
}

/*
 * Probes up to three times, because this is called when calls are failing.
 * False if Xen does not say.
 */
static bool probe(hwaddr gaddr, uint64_t size, unsigned long *present)
{
    unsigned i;

    for (i = 0; i < 3; i++) {
        if (xen_map_cache_probe(gaddr, size, present) != XEN_FRAMES_UNKNOWN) {
            return true;
        }
    }
    return false;
}

/*
 * Returns how many pages at the start of the range were relocated.  Such a page
 * is absent at @from and present at @to.  Pages that were absent at @from
 * before do not count.
 *
 * If Xen does not say, no page counts as relocated.  If that is wrong, the next
 * relocation to the same range fails at once; its pages are then probed again,
 * and the mistake is corrected.
 */
static uint64_t moved_pages(hwaddr from, hwaddr to, uint64_t size)
{
    unsigned long pages = size / XEN_GUEST_PAGE_SIZE, absent, last;
    g_autofree unsigned long *left = bitmap_new(pages);
    g_autofree unsigned long *moved = bitmap_new(pages);

    if (!probe(from, size, left) || !probe(to, size, moved)) {
        return 0;
    }
    absent = find_first_bit(left, pages);
    last = find_last_bit(moved, absent);
    return last < absent ? last + 1 : 0;
}

int xen_frames_move(hwaddr from, hwaddr to, uint64_t size, uint64_t *moved)
{
    int ret;

    trace_xen_frames_move(from, to, size);
    *moved = size;
    if (xendevicemodel_relocate_memory(xen_dmod, xen_domid,
                                       size / XEN_GUEST_PAGE_SIZE,
                                       from / XEN_GUEST_PAGE_SIZE,
                                       to / XEN_GUEST_PAGE_SIZE) == 0) {
        return 0;
    }
    ret = -errno;
    *moved = moved_pages(from, to, size) * XEN_GUEST_PAGE_SIZE;
    return ret ? ret : -EIO;
}

int xen_frames_pin(hwaddr gaddr, uint64_t size)
{
    /* Guest addresses alone, in no order. */
    static XenPieceList pins;
    uint64_t done, len;

    for (done = 0; done < size; done += len) {
        hwaddr at = gaddr + done;

        len = size - done;
        if (xen_piece_at(pins.p, pins.n, at, &len)) {
            continue;
        }
        if (pins.n == XEN_PINS_MAX) {
            return -ENOSPC;
        }
        if (xendevicemodel_pin_memory_cacheattr(
                xen_dmod, xen_domid, at / XEN_GUEST_PAGE_SIZE,
                (at + len - 1) / XEN_GUEST_PAGE_SIZE,
                XEN_DOMCTL_MEM_CACHEATTR_WB)) {
            return -errno;
        }
        xen_piece_add(&pins, &(XenPiece) { .gaddr = at, .size = len });
    }
    return 0;
}
