/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The scheduler of the mapcache's threads: see xen-mapcache-scheduler.h.
 */
#include "qemu/osdep.h"
#include <ucontext.h>
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "qemu/thread.h"
#include "hw/xen/xen_native.h"
#include "xen-mapcache-harness.h"
#include "xen-mapcache-int.h"
#include "xen-mapcache-dma.h"
#include "xen-mapcache-slots.h"
#include "xen-mapcache-scheduler.h"
#include "xen-mapcache-wrap.h"

#define STACK   (256 * 1024)

typedef struct Steps {
    ucontext_t context;
    void *stack;
    void (*f)(void *opaque);
    void *opaque;
    bool running;           /* begun and not ended */
    unsigned depth;         /* of its RCU sections */
    unsigned locks;         /* mutexes that it holds */
} Steps;

static ucontext_t main_context;
static Steps reaper, thread;
static __thread Steps *current; /* NULL: the test itself */
static bool reaper_idle = true, reaper_in_grace;
static unsigned grace_section;

/* The thread's sections are numbered; 0: it is in none. */
static unsigned section, sections;

static bool (*sched_give_way)(void);
SchedMistake sched_mistake;
unsigned sched_walk_every = 1;

WRAPPED(bql_locked);
WRAPPED(g_usleep);
WRAPPED(error_report);
WRAPPED(warn_report);
WRAPPED(mcache_check_locked);
WRAPPED(mcache_flush_locked);
WRAPPED(mcache_dma_add);
WRAPPED(mcache_dma_remove);
WRAPPED(mcache_slots_unlock);
WRAPPED(mcache_stale_unlocked);
WRAPPED(qemu_mutex_unlock_impl);
WRAPPED(qemu_thread_create);
WRAPPED(synchronize_rcu);

/* --- switching --------------------------------------------------- */

static void back(void)
{
    swapcontext(&current->context, &main_context);
}

static void begin(void)
{
    current->f(current->opaque);
    current->running = false;
    for (;;) {
        back();
    }
}

/* To it, until it gives way or ends. */
static void enter(Steps *s)
{
    unsigned others = get_ptr_rcu_reader()->depth - s->depth;

    current = s;
    harness_bql(false);
    swapcontext(&main_context, &s->context);
    harness_bql(true);
    current = NULL;
    s->depth = get_ptr_rcu_reader()->depth - others;
    if (s == &thread) {
        section = !s->depth ? 0 : section ? section : ++sections;
    }
}

static void prepare(Steps *s, void (*f)(void *), void *opaque)
{
    g_assert_false(s->running);
    if (!s->stack) {
        s->stack = g_malloc(STACK);
    }
    getcontext(&s->context);
    s->context.uc_stack.ss_sp = s->stack;
    s->context.uc_stack.ss_size = STACK;
    s->context.uc_link = NULL;
    s->f = f;
    s->opaque = opaque;
    s->running = true;
    makecontext(&s->context, begin, 0);
}

static void maybe_give_way(void)
{
    if (current == &thread && !thread.locks && sched_give_way()) {
        back();
    }
}

bool sched_run(void (*f)(void *opaque), void *opaque)
{
    prepare(&thread, f, opaque);
    return sched_go_on();
}

bool sched_go_on(void)
{
    if (thread.running) {
        enter(&thread);
    }
    return !thread.running;
}

/* --- where threads meet ------------------------------------------ */

static void step_mutex_lock(QemuMutex *m, const char *file, int line)
{
    maybe_give_way();
    qemu_mutex_lock_impl(m, file, line);
    if (current) {
        current->locks++;
    }
}

void __wrap_qemu_mutex_unlock_impl(QemuMutex *m, const char *file, int line)
{
    __real_qemu_mutex_unlock_impl(m, file, line);
    if (current) {
        current->locks--;
        maybe_give_way();
    }
}

/*
 * The reaper's, for work; or the test's, for what a call of the thread's has:
 * then the thread goes on.
 */
static void step_cond_wait(QemuCond *cond, QemuMutex *m, const char *file,
                           int line)
{
    if (!current) {
        qemu_mutex_unlock(m);
        sched_go_on();
        qemu_mutex_lock(m);
        return;
    }
    g_assert_true(current == &reaper);
    reaper_idle = true;
    qemu_mutex_unlock(m);
    back();
    qemu_mutex_lock(m);
    reaper_idle = false;
}

/* The reaper's, until its clock goes on: its time is never up. */
static bool step_cond_timedwait(QemuCond *cond, QemuMutex *m, int ms,
                                const char *file, int line)
{
    step_cond_wait(cond, m, file, line);
    return true;
}

