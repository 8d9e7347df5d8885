/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The xenpvh machine: a guest grants pages to its device model, which reaches
 * them at (1 << 63) + reference * 4096.  Virtio devices, whose drivers give
 * them such addresses, map what is granted, for reading or for writing, and
 * let go of it at once.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "xen-test-common.h"

#define ECAM        0xe0000000u
#define BAR         0xc0000000u
#define GRANT(ref)  (1ull << 63 | (uint64_t)(ref) * XEN_TEST_PAGE)
#define MACHINE \
    "-machine xenpvh,pci-ecam-base=0xe0000000,pci-ecam-size=0x10000000," \
    "pci-mmio-base=0xc0000000,pci-mmio-size=0x10000000 "

enum { SEED = 91, DISK_PAGES = 2048, QUEUE_LEN = 16,
       /* Guest pages: a queue of three, a request's header and status. */
       RING = 0x400, REQUEST = 0x410, DATA = 0x500 };

/* Virtio's common registers, and where the others are in the BAR. */
enum { FEATURE_SEL = 0x08, FEATURE = 0x0c, STATUS = 0x14, Q_SEL = 0x16,
       Q_SIZE = 0x18, Q_ENABLE = 0x1c, Q_DESC = 0x20, Q_AVAIL = 0x28,
       Q_USED = 0x30, NOTIFY = 0x3000 };
enum { SEEN = 1, DRIVER = 2, READY = 4, FEATURES_OK = 8, NEEDS_RESET = 64 };
enum { DESC_NEXT = 1, DESC_WRITE = 2 };

/* The device at slot 1, with one queue in use. */
typedef struct Virtio {
    XenTest *t;
    unsigned queue;
    uint16_t sent;          /* requests made available */
    unsigned descs;         /* descriptors of the request being made */
} Virtio;

typedef struct Desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
} Desc;

static void out(Virtio *v, unsigned reg, unsigned size, uint64_t val)
{
    xensim_mmio_write(v->t->dom, BAR + reg, size, val);
}

static uint64_t in(Virtio *v, unsigned reg, unsigned size)
{
    return xensim_mmio_read(v->t->dom, BAR + reg, size);
}

static void out_addr(Virtio *v, unsigned reg, uint64_t addr)
{
    out(v, reg, 4, (uint32_t)addr);
    out(v, reg + 4, 4, addr >> 32);
}

/* Pages of the queue: descriptors, what is available, what was used. */
static void start_queue(Virtio *v, uint64_t desc, uint64_t avail,
                        uint64_t used)
{
    xensim_fill(v->t->dom, RING * XEN_TEST_PAGE, 0, 3 * XEN_TEST_PAGE);
    v->sent = 0;
    v->descs = 0;
    out(v, STATUS, 1, 0);
    out(v, STATUS, 1, SEEN | DRIVER);
    out(v, FEATURE_SEL, 4, 1);
    out(v, FEATURE, 4, 3);              /* version 1, platform addresses */
    out(v, FEATURE_SEL, 4, 0);
    out(v, FEATURE, 4, 1 << 1);         /* the balloon's statistics */
    out(v, STATUS, 1, SEEN | DRIVER | FEATURES_OK);
    out(v, Q_SEL, 2, v->queue);
    out(v, Q_SIZE, 2, QUEUE_LEN);
    out_addr(v, Q_DESC, desc);
    out_addr(v, Q_AVAIL, avail);
    out_addr(v, Q_USED, used);
    out(v, Q_ENABLE, 2, 1);
    out(v, STATUS, 1, SEEN | DRIVER | FEATURES_OK | READY);
}

static void start_in_ram(Virtio *v)
{
    start_queue(v, RING * XEN_TEST_PAGE, (RING + 1) * XEN_TEST_PAGE,
                (RING + 2) * XEN_TEST_PAGE);
}

static void start_device(XenTest *t, Virtio *v, unsigned queue,
                         const char *args)
{
    g_autofree char *all = g_strdup_printf(MACHINE "%s", args);

    xen_test_start(t, all);
    *v = (Virtio) { .t = t, .queue = queue };
    xensim_mmio_write(t->dom, ECAM + (1 << 15) + 0x20, 4, BAR);
    xensim_mmio_write(t->dom, ECAM + (1 << 15) + 0x24, 4, 0);
    xensim_mmio_write(t->dom, ECAM + (1 << 15) + 4, 2,
                      GUEST_PCI_MEMORY | GUEST_PCI_MASTER);
    start_in_ram(v);
}
#define start_device(...) XEN_AT(start_device(__VA_ARGS__))

