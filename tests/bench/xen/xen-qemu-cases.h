/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whole QEMU with a guest that asks for much work, one case at a time.
 *   xen-qemu-cases.c        the program; QEMU's process, and watching it
 *   xen-qemu-adversary.c    long lists: of one page, of many, of absent pages
 *   xen-qemu-states.c       scattered transfers, an idle guest, moving BARs
 *
 * Functions that can fail return false and set @err.
 */
#ifndef XEN_QEMU_CASES_H
#define XEN_QEMU_CASES_H

#include "drivers/pc.h"
#include "plain-machine.h"
#include "toolstack.h"

#define CASE_PAGE       4096u
#define CASE_MIB        (1ull << 20)
#define CASE_RAM        (512 * CASE_MIB)
/* The guest addresses of data and of absent pages, and the size of those. */
#define CASE_DATA_AT    (64 * CASE_MIB)
#define CASE_HOLES_AT   (320 * CASE_MIB)
#define CASE_HOLES      (128 * CASE_MIB)
/* Where a plain machine has none, as these: nothing is there. */
#define CASE_PLAIN_HOLES_AT CASE_RAM

typedef struct CaseWatch CaseWatch;

typedef struct CaseRun {
    const char *name;           /* Case.name of the case that runs */
    const void *data;           /* Case.data of that case */
    const char *qemu, *dir;
    bool series;                /* QEMU has the series' properties */
    bool on_plain;              /* it is to be a machine with plain RAM, on
                                 * which only adversary_cases[] can run */
    PlainMachine *plain;        /* NULL: it is on the simulated Xen */
    pid_t pid;
    Toolstack *ts;
    TsGuest *guest;
    XensimDomain *dom;          /* NULL with plain RAM */
    GuestPc *pc;
    CaseWatch *watch;
} CaseRun;

/* Starts QEMU with @machine (NULL: the usual) and @args, NULL-terminated. */
bool case_start(CaseRun *run, const char *machine, const char *const *args,
                GError **err);

/* One line of the report: the case, @measure, @value. */
void case_report(const CaseRun *run, const char *measure, double value);

/* Reports that @measure has no value. */
void case_report_none(const CaseRun *run, const char *measure);

/* @rc of a guest's driver: false and @err if it failed. */
bool case_ok(const CaseRun *run, int rc, GError **err);

/*
 * From begin to end, QEMU is watched.  A thread asks the monitor without a
 * pause and notes its longest wait; the longest round of the main loop is
 * noted, too.  The end reports both, and the CPU time of QEMU's process.
 */
void case_watch_begin(CaseRun *run);
void case_watch_end(CaseRun *run);

/* Has the monitor answered within the last second? */
bool case_monitor_answers(const CaseRun *run);

typedef struct Case {
    const char *name;
    bool (*run)(CaseRun *run, GError **err);
    const void *data;           /* the case finds it in CaseRun */
} Case;

/* Each ends with an element without a name. */
extern const Case adversary_cases[], state_cases[];

#endif
