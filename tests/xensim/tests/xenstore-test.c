/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The simulated xenstore: tree, permissions, transactions, log. */

#include "xenstore-common.h"

static void test_tree(Fixture *f, gconstpointer data)
{
    const char bytes[] = { 'a', 0, '\xff', 'b' };
    unsigned int n, len;
    char **names;
    void *got;

    put(f->a, 0, "/x/y/z", "deep");
    expect(f->b, 0, "/x/y/z", "deep");
    expect(f->b, 0, "/x/y", "");
    expect(f->b, 0, "/x/nothing", NULL);
    put(f->b, 0, "/x/y/z", "");
    expect(f->a, 0, "/x/y/z", "");

    /* Values are bytes. */
    g_assert_true(xs_write(f->a, 0, "/x/b", bytes, sizeof(bytes)));
    got = xs_read(f->a, 0, "/x/b", &len);
    g_assert_cmpmem(got, len, bytes, sizeof(bytes));
    free(got);

    put(f->a, 0, "/x/c", "1");
    put(f->a, 0, "/x/a", "1");
    names = xs_directory(f->a, 0, "/x", &n);
    g_assert_cmpuint(n, ==, 4);
    g_assert_cmpstr(names[0], ==, "a");
    g_assert_cmpstr(names[1], ==, "b");
    g_assert_cmpstr(names[2], ==, "c");
    g_assert_cmpstr(names[3], ==, "y");
    free(names);
    names = xs_directory(f->a, 0, "/x/a", &n);
    g_assert_nonnull(names);
    g_assert_cmpuint(n, ==, 0);
    free(names);
    g_assert_fails(xs_directory(f->a, 0, "/none", &n), ENOENT);
}

static void test_mkdir_rm(Fixture *f, gconstpointer data)
{
    put(f->a, 0, "/x/c", "1");
    put(f->a, 0, "/x/y/z", "");
    /* mkdir keeps what is there. */
    g_assert_true(xs_mkdir(f->a, 0, "/x/c"));
    expect(f->a, 0, "/x/c", "1");
    g_assert_true(xs_mkdir(f->a, 0, "/m/n"));
    expect(f->a, 0, "/m/n", "");

    /* rm takes all below; what is not there is fine below a node. */
    g_assert_true(xs_rm(f->a, 0, "/x/y"));
    expect(f->a, 0, "/x/y/z", NULL);
    expect(f->a, 0, "/x/c", "1");
    g_assert_true(xs_rm(f->a, 0, "/x/y"));
    g_assert_fails(xs_rm(f->a, 0, "/no/such"), ENOENT);
    g_assert_fails(xs_rm(f->a, 0, "/"), EINVAL);
}

static void test_refused(Fixture *f, gconstpointer data)
{
    unsigned int len;
    char *big;

    put(f->a, 0, "/x/c", "1");
    g_assert_fails(xs_read(f->a, 0, "/x//c", &len), EINVAL);
    g_assert_fails(xs_read(f->a, 0, "/x/c/", &len), EINVAL);
    g_assert_fails(xs_read(f->a, 0, "/x c", &len), EINVAL);
    big = g_strnfill(5000, 'v');
    g_assert_fails(xs_write(f->a, 0, "/big", big, 5000), E2BIG);
    g_free(big);
    expect(f->a, 0, "/big", NULL);
}

/* A directory may exceed what one message carries. */
static void test_large_directory(Fixture *f, gconstpointer data)
{
    unsigned int n;
    char **names;

    for (n = 0; n < 400; n++) {
        g_autofree char *path = g_strdup_printf("/dir/name-%08u", n);

        put(f->a, 0, path, "");
    }
    names = xs_directory(f->a, 0, "/dir", &n);
    g_assert_cmpuint(n, ==, 400);
    g_assert_cmpstr(names[399], ==, "name-00000399");
    free(names);
}

/* Relative paths are the domain's own. */
static void test_relative(Fixture *f, gconstpointer data)
{
    void *got;

    put(f->a, 0, "device-model/7/state", "running");
    expect(f->b, 0, "/local/domain/0/device-model/7/state", "running");
    got = xs_get_domain_path(f->a, 7);
    g_assert_cmpstr(got, ==, "/local/domain/7");
    free(got);
    g_assert_true(xs_is_domain_introduced(f->a, 0));
    g_assert_false(xs_is_domain_introduced(f->a, 7));
    xensim_xs_introduce(f->xs, 7);
    g_assert_true(xs_is_domain_introduced(f->a, 7));
}

