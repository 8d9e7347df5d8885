/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory backends (-object memory-backend-*): their memory is QEMU's own.  The
 * guest reaches it through the device model, and has no frames for it.
 */
#include "qemu/osdep.h"
#include "xen-test-common.h"

enum {
    SEED = 17,
    DISK_PAGES = 64,
    DEV = 9 << 3,
    BAR_AT = 0xf8000000,
    REGISTERS_AT = 0xf9000000,
    PAGES = 0x100,              /* of the backend's memory: 1 MiB */
    RAM_PAGE = 0x9000,          /* of the guest's own memory */
    PMRCTL = 0xe04,             /* a register of an NVMe controller */
};

typedef struct Backend {
    const char *object;     /* "%s" in it is a file's name */
    const char *device;     /* has a BAR with the memory */
    int bar;
    bool nvme;              /* its BAR must be switched on by a register */
} Backend;

#define ONE_FILE \
    "-object memory-backend-file,id=m,size=1M,mem-path=%s,share=on "
#define IVSHMEM "-device ivshmem-plain,memdev=m,addr=9 "
/* Without master=on its state cannot be loaded. */
#define MASTER "-device ivshmem-plain,memdev=m,master=on,addr=9 "
#define NVME \
    "-blockdev driver=null-co,size=1048576,node-name=other " \
    "-device nvme,serial=1,drive=other,pmrdev=m,msix-exclusive-bar=off,addr=9 "

static const Backend ram = {
    "-object memory-backend-ram,id=m,size=1M ", IVSHMEM, 2, false,
};
static const Backend shared_ram = {
    "-object memory-backend-ram,id=m,size=1M,share=on ", IVSHMEM, 2, false,
};
static const Backend memfd = {
    "-object memory-backend-memfd,id=m,size=1M ", IVSHMEM, 2, false,
};
static const Backend file = { ONE_FILE, MASTER, 2, false };
static const Backend pmr = { ONE_FILE, NVME, 4, true };

/* The file behind a backend; it need not be there. */
static const char *file_of(XenTest *t)
{
    return xen_test_keep(t, g_strdup_printf("%s/backend", t->dir));
}

static char *arguments(XenTest *t, const Backend *b, const char *more)
{
    g_auto(GStrv) parts = g_strsplit(b->object, "%s", 2);
    g_autofree char *object = g_strjoinv(file_of(t), parts);

    return g_strconcat(xen_test_disk(t, DISK_PAGES, SEED), object, b->device,
                       more, NULL);
}

/* Shows the memory in the BAR. */
static void show(XenTest *t, const Backend *b)
{
    if (b->nvme) {
        xen_test_ok(t, guest_pci_place_bar(t->pc, DEV, 0, REGISTERS_AT));
        xensim_mmio_write(t->dom, REGISTERS_AT + PMRCTL, 4, 1);
    }
    xen_test_ok(t, guest_pci_place_bar(t->pc, DEV, b->bar, BAR_AT));
}
#define show(...) XEN_AT(show(__VA_ARGS__))

/* ---- looking ---- */

/* The frames that the guest has where the memory is shown. */
static uint64_t frames(XenTest *t)
{
    return xen_test_pages_at(t, BAR_AT, PAGES);
}

/* What the guest reads of the memory at @offset: @n times 8 bytes. */
static void guest_reads(XenTest *t, uint64_t offset, uint64_t *words,
                        unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        words[i] = xensim_mmio_read(t->dom, BAR_AT + offset + i * 8, 8);
    }
}
#define guest_reads(...) XEN_AT(guest_reads(__VA_ARGS__))

/* Loads and stores of each size, at the memory's beginning and end. */
static const char *loads_and_stores(XenTest *t)
{
    const uint64_t all = 0x8877665544332211;

    for (unsigned size = 1; size <= 8; size *= 2) {
        uint64_t want = size == 8 ? all : all & ((1ull << size * 8) - 1);

        for (unsigned end = 0; end < 2; end++) {
            uint64_t at = BAR_AT + (end ? PAGES * XEN_TEST_PAGE - size
                                        : size * 16);

            xensim_mmio_write(t->dom, at, size, all);
            XEN_REQUIRE(xensim_mmio_read(t->dom, at, size) == want,
                        "loads other bytes than it stored, %u of them", size);
        }
    }
    return NULL;
}
#define loads_and_stores(...) XEN_AT(loads_and_stores(__VA_ARGS__))

