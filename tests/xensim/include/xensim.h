/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The simulated Xen: the interface for tests.
 *
 * The process that uses this header (the *host*) plays hypervisor, guest and
 * toolstack.  A device model (DM: any Xen-enabled QEMU) runs as a child process
 * with libxensim.so preloaded, or in the same process, linked with
 * libxensim.so.  Both sides work on the same shared memory.  There is no
 * daemon.
 *
 * Words: *gfn* is a guest frame number, *gpa* a guest-physical address in
 * bytes, *mfn* a machine frame number; a page or frame is 4096 bytes.
 *
 * Errors: unless a function says otherwise it returns 0 or a count on
 * success and -errno on failure, and prints nothing.  The "guest helpers"
 * (such as xensim_inb()) return the value read, so they cannot return an error.
 * When the device model does not answer in time, dies, or was never started,
 * they call the fail handler.  By default that prints the request, its vCPU and
 * how long it has waited, and aborts.  A test that expects the device model to
 * die uses xensim_ioreq() instead.
 *
 * Threads: any thread may call any function.  But while a Xensim is created or
 * freed, or a XensimDomain is destroyed, no other thread may use that object.
 * Guest helpers act as the calling thread's vCPU (xensim_vcpu_select()); two
 * threads must not act as the same vCPU at the same time.
 */
#ifndef XENSIM_H
#define XENSIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define XENSIM_PAGE_SHIFT 12
#define XENSIM_PAGE_SIZE  4096u
#define XENSIM_NO_MFN     UINT64_MAX   /* the gfn has no frame */
#define XENSIM_NO_GFN     UINT64_MAX
#define XENSIM_MAX_VCPUS  64u
#define XENSIM_MAX_GFN    (1ull << 31) /* gfns are below this: 8 TiB */

/* Exit status of a device model that called a function not simulated. */
#define XENSIM_EXIT_UNSIMULATED 97

typedef struct Xensim Xensim;
typedef struct XensimDomain XensimDomain;

/* ------------------------------------------------------------------ */
/* The simulation                                                      */
/* ------------------------------------------------------------------ */

/*
 * Make a simulated machine.  @run_dir is an existing empty directory for
 * sockets, or NULL for a fresh private one below $TMPDIR; it appears to
 * device models in the environment variable XENSIM.  Returns NULL with errno
 * set, and prints why.
 */
Xensim *xensim_new(const char *run_dir);

/*
 * Attach a second host process to the simulation in @run_dir.  The creator
 * must be alive.  NULL and errno on failure.
 */
Xensim *xensim_attach(const char *run_dir);

/*
 * End this process's use of the simulation.  If the process created it: kills
 * and reaps the device models started by xensim_spawn(), and removes the run
 * directory if xensim_new() made it.  If the process attached to it: only
 * detaches.
 */
void xensim_free(Xensim *sim);

/* Run directory; valid until xensim_free(). */
const char *xensim_dir(const Xensim *sim);

/*
 * Sets the function that is called when a guest helper cannot go on.  @msg is
 * one line without a newline.  The function may longjmp() or abort.  If it
 * returns, a helper that reads returns all-ones.  NULL restores the default,
 * which aborts.
 */
typedef void XensimFailFn(void *opaque, const char *msg);
void xensim_set_fail_handler(Xensim *sim, XensimFailFn *fn, void *opaque);

/* How long guest helpers wait for the device model; default 30,000 ms. */
void xensim_set_timeout(Xensim *sim, unsigned ms);

/*
 * Walk every p2m, frame count, reference and mapping record, and compare
 * them with each other.  Returns the number of contradictions and prints a
 * line for each to stderr; 0 means consistent.  Safe while device models
 * run (it takes the locks they take).
 */
unsigned xensim_check(Xensim *sim);

/* ------------------------------------------------------------------ */
/* Domains                                                             */
/* ------------------------------------------------------------------ */

enum {
    /* Neighbouring gfns get mfns that are never neighbours. */
    XENSIM_DOM_SCATTERED = 1u << 0,
    /* Do not populate RAM: the test, or a restore, does that. */
    XENSIM_DOM_EMPTY     = 1u << 1,
};

