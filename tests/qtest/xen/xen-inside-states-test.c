/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The monitor is asked of the mapcache in each state of the machine: before it
 * runs, while it is stopped, while it is migrated, saved or restored, and after
 * that has failed.  Each time the answers agree with what the simulated Xen
 * counts.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "xen-test-common.h"

enum { SEED = 59, DISK_PAGES = 64, RING = 0x700000, BUFFER = 0x640000 };

static const char *arguments(XenTest *t)
{
    return xen_test_keep(t, g_strconcat(xen_test_disk(t, DISK_PAGES, SEED),
                                        XEN_TEST_VGA XEN_TEST_STATS, NULL));
}

static void boot(XenTest *t)
{
    xen_test_start(t, arguments(t));
    xen_test_ide(t);
    xen_test_vga(t);
}
#define boot(...) XEN_AT(boot(__VA_ARGS__))

/* ---- questions ---- */

#define STATS "{'target': 'vm', 'providers': [{'provider': 'xen-mapcache'}]}"

static const struct {
    const char *command, *arguments;
} questions[] = {
    { "query-xen-mapcache", "{}" },
    { "x-query-xen-mapcache-dma", "{}" },
    { "x-query-xen-physmap", "{}" },
    { "query-stats", STATS },
};

static QDict *ask(XenTest *t, unsigned i)
{
    return qtest_qmp(t->qts, "{'execute': %s, 'arguments': %p}",
                     questions[i].command,
                     qobject_from_json(questions[i].arguments, &error_abort));
}

/* The same questions for people. */
static const struct {
    const char *line, *answer;
} lines[] = {
    { "info xen-mapcache", "lookups: " },
    { "info xen-mapcache dma", "outstanding DMA mappings: " },
    { "info xen-mapcache transfers", "outstanding transfers: " },
    { "info xen-physmap", "vga.vram" },
    { "info stats vm", "provider: xen-mapcache" },
};

static bool counts_agree(XenTest *t)
{
    XensimCount now = xensim_count_maps(t->sim);

    return xen_test_stat(t, "map-calls") == now.calls - t->before.calls &&
           xen_test_stat(t, "map-pages") == now.pages - t->before.pages &&
           xen_test_stat(t, "map-failures") ==
               now.failures - t->before.failures &&
           xen_test_stat(t, "bytes-mapped") + xen_test_stat(t, "bytes-exact") ==
               xen_test_ram_mapped(t) * XEN_TEST_PAGE;
}

/* Every question is answered, and the answers are right. */
static const char *answers(XenTest *t)
{
    bool agree = false;

    for (unsigned i = 0; i < ARRAY_SIZE(questions); i++) {
        QDict *rsp = ask(t, i);

        XEN_REQUIRE(qdict_haskey(rsp, "return"), "does not answer %s",
                    questions[i].command);
        qobject_unref(rsp);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(lines); i++) {
        const char *text = xen_test_hmp(t, lines[i].line);

        XEN_REQUIRE(strstr(text, lines[i].answer), "answers \"%s\" by \"%s\"",
                    lines[i].line, text);
    }
    /* The reaper may unmap between two questions. */
    for (unsigned i = 0; i < 500 && !agree; i++) {
        agree = counts_agree(t);
        g_usleep(agree ? 0 : 10 * 1000);
    }
    XEN_REQUIRE(agree, "does not count what Xen counts");
    return NULL;
}
#define answers(...) XEN_AT(answers(__VA_ARGS__))

/* There is one transfer: the balloon's buffer. */
static const char *tells_transfer(XenTest *t)
{
    QDict *rsp = qtest_qmp(t->qts, "{'execute': 'x-query-xen-mapcache-dma', "
                           "'arguments': {'held': false}}");
    QDict *told = qdict_get_qdict(rsp, "return");
    QDict *m;

    XEN_REQUIRE(told && qdict_get_int(told, "total") == 1 &&
                xen_test_stat(t, "dma") == 1, "does not count one transfer");
    m = qobject_to(QDict, qlist_peek(qdict_get_qlist(told, "mappings")));
    XEN_REQUIRE(qdict_get_int(m, "address") == BUFFER &&
                qdict_get_int(m, "size") == 1234 &&
                strstr(qdict_get_str(m, "device"), "virtio-balloon"),
                "does not know the transfer");
    qobject_unref(rsp);
    return NULL;
}
#define tells_transfer(...) XEN_AT(tells_transfer(__VA_ARGS__))

static void tell(XenTest *t, const char *command)
{
    qtest_qmp_assert_success(t->qts, "{'execute': %s}", command);
}

static void log_dirty(XenTest *t, bool enable)
{
    qtest_qmp_assert_success(t->qts, "{'execute': 'xen-set-global-dirty-log', "
                             "'arguments': {'enable': %i}}", enable);
}

/* ---- states ---- */

/* Before the machine exists no question can be answered, and each says so. */
static const char *preconfig(XenTest *t)
{
    xen_test_domain(t, 0);
    xen_test_boot_begin(t, xen_test_keep(t, g_strconcat(
        "--preconfig ", arguments(t), NULL)));
    for (unsigned i = 0; i < ARRAY_SIZE(questions); i++) {
        QDict *rsp = ask(t, i);

        XEN_REQUIRE(qdict_haskey(rsp, "error"), "answers %s without a machine",
                    questions[i].command);
        qobject_unref(rsp);
    }
    tell(t, "x-exit-preconfig");
    xen_test_boot_end(t);
    return answers(t);
}

