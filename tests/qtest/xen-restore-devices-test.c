/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A display whose memory is at its BAR is restored with other devices beside
 * it, whose state is loaded before the display's or after it.
 *
 * What QEMU does for one device while the other's state comes in is the
 * subject: a disk, for instance, is told of device memory as that is found.
 */
#include "xen-physmap-device.c.inc"

static const Device display = {
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

    return g_strconcat(xen_test_disk(t, DISK_PAGES, SEED),
                       other_first ? other->args : display.args,
                       other_first ? display.args : other->args, NULL);
}

static const char *restored(XenTest *t, bool other_first, const char *more)
{
    g_autofree char *args = args_of(t, other_first);
    g_autofree char *restored_args = g_strconcat(args, more, NULL);

    xen_test_start(t, args);
    xen_test_ide(t);
    place(t, &display, FIRST);
    stamp(t, &display, FIRST, 10);
    for (unsigned i = 0; i < 2; i++) {
        xen_test_save_restore(t, restored_args);
        XEN_TRY(in_place(t, &display, FIRST, 10));
        XEN_REQUIRE(xen_test_stat(t, "dummies") == 0, "has a dummy left");
    }
    /* It goes on as before. */
    place(t, &display, SECOND);
    return in_place(t, &display, SECOND, 10);
}

static const char *other_first(XenTest *t)
{
    return restored(t, true, "");
}

static const char *other_last(XenTest *t)
{
    return restored(t, false, "");
}

static const char *restricted(XenTest *t)
{
    return restored(t, true, "-xen-domid-restrict ");
}

static const char *alone(XenTest *t)
{
    const Beside *other = t->data;
    g_autofree char *args = machine(t, other->args);

    xen_test_start(t, args);
    xen_test_ide(t);
    for (unsigned i = 0; i < 2; i++) {
        xen_test_save_restore(t, args);
        xen_test_dma_read(t, i, 0x200000, 4);
        XEN_TRY(xen_test_disk_at(t, 0x200000, i, 4, SEED, "read other bytes"));
    }
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
    if (!xen_test_compat()) {
        add(&beside[0], "restricted", restricted);
    }
    return g_test_run();
}
