/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conformance: the answer to a question, in words.
 */
#include "conformance.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static char answer[512];
static bool skipped;

const char *error_name(int e)
{
    static char buf[4][32];
    static unsigned turn;
    char *s = buf[turn++ % 4];
    const char *name = strerrorname_np(e < 0 ? -e : e);

    if (name) {
        snprintf(s, sizeof(buf[0]), "%s%s", e < 0 ? "-" : "", name);
    } else {
        snprintf(s, sizeof(buf[0]), "%d", e);
    }
    return s;
}

static void __attribute__((format(printf, 1, 0)))
add(const char *fmt, va_list ap)
{
    size_t n = strlen(answer);

    if (n && n < sizeof(answer) - 2) {
        strcpy(answer + n, ", ");
        n += 2;
    }
    vsnprintf(answer + n, sizeof(answer) - n, fmt, ap);
}

void say(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add(fmt, ap);
    va_end(ap);
}

void skip(const char *fmt, ...)
{
    va_list ap;

    skipped = true;
    answer[0] = 0;
    va_start(ap, fmt);
    add(fmt, ap);
    va_end(ap);
}

void say_rc(const char *ok, int rc)
{
    say("%s", rc == -1 ? error_name(errno) : ok);
}

void answer_begin(void)
{
    answer[0] = 0;
    skipped = false;
}

const char *answer_end(bool *was_skipped)
{
    *was_skipped = skipped;
    return answer;
}
