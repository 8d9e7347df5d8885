/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machine frames: their owners, how often each is mapped, and when it is free.
 *
 * Frames come in chunks of 512, and a chunk belongs to one domain.  So the lock
 * of the owner guards every count of a frame.  Inside a chunk, each frame is
 * allocated once, in order, and not again before the whole chunk is free.  So a
 * frame that was ballooned out is not used again soon, and a test notices a
 * mapping that shows an old frame.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "sim.h"

/* Chunks that wait on the free list before the first of them is reused. */
#define FREE_CHUNKS_KEPT 64

/*
 * A scattered domain gets the frames of a chunk in this stride: it is odd,
 * so that all are reached, and neighbours never follow one another.
 */
#define SCATTER_STRIDE 197

uint32_t xsim_chunk_alloc(XsimView *v, unsigned slot, unsigned state)
{
    XsimHeader *h = v->h;
    XsimChunk *c = NULL;
    uint32_t i = 0;

    xsim_lock(&h->alloc_lock);
    if (h->chunk_free_count > FREE_CHUNKS_KEPT ||
        h->chunk_end == XSIM_MAX_CHUNKS) {
        i = h->chunk_free_head;
        if (i) {
            c = xsim_chunk(v, i);
            h->chunk_free_head = c->next;
            h->chunk_free_count--;
            if (!c->next) {
                h->chunk_free_tail = 0;
            }
        }
    } else {
        i = h->chunk_end++;
        c = xsim_chunk(v, i);
    }
    if (i) {
        memset(c, 0, sizeof(*c));
        c->state = state;
        c->owner = slot;
    }
    xsim_unlock(&h->alloc_lock);
    return i;
}

static void chunk_put_back(XsimView *v, uint32_t i)
{
    XsimHeader *h = v->h;
    XsimChunk *c = xsim_chunk(v, i);

    xsim_lock(&h->alloc_lock);
    c->state = XSIM_CHUNK_FREE;
    c->next = 0;
    if (h->chunk_free_tail) {
        xsim_chunk(v, h->chunk_free_tail)->next = i;
    } else {
        h->chunk_free_head = i;
    }
    h->chunk_free_tail = i;
    h->chunk_free_count++;
    xsim_unlock(&h->alloc_lock);
}

uint64_t xsim_frame_alloc(XsimView *v, unsigned slot)
{
    XsimDom *d = xsim_dom(v, slot);
    uint32_t k;

    if (!d->cur_chunk || d->cur_index == XSIM_CHUNK_FRAMES) {
        uint32_t old = d->cur_chunk;

        d->cur_chunk = xsim_chunk_alloc(v, slot, XSIM_CHUNK_SPLIT);
        d->cur_index = 0;
        /* It was not put back while it was current. */
        if (old && xsim_chunk(v, old)->used == 0) {
            chunk_put_back(v, old);
        }
        if (!d->cur_chunk) {
            return XENSIM_NO_MFN;
        }
    }
    k = d->cur_index++;
    if (d->flags & XENSIM_DOM_SCATTERED) {
        k = k * SCATTER_STRIDE % XSIM_CHUNK_FRAMES;
    }
    xsim_chunk(v, d->cur_chunk)->used++;
    return ((uint64_t)d->cur_chunk << XSIM_CHUNK_SHIFT) + k;
}

static void punch_hole(XsimView *v, XsimPunch *punch)
{
    if (punch->n) {
        fallocate(v->mem_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  (off_t)punch->mfn << XENSIM_PAGE_SHIFT,
                  (off_t)punch->n << XENSIM_PAGE_SHIFT);
    }
    punch->n = 0;
}

void xsim_punch_flush(XsimView *v, XsimPunch *punch)
{
    punch_hole(v, punch);
    while (punch->chunks) {
        uint32_t i = punch->chunks;

        punch->chunks = xsim_chunk(v, i)->next;
        chunk_put_back(v, i);
    }
}

void xsim_punch_add(XsimView *v, XsimPunch *punch, uint64_t mfn, uint64_t n)
{
    if (punch->n && punch->mfn + punch->n == mfn) {
        punch->n += n;
        return;
    }
    punch_hole(v, punch);
    punch->mfn = mfn;
    punch->n = n;
}

static void chunk_used_less(XsimView *v, uint64_t mfn, unsigned n,
                            XsimPunch *punch)
{
    uint32_t i = mfn >> XSIM_CHUNK_SHIFT;
    XsimChunk *c = xsim_chunk(v, i);

    c->used -= n;
    if (c->used == 0 && xsim_dom(v, c->owner)->cur_chunk != i) {
        /* Not yet: the next owner must find zeros. */
        c->next = punch->chunks;
        punch->chunks = i;
    }
}

void xsim_chunk_free(XsimView *v, uint32_t i, XsimPunch *punch)
{
    uint64_t mfn = (uint64_t)i << XSIM_CHUNK_SHIFT;

    /* No frame of it has an m2p, since it was never split. */
    xsim_chunk(v, i)->state = XSIM_CHUNK_SPLIT;
    xsim_punch_add(v, punch, mfn, XSIM_CHUNK_FRAMES);
    chunk_used_less(v, mfn, XSIM_CHUNK_FRAMES, punch);
}

