/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The simulated xenstored's log of requests. */

#include "xenstore-int.h"

void xs_log_add(XensimXs *xs, const XsConn *conn, XensimXsOp op, uint32_t tx,
                const char *path, const void *value, size_t value_len,
                int error)
{
    XensimXsLogEntry *e = g_new0(XensimXsLogEntry, 1);

    e->seq = xs->log_seq++;
    e->op = op;
    e->pid = conn->pid;
    e->domid = conn == xs->host ? 0 : xs->client_domid;
    e->tx = tx;
    e->error = error;
    e->path = g_strdup(path);
    e->value = value ? g_strndup(value, value_len) : NULL;
    g_ptr_array_add(xs->log, e);
}

unsigned int xensim_xs_log(XensimXs *xs, unsigned int ops, const char *prefix,
                           XensimXsLogFn *fn, void *opaque)
{
    unsigned int n = 0;
    guint i;

    pthread_mutex_lock(&xs->lock);
    for (i = 0; i < xs->log->len; i++) {
        const XensimXsLogEntry *e = xs->log->pdata[i];

        if (!(e->op & ops) ||
            (e->pid == 0 && !(ops & XENSIM_XS_FROM_HOST)) ||
            (prefix && !xs_path_below(prefix, e->path))) {
            continue;
        }
        n++;
        if (fn) {
            fn(e, opaque);
        }
    }
    pthread_mutex_unlock(&xs->lock);
    return n;
}

void xensim_xs_log_clear(XensimXs *xs)
{
    guint i;

    pthread_mutex_lock(&xs->lock);
    for (i = 0; i < xs->log->len; i++) {
        XensimXsLogEntry *e = xs->log->pdata[i];

        g_free((char *)e->path);
        g_free((char *)e->value);
        g_free(e);
    }
    g_ptr_array_set_size(xs->log, 0);
    pthread_mutex_unlock(&xs->lock);
}

const char *xensim_xs_op_name(XensimXsOp op)
{
    static const char *const names[] = {
        "read", "directory", "get-perms", "write", "mkdir", "rm",
        "set-perms", "watch", "unwatch", "transaction", "other",
    };
    unsigned int i;

    for (i = 0; i < G_N_ELEMENTS(names); i++) {
        if (op & (1u << i)) {
            return names[i];
        }
    }
    return "?";
}
