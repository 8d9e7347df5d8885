/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's drivers for the simulated Xen: access, memory, PCI. */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pc-int.h"

#define PCI_COMMAND 0x04
#define PCI_HEADER_TYPE 0x0e
#define PCI_MULTI_FUNCTION 0x80
#define PCI_BAR0    0x10

static GuestPc *new_pc(void)
{
    GuestPc *pc = calloc(1, sizeof(*pc));

    if (!pc) {
        abort();
    }
    pc->timeout_ms = 10000;
    return pc;
}

GuestPc *guest_pc_new(XensimDomain *dom)
{
    GuestPc *pc = new_pc();

    pc->dom = dom;
    return pc;
}

GuestPc *guest_pc_new_on(const GuestBus *bus, void *opaque)
{
    GuestPc *pc = new_pc();

    pc->bus = bus;
    pc->opaque = opaque;
    return pc;
}

void guest_pc_free(GuestPc *pc)
{
    if (pc) {
        free(pc->memory);
    }
    free(pc);
}

XensimDomain *guest_pc_domain(const GuestPc *pc)
{
    return pc->dom;
}

const char *guest_pc_error(const GuestPc *pc)
{
    return pc->error;
}

void guest_pc_set_timeout(GuestPc *pc, unsigned ms)
{
    pc->timeout_ms = ms;
}

int guest_pc_fail(GuestPc *pc, int error, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(pc->error, sizeof(pc->error), fmt, ap);
    va_end(ap);
    return -error;
}

/* ---- waiting ---- */

int64_t guest_pc_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* None at first, then ever longer, up to 1 ms. */
void guest_pc_pause(GuestPc *pc, unsigned round)
{
    if (pc->bus && pc->bus->pause) {
        pc->bus->pause(pc->opaque, round);
    } else if (round > 16) {
        long us = round > 200 ? 1000 : 50;
        const struct timespec ts = { 0, us * 1000 };

        nanosleep(&ts, NULL);
    }
}

int guest_pc_poll(GuestPc *pc, GuestPollFn *done, void *opaque,
                  const char *what)
{
    int64_t end = guest_pc_now_ms() + pc->timeout_ms;
    unsigned round;

    for (round = 0;; round++) {
        int rc = done(opaque);

        if (rc) {
            return rc < 0 ? rc : 0;
        }
        if (guest_pc_now_ms() > end) {
            return guest_pc_fail(pc, ETIMEDOUT, "%s: nothing for %u ms",
                                 what, pc->timeout_ms);
        }
        guest_pc_pause(pc, round);
    }
}

/* ---- one ioreq ---- */

static const char *type_name(unsigned type)
{
    return type == XENSIM_IOREQ_PIO ? "port"
           : type == XENSIM_IOREQ_PCI_CONFIG ? "PCI configuration" : "MMIO";
}

int guest_pc_ioreq(GuestPc *pc, XensimIoreq *req)
{
    XensimStatus status;

    if (pc->bus) {
        int rc = pc->bus->access(pc->opaque, req);

        return rc ? guest_pc_fail(pc, -rc, "%s %s 0x%" PRIx64 ", %u bytes: "
                                  "%s", type_name(req->type),
                                  req->read ? "read" : "write", req->addr,
                                  req->size, strerror(-rc)) : 0;
    }
    status = xensim_ioreq(pc->dom, req);
    if (status == XENSIM_OK) {
        return 0;
    }
    if (status == XENSIM_UNCLAIMED) {
        if (req->read) {
            req->data = req->size < 8 ? (1ull << (8 * req->size)) - 1
                                      : UINT64_MAX;
        }
        return 0;
    }
    return guest_pc_fail(pc, status == XENSIM_BAD ? EINVAL : ENODEV,
                         "%s %s 0x%" PRIx64 ", %u bytes: %s",
                         type_name(req->type), req->read ? "read" : "write",
                         req->addr, req->size, xensim_status_str(status));
}

