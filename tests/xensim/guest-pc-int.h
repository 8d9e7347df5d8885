/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What guest-pc.c and guest-ide.c share. */

#ifndef XENSIM_GUEST_PC_INT_H
#define XENSIM_GUEST_PC_INT_H

#include "guest-pc.h"

struct GuestPc {
    XensimDomain *dom;
    unsigned timeout_ms;
    char error[256];            /* of the last failure, one line */
};

/* Note what went wrong, printf-style; returns -ERROR. */
int guest_pc_fail(GuestPc *pc, int error, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Send REQ and wait; what nobody claims reads as all-ones.  0 or -errno. */
int guest_pc_ioreq(GuestPc *pc, XensimIoreq *req);

#endif
