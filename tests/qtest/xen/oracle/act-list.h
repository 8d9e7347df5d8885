/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists of pieces for devices that map all of a list at once. */
#ifndef XEN_ORACLE_ACT_LIST_H
#define XEN_ORACLE_ACT_LIST_H

#include "actions.h"

/*
 * As oracle_draw_sg(), but with @wild at most one piece may lie outside RAM,
 * and only if it has at most a page.  QEMU has one page of bounce buffer for a
 * device; on the plain machine a virtio device whose list needs more stops.
 */
unsigned act_draw_list(OracleSide *side, OracleBytes *bytes, GuestSg *sg,
                       unsigned max, uint32_t align, uint64_t total,
                       bool wild);

#endif
