/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When RAM block notifiers are told of device memory: in no coroutine, and
 * never while a state is being loaded or awaited.
 *
 * Only hw/xen/xen-mapcache-announce.c is tested.  What it uses of QEMU is here.
 */
#include "qemu/osdep.h"
#include "block/aio.h"
#include "qemu/main-loop.h"
#include "system/runstate.h"
#include "hw/xen/xen_native.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-outside.h"

static bool incoming;
static unsigned announced, begun, loaded;

typedef struct BottomHalf {
    QEMUBHFunc *cb;
    void *opaque;
} BottomHalf;

static BottomHalf bhs[8];
static unsigned nr_bhs;

bool runstate_check(RunState state)
{
    return state == RUN_STATE_INMIGRATE && incoming;
}

AioContext *qemu_get_aio_context(void)
{
    return NULL;
}

void aio_bh_schedule_oneshot_full(AioContext *ctx, QEMUBHFunc *cb,
                                  void *opaque, const char *name)
{
    g_assert_cmpuint(nr_bhs, <, G_N_ELEMENTS(bhs));
    bhs[nr_bhs++] = (BottomHalf) { cb, opaque };
}

void mcache_block_announce(void)
{
    announced++;
}

void mcache_block_load_begins(void)
{
    begun++;
}

void mcache_block_loaded(void)
{
    loaded++;
}

/* Runs the main loop once: the bottom halves that are scheduled by now. */
static void main_loop(void)
{
    unsigned n = nr_bhs;

    nr_bhs = 0;
    for (unsigned i = 0; i < n; i++) {
        bhs[i].cb(bhs[i].opaque);
    }
}

/* Memory is mapped; the main loop runs.  True if notifiers were told of it. */
static bool is_announced(void)
{
    unsigned before = announced;

    mcache_announce_later();
    g_assert_cmpuint(announced, ==, before);    /* not by the caller */
    main_loop();
    return announced > before;
}

/* A restore: a state is awaited, one cannot be loaded, a good one follows. */
static void test_restore(void)
{
    incoming = true;
    g_assert_false(is_announced());

    xen_map_cache_load_begins(NULL);
    xen_map_cache_load_begins(NULL);            /* of a second CPU */
    g_assert_cmpuint(begun, ==, 1);
    g_assert_false(is_announced());
    xen_map_cache_load_ends(NULL);
    xen_map_cache_load_ends(NULL);
    main_loop();
    g_assert_cmpuint(loaded, ==, 0);
    g_assert_false(is_announced());

    xen_map_cache_load_begins(NULL);
    g_assert_cmpuint(begun, ==, 2);
    g_assert_false(is_announced());
    xen_map_cache_load_is_good();
    g_assert_false(is_announced());
    xen_map_cache_load_ends(NULL);
    g_assert_cmpuint(announced, ==, 0);
    main_loop();
    g_assert_cmpuint(loaded, ==, 1);
    g_assert_cmpuint(announced, ==, 1);
    incoming = false;
}

/* After the restore; also while another state is loaded into this QEMU. */
static void test_running(void)
{
    g_assert_true(is_announced());
    xen_map_cache_load_begins(NULL);
    g_assert_false(is_announced());
    xen_map_cache_load_ends(NULL);
    main_loop();
    g_assert_true(is_announced());
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/xen-mapcache/announce/restore", test_restore);
    g_test_add_func("/xen-mapcache/announce/running", test_running);
    return g_test_run();
}
