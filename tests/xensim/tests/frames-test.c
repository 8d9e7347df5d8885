/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machine memory: a domain's layout, populating and giving back, limits,
 * contents of fresh frames, moving.
 */
#include "common.h"
#include "host-priv.h"

#include <xenforeignmemory.h>

static const uint64_t four_gib = (1ull << 32) / PAGE;

static void test_layout(void)
{
    XensimDomain *dom = new_domain(128, 0);
    unsigned absent = 0;
    uint64_t gfn;

    for (gfn = 0; gfn < 0x100; gfn++) {
        bool there = xensim_gfn_to_mfn(dom, gfn) != XENSIM_NO_MFN;

        g_assert(there == (gfn < 0xa0 || gfn >= 0xc0));
        absent += !there;
    }
    /* The real Xen's answer for the first MiB of an HVM guest. */
    g_assert_cmpuint(absent, ==, 32);
    g_assert(xensim_gfn_to_mfn(dom, 0x7fff) != XENSIM_NO_MFN);
    g_assert(xensim_gfn_to_mfn(dom, 0x8000) == XENSIM_NO_MFN);
    /* HVM_PARAM_STORE_PFN, IOREQ_PFN, CONSOLE_PFN. */
    g_assert_cmphex(xensim_hvm_param_get(dom, 1), ==, 0xfeffc);
    g_assert_cmphex(xensim_hvm_param_get(dom, 5), ==, 0xfeffd);
    g_assert_cmphex(xensim_hvm_param_get(dom, 17), ==, 0xfefff);
    g_assert(xensim_gfn_to_mfn(dom, 0xfeffc) != XENSIM_NO_MFN);
    g_assert(xensim_gfn_to_mfn(dom, 0xff000) == XENSIM_NO_MFN);
    g_assert_cmpuint(mem_info(dom).p2m_pages, ==, 0x8000 - 32 + 8);
    end_domain(dom);
}

static void test_hole(void)
{
    XensimDomain *dom = new_domain(4096, 0);

    g_assert(xensim_gfn_to_mfn(dom, 0xeffff) != XENSIM_NO_MFN);
    g_assert(xensim_gfn_to_mfn(dom, 0xf0000) == XENSIM_NO_MFN);
    g_assert(xensim_gfn_to_mfn(dom, four_gib) != XENSIM_NO_MFN);
    g_assert(xensim_gfn_to_mfn(dom, four_gib + 0xffff) != XENSIM_NO_MFN);
    g_assert(xensim_gfn_to_mfn(dom, four_gib + 0x10000) == XENSIM_NO_MFN);
    end_domain(dom);
}

static void test_contiguous(void)
{
    XensimDomain *dom = new_domain(64, 0);
    uint64_t bucket, i;

    for (bucket = 1; bucket < 64; bucket++) {
        uint64_t first = xensim_gfn_to_mfn(dom, bucket * 256);

        for (i = 1; i < 256; i++) {
            g_assert_cmphex(xensim_gfn_to_mfn(dom, bucket * 256 + i), ==,
                            first + i);
        }
    }
    end_domain(dom);
}

static void test_scattered(void)
{
    XensimDomain *dom = new_domain(64, XENSIM_DOM_SCATTERED);
    GHashTable *seen = g_hash_table_new_full(g_int64_hash, g_int64_equal,
                                             g_free, NULL);
    uint64_t gfn;

    for (gfn = 0x100; gfn < 0x4000; gfn++) {
        gint64 mfn = xensim_gfn_to_mfn(dom, gfn);

        g_assert(mfn != (gint64)XENSIM_NO_MFN);
        g_assert(xensim_gfn_to_mfn(dom, gfn - 1) + 1 != (uint64_t)mfn);
        g_assert(g_hash_table_add(seen, g_memdup2(&mfn, sizeof(mfn))));
    }
    g_hash_table_destroy(seen);
    end_domain(dom);
}

