/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the time of streams goes: by action, and by part of the engine. */
#include "qemu/osdep.h"
#include "engine.h"

typedef struct Time {
    char *name;
    const char *side;
    uint64_t times, ns;
} Time;

static GHashTable *times;       /* "NAME SIDE" -> Time *; NULL: not measured */

static void free_time(gpointer opaque)
{
    Time *t = opaque;

    g_free(t->name);
    g_free(t);
}

void oracle_times_begin(void)
{
    times = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_time);
}

uint64_t oracle_times_now(void)
{
    struct timespec ts;

    return times && !clock_gettime(CLOCK_MONOTONIC, &ts) ?
           ts.tv_sec * 1000000000ull + ts.tv_nsec : 0;
}

void oracle_times_add(const char *what, const char *part, const char *side,
                      uint64_t start)
{
    g_autofree char *key = NULL;
    Time *t;

    if (!times) {
        return;
    }
    key = g_strdup_printf("%s.%s %s", what, part, side);
    t = g_hash_table_lookup(times, key);
    if (!t) {
        t = g_new0(Time, 1);
        t->name = g_strdup_printf("%s.%s", what, part);
        t->side = side;
        g_hash_table_insert(times, g_steal_pointer(&key), t);
    }
    t->times++;
    t->ns += oracle_times_now() - start;
}

static int by_time(gconstpointer a, gconstpointer b, gpointer unused)
{
    const Time *x = a, *y = b;

    return x->ns < y->ns ? 1 : -(x->ns > y->ns);
}

void oracle_times_print(void)
{
    g_autoptr(GList) list = times ? g_hash_table_get_values(times) : NULL;
    GList *one;

    list = g_list_sort_with_data(list, by_time, NULL);
    for (one = list; one; one = one->next) {
        const Time *t = one->data;

        printf("# %8.1f ms %6" PRIu64 " times %8.3f ms each  %-6s %s\n",
               t->ns / 1e6, t->times, t->ns / 1e6 / t->times, t->side,
               t->name);
    }
}