void xsim_frame_free(XsimView *v, uint64_t mfn, XsimPunch *punch)
{
    xsim_frame_info(v, mfn)->m2p = XSIM_M2P_FREE;
    xsim_punch_add(v, punch, mfn, 1);
    chunk_used_less(v, mfn, 1, punch);
}

void xsim_chunk_split(XsimView *v, uint32_t i)
{
    XsimChunk *c = xsim_chunk(v, i);
    XsimFrame *f = xsim_frame_info(v, (uint64_t)i << XSIM_CHUNK_SHIFT);
    unsigned k;

    for (k = 0; k < XSIM_CHUNK_FRAMES; k++) {
        f[k].m2p = c->gfn + k + 1;
    }
    c->state = XSIM_CHUNK_SPLIT;
}

static uint32_t *half_refs(XsimView *v, uint64_t mfn)
{
    XsimChunk *c = xsim_chunk(v, mfn >> XSIM_CHUNK_SHIFT);

    return &c->half_refs[mfn / XSIM_HALF_FRAMES % 2];
}

uint32_t xsim_frame_refs(XsimView *v, uint64_t mfn)
{
    return xsim_frame_info(v, mfn)->refs + *half_refs(v, mfn);
}

/* @by more references, or less, for all of [@mfn, @mfn + @n) in a half. */
static void half_count(XsimView *v, uint64_t mfn, uint64_t n, int by)
{
    XsimFrame *f;
    uint64_t i;

    xsim_chunk(v, mfn >> XSIM_CHUNK_SHIFT)->refs += by * (int)n;
    if (n == XSIM_HALF_FRAMES) {
        *half_refs(v, mfn) += by;
        return;
    }
    f = xsim_frame_info(v, mfn);
    for (i = 0; i < n; i++) {
        f[i].refs += by;
    }
}

static uint64_t in_half(uint64_t mfn, uint64_t n)
{
    uint64_t k = XSIM_HALF_FRAMES - mfn % XSIM_HALF_FRAMES;

    return k < n ? k : n;
}

void xsim_frames_ref(XsimView *v, uint64_t mfn, uint64_t n)
{
    while (n) {
        uint64_t k = in_half(mfn, n);

        half_count(v, mfn, k, 1);
        mfn += k;
        n -= k;
    }
}

void xsim_frames_ref_longer(XsimView *v, uint64_t mfn, uint64_t n,
                            uint64_t more)
{
    uint64_t again = (mfn + n) % XSIM_HALF_FRAMES;

    /* The half it ended in may be whole now, and is counted otherwise. */
    again = again < n ? again : n;
    if (again) {
        half_count(v, mfn + n - again, again, -1);
    }
    xsim_frames_ref(v, mfn + n - again, again + more);
}

/* Free those frames outside the p2m that have lost their last reference. */
static void free_unheld(XsimView *v, unsigned slot, uint64_t mfn, uint64_t n,
                        XsimPunch *punch)
{
    XsimChunk *c = xsim_chunk(v, mfn >> XSIM_CHUNK_SHIFT);
    uint64_t i;

    if (c->state != XSIM_CHUNK_SPLIT || *half_refs(v, mfn)) {
        return;
    }
    for (i = mfn; i < mfn + n && c->held; i++) {
        XsimFrame *f = xsim_frame_info(v, i);

        if (f->m2p == XSIM_M2P_HELD && f->refs == 0) {
            xsim_dom(v, slot)->held_pages--;
            c->held--;
            xsim_frame_free(v, i, punch);
        }
    }
}

void xsim_frames_unref(XsimView *v, unsigned slot, uint64_t mfn, uint64_t n,
                       XsimPunch *punch)
{
    while (n) {
        uint64_t k = in_half(mfn, n);

        half_count(v, mfn, k, -1);
        free_unheld(v, slot, mfn, k, punch);
        mfn += k;
        n -= k;
    }
}

bool xsim_frame_hold(XsimView *v, unsigned slot, uint64_t mfn)
{
    if (!xsim_frame_refs(v, mfn)) {
        return false;
    }
    xsim_frame_info(v, mfn)->m2p = XSIM_M2P_HELD;
    xsim_chunk(v, mfn >> XSIM_CHUNK_SHIFT)->held++;
    xsim_dom(v, slot)->held_pages++;
    return true;
}

void xsim_frame_release(XsimView *v, unsigned slot, uint64_t mfn,
                        XsimPunch *punch)
{
    xsim_dom(v, slot)->p2m_pages--;
    if (!xsim_frame_hold(v, slot, mfn)) {
        xsim_frame_free(v, mfn, punch);
    }
}

void xsim_dom_maybe_gone(XsimView *v, unsigned slot)
{
    XsimDom *d = xsim_dom(v, slot);
    XsimDirEntry *e = &v->h->dom[slot];
    uint32_t cur;

    if (atomic_load(&e->state) != XSIM_DOM_DYING || xsim_tot_pages(d) ||
        d->xen_pages) {
        return;
    }
    cur = d->cur_chunk;
    d->cur_chunk = 0;
    if (cur && xsim_chunk(v, cur)->used == 0) {
        chunk_put_back(v, cur);
    }
    atomic_store(&e->state, XSIM_DOM_FREE);
}
