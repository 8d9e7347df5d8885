/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's driver for an NVMe controller; see drivers/nvme.h. */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "nvme.h"
#include "pc-int.h"

enum {
    REG_CONTROL = 0x14,
    REG_STATUS = 0x1c,
    REG_ADMIN_SIZES = 0x24,
    REG_ADMIN_SUBMIT = 0x28,
    REG_ADMIN_COMPLETE = 0x30,
    REG_DOORBELLS = 0x1000,
};

#define CONTROL_ON      0x00460001u     /* entries of 64 and 16 bytes */
#define STATUS_READY    1u
#define STATUS_FATAL    2u

enum {
    ADMIN_CREATE_SUBMIT = 0x01,
    ADMIN_CREATE_COMPLETE = 0x05,
    IO_FLUSH = 0x00,
    IO_WRITE = 0x01,
    IO_READ = 0x02,
    USES_SGL = 1 << 14,         /* beside the opcode */
};

enum {
    ADMIN = 0,
    IO = 1,
    MAX_BYTES = 512 << 10,
};

typedef struct Command {
    uint32_t opcode_id, nsid;
    uint64_t unused, metadata;
    uint64_t prp1, prp2;
    uint32_t dword10[6];
} Command;

typedef struct Completion {
    uint32_t result, unused;
    uint16_t head, queue, id, status;
} Completion;

_Static_assert(sizeof(Command) == 64 && sizeof(Completion) == 16,
               "as CONTROL_ON says");

/* In the driver's memory: two pages for each queue, then lists. */
static uint64_t submit_at(const GuestNvme *nvme, unsigned queue)
{
    return nvme->mem + queue * 2 * XENSIM_PAGE_SIZE;
}

static uint64_t complete_at(const GuestNvme *nvme, unsigned queue)
{
    return submit_at(nvme, queue) + XENSIM_PAGE_SIZE;
}

static uint64_t list_at(const GuestNvme *nvme, unsigned id)
{
    return nvme->mem + (4 + id) * XENSIM_PAGE_SIZE;
}

static int ring(GuestNvme *nvme, unsigned queue, bool completion, unsigned at)
{
    return guest_mmio_out(nvme->pc, nvme->bar + REG_DOORBELLS + queue * 8 +
                          completion * 4, 4, at);
}

static int submit(GuestNvme *nvme, unsigned queue, const Command *command)
{
    unsigned *tail = &nvme->queue[queue].tail;
    int rc = guest_mem_write(nvme->pc, submit_at(nvme, queue) +
                             *tail * sizeof(*command), command,
                             sizeof(*command));

    if (!rc) {
        *tail = (*tail + 1) % GUEST_NVME_DEPTH;
    }
    return rc;
}

/* ---- completions ---- */

typedef struct Reap {
    GuestNvme *nvme;
    unsigned queue;
    Completion got;
} Reap;

static int has_completed(void *opaque)
{
    Reap *r = opaque;
    unsigned head = r->nvme->queue[r->queue].head;
    uint64_t at = complete_at(r->nvme, r->queue) + head * sizeof(r->got);
    int rc = guest_mem_read(r->nvme->pc, at, &r->got, sizeof(r->got));

    return rc ? rc
              : (r->got.status & 1) == r->nvme->queue[r->queue].phase;
}

static int reap(GuestNvme *nvme, unsigned queue, uint16_t *id)
{
    Reap r = { .nvme = nvme, .queue = queue };
    int rc = guest_pc_poll(nvme->pc, has_completed, &r, "NVMe command");

    if (rc) {
        return rc;
    }
    nvme->queue[queue].head = (nvme->queue[queue].head + 1) %
                              GUEST_NVME_DEPTH;
    if (!nvme->queue[queue].head) {
        nvme->queue[queue].phase ^= 1;
    }
    *id = r.got.id;
    return r.got.status >> 1 ? guest_pc_fail(
        nvme->pc, EIO, "NVMe: command %u ended with status 0x%x", r.got.id,
        r.got.status >> 1) : 0;
}

static int admin(GuestNvme *nvme, const Command *command)
{
    uint16_t id;
    int rc = submit(nvme, ADMIN, command);

    if (!rc) {
        rc = ring(nvme, ADMIN, false, nvme->queue[ADMIN].tail);
    }
    if (!rc) {
        rc = reap(nvme, ADMIN, &id);
    }
    return rc ? rc : ring(nvme, ADMIN, true, nvme->queue[ADMIN].head);
}

/* ---- setting up ---- */

