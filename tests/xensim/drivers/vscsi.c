/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's driver for disks of legacy virtio-scsi; see drivers/virtio.h. */

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "pc-int.h"
#include "virtio.h"

#define MAX_PIECES (GUEST_VIRTQ_MAX - 2)

enum {
    REQUESTS = 2,               /* the queue; before it control and events */
    INQUIRY = 0x12,
    READ_10 = 0x28,
    WRITE_10 = 0x2a,
    NOT_DONE = 0xff,
};

/* A request's own memory, by its head descriptor: what the device reads, */
typedef struct Request {
    uint8_t lun[8];
    uint8_t tag[8];
    uint8_t attribute, priority, crn;
    uint8_t cdb[32];
} Request;

/* ... and what it answers. */
typedef struct Response {
    uint8_t sense_len[4];
    uint8_t residual[4];
    uint8_t qualifier[2];
    uint8_t status;             /* the disk's */
    uint8_t response;           /* the controller's */
    uint8_t sense[96];
} Response;

typedef struct Header {
    Request request;
    Response response;
    uint8_t unused[97];
} Header;

_Static_assert(sizeof(Request) == 51, "as virtio has it");
_Static_assert(sizeof(Response) == 108, "as virtio has it");
_Static_assert(sizeof(Header) == 256, "as drivers/virtio.h says");

/* The registers are placed: the queue of requests. */
static int set_up(GuestVscsi *scsi, uint64_t mem)
{
    int rc = guest_virtq_init(&scsi->dev, &scsi->queue, REQUESTS, mem, false);

    if (rc) {
        return rc;
    }
    scsi->headers = (scsi->queue.end + XENSIM_PAGE_SIZE - 1) &
                    ~(uint64_t)(XENSIM_PAGE_SIZE - 1);
    if (scsi->headers + scsi->queue.size * sizeof(Header) >
        mem + GUEST_VSCSI_BYTES) {
        return guest_pc_fail(scsi->dev.pc, EINVAL, "a queue of %u entries "
                             "takes more than 0x%x bytes", scsi->queue.size,
                             GUEST_VSCSI_BYTES);
    }
    return guest_virtio_start(&scsi->dev);
}

int guest_vscsi_init(GuestPc *pc, GuestVscsi *scsi, unsigned index,
                     uint16_t io, uint64_t mem)
{
    int rc = guest_virtio_init(pc, &scsi->dev, GUEST_VIRTIO_SCSI, index, io,
                               0);

    return rc ? rc : set_up(scsi, mem);
}

int guest_vscsi_init_modern(GuestPc *pc, GuestVscsi *scsi, unsigned index,
                            uint64_t mmio, uint64_t mem)
{
    int rc = guest_virtio_init_modern(pc, &scsi->dev, GUEST_VIRTIO_SCSI,
                                      index, mmio, GUEST_VIRTIO_F_INDIRECT);

    return rc ? rc : set_up(scsi, mem);
}

/* Queues CDB with the N pieces of SG, by TABLE if it is not 0. */
static int start(GuestVscsi *scsi, unsigned target, const uint8_t cdb[16],
                 bool write, const GuestSg *sg, unsigned n, uint64_t table,
                 uint16_t *tag)
{
    GuestVirtq *q = &scsi->queue;
    /* What guest_virtq_add() is going to call the request. */
    const uint64_t at = scsi->headers + q->first_free * sizeof(Header);
    const uint64_t answer = at + offsetof(Header, response);
    Header header = {
        .request.lun = { 1, target, 0x40, 0 },
    };
    const unsigned most = (table ? GUEST_VIRTQ_MAX : q->size) - 2;
    const unsigned out = write ? n + 1 : 1, in = write ? 1 : n + 1;
    GuestSg all[MAX_PIECES + 2];
    int rc;

    if (!n || n > most) {
        return guest_pc_fail(scsi->dev.pc, EINVAL, "%u pieces: a request "
                             "takes 1 to %u", n, most);
    }
    if ((table ? 1 : n + 2) > q->free) {
        return guest_pc_fail(scsi->dev.pc, EAGAIN, "the controller's queue "
                             "is full");
    }
    memcpy(header.request.cdb, cdb, 16);
    header.response.status = header.response.response = NOT_DONE;

    /* The device reads the first pieces, and writes the others. */
    all[0] = (GuestSg) { at, sizeof(Request) };
    all[write ? n + 1 : 1] = (GuestSg) { answer, sizeof(Response) };
    memcpy(&all[write ? 1 : 2], sg, n * sizeof(*sg));
    rc = guest_mem_write(scsi->dev.pc, at, &header, sizeof(header));
    if (rc) {
        return rc;
    }
    return table ? guest_virtq_add_indirect(q, table, all, out, in, tag)
                 : guest_virtq_add(q, all, out, in, tag);
}

