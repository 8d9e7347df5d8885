/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's driver for any modern virtio device; see drivers/virtio.h. */

#include <errno.h>

#include "pc-int.h"
#include "virtio.h"

int guest_vdev_init(GuestPc *pc, GuestVdev *vdev, uint16_t device_id,
                    unsigned index, uint64_t mmio, uint64_t mem,
                    unsigned queues, uint32_t features)
{
    int rc;

    if (!queues || queues > GUEST_VDEV_QUEUES) {
        return guest_pc_fail(pc, EINVAL, "%u virtio queues: 1 to %u can be "
                             "driven", queues, GUEST_VDEV_QUEUES);
    }
    rc = guest_virtio_init_modern(pc, &vdev->dev, device_id, index, mmio,
                                  features);
    for (unsigned i = 0; !rc && i < queues; i++) {
        rc = guest_virtq_init(&vdev->dev, &vdev->queue[i], i,
                              mem + i * GUEST_VDEV_BYTES, false);
    }
    return rc ? rc : guest_virtio_start(&vdev->dev);
}
