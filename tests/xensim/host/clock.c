/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Virtual time that stands still until it is stepped: the host's end. */
#include "xen-abi.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host-priv.h"
#include "vclock.h"

int xensim_clock_freeze(Xensim *sim)
{
    char path[320];
    void *p;
    int fd;

    if (sim->clock) {
        return 0;
    }
    snprintf(path, sizeof(path), "%s/" XSIM_CLOCK_FILE, sim->v.dir);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return -errno;
    }
    p = ftruncate(fd, XENSIM_PAGE_SIZE) ? MAP_FAILED :
        mmap(NULL, XENSIM_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
             0);
    close(fd);
    if (p == MAP_FAILED) {
        unlink(path);
        return -EIO;
    }
    sim->clock = p;
    return 0;
}

void xsim_host_clock_end(Xensim *sim)
{
    char path[320];

    if (sim->clock) {
        munmap(sim->clock, XENSIM_PAGE_SIZE);
        sim->clock = NULL;
        snprintf(path, sizeof(path), "%s/" XSIM_CLOCK_FILE, sim->v.dir);
        unlink(path);
    }
}

/* Its main loop comes round: an answer is given by it. */
static XensimStatus wake(XensimDomain *dom)
{
    XensimIoreq req = {
        .type = XENSIM_IOREQ_PCI_CONFIG, .size = 4, .count = 1, .read = true,
    };

    return xensim_ioreq(dom, &req);
}

XensimStatus xensim_clock_pass(XensimDomain *dom, uint64_t ns)
{
    XsimClock *clock = dom->sim->clock;
    uint64_t end = xsim_now_ms() + dom->sim->timeout_ms;
    const struct timespec pause = { 0, 20000 };
    XensimStatus status;
    int64_t goal;

    if (!clock) {
        return XENSIM_BAD;
    }
    goal = atomic_fetch_add(&clock->goal, (int64_t)ns) + (int64_t)ns;
    status = wake(dom);
    while (status == XENSIM_OK && atomic_load(&clock->now) < goal) {
        if (atomic_load(&clock->broken)) {
            return XENSIM_BAD;
        }
        if (xsim_now_ms() > end) {
            return XENSIM_TIMEOUT;
        }
        nanosleep(&pause, NULL);
    }
    /* The last timers run before it takes another request. */
    return status == XENSIM_OK ? wake(dom) : status;
}
