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
#include "qemu/bitops.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/memfd.h"
#include "qemu/units.h"
#include "qapi/error.h"

#include "exec/ramlist.h"
#include "hw/qdev-core.h"
#include "hw/xen/xen_native.h"
#include "system/runstate.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-calls.h"
#include "xen-mapcache-outside.h"
#include "xen-mapcache-slots.h"
#include "trace.h"

/* How many frames one probe asks for. */
#define PROBE_PAGES     1024

static QLIST_HEAD(, Outside) blocks; /* under the lock */
static const XenBlockOps *block_ops;

void xen_map_cache_set_block_ops(const XenBlockOps *ops)
{
    qatomic_set(&block_ops, ops);
}

static XenBlockPlace block_place(ram_addr_t addr, ram_addr_t size)
{
    const XenBlockOps *ops = qatomic_read(&block_ops);

    if (ops) {
        return ops->place(addr, size);
    }
    return runstate_check(RUN_STATE_INMIGRATE) ? XEN_BLOCK_UNKNOWN
                                               : XEN_BLOCK_KNOWN;
}

void mcache_block_load_begins(void)
{
    const XenBlockOps *ops = qatomic_read(&block_ops);

    if (ops) {
        ops->load_begins();
    }
}

void mcache_block_loaded(void)
{
    const XenBlockOps *ops = qatomic_read(&block_ops);

    if (ops) {
        ops->loaded();
    }
}

static xen_pfn_t *gfns_from(hwaddr gaddr, hwaddr size)
{
    size_t pages = size >> XC_PAGE_SHIFT, i;
    xen_pfn_t *gfn = g_new(xen_pfn_t, pages);

    for (i = 0; i < pages; i++) {
        gfn[i] = (gaddr >> XC_PAGE_SHIFT) + i;
    }
    return gfn;
}

/* The gfns of a block's frames, as the machine names them (g_free). */
static xen_pfn_t *block_gfns(ram_addr_t addr, ram_addr_t size)
{
    const XenBlockOps *ops = qatomic_read(&block_ops);
    xen_pfn_t *gfn = gfns_from(addr, size);
    uint64_t done, len, i;
    hwaddr gaddr;

    RCU_READ_LOCK_GUARD();
    for (done = 0; ops && done < size; done += len) {
        len = size - done;
        gaddr = ops->gaddr(addr + done, &len);
        for (i = 0; i < len >> XC_PAGE_SHIFT; i++) {
            gfn[(done >> XC_PAGE_SHIFT) + i] = (gaddr >> XC_PAGE_SHIFT) + i;
        }
    }
    return gfn;
}

static Outside *block_find_locked(ram_addr_t addr)
{
    Outside *o;

    QLIST_FOREACH(o, &blocks, next) {
        if (o->addr == addr) {
            return o;
        }
    }
    return NULL;
}

/* A block of which RAM block notifiers have not been told yet, or NULL. */
static Outside *block_unannounced_locked(void)
{
    Outside *o;

    QLIST_FOREACH(o, &blocks, next) {
        if (o->kind == OUTSIDE_BLOCK && !o->announced) {
            return o;
        }
    }
    return NULL;
}

void mcache_block_announce(void)
{
    uint8_t *host = NULL;
    hwaddr size = 0;
    Outside *o;

    do {
        WITH_QEMU_LOCK_GUARD(&mapcache.lock) {
            o = block_unannounced_locked();
            if (o) {
                o->announced = true;
                host = outside_host(o);
                size = o->size;
            }
        }
        /* The block is not freed now: freeing needs the BQL, too. */
        if (o) {
            ram_block_notify_add(host, size, size);
        }
    } while (o);
}

/* @present: a bit for each page, may be NULL.  Without the lock. */
static XenFrames probe(const xen_pfn_t *gfn, size_t pages,
                       unsigned long *present)
{
    size_t done, n, i, there = 0;
    g_autofree int *err = g_new(int, PROBE_PAGES);

    for (done = 0; done < pages; done += n) {
        void *p;

        n = MIN(pages - done, PROBE_PAGES);
        p = mcache_mapped_or_null(mcache_map_frames(NULL, gfn + done, n, err),
                                  n, err);
        if (!p) {
            mcache_report_failure("probing guest address",
                                  (hwaddr)gfn[done] << XC_PAGE_SHIFT, n,
                                  errno);
            return XEN_FRAMES_UNKNOWN;
        }
        for (i = 0; i < n; i++) {
            there += !err[i];
            if (present && !err[i]) {
                set_bit(done + i, present);
            }
        }
        mcache_unmap(p, n);
    }
    return there == pages ? XEN_FRAMES_ALL :
           there ? XEN_FRAMES_PART : XEN_FRAMES_NONE;
}

