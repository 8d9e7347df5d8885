/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Foreign mappings: what they show, what fails how, and what they hold.
 * Expected values are the real Xen's answers wherever there is one.
 */
#include "common.h"

#include <signal.h>
#include <stdlib.h>
#include <xenforeignmemory.h>

#define RW (PROT_READ | PROT_WRITE)
#define BUCKET 256

static xenforeignmemory_handle *fmem;

typedef struct Fixture {
    XensimDomain *dom;
    uint32_t id;
    xen_pfn_t gfn[BUCKET];
    int err[BUCKET];
} Fixture;

static void setup(Fixture *f, gconstpointer flags)
{
    size_t i;

    f->dom = new_domain(32, GPOINTER_TO_UINT(flags));
    f->id = xensim_domid(f->dom);
    for (i = 0; i < BUCKET; i++) {
        f->gfn[i] = 0x400 + i;
    }
    memset(f->err, 0x55, sizeof(f->err));
    g_assert_cmpint(xensim_stamp(f->dom, 0x200, 0xa00, 1), ==, 0);
    errno = 0;
}

static void teardown(Fixture *f, gconstpointer flags)
{
    (void)flags;
    /* No test leaves a mapping behind. */
    g_assert_cmpuint(mem_info(f->dom).mappings, ==, 0);
    g_assert_cmpuint(mem_info(f->dom).mapped_pages, ==, 0);
    g_assert_cmpuint(mem_info(f->dom).held_pages, ==, 0);
    end_domain(f->dom);
}

static char *arena(size_t pages)
{
    char *p = mmap(NULL, pages * PAGE, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    g_assert(p != MAP_FAILED);
    return p;
}

static bool stamped(const char *p, uint64_t gfn, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if (!xensim_stamp_page_ok(p + i * PAGE, gfn + i, 1)) {
            return false;
        }
    }
    return true;
}

/* Both ways: what the guest wrote is seen, what is written arrives. */
static void test_bytes(Fixture *f, gconstpointer flags)
{
    char *p = xenforeignmemory_map(fmem, f->id, RW, BUCKET, f->gfn, f->err);
    size_t i;
    uint8_t byte;

    (void)flags;
    g_assert_nonnull(p);
    g_assert_cmpint(errno, ==, 0);
    for (i = 0; i < BUCKET; i++) {
        g_assert_cmpint(f->err[i], ==, 0);
    }
    g_assert(stamped(p, 0x400, BUCKET));
    g_assert_cmpint(poke(p + 77 * PAGE + 5, 0xc3), ==, 0);
    xensim_read(f->dom, 0x44d * PAGE + 5, &byte, 1);
    g_assert_cmphex(byte, ==, 0xc3);
    byte = 0x3c;
    xensim_write(f->dom, 0x44e * PAGE, &byte, 1);
    g_assert_cmphex(touch(p + 78 * PAGE), ==, 0x3c);
    g_assert_cmpuint(mem_info(f->dom).mappings, ==, 1);
    g_assert_cmpuint(mem_info(f->dom).mapped_pages, ==, BUCKET);
    g_assert_cmpuint(xensim_gfn_mappings(f->dom, 0x4ff), ==, 1);
    g_assert_cmpuint(xensim_gfn_mappings(f->dom, 0x500), ==, 0);
    g_assert_cmpint(xenforeignmemory_unmap(fmem, p, BUCKET), ==, 0);
    g_assert_cmpint(touch(p), ==, -SIGSEGV);
}

/* Any order, the same frame twice. */
static void test_any_order(Fixture *f, gconstpointer flags)
{
    xen_pfn_t gfn[5] = { 0x700, 0x300, 0x300, 0x301, 0x6ff };
    char *p = xenforeignmemory_map(fmem, f->id, RW, 5, gfn, f->err);
    size_t i;

    (void)flags;
    g_assert_nonnull(p);
    for (i = 0; i < 5; i++) {
        g_assert(stamped(p + i * PAGE, gfn[i], 1));
    }
    g_assert_cmpint(poke(p + PAGE, 0x77), ==, 0);
    g_assert_cmphex(touch(p + 2 * PAGE), ==, 0x77);
    g_assert_cmpuint(xensim_gfn_mappings(f->dom, 0x300), ==, 2);
    g_assert_cmpint(munmap(p, 5 * PAGE), ==, 0);
    g_assert_cmpuint(xensim_gfn_mappings(f->dom, 0x300), ==, 0);
}

