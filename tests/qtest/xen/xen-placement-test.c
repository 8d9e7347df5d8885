/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames of device memory are relocated only to a BAR that shows them, and
 * never over frames that belong to something else.
 *
 * The comment of a case shows where the frames are after each step:
 *
 *   V   frames of the video memory     [ ]  the range at which the BAR is on
 *   o   the guest's own pages          ( )  the range at which the BAR is off
 *   m   a passed-through BAR           r    registers of another device
 *   f   the firmware
 *
 *                 initial range    RANGE_B    RANGE_A    below 4 GiB
 *   at the start  VVVV                                           f
 */
#include "qemu/osdep.h"
#include "qemu/units.h"
#include "xen-test-devmem.h"

#define RELOCATE    "xendevicemodel_relocate_memory"
#define PIN         "xendevicemodel_pin_memory_cacheattr"

static const DevMem vga = { "vga", "-device VGA,addr=8 ", { { 0, 16 * MiB } } };
enum { PAGES = 4096 };

/*
 * Starts a guest with the VGA at RANGE_A, and stamps its memory with 10.
 *
 *                 initial range    RANGE_B    RANGE_A    below 4 GiB
 *   placed                                    [VVVV]             f
 */
static char *placed(XenTest *t)
{
    char *args = devmem_args(t, vga.args);

    xen_test_start(t, args);
    xen_test_ide(t);
    devmem_place(t, &vga, RANGE_A);
    devmem_stamp(t, &vga, RANGE_A, 10);
    return args;
}

/* Calls and pages that were relocated since the log was cleared. */
static uint64_t relocated(XenTest *t)
{
    uint64_t pages = 0;
    XensimLogEntry e;

    for (uint64_t i = 0; xensim_log_get(t->dom, XENSIM_LOG_RELOCATE, i, &e);
         i++) {
        pages += e.c;
    }
    return pages;
}

/* ---- BARs that are switched off and on ---- */

/*
 * The BAR is switched off and on 200 times.
 *
 *                 initial range    RANGE_B    RANGE_A
 *   placed                                    [VVVV]
 *   off                                       (VVVV)      nothing is relocated
 *   on                                        [VVVV]      nothing is relocated
 */
static const char *toggle(XenTest *t)
{
    g_autofree char *args = devmem_args(t, vga.args);

    xen_test_start(t, args);
    xen_test_ide(t);
    devmem_place(t, &vga, RANGE_A);
    devmem_stamp(t, &vga, RANGE_A, 10);
    for (unsigned i = 0; i < 200; i++) {
        devmem_decode(t, false);
        devmem_decode(t, true);
    }
    XEN_TRY(devmem_in_place(t, &vga, RANGE_A, 10));
    XEN_REQUIRE(relocated(t) == PAGES, "relocated %" PRIu64 " pages",
                relocated(t));
    XEN_REQUIRE(xensim_count(t->sim, RELOCATE).calls == 1,
                "relocated memory %" PRIu64 " times",
                xensim_count(t->sim, RELOCATE).calls);
    XEN_REQUIRE(xensim_count(t->sim, PIN).calls == 1, "pinned %" PRIu64
                " times", xensim_count(t->sim, PIN).calls);
    XEN_REQUIRE(xensim_cache_flushes(t->dom) == 0, "had the caches of the "
                "host flushed %" PRIu64 " times",
                xensim_cache_flushes(t->dom));
    return NULL;
}

/*
 * The BAR is sized as Linux does it, at each of two ranges: it is written with
 * ones while it is on, and gets another address then.
 *
 *                 initial range    RANGE_B    RANGE_A    end of 4 GiB
 *   placed                                    [VVVV]
 *   sized                                      VVVV      [    ]
 *   at RANGE_B                     [VVVV]
 */
