/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The frames of a PCI device that is unplugged go back to Xen, at once or when
 * Xen takes them.
 */
#include "qemu/osdep.h"
#include "xen-test-hotplug.h"

#define GIVE_BACK "xc_domain_decrease_reservation_exact"

/*
 * Xen does not take back the memory of a device that goes.  What comes after it
 * begins where that began and has memory of its own; what was left is used up.
 */
static const char *left_behind(XenTest *t)
{
    XensimFault fault = { .call = GIVE_BACK, .error = EBUSY };
    uint64_t before;

    hotplug_boot(t);
    before = xen_test_pages(t);
    for (unsigned round = 0; round < 8; round++) {
        unsigned pages = HOTPLUG_PAGES << round % 2;
        uint64_t word = 1;
        int id;

        hotplug_pages(t, pages);
        /* Where the last one's memory was left. */
        hotplug_place(t, HOTPLUG_B);
        xensim_read(t->dom, HOTPLUG_B, &word, sizeof(word));
        XEN_REQUIRE(!word, "shows the memory of the device that went");
        hotplug_place(t, HOTPLUG_A);
        XEN_REQUIRE(xen_test_pages_at(t, HOTPLUG_A, pages) == pages,
                    "has %" PRIu64 " frames of a new device's %u",
                    xen_test_pages_at(t, HOTPLUG_A, pages), pages);
        xensim_stamp(t->dom, HOTPLUG_A / XEN_TEST_PAGE, pages, round);
        hotplug_place(t, HOTPLUG_B);
        XEN_TRY(hotplug_same_memory(t, HOTPLUG_B, round));
        if (round % 4 > 1) {
            /* It is left at its initial range. */
            hotplug_place(t, HOTPLUG_INITIAL);
        }
        id = xensim_fault_arm(t->sim, &fault);
        hotplug_unplug(t);
        XEN_REQUIRE(xensim_fault_hits(t->sim, id) > 0, "gave nothing back");
        xensim_fault_disarm(t->sim, id);
    }
    /* The last one left is at the initial range: one more takes care of it. */
    hotplug_pages(t, 2 * HOTPLUG_PAGES);
    hotplug_unplug(t);
    return hotplug_given_back(t, before);
}

/*
 * A device is not plugged in, because the domain has frames for a part of its
 * memory only, and Xen does not take these back.  The next device uses the
 * range.
 */
static const char *refused_left(XenTest *t)
{
    const HotplugDevice *p = t->data;
    XensimFault fault = { .call = GIVE_BACK, .error = EBUSY };
    g_autofree char *why = NULL;
    XensimMemInfo info;
    int id;

    hotplug_boot(t);
    xensim_mem_info(t->dom, &info);
    xensim_set_max_pages(t->dom, info.tot_pages + p->pages / 2);
    id = xensim_fault_arm(t->sim, &fault);
    why = hotplug_try(t, p);
    XEN_REQUIRE(why, "has plugged %s", p->name);
    XEN_REQUIRE(xensim_fault_hits(t->sim, id) > 0, "gave nothing back");
    XEN_REQUIRE(xen_test_pages(t) > info.tot_pages, "has no frames left over");
    xensim_fault_disarm(t->sim, id);
    xensim_set_max_pages(t->dom, info.max_pages);
    XEN_TRY(hotplug_add(t, p));
    XEN_REQUIRE(xen_test_pages(t) == info.tot_pages + p->pages,
                "has %" PRIu64 " frames for %s",
                xen_test_pages(t) - info.tot_pages, p->name);
    hotplug_show(t, p, HOTPLUG_A);
    hotplug_unplug(t);
    return hotplug_given_back(t, info.tot_pages);
}

/*
 * From the Nth map call on, all calls fail while a device is plugged in, and
 * Xen takes no frames back.  Later devices use what was left.
 */
static const char *unmapped_left(XenTest *t)
{
    const HotplugDevice *p = t->data;
    XensimFault give = { .call = GIVE_BACK, .error = EBUSY };
    XensimFault map = {
        .call = "xenforeignmemory_map2", .first = 1, .error = EFAULT
    };
    uint64_t before, calls;

    hotplug_boot(t);
    before = xen_test_pages(t);
    do {
        int give_id = xensim_fault_arm(t->sim, &give);
        int map_id = xensim_fault_arm(t->sim, &map);
        g_autofree char *why = hotplug_try(t, p);

        calls = xensim_fault_hits(t->sim, map_id);
        xensim_fault_disarm(t->sim, map_id);
        xensim_fault_disarm(t->sim, give_id);
        if (!why) {
            hotplug_unplug(t);
        }
        g_free(why);
        why = hotplug_try(t, p);
        XEN_REQUIRE(!why, "refuses %s when map call %" PRIu64 " failed before: "
                    "%s", p->name, map.first, why);
        hotplug_unplug(t);
        XEN_TRY(hotplug_given_back(t, before));
    } while (calls >= map.first++);
    return NULL;
}

static void switch_display(XenTest *t, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        xen_test_ok(t, guest_pci_command(t->pc, 4 << 3, 0, GUEST_PCI_MEMORY));
        xen_test_ok(t, guest_pci_command(t->pc, 4 << 3, GUEST_PCI_MEMORY, 0));
    }
}
#define switch_display(...) XEN_AT(switch_display(__VA_ARGS__))