static int access(GuestPc *pc, unsigned type, uint64_t addr, unsigned size,
                  bool read, uint64_t *val)
{
    XensimIoreq req = {
        .type = type, .addr = addr, .size = size, .count = 1, .read = read,
        .data = read ? 0 : *val,
    };
    int rc = guest_pc_ioreq(pc, &req);

    if (read) {
        *val = req.data;
        if (size < 8) {
            *val &= (1ull << (8 * size)) - 1;
        }
    }
    return rc;
}

static int access32(GuestPc *pc, unsigned type, uint64_t addr, unsigned size,
                    bool read, uint32_t *val)
{
    uint64_t wide = *val;
    int rc = access(pc, type, addr, size, read, &wide);

    *val = wide;
    return rc;
}

int guest_in(GuestPc *pc, uint16_t port, unsigned size, uint32_t *val)
{
    *val = 0;
    return access32(pc, XENSIM_IOREQ_PIO, port, size, true, val);
}

int guest_out(GuestPc *pc, uint16_t port, unsigned size, uint32_t val)
{
    return access32(pc, XENSIM_IOREQ_PIO, port, size, false, &val);
}

int guest_mmio_in(GuestPc *pc, uint64_t gpa, unsigned size, uint64_t *val)
{
    return access(pc, XENSIM_IOREQ_COPY, gpa, size, true, val);
}

int guest_mmio_out(GuestPc *pc, uint64_t gpa, unsigned size, uint64_t val)
{
    return access(pc, XENSIM_IOREQ_COPY, gpa, size, false, &val);
}

/* ---- memory ---- */

static int no_memory(GuestPc *pc, int rc, uint64_t gpa, size_t len)
{
    return rc ? guest_pc_fail(pc, -rc, "%zu bytes at 0x%" PRIx64 " are not in "
                              "guest memory", len, gpa) : 0;
}

int guest_mem_read(GuestPc *pc, uint64_t gpa, void *buf, size_t len)
{
    int rc = pc->bus ? pc->bus->read(pc->opaque, gpa, buf, len)
                     : xensim_read(pc->dom, gpa, buf, len);

    return no_memory(pc, rc, gpa, len);
}

int guest_mem_write(GuestPc *pc, uint64_t gpa, const void *buf, size_t len)
{
    int rc = pc->bus ? pc->bus->write(pc->opaque, gpa, buf, len)
                     : xensim_write(pc->dom, gpa, buf, len);

    return no_memory(pc, rc, gpa, len);
}

/* ---- PCI ---- */

int guest_pci_in(GuestPc *pc, unsigned devfn, unsigned reg, unsigned size,
                 uint32_t *val)
{
    *val = 0;
    return access32(pc, XENSIM_IOREQ_PCI_CONFIG, (uint64_t)devfn << 32 | reg,
                    size, true, val);
}

int guest_pci_out(GuestPc *pc, unsigned devfn, unsigned reg, unsigned size,
                  uint32_t val)
{
    return access32(pc, XENSIM_IOREQ_PCI_CONFIG, (uint64_t)devfn << 32 | reg,
                    size, false, &val);
}

/* The function after @devfn that can be there, as its slot's function 0 says. */
static int next_function(GuestPc *pc, unsigned devfn, uint32_t id,
                         unsigned *next)
{
    uint32_t type = 0;
    int rc = 0;

    if (devfn % 8 == 0 && id != UINT32_MAX) {
        rc = guest_pci_in(pc, devfn, PCI_HEADER_TYPE, 1, &type);
    }
    *next = devfn % 8 || type & PCI_MULTI_FUNCTION ? devfn + 1 : devfn + 8;
    return rc;
}

void guest_pci_remember(GuestPc *pc)
{
    free(pc->memory);
    pc->memory = calloc(1, sizeof(*pc->memory));
}

void guest_pci_forget(GuestPc *pc, unsigned devfn)
{
    GuestMemory *m = pc->memory;
    const unsigned first = devfn & ~7u;
    unsigned i, n = 0;

    if (!m) {
        return;
    }
    /* With the same ids, a device after it has another index now. */
    for (i = 0; i < m->n_found; i++) {
        if (m->found[i].devfn < first) {
            m->found[n++] = m->found[i];
        }
    }
    m->n_found = n;
    for (i = first; i < first + 8; i++) {
        memset(m->known[i], 0, sizeof(m->known[i]));
        m->structures[i].known = false;
    }
}

