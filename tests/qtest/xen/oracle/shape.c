/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which machine a stream runs on: QEMU's arguments, addresses, files. */
#include "qemu/osdep.h"
#include "qemu/host-utils.h"
#include "actions.h"
#include "engine.h"

#define BIOS_BYTES 0x10000
#define FIRST_DATA 0x800000u    /* seed of the pattern that disks begin with */

static bool has(const OracleShape *shape, unsigned index)
{
    return shape->devices >> index & 1;
}

/* Space of @bytes, a power of two or 0, from *next on. */
static uint64_t take(uint64_t *next, uint64_t bytes)
{
    uint64_t at = bytes ? ROUND_UP(*next, pow2ceil(bytes)) : 0;

    if (bytes) {
        *next = at + bytes;
    }
    return at;
}

void oracle_shape_place(const OracleShape *shape, unsigned index,
                        OraclePlace *place)
{
    uint64_t mem = ORACLE_DRIVERS, mmio = ORACLE_MMIO, io = ORACLE_IO;
    unsigned slot = ORACLE_FIRST_SLOT, i;

    /* Devices that are not there count too: addresses are always the same. */
    for (i = 0; i <= index; i++) {
        const OracleDevice *device = oracle_devices[i];

        place->devfn = slot << 3;
        place->mem = take(&mem, ROUND_UP(device->mem_bytes, ORACLE_PAGE));
        place->mmio = take(&mmio, device->mmio_bytes);
        place->io = take(&io, device->io_bytes);
        slot += device->args != NULL;
    }
    g_assert(slot <= 32 && mem <= ORACLE_DATA && mmio <= ORACLE_NOWHERE);
}

char *oracle_shape_disk(const OracleDevice *device, const char *dir)
{
    return g_strdup_printf("%s/%s.img", dir, device->name);
}

static void replace(char **text, const char *token, const char *by)
{
    g_auto(GStrv) parts = g_strsplit(*text, token, -1);

    g_free(*text);
    *text = g_strjoinv(by, parts);
}

static void add_args(GPtrArray *argv, const OracleShape *shape,
                     unsigned index, const char *dir)
{
    const OracleDevice *device = oracle_devices[index];
    g_autofree char *text = g_strdup(device->args);
    g_autofree char *disk = oracle_shape_disk(device, dir);
    g_autofree char *slot = NULL;
    g_auto(GStrv) args = NULL;
    OraclePlace place;
    char **arg;

    oracle_shape_place(shape, index, &place);
    slot = g_strdup_printf("%x", place.devfn >> 3);
    replace(&text, "@SLOT@", slot);
    replace(&text, "@DISK@", disk);
    replace(&text, "@IOTHREAD@", shape->iothread ? ",iothread=thread" : "");
    args = g_strsplit(text, " ", -1);
    for (arg = args; *arg; arg++) {
        if (**arg) {
            g_ptr_array_add(argv, g_strdup(*arg));
        }
    }
}

unsigned oracle_shape_vcpus(const OracleShape *shape)
{
    unsigned i;

    for (i = 0; oracle_devices[i]; i++) {
        if (oracle_devices[i] == &oracle_cpus && has(shape, i)) {
            return ORACLE_VCPUS;
        }
    }
    return 1;
}

char **oracle_shape_args(const OracleShape *shape, const char *dir)
{
    static const char *const usual[] = {
        "-bios", "bios", "-rtc", "base=2020-01-01T00:00:00,clock=vm",
        "-object", "iothread,id=thread", NULL
    };
    GPtrArray *argv = g_ptr_array_new();
    unsigned i;

    for (i = 0; usual[i]; i++) {
        g_ptr_array_add(argv, i == 1 ? g_build_filename(dir, usual[i], NULL)
                                     : g_strdup(usual[i]));
    }
    g_ptr_array_add(argv, g_strdup("-smp"));
    g_ptr_array_add(argv, g_strdup_printf("%u", oracle_shape_vcpus(shape)));
    for (i = 0; oracle_devices[i]; i++) {
        if (has(shape, i) && oracle_devices[i]->args) {
            add_args(argv, shape, i, dir);
        }
    }
    g_ptr_array_add(argv, NULL);
    return (char **)g_ptr_array_free(argv, FALSE);
}

/* The same for all streams. */
static const char *first_data(uint64_t bytes)
{
    static char *data;
    static uint64_t had;

    if (had < bytes) {
        g_free(data);
        data = g_malloc(bytes);
        oracle_pattern(data, bytes, FIRST_DATA);
        had = bytes;
    }
    return data;
}

static bool make_disk(const OracleDevice *device, const char *dir,
                      GError **err)
{
    g_autofree char *path = oracle_shape_disk(device, dir);

    return g_file_set_contents(path, first_data(device->disk_bytes),
                               device->disk_bytes, err);
}

bool oracle_shape_files(const OracleShape *shape, const char *dir,
                        GError **err)
{
    g_autofree char *bios = g_build_filename(dir, "bios", NULL);
    g_autofree char *zeros = g_malloc0(BIOS_BYTES);
    unsigned i;

    if (!g_file_set_contents(bios, zeros, BIOS_BYTES, err)) {
        return false;
    }
    for (i = 0; oracle_devices[i]; i++) {
        if (has(shape, i) && oracle_devices[i]->disk_bytes &&
            !make_disk(oracle_devices[i], dir, err)) {
            return false;
        }
    }
    return true;
}
