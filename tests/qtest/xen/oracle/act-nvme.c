/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NVMe: lists of pages (PRP) and of pieces (SGL), good ones and others. */
#include "qemu/osdep.h"
#include "act-display.h"
#include "act-pci.h"
#include "drivers/nvme.h"

#define DISK_BYTES  (8u << 20)
#define SECTORS     (DISK_BYTES / GUEST_SECTOR_SIZE)
#define MAX_SECTORS 4096u
#define PER_PAGE    (ORACLE_PAGE / 8)   /* entries of a page of a list */
#define MAX_PIECES  256u                /* that make a page of an SGL */
#define LIST_BYTES  0x8000u             /* for the lists of a request */
#define REQUESTS    16u

enum { SGL_DATA = 0x00, SGL_SEGMENT = 0x20, SGL_LAST_SEGMENT = 0x30 };

typedef struct ActNvme {
    GuestNvme nvme;
    bool lost, failed;
    unsigned seen;              /* act_disturbances() then */
} ActNvme;

typedef struct Request {
    bool write;
    uint64_t lba;
    unsigned sectors;
    GuestNvmeData data;
} Request;

static int setup(OracleSide *side, const OracleDevice *device)
{
    const OraclePlace *place = oracle_place(side, device);
    ActNvme *n = oracle_state(side, device);

    return guest_nvme_init(oracle_pc(side), &n->nvme, 0, place->mmio,
                           place->mem);
}

static ActNvme *ready(OracleSide *side, const OracleDevice *device)
{
    ActNvme *n = oracle_state(side, device);
    unsigned now = act_disturbances(side);

    if ((n->lost && !n->failed) || n->seen != now) {
        int rc = setup(side, device);

        oracle_saw(side, "nvme: set up again", rc);
        n->lost = n->failed = rc;
        n->seen = now;
    }
    return n->lost ? NULL : n;
}

/* ---- lists, in the driver's memory ---- */

static uint64_t list_at(OracleSide *side, const OracleDevice *device,
                        unsigned i)
{
    return oracle_place(side, device)->mem + GUEST_NVME_BYTES +
           i % REQUESTS * LIST_BYTES;
}

/* Pages of a transfer: neighbours, scattered, or always the same one. */
static uint64_t draw_page(OracleSide *side, OracleBytes *bytes,
                          uint64_t before, unsigned kind)
{
    uint64_t gpa = before + ORACLE_PAGE;

    if (kind == 1) {
        gpa = oracle_draw_ram(side, bytes, ORACLE_PAGE, ORACLE_PAGE);
    } else if (kind == 2) {
        gpa = before;
    } else if (kind == 3) {
        gpa = before + ORACLE_BUCKET;
    }
    if (oracle_once_in(bytes, 64)) {
        gpa = ROUND_DOWN(oracle_draw_gpa(side, bytes), ORACLE_PAGE);
    }
    /* The local APIC, which is Xen's, reads otherwise than QEMU's. */
    if (gpa + ORACLE_PAGE > oracle_ram_bytes(side) &&
        (gpa < ORACLE_MMIO || gpa >= ORACLE_MMIO_END)) {
        gpa = ORACLE_DATA;
    }
    oracle_bring_back(side, gpa, ORACLE_PAGE);
    return gpa;
}

/*
 * A list of pages at @list for all but the first; its page's last entry names
 * the next page of it, or, if @itself, that page again.
 */
static void write_prp(OracleSide *side, OracleBytes *bytes, Request *r,
                      uint64_t list, bool itself)
{
    uint64_t first = oracle_draw_ram(side, bytes, ORACLE_PAGE, 4);
    unsigned kind = oracle_bits(bytes, 2);
    unsigned n = DIV_ROUND_UP(first % ORACLE_PAGE +
                              r->sectors * GUEST_SECTOR_SIZE, ORACLE_PAGE);
    uint64_t entry[2 * PER_PAGE + 1];
    uint64_t page = ROUND_DOWN(first, ORACLE_PAGE);
    unsigned i, at = 0;

    r->data.word[0] = first;
    for (i = 1; i < n && at < 2 * PER_PAGE; i++) {
        if (at % PER_PAGE == PER_PAGE - 1 && i + 1 < n) {
            uint64_t here = list + at / PER_PAGE * ORACLE_PAGE;

            entry[at++] = itself ? here : here + ORACLE_PAGE;
        }
        page = draw_page(side, bytes, page, kind);
        entry[at++] = page;
    }
    r->data.word[1] = n == 1 ? 0 : n == 2 ? entry[0] : list;
    guest_mem_write(oracle_pc(side), list, entry, at * sizeof(entry[0]));
}

typedef struct SglEntry {
    uint64_t gpa;
    uint32_t len;
    uint8_t unused[3], type;
} SglEntry;

/* A page of pieces at @list; if @itself, its last one is that page again. */
static void write_sgl(OracleSide *side, OracleBytes *bytes, Request *r,
                      uint64_t list, bool itself)
{
    GuestSg sg[MAX_PIECES];
    SglEntry entry[MAX_PIECES + 1] = { { 0 } };
    unsigned n = oracle_draw_sg(side, bytes, sg, MAX_PIECES, 4,
                                r->sectors * GUEST_SECTOR_SIZE, true), i;

    for (i = 0; i < n; i++) {
        entry[i] = (SglEntry) { .gpa = sg[i].gpa, .len = sg[i].len };
    }
    if (itself && n > 1) {
        entry[n - 1] = (SglEntry) { list, n * sizeof(entry[0]), { 0 },
                                    SGL_SEGMENT };
    }
    guest_mem_write(oracle_pc(side), list, entry, n * sizeof(entry[0]));
    entry[n] = (SglEntry) { list, n * sizeof(entry[0]), { 0 },
                            itself ? SGL_SEGMENT : SGL_LAST_SEGMENT };
    r->data.sgl = true;
    memcpy(r->data.word, &entry[n], sizeof(r->data.word));
}

