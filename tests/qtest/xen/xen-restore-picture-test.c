/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a display shows is the same after a save and a restore, pixel by
 * pixel, in text mode and in linear modes, whatever its memory's size.
 *
 * There is no firmware here: the guest programs the VGA as a driver would.
 */
#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "qemu/units.h"
#include "xen-test-devmem.h"

/* How a picture is drawn and where the registers are. */
typedef enum Picture {
    TEXT,               /* 80x25 characters through the window at 0xb8000 */
    LINEAR_256,         /* 320x200, a byte for each pixel, by VGA registers */
    LINEAR_PORTS,       /* 640x480x32 by the Bochs registers at 0x1ce */
    LINEAR_MMIO,        /* the same by those in BAR 2 */
    LINEAR_SVGA,        /* 800x600x32 by the VMware registers in BAR 0 */
} Picture;

#define MMIO_BAR    0xf6000000u
#define SVGA_IO     0xc200u

/* Registers of the VGA for a mode: 25 CRTC, 9 graphics, 5 sequencer. */
typedef struct Mode {
    uint8_t misc, attr_mode;
    uint8_t seq[5], crtc[25], gfx[9];
} Mode;

static const Mode text_mode = {
    0x67, 0x0c, { 3, 0, 3, 0, 2 },
    { 0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0, 0x4f, 0x20, 0x0e,
      0, 0, 0, 0, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff },
    { 0, 0, 0, 0, 0, 0x10, 0x0e, 0, 0xff },
};

static const Mode linear_256_mode = {
    0x63, 0x41, { 3, 1, 0x0f, 0, 0x0e },
    { 0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0, 0x41, 0, 0,
      0, 0, 0, 0, 0x9c, 0x8e, 0x8f, 0x28, 0x40, 0x96, 0xb9, 0xa3, 0xff },
    { 0, 0, 0, 0, 0, 0x40, 0x05, 0x0f, 0xff },
};

static void index_out(XenTest *t, uint16_t port, unsigned index, uint8_t val)
{
    xensim_outw(t->dom, port, index | val << 8);
}
#define index_out(...) XEN_AT(index_out(__VA_ARGS__))

static void set_mode(XenTest *t, const Mode *m)
{
    xensim_outb(t->dom, 0x3c2, m->misc);
    for (unsigned i = 0; i < sizeof(m->seq); i++) {
        index_out(t, 0x3c4, i, m->seq[i]);
    }
    index_out(t, 0x3d4, 0x11, 0);       /* unlocks the first eight */
    for (unsigned i = 0; i < sizeof(m->crtc); i++) {
        index_out(t, 0x3d4, i, m->crtc[i]);
    }
    for (unsigned i = 0; i < sizeof(m->gfx); i++) {
        index_out(t, 0x3ce, i, m->gfx[i]);
    }
    xensim_inb(t->dom, 0x3da);
    for (unsigned i = 0; i < 21; i++) {
        xensim_outb(t->dom, 0x3c0, i);
        xensim_outb(t->dom, 0x3c0, i < 16 ? i : i == 16 ? m->attr_mode :
                    i == 18 ? 0x0f : 0);
    }
    xensim_outb(t->dom, 0x3c0, 0x20);   /* the screen is on */
    xensim_outb(t->dom, 0x3c6, 0xff);
    xensim_outb(t->dom, 0x3c8, 0);
    for (unsigned i = 0; i < 768; i++) {
        xensim_outb(t->dom, 0x3c9, (i * 11 + i / 3) & 0x3f);
    }
}
#define set_mode(...) XEN_AT(set_mode(__VA_ARGS__))

/* Copies @len bytes to the VGA window at @at, by way of RAM. */
static void window_write(XenTest *t, uint64_t at, const uint8_t *bytes,
                         unsigned len)
{
    xensim_write(t->dom, 0x700000, bytes, len);
    for (unsigned i = 0; i < len; i += XEN_TEST_PAGE) {
        xensim_mmio_copy(t->dom, at + i, 0x700000 + i, 4,
                         MIN(len - i, XEN_TEST_PAGE) / 4, false, false);
    }
}
#define window_write(...) XEN_AT(window_write(__VA_ARGS__))