typedef struct XensimDomainConfig {
    uint32_t domid;          /* 0: the next free one */
    unsigned vcpus;          /* 0 means 1; at most XENSIM_MAX_VCPUS */
    uint64_t ram_bytes;      /* what QEMU gets as -m; whole pages, up to
                              * 4 TiB */
    /*
     * Limit on the domain's frames.  0: the size of RAM, plus 64 MiB for video
     * memory, plus 1 MiB, as a toolstack would set it.
     */
    uint64_t max_pages;
    uint64_t mmio_hole_start; /* 0: 0xf0000000; RAM goes on at 4 GiB */
    unsigned flags;           /* XENSIM_DOM_* */
} XensimDomainConfig;

/*
 * Build an HVM domain as libxl lays one out: RAM from 0 to the MMIO hole and
 * again from 4 GiB, nothing at 0xa0000-0xbffff, special pages from
 * 0xfeff8000 (ioreq, buffered ioreq, xenstore, console ...), HVM parameters
 * that name them, unbound event channels for xenstore and console, and grants
 * of their pages by the references that are reserved for them.
 * RAM uses no host memory until it is written.  NULL and errno on failure:
 * EINVAL, EEXIST (the domid is in use), ENOSPC (64 domains exist), ENOMEM
 * (max_pages is too low).
 * The handle stays valid until xensim_domain_destroy() or xensim_free().
 */
XensimDomain *xensim_domain_create(Xensim *sim,
                                   const XensimDomainConfig *cfg);

/*
 * Destroy the domain: empties its p2m, closes its event channels and destroys
 * its ioreq servers.  Frames that a device model still maps stay until it
 * unmaps them.
 */
void xensim_domain_destroy(XensimDomain *dom);

/* Handle of a living domain, NULL if there is none.  Not a new reference. */
XensimDomain *xensim_domain_find(Xensim *sim, uint32_t domid);

uint32_t xensim_domid(const XensimDomain *dom);
Xensim *xensim_domain_sim(const XensimDomain *dom);
unsigned xensim_vcpus(const XensimDomain *dom);
uint64_t xensim_ram_bytes(const XensimDomain *dom);

/*
 * HVM_PARAM_*.  A parameter that was never set is 0.  An index of 64 or more
 * reads as 0, and setting it does nothing.
 */
uint64_t xensim_hvm_param_get(XensimDomain *dom, unsigned index);
void xensim_hvm_param_set(XensimDomain *dom, unsigned index, uint64_t value);

/*
 * Copies the memory of @src into *new* machine frames at the same gfns of @dst.
 * Gfns that are absent in @src are absent in @dst, and so are gfns that would
 * be populated on demand and have no frame yet.
 * What Xen itself knows of the guest is copied too: interrupt lines
 * and their routes, and HVM parameters except event channel ports, which are
 * per domain.  @dst is usually created XENSIM_DOM_EMPTY; frames that it has
 * already are freed first.  ioreq server pages are not memory of the domain and
 * are not copied.  @src may go on living (local migration).  Returns 0, or
 * -ENOMEM if @dst's limit is too low.
 */
int xensim_domain_copy_memory(XensimDomain *dst, XensimDomain *src);

/* The same through a file: @fd is written or read sequentially. */
int xensim_domain_save_memory(XensimDomain *dom, int fd);
int xensim_domain_load_memory(XensimDomain *dom, int fd);

/* ------------------------------------------------------------------ */
/* Frames and p2m                                                      */
/* ------------------------------------------------------------------ */

/* Frame at @gfn now, or XENSIM_NO_MFN. */
uint64_t xensim_gfn_to_mfn(XensimDomain *dom, uint64_t gfn);

/*
 * Put fresh zeroed frames at @n gfns from @gfn.  Returns how many were
 * populated: fewer than @n if the domain's limit is reached.  A gfn that has a
 * frame already loses it; the lost frame still counts for the domain, as on
 * Xen.  At a gfn of a passed-through BAR the call stops.  As on Xen, the domain
 * then crashes (xensim_shutdown_reason() is 3), and the new frame is lost.
 */
