/*
 * Guest RAM on Xen: loads, stores and copies of bytes
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An unavailable page is copied through a mapping that is made for the copy.  If
 * that fails, it is tried again for a few milliseconds, and then the access ends
 * in an error.
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "hw/xen/xen_native.h"
#include "hw/xen/xen-report.h"
#include "system/dma-failed.h"
#include "system/xen.h"
#include "system/xen-mapcache.h"
#include "xen-ram.h"

/* --- retries ------------------------------------------------------------- */

#define RETRIES             6
#define RETRY_DELAY_US      100     /* each is twice the last; sum: 6.3 ms */
#define RETRY_PAUSE_MS      100

/* Until this time (ms) nothing is tried again, because the failure lasts. */
static int64_t failing_until;

/* The caller may hold the BQL, so a lasting failure must not delay each access. */
bool xen_ram_wait_to_retry(unsigned *tries)
{
    int64_t now = g_get_monotonic_time() / 1000;

    if (now < qatomic_read(&failing_until)) {
        return false;
    }
    if (*tries == RETRIES) {
        qatomic_set(&failing_until, now + RETRY_PAUSE_MS);
        return false;
    }
    g_usleep(RETRY_DELAY_US << (*tries)++);
    return true;
}

/* --- copies of bytes ------------------------------------------------------ */

/* To be called when @len bytes were written, not through a mapping. */
static inline void wrote(RAMBlock *block, ram_addr_t addr, const void *buf,
                         hwaddr len)
{
    if (unlikely(qatomic_read(&xen_ram_copies_size))) {
        xen_ram_copy_wrote(block, addr, buf, len);
    }
    xen_hvm_modified_memory(block->offset + addr, len);
}

static void move_bytes(void *host, void *buf, hwaddr len, bool is_write)
{
    memmove(is_write ? host : buf, is_write ? buf : host, len);
}

/* A copy from or to one grant, mapped for it alone. */
static XenMapStatus grant_copy(RAMBlock *block, ram_addr_t addr, void *buf,
                               void *old, hwaddr *len, bool is_write)
{
    XenMapStatus status = XEN_MAP_OK;
    void *host;

    *len = MIN(*len, xen_page_rest(addr));
    host = xen_map_cache_dma(block->mr, block->offset + addr, block->offset,
                             len, XEN_MAP_DMA, is_write, NULL, &status);
    if (host) {
        xen_map_cache_move(host, buf, old, *len, is_write);
        xen_invalidate_map_cache_entry(host, *len);
    }
    return status;
}

/* Copies *@len bytes, or only the first of them, and sets *@len. */
static XenMapStatus copy_once(RAMBlock *block, ram_addr_t addr, void *buf,
                              void *old, hwaddr *len, bool is_write)
{
    if (xen_mr_is_grants(block->mr)) {
        return grant_copy(block, addr, buf, old, len, is_write);
    }
    return xen_map_cache_copy(block->offset + addr, buf, old, len, is_write);
}

/*
 * To be called when an access ends in an error.  Not every device checks for
 * one, so this also reports it to the user.
 */
static void access_failed(RAMBlock *block, ram_addr_t addr, hwaddr len,
                          bool is_write)
{
    static XenReportLimit limit;

    dma_note_failed();
    xen_map_cache_access_failed();
    if (xen_report_is_due(&limit, NULL)) {
        error_report("xen: %" HWADDR_PRIu " bytes could not be %s guest memory "
                     "at 0x" RAM_ADDR_FMT ", which cannot be mapped; a device "
                     "that ignores such errors %s", len,
                     is_write ? "written to" : "read from", addr,
                     is_write ? "loses them" : "goes on with zeros");
    }
}

/*
 * The result for bytes that were not copied; a read gets zeros.  If the page is
 * absent, cuts *@len to the end of the page.  If a call failed, it failed for
 * all *@len bytes.
 */
static MemTxResult not_copied(XenMapStatus status, ram_addr_t addr, void *buf,
                              hwaddr *len, bool is_write)
{
    bool absent = status == XEN_MAP_ABSENT;

    if (absent) {
        *len = MIN(*len, xen_page_rest(addr));
    }
    if (!is_write) {
        memset(buf, 0, *len);
    }
    return absent ? MEMTX_DECODE_ERROR : MEMTX_ERROR;
}

