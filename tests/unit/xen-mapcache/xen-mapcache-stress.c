/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mapcache under threads: the operations of the threads.
 */
#include "qemu/osdep.h"
#include "qemu/rcu.h"
#include "xen-mapcache-stress.h"

uint8_t *stress_block_host;

/* A DMA that ended in device memory; the block lives as long as the section. */
static void look_at_block(void)
{
    uint8_t *host = qatomic_load_acquire(&stress_block_host);
    uint64_t at = stress_chance(BLOCK_PAGES * PAGE), v;

    if (!host) {
        return;
    }
    memcpy(&v, host + at / PAGE * PAGE, sizeof(v));
    if (v != BLOCK_AT + at / PAGE) {
        stress_complain("device memory shows 0x%" PRIx64, v);
    }
    xen_invalidate_map_cache_entry(host + at, 512);
    if (xen_ram_addr_from_mapcache(host + at) != BLOCK_AT + at) {
        stress_complain("reverse of device memory at 0x%" PRIx64, at);
    }
}

static void section_end(void)
{
    qatomic_store_release(&stress_self->sections, stress_self->sections + 1);
    rcu_read_unlock();
}

static void op_section(void)
{
    uint32_t serial[MAX_HELD][MCACHE_BUCKET_PAGES + 1];
    Span held[MAX_HELD];
    unsigned wanted = 1 + stress_chance(stress_chance(4) ? 3 : MAX_HELD);
    unsigned n = 0, i;

    rcu_read_lock();
    while (wanted--) {
        Span *s = &held[n];
        uint32_t changes;
        hwaddr len;

        s->addr = stress_addr();
        s->serial = serial[n];
        len = MIN(1 + stress_chance(stress_chance(2) ? PAGE
                                                     : MCACHE_BUCKET_SIZE),
                  MCACHE_BUCKET_SIZE - (s->addr & (MCACHE_BUCKET_SIZE - 1)));
        s->len = len;
        stress_span_before(s);
        changes = stress_changes_of(s->addr);
        s->host = xen_map_cache(s->addr, &len, NULL);
        stress_self->lookups++;
        if (!s->host) {
            stress_no_pointer(s->addr, changes);
            continue;
        }
        if (len == 0 || len > s->len) {
            stress_complain("a length of 0x%" PRIx64, (uint64_t)len);
        }
        s->len = len;
        stress_span_after(s, "a transient pointer");
        n++;
        stress_pause(16);
    }
    look_at_block();
    stress_pause(4);
    for (i = 0; i < n; i++) {
        stress_span_again(&held[i], "a transient pointer");
        stress_check_reverse(&held[i]);
    }
    section_end();
}

static Span dma_span(Dma *d)
{
    return (Span) { d->host, d->addr, d->len, d->serial };
}

static void op_dma(void)
{
    Dma *d = g_new(Dma, 1);
    XenMapUse use = stress_chance(8) ? XEN_MAP_DMA : XEN_MAP_HELD;
    uint32_t changes;
    hwaddr len;
    Span s;

    d->addr = stress_addr();
    len = 1 + stress_chance(stress_chance(2) ? PAGE : 3 * MCACHE_BUCKET_SIZE);
    len = MIN(len, RAM_BYTES - d->addr);
    d->len = len;
    s = dma_span(d);
    stress_span_before(&s);
    changes = stress_changes_of(d->addr);
    d->host = xen_map_cache_dma(harness_ram, d->addr, 0, &len, use,
                                stress_chance(2), &stress_self->as, NULL);
    stress_self->dmas++;
    if (!d->host) {
        if (use == XEN_MAP_DMA) {
            stress_no_pointer(d->addr, changes);
        }
        g_free(d);
        return;
    }
    if (len == 0 || len > d->len) {
        stress_complain("a length of 0x%" PRIx64, (uint64_t)len);
    }
    d->len = len;
    s = dma_span(d);
    stress_span_after(&s, "a DMA pointer");
    stress_self->dma[stress_self->nr_dma++] = d;
}

void stress_dma_end(Dma *d)
{
    Span s = dma_span(d);

    stress_span_again(&s, "a DMA pointer");
    stress_check_reverse(&s);
    xen_invalidate_map_cache_entry(d->host, d->len);
    g_free(d);
}

static void op_dma_end(void)
{
    unsigned i = stress_chance(stress_self->nr_dma);
    Dma *d = stress_self->dma[i];

    stress_self->dma[i] = stress_self->dma[--stress_self->nr_dma];
    if (stress_chance(4) == 0) {
        /* Another thread shall end it. */
        d = qatomic_xchg(&stress_handed_over[stress_chance(HAND_OVER)], d);
        if (!d) {
            return;
        }
    }
    stress_dma_end(d);
}

static void work_once(void)
{
    unsigned n = stress_chance(100);

    stress_self->ops++;
    if (n < 50) {
        op_section();
    } else if (stress_self->nr_dma < MAX_DMA &&
               (n < 75 || !stress_self->nr_dma)) {
        op_dma();
    } else {
        op_dma_end();
    }
}

void *stress_worker(void *opaque)
{
    uint64_t ops = *(uint64_t *)opaque;
    sigset_t set;

    /* QEMU blocks it in every thread that it makes; then it would kill. */
    sigemptyset(&set);
    sigaddset(&set, SIGBUS);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    rcu_register_thread();
    stress_self = &stress_workers[qatomic_fetch_inc(&stress_started)];
    while (stress_self->ops < ops) {
        work_once();
    }
    while (stress_self->nr_dma) {
        stress_dma_end(stress_self->dma[--stress_self->nr_dma]);
    }
    rcu_unregister_thread();
    qatomic_dec(&stress_running);
    return NULL;
}

/* --- the main thread --------------------------------------------- */

static void op_balloon(void)
{
    uint64_t page = stress_chance(PAGES);
    uint64_t n = 1 + stress_chance(stress_chance(8) ? 8 : PAGES);
    bool out = stress_chance(3) == 0;

    for (; n && page < PAGES; n--, page++) {
        if (stress_page_may_move(page) &&
            (stress_pages[page].changes & 1) == out) {
            if (out) {
                stress_page_goes(page);
            } else {
                stress_page_comes(page);
            }
        }
    }
    if (out || stress_chance(2)) {
        stress_invalidate();
    }
}

void stress_op_block(void)
{
    uint64_t gfn = BLOCK_AT / PAGE, i;
    uint8_t *host = stress_block_host;

    if (host) {
        qatomic_set(&stress_block_host, NULL);
        __real_synchronize_rcu();
        model_block_free(host);
        xensim_depopulate(harness_dom, gfn, BLOCK_PAGES);
        return;
    }
    g_assert_cmpuint(xensim_populate(harness_dom, gfn, BLOCK_PAGES), ==,
                     BLOCK_PAGES);
    for (i = 0; i < BLOCK_PAGES; i++) {
        uint64_t v = BLOCK_AT + i;

        xensim_write(harness_dom, BLOCK_AT + i * PAGE, &v, sizeof(v));
    }
    host = xen_map_cache_block(BLOCK_AT, BLOCK_PAGES * PAGE);
    qatomic_store_release(&stress_block_host, host);
}

void stress_main_once(void)
{
    unsigned n = stress_chance(100);

    if (n < 15) {
        op_balloon();
    } else if (n < 25) {
        stress_invalidate();
    } else if (n < 28) {
        stress_op_block();
    } else {
        work_once();
    }
}
