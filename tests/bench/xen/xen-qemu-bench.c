/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The benchmark of whole QEMU: runs one binary, with all loads.
 *
 * Prints a line for each load and measure, separated by tabs: the load, the
 * measure, and the value for one request (or packet, or access), or "-" if
 * this machine cannot count it.  tools/bench runs it for each binary and
 * prints ratios.
 */
#include "qemu/osdep.h"
#include "xen-qemu-bench.h"

#define TRACED 4        /* one of so many requests under strace */
#define PARTS  4        /* after each of which the clock is looked at */
#define BATCHES (PARTS * 128)   /* whole batches of any load, in each part */
#define ENOUGH_US 400000

typedef struct Bench {
    char *qemu, *dir;
    gboolean plain, syscalls;
    double scale;
    char **only;        /* loads, NULL: all */
} Bench;

static void report(const BenchLoad *load, const char *measure, int64_t sum,
                   unsigned n)
{
    if (sum < 0) {
        printf("%s\t%s\t-\n", load->name, measure);
    } else {
        printf("%s\t%s\t%.3f\n", load->name, measure, (double)sum / n);
    }
}

static int64_t less(int64_t after, int64_t before)
{
    return after < 0 || before < 0 ? -1 : after - before;
}

/*
 * Up to @n requests, a multiple of BATCHES; fewer on a slow machine.  Returns
 * how many, 0 on failure.
 */
static unsigned run_some(BenchGuest *guest, const BenchLoad *load,
                         unsigned n, GError **err)
{
    const gint64 start = g_get_monotonic_time();
    const unsigned part = n / PARTS;
    unsigned done = 0;

    while (done < n && g_get_monotonic_time() - start < ENOUGH_US) {
        if (!load->run(guest, load, part, err)) {
            return 0;
        }
        done += part;
    }
    return done;
}

static bool measure(const Bench *bench, const BenchMachine *machine,
                    BenchGuest *guest, const BenchLoad *load, GError **err)
{
    unsigned n = MAX(load->count * bench->scale / BATCHES, 1) * BATCHES;
    BenchMeter *meter = bench_meter_new(machine);
    BenchReading before, after;
    BenchStrace *strace;

    before = bench_meter_read(meter);
    n = run_some(guest, load, n, err);
    after = bench_meter_read(meter);
    bench_meter_free(meter);
    if (!n) {
        return false;
    }
    printf("%s\tbytes\t%u\n", load->name, load->bytes);
    if (machine->sim) {
        report(load, "libxen-calls", after.libxen - before.libxen, n);
        report(load, "map-calls", after.calls - before.calls, n);
        report(load, "map-pages", after.pages - before.pages, n);
    }
    report(load, "faults", less(after.faults, before.faults), n);
    report(load, "cpu-ns", after.cpu_ns - before.cpu_ns, n);
    report(load, "time-ns", after.wall_ns - before.wall_ns, n);
    report(load, "instructions", less(after.instructions,
                                      before.instructions), n);
    if (bench->syscalls) {
        n = MAX(n / TRACED / BATCHES, 1) * BATCHES;
        strace = bench_strace_start(machine->pid);
        n = run_some(guest, load, n, err);
        report(load, "syscalls", bench_strace_stop(strace), MAX(n, 1));
    }
    fflush(stdout);
    return n != 0;
}

static bool wanted(const Bench *bench, const BenchLoad *load)
{
    return !bench->only ||
           g_strv_contains((const char *const *)bench->only, load->name);
}

static bool run_group(const Bench *bench, const char *group, GError **err)
{
    g_auto(GStrv) args = bench_group_args(group, bench->dir, err);
    BenchMachine *machine;
    BenchGuest *guest;
    bool ok = true;
    unsigned i;

    machine = args ? bench_machine_start(bench->qemu, bench->plain,
                                         (const char *const *)args, bench->dir,
                                         err)
                   : NULL;
    if (!machine) {
        return false;
    }
    guest = bench_guest_new(machine, group, bench->dir, err);
    for (i = 0; guest && ok && i < bench_n_loads; i++) {
        const BenchLoad *load = &bench_loads[i];

        if (!strcmp(load->group, group) && wanted(bench, load)) {
            ok = load->prepare(guest, load, err) &&
                 measure(bench, machine, guest, load, err);
        }
    }
    ok = ok && guest;
    if (guest) {
        bench_guest_free(guest);
    }
    bench_machine_stop(machine);
    return ok;
}

static bool run_all(const Bench *bench, GError **err)
{
    g_autoptr(GHashTable) done = g_hash_table_new(g_str_hash, g_str_equal);
    unsigned i;

    for (i = 0; i < bench_n_loads; i++) {
        const BenchLoad *load = &bench_loads[i];

        if (wanted(bench, load) &&
            g_hash_table_add(done, (gpointer)load->group) &&
            !run_group(bench, load->group, err)) {
            return false;
        }
    }
    if (!g_hash_table_size(done)) {
        g_set_error(err, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "no load has such a name; see --list");
        return false;
    }
    return true;
}

static void list_loads(void)
{
    unsigned i;

    for (i = 0; i < bench_n_loads; i++) {
        puts(bench_loads[i].name);
    }
}

int main(int argc, char **argv)
{
    Bench bench = { .scale = 1 };
    gboolean list = false;
    const GOptionEntry entries[] = {
        { "qemu", 0, 0, G_OPTION_ARG_FILENAME, &bench.qemu,
          "the binary to measure", "PROGRAM" },
        { "dir", 0, 0, G_OPTION_ARG_FILENAME, &bench.dir,
          "where a disk's image and sockets go, memory if possible", "DIR" },
        { "plain", 0, 0, G_OPTION_ARG_NONE, &bench.plain,
          "not on the simulated Xen: a machine with plain RAM", NULL },
        { "syscalls", 0, 0, G_OPTION_ARG_NONE, &bench.syscalls,
          "count system calls too, by strace", NULL },
        { "scale", 0, 0, G_OPTION_ARG_DOUBLE, &bench.scale,
          "so many times as many requests", "FACTOR" },
        { "load", 0, 0, G_OPTION_ARG_STRING_ARRAY, &bench.only,
          "only this one; may be given again", "NAME" },
        { "list", 0, 0, G_OPTION_ARG_NONE, &list, "name the loads", NULL },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) err = NULL;
    bool ok;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &err)) {
        g_printerr("xen-qemu-bench: %s\n", err->message);
        return 2;
    }
    if (list) {
        list_loads();
        return 0;
    }
    if (!bench.qemu || !bench.dir || argc > 1 || bench.scale <= 0) {
        g_printerr("usage: xen-qemu-bench --qemu PROGRAM --dir DIR "
                   "[OPTION...]; see --help\n");
        return 2;
    }
    ok = run_all(&bench, &err);
    if (!ok) {
        g_printerr("xen-qemu-bench: %s\n", err->message);
    }
    return !ok;
}
