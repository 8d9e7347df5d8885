/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The toolstack of the simulated Xen: what libxl does around an HVM guest.
 *
 * A Toolstack is one simulated machine with its xenstore.  A TsGuest is one
 * domain with its device model, a QEMU process.  Errors come as GError with
 * one line that says what failed; when the device model has died, how it
 * ended and the last lines it wrote are part of it (domain G_IO_ERROR, code
 * G_IO_ERROR_CONNECTION_CLOSED).
 *
 * Threads: one at a time for each Toolstack and its guests.  The guest's CPU
 * (xensim.h, drivers/pc.h) may be played by other threads meanwhile, except
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
 * A fresh machine, in an existing empty directory RUN_DIR, or in a private
 * one (NULL) that is removed at the end.  NULL and ERR on failure.
 */
Toolstack *ts_new(const char *run_dir, GError **err);

/*
 * Destroys what guests are left, and the machine.  What ts_save() wrote
 * stays where it is.
 */
void ts_free(Toolstack *ts);

Xensim *ts_sim(Toolstack *ts);
XensimXs *ts_xs(Toolstack *ts);

/* How long to wait for a device model's start and answers; 30,000 ms. */
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
 * A copy of FROM with strings of its own, and defaults filled in, until
 * ts_config_clear().
 */
void ts_config_copy(TsConfig *to, const TsConfig *from);
void ts_config_clear(TsConfig *config);

/*
 * The argument vector that libxl would use for domain DOMID, with the QMP
 * socket at QMP_PATH; INCOMING is NULL or what -incoming gets.  g_strfreev.
 */
char **ts_qemu_argv(const TsConfig *config, uint32_t domid,
                    const char *qmp_path, const char *incoming);

/*
 * Create a domain, write its xenstore keys, start its device model, wait
 * until that serves the guest.  CONFIG is copied.  NULL and ERR on failure,
 * with nothing left.
 */
TsGuest *ts_create(Toolstack *ts, const TsConfig *config, GError **err);

/*
 * Stop the device model and write the guest to the directory DIR, which
 * exists: "device-model" (xen-save-devices-state), "memory", and "physmap"
 * if the device model keeps one in xenstore (below).  The guest
 * stays, paused; ts_destroy() it, or ts_resume() it after a checkpoint.
 */
gboolean ts_save(TsGuest *guest, const char *dir, GError **err);

/* Removes DIR with what ts_save() wrote there; it need not have been whole. */
void ts_forget_saved(const char *dir);

/* After ts_save(): go on. */
gboolean ts_resume(TsGuest *guest, GError **err);

/*
 * A new domain, in new machine frames, from what ts_save() wrote to DIR; the
 * device model gets its state by -incoming.  CONFIG must describe the same
 * machine.
 */
TsGuest *ts_restore(Toolstack *ts, const TsConfig *config, const char *dir,
                    GError **err);

/*
 * What a device model for a libxen without map2 keeps in xenstore about the
 * place of its memory, /local/domain/0/device-model/DOMID/physmap, goes with
 * the guest in all of the above: in the directory it is the file "physmap",
 * a key and its value in turn, each ended by a NUL.  It is not there if there
 * are no keys.
 *
 * ts_physmap_get() returns that of a domain, NULL if it has none (g_bytes);
 * ts_physmap_put() writes it for another one, and accepts NULL.
 */
GBytes *ts_physmap_get(XensimXs *xs, uint32_t domid);
void ts_physmap_put(XensimXs *xs, uint32_t domid, GBytes *physmap);

/*
 * A device was plugged into GUEST by QMP, DEVICE as an argument of -device
 * (copied); NULL: there is none any more.  Its configuration tells: the next
 * device model of the guest has the device, and its next domain may have as
 * many pages as this one.
 */
void ts_set_plugged(TsGuest *guest, const char *device);

/*
 * "Migrate to localhost": log dirty pages, stop, save the device model, copy
 * the memory into a new domain, start its device model while the old one
 * still lives, destroy the old.  Returns the new guest; GUEST is gone then.
 * On failure NULL: the new one is gone, and GUEST goes on.
 */
TsGuest *ts_migrate(TsGuest *guest, GError **err);

/* Kill the device model and destroy the domain; its keys go.  NULL is fine. */
void ts_destroy(TsGuest *guest);

/*
 * Ask QEMU to quit and wait for it; the domain and TsGuest stay.  FALSE if
 * it did not exit with status 0.
 */
gboolean ts_quit(TsGuest *guest, GError **err);

XensimDomain *ts_domain(TsGuest *guest);
TsQmp *ts_qmp(TsGuest *guest);
pid_t ts_pid(TsGuest *guest);
const TsConfig *ts_config(TsGuest *guest);

/*
 * FALSE, and ERR tells how it ended, if the device model is not running.
 * *WSTATUS (may be NULL) gets waitpid()'s status in that case.
 */
gboolean ts_alive(TsGuest *guest, int *wstatus, GError **err);

/* All that the device model has written to stdout and stderr (g_free). */
char *ts_output(TsGuest *guest);

/*
 * The guest gives PAGES at GFN back to Xen, or takes them again; Xen sends
 * an invalidate each time.  FALSE if fewer pages were there to give or could
 * be had, or the device model did not answer.
 */
gboolean ts_balloon_out(TsGuest *guest, uint64_t gfn, uint64_t pages,
                        GError **err);
gboolean ts_balloon_in(TsGuest *guest, uint64_t gfn, uint64_t pages,
                       GError **err);

/* QEMU's picture of its display as PNG (FORMAT "png") or PPM ("ppm"). */
gboolean ts_screendump(TsGuest *guest, const char *path, const char *format,
                       GError **err);

#endif
