/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The p2m: the machine frame of each guest frame.
 *
 * If 512 gfns have the 512 adjacent frames of one chunk, they share one word.
 * So a guest of 1 TiB is populated by writing 4 MiB.  When one of them is
 * changed alone, the word is replaced by a table.
 */
#include <errno.h>
#include <string.h>

#include "sim.h"
#include "xen-abi.h"

#define L0_ENTRIES 512u

static uint64_t *l1_word(XsimView *v, unsigned slot, uint64_t gfn)
{
    return xsim_at(v, XSIM_REGION_P2M + slot * XSIM_P2M_SEGS,
                   (gfn >> XSIM_CHUNK_SHIFT) * sizeof(uint64_t));
}

static uint64_t *table_at(XsimView *v, uint32_t table)
{
    return xsim_at(v, XSIM_REGION_TABLE, (uint64_t)table * 4096);
}

static uint32_t table_alloc(XsimView *v)
{
    XsimHeader *h = v->h;
    uint32_t t;

    xsim_lock(&h->alloc_lock);
    t = h->table_free;
    if (t) {
        h->table_free = *table_at(v, t);
        *table_at(v, t) = 0;
    } else if (h->table_end < XSIM_MAX_TABLES) {
        t = h->table_end++;
    }
    xsim_unlock(&h->alloc_lock);
    return t;
}

/* @t is all zeros again. */
static void table_free(XsimView *v, uint32_t t)
{
    xsim_lock(&v->h->alloc_lock);
    *table_at(v, t) = v->h->table_free;
    v->h->table_free = t;
    xsim_unlock(&v->h->alloc_lock);
}

uint64_t xsim_p2m_query(XsimView *v, unsigned slot, uint64_t gfn)
{
    uint64_t w;

    if (gfn >= XENSIM_MAX_GFN ||
        gfn >> XSIM_CHUNK_SHIFT >= xsim_dom(v, slot)->l1_end) {
        return 0;
    }
    w = *l1_word(v, slot, gfn);
    switch (w & XSIM_L1_KIND) {
    case XSIM_L1_SUPER:
        return XSIM_P2M_ENTRY((w >> 12) + gfn % XSIM_CHUNK_FRAMES, 0);
    case XSIM_L1_TABLE:
        return table_at(v, XSIM_L1_TABLE_OF(w))[gfn % L0_ENTRIES];
    default:
        return 0;
    }
}

/* As Xen's domain_crash(): the toolstack sees why it was shut down. */
static void domain_crash(XsimView *v, unsigned slot)
{
    xsim_dom(v, slot)->shutdown_reason = SHUTDOWN_crash;
}

/*
 * As Xen: the frame comes from those that are kept. (Xen first looks for pages
 * of zeros in the guest, whose frames it can take.)
 */
static uint64_t demand(XsimView *v, unsigned slot, uint64_t gfn)
{
    XsimDom *d = xsim_dom(v, slot);
    uint64_t mfn = d->pod_cache ? xsim_frame_alloc(v, slot) : XENSIM_NO_MFN;
    uint64_t w = *l1_word(v, slot, gfn), *e;

    if (mfn == XENSIM_NO_MFN) {
        domain_crash(v, slot);
        return 0;
    }
    e = &table_at(v, XSIM_L1_TABLE_OF(w))[gfn % L0_ENTRIES];
    *e = XSIM_P2M_ENTRY(mfn, 0);
    xsim_frame_info(v, mfn)->m2p = gfn + 1;
    d->pod_cache--;
    d->pod_entries--;
    d->p2m_pages++;
    return *e;
}

uint64_t xsim_p2m_get(XsimView *v, unsigned slot, uint64_t gfn)
{
    uint64_t e = xsim_p2m_query(v, slot, gfn);

    return XSIM_P2M_TYPE(e) == XSIM_TYPE_ON_DEMAND ? demand(v, slot, gfn) : e;
}

