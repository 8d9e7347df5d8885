/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mapcache under threads: what the test's files share.
 *
 * test-xen-mapcache-threads.c  the essay, the run, the mutants
 * xen-mapcache-stress.c        the operations of the threads
 * xen-mapcache-stress-pages.c  stamping pages, and checking pointers
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
#define RAM_BYTES   (64 * MODEL_BUCKET)  /* more than a tight arena holds */
#define PAGES       (RAM_BYTES / PAGE)
#define MAX_SPAN    (3 * MCACHE_BUCKET_PAGES + 1)
#define THREADS     3
#ifndef STRESS_OPS
#define STRESS_OPS  10000   /* of each thread */
#endif
#define MAX_HELD    12      /* pointers in one section */
#define MAX_DMA     6       /* outstanding in one thread */
#define HAND_OVER   4
#define SCRATCH_GFN 0xc0000 /* a frame is stamped here before it is moved */
#define BLOCK_AT    (1ull << 32)
#define BLOCK_PAGES 40
#define SMALL_RAM   (32u << 20)

/* The hole that every HVM guest has. */
#define VGA_HOLE_FIRST  0xa0
#define VGA_HOLE_LAST   0xbf

/* A difference ends the process with a message that begins with this. */
#define COMPLAINT   "mapcache stress: "

void stress_complain(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* Handler of SIGSEGV and SIGBUS: reports that a valid pointer was unmapped. */
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
extern unsigned stress_started;            /* atomic: threads ever started */
extern unsigned stress_running;            /* atomic: threads that run now */

/* A random number below @bound, from this thread's own sequence. */
uint32_t stress_chance(uint32_t bound);

/* Lets other threads run, in one of @often calls at random. */
void stress_pause(uint32_t often);

typedef struct GuestPage {
    uint32_t changes;   /* atomic; stepped by each change; odd: present */
    uint32_t latest;    /* atomic: the serial of its last frame */
    uint32_t floor;     /* atomic: the first serial that a lookup may show */
} GuestPage;

extern GuestPage stress_pages[PAGES];

/* The functions below are for the main thread only. */
bool stress_page_may_move(uint64_t page);
void stress_stamp(uint64_t gfn, uint64_t page, uint32_t serial);
void stress_page_comes(uint64_t page);
void stress_page_goes(uint64_t page);
void stress_invalidate(void);

/* The serials that were read through a pointer, and must not change. */
typedef struct Span {
    uint8_t *host;
    uint64_t addr, len;
    uint32_t *serial;   /* of each page */
} Span;

/*
 * The first is called before the call that makes a pointer.  The second reads
 * through the pointer for the first time.  The third reads again, and checks
 * that nothing has changed.  @what: the kind of pointer, for messages.
 */
void stress_span_before(Span *s);
void stress_span_after(Span *s, const char *what);
void stress_span_again(const Span *s, const char *what);
void stress_check_reverse(const Span *s);

uint64_t stress_addr(void);

/*
 * To be called if there was no pointer to @addr.  Either the page was absent at
 * some time since its @changes were read, or there was no slot for it, which
 * the mapcache counts.
 */
void stress_no_pointer(uint64_t addr, uint32_t changes);
uint32_t stress_changes_of(uint64_t addr);

extern uint8_t *stress_block_host;  /* RCU: the present device memory */

/* The function of a thread without the BQL; @opaque: number of operations. */
void *stress_worker(void *opaque);
void stress_main_once(void);
void stress_op_block(void);
void stress_dma_end(Dma *d);

/* The real function, which the linker's --wrap gives another name. */
WRAPPED(synchronize_rcu);

#endif
