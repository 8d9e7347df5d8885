/*
 * Xen mapcache: mappings outside the arena
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Device memory [a], the dummies that stand in for it during a restore, and
 * grants.  There are few of them and each lies where the kernel put it; an
 * interval tree by host address finds them.  It is searched without a lock
 * first.  A writer may hide an entry from such a search, so a miss counts
 * only if it is repeated under the lock.
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/interval-tree.h"
#include "qemu/main-loop.h"
#include "qemu/memfd.h"
#include "qemu/queue.h"
#include "qemu/rcu.h"
#include "qemu/units.h"
#include "qapi/error.h"

#include "exec/ramlist.h"
#include "hw/qdev-core.h"
#include "hw/xen/xen_native.h"
#include "system/runstate.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "trace.h"

#include <xengnttab.h>

typedef enum OutsideKind {
    OUTSIDE_BLOCK,      /* device memory, the guest's frames */
    OUTSIDE_DUMMY,      /* device memory, anonymous until it is replaced */
    OUTSIDE_GRANT,
    OUTSIDE_HELD,       /* guest RAM that a device holds for long */
    OUTSIDE_SLOT,       /* a bucket, where there is no arena */
    OUTSIDE_PAGE,       /* a page of guest RAM, for one RCU section */
} OutsideKind;

/* Constant while it is in the tree, but for what is named below. */
typedef struct Outside {
    struct rcu_head rcu;        /* first, as g_free_rcu() wants it */
    IntervalTreeNode node;      /* host addresses, whole pages */
    OutsideKind kind;           /* under the lock: a dummy becomes a block */
    ram_addr_t addr;            /* of the first byte of node.start */
    hwaddr size;                /* bytes */
    uint8_t *held;              /* grant, held: what was handed out */
    int memfd;                  /* dummies: the memory behind it */
    uint32_t slot;              /* buckets without an arena: its number */
    bool grace;                 /* page: its grace period has begun */
    bool bql;                   /* page: whoever got it had the BQL */
    bool announced;             /* under the lock: notifiers know of it */
    QLIST_ENTRY(Outside) next;  /* under the lock: device memory, pages */
} Outside;

/* Written under mapcache.lock; the tree is read within RCU sections too. */
static IntervalTreeRoot outside_tree;
static QLIST_HEAD(, Outside) outside_blocks;
static QLIST_HEAD(, Outside) outside_pages;
static unsigned nr_pages;
static xengnttab_handle *outside_gnttab;
static uint64_t nr_grants;
static XenBlockPlace block_place;

/* How many frames one probe asks for. */
#define PROBE_PAGES     1024
/* The most pages for one RCU section at a time. */
#define PAGES_MAX       256

void xen_map_cache_set_place(XenBlockPlace f)
{
    qatomic_set(&block_place, f);
}

static hwaddr block_gaddr(ram_addr_t addr, ram_addr_t size)
{
    XenBlockPlace f = qatomic_read(&block_place);

    return f ? f(addr, size) : addr;
}

void mcache_outside_init(void)
{
    outside_gnttab = xengnttab_open(NULL, 0);
    if (!outside_gnttab) {
        /* Only a guest that uses grants will miss it. */
        trace_xen_map_cache_failure("xengnttab_open", 0, 0, errno);
    }
}

static Outside *outside_find_locked(const void *ptr)
{
    IntervalTreeNode *node = interval_tree_iter_first(&outside_tree,
                                                      (uintptr_t)ptr,
                                                      (uintptr_t)ptr);

    return node ? container_of(node, Outside, node) : NULL;
}

/* Called within an RCU read-side section. */
static Outside *outside_find(const void *ptr)
{
    Outside *o = outside_find_locked(ptr);

    if (!o) {
        qemu_mutex_lock(&mapcache.lock);
        o = outside_find_locked(ptr);
        qemu_mutex_unlock(&mapcache.lock);
    }
    return o;
}

static Outside *outside_add_locked(OutsideKind kind, void *host,
                                   ram_addr_t addr, hwaddr size)
{
    Outside *o = g_new0(Outside, 1);

    o->node.start = (uintptr_t)host;
    o->node.last = (uintptr_t)host + size - 1;
    o->kind = kind;
    o->addr = addr;
    o->size = size;
    o->memfd = -1;
    interval_tree_insert(&o->node, &outside_tree);
    return o;
}

static void outside_remove_locked(Outside *o)
{
    interval_tree_remove(&o->node, &outside_tree);
    g_free_rcu(o, rcu);
}

