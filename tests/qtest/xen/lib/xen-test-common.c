/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fixture of the Xen device model's qtests: see xen-test-common.h. */
#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <setjmp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#define XEN_TEST_HELPERS
#include "xen-test-common.h"

#define CASE_SECONDS    240     /* a case that takes longer is stuck */
#define SERVE_MS        60000   /* from a device model's start to its service */
#define LOG_TAIL        3000    /* bytes of it that a failure shows */

typedef struct XenCase {
    XenScenario *scenario;
    char *stock;                /* known ends; NULL: run on ours */
    XenJudge *judge;            /* may be NULL */
    const void *data;
} XenCase;

static XenTest *current;        /* the case that runs; for signals */
static sigjmp_buf leave_buf;
static const char *leave_text;

bool xen_test_compat(void)
{
    return *(getenv("XEN_TEST_COMPAT") ?: "");
}

const char *xen_test_call(const char *name)
{
    return xen_test_compat() && g_str_equal(name, "xenforeignmemory_map2")
           ? "xenforeignmemory_map" : name;
}

/* ---- its log ---- */

char *xen_test_log(XenTest *t)
{
    char *text = NULL;

    if (!g_file_get_contents(t->log, &text, NULL, NULL)) {
        text = g_strdup("");
    }
    return text;
}

char **xen_test_log_lines(XenTest *t, const char *text)
{
    g_autofree char *log = xen_test_log(t);
    g_auto(GStrv) all = g_strsplit(log, "\n", -1);
    GPtrArray *found = g_ptr_array_new();

    for (char **line = all; *line; line++) {
        const char *at = strstr(*line, text);

        if (at) {
            g_ptr_array_add(found, g_strdup(at));
        }
    }
    g_ptr_array_add(found, NULL);
    return (char **)g_ptr_array_free(found, FALSE);
}

static void show_log(XenTest *t)
{
    g_autofree char *text = xen_test_log(t);
    size_t len = strlen(text);
    g_auto(GStrv) lines =
        g_strsplit(text + (len > LOG_TAIL ? len - LOG_TAIL : 0), "\n", -1);

    for (char **line = lines; *line; line++) {
        if (**line) {
            printf("# device model: %s\n", *line);
        }
    }
    fflush(stdout);
}

/* ---- ends ---- */

void xen_test_leave(XenTest *t, const char *text)
{
    xen_test_place_show();
    leave_text = text;
    siglongjmp(leave_buf, 1);
}

static const char *status_text(int wstatus)
{
    if (WIFSIGNALED(wstatus)) {
        switch (WTERMSIG(wstatus)) {
        case SIGABRT:
            return "ended by SIGABRT";
        case SIGSEGV:
            return "ended by SIGSEGV";
        case SIGBUS:
            return "ended by SIGBUS";
        default:
            return g_strdup_printf("ended by signal %d", WTERMSIG(wstatus));
        }
    }
    return g_strdup_printf("ended with status %d", WEXITSTATUS(wstatus));
}

/* Was it only the daemon's parent that ended?  Then @t goes on with that. */
static bool became_daemon(XenTest *t, int wstatus)
{
    g_autofree char *text = NULL;

    if (!t->pidfile || wstatus ||
        !g_file_get_contents(t->pidfile, &text, NULL, NULL)) {
        return false;
    }
    t->pid = g_ascii_strtoll(text, NULL, 10);
    g_clear_pointer(&t->pidfile, g_free);
    return t->pid > 0;
}

/* Has it died within @ms?  If so it is reaped, and libqtest told. */
static bool died(XenTest *t, unsigned ms, int *wstatus)
{
    gint64 end = g_get_monotonic_time() + ms * 1000;
    pid_t pid;

    if (t->pid <= 0) {
        return false;
    }
    for (;;) {
        pid = waitpid(t->pid, wstatus, WNOHANG);
        if (pid == t->pid) {
            if (became_daemon(t, *wstatus)) {
                continue;
            }
            break;
        }
        g_assert_cmpint(pid, ==, 0);
        if (g_get_monotonic_time() >= end) {
            return false;
        }
        g_usleep(2000);
    }
    t->pid = 0;
    /* Finds no child to wait for and takes the status to be 0. */
    qtest_probe_child(t->qts);
    xensim_reap(t->sim);
    return true;
}

/* NULL if the device model is alive, or else how it ended. */
static const char *end_of(XenTest *t)
{
    int wstatus;

    if (!t->pid) {
        return "is not there any more";
    }
    return died(t, 0, &wstatus) ? status_text(wstatus) : NULL;
}

void xen_test_alive(XenTest *t)
{
    const char *end = end_of(t);

    if (end) {
        xen_test_leave(t, end);
    }
}

