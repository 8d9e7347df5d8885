/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The simulated xenstored's requests and answers, as they are on the wire.
 * The protocol is xenstore's own (xen/io/xs_wire.h), so the real libxenstore
 * can be a client as well.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "xenstore-int.h"

typedef struct Request {
    struct xsd_sockmsg head;
    const char *data;           /* a NUL follows the head.len bytes */
    XsConn *conn;
    XensimXs *xs;
} Request;

static void reply(Request *r, const void *data, size_t len)
{
    xs_conn_queue(r->conn, r->head.type, r->head.req_id, r->head.tx_id, data,
                  len);
}

static void reply_ok(Request *r)
{
    reply(r, "OK", 3);
}

static void reply_error(Request *r, int error)
{
    const char *name = "EINVAL";
    unsigned int i;

    for (i = 0; i < G_N_ELEMENTS(xsd_errors); i++) {
        if (xsd_errors[i].errnum == error) {
            name = xsd_errors[i].errstring;
        }
    }
    xs_conn_queue(r->conn, XS_ERROR, r->head.req_id, r->head.tx_id, name,
                  strlen(name) + 1);
}

/* Answer an operation that has no result but its success. */
static void reply_rc(Request *r, int rc)
{
    if (rc) {
        reply_error(r, -rc);
    } else {
        reply_ok(r);
    }
}

/* The string after S in the request, or NULL if there is none. */
static const char *next_string(Request *r, const char *s)
{
    const char *next = s + strlen(s) + 1;

    return next < r->data + r->head.len ? next : NULL;
}

static void do_read(Request *r)
{
    const XsNode *node;
    gsize len;
    int rc = xs_op_get(r->xs, r->conn, r->head.tx_id, XENSIM_XS_READ, r->data,
                       &node);

    if (rc) {
        reply_error(r, -rc);
    } else {
        const void *value = g_bytes_get_data(node->value, &len);

        reply(r, value, len);
    }
}

/* The names below NODE, each with its NUL. */
static GString *child_names(const XsNode *node)
{
    GString *names = g_string_new(NULL);
    guint i;

    for (i = 0; i < node->children->len; i++) {
        const char *name = node->children->pdata[i];

        g_string_append_len(names, name, strlen(name) + 1);
    }
    return names;
}

static void do_directory(Request *r)
{
    g_autoptr(GString) names = NULL;
    const XsNode *node;
    int rc = xs_op_get(r->xs, r->conn, r->head.tx_id, XENSIM_XS_DIRECTORY,
                       r->data, &node);

    if (rc) {
        reply_error(r, -rc);
        return;
    }
    names = child_names(node);
    if (names->len > XENSTORE_PAYLOAD_MAX) {
        reply_error(r, E2BIG);  /* the client asks for parts then */
    } else {
        reply(r, names->str, names->len);
    }
}

/*
 * A directory in parts: the node's generation, then names from the offset
 * that is asked for; an empty name ends the last part.
 */
static void do_directory_part(Request *r)
{
    g_autoptr(GString) names = NULL;
    g_autoptr(GString) part = g_string_new(NULL);
    const char *text = next_string(r, r->data);
    const XsNode *node;
    guint64 offset;
    int rc;

    if (!text || !g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT32,
                                             &offset, NULL)) {
        reply_error(r, EINVAL);
        return;
    }
    rc = xs_op_get(r->xs, r->conn, r->head.tx_id, XENSIM_XS_DIRECTORY,
                   r->data, &node);
    if (rc) {
        reply_error(r, -rc);
        return;
    }
    names = child_names(node);
    g_string_append_printf(part, "%" G_GUINT64_FORMAT, node->generation);
    g_string_append_c(part, '\0');
    while (offset < names->len) {
        size_t len = strlen(names->str + offset) + 1;

        if (part->len + len > XENSTORE_PAYLOAD_MAX) {
            break;
        }
        g_string_append_len(part, names->str + offset, len);
        offset += len;
    }
    if (offset >= names->len && part->len < XENSTORE_PAYLOAD_MAX) {
        g_string_append_c(part, '\0');
    }
    reply(r, part->str, part->len);
}

