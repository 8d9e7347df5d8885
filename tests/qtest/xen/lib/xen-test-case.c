/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cases of a test, and what holds after each: see xen-test-common.h. */
#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#define XEN_TEST_HELPERS
#include "xen-test-common.h"
#include "xen-test-int.h"

#define CASE_SECONDS    240     /* a case that takes longer is stuck */

typedef struct XenCase {
    XenScenario *scenario;
    char *stock;                /* known ends; NULL: run on ours */
    XenJudge *judge;            /* may be NULL */
    const void *data;
} XenCase;

static XenTest *current;        /* the case that runs; for signals */

/* ---- ends ---- */

/* A guest helper of the simulation got no answer. */
static void no_answer(void *opaque, const char *msg)
{
    xen_test_no_answer(opaque, msg);
}

static void stuck(int sig)
{
    printf("# a case took more than %d s\n", CASE_SECONDS);
    if (current) {
        xen_test_show_log(current);
        if (current->pid > 0) {
            kill(current->pid, SIGKILL);
        }
    }
    _exit(1);
}

/* ---- cases ---- */

/* Its own counters say what the simulation has counted. */
static const char *counters_agree(XenTest *t)
{
    XensimCount now = xensim_count_maps(t->sim);

    XEN_REQUIRE(xen_test_stat(t, "map-calls") == now.calls - t->before.calls,
                "miscounts map calls");
    XEN_REQUIRE(xen_test_stat(t, "map-pages") == now.pages - t->before.pages,
                "miscounts pages mapped");
    XEN_REQUIRE(xen_test_stat(t, "map-failures") ==
                now.failures - t->before.failures,
                "miscounts map calls that failed");
    XEN_REQUIRE(xen_test_stat(t, "dummies") == 0, "has a dummy mapping left");
    XEN_REQUIRE(xen_test_stat(t, "grants") == 0, "has a grant mapped");
    return NULL;
}

/* What must hold after every scenario on ours. */
static const char *all_is_well(XenTest *t)
{
    if (t->qts) {
        xen_test_alive(t);
        XEN_REQUIRE(xen_test_stat(t, "unmatched") == 0,
                    "released what it did not hold");
        XEN_REQUIRE(xen_test_settles(t, "dma", "held"),
                    "has a DMA mapping left");
        xensim_invalidate(t->dom);
        XEN_REQUIRE(xen_test_settles(t, "buckets", "buckets-pending"),
                    "counts a bucket that nobody holds");
        XEN_REQUIRE(xen_test_ram_mapped(t) == 0, "has a mapping of RAM left");
        XEN_TRY(counters_agree(t));
        xen_test_stop(t);
    }
    XEN_REQUIRE(xensim_check(t->sim) == 0,
                "left the simulation's books out of balance");
    return NULL;
}

static void remove_dir(const char *dir)
{
    GDir *d = g_dir_open(dir, 0, NULL);
    const char *name;

    while (d && (name = g_dir_read_name(d))) {
        g_autofree char *path = g_build_filename(dir, name, NULL);

        g_unlink(path);
    }
    if (d) {
        g_dir_close(d);
    }
    g_rmdir(dir);
}

static const char *run(XenTest *t, XenScenario *scenario)
{
    const char *text;

    xen_test_place_clear();
    text = xen_test_catch(t, scenario);
    if (!text && !t->stock) {
        text = xen_test_catch(t, all_is_well);
    }
    return text;
}

static bool is_known(const char *text, const char *stock)
{
    g_auto(GStrv) known = g_strsplit(stock, "|", -1);

    for (char **pattern = known; *pattern; pattern++) {
        if (g_pattern_match_simple(*pattern, text)) {
            return true;
        }
    }
    return false;
}