typedef struct Ready {
    GuestNvme *nvme;
    bool on;
} Ready;

static int is_ready(void *opaque)
{
    Ready *r = opaque;
    uint64_t status = 0;
    int rc = guest_mmio_in(r->nvme->pc, r->nvme->bar + REG_STATUS, 4,
                           &status);

    if (!rc && (status & STATUS_FATAL)) {
        rc = guest_pc_fail(r->nvme->pc, EIO, "the NVMe controller's status "
                           "is 0x%" PRIx64, status);
    }
    return rc ? rc : !!(status & STATUS_READY) == r->on;
}

static int turn(GuestNvme *nvme, bool on)
{
    Ready r = { nvme, on };
    int rc = guest_mmio_out(nvme->pc, nvme->bar + REG_CONTROL, 4,
                            on ? CONTROL_ON : 0);

    return rc ? rc : guest_pc_poll(nvme->pc, is_ready, &r,
                                   "NVMe controller's start");
}

static int out64(GuestNvme *nvme, unsigned reg, uint64_t val)
{
    int rc = guest_mmio_out(nvme->pc, nvme->bar + reg, 4, (uint32_t)val);

    return rc ? rc : guest_mmio_out(nvme->pc, nvme->bar + reg + 4, 4,
                                    val >> 32);
}

static int create_queues(GuestNvme *nvme)
{
    const uint32_t size_id = (GUEST_NVME_DEPTH - 1) << 16 | IO;
    const Command complete = {
        .opcode_id = ADMIN_CREATE_COMPLETE,
        .prp1 = complete_at(nvme, IO),
        .dword10 = { size_id, 1 },              /* in one piece, no irq */
    };
    const Command submissions = {
        .opcode_id = ADMIN_CREATE_SUBMIT | 1 << 16,
        .prp1 = submit_at(nvme, IO),
        .dword10 = { size_id, IO << 16 | 1 },   /* completes to queue 1 */
    };
    int rc = admin(nvme, &complete);

    return rc ? rc : admin(nvme, &submissions);
}

int guest_nvme_init(GuestPc *pc, GuestNvme *nvme, unsigned index,
                    uint64_t bar, uint64_t mem)
{
    const uint32_t size = GUEST_NVME_DEPTH - 1;
    static const uint8_t zeroes[XENSIM_PAGE_SIZE];
    unsigned i;
    int rc;

    memset(nvme, 0, sizeof(*nvme));
    nvme->pc = pc;
    nvme->bar = bar;
    nvme->mem = mem;
    nvme->queue[ADMIN].phase = nvme->queue[IO].phase = 1;
    rc = guest_pci_find(pc, 0x1b36, 0x0010, index, &nvme->devfn);
    if (rc == -ENOENT) {
        /* So it is called on old machine types, xenfv among them. */
        rc = guest_pci_find(pc, 0x8086, 0x5845, index, &nvme->devfn);
    }
    if (!rc) {
        rc = guest_pci_place_bar(pc, nvme->devfn, 0, bar);
    }
    if (!rc) {
        rc = guest_pci_command(pc, nvme->devfn, GUEST_PCI_MASTER, 0);
    }
    for (i = 0; !rc && i < 4; i++) {
        rc = guest_mem_write(pc, mem + i * XENSIM_PAGE_SIZE, zeroes,
                             sizeof(zeroes));
    }
    if (!rc) {
        rc = turn(nvme, false);
    }
    if (!rc) {
        rc = guest_mmio_out(pc, bar + REG_ADMIN_SIZES, 4, size << 16 | size);
    }
    if (!rc) {
        rc = out64(nvme, REG_ADMIN_SUBMIT, submit_at(nvme, ADMIN));
    }
    if (!rc) {
        rc = out64(nvme, REG_ADMIN_COMPLETE, complete_at(nvme, ADMIN));
    }
    if (!rc) {
        rc = turn(nvme, true);
    }
    return rc ? rc : create_queues(nvme);
}

/* ---- requests ---- */

/* A name that is not in use; one entry of the ring always stays free. */
static int take_id(GuestNvme *nvme, uint16_t *id)
{
    uint16_t i = 0;

    while (i < GUEST_NVME_DEPTH - 1 && nvme->busy & (1u << i)) {
        i++;
    }
    if (i == GUEST_NVME_DEPTH - 1) {
        return guest_pc_fail(nvme->pc, EAGAIN, "%u NVMe requests are under "
                             "way", i);
    }
    *id = i;
    return 0;
}

