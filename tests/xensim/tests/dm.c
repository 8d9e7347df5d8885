/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "xen-abi.h"

#include "dm.h"

#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>

typedef struct Dm {
    DmShared *s;
    xenforeignmemory_handle *fmem;
    shared_iopage_t *page;
    buffered_iopage_t *buf;
} Dm;

/* One item between guest memory and @item; a page is mapped for each. */
static void guest_item(Dm *dm, uint64_t gpa, void *item, uint32_t size,
                       bool to_guest)
{
    xen_pfn_t gfn = gpa / PAGE;
    int err;
    char *p = xenforeignmemory_map(dm->fmem, dm->s->domid,
                                   PROT_READ | PROT_WRITE, 1, &gfn, &err);

    g_assert(p && !err && gpa % PAGE + size <= PAGE);
    if (to_guest) {
        memcpy(p + gpa % PAGE, item, size);
    } else {
        memcpy(item, p + gpa % PAGE, size);
    }
    xenforeignmemory_unmap(dm->fmem, p, 1);
}

static uint8_t *backing(Dm *dm, const ioreq_t *r, uint64_t addr)
{
    switch (r->type) {
    case IOREQ_TYPE_PIO:
        return &dm->s->ports[addr & 15];
    case IOREQ_TYPE_PCI_CONFIG:
        return &dm->s->pci[addr & 255];
    default:
        return &dm->s->mmio[addr & 4095];
    }
}

static void handle(Dm *dm, ioreq_t *r, unsigned vcpu, bool buffered)
{
    DmShared *s = dm->s;
    DmEvent *e = &s->event[s->events % DM_EVENTS];
    int64_t step = r->df ? -(int64_t)r->size : r->size;
    uint32_t i;

    *e = (DmEvent) {
        .addr = r->addr, .data = r->data, .count = r->count, .size = r->size,
        .type = r->type, .read = r->dir == IOREQ_READ, .ptr = r->data_is_ptr,
        .df = r->df, .buffered = buffered, .vcpu = vcpu,
    };
    if (r->type == IOREQ_TYPE_INVALIDATE) {
        xen_pfn_t gfn = s->watch_gfn;
        void *p = xenforeignmemory_map(dm->fmem, s->domid, PROT_READ, 1, &gfn,
                                       &e->absent);

        xenforeignmemory_unmap(dm->fmem, p, 1);
    } else if (r->type == IOREQ_TYPE_TIMEOFFSET) {
        /* Written down is all. */
    } else if (!r->data_is_ptr && r->dir == IOREQ_READ) {
        r->data = 0xeeeeeeeeeeeeeeee;
        memcpy(&r->data, backing(dm, r, r->addr), r->size);
    } else if (!r->data_is_ptr) {
        memcpy(backing(dm, r, r->addr), &r->data, r->size);
    } else {
        for (i = 0; i < r->count; i++) {
            uint64_t item = r->type == IOREQ_TYPE_PIO ? 0xa0 + i : 0;
            uint64_t addr = r->addr + step * i;
            uint64_t gpa = r->data + step * i;
            bool pio = r->type == IOREQ_TYPE_PIO;

            if (r->dir == IOREQ_READ) {
                if (!pio) {
                    memcpy(&item, backing(dm, r, addr), r->size);
                }
                guest_item(dm, gpa, &item, r->size, true);
            } else {
                item = 0;
                guest_item(dm, gpa, &item, r->size, false);
                s->sum += item;
                if (!pio) {
                    memcpy(backing(dm, r, addr), &item, r->size);
                }
            }
        }
    }
    __atomic_fetch_add(&s->events, 1, __ATOMIC_RELEASE);
}

static void drain(Dm *dm)
{
    for (;;) {
        uint32_t rd = dm->buf->read_pointer;
        uint32_t wr = __atomic_load_n(&dm->buf->write_pointer,
                                      __ATOMIC_ACQUIRE);
        buf_ioreq_t *b = &dm->buf->buf_ioreq[rd % IOREQ_BUFFER_SLOT_NUM];
        ioreq_t r = { .count = 1, .dir = IOREQ_WRITE };

        if (rd != dm->buf->read_pointer) {
            continue;
        }
        if (rd == wr) {
            return;
        }
        r.size = 1u << b->size;
        r.addr = b->addr;
        r.data = b->data;
        r.type = b->type;
        if (r.size == 8) {
            b = &dm->buf->buf_ioreq[(rd + 1) % IOREQ_BUFFER_SLOT_NUM];
            r.data |= (uint64_t)b->data << 32;
        }
        handle(dm, &r, 0, true);
        __atomic_fetch_add(&dm->buf->read_pointer, r.size == 8 ? 2 : 1,
                           __ATOMIC_ACQ_REL);
    }
}

