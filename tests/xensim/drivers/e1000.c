/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's driver for an e1000; see drivers/e1000.h. */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "e1000.h"
#include "pc-int.h"

enum {
    REG_IRQ_CLEAR = 0x00d8,
    REG_RECEIVE = 0x0100,
    REG_TRANSMIT = 0x0400,
    REG_RING = 0x2800,          /* and its upper half */
    REG_RING_BYTES = 0x2808,
    REG_HEAD = 0x2810,
    REG_TAIL = 0x2818,
    REG_TX_RING = 0x3800,       /* and so on, as from REG_RING */
    REG_TX_RING_BYTES = 0x3808,
    REG_TX_HEAD = 0x3810,
    REG_TX_TAIL = 0x3818,
};

/* On, all addresses, buffers of 2 KiB, without the checksum at the end. */
#define RECEIVE_ALL 0x0400801au

#define TRANSMIT_ON 0x0000000au     /* and short packets are padded */

enum {
    TX_LAST = 1,
    TX_REPORT = 8,
};

enum {
    STATUS_DONE = 1,
    STATUS_LAST = 2,
};

typedef struct Desc {
    uint64_t addr;
    uint16_t len, checksum;
    uint8_t status, errors;
    uint16_t special;
} Desc;

static uint64_t desc_at(const GuestE1000 *nic, unsigned i)
{
    return nic->mem + i * sizeof(Desc);
}

static int out(GuestE1000 *nic, unsigned reg, uint32_t val)
{
    return guest_mmio_out(nic->pc, nic->bar + reg, 4, val);
}

int guest_e1000_set_buffer(GuestE1000 *nic, unsigned i, uint64_t gpa)
{
    const Desc desc = { .addr = gpa };

    return guest_mem_write(nic->pc, desc_at(nic, i % GUEST_E1000_RING), &desc,
                           sizeof(desc));
}

/* In the driver's memory. */
static int write_desc(GuestE1000 *nic, unsigned i)
{
    return guest_e1000_set_buffer(nic, i, nic->mem + XENSIM_PAGE_SIZE +
                                          i * GUEST_E1000_BUFFER);
}

int guest_e1000_refill(GuestE1000 *nic)
{
    return out(nic, REG_TAIL,
               (nic->head + GUEST_E1000_RING - 1) % GUEST_E1000_RING);
}

int guest_e1000_init(GuestPc *pc, GuestE1000 *nic, uint64_t bar, uint64_t mem)
{
    const struct {
        unsigned reg;
        uint32_t val;
    } steps[] = {
        { REG_IRQ_CLEAR, 0xffffffff },
        { REG_RING, mem },
        { REG_RING + 4, mem >> 32 },
        { REG_RING_BYTES, GUEST_E1000_RING * sizeof(Desc) },
        { REG_HEAD, 0 },
        { REG_TAIL, GUEST_E1000_RING - 1 },
        { REG_RECEIVE, RECEIVE_ALL },
    };
    unsigned i;
    int rc;

    memset(nic, 0, sizeof(*nic));
    nic->pc = pc;
    nic->bar = bar;
    nic->mem = mem;
    rc = guest_pci_find(pc, 0x8086, 0x100e, 0, &nic->devfn);
    if (!rc) {
        rc = guest_pci_place_bar(pc, nic->devfn, 0, bar);
    }
    if (!rc) {
        rc = guest_pci_command(pc, nic->devfn, GUEST_PCI_MASTER, 0);
    }
    for (i = 0; !rc && i < GUEST_E1000_RING; i++) {
        rc = write_desc(nic, i);
    }
    for (i = 0; !rc && i < sizeof(steps) / sizeof(steps[0]); i++) {
        rc = out(nic, steps[i].reg, steps[i].val);
    }
    return rc;
}

typedef struct Look {
    GuestE1000 *nic;
    Desc desc;
} Look;

