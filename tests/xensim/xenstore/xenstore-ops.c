/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the requests to the simulated xenstored do.
 *
 * A transaction works on a snapshot of the tree.  It notes the generation of
 * each node that it reads or changes.  If one of these nodes has another
 * generation in the store when the transaction ends, that is a conflict
 * (EAGAIN). Otherwise the transaction's changes are made in the store, and
 * only then do watches fire.
 */

#include <errno.h>
#include <string.h>

#include "xenstore-int.h"

static void watch_free(gpointer opaque)
{
    XsWatch *w = opaque;

    g_free(w->path);
    g_free(w->given);
    g_free(w->token);
    g_free(w);
}

static void change_free(gpointer opaque)
{
    XsChange *c = opaque;

    g_free(c->path);
    if (c->value) {
        g_bytes_unref(c->value);
    }
    if (c->perms) {
        g_array_unref(c->perms);
    }
    g_free(c);
}

static void tx_free(gpointer opaque)
{
    XsTx *tx = opaque;

    xs_tree_free(tx->tree);
    g_hash_table_unref(tx->seen);
    g_ptr_array_unref(tx->changes);
    g_free(tx);
}

XsConn *xs_conn_new(int fd, pid_t pid)
{
    XsConn *conn = g_new0(XsConn, 1);

    conn->fd = fd;
    conn->pid = pid;
    conn->in = g_byte_array_new();
    conn->out = g_byte_array_new();
    conn->watches = g_ptr_array_new_with_free_func(watch_free);
    conn->txs = g_hash_table_new_full(NULL, NULL, NULL, tx_free);
    return conn;
}

void xs_conn_free(XsConn *conn)
{
    g_byte_array_unref(conn->in);
    g_byte_array_unref(conn->out);
    g_ptr_array_unref(conn->watches);
    g_hash_table_unref(conn->txs);
    g_free(conn);
}

static bool is_host(const XsConn *conn)
{
    return conn->fd < 0;
}

static XsCaller caller_of(XensimXs *xs, const XsConn *conn)
{
    XsCaller caller = { is_host(conn) ? 0 : xs->client_domid, -1 };
    gpointer target;

    if (g_hash_table_lookup_extended(xs->targets,
                                     GINT_TO_POINTER(caller.domid), NULL,
                                     &target)) {
        caller.target = GPOINTER_TO_INT(target);
    }
    return caller;
}

/* ---- watches ---- */

static void send_event(XsConn *conn, const XsWatch *w, const char *path)
{
    GByteArray *msg = g_byte_array_new();
    const char *shown = path;

    if (w->path[0] == '/' && w->given[0] != '/') {
        /* A relative watch is answered with relative paths. */
        shown += strlen(w->path) - strlen(w->given);
    }
    g_byte_array_append(msg, (const guint8 *)shown, strlen(shown) + 1);
    g_byte_array_append(msg, (const guint8 *)w->token, strlen(w->token) + 1);
    xs_conn_queue(conn, XS_WATCH_EVENT, 0, 0, msg->data, msg->len);
    g_byte_array_unref(msg);
}

/* May CONN hear of PATH, which may be gone already? */
static bool may_hear(XensimXs *xs, const XsConn *conn, const char *path)
{
    const XsCaller caller = caller_of(xs, conn);
    const XsNode *node;

    return xs_tree_get(xs->tree, &caller, path, XS_PERM_READ, &node) != -EACCES;
}

/*
 * PATH has changed.  EXACT: it went with a parent, so that only those who
 * watch this very path have not heard of it yet.
 */
static void fire(XensimXs *xs, const char *path, bool exact)
{
    guint i, j;

    for (i = 0; i < xs->conns->len; i++) {
        XsConn *conn = xs->conns->pdata[i];

        for (j = 0; j < conn->watches->len; j++) {
            XsWatch *w = conn->watches->pdata[j];

            if ((exact ? strcmp(w->path, path) == 0
                       : xs_path_below(w->path, path)) &&
                may_hear(xs, conn, path)) {
                send_event(conn, w, path);
            }
        }
    }
    pthread_cond_broadcast(&xs->changed);
    xs_wake(xs);
}

