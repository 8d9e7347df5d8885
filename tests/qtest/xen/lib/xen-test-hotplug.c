/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PCI devices that come and go: see xen-test-hotplug.h. */
#include "qemu/osdep.h"
#include "qobject/qdict.h"
#define XEN_TEST_HELPERS
#include "xen-test-hotplug.h"

enum {
    DISK_PAGES = 256,
    ROM_REG = 0x30,
    ROM_ENABLE = 1,
    EJECT = 0xae08,             /* a bit for each slot: it may go */
};

char *hotplug_args(XenTest *t, const char *more)
{
    return g_strconcat(xen_test_disk(t, DISK_PAGES, HOTPLUG_SEED), more, NULL);
}

void hotplug_boot(XenTest *t)
{
    xen_test_start_disk(t, DISK_PAGES, HOTPLUG_SEED, "");
}

/* ---- plugging ---- */

void hotplug_pages(XenTest *t, unsigned pages)
{
    qtest_qmp_assert_success(t->qts, "{'execute': 'device_add', 'arguments':"
                             " {'driver': 'secondary-vga', 'id': 'dev',"
                             " 'vgamem_mb': %u, 'addr': '7'}}",
                             pages * XEN_TEST_PAGE >> 20);
}

void hotplug_memory(XenTest *t)
{
    hotplug_pages(t, HOTPLUG_PAGES);
}

const char *hotplug_rom_file(XenTest *t)
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

const char *hotplug_rom(XenTest *t)
{
    const char *rom = hotplug_rom_file(t);

    qtest_qmp_assert_success(t->qts, "{'execute': 'device_add', 'arguments':"
                             " {'driver': 'e1000', 'id': 'dev',"
                             " 'romfile': %s, 'addr': '7'}}", rom);
    return rom;
}

void hotplug_place(XenTest *t, uint64_t at)
{
    xen_test_ok(t, guest_pci_place_bar(t->pc, HOTPLUG_DEVFN, 0, at));
}

void hotplug_stamp(XenTest *t, uint64_t at, uint64_t seed)
{
    xensim_stamp(t->dom, at / XEN_TEST_PAGE, HOTPLUG_PAGES, seed);
}

void hotplug_show_rom(XenTest *t, uint32_t at)
{
    xensim_pci_write(t->dom, 0, HOTPLUG_DEVFN, ROM_REG, 4, at | ROM_ENABLE);
    xen_test_ok(t, guest_pci_command(t->pc, HOTPLUG_DEVFN, GUEST_PCI_MEMORY,
                                     0));
}

void hotplug_eject(XenTest *t)
{
    qtest_qmp_assert_success(t->qts, "{'execute': 'device_del',"
                             " 'arguments': {'id': 'dev'}}");
    xensim_outl(t->dom, EJECT, 1u << (HOTPLUG_DEVFN >> 3));
}

void hotplug_unplug(XenTest *t)
{
    hotplug_eject(t);
    qtest_qmp_eventwait(t->qts, "DEVICE_DELETED");
}

/* ---- looking ---- */

const char *hotplug_same_memory(XenTest *t, uint64_t gpa, uint64_t seed)
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

const char *hotplug_same_rom(XenTest *t, uint64_t at)
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

const char *hotplug_lets_go(XenTest *t, uint64_t blocks)
{
    for (unsigned i = 0; i < 500; i++) {
        if (xen_test_stat(t, "blocks") == blocks) {
            return NULL;
        }
        g_usleep(10000);
    }
    XEN_REQUIRE(false, "still maps a device that is gone");
}

const char *hotplug_given_back(XenTest *t, uint64_t pages)
{
    for (unsigned i = 0; i < 500 && xen_test_pages(t) != pages; i++) {
        g_usleep(10000);
    }
    XEN_REQUIRE(xen_test_pages(t) == pages, "has lost %" PRId64 " frames",
                (int64_t)(xen_test_pages(t) - pages));
    return NULL;
}

const HotplugDevice hotplug_devices[] = {
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

char *hotplug_try(XenTest *t, const HotplugDevice *p)
{
    QDict *answer = qtest_qmp(t->qts, p->command, hotplug_rom_file(t));
    QDict *error = qdict_get_qdict(answer, "error");
    char *why = error ? g_strdup(qdict_get_str(error, "desc")) : NULL;

    qobject_unref(answer);
    return why;
}

const char *hotplug_add(XenTest *t, const HotplugDevice *p)
{
    g_autofree char *why = hotplug_try(t, p);

    XEN_REQUIRE(!why, "refuses %s: %s", p->name, why);
    return NULL;
}

void hotplug_show(XenTest *t, const HotplugDevice *p, uint32_t at)
{
    if (p->bar >= 0) {
        xen_test_ok(t, guest_pci_place_bar(t->pc, HOTPLUG_DEVFN, p->bar, at));
        xen_test_ok(t, guest_pci_command(t->pc, HOTPLUG_DEVFN,
                                         GUEST_PCI_MEMORY, 0));
    } else {
        hotplug_show_rom(t, at);
    }
}

static void find_top(void *opaque, uint64_t gfn, uint64_t mfn, uint64_t pages)
{
    uint64_t end = (gfn + pages) * XEN_TEST_PAGE, *top = opaque;

    if (end < 0x80000000 && end > *top) {
        *top = end;
    }
}

uint64_t hotplug_top(XenTest *t)
{
    uint64_t top = 0;

    xensim_p2m_foreach(t->dom, find_top, &top);
    return top;
}