/* A daemon that did not come to write its number is a child of ours. */
static void kill_children(void)
{
    g_autofree char *path = g_strdup_printf("/proc/self/task/%d/children",
                                            getpid());
    g_autofree char *text = NULL;
    g_auto(GStrv) pids = NULL;

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return;
    }
    pids = g_strsplit(g_strstrip(text), " ", -1);
    for (char **pid = pids; *pid; pid++) {
        pid_t child = atoi(*pid);

        if (child > 0 && kill(child, SIGKILL) == 0) {
            waitpid(child, NULL, 0);
        }
    }
}

/* ---- running a case ---- */

static void say_end(XenTest *t, const XenCase *c, const char *text)
{
    if (c->stock) {
        g_test_message("stock: %s", text ?: "ok");
        if (is_known(text ?: "ok", c->stock)) {
            return;
        }
        g_test_message("known are: %s", c->stock);
    } else if (text) {
        g_test_message("the device model %s", text);
    } else {
        return;
    }
    xen_test_show_log(t);
    g_test_fail();
}

static void run_case(const void *data)
{
    const XenCase *c = data;
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) err = NULL;
    XenTest t = { .stock = c->stock, .data = c->data, .texts = texts };
    const char *text;

    if (t.stock && !*(getenv("XENSIM_STOCK_QEMU") ?: "")) {
        g_test_skip("XENSIM_STOCK_QEMU names no binary to compare with");
        return;
    }
    t.dir = g_dir_make_tmp("xen-test-XXXXXX", NULL);
    g_assert_nonnull(t.dir);
    t.log = g_build_filename(t.dir, "log", NULL);
    t.ts = ts_new(NULL, &err);
    g_assert_no_error(err);
    t.sim = ts_sim(t.ts);
    t.xs = ts_xs(t.ts);
    xensim_set_fail_handler(t.sim, no_answer, &t);
    current = &t;
    alarm(CASE_SECONDS);

    text = run(&t, c->scenario);
    if (text && !t.stock && t.frames && t.qts) {
        xen_test_show_frames(&t);
    }
    if (t.pid > 0) {
        int wstatus;

        kill(t.pid, SIGKILL);
        xen_test_died(&t, 30000, &wstatus);
    }
    if (t.pidfile) {
        kill_children();
    }
    xen_test_dm_gone(&t);
    if (c->judge) {
        text = c->judge(&t, text);
    }
    say_end(&t, c, text);
    alarm(0);
    current = NULL;
    ts_free(t.ts);
    xen_test_frames_free(t.frames);
    remove_dir(t.dir);
    g_free(t.log);
    g_free(t.pidfile);
    g_free(t.dir);
}

void xen_test_add(const char *path, XenScenario *scenario, const char *stock)
{
    xen_test_add_data(path, scenario, NULL, stock);
}

void xen_test_add_data(const char *path, XenScenario *scenario,
                       const void *data, const char *stock)
{
    g_autofree char *ours = g_strdup_printf("xen/%s", path);
    g_autofree char *theirs = g_strdup_printf("xen/%s/stock", path);
    XenCase c = { .scenario = scenario, .data = data };

    qtest_add_data_func(ours, g_memdup2(&c, sizeof(c)), run_case);
    if (stock && !xen_test_compat()) {
        c.stock = g_strdup(stock);
        qtest_add_data_func(theirs, g_memdup2(&c, sizeof(c)), run_case);
    }
}

void xen_test_add_judged(const char *path, XenScenario *scenario,
                         XenJudge *judge, const void *data)
{
    g_autofree char *full = g_strdup_printf("xen/%s", path);
    XenCase c = { .scenario = scenario, .judge = judge, .data = data };

    qtest_add_data_func(full, g_memdup2(&c, sizeof(c)), run_case);
}

void xen_test_init(int argc, char **argv)
{
    struct sigaction on_alarm = { .sa_handler = stuck };
    struct rlimit none = { 0, 0 };

    g_test_init(&argc, &argv, NULL);
    /* Comparisons may dump core by the dozen. */
    setrlimit(RLIMIT_CORE, &none);
    /* The parent of a daemon is whoever asked to be. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    sigaction(SIGALRM, &on_alarm, NULL);
    signal(SIGPIPE, SIG_IGN);
}
