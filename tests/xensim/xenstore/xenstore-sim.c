/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The xenstore of a simulation.  It is started and stopped with the simulation,
 * and gets the keys that libxl writes for each domain.  The host library calls
 * the xensim_xenstore_*() functions below (host-priv.h).
 */

#include <stdio.h>
#include <string.h>

#include "host-priv.h"
#include "xenstore-client.h"
#include "xenstore-server.h"

#define VIDEORAM_KB 16384

/* Like xensim_xs_writef(), with the path from printf too: BASE/KEY. */
static void put(XensimXs *xs, const char *base, const char *key,
                const char *value)
{
    g_autofree char *path = g_strdup_printf("%s/%s", base, key);

    xensim_xs_writef(xs, path, "%s", value);
}

static void put_int(XensimXs *xs, const char *base, const char *key,
                    uint64_t value)
{
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, value);

    put(xs, base, key, text);
}

static void set_perms(XensimXs *xs, const char *path, unsigned int owner,
                      unsigned int reader)
{
    const struct xs_permissions perms[] = {
        { owner, XS_PERM_NONE }, { reader, XS_PERM_READ },
    };

    xensim_xs_mkdir(xs, path);
    xensim_xs_set_perms(xs, path, perms, owner == reader ? 1 : 2);
}

/* An identity that tells guests of one run apart; not random. */
static char *guest_uuid(uint32_t domid)
{
    return g_strdup_printf("00000000-0000-4000-8000-%012x", domid);
}

static void write_keys(XensimXs *xs, XensimDomain *domain)
{
    /* Directories of its own that a guest may write below. */
    static const char *const writable[] = {
        "device", "control", "data", "drivers", "feature", "attr", "error",
    };
    uint32_t id = xensim_domid(domain);
    uint64_t ram_kb = xensim_ram_bytes(domain) / 1024;
    g_autofree char *dom = g_strdup_printf("/local/domain/%u", id);
    g_autofree char *uuid = guest_uuid(id);
    g_autofree char *vm = g_strdup_printf("/vm/%s", uuid);
    g_autofree char *dm = g_strdup_printf("/local/domain/0/device-model/%u",
                                          id);
    unsigned int i;

    /* The control domain's own, as at boot; harmless a second time. */
    put(xs, "/local/domain/0", "domid", "0");
    put(xs, "/local/domain/0", "name", "Domain-0");
    xensim_xs_mkdir(xs, "/local/domain/0/backend");

    set_perms(xs, dom, 0, id);
    set_perms(xs, vm, 0, id);
    put(xs, dom, "vm", vm);
    put(xs, dom, "name", "guest");
    put_int(xs, dom, "domid", id);
    for (i = 0; i < G_N_ELEMENTS(writable); i++) {
        g_autofree char *path = g_strdup_printf("%s/%s", dom, writable[i]);

        set_perms(xs, path, id, id);
    }
    put(xs, dom, "control/platform-feature-multiprocessor-suspend", "1");
    put(xs, dom, "control/platform-feature-xs_reset_watches", "1");
    put_int(xs, dom, "memory/static-max", ram_kb + VIDEORAM_KB);
    put_int(xs, dom, "memory/target", ram_kb);
    put_int(xs, dom, "memory/videoram", VIDEORAM_KB);
    for (i = 0; i < xensim_vcpus(domain); i++) {
        g_autofree char *key = g_strdup_printf("cpu/%u/availability", i);

        put(xs, dom, key, "online");
    }
    put(xs, dom, "hvmloader/bios", "seabios");
    put(xs, dom, "hvmloader/allow-memory-relocate", "0");
    put(xs, dom, "platform/acpi", "1");
    put_int(xs, dom, "store/port",
            xensim_hvm_param_get(domain, 2 /* STORE_EVTCHN */));
    put_int(xs, dom, "store/ring-ref",
            xensim_hvm_param_get(domain, 1 /* STORE_PFN */));

    put(xs, vm, "name", "guest");
    put(xs, vm, "uuid", uuid);
    put(xs, vm, "image/ostype", "hvm");

    /* Its device model's; 0 in device-model-domid: not in a stub domain. */
    put(xs, dom, "image/device-model-domid", "0");
    xensim_xs_mkdir(xs, dm);
    put(xs, dm, "backend", "0");
    xensim_xs_introduce(xs, id);
}

static void remove_keys(XensimXs *xs, uint32_t id)
{
    g_autofree char *dom = g_strdup_printf("/local/domain/%u", id);
    g_autofree char *uuid = guest_uuid(id);
    g_autofree char *vm = g_strdup_printf("/vm/%s", uuid);
    g_autofree char *dm = g_strdup_printf("/local/domain/0/device-model/%u",
                                          id);

    xensim_xs_release(xs, id);
    xensim_xs_rm(xs, dom);
    xensim_xs_rm(xs, vm);
    xensim_xs_rm(xs, dm);
}

/* ---- hooks ---- */

XensimXs *xensim_xenstore(Xensim *sim)
{
    return *xensim_xenstore_slot(sim);
}

int xensim_xenstore_start(Xensim *sim)
{
    g_autofree char *socket = g_strdup_printf("%s/" XENSIM_XS_SOCKET,
                                              xensim_dir(sim));
    g_autoptr(GError) err = NULL;
    XensimXs *xs = xensim_xs_new(socket, &err);

    if (!xs) {
        fprintf(stderr, "xensim: %s\n", err->message);
        return -EIO;
    }
    *xensim_xenstore_slot(sim) = xs;
    return 0;
}

void xensim_xenstore_stop(Xensim *sim)
{
    xensim_xs_free(xensim_xenstore(sim));
    *xensim_xenstore_slot(sim) = NULL;
}

void xensim_xenstore_domain_created(XensimDomain *dom)
{
    XensimXs *xs = xensim_xenstore(xensim_domain_sim(dom));

    if (xs) {
        write_keys(xs, dom);
    }
}

void xensim_xenstore_domain_destroyed(XensimDomain *dom)
{
    XensimXs *xs = xensim_xenstore(xensim_domain_sim(dom));

    if (xs) {
        remove_keys(xs, xensim_domid(dom));
    }
}
