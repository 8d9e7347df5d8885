/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Preloaded into a device model: counts its calls to Xen, by number, in the
 * file that IOCTL_COUNT names.  The file is mapped before the device model
 * gives up its rights, and can be read at any time: 16 counts of /dev/xen/
 * privcmd's calls; then the pages that its mapping calls asked for; then how
 * often it relocated memory, and pinned a caching type; 64 bits each.
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
#define DM_OP 5
#define CALLS 16

/* Behind the calls. */
enum { PAGES = CALLS, RELOCATIONS, PINS, COUNTS };

/* What /dev/xen/privcmd takes; the operation is at the start of a buffer. */
struct dm_op {
    uint16_t domid, buffers;
    const struct {
        const uint32_t *op;
        size_t size;
    } *buffer;
};

enum { RELOCATE_MEMORY = 17, PIN_MEMORY_CACHEATTR = 18 };

static uint64_t *counts;

__attribute__((constructor))
static void start(void)
{
    const char *path = getenv("IOCTL_COUNT");
    const size_t bytes = COUNTS * sizeof(*counts);
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

static void count(unsigned what, uint64_t n)
{
    __atomic_fetch_add(&counts[what], n, __ATOMIC_RELAXED);
}

static void count_dm_op(const struct dm_op *call)
{
    uint32_t op = call->buffers ? *call->buffer[0].op : 0;

    if (op == RELOCATE_MEMORY) {
        count(RELOCATIONS, 1);
    } else if (op == PIN_MEMORY_CACHEATTR) {
        count(PINS, 1);
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
        count(number, 1);
        if (number == MMAPBATCH || number == MMAPBATCH_V2) {
            /* both begin with the number of pages */
            count(PAGES, *(const uint32_t *)arg);
        } else if (number == DM_OP) {
            count_dm_op(arg);
        }
    }
    return syscall(SYS_ioctl, fd, request, arg);
}
