/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The simulated xenstored, for the process that hosts the simulation.
 *
 * One XensimXs is one store.  Device models connect to it through a unix
 * socket, with xenstore-client.c in the preload library, or with any other
 * client that speaks the xenstore wire protocol.  The toolstack calls the
 * functions below, which act as domain 0 and need no connection.
 *
 * Threads: any thread may call any function, but xensim_xs_free() must be the
 * last call.  The server has a thread of its own, so a client in the host
 * process does not deadlock.
 *
 * Errors: functions that return int give 0 or -errno with xenstored's
 * errors: ENOENT, EACCES, EINVAL (a path that is not legal), EEXIST.
 */

#ifndef XENSIM_XENSTORE_SERVER_H
#define XENSIM_XENSTORE_SERVER_H

#include <glib.h>
#include <sys/types.h>
#include <xenstore_lib.h>

#include "xensim.h"

typedef struct XensimXs XensimXs;

/*
 * The store of a simulation: xensim_new() starts it, xensim_free() stops it.
 * It holds the keys that libxl writes for each domain.  NULL in a process
 * that only attached.
 */
XensimXs *xensim_xenstore(Xensim *sim);

/*
 * Start a separate store that listens on SOCKET_PATH (shorter than 108 bytes;
 * the file must not exist, and xensim_xs_free() removes it).  NULL and *ERR on
 * failure.
 */
XensimXs *xensim_xs_new(const char *socket_path, GError **err);

/* Stop the thread, close all connections, free the store.  NULL is fine. */
void xensim_xs_free(XensimXs *xs);

/* ---- the toolstack's side: acts as domain 0, never refused ---- */

/* Write printf-style text to PATH (absolute); makes missing parents. */
int xensim_xs_writef(XensimXs *xs, const char *path, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);

/* The value of PATH as a string (g_free), or NULL if there is none. */
char *xensim_xs_read(XensimXs *xs, const char *path);

/* Make PATH an empty node if it does not exist. */
int xensim_xs_mkdir(XensimXs *xs, const char *path);

/* Remove PATH and everything below.  It is no error if PATH does not exist. */
int xensim_xs_rm(XensimXs *xs, const char *path);

/* The names of PATH's children (g_strfreev), or NULL if there is no PATH. */
char **xensim_xs_directory(XensimXs *xs, const char *path);

/*
 * Set the N (>= 1) permissions of PATH; the first has the owner, and the rights
 * of all domains that are not named.
 */
int xensim_xs_set_perms(XensimXs *xs, const char *path,
                        const struct xs_permissions *perms, unsigned int n);

/*
 * Wait until PATH has VALUE (NULL: until PATH exists at all), at most
 * TIMEOUT_MS.  Returns 0, or -ETIMEDOUT.
 */
int xensim_xs_wait(XensimXs *xs, const char *path, const char *value,
                   unsigned int timeout_ms);

/* Make DOMID known (fires @introduceDomain); forget it (@releaseDomain). */
void xensim_xs_introduce(XensimXs *xs, int domid);
void xensim_xs_release(XensimXs *xs, int domid);

/* ---- the clients' identity and rights ---- */

/*
 * Clients act as DOMID from now on (at the start: as 0).  This decides relative
 * paths, rights, and the owner of new nodes.  A client of a domain other than 0
 * is like a device model in a stub domain: it may change only what the
 * permissions allow.
 */
void xensim_xs_set_client_domid(XensimXs *xs, int domid);

/*
 * Refuse (EACCES) every change by clients at or below PREFIX, whatever the
 * permissions say.  With "/", the device model may not write xenstore at all.
 * NULL ends this.
 */
void xensim_xs_refuse_changes(XensimXs *xs, const char *prefix);

/* How many clients are connected, and how many watches they hold. */
unsigned int xensim_xs_clients(XensimXs *xs);
unsigned int xensim_xs_watches(XensimXs *xs);

/* ---- the log: who did what ---- */

typedef enum XensimXsOp {
    XENSIM_XS_READ = 1 << 0,
    XENSIM_XS_DIRECTORY = 1 << 1,
    XENSIM_XS_GET_PERMS = 1 << 2,
    XENSIM_XS_WRITE = 1 << 3,
    XENSIM_XS_MKDIR = 1 << 4,
    XENSIM_XS_RM = 1 << 5,
    XENSIM_XS_SET_PERMS = 1 << 6,
    XENSIM_XS_WATCH = 1 << 7,
    XENSIM_XS_UNWATCH = 1 << 8,
    XENSIM_XS_TRANSACTION = 1 << 9,     /* start and end */
    XENSIM_XS_OTHER = 1 << 10,          /* introduce, domain path, ... */
    XENSIM_XS_FROM_HOST = 1 << 11,      /* also what the toolstack did */
} XensimXsOp;

/*
 * Operations that read a key; that change a key; and all operations by clients.
 */
#define XENSIM_XS_LOOKS (XENSIM_XS_READ | XENSIM_XS_DIRECTORY | \
                         XENSIM_XS_GET_PERMS | XENSIM_XS_WATCH)
#define XENSIM_XS_CHANGES (XENSIM_XS_WRITE | XENSIM_XS_MKDIR | \
                           XENSIM_XS_RM | XENSIM_XS_SET_PERMS)
#define XENSIM_XS_ANY (XENSIM_XS_LOOKS | XENSIM_XS_CHANGES | \
                       XENSIM_XS_UNWATCH | XENSIM_XS_TRANSACTION | \
                       XENSIM_XS_OTHER)

typedef struct XensimXsLogEntry {
    unsigned int seq;           /* from 0, in the order of execution */
    XensimXsOp op;              /* one of the above */
    pid_t pid;                  /* of the client; 0 for the toolstack */
    int domid;                  /* the domain that the client acted as */
    uint32_t tx;                /* its transaction; 0 for none */
    int error;                  /* 0, or the errno of the answer */
    const char *path;           /* absolute, or as given if not legal */
    const char *value;          /* for a write: the value; else NULL */
} XensimXsLogEntry;

/*
 * Call FN for each entry whose operation is in OPS and whose path is PREFIX
 * or below (NULL: all), oldest first.  Clients only, unless OPS has
 * XENSIM_XS_FROM_HOST.  FN must not call into the store; the entry is valid
 * for the call.  FN may be NULL.  Returns the number of entries.
 */
typedef void XensimXsLogFn(const XensimXsLogEntry *entry, void *opaque);
unsigned int xensim_xs_log(XensimXs *xs, unsigned int ops, const char *prefix,
                           XensimXsLogFn *fn, void *opaque);

/* Forget all entries. */
void xensim_xs_log_clear(XensimXs *xs);

/* The name of one operation, as "read". */
const char *xensim_xs_op_name(XensimXsOp op);

#endif
