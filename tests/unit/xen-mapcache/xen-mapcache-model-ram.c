/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The model: operations on guest RAM.
 */
#include "qemu/osdep.h"
#include "qemu/rcu.h"
#include "exec/ramlist.h"
#include "xen-mapcache-model-int.h"

void twin_op_lookup(void)
{
    uint64_t addr = twin_take_addr(), len = twin_take_len(addr), want, room;
    bool with_len = twin_take(4), unseen;
    XenMapStatus status = XEN_MAP_OK;
    hwaddr got = len;
    uint8_t *host;

    twin.n->lookups++;
    WITH_RCU_READ_LOCK_GUARD() {
        if (!with_len) {
            len = XENSIM_PAGE_SIZE - (addr & PAGE_MASK);
        }
        len = MIN(len, BUCKET - (addr & (BUCKET - 1)));
        want = twin_present(addr, len, &unseen);
        room = twin_no_room();
        host = xen_map_cache(addr, with_len ? &got : NULL, &status);
        if (!host && status == XEN_MAP_UNAVAILABLE) {
            g_assert_cmpuint(twin_no_room(), !=, room);
            return;
        }
        if (!want != !host) {
            g_error("op %" PRIu64 ": lookup of 0x%" PRIx64 ": %p, page is %s",
                    twin.n->ops, addr, host, want ? "there" : "absent");
        }
        if (!host) {
            g_assert_cmpint(status, ==, XEN_MAP_ABSENT);
            twin.n->holes++;
            return;
        }
        if (with_len) {
            twin_check_len(addr, got, want, unseen);
        } else {
            got = len;
        }
        twin_check_pages(host, addr, got,
                         &twin.serial[addr >> XENSIM_PAGE_SHIFT]);
        twin_check_reverse(host, addr, got);
    }
}

void twin_add_dma(uint8_t *host, uint64_t addr, uint64_t len, XenMapUse use,
                  uint64_t *serial)
{
    g_assert_cmpuint(twin.nr_dma, <, MAX_DMA);
    twin.dma[twin.nr_dma++] = (TwinDma) {
        .host = host, .addr = addr, .len = len, .use = use, .serial = serial,
    };
}

void twin_op_map(void)
{
    uint64_t addr = twin_take_addr(), len = twin_take_len(addr), want;
    XenMapUse use = twin_take(8) ? XEN_MAP_DMA : XEN_MAP_HELD;
    uint64_t room = twin_no_room();
    uint64_t *serial = &twin.serial[addr >> XENSIM_PAGE_SHIFT];
    XenMapStatus status = XEN_MAP_OK;
    bool unseen;
    hwaddr got = len;
    uint8_t *host;

    /* One is left for the thread, which may be about to have it. */
    if (twin.nr_dma >= MAX_DMA - 1) {
        return;
    }
    twin.n->maps++;
    want = twin_present(addr, len, &unseen);
    WITH_RCU_READ_LOCK_GUARD() {
        host = xen_map_cache_dma(harness_ram, addr, 0, &got, use,
                                 twin_take(2), NULL, &status);
    }
    if (!host) {
        g_assert_cmpuint(got, ==, 0);
        if (status == XEN_MAP_ABSENT) {
            g_assert_cmpuint(want, ==, 0);
        } else {
            g_assert_cmpint(status, ==, XEN_MAP_UNAVAILABLE);
            g_assert_true(twin_no_room() != room ||
                          twin_is_copied(addr, len));
        }
        twin.n->holes++;
        return;
    }
    twin_check_len(addr, got, want, unseen && use != XEN_MAP_HELD);
    twin_check_pages(host, addr, got, serial);
    twin_add_dma(host, addr, got, twin_no_room() == room ? use : TWIN_EITHER,
                 g_memdup2(serial, sizeof(uint64_t) *
                           DIV_ROUND_UP((addr & PAGE_MASK) + got,
                                        XENSIM_PAGE_SIZE)));
}

void twin_release(unsigned i)
{
    TwinDma *d = &twin.dma[i];

    /* Readable to its holder to the end, whatever happened meanwhile. */
    twin_check_pages(d->host, d->addr, d->len, d->serial);
    twin_check_reverse(d->host, d->addr, d->len);
    if (twin_touched(d->addr, d->len)) {
        twin_touch(d->addr, d->len);
    }
    xen_invalidate_map_cache_entry(d->host, d->len);
    g_free(d->serial);
    *d = twin.dma[--twin.nr_dma];
    twin.n->releases++;
}

