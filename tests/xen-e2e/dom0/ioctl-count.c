/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Preloaded into a device model: counts its calls to Xen, by number, in the
 * file that IOCTL_COUNT names.  The file is mapped before the device model
 * gives up its rights, and can be read at any time: 16 counts of /dev/xen/
 * privcmd's calls, then the pages that its mapping calls asked for; 64 bits
 * each.
 */

#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PRIVCMD 'P'
#define MMAPBATCH 3
#define MMAPBATCH_V2 4
#define CALLS 16

static uint64_t *counts;

__attribute__((constructor))
static void start(void)
{
    const char *path = getenv("IOCTL_COUNT");
    const size_t bytes = (CALLS + 1) * sizeof(*counts);
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644) : -1;

    if (fd >= 0 && ftruncate(fd, bytes) == 0) {
        void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                       0);

        counts = p == MAP_FAILED ? NULL : p;
    }
    if (fd >= 0) {
        close(fd);
    }
}

int ioctl(int fd, unsigned long request, ...)
{
    unsigned kind = request >> 8 & 0xff, number = request & 0xff;
    va_list args;
    void *arg;

    va_start(args, request);
    arg = va_arg(args, void *);
    va_end(args);
    if (counts && kind == PRIVCMD && number < CALLS) {
        __atomic_fetch_add(&counts[number], 1, __ATOMIC_RELAXED);
        if (number == MMAPBATCH || number == MMAPBATCH_V2) {
            /* both begin with the number of pages */
            __atomic_fetch_add(&counts[CALLS], *(const uint32_t *)arg,
                               __ATOMIC_RELAXED);
        }
    }
    return syscall(SYS_ioctl, fd, request, arg);
}