uint64_t xensim_populate(XensimDomain *dom, uint64_t gfn, uint64_t n);

/*
 * Let @n absent gfns from @gfn be populated on demand, and keep @frames more
 * frames for that.  (A toolstack does so for a guest that is started with less
 * memory than its maximum.)  A gfn gets one of the frames when somebody first
 * accesses, maps or relocates it.  If no frame is left then, the domain
 * crashes, as on Xen.  (Before that, Xen takes frames from pages of zeros; the
 * simulation does not.)  The call stops at the first gfn that is not absent.
 * Returns how many gfns are now populated on demand because of this call.
 */
uint64_t xensim_populate_on_demand(XensimDomain *dom, uint64_t gfn, uint64_t n,
                                   uint64_t frames);

/*
 * Take @n frames from @gfn out of the p2m.  Those that nobody maps are freed,
 * the others when they are unmapped.  Returns how many were present.  Sends no
 * ioreq: see xensim_balloon_out().
 */
uint64_t xensim_depopulate(XensimDomain *dom, uint64_t gfn, uint64_t n);

/*
 * Add the BAR of a passed-through device: pages of type mmio_direct.  Nobody
 * can map them, and frames cannot be relocated from or to them (-EPERM).  In
 * the simulation they use frames of the domain.  Returns how many were added.
 */
uint64_t xensim_map_mmio(XensimDomain *dom, uint64_t gfn, uint64_t n);

/*
 * How often a pinned cache attribute was changed or removed.  Each time, Xen
 * makes every CPU of the host write back and empty its caches.
 */
uint64_t xensim_cache_flushes(XensimDomain *dom);

/*
 * Do what a ballooning guest does: change the p2m as above, send an
 * IOREQ_TYPE_INVALIDATE from the calling thread's vCPU to every enabled ioreq
 * server, and wait for the answers.  Both return how many frames were changed.
 * If no server is enabled, no ioreq is sent.
 */
uint64_t xensim_balloon_out(XensimDomain *dom, uint64_t gfn, uint64_t n);
uint64_t xensim_balloon_in(XensimDomain *dom, uint64_t gfn, uint64_t n);

/*
 * Relocate @n frames from @src to @dst, one after the other, as
 * XENMAPSPACE_gmfn does: frames at @dst are freed as xensim_depopulate() does,
 * and @src is left empty.  -EINVAL at the first absent source, -EPERM at the
 * first page of type mmio_direct; the frames before it were relocated.
 */
int xensim_move(XensimDomain *dom, uint64_t src, uint64_t dst, uint64_t n);

/* Call @fn for each run of present, contiguous (gfn and mfn) frames. */
typedef void XensimRunFn(void *opaque, uint64_t gfn, uint64_t mfn,
                         uint64_t pages);
void xensim_p2m_foreach(XensimDomain *dom, XensimRunFn *fn, void *opaque);

/*
 * The same for frames that have been written: a page that is in no run reads as
 * zeros.  A page that is in a run may read as zeros, too.  0, or -ENOMEM.
 */
int xensim_data_foreach(XensimDomain *dom, XensimRunFn *fn, void *opaque);

/* Accounting.  total = in p2m + freed but still mapped + lost + kept. */
typedef struct XensimMemInfo {
    uint64_t max_pages;
    uint64_t tot_pages;     /* what counts against max_pages */
    uint64_t p2m_pages;     /* in the p2m */
    uint64_t held_pages;    /* out of the p2m, kept only by mappings */
    uint64_t lost_pages;    /* overwritten in the p2m by a populate */
    uint64_t on_demand_pages;   /* kept to be populated on demand */
    uint64_t on_demand_gfns;    /* to be populated on demand, no frame yet */
    uint64_t mappings;      /* live ones by device models, one per call */
    uint64_t mapped_pages;  /* pages in them that have a frame */
} XensimMemInfo;
void xensim_mem_info(XensimDomain *dom, XensimMemInfo *info);
void xensim_set_max_pages(XensimDomain *dom, uint64_t pages);

/*
 * The first returns how many mapped pages of device models show the frame that
 * is at @gfn now.  The second returns that for the frame @mfn.
 */
