/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was written: by QEMU, told to Xen during a migration; by the guest to
 * its video memory, asked of Xen.  And ioreqs that nobody should send.
 */
#include "qemu/osdep.h"
#include "qemu/units.h"
#include "xen-test-devmem.h"

static const DevMem vga_2m = {
    "vga-2m", "-device VGA,addr=8,vgamem_mb=2 ", { { 0, 2 * MiB } }
};

static bool modified(XenTest *t, uint64_t gfn)
{
    XensimLogEntry e;

    for (uint64_t i = 0; xensim_log_get(t->dom, XENSIM_LOG_MODIFIED, i, &e);
         i++) {
        if (gfn - e.a < e.b) {
            return true;
        }
    }
    return false;
}
#define modified(...) XEN_AT(modified(__VA_ARGS__))

/* Writes by DMA while the guest migrates: reported where they are. */
static const char *migration(XenTest *t)
{
    const DevMem *d = &vga_2m;
    g_autofree char *args = devmem_args(t, d->args);
    uint64_t first = RANGE_A / XEN_TEST_PAGE, second = RANGE_B / XEN_TEST_PAGE;

    xen_test_start(t, args);
    xen_test_ide(t);
    devmem_place(t, d, RANGE_A);
    xen_test_dma_read(t, 0, 0x900000, 2);
    XEN_REQUIRE(xensim_log_count(t->dom, XENSIM_LOG_MODIFIED) == 0,
                "reports writes to Xen while nobody asks");

    qtest_qmp_assert_success(t->qts,
                             "{'execute': 'xen-set-global-dirty-log',"
                             " 'arguments': {'enable': true}}");
    xensim_log_clear(t->dom, XENSIM_LOG_MODIFIED);
    xen_test_dma_read(t, 0, 0x900800, 2);
    XEN_REQUIRE(modified(t, 0x900) && modified(t, 0x901) &&
                modified(t, 0x902) && !modified(t, 0x903) &&
                !modified(t, 0x8ff), "reports other pages than it wrote");
    xen_test_dma_read(t, 0, RANGE_A + 0x11000, 1);
    XEN_REQUIRE(modified(t, first + 0x11) && !modified(t, first + 0x12) &&
                !modified(t, DEVMEM_INITIAL_GFN + 0x11),
                "reports a write to video memory elsewhere");

    /* DevMemFrames that move in between are new to the other side. */
    devmem_place(t, d, RANGE_B);
    XEN_REQUIRE(modified(t, second) && modified(t, second + 511) &&
                modified(t, second + 100), "does not report moved frames");
    xensim_log_clear(t->dom, XENSIM_LOG_MODIFIED);
    xen_test_dma_read(t, 0, RANGE_B + 0x21000, 1);
    XEN_REQUIRE(modified(t, second + 0x21) && !modified(t, first + 0x21),
                "reports a write where the memory was before");
    xensim_log_clear(t->dom, XENSIM_LOG_MODIFIED);
    devmem_decode(t, false);
    XEN_REQUIRE(xensim_log_count(t->dom, XENSIM_LOG_MODIFIED) == 0,
                "reports frames that stayed where they were");

    for (unsigned i = 0; i < 2; i++) {
        qtest_qmp_assert_success(t->qts,
                                 "{'execute': 'xen-set-global-dirty-log',"
                                 " 'arguments': {'enable': false}}");
    }
    xensim_log_clear(t->dom, XENSIM_LOG_MODIFIED);
    xen_test_dma_read(t, 0, 0x900000, 2);
    XEN_REQUIRE(xensim_log_count(t->dom, XENSIM_LOG_MODIFIED) == 0,
                "reports writes to Xen when the migration is over");
    return NULL;
}

/* The screen of device @id as PPM. */
static GBytes *screen(XenTest *t, const char *id)
{
    g_autofree char *file = g_strdup_printf("%s/screen-%s.ppm", t->dir, id);
    char *bytes;
    gsize len;

    qtest_qmp_assert_success(t->qts, "{'execute': 'screendump', 'arguments':"
                             " {'filename': %s, 'device': %s}}", file, id);
    g_assert_true(g_file_get_contents(file, &bytes, &len, NULL));
    return g_bytes_new_take(bytes, len);
}

