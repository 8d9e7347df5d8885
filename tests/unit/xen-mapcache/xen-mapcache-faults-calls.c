/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mapcache while calls fail: the calls that are made to fail.
 */
#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "xen-mapcache-faults.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-calls.h"
#include "xen-mapcache-outside.h"
#include "xen-mapcache-slots.h"
#include "xen-mapcache-wrap.h"

Shared *faults_shared;
FaultsNow faults_now;
__thread bool faults_in_mapcache;
Mistake faults_mistake;

static bool fails(Kind kind)
{
    unsigned n;

    if (!qatomic_read(&faults_now.armed) || faults_now.plan->kind != kind) {
        return false;
    }
    n = qatomic_fetch_inc(&faults_now.seen) + 1;
    if (n == faults_now.nth || (faults_now.for_ever && n > faults_now.nth)) {
        faults_shared->fired = true;
        return true;
    }
    return false;
}

WRAPPED(mmap64);
WRAPPED(munmap);
WRAPPED(mprotect);
WRAPPED(memfd_create);
WRAPPED(g_try_malloc);
WRAPPED(g_try_malloc0);
WRAPPED(g_try_malloc_n);
WRAPPED(g_try_malloc0_n);

void *__wrap_mmap64(void *addr, size_t len, int prot, int flags, int fd,
                    off_t offset)
{
    /* In another thread it is the reaper that empties slots. */
    if ((faults_in_mapcache || (prot == PROT_NONE && flags & MAP_FIXED)) &&
        fails(KIND_MMAP)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return __real_mmap64(addr, len, prot, flags, fd, offset);
}

int __wrap_munmap(void *addr, size_t len)
{
    if (faults_in_mapcache && fails(KIND_MUNMAP)) {
        errno = ENOMEM;
        return -1;
    }
    return __real_munmap(addr, len);
}

int __wrap_mprotect(void *addr, size_t len, int prot)
{
    if (faults_in_mapcache && fails(KIND_MPROTECT)) {
        errno = ENOMEM;
        return -1;
    }
    return __real_mprotect(addr, len, prot);
}

int __wrap_memfd_create(const char *name, unsigned flags)
{
    if (faults_in_mapcache && fails(KIND_MEMFD)) {
        errno = EMFILE;
        return -1;
    }
    return __real_memfd_create(name, flags);
}

WRAPPED(mcache_unmap_again_locked);
WRAPPED(mcache_report_failure);
WRAPPED(mcache_outside_remove_locked);
WRAPPED(mcache_map_range);

void __wrap_mcache_unmap_again_locked(void)
{
    if (faults_mistake != MISTAKE_FORGET) {
        __real_mcache_unmap_again_locked();
    }
}

void __wrap_mcache_report_failure(const char *what, hwaddr addr,
                                  size_t pages, int err)
{
    if (faults_mistake == MISTAKE_EXIT) {
        exit(EXIT_FAILURE);
    }
    __real_mcache_report_failure(what, addr, pages, err);
}

void __wrap_mcache_outside_remove_locked(Outside *o)
{
    if (faults_mistake == MISTAKE_FREED) {
        g_free(o);
        return;
    }
    __real_mcache_outside_remove_locked(o);
}

void *__wrap_mcache_map_range(void *host, uint64_t first_gfn,
                                    size_t pages, int *err)
{
    void *p = __real_mcache_map_range(host, first_gfn, pages, err);
    static unsigned seen;

    if (faults_mistake == MISTAKE_SHIFT) {
        qatomic_or(&seen, 1u << (31 + pages));
    }
    if (!p && !host && faults_mistake == MISTAKE_BYTES) {
        p = __real_mmap64(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(err, 0, pages * sizeof(*err));
    }
    return p;
}

static bool alloc_fails(void)
{
    return faults_in_mapcache && fails(KIND_ALLOC);
}

gpointer __wrap_g_try_malloc(gsize n)
{
    return alloc_fails() ? NULL : __real_g_try_malloc(n);
}

gpointer __wrap_g_try_malloc0(gsize n)
{
    return alloc_fails() ? NULL : __real_g_try_malloc0(n);
}

gpointer __wrap_g_try_malloc_n(gsize n, gsize size)
{
    return alloc_fails() ? NULL : __real_g_try_malloc_n(n, size);
}

gpointer __wrap_g_try_malloc0_n(gsize n, gsize size)
{
    return alloc_fails() ? NULL : __real_g_try_malloc0_n(n, size);
}

void faults_arm(void)
{
    XensimFault f = {
        .call = faults_now.plan->name,
        .first = faults_now.nth,
        .count = faults_now.for_ever ? 0 : 1,
        .error = ENOMEM,
    };

    faults_now.id = -1;
    if (faults_now.plan->kind == KIND_XEN) {
        faults_now.id = xensim_fault_arm(harness_sim, &f);
        g_assert_cmpint(faults_now.id, >=, 0);
    }
    qatomic_set(&faults_now.armed, true);
}

void faults_disarm(void)
{
    qatomic_set(&faults_now.armed, false);
    if (faults_now.id >= 0) {
        if (xensim_fault_hits(harness_sim, faults_now.id) >= faults_now.nth) {
            faults_shared->fired = true;
        }
        xensim_fault_disarm(harness_sim, faults_now.id);
    }
}
