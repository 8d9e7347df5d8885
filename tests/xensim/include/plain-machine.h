/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The plain machine: a QEMU with ordinary RAM, driven by a test.
 *
 * It is a machine without Xen.  Its CPU does nothing: the test makes the
 * accesses, over a socket, by the qtest protocol.  Its RAM is a file that both
 * processes map.  So the same guest drivers (drivers/pc.h) can drive it and a
 * device model on the simulated Xen.  Virtual time stands still until
 * plain_machine_pass_time().
 *
 * Errors come as GError with one line.  Once QEMU has ended, every access fails
 * with -ENODEV, except an access to RAM.
 *
 * Threads: a PlainMachine and its GuestPc belong to one thread at a time.
 */

#ifndef XENSIM_PLAIN_MACHINE_H
#define XENSIM_PLAIN_MACHINE_H

#include <gio/gio.h>

#include "drivers/pc.h"
#include "toolstack-qmp.h"

typedef struct PlainMachine PlainMachine;

typedef struct PlainConfig {
    const char *qemu;
    const char *machine;        /* NULL: "pc" */
    uint64_t ram_bytes;         /* a multiple of 1 MiB */
    const char *dir;            /* an existing directory for its files; its
                                   path leaves room for a socket's name */
    const char *rom_dir;        /* -L; NULL: the binary's own choice */
    const char *const *args;    /* further arguments, NULL-terminated */
} PlainConfig;

/* Starts it and waits until it answers.  CONFIG is not kept. */
PlainMachine *plain_machine_start(const PlainConfig *config, GError **err);

/* Kills it if it runs.  Its files stay.  NULL is fine. */
void plain_machine_stop(PlainMachine *machine);

GuestPc *plain_machine_pc(PlainMachine *machine);
pid_t plain_machine_pid(PlainMachine *machine);

/* Its RAM, from address 0 on; writable. */
uint8_t *plain_machine_ram(PlainMachine *machine);

/* xensim_data_foreach() for this machine's RAM; mfns are the gfns. */
void plain_machine_data_foreach(PlainMachine *machine, XensimRunFn *fn,
                                void *opaque);

/*
 * Its monitor; opened at the first call, closed by plain_machine_stop().  NULL
 * and ERR on failure.
 */
TsQmp *plain_machine_qmp(PlainMachine *machine, GError **err);

/* Lets NS of virtual time pass; timers run in order.  0 or -errno. */
int plain_machine_pass_time(PlainMachine *machine, uint64_t ns);

/*
 * plain_machine_line() returns the level of input LINE (< 24) of the I/O APIC,
 * to which the interrupt lines of the ISA bus are connected.  Accesses to ports
 * and MMIO update the level; accesses to RAM do not.  Before
 * plain_machine_watch_lines() was called, it returns false.
 */
int plain_machine_watch_lines(PlainMachine *machine);
bool plain_machine_line(PlainMachine *machine, unsigned line);

/*
 * Reads the first N words (of 4 bytes, at most 64) of a function's PCI
 * configuration into WORDS.  0 or -errno.
 */
int plain_machine_pci_config(PlainMachine *machine, unsigned devfn,
                             uint32_t *words, unsigned n);

/*
 * Waits at most WAIT_MS for QEMU to end.  True if it has ended; *WSTATUS gets
 * waitpid()'s status.
 */
bool plain_machine_ended(PlainMachine *machine, unsigned wait_ms,
                         int *wstatus);

/* All that it has written to stdout and stderr (g_free). */
char *plain_machine_output(PlainMachine *machine);

#endif
