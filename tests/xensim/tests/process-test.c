/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Device models as processes: how they are started, what the environment
 * does to them, how they end.  This program is its own device model: with
 * the argument "child NAME" it does one thing and exits.
 */
#include "common.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <xenctrl.h>
#include <xenforeignmemory.h>

#define RW (PROT_READ | PROT_WRITE)

static char *self;

/* ---- what the children do ---- */

static int child_map(bool map2, unsigned times)
{
    xenforeignmemory_handle *h = xenforeignmemory_open(NULL, 0);
    uint32_t id = atoi(getenv("XENSIM_DOMID"));
    xen_pfn_t gfn = 0x200;
    int err, failed = 0;

    while (times--) {
        char *p = map2 ? xenforeignmemory_map2(h, id, NULL, RW, 0, 1, &gfn,
                                               &err)
                       : xenforeignmemory_map(h, id, RW, 1, &gfn, &err);

        failed += !p || !xensim_stamp_page_ok(p, 0x200, 1);
    }
    xenforeignmemory_close(h);
    return failed;
}

/* A function of the real libxenctrl, with the simulation's handle. */
static int child_real(void)
{
    void *lib = dlopen("libxenctrl.so", RTLD_NOW);
    int (*fn)(xc_interface *, uint32_t, unsigned int) =
        lib ? dlsym(lib, "xc_domain_set_access_required") : NULL;
    xc_interface *xc = xc_interface_open(NULL, NULL, 0);

    return fn ? fn(xc, atoi(getenv("XENSIM_DOMID")), 0) : 77;
}

static int child(const char *what)
{
    if (!strcmp(what, "map")) {
        return child_map(false, 1);
    }
    if (!strcmp(what, "map2")) {
        return child_map(true, 5);
    }
    if (!strcmp(what, "unsimulated")) {
        return xc_domain_pause(xc_interface_open(NULL, NULL, 0), 1);
    }
    if (!strcmp(what, "real")) {
        return child_real();
    }
    return 99;
}

/* ---- the host ---- */

/* Run this program as a child; *@out is what it printed. */
static int run_child(XensimDomain *dom, const char *what,
                     const char *const env[], char **out)
{
    const char *const argv[] = { self, "child", what, NULL };
    int fd = memfd_create("output", 0), status = -1;
    pid_t pid = xensim_spawn(dom, argv, env, fd);
    off_t len;

    g_assert_cmpint(pid, >, 0);
    g_assert_cmpint(xensim_wait_exit(sim, pid, 20000, &status), ==, 0);
    g_assert(WIFEXITED(status));
    len = lseek(fd, 0, SEEK_END);
    *out = g_malloc0(len + 1);
    g_assert_cmpint(pread(fd, *out, len, 0), ==, len);
    if (len) {
        g_test_message("child \"%s\": %s", what, *out);
    }
    close(fd);
    return WEXITSTATUS(status);
}

static XensimDomain *stamped_domain(void)
{
    XensimDomain *dom = new_domain(4, 0);

    g_assert_cmpint(xensim_stamp(dom, 0x200, 1, 1), ==, 0);
    return dom;
}

static void test_spawn(void)
{
    XensimDomain *dom = stamped_domain();
    const char *const none[] = { "/nonexistent/program", NULL };
    char *script = g_strdup_printf(
        "test \"$XENSIM\" = '%s' && test \"$XENSIM_DOMID\" = %u || exit 1; "
        "case $LD_PRELOAD in *libxensim.so) ;; *) exit 2;; esac; "
        "test \"$EXTRA\" = yes || exit 4; "
        "/bin/cat /dev/null || exit 5; exit 33",
        xensim_dir(sim), xensim_domid(dom));
    const char *const argv[] = { "sh", "-c", script, NULL };
    const char *const env[] = { "EXTRA=yes", NULL };
    int status;
    pid_t pid;

    g_assert_cmpint(xensim_spawn(dom, none, NULL, -1), ==, -ENOENT);
    pid = xensim_spawn(dom, argv, env, -1);
    g_assert_cmpint(pid, >, 0);
    g_assert_cmpint(xensim_wait_exit(sim, pid, 20000, &status), ==, 0);
    g_assert_cmpint(WEXITSTATUS(status), ==, 33);
    g_assert(!xensim_pid_alive(pid));
    g_free(script);
    end_domain(dom);
}