int guest_vscsi_start_indirect(GuestVscsi *scsi, unsigned target, bool write,
                               uint32_t lba, const GuestSg *sg, unsigned n,
                               uint64_t table, uint16_t *tag)
{
    uint8_t cdb[16] = {
        write ? WRITE_10 : READ_10, 0, lba >> 24, lba >> 16, lba >> 8, lba,
    };
    uint64_t bytes = 0;

    for (unsigned i = 0; i < n; i++) {
        bytes += sg[i].len;
    }
    if (bytes < GUEST_SECTOR_SIZE || bytes / GUEST_SECTOR_SIZE > UINT16_MAX) {
        return guest_pc_fail(scsi->dev.pc, EINVAL, "0x%" PRIx64 " bytes are "
                             "no transfer of a SCSI disk", bytes);
    }
    cdb[7] = bytes / GUEST_SECTOR_SIZE >> 8;
    cdb[8] = bytes / GUEST_SECTOR_SIZE;
    return start(scsi, target, cdb, write, sg, n, table, tag);
}

int guest_vscsi_start(GuestVscsi *scsi, unsigned target, bool write,
                      uint32_t lba, const GuestSg *sg, unsigned n,
                      uint16_t *tag)
{
    return guest_vscsi_start_indirect(scsi, target, write, lba, sg, n, 0,
                                      tag);
}

int guest_vscsi_kick(GuestVscsi *scsi)
{
    return guest_virtq_kick(&scsi->queue, true);
}

int guest_vscsi_status(GuestVscsi *scsi, uint16_t tag, uint32_t *status)
{
    Response r = { .status = NOT_DONE, .response = NOT_DONE };
    int rc = guest_mem_read(scsi->dev.pc, scsi->headers +
                            tag * sizeof(Header) + offsetof(Header, response),
                            &r, sizeof(r));

    *status = r.response | r.status << 8;
    if (r.status) {
        *status |= (r.sense[2] & 0xf) << 16 | (uint32_t)r.sense[12] << 24;
    }
    return rc;
}

int guest_vscsi_wait(GuestVscsi *scsi, uint16_t *tag)
{
    uint32_t status = 0;
    uint16_t head;
    int rc = guest_virtq_wait(&scsi->queue, &head, NULL);

    if (!rc) {
        rc = guest_vscsi_status(scsi, head, &status);
    }
    if (rc) {
        return rc;
    }
    if (tag) {
        *tag = head;
    }
    return !status ? 0 : guest_pc_fail(
        scsi->dev.pc, EIO, "SCSI disk: request %u ended with response %u, "
        "status 0x%x, sense 0x%x 0x%02x", head, status & 0xff,
        status >> 8 & 0xff, status >> 16 & 0xff, status >> 24);
}

int guest_vscsi_inquiry(GuestVscsi *scsi, unsigned target, const GuestSg *sg)
{
    const uint8_t cdb[16] = { INQUIRY, 0, 0, sg->len >> 8, sg->len };
    uint16_t tag;
    int rc = start(scsi, target, cdb, false, sg, 1, 0, &tag);

    if (!rc) {
        rc = guest_vscsi_kick(scsi);
    }
    return rc ? rc : guest_vscsi_wait(scsi, NULL);
}

int guest_vscsi_rw(GuestVscsi *scsi, unsigned target, bool write,
                   uint32_t lba, const GuestSg *sg, unsigned n)
{
    uint16_t tag;
    int rc = guest_vscsi_start(scsi, target, write, lba, sg, n, &tag);

    if (!rc) {
        rc = guest_vscsi_kick(scsi);
    }
    return rc ? rc : guest_vscsi_wait(scsi, NULL);
}
