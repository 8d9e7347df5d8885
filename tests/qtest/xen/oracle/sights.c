/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the guest sees of a side. */
#include "qemu/osdep.h"
#include "engine.h"

void oracle_side_forget(OracleSide *side)
{
    g_array_set_size(side->sights, 0);
    g_ptr_array_set_size(side->texts, 0);
}

void oracle_saw_at(OracleSide *side, const char *what, uint64_t index,
                   uint64_t value)
{
    const OracleSight sight = { what, index, value };

    g_array_append_val(side->sights, sight);
}

uint64_t oracle_hash(const uint8_t *data, size_t len)
{
    uint64_t h = len * 0x9e3779b97f4a7c15ull, word;
    size_t i;

    for (i = 0; i + 8 <= len; i += 8) {
        memcpy(&word, data + i, 8);
        h = (h ^ word) * 0xff51afd7ed558ccdull;
        h ^= h >> 32;
    }
    for (; i < len; i++) {
        h = (h ^ data[i]) * 0x100000001b3ull;
    }
    return h;
}

void oracle_saw_bytes(OracleSide *side, const char *what, uint64_t start,
                      const void *buf, size_t len)
{
    size_t at, step;

    for (at = 0; at < len; at += step) {
        step = MIN(len - at, ORACLE_PAGE - (start + at) % ORACLE_PAGE);
        oracle_saw_at(side, what, (start + at) / ORACLE_PAGE,
                      oracle_hash((const uint8_t *)buf + at, step));
    }
}
