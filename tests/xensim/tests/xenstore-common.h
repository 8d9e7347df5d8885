/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests of the simulated xenstore share.
 *
 * A test is a client of the store: it calls the preload library's xs_*
 * functions.  The server runs in the same process, so that a deadlock between
 * the two shows.  The same sources are built a second time with
 * REAL_LIBXENSTORE, where the real libxenstore is the client.  So a mistake
 * that our client and our server have in common is found.
 */

#ifndef XENSTORE_COMMON_H
#define XENSTORE_COMMON_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <glib.h>
#include <xenstore.h>

#include "xenstore-server.h"

#ifndef REAL_LIBXENSTORE
/* The simulation that the preload library in this process joins. */
extern Xensim *sim;
#endif

/* A store of its own. */
typedef struct Fixture {
    char *dir, *socket;
    XensimXs *xs;
    struct xs_handle *a, *b;    /* two clients */
} Fixture;

void xs_setup(Fixture *f, gconstpointer data);
void xs_teardown(Fixture *f, gconstpointer data);

#define ADD(name, function) \
    g_test_add("/xenstore/" name, Fixture, NULL, xs_setup, function, \
               xs_teardown)

/* Runs the tests of a program; the last call of main(). */
int xs_run(void);

/* Wait until N clients are connected. */
void expect_clients(XensimXs *xs, unsigned int n);

/*
 * put() writes VALUE.  expect() fails the test if PATH has another value than
 * VALUE, or no node; if VALUE is NULL, it fails the test if PATH has a node.
 */
void put(struct xs_handle *h, xs_transaction_t t, const char *path,
         const char *value);
void expect(struct xs_handle *h, xs_transaction_t t, const char *path,
            const char *value);

/* Does the descriptor become readable within @timeout_ms? */
bool readable(struct xs_handle *h, int timeout_ms);

/* The next event must be this one, or there must be none. */
void expect_event(struct xs_handle *h, const char *path, const char *token);
void expect_no_event(struct xs_handle *h);

/* errno of a call that must fail. */
#define g_assert_fails(call, error) \
    do { \
        errno = 0; \
        g_assert_true(!(call)); \
        g_assert_cmpint(errno, ==, error); \
    } while (0)

#endif
