/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libxensim.so: libxengnttab, for using what a guest has granted.
 */
#include "xen-abi.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xen/grant_table.h>
#include <xengnttab.h>

#include "lib.h"

struct xengntdev_handle {
    uint32_t max_grants;     /* taken note of; Linux has no limit here */
};

XSIM_EXPORT xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger,
                                             unsigned open_flags)
{
    (void)logger;
    return xsim_lib_open(XSIM_CALL_xengnttab_open,
                         sizeof(struct xengntdev_handle), open_flags);
}

XSIM_EXPORT int xengnttab_close(xengnttab_handle *xgt)
{
    free(xgt);
    return xsim_lib_result(XSIM_CALL_xengnttab_close, 0, "%s", "");
}

XSIM_EXPORT int xengnttab_set_max_grants(xengnttab_handle *xgt,
                                         uint32_t nr_grants)
{
    int e = xsim_lib_begin(XSIM_CALL_xengnttab_set_max_grants, NULL, NULL);

    xgt->max_grants = nr_grants;
    return xsim_lib_result(XSIM_CALL_xengnttab_set_max_grants, -e, "n=%u",
                           nr_grants);
}

/* Frame behind a reference, its domain's lock held: GNTST_*. */
static int grant_frame(XsimView *v, int slot, uint32_t ref, bool write,
                       uint64_t *gfn, uint64_t *mfn)
{
    XsimGrant *g;
    uint64_t e;

    if (ref >= XSIM_MAX_GRANTS) {
        return GNTST_bad_gntref;
    }
    g = &xsim_dom(v, slot)->grant[ref];
    /* Xen does not tell these apart: the entry's flags are not as needed. */
    if (!g->in_use || g->to != 0 || (write && g->readonly)) {
        return GNTST_general_error;
    }
    e = xsim_p2m_get(v, slot, g->gfn);
    if (!e) {
        return GNTST_bad_page;
    }
    *gfn = g->gfn;
    *mfn = XSIM_P2M_MFN(e);
    return GNTST_okay;
}

/* Hold the frame of one reference in @map; the library says EINVAL. */
static int hold_grant(XsimView *v, uint32_t map, uint32_t domid, uint32_t ref,
                      bool write)
{
    int slot = xsim_find_dom(v, domid);
    uint64_t gfn, mfn;
    int rc = -EINVAL;
    XsimDom *d;

    if (slot < 0) {
        return rc;
    }
    d = xsim_dom(v, slot);
    xsim_lock(&d->lock);
    if (grant_frame(v, slot, ref, write, &gfn, &mfn) == GNTST_okay) {
        rc = xsim_map_add(v, xsim_lib_proc(), map, slot, gfn, mfn, 1, ref);
        if (!rc) {
            d->grant[ref].maps++;
        }
    }
    xsim_unlock(&d->lock);
    return rc;
}

/* @same: all from domids[0]. */
static void *map_grants(unsigned call, uint32_t count, const uint32_t *domids,
                        bool same, const uint32_t *refs, int prot)
{
    XsimMapHow how = { NULL, prot, 0, count };
    XsimView *v = xsim_lib();
    int saved_errno = errno;
    unsigned mmaps = 0;
    uint32_t map = 0;
    void *p = NULL;
    uint32_t i;
    int e = xsim_lib_begin(call, NULL, NULL);

    if (!e && xensim_restricted()) {
        e = ENOTTY;
    }
    if (!e && !count) {
        e = EINVAL;
    }
    if (!e) {
        map = xsim_map_new(v, xsim_lib_proc(), XSIM_MAP_GRANT);
        e = map ? 0 : ENOMEM;
    }
    if (!e) {
        xsim_map(v, xsim_lib_proc(), map)->writable = prot & PROT_WRITE;
    }
    for (i = 0; !e && i < count; i++) {
        e = -hold_grant(v, map, domids[same ? 0 : i], refs[i],
                        prot & PROT_WRITE);
    }
    if (!e) {
        p = xsim_lib_show(v, map, &how, NULL, &mmaps);
        e = p ? 0 : errno;
    } else if (map) {
        xsim_map_drop(v, xsim_lib_proc(), map);
    }
    xsim_lib_end(call, count, mmaps, e, "dom=%u ref=%u count=%u prot=%d: %p",
                 count ? domids[0] : 0, count ? refs[0] : 0, count, prot, p);
    errno = e ? e : saved_errno;
    return p;
}

XSIM_EXPORT void *xengnttab_map_grant_ref(xengnttab_handle *xgt,
                                          uint32_t domid, uint32_t ref,
                                          int prot)
{
    (void)xgt;
    return map_grants(XSIM_CALL_xengnttab_map_grant_ref, 1, &domid, true,
                      &ref, prot);
}