static void test_toolstack(Fixture *f, gconstpointer data)
{
    g_autofree char *value = NULL;
    g_auto(GStrv) names = NULL;

    g_assert_cmpint(xensim_xs_writef(f->xs, "/vm/%d", "x"), ==, -EINVAL);
    g_assert_cmpint(xensim_xs_writef(f->xs, "/vm/a/n", "%d", 42), ==, 0);
    expect(f->a, 0, "/vm/a/n", "42");
    put(f->a, 0, "/vm/a/m", "client");
    value = xensim_xs_read(f->xs, "/vm/a/m");
    g_assert_cmpstr(value, ==, "client");
    g_assert_null(xensim_xs_read(f->xs, "/vm/none"));
    names = xensim_xs_directory(f->xs, "/vm/a");
    g_assert_cmpuint(g_strv_length(names), ==, 2);
    g_assert_cmpstr(names[0], ==, "m");
    g_assert_cmpint(xensim_xs_rm(f->xs, "/vm/a/m"), ==, 0);
    g_assert_cmpint(xensim_xs_rm(f->xs, "/vm/none/such"), ==, 0);
    expect(f->a, 0, "/vm/a/m", NULL);
    g_assert_cmpint(xensim_xs_mkdir(f->xs, "/vm/d"), ==, 0);
    expect(f->a, 0, "/vm/d", "");
}

static gpointer write_later(gpointer opaque)
{
    struct xs_handle *h = opaque;

    g_usleep(50000);
    put(h, 0, "/w/state", "starting");
    g_usleep(50000);
    put(h, 0, "/w/state", "running");
    return NULL;
}

static void test_wait(Fixture *f, gconstpointer data)
{
    GThread *thread;

    g_assert_cmpint(xensim_xs_wait(f->xs, "/w/state", "running", 30), ==,
                    -ETIMEDOUT);
    thread = g_thread_new("writer", write_later, f->a);
    g_assert_cmpint(xensim_xs_wait(f->xs, "/w/state", "running", 5000), ==, 0);
    expect(f->b, 0, "/w/state", "running");
    g_thread_join(thread);
}

static void test_permissions(Fixture *f, gconstpointer data)
{
    struct xs_permissions perms[2] = {
        { 0, XS_PERM_NONE }, { 7, XS_PERM_READ },
    };
    struct xs_permissions *got;
    unsigned int n;

    put(f->a, 0, "/p/secret", "s");
    put(f->a, 0, "/p/shown", "s");
    g_assert_true(xs_set_permissions(f->a, 0, "/p/shown", perms, 2));
    got = xs_get_permissions(f->b, 0, "/p/shown", &n);
    g_assert_cmpuint(n, ==, 2);
    g_assert_cmpuint(got[0].id, ==, 0);
    g_assert_cmpuint(got[0].perms, ==, XS_PERM_NONE);
    g_assert_cmpuint(got[1].id, ==, 7);
    g_assert_cmpuint(got[1].perms, ==, XS_PERM_READ);
    free(got);

    /* Domain 7 owns a directory; it is open to nobody else. */
    put(f->a, 0, "/local/domain/7", "");
    perms[0].id = 7;
    g_assert_true(xs_set_permissions(f->a, 0, "/local/domain/7", perms, 1));

    xensim_xs_set_client_domid(f->xs, 7);
    expect(f->a, 0, "/p/shown", "s");
    g_assert_fails(xs_read(f->a, 0, "/p/secret", NULL), EACCES);
    g_assert_fails(xs_read(f->a, 0, "/p/none", NULL), EACCES);
    g_assert_fails(xs_write(f->a, 0, "/p/shown", "t", 1), EACCES);
    g_assert_fails(xs_write(f->a, 0, "/p/new", "t", 1), EACCES);
    g_assert_fails(xs_mkdir(f->a, 0, "/p/new"), EACCES);
    g_assert_fails(xs_rm(f->a, 0, "/p/shown"), EACCES);
    g_assert_fails(xs_set_permissions(f->a, 0, "/p/shown", perms, 1), EACCES);
    /* Its own: relative paths are there, and new nodes are its own. */
    put(f->a, 0, "data/x", "mine");
    expect(f->a, 0, "/local/domain/7/data/x", "mine");
    got = xs_get_permissions(f->a, 0, "data/x", &n);
    g_assert_cmpuint(got[0].id, ==, 7);
    free(got);
    perms[0] = (struct xs_permissions) { 7, XS_PERM_NONE };
    perms[1] = (struct xs_permissions) { 9, XS_PERM_READ | XS_PERM_WRITE };
    g_assert_true(xs_set_permissions(f->a, 0, "data/x", perms, 2));
    /* It may not give it away. */
    perms[0].id = 9;
    g_assert_fails(xs_set_permissions(f->a, 0, "data/x", perms, 1), EPERM);

    xensim_xs_set_client_domid(f->xs, 9);
    put(f->a, 0, "/local/domain/7/data/x", "nine");
    g_assert_fails(xs_write(f->a, 0, "/local/domain/7/data/y", "n", 1),
                   EACCES);
    xensim_xs_set_client_domid(f->xs, 0);
    /* A domain that serves 7 has 7's rights. */
    g_assert_true(xs_set_target(f->a, 11, 7));
    xensim_xs_set_client_domid(f->xs, 11);
    expect(f->a, 0, "/local/domain/7/data/x", "nine");
    xensim_xs_set_client_domid(f->xs, 0);
    expect(f->a, 0, "/p/secret", "s");
}

