/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host: a simulation's beginning and end. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host-priv.h"

#define DEFAULT_TIMEOUT_MS 30000

static Xensim *sim_new(void)
{
    Xensim *sim = calloc(1, sizeof(*sim));

    if (sim) {
        pthread_mutex_init(&sim->lock, NULL);
        sim->timeout_ms = DEFAULT_TIMEOUT_MS;
        /* A device model that has gone must not take the host along. */
        signal(SIGPIPE, SIG_IGN);
    }
    return sim;
}

static int remove_one(const char *path, const struct stat *st, int type,
                      struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path) && errno != ENOENT ? -1 : 0;
}

static void remove_dir(const char *dir)
{
    nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

Xensim *xensim_new(const char *run_dir)
{
    const char *tmp = getenv("TMPDIR");
    char dir[200];
    Xensim *sim = sim_new();
    int rc = -ENOMEM;

    if (!sim) {
        goto fail;
    }
    if (run_dir) {
        snprintf(dir, sizeof(dir), "%s", run_dir);
    } else {
        snprintf(dir, sizeof(dir), "%s/xensim.XXXXXX",
                 tmp && *tmp && strlen(tmp) < 80 ? tmp : "/tmp");
        if (!mkdtemp(dir)) {
            rc = -errno;
            fprintf(stderr, "xensim: cannot create the run directory %s: %s; "
                    "set TMPDIR to a directory that can be written to\n", dir,
                    strerror(errno));
            free(sim);
            errno = -rc;
            return NULL;
        }
        sim->own_dir = true;
    }
    rc = xsim_view_create(&sim->v, dir);
    if (rc) {
        goto fail;
    }
    sim->creator = true;
    rc = xensim_xenstore_start(sim);
    if (rc) {
        xsim_view_close(&sim->v);
        goto fail;
    }
    return sim;

fail:
    fprintf(stderr, "xensim: cannot make a simulation%s%s: %s\n",
            sim ? " in " : "", sim ? dir : "", strerror(-rc));
    if (sim && sim->own_dir) {
        remove_dir(dir);
    }
    free(sim);
    errno = -rc;
    return NULL;
}

Xensim *xensim_attach(const char *run_dir)
{
    Xensim *sim = sim_new();
    int rc = sim ? xsim_view_open(&sim->v, run_dir) : -ENOMEM;

    if (rc) {
        free(sim);
        errno = -rc;
        return NULL;
    }
    return sim;
}

void xensim_free(Xensim *sim)
{
    char path[320];
    unsigned i;

    if (!sim) {
        return;
    }
    if (sim->creator) {
        xsim_host_kill_children(sim);
        xsim_host_destroy_all(sim);
        xensim_xenstore_stop(sim);
        xsim_host_clock_end(sim);
        if (sim->own_dir) {
            remove_dir(sim->v.dir);
        } else {
            for (i = 0; i < XSIM_MAX_HANDLES; i++) {
                xsim_handle_path(&sim->v, i, path, sizeof(path));
                unlink(path);
            }
            snprintf(path, sizeof(path), "%s/state", sim->v.dir);
            unlink(path);
            snprintf(path, sizeof(path), "%s/machine", sim->v.dir);
            unlink(path);
        }
    }
    /* Sending ends of this simulation's channels. */
    xsim_handle_forget_all();
    for (i = 0; i < XSIM_MAX_DOMS; i++) {
        free(sim->dom[i]);
    }
    xsim_view_close(&sim->v);
    pthread_mutex_destroy(&sim->lock);
    free(sim);
}
