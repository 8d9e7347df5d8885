/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libxensim.so: placing mappings, and the process's own mmap() and munmap().
 *
 * These two are interposed, because device models unmap foreign mappings by
 * plain munmap(), or by mapping something else over them.  The references that
 * the mapping holds must then be released.  Mapping over a part of a foreign
 * mapping fails with ENOMEM, and unmapping a part fails with EINVAL, as Linux
 * does under the real Xen.  The calls of a process that has no foreign mapping,
 * and a mmap() without MAP_FIXED, are passed to the kernel unchanged.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib.h"

/* Where an absent page is mapped from: touching it is SIGBUS. */
static int empty_file(void)
{
    static _Atomic int fd = -1;
    int f = atomic_load(&fd);
    int expected = -1;

    if (f < 0) {
        f = memfd_create("xensim-absent", MFD_CLOEXEC);
        if (f < 0) {
            return -1;
        }
        if (!atomic_compare_exchange_strong(&fd, &expected, f)) {
            close(f);
            f = expected;
        }
    }
    return f;
}

static size_t round_up(size_t len)
{
    return (len + XENSIM_PAGE_SIZE - 1) & ~(size_t)(XENSIM_PAGE_SIZE - 1);
}

/*
 * Take the mappings in a range that is about to be unmapped or mapped over
 * out of the tree.  -ENOMEM if one of them sticks out.
 */
static int take_range(XsimView *v, const void *addr, size_t len,
                      uint32_t *list)
{
    XsimProc *p = &v->h->proc[xsim_lib_proc()];
    uint64_t start = (uintptr_t)addr;
    uint64_t end = start + round_up(len);
    int rc = -ENOMEM;

    *list = 0;
    if (!atomic_load_explicit(&p->live, memory_order_relaxed) ||
        end <= start) {
        return 0;
    }
    xsim_lock(&p->lock);
    if (xsim_map_all_inside(v, xsim_lib_proc(), start, end)) {
        *list = xsim_map_take(v, xsim_lib_proc(), start, end);
        rc = 0;
    }
    xsim_unlock(&p->lock);
    return rc;
}

static void put_range_back(XsimView *v, uint32_t list)
{
    XsimProc *p = &v->h->proc[xsim_lib_proc()];

    xsim_lock(&p->lock);
    xsim_map_put_back(v, xsim_lib_proc(), list);
    xsim_unlock(&p->lock);
}

static void insert_map(XsimView *v, uint32_t map, void *addr, size_t pages)
{
    XsimProc *p = &v->h->proc[xsim_lib_proc()];

    xsim_lock(&p->lock);
    xsim_map_insert(v, xsim_lib_proc(), map, (uintptr_t)addr, pages);
    xsim_unlock(&p->lock);
}

/*
 * A file to map from that no neighbour is mapped from.  Where a mapping that
 * is not fixed will lie is not known, so its file is the next in turn.
 */
static unsigned pick_file(XsimView *v, const XsimMapHow *how)
{
    static _Atomic unsigned turn;
    XsimProc *p = &v->h->proc[xsim_lib_proc()];
    uint64_t start = (uintptr_t)how->addr;
    uint64_t end = start + how->pages * XENSIM_PAGE_SIZE;
    uint32_t below, above;
    unsigned file = 0;

    if (!(how->flags & MAP_FIXED)) {
        return atomic_fetch_add(&turn, 1) % XSIM_FILES;
    }
    xsim_lock(&p->lock);
    below = xsim_map_find(v, xsim_lib_proc(), start - 1, start);
    above = xsim_map_find(v, xsim_lib_proc(), end, end + 1);
    while ((below && xsim_map(v, xsim_lib_proc(), below)->file == file) ||
           (above && xsim_map(v, xsim_lib_proc(), above)->file == file)) {
        file++;
    }
    xsim_unlock(&p->lock);
    return file;
}

/* Map each run at its place inside [base, base + how->pages). */
static int show_runs(XsimView *v, XsimMap *m, char *base,
                     const XsimMapHow *how, const int *pages,
                     unsigned *mmaps)
{
    XsimRun *run = xsim_map_next_run(v, xsim_lib_proc(), m, NULL);
    uint32_t used = 0;      /* pages of the run that are mapped */
    size_t i = 0;

    while (run) {
        uint32_t n = 0;

        while (pages && pages[i]) {
            i++;
        }
        /* A run may be interrupted where a fault made a page absent. */
        while (used + n < run->pages && !(pages && pages[i + n])) {
            n++;
        }
        if (xsim_raw_mmap(base + i * XENSIM_PAGE_SIZE,
                          (size_t)n * XENSIM_PAGE_SIZE, how->prot,
                          MAP_SHARED | MAP_FIXED, xsim_lib_file(m->file),
                          (off_t)(run->mfn + used) << XENSIM_PAGE_SHIFT) ==
            MAP_FAILED) {
            return -errno;
        }
        ++*mmaps;
        i += n;
        used += n;
        if (used == run->pages) {
            run = xsim_map_next_run(v, xsim_lib_proc(), m, run);
            used = 0;
        }
    }
    return 0;
}

