/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One benchmark of the Xen mapcache, for two implementations of it: the file
 * that is measured is linked in as it is, and a small adapter gives it this
 * face.
 */
#ifndef XEN_MAPCACHE_BENCH_H
#define XEN_MAPCACHE_BENCH_H

#include <stddef.h>
#include <stdint.h>

/* What the scenarios need, all of it on guest RAM; addresses in bytes. */
extern const char *const bench_name;

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

#endif
