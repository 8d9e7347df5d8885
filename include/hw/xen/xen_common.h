/*
 * The interface between the mapcache series and libxen*
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * This is the only place that distinguishes versions of libxen.  The rest of
 * the series tests for a capability:
 *
 *  XEN_COMPAT_PHYSMAP    defined if the caller cannot choose the address of a
 *                        foreign mapping.  Either meson found no
 *                        xenforeignmemory_map2() (libxen before 4.10), or
 *                        -Dxen_compat_physmap=true asks for a build without
 *                        it, and meson sets XEN_FORCE_COMPAT_PHYSMAP.
 *                        A dummy can then not be replaced, and the location
 *                        of device memory in the guest is kept in xenstore
 *                        across a save (xen-physmap-compat.c).
 *
 * Our wrappers are named xen_compat_* or xen_foreign_*.  They cannot have the
 * names of libxen's functions: in a build with -Dxen_compat_physmap=true,
 * libxen's headers may still declare these.
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
 * Maps the @pages frames @gfns of domain @dom to adjacent addresses.
 *
 * @addr:  the first address, page-aligned, or NULL for any address
 * @prot:  PROT_READ, PROT_WRITE
 * @flags: flags of mmap(): MAP_FIXED with @addr, 0 without
 * @errs:  gets a value for each frame: 0, or an errno, which is positive or
 *         negative as libxen has it.  If some frames fail, the call may still
 *         succeed; do not access the addresses of such frames (in a PV domain
 *         an access raises SIGBUS).  If NULL, the call fails if any frame
 *         fails.
 *
 * Returns the address, or NULL with errno.  If a call with MAP_FIXED fails,
 * libxen may or may not have unmapped what was at @addr: that depends on the
 * step that failed.  With XEN_COMPAT_PHYSMAP a call with @addr or @flags fails
 * with ENOSYS, and nothing is unmapped.  The mapping is ended by
 * xenforeignmemory_unmap() or munmap().  Any thread may call this.
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
