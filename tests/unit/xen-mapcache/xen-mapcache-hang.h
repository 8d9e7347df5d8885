/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One call to Xen or to the kernel hangs; other threads must go on.
 *
 * The test chooses a thread, which stops in its next call of one kind until the
 * test lets it continue.  Meanwhile the operations of other threads must not
 * need anything that this thread holds.  If they do, nobody lets the thread
 * continue; then it continues by itself after a while, and the test fails.
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

/* To be called in each call of that kind: stops there if the test says so. */
void hang_here(HangCall call);

/* Adds the tests to the program's. */
void hang_add_tests(void);

#endif
