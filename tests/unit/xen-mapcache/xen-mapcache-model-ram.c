/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The model: operations on guest RAM.
 */
#include "qemu/osdep.h"
#include "qemu/rcu.h"
#include "exec/ramlist.h"
#include "xen-mapcache-model-int.h"

void model_op_lookup(void)
{
    uint64_t addr = model_take_addr(), len = model_take_len(addr), want, room;
    bool with_len = model_take(4), unseen;
    XenMapStatus status = XEN_MAP_OK;
    hwaddr got = len;
    uint8_t *host;

    model.n->lookups++;
    WITH_RCU_READ_LOCK_GUARD() {
        if (!with_len) {
            len = XENSIM_PAGE_SIZE - (addr & PAGE_MASK);
        }
        len = MIN(len, BUCKET - (addr & (BUCKET - 1)));
        want = model_present(addr, len, &unseen);
        room = model_no_room();
        host = xen_map_cache(addr, with_len ? &got : NULL, &status);
        if (!host && status == XEN_MAP_UNAVAILABLE) {
            g_assert_cmpuint(model_no_room(), !=, room);
            return;
        }
        if (!want != !host) {
            g_error("op %" PRIu64 ": lookup of 0x%" PRIx64 ": %p, page is %s",
                    model.n->ops, addr, host, want ? "there" : "absent");
        }
        if (!host) {
            g_assert_cmpint(status, ==, XEN_MAP_ABSENT);
            model.n->holes++;
            return;
        }
        if (with_len) {
            model_check_len(addr, got, want, unseen);
        } else {
            got = len;
        }
        model_check_pages(host, addr, got,
                          &model.serial[addr >> XENSIM_PAGE_SHIFT]);
        model_check_reverse(host, addr, got);
    }
}

void model_add_dma(uint8_t *host, uint64_t addr, uint64_t len, XenMapUse use,
                   uint64_t *serial)
{
    g_assert_cmpuint(model.nr_dma, <, MAX_DMA);
    model.dma[model.nr_dma++] = (ModelDma) {
        .host = host, .addr = addr, .len = len, .use = use, .serial = serial,
    };
}

void model_op_map(void)
{
    uint64_t addr = model_take_addr(), len = model_take_len(addr), want;
    XenMapUse use = model_take(8) ? XEN_MAP_DMA : XEN_MAP_HELD;
    uint64_t room = model_no_room();
    uint64_t *serial = &model.serial[addr >> XENSIM_PAGE_SHIFT];
    XenMapStatus status = XEN_MAP_OK;
    bool unseen;
    hwaddr got = len;
    uint8_t *host;

    /* One is left for the thread, which may be about to have it. */
    if (model.nr_dma >= MAX_DMA - 1) {
        return;
    }
    model.n->maps++;
    want = model_present(addr, len, &unseen);
    WITH_RCU_READ_LOCK_GUARD() {
        host = xen_map_cache_dma(harness_ram, addr, 0, &got, use,
                                 model_take(2), NULL, &status);
    }
    if (!host) {
        g_assert_cmpuint(got, ==, 0);
        if (status == XEN_MAP_ABSENT) {
            g_assert_cmpuint(want, ==, 0);
        } else {
            g_assert_cmpint(status, ==, XEN_MAP_UNAVAILABLE);
            g_assert_cmpuint(model_no_room(), !=, room);
        }
        model.n->holes++;
        return;
    }
    model_check_len(addr, got, want, unseen && use != XEN_MAP_HELD);
    model_check_pages(host, addr, got, serial);
    model_add_dma(host, addr, got, model_no_room() == room ? use : MODEL_EITHER,
                  g_memdup2(serial, sizeof(uint64_t) *
                            DIV_ROUND_UP((addr & PAGE_MASK) + got,
                                         XENSIM_PAGE_SIZE)));
}

