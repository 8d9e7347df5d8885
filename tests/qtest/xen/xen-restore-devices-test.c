/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A display whose memory is at its BAR is restored with other devices beside
 * it, whose state is loaded before the display's or after it.
 *
 * What QEMU does for one device while the other's state comes in is the
 * subject: a disk, for instance, is told of device memory as that is found.
 */
#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "qemu/units.h"
#include "xen-test-devmem.h"

static const DevMem display = {
    "vga", "-device VGA,addr=8 ", { { 0, 16 * MiB } }
};

/* A device, with nothing else than the machine that it needs. */
typedef struct Beside {
    const char *id;
    const char *driver;     /* no case if the binary lacks it */
    const char *args;
} Beside;

static const Beside beside[] = {
    { "virtio-blk", "virtio-blk-pci",
      "-blockdev driver=null-co,size=1048576,node-name=other "
      "-device virtio-blk-pci,drive=other,addr=9 " },
    { "virtio-scsi", "virtio-scsi-pci",
      "-blockdev driver=null-co,size=1048576,node-name=other "
      "-device virtio-scsi-pci,id=hba,addr=9 "
      "-device scsi-hd,bus=hba.0,drive=other " },
    { "virtio-net", "virtio-net-pci", "-device virtio-net-pci,addr=9 " },
    { "virtio-serial", "virtio-serial-pci",
      "-device virtio-serial-pci,addr=9 " },
    { "virtio-balloon", "virtio-balloon-pci",
      "-device virtio-balloon-pci,addr=9 " },
    { "virtio-rng", "virtio-rng-pci", "-device virtio-rng-pci,addr=9 " },
    { "ahci", "ich9-ahci",
      "-blockdev driver=null-co,size=1048576,node-name=other "
      "-device ich9-ahci,id=ahci,addr=9 "
      "-device ide-hd,bus=ahci.0,drive=other " },
    { "lsi", "lsi53c895a",
      "-blockdev driver=null-co,size=1048576,node-name=other "
      "-device lsi53c895a,id=hba,addr=9 "
      "-device scsi-hd,bus=hba.0,drive=other " },
    { "megasas", "megasas",
      "-blockdev driver=null-co,size=1048576,node-name=other "
      "-device megasas,id=hba,addr=9 "
      "-device scsi-hd,bus=hba.0,drive=other " },
    { "e1000", "e1000", "-device e1000,addr=9 " },
    { "rtl8139", "rtl8139", "-device rtl8139,addr=9 " },
    { "usb-ehci", "usb-ehci",
      "-device usb-ehci,id=usb,addr=9 -device usb-tablet,bus=usb.0 " },
    { "hda", "intel-hda",
      "-device intel-hda,addr=9 -device hda-output " },
    { "ac97", "AC97", "-device AC97,addr=9 " },
};

/* A state is loaded in the order of the command line. */
static char *args_of(XenTest *t, bool other_first)
{
    const Beside *other = t->data;

    return g_strconcat(xen_test_disk(t, DEVMEM_DISK_PAGES, DEVMEM_SEED),
                       other_first ? other->args : display.args,
                       other_first ? display.args : other->args, NULL);
}

static const char *restored(XenTest *t, bool other_first, const char *more)
{
    g_autofree char *args = args_of(t, other_first);
    g_autofree char *restored_args = g_strconcat(args, more, NULL);

    xen_test_start(t, args);
    xen_test_ide(t);
    devmem_place(t, &display, RANGE_A);
    devmem_stamp(t, &display, RANGE_A, 10);
    for (unsigned i = 0; i < 2; i++) {
        xen_test_save_restore(t, restored_args);
        XEN_TRY(devmem_in_place(t, &display, RANGE_A, 10));
        XEN_REQUIRE(xen_test_stat(t, "dummies") == 0, "has a dummy left");
    }
    /* It goes on as before. */
    devmem_place(t, &display, RANGE_B);
    return devmem_in_place(t, &display, RANGE_B, 10);
}

static const char *other_first(XenTest *t)
{
    return restored(t, true, "");
}

static const char *other_last(XenTest *t)
{
    return restored(t, false, "");
}

/* A state of stock's, which moved the memory, too. */
static const char *from_stock(XenTest *t)
{
    g_autofree char *args = args_of(t, true);

    t->stock = true;
    xen_test_start(t, args);
    devmem_place(t, &display, RANGE_A);
    devmem_stamp(t, &display, RANGE_A, 10);
    t->stock = false;
    xen_test_save_restore(t, args);
    xen_test_ide(t);
    XEN_TRY(devmem_in_place(t, &display, RANGE_A, 10));
    XEN_REQUIRE(xen_test_stat(t, "dummies") == 0, "has a dummy left");
    return NULL;
}

static const char *restricted(XenTest *t)
{
    return restored(t, true, "-xen-domid-restrict ");
}

