/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conformance: foreign mappings at any address; absent frames, and domains that
 * do not exist.
 */
#include "conformance.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 16u
#define HOLE  7u

static int err[SLOT_PAGES];

/* @n frames, with an absent one at HOLE; an array of errors as asked. */
static char *map_hole(int *errors)
{
    xen_pfn_t gfns[PAGES];
    unsigned i;

    for (i = 0; i < PAGES; i++) {
        gfns[i] = ctx.work + i;
    }
    gfns[HOLE] = ctx.absent;
    memset(err, 0x55, sizeof(err));
    errno = 0;
    return xenforeignmemory_map2(ctx.fmem, ctx.domid, NULL, RW, 0, PAGES,
                                 gfns, errors);
}

/* ---- what is there ---- */

static void ask_anywhere(void)
{
    char *p = map_run(NULL, RW, 0, ctx.work, PAGES, err);

    say("%s", p ? "mapped" : error_name(errno));
    say("%u of %u pages", stamps(p, ctx.work, PAGES), PAGES);
    say("%u area", areas(p, PAGES * PAGE));
    unmap(p, PAGES);
}

static void ask_plain_map(void)
{
    xen_pfn_t gfns[2] = { ctx.work + 3, ctx.work + 2 };
    char *p = xenforeignmemory_map(ctx.fmem, ctx.domid, RW, 2, gfns, err);

    say("%s", p ? "mapped" : error_name(errno));
    say("%u %u", stamps(p, ctx.work + 3, 1), stamps(p + PAGE, ctx.work + 2, 1));
    unmap(p, 2);
}

static void ask_no_errors(void)
{
    char *p = map_run(NULL, RW, 0, ctx.work, PAGES, NULL);

    say("%s", p ? "mapped" : error_name(errno));
    say("%u of %u pages", stamps(p, ctx.work, PAGES), PAGES);
    unmap(p, PAGES);
}

static void ask_unmap(void)
{
    char *p = map_run(NULL, RW, 0, ctx.work, PAGES, err);

    say_rc("done", xenforeignmemory_unmap(ctx.fmem, p, PAGES));
    say("%s", touch(p));
}

static void ask_twice(void)
{
    GuestWord *a = map_good(ctx.work, 1), *b = map_good(ctx.work, 1);

    a[1] = 0x1234567890abcdef;
    say("%s", b[1] == 0x1234567890abcdef ? "seen" : "not seen");
    b[1] = 0;
    say("%s", a[1] == 0 ? "seen" : "not seen");
    unmap((void *)a, 1);
    say("%s", touch(b));
    unmap((void *)b, 1);
}

static void ask_same_frame(void)
{
    xen_pfn_t gfns[3] = { ctx.work, ctx.work, ctx.work };
    GuestWord *p = xenforeignmemory_map2(ctx.fmem, ctx.domid, NULL, RW,
                                                 0, 3, gfns, err);

    if (!p) {
        say("%s", error_name(errno));
        return;
    }
    p[1] = 77;
    say("%s", p[PAGE / 8 + 1] == 77 && p[2 * PAGE / 8 + 1] == 77 ? "seen"
                                                               : "not seen");
    unmap((void *)p, 3);
}

static void ask_read_only(void)
{
    char *p = map_run(NULL, PROT_READ, 0, ctx.work, 1, err);

    say("%u page", stamps(p, ctx.work, 1));
    say("%s", poke(p));
    unmap(p, 1);
}

/* A file with one page of 0x5a. */
static int file_new(void)
{
    int fd = memfd_create("conformance", MFD_CLOEXEC);
    char page[PAGE];

    memset(page, 0x5a, sizeof(page));
    return write(fd, page, PAGE) == PAGE ? fd : -1;
}

static void say_count(ssize_t n)
{
    if (n == -1) {
        say("%s", error_name(errno));
    } else {
        say("%zd", n);
    }
}

static void ask_file(void)
{
    char *p = map_good(ctx.work, 2);
    int fd = file_new();
    char back = 0;

    say_count(pread(fd, p + PAGE / 2, PAGE, 0));
    say("%s", p[PAGE / 2] == 0x5a && p[PAGE + PAGE / 2 - 1] == 0x5a ? "read"
                                                                  : "other");
    p[PAGE] = 0x11;
    say_count(pwrite(fd, p + PAGE, PAGE, 0));
    say_count(pread(fd, &back, 1, 0));
    say("%s", back == 0x11 ? "written" : "other");
    close(fd);
    unmap(p, 2);
}