static void test_balloon(void)
{
    XensimDomain *dom = new_domain(16, 0);
    uint64_t before = mem_info(dom).tot_pages;
    uint64_t old[256], i;
    char byte;

    for (i = 0; i < 256; i++) {
        old[i] = xensim_gfn_to_mfn(dom, 0x400 + i);
    }
    g_assert_cmpint(xensim_fill(dom, 0x400 * PAGE, 0x5a, 256 * PAGE), ==, 0);
    g_assert_cmpuint(xensim_depopulate(dom, 0x400, 256), ==, 256);
    g_assert_cmpuint(xensim_depopulate(dom, 0x400, 256), ==, 0);
    g_assert_cmpuint(mem_info(dom).tot_pages, ==, before - 256);
    g_assert_cmpint(xensim_read(dom, 0x400 * PAGE, &byte, 1), ==, -EFAULT);
    g_assert_cmpint(xensim_write(dom, 0x400 * PAGE, &byte, 1), ==, -EFAULT);
    g_assert_cmpuint(xensim_populate(dom, 0x400, 256), ==, 256);
    g_assert_cmpuint(mem_info(dom).tot_pages, ==, before);
    for (i = 0; i < 256; i++) {
        /* New frames, and zeros in them. */
        g_assert_cmphex(xensim_gfn_to_mfn(dom, 0x400 + i), !=, old[i]);
        g_assert_cmpint(xensim_read(dom, (0x400 + i) * PAGE + i, &byte, 1),
                        ==, 0);
        g_assert_cmpint(byte, ==, 0);
    }
    end_domain(dom);
}

/* Reused frames are zeroed too: cycle until the machine must reuse some. */
static void test_reuse(void)
{
    XensimDomain *dom = new_domain(16, 0);
    uint64_t page[PAGE / 8], i, k;
    uint32_t chunks = sim->v.h->chunk_end;

    for (i = 0; i < 400; i++) {
        g_assert_cmpint(xensim_fill(dom, 0x400 * PAGE, 0xa5, 512 * PAGE), ==,
                        0);
        g_assert_cmpuint(xensim_depopulate(dom, 0x400, 512), ==, 512);
        g_assert_cmpuint(xensim_populate(dom, 0x400, 512), ==, 512);
        g_assert_cmpint(xensim_read(dom, (0x400 + i) * PAGE, page, PAGE), ==,
                        0);
        for (k = 0; k < PAGE / 8; k++) {
            g_assert_cmphex(page[k], ==, 0);
        }
    }
    /* 400 rounds of 512 frames did not take 400 chunks of 512 new ones. */
    g_assert_cmpuint(sim->v.h->chunk_end - chunks, <, 100);
    end_domain(dom);
}

static void test_limit(void)
{
    XensimDomain *dom = new_domain(16, 0);
    uint64_t tot = mem_info(dom).tot_pages;

    xensim_set_max_pages(dom, tot + 10);
    g_assert_cmpuint(xensim_populate(dom, 0x10000, 1024), ==, 10);
    g_assert(xensim_gfn_to_mfn(dom, 0x10009) != XENSIM_NO_MFN);
    g_assert(xensim_gfn_to_mfn(dom, 0x1000a) == XENSIM_NO_MFN);
    g_assert_cmpuint(mem_info(dom).tot_pages, ==, tot + 10);
    end_domain(dom);
}

/* What a populate overwrites is out of sight, but stays the domain's. */
static void test_overwrite(void)
{
    XensimDomain *dom = new_domain(16, 0);
    uint64_t tot = mem_info(dom).tot_pages;
    uint64_t old = xensim_gfn_to_mfn(dom, 0x300);

    g_assert_cmpuint(xensim_populate(dom, 0x300, 1), ==, 1);
    g_assert_cmphex(xensim_gfn_to_mfn(dom, 0x300), !=, old);
    g_assert_cmpuint(mem_info(dom).tot_pages, ==, tot + 1);
    g_assert_cmpuint(mem_info(dom).lost_pages, ==, 1);
    end_domain(dom);
}

