/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's driver for virtio PCI devices; see drivers/virtio.h. */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "pc-int.h"
#include "virtio-int.h"

#define VIRTIO_VENDOR 0x1af4

/* Offsets from the ports in BAR 0. */
enum {
    REG_HOST_FEATURES = 0,
    REG_GUEST_FEATURES = 4,
    REG_QUEUE_PAGE = 8,
    REG_QUEUE_SIZE = 12,
    REG_QUEUE_SELECT = 14,
    REG_QUEUE_NOTIFY = 16,
    REG_STATUS = 18,
    REG_CONFIG = 20,            /* as long as MSI-X is off */
};

/* Offsets in a modern device's common structure, */
enum {
    COMMON_HOST_SELECT = 0,
    COMMON_HOST_FEATURES = 4,
    COMMON_GUEST_SELECT = 8,
    COMMON_GUEST_FEATURES = 12,
    COMMON_STATUS = 20,
    COMMON_QUEUE_SELECT = 22,
    COMMON_QUEUE_SIZE = 24,
    COMMON_QUEUE_ENABLE = 28,
    COMMON_QUEUE_NOTIFY = 30,
    COMMON_QUEUE_DESC = 32,
    COMMON_QUEUE_AVAIL = 40,
    COMMON_QUEUE_USED = 48,
};

/* ... and in the capabilities that say where the structures are. */
enum {
    CAP_VENDOR = 9,
    CAP_TYPE = 3,
    CAP_BAR = 4,
    CAP_OFFSET = 8,
    CAP_NOTIFY_STEP = 16,
    TYPE_COMMON = 1,
    TYPE_NOTIFY = 2,
    TYPE_CONFIG = 4,
};

enum {
    STATUS_SEEN = 1,
    STATUS_DRIVER = 2,
    STATUS_READY = 4,
    STATUS_FEATURES = 8,
    STATUS_NEEDS_RESET = 64,
};

#define FEATURES_HIGH_MODERN 1u     /* bit 32: by modern rules */

static int common_out(GuestVirtio *dev, unsigned reg, unsigned size,
                      uint64_t val)
{
    return guest_mmio_out(dev->pc, dev->common + reg, size, val);
}

static int set_status(GuestVirtio *dev, uint8_t status)
{
    return dev->common ? common_out(dev, COMMON_STATUS, 1, status)
                       : guest_out(dev->pc, dev->io + REG_STATUS, 1, status);
}

int guest_virtio_reset(GuestVirtio *dev)
{
    return set_status(dev, 0);
}

/* A device whose registers are placed: reset, seen, and driven. */
static int greet(GuestVirtio *dev)
{
    int rc;

    if ((rc = guest_pci_command(dev->pc, dev->devfn, GUEST_PCI_MASTER, 0)) ||
        (rc = guest_virtio_reset(dev)) ||
        (rc = set_status(dev, STATUS_SEEN))) {
        return rc;
    }
    return set_status(dev, STATUS_SEEN | STATUS_DRIVER);
}

int guest_virtio_init(GuestPc *pc, GuestVirtio *dev, uint16_t device_id,
                      unsigned index, uint16_t io, uint32_t features)
{
    uint32_t offered = 0;
    int rc;

    memset(dev, 0, sizeof(*dev));
    dev->pc = pc;
    dev->io = io;
    rc = guest_pci_find(pc, VIRTIO_VENDOR, device_id, index, &dev->devfn);
    if (!rc) {
        rc = guest_pci_place_bar(pc, dev->devfn, 0, io);
    }
    if (!rc) {
        rc = greet(dev);
    }
    if (!rc) {
        rc = guest_in(pc, io + REG_HOST_FEATURES, 4, &offered);
    }
    dev->features = offered & features;
    return rc ? rc : guest_out(pc, io + REG_GUEST_FEATURES, 4, dev->features);
}

/* What the capability at AT says, which is one of the structures. */
static int read_structure(GuestVirtio *dev, unsigned at, GuestStructures *s)
{
    GuestPc *pc = dev->pc;
    uint32_t type, bar, offset;
    int rc;

    if ((rc = guest_pci_in(pc, dev->devfn, at + CAP_TYPE, 1, &type)) ||
        (rc = guest_pci_in(pc, dev->devfn, at + CAP_BAR, 1, &bar)) ||
        (rc = guest_pci_in(pc, dev->devfn, at + CAP_OFFSET, 4, &offset))) {
        return rc;
    }
    if (type == TYPE_COMMON) {
        s->has_common = true;
        s->bar = bar;
        s->common = offset;
    } else if (type == TYPE_NOTIFY) {
        s->has_notify = true;
        s->notify = offset;
        return guest_pci_in(pc, dev->devfn, at + CAP_NOTIFY_STEP, 4,
                            &s->notify_step);
    } else if (type == TYPE_CONFIG) {
        s->has_config = true;
        s->config = offset;
    }
    return 0;
}

static int read_structures(GuestVirtio *dev, GuestStructures *s)
{
    GuestMemory *memory = dev->pc->memory;
    unsigned at = 0;
    int rc;

    if (memory && memory->structures[dev->devfn].known) {
        *s = memory->structures[dev->devfn];
        return 0;
    }
    memset(s, 0, sizeof(*s));
    while (!(rc = guest_pci_next_capability(dev->pc, dev->devfn, CAP_VENDOR,
                                            &at)) && at) {
        if ((rc = read_structure(dev, at, s))) {
            break;
        }
    }
    if (rc || !s->has_common || !s->has_notify) {
        return rc ? rc : guest_pc_fail(
            dev->pc, ENOENT, "PCI device %02x.%u has no modern virtio "
            "registers", dev->devfn >> 3, dev->devfn & 7);
    }
    s->known = true;
    if (memory) {
        memory->structures[dev->devfn] = *s;
    }
    return 0;
}

