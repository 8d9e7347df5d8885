/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk's DMA to what cannot be mapped, on a controller whose lists leave no
 * bounce buffer for a whole block; and commands in all of its slots.  On a
 * guest of Xen's and on a machine of QEMU's own, for nothing of it is Xen's.
 */
#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "drivers/ahci.h"
#include "xen-test-common.h"

enum {
    SEED = 101,
    DISK_PAGES = 64,
    PORT = 3,                   /* of the disk */
    NOWHERE = 0xe0000000u,      /* nothing is there */
    LISTS = 1024 + 256,         /* bytes that a port's lists take */
    BOUNCE = 4096,              /* ... of so many for all */
    LAST_PORT = 4,
    COMMANDS = 1,               /* a port uses its list of 1024 bytes */
    ANSWERS = 0x10,             /* ... and that of 256 */
    MEM = 0x100000,             /* the driver's own memory */
    BUFFER = 0x200000,
    TABLES = MEM + 0x10000,     /* of commands in all slots */
    SLOTS = 32,
};

typedef struct Machine {
    GuestPc *pc;
    GuestAhci ahci;
    QTestState *qts;
    const char *dir;
} Machine;

static void ok(Machine *m, int rc)
{
    if (rc) {
        g_error("%s", guest_pc_error(m->pc));
    }
}

static char *disk_args(const char *dir)
{
    return g_strdup_printf("-device ich9-ahci,id=ahci,addr=5 -drive "
                           "file='%s/disk',format=raw,if=none,id=d "
                           "-device ide-hd,drive=d,bus=ahci.%d", dir, PORT);
}

/* Starts what @bits say of port @i, whose lists lie nowhere. */
static void start_port(Machine *m, unsigned i, uint32_t bits)
{
    uint64_t regs = m->ahci.port + ((int)i - PORT) * 0x80ll;

    ok(m, guest_mmio_out(m->pc, regs + 0x00, 4, NOWHERE + i * 0x1000));
    ok(m, guest_mmio_out(m->pc, regs + 0x08, 4, NOWHERE + i * 0x1000 + 0x400));
    ok(m, guest_mmio_out(m->pc, regs + 0x18, 4, bits));
}

/*
 * The lists of the ports without a disk are where they must be bounced.  That
 * leaves 256 bytes, or nothing.
 */
static void set_up(Machine *m, bool nothing)
{
    ok(m, guest_ahci_init(m->pc, &m->ahci, PORT, XEN_TEST_AHCI_BAR, MEM));
    for (unsigned i = 0; i < BOUNCE / LISTS; i++) {
        start_port(m, i, COMMANDS | ANSWERS);
    }
    if (nothing) {
        start_port(m, LAST_PORT, ANSWERS);
    }
    guest_pc_set_timeout(m->pc, 5000);
}

static void tear_down(Machine *m)
{
    for (unsigned i = 0; i < BOUNCE / LISTS; i++) {
        start_port(m, i, 0);
    }
    start_port(m, LAST_PORT, 0);
    ok(m, guest_ahci_stop(&m->ahci));
}

static const char *sectors(Machine *m, unsigned n)
{
    const GuestSg sg = { NOWHERE + 0x100000, n * GUEST_SECTOR_SIZE };

    for (unsigned write = 0; write < 2; write++) {
        int rc = guest_ahci_dma(&m->ahci, write, 8, n, &sg, 1);

        XEN_REQUIRE(rc == 0, "%s %u sectors: %s", write ? "writing"
                    : "reading", n, guest_pc_error(m->pc));
    }
    return NULL;
}

/* A block in pieces, some of which are nowhere, beside whole blocks. */
static const char *pieces(Machine *m)
{
    const GuestSg sg[] = {
        { BUFFER, 300 }, { NOWHERE + 0x200000, 100 }, { BUFFER + 300, 112 },
        { BUFFER + 412, 1024 }, { NOWHERE + 0x300000, 2 },
        { BUFFER + 1436, 510 },
    };
    uint8_t bytes[1946], disk[4 * GUEST_SECTOR_SIZE];
    g_autofree char *path = g_strconcat(m->dir, "/disk", NULL);
    g_autofree char *image = NULL;

    for (unsigned i = 0; i < sizeof(bytes); i++) {
        bytes[i] = i * 7 + i / 256;
    }
    ok(m, guest_mem_write(m->pc, BUFFER, bytes, sizeof(bytes)));
    XEN_REQUIRE(guest_ahci_dma(&m->ahci, true, 16, 4, sg, ARRAY_SIZE(sg)) == 0,
                "writing pieces: %s", guest_pc_error(m->pc));
    g_assert_true(g_file_get_contents(path, &image, NULL, NULL));
    memcpy(disk, image + 16 * GUEST_SECTOR_SIZE, sizeof(disk));
    XEN_REQUIRE(!memcmp(disk, bytes, 300) &&
                !memcmp(disk + 400, bytes + 300, 112 + 1024) &&
                !memcmp(disk + 1538, bytes + 1436, 510),
                "wrote other bytes beside some that are nowhere");

    memset(bytes, 0, sizeof(bytes));
    ok(m, guest_mem_write(m->pc, BUFFER, bytes, sizeof(bytes)));
    XEN_REQUIRE(guest_ahci_dma(&m->ahci, false, 16, 4, sg, ARRAY_SIZE(sg)) ==
                0, "reading pieces: %s", guest_pc_error(m->pc));
    ok(m, guest_mem_read(m->pc, BUFFER, bytes, sizeof(bytes)));
    XEN_REQUIRE(!memcmp(disk, bytes, 300) &&
                !memcmp(disk + 400, bytes + 300, 112 + 1024) &&
                !memcmp(disk + 1538, bytes + 1436, 510),
                "read other bytes beside some that are nowhere");
    return NULL;
}

