/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A state that says where device memory is, and is damaged: the restore ends
 * with a message and status 1, and the toolstack is not told that the guest
 * runs.
 */
#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "qemu/bswap.h"
#include "qemu/crc32c.h"
#include "qemu/units.h"
#include "xen-test-devmem.h"

#define NAME    "xen-physmap"

/*
 * Where fields are, from the section's name on: 4 bytes, or 8 of a piece.
 * There are two pieces, which are the memory of the two displays.
 */
enum {
    TYPE = -6,              /* 1 byte */
    LENGTH = -1,            /* of the name: 1 byte */
    INSTANCE = sizeof(NAME) - 1,
    VERSION = INSTANCE + 4,
    COUNT = VERSION + 4,    /* of pieces: 2 */
    BLOCK = COUNT + 4,      /* 0000:00:08.0/vga.vram, and zeros */
    BLOCK_BYTES = 256,
    SLOT_DIGIT = BLOCK + 9,
    OFFSET = BLOCK + BLOCK_BYTES,
    GADDR = OFFSET + 8,
    SIZE = GADDR + 8,
    NEXT = SIZE + 8,        /* the next piece */
    PIECE = NEXT - BLOCK,
    SUM = BLOCK + 2 * PIECE,
};

typedef struct Saved {
    TsConfig config;
    char *dir;          /* what was saved, */
    char *copy;         /* ... and where a damaged one goes */
    uint8_t *state;
    gsize len;
    gsize at;           /* of the section's name */
} Saved;

static void copy_file(const Saved *s, const char *name)
{
    g_autofree char *from = g_build_filename(s->dir, name, NULL);
    g_autofree char *to = g_build_filename(s->copy, name, NULL);

    g_assert_cmpint(link(from, to), ==, 0);
}

/*
 * A guest with two displays.  The first was at RANGE_A, is off, and so its
 * frames are displaced; the other was at RANGE_B and is off, too, or was
 * nowhere.  Or, if @initial, the first is shown at its initial range, and the
 * state has no section.
 */
static void save_either(XenTest *t, Saved *s, bool both, bool initial)
{
    static const char *const args[] = {
        "-device", "VGA,addr=8,vgamem_mb=2,romfile=",
        "-device", "secondary-vga,addr=9,vgamem_mb=2,romfile=", NULL
    };
    g_autofree char *file = NULL;
    g_autoptr(GError) err = NULL;
    TsGuest *guest;
    GuestPc *pc;
    const uint8_t *name;

    s->config = (TsConfig) {
        .qemu = getenv("QTEST_QEMU_BINARY"),
        .ram_bytes = XEN_TEST_RAM_MB * MiB,
        .vga = "",
        .rom_dir = getenv("XEN_TEST_ROMS") ?: "/usr/share/seabios",
        .args = args,
    };
    s->dir = g_build_filename(t->dir, "saved", NULL);
    s->copy = g_build_filename(t->dir, "damaged", NULL);
    g_assert_cmpint(g_mkdir(s->dir, 0700) | g_mkdir(s->copy, 0700), ==, 0);
    guest = ts_create(t->ts, &s->config, &err);
    g_assert_no_error(err);
    pc = guest_pc_new(ts_domain(guest));
    xen_test_ok(t, guest_pci_place_bar(pc, DEVMEM_DEVFN, 0,
                                       initial ? DEVMEM_INITIAL : RANGE_A));
    if (!initial) {
        xen_test_ok(t, guest_pci_command(pc, DEVMEM_DEVFN, 0,
                                         GUEST_PCI_MEMORY));
    }
    if (both) {
        xen_test_ok(t, guest_pci_place_bar(pc, 9 << 3, 0, RANGE_B));
        xen_test_ok(t, guest_pci_command(pc, 9 << 3, 0, GUEST_PCI_MEMORY));
    }
    guest_pc_free(pc);
    ts_save(guest, s->dir, &err);
    g_assert_no_error(err);
    ts_destroy(guest);

    file = g_build_filename(s->dir, "device-model", NULL);
    g_assert_true(g_file_get_contents(file, (char **)&s->state, &s->len,
                                      NULL));
    copy_file(s, "memory");
    if (initial) {
        return;
    }
    if (xen_test_compat()) {
        copy_file(s, "physmap");
        return;
    }
    name = memmem(s->state, s->len, NAME, sizeof(NAME) - 1);
    if (!name) {
        xen_test_leave(t, "does not save where the memory is");
    }
    s->at = name - s->state;
}