unsigned xensim_gfn_mappings(XensimDomain *dom, uint64_t gfn);
unsigned xensim_mfn_mappings(Xensim *sim, uint64_t mfn);

/*
 * Call @fn for every run (contiguous gfns and mfns) of every live mapping of
 * frames of @dom: foreign mappings, grants, and resources (ioreq pages).  The
 * gfn is the one asked for when it was mapped.  Do not call back into the
 * library from @fn.
 */
typedef struct XensimMapRun {
    pid_t pid;              /* who maps */
    uint64_t addr;          /* where, in that process */
    uint64_t gfn, mfn, pages;
    uint64_t map_addr;      /* start and size of the whole mapping */
    uint64_t map_pages;
    bool grant, resource, writable;
} XensimMapRun;
typedef void XensimMapFn(void *opaque, const XensimMapRun *run);
void xensim_mappings_foreach(XensimDomain *dom, XensimMapFn *fn,
                             void *opaque);

/* ------------------------------------------------------------------ */
/* Guest memory                                                        */
/* ------------------------------------------------------------------ */

/*
 * Access RAM through the p2m, as the guest's CPU does (a write marks the
 * page for dirty VRAM tracking).  Any length and alignment.  0, or -EFAULT
 * when a page is absent; pages before it have been accessed.
 */
int xensim_read(XensimDomain *dom, uint64_t gpa, void *buf, size_t len);
int xensim_write(XensimDomain *dom, uint64_t gpa, const void *buf,
                 size_t len);
int xensim_fill(XensimDomain *dom, uint64_t gpa, uint8_t byte, size_t len);

/* Access a machine frame, whether or not a p2m names it. */
int xensim_mfn_read(Xensim *sim, uint64_t mfn, size_t offset, void *buf,
                    size_t len);
int xensim_mfn_write(Xensim *sim, uint64_t mfn, size_t offset,
                     const void *buf, size_t len);

/*
 * A stamp is a page's content, made from its gfn and a seed; every 8 bytes of
 * it are different.  xensim_stamp() writes stamps to @n pages from @gfn, or
 * returns -EFAULT at an absent page.  xensim_stamp_check() returns the first
 * gfn whose page differs from its stamp or is absent, or XENSIM_NO_GFN if all
 * are right.  The _page variants work on 4096 bytes anywhere.
 */
int xensim_stamp(XensimDomain *dom, uint64_t gfn, uint64_t n, uint64_t seed);
uint64_t xensim_stamp_check(XensimDomain *dom, uint64_t gfn, uint64_t n,
                            uint64_t seed);
void xensim_stamp_page(void *page, uint64_t gfn, uint64_t seed);
bool xensim_stamp_page_ok(const void *page, uint64_t gfn, uint64_t seed);

/*
 * Describes the last wrong stamp that this thread has checked: the page, the
 * byte, what was expected and what was found.  NULL if none was wrong since
 * xensim_stamp_forget().  Valid until the next check.
 */
const char *xensim_stamp_why(void);
void xensim_stamp_forget(void);

/* ------------------------------------------------------------------ */
/* The guest's CPU                                                     */
/* ------------------------------------------------------------------ */

/* The vCPU that this thread acts as, in every domain.  Default 0. */
void xensim_vcpu_select(unsigned vcpu);
unsigned xensim_vcpu_current(void);

typedef enum XensimStatus {
    XENSIM_OK,
    XENSIM_UNCLAIMED,  /* no enabled ioreq server claims it: a read gives ones */
    XENSIM_TIMEOUT,    /* no answer; the vCPU's slot stays busy */
    XENSIM_DM_DIED,    /* the device model that served it has died */
    XENSIM_NO_DM,      /* claimed, but nobody bound the event channel */
    XENSIM_BUSY,       /* this vCPU has an unanswered request */
    XENSIM_FULL,       /* the buffered page is full */
    XENSIM_BAD,        /* no such vCPU, or a request Xen would not send */
} XensimStatus;
const char *xensim_status_str(XensimStatus status);

