/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mapping records: see mapping.h.
 *
 * The tree is a treap over record indices.  Priorities are a hash of the
 * index, so that its shape needs no state of its own.
 */
#include <errno.h>
#include <string.h>

#include "mapping.h"

static unsigned proc_seg(unsigned proc)
{
    return XSIM_REGION_PROC + proc * XSIM_PROC_SEGS;
}

XsimMap *xsim_map(XsimView *v, unsigned proc, uint32_t index)
{
    return xsim_at(v, proc_seg(proc), (uint64_t)index * XSIM_MAP_BYTES);
}

XsimRun *xsim_run(XsimView *v, unsigned proc, uint32_t index)
{
    return xsim_at(v, proc_seg(proc) + XSIM_PROC_RUN_SEG,
                   (uint64_t)index * XSIM_RUN_BYTES);
}

static uint32_t prio_of(uint32_t i)
{
    i *= 0x9e3779b1u;
    i ^= i >> 15;
    i *= 0x85ebca77u;
    return i ^ i >> 13;
}

uint32_t xsim_map_new(XsimView *v, unsigned proc, unsigned kind)
{
    XsimProc *p = &v->h->proc[proc];
    XsimMap *m = NULL;
    uint32_t i;

    xsim_lock(&p->lock);
    i = p->free_map;
    if (i) {
        m = xsim_map(v, proc, i);
        p->free_map = m->next;
    } else if (p->map_end + 1 < XSIM_MAX_MAPS) {
        i = ++p->map_end;
        m = xsim_map(v, proc, i);
    } else {
        i = 0;
    }
    if (i) {
        memset(m, 0, sizeof(*m));
        m->kind = kind;
        m->prio = prio_of(i);
        m->state = XSIM_MAP_HOLDING;
    }
    xsim_unlock(&p->lock);
    return i;
}

static uint32_t run_new(XsimView *v, unsigned proc)
{
    XsimProc *p = &v->h->proc[proc];
    uint32_t i;

    xsim_lock(&p->lock);
    i = p->free_run;
    if (i) {
        p->free_run = xsim_run(v, proc, i)->next;
    } else if (p->run_end + 1 < XSIM_MAX_RUNS) {
        i = ++p->run_end;
    }
    xsim_unlock(&p->lock);
    return i;
}

int xsim_map_add(XsimView *v, unsigned proc, uint32_t map, unsigned slot,
                 uint64_t gfn, uint64_t mfn, uint64_t pages, uint32_t grant)
{
    XsimMap *m = xsim_map(v, proc, map);
    XsimRun *run = m->last_run ? xsim_run(v, proc, m->last_run) : &m->run;
    uint32_t i;

    if (m->nr_runs && m->kind != XSIM_MAP_GRANT && run->slot == slot &&
        run->gfn + run->pages == gfn && run->mfn + run->pages == mfn) {
        xsim_frames_ref_longer(v, run->mfn, run->pages, pages);
        run->pages += pages;
    } else {
        if (m->nr_runs) {
            i = run_new(v, proc);
            if (!i) {
                return -ENOMEM;
            }
            run->next = i;
            m->last_run = i;
            run = xsim_run(v, proc, i);
        } else {
            m->slot = slot;
            xsim_dom(v, slot)->mappings++;
        }
        run->gfn = gfn;
        run->mfn = mfn;
        run->pages = pages;
        run->next = 0;
        run->grant = grant;
        run->slot = slot;
        m->nr_runs++;
        xsim_frames_ref(v, mfn, pages);
    }
    xsim_dom(v, slot)->mapped_pages += pages;
    return 0;
}

XsimRun *xsim_map_next_run(XsimView *v, unsigned proc, XsimMap *m,
                           XsimRun *run)
{
    if (!run) {
        return m->nr_runs ? &m->run : NULL;
    }
    return run->next ? xsim_run(v, proc, run->next) : NULL;
}

/* Give up the references of @m, domain by domain. */
static void unref_runs(XsimView *v, unsigned proc, XsimMap *m)
{
    XsimPunch punch = { 0, 0, 0 };
    XsimRun *run = NULL;
    int slot = -1;

    while ((run = xsim_map_next_run(v, proc, m, run))) {
        XsimDom *d;

        if (slot != (int)run->slot) {
            if (slot >= 0) {
                xsim_punch_flush(v, &punch);
                xsim_dom_maybe_gone(v, slot);
                xsim_unlock(&xsim_dom(v, slot)->lock);
            }
            slot = run->slot;
            xsim_lock(&xsim_dom(v, slot)->lock);
        }
        d = xsim_dom(v, slot);
        xsim_frames_unref(v, slot, run->mfn, run->pages, &punch);
        d->mapped_pages -= run->pages;
        if (m->kind == XSIM_MAP_GRANT && d->grant[run->grant].maps) {
            d->grant[run->grant].maps--;
        }
        if (run == &m->run) {
            d->mappings--;
        }
        /* For xensim_check(), which may look before the record is free. */
        run->pages = 0;
    }
    if (slot >= 0) {
        xsim_punch_flush(v, &punch);
        xsim_dom_maybe_gone(v, slot);
        xsim_unlock(&xsim_dom(v, slot)->lock);
    }
}

