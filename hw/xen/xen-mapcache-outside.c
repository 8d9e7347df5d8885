/*
 * Xen mapcache: grants, and what is mapped by exactly its pages
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The kernel chooses the address of each of these mappings.  Where they are is
 * in the tree of xen-mapcache-ranges.c.
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"

#include "hw/xen/xen_native.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-calls.h"
#include "xen-mapcache-dma.h"
#include "xen-mapcache-outside.h"
#include "xen-mapcache-slots.h"
#include "xen-mapcache-stats.h"
#include "trace.h"

#include <xengnttab.h>

static xengnttab_handle *outside_gnttab;
static uint64_t nr_grants;  /* under the lock */

/*
 * The limits on mappings of exact pages.  Each takes one or two memory areas,
 * of which a process may have 65,530.  Transfers and held mappings have
 * separate limits, so that transfers always have some.  A held mapping beyond
 * HELD_FIRST_MAX locks buckets instead.  If there are not enough buckets,
 * HELD_MAX applies: it is as many pieces as the guest may give to a virtio-gpu.
 *
 * The longest list of virtio has 1,024 pieces, and virtio-scsi maps each of
 * them twice.  All of them may be mapped so.  If they were copied, a piece that
 * overlaps a copy in part would be cut, and the list has no room for one more.
 * A copy would cut a long transfer, too.  So a short transfer is mapped only if
 * there are fewer than SHORT_MAX mappings, which leaves the rest to long ones.
 */
#define TRANSFERS_MAX   3072
#define SHORT_MAX       2048
#define SHORT_BYTES     (4 * XC_PAGE_SIZE)  /* the longest short transfer */
#define HELD_FIRST_MAX  1024
#define HELD_MAX        (16 * 1024)
static unsigned nr_exact[OUTSIDE_KINDS];    /* under the lock */
static uint64_t exact_bytes;                /* of all of them; under the lock */

/*
 * The mappings of exact pages, found by address, length and use; under the
 * lock.  If several have the same, the one that was made last.
 */
static GHashTable *exact_table;

static ram_addr_t exact_addr(const Outside *o)
{
    return o->addr + (o->held - outside_host(o));
}

static guint exact_hash(gconstpointer key)
{
    uint64_t addr = exact_addr(key);

    return g_int64_hash(&addr);
}

static gboolean exact_equal(gconstpointer a, gconstpointer b)
{
    const Outside *x = a, *y = b;

    return exact_addr(x) == exact_addr(y) && x->len == y->len &&
           x->kind == y->kind;
}


void mcache_outside_init(void)
{
    exact_table = g_hash_table_new(exact_hash, exact_equal);
    mcache_ranges_init();
    outside_gnttab = xengnttab_open(NULL, 0);
    if (!outside_gnttab) {
        /* Only guests that use grants need it. */
        trace_xen_map_cache_failure("xengnttab_open", 0, 0, errno);
    }
}

/* --- unmapping -------------------------------------------------------- */

/*
 * A mapping that nobody uses and that could not be unmapped.  It still has the
 * guest's frames, so the next invalidate tries again.
 */
typedef struct Leftover {
    void *host;
    size_t pages;
    bool grant;
    QSLIST_ENTRY(Leftover) next;
} Leftover;

/* Atomic: an unmap call may fail with mapcache.lock, or without it. */
static QSLIST_HEAD(, Leftover) leftovers;

/* False, with errno, if the kernel or Xen refuses. */
static bool unmap_call(void *host, size_t pages, bool grant)
{
    mcache_count_unmap();
    return (grant ? xengnttab_unmap(outside_gnttab, host, pages)
                  : munmap(host, pages << XC_PAGE_SHIFT)) == 0;
}

static void unmap(void *host, size_t pages, bool grant)
{
    Leftover *l;

    if (!unmap_call(host, pages, grant)) {
        mcache_report_failure("unmapping memory", HWADDR_MAX, pages, errno);
        l = g_new(Leftover, 1);
        *l = (Leftover) { host, pages, grant };
        QSLIST_INSERT_HEAD_ATOMIC(&leftovers, l, next);
    }
}

void mcache_unmap(void *host, size_t pages)
{
    if (pages) {
        unmap(host, pages, false);
    }
}

void *mcache_mapped_or_null(void *host, size_t pages, const int *err)
{
    int unavailable = host ? mcache_unavailable(err, pages) : 0;

    if (unavailable) {
        mcache_unmap(host, pages);
        errno = unavailable;
        return NULL;
    }
    return host;
}