/* A font in plane 2, then characters and colours of all kinds. */
static void draw_text(XenTest *t)
{
    g_autofree uint8_t *bytes = g_malloc(8192);

    index_out(t, 0x3c4, 2, 4);
    index_out(t, 0x3c4, 4, 6);
    index_out(t, 0x3ce, 5, 0);
    index_out(t, 0x3ce, 6, 4);
    for (unsigned i = 0; i < 8192; i++) {
        bytes[i] = i % 32 < 16 ? i * 37 + i / 32 : 0;
    }
    window_write(t, 0xa0000, bytes, 8192);
    set_mode(t, &text_mode);
    for (unsigned i = 0; i < 4000; i++) {
        bytes[i] = i % 2 ? i / 2 * 13 : i / 2;
    }
    window_write(t, 0xb8000, bytes, 4000);
}

static void draw_frames(XenTest *t, uint64_t base, unsigned len)
{
    g_autofree uint8_t *bytes = g_malloc(len);

    for (unsigned i = 0; i < len; i++) {
        bytes[i] = i * 7 + i / 253;
    }
    if (xensim_write(t->dom, base, bytes, len)) {
        xen_test_leave(t, "left a page of a BAR without a frame");
    }
}
#define draw_frames(...) XEN_AT(draw_frames(__VA_ARGS__))

static void dispi(XenTest *t, Picture p, unsigned index, uint16_t val)
{
    if (p == LINEAR_MMIO) {
        xensim_mmio_write(t->dom, MMIO_BAR + 0x500 + index * 2, 2, val);
    } else {
        xensim_outw(t->dom, 0x1ce, index);
        xensim_outw(t->dom, 0x1cf, val);
    }
}
#define dispi(...) XEN_AT(dispi(__VA_ARGS__))

static void svga(XenTest *t, unsigned index, uint32_t val)
{
    xensim_outl(t->dom, SVGA_IO, index);
    xensim_outl(t->dom, SVGA_IO + 1, val);
}
#define svga(...) XEN_AT(svga(__VA_ARGS__))

static void draw(XenTest *t, const DevMem *d, Picture p, uint64_t base)
{
    switch (p) {
    case TEXT:
        draw_text(t);
        break;
    case LINEAR_256:
        set_mode(t, &linear_256_mode);
        index_out(t, 0x3c4, 6, 0x12);   /* a Cirrus: unlocked, */
        index_out(t, 0x3c4, 7, 1);      /* ... bytes in a row */
        draw_frames(t, base, 320 * 200);
        break;
    case LINEAR_MMIO:
        xen_test_ok(t, guest_pci_place_bar(t->pc, DEVMEM_DEVFN, 2, MMIO_BAR));
        /* The screen is on; a bochs-display has no such register. */
        xensim_mmio_write(t->dom, MMIO_BAR + 0x400, 1, 0x20);
        /* fall through */
    case LINEAR_PORTS:
        dispi(t, p, 4, 0);
        dispi(t, p, 1, 640);
        dispi(t, p, 2, 480);
        dispi(t, p, 3, 32);
        dispi(t, p, 4, 0x41 | 0x80);    /* linear; memory is kept */
        xensim_inb(t->dom, 0x3da);
        xensim_outb(t->dom, 0x3c0, 0x20);
        draw_frames(t, base, 640 * 480 * 4);
        break;
    case LINEAR_SVGA:
        xen_test_ok(t, guest_pci_place_bar(t->pc, DEVMEM_DEVFN, 0, SVGA_IO));
        xen_test_ok(t, guest_pci_command(t->pc, DEVMEM_DEVFN, GUEST_PCI_IO, 0));
        svga(t, 0, 0x90000002);
        svga(t, 2, 800);
        svga(t, 3, 600);
        svga(t, 1, 1);
        svga(t, 20, 1);                 /* the queue of commands is there */
        draw_frames(t, base, 800 * 600 * 4);
        break;
    }
}
#define draw(...) XEN_AT(draw(__VA_ARGS__))

/* Is there a picture?  One colour all over would prove nothing. */
static const char *has_colours(GBytes *shot)
{
    gsize len;
    const uint8_t *b = g_bytes_get_data(shot, &len);
    unsigned seen[256] = { 0 }, n = 0;

    for (gsize i = 64; i < len; i++) {
        n += !seen[b[i]]++;
    }
    XEN_REQUIRE(len > 100000 && n > 4, "shows %u bytes of %u values",
                (unsigned)len, n);
    return NULL;
}

