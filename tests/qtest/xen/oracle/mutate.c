/* SPDX-License-Identifier: GPL-2.0-or-later */
/* New streams from those that once found something: spliced, cut, changed. */
#include "qemu/osdep.h"
#include "engine.h"

#define MAX_CHANGES 64u

/* A number below @n, which is not 0. */
static unsigned below(GRand *rand, unsigned n)
{
    return g_rand_int_range(rand, 0, n);
}

/* Some actions of @other go in between; its devices are added. */
static void put_between(OracleStream *stream, const OracleStream *other,
                   GRand *rand)
{
    unsigned from = below(rand, other->steps->len);
    unsigned n = 1 + below(rand, other->steps->len - from), i;
    unsigned at = below(rand, stream->steps->len + 1);

    stream->shape.devices |= other->shape.devices;
    for (i = 0; i < n; i++) {
        OracleStep step = g_array_index(other->steps, OracleStep, from + i);

        g_bytes_ref(step.bytes);
        g_array_insert_val(stream->steps, at + i, step);
    }
}

static void drop(OracleStream *stream, GRand *rand)
{
    if (stream->steps->len > 1) {
        g_array_remove_index(stream->steps, below(rand, stream->steps->len));
    }
}

/* One byte of an action becomes another; those that are missing are zeros. */
static void change(OracleStream *stream, GRand *rand)
{
    OracleStep *step = &g_array_index(stream->steps, OracleStep,
                                      below(rand, stream->steps->len));
    unsigned len = step->action->bytes;
    g_autofree uint8_t *data = g_malloc0(len + 1);
    gsize had;
    const void *old = g_bytes_get_data(step->bytes, &had);

    if (!len) {
        return;
    }
    if (had) {
        memcpy(data, old, MIN(had, len));
    }
    data[below(rand, len)] = below(rand, 256);
    g_bytes_unref(step->bytes);
    step->bytes = g_bytes_new(data, len);
}

OracleStream *oracle_stream_mutate(uint64_t seed, const GPtrArray *streams)
{
    GRand *rand = g_rand_new_with_seed(seed);
    OracleStream *stream =
        oracle_stream_copy(streams->pdata[below(rand, streams->len)]);
    unsigned n = 1 + below(rand, MAX_CHANGES), i;

    for (i = 0; i < n && stream->steps->len; i++) {
        const OracleStream *other = streams->pdata[below(rand, streams->len)];

        switch (below(rand, 4)) {
        case 0:
            drop(stream, rand);
            break;
        case 1:
            put_between(stream, other, rand);
            break;
        default:
            change(stream, rand);
            break;
        }
    }
    g_rand_free(rand);
    return stream;
}
