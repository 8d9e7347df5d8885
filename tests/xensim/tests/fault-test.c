/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Faults: each kind hits what it names, and nothing else.
 */
#include "common.h"

#include <signal.h>
#include <xenctrl.h>
#include <xendevicemodel.h>
#include <xenforeignmemory.h>

#define RW (PROT_READ | PROT_WRITE)

static xenforeignmemory_handle *fmem;
static XensimDomain *dom;
static uint32_t id;

/* errno of a call for @n pages from @gfn, 0 if it succeeded. */
static int map_errno(uint64_t gfn, unsigned n)
{
    xen_pfn_t g[16];
    int err[16];
    unsigned i;
    void *p;

    for (i = 0; i < n; i++) {
        g[i] = gfn + i;
    }
    p = xenforeignmemory_map2(fmem, id, NULL, RW, 0, n, g, err);
    if (!p) {
        return errno;
    }
    g_assert_cmpint(munmap(p, n * PAGE), ==, 0);
    return 0;
}

static int arm(const char *text)
{
    int fault = xensim_fault_arm_text(sim, text);

    g_assert_cmpint(fault, >=, 0);
    return fault;
}

static void test_nth(void)
{
    int fault = arm("xenforeignmemory_map2:n=3:errno=ENOMEM:once");
    int i;

    for (i = 1; i <= 6; i++) {
        g_assert_cmpint(map_errno(0x200, 1), ==, i == 3 ? ENOMEM : 0);
    }
    g_assert_cmpint(xensim_fault_hits(sim, fault), ==, 6);
    xensim_fault_disarm(sim, fault);
    g_assert_cmpint(xensim_fault_hits(sim, fault), ==, -ENOENT);
}

static void test_from_nth(void)
{
    int fault = arm("xenforeignmemory_map2:n=2:errno=5");
    int i;

    for (i = 1; i <= 5; i++) {
        g_assert_cmpint(map_errno(0x200, 1), ==, i >= 2 ? EIO : 0);
    }
    xensim_fault_disarm(sim, fault);
    g_assert_cmpint(map_errno(0x200, 1), ==, 0);
    fault = arm("xenforeignmemory_map2:n=2:count=2:errno=EBUSY");
    for (i = 1; i <= 5; i++) {
        g_assert_cmpint(map_errno(0x200, 1), ==,
                        i == 2 || i == 3 ? EBUSY : 0);
    }
    xensim_fault_disarm_all(sim);
}

/* Only calls that name a frame, and only they are counted. */
static void test_frame(void)
{
    int fault = arm("xenforeignmemory_map2:gfn=0x300-0x301:n=2:errno=EFAULT");

    g_assert_cmpint(map_errno(0x2f0, 16), ==, 0);
    g_assert_cmpint(map_errno(0x2f1, 16), ==, 0);
    g_assert_cmpint(map_errno(0x302, 16), ==, 0);
    g_assert_cmpint(xensim_fault_hits(sim, fault), ==, 1);
    g_assert_cmpint(map_errno(0x301, 1), ==, EFAULT);
    g_assert_cmpint(map_errno(0x302, 1), ==, 0);
    g_assert_cmpint(map_errno(0x2f8, 16), ==, EFAULT);
    xensim_fault_disarm_all(sim);
}

/* The call succeeds, some of its pages do not. */
static void test_page(void)
{
    xen_pfn_t g[4] = { 0x3ff, 0x400, 0x401, 0x402 };
    int err[4];
    char *p;

    arm("xenforeignmemory_map2:gfn=0x400-0x401:errno=ENOENT:page:once");
    p = xenforeignmemory_map2(fmem, id, NULL, RW, 0, 4, g, err);
    g_assert_nonnull(p);
    g_assert_cmpint(err[0], ==, 0);
    g_assert_cmpint(err[1], ==, -ENOENT);
    g_assert_cmpint(err[2], ==, -ENOENT);
    g_assert_cmpint(err[3], ==, 0);
    g_assert_cmpint(touch(p + PAGE), ==, -SIGBUS);
    g_assert(xensim_stamp_page_ok(p, 0x3ff, 9));
    g_assert(xensim_stamp_page_ok(p + 3 * PAGE, 0x402, 9));
    g_assert_cmpuint(mem_info(dom).mapped_pages, ==, 2);
    munmap(p, 4 * PAGE);
    /* Once. */
    p = xenforeignmemory_map2(fmem, id, NULL, RW, 0, 4, g, err);
    g_assert(xensim_stamp_page_ok(p + PAGE, 0x400, 9));
    munmap(p, 4 * PAGE);
    xensim_fault_disarm_all(sim);
    /* Without err[], a failing page fails the call. */
    arm("xenforeignmemory_map2:gfn=0x400:errno=EACCES:page");
    g_assert_null(xenforeignmemory_map2(fmem, id, NULL, RW, 0, 4, g, NULL));
    g_assert_cmpint(errno, ==, EACCES);
    xensim_fault_disarm_all(sim);
}

