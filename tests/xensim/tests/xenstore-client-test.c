/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The simulated xenstore: watches, and its clients' life and death. */

#include <signal.h>
#include <sys/wait.h>
#ifndef REAL_LIBXENSTORE
#include <xentoolcore.h>
#endif

#include "xenstore-common.h"

static void test_watch(Fixture *f, gconstpointer data)
{
    unsigned int n = 0;
    char **v;

    put(f->b, 0, "/a/b", "0");
    g_assert_true(xs_watch(f->a, "/a", "tok"));
    expect_event(f->a, "/a", "tok");
    expect_no_event(f->a);
    g_assert_fails(xs_watch(f->a, "/a", "tok"), EEXIST);

    put(f->b, 0, "/a/b", "1");
    expect_event(f->a, "/a/b", "tok");
    put(f->b, 0, "/ab", "1");
    xensim_xs_writef(f->xs, "/a/c/d", "host");
    expect_event(f->a, "/a/c/d", "tok");
    expect_no_event(f->a);

    /* Its own changes too, also while its queue is filled by requests. */
    put(f->a, 0, "/a/own", "1");
    expect(f->a, 0, "/a/own", "1");
    g_assert_true(readable(f->a, 0));
    v = xs_read_watch(f->a, &n);
    g_assert_cmpuint(n, ==, 2);
    g_assert_cmpstr(v[XS_WATCH_PATH], ==, "/a/own");
    free(v);
    expect_no_event(f->a);

    /* A removal is told for the node, and for those that went with it. */
    g_assert_true(xs_watch(f->a, "/a/c/d", "deep"));
    expect_event(f->a, "/a/c/d", "deep");
    g_assert_true(xs_rm(f->b, 0, "/a/c"));
    expect_event(f->a, "/a/c", "tok");
    expect_event(f->a, "/a/c/d", "deep");
    expect_no_event(f->a);

    g_assert_true(xs_unwatch(f->a, "/a", "tok"));
    g_assert_fails(xs_unwatch(f->a, "/a", "tok"), ENOENT);
    put(f->b, 0, "/a/b", "2");
    expect_no_event(f->a);
    g_assert_cmpuint(xensim_xs_watches(f->xs), ==, 1);
}

/* Relative paths come back relative; domains have paths of their own. */
static void test_watch_special(Fixture *f, gconstpointer data)
{
    g_assert_true(xs_watch(f->a, "backend", "rel"));
    expect_event(f->a, "backend", "rel");
    put(f->b, 0, "/local/domain/0/backend/vbd/1", "x");
    expect_event(f->a, "backend/vbd/1", "rel");

    g_assert_true(xs_watch(f->a, "@introduceDomain", "in"));
    expect_event(f->a, "@introduceDomain", "in");
    g_assert_true(xs_watch(f->a, "@releaseDomain", "out"));
    expect_event(f->a, "@releaseDomain", "out");
    xensim_xs_introduce(f->xs, 3);
    expect_event(f->a, "@introduceDomain", "in");
    xensim_xs_release(f->xs, 3);
    expect_event(f->a, "@releaseDomain", "out");
    expect_no_event(f->a);

    /* mkdir of what is there changes nothing. */
    g_assert_true(xs_mkdir(f->b, 0, "/local/domain/0/backend"));
    expect_no_event(f->a);
    g_assert_cmpuint(xensim_xs_watches(f->xs), ==, 3);
}

static void test_watch_filter(Fixture *f, gconstpointer data)
{
    struct xs_handle *h = xs_open(XS_UNWATCH_FILTER);

    g_assert_true(xs_watch(h, "/a", "1"));
    g_assert_true(xs_watch(h, "/b", "2"));
    put(f->b, 0, "/a/x", "");
    put(f->b, 0, "/b/x", "");
    expect(h, 0, "/a/x", "");
    g_assert_true(xs_unwatch(h, "/a", "1"));
    expect_event(h, "/b", "2");
    expect_event(h, "/b/x", "2");
    expect_no_event(h);
    xs_close(h);
}

