/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of libxensim.so that implement libxendevicemodel share.
 */
#ifndef XENSIM_LIB_DM_H
#define XENSIM_LIB_DM_H

#include "lib.h"

struct xendevicemodel_handle {
    int restricted;          /* 1 + domid, 0: no */
};

struct xendevicemodel_handle;

/*
 * Begins call @call on domain @domid: applies faults, and checks that the
 * process may act on the domain and that the domain exists.  Returns the
 * domain's slot, with its lock held, or -errno, with no lock held.
 */
int xsim_dm_enter(struct xendevicemodel_handle *h, unsigned call,
                  uint32_t domid, const XsimGfnSet *set);
/* Unlocks the domain in @slot; does nothing if @slot is -errno. */
void xsim_dm_leave(int slot);

#endif