static void test_wait(void)
{
    XensimDomain *dom = new_domain(4, 0);
    const char *const argv[] = { "sleep", "100", NULL };
    const char *const quick[] = { "true", NULL };
    pid_t pid = xensim_spawn(dom, argv, NULL, -1);

    g_assert_cmpint(pid, >, 0);
    g_assert_cmpint(xensim_wait_exit(sim, pid, 50, NULL), ==, -ETIMEDOUT);
    g_assert(xensim_pid_alive(pid));
    g_assert_cmpint(xensim_wait_ready(dom, 50), ==, XENSIM_TIMEOUT);
    xensim_kill(sim, pid);
    g_assert(!xensim_pid_alive(pid));
    g_assert_cmpint(xensim_spawn(dom, quick, NULL, -1), >, 0);
    g_assert_cmpint(xensim_wait_ready(dom, 20000), ==, XENSIM_DM_DIED);
    end_domain(dom);
}

static void test_map(void)
{
    XensimDomain *dom = stamped_domain();
    const char *const no_map2[] = { "XENSIM_NO_MAP2=1", NULL };
    char *out;

    g_assert_cmpint(run_child(dom, "map", NULL, &out), ==, 0);
    g_assert_cmpstr(out, ==, "");
    g_free(out);
    g_assert_cmpint(run_child(dom, "map", no_map2, &out), ==, 0);
    g_free(out);
    g_assert_cmpint(run_child(dom, "map2", NULL, &out), ==, 0);
    g_free(out);
    g_assert_cmpint(run_child(dom, "map2", no_map2, &out), ==,
                    XENSIM_EXIT_UNSIMULATED);
    g_assert_nonnull(strstr(out, "xenforeignmemory_map2"));
    g_free(out);
    /* They left their mappings behind; nothing is left of them. */
    g_assert_cmpuint(mem_info(dom).mappings, ==, 0);
    end_domain(dom);
}

static void test_unsimulated(void)
{
    XensimDomain *dom = stamped_domain();
    char *out;

    g_assert_cmpint(run_child(dom, "unsimulated", NULL, &out), ==,
                    XENSIM_EXIT_UNSIMULATED);
    g_assert_nonnull(strstr(out, "xc_domain_pause is not simulated"));
    g_free(out);
    g_assert_cmpint(run_child(dom, "real", NULL, &out), ==,
                    XENSIM_EXIT_UNSIMULATED);
    g_assert_nonnull(strstr(out, "xencall"));
    g_free(out);
    end_domain(dom);
}

static void test_log(void)
{
    XensimDomain *dom = stamped_domain();
    char *path = g_strdup_printf("%s/calls.log", xensim_dir(sim));
    char *var = g_strdup_printf("XENSIM_LOG=%s", path);
    const char *const env[] = { var, NULL };
    char *out, *log, *want;

    g_assert_cmpint(run_child(dom, "map", env, &out), ==, 0);
    g_free(out);
    g_assert(g_file_get_contents(path, &log, NULL, NULL));
    want = g_strdup_printf("xenforeignmemory_map(dom=%u gfn=0x200 pages=1 ",
                           xensim_domid(dom));
    g_assert_nonnull(strstr(log, want));
    g_assert_nonnull(strstr(log, "xenforeignmemory_open(flags=0x0) ok\n"));
    g_free(want);
    g_free(log);
    g_free(var);
    g_free(path);
    end_domain(dom);
}