void mcache_unmap_again_locked(void)
{
    QSLIST_HEAD(, Leftover) mine;
    Leftover *l, *next;

    QSLIST_MOVE_ATOMIC(&mine, &leftovers);
    if (QSLIST_EMPTY(&mine)) {
        return;
    }
    qemu_mutex_unlock(&mapcache.lock);
    QSLIST_FOREACH_SAFE(l, &mine, next, next) {
        unmap(l->host, l->pages, l->grant);
        g_free(l);
    }
    qemu_mutex_lock(&mapcache.lock);
}

/* --- grants ----------------------------------------------------------- */

/*
 * The status after a failed call with errno @err: EINVAL if Xen refuses a
 * grant, ENODEV if there is no grant device.
 */
static XenMapStatus grant_status(int err)
{
    return err == EINVAL || err == ENODEV ? XEN_MAP_ABSENT
                                          : XEN_MAP_UNAVAILABLE;
}

/* Makes one call that maps the grants @refs, and counts it; NULL: errno. */
static void *grant_call(uint32_t *refs, uint32_t pages, int prot)
{
    void *host = xengnttab_map_domain_grant_refs(outside_gnttab, pages,
                                                 xen_domid, refs, prot);

    mcache_count_map(pages, !host);
    return host;
}

uint8_t *mcache_grant_map(ram_addr_t addr, ram_addr_t block_offset,
                          hwaddr *plen, bool is_write, XenMapStatus *status)
{
    hwaddr in_page = addr & (XC_PAGE_SIZE - 1);
    uint32_t first = (addr - block_offset) >> XC_PAGE_SHIFT;
    uint32_t pages = DIV_ROUND_UP(in_page + MIN(*plen, MCACHE_DMA_MAX),
                                  XC_PAGE_SIZE), i;
    g_autofree uint32_t *refs = g_try_new(uint32_t, pages);
    int prot = PROT_READ | (is_write ? PROT_WRITE : 0);
    void *host = NULL;
    Outside *o;

    errno = outside_gnttab ? ENOMEM : ENODEV;
    if (refs && outside_gnttab) {
        for (i = 0; i < pages; i++) {
            refs[i] = first + i;
        }
        host = grant_call(refs, pages, prot);
        /* A bad reference makes the call fail: try the first half alone. */
        while (!host && pages > 1 && grant_status(errno) == XEN_MAP_ABSENT) {
            pages /= 2;
            host = grant_call(refs, pages, prot);
        }
    }
    if (!host) {
        int err = errno;

        mcache_report_failure("mapping grant reference", first, pages, err);
        *status = grant_status(err);
        return NULL;
    }

    QEMU_LOCK_GUARD(&mapcache.lock);
    nr_grants++;
    o = mcache_outside_add_locked(OUTSIDE_GRANT, host, addr - in_page,
                                  (hwaddr)pages << XC_PAGE_SHIFT);
    o->held = (uint8_t *)host + in_page;
    *plen = MIN(*plen, o->size - in_page);
    return o->held;
}

/* --- mappings of exactly their pages ------------------------------------ */

/*
 * Maps the pages from @gfn on, *@pages of them, up to the first absent one, and
 * sets *@pages.  Returns NULL, and sets *@status, if nothing was mapped.
 * Without the lock, unless the call is repeated.
 */
static void *exact_map(uint64_t gfn, size_t *pages, XenMapStatus *status)
{
    g_autofree int *err = g_try_new(int, *pages);
    size_t present;
    void *host;

    while (*pages) {
        host = err ? mcache_mapped_or_null(mcache_map_range(NULL, gfn, *pages,
                                                            err), *pages, err)
                   : NULL;
        if (!host) {
            mcache_report_failure("mapping guest address",
                                  gfn << XC_PAGE_SHIFT, *pages,
                                  err ? errno : ENOMEM);
            *status = XEN_MAP_UNAVAILABLE;
            return NULL;
        }
        for (present = 0; present < *pages && !err[present]; present++) {
            ;
        }
        if (present == *pages) {
            return host;
        }
        /* Map again, only the pages before the first absent one. */
        mcache_unmap(host, *pages);
        *pages = present;
    }
    *status = XEN_MAP_ABSENT;
    return NULL;
}

static OutsideKind exact_kind(uint64_t info)
{
    return info & MCACHE_DMA_HELD ? OUTSIDE_HELD : OUTSIDE_TRANSFER;
}

static unsigned exact_max(uint64_t info, hwaddr len, bool first)
{
    if (info & MCACHE_DMA_HELD) {
        return first ? HELD_FIRST_MAX : HELD_MAX;
    }
    return len <= SHORT_BYTES ? SHORT_MAX : TRANSFERS_MAX;
}

