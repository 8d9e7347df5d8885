/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the guest does with its devices; see xen-qemu-bench.h.
 *
 * The devices' backends cost as little as possible.  Reads come from a disk of
 * zeroes without a file, and are a memset() into guest memory.  Writes go to a
 * file in memory.  The data is in WARM_BYTES of guest memory; the driver's own
 * lists are in another bucket.
 */
#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "drivers/ahci.h"
#include "drivers/e1000.h"
#include "drivers/nvme.h"
#include "drivers/virtio.h"
#include "xen-qemu-bench.h"

#define KIB             1024u
#define MIB             (1u << 20)
#define DISK_BYTES      (64 * MIB)
#define WARM_AT         (32 * MIB)
#define WARM_BYTES      (16 * MIB)
#define STRIDE          17u             /* from one to the next, 64 KiB each */
#define LISTS_AT        (1 * MIB)       /* of the first disk */
#define OTHER_LISTS_AT  (2 * MIB)       /* of the second */
#define BAR_AT          0xf4000000u
#define OTHER_BAR_AT    0xf4100000u
#define IO_AT           0xc100u
#define OTHER_IO_AT     0xc200u
#define PACKET          1514u
#define PACKETS         128u            /* that are sent at once */
#define NVME_DEPTH      16u             /* requests to a kick */
#define VBLK_DEPTH      32u

enum {
    ZEROES = 0,                         /* the disk to read from */
    SCRATCH = 1,                        /* and the one to write to */
};

struct BenchGuest {
    GuestPc *pc;
    char *image, *socket_path;
    int socket;
    GuestIde ide[2];
    GuestAhci ahci[2];
    GuestNvme nvme[2];
    GuestVblk vblk[2];
    GuestE1000 nic;
    uint64_t done;              /* requests so far: they go round */
};

static bool failed(BenchGuest *g, const BenchLoad *load, int rc, GError **err)
{
    if (!rc) {
        return true;
    }
    g_set_error(err, G_IO_ERROR, g_io_error_from_errno(-rc), "%s: %s",
                load ? load->name : "setting up", guest_pc_error(g->pc));
    return false;
}

/*
 * Where the next request's data is, in memory and on disk: each in another
 * bucket than the one before, as buffers of a guest's page cache are.
 */
static uint64_t next_gpa(BenchGuest *g, const BenchLoad *load)
{
    const uint64_t pieces = WARM_BYTES / (64 * KIB);
    uint64_t within = g->done / pieces * load->bytes % (64 * KIB);
    uint64_t piece = g->done++ * STRIDE % pieces;

    return WARM_AT + piece * (64 * KIB) + within;
}

static uint64_t lba_of(uint64_t gpa)
{
    return (gpa - WARM_AT) / GUEST_SECTOR_SIZE;
}

/* ---- each device's way to move data: @n requests ---- */

static bool run_ide(BenchGuest *g, const BenchLoad *load, unsigned n,
                    GError **err)
{
    unsigned i;
    int rc = 0;

    for (i = 0; !rc && i < n; i++) {
        GuestSg sg = { next_gpa(g, load), load->bytes };

        rc = guest_ide_dma(&g->ide[load->write], load->write, lba_of(sg.gpa),
                           load->bytes / GUEST_SECTOR_SIZE, &sg, 1);
    }
    return failed(g, load, rc, err);
}

static bool run_ahci(BenchGuest *g, const BenchLoad *load, unsigned n,
                     GError **err)
{
    unsigned i;
    int rc = 0;

    for (i = 0; !rc && i < n; i++) {
        GuestSg sg = { next_gpa(g, load), load->bytes };

        rc = guest_ahci_dma(&g->ahci[load->write], load->write,
                            lba_of(sg.gpa), load->bytes / GUEST_SECTOR_SIZE,
                            &sg, 1);
    }
    return failed(g, load, rc, err);
}

/* As many as one kick is for, started by @flush or as reads and writes. */
static int nvme_batch(BenchGuest *g, const BenchLoad *load, unsigned n)
{
    GuestNvme *nvme = &g->nvme[load->write];
    uint16_t tag;
    unsigned i;
    int rc = 0;

    for (i = 0; !rc && i < n; i++) {
        if (load->bytes) {
            uint64_t gpa = next_gpa(g, load);

            rc = guest_nvme_start(nvme, load->write, lba_of(gpa), gpa,
                                  load->bytes, &tag);
        } else {
            rc = guest_nvme_start_flush(nvme, &tag);
        }
    }
    if (!rc) {
        rc = guest_nvme_kick(nvme);
    }
    for (i = 0; !rc && i < n; i++) {
        rc = guest_nvme_wait(nvme, NULL);
    }
    return rc ? rc : guest_nvme_seen(nvme);
}