static int has_packet(void *opaque)
{
    Look *l = opaque;
    int rc = guest_mem_read(l->nic->pc, desc_at(l->nic, l->nic->head),
                            &l->desc, sizeof(l->desc));

    return rc ? rc : !!(l->desc.status & STATUS_DONE);
}

int guest_e1000_receive(GuestE1000 *nic, void *buf, unsigned size,
                        unsigned *len)
{
    Look l = { .nic = nic };
    int rc = guest_pc_poll(nic->pc, has_packet, &l, "network card");

    if (rc) {
        return rc;
    }
    if (l.desc.errors || !(l.desc.status & STATUS_LAST) ||
        l.desc.len > GUEST_E1000_BUFFER) {
        return guest_pc_fail(nic->pc, EIO, "e1000: descriptor %u has status "
                             "0x%02x, errors 0x%02x, %u bytes", nic->head,
                             l.desc.status, l.desc.errors, l.desc.len);
    }
    *len = l.desc.len;
    if (buf) {
        rc = guest_mem_read(nic->pc, nic->mem + XENSIM_PAGE_SIZE +
                            nic->head * GUEST_E1000_BUFFER, buf,
                            *len < size ? *len : size);
    }
    if (!rc) {
        rc = write_desc(nic, nic->head);
    }
    nic->head = (nic->head + 1) % GUEST_E1000_RING;
    return rc;
}

/* ---- sending ---- */

/* What a descriptor of the ring of packets to send has. */
typedef struct TxDesc {
    uint64_t addr;
    uint16_t len;
    uint8_t checksum_at, command;
    uint8_t status, checksum_from;
    uint16_t special;
} TxDesc;

int guest_e1000_init_tx(GuestE1000 *nic, uint64_t ring)
{
    const struct {
        unsigned reg;
        uint32_t val;
    } steps[] = {
        { REG_TX_RING, ring },
        { REG_TX_RING + 4, ring >> 32 },
        { REG_TX_RING_BYTES, GUEST_E1000_RING * sizeof(TxDesc) },
        { REG_TX_HEAD, 0 },
        { REG_TX_TAIL, 0 },
        { REG_TRANSMIT, TRANSMIT_ON },
    };
    int rc = 0;

    nic->tx_ring = ring;
    nic->tx_tail = 0;
    for (unsigned i = 0; !rc && i < sizeof(steps) / sizeof(steps[0]); i++) {
        rc = out(nic, steps[i].reg, steps[i].val);
    }
    return rc;
}

typedef struct Sent {
    GuestE1000 *nic;
    unsigned last;
} Sent;

static int is_sent(void *opaque)
{
    Sent *s = opaque;
    TxDesc desc;
    int rc = guest_mem_read(s->nic->pc, s->nic->tx_ring +
                            s->last * sizeof(desc), &desc, sizeof(desc));

    return rc ? rc : !!(desc.status & STATUS_DONE);
}

int guest_e1000_send(GuestE1000 *nic, const GuestSg *sg, unsigned n)
{
    Sent s = { .nic = nic };

    if (!n || n >= GUEST_E1000_RING) {
        return guest_pc_fail(nic->pc, EINVAL, "a packet in %u pieces", n);
    }
    for (unsigned i = 0; i < n; i++) {
        const TxDesc desc = {
            .addr = sg[i].gpa,
            .len = sg[i].len,
            .command = TX_REPORT | (i + 1 == n ? TX_LAST : 0),
        };
        int rc = guest_mem_write(nic->pc, nic->tx_ring +
                                 nic->tx_tail * sizeof(desc), &desc,
                                 sizeof(desc));

        if (rc) {
            return rc;
        }
        s.last = nic->tx_tail;
        nic->tx_tail = (nic->tx_tail + 1) % GUEST_E1000_RING;
    }
    if (out(nic, REG_TX_TAIL, nic->tx_tail)) {
        return -ENODEV;
    }
    return guest_pc_poll(nic->pc, is_sent, &s, "packet to send");
}
