/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commands.  Addresses and lengths are in bytes, LBA in sectors, frames
 * in pages; a range may be RAM, video memory or nothing at all.
 *
 *   hello                           what there is
 *   echo N                          N again: what came before is answered
 *   tick                            the counter: timer interrupts so far
 *   fill ADDR LEN SEED [OFFSET]     stamp a range
 *   check ADDR LEN SEED [OFFSET]    compare it
 *   read LBA MAX ADDR LEN...        disk to memory; descriptors of MAX bytes
 *   write LBA MAX ADDR LEN...       memory to disk
 *   start LBA MAX ADDR LEN...       a read that is left under way
 *   wait                            its end
 *   give GFN N [STEP]               pages back to Xen
 *   take GFN N [STEP]               and memory there again
 *   mode W H BITS, draw SEED, pixels SEED
 *   bar ADDR                        move the video memory
 *   size N DECODED                  size its BAR N times; DECODED 1: while it is
 *                                   on
 *   find CLASS                      a PCI device
 *   place DEVFN BAR ADDR [HIGH]     move one of its BARs; HIGH: the upper half of
 *                                   the address of a 64-bit BAR
 *   window MIB                      show memory from MIB mebibytes on at WINDOW
 *   peek ADDR, poke ADDR VALUE      a dword
 *   in PORT, out PORT VALUE         a byte
 *   limit, storm, dmaballoon, bench: see runs.c
 */

#include "guest.h"

#define MAX_ARGS 130

typedef struct Command {
    const char *name;
    unsigned min_args;
    void (*run)(uint32_t *arg, unsigned n);
} Command;

static uint32_t ram_end;

static void hello(uint32_t *arg, unsigned n)
{
    say("ok ram=0x%x ram_end=0x%x lfb=0x%x vram=0x%x width=%u height=%u "
        "bits=%u pitch=%u dispi=%u pages=%d max=%d", TEST_RAM, ram_end,
        video.lfb, video.vram_bytes, video.width, video.height, video.bits,
        video.pitch, video.dispi, xen_pages_now(), xen_pages_max());
}

static void echo(uint32_t *arg, unsigned n)
{
    say("ok echo=%u", arg[0]);
}

static void tick(uint32_t *arg, unsigned n)
{
    say("ok ticks=%u disk_irqs=%u", cpu_ticks, cpu_disk_irqs);
}

static void fill(uint32_t *arg, unsigned n)
{
    stamp_fill(arg[0], arg[1], arg[2], n > 3 ? arg[3] : 0);
    say("ok");
}

static void check(uint32_t *arg, unsigned n)
{
    Differs differs = { 0 };

    stamp_check(arg[0], arg[1], arg[2], n > 3 ? arg[3] : 0, &differs);
    if (differs.count) {
        say("bad differ=%u addr=0x%x want=0x%x got=0x%x", differs.count,
            differs.addr, differs.want, differs.got);
    } else {
        say("ok");
    }
}

static void say_disk(int rc, uint32_t started)
{
    uint32_t us = clock_us(started, clock_now());

    say("%s rc=%d status=0x%x bm=0x%x us=%u", rc ? "bad" : "ok", rc,
        ide_status, ide_bm_status, us);
}

static int begin(bool write, uint32_t *arg, unsigned n)
{
    return ide_start(write, arg[0], (const Piece *)(arg + 2), (n - 2) / 2,
                     arg[1]);
}

static void transfer(bool write, uint32_t *arg, unsigned n)
{
    uint32_t started = clock_now();
    int rc = begin(write, arg, n);

    say_disk(rc ? rc : ide_wait(), started);
}

static void read_disk(uint32_t *arg, unsigned n)
{
    transfer(false, arg, n);
}

static void write_disk(uint32_t *arg, unsigned n)
{
    transfer(true, arg, n);
}

static uint32_t start_time;

static void start(uint32_t *arg, unsigned n)
{
    int rc;

    start_time = clock_now();
    rc = begin(false, arg, n);
    say("%s rc=%d", rc ? "bad" : "ok", rc);
}

static void wait(uint32_t *arg, unsigned n)
{
    say_disk(ide_wait(), start_time);
}

static void balloon(int (*call)(uint32_t), uint32_t *arg, unsigned n)
{
    int done;

    xen_list(arg[0], arg[1], n > 2 ? arg[2] : 1);
    done = call(arg[1]);
    say("%s done=%d pages=%d", done == (int)arg[1] ? "ok" : "bad", done,
        xen_pages_now());
}

static void give(uint32_t *arg, unsigned n)
{
    balloon(xen_give, arg, n);
}

static void take(uint32_t *arg, unsigned n)
{
    balloon(xen_take, arg, n);
}