static void fire_special(XensimXs *xs, const char *name)
{
    guint i, j;

    for (i = 0; i < xs->conns->len; i++) {
        XsConn *conn = xs->conns->pdata[i];

        for (j = 0; j < conn->watches->len; j++) {
            XsWatch *w = conn->watches->pdata[j];

            if (strcmp(w->path, name) == 0) {
                send_event(conn, w, name);
            }
        }
    }
    pthread_cond_broadcast(&xs->changed);
    xs_wake(xs);
}

int xs_op_watch(XensimXs *xs, XsConn *conn, const char *path,
                const char *token)
{
    const XsCaller caller = caller_of(xs, conn);
    g_autofree char *full = path[0] == '@' ? g_strdup(path)
                                           : xs_path_resolve(caller.domid,
                                                             path);
    XsWatch *w;
    guint i;
    int rc = 0;

    if (!full) {
        rc = -EINVAL;
    } else if (path[0] == '@' && caller.domid != 0) {
        rc = -EACCES;
    }
    for (i = 0; !rc && i < conn->watches->len; i++) {
        w = conn->watches->pdata[i];
        if (strcmp(w->path, full) == 0 && strcmp(w->token, token) == 0) {
            rc = -EEXIST;
        }
    }
    xs_log_add(xs, conn, XENSIM_XS_WATCH, 0, full ? full : path, NULL, 0, -rc);
    if (rc) {
        return rc;
    }
    w = g_new0(XsWatch, 1);
    w->path = g_strdup(full);
    w->given = g_strdup(path);
    w->token = g_strdup(token);
    g_ptr_array_add(conn->watches, w);
    return 0;
}

void xs_op_watch_first(XsConn *conn)
{
    const XsWatch *w = conn->watches->pdata[conn->watches->len - 1];

    /* The path as it was given: nothing to cut off. */
    send_event(conn, w, w->path);
}

int xs_op_unwatch(XensimXs *xs, XsConn *conn, const char *path,
                  const char *token)
{
    const XsCaller caller = caller_of(xs, conn);
    g_autofree char *full = path[0] == '@' ? g_strdup(path)
                                           : xs_path_resolve(caller.domid,
                                                             path);
    int rc = full ? -ENOENT : -EINVAL;
    guint i;

    for (i = 0; full && i < conn->watches->len; i++) {
        XsWatch *w = conn->watches->pdata[i];

        if (strcmp(w->path, full) == 0 && strcmp(w->token, token) == 0) {
            g_ptr_array_remove_index(conn->watches, i);
            rc = 0;
            break;
        }
    }
    xs_log_add(xs, conn, XENSIM_XS_UNWATCH, 0, full ? full : path, NULL, 0,
               -rc);
    return rc;
}

/* ---- the tree that a request works on ---- */

typedef struct Target {
    XsCaller caller;
    char *path;                 /* absolute */
    XsTree *tree;
    XsTx *tx;                   /* or NULL */
} Target;

/* Note that the transaction, if any, depends on PATH. */
static void note(Target *t, const char *path)
{
    uint64_t *generation;

    if (!t->tx || g_hash_table_contains(t->tx->seen, path)) {
        return;
    }
    generation = g_new(uint64_t, 1);
    *generation = xs_tree_generation(t->tree, path);
    g_hash_table_insert(t->tx->seen, g_strdup(path), generation);
}

/* Note PATH and, if it is missing, all that making it touches. */
static void note_create(Target *t, const char *path)
{
    g_autofree char *p = g_strdup(path);

    note(t, p);
    while (!xs_tree_find(t->tree, p)) {
        char *slash = strrchr(p, '/');

        slash[slash == p] = '\0';
        note(t, p);
    }
}

/* Note PATH, its parent, and everything below it. */
static void note_remove(Target *t, const char *path, bool top)
{
    const XsNode *node;
    guint i;

    note(t, path);
    if (top) {
        g_autofree char *parent = g_path_get_dirname(path);

        note(t, parent);
    }
    node = xs_tree_find(t->tree, path);
    for (i = 0; node && i < node->children->len; i++) {
        g_autofree char *child = g_strconcat(path, "/",
                                             node->children->pdata[i], NULL);

        note_remove(t, child, false);
    }
}

