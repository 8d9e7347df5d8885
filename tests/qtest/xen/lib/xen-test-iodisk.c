/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A disk that an iothread serves: see xen-test-iodisk.h. */
#include "qemu/osdep.h"
#define XEN_TEST_HELPERS
#include "xen-test-iodisk.h"

/* The two kinds of disk; a case has one of them as its data. */
typedef struct Kind {
    const char *name;
    bool scsi;
    const char *devices;        /* what iodisk_args() adds to -device */
} Kind;

static const Kind kinds[] = {
    { "blk", false, "virtio-blk-pci,drive=drive,%s" },
    { "scsi", true, "virtio-scsi-pci,%s -device scsi-hd,drive=drive" },
};

/* ---- the disk, of either kind ---- */

int iodisk_start(IoDisk *d, bool write, unsigned page, const GuestSg *sg,
                 unsigned n)
{
    uint16_t tag;

    return d->scsi ?
        guest_vscsi_start(&d->vscsi, 0, write, page * 8, sg, n, &tag) :
        guest_vblk_start(&d->blk, write, page * 8, sg, n, &tag);
}

int iodisk_kick(IoDisk *d)
{
    return d->scsi ? guest_vscsi_kick(&d->vscsi) : guest_vblk_kick(&d->blk);
}

int iodisk_wait(IoDisk *d)
{
    return d->scsi ? guest_vscsi_wait(&d->vscsi, NULL)
                   : guest_vblk_wait(&d->blk, NULL);
}

int iodisk_rw(IoDisk *d, bool write, unsigned page, const GuestSg *sg,
              unsigned n)
{
    int rc = iodisk_start(d, write, page, sg, n);

    if (!rc) {
        rc = iodisk_kick(d);
    }
    return rc ? rc : iodisk_wait(d);
}

int iodisk_reset(IoDisk *d)
{
    return guest_virtio_reset(d->scsi ? &d->vscsi.dev : &d->blk.dev);
}

void iodisk_init(IoDisk *d)
{
    XenTest *t = d->t;

    if (d->scsi) {
        const GuestSg sg = {
            .gpa = IODISK_FIRST_GFN * XEN_TEST_PAGE, .len = 512
        };
        int rc;

        xen_test_ok(t, guest_vscsi_init(t->pc, &d->vscsi, 0, IODISK_IO,
                                        IODISK_DRIVER_GPA));
        /* The first request may report the reset instead of being done. */
        rc = iodisk_rw(d, false, 0, &sg, 1);
        xen_test_ok(t, rc == -EIO ? 0 : rc);
    } else {
        xen_test_ok(t, guest_vblk_init(t->pc, &d->blk, 0, IODISK_IO,
                                       IODISK_DRIVER_GPA));
    }
}

const char *iodisk_args(XenTest *t)
{
    const Kind *kind = t->data;
    g_auto(GStrv) devices = g_strsplit(kind->devices, "%s", 2);

    xen_test_disk(t, IODISK_PAGES, IODISK_SEED);
    return xen_test_keep(t, g_strdup_printf(
        "-smp 2 -object iothread,id=io -drive file='%s/disk',format=raw,"
        "if=none,id=drive -device %siothread=io,addr=7,disable-legacy=off,"
        "disable-modern=on%s", t->dir, devices[0], devices[1]));
}

void iodisk_boot(IoDisk *d, XenTest *t, uint64_t ram_bytes, unsigned flags,
                 const char *log)
{
    XensimDomainConfig cfg = {
        .ram_bytes = ram_bytes, .vcpus = 2, .flags = flags,
    };
    const Kind *kind = t->data;

    *d = (IoDisk) { .t = t, .scsi = kind->scsi };
    t->dom = xensim_domain_create(t->sim, &cfg);
    g_assert_nonnull(t->dom);
    /* An earlier case of this process may have asked for a log. */
    if (log) {
        setenv("XENSIM_LOG", log, true);
    } else {
        unsetenv("XENSIM_LOG");
    }
    xen_test_boot(t, iodisk_args(t));
    iodisk_init(d);
}

void iodisk_boot_small(IoDisk *d, XenTest *t)
{
    iodisk_boot(d, t, (uint64_t)XEN_TEST_RAM_MB << 20, XENSIM_DOM_SCATTERED,
                NULL);
}

/* ---- a load ---- */

void iodisk_random(IoRequest *r, unsigned serial)
{
    const unsigned pages = IODISK_OTHER_GFN - IODISK_FIRST_GFN;

    r->write = false;
    r->n = g_test_rand_int_range(1, IODISK_PIECES + 1);
    r->page = g_test_rand_int_range(0, IODISK_PAGES - IODISK_PIECES);
    for (unsigned i = 0; i < r->n; i++) {
        r->gfn[i] = IODISK_FIRST_GFN + serial % IODISK_REQUESTS +
                    g_test_rand_int_range(0, pages / IODISK_REQUESTS) *
                    IODISK_REQUESTS;
    }
}

int iodisk_put(IoDisk *d, const IoRequest *r)
{
    GuestSg sg[IODISK_PIECES];

    for (unsigned i = 0; i < r->n; i++) {
        sg[i] = (GuestSg) { r->gfn[i] * XEN_TEST_PAGE, XEN_TEST_PAGE };
    }
    return iodisk_start(d, r->write, r->page, sg, r->n);
}

/* ---- cases ---- */

void iodisk_add(const char *name, XenScenario *scenario,
                const char *stock_blk, const char *stock_scsi)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_autofree char *path = g_strdup_printf("iothread/%s/%s",
                                                kinds[i].name, name);

        xen_test_add_data(path, scenario, &kinds[i],
                          kinds[i].scsi ? stock_scsi : stock_blk);
    }
}
