/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process's view of the shared memory: creating, finding and mapping it,
 * and the locks and waits that work across processes.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sim.h"

#define WINDOW_SHIFT 18   /* frames in a window, 1 GiB */

void xsim_die(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fputs("xensim: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    abort();
}

void *xsim_raw_mmap(void *addr, size_t len, int prot, int flags, int fd,
                    off_t off)
{
    return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, off);
}

int xsim_raw_munmap(void *addr, size_t len)
{
    return syscall(SYS_munmap, addr, len);
}

void *xsim_map_seg(XsimView *v, unsigned seg)
{
    void *expected = NULL;
    void *p = xsim_raw_mmap(NULL, XSIM_SEG_BYTES, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_NORESERVE, v->shm_fd,
                            (off_t)seg << XSIM_SEG_SHIFT);

    if (p == MAP_FAILED) {
        xsim_die("cannot map segment %u of the shared state: %s; is "
                 "RLIMIT_AS or vm.max_map_count used up?", seg,
                 strerror(errno));
    }
    /* Release: pairs with the acquire in xsim_seg(). */
    if (!atomic_compare_exchange_strong_explicit(&v->seg[seg], &expected, p,
                                                 memory_order_acq_rel,
                                                 memory_order_acquire)) {
        xsim_raw_munmap(p, XSIM_SEG_BYTES);
        p = expected;
    }
    return p;
}

void *xsim_frame(XsimView *v, uint64_t mfn)
{
    uint64_t w = mfn >> WINDOW_SHIFT;
    size_t len = (size_t)XENSIM_PAGE_SIZE << WINDOW_SHIFT;
    void *expected = NULL;
    char *p = atomic_load_explicit(&v->window[w], memory_order_acquire);

    if (!p) {
        p = xsim_raw_mmap(NULL, len, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_NORESERVE, v->mem_fd,
                          (off_t)(w * len));
        if (p == MAP_FAILED) {
            xsim_die("cannot map 1 GiB of machine memory: %s",
                     strerror(errno));
        }
        if (!atomic_compare_exchange_strong_explicit(&v->window[w],
                                                     &expected, p,
                                                     memory_order_acq_rel,
                                                     memory_order_acquire)) {
            xsim_raw_munmap(p, len);
            p = expected;
        }
    }
    return p + ((mfn & ((1u << WINDOW_SHIFT) - 1)) << XENSIM_PAGE_SHIFT);
}

void xsim_mutex_init(pthread_mutex_t *m)
{
    pthread_mutexattr_t attr;

    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(m, &attr);
    pthread_mutexattr_destroy(&attr);
}

void xsim_lock(pthread_mutex_t *m)
{
    int rc = pthread_mutex_lock(m);

    if (rc == EOWNERDEAD) {
        /*
         * A device model was killed inside.  What it left half done is at
         * worst a count that xensim_check() reports.
         */
        pthread_mutex_consistent(m);
    } else if (rc) {
        xsim_die("lock: %s", strerror(rc));
    }
}

void xsim_unlock(pthread_mutex_t *m)
{
    pthread_mutex_unlock(m);
}

void xsim_futex_wait(_Atomic uint32_t *word, uint32_t val, unsigned ms)
{
    struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };

    syscall(SYS_futex, word, FUTEX_WAIT, val, &ts, NULL, 0);
}

void xsim_futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

uint64_t xsim_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int xsim_find_dom(XsimView *v, uint32_t domid)
{
    unsigned i;

    for (i = 0; i < XSIM_MAX_DOMS; i++) {
        /* Acquire: pairs with the release that made it ALIVE. */
        if (atomic_load_explicit(&v->h->dom[i].state,
                                 memory_order_acquire) == XSIM_DOM_ALIVE &&
            atomic_load_explicit(&v->h->dom[i].domid,
                                 memory_order_relaxed) == domid) {
            return i;
        }
    }
    return -1;
}