/* Values are Xen's (public/hvm/ioreq.h). */
enum {
    XENSIM_IOREQ_PIO = 0,
    XENSIM_IOREQ_COPY = 1,
    XENSIM_IOREQ_PCI_CONFIG = 2,
    /*
     * QEMU's number; Xen's header has none.  Goes to the server that claims the
     * first port.
     */
    XENSIM_IOREQ_VMPORT = 3,
    XENSIM_IOREQ_TIMEOFFSET = 7,
    XENSIM_IOREQ_INVALIDATE = 8,
};

typedef struct XensimIoreq {
    unsigned type;          /* XENSIM_IOREQ_* */
    uint64_t addr;          /* port, gpa, or (sbdf << 32 | register) */
    uint64_t data;          /* datum, or gpa of it if data_is_ptr */
    uint32_t count;         /* repetitions; 0 means 1; more than 1 only if
                             * data_is_ptr */
    uint32_t size;          /* bytes per repetition: 1, 2, 4; or 8, but not for
                             * PIO and PCI_CONFIG */
    bool read;              /* from the device */
    bool data_is_ptr;
    bool df;                /* addresses go down */
    uint32_t server;        /* out: id of the server that took it */
} XensimIoreq;

/*
 * xensim_ioreq() sends one ioreq from the calling thread's vCPU and waits for
 * the answer.  The ioreq goes to the ioreq server that claims its type and
 * address.  (INVALIDATE goes to every enabled server, one after the other;
 * TIMEOFFSET to every one, buffered.)  For a read, @req->data is the answer.
 * xensim_ioreq_post() sends without waiting, and xensim_ioreq_wait() waits for
 * the answer to a post.  None of them calls the fail handler.
 */
XensimStatus xensim_ioreq(XensimDomain *dom, XensimIoreq *req);
XensimStatus xensim_ioreq_post(XensimDomain *dom, XensimIoreq *req);
XensimStatus xensim_ioreq_wait(XensimDomain *dom, XensimIoreq *req,
                               unsigned timeout_ms);

/*
 * Port I/O.  Unclaimed ports read as all-ones and drop writes; string
 * instructions, here and below, fill guest memory with ones.
 */
void xensim_outb(XensimDomain *dom, uint16_t port, uint8_t val);
void xensim_outw(XensimDomain *dom, uint16_t port, uint16_t val);
void xensim_outl(XensimDomain *dom, uint16_t port, uint32_t val);
uint8_t xensim_inb(XensimDomain *dom, uint16_t port);
uint16_t xensim_inw(XensimDomain *dom, uint16_t port);
uint32_t xensim_inl(XensimDomain *dom, uint16_t port);

/*
 * rep ins / rep outs: @count items of @size bytes between @port and guest
 * memory at @gpa, downwards if @df.  Sent as one ioreq per page, which
 * is how Xen cuts them.
 */
void xensim_rep_ins(XensimDomain *dom, uint16_t port, uint64_t gpa,
                    unsigned size, uint32_t count, bool df);
void xensim_rep_outs(XensimDomain *dom, uint16_t port, uint64_t gpa,
                     unsigned size, uint32_t count, bool df);

/*
 * A load or store of @size 1, 2, 4 or 8 bytes at @gpa, within one page.  If the
 * p2m has a frame there, it accesses that frame; otherwise it becomes an ioreq.
 * Addresses that no server claims read as all-ones.
 */
uint64_t xensim_mmio_read(XensimDomain *dom, uint64_t gpa, unsigned size);
void xensim_mmio_write(XensimDomain *dom, uint64_t gpa, unsigned size,
                       uint64_t val);

/*
 * rep movs between MMIO at @mmio and RAM at @ram: @count items of @size
 * bytes; @read copies device -> RAM.  Sent as ioreqs with a data pointer.
 */
void xensim_mmio_copy(XensimDomain *dom, uint64_t mmio, uint64_t ram,
                      unsigned size, uint32_t count, bool read, bool df);

/*
 * PCI configuration space by the ports 0xcf8 and 0xcfc, as a guest does;
 * Xen turns the second into a PCI_CONFIG ioreq.  @devfn = slot << 3 | func.
 */
uint32_t xensim_pci_read(XensimDomain *dom, unsigned bus, unsigned devfn,
                         unsigned reg, unsigned size);