/* ---- over memory of QEMU's own ---- */

/* Memory of a file, full of 0x5a, as a device has it during a restore. */
static char *dummy_new(int *fd)
{
    char *p;

    *fd = memfd_create("conformance", MFD_CLOEXEC);
    if (ftruncate(*fd, PAGES * PAGE)) {
        return MAP_FAILED;
    }
    p = mmap(NULL, PAGES * PAGE, RW, MAP_SHARED, *fd, 0);
    memset(p, 0x5a, PAGES * PAGE);
    return p;
}

static void ask_replace(void)
{
    int fd;
    char *p = dummy_new(&fd);
    bool good = map_run(p, RW, MAP_FIXED, ctx.work, PAGES, err) == p;

    say(good ? "in place" : "%s", error_name(errno));
    say("%u of %u pages", stamps(p, ctx.work, PAGES), PAGES);
    say("%u area", areas(p, PAGES * PAGE));
    munmap(p, PAGES * PAGE);
    close(fd);
}

static void ask_replace_failed(void)
{
    int fd;
    char *p = dummy_new(&fd);

    say("%s", map_run(p, RW, MAP_FIXED, ctx.absent, PAGES, NULL) ? "mapped"
              : error_name(errno));
    say("%u areas left", areas(p, PAGES * PAGE));
    say(mmap(p, PAGES * PAGE, RW, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0) ==
        p ? "in place" : "%s", error_name(errno));
    say("%s", p[0] == 0x5a && p[PAGES * PAGE - 1] == 0x5a ? "its bytes"
                                                         : "others");
    munmap(p, PAGES * PAGE);
    close(fd);
}