static void test_readonly(Fixture *f, gconstpointer flags)
{
    char *p = xenforeignmemory_map(fmem, f->id, PROT_READ, BUCKET, f->gfn,
                                   f->err);

    (void)flags;
    g_assert(stamped(p, 0x400, BUCKET));
    g_assert_cmpint(poke(p, 1), ==, -SIGSEGV);
    g_assert_cmpint(munmap(p, BUCKET * PAGE), ==, 0);
}

static void test_holes(Fixture *f, gconstpointer flags)
{
    char *p;
    size_t i;

    (void)flags;
    f->gfn[7] = 0x12345678;
    f->gfn[9] = 0xe0000;
    p = xenforeignmemory_map2(fmem, f->id, NULL, RW, 0, BUCKET, f->gfn,
                              f->err);
    g_assert_nonnull(p);
    g_assert_cmpint(errno, ==, 0);
    for (i = 0; i < BUCKET; i++) {
        bool hole = i == 7 || i == 9;

        g_assert_cmpint(f->err[i], ==, hole ? -EINVAL : 0);
        g_assert_cmpint(touch(p + i * PAGE), ==, hole ? -SIGBUS :
                        touch(p + i * PAGE));
        g_assert(hole || stamped(p + i * PAGE, f->gfn[i], 1));
    }
    g_assert_cmpint(poke(p + 7 * PAGE, 1), ==, -SIGBUS);
    g_assert_cmpuint(mem_info(f->dom).mapped_pages, ==, BUCKET - 2);
    g_assert_cmpint(munmap(p, BUCKET * PAGE), ==, 0);
}

static void test_holes_no_err(Fixture *f, gconstpointer flags)
{
    char *p;

    (void)flags;
    f->gfn[7] = 0x12345678;
    p = xenforeignmemory_map2(fmem, f->id, NULL, RW, 0, BUCKET, f->gfn, NULL);
    g_assert_null(p);
    g_assert_cmpint(errno, ==, EINVAL);
}

static void test_all_absent(Fixture *f, gconstpointer flags)
{
    xen_pfn_t gfn[4] = { 0x12345678, 0x12345679, 0x80000000, UINT64_MAX };
    char *p = xenforeignmemory_map2(fmem, f->id, NULL, RW, 0, 4, gfn, f->err);
    size_t i;

    (void)flags;
    g_assert_nonnull(p);
    g_assert_cmpint(errno, ==, 0);
    for (i = 0; i < 4; i++) {
        g_assert_cmpint(f->err[i], ==, -EINVAL);
        g_assert_cmpint(touch(p + i * PAGE), ==, -SIGBUS);
    }
    g_assert_cmpint(xenforeignmemory_unmap(fmem, p, 4), ==, 0);
}

static void test_no_domain(Fixture *f, gconstpointer flags)
{
    char *p = xenforeignmemory_map2(fmem, f->id + 500, NULL, RW, 0, 2, f->gfn,
                                    f->err);

    (void)flags;
    g_assert_nonnull(p);
    g_assert_cmpint(errno, ==, 0);
    g_assert_cmpint(f->err[0], ==, -ESRCH);
    g_assert_cmpint(f->err[1], ==, -ESRCH);
    g_assert_cmpint(touch(p), ==, -SIGBUS);
    g_assert_cmpint(munmap(p, 2 * PAGE), ==, 0);
    g_assert_null(xenforeignmemory_map2(fmem, f->id + 500, NULL, RW, 0, 2,
                                        f->gfn, NULL));
    g_assert_cmpint(errno, ==, ESRCH);
}

