/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small virtio devices: see act-vdev.h. */
#include "qemu/osdep.h"
#include "act-vdev.h"

int act_vdev_setup(OracleSide *side, const OracleDevice *device,
                   const ActVdevKind *kind)
{
    const OraclePlace *place = oracle_place(side, device);
    ActVdev *v = oracle_state(side, device);

    return guest_vdev_init(oracle_pc(side), &v->vdev, kind->device_id, 0,
                           place->mmio, place->mem, kind->queues,
                           kind->features);
}

ActVdev *act_vdev_ready(OracleSide *side, const OracleDevice *device,
                        const ActVdevKind *kind)
{
    ActVdev *v = oracle_state(side, device);
    unsigned now = act_disturbances(side);

    if ((v->lost && !v->failed) || v->seen != now) {
        int rc = act_vdev_setup(side, device, kind);

        oracle_saw(side, "virtio device: set up again", rc);
        v->lost = v->failed = rc;
        v->seen = now;
    }
    return v->lost ? NULL : v;
}

uint64_t act_vdev_own(OracleSide *side, const OracleDevice *device)
{
    return oracle_place(side, device)->mem + ACT_VDEV_OWN;
}

bool act_vdev_request(OracleSide *side, const OracleDevice *device,
                      unsigned index, const GuestSg *sg, unsigned out,
                      unsigned in)
{
    ActVdev *v = oracle_state(side, device);
    GuestVirtq *q = &v->vdev.queue[index];
    /* The upper half of the driver's own memory. */
    uint64_t table = act_vdev_own(side, device) + 0x8000;
    uint32_t used = 0;
    uint16_t head;
    int rc;

    rc = out + in > q->size / 2 ?
         guest_virtq_add_indirect(q, table, sg, out, in, &head) :
         guest_virtq_add(q, sg, out, in, &head);
    rc = rc ?: guest_virtq_kick(q, true);
    rc = rc ?: guest_virtq_wait(q, &head, &used);
    oracle_saw(side, "virtio device: request", rc);
    oracle_saw(side, "virtio device: used", used);
    v->lost = rc || guest_virtq_settle(q);
    return !rc;
}