XSIM_EXPORT void *xengnttab_map_grant_refs(xengnttab_handle *xgt,
                                           uint32_t count, uint32_t *domids,
                                           uint32_t *refs, int prot)
{
    (void)xgt;
    return map_grants(XSIM_CALL_xengnttab_map_grant_refs, count, domids,
                      false, refs, prot);
}

XSIM_EXPORT void *xengnttab_map_domain_grant_refs(xengnttab_handle *xgt,
                                                  uint32_t count,
                                                  uint32_t domid,
                                                  uint32_t *refs, int prot)
{
    (void)xgt;
    return map_grants(XSIM_CALL_xengnttab_map_domain_grant_refs, count,
                      &domid, true, refs, prot);
}

XSIM_EXPORT int xengnttab_unmap(xengnttab_handle *xgt, void *start_address,
                                uint32_t count)
{
    unsigned call = XSIM_CALL_xengnttab_unmap;
    XsimView *v = xsim_lib();
    XsimProc *p = &v->h->proc[xsim_lib_proc()];
    uint64_t addr = (uintptr_t)start_address;
    uint32_t map;
    int e = xsim_lib_begin(call, NULL, NULL);

    (void)xgt;
    if (!e && xensim_restricted()) {
        e = ENOTTY;
    }
    if (!e) {
        xsim_lock(&p->lock);
        map = xsim_map_find(v, xsim_lib_proc(), addr, addr + 1);
        if (!map || xsim_map(v, xsim_lib_proc(), map)->addr != addr ||
            xsim_map(v, xsim_lib_proc(), map)->pages != count ||
            xsim_map(v, xsim_lib_proc(), map)->kind != XSIM_MAP_GRANT) {
            e = EINVAL;
        }
        xsim_unlock(&p->lock);
    }
    if (!e && xsim_lib_munmap(start_address,
                              (size_t)count * XENSIM_PAGE_SIZE)) {
        e = errno;
    }
    xsim_lib_end(call, count, 0, e, "addr=%p count=%u", start_address, count);
    errno = e ? e : errno;
    return e ? -1 : 0;
}

/* ---- copying ---- */

/* One side of a segment that is a grant: move bytes to or from @buf. */
static int copy_foreign(XsimView *v, const union xengnttab_copy_ptr *ptr,
                        size_t len, void *buf, bool write)
{
    int slot = xsim_find_dom(v, ptr->foreign.domid);
    uint64_t gfn, mfn;
    int status;
    off_t off;

    if (slot < 0) {
        return GNTST_bad_domain;
    }
    if (ptr->foreign.offset + len > XENSIM_PAGE_SIZE) {
        return GNTST_bad_copy_arg;
    }
    xsim_lock(&xsim_dom(v, slot)->lock);
    status = grant_frame(v, slot, ptr->foreign.ref, write, &gfn, &mfn);
    if (status == GNTST_okay) {
        off = ((off_t)mfn << XENSIM_PAGE_SHIFT) + ptr->foreign.offset;
        if ((write ? pwrite(v->mem_fd, buf, len, off)
                   : pread(v->mem_fd, buf, len, off)) != (ssize_t)len) {
            status = GNTST_general_error;
        }
    }
    xsim_unlock(&xsim_dom(v, slot)->lock);
    return status;
}

static int copy_segment(XsimView *v, xengnttab_grant_copy_segment_t *seg)
{
    unsigned char bounce[XENSIM_PAGE_SIZE];
    void *buf = bounce;
    int status = GNTST_okay;

    if (!(seg->flags & (GNTCOPY_source_gref | GNTCOPY_dest_gref)) ||
        seg->len > XENSIM_PAGE_SIZE) {
        return GNTST_bad_copy_arg;
    }
    if (!(seg->flags & GNTCOPY_dest_gref)) {
        buf = seg->dest.virt;
    }
    if (!(seg->flags & GNTCOPY_source_gref)) {
        buf = seg->source.virt;
    } else {
        status = copy_foreign(v, &seg->source, seg->len, buf, false);
    }
    if (status == GNTST_okay && seg->flags & GNTCOPY_dest_gref) {
        status = copy_foreign(v, &seg->dest, seg->len, buf, true);
    }
    return status;
}

XSIM_EXPORT int xengnttab_grant_copy(xengnttab_handle *xgt, uint32_t count,
                                     xengnttab_grant_copy_segment_t *segs)
{
    XsimView *v = xsim_lib();
    int e = xsim_lib_begin(XSIM_CALL_xengnttab_grant_copy, NULL, NULL);
    uint32_t i;

    (void)xgt;
    if (!e && xensim_restricted()) {
        e = ENOTTY;
    }
    for (i = 0; !e && i < count; i++) {
        segs[i].status = copy_segment(v, &segs[i]);
    }
    return xsim_lib_result(XSIM_CALL_xengnttab_grant_copy, -e, "count=%u",
                           count);
}
