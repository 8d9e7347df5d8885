/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libxensim.so: virtual time that stands still until the host steps it.
 *
 * QEMU reads clock_gettime() for its virtual clock in a few functions of
 * system/cpu-timers.c.  This library recognises them by the caller's address,
 * and returns its own time only to them.  Everything else, such as real-time
 * timers and waits, uses the real clock.
 *
 * The time is stepped in the main loop's waits.  Where the main loop would wait
 * for the next timer, the clock is set forward to that timer, but not beyond
 * the time that the host allows.  So timers run in the order of their
 * deadlines, as they do under the qtest accelerator.
 *
 * All of this is off unless the run directory has the file "clock".
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib.h"
#include "vclock.h"

#define NS          1000000000ll
#define LEAST_NS    1000000ll   /* a wait while time stands still */

typedef struct Range {
    uintptr_t start, end;
} Range;

/* The functions of QEMU that read the clock for virtual time. */
static const char *const readers[] = {
    "cpu_get_clock", "cpu_get_clock_locked", "cpu_enable_ticks",
    "cpu_disable_ticks",
};
#define READERS (sizeof(readers) / sizeof(readers[0]))

static XsimClock *shared;       /* NULL: time passes by itself */
static Range range[READERS];

/* ---- where they are: the program's own symbol table ---- */

static int first_object(struct dl_phdr_info *info, size_t size, void *opaque)
{
    *(uintptr_t *)opaque = info->dlpi_addr;
    return 1;
}

static void note_symbol(const char *name, const ElfW(Sym) *sym,
                        uintptr_t base)
{
    unsigned i;

    for (i = 0; i < READERS; i++) {
        if (ELF64_ST_TYPE(sym->st_info) == STT_FUNC &&
            strcmp(name, readers[i]) == 0) {
            range[i].start = base + sym->st_value;
            range[i].end = range[i].start + sym->st_size;
        }
    }
}

static void read_table(const char *image, const ElfW(Shdr) *table,
                       const ElfW(Shdr) *names)
{
    const ElfW(Sym) *sym = (const void *)(image + table->sh_offset);
    size_t n = table->sh_size / sizeof(*sym), i;
    uintptr_t base = 0;

    dl_iterate_phdr(first_object, &base);
    for (i = 0; i < n; i++) {
        note_symbol(image + names->sh_offset + sym[i].st_name, &sym[i], base);
    }
}

static void read_image(const char *image)
{
    const ElfW(Ehdr) *header = (const void *)image;
    const ElfW(Shdr) *section = (const void *)(image + header->e_shoff);
    unsigned i;

    for (i = 0; i < header->e_shnum; i++) {
        if (section[i].sh_type == SHT_SYMTAB) {
            read_table(image, &section[i], &section[section[i].sh_link]);
        }
    }
}

static void find_readers(void)
{
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct stat st;
    char *image;

    if (fd >= 0 && fstat(fd, &st) == 0) {
        image = (char *)syscall(SYS_mmap, NULL, st.st_size, PROT_READ,
                                MAP_PRIVATE, fd, 0);
        if (image != MAP_FAILED) {
            read_image(image);
            syscall(SYS_munmap, image, st.st_size);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* ---- is there such a clock? ---- */

static void find_clock(void)
{
    const char *dir = getenv("XENSIM");
    char path[320];
    XsimClock *clock;
    int fd;

    if (!dir || !*dir) {
        return;
    }
    snprintf(path, sizeof(path), "%s/" XSIM_CLOCK_FILE, dir);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    clock = (XsimClock *)syscall(SYS_mmap, NULL, XENSIM_PAGE_SIZE,
                                 PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (clock == MAP_FAILED) {
        return;
    }
    find_readers();
    if (range[0].start) {
        shared = clock;
    } else {
        atomic_store(&clock->broken, 1);
    }
}

static XsimClock *get_clock(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, find_clock);
    return shared;
}

static bool reads_virtual_time(const void *caller)
{
    uintptr_t at = (uintptr_t)caller;
    unsigned i;

    for (i = 0; i < READERS; i++) {
        if (at - range[i].start < range[i].end - range[i].start) {
            return true;
        }
    }
    return false;
}

/* ---- interposed ---- */

XSIM_EXPORT int clock_gettime(clockid_t id, struct timespec *ts)
{
    static int (*_Atomic real)(clockid_t, struct timespec *);
    int (*fn)(clockid_t, struct timespec *) = atomic_load(&real);
    XsimClock *clock = get_clock();

    if (clock && reads_virtual_time(__builtin_return_address(0))) {
        int64_t now = atomic_load(&clock->now);

        ts->tv_sec = now / NS;
        ts->tv_nsec = now % NS;
        return 0;
    }
    if (!fn) {
        fn = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT,
                                                          "clock_gettime");
        atomic_store(&real, fn);
    }
    return fn(id, ts);
}

static int real_ppoll(struct pollfd *fds, nfds_t n, int64_t ns,
                      const sigset_t *mask)
{
    struct timespec ts = { ns / NS, ns % NS };

    return syscall(SYS_ppoll, fds, n, ns < 0 ? NULL : &ts, mask,
                   _NSIG / 8);
}

/* Time goes on by @ns (< 0: no timer is set), but not beyond the goal. */
static void step(XsimClock *clock, int64_t now, int64_t goal, int64_t ns)
{
    if (ns < 0 || ns > goal - now) {
        ns = goal - now;
    }
    atomic_compare_exchange_strong(&clock->now, &now, now + ns);
}

XSIM_EXPORT int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *ts,
                      const sigset_t *mask)
{
    int64_t ns = ts ? ts->tv_sec * NS + ts->tv_nsec : -1;
    XsimClock *clock = get_clock();
    int64_t now, goal;
    int rc;

    if (!clock || ns == 0 || syscall(SYS_gettid) != getpid()) {
        return real_ppoll(fds, n, ns, mask);
    }
    now = atomic_load(&clock->now);
    goal = atomic_load(&clock->goal);
    if (now == goal) {
        return real_ppoll(fds, n, ns < 0 || ns > LEAST_NS ? ns : LEAST_NS,
                          mask);
    }
    rc = real_ppoll(fds, n, 0, mask);
    if (rc == 0) {
        step(clock, now, goal, ns);
    }
    return rc;
}
