/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Domains: their memory to another one and through a file, and their end.
 */
#include "common.h"

#include <fcntl.h>
#include <xenforeignmemory.h>

/* Every gfn: present in both or in neither, never the same frame. */
static void compare(XensimDomain *a, XensimDomain *b, uint64_t gfn,
                    uint64_t end)
{
    char x[PAGE], y[PAGE];

    for (; gfn < end; gfn++) {
        uint64_t m = xensim_gfn_to_mfn(a, gfn), n = xensim_gfn_to_mfn(b, gfn);

        g_assert((m == XENSIM_NO_MFN) == (n == XENSIM_NO_MFN));
        if (m != XENSIM_NO_MFN) {
            g_assert_cmphex(m, !=, n);
            g_assert_cmpint(xensim_read(a, gfn * PAGE, x, PAGE), ==, 0);
            g_assert_cmpint(xensim_read(b, gfn * PAGE, y, PAGE), ==, 0);
            g_assert_cmpmem(x, PAGE, y, PAGE);
        }
    }
}

static XensimDomain *source(void)
{
    XensimDomain *dom = new_domain(16, 0);

    g_assert_cmpint(xensim_stamp(dom, 0x100, 0x200, 1), ==, 0);
    g_assert_cmpint(xensim_stamp(dom, 0xf00, 0x100, 2), ==, 0);
    g_assert_cmpint(xensim_stamp(dom, 0xfeffc, 1, 3), ==, 0);
    g_assert_cmpuint(xensim_depopulate(dom, 0x180, 3), ==, 3);
    g_assert_cmpuint(xensim_depopulate(dom, 0x800, 512), ==, 512);
    g_assert_cmpint(xensim_move(dom, 0x900, 0xf0000, 1), ==, -EINVAL);
    g_assert_cmpint(xensim_move(dom, 0xa00, 0xf0000, 256), ==, 0);
    g_assert_cmpint(xensim_stamp(dom, 0xf0080, 4, 4), ==, 0);
    xensim_hvm_param_set(dom, 10, 77);
    return dom;
}

static void check_copy(XensimDomain *src, XensimDomain *dst)
{
    char page[PAGE];

    compare(src, dst, 0, 0x1100);
    compare(src, dst, 0xeff00, 0xf0200);
    compare(src, dst, 0xfefe0, 0xff010);
    g_assert_cmpint(xensim_read(dst, 0xf0081 * PAGE, page, PAGE), ==, 0);
    g_assert(xensim_stamp_page_ok(page, 0xf0081, 4));
    g_assert(xensim_stamp_check(dst, 0xf00, 0x100, 2) == XENSIM_NO_GFN);
    g_assert_cmpuint(xensim_hvm_param_get(dst, 10), ==, 77);
    g_assert_cmpuint(mem_info(dst).p2m_pages, ==, mem_info(src).p2m_pages);
    g_assert_cmpuint(xensim_check(sim), ==, 0);
}

static void test_copy(void)
{
    XensimDomain *src = source();
    XensimDomain *dst = new_domain(16, XENSIM_DOM_EMPTY);
    char byte = 1;

    g_assert(xensim_gfn_to_mfn(dst, 0x200) == XENSIM_NO_MFN);
    g_assert_cmpint(xensim_domain_copy_memory(dst, src), ==, 0);
    check_copy(src, dst);
    /* Two memories: a write here is not seen there. */
    xensim_write(src, 0x222 * PAGE, &byte, 1);
    xensim_read(dst, 0x222 * PAGE, &byte, 1);
    g_assert(xensim_stamp_check(dst, 0x222, 1, 1) == XENSIM_NO_GFN);
    end_domain(src);
    end_domain(dst);
}

static void test_copy_scattered(void)
{
    XensimDomain *src = source();
    XensimDomain *dst = new_domain(16, XENSIM_DOM_SCATTERED);

    g_assert_cmpint(xensim_domain_copy_memory(dst, src), ==, 0);
    check_copy(src, dst);
    end_domain(src);
    end_domain(dst);
}

static void test_copy_limit(void)
{
    XensimDomain *src = source();
    XensimDomain *dst = new_domain(16, XENSIM_DOM_EMPTY);

    xensim_set_max_pages(dst, 100);
    g_assert_cmpint(xensim_domain_copy_memory(dst, src), ==, -ENOMEM);
    end_domain(src);
    end_domain(dst);
}

static void test_file(void)
{
    XensimDomain *src = source();
    XensimDomain *dst = new_domain(16, XENSIM_DOM_EMPTY);
    int fd = memfd_create("saved", 0);
    off_t size;
    int rc;

    g_assert_cmpint(xensim_domain_save_memory(src, fd), ==, 0);
    size = lseek(fd, 0, SEEK_CUR);
    /* Only what was written to is in it. */
    g_assert_cmpint(size, <, 0x400 * PAGE + 65536);
    lseek(fd, 0, SEEK_SET);
    g_assert_cmpint(xensim_domain_load_memory(dst, fd), ==, 0);
    g_assert_cmpint(lseek(fd, 0, SEEK_CUR), ==, size);
    check_copy(src, dst);
    /* Cut short anywhere, it is refused. */
    g_assert_cmpint(ftruncate(fd, size - 8), ==, 0);
    lseek(fd, 0, SEEK_SET);
    g_assert_cmpint(xensim_domain_load_memory(dst, fd), ==, -EPROTO);
    g_assert_cmpint(ftruncate(fd, 100), ==, 0);
    lseek(fd, 0, SEEK_SET);
    g_assert_cmpint(xensim_domain_load_memory(dst, fd), ==, -EPROTO);
    rc = pwrite(fd, "nonsense", 8, 0);
    g_assert_cmpint(rc, ==, 8);
    g_assert_cmpint(ftruncate(fd, 65536), ==, 0);
    lseek(fd, 0, SEEK_SET);
    g_assert_cmpint(xensim_domain_load_memory(dst, fd), ==, -EPROTO);
    close(fd);
    end_domain(src);
    end_domain(dst);
}

