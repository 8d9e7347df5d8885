/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's driver for the 2D side of virtio-gpu; see drivers/virtio.h. */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "pc-int.h"
#include "virtio.h"

enum {
    CONTROL_QUEUE = 0,
    MAX_MORE = 64,
    CMD_CREATE_2D = 0x101,
    CMD_SET_SCANOUT = 0x103,
    CMD_FLUSH = 0x104,
    CMD_TRANSFER_TO_HOST_2D = 0x105,
    CMD_ATTACH_BACKING = 0x106,
    CMD_DETACH_BACKING = 0x107,
    ANSWER_OK = 0x1100,
    FORMAT_B8G8R8X8 = 2,
};

typedef struct Head {
    uint32_t type, flags;
    uint64_t fence;
    uint32_t context, unused;
} Head;

typedef struct Rect {
    uint32_t x, y, width, height;
} Rect;

/* The commands, each as it is sent. */
typedef struct Create {
    Head head;
    uint32_t id, format, width, height;
} Create;

/* SET_SCANOUT: screen and id; FLUSH: id and nothing. */
typedef struct Area {
    Head head;
    Rect rect;
    uint32_t word[2];
} Area;

typedef struct Transfer {
    Head head;
    Rect rect;
    uint64_t offset;
    uint32_t id, unused;
} Transfer;

typedef struct Attach {
    Head head;
    uint32_t id, n;
    struct {
        uint64_t gpa;
        uint32_t len, unused;
    } piece[GUEST_VGPU_PIECES];
} Attach;

typedef struct Detach {
    Head head;
    uint32_t id, unused;
} Detach;

_Static_assert(sizeof(Head) == 24, "as virtio has it");
_Static_assert(sizeof(Attach) <= 2 * XENSIM_PAGE_SIZE, "as is set aside");

int guest_vgpu_init(GuestPc *pc, GuestVgpu *gpu, unsigned index,
                    uint64_t mmio, uint64_t mem)
{
    int rc = guest_virtio_init_modern(pc, &gpu->dev, GUEST_VIRTIO_GPU, index,
                                      mmio, 0);

    if (!rc) {
        rc = guest_virtq_init(&gpu->dev, &gpu->queue, CONTROL_QUEUE, mem,
                              false);
    }
    if (rc) {
        return rc;
    }
    gpu->mem = (gpu->queue.end + XENSIM_PAGE_SIZE - 1) &
               ~(uint64_t)(XENSIM_PAGE_SIZE - 1);
    if (gpu->mem + 3 * XENSIM_PAGE_SIZE > mem + GUEST_VGPU_BYTES) {
        return guest_pc_fail(pc, EINVAL, "a queue of %u entries takes more "
                             "than 0x%x bytes", gpu->queue.size,
                             GUEST_VGPU_BYTES);
    }
    return guest_virtio_start(&gpu->dev);
}

int guest_vgpu_command(GuestVgpu *gpu, const void *cmd, uint32_t len,
                       const GuestSg *more, unsigned n, uint32_t *answer)
{
    GuestPc *pc = gpu->dev.pc;
    const uint64_t at = gpu->mem + 2 * XENSIM_PAGE_SIZE;
    GuestSg sg[MAX_MORE + 2];
    Head head = { .type = 0 };
    uint16_t tag;
    int rc;

    if (len > 2 * XENSIM_PAGE_SIZE || n > MAX_MORE) {
        return guest_pc_fail(pc, EINVAL, "virtio-gpu: a command of %u bytes "
                             "and %u pieces", len, n);
    }
    sg[0] = (GuestSg) { gpu->mem, len };
    for (unsigned i = 0; i < n; i++) {
        sg[i + 1] = more[i];
    }
    sg[n + 1] = (GuestSg) { at, sizeof(Head) };
    if ((rc = guest_mem_write(pc, gpu->mem, cmd, len)) ||
        (rc = guest_mem_write(pc, at, &head, sizeof(head))) ||
        (rc = guest_virtq_add(&gpu->queue, sg, n + 1, 1, &tag)) ||
        (rc = guest_virtq_kick(&gpu->queue, true)) ||
        (rc = guest_virtq_wait(&gpu->queue, &tag, NULL)) ||
        (rc = guest_mem_read(pc, at, &head, sizeof(head)))) {
        return rc;
    }
    *answer = head.type;
    return 0;
}

static int command(GuestVgpu *gpu, const void *cmd, uint32_t len)
{
    uint32_t answer = 0;
    int rc = guest_vgpu_command(gpu, cmd, len, NULL, 0, &answer);

    return rc || answer == ANSWER_OK ? rc : guest_pc_fail(
        gpu->dev.pc, EIO, "virtio-gpu: command 0x%x ended with 0x%x",
        *(const uint32_t *)cmd, answer);
}

int guest_vgpu_create(GuestVgpu *gpu, uint32_t id, uint32_t width,
                      uint32_t height)
{
    const Create cmd = {
        .head.type = CMD_CREATE_2D,
        .id = id,
        .format = FORMAT_B8G8R8X8,
        .width = width,
        .height = height,
    };

    return command(gpu, &cmd, sizeof(cmd));
}

int guest_vgpu_attach(GuestVgpu *gpu, uint32_t id, const GuestSg *sg,
                      unsigned n)
{
    Attach cmd = { .head.type = CMD_ATTACH_BACKING, .id = id, .n = n };
    unsigned i;

    if (!n || n > GUEST_VGPU_PIECES) {
        return guest_pc_fail(gpu->dev.pc, EINVAL, "%u pieces: a picture takes "
                             "1 to %u", n, GUEST_VGPU_PIECES);
    }
    for (i = 0; i < n; i++) {
        cmd.piece[i].gpa = sg[i].gpa;
        cmd.piece[i].len = sg[i].len;
    }
    return command(gpu, &cmd, (char *)&cmd.piece[n] - (char *)&cmd);
}

int guest_vgpu_detach(GuestVgpu *gpu, uint32_t id)
{
    const Detach cmd = { .head.type = CMD_DETACH_BACKING, .id = id };

    return command(gpu, &cmd, sizeof(cmd));
}

static int area_command(GuestVgpu *gpu, uint32_t type, uint32_t width,
                        uint32_t height, uint32_t first, uint32_t second)
{
    const Area cmd = {
        .head.type = type,
        .rect = { 0, 0, width, height },
        .word = { first, second },
    };

    return command(gpu, &cmd, sizeof(cmd));
}

int guest_vgpu_show(GuestVgpu *gpu, uint32_t id, uint32_t width,
                    uint32_t height)
{
    return area_command(gpu, CMD_SET_SCANOUT, width, height, 0, id);
}

int guest_vgpu_update(GuestVgpu *gpu, uint32_t id, uint32_t width,
                      uint32_t height)
{
    const Transfer transfer = {
        .head.type = CMD_TRANSFER_TO_HOST_2D,
        .rect = { 0, 0, width, height },
        .id = id,
    };
    int rc = command(gpu, &transfer, sizeof(transfer));

    return rc ? rc : area_command(gpu, CMD_FLUSH, width, height, id, 0);
}