void *xsim_lib_show(XsimView *v, uint32_t map, const XsimMapHow *how,
                    const int *pages, unsigned *mmaps)
{
    XsimMap *m = xsim_map(v, xsim_lib_proc(), map);
    size_t len = how->pages * XENSIM_PAGE_SIZE;
    bool fixed = how->flags & MAP_FIXED;
    bool whole = m->nr_runs == 1 && m->run.pages == how->pages;
    uint32_t old = 0;
    void *base = MAP_FAILED;
    int rc = 0;

    *mmaps = 0;
    if (fixed) {
        rc = take_range(v, how->addr, len, &old);
        if (rc) {
            goto fail;
        }
    }
    m->file = pick_file(v, how);
    base = xsim_raw_mmap(how->addr, len, how->prot, how->flags | MAP_SHARED,
                         whole ? xsim_lib_file(m->file) : empty_file(),
                         whole ? (off_t)m->run.mfn << XENSIM_PAGE_SHIFT : 0);
    if (base == MAP_FAILED) {
        rc = -errno;
        put_range_back(v, old);
        goto fail;
    }
    ++*mmaps;
    /* From here on the old mappings are gone, whatever happens. */
    xsim_map_drop_list(v, xsim_lib_proc(), old);
    if (!whole) {
        rc = show_runs(v, m, base, how, pages, mmaps);
        if (rc) {
            xsim_raw_munmap(base, len);
            goto fail;
        }
    }
    insert_map(v, map, base, how->pages);
    return base;

fail:
    xsim_map_drop(v, xsim_lib_proc(), map);
    errno = -rc;
    return NULL;
}

int xsim_lib_lose_target(const XsimMapHow *how)
{
    if (how->flags & MAP_FIXED) {
        size_t len = how->pages * XENSIM_PAGE_SIZE;
        XsimView *v = xsim_lib();
        uint32_t old;
        int rc = take_range(v, how->addr, len, &old);

        if (rc) {
            return rc;
        }
        xsim_raw_munmap(how->addr, len);
        xsim_map_drop_list(v, xsim_lib_proc(), old);
    }
    return 0;
}

int xsim_lib_munmap(void *addr, size_t len)
{
    XsimView *v = xsim_lib_if_attached();
    uint32_t list = 0;
    int rc;

    if (v) {
        rc = take_range(v, addr, len, &list);
        if (rc) {
            /* Of munmap() Linux gives the reason; mmap() says ENOMEM. */
            errno = EINVAL;
            return -1;
        }
    }
    rc = xsim_raw_munmap(addr, len);
    if (list) {
        int saved_errno = errno;

        if (rc) {
            put_range_back(v, list);
        } else {
            xsim_map_drop_list(v, xsim_lib_proc(), list);
        }
        errno = saved_errno;
    }
    return rc;
}

/* ---- interposed ---- */

static void *do_mmap(void *addr, size_t len, int prot, int flags, int fd,
                     off_t off)
{
    XsimView *v = flags & MAP_FIXED ? xsim_lib_if_attached() : NULL;
    uint32_t list = 0;
    void *p;
    int rc;

    if (v) {
        rc = take_range(v, addr, len, &list);
        if (rc) {
            errno = -rc;
            return MAP_FAILED;
        }
    }
    p = xsim_raw_mmap(addr, len, prot, flags, fd, off);
    if (list) {
        int saved_errno = errno;

        if (p == MAP_FAILED) {
            put_range_back(v, list);
        } else {
            xsim_map_drop_list(v, xsim_lib_proc(), list);
        }
        errno = saved_errno;
    }
    return p;
}

/*
 * Both names, under whatever _FILE_OFFSET_BITS: the header may have given one
 * the other's symbol.
 */
XSIM_EXPORT void *xsim_sym_mmap(void *addr, size_t len, int prot, int flags,
                                int fd, off_t off) __asm__("mmap");
XSIM_EXPORT void *xsim_sym_mmap64(void *addr, size_t len, int prot, int flags,
                                  int fd, off_t off) __asm__("mmap64");

void *xsim_sym_mmap(void *addr, size_t len, int prot, int flags, int fd,
                    off_t off)
{
    return do_mmap(addr, len, prot, flags, fd, off);
}

void *xsim_sym_mmap64(void *addr, size_t len, int prot, int flags, int fd,
                      off_t off)
{
    return do_mmap(addr, len, prot, flags, fd, off);
}

XSIM_EXPORT int munmap(void *addr, size_t len)
{
    return xsim_lib_munmap(addr, len);
}

/* A mapping of Xen's cannot be moved or resized, not even by accident. */
XSIM_EXPORT void *mremap(void *addr, size_t old_len, size_t new_len,
                         int flags, ...)
{
    XsimView *v = xsim_lib_if_attached();
    uint64_t start = (uintptr_t)addr;
    void *target = NULL;
    va_list ap;

    if (flags & MREMAP_FIXED) {
        va_start(ap, flags);
        target = va_arg(ap, void *);
        va_end(ap);
    }
    if (v) {
        XsimProc *p = &v->h->proc[xsim_lib_proc()];
        uint64_t dst = (uintptr_t)target;
        bool hit;

        xsim_lock(&p->lock);
        hit = xsim_map_find(v, xsim_lib_proc(), start,
                            start + round_up(old_len ? old_len : 1)) ||
              (target && xsim_map_find(v, xsim_lib_proc(), dst,
                                       dst + round_up(new_len)));
        xsim_unlock(&p->lock);
        if (hit) {
            errno = EFAULT;
            return MAP_FAILED;
        }
    }
    return (void *)syscall(SYS_mremap, addr, old_len, new_len, flags, target);
}
