/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Actions of the virtio disks: see act-vdisk.h. */
#include "qemu/osdep.h"
#include "act-display.h"
#include "act-list.h"
#include "act-pci.h"
#include "act-vdisk.h"

#define MAX_PIECES  (GUEST_VIRTQ_MAX - 2)
#define MAX_SECTORS 4096u       /* of all requests that are under way */
#define DESC_BYTES  16u

int act_vdisk_setup(OracleSide *side, const OracleDevice *device,
                    const ActVdiskOps *ops, uint32_t own)
{
    const OraclePlace *place = oracle_place(side, device);
    ActVdisk *disk = oracle_state(side, device);

    disk->ops = ops;
    disk->own = own;
    disk->tables = place->mem + own;
    return ops->init(disk, side, place);
}

ActVdisk *act_vdisk_ready(OracleSide *side, const OracleDevice *device)
{
    ActVdisk *disk = oracle_state(side, device);
    unsigned now = act_disturbances(side);
    int rc;

    if ((disk->lost && !disk->failed) || disk->seen != now) {
        rc = disk->ops->init(disk, side, oracle_place(side, device));
        oracle_saw(side, "virtio disk: set up again", rc);
        disk->lost = disk->failed = rc;
        disk->seen = now;
    }
    return disk->lost ? NULL : disk;
}

/* ---- requests ---- */

static uint64_t table_at(const ActVdisk *disk, unsigned i)
{
    return disk->tables + i % ACT_VDISK_REQUESTS * ACT_VDISK_TABLE;
}

/* Waits for the requests.  False: the disk is of no use any more. */
static bool await(OracleSide *side, ActVdisk *disk, const uint16_t *tags,
                  unsigned n)
{
    g_autofree uint32_t *used = g_new0(uint32_t, GUEST_VIRTQ_MAX);
    unsigned i;
    int rc = guest_virtq_kick(disk->queue, true);

    for (i = 0; !rc && i < n; i++) {
        uint32_t bytes;
        uint16_t head;

        rc = guest_virtq_wait(disk->queue, &head, &bytes);
        if (!rc) {
            used[head] = bytes;
        }
    }
    oracle_saw(side, "virtio disk: waited", rc);
    if (rc) {
        return false;
    }
    for (i = 0; i < n; i++) {
        uint32_t status = 0;

        rc = disk->ops->status(disk, tags[i], &status);
        oracle_saw_at(side, "virtio disk: status", i,
                      rc ? (uint32_t)rc : status);
        oracle_saw_at(side, "virtio disk: used", i, used[tags[i]]);
    }
    return true;
}

void act_vdisk_finish(OracleSide *side, ActVdisk *disk, const uint16_t *tags,
                      unsigned n)
{
    disk->lost = !await(side, disk, tags, n) ||
                 guest_virtq_settle(disk->queue);
}

/* Starts the @i-th request; *@n counts those that were. */
static void start(OracleSide *side, ActVdisk *disk, bool write, uint64_t lba,
                  const GuestSg *sg, unsigned pieces, bool indirect,
                  uint16_t *tags, unsigned *n)
{
    int rc = disk->ops->start(disk, write, lba, sg, pieces,
                              indirect ? table_at(disk, *n) : 0, &tags[*n]);

    oracle_saw_at(side, "virtio disk: started", *n, rc);
    *n += !rc;
}

/* The length that pieces are multiples of: sectors, or down to bytes. */
static uint32_t draw_align(OracleBytes *bytes)
{
    static const uint16_t aligns[] = { 512, 512, 4096, 64, 4, 1 };

    return aligns[oracle_range(bytes, 0, ARRAY_SIZE(aligns) - 1)];
}

static unsigned draw_list(OracleSide *side, OracleBytes *bytes, GuestSg *sg,
                          unsigned sectors, bool wild)
{
    uint64_t total = sectors * GUEST_SECTOR_SIZE;
    uint32_t align = draw_align(bytes);

    return act_draw_list(side, bytes, sg, MAX_PIECES,
                         total % align ? GUEST_SECTOR_SIZE : align, total,
                         wild);
}

/* Can data of @device be where there is no RAM? */
static bool can_bounce(OracleSide *side, const OracleDevice *device)
{
    ActVdisk *disk = oracle_state(side, device);

    return disk->ops->can_bounce;
}

