/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random operations, compared with a simple model.
 *
 * Every frame has a number of its own, which is written when the frame is
 * populated.  The model remembers the number that each page of each mapping
 * showed when the mapping was made.  Whatever happens afterwards, the page must
 * show that number, or raise SIGBUS if there was no frame.  The domain is
 * small, so that collisions are common.  --seed repeats a run.
 */
#include "common.h"

#include <signal.h>
#include <xenforeignmemory.h>
#include <xengnttab.h>

#define RW (PROT_READ | PROT_WRITE)
#define GFNS      64u       /* gfns that are played with, from FIRST */
#define FIRST     0x200u
#define SLOTS     16u       /* of the arena */
#define SLOT      8u        /* pages */
#define LOOSE     16u       /* mappings that are not in the arena */

typedef struct ModelMap {
    char *addr;             /* NULL: no mapping */
    unsigned pages;
    uint64_t number[4 * SLOT];    /* 0: absent */
    bool grant;
    uint32_t ref[4 * SLOT];
} ModelMap;

static xenforeignmemory_handle *fmem;
static xengnttab_handle *xgt;
static XensimDomain *dom;
static uint32_t id;
static char *arena;
static ModelMap slot[SLOTS], loose[LOOSE];
static uint64_t number[GFNS];     /* 0: absent */
static uint64_t last_number;

static unsigned pick(unsigned n)
{
    return g_test_rand_int_range(0, n);
}

static void fresh(unsigned i)
{
    number[i] = ++last_number;
    g_assert_cmpint(xensim_write(dom, (uint64_t)(FIRST + i) * PAGE,
                                 &number[i], 8), ==, 0);
}

static void look(const ModelMap *t)
{
    unsigned i;

    for (i = 0; t->addr && i < t->pages; i++) {
        const char *p = t->addr + i * PAGE;

        if (!t->number[i]) {
            g_assert_cmpint(touch(p), ==, -SIGBUS);
        } else {
            g_assert_cmphex(*(uint64_t *)p, ==, t->number[i]);
        }
    }
}

static void choose(ModelMap *t, xen_pfn_t *gfn)
{
    unsigned first = pick(GFNS);
    bool row = pick(2);
    unsigned i;

    for (i = 0; i < t->pages; i++) {
        unsigned k = row ? (first + i) % GFNS : pick(GFNS);

        gfn[i] = FIRST + k;
        t->number[i] = number[k];
    }
}

static void op_map_slot(void)
{
    unsigned first = pick(SLOTS), n = 1 + pick(4), i;
    xen_pfn_t gfn[4 * SLOT];
    int err[4 * SLOT];
    char *addr = arena + first * SLOT * PAGE;
    ModelMap t = { .addr = addr };
    bool fits = true;
    void *p;

    n = MIN(n, SLOTS - first);
    t.pages = n * SLOT;
    choose(&t, gfn);
    /* A neighbour's mapping that sticks out makes it fail. */
    for (i = 0; i < SLOTS; i++) {
        char *a = slot[i].addr;
        char *end = a + slot[i].pages * PAGE;

        if (a && a < addr + t.pages * PAGE && end > addr) {
            fits = fits && a >= addr && end <= addr + t.pages * PAGE;
        }
    }
    p = xenforeignmemory_map2(fmem, id, addr, RW, MAP_FIXED, t.pages, gfn,
                              err);
    if (!fits) {
        g_assert_null(p);
        g_assert_cmpint(errno, ==, ENOMEM);
        return;
    }
    g_assert(p == addr);
    for (i = 0; i < t.pages; i++) {
        g_assert_cmpint(err[i], ==, t.number[i] ? 0 : -EINVAL);
    }
    for (i = 0; i < n; i++) {
        slot[first + i].addr = NULL;
    }
    slot[first] = t;
}

