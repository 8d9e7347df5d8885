/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Serves a guest's access as Xen does: finds the ioreq server that claims it,
 * puts the request into the vCPU's slot of the shared page, sends the event,
 * and waits for the event of the answer.
 */
#include "xen-abi.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "host-priv.h"

#define CF8_ENABLED   0x80000000u
#define LOOK_MS       100     /* how often to look whether the DM lives */

/*
 * The byte of ioreq_t that holds the state, as its bitfields lie: state in
 * the low four bits, then data_is_ptr, dir and df.
 */
#define STATE_BYTE    (offsetof(ioreq_t, vp_eport) + 6)
#define STATE_MASK    15u
#define DATA_IS_PTR   16u
#define DIR_READ      32u
#define DIR_DOWN      64u

static __thread unsigned current_vcpu;

void xensim_vcpu_select(unsigned vcpu)
{
    current_vcpu = vcpu;
}

unsigned xensim_vcpu_current(void)
{
    return current_vcpu;
}

const char *xensim_status_str(XensimStatus status)
{
    static const char *const text[] = {
        [XENSIM_OK] = "ok",
        [XENSIM_UNCLAIMED] = "no ioreq server claims it",
        [XENSIM_TIMEOUT] = "the device model did not answer in time",
        [XENSIM_DM_DIED] = "the device model has died",
        [XENSIM_NO_DM] = "no device model has bound the event channel",
        [XENSIM_BUSY] = "the vCPU still waits for an earlier answer",
        [XENSIM_FULL] = "the buffered page is full",
        [XENSIM_BAD] = "no such vCPU, or Xen would not send this",
    };

    return (unsigned)status <= XENSIM_BAD ? text[status] : "?";
}

static ioreq_t *slot_of(XensimDomain *dom, const XsimServer *s, unsigned vcpu)
{
    shared_iopage_t *page = xsim_frame(&dom->sim->v, s->mfn[1]);

    return &page->vcpu_ioreq[vcpu];
}

static uint8_t *state_byte(ioreq_t *slot)
{
    return (uint8_t *)slot + STATE_BYTE;
}

/* ---- routing; the domain's lock is held ---- */

/* Ports 0xcfc-0xcff address a PCI device's register, if 0xcf8 says so. */
static void to_pci(const XsimDom *d, XensimIoreq *req)
{
    if (req->type == XENSIM_IOREQ_PIO && (req->addr & ~3ull) == 0xcfc &&
        d->cf8 & CF8_ENABLED) {
        uint64_t sbdf = d->cf8 >> 8 & 0xffff;

        req->type = XENSIM_IOREQ_PCI_CONFIG;
        req->addr = sbdf << 32 | (d->cf8 & 0xfc) | (req->addr & 3);
    }
}

static int route(const XsimDom *d, const XensimIoreq *req, uint64_t bytes)
{
    uint64_t start = req->addr;
    uint64_t end = start + bytes - 1;
    unsigned kind;
    int id;

    switch (req->type) {
    case XENSIM_IOREQ_PIO:
        kind = XSIM_RANGE_PORT;
        end = start + req->size - 1;
        break;
    case XENSIM_IOREQ_VMPORT:
        kind = XSIM_RANGE_PORT;
        end = start;
        break;
    case XENSIM_IOREQ_COPY:
        kind = XSIM_RANGE_MMIO;
        if (req->df && bytes > req->size) {
            end = start + req->size - 1;
            start = end - bytes + 1;
        }
        break;
    case XENSIM_IOREQ_PCI_CONFIG:
        kind = XSIM_RANGE_PCI;
        start = end = start >> 32;
        break;
    default:
        return -1;
    }
    for (id = XSIM_MAX_SERVERS - 1; id >= 0; id--) {
        const XsimServer *s = &d->server[id];

        if (s->state == XSIM_SERVER_ENABLED &&
            xsim_range_has(s, kind, start, end)) {
            break;
        }
    }
    return id;
}

