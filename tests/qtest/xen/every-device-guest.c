/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest of every-device.h: firmware that places what it finds, memory
 * that is stamped, and drivers.
 */
#include "qemu/osdep.h"
#include "drivers/ahci.h"
#include "drivers/nvme.h"
#include "drivers/virtio.h"
#include "every-device.h"

enum {
    FIRST_DEVFN = 2 << 3,           /* behind the machine's own */
    MMIO = 0xe0000000u, MMIO_END = 0xfb000000u,
    PORTS = 0xc200, PORTS_END = 0xf000,
    CLASS_DISPLAY = 3,
    BAR_IO = 1, BAR_64 = 4, BAR_PREFETCHABLE = 8,
    VIDEO_BYTES = 1 << 20,          /* as large is video memory */
    RAM_GFN = 0x800, RAM_PAGES = 0x200, RAM_SEED = 17, VIDEO_SEED = 18,
    DRIVERS = 0x200000,             /* memory of theirs, 1 MiB for each */
    DATA = 0x1000000,               /* where disks' pages come */
    DATA_PAGES = 4,
};

enum { IDE, VBLK, VSCSI, NVME, AHCI, DISKS };

/* The drivers of disks: have they found a controller, and a disk there? */
struct XenEveryDisks {
    bool set_up[DISKS], reads[DISKS];
    GuestVblk vblk;
    GuestVscsi vscsi;
    GuestNvme nvme;
    GuestAhci ahci;
};

/* ---- firmware ---- */

static uint64_t take(uint64_t *next, uint64_t bytes, uint64_t end)
{
    uint64_t at = ROUND_UP(*next, bytes);

    if (at + bytes > end) {
        return 0;
    }
    *next = at + bytes;
    return at;
}

/* Is BAR @bar, whose register has @low, video memory at @at? */
static int note_memory(GuestPc *pc, XenEveryGuest *g, unsigned devfn,
                       uint32_t low, uint64_t at, uint64_t bytes)
{
    uint32_t class;
    int rc = guest_pci_in(pc, devfn, 0xb, 1, &class);

    if (!rc && class == CLASS_DISPLAY && !(low & BAR_IO) &&
        low & BAR_PREFETCHABLE && bytes >= VIDEO_BYTES &&
        g->memories < XEN_EVERY_MEMORIES) {
        g->memory[g->memories].gpa = at;
        g->memory[g->memories++].bytes = bytes;
    }
    return rc;
}

/* Places BAR *@bar, and goes to the next one. */
static int place_bar(GuestPc *pc, XenEveryGuest *g, unsigned devfn,
                     unsigned *bar)
{
    unsigned this = *bar;
    uint64_t bytes = 0, at;
    uint32_t low;
    int rc = guest_pci_in(pc, devfn, 0x10 + this * 4, 4, &low);

    rc = rc ?: guest_pci_bar_size(pc, devfn, this, &bytes);
    if (rc) {
        return rc;
    }
    *bar += !(low & BAR_IO) && low & BAR_64 ? 2 : 1;
    at = !bytes ? 0 :
         low & BAR_IO ? take(&g->next_io, bytes, PORTS_END) :
         take(&g->next_mmio, MAX(bytes, XEN_TEST_PAGE), MMIO_END);
    if (!at) {
        return 0;
    }
    rc = guest_pci_place_bar(pc, devfn, this, at);
    return rc ?: note_memory(pc, g, devfn, low, at, bytes);
}

static int read_config(GuestPc *pc, unsigned devfn, uint8_t config[256])
{
    int rc = 0;

    for (unsigned reg = 0; !rc && reg < 256; reg += 4) {
        uint32_t val;

        rc = guest_pci_in(pc, devfn, reg, 4, &val);
        memcpy(config + reg, &val, 4);
    }
    return rc;
}

static int place_function(GuestPc *pc, XenEveryGuest *g, unsigned devfn)
{
    uint32_t id, header;
    int rc = guest_pci_in(pc, devfn, 0, 2, &id);

    if (rc || id == 0xffff || g->functions == XEN_EVERY_FUNCTIONS) {
        return rc;
    }
    g->function[g->functions++].devfn = devfn;
    rc = guest_pci_in(pc, devfn, 0xe, 1, &header);
    if (devfn < FIRST_DEVFN || header & 0x7f) {
        return rc;          /* the machine's, or a bridge */
    }
    for (unsigned bar = 0; !rc && bar < 6;) {
        rc = place_bar(pc, g, devfn, &bar);
    }
    return rc;
}