/* One request, whose data are anywhere. */
static void request(OracleSide *side, const OracleDevice *device,
                    OracleBytes *bytes)
{
    g_autofree GuestSg *sg = g_new(GuestSg, MAX_PIECES);
    ActVdisk *disk = act_vdisk_ready(side, device);
    bool write = oracle_bits(bytes, 1);
    bool indirect = oracle_bits(bytes, 1);
    unsigned sectors = oracle_draw_count(bytes, MAX_SECTORS);
    uint64_t lba = oracle_range(bytes, 0, ACT_VDISK_SECTORS - sectors);
    unsigned pieces = draw_list(side, bytes, sg, sectors,
                                can_bounce(side, device));
    unsigned n = 0;
    uint16_t tag;

    if (disk) {
        start(side, disk, write, lba, sg, pieces, indirect || pieces > 100,
              &tag, &n);
        act_vdisk_finish(side, disk, &tag, n);
    }
}

/*
 * Several with one kick, from lists of their own.  Only to the disk, each to
 * a place of its own: what overlaps would depend on which one ends first.
 */
static void scattered(OracleSide *side, const OracleDevice *device,
                      OracleBytes *bytes)
{
    g_autofree GuestSg *sg = g_new(GuestSg, MAX_PIECES);
    ActVdisk *disk = act_vdisk_ready(side, device);
    unsigned count = oracle_range(bytes, 2, 16);
    unsigned sectors = oracle_draw_count(bytes, MAX_SECTORS / count);
    uint64_t lba = oracle_range(bytes, 0, ACT_VDISK_SECTORS -
                                          sectors * count);
    uint16_t tags[16];
    unsigned i, n = 0;

    for (i = 0; disk && i < count; i++) {
        unsigned pieces = draw_list(side, bytes, sg, sectors, false);

        start(side, disk, true, lba + i * sectors, sg, pieces, true, tags,
              &n);
    }
    if (disk) {
        act_vdisk_finish(side, disk, tags, n);
    }
}

/*
 * @count requests of the same list with one kick.  As many as the disk has
 * room for go to places of their own; those after them are the same again.
 * Reads are all of the same sectors.
 */
static unsigned start_same(OracleSide *side, ActVdisk *disk, bool write,
                           const GuestSg *sg, unsigned pieces,
                           unsigned sectors, unsigned count, uint16_t *tags)
{
    unsigned room = ACT_VDISK_SECTORS / sectors;
    unsigned i, n = 0;

    for (i = 0; i < count; i++) {
        start(side, disk, write, write ? i % room * sectors : 0, sg, pieces,
              true, tags, &n);
    }
    return n;
}

static void burst(OracleSide *side, const OracleDevice *device,
                  OracleBytes *bytes)
{
    g_autofree GuestSg *sg = g_new(GuestSg, MAX_PIECES);
    ActVdisk *disk = act_vdisk_ready(side, device);
    bool write = oracle_bits(bytes, 1);
    unsigned count = oracle_draw_count(bytes, 64);
    unsigned sectors = oracle_draw_count(bytes, MAX_SECTORS / count);
    unsigned pieces = draw_list(side, bytes, sg, sectors, false);
    uint16_t tags[ACT_VDISK_REQUESTS];

    if (disk) {
        act_vdisk_finish(side, disk, tags,
                         start_same(side, disk, write, sg, pieces, sectors,
                                    count, tags));
    }
}

/* Up to a queue full of requests, each of which names one page many times. */
static void one_page(OracleSide *side, const OracleDevice *device,
                     OracleBytes *bytes)
{
    g_autofree GuestSg *sg = g_new(GuestSg, MAX_PIECES);
    ActVdisk *disk = act_vdisk_ready(side, device);
    unsigned count = oracle_range(bytes, 16, ACT_VDISK_REQUESTS - 1);
    unsigned pieces = oracle_range(bytes, 256, MAX_PIECES);
    uint64_t gpa = oracle_draw_ram(side, bytes, ORACLE_PAGE, 512);
    uint16_t tags[ACT_VDISK_REQUESTS];
    unsigned i;

    for (i = 0; i < pieces; i++) {
        sg[i] = (GuestSg) { gpa, GUEST_SECTOR_SIZE };
    }
    if (disk) {
        count = MIN(count, disk->queue->size - 1);
        act_vdisk_finish(side, disk, tags,
                         start_same(side, disk, true, sg, pieces, pieces,
                                    count, tags));
    }
}

