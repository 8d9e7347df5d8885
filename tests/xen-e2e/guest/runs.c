/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs of many steps, too many for a command each.  Each ends at the first
 * wrong byte or count, and says in which round.
 */

#include "guest.h"

static bool differs(uint32_t round, uint32_t addr, uint32_t len,
                    uint32_t seed, uint32_t offset, const char *what)
{
    Differs d = { 0 };

    stamp_check(addr, len, seed, offset, &d);
    if (d.count) {
        say("bad %s round=%u differ=%u addr=0x%x want=0x%x got=0x%x", what,
            round, d.count, d.addr, d.want, d.got);
    }
    return d.count;
}

static bool moved(uint32_t round, bool write, uint32_t lba, uint32_t addr,
                  uint32_t len, uint32_t piece_max)
{
    Piece piece = { addr, len };
    int rc = ide_start(write, lba, &piece, 1, piece_max);

    rc = rc ? rc : ide_wait();
    if (rc) {
        say("bad disk round=%u rc=%d status=0x%x bm=0x%x", round, rc,
            ide_status, ide_bm_status);
    }
    return !rc;
}

/*
 * limit ADDR PAGES ROUNDS LBA: the pages take part in DMA, so that the device
 * model has them mapped; then all of them go to Xen and are asked for again at
 * once.  At its limit the guest gets them only if the device model let them go
 * before Xen's request was answered.
 */
void run_at_limit(uint32_t *arg, unsigned n)
{
    uint32_t addr = arg[0], pages = arg[1], rounds = arg[2], lba = arg[3];
    uint32_t bytes = pages * PAGE_SIZE, round;

    stamp_fill(addr, bytes, 77, 0);
    if (!moved(0, true, lba, addr, bytes, 0)) {
        return;
    }
    for (round = 1; round <= rounds; round++) {
        int gave, took;

        if (!moved(round, false, lba, addr, bytes, 0) ||
            differs(round, addr, bytes, 77, 0, "read")) {
            return;
        }
        xen_list(addr / PAGE_SIZE, pages, 1);
        gave = xen_give(pages);
        took = xen_take(pages);
        if (gave != (int)pages || took != (int)pages) {
            say("bad limit round=%u gave=%d took=%d pages=%d max=%d", round,
                gave, took, xen_pages_now(), xen_pages_max());
            return;
        }
        stamp_fill(addr, bytes, round, 0);
    }
    say("ok rounds=%u pages=%d", rounds, xen_pages_now());
}

/*
 * storm ADDR ROUNDS LBA: one page goes and comes ROUNDS times, with a read of
 * the disk into that page and its neighbours after each eighth time.
 */
void run_storm(uint32_t *arg, unsigned n)
{
    uint32_t addr = arg[0], rounds = arg[1], lba = arg[2], round;
    uint32_t started = clock_now(), us;
    const uint32_t bytes = 4 * PAGE_SIZE;

    stamp_fill(addr, bytes, 78, 0);
    if (!moved(0, true, lba, addr, bytes, 0)) {
        return;
    }
    for (round = 1; round <= rounds; round++) {
        xen_list(addr / PAGE_SIZE + round % 4, 1, 1);
        if (xen_give(1) != 1 || xen_take(1) != 1) {
            say("bad storm round=%u", round);
            return;
        }
        if (round % 8 == 0) {
            stamp_fill(addr, bytes, round, 0);
            if (!moved(round, false, lba, addr, bytes, 0) ||
                differs(round, addr, bytes, 78, 0, "read")) {
                return;
            }
        }
    }
    us = clock_us(started, clock_now());
    say("ok rounds=%u us=%u", rounds, us);
}

/*
 * dmaballoon ADDR PAGES ROUNDS LBA UNDER: a read of the disk into every even
 * page of the range is under way while the odd ones, their neighbours in the
 * same buckets, go to Xen and come again; then the odd ones are read into, and
 * must show it: an old mapping would not.  UNDER pages at the end that the
 * read goes to are given away under it as well, and nothing is asked of them
 * but that all else goes on.
 */
