/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The `xensim` command: run any Xen-enabled QEMU on the simulated Xen.
 *
 * Signals: a handler only records the signal, and the main loop checks every
 * 100 ms.  So the program always ends through the same clean-up.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <gio/gio.h>

#include "cmd-program.h"
#include "xensim.h"

typedef struct Options {
    char *memory, *log, *lib;
    int vcpus;
    gboolean scattered, no_map2, counts;
    char **faults;
    char **argv;                /* the program and its arguments */
} Options;

static volatile sig_atomic_t signal_seen;

static void on_signal(int number)
{
    signal_seen = number;
}

static void complain(const char *text)
{
    fprintf(stderr, "xensim: %s\n", text);
}

/* ---- what is added to the arguments ---- */

typedef struct Line {
    GPtrArray *argv;            /* of the program */
    GString *added;             /* to tell */
} Line;

static void append(Line *line, const char *option, const char *value)
{
    g_ptr_array_add(line->argv, g_strdup(option));
    g_ptr_array_add(line->argv, g_strdup(value));
    g_string_append_printf(line->added, " %s %s", option, value);
}

static const char *const opt_machine[] = { "machine", "M", NULL };
static const char *const opt_domid[] = { "xen-domid", NULL };
static const char *const opt_memory[] = { "m", NULL };
static const char *const opt_smp[] = { "smp", NULL };
static const char *const opt_display[] = {
    "display", "nographic", "vnc", "spice", "curses", "sdl", NULL
};
static const char *const opt_net[] = {
    "net", "nic", "netdev", "nodefaults", NULL
};

/* The size of the guest: --memory, else the program's -m, else 128 MiB. */
static gboolean guest_memory(const Options *o, uint64_t *bytes, GError **err)
{
    const char *m = cmd_option((const char *const *)o->argv, opt_memory);
    uint64_t by_m = 0;

    *bytes = 128 << 20;
    if (m) {
        g_autofree char *size =
            g_strndup(m + (g_str_has_prefix(m, "size=") ? 5 : 0),
                      strcspn(m + (g_str_has_prefix(m, "size=") ? 5 : 0),
                              ","));

        if (!cmd_parse_memory("-m", size, &by_m, err)) {
            return FALSE;
        }
        *bytes = by_m;
    }
    if (o->memory && !cmd_parse_memory("--memory", o->memory, bytes, err)) {
        return FALSE;
    }
    if (m && *bytes != by_m) {
        g_set_error(err, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "--memory %s and the program's -m %s differ; leave one "
                    "out", o->memory, m);
        return FALSE;
    }
    return TRUE;
}

/* How many vCPUs: --vcpus, else the program's -smp, else 1. */
static gboolean guest_vcpus(const Options *o, unsigned *vcpus, GError **err)
{
    const char *smp = cmd_option((const char *const *)o->argv, opt_smp);
    unsigned by_smp = 0;

    *vcpus = o->vcpus ? o->vcpus : 1;
    if (smp) {
        by_smp = atoi(g_str_has_prefix(smp, "cpus=") ? smp + 5 : smp);
        if (!o->vcpus) {
            *vcpus = by_smp;
        } else if (by_smp != *vcpus) {
            g_set_error(err, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                        "--vcpus %d and the program's -smp %s differ; leave "
                        "one out", o->vcpus, smp);
            return FALSE;
        }
    }
    if (*vcpus < 1 || *vcpus > XENSIM_MAX_VCPUS) {
        g_set_error(err, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "%s %u: from 1 to %u vCPUs can be simulated",
                    o->vcpus ? "--vcpus" : "-smp", *vcpus,
                    XENSIM_MAX_VCPUS);
        return FALSE;
    }
    return TRUE;
}

/* The whole vector for domain DOM, and what was added (g_free). */
static char **complete_argv(const Options *o, XensimDomain *dom,
                            char **added)
{
    const char *const *args = (const char *const *)o->argv;
    Line line = { g_ptr_array_new(), g_string_new(NULL) };
    char number[24];
    int i;

    for (i = 0; args[i]; i++) {
        g_ptr_array_add(line.argv, g_strdup(args[i]));
    }
    if (!cmd_option(args, opt_machine)) {
        append(&line, "-machine", "xenfv");
    }
    if (!cmd_option(args, opt_domid)) {
        snprintf(number, sizeof(number), "%u", xensim_domid(dom));
        append(&line, "-xen-domid", number);
    }
    if (!cmd_option(args, opt_memory)) {
        snprintf(number, sizeof(number), "%lu",
                 (unsigned long)(xensim_ram_bytes(dom) >> 20));
        append(&line, "-m", number);
    }
    if (xensim_vcpus(dom) > 1 && !cmd_option(args, opt_smp)) {
        snprintf(number, sizeof(number), "%u", xensim_vcpus(dom));
        append(&line, "-smp", number);
    }
    if (!cmd_option(args, opt_display)) {
        append(&line, "-display", "none");
    }
    if (!cmd_option(args, opt_net)) {
        /* QEMU's own choice would be a backend that no toolstack set up. */
        append(&line, "-net", "none");
    }
    g_ptr_array_add(line.argv, NULL);
    *added = g_string_free(line.added, FALSE);
    return (char **)g_ptr_array_free(line.argv, FALSE);
}

