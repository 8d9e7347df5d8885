/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk that an iothread serves, of virtio-blk or of virtio-scsi, and a load
 * for it.
 *
 * Functions that return int return 0 or a negative errno, as the drivers do:
 * -EIO if the device reported an error for a request.
 */
#ifndef XEN_TEST_IODISK_H
#define XEN_TEST_IODISK_H

#include "drivers/virtio.h"
#include "xen-test-common.h"

enum {
    IODISK_SEED = 61,                   /* of the stamps on the disk */
    IODISK_PAGES = 1024,                /* its size */
    IODISK_IO = 0xc200,                 /* ports of its BAR 0 */
    IODISK_DRIVER_GPA = 0x100000,       /* the driver's memory, in bucket 1 */
    /* Buffers of iodisk_random() are in [FIRST_GFN, OTHER_GFN). */
    IODISK_FIRST_GFN = 0x400,
    IODISK_OTHER_GFN = 0x3000,
    IODISK_PIECES = 16,                 /* a request has no more */
    IODISK_REQUESTS = 6,                /* no more are under way */
};

typedef struct IoDisk {
    XenTest *t;
    bool scsi;
    GuestVblk blk;
    GuestVscsi vscsi;
} IoDisk;

/* A request of @n whole pages, each to a gfn of its own. */
typedef struct IoRequest {
    bool write;
    unsigned page, n;                   /* of the disk */
    uint64_t gfn[IODISK_PIECES];
} IoRequest;

/*
 * Registers @scenario twice, as "iothread/blk/@name" and "iothread/scsi/@name",
 * each with the ways in which it may end on the stock binary (xen_test_add()).
 * The disk is a virtio-blk in the first, a virtio-scsi in the second.
 */
void iodisk_add(const char *name, XenScenario *scenario,
                const char *stock_blk, const char *stock_scsi);

/* QEMU's arguments for the disk and its iothread; valid as long as @t. */
const char *iodisk_args(XenTest *t);

/*
 * Starts a guest of @ram_bytes and two vCPUs, @flags as for a domain, with the
 * disk in use.  The device model logs its calls to the file @log unless NULL.
 */
void iodisk_boot(IoDisk *d, XenTest *t, uint64_t ram_bytes, unsigned flags,
                 const char *log);

/* The same, scattered in memory and of XEN_TEST_RAM_MB. */
void iodisk_boot_small(IoDisk *d, XenTest *t);

/* Sets the device up with the guest's driver, also a device in use. */
void iodisk_init(IoDisk *d);

/*
 * iodisk_start() puts a request, from page @page of the disk on, into the
 * ring, without notifying the device.  iodisk_kick() notifies it.
 * iodisk_wait() waits until one request has ended.  iodisk_rw() does all
 * three.
 */
int iodisk_start(IoDisk *d, bool write, unsigned page, const GuestSg *sg,
                 unsigned n);
int iodisk_kick(IoDisk *d);
int iodisk_wait(IoDisk *d);
int iodisk_rw(IoDisk *d, bool write, unsigned page, const GuestSg *sg,
              unsigned n);

int iodisk_reset(IoDisk *d);

/* Fills in @r: a random read that shares no page with another @serial. */
void iodisk_random(IoRequest *r, unsigned serial);

/* Calls iodisk_start() for the request @r. */
int iodisk_put(IoDisk *d, const IoRequest *r);

/* A failure tells where these were called. */
#ifndef XEN_TEST_HELPERS
#define iodisk_boot(...) XEN_AT(iodisk_boot(__VA_ARGS__))
#define iodisk_boot_small(...) XEN_AT(iodisk_boot_small(__VA_ARGS__))
#define iodisk_init(...) XEN_AT(iodisk_init(__VA_ARGS__))
#endif

#endif
