/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the virtio disks have in common: their actions, which read and write
 * data by lists of pieces anywhere in the guest.  act-vblk.c and act-vscsi.c
 * say how a request is made.
 */
#ifndef XEN_ORACLE_ACT_VDISK_H
#define XEN_ORACLE_ACT_VDISK_H

#include "actions.h"
#include "drivers/virtio.h"

#define ACT_VDISK_BYTES     (8u << 20)
#define ACT_VDISK_SECTORS   (ACT_VDISK_BYTES / GUEST_SECTOR_SIZE)
#define ACT_VDISK_REQUESTS  128u            /* that can be under way */
#define ACT_VDISK_TABLE     0x4000u         /* for GUEST_VIRTQ_MAX pieces */
#define ACT_VDISK_TABLES    (ACT_VDISK_REQUESTS * ACT_VDISK_TABLE)

typedef struct ActVdisk ActVdisk;

/* As the functions of drivers/virtio.h. */
typedef struct ActVdiskOps {
    int (*init)(ActVdisk *disk, OracleSide *side, const OraclePlace *place);
    int (*start)(ActVdisk *disk, bool write, uint64_t lba, const GuestSg *sg,
                 unsigned n, uint64_t table, uint16_t *tag);
    int (*status)(ActVdisk *disk, uint16_t tag, uint32_t *status);
    /*
     * False for a disk that maps data twice (virtio-scsi): if the data are
     * outside RAM, it waits for its own bounce buffer for ever.
     */
    bool can_bounce;
    /*
     * The longest piece that may stand in place of a header; 0: any.
     * virtio-scsi takes the first mapping for the header, whatever its length,
     * because old BIOSes pad it.  On Xen a long mapping ends at an absent page,
     * so the two sides would see headers of different lengths.
     */
    uint32_t header_max;
} ActVdiskOps;

struct ActVdisk {
    const ActVdiskOps *ops;
    GuestVirtq *queue;
    uint64_t headers;           /* of the requests, in the driver's memory */
    uint64_t tables;            /* ACT_VDISK_TABLES bytes for lists */
    uint32_t own;               /* bytes of the driver's memory before them */
    bool lost;                  /* to be set up before it is used again */
    bool failed;                /* the last set-up failed */
    unsigned seen;              /* act_disturbances() at the last set-up */
    union {
        GuestVblk blk;
        GuestVscsi scsi;
    };
};

/* For OracleDevice.setup, after which lists lie at @mem + @own. */
int act_vdisk_setup(OracleSide *side, const OracleDevice *device,
                    const ActVdiskOps *ops, uint32_t own);

/* The disk of @device, ready for requests; NULL if it cannot be made ready. */
ActVdisk *act_vdisk_ready(OracleSide *side, const OracleDevice *device);

/*
 * Waits until the @n requests named by @tags have ended and tells what became
 * of them, in the order of @tags.
 */
void act_vdisk_finish(OracleSide *side, ActVdisk *disk, const uint16_t *tags,
                      unsigned n);

#define ACT_VDISK_N_ACTIONS 9u
extern const OracleAction act_vdisk_actions[ACT_VDISK_N_ACTIONS];

#endif
