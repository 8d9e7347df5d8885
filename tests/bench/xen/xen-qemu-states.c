/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Transfers that are scattered over more of the guest than the mapcache may
 * keep; a guest that is left alone; a BAR that is switched off and on.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "drivers/virtio.h"
#include "xen-qemu-cases.h"

#define IO_AT           0xc200u
#define MEM             (1 * CASE_MIB)
#define SECTOR          512u

/* ---- scattered transfers at 32 MiB ---- */

enum { REQUESTS = 8, PIECES = 500 };

#define TABLES          (2 * CASE_MIB)
#define TABLE_BYTES     0x8000u
#define HEADERS         (3 * CASE_MIB)
#define BUCKETS         128u

static uint64_t piece_gpa(unsigned n)
{
    return CASE_DATA_AT + n % BUCKETS * CASE_MIB + 0x43000 +
           n / BUCKETS * SECTOR;
}

static void piece_fill(uint8_t *bytes, unsigned n)
{
    for (unsigned i = 0; i < SECTOR; i += 4) {
        stl_le_p(bytes + i, n << 10 | i);
    }
}

static bool put_requests(CaseRun *run, GuestVirtq *queue, GError **err)
{
    for (unsigned r = 0; r < REQUESTS; r++) {
        const uint64_t at = HEADERS + r * 64;
        GuestSg sg[PIECES + 2];
        uint8_t header[16] = { 1 }, bytes[SECTOR];
        uint16_t head;

        stq_le_p(header + 8, r * PIECES);
        xensim_write(run->dom, at, header, sizeof(header));
        xensim_fill(run->dom, at + 16, 0xff, 1);
        sg[0] = (GuestSg) { at, sizeof(header) };
        for (unsigned i = 0; i < PIECES; i++) {
            unsigned n = r * PIECES + i;

            sg[1 + i] = (GuestSg) { piece_gpa(n), SECTOR };
            piece_fill(bytes, n);
            xensim_write(run->dom, piece_gpa(n), bytes, SECTOR);
        }
        sg[1 + PIECES] = (GuestSg) { at + 16, 1 };
        if (!case_ok(run, guest_virtq_add_indirect(
                queue, TABLES + r * TABLE_BYTES, sg, PIECES + 1, 1, &head),
                err)) {
            return false;
        }
    }
    return true;
}

/* Requests that failed count as all their bytes: nothing false was told. */
static bool count_wrong(CaseRun *run, const char *disk, GError **err)
{
    unsigned wrong = 0, failed = 0;
    g_autofree char *bytes = NULL;
    gsize len;

    if (!g_file_get_contents(disk, &bytes, &len, err)) {
        return false;
    }
    for (unsigned n = 0; n < REQUESTS * PIECES; n++) {
        uint8_t expected[SECTOR];

        piece_fill(expected, n);
        for (unsigned i = 0; i < SECTOR; i++) {
            wrong += (uint8_t)bytes[n * SECTOR + i] != expected[i];
        }
    }
    for (unsigned r = 0; r < REQUESTS; r++) {
        uint8_t status;

        xensim_read(run->dom, HEADERS + r * 64 + 16, &status, 1);
        failed += status != 0;
    }
    case_report(run, "wrong-bytes", wrong);
    case_report(run, "failed-requests", failed);
    return true;
}

static bool make_disk(const char *disk, GError **err)
{
    int fd = open(disk, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0 || ftruncate(fd, 16 * CASE_MIB) < 0) {
        g_set_error(err, G_IO_ERROR, g_io_error_from_errno(errno), "%s: %s",
                    disk, g_strerror(errno));
        return false;
    }
    close(fd);
    return true;
}

