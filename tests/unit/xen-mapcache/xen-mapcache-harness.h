/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A mapcache in a process of its own: hw/xen/xen-mapcache*.c as they are, the
 * series' or QEMU's own, on the simulated Xen in the same process, with the few things
 * that the rest of QEMU gives it played by this harness.
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

/* What the mapcache asks of QEMU's state; to be set by a test. */
extern bool harness_incoming;           /* RUN_STATE_INMIGRATE */

/* What it told the rest of QEMU. */
extern unsigned harness_drains;         /* bdrv_drain_all() calls */
extern int harness_announced;           /* RAM block notifications: added */
extern int harness_withdrawn;           /* … and removed */

/*
 * Sets up a domain with @ram_bytes of RAM; xen_map_cache_init() is next.  Once
 * in a process.  The calling thread has the BQL until it gives it up.
 */
void harness_init(uint64_t ram_bytes, unsigned domain_flags);

/* The calling thread has the BQL from now on, or not. */
void harness_bql(bool locked);

/*
 * Pages of the domain that are mapped now, in mappings of guest RAM, device
 * memory and grants alike.
 */
uint64_t harness_mapped_pages(void);

#endif
