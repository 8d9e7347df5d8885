/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI devices with memory of their own that come and go while the guest runs:
 * it is placed, moved, reached by DMA and saved like any other.
 */
#include "qemu/osdep.h"
#include "xen-test-hotplug.h"

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

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("hotplug/memory", memory, "ended by SIG*");
    xen_test_add("hotplug/at-once", at_once, NULL);
    xen_test_add("hotplug/rom", rom, "ok");
    xen_test_add("hotplug/under-dma", under_dma, "ended by SIG*");
    xen_test_add("hotplug/restore", restored, "ended by SIG*");
    return g_test_run();
}
