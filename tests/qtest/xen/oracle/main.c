/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program of the oracle: options, and what is printed.  docs/oracle.md. */
#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <sched.h>
#include "engine.h"

#define SHORT_SEEDS 12          /* of the form that is a test */
#define FIXED_SEED  1
/*
 * The first of the form that is a test.  With seed 3, NVMe's driver waits for a
 * minute in all: on both sides some of its requests are never answered.
 */
#define SHORT_SEED  4

static struct {
    gint64 seed;
    int actions, every, time, shrink, seeds, processor;
    char *file, *bytes, *save, *findings, *corpus, *mutants;
    gboolean both_plain, timeless, tap, keep_going, mutate, times;
    char **without;
} option = { .actions = 1000, .every = 100, .shrink = 120, .processor = -1 };

static const GOptionEntry entries[] = {
    { "seed", 0, 0, G_OPTION_ARG_INT64, &option.seed,
      "begin with the stream of this seed", "N" },
    { "seeds", 0, 0, G_OPTION_ARG_INT, &option.seeds,
      "run the streams of so many seeds", "N" },
    { "time", 0, 0, G_OPTION_ARG_INT, &option.time,
      "run streams of seeds for so many seconds", "S" },
    { "actions", 0, 0, G_OPTION_ARG_INT, &option.actions,
      "how many actions a stream has", "N" },
    { "file", 0, 0, G_OPTION_ARG_FILENAME, &option.file,
      "run the stream in this file", "FILE" },
    { "bytes", 0, 0, G_OPTION_ARG_FILENAME, &option.bytes,
      "run the stream that the bytes of this file make", "FILE" },
    { "corpus", 0, 0, G_OPTION_ARG_FILENAME, &option.corpus,
      "run the streams in this directory first", "DIR" },
    { "mutants", 0, 0, G_OPTION_ARG_FILENAME, &option.mutants,
      "see that each stream in this directory finds the mistake it names",
      "DIR" },
    { "mutate", 0, 0, G_OPTION_ARG_NONE, &option.mutate,
      "the streams of seeds are those of --corpus, changed", NULL },
    { "save", 0, 0, G_OPTION_ARG_FILENAME, &option.save,
      "write the stream to this file first", "FILE" },
    { "findings", 0, 0, G_OPTION_ARG_FILENAME, &option.findings,
      "write streams whose sides part to this directory", "DIR" },
    { "shrink", 0, 0, G_OPTION_ARG_INT, &option.shrink,
      "try to make such a stream smaller for so many seconds", "S" },
    { "every", 0, 0, G_OPTION_ARG_INT, &option.every,
      "compare all after so many actions", "N" },
    { "plain", 0, 0, G_OPTION_ARG_NONE, &option.both_plain,
      "compare the plain machine with itself", NULL },
    { "timeless", 0, 0, G_OPTION_ARG_NONE, &option.timeless,
      "do not look at the processor's time", NULL },
    { "without", 0, 0, G_OPTION_ARG_STRING_ARRAY, &option.without,
      "leave out a device, or an action of one (xen.fault)", "NAME" },
    { "processor", 0, 0, G_OPTION_ARG_INT, &option.processor,
      "run on this processor, unless the stream has an iothread", "N" },
    { "times", 0, 0, G_OPTION_ARG_NONE, &option.times,
      "print where the time goes", NULL },
    { "tap", 0, 0, G_OPTION_ARG_NONE, &option.tap,
      "print results as a test does", NULL },
    /* As glib's tests are called; this is what it does anyway. */
    { "keep-going", 'k', G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE,
      &option.keep_going, "go on after a fault", NULL },
    { NULL }
};

static struct {
    unsigned streams, faults, of_qemu, unsteady;
    uint64_t actions, comparisons, longest_ns;
    gint64 start;
} total;

static int fail(const char *why)
{
    fprintf(stderr, "xen-oracle: %s\n", why);
    return 1;
}

/* ---- one stream ---- */

static const char *const end_text[] = {
    [ORACLE_SAME] = "same",
    [ORACLE_DIFFERS] = "differs",
    [ORACLE_LOST] = "lost",
    [ORACLE_PLAIN_LOST] = "lost",
    [ORACLE_BOTH_LOST] = "both lost",
    [ORACLE_SLOW] = "slow",
    [ORACLE_BROKEN] = "cannot run",
};

