/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conformance: asks all questions about one HVM domain and prints TAP.
 *
 *   xen-conformance --domain N [--work GFN] [--group NAME] [--list]
 *
 * Exit status 0 if every answer is the expected one.
 */
#include "conformance.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A question that takes longer has hung. */
#define QUESTION_SECONDS 60

/* In this order: the last group takes rights away that do not come back. */
static const Question *const groups[] = {
    arena_questions, map_questions, memory_questions, dm_questions,
    ioreq_questions, evtchn_questions, gnttab_questions, restrict_questions,
};
#define NR_GROUPS (sizeof(groups) / sizeof(groups[0]))

static void on_alarm(int sig)
{
    static const char text[] = "\nBail out! a question was not answered in "
                               "time\n";

    (void)sig;
    if (write(STDOUT_FILENO, text, sizeof(text) - 1) < 0) {
        _exit(2);
    }
    _exit(1);
}

static bool in_group(const Question *q, const char *group)
{
    size_t n = group ? strlen(group) : 0;

    return !group || (!strncmp(q->name, group, n) && q->name[n] == '/');
}

/* Is it the answer of this Xen, or of one of the real ones? */
static bool is_expected(const Question *q, bool sim, const char *answer)
{
    if (sim) {
        return !strcmp(answer, q->sim ? q->sim : q->answer);
    }
    return !strcmp(answer, q->answer) ||
           (q->newer && !strcmp(answer, q->newer));
}

/* Asks one question; true if the answer is good. */
static bool ask(const Question *q, unsigned number, bool sim)
{
    const char *want = sim && q->sim ? q->sim : q->answer;
    const char *answer;
    bool good, skipped;

    answer_begin();
    alarm(QUESTION_SECONDS);
    ask_safely(q->ask);
    alarm(0);
    answer = answer_end(&skipped);
    good = !skipped && is_expected(q, sim, answer);
    if (skipped) {
        printf("ok %u - %s # SKIP %s\n", number, q->name, answer);
        return true;
    }
    if (!good) {
        printf("# expected of %s: %s\n# %s\n", sim ? "the simulated Xen"
               : "Xen", want, q->why);
    }
    printf("%sok %u - %s: %s\n", good ? "" : "not ", number, q->name, answer);
    if (good && sim && q->sim) {
        printf("# Xen: %s; %s\n", q->answer, q->reason);
    }
    return good;
}

/* The first that it does not find is as good as any. */
static uint32_t unused_domid(void)
{
    uint32_t id = 30000;

    while (domain_exists(id)) {
        id++;
    }
    return id;
}

static int run(const char *group)
{
    bool sim = getenv("XENSIM") != NULL;
    unsigned total = 0, number = 0, bad = 0;
    const Question *q;
    size_t g;

    if (!open_handles()) {
        return 1;
    }
    ctx.nodom = unused_domid();
    if (!domain_exists(ctx.domid)) {
        fprintf(stderr, "xen-conformance: there is no domain %u: name one "
                "with --domain\n", ctx.domid);
        return 1;
    }
    for (g = 0; g < NR_GROUPS; g++) {
        for (q = groups[g]; q->name; q++) {
            total += in_group(q, group);
        }
    }
    if (!total) {
        fprintf(stderr, "xen-conformance: no group is called %s: see "
                "--list\n", group);
        return 1;
    }
    printf("1..%u\n", total);
    for (g = 0; g < NR_GROUPS; g++) {
        for (q = groups[g]; q->name; q++) {
            if (!in_group(q, group)) {
                continue;
            }
            if (groups[g] != restrict_questions && !stamp_work()) {
                printf("Bail out! before %s: guest frames 0x%lx to 0x%lx are "
                       "not all there: name others with --work\n", q->name,
                       (unsigned long)ctx.work,
                       (unsigned long)ctx.work + WORK_PAGES - 1);
                return 1;
            }
            bad += !ask(q, ++number, sim);
        }
    }
    if (bad) {
        printf("# %u of %u answers differ\n", bad, total);
    }
    return bad ? 1 : 0;
}

static void list(void)
{
    const Question *q;
    size_t g;

    for (g = 0; g < NR_GROUPS; g++) {
        for (q = groups[g]; q->name; q++) {
            printf("%s: %s\n", q->name, q->answer);
            if (q->newer) {
                printf("    Xen 4.20: %s\n", q->newer);
            }
            if (q->sim) {
                printf("    simulated: %s: %s\n", q->sim, q->reason);
            }
            printf("    %s\n", q->why);
        }
    }
}

static unsigned long number_arg(const char *name, const char *text,
                                unsigned long max)
{
    char *end;
    unsigned long n;

    errno = 0;
    n = strtoul(text, &end, 0);
    if (errno || end == text || *end || *text == '-' || n > max) {
        fprintf(stderr, "xen-conformance: %s %s: not a number up to %lu\n",
                name, text, max);
        exit(1);
    }
    return n;
}

static int usage(void)
{
    fprintf(stderr, "usage: xen-conformance --domain N [--work GFN] "
            "[--group NAME] [--list]\n"
            "  N is a running HVM guest; it must not use the %u frames from "
            "GFN (0x1800) on,\n  and have nothing at frame 0xd0000\n",
            WORK_PAGES);
    return 1;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "domain", required_argument, NULL, 'd' },
        { "work", required_argument, NULL, 'w' },
        { "group", required_argument, NULL, 'g' },
        { "list", no_argument, NULL, 'l' },
        { NULL, 0, NULL, 0 },
    };
    struct sigaction sa = { .sa_handler = on_alarm };
    const char *group = NULL;
    int c;

    setvbuf(stdout, NULL, _IOLBF, 0);
    sigaction(SIGALRM, &sa, NULL);
    ctx = (Ctx) { .work = 0x1800, .empty = 0xd0000, .absent = 0x12345678 };
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'd':
            ctx.domid = number_arg("--domain", optarg, 32751);
            break;
        case 'w':
            ctx.work = number_arg("--work", optarg, 0xc0000);
            break;
        case 'g':
            group = optarg;
            break;
        case 'l':
            list();
            return 0;
        default:
            return usage();
        }
    }
    return ctx.domid && optind == argc ? run(group) : usage();
}
