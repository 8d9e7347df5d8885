/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program of the oracle: options, and what is printed.  docs/oracle.md. */
#include "qemu/osdep.h"
#include "engine.h"

static struct {
    gint64 seed;
    int actions, every;
    char *file, *save;
    gboolean both_plain;
    char **without;
} option = { .seed = 1, .actions = 1000, .every = 100 };

static const GOptionEntry entries[] = {
    { "seed", 0, 0, G_OPTION_ARG_INT64, &option.seed,
      "make the stream of this seed", "N" },
    { "actions", 0, 0, G_OPTION_ARG_INT, &option.actions,
      "how many actions it has", "N" },
    { "file", 0, 0, G_OPTION_ARG_FILENAME, &option.file,
      "run the stream in this file", "FILE" },
    { "save", 0, 0, G_OPTION_ARG_FILENAME, &option.save,
      "write the stream to this file first", "FILE" },
    { "every", 0, 0, G_OPTION_ARG_INT, &option.every,
      "compare all after so many actions", "N" },
    { "plain", 0, 0, G_OPTION_ARG_NONE, &option.both_plain,
      "compare the plain machine with itself", NULL },
    { "without", 0, 0, G_OPTION_ARG_STRING_ARRAY, &option.without,
      "leave out a device, or an action of one (xen.fault)", "NAME" },
    { NULL }
};

static const char *const end_text[] = {
    [ORACLE_SAME] = "same",
    [ORACLE_DIFFERS] = "differs",
    [ORACLE_LOST] = "lost",
    [ORACLE_BOTH_LOST] = "both lost",
    [ORACLE_SLOW] = "slow",
    [ORACLE_BROKEN] = "cannot run",
};

static void print_result(const OracleStream *stream, const OracleResult *r)
{
    printf("%s", end_text[r->end]);
    if (r->text && r->end != ORACLE_BROKEN && r->step < stream->steps->len) {
        const OracleStep *step = &g_array_index(stream->steps, OracleStep,
                                                r->step);

        printf(" at action %u, %s.%s", r->step, step->device->name,
               step->action->name);
    }
    printf("%s%s\n", r->text ? ": " : "", r->text ?: "");
}

static int run(const char *qemu, OracleStream *stream)
{
    const OraclePlan plan = {
        .qemu = qemu,
        .both_plain = option.both_plain,
        .every = MAX(option.every, 1),
    };
    gint64 start = g_get_monotonic_time(), us;
    OracleResult result;
    int status;

    oracle_run(&plan, stream, &result);
    us = g_get_monotonic_time() - start;
    print_result(stream, &result);
    printf("%" PRIu64 " actions, %" PRIu64 " comparisons in %.1f s\n",
           result.actions, result.comparisons, us / 1e6);
    status = result.end != ORACLE_SAME;
    oracle_result_clear(&result);
    return status;
}

static int fail(const char *why)
{
    fprintf(stderr, "xen-oracle: %s\n", why);
    return 1;
}

int main(int argc, char **argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    const char *qemu = getenv("QTEST_QEMU_BINARY");
    g_autoptr(GError) err = NULL;
    g_autoptr(OracleStream) stream = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &err)) {
        return fail(err->message);
    }
    if (!qemu) {
        return fail("QTEST_QEMU_BINARY is not set");
    }
    signal(SIGPIPE, SIG_IGN);
    stream = option.file ? oracle_stream_load(option.file, &err) :
             oracle_stream_random(option.seed, option.actions,
                                  (const char *const *)option.without);
    if (!stream || (option.save &&
                    !oracle_stream_save(stream, option.save, &err))) {
        return fail(err->message);
    }
    return run(qemu, stream);
}