int xen_every_place(GuestPc *pc, XenEveryGuest *g)
{
    int rc = 0;

    g->next_mmio = MMIO;
    g->next_io = PORTS;
    for (unsigned devfn = 0; !rc && devfn < 256; devfn++) {
        rc = place_function(pc, g, devfn);
    }
    return rc;
}

int xen_every_note(GuestPc *pc, XenEveryGuest *g)
{
    int rc = 0;

    for (unsigned i = 0; !rc && i < g->functions; i++) {
        rc = read_config(pc, g->function[i].devfn, g->function[i].config);
    }
    return rc;
}

const char *xen_every_same(GuestPc *pc, XenEveryGuest *g)
{
    for (unsigned i = 0; i < g->functions; i++) {
        uint8_t config[256];

        XEN_REQUIRE(!read_config(pc, g->function[i].devfn, config), "%s",
                    guest_pc_error(pc));
        XEN_REQUIRE(xen_test_same(config, g->function[i].config, 256, 0),
                    "has other PCI configuration at %02x.%u",
                    g->function[i].devfn >> 3, g->function[i].devfn & 7);
    }
    return NULL;
}

/* ---- memory ---- */

/* Pages of a video memory to look at; some devices begin or end in rings. */
static uint64_t video_gfn(const XenEveryGuest *g, unsigned i, unsigned part)
{
    uint64_t pages = g->memory[i].bytes / XEN_TEST_PAGE;

    return g->memory[i].gpa / XEN_TEST_PAGE + pages * (part + 1) / 8;
}

void xen_every_stamp(XenTest *t, XenEveryGuest *g)
{
    xensim_stamp(t->dom, RAM_GFN, RAM_PAGES, RAM_SEED);
    for (unsigned i = 0; i < g->memories; i++) {
        for (unsigned part = 0; part < 4; part++) {
            if (xensim_stamp(t->dom, video_gfn(g, i, part), 1, VIDEO_SEED)) {
                g->memory[i].bytes = 0;     /* no frames are behind it */
                break;
            }
        }
    }
}

const char *xen_every_check(XenTest *t, XenEveryGuest *g)
{
    XEN_REQUIRE(xensim_stamp_check(t->dom, RAM_GFN, RAM_PAGES, RAM_SEED) ==
                XENSIM_NO_GFN, "lost RAM");
    for (unsigned i = 0; i < g->memories; i++) {
        for (unsigned part = 0; g->memory[i].bytes && part < 4; part++) {
            XEN_REQUIRE(xensim_stamp_check(t->dom, video_gfn(g, i, part), 1,
                                           VIDEO_SEED) == XENSIM_NO_GFN,
                        "lost video memory");
        }
    }
    return NULL;
}

/* ---- drivers ---- */

typedef struct XenEveryDisks Disks;

static int find_ide(XenTest *t, XenEveryGuest *g, Disks *d, uint64_t mem)
{
    return guest_ide_init(t->pc, &t->ide, 0, 0, XEN_TEST_PRD);
}

static int find_vblk(XenTest *t, XenEveryGuest *g, Disks *d, uint64_t mem)
{
    return guest_vblk_init(t->pc, &d->vblk, 0,
                           take(&g->next_io, 128, PORTS_END), mem);
}

static int find_vscsi(XenTest *t, XenEveryGuest *g, Disks *d, uint64_t mem)
{
    return guest_vscsi_init(t->pc, &d->vscsi, 0,
                            take(&g->next_io, 128, PORTS_END), mem);
}

static int find_nvme(XenTest *t, XenEveryGuest *g, Disks *d, uint64_t mem)
{
    return guest_nvme_init(t->pc, &d->nvme, 0,
                           take(&g->next_mmio, 0x10000, MMIO_END), mem);
}

static int find_ahci(XenTest *t, XenEveryGuest *g, Disks *d, uint64_t mem)
{
    return guest_ahci_init(t->pc, &d->ahci, 0,
                           take(&g->next_mmio, 0x10000, MMIO_END), mem);
}

static int read_ide(XenTest *t, Disks *d, unsigned page, const GuestSg *sg)
{
    return guest_ide_dma(&t->ide, false, page * 8, DATA_PAGES * 8, sg, 1);
}

static int read_vblk(XenTest *t, Disks *d, unsigned page, const GuestSg *sg)
{
    return guest_vblk_rw(&d->vblk, false, page * 8, sg, 1);
}

static int read_vscsi(XenTest *t, Disks *d, unsigned page, const GuestSg *sg)
{
    /* The first request ends with "power on". */
    guest_vscsi_rw(&d->vscsi, 0, false, 0, sg, 1);
    return guest_vscsi_rw(&d->vscsi, 0, false, page * 8, sg, 1);
}

