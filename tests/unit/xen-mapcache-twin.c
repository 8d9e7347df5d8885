/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The naive twin of the mapcache.
 *
 * Every page of guest RAM carries a serial number in its first eight bytes;
 * a page that the guest gives back and takes again gets a new frame and a new
 * number.  The model knows the number of each guest page, and for each DMA
 * mapping the numbers that its pages had when it was made.  Looking through
 * any pointer must show just these.
 */
#include "qemu/osdep.h"
#include "qemu/rcu.h"
#include "exec/ramlist.h"
#include "xen-mapcache-harness.h"
#include "xen-mapcache-twin.h"

#define PAGES       (TWIN_RAM_BYTES / XENSIM_PAGE_SIZE)
#define PAGE_MASK   (XENSIM_PAGE_SIZE - 1)
#define BUCKET      TWIN_BUCKET
#define MAX_DMA     64
#define MAX_LEN     (3 * BUCKET)
#define MAX_BLOCKS  4
#define BLOCK_AT    (1ull << 32)    /* ram_addr_t of the first block */
#define BLOCK_STEP  (64ull << 20)
#define MAX_GRANTS  8

/* The hole that every HVM guest has. */
#define VGA_HOLE_FIRST  0xa0
#define VGA_HOLE_LAST   0xbf

typedef struct TwinDma {
    uint8_t *host;
    uint64_t addr, len;
    uint64_t *serial;       /* of its pages */
    XenMapUse use;
} TwinDma;

typedef struct TwinBlock {
    uint8_t *host;
    uint64_t pages;
    uint64_t frames_at;     /* gfn of the frames that it must show */
} TwinBlock;

typedef struct TwinGrant {
    uint8_t *host;
    uint64_t len;
    int ref;
    uint64_t gfn, serial;
} TwinGrant;

typedef struct Twin {
    const uint8_t *data, *end;
    TwinCounts *n;
    uint64_t serial[PAGES];     /* 0: absent */
    bool unseen[PAGES];         /* came without an invalidate since */
    uint64_t next_serial;
    TwinDma dma[MAX_DMA];
    unsigned nr_dma;
    TwinBlock block[MAX_BLOCKS];
    TwinGrant grant[MAX_GRANTS];
    unsigned nr_grants;
    uint64_t unmatched;
} Twin;

static Twin twin;

/* --- the stream ------------------------------------------------------ */

static unsigned take(unsigned bound)
{
    unsigned v = 0;
    unsigned bytes = bound > 65536 ? 3 : bound > 256 ? 2 : 1;

    while (bytes--) {
        v = v << 8 | (twin.data < twin.end ? *twin.data++ : 0);
    }
    return v % bound;
}

/* Addresses and lengths are often near what is apt to go wrong. */
static uint64_t take_addr(void)
{
    uint64_t addr = (uint64_t)take(PAGES) << XENSIM_PAGE_SHIFT;

    switch (take(4)) {
    case 0:
        addr = QEMU_ALIGN_DOWN(addr, BUCKET) + BUCKET - XENSIM_PAGE_SIZE;
        break;
    case 1:
        addr = QEMU_ALIGN_DOWN(addr, BUCKET);
        break;
    }
    return addr + (take(2) ? take(XENSIM_PAGE_SIZE) : 0);
}

static uint64_t take_len(uint64_t addr)
{
    uint64_t len;

    switch (take(4)) {
    case 0:
        len = 1 + take(XENSIM_PAGE_SIZE);
        break;
    case 1:
        len = XENSIM_PAGE_SIZE;
        break;
    case 2:
        len = (1 + take(32)) * XENSIM_PAGE_SIZE;
        break;
    default:
        len = 1 + take(MAX_LEN);
        break;
    }
    return MIN(len, TWIN_RAM_BYTES - addr);
}

/* --- the model ------------------------------------------------------- */

