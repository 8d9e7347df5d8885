/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The devices that a binary has, and the arguments that create them. */
#include "qemu/osdep.h"
#include "qobject/qlist.h"
#include "qobject/qstring.h"
#include "every-device.h"

/* What gives a device the bus that it needs; other buses the machine has. */
static const struct {
    const char *bus, *args;
} providers[] = {
    { "usb-bus", "-device piix3-usb-uhci " },
    { "SCSI", "-device virtio-scsi-pci " },
    { "virtio-serial-bus", "-device virtio-serial-pci " },
    { "sd-bus", "-device sdhci-pci " },
    { "HDA", "-device intel-hda " },
    { "IndustryPack", "-device tpci200 " },
    { "nvme-bus", "-device nvme,serial=1 " },
    { "ufs-bus", "-device ufs " },
};

static const struct {
    const char *property;
    XenBehind behind;
} properties[] = {
    { "drive", XEN_BEHIND_DRIVE },
    { "netdev", XEN_BEHIND_NETDEV },
    { "chardev", XEN_BEHIND_CHARDEV },
    { "audiodev", XEN_BEHIND_AUDIODEV },
    { "memdev", XEN_BEHIND_MEMDEV },
    { "cryptodev", XEN_BEHIND_CRYPTODEV },
    { "bmc", XEN_BEHIND_BMC },
    { "serial", XEN_BEHIND_SERIAL },
};

const char *const xen_every_disks[] = {
    "scsi-hd", "ide-hd", "sd-card", "ufs-lu", NULL,
};

/* ---- the table ---- */

static void ask_properties(QTestState *qts, XenDevice *d)
{
    QDict *rsp = qtest_qmp(qts, "{'execute': 'device-list-properties',"
                           " 'arguments': {'typename': %s}}", d->name);
    QList *list = qdict_get_qlist(rsp, "return");
    QListEntry *e;

    QLIST_FOREACH_ENTRY(list, e) {
        QDict *property = qobject_to(QDict, qlist_entry_obj(e));
        const char *name = qdict_get_str(property, "name");

        for (unsigned i = 0; i < G_N_ELEMENTS(properties); i++) {
            if (g_str_equal(name, properties[i].property)) {
                d->behind |= properties[i].behind;
            }
        }
    }
    qobject_unref(rsp);
    if (g_str_equal(d->name, "ivshmem-doorbell")) {
        /* It waits for the server that is to be behind it. */
        d->behind &= ~XEN_BEHIND_CHARDEV;
    }
}

/* The word behind @key in a line of -device help, without quotes. */
static char *word(const char *line, const char *key)
{
    const char *at = strstr(line, key);
    const char *start = at ? at + strlen(key) : NULL;

    return start ? g_strndup(start, strcspn(start, "\",")) : NULL;
}

/* A line "name "NAME", bus BUS, …"; @section is the title above it. */
static void add_line(GPtrArray *devices, const char *section,
                     const char *line)
{
    XenDevice *d;

    if (!g_str_has_prefix(line, "name \"") ||
        g_str_has_prefix(section, "CPU")) {
        return;
    }
    d = g_new0(XenDevice, 1);
    d->name = word(line, "name \"");
    d->bus = word(line, ", bus ");
    d->display = g_str_has_prefix(section, "Display");
    d->storage = g_str_has_prefix(section, "Storage");
    g_ptr_array_add(devices, d);
}

GPtrArray *xen_devices(void)
{
    const char *binary = getenv("QTEST_QEMU_BINARY");
    g_autofree char *command = g_strdup_printf("%s -device help",
                                               binary ?: "");
    g_autofree char *help = NULL, *section = g_strdup("");
    g_auto(GStrv) lines = NULL;
    GPtrArray *devices = g_ptr_array_new();
    QTestState *qts;

    if (!g_spawn_command_line_sync(command, &help, NULL, NULL, NULL)) {
        fprintf(stderr, "QTEST_QEMU_BINARY is no program that runs: %s\n",
                binary ?: "not set");
        exit(1);
    }
    lines = g_strsplit(help, "\n", -1);
    for (char **line = lines; *line; line++) {
        if (g_str_has_suffix(*line, " devices:")) {
            g_free(section);
            section = g_strdup(*line);
        }
        add_line(devices, section, *line);
    }
    if (!devices->len) {
        fprintf(stderr, "%s -device help names no device\n", binary);
        exit(1);
    }
    qts = qtest_init("-machine none");
    for (unsigned i = 0; i < devices->len; i++) {
        ask_properties(qts, g_ptr_array_index(devices, i));
    }
    qtest_quit(qts);
    return devices;
}

/* ---- arguments ---- */