/* What came of it, in a line (g_free). */
static char *outcome(const OracleStream *stream, const OracleResult *r)
{
    const OracleStep *step;

    if (r->end == ORACLE_SAME) {
        return g_strdup_printf("%" PRIu64 " actions, %" PRIu64 " comparisons,"
                               " longest wait %" PRIu64 " ms", r->actions,
                               r->comparisons, r->longest_ns / 1000000);
    }
    if (r->end == ORACLE_BROKEN || r->step >= stream->steps->len) {
        return g_strdup_printf("%s: %s", end_text[r->end], r->text);
    }
    step = &g_array_index(stream->steps, OracleStep, r->step);
    return g_strdup_printf("%s at action %u, %s.%s: %s", end_text[r->end],
                           r->step, step->device->name, step->action->name,
                           r->text);
}

/* The same, to follow "# ": a comment of TAP also where it has more lines. */
static char *describe(const OracleStream *stream, const OracleResult *r)
{
    g_autofree char *text = outcome(stream, r);
    g_auto(GStrv) lines = g_strsplit(text, "\n", 0);

    return g_strjoinv("\n# ", lines);
}

/* A name by what is in it, so that the same finding comes once (g_free). */
static char *finding_path(const OracleStream *stream, const char *name)
{
    g_autofree char *file = g_strdup_printf("%s.stream", name);

    return g_build_filename(option.findings ?: ".", file, NULL);
}

static void keep(const OraclePlan *plan, const OracleStream *stream,
                 const char *name, OracleResult *result)
{
    g_autofree char *path = finding_path(stream, name);
    g_autoptr(OracleStream) least = option.shrink ?
        oracle_shrink(plan, stream, option.shrink, result) :
        oracle_stream_copy(stream);
    g_autofree char *text = describe(least, result);
    g_autoptr(GError) err = NULL;

    printf("# %s\n", text);
    if (!oracle_stream_save(least, path, &err)) {
        printf("# %s\n", err->message);
        return;
    }
    printf("# %u actions; to run it again: xen-oracle --file %s\n",
           least->steps->len, path);
}

static void add_up(const OracleResult *result)
{
    total.streams++;
    total.actions += result->actions;
    total.comparisons += result->comparisons;
    total.longest_ns = MAX(total.longest_ns, result->longest_ns);
}

/* Runs it, says what came of it; false if there is a fault. */
static bool judge(const OraclePlan *plan, const OracleStream *stream,
                  const char *name, bool from_file)
{
    static const char *const verdict[] = {
        [ORACLE_GOOD] = "same",
        [ORACLE_UNSTEADY] = "came once only",
        [ORACLE_OF_QEMU] = "QEMU does it without Xen too",
        [ORACLE_FAULT] = "FAULT",
    };
    g_autofree char *text = NULL;
    OracleJudgement judgement;
    OracleResult result;

    oracle_run(plan, stream, &result);
    add_up(&result);
    judgement = oracle_judge(plan, stream, &result);
    text = describe(stream, &result);
    printf("# %s: %s: %s\n", name, verdict[judgement], text);
    if (option.tap) {
        printf("%sok %u - %s\n", judgement == ORACLE_FAULT ? "not " : "",
               total.streams, name);
    }
    total.unsteady += judgement == ORACLE_UNSTEADY;
    total.of_qemu += judgement == ORACLE_OF_QEMU;
    total.faults += judgement == ORACLE_FAULT;
    if (judgement == ORACLE_FAULT && result.end != ORACLE_BROKEN &&
        (!from_file || option.findings) && !plan->both_plain) {
        keep(plan, stream, name, &result);
    }
    oracle_result_clear(&result);
    fflush(stdout);
    return judgement != ORACLE_FAULT;
}

static bool judge_file(const OraclePlan *plan, const char *path)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(OracleStream) stream = oracle_stream_load(path, &err);
    g_autofree char *name = g_path_get_basename(path);

    if (!stream) {
        fail(err->message);
        total.streams++;
        total.faults++;
        if (option.tap) {
            printf("not ok %u - %s\n", total.streams, name);
        }
        return false;
    }
    return judge(plan, stream, name, true);
}

