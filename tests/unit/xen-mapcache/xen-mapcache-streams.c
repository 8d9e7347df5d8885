/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Streams of operations for the model: see xen-mapcache-streams.h.
 */
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "xen-mapcache-streams.h"
#include "xen-mapcache-model.h"

static void tell(const ModelCounts *n, gint64 start)
{
    g_test_message("%" PRIu64 " operations in %.1f s: %" PRIu64 " lookups, %"
                   PRIu64 " DMA, %" PRIu64 " holes, %" PRIu64 " balloons, %"
                   PRIu64 " invalidates, %" PRIu64 " by a thread (gave way %"
                   PRIu64 " times), %" PRIu64 " bytes looked at", n->ops,
                   (g_get_monotonic_time() - start) / 1e6, n->lookups,
                   n->maps, n->holes, n->balloons, n->invalidates,
                   n->thread_ops, n->gave_way, n->bytes_checked);
}

bool streams_random(uint64_t bytes, uint64_t ops)
{
    const char *replay = g_getenv("XEN_MAPCACHE_REPLAY");
    const char *seed_text = g_getenv("XEN_MAPCACHE_SEED");
    const char *ops_text = g_getenv("XEN_MAPCACHE_OPS");
    uint64_t seed = time(NULL), i;
    gint64 start = g_get_monotonic_time();
    ModelCounts n = { 0 };
    g_autofree char *data = NULL;
    size_t size;

    if (replay) {
        g_assert_true(g_file_get_contents(replay, &data, &size, NULL));
        model_run((uint8_t *)data, size, &n);
    } else {
        g_autoptr(GRand) rand = NULL;

        if (seed_text) {
            qemu_strtou64(seed_text, NULL, 0, &seed);
        }
        if (ops_text) {
            qemu_strtou64(ops_text, NULL, 0, &bytes);
        }
        g_test_message("seed %" PRIu64, seed);
        rand = g_rand_new_with_seed(seed);
        data = g_malloc(bytes);
        for (i = 0; i < bytes; i++) {
            data[i] = g_rand_int(rand);
        }
        /* Streams of some thousand operations, each from a clean start. */
        for (i = 0; i < bytes; i += size) {
            size = MIN(bytes - i, 65536);
            model_run((uint8_t *)data + i, size, &n);
        }
    }
    tell(&n, start);
    if (replay || ops_text) {
        return false;
    }
    g_assert_cmpuint(n.ops, >=, ops);
    return true;
}

/* Every stream that the fuzzer failed on once, and those it began with. */
void streams_replay(void)
{
    const char *corpus = g_getenv("XEN_MAPCACHE_CORPUS"), *name;
    g_autoptr(GDir) dir = corpus ? g_dir_open(corpus, 0, NULL) : NULL;
    ModelCounts n = { 0 };
    unsigned files = 0;

    if (!corpus) {
        g_test_skip("XEN_MAPCACHE_CORPUS names no folder of streams");
        return;
    }
    g_assert_nonnull(dir);
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(corpus, name, NULL);
        g_autofree char *data = NULL;
        size_t size;

        g_test_message("replaying %s", name);
        g_assert_true(g_file_get_contents(path, &data, &size, NULL));
        model_run((uint8_t *)data, size, &n);
        files++;
    }
    g_test_message("%u streams, %" PRIu64 " operations", files, n.ops);
    g_assert_cmpuint(n.ops, >, 0);
}