/* After balloon-out and -in an old mapping shows the old frames. */
static void test_stale(Fixture *f, gconstpointer flags)
{
    char *old = xenforeignmemory_map(fmem, f->id, RW, BUCKET, f->gfn, f->err);
    uint64_t tot = mem_info(f->dom).tot_pages;
    uint64_t mfn = xensim_gfn_to_mfn(f->dom, 0x480);
    char *new;
    uint8_t byte;

    (void)flags;
    g_assert_cmpuint(xensim_depopulate(f->dom, 0x480, 16), ==, 16);
    /* Out of the p2m, but still counted: they are mapped. */
    g_assert_cmpuint(mem_info(f->dom).tot_pages, ==, tot);
    g_assert_cmpuint(mem_info(f->dom).held_pages, ==, 16);
    g_assert(stamped(old, 0x400, BUCKET));
    g_assert_cmpuint(xensim_populate(f->dom, 0x480, 16), ==, 16);
    g_assert_cmpuint(mem_info(f->dom).tot_pages, ==, tot + 16);
    g_assert_cmphex(xensim_gfn_to_mfn(f->dom, 0x480), !=, mfn);
    g_assert(stamped(old, 0x400, BUCKET));
    new = xenforeignmemory_map(fmem, f->id, RW, BUCKET, f->gfn, f->err);
    g_assert_cmpint(touch(new + 0x80 * PAGE), ==, 0);
    g_assert(stamped(new, 0x400, 0x80));
    /* A write through the old one does not reach the guest. */
    g_assert_cmpint(poke(old + 0x80 * PAGE, 0xee), ==, 0);
    xensim_read(f->dom, 0x480 * PAGE, &byte, 1);
    g_assert_cmphex(byte, ==, 0);
    xensim_mfn_read(sim, mfn, 0, &byte, 1);
    g_assert_cmphex(byte, ==, 0xee);
    g_assert_cmpuint(xensim_check(sim), ==, 0);
    g_assert_cmpint(munmap(old, BUCKET * PAGE), ==, 0);
    g_assert_cmpuint(mem_info(f->dom).tot_pages, ==, tot);
    g_assert_cmpint(munmap(new, BUCKET * PAGE), ==, 0);
}

/* Frames that are held leave no room for new ones. */
static void test_limit(Fixture *f, gconstpointer flags)
{
    char *p = xenforeignmemory_map(fmem, f->id, RW, BUCKET, f->gfn, f->err);

    (void)flags;
    xensim_set_max_pages(f->dom, mem_info(f->dom).tot_pages);
    g_assert_cmpuint(xensim_depopulate(f->dom, 0x400, 256), ==, 256);
    g_assert_cmpuint(xensim_populate(f->dom, 0x400, 256), ==, 0);
    g_assert_cmpint(munmap(p, BUCKET * PAGE), ==, 0);
    g_assert_cmpuint(xensim_populate(f->dom, 0x400, 256), ==, 256);
}

/* Areas of this process that lie in [start, end). */
static unsigned areas(const char *start, const char *end)
{
    char *maps, **lines;
    unsigned n = 0, i;

    g_assert(g_file_get_contents("/proc/self/maps", &maps, NULL, NULL));
    lines = g_strsplit(maps, "\n", -1);
    for (i = 0; lines[i]; i++) {
        uintptr_t at = strtoull(lines[i], NULL, 16);

        n += at >= (uintptr_t)start && at < (uintptr_t)end;
    }
    g_strfreev(lines);
    g_free(maps);
    return n;
}