bool xensim_claimed(XensimDomain *dom, unsigned type, uint64_t addr,
                    uint64_t bytes)
{
    XensimIoreq req = { .type = type, .addr = addr, .size = bytes };
    XsimDom *d = xsim_host_dom(dom);
    int id;

    xsim_lock(&d->lock);
    id = route(d, &req, bytes);
    xsim_unlock(&d->lock);
    return id >= 0;
}

/* ---- one request ---- */

static bool valid(const XsimDom *d, const XensimIoreq *req, uint32_t count)
{
    unsigned max = req->type == XENSIM_IOREQ_PIO ||
                   req->type == XENSIM_IOREQ_PCI_CONFIG ? 4 : 8;

    return current_vcpu < d->vcpus && req->size && req->size <= max &&
           !(req->size & (req->size - 1)) &&
           (count == 1 || req->data_is_ptr);
}

/* Fill the slot of server @id and send the event; the lock is held. */
static XensimStatus post_to(XensimDomain *dom, XensimIoreq *req, int id,
                            uint32_t count)
{
    XsimDom *d = xsim_host_dom(dom);
    XsimServer *s = &d->server[id];
    ioreq_t *slot = slot_of(dom, s, current_vcpu);
    uint32_t port = s->vcpu_port[current_vcpu];
    uint8_t flags = (req->data_is_ptr ? DATA_IS_PTR : 0) |
                    (req->read ? DIR_READ : 0) | (req->df ? DIR_DOWN : 0);

    req->server = id;
    if ((__atomic_load_n(state_byte(slot), __ATOMIC_ACQUIRE) & STATE_MASK) !=
        STATE_IOREQ_NONE) {
        return XENSIM_BUSY;
    }
    if (xsim_port_peer(&dom->sim->v, dom->slot, port) < 0) {
        return XENSIM_NO_DM;
    }
    slot->addr = req->addr;
    slot->data = req->data;
    slot->count = count;
    slot->size = req->size;
    slot->vp_eport = port;
    slot->type = req->type;
    /* An event from before this request must not count as its answer. */
    d->port[port].pending = 0;
    /* Release: the device model reads the rest after it sees READY. */
    __atomic_store_n(state_byte(slot), flags | STATE_IOREQ_READY,
                     __ATOMIC_RELEASE);
    return xsim_port_notify(&dom->sim->v, dom->slot, port) ? XENSIM_NO_DM
                                                           : XENSIM_OK;
}

/*
 * Nobody claims it: a read gives ones, and a write is dropped.  Of a string
 * instruction, each item is ones; Xen passes over items for absent pages.
 */
static void answer_unclaimed(XensimDomain *dom, XensimIoreq *req,
                             uint32_t count)
{
    uint64_t gpa = req->data;
    uint32_t i;

    if (!req->read) {
        return;
    }
    if (!req->data_is_ptr) {
        req->data = UINT64_MAX;
        return;
    }
    for (i = 0; i < count; i++) {
        xensim_fill(dom, gpa, 0xff, req->size);
        gpa = req->df ? gpa - req->size : gpa + req->size;
    }
}

XensimStatus xensim_ioreq_post(XensimDomain *dom, XensimIoreq *req)
{
    XsimDom *d = xsim_host_dom(dom);
    uint32_t count = req->count ? req->count : 1;
    XensimStatus status = XENSIM_BAD;
    int id;

    xsim_lock(&d->lock);
    if (valid(d, req, count)) {
        to_pci(d, req);
        id = route(d, req, (uint64_t)count * req->size);
        status = id < 0 ? XENSIM_UNCLAIMED : post_to(dom, req, id, count);
    }
    xsim_unlock(&d->lock);
    if (status == XENSIM_UNCLAIMED) {
        answer_unclaimed(dom, req, count);
    }
    return status;
}

