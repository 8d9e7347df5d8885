/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The model: its pages, and checking pointers.
 */
#include "qemu/osdep.h"
#include "xen-mapcache-model-int.h"

Model model;

/* --- the stream ------------------------------------------------------ */

unsigned model_take(unsigned bound)
{
    unsigned v = 0;
    unsigned bytes = bound > 65536 ? 3 : bound > 256 ? 2 : 1;

    while (bytes--) {
        v = v << 8 | (model.data < model.end ? *model.data++ : 0);
    }
    return v % bound;
}

/* Addresses and lengths are often near what is apt to go wrong. */
uint64_t model_take_addr(void)
{
    uint64_t addr = (uint64_t)model_take(PAGES) << XENSIM_PAGE_SHIFT;

    switch (model_take(4)) {
    case 0:
        addr = QEMU_ALIGN_DOWN(addr, BUCKET) + BUCKET - XENSIM_PAGE_SIZE;
        break;
    case 1:
        addr = QEMU_ALIGN_DOWN(addr, BUCKET);
        break;
    }
    return addr + (model_take(2) ? model_take(XENSIM_PAGE_SIZE) : 0);
}

uint64_t model_take_len(uint64_t addr)
{
    uint64_t len;

    switch (model_take(4)) {
    case 0:
        len = 1 + model_take(XENSIM_PAGE_SIZE);
        break;
    case 1:
        len = XENSIM_PAGE_SIZE;
        break;
    case 2:
        len = (1 + model_take(32)) * XENSIM_PAGE_SIZE;
        break;
    default:
        len = 1 + model_take(MAX_LEN);
        break;
    }
    return MIN(len, MODEL_RAM_BYTES - addr);
}

/* --- the model ------------------------------------------------------- */

/* Bytes from @addr that are in present pages, cut at @limit. */
uint64_t model_present(uint64_t addr, uint64_t len, bool *unseen)
{
    uint64_t page, last = (addr + len - 1) >> XENSIM_PAGE_SHIFT;

    *unseen = false;
    for (page = addr >> XENSIM_PAGE_SHIFT; page <= last; page++) {
        if (!model.serial[page]) {
            page <<= XENSIM_PAGE_SHIFT;
            return page > addr ? page - addr : 0;
        }
        *unseen |= model.unseen[page];
    }
    return len;
}

/* How often the arena was too small: only where it is made so. */
uint64_t model_no_room(void)
{
    XenMapCacheStats stats;

    xen_map_cache_get_stats(&stats);
#ifndef MODEL_TIGHT
    g_assert_cmpuint(stats.no_room, ==, 0);
#endif
    return stats.no_room;
}

uint64_t model_peek(const uint8_t *host)
{
    uint64_t v;

    memcpy(&v, host, sizeof(v));
    model.n->bytes_checked += sizeof(v);
    return v;
}

/* What lies at @host must be pages with @serial, in that order. */
void model_check_pages(const uint8_t *host, uint64_t addr, uint64_t len,
                       const uint64_t *serial)
{
    const uint8_t *p = host - (addr & PAGE_MASK);
    uint64_t pages = DIV_ROUND_UP((addr & PAGE_MASK) + len,
                                  XENSIM_PAGE_SIZE), i;

    for (i = 0; i < pages; i++) {
        uint64_t seen = model_peek(p + i * XENSIM_PAGE_SIZE);

        if (seen != serial[i]) {
            g_error("op %" PRIu64 ": address 0x%" PRIx64 ", page %" PRIu64
                    " of %" PRIu64 ": shows frame %" PRIu64 ", should be %"
                    PRIu64, model.n->ops, addr, i, pages, seen, serial[i]);
        }
    }
}

void model_check_reverse(const uint8_t *host, uint64_t addr, uint64_t len)
{
    uint64_t at = model_take(MIN(len, 1u << 24));
    ram_addr_t got = xen_ram_addr_from_mapcache((void *)(host + at));

    model.n->reverses++;
    if (got != addr + at) {
        g_error("op %" PRIu64 ": reverse of 0x%" PRIx64 " + 0x%" PRIx64
                " is 0x%" PRIx64, model.n->ops, addr, at, (uint64_t)got);
    }
}

/*
 * A length that the mapcache gave must be what the model says.  Only pages that
 * came since their bucket was mapped may be missed.
 */
void model_check_len(uint64_t addr, uint64_t got, uint64_t want, bool unseen)
{
    uint64_t least = unseen ? MIN(want, XENSIM_PAGE_SIZE -
                                        (addr & PAGE_MASK)) : want;

    if (got > want || got < least) {
        g_error("op %" PRIu64 ": address 0x%" PRIx64 ": length 0x%" PRIx64
                ", should be 0x%" PRIx64, model.n->ops, addr, got, want);
    }
}

void model_page_comes(uint64_t page)
{
    uint64_t serial = model_serial(page);

    g_assert_cmpuint(xensim_populate(harness_dom, page, 1), ==, 1);
    g_assert_cmpint(xensim_write(harness_dom, page << XENSIM_PAGE_SHIFT,
                                 &serial, sizeof(serial)), ==, 0);
    model.serial[page] = serial;
    model.changed[page] = model.next_serial;
    model.unseen[page] = true;
}

void model_page_goes(uint64_t page)
{
    xensim_depopulate(harness_dom, page, 1);
    model.serial[page] = 0;
    model.changed[page] = ++model.next_serial;
}

bool model_page_may_move(uint64_t page)
{
    return page < VGA_HOLE_FIRST || page > VGA_HOLE_LAST;
}
