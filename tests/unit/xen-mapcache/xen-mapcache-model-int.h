/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The naive twin: what its files share.
 *
 * xen-mapcache-model.c          the decoder of streams
 * xen-mapcache-model-pages.c    the model, and looking through pointers
 * xen-mapcache-model-ram.c      operations on guest RAM
 * xen-mapcache-model-outside.c  … on device memory and grants
 * xen-mapcache-model-fault.c    … with a call to Xen that fails
 * xen-mapcache-model-thread.c   … of a thread without the BQL
 */
#ifndef XEN_MAPCACHE_TWIN_INT_H
#define XEN_MAPCACHE_TWIN_INT_H

#include "xen-mapcache-harness.h"
#include "xen-mapcache-model.h"

#define PAGES       (TWIN_RAM_BYTES / XENSIM_PAGE_SIZE)
#define PAGE_MASK   (XENSIM_PAGE_SIZE - 1)
#define BUCKET      TWIN_BUCKET
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

typedef struct TwinDma {
    uint8_t *host;
    uint64_t addr, len;
    uint64_t *serial;       /* of its pages */
    XenMapUse use;          /* TWIN_EITHER: as DMA or as long-held */
} TwinDma;

/* Memory was short, and what was asked for may be mapped in another way. */
#define TWIN_EITHER XEN_MAP_UNLOCKED

typedef struct TwinBlock {
    uint8_t *host;
    uint64_t pages;
} TwinBlock;

typedef struct TwinGrant {
    uint8_t *host;
    int ref;                /* of the first page */
    unsigned pages;
    uint64_t serial[GRANT_PAGES];
    bool revoked;
} TwinGrant;

typedef struct Twin {
    const uint8_t *data, *end;
    TwinCounts *n;
    uint64_t serial[PAGES];     /* 0: absent; see twin_serial() */
    uint64_t changed[PAGES];    /* when: what next_serial was */
    bool unseen[PAGES];         /* came without an invalidate since */
    uint64_t next_serial;
    TwinDma dma[MAX_DMA];
    unsigned nr_dma;
    TwinBlock block[MAX_BLOCKS];
    TwinGrant grant[MAX_GRANTS];
    unsigned nr_grants, nr_grant_pages;
    uint64_t unmatched;
    unsigned touches;           /* buckets that the reaper may have to unmap */
    bool touched[TWIN_RAM_BYTES / BUCKET]; /* … by the thread, held maybe */
} Twin;

extern Twin twin;

/* A serial number says when the page got its frame, and which page it is. */
#define TWIN_SERIAL_SHIFT   16

static inline uint64_t twin_serial(uint64_t page)
{
    return twin.next_serial++ << TWIN_SERIAL_SHIFT | page;
}

/*
 * From the stream: a number below @bound, an address in RAM, a length that
 * fits there.  Zeros once the stream is at its end.
 */
unsigned twin_take(unsigned bound);
uint64_t twin_take_addr(void);
uint64_t twin_take_len(uint64_t addr);

/*
 * Bytes from @addr that are in present pages, at most @len.  @unseen: one of
 * them came without an invalidate since.
 */
uint64_t twin_present(uint64_t addr, uint64_t len, bool *unseen);

/* How often the arena was too small: only where it is made so. */
uint64_t twin_no_room(void);

/*
 * Do the bytes lie in two buckets that cannot be put side by side?  Then they
 * are to be copied if they are few.
 */
bool twin_has_no_row(uint64_t addr, uint64_t len);

/* The first eight bytes of a page; all looking is by this. */
uint64_t twin_peek(const uint8_t *host);

/* What lies at @host must be pages with @serial, in that order. */
void twin_check_pages(const uint8_t *host, uint64_t addr, uint64_t len,
                      const uint64_t *serial);

/* The reverse lookup of an address of the stream's choice in [@host, +@len). */
void twin_check_reverse(const uint8_t *host, uint64_t addr, uint64_t len);

/* @got is the length that the mapcache gave, @want what the model says. */
void twin_check_len(uint64_t addr, uint64_t got, uint64_t want, bool unseen);

/* A page gets a new frame, or loses it; may it be taken away? */
void twin_page_comes(uint64_t page);
void twin_page_goes(uint64_t page);
bool twin_page_may_move(uint64_t page);

/* An outstanding DMA mapping whose pages show @serial now; @serial's ours. */
void twin_add_dma(uint8_t *host, uint64_t addr, uint64_t len, XenMapUse use,
                  uint64_t *serial);

/* Ends an outstanding DMA mapping, a grant mapping. */
void twin_release(unsigned i);
void twin_grant_release(unsigned i);

/* After an invalidate only what is held may be mapped, at once. */
void twin_check_unmapped(void);

/*
 * How the thread without the BQL is doing: is there a call of its that has
 * not returned, a section that has not ended?
 */
bool twin_thread_is_quiet(void);

/* Ends both, and lets the reaper do its work, if that is the test's to do. */
void twin_thread_finish(void);

/* Buckets that the call that has not returned may have locked. */
unsigned twin_thread_slots(void);

/*
 * The buckets in a range will be the reaper's to unmap.  When it has done so,
 * those that DMA still holds will be, once they are let go.
 */
void twin_touch(uint64_t addr, uint64_t len);
bool twin_touched(uint64_t addr, uint64_t len);
void twin_untouch(void);

/* One operation each, its arguments taken from the stream. */
void twin_op_lookup(void);
void twin_op_map(void);
void twin_op_release(void);
void twin_op_release_nothing(void);
void twin_op_balloon(void);
void twin_op_invalidate(void);
void twin_op_block(void);
void twin_op_grant(void);
void twin_op_fault(void);
void twin_op_thread(void);

#endif
