/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Event channels.
 *
 * A guest's end is an XsimPort; the guest waits for it by futex.  A device
 * model's end is an XsimLocalPort of one handle, and the handle is a FIFO in
 * the run directory.  If an event's port is unmasked, the port's number is
 * written to the FIFO, and the port is masked.  If the port is masked, it stays
 * pending until it is unmasked.  So a port is in the FIFO at most once, the
 * FIFO cannot fill up, and its file descriptor is readable exactly when a port
 * waits to be read.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sim.h"

/* What this process has open for sending to handles. */
static struct {
    uint32_t generation;
    int fd;                /* 0: not open yet */
    bool own;
} peer[XSIM_MAX_HANDLES];

void xsim_handle_path(XsimView *v, unsigned handle, char *buf, size_t len)
{
    snprintf(buf, len, "%s/evtchn.%u", v->dir, handle);
}

void xsim_handle_set_fd(unsigned handle, int fd)
{
    if (!peer[handle].own && peer[handle].fd > 0) {
        close(peer[handle].fd);
    }
    peer[handle].own = fd >= 0;
    peer[handle].fd = fd >= 0 ? fd : 0;
}

void xsim_handle_forget_all(void)
{
    unsigned i;

    for (i = 0; i < XSIM_MAX_HANDLES; i++) {
        if (!peer[i].own && peer[i].fd > 0) {
            close(peer[i].fd);
            peer[i].fd = 0;
        }
    }
}

static void send_port(XsimView *v, unsigned handle, uint32_t port)
{
    char path[320];

    if (!peer[handle].own &&
        (peer[handle].fd <= 0 ||
         peer[handle].generation != v->h->handle[handle].generation)) {
        if (peer[handle].fd > 0) {
            close(peer[handle].fd);
        }
        xsim_handle_path(v, handle, path, sizeof(path));
        peer[handle].fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        peer[handle].generation = v->h->handle[handle].generation;
    }
    if (peer[handle].fd > 0 &&
        write(peer[handle].fd, &port, sizeof(port)) != sizeof(port)) {
        /* The reader has died: the event is lost with it. */
        if (!peer[handle].own) {
            close(peer[handle].fd);
            peer[handle].fd = 0;
        }
    }
}

/* An event for a device model's port. */
static void deliver_local(XsimView *v, uint32_t local)
{
    XsimLocalPort *l = &v->h->local[local];

    if (l->masked) {
        l->pending = true;
    } else {
        l->masked = true;
        send_port(v, l->handle, local);
    }
}

static void deliver_guest(XsimPort *p)
{
    p->pending = 1;
    atomic_fetch_add(&p->seq, 1);
    xsim_futex_wake(&p->seq);
}

/* ---- the guest's ends ---- */

static XsimPort *port_get(XsimView *v, unsigned slot, uint32_t port)
{
    XsimPort *p;

    if (port == 0 || port >= XSIM_MAX_PORTS) {
        return NULL;
    }
    p = &xsim_dom(v, slot)->port[port];
    return p->state == XSIM_PORT_FREE ? NULL : p;
}

static int port_new(XsimView *v, unsigned slot)
{
    XsimDom *d = xsim_dom(v, slot);
    int i;

    for (i = 1; i < (int)XSIM_MAX_PORTS; i++) {
        if (d->port[i].state == XSIM_PORT_FREE) {
            d->port[i].pending = 0;
            d->port[i].xen = false;
            return i;
        }
    }
    return -ENOSPC;
}

int xsim_port_alloc(XsimView *v, unsigned slot, uint32_t remote, bool xen)
{
    int i;

    xsim_lock(&v->h->evtchn_lock);
    i = port_new(v, slot);
    if (i > 0) {
        XsimPort *p = &xsim_dom(v, slot)->port[i];

        p->state = XSIM_PORT_UNBOUND;
        p->remote_dom = remote;
        p->xen = xen;
    }
    xsim_unlock(&v->h->evtchn_lock);
    return i;
}

int xsim_port_bind(XsimView *v, unsigned slot, uint32_t local)
{
    uint32_t domid = xsim_dom(v, slot)->domid;
    XsimLocalPort *l;
    int i = -EINVAL;

    xsim_lock(&v->h->evtchn_lock);
    l = local < XSIM_MAX_LOCAL_PORTS ? &v->h->local[local] : NULL;
    if (l && l->state == XSIM_PORT_UNBOUND && l->remote_dom == domid) {
        i = port_new(v, slot);
    }
    if (i > 0) {
        XsimPort *p = &xsim_dom(v, slot)->port[i];

        p->state = XSIM_PORT_BOUND;
        p->remote_dom = 0;
        p->remote_port = local;
        l->state = XSIM_PORT_BOUND;
        l->slot = slot;
        l->remote_port = i;
        /* As Xen does: events sent before the binding are not lost. */
        p->pending = 1;
        atomic_fetch_add(&p->seq, 1);
    }
    xsim_unlock(&v->h->evtchn_lock);
    return i;
}