/* ---- running ---- */

/* Wait for the program's end; returns the exit status to end with. */
static int wait_for(Xensim *sim, pid_t pid)
{
    bool told = false;
    int wstatus = 0, patience = 0;

    while (xensim_wait_exit(sim, pid, 100, &wstatus) == -ETIMEDOUT) {
        if (signal_seen && !told) {
            kill(pid, SIGTERM);
            told = true;
        }
        if (told && ++patience > 50) {
            complain("the program does not end on SIGTERM: killed");
            xensim_kill(sim, pid);
            return 128 + SIGKILL;
        }
    }
    if (WIFSIGNALED(wstatus)) {
        fprintf(stderr, "xensim: the program was ended by signal %d (%s)\n",
                WTERMSIG(wstatus), strsignal(WTERMSIG(wstatus)));
        return 128 + WTERMSIG(wstatus);
    }
    return WEXITSTATUS(wstatus);
}

static void report(Xensim *sim, bool all)
{
    XensimCount maps = xensim_count_maps(sim);
    XensimCount unmaps = xensim_count(sim, "xenforeignmemory_unmap");

    if (all) {
        fflush(stdout);
        xensim_count_print(sim, STDOUT_FILENO);
    }
    fprintf(stderr, "xensim: %lu map calls of %lu pages (%lu failed), %lu "
            "unmap calls\n", (unsigned long)maps.calls,
            (unsigned long)maps.pages, (unsigned long)maps.failures,
            (unsigned long)unmaps.calls);
}

static int start(const Options *o, Xensim *sim, XensimDomain *dom,
                 GError **err)
{
    g_autofree char *added = NULL;
    g_auto(GStrv) argv = complete_argv(o, dom, &added);
    g_autoptr(GPtrArray) env = g_ptr_array_new_with_free_func(g_free);
    pid_t pid;
    int status;

    if (o->no_map2) {
        g_ptr_array_add(env, g_strdup("XENSIM_NO_MAP2=1"));
    }
    if (o->log) {
        g_ptr_array_add(env, g_strconcat("XENSIM_LOG=", o->log, NULL));
    }
    g_ptr_array_add(env, NULL);
    fprintf(stderr, "xensim: domain %u, %lu MiB, %u vCPU%s, in %s; added:%s\n",
            xensim_domid(dom), (unsigned long)(xensim_ram_bytes(dom) >> 20),
            xensim_vcpus(dom), xensim_vcpus(dom) > 1 ? "s" : "",
            xensim_dir(sim), added[0] ? added : " nothing");
    if (signal_seen) {
        return 128 + signal_seen;
    }
    pid = xensim_spawn(dom, (const char *const *)argv,
                       (const char *const *)env->pdata, -1);
    if (pid < 0) {
        g_set_error(err, G_IO_ERROR, g_io_error_from_errno(-pid),
                    "%s: cannot start it: %s", argv[0], g_strerror(-pid));
        return 1;
    }
    status = wait_for(sim, pid);
    report(sim, o->counts);
    return status;
}

/* A specification that cannot be armed has been told of when this fails. */
static bool arm_faults(const Options *o, Xensim *sim)
{
    int i;

    for (i = 0; o->faults && o->faults[i]; i++) {
        if (xensim_fault_arm_text(sim, o->faults[i]) < 0) {
            return false;
        }
    }
    return true;
}

static int simulate(const Options *o, GError **err)
{
    XensimDomainConfig dc = {
        .flags = o->scattered ? XENSIM_DOM_SCATTERED : 0,
    };
    XensimDomain *dom;
    Xensim *sim;
    int status = 1;

    if (!guest_memory(o, &dc.ram_bytes, err) ||
        !guest_vcpus(o, &dc.vcpus, err)) {
        return 1;
    }
    if (cmd_option((const char *const *)o->argv, opt_domid)) {
        dc.domid = atoi(cmd_option((const char *const *)o->argv, opt_domid));
    }
    sim = xensim_new(NULL);
    if (!sim) {
        return 1;               /* it has said why */
    }
    dom = xensim_domain_create(sim, &dc);
    if (!dom) {
        g_set_error(err, G_IO_ERROR, g_io_error_from_errno(errno),
                    "cannot create a domain of %lu MiB with %u vCPUs: %s",
                    (unsigned long)(dc.ram_bytes >> 20), dc.vcpus,
                    g_strerror(errno));
    } else if (arm_faults(o, sim)) {
        status = start(o, sim, dom, err);
    }
    xensim_free(sim);
    return status;
}

