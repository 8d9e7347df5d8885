/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What other files of the simulated xenstored do with its connections. */

#include <unistd.h>

#include "xenstore-int.h"

void xs_conn_queue(XsConn *conn, uint32_t type, uint32_t req_id, uint32_t tx,
                   const void *data, size_t len)
{
    const struct xsd_sockmsg head = {
        .type = type, .req_id = req_id, .tx_id = tx, .len = len,
    };

    g_byte_array_append(conn->out, (const guint8 *)&head, sizeof(head));
    if (len) {
        g_byte_array_append(conn->out, data, len);
    }
}

void xs_wake(XensimXs *xs)
{
    const uint64_t one = 1;

    if (write(xs->wake_fd, &one, sizeof(one)) < 0) {
        /* The counter is full: the thread is being woken already. */
    }
}
