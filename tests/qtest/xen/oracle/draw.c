/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Arguments of actions, from bytes: see oracle.h. */
#include "qemu/osdep.h"
#include "qemu/host-utils.h"
#include "engine.h"

uint64_t oracle_bits(OracleBytes *bytes, unsigned bits)
{
    uint64_t val = 0;
    unsigned i;

    for (i = 0; i < DIV_ROUND_UP(bits, 8); i++) {
        if (bytes->at < bytes->len) {
            val |= (uint64_t)bytes->data[bytes->at++] << 8 * i;
        }
    }
    return bits < 64 ? val & ((1ull << bits) - 1) : val;
}

uint64_t oracle_range(OracleBytes *bytes, uint64_t low, uint64_t high)
{
    uint64_t span = high - low;
    unsigned bits = span ? 64 - clz64(span) : 0;
    uint64_t val = bits ? oracle_bits(bytes, bits) : 0;

    return low + (span == UINT64_MAX ? val : val % (span + 1));
}

bool oracle_once_in(OracleBytes *bytes, unsigned n)
{
    /* The highest numbers, so that 0 is "no". */
    return n <= 1 ? oracle_bits(bytes, 1) : oracle_range(bytes, 0, n - 1) ==
                                            n - 1;
}

uint64_t oracle_draw_count(OracleBytes *bytes, uint64_t max)
{
    unsigned shift = oracle_range(bytes, 0, 64 - clz64(max));

    /* Each power of two as often as the next. */
    return oracle_range(bytes, 1, MIN(max, 1ull << shift));
}

uint64_t oracle_draw_ram(OracleSide *side, OracleBytes *bytes, uint64_t len,
                         uint64_t align)
{
    uint64_t end = oracle_ram_bytes(side) - MIN(len, oracle_ram_bytes(side) -
                                                     ORACLE_DATA);
    uint64_t gpa;

    switch (oracle_range(bytes, 0, 4)) {
    case 0:                     /* a page's start */
        gpa = ORACLE_PAGE * oracle_range(bytes, ORACLE_DATA / ORACLE_PAGE,
                                         end / ORACLE_PAGE);
        break;
    case 1:                     /* over a bucket's end */
        gpa = ORACLE_BUCKET * oracle_range(bytes, ORACLE_DATA / ORACLE_BUCKET
                                           + 1, end / ORACLE_BUCKET);
        gpa -= oracle_range(bytes, 0, MIN(len, 2 * ORACLE_PAGE));
        break;
    case 2:                     /* up to the end of RAM */
        gpa = end;
        break;
    case 3:                     /* few places, so that requests meet */
        gpa = ORACLE_DATA + 2048 * oracle_bits(bytes, 5);
        break;
    default:
        gpa = oracle_range(bytes, ORACLE_DATA, end);
        break;
    }
    gpa = ROUND_DOWN(CLAMP(gpa, ORACLE_DATA, end), align);
    oracle_bring_back(side, gpa, len);
    return gpa;
}

#define DRAWN_BYTES 0x2000u     /* that are to be there */

uint64_t oracle_draw_gpa(OracleSide *side, OracleBytes *bytes)
{
    uint64_t gpa;

    switch (oracle_range(bytes, 0, 15)) {
    case 13:                    /* device memory and registers */
        return ORACLE_MMIO + oracle_bits(bytes, 27);
    case 14:                    /* over the end of RAM */
        gpa = oracle_ram_bytes(side) - oracle_bits(bytes, 13);
        oracle_bring_back(side, gpa, DRAWN_BYTES);
        return gpa;
    case 15:                    /* nothing is there */
        return ORACLE_NOWHERE + oracle_bits(bytes, 23);
    default:
        return oracle_draw_ram(side, bytes, DRAWN_BYTES, 1);
    }
}

/* What the pieces of a list have to do with each other. */
enum { SCATTERED, NEIGHBOURS, SAME_PAGE, STEP_OF_BUCKET, SG_KINDS };

unsigned oracle_draw_sg(OracleSide *side, OracleBytes *bytes, GuestSg *sg,
                        unsigned max, uint32_t align, uint64_t total,
                        bool wild)
{
    uint64_t units = total / align, gpa;
    unsigned n = oracle_draw_count(bytes, MIN(max, units)), i;
    unsigned kind = oracle_range(bytes, 0, SG_KINDS - 1);
    uint64_t each = units / n;
    /* The last piece, which has what is left over. */
    uint64_t longest = (units - each * (n - 1)) * align;
    uint64_t span = kind == NEIGHBOURS ? total : longest;

    gpa = oracle_draw_ram(side, bytes, span, align);
    for (i = 0; i < n; i++) {
        sg[i].len = (i + 1 < n ? each : units - each * (n - 1)) * align;
        if (kind == SCATTERED && i < 32) {
            gpa = oracle_draw_ram(side, bytes, sg[i].len, align);
        }
        sg[i].gpa = gpa;
        if (wild && oracle_once_in(bytes, 64)) {
            sg[i].gpa = ROUND_DOWN(oracle_draw_gpa(side, bytes), align);
        }
        if (kind == NEIGHBOURS) {
            gpa += sg[i].len;
        } else if (kind != SAME_PAGE) {
            gpa += ORACLE_BUCKET;
        }
        if (kind != NEIGHBOURS && gpa + longest > oracle_ram_bytes(side)) {
            gpa = ORACLE_DATA + gpa % ORACLE_BUCKET / align * align;
        }
    }
    for (i = 0; i < n; i++) {
        oracle_bring_back(side, sg[i].gpa, sg[i].len);
    }
    return n;
}

void oracle_pattern(void *buf, size_t len, uint32_t seed)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15ull + 1;
    uint8_t *p = buf;
    size_t i;

    for (i = 0; i < len; i++) {
        if (i % 8 == 0) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
        }
        p[i] = x >> 8 * (i % 8);
    }
}
