/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mapcache's test harness: what the mapcache needs of the rest of QEMU.
 */
#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "block/block.h"
#include "exec/memory.h"
#include "exec/ramlist.h"
#include "hw/qdev-core.h"
#include "hw/xen/xen_native.h"
#include "system/runstate.h"
#include "xen-mapcache-harness.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-dma.h"
#include "xen-mapcache-outside.h"

Xensim *harness_sim;
XensimDomain *harness_dom;
bool harness_incoming;
unsigned harness_drains;
int harness_announced;
int harness_withdrawn;

/* The mapcache compares their addresses and looks no further. */
static MemoryRegion ram_region, grant_region;
MemoryRegion *const harness_ram = &ram_region;
MemoryRegion *const harness_grants = &grant_region;

xenforeignmemory_handle *xen_fmem;
uint32_t xen_domid;
bool xen_allowed = true;

static __thread bool have_bql;

bool bql_locked(void)
{
    return have_bql;
}

bool qemu_in_main_thread(void)
{
    return have_bql;
}

void bql_lock_impl(const char *file, int line)
{
    have_bql = true;
}

void bql_unlock(void)
{
    have_bql = false;
}

void rust_bql_mock_lock(void)
{
}

void bql_block_unlock(bool increase)
{
}

bool xen_mr_is_grants(MemoryRegion *mr)
{
    return mr == harness_grants;
}

Object *memory_region_owner(MemoryRegion *mr)
{
    return NULL;
}

bool runstate_check(RunState state)
{
    return state == (harness_incoming ? RUN_STATE_INMIGRATE
                                      : RUN_STATE_RUNNING);
}

bool phase_check(MachineInitPhase phase)
{
    return true;
}

void bdrv_drain_all(void)
{
    harness_drains++;
}

void ram_block_notify_add(void *host, size_t size, size_t max_size)
{
    g_assert(bql_locked());
    harness_announced++;
}

void ram_block_notify_remove(void *host, size_t size, size_t max_size)
{
    g_assert(bql_locked());
    harness_withdrawn++;
}

/* There is no main loop: it is told at once, or with what comes next. */
void mcache_announce_later(void)
{
    if (bql_locked()) {
        mcache_block_announce();
    }
}

/* Nor does anybody watch. */
void mcache_events_init(void)
{
}

void mcache_event_outstanding(void)
{
}

void mcache_event_low(void)
{
}

void harness_bql(bool locked)
{
    have_bql = locked;
}

static void harness_exit(void)
{
    xensim_free(harness_sim);
}

void harness_init(uint64_t ram_bytes, unsigned domain_flags)
{
    XensimDomainConfig cfg = {
        .ram_bytes = ram_bytes,
        .flags = domain_flags,
    };

    harness_sim = xensim_new(NULL);
    g_assert_nonnull(harness_sim);
    atexit(harness_exit);
    harness_dom = xensim_domain_create(harness_sim, &cfg);
    g_assert_nonnull(harness_dom);
    xensim_setenv_for_dm(harness_dom);

    xen_domid = xensim_domid(harness_dom);
    xen_fmem = xenforeignmemory_open(NULL, 0);
    g_assert_nonnull(xen_fmem);
    have_bql = true;
}

uint64_t harness_mapped_pages(void)
{
    XensimMemInfo info;

    xensim_mem_info(harness_dom, &info);
    return info.mapped_pages;
}
