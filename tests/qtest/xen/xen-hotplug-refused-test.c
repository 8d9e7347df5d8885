/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PCI device is not plugged in where the guest has something else, or when
 * the domain has no frames left for it.
 */
#include "qemu/osdep.h"
#include "qemu/units.h"
#include "xen-test-hotplug.h"

/* The device cannot be made, and the guest has as many frames as before. */
static const char *is_refused(XenTest *t, const HotplugDevice *p)
{
    uint64_t before = xen_test_pages(t);
    g_autofree char *why = hotplug_try(t, p);

    XEN_REQUIRE(why, "has plugged %s", p->name);
    XEN_REQUIRE(g_str_has_prefix(why, "xen: "), "refuses %s by \"%s\"",
                p->name, why);
    XEN_REQUIRE(xen_test_pages(t) == before,
                "has %" PRIu64 " frames, not %" PRIu64, xen_test_pages(t),
                before);
    return NULL;
}
#define is_refused(...) XEN_AT(is_refused(__VA_ARGS__))

/* The guest's own pages, a page at the end of the range: they stay. */
static const char *own_pages(XenTest *t)
{
    const HotplugDevice *p = t->data;
    uint64_t gfn;

    hotplug_boot(t);
    gfn = hotplug_top(t) / XEN_TEST_PAGE + p->pages - 1;
    g_assert_cmpint(xensim_populate(t->dom, gfn, 1), ==, 1);
    xensim_stamp(t->dom, gfn, 1, 20);
    XEN_TRY(is_refused(t, p));
    XEN_REQUIRE(xensim_stamp_check(t->dom, gfn, 1, 20) == XENSIM_NO_GFN,
                "overwrote a page of the guest's");
    xensim_depopulate(t->dom, gfn, 1);
    XEN_TRY(hotplug_add(t, p));
    hotplug_show(t, p, HOTPLUG_A);
    return NULL;
}

/* Another device's registers: they are reached. */
static const char *own_registers(XenTest *t)
{
    const HotplugDevice *p = t->data;
    g_autofree char *args = hotplug_args(t, "-device e1000,addr=9,romfile= ");
    enum { CARD = 9 << 3, STATUS = 8 };
    uint32_t status, at;

    xen_test_start(t, args);
    xen_test_ide(t);
    at = ROUND_UP(hotplug_top(t), 0x20000);
    xen_test_ok(t, guest_pci_place_bar(t->pc, CARD, 0, HOTPLUG_B));
    status = xensim_mmio_read(t->dom, HOTPLUG_B + STATUS, 4);
    XEN_REQUIRE(status && status != UINT32_MAX, "has no network card");
    xen_test_ok(t, guest_pci_place_bar(t->pc, CARD, 0, at));
    XEN_TRY(is_refused(t, p));
    XEN_REQUIRE(xensim_mmio_read(t->dom, at + STATUS, 4) == status,
                "hides the registers of another device");
    xen_test_ok(t, guest_pci_place_bar(t->pc, CARD, 0, HOTPLUG_B));
    XEN_TRY(hotplug_add(t, p));
    hotplug_show(t, p, HOTPLUG_A);
    return NULL;
}

/*
 * A device is plugged in where a passed-through BAR is.  Populating there would
 * crash the domain.
 */
static const char *passed_through(XenTest *t)
{
    const HotplugDevice *p = t->data;
    g_autofree char *args = hotplug_args(t, "-device e1000,addr=9,romfile= ");
    enum { CARD = 9 << 3 };
    uint64_t at;

    xen_test_start(t, args);
    xen_test_ide(t);
    /* QEMU shows the BAR as registers of the device that is passed through. */
    at = ROUND_UP(hotplug_top(t), 0x20000);
    xen_test_ok(t, guest_pci_place_bar(t->pc, CARD, 0, at));
    g_assert_cmpint(xensim_map_mmio(t->dom, at / XEN_TEST_PAGE, 32), ==, 32);
    XEN_TRY(is_refused(t, p));
    XEN_REQUIRE(xensim_shutdown_reason(t->dom) == -1, "crashed the domain");
    xensim_depopulate(t->dom, at / XEN_TEST_PAGE, 32);
    xen_test_ok(t, guest_pci_place_bar(t->pc, CARD, 0, HOTPLUG_B));
    XEN_TRY(hotplug_add(t, p));
    hotplug_show(t, p, HOTPLUG_A);
    return NULL;
}