static void mode(uint32_t *arg, unsigned n)
{
    say(video_mode(arg[0], arg[1], arg[2]) ? "ok" : "bad no such mode");
}

static void draw(uint32_t *arg, unsigned n)
{
    video_draw(arg[0]);
    say("ok");
}

static void pixels(uint32_t *arg, unsigned n)
{
    uint32_t differ = video_differs(arg[0]);

    say("%s differ=%u", differ ? "bad" : "ok", differ);
}

static void bar(uint32_t *arg, unsigned n)
{
    pci_bar_move(video.devfn, 0, arg[0]);
    video.lfb = arg[0];
    say("ok");
}

static void size(uint32_t *arg, unsigned n)
{
    uint32_t i, differ = 0;

    for (i = 0; i < arg[0]; i++) {
        differ += pci_bar_size(video.devfn, 0, arg[1]) != video.vram_bytes;
    }
    say("%s differ=%u", differ ? "bad" : "ok", differ);
}

static void find(uint32_t *arg, unsigned n)
{
    int devfn = pci_find_class(arg[0]);

    say("%s devfn=%d", devfn < 0 ? "bad" : "ok", devfn);
}

static void place(uint32_t *arg, unsigned n)
{
    if (n > 3) {
        pci_bar_move_64(arg[0], arg[1], (uint64_t)arg[3] << 32 | arg[2]);
    } else {
        pci_bar_move(arg[0], arg[1], arg[2]);
    }
    say("ok");
}

static void window(uint32_t *arg, unsigned n)
{
    window_show(arg[0]);
    say("ok");
}

static void peek(uint32_t *arg, unsigned n)
{
    say("ok value=0x%x", *(volatile uint32_t *)arg[0]);
}

static void poke(uint32_t *arg, unsigned n)
{
    *(volatile uint32_t *)arg[0] = arg[1];
    say("ok");
}

static void in_port(uint32_t *arg, unsigned n)
{
    say("ok value=0x%x", in8(arg[0]));
}

static void out_port(uint32_t *arg, unsigned n)
{
    out8(arg[0], arg[1]);
    say("ok");
}

static const Command commands[] = {
    { "hello", 0, hello }, { "echo", 1, echo }, { "tick", 0, tick },
    { "fill", 3, fill }, { "check", 3, check },
    { "read", 4, read_disk }, { "write", 4, write_disk },
    { "start", 4, start }, { "wait", 0, wait },
    { "give", 2, give }, { "take", 2, take },
    { "mode", 3, mode }, { "draw", 1, draw }, { "pixels", 1, pixels },
    { "bar", 1, bar }, { "size", 2, size },
    { "find", 1, find }, { "place", 3, place }, { "window", 1, window },
    { "peek", 1, peek }, { "poke", 2, poke },
    { "in", 1, in_port }, { "out", 2, out_port },
    { "limit", 4, run_at_limit }, { "storm", 3, run_storm },
    { "dmaballoon", 5, run_dma_balloon }, { "bench", 5, run_bench },
};

static bool same(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

static bool number(const char *text, uint32_t *val)
{
    unsigned base = 10;

    if (text[0] == '0' && text[1] == 'x') {
        base = 16;
        text += 2;
    }
    for (*val = 0; *text; text++) {
        unsigned digit = *text <= '9' ? *text - '0' : *text - 'a' + 10;

        if (digit >= base) {
            return false;
        }
        *val = *val * base + digit;
    }
    return true;
}

/* Cut LINE into words, in place; returns how many. */
static unsigned split(char *line, char **words, unsigned max)
{
    unsigned n = 0;

    while (n < max) {
        while (*line == ' ') {
            *line++ = 0;
        }
        if (!*line) {
            break;
        }
        words[n++] = line;
        while (*line && *line != ' ') {
            line++;
        }
    }
    return n;
}

void commands_init(uint32_t end)
{
    ram_end = end;
}

void commands_run(char *line)
{
    static char *words[MAX_ARGS + 1];
    static uint32_t arg[MAX_ARGS];
    unsigned n = split(line, words, MAX_ARGS + 1), i, c;

    if (!n) {
        return;
    }
    for (i = 1; i < n; i++) {
        if (!number(words[i], &arg[i - 1])) {
            say("bad %s is no number", words[i]);
            return;
        }
    }
    for (c = 0; c < sizeof(commands) / sizeof(commands[0]); c++) {
        if (same(words[0], commands[c].name)) {
            if (n - 1 < commands[c].min_args) {
                say("bad %s takes %u numbers", words[0],
                    commands[c].min_args);
                return;
            }
            commands[c].run(arg, n - 1);
            return;
        }
    }
    say("bad no command %s", words[0]);
}