/* Bytes from @addr that are in present pages, cut at @limit. */
static uint64_t model_present(uint64_t addr, uint64_t len, bool *unseen)
{
    uint64_t page, last = (addr + len - 1) >> XENSIM_PAGE_SHIFT;

    *unseen = false;
    for (page = addr >> XENSIM_PAGE_SHIFT; page <= last; page++) {
        if (!twin.serial[page]) {
            page <<= XENSIM_PAGE_SHIFT;
            return page > addr ? page - addr : 0;
        }
        *unseen |= twin.unseen[page];
    }
    return len;
}

/* How often the arena was too small: only where it is made so. */
static uint64_t no_room(void)
{
    XenMapCacheStats stats;

    xen_map_cache_get_stats(&stats);
#ifndef TWIN_TIGHT
    g_assert_cmpuint(stats.no_room, ==, 0);
#endif
    return stats.no_room;
}

static uint64_t peek(const uint8_t *host)
{
    uint64_t v;

    memcpy(&v, host, sizeof(v));
    twin.n->bytes_checked += sizeof(v);
    return v;
}

/* What lies at @host must be pages with @serial, in that order. */
static void check_pages(const uint8_t *host, uint64_t addr, uint64_t len,
                        const uint64_t *serial)
{
    const uint8_t *p = host - (addr & PAGE_MASK);
    uint64_t pages = DIV_ROUND_UP((addr & PAGE_MASK) + len,
                                  XENSIM_PAGE_SIZE), i;

    for (i = 0; i < pages; i++) {
        uint64_t seen = peek(p + i * XENSIM_PAGE_SIZE);

        if (seen != serial[i]) {
            g_error("op %" PRIu64 ": address 0x%" PRIx64 ", page %" PRIu64
                    " of %" PRIu64 ": shows frame %" PRIu64 ", should be %"
                    PRIu64, twin.n->ops, addr, i, pages, seen, serial[i]);
        }
    }
}

static void check_reverse(const uint8_t *host, uint64_t addr, uint64_t len)
{
    uint64_t at = take(MIN(len, 1u << 24));
    ram_addr_t got = xen_ram_addr_from_mapcache((void *)(host + at));

    twin.n->reverses++;
    if (got != addr + at) {
        g_error("op %" PRIu64 ": reverse of 0x%" PRIx64 " + 0x%" PRIx64
                " is 0x%" PRIx64, twin.n->ops, addr, at, (uint64_t)got);
    }
}

/*
 * A length that the mapcache gave must be what the model says.  Pages that
 * came since the bucket was mapped may be missed; without an arena a mapping
 * ends at a bucket's end, and in a small one there may be no room for more
 * than the page.
 */
static void check_len(uint64_t addr, uint64_t got, uint64_t want, bool unseen)
{
    uint64_t least = unseen ? MIN(want, XENSIM_PAGE_SIZE -
                                        (addr & PAGE_MASK)) : want;

#if defined(TWIN_TIGHT)
    least = MIN(least, XENSIM_PAGE_SIZE - (addr & PAGE_MASK));
#elif defined(TWIN_COMPAT)
    least = MIN(least, BUCKET - (addr & (BUCKET - 1)));
#endif

    if (got > want || got < least) {
        g_error("op %" PRIu64 ": address 0x%" PRIx64 ": length 0x%" PRIx64
                ", should be 0x%" PRIx64, twin.n->ops, addr, got, want);
    }
}

static void page_comes(uint64_t page)
{
    uint64_t serial = twin.next_serial++;

    g_assert_cmpuint(xensim_populate(harness_dom, page, 1), ==, 1);
    g_assert_cmpint(xensim_write(harness_dom, page << XENSIM_PAGE_SHIFT,
                                 &serial, sizeof(serial)), ==, 0);
    twin.serial[page] = serial;
    twin.unseen[page] = true;
}

static bool page_may_move(uint64_t page)
{
    return page < VGA_HOLE_FIRST || page > VGA_HOLE_LAST;
}

/* --- operations ------------------------------------------------------- */

