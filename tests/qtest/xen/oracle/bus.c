/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a guest driver reaches either side: each access is timed, and fails once
 * the side is lost.
 */
#include "qemu/osdep.h"
#include "engine.h"

static int xen_memory(OracleSide *side, XensimIoreq *req)
{
    XensimDomain *dom = ts_domain(side->guest);

    if (!req->read) {
        oracle_dirty_known(side, req->addr, req->size);
    }
    return req->read ? xensim_read(dom, req->addr, &req->data, req->size)
                     : xensim_write(dom, req->addr, &req->data, req->size);
}

static bool is_answered(XensimStatus status)
{
    return status == XENSIM_OK || status == XENSIM_UNCLAIMED;
}

static void lose(OracleSide *side, XensimStatus status)
{
    g_clear_error(&side->lost);
    if (ts_alive(side->guest, NULL, &side->lost)) {
        g_set_error(&side->lost, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                    "no answer: %s", xensim_status_str(status));
    }
}

static int xen_access(OracleSide *side, XensimIoreq *req)
{
    XensimDomain *dom = oracle_domain(side);
    XensimStatus status;

    if (req->type == XENSIM_IOREQ_COPY &&
        xensim_gfn_to_mfn(dom, req->addr / ORACLE_PAGE) != XENSIM_NO_MFN) {
        return xen_memory(side, req);
    }
    status = xensim_ioreq(dom, req);
    if (!is_answered(status)) {
        lose(side, status);
        return -ENODEV;
    }
    return 0;
}

static int plain_access(OracleSide *side, XensimIoreq *req)
{
    GuestPc *pc = plain_machine_pc(side->plain);
    uint32_t val = req->data;
    int rc;

    switch (req->type) {
    case XENSIM_IOREQ_PIO:
        rc = req->read ? guest_in(pc, req->addr, req->size, &val)
                       : guest_out(pc, req->addr, req->size, val);
        break;
    case XENSIM_IOREQ_PCI_CONFIG:
        rc = req->read ?
            guest_pci_in(pc, req->addr >> 32, req->addr, req->size, &val) :
            guest_pci_out(pc, req->addr >> 32, req->addr, req->size, val);
        break;
    default:
        return req->read ?
            guest_mmio_in(pc, req->addr, req->size, &req->data) :
            guest_mmio_out(pc, req->addr, req->size, req->data);
    }
    req->data = val;
    return rc;
}

/* ---- several at a time ---- */

#define ANSWER_MS   5000

static void xen_at_once(OracleSide *side, XensimIoreq *req, unsigned n)
{
    XensimDomain *dom = oracle_domain(side);
    XensimStatus status[ORACLE_VCPUS];
    unsigned i;

    for (i = 0; i < n; i++) {
        xensim_vcpu_select(i);
        status[i] = xensim_ioreq_post(dom, &req[i]);
    }
    for (i = 0; i < n; i++) {
        xensim_vcpu_select(i);
        if (status[i] == XENSIM_OK) {
            status[i] = xensim_ioreq_wait(dom, &req[i], ANSWER_MS);
        }
        if (!is_answered(status[i])) {
            lose(side, status[i]);
        }
    }
    xensim_vcpu_select(0);
}

/* Item by item, as the device model does it on Xen. */
static void plain_string(OracleSide *side, const XensimIoreq *req)
{
    uint32_t i;

    for (i = 0; i < req->count; i++) {
        uint64_t gpa = req->data + i * req->size;
        XensimIoreq one = *req;

        one.data = 0;
        one.count = 1;
        one.data_is_ptr = false;
        one.addr += one.type == XENSIM_IOREQ_COPY ? i * req->size : 0;
        if (!one.read) {
            guest_mem_read(side->pc, gpa, &one.data, one.size);
        }
        plain_access(side, &one);
        if (one.read) {
            guest_mem_write(side->pc, gpa, &one.data, one.size);
        }
    }
}

void oracle_at_once(OracleSide *side, XensimIoreq *req, unsigned n)
{
    unsigned i;

    if (side->lost) {
        return;
    }
    if (side->guest) {
        xen_at_once(side, req, n);
        return;
    }
    for (i = 0; i < n; i++) {
        if (req[i].data_is_ptr) {
            plain_string(side, &req[i]);
        } else {
            plain_access(side, &req[i]);
        }
    }
    oracle_side_lost(side);
}

/* ---- one at a time ---- */

static int bus_access(void *opaque, XensimIoreq *req)
{
    OracleSide *side = opaque;
    gint64 start = g_get_monotonic_time();
    uint64_t took;
    int rc;

    if (side->lost) {
        return -ENODEV;
    }
    rc = side->plain ? plain_access(side, req) : xen_access(side, req);
    took = (g_get_monotonic_time() - start) * 1000;
    side->longest_ns = MAX(side->longest_ns, took);
    if (rc && side->plain) {
        oracle_side_lost(side);
    }
    return rc;
}

static int bus_read(void *opaque, uint64_t gpa, void *buf, size_t len)
{
    OracleSide *side = opaque;

    return side->lost ? -ENODEV :
           side->plain ? guest_mem_read(plain_machine_pc(side->plain), gpa,
                                        buf, len)
                       : xensim_read(ts_domain(side->guest), gpa, buf, len);
}

static int bus_write(void *opaque, uint64_t gpa, const void *buf, size_t len)
{
    OracleSide *side = opaque;

    oracle_dirty_known(side, gpa, len);
    return side->lost ? -ENODEV :
           side->plain ? guest_mem_write(plain_machine_pc(side->plain), gpa,
                                         buf, len)
                       : xensim_write(ts_domain(side->guest), gpa, buf, len);
}

const GuestBus oracle_side_bus = {
    .access = bus_access,
    .read = bus_read,
    .write = bus_write,
};