static bool run_nvme(BenchGuest *g, const BenchLoad *load, unsigned n,
                     GError **err)
{
    int rc = 0;

    for (; !rc && n; n -= MIN(n, NVME_DEPTH)) {
        rc = nvme_batch(g, load, MIN(n, NVME_DEPTH));
    }
    return failed(g, load, rc, err);
}

static int vblk_batch(BenchGuest *g, const BenchLoad *load, unsigned n)
{
    GuestVblk *blk = &g->vblk[load->write];
    uint16_t tag;
    unsigned i;
    int rc = 0;

    for (i = 0; !rc && i < n; i++) {
        GuestSg sg = { next_gpa(g, load), load->bytes };

        rc = guest_vblk_start(blk, load->write, lba_of(sg.gpa), &sg, 1, &tag);
    }
    if (!rc) {
        rc = guest_vblk_kick(blk);
    }
    for (i = 0; !rc && i < n; i++) {
        rc = guest_vblk_wait(blk, NULL);
    }
    return rc;
}

static bool run_vblk(BenchGuest *g, const BenchLoad *load, unsigned n,
                     GError **err)
{
    int rc = 0;

    for (; !rc && n; n -= MIN(n, VBLK_DEPTH)) {
        rc = vblk_batch(g, load, MIN(n, VBLK_DEPTH));
    }
    return failed(g, load, rc, err);
}

/* The device looks at its ring and finds nothing new. */
static bool run_kicks(BenchGuest *g, const BenchLoad *load, unsigned n,
                      GError **err)
{
    unsigned i;
    int rc = 0;

    for (i = 0; !rc && i < n; i++) {
        rc = guest_vblk_kick(&g->vblk[ZEROES]);
    }
    return failed(g, load, rc, err);
}

/* What one access of the guest's CPU to a register costs, for scale. */
static bool run_ports(BenchGuest *g, const BenchLoad *load, unsigned n,
                      GError **err)
{
    uint32_t val;
    unsigned i;
    int rc = 0;

    for (i = 0; !rc && i < n; i++) {
        rc = guest_in(g->pc, g->ide[ZEROES].bm + 2, 1, &val);
    }
    return failed(g, load, rc, err);
}

static void make_packet(uint8_t *packet, unsigned number)
{
    unsigned i;

    memset(packet, 0xff, 6);    /* to everybody */
    for (i = 6; i < PACKET; i++) {
        packet[i] = number + i * 7;
    }
}

static bool packet_batch(BenchGuest *g, const BenchLoad *load, unsigned n,
                         bool check, GError **err)
{
    uint8_t packet[PACKET], got[PACKET];
    unsigned i, len;
    int rc = 0;

    for (i = 0; i < n; i++) {
        make_packet(packet, i);
        if (send(g->socket, packet, PACKET, 0) != PACKET) {
            return failed(g, load, -errno, err);
        }
    }
    for (i = 0; !rc && i < n; i++) {
        rc = guest_e1000_receive(&g->nic, check ? got : NULL, PACKET, &len);
        if (!rc && check) {
            make_packet(packet, i);
            if (len != PACKET || memcmp(packet, got, PACKET)) {
                g_set_error(err, G_IO_ERROR, G_IO_ERROR_FAILED, "%s: packet "
                            "%u did not arrive as it was sent", load->name,
                            i);
                return false;
            }
        }
    }
    return failed(g, load, rc ? rc : guest_e1000_refill(&g->nic), err);
}

static bool run_packets(BenchGuest *g, const BenchLoad *load, unsigned n,
                        GError **err)
{
    for (; n; n -= MIN(n, PACKETS)) {
        if (!packet_batch(g, load, MIN(n, PACKETS), false, err)) {
            return false;
        }
    }
    return true;
}

/* ---- before it is measured ---- */

static bool warm_up(BenchGuest *g, const BenchLoad *load, GError **err)
{
    return load->run(g, load, MAX(2 * WARM_BYTES / (64 * KIB), PACKETS), err);
}

static bool prepare_packets(BenchGuest *g, const BenchLoad *load,
                            GError **err)
{
    return packet_batch(g, load, PACKETS, true, err) &&
           warm_up(g, load, err);
}

static bool wrong(const BenchLoad *load, GError **err)
{
    g_set_error(err, G_IO_ERROR, G_IO_ERROR_FAILED, "%s: the data that "
                "arrived is not what was sent", load->name);
    return false;
}

static bool all_zero(const uint8_t *p, size_t len)
{
    return !*p && !memcmp(p, p + 1, len - 1);
}

