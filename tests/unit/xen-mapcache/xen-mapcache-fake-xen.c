/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fake Xen: see xen-mapcache-fake-xen.h.
 */
#include "qemu/osdep.h"
#include <sys/mman.h>
#include "hw/xen/xen_native.h"
#include "xen-mapcache-harness.h"
#include "xen-mapcache-fake-xen.h"
#include "xen-mapcache-wrap.h"

#define PAGE        XENSIM_PAGE_SIZE
#define SPACE_PAGES 32768u          /* where mappings lie */
/* Guest frames: RAM, and device memory above 4 GiB. */
#define LOW_GFNS    8192u
#define HIGH_GFN    (1u << 20)
#define HIGH_GFNS   65536u
#define FRAMES      20000u

typedef enum FakeKind {
    FAKE_FREE,      /* nothing is mapped */
    FAKE_EMPTY,     /* PROT_NONE */
    FAKE_ANON,
    FAKE_FOREIGN,
} FakeKind;

typedef struct FakePage {
    uint32_t frame;     /* foreign: 0 if it is absent */
    uint32_t start;     /* foreign: the first page of the mapping */
    uint32_t pages;     /* … and how many; right in the first page only */
    uint16_t grant;     /* the reference that it was mapped by, or 0 */
    uint8_t kind;
    int fd;             /* anonymous: the file behind it, and where there */
    off_t offset;
} FakePage;

typedef struct FakeFrame {
    uint64_t content;
    uint32_t refs;      /* mappings of it */
    uint32_t next;      /* in the free list */
    bool in_p2m;
} FakeFrame;

FakeCounts fake_counts;
unsigned fake_grant_maps[FAKE_GRANTS + 1];

static uint8_t *space;
static FakePage page[SPACE_PAGES];
static uint32_t p2m_low[LOW_GFNS], p2m_high[HIGH_GFNS];
static FakeFrame frame[FRAMES + 1];
static uint32_t free_frame, frames_made;
static uint64_t mapped_pages;

WRAPPED(mmap64);
WRAPPED(munmap);

/* --- frames ------------------------------------------------------ */

static uint32_t *p2m(uint64_t gfn)
{
    if (gfn < LOW_GFNS) {
        return &p2m_low[gfn];
    }
    if (gfn - HIGH_GFN < HIGH_GFNS) {
        return &p2m_high[gfn - HIGH_GFN];
    }
    return NULL;
}

static uint32_t frame_new(void)
{
    uint32_t f = free_frame;

    if (f) {
        free_frame = frame[f].next;
    } else {
        g_assert_cmpuint(frames_made, <, FRAMES);
        f = ++frames_made;
    }
    frame[f] = (FakeFrame) { .in_p2m = true };
    return f;
}

static void frame_maybe_free(uint32_t f)
{
    if (!frame[f].refs && !frame[f].in_p2m) {
        frame[f].next = free_frame;
        free_frame = f;
    }
}

uint64_t xensim_populate(XensimDomain *dom, uint64_t gfn, uint64_t n)
{
    uint64_t i;

    for (i = 0; i < n; i++) {
        uint32_t *cell = p2m(gfn + i);

        g_assert_true(cell && !*cell);
        *cell = frame_new();
    }
    return n;
}

uint64_t xensim_depopulate(XensimDomain *dom, uint64_t gfn, uint64_t n)
{
    uint64_t i, were = 0;

    for (i = 0; i < n; i++) {
        uint32_t *cell = p2m(gfn + i), f = *cell;

        if (f) {
            *cell = 0;
            frame[f].in_p2m = false;
            frame_maybe_free(f);
            were++;
        }
    }
    return were;
}

int xensim_move(XensimDomain *dom, uint64_t src, uint64_t dst, uint64_t n)
{
    uint64_t i;

    for (i = 0; i < n; i++) {
        uint32_t *from = p2m(src + i), *to = p2m(dst + i);

        g_assert_true(*from && !*to);
        *to = *from;
        *from = 0;
    }
    return 0;
}

