/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio-rng, with a source that is not random. */
#include "qemu/osdep.h"
#include "act-list.h"
#include "act-vdev.h"

#define MAX_PIECES 512u

static const ActVdevKind kind = {
    .device_id = GUEST_VIRTIO_RNG,
    .queues = 1,
    .features = GUEST_VIRTIO_F_INDIRECT,
};

static int setup(OracleSide *side, const OracleDevice *device)
{
    return act_vdev_setup(side, device, &kind);
}

/* Zeros come into a list of pieces anywhere, as short as a byte. */
static void fill(OracleSide *side, const OracleDevice *device,
                 OracleBytes *bytes)
{
    g_autofree GuestSg *sg = g_new(GuestSg, MAX_PIECES);
    uint64_t total = oracle_draw_count(bytes, 0x40000);
    unsigned n = act_draw_list(side, bytes, sg, MAX_PIECES, 1, total, true);

    if (act_vdev_ready(side, device, &kind)) {
        act_vdev_request(side, device, 0, sg, 0, n);
    }
}

static const OracleAction actions[] = {
    { .name = "fill", .weight = 6, .bytes = 96, .run = fill },
};

const OracleDevice oracle_rng = {
    .name = "virtio-rng",
    .args = "-object rng-random,id=zeros,filename=/dev/zero "
            "-device virtio-rng-pci,rng=zeros,addr=@SLOT@",
    .mem_bytes = ACT_VDEV_BYTES,
    .mmio_bytes = 0x4000,
    .state_bytes = sizeof(ActVdev),
    .setup = setup,
    .actions = actions,
    .n_actions = ARRAY_SIZE(actions),
};
