/* SPDX-License-Identifier: GPL-2.0-or-later */
/* COM1: the line that the guest is commanded over. */

#include "guest.h"

#define COM1 0x3f8

enum {
    DATA = 0,
    IRQS = 1,
    FIFO = 2,
    LINE = 3,
    MODEM = 4,
    STATE = 5,

    HAS_DATA = 0x01,
    CAN_SEND = 0x20,
};

static unsigned room;       /* left of what the FIFO takes unasked */

void serial_init(void)
{
    out8(COM1 + IRQS, 0);
    out8(COM1 + LINE, 0x80);
    out8(COM1 + DATA, 1);       /* 115200 */
    out8(COM1 + IRQS, 0);
    out8(COM1 + LINE, 3);       /* 8n1 */
    out8(COM1 + FIFO, 7);
    out8(COM1 + MODEM, 0x0b);   /* with interrupts */
    out8(COM1 + IRQS, 1);
}

char serial_get(void)
{
    for (;;) {
        uint32_t ticks = cpu_ticks;

        if (in8(COM1 + STATE) & HAS_DATA) {
            return in8(COM1 + DATA);
        }
        /*
         * Its interrupt ends the sleep, or the timer's if it comes too early:
         * then this is the next tick's work.
         */
        cpu_sleep_while(&cpu_ticks, ticks);
    }
}

void serial_put(char c)
{
    if (!room) {
        while (!(in8(COM1 + STATE) & CAN_SEND)) {
            continue;
        }
        room = 16;
    }
    out8(COM1 + DATA, c);
    room--;
}

static void put_number(uint32_t val, unsigned base)
{
    char digits[12];
    unsigned n = 0;

    do {
        digits[n++] = "0123456789abcdef"[val % base];
        val /= base;
    } while (val);
    while (n) {
        serial_put(digits[--n]);
    }
}

static void say_word(const char *text)
{
    while (*text) {
        serial_put(*text++);
    }
}

static void vsay(const char *format, va_list args)
{
    for (; *format; format++) {
        int32_t number;

        if (*format != '%') {
            serial_put(*format);
            continue;
        }
        switch (*++format) {
        case 'u':
            put_number(va_arg(args, uint32_t), 10);
            break;
        case 'x':
            put_number(va_arg(args, uint32_t), 16);
            break;
        case 'd':
            number = va_arg(args, int32_t);
            if (number < 0) {
                serial_put('-');
                number = -number;
            }
            put_number(number, 10);
            break;
        case 's':
            say_word(va_arg(args, const char *));
            break;
        case 'c':
            serial_put(va_arg(args, int));
            break;
        default:
            serial_put('?');
        }
    }
}

void say(const char *format, ...)
{
    va_list args;

    room = 0;
    va_start(args, format);
    vsay(format, args);
    va_end(args);
    serial_put('\n');
}

void panic(const char *format, ...)
{
    va_list args;

    asm volatile("cli");
    room = 0;
    serial_put('\n');
    say_word("panic ");
    va_start(args, format);
    vsay(format, args);
    va_end(args);
    serial_put('\n');
    for (;;) {
        asm volatile("cli; hlt");
    }
}
