/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * As much JSON as the QMP client needs: it reads a text into a tree, and looks
 * up values in the tree.  Numbers are integers of 64 bits; other numbers are
 * truncated.
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

/* Member KEY of JSON; NULL if JSON is no object or has no such member. */
const TsJson *ts_json_get(const TsJson *json, const char *key);

/*
 * The text or the number of member KEY; NULL or DEFVAL if the member is missing
 * or of another type.
 */
const char *ts_json_get_string(const TsJson *json, const char *key);
gint64 ts_json_get_int(const TsJson *json, const char *key, gint64 defval);

/* TEXT in double quotes, escaped, for a message (g_free). */
char *ts_json_quote(const char *text);

#endif
