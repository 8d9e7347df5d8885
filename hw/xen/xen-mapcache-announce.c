/*
 * Xen mapcache: when RAM block notifiers are told of device memory
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A notifier may do what a coroutine must not, such as registering the memory
 * with a block driver, and an incoming state is loaded in a coroutine.  A
 * thread other than the main loop's may be the first to touch the memory.
 * So notifiers are always called from a bottom half of the main loop, and not
 * between the first byte of an incoming state and the last.  Until then the
 * memory is like any that a notifier was not told of: a listener that asks
 * for it by itself does not see it (xen_map_cache_block_is_announced()).
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "block/aio.h"
#include "hw/xen/xen_native.h"
#include "system/runstate.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"

/* With the BQL. */
static bool loading;    /* a state is being loaded now, */
static bool loaded;     /* ... or has been */

static void announce(void *opaque)
{
    bool awaited = !loaded && runstate_check(RUN_STATE_INMIGRATE);

    if (!loading && !awaited) {
        mcache_block_announce();
    }
}

/* Not called if the state was bad: that has ended QEMU. */
static void state_is_in(void *opaque)
{
    mcache_block_loaded();
    announce(NULL);
}

void mcache_announce_later(void)
{
    aio_bh_schedule_oneshot(qemu_get_aio_context(), announce, NULL);
}

void xen_map_cache_load_begins(CPUState *cpu)
{
    loading = true;
}

void xen_map_cache_load_ends(CPUState *cpu)
{
    if (loading) {
        loading = false;
        loaded = true;
        aio_bh_schedule_oneshot(qemu_get_aio_context(), state_is_in, NULL);
    }
}
