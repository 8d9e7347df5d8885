/*
 * Frames that Xen gives the guest for the memory of its devices
 *
 * Copyright (C) 2026 the Xen mapcache series' contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Addresses and sizes are in bytes, and multiples of the page size.  All
 * functions need the handle of libxenctrl.  A restricted device model has given
 * it up, so they fail there.  Called with the BQL.
 */

#ifndef HW_XEN_XEN_RESERVATION_H
#define HW_XEN_XEN_RESERVATION_H

#include "exec/hwaddr.h"

/*
 * Asks Xen to put frames at the guest addresses [@gaddr, @gaddr + @size).
 * @present has a bit for each page that has a frame already; these pages are
 * left out.  NULL: no page has a frame.  If a page had a frame that @present
 * does not name, that frame would be lost: Xen does not free it.
 *
 * Returns 0 or -errno.  After an error *@left is true if some pages have new
 * frames, because Xen did not take them back; otherwise no page has one.
 */
int xen_reservation_populate(hwaddr gaddr, uint64_t size,
                             const unsigned long *present, bool *left);

/*
 * Gives the frames at [@gaddr, @gaddr + @size) back to Xen.  If a frame is
 * still mapped, Xen frees it only when it is unmapped.  @present has a bit for
 * each page that has a frame; NULL: all pages have one.
 *
 * Returns 0 or -errno.  After an error, some of the frames may have been given
 * back.
 */
int xen_reservation_depopulate(hwaddr gaddr, uint64_t size,
                               const unsigned long *present);

/*
 * Does the same, but asks Xen which pages have a frame.  -EIO if Xen does not
 * say.
 */
int xen_reservation_give_back(hwaddr gaddr, uint64_t size);

#endif /* HW_XEN_XEN_RESERVATION_H */
