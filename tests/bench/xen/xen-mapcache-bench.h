/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One benchmark of the Xen mapcache, for two implementations of it.  The source
 * file that is measured is linked in unmodified; a small adapter provides the
 * functions below.
 */
#ifndef XEN_MAPCACHE_BENCH_H
#define XEN_MAPCACHE_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- the adapter: what the scenarios need, on guest RAM, in bytes ---- */

/*
 * Returns a transient pointer to @addr, which may be used to the end of its
 * page; NULL if the page is absent.
 */
uint8_t *bench_lookup(uint64_t addr);

/* A DMA mapping of @len bytes, and its release. */
uint8_t *bench_map(uint64_t addr, size_t len);
void bench_unmap(uint8_t *host, size_t len);

/* The ram_addr_t of a mapped address. */
uint64_t bench_reverse(uint8_t *host);

/* Xen's request to drop all mappings. */
void bench_invalidate(void);

/* Sets the mapcache up; the domain and libxen are ready. */
void bench_init(void);

/* To be called by a thread without the BQL before it maps DMA. */
void bench_thread_init(void);

/* ---- what the scenarios share ---- */

#define MIB         (1ull << 20)
#define PAGE        4096u
#define WARM        16u             /* buckets that hits go to */
#define WARM_AT     (64 * MIB)

/* One round: nanoseconds for an operation. */
typedef double BenchRound(void *opaque);

/*
 * Runs @round several times, and prints the shortest time that it returned;
 * longer times are due to other work of the machine.  Also prints, for each
 * operation, the number of calls that map and that unmap; a round makes
 * @operations operations.
 */
void bench_time(const char *scenario, BenchRound *round, void *opaque,
                unsigned operations);

void bench_report(const char *scenario, const char *unit, double value);

/* Nanoseconds of a monotonic clock. */
int64_t bench_now(void);

/*
 * Makes @n operations of one kind, without timing: "hit", "dma" (map, reverse
 * lookup, unmap), or "loop", which is the loop of the other two without their
 * operation.  False if there is no such kind.
 */
bool bench_count(const char *operation, unsigned n);

/*
 * Returns bench_now().  If a round has other work to do first, it calls this
 * after that work; the map calls before are then not counted.
 */
int64_t bench_start(void);

/* KiB of writable memory of this process, touched or not. */
uint64_t bench_data_kib(void);

/* ---- xen-mapcache-bench-hits.c ---- */

/*
 * Measures hits: the first in one thread, the second also in several, and
 * beside a plain pointer.
 */
void bench_hit(void);
void bench_hits(void);

/* Measures DMA in 1 to 4 threads, each to buckets of its own. */
void bench_dma_threads(void);

/*
 * Measures hits, DMA, an invalidate and the bookkeeping of a guest of
 * @ram_bytes, of which very little is populated.  A process runs only this
 * scenario.
 */
void bench_guest_size(uint64_t ram_bytes);

#endif
