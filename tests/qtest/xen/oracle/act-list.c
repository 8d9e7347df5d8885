/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists of pieces: see act-list.h. */
#include "qemu/osdep.h"
#include "act-list.h"

unsigned act_draw_list(OracleSide *side, OracleBytes *bytes, GuestSg *sg,
                       unsigned max, uint32_t align, uint64_t total,
                       bool wild)
{
    unsigned n = oracle_draw_sg(side, bytes, sg, max, align, total, false);
    GuestSg *one = &sg[oracle_range(bytes, 0, n - 1)];

    if (wild && one->len <= ORACLE_PAGE && oracle_bits(bytes, 1)) {
        one->gpa = ROUND_DOWN(oracle_draw_gpa(side, bytes), align);
    }
    return n;
}
