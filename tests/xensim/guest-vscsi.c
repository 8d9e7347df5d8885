/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's driver for disks of legacy virtio-scsi; see guest-virtio.h. */

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "guest-pc-int.h"
#include "guest-virtio.h"

#define MAX_PIECES 126u

enum {
    REQUESTS = 2,               /* the queue; before it control and events */
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
_Static_assert(sizeof(Header) == 256, "as guest-virtio.h says");

int guest_vscsi_init(GuestPc *pc, GuestVscsi *scsi, unsigned index,
                     uint16_t io, uint64_t mem)
{
    int rc = guest_virtio_init(pc, &scsi->dev, GUEST_VIRTIO_SCSI, index, io,
                               0);

    if (!rc) {
        rc = guest_virtq_init(&scsi->dev, &scsi->queue, REQUESTS, mem, false);
    }
    if (rc) {
        return rc;
    }
    scsi->headers = (scsi->queue.end + XENSIM_PAGE_SIZE - 1) &
                    ~(uint64_t)(XENSIM_PAGE_SIZE - 1);
    if (scsi->headers + scsi->queue.size * sizeof(Header) >
        mem + GUEST_VSCSI_BYTES) {
        return guest_pc_fail(pc, EINVAL, "a queue of %u entries takes more "
                             "than 0x%x bytes", scsi->queue.size,
                             GUEST_VSCSI_BYTES);
    }
    return guest_virtio_start(&scsi->dev);
}

int guest_vscsi_start(GuestVscsi *scsi, unsigned target, bool write,
                      uint32_t lba, const GuestSg *sg, unsigned n,
                      uint16_t *tag)
{
    GuestVirtq *q = &scsi->queue;
    /* What guest_virtq_add() is going to call the request. */
    const uint64_t at = scsi->headers + q->first_free * sizeof(Header);
    const uint64_t answer = at + offsetof(Header, response);
    Header header = {
        .request.lun = { 1, target, 0x40, 0 },
        .request.cdb = { write ? WRITE_10 : READ_10, 0, lba >> 24, lba >> 16,
                         lba >> 8, lba },
    };
    GuestSg all[MAX_PIECES + 2];
    uint64_t bytes = 0;
    unsigned data = write ? 1 : 2;
    int rc;

    if (!n || n > MAX_PIECES) {
        return guest_pc_fail(scsi->dev.pc, EINVAL, "%u pieces: a request "
                             "takes 1 to %u", n, MAX_PIECES);
    }
    for (unsigned i = 0; i < n; i++) {
        bytes += sg[i].len;
    }
    if (bytes < GUEST_SECTOR_SIZE || bytes / GUEST_SECTOR_SIZE > UINT16_MAX) {
        return guest_pc_fail(scsi->dev.pc, EINVAL, "0x%" PRIx64 " bytes are "
                             "no transfer of a SCSI disk", bytes);
    }
    if (n + 2 > q->free) {
        return guest_pc_fail(scsi->dev.pc, EAGAIN, "the controller's queue "
                             "is full");
    }
    header.request.cdb[7] = bytes / GUEST_SECTOR_SIZE >> 8;
    header.request.cdb[8] = bytes / GUEST_SECTOR_SIZE;
    header.response.status = header.response.response = NOT_DONE;

    /* The device reads the first pieces, and writes the others. */
    all[0] = (GuestSg) { at, sizeof(Request) };
    all[write ? n + 1 : 1] = (GuestSg) { answer, sizeof(Response) };
    memcpy(&all[data], sg, n * sizeof(*sg));
    rc = guest_mem_write(scsi->dev.pc, at, &header, sizeof(header));
    return rc ? rc : guest_virtq_add(q, all, write ? n + 1 : 1,
                                     write ? 1 : n + 1, tag);
}

int guest_vscsi_kick(GuestVscsi *scsi)
{
    return guest_virtq_kick(&scsi->queue, true);
}

int guest_vscsi_wait(GuestVscsi *scsi, uint16_t *tag)
{
    Response response = { .status = NOT_DONE, .response = NOT_DONE };
    uint16_t head;
    int rc = guest_virtq_wait(&scsi->queue, &head, NULL);

    if (!rc) {
        rc = guest_mem_read(scsi->dev.pc, scsi->headers +
                            head * sizeof(Header) +
                            offsetof(Header, response), &response,
                            sizeof(response));
    }
    if (rc) {
        return rc;
    }
    if (tag) {
        *tag = head;
    }
    return !response.status && !response.response ? 0 : guest_pc_fail(
        scsi->dev.pc, EIO, "SCSI disk: request %u ended with response %u, "
        "status 0x%x, sense 0x%x 0x%02x", head, response.response,
        response.status, response.sense[2] & 0xf, response.sense[12]);
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