/* A picture before and after two saves, and after its memory has moved. */
static const char *picture(XenTest *t, const DevMem *d, Picture p)
{
    g_autoptr(GBytes) before = NULL;
    uint64_t at = RANGE_A;

    xen_test_start(t, d->args);
    devmem_place(t, d, at);
    draw(t, d, p, at);
    g_bytes_unref(xen_test_screendump(t));      /* a mode is set by drawing */
    before = xen_test_screendump(t);
    XEN_TRY(has_colours(before));
    for (unsigned i = 0; i < 3; i++) {
        g_autoptr(GBytes) after = NULL;

        if (i == 2) {
            at = RANGE_B;
            devmem_place(t, d, at);
        }
        xen_test_save_restore(t, d->args);
        after = xen_test_screendump(t);
        XEN_REQUIRE(g_bytes_equal(before, after),
                    "shows another picture after restore %u", i + 1);
    }
    /* The picture is of the memory that the guest has. */
    if (p != TEXT) {
        g_autoptr(GBytes) other = NULL;

        g_assert_cmpint(xensim_fill(t->dom, at + 64000 / 2, 0x55, 16000), ==,
                        0);
        qtest_qmp_assert_success(t->qts, "{'execute': 'stop'}");
        qtest_qmp_assert_success(t->qts, "{'execute': 'cont'}");
        other = xen_test_screendump(t);
        XEN_REQUIRE(!g_bytes_equal(before, other),
                    "does not show what the guest drew");
    }
    return NULL;
}
#define picture(...) XEN_AT(picture(__VA_ARGS__))

#define ABORTS      "ended by SIGABRT"
#define LOSES_PAGES "left a page of a BAR without a frame"
#define VGA         "-device VGA,addr=8 "
#define CIRRUS      "-device cirrus-vga,addr=8 "
#define VIRTIO      "-device virtio-vga,addr=8 "
#define VMWARE      "-device vmware-svga,addr=8 "

#define SPICE "-spice unix=on,addr=%s/spice,disable-ticketing=on "

static const char *qxl(XenTest *t, Picture p)
{
    g_autofree char *args =
        g_strdup_printf(SPICE "-device qxl-vga,addr=8,vgamem_mb=8,"
                        "ram_size_mb=16,vram_size_mb=8 ", t->dir);
    DevMem d = { "qxl", args, { { 0, 8 * MiB } } };

    return picture(t, &d, p);
}
#define qxl(...) XEN_AT(qxl(__VA_ARGS__))

static const struct Shown {
    DevMem mem;
    Picture how;
    const char *stock;
} shown[] = {
    { { "vga-text", VGA, { { 0, 16 * MiB } } }, TEXT, ABORTS },
    { { "vga-256", VGA, { { 0, 16 * MiB } } }, LINEAR_256, ABORTS },
    { { "vga", VGA, { { 0, 16 * MiB } } }, LINEAR_PORTS, ABORTS },
    { { "secondary-vga", "-device secondary-vga,addr=8 ",
        { { 0, 16 * MiB } } }, LINEAR_MMIO, ABORTS },
    { { "cirrus-text", CIRRUS, { { 0, 4 * MiB } } }, TEXT, ABORTS },
    { { "cirrus-256", CIRRUS, { { 0, 4 * MiB } } }, LINEAR_256, ABORTS },
    { { "bochs-display", "-device bochs-display,addr=8 ",
        { { 0, 16 * MiB } } }, LINEAR_MMIO, LOSES_PAGES },
    { { "virtio-vga-text", VIRTIO, { { 0, 8 * MiB } } }, TEXT, ABORTS },
    { { "virtio-vga", VIRTIO, { { 0, 8 * MiB } } }, LINEAR_PORTS, ABORTS },
    { { "vmware-svga-text", VMWARE, { { 1, 16 * MiB } } }, TEXT, ABORTS },
    { { "vmware-svga", VMWARE, { { 1, 16 * MiB } } }, LINEAR_SVGA, ABORTS },
};

static const char *show(XenTest *t)
{
    const struct Shown *s = t->data;

    return picture(t, &s->mem, s->how);
}

static const char *show_qxl_text(XenTest *t)
{
    return qxl(t, TEXT);
}

static const char *show_qxl(XenTest *t)
{
    return qxl(t, LINEAR_PORTS);
}

/* ---- sizes ---- */

