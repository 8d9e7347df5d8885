/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The demo's picture; see demo-picture.h. */

#include <errno.h>
#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "demo-picture.h"

/* ---- drawing ---- */

/* Letters of 5 x 7 dots, a byte for each row, bit 4 at the left. */
static const struct {
    char letter;
    uint8_t rows[7];
} font[] = {
    { 'A', { 0x0e, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11 } },
    { 'B', { 0x1e, 0x11, 0x11, 0x1e, 0x11, 0x11, 0x1e } },
    { 'C', { 0x0e, 0x11, 0x10, 0x10, 0x10, 0x11, 0x0e } },
    { 'D', { 0x1e, 0x11, 0x11, 0x11, 0x11, 0x11, 0x1e } },
    { 'E', { 0x1f, 0x10, 0x10, 0x1e, 0x10, 0x10, 0x1f } },
    { 'H', { 0x11, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11 } },
    { 'I', { 0x0e, 0x04, 0x04, 0x04, 0x04, 0x04, 0x0e } },
    { 'K', { 0x11, 0x12, 0x14, 0x18, 0x14, 0x12, 0x11 } },
    { 'M', { 0x11, 0x1b, 0x15, 0x15, 0x11, 0x11, 0x11 } },
    { 'N', { 0x11, 0x19, 0x15, 0x13, 0x11, 0x11, 0x11 } },
    { 'O', { 0x0e, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0e } },
    { 'P', { 0x1e, 0x11, 0x11, 0x1e, 0x10, 0x10, 0x10 } },
    { 'R', { 0x1e, 0x11, 0x11, 0x1e, 0x14, 0x12, 0x11 } },
    { 'S', { 0x0f, 0x10, 0x10, 0x0e, 0x01, 0x01, 0x1e } },
    { 'T', { 0x1f, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04 } },
    { 'U', { 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0e } },
    { 'V', { 0x11, 0x11, 0x11, 0x11, 0x11, 0x0a, 0x04 } },
    { 'X', { 0x11, 0x11, 0x0a, 0x04, 0x0a, 0x11, 0x11 } },
    { 'Y', { 0x11, 0x11, 0x0a, 0x04, 0x04, 0x04, 0x04 } },
    { '-', { 0x00, 0x00, 0x00, 0x1f, 0x00, 0x00, 0x00 } },
};

static void put_dot(Picture *picture, unsigned x, unsigned y, unsigned size,
                    uint32_t colour)
{
    unsigned i, j;

    for (j = y; j < y + size && j < PICTURE_HEIGHT; j++) {
        for (i = x; i < x + size && i < PICTURE_WIDTH; i++) {
            picture->pixels[j * PICTURE_WIDTH + i] = colour;
        }
    }
}

static void put_letter(Picture *picture, char letter, unsigned x, unsigned y,
                       unsigned size, uint32_t colour)
{
    unsigned i, row, column;

    for (i = 0; i < G_N_ELEMENTS(font); i++) {
        if (font[i].letter != letter) {
            continue;
        }
        for (row = 0; row < 7; row++) {
            for (column = 0; column < 5; column++) {
                if (font[i].rows[row] & (0x10 >> column)) {
                    put_dot(picture, x + column * size, y + row * size, size,
                            colour);
                }
            }
        }
    }
}

/* TEXT in the middle of the line at Y, dots of SIZE, with a shadow. */
static void put_text(Picture *picture, const char *text, unsigned y,
                     unsigned size, uint32_t colour)
{
    unsigned x = (PICTURE_WIDTH - strlen(text) * 6 * size + size) / 2;

    for (; *text; text++, x += 6 * size) {
        put_letter(picture, *text, x + size / 2 + 1, y + size / 2 + 1, size,
                   0x000000);
        put_letter(picture, *text, x, y, size, colour);
    }
}

/* 0 to 255 of a wave that goes around once in 2 pi. */
static uint32_t wave(double angle)
{
    return (uint32_t)lround(127.5 + 127.5 * sin(angle));
}

