/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libxensim.so: joining the simulation, and what every call shares.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib.h"

static struct {
    pthread_mutex_t lock;
    _Atomic bool attached;
    bool opened;             /* view is good, perhaps from before a fork */
    bool no_map2;
    unsigned proc;
    int log_fd;
    int file[XSIM_FILES];
    XsimView view;
} lib = { .lock = PTHREAD_MUTEX_INITIALIZER, .log_fd = -1 };

static _Noreturn void no_sim(const char *why, const char *detail)
{
    fprintf(stderr, "libxensim: %s%s; start this program through the "
            "simulation's host, which sets XENSIM to its run directory\n",
            why, detail);
    _exit(XSIM_EXIT_NO_SIM);
}

/*
 * A child of fork() has none of Xen's resources: mappings are not inherited
 * on the real one either.  It becomes a process of its own at its next call.
 */
static void after_fork(void)
{
    atomic_store(&lib.attached, false);
    pthread_mutex_init(&lib.lock, NULL);
}

static void arm_faults(XsimView *v, const char *text)
{
    char buf[1024], name[64];
    char *save = NULL, *part;
    XensimFault f;

    snprintf(buf, sizeof(buf), "%s", text);
    for (part = strtok_r(buf, "; ", &save); part;
         part = strtok_r(NULL, "; ", &save)) {
        if (xsim_fault_parse(part, &f, name, sizeof(name)) ||
            xsim_fault_add(v, &f, lib.proc) < 0) {
            no_sim("XENSIM_FAULT cannot be armed: ", part);
        }
    }
}

static void open_files(const char *dir)
{
    char path[320];
    unsigned i;

    snprintf(path, sizeof(path), "%s/machine", dir);
    for (i = 0; i < XSIM_FILES; i++) {
        lib.file[i] = open(path, O_RDWR | O_CLOEXEC);
        if (lib.file[i] < 0) {
            no_sim("cannot open machine memory in ", dir);
        }
    }
}

static void attach_locked(void)
{
    const char *dir = getenv("XENSIM");
    const char *s;
    bool first = !lib.opened;
    int rc;

    if (!lib.opened) {
        if (!dir || !*dir) {
            no_sim("XENSIM is not set", "");
        }
        rc = xsim_view_open(&lib.view, dir);
        if (rc) {
            no_sim(rc == -EPROTO ? "this libxensim.so is of another build "
                   "than the host of " : "cannot join the simulation in ",
                   dir);
        }
        open_files(dir);
        lib.opened = true;
    }
    rc = xsim_proc_register(&lib.view);
    if (rc < 0) {
        no_sim("too many device models at a time", "");
    }
    lib.proc = rc;
    if (!first) {
        return;
    }
    pthread_atfork(NULL, NULL, after_fork);
    s = getenv("XENSIM_NO_MAP2");
    lib.no_map2 = s && *s && strcmp(s, "0");
    s = getenv("XENSIM_LOG");
    if (s && *s) {
        lib.log_fd = open(s, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (lib.log_fd < 0) {
            no_sim("cannot write to XENSIM_LOG=", s);
        }
    }
    s = getenv("XENSIM_FAULT");
    if (s) {
        arm_faults(&lib.view, s);
    }
}

XsimView *xsim_lib_if_attached(void)
{
    /* Acquire: pairs with the release in xsim_lib(). */
    return atomic_load_explicit(&lib.attached, memory_order_acquire) ?
           &lib.view : NULL;
}

XsimView *xsim_lib(void)
{
    if (!xsim_lib_if_attached()) {
        int saved_errno = errno;

        pthread_mutex_lock(&lib.lock);
        if (!atomic_load(&lib.attached)) {
            attach_locked();
            atomic_store_explicit(&lib.attached, true, memory_order_release);
        }
        pthread_mutex_unlock(&lib.lock);
        errno = saved_errno;
    }
    return &lib.view;
}

unsigned xsim_lib_proc(void)
{
    return lib.proc;
}

int xsim_lib_file(unsigned which)
{
    return lib.file[which];
}

const char *xsim_lib_dir(void)
{
    return xsim_lib()->dir;
}

bool xsim_lib_no_map2(void)
{
    return lib.no_map2;
}

/* ---- restriction ---- */

void xsim_lib_restrict(uint32_t domid)
{
    XsimView *v = xsim_lib();

    atomic_store(&v->h->proc[lib.proc].restricted, domid + 1);
}

bool xensim_restricted(void)
{
    XsimView *v = xsim_lib_if_attached();

    return v && atomic_load(&v->h->proc[lib.proc].restricted);
}

bool xensim_may_control(uint32_t domid)
{
    XsimView *v = xsim_lib();
    uint32_t r = atomic_load(&v->h->proc[lib.proc].restricted);

    return !r || r == domid + 1;
}

/* ---- what every call shares ---- */

int xsim_lib_begin(unsigned call, const XsimGfnSet *set, int *pages)
{
    XsimView *v = xsim_lib();

    return xsim_fault_check(v, call, lib.proc, set, pages);
}

static void log_call(unsigned call, int error, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));

