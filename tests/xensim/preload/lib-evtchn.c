/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libxensim.so: libxenevtchn.
 */
#include "xen-abi.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xenevtchn.h>

#include "lib.h"

struct xenevtchn_handle {
    unsigned index;
    int fd;
    int restricted;          /* 1 + domid, 0: no */
};

/* The FIFO of a handle; -errno. */
static int open_fifo(XsimView *v, unsigned index, unsigned flags)
{
    char path[320];
    int fd;

    xsim_handle_path(v, index, path, sizeof(path));
    unlink(path);
    if (mkfifo(path, 0600)) {
        return -errno;
    }
    /* Both ways: it stays open without a writer, and can write to itself. */
    fd = open(path, O_RDWR | O_NONBLOCK |
              (flags & XENEVTCHN_NO_CLOEXEC ? 0 : O_CLOEXEC));
    return fd < 0 ? -errno : fd;
}

XSIM_EXPORT xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger,
                                             unsigned int flags)
{
    unsigned call = XSIM_CALL_xenevtchn_open;
    XsimView *v = xsim_lib();
    int e = xsim_lib_begin(call, NULL, NULL);
    xenevtchn_handle *h = NULL;
    int index = -1;

    (void)logger;
    if (!e && xensim_restricted()) {
        e = EACCES;
    }
    if (!e) {
        h = calloc(1, sizeof(*h));
        index = h ? xsim_handle_open(v, xsim_lib_proc()) : -ENOMEM;
        e = index < 0 ? -index : 0;
    }
    if (!e) {
        h->index = index;
        h->fd = open_fifo(v, index, flags);
        e = h->fd < 0 ? -h->fd : 0;
    }
    if (e) {
        if (index >= 0) {
            xsim_handle_close(v, index);
        }
        free(h);
        h = NULL;
    } else {
        xsim_handle_set_fd(index, h->fd);
    }
    xsim_lib_end(call, 0, 0, e, "flags=0x%x: handle %d", flags, index);
    errno = e ? e : errno;
    return h;
}

XSIM_EXPORT int xenevtchn_close(xenevtchn_handle *xce)
{
    XsimView *v = xsim_lib();
    char path[320];

    if (!xce) {
        return 0;
    }
    xsim_handle_close(v, xce->index);
    xsim_handle_set_fd(xce->index, -1);
    xsim_handle_path(v, xce->index, path, sizeof(path));
    unlink(path);
    close(xce->fd);
    free(xce);
    return xsim_lib_result(XSIM_CALL_xenevtchn_close, 0, "%s", "");
}

XSIM_EXPORT int xenevtchn_fd(xenevtchn_handle *xce)
{
    int e = xsim_lib_begin(XSIM_CALL_xenevtchn_fd, NULL, NULL);

    return xsim_lib_result(XSIM_CALL_xenevtchn_fd, e ? -e : xce->fd, "%s",
                           "");
}

XSIM_EXPORT int xenevtchn_restrict(xenevtchn_handle *xce, domid_t domid)
{
    int e = xsim_lib_begin(XSIM_CALL_xenevtchn_restrict, NULL, NULL);

    if (!e && xce->restricted) {
        e = EACCES;
    }
    if (!e) {
        xce->restricted = domid + 1;
    }
    return xsim_lib_result(XSIM_CALL_xenevtchn_restrict, -e, "dom=%u", domid);
}

/* May this handle bind to @domid? */
static bool may_bind(const xenevtchn_handle *xce, uint32_t domid)
{
    return xensim_may_control(domid) &&
           (!xce->restricted || xce->restricted == (int)domid + 1);
}

XSIM_EXPORT int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port)
{
    int e = xsim_lib_begin(XSIM_CALL_xenevtchn_notify, NULL, NULL);
    int rc = e ? -e : xsim_local_notify(xsim_lib(), xce->index, port);

    return xsim_lib_result(XSIM_CALL_xenevtchn_notify, rc, "port=%u", port);
}

XSIM_EXPORT xenevtchn_port_or_error_t
xenevtchn_bind_unbound_port(xenevtchn_handle *xce, uint32_t domid)
{
    unsigned call = XSIM_CALL_xenevtchn_bind_unbound_port;
    int e = xsim_lib_begin(call, NULL, NULL);
    /* Linux refuses it to whoever is restricted, for any domain. */
    int rc = e ? -e : xensim_restricted() || xce->restricted ? -EACCES :
             xsim_local_alloc(xsim_lib(), xce->index, domid);

    return xsim_lib_result(call, rc, "dom=%u: %d", domid, rc);
}

XSIM_EXPORT xenevtchn_port_or_error_t
xenevtchn_bind_interdomain(xenevtchn_handle *xce, uint32_t domid,
                           evtchn_port_t remote_port)
{
    unsigned call = XSIM_CALL_xenevtchn_bind_interdomain;
    int e = xsim_lib_begin(call, NULL, NULL);
    int rc = e ? -e : !may_bind(xce, domid) ? -EACCES :
             xsim_local_bind(xsim_lib(), xce->index, domid, remote_port);

    return xsim_lib_result(call, rc, "dom=%u port=%u: %d", domid, remote_port,
                           rc);
}

XSIM_EXPORT xenevtchn_port_or_error_t
xenevtchn_bind_virq(xenevtchn_handle *xce, unsigned int virq)
{
    unsigned call = XSIM_CALL_xenevtchn_bind_virq;
    int e = xsim_lib_begin(call, NULL, NULL);
    int rc = e ? -e : xensim_restricted() || xce->restricted ? -EACCES :
             xsim_local_virq(xsim_lib(), xce->index, virq);

    return xsim_lib_result(call, rc, "virq=%u: %d", virq, rc);
}

XSIM_EXPORT int xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t port)
{
    int e = xsim_lib_begin(XSIM_CALL_xenevtchn_unbind, NULL, NULL);
    int rc = e ? -e : xsim_local_unbind(xsim_lib(), xce->index, port);

    return xsim_lib_result(XSIM_CALL_xenevtchn_unbind, rc, "port=%u", port);
}

/* Waits for a port if none is there, as reading from the device does. */
XSIM_EXPORT xenevtchn_port_or_error_t
xenevtchn_pending(xenevtchn_handle *xce)
{
    int e = xsim_lib_begin(XSIM_CALL_xenevtchn_pending, NULL, NULL);
    struct pollfd pfd = { .fd = xce->fd, .events = POLLIN };
    uint32_t port = 0;
    int rc = -e;

    while (!rc) {
        ssize_t n = read(xce->fd, &port, sizeof(port));

        if (n == sizeof(port)) {
            rc = port;
        } else if (n < 0 && errno == EAGAIN) {
            poll(&pfd, 1, -1);
        } else {
            rc = n < 0 ? -errno : -EIO;
        }
    }
    return xsim_lib_result(XSIM_CALL_xenevtchn_pending, rc, "%d", rc);
}

XSIM_EXPORT int xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t port)
{
    int e = xsim_lib_begin(XSIM_CALL_xenevtchn_unmask, NULL, NULL);
    int rc = e ? -e : xsim_local_unmask(xsim_lib(), xce->index, port);

    return xsim_lib_result(XSIM_CALL_xenevtchn_unmask, rc, "port=%u", port);
}
