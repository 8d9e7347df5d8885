/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The model: a deliberately simple implementation of the mapcache's contract.
 * Both run the same stream of operations, and their results are compared.
 *
 * A stream is a sequence of bytes.  Each operation takes the bytes that it
 * needs from the stream.  So any bytes are a stream: random ones, a fuzzer's,
 * or a file with which a test once failed.
 */
#ifndef XEN_MAPCACHE_MODEL_H
#define XEN_MAPCACHE_MODEL_H

#include <stddef.h>
#include <stdint.h>

/* The size of a bucket in this build, and of the RAM that the model uses. */
#ifndef MCACHE_BUCKET_SHIFT
#define MCACHE_BUCKET_SHIFT 20
#endif
#define MODEL_BUCKET     (1u << MCACHE_BUCKET_SHIFT)
#define MODEL_RAM_BYTES  (32 * MODEL_BUCKET)

/* The call by which this build maps foreign memory. */
#ifdef MODEL_COMPAT
#define MODEL_MAP_CALL   "xenforeignmemory_map"
#else
#define MODEL_MAP_CALL   "xenforeignmemory_map2"
#endif

typedef struct ModelCounts {
    uint64_t ops;
    uint64_t bytes_checked;
    uint64_t lookups, holes, maps, releases, reverses;
    uint64_t balloons, invalidates, blocks, grants, faults;
    uint64_t thread_ops, gave_way;
} ModelCounts;

/*
 * How the operations of a thread without the BQL are run.  By default the
 * test's own thread runs them, without the BQL during each operation, and in
 * one RCU section for several operations.
 */
typedef struct ModelThreads {
    /* Runs @f(@opaque) as that thread; true if it has ended. */
    bool (*run)(void (*f)(void *opaque), void *opaque);
    /* Continues it; true if it has ended now. */
    bool (*go_on)(void);
    /* Lets the reaper run; true if it has nothing to do.  May be NULL. */
    bool (*reap)(void);
    /* Called before each stream; may be NULL. */
    void (*reset)(void);
} ModelThreads;

extern ModelThreads model_threads;

/* True if the thread without the BQL is to yield here; the stream decides. */
bool model_give_way(void);

/*
 * Runs the stream, and then releases everything that is still outstanding.  If
 * the mapcache and the model differ, aborts with a message that names the
 * operation.  Adds to @counts.  Called in the main thread, with the BQL.  The
 * domain's RAM up to MODEL_RAM_BYTES is fully populated before and after.
 */
void model_run(const uint8_t *data, size_t size, ModelCounts *counts);

/* False in a build for a libxen with which a dummy cannot be replaced. */
bool model_can_replace(void);

/* Frees device memory as system/physmem.c does: notifies, then unmaps. */
void model_block_free(uint8_t *host);

#endif
