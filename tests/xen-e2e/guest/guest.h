/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The test guest: bare metal, one CPU, no paging, commanded over COM1.
 *
 * A command is a line of words, numbers as C writes them; the answer is one
 * line, "ok ..." or "bad ...", with name=value pairs.  commands.c lists them.
 * What the guest cannot go on after it says in a line that begins "panic".
 *
 * Memory: the image and its data below 0x70000, the stack below 0x80000, the
 * tables for hypercalls, DMA and paging from 1 MiB; tests have RAM from TEST_RAM
 * to where the BIOS says it ends, and the video memory.
 */

#ifndef XEN_E2E_GUEST_H
#define XEN_E2E_GUEST_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SIZE 4096u
#define SECTOR_SIZE 512u
#define GFN_LIST 0x100000u          /* up to GFN_LIST_MAX frame numbers */
#define GFN_LIST_MAX 65536u
#define PRD_TABLE 0x140000u         /* a page, which is what QEMU reads */
#define PRD_MAX 512u
#define PAGE_TABLE 0x150000u        /* a page */
#define TEST_RAM 0x200000u
#define WINDOW 0x80000000u          /* see window_show() */
#define WINDOW_BYTES 0x4000000u

/* ---- what the BIOS said (boot.S) ---- */

typedef struct BootInfo {
    uint16_t ranges;                /* of the memory map */
    uint16_t mode_info, mode_set;   /* 0x004f: the display agreed */
    uint16_t unused[5];
    struct {
        uint64_t base, len;
        uint32_t type;              /* 1: RAM */
    } __attribute__((packed)) range[11];
} __attribute__((packed)) BootInfo;

extern const BootInfo boot_info;
/* The display's own description of the mode; see VBE's ModeInfoBlock. */
extern const uint8_t mode_info[256];

/* ---- the CPU (cpu.c) ---- */

static inline void out8(uint16_t port, uint8_t val)
{
    asm volatile("outb %0, %1" : : "a"(val), "Nd"(port));
}

static inline void out16(uint16_t port, uint16_t val)
{
    asm volatile("outw %0, %1" : : "a"(val), "Nd"(port));
}

static inline void out32(uint16_t port, uint32_t val)
{
    asm volatile("outl %0, %1" : : "a"(val), "Nd"(port));
}

static inline uint8_t in8(uint16_t port)
{
    uint8_t val;

    asm volatile("inb %1, %0" : "=a"(val) : "Nd"(port));
    return val;
}

static inline uint16_t in16(uint16_t port)
{
    uint16_t val;

    asm volatile("inw %1, %0" : "=a"(val) : "Nd"(port));
    return val;
}

static inline uint32_t in32(uint16_t port)
{
    uint32_t val;

    asm volatile("inl %1, %0" : "=a"(val) : "Nd"(port));
    return val;
}

/* boot.S has its entry in guest_main() and its interrupts in trap(). */
typedef struct Frame {
    uint32_t edi, esi, ebp, esp, ebx, edx, ecx, eax;
    uint32_t vector, error;
    uint32_t eip, cs, eflags;
} Frame;

extern const char vectors[];        /* of 16 bytes each */
void guest_main(void);
void trap(Frame *frame);

/* Vectors, PIC, timer (TICK_HZ); interrupts are on afterwards. */
#define TICK_HZ 50u
void cpu_init(void);

/* Since the start: timer interrupts, and interrupts of the disk. */
extern volatile uint32_t cpu_ticks;
extern volatile uint32_t cpu_disk_irqs;

/* Sleep until the next interrupt, unless *WORD is not VAL any more. */
void cpu_sleep_while(volatile uint32_t *word, uint32_t val);

/* A clock that Xen itself emulates; microseconds between two of its values. */
uint32_t clock_now(void);
uint32_t clock_us(uint32_t from, uint32_t to);

/* ---- the serial line (serial.c) ---- */

void serial_init(void);

/* The next character; sleeps until there is one. */
char serial_get(void);
void serial_put(char c);

/* %u, %d, %x, %s and %c only. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void panic(const char *format, ...)
    __attribute__((format(printf, 1, 2), noreturn));

/* ---- Xen (xen.c): by its hypercall page, found through CPUID ---- */

