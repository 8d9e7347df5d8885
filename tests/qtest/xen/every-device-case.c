/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One case of every-device.h: what is done, and what its end is worth. */
#include "qemu/osdep.h"
#include "every-device.h"

/* Room for the largest video memory beside another. */
enum { DEVICE_MEMORY_MB = 512 };

/* A device that crashes now and then may well not do so at once. */
enum { PLAIN_TRIES = 12 };

/* The case that runs. */
static struct {
    XenEveryGuest *guest;
    char *args;
    XenStage stage;
} run;

/* ---- creating it ---- */

/*
 * Does what was written to the log from @offset on have one error?  A line
 * without the program's name is a hint to the one before it.
 */
static const char *one_clear_line(XenTest *t, size_t offset)
{
    g_autofree char *log = xen_test_log(t);
    g_auto(GStrv) lines = g_strsplit(log + offset, "\n", -1);
    const char *found = NULL;

    for (char **line = lines; *line; line++) {
        if (!g_str_has_prefix(*line, "qemu-system-") ||
            strstr(*line, ": warning: ") || strstr(*line, ": info: ")) {
            continue;
        }
        XEN_REQUIRE(!found, "is refused with more errors than one: \"%s\", "
                    "then \"%s\"", found, *line);
        found = *line;
    }
    XEN_REQUIRE(found, "is refused without a word");
    g_test_message("refused: %s", found);
    return NULL;
}

static XensimDomainConfig domain_config(unsigned flags)
{
    return (XensimDomainConfig) {
        .ram_bytes = (uint64_t)XEN_TEST_RAM_MB << 20,
        .max_pages = (uint64_t)(XEN_TEST_RAM_MB + DEVICE_MEMORY_MB) << 8,
        .flags = flags | XENSIM_DOM_SCATTERED,
    };
}

/* Starts it with a disk of @kind behind a controller; *@end: how it ended. */
static const char *boot_with(XenTest *t, const XenEveryCase *c,
                             const char *ide, const char *kind,
                             const char **end)
{
    g_autofree char *log = xen_test_log(t);
    g_autofree char *args = xen_every_args(c, t->dir, kind);
    XensimDomainConfig cfg = domain_config(0);

    if (t->dom) {
        xensim_domain_destroy(t->dom);
    }
    t->dom = xensim_domain_create(t->sim, &cfg);
    g_assert_nonnull(t->dom);
    g_free(run.args);
    run.args = g_strconcat(ide, args, NULL);
    *end = xen_test_try_boot(t, run.args);
    if (*end) {
        XEN_REQUIRE(g_str_equal(*end, "ended with status 1"), "%s", *end);
        return one_clear_line(t, strlen(log));
    }
    return NULL;
}

static bool takes_disk(const XenDevice *d)
{
    return d && d->storage && !(d->behind & XEN_BEHIND_DRIVE) && d->bus &&
           g_str_equal(d->bus, "PCI");
}

/* Of the kinds of disk that a controller may take, the first that it takes. */
static const char *boot(XenTest *t, const XenEveryCase *c, const char **end)
{
    static GHashTable *kinds;           /* device -> kind + 1 */
    const XenDevice *d = takes_disk(c->device) ? c->device : c->other;
    const char *ide = xen_test_disk(t, XEN_EVERY_DISK_PAGES,
                                    XEN_EVERY_IDE_SEED);
    unsigned i = 0;

    if (c->form != XEN_FORM_ALONE && takes_disk(d)) {
        kinds = kinds ?: g_hash_table_new(NULL, NULL);
        i = GPOINTER_TO_UINT(g_hash_table_lookup(kinds, d));
        for (i = i ? i - 1 : 0; xen_every_disks[i]; i++) {
            XEN_TRY(boot_with(t, c, ide, xen_every_disks[i], end));
            if (!*end) {
                g_hash_table_insert(kinds, (void *)d, GUINT_TO_POINTER(i + 1));
                return NULL;
            }
        }
        g_hash_table_insert(kinds, (void *)d, GUINT_TO_POINTER(i + 1));
    }
    return boot_with(t, c, ide, NULL, end);
}

/* ---- what is done with it ---- */

/* A guest that could not be saved goes on. */
static const char *goes_on(XenTest *t, const char *reason)
{
    XEN_REQUIRE(*reason && !strchr(reason, '\n'),
                "refuses to save, but not with one line");
    g_test_message("is not saved: %s", reason);
    qtest_qmp_assert_success(t->qts, "{'execute': 'cont'}");
    XEN_TRY(xen_every_use(t, run.guest));
    xen_every_let_go(t, run.guest);
    return NULL;
}

