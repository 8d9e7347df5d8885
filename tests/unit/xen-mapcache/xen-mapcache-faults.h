/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mapcache with everything failing: what the test's files share.
 *
 * test-xen-mapcache-faults.c      the sweep, and mistakes made on purpose
 * xen-mapcache-faults-calls.c     the calls that are made to fail
 * xen-mapcache-faults-scenario.c  the scenario in which they fail
 */
#ifndef XEN_MAPCACHE_FAULTS_H
#define XEN_MAPCACHE_FAULTS_H

#include "hw/xen/xen_native.h"
#include "xen-mapcache-harness.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-model.h"

#define PAGE        XENSIM_PAGE_SIZE

typedef enum Kind {
    KIND_XEN,           /* a call of libxen's, by name */
    KIND_MMAP,
    KIND_MUNMAP,
    KIND_MPROTECT,
    KIND_MEMFD,
    KIND_ALLOC,         /* g_try_*, which is what a guest can size */
} Kind;

typedef struct Plan {
    const char *name;
    Kind kind;
} Plan;

/* Between the process that runs the scenario and the one that watches. */
typedef struct Shared {
    bool fired;         /* there was an Nth call */
    bool may_exit;      /* the header says that this may end QEMU */
} Shared;

extern Shared *faults_shared;

/* What is to fail in this process. */
typedef struct FaultsNow {
    const Plan *plan;
    unsigned nth;
    bool for_ever;
    bool armed;         /* atomic */
    unsigned seen;      /* atomic: calls of the kind so far */
    int id;             /* of the simulated Xen's fault */
} FaultsNow;

extern FaultsNow faults_now;

extern __thread bool faults_in_mapcache; /* the calls meant are its own */

/* Faults come from now on, and no more. */
void faults_arm(void);
void faults_disarm(void);

/* Mistakes from outside, to see that they are found. */
typedef enum Mistake {
    MISTAKE_NONE,
    MISTAKE_FORGET,     /* what could not be unmapped is forgotten */
    MISTAKE_EXIT,       /* a failure ends QEMU */
    MISTAKE_BYTES,      /* a page that is not there is taken for one */
    MISTAKE_FREED,      /* a record is freed, and found all the same */
    MISTAKE_SHIFT,      /* a shift beyond an int for each mapping */
} Mistake;

extern Mistake faults_mistake;

/* Runs a call of the mapcache's as the one that faults are meant for. */
#define CALL(call) ({           \
    faults_in_mapcache = true;         \
    typeof(call) value = call;  \
    faults_in_mapcache = false;        \
    value;                      \
})
#define CALL_VOID(call) do {    \
    faults_in_mapcache = true;         \
    call;                       \
    faults_in_mapcache = false;        \
} while (0)

/*
 * Sets a domain up and runs the scenario in it, with the fault and again
 * without.  Aborts unless all is as it must be.
 */
void faults_run(void);

#endif
