/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A device with RAM BARs: see xen-test-devmem.h. */
#include "qemu/osdep.h"
#define XEN_TEST_HELPERS
#include "xen-test-devmem.h"

uint64_t devmem_pages(const DevMem *d, unsigned i)
{
    return d->ram[i].bytes / XEN_TEST_PAGE;
}

uint64_t devmem_addr(const DevMem *d, unsigned i, uint64_t base)
{
    return base + i * 0x8000000ull;
}

char *devmem_qxl_args(XenTest *t, const char *more)
{
    return g_strdup_printf("-spice unix=on,addr=%s/spice,disable-ticketing=on "
                           "-device qxl-vga,addr=8,vgamem_mb=8,ram_size_mb=16,"
                           "vram_size_mb=8%s ", t->dir, more);
}

void devmem_place(XenTest *t, const DevMem *d, uint64_t base)
{
    xen_test_note_frames(t, "the BARs were placed");
    for (unsigned i = 0; i < DEVMEM_BARS && d->ram[i].bytes; i++) {
        xen_test_ok(t, guest_pci_place_bar(t->pc, DEVMEM_DEVFN, d->ram[i].bar,
                                           devmem_addr(d, i, base)));
    }
}

void devmem_decode(XenTest *t, bool on)
{
    xen_test_note_frames(t, on ? "the BARs were switched on"
                               : "the BARs were switched off");
    xen_test_ok(t, guest_pci_command(t->pc, DEVMEM_DEVFN,
                                     on ? GUEST_PCI_MEMORY : 0,
                                     on ? 0 : GUEST_PCI_MEMORY));
}

static void add_run(void *opaque, uint64_t gfn, uint64_t mfn, uint64_t pages)
{
    DevMemFrames *f = opaque;

    if (gfn < DEVMEM_INITIAL_GFN || gfn >= 0xfeff8) {
        return;
    }
    f->pages += pages;
    if (f->runs && f->first[f->runs - 1] + f->n[f->runs - 1] == gfn) {
        f->n[f->runs - 1] += pages;
    } else if (f->runs < G_N_ELEMENTS(f->first)) {
        f->first[f->runs] = gfn;
        f->n[f->runs++] = pages;
    }
}

DevMemFrames devmem_frames(XenTest *t)
{
    DevMemFrames f = { 0 };

    xensim_p2m_foreach(t->dom, add_run, &f);
    return f;
}

bool devmem_any_frame(XenTest *t, uint64_t addr, uint64_t pages)
{
    return xen_test_pages_at(t, addr, pages) != 0;
}

void devmem_stamp(XenTest *t, const DevMem *d, uint64_t base, unsigned seed)
{
    uint8_t page[XEN_TEST_PAGE];

    for (unsigned i = 0; i < DEVMEM_BARS; i++) {
        for (uint64_t n = 0; n < devmem_pages(d, i); n++) {
            xensim_stamp_page(page, n, seed + i);
            if (xensim_write(t->dom, devmem_addr(d, i, base) +
                             n * XEN_TEST_PAGE, page, sizeof(page))) {
                xen_test_leave(t, "left a page of a BAR without a frame");
            }
        }
    }
}

const char *devmem_stamped(XenTest *t, const DevMem *d, uint64_t base,
                           unsigned seed)
{
    uint8_t page[XEN_TEST_PAGE];

    for (unsigned i = 0; i < DEVMEM_BARS; i++) {
        for (uint64_t n = 0; n < devmem_pages(d, i); n++) {
            XEN_REQUIRE(xensim_read(t->dom, devmem_addr(d, i, base) +
                                    n * XEN_TEST_PAGE, page,
                                    sizeof(page)) == 0,
                        "left page 0x%" PRIx64 " of BAR %u without a frame",
                        n, d->ram[i].bar);
            XEN_REQUIRE(xensim_stamp_page_ok(page, n, seed + i),
                        "lost page 0x%" PRIx64 " of BAR %u", n,
                        d->ram[i].bar);
        }
    }
    return NULL;
}

const char *devmem_shared(XenTest *t, const DevMem *d, uint64_t base)
{
    for (unsigned i = 0; i < DEVMEM_BARS; i++) {
        uint64_t step = devmem_pages(d, i) > 4 ? devmem_pages(d, i) / 4 : 1;

        for (uint64_t n = 0; n < devmem_pages(d, i); n += step) {
            uint64_t at = devmem_addr(d, i, base) +
                          (n + step - 1) * XEN_TEST_PAGE + 8;
            uint64_t old, val;

            if (n + step > devmem_pages(d, i)) {
                break;
            }
            xensim_read(t->dom, at, &old, sizeof(old));
            XEN_REQUIRE(qtest_readq(t->qts, at) == old,
                        "does not see the guest's bytes in BAR %u at 0x%"
                        PRIx64, d->ram[i].bar, at);
            qtest_writeq(t->qts, at, ~old);
            xensim_read(t->dom, at, &val, sizeof(val));
            XEN_REQUIRE(val == ~old, "writes elsewhere than the guest reads, "
                        "in BAR %u at 0x%" PRIx64, d->ram[i].bar, at);
            xensim_write(t->dom, at, &old, sizeof(old));
        }
    }
    return NULL;
}

const char *devmem_gone(XenTest *t, const DevMem *d, uint64_t base)
{
    for (unsigned i = 0; i < DEVMEM_BARS; i++) {
        XEN_REQUIRE(!devmem_any_frame(t, devmem_addr(d, i, base),
                                      devmem_pages(d, i)),
                    "left a frame where BAR %u was", d->ram[i].bar);
    }
    return NULL;
}

char *devmem_args(XenTest *t, const char *more)
{
    return g_strconcat(xen_test_disk(t, DEVMEM_DISK_PAGES, DEVMEM_SEED), more,
                       NULL);
}

static const char *dma(XenTest *t, const DevMem *d, uint64_t base)
{
    for (unsigned i = 0; i < DEVMEM_BARS && d->ram[i].bytes; i++) {
        uint64_t start = devmem_addr(d, i, base);
        uint64_t at = start + d->ram[i].bytes / 2 - 2 * XEN_TEST_PAGE;

        xen_test_dma_read(t, 5, at, 4);
        XEN_TRY(xen_test_disk_at(t, at, 5, 4, DEVMEM_SEED,
                                 "read other bytes into a BAR"));
        xen_test_dma_read(t, 9, start, 2);
        XEN_TRY(xen_test_disk_at(t, start, 9, 2, DEVMEM_SEED,
                                 "read other bytes into a BAR's start"));
    }
    return NULL;
}

const char *devmem_in_place(XenTest *t, const DevMem *d, uint64_t base,
                            unsigned seed)
{
    XEN_TRY(devmem_stamped(t, d, base, seed));
    XEN_TRY(devmem_shared(t, d, base));
    XEN_TRY(dma(t, d, base));
    XEN_TRY(devmem_shared(t, d, base));
    devmem_stamp(t, d, base, seed);
    return NULL;
}
