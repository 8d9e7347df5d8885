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

static void twin_begin(const uint8_t *data, size_t size, TwinCounts *counts)
{
    uint64_t page;

    twin.data = data;
    twin.end = data + size;
    twin.n = counts;
    if (twin.next_serial) {
        return; /* the guest goes on as the last stream left it */
    }
    twin.next_serial = 1;
    for (page = 0; page < PAGES; page++) {
        if (twin_page_may_move(page)) {
            uint64_t serial = twin_serial(page);

            g_assert_cmpint(xensim_write(harness_dom,
                                         page << XENSIM_PAGE_SHIFT, &serial,
                                         sizeof(serial)), ==, 0);
            twin.serial[page] = serial;
        }
    }
}

static void twin_end(void)
{
    XenMapCacheStats stats;
    uint64_t page;
    unsigned i;

    twin_thread_finish();
    while (twin.nr_dma) {
        twin_release(twin.nr_dma - 1);
    }
    while (twin.nr_grants) {
        twin_grant_release(twin.nr_grants - 1);
    }
    for (i = 0; i < MAX_BLOCKS; i++) {
        TwinBlock *b = &twin.block[i];

        if (b->host) {
            twin_block_free(b->host);
            xensim_depopulate(harness_dom, (BLOCK_AT + i * BLOCK_STEP) >>
                              XENSIM_PAGE_SHIFT, b->pages);
            b->host = NULL;
        }
    }
    for (page = 0; page < PAGES; page++) {
        if (twin_page_may_move(page) && !twin.serial[page]) {
            twin_page_comes(page);
        }
    }
    twin_op_invalidate();
    twin_thread_finish();

    xen_map_cache_get_stats(&stats);
    if (twin_threads.reap) {
        g_assert_cmpuint(stats.buckets_pending, ==, 0);
        g_assert_cmpuint(harness_mapped_pages(), ==, 0);
    }
    g_assert_cmpuint(stats.buckets, ==, 0);
    g_assert_cmpuint(stats.dma, ==, 0);
    g_assert_cmpuint(stats.grants, ==, 0);
    g_assert_cmpuint(stats.blocks, ==, 0);
    g_assert_cmpuint(stats.unmatched, ==, twin.unmatched);
    g_assert_cmpuint(xensim_check(harness_sim), ==, 0);
}

void twin_run(const uint8_t *data, size_t size, TwinCounts *counts)
{
    if (twin_threads.reset) {
        twin_threads.reset();
    }
    twin_begin(data, size, counts);
    while (twin.data < twin.end) {
        unsigned op = twin_take(120);

        counts->ops++;
        if (op >= 100) {
            twin_op_thread();
        } else if (op < 35) {
            twin_op_lookup();
        } else if (op < 60) {
            twin_op_map();
        } else if (op < 82) {
            twin_op_release();
        } else if (op < 84) {
            twin_op_release_nothing();
        } else if (op < 90) {
            twin_op_balloon();
        } else if (op < 92) {
            twin_op_invalidate();
            twin_check_unmapped();
        } else if (op < 95) {
            twin_op_block();
        } else if (op < 98) {
            twin_op_grant();
        } else {
            twin_op_fault();
        }
    }
    twin_end();
}