void xensim_pci_write(XensimDomain *dom, unsigned bus, unsigned devfn,
                      unsigned reg, unsigned size, uint32_t val);

/*
 * A write to MMIO below 1 MiB, or to a port if @port, through the buffered
 * page of the server that claims it; 8 bytes take two slots.  Returns without
 * waiting.  The server handles it before the next synchronous request.
 */
XensimStatus xensim_buffered_write(XensimDomain *dom, bool port,
                                   uint64_t addr, unsigned size,
                                   uint64_t val);

/*
 * Freezes the virtual clock of device models that are started from now on: it
 * begins at 0 and stands still until xensim_clock_pass().  This works with a
 * QEMU that is not stripped.  The real-time clock is not changed.  0 or -errno.
 */
int xensim_clock_freeze(Xensim *sim);

/*
 * Lets @ns of virtual time pass; the timers of @dom's device model run in
 * order.  XENSIM_BAD: the clock was not frozen, or the program is no QEMU, or a
 * stripped one.
 */
XensimStatus xensim_clock_pass(XensimDomain *dom, uint64_t ns);

/* Xen's own requests. */
void xensim_invalidate(XensimDomain *dom);
void xensim_timeoffset(XensimDomain *dom, int64_t seconds);

/* ------------------------------------------------------------------ */
/* ioreq servers                                                       */
/* ------------------------------------------------------------------ */

typedef struct XensimServerInfo {
    uint32_t id;
    bool enabled;
    bool bufioreq;
    unsigned ports, mmio, pcidevs;  /* ranges registered */
    pid_t pid;                      /* bound to vCPU 0's channel, or 0 */
} XensimServerInfo;
/* Fills up to @max entries, returns how many servers there are. */
unsigned xensim_servers(XensimDomain *dom, XensimServerInfo *info,
                        unsigned max);

/* Does an enabled server claim all of the range?  @type as in XensimIoreq. */
bool xensim_claimed(XensimDomain *dom, unsigned type, uint64_t addr,
                    uint64_t bytes);

/*
 * Wait until the device model serves the guest: until a server is enabled, its
 * channel is bound, and the device model has begun to read events from it.
 * XENSIM_OK, _TIMEOUT, or _DM_DIED if a device model that xensim_spawn()
 * started has died.
 */
XensimStatus xensim_wait_ready(XensimDomain *dom, unsigned timeout_ms);

/* ------------------------------------------------------------------ */
/* What the device model told Xen                                      */
/* ------------------------------------------------------------------ */

/* Current level of a line, as last set. */
unsigned xensim_isa_irq(XensimDomain *dom, unsigned irq);        /* < 16 */
unsigned xensim_pci_intx(XensimDomain *dom, unsigned bus, unsigned dev,
                         unsigned pin);                /* bus 0, pin 0-3 */
unsigned xensim_irq_level(XensimDomain *dom, unsigned gsi);     /* < 256 */
unsigned xensim_pci_link_route(XensimDomain *dom, unsigned link); /* < 4 */

/* How often a line went from 0 to 1 (to notice a pulse that has ended). */
unsigned xensim_isa_irq_edges(XensimDomain *dom, unsigned irq);
unsigned xensim_pci_intx_edges(XensimDomain *dom, unsigned bus, unsigned dev,
                               unsigned pin);

/*
 * Logs of what the device model reported, in order.  A log keeps the last
 * 65,536 entries of its kind.  @index counts from 0 since the domain was
 * created or the log was cleared.  xensim_log_get() returns false if there is
 * no such entry (not yet, or no longer).
 */
typedef enum XensimLogKind {
    XENSIM_LOG_MODIFIED,   /* a: first gfn, b: pages */
    XENSIM_LOG_MSI,        /* a: address, b: data */
    XENSIM_LOG_CACHEATTR,  /* a: first gfn, b: last gfn, c: type */
    XENSIM_LOG_MEM_TYPE,   /* a: first gfn, b: pages, c: type */
    XENSIM_LOG_RELOCATE,   /* a: source gfn, b: destination gfn, c: pages */
    XENSIM_LOG_KINDS
} XensimLogKind;
typedef struct XensimLogEntry {
    uint64_t a, b, c;
    int error;             /* 0, or the errno the call ended with */
} XensimLogEntry;
uint64_t xensim_log_count(XensimDomain *dom, XensimLogKind kind);
bool xensim_log_get(XensimDomain *dom, XensimLogKind kind, uint64_t index,
                    XensimLogEntry *entry);
