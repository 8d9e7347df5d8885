/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libxenstore's functions for a device model on the simulated Xen: handles
 * and messages.  Part of the preload library, so: libc only, and no thread of
 * its own.
 *
 * A handle has one mutex, which is held from a request to its answer.  Watch
 * events that arrive in between are queued.  The descriptor that xs_fileno()
 * returns is an epoll instance over two descriptors: the socket (something has
 * arrived) and an eventfd (something is queued).  So a poll may return because
 * of an answer that another thread is about to read; xs_check_watch() then
 * fails with EAGAIN.
 *
 * Once the process has restricted itself every call fails with EACCES, as
 * with the real library, whose connection is replaced at that point.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib.h"
#include "xenstore-client.h"

int xensim_xs_begin(unsigned int call)
{
    int error = xsim_lib_begin(call, NULL, NULL);

    return error ? error : xensim_restricted() ? EACCES : 0;
}

/* ---- opening and closing ---- */

const char *xs_daemon_rundir(void)
{
    const char *dir = getenv("XENSIM");

    return dir ? dir : "/run/xenstored";
}

/* Also where the real library looks: XENSTORED_PATH, if set, comes first. */
const char *xs_daemon_socket(void)
{
    static char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    const char *given = getenv("XENSTORED_PATH");

    if (given) {
        return given;
    }
    if (snprintf(path, sizeof(path), "%s/" XENSIM_XS_SOCKET,
                 xs_daemon_rundir()) >= (int)sizeof(path)) {
        return NULL;
    }
    return path;
}

const char *xs_daemon_socket_ro(void)
{
    return xs_daemon_socket();
}

static int watch_fd(struct xs_handle *h, int fd)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

    return epoll_ctl(h->poll_fd, EPOLL_CTL_ADD, fd, &ev);
}

static void free_handle(struct xs_handle *h)
{
    int saved_errno = errno;

    while (h->events) {
        XsEvent *e = h->events;

        h->events = e->next;
        free(e);
    }
    if (h->fd >= 0) {
        close(h->fd);
    }
    if (h->queued_fd >= 0) {
        close(h->queued_fd);
    }
    if (h->poll_fd >= 0) {
        close(h->poll_fd);
    }
    pthread_mutex_destroy(&h->lock);
    free(h);
    errno = saved_errno;
}