/* Has the answer come?  Takes it if so. */
static bool answered(XensimDomain *dom, XensimIoreq *req, bool *gone)
{
    XsimDom *d = xsim_host_dom(dom);
    XsimServer *s = &d->server[req->server];
    uint32_t port = s->vcpu_port[current_vcpu];
    bool done = false;
    ioreq_t *slot;
    uint8_t state;

    xsim_lock(&d->lock);
    *gone = s->state == XSIM_SERVER_FREE || !s->mfn[1];
    if (!*gone) {
        slot = slot_of(dom, s, current_vcpu);
        state = __atomic_load_n(state_byte(slot), __ATOMIC_ACQUIRE);
        if ((state & STATE_MASK) == STATE_IORESP_READY &&
            d->port[port].pending) {
            d->port[port].pending = 0;
            if (req->read && !req->data_is_ptr) {
                req->data = slot->data;
                if (req->size < 8) {
                    req->data &= (1ull << 8 * req->size) - 1;
                }
            }
            __atomic_store_n(state_byte(slot), STATE_IOREQ_NONE,
                             __ATOMIC_RELEASE);
            done = true;
        }
    }
    xsim_unlock(&d->lock);
    return done;
}

/* Is the process that bound the vCPU's channel still there? */
static bool peer_alive(XensimDomain *dom, uint32_t port)
{
    XsimView *v = &dom->sim->v;
    int proc = xsim_port_peer(v, dom->slot, port);

    return proc >= 0 && xsim_pid_alive(atomic_load(&v->h->proc[proc].pid),
                                       v->h->proc[proc].start_time);
}

XensimStatus xensim_ioreq_wait(XensimDomain *dom, XensimIoreq *req,
                               unsigned timeout_ms)
{
    XsimDom *d = xsim_host_dom(dom);
    uint64_t end = xsim_now_ms() + timeout_ms;
    uint64_t look = end - timeout_ms + LOOK_MS;
    uint32_t port;

    if (current_vcpu >= d->vcpus || req->server >= XSIM_MAX_SERVERS) {
        return XENSIM_BAD;
    }
    port = d->server[req->server].vcpu_port[current_vcpu];
    for (;;) {
        uint32_t seq = atomic_load(&d->port[port].seq);
        uint64_t now;
        bool gone;

        if (answered(dom, req, &gone)) {
            return XENSIM_OK;
        }
        now = xsim_now_ms();
        /* Looking at /proc is slow: not before it has had time to answer. */
        if (gone || (now >= look && !peer_alive(dom, port))) {
            /* Its last act may have been the answer. */
            return !gone && answered(dom, req, &gone) ? XENSIM_OK
                                                      : XENSIM_DM_DIED;
        }
        if (now >= end) {
            return XENSIM_TIMEOUT;
        }
        look = now + LOOK_MS;
        xsim_futex_wait(&d->port[port].seq, seq,
                        end - now < LOOK_MS ? end - now : LOOK_MS);
    }
}

/* To every enabled server, one after the other. */
static XensimStatus broadcast(XensimDomain *dom, XensimIoreq *req)
{
    XsimDom *d = xsim_host_dom(dom);
    XensimStatus status = XENSIM_OK;
    int id;

    for (id = XSIM_MAX_SERVERS - 1; id >= 0 && status == XENSIM_OK; id--) {
        XensimIoreq one = *req;
        bool there;

        xsim_lock(&d->lock);
        there = d->server[id].state == XSIM_SERVER_ENABLED;
        if (there) {
            status = current_vcpu < d->vcpus ? post_to(dom, &one, id, 1)
                                             : XENSIM_BAD;
        }
        xsim_unlock(&d->lock);
        if (there && status == XENSIM_OK) {
            status = xensim_ioreq_wait(dom, &one, dom->sim->timeout_ms);
        }
        req->server = id;
    }
    return status;
}