void xen_test_no_answer(XenTest *t, const char *msg)
{
    int wstatus;

    if (died(t, 2000, &wstatus)) {
        xen_test_leave(t, status_text(wstatus));
    }
    xen_test_leave(t, g_strdup_printf("did not answer: %s", msg));
}

/*
 * libqtest aborts when the device model hangs up.  If it has died, that is
 * an end like others; any other reason to abort is shown with the log.
 */
static void aborting(void *opaque)
{
    XenTest *t = opaque;
    int wstatus;

    if (died(t, 2000, &wstatus)) {
        xen_test_leave(t, status_text(wstatus));
    }
    show_log(t);
}

static void qtest_gone(XenTest *t)
{
    if (t->qts) {
        qtest_remove_abrt_handler(t);
        qtest_quit(t->qts);
        t->qts = NULL;
    }
    g_clear_pointer(&t->pc, guest_pc_free);
}

void xen_test_stop(XenTest *t)
{
    int wstatus;

    xen_test_alive(t);
    kill(t->pid, SIGTERM);
    if (!died(t, 30000, &wstatus)) {
        xen_test_leave(t, "did not end when it was told to");
    }
    qtest_gone(t);
    if (wstatus != 0) {
        xen_test_leave(t, status_text(wstatus));
    }
}

/* A guest helper of the simulation got no answer. */
static void no_answer(void *opaque, const char *msg)
{
    xen_test_no_answer(opaque, msg);
}

static void stuck(int sig)
{
    printf("# a case took more than %d s\n", CASE_SECONDS);
    if (current) {
        show_log(current);
        if (current->pid > 0) {
            kill(current->pid, SIGKILL);
        }
    }
    _exit(1);
}

/* ---- device models ---- */

static XensimDomainConfig plain_domain(unsigned flags)
{
    return (XensimDomainConfig) {
        .ram_bytes = (uint64_t)XEN_TEST_RAM_MB << 20,
        .flags = flags | XENSIM_DOM_SCATTERED,
    };
}

void xen_test_domain(XenTest *t, unsigned flags)
{
    XensimDomainConfig cfg = plain_domain(flags);

    t->dom = xensim_domain_create(t->sim, &cfg);
    g_assert_nonnull(t->dom);
}

static void launch(XenTest *t, const char *args)
{
    const char *roms = getenv("XEN_TEST_ROMS") ?: "/usr/share/seabios";
    /* xenfv brings its accelerator; libqtest's "-accel qtest" is left out. */
    g_autofree char *all =
        g_strdup_printf("-xen-domid %u -no-user-config -nodefaults "
                        "-machine xenfv,suppress-vmdesc=on -m %" PRIu64
                        " -L '%s' %s 2>>'%s' #", xensim_domid(t->dom),
                        xensim_ram_bytes(t->dom) >> 20, roms, args, t->log);

    t->before = xensim_count_maps(t->sim);
    xensim_setenv_for_dm(t->dom);
    if (xen_test_compat() && !t->stock) {
        setenv("XENSIM_NO_MAP2", "1", true);
    }
    t->qts = qtest_init_with_env_and_capabilities(
        t->stock ? "XENSIM_STOCK_QEMU" : NULL, all, NULL, false);
    xensim_unsetenv_for_dm(t->sim);
    unsetenv("XENSIM_NO_MAP2");
    t->pid = qtest_pid(t->qts);
    /* In front of libqtest's own, which would be the end of it all. */
    qtest_add_abrt_handler(aborting, t);

}

static void connect_to(XenTest *t)
{
    qtest_connect(t->qts);
    qtest_qmp_handshake(t->qts, NULL);
    t->pc = guest_pc_new(t->dom);
    if (t->stock) {
        /* It is known to leave a transfer unfinished. */
        guest_pc_set_timeout(t->pc, 3000);
    }
}

static void spawn(XenTest *t, const char *args)
{
    gint64 end = g_get_monotonic_time() + SERVE_MS * 1000;

    launch(t, args);
    /* libqtest would wait in vain for one that has ended already. */
    while (!xensim_servers(t->dom, NULL, 0)) {
        xen_test_alive(t);
        if (g_get_monotonic_time() > end) {
            xen_test_leave(t, "makes no ioreq server");
        }
        g_usleep(2000);
    }
    connect_to(t);
}

/* NULL once it serves the guest, or else how it ended. */
static const char *wait_ready(XenTest *t)
{
    const char *end = NULL;

    for (unsigned ms = 0; xensim_wait_ready(t->dom, 20) != XENSIM_OK;
         ms += 20) {
        end = end_of(t);
        if (end || ms >= SERVE_MS) {
            return end ?: "does not serve the guest";
        }
    }
    return NULL;
}

