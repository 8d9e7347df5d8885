/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a device model tells Xen: interrupts, dirty video memory, modified
 * memory, relocation, parameters.
 */
#include "xen-abi.h"

#include "common.h"

#include <xendevicemodel.h>

static xendevicemodel_handle *h;
static xc_interface *xc;
static XensimDomain *dom;
static uint32_t id;

static void setup(void)
{
    dom = new_domain(16, 0);
    id = xensim_domid(dom);
}

static void test_irqs(void)
{
    XensimLogEntry e;

    setup();
    g_assert_cmpint(xendevicemodel_set_isa_irq_level(h, id, 14, 1), ==, 0);
    g_assert_cmpint(xendevicemodel_set_isa_irq_level(h, id, 14, 1), ==, 0);
    g_assert_cmpuint(xensim_isa_irq(dom, 14), ==, 1);
    g_assert_cmpint(xendevicemodel_set_isa_irq_level(h, id, 14, 0), ==, 0);
    g_assert_cmpuint(xensim_isa_irq(dom, 14), ==, 0);
    g_assert_cmpuint(xensim_isa_irq_edges(dom, 14), ==, 1);
    g_assert_cmpint(xendevicemodel_set_isa_irq_level(h, id, 16, 1), ==, -1);
    g_assert_cmpint(xendevicemodel_set_pci_intx_level(h, id, 0, 0, 7, 2, 1),
                    ==, 0);
    g_assert_cmpuint(xensim_pci_intx(dom, 0, 7, 2), ==, 1);
    g_assert_cmpuint(xensim_pci_intx(dom, 0, 7, 1), ==, 0);
    g_assert_cmpuint(xensim_pci_intx_edges(dom, 0, 7, 2), ==, 1);
    g_assert_cmpint(xendevicemodel_set_pci_intx_level(h, id, 0, 1, 7, 2, 1),
                    ==, -1);
    g_assert_cmpint(errno, ==, EINVAL);
    g_assert_cmpint(xendevicemodel_set_irq_level(h, id, 40, 1), ==, 0);
    g_assert_cmpuint(xensim_irq_level(dom, 40), ==, 1);
    g_assert_cmpint(xendevicemodel_set_pci_link_route(h, id, 3, 11), ==, 0);
    g_assert_cmpuint(xensim_pci_link_route(dom, 3), ==, 11);
    g_assert_cmpint(xendevicemodel_set_pci_link_route(h, id, 4, 11), ==, -1);
    g_assert_cmpint(xendevicemodel_inject_msi(h, id, 0xfee01000, 0x4031), ==,
                    0);
    g_assert(xensim_log_get(dom, XENSIM_LOG_MSI, 0, &e));
    g_assert(e.a == 0xfee01000 && e.b == 0x4031);
    g_assert(!xensim_log_get(dom, XENSIM_LOG_MSI, 1, &e));
    g_assert_cmpint(xendevicemodel_inject_msi(h, id + 7, 1, 1), ==, -1);
    g_assert_cmpint(errno, ==, ESRCH);
    end_domain(dom);
}