/* Every pixel that is shown of 640x480 has one color. */
static const char *shows(XenTest *t, const char *id, uint32_t color)
{
    g_autoptr(GBytes) ppm = NULL;
    const uint8_t *p;
    gsize len;

    ppm = screen(t, id);
    p = g_bytes_get_data(ppm, &len);
    XEN_REQUIRE(len >= 640 * 480 * 3, "shows %zu bytes of a picture", len);
    p += len - 640 * 480 * 3;
    for (unsigned i = 0; i < 640 * 480; i++, p += 3) {
        XEN_REQUIRE((p[0] << 16 | p[1] << 8 | p[2]) == color,
                    "shows 0x%02x%02x%02x for 0x%06x at pixel %u of %s", p[0],
                    p[1], p[2], color, i, id);
    }
    return NULL;
}
#define shows(...) XEN_AT(shows(__VA_ARGS__))

/*
 * Paints 640x480x32 at @lfb in one color.  QEMU shows this memory itself:
 * what is written there is seen whether it is known to be dirty or not.
 */
static const char *paint(XenTest *t, const char *id, uint64_t lfb,
                         uint32_t color)
{
    g_autofree uint32_t *line = g_new(uint32_t, 640);

    for (unsigned x = 0; x < 640; x++) {
        line[x] = color;
    }
    for (unsigned y = 0; y < 480; y++) {
        xensim_write(t->dom, lfb + y * 640 * 4, line, 640 * 4);
    }
    return shows(t, id, color);
}

/* Six bits of red (0), green or blue of the color @n of the palette. */
static uint8_t palette(unsigned n, unsigned part)
{
    static const uint8_t step[] = { 1, 5, 11 };

    return n * step[part] & 63;
}

/* Of the VGA at its ports: 640x480, a byte a pixel, that names a color. */
static void mode_8bit(XenTest *t, GuestVga *vga)
{
    xen_test_ok(t, guest_vga_mode(vga, 640, 480, 8));
    xensim_outb(t->dom, 0x3c8, 0);
    for (unsigned i = 0; i < 256 * 3; i++) {
        xensim_outb(t->dom, 0x3c9, palette(i / 3, i % 3));
    }
}
#define mode_8bit(...) XEN_AT(mode_8bit(__VA_ARGS__))

/*
 * Paints in the color @n of that mode.  What QEMU shows is a copy, into which
 * it takes what it knows to be dirty.
 */
static const char *paint_8bit(XenTest *t, const char *id, uint64_t lfb,
                              uint8_t n)
{
    g_autofree uint8_t *line = g_malloc(640);
    uint32_t color = 0;

    memset(line, n, 640);
    for (unsigned y = 0; y < 480; y++) {
        xensim_write(t->dom, lfb + y * 640, line, 640);
    }
    for (unsigned i = 0; i < 3; i++) {
        uint8_t v = palette(n, i);

        /* Six bits to eight. */
        color = color << 8 | v << 2 | (v & 1) * 3;
    }
    return shows(t, id, color);
}
#define paint_8bit(...) XEN_AT(paint_8bit(__VA_ARGS__))

/*
 * A part of the memory moves while the guest migrates, and the rest does not:
 * it is reported where it is.
 */
static const char *stranded(XenTest *t)
{
    g_autofree char *args = devmem_args(t, "-device VGA,id=one,addr=8,"
                                        "vgamem_mb=2 ");
    XensimFault fault = { .call = "xendevicemodel_relocate_memory",
                          .first = 2, .error = EBUSY };
    uint64_t first = RANGE_A / XEN_TEST_PAGE;
    GuestVga vga;
    int id;

    xen_test_start(t, args);
    xen_test_ok(t, guest_vga_init(t->pc, &vga, 0));
    mode_8bit(t, &vga);
    qtest_qmp_assert_success(t->qts,
                             "{'execute': 'xen-set-global-dirty-log',"
                             " 'arguments': {'enable': true}}");
    /* Xen stops there. */
    xensim_depopulate(t->dom, DEVMEM_INITIAL_GFN + 300, 1);
    xensim_log_clear(t->dom, XENSIM_LOG_MODIFIED);
    id = xensim_fault_arm(t->sim, &fault);
    devmem_place(t, &vga_2m, RANGE_A);
    XEN_REQUIRE(xensim_gfn_to_mfn(t->dom, first + 299) != XENSIM_NO_MFN,
                "did not move a part of it");
    XEN_REQUIRE(modified(t, first) && modified(t, first + 299) &&
                !modified(t, first + 300),
                "does not report frames that it left at the BAR");
    /* The display shows what the guest draws in the part that stayed. */
    for (unsigned n = 7; n < 12; n++) {
        XEN_TRY(paint_8bit(t, "one", RANGE_A, n));
    }
    xensim_fault_disarm(t->sim, id);
    xensim_populate(t->dom, DEVMEM_INITIAL_GFN + 300, 1);
    xensim_log_clear(t->dom, XENSIM_LOG_MODIFIED);
    devmem_place(t, &vga_2m, RANGE_B);
    XEN_REQUIRE(modified(t, RANGE_B / XEN_TEST_PAGE) &&
                modified(t, RANGE_B / XEN_TEST_PAGE + 511),
                "does not report frames that moved at last");
    return NULL;
}

