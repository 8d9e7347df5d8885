/*
 * Frames that Xen gives the guest for the memory of its devices
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Addresses and sizes are in bytes, and multiples of the page size.  All calls
 * need the handle of libxenctrl, which a restricted device model has given up:
 * they fail there.  Called with the BQL.
 */

#ifndef HW_XEN_XEN_RESERVATION_H
#define HW_XEN_XEN_RESERVATION_H

#include "exec/hwaddr.h"

/*
 * Has Xen put frames at the guest addresses [@gaddr, @gaddr + @size), but for
 * the pages that have a bit in @present; NULL: there are none.  A frame that
 * was there would be lost for good: Xen does not free it.
 *
 * Returns 0 or -errno.  If it fails a part may have been done.
 */
int xen_reservation_populate(hwaddr gaddr, uint64_t size,
                             const unsigned long *present);

/*
 * Takes them away again: gives the frames at [@gaddr, @gaddr + @size) back to
 * Xen, which frees those that are mapped when they are unmapped.  @present has
 * a bit for each page that has a frame; NULL: all have.
 *
 * Returns 0 or -errno.  If it fails a part may have been done.
 */
int xen_reservation_depopulate(hwaddr gaddr, uint64_t size,
                               const unsigned long *present);

/* The same, of the pages of which Xen says that they have a frame. */
int xen_reservation_give_back(hwaddr gaddr, uint64_t size);

#endif /* HW_XEN_XEN_RESERVATION_H */
