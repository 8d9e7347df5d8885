/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A test's device models, from start to end: see xen-test-common.h. */
#include "qemu/osdep.h"
#define XEN_TEST_HELPERS
#include "xen-test-common.h"
#include "xen-test-int.h"

#define SERVE_MS        60000   /* from a device model's start to its service */
#define LOG_TAIL        3000    /* bytes of it that a failure shows */

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

void xen_test_show_log(XenTest *t)
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

bool xen_test_died(XenTest *t, unsigned ms, int *wstatus)
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
    return xen_test_died(t, 0, &wstatus) ? status_text(wstatus) : NULL;
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

    if (xen_test_died(t, 2000, &wstatus)) {
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

    if (xen_test_died(t, 2000, &wstatus)) {
        xen_test_leave(t, status_text(wstatus));
    }
    xen_test_show_log(t);
}

void xen_test_dm_gone(XenTest *t)
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
    if (!xen_test_died(t, 30000, &wstatus)) {
        xen_test_leave(t, "did not end when it was told to");
    }
    xen_test_dm_gone(t);
    if (wstatus != 0) {
        xen_test_leave(t, status_text(wstatus));
    }
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

void xen_test_boot_begin(XenTest *t, const char *args)
{
    launch(t, args);
    connect_to(t);
}

void xen_test_boot_end(XenTest *t)
{
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
        xen_test_dm_gone(t);
    }
    return end;
}

void xen_test_start(XenTest *t, const char *args)
{
    xen_test_domain(t, 0);
    xen_test_boot(t, args);
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

/* Starts a device model that waits until it is told to load @file. */
static void spawn_incoming(XenTest *t, const char *args, const char *file)
{
    g_autofree char *all = g_strdup_printf("%s -incoming defer 9<'%s'", args,
                                           file);

    /* Deferred: a device model that dies of it is to be seen dying. */
    spawn(t, all);
}

static void load_incoming(XenTest *t, const char *args)
{
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

void xen_test_boot_incoming(XenTest *t, const char *args, const char *file)
{
    spawn_incoming(t, args, file);
    load_incoming(t, args);
}

/* The end of the old device model, and a new domain with the same memory. */
static void copy_domain(XenTest *t, const XensimDomainConfig *cfg)
{
    XensimDomain *old = t->dom;
    g_autoptr(GBytes) physmap = ts_physmap_get(t->xs, xensim_domid(old));

    xen_test_note_frames_again(t, "the restore");
    t->dom = xensim_domain_create(t->sim, cfg);
    g_assert_nonnull(t->dom);
    g_assert_cmpint(xensim_domain_copy_memory(t->dom, old), ==, 0);
    xen_test_stop(t);
    xensim_domain_destroy(old);
    ts_physmap_put(t->xs, xensim_domid(t->dom), physmap);
}

void xen_test_restore_as(XenTest *t, const char *args, const char *file,
                         const XensimDomainConfig *cfg)
{
    copy_domain(t, cfg);
    xen_test_boot_incoming(t, args, file);
}

void xen_test_restore_after(XenTest *t, const char *args, const char *bad,
                            const char *file)
{
    XensimDomainConfig cfg = plain_domain(XENSIM_DOM_EMPTY);
    QDict *rsp;

    copy_domain(t, &cfg);
    spawn_incoming(t, args, file);
    rsp = qtest_qmp(t->qts, "{'execute': 'xen-load-devices-state',"
                    " 'arguments': {'filename': %s}}", bad);
    if (!qdict_haskey(rsp, "error")) {
        xen_test_leave(t, "loads a bad state");
    }
    qobject_unref(rsp);
    load_incoming(t, args);
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
