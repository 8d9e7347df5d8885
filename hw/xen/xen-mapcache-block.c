/*
 * Xen mapcache: device memory
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Device memory is mapped as a whole when its block is added, at an address
 * that the kernel chooses.  It stays mapped until the block is freed.  During a
 * restore its frames may not be located yet.  Then it is a dummy, which is
 * later replaced at the same address.
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/lockable.h"
#include "qemu/memfd.h"
#include "qemu/units.h"
#include "qapi/error.h"

#include "hw/qdev-core.h"
#include "hw/xen/xen_native.h"
#include "system/runstate.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-calls.h"
#include "xen-mapcache-outside.h"
#include "xen-mapcache-slots.h"
#include "trace.h"

/* Makes a dummy: memory in a file of its own, so that it can be remapped. */
static void *dummy_map(size_t size, int *memfd, Error **errp)
{
    void *host;

    *memfd = qemu_memfd_create("xen-dummy", size, false, 0, 0, errp);
    if (*memfd < 0) {
        return NULL;
    }
    host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *memfd, 0);
    if (host == MAP_FAILED) {
        error_setg_errno(errp, errno, "mapping %zu bytes of anonymous memory "
                         "failed", size);
        close(*memfd);
        return NULL;
    }
    return host;
}

/*
 * Maps device memory that has absent pages.  They get anonymous memory, because
 * the device must be able to access the whole range.
 */
