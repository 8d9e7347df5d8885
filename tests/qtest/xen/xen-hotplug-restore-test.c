/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices were plugged in or unplugged, and the QEMU of a restore has other
 * initial ranges.
 */
#include "qemu/osdep.h"
#include "xen-test-hotplug.h"

enum { DISPLAY = 9 << 3, DISPLAY_SEED = 30 };

#define DISPLAY_ARGS "-device secondary-vga,id=two,vgamem_mb=1,addr=9 "

/* The last device is the display, which is nowhere yet: it gets stamps. */
static void draw_display(XenTest *t)
{
    uint64_t home = hotplug_top(t) - HOTPLUG_PAGES * XEN_TEST_PAGE;
    uint8_t page[XEN_TEST_PAGE];

    for (unsigned i = 0; i < HOTPLUG_PAGES; i++) {
        xensim_stamp_page(page, HOTPLUG_A / XEN_TEST_PAGE + i, DISPLAY_SEED);
        xensim_write(t->dom, home + i * XEN_TEST_PAGE, page, sizeof(page));
    }
}
#define draw_display(...) XEN_AT(draw_display(__VA_ARGS__))

static void plug_display(XenTest *t)
{
    qtest_qmp_assert_success(t->qts, "{'execute': 'device_add', 'arguments':"
                             " {'driver': 'secondary-vga', 'id': 'two',"
                             " 'vgamem_mb': 1, 'addr': '9'}}");
    draw_display(t);
}
#define plug_display(...) XEN_AT(plug_display(__VA_ARGS__))

static const char *has_display(XenTest *t)
{
    xen_test_ok(t, guest_pci_place_bar(t->pc, DISPLAY, 0, HOTPLUG_A));
    xen_test_ok(t, guest_pci_command(t->pc, DISPLAY, GUEST_PCI_MEMORY, 0));
    XEN_TRY(hotplug_same_memory(t, HOTPLUG_A, DISPLAY_SEED));
    /* DMA has written to it. */
    hotplug_stamp(t, HOTPLUG_A, DISPLAY_SEED);
    return NULL;
}
#define has_display(...) XEN_AT(has_display(__VA_ARGS__))

static char *with_rom(XenTest *t, const char *before, const char *after)
{
    g_autofree char *more =
        g_strdup_printf(" %s-device e1000,id=dev,romfile='%s',addr=7 %s",
                        before, hotplug_rom_file(t), after);

    return hotplug_args(t, more);
}

static bool says_where(XenTest *t)
{
    g_autofree char *state = NULL;
    gsize len;

    g_assert_true(g_file_get_contents(xen_test_save(t), &state, &len, NULL));
    return memmem(state, len, "xen-physmap", strlen("xen-physmap"));
}
#define says_where(...) XEN_AT(says_where(__VA_ARGS__))

/* Others come and go, and leave nothing. */
static const char *others_come(XenTest *t)
{
    uint64_t blocks = xen_test_stat(t, "blocks"), before = xen_test_pages(t);

    for (unsigned i = 0; i < 2; i++) {
        hotplug_rom(t);
        hotplug_unplug(t);
        XEN_TRY(hotplug_lets_go(t, blocks));
        hotplug_memory(t);
        hotplug_unplug(t);
        XEN_TRY(hotplug_lets_go(t, blocks));
    }
    return hotplug_given_back(t, before);
}
#define others_come(...) XEN_AT(others_come(__VA_ARGS__))

/* The display came after a card that is gone. */
static const char *gap(XenTest *t)
{
    g_autofree char *args = hotplug_args(t, " " DISPLAY_ARGS);
    uint64_t before;

    hotplug_boot(t);
    hotplug_rom(t);
    before = xen_test_pages(t);
    plug_display(t);
    hotplug_unplug(t);
    XEN_TRY(hotplug_given_back(t, before - HOTPLUG_ROM_PAGES + HOTPLUG_PAGES));
    for (unsigned i = 0; i < 2; i++) {
        uint64_t pages = xen_test_pages(t);

        xen_test_save_restore(t, args);
        XEN_REQUIRE(xen_test_pages(t) == pages,
                    "has %" PRIu64 " frames, not %" PRIu64, xen_test_pages(t),
                    pages);
        XEN_TRY(others_come(t));
        XEN_TRY(has_display(t));
        XEN_REQUIRE(hotplug_top(t) <= HOTPLUG_INITIAL, "left frames above RAM");
        XEN_TRY(others_come(t));
    }
    return NULL;
}

/* Both stay, but the other is made first. */
static const char *swapped(XenTest *t)
{
    g_autofree char *args = with_rom(t, DISPLAY_ARGS, "");
    uint64_t blocks, pages;

    hotplug_boot(t);
    blocks = xen_test_stat(t, "blocks");
    hotplug_rom(t);
    plug_display(t);
    pages = xen_test_pages(t);
    for (unsigned i = 0; i < 2; i++) {
        xen_test_save_restore(t, args);
        XEN_REQUIRE(xen_test_pages(t) == pages,
                    "has %" PRIu64 " frames, not %" PRIu64, xen_test_pages(t),
                    pages);
        hotplug_show_rom(t, HOTPLUG_B);
        XEN_TRY(hotplug_same_rom(t, HOTPLUG_B));
        XEN_TRY(has_display(t));
        XEN_TRY(hotplug_same_rom(t, HOTPLUG_B));
    }
    hotplug_unplug(t);
    XEN_TRY(hotplug_lets_go(t, blocks + 1));
    XEN_TRY(hotplug_given_back(t, pages - HOTPLUG_ROM_PAGES));
    return others_come(t);
}

