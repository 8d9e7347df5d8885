/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conformance: an arena of addresses whose slots are filled and emptied, as
 * the mapcache does it.
 *
 *     +--------+--------+--------+--------+
 *     | slot 0 | slot 1 | slot 2 | slot 3 |    a PROT_NONE mapping of a file,
 *     +--------+--------+--------+--------+    or one foreign mapping, each
 */
#include "conformance.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SLOT_BYTES ((size_t)SLOT_PAGES * PAGE)
#define HOW        (MAP_SHARED | MAP_NORESERVE)

typedef struct Arena {
    char *base;
    int fd;
} Arena;

static int err[WORK_PAGES];

static void arena_open(Arena *a)
{
    a->fd = memfd_create("conformance", MFD_CLOEXEC);
    a->base = mmap(NULL, SLOTS * SLOT_BYTES, PROT_NONE, HOW, a->fd, 0);
}

static void arena_close(Arena *a)
{
    munmap(a->base, SLOTS * SLOT_BYTES);
    close(a->fd);
}

static char *slot(const Arena *a, unsigned nr)
{
    return a->base + nr * SLOT_BYTES;
}

/* The frames that belong in a slot. */
static xen_pfn_t slot_gfn(unsigned nr)
{
    return ctx.work + nr * SLOT_PAGES;
}

static bool fill_with(const Arena *a, unsigned nr, xen_pfn_t gfn)
{
    return map_run(slot(a, nr), RW, MAP_FIXED, gfn, SLOT_PAGES, err) ==
           slot(a, nr);
}

static unsigned fill_all(const Arena *a)
{
    unsigned good = 0, i;

    for (i = 0; i < SLOTS; i++) {
        good += fill_with(a, i, slot_gfn(i));
    }
    return good;
}

static void *empty(const Arena *a, unsigned nr, unsigned n, int how)
{
    errno = 0;
    return mmap(slot(a, nr), n * SLOT_BYTES, PROT_NONE, HOW | how, a->fd,
                nr * SLOT_BYTES);
}

static bool slot_good(const Arena *a, unsigned nr)
{
    return stamps(slot(a, nr), slot_gfn(nr), SLOT_PAGES) == SLOT_PAGES;
}

/* ---- filling ---- */

static void ask_fill(void)
{
    unsigned bad = 0, good, i;
    Arena a;

    arena_open(&a);
    good = fill_all(&a);
    for (i = 0; i < SLOT_PAGES; i++) {
        bad += err[i] != 0;
    }
    say("%u of %u in place", good, SLOTS);
    say("%u bad pages", bad);
    arena_close(&a);
}

static void ask_areas(void)
{
    Arena a;

    arena_open(&a);
    fill_all(&a);
    say("%u", areas(a.base, SLOTS * SLOT_BYTES));
    arena_close(&a);
}

static void ask_bytes(void)
{
    Arena a;

    arena_open(&a);
    fill_all(&a);
    say("%u of %u pages", stamps(a.base, ctx.work, WORK_PAGES), WORK_PAGES);
    arena_close(&a);
}

static void ask_over_live(void)
{
    bool good;
    Arena a;

    arena_open(&a);
    fill_all(&a);
    good = fill_with(&a, 1, slot_gfn(3));
    say(good ? "in place" : "%s", error_name(errno));
    say("%u new pages", stamps(slot(&a, 1), slot_gfn(3), SLOT_PAGES));
    say("neighbours %s", slot_good(&a, 0) && slot_good(&a, 2) ? "ok" : "hurt");
    arena_close(&a);
}

static void ask_over_two(void)
{
    void *p;
    Arena a;

    arena_open(&a);
    fill_all(&a);
    p = map_run(slot(&a, 1), RW, MAP_FIXED, slot_gfn(2), 2 * SLOT_PAGES, err);
    say(p == slot(&a, 1) ? "in place" : "%s", error_name(errno));
    say("%u new pages", stamps(slot(&a, 1), slot_gfn(2), 2 * SLOT_PAGES));
    say("%u areas", areas(a.base, SLOTS * SLOT_BYTES));
    arena_close(&a);
}

static void ask_mlock(void)
{
    Arena a;

    if (mlockall(MCL_FUTURE)) {
        skip("mlockall: %s", error_name(errno));
        return;
    }
    arena_open(&a);
    if (a.base == MAP_FAILED) {
        skip("the limit on locked memory is too low for an arena");
    } else {
        say("%u of %u in place", fill_all(&a), SLOTS);
        say("%u of %u pages", stamps(a.base, ctx.work, WORK_PAGES),
            WORK_PAGES);
        say(empty(&a, 0, SLOTS, MAP_FIXED) == a.base ? "emptied" : "%s",
            error_name(errno));
        arena_close(&a);
    }
    munlockall();
}

