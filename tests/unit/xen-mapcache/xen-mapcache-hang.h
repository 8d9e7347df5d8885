/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A call to Xen or to the kernel that hangs, and others that go on.
 *
 * One thread, chosen by the test, stops in its next call of one kind until the
 * test lets it go on.  Whatever the others do meanwhile must not need what that
 * thread has.  If it does, nobody lets the thread go on: then it gives up after
 * a while, and the test fails.
 */
#ifndef XEN_MAPCACHE_HANG_H
#define XEN_MAPCACHE_HANG_H

#include <stdbool.h>

typedef enum HangCall {
    HANG_NOT,
    HANG_MAP,           /* before frames are mapped */
    HANG_MAPPED,        /* when they are mapped, before the call returns */
    HANG_EMPTY,         /* where slots are emptied */
    HANG_MUNMAP,
} HangCall;

/* In a call of that kind. */
void hang_here(HangCall call);

/* Adds the tests to the program's. */
void hang_add_tests(void);

#endif