static void save(XenTest *t, Saved *s, bool both)
{
    save_either(t, s, both, false);
}

static void forget(Saved *s)
{
    ts_forget_saved(s->dir);
    ts_forget_saved(s->copy);
    g_free(s->dir);
    g_free(s->copy);
    g_free(s->state);
}

static void count_running(const XensimXsLogEntry *entry, void *opaque)
{
    *(unsigned *)opaque += g_str_has_suffix(entry->path, "/state");
}

/* Restores from the first @len bytes of the state as it is now. */
static const char *restore(XenTest *t, Saved *s, gsize len, const char *what)
{
    g_autofree char *file = g_build_filename(s->copy, "device-model", NULL);
    g_autoptr(GError) err = NULL;
    g_autofree char *after = NULL;
    unsigned running = 0;
    TsGuest *guest;
    gsize left;

    g_assert_true(g_file_set_contents(file, (char *)s->state, len, NULL));
    xensim_xs_log_clear(t->xs);
    guest = ts_restore(t->ts, &s->config, s->copy, &err);
    xensim_xs_log(t->xs, XENSIM_XS_WRITE, "/local/domain/0/device-model",
                  count_running, &running);
    g_assert_true(g_file_get_contents(file, &after, &left, NULL));
    XEN_REQUIRE(left == len && !memcmp(after, s->state, len),
                "changes the file of %s", what ?: "a good state");
    if (!what) {
        g_assert_no_error(err);
        ts_destroy(guest);
        return NULL;
    }
    XEN_REQUIRE(!guest, "takes %s", what);
    XEN_REQUIRE(strstr(err->message, "status 1"), "ends otherwise than with "
                "status 1 for %s: %s", what, err->message);
    XEN_REQUIRE(!running, "says that it runs, for %s", what);
    return NULL;
}

typedef struct Bad {
    const char *what;
    int at;
    unsigned bytes;     /* more than 8: each is @value */
    uint64_t value;
} Bad;

static void fix_sum(Saved *s)
{
    uint32_t sum = UINT32_MAX;

    for (unsigned i = 0; i < 2; i++) {
        sum = crc32c(sum, s->state + s->at + BLOCK + i * PIECE, PIECE);
    }
    stl_be_p(s->state + s->at + SUM, sum);
}

static void damage(Saved *s, const Bad *bad)
{
    uint8_t *at = s->state + s->at + bad->at, new[8];

    if (bad->bytes > sizeof(new)) {
        memset(at, bad->value, bad->bytes);
        return;
    }
    stq_be_p(new, bad->value);
    memcpy(at, new + 8 - bad->bytes, bad->bytes);
}

/*
 * Each of @bad alone ends the restore of a guest that was saved with one
 * display displaced, or @both, and nothing else does.  @sums: the checksum is
 * as if it were meant so.
 */
static const char *all_bad(XenTest *t, bool both, bool sums, const Bad *bad,
                           unsigned cases)
{
    g_autofree uint8_t *good = NULL;
    Saved s = { 0 };

    save(t, &s, both);
    good = g_memdup2(s.state, s.len);
    XEN_TRY(restore(t, &s, s.len, NULL));
    for (unsigned i = 0; i < cases; i++) {
        damage(&s, &bad[i]);
        if (sums) {
            fix_sum(&s);
        }
        XEN_TRY(restore(t, &s, s.len, bad[i].what));
        memcpy(s.state, good, s.len);
    }
    XEN_TRY(restore(t, &s, s.len, NULL));
    forget(&s);
    return NULL;
}
#define all_bad(...) XEN_AT(all_bad(__VA_ARGS__))

