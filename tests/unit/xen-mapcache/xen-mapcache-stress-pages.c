/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mapcache under threads: stamping pages, and checking pointers.
 */
#include "qemu/osdep.h"
#include "qemu/rcu.h"
#include "xen-mapcache-stress.h"

/* --- failing ----------------------------------------------------- */

void stress_complain(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    fputs(COMPLAINT, stderr);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    _exit(EXIT_FAILURE);
}

void stress_on_fault(int sig, siginfo_t *info, void *context)
{
    static const char text[] =
        COMPLAINT "a pointer that is still good faulted\n";

    if (write(STDERR_FILENO, text, sizeof(text) - 1)) {
        _exit(EXIT_FAILURE);
    }
    _exit(EXIT_FAILURE);
}

/* --- threads and chance ------------------------------------------ */

Worker stress_workers[THREADS + 1];
__thread Worker *stress_self;
Dma *stress_handed_over[HAND_OVER];
unsigned stress_started;
unsigned stress_running;

uint32_t stress_chance(uint32_t bound)
{
    uint64_t x = stress_self->random;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    stress_self->random = x;
    return (x >> 20) % bound;
}

/* Gives the others a chance to come in between, here of all places. */
void stress_pause(uint32_t often)
{
    uint32_t n;

    if (!stress_self || stress_chance(often)) {
        return;
    }
    n = stress_chance(64);
    if (n < 4) {
        g_usleep(n * 30);
    } else if (n < 16) {
        sched_yield();
    } else {
        for (n = stress_chance(2000); n; n--) {
            barrier();
        }
    }
}

/* --- pages ------------------------------------------------------- */

GuestPage stress_pages[PAGES];

bool stress_page_may_move(uint64_t page)
{
    return page < VGA_HOLE_FIRST || page > VGA_HOLE_LAST;
}

void stress_stamp(uint64_t gfn, uint64_t page, uint32_t serial)
{
    uint64_t v = (page + 1) << 32 | serial, at = gfn * PAGE;

    g_assert_cmpint(xensim_write(harness_dom, at, &v, sizeof(v)), ==, 0);
    g_assert_cmpint(xensim_write(harness_dom, at + PAGE - sizeof(v), &v,
                                 sizeof(v)), ==, 0);
}

/* A page comes with its stamp on it: nobody ever sees it blank. */
void stress_page_comes(uint64_t page)
{
    uint32_t serial = stress_pages[page].latest + 1;

    g_assert_cmpuint(xensim_populate(harness_dom, SCRATCH_GFN, 1), ==, 1);
    stress_stamp(SCRATCH_GFN, page, serial);
    qatomic_store_release(&stress_pages[page].latest, serial);
    g_assert_cmpint(xensim_move(harness_dom, SCRATCH_GFN, page, 1), ==, 0);
    qatomic_store_release(&stress_pages[page].changes,
                          stress_pages[page].changes + 1);
}

void stress_page_goes(uint64_t page)
{
    qatomic_store_release(&stress_pages[page].changes,
                          stress_pages[page].changes + 1);
    smp_mb();
    g_assert_cmpuint(xensim_depopulate(harness_dom, page, 1), ==, 1);
}

void stress_invalidate(void)
{
    uint64_t page;

    xen_invalidate_map_cache();
    for (page = 0; page < PAGES; page++) {
        GuestPage *p = &stress_pages[page];

        qatomic_store_release(&p->floor, p->latest + !(p->changes & 1));
    }
}

static unsigned span_pages(const Span *s)
{
    return DIV_ROUND_UP((s->addr & (PAGE - 1)) + s->len, PAGE);
}

static uint32_t span_look(const Span *s, unsigned i, const char *what)
{
    const uint8_t *p = s->host - (s->addr & (PAGE - 1)) + (uint64_t)i * PAGE;
    uint64_t page = (s->addr >> XENSIM_PAGE_SHIFT) + i, v, end;

    memcpy(&v, p, sizeof(v));
    memcpy(&end, p + PAGE - sizeof(end), sizeof(end));
    stress_self->bytes += 16;
    if (v >> 32 != page + 1 || end != v) {
        stress_complain("%s of page 0x%" PRIx64 " shows 0x%016" PRIx64
                        " … 0x%016" PRIx64, what, page, v, end);
    }
    return v;
}

/* Before the call that makes a pointer: what it may show at least. */
void stress_span_before(Span *s)
{
    unsigned i;

    for (i = 0; i < span_pages(s); i++) {
        s->serial[i] = qatomic_load_acquire(
            &stress_pages[(s->addr >> XENSIM_PAGE_SHIFT) + i].floor);
    }
}

/* The first look. */
void stress_span_after(Span *s, const char *what)
{
    unsigned i;

    for (i = 0; i < span_pages(s); i++) {
        GuestPage *p = &stress_pages[(s->addr >> XENSIM_PAGE_SHIFT) + i];
        uint32_t serial = span_look(s, i, what);
        uint32_t latest = qatomic_load_acquire(&p->latest);

        if (serial < s->serial[i] || serial > latest) {
            stress_complain("%s of page 0x%" PRIx64 " shows its frame %u; it "
                            "may be %u to %u", what,
                            (s->addr >> XENSIM_PAGE_SHIFT) + i, serial,
                            s->serial[i], latest);
        }
        s->serial[i] = serial;
    }
}

void stress_span_again(const Span *s, const char *what)
{
    unsigned i;

    for (i = 0; i < span_pages(s); i++) {
        uint32_t serial = span_look(s, i, what);

        if (serial != s->serial[i]) {
            stress_complain("%s of page 0x%" PRIx64 " shows frame %u, showed "
                            "%u", what, (s->addr >> XENSIM_PAGE_SHIFT) + i,
                            serial, s->serial[i]);
        }
    }
}

void stress_check_reverse(const Span *s)
{
    uint64_t at = stress_chance(s->len);
    ram_addr_t got = xen_ram_addr_from_mapcache(s->host + at);

    stress_self->reverses++;
    if (got != s->addr + at) {
        stress_complain("reverse of 0x%" PRIx64 " is 0x%" PRIx64, s->addr + at,
                 (uint64_t)got);
    }
}

uint64_t stress_addr(void)
{
    uint64_t addr = (uint64_t)stress_chance(PAGES) * PAGE;

    switch (stress_chance(4)) {
    case 0: /* few pages that all want */
        addr = (addr & 3 * PAGE) + MCACHE_BUCKET_SIZE - 2 * PAGE;
        break;
    case 1:
        addr |= MCACHE_BUCKET_SIZE - PAGE;
        break;
    }
    return addr + (stress_chance(2) ? stress_chance(PAGE) : 0);
}

void stress_no_pointer(uint64_t addr, uint32_t changes)
{
    smp_mb();
    if (changes & 1 && changes == qatomic_load_acquire(
            &stress_pages[addr >> XENSIM_PAGE_SHIFT].changes)) {
        stress_self->nulls++;
    }
}

uint32_t stress_changes_of(uint64_t addr)
{
    uint32_t n = qatomic_load_acquire(
        &stress_pages[addr >> XENSIM_PAGE_SHIFT].changes);

    smp_mb();
    return n;
}
