/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The oracle's engine; oracle.h is what devices see of it.
 *   main.c      the program: options, what is printed
 *   run.c       a stream on two sides, from start to end
 *   side.c      one side: QEMU's process on the simulated Xen or with plain RAM
 *   bus.c       how guest drivers reach it
 *   restore.c   the Xen side saved and restored
 *   sights.c    what the guest saw of it
 *   absent.c    pages that the guest has given back to Xen
 *   shape.c     which machine a stream runs on; its arguments and addresses
 *   look.c      what is compared at a quiet point
 *   picture.c   the picture of each display
 *   dirty.c     the log of dirty pages that Xen keeps for a migration
 *   counts.c    QEMU's counts of map calls, compared with Xen's
 *   times.c     where the time goes
 *   shrink.c    what causes a difference, and the shortest stream that shows it
 *   stream.c    streams: from a seed, from bytes, from and to a file
 *   mutate.c    streams from other streams
 *   draw.c      arguments from bytes
 *   actions.c   the devices
 *
 * Functions that can fail return false, or NULL, and set @err.
 */
#ifndef XEN_ORACLE_ENGINE_H
#define XEN_ORACLE_ENGINE_H

#include <gio/gio.h>
#include "oracle.h"
#include "plain-machine.h"
#include "toolstack.h"

#define ORACLE_MAX_DEVICES  32u         /* a bit of OracleShape.devices each */
#define ORACLE_FIRST_SLOT   4u

/* ---- shape.c ---- */

/* The machine of a stream. */
typedef struct OracleShape {
    uint32_t devices;           /* bit N: oracle_devices[N] */
    uint32_t ram_mib;
    uint32_t cache_mib;         /* of the mapcache, which then also unmaps
                                   what is idle for a second; 0: default */
    bool iothread;
    bool scattered;             /* neighbouring frames are apart */
} OracleShape;

/* What a device gets, by its index in oracle_devices[]. */
void oracle_shape_place(const OracleShape *shape, unsigned index,
                        OraclePlace *place);

/* QEMU's arguments for all devices; disk images are in @dir (g_strfreev). */
char **oracle_shape_args(const OracleShape *shape, const char *dir);

/* ORACLE_VCPUS for a machine with actions that use several vCPUs, else one. */
unsigned oracle_shape_vcpus(const OracleShape *shape);

/* Makes the disk images and the empty BIOS in @dir. */
bool oracle_shape_files(const OracleShape *shape, const char *dir,
                        GError **err);

/* The image of a device (g_free). */
char *oracle_shape_disk(const OracleDevice *device, const char *dir);

/* ---- side.c ---- */

/* One thing that the guest saw. */
typedef struct OracleSight {
    const char *what;
    uint64_t index, value;
} OracleSight;

typedef struct OracleDirty OracleDirty;

struct OracleSide {
    const char *name;           /* "plain", "xen" */
    const char *qemu;           /* the binary */
    OracleShape shape;
    char *dir;
    GuestPc *pc;
    OracleSide *peer;           /* the other one */
    OraclePlace place[ORACLE_MAX_DEVICES];
    void *state[ORACLE_MAX_DEVICES];
    GArray *sights;             /* OracleSight, since oracle_side_forget() */
    GPtrArray *texts;           /* texts to which @sights points */
    GBytes *picture[ORACLE_MAX_DEVICES]; /* of displays; NULL: none */
    char *plugged;              /* -device's argument, if plugged; else NULL */
    uint64_t longest_ns;        /* that an access waited for its answer */
    PlainMachine *plain;        /* of the plain side; else NULL */
    Toolstack *ts;              /* of the Xen side, as the next; else NULL */
    TsGuest *guest;
    XensimCount maps_before;    /* map calls by earlier QEMU processes */
    bool maps_unknown;          /* @maps_before is not known yet */
    bool faulted;               /* a call to Xen was made to fail, once */
    bool restored;              /* it was saved and restored */
    OracleDirty *dirty;         /* the log is on; else NULL */
    uint8_t *absent;            /* a byte for each page of RAM */
    uint64_t n_absent;
    bool wild;                  /* an action with "wild" was run */
    GError *lost;               /* why nothing more can be done with it */
};