/* Makes an ioreq server, and gives the port of its buffered requests. */
static evtchn_port_t make_server(Dm *dm, xendevicemodel_handle *dmod)
{
    uint32_t domid = dm->s->domid;
    evtchn_port_t buf_port;
    void *addr = NULL;
    ioservid_t id;

    g_assert(!xendevicemodel_create_ioreq_server(
                 dmod, domid, HVM_IOREQSRV_BUFIOREQ_ATOMIC, &id));
    g_assert(xenforeignmemory_map_resource(
                 dm->fmem, domid, XENMEM_resource_ioreq_server, id, 0, 2,
                 &addr, PROT_READ | PROT_WRITE, 0));
    dm->buf = addr;
    dm->page = (void *)((char *)addr + PAGE);
    g_assert(!xendevicemodel_get_ioreq_server_info(dmod, domid, id, NULL,
                                                   NULL, &buf_port));
    g_assert(!xendevicemodel_map_io_range_to_ioreq_server(
                 dmod, domid, id, 0, DM_PORT, DM_PORT + 15));
    g_assert(!xendevicemodel_map_io_range_to_ioreq_server(
                 dmod, domid, id, 1, DM_MMIO, DM_MMIO + 4095));
    g_assert(!xendevicemodel_map_io_range_to_ioreq_server(
                 dmod, domid, id, 1, DM_VGA, DM_VGA + 0x1ffff));
    g_assert(!xendevicemodel_map_pcidev_to_ioreq_server(dmod, domid, id, 0, 0,
                                                        5, 0));
    g_assert(!xendevicemodel_set_ioreq_server_state(dmod, domid, id, 1));
    return buf_port;
}

/* Answers the request of vCPU @v. */
static void answer(Dm *dm, unsigned v)
{
    ioreq_t *r = &dm->page->vcpu_ioreq[v];
    ioreq_t copy;

    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    r->state = STATE_IOREQ_INPROCESS;
    copy = *r;
    if (dm->s->hang) {
        pause();
    }
    handle(dm, &copy, v, false);
    r->data = copy.data;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    r->state = STATE_IORESP_READY;
}

static _Noreturn void serve(Dm *dm)
{
    xenevtchn_handle *xce = xenevtchn_open(NULL, 0);
    xendevicemodel_handle *dmod = xendevicemodel_open(NULL, 0);
    uint32_t domid = dm->s->domid;
    int local[XENSIM_MAX_VCPUS], buf_local, port;
    evtchn_port_t buf_port;
    unsigned vcpus, v;

    dm->fmem = xenforeignmemory_open(NULL, 0);
    g_assert(xce && dmod && dm->fmem);
    buf_port = make_server(dm, dmod);
    g_assert(!xendevicemodel_nr_vcpus(dmod, domid, &vcpus));
    for (v = 0; v < vcpus; v++) {
        local[v] = xenevtchn_bind_interdomain(
            xce, domid, dm->page->vcpu_ioreq[v].vp_eport);
        g_assert(local[v] > 0);
    }
    buf_local = xenevtchn_bind_interdomain(xce, domid, buf_port);
    g_assert(buf_local > 0);
    for (;;) {
        port = xenevtchn_pending(xce);
        g_assert(port > 0);
        xenevtchn_unmask(xce, port);
        drain(dm);
        for (v = 0; v < vcpus && port != buf_local; v++) {
            if (local[v] == port &&
                dm->page->vcpu_ioreq[v].state == STATE_IOREQ_READY) {
                answer(dm, v);
                xenevtchn_notify(xce, port);
            }
        }
    }
}

static void child(void *opaque)
{
    Dm dm = { .s = opaque };

    serve(&dm);
}

pid_t dm_start(XensimDomain *dom, DmShared **shared)
{
    DmShared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid;

    g_assert(s != MAP_FAILED);
    s->domid = xensim_domid(dom);
    pid = start_child(child, s);
    g_assert_cmpint(xensim_wait_ready(dom, 20000), ==, XENSIM_OK);
    *shared = s;
    return pid;
}

void dm_stop(pid_t pid, DmShared *shared)
{
    xensim_kill(sim, pid);
    munmap(shared, sizeof(*shared));
}

DmEvent dm_event(DmShared *shared, unsigned back)
{
    return shared->event[(shared->events - 1 - back) % DM_EVENTS];
}