/* An arena, slot by slot; each slot mapped over, emptied all at once. */
static void test_arena(Fixture *f, gconstpointer flags)
{
    char *a = arena(8 * BUCKET);
    size_t s, i;

    for (s = 0; s < 8; s++) {
        for (i = 0; i < BUCKET; i++) {
            f->gfn[i] = 0x400 + s * BUCKET + i;
        }
        g_assert(xenforeignmemory_map2(fmem, f->id, a + s * BUCKET * PAGE, RW,
                                       MAP_FIXED, BUCKET, f->gfn, f->err) ==
                 a + s * BUCKET * PAGE);
    }
    g_assert(stamped(a, 0x400, 8 * BUCKET));
    g_assert_cmpuint(mem_info(f->dom).mappings, ==, 8);
    /* Each slot stays an area of its own, though its frames are next. */
    if (!flags) {
        g_assert_cmpuint(areas(a, a + 8 * BUCKET * PAGE), ==, 8);
    }
    /* Over a live slot: slot 3 shows bucket 2 now, and 3's frames are free. */
    for (i = 0; i < BUCKET; i++) {
        f->gfn[i] = 0x200 + i;
    }
    g_assert(xenforeignmemory_map2(fmem, f->id, a + 3 * BUCKET * PAGE, RW,
                                   MAP_FIXED, BUCKET, f->gfn, f->err) ==
             a + 3 * BUCKET * PAGE);
    g_assert(stamped(a + 3 * BUCKET * PAGE, 0x200, BUCKET));
    g_assert(stamped(a + 2 * BUCKET * PAGE, 0x600, BUCKET));
    g_assert(stamped(a + 4 * BUCKET * PAGE, 0x800, BUCKET));
    g_assert_cmpuint(xensim_gfn_mappings(f->dom, 0x700), ==, 0);
    g_assert_cmpuint(mem_info(f->dom).mappings, ==, 8);
    g_assert_cmpuint(xensim_check(sim), ==, 0);
    g_assert(mmap(a, 8 * BUCKET * PAGE, PROT_NONE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
                  0) == a);
    g_assert_cmpint(touch(a), ==, -SIGSEGV);
    g_assert_cmpuint(mem_info(f->dom).mappings, ==, 0);
    g_assert_cmpint(munmap(a, 8 * BUCKET * PAGE), ==, 0);
}

static void test_fixed_failure(Fixture *f, gconstpointer flags)
{
    char *a = arena(3 * BUCKET);
    char *slot = a + BUCKET * PAGE;
    XensimFault fault = {
        .call = "xenforeignmemory_map2", .error = ENOMEM, .count = 1,
    };
    int id;

    (void)flags;
    g_assert(xenforeignmemory_map2(fmem, f->id, slot, RW, MAP_FIXED, BUCKET,
                                   f->gfn, f->err) == slot);
    id = xensim_fault_arm(sim, &fault);
    g_assert_cmpint(id, >=, 0);
    g_assert_null(xenforeignmemory_map2(fmem, f->id, slot, RW, MAP_FIXED,
                                        BUCKET, f->gfn, f->err));
    g_assert_cmpint(errno, ==, ENOMEM);
    /* The target is a gap now: anyone may map there. */
    g_assert(mmap(slot, BUCKET * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS |
                  MAP_FIXED_NOREPLACE, -1, 0) == slot);
    g_assert_cmpuint(mem_info(f->dom).mappings, ==, 0);
    xensim_fault_disarm(sim, id);
    /* So it is if an absent frame makes the library give up. */
    f->gfn[3] = 0xe0000;
    g_assert_null(xenforeignmemory_map2(fmem, f->id, slot, RW, MAP_FIXED,
                                        BUCKET, f->gfn, NULL));
    g_assert(mmap(slot, BUCKET * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS |
                  MAP_FIXED_NOREPLACE, -1, 0) == slot);
    g_assert_cmpint(munmap(a, 3 * BUCKET * PAGE), ==, 0);
}

/* Over a part of a mapping: ENOMEM, and it is unharmed. */
static void test_partial(Fixture *f, gconstpointer flags)
{
    char *p = xenforeignmemory_map(fmem, f->id, RW, BUCKET, f->gfn, f->err);
    xen_pfn_t one = 0x40a;
    char *mid = p + 10 * PAGE;
    XensimFault fault = {
        .call = "xenforeignmemory_map2", .error = EIO, .count = 1,
    };

    (void)flags;
    g_assert(mmap(mid, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS |
                  MAP_FIXED, -1, 0) == MAP_FAILED);
    g_assert_cmpint(errno, ==, ENOMEM);
    g_assert_cmpint(munmap(mid, PAGE), ==, -1);
    g_assert_cmpint(errno, ==, EINVAL);
    g_assert_cmpint(munmap(p, PAGE), ==, -1);
    g_assert_cmpint(munmap(p + 255 * PAGE, 2 * PAGE), ==, -1);
    g_assert_null(xenforeignmemory_map2(fmem, f->id, mid, RW, MAP_FIXED, 1,
                                        &one, f->err));
    g_assert_cmpint(errno, ==, ENOMEM);
    /* Even if the call were to fail: the library's mmap() comes first. */
    g_assert_cmpint(xensim_fault_arm(sim, &fault), >=, 0);
    g_assert_null(xenforeignmemory_map2(fmem, f->id, mid, RW, MAP_FIXED, 1,
                                        &one, f->err));
    g_assert_cmpint(errno, ==, ENOMEM);
    xensim_fault_disarm_all(sim);
    g_assert(stamped(p, 0x400, BUCKET));
    g_assert_cmpuint(mem_info(f->dom).mapped_pages, ==, BUCKET);
    g_assert_cmpint(munmap(p, BUCKET * PAGE), ==, 0);
}

