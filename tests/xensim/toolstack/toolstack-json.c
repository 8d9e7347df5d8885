/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small JSON reader; see toolstack-json.h. */

#include <stdbool.h>
#include <string.h>

#include "toolstack-json.h"

/* QMP nests a few levels; this is a bound on the recursion, no more. */
#define MAX_DEPTH 64

typedef struct Reader {
    const char *p, *end;
} Reader;

static TsJson *read_value(Reader *r, int depth);

void ts_json_free(TsJson *json)
{
    if (json) {
        g_free(json->key);
        g_free(json->string);
        if (json->items) {
            g_ptr_array_unref(json->items);
        }
        g_free(json);
    }
}

static TsJson *node(TsJsonType type)
{
    TsJson *json = g_new0(TsJson, 1);

    json->type = type;
    if (type == TS_JSON_ARRAY || type == TS_JSON_OBJECT) {
        json->items =
            g_ptr_array_new_with_free_func((GDestroyNotify)ts_json_free);
    }
    return json;
}

static void skip_space(Reader *r)
{
    while (r->p < r->end && strchr(" \t\r\n", *r->p) && *r->p) {
        r->p++;
    }
}

/* Take C if it is next, after white space. */
static bool take(Reader *r, char c)
{
    skip_space(r);
    if (r->p < r->end && *r->p == c) {
        r->p++;
        return true;
    }
    return false;
}

static bool take_word(Reader *r, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(r->end - r->p) >= len && memcmp(r->p, word, len) == 0) {
        r->p += len;
        return true;
    }
    return false;
}

/* The four hex digits of a \u escape, or -1. */
static gint32 read_hex4(Reader *r)
{
    gint32 value = 0;
    int i;

    if (r->end - r->p < 4) {
        return -1;
    }
    for (i = 0; i < 4; i++) {
        int digit = g_ascii_xdigit_value(*r->p++);

        if (digit < 0) {
            return -1;
        }
        value = value << 4 | digit;
    }
    return value;
}

static bool read_escape(Reader *r, GString *out)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    const char *found;
    gint32 c, low;

    if (r->p == r->end) {
        return false;
    }
    if (*r->p != 'u') {
        found = *r->p ? strchr(from, *r->p) : NULL;
        if (!found) {
            return false;
        }
        r->p++;
        g_string_append_c(out, to[found - from]);
        return true;
    }
    r->p++;
    c = read_hex4(r);
    if (c >= 0xd800 && c < 0xdc00) {
        /* The first half of a pair. */
        if (!take_word(r, "\\u")) {
            return false;
        }
        low = read_hex4(r);
        if (low < 0xdc00 || low > 0xdfff) {
            return false;
        }
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    if (c <= 0) {
        return false;
    }
    g_string_append_unichar(out, c);
    return true;
}

/* A string whose opening quote has been taken (g_free), or NULL. */
static char *read_string(Reader *r)
{
    GString *out = g_string_new(NULL);

    while (r->p < r->end && *r->p != '"') {
        if (*r->p == '\\') {
            r->p++;
            if (!read_escape(r, out)) {
                g_string_free(out, TRUE);
                return NULL;
            }
        } else {
            g_string_append_c(out, *r->p++);
        }
    }
    if (r->p < r->end && *r->p == '"') {
        r->p++;
        return g_string_free(out, FALSE);
    }
    g_string_free(out, TRUE);
    return NULL;
}

static TsJson *read_number(Reader *r)
{
    g_autofree char *text = NULL;
    const char *start = r->p;
    TsJson *json;

    while (r->p < r->end && *r->p && strchr("+-0123456789.eE", *r->p)) {
        r->p++;
    }
    if (r->p == start) {
        return NULL;
    }
    text = g_strndup(start, r->p - start);
    json = node(TS_JSON_NUMBER);
    if (strpbrk(text, ".eE")) {
        json->number = (gint64)g_ascii_strtod(text, NULL);
    } else if (text[0] == '-') {
        json->number = g_ascii_strtoll(text, NULL, 10);
    } else {
        json->number = (gint64)g_ascii_strtoull(text, NULL, 10);
    }
    return json;
}

/* The members of an array or object whose opening bracket has been taken. */
static TsJson *read_items(Reader *r, TsJsonType type, int depth)
{
    const char close = type == TS_JSON_ARRAY ? ']' : '}';
    g_autoptr(TsJson) all = node(type);

    if (take(r, close)) {
        return g_steal_pointer(&all);
    }
    do {
        g_autofree char *key = NULL;
        TsJson *item;

        if (type == TS_JSON_OBJECT) {
            if (!take(r, '"')) {
                return NULL;
            }
            key = read_string(r);
            if (!key || !take(r, ':')) {
                return NULL;
            }
        }
        item = read_value(r, depth + 1);
        if (!item) {
            return NULL;
        }
        item->key = g_steal_pointer(&key);
        g_ptr_array_add(all->items, item);
    } while (take(r, ','));
    return take(r, close) ? g_steal_pointer(&all) : NULL;
}

static TsJson *read_value(Reader *r, int depth)
{
    TsJson *json;
    char *string;

    if (depth > MAX_DEPTH) {
        return NULL;
    }
    if (take(r, '{')) {
        return read_items(r, TS_JSON_OBJECT, depth);
    }
    if (take(r, '[')) {
        return read_items(r, TS_JSON_ARRAY, depth);
    }
    if (take(r, '"')) {
        string = read_string(r);
        if (!string) {
            return NULL;
        }
        json = node(TS_JSON_STRING);
        json->string = string;
        return json;
    }
    if (take_word(r, "true")) {
        json = node(TS_JSON_BOOL);
        json->number = 1;
        return json;
    }
    if (take_word(r, "false")) {
        return node(TS_JSON_BOOL);
    }
    if (take_word(r, "null")) {
        return node(TS_JSON_NULL);
    }
    return read_number(r);
}

TsJson *ts_json_parse(const char *text, gsize len)
{
    Reader r = { text, text + len };
    g_autoptr(TsJson) json = read_value(&r, 0);

    skip_space(&r);
    return r.p == r.end ? g_steal_pointer(&json) : NULL;
}

const TsJson *ts_json_get(const TsJson *json, const char *key)
{
    guint i;

    if (!json || json->type != TS_JSON_OBJECT) {
        return NULL;
    }
    for (i = 0; i < json->items->len; i++) {
        const TsJson *item = json->items->pdata[i];

        if (strcmp(item->key, key) == 0) {
            return item;
        }
    }
    return NULL;
}

const char *ts_json_get_string(const TsJson *json, const char *key)
{
    const TsJson *item = ts_json_get(json, key);

    return item && item->type == TS_JSON_STRING ? item->string : NULL;
}

gint64 ts_json_get_int(const TsJson *json, const char *key, gint64 defval)
{
    const TsJson *item = ts_json_get(json, key);

    return item && (item->type == TS_JSON_NUMBER ||
                    item->type == TS_JSON_BOOL) ? item->number : defval;
}

char *ts_json_quote(const char *text)
{
    GString *out = g_string_new("\"");
    const char *p;

    for (p = text; *p; p++) {
        if (*p == '"' || *p == '\\') {
            g_string_append_c(out, '\\');
            g_string_append_c(out, *p);
        } else if ((guchar)*p < 0x20) {
            g_string_append_printf(out, "\\u%04x", *p);
        } else {
            g_string_append_c(out, *p);
        }
    }
    g_string_append_c(out, '"');
    return g_string_free(out, FALSE);
}
