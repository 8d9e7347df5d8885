/*
 * Guest RAM on Xen: transfers by copy
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A transfer that reads guest memory copies it when the device maps it.  A
 * transfer that writes also copies it then, and copies back what the device has
 * changed when the device unmaps it.
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/units.h"
#include "xen-ram-copy.h"
#include "trace.h"

/* One copy; callers ask again for the rest. */
#define COPY_MAX        (1 * MiB)

void *xen_ram_copy_map(RAMBlock *block, ram_addr_t addr, hwaddr *len,
                       bool is_write)
{
    void *host = NULL;
    RamCopy *c;

    *len = MIN(*len, COPY_MAX);
    c = xen_ram_copy_new(block, addr, *len, is_write);
    if (!c) {
        trace_xen_ram_copies_full(addr, *len);
        return NULL;
    }
    if (!(xen_ram_copy(block, addr, c->bytes, *len, false) & MEMTX_ERROR)) {
        host = xen_ram_copy_publish(c, len);
    }
    if (host != c->bytes) {
        xen_ram_copy_release(c);
    }
    return host;
}

bool xen_ram_copy_unmap(void *host, hwaddr written)
{
    RamCopy *c = xen_ram_copy_of(host);
    hwaddr at;

    if (likely(!c)) {
        return false;
    }
    at = (uint8_t *)host - c->bytes;
    written = MIN(written, c->len - at);
    if (written && memcmp(host, c->guest + at, written) &&
        xen_ram_copy_changes(c->block, c->addr + at, host, c->guest + at,
                             written) & MEMTX_ERROR) {
        /* The device may ask: dma_take_failed(). */
        error_report("xen: some or all of the 0x%" HWADDR_PRIx " bytes that a "
                     "device wrote to guest address 0x" RAM_ADDR_FMT " are "
                     "lost: the memory can no longer be mapped", written,
                     c->addr + at);
    }
    xen_ram_copy_release(c);
    return true;
}
