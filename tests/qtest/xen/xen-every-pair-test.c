/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every display device beside every disk controller, in both orders on the
 * command line.  See every-device.h.
 */
#include "qemu/osdep.h"
#include "every-device.h"

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_every_add(xen_devices(), true);
    return g_test_run();
}