static char *make_disk(const char *dir, unsigned n)
{
    const size_t size = XEN_EVERY_DISK_PAGES * XEN_TEST_PAGE;
    g_autofree uint8_t *bytes = g_malloc(size);
    char *file = g_strdup_printf("%s/dut-%u", dir, n);

    for (unsigned i = 0; i < XEN_EVERY_DISK_PAGES; i++) {
        xensim_stamp_page(bytes + i * XEN_TEST_PAGE, i, XEN_EVERY_DISK_SEED);
    }
    g_assert_true(g_file_set_contents(file, (char *)bytes, size, NULL));
    return file;
}

/* The backends of device @n, and the properties that name them. */
static void add_behind(const XenDevice *d, unsigned n, const char *dir,
                       GString *backends, GString *props)
{
    if (d->behind & XEN_BEHIND_DRIVE) {
        g_autofree char *file = make_disk(dir, n);

        g_string_append_printf(backends, "-drive if=none,id=d%u,format=raw,"
                               "file='%s' ", n, file);
        g_string_append_printf(props, ",drive=d%u", n);
    }
    if (d->behind & XEN_BEHIND_NETDEV) {
        g_string_append_printf(backends, "-netdev hubport,id=n%u,hubid=%u ",
                               n, n);
        g_string_append_printf(props, ",netdev=n%u", n);
    }
    if (d->behind & XEN_BEHIND_CHARDEV) {
        g_string_append_printf(backends, "-chardev null,id=c%u ", n);
        g_string_append_printf(props, ",chardev=c%u", n);
    }
    if (d->behind & XEN_BEHIND_AUDIODEV) {
        g_string_append_printf(backends, "-audiodev none,id=a%u ", n);
        g_string_append_printf(props, ",audiodev=a%u", n);
    }
    if (d->behind & XEN_BEHIND_MEMDEV) {
        g_string_append_printf(backends, "-object memory-backend-ram,id=m%u,"
                               "size=1M ", n);
        g_string_append_printf(props, ",memdev=m%u", n);
    }
    if (d->behind & XEN_BEHIND_CRYPTODEV) {
        g_string_append_printf(backends,
                               "-object cryptodev-backend-builtin,id=x%u ",
                               n);
        g_string_append_printf(props, ",cryptodev=x%u", n);
    }
    if (d->behind & XEN_BEHIND_BMC) {
        g_string_append_printf(backends, "-device ipmi-bmc-sim,id=b%u ", n);
        g_string_append_printf(props, ",bmc=b%u", n);
    }
}

/* Appends device @n; @disk as in xen_every_args(). */
static void add_device(const XenDevice *d, unsigned n, bool backed,
                       const char *dir, const char *disk, GString *args)
{
    g_autoptr(GString) backends = g_string_new("");
    g_autoptr(GString) props = g_string_new("");

    for (unsigned i = 0; i < G_N_ELEMENTS(providers); i++) {
        if (d->bus && g_str_equal(d->bus, providers[i].bus)) {
            g_string_append(args, providers[i].args);
        }
    }
    if (backed) {
        add_behind(d, n, dir, backends, props);
    }
    g_string_append_printf(args, "%s-device %s,id=dut%u%s%s ", backends->str,
                           d->name, n, props->str,
                           d->behind & XEN_BEHIND_SERIAL &&
                           !(d->bus && g_str_equal(d->bus, "usb-bus"))
                           ? ",serial=1" : "");
    if (disk && d->storage && !(d->behind & XEN_BEHIND_DRIVE)) {
        g_autofree char *file = make_disk(dir, 10 + n);

        g_string_append_printf(args, "-drive if=none,id=e%u,format=raw,"
                               "file='%s' -device %s,drive=e%u", n, file,
                               disk, n);
        /* Others find the one bus of their kind, which has no name. */
        if (g_str_equal(disk, "scsi-hd") || g_str_equal(disk, "ide-hd")) {
            g_string_append_printf(args, ",bus=dut%u.0", n);
        }
        g_string_append_c(args, ' ');
    }
}

char *xen_every_args(const XenEveryCase *c, const char *dir, const char *disk)
{
    GString *args = g_string_new("");
    bool backed = c->form != XEN_FORM_ALONE;

    if (c->form == XEN_FORM_VGA) {
        g_string_append(args, XEN_TEST_VGA);
    }
    if (c->form == XEN_FORM_AFTER) {
        add_device(c->other, 1, backed, dir, disk, args);
    }
    add_device(c->device, 0, backed, dir, disk, args);
    if (c->form == XEN_FORM_BEFORE) {
        add_device(c->other, 1, backed, dir, disk, args);
    }
    return g_string_free(args, FALSE);
}
