/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI devices with memory of their own, plugged in and unplugged while the
 * guest runs.
 *
 * There is one such device at a time, in a slot of its own, with the id "dev".
 * Functions that return text return NULL if all was as it must be, as a
 * scenario does; the others leave the scenario if QEMU refuses, or if the
 * guest's driver fails.
 */
#ifndef XEN_TEST_HOTPLUG_H
#define XEN_TEST_HOTPLUG_H

#include "xen-test-common.h"

enum {
    HOTPLUG_SEED = 81,          /* of the stamps on the disk and in the ROM */
    HOTPLUG_DEVFN = 7 << 3,
    HOTPLUG_PAGES = 0x100,      /* of the memory of hotplug_memory() */
    HOTPLUG_ROM_PAGES = 4,
    HOTPLUG_A = 0xf8000000,     /* where the guest puts the memory first */
    HOTPLUG_B = 0xf9000000,     /* where it moves the memory */
    /* The initial range of the first device with memory: right above RAM. */
    HOTPLUG_INITIAL = XEN_TEST_RAM_MB << 20,
};

/* ---- the guest ---- */

/* QEMU's arguments for a disk (HOTPLUG_SEED) and @more (g_free). */
char *hotplug_args(XenTest *t, const char *more);

/* Starts a guest with that disk and no device with memory. */
void hotplug_boot(XenTest *t);

/* ---- plugging ---- */

/*
 * Plugs in a display with memory in BAR 0: HOTPLUG_PAGES pages, or @pages,
 * which are whole MiB.
 */
void hotplug_memory(XenTest *t);
void hotplug_pages(XenTest *t, unsigned pages);

/* Makes a file with an option ROM of HOTPLUG_ROM_PAGES: its name. */
const char *hotplug_rom_file(XenTest *t);

/* Plugs in a network card with such an option ROM: the file's name. */
const char *hotplug_rom(XenTest *t);

typedef struct HotplugDevice {
    const char *name;
    unsigned pages;             /* of its memory */
    int bar;                    /* the one with its memory; -1: it is a ROM */
    const char *command;        /* QMP, with %s for the name of a ROM's file */
} HotplugDevice;

enum { HOTPLUG_E1000, HOTPLUG_SECONDARY, HOTPLUG_BOCHS };

/* QEMU keeps a reference to an unplugged bochs-display, and never frees it. */
extern const HotplugDevice hotplug_devices[];

/*
 * Plugs in @p.  If QEMU refuses that, hotplug_try() returns its message
 * (g_free); otherwise NULL.
 */
const char *hotplug_add(XenTest *t, const HotplugDevice *p);
char *hotplug_try(XenTest *t, const HotplugDevice *p);

/*
 * Asks QEMU to unplug the device, and the guest ejects it.  hotplug_unplug()
 * also waits until QEMU has removed it.
 */
void hotplug_eject(XenTest *t);
void hotplug_unplug(XenTest *t);

/* ---- the guest's driver ---- */

/* The guest maps BAR 0, the ROM, or the memory of @p, at @at. */
void hotplug_place(XenTest *t, uint64_t at);
void hotplug_show_rom(XenTest *t, uint32_t at);
void hotplug_show(XenTest *t, const HotplugDevice *p, uint32_t at);

/* Stamps HOTPLUG_PAGES pages at @at with their gfns and @seed. */
void hotplug_stamp(XenTest *t, uint64_t at, uint64_t seed);

/* ---- looking ---- */

/*
 * NULL if the guest, QEMU and a disk's DMA access the same memory at @gpa, with
 * the stamps of @seed for the gfns from HOTPLUG_A on.  Changes the stamps.
 */
const char *hotplug_same_memory(XenTest *t, uint64_t gpa, uint64_t seed);

/* NULL if the guest reads the ROM's bytes at @at. */
const char *hotplug_same_rom(XenTest *t, uint64_t at);

/* Waits (5 s) until QEMU has @blocks pieces of device memory. */
const char *hotplug_lets_go(XenTest *t, uint64_t blocks);

/* Waits (5 s) until the domain has @pages pages: no mapping keeps others. */
const char *hotplug_given_back(XenTest *t, uint64_t pages);

/* Where the initial range of the next device memory will begin. */
uint64_t hotplug_top(XenTest *t);

/* A failure tells where these were called. */
#ifndef XEN_TEST_HELPERS
#define hotplug_boot(...) XEN_AT(hotplug_boot(__VA_ARGS__))
#define hotplug_memory(...) XEN_AT(hotplug_memory(__VA_ARGS__))
#define hotplug_pages(...) XEN_AT(hotplug_pages(__VA_ARGS__))
#define hotplug_rom_file(...) XEN_AT(hotplug_rom_file(__VA_ARGS__))
#define hotplug_rom(...) XEN_AT(hotplug_rom(__VA_ARGS__))
#define hotplug_add(...) XEN_AT(hotplug_add(__VA_ARGS__))
#define hotplug_eject(...) XEN_AT(hotplug_eject(__VA_ARGS__))
#define hotplug_unplug(...) XEN_AT(hotplug_unplug(__VA_ARGS__))
#define hotplug_place(...) XEN_AT(hotplug_place(__VA_ARGS__))
#define hotplug_show_rom(...) XEN_AT(hotplug_show_rom(__VA_ARGS__))
#define hotplug_show(...) XEN_AT(hotplug_show(__VA_ARGS__))
#define hotplug_same_memory(...) XEN_AT(hotplug_same_memory(__VA_ARGS__))
#define hotplug_same_rom(...) XEN_AT(hotplug_same_rom(__VA_ARGS__))
#define hotplug_lets_go(...) XEN_AT(hotplug_lets_go(__VA_ARGS__))
#define hotplug_given_back(...) XEN_AT(hotplug_given_back(__VA_ARGS__))
#endif

#endif