int xensim_write(XensimDomain *dom, uint64_t gpa, const void *buf, size_t len)
{
    uint32_t *cell = p2m(gpa / PAGE);
    FakeFrame *f = &frame[*cell];

    g_assert_true(cell && *cell);
    g_assert_cmpuint(gpa % PAGE, ==, 0);
    g_assert_cmpuint(len, ==, sizeof(f->content));
    g_assert_cmpuint(f->refs, ==, 0); /* or mappings would have to show it */
    memcpy(&f->content, buf, len);
    return 0;
}

/* --- addresses --------------------------------------------------- */

static void page_shows(uint32_t i, uint64_t value)
{
    memcpy(space + (size_t)i * PAGE, &value, sizeof(value));
}

static bool in_space(const void *addr)
{
    return space && (uintptr_t)addr - (uintptr_t)space <
                    (size_t)SPACE_PAGES * PAGE;
}

static uint32_t page_of(const void *addr)
{
    return ((uintptr_t)addr - (uintptr_t)space) / PAGE;
}

/* What an anonymous page says is its file's, and comes back from there. */
static void file_keep(uint32_t i)
{
    uint64_t *p = (uint64_t *)(space + (size_t)i * PAGE);

    if (*p && page[i].fd >= 0) {
        g_assert_cmpint(pwrite(page[i].fd, p, sizeof(*p), page[i].offset), ==,
                        sizeof(*p));
    }
}

static void file_show(uint32_t first, uint32_t n, int fd, off_t offset)
{
    struct stat st;
    uint32_t i;

    if (fd >= 0) {
        g_assert_cmpint(fstat(fd, &st), ==, 0);
    }
    for (i = 0; i < n; i++) {
        FakePage *p = &page[first + i];

        p->fd = fd;
        p->offset = offset + (off_t)i * PAGE;
        if (fd >= 0 && st.st_blocks) {
            g_assert_cmpint(pread(fd, space + (size_t)(first + i) * PAGE,
                                  sizeof(uint64_t), p->offset), ==,
                            sizeof(uint64_t));
        }
    }
}

/* Ends what is mapped there; -ENOMEM if a part of a mapping would be left. */
static int space_clear(uint32_t first, uint32_t n, FakeKind then)
{
    uint32_t i, last = first + n - 1;

    g_assert_cmpuint(first + n, <=, SPACE_PAGES);
    if ((page[first].kind == FAKE_FOREIGN && page[first].start != first) ||
        (page[last].kind == FAKE_FOREIGN &&
         page[last].start + page[page[last].start].pages > first + n)) {
        return -ENOMEM;
    }
    for (i = first; i <= last; i++) {
        FakePage *p = &page[i];

        if (p->kind == FAKE_FOREIGN && p->frame) {
            frame[p->frame].refs--;
            frame_maybe_free(p->frame);
            mapped_pages--;
            if (p->grant) {
                fake_grant_maps[p->grant]--;
            }
        }
        if (p->kind == FAKE_ANON) {
            file_keep(i);
        }
        if (p->kind != then || then == FAKE_ANON) {
            page_shows(i, then == FAKE_ANON ? 0 : FAKE_NOT_MAPPED | i);
        }
        *p = (FakePage) { .kind = then };
    }
    return 0;
}

/* The lowest @n free pages in a row; SPACE_PAGES if there are none. */
static uint32_t space_find(uint32_t n)
{
    uint32_t first = 0, i = 0;

    while (i < SPACE_PAGES && i - first < n) {
        if (page[i].kind == FAKE_FREE) {
            i++;
            continue;
        }
        i += page[i].kind == FAKE_FOREIGN ? page[page[i].start].pages : 1;
        first = i;
    }
    return i - first == n && first + n <= SPACE_PAGES ? first : SPACE_PAGES;
}