/* Two neighbours at once, with what lies around them. */
static void test_several(Fixture *f, gconstpointer flags)
{
    char *a = arena(4 * BUCKET);
    size_t s;

    (void)flags;
    for (s = 1; s < 3; s++) {
        g_assert_nonnull(xenforeignmemory_map2(fmem, f->id,
                                               a + s * BUCKET * PAGE, RW,
                                               MAP_FIXED, BUCKET, f->gfn,
                                               f->err));
    }
    /* One and a half: refused whole. */
    g_assert_cmpint(munmap(a, (2 * BUCKET + 128) * PAGE), ==, -1);
    g_assert_cmpint(errno, ==, EINVAL);
    g_assert(stamped(a + BUCKET * PAGE, 0x400, BUCKET));
    g_assert_cmpint(munmap(a, 4 * BUCKET * PAGE), ==, 0);
}

static void test_mremap(Fixture *f, gconstpointer flags)
{
    char *p = xenforeignmemory_map(fmem, f->id, RW, BUCKET, f->gfn, f->err);
    char *q = arena(2);

    (void)flags;
    g_assert(mremap(p, BUCKET * PAGE, 2 * BUCKET * PAGE, MREMAP_MAYMOVE) ==
             MAP_FAILED);
    g_assert(mremap(q, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p) ==
             MAP_FAILED);
    g_assert(stamped(p, 0x400, BUCKET));
    /* What is not Xen's moves as ever. */
    q = mremap(q, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE);
    g_assert(q != MAP_FAILED);
    g_assert_cmpint(munmap(q, 4 * PAGE), ==, 0);
    g_assert_cmpint(munmap(p, BUCKET * PAGE), ==, 0);
}

/* The domain goes while it is mapped: its frames stay until unmapped. */
static void test_domain_goes(Fixture *f, gconstpointer flags)
{
    XensimDomain *dom = new_domain(16, 0);
    uint32_t id = xensim_domid(dom);
    char *p;

    (void)flags;
    g_assert_cmpint(xensim_stamp(dom, 0x400, BUCKET, 1), ==, 0);
    p = xenforeignmemory_map(fmem, id, RW, BUCKET, f->gfn, f->err);
    g_assert_nonnull(p);
    xensim_domain_destroy(dom);
    g_assert_cmpuint(xensim_check(sim), ==, 0);
    g_assert(stamped(p, 0x400, BUCKET));
    g_assert_nonnull(xenforeignmemory_map(fmem, id, RW, 1, f->gfn, f->err));
    g_assert_cmpint(f->err[0], ==, -ESRCH);
    g_assert_cmpint(munmap(p, BUCKET * PAGE), ==, 0);
    g_assert_cmpuint(xensim_check(sim), ==, 0);
}

typedef struct Seen {
    uint64_t pages, first_gfn;
    unsigned runs;
    pid_t pid;
} Seen;

static void see(void *opaque, const XensimMapRun *run)
{
    Seen *seen = opaque;

    seen->first_gfn = seen->runs ? seen->first_gfn : run->gfn;
    seen->pages += run->pages;
    seen->pid = run->pid;
    seen->runs++;
}

static void map_and_die(void *opaque)
{
    Fixture *f = opaque;
    xenforeignmemory_handle *h = xenforeignmemory_open(NULL, 0);

    if (!xenforeignmemory_map(h, f->id, RW, BUCKET, f->gfn, f->err)) {
        _exit(1);
    }
    pause();
}

