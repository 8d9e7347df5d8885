/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a test is when it fails, and what it found: see xen-test-place.h. */
#include "qemu/osdep.h"
#include "xensim.h"
#include "xen-test-place.h"

enum { MAX_PLACES = 16, MAX_NOTES = 4 };

typedef struct Place {
    const char *file, *func;
    int line;
} Place;

static __thread Place places[MAX_PLACES];
static __thread unsigned nr_places;     /* may be more than there is room for */
static __thread char notes[MAX_NOTES][200];
static __thread unsigned nr_notes;

static const char *base_name(const char *file)
{
    const char *slash = strrchr(file, '/');

    return slash ? slash + 1 : file;
}

unsigned xen_test_place_enter(const char *file, int line, const char *func)
{
    if (nr_places < MAX_PLACES) {
        places[nr_places] = (Place) { file, func, line };
    }
    return nr_places++;
}

void xen_test_place_leave(unsigned *depth)
{
    nr_places = *depth;
}

void xen_test_note_clear(void)
{
    nr_notes = 0;
    xensim_stamp_forget();
}

void xen_test_place_clear(void)
{
    nr_places = 0;
    xen_test_note_clear();
}

void xen_test_note(const char *fmt, ...)
{
    va_list ap;

    if (nr_notes < MAX_NOTES) {
        va_start(ap, fmt);
        vsnprintf(notes[nr_notes++], sizeof(notes[0]), fmt, ap);
        va_end(ap);
    }
}

void xen_test_place_show(void)
{
    const char *stamp = xensim_stamp_why();
    const Place *last = NULL;

    for (unsigned i = 0; i < nr_notes; i++) {
        g_test_message("... %s", notes[i]);
    }
    if (stamp) {
        g_test_message("... %s", stamp);
    }
    for (unsigned i = MIN(nr_places, MAX_PLACES); i-- > 0;) {
        const Place *p = &places[i];

        /* XEN_TRY() of a helper that has a macro of its own notes it twice. */
        if (!last || last->line != p->line ||
            !g_str_equal(last->file, p->file)) {
            g_test_message("... called at %s:%d (%s)", base_name(p->file),
                           p->line, p->func);
        }
        last = p;
    }
}

bool xen_test_same(const void *got, const void *want, size_t len,
                   uint64_t addr)
{
    const uint8_t *g = got, *w = want;
    uint64_t found = 0, expected = 0;
    size_t i, n;

    if (!memcmp(got, want, len)) {
        return true;
    }
    for (i = 0; g[i] == w[i]; i++) {
        continue;
    }
    n = MIN(len - i, sizeof(found));
    memcpy(&found, g + i, n);
    memcpy(&expected, w + i, n);
    xen_test_note("address 0x%" PRIx64 ", %zu bytes: expected 0x%" PRIx64
                  ", found 0x%" PRIx64, addr + i, n, expected, found);
    return false;
}

const char *xen_test_text(const char *file, int line, const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_test_message("%s:%d: %s", base_name(file), line, text);
    xen_test_place_show();
    return text;
}
