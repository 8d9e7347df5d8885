/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each map call of a restore fails, at its first occurrence, its second, …
 * until there is none left to fail; once, and from there on.
 */
#include "qemu/osdep.h"
#include "xen-test-common.h"

enum { SEED = 61, MOST = 120 };

/* The screen, which is what the device sees of its memory; g_bytes_unref. */
static GBytes *screen(XenTest *t, TsGuest *guest)
{
    g_autofree char *path = g_build_filename(t->dir, "screen.ppm", NULL);
    g_autoptr(GError) err = NULL;
    char *text = NULL;
    gsize len = 0;

    if (!ts_screendump(guest, path, "ppm", &err) ||
        !g_file_get_contents(path, &text, &len, &err)) {
        xen_test_leave(t, g_strdup(err->message));
    }
    return g_bytes_new_take(text, len);
}
#define screen(...) XEN_AT(screen(__VA_ARGS__))

/* A guest that has drawn something. */
static TsGuest *drawn(XenTest *t)
{
    TsConfig config = {
        .qemu = g_getenv("QTEST_QEMU_BINARY"),
        .ram_bytes = XEN_TEST_RAM_MB << 20,
        .rom_dir = g_getenv("XEN_TEST_ROMS") ?: "/usr/share/seabios",
    };
    g_autoptr(GError) err = NULL;
    TsGuest *guest = ts_create(t->ts, &config, &err);
    GuestVga vga;

    if (!guest) {
        xen_test_leave(t, g_strdup(err->message));
    }
    t->dom = ts_domain(guest);
    t->pc = guest_pc_new(t->dom);
    xen_test_ok(t, guest_vga_init(t->pc, &vga, 0));
    xen_test_ok(t, guest_vga_place(&vga, XEN_TEST_LFB, 0));
    xen_test_ok(t, guest_vga_mode(&vga, 640, 480, 32));
    xensim_stamp(t->dom, XEN_TEST_LFB / XEN_TEST_PAGE, 300, SEED);
    return guest;
}

/*
 * Each map call of a restore fails.  Either it is of no consequence, or the
 * restore ends with a message and the guest goes on where it was.
 */
static const char *restores(XenTest *t, uint64_t count)
{
    TsGuest *guest = drawn(t), *next;
    g_autoptr(GBytes) before = screen(t, guest);
    unsigned ended = 0, went_on = 0;
    bool fired = true;
    uint64_t n;

    for (n = 1; fired && n < MOST; n++) {
        XensimFault fault = {
            .call = xen_test_call("xenforeignmemory_map2"), .first = n,
            .count = count, .error = ENOMEM,
        };
        g_autoptr(GError) err = NULL;
        g_autoptr(GBytes) after = NULL;
        int id = xensim_fault_arm(t->sim, &fault);

        next = ts_migrate(guest, &err);
        fired = xensim_fault_hits(t->sim, id) >= (int64_t)n;
        xensim_fault_disarm(t->sim, id);
        if (next) {
            guest = next;
            went_on++;
        } else {
            XEN_REQUIRE(fired, "fails to restore: %s", err->message);
            XEN_REQUIRE(!strstr(err->message, "signal"), "%s", err->message);
            ended++;
        }
        after = screen(t, guest);
        XEN_REQUIRE(g_bytes_equal(before, after),
                    "shows another picture after failure %" PRIu64, n);
        XEN_REQUIRE(xensim_stamp_check(ts_domain(guest),
                                       XEN_TEST_LFB / XEN_TEST_PAGE, 300,
                                       SEED) == XENSIM_NO_GFN,
                    "changes its video memory at failure %" PRIu64, n);
    }
    XEN_REQUIRE(n > 2 && n < MOST, "made no map call, or no end of them");
    g_test_message("%" PRIu64 " map calls: %u restores ended, %u went on",
                   n - 2, ended, went_on);
    ts_destroy(guest);
    return NULL;
}
#define restores(...) XEN_AT(restores(__VA_ARGS__))

static const char *once(XenTest *t)
{
    return restores(t, 1);
}

static const char *for_ever(XenTest *t)
{
    return restores(t, 0);
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("fault-restore/once", once, NULL);
    xen_test_add("fault-restore/for-ever", for_ever, NULL);
    return g_test_run();
}