int xsim_port_close(XsimView *v, unsigned slot, uint32_t port)
{
    XsimPort *p;
    int rc = -EINVAL;

    xsim_lock(&v->h->evtchn_lock);
    p = port_get(v, slot, port);
    if (p) {
        if (p->state == XSIM_PORT_BOUND) {
            XsimLocalPort *l = &v->h->local[p->remote_port];

            l->state = XSIM_PORT_UNBOUND;
            l->remote_dom = xsim_dom(v, slot)->domid;
        }
        p->state = XSIM_PORT_FREE;
        atomic_fetch_add(&p->seq, 1);
        xsim_futex_wake(&p->seq);
        rc = 0;
    }
    xsim_unlock(&v->h->evtchn_lock);
    return rc;
}

int xsim_port_notify(XsimView *v, unsigned slot, uint32_t port)
{
    XsimPort *p;
    int rc = -EINVAL;

    xsim_lock(&v->h->evtchn_lock);
    p = port_get(v, slot, port);
    if (p && p->state == XSIM_PORT_BOUND) {
        deliver_local(v, p->remote_port);
        rc = 0;
    } else if (p) {
        rc = -ENOTCONN;
    }
    xsim_unlock(&v->h->evtchn_lock);
    return rc;
}

int xsim_port_peer(XsimView *v, unsigned slot, uint32_t port)
{
    XsimPort *p;
    int rc = -1;

    xsim_lock(&v->h->evtchn_lock);
    p = port_get(v, slot, port);
    if (p && p->state == XSIM_PORT_BOUND) {
        rc = v->h->handle[v->h->local[p->remote_port].handle].proc;
    }
    xsim_unlock(&v->h->evtchn_lock);
    return rc;
}

/* ---- the device models' ends ---- */

int xsim_handle_open(XsimView *v, unsigned proc)
{
    int i, rc = -EMFILE;

    xsim_lock(&v->h->evtchn_lock);
    for (i = 0; i < (int)XSIM_MAX_HANDLES; i++) {
        XsimHandle *h = &v->h->handle[i];

        if (!h->in_use) {
            h->in_use = true;
            h->proc = proc;
            h->generation++;
            h->restricted = 0;
            rc = i;
            break;
        }
    }
    xsim_unlock(&v->h->evtchn_lock);
    return rc;
}

static void local_unbind(XsimView *v, uint32_t local)
{
    XsimLocalPort *l = &v->h->local[local];

    if (l->state == XSIM_PORT_BOUND && l->slot == XSIM_SLOT_LOCAL &&
        l->virq < 0) {
        v->h->local[l->remote_port].state = XSIM_PORT_UNBOUND;
    } else if (l->state == XSIM_PORT_BOUND && l->virq < 0) {
        XsimPort *p = &xsim_dom(v, l->slot)->port[l->remote_port];

        p->state = XSIM_PORT_UNBOUND;
        p->remote_dom = 0;
        /* Whoever waits for an answer looks again at who is there. */
        atomic_fetch_add(&p->seq, 1);
        xsim_futex_wake(&p->seq);
    }
    l->state = XSIM_PORT_FREE;
}

void xsim_handle_close(XsimView *v, unsigned handle)
{
    unsigned i;

    xsim_lock(&v->h->evtchn_lock);
    for (i = 1; i < XSIM_MAX_LOCAL_PORTS; i++) {
        XsimLocalPort *l = &v->h->local[i];

        if (l->state != XSIM_PORT_FREE && l->handle == handle) {
            local_unbind(v, i);
        }
    }
    v->h->handle[handle].in_use = false;
    xsim_unlock(&v->h->evtchn_lock);
}

/* A free port of a handle, unmasked and not pending. */
static int local_new(XsimView *v, unsigned handle)
{
    int i;

    for (i = 1; i < (int)XSIM_MAX_LOCAL_PORTS; i++) {
        XsimLocalPort *l = &v->h->local[i];

        if (l->state == XSIM_PORT_FREE) {
            l->handle = handle;
            l->pending = l->masked = false;
            l->virq = -1;
            return i;
        }
    }
    return -ENOSPC;
}

int xsim_local_alloc(XsimView *v, unsigned handle, uint32_t remote_dom)
{
    int i;

    xsim_lock(&v->h->evtchn_lock);
    i = local_new(v, handle);
    if (i > 0) {
        v->h->local[i].state = XSIM_PORT_UNBOUND;
        v->h->local[i].remote_dom = remote_dom;
    }
    xsim_unlock(&v->h->evtchn_lock);
    return i;
}