static void *block_map_in_parts(const xen_pfn_t *gfn, size_t pages,
                                const int *err, Error **errp)
{
    uint8_t *host = mmap(NULL, pages << XC_PAGE_SHIFT, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g_autofree int *part_err = g_new(int, pages);
    size_t i, end, n;

    if (host == MAP_FAILED) {
        error_setg_errno(errp, errno, "mapping %zu anonymous pages failed",
                         pages);
        return NULL;
    }
    for (i = 0; i < pages; i = end) {
        for (end = i + 1; end < pages && !err[end] == !err[i]; end++) {
            ;
        }
        if (err[i]) {
            continue;
        }
        if (!mcache_map_frames(host + (i << XC_PAGE_SHIFT), gfn + i, end - i,
                               part_err)) {
            error_setg_errno(errp, errno, "mapping %zu of its pages failed",
                             end - i);
            break;
        }
        for (n = i; n < end && !part_err[n - i]; n++) {
            ;
        }
        if (n < end) {
            error_setg(errp, "page %zu became absent or unavailable while it "
                       "was mapped", n);
            mcache_unmap(host, pages);
            return NULL;
        }
    }
    if (i < pages) {
        /* Another thread may have mapped something at the part that failed. */
        mcache_unmap(host, i);
        mcache_unmap(host + (end << XC_PAGE_SHIFT), pages - end);
        return NULL;
    }
    return host;
}

static void *block_map_real(ram_addr_t addr, hwaddr size, Error **errp)
{
    g_autofree xen_pfn_t *gfn = mcache_block_gfns(addr, size);
    hwaddr gaddr = (hwaddr)gfn[0] << XC_PAGE_SHIFT;
    size_t pages = size >> XC_PAGE_SHIFT, i, absent = 0;
    g_autofree int *err = g_new(int, pages);
    void *host = mcache_mapped_or_null(mcache_map_frames(NULL, gfn, pages, err),
                                       pages, err);

    if (!host) {
        error_setg_errno(errp, errno, "mapping %zu pages at guest address 0x%"
                         HWADDR_PRIx " failed", pages, gaddr);
        return NULL;
    }
    for (i = 0; i < pages; i++) {
        absent += err[i] != 0;
    }
    if (absent) {
        warn_report("xen mapcache: %zu of %zu pages of the device memory at "
                    "guest address 0x%" HWADDR_PRIx " are absent; the "
                    "device has anonymous memory in their place", absent,
                    pages, gaddr);
        mcache_unmap(host, pages);
        if (!xen_foreign_map_has_fixed()) {
            error_setg(errp, "%zu pages are absent, and this libxen cannot "
                       "map the others without them", absent);
            return NULL;
        }
        host = block_map_in_parts(gfn, pages, err, errp);
    }
    return host;
}

/*
 * True if a block must get a dummy, because the machine has not located it.
 * With a libxen that cannot replace a dummy, it does not get one if all its
 * frames are at the initial range.  False, with @errp set, if Xen does not say.
 */
static bool block_is_dummy(ram_addr_t addr, ram_addr_t size, Error **errp)
{
    g_autofree xen_pfn_t *gfn = NULL;
    XenFrames frames;

    if (xen_foreign_map_has_fixed()) {
        return true;
    }
    gfn = mcache_gfns_from(addr, size);
    frames = mcache_probe(gfn, size >> XC_PAGE_SHIFT, NULL);
    if (frames == XEN_FRAMES_UNKNOWN) {
        error_setg(errp, "Xen does not say which frames are present at guest "
                   "address 0x" RAM_ADDR_FMT, addr);
        return false;
    }
    return frames != XEN_FRAMES_ALL;
}

/*
 * Maps a block that is not mapped yet.  NULL, with @errp set, if that fails.
 * The lock is released meanwhile; no other thread maps the block then.
 */
static Outside *block_map_locked(ram_addr_t addr, ram_addr_t size,
                                 XenBlockPlace place, Error **errp)
{
    bool incoming = runstate_check(RUN_STATE_INMIGRATE);
    Error *err = NULL;
    bool lost = place == XEN_BLOCK_LOST, dummy;
    int memfd = -1;
    void *host = NULL;
    Outside *o;

    qemu_mutex_unlock(&mapcache.lock);
    dummy = lost || (place == XEN_BLOCK_UNKNOWN &&
                     block_is_dummy(addr, size, &err));
    if (!dummy && !err) {
        host = block_map_real(addr, size, &err);
        if (!host && !incoming && phase_check(PHASE_MACHINE_READY)) {
            /* A running guest must not be ended: the device gets a dummy. */
            error_reportf_err(err, "xen mapcache: cannot map device memory of "
                              "%" PRIu64 " KiB at 0x" RAM_ADDR_FMT ", the "
                              "device gets blank memory instead: ",
                              (uint64_t)size / KiB, addr);
            err = NULL;
            dummy = true;
        }
    }
    if (lost) {
        warn_report("xen mapcache: other device memory has been relocated to "
                    "0x" RAM_ADDR_FMT ", the initial range of %" PRIu64
                    " KiB of device memory: its contents are lost", addr,
                    (uint64_t)size / KiB);
    }
    if (dummy) {
        host = dummy_map(size, &memfd, &err);
    }
    qemu_mutex_lock(&mapcache.lock);
    if (err) {
        error_propagate(errp, err);
        return NULL;
    }
    o = mcache_outside_add_locked(dummy ? OUTSIDE_DUMMY : OUTSIDE_BLOCK, host,
                                  addr, size);
    o->memfd = memfd;
    mcache_block_list_add_locked(o);
    trace_xen_map_cache_block(addr, size, host, dummy);
    return o;
}

uint8_t *xen_map_cache_block(ram_addr_t addr, ram_addr_t size)
{
    uint64_t first = addr >> MCACHE_BUCKET_SHIFT;
    uint64_t n = ((addr + size - 1) >> MCACHE_BUCKET_SHIFT) - first + 1;
    bool real = false;
    Error *err = NULL;
    uint8_t *host = NULL;
    XenBlockPlace place;
    MapCacheCall call;
    Outside *o;

    WITH_QEMU_LOCK_GUARD(&mapcache.lock) {
        o = mcache_block_find_locked(addr);
        if (o) {
            return outside_host(o);
        }
    }
    /*
     * The machine is asked without the lock, because it may take the lock.  Its
     * answer stays right until the block is mapped: the machine maps a block
     * before it relocates its frames.
     */
    place = mcache_block_place(addr, size);

    qemu_mutex_lock(&mapcache.lock);
    mcache_calls_wait_locked(first, n);
    o = mcache_block_find_locked(addr);
    if (!o) {
        mcache_call_begin_locked(&call, first, n);
        o = block_map_locked(addr, size, place, &err);
        mcache_call_end_locked(&call);
        real = o && o->kind == OUTSIDE_BLOCK;
    }
    if (o) {
        host = outside_host(o);
    }
    qemu_mutex_unlock(&mapcache.lock);

    if (!host) {
        error_reportf_err(err, "xen mapcache: cannot map device memory of %"
                          PRIu64 " KiB at 0x" RAM_ADDR_FMT ": ",
                          (uint64_t)size / KiB, addr);
        exit(EXIT_FAILURE);
    }
    if (real) {
        mcache_announce_later();
    }
    return host;
}

void xen_unmap_cache_block(uint8_t *host)
{
    MapCacheCall call;
    size_t pages;
    Outside *o;
    int memfd;

    if (!host) {
        return;
    }
    QEMU_LOCK_GUARD(&mapcache.lock);
    o = mcache_outside_find_locked(host);
    if (!o || (o->kind != OUTSIDE_BLOCK && o->kind != OUTSIDE_DUMMY) ||
        outside_host(o) != host) {
        qatomic_inc(&mapcache.unmatched);
        trace_xen_map_cache_unmatched(host);
        return;
    }
    trace_xen_map_cache_block_unmap(o->addr, host);
    QLIST_SAFE_REMOVE(o, next);
    pages = o->size >> XC_PAGE_SHIFT;
    memfd = o->memfd;
    mcache_outside_remove_locked(o);
    mcache_call_begin_locked(&call, 0, 0);
    qemu_mutex_unlock(&mapcache.lock);
    mcache_unmap(host, pages);
    qemu_mutex_lock(&mapcache.lock);
    mcache_call_end_locked(&call);
    if (memfd >= 0) {
        close(memfd);
    }
}

/* --- replacing a dummy ------------------------------------------------ */

/* Maps the dummy's memory again after a map call over it has failed. */
static void dummy_restore(Outside *o, int how)
{
    void *host = outside_host(o);
    void *p = mmap(host, o->size, PROT_READ | PROT_WRITE, MAP_SHARED | how,
                   o->memfd, 0);

    /* If the call failed early, the dummy may still be mapped. */
    if (p != host && !mcache_range_is_of(host, o->size, o->memfd)) {
        /* Another mapping took the addresses that a device depends on. */
        error_report("xen mapcache: the device memory at 0x" RAM_ADDR_FMT
                     " is lost, so the guest cannot be restored: %s", o->addr,
                     p == MAP_FAILED ? strerror(errno)
                                     : "another mapping took its address");
        exit(EXIT_FAILURE);
    }
}

/*
 * Maps the frames over the dummy.  True if the dummy's memory is not needed any
 * more.  Called with the BQL, so that the block is not freed, and without the
 * lock.
 */
static bool replace_frames(Outside *o, const xen_pfn_t *gfn)
{
    size_t pages = o->size >> XC_PAGE_SHIFT, i;
    g_autofree int *err = g_new(int, pages);
    hwaddr gaddr = (hwaddr)gfn[0] << XC_PAGE_SHIFT;
    XenFrames frames;

    /* First map the frames elsewhere, where a failure does no harm. */
    frames = mcache_probe(gfn, pages, NULL);
    if (frames != XEN_FRAMES_ALL) {
        error_report("xen mapcache: cannot map the device memory at 0x"
                     RAM_ADDR_FMT " (0x%" HWADDR_PRIx " bytes): %s at guest "
                     "address 0x%" HWADDR_PRIx, o->addr, o->size,
                     frames == XEN_FRAMES_UNKNOWN
                     ? "Xen does not say which frames are present"
                     : "frames are absent", gaddr);
        return false;
    }
    if (!mcache_map_frames(outside_host(o), gfn, pages, err)) {
        int saved_errno = errno;

        dummy_restore(o, MAP_FIXED_NOREPLACE);
        mcache_report_failure("replacing a dummy by guest address", gaddr,
                              pages, saved_errno);
        return false;
    }
    for (i = 0; i < pages; i++) {
        if (err[i]) {
            dummy_restore(o, MAP_FIXED);
            mcache_report_failure("replacing a dummy by guest address", gaddr,
                                  pages, abs(err[i]));
            return false;
        }
    }
    return true;
}

/* Replaces the dummy of @size bytes at @addr by the frames @gfn. */
static uint8_t *replace(ram_addr_t addr, hwaddr size, const xen_pfn_t *gfn)
{
    Outside *o;

    WITH_QEMU_LOCK_GUARD(&mapcache.lock) {
        o = mcache_block_find_locked(addr);
        if (!o || o->kind != OUTSIDE_DUMMY || o->size != size ||
            !xen_foreign_map_has_fixed()) {
            error_report("xen mapcache: the device memory at 0x" RAM_ADDR_FMT
                         " has no dummy of 0x%" HWADDR_PRIx " bytes that "
                         "could be replaced", addr, size);
            return NULL;
        }
    }
    if (!replace_frames(o, gfn)) {
        return NULL;
    }
    WITH_QEMU_LOCK_GUARD(&mapcache.lock) {
        close(o->memfd);
        o->memfd = -1;
        o->kind = OUTSIDE_BLOCK;
    }
    mcache_announce_later();
    return outside_host(o);
}

uint8_t *xen_replace_cache_entry(hwaddr old_phys_addr,
                                 hwaddr new_phys_addr,
                                 hwaddr size)
{
    g_autofree xen_pfn_t *gfn = mcache_gfns_from(new_phys_addr, size);

    trace_xen_replace_cache_entry(old_phys_addr, new_phys_addr, size);
    return new_phys_addr & (XC_PAGE_SIZE - 1)
           ? NULL : replace(old_phys_addr, size, gfn);
}

uint8_t *xen_map_cache_adopt(ram_addr_t addr)
{
    g_autofree xen_pfn_t *gfn = NULL;
    hwaddr size = 0;
    Outside *o;

    WITH_QEMU_LOCK_GUARD(&mapcache.lock) {
        o = mcache_block_find_locked(addr);
        size = o ? o->size : 0;
    }
    if (!size) {
        return NULL;
    }
    gfn = mcache_block_gfns(addr, size);
    trace_xen_replace_cache_entry(addr, (hwaddr)gfn[0] << XC_PAGE_SHIFT,
                                  size);
    return replace(addr, size, gfn);
}