static void test_move(void)
{
    XensimDomain *dom = new_domain(16, 0);
    uint64_t tot = mem_info(dom).tot_pages;
    uint64_t mfn = xensim_gfn_to_mfn(dom, 0x200);

    g_assert_cmpint(xensim_stamp(dom, 0x200, 16, 1), ==, 0);
    /* Into a hole: nothing is freed, a hole stays behind. */
    g_assert_cmpint(xensim_move(dom, 0x200, 0xf0000, 16), ==, 0);
    g_assert_cmphex(xensim_gfn_to_mfn(dom, 0xf0000), ==, mfn);
    g_assert(xensim_gfn_to_mfn(dom, 0x200) == XENSIM_NO_MFN);
    g_assert_cmpuint(mem_info(dom).tot_pages, ==, tot);
    /* Onto frames: they are freed. */
    g_assert_cmpint(xensim_move(dom, 0xf0000, 0x300, 16), ==, 0);
    g_assert_cmphex(xensim_gfn_to_mfn(dom, 0x300), ==, mfn);
    g_assert_cmpuint(mem_info(dom).tot_pages, ==, tot - 16);
    /* The content went along: stamps name the gfn they were made for. */
    {
        char page[PAGE];

        g_assert_cmpint(xensim_read(dom, 0x305 * PAGE, page, PAGE), ==, 0);
        g_assert(xensim_stamp_page_ok(page, 0x205, 1));
        g_assert(!xensim_stamp_page_ok(page, 0x204, 1));
        g_assert(!xensim_stamp_page_ok(page, 0x205, 2));
    }
    /* Absent source: those before it have moved. */
    g_assert_cmpuint(xensim_depopulate(dom, 0x404, 1), ==, 1);
    mfn = xensim_gfn_to_mfn(dom, 0x403);
    g_assert_cmpint(xensim_move(dom, 0x400, 0xf1000, 8), ==, -EINVAL);
    g_assert_cmphex(xensim_gfn_to_mfn(dom, 0xf1003), ==, mfn);
    g_assert(xensim_gfn_to_mfn(dom, 0xf1005) == XENSIM_NO_MFN);
    g_assert(xensim_gfn_to_mfn(dom, 0x405) != XENSIM_NO_MFN);
    /* Onto itself. */
    g_assert_cmpint(xensim_move(dom, 0x500, 0x500, 1), ==, 0);
    g_assert(xensim_gfn_to_mfn(dom, 0x500) != XENSIM_NO_MFN);
    end_domain(dom);
}

static void test_stamps(void)
{
    XensimDomain *dom = new_domain(16, 0);
    uint8_t byte;

    g_assert_cmpint(xensim_stamp(dom, 0x600, 64, 42), ==, 0);
    g_assert(xensim_stamp_check(dom, 0x600, 64, 42) == XENSIM_NO_GFN);
    g_assert_cmpint(xensim_read(dom, 0x63f * PAGE + 4095, &byte, 1), ==, 0);
    byte ^= 1;
    g_assert_cmpint(xensim_write(dom, 0x63f * PAGE + 4095, &byte, 1), ==, 0);
    g_assert_cmphex(xensim_stamp_check(dom, 0x600, 64, 42), ==, 0x63f);
    g_assert_cmphex(xensim_stamp_check(dom, 0x600, 64, 43), ==, 0x600);
    end_domain(dom);
}

