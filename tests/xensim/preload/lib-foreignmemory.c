/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libxensim.so: libxenforeignmemory.
 *
 * It answers as the real library and Linux's privcmd answered under Xen 4.17,
 * and as the library's source says:
 *
 *   a frame is absent          its err[] is -EINVAL, the call succeeds
 *   all frames are absent      the same
 *   the domain does not exist  every err[] is -ESRCH, the call succeeds
 *   any of these, no err[]     NULL, errno the first error, target unmapped
 *   the call itself fails      NULL, a fixed target unmapped
 *   target overlaps a part
 *   of another mapping         NULL, ENOMEM, the other mapping unharmed
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "xen-abi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xenforeignmemory.h>

#include "lib.h"

struct xenforeignmemory_handle {
    int restricted;          /* 1 + domid, 0: no */
};

struct xenforeignmemory_resource_handle {
    void *addr;
    size_t pages;
};

XSIM_EXPORT xenforeignmemory_handle *
xenforeignmemory_open(struct xentoollog_logger *logger, unsigned open_flags)
{
    (void)logger;
    return xsim_lib_open(XSIM_CALL_xenforeignmemory_open,
                         sizeof(struct xenforeignmemory_handle), open_flags);
}

XSIM_EXPORT int xenforeignmemory_close(xenforeignmemory_handle *fmem)
{
    if (!fmem) {
        return 0;
    }
    free(fmem);
    return xsim_lib_result(XSIM_CALL_xenforeignmemory_close, 0, "%s", "");
}

XSIM_EXPORT int xenforeignmemory_restrict(xenforeignmemory_handle *fmem,
                                          domid_t domid)
{
    return xsim_lib_restrict_handle(XSIM_CALL_xenforeignmemory_restrict,
                                    &fmem->restricted, domid);
}

/*
 * Look the frames up and hold them.  err[i] stays as it is where it is set
 * already (by a fault), and becomes -EINVAL for an absent frame.  Returns
 * how many are absent, or -ENOMEM.
 */
static int64_t hold_frames(XsimView *v, uint32_t map, unsigned slot,
                           size_t num, const xen_pfn_t *arr, int *err)
{
    XsimDom *d = xsim_dom(v, slot);
    int64_t absent = 0;
    size_t i = 0, end = 0;    /* [i, end): gfns that are neighbours */

    xsim_lock(&d->lock);
    while (i < num) {
        uint64_t mfn, n;

        if (err[i]) {
            absent++;
            i++;
            continue;
        }
        if (end <= i) {
            end = i + 1;
            while (end < num && arr[end] == arr[end - 1] + 1 && !err[end]) {
                end++;
            }
        }
        n = xsim_p2m_run(v, slot, arr[i], end - i, &mfn);
        if (!n) {
            err[i++] = -EINVAL;
            absent++;
            continue;
        }
        if (xsim_map_add(v, xsim_lib_proc(), map, slot, arr[i], mfn, n, 0)) {
            absent = -ENOMEM;
            break;
        }
        i += n;
    }
    xsim_unlock(&d->lock);
    return absent;
}

static int first_error(const int *err, size_t num)
{
    size_t i;

    for (i = 0; i < num; i++) {
        if (err[i]) {
            return -err[i];
        }
    }
    return 0;
}

/* The call, without its record.  @err has @num entries. */
static void *map_frames(xenforeignmemory_handle *fmem, uint32_t dom,
                        const XsimMapHow *how, const xen_pfn_t *arr,
                        int *err, bool caller_err, int fault,
                        unsigned *mmaps)
{
    XsimView *v = xsim_lib();
    int slot = xsim_find_dom(v, dom);
    int64_t absent = how->pages;
    int e = fault;
    uint32_t map = 0;
    size_t i;

    if (!e && !xsim_lib_may(fmem->restricted, dom)) {
        e = EPERM;
    }
    if (!e) {
        map = xsim_map_new(v, xsim_lib_proc(), XSIM_MAP_FOREIGN);
        e = map ? 0 : ENOMEM;
    }
    if (!e) {
        xsim_map(v, xsim_lib_proc(), map)->writable = how->prot & PROT_WRITE;
        if (slot >= 0) {
            absent = hold_frames(v, map, slot, how->pages, arr, err);
        } else {
            for (i = 0; i < how->pages; i++) {
                err[i] = -ESRCH;
            }
        }
        if (absent < 0) {
            e = -absent;
        } else if (absent && !caller_err) {
            e = first_error(err, how->pages);
        }
    }
    if (!e) {
        return xsim_lib_show(v, map, how, absent ? err : NULL, mmaps);
    }
    if (map) {
        xsim_map_drop(v, xsim_lib_proc(), map);
    }
    /* The library's mmap() came first: its refusal is the result then. */
    if (xsim_lib_lose_target(how)) {
        e = ENOMEM;
    }
    errno = e;
    return NULL;
}

