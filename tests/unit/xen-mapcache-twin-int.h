/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The naive twin: what its files share.
 *
 * xen-mapcache-twin.c          the decoder of streams
 * xen-mapcache-twin-model.c    the model, and looking through pointers
 * xen-mapcache-twin-ram.c      operations on guest RAM
 * xen-mapcache-twin-outside.c  … on device memory and grants; faults
 */
#ifndef XEN_MAPCACHE_TWIN_INT_H
#define XEN_MAPCACHE_TWIN_INT_H

#include "xen-mapcache-harness.h"
#include "xen-mapcache-twin.h"

#define PAGES       (TWIN_RAM_BYTES / XENSIM_PAGE_SIZE)
#define PAGE_MASK   (XENSIM_PAGE_SIZE - 1)
#define BUCKET      TWIN_BUCKET
#define MAX_DMA     64
#define MAX_LEN     (3 * BUCKET)
#define MAX_BLOCKS  4
#define BLOCK_AT    (1ull << 32)    /* ram_addr_t of the first block */
#define BLOCK_STEP  (64ull << 20)
#define MAX_GRANTS  8

/* The hole that every HVM guest has. */
#define VGA_HOLE_FIRST  0xa0
#define VGA_HOLE_LAST   0xbf

typedef struct TwinDma {
    uint8_t *host;
    uint64_t addr, len;
    uint64_t *serial;       /* of its pages */
    XenMapUse use;
} TwinDma;

typedef struct TwinBlock {
    uint8_t *host;
    uint64_t pages;
} TwinBlock;

typedef struct TwinGrant {
    uint8_t *host;
    uint64_t len;
    int ref;
    uint64_t gfn, serial;
} TwinGrant;

typedef struct Twin {
    const uint8_t *data, *end;
    TwinCounts *n;
    uint64_t serial[PAGES];     /* 0: absent */
    bool unseen[PAGES];         /* came without an invalidate since */
    uint64_t next_serial;
    TwinDma dma[MAX_DMA];
    unsigned nr_dma;
    TwinBlock block[MAX_BLOCKS];
    TwinGrant grant[MAX_GRANTS];
    unsigned nr_grants;
    uint64_t unmatched;
} Twin;

extern Twin twin;

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

/* The first eight bytes of a page; all looking is by this. */
uint64_t twin_peek(const uint8_t *host);

/* What lies at @host must be pages with @serial, in that order. */
void twin_check_pages(const uint8_t *host, uint64_t addr, uint64_t len,
                      const uint64_t *serial);

/* The reverse lookup of an address of the stream's choice in [@host, +@len). */
void twin_check_reverse(const uint8_t *host, uint64_t addr, uint64_t len);

/* @got is the length that the mapcache gave, @want what the model says. */
void twin_check_len(uint64_t addr, uint64_t got, uint64_t want, bool unseen);

/* A page gets a new frame; may it be taken away? */
void twin_page_comes(uint64_t page);
bool twin_page_may_move(uint64_t page);

/* Ends an outstanding DMA mapping, a grant mapping. */
void twin_release(unsigned i);
void twin_grant_release(unsigned i);

/* After an invalidate only what is held may be mapped, at once. */
void twin_check_unmapped(void);

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

#endif
