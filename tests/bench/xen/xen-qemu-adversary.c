/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests of a disk, and pictures, that have many pieces: all pieces are the
 * same page, all are different pages, or all are absent pages.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "drivers/ahci.h"
#include "drivers/virtio.h"
#include "xen-qemu-cases.h"

#define MEM             (1 * CASE_MIB)  /* the drivers' own */
#define TABLE_AT        (8 * CASE_MIB)  /* a list of pieces */
#define HEADER_AT       (4 * CASE_MIB)
#define STATUS_AT       (HEADER_AT + 64)
#define IO_AT           0xc200u
#define BAR_AT          0xf4000000u
#define PIECES          1000u           /* of a request */
#define SECTOR          512u
#define AHCI_COMMANDS   32u
#define PICTURES        6u
#define PICTURE_PIECES  16384u
#define STOPPED_US      (5 * G_USEC_PER_SEC)

typedef enum Pages { SAME, DISTINCT, HOLES } Pages;

/* What a case is about; its data. */
typedef struct Load {
    Pages pages;
    unsigned requests;      /* of virtio-blk, at a time */
} Load;

static uint64_t piece_gpa(const CaseRun *run, Pages pages, unsigned i)
{
    /* Every second page: neighbours are not one piece. */
    const uint64_t step = 2 * CASE_PAGE;

    return pages == SAME ? CASE_DATA_AT :
           pages == DISTINCT ? CASE_DATA_AT + i * step :
           (run->plain ? CASE_PLAIN_HOLES_AT : CASE_HOLES_AT) +
           i * step % CASE_HOLES;
}

static void make_holes(CaseRun *run, Pages pages)
{
    if (pages == HOLES && !run->plain) {
        g_assert_cmpuint(xensim_depopulate(run->dom, CASE_HOLES_AT / CASE_PAGE,
                                           CASE_HOLES / CASE_PAGE), ==,
                         CASE_HOLES / CASE_PAGE);
    }
}

static void report_seconds(CaseRun *run, gint64 start)
{
    case_report(run, "time-ms", (g_get_monotonic_time() - start) / 1e3);
}

/* ---- virtio-blk: any number of requests that share one list ---- */

static bool put_table(CaseRun *run, Pages pages, GError **err)
{
    const uint8_t header[16] = { 0 };   /* a read from sector 0 */
    g_autofree GuestSg *sg = g_new(GuestSg, PIECES + 2);

    if (!case_ok(run, guest_mem_write(run->pc, HEADER_AT, header,
                                      sizeof(header)), err)) {
        return false;
    }
    sg[0] = (GuestSg) { HEADER_AT, sizeof(header) };
    for (unsigned i = 0; i < PIECES; i++) {
        sg[1 + i] = (GuestSg) { piece_gpa(run, pages, i), SECTOR };
    }
    sg[1 + PIECES] = (GuestSg) { STATUS_AT, 1 };
    return case_ok(run, guest_virtq_put_table(run->pc, TABLE_AT, sg, 1,
                                              PIECES + 1), err);
}

/* Until all are done, or nothing is done any more: false. */
static bool wait_all(CaseRun *run, GuestVirtq *queue)
{
    gint64 moved = g_get_monotonic_time();
    uint16_t last = 0;

    for (;;) {
        uint8_t idx[2] = { 0 };

        guest_mem_read(run->pc, queue->used + 2, idx, 2);
        if (lduw_le_p(idx) == queue->avail_idx) {
            return true;
        }
        if (lduw_le_p(idx) != last) {
            last = lduw_le_p(idx);
            moved = g_get_monotonic_time();
        } else if (g_get_monotonic_time() - moved > STOPPED_US &&
                   case_monitor_answers(run)) {
            return false;
        }
        g_usleep(200);
    }
}

