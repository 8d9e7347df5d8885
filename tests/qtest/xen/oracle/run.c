/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A stream on two sides, from start to end. */
#include "qemu/osdep.h"
#include "engine.h"

void oracle_result_clear(OracleResult *result)
{
    g_free(result->text);
    memset(result, 0, sizeof(*result));
}

static void finish(OracleResult *result, OracleEnd end, char *text)
{
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

        finish(result, ORACLE_LOST, g_strdup_printf("%s %s", side->name,
                                                    side->lost->message));
    }
    return no_a || no_b;
}

static void run_step(OracleSide *side, const OracleStep *step)
{
    OracleBytes bytes = { 0 };

    bytes.data = g_bytes_get_data(step->bytes, &bytes.len);
    if (!step->action->xen_only || side->guest) {
        step->action->run(side, step->device, &bytes);
    }
}

/* Ends the run, with a result, if the two have parted. */
static bool same_after(OracleSide *a, OracleSide *b, bool quiet,
                       OracleResult *result)
{
    char *text;

    if (lost(a, b, result)) {
        return false;
    }
    text = quiet ? oracle_look(a, b) : oracle_compare_sights(a, b);
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

    if (!same_after(a, b, true, result)) {
        return;
    }
    for (i = 0; i < n; i++) {
        const OracleStep *step = &g_array_index(stream->steps, OracleStep, i);

        result->step = i;
        result->actions++;
        run_step(a, step);
        run_step(b, step);
        if (!same_after(a, b, i + 1 == n || (i + 1) % plan->every == 0,
                        result)) {
            return;
        }
    }
}

void oracle_run(const OraclePlan *plan, const OracleStream *stream,
                OracleResult *result)
{
    GError *err = NULL;
    OracleSide *a, *b = NULL;

    memset(result, 0, sizeof(*result));
    a = oracle_side_start("plain", plan->qemu, false, &stream->shape, &err);
    if (a) {
        b = oracle_side_start(plan->both_plain ? "plain2" : "xen", plan->qemu,
                              !plan->both_plain, &stream->shape, &err);
    }
    if (b) {
        run_steps(plan, stream, a, b, result);
    } else {
        finish(result, ORACLE_BROKEN, g_strdup(err->message));
        g_error_free(err);
    }
    oracle_side_stop(b);
    oracle_side_stop(a);
}
