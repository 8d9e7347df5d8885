/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A whole QEMU at work, measured from outside.
 *   xen-qemu-bench.c    the program: which loads, what is printed
 *   xen-qemu-machine.c  QEMU's process, on the simulated Xen or with plain RAM
 *   xen-qemu-loads.c    what the guest does with its devices
 *   xen-qemu-meter.c    what that costs the process
 *
 * Functions that can fail return false and set @err.
 */
#ifndef XEN_QEMU_BENCH_H
#define XEN_QEMU_BENCH_H

#include "drivers/pc.h"
#include "toolstack.h"

#define BENCH_RAM_BYTES (128ull << 20)

/* ---- xen-qemu-machine.c ---- */

typedef struct BenchMachine {
    GuestPc *pc;                /* its CPU */
    pid_t pid;                  /* QEMU's */
    Xensim *sim;                /* NULL: plain RAM */
    struct BenchMachinePriv *priv;
} BenchMachine;

/*
 * Starts @qemu with @args (NULL-terminated) and BENCH_RAM_BYTES of RAM: as
 * device model on the simulated Xen, or, if @plain, as a machine of its own
 * whose RAM is mapped as it is under KVM, and whose CPU speaks the qtest
 * protocol.  @dir takes files of the latter, its RAM among them.
 */
BenchMachine *bench_machine_start(const char *qemu, bool plain,
                                  const char *const *args, const char *dir,
                                  GError **err);
void bench_machine_stop(BenchMachine *machine);

/* The guest's clock goes on by @ms; a plain machine has to be told. */
bool bench_machine_pass_time(BenchMachine *machine, unsigned ms);

/* ---- xen-qemu-meter.c ---- */

/* What a process used up; -1: this machine cannot count it. */
typedef struct BenchReading {
    int64_t libxen;             /* calls of libxen's functions */
    int64_t calls, pages;       /* those that map, and the pages they name */
    int64_t faults;             /* minor page faults */
    int64_t cpu_ns, wall_ns;
    int64_t instructions;       /* in user space */
} BenchReading;

typedef struct BenchMeter BenchMeter;

/* The threads that the process has now are counted, and those they start. */
BenchMeter *bench_meter_new(const BenchMachine *machine);
void bench_meter_free(BenchMeter *meter);
BenchReading bench_meter_read(BenchMeter *meter);

/*
 * System calls of the process between the two calls, counted by strace, which
 * slows it down: not to be used while time is measured.  bench_strace_stop()
 * returns how many there were, -1 if they cannot be counted.
 */
typedef struct BenchStrace BenchStrace;
BenchStrace *bench_strace_start(pid_t pid);
int64_t bench_strace_stop(BenchStrace *strace);

/* ---- xen-qemu-loads.c ---- */

typedef struct BenchLoad BenchLoad;

/* What the guest's driver holds while a load runs. */
typedef struct BenchGuest BenchGuest;

struct BenchLoad {
    const char *name;
    const char *group;          /* loads of a group share a process */
    unsigned count;             /* how often, for a measurement */
    unsigned bytes;             /* that each moves; 0: none */
    /* Finds out that the right bytes arrive, and warms up. */
    bool (*prepare)(BenchGuest *guest, const BenchLoad *load, GError **err);
    bool (*run)(BenchGuest *guest, const BenchLoad *load, unsigned n,
                GError **err);
    bool write;
};

extern const BenchLoad bench_loads[];
extern const unsigned bench_n_loads;

/* QEMU's arguments for @group; @dir takes a disk image and sockets. */
char **bench_group_args(const char *group, const char *dir, GError **err);

/* Drivers for the devices of @group. */
BenchGuest *bench_guest_new(BenchMachine *machine, const char *group,
                            const char *dir, GError **err);
void bench_guest_free(BenchGuest *guest);

#endif
