/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the simulated xenstored: what its files share.  Everything here is
 * called with XensimXs.lock held, unless it says otherwise.
 *
 *   xenstore-server.c  the thread, and its sockets
 *   xenstore-wire.c    requests and answers on the wire
 *   xenstore-api.c     the toolstack's side
 *   xenstore-ops.c     what a request does: tree, transactions, watches
 *   xenstore-conn.c    what other files do with connections
 *   xenstore-log.c     the log
 */

#ifndef XENSIM_XENSTORE_INT_H
#define XENSIM_XENSTORE_INT_H

#include <pthread.h>

#include "xenstore-server.h"
#include "xenstore-tree.h"

typedef struct XsWatch {
    char *path;                 /* absolute, or "@..." */
    char *given;                /* as the client named it */
    char *token;
} XsWatch;

/* A change that a transaction made to its snapshot, to be made again. */
typedef struct XsChange {
    XensimXsOp op;              /* WRITE, MKDIR, RM or SET_PERMS */
    char *path;
    GBytes *value;              /* WRITE */
    GArray *perms;              /* SET_PERMS */
} XsChange;

typedef struct XsTx {
    uint32_t id;
    XsTree *tree;               /* the snapshot that it works on */
    /* Path -> generation (uint64_t *) at its first use, 0 for "absent". */
    GHashTable *seen;
    GPtrArray *changes;         /* XsChange * */
} XsTx;

typedef struct XsConn {
    int fd;                     /* -1: the toolstack's own, no socket */
    pid_t pid;
    bool dead;                  /* to be closed by the server's thread */
    GByteArray *in, *out;
    GPtrArray *watches;         /* XsWatch * */
    GHashTable *txs;            /* id -> XsTx * */
    uint32_t last_tx;
} XsConn;

struct XensimXs {
    /* POSIX's and not GLib's, which ThreadSanitizer does not recognise. */
    pthread_mutex_t lock;
    pthread_cond_t changed;     /* after every change of the tree */
    XsTree *tree;
    GPtrArray *conns;           /* XsConn *; clients only */
    XsConn *host;               /* the toolstack's own, without a socket */
    GHashTable *introduced;     /* set of domids */
    GHashTable *targets;        /* domid of a stub domain -> its guest's */
    GPtrArray *log;             /* XensimXsLogEntry *, strings owned */
    unsigned int log_seq;
    int client_domid;
    char *refused;              /* prefix, or NULL */

    /* Except stop, constant after xensim_xs_new(). */
    char *socket_path;
    int listen_fd;
    int wake_fd;                /* eventfd: output is waiting, or stop */
    GThread *thread;
    bool stop;
};

/* ---- xenstore-ops.c: 0 or -errno ---- */

XsConn *xs_conn_new(int fd, pid_t pid);
void xs_conn_free(XsConn *conn);

int xs_op_get(XensimXs *xs, XsConn *conn, uint32_t tx, XensimXsOp op,
              const char *path, const XsNode **node);
int xs_op_write(XensimXs *xs, XsConn *conn, uint32_t tx, const char *path,
                const void *data, size_t len);
int xs_op_mkdir(XensimXs *xs, XsConn *conn, uint32_t tx, const char *path);
int xs_op_rm(XensimXs *xs, XsConn *conn, uint32_t tx, const char *path);
int xs_op_set_perms(XensimXs *xs, XsConn *conn, uint32_t tx, const char *path,
                    const struct xs_permissions *perms, unsigned int n);
int xs_op_watch(XensimXs *xs, XsConn *conn, const char *path,
                const char *token);
/*
 * Queues the event that a new watch gets at once.  The watch is the last one of
 * CONN.  To be called after the answer to the request was queued.
 */
void xs_op_watch_first(XsConn *conn);
int xs_op_unwatch(XensimXs *xs, XsConn *conn, const char *path,
                  const char *token);
int xs_op_tx_start(XensimXs *xs, XsConn *conn, uint32_t *tx);
int xs_op_tx_end(XensimXs *xs, XsConn *conn, uint32_t tx, bool commit);
int xs_op_introduce(XensimXs *xs, XsConn *conn, int domid);
int xs_op_release(XensimXs *xs, XsConn *conn, int domid);

/* ---- xenstore-conn.c ---- */

/* Append a message to CONN's output; sent by the server's thread. */
void xs_conn_queue(XsConn *conn, uint32_t type, uint32_t req_id, uint32_t tx,
                   const void *data, size_t len);

/* Wakes the server's thread.  The lock need not be held. */
void xs_wake(XensimXs *xs);

/* ---- xenstore-wire.c ---- */

/* Do and answer every whole request that CONN has received. */
void xs_serve(XensimXs *xs, XsConn *conn);

/* ---- xenstore-log.c ---- */

void xs_log_add(XensimXs *xs, const XsConn *conn, XensimXsOp op, uint32_t tx,
                const char *path, const void *value, size_t value_len,
                int error);

#endif
