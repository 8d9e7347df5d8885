/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioreq servers: what a device model registers with Xen.
 *
 * Ranges are kept like Xen's rangesets: sorted, and adjacent ones merged.
 * Adding a range that overlaps another fails with EEXIST.  Removing a range of
 * which a part is not registered fails with ENOENT.  More than 256 ranges fail
 * with ENOSPC.
 */
#include "xen-abi.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "sim.h"

bool xsim_range_has(const XsimServer *s, unsigned kind, uint64_t start,
                    uint64_t end)
{
    unsigned i;

    for (i = 0; i < s->nr[kind]; i++) {
        const XsimRange *r = &s->range[kind][i];

        if (start >= r->start && end <= r->end) {
            return true;
        }
    }
    return false;
}

static void cut(XsimServer *s, unsigned kind, unsigned i)
{
    XsimRange *r = s->range[kind];

    s->nr[kind]--;
    memmove(&r[i], &r[i + 1], (s->nr[kind] - i) * sizeof(*r));
}

static bool insert(XsimServer *s, unsigned kind, unsigned i, uint64_t start,
                   uint64_t end)
{
    XsimRange *r = s->range[kind];

    if (s->nr[kind] == XSIM_MAX_RANGES) {
        return false;
    }
    memmove(&r[i + 1], &r[i], (s->nr[kind] - i) * sizeof(*r));
    r[i].start = start;
    r[i].end = end;
    s->nr[kind]++;
    return true;
}

int xsim_range_add(XsimServer *s, unsigned kind, uint64_t start, uint64_t end)
{
    XsimRange *r = s->range[kind];
    unsigned i = 0;
    bool below, above;

    if (start > end) {
        return -EINVAL;
    }
    while (i < s->nr[kind] && r[i].end < start) {
        i++;
    }
    if (i < s->nr[kind] && r[i].start <= end) {
        return -EEXIST;
    }
    below = i > 0 && r[i - 1].end + 1 == start;
    above = i < s->nr[kind] && end + 1 == r[i].start;
    if (below && above) {
        r[i - 1].end = r[i].end;
        cut(s, kind, i);
    } else if (below) {
        r[i - 1].end = end;
    } else if (above) {
        r[i].start = start;
    } else if (!insert(s, kind, i, start, end)) {
        return -ENOSPC;
    }
    return 0;
}

int xsim_range_remove(XsimServer *s, unsigned kind, uint64_t start,
                      uint64_t end)
{
    XsimRange *r = s->range[kind];
    unsigned i;

    for (i = 0; i < s->nr[kind]; i++) {
        if (start >= r[i].start && end <= r[i].end && start <= end) {
            break;
        }
    }
    if (i == s->nr[kind]) {
        return -ENOENT;
    }
    if (r[i].start == start && r[i].end == end) {
        cut(s, kind, i);
    } else if (r[i].start == start) {
        r[i].start = end + 1;
    } else if (r[i].end == end) {
        r[i].end = start - 1;
    } else {
        if (!insert(s, kind, i + 1, end + 1, r[i].end)) {
            return -ENOSPC;
        }
        r[i].end = start - 1;
    }
    return 0;
}

int xsim_server_create(XsimView *v, unsigned slot, unsigned bufioreq,
                       unsigned proc)
{
    XsimDom *d = xsim_dom(v, slot);
    XsimServer *s;
    unsigned i;
    int id, port;

    for (id = 0; id < (int)XSIM_MAX_SERVERS &&
                 d->server[id].state != XSIM_SERVER_FREE; id++) {
        continue;
    }
    if (id == (int)XSIM_MAX_SERVERS) {
        return -ENOSPC;
    }
    s = &d->server[id];
    memset(s, 0, sizeof(*s));
    s->state = XSIM_SERVER_DISABLED;
    s->bufioreq = bufioreq;
    s->proc = proc;
    s->gfn[0] = s->gfn[1] = XENSIM_NO_GFN;
    for (i = 0; i < d->vcpus; i++) {
        port = xsim_port_alloc(v, slot, 0, true);
        if (port < 0) {
            goto fail;
        }
        s->vcpu_port[i] = port;
    }
    if (bufioreq != HVM_IOREQSRV_BUFIOREQ_OFF) {
        port = xsim_port_alloc(v, slot, 0, true);
        if (port < 0) {
            goto fail;
        }
        s->buf_port = port;
    }
    return id;

fail:
    xsim_server_destroy(v, slot, id);
    return port;
}