static const char *alone(XenTest *t)
{
    const Beside *other = t->data;
    g_autofree char *args = devmem_args(t, other->args);

    xen_test_start(t, args);
    xen_test_ide(t);
    for (unsigned i = 0; i < 2; i++) {
        xen_test_save_restore(t, args);
        xen_test_dma_read(t, i, 0x200000, 4);
        XEN_TRY(xen_test_disk_at(t, 0x200000, i, 4, DEVMEM_SEED,
                                 "read other bytes"));
    }
    return NULL;
}

/* What could not be loaded again is not saved: the error names the device. */
static const char *unsavable(XenTest *t)
{
    const Beside *other = t->data;
    g_autofree char *args = devmem_args(t, other->args);
    const char *desc;
    QDict *r, *error;

    xen_test_start(t, args);
    xen_test_ide(t);
    r = qtest_qmp(t->qts, "{'execute': 'xen-save-devices-state',"
                  " 'arguments': {'filename': '/dev/null'}}");
    error = qdict_get_qdict(r, "error");
    XEN_REQUIRE(error, "saves what it cannot load");
    desc = qdict_get_str(error, "desc");
    XEN_REQUIRE(strstr(desc, other->driver), "does not say why: %s", desc);
    qobject_unref(r);
    xen_test_dma_read(t, 1, 0x200000, 4);
    return xen_test_disk_at(t, 0x200000, 1, 4, DEVMEM_SEED, "read other bytes");
}

static const Beside unsavables[] = {
    { "nvme", "nvme", "-blockdev driver=null-co,size=1048576,node-name=other "
      "-device nvme,serial=1,drive=other,addr=9 " },
    { "ufs", "ufs", "-device ufs,serial=1,addr=9 " },
    { "virtio-crypto", "virtio-crypto",
      "-object cryptodev-backend-builtin,id=crypto "
      "-device virtio-crypto-pci,cryptodev=crypto,addr=9 " },
};

/* A state is loaded by a device model that has served the guest itself. */
static const char *load_again(XenTest *t)
{
    g_autofree char *args = devmem_args(t, display.args);
    const char *file;

    xen_test_start(t, args);
    xen_test_ide(t);
    devmem_place(t, &display, RANGE_A);
    devmem_stamp(t, &display, RANGE_A, 10);
    file = xen_test_save(t);
    for (unsigned i = 0; i < 2; i++) {
        qtest_qmp_assert_success(t->qts,
                                 "{'execute': 'xen-load-devices-state',"
                                 " 'arguments': {'filename': %s}}", file);
    }
    qtest_qmp_assert_success(t->qts, "{'execute': 'cont'}");
    return devmem_in_place(t, &display, RANGE_A, 10);
}

/*
 * The device model is told to load a state that is cut off before the display's
 * part, and then the whole one.  With the BAR off the state says where the
 * memory is, with the BAR on QEMU looks for it: in both cases the guest has
 * what it had, and no frame more.
 */
static const char *load_failed(XenTest *t)
{
    g_autofree char *args = devmem_args(t, display.args);
    g_autofree char *bad = g_build_filename(t->dir, "bad", NULL);
    uint64_t pages;
    unsigned i;

    xen_test_start(t, args);
    xen_test_ide(t);
    devmem_place(t, &display, RANGE_A);
    devmem_stamp(t, &display, RANGE_A, 10);
    pages = xen_test_pages(t);
    for (i = 0; i < 3; i++) {
        g_autofree char *state = NULL;
        const char *file;
        gsize len;

        devmem_decode(t, i);
        file = xen_test_save(t);
        g_assert_true(g_file_get_contents(file, &state, &len, NULL));
        /* Nothing but the start of a section's name, or two thirds. */
        g_assert_true(g_file_set_contents(bad, state, i > 1 ? len / 3 * 2 : 17,
                                          NULL));
        xen_test_restore_after(t, args, bad, file);
        devmem_decode(t, true);
        XEN_TRY(devmem_in_place(t, &display, RANGE_A, 10));
        XEN_REQUIRE(xen_test_pages(t) == pages, "has other frames");
        XEN_REQUIRE(xen_test_stat(t, "dummies") == 0, "has a dummy left");
    }
    g_assert_cmpint(g_unlink(bad), ==, 0);
    return NULL;
}

static void add(const Beside *other, const char *how, XenScenario *scenario)
{
    g_autofree char *path = g_strdup_printf("restore/%s-%s", other->id, how);

    xen_test_add_data(path, scenario, other, NULL);
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    for (unsigned i = 0; i < G_N_ELEMENTS(beside); i++) {
        if (!qtest_has_device(beside[i].driver)) {
            continue;
        }
        add(&beside[i], "alone", alone);
        add(&beside[i], "first", other_first);
        add(&beside[i], "last", other_last);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(unsavables); i++) {
        if (qtest_has_device(unsavables[i].driver)) {
            add(&unsavables[i], "unsavable", unsavable);
        }
    }
    xen_test_add("restore/load-again", load_again, NULL);
    if (!xen_test_compat()) {
        xen_test_add("restore/load-failed", load_failed, NULL);
        add(&beside[0], "restricted", restricted);
        if (*(getenv("XENSIM_STOCK_QEMU") ?: "")) {
            add(&beside[0], "from-stock", from_stock);
        }
    }
    return g_test_run();
}
