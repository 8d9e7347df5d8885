/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A window to physical addresses above 4 GiB, by paging with large pages
 * (PSE-36).  Paging is off until the window is shown for the first time; then
 * every other address is mapped to itself.
 */

#include "guest.h"

#define LARGE_SHIFT 22

enum {
    PRESENT = 0x01,
    WRITABLE = 0x02,
    LARGE = 0x80,
    HIGH_SHIFT = 13,                /* bits 32 to 39 of the address */

    CR4_PSE = 0x10,
};

#define CR0_PAGING 0x80000000u

void window_show(uint32_t mib)
{
    uint32_t *table = (uint32_t *)PAGE_TABLE;
    uint32_t first = WINDOW >> LARGE_SHIFT, i, reg;

    for (i = 0; i < 1024; i++) {
        table[i] = i << LARGE_SHIFT | PRESENT | WRITABLE | LARGE;
    }
    for (i = 0; i < WINDOW_BYTES >> LARGE_SHIFT; i++) {
        uint32_t large = mib / 4 + i;

        table[first + i] = large << LARGE_SHIFT | large >> 10 << HIGH_SHIFT |
                           PRESENT | WRITABLE | LARGE;
    }
    asm volatile("mov %%cr4, %0" : "=r"(reg));
    asm volatile("mov %0, %%cr4" : : "r"(reg | CR4_PSE));
    asm volatile("mov %0, %%cr3" : : "r"(table) : "memory");
    asm volatile("mov %%cr0, %0" : "=r"(reg));
    asm volatile("mov %0, %%cr0" : : "r"(reg | CR0_PAGING) : "memory");
}
