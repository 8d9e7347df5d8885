/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's driver for virtio PCI devices, and for virtio-blk, virtio-scsi and
 * virtio-gpu on top of it.
 *
 * Disks are driven through the legacy ("0.9") registers.  A transitional device
 * on the PIIX has them (or use disable-legacy=off,disable-modern=on).  A
 * virtio-gpu has modern ("1.0") registers only.
 *
 * Errors and threads are as in drivers/pc.h.  One thread uses a queue.  Once
 * the device is set up, two threads on two vCPUs may use two of its queues.
 */

#ifndef XENSIM_GUEST_VIRTIO_H
#define XENSIM_GUEST_VIRTIO_H

#include "pc.h"

/* PCI device ids of transitional devices, and of a modern one (the GPU). */
enum {
    GUEST_VIRTIO_NET = 0x1000,
    GUEST_VIRTIO_BLK = 0x1001,
    GUEST_VIRTIO_BALLOON = 0x1002,
    GUEST_VIRTIO_SCSI = 0x1004,
    GUEST_VIRTIO_RNG = 0x1005,
    GUEST_VIRTIO_GPU = 0x1050,
};

/* A feature that every device can offer; a bit of the lower 32. */
#define GUEST_VIRTIO_F_INDIRECT (1u << 28)

typedef struct GuestVirtio {
    GuestPc *pc;
    unsigned devfn;
    uint16_t io;                /* legacy: address of BAR 0 */
    /* Modern: addresses of the structures, and the notifiers' distance. */
    uint64_t common, config, notify;
    uint32_t notify_step;
    uint32_t features;          /* the negotiated ones of the lower 32 */
} GuestVirtio;

/*
 * Set up the (INDEX + 1)th device with DEVICE_ID: place its ports at IO, a
 * multiple of 128, reset it, and agree on those of FEATURES that it offers.
 * Queues come next, then guest_virtio_start().
 */
int guest_virtio_init(GuestPc *pc, GuestVirtio *dev, uint16_t device_id,
                      unsigned index, uint16_t io, uint32_t features);

/*
 * The same by modern registers: the BAR that has them is placed at MMIO, a
 * multiple of its size.
 */
int guest_virtio_init_modern(GuestPc *pc, GuestVirtio *dev,
                             uint16_t device_id, unsigned index,
                             uint64_t mmio, uint32_t features);

/* The driver is ready: the device may use its queues. */
int guest_virtio_start(GuestVirtio *dev);

/* Resets the device, which releases its queues and all requests in them. */
int guest_virtio_reset(GuestVirtio *dev);

/*
 * 1 if a modern device has stopped because of an invalid request, 0 if not, or
 * -errno.  A stopped device does nothing until it is reset.
 */
int guest_virtio_is_broken(GuestVirtio *dev);

/* SIZE (1, 2, 4) bytes of the device's configuration, at OFFSET. */
int guest_virtio_config(GuestVirtio *dev, unsigned offset, unsigned size,
                        uint32_t *val);

/* ---- queues ---- */

#define GUEST_VIRTQ_MAX 1024u

typedef struct GuestVirtq {
    GuestVirtio *dev;
    unsigned index, size;
    uint64_t desc, avail, used; /* gpas of its parts */
    uint64_t end;               /* the first byte after it */
    uint64_t notify;            /* modern: the notifier's address */
    uint16_t avail_idx;         /* index of the next request to add */
    uint16_t shown_idx;         /* avail_idx as the device has it */
    uint16_t used_idx;          /* index of the next request to reap */
    unsigned free;              /* descriptors not in use */
    uint16_t next[GUEST_VIRTQ_MAX]; /* chains of descriptors, also free ones */
    uint16_t first_free;
} GuestVirtq;

/*
 * Puts queue INDEX at RING, a multiple of 4096 below 16 TiB. The device says
 * how large it is; the memory from RING to queue->end belongs to it.  If IRQ,
 * asks the device to interrupt at each used entry; otherwise never to
 * interrupt.
 */
int guest_virtq_init(GuestVirtio *dev, GuestVirtq *queue, unsigned index,
                     uint64_t ring, bool irq);

/*
 * Tells a modern device that the parts of QUEUE are elsewhere: DESC is a
 * multiple of 16, AVAIL of 2, USED of 4.  Nothing is written to them.  No request
 * may be under way.
 */
int guest_virtq_move(GuestVirtq *queue, uint64_t desc, uint64_t avail,
                     uint64_t used);

/*
 * Add a request: OUT pieces that the device reads, then IN pieces that it
 * writes, all in SG.  *HEAD names the request until it is reaped.  The device
 * sees it after guest_virtq_kick().  If the queue has no room, returns -EAGAIN
 * and changes nothing.
 */
int guest_virtq_add(GuestVirtq *queue, const GuestSg *sg, unsigned out,
                    unsigned in, uint16_t *head);