/* A request is a chain of pieces, the first at descriptor 0. */
static void add(Virtio *v, uint64_t addr, uint32_t len, unsigned flags)
{
    Desc d = { cpu_to_le64(addr), cpu_to_le32(len), cpu_to_le16(flags),
               cpu_to_le16(v->descs + 1) };

    xensim_write(v->t->dom, RING * XEN_TEST_PAGE + v->descs * sizeof(d), &d,
                 sizeof(d));
    v->descs++;
}

static void submit(Virtio *v)
{
    uint64_t avail = (RING + 1) * XEN_TEST_PAGE;
    uint16_t head = 0, idx = cpu_to_le16(v->sent + 1);

    xensim_write(v->t->dom, avail + 4 + v->sent % QUEUE_LEN * 2, &head, 2);
    xensim_write(v->t->dom, avail + 2, &idx, 2);
    v->sent++;
    v->descs = 0;
    out(v, NOTIFY + v->queue * 4, 2, v->queue);
}

/* Waits for the answer; false if the device gave up on the driver. */
static bool answered(Virtio *v)
{
    for (unsigned i = 0; i < 1000; i++) {
        uint16_t idx;

        xensim_read(v->t->dom, (RING + 2) * XEN_TEST_PAGE + 2, &idx, 2);
        if (le16_to_cpu(idx) == v->sent) {
            return true;
        }
        if (in(v, STATUS, 1) & NEEDS_RESET) {
            return false;
        }
        g_usleep(5000);
    }
    xen_test_no_answer(v->t, "a virtio request");
}

/* ---- a disk ---- */

static void start_disk(XenTest *t, Virtio *v)
{
    g_autofree char *file = g_strdup_printf("%s/disk", t->dir);
    g_autofree char *args =
        g_strdup_printf("-drive file='%s',format=raw,if=none,id=d "
                        "-device virtio-blk-pci,addr=1,drive=d,"
                        "iommu_platform=on,disable-legacy=on ", file);

    xen_test_disk(t, DISK_PAGES, SEED);
    start_device(t, v, 0, args);
}
#define start_disk(...) XEN_AT(start_disk(__VA_ARGS__))

/* Begins a transfer of the disk's page @page; pieces are added to it. */
static void transfer(Virtio *v, bool write, unsigned page)
{
    struct {
        uint32_t type, reserved;
        uint64_t sector;
    } header = { cpu_to_le32(write), 0, cpu_to_le64(page * 8) };
    uint8_t status = 0xff;

    xensim_write(v->t->dom, REQUEST * XEN_TEST_PAGE, &header, sizeof(header));
    xensim_write(v->t->dom, REQUEST * XEN_TEST_PAGE + 64, &status, 1);
    add(v, REQUEST * XEN_TEST_PAGE, sizeof(header), DESC_NEXT);
}

/* True if the transfer was done. */
static bool finish(Virtio *v)
{
    uint8_t status;

    add(v, REQUEST * XEN_TEST_PAGE + 64, 1, DESC_WRITE);
    submit(v);
    if (!answered(v)) {
        return false;
    }
    xensim_read(v->t->dom, REQUEST * XEN_TEST_PAGE + 64, &status, 1);
    return status == 0;
}

/* Grants @n pages from @gfn; the first reference, which @n - 1 follow. */
static int grant(XenTest *t, uint64_t gfn, unsigned n, bool readonly)
{
    int first = xensim_grant(t->dom, 0, gfn, readonly);

    for (unsigned i = 1; i < n; i++) {
        g_assert_cmpint(xensim_grant(t->dom, 0, gfn + i, readonly), ==,
                        first + i);
    }
    return first;
}
#define grant(...) XEN_AT(grant(__VA_ARGS__))

/* No grant is mapped, by Xen's books and by its own. */
static const char *let_go(XenTest *t, int ref, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        XEN_REQUIRE(xensim_grant_mappings(t->dom, ref + i) == 0,
                    "keeps a grant mapped");
    }
    XEN_REQUIRE(xen_test_stat(t, "grants") == 0, "counts a grant as mapped");
    return NULL;
}
#define let_go(...) XEN_AT(let_go(__VA_ARGS__))

