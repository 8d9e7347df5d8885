/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the actions of displays share. */
#ifndef XEN_ORACLE_ACT_DISPLAY_H
#define XEN_ORACLE_ACT_DISPLAY_H

#include "actions.h"

/*
 * Where BAR 0 of @devfn shows the video memory of @bytes now; 0 if nowhere, or
 * if the range overlaps something else.
 */
uint64_t act_display_at(OracleSide *side, unsigned devfn, uint64_t bytes);

/*
 * The guest's CPU writes a pattern into the video memory of @bytes that BAR 0
 * of @devfn shows, wherever that is.
 */
void act_display_draw(OracleSide *side, OracleBytes *args, unsigned devfn,
                      uint64_t bytes);

/*
 * The address of @len bytes in the VGA's video memory, at a page's start; a
 * driver can give it to its device in a request.  0 if the VGA has no frames
 * there.
 */
uint64_t act_display_memory(OracleSide *side, OracleBytes *args,
                            uint64_t len);

/*
 * Tells (by oracle_saw_bytes()) the contents of the video memory of @bytes, as
 * far as BAR 0 of @devfn shows it.
 */
void act_display_look(OracleSide *side, unsigned devfn, uint64_t bytes);

/*
 * Registers of an old VGA (planes, write modes) and accesses to its window
 * at 0xa0000.  An OracleAction.run.
 */
void act_display_old_window(OracleSide *side, const OracleDevice *device,
                            OracleBytes *bytes);

#endif
