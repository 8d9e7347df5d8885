/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The scheduler: runs threads of the mapcache step by step.
 *
 * It runs the reaper and one thread without the BQL as coroutines of the test's
 * own thread.  The thread without the BQL can yield wherever another thread
 * could run between two of its steps; the test decides whether it does.  The
 * reaper yields where it waits.  So the test chooses the order of all steps,
 * and a stream of operations that fails once fails every time.  Grace periods
 * are real: the reaper's ends when the other thread has left the section that
 * it was in.
 *
 * It replaces these functions by the linker's --wrap: bql_locked, error_report,
 * g_usleep, mcache_check_locked, mcache_dma_add, mcache_dma_remove,
 * mcache_flush_locked, mcache_slots_unlock, mcache_stale_unlocked,
 * qemu_mutex_unlock_impl, qemu_thread_create, synchronize_rcu, warn_report.
 */
#ifndef XEN_MAPCACHE_SCHEDULER_H
#define XEN_MAPCACHE_SCHEDULER_H

#include <stdbool.h>

/*
 * To be called before xen_map_cache_init().  @give_way is called wherever the
 * thread without the BQL could yield; it yields if the function returns true.
 */
void sched_init(bool (*give_way)(void));

/*
 * Runs @f(@opaque) as the thread without the BQL.  Returns true if it has
 * ended, false if it has yielded; then call sched_go_on() until that returns
 * true.
 */
bool sched_run(void (*f)(void *opaque), void *opaque);
bool sched_go_on(void);

/*
 * Lets the reaper run until it waits for work, or for a grace period that has
 * not ended.  Returns true if it has nothing to do.
 */
bool sched_reap(void);

/*
 * The mapcache checks its whole structure once in this many operations.
 * Initially 1: after each.
 */
extern unsigned sched_walk_every;

/*
 * Resets all state that an earlier stream could leave behind, so that a stream
 * does the same here as in a process of its own.  Nothing may be mapped, and
 * the thread must have ended.
 */
void sched_reset(void);

/* The mutants: mistakes made on purpose, which the test must find. */
typedef enum SchedMistake {
    SCHED_NO_MISTAKE,
    SCHED_NO_GRACE,         /* the reaper waits for nobody */
    SCHED_NO_STEP,          /* every other invalidate keeps the generation */
    SCHED_SHORT_RELEASE,    /* a release unlocks the first bucket only */
    SCHED_NO_MARK,          /* a thread without the BQL leaves no mark */
    SCHED_MISTAKES,
} SchedMistake;

extern SchedMistake sched_mistake;

/* Chooses the mutant by its name, such as "no-grace"; false if none has it. */
bool sched_mistake_set(const char *name);

#endif