/* The device model counts the calls that Xen counts, those that fail too. */
static const char *counted(XenTest *t)
{
    XensimCount maps = xensim_count_maps(t->sim);
    XensimCount grants = xensim_count(t->sim,
                                      "xengnttab_map_domain_grant_refs");

    if (t->stock) {
        return NULL;
    }
    XEN_REQUIRE(xen_test_stat(t, "map-calls") ==
                maps.calls - t->before.calls + grants.calls,
                "miscounts map calls");
    XEN_REQUIRE(xen_test_stat(t, "map-pages") ==
                maps.pages - t->before.pages + grants.pages,
                "miscounts the pages of map calls");
    XEN_REQUIRE(xen_test_stat(t, "map-failures") ==
                maps.failures - t->before.failures + grants.failures,
                "counts %" PRIu64 " failed map calls; %" PRIu64
                " calls for grants failed", xen_test_stat(t, "map-failures"),
                grants.failures);
    return NULL;
}
#define counted(...) XEN_AT(counted(__VA_ARGS__))

/* The driver lets go of the device; all that it held is unmapped. */
static const char *done(Virtio *v)
{
    XenTest *t = v->t;

    out(v, STATUS, 1, 0);
    XEN_REQUIRE(xen_test_settles(t, "dma", "held"),
                "has a DMA mapping left");
    XEN_REQUIRE(xen_test_settles(t, "grants", NULL), "has a grant left");
    XEN_REQUIRE(xen_test_stat(t, "unmatched") == 0,
                "released what it did not hold");
    XEN_TRY(counted(t));
    xensim_invalidate(t->dom);
    XEN_REQUIRE(t->stock || xen_test_ram_mapped(t) == 0,
                "has a mapping of RAM left");
    xen_test_stop(t);
    return NULL;
}

/* Pages come into memory that is granted: one, and several in one piece. */
static const char *read_pages(XenTest *t)
{
    Virtio v;
    int ref;

    start_disk(t, &v);
    xensim_stamp(t->dom, DATA - 1, 6, 1);
    ref = grant(t, DATA, 4, false);
    for (unsigned n = 1; n <= 4; n++) {
        transfer(&v, false, n);
        add(&v, GRANT(ref), n * XEN_TEST_PAGE, DESC_NEXT | DESC_WRITE);
        XEN_REQUIRE(finish(&v), "fails to read %u pages", n);
        XEN_TRY(xen_test_disk_at(t, DATA * XEN_TEST_PAGE, n, n, SEED,
                                 "read other bytes"));
        XEN_TRY(let_go(t, ref, 4));
    }
    XEN_REQUIRE(xensim_stamp_check(t->dom, DATA - 1, 1, 1) == XENSIM_NO_GFN &&
                xensim_stamp_check(t->dom, DATA + 4, 1, 1) == XENSIM_NO_GFN,
                "wrote beside what was granted");
    for (unsigned i = 0; i < 4; i++) {
        XEN_REQUIRE(xensim_grant_revoke(t->dom, ref + i) == 0,
                    "holds a grant that it does not use");
    }
    return done(&v);
}

/* Pieces that do not begin or end at pages; the guest's frames lie apart. */
static const char *pieces(XenTest *t)
{
    uint8_t disk[XEN_TEST_PAGE], got[XEN_TEST_PAGE];
    uint64_t gpa = DATA * XEN_TEST_PAGE;
    Virtio v;
    int ref;

    start_disk(t, &v);
    ref = grant(t, DATA, 2, false);
    xensim_stamp_page(disk, 7, SEED);
    xensim_fill(t->dom, gpa, 0xee, 2 * XEN_TEST_PAGE);
    transfer(&v, false, 7);
    add(&v, GRANT(ref) + 512, 1024, DESC_NEXT | DESC_WRITE);
    add(&v, GRANT(ref) + 3584, 1024, DESC_NEXT | DESC_WRITE);
    add(&v, GRANT(ref + 1) + 2048, 2048, DESC_NEXT | DESC_WRITE);
    XEN_REQUIRE(finish(&v), "fails to read in pieces");
    XEN_TRY(let_go(t, ref, 2));
    xensim_read(t->dom, gpa + 512, got, 1024);
    XEN_REQUIRE(xen_test_same(got, disk, 1024, gpa + 512),
                "read other bytes at first");
    xensim_read(t->dom, gpa + 3584, got, 1024);
    XEN_REQUIRE(xen_test_same(got, disk + 1024, 1024, gpa + 3584),
                "read other bytes across");
    xensim_read(t->dom, gpa + 6144, got, 2048);
    XEN_REQUIRE(xen_test_same(got, disk + 2048, 2048, gpa + 6144),
                "read other bytes at last");
    xensim_read(t->dom, gpa + 4608, got, 1536);
    for (unsigned i = 0; i < 1536; i++) {
        XEN_REQUIRE(got[i] == 0xee, "wrote beside a piece");
    }
    return done(&v);
}

