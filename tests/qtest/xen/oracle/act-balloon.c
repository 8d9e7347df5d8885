/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio-balloon: pages that the guest gives away and takes back. */
#include "qemu/osdep.h"
#include "act-vdev.h"

#define MAX_PAGES 256u

enum { INFLATE, DEFLATE };

static const ActVdevKind kind = {
    .device_id = GUEST_VIRTIO_BALLOON,
    .queues = 2,
    .features = GUEST_VIRTIO_F_INDIRECT,
};

static int setup(OracleSide *side, const OracleDevice *device)
{
    return act_vdev_setup(side, device, &kind);
}

#define SHOWN_BYTES 0x2000000u  /* the largest BAR of a display */

/* Is it where a display's BAR or something that was plugged can be? */
static bool is_device(OracleSide *side, uint64_t gpa)
{
    bool found = gpa >= ORACLE_NOWHERE && gpa < ORACLE_MMIO_END;
    unsigned i;

    for (i = 0; oracle_devices[i] && !found; i++) {
        const OraclePlace *place = oracle_place(side, oracle_devices[i]);
        uint64_t at;

        found = oracle_devices[i]->screen && place &&
                !guest_pci_bar_addr(oracle_pc(side), place->devfn, 0, &at) &&
                gpa - at < SHOWN_BYTES;
    }
    return found;
}

/*
 * A page to give away.  A page of device memory is none: the plain machine
 * discards it, and QEMU on Xen does not.  What it holds is not said.
 */
static uint32_t draw_page(OracleSide *side, OracleBytes *bytes)
{
    uint64_t gpa = MAX(oracle_draw_gpa(side, bytes), ORACLE_DATA);

    return (is_device(side, gpa) ? ORACLE_DATA : gpa) / ORACLE_PAGE;
}

/* What the guest finds in a page that it took back is not said. */
static void fill_again(OracleSide *side, const uint32_t *pfn, unsigned n,
                       uint32_t seed)
{
    uint8_t page[ORACLE_PAGE];
    unsigned i;

    oracle_pattern(page, sizeof(page), seed);
    for (i = 0; i < n; i++) {
        if ((uint64_t)pfn[i] * ORACLE_PAGE < oracle_ram_bytes(side)) {
            guest_mem_write(oracle_pc(side), (uint64_t)pfn[i] * ORACLE_PAGE,
                            page, sizeof(page));
        }
    }
}

static void inflate(OracleSide *side, const OracleDevice *device,
                    OracleBytes *bytes)
{
    const uint64_t own = act_vdev_own(side, device);
    unsigned n = oracle_draw_count(bytes, MAX_PAGES), i;
    bool in_a_row = oracle_bits(bytes, 1), gives_back = oracle_bits(bytes, 1);
    uint64_t gpa = oracle_draw_ram(side, bytes, n * ORACLE_PAGE, ORACLE_PAGE);
    uint32_t pfn[MAX_PAGES];
    const GuestSg sg = { own, n * sizeof(pfn[0]) };

    for (i = 0; i < n; i++) {
        pfn[i] = gpa / ORACLE_PAGE + i;
        if (!in_a_row && i < 32) {
            pfn[i] = draw_page(side, bytes);
        }
    }
    if (!act_vdev_ready(side, device, &kind) ||
        guest_mem_write(oracle_pc(side), own, pfn, sg.len)) {
        return;
    }
    act_vdev_request(side, device, INFLATE, &sg, 1, 0);
    if (gives_back && act_vdev_ready(side, device, &kind)) {
        act_vdev_request(side, device, DEFLATE, &sg, 1, 0);
    }
    fill_again(side, pfn, n, n);
}

/* Lists of page numbers that lie anywhere. */
static void anywhere(OracleSide *side, const OracleDevice *device,
                     OracleBytes *bytes)
{
    /* Where nothing is, zeros are read: page 0 is what is given away. */
    const uint32_t first = 0;
    const GuestSg sg = {
        ORACLE_NOWHERE + oracle_bits(bytes, 23),
        4 * oracle_draw_count(bytes, MAX_PAGES)
    };

    if (act_vdev_ready(side, device, &kind)) {
        act_vdev_request(side, device, oracle_bits(bytes, 1), &sg, 1, 0);
        fill_again(side, &first, 1, 0);
    }
}

static const OracleAction actions[] = {
    { .name = "inflate", .weight = 6, .bytes = 128, .run = inflate },
    { .name = "anywhere", .weight = 1, .bytes = 6, .run = anywhere },
};

const OracleDevice oracle_balloon = {
    .name = "virtio-balloon",
    .args = "-device virtio-balloon-pci,addr=@SLOT@",
    .mem_bytes = ACT_VDEV_BYTES,
    .mmio_bytes = 0x4000,
    .state_bytes = sizeof(ActVdev),
    .setup = setup,
    .actions = actions,
    .n_actions = ARRAY_SIZE(actions),
};
