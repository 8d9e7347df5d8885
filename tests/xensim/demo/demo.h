/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The demo: what a device model mainly does.  It prints a few lines.
 *   demo.c          the steps, from start to end
 *   demo-guest.c    what the guest does in it
 *   demo-report.c   the table of calls
 *   demo-picture.c  the picture
 *
 * If something is wrong, a step returns FALSE and sets ERR to one line, and the
 * demo ends.
 */

#ifndef XENSIM_DEMO_H
#define XENSIM_DEMO_H

#include "demo-picture.h"
#include "drivers/pc.h"
#include "toolstack.h"

#define DEMO_RAM_BYTES (128ull << 20)

/* Guest-physical addresses. */
#define DEMO_VRAM      0xf0000000u      /* BAR 0 of the display */
#define DEMO_VGA_MMIO  0xf2000000u      /* its BAR 2 */
#define DEMO_PRD       0x00100000u      /* the disk's PRD table */
#define DEMO_BUFFER    0x02000000u      /* RAM that is given away */
#define DEMO_SAFE      0x04000000u      /* RAM that is not */

/* The disk: the picture, and room to write to. */
#define DEMO_PICTURE_LBA 2048u
#define DEMO_SCRATCH_LBA 8192u
#define DEMO_DISK_BYTES  (8u << 20)
#define DEMO_PICTURE_SECTORS (PICTURE_BYTES / GUEST_SECTOR_SIZE)

/* What is ballooned out and in: pages at a time, and how often. */
#define DEMO_BALLOON_PAGES  96u
#define DEMO_BALLOON_ROUNDS 4u

#define DEMO_MAX_STAGES 8

typedef struct DemoStage {
    const char *name;
    uint64_t maps, pages;       /* map calls, and the pages that they name */
    uint64_t unmaps;            /* mappings that ended */
    gint64 hits;                /* by QEMU's own count; -1: it has none */
} DemoStage;

typedef struct Demo {
    /* Options. */
    char *qemu, *out, *rom_dir;
    gboolean via_ram, restricted;

    Toolstack *ts;
    TsGuest *guest;
    GuestPc *pc;
    GuestVga vga;
    GuestIde ide;
    Picture picture;            /* the one that is on the disk */
    char *disk;                 /* the image's path */

    DemoStage stages[DEMO_MAX_STAGES];
    unsigned int n_stages;
    /* Of the running guest, when the last stage ended. */
    uint64_t live_maps;
    gint64 hits;
} Demo;

/* Prints a line. */
void demo_say(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

/* ---- demo-guest.c ---- */

/* Find the devices, place the video memory, set the mode. */
gboolean demo_guest_boot(Demo *demo, GError **err);

/*
 * To be called after a restore: drives the same devices without setting them
 * up.
 */
void demo_guest_resume(Demo *demo);

/* Reads the picture from the disk into video memory, and checks it there. */
gboolean demo_guest_paint(Demo *demo, GError **err);

/*
 * Overwrites a strip of the picture with black, and reads it from the disk
 * again.
 */
gboolean demo_guest_repaint(Demo *demo, GError **err);

/* Checks that the guest's CPU reads the picture from video memory. */
gboolean demo_guest_verify(Demo *demo, GError **err);

/*
 * Balloons pages that were used for DMA out and in, and checks DMA to and from
 * the new pages.
 */
gboolean demo_guest_balloon(Demo *demo, GError **err);

/* ---- demo-report.c ---- */

/* Ends a stage NAME: the calls since the end of the last stage belong to it. */
void demo_stage(Demo *demo, const char *name);

/* Prints the table of stages, and the counters of the running device model. */
void demo_report(Demo *demo);

#endif
