/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where frames are, before and after: see xen-test-frames.h. */
#include "qemu/osdep.h"
#define XEN_TEST_HELPERS
#include "xen-test-common.h"
#include "xen-test-int.h"

enum { LINES_MOST = 24 };

#define NOWHERE UINT64_MAX

typedef struct Frame {
    uint64_t gfn, mfn;
} Frame;

struct XenTestFrames {
    uint32_t domid;
    uint64_t from, to;
    GArray *frames;         /* Frame, by gfn */
};

/* A run of gfns with one fate: from @first on, to @to on, or NOWHERE. */
typedef struct Run {
    uint64_t first, to, pages;
} Run;

typedef struct Diff {
    GString *text;
    unsigned lines;
    Run run;
} Diff;

static void add_run(void *opaque, uint64_t gfn, uint64_t mfn, uint64_t pages)
{
    XenTestFrames *f = opaque;

    for (uint64_t i = 0; i < pages; i++) {
        Frame frame = { gfn + i, mfn + i };

        if (frame.gfn >= f->from && frame.gfn < f->to) {
            g_array_append_val(f->frames, frame);
        }
    }
}

XenTestFrames *xen_test_frames_get(XensimDomain *dom, uint64_t from,
                                   uint64_t to)
{
    XenTestFrames *f = g_new0(XenTestFrames, 1);

    f->domid = xensim_domid(dom);
    f->from = from;
    f->to = to;
    f->frames = g_array_new(FALSE, FALSE, sizeof(Frame));
    xensim_p2m_foreach(dom, add_run, f);
    return f;
}

void xen_test_frames_free(XenTestFrames *f)
{
    if (f) {
        g_array_free(f->frames, TRUE);
        g_free(f);
    }
}

/* {what a frame is known by: its gfn} */
static GHashTable *by_name(const XenTestFrames *f, bool by_gfn)
{
    GHashTable *table = g_hash_table_new(g_direct_hash, g_direct_equal);

    for (unsigned i = 0; i < f->frames->len; i++) {
        const Frame *frame = &g_array_index(f->frames, Frame, i);

        g_hash_table_insert(table, GSIZE_TO_POINTER(by_gfn ? frame->gfn
                                                           : frame->mfn),
                            GSIZE_TO_POINTER(frame->gfn));
    }
    return table;
}

static uint64_t look_up(GHashTable *table, uint64_t name)
{
    gpointer gfn;

    return g_hash_table_lookup_extended(table, GSIZE_TO_POINTER(name), NULL,
                                        &gfn) ? GPOINTER_TO_SIZE(gfn)
                                              : NOWHERE;
}

static void end_run(Diff *d)
{
    const Run *r = &d->run;

    if (!r->pages) {
        return;
    }
    if (++d->lines > LINES_MOST) {
        if (d->lines == LINES_MOST + 1) {
            g_string_append(d->text, "and more\n");
        }
    } else if (r->first == NOWHERE) {
        g_string_append_printf(d->text, "0x%05" PRIx64 "-0x%05" PRIx64
                               " new\n", r->to, r->to + r->pages - 1);
    } else {
        g_string_append_printf(d->text, "0x%05" PRIx64 "-0x%05" PRIx64,
                               r->first, r->first + r->pages - 1);
        if (r->to == NOWHERE) {
            g_string_append(d->text, " gone\n");
        } else if (r->to == r->first) {
            g_string_append(d->text, " stay\n");
        } else {
            g_string_append_printf(d->text, " -> 0x%05" PRIx64 "-0x%05" PRIx64
                                   "\n", r->to, r->to + r->pages - 1);
        }
    }
    d->run.pages = 0;
}

static bool goes_on(uint64_t at, uint64_t next, uint64_t pages)
{
    return at == NOWHERE ? next == NOWHERE : next == at + pages;
}

/* The page that was at the gfn @first is at the gfn @to. */
static void add_page(Diff *d, uint64_t first, uint64_t to)
{
    Run *r = &d->run;

    if (!r->pages || !goes_on(r->first, first, r->pages) ||
        !goes_on(r->to, to, r->pages)) {
        end_run(d);
        *r = (Run) { .first = first, .to = to };
    }
    r->pages++;
}

char *xen_test_frames_diff(const XenTestFrames *before,
                           const XenTestFrames *after)
{
    bool by_gfn = before->domid != after->domid;
    g_autoptr(GHashTable) had = by_name(before, by_gfn);
    g_autoptr(GHashTable) has = by_name(after, by_gfn);
    Diff d = { .text = g_string_new(NULL) };

    for (unsigned i = 0; i < after->frames->len; i++) {
        const Frame *f = &g_array_index(after->frames, Frame, i);

        add_page(&d, look_up(had, by_gfn ? f->gfn : f->mfn), f->gfn);
    }
    end_run(&d);
    for (unsigned i = 0; i < before->frames->len; i++) {
        const Frame *f = &g_array_index(before->frames, Frame, i);

        if (look_up(has, by_gfn ? f->gfn : f->mfn) == NOWHERE) {
            add_page(&d, f->gfn, NOWHERE);
        }
    }
    end_run(&d);
    return g_string_free(d.text, FALSE);
}

/* ---- device memory of a case ---- */

/* Above RAM, below the special pages: device memory. */
static XenTestFrames *device_frames(XenTest *t)
{
    return xen_test_frames_get(t->dom, xensim_ram_bytes(t->dom) /
                               XEN_TEST_PAGE, 0xfeff8);
}

void xen_test_note_frames(XenTest *t, const char *when)
{
    xen_test_frames_free(t->frames);
    t->frames = device_frames(t);
    t->frames_when = when;
}

void xen_test_note_frames_again(XenTest *t, const char *when)
{
    if (t->frames) {
        xen_test_note_frames(t, when);
    }
}

void xen_test_show_frames(XenTest *t)
{
    XenTestFrames *now = device_frames(t);
    g_autofree char *text = xen_test_frames_diff(t->frames, now);
    g_auto(GStrv) lines = g_strsplit(g_strchomp(text), "\n", -1);

    g_test_message("gfns of device memory since before %s:", t->frames_when);
    for (char **line = lines; *line; line++) {
        g_test_message("    %s", *line);
    }
    xen_test_frames_free(now);
}
