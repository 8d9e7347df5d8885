/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The oracle: QEMU on the simulated Xen judged by the same QEMU with plain RAM.
 *
 * A *stream* is a list of *actions* of a guest.  Each is run on two *sides*:
 * the plain machine, and the device model on the simulated Xen.  Whatever the
 * guest can see must be the same on both: what actions read, guest memory,
 * video memory and screens, PCI configuration, interrupts, disks.
 * docs/oracle.md says how to run it; this header is for those who add devices
 * and actions.
 *
 * An action is a name and some bytes.  A function of its device runs it, once
 * for each side, and takes its arguments from the bytes by the functions below:
 * the same bytes give the same arguments.  Whatever the function learns from
 * the machine it tells by oracle_saw(), and nothing that it does may depend on
 * anything else.  So the two sides differ only if the machines differ.
 *
 * A device has a file of its own, act-NAME.c, which exports one OracleDevice;
 * actions.c lists them.
 */
#ifndef XEN_ORACLE_H
#define XEN_ORACLE_H

#include "drivers/pc.h"
#include "toolstack-qmp.h"

#define ORACLE_PAGE         4096u
#define ORACLE_BUCKET       0x100000u       /* what the mapcache maps at once */

/*
 * The guest's address space.  Each driver has memory of its own below
 * ORACLE_DATA (OraclePlace).  Requests move data between ORACLE_DATA and the
 * end of RAM.  BARs lie in the windows that the engine gives to each device;
 * the last part of the hole belongs to nobody and reads as absent.
 */
#define ORACLE_DRIVERS      0x200000u
#define ORACLE_DATA         0x1000000u
#define ORACLE_MMIO         0xf0000000u
#define ORACLE_NOWHERE      0xfb000000u     /* 16 MiB */
#define ORACLE_MMIO_END     0xfc000000u     /* then a page of the VGA's, */
#define ORACLE_VGA_BAR2     0xfc000000u     /* IOAPIC, local APIC, BIOS */
#define ORACLE_IO           0xc100u

#define ORACLE_VCPUS        4

typedef struct OracleSide OracleSide;
typedef struct OracleBytes OracleBytes;
typedef struct OracleAction OracleAction;
typedef struct OracleDevice OracleDevice;

/* ---- sides ---- */

/* Where the engine put a device: the same on both sides. */
typedef struct OraclePlace {
    unsigned devfn;             /* slot << 3 */
    uint64_t mem;               /* OracleDevice.mem_bytes, page aligned */
    uint64_t mmio;              /* OracleDevice.mmio_bytes, aligned to that */
    uint16_t io;                /* OracleDevice.io_bytes, aligned to that */
} OraclePlace;

/* The drivers of drivers/pc.h for @side; the same pointer over a restore. */
GuestPc *oracle_pc(OracleSide *side);

/* End of RAM, in bytes from 0; the guest has none above 4 GiB. */
uint64_t oracle_ram_bytes(const OracleSide *side);

/* True if this stream's machine has a small mapcache. */
bool oracle_is_tight(const OracleSide *side);

/* NULL if the machine of this stream does not have @device. */
const OraclePlace *oracle_place(const OracleSide *side,
                                const OracleDevice *device);

/* OracleDevice.state_bytes for @side, zeros at its start. */
void *oracle_state(OracleSide *side, const OracleDevice *device);

/*
 * Up to ORACLE_VCPUS accesses, @n, each by a vCPU of its own, at the same time:
 * on the Xen side all requests are made before the first answer is waited for.
 * QEMU may take them in any order, so their effects must not depend on it.
 * Each is to a port, PCI configuration or a register.  With data_is_ptr it is
 * that of a string instruction, with data upwards within one page of RAM.
 */
void oracle_at_once(OracleSide *side, XensimIoreq *req, unsigned n);

/*
 * Sets up all devices of the machine again, as they were set up at the start.
 * The result of each counts as seen by the guest.
 */
void oracle_set_up(OracleSide *side);

/*
 * Runs a monitor command; @args is an object in JSON, or NULL.  The result,
 * success or the error's text, counts as seen by the guest, as by oracle_saw().
 * True if the command succeeded.
 */
bool oracle_qmp(OracleSide *side, const char *command, const char *args);

/* What the human monitor answers to @line (g_free); NULL if it does not. */
char *oracle_monitor(OracleSide *side, const char *line);

/*
 * Records for a restore that the machine has @device (an argument of -device)
 * beside the devices that it was started with.  NULL: it has no such device any
 * more.
 */
void oracle_side_plugged(OracleSide *side, const char *device);

/* Virtual time goes on by @ns, and timers run, on this side. */
void oracle_pass_time(OracleSide *side, uint64_t ns);

/*
 * The domain and simulation of the Xen side, for actions with xen_only; NULL
 * on the plain side.  A restore replaces the domain.
 */
XensimDomain *oracle_domain(OracleSide *side);

/*
 * The other side, once devices are set up.  What an action does to the guest
 * may depend on the state of the Xen side.  Then the function must ask the Xen
 * side in both of its runs, in the same way.
 */
OracleSide *oracle_peer(OracleSide *side);

/*
 * From now to the next quiet point, the device model has to report each page
 * that it writes as dirty.  Xen side only.
 */
void oracle_side_log_dirty(OracleSide *side);

/*
 * Records that the @len bytes at @gpa may change without a report: Xen knows of
 * the change, or nothing is known of these pages.
 */
void oracle_side_dirtied(OracleSide *side, uint64_t gpa, uint64_t len);