static void test_watch_rights(Fixture *f, gconstpointer data)
{
    struct xs_permissions perms[] = {
        { 0, XS_PERM_NONE }, { 7, XS_PERM_READ },
    };

    put(f->b, 0, "/r/open", "");
    put(f->b, 0, "/r/shut", "");
    g_assert_true(xs_set_permissions(f->b, 0, "/r/open", perms, 2));
    xensim_xs_set_client_domid(f->xs, 7);
    g_assert_true(xs_watch(f->a, "/r", "t"));
    expect_event(f->a, "/r", "t");
    g_assert_fails(xs_watch(f->a, "@releaseDomain", "t"), EACCES);
    xensim_xs_writef(f->xs, "/r/shut", "1");
    xensim_xs_writef(f->xs, "/r/open", "1");
    expect_event(f->a, "/r/open", "t");
    g_assert_false(readable(f->a, 50));
}

static gpointer wait_for_event(gpointer opaque)
{
    unsigned int n;
    char **v = xs_read_watch(opaque, &n);
    char *path = g_strdup(v[XS_WATCH_PATH]);

    free(v);
    return path;
}

/* One thread sleeps for an event while another makes requests. */
static void test_watch_threads(Fixture *f, gconstpointer data)
{
    g_autofree char *got = NULL;
    GThread *thread;
    unsigned int i;

    g_assert_true(xs_watch(f->a, "/t/go", "t"));
    expect_event(f->a, "/t/go", "t");
    thread = g_thread_new("waiter", wait_for_event, f->a);
    for (i = 0; i < 2000; i++) {
        put(f->a, 0, "/t/other", "x");
        expect(f->a, 0, "/t/other", "x");
    }
    put(f->b, 0, "/t/go", "now");
    got = g_thread_join(thread);
    g_assert_cmpstr(got, ==, "/t/go");
}

/* ---- clients ---- */

static void test_client_dies(Fixture *f, gconstpointer data)
{
    int ready[2];
    char c;
    pid_t pid;

    g_assert_cmpint(pipe(ready), ==, 0);
    expect_clients(f->xs, 2);
    pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        struct xs_handle *h = xs_open(0);

        if (h && xs_watch(h, "/d", "t") && xs_transaction_start(h) &&
            write(ready[1], "x", 1) == 1) {
            pause();
        }
        _exit(1);
    }
    g_assert_cmpint(read(ready[0], &c, 1), ==, 1);
    expect_clients(f->xs, 3);
    g_assert_cmpuint(xensim_xs_watches(f->xs), ==, 1);
    kill(pid, SIGKILL);
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
    expect_clients(f->xs, 2);
    g_assert_cmpuint(xensim_xs_watches(f->xs), ==, 0);
    put(f->a, 0, "/d/x", "still served");
    expect(f->b, 0, "/d/x", "still served");
    close(ready[0]);
    close(ready[1]);
}

static void test_server_gone(Fixture *f, gconstpointer data)
{
    put(f->a, 0, "/x", "1");
    xensim_xs_free(f->xs);
    f->xs = NULL;
    /* The real library says EPIPE for the first, depending on its thread. */
    g_assert_null(xs_read(f->a, 0, "/x", NULL));
    g_assert_true(errno == EIO || errno == EPIPE);
    g_assert_null(xs_read(f->a, 0, "/x", NULL));
    /* And a poll on the descriptor does not spin. */
    g_assert_false(readable(f->a, 0));
    g_assert_null(xs_open(0));
}

#ifndef REAL_LIBXENSTORE

/* Calls are counted, and fail when a fault says so. */
static void test_record(Fixture *f, gconstpointer data)
{
    XensimCount before = xensim_count(sim, "xs_write"), after;
    int fault;

    put(f->a, 0, "/x", "1");
    fault = xensim_fault_arm_text(sim, "xs_write:once:errno=ENOSPC");
    g_assert_cmpint(fault, >=, 0);
    g_assert_fails(xs_write(f->a, 0, "/x", "2", 1), ENOSPC);
    put(f->a, 0, "/y", "3");
    expect(f->a, 0, "/x", "1");
    after = xensim_count(sim, "xs_write");
    g_assert_cmpuint(after.calls - before.calls, ==, 3);
    g_assert_cmpuint(after.failures - before.failures, ==, 1);
    xensim_fault_disarm_all(sim);
}

