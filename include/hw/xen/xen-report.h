/*
 * A limit on reports that a guest can cause as often as it likes
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * At most one report of a kind is written in a second.  Each kind has a static
 * XenReportLimit of its own, which begins as zeros.  Any thread may call these
 * functions.
 */

#ifndef HW_XEN_XEN_REPORT_H
#define HW_XEN_XEN_REPORT_H

#include "qemu/atomic.h"
#include "qemu/timer.h"

#define XEN_REPORT_INTERVAL_MS  1000

typedef struct XenReportLimit {
    int64_t last;       /* the time of the last report, in ms of
                         * QEMU_CLOCK_REALTIME; 0: none */
    uint32_t left_out;  /* how many were left out since then */
} XenReportLimit;

/* The time in ms; never 0. */
static inline int64_t xen_report_now(void)
{
    return MAX(qemu_clock_get_ms(QEMU_CLOCK_REALTIME), 1);
}

/* True if a report may be written now.  Changes nothing. */
static inline bool xen_report_may(const XenReportLimit *r)
{
    int64_t last = qatomic_read(&r->last);

    return !last || xen_report_now() - last >= XEN_REPORT_INTERVAL_MS;
}

/* To be called when the caller has written a report after xen_report_may(). */
static inline void xen_report_written(XenReportLimit *r)
{
    qatomic_set(&r->last, xen_report_now());
}

/*
 * True if the caller is to write a report; then *@left_out, unless @left_out is
 * NULL, is the number of reports that were left out since the last one.  False
 * if this report is left out.
 */
static inline bool xen_report_is_due(XenReportLimit *r, uint32_t *left_out)
{
    int64_t last = qatomic_read(&r->last), now = xen_report_now();
    uint32_t n;

    if ((last && now - last < XEN_REPORT_INTERVAL_MS) ||
        qatomic_cmpxchg(&r->last, last, now) != last) {
        qatomic_inc(&r->left_out);
        return false;
    }
    n = qatomic_xchg(&r->left_out, 0);
    if (left_out) {
        *left_out = n;
    }
    return true;
}

#endif /* HW_XEN_XEN_REPORT_H */