static void do_get_perms(Request *r)
{
    static const char letters[] = "nrwb";
    g_autoptr(GString) text = g_string_new(NULL);
    const XsNode *node;
    guint i;
    int rc = xs_op_get(r->xs, r->conn, r->head.tx_id, XENSIM_XS_GET_PERMS,
                       r->data, &node);

    if (rc) {
        reply_error(r, -rc);
        return;
    }
    for (i = 0; i < node->perms->len; i++) {
        struct xs_permissions *p =
            &g_array_index(node->perms, struct xs_permissions, i);

        g_string_append_printf(text, "%c%u", letters[p->perms & 3], p->id);
        g_string_append_c(text, '\0');
    }
    reply(r, text->str, text->len);
}

static bool parse_perm(const char *text, struct xs_permissions *perm)
{
    static const char letters[] = "nrwb";
    const char *found = text[0] ? strchr(letters, text[0]) : NULL;
    guint64 id;

    if (!found || !g_ascii_string_to_unsigned(text + 1, 10, 0, 65535, &id,
                                              NULL)) {
        return false;
    }
    perm->perms = found - letters;
    perm->id = id;
    return true;
}

static void do_set_perms(Request *r)
{
    g_autoptr(GArray) perms = g_array_new(FALSE, FALSE,
                                          sizeof(struct xs_permissions));
    const char *s;

    for (s = next_string(r, r->data); s; s = next_string(r, s)) {
        struct xs_permissions p;

        if (!parse_perm(s, &p)) {
            reply_error(r, EINVAL);
            return;
        }
        g_array_append_val(perms, p);
    }
    if (!perms->len) {
        reply_error(r, EINVAL);
        return;
    }
    reply_rc(r, xs_op_set_perms(r->xs, r->conn, r->head.tx_id, r->data,
                                (struct xs_permissions *)perms->data,
                                perms->len));
}

static void do_write(Request *r)
{
    /* The value is what follows the path's NUL, of any bytes, or nothing. */
    size_t path_len = strlen(r->data) + 1;

    if (path_len > r->head.len) {
        reply_error(r, EINVAL);
        return;
    }
    reply_rc(r, xs_op_write(r->xs, r->conn, r->head.tx_id, r->data,
                            r->data + path_len, r->head.len - path_len));
}

static void do_watch(Request *r)
{
    const char *token = next_string(r, r->data);
    int rc = token ? xs_op_watch(r->xs, r->conn, r->data, token) : -EINVAL;

    reply_rc(r, rc);
    if (!rc) {
        xs_op_watch_first(r->conn);
    }
}

static void do_unwatch(Request *r)
{
    const char *token = next_string(r, r->data);

    reply_rc(r, token ? xs_op_unwatch(r->xs, r->conn, r->data, token)
                      : -EINVAL);
}

static void do_tx_start(Request *r)
{
    char text[16];
    uint32_t tx;
    int rc = r->head.tx_id ? -EBUSY : xs_op_tx_start(r->xs, r->conn, &tx);

    if (rc) {
        reply_error(r, -rc);
    } else {
        reply(r, text, g_snprintf(text, sizeof(text), "%u", tx) + 1);
    }
}

static void do_tx_end(Request *r)
{
    bool commit = strcmp(r->data, "T") == 0;

    if (!commit && strcmp(r->data, "F") != 0) {
        reply_error(r, EINVAL);
        return;
    }
    reply_rc(r, xs_op_tx_end(r->xs, r->conn, r->head.tx_id, commit));
}