/* A command in each slot, all issued at once: each writes a sector. */
static const char *slots(Machine *m)
{
    uint8_t bytes[SLOTS * GUEST_SECTOR_SIZE];
    g_autofree char *path = g_strconcat(m->dir, "/disk", NULL);
    g_autofree char *image = NULL;
    uint32_t task;

    for (unsigned i = 0; i < sizeof(bytes); i++) {
        bytes[i] = i * 11 + i / GUEST_SECTOR_SIZE;
    }
    ok(m, guest_mem_write(m->pc, BUFFER, bytes, sizeof(bytes)));
    for (unsigned i = 0; i < SLOTS; i++) {
        const GuestSg sg = { BUFFER + i * GUEST_SECTOR_SIZE,
                             GUEST_SECTOR_SIZE };

        ok(m, guest_ahci_prepare(&m->ahci, i, true, 32 + i, 1,
                                 TABLES + i * 0x100, &sg, 1));
    }
    ok(m, guest_ahci_issue(&m->ahci, UINT32_MAX));
    XEN_REQUIRE(guest_ahci_wait(&m->ahci, UINT32_MAX, &task) == 0,
                "commands in all slots: %s", guest_pc_error(m->pc));
    g_assert_true(g_file_get_contents(path, &image, NULL, NULL));
    XEN_REQUIRE(!memcmp(image + 32 * GUEST_SECTOR_SIZE, bytes, sizeof(bytes)),
                "commands in all slots wrote other bytes");
    return NULL;
}

static const char *all(Machine *m)
{
    for (unsigned nothing = 0; nothing < 2; nothing++) {
        set_up(m, nothing);
        XEN_TRY(sectors(m, 1));
        XEN_TRY(sectors(m, 3));
        XEN_TRY(sectors(m, 200));
        XEN_TRY(pieces(m));
        XEN_TRY(slots(m));
        tear_down(m);
    }
    return NULL;
}

/* ---- on a guest of Xen's ---- */

static const char *with_xen(XenTest *t)
{
    g_autofree char *args = NULL;
    Machine m;

    xen_test_disk(t, DISK_PAGES, SEED);
    args = disk_args(t->dir);
    xen_test_start(t, args);
    m = (Machine) { .pc = t->pc, .qts = t->qts, .dir = t->dir };
    return all(&m);
}

/* ---- on a machine of QEMU's own ---- */

static int port_access(QTestState *qts, XensimIoreq *req)
{
    switch (req->size | req->read << 4) {
    case 0x11:
        req->data = qtest_inb(qts, req->addr);
        return 0;
    case 0x12:
        req->data = qtest_inw(qts, req->addr);
        return 0;
    case 0x14:
        req->data = qtest_inl(qts, req->addr);
        return 0;
    case 1:
        qtest_outb(qts, req->addr, req->data);
        return 0;
    case 2:
        qtest_outw(qts, req->addr, req->data);
        return 0;
    default:
        qtest_outl(qts, req->addr, req->data);
        return 0;
    }
}

static int plain_access(void *opaque, XensimIoreq *req)
{
    QTestState *qts = opaque;
    uint32_t devfn = req->addr >> 32, reg = req->addr;
    int rc;

    switch (req->type) {
    case XENSIM_IOREQ_PIO:
        return port_access(qts, req);
    case XENSIM_IOREQ_PCI_CONFIG:
        qtest_outl(qts, 0xcf8, 0x80000000u | devfn << 8 | (reg & 0xfc));
        req->addr = 0xcfc | (reg & 3);
        rc = port_access(qts, req);
        req->addr = (uint64_t)devfn << 32 | reg;
        return rc;
    default:
        if (req->read) {
            req->data = 0;
            qtest_memread(qts, req->addr, &req->data, req->size);
        } else {
            qtest_memwrite(qts, req->addr, &req->data, req->size);
        }
        return 0;
    }
}

static int plain_read(void *opaque, uint64_t gpa, void *buf, size_t len)
{
    qtest_memread(opaque, gpa, buf, len);
    return 0;
}

static int plain_write(void *opaque, uint64_t gpa, const void *buf,
                       size_t len)
{
    qtest_memwrite(opaque, gpa, buf, len);
    return 0;
}

static const GuestBus plain_bus = {
    .access = plain_access,
    .read = plain_read,
    .write = plain_write,
};

static void without_xen(void)
{
    g_autofree char *dir = g_dir_make_tmp("dma-helpers-XXXXXX", NULL);
    g_autofree char *disk = g_strconcat(dir, "/disk", NULL);
    g_autofree char *args = disk_args(dir);
    g_autofree char *image = g_malloc0(DISK_PAGES * XEN_TEST_PAGE);
    Machine m = { .dir = dir };
    const char *text;

    g_assert_true(g_file_set_contents(disk, image, DISK_PAGES * XEN_TEST_PAGE,
                                      NULL));
    m.qts = qtest_initf("-M pc -nodefaults -L '%s' %s",
                        getenv("XEN_TEST_ROMS") ?: "/usr/share/seabios", args);
    m.pc = guest_pc_new_on(&plain_bus, m.qts);
    text = all(&m);
    if (text) {
        g_error("%s", text);
    }
    guest_pc_free(m.pc);
    qtest_quit(m.qts);
    unlink(disk);
    rmdir(dir);
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("dma-helpers/with-xen", with_xen, NULL);
    qtest_add_func("xen/dma-helpers/without-xen", without_xen);
    return g_test_run();
}