/* Starts @qemu, as device model if @xen, and sets its devices up. */
OracleSide *oracle_side_start(const char *name, const char *qemu, bool xen,
                              const OracleShape *shape, GError **err);
void oracle_side_stop(OracleSide *side);

/* Has it ended, or stopped answering?  Then @lost says how. */
bool oracle_side_lost(OracleSide *side);

/* The CPU time that its process has used, in ns. */
uint64_t oracle_side_cpu_ns(OracleSide *side);

/* NULL and @lost if the process is gone. */
TsQmp *oracle_side_qmp(OracleSide *side);

/* Sets @lost to @err, the reason why nothing more can be done with @side. */
void oracle_side_give_up(OracleSide *side, GError *err);

/*
 * True if page number @page is RAM.  Pages 0xa0 to 0xff are video memory and
 * ROMs, which are no RAM on Xen.
 */
bool oracle_is_ram(uint64_t page);

/*
 * Starts a copy of the plain side in @dir, with the disks of @side.  It waits
 * for a state (migrate-incoming), and stays paused when it has loaded the
 * state.  The caller ends it by plain_machine_stop().
 */
PlainMachine *oracle_side_copy(OracleSide *side, const char *dir,
                               GError **err);

/* Removes @dir and the files in it. */
void oracle_remove_dir(const char *dir);

/* ---- absent.c ---- */

/* An action with "wild" is about to be run. */
void oracle_side_wild(OracleSide *side);

/* ---- bus.c ---- */

/* Its functions take an OracleSide. */
extern const GuestBus oracle_side_bus;

/* ---- sights.c ---- */

/* Forgets what @side saw. */
void oracle_side_forget(OracleSide *side);

/* A hash of the @len bytes at @data. */
uint64_t oracle_hash(const uint8_t *data, size_t len);

/* ---- dirty.c ---- */

/* Turns the log of dirty pages on.  @side is the Xen side. */
void oracle_dirty_start(OracleSide *side);

/*
 * To be called when Xen knows, without a report from QEMU, that the pages of
 * the @len bytes at @gpa are dirty.
 */
void oracle_dirty_known(OracleSide *side, uint64_t gpa, uint64_t len);

/*
 * Turns the log off.  NULL if it was off, or if Xen knows of each page that has
 * changed.  Otherwise a line that names a page of which Xen does not know
 * (g_free).
 */
char *oracle_dirty_end(OracleSide *side);

/*
 * Forgets the log.  To be called when another domain has replaced the domain,
 * or when the log cannot be trusted.
 */
void oracle_dirty_drop(OracleSide *side);

/* ---- counts.c ---- */

/*
 * To be called when a new QEMU process begins on the Xen side: its map calls
 * are counted from here on.  @known: true if no other process makes calls to
 * Xen any more.
 */
void oracle_counts_begin(OracleSide *side, bool known);

/*
 * NULL if the QEMU process that runs now and Xen have the same counts.
 * Otherwise a line with the counts of both (g_free).
 */
char *oracle_counts_compare(OracleSide *side, TsQmp *qmp);

/* ---- picture.c ---- */

/* Takes the picture that display oracle_devices[@device] shows. */
void oracle_picture_take(OracleSide *side, unsigned device);

/*
 * NULL if both sides show the same pictures; else what differs, in a line
 * (g_free).  If @b was restored, a picture of @b may also be the one that @a
 * would show after a restore.
 */
char *oracle_pictures_compare(OracleSide *a, OracleSide *b);

/* ---- draw.c ---- */

struct OracleBytes {
    const uint8_t *data;
    size_t len, at;
};

/* ---- stream.c ---- */

typedef struct OracleStep {
    const OracleDevice *device;
    const OracleAction *action;
    GBytes *bytes;
} OracleStep;

typedef struct OracleStream {
    OracleShape shape;
    GArray *steps;              /* OracleStep */
} OracleStream;

OracleStream *oracle_stream_new(const OracleShape *shape);
OracleStream *oracle_stream_copy(const OracleStream *stream);
void oracle_stream_free(OracleStream *stream);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(OracleStream, oracle_stream_free)

/* Takes a reference of @bytes. */
void oracle_stream_add(OracleStream *stream, const OracleDevice *device,
                       const OracleAction *action, GBytes *bytes);