static int connect_server(void)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    const char *path = xs_daemon_socket();
    int fd;

    if (!path || strlen(path) >= sizeof(addr.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(addr.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        int saved_errno = errno;

        close(fd);
        errno = saved_errno;
        return -1;
    }
    return fd;
}

static struct xs_handle *open_handle(unsigned long flags)
{
    struct xs_handle *h = calloc(1, sizeof(*h));

    if (!h) {
        return NULL;
    }
    pthread_mutex_init(&h->lock, NULL);
    h->events_end = &h->events;
    h->filter = flags & XS_UNWATCH_FILTER;
    h->fd = connect_server();
    h->queued_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    h->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (h->fd < 0 || h->queued_fd < 0 || h->poll_fd < 0 ||
        watch_fd(h, h->fd) < 0 || watch_fd(h, h->queued_fd) < 0) {
        free_handle(h);
        return NULL;
    }
    return h;
}

static struct xs_handle *counted_open(unsigned int call, unsigned long flags)
{
    int error = xensim_xs_begin(call);
    struct xs_handle *h = NULL;

    if (!error) {
        h = open_handle(flags);
        error = h ? 0 : errno;
    }
    xsim_lib_end(call, 0, 0, error, "%lu", flags);
    if (!h) {
        errno = error;
    }
    return h;
}

static void counted_close(unsigned int call, struct xs_handle *h)
{
    xsim_lib_end(call, 0, 0, 0, "%p", (void *)h);
    if (h) {
        free_handle(h);
    }
}

struct xs_handle *xs_open(unsigned long flags)
{
    return counted_open(XSIM_CALL_xs_open, flags);
}

void xs_close(struct xs_handle *h)
{
    counted_close(XSIM_CALL_xs_close, h);
}

/* The old names of the same two. */
struct xs_handle *xs_daemon_open(void)
{
    return counted_open(XSIM_CALL_xs_daemon_open, 0);
}

struct xs_handle *xs_daemon_open_readonly(void)
{
    return xs_open(0);
}

struct xs_handle *xs_domain_open(void)
{
    return counted_open(XSIM_CALL_xs_domain_open, 0);
}

void xs_daemon_close(struct xs_handle *h)
{
    counted_close(XSIM_CALL_xs_daemon_close, h);
}

void xs_daemon_destroy_postfork(struct xs_handle *h)
{
    xs_close(h);
}

int xs_fileno(struct xs_handle *h)
{
    return h->poll_fd;
}

/* ---- messages ---- */

/* The connection is of no use any more; do not let a poll spin on it. */
static void set_broken_locked(struct xs_handle *h)
{
    if (!h->broken) {
        h->broken = true;
        epoll_ctl(h->poll_fd, EPOLL_CTL_DEL, h->fd, NULL);
    }
    errno = EIO;
}

static bool send_all_locked(struct xs_handle *h, const void *data, size_t len)
{
    const char *p = data;

    while (len) {
        ssize_t n = send(h->fd, p, len, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR) {
            set_broken_locked(h);
            return false;
        }
        if (n > 0) {
            p += n;
            len -= n;
        }
    }
    return true;
}

static bool recv_all_locked(struct xs_handle *h, void *data, size_t len)
{
    char *p = data;

    while (len) {
        ssize_t n = recv(h->fd, p, len, 0);

        if (n == 0 || (n < 0 && errno != EINTR)) {
            set_broken_locked(h);
            return false;
        }
        if (n > 0) {
            p += n;
            len -= n;
        }
    }
    return true;
}

static void queue_event_locked(struct xs_handle *h, const char *data,
                               uint32_t len)
{
    const uint64_t one = 1;
    XsEvent *e = malloc(sizeof(*e) + len + 2);

    if (!e) {
        set_broken_locked(h);
        return;
    }
    memcpy(e->data, data, len);
    e->data[len] = e->data[len + 1] = '\0';
    e->len = len;
    e->next = NULL;
    *h->events_end = e;
    h->events_end = &e->next;
    if (write(h->queued_fd, &one, sizeof(one)) < 0) {
        /* Full: it is readable, which is all that is wanted. */
    }
}

char *xensim_xs_message_locked(struct xs_handle *h, struct xsd_sockmsg *head)
{
    char *data;

    if (!recv_all_locked(h, head, sizeof(*head))) {
        return NULL;
    }
    data = malloc((size_t)head->len + 1);
    if (!data) {
        set_broken_locked(h);
        errno = ENOMEM;
        return NULL;
    }
    if (!recv_all_locked(h, data, head->len)) {
        free(data);
        return NULL;
    }
    data[head->len] = '\0';
    if (head->type == XS_WATCH_EVENT) {
        queue_event_locked(h, data, head->len);
    }
    return data;
}

static int error_number(const char *name)
{
    unsigned int i;

    for (i = 0; i < sizeof(xsd_errors) / sizeof(xsd_errors[0]); i++) {
        if (strcmp(xsd_errors[i].errstring, name) == 0) {
            return xsd_errors[i].errnum;
        }
    }
    return EINVAL;
}

static char *talk_locked(struct xs_handle *h, struct xsd_sockmsg *head,
                         const struct iovec *iov, unsigned int n)
{
    struct xsd_sockmsg answer;
    unsigned int i;
    char *data;

    if (h->broken) {
        errno = EIO;
        return NULL;
    }
    head->req_id = ++h->last_id;
    if (!send_all_locked(h, head, sizeof(*head))) {
        return NULL;
    }
    for (i = 0; i < n; i++) {
        if (!send_all_locked(h, iov[i].iov_base, iov[i].iov_len)) {
            return NULL;
        }
    }
    for (;;) {
        data = xensim_xs_message_locked(h, &answer);
        if (!data || answer.type != XS_WATCH_EVENT) {
            break;
        }
        free(data);
    }
    if (!data) {
        return NULL;
    }
    if (answer.type == XS_ERROR) {
        errno = error_number(data);
        free(data);
        return NULL;
    }
    if (answer.type != head->type || answer.req_id != head->req_id) {
        set_broken_locked(h);
        free(data);
        return NULL;
    }
    head->len = answer.len;
    return data;
}

char *xensim_xs_talk(struct xs_handle *h, unsigned int call, uint32_t type,
                     xs_transaction_t t, const struct iovec *iov,
                     unsigned int n, unsigned int *len)
{
    struct xsd_sockmsg head = { .type = type, .tx_id = t };
    int error = xensim_xs_begin(call);
    char *data = NULL;
    unsigned int i;

    for (i = 0; i < n; i++) {
        head.len += iov[i].iov_len;
    }
    if (!error && head.len > XENSTORE_PAYLOAD_MAX) {
        error = E2BIG;
    }
    if (!error) {
        pthread_mutex_lock(&h->lock);
        data = talk_locked(h, &head, iov, n);
        error = data ? 0 : errno;
        pthread_mutex_unlock(&h->lock);
    }
    xsim_lib_end(call, 0, 0, error, "%s, %u", (char *)iov[0].iov_base, t);
    if (!data) {
        errno = error;
    } else if (len) {
        *len = head.len;
    }
    return data;
}
