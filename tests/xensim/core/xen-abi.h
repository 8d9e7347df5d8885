/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Xen's public headers.  <xenctrl.h> includes them with the macros that they
 * need.
 */
#ifndef XENSIM_XEN_ABI_H
#define XENSIM_XEN_ABI_H

#include <xenctrl.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/ioreq.h>
#include <xen/hvm/params.h>

#endif