/* Any other value of each field. */
static const char *fields(XenTest *t)
{
    static const Bad bad[] = {
        { "a type that is none", TYPE, 1, 0x66 },
        { "a name that ends early", LENGTH, 1, 3 },
        { "an unknown name", 0, 1, 'y' },
        { "another instance", INSTANCE, 4, 7 },
        { "version 0", VERSION, 4, 0 },
        { "the version before", VERSION, 4, 1 },
        { "a version to come", VERSION, 4, 3 },
        { "no piece", COUNT, 4, 0 },
        { "a negative count", COUNT, 4, 0x80000000u },
        { "a count without end", COUNT, 4, 0x7fffffff },
        { "more pieces than there are", COUNT, 4, 3 },
        { "a piece less", COUNT, 4, 1 },
        { "other memory", SLOT_DIGIT, 1, '9' },
        { "memory without a name", BLOCK, 1, 0 },
        { "something behind the name", OFFSET - 1, 1, 'x' },
        { "another half", OFFSET, 8, 1 * MiB },
        { "guest RAM, with frames", GADDR, 8, 0x100000 },
        { "half of the memory", SIZE, 8, 1 * MiB },
        { "no checksum", SUM, 4, 0 },
    };

    return all_bad(t, false, false, bad, G_N_ELEMENTS(bad));
}

/*
 * The first byte of a section becomes the mark of the state's end: what follows
 * is not lost silently.  One byte after the state's own end is too much as
 * well.
 */
static const char *early_end(XenTest *t)
{
    enum { END_MARK = 0 };
    const gsize head = 8;
    Saved s = { 0 };
    uint8_t type;

    save(t, &s, false);
    type = s.state[s.at + TYPE];
    s.state[s.at + TYPE] = END_MARK;
    XEN_TRY(restore(t, &s, s.len, "an end before the section"));
    XEN_TRY(restore(t, &s, s.at + 1, "an end, and a byte"));
    s.state[s.at + TYPE] = type;
    type = s.state[head];
    s.state[head] = END_MARK;
    XEN_TRY(restore(t, &s, s.len, "an end at the start"));
    s.state[head] = type;
    s.state = g_realloc(s.state, s.len + 1);
    s.state[s.len] = END_MARK;
    XEN_TRY(restore(t, &s, s.len + 1, "a byte behind the end"));
    XEN_TRY(restore(t, &s, s.len, NULL));
    forget(&s);
    return NULL;
}

/* What cannot be, though the checksum is right. */
static const char *values(XenTest *t)
{
    static const Bad bad[] = {
        { "a device that there is not", SLOT_DIGIT, 1, '7' },
        { "another device's memory", SLOT_DIGIT, 1, '9' },
        { "a name that ends early", SLOT_DIGIT, 1, 0 },
        { "a name that is too long", BLOCK + 21, 1, '2' },
        { "a name without an end", BLOCK, BLOCK_BYTES, 'x' },
        { "a name of other bytes", BLOCK, BLOCK_BYTES - 1, 0xff },
        { "a part of a page of memory", OFFSET, 8, 1 },
        { "memory behind all", OFFSET, 8, UINT64_MAX - 0xfff },
        { "memory right behind its end", OFFSET, 8, 2 * MiB },
        { "memory past its end", OFFSET, 8, 0x1000 },
        { "the guest's own frames", GADDR, 8, 0x100000 },
        { "a part of a page", GADDR, 8, RANGE_A + 1 },
        { "an address that is none", GADDR, 8, UINT64_MAX - 0xfff },
        { "frames that are not there", GADDR, 8, RANGE_A + 0x40000000 },
        { "the initial range", GADDR, 8, DEVMEM_INITIAL },
        { "other memory's frames", GADDR, 8, DEVMEM_INITIAL + 2 * MiB },
        { "no size", SIZE, 8, 0 },
        { "a size of part of a page", SIZE, 8, 0x1001 },
        { "a size past the end", SIZE, 8, 0x201000 },
        { "a half of a memory", SIZE, 8, 1 * MiB },
        { "a size without end", SIZE, 8, UINT64_MAX - 0xfff },
    };

    return all_bad(t, false, true, bad, G_N_ELEMENTS(bad));
}