static void hide(XsimView *v, unsigned slot, XsimServer *s, unsigned frame)
{
    XsimDom *d = xsim_dom(v, slot);

    if (s->gfn[frame] != XENSIM_NO_GFN) {
        if (xsim_p2m_clear(v, slot, s->gfn[frame])) {
            d->p2m_pages--;
            d->xen_pages++;
            xsim_frame_info(v, s->mfn[frame])->m2p = XSIM_M2P_XEN;
        }
        s->gfn[frame] = XENSIM_NO_GFN;
    }
}

void xsim_server_destroy(XsimView *v, unsigned slot, unsigned id)
{
    XsimDom *d = xsim_dom(v, slot);
    XsimServer *s = &d->server[id];
    XsimPunch punch = { 0, 0, 0 };
    unsigned i;

    s->state = XSIM_SERVER_DISABLED;
    for (i = 0; i < d->vcpus; i++) {
        if (s->vcpu_port[i]) {
            xsim_port_close(v, slot, s->vcpu_port[i]);
        }
    }
    if (s->buf_port) {
        xsim_port_close(v, slot, s->buf_port);
    }
    for (i = 0; i < 2; i++) {
        hide(v, slot, s, i);
        if (s->mfn[i]) {
            d->xen_pages--;
            if (!xsim_frame_hold(v, slot, s->mfn[i])) {
                xsim_frame_free(v, s->mfn[i], &punch);
            }
        }
    }
    xsim_punch_flush(v, &punch);
    s->state = XSIM_SERVER_FREE;
}

uint64_t xsim_server_frame(XsimView *v, unsigned slot, unsigned id,
                           unsigned frame)
{
    XsimDom *d = xsim_dom(v, slot);
    XsimServer *s = &d->server[id];

    if (!s->mfn[frame]) {
        uint64_t mfn = xsim_frame_alloc(v, slot);

        if (mfn == XENSIM_NO_MFN) {
            return mfn;
        }
        xsim_frame_info(v, mfn)->m2p = XSIM_M2P_XEN;
        d->xen_pages++;
        s->mfn[frame] = mfn;
    }
    return s->mfn[frame];
}

int xsim_server_show(XsimView *v, unsigned slot, unsigned id, unsigned frame,
                     uint64_t *gfn)
{
    XsimDom *d = xsim_dom(v, slot);
    XsimServer *s = &d->server[id];
    uint64_t first = d->hvm_param[HVM_PARAM_IOREQ_SERVER_PFN];
    uint64_t n = d->hvm_param[HVM_PARAM_NR_IOREQ_SERVER_PAGES];
    uint64_t i;

    if (s->gfn[frame] == XENSIM_NO_GFN) {
        uint64_t mfn = xsim_server_frame(v, slot, id, frame);

        for (i = 0; i < n && xsim_p2m_get(v, slot, first + i); i++) {
            continue;
        }
        if (i == n || mfn == XENSIM_NO_MFN ||
            xsim_p2m_set(v, slot, first + i, mfn, 0)) {
            return -ENOMEM;
        }
        d->xen_pages--;
        d->p2m_pages++;
        s->gfn[frame] = first + i;
    }
    *gfn = s->gfn[frame];
    return 0;
}

/* Tells the device model the ports of its vCPUs. */
static void write_ports(XsimView *v, unsigned slot, unsigned id)
{
    XsimDom *d = xsim_dom(v, slot);
    XsimServer *s = &d->server[id];
    uint64_t mfn = xsim_server_frame(v, slot, id, 1);
    unsigned i;

    for (i = 0; mfn != XENSIM_NO_MFN && i < d->vcpus; i++) {
        off_t off = ((off_t)mfn << XENSIM_PAGE_SHIFT) + i * sizeof(ioreq_t) +
                    offsetof(ioreq_t, vp_eport);

        if (pwrite(v->mem_fd, &s->vcpu_port[i], 4, off) != 4) {
            xsim_die("cannot write an ioreq page: %s", strerror(errno));
        }
    }
}

void xsim_server_enable(XsimView *v, unsigned slot, unsigned id, bool on)
{
    XsimServer *s = &xsim_dom(v, slot)->server[id];
    unsigned i;

    if (on && s->state != XSIM_SERVER_ENABLED) {
        /* The guest must not see its own requests. */
        for (i = 0; i < 2; i++) {
            hide(v, slot, s, i);
        }
        /* Not before: Xen fills them in for a server that is enabled. */
        write_ports(v, slot, id);
    }
    s->state = on ? XSIM_SERVER_ENABLED : XSIM_SERVER_DISABLED;
}