/*
 * Finds the structures of a modern device, all in one BAR, and places that BAR
 * at MMIO.
 */
static int find_structures(GuestVirtio *dev, uint64_t mmio)
{
    GuestStructures s;
    int rc = read_structures(dev, &s);

    if (rc) {
        return rc;
    }
    dev->common = mmio + s.common;
    dev->notify = mmio + s.notify;
    dev->config = s.has_config ? mmio + s.config : 0;
    dev->notify_step = s.notify_step;
    return guest_pci_place_bar(dev->pc, dev->devfn, s.bar, mmio);
}

static int agree(GuestVirtio *dev, uint32_t features)
{
    uint64_t offered = 0;
    int rc;

    if ((rc = common_out(dev, COMMON_HOST_SELECT, 4, 0)) ||
        (rc = guest_mmio_in(dev->pc, dev->common + COMMON_HOST_FEATURES, 4,
                            &offered))) {
        return rc;
    }
    dev->features = offered & features;
    if ((rc = common_out(dev, COMMON_GUEST_SELECT, 4, 0)) ||
        (rc = common_out(dev, COMMON_GUEST_FEATURES, 4, dev->features)) ||
        (rc = common_out(dev, COMMON_GUEST_SELECT, 4, 1)) ||
        (rc = common_out(dev, COMMON_GUEST_FEATURES, 4,
                         FEATURES_HIGH_MODERN))) {
        return rc;
    }
    return set_status(dev, STATUS_SEEN | STATUS_DRIVER | STATUS_FEATURES);
}

int guest_virtio_init_modern(GuestPc *pc, GuestVirtio *dev,
                             uint16_t device_id, unsigned index,
                             uint64_t mmio, uint32_t features)
{
    int rc;

    memset(dev, 0, sizeof(*dev));
    dev->pc = pc;
    if ((rc = guest_pci_find(pc, VIRTIO_VENDOR, device_id, index,
                             &dev->devfn)) ||
        (rc = find_structures(dev, mmio)) || (rc = greet(dev))) {
        return rc;
    }
    return agree(dev, features);
}

int guest_virtio_start(GuestVirtio *dev)
{
    return set_status(dev, STATUS_SEEN | STATUS_DRIVER | STATUS_READY |
                           (dev->common ? STATUS_FEATURES : 0));
}

int guest_virtio_is_broken(GuestVirtio *dev)
{
    uint64_t status = 0;
    int rc = guest_mmio_in(dev->pc, dev->common + COMMON_STATUS, 1, &status);

    return rc ? rc : !!(status & STATUS_NEEDS_RESET);
}

int guest_virtio_config(GuestVirtio *dev, unsigned offset, unsigned size,
                        uint32_t *val)
{
    uint64_t wide = 0;
    int rc;

    if (dev->common) {
        rc = guest_mmio_in(dev->pc, dev->config + offset, size, &wide);
        *val = wide;
        return rc;
    }
    return guest_in(dev->pc, dev->io + REG_CONFIG + offset, size, val);
}

/* ---- a queue's registers ---- */

int guest_virtio_select_queue(GuestVirtq *q, uint32_t *size)
{
    GuestVirtio *dev = q->dev;
    uint64_t entries = 0, notifier = 0;
    int rc;

    if (!dev->common) {
        rc = guest_out(dev->pc, dev->io + REG_QUEUE_SELECT, 2, q->index);
        return rc ? rc : guest_in(dev->pc, dev->io + REG_QUEUE_SIZE, 2, size);
    }
    if ((rc = common_out(dev, COMMON_QUEUE_SELECT, 2, q->index)) ||
        (rc = guest_mmio_in(dev->pc, dev->common + COMMON_QUEUE_SIZE, 2,
                            &entries)) ||
        (rc = guest_mmio_in(dev->pc, dev->common + COMMON_QUEUE_NOTIFY, 2,
                            &notifier))) {
        return rc;
    }
    *size = entries;
    q->notify = dev->notify + notifier * dev->notify_step;
    return 0;
}

int guest_virtio_place_queue(GuestVirtq *q)
{
    GuestVirtio *dev = q->dev;
    int rc;

    if (!dev->common) {
        return guest_out(dev->pc, dev->io + REG_QUEUE_PAGE, 4,
                         q->desc >> XENSIM_PAGE_SHIFT);
    }
    if ((rc = common_out(dev, COMMON_QUEUE_DESC, 4, q->desc)) ||
        (rc = common_out(dev, COMMON_QUEUE_DESC + 4, 4, q->desc >> 32)) ||
        (rc = common_out(dev, COMMON_QUEUE_AVAIL, 4, q->avail)) ||
        (rc = common_out(dev, COMMON_QUEUE_AVAIL + 4, 4, q->avail >> 32)) ||
        (rc = common_out(dev, COMMON_QUEUE_USED, 4, q->used)) ||
        (rc = common_out(dev, COMMON_QUEUE_USED + 4, 4, q->used >> 32))) {
        return rc;
    }
    return common_out(dev, COMMON_QUEUE_ENABLE, 2, 1);
}

int guest_virtio_notify(GuestVirtq *q)
{
    GuestVirtio *dev = q->dev;

    return q->notify ? guest_mmio_out(dev->pc, q->notify, 2, q->index)
                     : guest_out(dev->pc, dev->io + REG_QUEUE_NOTIFY, 2,
                                 q->index);
}