/* Two pieces that cannot both be. */
static const char *clashes(XenTest *t)
{
    static const Bad bad[] = {
        { "one memory twice", PIECE + SLOT_DIGIT, 1, '8' },
        { "one range twice", PIECE + GADDR, 8, RANGE_A },
        { "a half of one twice", PIECE + GADDR, 8, RANGE_A + 1 * MiB },
        { "each other's range, empty", GADDR, 8, DEVMEM_INITIAL + 2 * MiB },
    };

    return all_bad(t, true, true, bad, G_N_ELEMENTS(bad));
}

/* Cut off before bytes of the section, and in places behind it. */
static const char *cut_off(XenTest *t)
{
    Saved s = { 0 };
    gsize end, step;

    save(t, &s, false);
    for (end = s.at + TYPE; end < s.at + SUM + 4; end += step) {
        /* Of a name only some, because most of it are zeros. */
        step = end >= s.at + BLOCK && end < s.at + SUM &&
               (end - s.at - BLOCK) % PIECE < BLOCK_BYTES - 40 ? 37 : 1;
        XEN_TRY(restore(t, &s, end, "a state that is cut off in the section"));
    }
    step = (s.len - s.at) / 12;
    for (; end < s.len - 1; end += step) {
        XEN_TRY(restore(t, &s, end, "a state that is cut off"));
    }
    XEN_TRY(restore(t, &s, s.len - 1, "a state without its end"));
    forget(&s);
    return NULL;
}

/* ---- sections that are made here ---- */

typedef struct Piece {
    const char *name;   /* of the memory */
    uint64_t gaddr, size;
} Piece;

static void append(GByteArray *to, const void *bytes, gsize len)
{
    g_byte_array_append(to, bytes, len);
}

static void append_be(GByteArray *to, uint64_t value, unsigned len)
{
    uint8_t bytes[8];

    stq_be_p(bytes, value);
    append(to, bytes + 8 - len, len);
}

/*
 * Puts a section of @n pieces, with the right checksum, before all others, or
 * @last.
 */
static void insert_section(Saved *s, const Piece *piece, unsigned n, bool last)
{
    enum {
        FILE_HEAD = 8, FILE_TAIL = 1, SECTION_FULL = 4, ANY_ID = 0x7ffff,
        VERSION_NOW = 2
    };
    GByteArray *a = g_byte_array_new();
    gsize at = last ? s->len - FILE_TAIL : FILE_HEAD;
    uint32_t sum = UINT32_MAX;

    append(a, s->state, at);
    append_be(a, SECTION_FULL, 1);
    append_be(a, ANY_ID, 4);
    append_be(a, sizeof(NAME) - 1, 1);
    append(a, NAME, sizeof(NAME) - 1);
    append_be(a, 0, 4);
    append_be(a, VERSION_NOW, 4);
    append_be(a, n, 4);
    for (unsigned i = 0; i < n; i++) {
        guint record = a->len;
        char name[BLOCK_BYTES] = "";

        g_strlcpy(name, piece[i].name, sizeof(name));
        append(a, name, sizeof(name));
        append_be(a, 0, 8);
        append_be(a, piece[i].gaddr, 8);
        append_be(a, piece[i].size, 8);
        sum = crc32c(sum, a->data + record, a->len - record);
    }
    append_be(a, sum, 4);
    append(a, s->state + at, s->len - at);
    g_free(s->state);
    s->state = g_byte_array_steal(a, &s->len);
    g_byte_array_unref(a);
}

#define FIRST_VRAM  "0000:00:08.0/vga.vram"
#define OTHER_VRAM  "0000:00:09.0/vga.vram"

