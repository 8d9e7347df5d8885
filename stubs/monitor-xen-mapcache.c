/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a QEMU without Xen says when it is asked for the mapcache. */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-xen-mapcache.h"

XenMapcacheInfo *qmp_query_xen_mapcache(Error **errp)
{
    error_setg(errp, "this machine has no Xen mapcache");
    return NULL;
}

XenMapcacheDmaInfo *qmp_x_query_xen_mapcache_dma(bool has_limit,
                                                 uint32_t limit,
                                                 bool has_held, bool held,
                                                 Error **errp)
{
    error_setg(errp, "this machine has no Xen mapcache");
    return NULL;
}
