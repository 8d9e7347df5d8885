/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libxensim.so: libxendevicemodel, all but memory (lib-dm-memory.c).
 */
#include "xen-abi.h"

#include <errno.h>
#include <stdlib.h>

#include <xendevicemodel.h>

#include "lib.h"
#include "lib-dm.h"

XSIM_EXPORT xendevicemodel_handle *
xendevicemodel_open(struct xentoollog_logger *logger, unsigned int flags)
{
    (void)logger;
    return xsim_lib_open(XSIM_CALL_xendevicemodel_open,
                         sizeof(struct xendevicemodel_handle), flags);
}

XSIM_EXPORT int xendevicemodel_close(xendevicemodel_handle *dmod)
{
    free(dmod);
    return xsim_lib_result(XSIM_CALL_xendevicemodel_close, 0, "%s", "");
}

XSIM_EXPORT int xendevicemodel_restrict(xendevicemodel_handle *dmod,
                                        domid_t domid)
{
    return xsim_lib_restrict_handle(XSIM_CALL_xendevicemodel_restrict,
                                    &dmod->restricted, domid);
}

int xsim_dm_enter(xendevicemodel_handle *h, unsigned call, uint32_t domid,
                  const XsimGfnSet *set)
{
    XsimView *v = xsim_lib();
    int e = xsim_lib_begin(call, set, NULL);
    int slot;

    if (e) {
        return -e;
    }
    if (!xsim_lib_may(h->restricted, domid)) {
        return -EPERM;
    }
    slot = xsim_find_dom(v, domid);
    if (slot < 0) {
        return -ESRCH;
    }
    xsim_lock(&xsim_dom(v, slot)->lock);
    return slot;
}

void xsim_dm_leave(int slot)
{
    if (slot >= 0) {
        xsim_unlock(&xsim_dom(xsim_lib(), slot)->lock);
    }
}

/* ---- ioreq servers ---- */

/* The server, or NULL: -ENOENT. */
static XsimServer *server_of(int slot, unsigned id)
{
    XsimServer *s;

    if (id >= XSIM_MAX_SERVERS) {
        return NULL;
    }
    s = &xsim_dom(xsim_lib(), slot)->server[id];
    return s->state != XSIM_SERVER_FREE ? s : NULL;
}

XSIM_EXPORT int xendevicemodel_create_ioreq_server(
    xendevicemodel_handle *dmod, domid_t domid, int handle_bufioreq,
    ioservid_t *id)
{
    unsigned call = XSIM_CALL_xendevicemodel_create_ioreq_server;
    int slot = xsim_dm_enter(dmod, call, domid, NULL);
    int rc = slot;

    if (slot >= 0) {
        rc = handle_bufioreq < HVM_IOREQSRV_BUFIOREQ_OFF ||
             handle_bufioreq > HVM_IOREQSRV_BUFIOREQ_ATOMIC ? -EINVAL :
             xsim_server_create(xsim_lib(), slot, handle_bufioreq,
                                xsim_lib_proc());
    }
    xsim_dm_leave(slot);
    if (rc >= 0) {
        *id = rc;
        rc = 0;
    }
    return xsim_lib_result(call, rc, "dom=%u bufioreq=%d: id=%d", domid,
                           handle_bufioreq, rc ? -1 : *id);
}

XSIM_EXPORT int xendevicemodel_get_ioreq_server_info(
    xendevicemodel_handle *dmod, domid_t domid, ioservid_t id,
    xen_pfn_t *ioreq_gfn, xen_pfn_t *bufioreq_gfn,
    evtchn_port_t *bufioreq_port)
{
    unsigned call = XSIM_CALL_xendevicemodel_get_ioreq_server_info;
    int slot = xsim_dm_enter(dmod, call, domid, NULL);
    XsimServer *s = slot >= 0 ? server_of(slot, id) : NULL;
    int rc = slot < 0 ? slot : s ? 0 : -ENOENT;
    uint64_t gfn = 0;

    if (!rc && ioreq_gfn) {
        rc = xsim_server_show(xsim_lib(), slot, id, 1, &gfn);
        *ioreq_gfn = gfn;
    }
    if (!rc && bufioreq_gfn && s->bufioreq) {
        rc = xsim_server_show(xsim_lib(), slot, id, 0, &gfn);
        *bufioreq_gfn = gfn;
    }
    if (!rc && bufioreq_port && s->bufioreq) {
        *bufioreq_port = s->buf_port;
    }
    xsim_dm_leave(slot);
    return xsim_lib_result(call, rc, "dom=%u id=%u gfns=%s", domid, id,
                           ioreq_gfn || bufioreq_gfn ? "yes" : "no");
}

