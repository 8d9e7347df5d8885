/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupts, the timer, the clock, and a start for everything else. */

#include "guest.h"

#define PIC1 0x20
#define PIC2 0xa0
#define FIRST_VECTOR 32
#define PIT_HZ 1193182u
#define PM_TIMER 0xb008     /* where HVM guests have it; 3.579545 MHz */

enum {
    IRQ_TIMER = 0,
    IRQ_SERIAL = 4,
    IRQ_DISK = 14,
};

typedef struct Gate {
    uint16_t low, selector;
    uint16_t kind, high;
} Gate;

volatile uint32_t cpu_ticks;
volatile uint32_t cpu_disk_irqs;

static Gate gates[48];

void trap(Frame *frame)
{
    unsigned irq = frame->vector - FIRST_VECTOR;

    if (frame->vector < FIRST_VECTOR) {
        panic("trap vector=%u error=0x%x eip=0x%x", frame->vector,
              frame->error, frame->eip);
    }
    if (irq == IRQ_TIMER) {
        cpu_ticks++;
    } else if (irq == IRQ_DISK) {
        cpu_disk_irqs++;
    }
    /* the serial line is read by who sleeps for it */
    if (irq >= 8) {
        out8(PIC2, 0x20);
    }
    out8(PIC1, 0x20);
}

static void set_up_pic(void)
{
    uint16_t unmasked = 1u << IRQ_TIMER | 1u << IRQ_SERIAL | 1u << 2 |
                        1u << IRQ_DISK;

    out8(PIC1, 0x11);
    out8(PIC2, 0x11);
    out8(PIC1 + 1, FIRST_VECTOR);
    out8(PIC2 + 1, FIRST_VECTOR + 8);
    out8(PIC1 + 1, 4);
    out8(PIC2 + 1, 2);
    out8(PIC1 + 1, 1);
    out8(PIC2 + 1, 1);
    out8(PIC1 + 1, ~unmasked & 0xff);
    out8(PIC2 + 1, ~unmasked >> 8 & 0xff);
}

void cpu_init(void)
{
    struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) idt = { sizeof(gates) - 1, (uint32_t)gates };
    unsigned i;

    for (i = 0; i < 48; i++) {
        uint32_t entry = (uint32_t)vectors + i * 16;

        gates[i] = (Gate) { entry & 0xffff, 0x08, 0x8e00, entry >> 16 };
    }
    asm volatile("lidt %0" : : "m"(idt));
    set_up_pic();
    out8(0x43, 0x34);
    out8(0x40, (PIT_HZ / TICK_HZ) & 0xff);
    out8(0x40, (PIT_HZ / TICK_HZ) >> 8);
    asm volatile("sti");
}

void cpu_sleep_while(volatile uint32_t *word, uint32_t val)
{
    asm volatile("cli");
    if (*word == val) {
        /* an interrupt between the two instructions still ends the hlt */
        asm volatile("sti; hlt" : : : "memory");
    } else {
        asm volatile("sti");
    }
}

uint32_t clock_now(void)
{
    return in32(PM_TIMER);
}

uint32_t clock_us(uint32_t from, uint32_t to)
{
    /* 1000000 / 3579545, in 1/2^18 */
    return (uint64_t)(to - from) * 73234 >> 18;
}

/* The RAM range that TEST_RAM lies in. */
static uint32_t ram_end(void)
{
    const BootInfo *info = &boot_info;
    unsigned i;

    for (i = 0; i < info->ranges; i++) {
        if (info->range[i].type == 1 && info->range[i].base <= TEST_RAM &&
            info->range[i].base + info->range[i].len > TEST_RAM) {
            return info->range[i].base + info->range[i].len;
        }
    }
    panic("no RAM at 0x%x", TEST_RAM);
}

void guest_main(void)
{
    static char line[4096];
    unsigned len = 0;

    serial_init();
    cpu_init();
    if (!xen_init()) {
        panic("this is not Xen");
    }
    video_init();
    if (!ide_init()) {
        panic("no disk answers");
    }
    commands_init(ram_end() & ~(PAGE_SIZE - 1));
    for (;;) {
        char c = serial_get();

        if (c == '\n') {
            line[len] = 0;
            commands_run(line);
            len = 0;
        } else if (c != '\r' && len < sizeof(line) - 1) {
            line[len++] = c;
        }
    }
}

/* The compiler asks for these by name. */
void *memset(void *to, int c, size_t n)
{
    void *start = to;

    asm volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(c) : "memory");
    return start;
}

void *memcpy(void *to, const void *from, size_t n)
{
    void *start = to;

    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
    return start;
}
