/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists of pieces for devices that map all of a list at once. */
#ifndef XEN_ORACLE_ACT_LIST_H
#define XEN_ORACLE_ACT_LIST_H

#include "actions.h"

/*
 * As oracle_draw_sg(), but with @wild only one piece of up to a page is where
 * there may be no RAM: QEMU has one page of bounce buffer for a device, and a
 * virtio device whose list needs more stops on the plain machine.
 */
unsigned act_draw_list(OracleSide *side, OracleBytes *bytes, GuestSg *sg,
                       unsigned max, uint32_t align, uint64_t total,
                       bool wild);

#endif
