/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device model starts for a new domain, serves its port and memory
 * accesses, and reaches guest RAM and video memory for it.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "xen-test-common.h"

enum { DAC_READ = 0x3c7, DAC_WRITE = 0x3c8, DAC_DATA = 0x3c9,
       DAC_BYTES = 768 };

static const char *start(XenTest *t)
{
    XensimServerInfo info;
    uint32_t id;
    QDict *rsp;

    xen_test_start(t, XEN_TEST_VGA);
    XEN_REQUIRE(xensim_servers(t->dom, &info, 1) == 1, "has no ioreq server");
    XEN_REQUIRE(info.enabled && info.pid == t->pid,
                "has an ioreq server that is not enabled");

    rsp = qtest_qmp(t->qts, "{'execute': 'query-status'}");
    XEN_REQUIRE(qdict_get_bool(qdict_get_qdict(rsp, "return"), "running"),
                "does not run");
    qobject_unref(rsp);

    /* The host bridge and the VGA are where they were put. */
    xen_test_ok(t, guest_pci_in(t->pc, 0, 0, 4, &id));
    XEN_REQUIRE(id == 0x12378086, "has %08x as host bridge", id);
    xen_test_ok(t, guest_pci_in(t->pc, 4 << 3, 0, 4, &id));
    XEN_REQUIRE(id == 0x11111234, "has %08x as display", id);
    return NULL;
}

/* RAM as seen by the device model, every size and alignment that matters. */
static const char *ram(XenTest *t)
{
    static const uint64_t at[] = {
        0, 0x9fff8, 0xc0000, XEN_TEST_BUCKET - 4096, 5 * XEN_TEST_BUCKET - 3,
        0x1234567, (XEN_TEST_RAM_MB << 20) - 10000,
    };
    uint8_t put[10000], got[10000];

    xen_test_start(t, "");
    for (unsigned i = 0; i < G_N_ELEMENTS(at); i++) {
        size_t len = i == 1 ? 8 : sizeof(put);

        for (unsigned j = 0; j < len; j++) {
            put[j] = j * 7 + i;
        }
        xensim_write(t->dom, at[i], put, len);
        qtest_memread(t->qts, at[i], got, len);
        XEN_REQUIRE(xen_test_same(got, put, len, at[i]),
                    "reads other bytes at 0x%" PRIx64, at[i]);

        for (unsigned j = 0; j < len; j++) {
            put[j] ^= 0x5a;
        }
        qtest_memwrite(t->qts, at[i], put, len);
        xensim_read(t->dom, at[i], got, len);
        XEN_REQUIRE(xen_test_same(got, put, len, at[i]),
                    "writes other bytes at 0x%" PRIx64, at[i]);
    }

    /* Sized accesses, which take a path of their own. */
    for (unsigned off = 0; off < 16; off++) {
        uint64_t gpa = 3 * XEN_TEST_BUCKET - 8 + off, v = 0x0123456789abcdef;

        qtest_writeq(t->qts, gpa, v + off);
        xensim_read(t->dom, gpa, &v, 8);
        XEN_REQUIRE(v == 0x0123456789abcdef + off, "writes 8 bytes badly");
        XEN_REQUIRE(qtest_readl(t->qts, gpa) == (uint32_t)v &&
                    qtest_readw(t->qts, gpa) == (uint16_t)v &&
                    qtest_readb(t->qts, gpa) == (uint8_t)v,
                    "reads 1, 2 or 4 bytes badly");
    }
    return NULL;
}

