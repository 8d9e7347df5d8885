/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copying a domain's memory, and what Xen itself knows of the domain, to
 * another domain, or to a file and back.
 *
 * Only pages that were written are copied.  The rest of machine memory is a
 * hole in its file, and reads as zeros in both domains.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "xen-abi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host-priv.h"

#define FILE_MAGIC 0x58534d454d303032ull

typedef struct Run {
    uint64_t gfn, mfn, pages;
} Run;

typedef struct RunList {
    Run *run;
    size_t n, room;
    bool failed;
} RunList;

static void add_run(void *opaque, uint64_t gfn, uint64_t mfn, uint64_t pages)
{
    RunList *list = opaque;

    if (list->n == list->room) {
        size_t room = list->room ? 2 * list->room : 64;
        Run *run = realloc(list->run, room * sizeof(*run));

        if (!run) {
            list->failed = true;
            return;
        }
        list->run = run;
        list->room = room;
    }
    list->run[list->n++] = (Run) { gfn, mfn, pages };
}

/* Is @gfn a page of an ioreq server that the p2m shows? */
static bool is_server_page(const XsimDom *d, uint64_t gfn)
{
    uint64_t first = d->hvm_param[HVM_PARAM_IOREQ_SERVER_PFN];

    return gfn - first < d->hvm_param[HVM_PARAM_NR_IOREQ_SERVER_PAGES];
}

static bool is_port_param(unsigned i)
{
    return i == HVM_PARAM_STORE_EVTCHN || i == HVM_PARAM_CONSOLE_EVTCHN ||
           i == HVM_PARAM_BUFIOREQ_EVTCHN;
}

/*
 * What Xen itself knows of a guest, and a toolstack saves with the guest's
 * memory: parameters, and interrupt lines and their routes.  A device model
 * that restores its devices does not tell them again.
 */
typedef struct Known {
    uint64_t param[XSIM_HVM_PARAMS];
    uint8_t intx[32][4];
    uint8_t isa[16];
    uint8_t gsi[256];
    uint8_t route[4];
} Known;

static void get_known(const XsimDom *d, Known *known)
{
    memcpy(known->param, d->hvm_param, sizeof(known->param));
    memcpy(known->intx, d->intx_level, sizeof(known->intx));
    memcpy(known->isa, d->isa_level, sizeof(known->isa));
    memcpy(known->gsi, d->gsi_level, sizeof(known->gsi));
    memcpy(known->route, d->link_route, sizeof(known->route));
}

static void put_known(XsimDom *d, const Known *known)
{
    unsigned i;

    for (i = 0; i < XSIM_HVM_PARAMS; i++) {
        if (!is_port_param(i)) {
            d->hvm_param[i] = known->param[i];
        }
    }
    memcpy(d->intx_level, known->intx, sizeof(known->intx));
    memcpy(d->isa_level, known->isa, sizeof(known->isa));
    memcpy(d->gsi_level, known->gsi, sizeof(known->gsi));
    memcpy(d->link_route, known->route, sizeof(known->route));
}

/* Next piece of [mfn, mfn + n) that has data; false if there is none. */
static bool next_data(XsimView *v, uint64_t *mfn, uint64_t *n)
{
    off_t start = (off_t)*mfn << XENSIM_PAGE_SHIFT;
    off_t end = start + ((off_t)*n << XENSIM_PAGE_SHIFT);
    off_t data = lseek(v->mem_fd, start, SEEK_DATA);
    off_t hole;

    if (data < 0 || data >= end) {
        return false;
    }
    hole = lseek(v->mem_fd, data, SEEK_HOLE);
    hole = hole < 0 || hole > end ? end : hole;
    *mfn = data >> XENSIM_PAGE_SHIFT;
    *n = (hole >> XENSIM_PAGE_SHIFT) - *mfn;
    return true;
}

/* Copy a run's data to the same gfns of @dst, which has frames there. */
static void copy_run(XensimDomain *dst, const Run *run)
{
    XsimView *v = &dst->sim->v;
    uint64_t done = 0;

    while (done < run->pages) {
        uint64_t mfn = run->mfn + done;
        uint64_t n = run->pages - done;
        uint64_t i;

        if (!next_data(v, &mfn, &n)) {
            return;
        }
        for (i = 0; i < n; i++) {
            uint64_t gfn = run->gfn + (mfn + i - run->mfn);
            uint64_t e = xsim_p2m_get(v, dst->slot, gfn);

            memcpy(xsim_frame(v, XSIM_P2M_MFN(e)), xsim_frame(v, mfn + i),
                   XENSIM_PAGE_SIZE);
        }
        done = mfn + n - run->mfn;
    }
}