/* Displaced memory of another device makes way, shown memory does not. */
static const char *displaced(XenTest *t)
{
    const HotplugDevice *p = t->data;
    g_autofree char *args = hotplug_args(t, XEN_TEST_VGA);
    const uint64_t at = 0x6000000;
    uint64_t top;
    uint8_t page[XEN_TEST_PAGE];

    xen_test_start(t, args);
    xen_test_ide(t);
    xen_test_vga(t);
    top = hotplug_top(t);
    XEN_REQUIRE(top <= at && at - top < p->pages * XEN_TEST_PAGE, "would put "
                "new memory at 0x%" PRIx64, top);
    xensim_stamp(t->dom, XEN_TEST_LFB / XEN_TEST_PAGE, 0x1000, 5);
    xen_test_ok(t, guest_pci_place_bar(t->pc, 4 << 3, 0, at));
    XEN_TRY(is_refused(t, p));
    xen_test_ok(t, guest_pci_command(t->pc, 4 << 3, 0, GUEST_PCI_MEMORY));
    XEN_TRY(hotplug_add(t, p));
    xen_test_ok(t, guest_pci_place_bar(t->pc, 4 << 3, 0, XEN_TEST_LFB));
    for (unsigned i = 0; i < 0x1000; i++) {
        xensim_read(t->dom, XEN_TEST_LFB + i * XEN_TEST_PAGE, page,
                    sizeof(page));
        XEN_REQUIRE(xensim_stamp_page_ok(page, XEN_TEST_LFB / XEN_TEST_PAGE + i,
                                         5), "lost page %u of a display", i);
    }
    return NULL;
}

/* There are frames for none of the device, for a part, and for all but one. */
static const char *at_limit(XenTest *t)
{
    const HotplugDevice *p = t->data;
    const unsigned room[] = { 0, 1, p->pages / 2, p->pages - 1 };
    g_autofree char *why = NULL;
    XensimMemInfo info;

    hotplug_boot(t);
    xensim_mem_info(t->dom, &info);
    for (unsigned i = 0; i < G_N_ELEMENTS(room); i++) {
        xensim_set_max_pages(t->dom, info.tot_pages + room[i]);
        XEN_TRY(is_refused(t, p));
    }
    xensim_set_max_pages(t->dom, info.max_pages);
    xen_test_dma_read(t, 40, 0x800000, 16);
    XEN_TRY(xen_test_disk_at(t, 0x800000, 40, 16, HOTPLUG_SEED,
                             "read other bytes after a device was refused"));
    why = hotplug_try(t, p);
    XEN_REQUIRE(!why, "refuses %s when there is room: %s", p->name, why);
    XEN_REQUIRE(xen_test_pages(t) == info.tot_pages + p->pages,
                "gave %s %" PRIu64 " frames", p->name,
                xen_test_pages(t) - info.tot_pages);
    return NULL;
}

/* ---- a guest below its maximum ---- */

/*
 * With maxmem= above memory=, the domain's limit is that of memory=, and RAM up
 * to maxmem= is populated on demand until the guest's balloon driver runs.
 */
enum {
    UPPER = 32 * MiB / XEN_TEST_PAGE,   /* on demand, up to the end of RAM */
    KEPT = UPPER / 2,                   /* frames for them */
    BALLOONED = UPPER + KEPT,           /* from here on, given back at last */
    END = 2 * UPPER,
    PICTURE = 5, UPPER_SEED = 20,
};

/* There is one page too little for @p, and then room for just @p. */
static const char *comes_and_goes(XenTest *t, const HotplugDevice *p)
{
    uint64_t before = xen_test_pages(t);

    xensim_set_max_pages(t->dom, before + p->pages - 1);
    XEN_TRY(is_refused(t, p));
    xensim_set_max_pages(t->dom, before + p->pages);
    XEN_TRY(hotplug_add(t, p));
    hotplug_show(t, p, HOTPLUG_A);
    hotplug_unplug(t);
    return hotplug_given_back(t, before);
}
#define comes_and_goes(...) XEN_AT(comes_and_goes(__VA_ARGS__))

static const char *has_picture(XenTest *t, uint32_t lfb)
{
    uint8_t page[XEN_TEST_PAGE];

    for (unsigned i = 0; i < XEN_TEST_VRAM_BYTES / XEN_TEST_PAGE; i++) {
        xensim_read(t->dom, lfb + i * XEN_TEST_PAGE, page, sizeof(page));
        XEN_REQUIRE(xensim_stamp_page_ok(page, XEN_TEST_LFB / XEN_TEST_PAGE + i,
                                         PICTURE), "lost page %u of a display",
                    i);
    }
    return NULL;
}
#define has_picture(...) XEN_AT(has_picture(__VA_ARGS__))

/* The pages that are on demand, and the frames for them. */
static const char *on_demand(XenTest *t, uint64_t gfns, uint64_t frames)
{
    XensimMemInfo info;

    xensim_mem_info(t->dom, &info);
    XEN_REQUIRE(info.on_demand_gfns == gfns && info.on_demand_pages == frames,
                "left %" PRIu64 " frames for %" PRIu64 " pages on demand",
                info.on_demand_pages, info.on_demand_gfns);
    XEN_REQUIRE(xensim_shutdown_reason(t->dom) == -1, "crashed the domain");
    return NULL;
}
#define on_demand(...) XEN_AT(on_demand(__VA_ARGS__))

/*
 * Device memory comes, goes and is relocated; a device is plugged in at the
 * limit.  None of that takes a frame of RAM.  Then the guest uses what it has
 * and gives the rest back, and is saved and restored at its limit.
 */