static const char *sizing(XenTest *t)
{
    g_autofree char *args = placed(t);

    for (unsigned i = 0; i < 100; i++) {
        xensim_pci_write(t->dom, 0, DEVMEM_DEVFN, 0x10, 4, 0xffffffff);
        xensim_pci_read(t->dom, 0, DEVMEM_DEVFN, 0x10, 4);
        xensim_pci_write(t->dom, 0, DEVMEM_DEVFN, 0x10, 4,
                         i & 1 ? RANGE_A : RANGE_B);
    }
    XEN_REQUIRE(xensim_cache_flushes(t->dom) == 0,
                "had the caches of the host flushed");
    XEN_REQUIRE(xensim_count(t->sim, PIN).calls <= 2, "pinned %" PRIu64
                " times", xensim_count(t->sim, PIN).calls);
    return devmem_in_place(t, &vga, RANGE_A, 10);
}

/*
 * The BAR is placed at 100 ranges, one after the other: the number of pins is
 * limited, and none is removed.
 *
 *                 range 1    range 2    range 3
 *                 [VVVV]
 *                            [VVVV]
 *                                       [VVVV]
 */
static const char *many_places(XenTest *t)
{
    g_autofree char *args = placed(t);
    uint64_t at = RANGE_A;

    for (unsigned i = 0; i < 100; i++) {
        at = 0x80000000 + i * 0x1000000ull;
        xensim_pci_write(t->dom, 0, DEVMEM_DEVFN, 0x10, 4, at);
    }
    XEN_REQUIRE(xensim_count(t->sim, PIN).calls <= 64, "pinned %" PRIu64
                " times", xensim_count(t->sim, PIN).calls);
    XEN_REQUIRE(xensim_cache_flushes(t->dom) == 0,
                "had the caches of the host flushed");
    return devmem_in_place(t, &vga, at, 10);
}

/*
 * The BAR is off while the guest is saved; then it is placed elsewhere.
 *
 *                 initial range    RANGE_B    RANGE_A
 *   saved                                     (VVVV)      displaced
 *   restored                                  (VVVV)
 *   at RANGE_B                     [VVVV]
 */
static const char *displaced_saved(XenTest *t)
{
    g_autofree char *args = placed(t);

    devmem_decode(t, false);
    for (unsigned i = 0; i < 2; i++) {
        xen_test_save_restore(t, args);
        XEN_TRY(devmem_stamped(t, &vga, RANGE_A, 10));
    }
    devmem_place(t, &vga, RANGE_B);
    XEN_TRY(devmem_gone(t, &vga, RANGE_A));
    return devmem_in_place(t, &vga, RANGE_B, 10);
}

/*
 * Pages of RAM that are populated on demand, as in a guest with less than its
 * maximum of memory.  Placing device memory takes none of the frames that are
 * kept for them; DMA to such a page takes some.
 *
 *                 initial range    RANGE_B    RANGE_A
 *   placed                                    [VVVV]
 *   moved                          [VVVV]
 *   back                                      [VVVV]
 */
static const char *on_demand(XenTest *t)
{
    enum { FIRST = 32 * MiB / XEN_TEST_PAGE, N = 512, KEPT = 300 };
    g_autofree char *args = placed(t);
    XensimMemInfo info;

    g_assert_cmpint(xensim_depopulate(t->dom, FIRST, N), ==, N);
    g_assert_cmpint(xensim_populate_on_demand(t->dom, FIRST, N, KEPT), ==, N);
    for (unsigned i = 0; i < 20; i++) {
        devmem_decode(t, false);
        devmem_decode(t, true);
        devmem_place(t, &vga, i & 1 ? RANGE_A : RANGE_B);
    }
    XEN_TRY(devmem_in_place(t, &vga, RANGE_A, 10));
    xensim_mem_info(t->dom, &info);
    XEN_REQUIRE(info.on_demand_pages == KEPT, "took %" PRIu64 " frames that "
                "are kept for others", KEPT - info.on_demand_pages);
    xen_test_dma_read(t, 5, FIRST * XEN_TEST_PAGE, 4);
    xensim_mem_info(t->dom, &info);
    XEN_REQUIRE(info.on_demand_pages <= KEPT - 4, "did not populate pages by "
                "DMA");
    XEN_TRY(xen_test_disk_at(t, FIRST * XEN_TEST_PAGE, 5, 4, DEVMEM_SEED,
                             "read other bytes into pages populated by DMA"));
    XEN_REQUIRE(xensim_shutdown_reason(t->dom) == -1, "crashed the domain");
    return NULL;
}