void picture_draw(Picture *picture)
{
    unsigned x, y;

    for (y = 0; y < PICTURE_HEIGHT; y++) {
        for (x = 0; x < PICTURE_WIDTH; x++) {
            double dx = (x - PICTURE_WIDTH / 2.0) / 90.0;
            double dy = (y - PICTURE_HEIGHT / 2.0) / 90.0;
            double ring = sqrt(dx * dx + dy * dy);
            double v = sin(dx * 1.7) + sin(dy * 1.3 + 1) +
                       sin((dx + dy) * 0.9) + sin(ring * 2.4);

            picture->pixels[y * PICTURE_WIDTH + x] =
                wave(v * 1.1) << 16 | wave(v * 1.1 + 2.1) << 8 |
                wave(v * 1.1 + 4.2);
        }
    }
    for (x = 0; x < PICTURE_WIDTH; x++) {
        /* A frame of one pixel, so that a lost line is seen. */
        picture->pixels[x] = 0xffffff;
        picture->pixels[(PICTURE_HEIGHT - 1) * PICTURE_WIDTH + x] = 0xffffff;
    }
    for (y = 0; y < PICTURE_HEIGHT; y++) {
        picture->pixels[y * PICTURE_WIDTH] = 0xffffff;
        picture->pixels[(y + 1) * PICTURE_WIDTH - 1] = 0xffffff;
    }
    put_text(picture, "XEN MAPCACHE", 150, 8, 0xffffff);
    put_text(picture, "READ BY DMA", 240, 5, 0xffe060);
    put_text(picture, "INTO VIDEO MEMORY", 300, 5, 0xffe060);
}

/* ---- files ---- */

static gboolean png_failed(png_image *image, const char *path,
                           const char *what, GError **err)
{
    g_set_error(err, G_IO_ERROR, G_IO_ERROR_FAILED, "%s: cannot %s it as "
                "PNG: %s", path, what, image->message);
    png_image_free(image);
    return FALSE;
}

gboolean picture_load_png(Picture *picture, const char *path, GError **err)
{
    png_image image = { .version = PNG_IMAGE_VERSION };

    if (!png_image_begin_read_from_file(&image, path)) {
        return png_failed(&image, path, "read", err);
    }
    if (image.width != PICTURE_WIDTH || image.height != PICTURE_HEIGHT) {
        g_set_error(err, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "%s: it is %u x %u pixels, not %u x %u", path,
                    image.width, image.height, PICTURE_WIDTH,
                    PICTURE_HEIGHT);
        png_image_free(&image);
        return FALSE;
    }
    image.format = PNG_FORMAT_BGRA;     /* bytes of 0xAARRGGBB */
    if (!png_image_finish_read(&image, NULL, picture->pixels, 0, NULL)) {
        return png_failed(&image, path, "read", err);
    }
    return TRUE;
}

/* The next number of a PPM's head, moving *P behind it. */
static unsigned long ppm_number(const char **p, const char *end)
{
    char *after;
    unsigned long n;

    while (*p < end && (g_ascii_isspace(**p) || **p == '#')) {
        if (**p == '#') {
            while (*p < end && **p != '\n') {
                (*p)++;
            }
        } else {
            (*p)++;
        }
    }
    n = *p < end ? strtoul(*p, &after, 10) : 0;
    *p = *p < end ? after : end;
    return n;
}

gboolean picture_ppm_to_png(const char *from, const char *to, GError **err)
{
    png_image image = { .version = PNG_IMAGE_VERSION };
    g_autofree char *data = NULL;
    unsigned long width, height, most;
    const char *p, *end;
    gsize len;

    if (!g_file_get_contents(from, &data, &len, err)) {
        return FALSE;
    }
    p = data + 2;
    end = data + len;
    width = len > 2 ? ppm_number(&p, end) : 0;
    height = len > 2 ? ppm_number(&p, end) : 0;
    most = len > 2 ? ppm_number(&p, end) : 0;
    p++;
    if (len < 3 || strncmp(data, "P6", 2) != 0 || most != 255 ||
        width > 65535 || height > 65535 || p > end ||
        (gsize)(end - p) < width * height * 3) {
        g_set_error(err, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "%s: not a binary PPM picture", from);
        return FALSE;
    }
    image.width = width;
    image.height = height;
    image.format = PNG_FORMAT_RGB;
    if (!png_image_write_to_file(&image, to, 0, p, 0, NULL)) {
        return png_failed(&image, to, "write", err);
    }
    return TRUE;
}

unsigned int picture_differences(const Picture *a, const Picture *b,
                                 unsigned int *first)
{
    unsigned int i, n = 0;

    for (i = 0; i < PICTURE_WIDTH * PICTURE_HEIGHT; i++) {
        if ((a->pixels[i] ^ b->pixels[i]) & 0xffffff) {
            if (first && !n) {
                *first = i;
            }
            n++;
        }
    }
    return n;
}
