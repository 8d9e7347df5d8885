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
    unsigned head;              /* the receive descriptor that is filled next */
    uint64_t tx_ring;           /* of packets to send, */
    unsigned tx_tail;           /* ... and the next descriptor to use */
} GuestE1000;

/*
 * Set up the first card: registers at BAR, a multiple of 128 KiB in the MMIO
 * hole; ring and buffers, GUEST_E1000_BYTES, at MEM, a multiple of 4096.  The
 * card then receives every packet.
 */
int guest_e1000_init(GuestPc *pc, GuestE1000 *nic, uint64_t bar,
                     uint64_t mem);

/*
 * Waits for a packet.  *LEN is its length.  Copies up to SIZE bytes of the
 * driver's own buffer to BUF; BUF is NULL if the packet is in another buffer
 * (guest_e1000_set_buffer()).  The card can use the packet's descriptor again
 * after the next guest_e1000_refill().
 */
int guest_e1000_receive(GuestE1000 *nic, void *buf, unsigned size,
                        unsigned *len);
int guest_e1000_refill(GuestE1000 *nic);

/*
 * Gives descriptor I a buffer of GUEST_E1000_BUFFER bytes at GPA, any address.
 * nic->head is the descriptor that the card fills next.  After a packet was
 * received in it, a descriptor has the driver's own buffer again.
 */
int guest_e1000_set_buffer(GuestE1000 *nic, unsigned i, uint64_t gpa);

/*
 * The first enables sending, with a ring of GUEST_E1000_RING descriptors of 16
 * bytes at RING.  The second sends a packet from the N (1 to 255) pieces of SG,
 * up to 65,535 bytes each, and returns when the card has sent it.
 */
int guest_e1000_init_tx(GuestE1000 *nic, uint64_t ring);
int guest_e1000_send(GuestE1000 *nic, const GuestSg *sg, unsigned n);

#endif
