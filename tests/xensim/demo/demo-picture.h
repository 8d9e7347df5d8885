/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The demo's picture: how it is made, read back from a file, compared. */

#ifndef XENSIM_DEMO_PICTURE_H
#define XENSIM_DEMO_PICTURE_H

#include <gio/gio.h>
#include <stdint.h>

#define PICTURE_WIDTH 640u
#define PICTURE_HEIGHT 480u
#define PICTURE_BYTES (PICTURE_WIDTH * PICTURE_HEIGHT * 4)

/*
 * One pixel is 0x00RRGGBB in the guest's byte order, as the display's 32-bit
 * mode has it; the top byte is not shown.
 */
typedef struct Picture {
    uint32_t pixels[PICTURE_WIDTH * PICTURE_HEIGHT];
} Picture;

/* Draws coloured waves, rings, and a title. */
void picture_draw(Picture *picture);

/* Reads a PNG file.  FALSE and ERR if it is none, or has another size. */
gboolean picture_load_png(Picture *picture, const char *path, GError **err);

/* Turn the PPM file FROM (binary, 8 bits) into the PNG file TO. */
gboolean picture_ppm_to_png(const char *from, const char *to, GError **err);

/*
 * How many pixels of A and B differ in what is shown; *FIRST (may be NULL)
 * gets the index of the first one.
 */
unsigned int picture_differences(const Picture *a, const Picture *b,
                                 unsigned int *first);

#endif
