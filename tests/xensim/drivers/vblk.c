/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's driver for legacy virtio-blk; see drivers/virtio.h. */

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "pc-int.h"
#include "virtio.h"

#define MAX_PIECES (GUEST_VIRTQ_MAX - 2)

enum {
    REQUEST_IN = 0,
    REQUEST_OUT = 1,
    DONE_OK = 0,
    NOT_DONE = 0xff,
};

/* A request's own memory, by its head descriptor. */
typedef struct Header {
    uint32_t type, priority;
    uint64_t sector;
    uint8_t status;
    uint8_t unused[15];
} Header;

_Static_assert(sizeof(Header) == 32, "as drivers/virtio.h says");

/* The registers are placed: the queue, and how large the disk is. */
static int set_up(GuestVblk *blk, uint64_t mem)
{
    uint32_t low = 0, high = 0;
    int rc = guest_virtq_init(&blk->dev, &blk->queue, 0, mem, false);

    if (rc) {
        return rc;
    }
    blk->headers = (blk->queue.end + XENSIM_PAGE_SIZE - 1) &
                   ~(uint64_t)(XENSIM_PAGE_SIZE - 1);
    if (blk->headers + blk->queue.size * sizeof(Header) >
        mem + GUEST_VBLK_BYTES) {
        return guest_pc_fail(blk->dev.pc, EINVAL, "a queue of %u entries "
                             "takes more than 0x%x bytes", blk->queue.size,
                             GUEST_VBLK_BYTES);
    }
    rc = guest_virtio_config(&blk->dev, 0, 4, &low);
    if (!rc) {
        rc = guest_virtio_config(&blk->dev, 4, 4, &high);
    }
    blk->sectors = (uint64_t)high << 32 | low;
    return rc ? rc : guest_virtio_start(&blk->dev);
}

int guest_vblk_init(GuestPc *pc, GuestVblk *blk, unsigned index, uint16_t io,
                    uint64_t mem)
{
    int rc = guest_virtio_init(pc, &blk->dev, GUEST_VIRTIO_BLK, index, io, 0);

    return rc ? rc : set_up(blk, mem);
}

int guest_vblk_init_modern(GuestPc *pc, GuestVblk *blk, unsigned index,
                           uint64_t mmio, uint64_t mem)
{
    int rc = guest_virtio_init_modern(pc, &blk->dev, GUEST_VIRTIO_BLK, index,
                                      mmio, GUEST_VIRTIO_F_INDIRECT);

    return rc ? rc : set_up(blk, mem);
}

int guest_vblk_start_indirect(GuestVblk *blk, bool write, uint64_t lba,
                              const GuestSg *sg, unsigned n, uint64_t table,
                              uint16_t *tag)
{
    GuestVirtq *q = &blk->queue;
    /* What guest_virtq_add() is going to call the request. */
    const uint64_t at = blk->headers + q->first_free * sizeof(Header);
    const Header header = {
        .type = write ? REQUEST_OUT : REQUEST_IN,
        .sector = lba,
        .status = NOT_DONE,
    };
    const unsigned most = (table ? GUEST_VIRTQ_MAX : q->size) - 2;
    const unsigned out = write ? n + 1 : 1, in = write ? 1 : n + 1;
    GuestSg all[MAX_PIECES + 2];
    int rc;

    if (!n || n > most) {
        return guest_pc_fail(blk->dev.pc, EINVAL, "%u pieces: a request takes "
                             "1 to %u", n, most);
    }
    if ((table ? 1 : n + 2) > q->free) {
        return guest_pc_fail(blk->dev.pc, EAGAIN, "the disk's queue is full");
    }
    all[0] = (GuestSg) { at, offsetof(Header, status) };
    memcpy(&all[1], sg, n * sizeof(*sg));
    all[n + 1] = (GuestSg) { at + offsetof(Header, status), 1 };
    rc = guest_mem_write(blk->dev.pc, at, &header, sizeof(header));
    if (rc) {
        return rc;
    }
    return table ? guest_virtq_add_indirect(q, table, all, out, in, tag)
                 : guest_virtq_add(q, all, out, in, tag);
}

int guest_vblk_start(GuestVblk *blk, bool write, uint64_t lba,
                     const GuestSg *sg, unsigned n, uint16_t *tag)
{
    return guest_vblk_start_indirect(blk, write, lba, sg, n, 0, tag);
}

int guest_vblk_kick(GuestVblk *blk)
{
    return guest_virtq_kick(&blk->queue, true);
}

int guest_vblk_status(GuestVblk *blk, uint16_t tag, uint8_t *status)
{
    return guest_mem_read(blk->dev.pc, blk->headers + tag * sizeof(Header) +
                          offsetof(Header, status), status, 1);
}

int guest_vblk_wait(GuestVblk *blk, uint16_t *tag)
{
    uint8_t status = NOT_DONE;
    uint16_t head;
    int rc = guest_virtq_wait(&blk->queue, &head, NULL);

    if (!rc) {
        rc = guest_vblk_status(blk, head, &status);
    }
    if (rc) {
        return rc;
    }
    if (tag) {
        *tag = head;
    }
    return status == DONE_OK ? 0 : guest_pc_fail(
        blk->dev.pc, EIO, "virtio disk: request %u ended with status %u",
        head, status);
}

int guest_vblk_rw(GuestVblk *blk, bool write, uint64_t lba, const GuestSg *sg,
                  unsigned n)
{
    uint16_t tag;
    int rc = guest_vblk_start(blk, write, lba, sg, n, &tag);

    if (!rc) {
        rc = guest_vblk_kick(blk);
    }
    return rc ? rc : guest_vblk_wait(blk, NULL);
}