static void test_delay(void)
{
    gint64 start = g_get_monotonic_time();
    int fault = arm("xenforeignmemory_map2:delay=60000:once");

    g_assert_cmpint(map_errno(0x200, 1), ==, 0);
    g_assert_cmpint(g_get_monotonic_time() - start, >=, 60000);
    start = g_get_monotonic_time();
    g_assert_cmpint(map_errno(0x200, 1), ==, 0);
    g_assert_cmpint(g_get_monotonic_time() - start, <, 60000);
    xensim_fault_disarm(sim, fault);
}

static void test_other_calls(void)
{
    xendevicemodel_handle *h = xendevicemodel_open(NULL, 0);
    xc_interface *xc = xc_interface_open(NULL, NULL, 0);
    xen_pfn_t g = 0x20000;
    XensimLogEntry e;

    arm("xendevicemodel_relocate_memory:errno=EINVAL:once");
    g_assert_cmpint(xendevicemodel_relocate_memory(h, id, 1, 0x500, 0xf0000),
                    ==, -1);
    g_assert_cmpint(errno, ==, EINVAL);
    g_assert(xensim_gfn_to_mfn(dom, 0x500) != XENSIM_NO_MFN);
    g_assert_cmpint(xendevicemodel_relocate_memory(h, id, 1, 0x500, 0xf0000),
                    ==, 0);
    g_assert(xensim_log_get(dom, XENSIM_LOG_RELOCATE, 0, &e));
    g_assert(e.a == 0x500 && e.b == 0xf0000 && e.c == 1 && !e.error);
    arm("xc_domain_populate_physmap_exact:errno=ENOMEM:once");
    g_assert_cmpint(xc_domain_populate_physmap_exact(xc, id, 1, 0, 0, &g), ==,
                    -1);
    g_assert(xensim_gfn_to_mfn(dom, g) == XENSIM_NO_MFN);
    g_assert_cmpint(xc_domain_populate_physmap_exact(xc, id, 1, 0, 0, &g), ==,
                    0);
    g_assert(xensim_gfn_to_mfn(dom, g) != XENSIM_NO_MFN);
    xensim_fault_disarm_all(sim);
    xendevicemodel_close(h);
    xc_interface_close(xc);
}

static void test_bad_text(void)
{
    static const char *const bad[] = {
        "", "no_such_call:errno=EIO", "xenforeignmemory_map2",
        "xenforeignmemory_map2:errno=EWHAT", "xenforeignmemory_map2:n=x",
        "xenforeignmemory_map2:page:errno=EIO",
        "xenforeignmemory_map2:gfn=5-4:errno=EIO",
        "xenforeignmemory_map2:errno=EIO:frob",
    };
    XensimFault f = { .call = "nothing", .error = EIO };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_cmpint(xensim_fault_arm_text(sim, bad[i]), ==, -EINVAL);
    }
    g_assert_cmpint(xensim_fault_arm(sim, &f), ==, -EINVAL);
}

/* As many as there is room for, then ENOSPC, then all gone. */
static void test_full(void)
{
    int i;

    for (i = 0; i < 64; i++) {
        arm("xenforeignmemory_map2:n=1000000:errno=EIO");
    }
    g_assert_cmpint(xensim_fault_arm_text(sim,
                                          "xs_read:errno=EIO"), ==, -ENOSPC);
    xensim_fault_disarm_all(sim);
    g_assert_cmpint(map_errno(0x200, 1), ==, 0);
}

int main(int argc, char **argv)
{
    int rc;

    test_init(&argc, &argv);
    fmem = xenforeignmemory_open(NULL, 0);
    dom = new_domain(16, 0);
    id = xensim_domid(dom);
    g_assert_cmpint(xensim_stamp(dom, 0x200, 0x800, 9), ==, 0);
    g_test_add_func("/xensim/fault/nth", test_nth);
    g_test_add_func("/xensim/fault/from-nth", test_from_nth);
    g_test_add_func("/xensim/fault/frame", test_frame);
    g_test_add_func("/xensim/fault/page", test_page);
    g_test_add_func("/xensim/fault/delay", test_delay);
    g_test_add_func("/xensim/fault/other-calls", test_other_calls);
    g_test_add_func("/xensim/fault/bad-text", test_bad_text);
    g_test_add_func("/xensim/fault/full", test_full);
    rc = test_run();
    xenforeignmemory_close(fmem);
    return rc;
}
