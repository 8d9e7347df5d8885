/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * As much JSON as the QMP client needs: read a text into a tree, look things
 * up in it.  Numbers are whole numbers of 64 bits; others are cut.
 */

#ifndef XENSIM_TOOLSTACK_JSON_H
#define XENSIM_TOOLSTACK_JSON_H

#include <glib.h>

typedef enum TsJsonType {
    TS_JSON_NULL,
    TS_JSON_BOOL,
    TS_JSON_NUMBER,
    TS_JSON_STRING,
    TS_JSON_ARRAY,
    TS_JSON_OBJECT,
} TsJsonType;

typedef struct TsJson TsJson;
struct TsJson {
    TsJsonType type;
    char *key;                  /* of an object's member; else NULL */
    gint64 number;              /* NUMBER; BOOL: 0 or 1 */
    char *string;               /* STRING, UTF-8 */
    GPtrArray *items;           /* ARRAY, OBJECT: TsJson * in order */
};

/*
 * Read one value from the LEN bytes at TEXT, which must hold nothing else but
 * white space.  Returns a tree (ts_json_free), or NULL if it is not JSON.
 */
TsJson *ts_json_parse(const char *text, gsize len);

/* Free a tree; NULL is fine. */
void ts_json_free(TsJson *json);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TsJson, ts_json_free)

/* Member KEY of the object JSON; NULL if it is none, or has none. */
const TsJson *ts_json_get(const TsJson *json, const char *key);

/* Its text or number; NULL, or DEFVAL, if it is not of that kind. */
const char *ts_json_get_string(const TsJson *json, const char *key);
gint64 ts_json_get_int(const TsJson *json, const char *key, gint64 defval);

/* TEXT in double quotes, escaped, for a message (g_free). */
char *ts_json_quote(const char *text);

#endif
