/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small QMP client; see toolstack-qmp.h. */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <gio/gio.h>

#include "toolstack-qmp.h"

struct TsQmp {
    int fd;
    unsigned int timeout_ms;
    gint64 last_id;             /* of the last command */
    GByteArray *in;             /* received, not yet a whole line */
    GHashTable *events;         /* name -> TsJson *, the whole message */
};

G_DEFINE_QUARK(ts-qmp-error, ts_qmp_error)

static int try_connect(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int saved_errno, fd;

    if (strlen(path) >= sizeof(addr.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(addr.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        saved_errno = errno;
        close(fd);
        errno = saved_errno;
        return -1;
    }
    return fd;
}

/* One line, without its end (g_free); NULL and ERR. */
static char *read_line(TsQmp *qmp, gint64 end, GError **err)
{
    for (;;) {
        guint8 *newline = qmp->in->len
            ? memchr(qmp->in->data, '\n', qmp->in->len) : NULL;
        struct pollfd p = { .fd = qmp->fd, .events = POLLIN };
        gint64 left = (end - g_get_monotonic_time()) / 1000;
        guint8 buf[4096];
        ssize_t n;

        if (newline) {
            guint len = newline - qmp->in->data;
            char *line = g_strndup((char *)qmp->in->data, len);

            g_byte_array_remove_range(qmp->in, 0, len + 1);
            return line;
        }
        if (left <= 0 || poll(&p, 1, left) == 0) {
            g_set_error(err, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                        "QMP: no answer within %u ms", qmp->timeout_ms);
            return NULL;
        }
        n = recv(qmp->fd, buf, sizeof(buf), MSG_DONTWAIT);
        if (n > 0) {
            g_byte_array_append(qmp->in, buf, n);
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            g_set_error(err, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED,
                        "QMP: the device model closed the connection");
            return NULL;
        }
    }
}

/* The next message that is no event; events are kept. */
static TsJson *read_message(TsQmp *qmp, gint64 end, GError **err)
{
    for (;;) {
        g_autofree char *line = read_line(qmp, end, err);
        const char *event;
        TsJson *msg;

        if (!line) {
            return NULL;
        }
        msg = ts_json_parse(line, strlen(line));
        if (!msg) {
            g_set_error(err, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                        "QMP: not JSON: %.60s", line);
            return NULL;
        }
        event = ts_json_get_string(msg, "event");
        if (!event) {
            return msg;
        }
        g_hash_table_replace(qmp->events, g_strdup(event), msg);
    }
}

static gboolean send_text(TsQmp *qmp, const char *text, GError **err)
{
    size_t len = strlen(text);

    while (len) {
        ssize_t n = send(qmp->fd, text, len, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR) {
            g_set_error(err, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED,
                        "QMP: cannot send: %s", g_strerror(errno));
            return FALSE;
        }
        if (n > 0) {
            text += n;
            len -= n;
        }
    }
    return TRUE;
}

TsJson *ts_qmp_command(TsQmp *qmp, const char *command, const char *arguments,
                       GError **err)
{
    gint64 end = g_get_monotonic_time() + qmp->timeout_ms * 1000LL;
    g_autofree char *text = NULL;
    g_autoptr(TsJson) msg = NULL;
    TsJson *result;
    const TsJson *error;

    text = g_strdup_printf("{\"execute\": \"%s\", \"id\": %" G_GINT64_FORMAT
                           "%s%s}\n", command, ++qmp->last_id,
                           arguments ? ", \"arguments\": " : "",
                           arguments ? arguments : "");
    if (!send_text(qmp, text, err)) {
        return NULL;
    }
    do {
        /* An answer that a command gave up waiting for may come first. */
        ts_json_free(msg);
        msg = read_message(qmp, end, err);
    } while (msg && ts_json_get_int(msg, "id", qmp->last_id) != qmp->last_id);
    if (!msg) {
        g_prefix_error(err, "%s: ", command);
        return NULL;
    }
    error = ts_json_get(msg, "error");
    result = (TsJson *)ts_json_get(msg, "return");
    if (error || !result) {
        const char *class = ts_json_get_string(error, "class");
        const char *desc = ts_json_get_string(error, "desc");

        g_set_error(err, TS_QMP_ERROR,
                    g_strcmp0(class, "CommandNotFound") == 0
                    ? TS_QMP_ERROR_NO_COMMAND : TS_QMP_ERROR_REFUSED,
                    "%s: %s", command, desc ? desc : "no result");
        return NULL;
    }
    /* Cut it out of the message, so that it lives on by itself. */
    g_ptr_array_set_free_func(msg->items, NULL);
    g_ptr_array_remove(msg->items, result);
    g_ptr_array_set_free_func(msg->items, (GDestroyNotify)ts_json_free);
    return result;
}

gboolean ts_qmp_run(TsQmp *qmp, const char *command, const char *arguments,
                    GError **err)
{
    TsJson *result = ts_qmp_command(qmp, command, arguments, err);

    ts_json_free(result);
    return result != NULL;
}

const TsJson *ts_qmp_event(TsQmp *qmp, const char *name)
{
    return ts_json_get(g_hash_table_lookup(qmp->events, name), "data");
}

TsQmp *ts_qmp_open(const char *path, unsigned int timeout_ms,
                   TsQmpAliveFn *still_alive, gpointer opaque, GError **err)
{
    gint64 end = g_get_monotonic_time() + timeout_ms * 1000LL;
    g_autoptr(TsJson) greeting = NULL;
    TsQmp *qmp;
    int fd;

    while ((fd = try_connect(path)) < 0) {
        int saved_errno = errno;

        if (still_alive && !still_alive(opaque)) {
            g_set_error(err, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED,
                        "the device model has ended");
            return NULL;
        }
        if ((saved_errno != ENOENT && saved_errno != ECONNREFUSED) ||
            g_get_monotonic_time() > end) {
            g_set_error(err, G_IO_ERROR, g_io_error_from_errno(saved_errno),
                        "%s: no QMP there: %s", path, g_strerror(saved_errno));
            return NULL;
        }
        g_usleep(5000);
    }
    qmp = g_new0(TsQmp, 1);
    qmp->fd = fd;
    qmp->timeout_ms = timeout_ms;
    qmp->in = g_byte_array_new();
    qmp->events = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                        (GDestroyNotify)ts_json_free);
    greeting = read_message(qmp, end, err);
    if (!greeting || !ts_qmp_run(qmp, "qmp_capabilities", NULL, err)) {
        ts_qmp_free(qmp);
        return NULL;
    }
    return qmp;
}

void ts_qmp_free(TsQmp *qmp)
{
    if (qmp) {
        close(qmp->fd);
        g_byte_array_unref(qmp->in);
        g_hash_table_unref(qmp->events);
        g_free(qmp);
    }
}