static void test_refuse(Fixture *f, gconstpointer data)
{
    put(f->a, 0, "/r/a", "1");
    xensim_xs_refuse_changes(f->xs, "/r");
    g_assert_fails(xs_write(f->a, 0, "/r/a", "2", 1), EACCES);
    g_assert_fails(xs_write(f->a, 0, "/r/n", "2", 1), EACCES);
    g_assert_fails(xs_mkdir(f->a, 0, "/r/n"), EACCES);
    g_assert_fails(xs_rm(f->a, 0, "/r/a"), EACCES);
    expect(f->a, 0, "/r/a", "1");
    put(f->a, 0, "/rest", "2");
    g_assert_cmpint(xensim_xs_writef(f->xs, "/r/a", "3"), ==, 0);
    expect(f->a, 0, "/r/a", "3");
    xensim_xs_refuse_changes(f->xs, NULL);
    put(f->a, 0, "/r/a", "4");
    expect(f->a, 0, "/r/a", "4");
}

/* ---- transactions ---- */

static void test_transaction(Fixture *f, gconstpointer data)
{
    xs_transaction_t t, u;
    unsigned int n;
    char **names;

    put(f->a, 0, "/t/x", "0");
    put(f->a, 0, "/t/y", "0");
    g_assert_true(xs_watch(f->b, "/t", "w"));
    expect_event(f->b, "/t", "w");

    /* Seen by nobody before the end, then by all. */
    t = xs_transaction_start(f->a);
    g_assert_cmpuint(t, !=, XBT_NULL);
    put(f->a, t, "/t/x", "1");
    put(f->a, t, "/t/new/z", "1");
    expect(f->a, t, "/t/x", "1");
    names = xs_directory(f->a, t, "/t", &n);
    g_assert_cmpuint(n, ==, 3);
    free(names);
    expect(f->b, 0, "/t/x", "0");
    expect(f->b, 0, "/t/new", NULL);
    expect_no_event(f->b);
    g_assert_true(xs_transaction_end(f->a, t, false));
    expect(f->b, 0, "/t/x", "1");
    expect(f->b, 0, "/t/new/z", "1");
    expect_event(f->b, "/t/x", "w");
    expect_event(f->b, "/t/new/z", "w");
    g_assert_fails(xs_transaction_end(f->a, t, false), ENOENT);

    /* Abandoned: nothing happens. */
    t = xs_transaction_start(f->a);
    put(f->a, t, "/t/x", "2");
    g_assert_true(xs_rm(f->a, t, "/t/new"));
    expect(f->a, t, "/t/new/z", NULL);
    g_assert_true(xs_transaction_end(f->a, t, true));
    expect(f->b, 0, "/t/x", "1");
    expect(f->b, 0, "/t/new/z", "1");
    expect_no_event(f->b);

    /* Unrelated changes do not disturb each other. */
    t = xs_transaction_start(f->a);
    u = xs_transaction_start(f->b);
    put(f->a, t, "/t/x", "3");
    put(f->b, u, "/t/y", "3");
    g_assert_true(xs_transaction_end(f->a, t, false));
    g_assert_true(xs_transaction_end(f->b, u, false));
    expect(f->a, 0, "/t/x", "3");
    expect(f->a, 0, "/t/y", "3");

    g_assert_fails(xs_read(f->a, 4711, "/t/x", NULL), ENOENT);
}

