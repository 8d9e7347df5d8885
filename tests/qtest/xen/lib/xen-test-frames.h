/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the guest's frames are, before and after: what a failure of the tests
 * of placement shows.
 */
#ifndef XEN_TEST_FRAMES_H
#define XEN_TEST_FRAMES_H

#include "xensim.h"

typedef struct XenTestFrames XenTestFrames;

/* The frames of @dom at the gfns [@from, @to), as they are now. */
XenTestFrames *xen_test_frames_get(XensimDomain *dom, uint64_t from,
                                   uint64_t to);
void xen_test_frames_free(XenTestFrames *f);

/*
 * What has become of @before's frames in @after, a line for each run of gfns,
 * at most 24 lines (g_free), as in
 *
 *   0x04000-0x047ff stay
 *   0x04800-0x04fff -> 0xe0000-0xe07ff
 *   0xe0800-0xe0fff new
 *   0x05000-0x0500f gone
 *
 * A frame is identified by its mfn.  If the two are of different domains, as
 * before and after a restore, it is identified by its gfn.
 */
char *xen_test_frames_diff(const XenTestFrames *before,
                           const XenTestFrames *after);

#endif
