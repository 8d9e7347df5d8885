/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starting device models, and noticing that they have gone.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "host-priv.h"

#ifndef XENSIM_LIB_DEFAULT
#define XENSIM_LIB_DEFAULT "libxensim.so"
#endif

/* Variables of this process that xensim_setenv_for_dm() changes. */
enum { VAR_PRELOAD, VAR_ASAN, VAR_SIM, VAR_DOMID, VARS };

static const char *const var_name[VARS] = {
    "LD_PRELOAD", "ASAN_OPTIONS", "XENSIM", "XENSIM_DOMID",
};
static char *saved_var[VARS];    /* their values before; NULL: was unset */
static bool saved;

const char *xensim_lib_path(void)
{
    static char path[600];
    const char *env = getenv("XENSIM_LIB");
    char exe[512];
    ssize_t n;

    if (env && *env) {
        return env;
    }
    n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    if (n > 0) {
        exe[n] = 0;
        snprintf(path, sizeof(path), "%s/libxensim.so", dirname(exe));
        if (!access(path, R_OK)) {
            return path;
        }
    }
    return XENSIM_LIB_DEFAULT;
}

/* "@old@sep@add", or just @add; not twice.  Freed by the caller. */
static char *append(const char *old, const char *sep, const char *add)
{
    char *s = NULL;

    if (old && strstr(old, add)) {
        s = strdup(old);
    } else if (asprintf(&s, "%s%s%s", old ? old : "",
                        old && *old ? sep : "", add) < 0) {
        s = NULL;
    }
    if (!s) {
        xsim_die("out of memory");
    }
    return s;
}

/* What a variable has to be for a device model of @dom; to be freed. */
static char *var_value(const XensimDomain *dom, unsigned var)
{
    const char *old = getenv(var_name[var]);
    char id[16];

    switch (var) {
    case VAR_PRELOAD:
        return append(old, ":", xensim_lib_path());
    case VAR_ASAN:
        /* A sanitized device model must bear with a library before it. */
        return append(old, ":", "verify_asan_link_order=0");
    case VAR_SIM:
        return append(NULL, "", dom->sim->v.dir);
    default:
        snprintf(id, sizeof(id), "%u", dom->domid);
        return append(NULL, "", id);
    }
}

void xensim_setenv_for_dm(XensimDomain *dom)
{
    unsigned i;

    for (i = 0; i < VARS; i++) {
        char *value = var_value(dom, i);
        const char *old = getenv(var_name[i]);

        if (!saved) {
            saved_var[i] = old ? strdup(old) : NULL;
        }
        setenv(var_name[i], value, 1);
        free(value);
    }
    saved = true;
}

void xensim_unsetenv_for_dm(Xensim *sim)
{
    unsigned i;

    (void)sim;
    for (i = 0; saved && i < VARS; i++) {
        if (saved_var[i]) {
            setenv(var_name[i], saved_var[i], 1);
        } else {
            unsetenv(var_name[i]);
        }
        free(saved_var[i]);
        saved_var[i] = NULL;
    }
    saved = false;
}

/* Is @entry's variable one of those in @ours? */
static bool overridden(const char *entry, char *const ours[])
{
    size_t i;

    for (i = 0; ours[i]; i++) {
        size_t len = strchrnul(ours[i], '=') - ours[i] + 1;

        if (!strncmp(entry, ours[i], len)) {
            return true;
        }
    }
    return false;
}

/* This environment, with @ours in front of what they replace. */
static char **make_env(char *const ours[])
{
    size_t n = 0, m = 0, i;
    char **env;

    while (environ[n]) {
        n++;
    }
    while (ours[m]) {
        m++;
    }
    env = calloc(n + m + 1, sizeof(*env));
    if (!env) {
        xsim_die("out of memory");
    }
    memcpy(env, ours, m * sizeof(*env));
    for (i = 0; i < n; i++) {
        if (!overridden(environ[i], ours)) {
            env[m++] = environ[i];
        }
    }
    return env;
}

/* In the child: does not return. */
static _Noreturn void run_child(const char *const argv[], char **env,
                                int log_fd, int error_fd, bool die_with_host)
{
    int e;

    if (die_with_host) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    signal(SIGPIPE, SIG_DFL);
    if (log_fd >= 0) {
        dup2(log_fd, STDOUT_FILENO);
        dup2(log_fd, STDERR_FILENO);
    }
    execvpe(argv[0], (char *const *)argv, env);
    e = errno;
    if (write(error_fd, &e, sizeof(e)) < 0) {
        _exit(126);
    }
    _exit(127);
}