int xensim_domain_copy_memory(XensimDomain *dst, XensimDomain *src)
{
    XsimView *v = &dst->sim->v;
    XsimDom *s = xsim_host_dom(src), *d = xsim_host_dom(dst);
    RunList list = { NULL, 0, 0, false };
    Known known;
    int rc = 0;
    size_t i;

    xsim_lock(&s->lock);
    xsim_p2m_walk(v, src->slot, add_run, &list);
    get_known(s, &known);
    xsim_unlock(&s->lock);
    rc = list.failed ? -ENOMEM : 0;
    xsim_lock(&d->lock);
    xsim_p2m_depopulate(v, dst->slot, 0, XENSIM_MAX_GFN);
    for (i = 0; !rc && i < list.n; i++) {
        Run *r = &list.run[i];

        if (is_server_page(s, r->gfn)) {
            continue;
        }
        if (xsim_p2m_populate(v, dst->slot, r->gfn, r->pages) != r->pages) {
            rc = -ENOMEM;
        } else {
            copy_run(dst, r);
        }
    }
    if (!rc) {
        put_known(d, &known);
    }
    xsim_unlock(&d->lock);
    free(list.run);
    return rc;
}

/* ---- files ---- */

/*
 * A header, then pieces: gfn, pages, and whether the pages' content follows
 * (else they are zeros); a piece of 0 pages ends it.  Host byte order: files
 * are not for other machines.
 */
typedef struct FileHead {
    uint64_t magic;
    Known known;
} FileHead;

typedef struct FilePiece {
    uint64_t gfn, pages, data;
} FilePiece;

static int put(int fd, const void *buf, size_t len)
{
    const char *p = buf;

    while (len) {
        ssize_t n = write(fd, p, len);

        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        if (n > 0) {
            p += n;
            len -= n;
        }
    }
    return 0;
}

static int get(int fd, void *buf, size_t len)
{
    char *p = buf;

    while (len) {
        ssize_t n = read(fd, p, len);

        if (n == 0) {
            return -EPROTO;
        }
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        if (n > 0) {
            p += n;
            len -= n;
        }
    }
    return 0;
}

#define CHUNK_PAGES 64u         /* of memory that are read or written at once */

static uint64_t chunk_of(uint64_t pages)
{
    return pages < CHUNK_PAGES ? pages : CHUNK_PAGES;
}

/* Copies @pages of machine memory at @mfn to or from @fd; maps nothing. */
static int copy_frames(XsimView *v, int fd, uint64_t mfn, uint64_t pages,
                       bool load)
{
    char buf[CHUNK_PAGES * XENSIM_PAGE_SIZE];
    int rc = 0;

    while (!rc && pages) {
        uint64_t n = chunk_of(pages);
        size_t len = n << XENSIM_PAGE_SHIFT;
        off_t at = (off_t)mfn << XENSIM_PAGE_SHIFT;

        if (load) {
            rc = get(fd, buf, len);
            rc = rc ? rc : pwrite(v->mem_fd, buf, len, at) == (ssize_t)len ?
                 0 : -EIO;
        } else {
            rc = pread(v->mem_fd, buf, len, at) == (ssize_t)len ?
                 put(fd, buf, len) : -EIO;
        }
        mfn += n;
        pages -= n;
    }
    return rc;
}

static int save_piece(XsimView *v, int fd, uint64_t gfn, uint64_t mfn,
                      uint64_t pages, bool data)
{
    FilePiece piece = { gfn, pages, data };
    int rc = pages ? put(fd, &piece, sizeof(piece)) : 0;

    return rc || !data ? rc : copy_frames(v, fd, mfn, pages, false);
}

