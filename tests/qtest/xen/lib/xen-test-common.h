/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the qtests of the Xen device model share.
 *
 * A test process plays hypervisor, guest and toolstack of a simulated Xen
 * (tests/xensim), and runs QEMU as the device model of a domain there.
 * libqtest is used for QMP.  Memory and registers are accessed as a guest does,
 * through ioreqs.
 *
 * A *scenario* is a function that drives one device model.  It returns NULL if
 * everything was right, or else a few words that say what was wrong, such as
 * "served a stale page".  It is run on QTEST_QEMU_BINARY, where anything but
 * NULL fails the test.  If the stock binary is known to behave differently, the
 * scenario is also run on XENSIM_STOCK_QEMU, and must end there in one of the
 * known ways.  A failure names the line of the test: see xen-test-place.h.
 *
 * Environment: QTEST_QEMU_BINARY, XENSIM_LIB (libxensim.so),
 * XENSIM_STOCK_QEMU (comparisons are skipped without it), XEN_TEST_ROMS
 * (directory of the VGA ROMs, default /usr/share/seabios), XEN_TEST_COMPAT
 * (anything but empty: QTEST_QEMU_BINARY was built as for a libxen without
 * xenforeignmemory_map2(), which then must not be called; nothing is compared
 * with stock), XEN_TEST_ASAN (anything: it was built with AddressSanitizer).
 */
#ifndef XEN_TEST_COMMON_H
#define XEN_TEST_COMMON_H

#include "libqtest.h"
#include "qobject/qdict.h"
#include "xensim.h"
#include "drivers/pc.h"
#include "toolstack.h"
#include "xen-test-frames.h"
#include "xen-test-place.h"

#define XEN_TEST_PAGE       XENSIM_PAGE_SIZE
#define XEN_TEST_BUCKET     0x100000u       /* what the mapcache maps at once */
#define XEN_TEST_RAM_MB     64u

/* Devices that a test may ask for, and where the guest puts them. */
#define XEN_TEST_VGA    "-device VGA,addr=4,vgamem_mb=16 "
#define XEN_TEST_AHCI   "-device ich9-ahci,id=ahci,addr=5 "
/* Without ioeventfd, the device has read its queue when a NOTIFY returns. */
#define XEN_TEST_STATS \
    "-device virtio-balloon-pci,addr=6,disable-legacy=off," \
    "disable-modern=on,ioeventfd=off "
#define XEN_TEST_LFB        0xf0000000u     /* VGA's BAR 0 */
#define XEN_TEST_VRAM_BYTES 0x1000000u
#define XEN_TEST_AHCI_BAR   0xf4000000u
#define XEN_TEST_STATS_IO   0xc100u
#define XEN_TEST_PRD        0x10000u        /* guest page of IDE's PRD table */

typedef struct XenTest {
    Toolstack *ts;
    Xensim *sim;        /* the simulated machine of @ts */
    XensimXs *xs;       /* the xenstore of @ts */
    XensimDomain *dom;
    QTestState *qts;    /* NULL when no device model runs */
    pid_t pid;          /* the device model's */
    char *pidfile;      /* where the device model, which daemonizes, writes its
                         * pid */
    bool stock;         /* the binary is the stock one */
    const void *data;   /* from xen_test_add_data() or _judged() */
    XensimCount before; /* map calls before it started */
    XenTestFrames *frames;  /* of xen_test_note_frames(), else NULL */
    const char *frames_when;    /* @when of xen_test_note_frames() */
    char *dir;          /* for files; removed at the end */
    char *log;          /* the device model's stderr, a file in @dir */
    GuestPc *pc;        /* the guest's drivers, */
    GuestIde ide;       /* ... its disk after xen_test_ide(), */
    GuestVga vga;       /* ... its display after xen_test_vga() */
    GPtrArray *texts;   /* freed at the end */
} XenTest;

typedef const char *XenScenario(XenTest *t);
typedef const char *XenJudge(XenTest *t, const char *text);

/* True if QTEST_QEMU_BINARY was built for an old libxen (see above). */
bool xen_test_compat(void);

/* The function that the tested binary's libxen has in place of @name. */
const char *xen_test_call(const char *name);

/*
 * Registers @scenario as test "/ARCH/xen/@path".  If @stock is not NULL, also
 * registers a comparison with the stock binary, as "…/stock".  @stock lists the
 * ways in which the scenario may end there, as glob patterns separated by '|';
 * the comparison fails for any other end.  List "ok" for a scenario that
 * returns NULL.
 */
void xen_test_add(const char *path, XenScenario *scenario, const char *stock);