/* A disk reads into the memory and writes from it. */
static const char *dma(XenTest *t)
{
    enum { FROM = 5, TO = 40, OFFSET = 0x7200, WORDS = XEN_TEST_PAGE / 8 };
    const GuestSg sg = { BAR_AT + OFFSET, 2 * XEN_TEST_PAGE };
    uint64_t words[2 * WORDS];

    xen_test_dma_read(t, FROM, BAR_AT + OFFSET, 2);
    guest_reads(t, OFFSET, words, 2 * WORDS);
    for (unsigned i = 0; i < 2; i++) {
        XEN_REQUIRE(xensim_stamp_page_ok(words + i * WORDS, FROM + i, SEED),
                    "does not show the guest what DMA wrote");
    }
    xensim_stamp_page(words, 77, SEED);
    for (unsigned i = 0; i < WORDS; i++) {
        xensim_mmio_write(t->dom, BAR_AT + OFFSET + i * 8, 8, words[i]);
    }
    xen_test_ok(t, guest_ide_dma(&t->ide, true, TO * 8, 16, &sg, 1));
    xen_test_dma_read(t, TO, RAM_PAGE, 1);
    xensim_read(t->dom, RAM_PAGE, words, XEN_TEST_PAGE);
    XEN_REQUIRE(xensim_stamp_page_ok(words, 77, SEED),
                "writes other bytes by DMA than the guest wrote");
    return NULL;
}
#define dma(...) XEN_AT(dma(__VA_ARGS__))

/* The guest's RAM is where it was without a backend. */
static const char *guest_ram(XenTest *t)
{
    return xen_test_ram_shared(t, 0x1000, 0x370000);
}
#define guest_ram(...) XEN_AT(guest_ram(__VA_ARGS__))

static const char *all_of_it(XenTest *t)
{
    XEN_TRY(loads_and_stores(t));
    XEN_TRY(dma(t));
    XEN_TRY(guest_ram(t));
    XEN_REQUIRE(!frames(t), "has given the guest %" PRIu64 " frames",
                frames(t));
    return NULL;
}
#define all_of_it(...) XEN_AT(all_of_it(__VA_ARGS__))

/* ---- cases ---- */

/* A backend on the command line. */
static const char *early(XenTest *t)
{
    const Backend *b = t->data;
    g_autofree char *args = arguments(t, b, XEN_TEST_VGA);

    xen_test_start(t, args);
    xen_test_ide(t);
    xen_test_vga(t);
    xensim_stamp(t->dom, XEN_TEST_LFB / XEN_TEST_PAGE, 0x1000, 5);
    show(t, b);
    XEN_TRY(all_of_it(t));
    XEN_REQUIRE(xensim_stamp_check(t->dom, XEN_TEST_LFB / XEN_TEST_PAGE,
                                   0x1000, 5) == XENSIM_NO_GFN,
                "has overwritten a display's memory");
    /* Xen asks for frames that are gone: the memory has none of them. */
    xensim_invalidate(t->dom);
    return all_of_it(t);
}

/* A write to the memory is in the file, and the other way round. */
static const char *in_file(XenTest *t)
{
    g_autofree char *args = arguments(t, &file, "");
    uint64_t word = 0;
    int fd;

    xen_test_start(t, args);
    xen_test_ide(t);
    show(t, &file);
    fd = open(file_of(t), O_RDWR);
    g_assert_cmpint(fd, >=, 0);
    xensim_mmio_write(t->dom, BAR_AT + 0x3008, 8, 0x1234567890abcdef);
    g_assert_cmpint(pread(fd, &word, 8, 0x3008), ==, 8);
    XEN_REQUIRE(word == 0x1234567890abcdef, "has not written to the file");
    g_assert_cmpint(pwrite(fd, "in it...", 8, 0x4000), ==, 8);
    close(fd);
    XEN_REQUIRE(xensim_mmio_read(t->dom, BAR_AT + 0x4000, 1) == 'i',
                "does not show what is in the file");
    return NULL;
}

/* Backends that come and go while the guest runs. */
static const char *plugged(XenTest *t)
{
    uint64_t before;

    xen_test_start_disk(t, DISK_PAGES, SEED, "");
    before = xen_test_pages(t);
    for (unsigned round = 0; round < 3; round++) {
        qtest_qmp_assert_success(t->qts, "{'execute': 'object-add',"
                                 " 'arguments': {'qom-type':"
                                 " 'memory-backend-ram', 'id': 'm',"
                                 " 'size': 1048576}}");
        qtest_qmp_assert_success(t->qts, "{'execute': 'device_add',"
                                 " 'arguments': {'driver': 'ivshmem-plain',"
                                 " 'id': 'dev', 'memdev': 'm', 'addr': '9'}}");
        show(t, &ram);
        XEN_TRY(all_of_it(t));
        XEN_REQUIRE(xen_test_pages(t) == before, "has %" PRIu64
                    " frames, not %" PRIu64, xen_test_pages(t), before);
        qtest_qmp_assert_success(t->qts, "{'execute': 'device_del',"
                                 " 'arguments': {'id': 'dev'}}");
        xensim_outl(t->dom, 0xae08, 1u << 9);
        qtest_qmp_eventwait(t->qts, "DEVICE_DELETED");
        qtest_qmp_assert_success(t->qts, "{'execute': 'object-del',"
                                 " 'arguments': {'id': 'm'}}");
    }
    return NULL;
}