static void test_conflict(Fixture *f, gconstpointer data)
{
    xs_transaction_t t, u;

    put(f->a, 0, "/c/n", "1");

    /* Both add to what they read: the second must start again. */
    t = xs_transaction_start(f->a);
    u = xs_transaction_start(f->b);
    expect(f->a, t, "/c/n", "1");
    expect(f->b, u, "/c/n", "1");
    put(f->a, t, "/c/n", "2");
    put(f->b, u, "/c/n", "2");
    g_assert_true(xs_transaction_end(f->a, t, false));
    g_assert_fails(xs_transaction_end(f->b, u, false), EAGAIN);
    expect(f->b, 0, "/c/n", "2");
    u = xs_transaction_start(f->b);
    expect(f->b, u, "/c/n", "2");
    put(f->b, u, "/c/n", "3");
    g_assert_true(xs_transaction_end(f->b, u, false));
    expect(f->a, 0, "/c/n", "3");

    /* A plain write in between conflicts with a read. */
    t = xs_transaction_start(f->a);
    expect(f->a, t, "/c/n", "3");
    put(f->a, t, "/c/m", "from 3");
    put(f->b, 0, "/c/n", "4");
    expect(f->a, t, "/c/n", "3");
    g_assert_fails(xs_transaction_end(f->a, t, false), EAGAIN);
    expect(f->b, 0, "/c/m", NULL);

    /* So does the appearance of what was absent, and a removal. */
    t = xs_transaction_start(f->a);
    expect(f->a, t, "/c/q", NULL);
    put(f->b, 0, "/c/q", "there");
    g_assert_fails(xs_transaction_end(f->a, t, false), EAGAIN);
    t = xs_transaction_start(f->a);
    put(f->a, t, "/c/q", "mine");
    g_assert_true(xs_rm(f->b, 0, "/c"));
    g_assert_fails(xs_transaction_end(f->a, t, false), EAGAIN);
    expect(f->b, 0, "/c", NULL);
}

/* ---- the log ---- */

static void append_entry(const XensimXsLogEntry *e, void *opaque)
{
    g_string_append_printf(opaque, "%s %s=%s/%d/%d ", xensim_xs_op_name(e->op),
                           e->path, e->value ? e->value : "-", e->error,
                           e->pid == getpid());
}

static void test_log(Fixture *f, gconstpointer data)
{
    g_autoptr(GString) text = g_string_new(NULL);
    const char *dm = "/local/domain/0/device-model/5";
    xs_transaction_t t;

    put(f->a, 0, "device-model/5/state", "running");
    put(f->a, 0, "device-model/5/physmap/f0/size", "800");
    put(f->a, 0, "device-model/55/physmap/f0/size", "800");
    expect(f->a, 0, "device-model/5/nothing", NULL);
    t = xs_transaction_start(f->b);
    g_assert_true(xs_rm(f->b, t, "device-model/5/physmap"));
    xs_transaction_end(f->b, t, true);
    xensim_xs_writef(f->xs, "/local/domain/0/device-model/5/by", "host");

    xensim_xs_log(f->xs, XENSIM_XS_ANY, dm, append_entry, text);
    g_assert_cmpstr(text->str, ==,
        "write /local/domain/0/device-model/5/state=running/0/1 "
        "write /local/domain/0/device-model/5/physmap/f0/size=800/0/1 "
        "read /local/domain/0/device-model/5/nothing=-/2/1 "
        "rm /local/domain/0/device-model/5/physmap=-/0/1 ");
    g_assert_cmpuint(xensim_xs_log(f->xs, XENSIM_XS_CHANGES,
                                   "/local/domain/0/device-model/5/physmap",
                                   NULL, NULL), ==, 2);
    g_assert_cmpuint(xensim_xs_log(f->xs, XENSIM_XS_LOOKS,
                                   "/local/domain/0/device-model/5/physmap",
                                   NULL, NULL), ==, 0);
    g_assert_cmpuint(xensim_xs_log(f->xs,
                                   XENSIM_XS_WRITE | XENSIM_XS_FROM_HOST, dm,
                                   NULL, NULL), ==, 3);
    g_assert_cmpuint(xensim_xs_log(f->xs, XENSIM_XS_TRANSACTION, NULL, NULL,
                                   NULL), ==, 2);
    xensim_xs_log_clear(f->xs);
    g_assert_cmpuint(xensim_xs_log(f->xs, XENSIM_XS_ANY, NULL, NULL, NULL),
                     ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("tree", test_tree);
    ADD("mkdir-rm", test_mkdir_rm);
    ADD("refused", test_refused);
    ADD("large-directory", test_large_directory);
    ADD("relative", test_relative);
    ADD("toolstack", test_toolstack);
    ADD("wait", test_wait);
    ADD("permissions", test_permissions);
    ADD("refuse-changes", test_refuse);
    ADD("transaction", test_transaction);
    ADD("transaction/conflict", test_conflict);
    ADD("log", test_log);
    return xs_run();
}
