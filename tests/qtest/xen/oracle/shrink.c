/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What to think of a stream whose sides parted, and the least of it that still
 * makes them part.
 */
#include "qemu/osdep.h"
#include "engine.h"

#define MAX_TRIES   8           /* to see a process end again */
#define SLOW_TRIES  4           /* each of which has to be slow again */

typedef struct Shrinker {
    const OraclePlan *plan;
    OracleStream *best;
    OracleResult *result;       /* of @best */
    gint64 end;                 /* monotonic time */
} Shrinker;

/* ---- whose fault is it? ---- */

/* Was it something that Xen did alone? */
static bool is_of_xen(const OracleStream *stream, const OracleResult *result)
{
    return g_array_index(stream->steps, OracleStep,
                         result->step).action->xen_only;
}

static bool is_end(OracleEnd end)
{
    return end == ORACLE_LOST || end == ORACLE_PLAIN_LOST ||
           end == ORACLE_BOTH_LOST;
}

/* The assertion that failed, of what a process said last (g_free). */
static char *assertion(const char *text)
{
    const char *start = text ? strstr(text, "Assertion `") : NULL;
    const char *end = start ? strstr(start, "' failed") : NULL;

    return start && end ? g_strndup(start, end - start) : NULL;
}

/* Do both tell of the same thing, wherever in it? */
static bool is_same_thing(const char *a, const char *b)
{
    size_t len = strcspn(a, "[0123456789");

    return len == strcspn(b, "[0123456789") && strncmp(a, b, len) == 0;
}

/* Do both say the same, but for numbers? */
static bool is_same_text(const char *a, const char *b)
{
    static const char digits[] = "0123456789";

    do {
        size_t len = strcspn(a, digits);

        if (len != strcspn(b, digits) || strncmp(a, b, len)) {
            return false;
        }
        a += len;
        b += len;
        a += strspn(a, digits);
        b += strspn(b, digits);
    } while (*a && *b);
    return *a == *b;
}

/* Have both found the same? */
static bool is_same_finding(const OracleResult *x, const OracleResult *y)
{
    g_autofree char *a = assertion(x->text);
    g_autofree char *b = assertion(y->text);

    if (x->end != y->end || x->end == ORACLE_SAME) {
        return x->end == y->end;
    }
    return a && b ? strcmp(a, b) == 0 :
           is_end(x->end) ? is_same_text(x->text, y->text)
                          : is_same_thing(x->text, y->text);
}

/* Did the plain machine end, or differ from itself, as @result has it? */
static bool is_alike(const OracleResult *own, const OracleResult *result)
{
    g_autofree char *a = assertion(own->text);
    g_autofree char *b = assertion(result->text);

    if (!is_end(result->end)) {
        return own->end == result->end && own->step <= result->step &&
               is_same_thing(own->text, result->text);
    }
    return is_end(own->end) && g_strcmp0(a, b) == 0;
}

/*
 * Does the plain machine differ from itself, no later, or end with the same
 * assertion?  Who has ended is asked in the stock binary, several times: it
 * may be a matter of which thread is first.
 */
static bool is_of_qemu_itself(const OraclePlan *plan,
                              const OracleStream *stream,
                              const OracleResult *result)
{
    const char *stock = getenv("XENSIM_STOCK_QEMU");
    unsigned tries = is_end(result->end) ? MAX_TRIES : 1;
    OraclePlan alone = *plan;
    bool is_own = false;

    if (!stream->steps->len || is_of_xen(stream, result)) {
        return false;
    }
    alone.both_plain = true;
    alone.timeless = true;
    if (result->end != ORACLE_DIFFERS && stock && *stock) {
        alone.qemu = stock;
    }
    while (!is_own && tries--) {
        OracleResult own;

        oracle_run(&alone, stream, &own);
        is_own = is_alike(&own, result);
        oracle_result_clear(&own);
    }
    return is_own;
}

/* What ends a process is looked for several times, as above. */
static bool comes_again(const OraclePlan *plan, const OracleStream *stream,
                        OracleResult *result)
{
    unsigned tries = is_end(result->end) ? MAX_TRIES : 1;
    bool same = false;

    while (!same && tries--) {
        OracleResult again;

        oracle_run(plan, stream, &again);
        same = is_same_finding(&again, result);
        if (same) {
            oracle_result_clear(result);
            *result = again;
        } else {
            oracle_result_clear(&again);
        }
    }
    return same;
}