static void *map_call(unsigned call, xenforeignmemory_handle *fmem,
                      uint32_t dom, const XsimMapHow *how,
                      const xen_pfn_t *arr, int *err)
{
    int small[512];
    int *errs = err ? err : small;
    unsigned mmaps = 0;
    int saved_errno = errno;
    void *p = NULL;
    int fault;
    XsimGfnSet set = { (const uint64_t *)arr, 0, how->pages };

    static_assert(sizeof(xen_pfn_t) == sizeof(uint64_t), "xen_pfn_t");
    if (!err && how->pages > sizeof(small) / sizeof(small[0])) {
        errs = malloc(how->pages * sizeof(int));
    }
    if (!errs || !how->pages) {
        errno = how->pages ? ENOMEM : EINVAL;
    } else {
        memset(errs, 0, how->pages * sizeof(int));
        fault = xsim_lib_begin(call, &set, errs);
        p = map_frames(fmem, dom, how, arr, errs, err, fault, &mmaps);
    }
    xsim_lib_end(call, how->pages, mmaps, p ? 0 : errno,
                 "dom=%u gfn=0x%llx pages=%zu addr=%p prot=%d flags=0x%x "
                 "errs=%s: %p", dom,
                 how->pages ? (unsigned long long)arr[0] : 0ull, how->pages,
                 how->addr, how->prot, how->flags, err ? "yes" : "no", p);
    if (errs != small && errs != err) {
        free(errs);
    }
    if (p) {
        errno = saved_errno;
    }
    return p;
}

XSIM_EXPORT void *xenforeignmemory_map2(xenforeignmemory_handle *fmem,
                                        uint32_t dom, void *addr, int prot,
                                        int flags, size_t num,
                                        const xen_pfn_t arr[],
                                        int err[])
{
    XsimMapHow how = { addr, prot, flags, num };

    xsim_lib();
    if (xsim_lib_no_map2()) {
        xsim_unsimulated("xenforeignmemory_map2 (XENSIM_NO_MAP2 is set)");
    }
    return map_call(XSIM_CALL_xenforeignmemory_map2, fmem, dom, &how, arr,
                    err);
}

XSIM_EXPORT void *xenforeignmemory_map(xenforeignmemory_handle *fmem,
                                       uint32_t dom, int prot, size_t num,
                                       const xen_pfn_t arr[],
                                       int err[])
{
    XsimMapHow how = { NULL, prot, 0, num };

    return map_call(XSIM_CALL_xenforeignmemory_map, fmem, dom, &how, arr,
                    err);
}

XSIM_EXPORT int xenforeignmemory_unmap(xenforeignmemory_handle *fmem,
                                       void *addr, size_t num)
{
    int e = xsim_lib_begin(XSIM_CALL_xenforeignmemory_unmap, NULL, NULL);

    (void)fmem;
    if (!e && xsim_lib_munmap(addr, num * XENSIM_PAGE_SIZE)) {
        e = errno;
    }
    xsim_lib_end(XSIM_CALL_xenforeignmemory_unmap, num, 0, e,
                 "addr=%p pages=%zu", addr, num);
    errno = e ? e : errno;
    return e ? -1 : 0;
}

/* ---- resources ---- */

