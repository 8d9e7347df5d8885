/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's configuration, and what libxl tells QEMU about it. */

#include <string.h>

#include "toolstack-int.h"

#define DEFAULT_VGA "VGA,vgamem_mb=16"

void ts_config_copy(TsConfig *to, const TsConfig *from)
{
    *to = *from;
    to->qemu = g_strdup(from->qemu);
    to->name = g_strdup(from->name ? from->name : "guest");
    to->ram_bytes = from->ram_bytes ? from->ram_bytes : 128 << 20;
    to->vcpus = from->vcpus ? from->vcpus : 1;
    to->machine = g_strdup(from->machine ? from->machine
                                         : "xenfv,suppress-vmdesc=on");
    to->vga = g_strdup(from->vga ? from->vga : DEFAULT_VGA);
    to->disk = g_strdup(from->disk);
    to->plugged = g_strdup(from->plugged);
    to->rom_dir = g_strdup(from->rom_dir);
    to->args = (const char *const *)g_strdupv((char **)from->args);
    to->env = (const char *const *)g_strdupv((char **)from->env);
}

void ts_config_clear(TsConfig *config)
{
    g_free((char *)config->qemu);
    g_free((char *)config->name);
    g_free((char *)config->machine);
    g_free((char *)config->vga);
    g_free((char *)config->disk);
    g_free((char *)config->plugged);
    g_free((char *)config->rom_dir);
    g_strfreev((char **)config->args);
    g_strfreev((char **)config->env);
    memset(config, 0, sizeof(*config));
}

/* ---- the argument vector ---- */

static void add(GPtrArray *argv, const char *a, const char *b)
{
    g_ptr_array_add(argv, g_strdup(a));
    if (b) {
        g_ptr_array_add(argv, g_strdup(b));
    }
}

static void addf(GPtrArray *argv, const char *a, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);

static void addf(GPtrArray *argv, const char *a, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add(argv, a, NULL);
    g_ptr_array_add(argv, g_strdup_vprintf(fmt, ap));
    va_end(ap);
}

/* TEXT as a value in a list that commas part: QEMU wants them doubled. */
static char *double_commas(const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);

    return g_strjoinv(",,", parts);
}

char **ts_qemu_argv(const TsConfig *config, uint32_t domid,
                    const char *qmp_path, const char *incoming)
{
    g_autofree char *socket = double_commas(qmp_path);
    GPtrArray *argv = g_ptr_array_new();
    TsConfig c;
    unsigned int i;

    ts_config_copy(&c, config);         /* fills in the defaults */
    add(argv, c.qemu, NULL);
    addf(argv, "-xen-domid", "%u", domid);
    add(argv, "-no-shutdown", NULL);
    addf(argv, "-chardev", "socket,id=libxl-cmd,path=%s,server=on,wait=off",
         socket);
    add(argv, "-mon", "chardev=libxl-cmd,mode=control");
    add(argv, "-nodefaults", NULL);
    add(argv, "-no-user-config", NULL);
    add(argv, "-name", c.name);
    add(argv, "-display", "none");
    if (c.rom_dir) {
        add(argv, "-L", c.rom_dir);
    }
    if (c.vga[0]) {
        add(argv, "-device", c.vga);
    }
    add(argv, "-boot", "order=cd");
    if (c.vcpus > 1) {
        addf(argv, "-smp", "%u,maxcpus=%u", c.vcpus, c.vcpus);
    }
    add(argv, "-net", "none");
    add(argv, "-machine", c.machine);
    addf(argv, "-m", "%u", (unsigned int)(c.ram_bytes >> 20));
    if (c.disk) {
        g_autofree char *disk = double_commas(c.disk);

        addf(argv, "-drive", "file=%s,if=ide,index=0,media=disk,format=raw,"
             "cache=writeback", disk);
    }
    if (c.restricted) {
        add(argv, "-xen-domid-restrict", NULL);
    }
    if (incoming) {
        add(argv, "-incoming", incoming);
    }
    for (i = 0; c.args && c.args[i]; i++) {
        add(argv, c.args[i], NULL);
    }
    if (c.plugged) {
        add(argv, "-device", c.plugged);
    }
    g_ptr_array_add(argv, NULL);
    ts_config_clear(&c);
    return (char **)g_ptr_array_free(argv, FALSE);
}
