/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs the conformance program on a simulated Xen with one domain:
 *
 *   conformance-sim PROGRAM [ARGUMENT...]
 *
 * The program's output and exit status are passed on.  Afterwards nothing of
 * it may be left in the simulation.
 */
#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "xensim.h"

#define RUN_MS 120000

static int run(XensimDomain *dom, char **argv)
{
    Xensim *sim = xensim_domain_sim(dom);
    g_autofree char *domid = g_strdup_printf("%u", xensim_domid(dom));
    g_autoptr(GPtrArray) args = g_ptr_array_new();
    XensimMemInfo info;
    int status;
    pid_t pid;

    g_ptr_array_add(args, argv[0]);
    g_ptr_array_add(args, (char *)"--domain");
    g_ptr_array_add(args, domid);
    for (argv++; *argv; argv++) {
        g_ptr_array_add(args, *argv);
    }
    g_ptr_array_add(args, NULL);
    pid = xensim_spawn(dom, (const char *const *)args->pdata, NULL, -1);
    if (pid < 0) {
        fprintf(stderr, "conformance-sim: %s: %s\n",
                (char *)args->pdata[0], strerror(-pid));
        return 1;
    }
    if (xensim_wait_exit(sim, pid, RUN_MS, &status)) {
        fprintf(stderr, "conformance-sim: no end after %d s\n",
                RUN_MS / 1000);
        xensim_kill(sim, pid);
        return 1;
    }
    xensim_mem_info(dom, &info);
    if (xensim_check(sim) || info.held_pages || info.mappings) {
        fprintf(stderr, "conformance-sim: the simulation is not as it was: "
                "%llu pages held, %llu mappings\n",
                (unsigned long long)info.held_pages,
                (unsigned long long)info.mappings);
        return 1;
    }
    if (WIFSIGNALED(status)) {
        fprintf(stderr, "conformance-sim: ended by signal %d\n",
                WTERMSIG(status));
        return 1;
    }
    return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
    /* Room for the work frames, and a toolstack's MiB of slack. */
    XensimDomainConfig cfg = {
        .ram_bytes = 48 << 20, .max_pages = (48 + 1) << 8,
    };
    XensimDomain *dom;
    Xensim *sim;
    int rc = 1;

    if (argc < 2) {
        fprintf(stderr, "usage: conformance-sim PROGRAM [ARGUMENT...]\n");
        return 1;
    }
    sim = xensim_new(NULL);
    if (!sim) {
        return 1;
    }
    dom = xensim_domain_create(sim, &cfg);
    if (dom) {
        rc = run(dom, argv + 1);
    } else {
        fprintf(stderr, "conformance-sim: domain: %s\n", strerror(errno));
    }
    xensim_free(sim);
    return rc;
}
