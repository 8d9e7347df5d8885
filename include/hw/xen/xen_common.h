/*
 * The seam between the mapcache series and libxen*
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which libxen is behind it is decided here, once, and nowhere else.  The
 * rest of the series asks for a capability by its name:
 *
 *  XEN_COMPAT_PHYSMAP    defined if a foreign mapping cannot be made at an
 *                        address of our choice: meson found no
 *                        xenforeignmemory_map2() (libxen before 4.10), or
 *                        was told to build as if (-Dxen_compat_physmap=true);
 *                        it then sets XEN_FORCE_COMPAT_PHYSMAP.
 *                        A dummy mapping can then not be replaced in place,
 *                        and where device memory sits in the guest is kept
 *                        in xenstore across a save (xen-physmap-compat.c).
 *
 * Wrappers have names of our own, xen_compat_ or xen_foreign_, because a
 * forced build sees the declarations of a libxen that has the real thing.
 *
 * Included by hw/xen/xen_native.h, after the headers of libxen.
 */

#ifndef HW_XEN_XEN_COMMON_H
#define HW_XEN_XEN_COMMON_H

#ifndef XENFOREIGNMEMORY_H
#error Include hw/xen/xen_native.h, which includes this
#endif

#ifdef XEN_FORCE_COMPAT_PHYSMAP
#define XEN_COMPAT_PHYSMAP 1
#endif

/*
 * Maps @pages frames of domain @dom, named by @gfns, next to each other.
 *
 * @addr:  where to put them, page-aligned, or NULL for anywhere
 * @prot:  PROT_READ, PROT_WRITE
 * @flags: for mmap(); MAP_FIXED goes with @addr
 * @errs:  one per frame: 0 or a positive or negative errno, as libxen has
 *         it.  Some frames may fail and the call succeed: an access to them
 *         raises SIGBUS.  NULL makes any failing frame fail the call.
 *
 * Returns the address, or NULL with errno.  If a call with MAP_FIXED fails,
 * libxen may or may not have unmapped what was at @addr: that depends on the
 * step that failed.  With XEN_COMPAT_PHYSMAP an @addr fails with ENOSYS, and
 * nothing is unmapped.  The mapping is ended by xenforeignmemory_unmap() or
 * munmap().  Any thread may call this.
 */
#ifdef XEN_COMPAT_PHYSMAP
static inline void *xen_compat_foreign_map(xenforeignmemory_handle *fmem,
                                           uint32_t dom, void *addr, int prot,
                                           int flags, size_t pages,
                                           const xen_pfn_t *gfns, int *errs)
{
    if (addr || flags) {
        errno = ENOSYS;
        return NULL;
    }
    return xenforeignmemory_map(fmem, dom, prot, pages, gfns, errs);
}
#define xen_foreign_map xen_compat_foreign_map
#else
static inline void *xen_foreign_map(xenforeignmemory_handle *fmem,
                                    uint32_t dom, void *addr, int prot,
                                    int flags, size_t pages,
                                    const xen_pfn_t *gfns, int *errs)
{
    return xenforeignmemory_map2(fmem, dom, addr, prot, flags, pages, gfns,
                                 errs);
}
#endif

/* True if xen_foreign_map() takes an address. */
static inline bool xen_foreign_map_has_fixed(void)
{
#ifdef XEN_COMPAT_PHYSMAP
    return false;
#else
    return true;
#endif
}

#endif /* HW_XEN_XEN_COMMON_H */
