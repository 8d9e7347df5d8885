/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's view of guest memory: the p2m, accounting, and access by
 * address.
 */
#include <errno.h>
#include <string.h>

#include "host-priv.h"

/* ---- p2m ---- */

uint64_t xensim_gfn_to_mfn(XensimDomain *dom, uint64_t gfn)
{
    XsimDom *d = xsim_host_dom(dom);
    uint64_t e;

    xsim_lock(&d->lock);
    e = xsim_p2m_query(&dom->sim->v, dom->slot, gfn);
    xsim_unlock(&d->lock);
    return e & XSIM_P2M_PRESENT ? XSIM_P2M_MFN(e) : XENSIM_NO_MFN;
}

uint64_t xensim_populate(XensimDomain *dom, uint64_t gfn, uint64_t n)
{
    XsimDom *d = xsim_host_dom(dom);
    uint64_t done;

    xsim_lock(&d->lock);
    done = xsim_p2m_populate(&dom->sim->v, dom->slot, gfn, n);
    xsim_unlock(&d->lock);
    return done;
}

uint64_t xensim_populate_on_demand(XensimDomain *dom, uint64_t gfn, uint64_t n,
                                   uint64_t frames)
{
    XsimDom *d = xsim_host_dom(dom);
    uint64_t done;

    xsim_lock(&d->lock);
    done = xsim_p2m_on_demand(&dom->sim->v, dom->slot, gfn, n, frames);
    xsim_unlock(&d->lock);
    return done;
}

uint64_t xensim_depopulate(XensimDomain *dom, uint64_t gfn, uint64_t n)
{
    XsimDom *d = xsim_host_dom(dom);
    uint64_t done;

    xsim_lock(&d->lock);
    done = xsim_p2m_depopulate(&dom->sim->v, dom->slot, gfn, n);
    xsim_unlock(&d->lock);
    return done;
}

uint64_t xensim_map_mmio(XensimDomain *dom, uint64_t gfn, uint64_t n)
{
    XsimDom *d = xsim_host_dom(dom);
    uint64_t done, i;

    xsim_lock(&d->lock);
    done = xsim_p2m_populate(&dom->sim->v, dom->slot, gfn, n);
    for (i = 0; i < done; i++) {
        xsim_p2m_set_type(&dom->sim->v, dom->slot, gfn + i,
                          XSIM_TYPE_MMIO_DIRECT);
    }
    xsim_unlock(&d->lock);
    return done;
}

uint64_t xensim_cache_flushes(XensimDomain *dom)
{
    XsimDom *d = xsim_host_dom(dom);
    uint64_t n;

    xsim_lock(&d->lock);
    n = d->cache_flushes;
    xsim_unlock(&d->lock);
    return n;
}

int xensim_move(XensimDomain *dom, uint64_t src, uint64_t dst, uint64_t n)
{
    XsimDom *d = xsim_host_dom(dom);
    XsimPunch punch = { 0, 0, 0 };
    uint64_t i;
    int rc = 0;

    xsim_lock(&d->lock);
    for (i = 0; !rc && i < n; i++) {
        rc = xsim_p2m_move(&dom->sim->v, dom->slot, src + i, dst + i, &punch);
    }
    xsim_punch_flush(&dom->sim->v, &punch);
    xsim_unlock(&d->lock);
    return rc;
}

void xensim_p2m_foreach(XensimDomain *dom, XensimRunFn *fn, void *opaque)
{
    XsimDom *d = xsim_host_dom(dom);

    xsim_lock(&d->lock);
    xsim_p2m_walk(&dom->sim->v, dom->slot, fn, opaque);
    xsim_unlock(&d->lock);
}

/* ---- accounting ---- */

void xensim_mem_info(XensimDomain *dom, XensimMemInfo *info)
{
    XsimDom *d = xsim_host_dom(dom);

    xensim_reap(dom->sim);
    xsim_lock(&d->lock);
    info->max_pages = d->max_pages;
    info->tot_pages = xsim_tot_pages(d);
    info->p2m_pages = d->p2m_pages;
    info->held_pages = d->held_pages;
    info->lost_pages = d->lost_pages;
    info->on_demand_gfns = d->pod_entries;
    info->on_demand_pages = d->pod_cache;
    info->mappings = d->mappings;
    info->mapped_pages = d->mapped_pages;
    xsim_unlock(&d->lock);
}