static void remember_child(Xensim *sim, pid_t pid)
{
    unsigned i;

    pthread_mutex_lock(&sim->lock);
    for (i = 0; i < XENSIM_MAX_CHILDREN; i++) {
        if (!sim->child[i]) {
            sim->child[i] = pid;
            break;
        }
    }
    pthread_mutex_unlock(&sim->lock);
}

static void forget_child(Xensim *sim, pid_t pid)
{
    unsigned i;

    pthread_mutex_lock(&sim->lock);
    for (i = 0; i < XENSIM_MAX_CHILDREN; i++) {
        if (sim->child[i] == pid) {
            sim->child[i] = 0;
        }
    }
    pthread_mutex_unlock(&sim->lock);
}

pid_t xensim_spawn(XensimDomain *dom, const char *const argv[],
                   const char *const env[], int log_fd)
{
    char *ours[64] = { NULL };
    char *own[VARS];
    char **all;
    unsigned n = 0, i;
    int pipe_fd[2], e = 0;
    pid_t pid;
    /* The signal comes when the thread ends, so only the main one asks. */
    bool main_thread = syscall(SYS_gettid) == getpid();

    if (pipe2(pipe_fd, O_CLOEXEC)) {
        return -errno;
    }
    for (i = 0; env && env[i] && n < 63 - VARS; i++) {
        ours[n++] = (char *)env[i];
    }
    for (i = 0; i < VARS; i++) {
        char *value = var_value(dom, i);

        if (asprintf(&own[i], "%s=%s", var_name[i], value) < 0) {
            xsim_die("out of memory");
        }
        free(value);
        /* The caller's word goes before ours. */
        if (!overridden(own[i], ours)) {
            ours[n++] = own[i];
        }
    }
    all = make_env(ours);
    pid = fork();
    if (pid == 0) {
        run_child(argv, all, log_fd, pipe_fd[1], main_thread);
    }
    e = pid < 0 ? errno : 0;
    close(pipe_fd[1]);
    /* Nothing comes if the exec succeeded: the end was closed by it. */
    if (pid > 0 && read(pipe_fd[0], &e, sizeof(e)) == sizeof(e)) {
        waitpid(pid, NULL, 0);
        pid = -1;
    }
    close(pipe_fd[0]);
    for (i = 0; i < VARS; i++) {
        free(own[i]);
    }
    free(all);
    if (pid < 0) {
        return -e;
    }
    dom->pid = pid;
    remember_child(dom->sim, pid);
    return pid;
}

int xensim_wait_exit(Xensim *sim, pid_t pid, unsigned timeout_ms,
                     int *wstatus)
{
    uint64_t end = xsim_now_ms() + timeout_ms;
    struct timespec ts = { 0, 2000000 };
    int status = 0;

    for (;;) {
        pid_t rc = waitpid(pid, &status, WNOHANG);

        if (rc == pid) {
            break;
        }
        if (rc < 0 && errno != EINTR) {
            return -errno;
        }
        if (xsim_now_ms() >= end) {
            return -ETIMEDOUT;
        }
        nanosleep(&ts, NULL);
    }
    forget_child(sim, pid);
    xensim_reap(sim);
    if (wstatus) {
        *wstatus = status;
    }
    return 0;
}

void xensim_kill(Xensim *sim, pid_t pid)
{
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        forget_child(sim, pid);
        xensim_reap(sim);
    }
}

void xsim_host_kill_children(Xensim *sim)
{
    unsigned i;

    for (i = 0; i < XENSIM_MAX_CHILDREN; i++) {
        if (sim->child[i]) {
            xensim_kill(sim, sim->child[i]);
        }
    }
}

bool xensim_pid_alive(pid_t pid)
{
    return xsim_pid_alive(pid, 0);
}

unsigned xensim_reap(Xensim *sim)
{
    return xsim_proc_reap(&sim->v);
}

bool xensim_is_restricted(Xensim *sim, pid_t pid, uint32_t *domid)
{
    unsigned i;

    for (i = 0; i < XSIM_MAX_PROCS; i++) {
        XsimProc *p = &sim->v.h->proc[i];
        uint32_t r = atomic_load(&p->restricted);

        if (atomic_load(&p->pid) == pid && r) {
            if (domid) {
                *domid = r - 1;
            }
            return true;
        }
    }
    return false;
}
