/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pages that the guest has given back to Xen, and that stay away. */
#include "qemu/osdep.h"
#include "engine.h"

static const uint8_t zeros[ORACLE_PAGE];

void oracle_take_away(OracleSide *side, uint64_t gpa, uint64_t pages)
{
    uint64_t first = gpa / ORACLE_PAGE;

    if (side->wild || side->lost) {
        return;
    }
    oracle_bring_back(side, gpa, pages * ORACLE_PAGE);
    memset(side->absent + first, 1, pages);
    side->n_absent += pages;
    if (side->guest) {
        oracle_dirty_known(side, gpa, pages * ORACLE_PAGE);
        xensim_balloon_out(oracle_domain(side), first, pages);
    }
}

/* On the plain side the pages have been there all the time. */
static void come_back(OracleSide *side, uint64_t page, uint64_t n)
{
    uint64_t i;

    memset(side->absent + page, 0, n);
    side->n_absent -= n;
    if (side->guest) {
        oracle_dirty_known(side, page * ORACLE_PAGE, n * ORACLE_PAGE);
        if (xensim_balloon_in(oracle_domain(side), page, n) != n) {
            oracle_side_give_up(side, g_error_new(
                G_IO_ERROR, G_IO_ERROR_FAILED,
                "the domain cannot have its page 0x%" PRIx64 " back", page));
        }
        return;
    }
    for (i = 0; i < n; i++) {
        guest_mem_write(side->pc, (page + i) * ORACLE_PAGE, zeros,
                        sizeof(zeros));
    }
}

void oracle_bring_back(OracleSide *side, uint64_t gpa, uint64_t len)
{
    uint64_t page = gpa / ORACLE_PAGE, n;
    uint64_t ram = oracle_ram_bytes(side);
    uint64_t end = gpa >= ram ? 0 :
                   DIV_ROUND_UP(gpa + MIN(len, ram - gpa), ORACLE_PAGE);

    for (; side->n_absent && !side->lost && page < end; page += MAX(n, 1)) {
        for (n = 0; page + n < end && side->absent[page + n]; n++) {
            continue;
        }
        if (n) {
            come_back(side, page, n);
        }
    }
}

void oracle_side_wild(OracleSide *side)
{
    oracle_bring_back(side, 0, oracle_ram_bytes(side));
    side->wild = true;
}
