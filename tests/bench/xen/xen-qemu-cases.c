/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program that runs one case against one QEMU; see xen-qemu-cases.h.
 *
 * Prints a line for each measure, separated by tabs: case, measure, value, "-"
 * for what does not apply to this QEMU.  tools/bench runs it for each binary.
 */
#include "qemu/osdep.h"
#include <sys/mman.h>
#include <time.h>
#include "qemu/atomic.h"
#include "xen-loop-probe.h"
#include "xen-qemu-cases.h"

#define ASK_EVERY_US    500

struct CaseWatch {
    GThread *thread;
    TsQmp *qmp;
    LoopProbe *probe;           /* NULL: QEMU runs without */
    int quit;                   /* atomic */
    int watching;               /* atomic */
    int64_t longest_ns;         /* without an answer; atomic */
    int64_t answered_us;        /* when it did last; atomic */
    int64_t cpu_ns;             /* of QEMU, when it began */
};

void case_report(const CaseRun *run, const char *measure, double value)
{
    printf("%s\t%s\t%.3f\n", run->name, measure, value);
    fflush(stdout);
}

void case_report_none(const CaseRun *run, const char *measure)
{
    printf("%s\t%s\t-\n", run->name, measure);
}

bool case_ok(const CaseRun *run, int rc, GError **err)
{
    if (rc) {
        g_set_error(err, G_IO_ERROR, g_io_error_from_errno(-rc), "%s: %s",
                    run->name, guest_pc_error(run->pc));
    }
    return !rc;
}

/* ---- who watches ---- */

static int64_t process_cpu_ns(pid_t pid)
{
    struct timespec ts;
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &ts)) {
        return 0;
    }
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static void *ask_all_the_time(void *opaque)
{
    CaseWatch *w = opaque;

    while (!qatomic_read(&w->quit)) {
        int64_t start = g_get_monotonic_time(), us;

        if (!ts_qmp_run(w->qmp, "query-version", NULL, NULL)) {
            return NULL; /* the case tells why */
        }
        us = g_get_monotonic_time() - start;
        qatomic_set(&w->answered_us, start + us);
        /* What began before counts as well: it is what a person waits for. */
        if (qatomic_read(&w->watching) &&
            us * 1000 > qatomic_read(&w->longest_ns)) {
            qatomic_set(&w->longest_ns, us * 1000);
        }
        g_usleep(ASK_EVERY_US);
    }
    return NULL;
}

bool case_monitor_answers(const CaseRun *run)
{
    return g_get_monotonic_time() - qatomic_read(&run->watch->answered_us) <
           G_USEC_PER_SEC;
}

static LoopProbe *probe_map(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *p;

    if (fd < 0 || ftruncate(fd, sizeof(LoopProbe))) {
        return NULL;
    }
    p = mmap(NULL, sizeof(LoopProbe), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
             0);
    close(fd);
    return p == MAP_FAILED ? NULL : p;
}

void case_watch_begin(CaseRun *run)
{
    CaseWatch *w = run->watch;

    if (w->probe) {
        memset(w->probe, 0, sizeof(*w->probe));
    }
    qatomic_set(&w->longest_ns, 0);
    w->cpu_ns = process_cpu_ns(run->pid);
    qatomic_set(&w->watching, 1);
}

void case_watch_end(CaseRun *run)
{
    CaseWatch *w = run->watch;

    case_report(run, "cpu-ms", (process_cpu_ns(run->pid) - w->cpu_ns) / 1e6);
    /* The answer that is outstanding now belongs to it. */
    g_usleep(20 * ASK_EVERY_US);
    qatomic_set(&w->watching, 0);
    case_report(run, "monitor-silent-ms", qatomic_read(&w->longest_ns) / 1e6);
    if (w->probe && qatomic_read(&w->probe->rounds)) {
        case_report(run, "loop-held-ms",
                    qatomic_read(&w->probe->wall_ns) / 1e6);
        case_report(run, "loop-held-cpu-ms",
                    qatomic_read(&w->probe->cpu_ns) / 1e6);
    } else {
        case_report_none(run, "loop-held-ms");
    }
}

static void watch_stop(CaseWatch *w)
{
    qatomic_set(&w->quit, 1);
    if (w->thread) {
        g_thread_join(w->thread);
    }
    if (w->probe) {
        munmap(w->probe, sizeof(*w->probe));
    }
    g_free(w);
}

/* ---- QEMU ---- */

