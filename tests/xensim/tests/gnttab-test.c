/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Grants: mapping, refusing, revoking, copying.
 */
#include "common.h"

#include <signal.h>
#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xengnttab.h>

#define RW (PROT_READ | PROT_WRITE)

static xengnttab_handle *xgt;
static XensimDomain *dom;
static uint32_t id;

static void setup(void)
{
    dom = new_domain(16, 0);
    id = xensim_domid(dom);
    g_assert_cmpint(xensim_stamp(dom, 0x200, 32, 3), ==, 0);
}

static void teardown(void)
{
    g_assert_cmpuint(mem_info(dom).mappings, ==, 0);
    g_assert_cmpuint(mem_info(dom).held_pages, ==, 0);
    end_domain(dom);
}

static void test_map(void)
{
    int ref;
    uint8_t byte;
    char *p;

    setup();
    ref = xensim_grant(dom, 0, 0x203, false);
    g_assert_cmpint(ref, >=, 8);
    p = xengnttab_map_grant_ref(xgt, id, ref, RW);
    g_assert_nonnull(p);
    g_assert(xensim_stamp_page_ok(p, 0x203, 3));
    g_assert_cmpint(xensim_grant_mappings(dom, ref), ==, 1);
    p[9] = 0x11;
    xensim_read(dom, 0x203 * PAGE + 9, &byte, 1);
    g_assert_cmphex(byte, ==, 0x11);
    g_assert_cmpint(xengnttab_unmap(xgt, p, 2), ==, -1);
    g_assert_cmpint(xengnttab_unmap(xgt, p + PAGE, 1), ==, -1);
    g_assert_cmpint(xengnttab_unmap(xgt, p, 1), ==, 0);
    g_assert_cmpint(touch(p), ==, -SIGSEGV);
    g_assert_cmpint(xensim_grant_mappings(dom, ref), ==, 0);
    teardown();
}

static void test_many(void)
{
    uint32_t refs[8], doms[8];
    char *p, *q;
    int i;

    setup();
    for (i = 0; i < 8; i++) {
        refs[i] = xensim_grant(dom, 0, 0x210 - i, false);
        doms[i] = id;
    }
    p = xengnttab_map_domain_grant_refs(xgt, 8, id, refs, RW);
    q = xengnttab_map_grant_refs(xgt, 8, doms, refs, PROT_READ);
    g_assert(p && q);
    for (i = 0; i < 8; i++) {
        g_assert(xensim_stamp_page_ok(p + i * PAGE, 0x210 - i, 3));
        g_assert(xensim_stamp_page_ok(q + i * PAGE, 0x210 - i, 3));
        g_assert_cmpint(xensim_grant_mappings(dom, refs[i]), ==, 2);
        g_assert_cmpuint(xensim_gfn_mappings(dom, 0x210 - i), ==, 2);
    }
    g_assert_cmpint(poke(q, 1), ==, -SIGSEGV);
    g_assert_cmpint(munmap(p + PAGE, PAGE), ==, -1);
    g_assert_cmpint(munmap(p, 8 * PAGE), ==, 0);
    g_assert_cmpint(xengnttab_unmap(xgt, q, 8), ==, 0);
    teardown();
}

/* One bad reference among good ones: nothing is mapped. */
static void test_bad(void)
{
    uint32_t refs[3];

    setup();
    refs[0] = xensim_grant(dom, 0, 0x201, false);
    refs[2] = xensim_grant(dom, 0, 0x202, true);
    /* Never granted. */
    refs[1] = 500;
    g_assert_null(xengnttab_map_domain_grant_refs(xgt, 3, id, refs,
                                                  PROT_READ));
    g_assert_cmpint(errno, ==, EINVAL);
    refs[1] = 1u << 30;
    g_assert_null(xengnttab_map_domain_grant_refs(xgt, 3, id, refs,
                                                  PROT_READ));
    /* To someone else. */
    refs[1] = xensim_grant(dom, 55, 0x203, false);
    g_assert_null(xengnttab_map_domain_grant_refs(xgt, 3, id, refs,
                                                  PROT_READ));
    /* No frame there. */
    refs[1] = xensim_grant(dom, 0, 0xe0000, false);
    g_assert_null(xengnttab_map_domain_grant_refs(xgt, 3, id, refs,
                                                  PROT_READ));
    /* Read-only, asked for writing. */
    refs[1] = refs[0];
    g_assert_null(xengnttab_map_domain_grant_refs(xgt, 3, id, refs, RW));
    g_assert_null(xengnttab_map_grant_ref(xgt, id + 9, refs[0], PROT_READ));
    g_assert_null(xengnttab_map_domain_grant_refs(xgt, 0, id, refs,
                                                  PROT_READ));
    g_assert_cmpint(xensim_grant_mappings(dom, refs[0]), ==, 0);
    g_assert_cmpuint(xensim_gfn_mappings(dom, 0x201), ==, 0);
    teardown();
}