/* Runs a stream that was not in a file, and frees it. */
static bool judge_new(const OraclePlan *plan, OracleStream *made,
                      const char *name)
{
    g_autoptr(OracleStream) stream = made;
    g_autoptr(GError) err = NULL;

    if (option.save && !oracle_stream_save(stream, option.save, &err)) {
        fail(err->message);
        total.faults++;
        return false;
    }
    return judge(plan, stream, name, false);
}

/* What --mutate changes: OracleStream *. */
static GPtrArray *originals;

static bool judge_seed(const OraclePlan *plan, uint64_t seed)
{
    g_autofree char *name = g_strdup_printf("%s-%" PRIu64, originals ?
                                            "mutated" : "seed", seed);

    return judge_new(plan, originals ?
                     oracle_stream_mutate(seed, originals) :
                     oracle_stream_random(seed, option.actions,
                         (const char *const *)option.without), name);
}

/* Takes the files of the corpus as originals, instead of running them. */
static void take_originals(GPtrArray *files, GError **err)
{
    unsigned i;

    originals = g_ptr_array_new();
    for (i = 0; i < files->len && !*err; i++) {
        OracleStream *stream = oracle_stream_load(files->pdata[i], err);

        if (stream && stream->steps->len) {
            g_ptr_array_add(originals, stream);
        }
    }
    if (!originals->len && !*err) {
        g_set_error(err, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "--mutate: --corpus names no stream with an action");
    }
    g_ptr_array_set_size(files, 0);
}

static bool judge_bytes(const OraclePlan *plan, const char *path)
{
    g_autofree char *name = g_path_get_basename(path);
    g_autoptr(GError) err = NULL;
    g_autofree char *data = NULL;
    gsize len;

    if (!g_file_get_contents(path, &data, &len, &err)) {
        fail(err->message);
        total.faults++;
        return false;
    }
    return judge_new(plan, oracle_stream_from_bytes(
        data, len, option.actions, (const char *const *)option.without),
        name);
}

/* ---- many ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names of the stream files in a directory, sorted. */
static GPtrArray *corpus_files(const char *path, GError **err)
{
    GPtrArray *files = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = g_dir_open(path, 0, err);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        if (g_str_has_suffix(name, ".stream")) {
            g_ptr_array_add(files, g_build_filename(path, name, NULL));
        }
    }
    g_ptr_array_sort(files, by_name);
    return files;
}

/* ---- mistakes on purpose ---- */

/* Does @stream find the mistake @name, and nothing without it? */
static bool is_found(const OraclePlan *plan, const OracleStream *stream,
                     const char *name)
{
    OracleResult with, clean;
    g_autofree char *text = NULL;
    bool found;

    g_setenv("XEN_MUTANT", name, true);
    oracle_run(plan, stream, &with);
    g_unsetenv("XEN_MUTANT");
    oracle_run(plan, stream, &clean);
    add_up(&with);
    add_up(&clean);
    found = clean.end == ORACLE_SAME && with.end != ORACLE_SAME &&
            with.end != ORACLE_BROKEN;
    text = describe(stream, found || with.end != ORACLE_SAME ? &with : &clean);
    printf("# %s: %s%s\n", name, text, clean.end == ORACLE_SAME ? "" :
           "; but the stream also fails without the mistake");
    oracle_result_clear(&with);
    oracle_result_clear(&clean);
    return found;
}

static void judge_mutant(const OraclePlan *plan, const char *path,
                         unsigned number)
{
    g_autofree char *name = g_path_get_basename(path);
    g_autoptr(GError) err = NULL;
    g_autoptr(OracleStream) stream = oracle_stream_load(path, &err);
    bool found;

    *strrchr(name, '.') = '\0';
    if (!stream) {
        fail(err->message);
    }
    found = stream && is_found(plan, stream, name);
    total.faults += !found;
    printf("%sok %u - %s\n", found ? "" : "not ", number, name);
    fflush(stdout);
}