static void test_env_fault(void)
{
    XensimDomain *dom = stamped_domain();
    const char *const env[] = {
        "XENSIM_FAULT=xenforeignmemory_map2:n=2:count=2:errno=EIO;"
        "xenforeignmemory_map2:n=5:errno=ENOMEM", NULL,
    };
    const char *const bad[] = { "XENSIM_FAULT=whatever", NULL };
    char *out;

    /* The 2nd, 3rd and 5th of 5 fail. */
    g_assert_cmpint(run_child(dom, "map2", env, &out), ==, 3);
    g_free(out);
    /* They were that process's own. */
    g_assert_cmpint(run_child(dom, "map2", NULL, &out), ==, 0);
    g_free(out);
    g_assert_cmpint(run_child(dom, "map", bad, &out), ==, 98);
    g_assert_nonnull(strstr(out, "XENSIM_FAULT"));
    g_free(out);
    end_domain(dom);
}

static void test_no_sim(void)
{
    XensimDomain *dom = stamped_domain();
    const char *const unset[] = { "XENSIM=", NULL };
    const char *const wrong[] = { "XENSIM=/nonexistent", NULL };
    char *out;

    g_assert_cmpint(run_child(dom, "map", unset, &out), ==, 98);
    g_assert_nonnull(strstr(out, "XENSIM is not set"));
    g_free(out);
    g_assert_cmpint(run_child(dom, "map", wrong, &out), ==, 98);
    g_assert_nonnull(strstr(out, "/nonexistent"));
    g_free(out);
    end_domain(dom);
}

/* For callers that start the program themselves. */
static void test_setenv(void)
{
    XensimDomain *dom = stamped_domain();
    char *argv[] = { self, (char *)"child", (char *)"map2", NULL };
    int status = -1;

    xensim_setenv_for_dm(dom);
    g_assert(g_spawn_sync(NULL, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL,
                          NULL, &status, NULL));
    g_assert_cmpint(status, ==, 0);
    g_assert_nonnull(strstr(getenv("LD_PRELOAD"), "libxensim.so"));
    xensim_unsetenv_for_dm(sim);
    g_assert_null(getenv("LD_PRELOAD"));
    g_assert_null(getenv("XENSIM_DOMID"));
    /* One that was there stays in front, and comes back. */
    setenv("LD_PRELOAD", "libc.so.6", 1);
    xensim_setenv_for_dm(dom);
    g_assert(g_str_has_prefix(getenv("LD_PRELOAD"), "libc.so.6:"));
    xensim_unsetenv_for_dm(sim);
    g_assert_cmpstr(getenv("LD_PRELOAD"), ==, "libc.so.6");
    unsetenv("LD_PRELOAD");
    end_domain(dom);
}

/* A file descriptor that is not close-on-exec goes along. */
static void test_fd(void)
{
    XensimDomain *dom = new_domain(4, 0);
    int fd = memfd_create("passed", 0), status = -1;
    char *script = g_strdup_printf("echo hello >&%d", fd);
    const char *const argv[] = { "bash", "-c", script, NULL };
    char buf[6] = "";
    pid_t pid = xensim_spawn(dom, argv, NULL, -1);

    g_assert_cmpint(pid, >, 0);
    g_assert_cmpint(xensim_wait_exit(sim, pid, 20000, &status), ==, 0);
    g_assert_cmpint(status, ==, 0);
    g_assert_cmpint(pread(fd, buf, 5, 0), ==, 5);
    g_assert_cmpstr(buf, ==, "hello");
    close(fd);
    g_free(script);
    end_domain(dom);
}

int main(int argc, char **argv)
{
    self = argv[0];
    if (argc == 3 && !strcmp(argv[1], "child")) {
        return child(argv[2]);
    }
    test_init(&argc, &argv);
    g_test_add_func("/xensim/process/spawn", test_spawn);
    g_test_add_func("/xensim/process/wait", test_wait);
    g_test_add_func("/xensim/process/map", test_map);
    g_test_add_func("/xensim/process/unsimulated", test_unsimulated);
    g_test_add_func("/xensim/process/log", test_log);
    g_test_add_func("/xensim/process/env-fault", test_env_fault);
    g_test_add_func("/xensim/process/no-sim", test_no_sim);
    g_test_add_func("/xensim/process/setenv", test_setenv);
    g_test_add_func("/xensim/process/fd", test_fd);
    return test_run();
}