static void op_lookup(void)
{
    uint64_t addr = take_addr(), len = take_len(addr), want, room;
    bool with_len = take(4), unseen;
    hwaddr got = len;
    uint8_t *host;

    twin.n->lookups++;
    WITH_RCU_READ_LOCK_GUARD() {
        if (!with_len) {
            len = XENSIM_PAGE_SIZE - (addr & PAGE_MASK);
        }
        len = MIN(len, BUCKET - (addr & (BUCKET - 1)));
        want = model_present(addr, len, &unseen);
        room = no_room();
        host = xen_map_cache(addr, with_len ? &got : NULL);
        if (!host && no_room() != room) {
            return;
        }
        if (!want != !host) {
            g_error("op %" PRIu64 ": lookup of 0x%" PRIx64 ": %p, page is %s",
                    twin.n->ops, addr, host, want ? "there" : "absent");
        }
        if (!host) {
            twin.n->holes++;
            return;
        }
        if (with_len) {
            check_len(addr, got, want, unseen);
        } else {
            got = len;
        }
        check_pages(host, addr, got, &twin.serial[addr >> XENSIM_PAGE_SHIFT]);
        check_reverse(host, addr, got);
    }
}

static void op_map(void)
{
    uint64_t addr = take_addr(), len = take_len(addr), want;
    TwinDma *d = &twin.dma[twin.nr_dma];
    uint64_t room = no_room();
    bool unseen;
    hwaddr got = len;

    if (twin.nr_dma == MAX_DMA) {
        return;
    }
    d->use = take(8) ? XEN_MAP_DMA : XEN_MAP_HELD;
    twin.n->maps++;
    want = model_present(addr, len, &unseen);
    WITH_RCU_READ_LOCK_GUARD() {
        d->host = xen_map_cache_dma(harness_ram, addr, 0, &got, d->use,
                                    take(2), NULL);
    }
    if (!d->host) {
        g_assert_cmpuint(got, ==, 0);
        g_assert_true(want == 0 || no_room() != room);
        twin.n->holes++;
        return;
    }
    check_len(addr, got, want, unseen && d->use != XEN_MAP_HELD);
    d->addr = addr;
    d->len = got;
    d->serial = g_memdup2(&twin.serial[addr >> XENSIM_PAGE_SHIFT],
                          sizeof(uint64_t) *
                          DIV_ROUND_UP((addr & PAGE_MASK) + got,
                                       XENSIM_PAGE_SIZE));
    twin.nr_dma++;
    check_pages(d->host, d->addr, d->len, d->serial);
}

static void release(unsigned i)
{
    TwinDma *d = &twin.dma[i];

    /* Readable to its holder to the end, whatever happened meanwhile. */
    check_pages(d->host, d->addr, d->len, d->serial);
    check_reverse(d->host, d->addr, d->len);
    xen_invalidate_map_cache_entry(d->host, d->len);
    g_free(d->serial);
    *d = twin.dma[--twin.nr_dma];
    twin.n->releases++;
}

static void op_release(void)
{
    if (twin.nr_dma) {
        release(take(twin.nr_dma));
    }
}

