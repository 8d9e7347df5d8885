/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's driver for an e1000 network card, without interrupts.  Errors and
 * threads are as in drivers/pc.h.
 */

#ifndef XENSIM_GUEST_E1000_H
#define XENSIM_GUEST_E1000_H

#include "pc.h"

#define GUEST_E1000_RING   256u         /* descriptors; one less is usable */
#define GUEST_E1000_BUFFER 2048u        /* bytes for each of them */

/* Guest memory that the driver needs. */
#define GUEST_E1000_BYTES \
    (0x1000u + GUEST_E1000_RING * GUEST_E1000_BUFFER)

typedef struct GuestE1000 {
    GuestPc *pc;
    unsigned devfn;
    uint64_t bar, mem;
    unsigned head;              /* the next descriptor to be filled */
    uint64_t tx_ring;           /* of packets to send, */
    unsigned tx_tail;           /* ... and the next descriptor to use */
} GuestE1000;

/*
 * Set up the first card: registers at BAR, a multiple of 128 KiB in the MMIO
 * hole; ring and buffers, GUEST_E1000_BYTES, at MEM, a multiple of 4096.  It
 * takes every packet from then on.
 */
int guest_e1000_init(GuestPc *pc, GuestE1000 *nic, uint64_t bar,
                     uint64_t mem);

/*
 * Wait for a packet.  Up to SIZE bytes of it go to BUF (may be NULL), *LEN is
 * how long it is.  Its descriptor is the card's again after the next
 * guest_e1000_refill().
 */
int guest_e1000_receive(GuestE1000 *nic, void *buf, unsigned size,
                        unsigned *len);
int guest_e1000_refill(GuestE1000 *nic);

/*
 * Descriptor I's buffer of GUEST_E1000_BUFFER bytes is at GPA, anywhere.
 * nic->head is the next one to be filled; once received, it has the driver's
 * own buffer again.
 */
int guest_e1000_set_buffer(GuestE1000 *nic, unsigned i, uint64_t gpa);

/*
 * Let it send: a ring of GUEST_E1000_RING descriptors of 16 bytes goes to
 * RING.  Then a packet in the N (1 to 255) pieces of SG, up to 65,535 bytes
 * each; returns when the card has sent it.
 */
int guest_e1000_init_tx(GuestE1000 *nic, uint64_t ring);
int guest_e1000_send(GuestE1000 *nic, const GuestSg *sg, unsigned n);

#endif