static bool vblk(CaseRun *run, GError **err)
{
    const Load *load = run->data;
    const char *const args[] = {
        "-blockdev", "driver=null-co,node-name=zeroes,size=67108864,"
        "read-zeroes=on",
        "-device", "virtio-blk-pci,drive=zeroes,queue-size=1024,"
        "disable-legacy=off,disable-modern=on", NULL
    };
    GuestVirtq *queue = g_new0(GuestVirtq, 1);
    GuestVirtio dev;
    uint16_t head;
    gint64 start;
    bool ok = case_start(run, NULL, args, err) &&
        case_ok(run, guest_virtio_init(run->pc, &dev, GUEST_VIRTIO_BLK, 0,
                                       IO_AT, GUEST_VIRTIO_F_INDIRECT), err) &&
        case_ok(run, guest_virtq_init(&dev, queue, 0, MEM, false), err) &&
        case_ok(run, guest_virtio_start(&dev), err);

    if (ok) {
        make_holes(run, load->pages);
        ok = put_table(run, load->pages, err);
    }
    for (unsigned i = 0; ok && i < load->requests; i++) {
        ok = case_ok(run, guest_virtq_add_table(queue, TABLE_AT,
                                                (PIECES + 2) * 16, &head), err);
    }
    if (ok) {
        case_watch_begin(run);
        start = g_get_monotonic_time();
        ok = case_ok(run, guest_virtq_kick(queue, true), err);
        if (ok && wait_all(run, queue)) {
            report_seconds(run, start);
        } else if (ok) {
            case_report_none(run, "time-ms"); /* it takes it for bogus */
        }
        case_watch_end(run);
    }
    g_free(queue);
    return ok;
}

/* ---- AHCI ---- */

static bool ahci(CaseRun *run, GError **err)
{
    const Load *load = run->data;
    const char *const args[] = {
        "-blockdev", "driver=null-co,node-name=zeroes,size=67108864,"
        "read-zeroes=on",
        "-device", "ich9-ahci,id=ahci,addr=6",
        "-device", "ide-hd,bus=ahci.0,drive=zeroes", NULL
    };
    g_autofree GuestSg *sg = g_new(GuestSg, PIECES);
    GuestAhci disk;
    gint64 start;
    uint32_t task;
    int rc;
    bool ok = case_start(run, NULL, args, err) &&
        case_ok(run, guest_ahci_init(run->pc, &disk, 0, BAR_AT, MEM), err);

    for (unsigned i = 0; i < PIECES; i++) {
        sg[i] = (GuestSg) { piece_gpa(run, load->pages, i), SECTOR };
    }
    for (unsigned i = 0; ok && i < AHCI_COMMANDS; i++) {
        ok = case_ok(run, guest_ahci_prepare(
            &disk, i, false, 0, PIECES, TABLE_AT + i * 0x8000, sg, PIECES),
            err);
    }
    if (ok) {
        make_holes(run, load->pages);
        case_watch_begin(run);
        start = g_get_monotonic_time();
        ok = case_ok(run, guest_ahci_issue(&disk, UINT32_MAX), err);
        /* Absent pages are an error of the command's, if of anything. */
        rc = ok ? guest_ahci_wait(&disk, UINT32_MAX, &task) : 0;
        if (ok && (rc == 0 || (rc == -EIO && load->pages == HOLES))) {
            report_seconds(run, start);
        } else if (ok) {
            case_report_none(run, "time-ms");
        }
        case_watch_end(run);
    }
    return ok;
}

/* ---- virtio-gpu ---- */

typedef struct Attach {
    uint32_t type, flags;
    uint64_t fence;
    uint32_t context, unused, id, n;
} Attach;

/* The pieces of a picture; all pictures have the same. */
static bool put_pieces(CaseRun *run, Pages pages, GError **err)
{
    for (unsigned i = 0; i < PICTURE_PIECES; i++) {
        uint8_t piece[16] = { 0 };

        stq_le_p(piece, piece_gpa(run, pages, i));
        stl_le_p(piece + 8, CASE_PAGE);
        if (!case_ok(run, guest_mem_write(run->pc, TABLE_AT + i * 16, piece,
                                          sizeof(piece)), err)) {
            return false;
        }
    }
    return true;
}

