/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI devices with memory of their own that come and go while the guest runs:
 * it is placed, moved, reached by DMA, saved or given up like any other.
 */
#include "qemu/osdep.h"
#include "qobject/qdict.h"
#include "xen-test-common.h"

enum {
    HOTPLUG_SEED = 81,
    DISK_PAGES = 256,
    SLOT = 7,
    HOTPLUG_DEVFN = SLOT << 3,
    HOTPLUG_PAGES = 0x100,      /* of the device's memory */
    HOTPLUG_A = 0xf8000000,     /* where the guest puts its BAR, */
    HOTPLUG_B = 0xf9000000,     /* ... and moves it to */
    HOTPLUG_ROM_PAGES = 4,
    ROM_REG = 0x30,
    ROM_ENABLE = 1,
    EJECT = 0xae08,             /* a bit for each slot: it may go */
    HOTPLUG_INITIAL = XEN_TEST_RAM_MB << 20,    /* right above RAM */
};

#define GIVE_BACK "xc_domain_decrease_reservation_exact"

static char *hotplug_args(XenTest *t, const char *more)
{
    return g_strconcat(xen_test_disk(t, DISK_PAGES, HOTPLUG_SEED), more, NULL);
}

static void hotplug_boot(XenTest *t)
{
    xen_test_start_disk(t, DISK_PAGES, HOTPLUG_SEED, "");
}
#define hotplug_boot(...) XEN_AT(hotplug_boot(__VA_ARGS__))

/* ---- plugging ---- */

/* A display with memory in BAR 0; @pages make whole MiB. */
static void hotplug_pages(XenTest *t, unsigned pages)
{
    qtest_qmp_assert_success(t->qts, "{'execute': 'device_add', 'arguments':"
                             " {'driver': 'secondary-vga', 'id': 'dev',"
                             " 'vgamem_mb': %u, 'addr': '7'}}",
                             pages * XEN_TEST_PAGE >> 20);
}
#define hotplug_pages(...) XEN_AT(hotplug_pages(__VA_ARGS__))

static void hotplug_memory(XenTest *t)
{
    hotplug_pages(t, HOTPLUG_PAGES);
}
#define hotplug_memory(...) XEN_AT(hotplug_memory(__VA_ARGS__))

/* A file of an option ROM: its name. */
static const char *hotplug_rom_file(XenTest *t)
{
    const char *rom = xen_test_keep(t, g_strdup_printf("%s/rom", t->dir));
    g_autofree uint8_t *bytes = g_malloc(HOTPLUG_ROM_PAGES * XEN_TEST_PAGE);

    for (unsigned i = 0; i < HOTPLUG_ROM_PAGES; i++) {
        xensim_stamp_page(bytes + i * XEN_TEST_PAGE, i, HOTPLUG_SEED);
    }
    g_assert_true(g_file_set_contents(rom, (char *)bytes,
                                      HOTPLUG_ROM_PAGES * XEN_TEST_PAGE, NULL));
    return rom;
}
#define hotplug_rom_file(...) XEN_AT(hotplug_rom_file(__VA_ARGS__))

/* A network card with an option ROM: returns the file's name. */
static const char *hotplug_rom(XenTest *t)
{
    const char *rom = hotplug_rom_file(t);

    qtest_qmp_assert_success(t->qts, "{'execute': 'device_add', 'arguments':"
                             " {'driver': 'e1000', 'id': 'dev',"
                             " 'romfile': %s, 'addr': '7'}}", rom);
    return rom;
}
#define hotplug_rom(...) XEN_AT(hotplug_rom(__VA_ARGS__))

/* The guest places the device's memory, or stamps it. */
static void hotplug_place(XenTest *t, uint64_t at)
{
    xen_test_ok(t, guest_pci_place_bar(t->pc, HOTPLUG_DEVFN, 0, at));
}
#define hotplug_place(...) XEN_AT(hotplug_place(__VA_ARGS__))

static void hotplug_stamp(XenTest *t, uint64_t at, uint64_t seed)
{
    xensim_stamp(t->dom, at / XEN_TEST_PAGE, HOTPLUG_PAGES, seed);
}

