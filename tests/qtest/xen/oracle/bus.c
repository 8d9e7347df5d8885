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

static int xen_access(OracleSide *side, XensimIoreq *req)
{
    XensimDomain *dom = oracle_domain(side);
    XensimStatus status;

    if (req->type == XENSIM_IOREQ_COPY &&
        xensim_gfn_to_mfn(dom, req->addr / ORACLE_PAGE) != XENSIM_NO_MFN) {
        return xen_memory(side, req);
    }
    status = xensim_ioreq(dom, req);
    if (status == XENSIM_OK || status == XENSIM_UNCLAIMED) {
        return 0;
    }
    g_clear_error(&side->lost);
    if (ts_alive(side->guest, NULL, &side->lost)) {
        g_set_error(&side->lost, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                    "no answer: %s", xensim_status_str(status));
    }
    return -ENODEV;
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