static void op_release_nothing(void)
{
    static uint8_t nothing;
    uint8_t *host = &nothing;
    unsigned i;

    if (take(2) && twin.nr_dma) {
        TwinDma *d = &twin.dma[take(twin.nr_dma)];

        /* Inside a mapping, but not what anybody was given. */
        host = d->host + 1;
        for (i = 0; i < twin.nr_dma; i++) {
            if (twin.dma[i].host == host) {
                return;
            }
        }
    }
    xen_invalidate_map_cache_entry(host, 1 + take(64));
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

        if (d->use == XEN_MAP_HELD) {
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
static void check_unmapped(void)
{
    uint64_t allowed = (uint64_t)slots_held() * BUCKET / XENSIM_PAGE_SIZE;
    uint64_t mapped = harness_mapped_pages();
    unsigned i;

    allowed += twin.nr_grants;
    for (i = 0; i < twin.nr_dma; i++) {
        TwinDma *d = &twin.dma[i];

        if (d->use == XEN_MAP_HELD) {
            /* Its own pages and no more. */
            allowed += DIV_ROUND_UP((d->addr & PAGE_MASK) + d->len,
                                    XENSIM_PAGE_SIZE);
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

static void op_invalidate(void)
{
    xen_invalidate_map_cache();
    memset(twin.unseen, 0, sizeof(twin.unseen));
    twin.n->invalidates++;
}

static void op_balloon(void)
{
    uint64_t first = take(PAGES), n = 1 + take(take(16) ? 16 : PAGES), page;
    bool out = take(3) == 0, tell = out || take(2);

    twin.n->balloons++;
    for (page = first; page < MIN(first + n, PAGES); page++) {
        if (!page_may_move(page)) {
            continue;
        }
        if (out && twin.serial[page]) {
            xensim_depopulate(harness_dom, page, 1);
            twin.serial[page] = 0;
        } else if (!out && !twin.serial[page]) {
            page_comes(page);
        }
    }
    if (tell) {
        op_invalidate();
    }
}

bool twin_can_replace(void)
{
#ifdef TWIN_COMPAT
    return false;
#else
    return true;
#endif
}

void twin_block_free(uint8_t *host)
{
    if (xen_map_cache_block_unannounce(host)) {
        ram_block_notify_remove(host, 0, 0);
    }
    g_assert_false(xen_map_cache_block_unannounce(host));
    xen_unmap_cache_block(host);
}

static void op_block(void)
{
    unsigned i = take(MAX_BLOCKS);
    TwinBlock *b = &twin.block[i];
    uint64_t at = BLOCK_AT + i * BLOCK_STEP, gfn = at >> XENSIM_PAGE_SHIFT;

    twin.n->blocks++;
    if (b->host) {
        /* A DMA that ended in device memory holds nothing of it. */
        xen_invalidate_map_cache_entry(b->host + take(XENSIM_PAGE_SIZE), 512);
        g_assert_cmphex(peek(b->host), ==, gfn);
        check_reverse(b->host, at, b->pages << XENSIM_PAGE_SHIFT);
        if (take(2)) {
            twin_block_free(b->host);
            b->host = NULL;
            xensim_depopulate(harness_dom, gfn, b->pages);
        }
        return;
    }
    b->pages = 1 + take(700);
    g_assert_cmpuint(xensim_populate(harness_dom, gfn, b->pages), ==,
                     b->pages);
    xensim_write(harness_dom, at, &gfn, sizeof(gfn));
    if (take(2) || !twin_can_replace()) {
        b->host = xen_map_cache_block(at, b->pages << XENSIM_PAGE_SHIFT);
        g_assert_false(xen_map_cache_is_dummy(at));
    } else {
        /* As at a restore: the frames are elsewhere, and found later. */
        uint64_t away = gfn + (BLOCK_STEP >> (XENSIM_PAGE_SHIFT + 1));
        uint8_t *host;

        g_assert_cmpint(xensim_move(harness_dom, gfn, away, b->pages), ==, 0);
        harness_incoming = true;
        host = xen_map_cache_block(at, b->pages << XENSIM_PAGE_SHIFT);
        g_assert_true(xen_map_cache_is_dummy(at));
        g_assert_cmphex(peek(host), ==, 0);
        check_reverse(host, at, b->pages << XENSIM_PAGE_SHIFT);
        b->host = xen_replace_cache_entry(at, away << XENSIM_PAGE_SHIFT,
                                          b->pages << XENSIM_PAGE_SHIFT);
        harness_incoming = false;
        g_assert_true(b->host == host);
        g_assert_false(xen_map_cache_is_dummy(at));
        /* Back to where the next round looks; the mapping has the frames. */
        g_assert_cmpint(xensim_move(harness_dom, away, gfn, b->pages), ==, 0);
    }
    g_assert_cmphex(peek(b->host), ==, gfn);
}

static void grant_release(unsigned i)
{
    TwinGrant *g = &twin.grant[i];

    g_assert_cmpuint(peek(g->host), ==, g->serial);
    xen_invalidate_map_cache_entry(g->host, XENSIM_PAGE_SIZE);
    g_assert_cmpint(xensim_grant_mappings(harness_dom, g->ref), ==, 0);
    xensim_grant_revoke(harness_dom, g->ref);
    *g = twin.grant[--twin.nr_grants];
}

static void op_grant(void)
{
    TwinGrant *g = &twin.grant[twin.nr_grants];
    hwaddr len = XENSIM_PAGE_SIZE;
    uint64_t gfn = take(PAGES), addr;

    twin.n->grants++;
    if (twin.nr_grants == MAX_GRANTS || !twin.serial[gfn] || take(4) == 0) {
        if (twin.nr_grants) {
            grant_release(take(twin.nr_grants));
        }
        return;
    }
    g->gfn = gfn;
    g->ref = xensim_grant(harness_dom, 0, gfn, false);
    g_assert_cmpint(g->ref, >, 0);
    addr = BLOCK_AT + ((uint64_t)g->ref << XENSIM_PAGE_SHIFT);
    WITH_RCU_READ_LOCK_GUARD() {
        g->host = xen_map_cache_dma(harness_grants, addr, BLOCK_AT, &len,
                                    XEN_MAP_DMA, take(2), NULL);
    }
    g_assert_nonnull(g->host);
    g_assert_cmpuint(len, ==, XENSIM_PAGE_SIZE);
    g->serial = twin.serial[g->gfn];
    g_assert_cmpuint(peek(g->host), ==, g->serial);
    g_assert_cmphex(xen_ram_addr_from_mapcache(g->host + 5), ==, addr + 5);
    twin.nr_grants++;
}

/* One map call fails: what is asked for then is as if it were absent. */
static void op_fault(void)
{
    uint64_t addr = take_addr();
    hwaddr len = 1;
    uint8_t *host;
    int id;
    XensimFault fault = {
        .call = TWIN_MAP_CALL,
        .count = 1,
        .error = take(2) ? ENOMEM : EINVAL,
    };

    twin.n->faults++;
    id = xensim_fault_arm(harness_sim, &fault);
    WITH_RCU_READ_LOCK_GUARD() {
        host = xen_map_cache(addr, &len);
        if (host) {
            check_pages(host, addr, len,
                        &twin.serial[addr >> XENSIM_PAGE_SHIFT]);
        } else {
            g_assert_cmpuint(len, ==, 0);
        }
    }
    xensim_fault_disarm(harness_sim, id);
}

/* --- the run ----------------------------------------------------------- */

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
        uint64_t serial = twin.next_serial;

        if (page_may_move(page)) {
            g_assert_cmpint(xensim_write(harness_dom,
                                         page << XENSIM_PAGE_SHIFT, &serial,
                                         sizeof(serial)), ==, 0);
            twin.serial[page] = twin.next_serial++;
        }
    }
}

static void twin_end(void)
{
    XenMapCacheStats stats;
    uint64_t page;
    unsigned i;

    while (twin.nr_dma) {
        release(twin.nr_dma - 1);
    }
    while (twin.nr_grants) {
        grant_release(twin.nr_grants - 1);
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
        if (page_may_move(page) && !twin.serial[page]) {
            page_comes(page);
        }
    }
    op_invalidate();

    xen_map_cache_get_stats(&stats);
    g_assert_cmpuint(stats.dma, ==, 0);
    g_assert_cmpuint(stats.grants, ==, 0);
    g_assert_cmpuint(stats.blocks, ==, 0);
    g_assert_cmpuint(stats.unmatched, ==, twin.unmatched);
    g_assert_cmpuint(xensim_check(harness_sim), ==, 0);
}

void twin_run(const uint8_t *data, size_t size, TwinCounts *counts)
{
    twin_begin(data, size, counts);
    while (twin.data < twin.end) {
        unsigned op = take(100);

        counts->ops++;
        if (op < 35) {
            op_lookup();
        } else if (op < 60) {
            op_map();
        } else if (op < 82) {
            op_release();
        } else if (op < 84) {
            op_release_nothing();
        } else if (op < 90) {
            op_balloon();
        } else if (op < 92) {
            op_invalidate();
            check_unmapped();
        } else if (op < 95) {
            op_block();
        } else if (op < 98) {
            op_grant();
        } else {
            op_fault();
        }
    }
    twin_end();
}