/* Restores with one more section.  @what: why that must fail; NULL: works. */
static const char *with_section_at(XenTest *t, const Piece *piece, unsigned n,
                                   bool last, const char *what)
{
    const char *wrong;
    Saved s = { 0 };

    save(t, &s, false);
    insert_section(&s, piece, n, last);
    wrong = restore(t, &s, s.len, what);
    forget(&s);
    return wrong;
}
#define with_section_at(...) XEN_AT(with_section_at(__VA_ARGS__))

static const char *with_section(XenTest *t, const Piece *piece, unsigned n,
                                const char *what)
{
    return with_section_at(t, piece, n, false, what);
}
#define with_section(...) XEN_AT(with_section(__VA_ARGS__))

/* A section before that of the guest, or behind all, which says otherwise. */
static const char *again(XenTest *t)
{
    static const Piece other[] = { { OTHER_VRAM, RANGE_A, 2 * MiB } };
    static const Piece same[] = { { FIRST_VRAM, RANGE_A, 2 * MiB } };

    static const Piece away[] = { { FIRST_VRAM, RANGE_B, 2 * MiB } };
    static const Piece none[] = { { "", RANGE_A, 2 * MiB } };

    XEN_TRY(with_section(t, same, 1, NULL));
    XEN_TRY(with_section(t, other, 1, "one range twice, in two sections"));
    XEN_TRY(with_section_at(t, same, 1, true, NULL));
    XEN_TRY(with_section_at(t, other, 1, true, "a range twice, and late"));
    XEN_TRY(with_section_at(t, away, 1, true, "another place, and late"));
    return with_section_at(t, none, 1, true, "needless frames that are shown");
}

/* Frames that are said to be of no use, and that no guest can have. */
static const char *needless(XenTest *t)
{
    const uint64_t far = RANGE_A + 64 * MiB;
    const Piece one[] = { { "", far, 1ULL << 51 } };
    const Piece sum[] = {
        { "", 1ULL << 40, 8ULL * GiB }, { "", 1ULL << 41, 9ULL * GiB },
    };
    const Piece few[] = { { "", far, 16 * MiB } };

    XEN_TRY(with_section(t, one, 1, "more frames than there are addresses"));
    XEN_TRY(with_section(t, sum, 2, "more frames than devices have"));
    return with_section(t, few, 1, NULL);
}

/*
 * Frames that are said to be of no use, by a section behind the state of the
 * display that shows them at their initial range.
 */
static const char *needless_initial(XenTest *t)
{
    static const Piece none[] = { { "", DEVMEM_INITIAL, 2 * MiB } };
    const char *wrong;
    Saved s = { 0 };

    save_either(t, &s, false, true);
    insert_section(&s, none, 1, true);
    wrong = restore(t, &s, s.len, "needless frames at their initial range");
    forget(&s);
    return wrong;
}

/* Frames that are said to be of no use, and that QEMU gave to no device. */
static const char *foreign_frames(XenTest *t)
{
    static const struct {
        const char *what;
        Piece piece;
    } bad[] = {
        { "the pages that Xen and QEMU share", { "", 0xfeff8000, 0x8000 } },
        { "the firmware's range", { "", 0xfc000000, 0x1000 } },
        { "a range that ends there", { "", 0xfbfff000, 0x2000 } },
        { "a range around it", { "", 0xf0000000, 0x20000000 } },
        { "the VGA window", { "", 0xa0000, 0x20000 } },
        { "the BIOS", { "", 0xf0000, 0x10000 } },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        XEN_TRY(with_section(t, &bad[i].piece, 1, bad[i].what));
    }
    return NULL;
}

/* ---- with an old libxen: what xenstore says, too ---- */