ram_addr_t mcache_outside_ram_addr(const void *ptr)
{
    Outside *o;

    RCU_READ_LOCK_GUARD();
    o = outside_find(ptr);
    return o ? o->addr + ((uintptr_t)ptr - o->node.start) : RAM_ADDR_INVALID;
}

static uint8_t *outside_host(const Outside *o)
{
    return (uint8_t *)(uintptr_t)o->node.start;
}

/* --- buckets, where a mapping cannot be put into an arena -------------- */

#ifdef XEN_COMPAT_PHYSMAP
bool mcache_slot_of(const void *ptr, uint32_t *nr)
{
    Outside *o;

    RCU_READ_LOCK_GUARD();
    o = outside_find(ptr);
    if (!o || o->kind != OUTSIDE_SLOT) {
        return false;
    }
    *nr = o->slot;
    return true;
}

void mcache_slot_enter_locked(uint32_t nr)
{
    MapCacheSlot *s = &mapcache.slot[nr];
    Outside *o = outside_add_locked(OUTSIDE_SLOT, s->host,
                                    (ram_addr_t)s->bucket <<
                                    MCACHE_BUCKET_SHIFT, MCACHE_BUCKET_SIZE);

    o->slot = nr;
}

void mcache_slot_leave_locked(uint32_t nr)
{
    outside_remove_locked(outside_find_locked(mapcache.slot[nr].host));
}
#endif

/* --- unmapping -------------------------------------------------------- */

/*
 * What could not be unmapped still has the guest's frames, though nobody uses
 * it: the next invalidate tries again.
 */
typedef struct Leftover {
    void *host;
    size_t pages;
    bool grant;
    QLIST_ENTRY(Leftover) next;
} Leftover;

static QLIST_HEAD(, Leftover) leftovers; /* under the lock */

static bool unmap_call_locked(void *host, size_t pages, bool grant)
{
    mapcache.stats.unmap_calls++;
    return (grant ? xengnttab_unmap(outside_gnttab, host, pages)
                  : munmap(host, pages << XC_PAGE_SHIFT)) == 0;
}

static void unmap_locked(void *host, size_t pages, bool grant)
{
    Leftover *l;

    if (!unmap_call_locked(host, pages, grant)) {
        mcache_report_failure("unmapping", 0, pages, errno);
        l = g_new(Leftover, 1);
        *l = (Leftover) { host, pages, grant };
        QLIST_INSERT_HEAD(&leftovers, l, next);
    }
}

void mcache_unmap_locked(void *host, size_t pages)
{
    unmap_locked(host, pages, false);
}

void mcache_unmap_again_locked(void)
{
    Leftover *l, *next;

    QLIST_FOREACH_SAFE(l, &leftovers, next, next) {
        if (unmap_call_locked(l->host, l->pages, l->grant)) {
            QLIST_REMOVE(l, next);
            g_free(l);
        }
    }
}

/* --- device memory --------------------------------------------------- */

static Outside *block_find_locked(ram_addr_t addr)
{
    Outside *o;

    QLIST_FOREACH(o, &outside_blocks, next) {
        if (o->addr == addr) {
            return o;
        }
    }
    return NULL;
}

/*
 * Notifiers run in the main loop.  Device memory that an iothread is the
 * first to touch stays unannounced: listeners fall back.
 */
static bool block_may_announce_locked(Outside *o)
{
    o->announced = bql_locked();
    return o->announced;
}

static XenFrames probe_locked(hwaddr gaddr, hwaddr size)
{
    uint64_t gfn = gaddr >> XC_PAGE_SHIFT;
    uint64_t pages = size >> XC_PAGE_SHIFT;
    uint64_t present = 0, done, n, i;
    g_autofree int *err = g_new(int, PROBE_PAGES);

    for (done = 0; done < pages; done += n) {
        void *p;

        n = MIN(pages - done, PROBE_PAGES);
        p = mcache_map_call_locked(NULL, gfn + done, n, err);
        if (!p) {
            mcache_report_failure("probing", (gfn + done) << XC_PAGE_SHIFT,
                                  n, errno);
            continue;
        }
        for (i = 0; i < n; i++) {
            present += !err[i];
        }
        mcache_unmap_locked(p, n);
    }
    return present == pages ? XEN_FRAMES_ALL :
           present ? XEN_FRAMES_PART : XEN_FRAMES_NONE;
}