void model_release(unsigned i)
{
    ModelDma *d = &model.dma[i];

    /* Readable to its holder to the end, whatever happened meanwhile. */
    model_check_pages(d->host, d->addr, d->len, d->serial);
    model_check_reverse(d->host, d->addr, d->len);
    if (model_touched(d->addr, d->len)) {
        model_touch(d->addr, d->len);
    }
    xen_invalidate_map_cache_entry(d->host, d->len);
    g_free(d->serial);
    *d = model.dma[--model.nr_dma];
    model.n->releases++;
}

void model_op_release(void)
{
    if (model.nr_dma) {
        model_release(model_take(model.nr_dma));
    }
}

void model_op_release_nothing(void)
{
    static uint8_t nothing;
    uint8_t *host = &nothing;
    unsigned i;

    if (model_take(2) && model.nr_dma) {
        ModelDma *d = &model.dma[model_take(model.nr_dma)];

        /*
         * Inside a mapping, but not what anybody was given.  What is behind
         * one may be device memory, where a release is of nothing but right.
         */
        if (d->len == 1) {
            return;
        }
        host = d->host + 1;
        for (i = 0; i < model.nr_dma; i++) {
            if (model.dma[i].host == host) {
                return;
            }
        }
    }
    xen_invalidate_map_cache_entry(host, 1 + model_take(64));
    model.unmatched++;
    xen_invalidate_map_cache_entry(NULL, 1);
}

/* How many slots of the arena the outstanding DMA mappings hold. */
static unsigned slots_held(void)
{
    g_autoptr(GHashTable) slots = g_hash_table_new(g_direct_hash,
                                                   g_direct_equal);
    uint64_t b;
    unsigned i;

    for (i = 0; i < model.nr_dma; i++) {
        ModelDma *d = &model.dma[i];
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
void model_check_unmapped(void)
{
    uint64_t allowed = (uint64_t)slots_held() * BUCKET / XENSIM_PAGE_SIZE;
    uint64_t mapped = harness_mapped_pages();
    unsigned i;

    if (model_thread_is_quiet() &&
        (!model_threads.reap || model_threads.reap())) {
        XenMapCacheStats stats;

        /* The reaper may have it still if that is a thread. */
        xen_map_cache_get_stats(&stats);
        if (model_threads.reap || !stats.buckets_pending) {
            model_untouch();
            mapped = harness_mapped_pages();
        }
    }
    allowed += (model.touches + model_thread_slots()) *
               (BUCKET / XENSIM_PAGE_SIZE);
    allowed += model.nr_grant_pages;
    for (i = 0; i < model.nr_dma; i++) {
        ModelDma *d = &model.dma[i];

        if (d->use == XEN_MAP_HELD) {
            /* Its own pages and no more. */
            allowed += DIV_ROUND_UP((d->addr & PAGE_MASK) + d->len,
                                    XENSIM_PAGE_SIZE);
        } else if (d->use == MODEL_EITHER) {
            allowed += ((d->addr + d->len - 1) / BUCKET - d->addr / BUCKET +
                        1) * (BUCKET / XENSIM_PAGE_SIZE);
        }
    }
    for (i = 0; i < MAX_BLOCKS; i++) {
        allowed += model.block[i].host ? model.block[i].pages : 0;
    }
    if (mapped > allowed) {
        g_error("op %" PRIu64 ": %" PRIu64 " pages are mapped after an "
                "invalidate, %" PRIu64 " may be", model.n->ops, mapped,
                allowed);
    }
}

void model_op_invalidate(void)
{
    xen_invalidate_map_cache();
    memset(model.unseen, 0, sizeof(model.unseen));
    model.n->invalidates++;
}

void model_op_balloon(void)
{
    uint64_t first = model_take(PAGES), page;
    uint64_t n = 1 + model_take(model_take(16) ? 16 : PAGES);
    bool out = model_take(3) == 0, tell = out || model_take(2);

    model.n->balloons++;
    for (page = first; page < MIN(first + n, PAGES); page++) {
        if (!model_page_may_move(page)) {
            continue;
        }
        if (out && model.serial[page]) {
            model_page_goes(page);
        } else if (!out && !model.serial[page]) {
            model_page_comes(page);
        }
    }
    if (tell) {
        model_op_invalidate();
    }
}