/* The requests about a domain; the first string is its number. */
static void do_domain(Request *r)
{
    guint64 domid;
    const char *second = next_string(r, r->data);
    char *path;

    if (!g_ascii_string_to_unsigned(r->data, 10, 0, 65535, &domid, NULL)) {
        reply_error(r, EINVAL);
        return;
    }
    xs_log_add(r->xs, r->conn, XENSIM_XS_OTHER, 0, "", r->data,
               strlen(r->data), 0);
    switch (r->head.type) {
    case XS_GET_DOMAIN_PATH:
        path = g_strdup_printf("/local/domain/%u", (unsigned int)domid);
        reply(r, path, strlen(path) + 1);
        g_free(path);
        break;
    case XS_IS_DOMAIN_INTRODUCED:
        reply(r, domid == 0 ||
              g_hash_table_contains(r->xs->introduced,
                                    GINT_TO_POINTER((int)domid)) ? "T" : "F",
              2);
        break;
    case XS_INTRODUCE:
        reply_rc(r, xs_op_introduce(r->xs, r->conn, domid));
        break;
    case XS_RELEASE:
        reply_rc(r, xs_op_release(r->xs, r->conn, domid));
        break;
    case XS_SET_TARGET:
        if (r->xs->client_domid != 0) {
            reply_error(r, EACCES);
        } else if (!second) {
            reply_error(r, EINVAL);
        } else {
            g_hash_table_insert(r->xs->targets, GINT_TO_POINTER((int)domid),
                                GINT_TO_POINTER(atoi(second)));
            reply_ok(r);
        }
        break;
    default:                    /* XS_RESUME */
        reply_rc(r, r->xs->client_domid ? -EACCES : 0);
        break;
    }
}

static void dispatch(Request *r)
{
    switch (r->head.type) {
    case XS_READ:
        do_read(r);
        break;
    case XS_DIRECTORY:
        do_directory(r);
        break;
    case XS_DIRECTORY_PART:
        do_directory_part(r);
        break;
    case XS_GET_PERMS:
        do_get_perms(r);
        break;
    case XS_SET_PERMS:
        do_set_perms(r);
        break;
    case XS_WRITE:
        do_write(r);
        break;
    case XS_MKDIR:
        reply_rc(r, xs_op_mkdir(r->xs, r->conn, r->head.tx_id, r->data));
        break;
    case XS_RM:
        reply_rc(r, xs_op_rm(r->xs, r->conn, r->head.tx_id, r->data));
        break;
    case XS_WATCH:
        do_watch(r);
        break;
    case XS_UNWATCH:
        do_unwatch(r);
        break;
    case XS_RESET_WATCHES:
        g_ptr_array_set_size(r->conn->watches, 0);
        g_hash_table_remove_all(r->conn->txs);
        reply_ok(r);
        break;
    case XS_TRANSACTION_START:
        do_tx_start(r);
        break;
    case XS_TRANSACTION_END:
        do_tx_end(r);
        break;
    case XS_GET_DOMAIN_PATH:
    case XS_IS_DOMAIN_INTRODUCED:
    case XS_INTRODUCE:
    case XS_RELEASE:
    case XS_RESUME:
    case XS_SET_TARGET:
        do_domain(r);
        break;
    default:
        g_printerr("xensim: xenstore request %u of process %d is not "
                   "simulated\n", r->head.type, (int)r->conn->pid);
        reply_error(r, ENOSYS);
        break;
    }
}

void xs_serve(XensimXs *xs, XsConn *conn)
{
    while (conn->in->len >= sizeof(struct xsd_sockmsg) && !conn->dead) {
        Request r = { .conn = conn, .xs = xs };
        g_autofree char *data = NULL;

        memcpy(&r.head, conn->in->data, sizeof(r.head));
        if (r.head.len > XENSTORE_PAYLOAD_MAX) {
            conn->dead = true;
            return;
        }
        if (conn->in->len < sizeof(r.head) + r.head.len) {
            return;
        }
        data = g_malloc(r.head.len + 1);
        memcpy(data, conn->in->data + sizeof(r.head), r.head.len);
        data[r.head.len] = '\0';
        r.data = data;
        g_byte_array_remove_range(conn->in, 0, sizeof(r.head) + r.head.len);
        dispatch(&r);
    }
}