/* The same for one of several cases: @data is t->data of each run. */
void xen_test_add_data(const char *path, XenScenario *scenario,
                       const void *data, const char *stock);

/*
 * As xen_test_add_data(), for one of many scenarios.  @judge is called when the
 * device model has ended, with what the scenario returned; the test ends with
 * what @judge returns.
 */
void xen_test_add_judged(const char *path, XenScenario *scenario,
                         XenJudge *judge, const void *data);

/* To be called before the first xen_test_add(); g_test_run() runs them. */
void xen_test_init(int argc, char **argv);

/* Ends the scenario with @text, from any function that it calls. */
G_NORETURN void xen_test_leave(XenTest *t, const char *text);

/*
 * Ends the scenario with @msg, or, if the device model is dead, with how it
 * ended.
 */
G_NORETURN void xen_test_no_answer(XenTest *t, const char *msg);

/* @text belongs to @t from now on, and is returned. */
const char *xen_test_keep(XenTest *t, char *text);

/* ---- device models ---- */

/*
 * Makes a domain of XEN_TEST_RAM_MB and starts a device model for it with
 * the arguments that a toolstack gives and @args, and waits until it serves
 * the guest.  Leaves the scenario if the device model dies or does not
 * answer, as every guest helper does.
 */
void xen_test_start(XenTest *t, const char *args);

/*
 * The two parts of xen_test_start().  The first makes a domain with @flags and
 * XENSIM_DOM_SCATTERED.  The second starts a device model for t->dom.
 */
void xen_test_domain(XenTest *t, unsigned flags);
void xen_test_boot(XenTest *t, const char *args);

/*
 * xen_test_boot() in two steps: the first waits only until the monitor answers,
 * the second until the device model serves the guest.
 */
void xen_test_boot_begin(XenTest *t, const char *args);
void xen_test_boot_end(XenTest *t);

/*
 * xen_test_boot() for arguments that the device model may refuse.  NULL if it
 * serves the guest; otherwise how it ended, and no device model runs.
 */
const char *xen_test_try_boot(XenTest *t, const char *args);

/* Saves the device model's state; the file's path is valid as long as @t. */
const char *xen_test_save(XenTest *t);

/*
 * The same for a device model that may refuse to save.  Returns NULL and sets
 * *@file; otherwise returns the reason, and the guest is stopped.
 */
const char *xen_test_try_save(XenTest *t, const char **file);

/*
 * Starts a device model for t->dom that waits for a state, and has it load the
 * state in @file.  Waits until it serves the guest or, if @args has " -S ",
 * until the state is loaded.
 */
void xen_test_boot_incoming(XenTest *t, const char *args, const char *file);

/*
 * Saves, copies the domain's memory into new machine frames of a new domain,
 * ends the old device model and the old domain, and starts a new device model
 * with @args from what was saved.
 */
void xen_test_save_restore(XenTest *t, const char *args);

/*
 * Restores from the state in @file in the same way.  Before that, the new
 * device model is told to load the state in @bad, which it must refuse.
 */
void xen_test_restore_after(XenTest *t, const char *args, const char *bad,
                            const char *file);

/* Saves, and restores into a new, empty domain with the configuration @cfg. */
void xen_test_save_restore_as(XenTest *t, const char *args,
                              const XensimDomainConfig *cfg);

/*
 * Does what xen_test_save_restore_as() does after saving: restores from the
 * state in @file.
 */
void xen_test_restore_as(XenTest *t, const char *args, const char *file,
                         const XensimDomainConfig *cfg);

/* Quits the device model; ends the scenario if it had died before. */
void xen_test_stop(XenTest *t);

/* Ends the scenario if the device model is dead. */
void xen_test_alive(XenTest *t);

/* Everything that device models of this test have printed (g_free). */
char *xen_test_log(XenTest *t);

/*
 * The lines of the log that contain @text (g_strfreev).  Each is cut before
 * @text, so that it has neither QEMU's name nor the level of a warning.
 */
char **xen_test_log_lines(XenTest *t, const char *text);

/* ---- looking at it ---- */

/* A counter of query-xen-mapcache; 0 on the stock binary, which has none. */
uint64_t xen_test_stat(XenTest *t, const char *name);

/* The human monitor's answer to the command @line; valid as long as @t. */
const char *xen_test_hmp(XenTest *t, const char *line);

/*
 * Waits (5 s at most) until the counters @name and @other (NULL: none) are both
 * 0.  Memory that a device releases may be unmapped after a grace period only.
 */
bool xen_test_settles(XenTest *t, const char *name, const char *other);

