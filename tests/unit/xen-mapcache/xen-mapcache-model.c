/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The model of the mapcache.
 *
 * Every page of guest RAM has a serial number in its first eight bytes.  A page
 * that the guest gives back and takes again gets a new frame and a new number.
 * The model knows the present number of each guest page.  For each DMA mapping
 * it knows the numbers that its pages had when the mapping was made.  Reading
 * through a pointer must give exactly these numbers.
 */
#include "qemu/osdep.h"
#include "xen-mapcache-model-int.h"

static void model_begin(const uint8_t *data, size_t size, ModelCounts *counts)
{
    uint64_t page;

    model.data = data;
    model.end = data + size;
    model.n = counts;
    if (model.next_serial) {
        return; /* the guest goes on as the last stream left it */
    }
    model.next_serial = 1;
    for (page = 0; page < PAGES; page++) {
        if (model_page_may_move(page)) {
            uint64_t serial = model_serial(page);

            g_assert_cmpint(xensim_write(harness_dom,
                                         page << XENSIM_PAGE_SHIFT, &serial,
                                         sizeof(serial)), ==, 0);
            model.serial[page] = serial;
        }
    }
}

static void model_end(void)
{
    XenMapCacheStats stats;
    uint64_t page;
    unsigned i;

    model_thread_finish();
    while (model.nr_dma) {
        model_release(model.nr_dma - 1);
    }
    while (model.nr_grants) {
        model_grant_release(model.nr_grants - 1);
    }
    for (i = 0; i < MAX_BLOCKS; i++) {
        ModelBlock *b = &model.block[i];

        if (b->host) {
            model_block_free(b->host);
            xensim_depopulate(harness_dom, (BLOCK_AT + i * BLOCK_STEP) >>
                              XENSIM_PAGE_SHIFT, b->pages);
            b->host = NULL;
        }
    }
    for (page = 0; page < PAGES; page++) {
        if (model_page_may_move(page) && !model.serial[page]) {
            model_page_comes(page);
        }
    }
    model_op_invalidate();
    model_thread_finish();

    xen_map_cache_get_stats(&stats);
    if (model_threads.reap) {
        g_assert_cmpuint(stats.buckets_pending, ==, 0);
        g_assert_cmpuint(harness_mapped_pages(), ==, 0);
    }
    g_assert_cmpuint(stats.buckets, ==, 0);
    g_assert_cmpuint(stats.dma, ==, 0);
    g_assert_cmpuint(stats.grants, ==, 0);
    g_assert_cmpuint(stats.blocks, ==, 0);
    g_assert_cmpuint(stats.unmatched, ==, model.unmatched);
    g_assert_cmpuint(xensim_check(harness_sim), ==, 0);
}

void model_run(const uint8_t *data, size_t size, ModelCounts *counts)
{
    if (model_threads.reset) {
        model_threads.reset();
    }
    model_begin(data, size, counts);
    while (model.data < model.end) {
        unsigned op = model_take(120);

        counts->ops++;
        if (op >= 100) {
            model_op_thread();
        } else if (op < 35) {
            model_op_lookup();
        } else if (op < 60) {
            model_op_map();
        } else if (op < 82) {
            model_op_release();
        } else if (op < 84) {
            model_op_release_nothing();
        } else if (op < 90) {
            model_op_balloon();
        } else if (op < 92) {
            model_op_invalidate();
            model_check_unmapped();
        } else if (op < 95) {
            model_op_block();
        } else if (op < 98) {
            model_op_grant();
        } else {
            model_op_fault();
        }
    }
    model_end();
}