static void op_empty_slots(void)
{
    unsigned first = pick(SLOTS), n = 1 + pick(SLOTS - first), i;
    char *addr = arena + first * SLOT * PAGE;
    char *end = addr + n * SLOT * PAGE;
    bool fits = true;
    void *p;

    for (i = 0; i < SLOTS; i++) {
        char *a = slot[i].addr;
        char *e = a + slot[i].pages * PAGE;

        if (a && a < end && e > addr) {
            fits = fits && a >= addr && e <= end;
        }
    }
    p = mmap(addr, end - addr, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS |
             MAP_NORESERVE | MAP_FIXED, -1, 0);
    g_assert((p == addr) == fits);
    for (i = first; fits && i < first + n; i++) {
        slot[i].addr = NULL;
    }
}

static void op_map_loose(void)
{
    ModelMap *t = &loose[pick(LOOSE)];
    xen_pfn_t gfn[4 * SLOT];
    int err[4 * SLOT];
    unsigned i;

    if (t->addr) {
        if (t->grant) {
            g_assert_cmpint(xengnttab_unmap(xgt, t->addr, t->pages), ==, 0);
            for (i = 0; i < t->pages; i++) {
                xensim_grant_revoke(dom, t->ref[i]);
            }
        } else {
            g_assert_cmpint(munmap(t->addr, t->pages * PAGE), ==, 0);
        }
        t->addr = NULL;
        return;
    }
    t->pages = 1 + pick(4 * SLOT);
    t->grant = pick(3) == 0;
    choose(t, gfn);
    if (!t->grant) {
        t->addr = xenforeignmemory_map(fmem, id, RW, t->pages, gfn, err);
        g_assert_nonnull(t->addr);
        return;
    }
    for (i = 0; i < t->pages; i++) {
        t->ref[i] = xensim_grant(dom, 0, gfn[i], false);
    }
    t->addr = xengnttab_map_domain_grant_refs(xgt, t->pages, id, t->ref, RW);
    for (i = 0; i < t->pages; i++) {
        if (!t->number[i]) {
            g_assert_null(t->addr);
        }
        /* Revoked at once, half of the time: it must not matter. */
        if (!t->addr || pick(2)) {
            xensim_grant_revoke(dom, t->ref[i]);
        }
    }
}

static void op_balloon(void)
{
    unsigned first = pick(GFNS), n = 1 + pick(GFNS - first), i;
    uint64_t want = 0, tot = mem_info(dom).tot_pages;

    if (pick(2)) {
        for (i = first; i < first + n; i++) {
            want += number[i] != 0;
            number[i] = 0;
        }
        g_assert_cmpuint(xensim_depopulate(dom, FIRST + first, n), ==, want);
        g_assert_cmpuint(mem_info(dom).tot_pages, <=, tot);
        return;
    }
    for (i = first; i < first + n; i++) {
        if (!number[i]) {
            g_assert_cmpuint(xensim_populate(dom, FIRST + i, 1), ==, 1);
            fresh(i);
        }
    }
}

static void op_move(void)
{
    unsigned a = pick(GFNS), b = pick(GFNS);
    int rc = xensim_move(dom, FIRST + a, FIRST + b, 1);

    g_assert_cmpint(rc, ==, number[a] ? 0 : -EINVAL);
    if (!rc && a != b) {
        number[b] = number[a];
        number[a] = 0;
    }
}

