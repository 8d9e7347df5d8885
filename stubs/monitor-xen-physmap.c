/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a QEMU without Xen's HVM machines says of device memory. */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-xen-mapcache.h"

XenDeviceMemoryList *qmp_x_query_xen_physmap(Error **errp)
{
    error_setg(errp, "this machine has no Xen mapcache");
    return NULL;
}
