/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xensim_check(): counts everything again, and compares the counts.
 *
 *   p2m entries          against  the frames' m2p and the domain's counts
 *   frames of a chunk    against  the chunk's counts and its owner's
 *   mapping records      against  the frames' references, the domains' and
 *                                 grants' counts
 *   the trees of records against  their order and number
 *
 * It holds the locks of all domains, and then takes the lock of each process in
 * turn, which is the lock order of shm.h.  No other code holds two domains'
 * locks.
 */
#include <glib.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "host-priv.h"

typedef struct Count {
    uint64_t p2m, held, lost, xen, mappings, mapped_pages;
    uint32_t grant[XSIM_MAX_GRANTS];
} Count;

typedef struct Check {
    XsimView *v;
    unsigned errors;
    unsigned slot;            /* the domain whose p2m is being walked */
    Count *count;             /* for each slot */
    GHashTable *refs;         /* mfn -> references in the records */
} Check;

static void wrong(Check *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void wrong(Check *c, const char *fmt, ...)
{
    va_list ap;

    /* The first lines tell; a flood would hide them. */
    if (c->errors++ >= 20) {
        return;
    }
    va_start(ap, fmt);
    fputs("xensim_check: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

static void check_p2m_run(void *opaque, uint64_t gfn, uint64_t mfn,
                          uint64_t pages)
{
    Check *c = opaque;
    uint64_t i;

    c->count[c->slot].p2m += pages;
    for (i = 0; i < pages; i++) {
        XsimChunk *chunk = xsim_chunk(c->v, (mfn + i) >> XSIM_CHUNK_SHIFT);
        uint64_t back;

        if (chunk->state == XSIM_CHUNK_FREE || chunk->owner != c->slot) {
            wrong(c, "gfn 0x%" PRIx64 " of slot %u has mfn 0x%" PRIx64
                  ", which is not its own", gfn + i, c->slot, mfn + i);
            continue;
        }
        back = chunk->state == XSIM_CHUNK_SUPER ?
               chunk->gfn + (mfn + i) % XSIM_CHUNK_FRAMES :
               (uint64_t)xsim_frame_info(c->v, mfn + i)->m2p - 1;
        if (back != gfn + i) {
            wrong(c, "gfn 0x%" PRIx64 " of slot %u: mfn 0x%" PRIx64 " says it "
                  "is at 0x%" PRIx64, gfn + i, c->slot, mfn + i, back);
        }
        if (chunk->state == XSIM_CHUNK_SUPER) {
            /* The rest of a large page is alike. */
            i += XSIM_CHUNK_FRAMES - 1 - (mfn + i) % XSIM_CHUNK_FRAMES;
        }
    }
}

static void check_chunk(Check *c, uint32_t i)
{
    XsimChunk *chunk = xsim_chunk(c->v, i);
    Count *n = &c->count[chunk->owner];
    unsigned used = 0, held = 0, k;
    uint64_t refs = 0;

    if (chunk->state == XSIM_CHUNK_FREE ||
        (chunk->state == XSIM_CHUNK_SUPER && !chunk->refs)) {
        return;
    }
    for (k = 0; k < XSIM_CHUNK_FRAMES; k++) {
        uint64_t mfn = ((uint64_t)i << XSIM_CHUNK_SHIFT) + k;
        XsimFrame *f = xsim_frame_info(c->v, mfn);
        uint64_t want = (uintptr_t)g_hash_table_lookup(c->refs,
                                                       &(gint64) { mfn });
        unsigned has = xsim_frame_refs(c->v, mfn);

        refs += has;
        if (has != want) {
            wrong(c, "mfn 0x%" PRIx64 " has %u references, mappings make %"
                  PRIu64, mfn, has, want);
        }
        if (chunk->state == XSIM_CHUNK_SUPER) {
            used++;
            continue;
        }
        used += f->m2p != XSIM_M2P_FREE;
        held += f->m2p == XSIM_M2P_HELD;
        n->lost += f->m2p == XSIM_M2P_LOST;
        n->xen += f->m2p == XSIM_M2P_XEN;
        if (f->m2p == XSIM_M2P_HELD && !has) {
            wrong(c, "mfn 0x%" PRIx64 " is held by nobody", mfn);
        }
        if (f->m2p == XSIM_M2P_FREE && has) {
            wrong(c, "mfn 0x%" PRIx64 " is free and mapped", mfn);
        }
    }
    n->held += held;
    if (chunk->state == XSIM_CHUNK_SPLIT && held != chunk->held) {
        wrong(c, "chunk %u: %u frames are held, it says %u", i, held,
              chunk->held);
    }
    if (used != chunk->used) {
        wrong(c, "chunk %u: %u frames in use, it says %u", i, used,
              chunk->used);
    }
    if (refs != chunk->refs) {
        wrong(c, "chunk %u: %" PRIu64 " references, it says %u", i, refs,
              chunk->refs);
    }
}

static void count_record(Check *c, unsigned proc, XsimMap *m)
{
    XsimRun *run = NULL;
    bool first = true;
    uint32_t k;

    while ((run = xsim_map_next_run(c->v, proc, m, run))) {
        Count *n = &c->count[run->slot];

        n->mappings += first && run->pages;
        first = false;
        n->mapped_pages += run->pages;
        if (m->kind == XSIM_MAP_GRANT && run->pages) {
            n->grant[run->grant]++;
        }
        for (k = 0; k < run->pages; k++) {
            gint64 mfn = run->mfn + k;
            uintptr_t refs = (uintptr_t)g_hash_table_lookup(c->refs, &mfn);

            g_hash_table_insert(c->refs, g_memdup2(&mfn, sizeof(mfn)),
                                (void *)(refs + 1));
        }
    }
}

/* In order; returns the number of records below @t. */
static unsigned check_tree(Check *c, unsigned proc, uint32_t t, uint64_t *end)
{
    unsigned n = 0;

    while (t) {
        XsimMap *m = xsim_map(c->v, proc, t);

        n += 1 + check_tree(c, proc, m->left, end);
        if (m->state != XSIM_MAP_LIVE || m->addr < *end) {
            wrong(c, "process slot %u: record %u is out of place", proc, t);
        }
        *end = m->addr + (m->pages << XENSIM_PAGE_SHIFT);
        t = m->right;
    }
    return n;
}

static void check_proc(Check *c, unsigned proc)
{
    XsimProc *p = &c->v->h->proc[proc];
    uint64_t end = 0;
    uint32_t i;

    xsim_lock(&p->lock);
    for (i = 1; i <= p->map_end; i++) {
        XsimMap *m = xsim_map(c->v, proc, i);

        if (m->state != XSIM_MAP_FREE) {
            count_record(c, proc, m);
        }
    }
    if (check_tree(c, proc, p->root, &end) != atomic_load(&p->live)) {
        wrong(c, "process slot %u: the tree has not %u records", proc,
              atomic_load(&p->live));
    }
    xsim_unlock(&p->lock);
}

static void equal(Check *c, unsigned slot, const char *what, uint64_t counted,
                  uint64_t said)
{
    if (counted != said) {
        wrong(c, "domain %u: %s %" PRIu64 ", it says %" PRIu64,
              atomic_load(&c->v->h->dom[slot].domid), what, counted, said);
    }
}

static void check_dom(Check *c, unsigned slot)
{
    XsimDom *d = xsim_dom(c->v, slot);
    Count *n = &c->count[slot];
    unsigned i;

    equal(c, slot, "pages in the p2m", n->p2m, d->p2m_pages);
    equal(c, slot, "held pages", n->held, d->held_pages);
    equal(c, slot, "lost pages", n->lost, d->lost_pages);
    equal(c, slot, "pages of Xen's", n->xen, d->xen_pages);
    equal(c, slot, "mappings", n->mappings, d->mappings);
    equal(c, slot, "mapped pages", n->mapped_pages, d->mapped_pages);
    for (i = 0; i < XSIM_MAX_GRANTS; i++) {
        if (n->grant[i] != d->grant[i].maps) {
            wrong(c, "domain %u: grant %u is mapped %u times, it says %u",
                  d->domid, i, n->grant[i], d->grant[i].maps);
        }
    }
}

unsigned xensim_check(Xensim *sim)
{
    XsimView *v = &sim->v;
    Check c = {
        .v = v,
        .count = g_new0(Count, XSIM_MAX_DOMS),
        .refs = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                      NULL),
    };
    bool there[XSIM_MAX_DOMS];
    unsigned i;

    xensim_reap(sim);
    xsim_lock(&v->h->dir_lock);
    for (i = 0; i < XSIM_MAX_DOMS; i++) {
        there[i] = atomic_load(&v->h->dom[i].state) != XSIM_DOM_FREE;
        if (there[i]) {
            xsim_lock(&xsim_dom(v, i)->lock);
        }
    }
    for (i = 0; i < XSIM_MAX_PROCS; i++) {
        if (atomic_load(&v->h->proc[i].pid)) {
            check_proc(&c, i);
        }
    }
    for (i = XSIM_FIRST_CHUNK; i < v->h->chunk_end; i++) {
        check_chunk(&c, i);
    }
    for (i = 0; i < XSIM_MAX_DOMS; i++) {
        if (there[i]) {
            c.slot = i;
            xsim_p2m_walk(v, i, check_p2m_run, &c);
            check_dom(&c, i);
        }
    }
    for (i = 0; i < XSIM_MAX_DOMS; i++) {
        if (there[i]) {
            xsim_unlock(&xsim_dom(v, i)->lock);
        }
    }
    xsim_unlock(&v->h->dir_lock);
    g_hash_table_destroy(c.refs);
    g_free(c.count);
    return c.errors;
}
