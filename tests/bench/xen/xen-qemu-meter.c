/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a load costs QEMU's process; see xen-qemu-bench.h. */
#include "qemu/osdep.h"
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <time.h>
#include "xen-qemu-bench.h"

struct BenchMeter {
    Xensim *sim;
    pid_t pid;
    clockid_t clock;
    GArray *counters;           /* perf's files, one for each thread */
};

static int64_t timespec_ns(clockid_t clock)
{
    struct timespec ts;

    g_assert_cmpint(clock_gettime(clock, &ts), ==, 0);
    return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* A counter of @tid and of the threads that it starts; -1: there is none. */
static int count_instructions(pid_t tid)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_HARDWARE,
        .size = sizeof(attr),
        .config = PERF_COUNT_HW_INSTRUCTIONS,
        .exclude_kernel = 1,
        .exclude_hv = 1,
        .inherit = 1,
    };

    return syscall(SYS_perf_event_open, &attr, tid, -1, -1,
                   PERF_FLAG_FD_CLOEXEC);
}

BenchMeter *bench_meter_new(const BenchMachine *machine)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task", machine->pid);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    BenchMeter *m = g_new0(BenchMeter, 1);
    const char *name;

    m->sim = machine->sim;
    m->pid = machine->pid;
    m->counters = g_array_new(false, false, sizeof(int));
    g_assert_cmpint(clock_getcpuclockid(m->pid, &m->clock), ==, 0);
    while (dir && (name = g_dir_read_name(dir))) {
        int fd = count_instructions(atoi(name));

        if (fd < 0) {
            break;
        }
        g_array_append_val(m->counters, fd);
    }
    return m;
}

void bench_meter_free(BenchMeter *m)
{
    unsigned i;

    for (i = 0; i < m->counters->len; i++) {
        close(g_array_index(m->counters, int, i));
    }
    g_array_free(m->counters, true);
    g_free(m);
}

static int64_t instructions(BenchMeter *m)
{
    int64_t sum = m->counters->len ? 0 : -1, one;
    unsigned i;

    for (i = 0; i < m->counters->len; i++) {
        if (read(g_array_index(m->counters, int, i), &one, sizeof(one)) !=
            sizeof(one)) {
            return -1;
        }
        sum += one;
    }
    return sum;
}

/* Field 10 of /proc/PID/stat; the second is a name in brackets. */
static int64_t minor_faults(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", pid);
    g_autofree char *text = NULL;
    g_auto(GStrv) field = NULL;
    const char *after;

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return -1;
    }
    after = strrchr(text, ')');
    field = g_strsplit(after ? after + 2 : "", " ", 10);
    return g_strv_length(field) == 10 ?
        (int64_t)g_ascii_strtoull(field[7], NULL, 10) : -1;
}

BenchReading bench_meter_read(BenchMeter *m)
{
    BenchReading r = {
        .faults = minor_faults(m->pid),
        .cpu_ns = timespec_ns(m->clock),
        .wall_ns = timespec_ns(CLOCK_MONOTONIC),
        .instructions = instructions(m),
    };

    if (m->sim) {
        XensimCount maps = xensim_count_maps(m->sim);

        r.libxen = xensim_count_calls(m->sim);
        r.calls = maps.calls;
        r.pages = maps.pages;
    }
    return r;
}

/* ---- system calls ---- */

struct BenchStrace {
    GSubprocess *process;
    char *path;                 /* of its summary */
};

static void strace_free(BenchStrace *s)
{
    if (s->path) {
        unlink(s->path);
    }
    g_clear_object(&s->process);
    g_free(s->path);
    g_free(s);
}

/* It says so when it has attached to all threads. */
static bool wait_attached(GSubprocess *process)
{
    g_autoptr(GDataInputStream) said = g_data_input_stream_new(
        g_subprocess_get_stderr_pipe(process));

    for (;;) {
        g_autofree char *line = g_data_input_stream_read_line(said, NULL,
                                                              NULL, NULL);

        if (!line || strstr(line, " attached")) {
            return line != NULL;
        }
    }
}

BenchStrace *bench_strace_start(pid_t pid)
{
    g_autofree char *text = g_strdup_printf("%d", pid);
    BenchStrace *s = g_new0(BenchStrace, 1);
    int fd = g_file_open_tmp("xen-qemu-bench-XXXXXX", &s->path, NULL);

    if (fd >= 0) {
        close(fd);
        s->process = g_subprocess_new(
            G_SUBPROCESS_FLAGS_STDERR_PIPE, NULL, "strace", "-f", "-c", "-o",
            s->path, "-p", text, NULL);
    }
    if (!s->process || !wait_attached(s->process)) {
        strace_free(s);
        return NULL;
    }
    return s;
}

int64_t bench_strace_stop(BenchStrace *s)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    int64_t calls = -1;
    unsigned i;

    if (!s) {
        return -1;
    }
    g_subprocess_send_signal(s->process, SIGINT);
    g_subprocess_wait(s->process, NULL, NULL);
    if (g_file_get_contents(s->path, &text, NULL, NULL)) {
        lines = g_strsplit(text, "\n", -1);
        for (i = 0; lines[i]; i++) {
            long long n;

            /* Share, seconds, microseconds a call, calls. */
            if (g_str_has_suffix(lines[i], " total") &&
                sscanf(lines[i], "%*f %*f %*d %lld", &n) == 1) {
                calls = n;
            }
        }
    }
    strace_free(s);
    return calls;
}
