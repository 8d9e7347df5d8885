/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One benchmark of the Xen mapcache, for two implementations of it: the file
 * that is measured is linked in as it is, and a small adapter gives it this
 * face.
 */
#ifndef XEN_MAPCACHE_BENCH_H
#define XEN_MAPCACHE_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- the adapter: what the scenarios need, on guest RAM, in bytes ---- */

/* An unlocked pointer to @addr, good to the end of its page; NULL: a hole. */
uint8_t *bench_lookup(uint64_t addr);

/* A DMA mapping of @len bytes, and its release. */
uint8_t *bench_map(uint64_t addr, size_t len);
void bench_unmap(uint8_t *host, size_t len);

/* The ram_addr_t of a mapped address. */
uint64_t bench_reverse(uint8_t *host);

/* Xen asks for all mappings to go. */
void bench_invalidate(void);

/* Sets the mapcache up; the domain and libxen are ready. */
void bench_init(void);

/* The calling thread, without the BQL, is going to map DMA. */
void bench_thread_init(void);

/* ---- what the scenarios share ---- */

#define MIB         (1ull << 20)
#define PAGE        4096u
#define WARM        16u             /* buckets that hits go to */
#define WARM_AT     (64 * MIB)

/* One round: nanoseconds for an operation. */
typedef double BenchRound(void *opaque);

/*
 * Prints the least of several rounds: what is above it is the machine's.  A
 * round is @operations of them, for the calls in one.
 */
void bench_time(const char *scenario, BenchRound *round, void *opaque,
                unsigned operations);

void bench_report(const char *scenario, const char *unit, double value);

/* Nanoseconds, of a clock that only goes on. */
int64_t bench_now(void);

/*
 * @n times "hit", "dma" (map, reverse lookup, unmap) or "loop", which is what
 * the other two have around them; nothing is timed.  False: no such operation.
 */
bool bench_count(const char *operation, unsigned n);

/*
 * The same, at the start of what is measured, if a round has work before it:
 * the map calls of that do not count.
 */
int64_t bench_start(void);

/* KiB of writable memory of this process, touched or not. */
uint64_t bench_data_kib(void);

/* ---- xen-mapcache-bench-hits.c ---- */

/* Lookups that hit, alone, in threads, and beside a plain pointer. */
void bench_hits(void);

/* DMA in 1 to 4 threads, each to buckets of its own. */
void bench_dma_threads(void);

/*
 * A guest of @ram_bytes of which next to nothing is populated: hits, DMA, an
 * invalidate, bookkeeping.  The only scenario of a process.
 */
void bench_guest_size(uint64_t ram_bytes);

#endif