/* Hold frames [first, first + n) of an ioreq server. */
static int hold_server(XsimView *v, uint32_t map, uint32_t domid,
                       unsigned id, unsigned long first, unsigned long n)
{
    int slot = xsim_find_dom(v, domid);
    XsimDom *d;
    unsigned long i;
    int rc = 0;

    if (slot < 0) {
        return -ESRCH;
    }
    d = xsim_dom(v, slot);
    xsim_lock(&d->lock);
    if (id >= XSIM_MAX_SERVERS ||
        d->server[id].state == XSIM_SERVER_FREE) {
        rc = -ENOENT;
    }
    for (i = first; !rc && i < first + n; i++) {
        uint64_t mfn;

        if (i > 1 || (i == 0 && !d->server[id].bufioreq)) {
            rc = -EINVAL;
            break;
        }
        mfn = xsim_server_frame(v, slot, id, i);
        rc = mfn == XENSIM_NO_MFN ? -ENOMEM :
             xsim_map_add(v, xsim_lib_proc(), map, slot, XENSIM_NO_GFN, mfn,
                          1, 0);
    }
    xsim_unlock(&d->lock);
    return rc;
}

XSIM_EXPORT xenforeignmemory_resource_handle *
xenforeignmemory_map_resource(xenforeignmemory_handle *fmem, domid_t domid,
                              unsigned int type, unsigned int id,
                              unsigned long frame, unsigned long nr_frames,
                              void **paddr, int prot, int flags)
{
    unsigned call = XSIM_CALL_xenforeignmemory_map_resource;
    XsimMapHow how = { *paddr, prot, flags, nr_frames };
    xenforeignmemory_resource_handle *h = NULL;
    XsimView *v = xsim_lib();
    unsigned mmaps = 0;
    uint32_t map = 0;
    int e;

    if (type != XENMEM_resource_ioreq_server) {
        xsim_unsimulated("xenforeignmemory_map_resource of anything but an "
                         "ioreq server");
    }
    e = xsim_lib_begin(call, NULL, NULL);
    if (!e && !xsim_lib_may(fmem->restricted, domid)) {
        e = EPERM;
    }
    if (!e && !nr_frames) {
        e = EINVAL;
    }
    if (!e) {
        h = calloc(1, sizeof(*h));
        map = xsim_map_new(v, xsim_lib_proc(), XSIM_MAP_RESOURCE);
        e = h && map ? 0 : ENOMEM;
    }
    if (!e) {
        xsim_map(v, xsim_lib_proc(), map)->writable = prot & PROT_WRITE;
        e = -hold_server(v, map, domid, id, frame, nr_frames);
    }
    if (!e) {
        h->pages = nr_frames;
        h->addr = xsim_lib_show(v, map, &how, NULL, &mmaps);
        map = 0;
        e = h->addr ? 0 : errno;
    }
    if (map && e) {
        xsim_map_drop(v, xsim_lib_proc(), map);
    }
    xsim_lib_end(call, nr_frames, mmaps, e,
                 "dom=%u type=%u id=%u frame=%lu n=%lu", domid, type, id,
                 frame, nr_frames);
    if (e) {
        free(h);
        errno = e;
        return NULL;
    }
    *paddr = h->addr;
    return h;
}

XSIM_EXPORT int
xenforeignmemory_unmap_resource(xenforeignmemory_handle *fmem,
                                xenforeignmemory_resource_handle *fres)
{
    int rc = 0;

    (void)fmem;
    if (fres) {
        rc = xsim_lib_munmap(fres->addr, fres->pages * XENSIM_PAGE_SIZE) ?
             -errno : 0;
        free(fres);
    }
    return xsim_lib_result(XSIM_CALL_xenforeignmemory_unmap_resource, rc,
                           "%p", (void *)fres);
}

XSIM_EXPORT int
xenforeignmemory_resource_size(xenforeignmemory_handle *fmem, domid_t domid,
                               unsigned int type, unsigned int id,
                               size_t *size)
{
    int e = xsim_lib_begin(XSIM_CALL_xenforeignmemory_resource_size, NULL,
                           NULL);

    if (type != XENMEM_resource_ioreq_server) {
        xsim_unsimulated("xenforeignmemory_resource_size of anything but an "
                         "ioreq server");
    }
    if (!e && !xsim_lib_may(fmem->restricted, domid)) {
        e = EPERM;
    }
    *size = 2 * XENSIM_PAGE_SIZE;
    return xsim_lib_result(XSIM_CALL_xenforeignmemory_resource_size, -e,
                           "dom=%u type=%u id=%u", domid, type, id);
}