/* RAM above 4 GiB, where addresses and RAM offsets have a hole below. */
static const char *ram_above_4g(XenTest *t)
{
    XensimDomainConfig cfg = { .ram_bytes = 4ull << 30 };
    uint64_t v = 0xfeedfacecafe0001, high = (4ull << 30) + 0x1ff8;

    t->dom = xensim_domain_create(t->sim, &cfg);
    g_assert_nonnull(t->dom);
    xen_test_boot(t, XEN_TEST_VGA);
    XEN_REQUIRE(xensim_write(t->dom, high, &v, 8) == 0,
                "has no RAM above 4 GiB");
    XEN_REQUIRE(qtest_readq(t->qts, high) == v, "reads other bytes up there");
    qtest_writeq(t->qts, high + 4, ~v);
    xensim_read(t->dom, high + 4, &v, 8);
    XEN_REQUIRE(v == ~0xfeedfacecafe0001, "writes other bytes up there");
    return NULL;
}

/* String instructions between a port and RAM: the palette, both directions. */
static const char *string_io(XenTest *t)
{
    static const uint64_t at[] = {
        0x30000, 2 * XEN_TEST_BUCKET - 300, 0x45678, 0x500ffe,
    };
    uint8_t put[DAC_BYTES], got[DAC_BYTES];

    xen_test_start(t, XEN_TEST_VGA);
    for (unsigned i = 0; i < G_N_ELEMENTS(at); i++) {
        for (unsigned j = 0; j < DAC_BYTES; j++) {
            put[j] = (j * 5 + i) & 0x3f;
        }
        xensim_write(t->dom, at[i], put, DAC_BYTES);
        xensim_outb(t->dom, DAC_WRITE, 0);
        xensim_rep_outs(t->dom, DAC_DATA, at[i], 1, DAC_BYTES, false);

        xensim_fill(t->dom, at[i], 0xee, DAC_BYTES);
        xensim_outb(t->dom, DAC_READ, 0);
        xensim_rep_ins(t->dom, DAC_DATA, at[i], 1, DAC_BYTES, false);
        xensim_read(t->dom, at[i], got, DAC_BYTES);
        XEN_REQUIRE(xen_test_same(got, put, DAC_BYTES, at[i]),
                    "moves other bytes at 0x%" PRIx64, at[i]);

        /* Downwards. */
        xensim_outb(t->dom, DAC_READ, 0);
        xensim_rep_ins(t->dom, DAC_DATA, at[i] + DAC_BYTES - 1, 1, DAC_BYTES,
                       true);
        xensim_read(t->dom, at[i], got, DAC_BYTES);
        for (unsigned j = 0; j < DAC_BYTES; j++) {
            XEN_REQUIRE(got[j] == put[DAC_BYTES - 1 - j],
                        "moves other bytes downwards at 0x%" PRIx64, at[i]);
        }
    }
    return NULL;
}

/* The disk's data port, 2 and 4 bytes at a time. */
static const char *string_disk(XenTest *t)
{
    const char *disk = xen_test_disk(t, 16, 1);

    xen_test_start(t, disk);
    xen_test_ide(t);
    xen_test_ok(t, guest_ide_pio_string(&t->ide, false, 0, 8, 0x40000));
    XEN_TRY(xen_test_disk_at(t, 0x40000, 0, 1, 1, "reads other sectors"));
    xen_test_ok(t, guest_ide_pio_string(&t->ide, false, 8, 16,
                                        XEN_TEST_BUCKET - 0x804));
    XEN_TRY(xen_test_disk_at(t, XEN_TEST_BUCKET - 0x804, 1, 2, 1,
                             "reads other sectors across buckets"));
    return NULL;
}

