/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the monitor tells of device memory is where its frames are. */
#include "qemu/osdep.h"
#include "qobject/qlist.h"
#include "xen-test-common.h"

enum { SEED = 53, DISK_PAGES = 64 };

static void boot(XenTest *t, const char *more)
{
    xen_test_start_disk(t, DISK_PAGES, SEED, more);
}
#define boot(...) XEN_AT(boot(__VA_ARGS__))

enum {
    VGA = 4 << 3, OTHER_LFB = 0xf2000000u,
    VRAM_PAGES = XEN_TEST_VRAM_BYTES / XEN_TEST_PAGE,
};
#define NOWHERE UINT64_MAX

/* All that x-query-xen-physmap has of @name, in one piece; or NULL. */
static QDict *whole_memory(QDict *rsp, const char *name, uint64_t bytes)
{
    const QListEntry *e;

    QLIST_FOREACH_ENTRY(qdict_get_qlist(rsp, "return"), e) {
        QDict *m = qobject_to(QDict, qlist_entry_obj(e));

        if (g_str_has_suffix(qdict_get_str(m, "name"), name) &&
            qdict_get_int(m, "size") == bytes) {
            return m;
        }
    }
    return NULL;
}

/* The video memory is at @gpa (0: its initial range), shown at @shown_at. */
static const char *memory_is(XenTest *t, uint64_t gpa, uint64_t shown_at,
                             bool pinned)
{
    QDict *rsp = qtest_qmp(t->qts, "{'execute': 'x-query-xen-physmap'}");
    QDict *m = whole_memory(rsp, "vga.vram", XEN_TEST_VRAM_BYTES);
    uint64_t initial, address;

    XEN_REQUIRE(m, "does not know the video memory");
    initial = qdict_get_int(m, "initial");
    XEN_REQUIRE(initial >= XEN_TEST_RAM_MB << 20, "says that Xen populated "
                "video memory at 0x%" PRIx64, initial);
    address = qdict_get_try_int(m, "address", 0);
    XEN_REQUIRE(address == (gpa ?: initial), "says that video memory is at 0x%"
                PRIx64, address);
    XEN_REQUIRE(qdict_haskey(m, "shown-at") == (shown_at != NOWHERE) &&
                qdict_get_try_int(m, "shown-at", NOWHERE) == shown_at,
                "says that video memory is shown at 0x%" PRIx64,
                qdict_get_try_int(m, "shown-at", 0));
    XEN_REQUIRE(qdict_get_bool(m, "pinned") == pinned,
                "says that video memory is%s pinned", pinned ? " not" : "");
    XEN_REQUIRE(xen_test_pages_at(t, address, VRAM_PAGES) == VRAM_PAGES &&
                (address == initial ||
                 !xen_test_pages_at(t, initial, VRAM_PAGES)),
                "has the frames somewhere else");
    qobject_unref(rsp);
    return NULL;
}
#define memory_is(...) XEN_AT(memory_is(__VA_ARGS__))

/* Where video memory is before the guest places it, and after each move. */
static const char *physmap(XenTest *t)
{
    boot(t, XEN_TEST_VGA);
    XEN_TRY(memory_is(t, 0, NOWHERE, false));
    XEN_REQUIRE(strstr(xen_test_hmp(t, "info xen-physmap"), " (not shown): "),
                "does not tell people that a BAR is off");
    xen_test_vga(t);
    XEN_TRY(memory_is(t, XEN_TEST_LFB, XEN_TEST_LFB, true));
    XEN_REQUIRE(strstr(xen_test_hmp(t, "info xen-physmap"),
                       "  00000000f0000000-00000000f0ffffff (shown, pinned): "),
                "does not tell people where video memory is");
    xen_test_ok(t, guest_pci_place_bar(t->pc, VGA, 0, OTHER_LFB));
    XEN_TRY(memory_is(t, OTHER_LFB, OTHER_LFB, true));
    /* Displaced: it stays until something else is to be there. */
    xen_test_ok(t, guest_pci_command(t->pc, VGA, 0, GUEST_PCI_MEMORY));
    XEN_TRY(memory_is(t, OTHER_LFB, NOWHERE, true));
    XEN_REQUIRE(strstr(xen_test_hmp(t, "info xen-physmap"),
                       "  00000000f2000000-00000000f2ffffff (not shown, "
                       "pinned): "),
                "does not tell people of displaced memory");
    return NULL;
}

/* The guest has a page where a BAR shows video memory, which stays. */
static const char *physmap_elsewhere(XenTest *t)
{
    enum { AT = 0xe0000000u };

    boot(t, XEN_TEST_VGA);
    xen_test_vga(t);
    g_assert_cmpint(xensim_populate(t->dom, AT / XEN_TEST_PAGE + 5, 1), ==, 1);
    xen_test_ok(t, guest_pci_place_bar(t->pc, VGA, 0, AT));
    XEN_TRY(memory_is(t, XEN_TEST_LFB, AT, true));
    XEN_REQUIRE(strstr(xen_test_hmp(t, "info xen-physmap"),
                       "  00000000f0000000-00000000f0ffffff (shown at "
                       "00000000e0000000, pinned): "),
                "does not tell people of slow memory");
    return NULL;
}

/* A restored device model tells the same as the one that was saved. */
static const char *physmap_restored(XenTest *t)
{
    boot(t, XEN_TEST_VGA);
    xen_test_vga(t);
    xen_test_save_restore(t, xen_test_keep(t, g_strconcat(
        xen_test_disk(t, DISK_PAGES, SEED), XEN_TEST_VGA, NULL)));
    return memory_is(t, XEN_TEST_LFB, XEN_TEST_LFB, true);
}

/* What another device's registers cover goes back; each piece is told. */
static const char *physmap_pieces(XenTest *t)
{
    enum { CARD = 9 << 3, HALF = XEN_TEST_VRAM_BYTES / 2 };
    static const char *const pieces[] = {
        "-00000000f07fffff (shown, pinned): ",
        "  0000000004800000-000000000481ffff (not shown): ",
        "  00000000f0820000-00000000f0ffffff (shown, pinned): ",
    };
    const char *all;

    boot(t, XEN_TEST_VGA "-device e1000,addr=9,romfile= ");
    xen_test_vga(t);
    xen_test_ok(t, guest_pci_place_bar(t->pc, CARD, 0, XEN_TEST_LFB + HALF));
    all = xen_test_hmp(t, "info xen-physmap");
    for (unsigned i = 0; i < ARRAY_SIZE(pieces); i++) {
        XEN_REQUIRE(strstr(all, pieces[i]), "does not tell \"%s\": %s",
                    pieces[i], all);
    }
    xen_test_ok(t, guest_pci_place_bar(t->pc, CARD, 0, 0xf8000000u));
    return memory_is(t, XEN_TEST_LFB, XEN_TEST_LFB, true);
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("inside/physmap", physmap, NULL);
    xen_test_add("inside/physmap-restored", physmap_restored, NULL);
    xen_test_add("inside/physmap-elsewhere", physmap_elsewhere, NULL);
    xen_test_add("inside/physmap-pieces", physmap_pieces, NULL);
    return g_test_run();
}
