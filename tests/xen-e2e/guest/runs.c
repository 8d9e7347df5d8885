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
 * dmaballoon ADDR PAGES ROUNDS LBA UNDER: while a read of the disk into every
 * even page of the range is under way, the odd pages, their neighbours in the
 * same buckets, are given to Xen and taken back.  Then the odd pages are read
 * into, and must show what was read: through an old mapping they would not.
 * The read also goes to UNDER pages after the range.  They are given away while
 * it is under way.  That read may fail, but all else must go on.
 */
typedef struct DmaBalloon {
    uint32_t first;         /* address of the range */
    uint32_t last;          /* address of the UNDER pages, after it */
    uint32_t pairs;         /* an even page and an odd one */
    uint32_t under;         /* pages */
    uint32_t lba;
    uint32_t busy;          /* how often the read was seen under way */
    Piece pieces[256];
} DmaBalloon;

/* Starts the read into the even pages, and gives the UNDER pages away. */
static bool balloon_start(DmaBalloon *b, uint32_t round)
{
    uint32_t i;
    int rc;

    stamp_fill(b->first, b->pairs * 2 * PAGE_SIZE, round, 0);
    for (i = 0; i < b->pairs; i++) {
        b->pieces[i] = (Piece) { b->first + i * 2 * PAGE_SIZE, PAGE_SIZE };
    }
    b->pieces[b->pairs] = (Piece) { b->last, b->under * PAGE_SIZE };
    rc = ide_start(false, b->lba, b->pieces, b->pairs + !!b->under, 0);
    if (rc) {
        say("bad start round=%u rc=%d", round, rc);
        return false;
    }
    if (b->under) {
        xen_list(b->last / PAGE_SIZE, b->under, 1);
        xen_give(b->under);
    }
    return true;
}

/* Gives the odd pages and takes them back, until the read has ended. */
static bool balloon_until_end(DmaBalloon *b, uint32_t round)
{
    int pairs = b->pairs, under = b->under, gave, took, rc;

    do {
        xen_list(b->first / PAGE_SIZE + 1, pairs, 2);
        /* The give drains it: before that is when it may be under way. */
        b->busy += ide_busy();
        gave = xen_give(pairs);
        took = xen_take(pairs);
    } while (gave == pairs && took == pairs && ide_busy());
    rc = ide_wait();
    if (gave != pairs || took != pairs) {
        say("bad balloon round=%u gave=%d took=%d", round, gave, took);
        return false;
    }
    if (under) {
        xen_list(b->last / PAGE_SIZE, under, 1);
        took = xen_take(under);
        if (took != under) {
            say("bad under round=%u took=%d", round, took);
            return false;
        }
    } else if (rc) {
        say("bad disk round=%u rc=%d status=0x%x bm=0x%x", round, rc,
            ide_status, ide_bm_status);
        return false;
    }
    return true;
}

/* Checks the even pages, reads into the odd ones, and checks these. */
static bool balloon_check(DmaBalloon *b, uint32_t round)
{
    uint32_t i;
    int rc;

    for (i = 0; i < b->pairs; i++) {
        if (differs(round, b->pieces[i].addr, PAGE_SIZE, 79, i * PAGE_SIZE,
                    "even")) {
            return false;
        }
        b->pieces[i].addr += PAGE_SIZE;
    }
    rc = ide_start(false, b->lba, b->pieces, b->pairs, 0);
    rc = rc ? rc : ide_wait();
    if (rc) {
        say("bad again round=%u rc=%d", round, rc);
        return false;
    }
    for (i = 0; i < b->pairs; i++) {
        if (differs(round, b->pieces[i].addr, PAGE_SIZE, 79, i * PAGE_SIZE,
                    "odd")) {
            return false;
        }
    }
    return true;
}

void run_dma_balloon(uint32_t *arg, unsigned n)
{
    static DmaBalloon b;
    unsigned most = sizeof(b.pieces) / sizeof(b.pieces[0]) - 1;
    uint32_t rounds = arg[2], round;

    b.first = arg[0];
    b.pairs = arg[1] / 2;
    b.last = b.first + b.pairs * 2 * PAGE_SIZE;
    b.lba = arg[3];
    b.under = arg[4];
    b.busy = 0;
    if (!b.pairs || b.pairs > most) {
        say("bad dmaballoon takes 2 to %u pages", 2 * most);
        return;
    }
    stamp_fill(b.first, b.pairs * PAGE_SIZE, 79, 0);
    if (!moved(0, true, b.lba, b.first, b.pairs * PAGE_SIZE, 0)) {
        return;
    }
    for (round = 1; round <= rounds; round++) {
        if (!balloon_start(&b, round) || !balloon_until_end(&b, round) ||
            !balloon_check(&b, round)) {
            return;
        }
    }
    say("ok rounds=%u busy=%u", rounds, b.busy);
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
