/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device with RAM BARs, for tests of the placement of device memory.
 *
 * The memory is looked at through qtest (what QEMU takes it to be) and
 * through the p2m (what the guest's CPU finds).  Functions that return text
 * return NULL if all was as it must be, as a scenario does; the others leave
 * the scenario if the guest's driver fails.
 */
#ifndef XEN_TEST_DEVMEM_H
#define XEN_TEST_DEVMEM_H

#include "xen-test-common.h"

/* Where the device that is tested is plugged: "addr=8" in its arguments. */
#define DEVMEM_SLOT     8u
#define DEVMEM_DEVFN    (DEVMEM_SLOT << 3)
/* Two guest addresses that its BARs may go to, one after the other. */
#define RANGE_A         0xe0000000u
#define RANGE_B         0xc0000000u
/* Initial range of the first device's memory: right above RAM. */
#define DEVMEM_INITIAL      ((uint64_t)XEN_TEST_RAM_MB << 20)
#define DEVMEM_INITIAL_GFN  (DEVMEM_INITIAL / XEN_TEST_PAGE)
enum { DEVMEM_SEED = 71, DEVMEM_DISK_PAGES = 64, DEVMEM_BARS = 2 };

typedef struct DevMem {
    const char *name;
    const char *args;       /* of QEMU; a blank at the end */
    /* The RAM BARs and their sizes; an unused element has 0 bytes. */
    struct {
        unsigned bar;
        uint64_t bytes;
    } ram[DEVMEM_BARS];
} DevMem;

/* Runs of frames above RAM and below the special pages: device memory. */
typedef struct DevMemFrames {
    uint64_t first[64], n[64];      /* gfns */
    unsigned runs;
    uint64_t pages;                 /* of all runs, also beyond the 64th */
} DevMemFrames;

DevMemFrames devmem_frames(XenTest *t);

/* True if any of the @pages pages from guest address @addr on has a frame. */
bool devmem_any_frame(XenTest *t, uint64_t addr, uint64_t pages);

/*
 * The number of pages of the BAR @d->ram[@i]; its guest address if the BARs are
 * placed from @base on.
 */
uint64_t devmem_pages(const DevMem *d, unsigned i);
uint64_t devmem_addr(const DevMem *d, unsigned i, uint64_t base);

/* QEMU's arguments for a disk (DEVMEM_SEED) and @more (g_free). */
char *devmem_args(XenTest *t, const char *more);

/*
 * QEMU's arguments for a QXL with four kinds of memory, and @more properties
 * (g_free).  SPICE listens below the test's directory.
 */
char *devmem_qxl_args(XenTest *t, const char *more);
/* BAR 1 of such a QXL shows the first half of what its BAR 4 shows. */
#define DEVMEM_QXL_LARGER_64BIT ",vram64_size_mb=16"

/*
 * devmem_place() places the BARs, one after the other, from @base on.
 * devmem_decode() switches all of them off or on.  The guest's driver does
 * both.  A later failure prints what has become of the frames since.
 */
void devmem_place(XenTest *t, const DevMem *d, uint64_t base);
void devmem_decode(XenTest *t, bool on);

/*
 * The first writes a stamp to each page at @base as the guest's CPU does; the
 * second checks the stamps.  A stamp has the number of the page within its BAR,
 * so it does not depend on where the BAR is.
 */
void devmem_stamp(XenTest *t, const DevMem *d, uint64_t base, unsigned seed);
const char *devmem_stamped(XenTest *t, const DevMem *d, uint64_t base,
                           unsigned seed);

/* Checks for each page that QEMU and the guest's CPU access the same frame. */
const char *devmem_shared(XenTest *t, const DevMem *d, uint64_t base);

/* Checks that no frame is left where the BARs were, from @base on. */
const char *devmem_gone(XenTest *t, const DevMem *d, uint64_t base);

/*
 * Checks a device whose BARs are at @base: that it has the stamps of @seed, and
 * that DMA from the disk (xen_test_ide()) to it works.  Then stamps it again.
 */
const char *devmem_in_place(XenTest *t, const DevMem *d, uint64_t base,
                            unsigned seed);

/* A failure tells where these were called. */
#ifndef XEN_TEST_HELPERS
#define devmem_place(...) XEN_AT(devmem_place(__VA_ARGS__))
#define devmem_decode(...) XEN_AT(devmem_decode(__VA_ARGS__))
#define devmem_stamp(...) XEN_AT(devmem_stamp(__VA_ARGS__))
#endif

#endif
