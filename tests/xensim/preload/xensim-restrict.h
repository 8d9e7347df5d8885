/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of libxensim.so ask about this process's restriction
 * (xentoolcore_restrict_all()).  Internal to the preload library.
 */
#ifndef XENSIM_RESTRICT_H
#define XENSIM_RESTRICT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * True if this process has restricted itself.  From then on, its calls by
 * handles of xenctrl and gnttab fail with ENOTTY, as if these were open files
 * of /dev/null.  Xenstore requests, and opening a new handle, fail with EACCES.
 * Any thread; no lock.
 */
bool xensim_restricted(void);

/* May this process act on @domid's memory and device model?  If not: EPERM. */
bool xensim_may_control(uint32_t domid);

#endif