static int target_init(XensimXs *xs, XsConn *conn, uint32_t tx,
                       const char *path, Target *t)
{
    t->caller = caller_of(xs, conn);
    t->path = xs_path_resolve(t->caller.domid, path);
    t->tx = NULL;
    t->tree = xs->tree;
    if (tx) {
        t->tx = g_hash_table_lookup(conn->txs, GUINT_TO_POINTER(tx));
        if (!t->tx) {
            return -ENOENT;
        }
        t->tree = t->tx->tree;
    }
    return t->path ? 0 : -EINVAL;
}

static void target_clear(Target *t)
{
    g_free(t->path);
}

static int refused(XensimXs *xs, const XsConn *conn, const char *path)
{
    return !is_host(conn) && xs->refused && xs_path_below(xs->refused, path)
           ? -EACCES : 0;
}

int xs_op_get(XensimXs *xs, XsConn *conn, uint32_t tx, XensimXsOp op,
              const char *path, const XsNode **node)
{
    Target t;
    int rc = target_init(xs, conn, tx, path, &t);

    if (!rc) {
        note(&t, t.path);
        rc = xs_tree_get(t.tree, &t.caller, t.path, XS_PERM_READ, node);
    }
    xs_log_add(xs, conn, op, tx, t.path ? t.path : path, NULL, 0, -rc);
    target_clear(&t);
    return rc;
}

/* ---- changes ---- */

/* Make change C in TREE; fire watches if that is the store itself. */
static int apply(XensimXs *xs, XsTree *tree, const XsCaller *caller,
                 const XsChange *c)
{
    bool live = tree == xs->tree;
    g_autoptr(GPtrArray) removed = NULL;
    bool changed = true;
    guint i;
    int rc;

    switch (c->op) {
    case XENSIM_XS_WRITE:
        rc = xs_tree_write(tree, caller, c->path, c->value);
        break;
    case XENSIM_XS_MKDIR:
        rc = xs_tree_mkdir(tree, caller, c->path, &changed);
        break;
    case XENSIM_XS_SET_PERMS:
        rc = xs_tree_set_perms(tree, caller, c->path,
                               (const struct xs_permissions *)c->perms->data,
                               c->perms->len);
        break;
    case XENSIM_XS_RM:
        removed = g_ptr_array_new_with_free_func(g_free);
        rc = xs_tree_rm(tree, caller, c->path, removed);
        changed = removed->len > 0;
        break;
    default:
        g_assert_not_reached();
    }
    if (rc || !changed || !live) {
        return rc;
    }
    fire(xs, c->path, false);
    for (i = 1; removed && i < removed->len; i++) {
        fire(xs, removed->pdata[i], true);
    }
    return 0;
}

/* Do one change for a request.  Takes over VALUE and PERMS of C. */
static int change(XensimXs *xs, XsConn *conn, uint32_t tx, const char *path,
                  XsChange *c)
{
    const void *data = NULL;
    gsize len = 0;
    Target t;
    int rc = target_init(xs, conn, tx, path, &t);

    if (!rc) {
        rc = refused(xs, conn, t.path);
    }
    if (!rc) {
        if (c->op == XENSIM_XS_RM) {
            note_remove(&t, t.path, true);
        } else {
            note_create(&t, t.path);
        }
        c->path = g_strdup(t.path);
        rc = apply(xs, t.tree, &t.caller, c);
    }
    if (c->value) {
        data = g_bytes_get_data(c->value, &len);
    }
    xs_log_add(xs, conn, c->op, tx, t.path ? t.path : path, data, len, -rc);
    if (!rc && t.tx) {
        g_ptr_array_add(t.tx->changes, c);
    } else {
        change_free(c);
    }
    target_clear(&t);
    return rc;
}

static XsChange *change_new(XensimXsOp op)
{
    XsChange *c = g_new0(XsChange, 1);

    c->op = op;
    return c;
}