static void test_vram(void)
{
    unsigned long map[2] = { 0, 0 };
    uint64_t gfn, pages;
    char byte = 1;

    setup();
    /* A new range: all dirty. */
    g_assert_cmpint(xendevicemodel_track_dirty_vram(h, id, 0x800, 100, map),
                    ==, 0);
    g_assert_cmphex(map[0], ==, ~0ul);
    xensim_vram_tracking(dom, &gfn, &pages);
    g_assert(gfn == 0x800 && pages == 100);
    g_assert_cmpint(xendevicemodel_track_dirty_vram(h, id, 0x800, 100, map),
                    ==, 0);
    g_assert(map[0] == 0 && (map[1] & 0xfffffffff) == 0);
    xensim_write(dom, 0x803 * PAGE + 17, &byte, 1);
    xensim_mmio_write(dom, (0x800 + 64) * PAGE, 4, 1);
    xensim_write(dom, 0x7ff * PAGE, &byte, 1);
    xensim_write(dom, 0x864 * PAGE, &byte, 1);
    xensim_read(dom, 0x805 * PAGE, &byte, 1);
    g_assert_cmpint(xendevicemodel_track_dirty_vram(h, id, 0x800, 100, map),
                    ==, 0);
    g_assert_cmphex(map[0], ==, 1ul << 3);
    g_assert_cmphex(map[1] & 0xfffffffff, ==, 1);
    /* Reported once. */
    g_assert_cmpint(xendevicemodel_track_dirty_vram(h, id, 0x800, 100, map),
                    ==, 0);
    g_assert(map[0] == 0 && (map[1] & 0xfffffffff) == 0);
    /* Another range: all dirty again.  None: off, and then it is new. */
    g_assert_cmpint(xendevicemodel_track_dirty_vram(h, id, 0x900, 64, map),
                    ==, 0);
    g_assert_cmphex(map[0], ==, ~0ul);
    g_assert_cmpint(xendevicemodel_track_dirty_vram(h, id, 0, 0, NULL), ==,
                    0);
    xensim_vram_tracking(dom, &gfn, &pages);
    g_assert_cmpuint(pages, ==, 0);
    map[0] = 0;
    g_assert_cmpint(xendevicemodel_track_dirty_vram(h, id, 0x900, 64, map),
                    ==, 0);
    g_assert_cmphex(map[0], ==, ~0ul);
    g_assert_cmpint(xendevicemodel_track_dirty_vram(h, id, 0, (1u << 15) + 1,
                                                    map), ==, -1);
    g_assert_cmpint(errno, ==, E2BIG);
    end_domain(dom);
}

static void test_modified(void)
{
    struct xen_dm_op_modified_memory_extent ext[2] = {
        { .nr = 3, .first_pfn = 0x1000 }, { .nr = 1, .first_pfn = 0x2000 },
    };
    XensimLogEntry e;
    unsigned i;

    setup();
    g_assert_cmpint(xendevicemodel_modified_memory(h, id, 0x123, 2), ==, 0);
    g_assert_cmpint(xendevicemodel_modified_memory_bulk(h, id, ext, 2), ==,
                    0);
    g_assert_cmpuint(xensim_log_count(dom, XENSIM_LOG_MODIFIED), ==, 3);
    g_assert(xensim_log_get(dom, XENSIM_LOG_MODIFIED, 0, &e));
    g_assert(e.a == 0x123 && e.b == 2);
    g_assert(xensim_log_get(dom, XENSIM_LOG_MODIFIED, 2, &e));
    g_assert(e.a == 0x2000 && e.b == 1);
    /* The log keeps the last 65,536. */
    for (i = 0; i < 65536; i++) {
        xendevicemodel_modified_memory(h, id, i, 1);
    }
    g_assert_cmpuint(xensim_log_count(dom, XENSIM_LOG_MODIFIED), ==, 65539);
    g_assert(!xensim_log_get(dom, XENSIM_LOG_MODIFIED, 2, &e));
    g_assert(xensim_log_get(dom, XENSIM_LOG_MODIFIED, 3, &e));
    g_assert_cmpuint(e.a, ==, 0);
    xensim_log_clear(dom, XENSIM_LOG_MODIFIED);
    g_assert_cmpuint(xensim_log_count(dom, XENSIM_LOG_MODIFIED), ==, 0);
    end_domain(dom);
}