static int range_op(xendevicemodel_handle *dmod, unsigned call, domid_t domid,
                    ioservid_t id, bool add, unsigned kind, uint64_t start,
                    uint64_t end)
{
    int slot = xsim_dm_enter(dmod, call, domid, NULL);
    XsimServer *s = slot >= 0 ? server_of(slot, id) : NULL;
    int rc = slot < 0 ? slot : s ? 0 : -ENOENT;

    if (!rc) {
        rc = add ? xsim_range_add(s, kind, start, end)
                 : xsim_range_remove(s, kind, start, end);
    }
    xsim_dm_leave(slot);
    return xsim_lib_result(call, rc, "dom=%u id=%u kind=%u 0x%llx-0x%llx",
                           domid, id, kind, (unsigned long long)start,
                           (unsigned long long)end);
}

XSIM_EXPORT int xendevicemodel_map_io_range_to_ioreq_server(
    xendevicemodel_handle *dmod, domid_t domid, ioservid_t id, int is_mmio,
    uint64_t start, uint64_t end)
{
    return range_op(dmod,
                    XSIM_CALL_xendevicemodel_map_io_range_to_ioreq_server,
                    domid, id, true,
                    is_mmio ? XSIM_RANGE_MMIO : XSIM_RANGE_PORT, start, end);
}

XSIM_EXPORT int xendevicemodel_unmap_io_range_from_ioreq_server(
    xendevicemodel_handle *dmod, domid_t domid, ioservid_t id, int is_mmio,
    uint64_t start, uint64_t end)
{
    return range_op(dmod,
                    XSIM_CALL_xendevicemodel_unmap_io_range_from_ioreq_server,
                    domid, id, false,
                    is_mmio ? XSIM_RANGE_MMIO : XSIM_RANGE_PORT, start, end);
}

/* @bus: the segment above, the bus above a device and function. */
static int pci_op(xendevicemodel_handle *dmod, unsigned call, domid_t domid,
                  ioservid_t id, bool add, uint64_t bus, uint8_t device,
                  uint8_t function)
{
    uint64_t n = bus | device << 3 | function;

    if (device > 31 || function > 7) {
        errno = EINVAL;
        return -1;
    }
    return range_op(dmod, call, domid, id, add, XSIM_RANGE_PCI, n, n);
}

XSIM_EXPORT int xendevicemodel_map_pcidev_to_ioreq_server(
    xendevicemodel_handle *dmod, domid_t domid, ioservid_t id,
    uint16_t segment, uint8_t bus, uint8_t device, uint8_t function)
{
    return pci_op(dmod, XSIM_CALL_xendevicemodel_map_pcidev_to_ioreq_server,
                  domid, id, true, (uint64_t)segment << 16 | bus << 8, device,
                  function);
}

XSIM_EXPORT int xendevicemodel_unmap_pcidev_from_ioreq_server(
    xendevicemodel_handle *dmod, domid_t domid, ioservid_t id,
    uint16_t segment, uint8_t bus, uint8_t device, uint8_t function)
{
    return pci_op(dmod,
                  XSIM_CALL_xendevicemodel_unmap_pcidev_from_ioreq_server,
                  domid, id, false, (uint64_t)segment << 16 | bus << 8,
                  device, function);
}

XSIM_EXPORT int xendevicemodel_destroy_ioreq_server(
    xendevicemodel_handle *dmod, domid_t domid, ioservid_t id)
{
    unsigned call = XSIM_CALL_xendevicemodel_destroy_ioreq_server;
    int slot = xsim_dm_enter(dmod, call, domid, NULL);
    int rc = slot < 0 ? slot : server_of(slot, id) ? 0 : -ENOENT;

    if (!rc) {
        xsim_server_destroy(xsim_lib(), slot, id);
    }
    xsim_dm_leave(slot);
    return xsim_lib_result(call, rc, "dom=%u id=%u", domid, id);
}

XSIM_EXPORT int xendevicemodel_set_ioreq_server_state(
    xendevicemodel_handle *dmod, domid_t domid, ioservid_t id, int enabled)
{
    unsigned call = XSIM_CALL_xendevicemodel_set_ioreq_server_state;
    int slot = xsim_dm_enter(dmod, call, domid, NULL);
    int rc = slot < 0 ? slot : server_of(slot, id) ? 0 : -ENOENT;

    if (!rc) {
        xsim_server_enable(xsim_lib(), slot, id, enabled);
    }
    xsim_dm_leave(slot);
    return xsim_lib_result(call, rc, "dom=%u id=%u enabled=%d", domid, id,
                           enabled);
}

/* ---- interrupts ---- */

static void set_level(uint8_t *level, uint32_t *edges, bool on)
{
    *edges += on && !*level;
    *level = on;
}

