/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What xen-loop-probe.c keeps in the file that LOOP_PROBE names. */
#ifndef XEN_LOOP_PROBE_H
#define XEN_LOOP_PROBE_H

#include <stdint.h>

/*
 * The longest round of the main loop, and the number of its rounds.  Atomic; a
 * reader may set all fields to 0 at any time.
 */
typedef struct LoopProbe {
    uint64_t wall_ns;
    uint64_t cpu_ns;            /* the main thread's CPU time in one round */
    uint64_t rounds;
} LoopProbe;

#endif
