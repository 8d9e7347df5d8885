/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the parts of the preload library's xenstore client:
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

/* The library is built with hidden visibility; these are what it is for. */
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
    bool broken;                /* the server has gone, or talks nonsense */
};

/*
 * Send a request of TYPE, whose payload is the N >= 1 pieces of IOV, in
 * transaction T (XBT_NULL: none), and wait for its answer.  Any thread.  It
 * is counted and logged as CALL (XSIM_CALL_*), by its first piece, which is a
 * string, and fails as a fault on CALL says.
 *
 * Returns the answer's payload (free(); a NUL that is not counted follows
 * it) and, if LEN is not NULL, its length.  NULL and errno: what the server
 * answered; E2BIG for a payload above XENSTORE_PAYLOAD_MAX; EACCES after the
 * process has restricted itself; EIO when the server has gone.
 */
char *xensim_xs_talk(struct xs_handle *h, unsigned int call, uint32_t type,
                     xs_transaction_t t, const struct iovec *iov,
                     unsigned int n, unsigned int *len);

/* What a call begins with: 0, or the errno that it shall fail with. */
int xensim_xs_begin(unsigned int call);

/*
 * Read one message, H's mutex held; an event is queued.  Returns its payload
 * (free(); a NUL follows it), or NULL and errno.
 */
char *xensim_xs_message_locked(struct xs_handle *h, struct xsd_sockmsg *head);

#endif