static void run(unsigned flags)
{
    static void (*const op[])(void) = {
        op_map_slot, op_map_slot, op_empty_slots, op_map_loose, op_map_loose,
        op_balloon, op_move,
    };
    unsigned i, k;

    dom = new_domain(4, flags);
    id = xensim_domid(dom);
    xensim_set_max_pages(dom, 1 << 20);
    memset(slot, 0, sizeof(slot));
    memset(loose, 0, sizeof(loose));
    for (i = 0; i < GFNS; i++) {
        fresh(i);
    }
    arena = mmap(NULL, SLOTS * SLOT * PAGE, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    for (i = 0; i < 2500; i++) {
        op[pick(G_N_ELEMENTS(op))]();
        look(&slot[pick(SLOTS)]);
        look(&loose[pick(LOOSE)]);
        if (i % 64 == 0) {
            g_assert_cmpuint(xensim_check(sim), ==, 0);
            for (k = 0; k < SLOTS; k++) {
                look(&slot[k]);
            }
            for (k = 0; k < LOOSE; k++) {
                look(&loose[k]);
            }
            for (k = 0; k < GFNS; k++) {
                uint64_t n = 0;
                int rc = xensim_read(dom, (uint64_t)(FIRST + k) * PAGE, &n,
                                     8);

                g_assert_cmpint(rc, ==, number[k] ? 0 : -EFAULT);
                g_assert_cmphex(n, ==, number[k]);
            }
        }
    }
    g_assert_cmpint(munmap(arena, SLOTS * SLOT * PAGE), ==, 0);
    for (k = 0; k < LOOSE; k++) {
        if (loose[k].addr) {
            g_assert_cmpint(munmap(loose[k].addr, loose[k].pages * PAGE), ==,
                            0);
        }
    }
    g_assert_cmpuint(mem_info(dom).mapped_pages, ==, 0);
    g_assert_cmpuint(mem_info(dom).held_pages, ==, 0);
    end_domain(dom);
}

static void test_contiguous(void)
{
    run(0);
}

static void test_scattered(void)
{
    run(XENSIM_DOM_SCATTERED);
}

/* Threads that map and unmap while another balloons under them. */
static gpointer mapper(gpointer opaque)
{
    xen_pfn_t gfn[GFNS];
    int err[GFNS];
    unsigned i, k;

    for (k = 0; k < GFNS; k++) {
        gfn[k] = FIRST + k;
    }
    for (i = 0; i < 1500; i++) {
        char *p = xenforeignmemory_map(fmem, id, RW, GFNS, gfn, err);
        unsigned n = GPOINTER_TO_UINT(opaque);

        g_assert_nonnull(p);
        for (k = n % 7; k < GFNS; k += 7) {
            /* Its frame's number, or a fresh frame's zero. */
            uint64_t got = err[k] ? FIRST + k : *(uint64_t *)(p + k * PAGE);

            g_assert(got == FIRST + k || got == 0);
        }
        g_assert_cmpint(munmap(p, GFNS * PAGE), ==, 0);
    }
    return NULL;
}

static void test_threads(void)
{
    GThread *t[3];
    unsigned i, k;

    dom = new_domain(4, 0);
    id = xensim_domid(dom);
    xensim_set_max_pages(dom, 1 << 20);
    for (k = 0; k < GFNS; k++) {
        uint64_t n = FIRST + k;

        g_assert_cmpint(xensim_write(dom, n * PAGE, &n, 8), ==, 0);
    }
    for (i = 0; i < 3; i++) {
        t[i] = g_thread_new("mapper", mapper, GUINT_TO_POINTER(i));
    }
    for (i = 0; i < 1500; i++) {
        uint64_t n = FIRST + i % GFNS;

        g_assert_cmpuint(xensim_depopulate(dom, n, 1), ==, 1);
        g_assert_cmpuint(xensim_populate(dom, n, 1), ==, 1);
        g_assert_cmpint(xensim_write(dom, n * PAGE, &n, 8), ==, 0);
        if (i % 100 == 0) {
            g_assert_cmpuint(xensim_check(sim), ==, 0);
        }
    }
    for (i = 0; i < 3; i++) {
        g_thread_join(t[i]);
    }
    g_assert_cmpuint(mem_info(dom).mapped_pages, ==, 0);
    g_assert_cmpuint(mem_info(dom).held_pages, ==, 0);
    end_domain(dom);
}

int main(int argc, char **argv)
{
    test_init(&argc, &argv);
    fmem = xenforeignmemory_open(NULL, 0);
    xgt = xengnttab_open(NULL, 0);
    g_assert(fmem && xgt);
    g_test_add_func("/xensim/random/contiguous", test_contiguous);
    g_test_add_func("/xensim/random/scattered", test_scattered);
    g_test_add_func("/xensim/random/threads", test_threads);
    return test_run();
}
