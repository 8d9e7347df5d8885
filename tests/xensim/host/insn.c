/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's CPU: turns its instructions into ioreqs, as Xen's emulator does.
 */
#include "xen-abi.h"

#include "host-priv.h"

#define P2M_TYPE_MMIO_DM HVMMEM_mmio_dm

static const char *type_str(unsigned type)
{
    switch (type) {
    case XENSIM_IOREQ_PIO:
        return "port";
    case XENSIM_IOREQ_COPY:
        return "MMIO";
    case XENSIM_IOREQ_PCI_CONFIG:
        return "PCI configuration";
    case XENSIM_IOREQ_INVALIDATE:
        return "invalidate";
    default:
        return "time offset";
    }
}

/* Do it or fail loudly; false if it did not happen. */
static bool must(XensimDomain *dom, XensimIoreq *req)
{
    XensimStatus status = xensim_ioreq(dom, req);

    if (status == XENSIM_OK || status == XENSIM_UNCLAIMED) {
        return status == XENSIM_OK;
    }
    if (req->read && !req->data_is_ptr) {
        req->data = UINT64_MAX;
    }
    xsim_host_fail(dom->sim, "domain %u, vCPU %u: %s %s at 0x%llx, %u bytes: "
                   "%s (waited up to %u ms)", xensim_domid(dom),
                   xensim_vcpu_current(), type_str(req->type),
                   req->read ? "read" : "write",
                   (unsigned long long)req->addr, req->size,
                   xensim_status_str(status), dom->sim->timeout_ms);
    return false;
}

/* ---- ports ---- */

static void out(XensimDomain *dom, uint16_t port, unsigned size, uint32_t val)
{
    XensimIoreq req = {
        .type = XENSIM_IOREQ_PIO, .addr = port, .size = size, .data = val,
    };

    if (port == 0xcf8 && size == 4) {
        XsimDom *d = xsim_host_dom(dom);

        /* Xen takes note of it and passes it on. */
        xsim_lock(&d->lock);
        d->cf8 = val;
        xsim_unlock(&d->lock);
    }
    must(dom, &req);
}

static uint32_t in(XensimDomain *dom, uint16_t port, unsigned size)
{
    XensimIoreq req = {
        .type = XENSIM_IOREQ_PIO, .addr = port, .size = size, .read = true,
    };

    must(dom, &req);
    return req.data;
}

void xensim_outb(XensimDomain *dom, uint16_t port, uint8_t val)
{
    out(dom, port, 1, val);
}

void xensim_outw(XensimDomain *dom, uint16_t port, uint16_t val)
{
    out(dom, port, 2, val);
}

void xensim_outl(XensimDomain *dom, uint16_t port, uint32_t val)
{
    out(dom, port, 4, val);
}

uint8_t xensim_inb(XensimDomain *dom, uint16_t port)
{
    return in(dom, port, 1);
}

uint16_t xensim_inw(XensimDomain *dom, uint16_t port)
{
    return in(dom, port, 2);
}

uint32_t xensim_inl(XensimDomain *dom, uint16_t port)
{
    return in(dom, port, 4);
}

/*
 * How many of @count items of @size at @addr lie in its page; at least one,
 * since one that crosses is sent alone.
 */
static uint32_t in_page(uint64_t addr, unsigned size, uint32_t count, bool df)
{
    uint64_t off = addr % XENSIM_PAGE_SIZE;
    uint32_t n = df ? off / size + 1 : (XENSIM_PAGE_SIZE - off) / size;

    if (off + size > XENSIM_PAGE_SIZE) {
        n = 1;
    }
    n = n ? n : 1;
    return n < count ? n : count;
}

static uint64_t advance(uint64_t addr, unsigned size, uint32_t n, bool df)
{
    return df ? addr - (uint64_t)n * size : addr + (uint64_t)n * size;
}

static void rep_io(XensimDomain *dom, uint16_t port, uint64_t gpa,
                   unsigned size, uint32_t count, bool df, bool read)
{
    while (count) {
        uint32_t n = in_page(gpa, size, count, df);
        XensimIoreq req = {
            .type = XENSIM_IOREQ_PIO, .addr = port, .data = gpa, .count = n,
            .size = size, .read = read, .data_is_ptr = true, .df = df,
        };

        must(dom, &req);
        gpa = advance(gpa, size, n, df);
        count -= n;
    }
}

