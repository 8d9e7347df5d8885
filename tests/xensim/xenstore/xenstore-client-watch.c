/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libxenstore's functions for a device model on the simulated Xen: watches.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib.h"
#include "xenstore-client.h"

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
    const struct iovec iov[] = {
        { (void *)path, strlen(path) + 1 },
        { (void *)token, strlen(token) + 1 },
    };
    char *answer = xensim_xs_talk(h, XSIM_CALL_xs_watch, XS_WATCH,
                                  XBT_NULL, iov, 2, NULL);

    free(answer);
    return answer != NULL;
}

static void queue_emptied_locked(struct xs_handle *h)
{
    uint64_t count;

    if (!h->events && read(h->queued_fd, &count, sizeof(count)) < 0) {
        /* It was not set: nothing to take back. */
    }
}

/* Forget the queued events of one watch. */
static void filter_events(struct xs_handle *h, const char *path,
                          const char *token)
{
    XsEvent **p;

    pthread_mutex_lock(&h->lock);
    p = &h->events;
    while (*p) {
        XsEvent *e = *p;

        if (xs_path_is_subpath(path, e->data) &&
            strcmp(e->data + strlen(e->data) + 1, token) == 0) {
            *p = e->next;
            free(e);
        } else {
            p = &e->next;
        }
    }
    h->events_end = p;
    queue_emptied_locked(h);
    pthread_mutex_unlock(&h->lock);
}

bool xs_unwatch(struct xs_handle *h, const char *path, const char *token)
{
    const struct iovec iov[] = {
        { (void *)path, strlen(path) + 1 },
        { (void *)token, strlen(token) + 1 },
    };
    char *answer = xensim_xs_talk(h, XSIM_CALL_xs_unwatch, XS_UNWATCH,
                                  XBT_NULL, iov, 2, NULL);

    if (!answer) {
        return false;
    }
    free(answer);
    if (h->filter) {
        filter_events(h, path, token);
    }
    return true;
}

/* The oldest event as xs_check_watch() returns it, or NULL and EAGAIN. */
static char **pop_event_locked(struct xs_handle *h)
{
    XsEvent *e = h->events;
    char **v;

    if (!e) {
        errno = EAGAIN;
        return NULL;
    }
    v = malloc(2 * sizeof(char *) + e->len + 2);
    if (!v) {
        return NULL;
    }
    memcpy(v + 2, e->data, e->len + 2);
    v[XS_WATCH_PATH] = (char *)(v + 2);
    v[XS_WATCH_TOKEN] = v[XS_WATCH_PATH] + strlen(v[XS_WATCH_PATH]) + 1;
    h->events = e->next;
    if (!h->events) {
        h->events_end = &h->events;
    }
    free(e);
    queue_emptied_locked(h);
    return v;
}

static char **check_watch(struct xs_handle *h)
{
    struct pollfd p = { .fd = h->fd, .events = POLLIN };
    struct xsd_sockmsg head;
    char **v;

    pthread_mutex_lock(&h->lock);
    while (!h->events && !h->broken && poll(&p, 1, 0) == 1) {
        free(xensim_xs_message_locked(h, &head));
    }
    v = pop_event_locked(h);
    if (!v && h->broken) {
        errno = EIO;
    }
    pthread_mutex_unlock(&h->lock);
    return v;
}

/* Count and log a look for events; that there is none is no failure. */
static void watch_end(unsigned int call, char **v, int error)
{
    xsim_lib_end(call, 0, 0, v || error == EAGAIN ? 0 : error, "%s",
                 v ? v[XS_WATCH_PATH] : "-");
    if (!v) {
        errno = error;
    }
}

char **xs_check_watch(struct xs_handle *h)
{
    int error = xensim_xs_begin(XSIM_CALL_xs_check_watch);
    char **v = NULL;

    if (!error) {
        v = check_watch(h);
        error = v ? 0 : errno;
    }
    watch_end(XSIM_CALL_xs_check_watch, v, error);
    return v;
}

char **xs_read_watch(struct xs_handle *h, unsigned int *num)
{
    struct pollfd p = { .fd = h->poll_fd, .events = POLLIN };
    int error = xensim_xs_begin(XSIM_CALL_xs_read_watch);
    char **v = NULL;

    while (!error && !v) {
        v = check_watch(h);
        if (!v && errno == EAGAIN) {
            poll(&p, 1, -1);
        } else {
            error = v ? 0 : errno;
        }
    }
    watch_end(XSIM_CALL_xs_read_watch, v, error);
    if (v && num) {
        *num = 2;
    }
    return v;
}
