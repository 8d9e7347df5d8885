/*
 * Relocating the frames of device memory in an HVM guest
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The calls to Xen that xen-physmap-settle.c needs.  Xen relocates one frame
 * after the other, in rising order.  It stops at the first frame that fails,
 * and does not say which.  So after a failure the frames are probed to find
 * out.
 */

#include "qemu/osdep.h"
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
 * True if no frame is at [@gaddr, @gaddr + @size); false if Xen does not say.
 * Probes up to three times, because this is called when calls are failing.
 */
static bool is_empty(hwaddr gaddr, uint64_t size)
{
    XenFrames frames = XEN_FRAMES_UNKNOWN;
    unsigned i;

    for (i = 0; i < 3 && frames == XEN_FRAMES_UNKNOWN; i++) {
        frames = xen_map_cache_probe(gaddr, size, NULL);
    }
    return frames == XEN_FRAMES_NONE;
}

/*
 * Returns how many pages at the start of the range were relocated.  Such a page
 * is absent at @from and present at @to.  They come first, so their number is
 * found by bisection.  Pages that were absent at @from before do not count.
 *
 * If Xen does not say, a page counts as not relocated.  If that is wrong, the
 * next relocation to the same range fails at once; its pages are then probed
 * again, and the mistake is corrected.
 */
static uint64_t moved_pages(hwaddr from, hwaddr to, uint64_t pages)
{
    uint64_t low = 0, high = pages;

    while (low < high) {
        uint64_t mid = low + (high - low + 1) / 2;
        hwaddr start = from + low * XEN_GUEST_PAGE_SIZE;
        uint64_t size = (mid - low) * XEN_GUEST_PAGE_SIZE;

        if (is_empty(start, size)) {
            low = mid;
        } else {
            high = mid - 1;
        }
    }
    while (low && is_empty(to + (low - 1) * XEN_GUEST_PAGE_SIZE,
                           XEN_GUEST_PAGE_SIZE)) {
        low--;
    }
    return low;
}

/* One call to Xen; the ranges do not overlap. */
static int relocate(hwaddr from, hwaddr to, uint64_t size, uint64_t *done)
{
    uint64_t pages = size / XEN_GUEST_PAGE_SIZE;
    int ret;

    *done = size;
    if (pages > UINT32_MAX) {
        *done = 0;
        return -E2BIG;
    }
    if (xendevicemodel_relocate_memory(xen_dmod, xen_domid, pages,
                                       from / XEN_GUEST_PAGE_SIZE,
                                       to / XEN_GUEST_PAGE_SIZE) == 0) {
        return 0;
    }
    ret = -errno;
    *done = moved_pages(from, to, pages) * XEN_GUEST_PAGE_SIZE;
    return ret ? ret : -EIO;
}

static void add_moved(XenFramesMoved *moved, uint64_t offset, uint64_t size)
{
    if (size) {
        moved->piece[moved->n].offset = offset;
        moved->piece[moved->n++].size = size;
    }
}

/*
 * If the target overlaps the source from above, Xen's rising order would
 * overwrite frames before they are relocated:
 *
 *   from  [0 1 2 3 4 5 6 7]
 *   to            [0 1 2 3 4 5 6 7]     4 pages up: first 4..7, then 0..3
 *
 * So the range is cut into pieces as long as the distance, and the last piece
 * is relocated first.  If the target overlaps from below, the first piece is
 * relocated first.  One call would do the same then; but after a failure,
 * relocated frames could not be told from the others.
 */
int xen_frames_move(hwaddr from, hwaddr to, uint64_t size,
                    XenFramesMoved *moved)
{
    bool up = to > from;
    uint64_t step = MIN(size, up ? to - from : from - to);
    uint64_t n, len, done;

    moved->n = 0;
    trace_xen_frames_move(from, to, size);
    if (from == to) {
        return 0;
    }
    /* @n bytes were relocated: the last ones if @up, otherwise the first. */
    for (n = 0; n < size; n += len) {
        uint64_t start;
        int ret;

        len = MIN(step, size - n);
        start = up ? size - n - len : n;
        ret = relocate(from + start, to + start, len, &done);
        if (!ret) {
            continue;
        }
        if (!up) {
            add_moved(moved, 0, n + done);
        } else {
            add_moved(moved, start, done);
            add_moved(moved, size - n, n);
        }
        return ret;
    }
    add_moved(moved, 0, size);
    return 0;
}

/* The ranges that are pinned, in no order.  With the BQL. */
static struct {
    hwaddr gaddr;
    uint64_t size;
} pins[XEN_PINS_MAX];
static unsigned nr_pins;

/*
 * True if the page at @gaddr is pinned.  @len: in: bytes asked for; out: for
 * how many the answer holds.
 */
static bool is_pinned(hwaddr gaddr, uint64_t *len)
{
    unsigned i;

    for (i = 0; i < nr_pins; i++) {
        if (gaddr - pins[i].gaddr < pins[i].size) {
            *len = MIN(*len, pins[i].gaddr + pins[i].size - gaddr);
            return true;
        }
        if (pins[i].gaddr > gaddr) {
            *len = MIN(*len, pins[i].gaddr - gaddr);
        }
    }
    return false;
}

int xen_frames_pin(hwaddr gaddr, uint64_t size)
{
    uint64_t done, len;

    for (done = 0; done < size; done += len) {
        hwaddr at = gaddr + done;

        len = size - done;
        if (is_pinned(at, &len)) {
            continue;
        }
        if (nr_pins == XEN_PINS_MAX) {
            return -ENOSPC;
        }
        if (xendevicemodel_pin_memory_cacheattr(
                xen_dmod, xen_domid, at / XEN_GUEST_PAGE_SIZE,
                (at + len - 1) / XEN_GUEST_PAGE_SIZE,
                XEN_DOMCTL_MEM_CACHEATTR_WB)) {
            return -errno;
        }
        pins[nr_pins].gaddr = at;
        pins[nr_pins++].size = len;
    }
    return 0;
}
