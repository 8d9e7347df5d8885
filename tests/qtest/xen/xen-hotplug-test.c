/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI devices with memory of their own that come and go while the guest runs:
 * it is placed, moved, reached by DMA, saved or given up like any other.
 */
#include "qemu/osdep.h"
#include "qobject/qdict.h"
#include "xen-test-common.h"

enum {
    SEED = 81,
    DISK_PAGES = 256,
    SLOT = 7,
    DEVFN = SLOT << 3,
    MEM_PAGES = 0x100,          /* of the device's memory */
    FIRST = 0xf8000000,         /* where the guest puts its BAR, */
    SECOND = 0xf9000000,        /* ... and moves it to */
    ROM_PAGES = 4,
    ROM_REG = 0x30,
    ROM_ENABLE = 1,
    EJECT = 0xae08,             /* a bit for each slot: it may go */
};

static void boot(XenTest *t)
{
    xen_test_start(t, xen_test_disk(t, DISK_PAGES, SEED));
    xen_test_ide(t);
}
#define boot(...) XEN_AT(boot(__VA_ARGS__))

/* ---- plugging ---- */

/* Memory that the guest and its neighbours share, in BAR 2. */
static void plug_pages(XenTest *t, unsigned pages)
{
    qtest_qmp_assert_success(t->qts, "{'execute': 'object-add', 'arguments':"
                             " {'qom-type': 'memory-backend-ram',"
                             " 'id': 'mem', 'size': %u}}",
                             pages * XEN_TEST_PAGE);
    qtest_qmp_assert_success(t->qts, "{'execute': 'device_add', 'arguments':"
                             " {'driver': 'ivshmem-plain', 'id': 'dev',"
                             " 'memdev': 'mem', 'addr': '7'}}");
}
#define plug_pages(...) XEN_AT(plug_pages(__VA_ARGS__))

static void plug_memory(XenTest *t)
{
    plug_pages(t, MEM_PAGES);
}
#define plug_memory(...) XEN_AT(plug_memory(__VA_ARGS__))

/* A file of an option ROM: its name. */
static const char *rom_file(XenTest *t)
{
    const char *rom = xen_test_keep(t, g_strdup_printf("%s/rom", t->dir));
    g_autofree uint8_t *bytes = g_malloc(ROM_PAGES * XEN_TEST_PAGE);

    for (unsigned i = 0; i < ROM_PAGES; i++) {
        xensim_stamp_page(bytes + i * XEN_TEST_PAGE, i, SEED);
    }
    g_assert_true(g_file_set_contents(rom, (char *)bytes,
                                      ROM_PAGES * XEN_TEST_PAGE, NULL));
    return rom;
}
#define rom_file(...) XEN_AT(rom_file(__VA_ARGS__))

/* A network card with an option ROM: returns the file's name. */
static const char *plug_rom(XenTest *t)
{
    const char *rom = rom_file(t);

    qtest_qmp_assert_success(t->qts, "{'execute': 'device_add', 'arguments':"
                             " {'driver': 'e1000', 'id': 'dev',"
                             " 'romfile': %s, 'addr': '7'}}", rom);
    return rom;
}
#define plug_rom(...) XEN_AT(plug_rom(__VA_ARGS__))

/* The device is asked to go; the guest lets it; it is gone. */
static void unplug(XenTest *t)
{
    qtest_qmp_assert_success(t->qts, "{'execute': 'device_del',"
                             " 'arguments': {'id': 'dev'}}");
    xensim_outl(t->dom, EJECT, 1u << SLOT);
    qtest_qmp_eventwait(t->qts, "DEVICE_DELETED");
}
#define unplug(...) XEN_AT(unplug(__VA_ARGS__))

static void unplug_memory(XenTest *t)
{
    unplug(t);
    qtest_qmp_assert_success(t->qts, "{'execute': 'object-del',"
                             " 'arguments': {'id': 'mem'}}");
}
#define unplug_memory(...) XEN_AT(unplug_memory(__VA_ARGS__))