void xensim_set_max_pages(XensimDomain *dom, uint64_t pages)
{
    XsimDom *d = xsim_host_dom(dom);

    xsim_lock(&d->lock);
    d->max_pages = pages;
    xsim_unlock(&d->lock);
}

unsigned xensim_mfn_mappings(Xensim *sim, uint64_t mfn)
{
    xensim_reap(sim);
    return mfn < XSIM_MAX_MFN ? xsim_frame_refs(&sim->v, mfn) : 0;
}

unsigned xensim_gfn_mappings(XensimDomain *dom, uint64_t gfn)
{
    uint64_t mfn = xensim_gfn_to_mfn(dom, gfn);

    return mfn == XENSIM_NO_MFN ? 0 : xensim_mfn_mappings(dom->sim, mfn);
}

void xensim_mappings_foreach(XensimDomain *dom, XensimMapFn *fn, void *opaque)
{
    XsimView *v = &dom->sim->v;
    unsigned proc;
    uint32_t i;

    xensim_reap(dom->sim);
    for (proc = 0; proc < XSIM_MAX_PROCS; proc++) {
        XsimProc *p = &v->h->proc[proc];

        if (!atomic_load(&p->pid)) {
            continue;
        }
        xsim_lock(&p->lock);
        for (i = 1; i <= p->map_end; i++) {
            XsimMap *m = xsim_map(v, proc, i);
            uint64_t off = 0;
            XsimRun *r = NULL;

            while (m->state == XSIM_MAP_LIVE &&
                   (r = xsim_map_next_run(v, proc, m, r))) {
                XensimMapRun run = {
                    .pid = atomic_load(&p->pid),
                    .addr = m->addr + off,
                    .gfn = r->gfn, .mfn = r->mfn, .pages = r->pages,
                    .map_addr = m->addr, .map_pages = m->pages,
                    .grant = m->kind == XSIM_MAP_GRANT,
                    .resource = m->kind == XSIM_MAP_RESOURCE,
                    .writable = m->writable,
                };

                off += (uint64_t)r->pages << XENSIM_PAGE_SHIFT;
                if (r->slot == dom->slot) {
                    fn(opaque, &run);
                }
            }
        }
        xsim_unlock(&p->lock);
    }
}

/* ---- access ---- */

typedef enum { ACCESS_READ, ACCESS_WRITE, ACCESS_FILL } Access;

static int access_page(XensimDomain *dom, uint64_t gpa, void *buf, size_t len,
                       Access what, uint8_t byte)
{
    XsimDom *d = xsim_host_dom(dom);
    uint64_t gfn = gpa >> XENSIM_PAGE_SHIFT;
    uint64_t e;
    char *p;
    int rc = 0;

    /* Held throughout: the frame must not go while it is accessed. */
    xsim_lock(&d->lock);
    e = xsim_p2m_get(&dom->sim->v, dom->slot, gfn);
    if (!e) {
        rc = -EFAULT;
    } else {
        p = (char *)xsim_frame(&dom->sim->v, XSIM_P2M_MFN(e)) +
            gpa % XENSIM_PAGE_SIZE;
        if (what == ACCESS_READ) {
            memcpy(buf, p, len);
        } else if (XSIM_P2M_TYPE(e) != 1 /* HVMMEM_ram_ro: dropped */) {
            if (what == ACCESS_WRITE) {
                memcpy(p, buf, len);
            } else {
                memset(p, byte, len);
            }
            xsim_vram_mark(d, gfn);
        }
    }
    xsim_unlock(&d->lock);
    return rc;
}

static int access_range(XensimDomain *dom, uint64_t gpa, void *buf,
                        size_t len, Access what, uint8_t byte)
{
    char *b = buf;
    int rc = 0;

    while (len && !rc) {
        size_t n = XENSIM_PAGE_SIZE - gpa % XENSIM_PAGE_SIZE;

        n = n < len ? n : len;
        rc = access_page(dom, gpa, b, n, what, byte);
        gpa += n;
        len -= n;
        b = b ? b + n : NULL;
    }
    return rc;
}

int xensim_read(XensimDomain *dom, uint64_t gpa, void *buf, size_t len)
{
    return access_range(dom, gpa, buf, len, ACCESS_READ, 0);
}

int xensim_write(XensimDomain *dom, uint64_t gpa, const void *buf, size_t len)
{
    return access_range(dom, gpa, (void *)buf, len, ACCESS_WRITE, 0);
}

int xensim_fill(XensimDomain *dom, uint64_t gpa, uint8_t byte, size_t len)
{
    return access_range(dom, gpa, NULL, len, ACCESS_FILL, byte);
}

