/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Streams of actions: from a seed, from and to a file. */
#include "qemu/osdep.h"
#include "engine.h"

#define FIRST_LINE "xen-oracle stream 1"

static void clear_step(gpointer step)
{
    g_bytes_unref(((OracleStep *)step)->bytes);
}

OracleStream *oracle_stream_new(const OracleShape *shape)
{
    OracleStream *stream = g_new0(OracleStream, 1);

    stream->shape = *shape;
    stream->steps = g_array_new(false, false, sizeof(OracleStep));
    g_array_set_clear_func(stream->steps, clear_step);
    return stream;
}

void oracle_stream_free(OracleStream *stream)
{
    g_array_free(stream->steps, true);
    g_free(stream);
}

void oracle_stream_add(OracleStream *stream, const OracleDevice *device,
                       const OracleAction *action, GBytes *bytes)
{
    const OracleStep step = { device, action, g_bytes_ref(bytes) };

    g_array_append_val(stream->steps, step);
}

OracleStream *oracle_stream_copy(const OracleStream *stream)
{
    OracleStream *copy = oracle_stream_new(&stream->shape);
    unsigned i;

    for (i = 0; i < stream->steps->len; i++) {
        const OracleStep *s = &g_array_index(stream->steps, OracleStep, i);

        oracle_stream_add(copy, s->device, s->action, s->bytes);
    }
    return copy;
}

/* ---- from a seed, or from bytes ---- */

/*
 * Where streams come from: bytes that somebody gives, or, without any, the
 * random numbers of a seed.
 */
typedef struct Source {
    OracleBytes bytes;
    uint64_t x;                 /* 0: there are bytes */
} Source;

/* xorshift*, seeded by splitmix: the same numbers everywhere. */
static uint8_t next_random(Source *source)
{
    uint64_t x = source->x;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    source->x = x;
    return x * 0x2545f4914f6cdd1dull >> 56;
}

static uint64_t start_number(uint64_t seed)
{
    uint64_t x = seed + 0x9e3779b97f4a7c15ull;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return (x ^ x >> 31) | 1;
}

static uint8_t next_byte(Source *source)
{
    return source->x ? next_random(source) : oracle_bits(&source->bytes, 8);
}

static bool is_used_up(const Source *source)
{
    return !source->x && source->bytes.at >= source->bytes.len;
}

static bool is_without(const char *const *without, const OracleDevice *device,
                       const OracleAction *action)
{
    g_autofree char *name = action ?
        g_strdup_printf("%s.%s", device->name, action->name) :
        g_strdup(device->name);

    return without && g_strv_contains(without, name);
}

/*
 * How many of four machines have @device.  With few devices a stream runs
 * faster, and those that have actions of their own say more.
 */
static unsigned how_often(const OracleDevice *device)
{
    return !device->args ? 4 : device->n_actions ? 2 : 1;
}

static OracleShape next_shape(Source *source, const char *const *without)
{
    OracleShape shape = { .ram_mib = 128 };
    unsigned i;

    for (i = 0; oracle_devices[i]; i++) {
        bool there = next_byte(source) % 4 < how_often(oracle_devices[i]);

        if (there && !is_without(without, oracle_devices[i], NULL)) {
            shape.devices |= 1u << i;
        }
    }
    shape.cache_mib = next_byte(source) % 2 ? 32 : 0;
    shape.iothread = next_byte(source) % 4 == 1;
    shape.scattered = next_byte(source) % 8 == 1;
    return shape;
}

/*
 * Actions that are possible in @shape, each as often as its weight; without
 * wild ones if @tame.
 */
static GArray *choices(const OracleShape *shape, const char *const *without,
                       bool tame)
{
    GArray *found = g_array_new(false, false, sizeof(OracleStep));
    unsigned i, j, n;

    for (i = 0; oracle_devices[i]; i++) {
        const OracleDevice *device = oracle_devices[i];

        for (j = 0; shape->devices >> i & 1 && j < device->n_actions; j++) {
            const OracleStep step = { device, &device->actions[j], NULL };

            if ((tame && step.action->wild) ||
                is_without(without, device, step.action)) {
                continue;
            }
            for (n = 0; n < step.action->weight; n++) {
                g_array_append_val(found, step);
            }
        }
    }
    return found;
}

static void next_step(Source *source, OracleStream *stream, GArray *choice)
{
    unsigned n = next_byte(source) | next_byte(source) << 8, i;
    const OracleStep *s = &g_array_index(choice, OracleStep, n % choice->len);
    uint8_t *data = g_malloc(s->action->bytes + 1);
    g_autoptr(GBytes) bytes = NULL;

    for (i = 0; i < s->action->bytes; i++) {
        data[i] = next_byte(source);
    }
    bytes = g_bytes_new_take(data, s->action->bytes);
    oracle_stream_add(stream, s->device, s->action, bytes);
}

static OracleStream *decode(Source *source, unsigned n,
                            const char *const *without)
{
    OracleShape shape = next_shape(source, without);
    OracleStream *stream = oracle_stream_new(&shape);
    /* Without these, pages can be absent for long. */
    bool tame = next_byte(source) % 4 == 1;
    g_autoptr(GArray) choice = choices(&shape, without, tame);
    unsigned i;

    for (i = 0; i < n && choice->len && !is_used_up(source); i++) {
        next_step(source, stream, choice);
    }
    return stream;
}

OracleStream *oracle_stream_random(uint64_t seed, unsigned n,
                                   const char *const *without)
{
    Source source = { .x = start_number(seed) };

    return decode(&source, n, without);
}