/*
 * @n actions by the random numbers of @seed.  @without names actions
 * ("xen.fault") or devices ("xen") that do not occur, NULL-terminated.
 */
OracleStream *oracle_stream_random(uint64_t seed, unsigned n,
                                   const char *const *without);

/*
 * At most @n actions by the @len bytes at @data (for example a fuzzer's): the
 * stream ends when the bytes end.
 */
OracleStream *oracle_stream_from_bytes(const void *data, size_t len,
                                       unsigned n,
                                       const char *const *without);

/*
 * One of @streams (OracleStream *, at least one, none is empty) with some
 * changes, which the random numbers of @seed decide.
 */
OracleStream *oracle_stream_mutate(uint64_t seed, const GPtrArray *streams);

/* Is @name one of a device, or "DEVICE.ACTION"? */
bool oracle_is_name(const char *name);

/* A corpus file, see docs/oracle.md. */
OracleStream *oracle_stream_load(const char *path, GError **err);
bool oracle_stream_save(const OracleStream *stream, const char *path,
                        GError **err);

/* ---- look.c ---- */

/*
 * All that is compared at a quiet point.  NULL if the sides are the same, else
 * what differs, in a line (g_free).  Of PCI configuration only the headers are
 * compared, unless @whole.
 */
char *oracle_look(OracleSide *a, OracleSide *b, bool whole);

/*
 * Compares what actions and looks told on both sides.  Returns what
 * oracle_look() returns.
 */
char *oracle_compare_sights(OracleSide *a, OracleSide *b);

/* ---- run.c ---- */

typedef enum OracleEnd {
    ORACLE_SAME,                /* no difference */
    ORACLE_DIFFERS,
    ORACLE_LOST,                /* the second side ended, or does not answer */
    ORACLE_PLAIN_LOST,          /* the same of the first side, a plain one */
    ORACLE_BOTH_LOST,           /* the same of both sides, in one action */
    ORACLE_SLOW,
    ORACLE_BROKEN,              /* the oracle could not do its work */
} OracleEnd;

typedef struct OracleResult {
    OracleEnd end;
    unsigned step;              /* the last one that was run */
    char *text;                 /* what, in a line; NULL if SAME */
    uint64_t actions, comparisons;
    uint64_t longest_ns;        /* the longest wait of an access, on Xen */
    unsigned longest_step;
} OracleResult;

void oracle_result_clear(OracleResult *result);

typedef struct OraclePlan {
    const char *qemu;           /* the binary of both sides */
    bool both_plain;            /* the second side is a plain machine, too */
    unsigned every;             /* a quiet point after so many actions */
    bool timeless;              /* do not look at the CPU time */
    int processor;              /* to which all is bound, except streams with
                                   an iothread; -1: none */
} OraclePlan;

void oracle_run(const OraclePlan *plan, const OracleStream *stream,
                OracleResult *result);

/* ---- times.c ---- */

/*
 * Turns the measuring of this process's time on.  Until then
 * oracle_times_add() does nothing.
 */
void oracle_times_begin(void);

/* The time of a monotonic clock in ns, for @start below. */
uint64_t oracle_times_now(void);

/* Adds the time from @start until now to that of @part of @what on @side. */
void oracle_times_add(const char *what, const char *part, const char *side,
                      uint64_t start);

/* Prints the sums, the longest first. */
void oracle_times_print(void);

/* ---- shrink.c ---- */

typedef enum OracleJudgement {
    ORACLE_GOOD,                /* no difference */
    ORACLE_UNSTEADY,            /* there was one, and a repeated run has none */
    ORACLE_OF_QEMU,             /* QEMU without Xen does it, too */
    ORACLE_FAULT,               /* a fault of what is tested */
} OracleJudgement;

/* @result is that of a run, and is replaced if the run is repeated. */
OracleJudgement oracle_judge(const OraclePlan *plan,
                             const OracleStream *stream,
                             OracleResult *result);

/*
 * Searches for the shortest stream that ends as @stream did, for about
 * @seconds, and returns the best that was found.  In a last run of that stream
 * everything is compared after each action; @result becomes its result.
 */
OracleStream *oracle_shrink(const OraclePlan *plan,
                            const OracleStream *stream, unsigned seconds,
                            OracleResult *result);

#endif