static void print_total(void)
{
    double s = (g_get_monotonic_time() - total.start) / 1e6;

    printf("# %u streams, %" PRIu64 " actions, %" PRIu64 " comparisons in "
           "%.1f s: %.1f, %.0f, %.0f a second\n", total.streams,
           total.actions, total.comparisons, s, total.streams / s,
           total.actions / s, total.comparisons / s);
    printf("# %u faults, %u of QEMU without Xen, %u that came once; longest "
           "wait for an answer %" PRIu64 " ms\n", total.faults,
           total.of_qemu, total.unsteady, total.longest_ns / 1000000);
    oracle_times_print();
}

static int run_mutants(const OraclePlan *plan)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(GPtrArray) files = corpus_files(option.mutants, &err);
    unsigned i;

    if (err || !files->len) {
        return fail(err ? err->message : "there is no stream for a mistake");
    }
    printf("1..%u\n", files->len);
    for (i = 0; i < files->len; i++) {
        judge_mutant(plan, files->pdata[i], i + 1);
    }
    print_total();
    return total.faults != 0;
}

static bool time_is_up(unsigned i)
{
    gint64 us = g_get_monotonic_time() - total.start;

    return option.time ? us > (gint64)option.time * G_USEC_PER_SEC
                       : i >= (unsigned)option.seeds;
}

static int run_all(const OraclePlan *plan, GPtrArray *files)
{
    unsigned i;

    if (option.tap) {
        printf("1..%u\n", files->len + option.seeds + !!option.bytes);
    }
    for (i = 0; i < files->len; i++) {
        judge_file(plan, files->pdata[i]);
    }
    if (option.bytes) {
        judge_bytes(plan, option.bytes);
    }
    for (i = 0; !time_is_up(i); i++) {
        judge_seed(plan, option.seed + i);
    }
    print_total();
    return total.faults != 0;
}

static void check_names(char **names, GError **err)
{
    for (; names && *names && !*err; names++) {
        if (!oracle_is_name(*names)) {
            g_set_error(err, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                        "there is no device or action %s", *names);
        }
    }
}

/* What is to be run, from the options. */
static GPtrArray *choose(GError **err)
{
    GPtrArray *files = option.corpus ? corpus_files(option.corpus, err) :
                       g_ptr_array_new_with_free_func(g_free);

    if (option.file) {
        g_ptr_array_add(files, g_strdup(option.file));
    } else if (!option.bytes && !option.seeds && !option.time) {
        option.seeds = option.tap ? SHORT_SEEDS : 1;
    }
    option.seed = option.seed ?: option.tap ? SHORT_SEED : FIXED_SEED;
    return files;
}

static void check_processor(int processor, GError **err)
{
    cpu_set_t all;

    if (processor >= 0 && !*err &&
        (processor >= CPU_SETSIZE || sched_getaffinity(0, sizeof(all), &all) ||
         !CPU_ISSET(processor, &all))) {
        g_set_error(err, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "there is no processor %d for this process", processor);
    }
}

int main(int argc, char **argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    OraclePlan plan = { .qemu = getenv("QTEST_QEMU_BINARY") };
    g_autoptr(GPtrArray) files = NULL;
    g_autoptr(GError) err = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &err)) {
        return fail(err->message);
    }
    if (!plan.qemu) {
        return fail("QTEST_QEMU_BINARY names no binary to look at");
    }
    if (access(xensim_lib_path(), R_OK)) {
        g_autofree char *why = g_strdup_printf("%s: %s", xensim_lib_path(),
                                               g_strerror(errno));

        return fail(why);
    }
    signal(SIGPIPE, SIG_IGN);
    plan.both_plain = option.both_plain;
    plan.timeless = option.timeless;
    plan.processor = option.processor;
    plan.every = MAX(option.every, 1);
    total.start = g_get_monotonic_time();
    if (option.times) {
        oracle_times_begin();
    }
    files = choose(&err);
    if (!err) {
        check_names(option.without, &err);
    }
    check_processor(option.processor, &err);
    if (!err && option.mutate) {
        take_originals(files, &err);
    }
    if (err) {
        return fail(err->message);
    }
    return option.mutants ? run_mutants(&plan) : run_all(&plan, files);
}
