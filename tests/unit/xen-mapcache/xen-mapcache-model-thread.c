/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The model: operations of a thread without the BQL.
 *
 * The thread stays in one RCU section for several operations.  Each pointer
 * that it got there must show the same frames until the section ends, whatever
 * other threads do.  Where its calls can yield, other threads may run in
 * between.  Then a page may show any frame that it had during the call.
 */
#include "qemu/osdep.h"
#include "qemu/rcu.h"
#include "xen-mapcache-model-int.h"

#define MAX_SPANS   8
#define SPAN_PAGES  (MAX_LEN / XENSIM_PAGE_SIZE + 1)

/* What a pointer was seen to show. */
typedef struct Span {
    uint8_t *host;
    uint64_t addr, len;
    uint64_t serial[SPAN_PAGES];
} Span;

/* A call of the thread's, from before it to after it. */
typedef struct Call {
    Span span;          /* what it is for; serial: what it was before */
    uint64_t since;     /* next_serial before it */
    uint64_t want;      /* as of before it */
    uint64_t room;
    uint64_t faults;    /* operations before it that made calls to Xen fail */
    bool unseen;
    bool came;          /* the first page did, without an invalidate since */
    XenMapUse use;
    bool with_len, is_write;
} Call;

static Span spans[MAX_SPANS];
static unsigned nr_spans;
static bool in_section, in_call;
static Call call;

static bool run_here(void (*f)(void *opaque), void *opaque)
{
    harness_bql(false);
    f(opaque);
    harness_bql(true);
    return true;
}

ModelThreads model_threads = { .run = run_here };

bool model_give_way(void)
{
    if (model_take(4) != 1) {
        return false;
    }
    model.n->gave_way++;
    return true;
}

bool model_thread_is_quiet(void)
{
    return !in_section && !in_call;
}

unsigned model_thread_slots(void)
{
    return in_call ? MAX_LEN / BUCKET + 1 : 0;
}

void model_touch(uint64_t addr, uint64_t len)
{
    uint64_t b;

    for (b = addr / BUCKET; b <= (addr + len - 1) / BUCKET; b++) {
        model.touched[b] = true;
        model.touches++;
    }
}

bool model_touched(uint64_t addr, uint64_t len)
{
    uint64_t b;

    for (b = addr / BUCKET; b <= (addr + len - 1) / BUCKET; b++) {
        if (model.touched[b]) {
            return true;
        }
    }
    return false;
}

void model_untouch(void)
{
    bool held[ARRAY_SIZE(model.touched)] = { false };
    uint64_t b;
    unsigned i;

    for (i = 0; i < model.nr_dma; i++) {
        ModelDma *d = &model.dma[i];

        for (b = d->addr / BUCKET; b <= (d->addr + d->len - 1) / BUCKET; b++) {
            held[b] = true;
        }
    }
    for (b = 0; b < ARRAY_SIZE(held); b++) {
        model.touched[b] = model.touched[b] && held[b];
    }
    model.touches = 0;
}

static unsigned span_pages(const Span *s)
{
    return DIV_ROUND_UP((s->addr & PAGE_MASK) + s->len, XENSIM_PAGE_SIZE);
}

static void call_before(uint64_t addr, uint64_t len)
{
    uint64_t page = addr >> XENSIM_PAGE_SHIFT;

    call.span = (Span) { .addr = addr, .len = len };
    memcpy(call.span.serial, &model.serial[page],
           span_pages(&call.span) * sizeof(uint64_t));
    call.since = model.next_serial;
    call.want = model_present(addr, len, &call.unseen);
    call.room = model_no_room();
    call.faults = model.n->faults;
    model_touch(addr, len);
}

/* Has any page that was asked for changed during the call? */
static bool call_disturbed(unsigned pages)
{
    uint64_t page = call.span.addr >> XENSIM_PAGE_SHIFT;
    unsigned i;

    for (i = 0; i < pages; i++) {
        if (model.changed[page + i] > call.since) {
            return true;
        }
    }
    return false;
}

/* What the pages show, which must be a frame that they had during the call. */
static void call_look(void)
{
    uint64_t page = call.span.addr >> XENSIM_PAGE_SHIFT;
    const uint8_t *p = call.span.host - (call.span.addr & PAGE_MASK);
    unsigned i;

    for (i = 0; i < span_pages(&call.span); i++) {
        uint64_t seen = model_peek(p + i * XENSIM_PAGE_SIZE);
        uint64_t number = seen >> MODEL_SERIAL_SHIFT;
        bool new = seen - (number << MODEL_SERIAL_SHIFT) == page + i &&
                   number >= call.since && number < model.next_serial &&
                   model.changed[page + i] > call.since;

        if (!seen || (seen != call.span.serial[i] && !new)) {
            g_error("op %" PRIu64 ": thread: address 0x%" PRIx64 ", page %u: "
                    "shows frame %" PRIx64 ", had %" PRIx64 " before and %"
                    PRIx64 " after", model.n->ops, call.span.addr, i, seen,
                    call.span.serial[i], model.serial[page + i]);
        }
        call.span.serial[i] = seen;
    }
}

