/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the simulator's own tests share.  A test program is host and device
 * model in one process; where a process of its own matters, it forks one.
 */
#ifndef XENSIM_TESTS_COMMON_H
#define XENSIM_TESTS_COMMON_H

#include <errno.h>
#include <glib.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "xensim.h"

#define PAGE XENSIM_PAGE_SIZE

/* The simulation, from test_init() to test_run(). */
extern Xensim *sim;

/* Makes the simulation and points this process's libxen at it. */
void test_init(int *argc, char ***argv);
/* Runs the tests; the last thing main() does. */
int test_run(void);

/* A domain of @mib MiB; must succeed. */
XensimDomain *new_domain(unsigned mib, unsigned flags);
/* Checks the domain by xensim_check(), then destroys it. */
void end_domain(XensimDomain *dom);

/* The byte at @p, or minus the signal that reading it raised. */
int touch(const void *p);
/* The same for storing @byte: 0, or minus the signal. */
int poke(void *p, uint8_t byte);

/* Run @fn in a child; returns waitpid()'s status. */
int in_child(void (*fn)(void *opaque), void *opaque);
/* Starts such a child, without waiting; it exits with 0 when @fn returns. */
pid_t start_child(void (*fn)(void *opaque), void *opaque);

XensimMemInfo mem_info(XensimDomain *dom);

#endif
