/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of this folder share. */
#ifndef XEN_TEST_INT_H
#define XEN_TEST_INT_H

#include "xen-test-common.h"

/*
 * Calls @scenario; returns what it returns, or the text with which
 * xen_test_leave() was called meanwhile.
 */
const char *xen_test_catch(XenTest *t, XenScenario *scenario);

/* Prints the last lines that the device models have written, as diagnostics. */
void xen_test_show_log(XenTest *t);

/*
 * True if the device model ends within @ms.  Then it is reaped, waitpid()'s
 * status is in *@wstatus, and libqtest knows that it has ended.
 */
bool xen_test_died(XenTest *t, unsigned ms, int *wstatus);

/* If frames are noted (xen_test_note_frames()), notes them again. */
void xen_test_note_frames_again(XenTest *t, const char *when);

/* Prints what has become of the frames that were noted. */
void xen_test_show_frames(XenTest *t);

/* Frees what belongs to a device model that has ended. */
void xen_test_dm_gone(XenTest *t);

#endif