/* Time of the processor is more where others want it too: the least counts. */
static bool is_slow_each_time(const OraclePlan *plan,
                              const OracleStream *stream,
                              OracleResult *result)
{
    unsigned tries;

    for (tries = 0; tries < SLOW_TRIES; tries++) {
        OracleResult again;
        bool slow;

        oracle_run(plan, stream, &again);
        slow = is_same_finding(&again, result) && again.step == result->step;
        oracle_result_clear(&again);
        if (!slow) {
            return false;
        }
    }
    return true;
}

OracleJudgement oracle_judge(const OraclePlan *plan,
                             const OracleStream *stream, OracleResult *result)
{
    if (result->end == ORACLE_SAME) {
        return ORACLE_GOOD;
    }
    if (result->end == ORACLE_BOTH_LOST || result->end == ORACLE_PLAIN_LOST) {
        return ORACLE_OF_QEMU;
    }
    if (result->end == ORACLE_BROKEN) {
        return ORACLE_FAULT;
    }
    if (result->end == ORACLE_SLOW) {
        return is_slow_each_time(plan, stream, result) ? ORACLE_FAULT
                                                       : ORACLE_UNSTEADY;
    }
    if (!comes_again(plan, stream, result)) {
        return ORACLE_UNSTEADY;
    }
    return !plan->both_plain &&
           is_of_qemu_itself(plan, stream, result) ? ORACLE_OF_QEMU
                                                   : ORACLE_FAULT;
}

/* ---- less of it ---- */

/* Takes @less, which is smaller than the best so far, if it ends alike. */
static bool try(Shrinker *s, OracleStream *less)
{
    OracleResult result = { .end = ORACLE_SAME };
    bool alike;

    if (g_get_monotonic_time() < s->end) {
        oracle_run(s->plan, less, &result);
    }
    alike = is_same_finding(&result, s->result);
    if (alike) {
        oracle_stream_free(s->best);
        s->best = less;
        oracle_result_clear(s->result);
        *s->result = result;
    } else {
        oracle_stream_free(less);
        oracle_result_clear(&result);
    }
    return alike;
}

/* The best one without @n actions from @at on. */
static OracleStream *without(const Shrinker *s, unsigned at, unsigned n)
{
    OracleStream *less = oracle_stream_copy(s->best);

    g_array_remove_range(less->steps, at, n);
    return less;
}

static void drop_actions(Shrinker *s)
{
    unsigned len = s->best->steps->len, n, at;

    if (s->result->step + 1 < len) {
        try(s, without(s, s->result->step + 1, len - s->result->step - 1));
    }
    for (n = s->best->steps->len / 2; n; n /= 2) {
        /* From the end: what matters is late, mostly. */
        for (at = s->best->steps->len; at; ) {
            unsigned drop = MIN(n, at);

            at -= drop;
            if (s->best->steps->len > drop) {
                try(s, without(s, at, drop));
            }
        }
    }
}

/* The best one with the bytes of action @i cut at @len. */
static OracleStream *with_less(const Shrinker *s, unsigned i, size_t len)
{
    OracleStream *less = oracle_stream_copy(s->best);
    OracleStep *step = &g_array_index(less->steps, OracleStep, i);
    GBytes *cut = g_bytes_new_from_bytes(step->bytes, 0, len);

    g_bytes_unref(step->bytes);
    step->bytes = cut;
    return less;
}

static void drop_bytes(Shrinker *s)
{
    unsigned i;

    for (i = 0; i < s->best->steps->len; i++) {
        size_t step = 64, len;

        for (; step; step /= 2) {
            len = g_bytes_get_size(g_array_index(s->best->steps, OracleStep,
                                                 i).bytes);
            if (len >= step) {
                try(s, with_less(s, i, len - step));
            }
        }
    }
}

OracleStream *oracle_shrink(const OraclePlan *plan,
                            const OracleStream *stream, unsigned seconds,
                            OracleResult *result)
{
    OraclePlan each = *plan;
    Shrinker s = {
        .plan = plan,
        .best = oracle_stream_copy(stream),
        .result = result,
        .end = g_get_monotonic_time() + seconds * G_USEC_PER_SEC,
    };

    drop_actions(&s);
    drop_bytes(&s);
    /* At which action do they part?  A look after each tells. */
    each.every = 1;
    comes_again(&each, s.best, result);
    return s.best;
}
