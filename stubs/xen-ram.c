/*
 * Stub of the memory that Xen knows of, for targets without Xen
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "system/xen.h"
#include "system/xen-mapcache.h"

bool xen_ram_can_be_saved(Error **errp)
{
    return true;
}

void xen_map_cache_load_is_good(void)
{
}
