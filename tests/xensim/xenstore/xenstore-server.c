/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The simulated xenstored's thread and its sockets.  The thread waits by one
 * poll() for the listening socket, the clients, and an eventfd by which other
 * threads tell that there is output to send.  xenstore-wire.c serves the
 * requests.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <gio/gio.h>

#include "xenstore-int.h"

static void conn_receive(XensimXs *xs, XsConn *conn)
{
    guint8 buf[4096];
    ssize_t n = recv(conn->fd, buf, sizeof(buf), MSG_DONTWAIT);

    if (n > 0) {
        g_byte_array_append(conn->in, buf, n);
        xs_serve(xs, conn);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        conn->dead = true;
    }
}

static void conn_send(XsConn *conn)
{
    while (conn->out->len && !conn->dead) {
        ssize_t n = send(conn->fd, conn->out->data, conn->out->len,
                         MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n > 0) {
            g_byte_array_remove_range(conn->out, 0, n);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            conn->dead = true;
        }
    }
}

static void accept_client(XensimXs *xs)
{
    int fd = accept4(xs->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    struct ucred cred = { 0 };
    socklen_t len = sizeof(cred);

    if (fd < 0) {
        return;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
        cred.pid = -1;
    }
    g_ptr_array_add(xs->conns, xs_conn_new(fd, cred.pid));
}

static void drop_dead(XensimXs *xs)
{
    guint i = 0;

    while (i < xs->conns->len) {
        XsConn *conn = xs->conns->pdata[i];

        if (conn->dead) {
            close(conn->fd);
            g_ptr_array_remove_index_fast(xs->conns, i);
            pthread_cond_broadcast(&xs->changed);
        } else {
            i++;
        }
    }
}

static gpointer server_thread(gpointer opaque)
{
    XensimXs *xs = opaque;
    g_autoptr(GArray) fds = g_array_new(FALSE, TRUE, sizeof(struct pollfd));
    guint i, n;

    pthread_mutex_lock(&xs->lock);
    while (!xs->stop) {
        struct pollfd *p;
        uint64_t wakes;

        drop_dead(xs);
        n = xs->conns->len;
        g_array_set_size(fds, n + 2);
        p = (struct pollfd *)fds->data;
        p[0] = (struct pollfd) { .fd = xs->wake_fd, .events = POLLIN };
        p[1] = (struct pollfd) { .fd = xs->listen_fd, .events = POLLIN };
        for (i = 0; i < n; i++) {
            XsConn *conn = xs->conns->pdata[i];

            p[i + 2] = (struct pollfd) {
                .fd = conn->fd,
                .events = POLLIN | (conn->out->len ? POLLOUT : 0),
            };
        }
        pthread_mutex_unlock(&xs->lock);
        poll(p, n + 2, -1);
        pthread_mutex_lock(&xs->lock);

        if (p[0].revents && read(xs->wake_fd, &wakes, sizeof(wakes)) < 0) {
            /* Somebody else's wake-up was taken with it: nothing to do. */
        }
        /* Only this thread adds and drops connections: 0..n are the same. */
        for (i = 0; i < n; i++) {
            if (p[i + 2].revents & ~POLLOUT) {
                conn_receive(xs, xs->conns->pdata[i]);
            }
        }
        for (i = 0; i < n; i++) {
            conn_send(xs->conns->pdata[i]);
        }
        if (p[1].revents) {
            accept_client(xs);
        }
    }
    pthread_mutex_unlock(&xs->lock);
    return NULL;
}

static int make_listener(const char *path, GError **err)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int saved_errno, fd;

    if (strlen(path) >= sizeof(addr.sun_path)) {
        g_set_error(err, G_IO_ERROR, G_IO_ERROR_FILENAME_TOO_LONG,
                    "%s: path of the xenstore socket is longer than %zu "
                    "bytes; choose a shorter directory", path,
                    sizeof(addr.sun_path) - 1);
        return -1;
    }
    strcpy(addr.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
        listen(fd, 16) == 0) {
        return fd;
    }
    saved_errno = errno;
    if (fd >= 0) {
        close(fd);
    }
    g_set_error(err, G_IO_ERROR, g_io_error_from_errno(saved_errno),
                "%s: cannot listen there for xenstore clients: %s", path,
                g_strerror(saved_errno));
    return -1;
}

XensimXs *xensim_xs_new(const char *socket_path, GError **err)
{
    int fd = make_listener(socket_path, err);
    pthread_condattr_t attr;
    XensimXs *xs;

    if (fd < 0) {
        return NULL;
    }
    xs = g_new0(XensimXs, 1);
    pthread_mutex_init(&xs->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&xs->changed, &attr);
    pthread_condattr_destroy(&attr);
    xs->tree = xs_tree_new();
    xs->conns = g_ptr_array_new_with_free_func((GDestroyNotify)xs_conn_free);
    xs->host = xs_conn_new(-1, 0);
    xs->introduced = g_hash_table_new(NULL, NULL);
    xs->targets = g_hash_table_new(NULL, NULL);
    xs->log = g_ptr_array_new();
    xs->socket_path = g_strdup(socket_path);
    xs->listen_fd = fd;
    xs->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g_assert(xs->wake_fd >= 0);
    xs->thread = g_thread_new("xenstored", server_thread, xs);
    return xs;
}

void xensim_xs_free(XensimXs *xs)
{
    guint i;

    if (!xs) {
        return;
    }
    pthread_mutex_lock(&xs->lock);
    xs->stop = true;
    pthread_mutex_unlock(&xs->lock);
    xs_wake(xs);
    g_thread_join(xs->thread);
    for (i = 0; i < xs->conns->len; i++) {
        close(((XsConn *)xs->conns->pdata[i])->fd);
    }
    unlink(xs->socket_path);
    close(xs->listen_fd);
    close(xs->wake_fd);
    xensim_xs_log_clear(xs);
    g_ptr_array_unref(xs->log);
    g_ptr_array_unref(xs->conns);
    xs_conn_free(xs->host);
    g_hash_table_unref(xs->introduced);
    g_hash_table_unref(xs->targets);
    xs_tree_free(xs->tree);
    g_free(xs->refused);
    g_free(xs->socket_path);
    pthread_mutex_destroy(&xs->lock);
    pthread_cond_destroy(&xs->changed);
    g_free(xs);
}