bool xen_init(void);

/*
 * Give the N pages in the list at GFN_LIST back to Xen, or have memory put
 * there; returns how many it did, or a negative error number of Xen's.
 */
int xen_give(uint32_t n);
int xen_take(uint32_t n);

/* Pages that the domain has, and may have. */
int xen_pages_now(void);
int xen_pages_max(void);

/* Write N frame numbers, FIRST, FIRST + STEP, ... to GFN_LIST. */
void xen_list(uint32_t first, uint32_t n, uint32_t step);

/* ---- memory above 4 GiB (window.c) ---- */

/* Show WINDOW_BYTES of memory, from MIB mebibytes (a multiple of 4), at WINDOW. */
void window_show(uint32_t mib);

/* ---- PCI (pci.c), bus 0 ---- */

uint32_t pci_in(unsigned devfn, unsigned reg);
void pci_out(unsigned devfn, unsigned reg, uint32_t val);

/* The first device of CLASS (class << 8 | subclass), or -1. */
int pci_find_class(unsigned class);

/* Bits of the command register. */
#define PCI_IO 1u
#define PCI_MEMORY 2u
#define PCI_MASTER 4u
void pci_command(unsigned devfn, uint16_t set, uint16_t clear);

/*
 * A memory BAR: its size, and a move of it.  Decoding is off meanwhile, unless
 * it is to stay @decoded.
 */
uint32_t pci_bar_size(unsigned devfn, unsigned bar, bool decoded);
void pci_bar_move(unsigned devfn, unsigned bar, uint32_t addr);
void pci_bar_move_64(unsigned devfn, unsigned bar, uint64_t addr);

/* ---- the disk (ide.c): first channel's master on the PIIX3 ---- */

typedef struct Piece {
    uint32_t addr, len;             /* both even */
} Piece;

bool ide_init(void);

/*
 * Move sectors from LBA on to the N pieces (from them, if WRITE), by one
 * bus-master command.  PIECE_MAX cuts pieces further, 0 leaves them whole;
 * none crosses a multiple of 64 KiB.  Returns 0, or the reason: IDE_*.
 */
enum {
    IDE_OK,
    IDE_TOO_MANY,                   /* more descriptors than the table has */
    IDE_SILENT,                     /* no end in 20 seconds */
    IDE_ERROR,                      /* the disk or the bus master says so */
};
int ide_start(bool write, uint32_t lba, const Piece *pieces, unsigned n,
              uint32_t piece_max);
bool ide_busy(void);
int ide_wait(void);

/* Registers at the last command's end. */
extern uint8_t ide_status, ide_bm_status;

/* ---- the display (video.c) ---- */

typedef struct Video {
    int devfn;
    uint32_t lfb, vram_bytes;       /* BAR 0 */
    uint32_t width, height, bits, pitch;
    bool dispi;                     /* it has the Bochs registers */
} Video;

extern Video video;
void video_init(void);

/* A mode by the Bochs registers; false if the display has none. */
bool video_mode(unsigned width, unsigned height, unsigned bits);

/* Fill the screen with the picture of SEED; pixels that differ from it. */
void video_draw(uint32_t seed);
uint32_t video_differs(uint32_t seed);

/* ---- memory patterns (pattern.c) ---- */

/* What a stamped dword at OFFSET of a range of SEED holds. */
uint32_t stamp(uint32_t seed, uint32_t offset);
void stamp_fill(uint32_t addr, uint32_t len, uint32_t seed, uint32_t offset);

/* Dwords that differ; the first of them, if there is one. */
typedef struct Differs {
    uint32_t count, addr, want, got;
} Differs;
void stamp_check(uint32_t addr, uint32_t len, uint32_t seed, uint32_t offset,
                 Differs *differs);

/* ---- commands (commands.c) ---- */

void commands_init(uint32_t ram_end);
void commands_run(char *line);

/* ---- runs of many steps (runs.c); argv as commands have it ---- */

void run_at_limit(uint32_t *arg, unsigned n);
void run_storm(uint32_t *arg, unsigned n);
void run_dma_balloon(uint32_t *arg, unsigned n);
void run_bench(uint32_t *arg, unsigned n);

#endif