/*
 * The first records that calls to Xen are made to fail.  The second is true if
 * the first was ever called.
 */
void oracle_side_fault(OracleSide *side);
bool oracle_side_faulted(OracleSide *side);

/* True if the guest sees two BARs at one address.  Xen side only. */
bool oracle_side_bars_overlap(OracleSide *side);

/*
 * oracle_take_away() makes the @pages pages of RAM at @gpa absent: the guest has
 * given them back to Xen.  They are not compared until they come back.  Nothing
 * may reach them meanwhile, so the functions that draw addresses (below) bring
 * back the pages that they name.  For other addresses, call
 * oracle_bring_back(), which makes the absent pages among the @len bytes at
 * @gpa pages of zeros, on both sides.
 *
 * After an action with "wild", a device may reach any page at any time.  No page
 * is absent from then on, and oracle_take_away() does nothing.
 */
void oracle_take_away(OracleSide *side, uint64_t gpa, uint64_t pages);
void oracle_bring_back(OracleSide *side, uint64_t gpa, uint64_t len);

/* Saves it and restores it, into new machine frames.  Xen side only. */
void oracle_side_restore(OracleSide *side, bool live);

/*
 * The guest sees @value, under the name @what (a string constant) and, where
 * there are several, @index.  An action must tell the same things on both
 * sides, in the same order.
 */
void oracle_saw_at(OracleSide *side, const char *what, uint64_t index,
                   uint64_t value);
#define oracle_saw(side, what, value) oracle_saw_at(side, what, 0, value)

/*
 * Records that the guest sees the @len bytes at @buf.  They begin at byte
 * @start of what @what names, such as the disk.  A report of a difference has
 * the number of the page in it.
 */
void oracle_saw_bytes(OracleSide *side, const char *what, uint64_t start,
                      const void *buf, size_t len);

/* Tells the level of the interrupt line (INTA) of the slot of @devfn. */
void oracle_look_at_line(OracleSide *side, unsigned devfn);

/* ---- arguments, from an action's bytes; after their end zeros follow ---- */

/* A number of @bits (1 to 64); takes as many whole bytes as it needs. */
uint64_t oracle_bits(OracleBytes *bytes, unsigned bits);

/* A number from @low to @high. */
uint64_t oracle_range(OracleBytes *bytes, uint64_t low, uint64_t high);

/* True once in @n times, for random bytes; false past the end. */
bool oracle_once_in(OracleBytes *bytes, unsigned n);

/*
 * An address for data: mostly in RAM, at a page's start or not, near a bucket's
 * end, at RAM's end; now and then video memory, device registers or where
 * nothing is.  Never a driver's own memory.
 */
uint64_t oracle_draw_gpa(OracleSide *side, OracleBytes *bytes);

/*
 * The same within RAM: the @len bytes from there on are all in RAM above
 * ORACLE_DATA.  @align is a power of two.
 */
uint64_t oracle_draw_ram(OracleSide *side, OracleBytes *bytes, uint64_t len,
                         uint64_t align);

/* A number from 1 to @max: small ones are frequent, all are possible. */
uint64_t oracle_draw_count(OracleBytes *bytes, uint64_t max);

/*
 * A list of 1 to @max pieces whose lengths are multiples of @align and make
 * @total bytes, a multiple of it; addresses are multiples of @align too.  They
 * are scattered, neighbours, or the same page many times; with @wild also
 * anywhere that oracle_draw_gpa() gives.  Returns how many.
 */
unsigned oracle_draw_sg(OracleSide *side, OracleBytes *bytes, GuestSg *sg,
                        unsigned max, uint32_t align, uint64_t total,
                        bool wild);

/* Fills @len bytes at @buf with a pattern that depends on @seed. */
void oracle_pattern(void *buf, size_t len, uint32_t seed);

/* ---- devices and actions ---- */

struct OracleAction {
    const char *name;           /* shown as "DEVICE.NAME" */
    unsigned weight;            /* how often beside others: 10 is usual */
    unsigned bytes;             /* the most that a random stream gives it */
    /* It runs on the Xen side only, so the guest must not see its effect. */
    bool xen_only;
    /* Gives a device addresses that the oracle does not know. */
    bool wild;
    void (*run)(OracleSide *side, const OracleDevice *device,
                OracleBytes *bytes);
};

struct OracleDevice {
    const char *name;           /* lower case, digits, '-' */
    /*
     * QEMU's arguments, separated by spaces.  Replaced in them are @SLOT@,
     * the PCI slot, @DISK@, the file name of the image (a raw one of
     * disk_bytes, with a pattern), and @IOTHREAD@, which is
     * ",iothread=thread" or nothing, as the stream says.  NULL: no device; its
     * actions are possible on every machine.
     */
    const char *args;
    const char *screen;         /* id of a display, whose picture is compared */
    uint64_t disk_bytes;
    uint32_t mem_bytes, mmio_bytes, io_bytes;
    size_t state_bytes;
    /*
     * Sets the device up, with its driver.  An error ends the stream as a
     * failure of the oracle itself.  May be NULL.
     */
    int (*setup)(OracleSide *side, const OracleDevice *device);
    /* Tells all that can be seen, at a quiet point.  May be NULL. */
    void (*look)(OracleSide *side, const OracleDevice *device);
    const OracleAction *actions;
    unsigned n_actions;
};

/* All of them, NULL-terminated. */
extern const OracleDevice *const oracle_devices[];

#endif
