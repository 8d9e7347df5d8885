/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that drives a virtio-gpu: the device keeps the memory of a picture
 * mapped for as long as the guest lets it, across invalidates and restores.
 */
#include "qemu/osdep.h"
#include "drivers/virtio.h"
#include "xen-test-common.h"

enum {
    REGISTERS = 0xf6000000u,
    DRIVER_GPA = 0x700000,
    ID = 7,
    WIDTH = 640,
    HEIGHT = 480,
    PIECES = 12,                /* not more than a report names, */
    PIECE = 25 * XEN_TEST_PAGE,
    FIRST_GPA = 0x1000000,      /* ... from here on, */
    STEP = 40 * XEN_TEST_PAGE,  /* ... so far apart */
    SEED = 71,
};

QEMU_BUILD_BUG_ON(PIECES * PIECE != WIDTH * HEIGHT * 4);

static uint8_t pixel_byte(unsigned i, unsigned seed)
{
    return i * seed + i / 251;
}

/* The guest draws in its own memory; no device sees it. */
static void draw(XenTest *t, unsigned seed)
{
    uint8_t bytes[PIECE];

    for (unsigned i = 0; i < PIECES; i++) {
        for (unsigned j = 0; j < PIECE; j++) {
            bytes[j] = pixel_byte(i * PIECE + j, seed);
        }
        g_assert_cmpint(xensim_write(t->dom, FIRST_GPA + i * STEP, bytes,
                                     PIECE), ==, 0);
    }
}

/* A picture of the guest's, that the device has and shows. */
static void attach(XenTest *t, GuestVgpu *gpu)
{
    GuestSg sg[PIECES];

    for (unsigned i = 0; i < PIECES; i++) {
        sg[i] = (GuestSg) { FIRST_GPA + i * STEP, PIECE };
    }
    xen_test_ok(t, guest_vgpu_init(t->pc, gpu, 0, REGISTERS, DRIVER_GPA));
    xen_test_ok(t, guest_vgpu_create(gpu, ID, WIDTH, HEIGHT));
    xen_test_ok(t, guest_vgpu_attach(gpu, ID, sg, PIECES));
    xen_test_ok(t, guest_vgpu_show(gpu, ID, WIDTH, HEIGHT));
}
#define attach(...) XEN_AT(attach(__VA_ARGS__))

static const char *shows(XenTest *t, unsigned seed)
{
    g_autoptr(GBytes) shot = xen_test_screendump(t);
    const unsigned pixels = WIDTH * HEIGHT;
    const uint8_t *rgb;
    gsize len;

    rgb = g_bytes_get_data(shot, &len);
    XEN_REQUIRE(len > pixels * 3 && len < pixels * 3 + 64,
                "shows a screen of another size");
    rgb += len - pixels * 3;
    for (unsigned i = 0; i < pixels * 3; i++) {
        XEN_REQUIRE(rgb[i] == pixel_byte(i / 3 * 4 + 2 - i % 3, seed),
                    "shows another picture, from pixel %u on", i / 3);
    }
    return NULL;
}
#define shows(...) XEN_AT(shows(__VA_ARGS__))

static const char *redraws(XenTest *t, GuestVgpu *gpu, unsigned seed)
{
    draw(t, seed);
    xen_test_ok(t, guest_vgpu_update(gpu, ID, WIDTH, HEIGHT));
    return shows(t, seed);
}
#define redraws(...) XEN_AT(redraws(__VA_ARGS__))

/* What the device shows and what it reads is the guest's after a restore. */
static const char *restored(XenTest *t)
{
    const char *args = "-device virtio-vga,addr=8 ";
    GuestVgpu gpu;

    xen_test_start(t, args);
    attach(t, &gpu);
    XEN_TRY(redraws(t, &gpu, SEED));
    for (unsigned i = 1; i < 4; i++) {
        xen_test_save_restore(t, args);
        gpu.dev.pc = t->pc;
        XEN_TRY(shows(t, SEED + i - 1));
        XEN_TRY(redraws(t, &gpu, SEED + i));
    }
    xen_test_ok(t, guest_virtio_reset(&gpu.dev));
    return NULL;
}

