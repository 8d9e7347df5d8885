/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the actions of small virtio devices share: one request at a time. */
#ifndef XEN_ORACLE_ACT_VDEV_H
#define XEN_ORACLE_ACT_VDEV_H

#include "act-pci.h"
#include "drivers/virtio.h"

typedef struct ActVdev {
    GuestVdev vdev;
    bool lost;                  /* to be set up before it is used again */
    bool failed;                /* that did not work, and nothing changed */
    unsigned seen;              /* act_disturbances() then */
} ActVdev;

/* Which device it is. */
typedef struct ActVdevKind {
    uint16_t device_id;
    unsigned queues;
    uint32_t features;
} ActVdevKind;

/* OracleDevice.mem_bytes: the queues, and a page and more for requests. */
#define ACT_VDEV_OWN        (GUEST_VDEV_QUEUES * GUEST_VDEV_BYTES)
#define ACT_VDEV_BYTES      (ACT_VDEV_OWN + 0x10000u)

int act_vdev_setup(OracleSide *side, const OracleDevice *device,
                   const ActVdevKind *kind);

/* The device, ready for requests; NULL if it cannot be made ready. */
ActVdev *act_vdev_ready(OracleSide *side, const OracleDevice *device,
                        const ActVdevKind *kind);

/*
 * A request from its start to its end in queue @index, from a table in the
 * driver's memory if its pieces are more than the queue has, and what became
 * of it is told.  True if the device has done it.
 */
bool act_vdev_request(OracleSide *side, const OracleDevice *device,
                      unsigned index, const GuestSg *sg, unsigned out,
                      unsigned in);

/* The driver's own memory for what requests say. */
uint64_t act_vdev_own(OracleSide *side, const OracleDevice *device);

#endif