void xensim_rep_ins(XensimDomain *dom, uint16_t port, uint64_t gpa,
                    unsigned size, uint32_t count, bool df)
{
    rep_io(dom, port, gpa, size, count, df, true);
}

void xensim_rep_outs(XensimDomain *dom, uint16_t port, uint64_t gpa,
                     unsigned size, uint32_t count, bool df)
{
    rep_io(dom, port, gpa, size, count, df, false);
}

/* ---- memory-mapped ---- */

static bool is_ram(XensimDomain *dom, uint64_t gpa)
{
    XsimDom *d = xsim_host_dom(dom);
    uint64_t e;

    xsim_lock(&d->lock);
    e = xsim_p2m_get(&dom->sim->v, dom->slot, gpa >> XENSIM_PAGE_SHIFT);
    xsim_unlock(&d->lock);
    return e && XSIM_P2M_TYPE(e) != P2M_TYPE_MMIO_DM;
}

uint64_t xensim_mmio_read(XensimDomain *dom, uint64_t gpa, unsigned size)
{
    XensimIoreq req = {
        .type = XENSIM_IOREQ_COPY, .addr = gpa, .size = size, .read = true,
    };
    uint64_t val = 0;

    if (is_ram(dom, gpa) && !xensim_read(dom, gpa, &val, size)) {
        return val;
    }
    must(dom, &req);
    return size < 8 ? req.data & ((1ull << 8 * size) - 1) : req.data;
}

void xensim_mmio_write(XensimDomain *dom, uint64_t gpa, unsigned size,
                       uint64_t val)
{
    XensimIoreq req = {
        .type = XENSIM_IOREQ_COPY, .addr = gpa, .size = size, .data = val,
    };

    if (!is_ram(dom, gpa) || xensim_write(dom, gpa, &val, size)) {
        must(dom, &req);
    }
}

void xensim_mmio_copy(XensimDomain *dom, uint64_t mmio, uint64_t ram,
                      unsigned size, uint32_t count, bool read, bool df)
{
    while (count) {
        uint32_t n = in_page(mmio, size, in_page(ram, size, count, df), df);
        XensimIoreq req = {
            .type = XENSIM_IOREQ_COPY, .addr = mmio, .data = ram, .count = n,
            .size = size, .read = read, .data_is_ptr = true, .df = df,
        };

        must(dom, &req);
        mmio = advance(mmio, size, n, df);
        ram = advance(ram, size, n, df);
        count -= n;
    }
}

/* ---- PCI configuration space ---- */

static uint32_t cf8(unsigned bus, unsigned devfn, unsigned reg)
{
    return 0x80000000u | (bus & 0xff) << 16 | (devfn & 0xff) << 8 |
           (reg & 0xfc);
}

uint32_t xensim_pci_read(XensimDomain *dom, unsigned bus, unsigned devfn,
                         unsigned reg, unsigned size)
{
    out(dom, 0xcf8, 4, cf8(bus, devfn, reg));
    return in(dom, 0xcfc + (reg & 3), size) &
           (size < 4 ? (1u << 8 * size) - 1 : 0xffffffffu);
}

void xensim_pci_write(XensimDomain *dom, unsigned bus, unsigned devfn,
                      unsigned reg, unsigned size, uint32_t val)
{
    out(dom, 0xcf8, 4, cf8(bus, devfn, reg));
    out(dom, 0xcfc + (reg & 3), size, val);
}

/* ---- Xen's own ---- */

void xensim_invalidate(XensimDomain *dom)
{
    XensimIoreq req = { .type = XENSIM_IOREQ_INVALIDATE };

    must(dom, &req);
}

void xensim_timeoffset(XensimDomain *dom, int64_t seconds)
{
    XensimIoreq req = {
        .type = XENSIM_IOREQ_TIMEOFFSET, .data = seconds,
    };

    must(dom, &req);
}

/* ---- ballooning ---- */

uint64_t xensim_balloon_out(XensimDomain *dom, uint64_t gfn, uint64_t n)
{
    uint64_t done = xensim_depopulate(dom, gfn, n);

    xensim_invalidate(dom);
    return done;
}

uint64_t xensim_balloon_in(XensimDomain *dom, uint64_t gfn, uint64_t n)
{
    uint64_t done = xensim_populate(dom, gfn, n);

    xensim_invalidate(dom);
    return done;
}