/* The guest has given away a page of the ROM: it gets a blank one. */
static const char *rom_in_part(XenTest *t)
{
    g_autofree char *args = with_rom(t, DISPLAY_ARGS, "");
    uint64_t pages;

    hotplug_boot(t);
    hotplug_rom(t);
    pages = xen_test_pages(t);
    xensim_depopulate(t->dom, hotplug_top(t) / XEN_TEST_PAGE - 1, 1);
    plug_display(t);
    xen_test_save_restore(t, args);
    XEN_TRY(hotplug_given_back(t, pages + HOTPLUG_PAGES));
    XEN_TRY(has_display(t));
    hotplug_unplug(t);
    return hotplug_given_back(t, pages + HOTPLUG_PAGES - HOTPLUG_ROM_PAGES);
}

/* QEMU never frees the display that went: the next QEMU has no such device. */
static const char *never_freed(XenTest *t)
{
    g_autofree char *args = hotplug_args(t, " " DISPLAY_ARGS);
    const HotplugDevice *bochs = &hotplug_devices[HOTPLUG_BOCHS];
    uint64_t before;

    hotplug_boot(t);
    before = xen_test_pages(t);
    XEN_TRY(hotplug_add(t, bochs));
    hotplug_show(t, bochs, HOTPLUG_B);
    hotplug_eject(t);
    plug_display(t);
    xen_test_save_restore(t, args);
    XEN_TRY(hotplug_given_back(t, before + HOTPLUG_PAGES));
    XEN_TRY(has_display(t));
    return others_come(t);
}

/* The card was there at the start, and the toolstack may have it again. */
static const char *start_unplugged(XenTest *t)
{
    g_autofree char *both = with_rom(t, "", DISPLAY_ARGS);
    g_autofree char *one = hotplug_args(t, " " DISPLAY_ARGS);
    uint64_t blocks;

    xen_test_start(t, both);
    xen_test_ide(t);
    blocks = xen_test_stat(t, "blocks");
    draw_display(t);
    XEN_REQUIRE(!says_where(t), "says where memory is that never moved");
    xen_test_save_restore(t, both);
    hotplug_unplug(t);
    XEN_TRY(hotplug_lets_go(t, blocks - 1));
    XEN_REQUIRE(says_where(t), "does not say where the display is");
    xen_test_save_restore(t, t->data ? both : one);
    XEN_TRY(has_display(t));
    return t->data ? NULL : others_come(t);
}

/* The card that goes is the last device: all else is where it always is. */
static const char *last_unplugged(XenTest *t)
{
    g_autofree char *both = with_rom(t, DISPLAY_ARGS, "");
    g_autofree char *one = hotplug_args(t, " " DISPLAY_ARGS);

    xen_test_start(t, both);
    xen_test_ide(t);
    hotplug_unplug(t);
    XEN_REQUIRE(!says_where(t), "says where memory is that never moved");
    xen_test_save_restore(t, one);
    draw_display(t);
    XEN_TRY(has_display(t));
    return others_come(t);
}

/*
 * QEMU shows the vmclock's page from the start, before it loads a state.  The
 * page's frame stays where it was above the card's ROM, which is gone.
 */
static const char *shown_early(XenTest *t)
{
    enum { VMCLOCK_PAGE = 0xfeffb000, VMCLOCK_MAGIC = 0x4b4c4356 };
    g_autofree char *both = with_rom(t, "", "-device vmclock ");
    g_autofree char *one = hotplug_args(t, " -device vmclock ");
    uint64_t pages;

    xen_test_start(t, both);
    xen_test_ide(t);
    pages = xen_test_pages(t);
    hotplug_unplug(t);
    XEN_TRY(hotplug_given_back(t, pages - HOTPLUG_ROM_PAGES));
    for (unsigned i = 0; i < 2; i++) {
        XEN_REQUIRE(qtest_readl(t->qts, VMCLOCK_PAGE) == VMCLOCK_MAGIC,
                    "has no vmclock");
        xen_test_save_restore(t, one);
        XEN_REQUIRE(xen_test_pages(t) == pages - HOTPLUG_ROM_PAGES,
                    "has %" PRIu64 " frames, not %" PRIu64, xen_test_pages(t),
                    pages - HOTPLUG_ROM_PAGES);
    }
    return others_come(t);
}

int main(int argc, char **argv)
{
    static char again;

    xen_test_init(argc, argv);
    xen_test_add("hotplug/restore-gap", gap, NULL);
    xen_test_add("hotplug/restore-swapped", swapped, NULL);
    xen_test_add("hotplug/restore-rom-in-part", rom_in_part, NULL);
    xen_test_add("hotplug/restore-never-freed", never_freed, NULL);
    xen_test_add("hotplug/restore-unplugged", start_unplugged, NULL);
    xen_test_add_data("hotplug/restore-unplugged-again", start_unplugged,
                      &again, NULL);
    xen_test_add("hotplug/restore-last-unplugged", last_unplugged, NULL);
    xen_test_add("hotplug/restore-shown-early", shown_early, NULL);
    return g_test_run();
}
