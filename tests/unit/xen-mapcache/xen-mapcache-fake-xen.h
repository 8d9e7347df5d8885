/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fake Xen: a Xen without system calls, for many operations a second.
 *
 * A program may be linked with this in place of the simulated Xen.  It has
 * those functions of libxen and of tests/xensim/include/xensim.h that the
 * mapcache and the model call.  On the simulated Xen most of the cost of a
 * mapping is mmap().  Here a mapping is ordinary memory.  The model reads only
 * the first eight bytes of a page, and these bytes of a frame never change
 * while it can be mapped.  So mapping a frame copies these eight bytes to the
 * addresses, and unmapping overwrites them with a value that no page has.
 *
 * The mapcache's own MAP_SHARED mappings (its arena, dummies) are in that
 * memory too: the linker's --wrap must replace mmap64() and munmap().  The
 * rules are those of the kernel and of the library: nothing is mapped over a
 * part of a foreign mapping, the target of a failing map call is unmapped, and
 * addresses are used again at once, the lowest first.
 *
 * Only one thread may use it.
 */
#ifndef XEN_MAPCACHE_FAKE_XEN_H
#define XEN_MAPCACHE_FAKE_XEN_H

#include <stddef.h>
#include <stdint.h>

/*
 * The values read where nothing is mapped, and where an absent page is mapped.
 * No page of the model has such a serial number.
 */
#define FAKE_NOT_MAPPED 0xdead000000000000ull
#define FAKE_ABSENT     0xab5e000000000000ull

/* Map calls and unmapping calls so far. */
typedef struct FakeCounts {
    uint64_t maps, unmaps;
} FakeCounts;

extern FakeCounts fake_counts;

/* The number of mappings of each grant, by its reference, from 1 on. */
#define FAKE_GRANTS     64
extern unsigned fake_grant_maps[FAKE_GRANTS + 1];

/* Reserves the addresses for mappings.  Called once. */
void fake_init(void);

/* The number of the frame at @gfn; 0 if it is absent. */
uint32_t fake_frame_at(uint64_t gfn);

/*
 * Maps @n frames, some of which may be absent, at @addr, or at any address if
 * @addr is NULL.  @refs: the grants by which they are mapped, or NULL.  Returns
 * NULL with ENOMEM if there is no room, or if the range contains a part, but
 * not all, of a foreign mapping.
 */
void *fake_show(void *addr, const uint32_t *frames, size_t n,
                const uint32_t *refs);

/*
 * fake_unmap() unmaps @n pages as munmap() does; fake_lose() does so as a
 * failing map call does.  0 or -ENOMEM.
 */
int fake_unmap(void *addr, uint32_t n);
int fake_lose(void *addr, uint32_t n);

#endif
