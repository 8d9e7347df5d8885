/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The test guest's start: the BIOS loads the first sector at 0x7c00, which
 * asks the BIOS for the rest of the image, the memory map and a graphics mode,
 * and enters C in 32-bit mode, segments flat, paging off.
 *
 * What the BIOS said is left for C in low memory: see BootInfo in guest.h.
 */

#define INFO        0x0500      /* BootInfo */
#define MODE_INFO   0x0600      /* the display's description of the mode */
#define STACK16     0x7c00
#define IMAGE       0x10000
#define STACK32     0x80000
#define VBE_640_480_24  0x112
#define VBE_LINEAR      0x4000

    .section .boot, "ax"
    .code16
    .globl boot
boot:
    ljmp    $0, $1f
1:
    xorw    %ax, %ax
    movw    %ax, %ds
    movw    %ax, %es
    movw    %ax, %ss
    movw    $STACK16, %sp
    cld
    sti

    /* the image, behind this sector */
    movb    $0x42, %ah
    movw    $packet, %si
    int     $0x13
    jc      broken

    /* the memory map: 20 bytes for each range, at most 16 of them */
    xorl    %ebx, %ebx
    movw    $(INFO + 16), %di
    movw    $0, INFO
2:
    movl    $0xe820, %eax
    movl    $20, %ecx
    movl    $0x534d4150, %edx
    int     $0x15
    jc      3f
    cmpl    $0x534d4150, %eax
    jne     3f
    incw    INFO
    addw    $20, %di
    cmpw    $11, INFO
    jae     3f
    testl   %ebx, %ebx
    jnz     2b
3:
    /* a graphics mode that every VGA of Xen's guests has */
    movw    $0x4f01, %ax
    movw    $VBE_640_480_24, %cx
    movw    $MODE_INFO, %di
    int     $0x10
    movw    %ax, INFO + 2
    movw    $0x4f02, %ax
    movw    $(VBE_640_480_24 | VBE_LINEAR), %bx
    int     $0x10
    movw    %ax, INFO + 4

    cli
    lgdt    gdt_pointer
    movl    %cr0, %eax
    orb     $1, %al
    movl    %eax, %cr0
    ljmp    $0x08, $enter

    /* without the disk there is nothing to say it through but the port */
broken:
    movw    $0x3f8, %dx
    movb    $'!', %al
    outb    %al, %dx
4:
    hlt
    jmp     4b

    .balign 4
packet:
    .byte   16, 0
    .word   IMAGE_SECTORS
    .word   0, IMAGE >> 4
    .quad   1

    .balign 8
gdt:
    .quad   0
    .quad   0x00cf9b000000ffff      /* 08: code */
    .quad   0x00cf93000000ffff      /* 10: data */
gdt_pointer:
    .word   . - gdt - 1
    .long   gdt

    .code32
enter:
    movw    $0x10, %ax
    movw    %ax, %ds
    movw    %ax, %es
    movw    %ax, %fs
    movw    %ax, %gs
    movw    %ax, %ss
    movl    $STACK32, %esp
    jmp     start32

    .org    510
    .word   0xaa55

    .section .text.start, "ax"
    .code32
start32:
    movl    $bss_start, %edi
    movl    $bss_end, %ecx
    subl    %edi, %ecx
    xorl    %eax, %eax
    rep stosb
    call    guest_main
5:
    hlt
    jmp     5b

/*
 * One entry for each vector, 16 bytes apart: it leaves an error code (the
 * CPU's own, or none) and the vector on the stack for trap().
 */
    .text
    .balign 16
    .globl vectors
vectors:
    vector = 0
    .rept 48
    .balign 16
    .if (vector != 8) && ((vector < 10) || (vector > 14)) && (vector != 17)
    pushl   $0
    .endif
    pushl   $vector
    jmp     common
    vector = vector + 1
    .endr

common:
    pushal
    cld
    pushl   %esp
    call    trap
    addl    $4, %esp
    popal
    addl    $8, %esp
    iretl

    .section .note.GNU-stack, "", @progbits