static XensimStatus buffer_locked(XensimDomain *dom, int id,
                                  const XensimIoreq *req)
{
    XsimServer *s = &xsim_host_dom(dom)->server[id];
    unsigned slots = req->size == 8 ? 2 : 1;
    uint32_t rd, wr;
    uint64_t mfn;
    buf_ioreq_t b = {
        .type = req->type,
        .dir = IOREQ_WRITE,
        .size = req->size == 8 ? 3 : req->size == 4 ? 2 : req->size - 1,
        .addr = req->addr,
        .data = req->data,
    };
    buffered_iopage_t *page;

    mfn = s->bufioreq ? xsim_server_frame(&dom->sim->v, dom->slot, id, 0)
                      : XENSIM_NO_MFN;
    if (mfn == XENSIM_NO_MFN) {
        return XENSIM_BAD;
    }
    page = xsim_frame(&dom->sim->v, mfn);
    wr = page->write_pointer;
    rd = __atomic_load_n(&page->read_pointer, __ATOMIC_ACQUIRE);
    if (wr - rd > IOREQ_BUFFER_SLOT_NUM - slots) {
        return XENSIM_FULL;
    }
    page->buf_ioreq[wr % IOREQ_BUFFER_SLOT_NUM] = b;
    if (slots == 2) {
        b.data = req->data >> 32;
        page->buf_ioreq[(wr + 1) % IOREQ_BUFFER_SLOT_NUM] = b;
    }
    /* Release: the slots are written before the pointer says so. */
    __atomic_fetch_add(&page->write_pointer, slots, __ATOMIC_RELEASE);
    /*
     * The slot is the pointer modulo 511, which does not survive a wrap at
     * 2^32; so both are brought down together, as Xen does.
     */
    while (s->bufioreq == HVM_IOREQSRV_BUFIOREQ_ATOMIC &&
           __atomic_load_n(&page->read_pointer, __ATOMIC_ACQUIRE) >=
           IOREQ_BUFFER_SLOT_NUM) {
        union {
            struct {
                uint32_t rd, wr;
            };
            uint64_t full;
        } old, new;

        old.full = __atomic_load_n((uint64_t *)page, __ATOMIC_ACQUIRE);
        new.rd = old.rd - old.rd / IOREQ_BUFFER_SLOT_NUM *
                 IOREQ_BUFFER_SLOT_NUM;
        new.wr = old.wr - old.rd / IOREQ_BUFFER_SLOT_NUM *
                 IOREQ_BUFFER_SLOT_NUM;
        __atomic_compare_exchange_n((uint64_t *)page, &old.full, new.full,
                                    false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE);
    }
    xsim_port_notify(&dom->sim->v, dom->slot, s->buf_port);
    return XENSIM_OK;
}

XensimStatus xensim_buffered_write(XensimDomain *dom, bool port,
                                   uint64_t addr, unsigned size, uint64_t val)
{
    XensimIoreq req = {
        .type = port ? XENSIM_IOREQ_PIO : XENSIM_IOREQ_COPY,
        .addr = addr, .size = size, .data = val,
    };
    XsimDom *d = xsim_host_dom(dom);
    XensimStatus status = XENSIM_BAD;
    int id;

    xsim_lock(&d->lock);
    if (addr < 0x100000 && valid(d, &req, 1)) {
        id = route(d, &req, size);
        status = id < 0 ? XENSIM_UNCLAIMED : buffer_locked(dom, id, &req);
    }
    xsim_unlock(&d->lock);
    return status;
}

static XensimStatus broadcast_buffered(XensimDomain *dom,
                                       const XensimIoreq *req)
{
    XsimDom *d = xsim_host_dom(dom);
    XensimStatus status = XENSIM_OK;
    int id;

    xsim_lock(&d->lock);
    for (id = XSIM_MAX_SERVERS - 1; id >= 0; id--) {
        XsimServer *s = &d->server[id];

        if (s->state == XSIM_SERVER_ENABLED && s->bufioreq &&
            buffer_locked(dom, id, req) != XENSIM_OK) {
            status = XENSIM_FULL;
        }
    }
    xsim_unlock(&d->lock);
    return status;
}

uint64_t xensim_count_invalidates(XensimDomain *dom)
{
    return dom->invalidates;
}

XensimStatus xensim_ioreq(XensimDomain *dom, XensimIoreq *req)
{
    XensimStatus status;

    if (req->type == XENSIM_IOREQ_INVALIDATE) {
        req->size = 4;
        req->read = false;
        req->data = UINT64_MAX;
        status = broadcast(dom, req);
        dom->invalidates += status == XENSIM_OK;
        return status;
    }
    if (req->type == XENSIM_IOREQ_TIMEOFFSET) {
        req->size = 8;
        return broadcast_buffered(dom, req);
    }
    status = xensim_ioreq_post(dom, req);
    return status != XENSIM_OK ? status :
           xensim_ioreq_wait(dom, req, dom->sim->timeout_ms);
}
