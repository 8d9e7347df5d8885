/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conformance: frames that a guest gives back and takes again while they are
 * mapped.  Done here through libxenctrl, on behalf of the guest.
 */
#include "conformance.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define PAGES WORK_PAGES   /* more than a toolstack leaves a guest of slack */

static int err[WORK_PAGES];

static int change(bool out, xen_pfn_t gfn, unsigned n)
{
    xen_pfn_t gfns[WORK_PAGES];
    unsigned i;

    for (i = 0; i < n; i++) {
        gfns[i] = gfn + i;
    }
    errno = 0;
    return out ? xc_domain_decrease_reservation_exact(ctx.xc, ctx.domid, n, 0,
                                                      gfns)
               : xc_domain_populate_physmap_exact(ctx.xc, ctx.domid, n, 0, 0,
                                                  gfns);
}

static int balloon_out(xen_pfn_t gfn, unsigned n)
{
    return change(true, gfn, n);
}

static int balloon_in(xen_pfn_t gfn, unsigned n)
{
    return change(false, gfn, n);
}

/* Frames for all that are absent of the work area, one at a time. */
static unsigned put_back(void)
{
    unsigned n = 0, i;
    char *p = map_run(NULL, RW, 0, ctx.work, WORK_PAGES, err);

    unmap(p, WORK_PAGES);
    for (i = 0; i < WORK_PAGES; i++) {
        if (err[i]) {
            n += balloon_in(ctx.work + i, 1) == 0;
        }
    }
    return n;
}

static void ask_out(void)
{
    char *p;

    say_rc("done", balloon_out(ctx.work + 5, 1));
    p = map_run(NULL, RW, 0, ctx.work, SLOT_PAGES, err);
    say("%s %s %s", error_name(err[4]), error_name(err[5]),
        error_name(err[6]));
    say("%u of %u pages", stamps(p, ctx.work, SLOT_PAGES), SLOT_PAGES - 1);
    unmap(p, SLOT_PAGES);
    put_back();
}

static void ask_out_absent(void)
{
    balloon_out(ctx.work + 5, 1);
    say_rc("done", balloon_out(ctx.work + 5, 1));
    say_rc("done", balloon_out(ctx.work + 4, 3));
    say("%d%d%d", is_present(ctx.work + 4), is_present(ctx.work + 5),
        is_present(ctx.work + 6));
    put_back();
}

static void ask_old_mapping(void)
{
    GuestWord *old = map_good(ctx.work, 1), *new;

    say_rc("out", balloon_out(ctx.work, 1));
    say("old %s", stamps((void *)old, ctx.work, 1) ? "readable" : "lost");
    say_rc("in", balloon_in(ctx.work, 1));
    new = map_good(ctx.work, 1);
    if (!new) {
        say("%s", error_name(errno));
        return;
    }
    old[1] = 1;
    new[1] = 2;
    say("%s frame", old[1] == 1 ? "another" : "the same");
    say("old %s", stamps((void *)old, ctx.work, 1) ? "unchanged" : "changed");
    unmap((void *)old, 1);
    unmap((void *)new, 1);
}

static void ask_hole_filled(void)
{
    char *p;

    balloon_out(ctx.work + 5, 1);
    p = map_run(NULL, RW, 0, ctx.work, 16, err);
    balloon_in(ctx.work + 5, 1);
    say("%s", touch(p + 5 * PAGE));
    say("%s", is_present(ctx.work + 5) ? "there now" : "absent");
    unmap(p, 16);
}

static void ask_held(void)
{
    char *p = map_good(ctx.work, PAGES);

    say_rc("out", balloon_out(ctx.work, PAGES));
    say_rc("in", balloon_in(ctx.work, PAGES));
    unmap(p, PAGES);
    say("after unmap %s", put_back() && is_present(ctx.work + PAGES - 1) ?
        "in" : "refused");
}

static void ask_not_held(void)
{
    say_rc("out", balloon_out(ctx.work, PAGES));
    say_rc("in", balloon_in(ctx.work, PAGES));
    put_back();
}

static void ask_held_by_slot(void)
{
    size_t bytes = (size_t)PAGES * PAGE;
    int how = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    char *p = map_good(ctx.work, PAGES);

    say_rc("out", balloon_out(ctx.work, PAGES));
    if (mmap(p, bytes, PROT_NONE, how, -1, 0) != p) {
        say("%s", error_name(errno));
    }
    say_rc("in", balloon_in(ctx.work, PAGES));
    munmap(p, bytes);
    put_back();
}

const Question memory_questions[] = {
    { "memory/out", ask_out, "done, 0 -EINVAL 0, 255 of 255 pages", NULL,
      "a ballooned-out page is a hole from then on, its neighbours are not" },
    { "memory/out-absent", ask_out_absent, "EINVAL, EINVAL, 001", NULL,
      "what is absent ends the call, after those before it" },
    { "memory/old-mapping", ask_old_mapping,
      "out, old readable, in, another frame, old unchanged", NULL,
      "a mapping made before is stale, and good for who holds it" },
    { "memory/hole-filled", ask_hole_filled, "SIGBUS 2, there now", NULL,
      "a page that comes back does not appear in an old mapping" },
    { "memory/held", ask_held, "out, EBUSY, after unmap in", NULL,
      "frames that are still mapped count against the guest's limit" },
    { "memory/not-held", ask_not_held, "out, in", NULL,
      "frames that nobody maps do not" },
    { "memory/held-by-slot", ask_held_by_slot, "out, in", NULL,
      "mapping over a slot releases its frames at once" },
    { NULL },
};