static const char *comes_back(XenTest *t, const char *file)
{
    XensimDomainConfig cfg = domain_config(XENSIM_DOM_EMPTY);
    const char *again, *reason;

    xen_test_restore_as(t, run.args, file, &cfg);
    xen_every_moved(t, run.guest);
    XEN_TRY(xen_every_check(t, run.guest));
    XEN_TRY(xen_every_same(t->pc, run.guest));
    XEN_TRY(xen_every_use(t, run.guest));
    reason = xen_test_try_save(t, &again);
    XEN_REQUIRE(!reason, "does not save again: %s", reason);
    run.stage = XEN_STAGE_DONE;
    qtest_qmp_assert_success(t->qts, "{'execute': 'cont'}");
    XEN_TRY(xen_every_use(t, run.guest));
    xen_every_let_go(t, run.guest);
    return NULL;
}

static const char *scenario(XenTest *t)
{
    const XenEveryCase *c = t->data;
    const char *end, *file, *reason;

    run.stage = XEN_STAGE_START;
    run.guest = g_new0(XenEveryGuest, 1);
    XEN_TRY(boot(t, c, &end));
    if (end) {
        return NULL;
    }
    run.stage = XEN_STAGE_SAVE;
    xen_test_ok(t, xen_every_place(t->pc, run.guest));
    XEN_TRY(xen_every_use(t, run.guest));
    xen_every_stamp(t, run.guest);
    xen_test_ok(t, xen_every_note(t->pc, run.guest));
    reason = xen_test_try_save(t, &file);
    if (reason) {
        return goes_on(t, reason);
    }
    run.stage = XEN_STAGE_RESTORE;
    return comes_back(t, file);
}

/* ---- what it is worth ---- */

/* A signal, a status, or something else. */
static unsigned kind_of_end(const char *text)
{
    return g_str_has_prefix(text, "ended by ") ? 1 :
           g_str_has_prefix(text, "ended with ") ? 2 : 3;
}

/* Does the plain machine end alike with it, be it at times only? */
static bool same_as_plain(XenTest *t, const char *text)
{
    for (unsigned i = 0; i < PLAIN_TRIES; i++) {
        g_autofree char *why = NULL;
        XenStage stage = xen_every_plain(run.args, t->dir, &why);

        g_test_message("the plain machine: %s", why ?: "ok");
        if (why) {
            return stage == run.stage &&
                   kind_of_end(why) == kind_of_end(text);
        }
    }
    return false;
}

static const char *judge(XenTest *t, const char *text)
{
    const XenEveryCase *c = t->data;
    const char *known = xen_every_known(c->path);

    g_clear_pointer(&run.guest, xen_every_free);
    if (text && run.args && same_as_plain(t, text)) {
        text = NULL;
    }
    g_clear_pointer(&run.args, g_free);
    if (known && text) {
        g_test_message("known to fail (%s): %s", known, text);
        return NULL;
    }
    if (known) {
        return xen_test_text(__FILE__, __LINE__, "is right with %s: take it "
                             "off the list of known failures", c->path);
    }
    return text;
}

/* ---- the cases ---- */

static void add(const XenDevice *device, const XenDevice *other, XenForm form,
                char *path)
{
    g_autofree char *full = g_strdup_printf("every-device/%s", path);
    XenEveryCase *c = g_new0(XenEveryCase, 1);

    *c = (XenEveryCase) { path, device, other, form };
    xen_test_add_judged(full, scenario, judge, c);
}

static void add_one(const XenDevice *d)
{
    add(d, NULL, XEN_FORM_ALONE, g_strdup_printf("alone/%s", d->name));
    if (d->behind & (XEN_BEHIND_DRIVE | XEN_BEHIND_NETDEV) ||
        takes_disk(d)) {
        add(d, NULL, XEN_FORM_BACKED, g_strdup_printf("backed/%s", d->name));
    }
    add(d, NULL, XEN_FORM_VGA, g_strdup_printf("vga/%s", d->name));
}

static void add_pairs(GPtrArray *devices, const XenDevice *display)
{
    for (unsigned i = 0; i < devices->len; i++) {
        const XenDevice *d = g_ptr_array_index(devices, i);

        if (d->storage && d->bus && g_str_equal(d->bus, "PCI")) {
            add(display, d, XEN_FORM_BEFORE,
                g_strdup_printf("pairs/%s+%s", display->name, d->name));
            add(display, d, XEN_FORM_AFTER,
                g_strdup_printf("pairs/%s+%s", d->name, display->name));
        }
    }
}

void xen_every_add(GPtrArray *devices, bool pairs)
{
    for (unsigned i = 0; i < devices->len; i++) {
        const XenDevice *d = g_ptr_array_index(devices, i);

        if (!pairs) {
            add_one(d);
        } else if (d->display && d->bus && g_str_equal(d->bus, "PCI")) {
            add_pairs(devices, d);
        }
    }
}