/* Everything that can be wrong before there is a simulation. */
static gboolean check(Options *o, GError **err)
{
    g_autofree char *program = cmd_find_program(o->argv[0], err);
    const char *lib;

    if (!program || !cmd_check_program(program, err)) {
        return FALSE;
    }
    if (o->lib) {
        g_setenv("XENSIM_LIB", o->lib, TRUE);
    }
    lib = xensim_lib_path();
    if (!lib || access(lib, R_OK) < 0) {
        g_set_error(err, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "%s: no such file; build it, or say where it is by --lib "
                    "FILE or XENSIM_LIB", lib ? lib : "libxensim.so");
        return FALSE;
    }
    if (o->log) {
        FILE *log = fopen(o->log, "ae");

        if (!log) {
            g_set_error(err, G_IO_ERROR, g_io_error_from_errno(errno),
                        "--log %s: cannot write there: %s", o->log,
                        g_strerror(errno));
            return FALSE;
        }
        fclose(log);
    }
    return TRUE;
}

static const char summary[] =
    "Runs a QEMU with Xen support as a device model on the simulated Xen.\n"
    "Nothing plays the guest's CPU: QEMU waits for what its monitor is told.\n"
    "The exit status is QEMU's, 128 + N if signal N ended it.\n"
    "\n"
    "Example: xensim run --memory 128M --counts -- qemu-system-i386 \\\n"
    "             -monitor stdio -device VGA\n";

/* What follows the options: the program, with its arguments. */
static gboolean parse_program(char **argv, Options *o, GError **err)
{
    if (*argv && strcmp(*argv, "--") == 0) {
        argv++;
    }
    if (!*argv) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                    "no program given; try xensim --help");
        return FALSE;
    }
    o->argv = g_strdupv(argv);
    return TRUE;
}

static gboolean asks_for_help(int argc, char **argv)
{
    return argc > 1 && (strcmp(argv[1], "--help") == 0 ||
                        strcmp(argv[1], "-h") == 0 ||
                        (argc > 2 && strcmp(argv[2], "--help") == 0));
}

static gboolean parse(int argc, char **argv, Options *o, GError **err)
{
    const GOptionEntry entries[] = {
        { "memory", 'm', 0, G_OPTION_ARG_STRING, &o->memory,
          "RAM of the guest (128M, or what -m says)", "SIZE" },
        { "vcpus", 0, 0, G_OPTION_ARG_INT, &o->vcpus,
          "virtual CPUs (1, or what -smp says)", "N" },
        { "scattered", 0, 0, G_OPTION_ARG_NONE, &o->scattered,
          "machine frames are never neighbours", NULL },
        { "log", 0, 0, G_OPTION_ARG_FILENAME, &o->log,
          "append a line for each hypercall to FILE", "FILE" },
        { "fault", 0, 0, G_OPTION_ARG_STRING_ARRAY, &o->faults,
          "make calls fail: NAME[:key[=value]]... (may be repeated)", "SPEC" },
        { "no-map2", 0, 0, G_OPTION_ARG_NONE, &o->no_map2,
          "a libxen without xenforeignmemory_map2", NULL },
        { "counts", 0, 0, G_OPTION_ARG_NONE, &o->counts,
          "print how often each call was made", NULL },
        { "lib", 0, 0, G_OPTION_ARG_FILENAME, &o->lib,
          "the libxensim.so to preload", "FILE" },
        { NULL, 0, 0, 0, NULL, NULL, NULL },
    };
    g_autoptr(GOptionContext) context =
        g_option_context_new("-- QEMU [ARGUMENT...]");

    g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_set_summary(context, summary);
    g_option_context_set_strict_posix(context, TRUE);
    g_option_context_set_help_enabled(context, FALSE);
    if (asks_for_help(argc, argv)) {
        g_autofree char *help = NULL;

        g_set_prgname("xensim run");
        help = g_option_context_get_help(context, TRUE, NULL);
        fputs(help, stdout);
        exit(0);
    }
    if (argc < 2 || strcmp(argv[1], "run") != 0) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                    argc < 2 ? "no command given; try xensim --help"
                             : "%s: unknown command; try xensim --help",
                    argc < 2 ? "" : argv[1]);
        return FALSE;
    }
    argv[1] = argv[0];
    argv++;
    argc--;
    if (!g_option_context_parse(context, &argc, &argv, err)) {
        return FALSE;
    }
    if (o->vcpus < 0) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "--vcpus %d: from 1 to %u vCPUs can be simulated",
                    o->vcpus, XENSIM_MAX_VCPUS);
        return FALSE;
    }
    return parse_program(argv + 1, o, err);
}

static void options_clear(Options *o)
{
    g_free(o->memory);
    g_free(o->log);
    g_free(o->lib);
    g_strfreev(o->faults);
    g_strfreev(o->argv);
}

int main(int argc, char **argv)
{
    const struct sigaction action = { .sa_handler = on_signal };
    g_autoptr(GError) err = NULL;
    Options o = { 0 };
    int status = 1;

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    if (parse(argc, argv, &o, &err) && check(&o, &err)) {
        status = simulate(&o, &err);
    }
    if (err) {
        complain(err->message);
    }
    options_clear(&o);
    return status;
}
