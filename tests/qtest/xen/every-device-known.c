/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cases of every-device.h that are known to fail.  One that does not fail
 * any more fails the test until it is taken off this list.
 */
#include "qemu/osdep.h"
#include "every-device.h"

static const char xen_net[] =
    "stock on Xen crashes alike, and the plain machine has no such bus";

static const struct {
    const char *path, *why;         /* @path is a glob pattern */
} known[] = {
    { "backed/xen-net-device", xen_net },
    { "vga/xen-net-device", xen_net },
};

const char *xen_every_known(const char *path)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(known); i++) {
        if (g_pattern_match_simple(known[i].path, path)) {
            return known[i].why;
        }
    }
    return NULL;
}