/*
 * The same by an indirect table, which is written at TABLE and must stay there
 * until the request is reaped: up to GUEST_VIRTQ_MAX pieces.  The device must
 * have agreed on GUEST_VIRTIO_F_INDIRECT.
 */
int guest_virtq_add_indirect(GuestVirtq *queue, uint64_t table,
                             const GuestSg *sg, unsigned out, unsigned in,
                             uint16_t *head);

/*
 * The parts of guest_virtq_add_indirect(), for several requests with one table.
 * The first writes the table, 16 bytes for each piece.  The second adds a
 * request whose indirect table is whatever is in the BYTES at TABLE.
 */
int guest_virtq_put_table(GuestPc *pc, uint64_t table, const GuestSg *sg,
                          unsigned out, unsigned in);
int guest_virtq_add_table(GuestVirtq *queue, uint64_t table, uint32_t bytes,
                          uint16_t *head);

/* Show the added requests to the device, and notify it if NOTIFY. */
int guest_virtq_kick(GuestVirtq *queue, bool notify);

/*
 * guest_virtq_reap() takes a request that the device has finished and returns
 * 1.  *HEAD names the request, and *BYTES (may be NULL) is how much the device
 * wrote.  It returns 0 if there is none, or -errno.  guest_virtq_wait() waits
 * for a request and returns 0, or -errno; -EIO if a modern device has stopped.
 */
int guest_virtq_reap(GuestVirtq *queue, uint16_t *head, uint32_t *bytes);
int guest_virtq_wait(GuestVirtq *queue, uint16_t *head, uint32_t *bytes);

/*
 * Removes what depends on the order in which earlier requests have ended: the
 * names of later requests do not depend on it any more, and the used entries
 * are cleared.  If a request is under way, returns -EBUSY and changes nothing.
 */
int guest_virtq_settle(GuestVirtq *queue);

/* ---- any device, by modern registers: net, balloon, rng ---- */

#define GUEST_VDEV_QUEUES 4u

/* Guest memory that the driver itself needs for each queue. */
#define GUEST_VDEV_BYTES 0x8000u    /* enough for 1024 entries */

typedef struct GuestVdev {
    GuestVirtio dev;
    GuestVirtq queue[GUEST_VDEV_QUEUES];
} GuestVdev;

/*
 * Set up the (INDEX + 1)th device with DEVICE_ID: registers at MMIO, its first
 * QUEUES (1 to 4) queues at MEM (a multiple of 4096), GUEST_VDEV_BYTES each.
 * Requests are added to and reaped from the queues.
 */
int guest_vdev_init(GuestPc *pc, GuestVdev *vdev, uint16_t device_id,
                    unsigned index, uint64_t mmio, uint64_t mem,
                    unsigned queues, uint32_t features);

/* ---- virtio-blk, its first queue ---- */

/* Guest memory that the driver itself needs. */
#define GUEST_VBLK_BYTES 0x20000u

typedef struct GuestVblk {
    GuestVirtio dev;
    GuestVirtq queue;
    uint64_t headers;           /* 32 bytes for each request */
    uint64_t sectors;           /* how large the disk is */
} GuestVblk;

/*
 * Set up the (INDEX + 1)th virtio-blk, with its ports at IO (a multiple of
 * 128) and GUEST_VBLK_BYTES of the driver's own at MEM (a multiple of 4096).
 */
int guest_vblk_init(GuestPc *pc, GuestVblk *blk, unsigned index, uint16_t io,
                    uint64_t mem);

/* The same by modern registers, as guest_virtio_init_modern() places them. */
int guest_vblk_init_modern(GuestPc *pc, GuestVblk *blk, unsigned index,
                           uint64_t mmio, uint64_t mem);

/*
 * Starts a request that moves the N pieces of SG to the disk at LBA if WRITE,
 * otherwise from the disk.  N is at most the queue's size minus 2.  The pieces
 * together are whole sectors.  *TAG names the request.  -EAGAIN if the queue is
 * full.  Several requests may be started before one guest_vblk_kick().
 */
int guest_vblk_start(GuestVblk *blk, bool write, uint64_t lba,
                     const GuestSg *sg, unsigned n, uint16_t *tag);

/*
 * The same by an indirect table at TABLE (0: in the ring), up to
 * GUEST_VIRTQ_MAX - 2 pieces, on a disk that is driven by modern registers.
 */
int guest_vblk_start_indirect(GuestVblk *blk, bool write, uint64_t lba,
                              const GuestSg *sg, unsigned n, uint64_t table,
                              uint16_t *tag);
int guest_vblk_kick(GuestVblk *blk);

/*
 * Wait for the end of any request; *TAG (may be NULL) names it.  -EIO if the
 * device reports that the request failed.
 */
int guest_vblk_wait(GuestVblk *blk, uint16_t *tag);