void twin_op_release(void)
{
    if (twin.nr_dma) {
        twin_release(twin_take(twin.nr_dma));
    }
}

void twin_op_release_nothing(void)
{
    static uint8_t nothing;
    uint8_t *host = &nothing;
    unsigned i;

    if (twin_take(2) && twin.nr_dma) {
        TwinDma *d = &twin.dma[twin_take(twin.nr_dma)];

        /*
         * Inside a mapping, but not what anybody was given.  What is behind
         * one may be device memory, where a release is of nothing but right.
         */
        if (d->len == 1) {
            return;
        }
        host = d->host + 1;
        for (i = 0; i < twin.nr_dma; i++) {
            if (twin.dma[i].host == host) {
                return;
            }
        }
    }
    xen_invalidate_map_cache_entry(host, 1 + twin_take(64));
    twin.unmatched++;
    xen_invalidate_map_cache_entry(NULL, 1);
}

/* How many slots of the arena the outstanding DMA mappings hold. */
static unsigned slots_held(void)
{
    g_autoptr(GHashTable) slots = g_hash_table_new(g_direct_hash,
                                                   g_direct_equal);
    uint64_t b;
    unsigned i;

    for (i = 0; i < twin.nr_dma; i++) {
        TwinDma *d = &twin.dma[i];
        uint8_t *slot = d->host - (d->addr & (BUCKET - 1));

        if (d->use != XEN_MAP_DMA) {
            continue;
        }
        for (b = d->addr / BUCKET; b <= (d->addr + d->len - 1) / BUCKET; b++) {
            g_hash_table_add(slots, slot);
            slot += BUCKET;
        }
    }
    return g_hash_table_size(slots);
}

/* After an invalidate only what is held may be mapped, at once. */
void twin_check_unmapped(void)
{
    uint64_t allowed = (uint64_t)slots_held() * BUCKET / XENSIM_PAGE_SIZE;
    uint64_t mapped = harness_mapped_pages();
    unsigned i;

    if (twin_thread_is_quiet() && (!twin_threads.reap || twin_threads.reap())) {
        XenMapCacheStats stats;

        /* The reaper may have it still if that is a thread. */
        xen_map_cache_get_stats(&stats);
        if (twin_threads.reap || !stats.buckets_pending) {
            twin_untouch();
            mapped = harness_mapped_pages();
        }
    }
    allowed += (twin.touches + twin_thread_slots()) *
               (BUCKET / XENSIM_PAGE_SIZE);
    allowed += twin.nr_grant_pages;
    for (i = 0; i < twin.nr_dma; i++) {
        TwinDma *d = &twin.dma[i];

        if (d->use == XEN_MAP_HELD) {
            /* Its own pages and no more. */
            allowed += DIV_ROUND_UP((d->addr & PAGE_MASK) + d->len,
                                    XENSIM_PAGE_SIZE);
        } else if (d->use == TWIN_EITHER) {
            allowed += ((d->addr + d->len - 1) / BUCKET - d->addr / BUCKET +
                        1) * (BUCKET / XENSIM_PAGE_SIZE);
        }
    }
    for (i = 0; i < MAX_BLOCKS; i++) {
        allowed += twin.block[i].host ? twin.block[i].pages : 0;
    }
    if (mapped > allowed) {
        g_error("op %" PRIu64 ": %" PRIu64 " pages are mapped after an "
                "invalidate, %" PRIu64 " may be", twin.n->ops, mapped,
                allowed);
    }
}

void twin_op_invalidate(void)
{
    xen_invalidate_map_cache();
    memset(twin.unseen, 0, sizeof(twin.unseen));
    twin.n->invalidates++;
}

void twin_op_balloon(void)
{
    uint64_t first = twin_take(PAGES), page;
    uint64_t n = 1 + twin_take(twin_take(16) ? 16 : PAGES);
    bool out = twin_take(3) == 0, tell = out || twin_take(2);

    twin.n->balloons++;
    for (page = first; page < MIN(first + n, PAGES); page++) {
        if (!twin_page_may_move(page)) {
            continue;
        }
        if (out && twin.serial[page]) {
            twin_page_goes(page);
        } else if (!out && !twin.serial[page]) {
            twin_page_comes(page);
        }
    }
    if (tell) {
        twin_op_invalidate();
    }
}