static void serves(XenTest *t)
{
    const char *end = wait_ready(t);

    if (end) {
        xen_test_leave(t, end);
    }
}

void xen_test_boot(XenTest *t, const char *args)
{
    spawn(t, args);
    serves(t);
}

const char *xen_test_try_boot(XenTest *t, const char *args)
{
    const char *end;

    launch(t, args);
    end = wait_ready(t);
    if (!end) {
        connect_to(t);
    } else if (!t->pid) {
        qtest_gone(t);
    }
    return end;
}

void xen_test_start(XenTest *t, const char *args)
{
    xen_test_domain(t, 0);
    xen_test_boot(t, args);
}

const char *xen_test_keep(XenTest *t, char *text)
{
    g_ptr_array_add(t->texts, text);
    return text;
}

const char *xen_test_try_save(XenTest *t, const char **file)
{
    const char *reason = NULL;
    QDict *rsp;

    *file = xen_test_keep(t, g_strdup_printf("%s/state-%u", t->dir,
                                             t->texts->len));
    xen_test_alive(t);
    qtest_qmp_assert_success(t->qts, "{'execute': 'stop'}");
    rsp = qtest_qmp(t->qts, "{'execute': 'xen-save-devices-state',"
                    " 'arguments': {'filename': %s, 'live': false}}", *file);
    if (qdict_haskey(rsp, "error")) {
        QDict *error = qdict_get_qdict(rsp, "error");

        reason = xen_test_keep(t, g_strdup(qdict_get_str(error, "desc")));
    }
    qobject_unref(rsp);
    return reason;
}

const char *xen_test_save(XenTest *t)
{
    const char *file;
    const char *reason = xen_test_try_save(t, &file);

    if (reason) {
        xen_test_leave(t, g_strdup_printf("did not save: %s", reason));
    }
    return file;
}

/* Waits until an incoming state is in. */
static void loaded(XenTest *t)
{
    bool done = false;

    qobject_unref(qtest_qmp_receive(t->qts));
    while (!done) {
        QDict *r = qtest_qmp_assert_success_ref(
            t->qts, "{'execute': 'query-migrate'}");
        const char *status = qdict_get_try_str(r, "status");

        xen_test_alive(t);
        done = status && g_str_equal(status, "completed");
        qobject_unref(r);
        g_usleep(2000);
    }
}

void xen_test_boot_incoming(XenTest *t, const char *args, const char *file)
{
    g_autofree char *all = g_strdup_printf("%s -incoming defer 9<'%s'", args,
                                           file);

    /* Deferred: a device model that dies of it is to be seen dying. */
    spawn(t, all);
    qtest_qmp_send(t->qts, "{'execute': 'migrate-incoming',"
                   " 'arguments': {'uri': 'fd:9'}}");
    if (strstr(args, " -S ")) {
        loaded(t);
    } else {
        serves(t);
        qobject_unref(qtest_qmp_receive(t->qts));
    }
    t->ide.pc = t->pc;
    t->vga.pc = t->pc;
}

void xen_test_restore_as(XenTest *t, const char *args, const char *file,
                         const XensimDomainConfig *cfg)
{
    XensimDomain *old = t->dom;
    g_autoptr(GBytes) physmap = ts_physmap_get(t->xs, xensim_domid(old));

    t->dom = xensim_domain_create(t->sim, cfg);
    g_assert_nonnull(t->dom);
    g_assert_cmpint(xensim_domain_copy_memory(t->dom, old), ==, 0);
    xen_test_stop(t);
    xensim_domain_destroy(old);
    ts_physmap_put(t->xs, xensim_domid(t->dom), physmap);
    xen_test_boot_incoming(t, args, file);
}

void xen_test_save_restore(XenTest *t, const char *args)
{
    XensimDomainConfig cfg = plain_domain(XENSIM_DOM_EMPTY);

    xen_test_restore_as(t, args, xen_test_save(t), &cfg);
}

void xen_test_save_restore_as(XenTest *t, const char *args,
                              const XensimDomainConfig *cfg)
{
    xen_test_restore_as(t, args, xen_test_save(t), cfg);
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

    if (sigsetjmp(leave_buf, 1)) {
        return leave_text;
    }
    xen_test_place_clear();
    text = scenario(t);
    if (!text && !t->stock) {
        text = all_is_well(t);
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
    show_log(t);
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
    if (t.pid > 0) {
        int wstatus;

        kill(t.pid, SIGKILL);
        died(&t, 30000, &wstatus);
    }
    if (t.pidfile) {
        kill_children();
    }
    qtest_gone(&t);
    if (c->judge) {
        text = c->judge(&t, text);
    }
    say_end(&t, c, text);
    alarm(0);
    current = NULL;
    ts_free(t.ts);
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