#define NOWHERE     256u        /* devfn of a device that is not there */

static bool recall_device(const GuestPc *pc, uint32_t id, unsigned index,
                          unsigned *devfn)
{
    unsigned i;

    for (i = 0; pc->memory && i < pc->memory->n_found; i++) {
        const GuestFound *f = &pc->memory->found[i];

        if (f->id == id && f->index == index) {
            *devfn = f->devfn;
            return true;
        }
    }
    return false;
}

static void note_device(GuestPc *pc, uint32_t id, unsigned index,
                        unsigned devfn)
{
    GuestMemory *m = pc->memory;

    if (m && m->n_found < sizeof(m->found) / sizeof(m->found[0])) {
        m->found[m->n_found++] = (GuestFound) { id, index, devfn };
    }
}

/* NOWHERE if there is none. */
static int look_for_device(GuestPc *pc, uint32_t wanted, unsigned index,
                           unsigned *devfn)
{
    unsigned i = 0;

    while (i < NOWHERE) {
        uint32_t id;
        int rc = guest_pci_in(pc, i, 0, 4, &id);

        if (!rc && id == wanted && index-- == 0) {
            break;
        }
        rc = rc ?: next_function(pc, i, id, &i);
        if (rc) {
            return rc;
        }
    }
    *devfn = i;
    return 0;
}

int guest_pci_find(GuestPc *pc, uint16_t vendor, uint16_t device,
                   unsigned index, unsigned *devfn)
{
    const uint32_t wanted = (uint32_t)device << 16 | vendor;

    if (!recall_device(pc, wanted, index, devfn)) {
        int rc = look_for_device(pc, wanted, index, devfn);

        if (rc) {
            return rc;
        }
        note_device(pc, wanted, index, *devfn);
    }
    return *devfn < NOWHERE ? 0 :
           guest_pc_fail(pc, ENOENT, "no PCI device %04x:%04x on bus 0",
                         vendor, device);
}

int guest_pci_command(GuestPc *pc, unsigned devfn, uint16_t set,
                      uint16_t clear)
{
    uint32_t val;
    int rc = guest_pci_in(pc, devfn, PCI_COMMAND, 2, &val);

    if (rc) {
        return rc;
    }
    return guest_pci_out(pc, devfn, PCI_COMMAND, 2, (val & ~clear) | set);
}

/* A BAR as it reads: its flags, and its two halves. */
typedef struct Bar {
    unsigned reg;
    bool io, wide;
    uint32_t low, high;
} Bar;

static int bar_read(GuestPc *pc, unsigned devfn, unsigned bar, Bar *b)
{
    int rc;

    if (bar > 5) {
        return guest_pc_fail(pc, EINVAL, "BAR %u: there are 0 to 5", bar);
    }
    b->reg = PCI_BAR0 + 4 * bar;
    b->high = 0;
    rc = guest_pci_in(pc, devfn, b->reg, 4, &b->low);
    if (rc) {
        return rc;
    }
    b->io = b->low & 1;
    b->wide = !b->io && (b->low & 6) == 4 && bar < 5;
    return b->wide ? guest_pci_in(pc, devfn, b->reg + 4, 4, &b->high) : 0;
}

static int bar_write(GuestPc *pc, unsigned devfn, const Bar *b,
                     uint64_t addr)
{
    int rc = guest_pci_out(pc, devfn, b->reg, 4, addr);

    if (!rc && b->wide) {
        rc = guest_pci_out(pc, devfn, b->reg + 4, 4, addr >> 32);
    }
    return rc;
}

static uint64_t bar_addr(const Bar *b)
{
    return b->io ? b->low & ~3u
                 : (uint64_t)b->high << 32 | (b->low & ~15u);
}

static bool recall_size(const GuestPc *pc, unsigned devfn, unsigned bar,
                        uint64_t *bytes)
{
    if (!pc->memory || bar > 5 || !pc->memory->known[devfn][bar]) {
        return false;
    }
    *bytes = pc->memory->bar_bytes[devfn][bar];
    return true;
}