/* Between finding a slot and marking it. */
bool __wrap_bql_locked(void)
{
    maybe_give_way();
    if (sched_mistake == SCHED_NO_MARK && current == &thread) {
        return true;
    }
    return __real_bql_locked();
}

void __wrap_g_usleep(gulong us)
{
    if (current) {
        back();
    } else {
        __real_g_usleep(us);
    }
}

bool __wrap_mcache_dma_add(uint8_t *host, uint64_t size, uint64_t info)
{
    bool added;

    maybe_give_way();
    added = __real_mcache_dma_add(host, size, info);
    maybe_give_way();
    return added;
}

bool __wrap_mcache_dma_remove(const uint8_t *host, uint64_t size)
{
    bool found;

    maybe_give_way();
    found = __real_mcache_dma_remove(host, size);
    maybe_give_way();
    return found;
}

void __wrap_mcache_slots_unlock(uint32_t nr, uint32_t n)
{
    maybe_give_way();
    __real_mcache_slots_unlock(nr, sched_mistake == SCHED_SHORT_RELEASE
                                   ? MIN(n, 1) : n);
}

void __wrap_mcache_stale_unlocked(uint32_t nr)
{
    maybe_give_way();
    __real_mcache_stale_unlocked(nr);
}

void __wrap_mcache_flush_locked(void)
{
    if (sched_mistake == SCHED_NO_STEP && mapcache.stats.invalidates & 1) {
        qatomic_set(&mapcache.gen, mapcache.gen - 1);
    }
    __real_mcache_flush_locked();
}

void __wrap_mcache_check_locked(void)
{
    static unsigned n;

    if (++n >= sched_walk_every) {
        n = 0;
        __real_mcache_check_locked();
    }
}

/* What fails on purpose need not be told, a million times. */
void __wrap_error_report(const char *format, ...)
{
}

void __wrap_warn_report(const char *format, ...)
{
}

/* --- the reaper -------------------------------------------------- */

static void *(*reaper_main)(void *);

static void reaper_begin(void *opaque)
{
    reaper_main(opaque);
}

void __wrap_qemu_thread_create(QemuThread *t, const char *name,
                               void *(*f)(void *), void *opaque, int mode)
{
    if (strcmp(name, "xen-mapcache")) {
        __real_qemu_thread_create(t, name, f, opaque, mode);
        return;
    }
    reaper_main = f;
    prepare(&reaper, reaper_begin, opaque);
}

void __wrap_synchronize_rcu(void)
{
    g_assert_true(current == &reaper);
    reaper_in_grace = true;
    grace_section = section;
    while (grace_section && grace_section == section &&
           sched_mistake != SCHED_NO_GRACE) {
        back();
    }
    reaper_in_grace = false;
}

bool sched_reap(void)
{
    unsigned n;

    /* Twice: what it slept over may have been its work. */
    for (n = 0; n < 4 && reaper.running; n++) {
        if (reaper_in_grace && grace_section && grace_section == section) {
            return false;
        }
        if (reaper_idle && !mapcache.reap_wanted && n) {
            break;
        }
        enter(&reaper);
    }
    return !reaper.running || (reaper_idle && !mapcache.reap_wanted);
}

/* ----------------------------------------------------------------- */

void sched_reset(void)
{
    uint32_t nr;

    g_assert_cmpuint(mapcache.nr_used, ==, 0);
    g_assert_true(!thread.running && reaper_idle);
    for (nr = 0; nr < mapcache.nr_slots; nr++) {
        if (mcache_slot_known(nr)) {
            mapcache.slot[nr].iothread_gen = 0;
            mapcache.slot[nr].used = 0;
        }
    }
    mapcache.gen = 1;
    mapcache.hand = 0;
    mapcache.stats.invalidates = 0;
}

static const char *const mistake_names[SCHED_MISTAKES] = {
    [SCHED_NO_MISTAKE] = "none",
    [SCHED_NO_GRACE] = "no-grace",
    [SCHED_NO_STEP] = "no-step",
    [SCHED_SHORT_RELEASE] = "short-release",
    [SCHED_NO_MARK] = "no-mark",
};

bool sched_mistake_set(const char *name)
{
    unsigned i;

    for (i = 0; i < SCHED_MISTAKES; i++) {
        if (!strcmp(name, mistake_names[i])) {
            sched_mistake = i;
            return true;
        }
    }
    return false;
}

void sched_init(bool (*give_way)(void))
{
    sched_give_way = give_way;
    qatomic_set(&qemu_mutex_lock_func, step_mutex_lock);
    qatomic_set(&qemu_cond_wait_func, step_cond_wait);
    qatomic_set(&qemu_cond_timedwait_func, step_cond_timedwait);
}
