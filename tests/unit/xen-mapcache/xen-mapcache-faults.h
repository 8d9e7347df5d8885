/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mapcache while calls fail: what the test's files share.
 *
 * test-xen-mapcache-faults.c      the sweep, and the mutants
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
    KIND_XEN,           /* a libxen function, by name */
    KIND_MMAP,
    KIND_MUNMAP,
    KIND_MPROTECT,
    KIND_MEMFD,
    KIND_ALLOC,         /* g_try_*: allocations whose size a guest chooses */
} Kind;

typedef struct Plan {
    const char *name;
    Kind kind;
} Plan;

/* Shared by the process that runs the scenario and its parent, the test. */
typedef struct Shared {
    bool fired;         /* call number @nth was made, and has failed */
    bool may_exit;      /* the contract says that this failure may end QEMU */
} Shared;

extern Shared *faults_shared;

/* The calls that fail in this process. */
typedef struct FaultsNow {
    const Plan *plan;
    unsigned nth;
    bool for_ever;
    bool armed;         /* atomic */
    unsigned seen;      /* atomic: calls of the kind so far */
    int id;             /* of the simulated Xen's fault */
} FaultsNow;

extern FaultsNow faults_now;

extern __thread bool faults_in_mapcache; /* only the mapcache's calls fail */

/* Calls fail from faults_arm() to faults_disarm(). */
void faults_arm(void);
void faults_disarm(void);

/* The mutants: mistakes made on purpose, which the test must find. */
typedef enum Mistake {
    MISTAKE_NONE,
    MISTAKE_FORGET,     /* an unmap that fails is not tried again */
    MISTAKE_EXIT,       /* a failure ends QEMU */
    MISTAKE_BYTES,      /* an absent page is taken for a present one */
    MISTAKE_FREED,      /* a record is freed, and still found */
    MISTAKE_SHIFT,      /* each mapping shifts an int too far */
} Mistake;

extern Mistake faults_mistake;

/* Calls a function of the mapcache, whose calls are made to fail. */
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
 * Sets up a domain and runs the scenario in it, first with the fault and then
 * without.  Aborts if anything is wrong.
 */
void faults_run(void);

#endif
