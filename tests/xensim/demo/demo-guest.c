/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the guest does in the demo. */

#include <inttypes.h>
#include <string.h>

#include "demo.h"

/* Sectors in one disk command: 15 rows of the picture. */
#define STRIP_SECTORS 75u
#define STRIP_BYTES   (STRIP_SECTORS * GUEST_SECTOR_SIZE)

/* A guest's driver failed with RC; the device model's death comes first. */
static gboolean guest_failed(Demo *demo, const char *what, GError **err)
{
    GError *death = NULL;
    gint64 end = g_get_monotonic_time() + G_USEC_PER_SEC;

    /* It may take the kernel a moment to end a process that aborts. */
    while (ts_alive(demo->guest, NULL, &death) &&
           g_get_monotonic_time() < end) {
        g_usleep(10000);
    }
    if (death) {
        g_propagate_prefixed_error(err, death, "%s: ", what);
    } else {
        g_set_error(err, G_IO_ERROR, G_IO_ERROR_FAILED, "%s: %s", what,
                    guest_pc_error(demo->pc));
    }
    return FALSE;
}

static gboolean memory_failed(const char *what, uint64_t gpa, GError **err)
{
    g_set_error(err, G_IO_ERROR, G_IO_ERROR_FAILED,
                "%s: guest memory at 0x%" PRIx64 " is not there", what, gpa);
    return FALSE;
}

gboolean demo_guest_boot(Demo *demo, GError **err)
{
    demo->pc = guest_pc_new(ts_domain(demo->guest));
    if (guest_vga_init(demo->pc, &demo->vga, 0) ||
        guest_vga_place(&demo->vga, DEMO_VRAM, DEMO_VGA_MMIO) ||
        guest_vga_mode(&demo->vga, PICTURE_WIDTH, PICTURE_HEIGHT, 32)) {
        return guest_failed(demo, "setting up the display", err);
    }
    if (guest_ide_init(demo->pc, &demo->ide, 0, 0, DEMO_PRD)) {
        return guest_failed(demo, "setting up the disk", err);
    }
    return TRUE;
}

void demo_guest_resume(Demo *demo)
{
    guest_pc_free(demo->pc);
    demo->pc = guest_pc_new(ts_domain(demo->guest));
    demo->ide.pc = demo->pc;
    demo->vga.pc = demo->pc;
}

/* Read strip I of the picture: by DMA to where it is shown, or by RAM. */
static gboolean read_strip(Demo *demo, unsigned int i, GError **err)
{
    const char *what = demo->via_ram
        ? "the disk read into RAM" : "the disk read into video memory";
    const uint64_t show = DEMO_VRAM + i * STRIP_BYTES;
    const GuestSg sg = { demo->via_ram ? DEMO_SAFE : show, STRIP_BYTES };
    g_autofree uint8_t *copy = NULL;

    if (guest_ide_dma(&demo->ide, false,
                      DEMO_PICTURE_LBA + i * STRIP_SECTORS, STRIP_SECTORS,
                      &sg, 1)) {
        return guest_failed(demo, what, err);
    }
    if (!demo->via_ram) {
        return TRUE;
    }
    copy = g_malloc(STRIP_BYTES);
    if (xensim_read(guest_pc_domain(demo->pc), DEMO_SAFE, copy, STRIP_BYTES)) {
        return memory_failed("copying to the display", DEMO_SAFE, err);
    }
    if (xensim_write(guest_pc_domain(demo->pc), show, copy, STRIP_BYTES)) {
        return memory_failed("copying to the display", show, err);
    }
    return TRUE;
}

gboolean demo_guest_verify(Demo *demo, GError **err)
{
    g_autofree Picture *shown = g_new(Picture, 1);
    unsigned int i;

    if (xensim_read(guest_pc_domain(demo->pc), DEMO_VRAM, shown->pixels,
                    PICTURE_BYTES)) {
        return memory_failed("reading video memory", DEMO_VRAM, err);
    }
    for (i = 0; i < PICTURE_WIDTH * PICTURE_HEIGHT; i++) {
        if (shown->pixels[i] != demo->picture.pixels[i]) {
            g_set_error(err, G_IO_ERROR, G_IO_ERROR_FAILED,
                        "video memory at 0x%" PRIx64 " holds 0x%08x; on the "
                        "disk it is 0x%08x", (uint64_t)DEMO_VRAM + i * 4,
                        shown->pixels[i], demo->picture.pixels[i]);
            return FALSE;
        }
    }
    return TRUE;
}

gboolean demo_guest_paint(Demo *demo, GError **err)
{
    unsigned int i;

    for (i = 0; i < DEMO_PICTURE_SECTORS / STRIP_SECTORS; i++) {
        if (!read_strip(demo, i, err)) {
            return FALSE;
        }
    }
    return demo_guest_verify(demo, err);
}

