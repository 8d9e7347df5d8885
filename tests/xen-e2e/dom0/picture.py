# SPDX-License-Identifier: GPL-2.0-or-later
"""The picture that the guest draws (guest/video.c), as a screendump has it."""
from report import Failed

MASK = 0xffffffff


def pixel(seed, x, y):
    cell = (x // 32 + y // 32 * 61 + 1) * (seed * 2 + 1) * 0x9e3779b1 & MASK
    value = ((cell >> 8) & 0xc0c0c0) | (x & 0x3f) << 16 | (y & 0x3f) << 8 \
        | ((x ^ y ^ seed) & 0x3f)
    return value.to_bytes(3, 'big')


def compare(ppm, width, height, seed, every=24):
    """Every EVERYth line, whole: a line takes a tenth of a second here.
    The guest itself looks at all of them."""
    kind, size, depth, pixels = ppm.split(b'\n', 3)
    if (kind, depth) != (b'P6', b'255') or \
            size != f'{width} {height}'.encode():
        raise Failed(f'the screen is {size.decode()}, not {width} {height}')
    for y in range(0, height, every):
        want = b''.join(pixel(seed, x, y) for x in range(width))
        got = pixels[y * width * 3:(y + 1) * width * 3]
        if want != got:
            x = next(i for i in range(width * 3) if want[i] != got[i]) // 3
            raise Failed(
                f'the screen at {x},{y} is {got[3 * x:3 * x + 3].hex()}, '
                f'not {want[3 * x:3 * x + 3].hex()}')
