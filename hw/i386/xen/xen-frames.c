/*
 * The frames of an HVM guest: relocating them, and reporting that they changed
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * During a live migration QEMU tells Xen what it writes to the guest's memory:
 * any thread calls xen_hvm_modified_memory(), declared in system/xen.h, after a
 * write.  If no migration is under way, such a call only reads a flag.  During
 * a migration, the range is cut where device memory ends or is relocated, and
 * each part is reported at its present guest address.  If frames are relocated
 * after a write and before its report, nothing is missed: after a relocation
 * all of the frames are reported.
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/rcu.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "hw/xen/xen_native.h"
#include "hw/xen/xen-report.h"
#include "system/runstate.h"
#include "system/xen.h"
#include "xen-physmap.h"
#include "xen-physmap-int.h"
#include "trace.h"

void xen_complain(const char *fmt, ...)
{
    static XenReportLimit limit;
    uint32_t left_out = 0;
    va_list ap;

    if (!runstate_check(RUN_STATE_INMIGRATE) &&
        !xen_report_is_due(&limit, &left_out)) {
        return;
    }
    if (left_out) {
        warn_report("%u reports like the next one were not written", left_out);
    }
    va_start(ap, fmt);
    error_vreport(fmt, ap);
    va_end(ap);
}

int xen_frames_move(hwaddr from, hwaddr to, uint64_t size)
{
    trace_xen_frames_move(from, to, size);
    if (xendevicemodel_relocate_memory(xen_dmod, xen_domid,
                                       size / XEN_GUEST_PAGE_SIZE,
                                       from / XEN_GUEST_PAGE_SIZE,
                                       to / XEN_GUEST_PAGE_SIZE) == 0) {
        return 0;
    }
    return errno ? -errno : -EIO;
}

/* The ranges that are pinned, in no order.  XenPiece.ram is not used. */
static XenPieceList pins;

bool xen_frames_is_pinned(hwaddr gaddr, uint64_t *len)
{
    return xen_piece_at(pins.p, pins.n, gaddr, len);
}

int xen_frames_pin(hwaddr gaddr, uint64_t size)
{
    uint64_t done, len;

    for (done = 0; done < size; done += len) {
        hwaddr at = gaddr + done;

        len = size - done;
        if (xen_frames_is_pinned(at, &len)) {
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

/* Written with the BQL, read by any thread; see xen_hvm_modified_memory(). */
static bool log_writes;

void xen_physmap_log_writes(bool on)
{
    qatomic_set(&log_writes, on);
}

/*
 * @gaddr and @size are multiples of a page.  Makes several calls for a long
 * range, because one call takes a page count of 32 bits.
 */
static void report_modified(hwaddr gaddr, uint64_t size)
{
    while (size) {
        uint64_t len = MIN(size, GiB);

        if (xen_modified_memory(xen_domid, gaddr >> XC_PAGE_SHIFT,
                                len >> XC_PAGE_SHIFT)) {
            warn_report_once("Xen did not record a write to guest address 0x%"
                             HWADDR_PRIx " (%s): a migration that is under "
                             "way may miss it", gaddr, strerror(errno));
        }
        gaddr += len;
        size -= len;
    }
}

void xen_frames_modified(hwaddr gaddr, uint64_t size)
{
    if (qatomic_read(&log_writes)) {
        report_modified(gaddr, size);
    }
}

void xen_hvm_modified_memory(ram_addr_t start, ram_addr_t length)
{
    RAMBlock *block;
    ram_addr_t end;

    /*
     * Relaxed: a write that is under way when the log is turned on may be
     * missed.  That does no harm, because all memory is sent after that.
     */
    if (likely(!qatomic_read(&log_writes))) {
        return;
    }

    RCU_READ_LOCK_GUARD();

    block = xen_physmap_block(start);
    if (block && !block->foreign) {
        return;     /* QEMU's own: no migration of Xen's sends it */
    }
    end = ROUND_UP(start + MAX(length, 1), XEN_GUEST_PAGE_SIZE);
    start &= XEN_GUEST_PAGE_MASK;
    while (start < end) {
        uint64_t len = end - start;
        hwaddr gaddr = xen_physmap_translate(start, &len);

        report_modified(gaddr, len);
        start += len;
    }
}