void run_dma_balloon(uint32_t *arg, unsigned n)
{
    static Piece pieces[256];
    uint32_t addr = arg[0], pairs = arg[1] / 2, rounds = arg[2];
    uint32_t lba = arg[3], under = arg[4], last = addr + pairs * 2 * PAGE_SIZE;
    uint32_t first = addr / PAGE_SIZE, round, i, busy = 0;

    if (!pairs || pairs + 1 > sizeof(pieces) / sizeof(pieces[0])) {
        say("bad dmaballoon takes 2 to %u pages",
            2 * (unsigned)(sizeof(pieces) / sizeof(pieces[0])) - 2);
        return;
    }
    stamp_fill(addr, pairs * PAGE_SIZE, 79, 0);
    if (!moved(0, true, lba, addr, pairs * PAGE_SIZE, 0)) {
        return;
    }
    for (round = 1; round <= rounds; round++) {
        int rc, gave, took;

        stamp_fill(addr, pairs * 2 * PAGE_SIZE, round, 0);
        for (i = 0; i < pairs; i++) {
            pieces[i] = (Piece) { addr + i * 2 * PAGE_SIZE, PAGE_SIZE };
        }
        pieces[pairs] = (Piece) { last, under * PAGE_SIZE };
        rc = ide_start(false, lba, pieces, pairs + !!under, 0);
        if (rc) {
            say("bad start round=%u rc=%d", round, rc);
            return;
        }
        if (under) {
            xen_list(last / PAGE_SIZE, under, 1);
            xen_give(under);
        }
        do {
            xen_list(first + 1, pairs, 2);
            /* The give drains it: before that is when it may be under way. */
            busy += ide_busy();
            gave = xen_give(pairs);
            took = xen_take(pairs);
        } while (gave == (int)pairs && took == (int)pairs && ide_busy());
        rc = ide_wait();
        if (gave != (int)pairs || took != (int)pairs) {
            say("bad balloon round=%u gave=%d took=%d", round, gave, took);
            return;
        }
        if (under) {
            xen_list(last / PAGE_SIZE, under, 1);
            took = xen_take(under);
            if (took != (int)under) {
                say("bad under round=%u took=%d", round, took);
                return;
            }
        } else if (rc) {
            say("bad disk round=%u rc=%d status=0x%x bm=0x%x", round, rc,
                ide_status, ide_bm_status);
            return;
        }
        for (i = 0; i < pairs; i++) {
            if (differs(round, addr + i * 2 * PAGE_SIZE, PAGE_SIZE, 79,
                        i * PAGE_SIZE, "even")) {
                return;
            }
            pieces[i].addr += PAGE_SIZE;
        }
        rc = ide_start(false, lba, pieces, pairs, 0);
        rc = rc ? rc : ide_wait();
        if (rc) {
            say("bad again round=%u rc=%d", round, rc);
            return;
        }
        for (i = 0; i < pairs; i++) {
            if (differs(round, pieces[i].addr, PAGE_SIZE, 79, i * PAGE_SIZE,
                        "odd")) {
                return;
            }
        }
    }
    say("ok rounds=%u busy=%u", rounds, busy);
}

/*
 * bench WRITE LBA ADDR LEN ROUNDS: the same transfer again and again, in
 * descriptors of up to 64 KiB; microseconds for all, and for the fastest.
 */
void run_bench(uint32_t *arg, unsigned n)
{
    uint32_t rounds = arg[4], round, total = 0, best = 0xffffffff;

    for (round = 1; round <= rounds; round++) {
        uint32_t from = clock_now(), us;

        if (!moved(round, arg[0], arg[1], arg[2], arg[3], 0)) {
            return;
        }
        us = clock_us(from, clock_now());
        total += us;
        best = us < best ? us : best;
    }
    say("ok rounds=%u bytes=%u us=%u best=%u", rounds, arg[3], total, best);
}
