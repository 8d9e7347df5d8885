/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libxensim.so: what a device model needs of libxenctrl.
 *
 * Other functions of libxenctrl are the real ones, called with a handle that is
 * made here.  Their first hypercall calls xencall_*() in lib-unsimulated.c.
 */
#include "xen-abi.h"

#include <errno.h>
#include <stdlib.h>

#include "lib.h"

struct xc_interface_core {
    /* The real library looks for its own fields and finds zeros. */
    char zeros[4096];
};

XSIM_EXPORT xc_interface *xc_interface_open(xentoollog_logger *logger,
                                            xentoollog_logger *dombuild,
                                            unsigned open_flags)
{
    (void)logger;
    (void)dombuild;
    return xsim_lib_open(XSIM_CALL_xc_interface_open,
                         sizeof(struct xc_interface_core), open_flags);
}

XSIM_EXPORT int xc_interface_close(xc_interface *xch)
{
    free(xch);
    return xsim_lib_result(XSIM_CALL_xc_interface_close, 0, "%s", "");
}

/* Slot with the domain's lock held, or -errno. */
static int enter(unsigned call, uint32_t domid, const XsimGfnSet *set)
{
    XsimView *v = xsim_lib();
    int e = xsim_lib_begin(call, set, NULL);
    int slot;

    if (e) {
        return -e;
    }
    if (xensim_restricted()) {
        /* The file descriptor is /dev/null now. */
        return -ENOTTY;
    }
    slot = xsim_find_dom(v, domid);
    if (slot < 0) {
        return -ESRCH;
    }
    xsim_lock(&xsim_dom(v, slot)->lock);
    return slot;
}

static void leave(int slot)
{
    if (slot >= 0) {
        xsim_unlock(&xsim_dom(xsim_lib(), slot)->lock);
    }
}

/* ---- memory ---- */

XSIM_EXPORT int xc_domain_populate_physmap_exact(
    xc_interface *xch, uint32_t domid, unsigned long nr_extents,
    unsigned int extent_order, unsigned int mem_flags,
    xen_pfn_t *extent_start)
{
    unsigned call = XSIM_CALL_xc_domain_populate_physmap_exact;
    uint64_t size = 1ull << extent_order;
    XsimGfnSet set = { (const uint64_t *)extent_start, 0, nr_extents };
    int slot = enter(call, domid, &set);
    int rc = slot < 0 ? slot : 0;
    unsigned long i = 0;

    (void)xch;
    (void)mem_flags;
    while (!rc && i < nr_extents) {
        uint64_t n = size;
        unsigned long k = 1;

        /* Neighbours at once, so that large pages are used. */
        while (i + k < nr_extents &&
               extent_start[i + k] == extent_start[i] + n) {
            n += size;
            k++;
        }
        if (xsim_p2m_populate(xsim_lib(), slot, extent_start[i], n) != n) {
            rc = -EBUSY; /* what libxenctrl calls it: not all were done */
        }
        i += k;
    }
    leave(slot);
    return xsim_lib_result(call, rc, "dom=%u gfn=0x%llx extents=%lu order=%u",
                           domid, nr_extents ?
                           (unsigned long long)extent_start[0] : 0ull,
                           nr_extents, extent_order);
}

XSIM_EXPORT int xc_domain_decrease_reservation_exact(
    xc_interface *xch, uint32_t domid, unsigned long nr_extents,
    unsigned int extent_order, xen_pfn_t *extent_start)
{
    unsigned call = XSIM_CALL_xc_domain_decrease_reservation_exact;
    XsimGfnSet set = { (const uint64_t *)extent_start, 0, nr_extents };
    int slot = enter(call, domid, &set);
    uint64_t size = 1ull << extent_order;
    int rc = slot < 0 ? slot : 0;
    unsigned long i;

    (void)xch;
    for (i = 0; !rc && i < nr_extents; i++) {
        if (xsim_p2m_depopulate(xsim_lib(), slot, extent_start[i], size) !=
            size) {
            rc = -EINVAL;
        }
    }
    leave(slot);
    return xsim_lib_result(call, rc, "dom=%u extents=%lu order=%u", domid,
                           nr_extents, extent_order);
}