gboolean demo_guest_repaint(Demo *demo, GError **err)
{
    const unsigned int i = DEMO_PICTURE_SECTORS / STRIP_SECTORS / 2;
    const uint64_t gpa = DEMO_VRAM + i * STRIP_BYTES;

    if (xensim_fill(guest_pc_domain(demo->pc), gpa, 0, STRIP_BYTES)) {
        return memory_failed("blacking out a strip", gpa, err);
    }
    return read_strip(demo, i, err) && demo_guest_verify(demo, err);
}

/* ---- ballooning ---- */

/* What the guest has at GPA after a round must be what it stamped. */
static gboolean check_stamps(Demo *demo, uint64_t gpa, uint64_t seed,
                             const char *what, GError **err)
{
    const uint64_t first = gpa >> XENSIM_PAGE_SHIFT;
    g_autofree uint8_t *page = g_malloc(XENSIM_PAGE_SIZE);
    unsigned int i;

    for (i = 0; i < DEMO_BALLOON_PAGES; i++) {
        const uint64_t at = (first + i) << XENSIM_PAGE_SHIFT;

        if (xensim_read(guest_pc_domain(demo->pc), at, page,
                        XENSIM_PAGE_SIZE)) {
            return memory_failed(what, at, err);
        }
        /* The stamp says which page of the buffer it was made for. */
        if (!xensim_stamp_page_ok(page,
                                  (DEMO_BUFFER >> XENSIM_PAGE_SHIFT) + i,
                                  seed)) {
            g_set_error(err, G_IO_ERROR, G_IO_ERROR_FAILED,
                        "%s: page %u is stale: the device model used the "
                        "frame that the guest had given away", what, i);
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean one_round(Demo *demo, unsigned int round, GError **err)
{
    XensimDomain *dom = guest_pc_domain(demo->pc);
    const uint64_t gfn = DEMO_BUFFER >> XENSIM_PAGE_SHIFT;
    const unsigned int bytes = DEMO_BALLOON_PAGES * XENSIM_PAGE_SIZE;
    const unsigned int sectors = bytes / GUEST_SECTOR_SIZE;
    const GuestSg buffer = { DEMO_BUFFER, bytes };
    const GuestSg safe = { DEMO_SAFE, bytes };
    const uint64_t seed = 1 + round;
    const uint64_t mfn = xensim_gfn_to_mfn(dom, gfn);

    /* DMA touches the old frames, so a mapping of them may be kept. */
    if (guest_ide_dma(&demo->ide, false, DEMO_PICTURE_LBA, sectors, &buffer,
                      1)) {
        return guest_failed(demo, "the disk read into RAM", err);
    }
    if (!ts_balloon_out(demo->guest, gfn, DEMO_BALLOON_PAGES, err) ||
        !ts_balloon_in(demo->guest, gfn, DEMO_BALLOON_PAGES, err)) {
        return FALSE;
    }
    if (xensim_gfn_to_mfn(dom, gfn) == mfn) {
        g_set_error(err, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "ballooning gave gfn 0x%" PRIx64 " its old frame back, "
                    "so this run could not see a stale mapping", gfn);
        return FALSE;
    }
    /* New content in the new frames: is that what the disk gets? */
    if (xensim_stamp(dom, gfn, DEMO_BALLOON_PAGES, seed)) {
        return memory_failed("stamping", DEMO_BUFFER, err);
    }
    if (guest_ide_dma(&demo->ide, true, DEMO_SCRATCH_LBA, sectors, &buffer,
                      1) ||
        guest_ide_dma(&demo->ide, false, DEMO_SCRATCH_LBA, sectors, &safe,
                      1)) {
        return guest_failed(demo, "disk writes from RAM", err);
    }
    if (!check_stamps(demo, DEMO_SAFE, seed, "written to disk", err)) {
        return FALSE;
    }
    /* And does a read arrive in the new frames? */
    if (xensim_fill(dom, DEMO_BUFFER, 0xee, bytes)) {
        return memory_failed("clearing", DEMO_BUFFER, err);
    }
    if (guest_ide_dma(&demo->ide, false, DEMO_SCRATCH_LBA, sectors, &buffer,
                      1)) {
        return guest_failed(demo, "the disk read into RAM", err);
    }
    return check_stamps(demo, DEMO_BUFFER, seed, "read from disk", err);
}

gboolean demo_guest_balloon(Demo *demo, GError **err)
{
    unsigned int round;

    for (round = 0; round < DEMO_BALLOON_ROUNDS; round++) {
        if (!one_round(demo, round, err)) {
            return FALSE;
        }
    }
    return TRUE;
}