static int save_run(XsimView *v, int fd, const Run *run)
{
    uint64_t done = 0;
    int rc = 0;

    while (!rc && done < run->pages) {
        uint64_t mfn = run->mfn + done;
        uint64_t n = run->pages - done;

        if (!next_data(v, &mfn, &n)) {
            return save_piece(v, fd, run->gfn + done, 0, run->pages - done,
                              false);
        }
        rc = save_piece(v, fd, run->gfn + done, 0, mfn - run->mfn - done,
                        false);
        if (!rc) {
            rc = save_piece(v, fd, run->gfn + mfn - run->mfn, mfn, n, true);
        }
        done = mfn + n - run->mfn;
    }
    return rc;
}

int xensim_domain_save_memory(XensimDomain *dom, int fd)
{
    XsimView *v = &dom->sim->v;
    XsimDom *d = xsim_host_dom(dom);
    RunList list = { NULL, 0, 0, false };
    FileHead head = { .magic = FILE_MAGIC };
    FilePiece end = { 0, 0, 0 };
    size_t i;
    int rc;

    xsim_lock(&d->lock);
    xsim_p2m_walk(v, dom->slot, add_run, &list);
    get_known(d, &head.known);
    xsim_unlock(&d->lock);
    rc = list.failed ? -ENOMEM : put(fd, &head, sizeof(head));
    for (i = 0; !rc && i < list.n; i++) {
        if (!is_server_page(d, list.run[i].gfn)) {
            rc = save_run(v, fd, &list.run[i]);
        }
    }
    free(list.run);
    return rc ? rc : put(fd, &end, sizeof(end));
}

/* Reads the pages from @gfn on, which have frames, from @fd. */
static int load_data(XensimDomain *dom, int fd, uint64_t gfn, uint64_t pages)
{
    XsimView *v = &dom->sim->v;
    int rc = 0;

    while (!rc && pages) {
        uint64_t mfn = XSIM_P2M_MFN(xsim_p2m_get(v, dom->slot, gfn)), n = 1;

        while (n < pages && XSIM_P2M_MFN(xsim_p2m_get(v, dom->slot, gfn + n))
                            == mfn + n) {
            n++;
        }
        rc = copy_frames(v, fd, mfn, n, true);
        gfn += n;
        pages -= n;
    }
    return rc;
}

static int load_piece(XensimDomain *dom, int fd, const FilePiece *piece)
{
    XsimDom *d = xsim_host_dom(dom);
    int rc = 0;

    if (piece->gfn >= XENSIM_MAX_GFN ||
        piece->pages > XENSIM_MAX_GFN - piece->gfn) {
        return -EPROTO;
    }
    if (xensim_populate(dom, piece->gfn, piece->pages) != piece->pages) {
        return -ENOMEM;
    }
    xsim_lock(&d->lock);
    if (piece->data) {
        rc = load_data(dom, fd, piece->gfn, piece->pages);
    }
    xsim_unlock(&d->lock);
    return rc;
}

int xensim_domain_load_memory(XensimDomain *dom, int fd)
{
    XsimDom *d = xsim_host_dom(dom);
    FilePiece piece = { 0, 1, 0 };
    FileHead head;
    int rc = get(fd, &head, sizeof(head));

    if (!rc && head.magic != FILE_MAGIC) {
        rc = -EPROTO;
    }
    if (!rc) {
        xensim_depopulate(dom, 0, XENSIM_MAX_GFN);
    }
    while (!rc && piece.pages) {
        rc = get(fd, &piece, sizeof(piece));
        if (!rc && piece.pages) {
            rc = load_piece(dom, fd, &piece);
        }
    }
    if (!rc) {
        put_known(d, &head.known);
    }
    return rc;
}

/* ---- what was written to ---- */

static void tell_data(XsimView *v, const Run *run, XensimRunFn *fn,
                      void *opaque)
{
    uint64_t done = 0;

    while (done < run->pages) {
        uint64_t mfn = run->mfn + done;
        uint64_t n = run->pages - done;

        if (!next_data(v, &mfn, &n)) {
            break;
        }
        fn(opaque, run->gfn + (mfn - run->mfn), mfn, n);
        done = mfn + n - run->mfn;
    }
}

int xensim_data_foreach(XensimDomain *dom, XensimRunFn *fn, void *opaque)
{
    RunList list = { .run = NULL };
    size_t i;

    xensim_p2m_foreach(dom, add_run, &list);
    for (i = 0; i < list.n && !list.failed; i++) {
        tell_data(&dom->sim->v, &list.run[i], fn, opaque);
    }
    free(list.run);
    return list.failed ? -ENOMEM : 0;
}