static void log_call(unsigned call, int error, const char *fmt, va_list ap)
{
    char buf[512];
    struct timespec ts;
    size_t n, size = sizeof(buf) - 1;
    int k;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    n = snprintf(buf, size, "%ld.%06ld %d/%ld %s(", (long)ts.tv_sec,
                 ts.tv_nsec / 1000, (int)getpid(), syscall(SYS_gettid),
                 xsim_call_name(call));
    k = vsnprintf(buf + n, size - n, fmt, ap);
    n += k < (int)(size - n) ? (size_t)k : size - n - 1;
    if (error) {
        k = snprintf(buf + n, size - n, ") errno=%d %s", error,
                     strerror(error));
    } else {
        k = snprintf(buf + n, size - n, ") ok");
    }
    n += k < (int)(size - n) ? (size_t)k : size - n - 1;
    buf[n++] = '\n';
    /* One write: lines of several processes do not mix. */
    if (write(lib.log_fd, buf, n) < 0) {
        return;
    }
}

void xsim_lib_end(unsigned call, uint64_t pages, uint64_t mmaps, int error,
                  const char *fmt, ...)
{
    va_list ap;

    xsim_count(&lib.view, call, pages, mmaps, error != 0);
    if (lib.log_fd >= 0) {
        int saved_errno = errno;

        va_start(ap, fmt);
        log_call(call, error, fmt, ap);
        va_end(ap);
        errno = saved_errno;
    }
}

int xsim_lib_result(unsigned call, int rc, const char *fmt, ...)
{
    va_list ap;

    xsim_count(&lib.view, call, 0, 0, rc < 0);
    if (lib.log_fd >= 0) {
        va_start(ap, fmt);
        log_call(call, rc < 0 ? -rc : 0, fmt, ap);
        va_end(ap);
    }
    if (rc < 0) {
        errno = -rc;
        return -1;
    }
    return rc;
}

/* ---- handles ---- */

void *xsim_lib_open(unsigned call, size_t size, unsigned flags)
{
    int e = xsim_lib_begin(call, NULL, NULL);
    void *handle = NULL;

    if (!e && xensim_restricted()) {
        e = EACCES;
    }
    if (!e) {
        handle = calloc(1, size);
        e = handle ? 0 : ENOMEM;
    }
    xsim_lib_end(call, 0, 0, e, "flags=0x%x", flags);
    errno = e ? e : errno;
    return handle;
}

int xsim_lib_restrict_handle(unsigned call, int *restricted, uint32_t domid)
{
    int e = xsim_lib_begin(call, NULL, NULL);

    if (!e && *restricted && *restricted != (int)domid + 1) {
        e = EINVAL;
    }
    if (!e) {
        *restricted = domid + 1;
    }
    return xsim_lib_result(call, -e, "dom=%u", domid);
}

bool xsim_lib_may(int restricted, uint32_t domid)
{
    return xensim_may_control(domid) &&
           (!restricted || restricted == (int)domid + 1);
}

void xsim_unsimulated(const char *name)
{
    fprintf(stderr, "libxensim: %s is not simulated, and the device model "
            "called it\n", name);
    fflush(stderr);
    _exit(XENSIM_EXIT_UNSIMULATED);
}