/* @old: as of xen_map_cache_move(). */
static MemTxResult copy_some(RAMBlock *block, ram_addr_t addr, void *buf,
                             void *old, hwaddr *len, bool is_write)
{
    XenMapStatus status;
    unsigned tries = 0;
    hwaddr copied;

    do {
        copied = *len;
        status = copy_once(block, addr, buf, old, &copied, is_write);
    } while (status == XEN_MAP_UNAVAILABLE && xen_ram_wait_to_retry(&tries));

    if (status == XEN_MAP_UNAVAILABLE) {
        access_failed(block, addr, *len, is_write);
    }
    if (status != XEN_MAP_OK) {
        return not_copied(status, addr, buf, len, is_write);
    }
    *len = copied;
    if (old) {
        xen_hvm_modified_memory(block->offset + addr, copied);
    } else if (is_write) {
        wrote(block, addr, buf, copied);
    }
    return MEMTX_OK;
}

static MemTxResult copy_all(RAMBlock *block, ram_addr_t addr, void *buf,
                            void *old, hwaddr len, bool is_write)
{
    MemTxResult result = MEMTX_OK;
    hwaddr part, done;

    for (done = 0; done < len; done += part) {
        part = len - done;
        result |= copy_some(block, addr + done, buf + done,
                            old ? old + done : NULL, &part, is_write);
    }
    return result;
}

MemTxResult xen_ram_copy(RAMBlock *block, ram_addr_t addr, void *buf,
                         hwaddr len, bool is_write)
{
    return copy_all(block, addr, buf, NULL, len, is_write);
}

MemTxResult xen_ram_copy_changes(RAMBlock *block, ram_addr_t addr, void *buf,
                                 void *old, hwaddr len)
{
    return copy_all(block, addr, buf, old, len, true);
}

MemTxResult xen_ram_rw(RAMBlock *block, ram_addr_t addr, void *buf,
                       hwaddr *len, bool is_write)
{
    XenMapStatus status = XEN_MAP_UNAVAILABLE;
    hwaddr mapped = *len;
    void *host = NULL;

    if (likely(!xen_mr_is_grants(block->mr))) {
        host = xen_map_cache(block->offset + addr, &mapped, &status);
    }
    if (unlikely(!host)) {
        return status == XEN_MAP_ABSENT ?
               not_copied(status, addr, buf, len, is_write) :
               copy_some(block, addr, buf, NULL, len, is_write);
    }
    *len = mapped;
    move_bytes(host, buf, mapped, is_write);
    if (is_write) {
        wrote(block, addr, buf, mapped);
    }
    return MEMTX_OK;
}

/* --- loads and stores ----------------------------------------------------- */

/* The host address of @size bytes that are mapped, else NULL. */
static inline void *ram_direct(RAMBlock *block, ram_addr_t addr, unsigned size)
{
    hwaddr len = size;
    void *host;

    if (unlikely(xen_mr_is_grants(block->mr))) {
        return NULL;
    }
    host = xen_map_cache(block->offset + addr, &len, NULL);
    return likely(len == size) ? host : NULL;
}

/* ram_load() and ram_store() are called within an RCU read-side section. */
static MemTxResult ram_load(void *opaque, hwaddr addr, uint64_t *data,
                            unsigned size, MemTxAttrs attrs)
{
    RAMBlock *block = opaque;
    void *host = ram_direct(block, addr, size);
    MemTxResult result;

    if (likely(host)) {
        *data = ldn_he_p(host, size);
        return MEMTX_OK;
    }
    *data = 0;
    result = xen_ram_copy(block, addr, data, size, false);
    *data = ldn_he_p(data, size);
    return result;
}

static MemTxResult ram_store(void *opaque, hwaddr addr, uint64_t data,
                             unsigned size, MemTxAttrs attrs)
{
    RAMBlock *block = opaque;
    void *host = ram_direct(block, addr, size);
    uint64_t bytes;

    if (likely(host)) {
        stn_he_p(host, size, data);
        wrote(block, addr, host, size);
        return MEMTX_OK;
    }
    stn_he_p(&bytes, size, data);
    return xen_ram_copy(block, addr, &bytes, size, true);
}

const MemoryRegionOps xen_ram_mem_ops = {
    .read_with_attrs = ram_load,
    .write_with_attrs = ram_store,
    .endianness = HOST_BIG_ENDIAN ? DEVICE_BIG_ENDIAN : DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
    .impl = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
};