/* Two displays, of which Xen tracks one: both show what the guest draws. */
static const char *two_displays(XenTest *t)
{
    g_autofree char *args = devmem_args(t, "-device VGA,id=one,addr=8 "
                                        "-device bochs-display,id=two,addr=9 ");
    uint64_t lfb[2] = { RANGE_A, RANGE_B }, gfn, pages;
    GuestVga vga[2];

    xen_test_start(t, args);
    for (unsigned i = 0; i < 2; i++) {
        xen_test_ok(t, guest_vga_init(t->pc, &vga[i], i));
        xen_test_ok(t, guest_vga_place(&vga[i], lfb[i],
                                       i ? 0xf5000000 : 0));
        if (i) {
            xen_test_ok(t, guest_vga_mode(&vga[i], 640, 480, 32));
        } else {
            mode_8bit(t, &vga[i]);
        }
    }
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 4; i++) {
            XEN_TRY(paint_8bit(t, "one", lfb[0], 7 * (i + 1) + round));
            XEN_TRY(paint(t, "two", lfb[1], 0x302010 * (i + 1) + round));
        }
        xensim_vram_tracking(t->dom, &gfn, &pages);
        XEN_REQUIRE(pages, "does not ask Xen at all");
        /* The first keeps Xen's attention, also when it moves. */
        XEN_REQUIRE(gfn == lfb[0] / XEN_TEST_PAGE &&
                    pages == 16 * MiB / XEN_TEST_PAGE,
                    "asks for 0x%" PRIx64 " pages from 0x%" PRIx64
                    " in round %u", pages, gfn, round);
        if (round == 0) {
            lfb[0] = 0xd0000000;
            xen_test_ok(t, guest_vga_place(&vga[0], lfb[0], 0));
        } else if (round == 1) {
            xen_test_save_restore(t, args);
            vga[0].pc = vga[1].pc = t->pc;
        }
    }
    return NULL;
}

/* Xen does not answer: everything is drawn each time. */
static const char *tracking_fails(XenTest *t)
{
    g_autofree char *args = devmem_args(t, "-device VGA,id=one,addr=8 ");
    XensimFault fault = { .call = "xendevicemodel_track_dirty_vram" };
    static const int errors[] = { ENODATA, EINVAL, ENOMEM };
    GuestVga vga;

    xen_test_start(t, args);
    xen_test_ok(t, guest_vga_init(t->pc, &vga, 0));
    xen_test_ok(t, guest_vga_place(&vga, RANGE_A, 0));
    mode_8bit(t, &vga);
    XEN_TRY(paint_8bit(t, "one", RANGE_A, 99));
    for (unsigned i = 0; i < G_N_ELEMENTS(errors); i++) {
        int id;

        fault.error = errors[i];
        id = xensim_fault_arm(t->sim, &fault);
        XEN_TRY(paint_8bit(t, "one", RANGE_A, 3 * (i + 1)));
        XEN_TRY(paint_8bit(t, "one", RANGE_A, 8 * (i + 1)));
        XEN_REQUIRE(xensim_fault_hits(t->sim, id) > 0, "does not ask Xen");
        xensim_fault_disarm(t->sim, id);
        XEN_TRY(paint_8bit(t, "one", RANGE_A, 13 * (i + 1)));
    }
    return NULL;
}

