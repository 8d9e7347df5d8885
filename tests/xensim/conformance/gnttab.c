/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conformance: grants.  The toolstack has granted this domain the guest's
 * page of xenstore, by a reference that is reserved for it.
 */
#include "conformance.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <xen/grant_table.h>
#include <xen/hvm/params.h>

#define GOOD_REF GNTTAB_RESERVED_XENSTORE
#define BAD_REF  300            /* in the table, not granted */
#define FAR_REF  (1u << 24)     /* beyond the table */

static xen_pfn_t store_gfn(void)
{
    uint64_t gfn = 0;

    xc_hvm_param_get(ctx.xc, ctx.domid, HVM_PARAM_STORE_PFN, &gfn);
    return gfn;
}

static void *map_refs(uint32_t domid, uint32_t first, uint32_t second,
                      unsigned n, int prot)
{
    uint32_t refs[2] = { first, second };

    errno = 0;
    return xengnttab_map_domain_grant_refs(ctx.gnttab, n, domid, refs, prot);
}

static void say_refused(uint32_t domid, uint32_t first, uint32_t second,
                        unsigned n)
{
    void *p = map_refs(domid, first, second, n, RW);

    say("%s", p ? "mapped" : error_name(errno));
    if (p) {
        xengnttab_unmap(ctx.gnttab, p, n);
    }
}

static void ask_map(void)
{
    char *p = map_refs(ctx.domid, GOOD_REF, 0, 1, RW);
    char *q = map_good(store_gfn(), 1);

    if (!p || !q) {
        say("%s %s", p ? "mapped" : error_name(errno), q ? "there" : "absent");
        return;
    }
    /* The last bytes of the page are not part of the ring. */
    p[PAGE - 1] = 0x5a;
    say("%s", q[PAGE - 1] == 0x5a ? "the same frame" : "another");
    p[PAGE - 1] = 0;
    say("%s", memcmp(p, q, PAGE) ? "other bytes" : "the same bytes");
    say_rc("unmapped", xengnttab_unmap(ctx.gnttab, p, 1));
    say("%s", touch(p));
    unmap(q, 1);
}

static void ask_read_only(void)
{
    char *p = map_refs(ctx.domid, GOOD_REF, 0, 1, PROT_READ);

    say("%s", p ? "mapped" : error_name(errno));
    say("%s", touch(p));
    say("%s", poke(p));
    xengnttab_unmap(ctx.gnttab, p, 1);
}

static void ask_pair(void)
{
    char *p = map_refs(ctx.domid, GOOD_REF, GOOD_REF, 2, RW);
    unsigned n;

    if (!p) {
        say("%s", error_name(errno));
        return;
    }
    n = areas(p, 2 * PAGE);
    say("%u area%s", n, n == 1 ? "" : "s");
    say("%s", memcmp(p, p + PAGE, PAGE) ? "other bytes" : "the same bytes");
    say_rc("one unmapped", xengnttab_unmap(ctx.gnttab, p, 1));
    say_rc("a part", munmap(p, PAGE));
    say_rc("both unmapped", xengnttab_unmap(ctx.gnttab, p, 2));
}

static void ask_munmap(void)
{
    char *p = map_refs(ctx.domid, GOOD_REF, 0, 1, RW);

    say_rc("done", munmap(p, PAGE));
    say_rc("then", xengnttab_unmap(ctx.gnttab, p, 1));
}

static void ask_bad(void)
{
    say_refused(ctx.domid, BAD_REF, 0, 1);
    say_refused(ctx.domid, FAR_REF, 0, 1);
    say_refused(ctx.nodom, GOOD_REF, 0, 1);
}

static void ask_one_bad(void)
{
    say_refused(ctx.domid, GOOD_REF, BAD_REF, 2);
    say_refused(ctx.domid, BAD_REF, GOOD_REF, 2);
}

static void ask_unmap_nothing(void)
{
    char *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    say_rc("unmapped", xengnttab_unmap(ctx.gnttab, p, 1));
    say("%s", touch(p));
    munmap(p, PAGE);
}

static void ask_max(void)
{
    say_rc("set", xengnttab_set_max_grants(ctx.gnttab, 64));
}

static void copy(uint32_t ref, char *to)
{
    xengnttab_grant_copy_segment_t seg = {
        .source.foreign = { .ref = ref, .offset = 0, .domid = ctx.domid },
        .dest.virt = to,
        .len = PAGE,
        .flags = GNTCOPY_source_gref,
    };

    say_rc("done", xengnttab_grant_copy(ctx.gnttab, 1, &seg));
    say("%d", seg.status);
}

static void ask_copy(void)
{
    static char page[PAGE] __attribute__((aligned(PAGE)));
    char *p = map_good(store_gfn(), 1);

    memset(page, 0x55, sizeof(page));
    copy(GOOD_REF, page);
    say("%s", p && !memcmp(p, page, PAGE) ? "its bytes" : "others");
    unmap(p, 1);
    copy(BAD_REF, page);
    copy(FAR_REF, page);
}

const Question gnttab_questions[] = {
    { "grant/map", ask_map,
      "the same frame, the same bytes, unmapped, SIGSEGV 1", NULL,
      "a grant shows the guest's frame until it is unmapped" },
    { "grant/read-only", ask_read_only, "mapped, ok, SIGSEGV 2", NULL,
      "protection is as asked for" },
    { "grant/pair", ask_pair,
      "1 area, the same bytes, EINVAL, a part, both unmapped",
      "2 areas, the same bytes, EINVAL, EINVAL, both unmapped",
      "grants that are mapped together are unmapped together",
      "the simulated Xen has an area for each run of neighbouring frames, and "
      "unmaps no part of grants, which no device model asks for" },
    { "grant/munmap", ask_munmap, "done, EINVAL", NULL,
      "munmap() ends a grant's mapping too" },
    { "grant/bad", ask_bad, "EINVAL, EINVAL, EINVAL", NULL,
      "a reference that a guest made up is refused" },
    { "grant/one-bad", ask_one_bad, "EINVAL, EINVAL", NULL,
      "one bad reference spoils them all" },
    { "grant/unmap-nothing", ask_unmap_nothing, "EINVAL, ok", NULL,
      "what is not a grant is left alone" },
    { "grant/max", ask_max, "set", NULL, "asked for at the start" },
    { "grant/copy", ask_copy, "done, 0, its bytes, done, -1, done, -3",
      NULL,
      "each segment of a copy has a status of its own" },
    { NULL },
};