static bool scatter(CaseRun *run, GError **err)
{
    g_autofree char *disk = g_build_filename(run->dir, "disk", NULL);
    g_autofree char *drive = g_strdup_printf(
        "driver=file,node-name=disk,cache.no-flush=on,filename=%s", disk);
    const char *const args[] = {
        "-blockdev", drive, "-device", "virtio-blk-pci,drive=disk,"
        "disable-legacy=off,disable-modern=on", NULL
    };
    const char *machine = run->series ?
        "xenfv,suppress-vmdesc=on,mapcache-size=32M" : NULL;
    g_autofree GuestVirtq *queue = g_new0(GuestVirtq, 1);
    GuestVirtio dev;
    uint16_t head;
    gint64 start;
    bool ok = make_disk(disk, err) && case_start(run, machine, args, err) &&
        case_ok(run, guest_virtio_init(run->pc, &dev, GUEST_VIRTIO_BLK, 0,
                                       IO_AT, GUEST_VIRTIO_F_INDIRECT), err) &&
        case_ok(run, guest_virtq_init(&dev, queue, 0, MEM, false), err) &&
        case_ok(run, guest_virtio_start(&dev), err) &&
        put_requests(run, queue, err);

    if (!ok) {
        return false;
    }
    case_watch_begin(run);
    start = g_get_monotonic_time();
    ok = case_ok(run, guest_virtq_kick(queue, true), err);
    for (unsigned i = 0; ok && i < REQUESTS; i++) {
        ok = case_ok(run, guest_virtq_wait(queue, &head, NULL), err);
    }
    case_report(run, "time-ms", (g_get_monotonic_time() - start) / 1e3);
    case_watch_end(run);
    return ok && count_wrong(run, disk, err);
}

/* ---- left alone for a minute ---- */

#define IDLE_SECONDS    80      /* a minute, and a round of the reaper's */

static void report_mapped(CaseRun *run, const char *measure)
{
    XensimMemInfo info;

    xensim_mem_info(run->dom, &info);
    case_report(run, measure, info.mapped_pages * CASE_PAGE / 1024);
}

static bool idle(CaseRun *run, GError **err)
{
    const char *const args[] = {
        "-blockdev", "driver=null-co,node-name=zeroes,size=67108864,"
        "read-zeroes=on", "-device", "ide-hd,bus=ide.0,drive=zeroes", NULL
    };
    GuestIde ide;
    bool ok = case_start(run, NULL, args, err) &&
        case_ok(run, guest_ide_init(run->pc, &ide, 0, 0, MEM), err);

    /* It reads into each of its buckets, as a system does that starts. */
    for (unsigned i = 0; ok && i < 256; i++) {
        const GuestSg sg = { CASE_DATA_AT + i * CASE_MIB, CASE_PAGE };

        ok = case_ok(run, guest_ide_dma(&ide, false, 0, CASE_PAGE / SECTOR,
                                        &sg, 1), err);
    }
    if (ok) {
        report_mapped(run, "mapped-before-kib");
        g_usleep(IDLE_SECONDS * G_USEC_PER_SEC);
        report_mapped(run, "mapped-kib");
    }
    return ok;
}

/* ---- BARs ---- */

static bool bars(CaseRun *run, GError **err)
{
    const char *const args[] = { "-device", "VGA,vgamem_mb=16", NULL };
    XensimLogEntry e;
    uint64_t pages = 0;
    GuestVga vga;
    bool ok = case_start(run, NULL, args, err) &&
        case_ok(run, guest_vga_init(run->pc, &vga, 0), err) &&
        case_ok(run, guest_vga_place(&vga, 0xf0000000, 0), err);

    for (unsigned i = 0; ok && i < 200; i++) {
        ok = case_ok(run, guest_pci_command(run->pc, vga.devfn, 0,
                                            GUEST_PCI_MEMORY), err) &&
             case_ok(run, guest_pci_command(run->pc, vga.devfn,
                                            GUEST_PCI_MEMORY, 0), err);
    }
    if (!ok) {
        return false;
    }
    for (uint64_t i = 0; xensim_log_get(run->dom, XENSIM_LOG_RELOCATE, i, &e);
         i++) {
        pages += e.c;
    }
    case_report(run, "relocated-pages", pages);
    case_report(run, "pins", xensim_count(
        ts_sim(run->ts), "xendevicemodel_pin_memory_cacheattr").calls);
    return true;
}

const Case state_cases[] = {
    { "scatter-32m", scatter },
    { "idle-mapped", idle },
    { "bar-switches", bars },
    { NULL },
};