void xensim_log_clear(XensimDomain *dom, XensimLogKind kind);

/* Reason of the last shutdown the device model asked for (-1: none). */
int xensim_shutdown_reason(XensimDomain *dom);

/*
 * Dirty VRAM tracking: sets *@gfn and *@pages to the range that the device
 * model has asked for.  *@pages is 0 if tracking is off.
 */
void xensim_vram_tracking(XensimDomain *dom, uint64_t *gfn, uint64_t *pages);

/* ------------------------------------------------------------------ */
/* Event channels (guest's end)                                        */
/* ------------------------------------------------------------------ */

/* New unbound port of @dom for domain @remote (0: device models). */
int xensim_evtchn_alloc(XensimDomain *dom, uint32_t remote);
/*
 * Bind to port @remote_port, which @remote (0: device models) has left unbound
 * for @dom.  Returns the new port or -errno; -ESRCH for a @remote other than 0.
 */
int xensim_evtchn_bind(XensimDomain *dom, uint32_t remote,
                       uint32_t remote_port);
int xensim_evtchn_close(XensimDomain *dom, uint32_t port);
/* Send to the other end.  -ENOTCONN if nobody bound it. */
int xensim_evtchn_notify(XensimDomain *dom, uint32_t port);
/*
 * Wait for an event on @port and clear its pending bit.  0, -ETIMEDOUT, or
 * -EINVAL for a port that is not open.  timeout 0 only looks.
 */
int xensim_evtchn_wait(XensimDomain *dom, uint32_t port,
                       unsigned timeout_ms);
/* Is the port bound to a device model? */
bool xensim_evtchn_bound(XensimDomain *dom, uint32_t port);
/* Raise a VIRQ in the device models' domain; returns how many receive it. */
unsigned xensim_virq_raise(Xensim *sim, unsigned virq);

/* ------------------------------------------------------------------ */
/* Grants (guest's end)                                                */
/* ------------------------------------------------------------------ */

/*
 * Grant domain @to (0: device models) access to the frame at @gfn.  Returns
 * the reference, 8 to 8191, or -ENOSPC.
 */
int xensim_grant(XensimDomain *dom, uint32_t to, uint64_t gfn,
                 bool readonly);
/*
 * End the grant.  Mappings made through it stay and keep their frame.  Returns
 * the number of these mappings.  (A well-behaved guest would wait until there
 * is none.)
 */
int xensim_grant_revoke(XensimDomain *dom, uint32_t ref);
/*
 * Live mappings of grant @ref, also after it was revoked; -ENOENT if it is
 * neither granted nor mapped.
 */
int xensim_grant_mappings(XensimDomain *dom, uint32_t ref);

/* ------------------------------------------------------------------ */
/* Faults                                                              */
/* ------------------------------------------------------------------ */

typedef struct XensimFault {
    const char *call;     /* libxen function, e.g. "xenforeignmemory_map2" */
    /*
     * Matching calls are counted from 1 after arming.  The fault hits @count of
     * them (0: no limit), beginning with number @first (0 means 1).
     */
    uint64_t first, count;
    /* A call matches if it names a gfn in [gfn, gfn + pages); pages 0: any. */
    uint64_t gfn, pages;
    int error;            /* errno with which the call fails; 0: no failure */
    /*
     * true: the call succeeds and only the pages in [gfn, gfn + pages) get
     * -@error in err[] (foreign mapping calls only).
     */
    bool per_page;
    unsigned delay_us;    /* delay before the call, in microseconds */
} XensimFault;

/*
 * Arm a fault for every device model of the simulation; takes effect at once.
 * Returns an id >= 0 for disarming, -EINVAL for a name that is not
 * simulated, -ENOSPC beyond 64.  @fault is copied.
 */