/* The store that a simulation has by itself. */
static void test_simulation(Fixture *f, gconstpointer data)
{
    XensimDomainConfig dc = { .ram_bytes = 8 << 20, .vcpus = 2 };
    XensimDomain *dom = xensim_domain_create(sim, &dc);
    XensimXs *xs = xensim_xenstore(sim);
    g_autofree char *path = g_strdup_printf("/local/domain/%u",
                                            xensim_domid(dom));
    g_autofree char *domid_path = g_strconcat(path, "/domid", NULL);
    g_autofree char *cpu_path =
        g_strconcat(path, "/cpu/1/availability", NULL);
    g_autofree char *cpu = NULL;
    struct xs_handle *h;
    char *domid;

    /* Not the fixture's store, but the one in the run directory. */
    g_unsetenv("XENSTORED_PATH");
    h = xs_open(0);
    g_assert_nonnull(h);
    domid = xs_read(h, 0, domid_path, NULL);
    g_assert_cmpint(atoi(domid), ==, xensim_domid(dom));
    g_assert_true(xs_is_domain_introduced(h, xensim_domid(dom)));
    free(domid);
    cpu = xensim_xs_read(xs, cpu_path);
    g_assert_cmpstr(cpu, ==, "online");
    xensim_domain_destroy(dom);
    g_assert_null(xensim_xs_read(xs, path));
    xs_close(h);
}

/* The real library's answers to a process that has restricted itself. */
static void test_restricted(Fixture *f, gconstpointer data)
{
    struct xs_permissions perm = { 0, XS_PERM_NONE };
    unsigned int n;
    int status;
    pid_t pid = fork();

    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        struct xs_handle *h = xs_open(0);
        int step = 0;

        /* Exit status: the number of the first step that went wrong. */
#define STEP(condition) \
        do { \
            step++; \
            errno = 0; \
            if (!(condition)) { \
                _exit(step); \
            } \
        } while (0)
        STEP(h && xs_write(h, 0, "/before", "1", 1));
        STEP(xentoolcore_restrict_all(5) == 0);
        STEP(!xs_write(h, 0, "/after", "1", 1) && errno == EACCES);
        STEP(!xs_read(h, 0, "/before", NULL) && errno == EACCES);
        STEP(!xs_directory(h, 0, "/", &n) && errno == EACCES);
        STEP(!xs_mkdir(h, 0, "/after") && errno == EACCES);
        STEP(!xs_rm(h, 0, "/before") && errno == EACCES);
        STEP(!xs_watch(h, "/", "t") && errno == EACCES);
        STEP(!xs_unwatch(h, "/", "t") && errno == EACCES);
        STEP(!xs_check_watch(h) && errno == EACCES);
        STEP(!xs_transaction_start(h) && errno == EACCES);
        STEP(!xs_get_permissions(h, 0, "/", &n) && errno == EACCES);
        STEP(!xs_set_permissions(h, 0, "/", &perm, 1) && errno == EACCES);
        STEP(!xs_get_domain_path(h, 1) && errno == EACCES);
        STEP(!xs_open(0) && errno == EACCES);
        xs_close(h);
        _exit(0);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
    expect(f->a, 0, "/before", "1");
    expect(f->a, 0, "/after", NULL);
}

#endif /* REAL_LIBXENSTORE */

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("watch", test_watch);
    ADD("watch-special", test_watch_special);
    ADD("watch/unwatch-filter", test_watch_filter);
    ADD("watch/rights", test_watch_rights);
    ADD("watch/threads", test_watch_threads);
    ADD("client-dies", test_client_dies);
    ADD("server-gone", test_server_gone);
#ifndef REAL_LIBXENSTORE
    ADD("record", test_record);
    ADD("simulation", test_simulation);
    ADD("restricted", test_restricted);
#endif
    return xs_run();
}
