/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of the simulated xenstore share. */

#include <poll.h>
#include <glib/gstdio.h>

#include "xenstore-common.h"

#ifndef REAL_LIBXENSTORE
Xensim *sim;
#endif

/* Connecting and dying are noticed by the server's thread, in its time. */
void expect_clients(XensimXs *xs, unsigned int n)
{
    gint64 end = g_get_monotonic_time() + 5 * G_USEC_PER_SEC;

    while (xensim_xs_clients(xs) != n && g_get_monotonic_time() < end) {
        g_usleep(1000);
    }
    g_assert_cmpuint(xensim_xs_clients(xs), ==, n);
}

void xs_setup(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) err = NULL;

    f->dir = g_dir_make_tmp("xenstore-XXXXXX", NULL);
    f->socket = g_build_filename(f->dir, "xenstore.sock", NULL);
    f->xs = xensim_xs_new(f->socket, &err);
    g_assert_no_error(err);
    g_setenv("XENSTORED_PATH", f->socket, TRUE);
    f->a = xs_open(0);
    f->b = xs_open(0);
    g_assert_nonnull(f->a);
    g_assert_nonnull(f->b);
}

void xs_teardown(Fixture *f, gconstpointer data)
{
    xs_close(f->a);
    xs_close(f->b);
    xensim_xs_free(f->xs);
    g_assert_false(g_file_test(f->socket, G_FILE_TEST_EXISTS));
    g_assert_cmpint(g_rmdir(f->dir), ==, 0);
    g_free(f->dir);
    g_free(f->socket);
}

void put(struct xs_handle *h, xs_transaction_t t, const char *path,
         const char *value)
{
    g_assert_true(xs_write(h, t, path, value, strlen(value)));
}

void expect(struct xs_handle *h, xs_transaction_t t, const char *path,
            const char *value)
{
    unsigned int len = 12345;
    char *got;

    errno = 0;
    got = xs_read(h, t, path, &len);
    if (!value) {
        g_assert_null(got);
        g_assert_cmpint(errno, ==, ENOENT);
        return;
    }
    g_assert_nonnull(got);
    g_assert_cmpuint(len, ==, strlen(value));
    g_assert_cmpmem(got, len + 1, value, strlen(value) + 1);
    free(got);
}

/* ---- events ---- */

bool readable(struct xs_handle *h, int timeout_ms)
{
    struct pollfd p = { .fd = xs_fileno(h), .events = POLLIN };

    return poll(&p, 1, timeout_ms) == 1;
}

void expect_event(struct xs_handle *h, const char *path, const char *token)
{
    char **v = NULL;

    while (!v) {
        g_assert_true(readable(h, 5000));
        v = xs_check_watch(h);
        g_assert_true(v || errno == EAGAIN);
    }
    g_assert_cmpstr(v[XS_WATCH_PATH], ==, path);
    g_assert_cmpstr(v[XS_WATCH_TOKEN], ==, token);
    free(v);
}

/* Nothing is on its way: a request's answer would come behind it. */
void expect_no_event(struct xs_handle *h)
{
    free(xs_read(h, 0, "/tool", NULL));
    g_assert_false(readable(h, 0));
    g_assert_fails(xs_check_watch(h), EAGAIN);
}

int xs_run(void)
{
    int status;

#ifndef REAL_LIBXENSTORE
    sim = xensim_new(NULL);
    g_assert_nonnull(sim);
    g_setenv("XENSIM", xensim_dir(sim), TRUE);
#endif
    status = g_test_run();
#ifndef REAL_LIBXENSTORE
    xensim_free(sim);
#endif
    return status;
}
