/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A benchmark of whole QEMU: what it costs the process to serve a guest.
 *   xen-qemu-bench.c    the program: which loads, what is printed
 *   xen-qemu-machine.c  QEMU's process, on the simulated Xen or with plain RAM
 *   xen-qemu-loads.c    what the guest does with its devices
 *   xen-qemu-meter.c    counting what that costs the process
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
 * Starts @qemu with @args (NULL-terminated) and BENCH_RAM_BYTES of RAM.  If
 * @plain, it is the plain machine: its RAM is mapped as under KVM, its CPU
 * speaks the qtest protocol, and its files (its RAM, for example) are in @dir.
 * Otherwise it is a device model on the simulated Xen.
 */
BenchMachine *bench_machine_start(const char *qemu, bool plain,
                                  const char *const *args, const char *dir,
                                  GError **err);
void bench_machine_stop(BenchMachine *machine);

/*
 * Lets @ms of the guest's time pass.  The plain machine's clock is stepped;
 * on the simulated Xen, where time passes by itself, this waits.
 */
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

/*
 * Counts for the threads that the process has now, and for the threads that
 * these start.
 */
BenchMeter *bench_meter_new(const BenchMachine *machine);
void bench_meter_free(BenchMeter *meter);
BenchReading bench_meter_read(BenchMeter *meter);

/*
 * strace counts the process's system calls from bench_strace_start() to
 * bench_strace_stop(), which returns their number, or -1 if they cannot be
 * counted.  strace slows the process down, so time must not be measured
 * meanwhile.
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
    unsigned count;             /* operations in one measurement */
    unsigned bytes;             /* moved by one operation; 0: none */
    /* Checks that the right bytes arrive; this also maps the buckets. */
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