XSIM_EXPORT int xendevicemodel_set_pci_intx_level(
    xendevicemodel_handle *dmod, domid_t domid, uint16_t segment,
    uint8_t bus, uint8_t device, uint8_t intx, unsigned int level)
{
    unsigned call = XSIM_CALL_xendevicemodel_set_pci_intx_level;
    int slot = xsim_dm_enter(dmod, call, domid, NULL);
    int rc = slot < 0 ? slot : 0;

    if (!rc && (segment || bus || device > 31 || intx > 3 || level > 1)) {
        rc = -EINVAL;
    }
    if (!rc) {
        XsimDom *d = xsim_dom(xsim_lib(), slot);

        set_level(&d->intx_level[device][intx],
                  &d->intx_edges[device][intx], level);
    }
    xsim_dm_leave(slot);
    return xsim_lib_result(call, rc, "dom=%u bus=%u dev=%u pin=%u level=%u",
                           domid, bus, device, intx, level);
}

XSIM_EXPORT int xendevicemodel_set_isa_irq_level(
    xendevicemodel_handle *dmod, domid_t domid, uint8_t irq,
    unsigned int level)
{
    unsigned call = XSIM_CALL_xendevicemodel_set_isa_irq_level;
    int slot = xsim_dm_enter(dmod, call, domid, NULL);
    int rc = slot < 0 ? slot : irq > 15 || level > 1 ? -EINVAL : 0;

    if (!rc) {
        XsimDom *d = xsim_dom(xsim_lib(), slot);

        set_level(&d->isa_level[irq], &d->isa_edges[irq], level);
    }
    xsim_dm_leave(slot);
    return xsim_lib_result(call, rc, "dom=%u irq=%u level=%u", domid, irq,
                           level);
}

XSIM_EXPORT int xendevicemodel_set_irq_level(
    xendevicemodel_handle *dmod, domid_t domid, unsigned int irq,
    unsigned int level)
{
    unsigned call = XSIM_CALL_xendevicemodel_set_irq_level;
    int slot = xsim_dm_enter(dmod, call, domid, NULL);
    int rc = slot < 0 ? slot : irq > 255 || level > 1 ? -EINVAL : 0;

    if (!rc) {
        xsim_dom(xsim_lib(), slot)->gsi_level[irq] = level;
    }
    xsim_dm_leave(slot);
    return xsim_lib_result(call, rc, "dom=%u irq=%u level=%u", domid, irq,
                           level);
}

XSIM_EXPORT int xendevicemodel_set_pci_link_route(
    xendevicemodel_handle *dmod, domid_t domid, uint8_t link, uint8_t irq)
{
    unsigned call = XSIM_CALL_xendevicemodel_set_pci_link_route;
    int slot = xsim_dm_enter(dmod, call, domid, NULL);
    int rc = slot < 0 ? slot : link > 3 || irq > 15 ? -EINVAL : 0;

    if (!rc) {
        xsim_dom(xsim_lib(), slot)->link_route[link] = irq;
    }
    xsim_dm_leave(slot);
    return xsim_lib_result(call, rc, "dom=%u link=%u irq=%u", domid, link,
                           irq);
}

XSIM_EXPORT int xendevicemodel_inject_msi(
    xendevicemodel_handle *dmod, domid_t domid, uint64_t msi_addr,
    uint32_t msi_data)
{
    unsigned call = XSIM_CALL_xendevicemodel_inject_msi;
    int slot = xsim_dm_enter(dmod, call, domid, NULL);

    if (slot >= 0) {
        xsim_log_add(xsim_dom(xsim_lib(), slot), XENSIM_LOG_MSI, msi_addr,
                     msi_data, 0, 0);
    }
    xsim_dm_leave(slot);
    return xsim_lib_result(call, slot < 0 ? slot : 0,
                           "dom=%u addr=0x%llx data=0x%x", domid,
                           (unsigned long long)msi_addr, msi_data);
}

/* ---- the rest ---- */

XSIM_EXPORT int xendevicemodel_shutdown(
    xendevicemodel_handle *dmod, domid_t domid, unsigned int reason)
{
    unsigned call = XSIM_CALL_xendevicemodel_shutdown;
    int slot = xsim_dm_enter(dmod, call, domid, NULL);

    if (slot >= 0) {
        xsim_dom(xsim_lib(), slot)->shutdown_reason = reason;
    }
    xsim_dm_leave(slot);
    return xsim_lib_result(call, slot < 0 ? slot : 0, "dom=%u reason=%u",
                           domid, reason);
}

XSIM_EXPORT int xendevicemodel_nr_vcpus(
    xendevicemodel_handle *dmod, domid_t domid, unsigned int *vcpus)
{
    unsigned call = XSIM_CALL_xendevicemodel_nr_vcpus;
    int slot = xsim_dm_enter(dmod, call, domid, NULL);

    if (slot >= 0) {
        *vcpus = xsim_dom(xsim_lib(), slot)->vcpus;
    }
    xsim_dm_leave(slot);
    return xsim_lib_result(call, slot < 0 ? slot : 0, "dom=%u", domid);
}