/* Populate beyond RAM, then move to a BAR, as video memory goes. */
static void test_relocate(void)
{
    xen_pfn_t gfn[1024];
    uint64_t mfn, tot;
    XensimLogEntry e;
    unsigned i;

    setup();
    for (i = 0; i < 1024; i++) {
        gfn[i] = 0x1000 + i;
    }
    g_assert_cmpint(xc_domain_populate_physmap_exact(xc, id, 1024, 0, 0, gfn),
                    ==, 0);
    g_assert_cmpint(xensim_stamp(dom, 0x1000, 1024, 5), ==, 0);
    mfn = xensim_gfn_to_mfn(dom, 0x1000);
    tot = mem_info(dom).tot_pages;
    g_assert_cmpint(xendevicemodel_relocate_memory(h, id, 1024, 0x1000,
                                                   0xf0100), ==, 0);
    for (i = 0; i < 1024; i++) {
        g_assert(xensim_gfn_to_mfn(dom, 0x1000 + i) == XENSIM_NO_MFN);
        g_assert_cmphex(xensim_gfn_to_mfn(dom, 0xf0100 + i), ==, mfn + i);
    }
    g_assert_cmpuint(mem_info(dom).tot_pages, ==, tot);
    g_assert_cmpint(xendevicemodel_pin_memory_cacheattr(
                        h, id, 0xf0100, 0xf04ff, 6), ==, 0);
    g_assert(xensim_log_get(dom, XENSIM_LOG_CACHEATTR, 0, &e));
    g_assert(e.a == 0xf0100 && e.b == 0xf04ff && e.c == 6);
    /* A second time the source is gone. */
    g_assert_cmpint(xendevicemodel_relocate_memory(h, id, 1024, 0x1000,
                                                   0xf1000), ==, -1);
    g_assert_cmpint(errno, ==, EINVAL);
    g_assert(xensim_log_get(dom, XENSIM_LOG_RELOCATE, 1, &e));
    g_assert_cmpint(e.error, ==, EINVAL);
    /* Onto frames of the guest's: they are freed. */
    g_assert_cmpint(xendevicemodel_relocate_memory(h, id, 16, 0xf0100, 0x400),
                    ==, 0);
    g_assert_cmpuint(mem_info(dom).tot_pages, ==, tot - 16);
    g_assert_cmphex(xensim_gfn_to_mfn(dom, 0x400), ==, mfn);
    end_domain(dom);
}

static int pin(uint64_t first, uint64_t last, uint32_t type)
{
    return xendevicemodel_pin_memory_cacheattr(h, id, first, last, type) ?
           errno : 0;
}

static void test_pin(void)
{
    setup();
    g_assert_cmpint(pin(0x100, 0x1ff, 6), ==, 0);
    g_assert_cmpint(pin(0x100, 0x1ff, 0), ==, 0);
    g_assert_cmpint(pin(0x1ff, 0x2ff, 6), ==, EBUSY);
    g_assert_cmpint(pin(0x200, 0x2ff, 6), ==, 0);
    g_assert_cmpint(pin(0x100, 0x1fe, XEN_DOMCTL_DELETE_MEM_CACHEATTR), ==,
                    ENOENT);
    g_assert_cmpint(pin(0x100, 0x1ff, XEN_DOMCTL_DELETE_MEM_CACHEATTR), ==,
                    0);
    g_assert_cmpint(pin(0x100, 0x1ff, XEN_DOMCTL_DELETE_MEM_CACHEATTR), ==,
                    ENOENT);
    g_assert_cmpint(pin(0x1ff, 0x1ff, 2), ==, EINVAL);
    g_assert_cmpint(pin(0x1ff, 0x1fe, 6), ==, EINVAL);
    end_domain(dom);
}

/* More than the domain may have: as many as fit, and EBUSY. */
static void test_populate_limit(void)
{
    xen_pfn_t gfn[32];
    uint64_t tot;
    unsigned i;

    setup();
    tot = mem_info(dom).tot_pages;
    for (i = 0; i < 32; i++) {
        gfn[i] = 0x30000 + 2 * i;
    }
    xensim_set_max_pages(dom, tot + 20);
    g_assert_cmpint(xc_domain_populate_physmap_exact(xc, id, 32, 0, 0, gfn),
                    ==, -1);
    g_assert_cmpint(errno, ==, EBUSY);
    g_assert_cmpuint(mem_info(dom).tot_pages, ==, tot + 20);
    g_assert(xensim_gfn_to_mfn(dom, gfn[19]) != XENSIM_NO_MFN);
    g_assert(xensim_gfn_to_mfn(dom, gfn[20]) == XENSIM_NO_MFN);
    g_assert_cmpint(xc_domain_decrease_reservation_exact(xc, id, 20, 0, gfn),
                    ==, 0);
    g_assert_cmpuint(mem_info(dom).tot_pages, ==, tot);
    g_assert_cmpint(xc_domain_add_to_physmap(xc, id, XENMAPSPACE_gmfn, 0x400,
                                             0x40000), ==, 0);
    g_assert(xensim_gfn_to_mfn(dom, 0x40000) != XENSIM_NO_MFN);
    end_domain(dom);
}