/* ---- emptying ---- */

static void ask_empty_one(void)
{
    Arena a;

    arena_open(&a);
    fill_all(&a);
    say(empty(&a, 1, 1, MAP_FIXED) == slot(&a, 1) ? "in place" : "%s",
        error_name(errno));
    say("%s", touch(slot(&a, 1)));
    say("neighbours %s", slot_good(&a, 0) && slot_good(&a, 2) ? "ok" : "hurt");
    arena_close(&a);
}

static void ask_empty_all(void)
{
    Arena a;

    arena_open(&a);
    fill_all(&a);
    say(empty(&a, 0, SLOTS, MAP_FIXED) == a.base ? "in place" : "%s",
        error_name(errno));
    say("%u area", areas(a.base, SLOTS * SLOT_BYTES));
    say("%s", touch(slot(&a, 2)));
    arena_close(&a);
}

static void ask_empty_gaps(void)
{
    Arena a;

    arena_open(&a);
    fill_with(&a, 0, slot_gfn(0));
    fill_with(&a, 2, slot_gfn(2));
    say("%u areas", areas(a.base, SLOTS * SLOT_BYTES));
    say(empty(&a, 0, SLOTS, MAP_FIXED) == a.base ? "emptied" : "%s",
        error_name(errno));
    say("%u area", areas(a.base, SLOTS * SLOT_BYTES));
    arena_close(&a);
}

static void ask_empty_anonymous(void)
{
    int how = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    Arena a = { mmap(NULL, SLOTS * SLOT_BYTES, PROT_NONE, how, -1, 0), -1 };

    say("%u of %u in place", fill_all(&a), SLOTS);
    say(mmap(a.base, SLOTS * SLOT_BYTES, PROT_NONE, how | MAP_FIXED, -1, 0) ==
        a.base ? "emptied" : "%s", error_name(errno));
    say("%u area", areas(a.base, SLOTS * SLOT_BYTES));
    munmap(a.base, SLOTS * SLOT_BYTES);
}

static void ask_munmap(void)
{
    Arena a;

    arena_open(&a);
    fill_all(&a);
    say_rc("done", munmap(a.base, SLOTS * SLOT_BYTES));
    say("%u areas", areas(a.base, SLOTS * SLOT_BYTES));
    close(a.fd);
}

static void ask_whose(void)
{
    Arena a;

    arena_open(&a);
    say("empty %s", is_of_file(slot(&a, 1), a.fd) ? "ours" : "not ours");
    fill_all(&a);
    say("live %s", is_of_file(slot(&a, 1), a.fd) ? "ours" : "not ours");
    empty(&a, 1, 1, MAP_FIXED);
    say("emptied %s", is_of_file(slot(&a, 1), a.fd) ? "ours" : "not ours");
    arena_close(&a);
}

/* ---- failing ---- */

/* A call that must fail: a frame is absent, and there is no error array. */
static void *fail_in(const Arena *a, unsigned nr)
{
    xen_pfn_t gfns[SLOT_PAGES];
    unsigned i;

    for (i = 0; i < SLOT_PAGES; i++) {
        gfns[i] = slot_gfn(nr) + i;
    }
    gfns[SLOT_PAGES / 2] = ctx.absent;
    errno = 0;
    return xenforeignmemory_map2(ctx.fmem, ctx.domid, slot(a, nr), RW,
                                 MAP_FIXED, SLOT_PAGES, gfns, NULL);
}

static void ask_failed(void)
{
    Arena a;

    arena_open(&a);
    fill_all(&a);
    say("%s", fail_in(&a, 1) ? "mapped" : error_name(errno));
    say("%u areas left", areas(slot(&a, 1), SLOT_BYTES));
    say("%s", touch(slot(&a, 1)));
    say("neighbours %s", slot_good(&a, 0) && slot_good(&a, 2) ? "ok" : "hurt");
    arena_close(&a);
}

static void ask_failed_empty(void)
{
    Arena a;

    arena_open(&a);
    say("%s", fail_in(&a, 1) ? "mapped" : error_name(errno));
    say("%u areas left", areas(slot(&a, 1), SLOT_BYTES));
    arena_close(&a);
}

static void ask_reserve_again(void)
{
    Arena a;
    bool good;

    arena_open(&a);
    fill_all(&a);
    fail_in(&a, 1);
    good = empty(&a, 1, 1, MAP_FIXED_NOREPLACE) == slot(&a, 1);
    say(good ? "in place" : "%s", error_name(errno));
    say(fill_with(&a, 1, slot_gfn(1)) ? "filled" : "%s", error_name(errno));
    say("%u of %u pages", stamps(a.base, ctx.work, WORK_PAGES), WORK_PAGES);
    arena_close(&a);
}