/* A section that says otherwise than xenstore. */
static const char *keys_differ(XenTest *t)
{
    static const Piece same[] = { { FIRST_VRAM, RANGE_A, 2 * MiB } };
    static const Piece other[] = { { OTHER_VRAM, RANGE_A, 2 * MiB } };
    static const Piece elsewhere[] = { { FIRST_VRAM, RANGE_B, 2 * MiB } };
    static const Piece initial[] = {
        { FIRST_VRAM, DEVMEM_INITIAL, 2 * MiB }
    };
    static const Piece needless[] = { { "", RANGE_A, 2 * MiB } };

    XEN_TRY(with_section(t, same, 1, NULL));
    XEN_TRY(with_section(t, other, 1, "other memory where xenstore has some"));
    XEN_TRY(with_section(t, elsewhere, 1, "another place than xenstore's"));
    XEN_TRY(with_section(t, initial, 1, "the initial range, but in xenstore"));
    return with_section(t, needless, 1, "frames that xenstore says are needed");
}

/* Entries of xenstore that no device model wrote: they are ignored. */
static const char *keys_damaged(XenTest *t)
{
    static const struct {
        const char *ram, *start, *size;
    } bad[] = {
        { "10000000000", "10000000000", "8000000000000000" },
        { "10000000000", "10000000000", "8000000000000" },
        { "10000000000", "10000000000", "400001000" },
        { "1000000000000000", "e8000000", "1000" },
        { "4000000", "ffffffffff000", "2000" },
        { "4000000", "e8000000", "0" },
        { "4000001", "e8000000", "1000" },
        { "x", "e8000000", "1000" },
        { "4000000", "e8000000", "-1000" },
        { "4000000", "e8000000", "1000x" },
    };
    g_autofree char *file = NULL, *good = NULL;
    Saved s = { 0 };
    gsize len;

    save(t, &s, false);
    file = g_build_filename(s.copy, "physmap", NULL);
    g_assert_true(g_file_get_contents(file, &good, &len, NULL));
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        GByteArray *a = g_byte_array_new();
        const char *keys[][2] = {
            { "start_addr", bad[i].start }, { "size", bad[i].size },
            { "name", "none" },
        };
        const char *wrong;

        append(a, good, strstr(bad[i].ram, "4000000") == bad[i].ram ? 0 : len);
        for (unsigned k = 0; k < G_N_ELEMENTS(keys); k++) {
            g_autofree char *key = g_strdup_printf("/%s/%s", bad[i].ram,
                                                   keys[k][0]);

            append(a, key, strlen(key) + 1);
            append(a, keys[k][1], strlen(keys[k][1]) + 1);
        }
        g_unlink(file);
        g_assert_true(g_file_set_contents(file, (char *)a->data, a->len,
                                          NULL));
        wrong = restore(t, &s, s.len, NULL);
        g_byte_array_unref(a);
        XEN_TRY(wrong);
    }
    forget(&s);
    return NULL;
}

/* ---- a state that cannot be loaded, and then a good one ---- */

/*
 * The state in @file, with a section of @n pieces first, and cut off behind
 * that section (g_free).
 */
static char *cut_behind(XenTest *t, const char *file, const Piece *piece,
                        unsigned n)
{
    enum { FILE_HEAD = 8, NEXT_HEAD = 3 };
    char *bad = g_build_filename(t->dir, "bad", NULL);
    Saved s = { 0 };
    gsize len;

    g_assert_true(g_file_get_contents(file, (char **)&s.state, &s.len, NULL));
    len = s.len;
    insert_section(&s, piece, n, false);
    g_assert_true(g_file_set_contents(bad, (char *)s.state,
                                      FILE_HEAD + s.len - len + NEXT_HEAD,
                                      NULL));
    g_free(s.state);
    return bad;
}

static const DevMem display = {
    "vga", "-device VGA,addr=8 ", { { 0, 16 * MiB } }
};

/*
 * The bad state says that the frames of the display are not needed.  The good
 * one has no section, because the memory is found without it.
 */