/* A gfn gets one of the frames that are kept when it is first needed. */
static void test_on_demand(void)
{
    XensimDomain *dom = new_domain(16, 0);
    uint64_t tot = mem_info(dom).tot_pages;
    char byte = 1;

    g_assert_cmpuint(xensim_depopulate(dom, 0x400, 64), ==, 64);
    g_assert_cmpuint(xensim_populate_on_demand(dom, 0x3ff, 64, 0), ==, 0);
    g_assert_cmpuint(xensim_populate_on_demand(dom, 0x400, 65, 16), ==, 64);
    g_assert_cmpuint(mem_info(dom).tot_pages, ==, tot - 64 + 16);
    g_assert_cmpuint(mem_info(dom).on_demand_gfns, ==, 64);
    g_assert(xensim_gfn_to_mfn(dom, 0x400) == XENSIM_NO_MFN);

    /* Accessed: of zeros. */
    g_assert_cmpint(xensim_read(dom, 0x400 * PAGE, &byte, 1), ==, 0);
    g_assert_cmpint(byte, ==, 0);
    g_assert(xensim_gfn_to_mfn(dom, 0x400) != XENSIM_NO_MFN);
    g_assert(xensim_gfn_to_mfn(dom, 0x401) == XENSIM_NO_MFN);
    g_assert_cmpuint(mem_info(dom).on_demand_gfns, ==, 63);
    g_assert_cmpuint(mem_info(dom).on_demand_pages, ==, 15);
    g_assert_cmpuint(mem_info(dom).tot_pages, ==, tot - 64 + 16);
    /* Relocated, and relocated to. */
    g_assert_cmpint(xensim_move(dom, 0x401, 0xf0000, 1), ==, 0);
    g_assert_cmpuint(mem_info(dom).on_demand_pages, ==, 14);
    g_assert_cmpint(xensim_move(dom, 0x500, 0x402, 1), ==, 0);
    g_assert_cmpuint(mem_info(dom).on_demand_pages, ==, 13);
    g_assert_cmpuint(mem_info(dom).tot_pages, ==, tot - 64 + 15);
    /* Given back, and populated otherwise: no frame is lost. */
    g_assert_cmpuint(xensim_depopulate(dom, 0x403, 2), ==, 2);
    g_assert_cmpuint(xensim_populate(dom, 0x405, 3), ==, 3);
    g_assert_cmpuint(mem_info(dom).on_demand_gfns, ==, 56);
    g_assert_cmpuint(mem_info(dom).on_demand_pages, ==, 13);
    g_assert_cmpuint(mem_info(dom).lost_pages, ==, 0);
    end_domain(dom);
}

/* Mapping populates, too; without frames left, the domain crashes. */
static void test_on_demand_mapped(void)
{
    XensimDomain *dom = new_domain(16, 0);
    xenforeignmemory_handle *fmem = xenforeignmemory_open(NULL, 0);
    xen_pfn_t gfn[8];
    int err[8];
    char *mapped;
    unsigned i;

    g_assert_nonnull(fmem);
    g_assert_cmpuint(xensim_depopulate(dom, 0x400, 8), ==, 8);
    g_assert_cmpuint(xensim_populate_on_demand(dom, 0x400, 8, 5), ==, 8);
    for (i = 0; i < 8; i++) {
        gfn[i] = 0x400 + i;
    }
    mapped = xenforeignmemory_map(fmem, xensim_domid(dom),
                                  PROT_READ | PROT_WRITE, 8, gfn, err);
    g_assert_nonnull(mapped);
    for (i = 0; i < 8; i++) {
        g_assert_cmpint(err[i], ==, i < 5 ? 0 : -EINVAL);
    }
    mapped[4 * PAGE] = 7;
    xensim_read(dom, 0x404 * PAGE, &gfn, 1);
    g_assert_cmpint(*(char *)gfn, ==, 7);
    g_assert_cmpint(xensim_shutdown_reason(dom), ==, 3);
    g_assert_cmpuint(mem_info(dom).on_demand_gfns, ==, 3);
    g_assert_cmpint(xensim_read(dom, 0x405 * PAGE, &err, 1), ==, -EFAULT);
    g_assert_cmpint(xensim_move(dom, 0x500, 0x405, 1), ==, 0);
    g_assert_cmpuint(mem_info(dom).on_demand_gfns, ==, 2);
    g_assert_cmpint(xenforeignmemory_unmap(fmem, mapped, 8), ==, 0);
    xenforeignmemory_close(fmem);
    end_domain(dom);
}

