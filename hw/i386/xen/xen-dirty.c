/*
 * What an HVM guest has written to video memory
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * While video memory is at its BAR range, the guest writes to it directly, and
 * only Xen can say what was written.  Xen does so for one range of a domain at
 * a time.  Asking for another range starts the tracking anew, and everything
 * counts as dirty.  So one section is the *tracked* one: the first section for
 * which logging starts.  It is tracked until its logging stops, it disappears,
 * or its frames are found not to be at its BAR range.  Then the next section
 * that is synchronised is tracked.
 *
 * All other sections are redrawn whole at each synchronisation.  This is also
 * done with the tracked section if Xen does not answer, and with a section of
 * which only a part is at its BAR range.  Redrawing is slower but correct.  For
 * memory that is not at a BAR range nothing is done: QEMU emulates the guest's
 * writes to it, and marks them.
 *
 * Only DIRTY_MEMORY_VGA is marked.  The general function for marking would
 * report the pages to Xen as modified.  A migration with an open display would
 * then send the whole video memory again and again.  Xen knows the guest's
 * writes already.
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qemu/error-report.h"
#include "exec/ram_addr.h"
#include "hw/xen/xen_native.h"
#include "xen-dirty.h"
#include "xen-physmap.h"
#include "trace.h"

/* The section that Xen tracks.  With the BQL. */
static struct {
    MemoryRegion *mr;       /* NULL: none */
    hwaddr gaddr;
    hwaddr offset;
    uint64_t size;
    unsigned long *bitmap;  /* NULL before the first call to Xen */
} tracked;

static bool is_tracked(const MemoryRegionSection *section)
{
    return tracked.mr == section->mr &&
           tracked.gaddr == section->offset_within_address_space &&
           tracked.offset == section->offset_within_region &&
           tracked.size == int128_get64(section->size);
}

/*
 * Makes @section the tracked one if there is none.  True if @section is the
 * tracked one.
 */
static bool try_track(const MemoryRegionSection *section)
{
    hwaddr gaddr = section->offset_within_address_space;
    uint64_t size = int128_get64(section->size);

    if (tracked.mr) {
        return is_tracked(section);
    }
    if (!QEMU_IS_ALIGNED(gaddr | size, TARGET_PAGE_SIZE) ||
        size >> TARGET_PAGE_BITS > UINT32_MAX) {
        return false;
    }
    tracked.mr = section->mr;
    tracked.gaddr = gaddr;
    tracked.offset = section->offset_within_region;
    tracked.size = size;
    trace_xen_dirty_vram(gaddr, size, true);
    return true;
}

static void untrack(void)
{
    trace_xen_dirty_vram(tracked.gaddr, tracked.size, false);
    if (tracked.bitmap) {
        xen_track_dirty_vram(xen_domid, 0, 0, NULL);
        g_free(tracked.bitmap);
    }
    memset(&tracked, 0, sizeof(tracked));
}

/* Marks all pages that have any of the @size bytes at @offset in @mr. */
static void redraw(MemoryRegion *mr, hwaddr offset, uint64_t size)
{
    ram_addr_t addr = memory_region_get_ram_addr(mr) + offset;
    ram_addr_t end = addr + size;

    for (addr &= TARGET_PAGE_MASK; addr < end; addr += TARGET_PAGE_SIZE) {
        cpu_physical_memory_set_dirty_flag(addr, DIRTY_MEMORY_VGA);
    }
}

/* Asks Xen.  False if it has no answer. */
static bool sync_tracked(void)
{
    uint64_t pages = tracked.size >> TARGET_PAGE_BITS;
    uint64_t page;

    if (!tracked.bitmap) {
        tracked.bitmap = g_try_malloc0_n(BITS_TO_LONGS(pages),
                                         sizeof(unsigned long));
        if (!tracked.bitmap) {
            return false;
        }
    }
    if (xen_track_dirty_vram(xen_domid, tracked.gaddr >> TARGET_PAGE_BITS,
                             pages, tracked.bitmap) < 0) {
        /* ENODATA is no lasting failure: Xen may answer the next time. */
        if (errno != ENODATA) {
            warn_report_once("Xen does not say which video memory at 0x%"
                             HWADDR_PRIx " was written (%s): the whole screen "
                             "is drawn each time", tracked.gaddr,
                             strerror(errno));
        }
        return false;
    }
    for (page = find_first_bit(tracked.bitmap, pages); page < pages;
         page = find_next_bit(tracked.bitmap, pages, page + 1)) {
        redraw(tracked.mr, tracked.offset + (page << TARGET_PAGE_BITS),
               TARGET_PAGE_SIZE);
    }
    return true;
}

void xen_dirty_vram_sync(MemoryRegionSection *section)
{
    XenFrames frames = xen_physmap_frames_at(section);

    if (frames != XEN_FRAMES_ALL && is_tracked(section)) {
        untrack();
    }
    if (frames == XEN_FRAMES_NONE) {
        return;
    }
    if (frames == XEN_FRAMES_PART || !try_track(section) || !sync_tracked()) {
        redraw(section->mr, section->offset_within_region,
               int128_get64(section->size));
    }
}

void xen_dirty_vram_start(MemoryRegionSection *section)
{
    try_track(section);
}

void xen_dirty_vram_stop(MemoryRegionSection *section)
{
    if (is_tracked(section)) {
        untrack();
    }
}