/* The guest shows the ROM. */
static void hotplug_show_rom(XenTest *t, uint32_t at)
{
    xensim_pci_write(t->dom, 0, HOTPLUG_DEVFN, ROM_REG, 4, at | ROM_ENABLE);
    xen_test_ok(t, guest_pci_command(t->pc, HOTPLUG_DEVFN, GUEST_PCI_MEMORY,
                                     0));
}
#define hotplug_show_rom(...) XEN_AT(hotplug_show_rom(__VA_ARGS__))

/* The device is asked to go, and the guest lets it. */
static void hotplug_eject(XenTest *t)
{
    qtest_qmp_assert_success(t->qts, "{'execute': 'device_del',"
                             " 'arguments': {'id': 'dev'}}");
    xensim_outl(t->dom, EJECT, 1u << SLOT);
}
#define hotplug_eject(...) XEN_AT(hotplug_eject(__VA_ARGS__))

/* The same, and it is gone. */
static void hotplug_unplug(XenTest *t)
{
    hotplug_eject(t);
    qtest_qmp_eventwait(t->qts, "DEVICE_DELETED");
}
#define hotplug_unplug(...) XEN_AT(hotplug_unplug(__VA_ARGS__))

/* ---- looking ---- */

/*
 * The guest, the device model and a disk's DMA see the same memory at @gpa,
 * which has the stamps of gfns from HOTPLUG_A on and @seed.
 */
static const char *hotplug_same_memory(XenTest *t, uint64_t gpa, uint64_t seed)
{
    uint8_t page[XEN_TEST_PAGE];

    for (unsigned i = 0; i < HOTPLUG_PAGES; i += 5) {
        uint64_t at = gpa + i * XEN_TEST_PAGE;

        xensim_read(t->dom, at, page, sizeof(page));
        XEN_REQUIRE(xensim_stamp_page_ok(page, HOTPLUG_A / XEN_TEST_PAGE + i,
                                         seed), "lost page %u", i);
        qtest_memread(t->qts, at, page, sizeof(page));
        XEN_REQUIRE(xensim_stamp_page_ok(page, HOTPLUG_A / XEN_TEST_PAGE + i,
                                         seed), "sees another page %u", i);
    }
    xen_test_dma_read(t, 20, gpa + 7 * XEN_TEST_PAGE + 0x200, 16);
    XEN_TRY(xen_test_disk_at(t, gpa + 7 * XEN_TEST_PAGE + 0x200, 20, 16,
                             HOTPLUG_SEED, "read other bytes by DMA"));
    qtest_memread(t->qts, gpa + 9 * XEN_TEST_PAGE + 0x200, page,
                  sizeof(page));
    XEN_REQUIRE(xensim_stamp_page_ok(page, 22, HOTPLUG_SEED),
                "does not see what DMA wrote");
    return NULL;
}
#define hotplug_same_memory(...) XEN_AT(hotplug_same_memory(__VA_ARGS__))

/* The ROM is a copy that the guest reads through the device model. */
static const char *hotplug_same_rom(XenTest *t, uint64_t at)
{
    uint8_t page[XEN_TEST_PAGE];
    uint32_t want;

    for (unsigned i = 0; i < HOTPLUG_ROM_PAGES; i++) {
        xensim_stamp_page(page, i, HOTPLUG_SEED);
        for (unsigned k = 0; k < XEN_TEST_PAGE; k += 252) {
            memcpy(&want, page + k, 4);
            XEN_REQUIRE(xensim_mmio_read(t->dom, at + i * XEN_TEST_PAGE + k,
                                         4) == want, "shows another ROM");
        }
    }
    return NULL;
}
#define hotplug_same_rom(...) XEN_AT(hotplug_same_rom(__VA_ARGS__))

/* Waits (5 s) until there are @blocks pieces of device memory again. */
static const char *hotplug_lets_go(XenTest *t, uint64_t blocks)
{
    for (unsigned i = 0; i < 500; i++) {
        if (xen_test_stat(t, "blocks") == blocks) {
            return NULL;
        }
        g_usleep(10000);
    }
    XEN_REQUIRE(false, "still maps a device that is gone");
}
#define hotplug_lets_go(...) XEN_AT(hotplug_lets_go(__VA_ARGS__))