/* Both ends in the device models' domain. */
static int local_bind_local(XsimView *v, unsigned handle, uint32_t port)
{
    XsimLocalPort *other = port < XSIM_MAX_LOCAL_PORTS ? &v->h->local[port]
                                                       : NULL;
    int i = -EINVAL;

    xsim_lock(&v->h->evtchn_lock);
    if (other && other->state == XSIM_PORT_UNBOUND && other->remote_dom == 0) {
        i = local_new(v, handle);
    }
    if (i > 0) {
        XsimLocalPort *l = &v->h->local[i];

        l->state = other->state = XSIM_PORT_BOUND;
        l->slot = other->slot = XSIM_SLOT_LOCAL;
        l->remote_dom = 0;
        l->remote_port = port;
        other->remote_port = i;
        deliver_local(v, i);
    }
    xsim_unlock(&v->h->evtchn_lock);
    return i;
}

int xsim_local_bind(XsimView *v, unsigned handle, uint32_t domid,
                    uint32_t port)
{
    int slot = xsim_find_dom(v, domid);
    XsimPort *p;
    int i;

    if (domid == 0) {
        return local_bind_local(v, handle, port);
    }
    if (slot < 0) {
        return -ESRCH;
    }
    xsim_lock(&v->h->evtchn_lock);
    p = port_get(v, slot, port);
    if (!p || p->state != XSIM_PORT_UNBOUND || p->remote_dom != 0) {
        i = -EINVAL;
    } else {
        i = local_new(v, handle);
    }
    if (i > 0) {
        XsimLocalPort *l = &v->h->local[i];

        l->state = XSIM_PORT_BOUND;
        l->slot = slot;
        l->remote_dom = domid;
        l->remote_port = port;
        p->state = XSIM_PORT_BOUND;
        p->remote_port = i;
        /* As Xen does: events sent before the binding are not lost. */
        deliver_local(v, i);
    }
    xsim_unlock(&v->h->evtchn_lock);
    return i;
}

int xsim_local_virq(XsimView *v, unsigned handle, unsigned virq)
{
    int i;

    xsim_lock(&v->h->evtchn_lock);
    i = local_new(v, handle);
    if (i > 0) {
        v->h->local[i].state = XSIM_PORT_BOUND;
        v->h->local[i].virq = virq;
    }
    xsim_unlock(&v->h->evtchn_lock);
    return i;
}

/* The port, if it is one of @handle's. */
static XsimLocalPort *local_get(XsimView *v, unsigned handle, uint32_t local)
{
    XsimLocalPort *l;

    if (local == 0 || local >= XSIM_MAX_LOCAL_PORTS) {
        return NULL;
    }
    l = &v->h->local[local];
    return l->state != XSIM_PORT_FREE && l->handle == handle ? l : NULL;
}

int xsim_local_unbind(XsimView *v, unsigned handle, uint32_t local)
{
    int rc = -ENOTCONN;

    xsim_lock(&v->h->evtchn_lock);
    if (local_get(v, handle, local)) {
        local_unbind(v, local);
        rc = 0;
    }
    xsim_unlock(&v->h->evtchn_lock);
    return rc;
}

int xsim_local_notify(XsimView *v, unsigned handle, uint32_t local)
{
    XsimLocalPort *l;
    int rc = -ENOTCONN;

    xsim_lock(&v->h->evtchn_lock);
    l = local_get(v, handle, local);
    if (l && l->virq < 0) {
        /* To an end that nobody bound yet, Xen sends without complaint. */
        rc = 0;
        if (l->state == XSIM_PORT_BOUND && l->slot == XSIM_SLOT_LOCAL) {
            deliver_local(v, l->remote_port);
        } else if (l->state == XSIM_PORT_BOUND) {
            deliver_guest(&xsim_dom(v, l->slot)->port[l->remote_port]);
        }
    }
    xsim_unlock(&v->h->evtchn_lock);
    return rc;
}

int xsim_local_unmask(XsimView *v, unsigned handle, uint32_t local)
{
    XsimLocalPort *l;

    xsim_lock(&v->h->evtchn_lock);
    l = local_get(v, handle, local);
    /* As Linux: a port that is not the handle's is passed over in silence. */
    if (l) {
        l->masked = false;
        if (l->pending) {
            l->pending = false;
            deliver_local(v, local);
        }
    }
    xsim_unlock(&v->h->evtchn_lock);
    return 0;
}

unsigned xsim_virq_raise(XsimView *v, unsigned virq)
{
    unsigned i, n = 0;

    xsim_lock(&v->h->evtchn_lock);
    for (i = 1; i < XSIM_MAX_LOCAL_PORTS; i++) {
        XsimLocalPort *l = &v->h->local[i];

        if (l->state == XSIM_PORT_BOUND && l->virq == (int)virq) {
            deliver_local(v, i);
            n++;
        }
    }
    xsim_unlock(&v->h->evtchn_lock);
    return n;
}