/* Revoked under a mapping: it keeps the frame it had. */
static void test_revoke(void)
{
    int ref, ref2;
    uint64_t tot;
    char *p;

    setup();
    tot = mem_info(dom).tot_pages;
    ref = xensim_grant(dom, 0, 0x204, false);
    p = xengnttab_map_grant_ref(xgt, id, ref, RW);
    g_assert_cmpint(xensim_grant_revoke(dom, ref), ==, 1);
    g_assert_cmpint(xensim_grant_revoke(dom, ref), ==, -ENOENT);
    g_assert_null(xengnttab_map_grant_ref(xgt, id, ref, RW));
    g_assert(xensim_stamp_page_ok(p, 0x204, 3));
    /* A reference in use is not handed out again. */
    ref2 = xensim_grant(dom, 0, 0x205, false);
    g_assert_cmpint(ref2, !=, ref);
    g_assert_cmpuint(xensim_depopulate(dom, 0x204, 1), ==, 1);
    g_assert_cmpuint(xensim_populate(dom, 0x204, 1), ==, 1);
    g_assert_cmpuint(mem_info(dom).held_pages, ==, 1);
    g_assert_cmpuint(mem_info(dom).tot_pages, ==, tot + 1);
    g_assert(xensim_stamp_page_ok(p, 0x204, 3));
    g_assert_cmpint(xengnttab_unmap(xgt, p, 1), ==, 0);
    g_assert_cmpuint(mem_info(dom).tot_pages, ==, tot);
    g_assert_cmpint(xensim_grant(dom, 0, 0x206, false), ==, ref);
    teardown();
}

static void test_copy(void)
{
    char page[PAGE], back[100];
    xengnttab_grant_copy_segment_t seg[3];
    int rw, ro;

    setup();
    rw = xensim_grant(dom, 0, 0x207, false);
    ro = xensim_grant(dom, 0, 0x208, true);
    memset(seg, 0, sizeof(seg));
    seg[0].flags = GNTCOPY_source_gref;
    seg[0].source.foreign.ref = ro;
    seg[0].source.foreign.domid = id;
    seg[0].dest.virt = page;
    seg[0].len = PAGE;
    seg[1].flags = GNTCOPY_dest_gref;
    seg[1].source.virt = (void *)"grant copy";
    seg[1].dest.foreign.ref = rw;
    seg[1].dest.foreign.offset = 4000;
    seg[1].dest.foreign.domid = id;
    seg[1].len = 11;
    seg[2] = seg[1];
    seg[2].dest.foreign.ref = ro;
    g_assert_cmpint(xengnttab_grant_copy(xgt, 3, seg), ==, 0);
    g_assert_cmpint(seg[0].status, ==, GNTST_okay);
    g_assert_cmpint(seg[1].status, ==, GNTST_okay);
    g_assert_cmpint(seg[2].status, ==, GNTST_general_error);
    g_assert(xensim_stamp_page_ok(page, 0x208, 3));
    xensim_read(dom, 0x207 * PAGE + 4000, back, 11);
    g_assert_cmpstr(back, ==, "grant copy");
    g_assert(xensim_stamp_check(dom, 0x208, 1, 3) == XENSIM_NO_GFN);
    /* From grant to grant; beyond the page's end; a bad reference. */
    seg[0].flags = GNTCOPY_source_gref | GNTCOPY_dest_gref;
    seg[0].dest.foreign.ref = rw;
    seg[0].dest.foreign.offset = 0;
    seg[0].dest.foreign.domid = id;
    seg[1].len = 97;
    seg[2].dest.foreign.ref = 4000;
    g_assert_cmpint(xengnttab_grant_copy(xgt, 3, seg), ==, 0);
    g_assert_cmpint(seg[0].status, ==, GNTST_okay);
    g_assert_cmpint(seg[1].status, ==, GNTST_bad_copy_arg);
    g_assert_cmpint(seg[2].status, ==, GNTST_general_error);
    xensim_read(dom, 0x207 * PAGE, page, PAGE);
    g_assert(xensim_stamp_page_ok(page, 0x208, 3));
    teardown();
}

static void test_open_refused(void)
{
    XensimFault f = { .call = "xengnttab_open", .error = ENODEV };
    xengnttab_handle *h;

    g_assert_cmpint(xensim_fault_arm(sim, &f), >=, 0);
    g_assert_null(xengnttab_open(NULL, 0));
    g_assert_cmpint(errno, ==, ENODEV);
    xensim_fault_disarm_all(sim);
    h = xengnttab_open(NULL, 0);
    g_assert_nonnull(h);
    g_assert_cmpint(xengnttab_set_max_grants(h, 64), ==, 0);
    g_assert_cmpint(xengnttab_close(h), ==, 0);
}

int main(int argc, char **argv)
{
    int rc;

    test_init(&argc, &argv);
    xgt = xengnttab_open(NULL, 0);
    g_assert_nonnull(xgt);
    g_test_add_func("/xensim/gnttab/map", test_map);
    g_test_add_func("/xensim/gnttab/many", test_many);
    g_test_add_func("/xensim/gnttab/bad", test_bad);
    g_test_add_func("/xensim/gnttab/revoke", test_revoke);
    g_test_add_func("/xensim/gnttab/copy", test_copy);
    g_test_add_func("/xensim/gnttab/open-refused", test_open_refused);
    rc = test_run();
    xengnttab_close(xgt);
    return rc;
}
