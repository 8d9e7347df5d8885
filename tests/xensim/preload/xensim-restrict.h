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
 * Has this process restricted itself?  Then a xenctrl, gnttab or xenstore
 * handle opened before answers as /dev/null does (ENOTTY for ioctls; a
 * xenstore request fails with EBADF-like errors of a dead connection) and
 * opening a new one fails with EACCES.  Any thread; no lock.
 */
bool xensim_restricted(void);

/* May this process act on @domid's memory and device model?  If not: EPERM. */
bool xensim_may_control(uint32_t domid);

#endif
