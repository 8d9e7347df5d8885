/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common.h"

#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

Xensim *sim;

static sigjmp_buf jump;
static volatile int caught;

static void on_signal(int sig)
{
    caught = sig;
    siglongjmp(jump, 1);
}

/* Do one access with the signals caught. */
static int guarded(volatile uint8_t *p, int store)
{
    struct sigaction sa = { .sa_handler = on_signal }, bus, segv;
    int result = 0;

    sigemptyset(&sa.sa_mask);
    sigaction(SIGBUS, &sa, &bus);
    sigaction(SIGSEGV, &sa, &segv);
    if (sigsetjmp(jump, 1)) {
        result = -caught;
    } else if (store >= 0) {
        *p = store;
    } else {
        result = *p;
    }
    sigaction(SIGBUS, &bus, NULL);
    sigaction(SIGSEGV, &segv, NULL);
    return result;
}

int touch(const void *p)
{
    return guarded((volatile uint8_t *)p, -1);
}

int poke(void *p, uint8_t byte)
{
    return guarded(p, byte);
}

void test_init(int *argc, char ***argv)
{
    XensimDomainConfig cfg = { .ram_bytes = 1 << 20 };
    XensimDomain *dom;

    g_test_init(argc, argv, NULL);
    sim = xensim_new(NULL);
    g_assert_nonnull(sim);
    /* Any domain will do to find the simulation by. */
    dom = xensim_domain_create(sim, &cfg);
    g_assert_nonnull(dom);
    xensim_setenv_for_dm(dom);
    unsetenv("LD_PRELOAD");
    xensim_domain_destroy(dom);
}

int test_run(void)
{
    int rc = g_test_run();

    g_assert_cmpuint(xensim_check(sim), ==, 0);
    xensim_free(sim);
    return rc;
}

XensimDomain *new_domain(unsigned mib, unsigned flags)
{
    XensimDomainConfig cfg = {
        .ram_bytes = (uint64_t)mib << 20, .vcpus = 2, .flags = flags,
    };
    XensimDomain *dom = xensim_domain_create(sim, &cfg);

    g_assert_nonnull(dom);
    return dom;
}

void end_domain(XensimDomain *dom)
{
    g_assert_cmpuint(xensim_check(sim), ==, 0);
    xensim_domain_destroy(dom);
    g_assert_cmpuint(xensim_check(sim), ==, 0);
}

XensimMemInfo mem_info(XensimDomain *dom)
{
    XensimMemInfo info;

    xensim_mem_info(dom, &info);
    return info;
}

pid_t start_child(void (*fn)(void *opaque), void *opaque)
{
    pid_t pid = fork();

    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        fn(opaque);
        _exit(0);
    }
    return pid;
}

int in_child(void (*fn)(void *opaque), void *opaque)
{
    pid_t pid = start_child(fn, opaque);
    int status = -1;

    g_assert_cmpint(xensim_wait_exit(sim, pid, 20000, &status), ==, 0);
    return status;
}
