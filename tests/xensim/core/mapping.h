/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records of the mappings that a device model holds.
 *
 * A record names the frames a mapping shows, as runs, and holds a reference
 * for each page of them.  Records live in shared memory, in the process's
 * slot, so that the host can count them, and release them when the process
 * has died.  Those that have an address are in a tree by address (a treap);
 * no two overlap.
 *
 *   FREE --xsim_map_new()--> HOLDING --xsim_map_insert()--> LIVE
 *     ^                         |  ^                          |
 *     +----xsim_map_drop()------+  +------xsim_map_take()-----+
 *
 * HOLDING has references but is not in the tree: it is being made, or its
 * address range is being unmapped.
 */
#ifndef XENSIM_MAPPING_H
#define XENSIM_MAPPING_H

#include "sim.h"

enum { XSIM_MAP_FREE, XSIM_MAP_HOLDING, XSIM_MAP_LIVE };
enum { XSIM_MAP_FOREIGN, XSIM_MAP_GRANT, XSIM_MAP_RESOURCE };

typedef struct XsimRun {
    uint64_t gfn, mfn;
    uint32_t pages;
    uint32_t next;        /* run index, 0 ends */
    uint32_t grant;       /* reference, for a grant */
    uint32_t slot;        /* domain slot */
} XsimRun;

typedef struct XsimMap {
    uint8_t state, kind;
    bool writable;
    uint8_t slot;         /* domain slot of the first run, for statistics */
    uint8_t file;         /* which of the XSIM_FILES descriptors it maps */
    uint32_t left, right, prio;
    uint32_t next;        /* free list, or a caller's list */
    uint32_t nr_runs;
    uint64_t addr, pages;
    XsimRun run;          /* the first; nr_runs 0: not valid */
    uint32_t last_run;    /* 0: only the first */
} XsimMap;

static_assert(sizeof(XsimMap) <= XSIM_MAP_BYTES, "XsimMap");
static_assert(sizeof(XsimRun) == XSIM_RUN_BYTES, "XsimRun");

XsimMap *xsim_map(XsimView *v, unsigned proc, uint32_t index);
XsimRun *xsim_run(XsimView *v, unsigned proc, uint32_t index);

/*
 * Makes a HOLDING record without runs.  Returns its index, or 0 if all records
 * are in use.
 */
uint32_t xsim_map_new(XsimView *v, unsigned proc, unsigned kind);

/*
 * Adds @pages frames from @mfn on to the record, and takes a reference for
 * each.  They were found at @gfn, or by the reference @grant.  Extends the last
 * run if they continue it.  The caller holds the lock of domain @slot.  0 or
 * -ENOMEM.
 */
int xsim_map_add(XsimView *v, unsigned proc, uint32_t map, unsigned slot,
                 uint64_t gfn, uint64_t mfn, uint64_t pages, uint32_t grant);

/* Run after @run (NULL: the first) of a record, NULL at the end. */
XsimRun *xsim_map_next_run(XsimView *v, unsigned proc, XsimMap *m,
                           XsimRun *run);

/* HOLDING -> FREE: releases the record's references.  Called without locks. */
void xsim_map_drop(XsimView *v, unsigned proc, uint32_t map);
/* Does the same for a list of records, linked by XsimMap.next. */
void xsim_map_drop_list(XsimView *v, unsigned proc, uint32_t map);

/* The following: caller holds XsimProc.lock. */

/* HOLDING -> LIVE at @addr.  Nothing LIVE may overlap. */
void xsim_map_insert(XsimView *v, unsigned proc, uint32_t map, uint64_t addr,
                     uint64_t pages);
/* The index of a LIVE mapping that overlaps [@start, @end), or 0. */
uint32_t xsim_map_find(XsimView *v, unsigned proc, uint64_t start,
                       uint64_t end);
/* True if no LIVE mapping lies partly inside and partly outside the range. */
bool xsim_map_all_inside(XsimView *v, unsigned proc, uint64_t start,
                         uint64_t end);
/*
 * LIVE -> HOLDING for all mappings inside the range.  Returns the first of a
 * list, linked by XsimMap.next; 0 if there is none.
 */
uint32_t xsim_map_take(XsimView *v, unsigned proc, uint64_t start,
                       uint64_t end);
/* Undoes xsim_map_take(). */
void xsim_map_put_back(XsimView *v, unsigned proc, uint32_t list);

#endif
