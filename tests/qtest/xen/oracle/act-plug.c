/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI devices with memory of their own that come and go by QMP while the guest
 * runs: placed, written, reached by DMA, and taken away again.
 */
#include "qemu/osdep.h"
#include "act-pci.h"

#define SLOT        31u         /* beyond those that devices have */
#define DEVFN       (SLOT << 3)
#define GONE_MS     5000
#define DISPLAY_NAME "0000:00:1f.0/vga.vram"
#define EJECT_PORT  0xae08      /* a bit for each slot: it may go */
#define MAX_BYTES   0x400000u   /* of a BAR that is placed */
#define ROOM_PAGES  0x3000u     /* what the toolstack allows for each */

typedef struct ActPlug {
    bool plugged;
} ActPlug;

/*
 * What can be plugged; ROMs are device memory too.  bochs-display is not here:
 * on any machine QEMU never frees it after an unplug, because its registers
 * stay in their container, and so each keeps a reference of the device.
 */
static const struct {
    const char *name, *args;
} drivers[] = {
    { "e1000", "\"romfile\":\"vgabios-stdvga.bin\"" },
    { "secondary-vga", "\"vgamem_mb\":4" },
    { "secondary-vga", "\"vgamem_mb\":16" },
    { "e1000e", "\"romfile\":\"vgabios-stdvga.bin\"" },
    { "virtio-rng-pci", "\"rombar\":1" },
    { "virtio-net-pci", "\"romfile\":\"vgabios-cirrus.bin\"" },
    { "virtio-gpu-pci", "\"max_outputs\":1" },
    { "virtio-balloon-pci", "\"rombar\":1" },
    { "ich9-ahci", "\"rombar\":1" },
    { "lsi53c895a", "\"rombar\":1" },
    { "pvscsi", "\"rombar\":1" },
};

static char *draw_driver(OracleBytes *bytes)
{
    unsigned i = oracle_range(bytes, 0, ARRAY_SIZE(drivers) - 1);

    return g_strdup_printf("{\"driver\":\"%s\",\"id\":\"plug\",%s,"
                           "\"addr\":\"%x\"}", drivers[i].name,
                           drivers[i].args, SLOT);
}

/* A toolstack that plugs a device allows the domain its memory first. */
static void allow_pages(OracleSide *side, uint64_t pages)
{
    XensimDomain *dom = oracle_domain(side);
    XensimMemInfo info;

    if (dom) {
        /* A device for whose memory a call fails is refused, and should be. */
        xensim_fault_disarm_all(xensim_domain_sim(dom));
        xensim_mem_info(dom, &info);
        xensim_set_max_pages(dom, MAX(info.max_pages,
                                      info.tot_pages + pages));
    }
}

#define ROOM_BYTES  0x8000000u

/* The function's registers are off if one of its BARs is right above RAM. */
static void clear_room(OracleSide *side, unsigned devfn)
{
    GuestPc *pc = oracle_pc(side);
    uint32_t command;
    unsigned bar;
    uint64_t at;

    if (guest_pci_in(pc, devfn, 4, 2, &command) || command == UINT16_MAX ||
        !(command & GUEST_PCI_MEMORY)) {
        return;                 /* it is not there, or its BARs are off */
    }
    for (bar = 0; bar < 6; bar++) {
        if (!guest_pci_bar_addr(pc, devfn, bar, &at) &&
            at - oracle_ram_bytes(side) < ROOM_BYTES) {
            guest_pci_command(pc, devfn, 0, GUEST_PCI_MEMORY);
            act_disturb(side);
        }
    }
}

/*
 * A device's memory comes to lie right above RAM.  If the guest has put a BAR
 * there, QEMU on Xen refuses the device, and it should.
 */
static void clear_all_room(OracleSide *side)
{
    unsigned i;

    for (i = 0; oracle_devices[i]; i++) {
        const OraclePlace *place = oracle_place(side, oracle_devices[i]);

        if (place && oracle_devices[i]->args) {
            clear_room(side, place->devfn);
            clear_room(side, place->devfn + 1);
        }
    }
}

static void unplug(OracleSide *side)
{
    oracle_side_plugged(side, NULL);
    guest_pci_forget(oracle_pc(side), DEVFN);
    oracle_qmp(side, "device_del", "{\"id\":\"plug\"}");
    oracle_saw(side, "eject", guest_out(oracle_pc(side), EJECT_PORT, 4,
                                        1u << SLOT));
}

