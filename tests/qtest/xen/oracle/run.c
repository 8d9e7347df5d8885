/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A stream on two sides, from start to end. */
#include "qemu/osdep.h"
#include <sched.h>
#include "engine.h"

#define SLOW_NS     50000000u   /* of the processor's time, in one action */
/*
 * The same with a cache of 32 MiB: most pieces of a scattered list have no slot
 * then, and each is copied by map calls of its own.
 */
#define SLOW_SMALL_NS 200000000u
#define QUICK_NS    5000000u

void oracle_result_clear(OracleResult *result)
{
    g_free(result->text);
    memset(result, 0, sizeof(*result));
}

static void finish(OracleResult *result, OracleEnd end, char *text)
{
    g_free(result->text);
    result->end = end;
    result->text = text;
}

/* Is one of them lost?  Then the result says so. */
static bool lost(OracleSide *a, OracleSide *b, OracleResult *result)
{
    bool no_a = oracle_side_lost(a), no_b = oracle_side_lost(b);

    if (no_a && no_b) {
        finish(result, ORACLE_BOTH_LOST, g_strdup(b->lost->message));
    } else if (no_a || no_b) {
        OracleSide *side = no_a ? a : b;

        finish(result, no_a ? ORACLE_PLAIN_LOST : ORACLE_LOST,
               g_strdup_printf("%s %s", side->name, side->lost->message));
    }
    return no_a || no_b;
}

/* Returns the time of the processor that it took. */
static uint64_t run_step(OracleSide *side, const OracleStep *step)
{
    uint64_t before = oracle_side_cpu_ns(side), after;
    uint64_t start = oracle_times_now();
    OracleBytes bytes = { 0 };

    bytes.data = g_bytes_get_data(step->bytes, &bytes.len);
    if (step->action->wild) {
        oracle_side_wild(side);
    }
    side->longest_ns = 0;
    step->action->run(side, step->device, &bytes);
    after = oracle_side_cpu_ns(side);
    oracle_times_add(step->device->name, step->action->name, side->name,
                     start);
    return after > before ? after - before : 0;
}

/* Where frames are scattered, the simulated Xen needs an mmap() for each. */
static bool is_timed(const OraclePlan *plan, const OracleSide *side)
{
    return !plan->timeless && !side->shape.scattered;
}

/*
 * Runs it on both sides.  What Xen does alone has nothing to be compared with:
 * what it tells is forgotten, and it may take its time.
 */
static void run_on_both(const OraclePlan *plan, const OracleStep *step,
                        OracleSide *a, OracleSide *b, OracleResult *result)
{
    uint64_t took_a, took_b;

    if (step->action->xen_only) {
        if (b->guest) {
            run_step(b, step);
            oracle_side_forget(b);
        }
        return;
    }
    took_a = run_step(a, step);
    took_b = run_step(b, step);
    if (b->longest_ns > result->longest_ns) {
        result->longest_ns = b->longest_ns;
        result->longest_step = result->step;
    }
    if (is_timed(plan, b) && took_a < QUICK_NS &&
        took_b > (b->shape.cache_mib ? SLOW_SMALL_NS : SLOW_NS)) {
        finish(result, ORACLE_SLOW,
               g_strdup_printf("%" PRIu64 " ms of the processor's time on %s,"
                               " %" PRIu64 " ms on %s", took_b / 1000000,
                               b->name, took_a / 1000000, a->name));
    }
}

/* Ends the run, with a result, if the two have parted. */
static bool same_after(OracleSide *a, OracleSide *b, bool quiet, bool whole,
                       OracleResult *result)
{
    uint64_t start = oracle_times_now();
    char *text;

    if (lost(a, b, result)) {
        return false;
    }
    text = quiet ? oracle_look(a, b, whole) : oracle_compare_sights(a, b);
    oracle_times_add("oracle", quiet ? "quiet point" : "comparison", "both",
                     start);
    result->comparisons += MIN(a->sights->len, b->sights->len);
    oracle_side_forget(a);
    oracle_side_forget(b);
    if (text) {
        finish(result, ORACLE_DIFFERS, text);
        return false;
    }
    return !lost(a, b, result);
}

static void run_steps(const OraclePlan *plan, const OracleStream *stream,
                      OracleSide *a, OracleSide *b, OracleResult *result)
{
    unsigned i, n = stream->steps->len;

    if (!same_after(a, b, true, true, result)) {
        return;
    }
    for (i = 0; i < n; i++) {
        const OracleStep *step = &g_array_index(stream->steps, OracleStep, i);
        bool last = i + 1 == n;

        result->step = i;
        result->actions++;
        run_on_both(plan, step, a, b, result);
        if (!same_after(a, b, last || (i + 1) % plan->every == 0,
                        last || plan->every == 1, result) ||
            result->end != ORACLE_SAME) {
            return;
        }
    }
}

/*
 * For each access this process wakes QEMU up, and waits for it.  On one
 * processor that is a switch from one to the other; another processor would
 * have to leave its idle state first.  Where there is an iothread, its thread
 * and the main one are to run at the same time.
 */
static void choose_processor(const OraclePlan *plan, const OracleShape *shape)
{
    static cpu_set_t all;
    static bool known;
    cpu_set_t one;

    if (plan->processor < 0) {
        return;
    }
    known = known || sched_getaffinity(0, sizeof(all), &all) == 0;
    CPU_ZERO(&one);
    CPU_SET(plan->processor, &one);
    if (known) {
        sched_setaffinity(0, sizeof(one), shape->iothread ? &all : &one);
    }
}

void oracle_run(const OraclePlan *plan, const OracleStream *stream,
                OracleResult *result)
{
    GError *err = NULL;
    OracleSide *a, *b = NULL;
    uint64_t start;

    memset(result, 0, sizeof(*result));
    choose_processor(plan, &stream->shape);
    start = oracle_times_now();
    a = oracle_side_start("plain", plan->qemu, false, &stream->shape, &err);
    if (a) {
        b = oracle_side_start(plan->both_plain ? "plain2" : "xen", plan->qemu,
                              !plan->both_plain, &stream->shape, &err);
    }
    oracle_times_add("oracle", "start", "both", start);
    if (b) {
        a->peer = b;
        b->peer = a;
        run_steps(plan, stream, a, b, result);
    } else {
        finish(result, ORACLE_BROKEN, g_strdup(err->message));
        g_error_free(err);
    }
    start = oracle_times_now();
    oracle_side_stop(b);
    oracle_side_stop(a);
    oracle_times_add("oracle", "stop", "both", start);
}