/* Waits (5 s) until the domain has @pages frames: none is kept by a mapping. */
static const char *hotplug_given_back(XenTest *t, uint64_t pages)
{
    for (unsigned i = 0; i < 500 && xen_test_pages(t) != pages; i++) {
        g_usleep(10000);
    }
    XEN_REQUIRE(xen_test_pages(t) == pages, "has lost %" PRId64 " frames",
                (int64_t)(xen_test_pages(t) - pages));
    return NULL;
}
#define hotplug_given_back(...) XEN_AT(hotplug_given_back(__VA_ARGS__))

/* ---- cases ---- */

static const char *memory(XenTest *t)
{
    uint64_t blocks, bytes;

    hotplug_boot(t);
    blocks = xen_test_stat(t, "blocks");
    for (unsigned round = 0; round < 3; round++) {
        hotplug_memory(t);
        xen_test_ok(t, guest_pci_bar_size(t->pc, HOTPLUG_DEVFN, 0, &bytes));
        XEN_REQUIRE(bytes == HOTPLUG_PAGES * XEN_TEST_PAGE,
                    "shows a BAR of 0x%" PRIx64 " bytes", bytes);
        hotplug_place(t, HOTPLUG_A);
        XEN_REQUIRE(xen_test_pages_at(t, HOTPLUG_A, HOTPLUG_PAGES) ==
                    HOTPLUG_PAGES,
                    "put %" PRIu64 " frames behind the BAR",
                    xen_test_pages_at(t, HOTPLUG_A, HOTPLUG_PAGES));
        hotplug_stamp(t, HOTPLUG_A, round);
        XEN_TRY(hotplug_same_memory(t, HOTPLUG_A, round));

        hotplug_stamp(t, HOTPLUG_A, 50 + round);
        hotplug_place(t, HOTPLUG_B);
        XEN_REQUIRE(xen_test_pages_at(t, HOTPLUG_A, HOTPLUG_PAGES) == 0,
                    "left frames behind");
        XEN_TRY(hotplug_same_memory(t, HOTPLUG_B, 50 + round));
        /* All but device memory goes; that stays and is right. */
        xensim_invalidate(t->dom);
        xensim_balloon_out(t->dom, 0x800, 16);
        xensim_balloon_in(t->dom, 0x800, 16);
        XEN_REQUIRE(t->stock || xen_test_stat(t, "blocks") == blocks + 1,
                    "has %" PRIu64 " pieces of device memory, not %" PRIu64,
                    xen_test_stat(t, "blocks"), blocks + 1);
        hotplug_stamp(t, HOTPLUG_B, 3);
        qtest_memset(t->qts, HOTPLUG_B, 0x77, XEN_TEST_PAGE);
        XEN_REQUIRE(xensim_mmio_read(t->dom, HOTPLUG_B + 8, 4) == 0x77777777,
                    "does not write where the guest reads");

        hotplug_unplug(t);
        XEN_TRY(hotplug_lets_go(t, blocks));
        XEN_REQUIRE(!xensim_gfn_mappings(t->dom, HOTPLUG_B / XEN_TEST_PAGE),
                    "holds frames of a device that is gone");
        xen_test_dma_read(t, 40, 0x800000, 16);
        XEN_TRY(xen_test_disk_at(t, 0x800000, 40, 16, HOTPLUG_SEED,
                                 "read other bytes after a device went"));
    }
    return NULL;
}

/*
 * The next comes before the last one's readers are gone: its memory may begin
 * where that of the last did, and is none of it.
 */
static const char *at_once(XenTest *t)
{
    hotplug_boot(t);
    for (unsigned round = 0; round < 40; round++) {
        hotplug_pages(t, HOTPLUG_PAGES << round % 2);
        hotplug_place(t, HOTPLUG_A);
        hotplug_stamp(t, HOTPLUG_A, round);
        XEN_TRY(hotplug_same_memory(t, HOTPLUG_A, round));
        if (round % 8 == 7) {
            /* The last one is unmapped by now. */
            g_usleep(100000);
            hotplug_stamp(t, HOTPLUG_A, round);
            XEN_TRY(hotplug_same_memory(t, HOTPLUG_A, round));
        }
        hotplug_unplug(t);
    }
    return NULL;
}

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

