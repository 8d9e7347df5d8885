/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The toolstack of the simulated Xen: what libxl does for an HVM guest.
 *
 * A Toolstack is one simulated machine with its xenstore.  A TsGuest is one
 * domain with its device model, a QEMU process.  Errors come as GError with
 * one line that says what failed.  If the device model has died, the error says
 * how it ended and quotes the last lines that it wrote (domain G_IO_ERROR, code
 * G_IO_ERROR_CONNECTION_CLOSED).
 *
 * Threads: only one thread at a time may use a Toolstack and its guests.  Other
 * threads may play the guest's CPU (xensim.h, drivers/pc.h) meanwhile, except
 * while the guest is saved or destroyed.
 */

#ifndef XENSIM_TOOLSTACK_H
#define XENSIM_TOOLSTACK_H

#include <gio/gio.h>
#include <stdbool.h>

#include "toolstack-qmp.h"
#include "xensim.h"
#include "xenstore-server.h"

typedef struct Toolstack Toolstack;
typedef struct TsGuest TsGuest;

/*
 * Create a simulated machine.  RUN_DIR is an existing empty directory, or NULL
 * for a private one that is removed at the end.  NULL and ERR on failure.
 */
Toolstack *ts_new(const char *run_dir, GError **err);

/* Destroy all guests and the machine.  Files of ts_save() are kept. */
void ts_free(Toolstack *ts);

Xensim *ts_sim(Toolstack *ts);
XensimXs *ts_xs(Toolstack *ts);

/* How long to wait for a device model to start or answer; default 30,000 ms. */
void ts_set_timeout(Toolstack *ts, unsigned int ms);

typedef struct TsConfig {
    const char *qemu;           /* the device model's binary */
    const char *name;           /* NULL: "guest" */
    uint64_t ram_bytes;         /* a multiple of 1 MiB; 0: 128 MiB */
    unsigned int vcpus;         /* 0: 1 */
    unsigned int dom_flags;     /* XENSIM_DOM_SCATTERED or 0 */
    uint64_t max_pages;         /* as in XensimDomainConfig */
    const char *machine;        /* NULL: "xenfv,suppress-vmdesc=on" */
    const char *vga;            /* a -device argument; NULL: standard VGA of
                                   16 MiB; "" for none */
    const char *disk;           /* raw image on ide0 master; NULL: none */
    const char *plugged;        /* a -device argument that comes after all
                                   others; NULL: none */
    const char *rom_dir;        /* -L; NULL: the binary's own choice */
    bool restricted;            /* -xen-domid-restrict */
    const char *const *args;    /* further arguments, NULL-terminated */
    const char *const *env;     /* "NAME=value", NULL-terminated */
} TsConfig;

/*
 * Copies FROM, with its strings, and fills in defaults.  To be freed by
 * ts_config_clear().
 */
void ts_config_copy(TsConfig *to, const TsConfig *from);
void ts_config_clear(TsConfig *config);

/*
 * The argument vector that libxl would use for domain DOMID (g_strfreev).  The
 * QMP socket is at QMP_PATH; INCOMING is NULL or the argument of -incoming.
 */
char **ts_qemu_argv(const TsConfig *config, uint32_t domid,
                    const char *qmp_path, const char *incoming);

/*
 * Create a domain, write its xenstore keys, start its device model, and wait
 * until the device model serves the guest.  CONFIG is copied.  On failure,
 * removes all of this and returns NULL and ERR.
 */
TsGuest *ts_create(Toolstack *ts, const TsConfig *config, GError **err);

/*
 * Stop the device model and write the guest to the existing directory DIR:
 * "device-model" (xen-save-devices-state), "memory", and "physmap" if the
 * device model keeps one in xenstore (see below).  The guest stays, paused.
 * Then ts_destroy() it, or, after a checkpoint, ts_resume() it.
 */
gboolean ts_save(TsGuest *guest, const char *dir, GError **err);

/*
 * Removes DIR and the files that ts_save() wrote there, also those of a save
 * that failed.
 */
void ts_forget_saved(const char *dir);

/* Let the guest go on after ts_save(). */
gboolean ts_resume(TsGuest *guest, GError **err);

/*
 * Create a new domain, in new machine frames, from the files of ts_save() in
 * DIR.  The device model gets its state by -incoming.  CONFIG must describe the
 * same machine.
 */
TsGuest *ts_restore(Toolstack *ts, const TsConfig *config, const char *dir,
                    GError **err);

/*
 * A device model for a libxen without map2 keeps the location of its memory in
 * xenstore, in the keys below /local/domain/0/device-model/DOMID/physmap.
 * Saving, restoring and migrating carry these keys over.  ts_save() writes them
 * to the file "physmap", if there are any: each key, followed by its value,
 * both ended by a NUL.
 *
 * ts_physmap_get() returns the contents of that file for a domain (g_bytes), or
 * NULL if it has no such keys.  ts_physmap_put() writes them for another
 * domain, and accepts NULL.
 */
GBytes *ts_physmap_get(XensimXs *xs, uint32_t domid);
void ts_physmap_put(XensimXs *xs, uint32_t domid, GBytes *physmap);

/*
 * Records in GUEST's configuration that a device was plugged in by QMP.  DEVICE
 * is the argument of -device that describes it (copied), or NULL when no such
 * device is left.  The next device model of the guest has the device, and its
 * next domain may have as many pages as this one.
 */
void ts_set_plugged(TsGuest *guest, const char *device);

/*
 * "Migrate to localhost": log dirty pages, stop the guest, save the device
 * model, copy the memory into a new domain, start its device model while the
 * old one still exists, and destroy the old one.  Returns the new guest; GUEST
 * is freed.  On failure returns NULL; the new guest is destroyed, and GUEST
 * goes on.
 */
TsGuest *ts_migrate(TsGuest *guest, GError **err);

/* Kill the device model, destroy the domain, remove its keys.  NULL is fine. */
void ts_destroy(TsGuest *guest);

/*
 * Ask QEMU to quit and wait for it; the domain and TsGuest stay.  FALSE if
 * it did not exit with status 0.
 */
gboolean ts_quit(TsGuest *guest, GError **err);

/*
 * What belongs to GUEST; not to be freed.  ts_pid() is 0 when the device model
 * is known to have ended.
 */
XensimDomain *ts_domain(TsGuest *guest);
TsQmp *ts_qmp(TsGuest *guest);
pid_t ts_pid(TsGuest *guest);
const TsConfig *ts_config(TsGuest *guest);

/*
 * TRUE if the device model is running.  Otherwise ERR says how it ended, and
 * *WSTATUS (may be NULL) gets waitpid()'s status.
 */
gboolean ts_alive(TsGuest *guest, int *wstatus, GError **err);

/* All that the device model has written to stdout and stderr (g_free). */
char *ts_output(TsGuest *guest);

/*
 * The guest gives PAGES at GFN back to Xen, or takes them again.  Xen sends an
 * invalidate each time.  FALSE if fewer pages were given or taken, or if the
 * device model did not answer.
 */
gboolean ts_balloon_out(TsGuest *guest, uint64_t gfn, uint64_t pages,
                        GError **err);
gboolean ts_balloon_in(TsGuest *guest, uint64_t gfn, uint64_t pages,
                       GError **err);

/* QEMU's picture of its display as PNG (FORMAT "png") or PPM ("ppm"). */
gboolean ts_screendump(TsGuest *guest, const char *path, const char *format,
                       GError **err);

#endif
