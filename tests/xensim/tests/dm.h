/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small device model for the tests: an ioreq server with a few registers,
 * in a child process, which writes down every request it gets.
 *
 *   ports 0x100-0x10f   memory; rep ins gives 0xa0, 0xa1, ...; rep outs is
 *                       summed up in DmShared.sum
 *   MMIO 0xf0000000     memory, one page; copies with data pointers
 *   MMIO 0x000a0000     the same page, again and again (for buffered writes)
 *   PCI 00:05.0         256 bytes of memory
 */
#ifndef XENSIM_TESTS_DM_H
#define XENSIM_TESTS_DM_H

#include "common.h"

#define DM_PORT      0x100u
#define DM_MMIO      0xf0000000ull
#define DM_VGA       0xa0000ull
#define DM_DEVFN     (5u << 3)
#define DM_EVENTS    8192

typedef struct DmEvent {
    uint64_t addr, data;
    uint32_t count, size;
    uint8_t type;
    bool read, ptr, df, buffered;
    unsigned vcpu;
    int absent;            /* INVALIDATE: the err[] for the gfn watch_gfn */
} DmEvent;

typedef struct DmShared {
    uint32_t domid;
    uint64_t watch_gfn;    /* looked up at each INVALIDATE */
    volatile uint32_t events;
    DmEvent event[DM_EVENTS];
    uint8_t ports[16], mmio[4096], pci[256];
    uint64_t sum;
    volatile bool hang;    /* take requests, do not answer */
} DmShared;

/* Start it for @dom and wait until it serves; @shared stays the caller's. */
pid_t dm_start(XensimDomain *dom, DmShared **shared);
void dm_stop(pid_t pid, DmShared *shared);
/* The request that it got @back requests before the last one; 0: the last. */
DmEvent dm_event(DmShared *shared, unsigned back);

#endif