/* 64 domains and no more; slots are used again, ids are not. */
static void test_many(void)
{
    XensimDomainConfig cfg = { .ram_bytes = 4 << 20 };
    XensimDomain *dom[64];
    uint32_t last;
    int i, round;

    for (round = 0; round < 2; round++) {
        for (i = 0; i < 64; i++) {
            dom[i] = xensim_domain_create(sim, &cfg);
            g_assert_nonnull(dom[i]);
        }
        g_assert_null(xensim_domain_create(sim, &cfg));
        g_assert_cmpint(errno, ==, ENOSPC);
        last = xensim_domid(dom[63]);
        for (i = 0; i < 64; i++) {
            g_assert(xensim_domain_find(sim, xensim_domid(dom[i])) == dom[i]);
            xensim_domain_destroy(dom[i]);
        }
        g_assert_null(xensim_domain_find(sim, last));
    }
    cfg.domid = 5;
    dom[0] = xensim_domain_create(sim, &cfg);
    g_assert_cmpuint(xensim_domid(dom[0]), ==, 5);
    g_assert_null(xensim_domain_create(sim, &cfg));
    g_assert_cmpint(errno, ==, EEXIST);
    /* What a domain had is not found by the next in its slot. */
    g_assert_cmpuint(xensim_isa_irq_edges(dom[0], 5), ==, 0);
    end_domain(dom[0]);
    cfg.vcpus = 65;
    g_assert_null(xensim_domain_create(sim, &cfg));
    g_assert_cmpint(errno, ==, EINVAL);
    cfg.vcpus = 1;
    cfg.max_pages = 100;
    g_assert_null(xensim_domain_create(sim, &cfg));
    g_assert_cmpint(errno, ==, ENOMEM);
    g_assert_cmpuint(xensim_check(sim), ==, 0);
}

/* A slot whose frames are still mapped is not used again. */
static void test_dying(void)
{
    XensimDomain *dom = new_domain(4, 0), *next;
    xenforeignmemory_handle *fmem = xenforeignmemory_open(NULL, 0);
    xen_pfn_t gfn = 0x200;
    char *p;
    int i;

    g_assert_cmpint(xensim_stamp(dom, 0x200, 1, 8), ==, 0);
    p = xenforeignmemory_map(fmem, xensim_domid(dom), PROT_READ, 1, &gfn,
                             NULL);
    g_assert_nonnull(p);
    xensim_domain_destroy(dom);
    for (i = 0; i < 80; i++) {
        next = new_domain(4, 0);
        g_assert_cmpint(xensim_fill(next, 0x100000, 0xff, 3 << 20), ==, 0);
        end_domain(next);
    }
    g_assert(xensim_stamp_page_ok(p, 0x200, 8));
    munmap(p, PAGE);
    g_assert_cmpuint(xensim_check(sim), ==, 0);
    xenforeignmemory_close(fmem);
}

/* A second host process sees the same machine. */
static void second_host(void *opaque)
{
    Xensim *other = xensim_attach(xensim_dir(sim));
    XensimDomain *dom;

    g_assert_nonnull(other);
    dom = xensim_domain_find(other, *(uint32_t *)opaque);
    g_assert_nonnull(dom);
    g_assert(xensim_stamp_check(dom, 0x200, 4, 6) == XENSIM_NO_GFN);
    g_assert_cmpint(xensim_stamp(dom, 0x300, 4, 7), ==, 0);
    g_assert_cmpuint(xensim_depopulate(dom, 0x208, 1), ==, 1);
    xensim_free(other);
}

static void test_attach(void)
{
    XensimDomain *dom = new_domain(4, 0);
    uint32_t id = xensim_domid(dom);

    g_assert_cmpint(xensim_stamp(dom, 0x200, 4, 6), ==, 0);
    g_assert_cmpint(in_child(second_host, &id), ==, 0);
    g_assert(xensim_stamp_check(dom, 0x300, 4, 7) == XENSIM_NO_GFN);
    g_assert(xensim_gfn_to_mfn(dom, 0x208) == XENSIM_NO_MFN);
    g_assert_null(xensim_attach("/nonexistent"));
    end_domain(dom);
}

int main(int argc, char **argv)
{
    test_init(&argc, &argv);
    g_test_add_func("/xensim/domain/copy", test_copy);
    g_test_add_func("/xensim/domain/copy-scattered", test_copy_scattered);
    g_test_add_func("/xensim/domain/copy-limit", test_copy_limit);
    g_test_add_func("/xensim/domain/file", test_file);
    g_test_add_func("/xensim/domain/many", test_many);
    g_test_add_func("/xensim/domain/dying", test_dying);
    g_test_add_func("/xensim/domain/attach", test_attach);
    return test_run();
}