/* ---- what is not overwritten ---- */

/*
 * A passed-through device's BAR is right above RAM, where hvmloader puts it.
 *
 *                 initial range    RANGE_B    RANGE_A
 *   placed          m                         [VVVV]
 *   off             m                         (VVVV)      not moved back
 *   at RANGE_B      m              [VVVV]
 */
static const char *passed_through(XenTest *t)
{
    g_autofree char *args = placed(t);

    XEN_REQUIRE(xensim_map_mmio(t->dom, DEVMEM_INITIAL_GFN + PAGES / 2, 16) ==
                16, "has no room for a passed-through BAR");
    for (unsigned i = 0; i < 4; i++) {
        devmem_decode(t, false);
        devmem_decode(t, true);
    }
    XEN_TRY(devmem_in_place(t, &vga, RANGE_A, 10));
    devmem_place(t, &vga, RANGE_B);
    XEN_TRY(devmem_in_place(t, &vga, RANGE_B, 10));
    XEN_REQUIRE(!devmem_any_frame(t, DEVMEM_INITIAL, PAGES / 2),
                "left video memory beside a passed-through BAR");
    return NULL;
}

/*
 * The guest has put pages of its own right above its RAM.
 *
 *                 initial range    RANGE_B    RANGE_A
 *   placed         oo                         [VVVV]
 *   off            oo                         (VVVV)
 *   at RANGE_B     oo              [VVVV]
 *   at RANGE_A     oo                         [VVVV]
 *   over them     [oo  ]                       VVVV       accesses are emulated
 *   at RANGE_B     oo              [VVVV]
 */
static const char *own_pages(XenTest *t)
{
    g_autofree char *args = placed(t);
    enum { OWN = 256 };

    g_assert_cmpint(xensim_populate(t->dom, DEVMEM_INITIAL_GFN, OWN), ==, OWN);
    xensim_stamp(t->dom, DEVMEM_INITIAL_GFN, OWN, 20);
    for (unsigned i = 0; i < 4; i++) {
        devmem_decode(t, false);
        devmem_place(t, &vga, i & 1 ? RANGE_A : RANGE_B);
        XEN_REQUIRE(xensim_stamp_check(t->dom, DEVMEM_INITIAL_GFN, OWN, 20) ==
                    XENSIM_NO_GFN, "overwrote the guest's pages");
    }
    XEN_TRY(devmem_in_place(t, &vga, RANGE_A, 10));
    /* A BAR over them, too. */
    devmem_place(t, &vga, DEVMEM_INITIAL);
    XEN_REQUIRE(xensim_stamp_check(t->dom, DEVMEM_INITIAL_GFN, OWN, 20) ==
                XENSIM_NO_GFN, "overwrote the guest's pages by a BAR");
    devmem_place(t, &vga, RANGE_B);
    return devmem_in_place(t, &vga, RANGE_B, 10);
}

/*
 * A BAR is sized while it is on, and so gets addresses of the firmware for a
 * moment.  No frame there may appear, disappear or change.
 *
 *                 initial range    RANGE_B    RANGE_A    below 4 GiB
 *   placed                                    [VVVV]             f
 *   sized                                      VVVV           [  f]
 *   at RANGE_B                     [VVVV]                        f
 */