OracleStream *oracle_stream_from_bytes(const void *data, size_t len,
                                       unsigned n,
                                       const char *const *without)
{
    Source source = { .bytes = { data, len } };

    return decode(&source, n, without);
}

/* ---- to a file ---- */

static void put_shape(GString *text, const OracleShape *shape)
{
    unsigned i;

    g_string_append(text, "devices");
    for (i = 0; oracle_devices[i]; i++) {
        if (shape->devices >> i & 1) {
            g_string_append_printf(text, " %s", oracle_devices[i]->name);
        }
    }
    g_string_append_printf(text, "\nmachine ram=%u cache=%u iothread=%d "
                           "scattered=%d\n", shape->ram_mib, shape->cache_mib,
                           shape->iothread, shape->scattered);
}

static void put_step(GString *text, const OracleStep *step)
{
    gsize len, i;
    const uint8_t *data = g_bytes_get_data(step->bytes, &len);

    g_string_append_printf(text, "%s.%s%s", step->device->name,
                           step->action->name, len ? " " : "");
    for (i = 0; i < len; i++) {
        g_string_append_printf(text, "%02x", data[i]);
    }
    g_string_append_c(text, '\n');
}

bool oracle_stream_save(const OracleStream *stream, const char *path,
                        GError **err)
{
    g_autoptr(GString) text = g_string_new(FIRST_LINE "\n");
    unsigned i;

    put_shape(text, &stream->shape);
    for (i = 0; i < stream->steps->len; i++) {
        put_step(text, &g_array_index(stream->steps, OracleStep, i));
    }
    g_string_append_printf(text, "end %u\n", stream->steps->len);
    return g_file_set_contents(path, text->str, text->len, err);
}

/* ---- from a file ---- */

static const OracleDevice *find_device(const char *name, unsigned *index)
{
    unsigned i;

    for (i = 0; oracle_devices[i]; i++) {
        if (strcmp(oracle_devices[i]->name, name) == 0) {
            *index = i;
            return oracle_devices[i];
        }
    }
    return NULL;
}

bool oracle_is_name(const char *name)
{
    g_auto(GStrv) parts = g_strsplit(name, ".", 2);
    const OracleDevice *device;
    unsigned i;

    device = parts[0] ? find_device(parts[0], &i) : NULL;
    if (!device || !parts[1]) {
        return device;
    }
    for (i = 0; i < device->n_actions; i++) {
        if (strcmp(device->actions[i].name, parts[1]) == 0) {
            return true;
        }
    }
    return false;
}

static bool get_devices(OracleShape *shape, char *const *names)
{
    unsigned index;

    for (; *names; names++) {
        if (!find_device(*names, &index)) {
            return false;
        }
        shape->devices |= 1u << index;
    }
    return true;
}

static GBytes *get_hex(const char *text)
{
    size_t len = strlen(text) / 2, i;
    g_autofree uint8_t *data = g_malloc(len + 1);

    for (i = 0; i < len; i++) {
        int high = g_ascii_xdigit_value(text[2 * i]);
        int low = g_ascii_xdigit_value(text[2 * i + 1]);

        if (high < 0 || low < 0) {
            return NULL;
        }
        data[i] = high << 4 | low;
    }
    return text[2 * len] ? NULL : g_bytes_new(data, len);
}

static bool get_step(OracleStream *stream, char *const *words)
{
    g_auto(GStrv) name = g_strsplit(words[0], ".", 2);
    g_autoptr(GBytes) bytes = get_hex(words[1] ?: "");
    const OracleDevice *device;
    unsigned i;

    device = name[0] && name[1] && bytes ? find_device(name[0], &i) : NULL;
    for (i = 0; device && i < device->n_actions; i++) {
        if (strcmp(device->actions[i].name, name[1]) == 0) {
            oracle_stream_add(stream, device, &device->actions[i], bytes);
            return true;
        }
    }
    return false;
}

static bool get_line(OracleStream *stream, const char *line, bool *ended)
{
    OracleShape *shape = &stream->shape;
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    unsigned n;
    int iothread, scattered;

    if (*ended) {
        return false;
    }
    if (strcmp(words[0], "devices") == 0) {
        return get_devices(shape, words + 1);
    }
    if (sscanf(line, "machine ram=%u cache=%u iothread=%d scattered=%d",
               &shape->ram_mib, &shape->cache_mib, &iothread,
               &scattered) == 4) {
        shape->iothread = iothread;
        shape->scattered = scattered;
        return shape->ram_mib >= 32 && shape->ram_mib <= 3072;
    }
    if (sscanf(line, "end %u", &n) == 1) {
        *ended = true;
        return n == stream->steps->len && shape->ram_mib;
    }
    return line[0] == '#' || get_step(stream, words);
}

OracleStream *oracle_stream_load(const char *path, GError **err)
{
    const OracleShape none = { 0 };
    g_autoptr(OracleStream) stream = oracle_stream_new(&none);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    bool ended = false;
    unsigned i;

    if (!g_file_get_contents(path, &text, NULL, err)) {
        return NULL;
    }
    lines = g_strsplit(text, "\n", -1);
    if (g_strcmp0(lines[0], FIRST_LINE)) {
        g_set_error(err, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "%s is no stream of this oracle", path);
        return NULL;
    }
    for (i = 1; lines[i] && (*lines[i] || lines[i + 1]); i++) {
        if (!get_line(stream, lines[i], &ended)) {
            g_set_error(err, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                        "%s:%u: this cannot be: %.40s", path, i + 1,
                        lines[i]);
            return NULL;
        }
    }
    if (!ended) {
        g_set_error(err, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "%s is cut off: its end is missing", path);
        return NULL;
    }
    return g_steal_pointer(&stream);
}