/* String instructions between the legacy video window and RAM. */
static const char *window(XenTest *t)
{
    enum { WINDOW = 0xa0000, LEN = 0x3000 };
    static const unsigned sizes[] = { 1, 2, 4, 8 };
    uint8_t put[LEN], got[LEN];

    xen_test_start(t, XEN_TEST_VGA);
    xen_test_vga(t);
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        uint64_t ram = 4 * XEN_TEST_BUCKET - 0x1000 * i;
        unsigned size = sizes[i];

        for (unsigned j = 0; j < LEN; j++) {
            put[j] = j * 3 + (j >> 8) + i;
        }
        xensim_write(t->dom, ram, put, LEN);
        xensim_mmio_copy(t->dom, WINDOW, ram, size, LEN / size, false, false);
        /* It is the start of what lies behind the BAR. */
        xensim_read(t->dom, XEN_TEST_LFB, got, LEN);
        XEN_REQUIRE(xen_test_same(got, put, LEN, XEN_TEST_LFB),
                    "copies other bytes to the screen");

        xensim_fill(t->dom, ram, 0, LEN);
        xensim_mmio_copy(t->dom, WINDOW, ram, size, LEN / size, true, false);
        xensim_read(t->dom, ram, got, LEN);
        XEN_REQUIRE(xen_test_same(got, put, LEN, ram),
                    "copies other bytes from the screen");

        xensim_fill(t->dom, ram, 0, LEN);
        xensim_mmio_copy(t->dom, WINDOW + LEN - size, ram + LEN - size, size,
                         LEN / size, true, true);
        xensim_read(t->dom, ram, got, LEN);
        XEN_REQUIRE(xen_test_same(got, put, LEN, ram),
                    "copies other bytes downwards");
    }
    XEN_REQUIRE(xensim_mmio_read(t->dom, WINDOW + 4, 4) ==
                ldl_le_p(put + 4), "reads other bytes, one at a time");
    xensim_mmio_write(t->dom, WINDOW + 4, 4, 0x11223344);
    XEN_REQUIRE(xensim_mmio_read(t->dom, XEN_TEST_LFB + 4, 4) == 0x11223344,
                "writes other bytes, one at a time");
    return NULL;
}

/* The video memory goes where the BAR goes; the device keeps seeing it. */
static const char *relocate(XenTest *t)
{
    enum { FIRST_GFN = (XEN_TEST_RAM_MB << 20) / XEN_TEST_PAGE };
    uint64_t pages = XEN_TEST_VRAM_BYTES / XEN_TEST_PAGE;
    uint64_t to[] = { XEN_TEST_LFB, 0xf2000000, 0xf1000000, XEN_TEST_LFB };
    uint64_t from = FIRST_GFN, n;

    xen_test_start(t, XEN_TEST_VGA);
    XEN_REQUIRE(xensim_gfn_to_mfn(t->dom, from) != XENSIM_NO_MFN,
                "has not allocated the video memory");
    xensim_stamp(t->dom, from, pages, 3);
    xen_test_ok(t, guest_vga_init(t->pc, &t->vga, 0));
    for (unsigned i = 0; i < G_N_ELEMENTS(to); i++) {
        uint64_t gfn = to[i] / XEN_TEST_PAGE;
        uint8_t page[XEN_TEST_PAGE];

        xen_test_ok(t, guest_vga_place(&t->vga, to[i], 0));
        for (n = 0; n < pages; n++) {
            XEN_REQUIRE(xensim_gfn_to_mfn(t->dom, from + n) == XENSIM_NO_MFN,
                        "left a frame behind");
            xensim_read(t->dom, (gfn + n) * XEN_TEST_PAGE, page,
                        XEN_TEST_PAGE);
            XEN_REQUIRE(xensim_stamp_page_ok(page, FIRST_GFN + n, 3),
                        "lost page %" PRIu64 " of the video memory", n);
        }
        /* What it reads there is what the guest wrote there. */
        xensim_stamp(t->dom, gfn + 77, 1, i);
        qtest_memread(t->qts, to[i] + 77 * XEN_TEST_PAGE, page,
                      sizeof(page));
        XEN_REQUIRE(xensim_stamp_page_ok(page, gfn + 77, i),
                    "sees other video memory than the guest");
        xensim_stamp_page(page, FIRST_GFN + 77, 3);
        qtest_memwrite(t->qts, to[i] + 77 * XEN_TEST_PAGE, page,
                       sizeof(page));
        from = gfn;
    }
    return NULL;
}

