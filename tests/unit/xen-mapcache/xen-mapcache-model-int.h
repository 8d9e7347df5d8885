/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The model: what its files share.
 *
 * xen-mapcache-model.c          the decoder of streams
 * xen-mapcache-model-pages.c    the model's pages, and checking pointers
 * xen-mapcache-model-ram.c      operations on guest RAM
 * xen-mapcache-model-outside.c  operations on device memory and grants
 * xen-mapcache-model-fault.c    operations during which a call to Xen fails
 * xen-mapcache-model-thread.c   operations of a thread without the BQL
 */
#ifndef XEN_MAPCACHE_MODEL_INT_H
#define XEN_MAPCACHE_MODEL_INT_H

#include "xen-mapcache-harness.h"
#include "xen-mapcache-model.h"

#define PAGES       (MODEL_RAM_BYTES / XENSIM_PAGE_SIZE)
#define PAGE_MASK   (XENSIM_PAGE_SIZE - 1)
#define BUCKET      MODEL_BUCKET
#define MAX_DMA     64
#define MAX_LEN     (3 * BUCKET)
#define MAX_BLOCKS  4
#define BLOCK_AT    (1ull << 32)    /* ram_addr_t of the first block */
#define BLOCK_STEP  (64ull << 20)
#define MAX_GRANTS  8
#define GRANT_PAGES 3

/* The hole that every HVM guest has. */
#define VGA_HOLE_FIRST  0xa0
#define VGA_HOLE_LAST   0xbf

typedef struct ModelDma {
    uint8_t *host;
    uint64_t addr, len;
    uint64_t *serial;       /* of its pages */
    XenMapUse use;          /* XEN_MAP_DMA, XEN_MAP_HELD or MODEL_EITHER */
} ModelDma;

/* It may be a transfer or a held mapping, because slots or memory ran out. */
#define MODEL_EITHER XEN_MAP_UNLOCKED

typedef struct ModelBlock {
    uint8_t *host;
    uint64_t pages;
} ModelBlock;

typedef struct ModelGrant {
    uint8_t *host;
    int ref;                /* of the first page */
    unsigned pages;
    uint64_t serial[GRANT_PAGES];
    bool revoked;
} ModelGrant;

typedef struct Model {
    const uint8_t *data, *end;
    ModelCounts *n;
    uint64_t serial[PAGES];     /* 0: absent; see model_serial() */
    uint64_t changed[PAGES];    /* next_serial at the last change */
    bool unseen[PAGES];         /* appeared; no invalidate since then */
    uint64_t next_serial;
    ModelDma dma[MAX_DMA];
    unsigned nr_dma;
    ModelBlock block[MAX_BLOCKS];
    ModelGrant grant[MAX_GRANTS];
    unsigned nr_grants, nr_grant_pages;
    uint64_t unmatched;
    unsigned touches;           /* buckets that the reaper may have to unmap */
    bool touched[MODEL_RAM_BYTES / BUCKET]; /* these buckets */
} Model;

extern Model model;

/* A serial number contains the time of the change and the page's number. */
#define MODEL_SERIAL_SHIFT   16

static inline uint64_t model_serial(uint64_t page)
{
    return model.next_serial++ << MODEL_SERIAL_SHIFT | page;
}

/*
 * These take from the stream: a number below @bound; an address in RAM; a
 * length that fits there.  At the end of the stream they return zeros.
 */
unsigned model_take(unsigned bound);
uint64_t model_take_addr(void);
uint64_t model_take_len(uint64_t addr);

/*
 * The number of bytes from @addr that are in present pages, at most @len.
 * *@unseen: one of the pages has appeared, and there was no invalidate since.
 */
uint64_t model_present(uint64_t addr, uint64_t len, bool *unseen);

/* How often there was no free slot; 0 unless the arena is small. */
uint64_t model_no_room(void);

/* Reads the first eight bytes of a page.  All checks use this. */
uint64_t model_peek(const uint8_t *host);

/* Checks that the pages at @host have the serials @serial, in that order. */
void model_check_pages(const uint8_t *host, uint64_t addr, uint64_t len,
                       const uint64_t *serial);

/*
 * Checks the reverse lookup of an address in [@host, @host + @len), which the
 * stream chooses.
 */
void model_check_reverse(const uint8_t *host, uint64_t addr, uint64_t len);

/* Checks @got, the mapcache's length, against @want, the model's. */
void model_check_len(uint64_t addr, uint64_t got, uint64_t want, bool unseen);

/*
 * The first gives an absent page a new frame; the second takes the frame of a
 * present page away.  The third is true if a stream may do so with this page.
 */
void model_page_comes(uint64_t page);
void model_page_goes(uint64_t page);
bool model_page_may_move(uint64_t page);

/* Adds an outstanding DMA mapping with these serials; owns @serial. */
void model_add_dma(uint8_t *host, uint64_t addr, uint64_t len, XenMapUse use,
                   uint64_t *serial);

/* Ends an outstanding DMA mapping; ends a grant mapping. */
void model_release(unsigned i);
void model_grant_release(unsigned i);

/* Checks, after an invalidate, that only held memory is still mapped. */
void model_check_unmapped(void);

/* True if the thread without the BQL is in no call and in no RCU section. */
bool model_thread_is_quiet(void);

/*
 * Ends the thread's call and its section, and lets the reaper do its work, if
 * the test runs the reaper.
 */
void model_thread_finish(void);

/* The number of buckets that the thread's unfinished call may have locked. */
unsigned model_thread_slots(void);

/*
 * The first notes that the reaper will have to unmap the buckets in a range.
 * The second is true if that was noted for one of the buckets.  The third is
 * called when the reaper has unmapped: it forgets the notes, except for buckets
 * that DMA holds.
 */
void model_touch(uint64_t addr, uint64_t len);
bool model_touched(uint64_t addr, uint64_t len);
void model_untouch(void);

/* Each runs one operation, and takes its arguments from the stream. */
void model_op_lookup(void);
void model_op_map(void);
void model_op_release(void);
void model_op_release_nothing(void);
void model_op_balloon(void);
void model_op_invalidate(void);
void model_op_block(void);
void model_op_grant(void);
void model_op_fault(void);
void model_op_thread(void);

#endif
