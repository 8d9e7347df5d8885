/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Patterns that tell every dword of a range from every other. */

#include "guest.h"

uint32_t stamp(uint32_t seed, uint32_t offset)
{
    return (offset / 4 + 1) * 0x9e3779b1u ^ seed * 0x85ebca6bu;
}

void stamp_fill(uint32_t addr, uint32_t len, uint32_t seed, uint32_t offset)
{
    uint32_t *p = (uint32_t *)addr;
    uint32_t i;

    for (i = 0; i < len; i += 4) {
        *p++ = stamp(seed, offset + i);
    }
}

void stamp_check(uint32_t addr, uint32_t len, uint32_t seed, uint32_t offset,
                 Differs *differs)
{
    const volatile uint32_t *p = (const uint32_t *)addr;
    uint32_t i;

    for (i = 0; i < len; i += 4, p++) {
        uint32_t got = *p, want = stamp(seed, offset + i);

        if (got != want && !differs->count++) {
            differs->addr = addr + i;
            differs->want = want;
            differs->got = got;
        }
    }
}