/* Counts a mapping of @len bytes; false if that is beyond the limit. */
static bool exact_take_locked(uint64_t info, hwaddr len, bool first)
{
    unsigned *nr = &nr_exact[exact_kind(info)];

    if (*nr >= exact_max(info, len, first)) {
        return false;
    }
    ++*nr;
    return true;
}

static void exact_give_back_locked(uint64_t info)
{
    nr_exact[exact_kind(info)]--;
}

/*
 * Adds the mapping of @pages pages at @host to the tree, and the record of the
 * DMA mapping: @len bytes at @held, which is in these pages.  False if there is
 * no memory for the record.
 */
static bool exact_enter_locked(ram_addr_t addr, uint8_t *host, size_t pages,
                               uint8_t *held, hwaddr len, uint64_t info)
{
    Outside *o;

    if (!mcache_dma_add(held, len, info)) {
        return false;
    }
    o = mcache_outside_add_locked(exact_kind(info), host, addr,
                                  (hwaddr)pages << XC_PAGE_SHIFT);
    o->held = held;
    o->len = len;
    o->users = 1;
    o->gen = mapcache.gen;
    mapcache.nr_held += o->kind == OUTSIDE_HELD;
    exact_bytes += o->size;
    g_hash_table_add(exact_table, o);
    return true;
}

/*
 * Adds a user to the mapping of the same bytes for the same use, and returns
 * its address.  NULL if this generation has none, or without memory for the
 * record.
 */
static uint8_t *exact_again_locked(ram_addr_t addr, hwaddr len, uint64_t info)
{
    Outside key = { .addr = addr, .len = len, .kind = exact_kind(info) };
    Outside *o = g_hash_table_lookup(exact_table, &key);

    if (!o || o->gen != mapcache.gen || !mcache_dma_add(o->held, len, info)) {
        return NULL;
    }
    o->users++;
    mapcache.nr_held += o->kind == OUTSIDE_HELD;
    return o->held;
}

/*
 * Makes one try to map; @again: it is the second one, which is made with the
 * lock.  True if *@host and *@status are the answer; false if an invalidate
 * came meanwhile.
 */
static bool exact_once_locked(ram_addr_t addr, hwaddr *plen, uint64_t info,
                              bool again, uint8_t **host,
                              XenMapStatus *status)
{
    hwaddr in_page = addr & (XC_PAGE_SIZE - 1), len = *plen;
    size_t pages = DIV_ROUND_UP(in_page + len, XC_PAGE_SIZE);
    MapCacheCall call;
    uint8_t *p;
    bool old;

    *host = NULL;
    mcache_call_begin_locked(&call, 0, 0);
    call.again = again;
    mcache_call_unlock(&call);
    p = exact_map(addr >> XC_PAGE_SHIFT, &pages, status);
    mcache_call_lock(&call);
    old = mcache_call_is_old_locked(&call);
    if (p && !old) {
        len = MIN(len, (pages << XC_PAGE_SHIFT) - in_page);
        if (exact_enter_locked(addr - in_page, p, pages, p + in_page, len,
                               info)) {
            *host = p + in_page;
            *plen = len;
        } else {
            *status = XEN_MAP_UNAVAILABLE;
        }
    }
    if (p && !*host) {
        qemu_mutex_unlock(&mapcache.lock);
        mcache_unmap(p, pages);
        qemu_mutex_lock(&mapcache.lock);
    }
    mcache_call_end_locked(&call);
    return !p || !old;
}

uint8_t *mcache_pages_map(ram_addr_t addr, hwaddr *plen, uint64_t info,
                          bool first, XenMapStatus *status)
{
    int64_t start = get_clock();
    uint8_t *host;

    WITH_QEMU_LOCK_GUARD(&mapcache.lock) {
        host = exact_again_locked(addr, *plen, info);
        if (host) {
            return host;
        }
        if (!exact_take_locked(info, *plen, first)) {
            *status = XEN_MAP_UNAVAILABLE;
            return NULL;
        }
        if (!exact_once_locked(addr, plen, info, false, &host, status)) {
            exact_once_locked(addr, plen, info, true, &host, status);
        }
        mcache_miss_ended_locked(start);
        if (host) {
            return host;
        }
        exact_give_back_locked(info);
        mapcache.stats.holes += *status == XEN_MAP_ABSENT;
    }
    if (*status == XEN_MAP_ABSENT) {
        mcache_report_hole(addr);
    }
    return NULL;
}

/*
 * Removes a record of @o.  True if it was the last one: then @o is counted no
 * more, and the caller unmaps it.
 */
