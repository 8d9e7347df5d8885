/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the preload library's xenstore client share:
 *   xenstore-client.c        handles and messages
 *   xenstore-client-watch.c  watches and their events
 *   xenstore-client-calls.c  the other requests
 * What they implement is declared in <xenstore.h>.
 */

#ifndef XENSIM_XENSTORE_CLIENT_H
#define XENSIM_XENSTORE_CLIENT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/* The library is built with hidden visibility; it exports these functions. */
#pragma GCC visibility push(default)
#include <xenstore.h>
#pragma GCC visibility pop

/* The server's socket, in the simulation's run directory. */
#define XENSIM_XS_SOCKET "xenstore.sock"

typedef struct XsEvent {
    struct XsEvent *next;
    uint32_t len;
    char data[];                /* path NUL token NUL */
} XsEvent;

struct xs_handle {
    int fd;                     /* the connection */
    int queued_fd;              /* eventfd: readable while events != NULL */
    int poll_fd;                /* epoll over both */
    bool filter;                /* XS_UNWATCH_FILTER */

    pthread_mutex_t lock;       /* guards what follows, and the socket */
    XsEvent *events, **events_end;
    uint32_t last_id;
    bool broken;                /* the connection has ended, or the server has
                                 * sent an invalid message */
};

/*
 * Sends a request of TYPE in transaction T (XBT_NULL: none), and waits for the
 * answer.  The payload is the N >= 1 pieces of IOV, of which the first is a
 * string.  The request is counted as CALL (XSIM_CALL_*), and logged with its
 * first piece; a fault that is armed for CALL makes it fail.  Any thread.
 *
 * Returns the answer's payload (free()), and its length in *LEN unless LEN is
 * NULL.  A NUL follows the payload; it is not counted.  On failure returns NULL
 * and errno: the server's error; E2BIG for a payload above
 * XENSTORE_PAYLOAD_MAX; EACCES after the process has restricted itself; EIO if
 * the connection has ended.
 */
char *xensim_xs_talk(struct xs_handle *h, unsigned int call, uint32_t type,
                     xs_transaction_t t, const struct iovec *iov,
                     unsigned int n, unsigned int *len);

/*
 * To be called at the beginning of each call.  Returns 0, or the errno with
 * which a fault makes the call fail.
 */
int xensim_xs_begin(unsigned int call);

/*
 * Reads one message; if it is an event, queues it.  Called with H's mutex.
 * Returns the payload (free()), which a NUL follows, or NULL and errno.
 */
char *xensim_xs_message_locked(struct xs_handle *h, struct xsd_sockmsg *head);

#endif