static const char *rom(XenTest *t)
{
    uint64_t blocks;

    hotplug_boot(t);
    blocks = xen_test_stat(t, "blocks");
    for (unsigned round = 0; round < 3; round++) {
        const uint32_t at = round % 2 ? HOTPLUG_B : HOTPLUG_A;

        hotplug_rom(t);
        hotplug_show_rom(t, at);
        XEN_TRY(hotplug_same_rom(t, at));
        hotplug_unplug(t);
        XEN_TRY(hotplug_lets_go(t, blocks));
        xen_test_dma_read(t, 40, 0x800000, 16);
        XEN_TRY(xen_test_disk_at(t, 0x800000, 40, 16, HOTPLUG_SEED,
                                 "read other bytes after a device went"));
    }
    return NULL;
}

/* It goes while a disk is about to read into it: the DMA is dropped. */
static const char *under_dma(XenTest *t)
{
    const GuestSg sg = { HOTPLUG_A + 0x8000, 64 * XEN_TEST_PAGE };

    hotplug_boot(t);
    for (unsigned round = 0; round < 8; round++) {
        hotplug_memory(t);
        hotplug_place(t, HOTPLUG_A);
        xen_test_ok(t, guest_ide_dma_start(&t->ide, false, 0, 64 * 8, &sg,
                                           1));
        hotplug_unplug(t);
        xen_test_ok(t, guest_ide_dma_wait(&t->ide));
        XEN_REQUIRE(!xensim_gfn_mappings(t->dom, sg.gpa / XEN_TEST_PAGE),
                    "holds frames of a device that is gone");
    }
    xen_test_dma_read(t, 40, 0x800000, 16);
    return xen_test_disk_at(t, 0x800000, 40, 16, HOTPLUG_SEED,
                            "read other bytes after a device went");
}

/* A guest that has got it while it ran is saved and restored with it. */
static const char *restored(XenTest *t)
{
    g_autofree char *args = NULL;
    const char *file;
    uint64_t blocks;

    hotplug_boot(t);
    blocks = xen_test_stat(t, "blocks");
    file = hotplug_rom(t);
    hotplug_show_rom(t, HOTPLUG_A);
    args = g_strdup_printf("-drive file='%s/disk',format=raw,if=ide,index=0,"
                           "media=disk -device e1000,id=dev,romfile='%s',"
                           "addr=7", t->dir, file);
    xen_test_save_restore(t, args);
    XEN_TRY(hotplug_same_rom(t, HOTPLUG_A));
    hotplug_unplug(t);
    XEN_TRY(hotplug_lets_go(t, blocks));
    /* And something else comes in its place. */
    hotplug_memory(t);
    hotplug_place(t, HOTPLUG_A);
    hotplug_stamp(t, HOTPLUG_A, 9);
    XEN_TRY(hotplug_same_memory(t, HOTPLUG_A, 9));
    hotplug_unplug(t);
    return hotplug_lets_go(t, blocks);
}

/* ---- what a device is given goes back ---- */

typedef struct HotplugDevice {
    const char *name;
    unsigned pages;     /* that the guest is given for it */
    int bar;            /* with its memory, or -1: it is a ROM */
    const char *command;
} HotplugDevice;

enum { HOTPLUG_E1000, HOTPLUG_SECONDARY, HOTPLUG_BOCHS };

static const HotplugDevice hotplug_devices[] = {
    { "e1000", 64, -1,
      "{'execute': 'device_add', 'arguments': {'driver': 'e1000', 'id': 'dev',"
      " 'addr': '7', 'romsize': 262144, 'romfile': %s}}" },
    { "secondary-vga", 0x1000, 0,
      "{'execute': 'device_add', 'arguments': {'driver': 'secondary-vga',"
      " 'id': 'dev', 'vgamem_mb': 16, 'addr': '7'}}" },
    { "bochs-display", 0x1000, 0,
      "{'execute': 'device_add', 'arguments': {'driver': 'bochs-display',"
      " 'id': 'dev', 'vgamem': 16777216, 'romfile': '', 'addr': '7'}}" },
};

/* What QEMU says against plugging @p (g_free), or NULL. */
static char *hotplug_try(XenTest *t, const HotplugDevice *p)
{
    QDict *answer = qtest_qmp(t->qts, p->command, hotplug_rom_file(t));
    QDict *error = qdict_get_qdict(answer, "error");
    char *why = error ? g_strdup(qdict_get_str(error, "desc")) : NULL;

    qobject_unref(answer);
    return why;
}