XenFrames xen_map_cache_probe(hwaddr gaddr, hwaddr size)
{
    QEMU_LOCK_GUARD(&mapcache.lock);
    return probe_locked(gaddr, size);
}

/* Anonymous memory in a file of its own, so that it can be mapped again. */
static void *dummy_map(size_t size, int *memfd, Error **errp)
{
    void *host;

    *memfd = qemu_memfd_create("xen-dummy", size, false, 0, 0, errp);
    if (*memfd < 0) {
        return NULL;
    }
    host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *memfd, 0);
    if (host == MAP_FAILED) {
        error_setg_errno(errp, errno, "mapping %zu bytes", size);
        close(*memfd);
        return NULL;
    }
    return host;
}

/*
 * Device memory of which the guest has given pages away: these are anonymous
 * to the device, who must be able to touch all of it.
 */
static void *block_map_in_parts(uint64_t gfn, size_t pages, const int *err,
                                Error **errp)
{
    uint8_t *host = mmap(NULL, pages << XC_PAGE_SHIFT, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g_autofree int *part_err = g_new(int, pages);
    size_t i, end;

    if (host == MAP_FAILED) {
        error_setg_errno(errp, errno, "mapping %zu anonymous pages", pages);
        return NULL;
    }
    for (i = 0; i < pages; i = end) {
        for (end = i + 1; end < pages && !err[end] == !err[i]; end++) {
            ;
        }
        if (!err[i] &&
            !mcache_map_call_locked(host + (i << XC_PAGE_SHIFT), gfn + i,
                                    end - i, part_err)) {
            error_setg_errno(errp, errno, "mapping %zu of its pages",
                             end - i);
            mcache_unmap_locked(host, pages);
            return NULL;
        }
    }
    return host;
}

static void *block_map_real_locked(ram_addr_t addr, hwaddr gaddr,
                                   hwaddr size, Error **errp)
{
    uint64_t gfn = gaddr >> XC_PAGE_SHIFT;
    size_t pages = size >> XC_PAGE_SHIFT, i, absent = 0;
    g_autofree int *err = g_new(int, pages);
    void *host = mcache_map_call_locked(NULL, gfn, pages, err);

    if (!host) {
        error_setg_errno(errp, errno, "mapping %zu pages at guest address 0x%"
                         HWADDR_PRIx, pages, gaddr);
        return NULL;
    }
    for (i = 0; i < pages; i++) {
        absent += err[i] != 0;
    }
    if (absent) {
        warn_report("xen mapcache: %zu of %zu pages of the device memory at "
                    "guest address 0x%" HWADDR_PRIx " are not there; the "
                    "device has anonymous memory in their place", absent,
                    pages, gaddr);
        mcache_unmap_locked(host, pages);
        host = block_map_in_parts(gfn, pages, err, errp);
    }
    return host;
}

/*
 * The mapping of a block that has none yet.  NULL and @errp if there can be
 * none.
 */
static Outside *block_map_locked(ram_addr_t addr, ram_addr_t size,
                                 Error **errp)
{
    /*
     * What lies where the block was allocated may be the guest's own by now,
     * or be left over: only when its place is known can its frames be.
     */
    bool incoming = runstate_check(RUN_STATE_INMIGRATE);
    hwaddr gaddr = block_gaddr(addr, size);
    bool dummy = incoming && (xen_foreign_map_has_fixed() ||
                              probe_locked(gaddr, size) != XEN_FRAMES_ALL);
    Error *err = NULL;
    int memfd = -1;
    void *host = NULL;
    Outside *o;

    if (!dummy) {
        host = block_map_real_locked(addr, gaddr, size, &err);
        if (!host && !incoming && phase_check(PHASE_MACHINE_READY)) {
            /* A running guest is not ended: its device goes blank. */
            error_reportf_err(err, "xen mapcache: device memory: ");
            err = NULL;
            dummy = true;
        }
    }
    if (dummy) {
        host = dummy_map(size, &memfd, &err);
    }
    if (err) {
        error_propagate(errp, err);
        return NULL;
    }
    o = outside_add_locked(dummy ? OUTSIDE_DUMMY : OUTSIDE_BLOCK, host, addr,
                           size);
    o->memfd = memfd;
    QLIST_INSERT_HEAD(&outside_blocks, o, next);
    mcache_rev_add(host, size, MCACHE_REV_BLOCK, true, NULL);
    trace_xen_map_cache_block(addr, gaddr, size, host, dummy);
    return o;
}

uint8_t *xen_map_cache_block(ram_addr_t addr, ram_addr_t size)
{
    bool announce = false;
    Error *err = NULL;
    uint8_t *host = NULL;
    Outside *o;

    qemu_mutex_lock(&mapcache.lock);
    o = block_find_locked(addr);
    if (!o) {
        o = block_map_locked(addr, size, &err);
        announce = o && o->kind == OUTSIDE_BLOCK &&
                   block_may_announce_locked(o);
    }
    if (o) {
        host = outside_host(o);
    }
    qemu_mutex_unlock(&mapcache.lock);

    if (!host) {
        error_reportf_err(err, "xen mapcache: device memory of %" PRIu64
                          " KiB at 0x" RAM_ADDR_FMT ": ",
                          (uint64_t)size / KiB, addr);
        exit(EXIT_FAILURE);
    }
    if (announce) {
        ram_block_notify_add(host, size, size);
    }
    return host;
}

bool xen_map_cache_block_is_announced(uint8_t *host)
{
    Outside *o;

    QEMU_LOCK_GUARD(&mapcache.lock);
    o = outside_find_locked(host);
    if (o && !o->announced) {
        trace_xen_map_cache_block_unannounced(o->addr, host);
        return false;
    }
    return true; /* if it is not ours, physmem.c announced it itself */
}

bool xen_map_cache_block_unannounce(uint8_t *host)
{
    bool announced = true; /* as above */
    Outside *o;

    QEMU_LOCK_GUARD(&mapcache.lock);
    o = outside_find_locked(host);
    if (o) {
        announced = o->announced;
        o->announced = false;
    }
    return announced;
}

void xen_unmap_cache_block(uint8_t *host)
{
    Outside *o;

    if (!host) {
        return;
    }
    QEMU_LOCK_GUARD(&mapcache.lock);
    o = outside_find_locked(host);
    if (!o || (o->kind != OUTSIDE_BLOCK && o->kind != OUTSIDE_DUMMY) ||
        outside_host(o) != host) {
        qatomic_inc(&mapcache.unmatched);
        trace_xen_map_cache_unmatched(host);
        return;
    }
    trace_xen_map_cache_block_unmap(o->addr, host);
    mcache_rev_remove(host, o->size, MCACHE_REV_BLOCK);
    QLIST_REMOVE(o, next);
    mcache_unmap_locked(host, o->size >> XC_PAGE_SHIFT);
    if (o->memfd >= 0) {
        close(o->memfd);
    }
    outside_remove_locked(o);
}

bool xen_map_cache_is_dummy(ram_addr_t addr)
{
    Outside *o;

    QEMU_LOCK_GUARD(&mapcache.lock);
    o = block_find_locked(addr);
    return o && o->kind == OUTSIDE_DUMMY;
}

/* --- replacing a dummy ------------------------------------------------ */

/* Puts the dummy's memory back where a map call made a mess of it. */
static void dummy_restore(Outside *o, int how)
{
    void *host = outside_host(o);
    void *p = mmap(host, o->size, PROT_READ | PROT_WRITE, MAP_SHARED | how,
                   o->memfd, 0);

    /* A call that failed early may have left it as it was. */
    if (p != host && !mcache_range_is_of(host, o->size, o->memfd)) {
        /* Another mapping took the addresses that a device depends on. */
        error_report("xen mapcache: the device memory at 0x" RAM_ADDR_FMT
                     " is lost: %s. The restore cannot go on.", o->addr,
                     p == MAP_FAILED ? strerror(errno) : "address taken");
        exit(EXIT_FAILURE);
    }
}

static Outside *replace_locked(hwaddr old_phys_addr, hwaddr new_phys_addr,
                               hwaddr size)
{
    size_t pages = size >> XC_PAGE_SHIFT, i;
    g_autofree int *err = g_try_new(int, MAX(pages, 1));
    Outside *o = block_find_locked(old_phys_addr);

    if (!o || o->kind != OUTSIDE_DUMMY || o->size != size || !err ||
        !xen_foreign_map_has_fixed() || new_phys_addr & (XC_PAGE_SIZE - 1)) {
        error_report("xen mapcache: no dummy mapping of 0x%" HWADDR_PRIx
                     " bytes at 0x%" HWADDR_PRIx " to replace by guest "
                     "address 0x%" HWADDR_PRIx, size, old_phys_addr,
                     new_phys_addr);
        return NULL;
    }

    /* What may fail comes first, where a failure does no harm. */
    if (probe_locked(new_phys_addr, size) != XEN_FRAMES_ALL) {
        error_report("xen mapcache: guest address 0x%" HWADDR_PRIx " has not "
                     "all of the 0x%" HWADDR_PRIx " bytes of the device "
                     "memory at 0x%" HWADDR_PRIx, new_phys_addr, size,
                     old_phys_addr);
        return NULL;
    }

    if (!mcache_map_call_locked(outside_host(o),
                                new_phys_addr >> XC_PAGE_SHIFT, pages, err)) {
        int saved_errno = errno;

        dummy_restore(o, MAP_FIXED_NOREPLACE);
        mcache_report_failure("replacing a dummy", new_phys_addr, pages,
                              saved_errno);
        return NULL;
    }
    for (i = 0; i < pages; i++) {
        if (err[i]) {
            dummy_restore(o, MAP_FIXED);
            mcache_report_failure("replacing a dummy", new_phys_addr, pages,
                                  -err[i]);
            return NULL;
        }
    }

    close(o->memfd);
    o->memfd = -1;
    o->kind = OUTSIDE_BLOCK;
    return o;
}

uint8_t *xen_replace_cache_entry(hwaddr old_phys_addr,
                                 hwaddr new_phys_addr,
                                 hwaddr size)
{
    bool announce;
    Outside *o;

    trace_xen_replace_cache_entry(old_phys_addr, new_phys_addr, size);
    qemu_mutex_lock(&mapcache.lock);
    o = replace_locked(old_phys_addr, new_phys_addr, size);
    announce = o && block_may_announce_locked(o);
    qemu_mutex_unlock(&mapcache.lock);

    if (announce) {
        ram_block_notify_add(outside_host(o), size, size);
    }
    return o ? outside_host(o) : NULL;
}

/* --- grants ----------------------------------------------------------- */

uint8_t *mcache_grant_map(ram_addr_t addr, ram_addr_t block_offset,
                          hwaddr *plen, bool is_write)
{
    hwaddr in_page = addr & (XC_PAGE_SIZE - 1);
    uint32_t first = (addr - block_offset) >> XC_PAGE_SHIFT;
    uint32_t pages = DIV_ROUND_UP(in_page + *plen, XC_PAGE_SIZE), i;
    g_autofree uint32_t *refs = g_try_new(uint32_t, pages);
    int prot = PROT_READ | (is_write ? PROT_WRITE : 0);
    void *host = NULL;
    Outside *o;

    if (refs && outside_gnttab) {
        for (i = 0; i < pages; i++) {
            refs[i] = first + i;
        }
        host = xengnttab_map_domain_grant_refs(outside_gnttab, pages,
                                               xen_domid, refs, prot);
        if (!host && pages > 1) {
            /* One bad reference spoils them all: the first may be good. */
            pages = 1;
            host = xengnttab_map_domain_grant_refs(outside_gnttab, pages,
                                                   xen_domid, refs, prot);
        }
    }
    if (!host) {
        mcache_report_failure("mapping the grant", first, pages,
                              outside_gnttab ? errno : ENODEV);
        *plen = 0;
        return NULL;
    }

    QEMU_LOCK_GUARD(&mapcache.lock);
    mapcache.stats.map_calls++;
    mapcache.stats.map_pages += pages;
    nr_grants++;
    o = outside_add_locked(OUTSIDE_GRANT, host, addr - in_page,
                           (hwaddr)pages << XC_PAGE_SHIFT);
    o->held = (uint8_t *)host + in_page;
    *plen = MIN(*plen, o->size - in_page);
    return o->held;
}

/* --- long-held mappings ------------------------------------------------ */

uint8_t *mcache_held_map(ram_addr_t addr, hwaddr *plen, bool is_write,
                         AddressSpace *as, bool *failed)
{
    hwaddr in_page = addr & (XC_PAGE_SIZE - 1);
    uint64_t gfn = addr >> XC_PAGE_SHIFT;
    size_t pages = DIV_ROUND_UP(in_page + *plen, XC_PAGE_SIZE), present;
    g_autofree int *err = g_try_new(int, pages);
    uint8_t *host = NULL;
    Outside *o;

    *failed = false;
    qemu_mutex_lock(&mapcache.lock);
    mapcache.stats.misses++;
    while (pages) {
        host = err ? mcache_map_call_locked(NULL, gfn, pages, err) : NULL;
        if (!host) {
            mcache_report_failure("mapping", addr, pages, err ? errno : ENOMEM);
            *failed = true;
            break;
        }
        for (present = 0; present < pages && !err[present]; present++) {
            ;
        }
        if (present == pages) {
            break;
        }
        /* Cut at the first absent page, and try for just what is there. */
        mcache_unmap_locked(host, pages);
        host = NULL;
        pages = present;
    }
    if (!host) {
        mapcache.stats.holes += !*failed;
        qemu_mutex_unlock(&mapcache.lock);
        return NULL;
    }
    o = outside_add_locked(OUTSIDE_HELD, host, addr - in_page,
                           (hwaddr)pages << XC_PAGE_SHIFT);
    o->held = host + in_page;
    mapcache.nr_held++;
    *plen = MIN(*plen, o->size - in_page);
    qemu_mutex_unlock(&mapcache.lock);

    mcache_rev_add(host + in_page, *plen, MCACHE_REV_HELD, is_write, as);
    return host + in_page;
}

static void held_unmap_locked(Outside *o)
{
    mcache_rev_remove(o->held, 0, MCACHE_REV_HELD);
    mcache_unmap_locked(outside_host(o), o->size >> XC_PAGE_SHIFT);
    mapcache.nr_held--;
    outside_remove_locked(o);
}

/* --- single pages, when memory is short --------------------------------- */

uint8_t *mcache_page_map_locked(ram_addr_t addr)
{
    hwaddr in_page = addr & (XC_PAGE_SIZE - 1);
    int err = 0;
    void *host;
    Outside *o;

    if (nr_pages == PAGES_MAX) {
        return NULL;
    }
    host = mcache_map_call_locked(NULL, addr >> XC_PAGE_SHIFT, 1, &err);
    if (host && err) {
        mcache_unmap_locked(host, 1);
        host = NULL;
    }
    if (!host) {
        return NULL;
    }
    o = outside_add_locked(OUTSIDE_PAGE, host, addr - in_page, XC_PAGE_SIZE);
    o->bql = bql_locked();
    QLIST_INSERT_HEAD(&outside_pages, o, next);
    nr_pages++;
    mcache_reaper_wake_locked();
    return (uint8_t *)host + in_page;
}

static void page_unmap_locked(Outside *o)
{
    if (munmap(outside_host(o), o->size)) {
        return; /* for lack of memory: the next round may have it */
    }
    mapcache.stats.unmap_calls++;
    QLIST_REMOVE(o, next);
    nr_pages--;
    outside_remove_locked(o);
}

void mcache_pages_grace_locked(void)
{
    Outside *o;

    QLIST_FOREACH(o, &outside_pages, next) {
        o->grace = true;
    }
}

void mcache_pages_reap_locked(void)
{
    Outside *o, *next;

    QLIST_FOREACH_SAFE(o, &outside_pages, next, next) {
        if (o->grace) {
            page_unmap_locked(o);
        }
    }
}

void mcache_pages_flush_locked(void)
{
    Outside *o, *next;

    QLIST_FOREACH_SAFE(o, &outside_pages, next, next) {
        if (o->bql) {
            page_unmap_locked(o);
        }
    }
}

/* --- release ------------------------------------------------------------ */

static void grant_unmap_locked(Outside *o)
{
    unmap_locked(outside_host(o), o->size >> XC_PAGE_SHIFT, true);
    nr_grants--;
    outside_remove_locked(o);
}

bool mcache_outside_release(uint8_t *host)
{
    Outside *o;

    /* The common case, DMA that ended in device memory, needs no lock. */
    WITH_RCU_READ_LOCK_GUARD() {
        o = outside_find_locked(host);
        if (o && !o->held) {
            return true;
        }
    }
    QEMU_LOCK_GUARD(&mapcache.lock);
    o = outside_find_locked(host);
    if (!o) {
        return false;
    }
    if (o->held && o->held != host) {
        return false;
    }
    if (o->kind == OUTSIDE_GRANT) {
        grant_unmap_locked(o);
    } else if (o->kind == OUTSIDE_HELD) {
        held_unmap_locked(o);
    }
    return true;
}

void mcache_outside_stats(XenMapCacheStats *stats)
{
    Outside *o;

    QEMU_LOCK_GUARD(&mapcache.lock);
    QLIST_FOREACH(o, &outside_blocks, next) {
        stats->blocks++;
        stats->dummies += o->kind == OUTSIDE_DUMMY;
    }
    stats->grants = nr_grants;
}