static const char *over_firmware(XenTest *t, const DevMem *d, unsigned reg,
                                 const uint32_t *values, unsigned n)
{
    enum { FIRST_GFN = 0xfc000, GFNS = 0x4000 };
    g_autofree uint64_t *mfn = g_new(uint64_t, GFNS);

    xensim_populate(t->dom, 0xff000, 0x100);    /* a BIOS */
    for (unsigned i = 0; i < GFNS; i++) {
        mfn[i] = xensim_gfn_to_mfn(t->dom, FIRST_GFN + i);
    }
    for (unsigned k = 0; k < n; k++) {
        xensim_pci_write(t->dom, 0, DEVMEM_DEVFN, reg, 4, values[k]);
        for (unsigned i = 0; i < GFNS; i++) {
            XEN_REQUIRE(xensim_gfn_to_mfn(t->dom, FIRST_GFN + i) == mfn[i],
                        "changed what is at 0x%x000", FIRST_GFN + i);
        }
    }
    devmem_place(t, d, RANGE_B);
    return devmem_in_place(t, d, RANGE_B, 10);
}
#define over_firmware(...) XEN_AT(over_firmware(__VA_ARGS__))

static const char *firmware(XenTest *t)
{
    static const uint32_t values[] = { 0xffffffff, 0xfd000000, 0xfe000000 };
    g_autofree char *args = placed(t);

    return over_firmware(t, &vga, 0x10, values, G_N_ELEMENTS(values));
}

/*
 * The same with a BAR of 64 bits: its lower half alone takes it to the end of
 * the first 4 GiB, and then all of it to the end of all addresses.
 *
 *                 RANGE_B    RANGE_A    below 4 GiB    end of all addresses
 *   placed                   [VVVV]             f
 *   lower half                VVVV           [  f]
 *   both halves               VVVV              f                     [    ]
 *   at RANGE_B    [VVVV]                        f
 */
static const char *firmware_64(XenTest *t)
{
    static const uint32_t low[] = { 0xffffffff, 0xfd00000c, 0xfe00000c };
    static const uint32_t high[] = { 0xffffffff, 0, 1, 0 };
    g_autofree char *qxl = devmem_qxl_args(t, DEVMEM_QXL_LARGER_64BIT);
    g_autofree char *args = devmem_args(t, qxl);
    const DevMem d = { "qxl", args, { { 4, 16 * MiB } } };

    xen_test_start(t, args);
    xen_test_ide(t);
    devmem_place(t, &d, RANGE_A);
    devmem_stamp(t, &d, RANGE_A, 10);
    for (unsigned i = 0; i < 4; i++) {
        XEN_TRY(over_firmware(t, &d, 0x20, low, G_N_ELEMENTS(low)));
        xensim_pci_write(t->dom, 0, DEVMEM_DEVFN, 0x20, 4, 0xffffffff);
        XEN_TRY(over_firmware(t, &d, 0x24, high, G_N_ELEMENTS(high)));
    }
    XEN_REQUIRE(xensim_cache_flushes(t->dom) == 0,
                "had the caches of the host flushed");
    return NULL;
}

/*
 * Another device's registers are placed where displaced memory is.  The guest
 * must reach the registers, so the frames there leave.
 *
 *                 initial range    RANGE_B    RANGE_A
 *   placed                         r          [VVVV]
 *   off                            r          (VVVV)
 *   registers      V                          (VrVV)      also after a restore
 *   at RANGE_B                     [VVVV]       r
 */
static const char *registers_over(XenTest *t)
{
    g_autofree char *args =
        devmem_args(t, "-device VGA,addr=8 -device e1000,addr=9,romfile= ");
    enum { STATUS = 8 };
    uint32_t status;

    xen_test_start(t, args);
    xen_test_ide(t);
    xen_test_ok(t, guest_pci_place_bar(t->pc, 9 << 3, 0, RANGE_B));
    status = xensim_mmio_read(t->dom, RANGE_B + STATUS, 4);
    XEN_REQUIRE(status && status != UINT32_MAX, "has no network card");
    devmem_place(t, &vga, RANGE_A);
    devmem_stamp(t, &vga, RANGE_A, 10);
    devmem_decode(t, false);
    xen_test_ok(t, guest_pci_place_bar(t->pc, 9 << 3, 0, RANGE_A + 0x100000));
    XEN_REQUIRE(xensim_mmio_read(t->dom, RANGE_A + 0x100000 + STATUS, 4) ==
                status, "left video memory over another device's registers");
    for (unsigned i = 0; i < 2; i++) {
        xen_test_save_restore(t, args);
        XEN_REQUIRE(xensim_mmio_read(t->dom, RANGE_A + 0x100000 + STATUS, 4) ==
                    status, "has lost another device's registers");
    }
    devmem_place(t, &vga, RANGE_B);
    return devmem_in_place(t, &vga, RANGE_B, 10);
}