/* The device's status of request TAG: 0 OK, 1 error, 0xff not finished. */
int guest_vblk_status(GuestVblk *blk, uint16_t tag, uint8_t *status);

/* Makes one request and waits for it; no other may be under way. */
int guest_vblk_rw(GuestVblk *blk, bool write, uint64_t lba, const GuestSg *sg,
                  unsigned n);

/* ---- virtio-scsi, its first queue of requests; disks ---- */

/* Guest memory that the driver itself needs. */
#define GUEST_VSCSI_BYTES 0x50000u  /* enough for 1024 entries */

typedef struct GuestVscsi {
    GuestVirtio dev;
    GuestVirtq queue;
    uint64_t headers;           /* 256 bytes for each request */
} GuestVscsi;

/* These are like guest_vblk_init() and guest_vblk_init_modern(). */
int guest_vscsi_init(GuestPc *pc, GuestVscsi *scsi, unsigned index,
                     uint16_t io, uint64_t mem);
int guest_vscsi_init_modern(GuestPc *pc, GuestVscsi *scsi, unsigned index,
                            uint64_t mmio, uint64_t mem);

/*
 * READ(10) or WRITE(10), like guest_vblk_start(), of the disk that is LUN 0 of
 * TARGET: up to 65,535 sectors from LBA on, as many whole sectors as fit in SG.
 * A disk that has just appeared answers its first request with a unit
 * attention, which is -EIO.
 */
int guest_vscsi_start(GuestVscsi *scsi, unsigned target, bool write,
                      uint32_t lba, const GuestSg *sg, unsigned n,
                      uint16_t *tag);
int guest_vscsi_start_indirect(GuestVscsi *scsi, unsigned target, bool write,
                               uint32_t lba, const GuestSg *sg, unsigned n,
                               uint64_t table, uint16_t *tag);
int guest_vscsi_kick(GuestVscsi *scsi);
int guest_vscsi_wait(GuestVscsi *scsi, uint16_t *tag);

/*
 * The result of request TAG, from the lowest bits: the controller's response,
 * the disk's status, its sense key and its additional sense code, 8 bits each.
 */
int guest_vscsi_status(GuestVscsi *scsi, uint16_t tag, uint32_t *status);
int guest_vscsi_rw(GuestVscsi *scsi, unsigned target, bool write,
                   uint32_t lba, const GuestSg *sg, unsigned n);

/* INQUIRY: the disk says in SG, up to 65,535 bytes, what it is. */
int guest_vscsi_inquiry(GuestVscsi *scsi, unsigned target, const GuestSg *sg);

/* ---- virtio-gpu, its control queue: 2D, the first screen ---- */

/* Guest memory that the driver itself needs. */
#define GUEST_VGPU_BYTES 0x10000u

/* The most pieces that a picture's memory may be in. */
#define GUEST_VGPU_PIECES 256u

typedef struct GuestVgpu {
    GuestVirtio dev;
    GuestVirtq queue;
    uint64_t mem;               /* a command, and its answer */
} GuestVgpu;

/*
 * Set up the (INDEX + 1)th virtio-gpu, with its registers at MMIO and
 * GUEST_VGPU_BYTES of the driver's own at MEM (a multiple of 4096).
 */
int guest_vgpu_init(GuestPc *pc, GuestVgpu *gpu, unsigned index,
                    uint64_t mmio, uint64_t mem);

/*
 * Each command returns when the device has answered; -EIO if the device reports
 * an error.  A picture has a number ID, > 0, and 4 bytes for a pixel: blue,
 * green, red and an unused one.
 *
 * create makes a picture of WIDTH x HEIGHT pixels.  attach says that the pixels
 * are in the guest's memory, in the N pieces of SG, which the device maps until
 * detach.  show makes the screen show this picture, in its size.  update makes
 * the device copy the pixels from the guest's memory, and show them.
 */
int guest_vgpu_create(GuestVgpu *gpu, uint32_t id, uint32_t width,
                      uint32_t height);
int guest_vgpu_attach(GuestVgpu *gpu, uint32_t id, const GuestSg *sg,
                      unsigned n);
int guest_vgpu_detach(GuestVgpu *gpu, uint32_t id);
int guest_vgpu_show(GuestVgpu *gpu, uint32_t id, uint32_t width,
                    uint32_t height);
int guest_vgpu_update(GuestVgpu *gpu, uint32_t id, uint32_t width,
                      uint32_t height);

/*
 * Sends any command: the LEN bytes (up to 8192) of CMD, then the bytes in the N
 * pieces (up to 64) of MORE.  *ANSWER is the type of the device's answer; types
 * from 0x1100 on mean success.
 */
int guest_vgpu_command(GuestVgpu *gpu, const void *cmd, uint32_t len,
                       const GuestSg *more, unsigned n, uint32_t *answer);

#endif
