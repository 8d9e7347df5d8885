/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual time that stands still.  The host and the device models share this
 * structure in the file "clock" of the run directory.
 */
#ifndef XENSIM_VCLOCK_H
#define XENSIM_VCLOCK_H

#include <stdatomic.h>
#include <stdint.h>

struct XsimClock {
    _Atomic int64_t now;        /* ns; the device model steps it */
    _Atomic int64_t goal;       /* how far it may go; the host sets it */
    _Atomic uint32_t broken;    /* a device model has no such clock */
};
typedef struct XsimClock XsimClock;

#define XSIM_CLOCK_FILE "clock"

#endif