int xs_op_write(XensimXs *xs, XsConn *conn, uint32_t tx, const char *path,
                const void *data, size_t len)
{
    XsChange *c = change_new(XENSIM_XS_WRITE);

    c->value = g_bytes_new(data, len);
    return change(xs, conn, tx, path, c);
}

int xs_op_mkdir(XensimXs *xs, XsConn *conn, uint32_t tx, const char *path)
{
    return change(xs, conn, tx, path, change_new(XENSIM_XS_MKDIR));
}

int xs_op_rm(XensimXs *xs, XsConn *conn, uint32_t tx, const char *path)
{
    return change(xs, conn, tx, path, change_new(XENSIM_XS_RM));
}

int xs_op_set_perms(XensimXs *xs, XsConn *conn, uint32_t tx, const char *path,
                    const struct xs_permissions *perms, unsigned int n)
{
    XsChange *c = change_new(XENSIM_XS_SET_PERMS);

    c->perms = g_array_new(FALSE, FALSE, sizeof(*perms));
    g_array_append_vals(c->perms, perms, n);
    return change(xs, conn, tx, path, c);
}

/* ---- transactions ---- */

int xs_op_tx_start(XensimXs *xs, XsConn *conn, uint32_t *id)
{
    XsTx *tx = g_new0(XsTx, 1);

    do {
        tx->id = ++conn->last_tx;
    } while (!tx->id ||
             g_hash_table_contains(conn->txs, GUINT_TO_POINTER(tx->id)));
    tx->tree = xs_tree_snapshot(xs->tree);
    tx->seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    tx->changes = g_ptr_array_new_with_free_func(change_free);
    g_hash_table_insert(conn->txs, GUINT_TO_POINTER(tx->id), tx);
    *id = tx->id;
    xs_log_add(xs, conn, XENSIM_XS_TRANSACTION, tx->id, "", "start", 5, 0);
    return 0;
}

static bool tx_conflicts(XensimXs *xs, XsTx *tx)
{
    GHashTableIter iter;
    gpointer path, generation;

    g_hash_table_iter_init(&iter, tx->seen);
    while (g_hash_table_iter_next(&iter, &path, &generation)) {
        if (xs_tree_generation(xs->tree, path) != *(uint64_t *)generation) {
            return true;
        }
    }
    return false;
}

int xs_op_tx_end(XensimXs *xs, XsConn *conn, uint32_t id, bool commit)
{
    XsTx *tx = g_hash_table_lookup(conn->txs, GUINT_TO_POINTER(id));
    const XsCaller caller = caller_of(xs, conn);
    const char *what = commit ? "commit" : "abandon";
    guint i;
    int rc = 0;

    if (!tx) {
        rc = -ENOENT;
    } else if (commit && tx_conflicts(xs, tx)) {
        rc = -EAGAIN;
    }
    for (i = 0; !rc && commit && i < tx->changes->len; i++) {
        /* Nothing that it depends on has changed, so this works again. */
        rc = apply(xs, xs->tree, &caller, tx->changes->pdata[i]);
    }
    if (tx) {
        g_hash_table_remove(conn->txs, GUINT_TO_POINTER(id));
    }
    xs_log_add(xs, conn, XENSIM_XS_TRANSACTION, id, "", what, strlen(what),
               -rc);
    return rc;
}

/* ---- domains ---- */

int xs_op_introduce(XensimXs *xs, XsConn *conn, int domid)
{
    if (caller_of(xs, conn).domid != 0) {
        return -EACCES;
    }
    g_hash_table_add(xs->introduced, GINT_TO_POINTER(domid));
    fire_special(xs, "@introduceDomain");
    return 0;
}

int xs_op_release(XensimXs *xs, XsConn *conn, int domid)
{
    if (caller_of(xs, conn).domid != 0) {
        return -EACCES;
    }
    if (!g_hash_table_remove(xs->introduced, GINT_TO_POINTER(domid))) {
        return -ENOENT;
    }
    g_hash_table_remove(xs->targets, GINT_TO_POINTER(domid));
    fire_special(xs, "@releaseDomain");
    return 0;
}