/* Waits (5 s) until no device model maps the frame @mfn. */
bool xen_test_let_go(XenTest *t, uint64_t mfn);

/* Foreign mapping calls so far, and the pages named in them. */
uint64_t xen_test_map_calls(XenTest *t);
uint64_t xen_test_map_pages(XenTest *t);

/*
 * The number of pages of RAM below XEN_TEST_RAM_MB that are mapped.  The first
 * counts a page for each of its mappings, the second counts it once.
 */
uint64_t xen_test_ram_mapped(XenTest *t);
uint64_t xen_test_ram_shown(XenTest *t);

/* The number of pages that Xen counts as the domain's. */
uint64_t xen_test_pages(XenTest *t);

/* How many of the @pages pages from guest address @gpa on have a frame. */
uint64_t xen_test_pages_at(XenTest *t, uint64_t gpa, uint64_t pages);

/*
 * NULL if the guest's CPU and QEMU each read what the other one has written, in
 * 8 bytes of RAM at every @step bytes from @from on.  Changes these bytes.
 */
const char *xen_test_ram_shared(XenTest *t, uint64_t from, uint64_t step);

/* The screen as QMP's screendump shows it: a PPM file's bytes. */
GBytes *xen_test_screendump(XenTest *t);

/*
 * Notes where the frames of device memory are.  From then on a failure prints
 * what has become of them since "before @when"; @when is not copied.  Each
 * restore notes them again.
 */
void xen_test_note_frames(XenTest *t, const char *when);

/* ---- the guest's disk and display ---- */

/* Ends the scenario with the error of t->pc, unless @err is 0. */
void xen_test_ok(XenTest *t, int err);

/*
 * Makes a disk image of @pages pages below t->dir, each stamped with its
 * number and @seed, and returns the arguments that make it the first IDE
 * disk (lives as long as @t).  xen_test_ide() drives it: fills in t->ide.
 */
const char *xen_test_disk(XenTest *t, unsigned pages, uint64_t seed);
void xen_test_ide(XenTest *t);

/*
 * xen_test_start() with that disk and the arguments @more; then calls
 * xen_test_ide().
 */
void xen_test_start_disk(XenTest *t, unsigned pages, uint64_t seed,
                         const char *more);

/* Reads @n pages of the disk from page @page on to @gpa, by one DMA. */
void xen_test_dma_read(XenTest *t, unsigned page, uint64_t gpa, unsigned n);

/*
 * NULL if guest memory at @gpa (any alignment) has @n pages of the disk from
 * @page on, or else @what.
 */
const char *xen_test_disk_at(XenTest *t, uint64_t gpa, unsigned page,
                             unsigned n, uint64_t seed, const char *what);

/* Places the VGA's memory at XEN_TEST_LFB and sets 640x480x32 (t->vga). */
void xen_test_vga(XenTest *t);

/* ---- devices that hold DMA mappings ---- */

/*
 * Starts port 0 of an AHCI controller (XEN_TEST_AHCI): it maps a command list
 * of 1024 bytes at @list and a FIS area of 256 bytes at @fis, and holds both
 * until it is stopped.
 */
void xen_test_ahci_start(XenTest *t, uint64_t list, uint64_t fis);
void xen_test_ahci_stop(XenTest *t);
#define XEN_TEST_AHCI_PORT (XEN_TEST_AHCI_BAR + 0x100)

/*
 * Gives @bytes at @gpa to a balloon device (XEN_TEST_STATS) as its statistics
 * buffer, whose ring takes 16 KiB at @ring (page aligned).  The device keeps
 * the buffer mapped, for reading, until it is reset, which release does.
 */
void xen_test_stats_hold(XenTest *t, uint64_t ring, uint64_t gpa,
                         uint32_t bytes);
void xen_test_stats_release(XenTest *t);

/*
 * These functions may end the scenario, or return the text with which it ends.
 * A failure prints where they were called.  (Their own sources define
 * XEN_TEST_HELPERS.)
 */
#ifndef XEN_TEST_HELPERS
#define xen_test_start(...) XEN_AT(xen_test_start(__VA_ARGS__))
#define xen_test_start_disk(...) XEN_AT(xen_test_start_disk(__VA_ARGS__))
#define xen_test_boot(...) XEN_AT(xen_test_boot(__VA_ARGS__))
#define xen_test_boot_begin(...) XEN_AT(xen_test_boot_begin(__VA_ARGS__))
#define xen_test_boot_end(...) XEN_AT(xen_test_boot_end(__VA_ARGS__))
#define xen_test_save(...) XEN_AT(xen_test_save(__VA_ARGS__))
#define xen_test_restore_after(...) \
    XEN_AT(xen_test_restore_after(__VA_ARGS__))