/* A migration has no use for reports of pages that the guest does not have. */
static const char *not_reported(XenTest *t)
{
    g_autofree char *args = arguments(t, &ram, "");
    XensimLogEntry e;
    uint64_t n = 0;

    xen_test_start(t, args);
    xen_test_ide(t);
    show(t, &ram);
    qtest_qmp_assert_success(t->qts, "{'execute': 'xen-set-global-dirty-log',"
                             " 'arguments': {'enable': true}}");
    xensim_log_clear(t->dom, XENSIM_LOG_MODIFIED);
    xen_test_dma_read(t, 5, BAR_AT + 0x1000, 2);
    xen_test_dma_read(t, 5, RAM_PAGE, 2);
    while (xensim_log_get(t->dom, XENSIM_LOG_MODIFIED, n, &e)) {
        XEN_REQUIRE(e.a + e.b <= (XEN_TEST_RAM_MB << 20) / XEN_TEST_PAGE,
                    "reports a write to gfn 0x%" PRIx64, e.a);
        n++;
    }
    XEN_REQUIRE(n, "does not report a write to the guest's RAM");
    return NULL;
}

/* A shared file has the memory's contents; it is found again with them. */
static const char *restored(XenTest *t)
{
    g_autofree char *args = arguments(t, &file, XEN_TEST_VGA);

    xen_test_start(t, args);
    xen_test_ide(t);
    xen_test_vga(t);
    xensim_stamp(t->dom, XEN_TEST_LFB / XEN_TEST_PAGE, 0x1000, 5);
    show(t, &file);
    xensim_mmio_write(t->dom, BAR_AT + 0x3008, 8, 0x1234567890abcdef);
    xen_test_save_restore(t, args);
    XEN_REQUIRE(xensim_mmio_read(t->dom, BAR_AT + 0x3008, 8) ==
                0x1234567890abcdef, "has lost what was in the memory");
    XEN_REQUIRE(xensim_stamp_check(t->dom, XEN_TEST_LFB / XEN_TEST_PAGE,
                                   0x1000, 5) == XENSIM_NO_GFN,
                "has lost a display's memory");
    return all_of_it(t);
}

/* Other memory would be lost: it is not saved, and the guest goes on. */
static const char *not_saved(XenTest *t)
{
    const Backend *b = t->data;
    g_autofree char *args = arguments(t, b, "");
    const char *why, *state;

    xen_test_start(t, args);
    xen_test_ide(t);
    show(t, b);
    why = xen_test_try_save(t, &state);
    XEN_REQUIRE(why && strstr(why, "memory backend 'm'"),
                "saves without the memory (%s)", why ?: "and says nothing");
    qtest_qmp_assert_success(t->qts, "{'execute': 'cont'}");
    return all_of_it(t);
}

/* A backend that no device uses is no reason not to save. */
static const char *unused(XenTest *t)
{
    g_autofree char *args = g_strconcat(xen_test_disk(t, DISK_PAGES, SEED),
                                        ram.object, NULL);

    xen_test_start(t, args);
    xen_test_ide(t);
    xen_test_save_restore(t, args);
    return guest_ram(t);
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add_data("backends/ivshmem/ram", early, &ram, NULL);
    xen_test_add_data("backends/ivshmem/shared", early, &shared_ram, NULL);
    xen_test_add_data("backends/ivshmem/memfd", early, &memfd, NULL);
    xen_test_add_data("backends/ivshmem/file", early, &file, NULL);
    xen_test_add_data("backends/nvme-pmr", early, &pmr, NULL);
    xen_test_add("backends/in-file", in_file, NULL);
    xen_test_add("backends/plugged", plugged, NULL);
    xen_test_add("backends/not-reported", not_reported, NULL);
    xen_test_add("backends/restore/file", restored, NULL);
    xen_test_add("backends/restore/unused", unused, NULL);
    xen_test_add_data("backends/not-saved/ram", not_saved, &ram, NULL);
    xen_test_add_data("backends/not-saved/memfd", not_saved, &memfd, NULL);
    return g_test_run();
}