static const struct Sized {
    DevMem mem;
    const char *stock;
} sized[] = {
    { { "vga-64m", "-device VGA,addr=8,vgamem_mb=64 ",
        { { 0, 64 * MiB } } }, ABORTS },
    { { "vga-256m", "-device VGA,addr=8,vgamem_mb=256 ",
        { { 0, 256 * MiB } } }, ABORTS },
    { { "secondary-vga-1m", "-device secondary-vga,addr=8,vgamem_mb=1 ",
        { { 0, 1 * MiB } } }, ABORTS },
    { { "vmware-svga-1m", "-device vmware-svga,addr=8,vgamem_mb=1 ",
        { { 1, 1 * MiB } } }, ABORTS },
    { { "cirrus-8m", "-device cirrus-vga,addr=8,vgamem_mb=8 ",
        { { 0, 8 * MiB } } }, ABORTS },
    { { "cirrus-16m", "-device cirrus-vga,addr=8,vgamem_mb=16 ",
        { { 0, 16 * MiB } } }, ABORTS },
    { { "bochs-4m", "-device bochs-display,addr=8,vgamem=4M ",
        { { 0, 4 * MiB } } }, LOSES_PAGES },
    { { "bochs-128m", "-device bochs-display,addr=8,vgamem=128M ",
        { { 0, 128 * MiB } } }, LOSES_PAGES },
    { { "bochs-256m", "-device bochs-display,addr=8,vgamem=256M ",
        { { 0, 256 * MiB } } }, LOSES_PAGES },
};

/* A guest may have more memory for video than 64 MiB. */
static const char *size(XenTest *t)
{
    const struct Sized *s = t->data;
    const DevMem *d = &s->mem;
    XensimDomainConfig cfg = {
        .ram_bytes = XEN_TEST_RAM_MB * MiB,
        .max_pages = (XEN_TEST_RAM_MB + 256 + 32) * MiB / XEN_TEST_PAGE,
    };
    g_autofree char *args = devmem_args(t, d->args);

    /* Not scattered: the host may have fewer areas than this has pages. */
    t->dom = xensim_domain_create(t->sim, &cfg);
    g_assert_nonnull(t->dom);
    xen_test_boot(t, args);
    xen_test_ide(t);
    devmem_place(t, d, RANGE_A);
    /* A Cirrus shows its memory once a mode is set. */
    xensim_outw(t->dom, 0x3ce, 0x000b);
    devmem_stamp(t, d, RANGE_A, 15);
    cfg.flags |= XENSIM_DOM_EMPTY;
    for (unsigned i = 0; i < 2; i++) {
        xen_test_save_restore_as(t, args, &cfg);
        XEN_TRY(devmem_in_place(t, d, i ? RANGE_B : RANGE_A, 15));
        devmem_place(t, d, RANGE_B);
    }
    XEN_TRY(devmem_gone(t, d, RANGE_A));
    return devmem_in_place(t, d, RANGE_B, 15);
}

/* ---- a distribution's device model ---- */

#define OTHER "/usr/libexec/xen-qemu-system-i386"

/* The screen, and a digest of all of the display's memory at RANGE_A. */
typedef struct Seen {
    const char *screen, *memory;        /* as long as the case */
} Seen;

static void look(XenTest *t, TsGuest *guest, const DevMem *d, Seen *seen)
{
    g_autofree char *file = g_strdup_printf("%s/screen.ppm", t->dir);
    g_autofree uint8_t *bytes = g_malloc(d->ram[0].bytes);
    g_autofree char *shot = NULL;
    g_autoptr(GError) err = NULL;
    gsize len;

    if (xensim_read(t->dom, RANGE_A, bytes, d->ram[0].bytes)) {
        xen_test_leave(t, "left a page of a BAR without a frame");
    }
    ts_screendump(guest, file, "ppm", &err);
    g_assert_no_error(err);
    g_assert_true(g_file_get_contents(file, &shot, &len, NULL));
    g_assert_cmpint(len, >, 100000);
    seen->memory =
        xen_test_keep(t, g_compute_checksum_for_data(G_CHECKSUM_SHA256, bytes,
                                                     d->ram[0].bytes));
    seen->screen =
        xen_test_keep(t, g_compute_checksum_for_data(G_CHECKSUM_SHA256,
                                                     (uint8_t *)shot, len));
}
#define look(...) XEN_AT(look(__VA_ARGS__))