static const char *hotplug_add(XenTest *t, const HotplugDevice *p)
{
    g_autofree char *why = hotplug_try(t, p);

    XEN_REQUIRE(!why, "refuses %s: %s", p->name, why);
    return NULL;
}
#define hotplug_add(...) XEN_AT(hotplug_add(__VA_ARGS__))

/* Shows the memory at @at, or the ROM. */
static void hotplug_show(XenTest *t, const HotplugDevice *p, uint32_t at)
{
    if (p->bar >= 0) {
        xen_test_ok(t, guest_pci_place_bar(t->pc, HOTPLUG_DEVFN, p->bar, at));
        xen_test_ok(t, guest_pci_command(t->pc, HOTPLUG_DEVFN,
                                         GUEST_PCI_MEMORY, 0));
    } else {
        hotplug_show_rom(t, at);
    }
}
#define hotplug_show(...) XEN_AT(hotplug_show(__VA_ARGS__))

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

/* ---- what the guest has where a device's memory would be ---- */

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

static void find_top(void *opaque, uint64_t gfn, uint64_t mfn, uint64_t pages)
{
    uint64_t end = (gfn + pages) * XEN_TEST_PAGE, *top = opaque;

    if (end < 0x80000000 && end > *top) {
        *top = end;
    }
}

/* Where the memory of the next device goes: behind all that there is. */
static uint64_t hotplug_top(XenTest *t)
{
    uint64_t top = 0;

    xensim_p2m_foreach(t->dom, find_top, &top);
    return top;
}

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

/* ---- a restore, in which memory gets another initial range ---- */

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

/* ---- at the domain's limit ---- */

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

#define AT_LIMIT_STOCK "ended with status 1|has * frames, not *"
#define LOSES "has lost * frames"
#define PLUGS "has plugged *"

/* QEMU keeps a reference to a bochs-display that goes: it never does. */
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
    { "hotplug/gives-back/e1000", gives_back, HOTPLUG_E1000, LOSES },
    { "hotplug/gives-back/secondary-vga", gives_back, HOTPLUG_SECONDARY,
      LOSES },
    { "hotplug/own-pages/e1000", own_pages, HOTPLUG_E1000, PLUGS },
    { "hotplug/own-pages/secondary-vga", own_pages, HOTPLUG_SECONDARY, PLUGS },
    { "hotplug/own-pages/bochs-display", own_pages, HOTPLUG_BOCHS, PLUGS },
    { "hotplug/own-registers/e1000", own_registers, HOTPLUG_E1000, PLUGS },
    { "hotplug/own-registers/secondary-vga", own_registers, HOTPLUG_SECONDARY,
      PLUGS },
    { "hotplug/displaced", displaced, HOTPLUG_SECONDARY, NULL },
};

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("hotplug/memory", memory, "ended by SIG*");
    xen_test_add("hotplug/at-once", at_once, NULL);
    xen_test_add("hotplug/left-behind", left_behind, NULL);
    xen_test_add("hotplug/asked-seldom", asked_seldom, NULL);
    xen_test_add("hotplug/rom", rom, "ok");
    xen_test_add("hotplug/under-dma", under_dma, "ended by SIG*");
    xen_test_add("hotplug/restore", restored, "ended by SIG*");
    if (!xen_test_compat()) {
        static char again;

        xen_test_add("hotplug/restore-gap", gap, NULL);
        xen_test_add("hotplug/restore-swapped", swapped, NULL);
        xen_test_add("hotplug/restore-rom-in-part", rom_in_part, NULL);
        xen_test_add("hotplug/restore-never-freed", never_freed, NULL);
        xen_test_add("hotplug/restore-unplugged", start_unplugged, NULL);
        xen_test_add_data("hotplug/restore-unplugged-again", start_unplugged,
                          &again, NULL);
        xen_test_add("hotplug/restore-last-unplugged", last_unplugged, NULL);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(plugged_cases); i++) {
        xen_test_add_data(plugged_cases[i].path, plugged_cases[i].scenario,
                          &hotplug_devices[plugged_cases[i].plugged],
                          plugged_cases[i].stock);
    }
    return g_test_run();
}