static bool plain_start(CaseRun *run, const char *machine,
                        const char *const *args, GError **err)
{
    const PlainConfig config = {
        .qemu = run->qemu,
        .machine = machine,
        .ram_bytes = CASE_RAM,
        .dir = run->dir,
        .rom_dir = "/usr/share/seabios",
        .args = args,
    };

    run->plain = plain_machine_start(&config, err);
    if (!run->plain) {
        return false;
    }
    run->pid = plain_machine_pid(run->plain);
    run->pc = plain_machine_pc(run->plain);
    run->watch->qmp = plain_machine_qmp(run->plain, err);
    return run->watch->qmp != NULL;
}

static bool xen_start(CaseRun *run, const char *machine,
                      const char *const *args, GError **err)
{
    const TsConfig config = {
        .qemu = run->qemu,
        .name = "case",
        .ram_bytes = CASE_RAM,
        .machine = machine,
        .vga = "",
        .args = args,
    };

    run->guest = ts_create(run->ts, &config, err);
    if (!run->guest) {
        return false;
    }
    run->dom = ts_domain(run->guest);
    run->pid = ts_pid(run->guest);
    run->pc = guest_pc_new(run->dom);
    run->watch->qmp = ts_qmp(run->guest);
    return true;
}

bool case_start(CaseRun *run, const char *machine, const char *const *args,
                GError **err)
{
    if (!(run->on_plain ? plain_start(run, machine, args, err)
                        : xen_start(run, machine, args, err))) {
        return false;
    }
    guest_pc_set_timeout(run->pc, 15000);
    run->watch->thread = g_thread_new("watch", ask_all_the_time, run->watch);
    return true;
}

static bool run_case(CaseRun *run, const Case *c, const char *preload,
                     GError **err)
{
    g_autofree char *path = g_build_filename(run->dir, "probe", NULL);
    bool ok;

    run->watch = g_new0(CaseWatch, 1);
    if (preload) {
        run->watch->probe = probe_map(path);
        g_setenv("LOOP_PROBE", path, true);
        g_setenv("LD_PRELOAD", preload, true);
    }
    run->ts = run->on_plain ? NULL : ts_new(NULL, err);
    run->data = c->data;
    ok = (run->on_plain || run->ts) && c->run(run, err);
    watch_stop(run->watch);
    if (run->pc && !run->plain) {
        guest_pc_free(run->pc);     /* a plain machine owns its CPU */
    }
    plain_machine_stop(run->plain);
    if (run->guest) {
        ts_destroy(run->guest);
    }
    if (run->ts) {
        ts_free(run->ts);
    }
    return ok;
}

/* The case of that name; NULL for @name prints all names. */
static const Case *find_case(const char *name, bool plain)
{
    const Case *const lists[] = { adversary_cases, state_cases };

    for (unsigned i = 0; i < (plain ? 1 : ARRAY_SIZE(lists)); i++) {
        for (const Case *c = lists[i]; c->name; c++) {
            if (!name) {
                puts(c->name);
            } else if (!strcmp(name, c->name)) {
                return c;
            }
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    char *preload = NULL, *qemu = NULL, *dir = NULL, *name = NULL;
    gboolean series = false, plain = false, list = false;
    const GOptionEntry entries[] = {
        { "qemu", 0, 0, G_OPTION_ARG_FILENAME, &qemu,
          "the binary to measure", "PROGRAM" },
        { "dir", 0, 0, G_OPTION_ARG_FILENAME, &dir,
          "where its files go, memory if possible", "DIR" },
        { "case", 0, 0, G_OPTION_ARG_STRING, &name, "which case", "NAME" },
        { "series", 0, 0, G_OPTION_ARG_NONE, &series,
          "the binary has the series' properties", NULL },
        { "plain", 0, 0, G_OPTION_ARG_NONE, &plain,
          "a machine with plain RAM, without Xen", NULL },
        { "probe", 0, 0, G_OPTION_ARG_FILENAME, &preload,
          "the library that watches the main loop", "LIBRARY" },
        { "list", 0, 0, G_OPTION_ARG_NONE, &list, "name the cases", NULL },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) err = NULL;
    const Case *c;
    CaseRun run;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &err)) {
        g_printerr("xen-qemu-cases: %s\n", err->message);
        return 2;
    }
    if (list) {
        find_case(NULL, plain);
        return 0;
    }
    c = name ? find_case(name, plain) : NULL;
    if (!qemu || !dir || !c || argc > 1) {
        g_printerr("usage: xen-qemu-cases --qemu PROGRAM --dir DIR --case "
                   "NAME [OPTION...]; see --help and --list\n");
        return 2;
    }
    run = (CaseRun) { .name = name, .qemu = qemu, .dir = dir,
                      .series = series, .on_plain = plain };
    if (!run_case(&run, c, preload, &err)) {
        g_printerr("xen-qemu-cases: %s\n", err->message);
        return 1;
    }
    return 0;
}