static void test_mem_type(void)
{
    XensimLogEntry e;
    uint8_t byte = 0x5a;

    setup();
    g_assert_cmpint(xensim_fill(dom, 0x600 * PAGE, 0x11, 2 * PAGE), ==, 0);
    g_assert_cmpint(xendevicemodel_set_mem_type(h, id, HVMMEM_ram_ro, 0x600,
                                                1), ==, 0);
    /* The guest's writes are dropped there. */
    g_assert_cmpint(xensim_write(dom, 0x600 * PAGE, &byte, 1), ==, 0);
    g_assert_cmpint(xensim_write(dom, 0x601 * PAGE, &byte, 1), ==, 0);
    xensim_read(dom, 0x600 * PAGE, &byte, 1);
    g_assert_cmphex(byte, ==, 0x11);
    xensim_read(dom, 0x601 * PAGE, &byte, 1);
    g_assert_cmphex(byte, ==, 0x5a);
    g_assert_cmpint(xendevicemodel_set_mem_type(h, id, HVMMEM_ram_rw, 0x600,
                                                1), ==, 0);
    xensim_write(dom, 0x600 * PAGE, &byte, 1);
    xensim_read(dom, 0x600 * PAGE, &byte, 1);
    g_assert_cmphex(byte, ==, 0x5a);
    g_assert(xensim_log_get(dom, XENSIM_LOG_MEM_TYPE, 0, &e));
    g_assert(e.a == 0x600 && e.b == 1 && e.c == HVMMEM_ram_ro);
    end_domain(dom);
}

static void test_params(void)
{
    unsigned long value = 0;
    unsigned vcpus = 0;
    uint64_t v64 = 0;

    setup();
    g_assert_cmpint(xc_set_hvm_param(xc, id, HVM_PARAM_ACPI_S_STATE, 3), ==,
                    0);
    g_assert_cmpuint(xensim_hvm_param_get(dom, HVM_PARAM_ACPI_S_STATE), ==,
                     3);
    xensim_hvm_param_set(dom, HVM_PARAM_TIMER_MODE, 1234);
    g_assert_cmpint(xc_hvm_param_get(xc, id, HVM_PARAM_TIMER_MODE, &v64), ==,
                    0);
    g_assert_cmpuint(v64, ==, 1234);
    g_assert_cmpint(xc_get_hvm_param(xc, id, 64, &value), ==, -1);
    g_assert_cmpint(errno, ==, EINVAL);
    g_assert_cmpint(xc_get_hvm_param(xc, id + 5, 1, &value), ==, -1);
    g_assert_cmpint(errno, ==, ESRCH);
    g_assert_cmpint(xendevicemodel_nr_vcpus(h, id, &vcpus), ==, 0);
    g_assert_cmpuint(vcpus, ==, 2);
    g_assert_cmpint(xensim_shutdown_reason(dom), ==, -1);
    g_assert_cmpint(xendevicemodel_shutdown(h, id, 1), ==, 0);
    g_assert_cmpint(xensim_shutdown_reason(dom), ==, 1);
    g_assert_cmpint(xc_domain_shutdown(xc, id, 0), ==, 0);
    g_assert_cmpint(xensim_shutdown_reason(dom), ==, 0);
    end_domain(dom);
}

int main(int argc, char **argv)
{
    int rc;

    test_init(&argc, &argv);
    h = xendevicemodel_open(NULL, 0);
    xc = xc_interface_open(NULL, NULL, 0);
    g_assert(h && xc);
    g_test_add_func("/xensim/dmop/irqs", test_irqs);
    g_test_add_func("/xensim/dmop/vram", test_vram);
    g_test_add_func("/xensim/dmop/modified", test_modified);
    g_test_add_func("/xensim/dmop/relocate", test_relocate);
    g_test_add_func("/xensim/dmop/pin", test_pin);
    g_test_add_func("/xensim/dmop/populate-limit", test_populate_limit);
    g_test_add_func("/xensim/dmop/mem-type", test_mem_type);
    g_test_add_func("/xensim/dmop/params", test_params);
    rc = test_run();
    xendevicemodel_close(h);
    xc_interface_close(xc);
    return rc;
}