/* ---- looking ---- */

typedef struct Found {
    uint64_t first, last, pages;    /* gfns */
} Found;

static void look(void *opaque, uint64_t gfn, uint64_t mfn, uint64_t pages)
{
    Found *f = opaque;
    uint64_t from = MAX(gfn, f->first);
    uint64_t to = MIN(gfn + pages, f->last + 1);

    f->pages += from < to ? to - from : 0;
}

/* How many of the frames from @gpa on, @pages of them, are there. */
static uint64_t frames(XenTest *t, uint64_t gpa, uint64_t pages)
{
    Found f = { gpa / XEN_TEST_PAGE, gpa / XEN_TEST_PAGE + pages - 1, 0 };

    xensim_p2m_foreach(t->dom, look, &f);
    return f.pages;
}

/*
 * The guest, the device model and a disk's DMA see the same memory at @gpa,
 * which has the stamps of gfns from FIRST on and @seed.
 */
static const char *same_memory(XenTest *t, uint64_t gpa, uint64_t seed)
{
    uint8_t page[XEN_TEST_PAGE];

    for (unsigned i = 0; i < MEM_PAGES; i += 5) {
        uint64_t at = gpa + i * XEN_TEST_PAGE;

        xensim_read(t->dom, at, page, sizeof(page));
        XEN_REQUIRE(xensim_stamp_page_ok(page, FIRST / XEN_TEST_PAGE + i,
                                         seed), "lost page %u", i);
        qtest_memread(t->qts, at, page, sizeof(page));
        XEN_REQUIRE(xensim_stamp_page_ok(page, FIRST / XEN_TEST_PAGE + i,
                                         seed), "sees another page %u", i);
    }
    xen_test_dma_read(t, 20, gpa + 7 * XEN_TEST_PAGE + 0x200, 16);
    XEN_TRY(xen_test_disk_at(t, gpa + 7 * XEN_TEST_PAGE + 0x200, 20, 16, SEED,
                             "read other bytes by DMA"));
    qtest_memread(t->qts, gpa + 9 * XEN_TEST_PAGE + 0x200, page,
                  sizeof(page));
    XEN_REQUIRE(xensim_stamp_page_ok(page, 22, SEED),
                "does not see what DMA wrote");
    return NULL;
}
#define same_memory(...) XEN_AT(same_memory(__VA_ARGS__))

/* The ROM is a copy that the guest reads through the device model. */
static const char *same_rom(XenTest *t, uint64_t at)
{
    uint8_t page[XEN_TEST_PAGE];
    uint32_t want;

    for (unsigned i = 0; i < ROM_PAGES; i++) {
        xensim_stamp_page(page, i, SEED);
        for (unsigned k = 0; k < XEN_TEST_PAGE; k += 252) {
            memcpy(&want, page + k, 4);
            XEN_REQUIRE(xensim_mmio_read(t->dom, at + i * XEN_TEST_PAGE + k,
                                         4) == want, "shows another ROM");
        }
    }
    return NULL;
}
#define same_rom(...) XEN_AT(same_rom(__VA_ARGS__))

/* Waits (5 s) until there are @blocks pieces of device memory again. */
static const char *lets_go(XenTest *t, uint64_t blocks)
{
    for (unsigned i = 0; i < 500; i++) {
        if (xen_test_stat(t, "blocks") == blocks) {
            return NULL;
        }
        g_usleep(10000);
    }
    XEN_REQUIRE(false, "still maps a device that is gone");
}
#define lets_go(...) XEN_AT(lets_go(__VA_ARGS__))

/* ---- cases ---- */

