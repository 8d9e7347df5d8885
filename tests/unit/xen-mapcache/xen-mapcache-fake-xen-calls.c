/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fake Xen: the functions of libxen and of the host.
 */
#include "qemu/osdep.h"
#include <sys/mman.h>
#include "qemu/cutils.h"
#include "hw/xen/xen_native.h"
#include <xengnttab.h>
#include "xen-mapcache-harness.h"
#include "xen-mapcache-fake-xen.h"

#define FAULTS      4

typedef struct FakeFault {
    char call[48];      /* "": unused */
    uint64_t first, count, seen;
    int error;
} FakeFault;

struct Xensim {
    int unused;
};

struct XensimDomain {
    int unused;
};

static Xensim the_sim;
static XensimDomain the_domain;
static uint32_t grant_frame[FAKE_GRANTS + 1];   /* 0: not granted */
static FakeFault faults[FAULTS];

/* --- libxen ------------------------------------------------------ */

/* The errno that the call is to fail with, or 0. */
static int fault_of(const char *call)
{
    unsigned i;
    int error = 0;

    for (i = 0; i < FAULTS; i++) {
        FakeFault *f = &faults[i];

        if (!strcmp(f->call, call)) {
            f->seen++;
            if (f->seen >= MAX(f->first, 1) &&
                (!f->count || f->seen < MAX(f->first, 1) + f->count)) {
                error = f->error;
            }
        }
    }
    return error;
}

xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *log,
                                               unsigned open_flags)
{
    return (xenforeignmemory_handle *)&the_sim;
}

void *xenforeignmemory_map2(xenforeignmemory_handle *fmem, uint32_t dom,
                            void *addr, int prot, int flags, size_t num,
                            const xen_pfn_t arr[], int err[])
{
    g_autofree uint32_t *frames = g_new(uint32_t, num);
    int error = fault_of("xenforeignmemory_map2");
    size_t i;

    fake_counts.maps++;
    g_assert_true(!addr == !(flags & MAP_FIXED));
    if (error) {
        if (addr && fake_lose(addr, num)) {
            error = ENOMEM;
        }
        errno = error;
        return NULL;
    }
    for (i = 0; i < num; i++) {
        frames[i] = fake_frame_at(arr[i]);
        err[i] = frames[i] ? 0 : -EINVAL;
    }
    return fake_show(addr, frames, num, NULL);
}

int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr,
                           size_t num)
{
    return fake_unmap(addr, num);
}

xengnttab_handle *xengnttab_open(struct xentoollog_logger *log,
                                 unsigned open_flags)
{
    return (xengnttab_handle *)&the_sim;
}

void *xengnttab_map_domain_grant_refs(xengnttab_handle *xgt, uint32_t count,
                                      uint32_t domid, uint32_t *refs,
                                      int prot)
{
    g_autofree uint32_t *frames = g_new(uint32_t, count);
    int error = fault_of("xengnttab_map_domain_grant_refs");
    uint32_t i;

    fake_counts.maps++;
    for (i = 0; i < count && !error; i++) {
        if (refs[i] > FAKE_GRANTS || !grant_frame[refs[i]]) {
            error = EINVAL;
        } else {
            frames[i] = grant_frame[refs[i]];
        }
    }
    if (error) {
        errno = error;
        return NULL;
    }
    return fake_show(NULL, frames, count, refs);
}

int xengnttab_unmap(xengnttab_handle *xgt, void *addr, uint32_t count)
{
    int error = fault_of("xengnttab_unmap");

    if (error) {
        errno = error;
        return -1;
    }
    return fake_unmap(addr, count);
}

/* --- the host's side --------------------------------------------- */

int xensim_grant(XensimDomain *dom, uint32_t to, uint64_t gfn, bool readonly)
{
    int ref;

    for (ref = 1; ref <= FAKE_GRANTS; ref++) {
        if (!grant_frame[ref] && !fake_grant_maps[ref]) {
            grant_frame[ref] = fake_frame_at(gfn);
            return ref;
        }
    }
    return -ENOSPC;
}

int xensim_grant_revoke(XensimDomain *dom, uint32_t ref)
{
    grant_frame[ref] = 0;
    return fake_grant_maps[ref];
}

int xensim_grant_mappings(XensimDomain *dom, uint32_t ref)
{
    return fake_grant_maps[ref];
}

int xensim_fault_arm(Xensim *sim, const XensimFault *fault)
{
    int i;

    for (i = 0; i < FAULTS; i++) {
        FakeFault *f = &faults[i];

        if (!f->call[0]) {
            *f = (FakeFault) { .first = fault->first, .count = fault->count,
                               .error = fault->error };
            pstrcpy(f->call, sizeof(f->call), fault->call);
            return i;
        }
    }
    return -ENOSPC;
}

int64_t xensim_fault_hits(Xensim *sim, int id)
{
    FakeFault *f = &faults[id];

    return f->seen < MAX(f->first, 1) ? 0 :
           MIN(f->seen, MAX(f->first, 1) + f->count - 1);
}

void xensim_fault_disarm(Xensim *sim, int id)
{
    faults[id].call[0] = '\0';
}

Xensim *xensim_new(const char *run_dir)
{
    return &the_sim;
}

void xensim_free(Xensim *sim)
{
}

void xensim_setenv_for_dm(XensimDomain *dom)
{
}

uint32_t xensim_domid(const XensimDomain *dom)
{
    return 1;
}

XensimDomain *xensim_domain_create(Xensim *sim,
                                   const XensimDomainConfig *cfg)
{
    uint64_t gfn;

    fake_init();
    for (gfn = 0; gfn < cfg->ram_bytes / XENSIM_PAGE_SIZE; gfn++) {
        if (gfn < 0xa0 || gfn > 0xbf) { /* the hole that a guest has */
            xensim_populate(&the_domain, gfn, 1);
        }
    }
    return &the_domain;
}
