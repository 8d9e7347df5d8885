/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's driver for the rings of virtio devices; see drivers/virtio.h. */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "pc-int.h"
#include "virtio-int.h"

enum {
    DESC_NEXT = 1,
    DESC_DEVICE_WRITES = 2,
    DESC_INDIRECT = 4,
    AVAIL_NO_IRQ = 1,
};

typedef struct Desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
} Desc;

/* Clear what the device is going to read as counters. */
static int clear_ring(GuestVirtq *q, bool irq)
{
    const uint16_t avail[2] = { irq ? 0 : AVAIL_NO_IRQ, 0 };
    const uint16_t used[2] = { 0, 0 };
    int rc = guest_mem_write(q->dev->pc, q->avail, avail, sizeof(avail));

    return rc ? rc : guest_mem_write(q->dev->pc, q->used, used, sizeof(used));
}

/* No chain is in use: the free ones are in order. */
static void all_free(GuestVirtq *q)
{
    for (unsigned i = 0; i < q->size; i++) {
        q->next[i] = i + 1;
    }
    q->first_free = 0;
    q->free = q->size;
}

int guest_virtq_init(GuestVirtio *dev, GuestVirtq *q, unsigned index,
                     uint64_t ring, bool irq)
{
    uint32_t size = 0;
    int rc;

    memset(q, 0, sizeof(*q));
    q->dev = dev;
    q->index = index;
    rc = guest_virtio_select_queue(q, &size);
    if (rc) {
        return rc;
    }
    if (!size || size > GUEST_VIRTQ_MAX || ring % XENSIM_PAGE_SIZE ||
        ring >> 44) {
        return guest_pc_fail(dev->pc, size ? EINVAL : ENOENT,
                             "virtio queue %u of %u entries at 0x%" PRIx64,
                             index, size, ring);
    }
    q->size = size;
    q->desc = ring;
    q->avail = ring + size * sizeof(Desc);
    /* Flags, index and the event word: three words beside the entries. */
    q->used = (q->avail + 2 * (size + 3) + XENSIM_PAGE_SIZE - 1) &
              ~(uint64_t)(XENSIM_PAGE_SIZE - 1);
    q->end = q->used + 8 * size + 6;
    all_free(q);
    rc = clear_ring(q, irq);
    return rc ? rc : guest_virtio_place_queue(q);
}

int guest_virtq_move(GuestVirtq *q, uint64_t desc, uint64_t avail,
                     uint64_t used)
{
    uint32_t size;
    int rc = guest_virtio_select_queue(q, &size);

    q->desc = desc;
    q->avail = avail;
    q->used = used;
    return rc ? rc : guest_virtio_place_queue(q);
}

/* Let the device see the chain of N descriptors that begins at first_free. */
static int offer(GuestVirtq *q, uint16_t last, unsigned n, uint16_t *head)
{
    int rc = guest_mem_write(q->dev->pc,
                             q->avail + 4 + q->avail_idx % q->size * 2,
                             &q->first_free, sizeof(q->first_free));

    if (rc) {
        return rc;
    }
    *head = q->first_free;
    q->first_free = q->next[last];
    q->next[last] = q->size;    /* the chain's end */
    q->free -= n;
    q->avail_idx++;
    return 0;
}

/* Piece I of OUT + IN, in a chain whose next entry is NEXT. */
static Desc describe(const GuestSg *sg, unsigned i, unsigned out, unsigned in,
                     uint16_t next)
{
    const bool more = i + 1 < out + in;

    return (Desc) {
        .addr = sg[i].gpa,
        .len = sg[i].len,
        .flags = (more ? DESC_NEXT : 0) |
                 (i >= out ? DESC_DEVICE_WRITES : 0),
        .next = more ? next : 0,
    };
}

int guest_virtq_add(GuestVirtq *q, const GuestSg *sg, unsigned out,
                    unsigned in, uint16_t *head)
{
    GuestPc *pc = q->dev->pc;
    uint16_t at = q->first_free, last = at;
    unsigned i, n = out + in;

    if (!n || n > q->size) {
        return guest_pc_fail(pc, EINVAL, "%u pieces: a queue of %u takes 1 "
                             "to %u", n, q->size, q->size);
    }
    if (n > q->free) {
        return guest_pc_fail(pc, EAGAIN, "%u pieces: the queue has room for "
                             "%u", n, q->free);
    }
    for (i = 0; i < n; i++, at = q->next[at]) {
        const Desc desc = describe(sg, i, out, in, q->next[at]);
        int rc = guest_mem_write(pc, q->desc + at * sizeof(desc), &desc,
                                 sizeof(desc));

        if (rc) {
            return rc;
        }
        last = at;
    }
    return offer(q, last, n, head);
}