static void note_size(GuestPc *pc, unsigned devfn, unsigned bar,
                      uint64_t bytes)
{
    if (pc->memory) {
        pc->memory->known[devfn][bar] = true;
        pc->memory->bar_bytes[devfn][bar] = bytes;
    }
}

/* With decoding off: the size, and the BAR back as it was. */
static int bar_measure(GuestPc *pc, unsigned devfn, unsigned bar,
                       const Bar *was, uint64_t *bytes)
{
    uint64_t mask;
    Bar ones;
    int rc;

    if (recall_size(pc, devfn, bar, bytes)) {
        return 0;
    }
    rc = bar_write(pc, devfn, was, UINT64_MAX);

    if (!rc) {
        rc = bar_read(pc, devfn, bar, &ones);
    }
    if (!rc) {
        rc = bar_write(pc, devfn, was, bar_addr(was));
    }
    if (rc) {
        return rc;
    }
    mask = bar_addr(&ones);
    if (!was->wide && mask) {
        mask |= 0xffffffff00000000ull;
    }
    if (was->io && mask) {
        mask |= 0xffff0000;     /* the upper half may read as zero */
    }
    *bytes = mask ? -mask : 0;
    note_size(pc, devfn, bar, *bytes);
    return 0;
}

int guest_pci_bar_addr(GuestPc *pc, unsigned devfn, unsigned bar,
                       uint64_t *addr)
{
    Bar b;
    int rc = bar_read(pc, devfn, bar, &b);

    *addr = rc ? 0 : bar_addr(&b);
    return rc;
}

int guest_pci_bar_size(GuestPc *pc, unsigned devfn, unsigned bar,
                       uint64_t *bytes)
{
    uint32_t command;
    Bar b;
    int rc;

    if (recall_size(pc, devfn, bar, bytes)) {
        return 0;
    }
    rc = bar_read(pc, devfn, bar, &b);
    *bytes = 0;
    if (!rc) {
        rc = guest_pci_in(pc, devfn, PCI_COMMAND, 2, &command);
    }
    if (!rc) {
        rc = guest_pci_command(pc, devfn, 0, GUEST_PCI_IO | GUEST_PCI_MEMORY);
    }
    if (!rc) {
        rc = bar_measure(pc, devfn, bar, &b, bytes);
    }
    if (!rc) {
        rc = guest_pci_out(pc, devfn, PCI_COMMAND, 2, command);
    }
    return rc;
}

int guest_pci_place_bar(GuestPc *pc, unsigned devfn, unsigned bar,
                        uint64_t addr)
{
    const uint16_t decode = GUEST_PCI_IO | GUEST_PCI_MEMORY;
    uint32_t command;
    uint64_t bytes;
    Bar b;
    int rc = bar_read(pc, devfn, bar, &b);

    if (!rc) {
        rc = guest_pci_in(pc, devfn, PCI_COMMAND, 2, &command);
    }
    if (!rc) {
        rc = guest_pci_out(pc, devfn, PCI_COMMAND, 2, command & ~decode);
    }
    if (!rc) {
        rc = bar_measure(pc, devfn, bar, &b, &bytes);
    }
    if (rc) {
        return rc;
    }
    if (!bytes || addr % bytes || (addr >> 32 && !b.wide)) {
        guest_pci_out(pc, devfn, PCI_COMMAND, 2, command);
        return guest_pc_fail(pc, bytes ? EINVAL : ENOENT,
                             "BAR %u of %02x.%u is 0x%" PRIx64 " bytes; it "
                             "cannot be at 0x%" PRIx64, bar, devfn >> 3,
                             devfn & 7, bytes, addr);
    }
    rc = bar_write(pc, devfn, &b, addr);
    if (!rc) {
        command |= b.io ? GUEST_PCI_IO : GUEST_PCI_MEMORY;
        rc = guest_pci_out(pc, devfn, PCI_COMMAND, 2, command);
    }
    return rc;
}