int xensim_fault_arm(Xensim *sim, const XensimFault *fault);
/*
 * The same from text, as XENSIM_FAULT has it: "NAME[:key[=value]]...", with
 * keys n= (first), count=, once, errno= (name or number), gfn=A[-B] (hex
 * with 0x), page, delay= (us).
 */
int xensim_fault_arm_text(Xensim *sim, const char *text);
/*
 * The number of matching calls since the fault was armed, also of those before
 * @first and after @count.  -ENOENT if it is not armed.
 */
int64_t xensim_fault_hits(Xensim *sim, int id);
void xensim_fault_disarm(Xensim *sim, int id);
void xensim_fault_disarm_all(Xensim *sim);

/* ------------------------------------------------------------------ */
/* Record                                                              */
/* ------------------------------------------------------------------ */

typedef struct XensimCount {
    uint64_t calls;
    uint64_t failures;
    uint64_t pages;       /* named by mapping calls, present or not */
    uint64_t mmaps;       /* host mmap() calls made for them */
} XensimCount;

/* Counts of one libxen function; aborts on a name that is not simulated. */
XensimCount xensim_count(Xensim *sim, const char *call);
/* Counts of xenforeignmemory_map and xenforeignmemory_map2 together. */
XensimCount xensim_count_maps(Xensim *sim);
/*
 * The invalidates that this process has sent to @dom, and that all of its
 * device models have answered.
 */
uint64_t xensim_count_invalidates(XensimDomain *dom);
/* The number of calls of all simulated functions. */
uint64_t xensim_count_calls(Xensim *sim);
void xensim_count_reset(Xensim *sim);
/* Print every count that is not 0, a line each, to @fd. */
void xensim_count_print(Xensim *sim, int fd);

/* ------------------------------------------------------------------ */
/* Device models                                                       */
/* ------------------------------------------------------------------ */

/*
 * libxensim.so to preload: $XENSIM_LIB, else the one beside the running
 * program or in the build directory it was built for.
 */
const char *xensim_lib_path(void);

/*
 * Set the environment variables that a device model for @dom needs (LD_PRELOAD,
 * ASAN_OPTIONS, XENSIM, XENSIM_DOMID) in this process.  For a caller that
 * starts the program itself, such as libqtest, which uses "sh -c".  What
 * LD_PRELOAD and ASAN_OPTIONS contain already is kept, and comes first.
 * xensim_unsetenv_for_dm() undoes all this.  For a device model in this very
 * process, call it before the first libxen function.
 */
void xensim_setenv_for_dm(XensimDomain *dom);
void xensim_unsetenv_for_dm(Xensim *sim);

/*
 * Start argv[0] (searched in PATH) with that environment and @env ("NAME=value"
 * strings, at most 59, NULL-terminated; may be NULL).  If a variable is in
 * both, the value in @env counts.  The program's stdout and stderr go to
 * @log_fd; -1 leaves them as they are.
 * Returns the pid or -errno (also when the exec itself fails).  If the main
 * thread calls this, the child gets SIGKILL when the host dies.
 */
pid_t xensim_spawn(XensimDomain *dom, const char *const argv[],
                   const char *const env[], int log_fd);

/*
 * Waits for a spawned device model to end, and stores waitpid()'s status in
 * @wstatus (may be NULL).  Returns 0, -ETIMEDOUT, or another -errno of
 * waitpid().  Releases what the process still held of Xen; xensim_kill() and
 * xensim_reap() do that too.
 */
int xensim_wait_exit(Xensim *sim, pid_t pid, unsigned timeout_ms,
                     int *wstatus);
/* Kill (SIGKILL) and reap. */
void xensim_kill(Xensim *sim, pid_t pid);

/* Is @pid running (a zombie is not)? */
bool xensim_pid_alive(pid_t pid);

/*
 * Release mappings, event channels and ioreq servers of device models that
 * have died, whoever started them.  Returns how many were found.
 */
unsigned xensim_reap(Xensim *sim);

/* Has a device model of this process id restricted itself, and to what? */
bool xensim_is_restricted(Xensim *sim, pid_t pid, uint32_t *domid);

#ifdef __cplusplus
}
#endif

#endif /* XENSIM_H */
