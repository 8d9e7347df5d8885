/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Measures how long QEMU's main loop is held.  This library is preloaded into
 * any QEMU, beside the simulated Xen.
 *
 * A round of the main loop begins when poll() returns in the main thread,
 * which then takes the BQL. It ends when the main thread asks GLib again what
 * to wait for.  A poll() within a handler, as in bdrv_drain_all(), does not
 * end a round.  The longest round is written to the file that LOOP_PROBE
 * names, which a test maps (xen-loop-probe.h). Both the time of the clock and
 * the thread's CPU time are kept, because on a busy machine other processes
 * take the processor.
 *
 * Only the main thread writes.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "xen-loop-probe.h"

static LoopProbe *probe;
static uint64_t woken[2];       /* 0: not woken since it asked last */

static uint64_t ns_of(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void __attribute__((constructor)) probe_init(void)
{
    const char *path = getenv("LOOP_PROBE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *p;

    if (fd < 0) {
        return;
    }
    p = mmap(NULL, sizeof(LoopProbe), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
             0);
    close(fd);
    probe = p == MAP_FAILED ? NULL : p;
}

static void note_woken(void)
{
    if (probe && !woken[0] && gettid() == getpid()) {
        woken[0] = ns_of(CLOCK_MONOTONIC);
        woken[1] = ns_of(CLOCK_THREAD_CPUTIME_ID);
    }
}

static void note_longest(uint64_t *longest, uint64_t ns)
{
    if (ns > __atomic_load_n(longest, __ATOMIC_RELAXED)) {
        __atomic_store_n(longest, ns, __ATOMIC_RELAXED);
    }
}

static void note_asks(void)
{
    if (probe && woken[0] && gettid() == getpid()) {
        note_longest(&probe->wall_ns, ns_of(CLOCK_MONOTONIC) - woken[0]);
        note_longest(&probe->cpu_ns,
                     ns_of(CLOCK_THREAD_CPUTIME_ID) - woken[1]);
        __atomic_add_fetch(&probe->rounds, 1, __ATOMIC_RELAXED);
        woken[0] = 0;
    }
}

/* --- what QEMU's main loop calls ------------------------------------------ */

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
          const sigset_t *mask)
{
    static __typeof__(&ppoll) real;
    int rc;

    real = real ? real : REAL(ppoll);
    rc = real(fds, n, timeout, mask);
    note_woken();
    return rc;
}

gint g_main_context_query(GMainContext *context, gint max_priority,
                          gint *timeout, GPollFD *fds, gint n_fds)
{
    static __typeof__(&g_main_context_query) real;

    real = real ? real : REAL(g_main_context_query);
    if (context == NULL || context == g_main_context_default()) {
        note_asks();
    }
    return real(context, max_priority, timeout, fds, n_fds);
}