/* What is granted for reading is written to the disk, and not changed. */
static const char *readonly(XenTest *t)
{
    Virtio v;
    int ref;

    start_disk(t, &v);
    ref = grant(t, DATA, 2, true);
    xensim_stamp(t->dom, DATA, 2, 5);
    transfer(&v, true, 20);
    add(&v, GRANT(ref), 2 * XEN_TEST_PAGE, DESC_NEXT);
    XEN_REQUIRE(finish(&v), "fails to write what it may read");
    XEN_TRY(let_go(t, ref, 2));
    transfer(&v, false, 20);
    add(&v, (DATA + 16) * XEN_TEST_PAGE, 2 * XEN_TEST_PAGE,
        DESC_NEXT | DESC_WRITE);
    XEN_REQUIRE(finish(&v), "fails to read into RAM");
    for (unsigned i = 0; i < 2; i++) {
        uint8_t page[XEN_TEST_PAGE];

        xensim_read(t->dom, (DATA + 16 + i) * XEN_TEST_PAGE, page,
                    sizeof(page));
        XEN_REQUIRE(xensim_stamp_page_ok(page, DATA + i, 5),
                    "wrote other bytes than were granted");
    }

    /* The other direction is refused by Xen; then all goes on. */
    transfer(&v, false, 3);
    add(&v, GRANT(ref), XEN_TEST_PAGE, DESC_NEXT | DESC_WRITE);
    finish(&v);
    xen_test_alive(t);
    XEN_REQUIRE(xensim_stamp_check(t->dom, DATA, 2, 5) == XENSIM_NO_GFN,
                "wrote to what it may only read");
    XEN_TRY(let_go(t, ref, 2));
    start_in_ram(&v);
    ref = grant(t, DATA + 8, 1, false);
    transfer(&v, false, 3);
    add(&v, GRANT(ref), XEN_TEST_PAGE, DESC_NEXT | DESC_WRITE);
    XEN_REQUIRE(finish(&v), "fails to read afterwards");
    XEN_TRY(xen_test_disk_at(t, (DATA + 8) * XEN_TEST_PAGE, 3, 1, SEED,
                             "read other bytes afterwards"));
    return done(&v);
}

/* References that name nothing, of which some are in a piece with good ones. */
static const char *bad_reference(XenTest *t)
{
    static const struct {
        int64_t from;           /* the first good reference */
        unsigned pages;
    } bad[] = {
        { 100, 1 }, { 100, 3 }, { -3, 4 }, { 1, 4 }, { 0x7fffff00, 1 },
    };
    Virtio v;
    int ref;

    start_disk(t, &v);
    xensim_stamp(t->dom, DATA, 2, 6);
    ref = grant(t, DATA, 2, false);
    for (unsigned i = 0; i < 2 * G_N_ELEMENTS(bad); i++) {
        unsigned n = i / 2;

        start_in_ram(&v);
        transfer(&v, i % 2, 30);
        add(&v, GRANT(ref + bad[n].from), bad[n].pages * XEN_TEST_PAGE,
            DESC_NEXT | (i % 2 ? 0 : DESC_WRITE));
        finish(&v);
        xen_test_alive(t);
        XEN_TRY(let_go(t, ref, 2));

        /* A good one is none the worse. */
        start_in_ram(&v);
        transfer(&v, false, n);
        add(&v, GRANT(ref), 2 * XEN_TEST_PAGE, DESC_NEXT | DESC_WRITE);
        XEN_REQUIRE(finish(&v), "fails to read after a bad reference");
        XEN_TRY(xen_test_disk_at(t, DATA * XEN_TEST_PAGE, n, 2, SEED,
                                 "read other bytes after a bad reference"));
        XEN_TRY(let_go(t, ref, 2));
    }
    return done(&v);
}

/*
 * One bad reference at the end of many: what is good before it is not had page
 * by page, or the device runs out of pieces, of which it has 1,024.
 */
static const char *long_piece(XenTest *t)
{
    enum { GOOD = 1100 };
    Virtio v;
    int ref;

    start_disk(t, &v);
    ref = grant(t, DATA, GOOD, false);
    transfer(&v, false, 5);
    add(&v, GRANT(ref), (GOOD + 1) * XEN_TEST_PAGE, DESC_NEXT | DESC_WRITE);
    XEN_REQUIRE(finish(&v), "fails to read before a bad reference");
    XEN_TRY(xen_test_disk_at(t, DATA * XEN_TEST_PAGE, 5, GOOD, SEED,
                             "read other bytes before a bad reference"));
    XEN_TRY(let_go(t, ref, GOOD));
    return done(&v);
}