static const char *failed_needless(XenTest *t)
{
    static const Piece none[] = { { "", RANGE_A, 16 * MiB } };
    g_autofree char *args = devmem_args(t, display.args);
    g_autofree char *bad = NULL;
    const char *file;
    uint64_t pages;

    xen_test_start(t, args);
    xen_test_ide(t);
    devmem_place(t, &display, RANGE_A);
    devmem_stamp(t, &display, RANGE_A, 10);
    pages = xen_test_pages(t);
    file = xen_test_save(t);
    bad = cut_behind(t, file, none, G_N_ELEMENTS(none));
    xen_test_restore_after(t, args, bad, file);
    XEN_TRY(devmem_in_place(t, &display, RANGE_A, 10));
    XEN_REQUIRE(xen_test_pages(t) == pages, "has other frames");
    XEN_REQUIRE(xen_test_stat(t, "dummies") == 0, "has a dummy left");
    g_assert_cmpint(g_unlink(bad), ==, 0);
    return NULL;
}

/*
 * The bad state says that each of two displays has the other's frames, and
 * these are mapped.  So the good state, which has no section, is not loaded.
 */
static const char *failed_others(XenTest *t)
{
    static const Piece others[] = {
        { FIRST_VRAM, RANGE_B, 16 * MiB }, { OTHER_VRAM, RANGE_A, 16 * MiB }
    };
    g_autofree char *args = devmem_args(t, "-device VGA,addr=8 "
                                        "-device secondary-vga,addr=9 ");
    g_autofree char *bad = NULL;
    const char *file;

    xen_test_start(t, args);
    xen_test_ide(t);
    devmem_place(t, &display, RANGE_A);
    devmem_stamp(t, &display, RANGE_A, 10);
    xen_test_ok(t, guest_pci_place_bar(t->pc, 9 << 3, 0, RANGE_B));
    file = xen_test_save(t);
    bad = cut_behind(t, file, others, G_N_ELEMENTS(others));
    xen_test_restore_after(t, args, bad, file);
    return devmem_in_place(t, &display, RANGE_A, 10);
}

/*
 * The bad state lacks its last byte, so all memory has been located when it
 * fails.
 */
static const char *failed_late(XenTest *t)
{
    g_autofree char *args = devmem_args(t, display.args);
    g_autofree char *bad = g_build_filename(t->dir, "bad", NULL);
    g_autofree char *state = NULL;
    const char *file;
    gsize len;

    xen_test_start(t, args);
    devmem_place(t, &display, RANGE_A);
    file = xen_test_save(t);
    g_assert_true(g_file_get_contents(file, &state, &len, NULL));
    g_assert_true(g_file_set_contents(bad, state, len - 1, NULL));
    xen_test_restore_after(t, args, bad, file);
    return NULL;
}

static const char *needs_new_qemu(XenTest *t, const char *text)
{
    g_auto(GStrv) lines = xen_test_log_lines(t, t->data);

    XEN_REQUIRE(text && g_str_equal(text, "ended with status 1"), "%s",
                text ?: "loads a state after another has placed memory");
    XEN_REQUIRE(g_strv_length(lines) == 1, "does not say \"%s\" once",
                (const char *)t->data);
    return NULL;
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    if (xen_test_compat()) {
        xen_test_add("damaged/keys-differ", keys_differ, NULL);
        xen_test_add("damaged/keys-damaged", keys_damaged, NULL);
    } else {
        xen_test_add("damaged/again", again, NULL);
        xen_test_add("damaged/needless", needless, NULL);
        xen_test_add("damaged/needless-initial", needless_initial, NULL);
        xen_test_add("damaged/foreign-frames", foreign_frames, NULL);
        xen_test_add("damaged/early-end", early_end, NULL);
        xen_test_add("damaged/fields", fields, NULL);
        xen_test_add("damaged/values", values, NULL);
        xen_test_add("damaged/clashes", clashes, NULL);
        xen_test_add("damaged/cut-off", cut_off, NULL);
        xen_test_add("damaged/failed-needless", failed_needless, NULL);
        xen_test_add_judged("damaged/failed-late", failed_late, needs_new_qemu,
                            "start QEMU again");
        xen_test_add_judged("damaged/failed-others", failed_others,
                            needs_new_qemu, "start QEMU again");
    }
    return g_test_run();
}
