/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hypercalls: memory given back to Xen and taken again. */

#include "guest.h"

enum {
    HYPERVISOR_MEMORY_OP = 12,

    MEMOP_DECREASE = 1,
    MEMOP_CURRENT = 3,
    MEMOP_MAXIMUM = 4,
    MEMOP_POPULATE = 6,

    DOMID_SELF = 0x7ff0,
    XEN_LEAVES = 0x40000000,
};

/* As a 32-bit guest passes it. */
typedef struct Reservation {
    uint32_t extents, count;
    uint32_t order, flags;
    uint16_t domid;
} Reservation;

static uint8_t page[PAGE_SIZE] __attribute__((aligned(4096)));

static void cpuid(uint32_t leaf, uint32_t out[4])
{
    asm volatile("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]),
                 "=d"(out[3]) : "0"(leaf), "2"(0));
}

bool xen_init(void)
{
    uint32_t leaf, regs[4];

    /* Xen's leaves may come after another interface's */
    for (leaf = XEN_LEAVES; leaf < XEN_LEAVES + 0x10000; leaf += 0x100) {
        cpuid(leaf, regs);
        if (regs[1] == 0x566e6558 && regs[2] == 0x65584d4d &&
            regs[3] == 0x4d4d566e) {
            cpuid(leaf + 2, regs);
            asm volatile("wrmsr" : : "c"(regs[1]), "a"((uint32_t)page),
                         "d"(0) : "memory");
            return true;
        }
    }
    return false;
}

static int memory_op(uint32_t op, void *arg)
{
    int rc;

    asm volatile("call *%1" : "=a"(rc)
                 : "r"(page + HYPERVISOR_MEMORY_OP * 32), "b"(op), "c"(arg)
                 : "memory", "cc");
    return rc;
}

static int change(uint32_t op, uint32_t n)
{
    Reservation r = { GFN_LIST, n, 0, 0, DOMID_SELF };

    return memory_op(op, &r);
}

int xen_give(uint32_t n)
{
    return change(MEMOP_DECREASE, n);
}

int xen_take(uint32_t n)
{
    return change(MEMOP_POPULATE, n);
}

int xen_pages_now(void)
{
    uint16_t self = DOMID_SELF;

    return memory_op(MEMOP_CURRENT, &self);
}

int xen_pages_max(void)
{
    uint16_t self = DOMID_SELF;

    return memory_op(MEMOP_MAXIMUM, &self);
}

void xen_list(uint32_t first, uint32_t n, uint32_t step)
{
    uint32_t *list = (uint32_t *)GFN_LIST;
    uint32_t i;

    if (n > GFN_LIST_MAX) {
        panic("%u pages in a list of %u", n, GFN_LIST_MAX);
    }
    for (i = 0; i < n; i++) {
        list[i] = first + i * step;
    }
}