/* Of the mapcache's own: what is shared is in the space. */
void *__wrap_mmap64(void *addr, size_t len, int prot, int flags, int fd,
                    off_t offset)
{
    uint32_t n = DIV_ROUND_UP(len, PAGE), first, i;

    if ((flags & MAP_TYPE) != MAP_SHARED) {
        return __real_mmap64(addr, len, prot, flags, fd, offset);
    }
    if (addr) {
        g_assert_true(in_space(addr));
        first = page_of(addr);
    } else {
        first = space_find(n);
        if (first == SPACE_PAGES) {
            errno = ENOMEM;
            return MAP_FAILED;
        }
    }
    if (flags & MAP_FIXED_NOREPLACE) {
        for (i = first; i < first + n; i++) {
            if (page[i].kind != FAKE_FREE) {
                errno = EEXIST;
                return MAP_FAILED;
            }
        }
    }
    fake_counts.unmaps += addr != NULL;
    if (space_clear(first, n, prot == PROT_NONE ? FAKE_EMPTY : FAKE_ANON)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    if (prot != PROT_NONE) {
        file_show(first, n, fd, offset);
    }
    return space + (size_t)first * PAGE;
}

int fake_unmap(void *addr, uint32_t n)
{
    fake_counts.unmaps++;
    if (space_clear(page_of(addr), n, FAKE_FREE)) {
        errno = ENOMEM;
        return -1;
    }
    return 0;
}

int __wrap_munmap(void *addr, size_t len)
{
    return in_space(addr) ? fake_unmap(addr, DIV_ROUND_UP(len, PAGE))
                          : __real_munmap(addr, len);
}

/* --- what is mapped ---------------------------------------------- */

uint32_t fake_frame_at(uint64_t gfn)
{
    uint32_t *cell = p2m(gfn);

    return cell ? *cell : 0;
}

int fake_lose(void *addr, uint32_t n)
{
    return space_clear(page_of(addr), n, FAKE_FREE);
}

void *fake_show(void *addr, const uint32_t *frames, size_t n,
                const uint32_t *refs)
{
    uint32_t first = addr ? page_of(addr) : space_find(n);
    size_t i;

    if (first == SPACE_PAGES || space_clear(first, n, FAKE_FREE)) {
        errno = ENOMEM;
        return NULL;
    }
    for (i = 0; i < n; i++) {
        FakePage *p = &page[first + i];
        uint32_t f = frames[i];

        *p = (FakePage) {
            .kind = FAKE_FOREIGN, .start = first, .pages = n, .frame = f,
            .grant = refs ? refs[i] : 0,
        };
        if (f) {
            frame[f].refs++;
            mapped_pages++;
            if (refs) {
                fake_grant_maps[refs[i]]++;
            }
        }
        page_shows(first + i, f ? frame[f].content : FAKE_ABSENT | i);
    }
    return space + (size_t)first * PAGE;
}

void xensim_mem_info(XensimDomain *dom, XensimMemInfo *info)
{
    *info = (XensimMemInfo) { .mapped_pages = mapped_pages };
}

/* Counts all anew; how much is wrong. */
unsigned xensim_check(Xensim *sim)
{
    g_autofree uint32_t *refs = g_new0(uint32_t, FRAMES + 1);
    uint64_t mapped = 0;
    unsigned wrong = 0;
    uint32_t i;

    for (i = 0; i < SPACE_PAGES; i++) {
        if (page[i].kind == FAKE_FOREIGN && page[i].frame) {
            refs[page[i].frame]++;
            mapped++;
        }
    }
    for (i = 1; i <= frames_made; i++) {
        wrong += refs[i] != frame[i].refs;
    }
    return wrong + (mapped != mapped_pages);
}

void fake_init(void)
{
    space = __real_mmap64(NULL, (size_t)SPACE_PAGES * PAGE,
                          PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    g_assert_true(space != MAP_FAILED);
}
