/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mapcache under threads: what the test's files share.
 *
 * test-xen-mapcache-threads.c  the essay, the run, mistakes made on purpose
 * xen-mapcache-stress.c        what the threads do
 * xen-mapcache-stress-pages.c  stamps on pages, and looking through pointers
 */
#ifndef XEN_MAPCACHE_STRESS_H
#define XEN_MAPCACHE_STRESS_H

#include "qemu/thread.h"
#include "exec/memory.h"
#include "exec/ram_addr.h"
#include "hw/xen/xen_native.h"
#include "xen-mapcache-harness.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-model.h"
#include "xen-mapcache-wrap.h"

#define PAGE        XENSIM_PAGE_SIZE
#define RAM_BYTES   (64 * TWIN_BUCKET)  /* more than a tight arena holds */
#define PAGES       (RAM_BYTES / PAGE)
#define MAX_SPAN    (3 * MCACHE_BUCKET_PAGES + 1)
#define THREADS     3
#ifndef STRESS_OPS
#define STRESS_OPS  10000   /* of each thread */
#endif
#define MAX_HELD    12      /* pointers in one section */
#define MAX_DMA     6       /* outstanding in one thread */
#define HAND_OVER   4
#define SCRATCH_GFN 0xc0000 /* where a frame is stamped before it comes */
#define BLOCK_AT    (1ull << 32)
#define BLOCK_PAGES 40
#define SMALL_RAM   (32u << 20)

/* The hole that every HVM guest has. */
#define VGA_HOLE_FIRST  0xa0
#define VGA_HOLE_LAST   0xbf

/* Every difference ends the process with this in front. */
#define COMPLAINT   "mapcache stress: "

void stress_complain(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* For SIGSEGV and SIGBUS: says that it was a pointer that is still good. */
void stress_on_fault(int sig, siginfo_t *info, void *context);

typedef struct Dma {
    uint8_t *host;
    uint64_t addr, len;
    uint32_t serial[MAX_SPAN];
} Dma;

typedef struct Worker {
    uint64_t random;
    uint64_t ops, lookups, dmas, reverses, bytes, nulls;
    Dma *dma[MAX_DMA];
    unsigned nr_dma;
    uint64_t sections;      /* atomic: RCU sections that have ended */
    AddressSpace as;        /* its name is the owner in reports */
    QemuThread thread;
} Worker;

extern Worker stress_workers[THREADS + 1]; /* the last is the main thread */
extern __thread Worker *stress_self;
extern Dma *stress_handed_over[HAND_OVER]; /* atomic */
extern unsigned stress_running;            /* atomic */

/* A number below @bound, of this thread's own sequence. */
uint32_t stress_chance(uint32_t bound);

/* Gives the others a chance to come in between, once in @often times. */
void stress_pause(uint32_t often);

typedef struct GuestPage {
    uint32_t changes;   /* atomic; odd: there, and was since it became so */
    uint32_t latest;    /* atomic: the last frame that it got */
    uint32_t floor;     /* atomic: the first that a lookup may show */
} GuestPage;

extern GuestPage stress_pages[PAGES];

/* Called by the main thread alone. */
bool stress_page_may_move(uint64_t page);
void stress_stamp(uint64_t gfn, uint64_t page, uint32_t serial);
void stress_page_comes(uint64_t page);
void stress_page_goes(uint64_t page);
void stress_invalidate(void);

/* What a pointer was seen to show, and must go on to show. */
typedef struct Span {
    uint8_t *host;
    uint64_t addr, len;
    uint32_t *serial;   /* of each page */
} Span;

/*
 * Before the call that makes a pointer, at the first look through it, and at
 * each later one.  @what it is, for the complaint.
 */
void stress_span_before(Span *s);
void stress_span_after(Span *s, const char *what);
void stress_span_again(const Span *s, const char *what);
void stress_check_reverse(const Span *s);

uint64_t stress_addr(void);

/*
 * No pointer to @addr: is the page not there?  If it was there all the time,
 * since its @changes were read, there was no slot for it, which the mapcache
 * counts.
 */
void stress_no_pointer(uint64_t addr, uint32_t changes);
uint32_t stress_changes_of(uint64_t addr);

extern uint8_t *stress_block_host;  /* RCU: device memory that is there now */

/* Threads without the BQL; @opaque: how many operations. */
void *stress_worker(void *opaque);
void stress_main_once(void);
void stress_op_block(void);
void stress_dma_end(Dma *d);

/* The linker's: what stands behind the test's own. */
WRAPPED(synchronize_rcu);

#endif
