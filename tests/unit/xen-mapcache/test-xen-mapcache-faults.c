/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mapcache while calls fail.
 *
 * One scenario uses every function of the mapcache.  It is run many times, each
 * time in a process of its own.  In each run the Nth call of one kind fails,
 * either once or from the Nth on, for N = 1, 2, … until the scenario has no Nth
 * call.  Whatever fails, QEMU must not exit unless the header says so, and no
 * byte may be wrong.  After the fault nothing may be left mapped, and
 * everything must work.
 */
#include "qemu/osdep.h"
#include "qemu/memfd.h"
#include "qemu/rcu.h"
#include "xen-mapcache-faults.h"

/* The most that a kind may fail in the scenario before it is endless. */
#define ENDLESS     400
#ifdef SWEEP_SHORT
#define FOR_EVER_STEP 5
#else
#define FOR_EVER_STEP 1
#endif

static const Plan faults_plans[] = {
    { MODEL_MAP_CALL, KIND_XEN },
    { "xengnttab_map_domain_grant_refs", KIND_XEN },
    { "xengnttab_unmap", KIND_XEN },
    { "mmap", KIND_MMAP },
    { "munmap", KIND_MUNMAP },
    { "mprotect", KIND_MPROTECT },
#ifndef MODEL_COMPAT /* where nothing needs a file of its own */
    { "memfd_create", KIND_MEMFD },
#endif
    { "g_try_malloc", KIND_ALLOC },
};

static void tell_output(int fd)
{
    char buf[4096];
    ssize_t n;

    lseek(fd, 0, SEEK_SET);
    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        if (write(STDERR_FILENO, buf, n) < 0) {
            break;
        }
    }
}

/* Runs it once; false if it was not as it must be. */
static bool run_apart(const Plan *plan, unsigned nth, bool for_ever)
{
    int output = memfd_create("output", MFD_CLOEXEC), status;
    bool good;
    pid_t pid;

    g_assert_cmpint(output, >=, 0);
    memset(faults_shared, 0, sizeof(*faults_shared));
    pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        dup2(output, STDERR_FILENO);
        dup2(output, STDOUT_FILENO);
        faults_now.plan = plan;
        faults_now.nth = nth;
        faults_now.for_ever = for_ever;
        alarm(300);
        faults_run();
        exit(EXIT_SUCCESS);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    good = WIFEXITED(status) &&
           (WEXITSTATUS(status) == EXIT_SUCCESS ||
            (WEXITSTATUS(status) == EXIT_FAILURE && faults_shared->may_exit &&
             faults_shared->fired));
    if (!good && faults_mistake == MISTAKE_NONE) {
        tell_output(output);
        g_test_message("%s: call %u fails %s: wait status 0x%x%s", plan->name,
                       nth, for_ever ? "for ever" : "once", status,
                       faults_shared->fired ? "" : " (it did not come)");
        g_test_fail();
    }
    close(output);
    return good;
}

static void sweep(gconstpointer opaque)
{
    const Plan *plan = opaque;
    unsigned nth, runs = 0, for_ever;

    for (for_ever = 0; for_ever < 2; for_ever++) {
        /* What fails for ever from N + 1 on has mostly failed from N on. */
        for (nth = 1; nth < ENDLESS; nth += for_ever ? FOR_EVER_STEP : 1) {
            run_apart(plan, nth, for_ever);
            if (!faults_shared->fired) {
                break;
            }
            runs++;
        }
        g_assert_cmpuint(nth, <, ENDLESS);
        /* A sweep of what the scenario never calls would say nothing. */
        g_assert_cmpuint(nth, >, 1);
    }
    g_test_message("%s: failed in %u runs", plan->name, runs);
}

#ifndef SWEEP_ONLY
/* With a mistake in it, the sweep's checks must fail at some call. */
static void seeded(gconstpointer opaque)
{
    static const Plan map = { MODEL_MAP_CALL, KIND_XEN };
    static const Plan unmap = { "munmap", KIND_MUNMAP };
    const Plan *plan;
    unsigned nth;
    bool found = false;

    faults_mistake = GPOINTER_TO_INT(opaque);
    plan = faults_mistake == MISTAKE_FORGET ? &unmap : &map;
    for (nth = 1; nth < ENDLESS && !found; nth++) {
        found = !run_apart(plan, nth, false);
        if (!faults_shared->fired) {
            break;
        }
    }
    faults_mistake = MISTAKE_NONE;
    g_assert_true(found);
}
#endif

#ifdef HARNESS_ASAN
/* Mistakes with which all bytes are right still: the sanitizers must find them. */
typedef struct Seeded {
    const char *name;
    Mistake mistake;
    const char *report;
} Seeded;

static const Seeded seeds[] = {
    { "record-freed", MISTAKE_FREED,
      "*AddressSanitizer: heap-use-after-free*" },
    { "shift-too-far", MISTAKE_SHIFT, "*runtime error: shift exponent*" },
};

static void sanitized(gconstpointer opaque)
{
    const Seeded *s = opaque;

    if (g_test_subprocess()) {
        faults_mistake = s->mistake;
        faults_now.plan = &faults_plans[0];
        faults_now.nth = ENDLESS; /* does not come */
        faults_run();
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_failed();
    g_test_trap_assert_stderr(s->report);
}
#endif

int main(int argc, char **argv)
{
    unsigned i;

    g_test_init(&argc, &argv, NULL);
    faults_shared = mmap(NULL, sizeof(*faults_shared), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g_assert_true(faults_shared != MAP_FAILED);
    /*
     * AddressSanitizer does not free its locks in a child.  RCU's thread takes
     * some of them when it begins: the first child, made at that moment, would
     * wait for ever.  From here on the thread only waits.
     */
    drain_call_rcu();
    for (i = 0; i < ARRAY_SIZE(faults_plans); i++) {
        g_autofree char *path = g_strdup_printf("/xen-mapcache/faults/%s",
                                                faults_plans[i].name);

        g_test_add_data_func(path, &faults_plans[i], sweep);
    }
#ifndef SWEEP_ONLY
    g_test_add_data_func("/xen-mapcache/faults/seeded/forgotten",
                         GINT_TO_POINTER(MISTAKE_FORGET), seeded);
    g_test_add_data_func("/xen-mapcache/faults/seeded/exit",
                         GINT_TO_POINTER(MISTAKE_EXIT), seeded);
    g_test_add_data_func("/xen-mapcache/faults/seeded/wrong-bytes",
                         GINT_TO_POINTER(MISTAKE_BYTES), seeded);
#endif
#ifdef HARNESS_ASAN
    for (i = 0; i < ARRAY_SIZE(seeds); i++) {
        g_autofree char *path = g_strdup_printf(
            "/xen-mapcache/faults/seeded/%s", seeds[i].name);

        g_test_add_data_func(path, &seeds[i], sanitized);
    }
#endif
    return g_test_run();
}
