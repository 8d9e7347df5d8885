/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the guest's drivers share. */

#ifndef XENSIM_GUEST_PC_INT_H
#define XENSIM_GUEST_PC_INT_H

#include "pc.h"

/* Where a device was found. */
typedef struct GuestFound {
    uint32_t id;
    unsigned index, devfn;
} GuestFound;

/* Where the structures of a modern virtio device are in its BAR. */
typedef struct GuestStructures {
    bool known, has_common, has_notify, has_config;
    uint32_t bar, common, notify, notify_step, config;
} GuestStructures;

/*
 * What guest_pci_remember() asks for: devices, sizes of BARs, structures of
 * virtio devices.
 */
typedef struct GuestMemory {
    GuestFound found[32];
    unsigned n_found;
    bool known[256][6];
    uint64_t bar_bytes[256][6];
    GuestStructures structures[256];    /* by devfn */
} GuestMemory;

struct GuestPc {
    XensimDomain *dom;          /* NULL: on another machine, below */
    const GuestBus *bus;
    void *opaque;
    unsigned timeout_ms;
    GuestMemory *memory;        /* NULL: remembers nothing */
    char error[256];            /* of the last failure, one line */
};

/* Sets the error text, printf-style, and returns -ERROR. */
int guest_pc_fail(GuestPc *pc, int error, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Calls DONE until it returns a value other than 0.  Returns that value if it
 * is an error, otherwise 0.  After the timeout, fails with the error "WHAT:
 * nothing for ... ms".
 */
typedef int GuestPollFn(void *opaque);
int guest_pc_poll(GuestPc *pc, GuestPollFn *done, void *opaque,
                  const char *what);

/* Parts of guest_pc_poll(): waits between two calls; reads the clock. */
void guest_pc_pause(GuestPc *pc, unsigned round);
int64_t guest_pc_now_ms(void);

/* Sends REQ and waits; unclaimed addresses read as all-ones.  0 or -errno. */
int guest_pc_ioreq(GuestPc *pc, XensimIoreq *req);

#endif