/* ---- lists that are not what they should be ---- */

/* A part of what the driver itself has given to the device. */
static uint64_t draw_own(const ActVdisk *disk, OracleBytes *bytes, bool write)
{
    const uint64_t at[] = {
        disk->queue->desc, table_at(disk, 0), disk->headers + ORACLE_PAGE,
        disk->queue->avail,
        /* Flags, which come first, depend on when they are read. */
        disk->queue->used + 2,
    };

    /*
     * A read into the used entries would be taken for the request's end.  If a
     * read changes the index of the other ring, it depends on when the device
     * looks at that again whether it stops before the request ends.
     */
    return at[oracle_range(bytes, 0, ARRAY_SIZE(at) - (write ? 1 : 3))];
}

/* A list with pieces that are the ring, its own table, or other requests. */
static void itself(OracleSide *side, const OracleDevice *device,
                   OracleBytes *bytes)
{
    ActVdisk *disk = act_vdisk_ready(side, device);
    bool write = oracle_bits(bytes, 1);
    unsigned pieces = oracle_range(bytes, 1, 8), i, n = 0;
    GuestSg sg[8];
    uint16_t tag;

    if (!disk) {
        return;
    }
    for (i = 0; i < pieces; i++) {
        sg[i] = (GuestSg) {
            oracle_bits(bytes, 2) ? draw_own(disk, bytes, write)
                                  : oracle_draw_ram(side, bytes, 512, 1),
            GUEST_SECTOR_SIZE
        };
    }
    start(side, disk, write, oracle_bits(bytes, 10), sg, pieces,
          oracle_bits(bytes, 1), &tag, &n);
    act_vdisk_finish(side, disk, &tag, n);
    disk->lost = true;
}

/* A table one of whose entries is overwritten: loops, nested tables, ... */
static void bad_table(OracleSide *side, const OracleDevice *device,
                      OracleBytes *bytes)
{
    g_autofree GuestSg *sg = g_new(GuestSg, MAX_PIECES);
    ActVdisk *disk = act_vdisk_ready(side, device);
    unsigned sectors = oracle_range(bytes, 1, 64), n = 0;
    unsigned pieces = draw_list(side, bytes, sg, sectors, false);
    unsigned entry = oracle_range(bytes, 0, pieces + 1);
    struct {
        uint64_t addr;
        uint32_t len;
        uint16_t flags, next;
    } desc = {
        .addr = oracle_draw_gpa(side, bytes),
        .len = oracle_draw_count(bytes, UINT32_MAX),
        .flags = oracle_bits(bytes, 3),
        .next = oracle_range(bytes, 0, pieces + 2),
    };
    uint16_t tag;

    QEMU_BUILD_BUG_ON(sizeof(desc) != DESC_BYTES);
    if (!disk) {
        return;
    }
    if (disk->ops->header_max) {
        desc.len = MIN(desc.len, disk->ops->header_max);
    }
    oracle_bring_back(side, 0, oracle_ram_bytes(side));
    start(side, disk, true, 0, sg, pieces, true, &tag, &n);
    guest_mem_write(oracle_pc(side), table_at(disk, 0) + entry * DESC_BYTES,
                    &desc, sizeof(desc));
    act_vdisk_finish(side, disk, &tag, n);
    disk->lost = true;
}

/* Requests that are under way when the device is reset. */
static void cancel(OracleSide *side, const OracleDevice *device,
                   OracleBytes *bytes)
{
    g_autofree GuestSg *sg = g_new(GuestSg, MAX_PIECES);
    ActVdisk *disk = act_vdisk_ready(side, device);
    bool write = oracle_bits(bytes, 1);
    unsigned count = oracle_draw_count(bytes, 16);
    unsigned sectors = oracle_draw_count(bytes, MAX_SECTORS / count);
    unsigned pieces = draw_list(side, bytes, sg, sectors, false);
    uint16_t tags[16];

    if (!disk) {
        return;
    }
    start_same(side, disk, write, sg, pieces, sectors, count, tags);
    oracle_saw(side, "virtio disk: kick",
               guest_virtq_kick(disk->queue, true));
    oracle_saw(side, "virtio disk: reset",
               guest_virtio_reset(disk->queue->dev));
    /* In which order they ended is no matter, nor what the ring says of it. */
    disk->lost = true;
    disk = act_vdisk_ready(side, device);
    if (disk) {
        disk->lost = guest_virtq_settle(disk->queue);
    }
}