uint64_t xsim_p2m_run(XsimView *v, unsigned slot, uint64_t gfn, uint64_t max,
                      uint64_t *mfn)
{
    uint64_t room = XSIM_CHUNK_FRAMES - gfn % XSIM_CHUNK_FRAMES;
    uint64_t n = 0, w;

    if (gfn >= XENSIM_MAX_GFN ||
        gfn >> XSIM_CHUNK_SHIFT >= xsim_dom(v, slot)->l1_end) {
        return 0;
    }
    max = max < room ? max : room;
    xsim_p2m_get(v, slot, gfn);
    w = *l1_word(v, slot, gfn);
    if ((w & XSIM_L1_KIND) == XSIM_L1_SUPER) {
        *mfn = (w >> 12) + gfn % XSIM_CHUNK_FRAMES;
        return max;
    }
    if ((w & XSIM_L1_KIND) == XSIM_L1_TABLE) {
        const uint64_t *e = table_at(v, XSIM_L1_TABLE_OF(w)) +
                            gfn % L0_ENTRIES;

        *mfn = XSIM_P2M_MFN(e[0]);
        while (n < max && e[n] & XSIM_P2M_PRESENT &&
               XSIM_P2M_MFN(e[n]) == *mfn + n &&
               XSIM_P2M_TYPE(e[n]) != XSIM_TYPE_MMIO_DIRECT) {
            n++;
        }
    }
    return n;
}

/* Table of @gfn's word, made if there is none.  NULL: out of tables. */
static uint64_t *table_for(XsimView *v, unsigned slot, uint64_t gfn)
{
    XsimDom *d = xsim_dom(v, slot);
    uint64_t *w = l1_word(v, slot, gfn);
    uint64_t old = *w;
    uint64_t *t;
    uint32_t i;
    unsigned k;

    if ((old & XSIM_L1_KIND) == XSIM_L1_TABLE) {
        return table_at(v, XSIM_L1_TABLE_OF(old));
    }
    i = table_alloc(v);
    if (!i) {
        return NULL;
    }
    t = table_at(v, i);
    *w = (uint64_t)i << 32 | XSIM_L1_TABLE;
    if ((old & XSIM_L1_KIND) == XSIM_L1_SUPER) {
        uint64_t mfn = old >> 12;

        xsim_chunk_split(v, mfn >> XSIM_CHUNK_SHIFT);
        for (k = 0; k < L0_ENTRIES; k++) {
            t[k] = XSIM_P2M_ENTRY(mfn + k, 0);
        }
        *w += L0_ENTRIES * XSIM_L1_COUNT_ONE;
    }
    if (gfn >> XSIM_CHUNK_SHIFT >= d->l1_end) {
        d->l1_end = (gfn >> XSIM_CHUNK_SHIFT) + 1;
    }
    return t;
}

int xsim_p2m_set(XsimView *v, unsigned slot, uint64_t gfn, uint64_t mfn,
                 unsigned type)
{
    uint64_t *t = table_for(v, slot, gfn);

    if (!t) {
        return -ENOMEM;
    }
    t[gfn % L0_ENTRIES] = XSIM_P2M_ENTRY(mfn, type);
    *l1_word(v, slot, gfn) += XSIM_L1_COUNT_ONE;
    xsim_frame_info(v, mfn)->m2p = gfn + 1;
    return 0;
}

int xsim_p2m_set_type(XsimView *v, unsigned slot, uint64_t gfn, unsigned type)
{
    uint64_t e = xsim_p2m_get(v, slot, gfn);
    uint64_t *t;

    if (!e) {
        return -EINVAL;
    }
    if (XSIM_P2M_TYPE(e) != type) {
        t = table_for(v, slot, gfn);
        if (!t) {
            return -ENOMEM;
        }
        t[gfn % L0_ENTRIES] = XSIM_P2M_ENTRY(XSIM_P2M_MFN(e), type);
    }
    return 0;
}

uint64_t xsim_p2m_clear(XsimView *v, unsigned slot, uint64_t gfn)
{
    uint64_t e = xsim_p2m_query(v, slot, gfn);
    uint64_t *w, *t;

    if (!e) {
        return 0;
    }
    if (XSIM_P2M_TYPE(e) == XSIM_TYPE_ON_DEMAND) {
        xsim_dom(v, slot)->pod_entries--;
    }
    t = table_for(v, slot, gfn);
    if (!t) {
        xsim_die("no p2m table left to split one for gfn %llx",
                 (unsigned long long)gfn);
    }
    t[gfn % L0_ENTRIES] = 0;
    w = l1_word(v, slot, gfn);
    *w -= XSIM_L1_COUNT_ONE;
    if (XSIM_L1_COUNT(*w) == 0) {
        table_free(v, XSIM_L1_TABLE_OF(*w));
        *w = 0;
    }
    return e;
}