static int read_nvme(XenTest *t, Disks *d, unsigned page, const GuestSg *sg)
{
    uint16_t tag;
    int rc = guest_nvme_start(&d->nvme, false, page * 8, sg->gpa, sg->len,
                              &tag);

    rc = rc ?: guest_nvme_kick(&d->nvme);
    return rc ?: guest_nvme_wait(&d->nvme, NULL);
}

static int read_ahci(XenTest *t, Disks *d, unsigned page, const GuestSg *sg)
{
    return guest_ahci_dma(&d->ahci, false, page * 8, DATA_PAGES * 8, sg, 1);
}

static const struct {
    const char *name;
    uint64_t seed;
    int (*find)(XenTest *t, XenEveryGuest *g, Disks *d, uint64_t mem);
    int (*read)(XenTest *t, Disks *d, unsigned page, const GuestSg *sg);
} drivers[DISKS] = {
    [IDE] = { "IDE", XEN_EVERY_IDE_SEED, find_ide, read_ide },
    [VBLK] = { "virtio-blk", XEN_EVERY_DISK_SEED, find_vblk, read_vblk },
    [VSCSI] = { "virtio-scsi", XEN_EVERY_DISK_SEED, find_vscsi, read_vscsi },
    [NVME] = { "nvme", XEN_EVERY_DISK_SEED, find_nvme, read_nvme },
    [AHCI] = { "ahci", XEN_EVERY_DISK_SEED, find_ahci, read_ahci },
};

/* A driver that finds no disk of its kind, or none that reads, is left out. */
static void find_disks(XenTest *t, XenEveryGuest *g)
{
    const GuestSg sg = { DATA, DATA_PAGES * XEN_TEST_PAGE };
    Disks *d = g_new0(Disks, 1);

    g->disks = d;
    for (unsigned i = 0; i < DISKS; i++) {
        d->set_up[i] = !drivers[i].find(t, g, d, DRIVERS + (i << 20));
        d->reads[i] = d->set_up[i] && !drivers[i].read(t, d, 0, &sg);
    }
}

static const char *read_disk(XenTest *t, Disks *d, unsigned i, unsigned page)
{
    const GuestSg sg = { DATA, DATA_PAGES * XEN_TEST_PAGE };
    int err;

    xensim_fill(t->dom, DATA, 0xee, DATA_PAGES * XEN_TEST_PAGE);
    err = drivers[i].read(t, d, page, &sg);
    XEN_REQUIRE(!err, "does not read the disk of %s: %s", drivers[i].name,
                guest_pc_error(t->pc));
    XEN_TRY(xen_test_disk_at(t, DATA, page, DATA_PAGES, drivers[i].seed,
                             "read other bytes"));
    return NULL;
}

const char *xen_every_use(XenTest *t, XenEveryGuest *g)
{
    unsigned page = g->reads++ * DATA_PAGES % XEN_EVERY_DISK_PAGES;
    unsigned edges;

    if (!g->disks) {
        find_disks(t, g);
    }
    edges = xensim_isa_irq_edges(t->dom, 14);
    for (unsigned i = 0; i < DISKS; i++) {
        if (g->disks->reads[i]) {
            XEN_TRY(read_disk(t, g->disks, i, page));
        }
    }
    XEN_REQUIRE(!g->disks->reads[IDE] ||
                xensim_isa_irq_edges(t->dom, 14) > edges,
                "makes no interrupt");
    return NULL;
}

void xen_every_moved(XenTest *t, XenEveryGuest *g)
{
    g->disks->vblk.dev.pc = t->pc;
    g->disks->vscsi.dev.pc = t->pc;
    g->disks->nvme.pc = t->pc;
    g->disks->ahci.pc = t->pc;
}

void xen_every_let_go(XenTest *t, XenEveryGuest *g)
{
    for (unsigned i = 0; i < g->functions; i++) {
        xen_test_ok(t, guest_pci_command(t->pc, g->function[i].devfn, 0,
                                         GUEST_PCI_MASTER));
    }
    if (g->disks->set_up[VBLK]) {
        xen_test_ok(t, guest_virtio_reset(&g->disks->vblk.dev));
    }
    if (g->disks->set_up[VSCSI]) {
        xen_test_ok(t, guest_virtio_reset(&g->disks->vscsi.dev));
    }
    if (g->disks->set_up[AHCI]) {
        xen_test_ok(t, guest_ahci_stop(&g->disks->ahci));
    }
}

void xen_every_free(XenEveryGuest *g)
{
    if (g) {
        g_free(g->disks);
        g_free(g);
    }
}
