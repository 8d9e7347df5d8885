/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Streams of operations for the naive twin, from chance or from files.
 */
#ifndef XEN_MAPCACHE_STREAMS_H
#define XEN_MAPCACHE_STREAMS_H

#include <stdint.h>

/*
 * A test: @bytes of random stream (XEN_MAPCACHE_OPS overrides it) from a seed
 * that it prints (or XEN_MAPCACHE_SEED), or the file XEN_MAPCACHE_REPLAY.  At
 * least @ops operations must come of it, or the test fails; of a length or a
 * file of the user's own whatever comes, and it returns false.  Prints their
 * number.
 */
bool streams_random(uint64_t bytes, uint64_t ops);

/* A test: each file in the folder XEN_MAPCACHE_CORPUS. */
void streams_replay(void);

#endif