/*
 * While Xen takes nothing back, a guest that changes its memory map cannot have
 * it asked each time.  When Xen takes frames again, it gets them.
 */
static const char *asked_seldom(XenTest *t)
{
    enum { RANGES = 3, TIMES = 100, MOST = 10 };
    XensimFault fault = { .call = GIVE_BACK, .error = EBUSY };
    g_autofree char *args = hotplug_args(t, XEN_TEST_VGA);
    uint64_t before, asked;
    int id;

    xen_test_start(t, args);
    xen_test_ide(t);
    xen_test_vga(t);
    before = xen_test_pages(t);
    id = xensim_fault_arm(t->sim, &fault);
    for (unsigned i = 0; i < RANGES; i++) {
        uint64_t blocks = xen_test_stat(t, "blocks");

        hotplug_memory(t);
        xen_test_ok(t, guest_pci_place_bar(t->pc, HOTPLUG_DEVFN, 0,
                                           HOTPLUG_A + i * 0x200000));
        hotplug_unplug(t);
        XEN_TRY(hotplug_lets_go(t, blocks));
    }
    asked = xensim_fault_hits(t->sim, id);
    XEN_REQUIRE(asked >= RANGES &&
                xen_test_pages(t) == before + RANGES * HOTPLUG_PAGES,
                "has given frames back");
    switch_display(t, TIMES);
    asked = xensim_fault_hits(t->sim, id) - asked;
    XEN_REQUIRE(asked <= RANGES * MOST, "asked Xen %" PRIu64 " times in %u "
                "changes of the memory map", asked, 2 * TIMES);
    xensim_fault_disarm(t->sim, id);
    switch_display(t, 2 * TIMES);
    return hotplug_given_back(t, before);
}

/*
 * Devices come and go, with their memory shown, not any more, elsewhere, never.
 * There is room for one and not for two.
 */
static const char *gives_back(XenTest *t)
{
    const HotplugDevice *p = t->data;
    g_autofree char *args = hotplug_args(t, XEN_TEST_VGA);
    uint64_t blocks, before;

    xen_test_start(t, args);
    xen_test_ide(t);
    xen_test_vga(t);
    xensim_stamp(t->dom, XEN_TEST_LFB / XEN_TEST_PAGE, 0x1000, 5);
    blocks = xen_test_stat(t, "blocks");
    before = xen_test_pages(t);
    xensim_set_max_pages(t->dom, before + p->pages);
    for (unsigned round = 0; round < 50; round++) {
        XEN_TRY(hotplug_add(t, p));
        XEN_REQUIRE(xen_test_pages(t) == before + p->pages,
                    "has %" PRIu64 " frames in round %u",
                    xen_test_pages(t) - before, round);
        if (round % 4) {
            hotplug_show(t, p, HOTPLUG_A);
        }
        if (round % 4 > 1) {
            xen_test_ok(t, guest_pci_command(t->pc, HOTPLUG_DEVFN, 0,
                                             GUEST_PCI_MEMORY));
        }
        if (round % 4 > 2) {
            hotplug_show(t, p, HOTPLUG_B);
        }
        hotplug_unplug(t);
        XEN_TRY(hotplug_given_back(t, before));
        XEN_TRY(hotplug_lets_go(t, blocks));
        XEN_REQUIRE(!xen_test_pages_at(t, HOTPLUG_A, 0x2000),
                    "left frames at a BAR");
    }
    for (unsigned i = 0; i < 2; i++) {
        xen_test_save_restore(t, args);
        XEN_REQUIRE(xensim_stamp_check(t->dom, XEN_TEST_LFB / XEN_TEST_PAGE,
                                       0x1000, 5) == XENSIM_NO_GFN,
                    "lost the memory of the display that stayed");
        XEN_TRY(hotplug_add(t, p));
        hotplug_show(t, p, HOTPLUG_A);
        hotplug_unplug(t);
        XEN_TRY(hotplug_given_back(t, before));
    }
    return NULL;
}

#define LOSES "has lost * frames"

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("hotplug/left-behind", left_behind, NULL);
    xen_test_add_data("hotplug/refused-left/e1000", refused_left,
                      &hotplug_devices[HOTPLUG_E1000], NULL);
    xen_test_add_data("hotplug/refused-left/secondary-vga", refused_left,
                      &hotplug_devices[HOTPLUG_SECONDARY], NULL);
    xen_test_add_data("hotplug/unmapped-left/e1000", unmapped_left,
                      &hotplug_devices[HOTPLUG_E1000], NULL);
    xen_test_add_data("hotplug/unmapped-left/secondary-vga", unmapped_left,
                      &hotplug_devices[HOTPLUG_SECONDARY], NULL);
    xen_test_add("hotplug/asked-seldom", asked_seldom, NULL);
    xen_test_add_data("hotplug/gives-back/e1000", gives_back,
                      &hotplug_devices[HOTPLUG_E1000], LOSES);
    xen_test_add_data("hotplug/gives-back/secondary-vga", gives_back,
                      &hotplug_devices[HOTPLUG_SECONDARY], LOSES);
    return g_test_run();
}