#define xen_test_boot_incoming(...) XEN_AT(xen_test_boot_incoming(__VA_ARGS__))
#define xen_test_save_restore(...) XEN_AT(xen_test_save_restore(__VA_ARGS__))
#define xen_test_save_restore_as(...) \
    XEN_AT(xen_test_save_restore_as(__VA_ARGS__))
#define xen_test_try_boot(...) XEN_AT(xen_test_try_boot(__VA_ARGS__))
#define xen_test_try_save(...) XEN_AT(xen_test_try_save(__VA_ARGS__))
#define xen_test_restore_as(...) XEN_AT(xen_test_restore_as(__VA_ARGS__))
#define xen_test_stop(...) XEN_AT(xen_test_stop(__VA_ARGS__))
#define xen_test_alive(...) XEN_AT(xen_test_alive(__VA_ARGS__))
#define xen_test_leave(...) XEN_AT(xen_test_leave(__VA_ARGS__))
#define xen_test_no_answer(...) XEN_AT(xen_test_no_answer(__VA_ARGS__))
#define xen_test_stat(...) XEN_AT(xen_test_stat(__VA_ARGS__))
#define xen_test_hmp(...) XEN_AT(xen_test_hmp(__VA_ARGS__))
#define xen_test_settles(...) XEN_AT(xen_test_settles(__VA_ARGS__))
#define xen_test_screendump(...) XEN_AT(xen_test_screendump(__VA_ARGS__))
#define xen_test_ok(...) XEN_AT(xen_test_ok(__VA_ARGS__))
#define xen_test_ide(...) XEN_AT(xen_test_ide(__VA_ARGS__))
#define xen_test_dma_read(...) XEN_AT(xen_test_dma_read(__VA_ARGS__))
#define xen_test_disk_at(...) XEN_AT(xen_test_disk_at(__VA_ARGS__))
#define xen_test_vga(...) XEN_AT(xen_test_vga(__VA_ARGS__))
#define xen_test_ahci_start(...) XEN_AT(xen_test_ahci_start(__VA_ARGS__))
#define xen_test_ahci_stop(...) XEN_AT(xen_test_ahci_stop(__VA_ARGS__))
#define xen_test_stats_hold(...) XEN_AT(xen_test_stats_hold(__VA_ARGS__))
#define xen_test_stats_release(...) XEN_AT(xen_test_stats_release(__VA_ARGS__))
#define qtest_memread(...) XEN_AT(qtest_memread(__VA_ARGS__))
#define qtest_memwrite(...) XEN_AT(qtest_memwrite(__VA_ARGS__))
#define qtest_memset(...) XEN_AT(qtest_memset(__VA_ARGS__))
#define qtest_readb(...) XEN_AT(qtest_readb(__VA_ARGS__))
#define qtest_readw(...) XEN_AT(qtest_readw(__VA_ARGS__))
#define qtest_readl(...) XEN_AT(qtest_readl(__VA_ARGS__))
#define qtest_readq(...) XEN_AT(qtest_readq(__VA_ARGS__))
#define qtest_writel(...) XEN_AT(qtest_writel(__VA_ARGS__))
#define qtest_writeq(...) XEN_AT(qtest_writeq(__VA_ARGS__))
#define xensim_inb(...) XEN_AT(xensim_inb(__VA_ARGS__))
#define xensim_outb(...) XEN_AT(xensim_outb(__VA_ARGS__))
#define xensim_outw(...) XEN_AT(xensim_outw(__VA_ARGS__))
#define xensim_outl(...) XEN_AT(xensim_outl(__VA_ARGS__))
#define xensim_mmio_read(...) XEN_AT(xensim_mmio_read(__VA_ARGS__))
#define xensim_mmio_write(...) XEN_AT(xensim_mmio_write(__VA_ARGS__))
#define xensim_mmio_copy(...) XEN_AT(xensim_mmio_copy(__VA_ARGS__))
#define xensim_pci_write(...) XEN_AT(xensim_pci_write(__VA_ARGS__))
#define xensim_rep_ins(...) XEN_AT(xensim_rep_ins(__VA_ARGS__))
#define xensim_rep_outs(...) XEN_AT(xensim_rep_outs(__VA_ARGS__))
#define xensim_balloon_out(...) XEN_AT(xensim_balloon_out(__VA_ARGS__))
#define xensim_balloon_in(...) XEN_AT(xensim_balloon_in(__VA_ARGS__))
#define xensim_invalidate(...) XEN_AT(xensim_invalidate(__VA_ARGS__))
#endif

#endif
