/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Creates, saves and restores every device of the binary on Xen.
 *
 * The binary is asked which devices it has, so a new device of a newer QEMU is
 * tested without a change here.  A case is a machine with one device under
 * test, in one of the forms below.  The case passes if
 *
 *   - the device model refuses the device, or refuses to save it, with one
 *     line;
 *   - or, after a restore into new machine frames, RAM, video memory and PCI
 *     configuration are as before, DMA and interrupts work, and the guest can
 *     be saved again.
 *
 * Any other end is compared with the plain machine (ordinary RAM, no Xen).  If
 * it ends in the same way, the fault is the device's own.  Otherwise the case
 * must be in the list of known failures.  A case in that list must fail.
 */
#ifndef XEN_EVERY_DEVICE_H
#define XEN_EVERY_DEVICE_H

#include "xen-test-common.h"

/* The backends that a device can have, by its properties. */
typedef enum XenBehind {
    XEN_BEHIND_DRIVE = 1 << 0,
    XEN_BEHIND_NETDEV = 1 << 1,
    XEN_BEHIND_CHARDEV = 1 << 2,
    XEN_BEHIND_AUDIODEV = 1 << 3,
    XEN_BEHIND_MEMDEV = 1 << 4,
    XEN_BEHIND_CRYPTODEV = 1 << 5,
    XEN_BEHIND_BMC = 1 << 6,
    XEN_BEHIND_SERIAL = 1 << 7,     /* a serial number; not a backend */
} XenBehind;

typedef struct XenDevice {
    char *name, *bus;
    bool display, storage;
    unsigned behind;                /* XenBehind */
} XenDevice;

/*
 * All devices that a user can create, except CPUs, in the binary's order.  If
 * the binary does not answer, ends the process with a message.
 */
GPtrArray *xen_devices(void);

typedef enum XenForm {
    XEN_FORM_ALONE,                 /* without a backend */
    XEN_FORM_BACKED,                /* with the backends that it can have */
    XEN_FORM_VGA,                   /* the same, after a VGA */
    XEN_FORM_BEFORE,                /* the same, before another device */
    XEN_FORM_AFTER,                 /* the same, after another device */
} XenForm;

typedef struct XenEveryCase {
    const char *path;
    const XenDevice *device, *other;    /* @other: of a pair */
    XenForm form;
} XenEveryCase;

/*
 * The arguments for the machine of @c, whose files are in @dir, as one
 * string (g_free).  A disk controller gets a disk of the kind @disk (NULL:
 * none), which is one of xen_every_disks.
 */
char *xen_every_args(const XenEveryCase *c, const char *dir,
                     const char *disk);
extern const char *const xen_every_disks[];     /* NULL-terminated */

/* How far a case came. */
typedef enum XenStage {
    XEN_STAGE_START, XEN_STAGE_SAVE, XEN_STAGE_RESTORE, XEN_STAGE_DONE,
} XenStage;

/*
 * Starts the plain machine with @args, saves it by migration to a file, and
 * restores it.  Returns how far the case came.  *@why says how it ended
 * (g_free); NULL if it was completed.
 */
XenStage xen_every_plain(const char *args, const char *dir, char **why);

/* ---- the guest ---- */

enum {
    XEN_EVERY_FUNCTIONS = 64,
    XEN_EVERY_MEMORIES = 8,
    XEN_EVERY_DISK_PAGES = 64,
    XEN_EVERY_DISK_SEED = 91,           /* of a device's disks, */
    XEN_EVERY_IDE_SEED = 92,            /* ... of the machine's */
};

/* What the guest has found and uses. */
typedef struct XenEveryGuest {
    struct {
        unsigned devfn;
        uint8_t config[256];
    } function[XEN_EVERY_FUNCTIONS];
    unsigned functions;
    struct {
        uint64_t gpa, bytes;
    } memory[XEN_EVERY_MEMORIES];       /* of displays, behind their BARs */
    unsigned memories;
    uint64_t next_mmio, next_io;
    unsigned reads;
    struct XenEveryDisks *disks;        /* set by the first use */
} XenEveryGuest;

/* Places every BAR, as firmware does.  0 or -errno. */
int xen_every_place(GuestPc *pc, XenEveryGuest *g);

/* Stores the configuration of each function; 0 or -errno. */
int xen_every_note(GuestPc *pc, XenEveryGuest *g);

/* NULL if the configuration has not changed, or else what has changed. */
const char *xen_every_same(GuestPc *pc, XenEveryGuest *g);

/* Stamps RAM and the displays' memory. */
void xen_every_stamp(XenTest *t, XenEveryGuest *g);

/* NULL if all stamps are still right, or else what is wrong. */
const char *xen_every_check(XenTest *t, XenEveryGuest *g);

/* Reads by DMA with each driver that there is, and looks for interrupts. */
const char *xen_every_use(XenTest *t, XenEveryGuest *g);

/* To be called after a restore, before the guest's drivers are used again. */
void xen_every_moved(XenTest *t, XenEveryGuest *g);

/* Makes all devices release the guest memory that they hold. */
void xen_every_let_go(XenTest *t, XenEveryGuest *g);
void xen_every_free(XenEveryGuest *g);

/* ---- known failures ---- */

/* Why the case @path is known to fail; NULL if it must pass. */
const char *xen_every_known(const char *path);

/* Registers the cases of one program; @pairs: those of two devices. */
void xen_every_add(GPtrArray *devices, bool pairs);

#endif
