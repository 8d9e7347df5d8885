/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The harness: runs a mapcache in a process without the rest of QEMU.
 *
 * The sources are unmodified: hw/xen/xen-mapcache*.c of the series, or stock
 * QEMU's.  The simulated Xen runs in the same process.  This harness
 * provides the few things that the mapcache needs of the rest of QEMU.
 */
#ifndef XEN_MAPCACHE_HARNESS_H
#define XEN_MAPCACHE_HARNESS_H

#include "system/xen-mapcache.h"
#include "tests/xensim/include/xensim.h"

/* The simulation and the domain that the mapcache works for. */
extern Xensim *harness_sim;
extern XensimDomain *harness_dom;

/* The region of guest RAM and that of grants, for xen_map_cache_dma(). */
extern MemoryRegion *const harness_ram;
extern MemoryRegion *const harness_grants;

/* QEMU's state that the mapcache reads; a test sets it. */
extern bool harness_incoming;           /* RUN_STATE_INMIGRATE */

/* Counts of the mapcache's calls to the rest of QEMU. */
extern unsigned harness_drains;         /* bdrv_drain_all() */
extern int harness_announced;           /* RAM block notifications: added */
extern int harness_withdrawn;           /* RAM block notifications: removed */

/*
 * Sets up a domain with @ram_bytes of RAM.  Called once in a process, before
 * xen_map_cache_init().  The calling thread has the BQL until it releases it.
 */
void harness_init(uint64_t ram_bytes, unsigned domain_flags);

/* Takes the BQL for the calling thread, or releases it. */
void harness_bql(bool locked);

/*
 * The number of the domain's pages that are mapped now: guest RAM, device
 * memory and grants together.
 */
uint64_t harness_mapped_pages(void);

#endif