/* A picture that the guest draws is the one that is shown. */
static const char *picture(XenTest *t)
{
    g_autofree uint32_t *draw = g_new(uint32_t, 640 * 480);
    g_autoptr(GBytes) shown = NULL;
    const uint8_t *p;
    gsize len;

    xen_test_start(t, XEN_TEST_VGA);
    xen_test_vga(t);
    for (unsigned i = 0; i < 640 * 480; i++) {
        draw[i] = i * 2654435761u >> 8;
    }
    xensim_write(t->dom, XEN_TEST_LFB, draw, 640 * 480 * 4);
    shown = xen_test_screendump(t);
    p = g_bytes_get_data(shown, &len);
    XEN_REQUIRE(len == 15 + 640 * 480 * 3 && !memcmp(p, "P6\n640 480\n", 11),
                "shows a picture of another size");
    for (unsigned i = 0; i < 640 * 480; i++) {
        const uint8_t *rgb = p + 15 + i * 3;

        XEN_REQUIRE(draw[i] == (rgb[0] << 16 | rgb[1] << 8 | rgb[2]),
                    "shows another colour in pixel %u", i);
    }
    return NULL;
}

/* It does not start with @args, and says why in one line, that has @text. */
static const char *refuses(XenTest *t, const char *args, const char *text)
{
    g_autofree char *line = NULL;
    g_autofree char *log = NULL;
    g_auto(GStrv) argv = NULL, lines = NULL;
    int fd = open(t->log, O_CREAT | O_WRONLY | O_APPEND, 0600), wstatus;
    unsigned said = 0;
    pid_t pid;

    xen_test_domain(t, 0);
    line = g_strdup_printf("%s -xen-domid %u -nodefaults -no-user-config "
                           "-display none -m 64 %s",
                           getenv(t->stock ? "XENSIM_STOCK_QEMU" :
                                  "QTEST_QEMU_BINARY"),
                           xensim_domid(t->dom), args);
    argv = g_strsplit(line, " ", -1);
    pid = xensim_spawn(t->dom, (const char *const *)argv, NULL, fd);
    close(fd);
    g_assert_cmpint(pid, >, 0);
    if (xensim_wait_ready(t->dom, 10000) == XENSIM_OK) {
        xensim_kill(t->sim, pid);
        return "starts";
    }
    if (xensim_wait_exit(t->sim, pid, 10000, &wstatus)) {
        xensim_kill(t->sim, pid);
        return "does not start and does not say why";
    }
    XEN_REQUIRE(WIFEXITED(wstatus), "ended by signal %d", WTERMSIG(wstatus));
    log = xen_test_log(t);
    lines = g_strsplit(log, "\n", -1);
    for (char **l = lines; *l; l++) {
        said += **l && !g_str_has_prefix(*l, "=="); /* a sanitizer's own */
    }
    XEN_REQUIRE(WEXITSTATUS(wstatus) == 1 && said == 1,
                "is not refused in one line");
    XEN_REQUIRE(t->stock || strstr(log, text), "does not say \"%s\"", text);
    return NULL;
}

/* What would need the guest's RAM to be QEMU's. */
typedef struct Refused {
    const char *path, *args, *text;
} Refused;

static const Refused refused[] = {
    { "create/backend/machine", "-machine xenfv,memory-backend=m "
      "-object memory-backend-ram,id=m,size=64M",
      "a memory backend cannot be the guest's RAM" },
    { "create/backend/numa", "-machine xenfv -numa node,memdev=m "
      "-object memory-backend-ram,id=m,size=64M",
      "a memory backend cannot be the guest's RAM" },
    { "create/backend/pc-dimm", "-machine xenfv -m slots=1,maxmem=1G "
      "-device pc-dimm,memdev=m "
      "-object memory-backend-ram,id=m,size=128M",
      "memory devices cannot be used with Xen" },
    { "create/nvdimm", "-machine xenfv,nvdimm=on",
      "nvdimm=on cannot be used with Xen" },
    { "create/backend/virtio-pmem", "-machine xenfv "
      "-device virtio-pmem-pci,memdev=m "
      "-object memory-backend-ram,id=m,size=128M",
      "memory devices cannot be used with Xen" },
    { "create/backend/virtio-mem", "-machine xenfv "
      "-device virtio-mem-pci,memdev=m "
      "-object memory-backend-ram,id=m,size=128M",
      "memory devices cannot be used with Xen" },
    { "create/mem-path", "-machine xenfv -mem-path /tmp",
      "-mem-path cannot be used with Xen" },
    { "create/vfio", "-machine xenfv -device vfio-pci,sysfsdev=/dev",
      "vfio cannot be used with Xen" },
};