/* Where the data is: the first page, and the second or a list of the rest. */
static int name_pages(GuestNvme *nvme, Command *c, uint16_t id, uint64_t gpa,
                      uint32_t bytes)
{
    uint64_t page = (gpa | (XENSIM_PAGE_SIZE - 1)) + 1, end = gpa + bytes;
    uint64_t list[MAX_BYTES / XENSIM_PAGE_SIZE];
    unsigned n = 0;

    c->prp1 = gpa;
    for (; page < end; page += XENSIM_PAGE_SIZE) {
        list[n++] = page;
    }
    c->prp2 = n == 0 ? 0 : n == 1 ? list[0] : list_at(nvme, id);
    return n < 2 ? 0 : guest_mem_write(nvme->pc, c->prp2, list,
                                       n * sizeof(list[0]));
}

static int start(GuestNvme *nvme, Command *c, uint16_t id, uint16_t *tag)
{
    int rc;

    c->opcode_id |= (uint32_t)id << 16;
    c->nsid = 1;
    rc = submit(nvme, IO, c);
    if (!rc) {
        nvme->busy |= 1u << id;
        *tag = id;
    }
    return rc;
}

/* A transfer whose data are described, but not its id. */
static Command transfer(bool write, uint64_t lba, uint32_t bytes)
{
    return (Command) {
        .opcode_id = write ? IO_WRITE : IO_READ,
        .dword10 = { lba, lba >> 32, bytes / GUEST_SECTOR_SIZE - 1 },
    };
}

int guest_nvme_start(GuestNvme *nvme, bool write, uint64_t lba, uint64_t gpa,
                     uint32_t bytes, uint16_t *tag)
{
    Command c = transfer(write, lba, bytes);
    uint16_t id = 0;
    int rc;

    if (!bytes || bytes % GUEST_SECTOR_SIZE || bytes > MAX_BYTES || gpa % 4) {
        return guest_pc_fail(nvme->pc, EINVAL, "an NVMe request cannot move "
                             "0x%x bytes at 0x%" PRIx64, bytes, gpa);
    }
    rc = take_id(nvme, &id);
    if (!rc) {
        rc = name_pages(nvme, &c, id, gpa, bytes);
    }
    return rc ? rc : start(nvme, &c, id, tag);
}

int guest_nvme_start_raw(GuestNvme *nvme, bool write, uint64_t lba,
                         uint32_t bytes, const GuestNvmeData *data,
                         uint16_t *tag)
{
    Command c = transfer(write, lba, bytes);
    uint16_t id = 0;
    int rc;

    if (!bytes || bytes % GUEST_SECTOR_SIZE ||
        bytes > 65536 * GUEST_SECTOR_SIZE) {
        return guest_pc_fail(nvme->pc, EINVAL, "an NVMe request cannot move "
                             "0x%x bytes", bytes);
    }
    c.prp1 = data->word[0];
    c.prp2 = data->word[1];
    if (data->sgl) {
        c.opcode_id |= USES_SGL;
    }
    rc = take_id(nvme, &id);
    return rc ? rc : start(nvme, &c, id, tag);
}

int guest_nvme_start_flush(GuestNvme *nvme, uint16_t *tag)
{
    Command c = { .opcode_id = IO_FLUSH };
    uint16_t id = 0;
    int rc = take_id(nvme, &id);

    return rc ? rc : start(nvme, &c, id, tag);
}

int guest_nvme_kick(GuestNvme *nvme)
{
    return ring(nvme, IO, false, nvme->queue[IO].tail);
}

int guest_nvme_wait(GuestNvme *nvme, uint16_t *tag)
{
    uint16_t id = 0;
    int rc = reap(nvme, IO, &id);

    if (!rc || rc == -EIO) {
        nvme->busy &= ~(1u << id);
    }
    if (tag) {
        *tag = id;
    }
    return rc;
}

int guest_nvme_seen(GuestNvme *nvme)
{
    return ring(nvme, IO, true, nvme->queue[IO].head);
}

int guest_nvme_settle(GuestNvme *nvme)
{
    Completion seen[GUEST_NVME_DEPTH] = { { .status = 0 } };

    if (nvme->busy) {
        return guest_pc_fail(nvme->pc, EBUSY, "NVMe requests are under way");
    }
    for (unsigned i = 0; i < GUEST_NVME_DEPTH; i++) {
        seen[i].status = nvme->queue[IO].phase ^ (i >= nvme->queue[IO].head);
    }
    return guest_mem_write(nvme->pc, complete_at(nvme, IO), seen,
                           sizeof(seen));
}
