/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The devices, each in its file act-NAME.c. */
#ifndef XEN_ORACLE_ACTIONS_H
#define XEN_ORACLE_ACTIONS_H

#include "oracle.h"

extern const OracleDevice oracle_xen;       /* no device: what Xen does */
extern const OracleDevice oracle_vga;
extern const OracleDevice oracle_ide;

#endif
