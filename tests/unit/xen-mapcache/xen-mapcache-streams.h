/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Streams of operations for the model: random ones, or from files.
 */
#ifndef XEN_MAPCACHE_STREAMS_H
#define XEN_MAPCACHE_STREAMS_H

#include <stdint.h>

/*
 * A test that runs a random stream of @bytes, or of XEN_MAPCACHE_OPS bytes.
 * The seed is printed; XEN_MAPCACHE_SEED sets it.  With XEN_MAPCACHE_REPLAY,
 * runs that file instead.  Prints the number of operations.  The test fails if
 * there are fewer than @ops; but if the user gave a length or a file, any
 * number is accepted, and the result is false.
 */
bool streams_random(uint64_t bytes, uint64_t ops);

/* A test that runs each file in the folder XEN_MAPCACHE_CORPUS. */
void streams_replay(void);

#endif