/* ---- what is in the way is not looked at again as a whole ---- */

enum { CARD = 9 << 3, CHANGES = 200 };
#define CARD_ARGS "-device e1000,addr=9,romfile= "

/* A guest with @displays, and a network card with its registers at RANGE_B. */
static void with_card(XenTest *t, const char *displays)
{
    g_autofree char *all = g_strconcat(displays, CARD_ARGS, NULL);
    g_autofree char *args = devmem_args(t, all);

    xen_test_start(t, args);
    xen_test_ide(t);
    xen_test_ok(t, guest_pci_place_bar(t->pc, CARD, 0, RANGE_B));
}
#define with_card(...) XEN_AT(with_card(__VA_ARGS__))

static void change_map(XenTest *t)
{
    xen_test_ok(t, guest_pci_command(t->pc, CARD, 0, GUEST_PCI_MEMORY));
    xen_test_ok(t, guest_pci_command(t->pc, CARD, GUEST_PCI_MEMORY, 0));
}
#define change_map(...) XEN_AT(change_map(__VA_ARGS__))

/*
 * The memory map changes 200 times.  Each time, Xen may be asked for a few
 * pages for each of @n ranges that cannot be relocated.
 */
static const char *asks_little(XenTest *t, unsigned n)
{
    const uint64_t most = CHANGES * 6 * n;
    uint64_t moves = relocated(t);
    uint64_t pages = xen_test_stat(t, "map-pages");

    for (unsigned i = 0; i < CHANGES / 2; i++) {
        change_map(t);
    }
    pages = xen_test_stat(t, "map-pages") - pages;
    moves = relocated(t) - moves;
    XEN_REQUIRE(pages <= most, "asked Xen for %" PRIu64 " pages in %u changes "
                "of the memory map", pages, CHANGES);
    XEN_REQUIRE(moves <= most, "tried to relocate %" PRIu64 " pages in %u "
                "changes of the memory map", moves, CHANGES);
    return NULL;
}
#define asks_little(...) XEN_AT(asks_little(__VA_ARGS__))

/*
 * A page of the guest's own keeps the memory from its BAR.
 *
 *                 initial range    RANGE_B    RANGE_A
 *   at the start  VVVV             r              o
 *   placed        VVVV             r          [   o]
 *   the page goes                  r          [VVVV]
 */
static const char *looked_at(XenTest *t)
{
    const uint64_t own = RANGE_A / XEN_TEST_PAGE + PAGES - 1;

    with_card(t, vga.args);
    g_assert_cmpint(xensim_populate(t->dom, own, 1), ==, 1);
    xensim_stamp(t->dom, own, 1, 20);
    devmem_place(t, &vga, RANGE_A);
    XEN_TRY(asks_little(t, 1));
    XEN_REQUIRE(xensim_stamp_check(t->dom, own, 1, 20) == XENSIM_NO_GFN,
                "overwrote the guest's page");
    xensim_depopulate(t->dom, own, 1);
    change_map(t);
    devmem_stamp(t, &vga, RANGE_A, 10);
    return devmem_in_place(t, &vga, RANGE_A, 10);
}

/*
 * The guest's own page is now here, now there in the BAR.  That must not cut the
 * memory into pieces.
 *
 *                 initial range    RANGE_B    RANGE_A
 *   at the start  VVVV             r           o
 *   placed        VVVV             r          [ o  ]
 *   it wanders    VVVV             r          [   o]
 *   the page goes                  r          [VVVV]
 */
