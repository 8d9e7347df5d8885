/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conformance: mapping memory, accessing it, and reading it back.
 */
#include "conformance.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

Ctx ctx;

static sigjmp_buf touch_env, ask_env;
static volatile sig_atomic_t touching, touch_sig, touch_code;

/* Is it there?  If not, says so. */
static bool opened(const void *handle, const char *what)
{
    if (!handle) {
        fprintf(stderr, "xen-conformance: cannot open %s: %s. Run it as root "
                "in dom0, or on a simulated Xen.\n", what, strerror(errno));
    }
    return handle;
}

bool open_handles(void)
{
    ctx.fmem = xenforeignmemory_open(NULL, 0);
    if (!opened(ctx.fmem, "xenforeignmemory")) {
        return false;
    }
    ctx.dmod = xendevicemodel_open(NULL, 0);
    if (!opened(ctx.dmod, "xendevicemodel")) {
        return false;
    }
    ctx.evtchn = xenevtchn_open(NULL, 0);
    if (!opened(ctx.evtchn, "xenevtchn")) {
        return false;
    }
    ctx.gnttab = xengnttab_open(NULL, 0);
    if (!opened(ctx.gnttab, "xengnttab")) {
        return false;
    }
    ctx.xc = xc_interface_open(NULL, NULL, 0);
    return opened(ctx.xc, "xenctrl");
}

bool domain_exists(uint32_t domid)
{
    xen_pfn_t gfn = ctx.absent;
    int err = 0;
    void *p = xenforeignmemory_map2(ctx.fmem, domid, NULL, PROT_READ, 0, 1,
                                    &gfn, &err);

    unmap(p, 1);
    return p && err != -ESRCH;
}

uint64_t stamp_of(xen_pfn_t gfn)
{
    return (gfn + 1) * 0x9e3779b97f4a7c15ull;
}

void *map_run(void *addr, int prot, int flags, xen_pfn_t gfn, size_t n,
              int *err)
{
    xen_pfn_t gfns[WORK_PAGES] = { 0 };
    size_t i;

    for (i = 0; i < n; i++) {
        gfns[i] = gfn + i;
    }
    errno = 0;
    return xenforeignmemory_map2(ctx.fmem, ctx.domid, addr, prot, flags, n,
                                 gfns, err);
}

void *map_good(xen_pfn_t gfn, size_t n)
{
    int err[WORK_PAGES];
    void *p = map_run(NULL, RW, 0, gfn, n, err);
    size_t i;

    for (i = 0; p && i < n; i++) {
        if (err[i]) {
            unmap(p, n);
            p = NULL;
        }
    }
    return p;
}

bool is_present(xen_pfn_t gfn)
{
    void *p = map_good(gfn, 1);

    unmap(p, 1);
    return p;
}

void unmap(void *p, size_t pages)
{
    if (p) {
        xenforeignmemory_unmap(ctx.fmem, p, pages);
    }
}

bool stamp_work(void)
{
    char *p = map_good(ctx.work, WORK_PAGES);
    unsigned i;

    for (i = 0; p && i < WORK_PAGES; i++) {
        *(GuestWord *)(p + i * PAGE) = stamp_of(ctx.work + i);
    }
    unmap(p, WORK_PAGES);
    return p;
}

unsigned stamps(const void *p, xen_pfn_t gfn, unsigned n)
{
    unsigned good = 0, i;

    for (i = 0; i < n; i++) {
        const char *page = (const char *)p + (size_t)i * PAGE;

        if (!strcmp(touch(page), "ok") &&
            *(GuestWord *)page == stamp_of(gfn + i)) {
            good++;
        }
    }
    return good;
}

/* ---- touching ---- */

static void on_signal(int sig, siginfo_t *info, void *uc)
{
    (void)uc;
    touch_sig = sig;
    touch_code = info->si_code;
    siglongjmp(touching ? touch_env : ask_env, 1);
}

static const char *signal_text(void)
{
    static char text[32];

    snprintf(text, sizeof(text), "SIG%s %d", sigabbrev_np(touch_sig),
             (int)touch_code);
    return text;
}

static const char *access_byte(volatile char *p, bool write)
{
    if (sigsetjmp(touch_env, 1)) {
        touching = 0;
        return signal_text();
    }
    touching = 1;
    if (write) {
        *p = *p;
    } else {
        (void)*p;
    }
    touching = 0;
    return "ok";
}

void ask_safely(void (*ask)(void))
{
    struct sigaction sa = {
        .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO,
    };

    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGBUS, &sa, NULL);
    if (sigsetjmp(ask_env, 1)) {
        say("ended by %s", signal_text());
    } else {
        ask();
    }
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
}

const char *touch(const volatile void *p)
{
    return access_byte((volatile char *)p, false);
}

const char *poke(volatile void *p)
{
    return access_byte((volatile char *)p, true);
}

/* ---- looking ---- */

typedef void AreaFn(void *opaque, uintptr_t start, uintptr_t end,
                    unsigned long inode);

static void each_area(AreaFn *fn, void *opaque)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    uintptr_t start, end;
    unsigned long inode;

    while (maps && fgets(line, sizeof(line), maps)) {
        if (sscanf(line, "%lx-%lx %*s %*s %*s %lu", &start, &end,
                   &inode) == 3) {
            fn(opaque, start, end, inode);
        }
    }
    if (maps) {
        fclose(maps);
    }
}

typedef struct Look {
    uintptr_t start, end;
    unsigned count;
    unsigned long inode;
} Look;

static void look_at(void *opaque, uintptr_t start, uintptr_t end,
                    unsigned long inode)
{
    Look *l = opaque;

    if (start < l->end && end > l->start) {
        l->count++;
        l->inode = inode;
    }
}

unsigned areas(const void *p, size_t len)
{
    Look l = { (uintptr_t)p, (uintptr_t)p + len, 0, 0 };

    each_area(look_at, &l);
    return l.count;
}

bool is_of_file(const void *p, int fd)
{
    Look l = { (uintptr_t)p, (uintptr_t)p + 1, 0, 0 };
    struct stat st;

    each_area(look_at, &l);
    return fstat(fd, &st) == 0 && l.count == 1 && l.inode == st.st_ino;
}