int xensim_mfn_read(Xensim *sim, uint64_t mfn, size_t offset, void *buf,
                    size_t len)
{
    if (mfn >= XSIM_MAX_MFN || offset + len > XENSIM_PAGE_SIZE) {
        return -EINVAL;
    }
    memcpy(buf, (char *)xsim_frame(&sim->v, mfn) + offset, len);
    return 0;
}

int xensim_mfn_write(Xensim *sim, uint64_t mfn, size_t offset,
                     const void *buf, size_t len)
{
    if (mfn >= XSIM_MAX_MFN || offset + len > XENSIM_PAGE_SIZE) {
        return -EINVAL;
    }
    memcpy((char *)xsim_frame(&sim->v, mfn) + offset, buf, len);
    return 0;
}

/* ---- stamps ---- */

#define STAMP_WORDS (XENSIM_PAGE_SIZE / sizeof(uint64_t))
/* A wrong stamp may be one of another time; tests count their seeds up. */
#define STAMP_SEEDS_TRIED 1024

static __thread char stamp_why[200];

static uint64_t stamp_word(uint64_t gfn, uint64_t seed, unsigned i)
{
    uint64_t x = gfn * STAMP_WORDS + i + seed * 0x9e3779b97f4a7c15ull + 1;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

void xensim_stamp_page(void *page, uint64_t gfn, uint64_t seed)
{
    uint64_t *p = page;
    unsigned i;

    for (i = 0; i < STAMP_WORDS; i++) {
        p[i] = stamp_word(gfn, seed, i);
    }
}

/* What is there in place of a stamp. */
static const char *other_word(uint64_t gfn, unsigned i, uint64_t word)
{
    static __thread char text[64];
    uint64_t seed;

    if (!word) {
        return "zeros";
    }
    for (seed = 0; seed < STAMP_SEEDS_TRIED; seed++) {
        if (stamp_word(gfn, seed, i) == word) {
            snprintf(text, sizeof(text), "the page's stamp of seed %u",
                     (unsigned)seed);
            return text;
        }
    }
    return "no stamp of this page";
}

static void set_why(uint64_t gfn, unsigned i, uint64_t seed, uint64_t word)
{
    snprintf(stamp_why, sizeof(stamp_why), "page 0x%llx, byte 0x%x: expected "
             "0x%llx (seed %llu), found 0x%llx, %s", (unsigned long long)gfn,
             i * 8, (unsigned long long)stamp_word(gfn, seed, i),
             (unsigned long long)seed, (unsigned long long)word,
             other_word(gfn, i, word));
}

const char *xensim_stamp_why(void)
{
    return stamp_why[0] ? stamp_why : NULL;
}

void xensim_stamp_forget(void)
{
    stamp_why[0] = '\0';
}

bool xensim_stamp_page_ok(const void *page, uint64_t gfn, uint64_t seed)
{
    const char *p = page;
    unsigned i;

    for (i = 0; i < STAMP_WORDS; i++) {
        uint64_t want = stamp_word(gfn, seed, i);

        if (memcmp(p + i * sizeof(want), &want, sizeof(want))) {
            uint64_t word;

            memcpy(&word, p + i * sizeof(word), sizeof(word));
            set_why(gfn, i, seed, word);
            return false;
        }
    }
    return true;
}

int xensim_stamp(XensimDomain *dom, uint64_t gfn, uint64_t n, uint64_t seed)
{
    uint64_t page[STAMP_WORDS];
    uint64_t i;
    int rc = 0;

    for (i = 0; !rc && i < n; i++) {
        xensim_stamp_page(page, gfn + i, seed);
        rc = xensim_write(dom, (gfn + i) << XENSIM_PAGE_SHIFT, page,
                          sizeof(page));
    }
    return rc;
}

uint64_t xensim_stamp_check(XensimDomain *dom, uint64_t gfn, uint64_t n,
                            uint64_t seed)
{
    uint64_t page[STAMP_WORDS];
    uint64_t i;

    for (i = 0; i < n; i++) {
        if (xensim_read(dom, (gfn + i) << XENSIM_PAGE_SHIFT, page,
                        sizeof(page))) {
            snprintf(stamp_why, sizeof(stamp_why), "page 0x%llx: absent",
                     (unsigned long long)(gfn + i));
            return gfn + i;
        }
        if (!xensim_stamp_page_ok(page, gfn + i, seed)) {
            return gfn + i;
        }
    }
    return XENSIM_NO_GFN;
}