/* A read brings zeroes, all of them and no more. */
static bool prepare_read(BenchGuest *g, const BenchLoad *load, GError **err)
{
    g_autofree uint8_t *buf = g_malloc(load->bytes + 2);
    int rc;

    memset(buf, 0x5a, load->bytes + 2);
    g->done = 1;
    rc = guest_mem_write(g->pc, WARM_AT + STRIDE * 64 * KIB - 1, buf,
                         load->bytes + 2);
    if (rc) {
        return failed(g, load, rc, err);
    }
    if (!load->run(g, load, 1, err)) {
        return false;
    }
    rc = guest_mem_read(g->pc, WARM_AT + STRIDE * 64 * KIB - 1, buf,
                        load->bytes + 2);
    if (rc) {
        return failed(g, load, rc, err);
    }
    if (buf[0] != 0x5a || buf[load->bytes + 1] != 0x5a ||
        !all_zero(buf + 1, load->bytes)) {
        return wrong(load, err);
    }
    g->done = 0;
    return warm_up(g, load, err);
}

static bool prepare_write(BenchGuest *g, const BenchLoad *load, GError **err)
{
    g_autofree uint8_t *sent = g_malloc(load->bytes);
    g_autofree uint8_t *got = g_malloc0(load->bytes);
    unsigned i;
    int fd, rc;

    for (i = 0; i < load->bytes; i++) {
        sent[i] = i * 11 + i / 256;
    }
    g->done = 1;
    rc = guest_mem_write(g->pc, WARM_AT + STRIDE * 64 * KIB, sent,
                         load->bytes);
    if (rc) {
        return failed(g, load, rc, err);
    }
    if (!load->run(g, load, 1, err)) {
        return false;
    }
    fd = open(g->image, O_RDONLY | O_CLOEXEC);
    rc = fd < 0 ? -1 : pread(fd, got, load->bytes, STRIDE * 64 * KIB);
    close(fd);
    if (rc != load->bytes || memcmp(sent, got, load->bytes)) {
        return wrong(load, err);
    }
    g->done = 0;
    return warm_up(g, load, err);
}

/* ---- which loads there are ---- */

const BenchLoad bench_loads[] = {
    { "ide-read-64k", "ide", 4096, 64 * KIB, prepare_read, run_ide },
    { "ide-read-4k", "ide", 4096, 4 * KIB, prepare_read, run_ide },
    { "ide-write-64k", "ide", 4096, 64 * KIB, prepare_write, run_ide, true },
    { "ide-write-4k", "ide", 4096, 4 * KIB, prepare_write, run_ide, true },
    { "register", "ide", 16384, 0, warm_up, run_ports },
    { "ahci-read-64k", "ahci", 4096, 64 * KIB, prepare_read, run_ahci },
    { "ahci-read-4k", "ahci", 4096, 4 * KIB, prepare_read, run_ahci },
    { "ahci-write-64k", "ahci", 4096, 64 * KIB, prepare_write, run_ahci, true },
    { "ahci-write-4k", "ahci", 4096, 4 * KIB, prepare_write, run_ahci, true },
    { "nvme-read-64k", "nvme", 8192, 64 * KIB, prepare_read, run_nvme },
    { "nvme-read-4k", "nvme", 16384, 4 * KIB, prepare_read, run_nvme },
    { "nvme-write-64k", "nvme", 8192, 64 * KIB, prepare_write, run_nvme, true },
    { "nvme-write-4k", "nvme", 16384, 4 * KIB, prepare_write, run_nvme, true },
    { "nvme-ring", "nvme", 16384, 0, warm_up, run_nvme },
    { "vblk-read-64k", "vblk", 16384, 64 * KIB, prepare_read, run_vblk },
    { "vblk-read-4k", "vblk", 32768, 4 * KIB, prepare_read, run_vblk },
    { "vblk-write-64k", "vblk", 16384, 64 * KIB, prepare_write, run_vblk,
      true },
    { "vblk-write-4k", "vblk", 32768, 4 * KIB, prepare_write, run_vblk, true },
    { "virtio-kick", "vblk", 16384, 0, warm_up, run_kicks },
    { "e1000-receive", "e1000", 16384, PACKET, prepare_packets,
      run_packets },
};

const unsigned bench_n_loads = ARRAY_SIZE(bench_loads);

/* ---- devices ---- */