static const char *is_refused(XenTest *t)
{
    const Refused *r = t->data;

    return refuses(t, r->args, r->text);
}

/* A machine that does not ask Xen for its memory. */
static const char *other_machine(XenTest *t)
{
    return refuses(t, "-machine q35,accel=xen", "does not run on Xen");
}

/* A user may allow less guest memory to be mapped than there is. */
static const char *mapcache_size(XenTest *t)
{
    enum { ALLOWED_MB = 32 };

    xen_test_start(t, "-machine mapcache-size=32M");
    for (unsigned round = 0; round < 3; round++) {
        XEN_TRY(xen_test_ram_shared(t, XEN_TEST_PAGE, XEN_TEST_BUCKET));
        XEN_REQUIRE(xen_test_stat(t, "buckets") <= ALLOWED_MB,
                    "keeps more than it may");
        XEN_REQUIRE(xen_test_settles(t, "buckets-pending", NULL),
                    "does not let go of what it may not keep");
        XEN_REQUIRE(xen_test_ram_mapped(t) <=
                    ALLOWED_MB * XEN_TEST_BUCKET / XEN_TEST_PAGE,
                    "maps more than it may");
    }
    XEN_REQUIRE(xen_test_stat(t, "buckets-max") <= ALLOWED_MB,
                "says that it keeps more than it may");
    return NULL;
}

/* One access to more than may be mapped at a time: all of it is there. */
static const char *one_access(XenTest *t)
{
    enum { FIRST = 0x800, PAGES = 48 * XEN_TEST_BUCKET / XEN_TEST_PAGE };
    uint8_t want[XEN_TEST_PAGE], page[XEN_TEST_PAGE];

    xen_test_start(t, "-machine mapcache-size=32M");
    memset(want, 0x5c, sizeof(want));
    qtest_memset(t->qts, FIRST * XEN_TEST_PAGE, 0x5c, PAGES * XEN_TEST_PAGE);
    for (unsigned i = 0; i < PAGES; i++) {
        xensim_read(t->dom, (FIRST + i) * (uint64_t)XEN_TEST_PAGE, page,
                    sizeof(page));
        XEN_REQUIRE(xen_test_same(page, want, sizeof(page),
                                  (FIRST + i) * (uint64_t)XEN_TEST_PAGE),
                    "wrote other bytes to page %u", i);
    }
    XEN_REQUIRE(xen_test_stat(t, "holes") == 0, "found a hole");
    XEN_REQUIRE(xen_test_settles(t, "buckets-pending", "dma"),
                "does not let go of what it may not keep");
    return NULL;
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("create/start", start, NULL);
    xen_test_add("create/ram", ram, NULL);
    xen_test_add("create/ram-above-4g", ram_above_4g, NULL);
    xen_test_add("create/string-io", string_io, NULL);
    xen_test_add("create/string-disk", string_disk, NULL);
    xen_test_add("create/video-window", window, NULL);
    xen_test_add("create/video-relocate", relocate,
                 "left a frame behind");
    xen_test_add("create/picture", picture, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(refused); i++) {
        xen_test_add_data(refused[i].path, is_refused, &refused[i], NULL);
    }
    xen_test_add("create/other-machine", other_machine, "ended by signal*");
    xen_test_add("create/mapcache-size", mapcache_size, NULL);
    xen_test_add("create/one-access", one_access, NULL);
    return g_test_run();
}
