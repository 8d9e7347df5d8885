/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The display: the mode that the BIOS set, or one by the Bochs registers. */

#include "guest.h"

#define DISPI_INDEX 0x1ce
#define DISPI_DATA 0x1cf
#define VBE_FINE 0x004f

enum {
    DISPI_ID = 0,
    DISPI_WIDTH = 1,
    DISPI_HEIGHT = 2,
    DISPI_BITS = 3,
    DISPI_ENABLE = 4,

    DISPI_ON = 0x01,
    DISPI_LINEAR = 0x40,
    DISPI_KEEP = 0x80,

    PCI_CLASS_VGA = 0x0300,
    PCI_BAR0 = 0x10,
};

Video video;

static uint16_t dispi_in(unsigned reg)
{
    out16(DISPI_INDEX, reg);
    return in16(DISPI_DATA);
}

static void dispi_out(unsigned reg, uint16_t val)
{
    out16(DISPI_INDEX, reg);
    out16(DISPI_DATA, val);
}

static uint16_t mode16(unsigned offset)
{
    return mode_info[offset] | mode_info[offset + 1] << 8;
}

void video_init(void)
{
    video.devfn = pci_find_class(PCI_CLASS_VGA);
    if (video.devfn < 0) {
        return;
    }
    video.lfb = pci_in(video.devfn, PCI_BAR0) & ~0xfu;
    video.vram_bytes = pci_bar_size(video.devfn, 0, false);
    video.dispi = (dispi_in(DISPI_ID) & 0xfff0) == 0xb0c0;
    if (boot_info.mode_info == VBE_FINE && boot_info.mode_set == VBE_FINE) {
        video.pitch = mode16(0x10);
        video.width = mode16(0x12);
        video.height = mode16(0x14);
        video.bits = mode_info[0x19];
    }
}

bool video_mode(unsigned width, unsigned height, unsigned bits)
{
    if (!video.dispi) {
        return false;
    }
    dispi_out(DISPI_ENABLE, 0);
    dispi_out(DISPI_WIDTH, width);
    dispi_out(DISPI_HEIGHT, height);
    dispi_out(DISPI_BITS, bits);
    dispi_out(DISPI_ENABLE, DISPI_ON | DISPI_LINEAR | DISPI_KEEP);
    if (dispi_in(DISPI_WIDTH) != width || dispi_in(DISPI_HEIGHT) != height ||
        dispi_in(DISPI_BITS) != bits) {
        return false;
    }
    video.width = width;
    video.height = height;
    video.bits = bits;
    video.pitch = width * (bits / 8);
    return true;
}

/* Red, green and blue of a pixel; each place of the screen differs. */
static uint32_t colour(uint32_t seed, uint32_t x, uint32_t y)
{
    uint32_t cell = (x / 32 + y / 32 * 61 + 1) * (seed * 2 + 1) * 0x9e3779b1u;

    return ((cell >> 8) & 0xc0c0c0) | (x & 0x3f) << 16 | (y & 0x3f) << 8 |
           ((x ^ y ^ seed) & 0x3f);
}

/* 24 and 32 bits only: the modes that the tests use. */
static uint32_t walk(uint32_t seed, bool draw)
{
    uint32_t bytes = video.bits / 8, differs = 0, x, y, i;

    for (y = 0; y < video.height; y++) {
        volatile uint8_t *p = (uint8_t *)(video.lfb + y * video.pitch);

        for (x = 0; x < video.width; x++, p += bytes) {
            uint32_t c = colour(seed, x, y);

            for (i = 0; i < 3; i++) {
                if (draw) {
                    p[i] = c >> (8 * i);
                } else if (p[i] != (c >> (8 * i) & 0xff)) {
                    differs++;
                    break;
                }
            }
        }
    }
    return differs;
}

void video_draw(uint32_t seed)
{
    walk(seed, true);
}

uint32_t video_differs(uint32_t seed)
{
    return walk(seed, false);
}