static const char *own_page_wanders(XenTest *t)
{
    enum { FIRST = RANGE_A / XEN_TEST_PAGE };

    with_card(t, vga.args);
    for (unsigned i = 1; i < 40; i += 2) {
        g_assert_cmpint(xensim_populate(t->dom, FIRST + i, 1), ==, 1);
        if (i == 1) {
            devmem_place(t, &vga, RANGE_A);
        } else {
            xensim_depopulate(t->dom, FIRST + i - 2, 1);
        }
        change_map(t);
        XEN_REQUIRE(relocated(t) == 0, "relocated %" PRIu64 " pages beside a "
                    "page of the guest's", relocated(t));
    }
    xensim_depopulate(t->dom, FIRST + 39, 1);
    change_map(t);
    XEN_REQUIRE(relocated(t) == PAGES, "relocated %" PRIu64 " pages",
                relocated(t));
    devmem_stamp(t, &vga, RANGE_A, 10);
    return devmem_in_place(t, &vga, RANGE_A, 10);
}

/*
 * Xen does not relocate a page to where a passed-through BAR is, which QEMU
 * cannot see.
 *
 *                 initial range    RANGE_B    RANGE_A
 *   at the start  VVVV             r            m
 *   placed          VV             r          [VVm ]
 *   the BAR goes                   r          [VVVV]
 */
static const char *refused_page(XenTest *t)
{
    const uint64_t at = RANGE_A / XEN_TEST_PAGE + PAGES / 2;

    with_card(t, vga.args);
    g_assert_cmpint(xensim_map_mmio(t->dom, at, 1), ==, 1);
    devmem_place(t, &vga, RANGE_A);
    XEN_TRY(asks_little(t, 1));
    xensim_depopulate(t->dom, at, 1);
    change_map(t);
    devmem_stamp(t, &vga, RANGE_A, 10);
    return devmem_in_place(t, &vga, RANGE_A, 10);
}

/*
 * Xen relocates nothing for a while.
 *
 *                 initial range    RANGE_B    RANGE_A
 *   placed        VVVV             r          [    ]      accesses are emulated
 *   Xen relocates                  r          [VVVV]
 */
static const char *refused_all(XenTest *t)
{
    XensimFault fault = { .call = RELOCATE, .error = EBUSY };
    int id;

    with_card(t, vga.args);
    id = xensim_fault_arm(t->sim, &fault);
    devmem_place(t, &vga, RANGE_A);
    XEN_TRY(asks_little(t, 1));
    xensim_fault_disarm(t->sim, id);
    change_map(t);
    devmem_stamp(t, &vga, RANGE_A, 10);
    return devmem_in_place(t, &vga, RANGE_A, 10);
}

/*
 * Xen relocates a half, refuses a page, and then does not say what it has done.
 * It is asked again, and the memory is found in a restore.
 *
 *                 initial range    RANGE_B    RANGE_A
 *   at the start  VVVV             r            m
 *   placed          VV             r          [VVm ]
 *   the BAR goes                   r          [VVVV]
 */
static const char *refused_silently(XenTest *t)
{
    const uint64_t at = RANGE_A / XEN_TEST_PAGE + PAGES / 2;
    g_autofree char *args = devmem_args(t, "-device VGA,addr=8 " CARD_ARGS);
    /* The BAR is probed by four calls, before Xen is asked to relocate. */
    XensimFault fault = { .call = xen_test_call("xenforeignmemory_map2"),
                          .first = 5, .count = 1, .error = ENOMEM };
    int id;

    with_card(t, vga.args);
    g_assert_cmpint(xensim_map_mmio(t->dom, at, 1), ==, 1);
    id = xensim_fault_arm(t->sim, &fault);
    devmem_place(t, &vga, RANGE_A);
    XEN_REQUIRE(xensim_fault_hits(t->sim, id) >= 5,
                "asked Xen %u times, not 5 or more",
                (unsigned)xensim_fault_hits(t->sim, id));
    xensim_fault_disarm(t->sim, id);
    /* It is asked again once. */
    change_map(t);
    XEN_TRY(asks_little(t, 1));
    xensim_depopulate(t->dom, at, 1);
    change_map(t);
    devmem_stamp(t, &vga, RANGE_A, 10);
    XEN_TRY(devmem_in_place(t, &vga, RANGE_A, 10));
    xen_test_save_restore(t, args);
    return devmem_in_place(t, &vga, RANGE_A, 10);
}