static const char *memory(XenTest *t)
{
    uint64_t blocks, bytes;

    boot(t);
    blocks = xen_test_stat(t, "blocks");
    for (unsigned round = 0; round < 3; round++) {
        plug_memory(t);
        xen_test_ok(t, guest_pci_bar_size(t->pc, DEVFN, 2, &bytes));
        XEN_REQUIRE(bytes == MEM_PAGES * XEN_TEST_PAGE,
                    "shows a BAR of 0x%" PRIx64 " bytes", bytes);
        xen_test_ok(t, guest_pci_place_bar(t->pc, DEVFN, 2, FIRST));
        XEN_REQUIRE(frames(t, FIRST, MEM_PAGES) == MEM_PAGES,
                    "put %" PRIu64 " frames behind the BAR",
                    frames(t, FIRST, MEM_PAGES));
        xensim_stamp(t->dom, FIRST / XEN_TEST_PAGE, MEM_PAGES, round);
        XEN_TRY(same_memory(t, FIRST, round));

        xensim_stamp(t->dom, FIRST / XEN_TEST_PAGE, MEM_PAGES, 50 + round);
        xen_test_ok(t, guest_pci_place_bar(t->pc, DEVFN, 2, SECOND));
        XEN_REQUIRE(frames(t, FIRST, MEM_PAGES) == 0, "left frames behind");
        XEN_TRY(same_memory(t, SECOND, 50 + round));
        /* All but device memory goes; that stays and is right. */
        xensim_invalidate(t->dom);
        xensim_balloon_out(t->dom, 0x800, 16);
        xensim_balloon_in(t->dom, 0x800, 16);
        XEN_REQUIRE(t->stock || xen_test_stat(t, "blocks") == blocks + 1,
                    "has %" PRIu64 " pieces of device memory, not %" PRIu64,
                    xen_test_stat(t, "blocks"), blocks + 1);
        xensim_stamp(t->dom, SECOND / XEN_TEST_PAGE, MEM_PAGES, 3);
        qtest_memset(t->qts, SECOND, 0x77, XEN_TEST_PAGE);
        XEN_REQUIRE(xensim_mmio_read(t->dom, SECOND + 8, 4) == 0x77777777,
                    "does not write where the guest reads");

        unplug_memory(t);
        XEN_TRY(lets_go(t, blocks));
        XEN_REQUIRE(!xensim_gfn_mappings(t->dom, SECOND / XEN_TEST_PAGE),
                    "holds frames of a device that is gone");
        xen_test_dma_read(t, 40, 0x800000, 16);
        XEN_TRY(xen_test_disk_at(t, 0x800000, 40, 16, SEED,
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
    boot(t);
    for (unsigned round = 0; round < 40; round++) {
        plug_pages(t, MEM_PAGES << round % 2);
        xen_test_ok(t, guest_pci_place_bar(t->pc, DEVFN, 2, FIRST));
        xensim_stamp(t->dom, FIRST / XEN_TEST_PAGE, MEM_PAGES, round);
        XEN_TRY(same_memory(t, FIRST, round));
        if (round % 8 == 7) {
            /* The last one is unmapped by now. */
            g_usleep(100000);
            xensim_stamp(t->dom, FIRST / XEN_TEST_PAGE, MEM_PAGES, round);
            XEN_TRY(same_memory(t, FIRST, round));
        }
        unplug_memory(t);
    }
    return NULL;
}

/*
 * Xen does not let a device's memory leave the BAR when the device goes.  What
 * comes after it begins where that began and has memory of its own.
 */
static const char *left_behind(XenTest *t)
{
    XensimFault fault = { .call = "xendevicemodel_relocate_memory",
                          .error = EBUSY };

    boot(t);
    for (unsigned round = 0; round < 4; round++) {
        unsigned pages = MEM_PAGES << round / 2;
        uint64_t word = 1;
        int id;

        plug_pages(t, pages);
        /* Where the last one's memory was left. */
        xen_test_ok(t, guest_pci_place_bar(t->pc, DEVFN, 2, SECOND));
        xensim_read(t->dom, SECOND, &word, sizeof(word));
        XEN_REQUIRE(!word, "shows the memory of the device that went");
        xen_test_ok(t, guest_pci_place_bar(t->pc, DEVFN, 2, FIRST));
        XEN_REQUIRE(frames(t, FIRST, pages) == pages,
                    "has %" PRIu64 " frames of a new device's %u",
                    frames(t, FIRST, pages), pages);
        xensim_stamp(t->dom, FIRST / XEN_TEST_PAGE, pages, round);
        xen_test_ok(t, guest_pci_place_bar(t->pc, DEVFN, 2, SECOND));
        XEN_TRY(same_memory(t, SECOND, round));
        id = xensim_fault_arm(t->sim, &fault);
        unplug_memory(t);
        XEN_REQUIRE(xensim_fault_hits(t->sim, id) > 0, "moved nothing");
        xensim_fault_disarm(t->sim, id);
    }
    return NULL;
}

static const char *rom(XenTest *t)
{
    uint64_t blocks;

    boot(t);
    blocks = xen_test_stat(t, "blocks");
    for (unsigned round = 0; round < 3; round++) {
        const uint32_t at = round % 2 ? SECOND : FIRST;

        plug_rom(t);
        xensim_pci_write(t->dom, 0, DEVFN, ROM_REG, 4, at | ROM_ENABLE);
        xen_test_ok(t, guest_pci_command(t->pc, DEVFN, GUEST_PCI_MEMORY, 0));
        XEN_TRY(same_rom(t, at));
        unplug(t);
        XEN_TRY(lets_go(t, blocks));
        xen_test_dma_read(t, 40, 0x800000, 16);
        XEN_TRY(xen_test_disk_at(t, 0x800000, 40, 16, SEED,
                                 "read other bytes after a device went"));
    }
    return NULL;
}

/* It goes while a disk is about to read into it: the DMA is dropped. */
static const char *under_dma(XenTest *t)
{
    const GuestSg sg = { FIRST + 0x8000, 64 * XEN_TEST_PAGE };

    boot(t);
    for (unsigned round = 0; round < 8; round++) {
        plug_memory(t);
        xen_test_ok(t, guest_pci_place_bar(t->pc, DEVFN, 2, FIRST));
        xen_test_ok(t, guest_ide_dma_start(&t->ide, false, 0, 64 * 8, &sg,
                                           1));
        unplug_memory(t);
        xen_test_ok(t, guest_ide_dma_wait(&t->ide));
        XEN_REQUIRE(!xensim_gfn_mappings(t->dom, sg.gpa / XEN_TEST_PAGE),
                    "holds frames of a device that is gone");
    }
    xen_test_dma_read(t, 40, 0x800000, 16);
    return xen_test_disk_at(t, 0x800000, 40, 16, SEED,
                            "read other bytes after a device went");
}

/* A guest that has got it while it ran is saved and restored with it. */
static const char *restored(XenTest *t)
{
    g_autofree char *args = NULL;
    const char *file;
    uint64_t blocks;

    boot(t);
    blocks = xen_test_stat(t, "blocks");
    file = plug_rom(t);
    xensim_pci_write(t->dom, 0, DEVFN, ROM_REG, 4, FIRST | ROM_ENABLE);
    xen_test_ok(t, guest_pci_command(t->pc, DEVFN, GUEST_PCI_MEMORY, 0));
    args = g_strdup_printf("-drive file='%s/disk',format=raw,if=ide,index=0,"
                           "media=disk -device e1000,id=dev,romfile='%s',"
                           "addr=7", t->dir, file);
    xen_test_save_restore(t, args);
    XEN_TRY(same_rom(t, FIRST));
    unplug(t);
    XEN_TRY(lets_go(t, blocks));
    /* And something else comes in its place. */
    plug_memory(t);
    xen_test_ok(t, guest_pci_place_bar(t->pc, DEVFN, 2, FIRST));
    xensim_stamp(t->dom, FIRST / XEN_TEST_PAGE, MEM_PAGES, 9);
    XEN_TRY(same_memory(t, FIRST, 9));
    unplug_memory(t);
    return lets_go(t, blocks);
}

/* ---- at the domain's limit ---- */

typedef struct Plugged {
    const char *path, *name;
    unsigned pages;     /* that the guest is given for it */
    const char *command;
} Plugged;

static const Plugged all_plugged[] = {
    { "hotplug/limit/e1000", "e1000", 64,
      "{'execute': 'device_add', 'arguments': {'driver': 'e1000', 'id': 'dev',"
      " 'addr': '7', 'romsize': 262144, 'romfile': %s}}" },
    { "hotplug/limit/secondary-vga", "secondary-vga", 0x1000,
      "{'execute': 'device_add', 'arguments': {'driver': 'secondary-vga',"
      " 'id': 'dev', 'vgamem_mb': 16, 'addr': '7'}}" },
    { "hotplug/limit/bochs-display", "bochs-display", 0x1000,
      "{'execute': 'device_add', 'arguments': {'driver': 'bochs-display',"
      " 'id': 'dev', 'vgamem': 16777216, 'romfile': '', 'addr': '7'}}" },
};

static uint64_t counted(XenTest *t)
{
    XensimMemInfo info;

    xensim_mem_info(t->dom, &info);
    return info.tot_pages;
}

/* What QEMU says against plugging @p (g_free), or NULL. */
static char *try_plug(XenTest *t, const Plugged *p)
{
    QDict *answer = qtest_qmp(t->qts, p->command, rom_file(t));
    QDict *error = qdict_get_qdict(answer, "error");
    char *why = error ? g_strdup(qdict_get_str(error, "desc")) : NULL;

    qobject_unref(answer);
    return why;
}

/* The device cannot be made, and the guest has as many frames as before. */
static const char *is_refused(XenTest *t, const Plugged *p)
{
    uint64_t before = counted(t);
    g_autofree char *why = try_plug(t, p);

    XEN_REQUIRE(why, "has plugged %s", p->name);
    XEN_REQUIRE(g_str_has_prefix(why, "xen: "), "refuses %s by \"%s\"",
                p->name, why);
    XEN_REQUIRE(counted(t) == before, "has %" PRIu64 " frames, not %" PRIu64,
                counted(t), before);
    return NULL;
}
#define is_refused(...) XEN_AT(is_refused(__VA_ARGS__))

/* There are frames for none of the device, for a part, and for all but one. */
static const char *at_limit(XenTest *t)
{
    const Plugged *p = t->data;
    const unsigned room[] = { 0, 1, p->pages / 2, p->pages - 1 };
    g_autofree char *why = NULL;
    XensimMemInfo info;

    boot(t);
    xensim_mem_info(t->dom, &info);
    for (unsigned i = 0; i < G_N_ELEMENTS(room); i++) {
        xensim_set_max_pages(t->dom, info.tot_pages + room[i]);
        XEN_TRY(is_refused(t, p));
    }
    xensim_set_max_pages(t->dom, info.max_pages);
    xen_test_dma_read(t, 40, 0x800000, 16);
    XEN_TRY(xen_test_disk_at(t, 0x800000, 40, 16, SEED,
                             "read other bytes after a device was refused"));
    why = try_plug(t, p);
    XEN_REQUIRE(!why, "refuses %s when there is room: %s", p->name, why);
    XEN_REQUIRE(counted(t) == info.tot_pages + p->pages,
                "gave %s %" PRIu64 " frames", p->name,
                counted(t) - info.tot_pages);
    return NULL;
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("hotplug/memory", memory,
                 "put 0 frames behind the BAR");
    xen_test_add("hotplug/at-once", at_once, NULL);
    xen_test_add("hotplug/left-behind", left_behind, NULL);
    xen_test_add("hotplug/rom", rom, "ok");
    xen_test_add("hotplug/under-dma", under_dma, "ended by SIG*");
    xen_test_add("hotplug/restore", restored, "lost page 0");
    for (unsigned i = 0; i < G_N_ELEMENTS(all_plugged); i++) {
        xen_test_add_data(all_plugged[i].path, at_limit, &all_plugged[i],
                          "ended with status 1|has * frames, not *");
    }
    return g_test_run();
}