static const struct Theirs {
    const char *name, *device;
    DevMem mem;
    Picture how;
} theirs[] = {
    { "vga", "VGA,addr=8", { .ram = { { 0, 16 * MiB } } }, LINEAR_PORTS },
    { "vga-text", "VGA,addr=8", { .ram = { { 0, 16 * MiB } } }, TEXT },
    { "cirrus", "cirrus-vga,addr=8", { .ram = { { 0, 4 * MiB } } },
      LINEAR_256 },
    { "cirrus-text", "cirrus-vga,addr=8", { .ram = { { 0, 4 * MiB } } }, TEXT },
};

/*
 * A state goes from Debian's to ours, to Debian's, and to ours again, with
 * the machine version that both have (xenfv): the same memory, picture, and
 * registers each time.
 */
static const char *debian(XenTest *t)
{
    const struct Theirs *their = t->data;
    const DevMem *d = &their->mem;
    const char *const args[] = { "-device", their->device, NULL };
    TsConfig config = {
        .qemu = OTHER,
        .ram_bytes = XEN_TEST_RAM_MB * MiB,
        .vga = "",
        .rom_dir = getenv("XEN_TEST_ROMS") ?: "/usr/share/seabios",
        .args = args,
    };
    g_autoptr(GError) err = NULL;
    TsGuest *guest = ts_create(t->ts, &config, &err);
    Seen first, now;

    g_assert_no_error(err);
    t->dom = ts_domain(guest);
    t->pc = guest_pc_new(t->dom);
    devmem_place(t, d, RANGE_A);
    xensim_outw(t->dom, 0x3ce, 0x000b);
    devmem_stamp(t, d, RANGE_A, 80);
    draw(t, d, their->how, RANGE_A);
    /* A mode is set by drawing. */
    look(t, guest, d, &first);
    look(t, guest, d, &first);
    for (unsigned i = 0; i < 3; i++) {
        g_autofree char *dir = g_build_filename(t->dir, "saved", NULL);

        g_assert_cmpint(g_mkdir(dir, 0700), ==, 0);
        ts_save(guest, dir, &err);
        g_assert_no_error(err);
        g_clear_pointer(&t->pc, guest_pc_free);
        ts_destroy(guest);
        config.qemu = i % 2 ? OTHER : getenv("QTEST_QEMU_BINARY");
        guest = ts_restore(t->ts, &config, dir, &err);
        ts_forget_saved(dir);
        XEN_REQUIRE(guest, "restore %u: %s", i + 1, err->message);
        t->dom = ts_domain(guest);
        t->pc = guest_pc_new(t->dom);
        look(t, guest, d, &now);
        XEN_REQUIRE(g_str_equal(now.memory, first.memory),
                    "has other video memory after restore %u", i + 1);
        XEN_REQUIRE(g_str_equal(now.screen, first.screen),
                    "shows another picture after restore %u", i + 1);
        /* The device writes where the guest reads. */
        if (their->how == LINEAR_PORTS) {
            xensim_mmio_write(t->dom, 0xa0010, 4, 0x600d0000 + i);
            XEN_REQUIRE(xensim_mmio_read(t->dom, RANGE_A + 0x10, 4) ==
                        0x600d0000 + i, "has two memories");
            look(t, guest, d, &first);
        }
    }
    ts_destroy(guest);
    return NULL;
}

static void no_debian(void)
{
    g_test_skip(OTHER " (package qemu-system-xen) is not installed");
}

static void add_cases(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(shown); i++) {
        g_autofree char *path = g_strdup_printf("picture/%s",
                                                shown[i].mem.name);

        xen_test_add_data(path, show, &shown[i], shown[i].stock);
    }
    if (qtest_has_device("qxl-vga")) {
        xen_test_add("picture/qxl-text", show_qxl_text, ABORTS);
        xen_test_add("picture/qxl", show_qxl, ABORTS);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(sized); i++) {
        g_autofree char *path = g_strdup_printf("size/%s", sized[i].mem.name);

        xen_test_add_data(path, size, &sized[i], sized[i].stock);
    }
}

/* Not of a build for an old libxen: its states have no keys. */
static void add_debian(void)
{
    if (!g_file_test(OTHER, G_FILE_TEST_IS_EXECUTABLE)) {
        qtest_add_func("xen/debian", no_debian);
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(theirs); i++) {
        g_autofree char *path = g_strdup_printf("debian/%s", theirs[i].name);

        xen_test_add_data(path, debian, &theirs[i], NULL);
    }
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    add_cases();
    if (!xen_test_compat()) {
        add_debian();
    }
    return g_test_run();
}