/* A passed-through BAR stays, and who populates there crashes the domain. */
static void test_populate_mmio(void)
{
    XensimDomain *dom = new_domain(16, 0);
    uint64_t tot = mem_info(dom).tot_pages;
    uint64_t mfn;

    g_assert_cmpuint(xensim_map_mmio(dom, 0xf0004, 1), ==, 1);
    mfn = xensim_gfn_to_mfn(dom, 0xf0004);
    g_assert_cmpint(xensim_shutdown_reason(dom), ==, -1);
    g_assert_cmpuint(xensim_populate(dom, 0xf0000, 8), ==, 4);
    g_assert_cmphex(xensim_gfn_to_mfn(dom, 0xf0004), ==, mfn);
    g_assert(xensim_gfn_to_mfn(dom, 0xf0005) == XENSIM_NO_MFN);
    g_assert_cmpint(xensim_shutdown_reason(dom), ==, 3);
    g_assert_cmpuint(mem_info(dom).lost_pages, ==, 1);
    /* The BAR, what was populated before it, and the frame that was lost. */
    g_assert_cmpuint(mem_info(dom).tot_pages, ==, tot + 1 + 4 + 1);
    g_assert_cmpint(xensim_move(dom, 0x500, 0xf0004, 1), ==, -EPERM);
    end_domain(dom);
}

/* The gfn behind the RAM of a domain of @tib TiB. */
static uint64_t ram_end(unsigned tib)
{
    return (((uint64_t)tib << 40) + (1ull << 32) - 0xf0000000ull) / PAGE;
}

static XensimDomain *huge_domain(unsigned tib, unsigned flags)
{
    XensimDomainConfig cfg = {
        .ram_bytes = (uint64_t)tib << 40, .flags = flags,
    };
    XensimDomain *dom = xensim_domain_create(sim, &cfg);

    g_assert_nonnull(dom);
    return dom;
}

/* The largest guest is made at once, and its last page works. */
static void test_huge(void)
{
    gint64 start = g_get_monotonic_time();
    XensimDomain *dom = huge_domain(4, 0);
    XensimDomainConfig larger = { .ram_bytes = (4ull << 40) + PAGE };
    uint64_t last = ram_end(4) - 1;

    g_test_message("4 TiB in %d ms",
                   (int)((g_get_monotonic_time() - start) / 1000));
    g_assert_cmpint(g_get_monotonic_time() - start, <, 10 * G_USEC_PER_SEC);
    g_assert_cmpint(xensim_stamp(dom, last, 1, 7), ==, 0);
    g_assert_cmphex(xensim_stamp_check(dom, last, 1, 7), ==, XENSIM_NO_GFN);
    g_assert(xensim_gfn_to_mfn(dom, last + 1) == XENSIM_NO_MFN);
    errno = 0;
    g_assert_null(xensim_domain_create(sim, &larger));
    g_assert_cmpint(errno, ==, EINVAL);
    end_domain(dom);
}

/*
 * Two guests of 4 TiB, the second a copy of the first.  Frames are mapped,
 * given back and taken again at each TiB, and the books must be right.
 */
static void test_huge_books(void)
{
    XensimDomain *dom = huge_domain(4, 0);
    XensimDomain *copy = huge_domain(4, XENSIM_DOM_EMPTY);
    xenforeignmemory_handle *fmem = xenforeignmemory_open(NULL, 0);
    void *mapped[4];
    unsigned i;

    g_assert_nonnull(fmem);
    g_assert_cmpuint(xensim_check(sim), ==, 0);
    for (i = 0; i < 4; i++) {
        xen_pfn_t gfn[256];
        int err[256];
        unsigned k;

        for (k = 0; k < 256; k++) {
            gfn[k] = ram_end(i + 1) - 256 + k;
        }
        g_assert_cmpint(xensim_stamp(dom, gfn[0], 256, i), ==, 0);
        mapped[i] = xenforeignmemory_map(fmem, xensim_domid(dom), PROT_READ,
                                         256, gfn, err);
        g_assert_nonnull(mapped[i]);
        for (k = 0; k < 256; k++) {
            g_assert_cmpint(err[k], ==, 0);
            g_assert(xensim_stamp_page_ok((char *)mapped[i] + k * PAGE,
                                          gfn[k], i));
        }
        g_assert_cmpuint(xensim_gfn_mappings(dom, gfn[255]), ==, 1);
        g_assert_cmpuint(xensim_depopulate(dom, gfn[100], 100), ==, 100);
        g_assert_cmpuint(xensim_populate(dom, gfn[100], 50), ==, 50);
    }
    g_assert_cmpuint(mem_info(dom).held_pages, ==, 400);
    g_assert_cmpuint(xensim_check(sim), ==, 0);
    g_assert_cmpint(xensim_domain_copy_memory(copy, dom), ==, 0);
    g_assert_cmpuint(xensim_check(sim), ==, 0);
    for (i = 0; i < 4; i++) {
        uint64_t first = ram_end(i + 1) - 256;

        g_assert_cmphex(xensim_stamp_check(copy, first, 100, i), ==,
                        XENSIM_NO_GFN);
        g_assert_cmphex(xensim_stamp_check(copy, first + 200, 56, i), ==,
                        XENSIM_NO_GFN);
        g_assert(xensim_gfn_to_mfn(copy, first + 199) == XENSIM_NO_MFN);
        g_assert_cmpint(xenforeignmemory_unmap(fmem, mapped[i], 256), ==, 0);
    }
    xenforeignmemory_close(fmem);
    g_assert_cmpuint(mem_info(dom).held_pages, ==, 0);
    end_domain(copy);
    end_domain(dom);
}