/* The memory is held for long: named once, its pages mapped and no others. */
static const char *held(XenTest *t)
{
    enum { RINGS = 3 };         /* of the one queue that the guest uses */
    const uint64_t neighbour = (FIRST_GPA + PIECE) / XEN_TEST_PAGE;
    unsigned named = 0;
    uint64_t pages;
    GuestVgpu gpu;

    xen_test_start(t, "-device virtio-gpu-pci,addr=8 ");
    attach(t, &gpu);
    pages = DIV_ROUND_UP(gpu.queue.end - gpu.queue.desc, XEN_TEST_PAGE) +
            PIECES * PIECE / XEN_TEST_PAGE;
    XEN_REQUIRE(xen_test_stat(t, "dma") == 0 &&
                xen_test_stat(t, "held") == RINGS + PIECES,
                "counts the picture's memory badly");
    for (unsigned i = 0; i < 3; i++) {
        g_auto(GStrv) lines = NULL;

        /* A neighbour goes, and comes with another frame. */
        xensim_balloon_out(t->dom, neighbour, 1);
        /* Rings that share a page may each have a mapping of it. */
        XEN_REQUIRE(xen_test_ram_shown(t) == pages,
                    "holds %" PRIu64 " pages for %" PRIu64,
                    xen_test_ram_shown(t), pages);
        xensim_balloon_in(t->dom, neighbour, 1);
        lines = xen_test_log_lines(t, "invalidate with DMA outstanding: ");
        named = i ? named : g_strv_length(lines);
        XEN_REQUIRE(named && g_strv_length(lines) == named,
                    "named %u mappings, then %u more", named,
                    g_strv_length(lines) - named);
        XEN_TRY(redraws(t, &gpu, SEED + i));
        g_usleep(1100 * 1000);      /* a report may come once a second */
    }
    xen_test_ok(t, guest_vgpu_detach(&gpu, ID));
    XEN_REQUIRE(xen_test_stat(t, "held") == RINGS, "keeps what it let go");
    xen_test_ok(t, guest_virtio_reset(&gpu.dev));
    return NULL;
}

/* The guest gives the memory away while the device has it. */
static const char *given_away(XenTest *t)
{
    const uint64_t gfn = FIRST_GPA / XEN_TEST_PAGE;
    GuestVgpu gpu;
    uint64_t mfn;

    xen_test_start(t, "-device virtio-gpu-pci,addr=8 ");
    attach(t, &gpu);
    XEN_TRY(redraws(t, &gpu, SEED));
    mfn = xensim_gfn_to_mfn(t->dom, gfn);
    xensim_balloon_out(t->dom, gfn, 1);
    /* It still reads the frame that it holds. */
    xen_test_ok(t, guest_vgpu_update(&gpu, ID, WIDTH, HEIGHT));
    XEN_TRY(shows(t, SEED));
    xen_test_ok(t, guest_vgpu_detach(&gpu, ID));
    XEN_REQUIRE(xen_test_let_go(t, mfn), "keeps a frame that it let go");
    xen_test_ok(t, guest_virtio_reset(&gpu.dev));
    return NULL;
}

/* A piece that is longer than what one mapping may be, and one not there. */
static const char *pieces(XenTest *t)
{
    enum { LONG = 40 << 20 };
    const GuestSg one = { 0x1000000, LONG }, none = { 0xe0000000u, PIECE };
    uint64_t calls;
    GuestVgpu gpu;

    xen_test_start(t, "-device virtio-gpu-pci,addr=8 ");
    xen_test_ok(t, guest_vgpu_init(t->pc, &gpu, 0, REGISTERS, DRIVER_GPA));
    xen_test_ok(t, guest_vgpu_create(&gpu, ID, WIDTH, HEIGHT));
    calls = xen_test_map_calls(t);
    xen_test_ok(t, guest_vgpu_attach(&gpu, ID, &one, 1));
    calls = xen_test_map_calls(t) - calls;
    XEN_REQUIRE(calls >= 3 && calls < 10, "made %" PRIu64 " map calls for a "
                "piece of 40 MiB", calls);
    xen_test_ok(t, guest_vgpu_show(&gpu, ID, WIDTH, HEIGHT));
    for (unsigned i = 0; i < WIDTH * HEIGHT * 4 / PIECE; i++) {
        uint8_t bytes[PIECE];

        for (unsigned j = 0; j < PIECE; j++) {
            bytes[j] = pixel_byte(i * PIECE + j, SEED);
        }
        xensim_write(t->dom, one.gpa + i * PIECE, bytes, PIECE);
    }
    xen_test_ok(t, guest_vgpu_update(&gpu, ID, WIDTH, HEIGHT));
    XEN_TRY(shows(t, SEED));
    xen_test_ok(t, guest_vgpu_detach(&gpu, ID));

    /* What is nowhere is nothing to show, and nothing to end for. */
    guest_vgpu_attach(&gpu, ID, &none, 1);
    guest_vgpu_update(&gpu, ID, WIDTH, HEIGHT);
    xen_test_ok(t, guest_virtio_reset(&gpu.dev));
    return NULL;
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("virtio-gpu/restored", restored, "ok");
    xen_test_add("virtio-gpu/held", held, NULL);
    xen_test_add("virtio-gpu/given-away", given_away, NULL);
    xen_test_add("virtio-gpu/pieces", pieces, NULL);
    return g_test_run();
}