int guest_virtq_add_table(GuestVirtq *q, uint64_t table, uint32_t bytes,
                          uint16_t *head)
{
    const uint16_t at = q->first_free;
    const Desc desc = { table, bytes, DESC_INDIRECT, 0 };
    int rc;

    if (!q->free) {
        return guest_pc_fail(q->dev->pc, EAGAIN, "the queue is full");
    }
    rc = guest_mem_write(q->dev->pc, q->desc + at * sizeof(desc), &desc,
                         sizeof(desc));
    return rc ? rc : offer(q, at, 1, head);
}

int guest_virtq_put_table(GuestPc *pc, uint64_t table, const GuestSg *sg,
                          unsigned out, unsigned in)
{
    Desc descs[GUEST_VIRTQ_MAX];
    unsigned i, n = out + in;

    if (!n || n > GUEST_VIRTQ_MAX) {
        return guest_pc_fail(pc, EINVAL, "%u pieces: an indirect table takes "
                             "1 to %u", n, GUEST_VIRTQ_MAX);
    }
    for (i = 0; i < n; i++) {
        descs[i] = describe(sg, i, out, in, i + 1);
    }
    return guest_mem_write(pc, table, descs, n * sizeof(descs[0]));
}

int guest_virtq_add_indirect(GuestVirtq *q, uint64_t table,
                             const GuestSg *sg, unsigned out, unsigned in,
                             uint16_t *head)
{
    int rc = guest_virtq_put_table(q->dev->pc, table, sg, out, in);

    return rc ? rc : guest_virtq_add_table(q, table,
                                           (out + in) * sizeof(Desc), head);
}

int guest_virtq_kick(GuestVirtq *q, bool notify)
{
    int rc;

    /* The device may look at any time: entries first, then their number. */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    rc = guest_mem_write(q->dev->pc, q->avail + 2, &q->avail_idx,
                         sizeof(q->avail_idx));
    if (rc) {
        return rc;
    }
    q->shown_idx = q->avail_idx;
    return notify ? guest_virtio_notify(q) : 0;
}

/* The chain at HEAD is free again. */
static void give_back(GuestVirtq *q, uint16_t head)
{
    uint16_t last = head;

    q->free++;
    while (q->next[last] < q->size) {
        last = q->next[last];
        q->free++;
    }
    q->next[last] = q->first_free;
    q->first_free = head;
}

int guest_virtq_reap(GuestVirtq *q, uint16_t *head, uint32_t *bytes)
{
    GuestPc *pc = q->dev->pc;
    uint32_t entry[2];
    uint16_t idx;
    int rc = guest_mem_read(pc, q->used + 2, &idx, sizeof(idx));

    if (rc || idx == q->used_idx) {
        return rc;
    }
    /* The device wrote the entry before it wrote the index. */
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    rc = guest_mem_read(pc, q->used + 4 + q->used_idx % q->size * 8, entry,
                        sizeof(entry));
    if (rc) {
        return rc;
    }
    if (entry[0] >= q->size) {
        return guest_pc_fail(pc, EIO, "virtio queue %u: used entry names "
                             "descriptor %u of %u", q->index, entry[0],
                             q->size);
    }
    q->used_idx++;
    give_back(q, entry[0]);
    *head = entry[0];
    if (bytes) {
        *bytes = entry[1];
    }
    return 1;
}

int guest_virtq_settle(GuestVirtq *q)
{
    static const uint8_t none[8 * GUEST_VIRTQ_MAX];

    if (q->free != q->size) {
        return guest_pc_fail(q->dev->pc, EBUSY, "virtio queue %u has requests "
                             "under way", q->index);
    }
    all_free(q);
    return guest_mem_write(q->dev->pc, q->used + 4, none, 8 * q->size);
}

typedef struct Reap {
    GuestVirtq *queue;
    uint16_t *head;
    uint32_t *bytes;
    unsigned round;
} Reap;

/* A modern device says that it has stopped: asked for now and then. */
static int try_reap(void *opaque)
{
    Reap *r = opaque;
    GuestVirtio *dev = r->queue->dev;
    int rc = guest_virtq_reap(r->queue, r->head, r->bytes);

    if (rc || !dev->common || ++r->round % 32) {
        return rc;
    }
    rc = guest_virtio_is_broken(dev);
    return rc > 0 ? guest_pc_fail(dev->pc, EIO, "virtio queue %u: the device "
                                  "has stopped", r->queue->index) : rc;
}

int guest_virtq_wait(GuestVirtq *q, uint16_t *head, uint32_t *bytes)
{
    Reap r = { q, head, bytes, 0 };

    return guest_pc_poll(q->dev->pc, try_reap, &r, "virtio queue");
}