/* 512 gfns at once, if that is possible here. */
static bool populate_super(XsimView *v, unsigned slot, uint64_t gfn,
                           uint64_t n)
{
    XsimDom *d = xsim_dom(v, slot);
    uint64_t *w;
    XsimChunk *c;
    uint32_t i;

    if (n < XSIM_CHUNK_FRAMES || gfn % XSIM_CHUNK_FRAMES ||
        d->flags & XENSIM_DOM_SCATTERED ||
        xsim_tot_pages(d) + XSIM_CHUNK_FRAMES > d->max_pages) {
        return false;
    }
    w = l1_word(v, slot, gfn);
    if (*w) {
        return false;
    }
    i = xsim_chunk_alloc(v, slot, XSIM_CHUNK_SUPER);
    if (!i) {
        return false;
    }
    c = xsim_chunk(v, i);
    c->used = XSIM_CHUNK_FRAMES;
    c->gfn = gfn;
    *w = ((uint64_t)i << (XSIM_CHUNK_SHIFT + 12)) | XSIM_L1_SUPER;
    if (gfn >> XSIM_CHUNK_SHIFT >= d->l1_end) {
        d->l1_end = (gfn >> XSIM_CHUNK_SHIFT) + 1;
    }
    d->p2m_pages += XSIM_CHUNK_FRAMES;
    return true;
}

uint64_t xsim_p2m_populate(XsimView *v, unsigned slot, uint64_t gfn,
                           uint64_t n)
{
    XsimDom *d = xsim_dom(v, slot);
    uint64_t done = 0;

    while (done < n && gfn + done < XENSIM_MAX_GFN) {
        uint64_t mfn, old;

        if (populate_super(v, slot, gfn + done, n - done)) {
            done += XSIM_CHUNK_FRAMES;
            continue;
        }
        if (xsim_tot_pages(d) >= d->max_pages) {
            break;
        }
        mfn = xsim_frame_alloc(v, slot);
        if (mfn == XENSIM_NO_MFN) {
            break;
        }
        if (XSIM_P2M_TYPE(xsim_p2m_query(v, slot, gfn + done)) ==
            XSIM_TYPE_MMIO_DIRECT) {
            xsim_frame_info(v, mfn)->m2p = XSIM_M2P_LOST;
            d->lost_pages++;
            domain_crash(v, slot);
            break;
        }
        old = xsim_p2m_clear(v, slot, gfn + done);
        if (old & XSIM_P2M_PRESENT) {
            /* As on Xen: out of sight, but still the domain's. */
            xsim_frame_info(v, XSIM_P2M_MFN(old))->m2p = XSIM_M2P_LOST;
            d->p2m_pages--;
            d->lost_pages++;
        }
        if (xsim_p2m_set(v, slot, gfn + done, mfn, 0)) {
            XsimPunch punch = { 0, 0, 0 };

            xsim_frame_free(v, mfn, &punch);
            xsim_punch_flush(v, &punch);
            break;
        }
        d->p2m_pages++;
        done++;
    }
    return done;
}

uint64_t xsim_p2m_on_demand(XsimView *v, unsigned slot, uint64_t gfn,
                            uint64_t n, uint64_t cache)
{
    XsimDom *d = xsim_dom(v, slot);
    uint64_t done, *t;

    for (done = 0; done < n && gfn + done < XENSIM_MAX_GFN; done++) {
        if (xsim_p2m_query(v, slot, gfn + done)) {
            break;
        }
        t = table_for(v, slot, gfn + done);
        if (!t) {
            break;
        }
        t[(gfn + done) % L0_ENTRIES] = XSIM_TYPE_ON_DEMAND << 1;
        *l1_word(v, slot, gfn + done) += XSIM_L1_COUNT_ONE;
        d->pod_entries++;
    }
    d->pod_cache += cache;
    return done;
}

/* A whole chunk that nobody maps. */
static bool depopulate_super(XsimView *v, unsigned slot, uint64_t gfn,
                             uint64_t n, XsimPunch *punch)
{
    XsimDom *d = xsim_dom(v, slot);
    uint64_t *w = l1_word(v, slot, gfn);
    uint64_t mfn = *w >> 12;
    XsimChunk *c;

    if (n < XSIM_CHUNK_FRAMES || gfn % XSIM_CHUNK_FRAMES ||
        (*w & XSIM_L1_KIND) != XSIM_L1_SUPER) {
        return false;
    }
    c = xsim_chunk(v, mfn >> XSIM_CHUNK_SHIFT);
    if (c->refs) {
        return false;
    }
    *w = 0;
    d->p2m_pages -= XSIM_CHUNK_FRAMES;
    xsim_chunk_free(v, mfn >> XSIM_CHUNK_SHIFT, punch);
    return true;
}