static bool pages_end_locked(Outside *o)
{
    mcache_dma_remove(o->held, o->len);
    mapcache.nr_held -= o->kind == OUTSIDE_HELD;
    if (--o->users) {
        return false;
    }
    if (g_hash_table_lookup(exact_table, o) == o) {
        g_hash_table_remove(exact_table, o);
    }
    nr_exact[o->kind]--;
    exact_bytes -= o->size;
    return true;
}

/* --- copies, where nothing can be kept ----------------------------------- */

/* The most pages that one copy maps; more are copied the next time. */
#define COPY_PAGES      64

void xen_map_cache_move(void *host, void *buf, void *old, hwaddr len,
                        bool is_write)
{
    uint8_t *to = host, *known = old, *from = buf;
    hwaddr i;

    if (!old) {
        memmove(is_write ? host : buf, is_write ? buf : host, len);
        return;
    }
    for (i = 0; i < len; i++) {
        uint8_t byte = qatomic_read(&from[i]);

        if (byte != known[i]) {
            to[i] = byte;
            known[i] = byte;
        }
    }
}

/* Without the lock. */
static XenMapStatus copy(ram_addr_t addr, void *buf, void *old, hwaddr *plen,
                         bool is_write)
{
    hwaddr in_page = addr & (XC_PAGE_SIZE - 1);
    size_t pages = MIN(DIV_ROUND_UP(in_page + *plen, XC_PAGE_SIZE),
                       COPY_PAGES);
    size_t present = 0;
    int err[COPY_PAGES];
    uint8_t *host = mcache_map_range(NULL, addr >> XC_PAGE_SHIFT, pages, err);

    host = mcache_mapped_or_null(host, pages, err);
    if (!host) {
        mcache_report_failure("mapping guest address", addr, pages, errno);
        return XEN_MAP_UNAVAILABLE;
    }
    while (present < pages && !err[present]) {
        present++;
    }
    if (present) {
        *plen = MIN(*plen, (present << XC_PAGE_SHIFT) - in_page);
        xen_map_cache_move(host + in_page, buf, old, *plen, is_write);
    }
    mcache_unmap(host, pages);
    return present ? XEN_MAP_OK : XEN_MAP_ABSENT;
}

XenMapStatus mcache_pages_copy(ram_addr_t addr, void *buf, void *old,
                               hwaddr *plen, bool is_write)
{
    int64_t start = get_clock();
    XenMapStatus status;
    MapCacheCall call;

    WITH_QEMU_LOCK_GUARD(&mapcache.lock) {
        /* An invalidate waits until the copy has ended. */
        mcache_call_begin_locked(&call, 0, 0);
        qemu_mutex_unlock(&mapcache.lock);
        status = copy(addr, buf, old, plen, is_write);
        qemu_mutex_lock(&mapcache.lock);
        mcache_call_end_locked(&call);
        mcache_miss_ended_locked(start);
        mapcache.stats.holes += status == XEN_MAP_ABSENT;
    }
    if (status == XEN_MAP_ABSENT) {
        mcache_report_hole(addr);
    }
    return status;
}

/* --- release ------------------------------------------------------------ */

/* Removes @o from the tree, and unmaps it without the lock. */
static void outside_unmap_locked(Outside *o)
{
    void *host = outside_host(o);
    size_t pages = o->size >> XC_PAGE_SHIFT;
    bool grant = o->kind == OUTSIDE_GRANT;
    MapCacheCall call;

    mcache_outside_remove_locked(o);
    mcache_call_begin_locked(&call, 0, 0);
    qemu_mutex_unlock(&mapcache.lock);
    unmap(host, pages, grant);
    qemu_mutex_lock(&mapcache.lock);
    mcache_call_end_locked(&call);
}

bool mcache_outside_release(uint8_t *host, bool *dma)
{
    Outside *o;

    *dma = false;

    /* The common case, DMA that ended in device memory, needs no lock. */
    WITH_RCU_READ_LOCK_GUARD() {
        o = mcache_outside_find_rcu(host);
        if (o && !o->held) {
            return true;
        }
    }
    QEMU_LOCK_GUARD(&mapcache.lock);
    o = mcache_outside_find_locked(host);
    if (!o) {
        return false;
    }
    if (o->held && o->held != host) {
        return false;
    }
    if (o->kind == OUTSIDE_GRANT) {
        nr_grants--;
        outside_unmap_locked(o);
    } else if (o->kind == OUTSIDE_HELD || o->kind == OUTSIDE_TRANSFER) {
        *dma = o->kind == OUTSIDE_TRANSFER;
        if (pages_end_locked(o)) {
            outside_unmap_locked(o);
        }
    }
    return true;
}

uint64_t mcache_grants_locked(void)
{
    return nr_grants;
}

uint64_t mcache_exact_bytes_locked(void)
{
    return exact_bytes;
}
