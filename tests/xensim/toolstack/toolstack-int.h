/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the toolstack's files share:
 *   toolstack.c        guests: create, save, restore, migrate, destroy
 *   toolstack-dm.c     one device model process: start, wait, how it ended
 *   toolstack-argv.c   its configuration, and the argument vector
 *   toolstack-physmap.c  the physmap that older device models keep in xenstore
 */

#ifndef XENSIM_TOOLSTACK_INT_H
#define XENSIM_TOOLSTACK_INT_H

#include "toolstack.h"

struct Toolstack {
    Xensim *sim;
    XensimXs *xs;
    unsigned int timeout_ms;
    GPtrArray *guests;          /* TsGuest * */
    unsigned int serial;        /* for names of files in the run directory */
};

struct TsGuest {
    Toolstack *ts;
    TsConfig config;            /* with its own strings */
    XensimDomain *dom;
    uint32_t domid;
    pid_t pid;                  /* 0: not started, or reaped */
    int wstatus;                /* once reaped */
    TsQmp *qmp;
    char *qmp_path, *log_path;
};

/*
 * toolstack-dm.c: start GUEST's device model, with the state in INCOMING_FD
 * (-1: none), and wait until it runs.
 */
gboolean ts_dm_start(TsGuest *guest, int incoming_fd, GError **err);

/* Kills the device model if it runs, and releases what belongs to it. */
void ts_dm_stop(TsGuest *guest);

#endif
