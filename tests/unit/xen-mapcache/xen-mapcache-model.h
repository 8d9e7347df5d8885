/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The naive twin: a deliberately simple model of what the mapcache promises,
 * run beside it on a stream of operations.
 *
 * A stream is bytes.  Each operation takes what it needs from it, so that any
 * bytes are a stream: random ones, a fuzzer's, or a file that failed once.
 */
#ifndef XEN_MAPCACHE_TWIN_H
#define XEN_MAPCACHE_TWIN_H

#include <stddef.h>
#include <stdint.h>

/* The mapcache's bucket, as it was built, and the RAM that is played with. */
#ifndef MCACHE_BUCKET_SHIFT
#define MCACHE_BUCKET_SHIFT 20
#endif
#define TWIN_BUCKET     (1u << MCACHE_BUCKET_SHIFT)
#define TWIN_RAM_BYTES  (32 * TWIN_BUCKET)

/* The call by which this build maps foreign memory. */
#ifdef TWIN_COMPAT
#define TWIN_MAP_CALL   "xenforeignmemory_map"
#else
#define TWIN_MAP_CALL   "xenforeignmemory_map2"
#endif

typedef struct TwinCounts {
    uint64_t ops;
    uint64_t bytes_checked;
    uint64_t lookups, holes, maps, releases, reverses;
    uint64_t balloons, invalidates, blocks, grants, faults;
    uint64_t thread_ops, gave_way;
} TwinCounts;

/*
 * How the operations of a thread without the BQL are run.  Without a say in
 * it: as calls of the test's own thread, which is then without the BQL for as
 * long, but in one RCU section for many.
 */
typedef struct TwinThreads {
    bool (*run)(void (*f)(void *opaque), void *opaque); /* has it ended? */
    bool (*go_on)(void);    /* has it ended now? */
    bool (*reap)(void);     /* has the reaper nothing to do?  May be NULL */
    void (*reset)(void);    /* before a stream; may be NULL */
} TwinThreads;

extern TwinThreads twin_threads;

/* For a coroutine, of the stream: shall it give way here? */
bool twin_give_way(void);

/*
 * Runs the stream, and then releases all that it left outstanding.  A
 * difference between the mapcache and its model aborts with a message that
 * says which operation of the stream it was.  Adds to @counts.  In the main
 * thread, with the BQL; the domain's RAM
 * up to TWIN_RAM_BYTES is complete before and after.
 */
void twin_run(const uint8_t *data, size_t size, TwinCounts *counts);

/* False if built as for a libxen that cannot replace a dummy in place. */
bool twin_can_replace(void);

/* Frees device memory as system/physmem.c does: notifiers, then the map. */
void twin_block_free(uint8_t *host);

#endif