/* The checker finds damage; each kind is done, seen and undone. */
static void test_check_finds(void)
{
    XensimDomain *dom = new_domain(16, XENSIM_DOM_SCATTERED);
    XsimDom *d = xsim_host_dom(dom);
    uint64_t mfn = xensim_gfn_to_mfn(dom, 0x321);
    XsimFrame *f = xsim_frame_info(&sim->v, mfn);
    XsimChunk *c = xsim_chunk(&sim->v, mfn >> XSIM_CHUNK_SHIFT);

    g_assert_cmpuint(xensim_check(sim), ==, 0);
    d->p2m_pages++;
    g_assert_cmpuint(xensim_check(sim), ==, 1);
    d->p2m_pages--;
    d->mapped_pages++;
    g_assert_cmpuint(xensim_check(sim), ==, 1);
    d->mapped_pages--;
    d->grant[9].maps++;
    g_assert_cmpuint(xensim_check(sim), ==, 1);
    d->grant[9].maps--;
    f->refs++;
    g_assert_cmpuint(xensim_check(sim), ==, 2);
    f->refs--;
    f->m2p++;
    g_assert_cmpuint(xensim_check(sim), ==, 1);
    f->m2p--;
    c->used--;
    g_assert_cmpuint(xensim_check(sim), ==, 1);
    c->used++;
    c->owner++;
    g_assert_cmpuint(xensim_check(sim), >, 1);
    c->owner--;
    end_domain(dom);
}

int main(int argc, char **argv)
{
    test_init(&argc, &argv);
    g_test_add_func("/xensim/frames/layout", test_layout);
    g_test_add_func("/xensim/frames/hole", test_hole);
    g_test_add_func("/xensim/frames/contiguous", test_contiguous);
    g_test_add_func("/xensim/frames/scattered", test_scattered);
    g_test_add_func("/xensim/frames/balloon", test_balloon);
    g_test_add_func("/xensim/frames/reuse", test_reuse);
    g_test_add_func("/xensim/frames/limit", test_limit);
    g_test_add_func("/xensim/frames/overwrite", test_overwrite);
    g_test_add_func("/xensim/frames/move", test_move);
    g_test_add_func("/xensim/frames/on-demand", test_on_demand);
    g_test_add_func("/xensim/frames/on-demand-mapped", test_on_demand_mapped);
    g_test_add_func("/xensim/frames/populate-mmio", test_populate_mmio);
    g_test_add_func("/xensim/frames/stamps", test_stamps);
    g_test_add_func("/xensim/frames/check-finds", test_check_finds);
    /* Last: each check looks at all chunks that were ever in use. */
    g_test_add_func("/xensim/frames/huge", test_huge);
    g_test_add_func("/xensim/frames/huge-books", test_huge_books);
    return test_run();
}