/*
 * Displaced memory has to leave, and Xen does not let it go to its initial
 * range.
 *
 *                 initial range    RANGE_B    RANGE_A
 *   placed          m              r          [VVVV]
 *   registers     V m                         ( rVV)
 *   the BAR goes  VV                          ( rVV)
 */
static const char *refused_initial(XenTest *t)
{
    enum { OFFSET = 0x100000, REGISTERS = 0x20000 };
    const uint64_t at = DEVMEM_INITIAL_GFN + OFFSET / XEN_TEST_PAGE;

    with_card(t, vga.args);
    devmem_place(t, &vga, RANGE_A);
    devmem_stamp(t, &vga, RANGE_A, 10);
    devmem_decode(t, false);
    g_assert_cmpint(xensim_map_mmio(t->dom, at, 1), ==, 1);
    xen_test_ok(t, guest_pci_place_bar(t->pc, CARD, 0, RANGE_A + OFFSET));
    XEN_TRY(asks_little(t, 1));
    XEN_REQUIRE(devmem_any_frame(t, RANGE_A + OFFSET, 1), "lost a page");
    xensim_depopulate(t->dom, at, 1);
    change_map(t);
    XEN_REQUIRE(!devmem_any_frame(t, RANGE_A + OFFSET,
                                  REGISTERS / XEN_TEST_PAGE),
                "left video memory over another device's registers");
    devmem_place(t, &vga, RANGE_B + 16 * MiB);
    return devmem_in_place(t, &vga, RANGE_B + 16 * MiB, 10);
}

/*
 * Displaced memory has to leave, Xen does not let it go, and does not say what
 * it has done.  When it answers again, the first page has been ballooned out,
 * and the guest has a page of its own where that should have gone to, under
 * registers.  That page is not taken for the displaced one.
 *
 *                 initial range    RANGE_A
 *   placed                         [VVVV]
 *   registers      r               (VrVV)
 *   own page       o               (VrVV)
 */
static const char *refused_not_ours(XenTest *t)
{
    enum { OFFSET = 0x100000, SECOND = 10 << 3 };
    const uint64_t own = DEVMEM_INITIAL_GFN + OFFSET / XEN_TEST_PAGE;
    XensimFault moves = { .call = RELOCATE, .error = EBUSY };
    /* One call finds the initial range free, before Xen relocates. */
    XensimFault probes = { .call = xen_test_call("xenforeignmemory_map2"),
                           .first = 2, .error = ENOMEM };
    int move_id, probe_id;

    with_card(t, "-device VGA,addr=8 -device e1000,addr=0xa,romfile= ");
    devmem_place(t, &vga, RANGE_A);
    devmem_stamp(t, &vga, RANGE_A, 10);
    devmem_decode(t, false);
    move_id = xensim_fault_arm(t->sim, &moves);
    probe_id = xensim_fault_arm(t->sim, &probes);
    xen_test_ok(t, guest_pci_place_bar(t->pc, CARD, 0, RANGE_A + OFFSET));
    XEN_REQUIRE(xensim_fault_hits(t->sim, move_id) == 1, "asked Xen otherwise");
    xen_test_ok(t, guest_pci_place_bar(t->pc, SECOND, 0,
                                       DEVMEM_INITIAL + OFFSET));
    xensim_depopulate(t->dom, (RANGE_A + OFFSET) / XEN_TEST_PAGE, 1);
    g_assert_cmpint(xensim_populate(t->dom, own, 1), ==, 1);
    xensim_stamp(t->dom, own, 1, 20);
    xensim_fault_disarm(t->sim, move_id);
    xensim_fault_disarm(t->sim, probe_id);
    change_map(t);
    devmem_place(t, &vga, RANGE_B + 16 * MiB);
    XEN_REQUIRE(xensim_stamp_check(t->dom, own, 1, 20) == XENSIM_NO_GFN,
                "took the guest's page for video memory");
    return NULL;
}