XenFrames xen_map_cache_probe(hwaddr gaddr, hwaddr size,
                              unsigned long *present)
{
    g_autofree xen_pfn_t *gfn = gfns_from(gaddr, size);

    return probe(gfn, size >> XC_PAGE_SHIFT, present);
}

bool xen_map_cache_claim_block(ram_addr_t addr, ram_addr_t size)
{
    const XenBlockOps *ops = qatomic_read(&block_ops);

    return ops ? ops->claim(addr, size)
               : xen_map_cache_probe(addr, size, NULL) == XEN_FRAMES_NONE;
}

void xen_map_cache_block_left(const char *name, hwaddr gaddr, uint64_t size)
{
    const XenBlockOps *ops = qatomic_read(&block_ops);

    warn_report("xen: Xen did not take back frames of the memory of '%s' (%"
                PRIu64 " KiB at 0x%" HWADDR_PRIx "): the guest keeps them",
                name, size / 1024, gaddr);
    if (ops) {
        ops->left(gaddr, size);
    }
}

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
    g_autofree xen_pfn_t *gfn = block_gfns(addr, size);
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
    gfn = gfns_from(addr, size);
    frames = probe(gfn, size >> XC_PAGE_SHIFT, NULL);
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
    QLIST_INSERT_HEAD(&blocks, o, next);
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
        o = block_find_locked(addr);
        if (o) {
            return outside_host(o);
        }
    }
    /*
     * The machine is asked without the lock, because it may take the lock.  Its
     * answer stays right until the block is mapped: the machine maps a block
     * before it relocates its frames.
     */
    place = block_place(addr, size);

    qemu_mutex_lock(&mapcache.lock);
    mcache_calls_wait_locked(first, n);
    o = block_find_locked(addr);
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

bool xen_map_cache_block_is_announced(uint8_t *host)
{
    Outside *o;

    QEMU_LOCK_GUARD(&mapcache.lock);
    o = mcache_outside_find_locked(host);
    if (o && !o->announced) {
        trace_xen_map_cache_block_unannounced(o->addr, host);
        return false;
    }
    return true; /* if it is not ours, physmem.c announced it itself */
}

bool xen_map_cache_block_unannounce(uint8_t *host)
{
    const XenBlockOps *ops = qatomic_read(&block_ops);
    bool announced;
    Outside *o;

    WITH_QEMU_LOCK_GUARD(&mapcache.lock) {
        o = mcache_outside_find_locked(host);
    }
    if (!o) {
        return true; /* as above */
    }
    /* The record does not change meanwhile, because that takes the BQL. */
    if (ops) {
        ops->gone(o->addr, o->size);
    }
    QEMU_LOCK_GUARD(&mapcache.lock);
    announced = o->announced;
    o->announced = false;
    /* Another block may get its address before its readers are gone. */
    QLIST_SAFE_REMOVE(o, next);
    return announced;
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

bool xen_map_cache_is_dummy(ram_addr_t addr)
{
    Outside *o;

    QEMU_LOCK_GUARD(&mapcache.lock);
    o = block_find_locked(addr);
    return o && o->kind == OUTSIDE_DUMMY;
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
    frames = probe(gfn, pages, NULL);
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
        o = block_find_locked(addr);
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
    g_autofree xen_pfn_t *gfn = gfns_from(new_phys_addr, size);

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
        o = block_find_locked(addr);
        size = o ? o->size : 0;
    }
    if (!size) {
        return NULL;
    }
    gfn = block_gfns(addr, size);
    trace_xen_replace_cache_entry(addr, (hwaddr)gfn[0] << XC_PAGE_SHIFT,
                                  size);
    return replace(addr, size, gfn);
}

void mcache_block_stats_locked(XenMapCacheStats *stats)
{
    Outside *o;

    QLIST_FOREACH(o, &blocks, next) {
        stats->blocks++;
        stats->dummies += o->kind == OUTSIDE_DUMMY;
        stats->block_bytes += o->kind == OUTSIDE_BLOCK ? o->size : 0;
    }
}