/* Xen refuses each call that maps a grant, once. */
static const char *refused(XenTest *t)
{
    XensimFault fault = { .call = "xengnttab_map_domain_grant_refs",
                          .count = 1, .error = ENOMEM };
    Virtio v;
    int ref, id;

    start_disk(t, &v);
    ref = grant(t, DATA, 1, false);
    id = xensim_fault_arm(t->sim, &fault);
    transfer(&v, false, 1);
    add(&v, GRANT(ref), XEN_TEST_PAGE, DESC_NEXT | DESC_WRITE);
    finish(&v);
    xen_test_alive(t);
    XEN_REQUIRE(xensim_fault_hits(t->sim, id) > 0, "mapped no grant");
    xensim_fault_disarm(t->sim, id);
    XEN_TRY(let_go(t, ref, 1));
    start_in_ram(&v);
    transfer(&v, false, 1);
    add(&v, GRANT(ref), XEN_TEST_PAGE, DESC_NEXT | DESC_WRITE);
    XEN_REQUIRE(finish(&v), "fails to read afterwards");
    XEN_TRY(xen_test_disk_at(t, DATA * XEN_TEST_PAGE, 1, 1, SEED,
                             "read other bytes afterwards"));
    return done(&v);
}

/* Moves four pages between the disk's page @page and what is granted. */
static bool move_four(Virtio *v, bool write, unsigned page, int ref)
{
    transfer(v, write, page);
    add(v, GRANT(ref), 4 * XEN_TEST_PAGE, DESC_NEXT | (write ? 0 : DESC_WRITE));
    return finish(v);
}

/* The guest's four pages are those of @seed. */
static const char *four_are(XenTest *t, uint64_t seed, const char *what)
{
    XEN_REQUIRE(xensim_stamp_check(t->dom, DATA, 4, seed) == XENSIM_NO_GFN,
                "%s", what);
    return NULL;
}

/*
 * More grants are in flight than can be mapped, and @count calls fail (0: all).
 * All is moved, or the guest is told that it was not.
 */
static const char *fail_some(Virtio *v, int ref, bool write, unsigned count)
{
    XensimFault fault = { .call = "xengnttab_map_domain_grant_refs",
                          .count = count, .error = ENOMEM };
    XenTest *t = v->t;
    bool moved;
    int id;

    start_in_ram(v);
    xensim_stamp(t->dom, DATA, 4, 100);
    XEN_REQUIRE(move_four(v, true, 40, ref), "fails to write at first");
    xensim_stamp(t->dom, DATA, 4, 101);
    id = xensim_fault_arm(t->sim, &fault);
    moved = move_four(v, write, 40, ref);
    XEN_REQUIRE(xensim_fault_hits(t->sim, id) > 0, "mapped no grant");
    xensim_fault_disarm(t->sim, id);
    XEN_REQUIRE(moved == !!count, "says that it moved %s",
                moved ? "what it cannot have" : "nothing");
    XEN_TRY(four_are(t, moved && !write ? 100 : 101,
                     "the guest's pages are not what they were"));
    XEN_TRY(let_go(t, ref, 4));

    start_in_ram(v);
    XEN_REQUIRE(move_four(v, false, 40, ref), "fails to read afterwards");
    return four_are(t, moved && write ? 101 : 100,
                    "the disk does not have what it was said to have");
}

static const char *unavailable(XenTest *t)
{
    static const unsigned counts[] = { 1, 3, 6, 0 };
    Virtio v;
    int ref;

    start_disk(t, &v);
    ref = grant(t, DATA, 4, false);
    for (unsigned i = 0; i < 2 * G_N_ELEMENTS(counts); i++) {
        XEN_TRY(fail_some(&v, ref, i % 2, counts[i / 2]));
    }
    return done(&v);
}

/* ---- what a device holds ---- */