static bool attach_all(CaseRun *run, GuestVgpu *gpu, GError **err)
{
    const GuestSg more = { TABLE_AT, PICTURE_PIECES * 16 };
    double slowest = 0, ms;
    unsigned refused = 0;

    for (unsigned id = 1; id <= PICTURES; id++) {
        Attach cmd = { .type = 0x106, .id = id, .n = PICTURE_PIECES };
        uint32_t answer = 0;
        gint64 start;

        if (!case_ok(run, guest_vgpu_create(gpu, id, 4096, 4096), err)) {
            return false;
        }
        start = g_get_monotonic_time();
        if (!case_ok(run, guest_vgpu_command(gpu, &cmd, sizeof(cmd), &more, 1,
                                             &answer), err)) {
            return false;
        }
        ms = (g_get_monotonic_time() - start) / 1e3;
        slowest = MAX(slowest, ms);
        refused += answer >= 0x1200;
    }
    case_report(run, "slowest-attach-ms", slowest);
    case_report(run, "refused", refused);
    return true;
}

static bool vgpu(CaseRun *run, GError **err)
{
    const Load *load = run->data;
    const char *const args[] = {
        "-device", "virtio-gpu-pci,max_hostmem=1G", NULL
    };
    GuestVgpu *gpu = g_new0(GuestVgpu, 1);
    gint64 start, reset;
    bool ok = case_start(run, NULL, args, err) &&
        case_ok(run, guest_vgpu_init(run->pc, gpu, 0, BAR_AT, MEM), err);

    if (ok) {
        make_holes(run, load->pages);
        ok = put_pieces(run, load->pages, err);
    }
    if (ok) {
        case_watch_begin(run);
        start = g_get_monotonic_time();
        ok = attach_all(run, gpu, err);
        reset = g_get_monotonic_time();
        ok = ok && case_ok(run, guest_virtio_reset(&gpu->dev), err);
        case_report(run, "reset-ms", (g_get_monotonic_time() - reset) / 1e3);
        report_seconds(run, start);
        case_watch_end(run);
    }
    g_free(gpu);
    return ok;
}

/* ---- the list ---- */

const Case adversary_cases[] = {
    { "adversarial-vblk-64-same", vblk, &(const Load) { SAME, 64 } },
    { "adversarial-vblk-64-distinct", vblk, &(const Load) { DISTINCT, 64 } },
    { "adversarial-vblk-64-holes", vblk, &(const Load) { HOLES, 64 } },
    { "adversarial-vblk-128-same", vblk, &(const Load) { SAME, 128 } },
    { "adversarial-vblk-128-distinct", vblk, &(const Load) { DISTINCT, 128 } },
    { "adversarial-vblk-128-holes", vblk, &(const Load) { HOLES, 128 } },
    { "adversarial-vblk-1024-same", vblk, &(const Load) { SAME, 1024 } },
    { "adversarial-vblk-1024-distinct", vblk,
      &(const Load) { DISTINCT, 1024 } },
    { "adversarial-vblk-1024-holes", vblk, &(const Load) { HOLES, 1024 } },
    { "adversarial-vgpu-same", vgpu, &(const Load) { SAME } },
    { "adversarial-vgpu-distinct", vgpu, &(const Load) { DISTINCT } },
    { "adversarial-vgpu-holes", vgpu, &(const Load) { HOLES } },
    { "adversarial-ahci-same", ahci, &(const Load) { SAME } },
    { "adversarial-ahci-distinct", ahci, &(const Load) { DISTINCT } },
    { "adversarial-ahci-holes", ahci, &(const Load) { HOLES } },
    { NULL },
};
