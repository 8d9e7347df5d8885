/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every device that the binary has: alone, with what it can have behind it,
 * and beside a VGA.  See every-device.h.
 */
#include "qemu/osdep.h"
#include "every-device.h"

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_every_add(xen_devices(), false);
    return g_test_run();
}