static const char *below_maximum(XenTest *t)
{
    const HotplugDevice *p = t->data;
    g_autofree char *args = hotplug_args(t, XEN_TEST_VGA);
    const uint32_t lfb = 0xd0000000;
    XensimDomainConfig cfg = {
        .ram_bytes = (uint64_t)XEN_TEST_RAM_MB << 20,
        .flags = XENSIM_DOM_EMPTY | XENSIM_DOM_SCATTERED,
    };

    xen_test_domain(t, 0);
    g_assert_cmpint(xensim_depopulate(t->dom, UPPER, UPPER), ==, UPPER);
    g_assert_cmpint(xensim_populate_on_demand(t->dom, UPPER, UPPER, KEPT), ==,
                    UPPER);
    xen_test_boot(t, args);
    xen_test_ide(t);
    xen_test_vga(t);
    xensim_stamp(t->dom, XEN_TEST_LFB / XEN_TEST_PAGE, 0x1000, PICTURE);
    XEN_TRY(comes_and_goes(t, p));
    xen_test_ok(t, guest_pci_place_bar(t->pc, 4 << 3, 0, lfb));
    XEN_TRY(comes_and_goes(t, p));
    XEN_TRY(on_demand(t, UPPER, KEPT));

    xensim_stamp(t->dom, UPPER, KEPT, UPPER_SEED);
    g_assert_cmpint(xensim_depopulate(t->dom, BALLOONED, END - BALLOONED), ==,
                    END - BALLOONED);
    XEN_TRY(on_demand(t, 0, 0));
    XEN_TRY(comes_and_goes(t, p));
    for (unsigned i = 0; i < 2; i++) {
        cfg.max_pages = xen_test_pages(t);
        xen_test_save_restore_as(t, args, &cfg);
        XEN_REQUIRE(xen_test_pages(t) == cfg.max_pages, "has %" PRIu64
                    " frames, not %" PRIu64, xen_test_pages(t), cfg.max_pages);
        XEN_REQUIRE(xensim_stamp_check(t->dom, UPPER, KEPT, UPPER_SEED) ==
                    XENSIM_NO_GFN, "lost pages of RAM");
        XEN_TRY(has_picture(t, lfb));
        XEN_TRY(comes_and_goes(t, p));
        xen_test_ok(t, guest_pci_place_bar(t->pc, 4 << 3, 0, XEN_TEST_LFB));
        XEN_TRY(has_picture(t, XEN_TEST_LFB));
        xen_test_ok(t, guest_pci_place_bar(t->pc, 4 << 3, 0, lfb));
        xen_test_dma_read(t, 40, 0x800000, 16);
        XEN_TRY(xen_test_disk_at(t, 0x800000, 40, 16, HOTPLUG_SEED,
                                 "read other bytes"));
    }
    XEN_REQUIRE(xensim_gfn_to_mfn(t->dom, BALLOONED) == XENSIM_NO_MFN,
                "has a page that the guest gave back");
    return NULL;
}

#define AT_LIMIT_STOCK "ended with status 1|has * frames, not *"
#define PLUGS "has plugged *"

static const struct {
    const char *path;
    XenScenario *scenario;
    unsigned plugged;
    const char *stock;
} plugged_cases[] = {
    { "hotplug/limit/e1000", at_limit, HOTPLUG_E1000, AT_LIMIT_STOCK },
    { "hotplug/limit/secondary-vga", at_limit, HOTPLUG_SECONDARY,
      AT_LIMIT_STOCK },
    { "hotplug/limit/bochs-display", at_limit, HOTPLUG_BOCHS, AT_LIMIT_STOCK },
    { "hotplug/own-pages/e1000", own_pages, HOTPLUG_E1000, PLUGS },
    { "hotplug/own-pages/secondary-vga", own_pages, HOTPLUG_SECONDARY, PLUGS },
    { "hotplug/own-pages/bochs-display", own_pages, HOTPLUG_BOCHS, PLUGS },
    { "hotplug/own-registers/e1000", own_registers, HOTPLUG_E1000, PLUGS },
    { "hotplug/own-registers/secondary-vga", own_registers, HOTPLUG_SECONDARY,
      PLUGS },
    { "hotplug/passed-through/e1000", passed_through, HOTPLUG_E1000,
      AT_LIMIT_STOCK },
    { "hotplug/passed-through/secondary-vga", passed_through, HOTPLUG_SECONDARY,
      AT_LIMIT_STOCK },
    { "hotplug/displaced", displaced, HOTPLUG_SECONDARY, NULL },
    { "hotplug/below-maximum/e1000", below_maximum, HOTPLUG_E1000, NULL },
    { "hotplug/below-maximum/secondary-vga", below_maximum, HOTPLUG_SECONDARY,
      NULL },
};

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    for (unsigned i = 0; i < G_N_ELEMENTS(plugged_cases); i++) {
        xen_test_add_data(plugged_cases[i].path, plugged_cases[i].scenario,
                          &hotplug_devices[plugged_cases[i].plugged],
                          plugged_cases[i].stock);
    }
    return g_test_run();
}
