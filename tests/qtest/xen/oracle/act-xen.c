/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What Xen and the toolstack do, and the guest must not see. */
#include "qemu/osdep.h"
#include "actions.h"

static void invalidate(OracleSide *side, const OracleDevice *device,
                       OracleBytes *bytes)
{
    XensimIoreq req = { .type = XENSIM_IOREQ_INVALIDATE };

    xensim_ioreq(oracle_domain(side), &req);
}

static const OracleAction actions[] = {
    { .name = "invalidate", .weight = 4, .xen_only = true,
      .run = invalidate },
};

const OracleDevice oracle_xen = {
    .name = "xen",
    .actions = actions,
    .n_actions = ARRAY_SIZE(actions),
};