/* A device model that is killed lets go of all it had. */
static void test_killed(Fixture *f, gconstpointer flags)
{
    pid_t pid = start_child(map_and_die, f);
    Seen seen = { 0, 0, 0, 0 };
    int i;

    (void)flags;
    for (i = 0; i < 2000 && !seen.runs; i++) {
        g_usleep(5000);
        xensim_mappings_foreach(f->dom, see, &seen);
    }
    g_assert_cmpuint(seen.pages, ==, BUCKET);
    g_assert_cmphex(seen.first_gfn, ==, 0x400);
    g_assert_cmpint(seen.pid, ==, pid);
    g_assert_cmpuint(xensim_depopulate(f->dom, 0x400, 10), ==, 10);
    g_assert_cmpuint(mem_info(f->dom).held_pages, ==, 10);
    g_assert_cmpuint(xensim_check(sim), ==, 0);
    xensim_kill(sim, pid);
    g_assert_cmpuint(mem_info(f->dom).mappings, ==, 0);
    g_assert_cmpuint(mem_info(f->dom).held_pages, ==, 0);
}

/* A bucket of neighbouring frames is one mmap(), whatever else is counted. */
static void test_counts(Fixture *f, gconstpointer flags)
{
    bool scattered = GPOINTER_TO_UINT(flags) & XENSIM_DOM_SCATTERED;
    XensimCount n;
    char *p;

    xensim_count_reset(sim);
    p = xenforeignmemory_map(fmem, f->id, RW, BUCKET, f->gfn, f->err);
    munmap(p, BUCKET * PAGE);
    f->gfn[100] = 0xe0000;
    g_assert_null(xenforeignmemory_map(fmem, f->id, RW, BUCKET, f->gfn,
                                       NULL));
    n = xensim_count(sim, "xenforeignmemory_map");
    g_assert_cmpuint(n.calls, ==, 2);
    g_assert_cmpuint(n.failures, ==, 1);
    g_assert_cmpuint(n.pages, ==, 2 * BUCKET);
    g_assert_cmpuint(n.mmaps, ==, scattered ? 1 + BUCKET : 1);
    g_assert_cmpuint(xensim_count_maps(sim).calls, ==, 2);
    g_assert_cmpuint(xensim_count(sim, "xenforeignmemory_map2").calls, ==, 0);
}

static void test_bad_calls(Fixture *f, gconstpointer flags)
{
    (void)flags;
    g_assert_null(xenforeignmemory_map(fmem, f->id, RW, 0, f->gfn, f->err));
    g_assert_cmpint(errno, ==, EINVAL);
    g_assert_null(xenforeignmemory_map2(fmem, f->id, (void *)123, RW,
                                        MAP_FIXED, 1, f->gfn, f->err));
    g_assert_cmpint(errno, ==, EINVAL);
    g_assert_cmpuint(mem_info(f->dom).mapped_pages, ==, 0);
}

static void add(const char *name, void (*fn)(Fixture *, gconstpointer))
{
    char *a = g_strdup_printf("/xensim/foreignmemory/%s", name);
    char *b = g_strdup_printf("/xensim/foreignmemory/scattered/%s", name);

    g_test_add(a, Fixture, NULL, setup, fn, teardown);
    g_test_add(b, Fixture, GUINT_TO_POINTER(XENSIM_DOM_SCATTERED), setup, fn,
               teardown);
    g_free(a);
    g_free(b);
}

int main(int argc, char **argv)
{
    int rc;

    test_init(&argc, &argv);
    fmem = xenforeignmemory_open(NULL, 0);
    g_assert_nonnull(fmem);
    add("bytes", test_bytes);
    add("any-order", test_any_order);
    add("readonly", test_readonly);
    add("holes", test_holes);
    add("holes-no-err", test_holes_no_err);
    add("all-absent", test_all_absent);
    add("no-domain", test_no_domain);
    add("stale", test_stale);
    add("limit", test_limit);
    add("arena", test_arena);
    add("fixed-failure", test_fixed_failure);
    add("partial", test_partial);
    add("several", test_several);
    add("mremap", test_mremap);
    add("domain-goes", test_domain_goes);
    add("killed", test_killed);
    add("counts", test_counts);
    add("bad-calls", test_bad_calls);
    rc = test_run();
    xenforeignmemory_close(fmem);
    return rc;
}
