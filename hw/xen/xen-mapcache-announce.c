/*
 * Xen mapcache: when RAM block notifiers are told of device memory
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A notifier may do things that are forbidden in a coroutine, such as
 * registering the memory with a block driver.  But an incoming state is loaded
 * in a coroutine.  So notifiers are always called from a bottom half of the main
 * loop, and never while an incoming state is being loaded.  Until they are
 * called, a listener that walks the blocks does not see the memory
 * (xen_map_cache_block_is_announced()).
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "block/aio.h"
#include "hw/xen/xen_native.h"
#include "system/runstate.h"
#include "system/xen-mapcache.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-outside.h"

/* With the BQL. */
static bool loading;    /* a state is being loaded */
static bool good;       /* all of that state was loaded */
static bool loaded;     /* a whole state has been loaded before */

static void announce(void *opaque)
{
    bool awaited = !loaded && runstate_check(RUN_STATE_INMIGRATE);

    if (!loading && !awaited) {
        mcache_block_announce();
    }
}

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
    if (!loading) {
        mcache_block_load_begins();
    }
    loading = true;
    good = false;
}

void xen_map_cache_load_is_good(void)
{
    good = true;
}

/*
 * After a bad state, QEMU may wait for another (migrate-incoming without
 * exit-on-error, xen-load-devices-state).  The restore is not over then.
 */
void xen_map_cache_load_ends(CPUState *cpu)
{
    if (loading) {
        loading = false;
        loaded |= good;
        aio_bh_schedule_oneshot(qemu_get_aio_context(),
                                good ? state_is_in : announce, NULL);
    }
}
