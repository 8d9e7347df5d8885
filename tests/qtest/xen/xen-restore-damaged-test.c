/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A state that says where device memory is, and is damaged: the restore ends
 * with a message and status 1, and the toolstack is not told that the guest
 * runs.
 */
#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "xen-test-devmem.h"

#define NAME    "xen-physmap"

/* From the section's name on: two numbers, then these. */
enum {
    COUNT = sizeof(NAME) - 1 + 8,
    RAM = COUNT + 4,
    GADDR = RAM + 8,
    SIZE = GADDR + 8,
    END = SIZE + 8,
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

/* A guest whose display was at RANGE_A and is off. */
static void save(XenTest *t, Saved *s)
{
    static const char *const args[] = {
        "-device", "VGA,addr=8,vgamem_mb=2,romfile=", NULL
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
    xen_test_ok(t, guest_pci_place_bar(pc, DEVMEM_DEVFN, 0, RANGE_A));
    xen_test_ok(t, guest_pci_command(pc, DEVMEM_DEVFN, 0, GUEST_PCI_MEMORY));
    guest_pc_free(pc);
    ts_save(guest, s->dir, &err);
    g_assert_no_error(err);
    ts_destroy(guest);

    file = g_build_filename(s->dir, "device-model", NULL);
    g_assert_true(g_file_get_contents(file, (char **)&s->state, &s->len,
                                      NULL));
    name = memmem(s->state, s->len, NAME, sizeof(NAME) - 1);
    if (!name) {
        xen_test_leave(t, "does not save where the memory is");
    }
    s->at = name - s->state;
    copy_file(s, "memory");
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
    unsigned running = 0;
    TsGuest *guest;

    g_assert_true(g_file_set_contents(file, (char *)s->state, len, NULL));
    xensim_xs_log_clear(t->xs);
    guest = ts_restore(t->ts, &s->config, s->copy, &err);
    xensim_xs_log(t->xs, XENSIM_XS_WRITE, "/local/domain/0/device-model",
                  count_running, &running);
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

static const char *fields(XenTest *t)
{
    static const struct {
        const char *what;
        gsize at;
        uint64_t value;
        bool count;
    } bad[] = {
        { "a negative count", COUNT, 0x80000000u, true },
        { "a count without end", COUNT, 0x7fffffff, true },
        { "more pieces than there are", COUNT, 3, true },
        { "a part of a page of memory", RAM, DEVMEM_INITIAL + 1 },
        { "guest RAM", RAM, 0x100000 },
        { "memory behind all", RAM, UINT64_MAX - 0xfff },
        { "memory past its end", RAM, DEVMEM_INITIAL + 0x1000 },
        { "a part of a page", GADDR, RANGE_A + 1 },
        { "an address that is none", GADDR, UINT64_MAX - 0xfff },
        { "frames that are not there", GADDR, RANGE_A + 0x40000000 },
        { "the initial range", GADDR, DEVMEM_INITIAL },
        { "no size", SIZE, 0 },
        { "a size of part of a page", SIZE, 0x1001 },
        { "a size past the end", SIZE, 0x201000 },
        { "a size without end", SIZE, UINT64_MAX - 0xfff },
    };
    Saved s = { 0 };

    save(t, &s);
    XEN_TRY(restore(t, &s, s.len, NULL));
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        uint8_t *field = s.state + s.at + bad[i].at;
        uint8_t old[8];

        memcpy(old, field, sizeof(old));
        if (bad[i].count) {
            stl_be_p(field, bad[i].value);
        } else {
            stq_be_p(field, bad[i].value);
        }
        XEN_TRY(restore(t, &s, s.len, bad[i].what));
        memcpy(field, old, sizeof(old));
    }
    XEN_TRY(restore(t, &s, s.len, NULL));
    forget(&s);
    return NULL;
}

/* Cut off in the section, and everywhere behind it. */
static const char *cut_off(XenTest *t)
{
    Saved s = { 0 };
    gsize end, step;

    save(t, &s);
    for (end = s.at - 6; end < s.at + END; end += 5) {
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

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    if (!xen_test_compat()) {
        xen_test_add("damaged/fields", fields, NULL);
        xen_test_add("damaged/cut-off", cut_off, NULL);
    }
    return g_test_run();
}