static Request draw_request(OracleSide *side, const OracleDevice *device,
                            OracleBytes *bytes, unsigned i, unsigned most)
{
    Request r = { .write = oracle_bits(bytes, 1) };
    bool sgl = oracle_bits(bytes, 1), itself = oracle_once_in(bytes, 16);

    r.sectors = oracle_draw_count(bytes, most);
    r.lba = oracle_range(bytes, 0, SECTORS - r.sectors);
    (sgl ? write_sgl : write_prp)(side, bytes, &r, list_at(side, device, i),
                                  itself);
    return r;
}

/* ---- requests ---- */

static int start(ActNvme *n, const Request *r, uint16_t *tag)
{
    return guest_nvme_start_raw(&n->nvme, r->write, r->lba,
                                r->sectors * GUEST_SECTOR_SIZE, &r->data,
                                tag);
}

/* Waits for @count requests, and tells what became of each, by its tag. */
static void finish(OracleSide *side, ActNvme *n, unsigned count)
{
    int status[GUEST_NVME_DEPTH] = { 0 };
    unsigned i;
    int rc = guest_nvme_kick(&n->nvme);

    for (i = 0; !rc && i < count; i++) {
        uint16_t tag = 0;

        rc = guest_nvme_wait(&n->nvme, &tag);
        if (!rc || rc == -EIO) {
            status[tag % GUEST_NVME_DEPTH] = rc;
            rc = 0;
        }
    }
    rc = rc ?: guest_nvme_seen(&n->nvme);
    rc = rc ?: guest_nvme_settle(&n->nvme);
    oracle_saw(side, "nvme: waited", rc);
    for (i = 0; !rc && i < count; i++) {
        oracle_saw_at(side, "nvme: request", i, status[i]);
    }
    n->lost = rc;
}

static void request(OracleSide *side, const OracleDevice *device,
                    OracleBytes *bytes)
{
    ActNvme *n = ready(side, device);
    Request r = draw_request(side, device, bytes, 0, MAX_SECTORS);
    uint16_t tag;

    if (n && !start(n, &r, &tag)) {
        finish(side, n, 1);
    }
}

/* Several with one doorbell, each to a place of its own on the disk. */
static void several(OracleSide *side, const OracleDevice *device,
                    OracleBytes *bytes)
{
    ActNvme *n = ready(side, device);
    unsigned count = oracle_range(bytes, 2, REQUESTS), i, started = 0;

    for (i = 0; n && i < count; i++) {
        Request r = draw_request(side, device, bytes, i, SECTORS / REQUESTS);
        uint16_t tag;

        r.write = true;
        r.lba = i * (SECTORS / REQUESTS);
        started += !start(n, &r, &tag);
    }
    if (n) {
        finish(side, n, started);
    }
}

/*
 * The controller is turned off while it works.  It may have done the request
 * or not, so the same one is made again.
 */
static void cancel(OracleSide *side, const OracleDevice *device,
                   OracleBytes *bytes)
{
    ActNvme *n = ready(side, device);
    Request r = draw_request(side, device, bytes, 0, MAX_SECTORS);
    uint16_t tag;

    if (n && !start(n, &r, &tag)) {
        oracle_saw(side, "nvme: kick", guest_nvme_kick(&n->nvme));
        n->lost = true;
        n = ready(side, device);
        if (n && !start(n, &r, &tag)) {
            finish(side, n, 1);
        }
    }
}

/* The queues are video memory. */
static void in_video_memory(OracleSide *side, const OracleDevice *device,
                            OracleBytes *bytes)
{
    ActNvme *n = ready(side, device);
    uint64_t mem = act_display_memory(side, bytes, GUEST_NVME_BYTES);
    Request r = draw_request(side, device, bytes, 0, 256);
    uint16_t tag;
    int rc;

    if (!n || !mem) {
        return;
    }
    rc = guest_nvme_init(oracle_pc(side), &n->nvme, 0,
                         oracle_place(side, device)->mmio, mem);
    oracle_saw(side, "nvme: in video memory", rc);
    if (!rc && !start(n, &r, &tag)) {
        finish(side, n, 1);
    }
    n->lost = true;
}

static const OracleAction actions[] = {
    { .name = "request", .weight = 20, .bytes = 200, .run = request },
    { .name = "several", .weight = 5, .bytes = 400, .run = several },
    { .name = "cancel", .weight = 2, .bytes = 100, .run = cancel },
    { .name = "in-video-memory", .weight = 2, .bytes = 96,
      .run = in_video_memory },
};

const OracleDevice oracle_nvme = {
    .name = "nvme",
    .args = "-drive file=@DISK@,format=raw,if=none,id=nvme,cache=writeback,"
            "file.locking=off "
            "-device nvme,drive=nvme,serial=1,mdts=9,addr=@SLOT@",
    .disk_bytes = DISK_BYTES,
    .mem_bytes = GUEST_NVME_BYTES + REQUESTS * LIST_BYTES,
    .mmio_bytes = 0x4000,
    .state_bytes = sizeof(ActNvme),
    .setup = setup,
    .actions = actions,
    .n_actions = ARRAY_SIZE(actions),
};
