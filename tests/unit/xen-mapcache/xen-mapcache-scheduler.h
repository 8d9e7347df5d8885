/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads of the mapcache in steps that the test decides.
 *
 * Linked in, this makes of the reaper, and of one thread without the BQL, what
 * the test's own thread runs a step at a time: coroutines that give way where
 * another thread could come in between, if the test says so there.  Which step
 * comes when is the test's to choose, so a stream of operations that fails
 * fails always.  Grace periods are counted for real: the reaper's ends when
 * the section that the other thread was in has ended.
 *
 * By the linker's --wrap: bql_locked, error_report, g_usleep,
 * mcache_check_locked, mcache_dma_add, mcache_dma_remove, mcache_flush_locked,
 * mcache_slots_unlock, mcache_stale_unlocked, qemu_mutex_unlock_impl,
 * qemu_thread_create, synchronize_rcu, warn_report.
 */
#ifndef XEN_MAPCACHE_STEPS_H
#define XEN_MAPCACHE_STEPS_H

#include <stdbool.h>

/*
 * Before xen_map_cache_init().  @give_way is asked wherever the thread could
 * give way: shall it?
 */
void steps_init(bool (*give_way)(void));

/*
 * Runs @f(@opaque) as the thread without the BQL; true if it has ended, false
 * if it gave way.  Then steps_go_on() until it returns true.
 */
bool steps_run(void (*f)(void *opaque), void *opaque);
bool steps_go_on(void);

/*
 * Lets the reaper run to where it waits: for work, or for a grace period that
 * has not ended.  True if it has nothing to do.
 */
bool steps_reap(void);

/* The mapcache walks its structure once in so many operations: 1 to begin. */
extern unsigned steps_walk_every;

/*
 * Forgets what came before, as far as it could matter; nothing is mapped and
 * the thread has ended.  So a stream does what it does in a process of its own.
 */
void steps_reset(void);

/* Mistakes that are made on purpose, to see that they are found. */
typedef enum StepsMistake {
    STEPS_NO_MISTAKE,
    STEPS_NO_GRACE,         /* the reaper waits for nobody */
    STEPS_NO_STEP,          /* every other invalidate keeps the generation */
    STEPS_SHORT_RELEASE,    /* a release unlocks the first bucket only */
    STEPS_NO_MARK,          /* a thread passes for one with the BQL */
    STEPS_MISTAKES,
} StepsMistake;

extern StepsMistake steps_mistake;

/* Of that name, "no-grace" say; false if there is none. */
bool steps_mistake_set(const char *name);

#endif