/* ---- ioreqs that nobody should send ---- */

/* struct ioreq of public/hvm/ioreq.h, with its bit fields as one byte. */
typedef struct Slot {
    uint64_t addr, data;
    uint32_t count, size, port;
    uint16_t pad;
    uint8_t state;      /* below 16: 1 request, 3 answer; 32: a read */
    uint8_t type;
} Slot;
QEMU_BUILD_BUG_ON(sizeof(Slot) != 32);

#define STRANGE_PORT 0x3d4

typedef struct Pages {
    uint64_t mfn[16];
    unsigned n;
} Pages;

static void add_shared_page(void *opaque, const XensimMapRun *run)
{
    Pages *p = opaque;

    for (uint64_t i = 0; run->resource && i < run->pages; i++) {
        if (p->n < G_N_ELEMENTS(p->mfn)) {
            p->mfn[p->n++] = run->mfn + i;
        }
    }
}

/* The frame with the first vCPU's request, in @mfn; and what is in it. */
static Slot find_slot(XenTest *t, uint64_t *mfn)
{
    Pages pages = { .n = 0 };
    Slot slot;

    /* A good request leaves its address, and the event channel's port. */
    xensim_inb(t->dom, STRANGE_PORT);
    xensim_mappings_foreach(t->dom, add_shared_page, &pages);
    for (unsigned i = 0; i < pages.n; i++) {
        *mfn = pages.mfn[i];
        xensim_mfn_read(t->sim, *mfn, 0, &slot, sizeof(slot));
        if (slot.addr == STRANGE_PORT && slot.port) {
            return slot;
        }
    }
    g_assert_not_reached();
}

/*
 * The simulated Xen does not send what Xen would not; so the request is
 * written to the shared page, and the event sent, behind its back.
 */
static const char *send_type(XenTest *t, uint8_t type, bool read)
{
    gint64 end = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    uint64_t mfn;
    Slot slot = find_slot(t, &mfn);

    slot.data = 0x5a;
    slot.count = slot.size = 1;
    slot.state = read ? 33 : 1;
    slot.type = type;
    xensim_mfn_write(t->sim, mfn, 0, &slot, sizeof(slot));
    g_assert_cmpint(xensim_evtchn_notify(t->dom, slot.port), ==, 0);
    do {
        xen_test_alive(t);
        XEN_REQUIRE(g_get_monotonic_time() < end,
                    "does not answer an ioreq of type %u", type);
        g_usleep(200);
        xensim_mfn_read(t->sim, mfn, 0, &slot, sizeof(slot));
    } while ((slot.state & 15) != 3);
    XEN_REQUIRE(!read || (uint8_t)slot.data == 0xff, "answers 0x%" PRIx64
                " to a read of type %u", slot.data, type);
    slot.state = 0;
    xensim_mfn_write(t->sim, mfn, 0, &slot, sizeof(slot));
    return NULL;
}

static const char *strange_ioreqs(XenTest *t)
{
    g_autofree char *args = devmem_args(t, vga_2m.args);
    static const uint8_t types[] = { 3, 4, 5, 6, 9, 77, 255 };
    g_auto(GStrv) lines = NULL;

    xen_test_start(t, args);
    xen_test_ide(t);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
            XEN_TRY(send_type(t, types[i], round & 1));
        }
    }
    lines = xen_test_log_lines(t, "ioreq of type");
    XEN_REQUIRE(g_strv_length(lines) >= 1, "does not report a strange ioreq");
    XEN_REQUIRE(g_strv_length(lines) <= 20, "reports every strange ioreq");
    xen_test_dma_read(t, 3, 0x900000, 4);
    return xen_test_disk_at(t, 0x900000, 3, 4, DEVMEM_SEED, "read other bytes");
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("physmap/migration", migration, "ended by SIGABRT");
    xen_test_add("physmap/stranded", stranded, NULL);
    xen_test_add("physmap/two-displays", two_displays, "shows 0x*");
    xen_test_add("physmap/tracking-fails", tracking_fails, NULL);
    xen_test_add("physmap/strange-ioreqs", strange_ioreqs,
                 "ended by SIGABRT");
    return g_test_run();
}