/*
 * Ten displays, each kept from its BAR by a page of the guest's own.
 *
 *                 initial ranges       RANGE_B    RANGE_A
 *   placed        VVVV VVVV VVVV ...   r          [   o][   o][   o] ...
 */
static const char *refused_many(XenTest *t)
{
    enum { DISPLAYS = 10, FIRST_SLOT = 10 };
    g_autoptr(GString) args = g_string_new("");

    for (unsigned i = 0; i < DISPLAYS; i++) {
        g_string_append_printf(args, "-device secondary-vga,addr=0x%x,"
                               "vgamem_mb=1,romfile= ", FIRST_SLOT + i);
    }
    with_card(t, args->str);
    for (unsigned i = 0; i < DISPLAYS; i++) {
        uint32_t at = RANGE_A + i * MiB;

        g_assert_cmpint(xensim_populate(t->dom, (at + MiB) / XEN_TEST_PAGE - 1,
                                        1), ==, 1);
        xen_test_ok(t, guest_pci_place_bar(t->pc, (FIRST_SLOT + i) << 3, 0,
                                           at));
    }
    return asks_little(t, DISPLAYS);
}

/*
 * Another display's memory is at the end of the BAR: what is before that need
 * not be looked at.
 *
 *                 V's range   0x5000000     0xb8000000
 *   at the start  VVVV        FF  OO
 *   placed        VVVV       [    OO]       [FF]
 */
static const char *refused_other(XenTest *t)
{
    const uint32_t at = 0x5000000;

    with_card(t, "-device VGA,addr=8,romfile= "
              "-device secondary-vga,addr=0xa,vgamem_mb=8,romfile= "
              "-device secondary-vga,addr=0xb,vgamem_mb=8,romfile= ");
    xen_test_ok(t, guest_pci_place_bar(t->pc, 10 << 3, 0, 0xb8000000));
    XEN_REQUIRE(!devmem_any_frame(t, at, 8 * MiB / XEN_TEST_PAGE) &&
                devmem_any_frame(t, at + 8 * MiB, 8 * MiB / XEN_TEST_PAGE),
                "has device memory elsewhere");
    devmem_place(t, &vga, at);
    XEN_TRY(asks_little(t, 1));
    devmem_place(t, &vga, RANGE_A);
    devmem_stamp(t, &vga, RANGE_A, 10);
    return devmem_in_place(t, &vga, RANGE_A, 10);
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("placement/toggle", toggle, NULL);
    xen_test_add("placement/sizing", sizing, NULL);
    xen_test_add("placement/many-places", many_places, NULL);
    xen_test_add("placement/displaced-saved", displaced_saved, NULL);
    xen_test_add("placement/on-demand", on_demand, NULL);
    xen_test_add("placement/passed-through", passed_through, NULL);
    xen_test_add("placement/own-pages", own_pages, NULL);
    xen_test_add("placement/looked-at", looked_at, NULL);
    xen_test_add("placement/own-page-wanders", own_page_wanders, NULL);
    xen_test_add("placement/refused-page", refused_page, NULL);
    xen_test_add("placement/refused-all", refused_all, NULL);
    xen_test_add("placement/refused-silently", refused_silently, NULL);
    xen_test_add("placement/refused-initial", refused_initial, NULL);
    xen_test_add("placement/refused-not-ours", refused_not_ours, NULL);
    xen_test_add("placement/refused-many", refused_many, NULL);
    xen_test_add("placement/refused-other", refused_other, NULL);
    xen_test_add("placement/firmware", firmware, NULL);
    if (qtest_has_device("qxl-vga")) {
        xen_test_add("placement/firmware-64", firmware_64, NULL);
    }
    xen_test_add("placement/registers-over", registers_over, NULL);
    return g_test_run();
}