/* The pointer that a call gave, if it did. */
static bool call_after(uint8_t *host, uint64_t got)
{
    Span *s = &call.span;
    bool disturbed = call_disturbed(span_pages(s)) ||
                     model.n->faults != call.faults;

    if (!host) {
        /* Who waits for the thread lets it go on, and a fault may hit it. */
        if (call.want && !call_disturbed(1) && model_no_room() == call.room &&
            model.n->faults == call.faults) {
            g_error("op %" PRIu64 ": thread: address 0x%" PRIx64 " is there, "
                    "and has no pointer", model.n->ops, s->addr);
        }
        g_assert_true(!call.with_len || got == 0);
        model.n->holes++;
        return false;
    }
    g_assert_true(got && got <= s->len);
    if (!disturbed) {
        model_check_len(s->addr, got, call.want,
                        call.unseen && call.use != XEN_MAP_HELD);
    }
    s->host = host;
    s->len = got;
    call_look();
    return true;
}

/* --- as the thread ----------------------------------------------- */

static void thread_lookup(void *unused)
{
    hwaddr got = call.span.len;
    uint8_t *host;

    if (!in_section) {
        rcu_read_lock();
        in_section = true;
    }
    host = xen_map_cache(call.span.addr, call.with_len ? &got : NULL, NULL);
    /* It may be in two slots then: one with a hole here, and a fresh one. */
    if (call.came || call_disturbed(1)) {
        model_touch(call.span.addr, 1);
    }
    if (call_after(host, got)) {
        spans[nr_spans++] = call.span;
    }
}

static void thread_map(void *unused)
{
    hwaddr got = call.span.len;
    uint8_t *host = xen_map_cache_dma(harness_ram, call.span.addr, 0, &got,
                                      call.use, call.is_write, NULL, NULL);

    if (call_after(host, got)) {
        model_add_dma(host, call.span.addr, got,
                      model_no_room() == call.room &&
                      model.n->faults == call.faults ? call.use : MODEL_EITHER,
                      g_memdup2(call.span.serial, span_pages(&call.span) *
                                sizeof(uint64_t)));
    }
}

static void thread_release(void *opaque)
{
    xen_invalidate_map_cache_entry(call.span.host, call.span.len);
}

static void thread_section_end(void *unused)
{
    in_section = false;
    rcu_read_unlock();
}

static void run(void (*f)(void *opaque))
{
    in_call = !model_threads.run(f, NULL);
}

/* --- operations -------------------------------------------------- */

static void check_spans(void)
{
    unsigned i;

    for (i = 0; i < nr_spans; i++) {
        Span *s = &spans[i];

        model_check_pages(s->host, s->addr, s->len, s->serial);
        model_check_reverse(s->host, s->addr, s->len);
    }
}

static void section_end(void)
{
    check_spans();
    nr_spans = 0;
    run(thread_section_end);
    g_assert_false(in_call); /* nobody can come in between there */
}

static void lookup(void)
{
    uint64_t addr = model_take_addr(), len = model_take_len(addr);

    model.n->lookups++;
    call.use = XEN_MAP_UNLOCKED;
    call.with_len = model_take(4);
    if (!call.with_len) {
        len = XENSIM_PAGE_SIZE - (addr & PAGE_MASK);
    }
    call_before(addr, MIN(len, BUCKET - (addr & (BUCKET - 1))));
    call.came = model.unseen[addr >> XENSIM_PAGE_SHIFT];
    run(thread_lookup);
}

static void map(void)
{
    uint64_t addr = model_take_addr(), len = model_take_len(addr);

    model.n->maps++;
    call.use = model_take(8) ? XEN_MAP_DMA : XEN_MAP_HELD;
    call.with_len = true;
    call.is_write = model_take(2);
    call_before(addr, len);
    run(thread_map);
}

static void release(void)
{
    unsigned i = model_take(model.nr_dma);
    ModelDma d = model.dma[i];

    model_check_pages(d.host, d.addr, d.len, d.serial);
    model_check_reverse(d.host, d.addr, d.len);
    g_free(d.serial);
    model.dma[i] = model.dma[--model.nr_dma];
    model.n->releases++;
    call.span = (Span) { .host = d.host, .addr = d.addr, .len = d.len };
    model_touch(d.addr, d.len);
    run(thread_release);
}

void model_op_thread(void)
{
    unsigned op = model_take(16);

    model.n->thread_ops++;
    if (in_call) {
        in_call = !model_threads.go_on();
    } else if (op < 6 && nr_spans < MAX_SPANS) {
        lookup();
    } else if (op < 8 && model.nr_dma < MAX_DMA - 1) {
        map();
    } else if (op < 10 && model.nr_dma) {
        release();
    } else if (op < 12) {
        check_spans();
    } else if (op < 14 && model_threads.reap) {
        model_threads.reap();
    } else if (in_section) {
        section_end();
    }
}

void model_thread_finish(void)
{
    while (in_call) {
        in_call = !model_threads.go_on();
    }
    if (in_section) {
        section_end();
    }
    if (model_threads.reap) {
        g_assert_true(model_threads.reap());
    }
}