/* The queue itself is in granted pages. */
static const char *rings(XenTest *t)
{
    Virtio v;
    int ref, data;

    start_disk(t, &v);
    ref = grant(t, RING, 3, false);
    data = grant(t, DATA, 1, false);
    start_queue(&v, GRANT(ref), GRANT(ref + 1), GRANT(ref + 2));
    for (unsigned i = 0; i < 40; i++) {
        transfer(&v, false, i);
        add(&v, GRANT(data), XEN_TEST_PAGE, DESC_NEXT | DESC_WRITE);
        XEN_REQUIRE(finish(&v), "fails to read with a granted queue");
        XEN_TRY(xen_test_disk_at(t, DATA * XEN_TEST_PAGE, i, 1, SEED,
                                 "read other bytes with a granted queue"));
        XEN_REQUIRE(xensim_grant_mappings(t->dom, data) == 0,
                    "keeps a grant mapped");
    }
    for (unsigned i = 0; i < 3; i++) {
        XEN_REQUIRE(xensim_grant_mappings(t->dom, ref + i) > 0,
                    "does not hold its queue");
    }
    /* Balloon steps leave it alone. */
    xensim_balloon_out(t->dom, 0x900, 16);
    transfer(&v, false, 9);
    add(&v, GRANT(data), XEN_TEST_PAGE, DESC_NEXT | DESC_WRITE);
    XEN_REQUIRE(finish(&v), "fails to read after a balloon step");
    XEN_REQUIRE(xen_test_stat(t, "grants") > 0 || t->stock,
                "does not count the grants that it holds");
    XEN_TRY(done(&v));
    for (unsigned i = 0; i < 3; i++) {
        XEN_REQUIRE(xensim_grant_mappings(t->dom, ref + i) == 0,
                    "keeps its queue");
    }
    return NULL;
}

/* The guest takes a grant back while a device holds it. */
static const char *revoked(XenTest *t)
{
    static const uint8_t stat[10] = { 4, 0, 0x78, 0x56, 0x34, 0x12 };
    uint64_t mfn = 0;
    Virtio v;
    int ref;

    start_device(t, &v, 2, "-device virtio-balloon-pci,addr=1,"
                 "iommu_platform=on,disable-legacy=on ");
    for (unsigned round = 0; round < 3; round++) {
        start_in_ram(&v);
        ref = grant(t, DATA, 1, round & 1);
        xensim_write(t->dom, DATA * XEN_TEST_PAGE + 24, stat, sizeof(stat));
        mfn = xensim_gfn_to_mfn(t->dom, DATA);
        add(&v, GRANT(ref) + 24, sizeof(stat), 0);
        submit(&v);
        for (unsigned i = 0; i < 500 && !xensim_grant_mappings(t->dom, ref);
             i++) {
            g_usleep(10000);
        }
        XEN_REQUIRE(xensim_grant_mappings(t->dom, ref) == 1,
                    "does not hold the buffer");
        XEN_REQUIRE(xensim_grant_revoke(t->dom, ref) == 1,
                    "does not hold the grant that is revoked");
        /* The frame goes, its gfn gets another. */
        xensim_balloon_out(t->dom, DATA, 1);
        xensim_balloon_in(t->dom, DATA, 1);
        xen_test_alive(t);
        XEN_REQUIRE(xensim_mfn_mappings(t->sim, mfn) == 1,
                    "lost what it holds");
        out(&v, STATUS, 1, 0);
        XEN_REQUIRE(xen_test_let_go(t, mfn), "keeps a revoked grant");
        XEN_REQUIRE(xen_test_settles(t, "grants", NULL),
                    "counts a grant as mapped");

        /* The reference is void now. */
        start_in_ram(&v);
        add(&v, GRANT(ref) + 24, sizeof(stat), 0);
        submit(&v);
        xen_test_alive(t);
        XEN_REQUIRE(xensim_gfn_mappings(t->dom, DATA) == 0,
                    "maps by a reference that was revoked");
        out(&v, STATUS, 1, 0);
    }
    return done(&v);
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    if (!qtest_has_machine("xenpvh")) {
        printf("1..0 # SKIP this QEMU has no xenpvh machine\n");
        return 0;
    }
    xen_test_add("grant/read", read_pages, "ok");
    xen_test_add("grant/pieces", pieces, "ok");
    xen_test_add("grant/readonly", readonly, "ended with status 255");
    xen_test_add("grant/bad-reference", bad_reference, "ended with status 255");
    xen_test_add("grant/long-piece", long_piece, "ended with status 255");
    xen_test_add("grant/refused", refused, "ended with status 255");
    xen_test_add("grant/unavailable", unavailable, "ended with status 255");
    xen_test_add("grant/rings", rings, "ok");
    /* It ends when it meets the grant, seen before or after that. */
    xen_test_add("grant/revoked", revoked,
                 "ended with status 255|does not hold the buffer");
    return g_test_run();
}
