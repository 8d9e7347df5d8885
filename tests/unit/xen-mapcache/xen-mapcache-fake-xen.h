/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A Xen without system calls, for many operations a second.
 *
 * In place of the simulated Xen a program may be linked with this: the same
 * calls, of libxen's and of tests/xensim/include/xensim.h, as far as the mapcache and
 * its twin make them.  What a mapping costs on the simulated Xen is mmap() and
 * what follows from it.  The twin looks at the first eight bytes of a page and
 * nothing else, and a frame never changes once it can be mapped; so here a
 * mapping is made by copying these eight bytes of each frame to the addresses
 * that it is mapped at, which are ordinary memory, and is ended by writing
 * something there that is no page's.
 *
 * The mapcache's own MAP_SHARED mappings (its arena, dummies) lie in that
 * memory too: mmap64() and munmap() are to be replaced by the linker's --wrap.
 * The rules are the kernel's and the library's: no mapping over a part of a
 * foreign one, the target of a failing map call is unmapped, addresses are
 * used again at once, the lowest first.
 *
 * Not for several threads.
 */
#ifndef XEN_MAPCACHE_SOFT_H
#define XEN_MAPCACHE_SOFT_H

#include <stddef.h>
#include <stdint.h>

/* What is read where no page is mapped: no serial number of the twin's. */
#define SOFT_NOT_MAPPED 0xdead000000000000ull
#define SOFT_ABSENT     0xab5e000000000000ull

/* Map calls and unmapping calls so far. */
typedef struct SoftCounts {
    uint64_t maps, unmaps;
} SoftCounts;

extern SoftCounts soft_counts;

/* How often a grant is mapped, by its reference, from 1 on. */
#define SOFT_GRANTS     64
extern unsigned soft_grant_maps[SOFT_GRANTS + 1];

/* Reserves the addresses at which mappings lie; once. */
void soft_init(void);

/* The number of the guest's frame there, 0 if there is none. */
uint32_t soft_frame_at(uint64_t gfn);

/*
 * Maps @n frames, some of which may be absent, at @addr or, if it is NULL,
 * anywhere; @refs are the grants that they are mapped by, or NULL.  NULL and
 * ENOMEM if there is no room, or if a part of a mapping is there.
 */
void *soft_show(void *addr, const uint32_t *frames, size_t n,
                const uint32_t *refs);

/* Unmaps @n pages: as munmap() does, and as -ENOMEM if it cannot. */
int soft_unmap(void *addr, uint32_t n);
int soft_lose(void *addr, uint32_t n);

#endif