static void ask_noreplace(void)
{
    Arena a;
    void *p;

    arena_open(&a);
    fill_all(&a);
    p = empty(&a, 1, 1, MAP_FIXED_NOREPLACE);
    say("%s", p == MAP_FAILED ? error_name(errno) : "mapped");
    say("slot %s", slot_good(&a, 1) ? "ok" : "hurt");
    arena_close(&a);
}

/* ---- parts ---- */

static void ask_part_mmap(void)
{
    Arena a;
    void *p;

    arena_open(&a);
    fill_all(&a);
    errno = 0;
    p = mmap(slot(&a, 1) + 10 * PAGE, PAGE, PROT_NONE, HOW | MAP_FIXED, a.fd,
             0);
    say("%s", p == MAP_FAILED ? error_name(errno) : "mapped");
    say("slot %s", slot_good(&a, 1) ? "ok" : "hurt");
    arena_close(&a);
}

static void ask_part_map2(void)
{
    Arena a;
    void *p;

    arena_open(&a);
    fill_all(&a);
    p = map_run(slot(&a, 1) + 10 * PAGE, RW, MAP_FIXED, slot_gfn(0), 1, err);
    say("%s", p ? "mapped" : error_name(errno));
    say("slot %s", slot_good(&a, 1) ? "ok" : "hurt");
    arena_close(&a);
}

static void ask_part_munmap(void)
{
    Arena a;

    arena_open(&a);
    fill_all(&a);
    say_rc("done", munmap(slot(&a, 1) + 10 * PAGE, PAGE));
    say("slot %s", slot_good(&a, 1) ? "ok" : "hurt");
    arena_close(&a);
}

const Question arena_questions[] = {
    { "arena/fill", ask_fill, "4 of 4 in place, 0 bad pages", NULL,
      "a slot is filled by map2 with MAP_FIXED over a mapping of a file" },
    { "arena/areas", ask_areas, "4", NULL,
      "neighbours never become one area: each can be unmapped by itself" },
    { "arena/bytes", ask_bytes, "1024 of 1024 pages", NULL,
      "a slot shows the frames that were asked for, in order" },
    { "arena/over-live", ask_over_live,
      "in place, 256 new pages, neighbours ok", NULL,
      "a mapping may be put over a whole other one" },
    { "arena/over-two", ask_over_two, "in place, 512 new pages, 3 areas", NULL,
      "a mapping may be put over several whole ones" },
    { "arena/mlockall", ask_mlock,
      "4 of 4 in place, 1024 of 1024 pages, emptied", NULL,
      "-overcommit mem-lock=on locks what is mapped later" },
    { "arena/empty-one", ask_empty_one,
      "in place, SIGSEGV 2, neighbours ok", NULL,
      "a slot is emptied by mapping the file over it" },
    { "arena/empty-all", ask_empty_all, "in place, 1 area, SIGSEGV 2", NULL,
      "an invalidate empties neighbours by one call" },
    { "arena/empty-gaps", ask_empty_gaps, "4 areas, emptied, 1 area", NULL,
      "the range of an invalidate has empty slots in it" },
    { "arena/empty-anonymous", ask_empty_anonymous,
      "4 of 4 in place, emptied, 1 area", NULL,
      "an arena of anonymous memory behaves as one of a file" },
    { "arena/munmap", ask_munmap, "done, 0 areas", NULL,
      "several whole mappings go by one munmap" },
    { "arena/whose", ask_whose, "empty ours, live not ours, emptied ours",
      NULL, "/proc/self/maps tells whether an address is still the arena's" },
    { "arena/failed", ask_failed,
      "EINVAL, 0 areas left, SIGSEGV 1, neighbours ok", NULL,
      "a map2 with MAP_FIXED that fails leaves a gap to be closed" },
    { "arena/failed-empty", ask_failed_empty, "EINVAL, 0 areas left", NULL,
      "the same over an empty slot" },
    { "arena/reserve-again", ask_reserve_again,
      "in place, filled, 1024 of 1024 pages", NULL,
      "the gap is closed by MAP_FIXED_NOREPLACE and used again" },
    { "arena/noreplace", ask_noreplace, "EEXIST, slot ok", NULL,
      "MAP_FIXED_NOREPLACE does not touch a slot that is live" },
    { "part/mmap", ask_part_mmap, "ENOMEM, slot ok", NULL,
      "a hole cannot be filled in place", .newer = "EINVAL, slot ok" },
    { "part/map2", ask_part_map2, "ENOMEM, slot ok", NULL,
      "a hole cannot be filled in place", .newer = "EINVAL, slot ok" },
    { "part/munmap", ask_part_munmap, "EINVAL, slot ok", NULL,
      "a mapping goes whole" },
    { NULL },
};