/* Before the machine runs, and while it is stopped. */
static const char *stopped(XenTest *t)
{
    xen_test_domain(t, 0);
    xen_test_boot_begin(t, xen_test_keep(t, g_strconcat("-S ", arguments(t),
                                                        NULL)));
    XEN_TRY(answers(t));
    tell(t, "cont");
    xen_test_boot_end(t);
    xen_test_ide(t);
    xen_test_dma_read(t, 1, 9 * XEN_TEST_BUCKET, 1);
    XEN_TRY(answers(t));
    tell(t, "stop");
    XEN_TRY(answers(t));
    tell(t, "cont");
    xen_test_dma_read(t, 2, 9 * XEN_TEST_BUCKET, 1);
    return answers(t);
}

/* An invalidate has left a transfer's bucket behind; then it is stopped. */
static const char *outstanding(XenTest *t)
{
    boot(t);
    xen_test_stats_hold(t, RING, BUFFER, 1234);
    xen_test_dma_read(t, 1, 9 * XEN_TEST_BUCKET, 1);
    xensim_invalidate(t->dom);
    XEN_TRY(tells_transfer(t));
    XEN_TRY(answers(t));
    /* It is mapped twice now: the stale bucket, and the one that is found. */
    xen_test_dma_read(t, 2, BUFFER + 16 * XEN_TEST_PAGE, 1);
    XEN_TRY(tells_transfer(t));
    XEN_TRY(answers(t));
    tell(t, "stop");
    XEN_TRY(tells_transfer(t));
    XEN_TRY(answers(t));
    tell(t, "cont");
    xen_test_stats_release(t);
    XEN_REQUIRE(xen_test_settles(t, "dma", "buckets-pending"),
                "keeps what has ended");
    return answers(t);
}

/*
 * A live migration: while Xen logs what is written, after it was cancelled, and
 * after it was done, whether the old guest then goes on or not.
 */
static const char *migrated(XenTest *t)
{
    boot(t);
    log_dirty(t, true);
    xen_test_stats_hold(t, RING, BUFFER, 1234);
    xen_test_dma_read(t, 1, 9 * XEN_TEST_BUCKET, 1);
    XEN_TRY(tells_transfer(t));
    XEN_TRY(answers(t));
    xensim_invalidate(t->dom);
    XEN_TRY(answers(t));
    log_dirty(t, false);
    XEN_TRY(tells_transfer(t));
    XEN_TRY(answers(t));
    log_dirty(t, true);
    xen_test_save(t);
    XEN_TRY(answers(t));
    tell(t, "cont");
    log_dirty(t, false);
    xen_test_dma_read(t, 2, 9 * XEN_TEST_BUCKET, 1);
    XEN_TRY(answers(t));
    xen_test_save_restore(t, arguments(t));
    XEN_TRY(answers(t));
    XEN_REQUIRE(xen_test_stat(t, "dummies") == 0, "has a dummy left");
    xen_test_stats_release(t);
    return NULL;
}

/* The state cannot be written, and QEMU's own migration is refused. */
static const char *not_saved(XenTest *t)
{
    QDict *rsp;

    boot(t);
    tell(t, "stop");
    rsp = qtest_qmp(t->qts, "{'execute': 'xen-save-devices-state', "
                    "'arguments': {'filename': '/none/state'}}");
    XEN_REQUIRE(qdict_haskey(rsp, "error"), "saves to no file");
    qobject_unref(rsp);
    XEN_TRY(answers(t));
    tell(t, "cont");
    rsp = qtest_qmp(t->qts, "{'execute': 'migrate', 'arguments': "
                    "{'uri': 'exec:cat >/dev/null'}}");
    XEN_REQUIRE(qdict_haskey(rsp, "error"), "migrates a guest of Xen's");
    qobject_unref(rsp);
    XEN_TRY(answers(t));
    xen_test_dma_read(t, 2, 9 * XEN_TEST_BUCKET, 1);
    return answers(t);
}

/* Before the state comes in, video memory is a dummy. */
static const char *incoming(XenTest *t)
{
    const XensimDomainConfig empty = {
        .ram_bytes = (uint64_t)XEN_TEST_RAM_MB << 20,
        .flags = XENSIM_DOM_EMPTY | XENSIM_DOM_SCATTERED,
    };
    XensimDomain *old;
    const char *file;

    boot(t);
    old = t->dom;
    file = xen_test_save(t);
    t->dom = xensim_domain_create(t->sim, &empty);
    g_assert_cmpint(xensim_domain_copy_memory(t->dom, old), ==, 0);
    xen_test_stop(t);
    xensim_domain_destroy(old);
    xen_test_boot_begin(t, xen_test_keep(t, g_strdup_printf(
        "%s -incoming defer 9<'%s'", arguments(t), file)));
    XEN_TRY(answers(t));
    XEN_REQUIRE(xen_test_stat(t, "dummies") > 0, "has no dummy");
    qtest_qmp_assert_success(t->qts, "{'execute': 'migrate-incoming', "
                             "'arguments': {'uri': 'fd:9'}}");
    xen_test_boot_end(t);
    XEN_TRY(answers(t));
    XEN_REQUIRE(xen_test_stat(t, "dummies") == 0, "has a dummy left");
    return NULL;
}

int main(int argc, char **argv)
{
    xen_test_init(argc, argv);
    xen_test_add("inside/preconfig", preconfig, NULL);
    xen_test_add("inside/stopped", stopped, NULL);
    xen_test_add("inside/outstanding", outstanding, NULL);
    xen_test_add("inside/migrated", migrated, NULL);
    xen_test_add("inside/not-saved", not_saved, NULL);
    xen_test_add("inside/incoming", incoming, NULL);
    return g_test_run();
}