XSIM_EXPORT int xc_domain_add_to_physmap(xc_interface *xch, uint32_t domid,
                                         unsigned int space,
                                         unsigned long idx, xen_pfn_t gpfn)
{
    unsigned call = XSIM_CALL_xc_domain_add_to_physmap;
    XsimGfnSet set = { NULL, idx, 1 };
    XsimPunch punch = { 0, 0, 0 };
    int slot, rc;

    (void)xch;
    if (space != XENMAPSPACE_gmfn) {
        xsim_unsimulated("xc_domain_add_to_physmap of anything but "
                         "XENMAPSPACE_gmfn");
    }
    slot = enter(call, domid, &set);
    rc = slot < 0 ? slot : 0;
    if (!rc) {
        rc = xsim_p2m_move(xsim_lib(), slot, idx, gpfn, &punch);
        xsim_punch_flush(xsim_lib(), &punch);
        xsim_log_add(xsim_dom(xsim_lib(), slot), XENSIM_LOG_RELOCATE, idx,
                     gpfn, 1, -rc);
    }
    leave(slot);
    return xsim_lib_result(call, rc, "dom=%u 0x%lx -> 0x%llx", domid, idx,
                           (unsigned long long)gpfn);
}

/* Its declaration comes only with a macro that asks for old names. */
XSIM_EXPORT int xc_domain_pin_memory_cacheattr(xc_interface *xch,
                                               uint32_t domid,
                                               uint64_t start, uint64_t end,
                                               uint32_t type);

XSIM_EXPORT int xc_domain_pin_memory_cacheattr(xc_interface *xch,
                                               uint32_t domid,
                                               uint64_t start, uint64_t end,
                                               uint32_t type)
{
    unsigned call = XSIM_CALL_xc_domain_pin_memory_cacheattr;
    XsimGfnSet set = { NULL, start, end - start + 1 };
    int slot = enter(call, domid, &set);

    (void)xch;
    if (slot >= 0) {
        xsim_log_add(xsim_dom(xsim_lib(), slot), XENSIM_LOG_CACHEATTR, start,
                     end, type, 0);
    }
    leave(slot);
    return xsim_lib_result(call, slot < 0 ? slot : 0, "dom=%u type=%u",
                           domid, type);
}

/* ---- parameters ---- */

static int param_get(unsigned call, uint32_t domid, uint32_t param,
                     uint64_t *value)
{
    int slot = enter(call, domid, NULL);
    int rc = slot < 0 ? slot : param >= XSIM_HVM_PARAMS ? -EINVAL : 0;

    if (!rc) {
        *value = xsim_dom(xsim_lib(), slot)->hvm_param[param];
    }
    leave(slot);
    return xsim_lib_result(call, rc, "dom=%u param=%u: 0x%llx", domid, param,
                           rc ? 0ull : (unsigned long long)*value);
}

static int param_set(unsigned call, uint32_t domid, uint32_t param,
                     uint64_t value)
{
    int slot = enter(call, domid, NULL);
    int rc = slot < 0 ? slot : param >= XSIM_HVM_PARAMS ? -EINVAL : 0;

    if (!rc) {
        xsim_dom(xsim_lib(), slot)->hvm_param[param] = value;
    }
    leave(slot);
    return xsim_lib_result(call, rc, "dom=%u param=%u value=0x%llx", domid,
                           param, (unsigned long long)value);
}

XSIM_EXPORT int xc_hvm_param_get(xc_interface *handle, uint32_t dom,
                                 uint32_t param, uint64_t *value)
{
    (void)handle;
    return param_get(XSIM_CALL_xc_hvm_param_get, dom, param, value);
}

XSIM_EXPORT int xc_hvm_param_set(xc_interface *handle, uint32_t dom,
                                 uint32_t param, uint64_t value)
{
    (void)handle;
    return param_set(XSIM_CALL_xc_hvm_param_set, dom, param, value);
}

XSIM_EXPORT int xc_get_hvm_param(xc_interface *handle, uint32_t dom,
                                 int param, unsigned long *value)
{
    uint64_t v;
    int rc = param_get(XSIM_CALL_xc_get_hvm_param, dom, param, &v);

    (void)handle;
    if (!rc) {
        *value = v;
    }
    return rc;
}

XSIM_EXPORT int xc_set_hvm_param(xc_interface *handle, uint32_t dom,
                                 int param, unsigned long value)
{
    (void)handle;
    return param_set(XSIM_CALL_xc_set_hvm_param, dom, param, value);
}

XSIM_EXPORT int xc_domain_shutdown(xc_interface *xch, uint32_t domid,
                                   int reason)
{
    unsigned call = XSIM_CALL_xc_domain_shutdown;
    int slot = enter(call, domid, NULL);

    (void)xch;
    if (slot >= 0) {
        xsim_dom(xsim_lib(), slot)->shutdown_reason = reason;
    }
    leave(slot);
    return xsim_lib_result(call, slot < 0 ? slot : 0, "dom=%u reason=%d",
                           domid, reason);
}
