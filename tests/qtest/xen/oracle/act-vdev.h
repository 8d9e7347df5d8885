/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the actions of small virtio devices share: one request at a time. */
#ifndef XEN_ORACLE_ACT_VDEV_H
#define XEN_ORACLE_ACT_VDEV_H

#include "act-pci.h"
#include "drivers/virtio.h"

typedef struct ActVdev {
    GuestVdev vdev;
    bool lost;                  /* to be set up before it is used again */
    bool failed;                /* the last set-up failed */
    unsigned seen;              /* act_disturbances() at the last set-up */
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
 * Makes a request in queue @index, waits for its end, and tells the result.  If
 * the pieces would fill more than half of the queue, they are in a table in the
 * driver's memory.  True if the device has done the request.
 */
bool act_vdev_request(OracleSide *side, const OracleDevice *device,
                      unsigned index, const GuestSg *sg, unsigned out,
                      unsigned in);

/* The driver's own memory for the contents of requests. */
uint64_t act_vdev_own(OracleSide *side, const OracleDevice *device);

#endif