static void add_devices(GPtrArray *args, const char *group,
                        const char *socket_path)
{
    static const struct {
        const char *group, *device[3];
    } devices[] = {
        { "ide", { "ide-hd,bus=ide.0,drive=zeroes",
                   "ide-hd,bus=ide.1,drive=scratch" } },
        { "ahci", { "ich9-ahci,id=ahci,addr=6",
                    "ide-hd,bus=ahci.0,drive=zeroes",
                    "ide-hd,bus=ahci.1,drive=scratch" } },
        { "nvme", { "nvme,serial=one,drive=zeroes",
                    "nvme,serial=two,drive=scratch" } },
        { "vblk", { "virtio-blk-pci,disable-legacy=off,drive=zeroes",
                    "virtio-blk-pci,disable-legacy=off,drive=scratch" } },
        { "e1000", { "e1000,netdev=net,romfile=" } },
    };
    unsigned i, j;

    if (!strcmp(group, "e1000")) {
        g_ptr_array_add(args, g_strdup("-netdev"));
        g_ptr_array_add(args, g_strdup_printf(
            "dgram,id=net,local.type=unix,local.path=%s,remote.type=unix,"
            "remote.path=%s.out", socket_path, socket_path));
    }
    for (i = 0; i < ARRAY_SIZE(devices); i++) {
        for (j = 0; j < 3 && devices[i].device[j] &&
             !strcmp(devices[i].group, group); j++) {
            g_ptr_array_add(args, g_strdup("-device"));
            g_ptr_array_add(args, g_strdup(devices[i].device[j]));
        }
    }
}

char **bench_group_args(const char *group, const char *dir, GError **err)
{
    g_autofree char *image = g_build_filename(dir, "disk", NULL);
    g_autofree char *packets = g_build_filename(dir, "packets", NULL);
    g_autoptr(GPtrArray) args = g_ptr_array_new();
    int fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0 || ftruncate(fd, DISK_BYTES) < 0) {
        g_set_error(err, G_IO_ERROR, g_io_error_from_errno(errno),
                    "%s: cannot make a disk image: %s", image,
                    g_strerror(errno));
        return NULL;
    }
    close(fd);
    g_unlink(packets);
    g_ptr_array_add(args, g_strdup("-blockdev"));
    g_ptr_array_add(args, g_strdup_printf(
        "driver=null-co,node-name=zeroes,size=%u,read-zeroes=on",
        DISK_BYTES));
    g_ptr_array_add(args, g_strdup("-blockdev"));
    g_ptr_array_add(args, g_strdup_printf(
        "driver=file,node-name=scratch,cache.no-flush=on,filename=%s",
        image));
    add_devices(args, group, packets);
    g_ptr_array_add(args, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&args), false);
}

static int set_up(BenchGuest *g, const char *group, unsigned i)
{
    const uint64_t lists = i ? OTHER_LISTS_AT : LISTS_AT;
    const uint32_t bar = i ? OTHER_BAR_AT : BAR_AT;

    if (!strcmp(group, "ide")) {
        return guest_ide_init(g->pc, &g->ide[i], i, 0, lists);
    } else if (!strcmp(group, "ahci")) {
        return guest_ahci_init(g->pc, &g->ahci[i], i, BAR_AT, lists);
    } else if (!strcmp(group, "nvme")) {
        return guest_nvme_init(g->pc, &g->nvme[i], i, bar, lists);
    } else if (!strcmp(group, "vblk")) {
        return guest_vblk_init(g->pc, &g->vblk[i], i,
                               i ? OTHER_IO_AT : IO_AT, lists);
    }
    return i ? 0 : guest_e1000_init(g->pc, &g->nic, bar, lists);
}

static bool connect_packets(BenchGuest *g, GError **err)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };

    g_strlcpy(addr.sun_path, g->socket_path, sizeof(addr.sun_path));
    g->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (g->socket < 0 || connect(g->socket, (struct sockaddr *)&addr,
                                 sizeof(addr)) < 0) {
        g_set_error(err, G_IO_ERROR, g_io_error_from_errno(errno),
                    "%s: cannot send packets: %s", g->socket_path,
                    g_strerror(errno));
        return false;
    }
    return true;
}

BenchGuest *bench_guest_new(BenchMachine *machine, const char *group,
                            const char *dir, GError **err)
{
    BenchGuest *g = g_new0(BenchGuest, 1);
    unsigned i;

    g->pc = machine->pc;
    g->socket = -1;
    g->image = g_build_filename(dir, "disk", NULL);
    g->socket_path = g_build_filename(dir, "packets", NULL);
    for (i = 0; i < 2; i++) {
        if (!failed(g, NULL, set_up(g, group, i), err)) {
            bench_guest_free(g);
            return NULL;
        }
    }
    /* The card takes no packet in the first second. */
    if (!strcmp(group, "e1000") &&
        (!bench_machine_pass_time(machine, 1100) ||
         !connect_packets(g, err))) {
        bench_guest_free(g);
        return NULL;
    }
    return g;
}

void bench_guest_free(BenchGuest *g)
{
    if (g->socket >= 0) {
        close(g->socket);
    }
    g_free(g->image);
    g_free(g->socket_path);
    g_free(g);
}