/* Let others open @fd of this process as @dir/@name. */
static int publish(const char *dir, const char *name, int fd)
{
    char target[64], path[320];

    snprintf(target, sizeof(target), "/proc/%d/fd/%d", (int)getpid(), fd);
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return symlink(target, path) ? -errno : 0;
}

int xsim_view_create(XsimView *v, const char *dir)
{
    XsimHeader *h;
    unsigned i;
    int rc;

    memset(v, 0, sizeof(*v));
    snprintf(v->dir, sizeof(v->dir), "%s", dir);
    v->mem_fd = -1;
    v->shm_fd = memfd_create("xensim-state", MFD_CLOEXEC);
    if (v->shm_fd < 0 ||
        ftruncate(v->shm_fd, (off_t)XSIM_TOTAL_SEGS * XSIM_SEG_BYTES)) {
        goto fail;
    }
    v->mem_fd = memfd_create("xensim-machine", MFD_CLOEXEC);
    if (v->mem_fd < 0 ||
        ftruncate(v->mem_fd, (off_t)XSIM_MAX_MFN * XENSIM_PAGE_SIZE)) {
        goto fail;
    }
    v->h = h = xsim_seg(v, XSIM_REGION_HEADER);
    h->host_pid = getpid();
    h->chunk_end = XSIM_FIRST_CHUNK;
    h->table_end = 1;
    xsim_mutex_init(&h->alloc_lock);
    xsim_mutex_init(&h->dir_lock);
    xsim_mutex_init(&h->evtchn_lock);
    xsim_mutex_init(&h->fault_lock);
    for (i = 0; i < XSIM_MAX_PROCS; i++) {
        xsim_mutex_init(&h->proc[i].lock);
    }
    h->magic = XSIM_MAGIC;
    rc = publish(dir, "state", v->shm_fd);
    if (!rc) {
        rc = publish(dir, "machine", v->mem_fd);
    }
    if (rc) {
        errno = -rc;
        goto fail;
    }
    return 0;

fail:
    rc = -errno;
    xsim_view_close(v);
    return rc;
}

int xsim_view_open(XsimView *v, const char *dir)
{
    char path[320];
    int rc;

    memset(v, 0, sizeof(*v));
    snprintf(v->dir, sizeof(v->dir), "%s", dir);
    v->mem_fd = -1;
    snprintf(path, sizeof(path), "%s/state", dir);
    v->shm_fd = open(path, O_RDWR | O_CLOEXEC);
    if (v->shm_fd < 0) {
        goto fail;
    }
    snprintf(path, sizeof(path), "%s/machine", dir);
    v->mem_fd = open(path, O_RDWR | O_CLOEXEC);
    if (v->mem_fd < 0) {
        goto fail;
    }
    v->h = xsim_seg(v, XSIM_REGION_HEADER);
    if (v->h->magic != XSIM_MAGIC) {
        errno = EPROTO;
        goto fail;
    }
    return 0;

fail:
    rc = -errno;
    xsim_view_close(v);
    return rc;
}

void xsim_view_close(XsimView *v)
{
    unsigned i;

    for (i = 0; i < XSIM_TOTAL_SEGS; i++) {
        if (v->seg[i]) {
            xsim_raw_munmap(v->seg[i], XSIM_SEG_BYTES);
            v->seg[i] = NULL;
        }
    }
    for (i = 0; i < sizeof(v->window) / sizeof(v->window[0]); i++) {
        if (v->window[i]) {
            xsim_raw_munmap(v->window[i],
                            (size_t)XENSIM_PAGE_SIZE << WINDOW_SHIFT);
            v->window[i] = NULL;
        }
    }
    if (v->shm_fd >= 0) {
        close(v->shm_fd);
    }
    if (v->mem_fd >= 0) {
        close(v->mem_fd);
    }
    v->shm_fd = v->mem_fd = -1;
    v->h = NULL;
}