uint64_t xsim_p2m_depopulate(XsimView *v, unsigned slot, uint64_t gfn,
                             uint64_t n)
{
    XsimDom *d = xsim_dom(v, slot);
    XsimPunch punch = { 0, 0, 0 };
    uint64_t done = 0, i = 0;

    while (i < n && (gfn + i) >> XSIM_CHUNK_SHIFT < d->l1_end) {
        uint64_t e;

        if ((gfn + i) % XSIM_CHUNK_FRAMES == 0 &&
            *l1_word(v, slot, gfn + i) == 0) {
            i += XSIM_CHUNK_FRAMES;
            continue;
        }
        if (depopulate_super(v, slot, gfn + i, n - i, &punch)) {
            i += XSIM_CHUNK_FRAMES;
            done += XSIM_CHUNK_FRAMES;
            continue;
        }
        e = xsim_p2m_clear(v, slot, gfn + i);
        if (e & XSIM_P2M_PRESENT) {
            xsim_frame_release(v, slot, XSIM_P2M_MFN(e), &punch);
        }
        done += e != 0;
        i++;
    }
    xsim_punch_flush(v, &punch);
    return done;
}

int xsim_p2m_move(XsimView *v, unsigned slot, uint64_t src, uint64_t dst,
                  XsimPunch *punch)
{
    uint64_t e = xsim_p2m_get(v, slot, src);
    uint64_t old;
    int rc;

    if (!e || dst >= XENSIM_MAX_GFN) {
        return -EINVAL;
    }
    if (src == dst) {
        return 0;
    }
    old = xsim_p2m_get(v, slot, dst);
    if (XSIM_P2M_TYPE(e) == XSIM_TYPE_MMIO_DIRECT ||
        (old && XSIM_P2M_TYPE(old) == XSIM_TYPE_MMIO_DIRECT)) {
        return -EPERM;
    }
    /* Before anything changes: what can fail. */
    if (!table_for(v, slot, dst)) {
        return -ENOMEM;
    }
    /* Room for it stays, even if it was the table's last. */
    xsim_p2m_clear(v, slot, dst);
    if (old) {
        xsim_frame_release(v, slot, XSIM_P2M_MFN(old), punch);
    }
    xsim_p2m_clear(v, slot, src);
    rc = xsim_p2m_set(v, slot, dst, XSIM_P2M_MFN(e), XSIM_P2M_TYPE(e));
    if (rc) {
        xsim_die("no p2m table left for gfn %llx", (unsigned long long)dst);
    }
    return 0;
}

void xsim_p2m_walk(XsimView *v, unsigned slot, XensimRunFn *fn, void *opaque)
{
    XsimDom *d = xsim_dom(v, slot);
    uint64_t gfn = 0, mfn = 0, n = 0;
    uint64_t i;
    unsigned k;

    for (i = 0; i < d->l1_end; i++) {
        uint64_t g = i << XSIM_CHUNK_SHIFT;
        uint64_t w = *l1_word(v, slot, g);
        const uint64_t *t;

        if ((w & XSIM_L1_KIND) == XSIM_L1_SUPER) {
            if (n && mfn + n == w >> 12 && gfn + n == g) {
                n += XSIM_CHUNK_FRAMES;
                continue;
            }
            if (n) {
                fn(opaque, gfn, mfn, n);
            }
            gfn = g;
            mfn = w >> 12;
            n = XSIM_CHUNK_FRAMES;
            continue;
        }
        if ((w & XSIM_L1_KIND) != XSIM_L1_TABLE) {
            continue;
        }
        t = table_at(v, XSIM_L1_TABLE_OF(w));
        for (k = 0; k < L0_ENTRIES; k++) {
            if (!(t[k] & XSIM_P2M_PRESENT)) {
                continue;
            }
            if (n && mfn + n == XSIM_P2M_MFN(t[k]) && gfn + n == g + k) {
                n++;
                continue;
            }
            if (n) {
                fn(opaque, gfn, mfn, n);
            }
            gfn = g + k;
            mfn = XSIM_P2M_MFN(t[k]);
            n = 1;
        }
    }
    if (n) {
        fn(opaque, gfn, mfn, n);
    }
}

void xsim_vram_mark(XsimDom *d, uint64_t gfn)
{
    uint64_t i = gfn - d->vram_gfn;

    if (i < d->vram_pages) {
        d->vram_dirty[i / 8] |= 1u << i % 8;
    }
}