/*
 * QEMU frees the memory of what was unplugged a little later.  It ends itself,
 * with plain RAM as well, if a display comes while the memory of the last one
 * still has the same name.  (A ROM loses its name at once.)
 */
static void await_name(OracleSide *side)
{
    unsigned ms;

    for (ms = 0; ms < GONE_MS; ms++) {
        g_autofree char *told = oracle_monitor(side, "info ramblock");

        if (!told || !strstr(told, DISPLAY_NAME)) {
            return;
        }
        g_usleep(1000);
    }
}

/* Its BARs go to where nothing else is, and are written and read there. */
static void use(OracleSide *side, OracleBytes *bytes)
{
    GuestPc *pc = oracle_pc(side);
    uint64_t at = ORACLE_NOWHERE, size, val;
    unsigned bar, i;

    guest_pci_command(pc, DEVFN, GUEST_PCI_MASTER, 0);
    for (bar = 0; bar < 6; bar++) {
        uint32_t raw;

        if (guest_pci_in(pc, DEVFN, 0x10 + 4 * bar, 4, &raw) || raw & 1 ||
            guest_pci_bar_size(pc, DEVFN, bar, &size) || !size ||
            size > MAX_BYTES) {
            continue;
        }
        at = ROUND_UP(at, size);
        oracle_saw_at(side, "plugged: BAR", at,
                      guest_pci_place_bar(pc, DEVFN, bar, at));
        for (i = 0; i < 4; i++) {
            uint64_t reg = at + ROUND_DOWN(oracle_range(bytes, 0, size - 1),
                                           4);

            guest_mmio_out(pc, reg, 4, oracle_bits(bytes, 32));
            if (!guest_mmio_in(pc, reg, 4, &val)) {
                oracle_saw_at(side, "plugged: register", reg,
                              act_register(val, 4));
            }
        }
        at += size;
    }
}

static void plug(OracleSide *side, const OracleDevice *device,
                 OracleBytes *bytes)
{
    ActPlug *p = oracle_state(side, device);
    g_autofree char *args = draw_driver(bytes);
    bool used = oracle_bits(bytes, 1);

    if (p->plugged) {
        unplug(side);
    }
    await_name(side);
    clear_all_room(side);
    allow_pages(side, ROOM_PAGES);
    p->plugged = oracle_qmp(side, "device_add", args);
    if (p->plugged) {
        oracle_side_plugged(side, args);
        guest_pci_forget(oracle_pc(side), DEVFN);
    }
    if (p->plugged && used) {
        use(side, bytes);
    }
}

static void take_away(OracleSide *side, const OracleDevice *device,
                      OracleBytes *bytes)
{
    ActPlug *p = oracle_state(side, device);

    if (p->plugged) {
        unplug(side);
        p->plugged = false;
    }
}

/*
 * The domain has hardly a page left.  It may be that the device cannot be
 * plugged; then that is an error, and all else goes on.
 */
static void at_the_limit(OracleSide *side, const OracleDevice *device,
                         OracleBytes *bytes)
{
    XensimDomain *dom = oracle_domain(side);
    ActPlug *p = oracle_state(side, device);
    g_autofree char *args = draw_driver(bytes);
    uint64_t room = oracle_draw_count(bytes, 4096) - 1;
    XensimMemInfo info;

    if (p->plugged) {
        return;
    }
    await_name(side);
    xensim_mem_info(dom, &info);
    xensim_set_max_pages(dom, info.tot_pages + room);
    oracle_qmp(side, "device_add", args);
    xensim_set_max_pages(dom, info.max_pages);
    unplug(side);
}

static const OracleAction actions[] = {
    { .name = "plug", .weight = 4, .bytes = 64, .wild = true, .run = plug },
    { .name = "unplug", .weight = 3, .run = take_away },
    { .name = "at-the-limit", .weight = 1, .bytes = 4, .xen_only = true,
      .run = at_the_limit },
};

const OracleDevice oracle_plug = {
    .name = "plug",
    .state_bytes = sizeof(ActPlug),
    .actions = actions,
    .n_actions = ARRAY_SIZE(actions),
};