/* Frames in the middle of anonymous memory. */
static void ask_in_parts(void)
{
    char *p = mmap(NULL, PAGES * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bool good;

    p[4 * PAGE - 1] = 1;
    p[12 * PAGE] = 2;
    good = map_run(p + 4 * PAGE, RW, MAP_FIXED, ctx.work + 4, 8, err) ==
           p + 4 * PAGE;
    say(good ? "in place" : "%s", error_name(errno));
    say("%u of 8 pages", stamps(p + 4 * PAGE, ctx.work + 4, 8));
    say("%s", p[4 * PAGE - 1] == 1 && p[12 * PAGE] == 2 ? "beside it as before"
                                                       : "beside it other");
    say_rc("unmapped", munmap(p, PAGES * PAGE));
    say("%u areas", areas(p, PAGES * PAGE));
}

/* ---- what is not ---- */

static void ask_hole_error(void)
{
    char *p = map_hole(err);
    unsigned bad = 0, i;

    say("%s", p ? "mapped" : "not mapped");
    say("errno %s", error_name(errno));
    for (i = 0; i < PAGES; i++) {
        bad += err[i] != 0;
    }
    say("%u page", bad);
    say("%s", error_name(err[HOLE]));
    unmap(p, PAGES);
}

static void ask_hole_touch(void)
{
    char *p = map_hole(err);

    say("%s", touch(p + HOLE * PAGE));
    say("%s", poke(p + HOLE * PAGE));
    say("%s", touch(p + HOLE * PAGE));
    unmap(p, PAGES);
}

static void ask_hole_neighbours(void)
{
    char *p = map_hole(err);

    touch(p + HOLE * PAGE);
    say("%u of %u pages", stamps(p, ctx.work, HOLE) +
        stamps(p + (HOLE + 1) * PAGE, ctx.work + HOLE + 1, PAGES - HOLE - 1),
        PAGES - 1);
    unmap(p, PAGES);
}

static void ask_hole_file(void)
{
    char *p = map_hole(err);
    int fd = file_new();

    say_count(pread(fd, p + HOLE * PAGE, PAGE, 0));
    say_count(pwrite(fd, p + HOLE * PAGE, PAGE, 0));
    close(fd);
    unmap(p, PAGES);
}

static void ask_hole_unmap(void)
{
    char *p = map_hole(err);

    say_rc("done", munmap(p, PAGES * PAGE));
    say("%u areas", areas(p, PAGES * PAGE));
}

static void ask_hole_no_errors(void)
{
    char *p = map_hole(NULL);

    say("%s", p ? "mapped" : error_name(errno));
    unmap(p, PAGES);
}

static void ask_all_absent(void)
{
    char *p = map_run(NULL, RW, 0, ctx.absent, 4, err);

    say("%s", p ? "mapped" : "not mapped");
    say("errno %s", error_name(errno));
    say("%s %s", error_name(err[0]), error_name(err[3]));
    say("%s", touch(p));
    unmap(p, 4);
}

static void ask_first_mib(void)
{
    char *p = map_run(NULL, RW, 0, 0, SLOT_PAGES, err);
    unsigned i, first = 0, last = 0, n = 0;

    for (i = 0; p && i < SLOT_PAGES; i++) {
        if (err[i]) {
            first = n++ ? first : i;
            last = i;
        }
    }
    say("%u absent", n);
    say("0x%x to 0x%x", first, last);
    unmap(p, SLOT_PAGES);
}

static void nodom_map(int *errors)
{
    xen_pfn_t gfn = ctx.work;
    char *p;

    errno = 0;
    p = xenforeignmemory_map2(ctx.fmem, ctx.nodom, NULL, RW, 0, 1, &gfn,
                              errors);
    say("%s", p ? "mapped" : error_name(errno));
    if (p) {
        say("%s", error_name(err[0]));
        say("%s", touch(p));
    }
    unmap(p, 1);
}

static void ask_nodom(void)
{
    nodom_map(err);
}

static void ask_nodom_no_errors(void)
{
    nodom_map(NULL);
}

const Question map_questions[] = {
    { "map/anywhere", ask_anywhere, "mapped, 16 of 16 pages, 1 area", NULL,
      "device memory and single pages lie where the kernel puts them" },
    { "map/plain", ask_plain_map, "mapped, 1 1", NULL,
      "a build for an old libxen has no map2" },
    { "map/no-errors", ask_no_errors, "mapped, 16 of 16 pages", NULL,
      "without an error array all frames must be there, and are" },
    { "map/unmap", ask_unmap, "done, SIGSEGV 1", NULL,
      "an unmapped address is free" },
    { "map/twice", ask_twice, "seen, seen, ok", NULL,
      "mappings of a frame share its bytes; ending one leaves the other" },
    { "map/same-frame", ask_same_frame, "seen", NULL,
      "a frame may appear more than once in a mapping" },
    { "map/read-only", ask_read_only, "1 page, SIGSEGV 2", NULL,
      "protection is as asked for" },
    { "map/file", ask_file, "4096, read, 4096, 1, written", NULL,
      "block devices read into guest memory and write from it" },
    { "dummy/replace", ask_replace, "in place, 16 of 16 pages, 1 area", NULL,
      "a restore puts the guest's frames where a device has its memory" },
    { "dummy/failed", ask_replace_failed,
      "EINVAL, 0 areas left, in place, its bytes", NULL,
      "if that fails the device's memory is put back, its bytes intact" },
    { "dummy/in-parts", ask_in_parts,
      "in place, 8 of 8 pages, beside it as before, unmapped, 0 areas", NULL,
      "device memory of which pages are missing has anonymous ones there" },
    { "hole/error", ask_hole_error, "mapped, errno 0, 1 page, -EINVAL", NULL,
      "a bucket is mapped in spite of its holes, which err[] names" },
    { "hole/touch", ask_hole_touch, "SIGBUS 2, SIGBUS 2, SIGBUS 2", NULL,
      "no pointer to a hole may be handed out" },
    { "hole/neighbours", ask_hole_neighbours, "15 of 15 pages", NULL,
      "the pages beside a hole are good" },
    { "hole/file", ask_hole_file, "EFAULT, EFAULT", NULL,
      "a system call does not end QEMU by a hole" },
    { "hole/unmap", ask_hole_unmap, "done, 0 areas", NULL,
      "a mapping with holes goes as any other" },
    { "hole/no-errors", ask_hole_no_errors, "EINVAL", NULL,
      "without an error array a hole fails the call" },
    { "hole/all", ask_all_absent,
      "mapped, errno 0, -EINVAL -EINVAL, SIGBUS 2", NULL,
      "an access to one page that is a hole is answered by err[]" },
    { "hole/first-mib", ask_first_mib, "32 absent, 0xa0 to 0xbf", NULL,
      "the first bucket of every guest has holes" },
    { "nodomain/map", ask_nodom, "mapped, -ESRCH, SIGBUS 2", NULL,
      "a guest may go while its device model runs" },
    { "nodomain/map-no-errors", ask_nodom_no_errors, "ESRCH", NULL,
      "the same" },
    { NULL },
};