/* The rings, and the headers of requests, are video memory. */
static void in_video_memory(OracleSide *side, const OracleDevice *device,
                            OracleBytes *bytes)
{
    g_autofree GuestSg *sg = g_new(GuestSg, MAX_PIECES);
    ActVdisk *disk = act_vdisk_ready(side, device);
    OraclePlace place = *oracle_place(side, device);
    bool write = oracle_bits(bytes, 1), indirect = oracle_bits(bytes, 1);
    unsigned sectors = oracle_draw_count(bytes, 256), pieces, n = 0;
    uint16_t tag;
    int rc;

    pieces = draw_list(side, bytes, sg, sectors, false);
    place.mem = disk ? act_display_memory(side, bytes, disk->own) : 0;
    if (!place.mem) {
        return;
    }
    rc = disk->ops->init(disk, side, &place);
    oracle_saw(side, "virtio disk: in video memory", rc);
    if (!rc) {
        start(side, disk, write, 0, sg, pieces, indirect || pieces > 100,
              &tag, &n);
        act_vdisk_finish(side, disk, &tag, n);
    }
    disk->lost = true;
}

/* What a driver needs of a part, for the first two requests. */
#define LEAST_OF_RING   64u

/*
 * One part of the queue reaches over the end of RAM.  The device must refuse
 * such a queue, or do the same with it as on any machine.
 */
static void over_the_end(OracleSide *side, const OracleDevice *device,
                         OracleBytes *bytes)
{
    ActVdisk *disk = act_vdisk_ready(side, device);
    GuestVirtq *q = disk ? disk->queue : NULL;
    GuestSg sg = { oracle_draw_ram(side, bytes, GUEST_SECTOR_SIZE, 512),
                   GUEST_SECTOR_SIZE };
    unsigned part = oracle_range(bytes, 0, 2), n = 0;
    uint64_t at[3], len;
    uint16_t tag;
    int rc;

    if (!disk || disk->ops->init(disk, side, oracle_place(side, device))) {
        return;
    }
    at[0] = q->desc;
    at[1] = q->avail;
    at[2] = q->used;
    len = q->size * (part == 0 ? DESC_BYTES : part == 1 ? 2 : 8);
    at[part] = oracle_ram_bytes(side) -
               ROUND_DOWN(oracle_range(bytes, LEAST_OF_RING, len - 1),
                          DESC_BYTES);
    oracle_bring_back(side, at[part], len);
    rc = guest_virtq_move(q, at[0], at[1], at[2]);
    oracle_saw(side, "virtio disk: queue over the end", rc);
    if (!rc) {
        start(side, disk, oracle_bits(bytes, 1), 0, &sg, 1,
              oracle_bits(bytes, 1), &tag, &n);
        /*
         * The queue is not settled: the guest would write beyond its RAM, where
         * Xen may have the frames of a display's memory.
         */
        await(side, disk, &tag, n);
    }
    disk->lost = true;
}

const OracleAction act_vdisk_actions[ACT_VDISK_N_ACTIONS] = {
    { .name = "request", .weight = 20, .bytes = 128, .run = request },
    { .name = "scattered", .weight = 8, .bytes = 256, .run = scattered },
    { .name = "burst", .weight = 4, .bytes = 64, .run = burst },
    { .name = "one-page", .weight = 1, .bytes = 8, .run = one_page },
    { .name = "itself", .weight = 2, .bytes = 32, .run = itself },
    { .name = "bad-table", .weight = 1, .bytes = 96, .run = bad_table },
    { .name = "cancel", .weight = 2, .bytes = 64, .run = cancel },
    { .name = "in-video-memory", .weight = 2, .bytes = 64,
      .run = in_video_memory },
    { .name = "over-the-end", .weight = 1, .bytes = 16, .run = over_the_end },
};