void xsim_map_drop(XsimView *v, unsigned proc, uint32_t map)
{
    XsimProc *p = &v->h->proc[proc];
    XsimMap *m = xsim_map(v, proc, map);

    unref_runs(v, proc, m);
    xsim_lock(&p->lock);
    if (m->last_run) {
        xsim_run(v, proc, m->last_run)->next = p->free_run;
        p->free_run = m->run.next;
    }
    m->state = XSIM_MAP_FREE;
    m->next = p->free_map;
    p->free_map = map;
    xsim_unlock(&p->lock);
}

void xsim_map_drop_list(XsimView *v, unsigned proc, uint32_t map)
{
    while (map) {
        uint32_t next = xsim_map(v, proc, map)->next;

        xsim_map_drop(v, proc, map);
        map = next;
    }
}

/* ---- the tree ---- */

/* Split @t into what starts below @addr and the rest. */
static void split(XsimView *v, unsigned proc, uint32_t t, uint64_t addr,
                  uint32_t *left, uint32_t *right)
{
    while (t) {
        XsimMap *m = xsim_map(v, proc, t);

        if (m->addr < addr) {
            *left = t;
            left = &m->right;
            t = m->right;
        } else {
            *right = t;
            right = &m->left;
            t = m->left;
        }
    }
    *left = *right = 0;
}

static uint32_t merge(XsimView *v, unsigned proc, uint32_t a, uint32_t b)
{
    uint32_t root = 0;
    uint32_t *link = &root;

    while (a && b) {
        XsimMap *ma = xsim_map(v, proc, a);
        XsimMap *mb = xsim_map(v, proc, b);

        if (ma->prio > mb->prio) {
            *link = a;
            link = &ma->right;
            a = ma->right;
        } else {
            *link = b;
            link = &mb->left;
            b = mb->left;
        }
    }
    *link = a ? a : b;
    return root;
}

static uint64_t map_end(const XsimMap *m)
{
    return m->addr + (m->pages << XENSIM_PAGE_SHIFT);
}

void xsim_map_insert(XsimView *v, unsigned proc, uint32_t map, uint64_t addr,
                     uint64_t pages)
{
    XsimProc *p = &v->h->proc[proc];
    XsimMap *m = xsim_map(v, proc, map);
    uint32_t *link = &p->root;

    m->addr = addr;
    m->pages = pages;
    while (*link && xsim_map(v, proc, *link)->prio > m->prio) {
        XsimMap *n = xsim_map(v, proc, *link);

        link = n->addr < addr ? &n->right : &n->left;
    }
    split(v, proc, *link, addr, &m->left, &m->right);
    *link = map;
    m->state = XSIM_MAP_LIVE;
    atomic_fetch_add(&p->live, 1);
}

uint32_t xsim_map_find(XsimView *v, unsigned proc, uint64_t start,
                       uint64_t end)
{
    uint32_t t = v->h->proc[proc].root;

    while (t) {
        XsimMap *m = xsim_map(v, proc, t);

        if (m->addr >= end) {
            t = m->left;
        } else if (map_end(m) <= start) {
            t = m->right;
        } else {
            return t;
        }
    }
    return 0;
}

/*
 * None overlaps another, so only the one below an edge can stick out: look
 * at who has the first and the last byte.
 */
bool xsim_map_all_inside(XsimView *v, unsigned proc, uint64_t start,
                         uint64_t end)
{
    uint32_t a = xsim_map_find(v, proc, start, start + 1);
    uint32_t b = xsim_map_find(v, proc, end - 1, end);

    return (!a || xsim_map(v, proc, a)->addr >= start) &&
           (!a || map_end(xsim_map(v, proc, a)) <= end) &&
           (!b || map_end(xsim_map(v, proc, b)) <= end) &&
           (!b || xsim_map(v, proc, b)->addr >= start);
}

/* Turn the tree @t into a list, in front of @list. */
static uint32_t flatten(XsimView *v, unsigned proc, uint32_t t, uint32_t list)
{
    while (t) {
        XsimMap *m = xsim_map(v, proc, t);
        uint32_t left = m->left;

        list = flatten(v, proc, m->right, list);
        m->next = list;
        m->state = XSIM_MAP_HOLDING;
        atomic_fetch_sub(&v->h->proc[proc].live, 1);
        list = t;
        t = left;
    }
    return list;
}

uint32_t xsim_map_take(XsimView *v, unsigned proc, uint64_t start,
                       uint64_t end)
{
    XsimProc *p = &v->h->proc[proc];
    uint32_t below, inside, above;

    split(v, proc, p->root, start, &below, &inside);
    split(v, proc, inside, end, &inside, &above);
    p->root = merge(v, proc, below, above);
    return flatten(v, proc, inside, 0);
}

void xsim_map_put_back(XsimView *v, unsigned proc, uint32_t list)
{
    while (list) {
        XsimMap *m = xsim_map(v, proc, list);
        uint32_t next = m->next;

        xsim_map_insert(v, proc, list, m->addr, m->pages);
        list = next;
    }
}
